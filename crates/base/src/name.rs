//! Names that people give: parsed once, at the edge.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// As in the workflow language: a DNS label.
pub const NAME_CHARS_MAX: usize = 63;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a valid {what}: use 1 to 63 letters, digits or `-`, with a letter or digit at both ends"
)]
pub struct NameError {
    pub what: &'static str,
    pub text: String,
}

fn is_label(text: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    text.len() <= NAME_CHARS_MAX
        && edge(text.bytes().next())
        && edge(text.bytes().last())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, NameError> {
                if is_label(text) {
                    return Ok(Self(text.into()));
                }
                Err(NameError { what: $what, text: text.chars().take(80).collect() })
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// A team's realm, as in the language's `document.namespace`.
    Namespace, "namespace"
);
name!(
    /// A workflow's name, as in the language's `document.name`.
    WorkflowName, "workflow name"
);

name!(
    /// A site of a hub's fleet.
    SiteName, "site name"
);

name!(
    /// A key of an API: who or what holds it.
    KeyName, "key name"
);

name!(
    /// A source of data that a site's owner has declared.
    DatasetName, "dataset name"
);

name!(
    /// A class of data, such as `health`.
    Label, "label"
);

/// How a workflow is found: every noun is keyed by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkflowKey {
    pub namespace: Namespace,
    pub name: WorkflowName,
}

impl fmt::Display for WorkflowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A function of a catalog, written `name:version@catalog`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionRef {
    pub name: Arc<str>,
    pub version: Arc<str>,
    pub catalog: Arc<str>,
}

impl FunctionRef {
    /// `None` where the text is not of the form `name:version@catalog`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (left, catalog) = text.rsplit_once('@')?;
        let (name, version) = left.rsplit_once(':')?;
        let plain = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        if !plain(name) || !plain(version) || !plain(catalog) {
            return None;
        }
        Some(Self { name: name.into(), version: version.into(), catalog: catalog.into() })
    }
}

impl fmt::Display for FunctionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Written out for every step: the formatting of parts would cost more than all parts.
        for part in [&*self.name, ":", &self.version, "@", &self.catalog] {
            f.write_str(part)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: allow `-` at an edge, `_` inside, or 64 characters.
    #[test]
    fn a_name_is_a_dns_label() {
        for good in ["a", "A1", "tumour-screening", &"x".repeat(63)] {
            assert!(Namespace::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a_b", "a.b", "a/b", "ä", &"x".repeat(64)] {
            assert!(Namespace::parse(bad).is_err(), "{bad}");
        }
    }

    /// Mutation: split at the first `:` or `@`, or accept empty parts.
    #[test]
    fn a_function_has_name_version_and_catalog() {
        let echo = FunctionRef::parse("echo:1.0.0@default").expect("a function");
        assert_eq!(echo.to_string(), "echo:1.0.0@default");
        for bad in
            ["echo", "echo:1.0.0", "echo@default", ":1@default", "echo:@default", "https://x:1@y"]
        {
            assert_eq!(FunctionRef::parse(bad), None, "{bad}");
        }
    }
}
