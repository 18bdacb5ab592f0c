//! What is forgotten on purpose: old records of long runs, and runs whose time is over.
//!
//! A store only forgets what it is told to. *When* that is, is decided by the engine (records) and the
//! site (runs).

use base::name::WorkflowKey;
use base::{RunId, Timestamp};
use bytes::Bytes;

use crate::{Sequence, Snapshot};

/// Records that one op forgets at most: some milliseconds of the writer's time, which every commit
/// behind it waits for.
pub const JOURNAL_FORGET_MAX: u64 = 1_000;

/// What is kept in place of records that were forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StretchRow {
    pub first: Sequence,
    pub last: Sequence,
    /// In the engine's format.
    pub stretch: Bytes,
}

/// What there is of a journal. The first record is always there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalKept {
    /// Records behind the first and up to this one are forgotten; 0 where the journal is whole.
    pub forgotten: Sequence,
    /// Where the journal can be followed from, where it is not whole.
    pub start: Option<Snapshot>,
}

/// A run whose newest snapshot has a high sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongRow {
    pub run: RunId,
    /// Of its newest snapshot.
    pub snapshot: Sequence,
    /// The newest place from which its journal can be followed; 0 where that is its beginning.
    pub start: Sequence,
    /// As in [`JournalKept`].
    pub forgotten: Sequence,
}

/// Runs of one workflow that have ended, the earliest first.
#[derive(Debug, Clone)]
pub struct EndedQuery {
    pub key: WorkflowKey,
    /// Ended at this time or before.
    pub until: Timestamp,
    /// Behind the run that ended then.
    pub after: Option<(Timestamp, RunId)>,
    pub limit: u32,
}

/// What a store gave back to the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reclaimed {
    pub bytes: u64,
    /// Room inside the store that could be given back still.
    pub free_bytes: u64,
    /// The whole store, but for what lies in files of its own.
    pub whole_bytes: u64,
    /// Not all files have been looked at yet: ask again.
    pub files_left: bool,
}
