//! The clients of OpenAI.

use serde_json::{Value, json};

use crate::support::world::{Answer, Request, World};
use crate::{INPUT_TOKENS, OUTPUT_TOKENS, TOOL_ARGUMENTS, Upstream, check, events, halves, named};

/// Mutation: drop a piece of a stream, show the usage that nobody asked for, forward the client's own key,
/// answer a spent budget with 429, wrap the upstream's 400 in words of ours, or book a call at its bound.
#[test]
fn the_python_package_of_openai_works_unchanged() {
    check("with_openai.py", upstream);
}

/// Mutation: as above, or leave `created` out of the models.
#[test]
fn the_node_package_of_openai_works_unchanged() {
    check("with_openai.mjs", upstream);
}

/// Mutation: as above, or keep back the usage of a stream that was asked for.
#[test]
fn langchain_works_unchanged() {
    check("with_langchain.py", upstream);
}

fn upstream() -> Upstream {
    Upstream {
        world: World::new(answer),
        dialect: "open-ai",
        path: "/v1",
        models: &[
            ("chat", "", 60),
            ("silent", "/silent", 60),
            ("hasty", "/silent", 1),
            ("team/wrong", "/wrong", 60),
        ],
    }
}

pub fn answer(request: &Request) -> Answer {
    // A question without a body asks for nothing of it.
    let asked: Value = serde_json::from_str(&request.body).unwrap_or_default();
    match request.path.as_str() {
        path if path.starts_with("/silent/") => Answer::Silence,
        path if path.starts_with("/wrong/") => Answer::Said(400, wrong()),
        "/v1/chat/completions" => chat(&asked),
        "/v1/completions" => completion(&asked),
        "/v1/embeddings" => embeddings(&asked),
        "/v1/responses" => response(&asked),
        _ => Answer::Status(404),
    }
}

fn wrong() -> String {
    json!({"error": {
        "message": "Invalid 'temperature': Expected a value <= 2, but got 9 instead.",
        "type": "invalid_request_error", "param": "temperature", "code": "decimal_above_maximum_value",
    }})
    .to_string()
}

fn usage() -> Value {
    let total = INPUT_TOKENS + OUTPUT_TOKENS;
    json!({"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": total})
}

fn wants_tool(asked: &Value, last: &Value) -> bool {
    asked["tools"].is_array() && last["role"] == "user"
}

fn chat(asked: &Value) -> Answer {
    let last = asked["messages"].as_array().and_then(|it| it.last()).expect("a message");
    let said = last["content"].as_str().unwrap_or_default();
    let said = if last["role"] == "tool" {
        format!("The tool said: {said}")
    } else {
        format!("You said: {said}")
    };
    let is_tool = wants_tool(asked, last);
    if asked["stream"] == true {
        return Answer::Events(if is_tool { tool_chunks() } else { chunks(&said) });
    }
    let (message, reason) = if is_tool {
        let function = json!({"name": "weather", "arguments": TOOL_ARGUMENTS});
        let calls = json!([{"id": "call_1", "type": "function", "function": function}]);
        (json!({"role": "assistant", "content": null, "tool_calls": calls}), "tool_calls")
    } else {
        (json!({"role": "assistant", "content": said}), "stop")
    };
    let choice = json!({"index": 0, "message": message, "finish_reason": reason, "logprobs": null});
    Answer::Json(
        json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "chat",
            "choices": [choice], "usage": usage(),
        })
        .to_string(),
    )
}

fn chunk(delta: &Value, reason: Option<&str>) -> Value {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": reason});
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "chat", "choices": [choice]})
}

/// With the usage at their end, which the site asks for in any case.
fn whole(mut chunks: Vec<Value>) -> String {
    let mut last = chunk(&json!({}), None);
    last["choices"] = json!([]);
    last["usage"] = usage();
    chunks.push(last);
    format!("{}data: [DONE]\n\n", events(chunks))
}

fn chunks(said: &str) -> String {
    let mut all: Vec<Value> =
        halves(said).map(|it| chunk(&json!({"role": "assistant", "content": it}), None)).into();
    all.push(chunk(&json!({}), Some("stop")));
    whole(all)
}

fn tool_chunks() -> String {
    let call = |call: Value| chunk(&json!({"role": "assistant", "tool_calls": [call]}), None);
    let function = json!({"name": "weather", "arguments": ""});
    let mut all =
        vec![call(json!({"index": 0, "id": "call_1", "type": "function", "function": function}))];
    all.extend(
        halves(TOOL_ARGUMENTS).map(|it| call(json!({"index": 0, "function": {"arguments": it}}))),
    );
    all.push(chunk(&json!({}), Some("tool_calls")));
    whole(all)
}

fn completion(asked: &Value) -> Answer {
    let of = |text: &str| {
        let choice = json!({"index": 0, "text": text, "finish_reason": "stop", "logprobs": null});
        json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "chat", "choices": [choice]})
    };
    if asked["stream"] == true {
        let mut pieces: Vec<Value> = halves(" upon a time").map(of).into();
        let mut last = of("");
        (last["choices"], last["usage"]) = (json!([]), usage());
        pieces.push(last);
        return Answer::Events(format!("{}data: [DONE]\n\n", events(pieces)));
    }
    let mut whole = of(" upon a time");
    whole["usage"] = usage();
    Answer::Json(whole.to_string())
}

/// 1 and 0.5, as numbers or as the bytes of two floats.
fn embeddings(asked: &Value) -> Answer {
    let vector = if asked["encoding_format"] == "base64" {
        json!("AACAPwAAAD8=")
    } else {
        json!([1.0, 0.5])
    };
    let count = asked["input"].as_array().map_or(1, Vec::len);
    let row = |index| json!({"object": "embedding", "index": index, "embedding": vector});
    let rows: Vec<Value> = (0..count).map(row).collect();
    let usage = json!({"prompt_tokens": INPUT_TOKENS, "total_tokens": INPUT_TOKENS});
    Answer::Json(
        json!({"object": "list", "model": "chat", "data": rows, "usage": usage}).to_string(),
    )
}

fn response(asked: &Value) -> Answer {
    let last = asked["input"].as_array().and_then(|items| items.last());
    let (said, is_tool_done) = match last {
        None => (asked["input"].as_str().expect("a text").to_owned(), false),
        Some(item) if item["type"] == "function_call_output" => {
            (item["output"].as_str().expect("a text").to_owned(), true)
        }
        Some(item) => (text_of(&item["content"]), false),
    };
    let said =
        if is_tool_done { format!("The tool said: {said}") } else { format!("You said: {said}") };
    let is_tool = asked["tools"].as_array().is_some_and(|it| !it.is_empty()) && !is_tool_done;
    let item = if is_tool {
        json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": TOOL_ARGUMENTS, "status": "completed"})
    } else {
        let part = json!({"type": "output_text", "text": said, "annotations": []});
        json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]})
    };
    let whole = |status: &str, output: Value, usage: Value| {
        json!({
            "id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": "chat",
            "output": output, "usage": usage, "error": null, "incomplete_details": null,
            "instructions": null, "metadata": {}, "parallel_tool_calls": true, "temperature": 1.0,
            "tool_choice": "auto", "tools": [], "top_p": 1.0,
        })
    };
    let used = json!({
        "input_tokens": INPUT_TOKENS, "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": OUTPUT_TOKENS, "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
    });
    let done = whole("completed", json!([item]), used);
    if asked["stream"] != true {
        return Answer::Json(done.to_string());
    }
    let place = json!({"item_id": "msg_1", "output_index": 0, "content_index": 0});
    let event = |kind: &str, number: u32, more: Value| {
        let mut event = place.clone();
        (event["type"], event["sequence_number"]) = (json!(kind), json!(number));
        let members = event.as_object_mut().expect("an object");
        members.extend(more.as_object().expect("an object").clone());
        event
    };
    let empty = json!({"type": "output_text", "text": "", "annotations": []});
    let begun = json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []});
    let [one, other] = halves(&said);
    Answer::Events(named([
        json!({"type": "response.created", "sequence_number": 0, "response": whole("in_progress", json!([]), Value::Null)}),
        json!({"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": begun}),
        event("response.content_part.added", 2, json!({"part": empty})),
        event("response.output_text.delta", 3, json!({"delta": one, "logprobs": []})),
        event("response.output_text.delta", 4, json!({"delta": other, "logprobs": []})),
        event("response.output_text.done", 5, json!({"text": said, "logprobs": []})),
        json!({"type": "response.output_item.done", "sequence_number": 6, "output_index": 0, "item": item}),
        json!({"type": "response.completed", "sequence_number": 7, "response": done}),
    ]))
}

/// Of a content that is a text, or a list of parts.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        _ => content[0]["text"].as_str().expect("a text").to_owned(),
    }
}
