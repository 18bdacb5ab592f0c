//! The one write door.

use base::name::WorkflowKey;
use base::stream::{Head, Stream};
use base::{Digest, OrderId, RunId, SiteName, Timestamp};
use bytes::Bytes;

use crate::{
    BlobId, CallPage, EntryRow, EventLimits, EventRow, LogRow, OrderRow, OutboxRow, OutcomeRow,
    ReceiptRow, ResourceKind, ResourceRow, RevisionRow, RunRow, ScheduleRow, Sequence, TokenRow,
    WorkflowRow,
};

/// Everything that can be written.
#[derive(Debug, Clone)]
pub enum Op {
    /// Refused as [`CommitError::RunExists`] where the id is taken.
    RunCreate(RunRow),
    /// Replaces the row of a run that exists.
    RunUpdate(RunRow),
    /// The next entry of a run's journal. Sequences start at 1 and have no gaps.
    JournalAppend {
        run: RunId,
        sequence: Sequence,
        record: Bytes,
    },
    /// The state after `sequence`; only the newest snapshot of a run is kept, whatever the order
    /// of the puts.
    SnapshotPut {
        run: RunId,
        sequence: Sequence,
        snapshot: Bytes,
    },
    /// Content, named by its digest. Putting it twice is harmless; bytes that do not have that
    /// digest are refused.
    BlobPut {
        blob: BlobId,
        bytes: Bytes,
    },
    /// Content that was written by [`crate::Store::blob_begin`], or is a blob already. Refused as
    /// [`CommitError::BlobMissing`] where it is neither.
    BlobKeep {
        blob: BlobId,
        size: u64,
    },
    /// Never changes: putting the same key and digest again is harmless.
    RevisionPut(RevisionRow),
    /// The workflow's head: which revision a new run takes. Clears a tombstone; `deleted_at` of
    /// the row is ignored.
    WorkflowPut(WorkflowRow),
    /// A tombstone: revisions and runs stay, new runs are not possible. Refused as
    /// [`CommitError::WorkflowMissing`] where there is none, or where it is deleted already.
    WorkflowDelete {
        key: WorkflowKey,
        at: Timestamp,
    },
    /// Refused as [`CommitError::OutcomeExists`] where the run has an outcome of that number.
    OutcomePut(OutcomeRow),
    /// A line in the record of changes: who did what, when and why.
    ChangeAppend {
        at: Timestamp,
        actor: String,
        change: Bytes,
    },
    /// One trigger of a workflow, as it stands; replaces the one of that name.
    SchedulePut(ScheduleRow),
    /// Harmless where there is none.
    ScheduleDelete {
        key: WorkflowKey,
        trigger: String,
    },
    /// The first one stays where an event of that namespace, source and id is there already. The
    /// oldest events go where more are kept than [`crate::EventLimits`] allows.
    EventAppend(EventRow),
    /// Forgets the oldest events beyond `kept`, at most so many rows; none from the position `needed`
    /// on, and never the newest.
    EventForget {
        needed: u64,
        kept: EventLimits,
        rows: u32,
    },
    /// A piece of what a process has written. Only the newest [`LOG_PIECES_MAX`] of a run are kept.
    ///
    /// [`LOG_PIECES_MAX`]: crate::LOG_PIECES_MAX
    LogAppend(LogRow),
    /// Takes out the pieces of one effect that start in `from..to`.
    LogTrim {
        run: RunId,
        effect: u64,
        life: u64,
        from: u64,
        to: u64,
    },
    /// The record or snapshot of this sequence refers to the blob: it is kept as long as one of them
    /// is. Putting it again is harmless.
    BlobRefer {
        run: RunId,
        sequence: Sequence,
        blob: BlobId,
    },
    /// Somebody who is no run refers to the blob: it is kept until it is unpinned. Again is harmless.
    BlobPin {
        blob: BlobId,
    },
    /// It is kept as long as runs refer to it. Harmless where it was not pinned.
    BlobUnpin {
        blob: BlobId,
    },
    /// Keeps the newest snapshot of the run also as a place from which its journal can be followed.
    /// Harmless where there is none, or where it is one already.
    JournalStart {
        run: RunId,
    },
    /// Forgets the records up to `through`, but never the first one, and keeps `stretch` in their
    /// place. Harmless where they are forgotten already. Refused as [`CommitError::JournalKept`] where
    /// the journal could not be followed from there, and for more than
    /// [`JOURNAL_FORGET_MAX`](crate::JOURNAL_FORGET_MAX) records.
    JournalForget {
        run: RunId,
        through: Sequence,
        stretch: Bytes,
    },
    /// Forgets a run that has ended, with all that is its own, but for outcomes that wait in an outbox.
    /// What is large is cleared away by [`Op::Clear`] afterwards. Refused as [`CommitError::RunGoesOn`]
    /// where the run has not ended.
    RunForget {
        run: RunId,
    },
    /// Clears away what forgotten runs have left, at most about so many rows.
    Clear {
        rows: u32,
    },
    /// What the site knows of its hub; replaces what was there.
    LinkPut {
        link: Bytes,
    },
    /// From now on the entries of this stream wait for a hub; replaces the row that was there.
    OutboxPut(OutboxRow),
    /// What the hub has, also where that is less than before. Refused as [`CommitError::OutboxKept`]
    /// before the base, and where there is no outbox.
    OutboxMark {
        stream: Stream,
        mark: Head,
    },
    /// Moves the base of a stream up to here. Entries up to it go, outcomes with their runs. Harmless
    /// where it is there already. Refused as [`CommitError::OutboxKept`] beyond the mark, and where
    /// there is no outbox.
    OutboxForget {
        stream: Stream,
        base: Head,
    },
    /// Refused as [`CommitError::ReceiptExists`] where the order has one.
    ReceiptPut(ReceiptRow),
    /// The first one stays, also where it is closed.
    OrderPut(OrderRow),
    /// Closes an order once. Refused as [`CommitError::OrderClosed`] where it is closed already, or was
    /// never there.
    OrderJudge {
        order: OrderId,
        at: Timestamp,
    },
    /// Closes an order to this site; harmless where it is closed already, or is another's.
    OrderClose {
        order: OrderId,
        site: SiteName,
        at: Timestamp,
    },
    /// Harmless where there is none.
    OrderForget {
        order: OrderId,
    },
    /// What people have said of a site. Its seat stays as it is.
    SitePut {
        site: SiteName,
        record: Bytes,
    },
    /// Refused as [`CommitError::SiteMissing`] where there is no such site, and so are its entries.
    SeatPut {
        site: SiteName,
        seat: Bytes,
    },
    /// Harmless where the same bytes are there under that key. Other bytes never replace them: they are
    /// kept beside, up to [`ENTRIES_BESIDE_MAX`](crate::ENTRIES_BESIDE_MAX).
    EntryTake(EntryRow),
    TokenPut(TokenRow),
    /// Whoever has used it may use it again. Refused as [`CommitError::TokenSpent`] where somebody else
    /// has, where its time is over, and where there is none.
    TokenUse {
        secret: Digest,
        by: Digest,
        now: Timestamp,
    },
    /// Forgets tokens whose time was over by `until`.
    TokenForget {
        until: Timestamp,
    },
    /// The next page of calls. Where its time is before that of the newest page, since a clock was set
    /// back, it gets that one's. Refused as [`CommitError::CallGap`] where it does not begin with the
    /// next number, or has no entry.
    CallAppend(CallPage),
    /// Forgets the oldest pages that end before `before`, at most so many; never the newest.
    CallForget {
        before: u64,
        rows: u32,
    },
    ResourcePut(ResourceRow),
    /// Harmless where there is none.
    ResourceDelete {
        kind: ResourceKind,
        name: String,
    },
}

/// What must be true for the commit to happen.
#[derive(Debug, Clone, Default)]
pub struct Preconditions {
    /// The run's last journal sequence; zero for a run that this commit creates.
    pub run: Option<(RunId, Sequence)>,
    /// The owner who commits; see [`crate::Store::epoch`].
    pub epoch: Option<u64>,
}

impl Preconditions {
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    #[error("run {0} exists already")]
    RunExists(RunId),
    #[error("there is no run {0}")]
    RunMissing(RunId),
    #[error("the journal of {run} goes on with {expected}, not {got}")]
    Gap { run: RunId, expected: Sequence, got: Sequence },
    #[error("the journal of {run} ends with {found}, not {wanted}")]
    SequenceMoved { run: RunId, wanted: Sequence, found: Sequence },
    #[error("owner {got} was replaced by owner {current}")]
    EpochMoved { current: u64, got: u64 },
    #[error("run {run} has outcome {number} already")]
    OutcomeExists { run: RunId, number: u32 },
    #[error("there is no workflow {0}")]
    WorkflowMissing(WorkflowKey),
    #[error(
        "the journal of {run} cannot be forgotten up to {through}: it is not followed from there"
    )]
    JournalKept { run: RunId, through: Sequence },
    #[error("run {0} has not ended")]
    RunGoesOn(RunId),
    #[error("the outbox of the stream {} does not allow that", .0.name())]
    OutboxKept(Stream),
    #[error("order {0} has a receipt already")]
    ReceiptExists(OrderId),
    #[error("order {0} is not open")]
    OrderClosed(OrderId),
    #[error("there is no site {0}")]
    SiteMissing(SiteName),
    #[error("the token is spent: used, out of time, or never given")]
    TokenSpent,
    #[error("the pages of calls go on with {expected}, not {found}")]
    CallGap { expected: u64, found: u64 },
    #[error("the bytes given for blob {0} are not its content")]
    BlobDiffers(BlobId),
    #[error("blob {0} was not written before the commit that refers to it")]
    BlobMissing(BlobId),
    #[error("the disk is full; free some space and try again")]
    Full,
    #[error("the store is closed")]
    Closed,
    #[error("cannot write: {0}")]
    Write(String),
}
