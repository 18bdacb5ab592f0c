//! What a model sees of a request, and a client of its answer, over real sockets.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::StatusCode;
use isonomy_gateway::Desk;
use isonomy_gateway::desk::{NameLists, Question, ShelfParts};
use models::{End, Model, NamesOf, Operation, ProtectSpec, Source};
use privacy::Names;
use serde_json::{Value, json};

use crate::desk::{Place, STREAM, answer, model, question, sales, text};
use crate::server::{Reply, Server, reply};

pub const MAIL: &str = "ada.lovelace@example.com";
const NAME: &str = "Ada Lovelace";
pub const CARD: &str = "4012 8888 8888 1881";

/// What is asked, in a text of JSON, within a text of JSON, and in a key.
fn prompt() -> String {
    format!("Write to {NAME} <{MAIL}> \"today\", on IBAN GB82 WEST 1234 5698 7654 32.")
}

pub fn asked(operation: Operation, streamed: bool) -> Question {
    let text = prompt();
    let mut body = match operation {
        Operation::Chat => json!({"messages": [
            {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "mail", "arguments": json!({"to": MAIL}).to_string()}}]},
            {"role": "user", "content": text},
        ], "user": MAIL}),
        Operation::Messages => {
            json!({"max_tokens": 100, "messages": [{"role": "user", "content": text}]})
        }
        Operation::Responses => json!({"max_output_tokens": 100, "input": text}),
        Operation::Completions => json!({"prompt": text}),
        Operation::Embeddings => json!({"input": text}),
        Operation::Infer => unreachable!("its tests are in `disk`"),
    };
    body["model"] = "m".into();
    body["stream"] = streamed.into();
    if matches!(operation, Operation::Chat | Operation::Completions) {
        body["max_tokens"] = 100.into();
    }
    Question { operation, body: body.to_string().into(), ..question("m", 100, false) }
}

/// The text that a request ends in, as the model's server has got it.
pub fn got(request: &str) -> String {
    let body: Value =
        serde_json::from_str(request.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
    let last = body["messages"].as_array().and_then(|all| all.last()).map(|it| &it["content"]);
    let last =
        last.unwrap_or(if body["input"].is_null() { &body["prompt"] } else { &body["input"] });
    last.as_str().expect("a text").to_owned()
}

/// Answers with what it was asked, in pieces of so many letters.
fn echo(operation: Operation, request: &str, size: usize) -> Reply {
    let text = got(request);
    let pieces: Vec<String> =
        text.chars().collect::<Vec<_>>().chunks(size).map(|it| it.iter().collect()).collect();
    let chunk = |choice: Value| {
        let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]});
        format!("data: {chunk}\n\n")
    };
    let event = |kind: &str, body: Value| {
        let mut body = body;
        body["type"] = kind.into();
        format!("event: {kind}\ndata: {body}\n\n")
    };
    let mut out = String::from(STREAM);
    match operation {
        Operation::Chat => {
            for piece in &pieces {
                out +=
                    &chunk(json!({"index": 0, "delta": {"content": piece}, "finish_reason": null}));
            }
            let arguments = json!({ "text": text }).to_string();
            for piece in arguments.chars().collect::<Vec<_>>().chunks(size) {
                let piece: String = piece.iter().collect();
                out += &chunk(
                    json!({"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}, "finish_reason": null}),
                );
            }
            out += &chunk(json!({"index": 0, "delta": {}, "finish_reason": "stop"}));
            out += "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3,\"total_tokens\":10}}\n\ndata: [DONE]\n\n";
        }
        Operation::Completions => {
            for piece in &pieces {
                out += &chunk(json!({"index": 0, "text": piece, "finish_reason": null}));
            }
            out += "data: [DONE]\n\n";
        }
        Operation::Messages => {
            out += &event(
                "content_block_start",
                json!({"index": 0, "content_block": {"type": "text", "text": ""}}),
            );
            for piece in &pieces {
                out += &event(
                    "content_block_delta",
                    json!({"index": 0, "delta": {"type": "text_delta", "text": piece}}),
                );
            }
            out += &event("content_block_stop", json!({"index": 0}));
            out += &event("message_stop", json!({}));
        }
        Operation::Responses => {
            let mut number = 0;
            for piece in &pieces {
                out += &event(
                    "response.output_text.delta",
                    json!({"item_id": "i", "content_index": 0, "delta": piece, "sequence_number": number}),
                );
                number += 1;
            }
            out += &event(
                "response.output_text.done",
                json!({"item_id": "i", "content_index": 0, "text": text, "sequence_number": number}),
            );
            out += &event(
                "response.completed",
                json!({"response": {"id": "r", "output": [{"type": "message", "content": [{"type": "output_text", "text": text}]}]}, "sequence_number": number + 1}),
            );
        }
        Operation::Embeddings | Operation::Infer => unreachable!("it has no stream"),
    }
    Reply::Send(out.into())
}

/// All pieces of a stream as its client puts them together: texts, arguments, and what is said as a whole.
fn heard(stream: &str) -> (String, String, Vec<Value>) {
    let (mut text, mut arguments, mut whole) = (String::new(), String::new(), Vec::new());
    for line in stream.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let choice = &event["choices"][0];
        let pieces = [
            &choice["delta"]["content"],
            &choice["text"],
            &event["delta"]["text"],
            &event["delta"],
        ];
        text.extend(pieces.into_iter().filter_map(Value::as_str));
        let call = &choice["delta"]["tool_calls"][0]["function"]["arguments"];
        arguments.extend(call.as_str());
        whole.push(event);
    }
    (text, arguments, whole)
}

fn list() -> NameLists {
    let names = Names::new([NAME, "Al"]).expect("names");
    NameLists::from([((sales(), columns()), Ok(Arc::new(names)))])
}

fn columns() -> BTreeSet<NamesOf> {
    let dataset = base::DatasetName::parse("patients").expect("a name");
    BTreeSet::from([NamesOf { dataset, column: "name".to_owned() }])
}

pub fn protect() -> Value {
    json!({"names": [{"dataset": "patients", "column": "name"}], "classes": {"iban": "redact"}})
}

fn put(desk: &Desk, models: Vec<Model>, more: ShelfParts) {
    desk.put(ShelfParts { models, names: list(), ..more });
}

pub fn place(models: Vec<Model>, cap: &str) -> Place {
    let place = Place::with(Vec::new(), &[], cap);
    put(&place.desk, models, ShelfParts::default());
    place
}

fn dialect(operation: Operation, url: &str, more: &Value) -> Model {
    let mut model = model("m", url, "1", more);
    if operation == Operation::Messages {
        let Source::Upstream(upstream) = &mut model.spec.source else { unreachable!("made here") };
        upstream.dialect = models::Dialect::Anthropic;
    }
    model
}

fn is_clean(request: &str) {
    for value in [MAIL, NAME, "Lovelace", "GB82"] {
        assert!(!request.contains(value), "{value} in {request}");
    }
}

/// Mutation: release a piece that may be the beginning of a stand-in, lose what is held back at the end
/// of a text, or put it behind the end.
#[tokio::test]
async fn a_stream_says_what_was_asked_wherever_it_is_cut() {
    let expected = prompt().replace("GB82 WEST 1234 5698 7654 32", "[IBAN]");
    for operation in
        [Operation::Chat, Operation::Completions, Operation::Messages, Operation::Responses]
    {
        for size in [1, 2, 3, 5, 7, 13, 200] {
            let server = Server::start(move |request, _| echo(operation, request, size)).await;
            let mut place = place(
                vec![dialect(operation, &server.address(), &json!({"protect": protect()}))],
                "1EUR/day",
            );
            let stream = text(place.desk.call(asked(operation, true)).await).await;
            server.seen().iter().for_each(|request| is_clean(request));
            let (text, arguments, whole) = heard(&stream);
            assert_eq!(text, expected, "{operation:?} {size} {stream}");
            if operation == Operation::Chat {
                let arguments: Value = serde_json::from_str(&arguments).expect("JSON");
                assert_eq!(arguments["text"], expected);
                assert!(stream.ends_with("data: [DONE]\n\n"), "{stream}");
            }
            if operation == Operation::Responses {
                let numbers = whole.iter().map(|it| it["sequence_number"].as_u64());
                assert!(numbers.eq((0..whole.len() as u64).map(Some)), "{stream}");
                let last = whole.last().expect("events");
                assert_eq!(last["response"]["output"][0]["content"][0]["text"], expected);
            }
            let settled = place.settled.recv().await.expect("settled");
            let hidden = settled.legs[0].hidden.clone().expect("looked through");
            let mails = if operation == Operation::Chat { 3 } else { 1 };
            assert_eq!(hidden.get("email"), Some(&mails), "{hidden:?}");
            assert_eq!((hidden.get("name"), hidden.get("iban")), (Some(&1), Some(&1)));
        }
    }
}

/// Mutation: lose what is held back where a text ends in the event that says so.
#[tokio::test]
async fn a_text_that_ends_in_its_last_event_is_whole() {
    let server = Server::start(|_, _| {
        let chunk = json!({"choices": [{"index": 0, "delta": {"content": "made in the USA"}, "finish_reason": "stop"}]});
        Reply::Send(format!("{STREAM}data: {chunk}\n\ndata: [DONE]\n\n").into())
    });
    let server = server.await;
    let place =
        place(vec![model("m", &server.address(), "1", &json!({"protect": protect()}))], "1EUR/day");
    let stream = text(place.desk.call(asked(Operation::Chat, true)).await).await;
    assert_eq!(heard(&stream).0, "made in the USA", "{stream}");
}

/// Mutation: restore nothing in whole answers or errors, or write values down.
#[tokio::test]
async fn a_whole_answer_has_its_values_again_and_the_record_has_none() {
    let server = Server::start(|request, n| {
        let text = got(request);
        let body = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": text, "tool_calls": [{"id": "t", "function": {"name": "f", "arguments": json!({"q": text}).to_string()}}]}}], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}});
        match n {
            1 => reply("200 OK", &[("content-type", "application/json")], &body.to_string()),
            _ => reply(
                "400 Bad Request",
                &[],
                &json!({"error": {"message": format!("bad: {text}")}}).to_string(),
            ),
        }
    });
    let server = server.await;
    let mut place =
        place(vec![model("m", &server.address(), "1", &json!({"protect": protect()}))], "1EUR/day");
    let expected = prompt().replace("GB82 WEST 1234 5698 7654 32", "[IBAN]");
    let good: Value =
        serde_json::from_str(&text(place.desk.call(asked(Operation::Chat, false)).await).await)
            .expect("JSON");
    let message = &good["choices"][0]["message"];
    assert_eq!(message["content"], expected);
    let arguments = message["tool_calls"][0]["function"]["arguments"].as_str().expect("a text");
    assert_eq!(serde_json::from_str::<Value>(arguments).expect("JSON")["q"], expected);
    let bad = place.desk.call(asked(Operation::Chat, false)).await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    assert!(text(bad).await.contains(MAIL));
    server.seen().iter().for_each(|request| is_clean(request));
    place.settled.recv().await.expect("settled");
    place.settled.recv().await.expect("settled");
    for entry in place.kept.entries.lock().expect("no test panicked").iter() {
        is_clean(&String::from_utf8_lossy(&entry.line()));
    }
}

/// What a model has signed must come back to it as it was.
///
/// Mutation: draw the letters of stand-ins anew for each call.
#[tokio::test]
async fn a_conversation_goes_on_with_the_stand_ins_that_it_began_with() {
    let server = Server::start(|request, _| {
        let thinking = json!({"type": "thinking", "thinking": format!("Who is asked? {}", got(request)), "signature": "c2lnbmVk"});
        let body = json!({"type": "message", "role": "assistant", "content": [thinking, {"type": "text", "text": "Done."}], "usage": {"input_tokens": 1, "output_tokens": 1}});
        reply("200 OK", &[("content-type", "application/json")], &body.to_string())
    });
    let server = server.await;
    let rules = json!({"protect": protect()});
    let place = place(vec![dialect(Operation::Messages, &server.address(), &rules)], "1EUR/day");
    let first = json!({"role": "user", "content": prompt()});
    let ask = async |messages: Value| {
        let body = json!({"model": "m", "max_tokens": 100, "messages": messages}).to_string();
        let operation = Operation::Messages;
        let question = Question { operation, body: body.into(), ..question("m", 100, false) };
        text(place.desk.call(question).await).await
    };
    let said: Value = serde_json::from_str(&ask(json!([first])).await).expect("JSON");
    let thinking = said["content"][0]["thinking"].as_str().expect("it has thought");
    assert!(thinking.contains(MAIL) && thinking.contains(NAME), "{thinking}");
    let answer = json!({"role": "assistant", "content": said["content"]});
    ask(json!([first, answer, {"role": "user", "content": "And bo@example.com?"}])).await;
    let seen = server.seen();
    let body = |at: usize| -> Value {
        let (_, body) = seen[at].split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).expect("JSON")
    };
    let (asked, again) = (body(0), body(1));
    let signed =
        format!("Who is asked? {}", asked["messages"][0]["content"].as_str().expect("a text"));
    assert_eq!(again["messages"][0], asked["messages"][0]);
    assert_eq!(again["messages"][1]["content"][0]["thinking"], json!(signed));
    is_clean(&seen[1]);
}

/// Mutation: send tokens that nobody has looked through.
#[tokio::test]
async fn what_is_asked_in_tokens_goes_nowhere_that_is_protected() {
    let server = Server::start(|_, _| {
        reply("200 OK", &[("content-type", "application/json")], "{\"data\":[]}")
    })
    .await;
    for (rules, status) in [(protect(), 400), (json!({"rules": "none"}), 200)] {
        let place = place(
            vec![model(
                "m",
                &server.address(),
                "1",
                &json!({"protect": rules, "limits": {"contextTokens": 1_000}}),
            )],
            "1EUR/day",
        );
        for input in [json!([80, 97]), json!([[80, 97], [1]]), json!(["text", [80]])] {
            let body = json!({"model": "m", "input": input}).to_string().into();
            let operation = Operation::Embeddings;
            let answer = place.desk.call(Question { operation, body, ..question("m", 1, false) });
            let answer = answer.await;
            assert_eq!(answer.status.as_u16(), status, "{input} {rules}");
            let said = text(answer).await;
            assert_eq!(said.contains("numbers of tokens"), status == 400, "{said}");
        }
    }
    assert_eq!(server.seen().len(), 3);
}

/// A thread of the runtime that looks through a long text serves nobody else.
///
/// Mutation: look through long requests as through short ones, in `aside`.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn others_are_served_while_a_long_request_is_looked_through() {
    let server = Server::start(|_, _| answer(1, 1)).await;
    let rules = json!({"protect": {"classes": {"card": "block"}}});
    let place = place(vec![model("m", &server.address(), "1", &rules)], "1000000EUR/day");
    let long = "password: x\n".repeat(200_000) + CARD;
    let body =
        json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": long}]});
    let long = Question { body: body.to_string().into(), ..question("m", 1, false) };
    // What is refused is at its end as soon as it was looked through.
    let long = tokio::spawn(place.desk.call(long));
    let short = tokio::spawn(place.desk.call(question("m", 1, false)));
    let short = short.await.expect("no panic");
    assert!(!long.is_finished(), "the short call waited for the long one");
    assert_eq!(short.status, StatusCode::OK);
    let refused = text(long.await.expect("no panic")).await;
    assert!(refused.contains("content_blocked"), "{refused}");
}

/// Mutation: send what is blocked, hold on to what was held for it, or give up where another model may
/// see it.
#[tokio::test]
async fn what_one_model_must_not_see_goes_to_one_that_may() {
    let cloud = Server::start(|_, _| answer(10, 10)).await;
    let local = Server::start(|_, _| answer(10, 10)).await;
    let blocked = json!({"protect": {"classes": {"card": "block"}}});
    let models = || {
        vec![
            model("cloud", &cloud.address(), "1", &blocked),
            model("local", &local.address(), "1", &json!({})),
        ]
    };
    let card = |asked: &str| {
        let mut question = question(asked, 100, false);
        let body = String::from_utf8_lossy(&question.body).replace("a-prompt-of-somebody", CARD);
        question.body = body.into();
        question
    };
    let mut place = Place::with(models(), &["cloud", "local"], "1EUR/day");
    let answered = place.desk.call(card("assistant")).await;
    assert_eq!(answered.status, StatusCode::OK);
    assert_eq!(answered.headers["x-isonomy-model"], "local");
    assert!(cloud.seen().is_empty() && local.seen()[0].contains(CARD));
    place.settled.recv().await.expect("settled");
    let before = place.standing().0;
    let refused = place.desk.call(card("cloud")).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let said = text(refused).await;
    assert!(
        said.contains("content_blocked") && said.contains("`card`") && !said.contains("4012"),
        "{said}"
    );
    assert_eq!(place.standing(), (before, 0));
    assert!(cloud.seen().is_empty());
}

/// Mutation: bound a call by what the client has sent, not by what leaves.
#[tokio::test]
async fn what_grows_by_its_stand_ins_is_bounded_as_it_leaves() {
    let server = Server::start(|request, _| {
        let body = request.split("\r\n\r\n").nth(1).unwrap_or_default();
        answer(body.len() as u64 + 256, 100)
    });
    let server = server.await;
    let mut question = question("m", 100, false);
    let body =
        String::from_utf8_lossy(&question.body).replace("a-prompt-of-somebody", &"Al ".repeat(500));
    question.body = body.into();
    // Room for as many bytes as the client has sent, and for some more.
    let room = (question.body.len() + 256 + 100 + 1_000) as f64 / 1e6;
    let place = place(
        vec![model("m", &server.address(), "1", &json!({"protect": protect()}))],
        &format!("{room:.6}EUR/day"),
    );
    assert_eq!(place.desk.call(question).await.status, StatusCode::PAYMENT_REQUIRED);
    assert!(server.seen().is_empty());
}

/// Mutation: look through whole answers only, or go on after what must not be said.
#[tokio::test]
async fn what_an_answer_must_not_say_is_held_back_in_streams_as_well() {
    let said = format!("Pay with {CARD} now, or write to {MAIL} then.");
    let shown = said.replace(CARD, "[CARD]").replace(MAIL, "[EMAIL]");
    for (action, size) in [("redact", 1), ("redact", 4), ("redact", 500), ("block", 3)] {
        let told = said.clone();
        let server = Server::start(move |_, _| {
            let mut out = String::from(STREAM);
            for piece in told.chars().collect::<Vec<_>>().chunks(size) {
                let piece: String = piece.iter().collect();
                out += &format!(
                    "data: {}\n\n",
                    json!({"choices": [{"index": 0, "delta": {"content": piece}}]})
                );
            }
            Reply::Send((out + "data: [DONE]\n\n").into())
        });
        let server = server.await;
        let rules =
            json!({"protect": {"rules": "none", "answers": {"card": action, "email": "redact"}}});
        let mut place = place(vec![model("m", &server.address(), "1", &rules)], "1EUR/day");
        let stream = text(place.desk.call(asked(Operation::Chat, true)).await).await;
        let settled = place.settled.recv().await.expect("settled");
        let (heard, ..) = heard(&stream);
        if action == "redact" {
            assert_eq!(heard, shown, "{size}");
            assert_eq!((settled.hidden.get("card"), settled.end), (Some(&1), End::Answered));
        } else {
            assert!(!heard.contains("4012") && !heard.contains("then"), "{heard}");
            assert!(stream.contains("withheld"), "{stream}");
            assert_eq!(settled.end, End::Withheld);
        }
    }
    let whole = json!({"choices": [{"message": {"content": said}}], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}});
    let server = Server::start(move |_, _| {
        reply("200 OK", &[("content-type", "application/json")], &whole.to_string())
    })
    .await;
    let rules = json!({"protect": {"rules": "none", "answers": {"card": "block"}}});
    let place = place(vec![model("m", &server.address(), "1", &rules)], "1EUR/day");
    let refused = place.desk.call(asked(Operation::Chat, false)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let said = text(refused).await;
    assert!(said.contains("answer_withheld") && !said.contains("4012"), "{said}");
    // The model's server has to be paid all the same.
    assert_eq!(place.standing(), (10 * 1_000_000, 0));
}

/// Mutation: protect only models that say so, let a model's owner go below the site's, or call a model
/// whose list of names cannot be read.
#[tokio::test]
async fn whoever_computes_elsewhere_sees_no_more_than_the_site_allows() {
    let server = Server::start(|_, _| answer(10, 10)).await;
    let elsewhere = |more: &Value| model("m", "http://gpu.plant:8000", "1", more);
    let place = Place::with(Vec::new(), &[], "1EUR/day");
    let least: ProtectSpec =
        serde_json::from_value(json!({"rules": "none", "classes": {"email": "redact"}}))
            .expect("rules");
    let protection = |model: &Model, least, here: &BTreeSet<String>| model.protection(least, here);
    let (none, here) = (BTreeSet::new(), BTreeSet::from(["http://gpu.plant:8000".to_owned()]));
    let open = elsewhere(&json!({"protect": {"rules": "none"}}));
    assert!(!protection(&elsewhere(&json!({})), None, &none).is_idle());
    assert!(protection(&open, None, &none).is_idle());
    assert!(!protection(&open, Some(&least), &none).is_idle());
    assert!(protection(&elsewhere(&json!({})), Some(&least), &here).is_idle());
    // The list of names of this one was not read.
    let unread = model("m", &server.address(), "1", &json!({"protect": protect()}));
    place.desk.put(ShelfParts { models: vec![unread], ..ShelfParts::default() });
    let refused = place.desk.call(asked(Operation::Chat, false)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(server.seen().is_empty());
    let pictures = model(
        "m",
        &server.address(),
        "1",
        &json!({"protect": {"rules": "none", "media": "block"}, "limits": {"contextTokens": 1_000}}),
    );
    put(&place.desk, vec![pictures], ShelfParts::default());
    let mut question = question("m", 100, false);
    let body = String::from_utf8_lossy(&question.body).replace(
        "\"a-prompt-of-somebody\"",
        r#"[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]"#,
    );
    question.body = body.into();
    assert_eq!(place.desk.call(question).await.status, StatusCode::BAD_REQUEST);
    assert!(server.seen().is_empty());
}
