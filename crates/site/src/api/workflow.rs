//! Workflows.

use axum::Json;
use axum::extract::State;
use base::limits::DOCUMENT_BYTES_MAX;
use http::StatusCode;
use serde::Deserialize;
use server::{Body, Caller, InNamespace, OfWorkflow, PageQuery, Query, ReasonQuery, SomeAdmin};
use utoipa::IntoParams;
use wire::{
    Page, Problem, WorkflowApplied, WorkflowApply, WorkflowChange, WorkflowDetail,
    WorkflowSetApply, WorkflowView,
};

use crate::refusal::Refusal;
use crate::site::Site;

/// A document as a JSON string: every line break and quote takes two bytes, and few take more.
const APPLY_BYTES_MAX: usize = 2 * DOCUMENT_BYTES_MAX + 64 * 1024;

/// A folder of documents. The largest that anybody keeps together is a tenth of this.
const APPLY_SET_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ShowQuery {
    /// Digest of a revision; the current one by default.
    revision: Option<String>,
}

/// Workflows of a namespace, by name.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/workflows", tag = "workflows",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), PageQuery),
    responses(
        (status = 200, body = Page<WorkflowView>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn workflow_list(
    State(site): State<Site>,
    InNamespace(namespace): InNamespace,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<WorkflowView>>, Refusal> {
    let page = site.0.workflows.list(&namespace, query.after()?, query.limit()?).await?;
    Ok(Json(page))
}

/// One workflow, with its text and its revisions.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/workflows/{name}", tag = "workflows",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), ("name" = String, Path), ShowQuery),
    responses(
        (status = 200, body = WorkflowDetail),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn workflow_show(
    State(site): State<Site>,
    OfWorkflow(key): OfWorkflow,
    Query(query): Query<ShowQuery>,
) -> Result<Json<WorkflowDetail>, Refusal> {
    let revision = query.revision.map(|text| text.parse()).transpose();
    let revision = revision
        .map_err(|wrong: base::digest::DigestError| Refusal::parameter("revision", wrong))?;
    Ok(Json(site.0.workflows.show(&key, revision).await?))
}

/// Applies a document: its text becomes the workflow's current revision.
#[utoipa::path(
    put, path = "/api/v1/namespaces/{namespace}/workflows/{name}", tag = "workflows",
    security(("key" = ["admin"])),
    params(("namespace" = String, Path), ("name" = String, Path)),
    request_body = WorkflowApply,
    responses(
        (status = 200, description = "Changed, unchanged, or only planned", body = WorkflowApplied),
        (status = 201, description = "New", body = WorkflowApplied),
        (status = 422, description = "Not a workflow; `findings` say where", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn workflow_apply(
    State(site): State<Site>,
    OfWorkflow(key): OfWorkflow,
    caller: Caller,
    Body(apply): Body<WorkflowApply, APPLY_BYTES_MAX>,
) -> Result<(StatusCode, Json<WorkflowApplied>), Refusal> {
    let dry_run = apply.dry_run;
    let applied = site.0.workflows.apply(&caller, &key, apply).await?;
    let is_new = applied.change == WorkflowChange::New && !dry_run;
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, Json(applied)))
}

/// Applies documents that may refer to each other: all or none.
#[utoipa::path(
    post, path = "/api/v1/workflows:apply", tag = "workflows",
    security(("key" = [])),
    request_body = WorkflowSetApply,
    responses(
        (status = 200, description = "In the order of the documents", body = Page<WorkflowApplied>),
        (status = 422, description = "One is no workflow; `findings` say where", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn workflow_apply_set(
    State(site): State<Site>,
    SomeAdmin(caller): SomeAdmin,
    Body(set): Body<WorkflowSetApply, APPLY_SET_BYTES_MAX>,
) -> Result<Json<Page<WorkflowApplied>>, Refusal> {
    let items = site.0.workflows.apply_set(&caller, set).await?;
    Ok(Json(Page { items, next: None }))
}

/// Deletes a workflow: no new runs. Its revisions and runs stay, and applying it again revives it.
#[utoipa::path(
    delete, path = "/api/v1/namespaces/{namespace}/workflows/{name}", tag = "workflows",
    security(("key" = ["admin"])),
    params(("namespace" = String, Path), ("name" = String, Path), ReasonQuery),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn workflow_delete(
    State(site): State<Site>,
    OfWorkflow(key): OfWorkflow,
    Query(query): Query<ReasonQuery>,
    caller: Caller,
) -> Result<StatusCode, Refusal> {
    site.0.workflows.delete(&caller, &key, query.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}
