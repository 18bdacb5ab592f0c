//! Names and versions of secrets. Their values are not a type of this room: they live where they
//! are used, and nothing that is recorded holds one.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name is a file's name in the site's store of secrets, and no path.
pub const SECRET_NAME_CHARS_MAX: usize = 128;

/// A secret's name, as in the language's `use.secrets`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(Arc<str>);

/// Counts how often a secret was set. The first is 1.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SecretVersion(pub u64);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not the name of a secret: use 1 to {SECRET_NAME_CHARS_MAX} letters, digits, `-`, `_` or `.`, with a letter, a digit or `_` first"
)]
pub struct SecretNameError;

impl SecretName {
    /// The error does not repeat the text: whoever mistakes the value for the name must not find it
    /// in a log.
    pub fn parse(text: &str) -> Result<Self, SecretNameError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let first = text.bytes().next().is_some_and(plain);
        let rest = text.bytes().all(|b| plain(b) || b == b'-' || b == b'.');
        if first && rest && text.len() <= SECRET_NAME_CHARS_MAX {
            return Ok(Self(text.into()));
        }
        Err(SecretNameError)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SecretVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SecretName {
    type Err = SecretNameError;

    fn from_str(text: &str) -> Result<Self, SecretNameError> {
        Self::parse(text)
    }
}

impl Serialize for SecretName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: allow `/`, a leading `.`, or 129 characters; or show the text in the error.
    #[test]
    fn a_secret_has_a_name_that_is_no_path() {
        for good in ["a", "_x", "mySecret", "my-oauth2.secret_1", &"x".repeat(128)] {
            assert!(SecretName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".a", "-a", "..", "a/b", "a b", "ä", "a\0", &"x".repeat(129)] {
            let error = SecretName::parse(bad).expect_err(bad);
            assert!(bad.len() < 3 || !error.to_string().contains(bad), "{error}");
        }
    }
}
