//! The record of changes: who changed what in the fleet, when and why.

use base::{By, Namespace, SiteName, Timestamp, WorkflowName};
use models::Holder;
use pricing::Budget;
use serde::Serialize;
use store::Op;

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ChangeKind {
    /// A token was made; it is not told.
    TokenCreated,
    /// A machine has joined with one.
    SiteJoined,
    SiteTagged,
    SiteRevoked,
    SiteCordoned,
    SiteUncordoned,
    SiteAdopted,
    SiteLeft,
    /// Nobody waits for it after a restore.
    SiteWaived,
    RecoveryEnded,
    /// Another one signs for the hub.
    AuthorityRotated,
    /// Those before it are not believed any more.
    AuthoritiesForgotten,
    WorkflowApplied,
    WorkflowDeleted,
    PlacementApplied,
    PlacementDeleted,
    BudgetSet,
    BudgetRemoved,
}

#[derive(Serialize)]
struct ChangeDoc<'a> {
    change: ChangeKind,
    site: &'a SiteName,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct DesiredDoc<'a> {
    change: ChangeKind,
    namespace: &'a Namespace,
    name: &'a WorkflowName,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct HubDoc<'a> {
    change: ChangeKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct BudgetDoc<'a> {
    change: ChangeKind,
    name: &'a str,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// The same for a budget over sites.
pub(crate) fn budget_op(
    change: ChangeKind,
    holder: &Holder,
    budget: &Budget,
    by: &By,
    at: Timestamp,
) -> Op {
    let (name, reason) = (&*holder.to_text(), by.reason.as_deref());
    server::change_op(&BudgetDoc { change, name, what: budget.to_string(), reason }, by, at)
}

/// The same for the hub itself.
pub(crate) fn hub_op(kind: ChangeKind, by: &By, at: Timestamp) -> Op {
    server::change_op(&HubDoc { change: kind, reason: by.reason.as_deref() }, by, at)
}

/// The same for a workflow or a placement.
pub(crate) fn desired_op(
    kind: ChangeKind,
    namespace: &Namespace,
    name: &WorkflowName,
    by: &By,
    at: Timestamp,
) -> Op {
    let doc = DesiredDoc { change: kind, namespace, name, reason: by.reason.as_deref() };
    server::change_op(&doc, by, at)
}

/// What is written down in the same commit as the change itself.
pub(crate) fn change_op(kind: ChangeKind, site: &SiteName, by: &By, at: Timestamp) -> Op {
    let doc = ChangeDoc { change: kind, site, reason: by.reason.as_deref() };
    server::change_op(&doc, by, at)
}
