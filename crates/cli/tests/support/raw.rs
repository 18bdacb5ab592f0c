//! A site's end of the line, spoken by hand, by whoever has stolen its key.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock as _, SystemClock};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use identity::{CertificateDer, Key, Pin, site_config};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub type Tls = TlsStream<TcpStream>;

/// What lies in a site's folder.
pub struct Stolen {
    pub site: String,
    pub hub: SocketAddr,
    joined: String,
    root: Pin,
    key: Key,
    certificate: CertificateDer<'static>,
}

/// An answer of the door.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Value,
}

impl Stolen {
    /// From the data folder of a site that has joined.
    pub fn of(data: &Path) -> Self {
        let text = std::fs::read_to_string(data.join("identity/membership.json")).expect("joined");
        let doc: Value = serde_json::from_str(&text).expect("JSON");
        let text = |name: &str| doc[name].as_str().expect("text").to_owned();
        Self {
            site: text("site"),
            hub: doc["hubs"][0].as_str().expect("an address").parse().expect("an address"),
            joined: text("joined"),
            root: serde_json::from_value(doc["root"].clone()).expect("a pin"),
            key: Key::from_pem(&text("key")).expect("a key"),
            certificate: STANDARD.decode(text("certificate")).expect("base64").into(),
        }
    }

    /// A connection that shows the certificate, or none.
    pub async fn dial(&self, from: Ipv4Addr, shows: bool) -> io::Result<Tls> {
        let shown = shows.then(|| (self.certificate.clone(), &self.key));
        let config = site_config(self.root, shown, SystemClock.now()).expect("a key");
        let stream = connect(self.hub, from).await?;
        let name = "hub".try_into().expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// A line, up to its first frame.
    pub async fn line(&self) -> Tls {
        let mut stream = self.dial(Ipv4Addr::LOCALHOST, true).await.expect("a certificate of ours");
        let ask = "GET /link/v1 HTTP/1.1\r\nhost: hub\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
        stream.write_all(ask.as_bytes()).await.expect("it listens");
        let head = head(&mut stream).await.expect("an answer");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        stream
    }

    /// What a site says first.
    pub fn hello(&self) -> Vec<u8> {
        let hello = json!({
            "type": "hello", "versions": [1], "site": self.site, "incarnation": self.joined,
            "session": 0, "last": {"outcome": 0, "receipt": 0},
        });
        plain(&hello.to_string())
    }

    /// One request, as whoever has the certificate or as nobody.
    pub async fn post(&self, from: Ipv4Addr, shows: bool, path: &str, body: &Value) -> Answer {
        let mut stream = self.dial(from, shows).await.expect("a handshake");
        let body = body.to_string();
        let ask = format!(
            "POST {path} HTTP/1.1\r\nhost: hub\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(ask.as_bytes()).await.expect("it listens");
        let head = head(&mut stream).await.expect("an answer");
        let mut text = Vec::new();
        // A peer that ends without a farewell has still said all.
        let _ = stream.read_to_end(&mut text).await;
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a status");
        Answer { status, head, body: serde_json::from_slice(&text).unwrap_or_default() }
    }
}

/// From another address of this machine, as if it came from elsewhere.
pub async fn connect(hub: SocketAddr, from: Ipv4Addr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(hub).await
}

async fn head(stream: &mut Tls) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// A WebSocket message that says how long it is, and the beginning of what it has. The mask is zero.
pub fn message(length: u64, bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![0x82, 0x80 | 127];
    message.extend(length.to_be_bytes());
    message.extend([0; 4]);
    message.extend(bytes);
    message
}

/// A whole message of these bytes.
pub fn whole(bytes: &[u8]) -> Vec<u8> {
    message(bytes.len() as u64, bytes)
}

/// A frame, not compressed.
pub fn plain(json: &str) -> Vec<u8> {
    whole(&[&[0], json.as_bytes()].concat())
}

/// Says a byte of it each second, over and over, until the other end has had enough.
pub async fn drip(mut stream: impl AsyncRead + AsyncWrite + Unpin, say: &'static [u8]) {
    let mut say = say.iter().cycle();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let mut heard = [0; 1024];
    loop {
        tokio::select! {
            read = stream.read(&mut heard) => {
                if matches!(read, Ok(0) | Err(_)) {
                    return;
                }
            }
            _ = second.tick() => {
                let byte = *say.next().expect("it goes round");
                if stream.write_all(&[byte]).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
        }
    }
}
