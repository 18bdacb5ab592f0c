//! A store in memory, for tests, simulations and runs that nobody wants to keep.
//!
//! It means the same as SQLite in everything but durability; the [`crate::suite`] holds both to
//! that. A commit is decided first and applied after, so that a refused one leaves nothing.

mod apply;
mod call;
mod forget;
mod link;
mod resource;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard};

use base::name::WorkflowKey;
use base::stream::{PerStream, Stream};
use base::{Digest, IncarnationId, Namespace, RunId, SiteName, Timestamp};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _, ready};

use crate::{
    Answer, BlobId, BlobRef, BlobWrite, CallPage, ChangeRow, CommitError, EndedQuery, Entry,
    EntryRow, EventLimits, EventQuery, EventRow, EventsKept, JournalKept, LogRow, LongRow, Op,
    OrderRow, OutboxRow, OutcomeRow, Preconditions, ReceiptRow, Reclaimed, ResourceKind,
    RevisionRow, RunQuery, RunRow, RunState, ScheduleRow, Sequence, SiteRow, Snapshot, Store,
    StretchRow, TokenRow, WakeCursor, WorkflowRow,
};

/// One opening of a store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    kept: Arc<Mutex<Kept>>,
    incarnation: IncarnationId,
    epoch: u64,
    door: Option<Door>,
}

/// What a commit waits for.
#[derive(Clone)]
struct Door(Arc<dyn Fn() -> Passed + Send + Sync>);

/// Whether the commit goes on.
type Passed = BoxFuture<'static, Result<(), CommitError>>;

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Door")
    }
}

/// What outlives an opening.
#[derive(Debug, Clone, Default)]
struct Kept {
    epoch: u64,
    runs: BTreeMap<RunId, Run>,
    blobs: HashMap<BlobId, Bytes>,
    /// Blobs that somebody who is no run refers to.
    pinned: HashSet<BlobId>,
    /// Content that no commit has kept yet.
    written: HashMap<BlobId, Bytes>,
    workflows: BTreeMap<WorkflowKey, WorkflowRow>,
    /// In the order of the puts.
    revisions: HashMap<WorkflowKey, Vec<RevisionRow>>,
    outcomes: Vec<OutcomeRow>,
    changes: Vec<ChangeRow>,
    link: Option<Bytes>,
    outboxes: HashMap<Stream, OutboxRow>,
    /// The newest position of each.
    last: PerStream<u64>,
    receipts: Vec<ReceiptRow>,
    orders: Vec<OrderRow>,
    order_last: u64,
    sites: BTreeMap<SiteName, SiteRow>,
    entries: Vec<EntryRow>,
    /// Where an entry is.
    entry_places: HashMap<(SiteName, Stream, Bytes), usize>,
    entries_beside: Vec<EntryRow>,
    tokens: HashMap<Digest, TokenRow>,
    resources: BTreeMap<(ResourceKind, String), Bytes>,
    log_position: u64,
    schedules: BTreeMap<(WorkflowKey, String), ScheduleRow>,
    events: Events,
    /// Oldest first.
    calls: VecDeque<CallPage>,
}

#[derive(Debug, Clone, Default)]
struct Events {
    limits: EventLimits,
    rows: VecDeque<EventRow>,
    /// Namespace, source and id of those that are kept.
    known: HashSet<(Namespace, String, String)>,
    bytes: u64,
    last: u64,
}

#[derive(Debug, Clone)]
struct Run {
    row: RunRow,
    journal: BTreeMap<Sequence, Bytes>,
    /// Where the journal can be followed from.
    starts: BTreeMap<Sequence, Bytes>,
    stretches: Vec<StretchRow>,
    refers: BTreeSet<(Sequence, BlobId)>,
    snapshot: Option<Snapshot>,
    /// Numbers of its outcomes.
    outcomes: BTreeSet<u32>,
    log: VecDeque<LogRow>,
}

impl MemoryStore {
    #[must_use]
    pub fn new(incarnation: IncarnationId) -> Self {
        let kept = Kept { epoch: 1, ..Kept::default() };
        Self { kept: Arc::new(Mutex::new(kept)), incarnation, epoch: 1, door: None }
    }

    /// Keeps as many events as `limits` say.
    #[must_use]
    pub fn with_event_limits(self, limits: EventLimits) -> Self {
        self.kept().events.limits = limits;
        self
    }

    /// Has each commit wait for what `door` gives, as for a slow disk, and fail where that has.
    #[must_use]
    pub fn behind(self, door: impl Fn() -> Passed + Send + Sync + 'static) -> Self {
        Self { door: Some(Door(Arc::new(door))), ..self }
    }

    /// Opens the same content again, as after a crash: every commit by an earlier opening is
    /// refused from now on.
    #[must_use]
    pub fn reopen(&self) -> Self {
        let mut kept = self.kept();
        kept.epoch += 1;
        let epoch = kept.epoch;
        drop(kept);
        let (kept, door) = (Arc::clone(&self.kept), self.door.clone());
        Self { kept, incarnation: self.incarnation, epoch, door }
    }

    /// All that is in it as a store of its own, as on a disk that was copied.
    #[must_use]
    pub fn copy(&self, incarnation: IncarnationId) -> Self {
        let kept = Arc::new(Mutex::new(self.kept().clone()));
        Self { kept, incarnation, epoch: self.epoch, door: self.door.clone() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("nothing panics while it holds the store")
    }

    fn ask<'a, T: Send + 'a>(&'a self, question: impl FnOnce(&Kept) -> T) -> Answer<'a, T> {
        ready(Ok(question(&self.kept()))).boxed()
    }
}

/// Content that is being written.
struct Writing {
    kept: Arc<Mutex<Kept>>,
    bytes: Vec<u8>,
}

impl BlobWrite for Writing {
    fn write(&mut self, bytes: &[u8]) -> Result<(), CommitError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<BlobRef, CommitError> {
        let (blob, size) = (Digest::of(&self.bytes), self.bytes.len() as u64);
        let mut kept = self.kept.lock().expect("nothing panics while it holds the store");
        kept.written.insert(blob, self.bytes.into());
        Ok(BlobRef { blob, bytes: size })
    }
}

impl Events {
    fn append(&mut self, row: EventRow) {
        let key = (row.namespace.clone(), row.source.clone(), row.id.clone());
        if !self.known.insert(key) {
            return;
        }
        self.last += 1;
        self.bytes += row.event.len() as u64;
        self.rows.push_back(EventRow { position: self.last, ..row });
        self.forget(self.limits, self.last, u32::MAX);
    }

    fn kept(&self) -> EventsKept {
        let oldest = self.rows.front().map_or(self.last, |row| row.position);
        EventsKept { oldest, newest: self.last, bytes: self.bytes }
    }

    /// The newest one stays, however large.
    fn forget(&mut self, kept: EventLimits, needed: u64, rows: u32) {
        for _ in 0..rows {
            let until = needed.min(self.last);
            if !self.kept().exceeds(kept) {
                return;
            }
            let Some(oldest) = self.rows.pop_front_if(|row| row.position < until) else { return };
            self.bytes -= oldest.event.len() as u64;
            self.known.remove(&(oldest.namespace, oldest.source, oldest.id));
        }
    }

    fn list(&self, query: &EventQuery) -> Vec<EventRow> {
        let rows = self.rows.iter().filter(|row| event_matches(query, row)).cloned();
        if query.newest_first { page(rows.rev(), query.limit) } else { page(rows, query.limit) }
    }
}

fn event_matches(query: &EventQuery, row: &EventRow) -> bool {
    let same = |wanted: &Option<String>, found: Option<&String>| {
        wanted.as_ref().is_none_or(|wanted| found == Some(wanted))
    };
    query.namespace == row.namespace
        && row.position > query.after
        && query.before.is_none_or(|before| row.position < before)
        && (query.kinds.is_empty() || query.kinds.contains(&row.kind))
        && query.kind_prefix.as_ref().is_none_or(|prefix| row.kind.starts_with(prefix))
        && same(&query.source, Some(&row.source))
        && same(&query.subject, row.subject.as_ref())
        && query.run.is_none_or(|run| row.run == Some(run))
        && query.since.is_none_or(|since| row.at >= since)
}

impl Run {
    fn new(row: RunRow) -> Self {
        Self {
            row,
            journal: BTreeMap::new(),
            starts: BTreeMap::new(),
            stretches: Vec::new(),
            refers: BTreeSet::new(),
            snapshot: None,
            outcomes: BTreeSet::new(),
            log: VecDeque::new(),
        }
    }

    fn last(&self) -> Sequence {
        self.journal.last_key_value().map_or(Sequence::ZERO, |(last, _)| *last)
    }
}

fn matches(query: &RunQuery, row: &RunRow) -> bool {
    query.namespace.as_ref().is_none_or(|namespace| *namespace == row.key.namespace)
        && query.workflow.as_ref().is_none_or(|name| *name == row.key.name)
        && (query.states.is_empty() || query.states.contains(&row.state))
        && query.oldest.is_none_or(|oldest| row.run >= oldest)
        && query.after.is_none_or(|after| row.run < after)
}

/// When the run wants to be woken, if anything may wake it.
fn wake(row: &RunRow) -> Option<Timestamp> {
    let asleep = row.state.has_ended() || row.state == RunState::Suspended;
    row.wake_at.filter(|_| !asleep)
}

fn page<T>(rows: impl Iterator<Item = T>, limit: u32) -> Vec<T> {
    rows.take(limit as usize).collect()
}

impl Store for MemoryStore {
    fn incarnation(&self) -> IncarnationId {
        self.incarnation
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn commit(
        &self,
        ops: Vec<Op>,
        preconditions: Preconditions,
    ) -> BoxFuture<'_, Result<(), CommitError>> {
        let commit = async move {
            if let Some(Door(wait)) = &self.door {
                wait().await?;
            }
            let mut kept = self.kept();
            kept.admit(&ops, &preconditions, self.epoch)?;
            ops.into_iter().for_each(|op| kept.apply(op));
            Ok(())
        };
        commit.boxed()
    }

    fn run_get(&self, run: RunId) -> Answer<'_, Option<RunRow>> {
        self.ask(|kept| kept.runs.get(&run).map(|run| run.row.clone()))
    }

    fn run_list(&self, query: RunQuery) -> Answer<'_, Vec<RunRow>> {
        self.ask(|kept| {
            let newest_first = kept.runs.values().rev().map(|run| &run.row);
            page(newest_first.filter(|row| matches(&query, row)).cloned(), query.limit)
        })
    }

    fn run_unfinished(&self, after: Option<RunId>, limit: u32) -> Answer<'_, Vec<RunRow>> {
        self.ask(|kept| {
            let rows = kept.runs.values().map(|run| &run.row);
            let rows = rows.filter(|row| after.is_none_or(|after| row.run > after));
            page(rows.filter(|row| !row.state.has_ended()).cloned(), limit)
        })
    }

    fn run_due(
        &self,
        now: Timestamp,
        after: Option<WakeCursor>,
        limit: u32,
    ) -> Answer<'_, Vec<RunRow>> {
        self.ask(|kept| {
            let rows = kept.runs.values().filter_map(|run| Some((wake(&run.row)?, &run.row)));
            let mut due: Vec<_> = rows.filter(|(at, _)| *at <= now).collect();
            due.retain(|(at, row)| after.is_none_or(|after| (*at, row.run) > after));
            due.sort_by_key(|(at, row)| (*at, row.run));
            page(due.into_iter().map(|(_, row)| row.clone()), limit)
        })
    }

    fn run_wake_next(&self, after: Option<WakeCursor>) -> Answer<'_, Option<Timestamp>> {
        self.ask(|kept| {
            let sleeping =
                kept.runs.values().filter_map(|run| Some((wake(&run.row)?, run.row.run)));
            sleeping.filter(|it| after.is_none_or(|after| *it > after)).map(|(at, _)| at).min()
        })
    }

    fn run_count(&self) -> Answer<'_, Vec<(RunState, u64)>> {
        self.ask(|kept| {
            let mut counts = BTreeMap::new();
            for run in kept.runs.values() {
                *counts.entry(run.row.state).or_insert(0) += 1;
            }
            counts.into_iter().collect()
        })
    }

    fn journal_read(&self, run: RunId, after: Sequence, limit: u32) -> Answer<'_, Vec<Entry>> {
        self.ask(|kept| {
            let journal =
                kept.runs.get(&run).map(|run| run.journal.range((Excluded(after), Unbounded)));
            let entries = journal.into_iter().flatten();
            let entries = entries
                .map(|(sequence, record)| Entry { sequence: *sequence, record: record.clone() });
            page(entries, limit)
        })
    }

    fn snapshot_get(&self, run: RunId) -> Answer<'_, Option<Snapshot>> {
        self.ask(|kept| kept.runs.get(&run)?.snapshot.clone())
    }

    fn blob_get(&self, blob: BlobId) -> Answer<'_, Option<Bytes>> {
        self.ask(|kept| kept.blobs.get(&blob).cloned())
    }

    fn blob_read(&self, blob: BlobId, offset: u64, bytes: u64) -> Answer<'_, Option<Bytes>> {
        self.ask(|kept| {
            let all = kept.blobs.get(&blob)?;
            let from = usize::try_from(offset).map_or(all.len(), |from| from.min(all.len()));
            let length = usize::try_from(bytes).unwrap_or(usize::MAX).min(all.len() - from);
            Some(all.slice(from..from + length))
        })
    }

    fn blob_begin(&self) -> Result<Box<dyn BlobWrite>, CommitError> {
        Ok(Box::new(Writing { kept: Arc::clone(&self.kept), bytes: Vec::new() }))
    }

    fn workflow_get(&self, key: WorkflowKey) -> Answer<'_, Option<WorkflowRow>> {
        self.ask(|kept| kept.workflows.get(&key).cloned())
    }

    fn workflow_list(
        &self,
        namespace: Option<Namespace>,
        after: Option<WorkflowKey>,
        limit: u32,
    ) -> Answer<'_, Vec<WorkflowRow>> {
        self.ask(|kept| {
            let rows = kept.workflows.values().filter(|row| {
                row.deleted_at.is_none()
                    && namespace.as_ref().is_none_or(|namespace| *namespace == row.key.namespace)
                    && after.as_ref().is_none_or(|after| row.key > *after)
            });
            page(rows.cloned(), limit)
        })
    }

    fn revision_get(&self, key: WorkflowKey, revision: Digest) -> Answer<'_, Option<RevisionRow>> {
        self.ask(|kept| {
            let revisions = kept.revisions.get(&key)?;
            revisions.iter().find(|row| row.revision == revision).cloned()
        })
    }

    fn revision_list(&self, key: WorkflowKey, limit: u32) -> Answer<'_, Vec<RevisionRow>> {
        self.ask(|kept| {
            let revisions = kept.revisions.get(&key).map(Vec::as_slice).unwrap_or_default();
            page(revisions.iter().rev().cloned(), limit)
        })
    }

    fn outcome_list(&self, after: u64, limit: u32) -> Answer<'_, Vec<OutcomeRow>> {
        self.ask(|kept| {
            let from = kept.outcomes.partition_point(|row| row.position <= after);
            page(kept.outcomes[from..].iter().cloned(), limit)
        })
    }

    fn outcome_of(&self, run: RunId, after: u32, limit: u32) -> Answer<'_, Vec<OutcomeRow>> {
        self.ask(|kept| {
            let of_run = |row: &&OutcomeRow| row.run == run && row.number > after;
            let rows = kept.outcomes.iter().filter(|_| kept.runs.contains_key(&run));
            let mut rows: Vec<_> = rows.filter(of_run).cloned().collect();
            rows.sort_by_key(|row| row.number);
            page(rows.into_iter(), limit)
        })
    }

    fn change_list(&self, after: u64, limit: u32) -> Answer<'_, Vec<ChangeRow>> {
        self.ask(|kept| {
            let rows = kept.changes.iter().filter(|row| row.position > after);
            page(rows.cloned(), limit)
        })
    }

    fn schedule_get(&self, key: WorkflowKey) -> Answer<'_, Vec<ScheduleRow>> {
        self.ask(|kept| kept.schedules.values().filter(|row| row.key == key).cloned().collect())
    }

    fn schedule_list(
        &self,
        after: Option<(WorkflowKey, String)>,
        limit: u32,
    ) -> Answer<'_, Vec<ScheduleRow>> {
        self.ask(|kept| {
            let rows = kept.schedules.iter();
            let rows = rows.filter(|(name, _)| after.as_ref().is_none_or(|after| *name > after));
            page(rows.map(|(_, row)| row.clone()), limit)
        })
    }

    fn schedule_due(&self, now: Timestamp, limit: u32) -> Answer<'_, Vec<ScheduleRow>> {
        self.ask(|kept| {
            let is_due = |row: &&ScheduleRow| row.next_at.is_some_and(|at| at <= now);
            let mut due: Vec<&ScheduleRow> = kept.schedules.values().filter(is_due).collect();
            // Stable: those of one time stay in the order of their names.
            due.sort_by_key(|row| row.next_at);
            page(due.into_iter().cloned(), limit)
        })
    }

    fn schedule_next(&self) -> Answer<'_, Option<Timestamp>> {
        self.ask(|kept| kept.schedules.values().filter_map(|row| row.next_at).min())
    }

    fn event_list(&self, query: EventQuery) -> Answer<'_, Vec<EventRow>> {
        self.ask(|kept| kept.events.list(&query))
    }

    fn event_emitted(&self, run: RunId, after: u64, limit: u32) -> Answer<'_, Vec<EventRow>> {
        self.ask(|kept| {
            let emitted = |row: &&EventRow| row.run == Some(run) && row.number > after;
            let mut rows: Vec<_> = kept.events.rows.iter().filter(emitted).cloned().collect();
            rows.sort_by_key(|row| row.number);
            page(rows.into_iter(), limit)
        })
    }

    fn event_named(
        &self,
        namespace: Namespace,
        source: String,
        id: String,
    ) -> Answer<'_, Option<EventRow>> {
        self.ask(|kept| {
            let named = |row: &&EventRow| {
                let can_be_doubled = row.run.is_none() || row.number > 0;
                can_be_doubled
                    && (&row.namespace, &row.source, &row.id) == (&namespace, &source, &id)
            };
            kept.events.rows.iter().find(named).cloned()
        })
    }

    fn event_kept(&self) -> Answer<'_, EventsKept> {
        self.ask(|kept| kept.events.kept())
    }

    fn event_last(&self) -> u64 {
        self.kept().events.last
    }

    fn log_list(&self, run: RunId, after: u64, limit: u32) -> Answer<'_, Vec<LogRow>> {
        self.ask(|kept| {
            let log = kept.runs.get(&run).map(|run| run.log.iter()).unwrap_or_default();
            page(log.filter(|row| row.position > after).cloned(), limit)
        })
    }

    fn journal_kept(&self, run: RunId) -> Answer<'_, JournalKept> {
        self.ask(|kept| kept.runs.get(&run).map(Run::kept).unwrap_or_default())
    }

    fn stretch_list(&self, run: RunId, after: Sequence, limit: u32) -> Answer<'_, Vec<StretchRow>> {
        self.ask(|kept| {
            let rows = kept.runs.get(&run).map(|run| run.stretches.iter()).unwrap_or_default();
            page(rows.filter(|row| row.last > after).cloned(), limit)
        })
    }

    fn journal_long(&self, records: u64, limit: u32) -> Answer<'_, Vec<LongRow>> {
        self.ask(|kept| page(kept.runs.values().filter_map(|run| run.long(records)), limit))
    }

    fn run_ended(&self, query: EndedQuery) -> Answer<'_, Vec<RunRow>> {
        self.ask(|kept| kept.run_ended(&query))
    }

    fn run_ended_key(&self, after: Option<WorkflowKey>) -> Answer<'_, Option<WorkflowKey>> {
        self.ask(|kept| {
            let ended = kept.runs.values().filter(|run| run.row.ended_at.is_some());
            let keys = ended.map(|run| &run.row.key);
            keys.filter(|key| after.as_ref().is_none_or(|after| *key > after)).min().cloned()
        })
    }

    fn read_ahead(&self, _ops: Vec<Op>) -> Answer<'_, ()> {
        self.ask(|_| ())
    }

    fn clear_is_due(&self) -> Answer<'_, bool> {
        self.ask(|_| false)
    }

    fn reclaim(&self, _bytes: u64) -> Answer<'_, Reclaimed> {
        self.ask(|_| Reclaimed::default())
    }
}
