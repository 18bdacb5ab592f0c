//! Names in certificates: SPIFFE ids.

use std::fmt;
use std::str::FromStr;

use base::SiteName;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The trust domain of a fleet: which hub's it is. Lower-case letters, digits, `.`, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Domain(String);

/// The longest name of a domain.
const DOMAIN_CHARS_MAX: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot name a fleet: use 1 to 200 lower-case letters, digits, `.`, `-` or `_`, with a letter or digit first"
)]
pub struct DomainError(String);

/// Who holds a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    Hub(Domain),
    Site(Domain, SiteName),
}

impl Domain {
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        let is_part = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
        };
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if first && text.len() <= DOMAIN_CHARS_MAX && text.bytes().all(is_part) {
            return Ok(Self(text.to_owned()));
        }
        Err(DomainError(text.chars().take(80).collect()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Domain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        Self::parse(text)
    }
}

impl Serialize for Domain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Domain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub(domain) => write!(f, "spiffe://{domain}/hub"),
            Self::Site(domain, site) => write!(f, "spiffe://{domain}/site/{site}"),
        }
    }
}

impl Name {
    /// Nothing where it is no name of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (domain, path) = text.strip_prefix("spiffe://")?.split_once('/')?;
        let domain = Domain::parse(domain).ok()?;
        match path.split_once('/') {
            None if path == "hub" => Some(Self::Hub(domain)),
            Some(("site", site)) => Some(Self::Site(domain, SiteName::parse(site).ok()?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take a name with another scheme, a path behind it, or a site that is named `hub`.
    #[test]
    fn names_are_what_they_say_and_nothing_else_is_one() {
        let domain = Domain::parse("acme.example").expect("a domain");
        let site = SiteName::parse("plant-1").expect("a name");
        for name in [Name::Hub(domain.clone()), Name::Site(domain, site)] {
            assert_eq!(Name::parse(&name.to_string()), Some(name));
        }
        for text in [
            "spiffe://acme.example",
            "spiffe://acme.example/",
            "spiffe://acme.example/hub/",
            "spiffe://acme.example/hub/x",
            "spiffe://acme.example/site/",
            "spiffe://acme.example/site/a/b",
            "spiffe://acme.example/sites/a",
            "https://acme.example/hub",
            "spiffe://Acme/hub",
            "spiffe:///hub",
        ] {
            assert_eq!(Name::parse(text), None, "{text}");
        }
        for text in ["", "-a", "a b", "A", "a/b", &"a".repeat(DOMAIN_CHARS_MAX + 1)] {
            assert!(Domain::parse(text).is_err(), "{text}");
        }
    }
}
