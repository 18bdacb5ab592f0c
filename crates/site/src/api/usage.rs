//! What calls of models have used and cost.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base::{Namespace, Timestamp};
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use server::{Caller, Facet, Query, hour};
use utoipa::IntoParams;
use wire::{Problem, Role, UsageList};

use crate::model::focus::Table;
use crate::model::usage;
use crate::refusal::Refusal;
use crate::site::Site;

const TABLE: &str = "text/csv; charset=utf-8";

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UsageQuery {
    /// One or more of `namespace`, `key`, `workflow`, `model`, `operation`, `day`, `hour`, with commas between
    /// them; `namespace,model` by default.
    by: Option<String>,
    /// From the hour of this time on; all that is kept by default.
    since: Option<String>,
}

/// What calls have used and cost, of the namespaces that the key may see.
#[utoipa::path(
    get, path = "/api/v1/usage", tag = "models",
    security(("key" = [])),
    params(UsageQuery),
    responses(
        (status = 200, body = UsageList),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn usage_list(
    State(site): State<Site>,
    caller: Caller,
    Query(query): Query<UsageQuery>,
) -> Result<Json<UsageList>, Refusal> {
    let by = Facet::read(query.by.as_deref().unwrap_or("namespace,model"), &usage::FACETS)?;
    let since = hour("since", query.since.as_deref())?.unwrap_or(Timestamp::from_millis(0));
    let may_see = |namespace: &Namespace| caller.roles().need(Role::Viewer, namespace).is_ok();
    let (items, total) = site.0.models.book().tally(|tally| {
        let rows = |by: &[Facet]| usage::rows(tally, by, since, may_see);
        (rows(&by), rows(&[]).pop())
    });
    Ok(Json(UsageList { items, total: total.unwrap_or_default() }))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FocusQuery {
    /// From the hour of this time on; all that is kept by default.
    since: Option<String>,
    /// Up to the hour of this time, which is not in it.
    until: Option<String>,
}

/// The same as a table of the FinOps Open Cost and Usage Specification (FOCUS) 1.2: a row for each hour,
/// namespace, key, workflow, model and class of usage. See `docs/reference/prices.md`.
#[utoipa::path(
    get, path = "/api/v1/usage/focus", tag = "models",
    security(("key" = [])),
    params(FocusQuery),
    responses(
        (status = 200, body = String, content_type = "text/csv"),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn usage_focus(
    State(site): State<Site>,
    caller: Caller,
    Query(query): Query<FocusQuery>,
) -> Result<Response, Refusal> {
    let since = hour("since", query.since.as_deref())?.unwrap_or(Timestamp::from_millis(0));
    let until = hour("until", query.until.as_deref())?;
    let roles = caller.roles().clone();
    let may_see = move |namespace: &Namespace| roles.need(Role::Viewer, namespace).is_ok();
    let (book, name) = (site.0.models.book().clone(), site.name().to_owned());
    let table = Table::new(book, name, since, until, may_see);
    let body = Body::from_stream(futures::stream::iter(table));
    Ok(([(CONTENT_TYPE, TABLE)], body).into_response())
}
