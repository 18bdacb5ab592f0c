//! Requests that nobody should send. Whatever comes, the answer is a problem of the caller's.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::documents::GREET;
use crate::place::{Place, document};

const RUNS: &str = "/api/v1/namespaces/default/runs";
const RUN: &str = "run_018bcfe5-6800-7000-8000-000000000000";

/// Mutation: drop any check of a path, a query or a body.
#[tokio::test]
async fn a_wrong_request_is_a_problem_of_the_callers() {
    let place = Place::new().await;
    place.given("greet", GREET).await;
    let run = format!("{RUNS}/{RUN}");
    let long = "x".repeat(300);
    let deep =
        format!(r#"{{"workflow":"greet","input":{}1{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    for (method, path, body, code) in [
        ("GET", "/", "", "API-003"),
        ("GET", "/api/v1", "", "API-003"),
        ("GET", "/api/v1/health/", "", "API-003"),
        ("GET", "/api/v1/namespaces//runs", "", "API-002"),
        ("GET", "/api/v1/namespaces/default/runs/../../x", "", "API-003"),
        ("POST", "/api/v1/health", "{}", "API-008"),
        ("DELETE", RUNS, "", "API-008"),
        ("PATCH", RUNS, "{}", "API-008"),
        ("OPTIONS", RUNS, "", "API-008"),
        ("TRACE", RUNS, "", "API-008"),
        ("GET", "/api/v1/namespaces/-x/runs", "", "API-002"),
        ("GET", "/api/v1/namespaces/a%00b/runs", "", "API-002"),
        ("GET", "/api/v1/namespaces/%ff%fe/runs", "", "API-002"),
        ("GET", "/api/v1/namespaces/%2e%2e/runs", "", "API-002"),
        ("GET", "/api/v1/namespaces/a%2fb/runs", "", "API-002"),
        ("GET", &format!("/api/v1/namespaces/{long}/runs"), "", "API-002"),
        ("GET", "/api/v1/namespaces/default/workflows/a%0d%0ab", "", "API-002"),
        ("GET", "/api/v1/namespaces/default/runs/run_1", "", "API-002"),
        ("GET", &format!("{RUNS}/{}", RUN.to_uppercase()), "", "API-002"),
        ("GET", &run, "", "RUN-001"),
        ("GET", &format!("{run}/events"), "", "RUN-001"),
        ("GET", &format!("{run}/follow"), "", "RUN-001"),
        ("POST", &format!("{run}/cancel"), "{}", "RUN-001"),
        ("POST", &format!("{run}/retry"), "{}", "RUN-001"),
        ("GET", &format!("{RUNS}?limit=0"), "", "API-002"),
        ("GET", &format!("{RUNS}?limit=-1"), "", "API-002"),
        ("GET", &format!("{RUNS}?limit=501"), "", "API-002"),
        ("GET", &format!("{RUNS}?limit=99999999999999999999"), "", "API-002"),
        ("GET", &format!("{RUNS}?limit=1&limit=2"), "", "API-002"),
        ("GET", &format!("{RUNS}?unknown=1"), "", "API-002"),
        ("GET", &format!("{RUNS}?state=done"), "", "API-002"),
        ("GET", &format!("{RUNS}?state="), "", "API-002"),
        ("GET", &format!("{RUNS}?since=yesterday"), "", "API-002"),
        ("GET", &format!("{RUNS}?cursor=%00"), "", "API-002"),
        ("GET", &format!("{RUNS}?workflow=%ff"), "", "API-002"),
        ("GET", &format!("{run}/events?after=-1"), "", "API-002"),
        ("GET", &format!("{run}/events?after=18446744073709551615"), "", "API-002"),
        ("GET", &format!("{run}/events?after=1&cursor=1"), "", "API-002"),
        ("GET", &format!("{run}/follow?after=x"), "", "API-002"),
        ("GET", "/api/v1/namespaces/default/workflows/greet?revision=latest", "", "API-002"),
        ("POST", &format!("{RUNS}?wait=61"), r#"{"workflow":"greet"}"#, "API-002"),
        ("POST", &format!("{RUNS}?wait=-1"), r#"{"workflow":"greet"}"#, "API-002"),
        ("POST", RUNS, "{", "API-001"),
        ("POST", RUNS, "null", "API-001"),
        ("POST", RUNS, "[]", "API-001"),
        ("POST", RUNS, "{}", "API-001"),
        ("POST", RUNS, "\u{0}", "API-001"),
        ("POST", RUNS, r#"{"workflow":"greet"} x"#, "API-001"),
        ("POST", RUNS, r#"{"workflow":"greet","unknown":1}"#, "API-001"),
        ("POST", RUNS, r#"{"workflow":"greet","workflow":"greet"}"#, "API-001"),
        ("POST", RUNS, r#"{"workflow":7}"#, "API-001"),
        ("POST", RUNS, r#"{"workflow":"greet","input":1e999}"#, "API-001"),
        ("POST", RUNS, r#"{"workflow":"greet","input":"\ud800"}"#, "API-001"),
        ("POST", RUNS, r#"{"workflow":"greet","priority":99999999999}"#, "API-001"),
        ("POST", RUNS, &deep, "API-001"),
        ("POST", RUNS, r#"{"workflow":"../greet"}"#, "API-002"),
        ("POST", RUNS, r#"{"workflow":"greet","run":"run_x"}"#, "API-002"),
        ("POST", RUNS, r#"{"workflow":"nobody"}"#, "WFL-002"),
        ("POST", &format!("{run}/cancel"), r#"{"why":1}"#, "API-001"),
        ("PUT", "/api/v1/namespaces/default/workflows/greet", r#"{"text":1}"#, "API-001"),
        ("PUT", "/api/v1/namespaces/default/workflows/greet", r#"{"text":""}"#, "WFL-001"),
        ("PUT", "/api/v1/namespaces/default/workflows/greet", r#"{"text":"\u0000"}"#, "WFL-001"),
        ("DELETE", "/api/v1/namespaces/default/workflows/nobody", "", "WFL-002"),
        ("DELETE", "/api/v1/namespaces/default/workflows/greet?reason=%1b%5b2J", "", "API-002"),
    ] {
        let reply = place.send(method, path, &[], body.as_bytes()).await;
        assert!(reply.status < 500, "{method} {path}: {}", reply.text());
        assert_eq!(reply.problem(), code, "{method} {path}: {}", reply.text());
    }
    place.stop().await;
}

/// Mutation: answer whoever asks by another name, from another origin, or by a form.
#[tokio::test]
async fn a_page_in_a_browser_cannot_use_the_api() {
    let place = Place::new().await;
    place.given("greet", GREET).await;
    let body = br#"{"workflow":"greet","input":{}}"#;
    for (headers, status, code) in [
        (vec![("host", "evil.example")], 403, "API-005"),
        (vec![("host", "127.0.0.1.evil.example")], 403, "API-005"),
        (vec![("origin", "https://evil.example")], 403, "API-005"),
        (vec![("origin", "null")], 403, "API-005"),
        (vec![("sec-fetch-site", "cross-site")], 403, "API-005"),
        (vec![("content-type", "text/plain")], 415, "API-009"),
        (vec![("content-type", "application/x-www-form-urlencoded")], 415, "API-009"),
        (vec![("isonomy-actor", "")], 400, "API-002"),
        (vec![("last-event-id", "x")], 404, "RUN-001"),
    ] {
        let is_follow = headers.iter().any(|(name, _)| *name == "last-event-id");
        let reply = if is_follow {
            place.send("GET", &format!("{RUNS}/{RUN}/follow"), &[], b"").await
        } else {
            place.send("POST", RUNS, &headers, body).await
        };
        assert_eq!((reply.status, reply.problem().as_str()), (status, code), "{headers:?}");
    }
    let none = place.get(RUNS).await.json();
    assert_eq!(none["items"], json!([]), "nothing was started");
    let own = format!("http://{}", place.address);
    let reply = place
        .send("POST", RUNS, &[("origin", &own), ("sec-fetch-site", "same-origin")], body)
        .await;
    assert_eq!(reply.status, 201);
    place.stop().await;
}

/// Mutation: read a body of any size, or any number of headers.
#[tokio::test]
async fn what_is_too_large_is_not_read() {
    let place = Place::new().await;
    let declared = 17 * 1024 * 1024;
    let body = vec![b' '; declared];
    let reply = place.send("POST", RUNS, &[], &body).await;
    assert_eq!((reply.status, reply.problem().as_str()), (413, "API-004"));
    let path = format!("{RUNS}/{RUN}/cancel");
    let reply = place.send("POST", &path, &[], &body[..20 * 1024]).await;
    assert_eq!((reply.status, reply.problem().as_str()), (413, "API-004"));
    let text = document(
        "default",
        "greet",
        "1.0.0",
        &format!("  - a: {{set: {{x: '{}'}}}}", "y".repeat(4 * 1024 * 1024)),
    );
    let reply = place.apply("default", "greet", &text).await;
    assert_eq!((reply.status, reply.problem().as_str()), (422, "WFL-001"));
    assert_eq!(reply.json()["findings"][0]["code"], "WF-001");

    let many: Vec<(String, String)> = (0..200).map(|n| (format!("x-{n}"), "1".into())).collect();
    let many: Vec<(&str, &str)> =
        many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(place.send("GET", "/api/v1/health", &many, b"").await.status, 431);
    let wide = "x".repeat(100 * 1024);
    assert_eq!(place.send("GET", "/api/v1/health", &[("x-wide", &wide)], b"").await.status, 431);
    place.stop().await;
}

/// Mutation: panic, or hold the connection, on bytes that are not HTTP.
#[tokio::test]
async fn what_is_not_http_leaves_the_site_unharmed() {
    let place = Place::new().await;
    let junk: Vec<u8> = (0..=255).cycle().take(4_096).collect();
    for request in [
        &b"\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        b"GET http://evil.example/api/v1/health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        b"POST /api/v1/namespaces/default/runs HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"POST /api/v1/namespaces/default/runs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &junk,
    ] {
        let mut stream = TcpStream::connect(place.address).await.expect("a connection");
        stream.write_all(request).await.ok();
        stream.shutdown().await.ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok();
        let status = answer.get(9..12).unwrap_or_default();
        assert!(!status.starts_with(b"5") && !status.starts_with(b"2"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(place.get("/api/v1/health").await.status, 200);
    place.stop().await;
}
