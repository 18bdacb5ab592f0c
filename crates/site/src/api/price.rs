//! What the site has prices of.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use http::request::Parts;
use serde::Deserialize;
use server::{Caller, Path, Query, cursor, limit};
use utoipa::IntoParams;
use wire::{Page, PricedModelView, Problem, Role};

use super::model::last;
use crate::model::price::Wanted;
use crate::refusal::Refusal;
use crate::site::Site;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PricesQuery {
    /// Only models of this provider.
    provider: Option<String>,
    /// Only models with this text in one of their names.
    search: Option<String>,
    /// From 1 to 500; 50 by default.
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Models of providers by name, and what they cost: the shipped ones with the owner's laid over them. For whoever
/// may look into some namespace.
#[utoipa::path(
    get, path = "/api/v1/prices", tag = "models",
    security(("key" = [])),
    params(PricesQuery),
    responses(
        (status = 200, body = Page<PricedModelView>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn price_list(
    State(site): State<Site>,
    caller: Caller,
    Query(query): Query<PricesQuery>,
) -> Result<Json<Page<PricedModelView>>, Refusal> {
    caller.roles().need_somewhere(Role::Viewer)?;
    let (after, limit) =
        (cursor::<String>(query.cursor.as_deref())?, limit(query.limit.as_deref())?);
    let (provider, search) = (query.provider.as_deref(), query.search.as_deref());
    let wanted = Wanted { provider, search, after: after.as_deref(), limit };
    let items = site.0.models.price_list(&wanted);
    let next = last(&items, limit, |it| &it.name);
    Ok(Json(Page { items, next }))
}

/// A provider, and a model's name there, which may have slashes in it.
pub(super) struct OfProvider(String, String);

impl FromRequestParts<Site> for OfProvider {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Refusal> {
        let path = Path::of(parts, site).await?;
        Ok(Self(path.get("provider")?, path.get("model")?))
    }
}

/// One model, by its own name or another of its names.
#[utoipa::path(
    get, path = "/api/v1/prices/{provider}/{model}", tag = "models",
    security(("key" = [])),
    params(("provider" = String, Path), ("model" = String, Path)),
    responses(
        (status = 200, body = PricedModelView),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn price_show(
    State(site): State<Site>,
    OfProvider(provider, model): OfProvider,
    caller: Caller,
) -> Result<Json<PricedModelView>, Refusal> {
    caller.roles().need_somewhere(Role::Viewer)?;
    Ok(Json(site.0.models.price_show(&provider, &model)?))
}
