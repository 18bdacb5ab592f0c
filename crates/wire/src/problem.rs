//! Problems (RFC 9457): what went wrong with a request, where, and what to do.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What went wrong. The text form is stable and documented in `docs/reference/problems.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub enum ProblemCode {
    /// The body is not JSON, or not of the form that the operation takes.
    #[serde(rename = "API-001")]
    BodyInvalid,
    /// A path or query parameter is not valid.
    #[serde(rename = "API-002")]
    ParameterInvalid,
    /// There is no such path.
    #[serde(rename = "API-003")]
    NoSuchOperation,
    /// Body, header or page above the limit.
    #[serde(rename = "API-004")]
    TooLarge,
    /// The `Host` or `Origin` header names another machine.
    #[serde(rename = "API-005")]
    ForeignOrigin,
    /// More requests at once than the site accepts.
    #[serde(rename = "API-006")]
    Overloaded,
    /// The site is shutting down.
    #[serde(rename = "API-007")]
    Stopping,
    /// The path is there, and does not take this method.
    #[serde(rename = "API-008")]
    MethodNotAllowed,
    /// The body is not declared as JSON.
    #[serde(rename = "API-009")]
    NotJson,
    /// The request did not arrive, or could not be answered, in time.
    #[serde(rename = "API-010")]
    TooSlow,
    /// The document is not a valid workflow; `findings` say where.
    #[serde(rename = "WFL-001")]
    WorkflowInvalid,
    /// There is no workflow of that name.
    #[serde(rename = "WFL-002")]
    WorkflowMissing,
    /// The workflow has no such revision.
    #[serde(rename = "WFL-003")]
    RevisionMissing,
    /// Path and document name different workflows.
    #[serde(rename = "WFL-004")]
    WorkflowMismatch,
    /// There is no run of that id in the namespace.
    #[serde(rename = "RUN-001")]
    RunMissing,
    /// A run of that id exists and is another one.
    #[serde(rename = "RUN-002")]
    RunExists,
    /// The run has ended already.
    #[serde(rename = "RUN-003")]
    RunEnded,
    /// Only a faulted run can be retried.
    #[serde(rename = "RUN-004")]
    RunNotFaulted,
    /// The run is suspended.
    #[serde(rename = "RUN-005")]
    RunSuspended,
    /// Too many commands wait at the run.
    #[serde(rename = "RUN-006")]
    RunBusy,
    /// Only a suspended run can be resumed.
    #[serde(rename = "RUN-007")]
    RunNotSuspended,
    /// There is no such secret.
    #[serde(rename = "SEC-001")]
    SecretMissing,
    /// The secret comes from another provider than the site's files.
    #[serde(rename = "SEC-002")]
    SecretElsewhere,
    /// A secret that is too large, or one too many.
    #[serde(rename = "SEC-003")]
    SecretLimit,
    /// The files of secrets cannot be used.
    #[serde(rename = "SEC-004")]
    SecretsUnreadable,
    /// The site has nowhere to keep secrets.
    #[serde(rename = "SEC-005")]
    SecretsOff,
    /// The disk is full.
    #[serde(rename = "STO-001")]
    DiskFull,
    /// The store cannot be read or written.
    #[serde(rename = "STO-002")]
    StoreFailed,
    /// A mistake in this program.
    #[serde(rename = "INT-001")]
    Internal,
    /// Something that was sent as an event is not one.
    #[serde(rename = "EVT-001")]
    EventInvalid,
    /// The body is not declared as an event.
    #[serde(rename = "EVT-002")]
    EventMediaType,
    /// The fleet has no such site.
    #[serde(rename = "FLT-001")]
    SiteMissing,
    /// The site has joined already.
    #[serde(rename = "FLT-002")]
    SiteJoined,
    /// The hub has no such order.
    #[serde(rename = "FLT-003")]
    OrderMissing,
    /// There is no such placement.
    #[serde(rename = "FLT-004")]
    PlacementMissing,
    /// The site is cordoned.
    #[serde(rename = "FLT-005")]
    SiteCordoned,
    /// The hub was brought back from a backup, and waits for its sites.
    #[serde(rename = "FLT-006")]
    Recovering,
    /// A request of that id was made and is another one.
    #[serde(rename = "FLT-007")]
    RequestExists,
    /// The hub's authority cannot be replaced now.
    #[serde(rename = "FLT-008")]
    AuthorityOverlap,
    /// The request has no key, or none that is good.
    #[serde(rename = "KEY-001")]
    KeyRequired,
    /// The key has no such role there.
    #[serde(rename = "KEY-002")]
    RoleMissing,
    /// There is no such key.
    #[serde(rename = "KEY-003")]
    KeyMissing,
    /// There is a good key of that name.
    #[serde(rename = "KEY-004")]
    KeyExists,
    /// One key too many.
    #[serde(rename = "KEY-005")]
    KeyLimit,
    /// No model or route of that name.
    #[serde(rename = "MDL-001")]
    ModelMissing,
    /// A model and a route cannot have one name.
    #[serde(rename = "MDL-002")]
    ModelExists,
    /// Nobody has such a budget.
    #[serde(rename = "MDL-003")]
    BudgetMissing,
    /// No call of that id.
    #[serde(rename = "MDL-004")]
    CallMissing,
    /// The call is under way, or what it has cost is known.
    #[serde(rename = "MDL-005")]
    CallKnown,
    /// The question was answered, or its time is over.
    #[serde(rename = "MDL-006")]
    QuestionOver,
    /// The file of an exchange is not taken, or cannot be made.
    #[serde(rename = "EXC-001")]
    ExchangeRefused,
}

impl ProblemCode {
    pub const ALL: [Self; 51] = [
        Self::BodyInvalid,
        Self::ParameterInvalid,
        Self::NoSuchOperation,
        Self::TooLarge,
        Self::ForeignOrigin,
        Self::Overloaded,
        Self::Stopping,
        Self::MethodNotAllowed,
        Self::NotJson,
        Self::TooSlow,
        Self::WorkflowInvalid,
        Self::WorkflowMissing,
        Self::RevisionMissing,
        Self::WorkflowMismatch,
        Self::RunMissing,
        Self::RunExists,
        Self::RunEnded,
        Self::RunNotFaulted,
        Self::RunSuspended,
        Self::RunBusy,
        Self::RunNotSuspended,
        Self::SecretMissing,
        Self::SecretElsewhere,
        Self::SecretLimit,
        Self::SecretsUnreadable,
        Self::SecretsOff,
        Self::DiskFull,
        Self::StoreFailed,
        Self::Internal,
        Self::EventInvalid,
        Self::EventMediaType,
        Self::SiteMissing,
        Self::SiteJoined,
        Self::OrderMissing,
        Self::PlacementMissing,
        Self::SiteCordoned,
        Self::Recovering,
        Self::RequestExists,
        Self::AuthorityOverlap,
        Self::KeyRequired,
        Self::RoleMissing,
        Self::KeyMissing,
        Self::KeyExists,
        Self::KeyLimit,
        Self::ModelMissing,
        Self::ModelExists,
        Self::BudgetMissing,
        Self::CallMissing,
        Self::CallKnown,
        Self::QuestionOver,
        Self::ExchangeRefused,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BodyInvalid => "API-001",
            Self::ParameterInvalid => "API-002",
            Self::NoSuchOperation => "API-003",
            Self::TooLarge => "API-004",
            Self::ForeignOrigin => "API-005",
            Self::Overloaded => "API-006",
            Self::Stopping => "API-007",
            Self::MethodNotAllowed => "API-008",
            Self::NotJson => "API-009",
            Self::TooSlow => "API-010",
            Self::WorkflowInvalid => "WFL-001",
            Self::WorkflowMissing => "WFL-002",
            Self::RevisionMissing => "WFL-003",
            Self::WorkflowMismatch => "WFL-004",
            Self::RunMissing => "RUN-001",
            Self::RunExists => "RUN-002",
            Self::RunEnded => "RUN-003",
            Self::RunNotFaulted => "RUN-004",
            Self::RunSuspended => "RUN-005",
            Self::RunBusy => "RUN-006",
            Self::RunNotSuspended => "RUN-007",
            Self::SecretMissing => "SEC-001",
            Self::SecretElsewhere => "SEC-002",
            Self::SecretLimit => "SEC-003",
            Self::SecretsUnreadable => "SEC-004",
            Self::SecretsOff => "SEC-005",
            Self::DiskFull => "STO-001",
            Self::StoreFailed => "STO-002",
            Self::Internal => "INT-001",
            Self::EventInvalid => "EVT-001",
            Self::EventMediaType => "EVT-002",
            Self::SiteMissing => "FLT-001",
            Self::SiteJoined => "FLT-002",
            Self::OrderMissing => "FLT-003",
            Self::PlacementMissing => "FLT-004",
            Self::SiteCordoned => "FLT-005",
            Self::Recovering => "FLT-006",
            Self::RequestExists => "FLT-007",
            Self::AuthorityOverlap => "FLT-008",
            Self::KeyRequired => "KEY-001",
            Self::RoleMissing => "KEY-002",
            Self::KeyMissing => "KEY-003",
            Self::KeyExists => "KEY-004",
            Self::KeyLimit => "KEY-005",
            Self::ModelMissing => "MDL-001",
            Self::ModelExists => "MDL-002",
            Self::BudgetMissing => "MDL-003",
            Self::CallMissing => "MDL-004",
            Self::CallKnown => "MDL-005",
            Self::QuestionOver => "MDL-006",
            Self::ExchangeRefused => "EXC-001",
        }
    }

    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::BodyInvalid => "The body is not valid",
            Self::ParameterInvalid => "A parameter is not valid",
            Self::NoSuchOperation => "No such operation",
            Self::TooLarge => "Too large",
            Self::ForeignOrigin => "Foreign origin",
            Self::Overloaded => "Overloaded",
            Self::Stopping => "Shutting down",
            Self::MethodNotAllowed => "Not with this method",
            Self::NotJson => "The body is not declared as JSON",
            Self::TooSlow => "Too slow",
            Self::WorkflowInvalid => "The workflow is not valid",
            Self::WorkflowMissing => "No such workflow",
            Self::RevisionMissing => "No such revision",
            Self::WorkflowMismatch => "Another workflow",
            Self::RunMissing => "No such run",
            Self::RunExists => "The run exists",
            Self::RunEnded => "The run has ended",
            Self::RunNotFaulted => "The run has not faulted",
            Self::RunSuspended => "The run is suspended",
            Self::RunBusy => "The run is busy",
            Self::RunNotSuspended => "The run is not suspended",
            Self::SecretMissing => "No such secret",
            Self::SecretElsewhere => "The secret comes from elsewhere",
            Self::SecretLimit => "Too large a secret, or too many",
            Self::SecretsUnreadable => "The secrets cannot be read",
            Self::SecretsOff => "Nowhere to keep secrets",
            Self::DiskFull => "The disk is full",
            Self::StoreFailed => "The store failed",
            Self::Internal => "A mistake in this program",
            Self::EventInvalid => "Not an event",
            Self::EventMediaType => "The body is not declared as an event",
            Self::SiteMissing => "No such site",
            Self::SiteJoined => "The site has joined",
            Self::OrderMissing => "No such order",
            Self::PlacementMissing => "No such placement",
            Self::SiteCordoned => "The site is cordoned",
            Self::Recovering => "The hub recovers",
            Self::RequestExists => "The request exists",
            Self::AuthorityOverlap => "The authority cannot be replaced now",
            Self::KeyRequired => "A key is needed",
            Self::RoleMissing => "The key has no such role",
            Self::KeyMissing => "No such key",
            Self::KeyExists => "The key exists",
            Self::KeyLimit => "Too many keys",
            Self::ModelMissing => "No such model",
            Self::ModelExists => "The name is taken",
            Self::BudgetMissing => "No such budget",
            Self::CallMissing => "No such call",
            Self::CallKnown => "The cost is known, or not yet",
            Self::QuestionOver => "The question is over",
            Self::ExchangeRefused => "Not exchanged",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BodyInvalid
            | Self::ParameterInvalid
            | Self::WorkflowMismatch
            | Self::EventInvalid => 400,
            Self::KeyRequired => 401,
            Self::ForeignOrigin | Self::RoleMissing => 403,
            Self::NoSuchOperation
            | Self::WorkflowMissing
            | Self::RevisionMissing
            | Self::RunMissing
            | Self::SecretMissing
            | Self::SiteMissing
            | Self::OrderMissing
            | Self::PlacementMissing
            | Self::KeyMissing
            | Self::ModelMissing
            | Self::BudgetMissing
            | Self::CallMissing => 404,
            Self::MethodNotAllowed => 405,
            Self::TooSlow => 408,
            Self::RunExists
            | Self::ModelExists
            | Self::CallKnown
            | Self::QuestionOver
            | Self::RunEnded
            | Self::RunNotFaulted
            | Self::RunSuspended
            | Self::RunNotSuspended
            | Self::SecretElsewhere
            | Self::SiteJoined
            | Self::SiteCordoned
            | Self::Recovering
            | Self::RequestExists
            | Self::AuthorityOverlap
            | Self::KeyExists
            | Self::SecretsOff => 409,
            Self::TooLarge | Self::SecretLimit | Self::KeyLimit => 413,
            Self::NotJson | Self::EventMediaType => 415,
            Self::WorkflowInvalid | Self::ExchangeRefused => 422,
            Self::RunBusy | Self::Overloaded => 429,
            Self::StoreFailed | Self::Internal | Self::SecretsUnreadable => 500,
            Self::Stopping => 503,
            Self::DiskFull => 507,
        }
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A problem document, served as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:isonomy:problem:` and the code.
    #[serde(rename = "type")]
    pub uri: String,
    pub code: ProblemCode,
    pub title: String,
    pub status: u16,
    /// What was wrong this time, and the way out.
    pub detail: String,
    /// Places in a document, for `WFL-001`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

/// One thing that is wrong, or doubtful, in a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// Such as `WF-012`; see the reference of workflow problems.
    pub code: String,
    /// `error` or `warning`.
    pub severity: String,
    pub message: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// JSON pointer into the document.
    pub pointer: String,
    /// What the sender calls the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The finding as a terminal shows it, with the source line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered: Option<String>,
}

impl Problem {
    #[must_use]
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            uri: format!("urn:isonomy:problem:{code}"),
            code,
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            findings: Vec::new(),
        }
    }

    #[must_use]
    pub fn with_findings(self, findings: Vec<Finding>) -> Self {
        Self { findings, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: give a code another text in `serde` than in `as_str`, or leave one out of `ALL`.
    #[test]
    fn every_code_has_one_text() {
        for code in ProblemCode::ALL {
            let json = serde_json::to_string(&code).expect("a code has a text");
            assert_eq!(json, format!("\"{code}\""));
        }
        let distinct: std::collections::BTreeSet<_> = ProblemCode::ALL.iter().collect();
        assert_eq!(distinct.len(), ProblemCode::ALL.len());
    }
}
