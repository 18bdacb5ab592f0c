//! Refusals: no, as a problem document.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use store::{CommitError, StoreError};
use wire::{Finding, Problem, ProblemCode};

/// When to ask again where too many ask at once. What they wait for takes less than that, unless the
/// disk is slow.
const RETRY_AFTER_SECONDS: &str = "1";

/// A problem on its way to the caller. Boxed, since most answers are not refusals.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal(Box<Problem>);

impl Refusal {
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(code, detail)))
    }

    #[must_use]
    pub fn with_findings(self, findings: Vec<Finding>) -> Self {
        Self(Box::new(self.0.with_findings(findings)))
    }

    pub fn parameter(name: &str, what: impl std::fmt::Display) -> Self {
        Self::new(ProblemCode::ParameterInvalid, format!("`{name}`: {what}"))
    }

    /// Whoever was asked is on his way out.
    #[must_use]
    pub fn stopping() -> Self {
        Self::new(ProblemCode::Stopping, "it is shutting down; ask again when it is up")
    }

    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.0.findings
    }

    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    #[must_use]
    pub fn code(&self) -> ProblemCode {
        self.0.code
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}]", self.0.detail, self.0.code)
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
        if problem.code == ProblemCode::KeyRequired {
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"isonomy\""));
        }
        if problem.code == ProblemCode::Overloaded {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        response
    }
}

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
            CommitError::SiteMissing(_) => ProblemCode::SiteMissing,
            CommitError::Closed => return Self::stopping(),
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
            | CommitError::TokenSpent
            | CommitError::CallGap { .. }
            | CommitError::BlobMissing(_)
            | CommitError::Write(_) => ProblemCode::StoreFailed,
        };
        Self::new(code, error.to_string())
    }
}

/// Work that a caller who goes away must not break off in the middle, such as a commit: nobody would
/// know whether it has happened.
pub async fn finished<T, E>(
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Refusal> + Send + 'static,
{
    tokio::spawn(work).await.unwrap_or_else(|_| Err(internal().into()))
}

#[must_use]
pub fn internal() -> Refusal {
    Refusal::new(
        ProblemCode::Internal,
        "the request met a mistake in this program; its log says where, and nothing else is affected",
    )
}
