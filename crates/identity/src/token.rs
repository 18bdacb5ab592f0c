//! Join tokens: one use, one site, a short time; with them a machine finds the hub and knows it.

use std::fmt;

use base::{Digest, Random, SiteName, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::key::Pin;

/// What every token begins with, so that people and scanners for secrets recognise one.
/// What every token begins with.
pub const PREFIX: &str = "isonomy-join-";

/// The longest token: room for a dozen addresses.
const TOKEN_BYTES_MAX: usize = 4096;

/// As many as nobody guesses.
const SECRET_BYTES: usize = 32;

/// What is handed to a machine that shall become a site. Nothing prints its secret but
/// [`JoinToken::to_text`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    v: u32,
    /// Where the hub may be, as `host:port`, in the order in which they are tried.
    pub hubs: Vec<String>,
    /// The key of the fleet's root.
    pub root: Pin,
    pub site: SiteName,
    secret: String,
    pub until: Timestamp,
}

/// What the hub keeps of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenSecret(Digest);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error(
        "this is not a join token: it begins with `{PREFIX}` and comes from `isonomy hub token create`"
    )]
    Form,
    #[error("this token is of a newer version: use a program as new as the hub's")]
    Newer,
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({}, until {})", self.site, self.until)
    }
}

impl JoinToken {
    #[must_use]
    pub fn new(
        hubs: Vec<String>,
        root: Pin,
        site: SiteName,
        until: Timestamp,
        random: &dyn Random,
    ) -> Self {
        let mut secret = [0; SECRET_BYTES];
        for part in secret.chunks_mut(8) {
            part.copy_from_slice(&random.u64().to_be_bytes());
        }
        let secret = URL_SAFE_NO_PAD.encode(secret);
        Self { v: 1, hubs, root, site, secret, until }
    }

    #[must_use]
    pub fn to_text(&self) -> String {
        let json = serde_json::to_vec(self).expect("our own types have JSON text");
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(json))
    }

    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(TokenError::Form)?;
        if body.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Form);
        }
        let json = URL_SAFE_NO_PAD.decode(body).map_err(|_| TokenError::Form)?;
        let token: Self = serde_json::from_slice(&json).map_err(|_| TokenError::Form)?;
        match token.v {
            1 if !token.hubs.is_empty() => Ok(token),
            2.. => Err(TokenError::Newer),
            _ => Err(TokenError::Form),
        }
    }

    /// What proves to the hub that this token is held.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }
}

impl TokenSecret {
    /// Of 32 random bytes, so a plain digest tells nothing.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        Self(Digest::of(secret.as_bytes()))
    }

    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use base::SystemRandom;

    use super::*;
    use crate::key::Key;

    fn token() -> JoinToken {
        let root = Key::generate().expect("a key").public().pin();
        let site = SiteName::parse("plant-1").expect("a name");
        let until = Timestamp::from_millis(1_800_000_000_000);
        JoinToken::new(vec!["hub.example:7443".to_owned()], root, site, until, &SystemRandom)
    }

    /// Mutation: print the secret, or make the same one twice.
    #[test]
    fn a_token_comes_back_from_its_text_and_does_not_show_its_secret() {
        let (token, other) = (token(), token());
        assert_eq!(JoinToken::parse(&format!(" {}\n", token.to_text())), Ok(token.clone()));
        assert!(!format!("{token:?}").contains(token.secret()));
        assert_ne!(TokenSecret::of(token.secret()), TokenSecret::of(other.secret()));
        assert!(URL_SAFE_NO_PAD.decode(token.secret()).is_ok_and(|it| it.len() == SECRET_BYTES));
    }

    /// Mutation: take any text, one without an address, or one of a later version.
    #[test]
    fn what_is_no_token_is_refused() {
        let text = |token: &JoinToken| token.to_text();
        let newer = text(&JoinToken { v: 2, ..token() });
        assert_eq!(JoinToken::parse(&newer), Err(TokenError::Newer));
        let wrong = [
            String::new(),
            "isonomy-join-".to_owned(),
            "isonomy-join-!".to_owned(),
            text(&token()).replace(PREFIX, ""),
            text(&JoinToken { v: 0, ..token() }),
            text(&JoinToken { hubs: Vec::new(), ..token() }),
            format!("{PREFIX}{}", "A".repeat(TOKEN_BYTES_MAX + 1)),
        ];
        for text in wrong {
            assert_eq!(JoinToken::parse(&text), Err(TokenError::Form), "{text}");
        }
    }
}
