//! The logs of a run's processes.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use futures::stream::unfold;
use http::HeaderMap;
use serde::Deserialize;
use server::{Query, limit};
use utoipa::IntoParams;
use wire::{LogView, Page, Problem};

use super::extract::{After, OfRun};
use super::stream;
use crate::log::LogFilter;
use crate::refusal::Refusal;
use crate::site::Site;

/// What a piece is found again by.
const POSITION: &str = "position of a piece";

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LogsQuery {
    /// A task's name, or the activation of one; all by default.
    task: Option<String>,
    /// The position of the last piece that is known; 0 by default.
    #[param(value_type = Option<u64>)]
    after: Option<String>,
    /// From 1 to 500; 50 by default.
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
    /// `next` of the page before; another name for `after`.
    cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LogsFollowQuery {
    /// A task's name, or the activation of one; all by default.
    task: Option<String>,
    /// The position of the last piece that is known; the header `last-event-id` says the same.
    #[param(value_type = Option<u64>)]
    after: Option<String>,
}

/// What the processes of a run have written: of each the beginning and the end.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/runs/{run}/logs", tag = "runs",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), ("run" = String, Path), LogsQuery),
    responses(
        (status = 200, body = Page<LogView>),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn log_list(
    State(site): State<Site>,
    OfRun { namespace, run }: OfRun,
    Query(asked): Query<LogsQuery>,
) -> Result<Json<Page<LogView>>, Refusal> {
    let limit = limit(asked.limit.as_deref())?;
    let after = After::of_page(asked.after, asked.cursor)?.number(POSITION)?;
    let filter = LogFilter::new(asked.task);
    Ok(Json(site.0.runs.logs(&namespace, run, &filter, after, limit).await?))
}

/// The same from its beginning, as server-sent events; ends when the run has ended, and the processes
/// that it does not await.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/runs/{run}/logs/follow", tag = "runs",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), ("run" = String, Path), LogsFollowQuery),
    responses(
        (status = 200, description = "Each event's data is a `LogView`", body = LogView, content_type = "text/event-stream"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn log_follow(
    State(site): State<Site>,
    OfRun { namespace, run }: OfRun,
    Query(asked): Query<LogsFollowQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let after = After::of_stream(&headers, asked.after).number(POSITION)?;
    let filter = LogFilter::new(asked.task);
    let following = site.0.runs.logs_follow(&namespace, run, filter, after).await?;
    Ok(stream::response(unfold(following, |mut following| async {
        let pieces = following.next().await?;
        let frame = stream::frame(pieces.iter().map(|piece| (Some(piece.position), piece)));
        Some((frame, following))
    })))
}
