//! A client of Responses at a model that speaks Chat, or Messages by way of it.

use dialects::Dialect::{Chat, Messages, Responses};
use serde_json::{Value, json};

use crate::speak::{Between, NOW, all, types};

const HERE: Between = Between(Responses, Chat);

/// A request with this beside a question.
fn with(more: Value) -> Value {
    let mut request = json!({"model": "m", "input": "hi"});
    for (name, value) in more.as_object().expect("members") {
        request[name] = value.clone();
    }
    request
}

/// Mutation: drop a member, give each call a message of its own, or keep a developer.
#[test]
fn a_question_is_asked_in_the_other_words() {
    let asked = HERE.asks(json!({
        "model": "gpt", "instructions": "be kind", "max_output_tokens": 50, "temperature": 0.5,
        "top_p": 0.9, "stream": true, "user": "ada", "store": false, "metadata": {"a": "b"},
        "include": ["reasoning.encrypted_content"], "truncation": "disabled",
        "reasoning": {"effort": "low", "summary": "auto"}, "parallel_tool_calls": false,
        "text": {"verbosity": "low", "format":
            {"type": "json_schema", "name": "x", "schema": {"type": "object"}, "strict": true}},
        "tools": [{"type": "function", "name": "look", "description": "looks",
            "parameters": {"type": "object"}, "strict": false}],
        "tool_choice": {"type": "function", "name": "look"},
        "input": [
            {"role": "developer", "content": "be short"},
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "what?"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
                {"type": "input_file", "filename": "a.pdf",
                    "file_data": "data:application/pdf;base64,BBBB"},
            ]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
            {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
                "content": [{"type": "output_text", "text": "Looking.", "annotations": []}]},
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look",
                "arguments": "{}", "status": "completed", "parsed_arguments": {}},
            {"type": "function_call", "call_id": "c2", "name": "look", "arguments": "{\"a\":1}"},
            {"type": "function_call_output", "call_id": "c1", "output": "one"},
            {"type": "function_call_output", "call_id": "c2",
                "output": [{"type": "input_text", "text": "two"}]},
        ],
    }));
    let call = |id: &str, arguments: &str| {
        json!({"id": id, "type": "function",
            "function": {"name": "look", "arguments": arguments}})
    };
    let expected = json!({
        "model": "gpt", "max_tokens": 50,
        "messages": [
            {"role": "system", "content": "be kind"},
            {"role": "system", "content": "be short"},
            {"role": "user", "content": [
                {"type": "text", "text": "what?"},
                {"type": "image_url",
                    "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
                {"type": "file", "file": {
                    "filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"}},
            ]},
            {"role": "assistant", "content": "Looking.",
                "tool_calls": [call("c1", "{}"), call("c2", "{\"a\":1}")]},
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {"role": "tool", "tool_call_id": "c2", "content": "two"},
        ],
        "tools": [{"type": "function", "function": {"name": "look", "description": "looks",
            "parameters": {"type": "object"}, "strict": false}}],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "parallel_tool_calls": false,
        "response_format": {"type": "json_schema", "json_schema":
            {"name": "x", "schema": {"type": "object"}, "strict": true}},
        "reasoning_effort": "low", "temperature": 0.5, "top_p": 0.9, "user": "ada",
        "stream": true, "stream_options": {"include_usage": true},
    });
    assert_eq!(asked, expected);
}

/// Mutation: pass on any of these without a word.
#[test]
fn what_cannot_be_said_there_is_refused_by_its_name() {
    for (more, expected) in [
        (json!({"previous_response_id": "r"}), "`previous_response_id`"),
        (json!({"conversation": "c"}), "`conversation`"),
        (json!({"prompt": {"id": "p"}}), "`prompt`"),
        (json!({"store": true}), "`store`"),
        (json!({"background": true}), "`background`"),
        (json!({"truncation": "auto"}), "`truncation`"),
        (json!({"include": ["message.output_text.logprobs"]}), "`include`"),
        (json!({"tools": [{"type": "web_search"}]}), "`tools[0].type`"),
        (json!({"tool_choice": {"type": "web_search"}}), "`tool_choice`"),
        (json!({"input": [{"type": "item_reference", "id": "i"}]}), "`input[0]`"),
        (json!({"input": [{"type": "item_reference", "id": "i"}]}), "an `item_reference` names"),
        (json!({"input": [{"type": "item_reference", "id": "i"}]}), "with `store: false`"),
        (
            json!({"input": [{"role": "user", "content": [
                {"type": "input_image", "file_id": "f"}]}]}),
            "`input[0].content[0].file_id`",
        ),
        (
            json!({"input": [{"role": "user", "content": [
                {"type": "input_file", "file_url": "u"}]}]}),
            "`input[0].content[0].file_url`",
        ),
        (json!({"input": null}), "`input` is missing"),
    ] {
        let said = HERE.refuses(with(more.clone()));
        assert!(said.contains(expected), "{more}: {said}");
    }
}

/// Mutation: say `completed` where the answer was cut, or lose what the request said.
#[test]
fn an_answer_is_told_in_the_clients_words() {
    let call = json!({"id": "c1", "type": "function",
        "function": {"name": "look", "arguments": "{}"}});
    let answer = |finish: &str| {
        json!({
            "id": "chatcmpl-1", "created": 1, "model": "gpt-x",
            "choices": [{"index": 0, "finish_reason": finish, "message":
                {"role": "assistant", "content": "Looking.", "tool_calls": [call]}}],
            "usage": {"prompt_tokens": 110, "completion_tokens": 7, "total_tokens": 117,
                "prompt_tokens_details": {"cached_tokens": 100},
                "completion_tokens_details": {"reasoning_tokens": 3}},
        })
    };
    let request = with(json!({"instructions": "be kind", "metadata": {"a": "b"}}));
    let told = HERE.tells(request.clone(), answer("tool_calls"));
    assert_eq!(told["status"], "completed");
    assert_eq!((&told["instructions"], &told["metadata"]["a"]), (&json!("be kind"), &json!("b")));
    assert_eq!((&told["created_at"], &told["model"]), (&json!(NOW), &json!("gpt-x")));
    assert_eq!(told["output"][0]["content"][0]["text"], "Looking.");
    let called = &told["output"][1];
    assert_eq!((&called["call_id"], &called["arguments"]), (&json!("c1"), &json!("{}")));
    assert_eq!(
        told["usage"],
        json!({"input_tokens": 110, "input_tokens_details":
            {"cached_tokens": 100, "cache_write_tokens": 0}, "output_tokens": 7,
            "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 117})
    );
    let cut = HERE.tells(request, answer("length"));
    assert_eq!(cut["status"], "incomplete");
    assert_eq!(cut["incomplete_details"]["reason"], "max_output_tokens");
}

fn chunk(delta: Value, finish: Value) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
}

/// Mutation: skip an event, count two the same, or end without what was used.
#[test]
fn a_stream_is_told_as_it_comes() {
    let call = |index: u64, id: Value, name: Value, arguments: &str| {
        let function = json!({"name": name, "arguments": arguments});
        let call = json!({"index": index, "id": id, "function": function});
        chunk(json!({ "tool_calls": [call] }), Value::Null)
    };
    let told = HERE.streams(
        with(json!({"stream": true})),
        &[
            chunk(json!({"role": "assistant", "content": ""}), Value::Null),
            chunk(json!({"content": "Loo"}), Value::Null),
            chunk(json!({"content": "king."}), Value::Null),
            call(0, json!("c1"), json!("look"), ""),
            call(0, Value::Null, Value::Null, "{\"at\": 1}"),
            call(1, json!("c2"), json!("stop"), "{}"),
            chunk(json!({}), json!("tool_calls")),
            json!({"choices": [], "usage":
                {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}}),
            json!("[DONE]"),
        ],
    );
    assert_eq!(
        types(&told),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let numbers: Vec<u64> =
        all(&told, "/sequence_number").iter().filter_map(|it| it.as_u64()).collect();
    assert!(numbers.iter().copied().eq(0..told.len() as u64), "{numbers:?}");
    let response = &told.last().expect("an event")["response"];
    let done: Vec<Value> = told
        .iter()
        .filter(|it| it["type"] == "response.output_item.done")
        .collect::<Vec<_>>()
        .into_iter()
        .map(|it| it["item"].clone())
        .collect();
    assert_eq!(response["output"], Value::Array(done));
    assert_eq!(response["output"][0]["content"][0]["text"], "Looking.");
    assert_eq!(response["output"][1]["arguments"], "{\"at\": 1}");
    assert_eq!(response["output"][2]["call_id"], "c2");
    assert_eq!(response["usage"]["total_tokens"], 11);
    let open = HERE.streams(with(json!({"stream": true})), &[chunk(json!({}), Value::Null)]);
    let last = open.last().expect("an event");
    assert_eq!(last["type"], "response.failed");
    assert_eq!(last["response"]["status"], "failed");
    let cut = [chunk(json!({"content": "a"}), json!("length")), json!("[DONE]")];
    let cut = HERE.streams(with(json!({"stream": true})), &cut);
    assert_eq!(types(&cut).last(), Some(&"response.incomplete"));
}

/// Mutation: keep as much of an answer as a server sends.
#[test]
fn what_is_kept_of_a_stream_has_a_limit() {
    let long = "x".repeat(2 * 1024 * 1024 + 1);
    let said = chunk(json!({ "content": long }), Value::Null);
    let told = HERE.streams(with(json!({"stream": true})), &[said.clone(), said]);
    let last = told.last().expect("an event");
    assert_eq!(last["response"]["error"]["message"], "the answer is too long");
}

/// Mutation: ask the second model in the words of the first, or lose its usage on the way.
#[test]
fn it_goes_on_to_messages_by_way_of_chat() {
    let there = Between(Responses, Messages);
    let asked = there.asks(with(json!({"max_output_tokens": 9, "instructions": "be kind"})));
    assert_eq!(asked["system"], json!([{"type": "text", "text": "be kind"}]));
    assert_eq!(asked["max_tokens"], 9);
    let answer = json!({"id": "msg_1", "model": "c", "content": [{"type": "text", "text": "yes"}],
        "stop_reason": "end_turn", "usage": {"input_tokens": 3, "output_tokens": 4}});
    let told = there.tells(with(json!({})), answer.clone());
    assert_eq!(told["output"][0]["content"][0]["text"], "yes");
    assert_eq!(told["usage"]["input_tokens"], 3);
    let told = there.streams(
        with(json!({"stream": true})),
        &[
            json!({"type": "message_start", "message": answer}),
            json!({"type": "content_block_delta", "index": 0,
                "delta": {"type": "text_delta", "text": "yes"}}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
                "usage": {"output_tokens": 4}}),
            json!({"type": "message_stop"}),
        ],
    );
    let last = told.last().expect("an event");
    assert_eq!(last["type"], "response.completed");
    assert_eq!(last["response"]["usage"]["total_tokens"], 7);
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], "yes");
}
