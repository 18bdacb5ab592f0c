//! The site itself.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use server::Caller;
use wire::{Health, HubLine, Role, SiteStatus, Version};

use crate::refusal::Refusal;
use crate::site::{Site, version};

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
