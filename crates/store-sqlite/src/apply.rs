//! One command into rows: what is admitted is written, what is not is refused.
//!
//! Runs inside the writer's transaction; batching, commits and errors of the disk are in `writer`.

use std::sync::Arc;

use base::limits::BLOB_ROW_BYTES_MAX;
use base::{RunId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Statement, params};
use store::{
    BlobId, CommitError, EventLimits, EventRow, LOG_PIECES_MAX, LogRow, LogStream, Op,
    Preconditions, RunRow, ScheduleRow, Sequence,
};

use crate::convert::{code, int};
use crate::event::Newest;
use crate::heads::{Head, Heads};
use crate::tail::{Appended, SharedTail};

/// Why a command left nothing behind.
pub(crate) enum Refusal {
    /// The ops or preconditions did not fit what is there.
    Commit(CommitError),
    Sql(rusqlite::Error),
}

impl From<CommitError> for Refusal {
    fn from(error: CommitError) -> Self {
        Self::Commit(error)
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

/// Everything that a command needs, prepared once.
pub(crate) struct Applier<'db> {
    pub(crate) db: &'db Connection,
    epoch: u64,
    pub(crate) tail: Arc<SharedTail>,
    pub(crate) heads: Heads,
    /// Rows of this batch that the tail does not know yet.
    pub(crate) appended: Vec<Appended>,
    /// Runs that this batch has forgotten.
    pub(crate) gone: Vec<i64>,
    /// Files of blobs that this batch has forgotten.
    pub(crate) discarded: Vec<BlobId>,
    next_position: i64,
    /// A number is never used twice, since what a forgotten run has left goes by it.
    next_run: i64,
    pub(crate) events: Events,
    statements: Statements<'db>,
}

/// What the writer knows of the events.
#[derive(Default)]
pub(crate) struct Events {
    /// With those of this batch.
    newest: Newest,
    /// Without them.
    durable: Newest,
    limits: EventLimits,
}

impl Events {
    pub(crate) fn new(newest: Newest, limits: EventLimits) -> Self {
        Self { newest, durable: newest, limits }
    }

    /// The batch is durable. Gives the last position.
    pub(crate) fn settle(&mut self) -> u64 {
        self.durable = self.newest;
        self.durable.position
    }
}

/// Appends between two looks at whether the store holds more events than it may.
const EVENTS_PRUNED_EVERY: u64 = 16;

/// Events that such a look takes away at most, so that it keeps up with any writer.
const EVENTS_PRUNED_AT_ONCE: u32 = 64;

struct Statements<'db> {
    run_create: Statement<'db>,
    run_id: Statement<'db>,
    run_touch: Statement<'db>,
    run_update: Statement<'db>,
    journal_append: Statement<'db>,
    journal_extent_last: Statement<'db>,
    snapshot_put: Statement<'db>,
    blob_size: Statement<'db>,
    blob_put: Statement<'db>,
    workflow_put: Statement<'db>,
    workflow_delete: Statement<'db>,
    revision_put: Statement<'db>,
    outcome_put: Statement<'db>,
    change_append: Statement<'db>,
    schedule_put: Statement<'db>,
    schedule_delete: Statement<'db>,
    event_append: Statement<'db>,
    event_prune: Statement<'db>,
    log_append: Statement<'db>,
    log_bound: Statement<'db>,
    log_trim: Statement<'db>,
}

impl<'db> Applier<'db> {
    pub(crate) fn prepare(
        db: &'db Connection,
        epoch: u64,
        tail: Arc<SharedTail>,
    ) -> rusqlite::Result<Self> {
        let last: Option<i64> =
            db.query_row(include_str!("sql/journal_last.sql"), [], |row| row.get(0))?;
        let run_last: i64 = db.query_row(include_str!("sql/run_last.sql"), [], |row| row.get(0))?;
        let statements = Statements {
            run_create: db.prepare(include_str!("sql/run_create.sql"))?,
            run_id: db.prepare(include_str!("sql/run_id.sql"))?,
            run_touch: db.prepare(include_str!("sql/run_touch.sql"))?,
            run_update: db.prepare(include_str!("sql/run_update.sql"))?,
            journal_append: db.prepare(include_str!("sql/journal_append.sql"))?,
            journal_extent_last: db.prepare(include_str!("sql/journal_extent_last.sql"))?,
            snapshot_put: db.prepare(include_str!("sql/snapshot_put.sql"))?,
            blob_size: db.prepare(include_str!("sql/blob_size.sql"))?,
            blob_put: db.prepare(include_str!("sql/blob_put.sql"))?,
            workflow_put: db.prepare(include_str!("sql/workflow_put.sql"))?,
            workflow_delete: db.prepare(include_str!("sql/workflow_delete.sql"))?,
            revision_put: db.prepare(include_str!("sql/revision_put.sql"))?,
            outcome_put: db.prepare(include_str!("sql/outcome_put.sql"))?,
            change_append: db.prepare(include_str!("sql/change_append.sql"))?,
            schedule_put: db.prepare(include_str!("sql/schedule_put.sql"))?,
            schedule_delete: db.prepare(include_str!("sql/schedule_delete.sql"))?,
            event_append: db.prepare(include_str!("sql/event_append.sql"))?,
            event_prune: db.prepare(include_str!("sql/event_prune.sql"))?,
            log_append: db.prepare(include_str!("sql/log_append.sql"))?,
            log_bound: db.prepare(include_str!("sql/log_bound.sql"))?,
            log_trim: db.prepare(include_str!("sql/log_trim.sql"))?,
        };
        Ok(Self {
            db,
            epoch,
            tail,
            heads: Heads::default(),
            appended: Vec::new(),
            gone: Vec::new(),
            discarded: Vec::new(),
            next_run: run_last + 1,
            next_position: last.unwrap_or(0) + 1,
            events: Events::default(),
            statements,
        })
    }

    /// Applies one command. After an error the caller rolls the rows back; what is kept in memory
    /// is as before already.
    pub(crate) fn command(&mut self, ops: &[Op], wanted: &Preconditions) -> Result<(), Refusal> {
        let (mark, event_newest) = (self.appended.len(), self.events.newest);
        let (gone, discarded) = (self.gone.len(), self.discarded.len());
        let result = self.admit(wanted).and_then(|()| ops.iter().try_for_each(|op| self.op(op)));
        if result.is_ok() {
            self.heads.keep();
        } else {
            self.heads.put_back();
            self.events.newest = event_newest;
            self.gone.truncate(gone);
            self.discarded.truncate(discarded);
            self.forget(mark);
        }
        result
    }

    /// The whole batch was rolled back.
    pub(crate) fn batch_failed(&mut self) {
        self.events.newest = self.events.durable;
        self.heads.clear();
        self.gone.clear();
        self.discarded.clear();
        self.forget(0);
    }

    fn forget(&mut self, mark: usize) {
        if let Some(first) = self.appended.get(mark) {
            self.next_position = first.position;
        }
        self.appended.truncate(mark);
    }

    fn admit(&mut self, wanted: &Preconditions) -> Result<(), Refusal> {
        if let Some(got) = wanted.epoch.filter(|got| *got != self.epoch) {
            return Err(CommitError::EpochMoved { current: self.epoch, got }.into());
        }
        let Some((run, wanted)) = wanted.run else { return Ok(()) };
        match self.head(run)? {
            Some(head) if head.last != wanted.0 => {
                let found = Sequence(head.last);
                Err(CommitError::SequenceMoved { run, wanted, found }.into())
            }
            None if wanted != Sequence::ZERO => Err(CommitError::RunMissing(run).into()),
            Some(_) | None => Ok(()),
        }
    }

    fn op(&mut self, op: &Op) -> Result<(), Refusal> {
        match op {
            Op::RunCreate(row) => self.run_create(row),
            Op::RunUpdate(row) => self.run_update(row),
            Op::JournalAppend { run, sequence, record } => {
                self.journal_append(*run, *sequence, record)
            }
            Op::SnapshotPut { run, sequence, snapshot } => {
                let id = self.existing(*run)?.id;
                let snapshot = snapshot.as_ref();
                self.statements.snapshot_put.execute(params![id, int(sequence.0), snapshot])?;
                Ok(())
            }
            Op::BlobPut { blob, bytes } => self.blob_put(*blob, bytes),
            Op::BlobRefer { run, sequence, blob } => self.blob_refer(*run, *sequence, *blob),
            Op::BlobPin { blob } => self.blob_pin(*blob),
            Op::BlobUnpin { blob } => self.blob_unpin(*blob),
            Op::JournalStart { run } => self.journal_start(*run),
            Op::JournalForget { run, through, stretch } => {
                self.journal_forget(*run, *through, stretch)
            }
            Op::RunForget { run } => self.run_forget(*run),
            Op::Clear { rows } => self.clear(*rows),
            Op::BlobKeep { blob, size } => self.blob_keep(*blob, *size),
            Op::RevisionPut(row) => {
                self.statements.revision_put.execute(params![
                    row.key.namespace.as_str(),
                    row.key.name.as_str(),
                    row.revision.as_bytes(),
                    row.version,
                    row.created_at.as_millis(),
                    row.text.as_ref(),
                    row.resolved.as_ref(),
                ])?;
                Ok(())
            }
            Op::WorkflowPut(row) => {
                self.statements.workflow_put.execute(params![
                    row.key.namespace.as_str(),
                    row.key.name.as_str(),
                    row.revision.as_bytes(),
                    row.version,
                    row.updated_at.as_millis(),
                ])?;
                Ok(())
            }
            Op::WorkflowDelete { key, at } => {
                let (namespace, name) = (key.namespace.as_str(), key.name.as_str());
                let delete = &mut self.statements.workflow_delete;
                match delete.execute(params![namespace, name, at.as_millis()])? {
                    0 => Err(CommitError::WorkflowMissing(key.clone()).into()),
                    _ => Ok(()),
                }
            }
            Op::OutcomePut(row) => {
                let id = self.existing(row.run)?.id;
                let (at, outcome) = (row.at.as_millis(), row.outcome.as_ref());
                let put = &mut self.statements.outcome_put;
                match put.execute(params![id, row.number, at, outcome])? {
                    0 => {
                        let (run, number) = (row.run, row.number);
                        Err(CommitError::OutcomeExists { run, number }.into())
                    }
                    _ => Ok(()),
                }
            }
            Op::ChangeAppend { at, actor, change } => {
                let (at, change) = (at.as_millis(), change.as_ref());
                self.statements.change_append.execute(params![at, actor, change])?;
                Ok(())
            }
            Op::SchedulePut(row) => self.schedule_put(row),
            Op::ScheduleDelete { key, trigger } => {
                let (namespace, name) = (key.namespace.as_str(), key.name.as_str());
                self.statements.schedule_delete.execute(params![namespace, name, trigger])?;
                Ok(())
            }
            Op::LinkPut { link } => self.link_put(link),
            Op::OutboxPut(row) => self.outbox_put(row),
            Op::OutboxMark { stream, mark } => self.outbox_mark(*stream, *mark),
            Op::OutboxForget { stream, base } => self.outbox_forget(*stream, *base),
            Op::ReceiptPut(row) => self.receipt_put(row),
            Op::OrderPut(row) => self.order_put(row),
            Op::OrderJudge { order, at } => self.order_judge(*order, *at),
            Op::OrderClose { order, site, at } => self.order_close(*order, site, *at),
            Op::OrderForget { order } => self.order_forget(*order),
            Op::SitePut { site, record } => self.site_put(site, record),
            Op::SeatPut { site, seat } => self.seat_put(site, seat),
            Op::EntryTake(row) => self.entry_take(row),
            Op::TokenPut(row) => self.token_put(row),
            Op::TokenUse { secret, by, now } => self.token_use(secret, by, *now),
            Op::TokenForget { until } => self.token_forget(*until),
            Op::ResourcePut(row) => self.resource_put(row),
            Op::ResourceDelete { kind, name } => self.resource_delete(*kind, name),
            Op::EventAppend(row) => self.event_append(row),
            Op::EventForget { needed, kept, rows } => self.event_forget(*kept, *needed, *rows),
            Op::LogAppend(row) => self.log_append(row),
            Op::CallAppend(page) => self.call_append(page),
            Op::CallForget { before, rows } => self.call_forget(*before, *rows),
            Op::LogTrim { run, effect, life, from, to } => {
                let id = self.existing(*run)?.id;
                let numbers = params![id, int(*effect), int(*life), int(*from), int(*to)];
                self.statements.log_trim.execute(numbers)?;
                Ok(())
            }
        }
    }

    fn schedule_put(&mut self, row: &ScheduleRow) -> Result<(), Refusal> {
        self.statements.schedule_put.execute(params![
            row.key.namespace.as_str(),
            row.key.name.as_str(),
            row.trigger,
            row.definition.as_ref(),
            row.since.as_millis(),
            row.next_at.map(Timestamp::as_millis),
            row.fired_at.map(Timestamp::as_millis),
            row.run.as_ref().map(|run| run.as_uuid().as_bytes()),
        ])?;
        Ok(())
    }

    fn run_create(&mut self, row: &RunRow) -> Result<(), Refusal> {
        let created = self.statements.run_create.execute(params![
            row.run.as_uuid().as_bytes(),
            row.key.namespace.as_str(),
            row.key.name.as_str(),
            row.revision.as_bytes(),
            code(row.state),
            row.created_at.as_millis(),
            row.updated_at.as_millis(),
            row.ended_at.map(Timestamp::as_millis),
            row.wake_at.map(Timestamp::as_millis),
            row.summary.as_ref(),
            self.next_run,
        ])?;
        if created == 0 {
            return Err(CommitError::RunExists(row.run).into());
        }
        self.heads.set(row.run, Head { id: self.next_run, last: 0 });
        self.next_run += 1;
        Ok(())
    }

    fn run_update(&mut self, row: &RunRow) -> Result<(), Refusal> {
        let id = self.existing(row.run)?.id;
        let write = |update: &mut Statement<'_>| {
            update.execute(params![
                row.updated_at.as_millis(),
                row.summary.as_ref(),
                id,
                code(row.state),
                row.wake_at.map(Timestamp::as_millis),
                row.ended_at.map(Timestamp::as_millis),
                row.created_at.as_millis(),
                row.revision.as_bytes(),
                row.key.namespace.as_str(),
                row.key.name.as_str(),
            ])
        };
        if write(&mut self.statements.run_touch)? == 0 {
            write(&mut self.statements.run_update)?;
        }
        if row.ended_at.is_some() {
            self.heads.end(row.run);
        }
        Ok(())
    }

    fn journal_append(
        &mut self,
        run: RunId,
        sequence: Sequence,
        record: &[u8],
    ) -> Result<(), Refusal> {
        let head = self.existing(run)?;
        let expected = Sequence(head.last).next();
        if sequence != expected {
            return Err(CommitError::Gap { run, expected, got: sequence }.into());
        }
        let position = self.next_position;
        let append = &mut self.statements.journal_append;
        append.execute(params![position, head.id, int(sequence.0), record])?;
        self.next_position += 1;
        self.appended.push(Appended { position, run: head.id, sequence: sequence.0 });
        self.heads.set(run, Head { last: sequence.0, ..head });
        Ok(())
    }

    fn event_append(&mut self, row: &EventRow) -> Result<(), Refusal> {
        let bytes = row.event.len() as u64;
        let Newest { position, total } = self.events.newest;
        let newest = Newest { position: position + 1, total: total + bytes };
        let put = self.statements.event_append.execute(params![
            int(newest.position),
            row.namespace.as_str(),
            row.source,
            row.id,
            row.kind,
            row.subject,
            row.run.as_ref().map(|run| run.as_uuid().as_bytes().as_slice()),
            int(row.number),
            row.at.as_millis(),
            int(newest.total),
            row.event.as_ref(),
        ])?;
        if put == 0 {
            return Ok(());
        }
        self.events.newest = newest;
        if newest.position.is_multiple_of(EVENTS_PRUNED_EVERY) {
            self.event_forget(self.events.limits, newest.position, EVENTS_PRUNED_AT_ONCE)?;
        }
        Ok(())
    }

    fn event_forget(&mut self, kept: EventLimits, needed: u64, rows: u32) -> Result<(), Refusal> {
        let Newest { position, total } = self.events.newest;
        let (until, old) = (needed.min(position), position.saturating_sub(kept.events));
        let large = total.saturating_sub(kept.bytes);
        let prune = &mut self.statements.event_prune;
        prune.execute(params![int(until), int(old), int(large), rows])?;
        Ok(())
    }

    fn log_append(&mut self, row: &LogRow) -> Result<(), Refusal> {
        let id = self.existing(row.run)?.id;
        self.statements.log_append.execute(params![
            id,
            row.activation,
            int(row.effect),
            int(row.life),
            match row.stream {
                LogStream::Stdout => crate::log::STDOUT,
                LogStream::Stderr => crate::log::STDERR,
            },
            int(row.start),
            row.at.as_millis(),
            row.bytes.as_ref(),
        ])?;
        self.statements.log_bound.execute(params![id, LOG_PIECES_MAX])?;
        Ok(())
    }

    /// Large blobs are files already, see `blob`; here they get the row that says so.
    fn blob_put(&mut self, blob: BlobId, bytes: &[u8]) -> Result<(), Refusal> {
        if self.statements.blob_size.exists([blob.as_bytes()])? {
            return Ok(());
        }
        let row = Some(bytes).filter(|bytes| bytes.len() <= BLOB_ROW_BYTES_MAX);
        let size = int(bytes.len() as u64);
        self.statements.blob_put.execute(params![blob.as_bytes(), size, row])?;
        Ok(())
    }

    /// The content is a file: whoever asked for the commit has looked.
    fn blob_keep(&mut self, blob: BlobId, size: u64) -> Result<(), Refusal> {
        if !self.statements.blob_size.exists([blob.as_bytes()])? {
            let none: Option<&[u8]> = None;
            self.statements.blob_put.execute(params![blob.as_bytes(), int(size), none])?;
        }
        Ok(())
    }

    pub(crate) fn existing(&mut self, run: RunId) -> Result<Head, Refusal> {
        self.head(run)?.ok_or_else(|| CommitError::RunMissing(run).into())
    }

    fn head(&mut self, run: RunId) -> rusqlite::Result<Option<Head>> {
        if let Some(head) = self.heads.get(run) {
            return Ok(Some(head));
        }
        let bytes = run.as_uuid().as_bytes();
        let id = self.statements.run_id.query_row([bytes], |row| row.get(0)).optional()?;
        let Some(id) = id else { return Ok(None) };
        let tail = self.tail.lock().last(id);
        let last = match tail {
            Some(last) => last,
            None => {
                let query = &mut self.statements.journal_extent_last;
                let last = query.query_row([id], |row| crate::convert::uint(row, 0)).optional()?;
                last.unwrap_or(0)
            }
        };
        let head = Head { id, last };
        self.heads.found(run, head);
        Ok(Some(head))
    }
}
