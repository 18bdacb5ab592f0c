//! What calls of models at the sites have used and cost.

use axum::Json;
use axum::extract::State;
use base::Timestamp;
use serde::Deserialize;
use server::{Caller, Facet, Query, Refusal, hour};
use utoipa::IntoParams;
use wire::{Problem, UsageList};

use crate::Hub;
use crate::usage::FACETS;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UsageQuery {
    /// One or more of `site`, `namespace`, `workflow`, `model`, `operation`, `day`, `hour`, with commas between
    /// them; `site,model` by default.
    by: Option<String>,
    /// From the hour of this time on; all that is kept by default.
    since: Option<String>,
}

/// What calls at the sites have used and cost, as these say, of the namespaces that the key may see.
#[utoipa::path(
    get, path = "/api/v1/usage", tag = "budgets",
    security(("key" = [])),
    params(UsageQuery),
    responses(
        (status = 200, body = UsageList),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn usage_list(
    State(hub): State<Hub>,
    caller: Caller,
    Query(query): Query<UsageQuery>,
) -> Result<Json<UsageList>, Refusal> {
    let by = Facet::read(query.by.as_deref().unwrap_or("site,model"), &FACETS)?;
    let since = hour("since", query.since.as_deref())?.unwrap_or(Timestamp::from_millis(0));
    Ok(Json(hub.usage_list(&by, since, caller.roles()).await?))
}
