//! The HTTP client behind the gate. Every request takes a permit; nothing else here opens anything.
//!
//! Four clients, each made when it is first needed: with and without TLS, so that a machine without
//! certificates still speaks plain HTTP and start-up does not read a certificate store; guarded and
//! open, by what a name may resolve to.

use std::error::Error;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use http::header::HOST;
use reqwest::Url;

use crate::decide::Route;
use crate::destination::{Destination, Host, Scheme};
use crate::guard::{GuardedAddress, GuardedResolver, OpenResolver};
use crate::out::OutRequest;
use crate::permit::{Egress, Permit};

/// As long as a person would wait for a server that is not there.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection kept for the next request. Servers close theirs after 5 to 75 seconds, and one that
/// they close first costs a retry.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections kept per destination: one per run that is likely to be in the same step.
const POOL_IDLE_PER_HOST_MAX: usize = 64;

pub(crate) const AGENT: &str = concat!("isonomy/", env!("CARGO_PKG_VERSION"));

#[derive(Debug)]
pub(crate) struct Clients {
    /// By [`slot`].
    made: [OnceLock<reqwest::Client>; 4],
    idle_timeout: Duration,
}

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum SendError {
    Invalid(String),
    /// After the permit, the name led to a guarded address.
    Guarded(IpAddr),
    NotSent(String),
    NoAnswer(String),
}

#[derive(Debug)]
pub(crate) enum ReadError {
    Broken(String),
    TooLarge,
}

#[derive(Debug, Clone, Copy)]
struct Kind {
    tls: bool,
    open: bool,
}

impl Clients {
    pub(crate) fn new(idle_timeout: Duration) -> Self {
        Self { made: Default::default(), idle_timeout }
    }

    /// Sends one request and waits for the head of its answer.
    pub(crate) async fn send(
        &self,
        permit: Permit<Egress>,
        request: &OutRequest,
    ) -> Result<reqwest::Response, SendError> {
        let Egress { destination, .. } = permit.kind();
        assert_eq!(
            *destination, request.destination,
            "a permit is for the request that was decided"
        );
        let mut url = request.url.clone();
        let mut headers = request.headers.clone();
        let (target, open) = match permit.kind().route() {
            Route::Via(target) => {
                let host = HeaderValue::from_str(&destination.authority())
                    .map_err(|_| SendError::Invalid("the host does not fit a header".into()))?;
                headers.insert(HOST, host);
                point_at(&mut url, target)?;
                (target, true)
            }
            Route::Direct { named } => (destination, *named),
            Route::Inside => return Err(SendError::Invalid("nothing to connect to".into())),
        };
        let client = self.client(Kind { tls: target.scheme == Scheme::Https, open }).await?;
        let mut out = reqwest::Request::new(request.method.clone(), url);
        *out.headers_mut() = headers;
        *out.body_mut() = request.body.clone().map(Into::into);
        client.execute(out).await.map_err(|error| classify(&error))
    }

    async fn client(&self, kind: Kind) -> Result<reqwest::Client, SendError> {
        let slot = &self.made[slot(kind)];
        if let Some(client) = slot.get() {
            return Ok(client.clone());
        }
        let idle_timeout = self.idle_timeout;
        // Reading the system's certificates takes tens of milliseconds.
        let built = tokio::task::spawn_blocking(move || build(kind, idle_timeout));
        let client = built.await.map_err(|error| SendError::NotSent(error.to_string()))?.map_err(
            |error| SendError::NotSent(format!("cannot set up the connection: {}", cause(&error))),
        )?;
        Ok(slot.get_or_init(|| client).clone())
    }
}

/// One place for each kind: a guarded request must never get the open client.
fn slot(kind: Kind) -> usize {
    usize::from(kind.tls) * 2 + usize::from(kind.open)
}

fn build(kind: Kind, idle_timeout: Duration) -> reqwest::Result<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(idle_timeout)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(POOL_IDLE_PER_HOST_MAX)
        .user_agent(AGENT);
    with_tls(
        kind.tls,
        match kind.open {
            // HTTP/2 names the destination twice, and a request that goes elsewhere says two things.
            true => builder.http1_only().dns_resolver(Arc::new(OpenResolver)),
            false => builder.dns_resolver(Arc::new(GuardedResolver)),
        },
    )
    .build()
}

/// With the system's certificates, or with none at all.
pub(crate) fn with_tls(tls: bool, builder: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
    // The first caller wins and all of them bring the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if tls { builder } else { builder.tls_certs_only(std::iter::empty()) }
}

/// The whole body, if it is not larger than `limit`.
pub(crate) async fn read(
    response: &mut reqwest::Response,
    limit: usize,
) -> Result<Bytes, ReadError> {
    let announced = response.content_length().unwrap_or(0);
    if usize::try_from(announced).is_ok_and(|length| length > limit) {
        return Err(ReadError::TooLarge);
    }
    let mut whole = BytesMut::new();
    while let Some(chunk) = chunk(response).await? {
        if whole.len() + chunk.len() > limit {
            return Err(ReadError::TooLarge);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

/// The next piece of a body.
pub(crate) async fn chunk(response: &mut reqwest::Response) -> Result<Option<Bytes>, ReadError> {
    response.chunk().await.map_err(|error| ReadError::Broken(cause(&error)))
}

fn point_at(url: &mut Url, target: &Destination) -> Result<(), SendError> {
    let moved = url.set_scheme(target.scheme.as_str()).is_ok()
        && match &target.host {
            Host::Name(name) => url.set_host(Some(name)).is_ok(),
            Host::Address(address) => url.set_ip_host(*address).is_ok(),
        }
        && url.set_port(Some(target.port)).is_ok();
    if moved {
        Ok(())
    } else {
        Err(SendError::Invalid("the address cannot be moved to its target".into()))
    }
}

fn classify(error: &reqwest::Error) -> SendError {
    if let Some(GuardedAddress(address)) = find(error) {
        return SendError::Guarded(*address);
    }
    if error.is_builder() {
        return SendError::Invalid(cause(error));
    }
    if error.is_connect() {
        SendError::NotSent(cause(error))
    } else {
        SendError::NoAnswer(cause(error))
    }
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut chain = Some(error);
    while let Some(error) = chain {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        chain = error.source();
    }
    None
}

/// The innermost reason. What lies around it repeats the address with its query.
pub(crate) fn cause(error: &reqwest::Error) -> String {
    let innermost = std::iter::successors(error.source(), |error| (*error).source()).last();
    innermost.map_or_else(|| "the client gave up".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: let two kinds share a client.
    #[test]
    fn each_kind_of_request_has_a_client_of_its_own() {
        let kinds = [(false, false), (false, true), (true, false), (true, true)];
        let slots = kinds.map(|(tls, open)| slot(Kind { tls, open }));
        assert_eq!(slots, [0, 1, 2, 3]);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] GuardedAddress);

    /// Mutation: look only at the outermost error.
    #[test]
    fn a_guarded_address_is_found_however_deep_it_lies() {
        let address: IpAddr = "169.254.169.254".parse().expect("an address");
        let outer = Outer(GuardedAddress(address));
        let found: Option<&GuardedAddress> = find(&outer);
        assert_eq!(found.map(|found| found.0), Some(address));
        let other = std::io::Error::other("else");
        assert!(find::<GuardedAddress>(&other).is_none());
    }
}
