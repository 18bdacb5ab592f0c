//! Budgets over several sites.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use models::Holder;
use pricing::Period;
use serde::Deserialize;
use server::{Body, Caller, Query, Refusal, finished};
use utoipa::IntoParams;
use wire::{FleetBudgetList, FleetBudgetSet, Problem};

use crate::Hub;

/// A budget, with the names of its sites.
const SET_BYTES_MAX: usize = 256 * 1024;

/// How the budgets over sites stand that the key may see, and what each site holds of them.
#[utoipa::path(
    get, path = "/api/v1/budgets", tag = "budgets",
    security(("key" = [])),
    responses((status = 200, body = FleetBudgetList))
)]
pub(super) async fn budget_list(
    State(hub): State<Hub>,
    caller: Caller,
) -> Result<Json<FleetBudgetList>, Refusal> {
    Ok(Json(FleetBudgetList { items: hub.budget_list(caller.roles()).await? }))
}

/// Sets a cap over sites. What was spent and leased in its window stays so.
#[utoipa::path(
    put, path = "/api/v1/budgets", tag = "budgets",
    security(("key" = [])),
    request_body = FleetBudgetSet,
    responses(
        (status = 204, description = "Set"),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn budget_set(
    State(hub): State<Hub>,
    caller: Caller,
    Body(set): Body<FleetBudgetSet, SET_BYTES_MAX>,
) -> Result<StatusCode, Refusal> {
    finished(async move { hub.budget_set(&caller, set).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BudgetQuery {
    /// `namespace/NAME` or `workflow/NAMESPACE/NAME`.
    holder: String,
    /// `hour`, `day`, `week`, `month`, `year` or `total`.
    period: String,
    /// Why; stands in the record of changes.
    reason: Option<String>,
}

/// Takes a cap over sites away. They give back what they hold.
#[utoipa::path(
    delete, path = "/api/v1/budgets", tag = "budgets",
    security(("key" = [])),
    params(BudgetQuery),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn budget_remove(
    State(hub): State<Hub>,
    Query(query): Query<BudgetQuery>,
    caller: Caller,
) -> Result<StatusCode, Refusal> {
    let BudgetQuery { holder, period, reason } = query;
    let holder: Holder = holder.parse().map_err(|wrong| Refusal::parameter("holder", wrong))?;
    let period: Period = period.parse().map_err(|wrong| Refusal::parameter("period", wrong))?;
    finished(async move { hub.budget_remove(&caller, &holder, period, reason).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
