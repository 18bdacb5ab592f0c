//! What a run's journal is made of.
//!
//! A record says what happened ([`Happened`]) and what the core decided because of it
//! ([`Decided`]): "done n, scheduled n + 1" is one record and one commit. The bytes of a record are
//! in `format`.

use std::sync::Arc;

use base::name::WorkflowKey;
use base::{By, Digest, Fault, RunId, SecretName, SecretVersion, Timestamp, Value};
use serde::{Deserialize, Serialize};
use store::{RunState, Sequence};

use crate::activation::{Activation, IdempotencyKey};
use crate::effect::{Crossed, EffectNo, Performed};
use crate::list::{List, Piece, ReadNo};

/// The number of the core's semantics. A change of the core that would decide differently about an
/// old journal raises it; a run keeps the number that it was started with.
///
/// | number | since then |
/// |---|---|
/// | 2 | `for` over a list that was computed inside holds it in a blob where it is large |
/// | 3 | what a run emits is named by the run and its number, and a record emits only so much |
pub const SEMANTICS: u32 = 3;

/// Since then events are named by number, and a record emits only so much.
pub(crate) const SEMANTICS_NUMBERED_EVENTS: u32 = 3;

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct TimerNo(pub u64);

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct EvaluationNo(pub u64);

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct ListenerNo(pub u64);

/// Digest of the control state after a record, chained over the whole journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Control(pub u64);

#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub sequence: Sequence,
    pub at: Timestamp,
    pub happened: Happened,
    pub decided: Vec<Decided>,
    pub control: Control,
}

/// What cannot be computed again.
#[derive(Debug, Clone, PartialEq)]
pub enum Happened {
    Started(Box<Started>),
    Performed {
        effect: EffectNo,
        performed: Performed,
    },
    /// An effect in progress was let out, or was not. Written before it is.
    Crossed {
        effect: EffectNo,
        crossed: Crossed,
    },
    Evaluated {
        evaluation: EvaluationNo,
        result: Result<Value, Fault>,
        /// Lists that the result refers to.
        lists: Vec<List>,
    },
    /// The next items of a held list have come.
    Read {
        read: ReadNo,
        piece: Piece,
        items: Arc<Vec<Value>>,
    },
    TimerFired {
        timer: TimerNo,
    },
    /// A run that was queued gets its turn, and begins.
    Admitted,
    CancelRequested(By),
    RetryRequested(By),
    /// A person has the run stand still: what is under way may end, and nothing new begins.
    SuspendRequested(By),
    ResumeRequested(By),
    /// The budget of pure steps of one record was used up, and the run goes on.
    Continued,
    /// A listener has taken an event. Its position is the listener's cursor from here on.
    Received(Box<Received>),
}

/// An event in the hands of a listener, with all that was decided about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    pub listener: ListenerNo,
    /// Whether it met a filter of `until`.
    pub until: bool,
    /// Which filter of its list.
    pub filter: u32,
    /// Correlations that it decided.
    pub keys: Vec<(Arc<str>, Value)>,
    pub position: u64,
    /// The whole event.
    pub event: Value,
}

impl Record {
    /// Lists that are blobs from this record on.
    #[must_use]
    pub fn lists(&self) -> &[List] {
        match &self.happened {
            Happened::Performed { performed, .. } => &performed.lists,
            Happened::Evaluated { lists, .. } => lists,
            _ => &[],
        }
    }

    /// The newest event that the site knew when a listener began in this record.
    #[must_use]
    pub fn event_last(&self) -> Option<u64> {
        let positions = self.decided.iter().filter_map(|decided| match decided {
            Decided::Listening { after, .. } => Some(*after),
            _ => None,
        });
        // One that a retry takes up again is behind the newest.
        positions.max()
    }
}

/// What a run is started with. Frozen: nothing of it is looked up again.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    pub run: RunId,
    pub key: WorkflowKey,
    pub revision: Digest,
    pub version: String,
    pub input: Value,
    pub by: By,
    /// Whose run it is: a person or a team. Whoever starts it, until namespaces have owners.
    pub owner: String,
    pub semantics: u32,
    /// `$runtime`.
    pub runtime: Value,
    pub seed: Seed,
    /// Labels of the input's data.
    pub labels: Vec<String>,
    pub tags: Vec<(String, String)>,
    pub priority: i32,
    pub traceparent: String,
    /// The versions of the secrets that the workflow names, as far as there were any.
    pub secrets: Vec<(SecretName, SecretVersion)>,
    /// The task that has the run run.
    pub parent: Option<Parent>,
    /// It waits for its turn, and nothing has begun before [`Happened::Admitted`].
    pub queued: bool,
}

/// A run's place in another run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    pub run: RunId,
    pub activation: Activation,
    /// By which effect of the parent it was started. In a run's row: by which it was taken up last.
    pub effect: EffectNo,
    /// How many runs stand above this one.
    pub depth: u32,
    /// Whether the parent waits for its end: then it is cancelled with it.
    pub awaited: bool,
}

/// The run's own secret: every random choice follows from it (jitter), and it keys the digests that
/// leave the site. It never leaves itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    #[must_use]
    pub fn new(random: &dyn base::Random) -> Self {
        let mut bytes = [0; 32];
        for eight in bytes.chunks_mut(8) {
            eight.copy_from_slice(&random.u64().to_be_bytes());
        }
        Self(bytes)
    }

    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(…)")
    }
}

/// What follows from it.
#[derive(Debug, Clone, PartialEq)]
pub enum Decided {
    Scheduled {
        effect: EffectNo,
        activation: Activation,
        key: IdempotencyKey,
        what: String,
    },
    Evaluating {
        evaluation: EvaluationNo,
        activation: Activation,
    },
    TimerSet {
        timer: TimerNo,
        activation: Activation,
        at: Timestamp,
        purpose: TimerPurpose,
    },
    /// No longer of interest: a loser of a race, or cut off by a timeout, a fault or a cancel.
    Abandoned {
        effect: EffectNo,
    },
    Caught {
        activation: Activation,
        fault: Fault,
    },
    Retrying {
        activation: Activation,
        attempt: u32,
        at: Timestamp,
        fault: Fault,
    },
    Ended(Ended),
    /// Events behind this position are listened to.
    Listening {
        listener: ListenerNo,
        activation: Activation,
        after: u64,
    },
    /// The event is in the commit of this record.
    Emitted {
        activation: Activation,
        id: String,
        kind: String,
    },
    /// A loop's list is in a blob of this commit.
    Holding {
        activation: Activation,
        list: List,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimerPurpose {
    Wait,
    Timeout,
    AttemptTimeout,
    RetryDelay,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    pub state: RunState,
    pub output: Option<Value>,
    pub fault: Option<Fault>,
    /// The task that faulted.
    pub activation: Option<Activation>,
    pub usage: Usage,
}

/// What a run has used, in whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    pub records: u64,
    pub tasks: u64,
    pub effects: u64,
    pub retries: u64,
    /// In micro-units of the site's currency.
    pub cost_micros: u64,
}

/// Things worth telling a person who follows a run. Not recorded: they follow from the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    pub activation: Activation,
    pub task: Arc<str>,
    pub location: Arc<str>,
    pub what: NoteKind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum NoteKind {
    Started {
        input: Value,
    },
    Iteration {
        index: u64,
        count: u64,
    },
    Scheduled {
        effect: EffectNo,
        key: IdempotencyKey,
        what: String,
    },
    Waiting {
        until: Timestamp,
    },
    Retrying {
        attempt: u32,
        until: Timestamp,
        fault: Fault,
    },
    Caught {
        fault: Fault,
    },
    Completed {
        output: Value,
    },
    Skipped,
    Faulted {
        fault: Fault,
    },
    Cancelled,
    Suspended,
    Resumed {
        /// For a time or an event, as before.
        waits: bool,
    },
    Emitted {
        id: String,
        kind: String,
    },
    Listening,
    Received {
        kind: String,
    },
    /// A listener has all that it wanted. `keys` are its correlations.
    Listened {
        keys: Vec<(Arc<str>, Value)>,
    },
}
