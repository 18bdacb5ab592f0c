//! What in a good head's answer says that it is none: an error in place of it, nothing at all, or a stream that has
//! no end.

use memchr::memmem;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::operation::Operation;

/// The status of an error that comes without one.
const STATUS_USUAL: u16 = 502;

/// What the data of one event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// That the server lives, that there is no more, or nothing that could be read.
    Nothing,
    /// A part of an answer.
    Part,
    /// There is no answer, as with this status.
    Error(u16),
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    r#type: Value,
    error: Option<Value>,
    #[serde(default)]
    response: Value,
}

#[derive(Deserialize)]
struct Answer {
    choices: Option<IgnoredAny>,
    content: Option<IgnoredAny>,
    data: Option<IgnoredAny>,
    output: Option<IgnoredAny>,
    outputs: Option<IgnoredAny>,
}

/// The status of the error that came in place of a whole answer: its `code`, where that is one.
#[must_use]
pub fn error_in(json: &[u8]) -> Option<u16> {
    memmem::find(json, b"\"error\"")?;
    let event: Event = serde_json::from_slice(json).ok()?;
    event.error.as_ref().and_then(status)
}

/// Whether it is what this interface answers. `head` says how long the JSON of tensors is, where bytes follow it.
#[must_use]
pub fn is_answer(spoken: Operation, whole: &[u8], head: Option<usize>) -> bool {
    let Some(json) = whole.get(..head.unwrap_or(whole.len())) else { return false };
    let Ok(answer) = serde_json::from_slice::<Answer>(json) else { return false };
    // A list is read as its members in order.
    let is_object = json.trim_ascii_start().starts_with(b"{");
    let has_it = match spoken {
        Operation::Chat | Operation::Completions => answer.choices.is_some(),
        Operation::Embeddings => answer.data.is_some(),
        Operation::Responses => answer.output.is_some(),
        Operation::Messages => answer.content.is_some(),
        Operation::Infer => answer.outputs.is_some(),
    };
    is_object && has_it
}

/// What this data of an event says.
#[must_use]
pub fn said_in(data: &[u8]) -> Said {
    if data.trim_ascii() == b"[DONE]" {
        return Said::Nothing;
    }
    // Half of an event, or what no client reads.
    let Ok(event) = serde_json::from_slice::<Event>(data) else { return Said::Nothing };
    let error = event.error.as_ref().and_then(status);
    let inner = || event.response.get("error").and_then(status);
    match (error.or_else(inner), event.r#type.as_str()) {
        (Some(status), _) => Said::Error(status),
        (None, Some("error" | "response.failed")) => Said::Error(STATUS_USUAL),
        (None, Some("ping")) => Said::Nothing,
        (None, _) => Said::Part,
    }
}

/// Whether one of these events says that the answer is whole. What looks like that in the words of an answer is taken
/// for it: the end of the connection says the rest.
#[must_use]
pub fn is_end(events: &[u8]) -> bool {
    const ENDS: [&[u8]; 4] =
        [b"[DONE]", b"message_stop", b"response.completed", b"response.incomplete"];
    let said = |name: &[u8]| {
        memmem::find_iter(events, name).any(|at| {
            let rest = events[at + name.len()..].trim_ascii_start();
            rest.strip_prefix(b":").is_some_and(|it| it.trim_ascii_start().starts_with(b"\""))
        })
    };
    ENDS.iter().any(|end| memmem::find(events, end).is_some()) || said(b"\"finish_reason\"")
}

/// Of an error that is one: some servers write the member into each answer.
fn status(error: &Value) -> Option<u16> {
    match error {
        Value::Null | Value::Bool(false) => return None,
        Value::String(text) if text.is_empty() => return None,
        Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => {}
    }
    let code = match &error["code"] {
        Value::Number(code) => code.as_u64().and_then(|code| u16::try_from(code).ok()),
        Value::String(code) => code.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    Some(code.filter(|code| (400..=599).contains(code)).unwrap_or(STATUS_USUAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take any number for a status, an error of null for one, or words about errors.
    #[test]
    fn an_error_in_place_of_an_answer_has_its_status() {
        for (json, expected) in [
            (r#"{"error":{"message":"x","code":429}}"#, Some(429)),
            (r#"{"error":{"message":"x","code":"503"}}"#, Some(503)),
            (r#"{"error":{"message":"x","code":200}}"#, Some(502)),
            (r#"{"error":{"message":"x","code":"overloaded"}}"#, Some(502)),
            (r#"{"type":"error","error":{"type":"overloaded_error"}}"#, Some(502)),
            (r#"{"error":"boom"}"#, Some(502)),
            (r#"{"error":null,"output":[]}"#, None),
            (r#"{"error":"","outputs":[]}"#, None),
            (r#"{"choices":[{"message":{"content":"\"error\""}}]}"#, None),
            (r#"["error"]"#, None),
            ("", None),
        ] {
            assert_eq!(error_in(json.as_bytes()), expected, "{json}");
        }
    }

    /// Mutation: take any JSON for an answer, the answer of another interface, or half of one; look for JSON behind
    /// the head.
    #[test]
    fn an_answer_is_what_its_interface_has() {
        use Operation::{Chat, Completions, Embeddings, Infer, Messages, Responses};
        let members = [
            (Chat, "choices"),
            (Completions, "choices"),
            (Embeddings, "data"),
            (Responses, "output"),
            (Messages, "content"),
            (Infer, "outputs"),
        ];
        for (spoken, member) in members {
            let good = format!(r#" {{"id":"a","{member}":[]}} "#);
            assert!(is_answer(spoken, good.as_bytes(), None), "{good}");
            for bad in [
                String::new(),
                "{}".to_owned(),
                "<html>".to_owned(),
                "[1,2,3,4,5]".to_owned(),
                good.replace(member, "result"),
                good.replace("]}", "]"),
            ] {
                assert!(!is_answer(spoken, bad.as_bytes(), None), "{spoken:?} {bad}");
            }
        }
        let tensors = b"{\"outputs\":[]}\x00\x01";
        assert!(is_answer(Infer, tensors, Some(tensors.len() - 2)));
        for head in [None, Some(5), Some(tensors.len() + 1)] {
            assert!(!is_answer(Infer, tensors, head), "{head:?}");
        }
    }

    /// Mutation: take a sign of life or the last event for an answer, or an error for a part of one.
    #[test]
    fn an_event_says_whether_there_is_an_answer() {
        for (data, expected) in [
            ("[DONE]", Said::Nothing),
            (r#"{"type":"ping"}"#, Said::Nothing),
            (r#"{"choices":[],"error":{"code":529}}"#, Said::Error(529)),
            (r#"{"type":"error","error":{"type":"overloaded_error"}}"#, Said::Error(502)),
            (r#"{"type":"response.failed","response":{"error":{"code":"x"}}}"#, Said::Error(502)),
            (r#"{"type":"error","message":"x"}"#, Said::Error(502)),
            (r#"{"type":"response.created","response":{"error":null}}"#, Said::Part),
            (r#"{"choices":[{"delta":{"content":"a"}}]}"#, Said::Part),
            (r#"{"response":"words"}"#, Said::Part),
            (r#"{"choices":[{"#, Said::Nothing),
        ] {
            assert_eq!(said_in(data.as_bytes()), expected, "{data}");
        }
    }

    /// Mutation: take a reason of null for the end, or know the end of one interface alone.
    #[test]
    fn a_stream_says_that_it_is_whole() {
        for (events, expected) in [
            ("data: [DONE]\n\n", true),
            (r#"data: {"choices":[{"finish_reason" : "stop"}]}"#, true),
            (r#"data: {"choices":[{"finish_reason":null}]}"#, false),
            (r#"data: {"choices":[{"finish_reason":null},{"finish_reason":"length"}]}"#, true),
            ("event: message_stop\n\n", true),
            (r#"data: {"type":"response.completed"}"#, true),
            (r#"data: {"type":"response.incomplete"}"#, true),
            (r#"data: {"choices":[{"delta":{"content":"a"}}]}"#, false),
            ("", false),
        ] {
            assert_eq!(is_end(events.as_bytes()), expected, "{events}");
        }
    }
}
