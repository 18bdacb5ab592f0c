//! Secrets: written, listed, deleted, and never read.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use base::value::Json as Value;
use base::{Namespace, SecretName};
use http::StatusCode;
use http::request::Parts;
use server::{Body, Caller, InNamespace, PageQuery, Path, Query, ReasonQuery};
use wire::{Page, Problem, SecretChanged, SecretSet, SecretView};

use crate::refusal::Refusal;
use crate::site::Site;

/// A secret in JSON, in which every character may be escaped, and a reason.
const SET_BYTES_MAX: usize = 6 * secrets::SECRET_BYTES_MAX + 8 * 1024;

pub(super) struct OfSecret {
    namespace: Namespace,
    name: SecretName,
}

impl FromRequestParts<Site> for OfSecret {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Refusal> {
        let path = Path::of(parts, site).await?;
        Ok(Self { namespace: path.get("namespace")?, name: path.get("name")? })
    }
}

/// Secrets of a namespace, by name: never their values.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/secrets", tag = "secrets",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), PageQuery),
    responses(
        (status = 200, body = Page<SecretView>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn secret_list(
    State(site): State<Site>,
    InNamespace(namespace): InNamespace,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<SecretView>>, Refusal> {
    Ok(Json(site.0.secrets.list(&namespace, query.after()?, query.limit()?).await?))
}

/// Sets a secret: a new version, which runs that start from now on take.
#[utoipa::path(
    put, path = "/api/v1/namespaces/{namespace}/secrets/{name}", tag = "secrets",
    security(("key" = ["admin"])),
    params(("namespace" = String, Path), ("name" = String, Path)),
    request_body = SecretSet,
    responses(
        (status = 200, description = "A new version of one that was there", body = SecretChanged),
        (status = 201, description = "The first version", body = SecretChanged),
        (status = 409, description = "It comes from elsewhere", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn secret_set(
    State(site): State<Site>,
    OfSecret { namespace, name }: OfSecret,
    caller: Caller,
    Body(set): Body<SecretSet<Value>, SET_BYTES_MAX>,
) -> Result<(StatusCode, Json<SecretChanged>), Refusal> {
    let SecretSet { value, reason } = set;
    let changed = site.0.secrets.set(&caller, &namespace, &name, value.0, reason).await?;
    site.0.models.desk().secret_changed(&namespace, &name);
    let status = if changed.version == 1 { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(changed)))
}

/// Deletes a secret in all its versions.
#[utoipa::path(
    delete, path = "/api/v1/namespaces/{namespace}/secrets/{name}", tag = "secrets",
    security(("key" = ["admin"])),
    params(("namespace" = String, Path), ("name" = String, Path), ReasonQuery),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn secret_delete(
    State(site): State<Site>,
    OfSecret { namespace, name }: OfSecret,
    Query(query): Query<ReasonQuery>,
    caller: Caller,
) -> Result<StatusCode, Refusal> {
    site.0.secrets.delete(&caller, &namespace, &name, query.reason).await?;
    site.0.models.desk().secret_changed(&namespace, &name);
    Ok(StatusCode::NO_CONTENT)
}
