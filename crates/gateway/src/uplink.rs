//! The way to the hub: a connected stream under a permit of its own kind. What is said over it is not
//! the gate's business; that only the hub of the site's own root answers is TLS's.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::CONNECT_TIMEOUT;
use crate::destination::{Destination, Host, Scheme};
use crate::pace::{Pace, Paced};
use crate::permit::{Hub, Permit};

/// A slow line and a busy hub take their time over a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);

/// One short request and its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest answer: a certificate has some six hundred bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The longest wait that is believed: a hub says seconds.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

pub type HubStream = TlsStream<Paced<TcpStream>>;

/// What a hub answers to a request.
#[derive(Debug)]
pub struct HubAnswer {
    pub status: u16,
    /// After how long it wants to be asked again.
    pub retry_after: Option<Duration>,
    pub body: Bytes,
}

/// What the headers of an answer say of when to ask again.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// The address of a hub.
#[derive(Debug)]
pub struct Uplink {
    permit: Permit<Hub>,
}

#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    #[error("`{address}` is not where a hub can be: write `HOST:PORT`")]
    Address { address: String },
    #[error("there is no address for {host}: {why}")]
    Name { host: String, why: String },
    #[error("nobody answers at {address}: {why}")]
    Unreachable { address: String, why: String },
    #[error("whoever answers at {address} is not the hub of this fleet: {why}")]
    NotTheHub { address: String, why: String },
    #[error("the hub at {address} broke off: {why}")]
    Broken { address: String, why: String },
}

impl Uplink {
    /// Opens nothing yet.
    pub fn to(address: &str) -> Result<Self, UplinkError> {
        let wrong = || UplinkError::Address { address: address.chars().take(80).collect() };
        let destination = Destination::parse(&format!("https://{address}")).map_err(|_| wrong())?;
        // Nothing was dropped on the way: no user, no path.
        let is_plain = address.rsplit_once(':').is_some_and(|(host, port)| {
            let spelled = destination.host.to_string();
            host.eq_ignore_ascii_case(&spelled) && port.parse() == Ok(destination.port)
        });
        if !is_plain || destination.scheme != Scheme::Https {
            return Err(wrong());
        }
        Ok(Self { permit: Permit::new(Hub { destination }) })
    }

    fn address(&self) -> String {
        let Destination { host, port, .. } = &self.permit.kind().destination;
        format!("{host}:{port}")
    }

    /// A stream to the hub, which `tls` has found to be that; no faster than `pace`.
    pub async fn dial(&self, tls: ClientConfig, pace: Pace) -> Result<HubStream, UplinkError> {
        let stream = self.connect().await?;
        stream.set_nodelay(true).ok();
        let stream = Paced::new(stream, pace);
        // Which name it has in its certificate is the business of `tls`; this one is for proxies that
        // choose by it.
        let name = match &self.permit.kind().destination.host {
            Host::Name(name) => ServerName::try_from(name.clone()).ok(),
            Host::Address(address) => Some(ServerName::from(*address)),
        };
        let failed = |why: String| UplinkError::NotTheHub { address: self.address(), why };
        let name = name.ok_or_else(|| failed("its name is no name".to_owned()))?;
        let shake = TlsConnector::from(Arc::new(tls)).connect(name, stream);
        match timeout(HANDSHAKE_TIMEOUT, shake).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed("it takes too long".to_owned())),
        }
    }

    /// The bare connection, for whoever passes on what others say in TLS.
    pub async fn connect(&self) -> Result<TcpStream, UplinkError> {
        let Destination { host, port, .. } = &self.permit.kind().destination;
        let addresses: Vec<SocketAddr> = match host {
            Host::Address(address) => vec![SocketAddr::new(*address, *port)],
            Host::Name(name) => {
                let unknown = |why: String| UplinkError::Name { host: name.clone(), why };
                match timeout(CONNECT_TIMEOUT, lookup_host((name.as_str(), *port))).await {
                    Ok(Ok(found)) => found.collect(),
                    Ok(Err(error)) => return Err(unknown(error.to_string())),
                    Err(_) => return Err(unknown("nobody answers".to_owned())),
                }
            }
        };
        let mut why = "it has no address".to_owned();
        for address in addresses {
            match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => why = error.to_string(),
                Err(_) => why = "it takes too long".to_owned(),
            }
        }
        Err(UplinkError::Unreachable { address: self.address(), why })
    }

    /// One request to the hub, and its answer.
    pub async fn post(
        &self,
        tls: ClientConfig,
        path: &'static str,
        body: Vec<u8>,
    ) -> Result<HubAnswer, UplinkError> {
        // A few hundred bytes.
        let stream = self.dial(tls, Pace::default()).await?;
        let broken = |why: String| UplinkError::Broken { address: self.address(), why };
        let exchange = async {
            let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
            let (mut sender, connection) = shaken.map_err(|error| error.to_string())?;
            let host = HeaderValue::from_str(&self.address()).map_err(|error| error.to_string())?;
            let request = Request::builder()
                .method(Method::POST)
                .uri(path)
                .header(HOST, host)
                .header(CONTENT_TYPE, "application/json")
                .body(Full::new(Bytes::from(body)))
                .map_err(|error| error.to_string())?;
            let answer = async {
                let response = sender.send_request(request).await.map_err(|it| it.to_string())?;
                let status = response.status().as_u16();
                let retry_after = retry_after(response.headers());
                let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
                let body = body.map_err(|error| error.to_string())?.to_bytes();
                Ok(HubAnswer { status, retry_after, body })
            };
            let (mut answer, mut connection) = (pin!(answer), pin!(connection));
            tokio::select! {
                answer = &mut answer => answer,
                // What came before the end is there; otherwise the request itself fails.
                _ = &mut connection => answer.await,
            }
        };
        match timeout(ANSWER_TIMEOUT, exchange).await {
            Ok(answer) => answer.map_err(broken),
            Err(_) => Err(broken("it takes too long".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: wait for as long as anybody says, or read a date as a number.
    #[test]
    fn a_hub_says_when_to_ask_again_in_seconds() {
        let of = |text: &'static str| {
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]))
        };
        assert_eq!(of("7"), Some(Duration::from_secs(7)));
        assert_eq!(of("99999999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(of("Fri, 31 Dec 2027 23:59:59 GMT"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    /// Mutation: take a whole URL, or an address without a port.
    #[test]
    fn a_hub_is_at_a_host_and_a_port() {
        for (address, is_taken) in [
            ("hub.example:7443", true),
            ("192.0.2.1:443", true),
            ("[2001:db8::1]:7443", true),
            ("hub.example", false),
            ("hub.example:0x1", false),
            ("https://hub.example:7443", false),
            ("user@hub.example:7443", false),
            ("hub.example:7443/path", false),
            ("hub.example:7443?x", false),
            ("", false),
        ] {
            assert_eq!(Uplink::to(address).is_ok(), is_taken, "{address}");
        }
    }
}
