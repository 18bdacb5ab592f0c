//! The store on SQLite: one file, one writer, a few readers.
//!
//! What a store means is in `store`; the tables and the rules of durability are described in
//! `docs/spec/store.md`. Here are the thread of the writer (`writer`, `apply`), the threads of the
//! readers (`reader` and one file a noun), the files beside the database (`folder`, `blob`,
//! `ballast`) and what ties them together.

mod apply;
mod backup;
mod ballast;
mod blob;
mod call;
mod change;
mod convert;
mod event;
mod fleet;
mod folder;
mod forget;
mod heads;
mod inbox;
mod journal;
mod link;
mod log;
mod open;
mod outcome;
mod read_ahead;
mod reader;
mod resource;
mod run;
mod run_list;
mod schedule;
mod stats;
mod stream;
mod tail;
mod upkeep;
mod verify;
mod workflow;
mod writer;

pub use backup::{RenewError, renew};
pub use open::{DATABASE_FILE, OpenError, OpenOptions};
pub use stats::StoreStats;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use base::limits::BLOB_ROW_BYTES_MAX;
use base::name::WorkflowKey;
use base::stream::Stream;
use base::{Digest, IncarnationId, Namespace, OrderId, RunId, SiteName, Timestamp};
use bytes::Bytes;
use futures::channel::oneshot;
use futures::future::{BoxFuture, FutureExt as _};
use store::{
    Answer, BlobId, BlobWrite, CallPage, CallStore, ChangeRow, CommitError, EndedQuery, Entry,
    EntryRow, EventQuery, EventRow, EventsKept, FleetStore, JournalKept, LinkStore, LogRow,
    LongRow, Op, OrderRow, OrdersOf, OutboxRow, OutcomeRow, Preconditions, ReceiptRow, Reclaimed,
    ResourceKind, ResourceRow, ResourceStore, RevisionRow, RunQuery, RunRow, RunState, ScheduleRow,
    Sequence, SiteRow, Snapshot, Store, StoreError, StretchRow, TokenRow, WakeCursor, WorkflowRow,
};
use tokio::sync::mpsc;

use ballast::Ballast;
use blob::{BlobFiles, Held};
use folder::Lock;
use reader::Readers;
use stats::Counters;
use tail::SharedTail;
use upkeep::LongReads;
use writer::{Command, Commit, Desk, QUEUE_COMMITS_MAX};

/// An open store. Dropping it writes what waits and closes the file.
#[derive(Debug)]
pub struct SqliteStore {
    incarnation: IncarnationId,
    epoch: u64,
    readers: Readers,
    blobs: Arc<BlobFiles>,
    tail: Arc<SharedTail>,
    counters: Arc<Counters>,
    data: PathBuf,
    /// Jobs that hold the log for long.
    long_reads: LongReads,
    /// Position of the newest event that is committed.
    event_last: Arc<AtomicU64>,
    /// `None` only while this is dropped.
    commits: Option<mpsc::Sender<Command>>,
    /// Done when the writer has ended.
    ended: futures::future::Shared<BoxFuture<'static, Result<(), oneshot::Canceled>>>,
    writer: Option<JoinHandle<()>>,
    /// Last, so that it is given up when nothing uses the files any more.
    _lock: Lock,
}

impl SqliteStore {
    /// Opens the store in `data`, making it where there is none. Blocks while it reads; a few
    /// milliseconds, after a crash a few more.
    pub fn open(data: &Path, options: OpenOptions) -> Result<Self, OpenError> {
        let opened = open::open(data, &options)?;
        let counters = Arc::new(Counters::default());
        let blobs = BlobFiles::open(data, Arc::clone(&counters), options.on_fatal)
            .map_err(|cause| OpenError::Folder { path: data.join("blobs"), cause })?;
        let blobs = Arc::new(blobs);
        let tail = Arc::new(SharedTail::new(opened.tail));
        let event_last = Arc::new(AtomicU64::new(opened.event_newest.position));
        let long_reads = LongReads::default();
        let desk = Desk {
            epoch: opened.epoch,
            tail: Arc::clone(&tail),
            counters: Arc::clone(&counters),
            ballast: Ballast::open(data),
            blobs: Arc::clone(&blobs),
            event_last: Arc::clone(&event_last),
            event_newest: opened.event_newest,
            event_limits: options.events,
            long_reads: long_reads.clone(),
            rest_after: options.rest_after,
            on_rest: options.on_rest,
            on_fatal: options.on_fatal,
        };
        let (commits, queue) = mpsc::channel(QUEUE_COMMITS_MAX);
        let (end, ended) = oneshot::channel();
        let db = opened.writer;
        let (started, start) = std::sync::mpsc::channel();
        let serve = move || {
            // Whoever opens waits for it.
            writer::serve(&db, desk, queue, |result| drop(started.send(result)));
            // Closed before anyone hears of it: the files may be moved or deleted then.
            drop(db);
            let _ = end.send(());
        };
        let thread = std::thread::Builder::new().name("store-writer".to_owned());
        let writer = thread.spawn(serve).map_err(OpenError::Threads)?;
        if let Ok(Err(cause)) = start.recv() {
            return Err(open::of_sql(&data.join(DATABASE_FILE), &cause));
        }
        Ok(Self {
            incarnation: opened.incarnation,
            epoch: opened.epoch,
            readers: Readers::start(opened.readers).map_err(OpenError::Threads)?,
            blobs,
            tail,
            counters,
            data: data.to_owned(),
            long_reads,
            event_last,
            commits: Some(commits),
            ended: ended.boxed().shared(),
            writer: Some(writer),
            _lock: opened.lock,
        })
    }

    /// Opens the store in `data` to be read, and changes nothing: not the epoch either. Commits are
    /// refused as [`CommitError::Closed`].
    pub fn look(data: &Path) -> Result<Self, OpenError> {
        let opened = open::look(data, OpenOptions::default().readers)?;
        let counters = Arc::new(Counters::default());
        let (commits, _) = mpsc::channel(1);
        Ok(Self {
            incarnation: opened.incarnation,
            epoch: opened.epoch,
            readers: Readers::start(opened.readers).map_err(OpenError::Threads)?,
            blobs: Arc::new(BlobFiles::look(data, Arc::clone(&counters))),
            tail: Arc::new(SharedTail::new(opened.tail)),
            counters,
            data: data.to_owned(),
            long_reads: LongReads::default(),
            event_last: Arc::new(AtomicU64::new(opened.event_newest.position)),
            commits: Some(commits),
            ended: futures::future::ready(Ok(())).boxed().shared(),
            writer: None,
            _lock: opened.lock,
        })
    }

    /// Writes what waits, copies the log into the database file, and stops writing. Later commits
    /// are refused as [`CommitError::Closed`]; questions are answered as before.
    pub async fn close(&self) {
        // An error says that it is closed already.
        let _ = self.commits().send(Command::Close).await;
        let _ = self.ended.clone().await;
    }

    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let waiting = self.commits().max_capacity() - self.commits().capacity();
        self.counters.read(waiting as u64)
    }

    fn commits(&self) -> &mpsc::Sender<Command> {
        self.commits.as_ref().expect("present until this is dropped")
    }

    /// Checks the blobs of a commit and makes files of the large ones, before it is queued.
    async fn blobs_keep(&self, ops: &[Op]) -> Result<Vec<Held>, CommitError> {
        let mut held = Vec::new();
        for op in ops {
            let (blob, bytes) = match op {
                Op::BlobPut { blob, bytes } => (*blob, bytes),
                Op::BlobKeep { blob, size } => {
                    held.push(self.blobs.hold(*blob));
                    let (files, blob, size) = (Arc::clone(&self.blobs), *blob, *size);
                    let look = self.readers.ask("look for a blob", move |db| {
                        Ok::<_, Infallible>(files.is_kept(db, blob, size))
                    });
                    look.await.map_err(|_| CommitError::Closed)??;
                    continue;
                }
                _ => continue,
            };
            if bytes.len() <= BLOB_ROW_BYTES_MAX {
                if Digest::of(bytes) != blob {
                    return Err(CommitError::BlobDiffers(blob));
                }
                continue;
            }
            held.push(self.blobs.hold(blob));
            let (files, bytes) = (Arc::clone(&self.blobs), bytes.clone());
            // On a reader's thread: hashing and writing a large file takes its time.
            let keep = self
                .readers
                .ask("keep a blob", move |db| Ok::<_, Infallible>(files.keep(db, blob, &bytes)));
            keep.await.map_err(|_| CommitError::Closed)??;
        }
        Ok(held)
    }

    fn ask<T: Send + 'static, E: ToString + Send + 'static>(
        &self,
        what: &'static str,
        question: impl FnOnce(&rusqlite::Connection) -> Result<T, E> + Send + 'static,
    ) -> Answer<'_, T> {
        self.readers.ask(what, question).boxed()
    }
}

/// The blob whose file was written before the commit was made.
const fn kept_file(op: &Op) -> Option<BlobId> {
    match op {
        Op::BlobKeep { blob, .. } => Some(*blob),
        _ => None,
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.commits = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has said so on stderr.
            let _ = writer.join();
        }
    }
}

impl Store for SqliteStore {
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
            let held = self.blobs_keep(&ops).await?;
            let kept: Vec<BlobId> = ops.iter().filter_map(kept_file).collect();
            let (answer, answered) = oneshot::channel();
            let commit = Command::Commit(Commit { ops, preconditions, answer, _held: held });
            self.commits().send(commit).await.map_err(|_| CommitError::Closed)?;
            answered.await.unwrap_or(Err(CommitError::Closed))?;
            kept.into_iter().for_each(|blob| self.blobs.claim(blob));
            Ok(())
        };
        commit.boxed()
    }

    fn run_get(&self, run: RunId) -> Answer<'_, Option<RunRow>> {
        self.ask("read a run", move |db| run::get(db, run))
    }

    fn run_list(&self, query: RunQuery) -> Answer<'_, Vec<RunRow>> {
        self.ask("list runs", move |db| run_list::list(db, &query))
    }

    fn run_unfinished(&self, after: Option<RunId>, limit: u32) -> Answer<'_, Vec<RunRow>> {
        self.ask("list unfinished runs", move |db| run_list::unfinished(db, after, limit))
    }

    fn run_due(
        &self,
        now: Timestamp,
        after: Option<WakeCursor>,
        limit: u32,
    ) -> Answer<'_, Vec<RunRow>> {
        self.ask("list due runs", move |db| run::due(db, now, after, limit))
    }

    fn run_wake_next(&self, after: Option<WakeCursor>) -> Answer<'_, Option<Timestamp>> {
        self.ask("find the next run to wake", move |db| run::wake_next(db, after))
    }

    fn run_count(&self) -> Answer<'_, Vec<(RunState, u64)>> {
        self.ask("count runs", run::count)
    }

    fn journal_read(&self, run: RunId, after: Sequence, limit: u32) -> Answer<'_, Vec<Entry>> {
        let tail = Arc::clone(&self.tail);
        self.ask("read a journal", move |db| journal::read(db, &tail, run, after, limit))
    }

    fn snapshot_get(&self, run: RunId) -> Answer<'_, Option<Snapshot>> {
        self.ask("read a snapshot", move |db| journal::snapshot(db, run))
    }

    fn blob_get(&self, blob: BlobId) -> Answer<'_, Option<Bytes>> {
        let files = Arc::clone(&self.blobs);
        self.ask("read a blob", move |db| files.read(db, blob))
    }

    fn blob_read(&self, blob: BlobId, offset: u64, bytes: u64) -> Answer<'_, Option<Bytes>> {
        let files = Arc::clone(&self.blobs);
        self.ask("read a part of a blob", move |db| files.read_part(db, blob, offset, bytes))
    }

    fn blob_begin(&self) -> Result<Box<dyn BlobWrite>, CommitError> {
        Ok(Box::new(stream::BlobFile::begin(Arc::clone(&self.blobs))?))
    }

    fn workflow_get(&self, key: WorkflowKey) -> Answer<'_, Option<WorkflowRow>> {
        self.ask("read a workflow", move |db| workflow::get(db, &key))
    }

    fn workflow_list(
        &self,
        namespace: Option<Namespace>,
        after: Option<WorkflowKey>,
        limit: u32,
    ) -> Answer<'_, Vec<WorkflowRow>> {
        self.ask("list workflows", move |db| {
            workflow::list(db, namespace.as_ref(), after.as_ref(), limit)
        })
    }

    fn revision_get(&self, key: WorkflowKey, revision: Digest) -> Answer<'_, Option<RevisionRow>> {
        self.ask("read a revision", move |db| workflow::revision(db, &key, revision))
    }

    fn revision_list(&self, key: WorkflowKey, limit: u32) -> Answer<'_, Vec<RevisionRow>> {
        self.ask("list revisions", move |db| workflow::revision_list(db, &key, limit))
    }

    fn outcome_list(&self, after: u64, limit: u32) -> Answer<'_, Vec<OutcomeRow>> {
        self.ask("list outcomes", move |db| outcome::list(db, after, limit))
    }

    fn outcome_of(&self, run: RunId, after: u32, limit: u32) -> Answer<'_, Vec<OutcomeRow>> {
        self.ask("list the outcomes of a run", move |db| outcome::of_run(db, run, after, limit))
    }

    fn change_list(&self, after: u64, limit: u32) -> Answer<'_, Vec<ChangeRow>> {
        self.ask("list changes", move |db| change::list(db, after, limit))
    }

    fn schedule_get(&self, key: WorkflowKey) -> Answer<'_, Vec<ScheduleRow>> {
        self.ask("read the schedule of a workflow", move |db| schedule::get(db, &key))
    }

    fn schedule_list(
        &self,
        after: Option<(WorkflowKey, String)>,
        limit: u32,
    ) -> Answer<'_, Vec<ScheduleRow>> {
        self.ask("list schedules", move |db| schedule::list(db, after.as_ref(), limit))
    }

    fn schedule_due(&self, now: Timestamp, limit: u32) -> Answer<'_, Vec<ScheduleRow>> {
        self.ask("list due schedules", move |db| schedule::due(db, now, limit))
    }

    fn schedule_next(&self) -> Answer<'_, Option<Timestamp>> {
        self.ask("find the next schedule", schedule::next)
    }

    fn event_list(&self, query: EventQuery) -> Answer<'_, Vec<EventRow>> {
        self.ask("list events", move |db| event::list(db, &query))
    }

    fn event_emitted(&self, run: RunId, after: u64, limit: u32) -> Answer<'_, Vec<EventRow>> {
        self.ask("list what a run has emitted", move |db| event::emitted(db, run, after, limit))
    }

    fn event_named(
        &self,
        namespace: Namespace,
        source: String,
        id: String,
    ) -> Answer<'_, Option<EventRow>> {
        self.ask("find an event", move |db| event::named(db, &namespace, &source, &id))
    }

    fn event_kept(&self) -> Answer<'_, EventsKept> {
        self.ask("measure the events", event::kept)
    }

    fn event_last(&self) -> u64 {
        self.event_last.load(Ordering::Acquire)
    }

    fn log_list(&self, run: RunId, after: u64, limit: u32) -> Answer<'_, Vec<LogRow>> {
        self.ask("read a log", move |db| log::list(db, run, after, limit))
    }

    fn journal_kept(&self, run: RunId) -> Answer<'_, JournalKept> {
        self.ask("find the beginning of a journal", move |db| forget::kept(db, run))
    }

    fn stretch_list(&self, run: RunId, after: Sequence, limit: u32) -> Answer<'_, Vec<StretchRow>> {
        self.ask("read what is kept of a journal", move |db| {
            forget::stretches(db, run, after, limit)
        })
    }

    fn journal_long(&self, records: u64, limit: u32) -> Answer<'_, Vec<LongRow>> {
        self.ask("list long runs", move |db| forget::long(db, records, limit))
    }

    fn run_ended(&self, query: EndedQuery) -> Answer<'_, Vec<RunRow>> {
        self.ask("list runs that have ended", move |db| forget::ended(db, &query))
    }

    fn run_ended_key(&self, after: Option<WorkflowKey>) -> Answer<'_, Option<WorkflowKey>> {
        self.ask("list workflows of ended runs", move |db| forget::ended_key(db, after.as_ref()))
    }

    fn read_ahead(&self, ops: Vec<Op>) -> Answer<'_, ()> {
        self.ask("read ahead", move |db| read_ahead::read(db, &ops))
    }

    fn clear_is_due(&self) -> Answer<'_, bool> {
        self.ask("look for what is left of forgotten runs", forget::clear_is_due)
    }

    fn reclaim(&self, bytes: u64) -> Answer<'_, Reclaimed> {
        let failed = |cause: String| StoreError { what: "give room back to the disk", cause };
        let reclaim = async move {
            let (answer, answered) = oneshot::channel();
            let closed = || failed("the store is closed".to_owned());
            self.commits().send(Command::Reclaim(bytes, answer)).await.map_err(|_| closed())?;
            let reclaimed = answered.await.map_err(|_| closed())?;
            reclaimed.map_err(|cause| failed(cause.to_string()))
        };
        reclaim.boxed()
    }
}

impl LinkStore for SqliteStore {
    fn link_get(&self) -> Answer<'_, Option<Bytes>> {
        self.ask("read what is known of the hub", link::link_get)
    }

    fn outbox_get(&self, stream: Stream) -> Answer<'_, Option<OutboxRow>> {
        self.ask("read an outbox", move |db| link::outbox_get(db, stream))
    }

    fn outbox_last(&self, stream: Stream) -> Answer<'_, u64> {
        self.ask("find the end of an outbox", move |db| link::outbox_last(db, stream))
    }

    fn receipt_list(&self, after: u64, limit: u32) -> Answer<'_, Vec<ReceiptRow>> {
        self.ask("list receipts", move |db| link::receipt_list(db, after, limit))
    }

    fn receipt_get(&self, order: OrderId) -> Answer<'_, Option<ReceiptRow>> {
        self.ask("read a receipt", move |db| link::receipt_get(db, order))
    }

    fn order_get(&self, order: OrderId) -> Answer<'_, Option<OrderRow>> {
        self.ask("read an order", move |db| link::order_get(db, order))
    }

    fn order_list(
        &self,
        of: OrdersOf,
        before: Option<u64>,
        limit: u32,
    ) -> Answer<'_, Vec<OrderRow>> {
        self.ask("list orders", move |db| link::order_list(db, &of, before, limit))
    }

    fn order_open(&self, site: SiteName, after: u64, limit: u32) -> Answer<'_, Vec<OrderRow>> {
        self.ask("list open orders", move |db| link::order_open(db, &site, after, limit))
    }

    fn order_past(&self, until: Timestamp, limit: u32) -> Answer<'_, Vec<OrderId>> {
        self.ask("list orders of the past", move |db| link::order_past(db, until, limit))
    }

    fn order_unasked(
        &self,
        until: Timestamp,
        after: Option<(Timestamp, u64)>,
        limit: u32,
    ) -> Answer<'_, Vec<OrderRow>> {
        self.ask("list orders without a request", move |db| {
            link::order_unasked(db, until, after, limit)
        })
    }
}

impl FleetStore for SqliteStore {
    fn site_get(&self, site: SiteName) -> Answer<'_, Option<SiteRow>> {
        self.ask("read a site", move |db| fleet::site_get(db, &site))
    }

    fn site_list(&self, after: Option<SiteName>, limit: u32) -> Answer<'_, Vec<SiteRow>> {
        self.ask("list sites", move |db| fleet::site_list(db, after.as_ref(), limit))
    }

    fn token_get(&self, secret: Digest) -> Answer<'_, Option<TokenRow>> {
        self.ask("read a token", move |db| fleet::token_get(db, secret))
    }

    fn entry_get(
        &self,
        site: SiteName,
        stream: Stream,
        key: Bytes,
    ) -> Answer<'_, Option<EntryRow>> {
        self.ask("read an entry", move |db| fleet::entry_get(db, &site, stream, &key))
    }

    fn entry_list(&self, after: u64, limit: u32) -> Answer<'_, Vec<EntryRow>> {
        self.ask("list entries", move |db| fleet::entry_list(db, after, limit))
    }

    fn entry_beside(&self, site: SiteName, after: u64, limit: u32) -> Answer<'_, Vec<EntryRow>> {
        self.ask("list entries kept beside", move |db| fleet::entry_beside(db, &site, after, limit))
    }
}

impl ResourceStore for SqliteStore {
    fn resource_get(&self, kind: ResourceKind, name: String) -> Answer<'_, Option<ResourceRow>> {
        self.ask("read a resource", move |db| resource::resource_get(db, kind, name))
    }

    fn resource_list(
        &self,
        kind: ResourceKind,
        after: Option<String>,
        limit: u32,
    ) -> Answer<'_, Vec<ResourceRow>> {
        self.ask("list resources", move |db| {
            resource::resource_list(db, kind, after.as_deref(), limit)
        })
    }
}

impl CallStore for SqliteStore {
    fn call_page_list(&self, after: u64, limit: u32) -> Answer<'_, Vec<CallPage>> {
        self.ask("list pages of calls", move |db| call::list(db, after, limit))
    }

    fn call_page_newest(&self, before: Option<u64>, limit: u32) -> Answer<'_, Vec<CallPage>> {
        self.ask("list the newest pages of calls", move |db| call::newest(db, before, limit))
    }

    fn call_page_at(&self, at: Timestamp) -> Answer<'_, Option<u64>> {
        self.ask("find a page of calls by its time", move |db| call::page_at(db, at))
    }

    fn call_last(&self) -> Answer<'_, u64> {
        self.ask("find the newest call", call::last)
    }
}
