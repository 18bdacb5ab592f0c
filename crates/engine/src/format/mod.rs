//! The bytes of journal records, snapshots and outcomes. `docs/spec/` has the same in prose.
//!
//! Every document is JSON with `type` and `v`. A reader ignores fields that it does not know and
//! refuses a `v` above its own, since a newer writer may have meant something by it. Values above
//! the inline limit stand in a document as a reference to a blob.

mod outcome;
mod record;
pub(crate) mod snapshot;
mod stretch;

use std::collections::BTreeMap;
use std::sync::Arc;

use base::document::{self, DocumentError};
use base::limits::VALUE_INLINE_BYTES_MAX;
use base::value::{Json, ValueError, parse, to_json};
use base::{Digest, Value};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use store::{BlobId, BlobRef};

use crate::list::Piece;
pub use outcome::{fault_closed, revision_keyed};
pub use record::{RECORD_TYPE, RecordDoc};
pub(crate) use snapshot as snapshot_doc;
pub use snapshot::SNAPSHOT_TYPE;
pub(crate) use snapshot::SnapshotDoc;
pub use stretch::{Gathering, STRETCH_TYPE, Stretch, references};

/// The version that this binary writes, of every document.
pub const VERSION: u32 = 1;

/// A document's bytes, and the blobs that must be stored with it.
#[derive(Debug, Clone, Default)]
pub struct Encoded {
    pub bytes: Vec<u8>,
    pub blobs: Vec<(BlobId, Vec<u8>)>,
}

/// Why a document cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error("not a document of ours: {0}")]
    Syntax(String),
    #[error("expected a document of type `{expected}`, found `{found}`")]
    Type { expected: &'static str, found: String },
    #[error(
        "written by a newer version ({found}; this binary reads up to {VERSION}): use that binary or a later one"
    )]
    Newer { found: u32 },
    #[error("blob {0} is missing")]
    BlobMissing(BlobId),
    #[error("blob {blob} is damaged: {cause}")]
    BlobDamaged { blob: BlobId, cause: ValueError },
}

/// A value in a document.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Payload {
    Value(Inline),
    Blob(BlobRef),
}

/// A value that stands in the document: written as the text whose length was measured, read as what
/// it is.
#[derive(Debug, Clone)]
pub(crate) enum Inline {
    Text(Box<RawValue>),
    Value(Value),
}

impl Serialize for Inline {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(serializer),
            Self::Value(value) => Json(value.clone()).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Inline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Json::deserialize(deserializer).map(|json| Self::Value(json.0))
    }
}

/// What was read of blobs before a document is turned into what it says.
#[derive(Debug, Clone, Default)]
pub struct Blobs {
    values: BTreeMap<BlobId, Value>,
    pieces: BTreeMap<Piece, Arc<Vec<Value>>>,
}

impl Blobs {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub fn insert(&mut self, blob: BlobId, value: Value) {
        self.values.insert(blob, value);
    }

    /// The items of a piece of a list.
    pub fn insert_piece(&mut self, piece: Piece, items: Arc<Vec<Value>>) {
        self.pieces.insert(piece, items);
    }

    pub(crate) fn piece(&self, piece: Piece) -> Option<Arc<Vec<Value>>> {
        self.pieces.get(&piece).cloned()
    }
}

impl Payload {
    fn new(value: &Value, blobs: &mut Vec<(BlobId, Vec<u8>)>) -> Self {
        let json = to_json(value);
        if json.len() <= VALUE_INLINE_BYTES_MAX {
            let text = String::from_utf8(json).expect("JSON text is UTF-8");
            let text = RawValue::from_string(text).expect("JSON text that was just written");
            return Self::Value(Inline::Text(text));
        }
        let reference = BlobRef { blob: Digest::of(&json), bytes: json.len() as u64 };
        if blobs.iter().all(|(blob, _)| *blob != reference.blob) {
            blobs.push((reference.blob, json));
        }
        Self::Blob(reference)
    }

    fn blob(&self) -> Option<BlobId> {
        match self {
            Self::Value(_) => None,
            Self::Blob(reference) => Some(reference.blob),
        }
    }

    fn into_value(self, blobs: &Blobs) -> Result<Value, FormatError> {
        match self {
            Self::Value(Inline::Value(value)) => Ok(value),
            Self::Value(Inline::Text(text)) => {
                parse(text.get().as_bytes()).map_err(|cause| FormatError::Syntax(cause.to_string()))
            }
            Self::Blob(reference) => blobs
                .values
                .get(&reference.blob)
                .cloned()
                .ok_or(FormatError::BlobMissing(reference.blob)),
        }
    }
}

/// Reads a blob's bytes as the value that they are.
pub fn blob_value(blob: BlobId, bytes: &[u8]) -> Result<Value, FormatError> {
    parse(bytes).map_err(|cause| FormatError::BlobDamaged { blob, cause })
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8], expected: &'static str) -> Result<T, FormatError> {
    document::read(bytes, expected, VERSION).map_err(|error| match error {
        DocumentError::Syntax(what) => FormatError::Syntax(what),
        DocumentError::Type { expected, found } => FormatError::Type { expected, found },
        DocumentError::Newer { found, .. } => FormatError::Newer { found },
    })
}
