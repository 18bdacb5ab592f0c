//! Signed assertions by which a client shows who it is (RFC 7523), and a look into tokens.

use base::value::{as_str, get, int, object, string, to_json};
use base::{Timestamp, Value};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RSA_PKCS1_SHA256, RsaKeyPair,
};

/// An assertion is used at once; this leaves room for clocks that differ.
const LIFETIME_SECONDS: i64 = 60;

/// What cannot sign. The text holds nothing of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error(
        "the assertion is neither a JWT nor a private key in PEM; a key is `-----BEGIN PRIVATE KEY-----` (PKCS #8)"
    )]
    NoKey,
    #[error(
        "the private key cannot be used: RSA of 2048 to 8192 bits, EC P-256 or P-384, or Ed25519 in PKCS #8 is wanted; `openssl pkcs8 -topk8 -nocrypt` converts others"
    )]
    Key,
}

/// What an assertion says.
pub(crate) struct Claims<'a> {
    pub(crate) client: &'a str,
    /// The token endpoint.
    pub(crate) audience: &'a str,
    pub(crate) id: &'a str,
    pub(crate) now: Timestamp,
}

/// Signed with the client's secret.
pub(crate) fn with_secret(secret: &str, claims: &Claims<'_>) -> String {
    let unsigned = unsigned("HS256", claims);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let tag = ring::hmac::sign(&key, unsigned.as_bytes());
    format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// The assertion as it stands, or signed with the key that stands there.
pub(crate) fn with_key(assertion: &str, claims: &Claims<'_>) -> Result<String, KeyError> {
    let assertion = assertion.trim();
    if !assertion.starts_with("-----BEGIN") {
        let is_jwt = assertion.split('.').count() == 3;
        return if is_jwt { Ok(assertion.to_owned()) } else { Err(KeyError::NoKey) };
    }
    let der = pem(assertion).ok_or(KeyError::NoKey)?;
    let random = SystemRandom::new();
    let rsa = RsaKeyPair::from_pkcs8(&der).or_else(|_| RsaKeyPair::from_der(&der));
    if let Ok(key) = rsa {
        let unsigned = unsigned("RS256", claims);
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &random, unsigned.as_bytes(), &mut signature)
            .map_err(|_| KeyError::Key)?;
        return Ok(format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(signature)));
    }
    let curves =
        [("ES256", &ECDSA_P256_SHA256_FIXED_SIGNING), ("ES384", &ECDSA_P384_SHA384_FIXED_SIGNING)];
    for (name, curve) in curves {
        if let Ok(key) = EcdsaKeyPair::from_pkcs8(curve, &der, &random) {
            let unsigned = unsigned(name, claims);
            let signature = key.sign(&random, unsigned.as_bytes()).map_err(|_| KeyError::Key)?;
            return Ok(format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(signature)));
        }
    }
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| KeyError::Key)?;
    let unsigned = unsigned("EdDSA", claims);
    Ok(format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(key.sign(unsigned.as_bytes()))))
}

/// Who issued a token, if it is a JWT that says so. Nothing is verified: the token came from the
/// endpoint itself.
pub(crate) fn issuer(token: &str) -> Option<String> {
    let mut parts = token.split('.');
    let (_, claims, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims = base::value::parse(&claims).ok()?;
    get(&claims, "iss").and_then(as_str).map(str::to_owned)
}

fn unsigned(algorithm: &str, claims: &Claims<'_>) -> String {
    let head = object([("alg", string(algorithm)), ("typ", string("JWT"))]);
    let now = claims.now.as_millis().div_euclid(1_000);
    let body = object([
        ("iss", string(claims.client)),
        ("sub", string(claims.client)),
        ("aud", string(claims.audience)),
        ("jti", string(claims.id)),
        ("iat", int(now)),
        ("exp", int(now + LIFETIME_SECONDS)),
    ]);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(to_json(value));
    format!("{}.{}", part(&head), part(&body))
}

/// The bytes of the first block of a PEM text.
fn pem(text: &str) -> Option<Vec<u8>> {
    let inner = text.split_once("-----\n").or_else(|| text.split_once("-----\r\n"))?.1;
    let inner = inner.split_once("-----END")?.0;
    let joined: String = inner.split_whitespace().collect();
    STANDARD.decode(joined).ok()
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, KeyPair as _, UnparsedPublicKey};

    use super::*;

    const CLAIMS: Claims<'static> = Claims {
        client: "me",
        audience: "https://idp/token",
        id: "1",
        now: Timestamp::from_millis(1_700_000_000_000),
    };

    fn parts(token: &str) -> (String, String, Vec<u8>) {
        let (unsigned, signature) = token.rsplit_once('.').expect("three parts");
        let (_, body) = unsigned.split_once('.').expect("three parts");
        let text = URL_SAFE_NO_PAD.decode(body).expect("base64");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
        (unsigned.to_owned(), String::from_utf8(text).expect("text"), signature)
    }

    /// Mutation: sign the body alone, or leave out `exp`.
    #[test]
    fn an_assertion_of_a_secret_verifies_and_says_for_how_long() {
        let (unsigned, body, signature) = parts(&with_secret("shared secret", &CLAIMS));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"shared secret");
        ring::hmac::verify(&key, unsigned.as_bytes(), &signature).expect("our own signature");
        assert_eq!(
            body,
            r#"{"iss":"me","sub":"me","aud":"https://idp/token","jti":"1","iat":1700000000,"exp":1700000060}"#
        );
    }

    /// Mutation: sign with another algorithm than the head says, or show the key in an error.
    #[test]
    fn an_assertion_of_a_key_verifies_with_its_public_half() {
        let random = SystemRandom::new();
        let der =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        let text = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        let token = with_key(&text, &CLAIMS).expect("signed");
        let (unsigned, _, signature) = parts(&token);
        assert!(unsigned.starts_with(&URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","typ":"JWT"}"#)));
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref(), &random);
        let public = pair.expect("a key").public_key().as_ref().to_vec();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public);
        public.verify(unsigned.as_bytes(), &signature).expect("our own signature");

        let edwards = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
        let text = text.replace(&STANDARD.encode(der.as_ref()), &STANDARD.encode(edwards.as_ref()));
        assert!(
            with_key(&text, &CLAIMS)
                .expect("signed")
                .starts_with(&URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA""#)[..16])
        );
        assert_eq!(with_key("a.b.c", &CLAIMS).as_deref(), Ok("a.b.c"));
        assert_eq!(with_key("a.b", &CLAIMS), Err(KeyError::NoKey));
        assert_eq!(
            with_key("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", &CLAIMS),
            Err(KeyError::Key)
        );
    }

    /// Mutation: read the head of the token, or fail on one that is no JWT.
    #[test]
    fn the_issuer_stands_in_the_claims() {
        let token = format!("e30.{}.x", URL_SAFE_NO_PAD.encode(r#"{"iss":"https://idp"}"#));
        assert_eq!(issuer(&token).as_deref(), Some("https://idp"));
        for none in ["opaque", "a.b.c", "..", "e30.e30.x"] {
            assert_eq!(issuer(none), None, "{none}");
        }
    }
}
