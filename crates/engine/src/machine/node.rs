//! One activation in progress.
//!
//! The state of a run is a tree of nodes, each the execution of one task; the root is the run
//! itself. A node is plain data: it can be put into a snapshot at any record.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Duration, Fault, Timestamp, Value};
use spec::tree::TaskNo;

use super::counts::Counts;
use super::scope::Variables;
use crate::activation::{Activation, IdempotencyKey};
use crate::effect::{Action, EffectNo};
use crate::list::{List, Piece, ReadNo};
use crate::listen::Progress;
use crate::record::{EvaluationNo, ListenerNo, TimerNo};

/// Place of a node in the run's arena. Reused after the node has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl NodeId {
    pub const ROOT: Self = Self(0);
}

#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub parent: Option<NodeId>,
    /// `None` is the run itself.
    pub task: Option<TaskNo>,
    pub activation: Activation,
    pub variables: Variables,
    pub raw_input: Value,
    /// The transformed input, once the phase `Input` is done; the raw one before.
    pub input: Value,
    pub started_at: Timestamp,
    pub timeout: Option<Timeout>,
    pub phase: Phase,
    /// Results of expressions of this phase that were evaluated outside, in order.
    pub evaluated: Vec<Result<Value, Fault>>,
    /// The result that the phase waits for. While it does, nothing moves the node.
    pub evaluating: Option<EvaluationNo>,
    pub children: Vec<NodeId>,
    /// How often a person had this task done again, plus one.
    pub time: u32,
    /// Definite responses to this node's effect, where no enclosing retry counts them.
    pub definite: u32,
    /// The extensions that apply, while they do.
    pub extended: Option<Box<Extended>>,
}

/// What an extended task knows of its extensions, by their numbers in the document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extended {
    /// Those whose lists after are still to be done, from the last one on.
    pub applied: Vec<u32>,
    /// Definite responses to effects of extensions, by key without its count.
    pub definite: Counts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout {
    pub timer: TimerNo,
    pub after: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// `if`, and how long the task may take.
    Condition,
    /// `input.schema`, then `input.from`.
    Input,
    /// Which extensions apply.
    Extend,
    /// Tasks of extensions before the task itself.
    Before {
        /// Place in the list of those that apply.
        at: u32,
        /// `None` between two extensions.
        seq: Option<Seq>,
    },
    Body(Body),
    /// Tasks of an extension after the task itself.
    After {
        extension: u32,
        raw: Value,
        flow: Option<Exit>,
        seq: Option<Seq>,
    },
    /// `output.as`, then `output.schema`.
    Output {
        raw: Value,
        flow: Option<Exit>,
    },
    /// `export.as`, then `export.schema`.
    Export {
        raw: Value,
        output: Value,
        flow: Option<Exit>,
    },
    /// It faulted, and nothing has caught it (yet). `was` is where it faulted.
    Faulted {
        fault: Fault,
        was: Box<Phase>,
    },
}

/// How a task left, where that is not by its own `then`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// A switch case chose the way: its number.
    Case(u32),
    Skipped,
    /// An error was caught, and handled.
    Caught,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    Begin,
    /// `do`, and the run itself.
    Sequence(Seq),
    For(Loop),
    Try(Guard),
    Fork(Branches),
    Wait {
        timer: TimerNo,
        until: Timestamp,
    },
    Effect {
        effect: EffectNo,
        key: IdempotencyKey,
        action: Arc<Action>,
    },
    Listen(Box<Listening>),
}

/// Progress in a list of tasks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seq {
    pub index: u32,
    /// How often each task was visited; empty until the flow first leaves document order, since up
    /// to then each was visited once.
    pub visits: BTreeMap<u32, u32>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Loop {
    pub items: Items,
    pub index: u64,
    /// What the next iteration receives.
    pub data: Value,
    /// `None` between iterations.
    pub seq: Option<Seq>,
}

/// What a loop goes over.
#[derive(Debug, Clone, PartialEq)]
pub enum Items {
    Values(Arc<Vec<Value>>),
    Held(Held),
}

/// A list that lies in a blob, and what of it is in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    pub list: List,
    pub part: Option<Part>,
    /// The piece that the loop waits for.
    pub reading: Option<ReadNo>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub piece: Piece,
    /// Index of its first item in the list.
    pub first: u64,
    pub items: Arc<Vec<Value>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    /// The first is 1; 0 before it.
    pub attempt: u32,
    pub started_at: Timestamp,
    pub stage: GuardStage,
    /// Definite responses to effects inside, by key without its count; kept over all attempts.
    pub definite: Counts,
}

#[derive(Debug, Clone, PartialEq)]
pub enum GuardStage {
    /// An attempt is to begin.
    Next,
    Body {
        seq: Seq,
        limit: Option<Timeout>,
    },
    /// An error came up: is it caught, and what then?
    Matching {
        seq: Seq,
        fault: Fault,
    },
    Delaying {
        timer: TimerNo,
        until: Timestamp,
    },
    Catching {
        seq: Seq,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Branches {
    pub outputs: Vec<Option<Value>>,
}

/// A listener, and what it has taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Listening {
    pub listener: ListenerNo,
    /// Events that the run had emitted when it began: those are not for it.
    pub emitted: u64,
    /// Position of the newest event that it has taken, or behind which it began.
    pub after: u64,
    pub progress: Progress,
    /// The output so far.
    pub outputs: Arc<Vec<Value>>,
    pub consumed: u64,
    /// Bytes of the outputs.
    pub bytes: u64,
    pub stage: ListenStage,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ListenStage {
    /// The next event is awaited.
    Listening,
    /// An event was taken.
    Taken { item: Value },
    /// `foreach.do` is at work.
    Iterating { item: Value, seq: Seq },
    /// `foreach.output`.
    Shaping { item: Value, raw: Value },
    /// `foreach.export`.
    Exporting { item: Value, output: Value },
    /// Was it the last one?
    Checking,
}

impl Node {
    /// A node that has done nothing yet.
    #[must_use]
    pub fn new(
        parent: Option<NodeId>,
        task: Option<TaskNo>,
        activation: Activation,
        variables: Variables,
        input: Value,
        started_at: Timestamp,
    ) -> Self {
        Self {
            parent,
            task,
            activation,
            variables,
            raw_input: input.clone(),
            input,
            started_at,
            timeout: None,
            phase: Phase::Condition,
            evaluated: Vec::new(),
            evaluating: None,
            children: Vec::new(),
            time: 1,
            definite: 0,
            extended: None,
        }
    }

    #[must_use]
    pub fn is_faulted(&self) -> bool {
        matches!(self.phase, Phase::Faulted { .. })
    }
}
