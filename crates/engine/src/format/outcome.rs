//! The outcome: all that may leave a site about a run without permission.
//!
//! A closed struct: run id, revision, state, times, a standard error type and where, counts. No free
//! text, no sizes, and no plain digest: a revision that the hub did not issue is named by a keyed
//! digest whose key stays in the run's own journal. Described in `docs/spec/outcome.md`.

use std::fmt::Write as _;

use base::{Digest, ErrorType, RunId, Timestamp};
use serde::{Deserialize, Serialize};
use store::RunState;

use super::{FormatError, VERSION, read};
use crate::record::Seed;

pub const OUTCOME_TYPE: &str = "isonomy.outcome";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    #[serde(rename = "type")]
    kind: String,
    v: u32,
    pub run: RunId,
    /// From 1; a run that was retried has several.
    pub number: u32,
    /// `keyed:` and 64 hexadecimal digits.
    pub revision: String,
    pub state: RunState,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<OutcomeError>,
    pub counts: Counts,
}

/// Only the kind, only from the standard list, and the place as numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutcomeError {
    #[serde(rename = "type")]
    pub kind: ErrorType,
    /// The numbers of the task's location, without its names.
    pub path: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    pub tasks: u64,
    pub effects: u64,
    pub retries: u64,
}

/// What an outcome is made from.
pub struct Facts<'a> {
    pub run: RunId,
    pub number: u32,
    pub revision: Digest,
    pub seed: &'a Seed,
    pub state: RunState,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    pub fault: Option<&'a base::Fault>,
    pub counts: Counts,
}

impl Outcome {
    #[must_use]
    pub fn new(facts: &Facts<'_>) -> Self {
        let error = facts.fault.map(|fault| OutcomeError {
            kind: fault.kind(),
            path: index_path(fault.instance.as_deref().unwrap_or_default()),
        });
        Self {
            kind: OUTCOME_TYPE.to_owned(),
            v: VERSION,
            run: facts.run,
            number: facts.number,
            revision: keyed(facts.seed, &facts.revision),
            state: facts.state,
            started_at: facts.started_at,
            ended_at: facts.ended_at,
            error,
            counts: facts.counts,
        }
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("our own types have JSON text")
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        read(bytes, OUTCOME_TYPE)
    }
}

fn keyed(seed: &Seed, revision: &Digest) -> String {
    let key = blake3::derive_key("isonomy 2026 outcome revision", seed.as_bytes());
    format!("keyed:{}", blake3::keyed_hash(&key, revision.as_bytes()).to_hex())
}

/// An author may set `instance` to any text; only numbers pass.
fn index_path(location: &str) -> Vec<u32> {
    location.split('/').filter_map(|part| part.parse().ok()).collect()
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut line = format!("{} #{} {}", self.run, self.number, self.state);
        if let Some(error) = &self.error {
            write!(line, " ({})", error.kind.name())?;
        }
        f.write_str(&line)
    }
}
