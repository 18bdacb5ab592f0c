//! Runs.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use base::value::Json as JsonValue;
use base::{Duration, RunId, Timestamp};
use bytes::Bytes;
use futures::stream::unfold;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use server::{Body, Caller, InNamespace, Query, cursor, limit};
use store::{RunState, Sequence};
use utoipa::IntoParams;
use wire::{
    FollowEvent, Page, Problem, RunCommand, RunDetail, RunEventView, RunExplained, RunResult,
    RunStart, RunView,
};

use super::extract::{After, OfRun, workflow_name};
use super::stream;
use crate::follow::Batch;
use crate::refusal::Refusal;
use crate::run::query;
use crate::site::Site;
use crate::start::{Beside, RunOrder};

/// The largest input: it is in memory while the run starts, once as text and once as value.
const START_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A command holds a reason.
const COMMAND_BYTES_MAX: usize = 16 * 1024;

/// Longer waits would be cut off by what stands between; ask again instead.
pub(super) const WAIT_SECONDS_MAX: u64 = 60;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    workflow: Option<String>,
    /// States, separated by commas.
    state: Option<String>,
    /// From this time (RFC 3339) on, or since so long ago (ISO 8601, such as `PT1H`); by the time in
    /// their ids, so that the run of another run goes with its parent.
    since: Option<String>,
    /// From 1 to 500; 50 by default.
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StartQuery {
    /// Seconds to wait for the run's end, from 0 (by default) to 60.
    #[param(value_type = Option<u32>)]
    wait: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// The sequence of the last record that is known; 0 by default.
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
pub(super) struct FollowQuery {
    /// The sequence of the last record that is known; the header `last-event-id` says the same.
    #[param(value_type = Option<u64>)]
    after: Option<String>,
}

/// Runs of a namespace, newest first.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/runs", tag = "runs",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), ListQuery),
    responses(
        (status = 200, body = Page<RunView>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn run_list(
    State(site): State<Site>,
    InNamespace(namespace): InNamespace,
    Query(asked): Query<ListQuery>,
) -> Result<Json<Page<RunView>>, Refusal> {
    let workflow = workflow_name(asked.workflow.as_deref())?;
    let mut query = query(namespace, workflow, limit(asked.limit.as_deref())?);
    query.states = states(asked.state.as_deref())?;
    let since = asked.since.map(|text| since(&text, site.now())).transpose()?;
    query.oldest = since.map(RunId::first_at);
    query.after = cursor(asked.cursor.as_deref())?;
    Ok(Json(site.0.runs.list(query).await?))
}

/// Starts a run. With the id of a run that the same order has started before, finds that one.
#[utoipa::path(
    post, path = "/api/v1/namespaces/{namespace}/runs", tag = "runs",
    security(("key" = ["operator"])),
    params(("namespace" = String, Path), StartQuery),
    request_body = RunStart,
    responses(
        (status = 201, description = "Started", body = RunResult),
        (status = 200, description = "The run was there already", body = RunResult),
        (status = 404, description = "No such workflow", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The id is another run's", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn run_start(
    State(site): State<Site>,
    InNamespace(namespace): InNamespace,
    Query(asked): Query<StartQuery>,
    caller: Caller,
    headers: HeaderMap,
    Body(body): Body<RunStart<JsonValue>, START_BYTES_MAX>,
) -> Result<(StatusCode, Json<RunResult<JsonValue>>), Refusal> {
    let wait = wait(asked.wait.as_deref())?;
    let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok());
    let mut order = RunOrder::parse(namespace.clone(), body, traceparent)?;
    if wait > Duration::ZERO {
        order.beside = Beside::End;
    }
    let begun = site.0.runs.start(&caller, order).await?;
    let status = if begun.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(site.0.runs.result(&namespace, begun, wait).await?)))
}

/// A run with its tasks; where it has faulted, with the task that did.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/runs/{run}", tag = "runs",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), ("run" = String, Path)),
    responses(
        (status = 200, body = RunDetail),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn run_show(
    State(site): State<Site>,
    OfRun { namespace, run }: OfRun,
) -> Result<Json<RunDetail>, Refusal> {
    Ok(Json(site.0.runs.detail(&namespace, run).await?))
}

/// Who started a run and why, what it waits for, and what has left the site about it.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/runs/{run}/explain", tag = "runs",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), ("run" = String, Path)),
    responses(
        (status = 200, body = RunExplained),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn run_explain(
    State(site): State<Site>,
    OfRun { namespace, run }: OfRun,
) -> Result<Json<RunExplained>, Refusal> {
    Ok(Json(site.0.runs.explain(&namespace, run).await?))
}

/// Cancels a run. What it has in flight is broken off at once.
#[utoipa::path(
    post, path = "/api/v1/namespaces/{namespace}/runs/{run}/cancel", tag = "runs",
    security(("key" = ["operator"])),
    params(("namespace" = String, Path), ("run" = String, Path)),
    request_body = RunCommand,
    responses(
        (status = 200, body = RunView),
        (status = 409, description = "It has ended", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn run_cancel(
    State(site): State<Site>,
    OfRun { namespace, run }: OfRun,
    caller: Caller,
    Body(command): Body<RunCommand, COMMAND_BYTES_MAX>,
) -> Result<Json<RunView>, Refusal> {
    Ok(Json(site.0.runs.cancel(&caller, &namespace, run, command.reason).await?))
}

/// Has a faulted run go on from the task that faulted: same run, same revision.
#[utoipa::path(
    post, path = "/api/v1/namespaces/{namespace}/runs/{run}/retry", tag = "runs",
    security(("key" = ["operator"])),
    params(("namespace" = String, Path), ("run" = String, Path)),
    request_body = RunCommand,
    responses(
        (status = 200, body = RunView),
        (status = 409, description = "It has not faulted", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn run_retry(
    State(site): State<Site>,
    OfRun { namespace, run }: OfRun,
    caller: Caller,
    Body(command): Body<RunCommand, COMMAND_BYTES_MAX>,
) -> Result<Json<RunView>, Refusal> {
    Ok(Json(site.0.runs.retry(&caller, &namespace, run, command.reason).await?))
}

/// Has a run stand still: nothing new begins in it, and what is under way may end.
#[utoipa::path(
    post, path = "/api/v1/namespaces/{namespace}/runs/{run}/suspend", tag = "runs",
    security(("key" = ["operator"])),
    params(("namespace" = String, Path), ("run" = String, Path)),
    request_body = RunCommand,
    responses(
        (status = 200, body = RunView),
        (status = 409, description = "It has ended", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn run_suspend(
    State(site): State<Site>,
    OfRun { namespace, run }: OfRun,
    caller: Caller,
    Body(command): Body<RunCommand, COMMAND_BYTES_MAX>,
) -> Result<Json<RunView>, Refusal> {
    Ok(Json(site.0.runs.suspend(&caller, &namespace, run, command.reason).await?))
}

/// Has a suspended run go on where it stood.
#[utoipa::path(
    post, path = "/api/v1/namespaces/{namespace}/runs/{run}/resume", tag = "runs",
    security(("key" = ["operator"])),
    params(("namespace" = String, Path), ("run" = String, Path)),
    request_body = RunCommand,
    responses(
        (status = 200, body = RunView),
        (status = 409, description = "It is not suspended, or cannot be followed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn run_resume(
    State(site): State<Site>,
    OfRun { namespace, run }: OfRun,
    caller: Caller,
    Body(command): Body<RunCommand, COMMAND_BYTES_MAX>,
) -> Result<Json<RunView>, Refusal> {
    Ok(Json(site.0.runs.resume(&caller, &namespace, run, command.reason).await?))
}

/// Records of a run's journal, in order.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/runs/{run}/events", tag = "runs",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), ("run" = String, Path), EventsQuery),
    responses(
        (status = 200, body = Page<RunEventView>),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn run_events(
    State(site): State<Site>,
    OfRun { namespace, run }: OfRun,
    Query(asked): Query<EventsQuery>,
) -> Result<Json<Page<RunEventView>>, Refusal> {
    let limit = limit(asked.limit.as_deref())?;
    let after = sequence(&After::of_page(asked.after, asked.cursor)?)?;
    Ok(Json(site.0.runs.events(&namespace, run, after, limit).await?))
}

/// What happens to a run, from its beginning, as server-sent events; ends when the run has ended.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/runs/{run}/follow", tag = "runs",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), ("run" = String, Path), FollowQuery),
    responses(
        (status = 200, description = "Each event's data is a `FollowEvent`", body = FollowEvent, content_type = "text/event-stream"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn run_follow(
    State(site): State<Site>,
    OfRun { namespace, run }: OfRun,
    Query(asked): Query<FollowQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let after = sequence(&After::of_stream(&headers, asked.after))?;
    let following = site.0.runs.follow(&namespace, run, after).await?;
    Ok(stream::response(unfold(following, |mut following| async {
        let frame = sse(&following.next().await?);
        Some((frame, following))
    })))
}

fn sequence(after: &After) -> Result<Sequence, Refusal> {
    after.number("sequence of a record").map(Sequence)
}

/// Only the last event of a record carries its id: whoever reconnects in between hears all of it again.
fn sse(batch: &Batch) -> Bytes {
    let count = batch.events.len();
    if count == 0 {
        // The record meant nothing to people, and need not be read again.
        return format!("id: {}\n\n", batch.sequence).into();
    }
    let id = |at: usize| (batch.is_last && at + 1 == count).then_some(batch.sequence);
    stream::frame(batch.events.iter().enumerate().map(|(at, event)| (id(at), event)))
}

fn states(text: Option<&str>) -> Result<Vec<RunState>, Refusal> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let states: Result<Vec<RunState>, _> =
        text.split(',').map(|state| state.trim().parse()).collect();
    let mut states = states.map_err(|wrong| Refusal::parameter("state", wrong))?;
    states.sort();
    states.dedup();
    Ok(states)
}

pub(super) fn since(text: &str, now: Timestamp) -> Result<Timestamp, Refusal> {
    if let Some(at) = Timestamp::parse(text) {
        return Ok(at);
    }
    let ago = spec::duration::parse_iso_duration(text).map_err(|_| {
        Refusal::parameter(
            "since",
            "write a time such as `2027-01-15T08:00:00Z`, or how long ago, such as `PT1H`",
        )
    })?;
    Ok(now.minus(ago))
}

fn wait(text: Option<&str>) -> Result<Duration, Refusal> {
    let Some(text) = text else { return Ok(Duration::ZERO) };
    let seconds = text.parse().ok().filter(|seconds| *seconds <= WAIT_SECONDS_MAX);
    let wrong =
        || Refusal::parameter("wait", format!("write whole seconds from 0 to {WAIT_SECONDS_MAX}"));
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: count a duration forward, or fail where it reaches before all time.
    #[test]
    fn since_is_a_time_or_a_length_of_time() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let check = |text: &str, millis: Option<i64>| {
            assert_eq!(since(text, now).ok().map(Timestamp::as_millis), millis, "{text}");
        };
        check("PT1H", Some(1_800_000_000_000 - 3_600_000));
        check("2027-01-15T08:00:00Z", Some(1_800_000_000_000));
        check("2027-01-15T09:00:00+01:00", Some(1_800_000_000_000));
        check("P106751991167D", Some(1_800_000_000_000 - 106_751_991_167 * 86_400_000));
        check("yesterday", None);
        check("-PT1H", None);
        check("", None);
    }

    /// Mutation: put the id on every event of a batch, on a part of a record, or leave a silent record
    /// without one.
    #[test]
    fn only_the_last_event_of_a_record_carries_its_id() {
        let part = |count: usize, is_last: bool| {
            let event = crate::follow::state_event(Sequence(7), "now", RunState::Running);
            let frame = sse(&Batch { sequence: Sequence(7), events: vec![event; count], is_last });
            let text = String::from_utf8(frame.to_vec()).expect("text");
            let field = |line: &str| line.split(": ").next().unwrap_or_default().to_owned();
            text.lines().map(field).collect::<Vec<_>>()
        };
        assert_eq!(part(0, true), ["id", ""]);
        assert_eq!(part(1, true), ["id", "data", ""]);
        assert_eq!(part(3, true), ["data", "", "data", "", "id", "data", ""]);
        assert_eq!(part(2, false), ["data", "", "data", ""]);
    }
}
