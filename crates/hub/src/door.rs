//! The door for sites: TLS, and behind it the link, joining and renewing. Nothing else is there.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::{CONNECTION, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use identity::{Certificate, Name, SealingWord};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::join::{Granted, HubSealingSaid, JoinAsk, RefusedJoin, RenewAsk, SealingSaid};

use crate::attempts::{Attempts, Who};
use crate::join::{JoinRefusal, Joined, seconds};
use crate::source::{Crowd, Source, Visit};
use crate::{Hub, line};

/// Connections of sites at once. More wait in the system's queue.
const CONNECTIONS_MAX: usize = 20_000;

/// Handshakes at once: each costs the processor a fraction of a millisecond, and more at once would
/// only all be late.
const HANDSHAKES_MAX: usize = 256;

/// Connections from one source that have not shown yet whose they are: a fleet of thousands behind one
/// address comes back at once, and what is left is for others.
const UNPROVEN_PER_SOURCE_MAX: usize = 4_000;

/// Until whoever has connected has said how he wants to speak.
const FIRST_WORD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a handshake waits for its turn: as long as its site has patience.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long it takes then: two round trips, over the slowest of lines.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// For so long of that it keeps its turn. The rest is waiting, and costs nothing but a place.
const TURN_LENGTH: Duration = Duration::from_millis(250);

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
    places: Arc<Semaphore>,
    handshakes: Semaphore,
    unproven: Arc<Crowd>,
    attempts: Attempts,
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Door {
    #[must_use]
    pub fn new(hub: Hub) -> Self {
        Self {
            hub,
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            handshakes: Semaphore::new(HANDSHAKES_MAX),
            unproven: Arc::default(),
            attempts: Attempts::default(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        }
    }

    /// Lets sites in until `shutdown`.
    pub fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        shutdown: BoxFuture<'static, ()>,
    ) -> BoxFuture<'static, ()> {
        let served = async move {
            tokio::select! {
                () = self.accept(&listener) => {}
                () = shutdown => {}
            }
            drop(listener);
            self.closing.cancel();
            self.tasks.close();
            self.tasks.wait().await;
        };
        served.boxed()
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
        let nameless = |why: &str| self.hub.turned().nameless(from, why);
        let source = Source::of(from.ip());
        let Some(visit) = self.unproven.enter(source, UNPROVEN_PER_SOURCE_MAX) else {
            return nameless("too many connections from there at once");
        };
        let stream = match self.shake(stream).await {
            Ok(stream) => stream,
            Err(why) => return nameless(&why),
        };
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let peer = match shown.map(Certificate::read).transpose() {
            Ok(peer) => peer,
            Err(error) => return nameless(&error.to_string()),
        };
        let answered = AtomicBool::new(false);
        let caller = Arc::new(Caller { peer, from, place, visit: Mutex::new(Some(visit)) });
        let service = service_fn(|request| {
            let (door, caller) = (Arc::clone(&self), Arc::clone(&caller));
            let answered = &answered;
            async move {
                let answer = door.answer(request, &caller).await;
                answered.store(true, Ordering::Relaxed);
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(REQUEST_TIMEOUT)
            .max_header_size(HEAD_BYTES_MAX);
        let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let ended = timeout(REQUEST_TIMEOUT, pin!(connection)).await;
        let why = match ended {
            _ if answered.load(Ordering::Relaxed) => return,
            Err(_) => "no whole request in time",
            Ok(Err(error)) if error.is_timeout() => "no whole request in time",
            Ok(Err(error)) if error.is_parse() => "a request that is no HTTP",
            // It went away.
            Ok(_) => return,
        };
        self.turned_away(&caller, why).await;
    }

    /// The handshake, once it is known that somebody wants one.
    async fn shake(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        stream.set_nodelay(true).ok();
        // Whoever says nothing, or slowly, takes nobody's turn.
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream);
        let hello = match timeout(FIRST_WORD_TIMEOUT, hello).await {
            Ok(Ok(hello)) => hello,
            Ok(Err(error)) => return Err(format!("no handshake: {error}")),
            Err(_) => return Err("nothing whole was said in time".to_owned()),
        };
        let Ok(turn) = timeout(TURN_TIMEOUT, self.handshakes.acquire()).await else {
            return Err("too many handshakes at once".to_owned());
        };
        let tls = Arc::clone(&self.hub.signing().door);
        let mut shake = pin!(hello.into_stream(tls));
        let shaken = match timeout(TURN_LENGTH, &mut shake).await {
            Ok(shaken) => Ok(shaken),
            Err(_) => {
                drop(turn);
                timeout(HANDSHAKE_TIMEOUT, shake).await
            }
        };
        match shaken {
            Ok(shaken) => shaken.map_err(|error| format!("no handshake: {error}")),
            Err(_) => Err("a handshake that took too long".to_owned()),
        }
    }

    /// Says so, in the name of the site where one was shown.
    async fn turned_away(&self, caller: &Caller, why: &str) {
        match caller.peer.as_ref().map(|shown| &shown.name) {
            Some(Name::Site(_, site)) if self.hub.has_site(site).await => {
                self.hub.turned().site(site, caller.from, why, self.hub.now());
            }
            _ => self.hub.turned().nameless(caller.from, why),
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        caller: &Arc<Caller>,
    ) -> Response<Full<Bytes>> {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/link/v1") => self.link(request, caller).await,
            (&Method::POST, "/identity/v1/join") => told(self.join(request, caller).await),
            (&Method::POST, "/identity/v1/renew") => match &caller.peer {
                Some(shown) => told(self.renew_site(request, caller, shown).await),
                None => refused(StatusCode::UNAUTHORIZED, "a certificate is needed here"),
            },
            _ => refused(StatusCode::NOT_FOUND, "there is nothing here"),
        }
    }

    async fn join(
        &self,
        request: Request<Incoming>,
        caller: &Caller,
    ) -> Result<Joined, JoinRefusal> {
        let who = Who::At(Source::of(caller.from.ip()));
        let taken = self.attempts.take(who, Instant::now());
        let wait = taken.err();
        let asked = body(request).await.and_then(|body| {
            serde_json::from_slice::<JoinAsk>(&body).map_err(|_| JoinRefusal::Key)
        });
        let site = match &asked {
            Ok(ask) => self.hub.token_site(&ask.secret).await?,
            Err(_) => None,
        };
        // A neighbour's failures do not keep out who has a good token.
        let is_open = site.as_ref().is_some_and(|(_, is_open)| *is_open);
        let joined = match (wait, asked) {
            (Some(wait), _) if !is_open => Err(JoinRefusal::Later(wait)),
            (_, Err(why)) => Err(why),
            (_, Ok(ask)) => self.join_by(ask).await,
        };
        match &joined {
            Err(why) if why.is_his_own() => match site {
                Some((site, _)) => {
                    let why = why.to_string();
                    self.hub.turned().site(&site, caller.from, &why, self.hub.now());
                }
                None => self.hub.turned().nameless(caller.from, &why.to_string()),
            },
            _ if wait.is_none() => self.attempts.give_back(who),
            _ => {}
        }
        joined
    }

    async fn join_by(&self, ask: JoinAsk) -> Result<Joined, JoinRefusal> {
        let sealing = ask.sealing.map(|said| word(said, ask.key.clone())).transpose()?;
        let key = STANDARD.decode(ask.key).map_err(|_| JoinRefusal::Key)?;
        self.hub.join(&ask.secret, &key, ask.joined, sealing).await
    }

    async fn renew_site(
        &self,
        request: Request<Incoming>,
        caller: &Caller,
        shown: &Certificate,
    ) -> Result<Joined, JoinRefusal> {
        let renew = async {
            // Programs of before say nothing here.
            let ask: RenewAsk = serde_json::from_slice(&body(request).await?).unwrap_or_default();
            let signer = || STANDARD.encode(shown.key.as_der());
            let sealing = ask.sealing.map(|said| word(said, signer())).transpose()?;
            self.hub.renew(shown, sealing).await
        };
        self.with_certificate(caller, shown, renew).await
    }

    /// What somebody asks for with a certificate, if not too much of that has failed.
    async fn with_certificate<T>(
        &self,
        caller: &Caller,
        shown: &Certificate,
        asked: impl Future<Output = Result<T, JoinRefusal>>,
    ) -> Result<T, JoinRefusal> {
        let who = Who::With(shown.key.pin());
        if let Err(wait) = self.attempts.take(who, Instant::now()) {
            let why = JoinRefusal::Later(wait);
            self.turned_away(caller, &why.to_string()).await;
            return Err(why);
        }
        let answer = asked.await;
        match &answer {
            Err(why) if why.is_his_own() => self.turned_away(caller, &why.to_string()).await,
            _ => self.attempts.give_back(who),
        }
        answer
    }

    async fn link(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        caller: &Arc<Caller>,
    ) -> Response<Full<Bytes>> {
        let Some(shown) = caller.peer.clone() else {
            return refused(StatusCode::UNAUTHORIZED, "a site's certificate is needed here");
        };
        let site = match self.with_certificate(caller, &shown, self.hub.admit(&shown)).await {
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
        let (upgrade, caller) = (hyper::upgrade::on(&mut request), Arc::clone(caller));
        self.tasks.spawn(async move {
            let Ok(stream) = upgrade.await else { return };
            caller.visit.lock().unwrap_or_else(PoisonError::into_inner).take();
            let (stream, desks) = (TokioIo::new(stream), door.hub.desks());
            let ended = line::serve(desks, site.clone(), &shown, left, stream, closing).await;
            if let Some(why) = ended {
                door.hub.turned().site(&site, caller.from, &why, door.hub.now());
            }
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

/// Whoever is at the other end of a connection, and what he takes up as long as he is there.
struct Caller {
    peer: Option<Certificate>,
    from: SocketAddr,
    #[expect(dead_code, reason = "given back when the last who holds it goes")]
    place: OwnedSemaphorePermit,
    /// Given back when it is a line.
    visit: Mutex<Option<Visit>>,
}

async fn body(request: Request<Incoming>) -> Result<Bytes, JoinRefusal> {
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|error| match error.is::<LengthLimitError>() {
        true => JoinRefusal::Size(BODY_BYTES_MAX),
        false => JoinRefusal::Key,
    });
    Ok(body?.to_bytes())
}

fn word(said: SealingSaid, signer: String) -> Result<SealingWord, JoinRefusal> {
    let key = said.key.parse().map_err(|_| JoinRefusal::Key)?;
    Ok(SealingWord { key, signer, signature: said.signature })
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
                JoinRefusal::Size(_) => StatusCode::PAYLOAD_TOO_LARGE,
                JoinRefusal::Later(wait) => {
                    let mut answer = refused(StatusCode::TOO_MANY_REQUESTS, &why.to_string());
                    answer.headers_mut().insert(RETRY_AFTER, seconds(*wait).into());
                    return answer;
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
