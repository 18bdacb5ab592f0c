//! The core: a run as a pure machine. What happened goes in, what follows comes out.
//!
//! ```text
//!              Happened ──► Machine::handle ──► Step { decided, effects, notes }
//!  journal ───────┘              │
//!                        tree of nodes, one for each activation in progress:
//!                        Condition → Input → Body → Output → Export → (parent goes on)
//! ```
//!
//! `node` says what a node is, `advance` moves one through its phases, `body` begins each kind of
//! task, `extension` does what others want done around it, `graph` begins the branches of a fork,
//! `flow` goes on when one has completed, `guard` is `try`, `fault` lets errors rise, `call`
//! makes requests, `emit` and `listen` deal with events, `child` runs other workflows, `suspend`
//! has a run stand still, `evaluate` works out expressions, `hold` reads lists that lie in blobs. Nothing here reads a clock, a random
//! number or the outside; the driver does that and writes it down first.

mod advance;
mod arena;
mod body;
mod call;
mod child;
pub mod counts;
mod emit;
mod evaluate;
mod extension;
mod fault;
mod flow;
mod forgotten;
mod graph;
mod guard;
mod hold;
mod listen;
pub mod node;
mod process;
mod retry;
mod scope;
mod seal;
mod service;
mod snapshot;
mod suspend;
mod timer;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use base::name::WorkflowKey;
use base::value::object;
use base::{Fault, RunId, SecretName, SecretVersion, Timestamp, Value};
use bytes::Bytes;
use spec::tree::Workflow;
use store::{BlobId, RunState};

use crate::activation::Activation;
use crate::effect::{EffectNo, Evaluate, Perform};
use crate::list::{List, ReadNo};
use crate::record::{
    Control, Decided, Ended, EvaluationNo, Happened, ListenerNo, Note, NoteKind,
    SEMANTICS_NUMBERED_EVENTS, Seed, Started, TimerNo, Usage,
};
use crate::secret::SecretUse;
use arena::Arena;
pub use emit::Emitted;
pub use listen::{LISTENER_BYTES_MAX, LISTENER_EVENTS_MAX, Offered};
use node::{Body, ListenStage, Node, NodeId, Phase};
pub use snapshot::SnapshotError;
use timer::Timer;

/// Phases that one record may walk through before the run is made to yield. It bounds the time of
/// one decision (about ten milliseconds) and lets other runs in between.
const STEPS_PER_RECORD_MAX: u32 = 10_000;

/// Events that one record may emit before the run is made to yield: a branch that only emits lets one
/// that listens in between, and no record or commit becomes large by it. Some 12 KiB of a record.
const EMITTED_PER_RECORD_MAX: usize = 100;

/// A run, at some point of its journal.
#[derive(Debug, Clone)]
pub struct Machine {
    workflow: Arc<Workflow>,
    header: Option<Arc<Header>>,
    /// `$context`.
    context: Value,
    arena: Arena,
    ready: VecDeque<NodeId>,
    timers: BTreeMap<TimerNo, Timer>,
    effects: BTreeMap<EffectNo, NodeId>,
    evaluations: BTreeMap<EvaluationNo, (NodeId, Evaluate)>,
    listeners: BTreeMap<ListenerNo, NodeId>,
    reads: BTreeMap<ReadNo, NodeId>,
    /// Those that the run was told of. A reference to another is none.
    lists: BTreeMap<BlobId, List>,
    effect_last: EffectNo,
    timer_last: TimerNo,
    evaluation_last: EvaluationNo,
    listener_last: ListenerNo,
    read_last: ReadNo,
    /// Events that the run has emitted.
    emitted: u64,
    ended: Option<Ended>,
    /// A person has the run stand still.
    suspended: bool,
    usage: Usage,
    /// How often the run was retried by a person.
    retries: u32,
    control: Control,
    now: Timestamp,
    /// The newest event that the site knows. Given before each record, like the time.
    event_last: u64,
    step: Step,
    trace: blake3::Hasher,
}

/// What is frozen when a run starts, but for its labels, which grow with what it reads.
#[derive(Debug, Clone, PartialEq)]
struct Header {
    run: RunId,
    key: WorkflowKey,
    /// Sorted.
    labels: Arc<[String]>,
    /// What the workflow names, each in the version that the run was started with.
    secrets: Arc<[SecretUse]>,
    traceparent: Arc<str>,
    seed: Seed,
    input: Value,
    runtime: Value,
    started_at: Timestamp,
    /// The number of the rules that it follows.
    semantics: u32,
}

/// What follows from one thing that happened.
#[derive(Debug, Clone, Default)]
pub struct Step {
    pub decided: Vec<Decided>,
    pub effects: Vec<Effect>,
    pub notes: Vec<Note>,
    /// To be committed with the record.
    pub emitted: Vec<Emitted>,
    /// Lists that are to be committed with the record, as blobs.
    pub held: Vec<(BlobId, Bytes)>,
    pub control: Control,
    /// The budget of one record was used up: record this, then feed [`Happened::Continued`].
    pub unfinished: bool,
    /// Phases that it has walked through.
    pub steps: u32,
}

/// Everything that the core asks of the driver. An effect may be asked for again after a crash.
#[derive(Debug, Clone)]
pub enum Effect {
    Perform(Perform),
    Evaluate(EvaluationNo, Evaluate),
    /// The same, where a list is wanted: a large one need not become a value.
    EvaluateList(EvaluationNo, Evaluate),
    /// The next piece of the list in this blob, from this byte on.
    Read(ReadNo, BlobId, u64),
    WakeAt(TimerNo, Timestamp),
    Forget(TimerNo),
    Abandon(EffectNo),
    /// Offer events behind this position to the listener, and behind none that it has taken.
    Listen(ListenerNo, u64),
    Unlisten(ListenerNo),
    /// End what the run has begun and does not wait for.
    EndLeft,
    End,
}

/// What happened does not fit the run's state. The machine is unchanged; the driver drops it, since
/// a late answer of something abandoned is nothing to act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    #[error("the run has not started")]
    NotStarted,
    #[error("the run has started already")]
    StartedAlready,
    #[error("the run has ended as {0}")]
    Ended(RunState),
    #[error("only a faulted run can be retried, and this one is {0}")]
    NotFaulted(RunState),
    #[error("the run does not wait for its turn")]
    NotQueued,
    #[error("the run is suspended")]
    Suspended,
    #[error("only a suspended run can be resumed, and this one is {0}")]
    NotSuspended(RunState),
    #[error("effect {} is not awaited", .0.0)]
    EffectUnknown(EffectNo),
    #[error("timer {} is not set", .0.0)]
    TimerUnknown(TimerNo),
    #[error("evaluation {} is not awaited", .0.0)]
    EvaluationUnknown(EvaluationNo),
    #[error("listener {} takes no event now", .0.0)]
    ListenerUnknown(ListenerNo),
    #[error("read {} is not awaited", .0.0)]
    ReadUnknown(ReadNo),
}

impl Machine {
    #[must_use]
    pub fn new(workflow: Arc<Workflow>) -> Self {
        Self {
            workflow,
            header: None,
            context: object([]),
            arena: Arena::default(),
            ready: VecDeque::new(),
            timers: BTreeMap::new(),
            effects: BTreeMap::new(),
            evaluations: BTreeMap::new(),
            listeners: BTreeMap::new(),
            reads: BTreeMap::new(),
            lists: BTreeMap::new(),
            effect_last: EffectNo::default(),
            timer_last: TimerNo::default(),
            evaluation_last: EvaluationNo::default(),
            listener_last: ListenerNo::default(),
            read_last: ReadNo::default(),
            emitted: 0,
            ended: None,
            suspended: false,
            usage: Usage::default(),
            retries: 0,
            control: Control::default(),
            now: Timestamp::from_millis(0),
            event_last: 0,
            step: Step::default(),
            trace: blake3::Hasher::new(),
        }
    }

    /// Decides what follows from what happened at `at`.
    pub fn handle(&mut self, at: Timestamp, happened: &Happened) -> Result<Step, Misfit> {
        self.fits(happened)?;
        self.begin(at);
        match happened {
            Happened::Started(started) => self.start(started),
            Happened::Performed { effect, performed } => self.performed(*effect, performed),
            Happened::Crossed { crossed, .. } => self.traced("crossed", &crossed.destination),
            Happened::Evaluated { evaluation, result, lists } => {
                self.told_of(lists);
                self.evaluated(*evaluation, result);
            }
            Happened::Read { read, piece, items } => self.read(*read, *piece, items),
            Happened::TimerFired { timer } => self.timer_fired(*timer),
            Happened::Admitted => self.admitted(),
            Happened::CancelRequested(_) => self.cancel(),
            Happened::RetryRequested(_) => self.thaw(),
            Happened::SuspendRequested(_) => self.suspend(),
            Happened::ResumeRequested(_) => self.resume(),
            Happened::Continued => {}
            Happened::Received(received) => self.received(received),
        }
        self.run_ready();
        Ok(self.finish())
    }

    fn fits(&self, happened: &Happened) -> Result<(), Misfit> {
        let state = self.state();
        match happened {
            Happened::Started(_) if self.header.is_some() => Err(Misfit::StartedAlready),
            Happened::Started(_) => Ok(()),
            _ if self.header.is_none() => Err(Misfit::NotStarted),
            Happened::RetryRequested(_) if state != RunState::Faulted => {
                Err(Misfit::NotFaulted(state))
            }
            Happened::RetryRequested(_) => Ok(()),
            _ if self.ended.is_some() => Err(Misfit::Ended(state)),
            Happened::ResumeRequested(_) if !self.suspended => Err(Misfit::NotSuspended(state)),
            Happened::Admitted if !self.is_queued() => Err(Misfit::NotQueued),
            Happened::SuspendRequested(_)
            | Happened::TimerFired { .. }
            | Happened::Continued
            | Happened::Admitted
                if self.suspended =>
            {
                Err(Misfit::Suspended)
            }
            Happened::Performed { effect, .. } | Happened::Crossed { effect, .. }
                if !self.effects.contains_key(effect) =>
            {
                Err(Misfit::EffectUnknown(*effect))
            }
            Happened::TimerFired { timer } if !self.timers.contains_key(timer) => {
                Err(Misfit::TimerUnknown(*timer))
            }
            Happened::Evaluated { evaluation, .. }
                if !self.evaluations.contains_key(evaluation) =>
            {
                Err(Misfit::EvaluationUnknown(*evaluation))
            }
            Happened::Read { read, .. } if !self.reads.contains_key(read) => {
                Err(Misfit::ReadUnknown(*read))
            }
            Happened::Received(received) if !self.accepts(received.listener) => {
                Err(Misfit::ListenerUnknown(received.listener))
            }
            Happened::Performed { .. }
            | Happened::Crossed { .. }
            | Happened::Received(_)
            | Happened::Evaluated { .. }
            | Happened::Read { .. }
            | Happened::TimerFired { .. }
            | Happened::Admitted
            | Happened::CancelRequested(_)
            | Happened::SuspendRequested(_)
            | Happened::ResumeRequested(_)
            | Happened::Continued => Ok(()),
        }
    }

    fn begin(&mut self, at: Timestamp) {
        // Time in a run never goes back, whatever the machine's clock does.
        self.now = self.now.max(at);
        self.step = Step::default();
        self.trace.reset();
        self.trace.update(&self.control.0.to_le_bytes());
        self.usage.records += 1;
    }

    fn finish(&mut self) -> Step {
        let digest = self.trace.finalize();
        let eight = digest.as_bytes()[..8].try_into().expect("eight of thirty-two bytes");
        self.control = Control(u64::from_le_bytes(eight));
        self.step.control = self.control;
        std::mem::take(&mut self.step)
    }

    fn start(&mut self, started: &Started) {
        self.header = Some(Arc::new(Header {
            run: started.run,
            key: started.key.clone(),
            labels: started.labels.clone().into(),
            secrets: secret_uses(&self.workflow, &started.secrets),
            traceparent: started.traceparent.as_str().into(),
            seed: started.seed,
            input: started.input.clone(),
            runtime: started.runtime.clone(),
            started_at: self.now,
            semantics: started.semantics,
        }));
        if !started.queued {
            self.begin_root();
        }
    }

    /// A run that was queued begins: its times count from here.
    fn admitted(&mut self) {
        self.traced("admitted", "");
        let header = self.header.as_mut().expect("only a started run is worked on");
        Arc::make_mut(header).started_at = self.now;
        self.begin_root();
    }

    fn begin_root(&mut self) {
        let root = self.arena.reserve();
        debug_assert_eq!(root, NodeId::ROOT);
        let (variables, input) = (scope::Variables::default(), self.header().input.clone());
        let node = Node::new(None, None, Activation::root(), variables, input, self.now);
        self.arena.put(root, Box::new(node));
        self.ready.push_back(root);
    }

    fn run_ready(&mut self) {
        let mut budget = STEPS_PER_RECORD_MAX;
        while self.ended.is_none() && !self.suspended {
            let Some(next) = self.ready.pop_front() else { break };
            if budget == 0 || self.has_emitted_enough() {
                self.ready.push_front(next);
                self.step.unfinished = true;
                break;
            }
            self.advance(next, &mut budget);
        }
        self.step.steps = STEPS_PER_RECORD_MAX - budget;
    }

    fn has_emitted_enough(&self) -> bool {
        self.step.emitted.len() >= EMITTED_PER_RECORD_MAX
            && self.header().semantics >= SEMANTICS_NUMBERED_EVENTS
    }

    /// The frozen start of the run.
    /// Labels of all data that the run was given or has read, sorted.
    pub(crate) fn labels(&self) -> &Arc<[String]> {
        &self.header().labels
    }

    /// What the run does from now on, it does with data of these labels.
    fn has_read(&mut self, labels: &[String]) {
        let known = self.labels();
        if labels.iter().all(|label| known.contains(label)) {
            return;
        }
        let all: BTreeSet<String> = known.iter().chain(labels).cloned().collect();
        let header = self.header.as_mut().expect("only a started run is worked on");
        Arc::make_mut(header).labels = all.into_iter().collect();
    }

    fn header(&self) -> &Arc<Header> {
        self.header.as_ref().expect("only a started run is worked on")
    }

    /// Adds to the digest of the control state.
    fn traced(&mut self, what: &str, about: &str) {
        self.trace.update(what.as_bytes());
        self.trace.update(&(about.len() as u64).to_le_bytes());
        self.trace.update(about.as_bytes());
    }

    fn note(&mut self, node: &Node, what: NoteKind) {
        let Some(task) = node.task else { return };
        let task = self.workflow.task(task);
        let (task, location) = (task.name.clone(), task.location.clone());
        self.step.notes.push(Note { activation: node.activation.clone(), task, location, what });
    }

    /// Ends the run. What is in flight is abandoned; a faulted run keeps its tree for a retry.
    fn end(&mut self, state: RunState, output: Option<Value>, fault: Option<Fault>) {
        let activation = fault.as_ref().and_then(|fault| self.faulted_activation(fault));
        self.abandon_all();
        if let Some(output) = &output {
            let json = base::value::to_json(output);
            self.trace.update(&json);
        }
        self.traced("end", state.as_str());
        let ended = Ended { state, output, fault, activation, usage: self.usage };
        self.step.decided.push(Decided::Ended(ended.clone()));
        self.step.effects.push(Effect::End);
        self.ended = Some(ended);
        self.suspended = false;
    }

    fn cancel(&mut self) {
        self.note_tasks(|_, _| NoteKind::Cancelled);
        self.step.effects.push(Effect::EndLeft);
        self.end(RunState::Cancelled, None, None);
    }

    #[must_use]
    pub fn state(&self) -> RunState {
        match (&self.header, &self.ended) {
            (None, _) => RunState::Pending,
            (_, Some(ended)) => ended.state,
            (_, None) if self.suspended => RunState::Suspended,
            (_, None) if self.is_queued() => RunState::Pending,
            (_, None) if self.is_waiting() && self.is_idle() => RunState::Waiting,
            (_, None) => RunState::Running,
        }
    }

    /// The run was started, and waits for its turn to begin.
    #[must_use]
    pub fn is_queued(&self) -> bool {
        self.header.is_some() && self.ended.is_none() && self.arena.get(NodeId::ROOT).is_none()
    }

    /// A time or an event can move the run.
    fn is_waiting(&self) -> bool {
        !self.timers.is_empty() || self.is_listening()
    }

    /// Nothing is in flight; only a timer or an event can move the run.
    fn is_idle(&self) -> bool {
        let nothing_awaited =
            self.effects.is_empty() && self.evaluations.is_empty() && self.reads.is_empty();
        nothing_awaited && self.ready.is_empty()
    }

    /// The earliest timer.
    #[must_use]
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.timers.values().map(|timer| timer.at).min()
    }

    #[must_use]
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// How many times the run has ended: the number of its next outcome, from 1.
    #[must_use]
    pub fn outcome_number(&self) -> u32 {
        self.retries + 1
    }

    /// The run's own secret.
    #[must_use]
    pub fn seed(&self) -> &Seed {
        &self.header().seed
    }

    #[must_use]
    pub fn control(&self) -> Control {
        self.control
    }

    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// How many events the run has emitted.
    #[must_use]
    pub fn emitted(&self) -> u64 {
        self.emitted
    }

    /// When the run began.
    #[must_use]
    pub fn started_at(&self) -> Timestamp {
        self.header().started_at
    }

    #[must_use]
    pub fn workflow(&self) -> &Arc<Workflow> {
        &self.workflow
    }

    /// Everything that is asked for and has not happened yet: what a driver does after a crash.
    #[must_use]
    pub fn outstanding(&self) -> Vec<Effect> {
        if self.ended.is_some() || self.suspended {
            return Vec::new();
        }
        let effects = self.effects.iter().filter_map(|(effect, id)| {
            let node = self.arena.get(*id)?;
            let Phase::Body(Body::Effect { key, action, .. }) = &node.phase else { return None };
            Some(Effect::Perform(self.perform(*effect, &node.activation, key, action, node.task)))
        });
        let evaluations = self
            .evaluations
            .iter()
            .map(|(no, (id, evaluate))| self.evaluation_effect(*no, *id, evaluate.clone()));
        let timers = self.timers.iter().map(|(no, timer)| Effect::WakeAt(*no, timer.at));
        let listeners = self.listeners.iter().filter_map(|(no, id)| {
            let node = self.arena.get(*id)?;
            let Phase::Body(Body::Listen(listening)) = &node.phase else { return None };
            let listens = listening.stage == ListenStage::Listening;
            listens.then_some(Effect::Listen(*no, listening.after))
        });
        let reads = self.reads.iter().filter_map(|(no, id)| self.read_effect(*no, *id));
        effects.chain(evaluations).chain(timers).chain(listeners).chain(reads).collect()
    }

    /// Whether the run yielded and wants [`Happened::Continued`].
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.ended.is_none() && !self.suspended && !self.ready.is_empty()
    }
}

/// What a workflow may read, each in the version that its run was started with.
fn secret_uses(workflow: &Workflow, frozen: &[(SecretName, SecretVersion)]) -> Arc<[SecretUse]> {
    let version =
        |name| frozen.iter().find(|(known, _)| known == name).map(|(_, version)| *version);
    workflow.secrets.iter().map(|name| (name.clone(), version(name))).collect()
}

/// Two machines are equal when they would decide everything alike from here on.
impl PartialEq for Machine {
    fn eq(&self, other: &Self) -> bool {
        self.header == other.header
            && self.context == other.context
            && self.arena == other.arena
            && self.ready == other.ready
            && self.timers == other.timers
            && self.effects == other.effects
            && self.evaluations.keys().eq(other.evaluations.keys())
            && self.listeners == other.listeners
            && (&self.reads, self.read_last) == (&other.reads, other.read_last)
            && self.lists == other.lists
            && (self.effect_last, self.timer_last, self.evaluation_last)
                == (other.effect_last, other.timer_last, other.evaluation_last)
            && (self.listener_last, self.emitted) == (other.listener_last, other.emitted)
            && (&self.ended, self.suspended) == (&other.ended, other.suspended)
            && (self.usage, self.retries) == (other.usage, other.retries)
            && (self.control, self.now) == (other.control, other.now)
    }
}
