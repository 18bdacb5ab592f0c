//! Runs: starting, seeing, following, changing.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::dispatch::DispatchView;

/// Starts a run. `POST /api/v1/namespaces/{namespace}/runs`
///
/// The site reads the input straight into a value of its own; for everybody else it is JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunStart<I = Value> {
    /// Name of the workflow.
    pub workflow: String,
    /// Digest of a revision; the workflow's current one by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The run's id, chosen by the caller, so that starting twice is harmless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    #[serde(default)]
    pub input: I,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<(String, String)>,
    /// Labels of the data in the input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    #[serde(default)]
    pub priority: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Why a command is given. Body of `cancel`, `retry`, `suspend` and `resume`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunCommand {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct By {
    pub actor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A run in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    pub run: String,
    pub namespace: String,
    pub workflow: String,
    pub version: String,
    pub revision: String,
    /// One of the language's seven phases.
    pub state: String,
    pub created_at: String,
    pub updated_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// When a waiting run goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Value>,
    /// Why a suspended run stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<String>,
    /// What a pending run waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<String>,
    pub tags: Vec<(String, String)>,
    pub labels: Vec<String>,
    pub priority: i32,
    pub traceparent: String,
    pub started_by: String,
    /// Whose run it is.
    pub owner: String,
    pub usage: RunUsage,
    /// The run that has this one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ParentView>,
}

/// A run's place in another run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParentView {
    pub run: String,
    /// The execution of the parent's task.
    pub activation: String,
    /// How many runs stand above this one.
    pub depth: u32,
}

/// A run that a task of another run has run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChildView {
    pub run: String,
    pub namespace: String,
    pub workflow: String,
    pub version: String,
    pub state: String,
    /// The execution of the task that has it run.
    pub activation: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunUsage {
    pub records: u64,
    pub tasks: u64,
    pub effects: u64,
    pub retries: u64,
    pub cost_micros: u64,
}

/// What a start answers: the run as it is now, with its output if it has completed. It may still be
/// running when nobody waited for its end, or not long enough.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunResult<O = Value> {
    #[serde(flatten)]
    pub view: RunView,
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub output: Option<O>,
}

/// A run with what it was given, what it gave, and how it got there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunDetail {
    #[serde(flatten)]
    pub view: RunView,
    pub input: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The task that faulted, with its input, attempts and error: where one looks first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faulted: Option<TaskView>,
    /// Tasks in the order of their beginning; at most the last 1,000.
    pub tasks: Vec<TaskView>,
    /// Tasks that are not in `tasks`.
    pub tasks_omitted: u64,
    /// Runs that its tasks have run, in the order of their beginning; at most the last 200.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<ChildView>,
    /// What its tasks have asked of other sites; at most the last 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dispatches: Vec<DispatchView>,
    /// Who started it, and why.
    pub by: By,
    /// The last record of the journal.
    pub sequence: u64,
    /// Records behind the first one and up to here are compacted: only their decisions are kept, and
    /// the tasks that ended by then are not shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compacted: Option<u64>,
}

/// One execution of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskView {
    /// The identity of this execution.
    pub activation: String,
    pub task: String,
    /// JSON pointer in the document.
    pub location: String,
    /// One of the language's seven phases, or `skipped`.
    pub state: String,
    pub started_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptView>,
}

/// One time that an effect was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptView {
    pub effect: u64,
    pub activation: String,
    pub idempotency_key: String,
    /// What was asked, without query, body or credentials.
    pub what: String,
    pub scheduled_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<String>,
    /// `definite`: the other side has answered, and the next attempt has a key of its own.
    /// `unknown`: it has not, or was never asked, as where a secret is missing; the next attempt has
    /// the same key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certainty: Option<String>,
    /// The gate's rule that let it pass or stopped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What a script or command asked for at its door, each thing once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crossings: Vec<CrossingView>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Value>,
}

/// A destination that a process asked for, and what the gate said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CrossingView {
    /// Scheme, host and port.
    pub destination: String,
    pub allowed: bool,
    pub rule: String,
    /// How often it asked.
    pub count: u64,
}

/// A record of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunEventView {
    pub sequence: u64,
    pub at: String,
    /// Such as `started`, `performed`, `timer-fired`, `retried`; `compacted` for a stretch of records
    /// of which only the decisions are kept.
    pub kind: String,
    /// The record as in `docs/spec/journal.md`; large values stand as references to blobs. Of a
    /// compacted stretch, what is kept of it; `sequence` is its last one.
    pub record: Value,
}

/// One server-sent event of `GET …/runs/{run}/follow`; its SSE id is `sequence`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FollowEvent {
    pub sequence: u64,
    pub at: String,
    /// The run's state after it.
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// `started`, `iteration`, `scheduled`, `waiting`, `retrying`, `caught`, `completed`, `skipped`,
    /// `faulted`, `cancelled`, `emitted`, `listening`, `received`, `listened`, `suspended`, `resumed`;
    /// for the run itself `state`.
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Value>,
}
