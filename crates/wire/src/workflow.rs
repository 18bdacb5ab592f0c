//! Workflows: applying, listing, showing, deleting.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::Finding;

/// Applies a document. `PUT /api/v1/namespaces/{namespace}/workflows/{name}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkflowApply {
    /// The document, YAML or JSON.
    pub text: String,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
    /// Name of the file, for findings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Applies documents that may refer to each other, all or none. `POST /api/v1/workflows:apply`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkflowSetApply {
    /// 1 to 1,000 documents; each says itself which workflow it is.
    pub documents: Vec<WorkflowDocument>,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One document of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkflowDocument {
    /// The document, YAML or JSON.
    pub text: String,
    /// Name of the file, for findings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WorkflowChange {
    New,
    Changed,
    Unchanged,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowApplied {
    pub namespace: String,
    pub workflow: String,
    pub version: String,
    pub revision: String,
    pub change: WorkflowChange,
    /// The revision that was current before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Finding>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowView {
    pub namespace: String,
    pub workflow: String,
    pub version: String,
    pub revision: String,
    pub updated_at: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowDetail {
    #[serde(flatten)]
    pub view: WorkflowView,
    /// The current revision's text, as it was applied.
    pub text: String,
    /// Newest first, at most 100.
    pub revisions: Vec<RevisionView>,
    /// What begins runs of it by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedule: Vec<ScheduleView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionView {
    pub revision: String,
    pub version: String,
    pub created_at: String,
}

/// One trigger of a workflow's schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleView {
    /// `every`, `cron`, `after` or `on`.
    pub trigger: String,
    /// The interval, the cron expression, or the events as JSON.
    pub when: String,
    /// `skip`, `once` or `all`: what becomes of times at which the site was down.
    pub missed: String,
    /// Missing while the end of the last run is waited for, and with `on`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<String>,
    /// The last time that began a run; with `on`, when the last event of its input came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<String>,
}
