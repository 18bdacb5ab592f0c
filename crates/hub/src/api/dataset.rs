//! What sites have told of their data.

use axum::Json;
use axum::extract::State;
use server::{PageQuery, Query, Refusal};
use wire::{Page, Problem, SiteDataset};

use crate::Hub;

/// Datasets of all sites, by site: name, labels and age. A page is one of sites, so it may be empty and
/// not the last.
#[utoipa::path(
    get, path = "/api/v1/datasets", tag = "sites",
    security(("key" = ["viewer"])),
    params(PageQuery),
    responses(
        (status = 200, body = Page<SiteDataset>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn dataset_list(
    State(hub): State<Hub>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<SiteDataset>>, Refusal> {
    Ok(Json(hub.dataset_list(query.after()?, query.limit()?).await?))
}
