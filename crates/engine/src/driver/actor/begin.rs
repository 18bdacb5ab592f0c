//! How a run comes into memory: it is started, or taken up from its journal.

use std::sync::Arc;

use base::{RunId, Timestamp};
use spec::tree::Workflow;
use store::{CommitError, RunRow, RunState, Sequence, StoreError};
use tokio::sync::{mpsc, oneshot};

use super::Actor;
use crate::dispatch::Waiter;
use crate::driver::commit::{Summary, row_of_start};
use crate::driver::dispatch::{self, Slot};
use crate::driver::load::{LoadError, Loaded, load};
use crate::driver::{COMMANDS_WAITING_MAX, Command, CommandError, Driver, End, StartError};
use crate::lifecycle::{Lifecycle, Subject};
use crate::machine::Machine;
use crate::record::{Happened, Started};

/// How long to wait after the store could not be read.
const READ_RETRY: std::time::Duration = std::time::Duration::from_secs(5);

/// Decides the start, writes it down together with the run's row, and lets the run go.
pub(in crate::driver) async fn start(
    driver: Driver,
    workflow: Arc<Workflow>,
    mut started: Started,
    ended: Option<oneshot::Sender<End>>,
    beside: Vec<store::Op>,
) -> Result<(), StartError> {
    let now = driver.now();
    let mut summary = Summary::of_start(&started);
    summary.runs_at_once = workflow.document.concurrency;
    let waiter = Waiter {
        run: started.run,
        key: started.key.clone(),
        priority: started.priority,
        since: now,
        limit: summary.runs_at_once,
    };
    let (slot, placed) = match driver.0.dispatch.start(&waiter) {
        dispatch::Start::Now { slot, placed } => (Some(slot), placed),
        dispatch::Start::Queued(why) => {
            summary.queued = Some(why.to_string());
            started.queued = true;
            (None, false)
        }
        dispatch::Start::Full => return Err(StartError::Crowded(driver.0.dispatch.queued())),
    };
    let actor = actor_of(&driver, workflow, (started, summary, slot), now);
    let result = begun(&driver, actor, ended, beside).await;
    // Another of the same name may be there, with a place that is its own.
    if result.is_err() && placed {
        driver.0.dispatch.leave(waiter.run, &waiter.key);
    }
    result
}

/// One that has decided its start and written nothing.
fn actor_of(
    driver: &Driver,
    workflow: Arc<Workflow>,
    (started, summary, slot): (Started, Summary, Option<Slot>),
    now: Timestamp,
) -> Box<Actor> {
    let row = row_of_start(&started, &summary, now);
    let loaded =
        Loaded { machine: Machine::new(workflow), last: Sequence::ZERO, since_snapshot: 0 };
    let mut actor = Actor::new(driver.clone(), row, summary, loaded);
    actor.slot = slot;
    actor.decide(now, Happened::Started(Box::new(started))).expect("a new machine can be started");
    actor
}

async fn begun(
    driver: &Driver,
    mut actor: Box<Actor>,
    ended: Option<oneshot::Sender<End>>,
    beside: Vec<store::Op>,
) -> Result<(), StartError> {
    actor.awaiting.extend(ended);
    let run = actor.run;
    let (sender, mut commands) = mpsc::channel(COMMANDS_WAITING_MAX);
    // Before the commit: a command that comes right after it must find the run.
    match driver.0.actors().entry(run) {
        std::collections::hash_map::Entry::Occupied(_) => return Err(StartError::Exists(run)),
        std::collections::hash_map::Entry::Vacant(place) => place.insert(sender),
    };
    if let Err(error) = actor.commit_beside(true, beside).await {
        driver.0.actors().remove(&run);
        hand_on(driver, run, &mut commands);
        return Err(match error {
            CommitError::RunExists(run) => StartError::Exists(run),
            other => StartError::Commit(other),
        });
    }
    driver.0.tasks.spawn(actor.live(commands));
    Ok(())
}

/// Takes a run up from its journal and lets it go on.
pub(in crate::driver) async fn resume(
    driver: Driver,
    run: RunId,
    mut commands: mpsc::Receiver<Command>,
) {
    // What loading takes goes with it: a task keeps room for the largest of all that it awaits.
    match Box::pin(take_up(&driver, run)).await {
        Ok(Some((row, summary, loaded))) => {
            let mut actor = Actor::new(driver, row, summary, loaded);
            actor.undone = actor.machine.outstanding();
            actor.live(commands).await;
        }
        Ok(None) => {
            driver.0.ears.unlisten(run);
            driver.0.actors().remove(&run);
            refuse(&mut commands, || CommandError::Missing(run));
        }
        Err(Failed { what, again }) => {
            tracing::error!(%run, error = what, "the run cannot go on");
            if !again {
                driver.0.ears.unlisten(run);
            }
            driver.0.actors().remove(&run);
            refuse(&mut commands, || CommandError::Suspended(run, what.clone()));
            if again {
                let tasks = driver.0.tasks.clone();
                tasks.spawn(take_up_later(driver, run));
            }
        }
    }
}

/// Commands that came to a start that failed: they are for a run of the same name that is there.
fn hand_on(driver: &Driver, run: RunId, commands: &mut mpsc::Receiver<Command>) {
    commands.close();
    while let Ok(command) = commands.try_recv() {
        match command {
            Command::Go(slot) => driver.0.go(driver, run, slot),
            other => {
                driver.0.send(driver, run, other).ok();
            }
        }
    }
}

type TakenUp = Option<(RunRow, Summary, Loaded)>;

/// Why a run cannot be taken up, and whether that may pass by itself.
struct Failed {
    what: String,
    again: bool,
}

/// The store could not be read: nobody else would think of the run before the next start.
async fn take_up_later(driver: Driver, run: RunId) {
    tokio::select! {
        () = driver.0.stopping.cancelled() => {}
        () = tokio::time::sleep(READ_RETRY) => {
            let slot = driver.0.dispatch.slot();
            driver.0.go(&driver, run, slot);
        }
    }
}

async fn take_up(driver: &Driver, run: RunId) -> Result<TakenUp, Failed> {
    let parts = &driver.0.parts;
    let never = |error: &dyn std::fmt::Display| Failed { what: error.to_string(), again: false };
    let later = |error: StoreError| Failed { what: error.to_string(), again: true };
    let _turn = driver.0.loading.acquire().await.map_err(|closed| never(&closed))?;
    let row = parts.store.run_get(run).await.map_err(later)?;
    let Some(row) = row else { return Ok(None) };
    let summary = Summary::decode(&row.summary).map_err(|error| never(&error))?;
    match load(parts, &driver.0.revisions, &row).await {
        Ok(loaded) => Ok(Some((row, summary, loaded))),
        Err(error) => {
            let again = matches!(error, LoadError::Store(_));
            suspend(driver, row, summary, &error).await;
            Err(Failed { what: error.to_string(), again })
        }
    }
}

/// A run whose journal cannot be followed stands still, and says why. Its journal is not touched.
pub(super) async fn suspend(
    driver: &Driver,
    mut row: RunRow,
    mut summary: Summary,
    error: &LoadError,
) {
    let stands = row.state.has_ended() || row.state == RunState::Suspended;
    if matches!(error, LoadError::Store(_)) || stands {
        return;
    }
    row.state = RunState::Suspended;
    row.wake_at = None;
    row.updated_at = driver.now();
    summary.suspended = Some(format!("{}: {error}", error.code()));
    row.summary = summary.encode();
    let mut ops = vec![store::Op::RunUpdate(row.clone())];
    let events: Vec<_> =
        suspended_event(driver, &row, &summary.version, true).into_iter().collect();
    ops.extend(events.iter().cloned().map(store::Op::EventAppend));
    match driver.0.parts.store.commit(ops, driver.owned()).await {
        Ok(()) => {
            driver.0.ears.raise(&events);
            if summary.queued.is_some() {
                driver.0.dispatch.leave(row.run, &row.key);
            }
        }
        Err(error) => tracing::error!(%error, "cannot write down that a run is suspended"),
    }
}

/// That a run stands still, or goes on again, where the site tells of it.
pub(super) fn suspended_event(
    driver: &Driver,
    row: &RunRow,
    version: &str,
    suspended: bool,
) -> Option<store::EventRow> {
    if driver.0.parts.lifecycle == Lifecycle::None {
        return None;
    }
    let at = row.updated_at;
    let subject = Subject { run: row.run, key: &row.key, version };
    // The journal stands still meanwhile, so the time tells one from another.
    let event = subject.suspended(suspended, &at.as_millis().to_string(), at);
    Some(event.row(&row.key.namespace, Some(row.run), 0, at))
}

pub(super) fn refuse(commands: &mut mpsc::Receiver<Command>, error: impl Fn() -> CommandError) {
    commands.close();
    while let Ok(command) = commands.try_recv() {
        match command {
            Command::Cancel(_, answer)
            | Command::Suspend(_, answer)
            | Command::Resume(_, answer)
            | Command::Retry(_, _, answer) => {
                answer.send(Err(error())).ok();
            }
            // Their askers see the channel close.
            Command::Await(_) | Command::Follow(..) | Command::Go(_) => {}
        }
    }
}
