//! A client of Chat at a model that speaks Messages.

use dialects::Dialect::{Chat, Messages};
use serde_json::{Value, json};

use crate::speak::{Between, NOW, all};

const HERE: Between = Between(Chat, Messages);

/// A request with this beside a question.
fn with(more: Value) -> Value {
    let mut request =
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    for (name, value) in more.as_object().expect("members") {
        request[name] = value.clone();
    }
    request
}

fn messages(list: Value) -> Value {
    HERE.asks(json!({"model": "m", "max_tokens": 9, "messages": list}))
}

/// Mutation: drop a member, keep one by its old name, or put what the system says among the turns.
#[test]
fn a_question_is_asked_in_the_other_words() {
    let asked = HERE.asks(json!({
        "model": "claude", "max_completion_tokens": 50, "temperature": 1.7, "top_p": 0.9,
        "stop": "END", "user": "ada", "stream": true, "seed": 7, "n": 1, "logprobs": false,
        "store": false, "presence_penalty": 0, "logit_bias": {}, "service_tier": "auto",
        "stream_options": {"include_usage": true},
        "messages": [
            {"role": "system", "content": "be kind"},
            {"role": "developer", "content": [{"type": "text", "text": "be short"}]},
            {"role": "user", "name": "ada", "content": [
                {"type": "text", "text": "what is this?"},
                {"type": "image_url",
                    "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                {"type": "file", "file": {
                    "filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"}},
            ]},
        ],
    }));
    let expected = json!({
        "model": "claude", "max_tokens": 50,
        "system": [{"type": "text", "text": "be kind"}, {"type": "text", "text": "be short"}],
        "messages": [{"role": "user", "content": [
            {"type": "text", "text": "what is this?"},
            {"type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
            {"type": "document", "title": "a.pdf", "source": {
                "type": "base64", "media_type": "application/pdf", "data": "BBBB"}},
        ]}],
        "temperature": 1, "top_p": 0.9, "stop_sequences": ["END"],
        "metadata": {"user_id": "ada"}, "stream": true,
    });
    assert_eq!(asked, expected);
}

/// Mutation: drop a tool's schema, its order, or that tools go one after the other.
#[test]
fn tools_are_offered_and_chosen() {
    let parameters = json!({"properties": {"why": {"type": "string"}, "at": {"type": "number"}}});
    let tool = json!({"type": "function", "function": {
        "name": "look", "description": "looks", "parameters": parameters, "strict": true,
    }});
    let bare = json!({"type": "function", "function": {"name": "stop"}});
    let choose = |choice: Value, parallel: Value| {
        HERE.asks(with(json!({
            "tools": [tool, bare], "tool_choice": choice, "parallel_tool_calls": parallel,
        })))
    };
    let asked = choose(json!("required"), json!(false));
    assert_eq!(
        asked["tools"],
        json!([
            {"name": "look", "description": "looks", "strict": true, "input_schema": {
                "properties": {"why": {"type": "string"}, "at": {"type": "number"}},
                "type": "object",
            }},
            {"name": "stop", "input_schema": {"type": "object", "properties": {}}},
        ])
    );
    let schema = asked["tools"][0]["input_schema"]["properties"].to_string();
    assert!(schema.find("why") < schema.find("at"), "models answer in this order: {schema}");
    assert_eq!(asked["tool_choice"], json!({"type": "any", "disable_parallel_tool_use": true}));
    assert_eq!(choose(json!("none"), json!(false))["tool_choice"], json!({"type": "none"}));
    assert_eq!(choose(json!("auto"), Value::Null)["tool_choice"], json!({"type": "auto"}));
    let one = json!({"type": "function", "function": {"name": "look"}});
    assert_eq!(choose(one, Value::Null)["tool_choice"], json!({"type": "tool", "name": "look"}));
    assert!(choose(Value::Null, Value::Null).get("tool_choice").is_none());
    assert_eq!(
        choose(Value::Null, json!(false))["tool_choice"],
        json!({"type": "auto", "disable_parallel_tool_use": true})
    );
    let none = HERE.asks(with(json!({"tools": [], "tool_choice": "auto"})));
    assert!(none.get("tools").is_none() && none.get("tool_choice").is_none());
}

/// Mutation: give each result a turn of its own, send an empty block, or lose arguments that are no JSON.
#[test]
fn what_was_said_before_takes_turns() {
    let call = |id: &str, arguments: &str| {
        json!({"id": id, "type": "function",
            "function": {"name": "look", "arguments": arguments}})
    };
    let asked = messages(json!([
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": "", "refusal": null, "audio": null, "annotations": [], "parsed": 1,
            "tool_calls": [call("call:1", "{\"at\": 1}"), call("call_2", ""), call("c3", "{\"at")]},
        {"role": "tool", "tool_call_id": "call:1", "content": "one"},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "two"}]},
        {"role": "tool", "tool_call_id": "c3", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": "\n"}, {"type": "text", "text": "c"}]},
        {"role": "assistant", "content": "So: "},
    ]));
    let text = |text: &str| json!({"type": "text", "text": text});
    let used = |id: &str, input: Value| json!({"type": "tool_use", "id": id, "name": "look", "input": input});
    assert_eq!(
        asked["messages"],
        json!([
            {"role": "user", "content": [text("a"), text("b")]},
            {"role": "assistant", "content": [
                used("call_1", json!({"at": 1})),
                used("call_2", json!({})),
                used("c3", json!({"INVALID_JSON": "{\"at"})),
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": [text("one")]},
                {"type": "tool_result", "tool_use_id": "call_2", "content": [text("two")]},
                {"type": "tool_result", "tool_use_id": "c3"},
                text("c"),
            ]},
            {"role": "assistant", "content": [text("So:")]},
        ])
    );
}

/// Mutation: pass on any of these without a word, or say what stands in it.
#[test]
fn what_cannot_be_said_there_is_refused_by_its_name() {
    for (more, expected) in [
        (json!({"n": 2}), "`n` has no counterpart in the dialect of the model, Messages"),
        (json!({"logit_bias": {"50256": -100}}), "`logit_bias`"),
        (json!({"logprobs": true}), "`logprobs`"),
        (json!({"frequency_penalty": 0.5}), "`frequency_penalty`"),
        (json!({"store": true}), "`store`"),
        (json!({"stop": ["\n\n"]}), "`stop`"),
        (json!({"response_format": {"type": "json_object"}}), "`response_format`"),
        (json!({"modalities": ["text", "audio"]}), "`modalities`"),
        (json!({"functions": [{"name": "f"}]}), "say `tools`"),
        (json!({"web_search_options": {}}), "`web_search_options`"),
        (json!({"tools": [{"type": "custom", "custom": {"name": "x"}}]}), "`tools[0].type`"),
        (json!({"tools": [{"type": "function", "function": {}}]}), "`tools[0].function.name`"),
        (json!({"tool_choice": {"type": "allowed_tools"}}), "`tool_choice`"),
        (json!({"something_new": 1}), "`something_new`"),
        (json!({"a secret thing": 1}), "`(unnamed)`"),
        (json!({"messages": []}), "`messages` is missing"),
        (json!({"messages": [{"role": "user", "content": "  "}]}), "`messages` is missing"),
        (json!({"messages": [{"role": "function"}]}), "`messages[0].role`"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}),
            "`messages[0].content[0]`",
        ),
        (
            json!({"messages": [{"role": "user", "content": [
                {"type": "file", "file": {"file_id": "f"}}]}]}),
            "`messages[0].content[0].file.file_id`",
        ),
        (
            json!({"messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "secret"}}]}]}),
            "`messages[0].content[0].image_url.url`",
        ),
    ] {
        let said = HERE.refuses(with(more.clone()));
        assert!(said.contains(expected), "{more}: {said}");
        assert!(!said.contains("secret"), "{said}");
    }
    let schema = json!({"type": "object"});
    let format = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
    assert_eq!(
        HERE.asks(with(json!({ "response_format": format })))["output_config"],
        json!({"format": {"type": "json_schema", "schema": {"type": "object"}}})
    );
}

/// Mutation: count what was cached twice or not at all, or say `stop` where tools are called.
#[test]
fn an_answer_is_told_in_the_clients_words() {
    let told = HERE.tells(
        with(json!({})),
        json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "Look"}, {"type": "text", "text": "ing."},
                {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"b": 1, "a": [2]}},
                {"type": "tool_use", "id": "toolu_2", "name": "stop", "input": {}},
            ],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {"input_tokens": 10, "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 1000, "output_tokens": 7},
        }),
    );
    let call = |id: &str, name: &str, arguments: &str| {
        json!({"id": id, "type": "function",
            "function": {"name": name, "arguments": arguments}})
    };
    assert_eq!(
        told,
        json!({
            "id": "msg_1", "object": "chat.completion", "created": NOW, "model": "claude-x",
            "choices": [{
                "index": 0, "logprobs": null, "finish_reason": "tool_calls",
                "message": {
                    "role": "assistant", "content": "Looking.", "refusal": null,
                    "tool_calls": [
                        call("toolu_1", "look", "{\"b\":1,\"a\":[2]}"),
                        call("toolu_2", "stop", "{}"),
                    ],
                },
            }],
            "usage": {
                "prompt_tokens": 1110, "completion_tokens": 7, "total_tokens": 1117,
                "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 1000},
            },
        })
    );
    for (theirs, ours) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ] {
        let answer = json!({"content": [], "stop_reason": theirs});
        let told = HERE.tells(with(json!({})), answer);
        assert_eq!(told["choices"][0]["finish_reason"], ours, "{theirs}");
        assert_eq!(told["choices"][0]["message"]["content"], "");
    }
    let translation = HERE.begin(&with(json!({}))).expect("a request");
    assert!(translation.whole(b"<html>").is_err() && translation.whole(b"{}").is_err());
}

/// A stream of a text and two calls of tools, as Anthropic writes it.
pub fn stream() -> Vec<Value> {
    let start = |index: u64, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let delta = |index: u64, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let stop = |index: u64| json!({"type": "content_block_stop", "index": index});
    let part = |text: &str| json!({"type": "input_json_delta", "partial_json": text});
    vec![
        json!({"type": "message_start", "message": {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x",
            "content": [], "stop_reason": null, "usage": {
                "input_tokens": 10, "cache_read_input_tokens": 100, "output_tokens": 1},
        }}),
        start(0, json!({"type": "thinking", "thinking": ""})),
        delta(0, json!({"type": "thinking_delta", "thinking": "hm"})),
        stop(0),
        json!({"type": "ping"}),
        start(1, json!({"type": "text", "text": ""})),
        delta(1, json!({"type": "text_delta", "text": "Loo"})),
        json!({"type": "something_new", "usage": null}),
        delta(1, json!({"type": "text_delta", "text": "king."})),
        stop(1),
        start(2, json!({"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}})),
        delta(2, part("")),
        delta(2, part("{\"at\"")),
        delta(2, part(": 1}")),
        stop(2),
        start(3, json!({"type": "tool_use", "id": "toolu_2", "name": "stop", "input": {}})),
        stop(3),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"},
            "usage": {"input_tokens": 0, "output_tokens": 20}}),
        json!({"type": "message_stop"}),
    ]
}

/// Mutation: count all blocks as calls, lose a piece of arguments, or give a call without any an empty text.
#[test]
fn a_stream_is_told_as_it_comes() {
    let told = HERE.streams(with(json!({"stream": true})), &stream());
    let text: String =
        all(&told, "/choices/0/delta/content").iter().filter_map(|it| it.as_str()).collect();
    assert_eq!(text, "Looking.");
    let mut calls = vec![(String::new(), String::new()); 2];
    for call in all(&told, "/choices/0/delta/tool_calls/0") {
        let at = call["index"].as_u64().expect("each piece says whose it is") as usize;
        calls[at].0.push_str(call["id"].as_str().unwrap_or_default());
        calls[at].1.push_str(call["function"]["arguments"].as_str().expect("a text"));
    }
    let expected = [("toolu_1", "{\"at\": 1}"), ("toolu_2", "{}")];
    assert_eq!(calls, expected.map(|(id, it)| (id.to_owned(), it.to_owned())));
    assert_eq!(all(&told, "/choices/0/finish_reason"), [&json!("tool_calls")]);
    assert!(all(&told, "/usage").is_empty(), "nobody has asked for it");
    assert_eq!(told.last(), Some(&json!("[DONE]")));
    for chunk in &told[..told.len() - 1] {
        assert_eq!((&chunk["id"], &chunk["model"]), (&json!("msg_1"), &json!("claude-x")));
        assert_eq!(chunk["created"], NOW);
    }
}

/// Mutation: leave usage out where it was asked for, or believe the zero of a later event.
#[test]
fn a_stream_says_what_it_used_where_that_was_asked_for() {
    let request = with(json!({"stream": true, "stream_options": {"include_usage": true}}));
    let told = HERE.streams(request, &stream());
    let last = &told[told.len() - 2];
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["prompt_tokens"], 110);
    assert_eq!(last["usage"]["prompt_tokens_details"]["cached_tokens"], 100);
    assert_eq!(last["usage"]["completion_tokens"], 20);
}

/// Mutation: end a stream well that has not ended, go on after its end, or lose what comes in one piece.
#[test]
fn a_stream_that_breaks_off_says_so() {
    let whole = stream();
    for cut in 0..whole.len() - 1 {
        let told = HERE.streams(with(json!({"stream": true})), &whole[..cut]);
        let last = told.last().expect("it says something");
        assert_eq!(last["error"]["code"], "stream_broken", "{cut}: {last}");
    }
    let fails = json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}});
    let events = [&whole[..2], &[fails], &whole[2..]].concat();
    let told = HERE.streams(with(json!({"stream": true})), &events);
    assert_eq!(told.len(), 2);
    assert_eq!(told[1]["error"]["message"], "busy");
    let at_once = json!({"type": "content_block_start", "index": 0, "content_block":
        {"type": "tool_use", "id": "t", "name": "look", "input": {"at": 1}}});
    let stop = json!({"type": "content_block_stop", "index": 0});
    let events = [&whole[..1], &[at_once, stop], &whole[17..]].concat();
    let told = HERE.streams(with(json!({"stream": true})), &events);
    let arguments = all(&told, "/choices/0/delta/tool_calls/0/function/arguments");
    assert_eq!(arguments, [&json!(""), &json!("{\"at\":1}")]);
    let mut unread = HERE.begin(&with(json!({"stream": true}))).expect("a request");
    assert!(unread.event(b"{not JSON").starts_with(b"data: {\"error\""));
    assert!(unread.event(b"{}").is_empty() && unread.end().is_empty());
}
