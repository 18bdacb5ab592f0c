//! The journal record. Described in `docs/spec/journal.md`, with golden samples beside it.

use base::name::WorkflowKey;
use base::value::Json;
use base::{By, Digest, Fault, RunId, SecretName, SecretVersion, Timestamp};
use serde::{Deserialize, Serialize};
use store::{BlobId, RunState, Sequence};

use super::{Blobs, Encoded, FormatError, Payload, VERSION, read};
use crate::activation::{Activation, IdempotencyKey};
use crate::effect::{Certainty, Crossed, Decision, EffectNo, Performed};
use crate::list::{List, Piece, ReadNo};
use crate::record::{
    Control, Decided, Ended, EvaluationNo, Happened, ListenerNo, Parent, Received, Record, Seed,
    Started, TimerNo, TimerPurpose, Usage,
};

pub const RECORD_TYPE: &str = "isonomy.record";

/// Most records fit, so that their bytes are not moved while they grow.
const RECORD_BYTES: usize = 768;

/// A record as it stands in the journal.
#[derive(Debug, Serialize, Deserialize)]
pub struct RecordDoc {
    #[serde(rename = "type")]
    kind: String,
    v: u32,
    seq: Sequence,
    at: Timestamp,
    happened: HappenedDoc,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    decided: Vec<DecidedDoc>,
    control: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum HappenedDoc {
    Started(Box<StartedDoc>),
    Performed {
        effect: EffectNo,
        result: ResultDoc,
        certainty: Certainty,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decision: Option<Decision>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        lists: Vec<List>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        labels: Vec<String>,
    },
    Crossed {
        effect: EffectNo,
        #[serde(flatten)]
        crossed: Crossed,
    },
    Evaluated {
        evaluation: EvaluationNo,
        result: ResultDoc,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        lists: Vec<List>,
    },
    Read {
        read: ReadNo,
        piece: Piece,
    },
    TimerFired {
        timer: TimerNo,
    },
    Admitted,
    CancelRequested(By),
    Retried(By),
    Suspended(By),
    Resumed(By),
    Continued,
    Received {
        listener: ListenerNo,
        #[serde(default, skip_serializing_if = "is_false")]
        until: bool,
        filter: u32,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        keys: Vec<(String, Json)>,
        position: u64,
        event: Payload,
    },
}

fn is_false(truth: &bool) -> bool {
    !truth
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ResultDoc {
    Ok(Payload),
    Fault(Fault),
}

#[derive(Debug, Serialize, Deserialize)]
struct StartedDoc {
    run: RunId,
    namespace: base::Namespace,
    workflow: base::WorkflowName,
    revision: Digest,
    version: String,
    input: Payload,
    by: By,
    owner: String,
    semantics: u32,
    runtime: Json,
    /// 64 hexadecimal digits.
    seed: SeedDoc,
    labels: Vec<String>,
    tags: Vec<(String, String)>,
    priority: i32,
    traceparent: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<(SecretName, SecretVersion)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<Parent>,
    #[serde(default, skip_serializing_if = "is_false")]
    queued: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum DecidedDoc {
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
    Ended {
        state: RunState,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Payload>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault: Option<Fault>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        activation: Option<Activation>,
        usage: Usage,
    },
    Listening {
        listener: ListenerNo,
        activation: Activation,
        after: u64,
    },
    Emitted {
        activation: Activation,
        id: String,
        #[serde(rename = "type")]
        kind: String,
    },
    Holding {
        activation: Activation,
        list: List,
    },
}

/// A seed as it stands in a document: 64 hexadecimal digits.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SeedDoc(String);

impl From<&Seed> for SeedDoc {
    fn from(seed: &Seed) -> Self {
        let digest = Digest::from_bytes(*seed.as_bytes()).to_string();
        Self(digest.trim_start_matches("b3:").to_owned())
    }
}

impl SeedDoc {
    pub(crate) fn into_seed(self) -> Result<Seed, FormatError> {
        let digest: Result<Digest, _> = format!("b3:{}", self.0).parse();
        let digest = digest
            .map_err(|_| FormatError::Syntax("`seed` is not 64 hexadecimal digits".to_owned()))?;
        Ok(Seed::from_bytes(*digest.as_bytes()))
    }
}

type NewBlobs = Vec<(BlobId, Vec<u8>)>;

impl Record {
    #[must_use]
    pub fn encode(&self) -> Encoded {
        let mut blobs = NewBlobs::new();
        let doc = RecordDoc {
            kind: RECORD_TYPE.to_owned(),
            v: VERSION,
            seq: self.sequence,
            at: self.at,
            happened: happened_doc(&self.happened, &mut blobs),
            decided: self.decided.iter().map(|decided| decided_doc(decided, &mut blobs)).collect(),
            control: format!("{:016x}", self.control.0),
        };
        let mut bytes = Vec::with_capacity(RECORD_BYTES);
        serde_json::to_writer(&mut bytes, &doc).expect("our own types have JSON text");
        Encoded { bytes, blobs }
    }
}

impl RecordDoc {
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        read(bytes, RECORD_TYPE)
    }

    pub(super) fn sequence(&self) -> Sequence {
        self.seq
    }

    pub(super) fn at(&self) -> Timestamp {
        self.at
    }

    /// What the gate said to the effect that it tells of.
    pub(super) fn decision(&self) -> Option<&Decision> {
        match &self.happened {
            HappenedDoc::Performed { decision, .. } => decision.as_ref(),
            _ => None,
        }
    }

    pub(super) fn crossed(&self) -> Option<&Crossed> {
        match &self.happened {
            HappenedDoc::Crossed { crossed, .. } => Some(crossed),
            _ => None,
        }
    }

    /// Blobs that [`into_record`](Self::into_record) needs.
    #[must_use]
    pub fn blobs(&self) -> Vec<BlobId> {
        let happened = match &self.happened {
            HappenedDoc::Started(started) => started.input.blob(),
            HappenedDoc::Performed { result: ResultDoc::Ok(payload), .. }
            | HappenedDoc::Evaluated { result: ResultDoc::Ok(payload), .. }
            | HappenedDoc::Received { event: payload, .. } => payload.blob(),
            _ => None,
        };
        let decided = self.decided.iter().filter_map(|decided| match decided {
            DecidedDoc::Ended { output: Some(payload), .. } => payload.blob(),
            _ => None,
        });
        happened.into_iter().chain(decided).collect()
    }

    /// The piece of a list that [`into_record`](Self::into_record) needs.
    #[must_use]
    pub fn piece(&self) -> Option<Piece> {
        match &self.happened {
            HappenedDoc::Read { piece, .. } => Some(*piece),
            _ => None,
        }
    }

    pub fn into_record(self, blobs: &Blobs) -> Result<Record, FormatError> {
        let control = u64::from_str_radix(&self.control, 16)
            .map_err(|_| FormatError::Syntax("`control` is not hexadecimal".to_owned()))?;
        let decided: Result<Vec<Decided>, FormatError> =
            self.decided.into_iter().map(|decided| decided.into_decided(blobs)).collect();
        Ok(Record {
            sequence: self.seq,
            at: self.at,
            happened: self.happened.into_happened(blobs)?,
            decided: decided?,
            control: Control(control),
        })
    }
}

fn result_doc(result: &Result<base::Value, Fault>, blobs: &mut NewBlobs) -> ResultDoc {
    match result {
        Ok(value) => ResultDoc::Ok(Payload::new(value, blobs)),
        Err(fault) => ResultDoc::Fault(fault.clone()),
    }
}

impl ResultDoc {
    fn into_result(self, blobs: &Blobs) -> Result<Result<base::Value, Fault>, FormatError> {
        Ok(match self {
            Self::Ok(payload) => Ok(payload.into_value(blobs)?),
            Self::Fault(fault) => Err(fault),
        })
    }
}

fn happened_doc(happened: &Happened, blobs: &mut NewBlobs) -> HappenedDoc {
    match happened {
        Happened::Started(started) => HappenedDoc::Started(Box::new(StartedDoc {
            run: started.run,
            namespace: started.key.namespace.clone(),
            workflow: started.key.name.clone(),
            revision: started.revision,
            version: started.version.clone(),
            input: Payload::new(&started.input, blobs),
            by: started.by.clone(),
            owner: started.owner.clone(),
            semantics: started.semantics,
            runtime: Json(started.runtime.clone()),
            seed: SeedDoc::from(&started.seed),
            labels: started.labels.clone(),
            tags: started.tags.clone(),
            priority: started.priority,
            traceparent: started.traceparent.clone(),
            secrets: started.secrets.clone(),
            parent: started.parent.clone(),
            queued: started.queued,
        })),
        Happened::Performed { effect, performed } => HappenedDoc::Performed {
            effect: *effect,
            result: result_doc(&performed.result, blobs),
            certainty: performed.certainty,
            decision: performed.decision.clone(),
            lists: performed.lists.clone(),
            labels: performed.labels.clone(),
        },
        Happened::Crossed { effect, crossed } => {
            HappenedDoc::Crossed { effect: *effect, crossed: crossed.clone() }
        }
        Happened::Evaluated { evaluation, result, lists } => HappenedDoc::Evaluated {
            evaluation: *evaluation,
            result: result_doc(result, blobs),
            lists: lists.clone(),
        },
        Happened::Read { read, piece, .. } => HappenedDoc::Read { read: *read, piece: *piece },
        Happened::TimerFired { timer } => HappenedDoc::TimerFired { timer: *timer },
        Happened::Admitted => HappenedDoc::Admitted,
        Happened::CancelRequested(by) => HappenedDoc::CancelRequested(by.clone()),
        Happened::RetryRequested(by) => HappenedDoc::Retried(by.clone()),
        Happened::SuspendRequested(by) => HappenedDoc::Suspended(by.clone()),
        Happened::ResumeRequested(by) => HappenedDoc::Resumed(by.clone()),
        Happened::Continued => HappenedDoc::Continued,
        Happened::Received(received) => HappenedDoc::Received {
            listener: received.listener,
            until: received.until,
            filter: received.filter,
            keys: received
                .keys
                .iter()
                .map(|(name, value)| (name.to_string(), Json(value.clone())))
                .collect(),
            position: received.position,
            event: Payload::new(&received.event, blobs),
        },
    }
}

impl HappenedDoc {
    fn into_happened(self, blobs: &Blobs) -> Result<Happened, FormatError> {
        Ok(match self {
            Self::Started(doc) => Happened::Started(Box::new(doc.into_started(blobs)?)),
            Self::Performed { effect, result, certainty, decision, lists, labels } => {
                let result = result.into_result(blobs)?;
                let performed = Performed { result, certainty, decision, lists, labels };
                Happened::Performed { effect, performed }
            }
            Self::Crossed { effect, crossed } => Happened::Crossed { effect, crossed },
            Self::Evaluated { evaluation, result, lists } => {
                Happened::Evaluated { evaluation, result: result.into_result(blobs)?, lists }
            }
            Self::Read { read, piece } => {
                let items = blobs.piece(piece).ok_or(FormatError::BlobMissing(piece.blob))?;
                Happened::Read { read, piece, items }
            }
            Self::TimerFired { timer } => Happened::TimerFired { timer },
            Self::CancelRequested(by) => Happened::CancelRequested(by),
            Self::Retried(by) => Happened::RetryRequested(by),
            Self::Suspended(by) => Happened::SuspendRequested(by),
            Self::Admitted => Happened::Admitted,
            Self::Resumed(by) => Happened::ResumeRequested(by),
            Self::Continued => Happened::Continued,
            Self::Received { listener, until, filter, keys, position, event } => {
                Happened::Received(Box::new(Received {
                    listener,
                    until,
                    filter,
                    keys: keys.into_iter().map(|(name, value)| (name.into(), value.0)).collect(),
                    position,
                    event: event.into_value(blobs)?,
                }))
            }
        })
    }
}

impl StartedDoc {
    fn into_started(self, blobs: &Blobs) -> Result<Started, FormatError> {
        Ok(Started {
            run: self.run,
            key: WorkflowKey { namespace: self.namespace, name: self.workflow },
            revision: self.revision,
            version: self.version,
            input: self.input.into_value(blobs)?,
            by: self.by,
            owner: self.owner,
            semantics: self.semantics,
            runtime: self.runtime.0,
            seed: self.seed.into_seed()?,
            labels: self.labels,
            tags: self.tags,
            priority: self.priority,
            traceparent: self.traceparent,
            secrets: self.secrets,
            queued: self.queued,
            parent: self.parent,
        })
    }
}

fn decided_doc(decided: &Decided, blobs: &mut NewBlobs) -> DecidedDoc {
    match decided.clone() {
        Decided::Scheduled { effect, activation, key, what } => {
            DecidedDoc::Scheduled { effect, activation, key, what }
        }
        Decided::Evaluating { evaluation, activation } => {
            DecidedDoc::Evaluating { evaluation, activation }
        }
        Decided::TimerSet { timer, activation, at, purpose } => {
            DecidedDoc::TimerSet { timer, activation, at, purpose }
        }
        Decided::Abandoned { effect } => DecidedDoc::Abandoned { effect },
        Decided::Caught { activation, fault } => DecidedDoc::Caught { activation, fault },
        Decided::Retrying { activation, attempt, at, fault } => {
            DecidedDoc::Retrying { activation, attempt, at, fault }
        }
        Decided::Ended(Ended { state, output, fault, activation, usage }) => DecidedDoc::Ended {
            state,
            output: output.map(|output| Payload::new(&output, blobs)),
            fault,
            activation,
            usage,
        },
        Decided::Listening { listener, activation, after } => {
            DecidedDoc::Listening { listener, activation, after }
        }
        Decided::Emitted { activation, id, kind } => DecidedDoc::Emitted { activation, id, kind },
        Decided::Holding { activation, list } => DecidedDoc::Holding { activation, list },
    }
}

impl DecidedDoc {
    fn into_decided(self, blobs: &Blobs) -> Result<Decided, FormatError> {
        Ok(match self {
            Self::Scheduled { effect, activation, key, what } => {
                Decided::Scheduled { effect, activation, key, what }
            }
            Self::Evaluating { evaluation, activation } => {
                Decided::Evaluating { evaluation, activation }
            }
            Self::TimerSet { timer, activation, at, purpose } => {
                Decided::TimerSet { timer, activation, at, purpose }
            }
            Self::Abandoned { effect } => Decided::Abandoned { effect },
            Self::Caught { activation, fault } => Decided::Caught { activation, fault },
            Self::Retrying { activation, attempt, at, fault } => {
                Decided::Retrying { activation, attempt, at, fault }
            }
            Self::Ended { state, output, fault, activation, usage } => Decided::Ended(Ended {
                state,
                output: output.map(|output| output.into_value(blobs)).transpose()?,
                fault,
                activation,
                usage,
            }),
            Self::Listening { listener, activation, after } => {
                Decided::Listening { listener, activation, after }
            }
            Self::Emitted { activation, id, kind } => Decided::Emitted { activation, id, kind },
            Self::Holding { activation, list } => Decided::Holding { activation, list },
        })
    }
}
