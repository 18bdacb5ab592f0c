//! The command line's way to the API of a site or hub. The one use of the network that no workflow
//! asked for, so it has a permit of its own kind: in clear to this machine only, elsewhere over TLS.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use reqwest::Url;
use rustls::ClientConfig;
use serde::de::DeserializeOwned;

use crate::client::{ReadError, cause, read, with_tls};
use crate::destination::{Destination, Host, Scheme};
use crate::permit::{Operator, Permit};
use crate::sse::{SseEvent, SseParser, SseTooLong};

/// On one machine a server that is there takes a connection at once; elsewhere a lost packet costs a
/// second or three.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT_AFAR: Duration = Duration::from_secs(10);

/// How long the site may think. Longer than its own slowest answer; events have no such bound.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The same for a file: all of what it holds is durable when it is answered.
const FILE_TIMEOUT: Duration = Duration::from_secs(660);

/// The largest answer that a command takes into memory.
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Talks to one site or hub.
#[derive(Debug)]
pub struct Client {
    permit: Permit<Operator>,
    http: reqwest::Client,
    /// What is sent with every request, and never shown.
    authorization: Option<HeaderValue>,
}

/// Who asks, and whom they trust to be the one they ask.
#[derive(Clone, Default)]
pub struct Credentials {
    pub key: Option<String>,
    /// Where it is not who the system's certificates say.
    pub tls: Option<ClientConfig>,
}

/// An answer with a status of success.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// An answer, piece by piece.
pub type Pieces = BoxStream<'static, Result<Bytes, OperatorError>>;

/// An answer that has begun. The rest takes as long as a model needs to speak.
pub struct Answering {
    pub headers: HeaderMap,
    following: Following,
}

pub type Events = BoxStream<'static, Result<SseEvent, OperatorError>>;

#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    #[error(
        "`{address}` is not the address of a site or hub; write `http://127.0.0.1:PORT` for one on this machine, `https://HOST:PORT` for others"
    )]
    Address { address: String },
    #[error(
        "nobody answers at {address}: {why}; start a site with `isonomy dev`, or name its address"
    )]
    Unreachable { address: String, why: String },
    /// Somebody is there, and shows a certificate that is not trusted.
    #[error("the certificate of {address} is not trusted: {why}")]
    Untrusted { address: String, why: String },
    #[error("the site at {address} broke off its answer: {why}")]
    Broken { address: String, why: String },
    /// The site refused. The body is usually a problem document.
    #[error("the site answered {status}")]
    Status { status: u16, body: Bytes },
    #[error("the site's answer is larger than {BODY_BYTES_MAX} bytes")]
    TooLarge,
    #[error(transparent)]
    Event(#[from] SseTooLong),
    #[error("cannot make the request: {0}")]
    Invalid(String),
    #[error("the site's answer is not what this version expects")]
    Json(#[source] serde_json::Error),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

impl Client {
    /// A client for whoever is at this address. Opens nothing yet.
    pub fn connect(base_url: &str, credentials: Credentials) -> Result<Self, OperatorError> {
        let Credentials { key, tls } = credentials;
        let permit = permit(base_url)?;
        let authorization = key.map(|key| authorization(&key)).transpose()?;
        let is_tls = permit.kind().destination.scheme == Scheme::Https;
        let port = permit.kind().destination.port;
        let here = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(if is_tls { CONNECT_TIMEOUT_AFAR } else { CONNECT_TIMEOUT })
            // No resolver has a say in where `localhost` is.
            .resolve_to_addrs("localhost", &here.map(|address| SocketAddr::new(address, port)))
            .user_agent(concat!("isonomy-cli/", env!("CARGO_PKG_VERSION")));
        let builder = match tls.filter(|_| is_tls) {
            Some(tls) => builder.tls_backend_preconfigured(tls),
            None => with_tls(is_tls, builder),
        };
        let http = builder.build().map_err(|error| OperatorError::Invalid(cause(&error)))?;
        Ok(Self { permit, http, authorization })
    }

    /// Where it talks to.
    #[must_use]
    pub fn address(&self) -> String {
        self.permit.kind().destination.to_string()
    }

    pub async fn get(&self, path: &str) -> Result<Reply, OperatorError> {
        self.send("GET", path, None, &[]).await
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&serde_json::Value>,
        headers: &[(&str, &str)],
    ) -> Result<Reply, OperatorError> {
        let mut request = self.request(method, path, headers)?;
        *request.timeout_mut() = Some(ANSWER_TIMEOUT);
        if let Some(body) = body {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().entry(http::header::CONTENT_TYPE).or_insert(json);
            *request.body_mut() = Some(body.to_string().into());
        }
        self.answer(self.execute(request).await?).await
    }

    /// The same with a file, which may take a while to be taken or made.
    pub async fn send_file(
        &self,
        method: &str,
        path: &str,
        file: Option<(&'static str, Vec<u8>)>,
    ) -> Result<Reply, OperatorError> {
        let mut request = self.request(method, path, &[])?;
        *request.timeout_mut() = Some(FILE_TIMEOUT);
        if let Some((kind, file)) = file {
            let kind = HeaderValue::from_static(kind);
            request.headers_mut().insert(http::header::CONTENT_TYPE, kind);
            *request.body_mut() = Some(file.into());
        }
        self.answer(self.execute(request).await?).await
    }

    /// Follows a stream of events; with `after`, from the one behind that id.
    pub async fn events(&self, path: &str, after: Option<&str>) -> Result<Events, OperatorError> {
        let mut headers = vec![("accept", "text/event-stream")];
        headers.extend(after.map(|id| ("last-event-id", id)));
        let response = self.execute(self.request("GET", path, &headers)?).await?;
        if !response.status().is_success() {
            let status = response.status().as_u16();
            return Err(OperatorError::Status { status, body: self.body(response).await? });
        }
        Ok(Following::new(response, self.address()).events())
    }

    /// Asks something of which nobody knows how long it takes.
    pub async fn pose(
        &self,
        path: &str,
        body: &serde_json::Value,
        headers: &[(&str, &str)],
    ) -> Result<Answering, OperatorError> {
        let mut request = self.request("POST", path, headers)?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(http::header::CONTENT_TYPE, json);
        *request.body_mut() = Some(body.to_string().into());
        let response = self.execute(request).await?;
        if !response.status().is_success() {
            let status = response.status().as_u16();
            return Err(OperatorError::Status { status, body: self.body(response).await? });
        }
        let headers = response.headers().clone();
        Ok(Answering { headers, following: Following::new(response, self.address()) })
    }

    /// An answer that is taken as it comes, however long it takes.
    pub async fn stream(&self, method: &str, path: &str) -> Result<Pieces, OperatorError> {
        let response = self.execute(self.request(method, path, &[])?).await?;
        if !response.status().is_success() {
            let status = response.status().as_u16();
            return Err(OperatorError::Status { status, body: self.body(response).await? });
        }
        let address = self.address();
        let pieces = response.bytes_stream().map_err(move |error| OperatorError::Broken {
            address: address.clone(),
            why: cause(&error),
        });
        Ok(pieces.boxed())
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<reqwest::Request, OperatorError> {
        let invalid = |what: &str| OperatorError::Invalid(what.to_owned());
        let method =
            Method::from_bytes(method.as_bytes()).map_err(|_| invalid("no such method"))?;
        // Joined as text, so that a path cannot name another host.
        let path = path.strip_prefix('/').ok_or_else(|| invalid("a path starts with `/`"))?;
        let url = Url::parse(&format!("{}/{path}", self.permit.kind().destination));
        let mut request = reqwest::Request::new(method, url.map_err(|_| invalid("not a path"))?);
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| invalid("not a header name"))?;
            let value = HeaderValue::from_bytes(value.as_bytes());
            request.headers_mut().insert(name, value.map_err(|_| invalid("not a header value"))?);
        }
        Ok(request)
    }

    async fn execute(&self, request: reqwest::Request) -> Result<reqwest::Response, OperatorError> {
        self.http.execute(request).await.map_err(|error| {
            let (address, why) = (self.address(), cause(&error));
            if is_untrusted(&error) {
                OperatorError::Untrusted { address, why }
            } else if error.is_connect() {
                OperatorError::Unreachable { address, why }
            } else {
                OperatorError::Broken { address, why }
            }
        })
    }

    async fn answer(&self, response: reqwest::Response) -> Result<Reply, OperatorError> {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.body(response).await?;
        if status.is_success() {
            return Ok(Reply { status: status.as_u16(), headers, body });
        }
        Err(OperatorError::Status { status: status.as_u16(), body })
    }

    async fn body(&self, mut response: reqwest::Response) -> Result<Bytes, OperatorError> {
        whole(&mut response, self.address()).await
    }
}

async fn whole(response: &mut reqwest::Response, address: String) -> Result<Bytes, OperatorError> {
    read(response, BODY_BYTES_MAX).await.map_err(|error| match error {
        ReadError::TooLarge => OperatorError::TooLarge,
        ReadError::Broken(why) => OperatorError::Broken { address, why },
    })
}

impl Answering {
    /// All of it.
    pub async fn json<T: DeserializeOwned>(mut self) -> Result<T, OperatorError> {
        let body = whole(&mut self.following.response, self.following.address).await?;
        serde_json::from_slice(&body).map_err(OperatorError::Json)
    }

    /// Event by event.
    #[must_use]
    pub fn events(self) -> Events {
        self.following.events()
    }
}

impl Reply {
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, OperatorError> {
        serde_json::from_slice(&self.body).map_err(OperatorError::Json)
    }
}

/// An error of a connection holds another one without naming it as its source.
fn is_untrusted(error: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
            return true;
        }
        let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match held {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    false
}

struct Following {
    response: reqwest::Response,
    parser: SseParser,
    ready: VecDeque<SseEvent>,
    address: String,
}

impl Following {
    fn new(response: reqwest::Response, address: String) -> Self {
        Self { response, parser: SseParser::default(), ready: VecDeque::new(), address }
    }

    fn events(self) -> Events {
        stream::try_unfold(self, Self::next).boxed()
    }

    async fn next(mut self) -> Result<Option<(SseEvent, Self)>, OperatorError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some((event, self)));
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.ready.extend(self.parser.push(&bytes)?),
                Ok(None) => return Ok(None),
                Err(error) => {
                    return Err(OperatorError::Broken {
                        address: self.address,
                        why: cause(&error),
                    });
                }
            }
        }
    }
}

fn authorization(key: &str) -> Result<HeaderValue, OperatorError> {
    let value = HeaderValue::from_str(&format!("Bearer {key}"));
    let mut value = value.map_err(|_| OperatorError::Invalid("not a key".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Plain HTTP is for the loopback interface; elsewhere it would send keys and answers over a network
/// in clear.
fn permit(base_url: &str) -> Result<Permit<Operator>, OperatorError> {
    let wrong = || OperatorError::Address { address: base_url.chars().take(80).collect() };
    let url = Url::parse(base_url).map_err(|_| wrong())?;
    let plain = url.path() == "/"
        && url.query().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let destination = Destination::of(&url).map_err(|_| wrong())?;
    let here = match &destination.host {
        Host::Name(name) => name == "localhost",
        Host::Address(address) => address.is_loopback(),
    };
    if !plain || (destination.scheme == Scheme::Http && !here) {
        return Err(wrong());
    }
    Ok(Permit::new(Operator { destination }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: allow any host in clear, or an address with a path or a user.
    #[test]
    fn the_command_line_talks_in_clear_to_this_machine_only() {
        for (address, expected) in [
            ("http://127.0.0.1:7070", true),
            ("http://localhost:7070/", true),
            ("http://[::1]:7070", true),
            ("https://127.0.0.1:7070", true),
            ("https://hub.example:7475", true),
            ("https://hub.example/api", false),
            ("ftp://127.0.0.1:7070", false),
            ("http://127.0.0.1:7070/api", false),
            ("http://u:p@127.0.0.1:7070", false),
            ("http://10.0.0.1:7070", false),
            ("http://localhost.example.com", false),
            ("127.0.0.1:7070", false),
        ] {
            assert_eq!(
                Client::connect(address, Credentials::default()).is_ok(),
                expected,
                "{address}"
            );
        }
    }
}
