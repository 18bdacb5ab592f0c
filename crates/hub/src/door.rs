//! The door for sites: TLS, and behind it the link, joining and renewing. Nothing else is there.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use identity::{Certificate, IdentityError, Key, SealingWord, ServerConfig, hub_config};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::join::{Granted, HubSealingSaid, JoinAsk, RefusedJoin, RenewAsk, SealingSaid};

use crate::fresh::Fresh;
use crate::join::{JoinRefusal, Joined};
use crate::{Hub, line};

/// Connections of sites at once. More wait in the system's queue.
const CONNECTIONS_MAX: usize = 20_000;

/// Handshakes at once: each costs the processor a fraction of a millisecond, and more at once would
/// only all be late.
const HANDSHAKES_MAX: usize = 256;

/// Until whoever has connected says something.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a handshake waits for its turn: as long as its site has patience.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long it takes then: two round trips, over the slowest of lines.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// A request of one of the three doors; a link is none any more.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// The largest head of a request. Ours have some three hundred bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The largest body: a key and a secret.
const BODY_BYTES_MAX: usize = 4 * 1024;

/// How long to wait when the system has no file for another connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What the door shows, and whom it lets in.
pub struct Door {
    hub: Hub,
    tls: Fresh,
    places: Arc<Semaphore>,
    handshakes: Semaphore,
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Door {
    pub fn new(hub: Hub) -> Result<Self, IdentityError> {
        let tls = Fresh::new(&hub, shown)?;
        Ok(Self {
            hub,
            tls,
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            handshakes: Semaphore::new(HANDSHAKES_MAX),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        })
    }

    /// Lets sites in until `shutdown`.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = self.accept(&listener) => {}
            () = shutdown => {}
        }
        drop(listener);
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn accept(self: &Arc<Self>, listener: &TcpListener) {
        // Never closed.
        while let Ok(place) = self.places.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, from)) => {
                    let (door, closing) = (Arc::clone(self), self.closing.clone());
                    self.tasks.spawn(async move {
                        tokio::select! {
                            () = door.connected(stream, from, place) => {}
                            () = closing.cancelled() => {}
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot take a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    async fn connected(
        self: Arc<Self>,
        stream: TcpStream,
        from: SocketAddr,
        place: OwnedSemaphorePermit,
    ) {
        stream.set_nodelay(true).ok();
        let tls = self.tls.get();
        // Whoever says nothing takes nobody's turn.
        if !matches!(timeout(FIRST_BYTE_TIMEOUT, stream.peek(&mut [0])).await, Ok(Ok(1))) {
            return tracing::debug!(%from, "nothing was said");
        }
        let Ok(turn) = timeout(TURN_TIMEOUT, self.handshakes.acquire()).await else {
            return tracing::info!(%from, "too many handshakes at once");
        };
        let shake = TlsAcceptor::from(tls).accept(stream);
        let stream = match timeout(HANDSHAKE_TIMEOUT, shake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%from, %error, "no handshake"),
            Err(_) => return tracing::debug!(%from, "a handshake that took too long"),
        };
        drop(turn);
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let peer = match shown.map(Certificate::read).transpose() {
            Ok(peer) => Arc::new(peer),
            Err(error) => return tracing::debug!(%from, %error, "a certificate of somebody else"),
        };
        let place = Arc::new(place);
        let service = service_fn(|request| {
            let (door, peer, place) = (Arc::clone(&self), Arc::clone(&peer), Arc::clone(&place));
            async move { Ok::<_, std::convert::Infallible>(door.answer(request, &peer, place).await) }
        });
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(REQUEST_TIMEOUT)
            .max_header_size(HEAD_BYTES_MAX);
        let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        // An error is a client that went away or does not speak HTTP.
        let _ = timeout(REQUEST_TIMEOUT, pin!(connection)).await;
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: &Option<Certificate>,
        place: Arc<OwnedSemaphorePermit>,
    ) -> Response<Full<Bytes>> {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/link/v1") => self.link(request, peer, place).await,
            (&Method::POST, "/identity/v1/join") => told(self.join(request).await),
            (&Method::POST, "/identity/v1/renew") => match peer {
                Some(shown) => told(self.renew_site(request, shown).await),
                None => refused(StatusCode::UNAUTHORIZED, "a certificate is needed here"),
            },
            _ => refused(StatusCode::NOT_FOUND, "there is nothing here"),
        }
    }

    async fn join(&self, request: Request<Incoming>) -> Result<Joined, JoinRefusal> {
        let ask: JoinAsk =
            serde_json::from_slice(&body(request).await?).map_err(|_| JoinRefusal::Key)?;
        let sealing = ask.sealing.map(|said| word(said, ask.key.clone())).transpose()?;
        let key = STANDARD.decode(ask.key).map_err(|_| JoinRefusal::Key)?;
        self.hub.join(&ask.secret, &key, ask.joined, sealing).await
    }

    async fn renew_site(
        &self,
        request: Request<Incoming>,
        shown: &Certificate,
    ) -> Result<Joined, JoinRefusal> {
        // Programs of before say nothing here.
        let ask: RenewAsk = serde_json::from_slice(&body(request).await?).unwrap_or_default();
        let signer = || STANDARD.encode(shown.key.as_der());
        let sealing = ask.sealing.map(|said| word(said, signer())).transpose()?;
        self.hub.renew(shown, sealing).await
    }

    async fn link(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        peer: &Option<Certificate>,
        place: Arc<OwnedSemaphorePermit>,
    ) -> Response<Full<Bytes>> {
        let Some(shown) = peer.clone() else {
            return refused(StatusCode::UNAUTHORIZED, "a site's certificate is needed here");
        };
        let site = match self.hub.admit(&shown).await {
            Ok(site) => site,
            Err(why) => return told(Err(why)),
        };
        let left = Duration::from_millis(shown.not_after.since(self.hub.machine_now()).as_millis());
        let is = |name, wanted: &str| {
            let value = request.headers().get(name).and_then(|value| value.to_str().ok());
            value.is_some_and(|value| value.to_ascii_lowercase().contains(wanted))
        };
        let key = request.headers().get(SEC_WEBSOCKET_KEY).cloned();
        let Some(key) = key.filter(|_| is(UPGRADE, "websocket") && is(CONNECTION, "upgrade"))
        else {
            return refused(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket");
        };
        let (closing, door) = (self.closing.clone(), Arc::clone(&self));
        let upgrade = hyper::upgrade::on(&mut request);
        self.tasks.spawn(async move {
            let _place = place;
            let Ok(stream) = upgrade.await else { return };
            let stream = TokioIo::new(stream);
            line::serve(door.hub.desks(), site, &shown, left, stream, closing).await;
        });
        Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(UPGRADE, "websocket")
            .header(CONNECTION, "Upgrade")
            .header(SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
            .body(Full::default())
            .expect("headers of ours")
    }
}

async fn body(request: Request<Incoming>) -> Result<Bytes, JoinRefusal> {
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await;
    Ok(body.map_err(|_| JoinRefusal::Key)?.to_bytes())
}

fn word(said: SealingSaid, signer: String) -> Result<SealingWord, JoinRefusal> {
    let key = said.key.parse().map_err(|_| JoinRefusal::Key)?;
    Ok(SealingWord { key, signer, signature: said.signature })
}

/// A certificate over a new key: it lives as long as this process.
fn shown(hub: &Hub) -> Result<ServerConfig, IdentityError> {
    let key = Key::generate()?;
    let authority = hub.authority();
    let chain = authority.hub_chain(&key.public(), hub.machine_now())?;
    let mut known = vec![authority.certificate().clone()];
    known.extend(hub.former().iter().cloned());
    hub_config(chain, &key, &known)
}

fn json(status: StatusCode, body: Vec<u8>) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Full::from(body))
        .expect("headers of ours")
}

fn refused(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    let body = RefusedJoin { why: why.to_owned() };
    json(status, serde_json::to_vec(&body).expect("our own types have JSON text"))
}

fn told(result: Result<Joined, JoinRefusal>) -> Response<Full<Bytes>> {
    match result {
        Ok(Joined { name, certificate, now, sealing }) => {
            let certificate = STANDARD.encode(certificate);
            let sealing = Some(HubSealingSaid {
                key: sealing.key.to_string(),
                at: sealing.at,
                signature: sealing.signature,
                chain: sealing.chain,
            });
            let granted = Granted { name: name.to_string(), certificate, now, sealing };
            json(
                StatusCode::OK,
                serde_json::to_vec(&granted).expect("our own types have JSON text"),
            )
        }
        Err(why) => {
            let status = match &why {
                JoinRefusal::Key | JoinRefusal::Life | JoinRefusal::Tags(_) => {
                    StatusCode::BAD_REQUEST
                }
                // Tried again soon: somebody may adopt it meanwhile.
                JoinRefusal::Adopt(_) | JoinRefusal::Recovering => StatusCode::CONFLICT,
                JoinRefusal::Token
                | JoinRefusal::Exists(_)
                | JoinRefusal::Revoked(_)
                | JoinRefusal::Certificate => StatusCode::FORBIDDEN,
                JoinRefusal::Identity(_)
                | JoinRefusal::Desk(_)
                | JoinRefusal::Store(_)
                | JoinRefusal::Commit(_) => {
                    tracing::warn!(%why, "cannot answer a site");
                    return refused(StatusCode::SERVICE_UNAVAILABLE, "the hub cannot answer now");
                }
            };
            refused(status, &why.to_string())
        }
    }
}

/// Listens where sites come.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}
