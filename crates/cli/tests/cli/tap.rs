//! Somebody who listens on a line with the keys of both ends: all that goes over it, as it is before TLS and
//! before it is compressed.

use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base::{Clock as _, SystemClock};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::DeflateDecoder;
use hub::HubFolder;
use identity::{ClientConfig, Key, ServerConfig, hub_config, site_config};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Stands between a site and its hub. Gone with the test's process.
pub struct Tap {
    /// Where the site finds its hub.
    pub address: String,
    heard: Arc<Mutex<Vec<Heard>>>,
}

/// One connection.
#[derive(Default)]
struct Heard {
    up: Vec<u8>,
    down: Vec<u8>,
}

/// What has gone over the line, whole: heads and bodies of requests, and messages, packed and unpacked.
#[derive(Default)]
pub struct Overheard {
    pub up: Vec<Vec<u8>>,
    pub down: Vec<Vec<u8>>,
}

#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

impl Tap {
    /// `hub` and `site` are their folders, `door` is where the hub listens.
    pub fn new(hub: &Path, site: &Path, door: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (ends, kept) = (Ends::of(hub, site, door), Arc::clone(&heard));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(ends.listen(listener, kept));
        });
        Self { address, heard }
    }

    pub fn overheard(&self) -> Overheard {
        let mut all = Overheard::default();
        for Heard { up, down } in self.heard.lock().expect("no thread panicked").iter() {
            parts(up, &mut all.up);
            parts(down, &mut all.down);
        }
        all
    }
}

impl Overheard {
    /// The kinds of frames that went up.
    pub fn kinds(&self) -> Vec<String> {
        let kind = |part: &Vec<u8>| {
            let frame: Value = serde_json::from_slice(part).ok()?;
            Some(frame["type"].as_str()?.to_owned())
        };
        self.up.iter().filter_map(kind).collect()
    }
}

struct Ends {
    shown: Arc<ServerConfig>,
    root: identity::Pin,
    identity: PathBuf,
    door: SocketAddr,
}

impl Ends {
    fn of(hub: &Path, site: &Path, door: SocketAddr) -> Self {
        let authority =
            HubFolder::open(hub).expect("a hub").authorities().expect("an authority").authority;
        let key = Key::generate().expect("a key");
        let chain = authority.hub_chain(&key.public(), SystemClock.now()).expect("a certificate");
        let shown = hub_config(chain, &key, &[authority.certificate().clone()]);
        Self {
            shown: Arc::new(shown.expect("TLS")),
            root: authority.root_pin().expect("a root"),
            identity: site.join("identity/membership.json"),
            door,
        }
    }

    async fn listen(self, listener: std::net::TcpListener, heard: Arc<Mutex<Vec<Heard>>>) {
        listener.set_nonblocking(true).expect("a socket");
        let listener = TcpListener::from_std(listener).expect("a runtime");
        while let Ok((site, _)) = listener.accept().await {
            let number = {
                let mut heard = heard.lock().expect("no thread panicked");
                heard.push(Heard::default());
                heard.len() - 1
            };
            let (acceptor, tls) = (TlsAcceptor::from(self.shown.clone()), self.as_the_site());
            let (door, heard) = (self.door, Arc::clone(&heard));
            tokio::spawn(async move {
                let site = acceptor.accept(site).await.ok()?;
                let hub = TlsConnector::from(Arc::new(tls));
                let name = "hub".try_into().expect("a name");
                let hub = hub.connect(name, TcpStream::connect(door).await.ok()?).await.ok()?;
                let ((from_site, to_site), (from_hub, to_hub)) =
                    (tokio::io::split(site), tokio::io::split(hub));
                let up = carry(from_site, to_hub, Way::Up, number, &heard);
                let down = carry(from_hub, to_site, Way::Down, number, &heard);
                tokio::join!(up, down);
                Some(())
            });
        }
    }

    /// By the key that the site has at this moment; nobody's, while it joins.
    fn as_the_site(&self) -> ClientConfig {
        let doc = fs::read(&self.identity).ok();
        let doc: Option<Value> = doc.and_then(|text| serde_json::from_slice(&text).ok());
        let own = doc.map(|doc| {
            let text = |field: &str| doc[field].as_str().expect("text").to_owned();
            let certificate = STANDARD.decode(text("certificate")).expect("base64");
            (certificate.into(), Key::from_pem(&text("key")).expect("a key"))
        });
        let own = own.as_ref().map(|(certificate, key): &(identity::CertificateDer, Key)| {
            (certificate.clone().into_owned(), key)
        });
        site_config(self.root, own, SystemClock.now()).expect("TLS")
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    way: Way,
    number: usize,
    heard: &Mutex<Vec<Heard>>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        {
            let mut heard = heard.lock().expect("no thread panicked");
            let heard = match way {
                Way::Up => &mut heard[number].up,
                Way::Down => &mut heard[number].down,
            };
            heard.extend(&buffer[..read]);
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    to.shutdown().await.ok();
}

/// Head and body, and where the head changes to WebSocket, message by message.
fn parts(bytes: &[u8], parts: &mut Vec<Vec<u8>>) {
    let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") else {
        return parts.push(bytes.to_vec());
    };
    let (head, mut rest) = bytes.split_at(end + 4);
    parts.push(head.to_vec());
    if !String::from_utf8_lossy(head).to_lowercase().contains("upgrade: websocket") {
        return parts.push(rest.to_vec());
    }
    while let Some((message, behind)) = message(rest) {
        parts.extend(unpacked(&message));
        parts.push(message);
        rest = behind;
    }
    // Of a message that was cut off.
    parts.push(rest.to_vec());
}

/// One WebSocket frame, without its mask (RFC 6455, 5.2). Both ends send whole messages.
fn message(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (head, rest) = bytes.split_at_checked(2)?;
    let (is_masked, short) = (head[1] & 0x80 != 0, usize::from(head[1] & 0x7f));
    let (wide, rest) = rest.split_at_checked(match short {
        126 => 2,
        127 => 8,
        _ => 0,
    })?;
    let length = match wide {
        [] => short,
        wide => wide.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
    };
    let (mask, rest) = rest.split_at_checked(if is_masked { 4 } else { 0 })?;
    let (body, rest) = rest.split_at_checked(length)?;
    let mask = if is_masked { mask } else { &[0] };
    let clear = body.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    Some((clear.collect(), rest))
}

/// The frame of the link in a message, as `docs/spec/link.md` says.
fn unpacked(message: &[u8]) -> Option<Vec<u8>> {
    match message.split_first()? {
        (0, json) => Some(json.to_vec()),
        (1, packed) => {
            let mut json = Vec::new();
            DeflateDecoder::new(packed).read_to_end(&mut json).ok()?;
            Some(json)
        }
        _ => None,
    }
}
