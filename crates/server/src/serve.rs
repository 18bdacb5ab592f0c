//! Listening: connections in, requests to the API, a clean end.

use std::convert::Infallible;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse as _;
use axum::{Extension, Router};
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all, ready};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use identity::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::guard::is_ours;
use crate::refusal::internal;

/// What is asked for, and what is answered.
pub type Asked = Request<Incoming>;
pub type Served = Response<Body>;

/// Who answers some requests before the API's operations do: those that have no end, or too many a second.
pub trait Ahead: Send + Sync + 'static {
    fn takes(&self, path: &str) -> bool;

    /// Answers a request that is addressed to us, and sent by no page of another origin.
    fn answer(&self, request: Asked) -> BoxFuture<'static, Served>;
}

/// Who answers at one door.
#[derive(Clone)]
struct Front {
    router: TowerToHyperService<Router>,
    ahead: Option<Arc<dyn Ahead>>,
    via: Via,
}

impl Service<Asked> for Front {
    type Response = Served;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Served, Infallible>>;

    fn call(&self, request: Asked) -> Self::Future {
        let Some(ahead) = self.ahead.as_ref().filter(|it| it.takes(request.uri().path())) else {
            return self.router.call(request).boxed();
        };
        if let Err(refusal) = is_ours(self.via, request.uri(), request.headers()) {
            return ready(Ok(refusal.into_response())).boxed();
        }
        let answer = AssertUnwindSafe(ahead.answer(request)).catch_unwind();
        async move { Ok(answer.await.unwrap_or_else(|_panic| internal().into_response())) }.boxed()
    }
}

/// Connections at once, at one door. Answers of models are streams, each with a connection of its own for
/// minutes. More wait in the system's queue, and so do those for which the system has no file.
const CONNECTIONS_MAX: usize = 12_000;

/// From the first byte of a request's head to its last, and how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Headers of one request. Browsers send some twenty.
const HEADERS_MAX: usize = 64;

/// The largest head of a request. Browsers stay below 16 KiB.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// From a connection to the end of its handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What requests in progress get to finish at the end.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How long to wait when the system has no file for another connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot tell which address is listened on")]
    Address(#[source] io::Error),
    #[error(
        "{0} is beyond this machine, where the API speaks TLS only: name a certificate and its key"
    )]
    NotLocal(std::net::SocketAddr),
}

/// Asked anew for each connection, since certificates are replaced while one serves.
pub type Shown = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

/// Where an API is asked.
pub struct Listening {
    pub listener: TcpListener,
    /// In clear without, and then on this machine only.
    pub tls: Option<Shown>,
}

/// By which door a request came. Over loopback a browser must be kept from asking for any page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    Loopback,
    Tls,
}

/// Answers requests until `shutdown` or `closing`, and then those that have come already. Whoever waits
/// for something longer is let go by `closing`.
///
/// Boxed, as is what whole sites and hubs do: a future that is not is compiled anew by each crate that awaits it,
/// and not by the rules of its own.
pub fn serve(
    doors: Vec<Listening>,
    router: Router,
    ahead: Option<Arc<dyn Ahead>>,
    closing: CancellationToken,
    shutdown: BoxFuture<'static, ()>,
) -> BoxFuture<'static, Result<(), ServeError>> {
    let served = async move {
        let (tasks, broken_off) = (TaskTracker::new(), CancellationToken::new());
        let mut accepting = Vec::new();
        for Listening { listener, tls } in doors {
            let address = listener.local_addr().map_err(ServeError::Address)?;
            let via = if tls.is_some() { Via::Tls } else { Via::Loopback };
            if via == Via::Loopback && !address.ip().is_loopback() {
                return Err(ServeError::NotLocal(address));
            }
            let server = Server {
                front: Front {
                    router: TowerToHyperService::new(router.clone().layer(Extension(via))),
                    ahead: ahead.clone(),
                    via,
                },
                tls,
                places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
                tasks: tasks.clone(),
                closing: closing.clone(),
                broken_off: broken_off.clone(),
            };
            accepting.push(async move { server.accept(&listener).await });
        }
        tokio::select! {
            _ = join_all(accepting) => {}
            () = shutdown => {}
            () = closing.cancelled() => {}
        }
        // Nobody new gets in while the others finish: the listeners are dropped.
        closing.cancel();
        tasks.close();
        if timeout(STOP_GRACE, tasks.wait()).await.is_err() {
            broken_off.cancel();
            tasks.wait().await;
        }
        Ok(())
    };
    served.boxed()
}

/// One door.
struct Server {
    front: Front,
    tls: Option<Shown>,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
    /// Requests in progress are the last of their connections.
    closing: CancellationToken,
    /// Connections end, whatever they are doing.
    broken_off: CancellationToken,
}

impl Server {
    async fn accept(&self, listener: &TcpListener) {
        // Never closed.
        while let Ok(place) = self.places.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => self.connected(stream, place),
                Err(error) => {
                    tracing::warn!(%error, "cannot take a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    fn connected(&self, stream: TcpStream, place: OwnedSemaphorePermit) {
        // An answer is one small write; waiting for more would only delay it.
        stream.set_nodelay(true).ok();
        let service = self.front.clone();
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_headers(HEADERS_MAX)
            .max_header_size(HEAD_BYTES_MAX);
        let ends = Ends { closing: self.closing.clone(), broken_off: self.broken_off.clone() };
        let tls = self.tls.as_ref().map(|shown| TlsAcceptor::from(shown()));
        self.tasks.spawn(async move {
            let _place = place;
            let Some(tls) = tls else {
                return ends.keep(builder.serve_connection(TokioIo::new(stream), service)).await;
            };
            let shake = timeout(HANDSHAKE_TIMEOUT, tls.accept(stream));
            let shaken = tokio::select! {
                shaken = shake => shaken,
                () = ends.closing.cancelled() => return,
            };
            match shaken {
                Ok(Ok(stream)) => {
                    ends.keep(builder.serve_connection(TokioIo::new(stream), service)).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "no handshake"),
                Err(_) => tracing::debug!("a handshake that took too long"),
            }
        });
    }
}

/// When a connection ends without its client's wish.
struct Ends {
    closing: CancellationToken,
    broken_off: CancellationToken,
}

impl Ends {
    async fn keep<I>(&self, connection: http1::Connection<I, Front>)
    where
        I: hyper::rt::Read + hyper::rt::Write + Unpin,
    {
        let mut connection = pin!(connection);
        let mut is_closing = false;
        loop {
            tokio::select! {
                // An error here is a client that went away or does not speak HTTP.
                _ = connection.as_mut() => return,
                () = self.closing.cancelled(), if !is_closing => {
                    is_closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = self.broken_off.cancelled() => return,
            }
        }
    }
}
