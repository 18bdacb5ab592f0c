//! The answer, whole; and what is around each answer of this dialect.

use serde_json::{Map, Value, json};

use crate::calls::arguments;
use crate::refusal::NotRead;
use crate::tokens::Tokens;
use crate::{text, tool};

/// What an answer says before it says anything.
#[derive(Debug)]
pub(super) struct Head {
    /// What it repeats of the request.
    pub said: Map<String, Value>,
    /// Seconds since 1970.
    pub now: i64,
}

/// How an answer has ended, or that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    InProgress,
    Completed,
    /// With why.
    Incomplete(&'static str),
    Failed,
}

impl Status {
    pub(super) fn of(finish: Option<&str>) -> Self {
        match finish {
            Some("length") => Self::Incomplete("max_output_tokens"),
            Some("content_filter") => Self::Incomplete("content_filter"),
            _ => Self::Completed,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete(_) => "incomplete",
            Self::Failed => "failed",
        }
    }
}

impl Head {
    pub(super) fn response(
        &self,
        id: &str,
        model: &Value,
        status: Status,
        output: Vec<Value>,
    ) -> Value {
        let said = |name: &str, usual: Value| {
            self.said.get(name).filter(|it| !it.is_null()).cloned().unwrap_or(usual)
        };
        let why = match status {
            Status::Incomplete(why) => json!({ "reason": why }),
            _ => Value::Null,
        };
        json!({
            "id": id, "object": "response", "created_at": self.now, "status": status.as_str(),
            "background": false, "error": null, "incomplete_details": why,
            "instructions": said("instructions", Value::Null),
            "max_output_tokens": said("max_output_tokens", Value::Null),
            "model": model, "output": output,
            "parallel_tool_calls": said("parallel_tool_calls", Value::Bool(true)),
            "previous_response_id": null, "store": false,
            "temperature": said("temperature", Value::Null),
            "text": said("text", json!({"format": {"type": "text"}})),
            "tool_choice": said("tool_choice", json!("auto")),
            "tools": said("tools", json!([])),
            "top_p": said("top_p", Value::Null), "truncation": "disabled", "usage": null,
            "user": said("user", Value::Null), "metadata": said("metadata", json!({})),
        })
    }
}

pub(super) fn translated(answer: &Value, head: &Head) -> Result<Value, NotRead> {
    let choice = answer["choices"].get(0).ok_or(NotRead)?;
    let message = &choice["message"];
    let id = response_id(&answer["id"]);
    let status = Status::of(choice["finish_reason"].as_str());
    let mut output = Vec::new();
    let parts: Vec<Value> = ["content", "refusal"]
        .into_iter()
        .filter_map(|name| Some(part(name, &text::said(&message[name])?)))
        .collect();
    if !parts.is_empty() {
        output.push(said(&id, 0, status, parts));
    }
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        let function = &call["function"];
        let (at, arguments) = (output.len(), arguments(&function["arguments"]));
        let call_id = call_id(call["id"].as_str(), &id, at);
        output.push(called(&id, at, status, &call_id, &function["name"], &arguments));
    }
    let mut response = head.response(&id, &answer["model"], status, output);
    response["usage"] = Tokens::of_chat(&answer["usage"]).as_responses();
    Ok(response)
}

pub(super) fn response_id(id: &Value) -> String {
    format!("resp_{}", tool::id(id.as_str().unwrap_or("0")))
}

/// Some servers give calls no ids. Within one conversation they must differ.
pub(super) fn call_id(id: Option<&str>, response: &str, at: usize) -> String {
    match id.filter(|id| !id.is_empty()) {
        Some(id) => id.to_owned(),
        None => format!("call_{response}_{at}"),
    }
}

pub(super) fn item_id(kind: &str, response: &str, at: usize) -> String {
    format!("{kind}_{response}_{at}")
}

/// A part of a message: `content` or `refusal`, as Chat names them.
pub(super) fn part(name: &str, text: &str) -> Value {
    match name {
        "refusal" => json!({"type": "refusal", "refusal": text}),
        _ => json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []}),
    }
}

pub(super) fn said(response: &str, at: usize, status: Status, parts: Vec<Value>) -> Value {
    json!({
        "id": item_id("msg", response, at), "type": "message", "role": "assistant",
        "status": status.as_str(), "content": parts,
    })
}

pub(super) fn called(
    response: &str,
    at: usize,
    status: Status,
    call_id: &str,
    name: &Value,
    arguments: &str,
) -> Value {
    json!({
        "id": item_id("fc", response, at), "type": "function_call", "call_id": call_id,
        "name": name, "arguments": arguments, "status": status.as_str(),
    })
}
