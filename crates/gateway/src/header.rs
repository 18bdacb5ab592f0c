//! Headers that carry secrets, and headers that are the gate's own.

/// Whether a header of this name says who somebody is. Such headers are masked in what is recorded
/// and are not carried to another origin by a redirect.
#[must_use]
pub fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // A key of ours that is no secret, and that a redirected request still needs.
    if name == "idempotency-key" {
        return false;
    }
    let words = [
        "authorization",
        "authenticate",
        "cookie",
        "token",
        "secret",
        "password",
        "credential",
        "signature",
    ];
    words.iter().any(|word| name.contains(word)) || name.ends_with("key")
}

/// Whether the gate sets this header itself. An author's own `Host` would show a server another
/// destination than the gate was asked about; the others would break the framing of the message.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    matches!(
        name,
        "host"
            | "content-length"
            | "transfer-encoding"
            | "connection"
            | "keep-alive"
            | "upgrade"
            | "te"
            | "trailer"
            | "expect"
    ) || name.starts_with("proxy-")
}

/// Whether an owner may name this header, in small letters, for requests that the site makes itself.
#[must_use]
pub fn may_be_set(name: &str) -> bool {
    let is_small = !name.bytes().any(|byte| byte.is_ascii_uppercase());
    is_small && http::HeaderName::from_bytes(name.as_bytes()).is_ok() && !is_reserved(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: drop a word, or take the idempotency key for a secret.
    #[test]
    fn credentials_are_known_by_their_names() {
        for name in [
            "Authorization",
            "Cookie",
            "Set-Cookie",
            "X-Api-Key",
            "apikey",
            "X-Auth-Token",
            "x-hub-signature-256",
        ] {
            assert!(is_credential(name), "{name}");
        }
        for name in ["Idempotency-Key", "accept", "content-type", "traceparent", "x-request-id"] {
            assert!(!is_credential(name), "{name}");
        }
        assert!(
            is_reserved("host") && is_reserved("proxy-authorization") && !is_reserved("accept")
        );
    }
}
