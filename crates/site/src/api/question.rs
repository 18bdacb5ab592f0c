//! The inbox: questions that people answer where no model does.

use axum::Json;
use axum::extract::State;
use base::CallId;
use server::{Body, Caller, InNamespace, PageQuery, Query};
use wire::{Page, Problem, QuestionAnswer, QuestionView};

use super::model::OfCall;
use crate::refusal::Refusal;
use crate::site::Site;

/// The longest answer, each of its characters written as an escape.
const ANSWER_BODY_BYTES_MAX: usize = 512 * 1024;

/// Questions of the namespace, in the order in which they were asked, those that are over until they are
/// forgotten. What was asked is in none of them.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/questions", tag = "models",
    security(("key" = ["operator"])),
    params(("namespace" = String, Path), PageQuery),
    responses((status = 200, body = Page<QuestionView>))
)]
pub(super) async fn question_list(
    State(site): State<Site>,
    InNamespace(namespace): InNamespace,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<QuestionView>>, Refusal> {
    let (after, limit) = (query.after::<CallId>()?, query.limit()?);
    let items = site.0.models.inbox().list(&namespace, after, limit);
    let last = items.last().filter(|_| items.len() == limit as usize);
    let next = last.map(|it| it.call.clone());
    Ok(Json(Page { items, next }))
}

/// One question, with what was asked, and answered.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/questions/{call}", tag = "models",
    security(("key" = ["operator"])),
    params(("namespace" = String, Path), ("call" = String, Path)),
    responses(
        (status = 200, body = QuestionView),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn question_show(
    State(site): State<Site>,
    OfCall(namespace, call): OfCall,
) -> Result<Json<QuestionView>, Refusal> {
    Ok(Json(site.0.models.inbox().show(&namespace, call).await?))
}

/// Answers a question, or declines to: once, and as long as it waits.
#[utoipa::path(
    post, path = "/api/v1/namespaces/{namespace}/questions/{call}/answer", tag = "models",
    security(("key" = ["operator"])),
    params(("namespace" = String, Path), ("call" = String, Path)),
    request_body = QuestionAnswer,
    responses(
        (status = 200, body = QuestionView),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Somebody has answered, or its time is over", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn question_answer(
    State(site): State<Site>,
    OfCall(namespace, call): OfCall,
    caller: Caller,
    Body(answer): Body<QuestionAnswer, ANSWER_BODY_BYTES_MAX>,
) -> Result<Json<QuestionView>, Refusal> {
    let by = caller.because(answer.reason.clone())?;
    Ok(Json(site.0.models.inbox().answer(by, &namespace, call, answer).await?))
}
