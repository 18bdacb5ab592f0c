//! Long runs: the beginning of a long journal is forgotten, so that a run may go on for ever on a disk
//! that does not.
//!
//! ```text
//!   1 │ forgotten: only the gate's decisions are kept │ kept whole, to be looked at │ not snapshot yet
//!   ──┼───────────────────────────────────────────────┼─────────────────────────────┼───────────►
//!     2                                             start                       snapshot
//! ```
//!
//! A reconciler: it looks at what the store holds, does the next small step, and can be run again at
//! any time. A run that resumes reads its newest snapshot; a person who looks at it is led from the
//! start, which is a snapshot that was kept. Why so: `docs/adr/0008-long-runs.md`.

use base::RunId;
use store::{
    CommitError, JOURNAL_FORGET_MAX, LongRow, Op, Preconditions, Sequence, Store, StoreError,
};

use crate::format::{FormatError, Gathering};
use crate::pace::Pacer;

/// Records behind the newest snapshot that are kept whole at least; a journal that has less than this
/// behind its first snapshot is never touched. A person is shown the last 1,000 tasks, and walking so
/// many records takes some 100 ms. At most about twice as many are kept, some 10 MiB.
pub const RECORDS_KEPT_MIN: u64 = 10_000;

/// Runs that are looked at in one go.
const RUNS_PAGE: u32 = 100;

/// Records read at once. Each may have some values of 16 KiB.
const RECORDS_PAGE: u64 = 64;

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    pub records: u64,
    /// Whether there is more to do at once.
    pub more: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    #[error("record {1} of {0}")]
    Record(RunId, Sequence, #[source] FormatError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// One small step for journals that have `kept` or more records before their newest snapshot: at most one commit of [`JOURNAL_FORGET_MAX`] records for each of some long runs,
/// with a rest after each.
pub async fn step(
    store: &dyn Store,
    kept: u64,
    pace: &mut Pacer,
) -> Result<Compacted, CompactError> {
    let mut done = Compacted::default();
    let long = store.journal_long(kept, RUNS_PAGE).await?;
    done.more = long.len() == RUNS_PAGE as usize;
    for run in long {
        match pace.step(forget(store, &run)).await {
            Ok(records) => {
                done.records += records;
                done.more |= records > 0;
            }
            // It has ended and is gone, or the newest rows are not indexed yet: the next time.
            Err(CompactError::Commit(
                error @ (CommitError::RunMissing(_) | CommitError::JournalKept { .. }),
            )) => tracing::debug!(run = %run.run, %error, "a long journal is left for now"),
            // One journal that cannot be read must not keep the others long.
            Err(CompactError::Record(run, sequence, error)) => {
                tracing::warn!(%run, %sequence, %error, "a long journal cannot be compacted");
            }
            Err(error @ (CompactError::Store(_) | CompactError::Commit(_))) => return Err(error),
        }
    }
    Ok(done)
}

/// Gives how many records went.
async fn forget(store: &dyn Store, long: &LongRow) -> Result<u64, CompactError> {
    let LongRow { run, start, forgotten, .. } = *long;
    let owned = Preconditions { run: None, epoch: Some(store.epoch()) };
    if forgotten >= start {
        // All before the start is gone: the next stretch goes up to a newer one, one day.
        store.commit(vec![Op::JournalStart { run }], owned).await?;
        return Ok(0);
    }
    let after = forgotten.max(Sequence(1));
    let end = start.0.min(after.0 + JOURNAL_FORGET_MAX);
    let (mut last, mut gathering) = (after.0, Gathering::default());
    while last < end {
        let many = (end - last).min(RECORDS_PAGE);
        let many = u32::try_from(many).expect("no more than a page");
        let entries = store.journal_read(run, Sequence(last), many).await?;
        let Some(newest) = entries.last() else { break };
        last = newest.sequence.0;
        for entry in &entries {
            let wrong = |error| CompactError::Record(run, entry.sequence, error);
            gathering.add(&entry.record).map_err(wrong)?;
        }
    }
    let Some(stretch) = gathering.stretch() else { return Ok(0) };
    let through = stretch.last;
    let stretch = stretch.encode().into();
    store.commit(vec![Op::JournalForget { run, through, stretch }], owned).await?;
    Ok(last - after.0)
}
