//! Orders to sites.

use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use base::value::Json as Value;
use base::{Namespace, OrderId, RequestId, RunId, SiteName};
use http::StatusCode;
use http::request::Parts;
use serde::Deserialize;
use server::{Body, Caller, Path, Query, Refusal, cursor, finished, limit};
use store::OrdersOf;
use utoipa::IntoParams;
use wire::{OrderCreate, OrderExplained, OrderState, OrderView, Page, Problem, Role};

use crate::Hub;
use crate::order::{Given, OrderFilter, RunAsk, life, order_of};
use crate::placement::Sites;
use crate::request::{asked, sites};

/// An order, and ten thousand names of sites.
const CREATE_BYTES_MAX: usize = 1024 * 1024;

/// Longer waits would be cut off by what stands between; ask again instead.
const WAIT_SECONDS_MAX: u64 = 25;

pub(super) struct OfOrder(OrderId);

/// The same, named by the order or by its run.
pub(super) struct OfOrderOrRun(OrderId);

impl FromRequestParts<Hub> for OfOrder {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, hub: &Hub) -> Result<Self, Refusal> {
        Ok(Self(Path::of(parts, hub).await?.get("order")?))
    }
}

impl FromRequestParts<Hub> for OfOrderOrRun {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, hub: &Hub) -> Result<Self, Refusal> {
        let path = Path::of(parts, hub).await?;
        let run: Option<RunId> = path.get("order").ok();
        run.map_or_else(|| path.get("order").map(Self), |run| Ok(Self(order_of(run))))
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Those that were given for this.
    #[param(value_type = Option<String>)]
    request: Option<String>,
    /// Those to this site. Not together with `request`.
    #[param(value_type = Option<String>)]
    site: Option<String>,
    /// States, separated by commas.
    state: Option<String>,
    /// `false`: only those of which something is still to come; `true`: only the others.
    #[param(value_type = Option<bool>)]
    over: Option<String>,
    /// From 1 to 500; 50 by default. A page may have fewer where there are more.
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ShowQuery {
    /// Seconds to wait for something new, at most 25; 0 by default.
    #[param(value_type = Option<u64>)]
    wait: Option<String>,
}

/// Has sites start runs: one order for each site that is meant. All are given, or none. The same `request`
/// again, with the same body, gives the same orders.
#[utoipa::path(
    post, path = "/api/v1/orders", tag = "orders",
    security(("key" = [])),
    request_body = OrderCreate,
    responses(
        (status = 201, description = "Given", body = Page<OrderView>),
        (status = 200, description = "The request was made before", body = Page<OrderView>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The request is another one", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn order_create(
    State(hub): State<Hub>,
    caller: Caller,
    Body(ask): Body<OrderCreate<Value>, CREATE_BYTES_MAX>,
) -> Result<(StatusCode, Json<Page<OrderView>>), Refusal> {
    let (to, ask) = ask_of(&hub, ask, &caller)?;
    caller.roles().need(Role::Operator, &ask.namespace)?;
    let given = finished(async move { hub.order_create(&to, ask).await }).await?;
    let Given { orders, is_new } = given;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(Page { items: orders, next: None })))
}

/// Orders, newest first: of the namespaces in which the caller may look.
#[utoipa::path(
    get, path = "/api/v1/orders", tag = "orders",
    security(("key" = [])),
    params(ListQuery),
    responses(
        (status = 200, body = Page<OrderView>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such request, or no such site", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn order_list(
    State(hub): State<Hub>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<OrderView>>, Refusal> {
    let ListQuery { request, site, state, over, limit: count, cursor: before } = query;
    let of = of(request.as_deref(), site.as_deref())?;
    let filter = OrderFilter { states: states(state.as_deref())?, is_over: is_over(over)? };
    let (before, limit) = (cursor(before.as_deref())?, limit(count.as_deref())?);
    Ok(Json(hub.order_list(of, &filter, caller.roles(), before, limit).await?))
}

/// What became of an order.
#[utoipa::path(
    get, path = "/api/v1/orders/{order}", tag = "orders",
    security(("key" = [])),
    params(("order" = String, Path), ShowQuery),
    responses(
        (status = 200, body = OrderView),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn order_show(
    State(hub): State<Hub>,
    OfOrder(order): OfOrder,
    caller: Caller,
    Query(query): Query<ShowQuery>,
) -> Result<Json<OrderView>, Refusal> {
    let wait = query.wait.as_deref().map_or(Ok(0), str::parse).ok();
    let wait = wait.filter(|seconds| *seconds <= WAIT_SECONDS_MAX).ok_or_else(|| {
        Refusal::parameter("wait", format!("write whole seconds from 0 to {WAIT_SECONDS_MAX}"))
    })?;
    Ok(Json(hub.order_show(order, caller.roles(), Duration::from_secs(wait)).await?))
}

/// Why an order was given, which sites were meant and which were not, and what has left the site because of
/// it. The run's id names it, too.
#[utoipa::path(
    get, path = "/api/v1/orders/{order}/explain", tag = "orders",
    security(("key" = [])),
    params(("order" = String, Path)),
    responses(
        (status = 200, body = OrderExplained),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn order_explain(
    State(hub): State<Hub>,
    OfOrderOrRun(order): OfOrderOrRun,
    caller: Caller,
) -> Result<Json<OrderExplained>, Refusal> {
    Ok(Json(hub.order_explain(order, caller.roles()).await?))
}

fn ask_of(hub: &Hub, ask: OrderCreate<Value>, caller: &Caller) -> Result<(Sites, RunAsk), Refusal> {
    if ask.start.run.is_some() {
        return Err(Refusal::parameter("run", "the hub gives each site's run its own id"));
    }
    let asked = asked(&ask);
    let OrderCreate { request, sites: names, tags, all, namespace, start, ttl_seconds } = ask;
    let request = request.map(|text| text.parse()).transpose();
    let request: Option<RequestId> =
        request.map_err(|wrong: base::id::IdError| Refusal::parameter("request", wrong))?;
    let to = sites(&names, tags, all)?;
    let namespace =
        Namespace::parse(&namespace).map_err(|wrong| Refusal::parameter("namespace", wrong))?;
    let life = life(ttl_seconds).ok_or_else(|| {
        Refusal::parameter(
            "ttlSeconds",
            "an order is good for a minute at least and 45 days at most",
        )
    })?;
    let by = caller.because(start.reason.clone())?;
    let request = request.unwrap_or_else(|| hub.new_request());
    Ok((to, RunAsk { request, asked, namespace, start, life, by }))
}

fn of(request: Option<&str>, site: Option<&str>) -> Result<OrdersOf, Refusal> {
    match (request, site) {
        (None, None) => Ok(OrdersOf::All),
        (Some(request), None) => request
            .parse()
            .map(OrdersOf::Request)
            .map_err(|wrong: base::id::IdError| Refusal::parameter("request", wrong)),
        (None, Some(site)) => SiteName::parse(site)
            .map(OrdersOf::Site)
            .map_err(|wrong| Refusal::parameter("site", wrong)),
        (Some(_), Some(_)) => Err(Refusal::parameter("site", "name this or `request`, not both")),
    }
}

fn states(text: Option<&str>) -> Result<Vec<OrderState>, Refusal> {
    let state = |text: &str| {
        let found = OrderState::ALL.into_iter().find(|state| state.name() == text.trim());
        let all = OrderState::ALL.map(OrderState::name).join(", ");
        found.ok_or_else(|| Refusal::parameter("state", format!("write some of {all}")))
    };
    text.map_or_else(|| Ok(Vec::new()), |text| text.split(',').map(state).collect())
}

fn is_over(text: Option<String>) -> Result<Option<bool>, Refusal> {
    let wrong = |_| Refusal::parameter("over", "write `true` or `false`");
    text.map(|text| text.parse()).transpose().map_err(wrong)
}
