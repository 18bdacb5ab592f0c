//! The site itself.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base::Timestamp;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use server::{Body, Caller, Query, finished};
use utoipa::IntoParams;
use wire::{DayLeft, Health, HubLine, Problem, Role, SiteLeave, SiteLeft, SiteStatus, Version};

use crate::refusal::Refusal;
use crate::site::{Site, version};

/// A reason.
const LEAVE_BYTES_MAX: usize = 64 * 1024;

/// Whether the site is up.
#[utoipa::path(
    get, path = "/api/v1/health", tag = "site",
    security(("key" = [])),
    responses((status = 200, body = Health))
)]
pub(super) async fn site_health(State(site): State<Site>) -> Json<Health> {
    Json(site.health())
}

/// What this binary is.
#[utoipa::path(
    get, path = "/api/v1/version", tag = "site",
    security(("key" = [])),
    responses((status = 200, body = Version))
)]
pub(super) async fn site_version() -> Json<Version> {
    Json(version())
}

/// How the site is, and its line to the hub.
#[utoipa::path(
    get, path = "/api/v1/site", tag = "site",
    security(("key" = [])),
    responses((status = 200, body = SiteStatus))
)]
pub(super) async fn site_status(
    State(site): State<Site>,
    caller: Caller,
) -> Result<Json<SiteStatus>, Refusal> {
    let status = site.status().await?;
    // What waits and what is wanted is of all namespaces together.
    let sees_all = caller.roles().need_everywhere(Role::Viewer).is_ok();
    let hub = status.hub.map(|line| match sees_all {
        true => line,
        false => HubLine { desired: None, waiting: BTreeMap::new(), ..line },
    });
    Ok(Json(SiteStatus { hub, ..status }))
}

/// Ends that the site is a hub's: from now on it works for itself alone. What the hub had brought stays, and
/// is the owner's.
#[utoipa::path(
    post, path = "/api/v1/site/leave", tag = "site",
    security(("key" = ["admin"])),
    request_body = SiteLeave,
    responses(
        (status = 200, body = SiteLeft),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn site_leave(
    State(site): State<Site>,
    caller: Caller,
    Body(ask): Body<SiteLeave, LEAVE_BYTES_MAX>,
) -> Result<Json<SiteLeft>, Refusal> {
    let by = caller.because(ask.reason)?;
    Ok(Json(finished(async move { site.leave(&by).await }).await?))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LeftQuery {
    /// Such as `2027-01-15`, in UTC; today by default.
    day: Option<String>,
}

/// What has left the site on a day: to whom, by which rule, how often, how many bytes.
#[utoipa::path(
    get, path = "/api/v1/site/left", tag = "site",
    security(("key" = ["viewer"])),
    params(LeftQuery),
    responses(
        (status = 200, body = DayLeft),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn site_left(
    State(site): State<Site>,
    Query(asked): Query<LeftQuery>,
) -> Result<Json<DayLeft>, Refusal> {
    if let Some(day) = &asked.day
        && Timestamp::parse(&format!("{day}T00:00:00Z")).is_none()
    {
        return Err(Refusal::parameter("day", "a day such as 2027-01-15 is expected"));
    }
    // Whoever goes away while it is written down loses none of it.
    Ok(Json(finished(async move { site.0.departures.on(asked.day).await }).await?))
}

/// This description.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "site",
    security(("key" = [])),
    responses((status = 200, body = Object, content_type = "application/json"))
)]
pub(super) async fn site_openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], super::openapi_json()).into_response()
}

/// Counters, in the text form of Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "site",
    security(("key" = ["viewer"])),
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub(super) async fn site_metrics(State(site): State<Site>) -> Result<Response, Refusal> {
    let text = site.metrics().await?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
