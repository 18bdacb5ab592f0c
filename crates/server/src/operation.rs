//! The operations that both APIs have: who one is, and keys.

use axum::Json;
use axum::extract::{FromRef, FromRequestParts, State};
use base::KeyName;
use http::StatusCode;
use http::request::Parts;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use wire::{KeyCreate, KeyCreated, KeyRevoke, KeyView, Page, Problem, Whoami};

use crate::access::describe;
use crate::caller::Caller;
use crate::extract::{Body, PageQuery, Path, Query};
use crate::key::Keys;
use crate::refusal::{Refusal, finished};

/// Roles in a hundred namespaces, and a reason.
const KEY_BYTES_MAX: usize = 64 * 1024;

struct OfKey(KeyName);

impl<S: Send + Sync> FromRequestParts<S> for OfKey {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        Ok(Self(Path::of(parts, state).await?.get("name")?))
    }
}

/// An API's own operations and those that both have.
#[must_use]
pub fn with_keys<S>(operations: OpenApiRouter<S>) -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Keys: FromRef<S>,
{
    let mut operations = operations
        .routes(routes!(whoami))
        .routes(routes!(key_list, key_create))
        .routes(routes!(key_revoke));
    describe(operations.get_openapi_mut());
    operations
}

/// Who asks, as this API sees it.
#[utoipa::path(
    get, path = "/api/v1/whoami", tag = "keys", security(("key" = [])),
    responses((status = 200, body = Whoami))
)]
async fn whoami(State(keys): State<Keys>, caller: Caller) -> Json<Whoami> {
    let (kind, name) = keys.whose();
    let (actor, roles) = (caller.actor().to_owned(), caller.roles().write());
    Json(Whoami { actor, roles, kind: kind.to_owned(), name: name.to_owned() })
}

/// Keys that the caller may hand out, by name; never the keys themselves.
#[utoipa::path(
    get, path = "/api/v1/keys", tag = "keys", security(("key" = [])),
    params(PageQuery),
    responses((status = 200, body = Page<KeyView>))
)]
async fn key_list(
    State(keys): State<Keys>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<KeyView>>, Refusal> {
    let limit = query.limit()? as usize;
    // One more than asked for says whether there is another page.
    let mut items = keys.list(&caller, query.after()?.as_ref(), limit + 1);
    let is_more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| is_more).map(|last| last.name.clone());
    Ok(Json(Page { items, next }))
}

/// Makes a key, which is shown this once. It takes the role `admin` wherever the key has one.
#[utoipa::path(
    post, path = "/api/v1/keys", tag = "keys", security(("key" = [])),
    request_body = KeyCreate,
    responses(
        (status = 201, body = KeyCreated),
        (status = 403, description = "More than one has oneself", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "There is a good one of that name", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn key_create(
    State(keys): State<Keys>,
    caller: Caller,
    Body(ask): Body<KeyCreate, KEY_BYTES_MAX>,
) -> Result<(StatusCode, Json<KeyCreated>), Refusal> {
    let made = finished(async move { keys.create(&caller, ask).await }).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Ends a key, from the next request on.
#[utoipa::path(
    post, path = "/api/v1/keys/{name}/revoke", tag = "keys", security(("key" = [])),
    params(("name" = String, Path)),
    request_body = KeyRevoke,
    responses(
        (status = 200, body = KeyView),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
async fn key_revoke(
    State(keys): State<Keys>,
    OfKey(name): OfKey,
    caller: Caller,
    Body(ask): Body<KeyRevoke, KEY_BYTES_MAX>,
) -> Result<Json<KeyView>, Refusal> {
    Ok(Json(finished(async move { keys.revoke(&caller, &name, ask.reason).await }).await?))
}
