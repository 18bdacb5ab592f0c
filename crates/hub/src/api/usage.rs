//! What calls of models at the sites have used and cost.

use axum::Json;
use axum::extract::State;
use base::Timestamp;
use serde::Deserialize;
use server::{Caller, Query, Refusal};
use utoipa::IntoParams;
use wire::{Problem, UsageList};

use crate::Hub;
use crate::usage::By;

const HOUR_MS: i64 = 3_600_000;

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
    let by = By::read(query.by.as_deref().unwrap_or("site,model"));
    let by = by.map_err(|wrong| Refusal::parameter("by", wrong))?;
    let since = match &query.since {
        None => 0,
        Some(text) => Timestamp::parse(text)
            .ok_or_else(|| Refusal::parameter("since", "a time such as `2026-11-22T00:00:00Z`"))?
            .as_millis(),
    };
    let since = Timestamp::from_millis(since - since.rem_euclid(HOUR_MS));
    Ok(Json(hub.usage_list(&by, since, caller.roles()).await?))
}
