//! The answer, whole.

use serde_json::{Value, json};

use crate::refusal::NotRead;
use crate::tokens::Tokens;

pub(super) fn translated(answer: &Value, created: i64) -> Result<Value, NotRead> {
    let blocks = answer["content"].as_array().ok_or(NotRead)?;
    let mut text = String::new();
    let mut calls = Vec::new();
    for block in blocks {
        match block["type"].as_str() {
            Some("text") => text.push_str(block["text"].as_str().unwrap_or_default()),
            Some("tool_use") => calls.push(json!({
                "id": block["id"], "type": "function",
                "function": {"name": block["name"], "arguments": arguments(&block["input"])},
            })),
            // What it thought is not asked for, and a client of Chat has no place for it.
            _ => {}
        }
    }
    let content = if text.is_empty() && !calls.is_empty() { Value::Null } else { text.into() };
    let mut message = json!({"role": "assistant", "content": content, "refusal": null});
    if !calls.is_empty() {
        message["tool_calls"] = Value::Array(calls);
    }
    let mut tokens = Tokens::default();
    tokens.messages_say(&answer["usage"]);
    Ok(json!({
        "id": answer["id"], "object": "chat.completion", "created": created,
        "model": answer["model"],
        "choices": [{
            "index": 0, "message": message, "logprobs": null,
            "finish_reason": finish(answer["stop_reason"].as_str()),
        }],
        "usage": tokens.as_chat(),
    }))
}

/// Arguments are a text there; none are an empty object, since clients read them as JSON.
pub(super) fn arguments(input: &Value) -> String {
    if input.is_null() { "{}".to_owned() } else { input.to_string() }
}

/// Why it ended.
pub(super) fn finish(reason: Option<&str>) -> &'static str {
    match reason {
        Some("max_tokens" | "model_context_window_exceeded") => "length",
        Some("tool_use") => "tool_calls",
        Some("refusal") => "content_filter",
        _ => "stop",
    }
}
