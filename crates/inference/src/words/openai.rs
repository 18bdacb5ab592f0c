//! Questions in `OpenAI`'s words, and answers in them.
//!
//! What a model on the site's disk cannot do is refused by its name: an answer that leaves out half of what was
//! asked for looks like a whole one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Embed, Finish, Generate, Message, Prompt, Role, STOP_BYTES_MAX, STOPS_MAX, Said, TEXTS_MAX,
    Vectors,
};

/// In which words text is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `POST /v1/chat/completions`
    Chat,
    /// `POST /v1/completions`
    Completions,
}

/// Why a question is none for these models.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    #[error(
        "the request cannot be read (line {line}, column {column}): a member is missing or of another type"
    )]
    Syntax { line: usize, column: usize },
    #[error("a model on the site's disk takes no `{0}`; leave it out, or ask a model at a server")]
    Untaken(&'static str),
    #[error("`{name}` is {wanted}")]
    Wrong { name: &'static str, wanted: &'static str },
}

/// What stands in a request, of all that means something here.
#[derive(Deserialize)]
struct Asked {
    messages: Option<Vec<Turn>>,
    prompt: Option<OneOrMany>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    seed: Option<i64>,
    stop: Option<OneOrMany>,
    #[serde(flatten)]
    others: std::collections::BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Turn {
    role: String,
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    tool_calls: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Piece>),
}

#[derive(Deserialize)]
struct Piece {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

type AsksNothing = fn(&Value) -> bool;

/// Members that ask for more than is done here, and the value of each that asks for nothing.
const UNTAKEN: [(&str, AsksNothing); 15] = [
    ("tools", is_empty),
    ("functions", is_empty),
    ("logprobs", is_off),
    ("top_logprobs", is_off),
    ("n", is_one),
    ("best_of", is_one),
    ("echo", is_off),
    ("suffix", is_empty),
    ("logit_bias", is_empty),
    ("presence_penalty", is_off),
    ("frequency_penalty", is_off),
    ("response_format", is_text),
    ("audio", is_empty),
    ("prediction", is_empty),
    ("web_search_options", is_empty),
];

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn is_off(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Bool(false)) || value.as_f64() == Some(0.0)
}

fn is_one(value: &Value) -> bool {
    value.is_null() || value.as_u64() == Some(1)
}

fn is_text(value: &Value) -> bool {
    value.is_null() || value["type"] == "text"
}

/// Reads a question for text. `seed` is for one that brings none, `most` for the most that may be answered.
pub fn read(
    form: Form,
    body: &[u8],
    seed: u64,
    most: Option<u64>,
) -> Result<Generate, QuestionError> {
    let asked: Asked = serde_json::from_slice(body).map_err(|error| unread(&error))?;
    for (name, asks_nothing) in UNTAKEN {
        if asked.others.get(name).is_some_and(|it| !asks_nothing(it)) {
            return Err(QuestionError::Untaken(name));
        }
    }
    let prompt = match form {
        Form::Chat => Prompt::Chat(messages(asked.messages.unwrap_or_default())?),
        Form::Completions => Prompt::Text(match asked.prompt {
            Some(OneOrMany::One(text)) => text,
            Some(OneOrMany::Many(list)) => match <[String; 1]>::try_from(list) {
                Ok([text]) => text,
                Err(_) => return Err(QuestionError::Wrong { name: "prompt", wanted: "one text" }),
            },
            None => String::new(),
        }),
    };
    let said = [asked.max_completion_tokens, asked.max_tokens].into_iter().flatten().max();
    let stop = match asked.stop {
        None => Vec::new(),
        Some(OneOrMany::One(text)) => vec![text],
        Some(OneOrMany::Many(list)) => list,
    };
    let fits = |text: &String| (1..=STOP_BYTES_MAX).contains(&text.len());
    if stop.len() > STOPS_MAX || !stop.iter().all(fits) {
        let wanted = "up to 16 texts, each of 1 to 1000 bytes";
        return Err(QuestionError::Wrong { name: "stop", wanted });
    }
    Ok(Generate {
        prompt,
        output_tokens_max: match (said, most) {
            (Some(said), Some(most)) => Some(said.min(most)),
            (said, most) => said.or(most),
        },
        temperature: within("temperature", asked.temperature, 0.0..=2.0, "a number from 0 to 2")?,
        top_p: within("top_p", asked.top_p, 0.0..=1.0, "a number from 0 to 1")?,
        seed: asked.seed.map_or(seed, i64::cast_unsigned),
        stop,
    })
}

fn within(
    name: &'static str,
    said: Option<f64>,
    range: std::ops::RangeInclusive<f64>,
    wanted: &'static str,
) -> Result<f32, QuestionError> {
    let said = said.unwrap_or(1.0);
    if range.contains(&said) { Ok(said as f32) } else { Err(QuestionError::Wrong { name, wanted }) }
}

fn messages(turns: Vec<Turn>) -> Result<Vec<Message>, QuestionError> {
    let message = |turn: Turn| {
        if turn.tool_calls.is_some_and(|it| !is_empty(&it)) {
            return Err(QuestionError::Untaken("tool_calls"));
        }
        let role = match turn.role.as_str() {
            "system" | "developer" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            _ => {
                let wanted = "`system`, `developer`, `user` or `assistant`";
                return Err(QuestionError::Wrong { name: "role", wanted });
            }
        };
        let text = match turn.content {
            None => String::new(),
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => {
                let mut text = String::new();
                for part in parts {
                    match (part.kind.as_str(), part.text) {
                        ("text", Some(piece)) => text.push_str(&piece),
                        _ => {
                            return Err(QuestionError::Untaken(
                                "content with anything but text in it",
                            ));
                        }
                    }
                }
                text
            }
        };
        Ok(Message { role, text })
    };
    let messages: Vec<Message> = turns.into_iter().map(message).collect::<Result<_, _>>()?;
    if messages.is_empty() {
        return Err(QuestionError::Wrong { name: "messages", wanted: "one message or more" });
    }
    Ok(messages)
}

fn unread(error: &serde_json::Error) -> QuestionError {
    QuestionError::Syntax { line: error.line(), column: error.column() }
}

/// A question for vectors, and how they are to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedVectors {
    pub embed: Embed,
    pub is_base64: bool,
}

pub fn read_embeddings(body: &[u8]) -> Result<AskedVectors, QuestionError> {
    #[derive(Deserialize)]
    struct Asked {
        input: OneOrMany,
        #[serde(default)]
        encoding_format: Option<String>,
        #[serde(default)]
        dimensions: Option<u64>,
    }
    let asked: Asked = serde_json::from_slice(body).map_err(|error| unread(&error))?;
    if asked.dimensions.is_some() {
        return Err(QuestionError::Untaken("dimensions"));
    }
    let is_base64 = match asked.encoding_format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => {
            let wanted = "`float` or `base64`";
            return Err(QuestionError::Wrong { name: "encoding_format", wanted });
        }
    };
    let texts = match asked.input {
        OneOrMany::One(text) => vec![text],
        OneOrMany::Many(list) => list,
    };
    if texts.is_empty() || texts.len() > TEXTS_MAX {
        return Err(QuestionError::Wrong { name: "input", wanted: "1 to 2048 texts" });
    }
    Ok(AskedVectors { embed: Embed { texts }, is_base64 })
}

/// Vectors as an answer.
#[must_use]
pub fn embeddings(model: &str, vectors: &Vectors, is_base64: bool) -> Vec<u8> {
    let written = |vector: &Vec<f32>| {
        if is_base64 {
            let bytes: Vec<u8> = vector.iter().flat_map(|it| it.to_le_bytes()).collect();
            json!(STANDARD.encode(bytes))
        } else {
            json!(vector)
        }
    };
    let datum = |(index, vector): (usize, &Vec<f32>)| json!({"object": "embedding", "index": index, "embedding": written(vector)});
    let data: Vec<Value> = vectors.vectors.iter().enumerate().map(datum).collect();
    let used = vectors.input_tokens;
    let usage = json!({"prompt_tokens": used, "total_tokens": used});
    json!({"object": "list", "data": data, "model": model, "usage": usage}).to_string().into_bytes()
}

/// Writes one answer, whole or in pieces.
#[derive(Debug, Clone)]
pub struct Answer {
    pub form: Form,
    /// What tells it from others.
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    pub model: String,
}

impl Answer {
    /// The whole of it.
    #[must_use]
    pub fn whole(&self, text: &str, said: &Said) -> Vec<u8> {
        let (kind, mut choice) = match self.form {
            Form::Chat => {
                let message = json!({"role": "assistant", "content": text, "refusal": null});
                ("chat.completion", json!({"message": message}))
            }
            Form::Completions => ("text_completion", json!({"text": text})),
        };
        choice["index"] = 0.into();
        choice["logprobs"] = Value::Null;
        choice["finish_reason"] = finish(said.finish).into();
        let mut answer = self.head(kind);
        answer["choices"] = json!([choice]);
        answer["usage"] = usage(said);
        answer.to_string().into_bytes()
    }

    /// What comes before the first piece.
    #[must_use]
    pub fn begin(&self) -> Vec<u8> {
        match self.form {
            Form::Chat => self.event(json!({"delta": {"role": "assistant", "content": ""}}), None),
            Form::Completions => Vec::new(),
        }
    }

    #[must_use]
    pub fn piece(&self, text: &str) -> Vec<u8> {
        self.event(self.said(text), None)
    }

    /// The last events: how it ended, what it used, and that it is over.
    #[must_use]
    pub fn end(&self, said: &Said) -> Vec<u8> {
        let last = match self.form {
            Form::Chat => json!({"delta": {}}),
            Form::Completions => json!({"text": ""}),
        };
        let mut events = self.event(last, Some(said.finish));
        let mut used = self.head(self.chunk());
        used["choices"] = json!([]);
        used["usage"] = usage(said);
        events.extend(format!("data: {used}\n\ndata: [DONE]\n\n").into_bytes());
        events
    }

    fn said(&self, text: &str) -> Value {
        match self.form {
            Form::Chat => json!({"delta": {"content": text}}),
            Form::Completions => json!({"text": text}),
        }
    }

    fn event(&self, mut choice: Value, ended: Option<Finish>) -> Vec<u8> {
        choice["index"] = 0.into();
        choice["logprobs"] = Value::Null;
        choice["finish_reason"] = ended.map(finish).into();
        let mut event = self.head(self.chunk());
        event["choices"] = json!([choice]);
        format!("data: {event}\n\n").into_bytes()
    }

    const fn chunk(&self) -> &'static str {
        match self.form {
            Form::Chat => "chat.completion.chunk",
            Form::Completions => "text_completion",
        }
    }

    fn head(&self, kind: &str) -> Value {
        let id = match self.form {
            Form::Chat => format!("chatcmpl-{}", self.id),
            Form::Completions => format!("cmpl-{}", self.id),
        };
        json!({"id": id, "object": kind, "created": self.created, "model": self.model})
    }
}

const fn finish(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
    }
}

fn usage(said: &Said) -> Value {
    let Said { input_tokens, output_tokens, .. } = said;
    json!({
        "prompt_tokens": input_tokens, "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(form: Form, text: &str) -> Result<Generate, String> {
        read(form, text.as_bytes(), 7, Some(50)).map_err(|error| error.to_string())
    }

    /// Mutation: lose a member, or take the larger of the two limits.
    #[test]
    fn a_question_is_read_with_what_it_says_and_what_is_usual() {
        let text = r#"{"model":"m","messages":[{"role":"developer","content":"Be brief."},
            {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}],
            "max_completion_tokens":9,"temperature":0,"top_p":0.5,"seed":3,"stop":"x","n":1,
            "stream":true,"tools":[],"response_format":{"type":"text"},"user":"u"}"#;
        let read = asked(Form::Chat, text).expect("a question");
        let said = |role, text: &str| Message { role, text: text.to_owned() };
        let messages = vec![said(Role::System, "Be brief."), said(Role::User, "ab")];
        let expected = Generate {
            prompt: Prompt::Chat(messages),
            output_tokens_max: Some(9),
            temperature: 0.0,
            top_p: 0.5,
            seed: 3,
            stop: vec!["x".to_owned()],
        };
        assert_eq!(read, expected);
        let usual = asked(Form::Completions, r#"{"prompt":["a"],"max_tokens":99}"#).expect("one");
        assert_eq!((usual.seed, usual.temperature, usual.top_p), (7, 1.0, 1.0));
        assert_eq!(
            (usual.prompt, usual.output_tokens_max),
            (Prompt::Text("a".to_owned()), Some(50))
        );
    }

    /// Mutation: leave a member of the list out.
    #[test]
    fn what_these_models_cannot_do_is_refused_by_its_name() {
        for (more, expected) in [
            (r#""tools":[{"type":"function"}]"#, "no `tools`"),
            (r#""n":2"#, "no `n`"),
            (r#""logprobs":true"#, "no `logprobs`"),
            (r#""frequency_penalty":0.5"#, "no `frequency_penalty`"),
            (r#""response_format":{"type":"json_object"}"#, "no `response_format`"),
            (r#""temperature":3"#, "`temperature` is a number from 0 to 2"),
            (r#""top_p":-1"#, "`top_p`"),
            (r#""stop":[""]"#, "`stop`"),
            (r#""max_tokens":"many""#, "cannot be read"),
        ] {
            let text = format!(r#"{{"messages":[{{"role":"user","content":"secret"}}],{more}}}"#);
            let said = asked(Form::Chat, &text).expect_err(more);
            assert!(said.contains(expected) && !said.contains("secret"), "{said}");
        }
        for (messages, expected) in [
            ("[]", "one message"),
            (r#"[{"role":"tool","content":"x"}]"#, "`role`"),
            (r#"[{"role":"user","content":[{"type":"image_url"}]}]"#, "anything but text"),
            (r#"[{"role":"assistant","tool_calls":[{}]}]"#, "`tool_calls`"),
        ] {
            let said = asked(Form::Chat, &format!(r#"{{"messages":{messages}}}"#));
            assert!(said.clone().expect_err(messages).contains(expected), "{said:?}");
        }
        assert!(asked(Form::Completions, r#"{"prompt":["a","b"]}"#).is_err());
    }

    /// Mutation: write `text` where `delta` belongs, or leave the usage out of a stream.
    #[test]
    fn an_answer_is_the_same_whole_and_in_pieces() {
        let said = Said { finish: Finish::Length, input_tokens: 3, output_tokens: 2 };
        for form in [Form::Chat, Form::Completions] {
            let answer = Answer { form, id: "1".to_owned(), created: 5, model: "m".to_owned() };
            let whole: Value = serde_json::from_slice(&answer.whole("ab", &said)).expect("JSON");
            let stream =
                [answer.begin(), answer.piece("a"), answer.piece("b"), answer.end(&said)].concat();
            let stream = String::from_utf8(stream).expect("text");
            let mut events: Vec<&str> =
                stream.split_terminator("\n\n").map(|it| &it["data: ".len()..]).collect();
            assert_eq!(events.pop(), Some("[DONE]"));
            let events: Vec<Value> =
                events.iter().map(|it| serde_json::from_str(it).expect("JSON")).collect();
            let text: String = events
                .iter()
                .map(|it| &it["choices"][0])
                .map(|it| it["text"].as_str().or(it["delta"]["content"].as_str()).unwrap_or(""))
                .collect();
            let choice = &whole["choices"][0];
            assert_eq!(
                Some(text.as_str()),
                choice["text"].as_str().or(choice["message"]["content"].as_str())
            );
            assert_eq!(choice["finish_reason"], "length");
            assert_eq!(events[events.len() - 2]["choices"][0]["finish_reason"], "length");
            let used = &events[events.len() - 1];
            assert_eq!(
                (&used["usage"], used["choices"].as_array().map(Vec::len)),
                (&whole["usage"], Some(0))
            );
            assert_eq!(whole["usage"]["total_tokens"], 5);
            assert!(events.iter().all(|it| it["id"] == whole["id"] && it["created"] == 5));
        }
    }

    /// Mutation: write the numbers of base64 in the other order.
    #[test]
    fn vectors_are_written_as_numbers_and_as_base64() {
        let read = |text: &str| read_embeddings(text.as_bytes());
        let one = read(r#"{"input":"a","encoding_format":"base64"}"#).expect("a question");
        assert!(one.is_base64 && one.embed.texts == ["a"]);
        assert_eq!(read(r#"{"input":["a","b"]}"#).expect("two").embed.texts.len(), 2);
        for wrong in [r#"{"input":[]}"#, r#"{"input":[1]}"#, r#"{"input":"a","dimensions":8}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let vectors = Vectors { vectors: vec![vec![1.0, -0.5]], input_tokens: 4 };
        let told = |is_base64| -> Value {
            serde_json::from_slice(&embeddings("m", &vectors, is_base64)).expect("JSON")
        };
        assert_eq!(told(false)["data"][0]["embedding"], json!([1.0, -0.5]));
        assert_eq!(told(true)["data"][0]["embedding"], "AACAPwAAAL8=");
        assert_eq!(told(true)["usage"]["total_tokens"], 4);
    }
}
