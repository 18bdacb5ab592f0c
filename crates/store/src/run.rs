//! Runs, as one finds and lists them. What a run *is* stands in its journal.

pub use base::RunState;
use base::name::{Namespace, WorkflowKey, WorkflowName};
use base::{Digest, RunId, Timestamp};
use bytes::Bytes;

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
