//! The writer: one thread that takes what waits, writes it in one transaction, makes it durable
//! with one fsync, and answers.
//!
//! What a command does to the tables is in `apply`. A failed fsync ends the process: what the disk
//! holds is unknown then, and only a fresh start reads what is really there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::channel::oneshot;
use rusqlite::{Connection, ErrorCode, Statement, ffi, params};
use store::{CommitError, EventLimits, Op, Preconditions, Reclaimed};
use tokio::sync::mpsc;

use crate::apply::{Applier, Events, Refusal};
use crate::ballast::{Ballast, may_use_ballast};
use crate::blob::{BlobFiles, Held};
use crate::event::Newest;
use crate::inbox::{Inbox, Next};
use crate::stats::Counters;
use crate::tail::{self, SharedTail, Tail};
use crate::upkeep::LongReads;

/// Commits that wait for the writer; whoever comes later waits outside. Enough for several full
/// batches of the many runs that one site drives, little enough to bound memory and the wait.
pub(crate) const QUEUE_COMMITS_MAX: usize = 4096;

/// Commits in one transaction. One fsync is shared by all, so that beyond this nothing is gained,
/// and the first of them waits for the last.
const BATCH_COMMITS_MAX: usize = 1024;

/// Payload in one transaction, for the same reason: about 10 ms of writing.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Pages of the write-ahead log after which it is copied into the database file: 16 MiB, read at
/// the next start after a crash in some 10 ms.
const CHECKPOINT_PAGES: i64 = 4000;

/// Pages after which the copy also waits for readers, so that the log is bounded: 128 MiB.
const CHECKPOINT_PAGES_HARD: i64 = 32_000;

/// SQLite's own choice for new files.
const PAGE_BYTES: u64 = 4096;

/// Batches after a refusal in which each command has a way back. A batch in which one is refused
/// without it is written twice, so whoever is refused again and again must not cost that each time.
const CAREFUL_BATCHES: u32 = 64;

/// Batches between two looks at the length of the log.
const CHECKPOINT_LOOK_BATCHES: u32 = 16;

/// Attempts to begin while a foreign process (a backup, a curious `sqlite3`) holds the file; each
/// waits for the connection's busy timeout.
const BEGIN_ATTEMPTS_MAX: u32 = 30;

pub(crate) enum Command {
    Commit(Commit),
    /// Give free room back to the disk.
    Reclaim(u64, oneshot::Sender<rusqlite::Result<Reclaimed>>),
    /// Finish what waits, then stop; answered by the end of the thread.
    Close,
}

pub(crate) struct Commit {
    pub(crate) ops: Vec<Op>,
    pub(crate) preconditions: Preconditions,
    pub(crate) answer: oneshot::Sender<Result<(), CommitError>>,
    /// Its blob files, which nobody may delete before it is answered.
    pub(crate) _held: Vec<Held>,
}

/// What the writer shares or was given.
pub(crate) struct Desk {
    pub(crate) epoch: u64,
    pub(crate) tail: Arc<SharedTail>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) ballast: Ballast,
    pub(crate) blobs: Arc<BlobFiles>,
    /// Position of the newest event, for everyone who asks.
    pub(crate) event_last: Arc<AtomicU64>,
    pub(crate) event_newest: Newest,
    pub(crate) event_limits: EventLimits,
    pub(crate) long_reads: LongReads,
    pub(crate) rest_after: Duration,
    pub(crate) on_rest: fn(),
    pub(crate) on_fatal: fn(String) -> !,
}

/// The thread's life. Returns after [`Command::Close`], or when nobody can send any more.
/// Says by `started` whether the tables are those that it can write.
pub(crate) fn serve(
    db: &Connection,
    desk: Desk,
    commands: mpsc::Receiver<Command>,
    started: impl FnOnce(rusqlite::Result<()>),
) {
    let mut writer = match Writer::prepare(db, desk) {
        Ok(writer) => writer,
        Err(cause) => return started(Err(cause)),
    };
    started(Ok(()));
    let (mut batch, mut reclaims) = (Vec::new(), Vec::new());
    let mut inbox = Inbox::new(commands, writer.desk.rest_after);
    loop {
        let first = match inbox.next() {
            Next::Command(command) => command,
            Next::Quiet => {
                writer.give_back();
                continue;
            }
            Next::Closed => break,
        };
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Commit(commit) => {
                    bytes += payload_bytes(&commit.ops);
                    batch.push(commit);
                }
                Command::Reclaim(bytes, answer) => reclaims.push((bytes, answer)),
                Command::Close => inbox.close(),
            }
            let full = batch.len() >= BATCH_COMMITS_MAX || bytes >= BATCH_BYTES_MAX;
            next = if full { None } else { inbox.waiting() };
        }
        writer.batch(&mut batch);
        for (bytes, answer) in reclaims.drain(..) {
            // Whoever does not wait any more finds the store as it is.
            let _ = answer.send(writer.reclaim(bytes));
        }
        writer.rest();
    }
    writer.finish();
}

struct Writer<'db> {
    db: &'db Connection,
    desk: Desk,
    applier: Applier<'db>,
    transaction: Transaction<'db>,
    batches_since_look: u32,
    /// Batches until the next that trusts all of its commands.
    careful_batches: u32,
}

struct Transaction<'db> {
    begin: Statement<'db>,
    commit: Statement<'db>,
    rollback: Statement<'db>,
    savepoint: Statement<'db>,
    release: Statement<'db>,
    undo: Statement<'db>,
    extent_put: Statement<'db>,
    meta_put: Statement<'db>,
}

type Answers = Vec<Result<(), CommitError>>;

impl<'db> Writer<'db> {
    fn prepare(db: &'db Connection, desk: Desk) -> rusqlite::Result<Self> {
        let mut applier = Applier::prepare(db, desk.epoch, Arc::clone(&desk.tail))?;
        applier.events = Events::new(desk.event_newest, desk.event_limits);
        let transaction = Transaction {
            begin: db.prepare("BEGIN IMMEDIATE")?,
            commit: db.prepare("COMMIT")?,
            rollback: db.prepare("ROLLBACK")?,
            savepoint: db.prepare("SAVEPOINT command")?,
            release: db.prepare("RELEASE command")?,
            undo: db.prepare("ROLLBACK TO command")?,
            extent_put: db.prepare(include_str!("sql/journal_extent_put.sql"))?,
            meta_put: db.prepare(include_str!("sql/meta_put.sql"))?,
        };
        Ok(Self { db, desk, applier, transaction, batches_since_look: 0, careful_batches: 0 })
    }

    /// Writes the batch and answers everyone in it.
    fn batch(&mut self, batch: &mut Vec<Commit>) {
        if self.desk.ballast.is_tight() {
            self.desk.ballast.restore();
            self.refuse_where_tight(batch);
        }
        if batch.is_empty() {
            return;
        }
        let mut result = self.attempt(batch);
        if !self.desk.ballast.is_tight() && result.as_ref().is_err_and(is_full) {
            self.desk.ballast.release();
            self.checkpoint("TRUNCATE");
            self.refuse_where_tight(batch);
            result = self.attempt(batch);
        }
        let answers = match result {
            Ok(answers) => answers,
            Err(cause) if is_full(&cause) => vec![Err(CommitError::Full); batch.len()],
            Err(cause) if is_fatal(&cause) => self.fatal(&cause),
            Err(cause) => vec![Err(CommitError::Write(cause.to_string())); batch.len()],
        };
        for (commit, answer) in batch.drain(..).zip(answers) {
            self.answer(commit, answer);
        }
    }

    fn answer(&self, commit: Commit, answer: Result<(), CommitError>) {
        let counters = &self.desk.counters;
        if answer.is_ok() {
            Counters::add(&counters.commits, 1);
            Counters::add(&counters.payload_bytes, payload_bytes(&commit.ops) as u64);
        } else {
            Counters::add(&counters.refused, 1);
        }
        // Whoever does not wait any more will find the commit in the store.
        let _ = commit.answer.send(answer);
    }

    /// Without the ballast, only what ends runs is tried.
    fn refuse_where_tight(&self, batch: &mut Vec<Commit>) {
        if self.desk.ballast.is_tight() {
            for refused in batch.extract_if(.., |commit| !may_use_ballast(&commit.ops)) {
                self.answer(refused, Err(CommitError::Full));
            }
        }
    }

    /// One transaction. After an `Err` nothing of the batch is there.
    fn attempt(&mut self, batch: &[Commit]) -> rusqlite::Result<Answers> {
        let result = self.transact(batch);
        if result.is_err() {
            if !self.db.is_autocommit() {
                // An error here is that of the transaction again; the next BEGIN would show it.
                let _ = self.db.execute_batch("ROLLBACK");
            }
            self.applier.batch_failed();
        }
        result
    }

    fn transact(&mut self, batch: &[Commit]) -> rusqlite::Result<Answers> {
        let answers = if self.careful_batches == 0 { self.all(batch)? } else { None };
        let answers = match answers {
            Some(answers) => answers,
            None => self.each(batch)?,
        };
        let folded = self.tail().is_due();
        if !folded && answers.iter().all(Result::is_err) {
            self.transaction.rollback.execute([])?;
            return Ok(answers);
        }
        self.transaction.commit.execute([])?;
        Counters::add(&self.desk.counters.batches, 1);
        Counters::add(&self.desk.counters.fsyncs, 1);
        // Readers learn of the rows before their committers do, so that everyone reads what they
        // have written.
        let (appended, gone) = (&self.applier.appended, &mut self.applier.gone);
        self.desk.tail.change(|tail| {
            if folded {
                tail.clear();
            }
            tail.extend(appended).expect("the applier takes only the sequence that follows");
            gone.drain(..).for_each(|run| tail.remove(run));
        });
        self.desk.blobs.discard(self.db, self.applier.discarded.drain(..));
        let event_last = self.applier.events.settle();
        self.desk.event_last.store(event_last, Ordering::Release);
        self.applier.appended.clear();
        self.applier.heads.shrink();
        Ok(answers)
    }

    fn begin(&mut self) -> rusqlite::Result<()> {
        let mut attempts = 0;
        loop {
            match self.transaction.begin.execute([]) {
                Err(cause) if is_busy(&cause) && attempts < BEGIN_ATTEMPTS_MAX => {
                    attempts += 1;
                    tracing::warn!("the store waits: a foreign process holds the database file");
                }
                result => return result.map(drop),
            }
        }
    }

    /// All commands without a way back for any of them: pages are not copied for that. `None` where one
    /// is refused; nothing of the batch is there then.
    fn all(&mut self, batch: &[Commit]) -> rusqlite::Result<Option<Answers>> {
        self.begin()?;
        self.fold_if_due()?;
        for commit in batch {
            if self.command(commit)?.is_err() {
                self.transaction.rollback.execute([])?;
                self.applier.batch_failed();
                self.careful_batches = CAREFUL_BATCHES;
                return Ok(None);
            }
        }
        Ok(Some(vec![Ok(()); batch.len()]))
    }

    /// Each command with a way back, so that the others are not affected where it is refused.
    fn each(&mut self, batch: &[Commit]) -> rusqlite::Result<Answers> {
        self.begin()?;
        self.fold_if_due()?;
        self.careful_batches = self.careful_batches.saturating_sub(1);
        let mut answers = Answers::with_capacity(batch.len());
        for commit in batch {
            self.transaction.savepoint.execute([])?;
            let answer = self.command(commit)?;
            if answer.is_err() {
                self.transaction.undo.execute([])?;
                self.careful_batches = CAREFUL_BATCHES;
            }
            self.transaction.release.execute([])?;
            answers.push(answer);
        }
        Ok(answers)
    }

    /// `Err` where the whole transaction is lost, the inner one where this command is refused.
    fn command(&mut self, commit: &Commit) -> rusqlite::Result<Result<(), CommitError>> {
        let answer = match self.applier.command(&commit.ops, &commit.preconditions) {
            Ok(()) => Ok(()),
            Err(Refusal::Commit(refused)) => Err(refused),
            Err(Refusal::Sql(cause)) => {
                if self.db.is_autocommit() || is_full(&cause) || is_fatal(&cause) {
                    return Err(cause);
                }
                Err(CommitError::Write(cause.to_string()))
            }
        };
        Ok(answer)
    }

    fn fold_if_due(&mut self) -> rusqlite::Result<()> {
        let due = self.tail().is_due();
        if due { self.fold() } else { Ok(()) }
    }

    /// Writes the index of all rows that are committed. The caller clears the tail after its commit.
    fn fold(&mut self) -> rusqlite::Result<()> {
        let spans = self.tail().spans();
        tail::fold(&mut self.transaction.extent_put, &spans)?;
        let folded = spans.iter().flat_map(|(_, span)| span.positions.last()).max();
        self.transaction.meta_put.execute(params!["folded", folded])?;
        Ok(())
    }

    fn tail(&self) -> std::sync::MutexGuard<'_, Tail> {
        self.desk.tail.lock()
    }

    /// Between batches: keeps the write-ahead log short. Everyone is answered already.
    fn rest(&mut self) {
        self.batches_since_look += 1;
        if self.batches_since_look < CHECKPOINT_LOOK_BATCHES {
            return;
        }
        self.batches_since_look = 0;
        let Some((pages, copied)) = self.wal("NOOP") else { return };
        // A job that reads for minutes would be waited for, and everyone behind it.
        if pages >= CHECKPOINT_PAGES_HARD && !self.desk.long_reads.any() {
            self.checkpoint("RESTART");
        } else if pages - copied >= CHECKPOINT_PAGES {
            self.checkpoint("PASSIVE");
        }
    }

    /// Nothing is to do: what was only kept to be fast goes, and comes back with the next work.
    fn give_back(&mut self) {
        self.applier.heads.clear();
        if let Err(cause) = self.db.execute_batch("PRAGMA shrink_memory") {
            tracing::warn!(%cause, "cannot give memory back");
        }
        (self.desk.on_rest)();
    }

    /// Moves pages from the end of the file to free ones, and cuts the end off.
    fn reclaim(&self, bytes: u64) -> rusqlite::Result<Reclaimed> {
        let bytes_of = |pragma| -> rusqlite::Result<u64> {
            let pages: i64 = self.db.pragma_query_value(None, pragma, |row| row.get(0))?;
            Ok(pages.unsigned_abs() * PAGE_BYTES)
        };
        let before = bytes_of("freelist_count")?;
        let pages = bytes.min(before) / PAGE_BYTES;
        if pages > 0 {
            let mut vacuum = self.db.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
            let mut steps = vacuum.query([])?;
            while steps.next()?.is_some() {}
            Counters::add(&self.desk.counters.fsyncs, 1);
        }
        let (free_bytes, whole_bytes) = (bytes_of("freelist_count")?, bytes_of("page_count")?);
        if pages > 0 && free_bytes == 0 {
            // Somebody wants all of it: the file becomes shorter when the log is copied.
            self.checkpoint("PASSIVE");
        }
        let files_left = self.desk.blobs.sweep(self.db);
        let bytes = before.saturating_sub(free_bytes);
        Ok(Reclaimed { bytes, free_bytes, whole_bytes, files_left })
    }

    fn checkpoint(&self, mode: &str) {
        if self.desk.ballast.is_tight() && !self.has_room_to_copy() {
            return;
        }
        if self.wal(mode).is_some() {
            Counters::add(&self.desk.counters.checkpoints, 1);
            // The log before the copy, the database after it, and the log's new header.
            Counters::add(&self.desk.counters.fsyncs, 3);
        }
    }

    /// Copying the log makes the database file grow before it makes the log shrink. On a full disk
    /// it is worth it only where it cannot take the room that runs need to end.
    fn has_room_to_copy(&self) -> bool {
        let Some((pages, copied)) = self.wal("NOOP") else { return false };
        let growth = u64::try_from(pages - copied).unwrap_or(0).saturating_mul(PAGE_BYTES);
        growth.saturating_mul(2) <= self.desk.ballast.free_bytes()
    }

    /// Pages in the log, and how many of them are in the database file too.
    fn wal(&self, mode: &str) -> Option<(i64, i64)> {
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        let query = self
            .db
            .prepare_cached(&sql)
            .and_then(|mut query| query.query_row([], |row| Ok((row.get(1)?, row.get(2)?))));
        match query {
            Ok(found) => Some(found),
            Err(cause) if is_fatal(&cause) => self.fatal(&cause),
            Err(cause) => {
                tracing::warn!(%cause, "cannot shorten the write-ahead log");
                None
            }
        }
    }

    /// Everything is written; leaves nothing for the next start to do.
    fn finish(&mut self) {
        if !self.tail().is_empty() {
            let fold = self.begin().and_then(|()| self.fold());
            let fold = fold.and_then(|()| self.transaction.commit.execute([]));
            if let Err(cause) = fold {
                tracing::warn!(%cause, "cannot fold the journal's index; the next start will");
                let _ = self.db.execute_batch("ROLLBACK");
            }
        }
        self.checkpoint("TRUNCATE");
    }

    fn fatal(&self, cause: &rusqlite::Error) -> ! {
        let text = format!(
            "cannot write the store: {cause}; what was not answered may or may not be on the disk, \
             so this process ends here: look at the disk, then start again"
        );
        tracing::error!("{text}");
        (self.desk.on_fatal)(text)
    }
}

fn payload_bytes(ops: &[Op]) -> usize {
    let one = |op: &Op| match op {
        Op::RunCreate(row) | Op::RunUpdate(row) => row.summary.len(),
        Op::JournalAppend { record, .. } => record.len(),
        Op::SnapshotPut { snapshot, .. } => snapshot.len(),
        Op::BlobPut { bytes, .. } => bytes.len(),
        Op::JournalForget { stretch, .. } => stretch.len(),
        // Its content is on the disk already.
        Op::BlobKeep { .. }
        | Op::BlobRefer { .. }
        | Op::BlobPin { .. }
        | Op::BlobUnpin { .. }
        | Op::JournalStart { .. }
        | Op::RunForget { .. }
        | Op::EventForget { .. }
        | Op::CallForget { .. }
        | Op::Clear { .. } => 0,
        Op::RevisionPut(row) => row.text.len(),
        Op::WorkflowPut(_) | Op::WorkflowDelete { .. } => 0,
        Op::OutcomePut(row) => row.outcome.len(),
        Op::ChangeAppend { change, .. } => change.len(),
        Op::SchedulePut(row) => row.definition.len(),
        Op::ScheduleDelete { .. } => 0,
        Op::EventAppend(row) => row.event.len(),
        Op::LogAppend(row) => row.bytes.len(),
        Op::CallAppend(page) => page.record.len(),
        Op::LogTrim { .. } => 0,
        Op::LinkPut { link } => link.len(),
        Op::ReceiptPut(row) => row.receipt.len(),
        Op::OrderPut(row) => row.body.len(),
        Op::SitePut { record, .. } => record.len(),
        Op::SeatPut { seat, .. } => seat.len(),
        Op::EntryTake(row) => row.entry.len(),
        Op::TokenPut(row) => row.record.len(),
        Op::ResourcePut(row) => row.record.len(),
        Op::OutboxPut(_)
        | Op::OutboxMark { .. }
        | Op::OutboxForget { .. }
        | Op::OrderJudge { .. }
        | Op::OrderClose { .. }
        | Op::OrderForget { .. }
        | Op::TokenUse { .. }
        | Op::TokenForget { .. }
        | Op::ResourceDelete { .. } => 0,
    };
    ops.iter().map(one).sum()
}

fn is_busy(cause: &rusqlite::Error) -> bool {
    matches!(cause.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// The index of the log lives in a file of its own, which SQLite reports in its own way.
fn is_full(cause: &rusqlite::Error) -> bool {
    cause.sqlite_error_code() == Some(ErrorCode::DiskFull)
        || cause.sqlite_extended_error_code() == Some(ffi::SQLITE_IOERR_SHMSIZE)
}

/// Whether it is unknown what the disk holds. A read that fails has changed nothing.
fn is_fatal(cause: &rusqlite::Error) -> bool {
    let read = [ffi::SQLITE_IOERR_READ, ffi::SQLITE_IOERR_SHORT_READ, ffi::SQLITE_IOERR_SHMSIZE];
    cause.sqlite_error_code() == Some(ErrorCode::SystemIoFailure)
        && cause.sqlite_extended_error_code().is_some_and(|code| !read.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
    }

    /// Mutation: go on after a failed fsync, or end the process for a full disk.
    #[test]
    fn a_failed_write_is_fatal_and_a_full_disk_is_not() {
        let cases = [
            (ffi::SQLITE_IOERR_FSYNC, true, false),
            (ffi::SQLITE_IOERR_DIR_FSYNC, true, false),
            (ffi::SQLITE_IOERR_WRITE, true, false),
            (ffi::SQLITE_IOERR_TRUNCATE, true, false),
            (ffi::SQLITE_IOERR, true, false),
            (ffi::SQLITE_IOERR_READ, false, false),
            (ffi::SQLITE_IOERR_SHMSIZE, false, true),
            (ffi::SQLITE_FULL, false, true),
            (ffi::SQLITE_CORRUPT, false, false),
            (ffi::SQLITE_BUSY, false, false),
        ];
        for (code, fatal, full) in cases {
            let cause = failure(code);
            assert_eq!((is_fatal(&cause), is_full(&cause)), (fatal, full), "{cause}");
        }
    }
}
