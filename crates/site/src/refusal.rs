//! Refusals: every way in which the site says no. What a refusal is, is in `server`.

use axum::response::{IntoResponse, Response};
use engine::compact::CompactError;
use engine::driver::{CommandError, LoadError, StartError};
use engine::machine::Misfit;
use link::site::KeepError;
use store::{CommitError, StoreError};
use wire::{Finding, ProblemCode};

use crate::model::ForgetError;
use crate::retention::TidyError;

/// What errors of the rooms below become.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal(server::Refusal);

impl Refusal {
    pub(crate) fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self(server::Refusal::new(code, detail))
    }

    pub(crate) fn with_findings(self, findings: Vec<Finding>) -> Self {
        Self(self.0.with_findings(findings))
    }

    pub(crate) fn parameter(name: &str, what: impl std::fmt::Display) -> Self {
        Self(server::Refusal::parameter(name, what))
    }

    pub(crate) fn findings(&self) -> &[Finding] {
        self.0.findings()
    }

    pub(crate) fn code(&self) -> ProblemCode {
        self.0.code()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl From<server::Refusal> for Refusal {
    fn from(refusal: server::Refusal) -> Self {
        Self(refusal)
    }
}

impl From<KeepError> for Refusal {
    fn from(error: KeepError) -> Self {
        match error {
            KeepError::Store(error) => error.into(),
            KeepError::Commit(error) => error.into(),
            error => Self::new(ProblemCode::StoreFailed, error.to_string()),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self(error.into())
    }
}

impl From<CommitError> for Refusal {
    fn from(error: CommitError) -> Self {
        Self(error.into())
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
            TidyError::Keep(error) => error.into(),
            TidyError::Compact(error @ CompactError::Record(..)) => {
                Self::new(ProblemCode::StoreFailed, error.to_string())
            }
        }
    }
}

impl From<ForgetError> for Refusal {
    fn from(error: ForgetError) -> Self {
        match error {
            ForgetError::Store(error) => error.into(),
            ForgetError::Commit(error) => error.into(),
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
            StartError::Stopping => Self(server::Refusal::stopping()),
        }
    }
}

impl From<CommandError> for Refusal {
    fn from(error: CommandError) -> Self {
        let code = match error {
            CommandError::Commit(error) => return error.into(),
            CommandError::Store(error) => return error.into(),
            CommandError::Stopping => return Self(server::Refusal::stopping()),
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

/// Work that a caller who goes away must not break off in the middle.
pub(crate) async fn finished<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    server::finished(work).await
}

pub(crate) fn internal() -> Refusal {
    Refusal(server::internal())
}
