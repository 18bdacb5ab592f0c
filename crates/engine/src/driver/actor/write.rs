//! Writing a run down: records, row, snapshot and outcome in one commit.

use base::Timestamp;
use store::{CommitError, RunRow, RunState, Sequence};
use tokio::sync::mpsc;

use super::begin::suspended_event;
use super::{Actor, KEEP_WAITING_MAX};
use crate::dispatch::Waiter;
use crate::driver::Command;
use crate::driver::commit::{put_ops, put_snapshot};
use crate::failpoint;
use crate::machine::Effect;
use crate::record::{Decided, Ended, Happened};

/// Records that may wait for the next commit: results of expressions need no commit of their own.
const PENDING_MAX: usize = 256;

/// Records after which a snapshot is taken.
const SNAPSHOT_RECORDS: u64 = 1_000;

/// Phases that a run which computes on and on walks through before a snapshot is taken: what one record
/// may walk through.
const SNAPSHOT_STEPS: u64 = 10_000;

/// How long to wait after a full disk or a failed write before trying again.
pub(super) const WRITE_RETRY: std::time::Duration = std::time::Duration::from_secs(1);

impl Actor {
    /// Writes down what must be durable before anything else happens. Results of expressions alone
    /// wait for the next commit: nothing outside has come of them.
    pub(super) async fn record(
        &mut self,
        alone: bool,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Result<(), CommitError> {
        let only_evaluates =
            |effect: &Effect| matches!(effect, Effect::Evaluate(..) | Effect::EvaluateList(..));
        let can_wait = self
            .unwritten
            .iter()
            .all(|record| matches!(record.happened, Happened::Evaluated { .. }))
            && self.undone.iter().all(only_evaluates)
            && self.unwritten.len() < PENDING_MAX
            && !self.machine.is_unfinished()
            && !self.machine.is_suspended();
        let rests = !self.asleep && self.away_until(self.driver.now(), alone).is_some();
        if (self.unwritten.is_empty() || can_wait) && !rests && !self.could_not {
            return Ok(());
        }
        loop {
            match self.commit(alone).await {
                Err(error @ (CommitError::Full | CommitError::Write(_))) => {
                    tracing::error!(run = %self.run, %error, "the run waits until it can be written");
                    tokio::select! {
                        () = self.driver.0.stopping.cancelled() => return Err(error),
                        // A cancel ends the run, and for ending it there is always room.
                        Some(command) = commands.recv() => self.obey(command),
                        () = tokio::time::sleep(WRITE_RETRY) => {}
                    }
                }
                other => return other,
            }
        }
    }

    pub(super) async fn commit(&mut self, alone: bool) -> Result<(), CommitError> {
        self.commit_beside(alone, Vec::new()).await
    }

    /// With what somebody else wants to be durable at the same moment, or not at all.
    pub(super) async fn commit_beside(
        &mut self,
        alone: bool,
        beside: Vec<store::Op>,
    ) -> Result<(), CommitError> {
        failpoint::pass(failpoint::BEFORE_COMMIT);
        let now = self.unwritten.last().map_or_else(|| self.driver.now(), |record| record.at);
        let was_queued = self.summary.queued.is_some();
        let row = self.next_row(now, alone);
        let is_new = self.durable == Sequence::ZERO;
        let mut ops = beside;
        ops.reserve(self.unwritten.len() + 3);
        if is_new {
            ops.push(store::Op::RunCreate(row.clone()));
        } else if row != self.row {
            ops.push(store::Op::RunUpdate(row.clone()));
        }
        let held = self.held.iter().cloned();
        ops.extend(held.map(|(blob, bytes)| store::Op::BlobPut { blob, bytes }));
        put_ops(&mut ops, self.run, &self.unwritten);
        self.told_of_row(&row, now);
        ops.extend(self.events.iter().cloned().map(store::Op::EventAppend));
        let is_due =
            self.since_snapshot >= SNAPSHOT_RECORDS || self.steps_since_snapshot >= SNAPSHOT_STEPS;
        if is_due {
            let frozen = self.machine.freeze();
            put_snapshot(&mut ops, self.run, self.last, frozen);
        }
        self.put_outcomes(&mut ops, &row);
        let mut preconditions = self.driver.owned();
        if !is_new {
            preconditions.run = Some((self.run, self.durable));
        }
        self.driver.0.parts.store.commit(ops, preconditions).await?;
        failpoint::pass(failpoint::AFTER_COMMIT);
        self.driver.0.ears.raise(&self.events);
        self.events.clear();
        if is_due {
            (self.since_snapshot, self.steps_since_snapshot) = (0, 0);
            self.driver.has_grown(self.last.0);
        }
        if let Some(at) = row.wake_at {
            self.driver.0.alarm.set(at);
        }
        if was_queued || row.ended_at.is_some() {
            self.tell_dispatcher(&row, was_queued);
        }
        if row.ended_at.is_some() {
            self.driver.tell_end(self.run);
        }
        self.asleep = row.wake_at.is_some();
        self.row = row;
        self.durable = self.last;
        self.unwritten.clear();
        self.held.clear();
        Ok(())
    }

    /// Whether the run waits for its turn, and that it gives up its place, once that is durable.
    fn tell_dispatcher(&self, row: &RunRow, was_queued: bool) {
        let dispatch = &self.driver.0.dispatch;
        let is_suspended = row.state == RunState::Suspended;
        if self.machine.is_queued() && !is_suspended {
            dispatch.queue(Waiter::of_row(row, Some(&self.summary)));
        } else if is_suspended || was_queued || self.summary.runs_at_once.is_some() {
            let keeps = row.ended_at.is_none() && !self.machine.is_queued();
            if !keeps {
                dispatch.leave(self.run, &row.key);
            }
        }
    }

    /// A run that could not be followed goes on again.
    fn told_of_row(&mut self, row: &RunRow, now: Timestamp) {
        if std::mem::take(&mut self.could_not) {
            let row = RunRow { updated_at: now, ..row.clone() };
            let event = suspended_event(&self.driver, &row, &self.summary.version, false);
            // Before what has come of it.
            self.events.splice(0..0, event);
        }
    }

    /// The run's row after what is about to be written.
    fn next_row(&mut self, now: Timestamp, alone: bool) -> RunRow {
        let mut row = self.row.clone();
        row.state = self.machine.state();
        self.awaiting.retain(|asker| !asker.is_closed());
        row.wake_at = self.away_until(now, alone);
        row.ended_at = None;
        if row.state != RunState::Suspended && self.summary.suspended.take().is_some() {
            row.summary = self.summary.encode();
        }
        if !self.machine.is_queued() && self.summary.queued.take().is_some() {
            row.summary = self.summary.encode();
        }
        if self.summary.labels[..] != self.machine.labels()[..] {
            self.summary.labels = self.machine.labels().to_vec();
            row.summary = self.summary.encode();
        }
        let looked = match row.state {
            RunState::Suspended => self.ear.looked().or(self.summary.looked),
            _ => None,
        };
        if looked != self.summary.looked {
            self.summary.looked = looked;
            row.summary = self.summary.encode();
        }
        if let Some(ended) = self.machine.ended() {
            row.ended_at = Some(now);
            self.summary.close(ended);
            row.summary = self.summary.encode();
        } else if self.row.state.has_ended() {
            self.summary.reopen();
            row.summary = self.summary.encode();
        }
        if row != self.row {
            self.summary.usage = self.machine.usage();
            row.summary = self.summary.encode();
            row.updated_at = now;
        }
        row
    }

    /// Until when the run may be put away: it only waits, long enough, and nobody looks on.
    fn away_until(&self, now: Timestamp, alone: bool) -> Option<Timestamp> {
        let watched = !alone || self.is_watched();
        let wake = self.machine.wake_at().filter(|at| at.since(now) > KEEP_WAITING_MAX);
        // A listening run stays: the next event finds it here.
        let watched = watched || self.machine.is_listening();
        wake.filter(|_| !watched && self.machine.state() == RunState::Waiting)
    }

    /// One outcome for each end that is about to be written: a retry may fault again at once.
    fn put_outcomes(&self, ops: &mut Vec<store::Op>, row: &RunRow) {
        let ends: Vec<(Timestamp, &Ended)> = self
            .unwritten
            .iter()
            .flat_map(|record| record.decided.iter().map(move |decided| (record.at, decided)))
            .filter_map(|(at, decided)| match decided {
                Decided::Ended(ended) => Some((at, ended)),
                _ => None,
            })
            .collect();
        let next = self.machine.outcome_number() + u32::from(self.machine.ended().is_some());
        let first = next.saturating_sub(u32::try_from(ends.len()).unwrap_or(u32::MAX));
        for ((at, ended), number) in ends.into_iter().zip(first..) {
            ops.push(self.machine.outcome_op(row, ended, number, at));
        }
    }
}
