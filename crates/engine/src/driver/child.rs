//! Child runs: the one effect that the driver performs itself.
//!
//! A child's id follows from its parent's run and activation, so that a parent which crashed between
//! starting it and writing that down finds it again. Each attempt of a `try` is another activation and
//! so another child. A parent that a person retries goes on with the child that faulted: the child is
//! retried. Where that one was cancelled, its place is taken by the next of the same name.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base::{By, ErrorType, Fault, RunId, Value};
use store::{CommitError, RunRow, RunState, StoreError};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{Command, CommandError, Driver, LoadError, Start, StartError, Summary};
use crate::activation::Activation;
use crate::effect::{Certainty, ChildStart, Performed, too_large};
use crate::machine::Misfit;
use crate::record::{Ended, Parent};

/// How deep runs nest. Deeper is a workflow that runs itself without an end.
pub const CHILD_DEPTH_MAX: u32 = 32;

/// Children of one activation: one for each time that the parent was retried after its child had been
/// cancelled. Nobody does that more often by hand.
const CHILDREN_MAX: u32 = 1_000;

/// Before another look at a store that does not answer, or a disk that is full.
const STORE_RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// Before another look at a run that is just being started, or that has too many commands waiting.
const BUSY_RETRY: std::time::Duration = std::time::Duration::from_millis(20);

/// Attempts to cancel a child. What is left over then is found by the next start.
const CANCEL_TRIES_MAX: u32 = 20;

/// A child run to have, with everything that it inherits.
pub(super) struct Order {
    pub start: ChildStart,
    pub parent: Parent,
    pub by: String,
    pub owner: String,
    pub labels: Vec<String>,
    pub traceparent: String,
    pub priority: i32,
    /// Nobody waits any more.
    pub abandoned: CancellationToken,
}

/// Parents that wait for the ends of their children. A waiting child may leave memory meanwhile.
#[derive(Default)]
pub(super) struct Waiting(Mutex<HashMap<RunId, Vec<oneshot::Sender<Ended>>>>);

impl Waiting {
    fn wait(&self, run: RunId) -> oneshot::Receiver<Ended> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = waiting.entry(run).or_default();
        senders.retain(|sender| !sender.is_closed());
        senders.push(sender);
        receiver
    }

    pub(super) fn tell(&self, run: RunId, ended: &Ended) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for sender in waiting.remove(&run).into_iter().flatten() {
            sender.send(ended.clone()).ok();
        }
    }
}

/// The id of the child of an activation, of which there may be several in turn: from 0.
///
/// It begins like its parent's, so that lists show the two near each other.
#[must_use]
pub fn child_run(parent: RunId, activation: &Activation, number: u32) -> RunId {
    let mut hasher = blake3::Hasher::new_derive_key("isonomy child run v1");
    hasher.update(parent.as_uuid().as_bytes());
    hasher.update(activation.without_times().as_str().as_bytes());
    hasher.update(&number.to_be_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    bytes[..6].copy_from_slice(&parent.as_uuid().as_bytes()[..6]);
    RunId::from_uuid(uuid::Uuid::new_v8(bytes))
}

/// Has the child run. `None` where nobody waits for an answer: the driver stops, or the parent has
/// turned away and the child was cancelled.
pub(super) async fn perform(driver: &Driver, order: Order) -> Option<Performed> {
    let (result, labels) = match have(driver, &order).await {
        Ok(had) => had,
        Err(Halt::Fault(fault)) => (Err(fault), Vec::new()),
        Err(Halt::Gone) => return None,
    };
    let (decision, lists) = (None, Vec::new());
    Some(Performed { result, certainty: Certainty::Definite, decision, lists, labels })
}

/// What a child gave, or its fault; and the labels of what it has read.
type Had = (Result<Value, Fault>, Vec<String>);

enum Halt {
    Fault(Fault),
    Gone,
}

/// What became of a look at a child's id.
enum Look {
    /// It is there and goes on, or will.
    Going(oneshot::Receiver<Ended>),
    Ended(Ended),
    /// It was cancelled for an effect of long ago: the next one takes its place.
    Used,
    Again(std::time::Duration),
}

async fn have(driver: &Driver, order: &Order) -> Result<Had, Halt> {
    if order.parent.depth > CHILD_DEPTH_MAX {
        let detail = format!(
            "runs nest at most {CHILD_DEPTH_MAX} deep; a workflow that runs itself needs an end, such as an `if` on its input"
        );
        return Err(fault("Runs nested too deep", detail));
    }
    if let Some(fault) = too_large(&order.start.input) {
        return Err(Halt::Fault(fault));
    }
    let mut number = 0;
    while number < CHILDREN_MAX {
        let run = child_run(order.parent.run, &order.parent.activation, number);
        match look(driver, order, run).await? {
            Look::Going(_) | Look::Ended(_) if !order.start.wait => {
                return Ok((Ok(Value::Null), Vec::new()));
            }
            Look::Going(ended) => {
                let ended = wait(driver, order, run, ended).await?;
                return Ok((result(run, ended), labels_of(driver, run).await?));
            }
            Look::Ended(ended) => return Ok((result(run, ended), labels_of(driver, run).await?)),
            Look::Used => number += 1,
            Look::Again(after) => tokio::time::sleep(after).await,
        }
    }
    let detail = format!("{CHILDREN_MAX} runs of this task were cancelled");
    Err(fault("Child run cancelled", detail))
}

/// Waits for the child's end, or for the parent to turn away.
async fn wait(
    driver: &Driver,
    order: &Order,
    run: RunId,
    ended: oneshot::Receiver<Ended>,
) -> Result<Ended, Halt> {
    tokio::select! {
        biased;
        () = order.abandoned.cancelled() => {
            cancel(driver, run, order.parent.run).await;
            Err(Halt::Gone)
        }
        ended = ended => ended.map_err(|_| Halt::Gone),
    }
}

/// What it has read is its parent's from now on: it gives of that. Its end, and so its row, is durable.
/// Where it cannot be read, nobody knows what the child gave of, and the parent gets nothing.
async fn labels_of(driver: &Driver, run: RunId) -> Result<Vec<String>, Halt> {
    loop {
        match driver.0.parts.store.run_get(run).await {
            Ok(row) => {
                let summary = row.and_then(|row| Summary::decode(&row.summary).ok());
                return summary.map(|summary| summary.labels).ok_or_else(|| {
                    let detail = format!("run {run}: nothing says what it has read");
                    fault("Child run unreadable", detail)
                });
            }
            Err(error) => {
                tracing::error!(%run, %error, "cannot look for what a child run has read");
                tokio::time::sleep(STORE_RETRY).await;
            }
        }
    }
}

async fn look(driver: &Driver, order: &Order, run: RunId) -> Result<Look, Halt> {
    // Before the look, so that an end right after it is heard of.
    let told = driver.0.waiting.wait(run);
    match driver.0.parts.store.run_get(run).await {
        Ok(None) if order.abandoned.is_cancelled() => Err(Halt::Gone),
        Ok(None) => start(driver, order, run, told).await,
        Ok(Some(row)) => found(driver, order, &row, told).await,
        Err(error) => {
            tracing::error!(%run, %error, "cannot look for a child run");
            Ok(Look::Again(STORE_RETRY))
        }
    }
}

async fn start(
    driver: &Driver,
    order: &Order,
    run: RunId,
    told: oneshot::Receiver<Ended>,
) -> Result<Look, Halt> {
    let child = &order.start;
    let missing = |error: LoadError| {
        let detail = format!("cannot run `{}:{}`: {error}", child.key, child.version);
        Halt::Fault(Fault::new(ErrorType::Configuration, detail))
    };
    let revisions = &driver.0.revisions;
    let workflow = match revisions.get(&driver.0.parts, &child.key, child.revision).await {
        Ok(workflow) => workflow,
        Err(LoadError::Store(_)) => return Ok(Look::Again(STORE_RETRY)),
        Err(error) => return Err(missing(error)),
    };
    let start = Start {
        run,
        key: child.key.clone(),
        revision: child.revision,
        version: workflow.document.version.clone(),
        input: child.input.clone(),
        by: By { actor: order.by.clone(), reason: None },
        owner: order.owner.clone(),
        labels: order.labels.clone(),
        tags: Vec::new(),
        priority: order.priority,
        traceparent: order.traceparent.clone(),
    };
    match driver.begin(start, Some(order.parent.clone()), None, Vec::new()).await {
        Ok(()) => Ok(Look::Going(told)),
        // An earlier self of this parent is starting it at this moment.
        Err(StartError::Exists(_)) => Ok(Look::Again(BUSY_RETRY)),
        Err(StartError::Load(LoadError::Store(error))) => later(run, &error),
        Err(StartError::Load(error)) => Err(missing(error)),
        Err(StartError::Commit(error @ (CommitError::Full | CommitError::Write(_)))) => {
            tracing::error!(%run, %error, "a child run waits until it can be written");
            Ok(Look::Again(STORE_RETRY))
        }
        Err(StartError::Commit(error)) => {
            tracing::error!(%run, %error, "a child run cannot be started");
            Err(Halt::Gone)
        }
        Err(error @ StartError::Crowded(_)) => {
            tracing::warn!(%run, %error, "a child run waits until it can be queued");
            Ok(Look::Again(STORE_RETRY))
        }
        Err(StartError::Stopping) => Err(Halt::Gone),
    }
}

fn later(run: RunId, error: &StoreError) -> Result<Look, Halt> {
    tracing::error!(%run, %error, "a child run waits until its revision can be read");
    Ok(Look::Again(STORE_RETRY))
}

/// The child is there: started before a crash, or by an earlier effect of a parent that was retried.
async fn found(
    driver: &Driver,
    order: &Order,
    row: &RunRow,
    told: oneshot::Receiver<Ended>,
) -> Result<Look, Halt> {
    let parent = Summary::decode(&row.summary).ok().and_then(|summary| summary.parent);
    let Some(parent) = parent.filter(|parent| parent.run == order.parent.run) else {
        let detail = format!("run {} exists already, and is not a child of this run", row.run);
        return Err(fault("Child run id taken", detail));
    };
    let is_of_this_effect = parent.effect == order.parent.effect;
    match row.state {
        RunState::Pending | RunState::Running | RunState::Waiting | RunState::Suspended => {
            Ok(Look::Going(told))
        }
        RunState::Cancelled if !is_of_this_effect && order.start.wait => Ok(Look::Used),
        RunState::Faulted if !is_of_this_effect && order.start.wait => {
            retry(driver, order, row.run).await
        }
        RunState::Completed | RunState::Faulted | RunState::Cancelled => {
            let loaded = driver.load(row.run).await.map_err(|error| {
                fault("Child run unreadable", format!("run {}: {error}", row.run))
            })?;
            // It was retried by hand just now.
            let ended = loaded.machine.ended().cloned();
            Ok(ended.map_or(Look::Again(BUSY_RETRY), Look::Ended))
        }
    }
}

/// The parent was retried: so is the child that had faulted.
async fn retry(driver: &Driver, order: &Order, run: RunId) -> Result<Look, Halt> {
    let by = By { actor: order.parent.run.to_string(), reason: None };
    let effect = Some(order.parent.effect);
    let retried = driver.command(run, |answer| Command::Retry(by, effect, answer)).await;
    match retried {
        Ok(()) | Err(CommandError::Misfit(_) | CommandError::Busy(_)) => {
            Ok(Look::Again(std::time::Duration::ZERO))
        }
        Err(CommandError::Suspended(_, why)) => {
            Err(fault("Child run unreadable", format!("run {run} cannot be retried: {why}")))
        }
        Err(
            CommandError::Missing(_)
            | CommandError::Commit(_)
            | CommandError::Store(_)
            | CommandError::AtLimit(..),
        ) => Ok(Look::Again(STORE_RETRY)),
        Err(CommandError::Stopping) => Err(Halt::Gone),
    }
}

/// Cancels a child that nobody waits for any more.
pub(super) async fn cancel(driver: &Driver, run: RunId, parent: RunId) {
    for _ in 0..CANCEL_TRIES_MAX {
        let reason = Some("its parent does not wait for it any more".to_owned());
        let by = By { actor: parent.to_string(), reason };
        let wait = match driver.cancel(run, by).await {
            Ok(()) | Err(CommandError::Missing(_) | CommandError::Stopping) => return,
            Err(CommandError::Misfit(Misfit::Ended(_))) => return,
            Err(CommandError::Busy(_)) => BUSY_RETRY,
            Err(error @ CommandError::Suspended(..)) => {
                tracing::warn!(%run, %error, "a child run cannot be cancelled");
                return;
            }
            Err(
                CommandError::Misfit(_)
                | CommandError::Commit(_)
                | CommandError::Store(_)
                | CommandError::AtLimit(..),
            ) => STORE_RETRY,
        };
        tokio::time::sleep(wait).await;
    }
    tracing::error!(%run, "a child run could not be cancelled and goes on");
}

/// A child's end as the end of the task that has it run.
fn result(run: RunId, ended: Ended) -> Result<Value, Fault> {
    match (ended.state, ended.output, ended.fault) {
        (RunState::Completed, output, _) => Ok(output.unwrap_or(Value::Null)),
        // The place is the task's, in this workflow; the child says itself where it was there.
        (_, _, Some(fault)) => Err(Fault { instance: None, ..fault }),
        (_, _, None) => {
            let detail = format!("run {run} was cancelled before its end");
            Err(Fault::new(ErrorType::Runtime, detail).with_title("Child run cancelled"))
        }
    }
}

fn fault(title: &'static str, detail: String) -> Halt {
    Halt::Fault(Fault::new(ErrorType::Runtime, detail).with_title(title))
}
