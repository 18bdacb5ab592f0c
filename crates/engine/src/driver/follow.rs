//! Following a run: its past from the journal, then its present from the actor.

use base::Timestamp;
use store::{RunRow, RunState, Sequence};
use tokio::sync::{broadcast, mpsc, oneshot};

use super::load::{LoadError, Passed, Walk, Walked};
use super::{Command, CommandError, Driver};
use crate::event::Event;
use crate::lifecycle::{self, Said, Subject};
use crate::machine::Machine;
use crate::record::Note;

/// What one record meant, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    pub sequence: Sequence,
    pub at: Timestamp,
    /// The run's state after it.
    pub state: RunState,
    pub notes: Vec<Note>,
    /// The same as events, in the language's own shapes.
    pub life: Vec<Event>,
}

impl Update {
    /// What a record says that was walked to. `before` is the run's state before it.
    #[must_use]
    pub fn of_walked(row: &RunRow, machine: &Machine, walked: Walked, before: RunState) -> Self {
        let Walked { record, step, state } = walked;
        let version = &*machine.workflow().document.version;
        let subject = Subject { run: row.run, key: &row.key, version };
        let said = Said::of(&record, &step.notes, machine.ended());
        let life = lifecycle::of_record(&subject, &said, &step.emitted, before, state);
        Self { sequence: record.sequence, at: record.at, state, notes: step.notes, life }
    }
}

/// A subscription to a run in memory.
pub(super) struct Live {
    /// Everything up to here is in the journal already.
    pub after: Sequence,
    pub updates: broadcast::Receiver<Update>,
}

impl Live {
    /// Updates that a slow follower may be behind; beyond that it is read from the journal again.
    pub(super) const UPDATES_WAITING_MAX: usize = 1_024;
}

/// Updates on their way to one follower.
const UPDATES_BUFFERED_MAX: usize = 64;

pub(super) async fn follow(
    driver: Driver,
    row: RunRow,
    after: Sequence,
) -> Result<mpsc::Receiver<Update>, CommandError> {
    let (sender, receiver) = mpsc::channel(UPDATES_BUFFERED_MAX);
    let tasks = driver.0.tasks.clone();
    tasks.spawn(async move {
        let stopping = driver.0.stopping.clone();
        let heard = sender.clone();
        tokio::select! {
            () = stopping.cancelled() => {}
            // A run may say nothing for days; who has left must not keep it in memory so long.
            () = heard.closed() => {}
            () = feed(&driver, row, after, sender) => {}
        }
    });
    Ok(receiver)
}

/// Alternates between journal and actor until the run has ended or nobody listens.
async fn feed(driver: &Driver, row: RunRow, mut after: Sequence, sender: mpsc::Sender<Update>) {
    loop {
        // Subscribed before the journal is read, so that nothing falls between.
        let live = subscribe(driver, &row).await;
        match past(driver, &row, after, &sender).await {
            Some((last, ended)) => {
                after = last;
                if ended {
                    return;
                }
            }
            None => return,
        }
        let Some(mut live) = live else { return };
        after = after.max(live.after);
        loop {
            match live.updates.recv().await {
                Ok(update) if update.sequence <= after => {}
                // Something was decided before anybody listened; it is in the journal by now.
                Ok(update) if update.sequence > after.next() => break,
                Ok(update) => {
                    after = update.sequence;
                    let ended = update.state.has_ended();
                    if sender.send(update).await.is_err() || ended {
                        return;
                    }
                }
                Err(broadcast::error::RecvError::Lagged(_)) => break,
                Err(broadcast::error::RecvError::Closed) => break,
            }
        }
    }
}

async fn subscribe(driver: &Driver, row: &RunRow) -> Option<Live> {
    let now = driver.0.parts.store.run_get(row.run).await.ok()??;
    if now.state.has_ended() || now.state == RunState::Suspended {
        return None;
    }
    let (sender, receiver) = oneshot::channel();
    driver.0.send(driver, row.run, Command::Follow(sender)).ok()?;
    receiver.await.ok()
}

/// Sends what the journal holds after `after`. `None` where nobody listens any more.
async fn past(
    driver: &Driver,
    row: &RunRow,
    after: Sequence,
    sender: &mpsc::Sender<Update>,
) -> Option<(Sequence, bool)> {
    let walked = walk_past(driver, row, after, sender).await;
    walked.unwrap_or_else(|error| {
        tracing::error!(run = %row.run, %error, "cannot follow the run");
        None
    })
}

async fn walk_past(
    driver: &Driver,
    row: &RunRow,
    after: Sequence,
    sender: &mpsc::Sender<Update>,
) -> Result<Option<(Sequence, bool)>, LoadError> {
    let mut walk = Walk::open(&driver.0.parts, &driver.0.revisions, row).await?;
    let mut before = RunState::Pending;
    while let Some(passed) = walk.next().await? {
        let walked = match passed {
            Passed::Record(walked) => walked,
            Passed::Forgotten { .. } => {
                before = walk.machine.state();
                continue;
            }
        };
        let sequence = walked.record.sequence;
        let update = Update::of_walked(row, &walk.machine, *walked, before);
        before = update.state;
        if sequence > after && sender.send(update).await.is_err() {
            return Ok(None);
        }
    }
    Ok(Some((walk.last.max(after), walk.machine.state().has_ended())))
}
