//! What child processes have written, as far as it is kept.

use base::{RunId, Timestamp};
use bytes::Bytes;

/// Pieces kept of one run; the oldest go. Each process keeps its beginning and its end already, so
/// this bounds a run of very many processes: at 64 KiB for each piece it is 640 MB at worst.
pub const LOG_PIECES_MAX: u32 = 10_000;

/// One piece of what a process has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRow {
    /// Given by the store, in the order of the commits. Ignored when it is put.
    pub position: u64,
    pub run: RunId,
    /// The task's activation.
    pub activation: String,
    pub effect: u64,
    /// The epoch of the owner that ran the process: after a crash the same effect is done again.
    pub life: u64,
    pub stream: LogStream,
    /// How many bytes the process had written before, to all its streams. Where it is more than
    /// what the piece before ends with, something is missing in between.
    pub start: u64,
    pub at: Timestamp,
    pub bytes: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogStream {
    Stdout,
    Stderr,
}

impl LogStream {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}
