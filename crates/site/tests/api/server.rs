//! A server out in the world: what it is asked decides what it answers, and it tells what happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    Asked(String),
    /// The other side hung up on a request that was not answered.
    HungUp,
}

pub struct Server {
    pub url: String,
    pub events: mpsc::UnboundedReceiver<Event>,
}

impl Server {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (events, receiver) = mpsc::unbounded_channel();
        let asked = Arc::new(AtomicU32::new(0));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, events.clone(), asked.clone()));
            }
        });
        Self { url, events: receiver }
    }

    pub async fn next(&mut self) -> Event {
        self.events.recv().await.expect("the server is there")
    }

    /// What a site needs to be allowed to ask it.
    pub fn config(&self) -> String {
        format!("spec:\n  egress:\n    - destination: {}\n      allow: true\n", self.url)
    }
}

/// `/ok` answers, `/flaky` answers 503 to every first and second of three, `/hang` never answers,
/// `/bad` answers 400.
async fn answer(
    mut stream: TcpStream,
    events: mpsc::UnboundedSender<Event>,
    asked: Arc<AtomicU32>,
) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    events.send(Event::Asked(path.clone())).ok();
    if path == "/hang" {
        while stream.read(&mut byte).await.is_ok_and(|read| read > 0) {}
        events.send(Event::HungUp).ok();
        return;
    }
    let status = match path.as_str() {
        "/flaky" if asked.fetch_add(1, Ordering::SeqCst) % 3 != 2 => "503 Service Unavailable",
        "/bad" => "400 Bad Request",
        _ => "200 OK",
    };
    let body = r#"{"pong":true}"#;
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await.ok();
}
