//! What a request to a model asks for: as much of it as decides its way. The rest is passed on as it came.
//!
//! A request is read where it lies, without a tree: at its top, members are found by name and kept as
//! stretches of the text, so that those few that must change can be changed in place.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use pricing::Service;
use serde::Deserializer as _;
use serde::de::{Deserialize, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::name::ModelName;
use crate::operation::Operation;
use crate::reference::beyond;
use crate::unbounded::{UNBOUNDED, tools, unbounded};

/// Members at the top of a request. The richest has some forty.
const MEMBERS_MAX: usize = 256;

/// Answers that one request can ask for at once.
const CHOICES_MAX: u64 = 128;

/// A request as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub operation: Operation,
    pub model: ModelName,
    pub is_streamed: bool,
    /// Whether the client wants to see what a stream has used.
    pub wants_usage: bool,
    /// Tokens of one answer, where the request says so.
    pub output_tokens_max: Option<u64>,
    /// Answers in all.
    pub choices: u64,
    /// Questions in one request: each may fill the model's context.
    pub questions: u64,
    /// Whether what is asked is no text but numbers of tokens.
    pub is_in_tokens: bool,
    /// In which manner it wants to be served; none where the provider may choose a dearer one.
    pub service: Option<Service>,
    /// Whether something is meant that is not in the text: a file or an image elsewhere, what was said
    /// before, a tool that the provider runs. What that costs is not to be seen here.
    pub has_more_elsewhere: bool,
    /// What of it lets nobody say how much is done for it: a tool that the provider runs as often as it likes, a
    /// member by which a server takes another model or another limit.
    pub unbounded: Option<String>,
    /// Whether the answer is to have sound.
    pub speaks: bool,
    /// Images in the text itself.
    pub images: u64,
    /// Tools that are offered to the model.
    pub tools: u64,
    /// Whether the answer must have a form.
    pub has_schema: bool,
    /// Whom it is for, in the client's own words; the same one gets the same model.
    pub user: Option<String>,
    /// Whether the same question may get another answer: a temperature that is not zero.
    pub is_sampled: bool,
    /// Whether the client wants to see how sure the model is of its words.
    pub wants_logprobs: bool,
    members: Members,
}

/// Where the members lie that may be changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Members {
    /// After the opening brace.
    start: usize,
    model: Range<usize>,
    stream_options: Option<Range<usize>>,
    /// Limits of output, by each name that the operation has for it.
    output: Vec<Limit>,
    logprobs: Option<Range<usize>>,
}

/// A limit of output as the request says it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Limit {
    name: &'static str,
    place: Range<usize>,
    /// None where `null` stands there.
    tokens: Option<u64>,
}

/// What goes to an upstream in place of what came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change<'a> {
    /// How the upstream calls the model.
    pub model: Option<&'a str>,
    /// The most that it may answer, where the request says nothing or more.
    pub output_tokens_max: Option<u64>,
    /// By which name it takes that, where the request says nothing.
    pub output_name: &'a str,
    /// Whether it takes that by no other name: what the request says by another is said by this one.
    pub is_output_named: bool,
    /// Whether it may take that by no other name: what the request says by another is said by this one as well.
    pub is_output_repeated: bool,
    /// Whether a stream must tell what it has used.
    pub usage: bool,
    /// Whether a model must tell how sure it is of its words.
    pub logprobs: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    #[error("the request is not JSON: {0}")]
    Json(String),
    #[error("the request is not a JSON object")]
    NotAnObject,
    #[error("`{0}` is missing")]
    Missing(&'static str),
    #[error("`{0}` stands there twice")]
    Twice(&'static str),
    #[error(
        "`{0}` is written with capitals, which some servers read and others do not: write it small"
    )]
    Alike(&'static str),
    #[error("`{name}` is not {wanted}")]
    Wrong { name: &'static str, wanted: &'static str },
    #[error("the model's name is none: {0}")]
    Model(#[from] crate::name::ModelNameError),
    #[error("there are more than {MEMBERS_MAX} members in the request")]
    Members,
}

/// Members that mean something here. Twice the same would be read by us in one way and by an upstream in
/// another.
const READ: [&str; 26] = [
    "model",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "n",
    "best_of",
    "user",
    "safety_identifier",
    "metadata",
    "temperature",
    "messages",
    "input",
    "inputs",
    "prompt",
    "previous_response_id",
    "conversation",
    "tools",
    "logprobs",
    "response_format",
    "text",
    "output_config",
    "service_tier",
    "speed",
    "modalities",
];

impl Ask {
    pub fn read(operation: Operation, body: &[u8]) -> Result<Self, AskError> {
        let text = utf8(body)?;
        let trimmed = text.trim_start();
        if !trimmed.starts_with('{') {
            return Err(AskError::NotAnObject);
        }
        let start = text.len() - trimmed.len() + 1;
        let found = members(text)?;
        let get = |name: &str| found.iter().find(|(key, _)| *key == name).map(|(_, raw)| *raw);
        let model = get("model").ok_or(AskError::Missing("model"))?;
        let question = operation.question();
        let asked = get(question).ok_or(AskError::Missing(question))?;
        let mut output = Vec::new();
        for &name in operation.output_names() {
            let Some(raw) = get(name) else { continue };
            let tokens = (raw.get() != "null").then(|| number(name, raw)).transpose()?;
            // In the Messages API that fills a cache; for some servers of the others it is no limit.
            if tokens == Some(0) && operation != Operation::Messages {
                return Err(AskError::Wrong { name, wanted: "a whole number from 1" });
            }
            output.push(Limit { name, place: range(text, raw), tokens });
        }
        let (questions, is_in_tokens) = questions(operation, asked);
        let choices = choices(operation, questions, &get)?;
        let (beyond, unbounded) = (beyond(operation, asked.get()), unbounded(operation, &get));
        Ok(Self {
            operation,
            model: ModelName::parse(&string("model", model)?)?,
            is_streamed: get("stream").map_or(Ok(false), |raw| boolean("stream", raw))?,
            wants_usage: get("stream_options").is_some_and(wants_usage),
            output_tokens_max: output.iter().filter_map(|it| it.tokens).max(),
            choices,
            questions,
            is_in_tokens,
            service: service(&get),
            has_more_elsewhere: beyond.elsewhere || unbounded.is_some() || is_said_before(&get),
            unbounded,
            speaks: get("modalities").is_some_and(|raw| raw.get().contains("audio")),
            images: beyond.images,
            tools: tools(&get).map_or(0, |tools| tools.len() as u64),
            has_schema: has_schema(operation, &get),
            user: user(operation, &get),
            is_sampled: get("temperature").is_none_or(|raw| !is_zero(raw)),
            wants_logprobs: get("logprobs").is_some_and(|raw| raw.get() == "true"),
            members: Members {
                start,
                model: range(text, model),
                stream_options: get("stream_options").map(|raw| range(text, raw)),
                output,
                logprobs: get("logprobs").map(|raw| range(text, raw)),
            },
        })
    }

    /// A request of the Open Inference Protocol, without the bytes that may follow its JSON. What is in
    /// its tensors is the model's to read.
    pub fn tensors(model: ModelName, json: &[u8]) -> Result<Self, AskError> {
        let found = members(utf8(json)?)?;
        let question = Operation::Infer.question();
        if !found.iter().any(|(key, _)| *key == question) {
            return Err(AskError::Missing(question));
        }
        Ok(Self {
            operation: Operation::Infer,
            model,
            is_streamed: false,
            wants_usage: false,
            output_tokens_max: None,
            choices: 1,
            questions: 1,
            is_in_tokens: false,
            service: Some(Service::Standard),
            has_more_elsewhere: false,
            unbounded: None,
            speaks: false,
            images: 0,
            tools: 0,
            has_schema: false,
            user: None,
            is_sampled: false,
            wants_logprobs: false,
            members: Members::default(),
        })
    }

    /// The request as an upstream gets it. Without a change it is the same bytes.
    #[must_use]
    pub fn changed(&self, body: &Bytes, change: &Change<'_>) -> Bytes {
        let mut edits: Vec<(Range<usize>, String)> = Vec::new();
        let members = &self.members;
        let mut first = String::new();
        if let Some(name) = change.model.filter(|name| *name != self.model.as_str()) {
            edits.push((members.model.clone(), quoted(name)));
        }
        if let Some(limit) = change.output_tokens_max {
            self.limited(limit, body, change, &mut edits, &mut first);
        }
        if change.usage && self.is_streamed && !self.wants_usage {
            const USAGE: &str = "{\"include_usage\":true}";
            match &members.stream_options {
                Some(place) => edits.push((place.clone(), USAGE.to_owned())),
                None => first.push_str(&format!("\"stream_options\":{USAGE},")),
            }
        }
        if change.logprobs && !self.wants_logprobs {
            match &members.logprobs {
                Some(place) => edits.push((place.clone(), "true".to_owned())),
                None => first.push_str("\"logprobs\":true,"),
            }
        }
        if !first.is_empty() {
            edits.push((members.start..members.start, first));
        }
        if edits.is_empty() { body.clone() } else { spliced(body, edits) }
    }

    /// One limit at least stands there afterwards that the upstream reads, and none is higher.
    fn limited(
        &self,
        limit: u64,
        body: &[u8],
        change: &Change<'_>,
        edits: &mut Vec<(Range<usize>, String)>,
        first: &mut String,
    ) {
        let mut is_said = false;
        for Limit { name, place, tokens } in &self.members.output {
            let Some(tokens) = tokens else { continue };
            if change.is_output_named && *name != change.output_name {
                edits.push((place.clone(), "null".to_owned()));
                continue;
            }
            is_said |= !change.is_output_repeated || *name == change.output_name;
            if *tokens > limit {
                edits.push((place.clone(), limit.to_string()));
            }
        }
        if is_said {
            return;
        }
        let tokens = self.output_tokens_max.map_or(limit, |asked| asked.min(limit));
        let places = places(body, change.output_name);
        if places.is_empty() {
            first.push_str(&format!("{}:{tokens},", quoted(change.output_name)));
        }
        edits.extend(places.into_iter().map(|place| (place, tokens.to_string())));
    }
}

fn utf8(body: &[u8]) -> Result<&str, AskError> {
    std::str::from_utf8(body)
        .map_err(|wrong| AskError::Json(format!("byte {} is not UTF-8", wrong.valid_up_to())))
}

/// The bytes with other text at these places.
#[must_use]
pub fn spliced(body: &[u8], mut edits: Vec<(Range<usize>, String)>) -> Bytes {
    edits.sort_by_key(|(place, _)| place.start);
    let more: usize = edits.iter().map(|(_, text)| text.len()).sum();
    let mut out = Vec::with_capacity(body.len() + more);
    let mut at = 0;
    for (place, text) in edits {
        out.extend_from_slice(&body[at..place.start]);
        out.extend_from_slice(text.as_bytes());
        at = place.end;
    }
    out.extend_from_slice(&body[at..]);
    out.into()
}

/// Names of members and their texts, in order, of those that mean something.
type Found<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

fn members(text: &str) -> Result<Found<'_>, AskError> {
    let is_known = |name: &str| READ.contains(&name) || UNBOUNDED.contains(&name);
    let (found, all) = top(text, |name| is_known(name) || alike(name).is_some())?;
    if all > MEMBERS_MAX {
        return Err(AskError::Members);
    }
    if let Some(name) = found.iter().find_map(|(name, _)| alike(name)) {
        return Err(AskError::Alike(name));
    }
    for name in READ {
        if found.iter().filter(|(key, _)| *key == name).count() > 1 {
            return Err(AskError::Twice(name));
        }
    }
    Ok(found)
}

/// The member that this is for who reads capitals as small letters, as servers written in Go do.
fn alike(name: &str) -> Option<&'static str> {
    if name.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return None;
    }
    let small = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        letter => letter.to_ascii_lowercase(),
    };
    let small: String = name.chars().map(small).collect();
    READ.into_iter().chain(UNBOUNDED).find(|known| *known == small)
}

/// Those that are wanted of the members at the top, and how many there are in all.
fn top(text: &str, wanted: impl Fn(&str) -> bool) -> Result<(Found<'_>, usize), AskError> {
    struct Top<F>(F);
    impl<'de, F: Fn(&str) -> bool> Visitor<'de> for Top<F> {
        type Value = (Found<'de>, usize);

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let (mut found, mut all) = (Vec::with_capacity(8), 0);
            while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
                all += 1;
                let raw: &RawValue = map.next_value()?;
                if self.0(&key) {
                    found.push((key, raw));
                }
            }
            Ok((found, all))
        }
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = reader.deserialize_map(Top(wanted)).and_then(|found| reader.end().map(|()| found));
    read.map_err(|error| AskError::Json(place(&error)))
}

/// Where values of this name stand at the top. A client may know a name that we do not.
fn places(body: &[u8], name: &str) -> Vec<Range<usize>> {
    // It was read before.
    let Ok(text) = utf8(body) else { return Vec::new() };
    let found = top(text, |it| it == name).map(|(found, _)| found).unwrap_or_default();
    found.into_iter().map(|(_, raw)| range(text, raw)).collect()
}

/// A name without a copy, where it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Text).map(Key)
    }
}

/// Where a mistake is, without what stands there.
fn place(error: &serde_json::Error) -> String {
    format!("line {}, column {}", error.line(), error.column())
}

fn range(text: &str, raw: &RawValue) -> Range<usize> {
    let start = raw.get().as_ptr() as usize - text.as_ptr() as usize;
    start..start + raw.get().len()
}

fn string(name: &'static str, raw: &RawValue) -> Result<String, AskError> {
    serde_json::from_str(raw.get()).map_err(|_| AskError::Wrong { name, wanted: "a string" })
}

fn boolean(name: &'static str, raw: &RawValue) -> Result<bool, AskError> {
    match raw.get() {
        "true" => Ok(true),
        "false" | "null" => Ok(false),
        _ => Err(AskError::Wrong { name, wanted: "true or false" }),
    }
}

/// For whom it is asked, in the words of its interface.
fn user<'a>(operation: Operation, get: &impl Fn(&str) -> Option<&'a RawValue>) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Metadata {
        user_id: String,
    }
    if operation == Operation::Messages {
        let said = serde_json::from_str::<Metadata>(get("metadata")?.get()).ok()?;
        return Some(said.user_id);
    }
    let mut names = ["user", "safety_identifier"].into_iter();
    names.find_map(|name| string(name, get(name)?).ok())
}

fn number(name: &'static str, raw: &RawValue) -> Result<u64, AskError> {
    raw.get().parse().map_err(|_| AskError::Wrong { name, wanted: "a whole number" })
}

fn choices<'a>(
    operation: Operation,
    questions: u64,
    get: &impl Fn(&str) -> Option<&'a RawValue>,
) -> Result<u64, AskError> {
    let mut most = 1;
    if matches!(operation, Operation::Chat | Operation::Completions) {
        for name in ["n", "best_of"] {
            let raw = get(name).filter(|raw| raw.get() != "null");
            most = most.max(raw.map_or(Ok(1), |raw| number(name, raw))?);
        }
    }
    let wanted = "a number of answers that one request can ask for: 1 to 128";
    if !(1..=CHOICES_MAX).contains(&most) {
        return Err(AskError::Wrong { name: "n", wanted });
    }
    let all = if operation == Operation::Completions { most * questions } else { most };
    if all > CHOICES_MAX {
        let wanted = "as many questions as one request can have: 128 answers in all";
        return Err(AskError::Wrong { name: "prompt", wanted });
    }
    Ok(all)
}

/// How many questions there are in a list, and whether the client has made tokens of its texts by itself: those of one
/// text may stand in the list alone.
fn questions(operation: Operation, asked: &RawValue) -> (u64, bool) {
    if !matches!(operation, Operation::Completions | Operation::Embeddings) {
        return (1, false);
    }
    let list: Result<Vec<&RawValue>, _> = serde_json::from_str(asked.get());
    let Ok(list) = list else { return (1, false) };
    let is_token =
        |it: &&RawValue| it.get().starts_with(|it: char| it == '-' || it.is_ascii_digit());
    let is_in_tokens = list.iter().any(|it| is_token(it) || it.get().starts_with('['));
    (if list.iter().all(is_token) { 1 } else { list.len() as u64 }, is_in_tokens)
}

/// Who says nothing gets what his account at the provider is set to, and `auto` may be anything.
fn service<'a>(get: &impl Fn(&str) -> Option<&'a RawValue>) -> Option<Service> {
    let said = |name: &str| get(name).filter(|raw| raw.get() != "null").map(RawValue::get);
    if said("speed").is_some_and(|speed| speed != "\"standard\"") {
        return Some(Service::Other);
    }
    match said("service_tier")? {
        "\"default\"" | "\"standard\"" | "\"standard_only\"" | "\"on_demand\"" => {
            Some(Service::Standard)
        }
        "\"flex\"" => Some(Service::Flex),
        _ => None,
    }
}

fn wants_usage(raw: &RawValue) -> bool {
    #[derive(serde::Deserialize)]
    struct Options {
        #[serde(default)]
        include_usage: bool,
    }
    serde_json::from_str::<Options>(raw.get()).is_ok_and(|options| options.include_usage)
}

fn is_zero(raw: &RawValue) -> bool {
    raw.get().parse::<f64>().is_ok_and(|value| value == 0.0)
}

/// Whether the answer must have a form, by whichever member says so.
fn has_schema<'a>(operation: Operation, get: &impl Fn(&str) -> Option<&'a RawValue>) -> bool {
    #[derive(serde::Deserialize)]
    struct Form {
        #[serde(default, rename = "type")]
        kind: String,
    }
    #[derive(serde::Deserialize)]
    struct Around {
        format: Option<Form>,
    }
    let around = |name: &str| {
        let read = get(name).and_then(|raw| serde_json::from_str::<Around>(raw.get()).ok());
        read.and_then(|it| it.format)
    };
    let form = match operation {
        Operation::Chat => {
            get("response_format").and_then(|raw| serde_json::from_str(raw.get()).ok())
        }
        Operation::Responses => around("text"),
        Operation::Messages => around("output_config"),
        Operation::Completions | Operation::Embeddings | Operation::Infer => None,
    };
    form.is_some_and(|it: Form| it.kind != "text")
}

/// What a provider has kept goes before what is asked.
fn is_said_before<'a>(get: &impl Fn(&str) -> Option<&'a RawValue>) -> bool {
    let is_there = |name: &str| get(name).is_some_and(|raw| raw.get() != "null");
    is_there("previous_response_id") || is_there("conversation")
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(text: &str) -> Result<Ask, AskError> {
        Ask::read(Operation::Chat, text.as_bytes())
    }

    fn check(text: &str, change: &Change<'_>, expected: &str) {
        let ask = chat(text).expect(text);
        let changed = ask.changed(&Bytes::from(text.to_owned()), change);
        assert_eq!(std::str::from_utf8(&changed), Ok(expected));
        let again: serde_json::Value = serde_json::from_slice(&changed).expect("JSON");
        assert!(again.is_object());
    }

    /// Mutation: change another member, lose one, or change what need not be.
    #[test]
    fn a_request_is_changed_where_it_must_be_and_nowhere_else() {
        let plain = r#" {"model" : "a", "messages":[{"role":"user","content":"\"model\":\"x\""}]}"#;
        check(plain, &Change::default(), plain);
        check(plain, &Change { model: Some("a"), ..Change::default() }, plain);
        let named = Change {
            model: Some("b\"c"),
            output_tokens_max: Some(5),
            output_name: "max_tokens",
            is_output_named: false,
            is_output_repeated: false,
            usage: true,
            logprobs: false,
        };
        check(
            plain,
            &named,
            r#" {"max_tokens":5,"model" : "b\"c", "messages":[{"role":"user","content":"\"model\":\"x\""}]}"#,
        );
        let streamed =
            r#"{"messages":[],"stream":true,"stream_options":{"x":1},"max_tokens":9,"model":"a"}"#;
        check(
            streamed,
            &named,
            r#"{"messages":[],"stream":true,"stream_options":{"include_usage":true},"max_tokens":5,"model":"b\"c"}"#,
        );
        let less = r#"{"model":"a","messages":[],"stream":true,"max_completion_tokens":4}"#;
        check(
            less,
            &Change { usage: true, output_tokens_max: Some(5), ..Change::default() },
            r#"{"stream_options":{"include_usage":true},"model":"a","messages":[],"stream":true,"max_completion_tokens":4}"#,
        );
    }

    /// Mutation: add a second member of the name, leave a higher limit by another name, take the limit of
    /// another interface for one, or leave what the upstream does not read.
    #[test]
    fn what_an_upstream_reads_is_limited_once() {
        let usual =
            Change { output_tokens_max: Some(5), output_name: "max_tokens", ..Change::default() };
        let named = Change { output_name: "num_predict", is_output_named: true, ..usual.clone() };
        let completion = Change { output_name: "max_completion_tokens", ..named.clone() };
        let local = Change { is_output_repeated: true, ..usual.clone() };
        for (change, said, expected) in [
            (&usual, r#""max_tokens":null"#, r#""max_tokens":5"#),
            (
                &usual,
                r#""max_tokens":3,"max_completion_tokens":null"#,
                r#""max_tokens":3,"max_completion_tokens":null"#,
            ),
            (
                &usual,
                r#""max_completion_tokens":3,"max_tokens":900"#,
                r#""max_completion_tokens":3,"max_tokens":5"#,
            ),
            (
                &usual,
                r#""max_completion_tokens":900,"max_tokens":900"#,
                r#""max_completion_tokens":5,"max_tokens":5"#,
            ),
            (&named, r#""max_tokens":3"#, r#""num_predict":3,"max_tokens":null"#),
            (&named, r#""max_tokens":9"#, r#""num_predict":5,"max_tokens":null"#),
            (&completion, r#""max_tokens":3"#, r#""max_completion_tokens":3,"max_tokens":null"#),
            (&completion, r#""max_completion_tokens":9"#, r#""max_completion_tokens":5"#),
            (&local, r#""max_tokens":3"#, r#""max_tokens":3"#),
            (&local, r#""max_completion_tokens":3"#, r#""max_tokens":3,"max_completion_tokens":3"#),
            (
                &local,
                r#""max_completion_tokens":9,"max_tokens":null"#,
                r#""max_completion_tokens":5,"max_tokens":5"#,
            ),
            (&usual, r#""max_output_tokens":1"#, r#""max_tokens":5,"max_output_tokens":1"#),
            (&named, r#""num_predict":900"#, r#""num_predict":5"#),
            (&named, r#""num_pre\u0064ict":900"#, r#""num_pre\u0064ict":5"#),
        ] {
            let text = |said: &str| format!("{{{said},\"model\":\"a\",\"messages\":[]}}");
            check(&text(said), change, &text(expected));
        }
    }

    /// Mutation: take no word, or `auto`, for the standard service, or overlook a speed that costs more.
    #[test]
    fn a_service_is_the_standard_one_where_the_request_says_so() {
        let service = |more: &str| {
            chat(&format!(r#"{{"model":"a","messages":[]{more}}}"#)).expect(more).service
        };
        for (more, expected) in [
            ("", None),
            (r#","service_tier":null"#, None),
            (r#","service_tier":"auto""#, None),
            (r#","service_tier":"priority""#, None),
            (r#","service_tier":"default""#, Some(Service::Standard)),
            (r#","service_tier":"flex""#, Some(Service::Flex)),
            (r#","speed":"standard","service_tier":"standard_only""#, Some(Service::Standard)),
            (r#","speed":"fast","service_tier":"standard_only""#, Some(Service::Other)),
        ] {
            assert_eq!(service(more), expected, "{more}");
        }
    }

    /// Mutation: ask twice, or leave a `false` as it is.
    #[test]
    fn a_model_is_asked_how_sure_it_is_where_the_client_has_not() {
        let change = Change { logprobs: true, ..Change::default() };
        check(
            r#"{"model":"a","messages":[]}"#,
            &change,
            r#"{"logprobs":true,"model":"a","messages":[]}"#,
        );
        for said in ["false", "null"] {
            check(
                &format!(r#"{{"model":"a","logprobs":{said},"messages":[]}}"#),
                &change,
                r#"{"model":"a","logprobs":true,"messages":[]}"#,
            );
        }
        let asked = r#"{"model":"a","logprobs":true,"messages":[]}"#;
        check(asked, &change, asked);
        assert!(chat(asked).expect("a request").wants_logprobs);
    }

    /// Mutation: take the first of two, or pass on what is no request.
    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for (text, expected) in [
            (r#"{"model":"a","model":"b","messages":[]}"#, AskError::Twice("model")),
            (r#"{"model":"a","mod\u0065l":"b","messages":[]}"#, AskError::Twice("model")),
            (
                r#"{"model":"a","messages":[],"stream":false,"stream":true}"#,
                AskError::Twice("stream"),
            ),
            (r#"{"messages":[]}"#, AskError::Missing("model")),
            (r#"{"model":"a"}"#, AskError::Missing("messages")),
            (r#"{"model":7,"messages":[]}"#, AskError::Wrong { name: "model", wanted: "a string" }),
            ("[]", AskError::NotAnObject),
            (r#"{"model":"a","messages":[]"#, AskError::Json("line 1, column 26".to_owned())),
            (r#"{"model":"a","messages":[]} x"#, AskError::Json("line 1, column 29".to_owned())),
            (
                r#"{"model":"a","messages":[],"max_tokens":-1}"#,
                AskError::Wrong { name: "max_tokens", wanted: "a whole number" },
            ),
            (
                r#"{"model":"a","messages":[],"max_tokens":0}"#,
                AskError::Wrong { name: "max_tokens", wanted: "a whole number from 1" },
            ),
            (r#"{"model":"a","messages":[],"Model":"b"}"#, AskError::Alike("model")),
            (r#"{"model":"a","messages":[],"MAX_TOKENS":9}"#, AskError::Alike("max_tokens")),
            (
                "{\"model\":\"a\",\"messages\":[],\"max_to\u{212a}en\u{17f}\":9}",
                AskError::Alike("max_tokens"),
            ),
        ] {
            assert_eq!(chat(text), Err(expected), "{text}");
        }
        let many: String = (0..MEMBERS_MAX).map(|n| format!(",\"x{n}\":1")).collect();
        assert_eq!(
            chat(&format!(r#"{{"model":"a","messages":[]{many}}}"#)),
            Err(AskError::Members)
        );
    }

    /// Mutation: take what is no request of tensors.
    #[test]
    fn a_request_of_tensors_has_inputs() {
        let name = || ModelName::parse("risk@1").expect("a name");
        let read = |text: &str| Ask::tensors(name(), text.as_bytes()).map(|ask| ask.model);
        assert_eq!(read(r#"{"id":"7","inputs":[]}"#), Ok(name()));
        assert_eq!(read("{}"), Err(AskError::Missing("inputs")));
        assert_eq!(read(r#"{"inputs":[],"inputs":[]}"#), Err(AskError::Twice("inputs")));
        assert!(matches!(read("[]"), Err(AskError::Json(_))));
    }

    /// Mutation: believe the smaller of two limits, or one answer where more are asked for.
    #[test]
    fn what_a_request_can_cost_is_read_from_it() {
        let ask = chat(r#"{"model":"a","messages":[],"max_tokens":5,"max_completion_tokens":9,"n":3,"user":"ada","temperature":0.0}"#).expect("a request");
        assert_eq!((ask.output_tokens_max, ask.choices), (Some(9), 3));
        assert_eq!((ask.user.as_deref(), ask.is_sampled), (Some("ada"), false));
        let filled = r#"{"model":"a","messages":[],"max_tokens":0}"#;
        let filled = Ask::read(Operation::Messages, filled.as_bytes()).expect("a request");
        assert_eq!(filled.output_tokens_max, Some(0));
        let several = r#"{"model":"a","prompt":["x","y"],"n":2}"#;
        let several = Ask::read(Operation::Completions, several.as_bytes()).expect("a request");
        assert_eq!(several.choices, 4);
        let wrong = r#"{"model":"a","messages":[],"n":1000000}"#;
        assert!(chat(wrong).is_err());
    }

    /// Mutation: know a user in the words of one interface alone.
    #[test]
    fn each_interface_says_its_own_way_for_whom_it_asks() {
        let user = |operation: Operation, text: &str| {
            let body = format!(r#"{{"model":"a","messages":[],"input":"",{text}}}"#);
            Ask::read(operation, body.as_bytes()).expect("a request").user
        };
        let ada = Some("ada".to_owned());
        assert_eq!(user(Operation::Responses, r#""safety_identifier":"ada""#), ada);
        assert_eq!(user(Operation::Chat, r#""user":"ada","safety_identifier":"bo""#), ada);
        assert_eq!(user(Operation::Messages, r#""metadata":{"user_id":"ada"}"#), ada);
        assert_eq!(user(Operation::Chat, r#""metadata":{"user_id":"ada"}"#), None);
        assert_eq!(user(Operation::Messages, r#""metadata":{"user_id":null}"#), None);
    }

    /// Mutation: overlook anything whose size is not in the text.
    #[test]
    fn what_lies_elsewhere_is_seen_to_be_there() {
        let read = |operation: Operation, text: &str| {
            Ask::read(operation, text.as_bytes()).expect(text).has_more_elsewhere
        };
        let elsewhere = |more: &str| read(Operation::Chat, &format!(r#"{{"model":"a",{more}}}"#));
        assert!(!elsewhere(r#""messages":[{"role":"user","content":"hi"}]"#));
        assert!(elsewhere(r#""messages":[{"content":[{"type":"file","file_id":"f"}]}]"#));
        assert!(elsewhere(r#""messages":[],"tools":[{"type":"web_search"}]"#));
        let before = r#"{"model":"a","input":"x","previous_response_id":"r"}"#;
        assert!(read(Operation::Responses, before));
        assert!(read(Operation::Responses, r#"{"model":"a","input":[{"id":"msg_1"}]}"#));
    }

    /// Mutation: count a list of tokens as so many questions, or a list of texts as one.
    #[test]
    fn each_question_of_a_list_is_counted() {
        let counted = |operation: Operation, asked: &str| {
            let question = operation.question();
            let text = format!(r#"{{"model":"a","{question}":{asked},"n":2}}"#);
            Ask::read(operation, text.as_bytes()).map(|ask| (ask.questions, ask.choices))
        };
        for (asked, questions) in [
            (r#""one""#, 1),
            (r#"["one"]"#, 1),
            (r#"["one","two", "three"]"#, 3),
            ("[1, 2,3,4]", 1),
            ("[[1,2],[3]]", 2),
            ("[]", 1),
        ] {
            let embedded = counted(Operation::Embeddings, asked);
            assert_eq!(embedded, Ok((questions, 1)), "{asked}");
            let completed = counted(Operation::Completions, asked);
            assert_eq!(completed, Ok((questions, 2 * questions)), "{asked}");
        }
        let many = format!("[{}1]", "1,".repeat(4_000));
        assert_eq!(counted(Operation::Completions, &many), Ok((1, 2)));
        let many = format!("[{}\"x\"]", "\"x\",".repeat(100));
        assert_eq!(counted(Operation::Embeddings, &many), Ok((101, 1)));
        assert!(matches!(
            counted(Operation::Completions, &many),
            Err(AskError::Wrong { name: "prompt", .. })
        ));
    }
}
