//! Headers that are of one connection, and not of what is asked or answered over it (RFC 9110, 7.6.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName};

const OF_CONNECTION: [HeaderName; 12] = [
    CONNECTION,
    EXPECT,
    HOST,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Takes them out, and those that `connection` names.
pub(super) fn onward(headers: &mut HeaderMap) {
    let said = headers.get_all(CONNECTION).iter().filter_map(|it| it.to_str().ok());
    let named: Vec<HeaderName> =
        said.flat_map(|it| it.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
    for name in OF_CONNECTION.iter().chain(&named) {
        headers.remove(name);
    }
}

/// Headers that a key may stand in: those of OpenAI, Anthropic, Azure and Google.
const KEYS: [HeaderName; 4] = [
    http::header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// By whose key it was sent, as eight digits that only this site can make of it.
pub(super) fn client(headers: &HeaderMap, digest_key: &[u8]) -> Option<String> {
    let key = KEYS.iter().find_map(|name| headers.get(name))?;
    let digest = base::Digest::of(&[digest_key, key.as_bytes()].concat());
    Some(digest.as_bytes().iter().take(4).map(|byte| format!("{byte:02x}")).collect())
}

/// What keys of sites and hubs begin with.
const OWN: &[u8] = b"isonomy-key-";

/// A key that nobody outside may see, wherever it stands: programs have headers and parameters of their own.
pub(super) fn has_own_key(headers: &HeaderMap, target: &str) -> bool {
    let is_in = |text: &[u8]| memchr::memmem::find(text, OWN).is_some();
    let is_basic = |value: &[u8]| {
        let (scheme, rest) = value.split_at_checked(6)?;
        let rest = rest.trim_ascii();
        let read = scheme.eq_ignore_ascii_case(b"Basic ").then(|| STANDARD.decode(rest))?;
        read.ok().map(|it| is_in(&it))
    };
    let is_own = |value: &[u8]| is_in(value) || is_basic(value) == Some(true);
    is_in(target.as_bytes()) || headers.values().any(|value| is_own(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: pass on what is of the connection, or take out what is not.
    #[test]
    fn what_is_of_the_connection_stays_there() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("host", "127.0.0.1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("x-twice", "1"),
            ("x-twice", "2"),
            ("authorization", "Bearer k"),
            ("content-length", "3"),
        ] {
            headers.append(HeaderName::from_static(name), value.parse().expect("a value"));
        }
        onward(&mut headers);
        let left: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(left.len(), 4, "{left:?}");
        assert_eq!(headers.get_all("x-twice").iter().count(), 2);
        assert!(headers.contains_key("content-length") && headers.contains_key("authorization"));
    }

    /// Mutation: leave the site's own key out of the digest, or tell no two keys apart.
    #[test]
    fn a_client_is_told_apart_by_its_key_alone() {
        let of = |name: &'static str, value: &str, digest_key: &[u8]| {
            let value = value.parse().expect("a value");
            client(&HeaderMap::from_iter([(HeaderName::from_static(name), value)]), digest_key)
        };
        let one = of("authorization", "Bearer sk-1", b"site").expect("a client");
        assert_eq!(one.len(), 8);
        assert_eq!(of("authorization", "Bearer sk-1", b"site"), Some(one.clone()));
        assert_ne!(of("authorization", "Bearer sk-2", b"site"), Some(one.clone()));
        assert_ne!(of("authorization", "Bearer sk-1", b"other"), Some(one));
        assert!(of("x-api-key", "k", b"site").is_some());
        assert_eq!(of("x-other", "k", b"site"), None);
    }
}
