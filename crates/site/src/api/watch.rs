//! Watches, and what share of calls could have been answered at the site.

use axum::Json;
use axum::extract::State;
use base::{Namespace, Timestamp};
use http::StatusCode;
use models::{Supposed, Takes};
use serde::Deserialize;
use server::{Body, Caller, InNamespace, PageQuery, Query, ReasonQuery};
use utoipa::IntoParams;
use wire::{LocalShare, ModelPut, Page, Problem, Role, WatchView};

use super::model::{OfModel, PUT_BYTES_MAX, last, status};
use crate::model::local_share::{By, Wanted};
use crate::refusal::Refusal;
use crate::site::Site;

/// Watches of a namespace, by name.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/watches", tag = "models",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), PageQuery),
    responses((status = 200, body = Page<WatchView>))
)]
pub(super) async fn watch_list(
    State(site): State<Site>,
    InNamespace(namespace): InNamespace,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<WatchView>>, Refusal> {
    let (after, limit) = (query.after()?, query.limit()?);
    let items = site.0.models.watch_list(&namespace, after.as_ref(), limit);
    let next = last(&items, limit, |it| &it.name);
    Ok(Json(Page { items, next }))
}

#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/watches/{name}", tag = "models",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, body = WatchView),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn watch_show(
    State(site): State<Site>,
    OfModel(namespace, name): OfModel,
) -> Result<Json<WatchView>, Refusal> {
    Ok(Json(site.0.models.watch_show(&(namespace, name))?))
}

/// Puts a watch in the place of the one of that name.
#[utoipa::path(
    put, path = "/api/v1/namespaces/{namespace}/watches/{name}", tag = "models",
    security(("key" = ["admin"])),
    params(("namespace" = String, Path), ("name" = String, Path)),
    request_body = ModelPut,
    responses(
        (status = 200, body = WatchView),
        (status = 201, description = "There was none", body = WatchView),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn watch_put(
    State(site): State<Site>,
    OfModel(namespace, name): OfModel,
    caller: Caller,
    Body(put): Body<ModelPut, PUT_BYTES_MAX>,
) -> Result<(StatusCode, Json<WatchView>), Refusal> {
    let by = caller.because(put.reason)?;
    let (view, is_new) = site.0.models.watch_put(by, (namespace, name), put.spec).await?;
    Ok((status(is_new), Json(view)))
}

#[utoipa::path(
    delete, path = "/api/v1/namespaces/{namespace}/watches/{name}", tag = "models",
    security(("key" = ["admin"])),
    params(("namespace" = String, Path), ("name" = String, Path), ReasonQuery),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn watch_delete(
    State(site): State<Site>,
    OfModel(namespace, name): OfModel,
    Query(query): Query<ReasonQuery>,
    caller: Caller,
) -> Result<StatusCode, Refusal> {
    site.0.models.watch_delete(caller.because(query.reason)?, (namespace, name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct ShareQuery {
    /// Of this namespace alone; of all that the key may see by default.
    namespace: Option<String>,
    /// One or more of `namespace`, `watch`, `key`, `model`, `operation`, `day`, with commas between them; `model`
    /// by default.
    by: Option<String>,
    /// From this time on; all that is kept by default.
    since: Option<String>,
    /// As if each model at the site took so many tokens of question and answer.
    context_tokens: Option<u64>,
    /// As if each took tools.
    #[serde(default)]
    tools: bool,
    /// As if each took images.
    #[serde(default)]
    images: bool,
    /// As if each could answer in a form that the question gives.
    #[serde(default)]
    schema: bool,
}

/// What share of the calls that went elsewhere, watched and governed, could have been answered by a model at the
/// site, by what that says of itself.
#[utoipa::path(
    get, path = "/api/v1/calls/local-share", tag = "models",
    security(("key" = [])),
    params(ShareQuery),
    responses(
        (status = 200, body = LocalShare),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn local_share(
    State(site): State<Site>,
    caller: Caller,
    Query(query): Query<ShareQuery>,
) -> Result<Json<LocalShare>, Refusal> {
    let ShareQuery { namespace, by, since, context_tokens, tools, images, schema } = query;
    let by = By::read(by.as_deref().unwrap_or("model"));
    let by = by.map_err(|wrong| Refusal::parameter("by", wrong))?;
    let namespace = namespace.as_deref().map(Namespace::parse).transpose();
    let namespace = namespace.map_err(|wrong| Refusal::parameter("namespace", wrong))?;
    let roles = caller.roles();
    if let Some(namespace) = &namespace {
        roles.need(Role::Viewer, namespace)?;
    }
    let since = match since.as_deref() {
        None => Timestamp::from_millis(0),
        Some(text) => Timestamp::parse(text)
            .ok_or_else(|| Refusal::parameter("since", "a time such as `2026-11-22T00:00:00Z`"))?,
    };
    let said = [(tools, Takes::Tools), (images, Takes::Images), (schema, Takes::Schema)];
    let takes = said.into_iter().filter(|(is_said, _)| *is_said).map(|(_, what)| what).collect();
    let wanted = Wanted { by, since, supposed: Supposed { context_tokens, takes } };
    let may_see = |it: &Namespace| {
        namespace.as_ref().is_none_or(|wanted| wanted == it) && roles.need(Role::Viewer, it).is_ok()
    };
    Ok(Json(site.0.models.local_share(wanted, may_see).await?))
}
