//! Refusals: every way in which the site says no, as a problem document.

use crate::retention::TidyError;
use axum::response::{IntoResponse, Response};
use engine::compact::CompactError;
use engine::driver::{CommandError, LoadError, StartError};
use engine::machine::Misfit;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use store::{CommitError, StoreError};
use wire::{Finding, Problem, ProblemCode};

/// When to ask again where too many ask at once. What they wait for takes less than that, unless the
/// disk is slow.
const RETRY_AFTER_SECONDS: &str = "1";

/// A problem on its way to the caller. Boxed, since most answers are not refusals.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal(Box<Problem>);

impl Refusal {
    pub(crate) fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(code, detail)))
    }

    pub(crate) fn with_findings(self, findings: Vec<Finding>) -> Self {
        Self(Box::new(self.0.with_findings(findings)))
    }

    pub(crate) fn parameter(name: &str, what: impl std::fmt::Display) -> Self {
        Self::new(ProblemCode::ParameterInvalid, format!("`{name}`: {what}"))
    }

    pub(crate) fn code(&self) -> ProblemCode {
        self.0.code
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = self.0;
        if problem.status >= 500 {
            tracing::error!(code = %problem.code, detail = problem.detail, "a request failed");
        }
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&problem).expect("our own types have JSON text");
        let mut response = (status, body).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        if problem.code == ProblemCode::Overloaded {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        response
    }
}

const STOPPING: &str = "the site is shutting down; ask again when it is up";

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::new(ProblemCode::StoreFailed, error.to_string())
    }
}

impl From<CommitError> for Refusal {
    fn from(error: CommitError) -> Self {
        let code = match &error {
            CommitError::Full => ProblemCode::DiskFull,
            CommitError::RunExists(_) => ProblemCode::RunExists,
            CommitError::RunMissing(_) => ProblemCode::RunMissing,
            CommitError::WorkflowMissing(_) => ProblemCode::WorkflowMissing,
            CommitError::Closed => return Self::new(ProblemCode::Stopping, STOPPING),
            CommitError::Gap { .. }
            | CommitError::SequenceMoved { .. }
            | CommitError::EpochMoved { .. }
            | CommitError::OutcomeExists { .. }
            | CommitError::BlobDiffers(_)
            | CommitError::JournalKept { .. }
            | CommitError::RunGoesOn(_)
            | CommitError::OutboxKept(_)
            | CommitError::ReceiptExists(_)
            | CommitError::OrderClosed(_)
            | CommitError::SiteMissing(_)
            | CommitError::TokenSpent
            | CommitError::BlobMissing(_)
            | CommitError::Write(_) => ProblemCode::StoreFailed,
        };
        Self::new(code, error.to_string())
    }
}

impl From<TidyError> for Refusal {
    fn from(error: TidyError) -> Self {
        match error {
            TidyError::Store(error) | TidyError::Compact(CompactError::Store(error)) => {
                error.into()
            }
            TidyError::Commit(error) | TidyError::Compact(CompactError::Commit(error)) => {
                error.into()
            }
            TidyError::Compact(error @ CompactError::Record(..)) => {
                Self::new(ProblemCode::StoreFailed, error.to_string())
            }
        }
    }
}

impl From<LoadError> for Refusal {
    fn from(error: LoadError) -> Self {
        let code = match &error {
            LoadError::RevisionMissing(..) => ProblemCode::RevisionMissing,
            LoadError::RevisionUnreadable(..) => ProblemCode::WorkflowInvalid,
            LoadError::Record { .. }
            | LoadError::Snapshot(_)
            | LoadError::Diverged(_)
            | LoadError::Blob(_) => ProblemCode::RunSuspended,
            LoadError::Store(_) => ProblemCode::StoreFailed,
        };
        Self::new(code, error.to_string())
    }
}

impl From<StartError> for Refusal {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Exists(_) => Self::new(ProblemCode::RunExists, error.to_string()),
            StartError::Load(error) => error.into(),
            StartError::Commit(error) => error.into(),
            StartError::Crowded(_) => Self::new(
                ProblemCode::Overloaded,
                format!("{error}; ask again when some of them have begun"),
            ),
            StartError::Stopping => Self::new(ProblemCode::Stopping, STOPPING),
        }
    }
}

impl From<CommandError> for Refusal {
    fn from(error: CommandError) -> Self {
        let code = match error {
            CommandError::Commit(error) => return error.into(),
            CommandError::Store(error) => return error.into(),
            CommandError::Stopping => return Self::new(ProblemCode::Stopping, STOPPING),
            CommandError::Misfit(misfit) => return misfit.into(),
            CommandError::Missing(_) => ProblemCode::RunMissing,
            CommandError::Suspended(..) => ProblemCode::RunSuspended,
            CommandError::Busy(_) | CommandError::AtLimit(..) => ProblemCode::RunBusy,
        };
        Self::new(code, error.to_string())
    }
}

impl From<Misfit> for Refusal {
    fn from(misfit: Misfit) -> Self {
        let code = match &misfit {
            Misfit::Ended(_) => ProblemCode::RunEnded,
            Misfit::NotFaulted(_) => ProblemCode::RunNotFaulted,
            Misfit::Suspended => ProblemCode::RunSuspended,
            Misfit::NotSuspended(_) => ProblemCode::RunNotSuspended,
            Misfit::NotStarted
            | Misfit::StartedAlready
            | Misfit::NotQueued
            | Misfit::EffectUnknown(_)
            | Misfit::TimerUnknown(_)
            | Misfit::EvaluationUnknown(_)
            | Misfit::ReadUnknown(_)
            | Misfit::ListenerUnknown(_) => ProblemCode::Internal,
        };
        Self::new(code, misfit.to_string())
    }
}

/// Work that a caller who goes away must not break off in the middle, such as a commit: nobody would
/// know whether it has happened.
pub(crate) async fn finished<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::spawn(work).await.unwrap_or_else(|_| Err(internal()))
}

pub(crate) fn internal() -> Refusal {
    Refusal::new(
        ProblemCode::Internal,
        "the request met a mistake in this program; its log says where, and nothing else is affected",
    )
}
