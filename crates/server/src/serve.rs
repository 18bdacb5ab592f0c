//! Listening: connections in, requests to the API, a clean end.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections at once. A process has 1,024 files by default, and the gate may hold half of them.
/// More wait in the system's queue.
const CONNECTIONS_MAX: usize = 384;

/// From the first byte of a request's head to its last, and how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Headers of one request. Browsers send some twenty.
const HEADERS_MAX: usize = 64;

/// The largest head of a request. Browsers stay below 16 KiB.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What requests in progress get to finish at the end.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How long to wait when the system has no file for another connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot tell which address is listened on")]
    Address(#[source] io::Error),
    #[error(
        "the API listens on 127.0.0.1 only, and {0} is not: there are no keys yet that would keep others out"
    )]
    NotLocal(std::net::SocketAddr),
}

/// Answers requests until `shutdown` or `closing`, and then those that have come already. Whoever waits
/// for something longer is let go by `closing`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    closing: CancellationToken,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let address = listener.local_addr().map_err(ServeError::Address)?;
    if !address.ip().is_loopback() {
        return Err(ServeError::NotLocal(address));
    }
    let server = Server {
        router,
        places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        tasks: TaskTracker::new(),
        closing,
        broken_off: CancellationToken::new(),
    };
    tokio::select! {
        () = server.accept(&listener) => {}
        () = shutdown => {}
        () = server.closing.cancelled() => {}
    }
    // Nobody new gets in while the others finish.
    drop(listener);
    server.closing.cancel();
    server.tasks.close();
    if tokio::time::timeout(STOP_GRACE, server.tasks.wait()).await.is_err() {
        server.broken_off.cancel();
        server.tasks.wait().await;
    }
    Ok(())
}

struct Server {
    router: Router,
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
        let service = TowerToHyperService::new(self.router.clone());
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_headers(HEADERS_MAX)
            .max_header_size(HEAD_BYTES_MAX);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let (closing, broken_off) = (self.closing.clone(), self.broken_off.clone());
        self.tasks.spawn(async move {
            let _place = place;
            let mut connection = pin!(connection);
            let mut is_closing = false;
            loop {
                tokio::select! {
                    // An error here is a client that went away or does not speak HTTP.
                    _ = connection.as_mut() => return,
                    () = closing.cancelled(), if !is_closing => {
                        is_closing = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    () = broken_off.cancelled() => return,
                }
            }
        });
    }
}
