//! A lane: one way to one upstream, over connections that stay open between calls.
//!
//! `reqwest` does everything else that leaves; here it must be known at every moment whether a byte of a
//! request has left, and a task more for each connection is too much. HTTP/1.1 alone is spoken.

mod connection;
mod pass;
mod sent;
mod stream;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use base::Namespace;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::client::{AGENT, CONNECT_TIMEOUT};
use crate::decide::{Caller, Crossing, Denial, Grant, Route, What, decide};
use crate::destination::{Destination, Host, Scheme};
use crate::gate::Gate;
use crate::guard::{GuardedAddress, kept};
use crate::left::Amount;
use crate::permit::{Permit, Upstream};

use connection::{Connection, Unsent};
pub(crate) use pass::Passed;
pub(crate) use sent::SendError;
use sent::Sent;
use stream::Stream;

/// Connections that rest, of one lane. More than there are calls at once would rest for nothing.
const IDLE_MAX: usize = 256;

/// As long as a connection may rest. Servers close theirs after 5 to 75 seconds; one that is seen to be
/// closed is not used, and one that is closed in the same moment costs a call.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections that were closed meanwhile, tried before a new one is opened.
const STALE_MAX: usize = 4;

/// One way to one upstream. It was decided once that it may be gone; the rules are those of the process.
#[derive(Debug)]
pub struct Lane {
    permit: Permit<Upstream>,
    host: HeaderValue,
    tls: Option<Arc<ClientConfig>>,
    idle: Mutex<Vec<Connection>>,
    gate: Arc<Gate>,
}

/// What is asked of an upstream.
#[derive(Debug, Clone)]
pub struct LaneRequest {
    pub method: Method,
    /// With its query.
    pub path: String,
    /// None that speak of the connection: those are the lane's.
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The head of an answer, and the rest of it piece by piece.
#[derive(Debug)]
pub struct LaneAnswer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: LaneBody,
}

/// Dropped before its end, it closes the connection.
pub struct LaneBody {
    lane: Arc<Lane>,
    /// Until the end.
    open: Option<(Connection, Incoming)>,
}

#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// Says what would let it out.
    #[error("{0}")]
    Denied(Box<Denial>),
    /// Not a byte of the request has left.
    #[error("{to} cannot be reached: {why}")]
    NotSent { to: String, why: String },
    #[error("{to} gave no whole answer: {why}")]
    NoAnswer { to: String, why: String },
    #[error("{to} said nothing for {} seconds", after.as_secs())]
    Silent { to: String, after: Duration },
    #[error("the answer of {to} is larger than {limit} bytes")]
    TooLarge { to: String, limit: usize },
}

impl LaneError {
    /// Whether nothing can have been done for it.
    #[must_use]
    pub const fn is_unsent(&self) -> bool {
        matches!(self, Self::Denied(_) | Self::NotSent { .. })
    }
}

impl Lane {
    /// Asks the rules, and opens nothing yet. `roots` are for tests and upstreams with a root of their own;
    /// the system's otherwise.
    pub fn new(
        gate: &Arc<Gate>,
        namespace: &Namespace,
        address: &str,
        roots: Option<Arc<ClientConfig>>,
    ) -> Result<Self, LaneError> {
        let unsent = |why: String| LaneError::NotSent { to: shown(address), why };
        let destination = Destination::parse(address).map_err(|wrong| unsent(wrong.to_string()))?;
        let caller = Caller { namespace, run: None, activation: "", labels: &[] };
        let crossing = Crossing { caller, what: What::Egress(&destination) };
        let grant = decide(gate.egress(), &crossing).map_err(|denial| {
            gate.count_denied();
            LaneError::Denied(Box::new(denial))
        })?;
        let host = HeaderValue::from_str(&destination.authority())
            .map_err(|_| unsent("the host does not fit a header".to_owned()))?;
        let is_tls = target(&grant, &destination).scheme == Scheme::Https;
        let tls = match (is_tls, roots) {
            (false, _) => None,
            (true, Some(roots)) => Some(roots),
            (true, None) => Some(system_roots().map_err(|error| unsent(error.to_string()))?),
        };
        let permit = Permit::new(Upstream { destination, grant });
        Ok(Self { permit, host, tls, idle: Mutex::default(), gate: Arc::clone(gate) })
    }

    /// Where it leads, for people.
    #[must_use]
    pub fn to(&self) -> String {
        self.permit.kind().destination.to_string()
    }

    /// Which rule lets it.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.permit.kind().grant.ruling.rule
    }

    /// Up to the head of the answer, which may take so long.
    pub async fn send(
        self: &Arc<Self>,
        request: LaneRequest,
        within: Duration,
    ) -> Result<LaneAnswer, LaneError> {
        let request = self.request(request)?;
        self.sent(request, within).await
    }

    async fn sent(
        self: &Arc<Self>,
        mut request: Request<Sent>,
        within: Duration,
    ) -> Result<LaneAnswer, LaneError> {
        self.gate.count_allowed();
        let sending = async {
            loop {
                let (mut connection, is_fresh) = self.connection().await?;
                match connection.send(request).await {
                    Ok(answer) => return Ok((connection, answer)),
                    Err(Unsent::Back(back)) if !is_fresh => request = *back,
                    Err(Unsent::Back(_)) => {
                        return Err(self.not_sent("it closed the connection".to_owned()));
                    }
                    Err(Unsent::Lost(error)) => return Err(self.no_answer(&error)),
                }
            }
        };
        let sent = timeout(within, sending).await;
        let (connection, answer) = match sent {
            Ok(Ok(sent)) => sent,
            Ok(Err(error)) => {
                self.gate.count_failed();
                return Err(error);
            }
            Err(_) => {
                self.gate.count_failed();
                return Err(LaneError::Silent { to: self.to(), after: within });
            }
        };
        let (head, body) = answer.into_parts();
        let body = LaneBody { lane: Arc::clone(self), open: Some((connection, body)) };
        Ok(LaneAnswer { status: head.status, headers: head.headers, body })
    }

    fn request(&self, asked: LaneRequest) -> Result<Request<Sent>, LaneError> {
        let LaneRequest { method, path, mut headers, body } = asked;
        let bytes = head_bytes(&path, &headers) + body.len();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        let mut request = Request::new(Sent::Whole(Full::new(body)));
        *request.method_mut() = method;
        *request.uri_mut() = path
            .parse()
            .map_err(|_| self.not_sent("its path is not one of an address".to_owned()))?;
        *request.headers_mut() = headers;
        let ruling = &self.permit.kind().grant.ruling;
        let amount = Amount { times: 1, bytes: bytes as u64 };
        self.gate.left().note(&ruling.destination, &ruling.rule, amount);
        Ok(request)
    }

    /// One that rests, or a new one.
    async fn connection(&self) -> Result<(Connection, bool), LaneError> {
        for _ in 0..STALE_MAX {
            let Some(mut resting) = self.rested() else { break };
            if resting.rests_since.elapsed() < IDLE_TIMEOUT && resting.rests() {
                return Ok((resting, false));
            }
        }
        let stream = match timeout(CONNECT_TIMEOUT, self.connect()).await {
            Ok(stream) => stream?,
            Err(_) => return Err(self.not_sent("it takes too long".to_owned())),
        };
        let opened = Connection::over(stream).await;
        Ok((opened.map_err(|error| self.not_sent(error.to_string()))?, true))
    }

    /// The one that has rested least.
    fn rested(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn rest(&self, mut connection: Connection) {
        if !connection.rests() {
            return;
        }
        connection.rests_since = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() == IDLE_MAX {
            idle.remove(0);
        }
        idle.push(connection);
    }

    async fn connect(&self) -> Result<Stream, LaneError> {
        let Upstream { destination, grant } = self.permit.kind();
        let target = target(grant, destination);
        let named = !matches!(grant.route, Route::Direct { named: false });
        let stream = self.dial(target, named).await?;
        // A question is one small write.
        stream.set_nodelay(true).ok();
        let Some(tls) = &self.tls else { return Ok(Stream::Clear(stream)) };
        let name = match &destination.host {
            Host::Name(name) => ServerName::try_from(name.clone()).ok(),
            Host::Address(address) => Some(ServerName::from(*address)),
        };
        let name = name.ok_or_else(|| self.not_sent("its name is no name".to_owned()))?;
        let shaken = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
        let stream = shaken.map_err(|error| self.not_sent(error.to_string()))?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    async fn dial(&self, target: &Destination, named: bool) -> Result<TcpStream, LaneError> {
        let addresses: Vec<SocketAddr> = match &target.host {
            Host::Address(address) => vec![SocketAddr::new(*address, target.port)],
            Host::Name(name) => {
                let found = lookup_host((name.as_str(), target.port)).await;
                let found: Vec<_> =
                    found.map_err(|error| self.not_sent(error.to_string()))?.collect();
                if named { found } else { self.unguarded(found)? }
            }
        };
        let mut why = "it has no address".to_owned();
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => why = error.to_string(),
            }
        }
        Err(self.not_sent(why))
    }

    /// What the name resolves to, less what nobody's name may resolve to.
    fn unguarded(&self, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, LaneError> {
        kept(found).map_err(|error| match error.downcast_ref::<GuardedAddress>() {
            Some(GuardedAddress(address)) => {
                self.gate.count_denied();
                let denial = Denial::guarded(&self.permit.kind().grant, *address);
                LaneError::Denied(Box::new(denial))
            }
            None => self.not_sent(error.to_string()),
        })
    }

    fn not_sent(&self, why: String) -> LaneError {
        LaneError::NotSent { to: self.to(), why }
    }

    fn no_answer(&self, error: &hyper::Error) -> LaneError {
        LaneError::NoAnswer { to: self.to(), why: error.to_string() }
    }
}

impl LaneBody {
    /// The next piece. After the end, or an error, there is none.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, LaneError>>> {
        let Some((connection, body)) = &mut self.open else { return Poll::Ready(None) };
        let piece = ready!(connection.poll_chunk(body, cx));
        let error = match piece {
            Some(Ok(piece)) => return Poll::Ready(Some(Ok(piece))),
            Some(Err(error)) => Some(self.lane.no_answer(&error)),
            None => None,
        };
        match error {
            Some(error) => {
                self.open = None;
                self.lane.gate.count_failed();
                Poll::Ready(Some(Err(error)))
            }
            None => {
                self.end();
                Poll::Ready(None)
            }
        }
    }

    /// Whether the last piece has come. Where a head says how long an answer is, nobody may ask for the end
    /// behind it.
    pub(crate) fn is_over(&mut self) -> bool {
        if self.open.as_ref().is_some_and(|(_, body)| body.is_end_stream()) {
            self.end();
        }
        self.open.is_none()
    }

    /// Its connection rests until the next call.
    fn end(&mut self) {
        if let Some((connection, _)) = self.open.take() {
            self.lane.gate.count_answered();
            self.lane.rest(connection);
        }
    }

    /// The next piece, which may take so long.
    pub async fn chunk(&mut self, within: Duration) -> Result<Option<Bytes>, LaneError> {
        match timeout(within, poll_fn(|cx| self.poll_chunk(cx))).await {
            Ok(piece) => piece.transpose(),
            Err(_) => {
                self.open = None;
                Err(LaneError::Silent { to: self.lane.to(), after: within })
            }
        }
    }

    /// All of it, no more than `limit` and no piece later than `within`.
    pub async fn whole(mut self, limit: usize, within: Duration) -> Result<Bytes, LaneError> {
        let Some(first) = self.chunk(within).await? else { return Ok(Bytes::new()) };
        let Some(second) = self.next(first.len(), limit, within).await? else { return Ok(first) };
        let mut whole = BytesMut::with_capacity(2 * (first.len() + second.len()));
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&second);
        while let Some(piece) = self.next(whole.len(), limit, within).await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    async fn next(
        &mut self,
        before: usize,
        limit: usize,
        within: Duration,
    ) -> Result<Option<Bytes>, LaneError> {
        let piece = self.chunk(within).await?;
        if before + piece.as_ref().map_or(0, Bytes::len) > limit {
            return Err(LaneError::TooLarge { to: self.lane.to(), limit });
        }
        Ok(piece)
    }
}

fn target<'a>(grant: &'a Grant, destination: &'a Destination) -> &'a Destination {
    match &grant.route {
        Route::Via(target) => target,
        Route::Direct { .. } | Route::Inside => destination,
    }
}

/// What of a request leaves beside its body, about as it is written.
fn head_bytes(path: &str, headers: &HeaderMap) -> usize {
    let header = |(name, value): (&http::HeaderName, &HeaderValue)| {
        name.as_str().len() + value.len() + ": \r\n".len()
    };
    path.len() + "POST  HTTP/1.1\r\n\r\n".len() + headers.iter().map(header).sum::<usize>()
}

/// An address without whatever secret somebody wrote into it.
fn shown(address: &str) -> String {
    let address = address.rsplit_once('@').map_or(address, |(_, host)| host);
    address.chars().take(80).collect()
}

/// Whoever the system trusts, with HTTP/1.1 alone.
fn system_roots() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_platform_verifier()?.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for LaneBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaneBody").field("lane", &self.lane.to()).finish_non_exhaustive()
    }
}
