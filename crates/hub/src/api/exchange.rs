//! The exchange by file.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use server::{ExchangeFile, Refusal, exchange_file, finished};
use wire::{ExchangeUp, Problem};

use super::site::OfSite;
use crate::Hub;

/// Takes the file that a site has written, as its line would bring it. Again is harmless.
#[utoipa::path(
    post, path = "/api/v1/exchange", tag = "sites",
    security(("key" = ["admin"])),
    request_body(content = String, content_type = "application/x-isonomy-exchange"),
    responses(
        (status = 200, body = ExchangeUp),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn exchange_import(
    State(hub): State<Hub>,
    ExchangeFile(file): ExchangeFile,
) -> Result<Json<ExchangeUp>, Refusal> {
    Ok(Json(finished(async move { hub.exchange_import(file).await }).await?))
}

/// What a site is told, in a file that this site alone reads. The header `isonomy-rest` is `more` where
/// not all of it fits.
#[utoipa::path(
    post, path = "/api/v1/sites/{site}/exchange", tag = "sites",
    security(("key" = ["admin"])),
    params(("site" = String, Path)),
    responses(
        (status = 200, body = String, content_type = "application/x-isonomy-exchange"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn exchange_export(
    State(hub): State<Hub>,
    OfSite(site): OfSite,
) -> Result<Response, Refusal> {
    let made = finished(async move { hub.exchange_export(site).await }).await;
    made.map(|(file, is_whole)| exchange_file(file, is_whole))
}
