//! Texts of streams that are JSON, come side by side, or in events that nobody knows, over real sockets.

use std::sync::Arc;

use isonomy_gateway::desk::{NameLists, Question, ShelfParts};
use models::{End, Model, Operation, Source};
use privacy::Names;
use serde_json::{Value, json};

use crate::desk::{Place, STREAM, model, question, sales, text};
use crate::protect::{CARD, MAIL, got, protect};
use crate::server::{Reply, Server, reply};

const ALL: [Operation; 3] = [Operation::Chat, Operation::Messages, Operation::Responses];

/// A model that speaks the words of the operation, with what its answers must not say.
fn spoken(operation: Operation, url: &str, answers: &Value) -> Model {
    let mut more = json!({"protect": {"rules": "none", "answers": answers}});
    if operation == Operation::Chat {
        more["operations"] = json!(["chat"]);
    }
    let mut model = model("m", url, "1", &more);
    if operation == Operation::Messages {
        let Source::Upstream(upstream) = &mut model.spec.source else { unreachable!("made here") };
        upstream.dialect = models::Dialect::Anthropic;
    }
    model
}

fn hidden() -> Value {
    json!({"email": "redact", "card": "redact", "secret": "redact", "phone": "redact"})
}

fn asked(operation: Operation, said: &str, streamed: bool) -> Question {
    let mut body = match operation {
        Operation::Responses => json!({"max_output_tokens": 100, "input": said}),
        _ => json!({"max_tokens": 100, "messages": [{"role": "user", "content": said}]}),
    };
    (body["model"], body["stream"]) = ("m".into(), streamed.into());
    Question { operation, body: body.to_string().into(), ..question("m", 100, false) }
}

/// Events as a server sends them, named where its dialect names them.
fn sent(operation: Operation, events: &[Value]) -> Reply {
    let mut out = String::from(STREAM);
    for event in events {
        match operation {
            Operation::Chat => out += &format!("data: {event}\n\n"),
            _ => {
                let kind = event["type"].as_str().expect("a type");
                out += &format!("event: {kind}\ndata: {event}\n\n");
            }
        }
    }
    if operation == Operation::Chat {
        out += "data: [DONE]\n\n";
    }
    Reply::Send(out.into_bytes())
}

fn heard(stream: &str) -> Vec<Value> {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter_map(|data| serde_json::from_str(data).ok()).collect()
}

fn pieces(text: &str, size: usize) -> Vec<String> {
    let signs: Vec<char> = text.chars().collect();
    signs.chunks(size).map(|it| it.iter().collect()).collect()
}

fn chunk(delta: Value) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

/// A stream that says this in the arguments of a tool, or in its text.
fn saying(operation: Operation, text: &str, size: usize, is_call: bool) -> Reply {
    let pieces = pieces(text, size);
    let of = |piece: &String| match (operation, is_call) {
        (Operation::Chat, true) => {
            chunk(json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}))
        }
        (Operation::Chat, false) => chunk(json!({"content": piece})),
        (Operation::Messages, true) => {
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": piece}})
        }
        (Operation::Messages, false) => {
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}})
        }
        (_, true) => {
            json!({"type": "response.function_call_arguments.delta", "item_id": "i", "output_index": 0, "delta": piece})
        }
        (_, false) => {
            json!({"type": "response.output_text.delta", "item_id": "i", "output_index": 0, "content_index": 0, "delta": piece})
        }
    };
    let mut events: Vec<Value> = pieces.iter().map(of).collect();
    match operation {
        Operation::Chat => events.push(
            json!({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
        ),
        Operation::Messages => {
            events.push(json!({"type": "content_block_stop", "index": 0}));
            events.push(json!({"type": "message_stop"}));
        }
        _ => events.push(json!({"type": "response.completed", "response": {"id": "r"}})),
    }
    sent(operation, &events)
}

/// What a client puts together.
fn said(stream: &str) -> String {
    let of = |event: Value| {
        let (choice, delta) = (&event["choices"][0]["delta"], &event["delta"]);
        let places = [
            &choice["tool_calls"][0]["function"]["arguments"],
            &choice["content"],
            &delta["partial_json"],
            &delta["text"],
            delta,
        ];
        places.into_iter().find_map(Value::as_str).unwrap_or_default().to_owned()
    };
    heard(stream).into_iter().map(of).collect()
}

/// The same as a whole answer of Chat: in arguments.
async fn whole(text: &str) -> Value {
    let message =
        json!({"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": text}}]});
    let body = json!({"choices": [{"message": message}]}).to_string();
    let headers = [("content-type", "application/json")];
    let server = Server::start(move |_, _| reply("200 OK", &headers, &body)).await;
    let model = spoken(Operation::Chat, &server.address(), &hidden());
    let place = Place::with(vec![model], &[], "1EUR/day");
    let answer = self::text(place.desk.call(asked(Operation::Chat, "x", false)).await).await;
    let answer: Value = serde_json::from_str(&answer).expect("an answer");
    let call = &answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"];
    serde_json::from_str(call.as_str().expect("a text")).expect("JSON")
}

/// Mutation: look through a text of JSON as it is written, lose the key of a value, take no text in a text for JSON, or
/// write what it says without escapes.
#[tokio::test]
async fn json_in_a_stream_says_what_it_says_in_a_whole_answer() {
    let inner = json!({"b": format!("x\n{MAIL}"), "n": 4012888888881881_u64});
    let cases = [
        format!("{{\"body\":\"Hi\\n{MAIL}\"}}"),
        format!("{{\"body\":\"{}\", \"t\":\"a\\t{MAIL}\"}}", MAIL.replace('@', "\\u0040")),
        format!("{{\"n\": 4012888888881881 ,\"{MAIL}\": [true, null, -1.5e3, {{}}, []]}}"),
        json!({"p": inner.to_string(), "password": "hunter2-Zx9", "phone": 4155550132_u64})
            .to_string(),
        format!("[\"\\ud83d\\ude00 \\\"{CARD}\\\"\", \"C:\\\\dir \\u00e9\", \"{{not {MAIL}\"]"),
    ];
    for case in cases {
        let expected = whole(&case).await;
        let written = expected.to_string();
        assert!(!written.contains(MAIL) && !written.contains("8881881"), "{written}");
        for (operation, size, is_call) in ALL
            .into_iter()
            .flat_map(|it| [1, 2, 3, 7, 500].map(|size| (it, size, true)))
            .chain(ALL.map(|it| (it, 4, false)))
        {
            let text = case.clone();
            let server = Server::start(move |_, _| saying(operation, &text, size, is_call)).await;
            let model = spoken(operation, &server.address(), &hidden());
            let mut place = Place::with(vec![model], &[], "1EUR/day");
            let stream = self::text(place.desk.call(asked(operation, "x", true)).await).await;
            let told: Value = serde_json::from_str(&said(&stream))
                .unwrap_or_else(|why| panic!("{why}: {operation:?} {size} {stream}"));
            assert_eq!(told, expected, "{operation:?} {size}");
            let settled = place.settled.recv().await.expect("settled");
            assert!(!settled.hidden.is_empty(), "{case}");
        }
    }
}

/// Mutation: write a restored value into JSON as it is, or between quotes where it was a number.
#[tokio::test]
async fn values_come_back_into_json_as_json() {
    let name = "Anna \"Annie\" Meyer";
    let inner = json!({"name": name, "contact": 4155550132_u64});
    let asks =
        json!({"name": name, "contact": 4155550132_u64, "p": inner.to_string(), "mail": [MAIL]});
    for operation in ALL {
        for (size, is_call) in [(1, true), (2, true), (5, true), (500, true), (3, false)] {
            let server =
                Server::start(move |request, _| saying(operation, &got(request), size, is_call));
            let server = server.await;
            let mut model = spoken(operation, &server.address(), &json!({}));
            model.spec.protect = serde_json::from_value(protect()).expect("rules");
            let names = Names::new([name]).expect("names");
            let columns = model.spec.protect.iter().flat_map(|it| it.names.clone());
            let names = NameLists::from([((sales(), columns.collect()), Ok(Arc::new(names)))]);
            let place = Place::with(Vec::new(), &[], "1EUR/day");
            place.desk.put(ShelfParts { models: vec![model], names, ..ShelfParts::default() });
            let question = asked(operation, &asks.to_string(), true);
            let stream = self::text(place.desk.call(question).await).await;
            let seen = server.seen().concat();
            assert!(!seen.contains("Meyer") && !seen.contains("4155550132"), "{seen}");
            let told: Value = serde_json::from_str(&said(&stream))
                .unwrap_or_else(|why| panic!("{why}: {operation:?} {size} {stream}"));
            assert_eq!(told, asks, "{operation:?} {size}");
        }
    }
}

/// Mutation: say nothing where a translated stream has come to its end, or call the stream well ended.
#[tokio::test]
async fn a_stream_that_is_withheld_ends_with_an_error_in_the_words_of_the_client() {
    for operation in ALL {
        let spoken_by = [Operation::Chat, Operation::Messages];
        for server_speaks in spoken_by {
            for size in [2, 500] {
                let server = Server::start(move |_, _| {
                    saying(server_speaks, &format!("my {CARD} ok"), size, false)
                });
                let server = server.await;
                let rules = json!({"card": "block"});
                let model = spoken(server_speaks, &server.address(), &rules);
                let mut place = Place::with(vec![model], &[], "1EUR/day");
                let answer = place.desk.call(asked(operation, "x", true)).await;
                let stream = self::text(answer).await;
                let told = heard(&stream);
                let last = told.last().unwrap_or_else(|| panic!("{operation:?} {size} is empty"));
                let error = if last["response"].is_null() { last } else { &last["response"] };
                let message = error["error"]["message"].as_str().unwrap_or_default();
                assert!(message.contains("withheld"), "{operation:?} {server_speaks:?} {stream}");
                assert!(!stream.contains("8881881") && !stream.contains("[DONE]"), "{stream}");
                assert_eq!(place.settled.recv().await.expect("settled").end, End::Withheld);
            }
        }
    }
}

/// Mutation: let the end of a call go when all of the answer has ended.
#[tokio::test]
async fn a_call_has_ended_where_the_next_one_begins() {
    let call = |at: u64, more: Value| {
        let mut call = more;
        call["index"] = at.into();
        chunk(json!({"tool_calls": [call]}))
    };
    // No JSON, and held back for what could go on: a number at the end.
    for (first, second) in [("{\"a\":\"to GB82\"}", "{\"b\":1}"), ("to GB82", "and FR14")] {
        let mut events = Vec::new();
        for (at, text) in [(0, first), (1, second)] {
            let head = json!({"id": format!("call_{at}"), "type": "function", "function": {"name": "f", "arguments": ""}});
            events.push(call(at, head));
            let of = |piece: String| call(at, json!({"function": {"arguments": piece}}));
            events.extend(pieces(text, 3).into_iter().map(of));
        }
        events.push(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}));
        let server = Server::start(move |_, _| sent(Operation::Chat, &events)).await;
        let model = spoken(Operation::Chat, &server.address(), &json!({"iban": "redact"}));
        let place = Place::with(vec![model], &[], "1EUR/day");
        let stream = self::text(place.desk.call(asked(Operation::Chat, "x", true)).await).await;
        let (mut told, mut order) = (["", ""].map(str::to_owned), Vec::new());
        for event in heard(&stream) {
            let call = &event["choices"][0]["delta"]["tool_calls"][0];
            let Some(at) = call["index"].as_u64() else { continue };
            told[usize::try_from(at).expect("small")]
                .push_str(call["function"]["arguments"].as_str().unwrap_or_default());
            order.push(at);
        }
        assert_eq!(told, [first, second], "{stream}");
        assert!(order.is_sorted(), "{stream}");
    }
}

/// Mutation: follow known members of known events alone, or give what is held back with what stands beside it once more.
#[tokio::test]
async fn texts_of_events_that_nobody_knows_are_followed() {
    let block = |delta: fn(&str) -> Value| {
        let event =
            move |it: &str| json!({"type": "content_block_delta", "index": 0, "delta": delta(it)});
        (Operation::Messages, Box::new(event) as Box<dyn Fn(&str) -> Value>)
    };
    let item = |event: fn(&str) -> Value| {
        let event = move |it: &str| {
            let mut event = event(it);
            (event["item_id"], event["output_index"]) = ("i".into(), 0.into());
            event
        };
        (Operation::Responses, Box::new(event) as Box<dyn Fn(&str) -> Value>)
    };
    let cases = [
        block(|it| json!({"type": "compaction_delta", "content": it})),
        block(|it| json!({"type": "foo_delta", "foo": {"text": it}})),
        block(|it| json!({"type": "foo_delta", "one": it, "other": "b"})),
        item(
            |it| json!({"type": "response.shell_call_output_content.delta", "delta": {"stdout": it}}),
        ),
        item(|it| json!({"type": "response.foo.delta", "delta": it})),
        item(|it| json!({"type": "response.foo.partial", "text": it})),
    ];
    for (operation, event) in cases {
        let mut events: Vec<Value> =
            pieces(&format!("mail {MAIL}"), 3).iter().map(|it| event(it)).collect();
        let count = events.len();
        match operation {
            Operation::Messages => {
                events.push(json!({"type": "content_block_stop", "index": 0}));
            }
            _ => events.push(json!({"type": "response.completed", "response": {"id": "r"}})),
        }
        let server = Server::start(move |_, _| sent(operation, &events)).await;
        let model = spoken(operation, &server.address(), &hidden());
        let place = Place::with(vec![model], &[], "1EUR/day");
        let stream = self::text(place.desk.call(asked(operation, "x", true)).await).await;
        let (mut told, mut beside) = (String::new(), String::new());
        for event in heard(&stream) {
            let delta = &event["delta"];
            let places = [
                &delta["content"],
                &delta["foo"]["text"],
                &delta["one"],
                &delta["stdout"],
                delta,
                &event["text"],
            ];
            told.extend(places.into_iter().find_map(Value::as_str));
            beside.extend(delta["other"].as_str());
        }
        assert_eq!(told, "mail [EMAIL]", "{stream}");
        assert!(beside.is_empty() || beside == "b".repeat(count), "{stream}");
    }
}

/// Mutation: give an event that is put in the number of another one, or leave the numbers behind it.
#[tokio::test]
async fn numbers_of_events_go_up_by_one_where_events_are_put_in() {
    let of = |item: u64, piece: &str| json!({"type": "response.output_text.delta", "item_id": format!("i{item}"), "output_index": item, "content_index": 0, "delta": piece});
    let mut events = vec![json!({"type": "response.created", "response": {"id": "r"}})];
    for item in 0..3 {
        events.extend(["to ", "GB", "82"].map(|it| of(item, it)));
        events.push(json!({"type": "response.output_text.done", "item_id": format!("i{item}"), "output_index": item, "text": "to GB82"}));
    }
    events.push(json!({"type": "response.completed", "response": {"id": "r"}}));
    let count = events.len();
    for (at, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = at.into();
    }
    let server = Server::start(move |_, _| sent(Operation::Responses, &events)).await;
    let model = spoken(Operation::Responses, &server.address(), &json!({"iban": "redact"}));
    let place = Place::with(vec![model], &[], "1EUR/day");
    let stream = self::text(place.desk.call(asked(Operation::Responses, "x", true)).await).await;
    let numbers: Vec<u64> =
        heard(&stream).iter().filter_map(|it| it["sequence_number"].as_u64()).collect();
    assert!(numbers.len() > count, "nothing was put in: {stream}");
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>(), "{stream}");
}

/// Mutation: refuse half a letter, or lose it.
#[tokio::test]
async fn a_letter_that_is_cut_in_two_comes_whole() {
    let event = |it: &str| {
        format!(
            "data: {{\"id\":\"c\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{it}\"}}}}]}}\n\n"
        )
    };
    let events =
        [event("Hi \\ud83d"), event("\\ude00 to "), event(MAIL), event(" \\ud83d"), event("x")];
    let end = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let body = format!("{STREAM}{}{end}", events.concat());
    for operation in ALL {
        let body = body.clone();
        let server = Server::start(move |_, _| Reply::Send(body.clone().into_bytes())).await;
        let model = spoken(Operation::Chat, &server.address(), &hidden());
        let place = Place::with(vec![model], &[], "1EUR/day");
        let stream = self::text(place.desk.call(asked(operation, "x", true)).await).await;
        let told = said(&stream);
        assert!(told.starts_with("Hi \u{1f600} to [EMAIL] "), "{operation:?} {stream}");
    }
}
