//! What a route may have in a minute and at once, whoever asks. Over real sockets.

use base::Duration;
use http::StatusCode;
use isonomy_gateway::desk::Reply as Answer;
use models::Operation;
use serde_json::{Value, json};

use crate::desk::{Place, STREAM, answer, model, name, question, sales, text};
use crate::server::{Reply, Server};

const EVENTS: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n";

fn limited(place: &Place, server: &Server, limits: &Value) {
    let route = json!({"to": [{"model": "m"}], "limits": limits});
    place.put(vec![model("m", &server.address(), "1", &json!({}))], &[("r", route)]);
}

fn standing(place: &Place) -> (Option<u64>, Option<u64>, u32, u64) {
    let now = base::Timestamp::from_millis(1_800_000_000_000);
    let it = place.desk.shelf().standing(&sales(), &name("r"), now).expect("a route with limits");
    (it.left.requests, it.left.tokens, it.under_way, it.refused)
}

async fn refused(answer: Answer, code: &str) -> Option<u64> {
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    let after = answer.headers.get("retry-after").map(|it| it.to_str().expect("text").to_owned());
    let said: Value = serde_json::from_str(&text(answer).await).expect("JSON");
    assert_eq!(said["error"]["code"], code, "{said}");
    after.map(|it| it.parse().expect("seconds"))
}

/// Mutation: count each asker by himself, count a call that has no room, begin a full minute when the route is
/// put anew, or hold money of a call that is refused.
#[tokio::test]
async fn a_route_has_so_many_requests_a_minute_of_all_that_call_it() {
    let server = Server::start(|_, _| answer(1, 1)).await;
    let place = Place::with(Vec::new(), &[], "1EUR/day");
    limited(&place, &server, &json!({"requestsPerMinute": 2}));
    let ask = async |key: Option<&str>| {
        let mut asked = question("r", 10, false);
        asked.who.by.key = key.map(|key| base::KeyName::parse(key).expect("a name"));
        place.desk.call(asked).await
    };
    assert_eq!(ask(Some("bot")).await.status, StatusCode::OK);
    assert_eq!(ask(None).await.status, StatusCode::OK);
    assert_eq!(refused(ask(Some("bot")).await, "rate_limit_exceeded").await, Some(30));
    assert_eq!(refused(ask(None).await, "rate_limit_exceeded").await, Some(30));
    assert_eq!(standing(&place), (Some(0), None, 0, 2));
    assert_eq!(place.standing().1, 0, "nothing is held");
    limited(&place, &server, &json!({"requestsPerMinute": 3}));
    assert_eq!(standing(&place), (Some(1), None, 0, 2));
    assert_eq!(ask(None).await.status, StatusCode::OK);
    assert_eq!(refused(ask(None).await, "rate_limit_exceeded").await, Some(20));
    place.passes(Duration::from_secs(20));
    assert_eq!(ask(Some("bot")).await.status, StatusCode::OK);
    assert_eq!(server.seen().len(), 4);
    // In the other dialect's own form.
    let mut other = question("r", 10, false);
    other.operation = Operation::Messages;
    let said = place.desk.call(other).await;
    assert_eq!(said.status, StatusCode::TOO_MANY_REQUESTS);
    let said: Value = serde_json::from_str(&text(said).await).expect("JSON");
    assert_eq!(said["error"]["type"], "rate_limit_error", "{said}");
}

/// Mutation: lose what was taken and not used, or keep what a call without a budget has taken.
#[tokio::test]
async fn a_route_counts_the_tokens_that_were_used() {
    let server = Server::start(|_, _| answer(30, 10)).await;
    let place = Place::with(Vec::new(), &[], "1EUR/day");
    limited(&place, &server, &json!({"tokensPerMinute": 1_000, "requestsPerMinute": 9}));
    assert_eq!(place.ask("r", 100, false).await.status, StatusCode::OK);
    assert_eq!(standing(&place), (Some(8), Some(960), 0, 0));
    assert_eq!(refused(place.ask("r", 5_000, false).await, "rate_limit_exceeded").await, Some(3));
    assert_eq!(standing(&place), (Some(8), Some(960), 0, 1));
    let poor = Place::with(Vec::new(), &[], "0.000001EUR/day");
    limited(&poor, &server, &json!({"tokensPerMinute": 1_000, "requestsPerMinute": 9}));
    assert_eq!(poor.ask("r", 100, false).await.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(standing(&poor), (Some(9), Some(1_000), 0, 0));
}

/// Mutation: give the place back when the head of an answer has come, or never; or count those of a route that
/// was put anew from nothing.
#[tokio::test]
async fn a_stream_has_its_place_until_it_ends() {
    let server = Server::start(|_, _| Reply::Send(format!("{STREAM}{EVENTS}").into_bytes())).await;
    let place = Place::with(Vec::new(), &[], "1EUR/day");
    limited(&place, &server, &json!({"concurrency": 1}));
    let first = place.ask("r", 10, true).await;
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(refused(place.ask("r", 10, true).await, "too_many_calls").await, Some(1));
    limited(&place, &server, &json!({"concurrency": 2}));
    assert_eq!(standing(&place), (None, None, 1, 1));
    let second = place.ask("r", 10, true).await;
    assert_eq!(refused(place.ask("r", 10, true).await, "too_many_calls").await, Some(1));
    assert!(text(first).await.contains("[DONE]"));
    drop(second);
    while standing(&place).2 > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(place.ask("r", 10, true).await.status, StatusCode::OK);
}
