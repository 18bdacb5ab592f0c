//! The record of changes: who changed a workflow, when and why. A run's changes are in its journal;
//! those of secrets are made in `secret`.

use base::name::WorkflowKey;
use base::{By, Digest, Timestamp};
use serde::Serialize;
use store::Op;

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ChangeKind {
    WorkflowApplied,
    WorkflowDeleted,
    SecretSet,
    SecretDeleted,
    /// The site is no hub's any more.
    HubLeft,
}

#[derive(Serialize)]
struct ChangeDoc<'a> {
    change: ChangeKind,
    namespace: &'a str,
    workflow: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// What is written down in the same commit as the change itself.
pub(crate) fn change_op(
    kind: ChangeKind,
    key: &WorkflowKey,
    revision: Option<Digest>,
    previous: Option<Digest>,
    by: &By,
    at: Timestamp,
) -> Op {
    let doc = ChangeDoc {
        change: kind,
        namespace: key.namespace.as_str(),
        workflow: key.name.as_str(),
        revision,
        previous,
        reason: by.reason.as_deref(),
    };
    server::change_op(&doc, by, at)
}

/// The same for the line to the hub.
pub(crate) fn left_op(by: &By, at: Timestamp) -> Op {
    #[derive(Serialize)]
    struct LeftDoc<'a> {
        change: ChangeKind,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    }
    let doc = LeftDoc { change: ChangeKind::HubLeft, reason: by.reason.as_deref() };
    server::change_op(&doc, by, at)
}
