//! The outer end of a sandbox's door, with a client that plays the process inside.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use base::RunId;
use base::name::Namespace;
use futures::FutureExt;
use futures::future::ready;
use isonomy_gateway::{Asker, Crossings, EgressMap, EgressRule, Gate, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::gate::{ask, get as get_of};
use crate::server::{Reply, Server, reply};

struct Inside {
    gate: Arc<Gate>,
    door: SocketAddr,
    crossings: Arc<Crossings>,
}

/// A door that leads where these rules lead.
fn open(rules: Vec<EgressRule>) -> Inside {
    open_with(rules, Limits::default())
}

fn open_with(rules: Vec<EgressRule>, limits: Limits) -> Inside {
    open_before(rules, limits, Crossings::new(|_| ready(true).boxed()))
}

fn open_before(rules: Vec<EgressRule>, limits: Limits, crossings: Crossings) -> Inside {
    let gate = Arc::new(Gate::new(EgressMap::parse(rules).expect("rules"), limits));
    let asked = Arc::clone(&gate);
    let asker = Asker {
        namespace: Namespace::parse("lab").expect("a name"),
        run: RunId::from_uuid(uuid::Uuid::from_u128(7)),
        activation: "/ask".to_owned(),
        labels: Arc::new([]),
    };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let door = listener.local_addr().expect("an address");
    let crossings = Arc::new(crossings);
    let kept = Arc::clone(&crossings);
    tokio::spawn(async move {
        let permit = asked
            .process(asker_caller(&asker), "script python", true)
            .expect("in a sandbox everything may run");
        Arc::clone(&asked).door(&permit, asker.clone(), listener, kept).await;
    });
    Inside { gate, door, crossings }
}

fn asker_caller(asker: &Asker) -> isonomy_gateway::Caller<'_> {
    isonomy_gateway::Caller {
        namespace: &asker.namespace,
        run: Some(asker.run),
        activation: &asker.activation,
        labels: &asker.labels,
    }
}

fn rule(destination: &str, to: &str) -> EgressRule {
    EgressRule { destination: destination.into(), to: Some(to.into()), ..EgressRule::default() }
}

impl Inside {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.door).await.expect("the door is open")
    }

    /// Sends this, and reads until the other side closes.
    async fn ask(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.expect("it is taken");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("text");
        answer
    }

    fn crossed(&self) -> Vec<(String, bool, u64)> {
        let all = self.crossings.take().into_iter();
        all.map(|(ruling, count)| (ruling.destination, ruling.allowed, count)).collect()
    }
}

/// Mutation: forward without asking, pass on what concerns the connection, or keep no record.
#[tokio::test]
async fn a_plain_request_goes_where_the_rules_lead() {
    let server = Server::start(|_, _| reply("200 OK", &[("x-a", "b")], "hi")).await;
    let inside = open(vec![rule("http://shop.test", &server.address())]);
    let answer = inside
        .ask(
            "GET http://shop.test/a?b=c HTTP/1.1\r\nHost: shop.test\r\nProxy-Authorization: x\r\n\
             Connection: close, x-hop\r\nX-Hop: y\r\nX-Own: z\r\n\r\n",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\r\nhi\r\n"), "{answer}");
    let asked = server.seen()[0].to_ascii_lowercase();
    assert!(asked.starts_with("get /a?b=c http/1.1\r\n"), "{asked}");
    assert!(asked.contains("host: shop.test\r\n") && asked.contains("x-own: z"), "{asked}");
    assert!(!asked.contains("proxy-authorization") && !asked.contains("x-hop"), "{asked}");
    assert_eq!(inside.crossed(), [("http://shop.test".to_owned(), true, 1)]);
}

/// Mutation: let out first and write then, or ask nobody about a tunnel.
#[tokio::test]
async fn what_cannot_be_written_down_does_not_go_out() {
    let server = Server::start(|_, _| reply("200 OK", &[], "hi")).await;
    let rules = vec![
        rule("http://shop.test", &server.address()),
        rule("https://shop.test", &server.address().replace("http", "https")),
    ];
    let crossings = Crossings::new(|_| ready(false).boxed());
    let inside = open_before(rules, Limits::default(), crossings);
    let get = "GET http://shop.test/ HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n";
    let tunnel =
        "CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test:443\r\nConnection: close\r\n\r\n";
    for asked in [get, tunnel] {
        let answer = inside.ask(asked).await;
        assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
        assert!(answer.contains("has to be written down first"), "{answer}");
    }
    assert_eq!(server.seen().len(), 0);
    assert_eq!(inside.gate.counts().allowed, 0);
}

/// Mutation: drop what a request carries, or take as much of it as comes.
#[tokio::test]
async fn a_request_carries_its_body_within_the_limit() {
    let server = Server::start(|_, _| reply("200 OK", &[], "hi")).await;
    let limits = Limits { body_bytes_max: 8, ..Limits::default() };
    let inside = open_with(vec![rule("http://shop.test", &server.address())], limits);
    let post = |body: &str| {
        format!(
            "POST http://shop.test/ HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let answer = inside.ask(&post("12345678")).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(server.seen()[0].ends_with("\r\n\r\n12345678"), "{:?}", server.seen());
    let refused = inside.ask(&post("123456789")).await;
    assert!(refused.contains("its body is too large"), "{refused}");
    assert_eq!(server.seen().len(), 1);
}

/// Mutation: let those inside a sandbox past the limit of requests at once.
#[tokio::test]
async fn requests_through_doors_count_among_all_others() {
    let mut server = Server::start(|_, number| match number {
        1 => Reply::Hang(Vec::new()),
        _ => reply("200 OK", &[], "second"),
    })
    .await;
    let limits = Limits { requests_max: 1, ..Limits::default() };
    let inside = open_with(vec![rule("http://shop.test", &server.address())], limits);
    let get = "GET http://shop.test/ HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n";
    let mut first = inside.connect().await;
    first.write_all(get.as_bytes()).await.expect("it is taken");
    server.arrival().await;
    let other = get_of("http://shop.test/");
    let mut second = Box::pin(ask(&inside.gate, other));
    assert!(futures::poll!(&mut second).is_pending());
    assert_eq!(inside.gate.counts().allowed, 1, "the second waits before the gate is asked");
    drop(first);
    let response = second.await.result.expect("an answer");
    assert_eq!(&*response.body, b"second");
}

/// Mutation: answer a denied request with what was denied it, or take a request for the proxy itself.
#[tokio::test]
async fn what_no_rule_allows_is_refused_with_the_reason() {
    let inside = open(Vec::new());
    let close = "Connection: close\r\n\r\n";
    for (asked, expected) in [
        (
            format!("GET http://other.test/ HTTP/1.1\r\nHost: other.test\r\n{close}"),
            "403 Forbidden",
        ),
        (
            format!("CONNECT other.test:443 HTTP/1.1\r\nHost: other.test\r\n{close}"),
            "403 Forbidden",
        ),
        (format!("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n{close}"), "400 Bad Request"),
        (
            format!("GET ftp://other.test/ HTTP/1.1\r\nHost: other.test\r\n{close}"),
            "400 Bad Request",
        ),
    ] {
        let answer = inside.ask(&asked).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{asked}{answer}");
    }
    let denied = |address: &str| (address.to_owned(), false, 1);
    assert_eq!(inside.crossed(), [denied("http://other.test"), denied("https://other.test")]);
}

/// Mutation: pass on whatever comes, or tunnel without asking.
#[tokio::test]
async fn a_tunnel_takes_encrypted_connections_only() {
    let echo = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = echo.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = echo.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    let inside = open(vec![
        rule("https://shop.test", &format!("https://{address}")),
        rule("https://plain.test", &format!("http://{address}")),
    ]);
    let tunnel = async || {
        let mut stream = inside.connect().await;
        let ask = "CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test:443\r\n\r\n";
        stream.write_all(ask.as_bytes()).await.expect("it is taken");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("an answer"));
        }
        assert!(head.starts_with(b"HTTP/1.1 200 OK\r\n"), "{head:?}");
        stream
    };
    let mut encrypted = tunnel().await;
    encrypted.write_all(b"\x16hello").await.expect("it is taken");
    let mut back = [0; 6];
    encrypted.read_exact(&mut back).await.expect("the echo");
    assert_eq!(&back, b"\x16hello");
    let mut plain = tunnel().await;
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("it is taken");
    let mut nothing = Vec::new();
    // Closed at once, perhaps with what was sent still unread.
    let _ = plain.read_to_end(&mut nothing).await;
    assert_eq!(nothing, b"");
    let close = "CONNECT plain.test:443 HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\r\n";
    let refused = inside.ask(close).await;
    assert!(
        refused.starts_with("HTTP/1.1 400") && refused.contains("without encryption"),
        "{refused}"
    );
    let counts = inside.gate.counts();
    assert_eq!((counts.allowed, counts.denied), (2, 1));
    assert_eq!(
        inside.crossed(),
        [("https://shop.test".to_owned(), true, 2), ("https://plain.test".to_owned(), false, 1)]
    );
}
