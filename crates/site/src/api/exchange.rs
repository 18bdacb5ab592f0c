//! The exchange by file, for a site whose line cannot be had.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use server::{ExchangeFile, exchange_file};
use wire::{ExchangeDown, Problem};

use crate::refusal::Refusal;
use crate::site::Site;

/// What waits for the hub, in a file that the hub alone reads. The header `isonomy-rest` is `more` where
/// not all of it fits. A line that is up is put down for a moment.
#[utoipa::path(
    post, path = "/api/v1/exchange/export", tag = "site",
    security(("key" = ["admin"])),
    responses(
        (status = 200, body = String, content_type = "application/x-isonomy-exchange"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn exchange_export(State(site): State<Site>) -> Result<Response, Refusal> {
    let (file, is_whole) = site.exchange_export().await?;
    Ok(exchange_file(file, is_whole))
}

/// Takes the file that the hub has written for this site, as its line would bring it. Again is harmless.
#[utoipa::path(
    post, path = "/api/v1/exchange/import", tag = "site",
    security(("key" = ["admin"])),
    request_body(content = String, content_type = "application/x-isonomy-exchange"),
    responses(
        (status = 200, body = ExchangeDown),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn exchange_import(
    State(site): State<Site>,
    ExchangeFile(file): ExchangeFile,
) -> Result<Json<ExchangeDown>, Refusal> {
    Ok(Json(site.exchange_import(file).await?))
}
