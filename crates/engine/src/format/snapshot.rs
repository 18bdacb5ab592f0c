//! The snapshot: the whole state of a run after a record. Described in `docs/spec/snapshot.md`.
//!
//! Values stand once in a table, however many nodes share them; the state refers to them by number.

use std::collections::HashMap;
use std::sync::Arc;

use base::{
    Duration, Fault, Namespace, RunId, SecretName, SecretVersion, Timestamp, Value, WorkflowName,
};
use serde::{Deserialize, Serialize};
use spec::tree::HttpOutput;
use store::{BlobId, RunState};

use super::record::SeedDoc;
use super::{Blobs, Encoded, FormatError, Payload, VERSION, read};
use crate::activation::{Activation, IdempotencyKey};
use crate::effect::EffectNo;
use crate::list::{List, Piece, ReadNo};
use crate::record::{EvaluationNo, ListenerNo, TimerNo, TimerPurpose, Usage};

pub const SNAPSHOT_TYPE: &str = "isonomy.snapshot";

/// Place in the table of values.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct ValueRef(pub u32);

/// The table of values, as it is filled.
#[derive(Default)]
pub(crate) struct Values {
    table: Vec<Value>,
    /// Address of a shared array or object in memory, and its place. The table keeps it alive, so
    /// no address is used twice.
    shared: HashMap<usize, u32>,
}

impl Values {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Value> {
        self.table.iter()
    }

    pub(crate) fn put(&mut self, value: &Value) -> ValueRef {
        let address = match value {
            Value::Arr(items) => Some(Arc::as_ptr(items) as usize),
            Value::Obj(map) => Some(Arc::as_ptr(map) as usize),
            Value::Null | Value::Bool(_) | Value::Num(_) | Value::BStr(_) | Value::TStr(_) => None,
        };
        if let Some(place) = address.and_then(|address| self.shared.get(&address)) {
            return ValueRef(*place);
        }
        let place = u32::try_from(self.table.len()).expect("fewer values than memory has bytes");
        self.table.push(value.clone());
        if let Some(address) = address {
            self.shared.insert(address, place);
        }
        ValueRef(place)
    }
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    v: u32,
    state: SnapshotDoc,
    values: Vec<Payload>,
}

/// A snapshot that was read, with its values still to be looked up.
pub(crate) struct Closed {
    state: SnapshotDoc,
    values: Vec<Payload>,
}

impl SnapshotDoc {
    pub(crate) fn encode(self, values: Values) -> Encoded {
        let mut blobs = Vec::new();
        let values = values.table.iter().map(|value| Payload::new(value, &mut blobs)).collect();
        let kind = SNAPSHOT_TYPE.to_owned();
        let envelope = Envelope { kind, v: VERSION, state: self, values };
        let bytes = serde_json::to_vec(&envelope).expect("our own types have JSON text");
        Encoded { bytes, blobs }
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Closed, FormatError> {
        let envelope: Envelope = read(bytes, SNAPSHOT_TYPE)?;
        Ok(Closed { state: envelope.state, values: envelope.values })
    }
}

impl Closed {
    pub(crate) fn blobs(&self) -> Vec<BlobId> {
        self.values.iter().filter_map(Payload::blob).collect()
    }

    /// The pieces of lists that loops are in.
    pub(crate) fn pieces(&self) -> Vec<Piece> {
        let held = self.state.nodes.iter().flatten().filter_map(|node| node.phase.held());
        held.filter_map(|held| Some(held.part.as_ref()?.piece)).collect()
    }

    pub(crate) fn open(self, blobs: &Blobs) -> Result<(SnapshotDoc, Vec<Value>), FormatError> {
        let values: Result<Vec<Value>, FormatError> =
            self.values.into_iter().map(|payload| payload.into_value(blobs)).collect();
        Ok((self.state, values?))
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct SnapshotDoc {
    pub header: HeaderDoc,
    pub context: ValueRef,
    pub nodes: Vec<Option<NodeDoc>>,
    pub free: Vec<u32>,
    pub ready: Vec<u32>,
    pub timers: Vec<TimerDoc>,
    pub effects: Vec<(EffectNo, u32)>,
    pub evaluations: Vec<EvaluationDoc>,
    pub effect_last: EffectNo,
    pub timer_last: TimerNo,
    pub evaluation_last: EvaluationNo,
    pub ended: Option<EndedDoc>,
    pub usage: Usage,
    pub retries: u32,
    pub control: u64,
    pub now: Timestamp,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<(ListenerNo, u32)>,
    #[serde(default, skip_serializing_if = "is_none_yet")]
    pub listener_last: ListenerNo,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub emitted: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<(ReadNo, u32)>,
    #[serde(default, skip_serializing_if = "is_unread")]
    pub read_last: ReadNo,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<List>,
}

fn is_unread(last: &ReadNo) -> bool {
    last.0 == 0
}

fn is_none_yet(last: &ListenerNo) -> bool {
    last.0 == 0
}

fn is_zero_count(number: &u32) -> bool {
    *number == 0
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Serialize, Deserialize)]
pub(crate) struct HeaderDoc {
    pub run: RunId,
    pub namespace: Namespace,
    pub workflow: WorkflowName,
    pub labels: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<(SecretName, SecretVersion)>,
    pub traceparent: String,
    pub seed: SeedDoc,
    pub input: ValueRef,
    pub runtime: ValueRef,
    pub started_at: Timestamp,
    /// 1 where it is absent.
    #[serde(default = "first_semantics")]
    pub semantics: u32,
}

const fn first_semantics() -> u32 {
    1
}

#[derive(Serialize, Deserialize)]
pub(crate) struct NodeDoc {
    pub parent: Option<u32>,
    pub task: Option<u32>,
    pub activation: Activation,
    pub variables: Vec<VariableDoc>,
    pub raw_input: ValueRef,
    pub input: ValueRef,
    pub started_at: Timestamp,
    pub timeout: Option<TimeoutDoc>,
    pub phase: PhaseDoc,
    pub evaluated: Vec<ResultRef>,
    pub children: Vec<u32>,
    pub time: u32,
    pub definite: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended: Option<ExtendedDoc>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ExtendedDoc {
    pub applied: Vec<u32>,
    pub definite: Vec<(u64, u32)>,
    /// Asked, and not answered since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<(u64, u32)>,
    /// Of a place that is in neither list.
    #[serde(default, skip_serializing_if = "is_zero_count")]
    pub floor: u32,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct VariableDoc {
    pub name: String,
    pub value: ValueRef,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ResultRef {
    Ok(ValueRef),
    Fault(Fault),
}

#[derive(Serialize, Deserialize)]
pub(crate) struct TimeoutDoc {
    pub timer: TimerNo,
    pub after: Duration,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct TimerDoc {
    pub timer: TimerNo,
    pub node: u32,
    pub purpose: TimerPurpose,
    pub at: Timestamp,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct EvaluationDoc {
    pub evaluation: EvaluationNo,
    pub node: u32,
    pub text: String,
    pub input: ValueRef,
    pub variables: Vec<VariableDoc>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct EndedDoc {
    pub state: RunState,
    pub output: Option<ValueRef>,
    pub fault: Option<Fault>,
    pub activation: Option<Activation>,
    pub usage: Usage,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PhaseDoc {
    Condition,
    Input,
    Extend,
    Before {
        at: u32,
        seq: Option<SeqDoc>,
    },
    Body(BodyDoc),
    After {
        extension: u32,
        value: ValueRef,
        exit: Option<ExitDoc>,
        seq: Option<SeqDoc>,
    },
    Output {
        value: ValueRef,
        exit: Option<ExitDoc>,
    },
    Export {
        #[serde(default)]
        raw: Option<ValueRef>,
        value: ValueRef,
        exit: Option<ExitDoc>,
    },
    Faulted {
        fault: Fault,
        was: Box<PhaseDoc>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ExitDoc {
    Case(u32),
    Skipped,
    Caught,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BodyDoc {
    Begin,
    Sequence(SeqDoc),
    For {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        items: Option<ValueRef>,
        /// In place of the items.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held: Option<HeldDoc>,
        index: u64,
        data: ValueRef,
        seq: Option<SeqDoc>,
    },
    Try(GuardDoc),
    Fork {
        outputs: Vec<Option<ValueRef>>,
    },
    Wait {
        timer: TimerNo,
        until: Timestamp,
    },
    Effect {
        effect: EffectNo,
        key: IdempotencyKey,
        action: ActionDoc,
    },
    Listen(ListeningDoc),
}

/// A loop's place in a list that lies in a blob.
#[derive(Serialize, Deserialize)]
pub(crate) struct HeldDoc {
    pub list: List,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<PartDoc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<ReadNo>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct PartDoc {
    pub piece: Piece,
    /// Index of its first item in the list.
    pub first: u64,
}

impl PhaseDoc {
    fn held(&self) -> Option<&HeldDoc> {
        match self {
            Self::Body(BodyDoc::For { held, .. }) => held.as_ref(),
            Self::Faulted { was, .. } => was.held(),
            _ => None,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ListeningDoc {
    pub listener: ListenerNo,
    pub emitted: u64,
    pub after: u64,
    pub met: Vec<u32>,
    pub until: Vec<u32>,
    pub keys: Vec<VariableDoc>,
    pub expected: Vec<Option<ValueRef>>,
    pub outputs: ValueRef,
    pub consumed: u64,
    pub bytes: u64,
    pub stage: ListenStageDoc,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ListenStageDoc {
    Listening,
    Taken { item: ValueRef },
    Iterating { item: ValueRef, seq: SeqDoc },
    Shaping { item: ValueRef, raw: ValueRef },
    Exporting { item: ValueRef, output: ValueRef },
    Checking,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct SeqDoc {
    pub index: u32,
    pub visits: Vec<(u32, u32)>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct GuardDoc {
    pub attempt: u32,
    pub started_at: Timestamp,
    pub stage: StageDoc,
    pub definite: Vec<(u64, u32)>,
    /// Asked, and not answered since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<(u64, u32)>,
    /// Of a place that is in neither list.
    #[serde(default, skip_serializing_if = "is_zero_count")]
    pub floor: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StageDoc {
    Next,
    Body { seq: SeqDoc, limit: Option<TimeoutDoc> },
    Matching { seq: SeqDoc, fault: Fault },
    Delaying { timer: TimerNo, until: Timestamp },
    Catching { seq: SeqDoc },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ActionDoc {
    Http {
        method: String,
        uri: String,
        headers: Vec<(String, String)>,
        query: Vec<(String, String)>,
        body: Option<ValueRef>,
        output: OutputDoc,
        redirect: bool,
    },
    Function {
        function: String,
        input: ValueRef,
    },
    Sealed {
        call: SealedCallDoc,
        parts: LateDoc,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        authentication: Option<(String, LateDoc)>,
    },
    Process {
        interpreter: String,
        /// Code and input may be large, and loops have the same ones many times.
        code: ValueRef,
        stdin: ValueRef,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
        returns: String,
        /// Absent where it is awaited, as all were once.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        wait: bool,
    },
    Workflow {
        namespace: base::Namespace,
        workflow: base::WorkflowName,
        version: String,
        revision: base::Digest,
        input: ValueRef,
        wait: bool,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SealedCallDoc {
    Http { method: String, output: OutputDoc, redirect: bool },
    Function { function: String },
    Openapi { operation: OperationDoc, output: OutputDoc, redirect: bool },
    Process { interpreter: String, returns: String, wait: bool },
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
const fn is_yes(value: &bool) -> bool {
    *value
}

#[derive(Serialize, Deserialize)]
pub(crate) struct OperationDoc {
    pub method: String,
    pub address: Vec<AddressDoc>,
    pub parameters: Vec<ParameterDoc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyFormDoc>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AddressDoc {
    Text(String),
    Parameter(String),
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ParameterDoc {
    pub name: String,
    #[serde(rename = "in")]
    pub place: PlaceDoc,
    pub required: bool,
    /// What stands between the values of a list; nothing where each is sent under the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined: Option<char>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PlaceDoc {
    Path,
    Query,
    Header,
    Cookie,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct BodyFormDoc {
    pub encoding: EncodingDoc,
    pub content_type: String,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EncodingDoc {
    Json,
    Form,
    Text,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LateDoc {
    Value(ValueRef),
    Expr { text: String, input: ValueRef, variables: Vec<VariableDoc> },
    Array(Vec<LateDoc>),
    Object(Vec<(String, LateDoc)>),
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OutputDoc {
    Raw,
    Content,
    Response,
}

impl From<HttpOutput> for OutputDoc {
    fn from(output: HttpOutput) -> Self {
        match output {
            HttpOutput::Raw => Self::Raw,
            HttpOutput::Content => Self::Content,
            HttpOutput::Response => Self::Response,
        }
    }
}

impl From<OutputDoc> for HttpOutput {
    fn from(output: OutputDoc) -> Self {
        match output {
            OutputDoc::Raw => Self::Raw,
            OutputDoc::Content => Self::Content,
            OutputDoc::Response => Self::Response,
        }
    }
}
