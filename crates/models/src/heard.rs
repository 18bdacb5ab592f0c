//! What an answer says, as far as a route judges it: its texts, and how sure the model was of them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::operation::Operation;

/// Answers to one question. No request may ask for more.
const CHOICES_MAX: usize = 128;

/// An answer as it was heard, whole or piece by piece.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heard {
    choices: BTreeMap<u64, Choice>,
    /// Of tensors.
    least: Option<f64>,
    is_broken: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Choice {
    text: Option<String>,
    logprobs: f64,
    tokens: u32,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Said>,
    error: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    index: u64,
    text: Option<String>,
    #[serde(alias = "message")]
    delta: Option<Delta>,
    logprobs: Option<Logprobs>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
}

#[derive(Deserialize)]
struct Logprobs {
    /// Completions have other members here, which are not read.
    content: Option<Vec<Token>>,
}

#[derive(Deserialize)]
struct Token {
    logprob: f64,
}

/// A list of parts, of Messages and of one item of Responses.
#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    content: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    r#type: String,
    text: Option<String>,
}

#[derive(Deserialize)]
struct Output {
    #[serde(default)]
    output: Vec<Parts>,
}

/// An event of Messages or of Responses.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(default)]
    r#type: &'a str,
    delta: Option<serde_json::Value>,
}

impl Heard {
    /// A whole answer in these words. What cannot be read says nothing.
    #[must_use]
    pub fn whole(spoken: Operation, body: &[u8]) -> Self {
        let mut heard = Self::default();
        match spoken {
            Operation::Chat | Operation::Completions => heard.chunk(body),
            Operation::Messages => {
                if let Ok(parts) = serde_json::from_slice(body) {
                    heard.parts(parts);
                }
            }
            Operation::Responses => {
                let output = serde_json::from_slice::<Output>(body);
                output.into_iter().flat_map(|it| it.output).for_each(|it| heard.parts(it));
            }
            Operation::Embeddings | Operation::Infer => {}
        }
        heard
    }

    /// The data of the next event of a stream.
    pub fn event(&mut self, spoken: Operation, data: &[u8]) {
        match spoken {
            Operation::Chat | Operation::Completions => self.chunk(data),
            Operation::Messages | Operation::Responses => {
                let Ok(event) = serde_json::from_slice::<Event<'_>>(data) else { return };
                let text = match event.r#type {
                    "content_block_delta" => event.delta.as_ref().map(|it| &it["text"]),
                    "response.output_text.delta" => event.delta.as_ref(),
                    "error" | "response.failed" | "response.incomplete" => {
                        self.is_broken = true;
                        None
                    }
                    _ => None,
                };
                if let Some(text) = text.and_then(serde_json::Value::as_str) {
                    self.says(0, text);
                }
            }
            Operation::Embeddings | Operation::Infer => {}
        }
    }

    fn chunk(&mut self, data: &[u8]) {
        let Ok(chunk) = serde_json::from_slice::<Chunk>(data) else { return };
        self.is_broken |= chunk.error.is_some();
        for said in chunk.choices.into_iter().take(CHOICES_MAX) {
            let text = said.text.or_else(|| said.delta.and_then(|it| it.content));
            self.says(said.index, text.as_deref().unwrap_or_default());
            let Some(choice) = self.choices.get_mut(&said.index) else { continue };
            for token in said.logprobs.and_then(|it| it.content).into_iter().flatten() {
                choice.logprobs += token.logprob;
                choice.tokens += 1;
            }
        }
    }

    fn parts(&mut self, parts: Parts) {
        for part in parts.content {
            if let (Some(text), "text" | "output_text") = (part.text, part.r#type.as_str()) {
                self.says(0, &text);
            }
        }
    }

    fn says(&mut self, index: u64, text: &str) {
        if self.choices.len() < CHOICES_MAX || self.choices.contains_key(&index) {
            let choice = self.choices.entry(index).or_default();
            choice.text.get_or_insert_default().push_str(text);
        }
    }

    /// An answer of the Open Inference Protocol: how sure it is of the row of which it is least sure, by the
    /// greatest value of this output in each. `head` says how long the JSON is, where bytes follow it.
    #[must_use]
    pub fn tensors(output: &str, body: &[u8], head: Option<usize>) -> Self {
        let (json, bytes) = body.split_at(head.unwrap_or(body.len()).min(body.len()));
        Self { least: tensors::least(output, json, bytes), ..Self::default() }
    }

    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.choices.values().filter_map(|it| it.text.as_deref())
    }

    /// From 0 to 1: of the choice, or the row, of which the model is least sure. None where it does not say.
    #[must_use]
    pub fn confidence(&self) -> Option<f64> {
        if self.least.is_some() {
            return self.least;
        }
        let of = |it: &Choice| {
            let sure = (it.logprobs / f64::from(it.tokens)).exp();
            (it.tokens > 0 && sure.is_finite()).then_some(sure)
        };
        let all: Option<Vec<f64>> = self.choices.values().map(of).collect();
        all?.into_iter().reduce(f64::min)
    }

    /// Whether it has ended with an error.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.is_broken
    }
}

mod tensors {
    use serde::Deserialize;
    use serde_json::Value;

    #[derive(Deserialize)]
    struct Answer {
        outputs: Vec<Output>,
    }

    #[derive(Deserialize)]
    struct Output {
        name: String,
        datatype: String,
        shape: Vec<usize>,
        data: Option<Value>,
        parameters: Option<Parameters>,
    }

    #[derive(Deserialize)]
    struct Parameters {
        binary_data_size: Option<usize>,
    }

    /// Of the greatest value of each row, the least.
    pub(super) fn least(name: &str, json: &[u8], mut bytes: &[u8]) -> Option<f64> {
        let answer: Answer = serde_json::from_slice(json).ok()?;
        for output in answer.outputs {
            let size = output.parameters.as_ref().and_then(|it| it.binary_data_size);
            let here = match size {
                Some(size) => {
                    let (here, rest) = bytes.split_at_checked(size)?;
                    bytes = rest;
                    here
                }
                None => &[],
            };
            if output.name == name {
                let values = match (output.data, size) {
                    (Some(data), None) => {
                        let mut values = Vec::new();
                        flat(&data, &mut values)?;
                        values
                    }
                    (None, Some(_)) => numbers(&output.datatype, here)?,
                    _ => return None,
                };
                return of_rows(&output.shape, &values);
            }
        }
        None
    }

    fn of_rows(shape: &[usize], values: &[f64]) -> Option<f64> {
        let rows = *shape.first()?;
        if rows == 0 || values.is_empty() || !values.len().is_multiple_of(rows) {
            return None;
        }
        let greatest = |row: &[f64]| row.iter().copied().reduce(f64::max);
        let each: Option<Vec<f64>> = values.chunks(values.len() / rows).map(greatest).collect();
        each?.into_iter().reduce(f64::min).filter(|it| it.is_finite())
    }

    /// Lists in lists, or one list, as the protocol allows.
    fn flat(data: &Value, values: &mut Vec<f64>) -> Option<()> {
        match data {
            Value::Array(items) => items.iter().try_for_each(|item| flat(item, values)),
            Value::Number(number) => {
                values.push(number.as_f64()?);
                Some(())
            }
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Object(_) => None,
        }
    }

    fn numbers(datatype: &str, bytes: &[u8]) -> Option<Vec<f64>> {
        match datatype {
            "FP32" => {
                let (each, rest) = bytes.as_chunks::<4>();
                rest.is_empty()
                    .then(|| each.iter().map(|it| f32::from_le_bytes(*it).into()).collect())
            }
            "FP64" => {
                let (each, rest) = bytes.as_chunks::<8>();
                rest.is_empty().then(|| each.iter().map(|it| f64::from_le_bytes(*it)).collect())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn events(spoken: Operation, events: &[Value]) -> Heard {
        let mut heard = Heard::default();
        events.iter().for_each(|event| heard.event(spoken, event.to_string().as_bytes()));
        heard
    }

    /// Mutation: read the words of one interface in another, or lose a piece.
    #[test]
    fn the_text_of_an_answer_is_the_same_whole_and_in_pieces() {
        use Operation::{Chat, Completions, Messages, Responses};
        let piece = |text: &str| json!({"choices": [{"index": 0, "delta": {"content": text}}]});
        let block = |text: &str| json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}});
        let delta = |text: &str| json!({"type": "response.output_text.delta", "delta": text});
        let part = |kind: &str| json!([{"type": kind, "text": "ye"}, {"type": kind, "text": "s"}]);
        for (spoken, whole, pieces) in [
            (
                Chat,
                json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}}]}),
                [piece("ye"), piece("s")],
            ),
            (
                Completions,
                json!({"choices": [{"index": 0, "text": "yes", "logprobs": null}]}),
                [
                    json!({"choices": [{"index": 0, "text": "ye"}]}),
                    json!({"choices": [{"index": 0, "text": "s"}]}),
                ],
            ),
            (Messages, json!({"content": part("text")}), [block("ye"), block("s")]),
            (
                Responses,
                json!({"output": [{"type": "reasoning"}, {"type": "message", "content": part("output_text")}]}),
                [delta("ye"), delta("s")],
            ),
        ] {
            let whole = Heard::whole(spoken, whole.to_string().as_bytes());
            assert_eq!(whole.texts().collect::<Vec<_>>(), ["yes"], "{spoken:?}");
            let pieces = events(spoken, &pieces);
            assert_eq!(pieces.texts().collect::<Vec<_>>(), ["yes"], "{spoken:?}");
        }
        assert!(events(Messages, &[block("yes"), json!({"type": "error"})]).is_broken());
        assert!(events(Chat, &[piece("yes"), json!({"error": {"message": "x"}})]).is_broken());
    }

    /// Mutation: judge by the choice of which the model is surest, or by the first one.
    #[test]
    fn the_least_sure_of_several_choices_counts() {
        let choice = |index: u64, logprob: f64| json!({"index": index, "delta": {"content": "a"}, "logprobs": {"content": [{"logprob": logprob}]}});
        let heard = events(
            Operation::Chat,
            &[json!({"choices": [choice(0, 0.0)]}), json!({"choices": [choice(1, -1.0)]})],
        );
        let sure = heard.confidence().expect("it says");
        assert!((sure - (-1.0_f64).exp()).abs() < 1e-9, "{sure}");
    }

    /// Mutation: take the greatest of all rows, another output, or bytes of the output before.
    #[test]
    fn the_row_of_which_tensors_are_least_sure_counts() {
        let answer = |data: Value| {
            json!({"outputs": [
                {"name": "label", "datatype": "INT64", "shape": [2], "data": [1, 0]},
                {"name": "p", "datatype": "FP32", "shape": [2, 2], "data": data},
            ]})
        };
        for data in [json!([0.9, 0.1, 0.4, 0.6]), json!([[0.9, 0.1], [0.4, 0.6]])] {
            let body = answer(data).to_string();
            let heard = |name: &str| Heard::tensors(name, body.as_bytes(), None).confidence();
            assert_eq!(heard("p"), Some(0.6));
            assert_eq!(heard("q"), None);
        }
        let json = json!({"outputs": [
            {"name": "label", "datatype": "INT64", "shape": [1], "parameters": {"binary_data_size": 8}},
            {"name": "p", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}},
        ]});
        let mut body = json.to_string().into_bytes();
        let head = body.len();
        body.extend(7_u64.to_le_bytes());
        body.extend([0.25_f32, 0.75].into_iter().flat_map(f32::to_le_bytes));
        assert_eq!(Heard::tensors("p", &body, Some(head)).confidence(), Some(0.75));
        assert_eq!(Heard::tensors("p", &body[..head + 10], Some(head)).confidence(), None);
    }
}
