//! Outcomes: what a site will report of a run, kept until somebody has it durably.

use base::{RunId, Timestamp};
use bytes::Bytes;

/// An outcome is unique by (run, number): a run that was retried has several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomeRow {
    /// Position in the outbox; given by the store, ignored in a put.
    pub position: u64,
    pub run: RunId,
    pub number: u32,
    pub at: Timestamp,
    pub outcome: Bytes,
}
