//! Retention: runs that ended long enough ago are forgotten, and the room that they took is given back.
//!
//! A reconciler: it reads what should be (the keep times of the site and of each workflow) and what is
//! (runs that have ended), and forgets in small steps, with a rest after each. What a store forgets with
//! a run is in `store`; old records of long runs are the business of `engine::compact`. How long runs
//! are kept is described in `docs/guide/retention.md`.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base::name::WorkflowKey;
use base::stream::Stream;
use base::{Clock, Digest, RunId, Timestamp};
use engine::compact::{self, CompactError, RECORDS_KEPT_MIN};
use engine::driver::{Driver, Summary};
use engine::pace::Pacer;
use futures::future::{join, join_all};
use link::site::{KEPT_FOR_A_HUB, KeepError, prune};
use server::SITE_ACTOR;
use spec::Keep;
use spec::resolved::{Around, Resolved};
use store::{
    CommitError, EndedQuery, EventLimits, Op, Preconditions, RunRow, RunState, Store, StoreError,
};
use tokio_util::sync::CancellationToken;
use wire::StoreCompacted;
use worker::Catalog;

use crate::config::{Config, Journals};
use crate::{dispatch, schedule};

/// Runs that are forgotten in one step: a few milliseconds of the writer's time. More at once would write
/// fewer pages, since the records of runs that ended side by side lie on the same ones; but with 256 the
/// slowest hundredth of runs beside them took two to three times as long.
const RUNS_PAGE: u32 = 32;

/// Rows of forgotten runs that are cleared away in one step, likewise.
const CLEAR_ROWS: u32 = 500;

/// Events that are forgotten in one step, likewise.
const EVENTS_ROWS: u32 = 500;

/// Orders that are forgotten in one step, likewise.
const ORDERS_PAGE: u32 = 100;

/// Room that is given back in one step, likewise.
const RECLAIM_BYTES: u64 = 512 * 1024;

/// Free room that a store keeps for what comes next, so that it does not shrink and grow all the time.
const FREE_BYTES_KEPT: u64 = 16 * 1024 * 1024;

/// The same for a large store, as its part of the whole: giving a page back has others
/// written, and it is taken again soon.
const FREE_PART_KEPT: u64 = 8;

/// Runs of one workflow that are needed still and passed over in one look; the next look goes on behind
/// them.
const PASSED_OVER_MAX: usize = 1_000;

/// One kind of work, before it is another's turn: runs that end faster than they are forgotten must not
/// keep events for ever.
const TURN: Duration = Duration::from_secs(1);

/// Between two looks at least.
const SLEEP_MIN: Duration = Duration::from_secs(1);

/// And at most: a workflow whose keep time was shortened is noticed after this.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tidied {
    pub runs: u64,
    pub records: u64,
    /// Given back to the disk.
    pub bytes: u64,
    /// Room inside the store that is free for what comes next.
    pub free_bytes: u64,
    /// The time was over before all was done.
    pub more: bool,
}

impl From<Tidied> for StoreCompacted {
    fn from(done: Tidied) -> Self {
        Self {
            runs_forgotten: done.runs,
            records_forgotten: done.records,
            bytes_given_back: done.bytes,
            bytes_free: done.free_bytes,
            more: done.more,
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Forgotten {
    runs: u64,
    /// When the next run's time is over.
    next: Option<Timestamp>,
    /// The time was over before all was done.
    more: bool,
}

/// Some runs of one workflow whose time is over.
struct Due {
    forget: Vec<Op>,
    /// How many of them must stay all the same.
    needed: usize,
    last: (Timestamp, RunId),
}

#[derive(Debug, thiserror::Error)]
pub enum TidyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Compact(#[from] CompactError),
    #[error(transparent)]
    Keep(#[from] KeepError),
}

/// Keeps a store as small as its owner wants it. Cheap to clone.
#[derive(Clone)]
pub struct Tidying(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    catalog: Catalog,
    keep: Keep,
    journals: Journals,
    events: EventLimits,
    /// What the heads of workflows say.
    keeps: Mutex<HashMap<WorkflowKey, (Digest, Option<Keep>)>>,
    /// Where the next look at a workflow begins, where the last one did not come to its end.
    cursors: Mutex<HashMap<WorkflowKey, (Timestamp, RunId)>>,
    /// The workflow whose runs were looked at when the time was over: the next look begins behind it.
    looked_at: Mutex<Option<WorkflowKey>>,
}

impl Tidying {
    #[must_use]
    pub fn new(store: Arc<dyn Store>, config: &Config, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            store,
            clock,
            catalog: Catalog::shipped(),
            keep: config.keep,
            journals: config.journals,
            events: config.events,
            keeps: Mutex::default(),
            cursors: Mutex::default(),
            looked_at: Mutex::default(),
        }))
    }

    /// Forgets what is due, again and again, until `closing`.
    pub(crate) async fn run(self, driver: Driver, closing: CancellationToken) {
        let mut pace = Pacer::gentle();
        loop {
            let next = tokio::select! {
                () = closing.cancelled() => return,
                worked = self.take_turns(&mut pace, &driver) => worked.unwrap_or_else(|error| {
                    tracing::error!(%error, "cannot forget runs whose time is over");
                    Forgotten::default()
                }),
            };
            if next.more {
                continue;
            }
            let next = next.next;
            let now = self.0.clock.now();
            let sleep = next.map_or(SLEEP_MAX, |next| next.since(now).as_std());
            let sleep = sleep.clamp(SLEEP_MIN, SLEEP_MAX);
            tokio::select! {
                () = closing.cancelled() => return,
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Each kind of work for as long as it is due, but not longer than its turn.
    async fn take_turns(&self, pace: &mut Pacer, driver: &Driver) -> Result<Forgotten, TidyError> {
        let turn = || Some(Instant::now() + TURN);
        let mut done = self.forget_runs(pace, turn()).await?;
        let until = turn();
        self.forget_events(pace, driver, until).await?;
        done.more |= is_over(until);
        let until = turn();
        self.forget_sent(pace, until).await?;
        done.more |= is_over(until);
        // While more is to be forgotten, the room is for what comes next.
        if !done.more {
            let until = turn();
            let whole = self.0.store.reclaim(0).await?.whole_bytes;
            self.give_back(pace, FREE_BYTES_KEPT.max(whole / FREE_PART_KEPT), until).await?;
            done.more = is_over(until);
        }
        Ok(done)
    }

    /// All that is due now, or as much of it as can be done in `time`.
    /// Without a driver nobody knows what runs have still to hear, and no event is forgotten.
    pub async fn tidy(&self, time: Duration, driver: Option<&Driver>) -> Result<Tidied, TidyError> {
        let until = Instant::now() + time;
        let mut pace = Pacer::swift();
        let mut done = Tidied::default();
        if self.0.journals == Journals::Compact {
            done.more = true;
        }
        while done.more && Instant::now() < until {
            let step = compact::step(&*self.0.store, RECORDS_KEPT_MIN, &mut pace).await?;
            done.records += step.records;
            done.more = step.more;
        }
        let forgotten = self.forget_runs(&mut pace, Some(until)).await?;
        (done.runs, done.more) = (forgotten.runs, done.more || forgotten.more);
        if let Some(driver) = driver {
            self.forget_events(&mut pace, driver, Some(until)).await?;
        }
        self.forget_sent(&mut pace, Some(until)).await?;
        let given = self.give_back(&mut pace, 0, Some(until)).await?;
        (done.bytes, done.free_bytes) = (given.bytes, given.free_bytes);
        done.more |= Instant::now() >= until;
        Ok(done)
    }

    async fn forget_runs(
        &self,
        pace: &mut Pacer,
        until: Option<Instant>,
    ) -> Result<Forgotten, TidyError> {
        let mut key = self.looked_at().take();
        // What the workflows before it have is looked at next.
        let mut forgotten = Forgotten { more: key.is_some(), ..Forgotten::default() };
        self.clear(pace, until).await?;
        while let Some(next) = self.0.store.run_ended_key(key).await? {
            if let Keep::For(keep) = self.keep_of(&next).await? {
                let of = self.forget_of(&next, keep, pace, until).await?;
                forgotten.runs += of.runs;
                forgotten.next = [forgotten.next, of.next].into_iter().flatten().min();
            }
            if is_over(until) {
                *self.looked_at() = Some(next);
                return Ok(Forgotten { more: true, ..forgotten });
            }
            key = Some(next);
        }
        Ok(forgotten)
    }

    /// Clears away what forgotten runs have left.
    async fn clear(&self, pace: &mut Pacer, until: Option<Instant>) -> Result<(), TidyError> {
        while self.0.store.clear_is_due().await? && !is_over(until) {
            self.forget(Op::Clear { rows: CLEAR_ROWS }, pace).await?;
        }
        Ok(())
    }

    /// Forgets old events, but for those that somebody has still to hear.
    async fn forget_events(
        &self,
        pace: &mut Pacer,
        driver: &Driver,
        until: Option<Instant>,
    ) -> Result<(), TidyError> {
        if !self.0.store.event_kept().await?.exceeds(self.0.events) {
            return Ok(());
        }
        // Who begins to listen from here on listens to what comes from here on.
        let newest = self.0.store.event_last();
        let needs = [driver.events_needed().await?, schedule::events_needed(&*self.0.store).await?];
        let needed = needs.into_iter().flatten().min().unwrap_or(newest);
        self.forget_events_before(pace, needed, until).await
    }

    async fn forget_events_before(
        &self,
        pace: &mut Pacer,
        needed: u64,
        until: Option<Instant>,
    ) -> Result<(), TidyError> {
        let kept = self.0.events;
        loop {
            let there = self.0.store.event_kept().await?;
            if !there.exceeds(kept) || there.oldest >= needed || is_over(until) {
                return Ok(());
            }
            let forget = Op::EventForget { needed, kept, rows: EVENTS_ROWS };
            self.forget(forget, pace).await?;
            let gone = self.0.store.event_kept().await?.oldest.saturating_sub(there.oldest);
            // Those that have come meanwhile are worth no step of their own.
            if gone < u64::from(EVENTS_ROWS) {
                return Ok(());
            }
        }
    }

    /// Forgets what the hub has had for so long that it will not ask for it again.
    async fn forget_sent(&self, pace: &mut Pacer, until: Option<Instant>) -> Result<(), TidyError> {
        let before = self.0.clock.now().minus(KEPT_FOR_A_HUB);
        for stream in Stream::ALL {
            while pace.step(prune(&*self.0.store, stream, before)).await? && !is_over(until) {}
        }
        // Orders whose time is over, and whose receipts are gone.
        loop {
            let past = self.0.store.order_past(self.0.clock.now(), ORDERS_PAGE).await?;
            let is_last = past.len() < ORDERS_PAGE as usize;
            if !past.is_empty() {
                let forget = past.into_iter().map(|order| Op::OrderForget { order }).collect();
                pace.step(self.0.store.commit(forget, self.owned())).await?;
            }
            if is_last || is_over(until) {
                return Ok(());
            }
        }
    }

    /// Forgets the runs of one workflow that ended long enough ago.
    async fn forget_of(
        &self,
        key: &WorkflowKey,
        keep: base::Duration,
        pace: &mut Pacer,
        deadline: Option<Instant>,
    ) -> Result<Forgotten, TidyError> {
        let until = self.0.clock.now().minus(keep);
        let query = |after| EndedQuery { key: key.clone(), until, after, limit: RUNS_PAGE };
        let (mut forgotten, mut passed_over) = (Forgotten::default(), 0);
        let mut after = self.cursors().remove(key);
        let mut page = self.due(query(after)).await?;
        while let Some(Due { forget, needed, last }) = page {
            after = Some(last);
            pace.late(until.since(last.0).as_std());
            // One commit each, so that a run that was taken up again just now stops no other. The writer
            // makes one of all that wait.
            let forget = forget.into_iter().map(|op| self.0.store.commit(vec![op], self.owned()));
            let forget = pace.step(join_all(forget));
            // Readers look at the next meanwhile.
            let (results, next) = join(forget, self.due(query(after))).await;
            for result in results {
                match result {
                    Ok(()) => forgotten.runs += 1,
                    Err(CommitError::RunMissing(_) | CommitError::RunGoesOn(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            // Before the next are forgotten, so that what is left of them does not pile up.
            self.clear(pace, deadline).await?;
            passed_over += needed;
            if passed_over >= PASSED_OVER_MAX || is_over(deadline) {
                self.cursors().insert(key.clone(), last);
                return Ok(forgotten);
            }
            page = next?;
        }
        let later = Timestamp::from_millis(i64::MAX);
        let next = EndedQuery { key: key.clone(), until: later, after, limit: 1 };
        let next = self.0.store.run_ended(next).await?;
        forgotten.next = next.first().and_then(|row| row.ended_at).map(|at| at.plus(keep));
        Ok(forgotten)
    }

    /// The next runs whose time is over. What they have has been read.
    async fn due(&self, query: EndedQuery) -> Result<Option<Due>, TidyError> {
        let page = self.0.store.run_ended(query).await?;
        let last = page.last().and_then(|row| Some((row.ended_at?, row.run)));
        let Some(last) = last else { return Ok(None) };
        let mut due = Due { forget: Vec::new(), needed: 0, last };
        for row in &page {
            if self.is_needed(row).await? {
                due.needed += 1;
            } else {
                due.forget.push(Op::RunForget { run: row.run });
            }
        }
        self.0.store.read_ahead(due.forget.clone()).await?;
        Ok(Some(due))
    }

    /// Whether somebody may ask for this run again: its parent goes on, or can be retried, and would
    /// begin it anew; or another site is still to be told how it has ended.
    async fn is_needed(&self, row: &RunRow) -> Result<bool, StoreError> {
        // Where it cannot be read, nobody knows whose it is.
        let Ok(Summary { parent, started_by, .. }) = Summary::decode(&row.summary) else {
            return Ok(true);
        };
        if started_by.starts_with(SITE_ACTOR)
            && dispatch::is_awaited(self.0.store.as_ref(), row.run).await?
        {
            return Ok(true);
        }
        let Some(parent) = parent.filter(|parent| parent.awaited) else { return Ok(false) };
        let parent = self.0.store.run_get(parent.run).await?;
        Ok(parent.is_some_and(|row| !row.state.has_ended() || row.state == RunState::Faulted))
    }

    /// Gives free room back to the disk, but for `kept` bytes of it, and what a crash has left behind.
    async fn give_back(
        &self,
        pace: &mut Pacer,
        kept: u64,
        until: Option<Instant>,
    ) -> Result<store::Reclaimed, TidyError> {
        let mut given = self.0.store.reclaim(0).await?;
        while (given.free_bytes > kept || given.files_left) && !is_over(until) {
            let free = given.free_bytes.saturating_sub(kept);
            let step = pace.step(self.0.store.reclaim(RECLAIM_BYTES.min(free))).await?;
            (given.free_bytes, given.files_left) = (step.free_bytes, step.files_left);
            given.bytes += step.bytes;
            if step.bytes == 0 && !given.files_left {
                break;
            }
        }
        Ok(given)
    }

    /// How long the runs of a workflow are kept, as its head says now.
    async fn keep_of(&self, key: &WorkflowKey) -> Result<Keep, StoreError> {
        let Some(head) = self.0.store.workflow_get(key.clone()).await? else {
            return Ok(self.0.keep);
        };
        if let Some((revision, keep)) = self.keeps().get(key)
            && *revision == head.revision
        {
            return Ok(keep.unwrap_or(self.0.keep));
        }
        let row = self.0.store.revision_get(key.clone(), head.revision).await?;
        let keep = row.and_then(|row| {
            let resolved = Resolved::decode(&row.resolved).ok()?;
            let around = Around { catalog: &self.0.catalog, resolved: &resolved };
            let read = spec::read(std::str::from_utf8(&row.text).ok()?, &around).ok()?;
            Some(read.workflow.document.keep)
        });
        // Nothing is forgotten by a rule that this binary cannot read.
        let keep = keep.unwrap_or(Some(Keep::Forever));
        self.keeps().insert(key.clone(), (head.revision, keep));
        Ok(keep.unwrap_or(self.0.keep))
    }

    /// Nobody's commit waits for the disk meanwhile: what is deleted has been read.
    async fn forget(&self, forget: Op, pace: &mut Pacer) -> Result<(), TidyError> {
        self.0.store.read_ahead(vec![forget.clone()]).await?;
        Ok(pace.step(self.0.store.commit(vec![forget], self.owned())).await?)
    }

    fn owned(&self) -> Preconditions {
        Preconditions { run: None, epoch: Some(self.0.store.epoch()) }
    }

    fn keeps(&self) -> std::sync::MutexGuard<'_, HashMap<WorkflowKey, (Digest, Option<Keep>)>> {
        // No change of the map can panic half way.
        self.0.keeps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looked_at(&self) -> std::sync::MutexGuard<'_, Option<WorkflowKey>> {
        self.0.looked_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cursors(&self) -> std::sync::MutexGuard<'_, HashMap<WorkflowKey, (Timestamp, RunId)>> {
        self.0.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_over(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
}
