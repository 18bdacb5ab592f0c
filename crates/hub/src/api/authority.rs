//! Who signs for the hub.

use axum::Json;
use axum::extract::State;
use server::{Body, Caller, Refusal, finished};
use wire::{AuthoritiesView, AuthorityForget, AuthorityNext, AuthorityRotate, Problem};

use crate::Hub;

/// A certificate of a kilobyte, and a reason.
const ROTATE_BYTES_MAX: usize = 64 * 1024;

/// A reason.
const FORGET_BYTES_MAX: usize = 64 * 1024;

/// Which authorities there are below the fleet's root, and until when their word counts.
#[utoipa::path(
    get, path = "/api/v1/authority", tag = "hub",
    security(("key" = ["viewer"])),
    responses((status = 200, body = AuthoritiesView))
)]
pub(super) async fn authority_show(State(hub): State<Hub>) -> Json<AuthoritiesView> {
    Json(hub.authority_show())
}

/// Makes a key for the next authority, for whoever has the root's key to sign it. Nothing changes yet.
#[utoipa::path(
    post, path = "/api/v1/authority/next", tag = "hub",
    security(("key" = ["admin"])),
    responses(
        (status = 200, body = AuthorityNext),
        (status = 409, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn authority_next(State(hub): State<Hub>) -> Result<Json<AuthorityNext>, Refusal> {
    Ok(Json(hub.authority_next()?))
}

/// From now on this authority signs. What the one before has signed counts for sixty days more.
#[utoipa::path(
    post, path = "/api/v1/authority/rotate", tag = "hub",
    security(("key" = ["admin"])),
    request_body = AuthorityRotate,
    responses(
        (status = 200, body = AuthoritiesView),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn authority_rotate(
    State(hub): State<Hub>,
    caller: Caller,
    Body(ask): Body<AuthorityRotate, ROTATE_BYTES_MAX>,
) -> Result<Json<AuthoritiesView>, Refusal> {
    let by = caller.because(ask.reason)?;
    let rotated = async move { hub.authority_rotate(&ask.certificate, &by).await };
    Ok(Json(finished(rotated).await?))
}

/// Ends it for former authorities: sites that have been away since need a new token.
#[utoipa::path(
    post, path = "/api/v1/authority/forget", tag = "hub",
    security(("key" = ["admin"])),
    request_body = AuthorityForget,
    responses((status = 200, body = AuthoritiesView))
)]
pub(super) async fn authority_forget(
    State(hub): State<Hub>,
    caller: Caller,
    Body(ask): Body<AuthorityForget, FORGET_BYTES_MAX>,
) -> Result<Json<AuthoritiesView>, Refusal> {
    let by = caller.because(ask.reason)?;
    Ok(Json(finished(async move { hub.authority_forget(&by).await }).await?))
}
