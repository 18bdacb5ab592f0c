//! The command line and its site.

use futures::StreamExt;
use isonomy_gateway::operator::{Client, Credentials, OperatorError};

use crate::server::{Reply, Server, dead_port, reply};

fn client(server: &Server) -> Client {
    Client::connect(&server.address(), Credentials::default()).expect("an address of this machine")
}

/// Mutation: drop the body, the content type or the header.
#[tokio::test]
async fn a_request_carries_its_body_and_headers() {
    let server =
        Server::start(|_, _| reply("201 Created", &[("x-a", "b")], r#"{"run":"r"}"#)).await;
    let body = serde_json::json!({ "reason": "test" });
    let sent =
        client(&server).send("POST", "/api/v1/x?y=1", Some(&body), &[("x-actor", "me")]).await;
    let reply = sent.expect("an answer");
    assert_eq!((reply.status, &reply.headers["x-a"]), (201, &"b".parse().expect("a value")));
    assert_eq!(reply.json::<serde_json::Value>().expect("json"), serde_json::json!({ "run": "r" }));
    let seen = server.seen().remove(0);
    assert!(seen.starts_with("POST /api/v1/x?y=1 HTTP/1.1\r\n"), "{seen}");
    for part in
        ["content-type: application/json\r\n", "x-actor: me\r\n", "\r\n\r\n{\"reason\":\"test\"}"]
    {
        assert!(seen.contains(part), "{part:?} in {seen}");
    }
}

/// Mutation: take a refusal for an answer, or a refused connection for a broken one.
#[tokio::test]
async fn a_refusal_is_told_from_nobody_there_and_from_a_broken_answer() {
    let refusing = Server::start(|_, _| reply("404 Not Found", &[], r#"{"code":"API-004"}"#)).await;
    let error = client(&refusing).get("/x").await.expect_err("refused");
    assert!(
        matches!(&error, OperatorError::Status { status: 404, body } if &**body == br#"{"code":"API-004"}"#)
    );
    let broken = Server::start(|_, _| {
        Reply::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx".to_vec())
    })
    .await;
    let error = client(&broken).get("/x").await.expect_err("half an answer");
    assert!(matches!(error, OperatorError::Broken { .. }), "{error:?}");
    let dead = format!("http://localhost:{}", dead_port().await);
    let error = Client::connect(&dead, Credentials::default())
        .expect("an address")
        .get("/x")
        .await
        .expect_err("nobody");
    assert!(
        matches!(&error, OperatorError::Unreachable { address, .. } if *address == dead),
        "{error:?}"
    );
    assert!(error.to_string().contains("isonomy dev"), "{error}");
}

/// Mutation: join the path so that it can name another host.
#[tokio::test]
async fn a_path_cannot_leave_the_site() {
    let server = Server::start(|_, _| reply("200 OK", &[], "")).await;
    let client = client(&server);
    assert!(matches!(client.get("http://other/").await, Err(OperatorError::Invalid(_))));
    client.get("//other/x").await.expect("still this site");
    assert!(server.seen()[0].starts_with("GET //other/x HTTP/1.1\r\n"));
}

/// Mutation: wait for the end before the first event, or drop the id to go on from.
#[tokio::test]
async fn events_come_as_they_happen_and_go_on_from_an_id() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    let mut server = Server::start(move |_, _| {
        Reply::Hang(format!("{head}id: 8\nevent: record\ndata: x\n\n: half").into())
    })
    .await;
    let client = client(&server);
    let mut events = client.events("/events", Some("7")).await.expect("a stream");
    let first = events.next().await.expect("an event").expect("a good one");
    assert_eq!((first.id.as_deref(), &*first.event, &*first.data), (Some("8"), "record", "x"));
    assert!(server.seen()[0].contains("last-event-id: 7\r\n"));
    drop(events);
    server.close().await;
}

/// Mutation: take the end of a cut stream for its regular end.
#[tokio::test]
async fn a_cut_stream_is_an_error_and_a_refused_one_too() {
    let cut = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: x\n\n\r\n";
    let server = Server::start(move |_, _| Reply::Send(cut.into())).await;
    let events = client(&server).events("/events", None).await.expect("a stream");
    let all: Vec<_> = events.collect().await;
    assert!(matches!(&all[..], [Ok(_), Err(OperatorError::Broken { .. })]), "{all:?}");
    let refusing = Server::start(|_, _| reply("404 Not Found", &[], "")).await;
    let error = client(&refusing).events("/events", None).await.err().expect("refused");
    assert!(matches!(error, OperatorError::Status { status: 404, .. }));
}
