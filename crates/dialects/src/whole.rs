//! A whole answer as a stream, for a client that has asked for one where the server knows none: each part of it is one
//! event, between the events that begin and end a stream.

use serde_json::{Map, Value, json};

use crate::Dialect;
use crate::translation::framed;

/// The stream, in the words of the answer. `None` where it is no answer: an error that calls itself one is told as it
/// is. Completions, which are older than chat, stream as chat does.
#[must_use]
pub fn streamed(client: Dialect, whole: &[u8], wants_usage: bool) -> Option<Vec<u8>> {
    let whole: Map<String, Value> = serde_json::from_slice(whole).ok()?;
    let events = match client {
        Dialect::Chat => chat(whole, wants_usage)?,
        Dialect::Messages => messages(whole)?,
        Dialect::Responses => responses(whole)?,
    };
    let mut bytes: Vec<u8> = events.iter().flat_map(|event| framed(client, event)).collect();
    if client == Dialect::Chat {
        bytes.extend_from_slice(b"data: [DONE]\n\n");
    }
    Some(bytes)
}

fn chat(mut whole: Map<String, Value>, wants_usage: bool) -> Option<Vec<Value>> {
    let Some(Value::Array(choices)) = whole.remove("choices") else { return None };
    let usage = whole.remove("usage").filter(|usage| usage.is_object());
    if whole.get("object").is_some_and(|it| it == "chat.completion") {
        whole.insert("object".to_owned(), "chat.completion.chunk".into());
    }
    let head = Value::Object(whole);
    let chunk = |choices: Value| {
        let mut chunk = head.clone();
        chunk["choices"] = choices;
        chunk
    };
    let mut events = Vec::with_capacity(2 * choices.len() + 1);
    for choice in choices {
        let Value::Object(mut choice) = choice else { return None };
        if let Some(mut message) = choice.remove("message") {
            let index = choice.get("index").cloned().unwrap_or_else(|| 0.into());
            let finish = choice.insert("finish_reason".to_owned(), Value::Null);
            number(message.get_mut("tool_calls"));
            choice.insert("delta".to_owned(), message);
            events.push(chunk(json!([choice])));
            choice = Map::from_iter([
                ("index".to_owned(), index),
                ("delta".to_owned(), json!({})),
                ("finish_reason".to_owned(), finish.unwrap_or_default()),
            ]);
        }
        events.push(chunk(json!([choice])));
    }
    if let Some(usage) = usage.filter(|_| wants_usage) {
        let mut last = chunk(json!([]));
        last["usage"] = usage;
        events.push(last);
    }
    Some(events)
}

/// Pieces of calls say which of them they are of.
fn number(calls: Option<&mut Value>) {
    for (at, call) in calls.and_then(Value::as_array_mut).into_iter().flatten().enumerate() {
        if call.is_object() {
            call["index"] = at.into();
        }
    }
}

fn messages(mut whole: Map<String, Value>) -> Option<Vec<Value>> {
    let Some(Value::Array(blocks)) = whole.remove("content") else { return None };
    let mut take = |name: &str| whole.insert(name.to_owned(), Value::Null).unwrap_or_default();
    let stop = json!({"stop_reason": take("stop_reason"), "stop_sequence": take("stop_sequence")});
    let usage = whole.get("usage").cloned().unwrap_or_else(|| json!({"output_tokens": 0}));
    whole.insert("content".to_owned(), json!([]));
    let mut events = vec![json!({"type": "message_start", "message": whole})];
    for (at, block) in blocks.into_iter().enumerate() {
        let (begun, deltas) = block_begun(block);
        events.push(json!({"type": "content_block_start", "index": at, "content_block": begun}));
        let of = |delta| json!({"type": "content_block_delta", "index": at, "delta": delta});
        events.extend(deltas.into_iter().map(of));
        events.push(json!({"type": "content_block_stop", "index": at}));
    }
    events.push(json!({"type": "message_delta", "delta": stop, "usage": usage}));
    events.push(json!({"type": "message_stop"}));
    Some(events)
}

/// A block without what comes piece by piece, and the pieces. One of another kind begins whole.
fn block_begun(mut block: Value) -> (Value, Vec<Value>) {
    let mut deltas = Vec::new();
    let kind = block["type"].as_str().unwrap_or_default().to_owned();
    let pieces: &[(&str, &str)] = match kind.as_str() {
        "text" => &[("text", "text_delta")],
        "thinking" => &[("thinking", "thinking_delta"), ("signature", "signature_delta")],
        _ => &[],
    };
    for (name, delta) in pieces {
        if let Some(Value::String(text)) = block.get_mut(*name) {
            let mut piece = json!({ "type": delta });
            piece[*name] = std::mem::take(text).into();
            deltas.push(piece);
        }
    }
    if let (true, Some(Value::Array(citations))) = (kind == "text", block.get_mut("citations")) {
        let cited = |it| json!({"type": "citations_delta", "citation": it});
        deltas.extend(std::mem::take(citations).into_iter().map(cited));
    }
    if matches!(kind.as_str(), "tool_use" | "server_tool_use" | "mcp_tool_use") {
        let input = std::mem::replace(&mut block["input"], json!({}));
        deltas.push(json!({"type": "input_json_delta", "partial_json": input.to_string()}));
    }
    (block, deltas)
}

fn responses(mut whole: Map<String, Value>) -> Option<Vec<Value>> {
    let Some(Value::Array(output)) = whole.get("output") else { return None };
    let output = output.clone();
    let end = match whole.get("status").and_then(Value::as_str) {
        Some("incomplete") => "response.incomplete",
        Some("failed") => "response.failed",
        _ => "response.completed",
    };
    let last = json!({"type": end, "response": whole});
    for (name, value) in
        [("status", json!("in_progress")), ("output", json!([])), ("usage", Value::Null)]
    {
        whole.insert(name.to_owned(), value);
    }
    let mut events: Vec<Value> = ["response.created", "response.in_progress"]
        .map(|kind| json!({"type": kind, "response": whole}))
        .into();
    for (at, item) in output.into_iter().enumerate() {
        item_told(at, item, &mut events);
    }
    events.push(last);
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = number.into();
    }
    Some(events)
}

/// One item of the output: that it begins, its parts, and the whole of it.
fn item_told(at: usize, item: Value, events: &mut Vec<Value>) {
    let of_item = |kind: &str, name: &str, item: &Value| {
        let mut event = json!({"type": format!("response.{kind}"), "output_index": at});
        event[name] = item.clone();
        event
    };
    let (mut begun, mut told) = (item.clone(), Vec::new());
    match item["type"].as_str() {
        Some("message") => {
            (begun["content"], begun["status"]) = (json!([]), "in_progress".into());
            for (place, part) in item["content"].as_array().into_iter().flatten().enumerate() {
                part_told(place, part, &mut told);
            }
        }
        Some("function_call") => {
            (begun["arguments"], begun["status"]) = ("".into(), "in_progress".into());
            for (kind, name) in [("delta", "delta"), ("done", "arguments")] {
                let kind = format!("response.function_call_arguments.{kind}");
                let mut event = json!({ "type": kind });
                event[name] = item["arguments"].clone();
                told.push(event);
            }
        }
        _ => {}
    }
    for event in &mut told {
        (event["item_id"], event["output_index"]) = (item["id"].clone(), at.into());
    }
    events.push(of_item("output_item.added", "item", &begun));
    events.append(&mut told);
    events.push(of_item("output_item.done", "item", &item));
}

/// One part of a message.
fn part_told(place: usize, part: &Value, told: &mut Vec<Value>) {
    let name = match part["type"].as_str() {
        Some("refusal") => "refusal",
        _ => "text",
    };
    let mut begun = part.clone();
    if let Some(text) = begun.get_mut(name) {
        *text = "".into();
    }
    let mut tell = |kind: String, member: &str, value: &Value| {
        let mut event = json!({"type": kind, "content_index": place});
        event[member] = value.clone();
        if kind.starts_with("response.output_text") {
            event["logprobs"] = json!([]);
        }
        told.push(event);
    };
    tell("response.content_part.added".to_owned(), "part", &begun);
    if part[name].is_string() {
        let kind = if name == "refusal" { "refusal" } else { "output_text" };
        tell(format!("response.{kind}.delta"), "delta", &part[name]);
        tell(format!("response.{kind}.done"), name, &part[name]);
    }
    tell("response.content_part.done".to_owned(), "part", part);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of each event, and what it is called where events have names.
    fn told(client: Dialect, whole: &Value, wants_usage: bool) -> Vec<Value> {
        let bytes = streamed(client, whole.to_string().as_bytes(), wants_usage).expect("a stream");
        let text = String::from_utf8(bytes).expect("text");
        let (text, end) = match client {
            Dialect::Chat => (text.trim_end_matches("data: [DONE]\n\n"), "data: [DONE]\n\n"),
            Dialect::Messages | Dialect::Responses => (&*text, "\n\n"),
        };
        assert!(text.ends_with("\n\n") && end.ends_with("\n\n"), "{text}");
        let event = |event: &str| {
            let (name, data) = event.split_once("data: ").expect("data");
            let data: Value = serde_json::from_str(data).expect("JSON");
            if client != Dialect::Chat {
                assert_eq!(name, format!("event: {}\n", data["type"].as_str().expect("a type")));
            }
            data
        };
        text.split_terminator("\n\n").map(event).collect()
    }

    fn kinds(events: &[Value]) -> Vec<&str> {
        events.iter().map(|it| it["type"].as_str().expect("a type")).collect()
    }

    /// Mutation: leave the message where whole answers have it, number no calls, lose a choice, say that it ends before
    /// it does, or tell what was used though nobody has asked.
    #[test]
    fn an_answer_of_chat_is_a_stream_of_each_choice() {
        let call = json!({"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
        let choice = |index: u64, message: Value, finish: &str| json!({"index": index, "message": message, "finish_reason": finish});
        let whole = json!({
            "id": "c", "object": "chat.completion", "created": 7, "model": "m",
            "choices": [
                choice(0, json!({"role": "assistant", "content": "Hi"}), "stop"),
                choice(1, json!({"role": "assistant", "content": null, "tool_calls": [call, call]}), "tool_calls"),
            ],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        });
        let events = told(Dialect::Chat, &whole, true);
        assert!(events.iter().all(|it| it["object"] == "chat.completion.chunk" && it["id"] == "c"));
        let choices: Vec<&Value> = events.iter().map(|it| &it["choices"][0]).collect();
        assert_eq!(
            choices[0],
            &json!({"index": 0, "finish_reason": null, "delta": {"role": "assistant", "content": "Hi"}})
        );
        assert_eq!(choices[1], &json!({"index": 0, "delta": {}, "finish_reason": "stop"}));
        let numbers: Vec<&Value> = choices[2]["delta"]["tool_calls"]
            .as_array()
            .expect("calls")
            .iter()
            .map(|it| &it["index"])
            .collect();
        assert_eq!(numbers, [0, 1]);
        assert_eq!(
            (&choices[3]["index"], &choices[3]["finish_reason"]),
            (&1.into(), &"tool_calls".into())
        );
        assert_eq!((&events[4]["choices"], &events[4]["usage"]), (&json!([]), &whole["usage"]));
        assert_eq!(events.len(), 5);
        let untold = told(Dialect::Chat, &whole, false);
        assert!(untold.len() == 4 && untold.iter().all(|it| it["usage"].is_null()));

        let older = json!({"id": "c", "object": "text_completion", "choices": [{"index": 0, "text": "Hi", "finish_reason": "stop"}], "usage": {}});
        let events = told(Dialect::Chat, &older, false);
        assert_eq!(
            events,
            [json!({"id": "c", "object": "text_completion", "choices": older["choices"]})]
        );
    }

    /// Mutation: begin with what comes piece by piece, so that clients have it twice; lose a block, a thought's
    /// signature or a source; or end without what was used.
    #[test]
    fn a_message_is_a_stream_of_its_blocks() {
        let whole = json!({
            "id": "msg", "type": "message", "role": "assistant", "model": "m",
            "content": [
                {"type": "thinking", "thinking": "Hm", "signature": "s"},
                {"type": "text", "text": "Hi", "citations": [{"type": "char_location"}]},
                {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
                {"type": "redacted_thinking", "data": "x"},
            ],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {"input_tokens": 3, "output_tokens": 2},
        });
        let events = told(Dialect::Messages, &whole, false);
        let (begun, blocks) = (&events[0]["message"], &whole["content"]);
        assert_eq!(
            (&begun["content"], &begun["stop_reason"], &begun["id"]),
            (&json!([]), &Value::Null, &"msg".into())
        );
        let at = |index: u64| -> Vec<&Value> {
            events
                .iter()
                .filter(|it| it["index"] == index)
                .map(|it| if it["delta"].is_null() { &it["content_block"] } else { &it["delta"] })
                .collect()
        };
        assert_eq!(
            at(0)[..3],
            [
                &json!({"type": "thinking", "thinking": "", "signature": ""}),
                &json!({"type": "thinking_delta", "thinking": "Hm"}),
                &json!({"type": "signature_delta", "signature": "s"}),
            ]
        );
        assert_eq!(
            at(1)[..3],
            [
                &json!({"type": "text", "text": "", "citations": []}),
                &json!({"type": "text_delta", "text": "Hi"}),
                &json!({"type": "citations_delta", "citation": blocks[1]["citations"][0]}),
            ]
        );
        assert_eq!(
            at(2)[..2],
            [
                &json!({"type": "tool_use", "id": "t", "name": "f", "input": {}}),
                &json!({"type": "input_json_delta", "partial_json": "{\"a\":1}"}),
            ]
        );
        assert_eq!(at(3)[..1], [&blocks[3]]);
        let ended: Vec<&Value> = events
            .iter()
            .filter(|it| it["type"] == "content_block_stop")
            .map(|it| &it["index"])
            .collect();
        assert_eq!(ended, [0, 1, 2, 3]);
        let [.., delta, stop] = &events[..] else { panic!("events") };
        assert_eq!(
            delta,
            &json!({
                "type": "message_delta", "usage": whole["usage"],
                "delta": {"stop_reason": "tool_use", "stop_sequence": null},
            })
        );
        assert_eq!(stop["type"], "message_stop");
    }

    /// Mutation: begin an item with what comes piece by piece; lose the whole of it at its end; number no events; or say
    /// of an answer that was cut off that it is complete.
    #[test]
    fn a_response_is_a_stream_of_its_items() {
        let text = json!({"type": "output_text", "text": "Hi", "annotations": []});
        let refusal = json!({"type": "refusal", "refusal": "No"});
        let mut whole = json!({
            "id": "resp", "object": "response", "status": "completed", "model": "m",
            "output": [
                {"type": "reasoning", "id": "rs", "summary": []},
                {"type": "message", "id": "msg", "role": "assistant", "status": "completed", "content": [text, refusal]},
                {"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": "{}", "status": "completed"},
            ],
            "usage": {"input_tokens": 3, "output_tokens": 2},
        });
        let events = told(Dialect::Responses, &whole, false);
        let expected = [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.output_item.done",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.content_part.added",
            "response.refusal.delta",
            "response.refusal.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ];
        assert_eq!(kinds(&events), expected);
        let numbers: Vec<u64> =
            events.iter().filter_map(|it| it["sequence_number"].as_u64()).collect();
        assert_eq!(numbers, (0..19).collect::<Vec<_>>());
        assert_eq!(
            (&events[0]["response"]["output"], &events[0]["response"]["status"]),
            (&json!([]), &"in_progress".into())
        );
        assert_eq!(
            (&events[4]["item"]["content"], &events[5]["part"]["text"]),
            (&json!([]), &"".into())
        );
        assert_eq!(
            (&events[6]["delta"], &events[6]["item_id"], &events[6]["output_index"]),
            (&"Hi".into(), &"msg".into(), &1.into())
        );
        assert_eq!((&events[10]["delta"], &events[10]["content_index"]), (&"No".into(), &1.into()));
        assert_eq!((&events[13]["item"], &events[8]["part"]), (&whole["output"][1], &text));
        assert_eq!(
            (&events[14]["item"]["arguments"], &events[15]["delta"]),
            (&"".into(), &"{}".into())
        );
        assert_eq!(events[18]["response"], whole);
        whole["status"] = "incomplete".into();
        let events = told(Dialect::Responses, &whole, false);
        assert_eq!(events[18]["type"], "response.incomplete");
    }

    /// Mutation: take a part of an answer for an object that is none.
    #[test]
    fn an_answer_of_a_strange_form_is_told_all_the_same() {
        for (client, whole) in [
            (
                Dialect::Chat,
                json!({"choices": [{"message": "Hi"}, {"message": {"tool_calls": ["f"]}}, {}]}),
            ),
            (
                Dialect::Messages,
                json!({"content": ["Hi", 1, {"type": "tool_use"}, {"text": 1}], "usage": 1}),
            ),
            (
                Dialect::Responses,
                json!({"output": ["Hi", {"type": "message", "content": ["Hi", {}, 1]}, {"type": "function_call"}]}),
            ),
        ] {
            assert!(told(client, &whole, true).len() > 3, "{client}");
        }
        assert_eq!(streamed(Dialect::Chat, b"{\"choices\":[1]}", false), None);
    }

    /// Mutation: make a stream of what is no answer.
    #[test]
    fn what_is_no_answer_is_no_stream() {
        for client in [Dialect::Chat, Dialect::Messages, Dialect::Responses] {
            for body in ["{\"error\":{\"message\":\"no\"}}", "[]", "{}", "", "no JSON"] {
                assert_eq!(streamed(client, body.as_bytes(), true), None, "{client}: {body}");
            }
        }
    }
}
