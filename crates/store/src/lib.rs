//! The store's one door in and its few honest questions.
//!
//! Everything that belongs together is written by one [`Store::commit`], so that it is true
//! together. The store keeps bytes, keys and sequences; what they mean is the business of the
//! engine and the site. Reading is by noun: one file a noun.

mod blob;
mod call;
mod change;
mod check;
mod commit;
mod event;
mod fleet;
mod forget;
mod journal;
mod link;
mod log;
pub mod memory;
mod outcome;
mod resource;
mod run;
mod schedule;
pub mod suite;
mod upkeep;
mod workflow;

pub use blob::BlobWrite;
pub use call::{CallPage, CallStore};
pub use change::ChangeRow;
pub use check::{Finding, FindingCode, Pace};
pub use commit::{CommitError, Op, Preconditions};
pub use event::{EventLimits, EventQuery, EventRow, EventsKept};
pub use fleet::{ENTRIES_BESIDE_MAX, EntryRow, FleetStore, SiteRow, TokenRow};
pub use forget::{EndedQuery, JOURNAL_FORGET_MAX, JournalKept, LongRow, Reclaimed, StretchRow};
pub use journal::{BlobId, BlobRef, Entry, Sequence, Snapshot};
pub use link::{LinkStore, OrderRow, OrdersOf, OutboxRow, ReceiptRow};
pub use log::{LOG_PIECES_MAX, LogRow, LogStream};
pub use outcome::OutcomeRow;
pub use resource::{ResourceKind, ResourceRow, ResourceStore, resource_all};
pub use run::{RunCursor, RunQuery, RunRow, RunState, WakeCursor};
pub use schedule::ScheduleRow;
pub use upkeep::{Copied, Upkeep, Verified};
pub use workflow::{RevisionRow, WorkflowRow};

use base::name::WorkflowKey;
use base::{Digest, IncarnationId, Namespace, RunId, Timestamp};
use bytes::Bytes;
use futures::future::BoxFuture;

/// Why a question could not be answered. Never "not found": that is an answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {what}: {cause}")]
pub struct StoreError {
    pub what: &'static str,
    pub cause: String,
}

pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// What a site or a hub keeps. Memory and SQLite pass one suite ([`suite`]).
pub trait Store:
    LinkStore + FleetStore + ResourceStore + CallStore + Send + Sync + 'static
{
    /// This life of the store; new at init and at restore.
    fn incarnation(&self) -> IncarnationId;

    /// The owner's number: each opening raises it, and a commit by an earlier owner is refused.
    fn epoch(&self) -> u64;

    /// Writes all of `ops` or none, durably, before it answers.
    ///
    /// Whoever drops the future before the answer does not know whether the commit happened.
    fn commit(
        &self,
        ops: Vec<Op>,
        preconditions: Preconditions,
    ) -> BoxFuture<'_, Result<(), CommitError>>;

    fn run_get(&self, run: RunId) -> Answer<'_, Option<RunRow>>;
    /// Newest first.
    fn run_list(&self, query: RunQuery) -> Answer<'_, Vec<RunRow>>;
    /// All that have not ended, in the order of their ids, after `after`.
    fn run_unfinished(&self, after: Option<RunId>, limit: u32) -> Answer<'_, Vec<RunRow>>;
    /// Runs whose `wake_at` has come, earliest first, then by id, behind `after`. Ended and suspended
    /// runs are never due.
    fn run_due(
        &self,
        now: Timestamp,
        after: Option<WakeCursor>,
        limit: u32,
    ) -> Answer<'_, Vec<RunRow>>;
    /// The earliest `wake_at` of the runs that [`Store::run_due`] would return one day.
    fn run_wake_next(&self, after: Option<WakeCursor>) -> Answer<'_, Option<Timestamp>>;
    /// How many runs are in each state; states without a run are left out.
    fn run_count(&self) -> Answer<'_, Vec<(RunState, u64)>>;

    /// Entries after `after`, in order. Those that are forgotten are not among them.
    fn journal_read(&self, run: RunId, after: Sequence, limit: u32) -> Answer<'_, Vec<Entry>>;
    /// The newest snapshot.
    fn snapshot_get(&self, run: RunId) -> Answer<'_, Option<Snapshot>>;
    fn blob_get(&self, blob: BlobId) -> Answer<'_, Option<Bytes>>;
    /// At most `bytes` of the content from `offset` on, fewer at its end, of a blob that is what its
    /// name says.
    fn blob_read(&self, blob: BlobId, offset: u64, bytes: u64) -> Answer<'_, Option<Bytes>>;
    /// Content that comes piece by piece.
    fn blob_begin(&self) -> Result<Box<dyn BlobWrite>, CommitError>;

    /// A deleted workflow is returned too, with `deleted_at` set.
    fn workflow_get(&self, key: WorkflowKey) -> Answer<'_, Option<WorkflowRow>>;
    /// By namespace (all where `None`) and name, after `after`; deleted ones are not listed.
    fn workflow_list(
        &self,
        namespace: Option<Namespace>,
        after: Option<WorkflowKey>,
        limit: u32,
    ) -> Answer<'_, Vec<WorkflowRow>>;
    fn revision_get(&self, key: WorkflowKey, revision: Digest) -> Answer<'_, Option<RevisionRow>>;
    /// Newest first.
    fn revision_list(&self, key: WorkflowKey, limit: u32) -> Answer<'_, Vec<RevisionRow>>;

    /// Outcomes that nobody has taken yet, oldest first.
    fn outcome_list(&self, after: u64, limit: u32) -> Answer<'_, Vec<OutcomeRow>>;
    /// Those of one run, by number, after `after`.
    fn outcome_of(&self, run: RunId, after: u32, limit: u32) -> Answer<'_, Vec<OutcomeRow>>;

    /// Changes after `after`, oldest first.
    fn change_list(&self, after: u64, limit: u32) -> Answer<'_, Vec<ChangeRow>>;

    /// The triggers of a workflow, by name.
    fn schedule_get(&self, key: WorkflowKey) -> Answer<'_, Vec<ScheduleRow>>;
    /// All, by workflow and trigger, after `after`.
    fn schedule_list(
        &self,
        after: Option<(WorkflowKey, String)>,
        limit: u32,
    ) -> Answer<'_, Vec<ScheduleRow>>;
    /// Triggers whose `next_at` has come, earliest first, then by workflow and trigger.
    fn schedule_due(&self, now: Timestamp, limit: u32) -> Answer<'_, Vec<ScheduleRow>>;
    /// The earliest `next_at`.
    fn schedule_next(&self) -> Answer<'_, Option<Timestamp>>;
    fn event_list(&self, query: EventQuery) -> Answer<'_, Vec<EventRow>>;
    /// What a run has emitted, by its number, after `after`.
    fn event_emitted(&self, run: RunId, after: u64, limit: u32) -> Answer<'_, Vec<EventRow>>;
    /// The event of this name, of those that can be doubled: not what is told of a run's life.
    fn event_named(
        &self,
        namespace: Namespace,
        source: String,
        id: String,
    ) -> Answer<'_, Option<EventRow>>;
    /// How much there is, of all namespaces together.
    fn event_kept(&self) -> Answer<'_, EventsKept>;
    /// The position of the newest event of all namespaces, 0 where there never was one. Whoever has
    /// committed an event finds it covered.
    fn event_last(&self) -> u64;
    /// What the processes of a run have written, behind this position, in order.
    fn log_list(&self, run: RunId, after: u64, limit: u32) -> Answer<'_, Vec<LogRow>>;

    fn journal_kept(&self, run: RunId) -> Answer<'_, JournalKept>;
    /// What is kept of forgotten records behind `after`, in order.
    fn stretch_list(&self, run: RunId, after: Sequence, limit: u32) -> Answer<'_, Vec<StretchRow>>;
    /// Runs whose newest snapshot is `records` or more behind the newest place from which their
    /// journal can be followed.
    fn journal_long(&self, records: u64, limit: u32) -> Answer<'_, Vec<LongRow>>;
    fn run_ended(&self, query: EndedQuery) -> Answer<'_, Vec<RunRow>>;
    /// The next workflow after `after` that has runs that have ended; it may have been deleted.
    fn run_ended_key(&self, after: Option<WorkflowKey>) -> Answer<'_, Option<WorkflowKey>>;
    /// Reads what these operations will delete, so that the writer, which is one for all, need not wait
    /// for the disk. Changes nothing, and nobody must call it.
    fn read_ahead(&self, ops: Vec<Op>) -> Answer<'_, ()>;
    /// Whether something of forgotten runs is left to [clear](Op::Clear).
    fn clear_is_due(&self) -> Answer<'_, bool>;
    /// Gives free room inside the store back to the disk, at most about so many bytes, behind whatever
    /// waits to be written; and deletes some of the files that a crash has left without anything that
    /// refers to them.
    fn reclaim(&self, bytes: u64) -> Answer<'_, Reclaimed>;
}
