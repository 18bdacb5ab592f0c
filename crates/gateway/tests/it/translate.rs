//! Clients of one dialect at models of another, over real sockets.

use http::{HeaderValue, StatusCode};
use isonomy_gateway::desk::{Question, Reply as Answer};
use models::{Missed, Model, Operation};
use serde_json::{Value, json};

use crate::desk::{Place, STREAM, model, question, text};
use crate::server::{Reply, Server, dead_port, reply};

/// In micro-EUR: what is billed for 10 tokens, 100 cached ones and 7 of the answer.
const COST: u128 = 10 + 10 + 14;

fn rates() -> Value {
    json!({"own": {"currency": "EUR",
        "rates": {"input": "1", "cache_read": "0.1", "output": "2"}}})
}

/// A model that speaks Chat, and one that speaks Messages.
fn chat_model(url: &str, more: Value) -> Model {
    let mut members = json!({"price": rates()});
    for (name, value) in more.as_object().into_iter().flatten() {
        members[name] = value.clone();
    }
    model("chat", url, "1", &members)
}

fn messages_model(url: &str) -> Model {
    let upstream = json!({"url": url, "dialect": "anthropic", "secret": "key", "model": "claude"});
    model("claude", url, "1", &json!({"price": rates(), "upstream": upstream}))
}

fn json_reply(status: &str, body: &Value) -> Reply {
    reply(status, &[("content-type", "application/json")], &body.to_string())
}

fn chat_answer() -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt",
        "choices": [{"index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": "an-answer"}}],
        "usage": {"prompt_tokens": 110, "completion_tokens": 7, "total_tokens": 117,
            "prompt_tokens_details": {"cached_tokens": 100}},
    })
}

fn messages_answer() -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude",
        "content": [{"type": "text", "text": "an-answer"}], "stop_reason": "end_turn",
        "stop_sequence": null,
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 100, "output_tokens": 7},
    })
}

fn events(list: &[Value], end: &str) -> Reply {
    let events: String = list.iter().map(|event| format!("data: {event}\n\n")).collect();
    Reply::Send(format!("{STREAM}{events}{end}").into_bytes())
}

fn chat_events() -> Reply {
    let chunk = |delta: Value, finish: Value| {
        json!({"id": "c", "model": "gpt",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
    };
    let usage = json!({"id": "c", "choices": [], "usage": chat_answer()["usage"]});
    let said = chunk(json!({"role": "assistant", "content": "an-answer"}), Value::Null);
    events(&[said, chunk(json!({}), json!("stop")), usage], "data: [DONE]\n\n")
}

fn messages_events(is_whole: bool) -> Reply {
    let start = json!({"type": "message_start", "message": {"id": "m", "model": "claude",
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 100, "output_tokens": 1}}});
    let said = json!({"type": "content_block_delta", "index": 0,
        "delta": {"type": "text_delta", "text": "an-answer"}});
    let end = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 7}});
    let all = [start, said, end, json!({"type": "message_stop"})];
    events(if is_whole { &all } else { &all[..2] }, "")
}

/// The same question in the words of each operation.
fn asks(operation: Operation, model: &str, more: Value) -> Question {
    let said = json!([{"role": "user", "content": "a-prompt"}]);
    let mut body = match operation {
        Operation::Responses => json!({"max_output_tokens": 100, "input": said}),
        _ => json!({"max_tokens": 100, "messages": said}),
    };
    body["model"] = Value::from(model);
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let mut question = question(model, 0, false);
    question.headers.insert("anthropic-version", HeaderValue::from_static("2020-01-01"));
    question.operation = operation;
    question.body = body.to_string().into();
    question
}

async fn json_of(answer: Answer) -> Value {
    serde_json::from_str(&text(answer).await).expect("JSON")
}

fn asked(server: &Server, at: usize) -> (String, Value) {
    let seen = server.seen();
    let (head, body) = seen[at].split_once("\r\n\r\n").expect("a request");
    (head.to_lowercase(), serde_json::from_str(body).expect("JSON"))
}

/// Mutation: send to the client's own path, with its own header, or read the bill in the client's words.
#[tokio::test]
async fn a_client_of_messages_is_answered_by_a_model_of_chat() {
    let server = Server::start(|request, _| {
        let is_stream = request.contains("\"stream\":true");
        if is_stream { chat_events() } else { json_reply("200 OK", &chat_answer()) }
    });
    let server = server.await;
    let place = Place::with(vec![chat_model(&server.address(), json!({}))], &[], "1EUR/day");
    let answer = place.desk.call(asks(Operation::Messages, "chat", json!({}))).await;
    assert_eq!(answer.status, StatusCode::OK);
    let told = json_of(answer).await;
    assert_eq!(told["content"], json!([{"type": "text", "text": "an-answer"}]));
    assert_eq!((&told["usage"]["input_tokens"], &told["type"]), (&json!(10), &json!("message")));
    assert_eq!(place.standing(), (COST * 1_000_000, 0));
    let (head, body) = asked(&server, 0);
    assert!(head.starts_with("post /v1/chat/completions"), "{head}");
    assert!(head.contains("authorization: bearer upstream-secret"), "{head}");
    assert!(!head.contains("anthropic-version"), "{head}");
    assert_eq!(body["messages"], json!([{"role": "user", "content": "a-prompt"}]));
    let streamed = asks(Operation::Messages, "chat", json!({"stream": true}));
    let told = text(place.desk.call(streamed).await).await;
    assert!(
        told.starts_with("event: message_start\ndata: ") && told.contains("an-answer"),
        "{told}"
    );
    assert!(told.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"), "{told}");
    assert_eq!(asked(&server, 1).1["stream_options"], json!({"include_usage": true}));
    assert_eq!(place.standing(), (2 * COST * 1_000_000, 0));
}

/// Mutation: as above, the other way round; or show usage that nobody asked for.
#[tokio::test]
async fn a_client_of_chat_is_answered_by_a_model_of_messages() {
    let server = Server::start(|request, _| {
        let is_stream = request.contains("\"stream\":true");
        if is_stream { messages_events(true) } else { json_reply("200 OK", &messages_answer()) }
    });
    let server = server.await;
    let place = Place::with(vec![messages_model(&server.address())], &[], "1EUR/day");
    let told = json_of(place.desk.call(asks(Operation::Chat, "claude", json!({}))).await).await;
    assert_eq!(told["choices"][0]["message"]["content"], "an-answer");
    assert_eq!(told["usage"]["prompt_tokens"], 110);
    assert_eq!(place.standing(), (COST * 1_000_000, 0));
    let (head, body) = asked(&server, 0);
    assert!(head.starts_with("post /v1/messages"), "{head}");
    assert!(head.contains("x-api-key: upstream-secret"), "{head}");
    assert!(head.contains("anthropic-version: 2023-06-01"), "{head}");
    assert_eq!((&body["model"], &body["max_tokens"]), (&json!("claude"), &json!(100)));
    let streamed = asks(Operation::Chat, "claude", json!({"stream": true}));
    let told = text(place.desk.call(streamed).await).await;
    assert!(told.contains("an-answer") && told.ends_with("data: [DONE]\n\n"), "{told}");
    assert!(!told.contains("usage"), "{told}");
    assert_eq!(place.standing(), (2 * COST * 1_000_000, 0));
    let responses = place.desk.call(asks(Operation::Responses, "claude", json!({}))).await;
    assert_eq!(json_of(responses).await["output"][0]["content"][0]["text"], "an-answer");
}

/// Mutation: translate what the upstream has itself, or do not where it says that it has not.
#[tokio::test]
async fn responses_are_translated_where_the_upstream_has_none() {
    let server = Server::start(|request, _| {
        let is_stream = request.contains("\"stream\":true");
        if is_stream { chat_events() } else { json_reply("200 OK", &chat_answer()) }
    });
    let server = server.await;
    let only_chat = || chat_model(&server.address(), json!({"operations": ["chat"]}));
    let place = Place::with(vec![only_chat()], &[], "1EUR/day");
    let asked_for = |more| asks(Operation::Responses, "chat", more);
    let told = json_of(place.desk.call(asked_for(json!({}))).await).await;
    assert_eq!((&told["object"], &told["status"]), (&json!("response"), &json!("completed")));
    assert_eq!(told["output"][0]["content"][0]["text"], "an-answer");
    assert!(asked(&server, 0).0.starts_with("post /v1/chat/completions"));
    let told = text(place.desk.call(asked_for(json!({"stream": true}))).await).await;
    assert!(told.starts_with("event: response.created\n"), "{told}");
    assert!(told.contains("event: response.completed\n"), "{told}");
    assert_eq!(place.standing(), (2 * COST * 1_000_000, 0));
    let own = Place::with(vec![chat_model(&server.address(), json!({}))], &[], "1EUR/day");
    own.desk.call(asked_for(json!({}))).await;
    assert!(asked(&server, 2).0.starts_with("post /v1/responses"));
}

/// Mutation: send what cannot be asked, or give the errors of models back as they came.
#[tokio::test]
async fn errors_have_the_form_that_the_client_reads() {
    let error = json!({"type": "error",
        "error": {"type": "invalid_request_error", "message": "too long"}});
    let server = Server::start(move |_, _| json_reply("400 Bad Request", &error)).await;
    let place = Place::with(vec![messages_model(&server.address())], &[], "1EUR/day");
    let refused = place.desk.call(asks(Operation::Chat, "claude", json!({"n": 1}))).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        json_of(refused).await["error"],
        json!({"message": "too long", "type": "invalid_request_error", "param": null, "code": null})
    );
    for (more, member) in [(json!({"logprobs": true}), "`logprobs`")] {
        let refused = place.desk.call(asks(Operation::Chat, "claude", more)).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        let told = json_of(refused).await;
        assert_eq!(told["error"]["code"], "not_translated");
        assert!(told["error"]["message"].as_str().expect("a text").contains(member), "{told}");
    }
    assert_eq!((server.seen().len(), place.standing()), (1, (0, 0)));
    let free = json!({"price": "free"});
    let mut unlimited = messages_model(&server.address());
    unlimited.spec.price = serde_json::from_value(free["price"].clone()).expect("a price");
    let place = Place::with(vec![unlimited], &[], "1EUR/day");
    let endless = asks(Operation::Chat, "claude", json!({"max_tokens": null}));
    let told = json_of(place.desk.call(endless).await).await;
    assert!(told["error"]["message"].as_str().expect("a text").contains("`max_tokens`"), "{told}");
    assert_eq!(server.seen().len(), 1);
}

/// Mutation: give up at a model that cannot be asked, or ask the second in the words of the first.
#[tokio::test]
async fn a_route_goes_on_in_other_words() {
    let claude = Server::start(|_, _| json_reply("200 OK", &messages_answer())).await;
    let down = format!("http://127.0.0.1:{}", dead_port().await);
    let models = vec![chat_model(&down, json!({})), messages_model(&claude.address())];
    let place = Place::with(models, &["chat", "claude"], "1EUR/day");
    for operation in [Operation::Chat, Operation::Messages] {
        let answer = place.desk.call(asks(operation, "assistant", json!({}))).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers["x-isonomy-degraded"], "fallback");
        assert!(text(answer).await.contains("an-answer"));
    }
    let chat = Server::start(|_, _| json_reply("200 OK", &chat_answer())).await;
    let models = vec![messages_model(&claude.address()), chat_model(&chat.address(), json!({}))];
    let mut place = Place::with(models, &["claude", "chat"], "1EUR/day");
    let seldom = asks(Operation::Chat, "assistant", json!({"logit_bias": {"1": 1}}));
    assert_eq!(place.desk.call(seldom).await.status, StatusCode::OK);
    let settled = place.settled.recv().await.expect("settled");
    let whys: Vec<_> = settled.legs.iter().map(|leg| leg.why).collect();
    assert_eq!(whys, [Some(Missed::Dialect), None]);
    assert_eq!(claude.seen().len(), 2);
}

/// Mutation: tell a client nothing of an answer that is none, charge nothing for it, or end a stream well
/// that has not ended.
#[tokio::test]
async fn an_answer_that_cannot_be_read_is_paid_and_left() {
    let odd = Server::start(|request, _| {
        let is_stream = request.contains("\"stream\":true");
        if is_stream { messages_events(false) } else { json_reply("200 OK", &json!({"a": 1})) }
    });
    let odd = odd.await;
    let chat = Server::start(|_, _| json_reply("200 OK", &chat_answer())).await;
    let models = vec![messages_model(&odd.address()), chat_model(&chat.address(), json!({}))];
    let mut place = Place::with(models, &["claude", "chat"], "1EUR/day");
    let answer = place.desk.call(asks(Operation::Chat, "assistant", json!({}))).await;
    assert!(text(answer).await.contains("an-answer"));
    let settled = place.settled.recv().await.expect("settled");
    let bounds: Vec<bool> = settled.bills.iter().map(|bill| bill.is_bound).collect();
    assert_eq!(bounds, [true, false]);
    let streamed = asks(Operation::Chat, "claude", json!({"stream": true}));
    let told = text(place.desk.call(streamed).await).await;
    assert!(told.contains("stream_broken") && !told.contains("[DONE]"), "{told}");
    let settled = place.settled.recv().await.expect("settled");
    assert!(settled.bills[0].is_bound && place.standing().1 == 0);
}
