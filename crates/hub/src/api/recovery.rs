//! A hub that was brought back from a backup, and what it waits for.

use axum::Json;
use axum::extract::State;
use base::SiteName;
use server::{Body, Caller, Refusal, finished};
use wire::{Problem, RecoveryEnd, RecoveryView, RecoveryWaive};

use crate::Hub;

/// Ten thousand names of sites, and a reason.
const WAIVE_BYTES_MAX: usize = 1024 * 1024;

/// A reason.
const END_BYTES_MAX: usize = 64 * 1024;

/// Whether the hub waits for its sites after a restore, and for which.
#[utoipa::path(
    get, path = "/api/v1/recovery", tag = "hub",
    security(("key" = ["viewer"])),
    responses((status = 200, body = RecoveryView))
)]
pub(super) async fn recovery_show(State(hub): State<Hub>) -> Json<RecoveryView> {
    Json(hub.0.recovery.view().await)
}

/// Nobody waits for these sites any more: they are lost, or will not come soon.
#[utoipa::path(
    post, path = "/api/v1/recovery/waive", tag = "hub",
    security(("key" = ["admin"])),
    request_body = RecoveryWaive,
    responses(
        (status = 200, body = RecoveryView),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn recovery_waive(
    State(hub): State<Hub>,
    caller: Caller,
    Body(ask): Body<RecoveryWaive, WAIVE_BYTES_MAX>,
) -> Result<Json<RecoveryView>, Refusal> {
    let RecoveryWaive { sites, all, reason } = ask;
    let by = caller.because(reason)?;
    let parsed: Result<Vec<_>, _> = sites.iter().map(|site| SiteName::parse(site)).collect();
    let sites = parsed.map_err(|wrong| Refusal::parameter("sites", wrong))?;
    let waived = async move {
        hub.0.recovery.waive(&sites, all, &by).await?;
        hub.recovered().await
    };
    Ok(Json(finished(waived).await?))
}

/// Ends the wait: from now on this hub's word is the newest.
#[utoipa::path(
    post, path = "/api/v1/recovery/end", tag = "hub",
    security(("key" = ["admin"])),
    request_body = RecoveryEnd,
    responses((status = 200, body = RecoveryView))
)]
pub(super) async fn recovery_end(
    State(hub): State<Hub>,
    caller: Caller,
    Body(ask): Body<RecoveryEnd, END_BYTES_MAX>,
) -> Result<Json<RecoveryView>, Refusal> {
    let by = caller.because(ask.reason)?;
    let ended = async move {
        hub.0.recovery.end(&by).await?;
        hub.0.leases.changed();
        hub.recovered().await
    };
    Ok(Json(finished(ended).await?))
}
