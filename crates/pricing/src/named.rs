//! Which price something was charged by: written down with the charge, and read again when prices have
//! changed since.

use base::{Digest, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::class::Class;

/// Names one price of one list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceName {
    /// [`OWN`] where the list is the model's own definition.
    pub provider: String,
    pub model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Of the whole list: that of the catalogue, or the digest of what a definition says.
    pub version: Digest,
}

/// Whose prices those are that stand in a model's definition.
pub const OWN: &str = "own";

impl PriceName {
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.provider == OWN
    }
}

impl Class {
    /// By the name of its column.
    #[must_use]
    pub fn named(column: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.column() == column)
    }
}

impl Serialize for Class {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.column())
    }
}

impl<'de> Deserialize<'de> for Class {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let unknown = || serde::de::Error::custom(format!("`{text}` is no class of usage"));
        Self::named(&text).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: name two classes alike, or leave one out when names are read.
    #[test]
    fn a_class_is_read_as_it_is_written() {
        for class in Class::ALL {
            let text = serde_json::to_string(&class).expect("JSON");
            assert_eq!(serde_json::from_str::<Class>(&text).expect("a class"), class);
        }
        assert!(serde_json::from_str::<Class>("\"colour\"").is_err());
    }
}
