//! What a request says, what its answer means, and whether its effect may have been done.

use base::value::{get as field, to_json_string};
use engine::effect::{Action, Certainty, HttpRequest};
use gateway::Limits;
use isonomy_worker::Config;
use spec::tree::HttpOutput;

use crate::server::{Reply, Server, dead_port, reply};
use crate::site::{Site, TRACEPARENT, get, json, key, said};

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Mutation: forget the key, the trace or the query, or encode a string as JSON.
#[tokio::test]
async fn a_request_carries_what_the_author_and_the_engine_say() {
    let server = Server::start(|_, _| reply("200 OK", &[], "")).await;
    let site = Site::new();
    let post = |body: &str, headers: &[(&str, &str)]| HttpRequest {
        method: "POST".into(),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        query: vec![("q".into(), "a b".into())],
        body: Some(json(body)),
        ..get(format!("{}/path", server.address()))
    };
    for request in [
        post(r#"{"a":1}"#, &[]),
        post(r#""plain""#, &[]),
        post(r#""<x/>""#, &[("content-type", "application/xml"), ("idempotency-key", "own")]),
    ] {
        assert_eq!(said(&site.http(request).await), "null (Definite)");
    }
    let seen = server.seen();
    let has = |at: usize, part: &str| assert!(seen[at].contains(part), "{part:?} in {}", seen[at]);
    has(0, "POST /path?q=a+b HTTP/1.1\r\n");
    has(0, &format!("\r\nidempotency-key: {}\r\n", key()));
    has(0, &format!("\r\ntraceparent: {TRACEPARENT}\r\n"));
    has(0, "\r\ncontent-type: application/json\r\n");
    has(0, "\r\n\r\n{\"a\":1}");
    has(1, "\r\ncontent-type: text/plain; charset=utf-8\r\n");
    has(1, "\r\n\r\nplain");
    has(2, "\r\ncontent-type: application/xml\r\n");
    has(2, "\r\nidempotency-key: own\r\n");
    assert!(!seen[2].contains(&key()) && !seen[2].contains("text/plain"), "{}", seen[2]);
}

/// Mutation: swap two outputs, or leave a credential in the response's request.
#[tokio::test]
async fn the_output_is_what_the_task_asks_for() {
    let server = Server::start(|_, _| {
        reply("201 Created", &[JSON, ("X-A", "1"), ("X-A", "2")], r#"{"id":1}"#)
    })
    .await;
    let site = Site::new();
    let ask = |output| HttpRequest {
        headers: vec![
            ("Authorization".into(), "Bearer hidden".into()),
            ("x-mark".into(), "seen".into()),
        ],
        output,
        ..get(format!("{}/pet", server.address()))
    };
    assert_eq!(said(&site.http(ask(HttpOutput::Content)).await), r#"{"id":1} (Definite)"#);
    assert_eq!(said(&site.http(ask(HttpOutput::Raw)).await), r#""eyJpZCI6MX0=" (Definite)"#);
    let response = site.http(ask(HttpOutput::Response)).await.result.expect("an answer");
    let text = to_json_string(&response);
    assert!(!text.contains("hidden"), "{text}");
    let part = |name: &str| to_json_string(field(&response, name).expect(name));
    assert_eq!((part("statusCode"), part("content")), ("201".into(), r#"{"id":1}"#.into()));
    assert!(part("headers").contains(r#""x-a":"1, 2""#), "{text}");
    let request = part("request");
    assert!(
        request.starts_with(&format!(
            r#"{{"method":"GET","uri":"{}/pet","headers":{{"authorization":"***","x-mark":"seen""#,
            server.address()
        )),
        "{request}"
    );
}

/// Mutation: take 409 for definite, 404 for unknown, or show the body in the fault.
#[tokio::test]
async fn a_status_of_failure_is_a_communication_error_that_keeps_the_body_to_itself() {
    let site = Site::new();
    for (status, certainty) in [
        ("400 Bad Request", "Definite"),
        ("401 Unauthorized", "Definite"),
        ("404 Not Found", "Definite"),
        ("408 Request Timeout", "Unknown"),
        ("409 Conflict", "Unknown"),
        ("422 Unprocessable Entity", "Definite"),
        ("425 Too Early", "Unknown"),
        ("429 Too Many Requests", "Unknown"),
        ("500 Internal Server Error", "Unknown"),
        ("503 Service Unavailable", "Unknown"),
        ("599 Unknown status", "Unknown"),
    ] {
        let server = Server::start(move |_, _| reply(status, &[JSON], r#"{"secret":1}"#)).await;
        let (code, reason) = status.split_once(' ').expect("two parts");
        let performed = site.http(get(format!("{}/private", server.address()))).await;
        let expected = format!(
            "communication {reason} ({code}): `{}` answered {status} ({certainty})",
            server.address()
        );
        assert_eq!(said(&performed), expected);
        assert!(performed.decision.expect("the gate was asked").allowed);
    }
}

/// Mutation: follow although the task says no, or refuse a 3xx although it says yes.
#[tokio::test]
async fn a_redirect_is_an_error_unless_the_task_follows() {
    let server = Server::start(|request, _| match request.starts_with("GET /a ") {
        true => reply("302 Found", &[("Location", "/b")], ""),
        false => reply("200 OK", &[JSON], "7"),
    })
    .await;
    let site = Site::new();
    let ask = |redirect| HttpRequest { redirect, ..get(format!("{}/a", server.address())) };
    let refused = format!(
        "communication Found (302): `{}` answered 302 Found; `redirect: true` follows it (Definite)",
        server.address()
    );
    assert_eq!(said(&site.http(ask(false)).await), refused);
    assert_eq!(said(&site.http(ask(true)).await), "7 (Definite)");
    let unmoved = Server::start(|_, _| reply("304 Not Modified", &[], "")).await;
    let followed = HttpRequest { redirect: true, ..get(unmoved.address()) };
    assert_eq!(said(&site.http(followed).await), "null (Definite)");
}

/// Mutation: call a request that cannot have arrived definite, or tell both failures alike.
#[tokio::test]
async fn without_a_full_answer_the_effect_is_unknown() {
    let site = Site::new();
    let dead = format!("http://127.0.0.1:{}", dead_port().await);
    let performed = said(&site.http(get(&dead)).await);
    let expected =
        format!("communication Unreachable (503): GATE-021: `{dead}` could not be reached: ");
    assert!(performed.starts_with(&expected) && performed.ends_with("(Unknown)"), "{performed}");
    for half in ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"] {
        let server = Server::start(move |_, _| Reply::Send(half.into())).await;
        let performed = said(&site.http(get(server.address())).await);
        let expected = format!(
            "communication No answer (500): GATE-022: `{}` gave no full answer: ",
            server.address()
        );
        assert!(
            performed.starts_with(&expected) && performed.ends_with("(Unknown)"),
            "{performed}"
        );
    }
}

/// Mutation: give broken JSON as text, or take it for no answer.
#[tokio::test]
async fn an_unusable_answer_is_definite() {
    let server = Server::start(|_, _| reply("200 OK", &[JSON], r#"{"secret":"#)).await;
    let site = Site::new();
    let expected = format!(
        "communication Invalid answer (502): the answer of `{}` cannot be read: not valid JSON at line 1, column 10: \
         EOF while parsing a value (Definite)",
        server.address()
    );
    assert_eq!(said(&site.http(get(server.address())).await), expected);
    let raw = HttpRequest { output: HttpOutput::Raw, ..get(server.address()) };
    assert_eq!(said(&site.http(raw).await), r#""eyJzZWNyZXQiOg==" (Definite)"#);

    let long = Server::start(|_, _| reply("200 OK", &[], &"x".repeat(100))).await;
    let rules = vec![gateway::EgressRule {
        destination: long.address(),
        allow: true,
        ..Default::default()
    }];
    let limits = Limits { body_bytes_max: 99, ..Limits::default() };
    let small = Site::limited(rules, Config::default(), limits);
    let expected = format!(
        "communication Answer too large (502): GATE-023: `{}` answered with more than 99 bytes (Definite)",
        long.address()
    );
    assert_eq!(said(&small.http(get(long.address())).await), expected);
}

/// Mutation: decode a large answer differently from a small one.
#[tokio::test]
async fn a_large_answer_is_decoded_too() {
    let server =
        Server::start(|_, _| reply("200 OK", &[JSON], &format!("[\"{}\"]", "x".repeat(1_000_000))))
            .await;
    let value = Site::new().http(get(server.address())).await.result.expect("an answer");
    assert_eq!(base::value::as_array(&value).expect("an array").len(), 1);
    let broken =
        Server::start(|_, _| reply("200 OK", &[JSON], &format!("[\"{}\"", "x".repeat(1_000_000))))
            .await;
    let performed = Site::new().http(get(broken.address())).await;
    assert_eq!(performed.result.expect_err("not JSON").status, 502);
}

/// Mutation: count a denial as definite, or lose the lines to add.
#[tokio::test]
async fn a_denial_is_an_authorization_error_that_keeps_the_key() {
    let server = Server::start(|_, _| reply("200 OK", &[], "")).await;
    let site = Site::with(Vec::new(), Config::default());
    let performed = site.http(get(format!("{}/private?token=x", server.address()))).await;
    let address = server.address();
    let expected = format!(
        "authorization Denied by policy (403): GATE-001: no rule of the site's egress map allows `{address}`; to allow it, add to \
         the site's configuration:\nspec:\n  egress:\n    - destination: {address}\n      allow: true (Unknown)"
    );
    assert_eq!(said(&performed), expected);
    let decision = performed.decision.expect("the gate was asked");
    assert_eq!((decision.allowed, &*decision.destination), (false, &*address));
    assert!(server.seen().is_empty());
}

/// Mutation: make a request of whatever the task evaluates to.
#[tokio::test]
async fn an_invalid_request_is_a_configuration_error() {
    let site = Site::new();
    for (request, detail) in [
        (get("pets/1"), "the address is not absolute, such as `https://example.com/path`"),
        (get("ftp://h/"), "in the address, the scheme is not `http` or `https`"),
        (
            HttpRequest { headers: vec![("host".into(), "x".into())], ..get("http://127.0.0.1:1") },
            "the header `host` is set by the runtime; leave it out",
        ),
    ] {
        let performed = site.http(request).await;
        let expected = format!(
            "configuration Invalid request (400): GATE-020: cannot make the request: {detail} (Definite)"
        );
        assert_eq!(said(&performed), expected);
        assert_eq!(performed.decision, None);
    }
}

/// Mutation: let the request run in a task of its own.
#[tokio::test]
async fn a_cancelled_effect_closes_its_connection_at_once() {
    let mut server = Server::start(|_, _| Reply::Hang(Vec::new())).await;
    let site = Site::new();
    let mut effect = site.start(Action::Http(get(server.address())));
    tokio::select! {
        performed = &mut effect => panic!("nobody answers: {performed:?}"),
        () = server.arrival() => {}
    }
    drop(effect);
    server.close().await;
}

/// Mutation: share nothing between requests, or everything.
#[tokio::test]
async fn a_flaky_service_is_reached_in_the_end_with_one_key() {
    let server = Server::start(|_, number| match number {
        1 => reply("503 Service Unavailable", &[], ""),
        2 => Reply::Send(Vec::new()),
        _ => reply("200 OK", &[JSON], "1"),
    })
    .await;
    let site = Site::new();
    let mut certainties = Vec::new();
    for _ in 0..3 {
        certainties.push(site.http(get(server.address())).await.certainty);
    }
    assert_eq!(certainties, [Certainty::Unknown, Certainty::Unknown, Certainty::Definite]);
    let with_key = server.seen().iter().filter(|seen| seen.contains(&key())).count();
    assert_eq!(with_key, 3);
}
