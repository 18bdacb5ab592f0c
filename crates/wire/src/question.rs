//! Questions to people: where no model of a route answers, somebody of the site may.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A question in the inbox of a namespace. `GET /api/v1/namespaces/{namespace}/questions/{call}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuestionView {
    /// The call that has asked first: the question's name.
    pub call: String,
    pub state: QuestionState,
    pub asked_at: String,
    /// Until when an answer is of use.
    pub until: String,
    /// The route that was asked.
    pub route: String,
    /// `chat`, `completions`, `responses` or `messages`.
    pub operation: String,
    /// Who has asked; what does not apply is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Who has answered or declined, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<String>,
    /// The request, as the client has sent it. In no list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// What was answered, or why nothing is. In no list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum QuestionState {
    Waiting,
    Answered,
    Declined,
    /// Nobody has said anything in time.
    Over,
}

/// What a person says to a question: a `text`, or that there will be none.
/// `POST /api/v1/namespaces/{namespace}/questions/{call}/answer`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuestionAnswer {
    /// Of at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub decline: bool,
    /// Why it is declined: whoever has asked is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
