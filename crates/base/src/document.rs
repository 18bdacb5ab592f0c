//! Documents: JSON with `type` and `v`, read and written in one way.
//!
//! A reader ignores fields that it does not know and refuses a `v` above its own, since a newer writer
//! may have meant something by it. What is closed has no field that is not known.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Why a document cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The text may quote the document: not for everybody's eyes.
    #[error("not a document of ours: {0}")]
    Syntax(String),
    #[error("expected a document of type `{expected}`, found `{found}`")]
    Type { expected: &'static str, found: String },
    #[error(
        "written by a newer version ({found}; this binary reads up to {known}): use that binary or a later one"
    )]
    Newer { found: u32, known: u32 },
}

/// The same of something that a store keeps, for people. Never with its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("what is kept of {what} cannot be read: restore a backup")]
    Damaged { what: String },
    #[error(
        "what is kept of {what} was written by a newer version ({found}): use that program or a later one"
    )]
    Newer { what: String, found: u32 },
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
    v: u32,
}

#[derive(Serialize)]
struct Written<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    v: u32,
    #[serde(flatten)]
    body: &'a T,
}

fn syntax(error: serde_json::Error) -> DocumentError {
    DocumentError::Syntax(error.to_string())
}

impl Head {
    fn is(self, expected: &'static str, known: u32) -> Result<(), DocumentError> {
        if self.kind != expected {
            return Err(DocumentError::Type { expected, found: self.kind });
        }
        if self.v > known {
            return Err(DocumentError::Newer { found: self.v, known });
        }
        Ok(())
    }
}

/// # Panics
/// Where the body has no JSON text.
#[must_use]
pub fn write<T: Serialize>(kind: &'static str, v: u32, body: &T) -> Vec<u8> {
    serde_json::to_vec(&Written { kind, v, body }).expect("our own types have JSON text")
}

pub fn read<'a, T: Deserialize<'a>>(
    bytes: &'a [u8],
    expected: &'static str,
    known: u32,
) -> Result<T, DocumentError> {
    let head: Head = serde_json::from_slice(bytes).map_err(syntax)?;
    head.is(expected, known)?;
    serde_json::from_slice(bytes).map_err(syntax)
}

/// For types that refuse fields which they do not know.
pub fn read_closed<T: DeserializeOwned>(
    bytes: &[u8],
    expected: &'static str,
    known: u32,
) -> Result<T, DocumentError> {
    let head: Head = serde_json::from_slice(bytes).map_err(syntax)?;
    head.is(expected, known)?;
    let mut document: Map<String, Value> = serde_json::from_slice(bytes).map_err(syntax)?;
    document.retain(|name, _| name != "type" && name != "v");
    serde_json::from_value(Value::Object(document)).map_err(syntax)
}

impl DocumentError {
    /// The same, of this.
    #[must_use]
    pub fn of(self, what: impl ToString) -> Unreadable {
        let what = what.to_string();
        match self {
            Self::Newer { found, .. } => Unreadable::Newer { what, found },
            Self::Syntax(_) | Self::Type { .. } => Unreadable::Damaged { what },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        n: u32,
    }

    /// Mutation: take another type, a later version, or, where it is closed, a field that is not known.
    #[test]
    fn a_document_is_read_as_what_it_says_it_is() {
        let bytes = write("isonomy.x", 1, &Body { n: 7 });
        assert_eq!(bytes, br#"{"type":"isonomy.x","v":1,"n":7}"#);
        assert_eq!(read_closed(&bytes, "isonomy.x", 1), Ok(Body { n: 7 }));
        let closed = |text: &str| read_closed::<Body>(text.as_bytes(), "isonomy.x", 1);
        let newer = closed(r#"{"type":"isonomy.x","v":2,"n":7}"#);
        assert_eq!(newer, Err(DocumentError::Newer { found: 2, known: 1 }));
        let other = closed(r#"{"type":"isonomy.y","v":1,"n":7}"#);
        assert!(matches!(other, Err(DocumentError::Type { .. })), "{other:?}");
        let more = closed(r#"{"type":"isonomy.x","v":1,"n":7,"m":1}"#);
        assert!(matches!(more, Err(DocumentError::Syntax(_))), "{more:?}");
        let open: Map<String, Value> = read(&bytes, "isonomy.x", 1).expect("an open one");
        assert_eq!(open["n"], 7);
    }

    /// Mutation: tell people what stands in a document that cannot be read.
    #[test]
    fn what_is_told_of_a_damaged_document_is_not_its_content() {
        let found = read::<Body>(br#"{"type":"isonomy.x","v":1,"n":"secret"}"#, "isonomy.x", 1);
        let told = found.expect_err("not a number").of("the site plant-1").to_string();
        assert_eq!(told, "what is kept of the site plant-1 cannot be read: restore a backup");
    }
}
