//! The functions of the default catalog through the worker, with the gate around them.

use base::ErrorType;
use base::value::{as_str, to_json_string};
use engine::effect::{Action, Certainty};
use gateway::EgressRule;
use isonomy_worker::Config;

use crate::server::{Server, reply};
use crate::site::{Site, TRACEPARENT, json, key, said};

/// Mutation: read the machine's clock, or give the local time.
#[tokio::test]
async fn now_is_the_time_of_the_sites_clock() {
    let site = Site::new();
    site.clock.forward(1);
    let said = said(&site.function("now:1.0.0@default", json("{}")).await);
    assert_eq!(
        said,
        r#"{"iso8601":"2023-11-14T22:13:21.000Z","epoch":{"seconds":1700000001,"milliseconds":1700000001000}} (Definite)"#
    );
}

/// Mutation: ignore the version, or give the same twice.
#[tokio::test]
async fn uuids_are_of_the_version_that_is_asked_for() {
    let site = Site::new();
    let uuid = async |input: &str| {
        let performed = site.function("uuid:1.0.0@default", json(input)).await;
        performed.result.map(|value| as_str(&value).expect("text").to_owned())
    };
    let (one, two) = (uuid("{}").await.expect("one"), uuid("{}").await.expect("one"));
    assert_ne!(one, two);
    assert_eq!(one.as_bytes()[14], b'4');
    assert_eq!(uuid(r#"{"version":7}"#).await.expect("one").as_bytes()[14], b'7');
    let fault = uuid(r#"{"version":1}"#).await.expect_err("not one of ours");
    assert_eq!(fault.kind(), ErrorType::Validation);
}

/// Mutation: let contradicting arguments through, or leave the schema unchecked.
#[tokio::test]
async fn random_takes_one_of_its_forms() {
    let site = Site::new();
    for (input, good) in [
        ("{}", true),
        (r#"{"min":1,"max":3}"#, true),
        (r#"{"bytes":16}"#, true),
        (r#"{"of":[1]}"#, true),
        (r#"{"min":1}"#, false),
        (r#"{"bytes":0}"#, false),
        (r#"{"of":[]}"#, false),
        (r#"{"bytes":1,"of":[1]}"#, false),
        (r#"{"min":1,"max":2,"bytes":1}"#, false),
    ] {
        let performed = site.function("random:1.0.0@default", json(input)).await;
        assert_eq!(performed.result.is_ok(), good, "{input}: {performed:?}");
    }
}

/// Mutation: forget the key, send a string as it is, or take any answer for good.
#[tokio::test]
async fn notify_posts_to_a_webhook_through_the_gate() {
    let server = Server::start(|_, n| match n {
        1 | 2 => reply("204 No Content", &[], ""),
        3 => reply("500 Oops", &[], ""),
        _ => reply("302 Found", &[("Location", "/else")], ""),
    })
    .await;
    let site = Site::new();
    let notify = async |message: &str| {
        let url = format!("{}/hook", server.address());
        let input = format!(r#"{{"url":"{url}","message":{message},"headers":{{"x-a":"b"}}}}"#);
        site.function("notify:1.0.0@default", json(&input)).await
    };
    let first = notify(r#""done""#).await;
    assert_eq!(to_json_string(first.result.as_ref().expect("sent")), r#"{"status":204}"#);
    let decision = first.decision.expect("the gate was asked");
    assert_eq!((decision.allowed, decision.destination), (true, server.address()));
    notify(r#"{"level":3}"#).await.result.expect("sent");
    let failed = notify(r#""x""#).await;
    assert_eq!(
        (failed.result.expect_err("500").status, failed.certainty),
        (500, Certainty::Unknown)
    );
    assert_eq!(notify(r#""x""#).await.result.expect_err("not followed").status, 302);
    let seen = server.seen();
    let has = |at: usize, part: &str| assert!(seen[at].contains(part), "{part} in {}", seen[at]);
    has(0, "POST /hook HTTP/1.1\r\n");
    has(0, "\r\nx-a: b\r\n");
    has(0, &format!("\r\nidempotency-key: {}\r\n", key()));
    has(0, &format!("\r\ntraceparent: {TRACEPARENT}\r\n"));
    has(0, "\r\n\r\n{\"text\":\"done\"}");
    has(1, "\r\n\r\n{\"level\":3}");
    assert_eq!(seen.len(), 4);
}

/// Mutation: send before asking the gate.
#[tokio::test]
async fn notify_is_denied_where_no_rule_allows_it() {
    let server = Server::start(|_, _| reply("200 OK", &[], "")).await;
    let none: Vec<EgressRule> = Vec::new();
    let site = Site::with(none, Config::default());
    let input = format!(r#"{{"url":"{}","message":"x"}}"#, server.address());
    let performed = site.function("notify:1.0.0@default", json(&input)).await;
    let fault = performed.result.expect_err("denied");
    assert_eq!((fault.kind(), fault.status), (ErrorType::Authorization, 403));
    assert_eq!(performed.decision.map(|it| it.allowed), Some(false));
    assert_eq!(server.seen().len(), 0);
}

/// Mutation: let what only waits for other sites take a turn of those that work, or everything go without one.
#[tokio::test]
async fn only_a_dispatch_waits_without_a_turn() {
    let only_waits = |name: &str| {
        let function = base::FunctionRef::parse(name).expect("a reference");
        let action = Action::Function { function, input: json("{}") };
        Site::new().only_waits(&action)
    };
    assert!(only_waits("dispatch:1.0.0@default"));
    assert!(!only_waits("csv:1.0.0@default"));
    assert!(!only_waits("dispatch:9.0.0@default"));
}
