//! A run's journal, its snapshots, and the blobs that both refer to.

use std::fmt;

use base::Digest;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Position in one run's journal. The first entry is 1; 0 is "before the first".
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Sequence(pub u64);

impl Sequence {
    pub const ZERO: Self = Self(0);

    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub sequence: Sequence,
    pub record: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub sequence: Sequence,
    pub snapshot: Bytes,
}

/// A blob is named by the digest of its bytes.
pub type BlobId = Digest;

/// A reference to a blob, as it stands in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    pub blob: BlobId,
    pub bytes: u64,
}
