//! The clients of Anthropic, before an upstream of that dialect.

use serde_json::{Value, json};

use crate::support::world::{Answer, Request, World};
use crate::{INPUT_TOKENS, OUTPUT_TOKENS, TOOL_ARGUMENTS, Upstream, check, halves, named};

/// Mutation: send the secret as a bearer, tell errors in the other dialect's words, drop an event's name, or
/// book a stream without its usage.
#[test]
fn the_python_package_of_anthropic_works_unchanged() {
    check("with_anthropic.py", upstream);
}

/// Mutation: as above.
#[test]
fn the_node_package_of_anthropic_works_unchanged() {
    check("with_anthropic.mjs", upstream);
}

fn upstream() -> Upstream {
    Upstream {
        world: World::new(answer),
        dialect: "anthropic",
        path: "",
        models: &[("chat", "", 60), ("silent", "/silent", 60), ("team/wrong", "/wrong", 60)],
    }
}

fn answer(request: &Request) -> Answer {
    let asked: Value = serde_json::from_str(&request.body).expect("JSON");
    match request.path.as_str() {
        path if path.starts_with("/silent/") => Answer::Silence,
        path if path.starts_with("/wrong/") => {
            let error =
                json!({"type": "invalid_request_error", "message": "temperature: range: 0..1"});
            Answer::Said(400, json!({"type": "error", "error": error}).to_string())
        }
        "/v1/messages" => message(&asked),
        _ => Answer::Status(404),
    }
}

fn message(asked: &Value) -> Answer {
    let last = asked["messages"].as_array().and_then(|it| it.last()).expect("a message");
    let content = &last["content"];
    let done = content[0]["type"] == "tool_result";
    let said = match content.as_str() {
        Some(text) => format!("You said: {text}"),
        None if done => {
            format!("The tool said: {}", content[0]["content"].as_str().expect("a text"))
        }
        None => format!("You said: {}", content[0]["text"].as_str().expect("a text")),
    };
    let is_tool = asked["tools"].is_array() && !done;
    let (block, reason) = if is_tool {
        let input: Value = serde_json::from_str(TOOL_ARGUMENTS).expect("JSON");
        (
            json!({"type": "tool_use", "id": "toolu_1", "name": "weather", "input": input}),
            "tool_use",
        )
    } else {
        (json!({"type": "text", "text": said}), "end_turn")
    };
    let whole = |content: Value, reason: Option<&str>, output: u64| {
        json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "chat", "content": content,
            "stop_reason": reason, "stop_sequence": null,
            "usage": {"input_tokens": INPUT_TOKENS, "output_tokens": output},
        })
    };
    if asked["stream"] != true {
        return Answer::Json(whole(json!([block]), Some(reason), OUTPUT_TOKENS).to_string());
    }
    let text = if is_tool { TOOL_ARGUMENTS } else { &said };
    let delta = |piece: &str| {
        let delta = if is_tool {
            json!({"type": "input_json_delta", "partial_json": piece})
        } else {
            json!({"type": "text_delta", "text": piece})
        };
        json!({"type": "content_block_delta", "index": 0, "delta": delta})
    };
    let mut begun = block;
    if is_tool {
        begun["input"] = json!({});
    } else {
        begun["text"] = json!("");
    }
    let [one, other] = halves(text);
    Answer::Events(named([
        json!({"type": "message_start", "message": whole(json!([]), None, 1)}),
        json!({"type": "content_block_start", "index": 0, "content_block": begun}),
        json!({"type": "ping"}),
        delta(one),
        delta(other),
        json!({"type": "content_block_stop", "index": 0}),
        json!({
            "type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
            "usage": {"output_tokens": OUTPUT_TOKENS},
        }),
        json!({"type": "message_stop"}),
    ]))
}
