//! Models, routes, budgets, usage and calls.

use axum::Json;
use axum::extract::{FromRequestParts, Request, State};
use base::{CallId, Namespace, SecretName};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use models::{Alarms, Holder, ModelName};
use pricing::Budget;
use serde::Deserialize;
use server::{Body, Caller, InNamespace, PageQuery, Path, Query, ReasonQuery};
use utoipa::IntoParams;
use wire::{
    ArtifactFetch, ArtifactView, BudgetList, BudgetSet, CallSettle, CallView, ModelPut, ModelView,
    Page, Problem, ProblemCode, Role, RouteView,
};

use crate::model::budget::Capped;
use crate::model::{calls, usage};
use crate::refusal::Refusal;
use crate::site::Site;

/// What a model's file is sent as.
const ARTIFACT_TYPE: &str = "application/octet-stream";

/// A definition is written by hand.
pub(super) const PUT_BYTES_MAX: usize = 256 * 1024;

pub(super) struct OfModel(pub Namespace, pub ModelName);

impl FromRequestParts<Site> for OfModel {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Refusal> {
        let path = Path::of(parts, site).await?;
        Ok(Self(path.get("namespace")?, path.get("name")?))
    }
}

/// Models of a namespace, by name.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/models", tag = "models",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), PageQuery),
    responses((status = 200, body = Page<ModelView>))
)]
pub(super) async fn model_list(
    State(site): State<Site>,
    InNamespace(namespace): InNamespace,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<ModelView>>, Refusal> {
    let (after, limit) = (query.after()?, query.limit()?);
    let mut items = site.0.models.model_list(&namespace, after.as_ref(), limit);
    with_secrets(&site, &namespace, &mut items).await;
    let next = last(&items, limit, |it| &it.name);
    Ok(Json(Page { items, next }))
}

#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/models/{name}", tag = "models",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, body = ModelView),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn model_show(
    State(site): State<Site>,
    OfModel(namespace, name): OfModel,
) -> Result<Json<ModelView>, Refusal> {
    let mut view = site.0.models.model_show(&(namespace.clone(), name))?;
    with_secrets(&site, &namespace, std::slice::from_mut(&mut view)).await;
    Ok(Json(view))
}

/// Puts a model in the place of the one of that name.
#[utoipa::path(
    put, path = "/api/v1/namespaces/{namespace}/models/{name}", tag = "models",
    security(("key" = ["admin"])),
    params(("namespace" = String, Path), ("name" = String, Path)),
    request_body = ModelPut,
    responses(
        (status = 200, body = ModelView),
        (status = 201, description = "There was none", body = ModelView),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A route has that name", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn model_put(
    State(site): State<Site>,
    OfModel(namespace, name): OfModel,
    caller: Caller,
    Body(put): Body<ModelPut, PUT_BYTES_MAX>,
) -> Result<(StatusCode, Json<ModelView>), Refusal> {
    let by = caller.because(put.reason)?;
    let put = site.0.models.model_put(by, (namespace.clone(), name), put.spec);
    let (mut view, is_new) = put.await?;
    with_secrets(&site, &namespace, std::slice::from_mut(&mut view)).await;
    Ok((status(is_new), Json(view)))
}

/// Says of each whether the secret that opens it is there.
async fn with_secrets(site: &Site, namespace: &Namespace, views: &mut [ModelView]) {
    let named = |view: &ModelView| -> Option<SecretName> {
        view.spec["upstream"]["secret"].as_str()?.parse().ok()
    };
    let names = views.iter().filter_map(named).collect();
    let absent = site.0.secrets.absent(namespace, names).await;
    for view in views {
        let absent = named(view).filter(|name| absent.contains(name));
        view.absent_secret = absent.map(|name| name.to_string());
    }
}

#[utoipa::path(
    delete, path = "/api/v1/namespaces/{namespace}/models/{name}", tag = "models",
    security(("key" = ["admin"])),
    params(("namespace" = String, Path), ("name" = String, Path), ReasonQuery),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn model_delete(
    State(site): State<Site>,
    OfModel(namespace, name): OfModel,
    Query(query): Query<ReasonQuery>,
    caller: Caller,
) -> Result<StatusCode, Refusal> {
    site.0.models.model_delete(caller.because(query.reason)?, (namespace, name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a model's file, of at most 256 MiB: it is loaded once, kept, and is for a model to name. One that
/// no model names goes at the site's next start.
#[utoipa::path(
    post, path = "/api/v1/namespaces/{namespace}/artifacts", tag = "models",
    security(("key" = ["admin"])),
    params(("namespace" = String, Path)),
    request_body(content = String, content_type = "application/octet-stream"),
    responses(
        (status = 200, body = ArtifactView),
        (status = 400, description = "It is no model that can be run", body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn artifact_take(
    State(site): State<Site>,
    InNamespace(namespace): InNamespace,
    caller: Caller,
    request: Request,
) -> Result<Json<ArtifactView>, Refusal> {
    // A page of another site can send a form without asking first, but not this.
    if request.headers().get(CONTENT_TYPE).is_none_or(|kind| kind != ARTIFACT_TYPE) {
        let detail = format!("send the header `content-type: {ARTIFACT_TYPE}`");
        return Err(Refusal::new(ProblemCode::NotJson, detail));
    }
    let by = caller.because(None)?;
    Ok(Json(site.0.models.artifact_take(by, namespace, request.into_body()).await?))
}

/// Fetches a model's file from an address, through the site's egress and no further, and takes it where it is the
/// one that the digest names.
#[utoipa::path(
    post, path = "/api/v1/namespaces/{namespace}/artifacts/fetch", tag = "models",
    security(("key" = ["admin"])),
    params(("namespace" = String, Path)),
    request_body = ArtifactFetch,
    responses(
        (status = 200, body = ArtifactView),
        (status = 400, description = "There is no such file at the address, no way to it, or it is no model that can be run", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn artifact_fetch(
    State(site): State<Site>,
    InNamespace(namespace): InNamespace,
    caller: Caller,
    Body(fetch): Body<ArtifactFetch, PUT_BYTES_MAX>,
) -> Result<Json<ArtifactView>, Refusal> {
    let by = caller.because(None)?;
    Ok(Json(site.0.models.artifact_fetch(&site.0.gate, by, namespace, fetch).await?))
}

/// Routes of a namespace, by name.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/routes", tag = "models",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), PageQuery),
    responses((status = 200, body = Page<RouteView>))
)]
pub(super) async fn route_list(
    State(site): State<Site>,
    InNamespace(namespace): InNamespace,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<RouteView>>, Refusal> {
    let (after, limit) = (query.after()?, query.limit()?);
    let items = site.0.models.route_list(&namespace, after.as_ref(), limit);
    let next = last(&items, limit, |it| &it.name);
    Ok(Json(Page { items, next }))
}

#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/routes/{name}", tag = "models",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, body = RouteView),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn route_show(
    State(site): State<Site>,
    OfModel(namespace, name): OfModel,
) -> Result<Json<RouteView>, Refusal> {
    Ok(Json(site.0.models.route_show(&(namespace, name))?))
}

/// Puts a route in the place of the one of that name.
#[utoipa::path(
    put, path = "/api/v1/namespaces/{namespace}/routes/{name}", tag = "models",
    security(("key" = ["admin"])),
    params(("namespace" = String, Path), ("name" = String, Path)),
    request_body = ModelPut,
    responses(
        (status = 200, body = RouteView),
        (status = 201, description = "There was none", body = RouteView),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A model has that name", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn route_put(
    State(site): State<Site>,
    OfModel(namespace, name): OfModel,
    caller: Caller,
    Body(put): Body<ModelPut, PUT_BYTES_MAX>,
) -> Result<(StatusCode, Json<RouteView>), Refusal> {
    let by = caller.because(put.reason)?;
    let (view, is_new) = site.0.models.route_put(by, (namespace, name), put.spec).await?;
    Ok((status(is_new), Json(view)))
}

#[utoipa::path(
    delete, path = "/api/v1/namespaces/{namespace}/routes/{name}", tag = "models",
    security(("key" = ["admin"])),
    params(("namespace" = String, Path), ("name" = String, Path), ReasonQuery),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn route_delete(
    State(site): State<Site>,
    OfModel(namespace, name): OfModel,
    Query(query): Query<ReasonQuery>,
    caller: Caller,
) -> Result<StatusCode, Refusal> {
    site.0.models.route_delete(caller.because(query.reason)?, (namespace, name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How the budgets stand that the key may see: those of its namespaces; of keys and runs, with a role everywhere.
#[utoipa::path(
    get, path = "/api/v1/budgets", tag = "models",
    security(("key" = [])),
    responses((status = 200, body = BudgetList))
)]
pub(super) async fn budget_list(
    State(site): State<Site>,
    caller: Caller,
) -> Result<Json<BudgetList>, Refusal> {
    let roles = caller.roles();
    let may_see = |holder: &Holder| match holder {
        Holder::Namespace(namespace) => roles.need(Role::Viewer, namespace).is_ok(),
        Holder::Workflow(key) => roles.need(Role::Viewer, &key.namespace).is_ok(),
        Holder::Key(_) | Holder::Run(_) | Holder::Fleet(_) => {
            roles.need_everywhere(Role::Viewer).is_ok()
        }
    };
    let now = site.now();
    let all = site.0.models.desk().standings();
    let seen = all.iter().filter(|it| may_see(&it.holder));
    let items = seen.map(|it| usage::standing(it, now)).collect();
    let leases = site.0.leases.as_ref().map(|leases| leases.views(may_see));
    Ok(Json(BudgetList { items, leases: leases.unwrap_or_default() }))
}

/// Sets a cap. What was spent in its window stays spent.
#[utoipa::path(
    put, path = "/api/v1/budgets", tag = "models",
    security(("key" = [])),
    request_body = BudgetSet,
    responses(
        (status = 204, description = "Set"),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn budget_set(
    State(site): State<Site>,
    caller: Caller,
    Body(set): Body<BudgetSet, PUT_BYTES_MAX>,
) -> Result<StatusCode, Refusal> {
    let BudgetSet { holder, budget, alarms, reason } = set;
    let holder: Holder = holder.parse().map_err(|wrong| Refusal::parameter("holder", wrong))?;
    let budget: Budget = budget.parse().map_err(|wrong| Refusal::parameter("budget", wrong))?;
    let alarms = alarms.map(Alarms::try_from).transpose();
    let alarms = alarms.map_err(|wrong| Refusal::parameter("alarms", wrong))?;
    let capped = Capped { budget, alarms };
    site.0.models.budget_set(&site.0.keys, &caller, holder, capped, reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BudgetQuery {
    /// `namespace/NAME`, `key/NAME` or `workflow/NAMESPACE/NAME`.
    holder: String,
    /// `hour`, `day`, `week`, `month`, `year` or `total`.
    period: String,
    /// Why; stands in the record of changes.
    reason: Option<String>,
}

#[utoipa::path(
    delete, path = "/api/v1/budgets", tag = "models",
    security(("key" = [])),
    params(BudgetQuery),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn budget_remove(
    State(site): State<Site>,
    Query(query): Query<BudgetQuery>,
    caller: Caller,
) -> Result<StatusCode, Refusal> {
    let holder = query.holder.parse().map_err(|wrong| Refusal::parameter("holder", wrong))?;
    let period = query.period.parse().map_err(|wrong| Refusal::parameter("period", wrong))?;
    site.0.models.budget_remove(&site.0.keys, &caller, holder, period, query.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Calls that have ended, newest first.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/calls", tag = "models",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), PageQuery),
    responses((status = 200, body = Page<CallView>))
)]
pub(super) async fn call_list(
    State(site): State<Site>,
    InNamespace(namespace): InNamespace,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<CallView>>, Refusal> {
    let wanted = calls::Wanted { namespace, before: query.after()?, limit: query.limit()? };
    Ok(Json(calls::list(site.0.models.book().store().as_ref(), wanted).await?))
}

/// One call: who has asked what, where it went and why, and what it cost.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/calls/{call}", tag = "models",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), ("call" = String, Path)),
    responses(
        (status = 200, body = CallView),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn call_show(
    State(site): State<Site>,
    OfCall(namespace, call): OfCall,
) -> Result<Json<CallView>, Refusal> {
    let store = site.0.models.book().store();
    Ok(Json(calls::show(store.as_ref(), &namespace, call).await?))
}

/// Says what a call has cost that was booked at its bound, since nobody knew; once, and not more than that. The
/// rest goes back to its budgets, in the windows that it was charged in.
#[utoipa::path(
    post, path = "/api/v1/namespaces/{namespace}/calls/{call}/settle", tag = "models",
    security(("key" = ["admin"])),
    params(("namespace" = String, Path), ("call" = String, Path)),
    request_body = CallSettle,
    responses(
        (status = 200, body = CallView),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is under way, or its cost is known", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn call_settle(
    State(site): State<Site>,
    OfCall(namespace, call): OfCall,
    caller: Caller,
    Body(settle): Body<CallSettle, PUT_BYTES_MAX>,
) -> Result<Json<CallView>, Refusal> {
    Ok(Json(site.0.models.call_settle(&caller, &namespace, call, settle).await?))
}

pub(super) struct OfCall(pub Namespace, pub CallId);

impl FromRequestParts<Site> for OfCall {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Refusal> {
        let path = Path::of(parts, site).await?;
        Ok(Self(path.get("namespace")?, path.get("call")?))
    }
}

pub(super) const fn status(is_new: bool) -> StatusCode {
    if is_new { StatusCode::CREATED } else { StatusCode::OK }
}

/// Where the next page begins, where this one is full.
pub(super) fn last<T>(items: &[T], limit: u32, name: impl Fn(&T) -> &String) -> Option<String> {
    let last = items.last().filter(|_| items.len() == limit as usize)?;
    Some(name(last).clone())
}
