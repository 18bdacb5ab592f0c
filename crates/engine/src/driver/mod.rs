//! The driver beside the core: it decides (by the core), records (in the store), and acts.
//!
//! ```text
//!            start, cancel, retry                 results, timers
//!                    │                                  │
//!                    ▼                                  ▼
//!   Driver ──► one actor a run:  Machine::handle ──► Store::commit ──► perform, evaluate, sleep
//! ```
//!
//! A run that only waits for a time to come is put away and taken up again by the `waker`.

mod actor;
mod child;
mod commit;
pub mod dispatch;
mod event;
mod follow;
mod load;
mod orphan;
mod pool;
mod revision;
mod tidy;
mod update;
mod waker;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{Context, Poll};

use base::name::WorkflowKey;
use base::{By, Clock, Digest, Random, RunId, Timestamp, Value};
use spec::Catalog;
use store::{CommitError, RunRow, RunState, Sequence, Store, StoreError};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::dispatch::Waiter;
use crate::effect::{EffectNo, Evaluator, Performer};
use crate::lifecycle::Lifecycle;
use crate::machine::Misfit;
use crate::record::{Ended, Parent, SEMANTICS, Seed, Started};
use crate::secret::Secrets;
pub use child::{CHILD_DEPTH_MAX, child_run};
pub use commit::Summary;
use dispatch::{Dispatch, Settings, Slot};
pub use follow::Updates;
pub(crate) use load::snapshot_machine;
pub use load::{LoadError, Loaded, Passed, Walk, Walked, record, started};
pub use pool::EFFECTS_IN_FLIGHT_MAX;
use pool::Pools;
pub(crate) use revision::Revisions;
pub use update::{Heard, Update, life};

/// Commands that may wait at one run. People and schedulers send few; more is a flood.
const COMMANDS_WAITING_MAX: usize = 64;

/// Runs being rebuilt from their journals at once: enough to keep both disk and processor busy.
const LOADING_MAX: usize = 16;

/// What a driver is made of.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub performer: Arc<dyn Performer>,
    pub evaluator: Arc<dyn Evaluator>,
    pub catalog: Arc<dyn Catalog + Send + Sync>,
    pub secrets: Arc<dyn Secrets>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    /// `$runtime`.
    pub runtime: Value,
    pub lifecycle: Lifecycle,
    pub dispatch: Settings,
}

/// Runs runs. Cheap to clone.
#[derive(Clone)]
pub struct Driver(Arc<Inner>);

type Actors = HashMap<RunId, mpsc::Sender<Command>>;

struct Inner {
    parts: Parts,
    revisions: Revisions,
    actors: Mutex<Actors>,
    waiting: child::Waiting,
    dispatch: Arc<Dispatch>,
    pools: Arc<Pools>,
    loading: Semaphore,
    alarm: waker::Alarm,
    /// Fewer wait for a slot than before.
    room: Notify,
    on_end: RwLock<Vec<OnEnd>>,
    stopping: CancellationToken,
    /// The same for whoever looks at every step: the token has a lock that all runs share.
    stops: AtomicBool,
    tasks: TaskTracker,
    ears: event::Ears,
    /// A long run has a new snapshot.
    long: Notify,
}

/// Whoever wants to hear that a run has ended.
type OnEnd = Box<dyn Fn(RunId) + Send + Sync>;

/// What can be asked of a run in progress.
enum Command {
    Cancel(By, oneshot::Sender<Result<(), CommandError>>),
    /// For an effect of the parent, where it is a retried parent that asks.
    Retry(By, Option<EffectNo>, oneshot::Sender<Result<(), CommandError>>),
    /// For a person, who has it stand still or go on.
    Suspend(By, oneshot::Sender<Result<(), CommandError>>),
    Resume(By, oneshot::Sender<Result<(), CommandError>>),
    /// Answered when the run ends.
    Await(oneshot::Sender<End>),
    /// With the room that the follower has for what happens.
    Follow(update::Room, oneshot::Sender<follow::Live>),
    /// Its turn has come: it begins, or goes on.
    Go(Slot),
}

/// A run's end, and its row as it was written with it.
#[derive(Debug, Clone)]
pub struct End {
    pub ended: Ended,
    pub row: RunRow,
}

/// The end of a run that was started, when it comes.
#[derive(Debug)]
pub struct Told(oneshot::Receiver<End>);

impl Told {
    /// `None` where the driver stops before.
    pub async fn with_row(self) -> Option<End> {
        self.0.await.ok()
    }
}

impl Future for Told {
    type Output = Result<Ended, oneshot::error::RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_ok(|end| end.ended)
    }
}

/// A run to start, with everything decided by whoever starts it.
pub struct Start {
    pub run: RunId,
    pub key: WorkflowKey,
    pub revision: Digest,
    pub version: String,
    pub input: Value,
    pub by: By,
    pub owner: String,
    pub labels: Vec<String>,
    pub tags: Vec<(String, String)>,
    pub priority: i32,
    pub traceparent: String,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("run {0} exists already")]
    Exists(RunId),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Commit(CommitError),
    #[error("{0} runs wait to begin, and no more are taken")]
    Crowded(usize),
    #[error("the site is shutting down")]
    Stopping,
}

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("there is no run {0}")]
    Missing(RunId),
    #[error(transparent)]
    Misfit(#[from] Misfit),
    #[error("run {0} is suspended: {1}")]
    Suspended(RunId, String),
    #[error("too many commands wait at run {0}; try again")]
    Busy(RunId),
    #[error(
        "workflow {0} has {1} runs at once, and all of them are taken; try again when one has ended"
    )]
    AtLimit(WorkflowKey, u32),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the site is shutting down")]
    Stopping,
}

impl Driver {
    /// Takes up everything that had not ended, and goes on.
    pub async fn open(parts: Parts) -> Result<Self, StoreError> {
        let driver = Self(Arc::new(Inner {
            dispatch: Arc::new(Dispatch::new(&parts.dispatch)),
            pools: Arc::new(Pools::new(&parts.dispatch)),
            parts,
            revisions: Revisions::default(),
            actors: Mutex::default(),
            waiting: child::Waiting::default(),
            loading: Semaphore::new(LOADING_MAX),
            alarm: waker::Alarm::new(),
            room: Notify::new(),
            on_end: RwLock::default(),
            stopping: CancellationToken::new(),
            stops: AtomicBool::new(false),
            tasks: TaskTracker::new(),
            ears: event::Ears::new(),
            long: Notify::new(),
        }));
        let children = driver.take_up().await?;
        driver.0.tasks.spawn(orphan::run(driver.clone(), children));
        // Not before all are counted that have begun.
        driver.0.tasks.spawn(dispatch::run(driver.clone()));
        driver.0.tasks.spawn(waker::run(driver.clone()));
        Ok(driver)
    }

    /// Gives those that are children of others.
    async fn take_up(&self) -> Result<Vec<(RunId, Parent)>, StoreError> {
        const PAGE: u32 = 500;
        let mut after = None;
        let mut children = Vec::new();
        loop {
            let page = self.0.parts.store.run_unfinished(after, PAGE).await?;
            for row in &page {
                let summary = Summary::decode(&row.summary).ok();
                let has_begun = summary.as_ref().is_some_and(|summary| summary.has_place());
                if has_begun {
                    self.0.dispatch.place(row.run, &row.key);
                }
                // A run that was put away has a time to wake at: it is the waker's. Suspended ones are
                // a person's.
                if row.state != RunState::Suspended && row.wake_at.is_none() {
                    if summary.as_ref().is_none_or(|summary| summary.queued.is_none()) {
                        self.0.ears.may_listen(row.run);
                    }
                    self.0.dispatch.queue(Waiter::of_row(row, summary.as_ref()));
                }
                let parent = summary.and_then(|summary| summary.parent);
                children.extend(parent.map(|parent| (row.run, parent)));
            }
            match page.last() {
                Some(last) if page.len() == PAGE as usize => after = Some(last.run),
                _ => return Ok(children),
            }
        }
    }

    /// Starts a run durably. It begins at once, or is queued.
    pub async fn start(&self, start: Start) -> Result<Told, StartError> {
        let (ended, receiver) = oneshot::channel();
        self.begin(start, None, Some(ended), Vec::new()).await?;
        Ok(Told(receiver))
    }

    /// The same where nobody waits for the end: one that is queued, or sleeps, takes no memory.
    pub async fn start_alone(&self, start: Start) -> Result<(), StartError> {
        self.begin(start, None, None, Vec::new()).await
    }

    /// The same, with what is to be written in the commit of its start: both, or neither.
    pub async fn start_beside(
        &self,
        start: Start,
        beside: Vec<store::Op>,
    ) -> Result<(), StartError> {
        self.begin(start, None, None, beside).await
    }

    async fn begin(
        &self,
        start: Start,
        parent: Option<Parent>,
        ended: Option<oneshot::Sender<End>>,
        beside: Vec<store::Op>,
    ) -> Result<(), StartError> {
        if self.0.stopping.is_cancelled() {
            return Err(StartError::Stopping);
        }
        let workflow = self.0.revisions.get(&self.0.parts, &start.key, start.revision).await?;
        let names = &workflow.secrets;
        let secrets = match names.is_empty() {
            true => Vec::new(),
            false => self.0.parts.secrets.versions(&start.key.namespace, names).await,
        };
        let started = Started {
            run: start.run,
            key: start.key,
            revision: start.revision,
            version: start.version,
            input: start.input,
            by: start.by,
            owner: start.owner,
            semantics: SEMANTICS,
            runtime: self.0.parts.runtime.clone(),
            seed: Seed::new(&*self.0.parts.random),
            labels: start.labels,
            tags: start.tags,
            priority: start.priority,
            traceparent: start.traceparent,
            secrets,
            parent,
            queued: false,
        };
        // On a task of its own: an asker who leaves must not break off the commit.
        let start = actor::start(self.clone(), workflow, started, ended, beside);
        self.0.tasks.spawn(start).await.unwrap_or(Err(StartError::Stopping))
    }

    pub async fn cancel(&self, run: RunId, by: By) -> Result<(), CommandError> {
        self.command(run, |answer| Command::Cancel(by, answer)).await
    }

    /// Has a faulted run go on from the task that faulted.
    pub async fn retry(&self, run: RunId, by: By) -> Result<(), CommandError> {
        self.command(run, |answer| Command::Retry(by, None, answer)).await
    }

    /// Has the run stand still: nothing new begins, and what is under way may end.
    pub async fn suspend(&self, run: RunId, by: By) -> Result<(), CommandError> {
        self.command(run, |answer| Command::Suspend(by, answer)).await
    }

    pub async fn resume(&self, run: RunId, by: By) -> Result<(), CommandError> {
        self.command(run, |answer| Command::Resume(by, answer)).await
    }

    /// The run's end, which may have come long ago.
    pub async fn ended(&self, run: RunId) -> Result<Ended, CommandError> {
        loop {
            let row = self.row(run).await?;
            if row.state.has_ended() {
                let loaded = self.load(run).await?;
                return loaded.machine.ended().cloned().ok_or(CommandError::Stopping);
            }
            if row.state == RunState::Suspended {
                let why = Summary::decode(&row.summary).ok().and_then(|summary| summary.suspended);
                return Err(CommandError::Suspended(run, why.unwrap_or_default()));
            }
            let (sender, receiver) = oneshot::channel();
            self.0.send(self, run, Command::Await(sender))?;
            if let Ok(end) = receiver.await {
                return Ok(end.ended);
            }
            // The run was put away just then; it is taken up again.
            tokio::task::yield_now().await;
        }
    }

    /// A stored revision as it was read.
    pub async fn revision(
        &self,
        key: &WorkflowKey,
        revision: Digest,
    ) -> Result<Arc<spec::tree::Workflow>, LoadError> {
        self.0.revisions.get(&self.0.parts, key, revision).await
    }

    /// The run as its journal has it now.
    pub async fn load(&self, run: RunId) -> Result<Loaded, CommandError> {
        let row = self.row(run).await?;
        let loaded = load::load(&self.0.parts, &self.0.revisions, &row).await;
        loaded.map_err(|wrong| CommandError::Suspended(run, wrong.to_string()))
    }

    /// The run's journal from its first record, with what followed from each that is kept.
    pub async fn walk<'a>(&'a self, row: &'a RunRow) -> Result<Walk<'a>, LoadError> {
        Walk::open(&self.0.parts, &self.0.revisions, row).await
    }

    /// What can be told of a run from its beginning, then live until it ends.
    pub async fn follow(&self, run: RunId, after: Sequence) -> Result<Updates, CommandError> {
        let row = self.row(run).await?;
        Ok(follow::follow(self.clone(), row, after))
    }

    async fn row(&self, run: RunId) -> Result<RunRow, CommandError> {
        self.0.parts.store.run_get(run).await?.ok_or(CommandError::Missing(run))
    }

    async fn command(
        &self,
        run: RunId,
        command: impl FnOnce(oneshot::Sender<Result<(), CommandError>>) -> Command,
    ) -> Result<(), CommandError> {
        self.row(run).await?;
        let (sender, receiver) = oneshot::channel();
        self.0.send(self, run, command(sender))?;
        receiver.await.unwrap_or(Err(CommandError::Stopping))
    }

    /// Runs in memory.
    #[must_use]
    pub fn active(&self) -> usize {
        self.0.actors().len()
    }

    /// Whether the run is in memory, or waits for its turn.
    #[must_use]
    pub fn attends(&self, run: RunId) -> bool {
        self.0.actors().contains_key(&run) || self.0.dispatch.is_queued(run)
    }

    /// Runs that wait for their turn.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.0.dispatch.queued()
    }

    /// Calls `tell` whenever the end of a run has become durable, from now on. It must not wait.
    pub fn on_end(&self, tell: impl Fn(RunId) + Send + Sync + 'static) {
        // A listener that panics leaves the list as it was.
        self.0.on_end.write().unwrap_or_else(PoisonError::into_inner).push(Box::new(tell));
    }

    fn tell_end(&self, run: RunId) {
        for tell in &*self.0.on_end.read().unwrap_or_else(PoisonError::into_inner) {
            tell(run);
        }
    }

    /// Lets what is in flight end for a moment, writes it down, and stops. What is not done then is
    /// done by the next start.
    pub async fn stop(&self) {
        self.0.stops.store(true, Ordering::Release);
        self.0.stopping.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    fn now(&self) -> Timestamp {
        self.0.parts.clock.now()
    }
}

impl Inner {
    fn stops(&self) -> bool {
        self.stops.load(Ordering::Acquire)
    }

    fn actors(&self) -> std::sync::MutexGuard<'_, Actors> {
        // A panic elsewhere cannot leave the map half changed: every change is one call.
        self.actors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a command to the run's actor, and makes one where there is none. The lock is held
    /// while sending, so that an actor that puts its run away cannot miss it.
    fn send(&self, driver: &Driver, run: RunId, command: Command) -> Result<(), CommandError> {
        if self.stopping.is_cancelled() {
            return Err(CommandError::Stopping);
        }
        let (_, sent) = self.hand(driver, &mut self.actors(), run, command);
        sent.map_err(|_| CommandError::Busy(run))
    }

    /// Gives the command to the run's actor. One that is made for it finds it there when it begins.
    fn hand(
        &self,
        driver: &Driver,
        actors: &mut Actors,
        run: RunId,
        command: Command,
    ) -> (mpsc::Sender<Command>, Result<(), TrySendError<Command>>) {
        // An actor that has gone without a word is replaced.
        if let Some(sender) = actors.get(&run).filter(|sender| !sender.is_closed()) {
            return (sender.clone(), sender.try_send(command));
        }
        let (sender, commands) = mpsc::channel(COMMANDS_WAITING_MAX);
        let sent = sender.try_send(command);
        self.tasks.spawn(actor::resume(driver.clone(), run, commands));
        actors.insert(run, sender.clone());
        (sender, sent)
    }
}
