//! What clients and models may send beside what they should: anything at any place.

use dialects::Dialect::{Chat, Messages, Responses};
use serde_json::{Value, json};

use crate::chat_at_messages::stream;
use crate::speak::Between;

/// The same with something odd at each of its places, one after the other.
fn odd(good: &Value) -> Vec<Value> {
    let mut places = Vec::new();
    gather(good, String::new(), &mut places);
    let odd = [json!(null), json!(-1.5), json!("x"), json!({"x": [null]})];
    let with = |place: &str, odd: &Value| {
        let mut value = good.clone();
        *value.pointer_mut(place).expect("it was found there") = odd.clone();
        value
    };
    places.iter().flat_map(|place| odd.iter().map(|odd| with(place, odd))).collect()
}

fn gather(value: &Value, place: String, places: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Array(list) => list.iter().enumerate().map(|(n, it)| (n.to_string(), it)).collect(),
        Value::Object(map) => map.iter().map(|(name, it)| (name.clone(), it)).collect(),
        _ => Vec::new(),
    };
    for (name, inner) in inner {
        gather(inner, format!("{place}/{name}"), places);
    }
    places.push(place);
}

fn chat_request() -> Value {
    json!({
        "model": "m", "max_tokens": 5, "stream": true, "stop": ["a"], "user": "u", "n": 1,
        "temperature": 1, "stream_options": {"include_usage": true},
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "t"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]},
            {"role": "assistant", "tool_calls":
                [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "r"},
        ],
    })
}

fn messages_request() -> Value {
    json!({
        "model": "m", "max_tokens": 5, "stream": true, "system": [{"type": "text", "text": "s"}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": "f"}, "metadata": {"user_id": "u"},
        "output_config": {"format": {"type": "json_schema", "schema": {}}},
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "t"}, {"type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}]},
            {"role": "assistant", "content":
                [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c",
                "content": [{"type": "text", "text": "r"}]}]},
        ],
    })
}

fn responses_request() -> Value {
    json!({
        "model": "m", "max_output_tokens": 5, "stream": true, "instructions": "s",
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        "tool_choice": {"type": "function", "name": "f"}, "reasoning": {"effort": "low"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}},
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "t"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "r"},
        ],
    })
}

fn chunks() -> Vec<Value> {
    let chunk = |delta: Value, finish: Value| {
        json!({"id": "c", "model": "g",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
    };
    let call = json!({"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{}"}});
    vec![
        chunk(json!({"role": "assistant", "content": "a", "tool_calls": [call]}), Value::Null),
        chunk(json!({"refusal": "b"}), json!("stop")),
        json!({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 6,
            "prompt_tokens_details": {"cached_tokens": 9}}}),
        json!("[DONE]"),
    ]
}

/// Mutation: expect anything of a request but that it is JSON.
#[test]
fn no_request_is_too_odd() {
    for (between, request) in [
        (Between(Chat, Messages), chat_request()),
        (Between(Messages, Chat), messages_request()),
        (Between(Responses, Chat), responses_request()),
    ] {
        between.begin(&request).expect("as it is, it can be asked");
        for odd in odd(&request) {
            if let Err(said) = between.begin(&odd) {
                assert!(said.starts_with('`'), "{odd}: {said}");
            }
        }
    }
}

/// Mutation: expect anything of an event, or leave a stream without an end.
#[test]
fn no_event_is_too_odd() {
    const ENDS: [&str; 5] =
        ["message_stop", "error", "response.completed", "response.incomplete", "response.failed"];
    for (between, request, events) in [
        (Between(Chat, Messages), chat_request(), stream()),
        (Between(Messages, Chat), messages_request(), chunks()),
        (Between(Responses, Chat), responses_request(), chunks()),
    ] {
        for odd in odd(&Value::Array(events)) {
            let Value::Array(events) = odd else { continue };
            let told = between.streams(request.clone(), &events);
            let last = told.last().expect("it says something");
            let is_end = last == "[DONE]"
                || !last["error"].is_null()
                || ENDS.iter().any(|end| last["type"] == *end);
            assert!(is_end, "{last}");
        }
    }
}

/// Mutation: expect anything of an answer.
#[test]
fn no_answer_is_too_odd() {
    let call = json!({"id": "c", "function": {"name": "f", "arguments": "{}"}});
    let answer = json!({
        "id": "i", "model": "m", "stop_reason": "tool_use",
        "content": [{"type": "text", "text": "a"},
            {"type": "tool_use", "id": "c", "name": "f", "input": {}}],
        "choices": [{"finish_reason": "stop", "message": {"content": "a", "tool_calls": [call]}}],
        "usage": {"prompt_tokens": 5, "input_tokens": u64::MAX, "output_tokens": u64::MAX},
    });
    for odd in odd(&answer) {
        for (between, request) in [
            (Between(Chat, Messages), chat_request()),
            (Between(Messages, Chat), messages_request()),
            (Between(Responses, Chat), responses_request()),
        ] {
            let translation = between.begin(&request).expect("a request");
            if let Ok(told) = translation.whole(odd.to_string().as_bytes()) {
                serde_json::from_slice::<Value>(&told).expect("JSON");
            }
        }
    }
}
