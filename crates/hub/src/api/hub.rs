//! The hub itself.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use wire::{HubHealth, HubVersion};

use crate::Hub;

/// Whether the hub is up.
#[utoipa::path(
    get, path = "/api/v1/health", tag = "hub",
    security(("key" = [])),
    responses((status = 200, body = HubHealth))
)]
pub(super) async fn hub_health(State(hub): State<Hub>) -> Json<HubHealth> {
    Json(hub.health())
}

/// What this binary is.
#[utoipa::path(
    get, path = "/api/v1/version", tag = "hub",
    security(("key" = [])),
    responses((status = 200, body = HubVersion))
)]
pub(super) async fn hub_version() -> Json<HubVersion> {
    let (name, version) = ("isonomy hub".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    Json(HubVersion { name, version })
}

/// This description.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "hub",
    security(("key" = [])),
    responses((status = 200, body = Object, content_type = "application/json"))
)]
pub(super) async fn hub_openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], super::openapi_json()).into_response()
}
