//! The outcome: all that may leave a site about a run without permission.
//!
//! A closed struct: run id, revision, state, times, a standard error type and where, counts. No free
//! text, no sizes, and no plain digest. Described in `docs/spec/outcome.md`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::fault::ErrorType;
use crate::id::RunId;
use crate::state::RunState;
use crate::time::Timestamp;

pub const OUTCOME_TYPE: &str = "isonomy.outcome";
pub const OUTCOME_VERSION: u32 = 1;

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

/// Why an outcome cannot be read. Never with its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutcomeUnreadable {
    #[error("not an outcome")]
    Syntax,
    #[error("not an outcome but another document")]
    Type,
    #[error(
        "written by a newer version ({found}; this binary reads up to {OUTCOME_VERSION}): use that binary or a later one"
    )]
    Newer { found: u64 },
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    v: u32,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

impl Outcome {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let document = Document { kind: OUTCOME_TYPE, v: OUTCOME_VERSION, outcome: self };
        serde_json::to_vec(&document).expect("our own types have JSON text")
    }

    /// A field that is not known is an error: nothing may leave that is not on the list.
    pub fn decode(bytes: &[u8]) -> Result<Self, OutcomeUnreadable> {
        let syntax = |_| OutcomeUnreadable::Syntax;
        let mut document: Map<String, Value> = serde_json::from_slice(bytes).map_err(syntax)?;
        if document.remove("type").is_none_or(|kind| kind != OUTCOME_TYPE) {
            return Err(OutcomeUnreadable::Type);
        }
        let found = document.remove("v").and_then(|v| v.as_u64());
        match found {
            Some(found) if found > OUTCOME_VERSION.into() => {
                Err(OutcomeUnreadable::Newer { found })
            }
            Some(1..) => serde_json::from_value(Value::Object(document)).map_err(syntax),
            Some(0) | None => Err(OutcomeUnreadable::Syntax),
        }
    }
}
