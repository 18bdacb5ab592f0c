//! A client of Messages at a model that speaks Chat.

use dialects::Dialect::{Chat, Messages};
use dialects::{Terms, Translation};
use serde_json::{Value, json};

use crate::speak::{Between, all, types};

const HERE: Between = Between(Messages, Chat);

/// A request with this beside a question.
fn with(more: Value) -> Value {
    let mut request =
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    for (name, value) in more.as_object().expect("members") {
        request[name] = value.clone();
    }
    request
}

/// Mutation: drop a member, put a result behind what follows it, or pass a thought on.
#[test]
fn a_question_is_asked_in_the_other_words() {
    let asked = HERE.asks(json!({
        "model": "gpt", "max_tokens": 50, "temperature": 0.5, "top_p": 0.9,
        "stop_sequences": ["END"], "stream": true, "metadata": {"user_id": "ada"},
        "thinking": {"type": "enabled", "budget_tokens": 1024}, "service_tier": "auto",
        "output_config": {"effort": "low",
            "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "system": [
            {"type": "text", "text": "be kind", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "be short"},
        ],
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "Looking."},
                {"type": "tool_use", "id": "t1", "name": "look", "input": {"b": 1, "a": 2}},
                {"type": "tool_use", "id": "t2", "name": "stop", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "one", "is_error": true},
                {"type": "tool_result", "tool_use_id": "t2",
                    "content": [{"type": "text", "text": "two"}, {"type": "text", "text": "2"},
                        {"type": "image", "source": {"type": "url", "url": "https://x/2.png"}}]},
                {"type": "text", "text": "and this?"},
                {"type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                {"type": "document", "title": "a.pdf", "source":
                    {"type": "base64", "media_type": "application/pdf", "data": "BBBB"}},
            ]},
            {"role": "assistant", "content": "ok"},
            {"role": "user", "content": [{"type": "text", "text": "go on"}]},
        ],
    }));
    let call = |id: &str, name: &str, arguments: &str| {
        json!({"id": id, "type": "function",
            "function": {"name": name, "arguments": arguments}})
    };
    let expected = json!({
        "model": "gpt", "max_tokens": 50,
        "messages": [
            {"role": "system", "content": "be kind\n\nbe short"},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "Looking.", "tool_calls": [
                call("t1", "look", "{\"b\":1,\"a\":2}"), call("t2", "stop", "{}")]},
            {"role": "tool", "tool_call_id": "t1", "content": "one"},
            {"role": "tool", "tool_call_id": "t2", "content": "two\n2"},
            {"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "https://x/2.png"}},
                {"type": "text", "text": "and this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                {"type": "file", "file": {
                    "filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"}},
            ]},
            {"role": "assistant", "content": "ok"},
            {"role": "user", "content": "go on"},
        ],
        "temperature": 0.5, "top_p": 0.9, "stop": ["END"],
        "response_format": {"type": "json_schema", "json_schema":
            {"name": "answer", "schema": {"type": "object"}, "strict": true}},
        "user": "ada", "stream": true,
    });
    assert_eq!(asked, expected);
}

/// Mutation: offer a tool without its schema, or let tools go side by side that may not.
#[test]
fn tools_are_offered_and_chosen() {
    let tool = json!({"name": "look", "description": "looks", "input_schema": {"type": "object"},
        "cache_control": {"type": "ephemeral"}});
    let choose = |choice: Value| HERE.asks(with(json!({"tools": [tool], "tool_choice": choice})));
    let asked = choose(json!({"type": "any", "disable_parallel_tool_use": true}));
    assert_eq!(
        asked["tools"],
        json!([{"type": "function", "function": {
            "name": "look", "description": "looks", "parameters": {"type": "object"}}}])
    );
    assert_eq!(asked["tool_choice"], "required");
    assert_eq!(asked["parallel_tool_calls"], false);
    assert_eq!(choose(json!({"type": "auto"}))["tool_choice"], "auto");
    assert_eq!(choose(json!({"type": "none"}))["tool_choice"], "none");
    assert_eq!(
        choose(json!({"type": "tool", "name": "look"}))["tool_choice"],
        json!({"type": "function", "function": {"name": "look"}})
    );
}

/// Mutation: name the limit of output as other models do.
#[test]
fn a_limit_of_output_has_the_models_own_name() {
    let terms = Terms { output_name: "max_completion_tokens", now: 0 };
    let request = with(json!({})).to_string();
    let made = Translation::of(Messages, Chat, request.as_bytes(), terms).expect("known");
    let request = made.expect("a request").take_request();
    let asked: Value = serde_json::from_slice(&request).expect("JSON");
    assert_eq!(asked["max_completion_tokens"], 9);
    assert!(asked.get("max_tokens").is_none());
}

/// Mutation: pass on any of these without a word.
#[test]
fn what_cannot_be_said_there_is_refused_by_its_name() {
    let said_by_user = |part: Value| json!({"messages": [{"role": "user", "content": [part]}]});
    for (more, expected) in [
        (json!({"top_k": 5}), "`top_k` has no counterpart in the dialect of the model, Chat"),
        (json!({"mcp_servers": []}), "`mcp_servers`"),
        (json!({"thread": {"type": "continue"}}), "`thread=False`"),
        (json!({"container": "c"}), "`container`"),
        (json!({"inference_geo": "eu"}), "`inference_geo`"),
        (json!({"something_new": {}}), "`something_new`"),
        (
            json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
            "`tools[0].type`",
        ),
        (
            said_by_user(json!({"type": "image", "source": {"type": "file", "file_id": "f"}})),
            "`messages[0].content[0].source.type`",
        ),
        (
            said_by_user(json!({"type": "tool_result", "tool_use_id": "t", "content": [
                {"type": "document", "source": {"type": "url", "url": "u"}}]})),
            "`messages[0].content[0].content[0]`",
        ),
        (said_by_user(json!({"type": "search_result"})), "`messages[0].content[0]`"),
        (
            json!({"messages": [{"role": "assistant", "content": [
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}]}]}),
            "`messages[0].content[0]`",
        ),
    ] {
        let said = HERE.refuses(with(more.clone()));
        assert!(said.contains(expected), "{more}: {said}");
    }
}

/// Mutation: count what was cached twice, open an empty block, or believe `stop` beside a call.
#[test]
fn an_answer_is_told_in_the_clients_words() {
    let told = HERE.tells(
        with(json!({})),
        json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-x",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {
                "role": "assistant", "content": "", "reasoning_content": "hm",
                "tool_calls": [
                    {"id": "call_1", "type": "function",
                        "function": {"name": "look", "arguments": "{\"b\":1,\"a\":2}"}},
                    {"type": "function", "function": {"name": "stop", "arguments": "{\"cut"}},
                    {"id": "", "type": "function", "function": {"name": "stop", "arguments": ""}},
                ],
            }}],
            "usage": {
                "prompt_tokens": 110, "completion_tokens": 7, "total_tokens": 117,
                "prompt_tokens_details": {"cached_tokens": 100},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
        }),
    );
    let used = |id: &str, name: &str, input: Value| json!({"type": "tool_use", "id": id, "name": name, "input": input});
    assert_eq!(
        told,
        json!({
            "id": "chatcmpl-1", "type": "message", "role": "assistant", "model": "gpt-x",
            "content": [
                used("call_1", "look", json!({"b": 1, "a": 2})),
                used("chatcmpl-1_1", "stop", json!({"INVALID_JSON": "{\"cut"})),
                used("chatcmpl-1_2", "stop", json!({})),
            ],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {"input_tokens": 10, "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 100, "output_tokens": 7},
        })
    );
    for (theirs, ours) in [
        (json!("stop"), "end_turn"),
        (json!("length"), "max_tokens"),
        (json!("content_filter"), "refusal"),
        (Value::Null, "end_turn"),
    ] {
        let message = json!({"role": "assistant", "content": "yes"});
        let answer = json!({"choices": [{"finish_reason": theirs, "message": message}]});
        let told = HERE.tells(with(json!({})), answer);
        assert_eq!(told["stop_reason"], ours);
        assert_eq!(told["content"], json!([{"type": "text", "text": "yes"}]));
    }
    let translation = HERE.begin(&with(json!({}))).expect("a request");
    assert!(translation.whole(b"{\"choices\": []}").is_err());
}

fn chunk(delta: Value, finish: Value) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
}

fn call(index: Value, id: Value, name: Value, arguments: &str) -> Value {
    let call = json!({"index": index, "id": id, "type": "function",
        "function": {"name": name, "arguments": arguments}});
    chunk(json!({ "tool_calls": [call] }), Value::Null)
}

/// The blocks of a stream, put together as clients do.
fn blocks(events: &[Value]) -> Vec<Value> {
    let mut blocks: Vec<(Value, String)> = Vec::new();
    let mut open = Vec::new();
    for event in events {
        let at = event["index"].as_u64().unwrap_or_default() as usize;
        match event["type"].as_str() {
            Some("content_block_start") => {
                assert_eq!(at, blocks.len(), "blocks are counted one by one");
                blocks.push((event["content_block"].clone(), String::new()));
                open.push(at);
            }
            Some("content_block_delta") => {
                assert!(open.contains(&at), "{event} is of no open block");
                let delta = &event["delta"];
                let part = delta["text"].as_str().or(delta["partial_json"].as_str());
                let part = part.expect("a part");
                assert!(!part.is_empty(), "nothing is told for nothing");
                blocks[at].1.push_str(part);
            }
            Some("content_block_stop") => open.retain(|it| *it != at),
            _ => {}
        }
    }
    assert!(open.is_empty(), "{open:?} are never closed");
    blocks.into_iter().map(|(block, text)| json!([block["type"], block["id"], text])).collect()
}

/// Mutation: open a block for an empty text, lose the text or the call of a chunk that has both, or say
/// `end_turn` behind a call.
#[test]
fn a_stream_is_told_as_it_comes() {
    let usage = json!({"id": "chatcmpl-1", "choices": [], "usage": {
        "prompt_tokens": 110, "completion_tokens": 20, "total_tokens": 130,
        "prompt_tokens_details": {"cached_tokens": 100}}});
    let both = json!({"content": "king.", "tool_calls": [
        {"index": 0, "id": "c1", "function": {"name": "look", "arguments": "{\"at\""}}]});
    let told = HERE.streams(
        with(json!({"stream": true})),
        &[
            chunk(json!({"role": "assistant", "content": "", "tool_calls": []}), Value::Null),
            chunk(json!({"content": [{"type": "thinking", "thinking": []}]}), Value::Null),
            chunk(json!({"content": [{"type": "text", "text": "Loo"}]}), Value::Null),
            json!({"something": "new"}),
            chunk(both, Value::Null),
            call(json!(0), Value::Null, Value::Null, ": 1}"),
            call(json!(1), json!("c2"), json!("stop"), ""),
            call(json!(1), Value::Null, Value::Null, "{}"),
            chunk(json!({}), json!("tool_calls")),
            usage,
            json!("[DONE]"),
        ],
    );
    assert_eq!(
        types(&told),
        [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
    );
    assert_eq!(
        blocks(&told),
        [
            json!(["text", null, "Looking."]),
            json!(["tool_use", "c1", "{\"at\": 1}"]),
            json!(["tool_use", "c2", "{}"]),
        ]
    );
    let end = &told[told.len() - 2];
    assert_eq!(end["delta"]["stop_reason"], "tool_use");
    assert_eq!(
        end["usage"],
        json!({"input_tokens": 10, "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 100, "output_tokens": 20})
    );
}

/// Mutation: believe the number alone, begin a new call for each piece, or mix two that come side by side.
#[test]
fn calls_are_told_apart_however_they_are_counted() {
    let null = || Value::Null;
    let told = |events: Vec<Value>| {
        let end = chunk(json!({}), json!("stop"));
        let events = [events, vec![end, json!("[DONE]")]].concat();
        let told = HERE.streams(with(json!({"stream": true})), &events);
        assert_eq!(all(&told, "/delta/stop_reason"), [&json!("tool_use")]);
        blocks(&told)
    };
    let expected = [json!(["tool_use", "a", "{\"x\":1}"]), json!(["tool_use", "b", "{\"y\":2}"])];
    // As OpenAI counts them, side by side.
    let beside = vec![
        call(json!(0), json!("a"), json!("f"), "{\"x\""),
        call(json!(1), json!("b"), json!("g"), "{\"y\""),
        call(json!(0), null(), null(), ":1}"),
        call(json!(1), null(), null(), ":2}"),
    ];
    assert_eq!(told(beside), expected);
    // All of them 0, each whole.
    let zero = vec![
        call(json!(0), json!("a"), json!("f"), "{\"x\":1}"),
        call(json!(0), json!("b"), json!("g"), "{\"y\":2}"),
    ];
    assert_eq!(told(zero), expected);
    // Without a number, in pieces.
    let none = vec![
        call(null(), json!("a"), json!("f"), "{\"x\""),
        call(null(), null(), null(), ":1}"),
        call(null(), json!("b"), json!("g"), "{\"y\""),
        call(null(), json!("b"), null(), ":2}"),
    ];
    assert_eq!(told(none), expected);
    // The id with each piece, and the name last.
    let late = vec![
        call(json!(0), json!("a"), null(), "{\"x\""),
        call(json!(0), json!("a"), json!("f"), ":1}"),
        call(json!(1), json!("b"), json!("g"), "{\"y\":2}"),
    ];
    assert_eq!(told(late), expected);
    // With no id at all.
    let bare = vec![
        call(json!(0), null(), json!("f"), "{\"x\":1}"),
        call(json!(1), null(), json!("g"), "{\"y\":2}"),
    ];
    assert_eq!(
        told(bare),
        [
            json!(["tool_use", "chatcmpl-1_0", "{\"x\":1}"]),
            json!(["tool_use", "chatcmpl-1_1", "{\"y\":2}"]),
        ]
    );
}

/// Mutation: end a stream well that has not ended, or go on behind an error.
#[test]
fn a_stream_that_breaks_off_says_so() {
    let said = chunk(json!({"content": "a"}), Value::Null);
    let ended = chunk(json!({}), json!("stop"));
    let request = || with(json!({"stream": true}));
    let told = HERE.streams(request(), std::slice::from_ref(&said));
    assert_eq!(types(&told).last(), Some(&"error"));
    // Some servers forget to say that they are done.
    let told = HERE.streams(request(), &[said.clone(), ended.clone()]);
    assert_eq!(types(&told).last(), Some(&"message_stop"));
    let fails = json!({"error": {"message": "busy", "code": 500}});
    let told = HERE.streams(request(), &[said, fails, ended, json!("[DONE]")]);
    let last = told.last().expect("an event");
    assert_eq!((&last["type"], &last["error"]["message"]), (&json!("error"), &json!("busy")));
}

/// Mutation: keep as much of a stream as a server sends.
#[test]
fn what_is_kept_of_a_stream_has_limits() {
    let breaks = |events: Vec<Value>| {
        let told = HERE.streams(with(json!({"stream": true})), &events);
        let last = told.last().expect("an event").clone();
        last["error"]["message"].as_str().unwrap_or_default().to_owned()
    };
    let many = (0..1_025).map(|n| call(json!(n), json!(format!("c{n}")), json!("f"), "{}"));
    assert_eq!(breaks(many.collect()), "the model calls too many tools");
    let long = "x".repeat(20_000);
    let named = vec![call(json!(0), json!("c"), json!(long), "{}")];
    assert_eq!(breaks(named), "the model calls a tool by too long a name");
    let half = "x".repeat(600_000);
    let waits = (0..2).map(|n| call(json!(n), json!(format!("c{n}")), Value::Null, &half));
    assert_eq!(breaks(waits.collect()), "the model does not say which tool it calls");
}
