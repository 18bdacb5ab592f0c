//! What is done with the store as a whole. Long jobs answer with a stream that says itself how it has
//! ended.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use base::{Namespace, RunId};
use serde::Deserialize;
use server::{BACKUP_MEDIA_TYPE, Query, stream};
use utoipa::IntoParams;
use wire::{BackupLine, Problem, ProblemCode, StoreCheckLine, StoreCompacted};

use super::run::since;
use crate::refusal::Refusal;
use crate::site::Site;
use crate::upkeep::{Busy, ExportFilter};

const LINES: &str = "application/x-ndjson";

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportQuery {
    /// Only this run.
    run: Option<String>,
    /// Only this namespace.
    namespace: Option<String>,
    /// Only runs that began, and events that came, since this time.
    since: Option<String>,
}

/// Compares everything in the store with what the journals say. Other work goes on.
#[utoipa::path(
    post, path = "/api/v1/store/check", tag = "site",
    security(("key" = ["admin"])),
    responses(
        (status = 200, description = "Lines of JSON, each a `StoreCheckLine`; the last one is `done` or `failed`", body = StoreCheckLine, content_type = "application/x-ndjson"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn store_check(State(site): State<Site>) -> Result<Response, Refusal> {
    Ok(stream(site.0.custodian.check()?, LINES))
}

/// The store as it is at this moment, without secrets. Other work goes on.
#[utoipa::path(
    post, path = "/api/v1/store/backup", tag = "site",
    security(("key" = ["admin"])),
    responses(
        (status = 200, description = "Lines of JSON, each a `BackupLine`; behind a `file` come its bytes; the last one is `done` or `failed`", body = BackupLine, content_type = "application/x-isonomy-backup"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn store_backup(State(site): State<Site>) -> Result<Response, Refusal> {
    Ok(stream(site.0.custodian.backup()?, BACKUP_MEDIA_TYPE))
}

/// Everything readable, for other programs: `docs/spec/export.md`.
#[utoipa::path(
    get, path = "/api/v1/store/export", tag = "site",
    security(("key" = ["admin"])),
    params(ExportQuery),
    responses(
        (status = 200, description = "Lines of JSON; the last one is `end` or `failed`", body = String, content_type = "application/x-ndjson"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn store_export(
    State(site): State<Site>,
    Query(asked): Query<ExportQuery>,
) -> Result<Response, Refusal> {
    let run = asked.run.map(|text| text.parse::<RunId>()).transpose();
    let namespace = asked.namespace.map(|text| Namespace::parse(&text)).transpose();
    let since = asked.since.map(|text| since(&text, site.now())).transpose()?;
    let filter = ExportFilter {
        run: run.map_err(|wrong| Refusal::parameter("run", wrong))?,
        namespace: namespace.map_err(|wrong| Refusal::parameter("namespace", wrong))?,
        since,
    };
    Ok(stream(site.0.custodian.export(filter)?, LINES))
}

/// Forgets what is due now, and gives the room back: as much of it as is done in five seconds. Work goes
/// on meanwhile.
#[utoipa::path(
    post, path = "/api/v1/store/compact", tag = "site",
    security(("key" = ["admin"])),
    responses((status = 200, body = StoreCompacted))
)]
pub(super) async fn store_compact(
    State(site): State<Site>,
) -> Result<Json<StoreCompacted>, Refusal> {
    Ok(Json(site.compact().await?))
}

impl From<Busy> for Refusal {
    fn from(_: Busy) -> Self {
        let detail = "a check, a backup or an export is under way; wait for its end";
        Self::new(ProblemCode::Overloaded, detail)
    }
}
