//! Datasets: listed, and read only by workflows.

use axum::Json;
use axum::extract::State;
use server::{Caller, InNamespace, PageQuery, Query};
use wire::{DatasetView, Page, Problem};

use crate::dataset;
use crate::refusal::Refusal;
use crate::site::Site;

/// Datasets that runs of a namespace may read, by name: never where they lie, nor what they hold.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/datasets", tag = "datasets",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), PageQuery),
    responses(
        (status = 200, body = Page<DatasetView>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn dataset_list(
    State(site): State<Site>,
    InNamespace(namespace): InNamespace,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<DatasetView>>, Refusal> {
    let (datasets, after) = (site.0.datasets.clone(), query.after()?);
    Ok(Json(dataset::list(datasets, &namespace, caller.roles(), after, query.limit()?).await))
}
