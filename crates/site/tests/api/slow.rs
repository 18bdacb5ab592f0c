//! A store that is slow: starts slow down, nobody else is held up, and nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::name::WorkflowKey;
use base::{Digest, IncarnationId, Namespace, RunId, Timestamp};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use isonomy_site::Config;
use serde_json::json;
use store::{
    Answer, BlobId, BlobWrite, ChangeRow, CommitError, EndedQuery, Entry, EventQuery, EventRow,
    JournalKept, LogRow, LongRow, Op, OutcomeRow, Preconditions, Reclaimed, RevisionRow, RunQuery,
    RunRow, RunState, ScheduleRow, Sequence, Snapshot, Store, StoreError, StretchRow, WakeCursor,
    WorkflowRow,
};
use tokio::sync::{Notify, Semaphore};

use crate::place::{Place, memory};

/// Writes when the test lets it.
struct Slow {
    inner: Arc<dyn Store>,
    gate: Semaphore,
    waiting: AtomicUsize,
    changed: Notify,
}

impl Slow {
    /// Until so many commits wait.
    async fn waits(&self, commits: usize) {
        loop {
            let changed = self.changed.notified();
            if self.waiting.load(Ordering::SeqCst) >= commits {
                return;
            }
            changed.await;
        }
    }
}

impl Store for Slow {
    fn commit(
        &self,
        ops: Vec<Op>,
        preconditions: Preconditions,
    ) -> BoxFuture<'_, Result<(), CommitError>> {
        async move {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            self.changed.notify_waiters();
            self.gate.acquire().await.expect("never closed").forget();
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            self.inner.commit(ops, preconditions).await
        }
        .boxed()
    }

    fn incarnation(&self) -> IncarnationId {
        self.inner.incarnation()
    }

    fn epoch(&self) -> u64 {
        self.inner.epoch()
    }

    fn run_get(&self, run: RunId) -> Answer<'_, Option<RunRow>> {
        self.inner.run_get(run)
    }

    fn run_list(&self, query: RunQuery) -> Answer<'_, Vec<RunRow>> {
        self.inner.run_list(query)
    }

    fn run_unfinished(&self, after: Option<RunId>, limit: u32) -> Answer<'_, Vec<RunRow>> {
        self.inner.run_unfinished(after, limit)
    }

    fn run_due(
        &self,
        now: Timestamp,
        after: Option<WakeCursor>,
        limit: u32,
    ) -> Answer<'_, Vec<RunRow>> {
        self.inner.run_due(now, after, limit)
    }

    fn run_wake_next(&self, after: Option<WakeCursor>) -> Answer<'_, Option<Timestamp>> {
        self.inner.run_wake_next(after)
    }

    fn run_count(&self) -> Answer<'_, Vec<(RunState, u64)>> {
        self.inner.run_count()
    }

    fn journal_read(&self, run: RunId, after: Sequence, limit: u32) -> Answer<'_, Vec<Entry>> {
        self.inner.journal_read(run, after, limit)
    }

    fn snapshot_get(&self, run: RunId) -> Answer<'_, Option<Snapshot>> {
        self.inner.snapshot_get(run)
    }

    fn blob_get(&self, blob: BlobId) -> Answer<'_, Option<Bytes>> {
        self.inner.blob_get(blob)
    }

    fn workflow_get(&self, key: WorkflowKey) -> Answer<'_, Option<WorkflowRow>> {
        self.inner.workflow_get(key)
    }

    fn workflow_list(
        &self,
        namespace: Option<Namespace>,
        after: Option<WorkflowKey>,
        limit: u32,
    ) -> Answer<'_, Vec<WorkflowRow>> {
        self.inner.workflow_list(namespace, after, limit)
    }

    fn revision_get(&self, key: WorkflowKey, revision: Digest) -> Answer<'_, Option<RevisionRow>> {
        self.inner.revision_get(key, revision)
    }

    fn revision_list(&self, key: WorkflowKey, limit: u32) -> Answer<'_, Vec<RevisionRow>> {
        self.inner.revision_list(key, limit)
    }

    fn outcome_list(&self, after: u64, limit: u32) -> Answer<'_, Vec<OutcomeRow>> {
        self.inner.outcome_list(after, limit)
    }

    fn change_list(&self, after: u64, limit: u32) -> Answer<'_, Vec<ChangeRow>> {
        self.inner.change_list(after, limit)
    }

    fn schedule_get(&self, key: WorkflowKey) -> Answer<'_, Vec<ScheduleRow>> {
        self.inner.schedule_get(key)
    }

    fn schedule_list(
        &self,
        after: Option<(WorkflowKey, String)>,
        limit: u32,
    ) -> Answer<'_, Vec<ScheduleRow>> {
        self.inner.schedule_list(after, limit)
    }

    fn schedule_due(&self, now: Timestamp, limit: u32) -> Answer<'_, Vec<ScheduleRow>> {
        self.inner.schedule_due(now, limit)
    }

    fn schedule_next(&self) -> Answer<'_, Option<Timestamp>> {
        self.inner.schedule_next()
    }

    fn event_list(&self, query: EventQuery) -> Answer<'_, Vec<EventRow>> {
        self.inner.event_list(query)
    }

    fn event_last(&self) -> u64 {
        self.inner.event_last()
    }

    fn log_list(&self, run: RunId, after: u64, limit: u32) -> Answer<'_, Vec<LogRow>> {
        self.inner.log_list(run, after, limit)
    }

    fn blob_read(&self, blob: BlobId, offset: u64, bytes: u64) -> Answer<'_, Option<Bytes>> {
        self.inner.blob_read(blob, offset, bytes)
    }

    fn blob_begin(&self) -> Result<Box<dyn BlobWrite>, StoreError> {
        self.inner.blob_begin()
    }

    fn outcome_of(&self, run: RunId, after: u32, limit: u32) -> Answer<'_, Vec<OutcomeRow>> {
        self.inner.outcome_of(run, after, limit)
    }

    fn event_emitted(&self, run: RunId, after: u64, limit: u32) -> Answer<'_, Vec<EventRow>> {
        self.inner.event_emitted(run, after, limit)
    }

    fn event_named(
        &self,
        namespace: Namespace,
        source: String,
        id: String,
    ) -> Answer<'_, Option<EventRow>> {
        self.inner.event_named(namespace, source, id)
    }

    fn journal_kept(&self, run: RunId) -> Answer<'_, JournalKept> {
        self.inner.journal_kept(run)
    }

    fn stretch_list(&self, run: RunId, after: Sequence, limit: u32) -> Answer<'_, Vec<StretchRow>> {
        self.inner.stretch_list(run, after, limit)
    }

    fn journal_long(&self, records: u64, limit: u32) -> Answer<'_, Vec<LongRow>> {
        self.inner.journal_long(records, limit)
    }

    fn run_ended(&self, query: EndedQuery) -> Answer<'_, Vec<RunRow>> {
        self.inner.run_ended(query)
    }

    fn run_ended_key(&self, after: Option<WorkflowKey>) -> Answer<'_, Option<WorkflowKey>> {
        self.inner.run_ended_key(after)
    }

    fn clear_count(&self) -> Answer<'_, u64> {
        self.inner.clear_count()
    }

    fn reclaim(&self, bytes: u64) -> Answer<'_, Reclaimed> {
        self.inner.reclaim(bytes)
    }
}

const RUNS: &str = "/api/v1/namespaces/default/runs";

/// Mutation: let any number of starts wait for the store, or take connections from those who only
/// read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_store_slows_starts_and_nothing_else() {
    /// As the site has it.
    const STARTS: usize = 256;
    let slow = Arc::new(Slow {
        inner: memory(),
        gate: Semaphore::new(0),
        waiting: AtomicUsize::new(0),
        changed: Notify::new(),
    });
    let place = Place::with(Arc::clone(&slow) as Arc<dyn Store>, Config::default()).await;
    slow.gate.add_permits(1);
    place.given("greet", "  - a: {set: {x: 1}}").await;
    let body = json!({"workflow": "greet"});
    let (starting, judged) =
        tokio::join!(join_all((0..STARTS).map(|_| place.post(RUNS, &body))), async {
            slow.waits(STARTS).await;
            let refused = place.post(RUNS, &body).await;
            let listed = place.get(RUNS).await;
            slow.gate.add_permits(10 * STARTS);
            (refused, listed)
        });
    let (refused, listed) = judged;
    assert_eq!((refused.status, refused.problem().as_str()), (429, "API-006"));
    assert!(refused.head.contains("retry-after: 1"), "{}", refused.head);
    assert_eq!(listed.status, 200, "who only reads is answered meanwhile");
    assert!(starting.iter().all(|reply| reply.status == 201), "everybody else is served");
    assert_eq!(place.post(RUNS, &body).await.status, 201);
    place.stop().await;
}
