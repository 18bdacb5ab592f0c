//! What leaves, what comes back, and how sure one can be that nothing was sent.

use std::time::Duration;

use base::RunId;
use base::name::{FunctionRef, Namespace};
use isonomy_gateway::{Answer, Caller, EgressMap, EgressRule, Gate, Limits, OutError, OutRequest};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::server::{Reply, Server, dead_port, reply};

pub fn allow(destination: &str) -> EgressRule {
    EgressRule { destination: destination.into(), allow: true, ..EgressRule::default() }
}

fn deny(destination: &str) -> EgressRule {
    EgressRule { destination: destination.into(), deny: true, ..EgressRule::default() }
}

fn send_to(destination: &str, to: &str) -> EgressRule {
    EgressRule { destination: destination.into(), to: Some(to.into()), ..EgressRule::default() }
}

fn gate_with(rules: Vec<EgressRule>, limits: Limits) -> Gate {
    Gate::new(EgressMap::parse(rules).expect("good rules"), limits)
}

pub fn gate(rules: Vec<EgressRule>) -> Gate {
    gate_with(rules, Limits::default())
}

pub async fn ask(gate: &Gate, request: OutRequest) -> Answer {
    let namespace = Namespace::parse("lab").expect("a name");
    let caller = Caller {
        namespace: &namespace,
        run: Some(RunId::from_uuid(uuid::Uuid::from_u128(7))),
        activation: "/fetch",
        labels: &[],
    };
    gate.request(caller, request).await
}

/// A port where plain text comes instead of a handshake.
async fn no_handshake() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // The client goes away when it has read this.
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    port
}

pub fn get(uri: &str) -> OutRequest {
    OutRequest::new("GET", uri, &[]).expect("a request")
}

pub async fn fails(gate: &Gate, request: OutRequest) -> OutError {
    ask(gate, request).await.result.expect_err("it fails")
}

/// Mutation: send without asking the rules.
#[tokio::test]
async fn what_no_rule_allows_never_reaches_the_server() {
    let server = Server::start(|_, _| reply("200 OK", &[], "")).await;
    let gate = gate(vec![allow("https://elsewhere.example")]);
    let answer = ask(&gate, get(&format!("{}/secret", server.address()))).await;
    let ruling = answer.ruling.expect("the gate was asked");
    assert!(!ruling.allowed);
    assert_eq!(ruling.destination, server.address());
    let error = answer.result.expect_err("denied").to_string();
    let line = format!("  egress:\n    - destination: {}\n      allow: true", server.address());
    assert!(error.ends_with(&line), "{error}");
    assert!(!error.contains("secret"), "{error}");
    assert!(server.seen().is_empty());
    assert_eq!((gate.counts().denied, gate.counts().allowed), (1, 0));
}

/// Mutation: let the first match win over a later deny.
#[tokio::test]
async fn a_deny_wins_wherever_it_stands() {
    let server = Server::start(|_, _| reply("200 OK", &[], "")).await;
    let gate = gate(vec![allow("http://127.0.0.1:*"), deny(&server.address())]);
    assert!(matches!(fails(&gate, get(&server.address())).await, OutError::Denied(_)));
    assert!(server.seen().is_empty());
}

/// Mutation: let the client write the target's own host, or connect to the original.
#[tokio::test]
async fn a_mapped_destination_keeps_its_host_header() {
    let server = Server::start(|_, _| reply("200 OK", &[], "dog")).await;
    let gate = gate(vec![send_to("https://petstore.swagger.io", &server.address())]);
    let answer = ask(&gate, get("https://petstore.swagger.io/v2/pet/1?x=1")).await;
    let response = answer.result.expect("an answer");
    assert_eq!((response.status.as_u16(), &*response.body), (200, b"dog".as_slice()));
    let seen = server.seen().remove(0);
    assert!(seen.starts_with("GET /v2/pet/1?x=1 HTTP/1.1\r\n"), "{seen}");
    assert!(seen.to_lowercase().contains("\r\nhost: petstore.swagger.io\r\n"), "{seen}");
    assert!(seen.contains(concat!("isonomy/", env!("CARGO_PKG_VERSION"))), "{seen}");
    assert_eq!(answer.ruling.expect("asked").destination, "https://petstore.swagger.io");
}

/// Mutation: follow a redirect without asking, or ask only for the first hop.
#[tokio::test]
async fn every_redirect_is_asked_at_the_gate() {
    let other = Server::start(|_, _| reply("200 OK", &[], "reached")).await;
    let to = other.address();
    let server =
        Server::start(move |_, _| reply("302 Found", &[("Location", &format!("{to}/x"))], ""))
            .await;
    let request = || {
        let mut request = get(&server.address()).with_redirects(true);
        request.header("authorization", "Bearer hidden").expect("a header");
        request.header("x-mark", "kept").expect("a header");
        request
    };
    let closed = gate(vec![allow(&server.address())]);
    assert!(matches!(fails(&closed, request()).await, OutError::Denied(_)));
    assert!(other.seen().is_empty());
    assert_eq!((closed.counts().allowed, closed.counts().denied), (1, 1));

    let open = gate(vec![allow(&server.address()), allow(&other.address())]);
    let response = ask(&open, request()).await.result.expect("an answer");
    assert_eq!(&*response.body, b"reached");
    assert_eq!(response.request.uri(), format!("{}/x", other.address()));
    let seen = other.seen().remove(0);
    assert!(!seen.contains("hidden") && seen.contains("x-mark: kept"), "{seen}");
}

/// Mutation: follow although the request does not ask for it.
#[tokio::test]
async fn without_redirects_the_redirect_is_the_answer() {
    let server = Server::start(|_, _| reply("302 Found", &[("Location", "/again")], "")).await;
    let gate = gate(vec![allow(&server.address())]);
    let response = ask(&gate, get(&server.address())).await.result.expect("an answer");
    assert_eq!(response.status.as_u16(), 302);
    assert_eq!(server.seen().len(), 1);
}

/// Mutation: count one hop more or less.
#[tokio::test]
async fn a_loop_of_redirects_ends_after_ten() {
    let server = Server::start(|_, _| reply("307 Again", &[("Location", "/again")], "")).await;
    let gate = gate(vec![allow(&server.address())]);
    let error = fails(&gate, get(&server.address()).with_redirects(true)).await;
    assert!(matches!(error, OutError::TooManyRedirects { limit: 10, .. }), "{error}");
    assert_eq!(server.seen().len(), 11);
    assert_eq!(gate.counts().allowed, 11);
}

/// Mutation: call a refused connection sent, or a broken answer unsent.
#[tokio::test]
async fn it_is_known_whether_a_request_can_have_arrived() {
    let dead = format!("http://127.0.0.1:{}", dead_port().await);
    let tls = format!("https://127.0.0.1:{}", no_handshake().await);
    // A label of 70 characters: no resolver asks the network about it.
    let unknown = format!("http://{}", "x".repeat(70));
    let gate = gate(vec![allow(&dead), allow(&tls), allow(&unknown), allow("http://127.0.0.1:*")]);
    for (address, why) in [(&dead, "refused"), (&tls, ""), (&unknown, "")] {
        let error = fails(&gate, get(address)).await;
        assert!(matches!(error, OutError::NotSent { .. }), "{address}: {error:?}");
        assert!(error.to_string().contains(why), "{address}: {error}");
    }
    for half in [
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "nonsense\r\n\r\n",
    ] {
        let server = Server::start(move |_, _| Reply::Send(half.into())).await;
        let error = fails(&gate, get(&server.address())).await;
        assert!(matches!(error, OutError::NoAnswer { .. }), "{half:?}: {error:?}");
        assert_eq!(server.seen().len(), 1, "{half:?}: the request is sent once");
    }
}

/// Mutation: resolve a name to nothing.
#[tokio::test]
async fn a_name_is_resolved() {
    let server = Server::start(|_, _| reply("200 OK", &[], "here")).await;
    for rule in ["http://localhost:*", "http://*:*"] {
        let gate = gate(vec![allow(rule)]);
        let answer = ask(&gate, get(&format!("http://localhost:{}", server.port))).await;
        assert_eq!(&*answer.result.expect(rule).body, b"here", "{rule}");
    }
}

/// Mutation: look only at the announced length, or only at what came.
#[tokio::test]
async fn an_endless_body_is_refused() {
    let announced = Server::start(|_, _| {
        Reply::Hang(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n".to_vec())
    })
    .await;
    let streamed = Server::start(|_, _| {
        Reply::Hang([b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &[b'x'; 1002]].concat())
    })
    .await;
    let exact = Server::start(|_, _| reply("200 OK", &[], &"x".repeat(1000))).await;
    let limits = Limits { body_bytes_max: 1000, ..Limits::default() };
    let gate = gate_with(vec![allow("http://127.0.0.1:*")], limits);
    for server in [announced, streamed] {
        let error = fails(&gate, get(&server.address())).await;
        assert!(matches!(error, OutError::TooLarge { limit: 1000, .. }), "{error:?}");
    }
    assert!(ask(&gate, get(&exact.address())).await.result.is_ok());
}

/// Mutation: collect headers without an end.
#[tokio::test]
async fn an_endless_head_is_refused() {
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(10_000));
    let long = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(1024 * 1024));
    for head in [many, long] {
        let server = Server::start(move |_, _| Reply::Hang(head.clone().into())).await;
        let gate = gate(vec![allow("http://127.0.0.1:*")]);
        let error = fails(&gate, get(&server.address())).await;
        assert!(matches!(error, OutError::NoAnswer { .. }), "{error:?}");
    }
}

/// Mutation: set no idle timeout on the client.
#[tokio::test]
async fn a_server_that_falls_silent_is_given_up() {
    let limits = Limits { idle_timeout: Duration::from_millis(50), ..Limits::default() };
    let gate = gate_with(vec![allow("http://127.0.0.1:*")], limits);
    for begun in
        ["", "HTTP/1.1 200 OK\r\nx-slow:", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"]
    {
        let mut server = Server::start(move |_, _| Reply::Hang(begun.into())).await;
        let error = fails(&gate, get(&server.address())).await;
        assert!(matches!(error, OutError::NoAnswer { .. }), "{begun:?}: {error:?}");
        server.close().await;
    }
}

/// Mutation: run the request in a task of its own, so that it outlives its future.
#[tokio::test]
async fn dropping_the_future_closes_the_connection() {
    for begun in ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"] {
        let mut server = Server::start(move |_, _| Reply::Hang(begun.into())).await;
        let gate = gate(vec![allow("http://127.0.0.1:*")]);
        {
            let mut asking = Box::pin(ask(&gate, get(&server.address())));
            tokio::select! {
                _ = &mut asking => panic!("nobody answers"),
                () = server.arrival() => {}
            }
        }
        // Hangs here if the connection stays open.
        server.close().await;
    }
}

/// Mutation: give the place back when the head has come, or never.
#[tokio::test]
async fn no_more_requests_than_allowed_are_under_way() {
    let mut server = Server::start(|_, number| match number {
        1 => Reply::Hang(Vec::new()),
        _ => reply("200 OK", &[], "second"),
    })
    .await;
    let limits = Limits { requests_max: 1, ..Limits::default() };
    let gate = gate_with(vec![allow("http://127.0.0.1:*")], limits);
    let address = server.address();
    let mut first = Box::pin(ask(&gate, get(&address)));
    tokio::select! {
        _ = &mut first => panic!("nobody answers"),
        () = server.arrival() => {}
    }
    let mut second = Box::pin(ask(&gate, get(&address)));
    assert!(futures::poll!(&mut second).is_pending());
    assert_eq!(gate.counts().allowed, 1, "the second waits before the gate is asked");
    drop(first);
    let response = second.await.result.expect("an answer");
    assert_eq!(&*response.body, b"second");
}

/// Mutation: forget the ruling of a function, or do not count it.
#[test]
fn a_function_of_the_catalog_has_a_permit_too() {
    let gate = gate(Vec::new());
    let echo = FunctionRef::parse("echo:1.0.0@default").expect("a function");
    let namespace = Namespace::parse("lab").expect("a name");
    let run = RunId::from_uuid(uuid::Uuid::from_u128(7));
    let caller = Caller { namespace: &namespace, run: Some(run), activation: "/a", labels: &[] };
    let permit = gate.function(caller, &echo).expect("allowed");
    assert_eq!(permit.function(), &echo);
    let ruling = permit.into_ruling();
    assert!(ruling.allowed);
    assert_eq!((&*ruling.rule, &*ruling.destination), ("catalog", "echo:1.0.0@default"));
    assert_eq!(gate.counts().functions, 1);
}

/// Mutation: show labelled data to a process outside a sandbox, or keep it from one inside.
#[test]
fn a_process_outside_a_sandbox_sees_nothing_with_a_label() {
    let gate = gate(Vec::new());
    let namespace = Namespace::parse("lab").expect("a name");
    let run = RunId::from_uuid(uuid::Uuid::from_u128(7));
    let health = ["health".to_owned()];
    for (labels, confined, rule) in [
        (&health[..], true, Some("sandbox")),
        (&[], true, Some("sandbox")),
        (&[], false, Some("scripts: unconfined")),
        (&health, false, None),
    ] {
        let caller = Caller { namespace: &namespace, run: Some(run), activation: "/a", labels };
        let permit = gate.process(caller, "script python", confined);
        let found = permit.ok().map(|permit| permit.into_ruling().rule);
        assert_eq!(found.as_deref(), rule, "{labels:?}, confined: {confined}");
    }
}
