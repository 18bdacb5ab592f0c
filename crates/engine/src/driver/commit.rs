//! What goes into the store for a run: its records, its row, its outcome.

use base::outcome::Counts;
use base::{Fault, Outcome, RunId, Timestamp};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use store::{Op, OutcomeRow, Preconditions, RunRow, RunState, Sequence};

use super::Driver;
use crate::format::{Encoded, fault_closed, references, revision_keyed};
use crate::list::List;
use crate::machine::Machine;
use crate::record::{Ended, Parent, Record, Started, Usage};

/// What a list of runs shows beside the row's own columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub version: String,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
    #[serde(default)]
    pub labels: Vec<String>,
    pub priority: i32,
    pub traceparent: String,
    pub started_by: String,
    #[serde(default)]
    pub owner: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    #[serde(default)]
    pub usage: Usage,
    /// Why a suspended run stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<String>,
    /// What a run waits for that was not let begin at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<String>,
    /// Of a run that was told to stand still: up to where its listeners have looked at events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked: Option<u64>,
    /// How many runs its revision has at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs_at_once: Option<u32>,
    /// Of a child run, as it stands now: a retried parent takes it up by a new effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
}

impl Summary {
    pub(super) fn of_start(started: &Started) -> Self {
        Self {
            version: started.version.clone(),
            tags: started.tags.clone(),
            labels: started.labels.clone(),
            priority: started.priority,
            traceparent: started.traceparent.clone(),
            started_by: started.by.actor.clone(),
            owner: started.owner.clone(),
            fault: None,
            usage: Usage::default(),
            suspended: None,
            queued: None,
            looked: None,
            runs_at_once: None,
            parent: started.parent.clone(),
        }
    }

    /// Whether the run has one of the places of its workflow, as long as it has not ended.
    pub(super) fn has_place(&self) -> bool {
        self.runs_at_once.is_some() && self.queued.is_none()
    }

    pub(super) fn close(&mut self, ended: &Ended) {
        self.fault = ended.fault.clone();
        self.usage = ended.usage;
    }

    pub(super) fn reopen(&mut self) {
        self.fault = None;
    }

    pub(super) fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("our own types have JSON text").into()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

pub(super) fn row_of_start(started: &Started, summary: &Summary, now: Timestamp) -> RunRow {
    RunRow {
        run: started.run,
        key: started.key.clone(),
        revision: started.revision,
        state: RunState::Pending,
        created_at: now,
        updated_at: now,
        ended_at: None,
        wake_at: None,
        summary: summary.encode(),
    }
}

/// Blobs stand before the records that refer to them.
pub(super) fn put_ops(ops: &mut Vec<Op>, run: RunId, records: &[Record]) {
    for record in records {
        let keep = |list: &List| Op::BlobKeep { blob: list.blob, size: list.bytes };
        ops.extend(record.lists().iter().map(keep));
        let Encoded { bytes, blobs } = record.encode();
        ops.extend(
            blobs.into_iter().map(|(blob, bytes)| Op::BlobPut { blob, bytes: bytes.into() }),
        );
        put_refers(ops, run, record.sequence, &bytes);
        ops.push(Op::JournalAppend { run, sequence: record.sequence, record: bytes.into() });
    }
}

/// From what is really written, so that no blob is forgotten that a reader of these bytes looks for.
fn put_refers(ops: &mut Vec<Op>, run: RunId, sequence: Sequence, document: &[u8]) {
    let blobs = references(document).into_iter();
    ops.extend(blobs.map(|blob| Op::BlobRefer { run, sequence, blob }));
}

pub(super) fn put_snapshot(ops: &mut Vec<Op>, run: RunId, sequence: Sequence, frozen: Encoded) {
    let Encoded { bytes, blobs } = frozen;
    ops.extend(blobs.into_iter().map(|(blob, bytes)| Op::BlobPut { blob, bytes: bytes.into() }));
    put_refers(ops, run, sequence, &bytes);
    ops.push(Op::SnapshotPut { run, sequence, snapshot: bytes.into() });
}

impl Machine {
    /// The outcome of a run that has just ended: a row of the outbox.
    pub(super) fn outcome_op(&self, row: &RunRow, ended: &Ended, number: u32, at: Timestamp) -> Op {
        let usage = ended.usage;
        let outcome = Outcome {
            run: row.run,
            number,
            revision: revision_keyed(self.seed(), &row.revision),
            state: ended.state,
            started_at: row.created_at,
            ended_at: at,
            error: ended.fault.as_ref().map(fault_closed),
            counts: Counts { tasks: usage.tasks, effects: usage.effects, retries: usage.retries },
        };
        let outcome = outcome.encode().into();
        Op::OutcomePut(OutcomeRow { position: 0, run: row.run, number, at, outcome })
    }
}

impl Driver {
    /// Only the owner of the store writes.
    pub(super) fn owned(&self) -> Preconditions {
        Preconditions { run: None, epoch: Some(self.0.parts.store.epoch()) }
    }
}
