//! Desired state: workflows, and which sites get them.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use server::{
    Body, Caller, InNamespace, OfWorkflow, PageQuery, Query, ReasonQuery, Refusal, SomeAdmin,
    finished,
};
use wire::{
    DesiredApplied, DesiredApply, Page, PlacementView, Problem, WorkflowDetail, WorkflowView,
};

use crate::Hub;

/// As many documents as a site takes at once.
const APPLY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Applies workflows and placements, all or none, and says what follows for which site. It takes the role
/// `admin` in the namespace of each.
#[utoipa::path(
    post, path = "/api/v1/apply", tag = "desired",
    security(("key" = [])),
    request_body = DesiredApply,
    responses(
        (status = 200, description = "In the order of the documents", body = DesiredApplied),
        (status = 422, description = "One is not valid; `findings` say where", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn desired_apply(
    State(hub): State<Hub>,
    SomeAdmin(caller): SomeAdmin,
    Body(ask): Body<DesiredApply, APPLY_BYTES_MAX>,
) -> Result<Json<DesiredApplied>, Refusal> {
    Ok(Json(hub.desired_apply(&caller, ask).await?))
}

/// Workflows of a namespace, by name.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/workflows", tag = "desired",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), PageQuery),
    responses((status = 200, body = Page<WorkflowView>))
)]
pub(super) async fn workflow_list(
    State(hub): State<Hub>,
    InNamespace(namespace): InNamespace,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<WorkflowView>>, Refusal> {
    Ok(Json(hub.workflow_list(namespace, query.after()?, query.limit()?).await?))
}

/// A workflow as it was applied, and its revisions, newest first.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/workflows/{name}", tag = "desired",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, body = WorkflowDetail),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn workflow_show(
    State(hub): State<Hub>,
    OfWorkflow(key): OfWorkflow,
) -> Result<Json<WorkflowDetail>, Refusal> {
    Ok(Json(hub.workflow_show(key).await?))
}

/// No site shall have this workflow any more. Its runs end where they are.
#[utoipa::path(
    delete, path = "/api/v1/namespaces/{namespace}/workflows/{name}", tag = "desired",
    security(("key" = ["admin"])),
    params(("namespace" = String, Path), ("name" = String, Path), ReasonQuery),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn workflow_delete(
    State(hub): State<Hub>,
    OfWorkflow(key): OfWorkflow,
    Query(query): Query<ReasonQuery>,
    caller: Caller,
) -> Result<StatusCode, Refusal> {
    let by = caller.because(query.reason)?;
    finished(async move { hub.workflow_delete(key, &by).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Placements, by namespace and name: of the namespaces in which the caller may look.
#[utoipa::path(
    get, path = "/api/v1/placements", tag = "desired",
    security(("key" = [])),
    responses((status = 200, body = Page<PlacementView>))
)]
pub(super) async fn placement_list(
    State(hub): State<Hub>,
    caller: Caller,
) -> Result<Json<Page<PlacementView>>, Refusal> {
    Ok(Json(Page { items: hub.placement_list(caller.roles()).await?, next: None }))
}

/// Takes a placement away: sites that have its workflows by no other one lose them.
#[utoipa::path(
    delete, path = "/api/v1/namespaces/{namespace}/placements/{name}", tag = "desired",
    security(("key" = ["admin"])),
    params(("namespace" = String, Path), ("name" = String, Path), ReasonQuery),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn placement_delete(
    State(hub): State<Hub>,
    OfWorkflow(key): OfWorkflow,
    Query(query): Query<ReasonQuery>,
    caller: Caller,
) -> Result<StatusCode, Refusal> {
    let by = caller.because(query.reason)?;
    finished(async move { hub.placement_delete(key.namespace, key.name, &by).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
