//! What is an upstream's fault: an answer that is none, one that breaks off, and silence. Over real sockets.

use base::Duration;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyStream;
use isonomy_gateway::desk::Question;
use models::{COOL_DOWN, End, FAULTS_MAX, Holder, Missed, Model, Operation, RETRIES_FREE};
use pricing::Period;
use serde_json::{Value, json};

use crate::desk::{Place, STREAM, answer, bot, model, name, question, sales, text};
use crate::server::{Reply, Server, dead_port, reply};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
const PART: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";

/// As many calls as open a lane, and two more.
const CALLS: usize = FAULTS_MAX as usize + 2;

fn at(called: &str, server: &Server) -> Model {
    let limits = json!({"limits": {"silenceSeconds": 1, "firstByteSeconds": 1}});
    model(called, &server.address(), "1", &limits)
}

/// `first` and behind it one that answers, under `r`.
fn place(first: &Server, good: &Server, more: &Value) -> Place {
    let place = Place::with(Vec::new(), &[], "1EUR/day");
    let mut route = json!({"to": [{"model": "first"}, {"model": "good"}]});
    for (name, value) in more.as_object().into_iter().flatten() {
        route[name] = value.clone();
    }
    place.put(vec![at("first", first), at("good", good)], &[("r", route)]);
    place
}

fn streamed(events: &str) -> Vec<u8> {
    format!("{STREAM}{events}").into_bytes()
}

async fn good() -> Server {
    Server::start(|request, _| match request.contains("\"stream\":true") {
        true => Reply::Send(streamed(&format!("{PART}data: [DONE]\n\n"))),
        false => answer(1, 1),
    })
    .await
}

/// What the upstream sends, and whether it then says nothing.
fn bad(bytes: &[u8], hangs: bool) -> Reply {
    if hangs { Reply::Hang(bytes.to_vec()) } else { Reply::Send(bytes.to_vec()) }
}

fn whole(body: &str) -> Vec<u8> {
    let Reply::Send(bytes) = reply("200 OK", &JSON, body) else { panic!("it is sent") };
    bytes
}

/// Mutation: take a head for an answer, so that it resets what is counted; show a client what is no answer; count a
/// client's own fault.
#[tokio::test]
async fn what_is_no_answer_behind_a_good_head_opens_the_lane() {
    let long = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"choices\":[";
    let cases: Vec<(&str, bool, Vec<u8>, bool, Missed)> = vec![
        ("HTML", false, whole("<html>"), false, Missed::Broken),
        ("nothing", false, whole(""), false, Missed::Broken),
        ("no content", false, b"HTTP/1.1 204 No\r\n\r\n".to_vec(), false, Missed::Broken),
        ("half of it", false, whole("{\"choices\":[{"), false, Missed::Broken),
        ("another thing", false, whole("{\"status\":\"up\"}"), false, Missed::Broken),
        ("cut", false, long.to_vec(), false, Missed::Broken),
        ("hangs", false, long.to_vec(), true, Missed::Silent),
        ("an empty stream", true, streamed(""), false, Missed::Broken),
        ("the end alone", true, streamed("data: [DONE]\n\n"), false, Missed::Broken),
        ("signs of life", true, streamed(": a\n\n: b\n\n"), false, Missed::Broken),
        ("half an event", true, streamed("data: {\"choi"), false, Missed::Broken),
        ("a head", true, streamed(""), true, Missed::Silent),
        ("an error", true, streamed("data: {\"error\":{\"code\":502}}\n\n"), false, Missed::Status),
    ];
    for (what, is_streamed, bytes, hangs, why) in cases {
        let first = Server::start(move |_, _| bad(&bytes, hangs)).await;
        let good = good().await;
        let mut place = place(&first, &good, &json!({}));
        for call in 0..CALLS {
            let answer = place.ask("r", 10, is_streamed).await;
            assert_eq!(answer.status, StatusCode::OK, "{what}");
            assert_eq!(answer.headers["x-isonomy-model"], "good", "{what}");
            let told = text(answer).await;
            assert!(told.contains("choices") && !told.contains("error"), "{what}: {told}");
            let settled = place.settled.recv().await.expect("settled");
            let expected = if call < FAULTS_MAX as usize { why } else { Missed::Outage };
            assert_eq!(settled.legs[0].why, Some(expected), "{what} {call}");
            assert_eq!((settled.end, settled.legs.len()), (End::Answered, 2));
        }
        assert_eq!(first.seen().len(), FAULTS_MAX as usize, "{what}");
        assert_eq!(place.standing().1, 0);
    }
}

/// Mutation: take the first event for an answer, or the end of a connection for that of an answer.
#[tokio::test]
async fn a_stream_that_does_not_end_as_it_should_opens_the_lane() {
    for (what, events, hangs, told) in [
        ("hangs", PART.to_owned(), true, "says nothing more"),
        ("ends", PART.to_owned(), false, "broke off"),
        ("fails", format!("{PART}data: {{\"error\":{{\"message\":\"oh\"}}}}\n\n"), false, "oh"),
    ] {
        let bytes = streamed(&events);
        let first = Server::start(move |_, _| bad(&bytes, hangs)).await;
        let good = good().await;
        let mut place = place(&first, &good, &json!({}));
        for call in 0..CALLS {
            let answer = place.ask("r", 10, true).await;
            let is_open = call >= FAULTS_MAX as usize;
            let by = if is_open { "good" } else { "first" };
            assert_eq!(answer.headers["x-isonomy-model"], by, "{what} {call}");
            let shown = text(answer).await;
            assert!(shown.starts_with(PART), "{what}: {shown}");
            assert_eq!(shown.contains(told), !is_open, "{what}: {shown}");
            let settled = place.settled.recv().await.expect("settled");
            let end = if is_open { End::Answered } else { End::Failed };
            assert_eq!(settled.end, end, "{what}");
        }
        assert_eq!(first.seen().len(), FAULTS_MAX as usize, "{what}");
    }
    // One that ends as it should, between two faults each, keeps it open.
    let shaky = Server::start(|_, number| {
        let end = if number.is_multiple_of(3) { "data: [DONE]\n\n" } else { "" };
        Reply::Send(streamed(&format!("{PART}{end}")))
    });
    let shaky = shaky.await;
    let place = place(&shaky, &good().await, &json!({}));
    for _ in 0..9 {
        let answer = place.ask("r", 10, true).await;
        assert_eq!(answer.headers["x-isonomy-model"], "first");
        text(answer).await;
    }
}

/// Mutation: learn nothing of calls whose clients have left, or take a client in a hurry for a fault.
#[tokio::test]
async fn clients_that_leave_do_not_hide_an_upstream_that_hangs() {
    for (is_streamed, head) in [(false, Vec::new()), (true, streamed(PART))] {
        let bytes = head.clone();
        let mut first = Server::start(move |_, _| Reply::Hang(bytes.clone())).await;
        let good = good().await;
        let mut place = Place::with(Vec::new(), &[], "1EUR/day");
        let route = json!({"to": [{"model": "first"}, {"model": "good"}]});
        let patient = json!({"limits": {"silenceSeconds": 600, "firstByteSeconds": 600}});
        let slow = model("first", &first.address(), "1", &patient);
        place.put(vec![slow, at("good", &good)], &[("r", route)]);
        for call in 1..=FAULTS_MAX {
            if is_streamed {
                let answer = place.ask("r", 10, true).await;
                let mut body = BodyStream::new(answer.body);
                body.next().await.expect("a piece").expect("good");
                drop(body);
            } else {
                let mut asked = place.desk.call(question("r", 10, false));
                tokio::select! {
                    answer = &mut asked => panic!("nobody has answered: {answer:?}"),
                    () = first.arrival() => {}
                }
                drop(asked);
            }
            // What goes on with it begins to wait; from then on the clock goes by itself.
            tokio::task::yield_now().await;
            tokio::time::pause();
            assert_eq!(place.settled.recv().await.expect("settled").end, End::Left);
            tokio::time::resume();
            assert_eq!(first.seen().len(), call as usize);
        }
        let asked = place.ask("r", 10, is_streamed);
        let answer = tokio::time::timeout(std::time::Duration::from_secs(10), asked).await;
        assert_eq!(answer.expect("it is not asked").headers["x-isonomy-model"], "good");
        assert_eq!(first.seen().len(), FAULTS_MAX as usize);
    }
}

/// Mutation: ask the next model for a client that has left.
#[tokio::test]
async fn for_a_client_that_has_left_no_other_model_is_asked() {
    for hedge in [json!({}), json!({"hedge": {"after": "PT0.5S"}})] {
        let mut first = Server::start(|_, _| Reply::Hang(Vec::new())).await;
        let good = good().await;
        let mut place = place(&first, &good, &hedge);
        let mut asked = place.desk.call(question("r", 10, false));
        tokio::select! {
            answer = &mut asked => panic!("nobody has answered: {answer:?}"),
            () = first.arrival() => {}
        }
        drop(asked);
        let settled = place.settled.recv().await.expect("settled");
        assert_eq!(settled.end, End::Left);
        let whys: Vec<_> = settled.legs.iter().map(|leg| leg.why).collect();
        assert_eq!(whys, [Some(Missed::Silent)]);
        assert!(good.seen().is_empty());
        assert_eq!(settled.bills.len(), 1);
    }
}

/// Mutation: let the next probe go at once after one that has lost.
#[tokio::test]
async fn a_hedge_that_wins_over_a_probe_leaves_one_probe_for_each_cool_down() {
    let first = Server::start(|_, number| match number <= FAULTS_MAX as usize {
        true => reply("500 Internal Server Error", &[], ""),
        false => Reply::Hang(Vec::new()),
    });
    let (first, good) = (first.await, good().await);
    let place = place(&first, &good, &json!({"hedge": {"after": "PT0.05S"}}));
    let many = async || {
        for _ in 0..CALLS {
            let answer = place.ask("r", 10, false).await;
            assert_eq!(answer.headers["x-isonomy-model"], "good");
        }
    };
    many().await;
    for probes in 1..=3 {
        place.passes(COOL_DOWN);
        many().await;
        assert_eq!(first.seen().len(), FAULTS_MAX as usize + probes);
    }
}

/// Mutation: keep all others from a server that is well until the long answer of its probe has ended, or wait for three
/// faults more before it rests again.
#[tokio::test]
async fn a_probe_with_a_long_answer_keeps_nobody_away() {
    let first = Server::start(|request, number| match number {
        _ if request.contains("\"stream\":true") => Reply::Hang(streamed(PART)),
        1..=3 | 5 => reply("500 Internal Server Error", &[], ""),
        _ => answer(1, 1),
    });
    let (first, good) = (first.await, good().await);
    let place = place(&first, &good, &json!({}));
    for _ in 0..CALLS {
        assert_eq!(place.ask("r", 10, false).await.headers["x-isonomy-model"], "good");
    }
    place.passes(COOL_DOWN);
    let long = place.ask("r", 10, true).await;
    assert_eq!(long.headers["x-isonomy-model"], "first");
    for _ in 0..CALLS {
        assert_eq!(place.ask("r", 10, false).await.headers["x-isonomy-model"], "good");
    }
    assert_eq!(first.seen().len(), FAULTS_MAX as usize + 2);
}

fn exact() -> Question {
    let mut asked = question("r", 10, false);
    let mut body: Value = serde_json::from_slice(&asked.body).expect("JSON");
    body["temperature"] = json!(0);
    asked.body = body.to_string().into();
    asked
}

/// Mutation: keep an error for an answer, give it, or blame nobody for it; pass over the status that it has.
#[tokio::test]
async fn an_error_with_a_good_status_is_the_error_that_it_says() {
    let error = |code: Value| json!({"error": {"message": "it-says", "code": code}}).to_string();
    for (code, status, why) in [
        (json!(502), 502, Missed::Status),
        (json!("no-status"), 502, Missed::Status),
        (json!(429), 429, Missed::RateLimit),
        (json!(404), 404, Missed::NotFound),
    ] {
        let said = error(code);
        let first = Server::start(move |_, number| match number {
            1 => reply("200 OK", &JSON, &said),
            _ => answer(2, 2),
        });
        let (first, good) = (first.await, good().await);
        let mut place = place(&first, &good, &json!({"cache": {"ttl": "PT1H"}}));
        let degraded = place.desk.call(exact()).await;
        assert_eq!(degraded.headers["x-isonomy-model"], "good");
        let settled = place.settled.recv().await.expect("settled");
        let (leg, bills) = (&settled.legs[0], &settled.bills);
        assert_eq!((leg.status, leg.why), (Some(status), Some(why)));
        assert_eq!(bills.len(), 1, "nobody bills an error");
        // It is well again, and nothing was kept.
        place.passes(Duration::from_secs(60));
        let again = place.desk.call(exact()).await;
        assert_eq!(again.headers["x-isonomy-model"], "first");
        assert!(again.headers.get("x-isonomy-cache").is_none());
    }
    let said = error(json!(400));
    let first = Server::start(move |_, _| reply("200 OK", &JSON, &said)).await;
    let good = good().await;
    let place = place(&first, &good, &json!({}));
    let wrong = place.ask("r", 10, false).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert!(text(wrong).await.contains("it-says") && good.seen().is_empty());
}

/// Mutation: bill a device for the time that the models before it took.
#[tokio::test]
async fn a_device_is_billed_for_its_own_leg() {
    let first = Server::start(|_, _| Reply::Hang(Vec::new())).await;
    let second = Server::start(|_, _| reply("200 OK", &JSON, "{\"outputs\":[]}")).await;
    let mut place = Place::with(Vec::new(), &[], "1EUR/day");
    place.desk.budgets(|books| books.remove(&Holder::Key(bot()), Period::Day));
    let of = |called: &str, server: &Server| {
        let there = json!({"url": server.address(), "dialect": "open-inference"});
        let price = json!({"own": {"currency": "EUR", "rates": {"second": "1"}}});
        let limits = json!({"firstByteSeconds": 1});
        model(called, "", "1", &json!({"upstream": there, "price": price, "limits": limits}))
    };
    let route = json!({"to": [{"model": "first"}, {"model": "second"}]});
    place.put(vec![of("first", &first), of("second", &second)], &[("r", route)]);
    let inputs = json!({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]});
    let asked = Question {
        operation: Operation::Infer,
        model: Some(crate::desk::name("r")),
        body: Bytes::from(inputs.to_string()),
        ..question("r", 10, false)
    };
    assert_eq!(place.desk.call(asked).await.headers["x-isonomy-model"], "second");
    let settled = place.settled.recv().await.expect("settled");
    let used = settled.bills.last().and_then(|bill| bill.usage).expect("its time is known");
    assert!(settled.legs[0].micros >= 1_000_000 && used.millis < 1_000, "{settled:?}");
}

/// Mutation: give what is no tensors for tensors, or take the bytes behind their JSON for a fault.
#[tokio::test]
async fn tensors_are_an_answer_where_they_are_tensors() {
    let tensors =
        "{\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[1],\"data\":[1.5]}]}";
    let binary = [("inference-header-content-length", "14"), ("content-type", "x/y")];
    for (what, headers, body, is_good) in [
        ("tensors", &JSON[..], tensors, true),
        ("bytes", &binary[..], "{\"outputs\":[]}\u{1}\u{2}", true),
        ("bytes before", &binary[..], "\u{1}\u{2}{\"outputs\":[]}", false),
        ("no bytes", &binary[..], "{\"outputs\":", false),
        ("HTML", &JSON[..], "<html>", false),
        ("nothing", &JSON[..], "", false),
        ("half of it", &JSON[..], &tensors[..tensors.len() - 4], false),
        ("an error", &JSON[..], "{\"error\":\"boom\"}", false),
    ] {
        let (headers, body) = (headers.to_vec(), body.to_owned());
        let first = Server::start(move |_, _| reply("200 OK", &headers, &body)).await;
        let good = Server::start(|_, _| reply("200 OK", &JSON, "{\"outputs\":[]}")).await;
        let place = Place::with(Vec::new(), &[], "1EUR/day");
        let of = |called: &str, server: &Server| {
            let there = json!({"url": server.address(), "dialect": "open-inference"});
            let price = json!({"own": {"currency": "EUR", "rates": {"request": "0.001"}}});
            model(called, "", "1", &json!({"upstream": there, "price": price}))
        };
        let route = json!({"to": [{"model": "first"}, {"model": "good"}]});
        place.put(vec![of("first", &first), of("good", &good)], &[("r", route)]);
        for call in 0..CALLS {
            let inputs =
                json!({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]});
            let asked = Question {
                operation: Operation::Infer,
                model: Some(crate::desk::name("r")),
                body: Bytes::from(inputs.to_string()),
                ..question("r", 10, false)
            };
            let answer = place.desk.call(asked).await;
            assert_eq!(answer.status, StatusCode::OK, "{what} {call}");
            let by = if is_good { "first" } else { "good" };
            assert_eq!(answer.headers["x-isonomy-model"], by, "{what} {call}");
        }
        let asked = if is_good { CALLS } else { FAULTS_MAX as usize };
        assert_eq!(first.seen().len(), asked, "{what}");
    }
}

/// Mutation: count models that were not asked, or hold less than the dearest of those that may be.
#[tokio::test]
async fn a_model_that_rests_is_not_one_of_those_that_a_call_tries() {
    let broken = Server::start(|_, _| reply("500 Internal Server Error", &[], "")).await;
    let good = good().await;
    let mut place = Place::with(Vec::new(), &[], "1EUR/day");
    let to: Vec<Value> = ["a", "b", "c", "d"].iter().map(|it| json!({"model": it})).collect();
    let models = vec![at("a", &broken), at("b", &broken), at("c", &good), at("d", &good)];
    place.put(models, &[("r", json!({"to": to, "legs": 1}))]);
    for _ in 0..FAULTS_MAX {
        let refused = place.ask("r", 10, false).await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "one is asked");
        place.settled.recv().await.expect("settled");
    }
    let answer = place.ask("r", 10, false).await;
    assert_eq!(answer.headers["x-isonomy-model"], "c");
    let settled = place.settled.recv().await.expect("settled");
    let whys: Vec<_> = settled.legs.iter().map(|leg| leg.why).collect();
    assert_eq!(whys, [Some(Missed::Outage), Some(Missed::Outage), None]);
    assert_eq!((broken.seen().len(), good.seen().len()), (FAULTS_MAX as usize, 1));
}

/// Mutation: give what only the site could mend to the client, follow a redirect, or shut a lane for a name that is
/// not known there.
#[tokio::test]
async fn a_wrong_address_or_name_is_not_the_clients_fault() {
    let elsewhere = good().await;
    for (status, why, is_fault) in [
        ("404 Not Found", Missed::NotFound, false),
        ("410 Gone", Missed::NotFound, false),
        ("302 Found", Missed::Redirected, true),
        ("307 Temporary Redirect", Missed::Redirected, true),
        ("999 What", Missed::Status, true),
    ] {
        let to = format!("{}/v1/chat/completions", elsewhere.address());
        let first = Server::start(move |_, _| reply(status, &[("location", &to)], "{}")).await;
        let good = good().await;
        let mut place = place(&first, &good, &json!({}));
        for call in 0..CALLS {
            let answer = place.ask("r", 10, false).await;
            assert_eq!(answer.headers["x-isonomy-model"], "good", "{status}");
            let settled = place.settled.recv().await.expect("settled");
            let is_open = is_fault && call >= FAULTS_MAX as usize;
            let expected = if is_open { Missed::Outage } else { why };
            assert_eq!(settled.legs[0].why, Some(expected), "{status}");
        }
        let asked = if is_fault { FAULTS_MAX as usize } else { CALLS };
        assert_eq!(first.seen().len(), asked, "{status}");
    }
    assert!(elsewhere.seen().is_empty());
}

/// Mutation: say that there is no connection, and not why, or to whom it was to be opened with which secret.
#[tokio::test]
async fn why_there_is_no_connection_is_said() {
    let address = format!("http://127.0.0.1:{}", dead_port().await);
    let mut place = Place::with(vec![model("m", &address, "1", &json!({}))], &[], "1EUR/day");
    let refused = place.ask("m", 10, false).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    let told = text(refused).await;
    assert!(told.contains("`m` cannot be reached (Connection refused"), "{told}");
    assert!(!told.contains("secret"), "{told}");
    let settled = place.settled.recv().await.expect("settled");
    let (why, cause) = (settled.legs[0].why, settled.legs[0].cause.clone());
    assert_eq!(why, Some(Missed::Unreachable));
    assert!(cause.expect("it is known").starts_with("Connection refused"));
}

/// Mutation: forget when an overloaded server wants to be asked again, or believe it any time.
#[tokio::test]
async fn an_overloaded_upstream_says_when_to_come_again() {
    for (status, said, rest) in [
        ("503 Service Unavailable", "7", 7),
        ("529 Overloaded", "7", 7),
        ("500 Internal Server Error", "7", 7),
        ("429 Too Many Requests", "99999999999999999999999", 3_600),
        ("503 Service Unavailable", "99999999999999999999999", 3_600),
    ] {
        let first = Server::start(move |_, _| reply(status, &[("retry-after", said)], "")).await;
        let place = Place::with(vec![at("first", &first)], &[], "1EUR/day");
        let told = async || {
            let refused = place.ask("first", 10, false).await;
            let expected = if status.starts_with("429") { 429 } else { 503 };
            assert_eq!(refused.status.as_u16(), expected);
            let after: Option<&HeaderValue> =
                refused.headers.get(HeaderName::from_static("retry-after"));
            after.and_then(|it| it.to_str().ok()?.parse::<u64>().ok())
        };
        assert_eq!(told().await, Some(rest), "{status} {said}");
        place.passes(Duration::from_secs(rest - 1));
        assert_eq!(told().await, Some(1), "{status} {said}");
        assert_eq!(first.seen().len(), 1, "{status} {said}");
        place.passes(Duration::from_secs(1));
        told().await;
        assert_eq!(first.seen().len(), 2, "{status} {said}");
    }
}

/// Mutation: send a client back that nothing can help, or tell one that asks too often that the site fails.
#[tokio::test]
async fn a_client_is_told_what_would_help() {
    const AFTER: [(&str, &str); 1] = [("retry-after", "7")];
    for (status, headers, expected, again) in [
        ("401 Unauthorized", &[][..], 503, false),
        ("402 Payment Required", &[], 503, false),
        ("404 Not Found", &[], 503, false),
        ("429 Too Many Requests", &AFTER, 429, true),
        ("429 Too Many", &[], 429, true),
        ("500 Internal Server Error", &[], 503, true),
    ] {
        let server = Server::start(move |_, _| reply(status, headers, "{}")).await;
        let place = Place::with(vec![at("m", &server)], &[], "1EUR/day");
        // As it is found out, and as it is known.
        for _ in 0..2 {
            let answer = place.ask("m", 10, false).await;
            assert_eq!(answer.status.as_u16(), expected, "{status}");
            let should_retry = answer.headers.get("x-should-retry").map(HeaderValue::as_bytes);
            assert_eq!(should_retry, (!again).then_some(&b"false"[..]), "{status}");
            let after = answer.headers.get("retry-after").map(HeaderValue::as_bytes);
            let rest = if headers.is_empty() { b"5" } else { b"7" };
            assert_eq!(after, (status.starts_with("429")).then_some(&rest[..]), "{status}");
        }
    }
}

/// Mutation: tell a client not to come again where a model is left that was not asked.
#[tokio::test]
async fn where_a_model_was_not_asked_another_try_may_help() {
    let unpaid = Server::start(|_, _| reply("402 Payment Required", &[], "{}")).await;
    let place = place(&unpaid, &good().await, &json!({"legs": 1}));
    let answer = place.ask("r", 10, false).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.headers.contains_key("x-should-retry"));
    assert_eq!(place.ask("r", 10, false).await.status, StatusCode::OK);
}

/// Mutation: ask the first model of a route alone whether it is ready, or forget to look whether it rests.
#[tokio::test]
async fn a_route_is_ready_where_one_of_its_models_is() {
    let first = Server::start(|_, _| reply("500 Oh", &[], "{}")).await;
    let place = place(&first, &good().await, &json!({}));
    let is_ready = |called: &str| place.desk.is_ready(&sales(), &name(called));
    assert!(is_ready("first") && is_ready("r") && !is_ready("gone"));
    for _ in 0..FAULTS_MAX {
        place.ask("r", 10, false).await;
    }
    assert!(!is_ready("first") && is_ready("r"));
}

/// Mutation: count a leg after a refusal among those that are tried again.
#[tokio::test]
async fn a_first_model_that_refuses_each_call_does_not_use_up_the_retries() {
    const NOW: [(&str, &str); 1] = [("retry-after", "0")];
    for (status, headers) in [("404 Not Found", &[][..]), ("429 Too Many Requests", &NOW)] {
        let first = Server::start(move |_, _| reply(status, headers, "{}")).await;
        let good = good().await;
        let place = place(&first, &good, &json!({}));
        for call in 0..2 * RETRIES_FREE {
            let answer = place.ask("r", 10, false).await;
            assert_eq!(answer.headers["x-isonomy-model"], "good", "{status} {call}");
        }
    }
}

/// Mutation: pass on an error as it came, or take out no more than the first place.
#[tokio::test]
async fn an_error_does_not_say_the_sites_secret() {
    let server = Server::start(|request, _| {
        let heads = request.split("\r\n\r\n").next().expect("a head");
        let message = format!("wrong: {heads} and again upstream-secret");
        let body = json!({"error": {"message": message, "code": "x"}}).to_string();
        reply("400 Bad Request", &[("x-request-id", "req_7")], &body)
    });
    let server = server.await;
    let place = Place::with(vec![at("m", &server)], &[], "1EUR/day");
    let answer = place.ask("m", 10, false).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.headers["x-request-id"], "req_7");
    let said = text(answer).await;
    assert!(said.contains("Bearer [SECRET]") && said.contains("and again [SECRET]"), "{said}");
    assert!(!said.contains("upstream-secret"), "{said}");
}

/// Mutation: pass on what a stream says of its failure as it is, or know errors in the usual form alone.
#[tokio::test]
async fn a_stream_that_fails_does_not_say_the_sites_secret() {
    for error in [
        r#"data: {"error": {"message": "wrong: Bearer upstream\u002dsecret", "code": 400}}"#,
        r#"data: {"object": "error", "message": "wrong: Bearer upstream-secret"}"#,
        r#"data: {"detail": "wrong: Bearer upstream-secret"}"#,
        r#"data: {"errors": ["wrong: Bearer upstream-secret"]}"#,
        "event: error\ndata: wrong: Bearer upstream-secret",
    ] {
        let server = Server::start(move |_, _| {
            let piece = json!({"choices": [{"index": 0, "delta": {"content": "Hi"}}]});
            let events = format!("data: {piece}\n\n{error}\n\n");
            reply("200 OK", &[("content-type", "text/event-stream")], &events)
        });
        let server = server.await;
        let place = Place::with(vec![at("m", &server)], &[], "1EUR/day");
        let said = text(place.ask("m", 10, true).await).await;
        assert!(said.contains("Hi") && said.contains("wrong: Bearer [SECRET]"), "{said}");
    }
}

/// Mutation: refuse a call of a route whose models are gone before its last resort is asked.
#[tokio::test]
async fn a_route_without_its_models_has_its_last_resort() {
    let place = Place::with(Vec::new(), &[], "1EUR/day");
    let to = json!([{"model": "gone"}]);
    let resort = json!({"to": [{"model": "gone"}, {"answer": {"text": "Later."}}]});
    place.put(Vec::new(), &[("r", resort), ("bare", json!({"to": to}))]);
    let answer = place.ask("r", 10, false).await;
    assert_eq!(answer.status, StatusCode::OK);
    let said = text(answer).await;
    assert!(said.contains("Later."), "{said}");
    let refused = place.ask("bare", 10, false).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    let said = text(refused).await;
    assert!(said.contains("`gone` is not there"), "{said}");
}
