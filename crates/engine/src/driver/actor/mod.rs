//! One run in memory: decide, record, act, in this order, until it ends or only waits.
//!
//! Here is the loop. How a run comes into memory is in `begin`, writing down in `write`, acting and
//! telling in `act`, listening in `hear`.

mod act;
mod begin;
mod hear;
mod write;

use std::collections::{BTreeSet, HashMap, HashSet};

use base::{RunId, Timestamp};
use bytes::Bytes;
use store::{BlobId, EventRow, RunRow, RunState, Sequence};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::commit::Summary;
use super::dispatch::Slot;
use super::follow::{Followers, Live};
use super::load::{LoadError, Loaded};
use super::update::Update;
use super::{Command, CommandError, Driver, End};
use crate::effect::{Crossed, EffectNo};
use crate::event::Event;
use crate::lifecycle::{self, Lifecycle, Said, Subject, Turn};
use crate::machine::{Effect, Emitted, Machine, Misfit, Step};
use crate::record::{EvaluationNo, Happened, Note, Record, TimerNo};

use begin::{refuse, suspend};
pub(super) use begin::{resume, start};
use hear::{Ear, Heard};

/// A run that waits longer than this is put away, so that sleeping runs cost no memory.
const KEEP_WAITING_MAX: base::Duration = base::Duration::from_millis(1_000);

/// Things that happened and are decided on in one commit.
const BATCH_MAX: usize = 64;

/// What in-flight effects get to finish at shutdown.
const STOP_GRACE: std::time::Duration = std::time::Duration::from_secs(2);

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
    /// Phases that records have walked through since then which were not finished.
    steps_since_snapshot: u64,
    unwritten: Vec<Record>,
    /// The last commit has left the run to the waker.
    asleep: bool,
    /// The run stood still since its journal could not be followed, and now can be.
    could_not: bool,
    /// What the unwritten records ask for; done after the commit.
    undone: Vec<Effect>,
    happened: mpsc::UnboundedReceiver<Happened>,
    happens: mpsc::UnboundedSender<Happened>,
    in_flight: HashMap<EffectNo, AbortHandle>,
    /// Those in flight that are child runs, and how to tell that nobody waits for one any more.
    children: HashMap<EffectNo, CancellationToken>,
    /// Those in flight that have, or wait for, a turn in a pool.
    pooled: HashSet<EffectNo>,
    evaluating: HashMap<EvaluationNo, AbortHandle>,
    timers: BTreeSet<(Timestamp, TimerNo)>,
    timer_times: HashMap<TimerNo, Timestamp>,
    awaiting: Vec<oneshot::Sender<End>>,
    followers: Followers,
    /// Somebody waits for the next commit.
    answers: Vec<oneshot::Sender<Result<(), CommandError>>>,
    /// Events of the unwritten records.
    events: Vec<EventRow>,
    ear: Ear,
    /// None while the run only waits.
    slot: Option<Slot>,
    hears: mpsc::UnboundedReceiver<(u64, Heard)>,
    sees: mpsc::UnboundedReceiver<Crossing>,
    seen: mpsc::UnboundedSender<Crossing>,
    /// Content of the unwritten records that is not in their bytes.
    held: Vec<(BlobId, Bytes)>,
    /// The run cannot go on: a blob that it needs cannot be read.
    failed: mpsc::UnboundedReceiver<LoadError>,
    fails: mpsc::UnboundedSender<LoadError>,
}

/// An effect in progress wants to cross the border, and waits until that is written down.
struct Crossing {
    effect: EffectNo,
    crossed: Crossed,
    written: oneshot::Sender<Result<(), CommandError>>,
}

/// Whether the actor goes on.
enum On {
    Go,
    Stop,
}

impl Actor {
    fn new(driver: Driver, row: RunRow, summary: Summary, loaded: Loaded) -> Box<Self> {
        let (happens, happened) = mpsc::unbounded_channel();
        let (ear, hears) = Ear::new();
        let (seen, sees) = mpsc::unbounded_channel();
        let (fails, failed) = mpsc::unbounded_channel();
        let could_not = row.state == RunState::Suspended && !loaded.machine.is_suspended();
        // On the heap: a task would hold it twice, and a thousand tasks are nothing unusual.
        Box::new(Self {
            driver,
            run: row.run,
            row,
            summary,
            machine: loaded.machine,
            durable: loaded.last,
            last: loaded.last,
            since_snapshot: loaded.since_snapshot,
            steps_since_snapshot: 0,
            unwritten: Vec::new(),
            asleep: false,
            could_not,
            undone: Vec::new(),
            happened,
            happens,
            in_flight: HashMap::new(),
            children: HashMap::new(),
            pooled: HashSet::new(),
            evaluating: HashMap::new(),
            timers: BTreeSet::new(),
            timer_times: HashMap::new(),
            awaiting: Vec::new(),
            followers: Followers::default(),
            answers: Vec::new(),
            events: Vec::new(),
            ear,
            slot: None,
            hears,
            sees,
            seen,
            held: Vec::new(),
            failed,
            fails,
        })
    }

    async fn live(mut self: Box<Self>, mut commands: mpsc::Receiver<Command>) {
        let mut on = if self.could_not {
            self.take_up_again(&mut commands).await
        } else {
            self.done_with_commit(&commands)
        };
        while !self.driver.0.stops() {
            if let On::Stop = on {
                self.leave(&mut commands);
                return;
            }
            on = self.turn(&mut commands).await;
        }
        Box::pin(self.wind_down()).await;
        self.leave(&mut commands);
        refuse(&mut commands, || CommandError::Stopping);
    }

    /// A run that could not be followed: what somebody wants of it comes first, and that it goes on is
    /// written down before it does.
    async fn take_up_again(&mut self, commands: &mut mpsc::Receiver<Command>) -> On {
        self.obey_waiting(commands);
        self.settle(true, commands).await
    }

    /// Waits for something to happen, decides, records, acts.
    async fn turn(&mut self, commands: &mut mpsc::Receiver<Command>) -> On {
        if self.machine.is_unfinished() {
            // A run that only computes hears commands and timers between two records.
            self.obey_waiting(commands);
            self.fire();
            if self.machine.is_unfinished() {
                let now = self.driver.now();
                self.decide(now, Happened::Continued).ok();
            }
            tokio::task::yield_now().await;
        } else if self.has_events() {
            self.obey_waiting(commands);
            self.fire();
        } else if let Some(happened) = self.at_once() {
            // Nothing is waited for, so nothing is set up to wait with; commands and timers are not
            // kept waiting by a run of quick functions.
            self.take(happened);
            self.obey_waiting(commands);
            self.fire();
        } else {
            let sleep = self.sleep();
            let notify = std::sync::Arc::clone(&self.ear.notify);
            let stopping = self.driver.0.stopping.clone();
            tokio::select! {
                () = stopping.cancelled() => return On::Go,
                Some(happened) = self.happened.recv() => self.take(happened),
                Some(command) = commands.recv() => self.obey(command),
                () = tokio::time::sleep(sleep), if self.looks_again() => self.fire(),
                Some((generation, heard)) = self.hears.recv() => self.heard(generation, heard),
                Some(crossing) = self.sees.recv() => self.crosses(crossing),
                Some(error) = self.failed.recv() => {
                    return Box::pin(self.cannot_go_on(error, commands)).await;
                }
                () = notify.notified(), if self.ear.is_listening() => self.read_events(),
            }
        }
        for _ in 1..BATCH_MAX {
            let Ok(happened) = self.happened.try_recv() else { break };
            self.take(happened);
        }
        self.take_crossings();
        while let Ok((generation, heard)) = self.hears.try_recv() {
            self.heard(generation, heard);
        }
        self.offer_events();
        let alone = commands.is_empty();
        self.settle(alone, commands).await
    }

    /// A result that is there already, where nothing is to be heard that only waiting hears.
    fn at_once(&mut self) -> Option<Happened> {
        let hears_all = !self.ear.is_listening() && self.hears.is_empty() && self.failed.is_empty();
        if hears_all { self.happened.try_recv().ok() } else { None }
    }

    /// The run stands still, as one whose journal cannot be followed, until somebody resumes it.
    async fn cannot_go_on(
        &mut self,
        error: LoadError,
        commands: &mut mpsc::Receiver<Command>,
    ) -> On {
        tracing::error!(run = %self.run, %error, "the run cannot go on");
        // What is decided and waits for a commit is not lost.
        if self.commit(false).await.is_ok() && self.machine.ended().is_none() {
            suspend(&self.driver, self.row.clone(), self.summary.clone(), &error).await;
        }
        self.leave(commands);
        let what = error.to_string();
        refuse(commands, || CommandError::Suspended(self.run, what.clone()));
        On::Stop
    }

    /// Records what was decided, and acts on it.
    async fn settle(&mut self, alone: bool, commands: &mut mpsc::Receiver<Command>) -> On {
        if let Err(error) = self.record(alone, commands).await {
            tracing::error!(run = %self.run, %error, "the run cannot be written down and stops here");
            self.answers.clear();
            return On::Stop;
        }
        self.done_with_commit(commands)
    }

    /// Acts on what is durable, tells of it, and leaves where nothing is left to do.
    fn done_with_commit(&mut self, commands: &mpsc::Receiver<Command>) -> On {
        // A driver that stops begins nothing new: what is left here is the next start's.
        if !self.driver.0.stops() {
            self.act();
        }
        self.tell();
        self.hear();
        self.settle_slot(commands);
        let at_rest = self.machine.ended().is_some()
            || self.asleep
            || self.stands_still()
            || (self.machine.is_queued() && !self.is_watched());
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
        On::Stop
    }

    fn leave(&mut self, commands: &mut mpsc::Receiver<Command>) {
        // Whoever takes the run up next does these again, and not beside us.
        self.in_flight.drain().for_each(|(_, task)| task.abort());
        self.evaluating.drain().for_each(|(_, task)| task.abort());
        // Its row says what a suspended run has still to hear. One that goes on elsewhere, or with the
        // next start, has to hear it yet.
        if self.machine.is_suspended() {
            self.driver.0.ears.unlisten(self.run);
        }
        let mut actors = self.driver.0.actors();
        commands.close();
        // Another actor may have been made for the run since this one was put away.
        if actors.get(&self.run).is_some_and(mpsc::Sender::is_closed) {
            actors.remove(&self.run);
        }
    }

    /// A run that only waits gives its slot to another, and takes one when something has happened.
    fn settle_slot(&mut self, commands: &mpsc::Receiver<Command>) {
        let elsewhere = self.children.len() + self.pooled.len();
        let waits = !self.machine.is_unfinished()
            && self.evaluating.is_empty()
            && self.in_flight.len() <= elsewhere
            && self.happened.is_empty()
            && !self.has_events()
            && self.timers.first().is_none_or(|(at, _)| *at > self.driver.now());
        match &self.slot {
            Some(_) if waits => self.slot = None,
            // A slot may be among the commands.
            None if !waits && commands.is_empty() => {
                self.slot = Some(self.driver.0.dispatch.slot())
            }
            Some(_) | None => {}
        }
    }

    /// Suspended, and nothing is under way any more.
    fn stands_still(&self) -> bool {
        self.machine.is_suspended() && self.in_flight.is_empty() && self.evaluating.is_empty()
    }

    /// Somebody waits for its end, or looks on.
    fn is_watched(&self) -> bool {
        self.awaiting.iter().any(|asker| !asker.is_closed()) || self.followers.are_there()
    }

    /// There is a time to come; or somebody looks on, who may have left.
    fn looks_again(&self) -> bool {
        !self.timers.is_empty() || self.machine.is_queued()
    }

    fn sleep(&self) -> std::time::Duration {
        let now = self.driver.now();
        let next = self.timers.first().map(|(at, _)| at.since(now).as_std());
        // A waiting run that was kept for somebody is looked at again: he may have left.
        let waits = !self.asleep
            && matches!(self.machine.state(), RunState::Waiting | RunState::Pending)
            && !self.machine.is_listening();
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
                // What it crossed the border for was sent before its result.
                self.take_crossings();
                self.in_flight.remove(effect);
                self.children.remove(effect);
                self.pooled.remove(effect);
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

    fn take_crossings(&mut self) {
        while let Ok(crossing) = self.sees.try_recv() {
            self.crosses(crossing);
        }
    }

    fn crosses(&mut self, crossing: Crossing) {
        let Crossing { effect, crossed, written } = crossing;
        let decided = self.decide(self.driver.now(), Happened::Crossed { effect, crossed });
        self.answer_after_commit(decided, written);
    }

    /// Results that are there already: what is outstanding after them really is.
    fn take_results(&mut self) {
        while let Ok(happened) = self.happened.try_recv() {
            self.take(happened);
        }
    }

    fn obey_waiting(&mut self, commands: &mut mpsc::Receiver<Command>) {
        while let Ok(command) = commands.try_recv() {
            self.obey(command);
        }
    }

    fn obey(&mut self, command: Command) {
        let now = self.driver.now();
        match command {
            Command::Cancel(by, answer) => {
                let decided = self.decide(now, Happened::CancelRequested(by));
                self.answer_after_commit(decided, answer);
            }
            Command::Retry(_, _, answer) if !self.has_place_to_retry() => {
                let limit = self.summary.runs_at_once.unwrap_or_default();
                answer.send(Err(CommandError::AtLimit(self.row.key.clone(), limit))).ok();
            }
            Command::Retry(by, effect, answer) => {
                let decided = self.decide(now, Happened::RetryRequested(by));
                if let (Ok(()), Some(parent)) = (&decided, &mut self.summary.parent) {
                    // One that a person takes up alone is nobody's child until its parent asks again.
                    parent.awaited = effect.is_some();
                    parent.effect = effect.unwrap_or(parent.effect);
                }
                self.answer_after_commit(decided, answer);
            }
            Command::Suspend(by, answer) => {
                self.take_results();
                let why = format!("by {by}");
                let decided = self.decide(now, Happened::SuspendRequested(by));
                if decided.is_ok() {
                    self.summary.suspended = Some(why);
                }
                self.answer_after_commit(decided, answer);
            }
            Command::Resume(by, answer) => {
                self.take_results();
                // One that could not be followed goes on with the next commit; its journal says nothing.
                let decided = match self.could_not && !self.machine.is_suspended() {
                    true => Ok(()),
                    false => self.decide(now, Happened::ResumeRequested(by)),
                };
                self.answer_after_commit(decided, answer);
            }
            Command::Await(answer) => match self.machine.ended() {
                Some(ended) if self.unwritten.is_empty() => {
                    answer.send(End { ended: ended.clone(), row: self.row.clone() }).ok();
                }
                Some(_) | None => {
                    self.asleep = false;
                    self.awaiting.push(answer);
                }
            },
            Command::Follow(room, answer) => {
                let updates = self.followers.add(room);
                self.asleep = false;
                answer.send(Live { after: self.durable, updates }).ok();
            }
            Command::Go(slot) => self.admit(slot),
        }
    }

    /// The run's turn has come.
    fn admit(&mut self, slot: Slot) {
        self.slot = Some(slot);
        // One that was suspended meanwhile, and let go again, waits anew.
        let may = self.summary.runs_at_once.is_none()
            || self.driver.0.dispatch.has_place(self.run, &self.row.key);
        if self.machine.is_queued() && may {
            self.decide(self.driver.now(), Happened::Admitted).ok();
        }
        self.fire();
    }

    /// A faulted run has given up its place among the runs of its workflow.
    fn has_place_to_retry(&self) -> bool {
        self.machine.state() != RunState::Faulted
            || self.summary.runs_at_once.is_none_or(|limit| {
                self.driver.0.dispatch.place_if_free(self.run, &self.row.key, limit)
            })
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
        let before = self.machine.state();
        self.machine.knows(self.driver.0.parts.store.event_last());
        let Step { decided, effects, notes, emitted, held, control, unfinished, steps } =
            self.machine.handle(now, &happened)?;
        self.held.extend(held);
        self.last = self.last.next();
        self.told_by_events(now, &happened, &notes, &emitted);
        self.since_snapshot += 1;
        self.steps_since_snapshot += if unfinished { u64::from(steps) } else { 0 };
        self.undone.extend(effects);
        if self.machine.is_suspended() {
            self.hold();
        }
        if self.followers.are_there() {
            let state = self.machine.state();
            let version = &*self.machine.workflow().document.version;
            let subject = Subject { run: self.run, key: &self.row.key, version };
            let (turn, ended) = (Turn::of(&happened), self.machine.ended());
            let said = Said { sequence: self.last, at: now, turn, notes: &[], ended };
            let told = Update::new(&subject, &said, (before, state), notes, emitted);
            self.followers.decided(told);
        }
        self.unwritten.push(Record { sequence: self.last, at: now, happened, decided, control });
        Ok(())
    }

    /// The events of a record: those that it emits, and what is told of the run's life.
    fn told_by_events(
        &mut self,
        at: Timestamp,
        happened: &Happened,
        notes: &[Note],
        emitted: &[Emitted],
    ) {
        let (run, namespace) = (self.run, &self.row.key.namespace);
        let mut told = Vec::new();
        if self.driver.0.parts.lifecycle != Lifecycle::None {
            let (key, version) = (&self.row.key, &*self.machine.workflow().document.version);
            let subject = Subject { run, key, version };
            let (sequence, ended) = (self.last, self.machine.ended());
            let turn = Turn::of(happened);
            told = lifecycle::of_run(&subject, &Said { sequence, at, turn, notes, ended });
        }
        let begins = told.iter().take_while(|event| lifecycle::is_begin(event)).count();
        let (begins, ends) = told.split_at(begins);
        let life = |event: &Event| event.row(namespace, Some(run), 0, at);
        self.events.extend(begins.iter().map(life));
        let emitted = emitted.iter().map(|it| it.event.row(namespace, Some(run), it.number, at));
        self.events.extend(emitted);
        self.events.extend(ends.iter().map(life));
    }

    /// Shutdown: results that come within the grace are written down; nothing new is begun.
    async fn wind_down(&mut self) {
        // A child run stops with the driver; its parent finds it again.
        for effect in std::mem::take(&mut self.children).into_keys() {
            self.in_flight.remove(&effect).iter().for_each(AbortHandle::abort);
        }
        let grace = tokio::time::sleep(STOP_GRACE);
        tokio::pin!(grace);
        loop {
            // Some results come without having been in flight.
            self.take_results();
            if self.in_flight.is_empty() {
                break;
            }
            tokio::select! {
                () = &mut grace => break,
                Some(happened) = self.happened.recv() => self.take(happened),
                // Nobody lets anything out any more; what was refused is still told.
                Some(crossing) = self.sees.recv() => {
                    if !crossing.crossed.allowed {
                        self.crosses(crossing);
                    }
                }
            }
        }
        self.in_flight.drain().for_each(|(_, task)| task.abort());
        self.evaluating.drain().for_each(|(_, task)| task.abort());
        let (_, mut none) = mpsc::channel(1);
        if let Err(error) = self.record(false, &mut none).await {
            tracing::error!(run = %self.run, %error, "cannot write down the last results");
        }
    }
}
