//! A run with its tasks, by a walk through its journal. The walk keeps a bounded number of tasks and
//! never holds a whole journal.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use base::name::Namespace;
use base::value::to_serde;
use base::{By, Fault, RunId, Timestamp, Value};
use engine::activation::Activation;
use engine::driver::{LoadError, Passed, Walked};
use engine::effect::{Certainty, Crossed, EffectNo};
use engine::machine::Machine;
use engine::record::{Decided, Ended, Happened, Note, NoteKind};
use store::{RunRow, RunState, Sequence};
use wire::{AttemptView, CrossingView, RunDetail, TaskView, WaitView, WaitsFor};

use crate::children::Places;
use crate::dispatch;
use crate::refusal::{Refusal, internal};
use crate::run::Runs;
use crate::view::{VALUE_SHOWN_BYTES_MAX, fault_view, run_view, value_view};

/// Tasks that a view shows: the newest.
const TASKS_SHOWN_MAX: usize = 1_000;

/// Tasks that are kept during a walk. More than are shown, since those in progress stay however old
/// they are.
const TASKS_KEPT_MAX: usize = 20_000;

/// Effects that are remembered for the attempts of the faulted task.
const ATTEMPTS_KEPT_MAX: usize = 1_000;

/// Values of tasks in one view, all together. What is beyond stands as size and digest.
const VALUES_SHOWN_BYTES_MAX: usize = 8 * 1024 * 1024;

impl Runs {
    /// A run with what it was given, what it gave, and how it got there.
    pub(crate) async fn detail(
        &self,
        namespace: &Namespace,
        run: RunId,
    ) -> Result<RunDetail, Refusal> {
        let row = self.row(namespace, run).await?;
        let (mut walker, wrong) = self.walked(&row).await?;
        let places = std::mem::take(&mut walker.children);
        let mut detail = walker.detail(&row);
        detail.children = self.children(run, &places).await?;
        detail.dispatches = dispatch::of_run(self.store.as_ref(), run).await?;
        if let Some(error) = wrong.filter(|_| !row.state.has_ended()) {
            detail.view.suspended.get_or_insert_with(|| format!("{}: {error}", error.code()));
        }
        Ok(detail)
    }

    /// A run that cannot be followed to its end is shown as far as it can be.
    pub(crate) async fn walked(
        &self,
        row: &RunRow,
    ) -> Result<(Walker, Option<LoadError>), Refusal> {
        let _turn = self.walks.acquire().await.map_err(|_| internal())?;
        let mut walker = Walker::default();
        match self.walk(row, &mut walker).await.err() {
            Some(error @ LoadError::Store(_)) => Err(error.into()),
            wrong => Ok((walker, wrong)),
        }
    }

    async fn walk(&self, row: &RunRow, walker: &mut Walker) -> Result<(), LoadError> {
        let mut walk = self.driver.walk(row).await?;
        while let Some(passed) = walk.next().await? {
            match passed {
                Passed::Record(walked) => walker.see(&walked),
                Passed::Forgotten { last } => walker.pass_over(last, &walk.machine),
            }
            // A long journal leaves room for others between its pages.
            tokio::task::yield_now().await;
        }
        walker.ended = walk.machine.ended().cloned();
        Ok(())
    }
}

#[derive(Default)]
pub(crate) struct Walker {
    input: Value,
    by: Option<By>,
    last: Sequence,
    now: Option<Timestamp>,
    tasks: BTreeMap<u64, Task>,
    numbers: HashMap<Activation, u64>,
    /// Tasks in progress. Those within one another are neighbours.
    open: BTreeSet<Activation>,
    /// Tasks that have faulted, while their errors rise: nobody has caught them yet.
    risen: Vec<Activation>,
    /// Numbers of tasks that have ended, the oldest first: what is forgotten first.
    over: VecDeque<u64>,
    next: u64,
    forgotten: u64,
    attempts: VecDeque<Attempt>,
    children: Places,
    ended: Option<Ended>,
    /// Records behind the first and up to here are forgotten.
    compacted: Option<Sequence>,
}

/// One execution of a task, while it is pieced together.
struct Task {
    activation: Activation,
    name: String,
    location: String,
    state: TaskState,
    /// It stands still with its run.
    suspended: bool,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
    input: Option<Value>,
    output: Option<Value>,
    fault: Option<Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TaskState {
    Running,
    Waiting { until: Timestamp },
    Listening,
    Completed,
    Skipped,
    Faulted,
    Cancelled,
}

struct Attempt {
    number: EffectNo,
    /// The activation without attempts: what the attempts of one effect share.
    path: String,
    view: AttemptView,
}

impl Walker {
    fn see(&mut self, walked: &Walked) {
        let record = &walked.record;
        let at = record.at;
        self.last = record.sequence;
        self.now = Some(at);
        match &record.happened {
            Happened::Started(started) => {
                self.input = started.input.clone();
                self.by = Some(started.by.clone());
            }
            Happened::Performed { effect, performed } => {
                if let Some(view) = self.attempt_of(*effect) {
                    view.answered_at = Some(at.to_string());
                    view.certainty = Some(certainty(performed.certainty).to_owned());
                    view.rule = performed.decision.as_ref().map(|decision| decision.rule.clone());
                    let crossings = performed.decision.iter().flat_map(|it| &it.crossings);
                    crossings.for_each(|crossed| merge(&mut view.crossings, crossed));
                    view.error = performed.result.as_ref().err().map(fault_view);
                }
            }
            Happened::Crossed { effect, crossed } => {
                if let Some(view) = self.attempt_of(*effect) {
                    merge(&mut view.crossings, crossed);
                }
            }
            Happened::Evaluated { .. }
            | Happened::Read { .. }
            | Happened::TimerFired { .. }
            | Happened::Admitted
            | Happened::CancelRequested(_)
            | Happened::RetryRequested(_)
            | Happened::SuspendRequested(_)
            | Happened::ResumeRequested(_)
            | Happened::Continued
            | Happened::Received(_) => {}
        }
        record.decided.iter().for_each(|decided| self.attempt(at, decided));
        walked.step.effects.iter().for_each(|effect| self.children.see(effect));
        walked.step.notes.iter().for_each(|note| self.note(at, note));
    }

    /// What was begun before the records that are kept, and goes on behind them.
    fn pass_over(&mut self, last: Sequence, machine: &Machine) {
        let (input, by) = (std::mem::take(&mut self.input), self.by.take());
        let (now, next) = (self.now, self.next);
        *self = Self { input, by, last, now, next, compacted: Some(last), ..Self::default() };
        for (at, note) in machine.in_progress() {
            self.note(at, &note);
        }
        // Those that are in progress were counted when they began.
        self.forgotten = machine.usage().tasks.saturating_sub(self.tasks.len() as u64);
    }

    fn attempt_of(&mut self, effect: EffectNo) -> Option<&mut AttemptView> {
        let found = self.attempts.iter_mut().rev().find(|it| it.number == effect);
        found.map(|attempt| &mut attempt.view)
    }

    fn attempt(&mut self, at: Timestamp, decided: &Decided) {
        let Decided::Scheduled { effect, activation, key, what } = decided else { return };
        if self.attempts.len() >= ATTEMPTS_KEPT_MAX {
            self.attempts.pop_front();
        }
        self.attempts.push_back(Attempt {
            number: *effect,
            path: activation.without_attempts(),
            view: AttemptView {
                effect: effect.0,
                activation: activation.to_string(),
                idempotency_key: key.to_string(),
                what: what.clone(),
                scheduled_at: at.to_string(),
                answered_at: None,
                certainty: None,
                rule: None,
                crossings: Vec::new(),
                error: None,
            },
        });
    }

    fn note(&mut self, at: Timestamp, note: &Note) {
        let number = self.number(at, note);
        let Some(task) = self.tasks.get_mut(&number) else { return };
        let was_over = task.is_over();
        match &note.what {
            NoteKind::Started { input } => {
                task.state = TaskState::Running;
                task.input = Some(input.clone());
            }
            NoteKind::Iteration { .. } | NoteKind::Scheduled { .. } | NoteKind::Caught { .. } => {
                task.state = TaskState::Running;
            }
            NoteKind::Waiting { until } | NoteKind::Retrying { until, .. } => {
                task.state = TaskState::Waiting { until: *until };
            }
            NoteKind::Completed { output } => {
                task.end(at, TaskState::Completed);
                task.output = Some(output.clone());
                task.fault = None;
            }
            NoteKind::Listening => task.state = TaskState::Listening,
            NoteKind::Received { .. } | NoteKind::Emitted { .. } | NoteKind::Listened { .. } => {
                task.state = TaskState::Running;
            }
            NoteKind::Skipped => task.end(at, TaskState::Skipped),
            NoteKind::Faulted { fault } => {
                task.end(at, TaskState::Faulted);
                task.fault = Some(fault.clone());
                self.risen.push(note.activation.clone());
            }
            NoteKind::Cancelled => task.end(at, TaskState::Cancelled),
            NoteKind::Suspended => task.suspended = true,
            NoteKind::Resumed { .. } => task.suspended = false,
        }
        let is_over = task.is_over();
        match (was_over, is_over) {
            (false, true) => self.closed(&note.activation, number),
            // A person had the run go on.
            (true, false) => {
                self.open.insert(note.activation.clone());
                self.risen.retain(|it| *it != note.activation);
            }
            (true, true) | (false, false) => {}
        }
        if is_over || matches!(note.what, NoteKind::Caught { .. }) {
            self.close_within(at, &note.activation);
        }
        self.forget();
    }

    fn closed(&mut self, activation: &Activation, number: u64) {
        self.open.remove(activation);
        self.over.push_back(number);
    }

    /// What was going on within a task that is over, or that caught an error, is over as well: faulted
    /// where the error went through it.
    fn close_within(&mut self, at: Timestamp, outer: &Activation) {
        let from = (std::ops::Bound::Excluded(outer), std::ops::Bound::Unbounded);
        let behind = self.open.range::<Activation, _>(from);
        let within = behind.take_while(|it| it.as_str().starts_with(outer.as_str()));
        let inner: Vec<Activation> = within.filter(|it| contains(outer, it)).cloned().collect();
        for activation in inner {
            let Some(number) = self.numbers.get(&activation).copied() else { continue };
            let state = match self.risen.iter().any(|it| contains(&activation, it)) {
                true => TaskState::Faulted,
                false => TaskState::Cancelled,
            };
            if let Some(task) = self.tasks.get_mut(&number) {
                task.end(at, state);
            }
            self.closed(&activation, number);
        }
        self.risen.retain(|it| !contains(outer, it));
    }

    /// The number of the task that a note is about; a new one where the task is new.
    fn number(&mut self, at: Timestamp, note: &Note) -> u64 {
        if let Some(number) = self.numbers.get(&note.activation) {
            return *number;
        }
        let number = self.next;
        self.next += 1;
        self.numbers.insert(note.activation.clone(), number);
        self.open.insert(note.activation.clone());
        let task = Task {
            activation: note.activation.clone(),
            name: note.task.to_string(),
            location: note.location.to_string(),
            state: TaskState::Running,
            suspended: false,
            started_at: at,
            ended_at: None,
            input: None,
            output: None,
            fault: None,
        };
        self.tasks.insert(number, task);
        number
    }

    fn forget(&mut self) {
        while self.over.len() > TASKS_SHOWN_MAX {
            let Some(oldest) = self.over.pop_front() else { break };
            self.drop_task(oldest);
        }
        while self.tasks.len() > TASKS_KEPT_MAX {
            let Some(oldest) = self.tasks.keys().next().copied() else { break };
            self.drop_task(oldest);
        }
    }

    fn drop_task(&mut self, number: u64) {
        if let Some(task) = self.tasks.remove(&number) {
            self.numbers.remove(&task.activation);
            self.open.remove(&task.activation);
            self.forgotten += 1;
        }
    }

    /// Who started it, and why; the row of a run that cannot be followed says the first.
    pub(crate) fn take_by(&mut self, row: &RunRow) -> By {
        let by = || By { actor: run_view(row).started_by, reason: None };
        self.by.take().unwrap_or_else(by)
    }

    /// What the tasks in progress wait for: those within which no other is.
    pub(crate) fn waits(&self) -> Vec<WaitView> {
        let innermost = self.open.iter().filter(|outer| {
            let from = (std::ops::Bound::Excluded(*outer), std::ops::Bound::Unbounded);
            self.open.range::<Activation, _>(from).next().is_none_or(|it| !contains(outer, it))
        });
        let tasks = innermost.filter_map(|it| self.tasks.get(self.numbers.get(it)?));
        tasks.filter_map(|task| self.wait_of(task)).take(TASKS_SHOWN_MAX).collect()
    }

    fn wait_of(&self, task: &Task) -> Option<WaitView> {
        let wait = WaitView {
            what: WaitsFor::Event,
            task: Some(task.name.clone()),
            location: Some(task.location.clone()),
            since: Some(task.started_at.to_string()),
            until: None,
            detail: None,
        };
        match task.state {
            TaskState::Listening => Some(wait),
            TaskState::Waiting { until } => {
                Some(WaitView { what: WaitsFor::Timer, until: Some(until.to_string()), ..wait })
            }
            TaskState::Running => {
                let of_task = |it: &&Attempt| it.view.activation == task.activation.as_str();
                let asked = self.attempts.iter().rev().find(of_task)?;
                let asked = Some(&asked.view).filter(|view| view.answered_at.is_none())?;
                let (since, detail) = (Some(asked.scheduled_at.clone()), Some(asked.what.clone()));
                Some(WaitView { what: WaitsFor::Effect, since, detail, ..wait })
            }
            TaskState::Completed
            | TaskState::Skipped
            | TaskState::Faulted
            | TaskState::Cancelled => None,
        }
    }

    fn detail(mut self, row: &RunRow) -> RunDetail {
        let view = run_view(row);
        let by = self.take_by(row);
        self.settle();
        let faulted = self.faulted();
        let mut left = VALUES_SHOWN_BYTES_MAX;
        let shown = self.tasks.len().min(TASKS_SHOWN_MAX);
        let tasks_omitted = self.forgotten + (self.tasks.len() - shown) as u64;
        let mut attempts: HashMap<&str, Vec<AttemptView>> = HashMap::new();
        for Attempt { view, .. } in &self.attempts {
            attempts.entry(&view.activation).or_default().push(view.clone());
        }
        // The newest come first, so that the oldest values are the ones left out.
        let newest = self.tasks.values().rev().take(shown);
        let mut tasks: Vec<TaskView> = newest
            .map(|task| {
                let view = task.view(&mut left);
                TaskView {
                    attempts: attempts.remove(task.activation.as_str()).unwrap_or_default(),
                    ..view
                }
            })
            .collect();
        tasks.reverse();
        RunDetail {
            view,
            input: to_serde(&self.input),
            output: self.ended.and_then(|ended| ended.output).map(|output| to_serde(&output)),
            faulted,
            tasks,
            tasks_omitted,
            children: Vec::new(),
            dispatches: Vec::new(),
            by: wire::By { actor: by.actor, reason: by.reason },
            sequence: self.last.0,
            compacted: self.compacted.map(|last| last.0),
        }
    }

    /// What follows for tasks from the end of the run, and from the time that has passed.
    fn settle(&mut self) {
        let now = self.now;
        let ended = self.ended.as_ref().map(|ended| (ended.state, ended.activation.clone()));
        for task in self.tasks.values_mut().filter(|task| !task.is_over()) {
            match (&ended, task.state) {
                (Some((RunState::Faulted, Some(culprit))), _)
                    if contains(&task.activation, culprit) =>
                {
                    task.state = TaskState::Faulted;
                    task.ended_at = now;
                }
                (Some(_), _) => {
                    task.state = TaskState::Cancelled;
                    task.ended_at = now;
                }
                (None, TaskState::Waiting { until }) if now.is_some_and(|now| now >= until) => {
                    task.state = TaskState::Running;
                }
                (None, _) => {}
            }
        }
    }

    /// The task where the run stopped, with every time that its effect was asked for.
    fn faulted(&self) -> Option<TaskView> {
        let ended = self.ended.as_ref().filter(|ended| ended.state == RunState::Faulted)?;
        let activation = ended.activation.as_ref()?;
        let task = self.numbers.get(activation).and_then(|number| self.tasks.get(number));
        let mut left = VALUES_SHOWN_BYTES_MAX;
        let mut view = match task {
            Some(task) => task.view(&mut left),
            None => self.unseen(activation, ended),
        };
        let path = activation.without_attempts();
        let attempts = self.attempts.iter().filter(|attempt| attempt.path == path);
        view.attempts = attempts.map(|attempt| attempt.view.clone()).collect();
        Some(view)
    }

    /// A faulted task that said nothing of itself before.
    fn unseen(&self, activation: &Activation, ended: &Ended) -> TaskView {
        let fault = ended.fault.as_ref();
        let path = activation.as_str();
        TaskView {
            activation: activation.to_string(),
            task: path.rsplit('/').next().unwrap_or(path).to_owned(),
            location: fault.and_then(|fault| fault.instance.clone()).unwrap_or_default(),
            state: TaskState::Faulted.name().to_owned(),
            started_at: self.now.map(|now| now.to_string()).unwrap_or_default(),
            ended_at: None,
            input: None,
            output: None,
            error: fault.map(fault_view),
            attempts: Vec::new(),
        }
    }
}

impl Task {
    fn end(&mut self, at: Timestamp, state: TaskState) {
        self.ended_at = Some(at);
        self.state = state;
    }

    fn state_name(&self) -> &'static str {
        if self.suspended && !self.is_over() {
            return RunState::Suspended.as_str();
        }
        self.state.name()
    }

    fn is_over(&self) -> bool {
        match self.state {
            TaskState::Running | TaskState::Waiting { .. } | TaskState::Listening => false,
            TaskState::Completed
            | TaskState::Skipped
            | TaskState::Faulted
            | TaskState::Cancelled => true,
        }
    }

    /// Takes its values out of the bytes that are `left`.
    fn view(&self, left: &mut usize) -> TaskView {
        let mut value = |value: &Option<Value>| {
            let (view, bytes) = value_view(value.as_ref()?, (*left).min(VALUE_SHOWN_BYTES_MAX));
            *left -= bytes;
            Some(view)
        };
        let (input, output) = (value(&self.input), value(&self.output));
        TaskView {
            activation: self.activation.to_string(),
            task: self.name.clone(),
            location: self.location.clone(),
            state: self.state_name().to_owned(),
            started_at: self.started_at.to_string(),
            ended_at: self.ended_at.map(|at| at.to_string()),
            input,
            output,
            error: self.fault.as_ref().map(fault_view),
            attempts: Vec::new(),
        }
    }
}

/// Whether `inner` is an execution within `outer`.
fn contains(outer: &Activation, inner: &Activation) -> bool {
    let rest = inner.as_str().strip_prefix(outer.as_str());
    rest.is_some_and(|rest| rest.starts_with(['/', '[', '!', '.']))
}

impl TaskState {
    const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting { .. } | Self::Listening => "waiting",
            Self::Completed => "completed",
            Self::Skipped => "skipped",
            Self::Faulted => "faulted",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What was crossed in an earlier life of the process, or is told at its end once more, stands once.
fn merge(all: &mut Vec<CrossingView>, crossed: &Crossed) {
    let new = crossing_view(crossed);
    let same = |it: &&mut CrossingView| {
        (it.allowed, &it.rule, &it.destination) == (new.allowed, &new.rule, &new.destination)
    };
    match all.iter_mut().find(same) {
        Some(known) => known.count = known.count.max(new.count),
        None => all.push(new),
    }
}

fn crossing_view(crossed: &Crossed) -> CrossingView {
    CrossingView {
        destination: crossed.destination.clone(),
        allowed: crossed.allowed,
        rule: crossed.rule.clone(),
        count: crossed.count,
    }
}

fn certainty(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Definite => "definite",
        Certainty::Unknown => "unknown",
    }
}
