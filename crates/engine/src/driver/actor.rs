//! One run in memory: decide, record, act, in this order, until it ends or only waits.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use base::{RunId, Timestamp};
use futures::FutureExt;
use spec::tree::Workflow;
use store::{CommitError, RunRow, RunState, Sequence};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::AbortHandle;

use super::commit::{Summary, put_ops, row_of_start};
use super::follow::{Live, Update};
use super::load::{LoadError, Loaded, load};
use super::{Command, CommandError, Driver, StartError};
use crate::effect::{Action, EffectNo, Evaluate, Perform};
use crate::failpoint;
use crate::machine::{Effect, Machine, Misfit, Step};
use crate::record::{Ended, EvaluationNo, Happened, Record, Started, TimerNo};

/// A run that waits longer than this is put away, so that sleeping runs cost no memory.
const KEEP_WAITING_MAX: base::Duration = base::Duration::from_millis(1_000);

/// Things that happened and are decided on in one commit.
const BATCH_MAX: usize = 64;

/// Records that may wait for the next commit: results of expressions need no commit of their own.
const PENDING_MAX: usize = 256;

/// Records after which a snapshot is taken.
const SNAPSHOT_RECORDS: u64 = 1_000;

/// What in-flight effects get to finish at shutdown.
const STOP_GRACE: std::time::Duration = std::time::Duration::from_secs(2);

/// How long to wait for room on a full disk before trying again.
const FULL_RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// Longest sleep for a timer; a clock that was set is noticed after this.
const SLEEP_MAX: std::time::Duration = std::time::Duration::from_secs(600);

struct Actor {
    driver: Driver,
    run: RunId,
    row: RunRow,
    summary: Summary,
    machine: Machine,
    /// The last record that is durable.
    durable: Sequence,
    /// The last record that was decided.
    last: Sequence,
    since_snapshot: u64,
    unwritten: Vec<Record>,
    /// The last commit has left the run to the waker.
    asleep: bool,
    /// What the unwritten records ask for; done after the commit.
    undone: Vec<Effect>,
    happened: mpsc::UnboundedReceiver<Happened>,
    happens: mpsc::UnboundedSender<Happened>,
    in_flight: HashMap<EffectNo, AbortHandle>,
    evaluating: HashMap<EvaluationNo, AbortHandle>,
    timers: BTreeSet<(Timestamp, TimerNo)>,
    timer_times: HashMap<TimerNo, Timestamp>,
    awaiting: Vec<oneshot::Sender<Ended>>,
    live: Option<broadcast::Sender<Update>>,
    updates: Vec<Update>,
    /// Somebody waits for the next commit.
    answers: Vec<oneshot::Sender<Result<(), CommandError>>>,
}

/// Whether the actor goes on.
enum On {
    Go,
    Stop,
}

/// Decides the start, writes it down together with the run's row, and lets the run go.
pub(super) async fn start(
    driver: Driver,
    workflow: Arc<Workflow>,
    started: Started,
    ended: oneshot::Sender<Ended>,
) -> Result<(), StartError> {
    let now = driver.now();
    let row = row_of_start(&started, now);
    let summary = Summary::of_start(&started);
    let loaded =
        Loaded { machine: Machine::new(workflow), last: Sequence::ZERO, since_snapshot: 0 };
    let mut actor = Actor::new(driver.clone(), row, summary, loaded);
    actor.awaiting.push(ended);
    let run = actor.run;
    actor.decide(now, Happened::Started(Box::new(started))).expect("a new machine can be started");
    let (sender, commands) = mpsc::channel(super::COMMANDS_WAITING_MAX);
    // Before the commit: a command that comes right after it must find the run.
    match driver.0.actors().entry(run) {
        std::collections::hash_map::Entry::Occupied(_) => return Err(StartError::Exists(run)),
        std::collections::hash_map::Entry::Vacant(place) => place.insert(sender),
    };
    if let Err(error) = actor.commit(true).await {
        driver.0.actors().remove(&run);
        return Err(match error {
            CommitError::RunExists(run) => StartError::Exists(run),
            other => StartError::Commit(other),
        });
    }
    driver.0.tasks.spawn(actor.live(commands));
    Ok(())
}

/// Takes a run up from its journal and lets it go on.
pub(super) async fn resume(driver: Driver, run: RunId, mut commands: mpsc::Receiver<Command>) {
    let taken = take_up(&driver, run).await;
    match taken {
        Ok(Some((row, summary, loaded))) => {
            let mut actor = Actor::new(driver, row, summary, loaded);
            actor.undone = actor.machine.outstanding();
            actor.live(commands).await;
        }
        Ok(None) => {
            driver.0.actors().remove(&run);
            refuse(&mut commands, || CommandError::Missing(run));
        }
        Err(what) => {
            tracing::error!(%run, error = what, "the run cannot go on");
            driver.0.actors().remove(&run);
            refuse(&mut commands, || CommandError::Suspended(run, what.clone()));
        }
    }
}

type TakenUp = Option<(RunRow, Summary, Loaded)>;

async fn take_up(driver: &Driver, run: RunId) -> Result<TakenUp, String> {
    let parts = &driver.0.parts;
    let _turn = driver.0.loading.acquire().await.map_err(|closed| closed.to_string())?;
    let row = parts.store.run_get(run).await.map_err(|error| error.to_string())?;
    let Some(row) = row else { return Ok(None) };
    let summary = Summary::decode(&row.summary).map_err(|error| error.to_string())?;
    match load(parts, &driver.0.revisions, &row).await {
        Ok(loaded) => Ok(Some((row, summary, loaded))),
        Err(error) => {
            suspend(driver, row, summary, &error).await;
            Err(error.to_string())
        }
    }
}

/// A run whose journal cannot be followed stands still, and says why. Its journal is not touched.
async fn suspend(driver: &Driver, mut row: RunRow, mut summary: Summary, error: &LoadError) {
    if matches!(error, LoadError::Store(_)) || row.state.has_ended() {
        return;
    }
    row.state = RunState::Suspended;
    row.wake_at = None;
    row.updated_at = driver.now();
    summary.suspended = Some(format!("{}: {error}", error.code()));
    row.summary = summary.encode();
    let ops = vec![store::Op::RunUpdate(row)];
    if let Err(error) = driver.0.parts.store.commit(ops, driver.owned()).await {
        tracing::error!(%error, "cannot write down that a run is suspended");
    }
}

fn refuse(commands: &mut mpsc::Receiver<Command>, error: impl Fn() -> CommandError) {
    commands.close();
    while let Ok(command) = commands.try_recv() {
        match command {
            Command::Cancel(_, answer) | Command::Retry(_, answer) => {
                answer.send(Err(error())).ok();
            }
            // Their askers see the channel close.
            Command::Await(_) | Command::Follow(_) | Command::Wake => {}
        }
    }
}

impl Actor {
    fn new(driver: Driver, row: RunRow, summary: Summary, loaded: Loaded) -> Self {
        let (happens, happened) = mpsc::unbounded_channel();
        Self {
            driver,
            run: row.run,
            row,
            summary,
            machine: loaded.machine,
            durable: loaded.last,
            last: loaded.last,
            since_snapshot: loaded.since_snapshot,
            unwritten: Vec::new(),
            asleep: false,
            undone: Vec::new(),
            happened,
            happens,
            in_flight: HashMap::new(),
            evaluating: HashMap::new(),
            timers: BTreeSet::new(),
            timer_times: HashMap::new(),
            awaiting: Vec::new(),
            live: None,
            updates: Vec::new(),
            answers: Vec::new(),
        }
    }

    async fn live(mut self, mut commands: mpsc::Receiver<Command>) {
        let stopping = self.driver.0.stopping.clone();
        let mut on = self.done_with_commit(&commands);
        while !stopping.is_cancelled() {
            if let On::Stop = on {
                self.leave(&mut commands);
                return;
            }
            on = self.turn(&mut commands).await;
        }
        self.wind_down().await;
        self.leave(&mut commands);
        refuse(&mut commands, || CommandError::Stopping);
    }

    /// Waits for something to happen, decides, records, acts.
    async fn turn(&mut self, commands: &mut mpsc::Receiver<Command>) -> On {
        if self.machine.is_unfinished() {
            let now = self.driver.now();
            self.decide(now, Happened::Continued).ok();
            tokio::task::yield_now().await;
        } else {
            let sleep = self.sleep();
            let stopping = self.driver.0.stopping.clone();
            tokio::select! {
                () = stopping.cancelled() => return On::Go,
                Some(happened) = self.happened.recv() => self.take(happened),
                Some(command) = commands.recv() => self.obey(command),
                () = tokio::time::sleep(sleep), if !self.timers.is_empty() => self.fire(),
            }
        }
        for _ in 1..BATCH_MAX {
            let Ok(happened) = self.happened.try_recv() else { break };
            self.take(happened);
        }
        let alone = commands.is_empty();
        if let Err(error) = self.record(alone).await {
            tracing::error!(run = %self.run, %error, "the run cannot be written down and stops here");
            self.answers.clear();
            return On::Stop;
        }
        self.done_with_commit(commands)
    }

    /// Acts on what is durable, tells of it, and leaves where nothing is left to do.
    fn done_with_commit(&mut self, commands: &mpsc::Receiver<Command>) -> On {
        self.act();
        self.tell();
        let at_rest = self.machine.ended().is_some() || self.asleep;
        // Followers of a run that has ended find the rest in its journal.
        if at_rest && self.unwritten.is_empty() { self.put_away(commands) } else { On::Go }
    }

    /// Leaves memory, unless a command has come meanwhile.
    fn put_away(&self, commands: &mpsc::Receiver<Command>) -> On {
        let mut actors = self.driver.0.actors();
        if !commands.is_empty() {
            return On::Go;
        }
        actors.remove(&self.run);
        drop(actors);
        self.driver.0.rewake.notify_one();
        On::Stop
    }

    fn leave(&self, commands: &mut mpsc::Receiver<Command>) {
        let mut actors = self.driver.0.actors();
        commands.close();
        // Another actor may have been made for the run since this one was put away.
        if actors.get(&self.run).is_some_and(mpsc::Sender::is_closed) {
            actors.remove(&self.run);
        }
    }

    fn live_count(&self) -> usize {
        self.live.as_ref().map_or(0, broadcast::Sender::receiver_count)
    }

    fn sleep(&self) -> std::time::Duration {
        let now = self.driver.now();
        let next = self.timers.first().map(|(at, _)| at.since(now).as_std());
        // A waiting run that was kept for somebody is looked at again: he may have left.
        let waits = !self.asleep && self.machine.state() == RunState::Waiting;
        let longest = if waits { KEEP_WAITING_MAX.as_std() } else { SLEEP_MAX };
        next.unwrap_or(SLEEP_MAX).min(longest)
    }

    fn fire(&mut self) {
        let now = self.driver.now();
        while let Some(&(at, timer)) = self.timers.first().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, timer));
            self.timer_times.remove(&timer);
            self.take(Happened::TimerFired { timer });
        }
    }

    fn take(&mut self, happened: Happened) {
        match &happened {
            Happened::Performed { effect, .. } => {
                self.in_flight.remove(effect);
            }
            Happened::Evaluated { evaluation, .. } => {
                self.evaluating.remove(evaluation);
            }
            _ => {}
        }
        let now = self.driver.now();
        if let Err(misfit) = self.decide(now, happened) {
            tracing::debug!(run = %self.run, %misfit, "dropped a late result");
        }
    }

    fn obey(&mut self, command: Command) {
        let now = self.driver.now();
        match command {
            Command::Cancel(by, answer) => {
                let decided = self.decide(now, Happened::CancelRequested(by));
                self.answer_after_commit(decided, answer);
            }
            Command::Retry(by, answer) => {
                let decided = self.decide(now, Happened::RetryRequested(by));
                self.answer_after_commit(decided, answer);
            }
            Command::Await(answer) => match self.machine.ended() {
                Some(ended) => {
                    answer.send(ended.clone()).ok();
                }
                None => self.awaiting.push(answer),
            },
            Command::Follow(answer) => {
                let live = self
                    .live
                    .get_or_insert_with(|| broadcast::channel(Live::UPDATES_WAITING_MAX).0);
                let updates = live.subscribe();
                answer.send(Live { after: self.durable, updates }).ok();
            }
            Command::Wake => {}
        }
    }

    fn answer_after_commit(
        &mut self,
        decided: Result<(), Misfit>,
        answer: oneshot::Sender<Result<(), CommandError>>,
    ) {
        match decided {
            Ok(()) => self.answers.push(answer),
            Err(misfit) => {
                answer.send(Err(misfit.into())).ok();
            }
        }
    }

    fn decide(&mut self, now: Timestamp, happened: Happened) -> Result<(), Misfit> {
        let Step { decided, effects, notes, control, .. } = self.machine.handle(now, &happened)?;
        self.last = self.last.next();
        self.since_snapshot += 1;
        self.undone.extend(effects);
        if self.live_count() > 0 {
            let state = self.machine.state();
            self.updates.push(Update { sequence: self.last, at: now, state, notes });
        }
        self.unwritten.push(Record { sequence: self.last, at: now, happened, decided, control });
        Ok(())
    }

    /// Writes down what must be durable before anything else happens. Results of expressions alone
    /// wait for the next commit: nothing outside has come of them.
    async fn record(&mut self, alone: bool) -> Result<(), CommitError> {
        let only_evaluates = |effect: &Effect| matches!(effect, Effect::Evaluate(..));
        let can_wait = self
            .unwritten
            .iter()
            .all(|record| matches!(record.happened, Happened::Evaluated { .. }))
            && self.undone.iter().all(only_evaluates)
            && self.unwritten.len() < PENDING_MAX
            && !self.machine.is_unfinished();
        let rests = !self.asleep && self.away_until(self.driver.now(), alone).is_some();
        if (self.unwritten.is_empty() || can_wait) && !rests {
            return Ok(());
        }
        loop {
            match self.commit(alone).await {
                Err(CommitError::Full) => {
                    tracing::error!(run = %self.run, "the disk is full; the run waits for room");
                    tokio::select! {
                        () = self.driver.0.stopping.cancelled() => return Err(CommitError::Full),
                        () = tokio::time::sleep(FULL_RETRY) => {}
                    }
                }
                other => return other,
            }
        }
    }

    async fn commit(&mut self, alone: bool) -> Result<(), CommitError> {
        failpoint::pass(failpoint::BEFORE_COMMIT);
        let now = self.unwritten.last().map_or_else(|| self.driver.now(), |record| record.at);
        let row = self.next_row(now, alone);
        let is_new = self.durable == Sequence::ZERO;
        let mut ops = Vec::with_capacity(self.unwritten.len() + 3);
        if is_new {
            ops.push(store::Op::RunCreate(row.clone()));
        } else if row != self.row {
            ops.push(store::Op::RunUpdate(row.clone()));
        }
        put_ops(&mut ops, self.run, &self.unwritten);
        if self.since_snapshot >= SNAPSHOT_RECORDS || self.machine.is_unfinished() {
            let frozen = self.machine.freeze();
            super::commit::put_snapshot(&mut ops, self.run, self.last, frozen);
        }
        if let Some(outcome) = self.outcome(&row) {
            ops.push(outcome);
        }
        let mut preconditions = self.driver.owned();
        if !is_new {
            preconditions.run = Some((self.run, self.durable));
        }
        self.driver.0.parts.store.commit(ops, preconditions).await?;
        failpoint::pass(failpoint::AFTER_COMMIT);
        if self.since_snapshot >= SNAPSHOT_RECORDS || self.machine.is_unfinished() {
            self.since_snapshot = 0;
        }
        if row.wake_at.is_some() || self.row.wake_at.is_some() {
            self.driver.0.rewake.notify_one();
        }
        self.asleep = row.wake_at.is_some();
        self.row = row;
        self.durable = self.last;
        self.unwritten.clear();
        Ok(())
    }

    /// The run's row after what is about to be written.
    fn next_row(&mut self, now: Timestamp, alone: bool) -> RunRow {
        let mut row = self.row.clone();
        row.state = self.machine.state();
        self.awaiting.retain(|asker| !asker.is_closed());
        row.wake_at = self.away_until(now, alone);
        row.ended_at = None;
        if let Some(ended) = self.machine.ended() {
            row.ended_at = Some(now);
            self.summary.close(ended);
            row.summary = self.summary.encode();
        } else if self.row.state.has_ended() {
            self.summary.reopen();
            row.summary = self.summary.encode();
        }
        if row != self.row {
            row.updated_at = now;
        }
        row
    }

    /// Until when the run may be put away: it only waits, long enough, and nobody looks on.
    fn away_until(&self, now: Timestamp, alone: bool) -> Option<Timestamp> {
        let watched =
            !alone || self.awaiting.iter().any(|asker| !asker.is_closed()) || self.live_count() > 0;
        let wake = self.machine.wake_at().filter(|at| at.since(now) > KEEP_WAITING_MAX);
        wake.filter(|_| !watched && self.machine.state() == RunState::Waiting)
    }

    fn outcome(&self, row: &RunRow) -> Option<store::Op> {
        let just_ended = row.ended_at.is_some() && self.row.ended_at.is_none();
        let ended = self.machine.ended().filter(|_| just_ended)?;
        Some(self.machine.outcome_op(row, ended))
    }

    /// Does what the commit has made durable.
    fn act(&mut self) {
        for effect in std::mem::take(&mut self.undone) {
            match effect {
                Effect::Perform(perform) => self.perform(perform),
                Effect::Evaluate(no, evaluate) => self.evaluate(no, evaluate),
                Effect::WakeAt(timer, at) => {
                    self.timers.insert((at, timer));
                    self.timer_times.insert(timer, at);
                }
                Effect::Forget(timer) => {
                    if let Some(at) = self.timer_times.remove(&timer) {
                        self.timers.remove(&(at, timer));
                    }
                }
                Effect::Abandon(effect) => {
                    if let Some(task) = self.in_flight.remove(&effect) {
                        task.abort();
                    }
                }
                Effect::End => {
                    self.evaluating.drain().for_each(|(_, task)| task.abort());
                    self.timers.clear();
                    self.timer_times.clear();
                }
            }
        }
    }

    fn perform(&mut self, perform: Perform) {
        let effect = perform.effect;
        let quick = matches!(*perform.action, Action::Function { .. });
        let mut work = self.driver.0.parts.performer.perform(perform);
        let happens = self.happens.clone();
        // Most functions are done at once; a task of their own would only cost time.
        if quick && let Some(performed) = (&mut work).now_or_never() {
            failpoint::pass(failpoint::AFTER_ACT);
            happens.send(Happened::Performed { effect, performed }).ok();
            return;
        }
        let in_flight = self.driver.0.in_flight.clone();
        let task = tokio::spawn(async move {
            let _turn = in_flight.acquire_owned().await;
            let performed = work.await;
            failpoint::pass(failpoint::AFTER_ACT);
            happens.send(Happened::Performed { effect, performed }).ok();
        });
        self.in_flight.insert(effect, task.abort_handle());
    }

    fn evaluate(&mut self, evaluation: EvaluationNo, evaluate: Evaluate) {
        let work = self.driver.0.parts.evaluator.evaluate(evaluate);
        let happens = self.happens.clone();
        let task = tokio::spawn(async move {
            let result = work.await;
            happens.send(Happened::Evaluated { evaluation, result }).ok();
        });
        self.evaluating.insert(evaluation, task.abort_handle());
    }

    /// Tells whoever follows, waits or has asked: what they hear of is durable.
    fn tell(&mut self) {
        if !self.unwritten.is_empty() {
            return;
        }
        self.answers.drain(..).for_each(|answer| {
            answer.send(Ok(())).ok();
        });
        if let Some(live) = &self.live {
            self.updates.drain(..).for_each(|update| {
                live.send(update).ok();
            });
        }
        if let Some(ended) = self.machine.ended() {
            self.awaiting.drain(..).for_each(|answer| {
                answer.send(ended.clone()).ok();
            });
        }
    }

    /// Shutdown: results that come within the grace are written down; nothing new is begun.
    async fn wind_down(&mut self) {
        let grace = tokio::time::sleep(STOP_GRACE);
        tokio::pin!(grace);
        while !self.in_flight.is_empty() {
            tokio::select! {
                () = &mut grace => break,
                Some(happened) = self.happened.recv() => self.take(happened),
            }
        }
        self.in_flight.drain().for_each(|(_, task)| task.abort());
        self.evaluating.drain().for_each(|(_, task)| task.abort());
        if let Err(error) = self.record(false).await {
            tracing::error!(run = %self.run, %error, "cannot write down the last results");
        }
    }
}
