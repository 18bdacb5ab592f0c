//! Orders to sites.

use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use base::value::Json as Value;
use base::{Namespace, OrderId, SiteName};
use http::StatusCode;
use http::request::Parts;
use serde::Deserialize;
use server::{Body, Caller, Path, Query, Refusal, finished};
use utoipa::IntoParams;
use wire::{OrderCreate, OrderView, Page, Problem, Role};

use crate::Hub;
use crate::order::{RunAsk, Selection, life};

/// An order, and ten thousand names of sites.
const CREATE_BYTES_MAX: usize = 1024 * 1024;

/// Longer waits would be cut off by what stands between; ask again instead.
const WAIT_SECONDS_MAX: u64 = 25;

pub(super) struct OfOrder(OrderId);

impl FromRequestParts<Hub> for OfOrder {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, hub: &Hub) -> Result<Self, Refusal> {
        Ok(Self(Path::of(parts, hub).await?.get("order")?))
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ShowQuery {
    /// Seconds to wait for something new, at most 25; 0 by default.
    #[param(value_type = Option<u64>)]
    wait: Option<String>,
}

/// Has sites start runs: one order for each site that is meant. All are given, or none.
#[utoipa::path(
    post, path = "/api/v1/orders", tag = "orders",
    security(("key" = [])),
    request_body = OrderCreate,
    responses(
        (status = 201, body = Page<OrderView>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn order_create(
    State(hub): State<Hub>,
    caller: Caller,
    Body(ask): Body<OrderCreate<Value>, CREATE_BYTES_MAX>,
) -> Result<(StatusCode, Json<Page<OrderView>>), Refusal> {
    let (to, ask) = asked(ask, &caller)?;
    caller.roles().need(Role::Operator, &ask.namespace)?;
    let given = finished(async move { hub.order_create(&to, ask).await }).await?;
    Ok((StatusCode::CREATED, Json(Page { items: given, next: None })))
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

fn asked(ask: OrderCreate<Value>, caller: &Caller) -> Result<(Selection, RunAsk), Refusal> {
    let OrderCreate { sites, tags, all, namespace, start, ttl_seconds } = ask;
    if [!sites.is_empty(), !tags.is_empty(), all].iter().filter(|is| **is).count() != 1 {
        return Err(Refusal::parameter("sites", "name `sites`, or `where`, or `all`: one of them"));
    }
    if start.run.is_some() {
        return Err(Refusal::parameter("run", "the hub gives each site's run its own id"));
    }
    let name =
        |text: &String| SiteName::parse(text).map_err(|wrong| Refusal::parameter("sites", wrong));
    let mut names: Vec<SiteName> = sites.iter().map(name).collect::<Result<_, _>>()?;
    names.sort();
    names.dedup();
    let namespace =
        Namespace::parse(&namespace).map_err(|wrong| Refusal::parameter("namespace", wrong))?;
    let life = life(ttl_seconds).ok_or_else(|| {
        Refusal::parameter(
            "ttlSeconds",
            "an order is good for a minute at least and 45 days at most",
        )
    })?;
    let by = caller.because(start.reason.clone())?;
    let to = Selection { names, tags: tags.into_iter().collect(), all };
    Ok((to, RunAsk { namespace, start, life, by }))
}
