//! The outcome: all that may leave a site about a run without permission.
//!
//! A closed struct: run id, revision, state, times, a standard error type and where, counts. No free
//! text, no sizes, and no plain digest. Described in `docs/spec/outcome.md`.

use serde::{Deserialize, Serialize};

use crate::document::{self, DocumentError};
use crate::fault::ErrorType;
use crate::id::RunId;
use crate::state::RunState;
use crate::time::Timestamp;

const OUTCOME_TYPE: &str = "isonomy.outcome";
const OUTCOME_VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
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

impl Outcome {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        document::write(OUTCOME_TYPE, OUTCOME_VERSION, self)
    }

    /// A field that is not known is an error: nothing may leave that is not on the list.
    pub fn decode(bytes: &[u8]) -> Result<Self, DocumentError> {
        document::read_closed(bytes, OUTCOME_TYPE, OUTCOME_VERSION)
    }
}
