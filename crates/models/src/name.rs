//! What models and routes are called. Clients bring the names that they know from providers.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Names of providers have up to some 80 characters.
pub const MODEL_NAME_CHARS_MAX: usize = 128;

/// `chat-small`, `tumour-risk@1`, `meta-llama/Llama-3.1-8B-Instruct`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelName(Arc<str>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a model's name: use 1 to {MODEL_NAME_CHARS_MAX} letters, digits and `-_.:/@`, with a letter or digit first"
)]
pub struct ModelNameError(String);

impl ModelName {
    pub fn parse(text: &str) -> Result<Self, ModelNameError> {
        let is_in = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/@".contains(&b);
        let is_name = text.len() <= MODEL_NAME_CHARS_MAX
            && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && text.bytes().all(is_in);
        if is_name {
            return Ok(Self(text.into()));
        }
        let shown = text.chars().filter(|c| !c.is_control()).take(80).collect();
        Err(ModelNameError(shown))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the last `@`, and the version behind it.
    #[must_use]
    pub fn split(&self) -> (&str, Option<&str>) {
        match self.0.rsplit_once('@') {
            Some((base, version)) => (base, Some(version)),
            None => (&self.0, None),
        }
    }

    /// A version of numbers and dots, to compare it with another: `1.10` is after `1.9`. Others have a name
    /// and no place in the order.
    #[must_use]
    pub fn version(&self) -> Option<Vec<u64>> {
        self.split().1?.split('.').map(|part| part.parse().ok()).collect()
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ModelName {
    type Err = ModelNameError;

    fn from_str(text: &str) -> Result<Self, ModelNameError> {
        Self::parse(text)
    }
}

impl Serialize for ModelName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ModelName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: compare versions as texts, or take `rc1` for one.
    #[test]
    fn versions_of_numbers_have_an_order() {
        let version = |text: &str| ModelName::parse(text).expect("a name").version();
        assert!(version("risk@1.10") > version("risk@1.9"));
        assert!(version("risk@2") > version("risk@1.10"));
        for none in ["risk", "risk@rc1", "risk@", "risk@1.x", "risk@1..2"] {
            assert_eq!(version(none), None, "{none}");
        }
    }

    /// Mutation: take a name that disturbs a path, a header or a terminal, or one without end.
    #[test]
    fn names_of_providers_are_names_and_others_are_not() {
        for name in ["chat-small", "tumour-risk@1", "meta-llama/Llama-3.1-8B", "qwen2.5:7b", "4o"] {
            assert!(ModelName::parse(name).is_ok(), "{name}");
        }
        let long = "a".repeat(MODEL_NAME_CHARS_MAX + 1);
        for name in ["", " a", "-a", "a b", "a\nb", "a\u{1b}[2J", "é", "a?b", &long] {
            assert!(ModelName::parse(name).is_err(), "{name:?}");
        }
    }
}
