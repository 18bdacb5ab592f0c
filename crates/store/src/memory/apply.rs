//! A commit, in memory: decided first, applied after.

use std::collections::btree_map::Entry as Place;
use std::collections::{BTreeSet, HashMap, HashSet};

use base::name::WorkflowKey;
use base::stream::PerStream;
use base::{Digest, RunId, SiteName};
use bytes::Bytes;

use super::{Kept, Run};
use crate::{
    ChangeRow, CommitError, LOG_PIECES_MAX, LogRow, Op, OrderRow, OutcomeRow, Preconditions,
    ReceiptRow, ResourceRow, Sequence, SiteRow, Snapshot, TokenRow, WorkflowRow,
};

/// What the ops of one commit have changed so far, as far as later ops of it are judged by it.
#[derive(Default)]
struct Staged {
    last: HashMap<RunId, Sequence>,
    outcomes: BTreeSet<(RunId, u32)>,
    /// Whether a workflow can be deleted.
    workflows: HashMap<WorkflowKey, bool>,
    /// Whether a run has ended.
    ended: HashMap<RunId, bool>,
    forgotten: HashSet<RunId>,
    line: super::link::Staged,
    /// The number of the newest entry of a call.
    call_last: Option<u64>,
}

impl Kept {
    pub(super) fn last(&self, run: RunId) -> Option<Sequence> {
        self.runs.get(&run).map(Run::last)
    }

    pub(super) fn admit(
        &self,
        ops: &[Op],
        wanted: &Preconditions,
        epoch: u64,
    ) -> Result<(), CommitError> {
        for got in [Some(epoch), wanted.epoch].into_iter().flatten() {
            if got != self.epoch {
                return Err(CommitError::EpochMoved { current: self.epoch, got });
            }
        }
        if let Some((run, wanted)) = wanted.run {
            match self.last(run) {
                Some(found) if found != wanted => {
                    return Err(CommitError::SequenceMoved { run, wanted, found });
                }
                None if wanted != Sequence::ZERO => return Err(CommitError::RunMissing(run)),
                Some(_) | None => {}
            }
        }
        let mut staged = Staged::default();
        ops.iter().try_for_each(|op| self.admit_op(op, &mut staged))
    }

    fn admit_op(&self, op: &Op, staged: &mut Staged) -> Result<(), CommitError> {
        let last = |staged: &Staged, run| {
            if staged.forgotten.contains(&run) {
                return Err(CommitError::RunMissing(run));
            }
            let last = staged.last.get(&run).copied().or_else(|| self.last(run));
            last.ok_or(CommitError::RunMissing(run))
        };
        match op {
            Op::RunCreate(row) => {
                if last(staged, row.run).is_ok() {
                    return Err(CommitError::RunExists(row.run));
                }
                staged.forgotten.remove(&row.run);
                staged.last.insert(row.run, Sequence::ZERO);
                staged.ended.insert(row.run, row.state.has_ended());
            }
            Op::RunUpdate(row) => {
                last(staged, row.run)?;
                staged.ended.insert(row.run, row.state.has_ended());
            }
            Op::JournalAppend { run, sequence, .. } => {
                let expected = last(staged, *run)?.next();
                if *sequence != expected {
                    return Err(CommitError::Gap { run: *run, expected, got: *sequence });
                }
                staged.last.insert(*run, expected);
            }
            Op::SnapshotPut { run, .. } | Op::BlobRefer { run, .. } | Op::JournalStart { run } => {
                last(staged, *run)?;
            }
            Op::JournalForget { run, through, .. } => {
                last(staged, *run)?;
                self.admit_forget(*run, *through)?;
            }
            Op::RunForget { run } => {
                last(staged, *run)?;
                let kept = || self.runs.get(run).is_some_and(|run| run.row.state.has_ended());
                if !staged.ended.get(run).copied().unwrap_or_else(kept) {
                    return Err(CommitError::RunGoesOn(*run));
                }
                staged.forgotten.insert(*run);
                staged.last.remove(run);
            }
            Op::BlobPut { blob, bytes } => {
                if Digest::of(bytes) != *blob {
                    return Err(CommitError::BlobDiffers(*blob));
                }
            }
            Op::BlobKeep { blob, size } => {
                let found = self.blobs.get(blob).or_else(|| self.written.get(blob));
                if found.is_none_or(|bytes| bytes.len() as u64 != *size) {
                    return Err(CommitError::BlobMissing(*blob));
                }
            }
            Op::LogAppend(LogRow { run, .. }) | Op::LogTrim { run, .. } => {
                last(staged, *run)?;
            }
            Op::OutboxPut(_)
            | Op::OutboxMark { .. }
            | Op::OutboxForget { .. }
            | Op::ReceiptPut(_)
            | Op::OrderPut(_)
            | Op::OrderJudge { .. }
            | Op::OrderClose { .. }
            | Op::OrderForget { .. }
            | Op::SitePut { .. }
            | Op::SeatPut { .. }
            | Op::EntryTake(_)
            | Op::TokenPut(_)
            | Op::TokenUse { .. }
            | Op::TokenForget { .. } => self.admit_line(op, &mut staged.line)?,
            Op::CallAppend(page) => {
                page.follow(staged.call_last.unwrap_or_else(|| self.call_last()))?;
                staged.call_last = Some(page.last);
            }
            Op::BlobPin { .. }
            | Op::BlobUnpin { .. }
            | Op::Clear { .. }
            | Op::LinkPut { .. }
            | Op::RevisionPut(_)
            | Op::ChangeAppend { .. }
            | Op::SchedulePut(_)
            | Op::ScheduleDelete { .. }
            | Op::ResourcePut(_)
            | Op::ResourceDelete { .. }
            | Op::CallForget { .. }
            | Op::EventAppend(_)
            | Op::EventForget { .. } => {}
            Op::WorkflowPut(row) => {
                staged.workflows.insert(row.key.clone(), true);
            }
            Op::WorkflowDelete { key, .. } => {
                let kept = || self.workflows.get(key).is_some_and(|row| row.deleted_at.is_none());
                if !staged.workflows.get(key).copied().unwrap_or_else(kept) {
                    return Err(CommitError::WorkflowMissing(key.clone()));
                }
                staged.workflows.insert(key.clone(), false);
            }
            Op::OutcomePut(row) => {
                last(staged, row.run)?;
                let (run, number) = (row.run, row.number);
                let kept = self.runs.get(&run).is_some_and(|run| run.outcomes.contains(&number));
                if kept || !staged.outcomes.insert((run, number)) {
                    return Err(CommitError::OutcomeExists { run, number });
                }
            }
        }
        Ok(())
    }

    /// Applies what was admitted: nothing here can be refused.
    pub(super) fn apply(&mut self, op: Op) {
        match op {
            Op::RunCreate(row) => {
                let run = row.run;
                self.runs.insert(run, Run::new(row));
            }
            Op::RunUpdate(row) => {
                let run = self.run_mut(row.run);
                run.row = row;
            }
            Op::JournalAppend { run, sequence, record } => {
                self.run_mut(run).journal.insert(sequence, record);
            }
            Op::SnapshotPut { run, sequence, snapshot } => {
                let run = self.run_mut(run);
                if run.snapshot.as_ref().is_none_or(|kept| kept.sequence <= sequence) {
                    run.snapshot = Some(Snapshot { sequence, snapshot });
                }
            }
            Op::BlobPut { blob, bytes } => {
                self.blobs.entry(blob).or_insert(bytes);
            }
            Op::BlobRefer { run, sequence, blob } => {
                self.run_mut(run).refers.insert((sequence, blob));
            }
            Op::BlobPin { blob } => {
                self.pinned.insert(blob);
            }
            Op::BlobUnpin { blob } => {
                if self.pinned.remove(&blob) {
                    self.release([blob]);
                }
            }
            Op::JournalStart { run } => self.run_mut(run).start(),
            Op::JournalForget { run, through, stretch } => {
                self.journal_forget(run, through, stretch);
            }
            Op::RunForget { run } => self.run_forget(run),
            // Nothing is left to be cleared away.
            Op::Clear { .. } => {}
            Op::BlobKeep { blob, .. } => {
                if let Some(bytes) = self.written.get(&blob).cloned() {
                    self.blobs.entry(blob).or_insert(bytes);
                }
            }
            Op::RevisionPut(row) => {
                let revisions = self.revisions.entry(row.key.clone()).or_default();
                if revisions.iter().all(|kept| kept.revision != row.revision) {
                    revisions.push(row);
                }
            }
            Op::WorkflowPut(row) => {
                self.workflows.insert(row.key.clone(), WorkflowRow { deleted_at: None, ..row });
            }
            Op::WorkflowDelete { key, at } => {
                if let Place::Occupied(mut place) = self.workflows.entry(key) {
                    place.get_mut().deleted_at = Some(at);
                }
            }
            Op::OutcomePut(row) => {
                self.run_mut(row.run).outcomes.insert(row.number);
                let position = self.last.outcome + 1;
                self.last.outcome = position;
                self.outcomes.push(OutcomeRow { position, ..row });
            }
            Op::ChangeAppend { at, actor, change } => {
                let position = self.changes.len() as u64 + 1;
                self.changes.push(ChangeRow { position, at, actor, change });
            }
            Op::SchedulePut(row) => {
                self.schedules.insert((row.key.clone(), row.trigger.clone()), row);
            }
            Op::ScheduleDelete { key, trigger } => {
                self.schedules.remove(&(key, trigger));
            }
            Op::EventAppend(row) => self.events.append(row),
            Op::EventForget { needed, kept, rows } => self.events.forget(kept, needed, rows),
            Op::LogAppend(row) => self.log_append(row),
            Op::LinkPut { link } => self.link = Some(link),
            Op::OutboxPut(row) => {
                self.outboxes.insert(row.stream, row);
            }
            Op::OutboxMark { stream, mark } => {
                self.outboxes.get_mut(&stream).expect("admitted only where there is one").mark =
                    mark;
            }
            Op::OutboxForget { stream, base } => self.outbox_forget(stream, base),
            Op::ReceiptPut(row) => {
                let position = self.last.receipt + 1;
                self.last.receipt = position;
                self.receipts.push(ReceiptRow { position, ..row });
            }
            Op::OrderPut(row) => {
                if self.order(row.order).is_none() {
                    self.order_last += 1;
                    let position = self.order_last;
                    self.orders.push(OrderRow { position, closed_at: None, ..row });
                }
            }
            Op::OrderJudge { order, at } => self.order_close(|row| row.order == order, at),
            Op::OrderClose { order, site, at } => {
                self.order_close(|row| (row.order, &row.site) == (order, &site), at);
            }
            Op::OrderForget { order } => self.orders.retain(|row| row.order != order),
            Op::SitePut { site, record } => self.site_put(site, record),
            Op::SeatPut { site, seat } => {
                self.sites.get_mut(&site).expect("admitted only where it is there").seat =
                    Some(seat);
            }
            Op::EntryTake(row) => self.entry_take(row),
            Op::TokenPut(row) => {
                self.tokens.insert(row.secret, TokenRow { used_by: None, ..row });
            }
            Op::TokenUse { secret, by, .. } => {
                let token = self.tokens.get_mut(&secret);
                token.expect("admitted only where it is good").used_by = Some(by);
            }
            Op::TokenForget { until } => self.tokens.retain(|_, token| token.until > until),
            Op::CallAppend(page) => self.call_append(page),
            Op::CallForget { before, rows } => self.call_forget(before, rows),
            Op::ResourcePut(ResourceRow { kind, name, record }) => {
                self.resources.insert((kind, name), record);
            }
            Op::ResourceDelete { kind, name } => {
                self.resources.remove(&(kind, name));
            }
            Op::LogTrim { run, effect, life, from, to } => {
                self.run_mut(run).log.retain(|row| {
                    (row.effect, row.life) != (effect, life) || !(from..to).contains(&row.start)
                });
            }
        }
    }

    fn site_put(&mut self, site: SiteName, record: Bytes) {
        let row = self.sites.entry(site.clone()).or_insert_with(|| SiteRow {
            site,
            record: Bytes::new(),
            seat: None,
            taken: PerStream::default(),
        });
        row.record = record;
    }

    fn log_append(&mut self, row: LogRow) {
        self.log_position += 1;
        let position = self.log_position;
        let log = &mut self.run_mut(row.run).log;
        log.push_back(LogRow { position, ..row });
        if log.len() > LOG_PIECES_MAX as usize {
            log.pop_front();
        }
    }

    pub(super) fn run_mut(&mut self, run: RunId) -> &mut Run {
        self.runs.get_mut(&run).expect("admitted only where the run exists")
    }
}
