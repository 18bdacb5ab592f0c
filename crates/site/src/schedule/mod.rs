//! Schedules: begins the runs whose time has come.
//!
//! A reconciler: it reads what should be (the rows that applying a workflow has written) and what is
//! (the clock, the runs that are waited for), does the next step, and sleeps until the next time. A
//! nudge only makes it look sooner. When something is due is decided in `due`, and in which form it
//! is kept in `definition`. Those that begin by events are in `on`.

mod definition;
mod due;
mod need;
mod on;
#[cfg(test)]
mod on_tests;
mod sets;
#[cfg(test)]
mod tests;
mod view;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::name::WorkflowKey;
use base::{Clock, RunId, Timestamp};
use engine::failpoint;
use futures::StreamExt as _;
use server::Caller;
use store::{Op, ScheduleRow, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::evaluate::Evaluators;
use crate::refusal::Refusal;
use crate::run::Runs;
use crate::start::{Beside, RunOrder};
use crate::workflow::Workflows;

use definition::{Beat, Definition};
pub(crate) use need::events_needed;
pub use sets::{Heard, Sets, Taken, Whole};
pub(crate) use view::view;

/// Rows that are read at once; the next ones follow immediately.
const PAGE: u32 = 500;

/// Runs that are being started at once, when many schedules have the same time.
const STARTING_MAX: usize = 32;

/// The longest sleep. A machine that was suspended, or whose clock was set, is noticed after this.
const SLEEP_MAX: std::time::Duration = std::time::Duration::from_secs(60);

/// After something that could not be done, such as a start on a full disk.
const RETRY: std::time::Duration = std::time::Duration::from_secs(5);

/// Who starts these runs, in their records.
pub(crate) const ACTOR: &str = "schedule";

#[derive(Clone)]
pub(crate) struct Schedules(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    workflows: Workflows,
    runs: Runs,
    evaluators: Evaluators,
    clock: Arc<dyn Clock>,
    /// A schedule has changed, or a run that is waited for has ended.
    nudge: Arc<Notify>,
    /// Runs whose end says when the next one begins.
    awaited: Mutex<HashMap<RunId, (WorkflowKey, String)>>,
}

impl Schedules {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        workflows: Workflows,
        runs: Runs,
        evaluators: Evaluators,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let nudge = workflows.schedules_changed();
        let schedules = Self(Arc::new(Inner {
            store,
            workflows,
            runs,
            evaluators,
            clock,
            nudge,
            awaited: Mutex::default(),
        }));
        let told = Arc::downgrade(&schedules.0);
        schedules.0.runs.driver.on_end(move |run| {
            let Some(inner) = told.upgrade() else { return };
            if inner.awaited().contains_key(&run) {
                inner.nudge.notify_one();
            }
        });
        schedules
    }

    /// Until the site closes.
    pub(crate) async fn run(self, closing: CancellationToken) {
        tokio::join!(self.clone().keep_times(closing.clone()), self.hear_events(closing));
    }

    async fn keep_times(self, closing: CancellationToken) {
        let mut is_known = false;
        loop {
            let step = async {
                if !is_known {
                    self.remember_awaited().await?;
                    is_known = true;
                }
                self.reconcile().await
            };
            let sleep = tokio::select! {
                () = closing.cancelled() => return,
                sleep = step => sleep,
            };
            let sleep = sleep.unwrap_or_else(|refusal| {
                tracing::error!(?refusal, "cannot keep the schedules");
                RETRY
            });
            tokio::select! {
                () = closing.cancelled() => return,
                () = self.0.nudge.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// After a start: whose end is waited for stands in the rows.
    async fn remember_awaited(&self) -> Result<(), Refusal> {
        let mut after = None;
        loop {
            let page = self.0.store.schedule_list(after, PAGE).await?;
            for row in &page {
                self.0.remember(row);
            }
            match page.last() {
                Some(last) if page.len() == PAGE as usize => {
                    after = Some((last.key.clone(), last.trigger.clone()));
                }
                _ => return Ok(()),
            }
        }
    }

    /// Does what is due, and says how long nothing will be.
    async fn reconcile(&self) -> Result<std::time::Duration, Refusal> {
        self.look_at_awaited().await?;
        let now = self.0.clock.now();
        let rows = self.0.store.schedule_due(now, PAGE).await?;
        let steps = rows.into_iter().map(|row| self.clone().keep_or_say(row, now));
        let steps: Vec<bool> =
            futures::stream::iter(steps).buffer_unordered(STARTING_MAX).collect().await;
        if steps.contains(&false) {
            return Ok(RETRY);
        }
        let next = self.0.store.schedule_next().await?;
        let now = self.0.clock.now();
        Ok(next.map_or(SLEEP_MAX, |next| next.since(now).as_std().min(SLEEP_MAX)))
    }

    async fn keep_or_say(self, row: ScheduleRow, now: Timestamp) -> bool {
        let kept = self.keep(&row, now).await;
        if let Err(error) = &kept {
            tracing::error!(workflow = %row.key, trigger = row.trigger, error, "cannot keep a schedule");
        }
        kept.is_ok()
    }

    async fn look_at_awaited(&self) -> Result<(), Refusal> {
        let awaited: Vec<_> =
            self.0.awaited().iter().map(|(run, name)| (*run, name.clone())).collect();
        for (run, (key, trigger)) in awaited {
            let found = self.0.store.run_get(run).await?;
            let ended_at = match &found {
                // It was never started, since its workflow went away just then.
                None => Some(self.0.clock.now()),
                Some(row) => row.ended_at.filter(|_| row.state.has_ended()),
            };
            let Some(ended_at) = ended_at else { continue };
            let rows = self.0.store.schedule_get(key).await?;
            let row = rows.iter().find(|row| row.trigger == trigger && row.run == Some(run));
            if let Some(row) = row.filter(|row| row.next_at.is_none())
                && let Ok(Definition { beat: Beat::After(delay), .. }) =
                    Definition::decode(&row.definition)
            {
                let next_at = Some(ended_at.plus(delay));
                self.advance(row, ScheduleRow { next_at, ..row.clone() }).await?;
            }
            self.0.awaited().remove(&run);
        }
        Ok(())
    }

    /// Begins the run of a row whose time has come, and writes down when the next one is.
    async fn keep(&self, row: &ScheduleRow, now: Timestamp) -> Result<(), String> {
        let definition = match Definition::decode(&row.definition) {
            Ok(definition) => definition,
            Err(error) => {
                // It stands still until somebody applies the workflow again.
                let after = ScheduleRow { next_at: None, ..row.clone() };
                self.advance(row, after).await.map_err(|refusal| format!("{refusal:?}"))?;
                return Err(error.to_string());
            }
        };
        let Some(due) = due::due(&definition, row, now) else { return Ok(()) };
        if due.has_missed {
            tracing::warn!(workflow = %row.key, trigger = row.trigger, missed = definition.missed.name(), "times were missed");
        }
        let mut after = ScheduleRow { next_at: due.next, ..row.clone() };
        if let Some(at) = due.fire {
            let run = due::run_id(row, at);
            self.begin(row, run, at).await.map_err(|refusal| format!("{refusal:?}"))?;
            after.fired_at = Some(at);
            after.run = Some(run);
        }
        failpoint::pass(failpoint::AFTER_SCHEDULED);
        self.advance(row, after).await.map_err(|refusal| format!("{refusal:?}"))
    }

    /// Starts the run, or finds it.
    async fn begin(&self, row: &ScheduleRow, run: RunId, at: Timestamp) -> Result<(), Refusal> {
        let order = RunOrder {
            run: Some(run),
            key: row.key.clone(),
            revision: None,
            input: base::value::object([]),
            labels: Vec::new(),
            tags: Vec::new(),
            priority: 0,
            beside: Beside::Nothing,
            reason: Some(format!("`{}` of the schedule, due at {at}", row.trigger)),
            traceparent: None,
        };
        self.0.runs.start(&Caller::named(ACTOR), order).await?;
        Ok(())
    }

    /// Writes the row as it is after a step, unless somebody has changed the schedule meanwhile.
    async fn advance(&self, before: &ScheduleRow, after: ScheduleRow) -> Result<(), Refusal> {
        // In memory first: the run may end before the commit is answered.
        self.0.remember(&after);
        let written = self.0.workflows.schedule_advance(before, after.clone()).await?;
        if !written && let Some(run) = after.run {
            self.0.awaited().remove(&run);
        }
        Ok(())
    }
}

impl Inner {
    fn remember(&self, row: &ScheduleRow) {
        let waits = row.next_at.is_none() && row.trigger == "after";
        if let Some(run) = row.run.filter(|_| waits) {
            self.awaited().insert(run, (row.key.clone(), row.trigger.clone()));
            // It may have ended before anybody waited.
            self.nudge.notify_one();
        }
    }

    fn awaited(&self) -> MutexGuard<'_, HashMap<RunId, (WorkflowKey, String)>> {
        // Every change is one call, so a panic elsewhere leaves nothing half done.
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a commit that applies a workflow writes, so that its schedule is what the document says.
/// A trigger that has not changed keeps its beat. `newest` is the position of the newest event.
pub(crate) fn ops(
    key: &WorkflowKey,
    schedule: Option<&spec::tree::schedule::Schedule>,
    kept: &[ScheduleRow],
    now: Timestamp,
    newest: u64,
) -> Vec<Op> {
    let wanted = schedule.map(|it| definition::definitions(it, newest)).unwrap_or_default();
    let mut ops = Vec::new();
    for row in kept.iter().filter(|row| !wanted.iter().any(|(name, _)| *name == row.trigger)) {
        ops.push(Op::ScheduleDelete { key: key.clone(), trigger: row.trigger.clone() });
    }
    for (name, definition) in wanted {
        let bytes = definition.encode();
        if kept.iter().any(|row| row.trigger == name && is_same(row, &definition, &bytes)) {
            continue;
        }
        ops.push(Op::SchedulePut(ScheduleRow {
            key: key.clone(),
            trigger: name.to_owned(),
            next_at: due::first(&definition, now),
            definition: bytes.into(),
            since: now,
            fired_at: None,
            run: None,
        }));
    }
    ops
}

fn is_same(row: &ScheduleRow, wanted: &Definition, bytes: &[u8]) -> bool {
    let Beat::On(wanted) = &wanted.beat else { return row.definition == bytes };
    // How far it has come stands in the row too.
    matches!(
        Definition::decode(&row.definition),
        Ok(Definition { beat: Beat::On(kept), .. }) if kept.is_to(&wanted.events, wanted.read)
    )
}
