//! Schedules: what begins runs by itself, and how far it has come. What the bytes of a definition
//! mean, and when the next time is, is the site's business.

use base::name::WorkflowKey;
use base::{RunId, Timestamp};
use bytes::Bytes;

/// One trigger of a workflow. There is at most one of each name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRow {
    pub key: WorkflowKey,
    pub trigger: String,
    /// Whoever wrote it knows what it means.
    pub definition: Bytes,
    /// Since when it is as it is.
    pub since: Timestamp,
    /// When it is due; `None` while it waits for a run to end.
    pub next_at: Option<Timestamp>,
    /// The last time that it began a run for.
    pub fired_at: Option<Timestamp>,
    /// The run of that time.
    pub run: Option<RunId>,
}
