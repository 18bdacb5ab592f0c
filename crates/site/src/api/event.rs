//! Events.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::Response;
use base::Value;
use base::value::{object, parse, string};
use futures::stream::unfold;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use server::{InNamespace, Query, body_broken, cursor, limit};
use utoipa::IntoParams;
use wire::{EventView, EventsAccepted, Page, Problem, ProblemCode};

use super::extract::After;
use super::run::since;
use super::stream;
use crate::event::{BATCH_EVENTS_MAX, Filter, Kind, RunCursor};
use crate::refusal::Refusal;
use crate::site::Site;

/// The largest request: sixteen of the largest events, or many small ones.
const EVENTS_BYTES_MAX: usize = 16 * 1024 * 1024;

const SINGLE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

/// Attributes of an event in binary mode are headers with this in front.
const HEADER: &str = "ce-";

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventListQuery {
    /// A type, or what types begin with and `*`.
    #[serde(rename = "type")]
    kind: Option<String>,
    source: Option<String>,
    subject: Option<String>,
    /// Come at this time (RFC 3339) or after, or so long ago (ISO 8601, such as `PT1H`).
    since: Option<String>,
    /// Everything that one run has to tell, from its journal: its life and that of its tasks, and
    /// what it has emitted. Oldest first.
    run: Option<String>,
    /// `newest` (by default) or `oldest` first.
    order: Option<String>,
    /// From 1 to 500; 50 by default.
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventFollowQuery {
    /// A type, or what types begin with and `*`.
    #[serde(rename = "type")]
    kind: Option<String>,
    source: Option<String>,
    subject: Option<String>,
    /// Everything that one run has to tell, from its beginning to its end.
    run: Option<String>,
    /// The `cursor` of the last event that is known; the header `last-event-id` says the same.
    after: Option<String>,
}

/// Takes events in, durably, and wakes who listens. One of a known source and id is left as it is.
#[utoipa::path(
    post, path = "/api/v1/namespaces/{namespace}/events", tag = "events",
    security(("key" = ["operator"])),
    params(("namespace" = String, Path)),
    request_body(
        description = "A CloudEvent 1.0 as JSON (structured mode), a list of them (batch), or any body with the attributes in `ce-` headers (binary mode)",
        content(
            (serde_json::Value = "application/cloudevents+json"),
            (serde_json::Value = "application/cloudevents-batch+json"),
        )
    ),
    responses(
        (status = 201, description = "Durable", body = EventsAccepted),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn event_accept(
    State(site): State<Site>,
    InNamespace(namespace): InNamespace,
    request: Request,
) -> Result<(StatusCode, Json<EventsAccepted>), Refusal> {
    let (parts, body) = request.into_parts();
    let form = Form::of(&parts.headers)?;
    let body = Limited::new(body, EVENTS_BYTES_MAX).collect().await;
    let bytes = body.map_err(|wrong| body_broken(&*wrong, EVENTS_BYTES_MAX))?.to_bytes();
    let events = form.events(&parts.headers, &bytes)?;
    let accepted = site.0.runs.event_accept(&namespace, &events).await?;
    Ok((StatusCode::CREATED, Json(accepted)))
}

/// Events of a namespace, or of one run.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/events", tag = "events",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), EventListQuery),
    responses(
        (status = 200, body = Page<EventView>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn event_list(
    State(site): State<Site>,
    InNamespace(namespace): InNamespace,
    Query(asked): Query<EventListQuery>,
) -> Result<Json<Page<EventView>>, Refusal> {
    let limit = limit(asked.limit.as_deref())?;
    let newest_first = match asked.order.as_deref() {
        None => asked.run.is_none(),
        Some("newest") if asked.run.is_none() => true,
        Some("oldest") => false,
        Some("newest") => {
            let what = "the events of a run are told from its beginning; leave `order` out";
            return Err(Refusal::parameter("order", what));
        }
        Some(_) => return Err(Refusal::parameter("order", "write `newest` or `oldest`")),
    };
    let filter = Filter {
        kind: asked.kind.as_deref().map(Kind::parse),
        source: asked.source,
        subject: asked.subject,
        since: asked.since.map(|text| since(&text, site.now())).transpose()?,
    };
    let runs = &site.0.runs;
    let Some(run) = asked.run else {
        let cursor = position(asked.cursor.as_deref())?;
        let page = runs.event_list(&namespace, &filter, newest_first, cursor, limit).await?;
        return Ok(Json(page));
    };
    let run = run.parse().map_err(|wrong| Refusal::parameter("run", wrong))?;
    let cursor = run_cursor("cursor", asked.cursor.as_deref())?;
    Ok(Json(runs.event_list_of_run(&namespace, run, &filter, cursor, limit).await?))
}

/// Events as they come, as server-sent events; those of a run from its beginning to its end.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/events/follow", tag = "events",
    security(("key" = ["viewer"])),
    params(("namespace" = String, Path), EventFollowQuery),
    responses(
        (status = 200, description = "Each event's data is an `EventView`", body = EventView, content_type = "text/event-stream"),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn event_follow(
    State(site): State<Site>,
    InNamespace(namespace): InNamespace,
    Query(asked): Query<EventFollowQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let after = After::of_stream(&headers, asked.after).text;
    let filter = Filter {
        kind: asked.kind.as_deref().map(Kind::parse),
        source: asked.source,
        subject: asked.subject,
        since: None,
    };
    let following = match asked.run {
        None => {
            let after = position(after.as_deref())?;
            site.0.runs.event_follow(namespace, filter, after)?
        }
        Some(run) => {
            let run = run.parse().map_err(|wrong| Refusal::parameter("run", wrong))?;
            let after = run_cursor("after", after.as_deref())?;
            site.0.runs.event_follow_run(&namespace, run, filter, after).await?
        }
    };
    Ok(stream::response(unfold(following, |mut following| async {
        let events = following.next().await?;
        let frame = stream::frame(events.iter().map(|event| (Some(&event.cursor), event)));
        Some((frame, following))
    })))
}

fn position(text: Option<&str>) -> Result<Option<u64>, Refusal> {
    // The store counts with one bit less.
    let position = cursor::<u64>(text)?;
    match position {
        Some(position) if i64::try_from(position).is_err() => {
            Err(Refusal::parameter("cursor", "no event has such a position"))
        }
        position => Ok(position),
    }
}

fn run_cursor(name: &str, text: Option<&str>) -> Result<RunCursor, Refusal> {
    let wrong =
        |()| Refusal::parameter(name, "pass on the `cursor` of an event of this run, unchanged");
    text.map_or(Ok(RunCursor::default()), |text| text.parse().map_err(wrong))
}

/// How events stand in a request.
enum Form {
    Single,
    Batch,
    /// Attributes in headers; the body is the data, of this media type.
    Binary(Option<String>),
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let content = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
        let essence = content.and_then(|content| content.split(';').next()).unwrap_or_default();
        let essence = essence.trim().to_ascii_lowercase();
        if essence == SINGLE {
            return Ok(Self::Single);
        }
        if essence == BATCH {
            return Ok(Self::Batch);
        }
        if headers.contains_key("ce-type") {
            return Ok(Self::Binary(content.map(str::to_owned)));
        }
        if essence == "application/json" {
            return Ok(Self::Single);
        }
        let detail = format!(
            "send `content-type: {SINGLE}` with one event, `{BATCH}` with a list of them, or the \
             event's attributes in `ce-` headers"
        );
        Err(Refusal::new(ProblemCode::EventMediaType, detail))
    }

    fn events(&self, headers: &HeaderMap, bytes: &[u8]) -> Result<Vec<Value>, Refusal> {
        let invalid = |what: String| Refusal::new(ProblemCode::EventInvalid, what);
        let read =
            || parse(bytes).map_err(|wrong| invalid(format!("the body cannot be read: {wrong}")));
        match self {
            Self::Single => Ok(vec![read()?]),
            Self::Batch => match read()? {
                Value::Arr(events) if events.len() <= BATCH_EVENTS_MAX => Ok(events.to_vec()),
                Value::Arr(_) => {
                    let what =
                        format!("a batch has at most {BATCH_EVENTS_MAX} events: send several");
                    Err(Refusal::new(ProblemCode::TooLarge, what))
                }
                _ => Err(invalid("a batch is a JSON array of events".to_owned())),
            },
            Self::Binary(content) => {
                binary(headers, content.as_deref(), bytes).map(|one| vec![one])
            }
        }
    }
}

/// An event in binary mode, in its JSON form.
fn binary(headers: &HeaderMap, content: Option<&str>, bytes: &[u8]) -> Result<Value, Refusal> {
    let invalid = |what: String| Refusal::new(ProblemCode::EventInvalid, what);
    let mut fields = Vec::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix(HEADER) else { continue };
        if matches!(name, "datacontenttype" | "data" | "data_base64") {
            return Err(invalid(format!("`{HEADER}{name}` is no header of an event")));
        }
        let text = std::str::from_utf8(value.as_bytes())
            .map_err(|_| invalid(format!("the header `{HEADER}{name}` is not UTF-8")))?;
        fields.push((name, string(&percent_decoded(text))));
    }
    if let Some(content) = content {
        fields.push(("datacontenttype", string(content)));
    }
    if !bytes.is_empty() {
        let wrong = |wrong| invalid(format!("the data is declared as JSON, and is not: {wrong}"));
        fields.push(engine::event::of_bytes(bytes, content).map_err(wrong)?);
    }
    Ok(object(fields))
}

/// Values of headers are percent-encoded where they are not plain ASCII.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        let decoded = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(decoded.unwrap_or(bytes[at]));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: decode twice, or drop a stray percent sign.
    #[test]
    fn a_header_is_decoded_once() {
        assert_eq!(percent_decoded("a%20b"), "a b");
        assert_eq!(percent_decoded("%2520"), "%20");
        assert_eq!(percent_decoded("100%"), "100%");
        assert_eq!(percent_decoded("%zz%C3%A4"), "%zzä");
        assert_eq!(percent_decoded("%ff"), "%ff");
    }
}
