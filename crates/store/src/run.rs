//! Runs, as one finds and lists them. What a run *is* stands in its journal.

use std::fmt;
use std::str::FromStr;

use base::name::{Namespace, WorkflowKey, WorkflowName};
use base::{Digest, RunId, Timestamp};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The language's seven phases, for runs and tasks, everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    Pending,
    Running,
    Waiting,
    Suspended,
    Cancelled,
    Faulted,
    Completed,
}

impl RunState {
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Running,
        Self::Waiting,
        Self::Suspended,
        Self::Cancelled,
        Self::Faulted,
        Self::Completed,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Suspended => "suspended",
            Self::Cancelled => "cancelled",
            Self::Faulted => "faulted",
            Self::Completed => "completed",
        }
    }

    /// Whether nothing more happens by itself.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        match self {
            Self::Cancelled | Self::Faulted | Self::Completed => true,
            Self::Pending | Self::Running | Self::Waiting | Self::Suspended => false,
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a state: use one of pending, running, waiting, suspended, cancelled, faulted, completed"
)]
pub struct RunStateError(pub String);

impl FromStr for RunState {
    type Err = RunStateError;

    fn from_str(text: &str) -> Result<Self, RunStateError> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| RunStateError(text.chars().take(40).collect()))
    }
}

/// What lists show of a run without opening its journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    pub run: RunId,
    pub key: WorkflowKey,
    pub revision: Digest,
    pub state: RunState,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// When a waiting run wants to be woken.
    pub wake_at: Option<Timestamp>,
    /// The rest of what a list shows, in the engine's own format.
    pub summary: Bytes,
}

/// Where a page of runs that are due ends: the next one begins behind this time and run.
pub type WakeCursor = (Timestamp, RunId);

/// Where a page of runs ends: the next one starts after this run, in descending order of id.
pub type RunCursor = RunId;

#[derive(Debug, Clone, Default)]
pub struct RunQuery {
    pub namespace: Option<Namespace>,
    pub workflow: Option<WorkflowName>,
    /// Empty is all.
    pub states: Vec<RunState>,
    /// None whose id is before this one: ids lie in the order of time.
    pub oldest: Option<RunId>,
    pub after: Option<RunCursor>,
    pub limit: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take any text for the first state, or compare without care.
    #[test]
    fn a_state_is_read_as_it_is_written() {
        for state in RunState::ALL {
            assert_eq!(state.to_string().parse(), Ok(state));
        }
        let unknown = "Running".parse::<RunState>().expect_err("no state");
        assert!(unknown.to_string().starts_with("`Running` is not a state"), "{unknown}");
    }
}
