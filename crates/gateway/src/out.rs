//! What goes out and what comes back.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use reqwest::Url;

use crate::code::Code;
use crate::decide::{Denial, Ruling};
use crate::destination::Destination;
use crate::header::is_reserved;

/// Headers of one request; more is no request that a server takes.
const HEADERS_MAX: usize = 100;

/// An address longer than this is refused by every server that we know.
const URI_BYTES_MAX: usize = 64 * 1024;

/// A request that is well formed. Whether it may leave is the gate's business.
#[derive(Debug, Clone)]
pub struct OutRequest {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) destination: Destination,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    pub(crate) redirect: bool,
}

/// What came of a request, and what the gate said last about it.
#[derive(Debug)]
pub struct Answer {
    pub result: Result<OutResponse, OutError>,
    /// `None` where the gate was not asked.
    pub ruling: Option<Ruling>,
}

#[derive(Debug)]
pub struct OutResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The request that this answers: the last one, after redirects.
    pub request: OutRequest,
}

#[derive(Debug, thiserror::Error)]
pub enum OutError {
    #[error(transparent)]
    Denied(Box<Denial>),
    #[error("cannot make the request: {0}")]
    Invalid(String),
    /// The other side cannot have acted on it.
    #[error("`{destination}` could not be reached: {why}")]
    NotSent { destination: String, why: String },
    /// The other side may have acted on it.
    #[error("`{destination}` gave no full answer: {why}")]
    NoAnswer { destination: String, why: String },
    #[error("`{destination}` answered with more than {limit} bytes")]
    TooLarge { destination: String, limit: usize },
    #[error("more than {limit} redirects, the last from `{destination}`")]
    TooManyRedirects { destination: String, limit: usize },
    #[error("`{destination}` redirects to no address that HTTP can follow")]
    BadRedirect { destination: String },
}

impl OutRequest {
    /// Parses everything that comes from outside.
    pub fn new(method: &str, uri: &str, query: &[(String, String)]) -> Result<Self, OutError> {
        let invalid = |what: &str| OutError::Invalid(what.to_owned());
        let method = Method::from_bytes(method.as_bytes())
            .ok()
            .filter(|method| *method != Method::CONNECT)
            .ok_or_else(|| invalid("the method is not one of HTTP"))?;
        if uri.len() > URI_BYTES_MAX {
            return Err(invalid("the address is longer than 64 KiB"));
        }
        let mut url = Url::parse(uri).map_err(|_| {
            invalid("the address is not absolute, such as `https://example.com/path`")
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid(
                "the address holds credentials; put them into an `Authorization` header",
            ));
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url.set_fragment(None);
        let destination =
            Destination::of(&url).map_err(|error| invalid(&format!("in the address, {error}")))?;
        Ok(Self {
            method,
            url,
            destination,
            headers: HeaderMap::new(),
            body: None,
            redirect: false,
        })
    }

    /// Adds a header of the author's. Its value is in no error.
    pub fn header(&mut self, name: &str, value: &str) -> Result<(), OutError> {
        let invalid = |what: String| OutError::Invalid(what);
        let shown: String = name.chars().take(80).collect();
        let parsed = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| invalid(format!("`{shown}` is not a header name")))?;
        if is_reserved(parsed.as_str()) {
            return Err(invalid(format!(
                "the header `{shown}` is set by the runtime; leave it out"
            )));
        }
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
            invalid(format!("the value of header `{shown}` holds control characters"))
        })?;
        if self.headers.len() >= HEADERS_MAX {
            return Err(invalid(format!("more than {HEADERS_MAX} headers")));
        }
        self.headers.append(parsed, value);
        Ok(())
    }

    /// Adds a header that the author has not set.
    pub fn header_default(&mut self, name: HeaderName, value: &str) -> Result<(), OutError> {
        if self.headers.contains_key(&name) {
            return Ok(());
        }
        self.header(name.as_str(), value)
    }

    #[must_use]
    pub fn with_body(self, body: Bytes) -> Self {
        Self { body: Some(body), ..self }
    }

    /// Follows redirects, each asked at the gate.
    #[must_use]
    pub fn with_redirects(self, redirect: bool) -> Self {
        Self { redirect, ..self }
    }

    /// Says who asks, in place of whatever said so before. The value is in no error and no log.
    pub fn authorize(&mut self, value: &str) -> Result<(), OutError> {
        let mut value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
            OutError::Invalid("the authorization holds control characters".to_owned())
        })?;
        value.set_sensitive(true);
        self.headers.insert(http::header::AUTHORIZATION, value);
        Ok(())
    }

    /// Path and query as they are sent.
    #[must_use]
    pub fn target(&self) -> String {
        match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        }
    }

    #[must_use]
    pub fn method(&self) -> &str {
        self.method.as_str()
    }

    #[must_use]
    pub fn uri(&self) -> &str {
        self.url.as_str()
    }

    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// What of it leaves, as it would be written in HTTP/1.1.
    pub(crate) fn bytes(&self) -> u64 {
        let line = self.method.as_str().len() + self.url.as_str().len() + "  HTTP/1.1\r\n".len();
        let header = |(name, value): (&HeaderName, &HeaderValue)| {
            name.as_str().len() + value.len() + ": \r\n".len()
        };
        let headers: usize = self.headers.iter().map(header).sum();
        let body = self.body.as_ref().map_or(0, Bytes::len);
        (line + headers + "\r\n".len() + body) as u64
    }

    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

impl OutError {
    /// It was let out, and nobody could write that down: the task is over, or the disk is full.
    pub(crate) fn unwritten(destination: &Destination) -> Self {
        let why = "what leaves has to be written down first, and it could not be".to_owned();
        Self::NotSent { destination: destination.to_string(), why }
    }

    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Denied(denial) => denial.code(),
            Self::Invalid(_) => Code::InvalidRequest,
            Self::NotSent { .. } => Code::NotSent,
            Self::NoAnswer { .. } => Code::NoAnswer,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::TooManyRedirects { .. } => Code::TooManyRedirects,
            Self::BadRedirect { .. } => Code::BadRedirect,
        }
    }
}

impl From<Denial> for OutError {
    fn from(denial: Denial) -> Self {
        Self::Denied(Box::new(denial))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, uri: &str, header: (&str, &str), expected: &str) {
        let made = OutRequest::new(method, uri, &[]).and_then(|mut request| {
            request.header(header.0, header.1)?;
            Ok(request)
        });
        let said = made.map_or_else(|error| error.to_string(), |request| request.uri().to_owned());
        assert_eq!(said, expected);
    }

    /// Mutation: let a default replace what the author wrote, or leave it out.
    #[test]
    fn a_default_header_gives_way_to_the_authors() {
        let mut request = OutRequest::new("put", "https://h/a", &[]).expect("a request");
        request.header("x-a", "author").expect("a header");
        request.header_default(HeaderName::from_static("x-a"), "default").expect("a header");
        request.header_default(HeaderName::from_static("x-b"), "default").expect("a header");
        let value = |name: &str| {
            let values = request.headers().get_all(name).iter();
            values.map(|value| value.to_str().expect("text")).collect::<Vec<_>>()
        };
        assert_eq!((value("x-a"), value("x-b")), (vec!["author"], vec!["default"]));
        assert_eq!(request.method(), "put");
    }

    /// Mutation: send two authorizations, show one, or leave the query out of the target.
    #[test]
    fn an_authorization_replaces_the_one_before_and_is_shown_nowhere() {
        let mut request = OutRequest::new("get", "https://h/a?b=c", &[]).expect("a request");
        request.header("authorization", "Basic old").expect("a header");
        request.authorize("Bearer hidden").expect("it can be sent");
        let sent = request.headers().get_all("authorization").iter().collect::<Vec<_>>();
        assert_eq!(sent, ["Bearer hidden"]);
        assert!(!format!("{request:?}").contains("hidden"), "{request:?}");
        let refused = request.authorize("Bearer hid\nden").expect_err("it cannot be sent");
        assert!(!refused.to_string().contains("hid"), "{refused}");
        assert_eq!(request.target(), "/a?b=c");
        assert_eq!(OutRequest::new("get", "https://h", &[]).expect("a request").target(), "/");
    }

    /// Mutation: drop any check in `new` or `header`, or show a header's value.
    #[test]
    fn what_is_no_request_is_refused_before_the_gate_is_asked() {
        let plain = ("x-a", "b");
        check("GET", "https://h/a b#c", plain, "https://h/a%20b");
        check(
            "GET",
            "h/a",
            plain,
            "cannot make the request: the address is not absolute, such as `https://example.com/path`",
        );
        check(
            "GET",
            "file:///etc",
            plain,
            "cannot make the request: in the address, the scheme is not `http` or `https`",
        );
        check(
            "GET",
            "https://u:p@h/",
            plain,
            "cannot make the request: the address holds credentials; put them into an `Authorization` header",
        );
        check("G T", "https://h/", plain, "cannot make the request: the method is not one of HTTP");
        check(
            "CONNECT",
            "https://h/",
            plain,
            "cannot make the request: the method is not one of HTTP",
        );
        check(
            "GET",
            "https://h/",
            ("x y", "b"),
            "cannot make the request: `x y` is not a header name",
        );
        check(
            "GET",
            "https://h/",
            ("x-a", "hidden\r\nx-b: c"),
            "cannot make the request: the value of header `x-a` holds control characters",
        );
        check(
            "GET",
            "https://h/",
            ("Host", "other"),
            "cannot make the request: the header `Host` is set by the runtime; leave it out",
        );
    }

    /// Mutation: replace the address's own query, or leave a value unescaped.
    #[test]
    fn query_parameters_join_those_of_the_address() {
        let query = [("q".to_owned(), "a&b c".to_owned()), ("n".to_owned(), "1".to_owned())];
        let request = OutRequest::new("GET", "https://h/p?x=1", &query).expect("a request");
        assert_eq!(request.uri(), "https://h/p?x=1&q=a%26b+c&n=1");
    }
}
