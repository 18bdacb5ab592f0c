//! Where a connection goes: scheme, host and port, and nothing that could be a secret.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
}

/// A host in its one spelling: lower case, ASCII, without a final dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    Name(String),
    Address(IpAddr),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    pub scheme: Scheme,
    pub host: Host,
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    #[error("not an absolute address such as `https://example.com/path`")]
    NotAbsolute,
    #[error("the scheme is not `http` or `https`")]
    Scheme,
    #[error("there is no host in it")]
    NoHost,
}

impl Scheme {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Http, Self::Https].into_iter().find(|scheme| scheme.as_str() == text)
    }
}

impl Host {
    /// Reads what a URL has as host: IPv6 in brackets, names already in ASCII.
    fn of(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Some(Self::Address(address));
        }
        // `example.com.` resolves like `example.com`, so a rule for one must meet the other.
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        (!name.is_empty()).then_some(Self::Name(name))
    }
}

impl Destination {
    pub(crate) fn of(url: &Url) -> Result<Self, DestinationError> {
        let scheme = Scheme::parse(url.scheme()).ok_or(DestinationError::Scheme)?;
        let host = url.host_str().and_then(Host::of).ok_or(DestinationError::NoHost)?;
        let port = url.port().unwrap_or(scheme.default_port());
        Ok(Self { scheme, host, port })
    }

    /// Where `address` leads; its path and query are dropped.
    pub fn parse(address: &str) -> Result<Self, DestinationError> {
        let url = Url::parse(address).map_err(|_| DestinationError::NotAbsolute)?;
        Self::of(&url)
    }

    /// Host and port as a `Host` header has them: without the scheme's own port.
    pub(crate) fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: keep the final dot, the path or the default port, or compare IPv4 as text.
    #[test]
    fn a_destination_has_one_spelling() {
        for (address, written) in [
            ("https://Example.COM/a?b=c", "https://example.com"),
            ("https://example.com.:443/", "https://example.com"),
            ("http://example.com:443", "http://example.com:443"),
            ("http://127.1:80/", "http://127.0.0.1"),
            ("http://0x7f000001/", "http://127.0.0.1"),
            ("http://[::1]:8080/", "http://[::1]:8080"),
            ("http://user:secret@h/", "http://h"),
            ("https://bücher.example/", "https://xn--bcher-kva.example"),
        ] {
            let destination = Destination::parse(address).expect(address);
            assert_eq!(destination.to_string(), written, "{address}");
        }
        let ports =
            ["http://h", "https://h"].map(|text| Destination::parse(text).expect(text).port);
        assert_eq!(ports, [80, 443]);
        assert_eq!((Scheme::Http.default_port(), Scheme::Https.default_port()), (80, 443));
    }

    /// Mutation: accept any scheme.
    #[test]
    fn what_is_not_http_is_no_destination() {
        for (address, why) in [
            ("file:///etc/passwd", DestinationError::Scheme),
            ("ftp://h/", DestinationError::Scheme),
            ("/relative", DestinationError::NotAbsolute),
            ("http://", DestinationError::NotAbsolute),
            ("", DestinationError::NotAbsolute),
        ] {
            assert_eq!(Destination::parse(address), Err(why), "{address}");
        }
    }
}
