//! The answer, whole.

use serde_json::{Value, json};

use crate::calls::arguments;
use crate::refusal::NotRead;
use crate::text::said;
use crate::tokens::Tokens;
use crate::tool;

pub(super) fn translated(answer: &Value) -> Result<Value, NotRead> {
    let choice = answer["choices"].get(0).ok_or(NotRead)?;
    let message = &choice["message"];
    let mut content = Vec::new();
    for name in ["content", "refusal"] {
        if let Some(text) = said(&message[name]) {
            content.push(json!({"type": "text", "text": text}));
        }
    }
    let calls = message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (n, call) in calls.iter().enumerate() {
        let function = &call["function"];
        content.push(json!({
            "type": "tool_use", "id": id(call["id"].as_str(), &answer["id"], n), "name": function["name"],
            "input": tool::input(&arguments(&function["arguments"])),
        }));
    }
    let reason = choice["finish_reason"].as_str();
    Ok(json!({
        "id": answer["id"].as_str().unwrap_or_default(), "type": "message", "role": "assistant",
        "model": answer["model"], "content": content,
        "stop_reason": reason_of(reason, !calls.is_empty(), message["refusal"].is_string()),
        "stop_sequence": null, "usage": Tokens::of_chat(&answer["usage"]).as_messages(),
    }))
}

/// Some servers give calls no ids. Within one conversation they must differ.
pub(super) fn id(id: Option<&str>, answer: &Value, n: usize) -> String {
    match id.filter(|id| !id.is_empty()) {
        Some(id) => id.to_owned(),
        None => format!("{}_{n}", tool::id(answer.as_str().unwrap_or("call"))),
    }
}

/// Why it ended. Some servers say `stop` beside a call, which a client of Messages would not make then.
pub(super) fn reason_of(reason: Option<&str>, has_calls: bool, is_refused: bool) -> &'static str {
    match reason {
        Some("length") => "max_tokens",
        Some("content_filter") => "refusal",
        Some("tool_calls" | "function_call") => "tool_use",
        _ if has_calls => "tool_use",
        _ if is_refused => "refusal",
        _ => "end_turn",
    }
}
