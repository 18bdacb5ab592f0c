//! A server that misbehaves on demand: raw HTTP/1.1 over a real socket.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What the server does with one request.
pub enum Reply {
    /// These bytes, then the connection is closed.
    Send(Vec<u8>),
    /// These bytes, then silence until the other side closes the connection.
    Hang(Vec<u8>),
}

pub struct Server {
    pub port: u16,
    /// Heads and bodies of all requests, in the order of arrival.
    seen: Arc<Mutex<Vec<String>>>,
    arrived: mpsc::UnboundedReceiver<()>,
    closed: mpsc::UnboundedReceiver<()>,
}

/// A whole answer.
pub fn reply(status: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("Connection: close\r\n\r\n");
    text.push_str(body);
    Reply::Send(text.into_bytes())
}

impl Server {
    /// Answers each request with what `answer` makes of its text and its number, from 1.
    pub async fn start(answer: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (arrive, arrived) = mpsc::unbounded_channel();
        let (close, closed) = mpsc::unbounded_channel();
        let (answer, all) = (Arc::new(answer), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (answer, all) = (Arc::clone(&answer), Arc::clone(&all));
                let (arrive, close) = (arrive.clone(), close.clone());
                tokio::spawn(async move {
                    let Some(request) = read_request(&mut stream).await else { return };
                    let number = {
                        let mut all = all.lock().expect("no test panicked");
                        all.push(request.clone());
                        all.len()
                    };
                    // A test that looks no longer has dropped its end.
                    let _ = arrive.send(());
                    match answer(&request, number) {
                        Reply::Send(bytes) => {
                            let _ = stream.write_all(&bytes).await;
                        }
                        Reply::Hang(bytes) => {
                            let _ = stream.write_all(&bytes).await;
                            until_closed(&mut stream).await;
                            let _ = close.send(());
                        }
                    }
                });
            }
        });
        Self { port, seen, arrived, closed }
    }

    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no test panicked").clone()
    }

    /// Until the next request has arrived.
    pub async fn arrival(&mut self) {
        self.arrived.recv().await.expect("the server lives");
    }

    /// Until the other side has closed a hanging connection.
    pub async fn close(&mut self) {
        self.closed.recv().await.expect("the server lives");
    }
}

/// A port on which nobody listens.
pub async fn dead_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// Head and body of one request, or `None` if the other side went away first.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
            if bytes.len() >= end + 4 + length {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}

async fn until_closed(stream: &mut TcpStream) {
    let mut chunk = [0; 4096];
    while matches!(stream.read(&mut chunk).await, Ok(read) if read > 0) {}
}
