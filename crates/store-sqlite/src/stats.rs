//! What the store counts of itself, for metrics and benchmarks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counted since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreStats {
    /// Commits that were accepted and are durable.
    pub commits: u64,
    /// Commits that were answered with an error.
    pub refused: u64,
    /// Transactions that carried them; each is one fsync of the write-ahead log.
    pub batches: u64,
    /// All fsyncs: one a batch, those of checkpoints, those of blob files and their folders.
    pub fsyncs: u64,
    pub checkpoints: u64,
    /// Bytes of records, snapshots, blobs, summaries, texts and outcomes in accepted commits.
    pub payload_bytes: u64,
    /// Commits that wait for the writer now.
    pub queue_depth: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) fsyncs: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) payload_bytes: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Relaxed);
    }

    pub(crate) fn read(&self, queue_depth: u64) -> StoreStats {
        StoreStats {
            commits: self.commits.load(Relaxed),
            refused: self.refused.load(Relaxed),
            batches: self.batches.load(Relaxed),
            fsyncs: self.fsyncs.load(Relaxed),
            checkpoints: self.checkpoints.load(Relaxed),
            payload_bytes: self.payload_bytes.load(Relaxed),
            queue_depth,
        }
    }
}
