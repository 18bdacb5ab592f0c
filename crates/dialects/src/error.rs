//! Errors, in the form that the clients of each dialect read.

use serde_json::{Value, json};

use crate::Dialect;
use crate::translation::framed;

/// The largest part of an upstream's message that is passed on.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// The body of an error.
#[must_use]
pub fn body(dialect: Dialect, status: u16, message: &str, code: Option<&str>) -> Vec<u8> {
    let body = match dialect {
        Dialect::Messages => {
            let mut error = json!({"type": anthropic(status), "message": message});
            if let Some(code) = code {
                error["code"] = Value::from(code);
            }
            json!({"type": "error", "error": error})
        }
        Dialect::Chat | Dialect::Responses => json!({"error": {
            "message": message, "type": openai(status), "param": null, "code": code,
        }}),
    };
    body.to_string().into_bytes()
}

/// The last event of a stream that has not ended well.
#[must_use]
pub fn broken(dialect: Dialect, message: &str) -> Vec<u8> {
    let event = match dialect {
        Dialect::Messages => messages_event(message),
        Dialect::Chat | Dialect::Responses => chat_event(message),
    };
    framed(dialect, &event)
}

pub(crate) fn chat_event(message: &str) -> Value {
    json!({"error": {
        "message": message, "type": "api_error", "param": null, "code": "stream_broken",
    }})
}

pub(crate) fn messages_event(message: &str) -> Value {
    json!({"type": "error", "error": {"type": "api_error", "message": message}})
}

/// An upstream's error, told again.
pub(crate) fn told(dialect: Dialect, status: u16, theirs: &[u8]) -> Vec<u8> {
    let theirs: Value = serde_json::from_slice(theirs).unwrap_or_default();
    let code = theirs["error"]["code"].as_str();
    match message(&theirs) {
        Some(message) => body(dialect, status, message, code),
        None => body(dialect, status, "the model does not take this request", code),
    }
}

/// What an error says, wherever servers put it.
pub(crate) fn message(body: &Value) -> Option<&str> {
    let error = &body["error"];
    let places = [&error["message"], error, &body["message"], &body["detail"]];
    let message = places.into_iter().find_map(Value::as_str)?;
    let end = message.floor_char_boundary(MESSAGE_BYTES_MAX);
    Some(&message[..end])
}

const fn openai(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "insufficient_quota",
        403 => "permission_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

const fn anthropic(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        503 => "overloaded_error",
        504 => "timeout_error",
        _ => "api_error",
    }
}
