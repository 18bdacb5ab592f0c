//! The door of a sandbox: an HTTP proxy that speaks to nobody but one foreign process, and asks the
//! gate for every destination.
//!
//! The listener stands inside of the sandbox and was handed out; here, on the outside, it is served.
//! Plain requests go out like every request of the site. An encrypted one (`CONNECT`) is a tunnel of
//! bytes: where it leads is decided, what is said in it is not seen.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as Handed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::CONNECT_TIMEOUT;
use crate::decide::{Crossing, Denial, Route, Ruling, What, decide};
use crate::destination::{Destination, Host, Scheme};
use crate::gate::Gate;
use crate::guard::{self, GuardedAddress};
use crate::header::is_reserved;
use crate::left::{Amount, Counted, Left};
use crate::out::{OutError, OutRequest};
use crate::permit::Permit;
use crate::process::{Asker, Crossings, Process};

/// Connections that one process may have at its door. Each is a file of the site's, which has 1,024
/// by default.
const CONNECTIONS_MAX: usize = 32;

/// Headers of one request of a process. Libraries send some ten.
const HEADERS_MAX: usize = 100;

/// From the first byte of a request's head to its last.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait when the system has no file for another connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What every encrypted connection begins with: a handshake. Anything else is no `https`, and a rule
/// that allows `https` does not allow it.
const HANDSHAKE: u8 = 0x16;

type Body = UnsyncBoxBody<Bytes, io::Error>;

struct Door {
    gate: Arc<Gate>,
    asker: Asker,
    crossings: Arc<Crossings>,
}

/// A tunnel that is allowed, until the process has heard so.
struct Tunnel {
    inside: OnUpgrade,
    outside: Outside,
}

struct Outside {
    stream: TcpStream,
    left: Left,
    ruling: Ruling,
}

impl Gate {
    /// Serves the door of one process. Never ends; dropping the future closes all connections.
    pub async fn door(
        self: Arc<Self>,
        _permit: &Permit<Process>,
        asker: Asker,
        listener: Handed,
        crossings: Arc<Crossings>,
    ) {
        let Ok(listener) = TcpListener::from_std(listener) else {
            // Without its door a process has no way out, which is what it then finds.
            return std::future::pending().await;
        };
        let door = Arc::new(Door { gate: self, asker, crossings });
        let mut connections = JoinSet::new();
        loop {
            while connections.len() >= CONNECTIONS_MAX {
                connections.join_next().await;
            }
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(Arc::clone(&door).connection(stream));
                    }
                    Err(_) => tokio::time::sleep(ACCEPT_RETRY).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

impl Door {
    async fn connection(self: Arc<Self>, stream: TcpStream) {
        stream.set_nodelay(true).ok();
        let tunnel: Arc<Mutex<Option<Tunnel>>> = Arc::default();
        let service = service_fn(|request| {
            let (door, tunnel) = (Arc::clone(&self), Arc::clone(&tunnel));
            async move { Ok::<_, Infallible>(door.answer(request, &tunnel).await) }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await;
        let tunnel = tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Ok(()), Some(tunnel)) = (served, tunnel) {
            tunnel.run().await;
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        tunnel: &Mutex<Option<Tunnel>>,
    ) -> Response<Body> {
        if request.method() == Method::CONNECT {
            return match self.connect(&request).await {
                Ok(outside) => {
                    let inside = hyper::upgrade::on(request);
                    let mut place = tunnel.lock().unwrap_or_else(PoisonError::into_inner);
                    *place = Some(Tunnel { inside, outside });
                    Response::new(whole(String::new()))
                }
                Err(error) => refusal(&error),
            };
        }
        if request.uri().scheme().is_none() {
            let text = "this is the proxy of a sandbox: it takes requests for other servers only\n";
            return said(StatusCode::BAD_REQUEST, text.to_owned());
        }
        match self.forward(request).await {
            Ok(response) => response,
            Err(error) => refusal(&error),
        }
    }

    async fn forward(&self, request: Request<Incoming>) -> Result<Response<Body>, OutError> {
        let (head, body) = request.into_parts();
        let mut out = OutRequest::new(head.method.as_str(), &head.uri.to_string(), &[])?;
        out.headers = passed_on(&head.headers);
        let body = Limited::new(body, self.gate.limits().body_bytes_max).collect().await;
        let body = body.map_err(|_| OutError::Invalid("its body is too large or broken".into()))?;
        let body = body.to_bytes();
        if !body.is_empty() {
            out = out.with_body(body);
        }
        let _place = self.gate.place().await;
        self.admitted(&out).await?;
        let (answer, ruling) = self.gate.hop(self.asker.caller(), &out).await;
        self.crossings.note(&ruling).await;
        let answer = answer?;
        let mut response = Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            *headers = passed_on(answer.headers());
        }
        let frames = answer.bytes_stream().map_ok(Frame::data).map_err(io::Error::other);
        let body = BodyExt::boxed_unsync(StreamBody::new(frames));
        response.body(body).map_err(|error| OutError::Invalid(error.to_string()))
    }

    /// What will be let out is written down first. What will not is the gate's to say.
    async fn admitted(&self, out: &OutRequest) -> Result<(), OutError> {
        let what = What::Egress(&out.destination);
        let crossing = Crossing { caller: self.asker.caller(), what };
        match decide(self.gate.egress(), &crossing) {
            Ok(grant) if !self.crossings.admit(&grant.ruling).await => {
                Err(OutError::unwritten(&out.destination))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Decides about a tunnel, and opens its outer half.
    async fn connect(&self, request: &Request<Incoming>) -> Result<Outside, OutError> {
        let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let destination = Destination::parse(&format!("https://{authority}"))
            .map_err(|error| OutError::Invalid(error.to_string()))?;
        let crossing = Crossing { caller: self.asker.caller(), what: What::Tunnel(&destination) };
        let grant = match decide(self.gate.egress(), &crossing) {
            Ok(grant) => grant,
            Err(denial) => return Err(self.denied(denial).await),
        };
        let (target, open) = match &grant.route {
            Route::Direct { named } => (&destination, *named),
            Route::Via(target) if target.scheme == Scheme::Https => (target, true),
            Route::Via(target) => {
                self.gate.count_denied();
                self.crossings.note(&Ruling { allowed: false, ..grant.ruling.clone() }).await;
                let what = format!(
                    "{} leads to `{target}`, and what is encrypted cannot go to a server without encryption; \
                     write `http://{}` in the script, or lead it to `https`",
                    grant.ruling.rule,
                    destination.authority(),
                );
                return Err(OutError::Invalid(what));
            }
            Route::Inside => return Err(OutError::Invalid("nothing to connect to".into())),
        };
        if !self.crossings.admit(&grant.ruling).await {
            return Err(OutError::unwritten(&destination));
        }
        match dial(target, open).await {
            Ok(stream) => {
                self.gate.count_allowed();
                self.crossings.note(&grant.ruling).await;
                let (left, ruling) = (self.gate.left().clone(), grant.ruling);
                left.note(&ruling.destination, &ruling.rule, Amount { times: 1, bytes: 0 });
                Ok(Outside { stream, left, ruling })
            }
            Err(Refused::Guarded(address)) => {
                Err(self.denied(Denial::guarded(&grant, address.0)).await)
            }
            Err(Refused::Failed(why)) => {
                self.gate.count_allowed();
                self.crossings.note(&grant.ruling).await;
                Err(OutError::NotSent { destination: destination.to_string(), why })
            }
        }
    }

    async fn denied(&self, denial: Denial) -> OutError {
        self.gate.count_denied();
        self.crossings.note(&denial.ruling).await;
        denial.into()
    }
}

impl Tunnel {
    async fn run(self) {
        let Ok(inside) = self.inside.await else { return };
        let mut inside = TokioIo::new(inside);
        let Outside { stream, left, ruling } = self.outside;
        let (reader, writer) = stream.into_split();
        let Ruling { destination: to, rule, .. } = ruling;
        let mut outside = tokio::io::join(reader, Counted { inner: writer, left, to, rule });
        let begun = timeout(HEAD_TIMEOUT, inside.read_u8()).await;
        if !matches!(begun, Ok(Ok(HANDSHAKE))) || outside.write_u8(HANDSHAKE).await.is_err() {
            return;
        }
        // An error is one side that went away without a word, which ends a tunnel as well.
        let _ = copy_bidirectional(&mut inside, &mut outside).await;
    }
}

enum Refused {
    Guarded(GuardedAddress),
    Failed(String),
}

async fn dial(target: &Destination, open: bool) -> Result<TcpStream, Refused> {
    let failed = |error: io::Error| Refused::Failed(error.to_string());
    let addresses: Vec<SocketAddr> = match &target.host {
        Host::Address(address) => vec![SocketAddr::new(*address, target.port)],
        Host::Name(name) => {
            let found = tokio::net::lookup_host((name.as_str(), target.port));
            let found = found.await.map_err(failed)?.collect();
            if open { found } else { guard::kept(found).map_err(refused)? }
        }
    };
    match timeout(CONNECT_TIMEOUT, TcpStream::connect(&addresses[..])).await {
        Ok(connected) => connected.map_err(failed),
        Err(_) => Err(Refused::Failed("it does not answer".into())),
    }
}

fn refused(error: Box<dyn std::error::Error + Send + Sync>) -> Refused {
    match error.downcast::<GuardedAddress>() {
        Ok(guarded) => Refused::Guarded(*guarded),
        Err(other) => Refused::Failed(other.to_string()),
    }
}

/// Without what concerns one connection only.
fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_ascii_lowercase()))
        .collect();
    let passes = |name: &str| !is_reserved(name) && !named.iter().any(|it| it == name);
    let kept = headers.iter().filter(|(name, _)| passes(name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn refusal(error: &OutError) -> Response<Body> {
    let status = match error {
        OutError::Denied(_) => StatusCode::FORBIDDEN,
        OutError::Invalid(_) => StatusCode::BAD_REQUEST,
        OutError::NotSent { .. }
        | OutError::NoAnswer { .. }
        | OutError::TooLarge { .. }
        | OutError::TooManyRedirects { .. }
        | OutError::BadRedirect { .. } => StatusCode::BAD_GATEWAY,
    };
    said(status, format!("{}: {error}\n", error.code()))
}

fn said(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(whole(text));
    *response.status_mut() = status;
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

fn whole(text: String) -> Body {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}
