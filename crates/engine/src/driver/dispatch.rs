//! The dispatcher at work: hands slots to runs as they become free. Who goes next is decided in
//! [`crate::dispatch`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::RunId;
use base::name::WorkflowKey;
use store::RunRow;
use tokio::sync::Notify;
use tokio::sync::mpsc::error::TrySendError;

use super::{Command, Driver, Inner, Summary};
use crate::dispatch::{Arrival, Limits, Runs, Waiter, Weights, Why};

/// Runs active at once, where the site does not say otherwise. One takes some ten kilobytes beside
/// its values, and as many have all processors of a site busy.
pub const RUNS_ACTIVE_MAX: usize = 1_000;

/// Runs that wait to begin. Each takes about 150 bytes of memory; who has more than this to do has a
/// list of his own.
pub const RUNS_QUEUED_MAX: usize = 100_000;

/// What the owner of a site says about who goes first, and how much at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub runs_active_max: usize,
    pub runs_queued_max: usize,
    pub weights: Weights,
    /// Effects at once in each pool. `None` where nothing is known of pools, as on a trial: then every
    /// name is one without an end.
    pub pools: Option<BTreeMap<String, usize>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            runs_active_max: RUNS_ACTIVE_MAX,
            runs_queued_max: RUNS_QUEUED_MAX,
            weights: Weights::default(),
            pools: Some(BTreeMap::new()),
        }
    }
}

pub(super) struct Dispatch {
    runs: Mutex<Runs>,
    /// Somebody waits, and there is a slot.
    pub(super) freed: Notify,
}

/// Leave to be active. Given back when it is dropped.
pub(super) struct Slot(Arc<Dispatch>);

impl Drop for Slot {
    fn drop(&mut self) {
        // Only a word to the dispatcher: locks may be held here that it needs.
        if self.0.runs().slot_free() {
            self.0.freed.notify_one();
        }
    }
}

/// What becomes of a run that is about to be started.
pub(super) enum Start {
    /// Perhaps with a place that it did not have before.
    Now {
        slot: Slot,
        placed: bool,
    },
    Queued(Why),
    Full,
}

impl Dispatch {
    pub(super) fn new(settings: &Settings) -> Self {
        let limits = Limits {
            active_max: settings.runs_active_max,
            queued_max: settings.runs_queued_max,
            weights: settings.weights.clone(),
        };
        Self { runs: Mutex::new(Runs::new(limits)), freed: Notify::new() }
    }

    pub(super) fn start(self: &Arc<Self>, waiter: &Waiter) -> Start {
        let mut runs = self.runs();
        let had_place = runs.has_place(waiter.run, &waiter.key);
        match runs.arrive(waiter) {
            Arrival::Now => {
                let placed = waiter.limit.is_some() && !had_place;
                Start::Now { slot: Slot(Arc::clone(self)), placed }
            }
            Arrival::Later(why) => Start::Queued(why),
            Arrival::Full => Start::Full,
        }
    }

    /// Lets a run wait for its turn.
    pub(super) fn queue(&self, waiter: Waiter) {
        let mut runs = self.runs();
        runs.queue(waiter);
        if runs.has_next() {
            self.freed.notify_one();
        }
    }

    /// A slot for a run that goes on without having waited.
    pub(super) fn slot(self: &Arc<Self>) -> Slot {
        self.runs().slot_take();
        Slot(Arc::clone(self))
    }

    /// The run has ended, or does not want to begin any more.
    pub(super) fn leave(&self, run: RunId, key: &WorkflowKey) {
        let mut runs = self.runs();
        runs.leave(run, key);
        if runs.has_next() {
            self.freed.notify_one();
        }
    }

    pub(super) fn place(&self, run: RunId, key: &WorkflowKey) {
        self.runs().place(run, key);
    }

    pub(super) fn place_if_free(&self, run: RunId, key: &WorkflowKey, limit: u32) -> bool {
        self.runs().place_if_free(run, key, limit)
    }

    pub(super) fn has_place(&self, run: RunId, key: &WorkflowKey) -> bool {
        self.runs().has_place(run, key)
    }

    pub(super) fn is_queued(&self, run: RunId) -> bool {
        self.runs().is_queued(run)
    }

    pub(super) fn queued(&self) -> usize {
        self.runs().queued()
    }

    fn next(self: &Arc<Self>) -> Option<(RunId, Slot)> {
        let run = self.runs().next()?;
        Some((run, Slot(Arc::clone(self))))
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        // Every change is one call of a pure type.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets runs go on as slots become free, until the driver stops.
pub(super) async fn run(driver: Driver) {
    loop {
        while let Some((run, slot)) = driver.0.dispatch.next() {
            driver.0.go(&driver, run, slot);
        }
        // There may be room again for runs that are due.
        driver.0.room.notify_one();
        tokio::select! {
            () = driver.0.stopping.cancelled() => return,
            () = driver.0.dispatch.freed.notified() => {}
        }
    }
}

impl Inner {
    /// Hands a slot to a run, which is taken up where it is not in memory.
    pub(super) fn go(&self, driver: &Driver, run: RunId, slot: Slot) {
        let (sender, sent) = self.hand(driver, &mut self.actors(), run, Command::Go(slot));
        if let Err(TrySendError::Full(go) | TrySendError::Closed(go)) = sent {
            // A flood of commands waits at it. It has its turn after them, or is taken up again.
            let driver = driver.clone();
            self.tasks.spawn(async move {
                if let Err(lost) = sender.send(go).await
                    && let Command::Go(slot) = lost.0
                    && !driver.0.stops()
                {
                    driver.0.go(&driver, run, slot);
                }
            });
        }
    }
}

impl Waiter {
    /// A run that goes on, or begins, as its row says.
    pub(super) fn of_row(row: &RunRow, summary: Option<&Summary>) -> Self {
        let is_queued = summary.is_some_and(|summary| summary.queued.is_some());
        Self {
            run: row.run,
            key: row.key.clone(),
            priority: summary.map_or(0, |summary| summary.priority),
            since: row.wake_at.unwrap_or(row.created_at),
            // One that has begun has its place.
            limit: summary.filter(|_| is_queued).and_then(|summary| summary.runs_at_once),
        }
    }
}
