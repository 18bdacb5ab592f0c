//! The logs of a run's processes.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use tokio::time::{Interval, MissedTickBehavior, interval};
use utoipa::IntoParams;
use wire::{LogView, Page, Problem};

use super::extract::{OfRun, Query, limit};
use crate::log::{LogFilter, LogFollowing};
use crate::refusal::Refusal;
use crate::site::Site;

/// A comment after so much silence keeps a connection from being taken for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);

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
    let after = match (asked.after, asked.cursor) {
        (Some(_), Some(_)) => {
            return Err(Refusal::parameter("cursor", "pass either `after` or `cursor`"));
        }
        (after, cursor) => position("after", after.or(cursor).as_deref())?,
    };
    let filter = LogFilter::new(asked.task);
    Ok(Json(site.0.runs.logs(&namespace, run, &filter, after, limit).await?))
}

/// The same from its beginning, as server-sent events; ends when the run has ended.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/runs/{run}/logs/follow", tag = "runs",
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
    let header = headers.get("last-event-id").map(|value| value.to_str().unwrap_or("?"));
    let after = match header {
        Some(text) => position("last-event-id", Some(text))?,
        None => position("after", asked.after.as_deref())?,
    };
    let filter = LogFilter::new(asked.task);
    let following = site.0.runs.logs_follow(&namespace, run, filter, after).await?;
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let frames = stream::unfold((following, heartbeat), |(mut following, mut heartbeat)| async {
        let frame = frame(&mut following, &mut heartbeat).await?;
        Some((Ok::<_, Infallible>(frame), (following, heartbeat)))
    });
    Ok(([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(frames)).into_response())
}

async fn frame(following: &mut LogFollowing, heartbeat: &mut Interval) -> Option<Bytes> {
    tokio::select! {
        biased;
        pieces = following.next() => Some(sse(&pieces?)),
        // The first one comes at once, and tells the client that it is connected.
        _ = heartbeat.tick() => Some(Bytes::from_static(b":\n\n")),
    }
}

fn sse(pieces: &[LogView]) -> Bytes {
    let mut text = Vec::new();
    for piece in pieces {
        text.extend_from_slice(format!("id: {}\ndata: ", piece.position).as_bytes());
        serde_json::to_writer(&mut text, piece).expect("our own types have JSON text");
        text.extend_from_slice(b"\n\n");
    }
    text.into()
}

fn position(name: &str, text: Option<&str>) -> Result<u64, Refusal> {
    let Some(text) = text else { return Ok(0) };
    // The store counts with one bit less.
    let number = text.parse().ok().filter(|number: &u64| i64::try_from(*number).is_ok());
    number.ok_or_else(|| Refusal::parameter(name, "write the position of a piece: a whole number"))
}
