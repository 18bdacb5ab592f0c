//! Workflows and their revisions.

use base::name::WorkflowKey;
use base::{Digest, Timestamp};
use bytes::Bytes;

/// The head of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowRow {
    pub key: WorkflowKey,
    pub revision: Digest,
    /// `document.version` of that revision.
    pub version: String,
    pub updated_at: Timestamp,
    /// Set where the workflow was deleted; its revisions stay for the runs that are pinned to them.
    pub deleted_at: Option<Timestamp>,
}

/// An immutable definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionRow {
    pub key: WorkflowKey,
    pub revision: Digest,
    pub version: String,
    pub created_at: Timestamp,
    /// The document's text, as it was applied.
    pub text: Bytes,
    /// What the text refers to and what that was when it was applied, in the form of `spec`; empty
    /// where it refers to nothing.
    pub resolved: Bytes,
}
