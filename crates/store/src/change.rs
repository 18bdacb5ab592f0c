//! The record of changes: who did what, when and why.

use base::Timestamp;
use bytes::Bytes;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    /// Given by the store, ascending in the order of commits.
    pub position: u64,
    pub at: Timestamp,
    pub actor: String,
    pub change: Bytes,
}
