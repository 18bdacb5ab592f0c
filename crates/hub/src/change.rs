//! The record of changes: who changed what in the fleet, when and why.

use base::{By, SiteName, Timestamp};
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
}

#[derive(Serialize)]
struct ChangeDoc<'a> {
    change: ChangeKind,
    site: &'a SiteName,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// What is written down in the same commit as the change itself.
pub(crate) fn change_op(kind: ChangeKind, site: &SiteName, by: &By, at: Timestamp) -> Op {
    let doc = ChangeDoc { change: kind, site, reason: by.reason.as_deref() };
    server::change_op(&doc, by, at)
}
