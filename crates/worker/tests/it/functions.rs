//! The functions of the default catalog through the worker, with the gate around them.

use base::ErrorType;
use base::value::{as_str, to_json_string};
use engine::effect::Certainty;
use engine::list::{List, Lists, read_next};
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

/// Mutation: give rows in place of a reference, lose one, or list every bad row.
#[tokio::test]
async fn a_streamed_file_becomes_a_list_that_is_read_in_pieces() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut text = String::from("id,name\n");
    for row in 1..=50_000 {
        match row % 20 {
            0 => writeln!(text, "{row}").expect("written"),
            _ => writeln!(text, "{row},\"n, {row}\"").expect("written"),
        }
    }
    std::fs::write(dir.path().join("big.csv"), text).expect("a file");
    let store =
        Arc::new(MemoryStore::new(IncarnationId::new(Timestamp::from_millis(0), &SystemRandom)));
    let mut site = site(dir.path());
    site.lists = Lists::new(store.clone());
    let input = json(r#"{"path":"data/big.csv","stream":true}"#);
    let value = site.function("csv:1.0.0@default", input).await.result.expect("rows");
    let number = |name: &str| as_i64(field(&value, name).expect(name));
    assert_eq!((number("count"), number("read")), (Some(47_500), Some(50_000)));
    let bad = as_array(field(&value, "bad").expect("bad")).expect("an array");
    assert_eq!(bad.len(), 1_000);
    let list = List::of_reference(field(&value, "rows").expect("rows")).expect("a reference");
    assert_eq!(site.lists.take(), [list]);
    let keep = Op::BlobKeep { blob: list.blob, size: list.bytes };
    store.commit(vec![keep], Preconditions::none()).await.expect("it was written");
    let (mut offset, mut rows, mut pieces) = (List::FIRST, Vec::new(), 0);
    while (rows.len() as u64) < list.items {
        let (piece, items) = read_next(&*store, list.blob, offset).await.expect("a piece");
        rows.extend(items.iter().cloned());
        (offset, pieces) = (piece.end(), pieces + 1);
    }
    assert!(pieces > 3, "{pieces}");
    assert_eq!(rows.len(), 47_500);
    assert_eq!(rows[47_499], json(r#"{"id":49999,"name":"n, 49999"}"#));
}

/// Mutation: read a file that is too large for memory, or do not say what to do with it.
#[tokio::test]
async fn a_file_that_is_too_large_for_memory_says_that_it_can_be_streamed() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = std::fs::File::create(dir.path().join("huge.csv")).expect("a file");
    file.set_len(300 * 1024 * 1024).expect("takes no room");
    let performed =
        site(dir.path()).function("csv:1.0.0@default", json(r#"{"path":"data/huge.csv"}"#)).await;
    assert_eq!(
        said(&performed),
        "runtime File too large (413): `data/huge.csv` has 314572800 bytes, more than 268435456; give `stream: true` and go \
         over `rows` with `for` (Definite)"
    );
}
