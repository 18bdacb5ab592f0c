//! Spans as messages of the OpenTelemetry protocol, version 1: those of its members that are told.

use models::genai::{self, Span};
use prost::Message;

use base::TraceParent;

/// A call that waits for another program's answer.
const KIND_CLIENT: i32 = 3;

const STATUS_ERROR: i32 = 2;

/// The traces that are recorded, in the flags of a span.
const FLAG_SAMPLED: u32 = 1;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Request {
    #[prost(message, repeated, tag = "1")]
    pub resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub scope_spans: Vec<ScopeSpans>,
    #[prost(string, tag = "3")]
    pub schema_url: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    pub spans: Vec<SpanMessage>,
    #[prost(string, tag = "3")]
    pub schema_url: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Scope {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SpanMessage {
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    pub name: String,
    #[prost(int32, tag = "6")]
    pub kind: i32,
    #[prost(fixed64, tag = "7")]
    pub start_nanos: u64,
    #[prost(fixed64, tag = "8")]
    pub end_nanos: u64,
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<Attribute>,
    #[prost(message, optional, tag = "15")]
    pub status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    pub flags: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    #[prost(int32, tag = "3")]
    pub code: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Attribute {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 2, 3, 4")]
    pub any: Option<Any>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Any {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Flag(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Float(f64),
}

/// What a collector answers.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Response {
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub rejected_spans: i64,
}

/// A request with these spans, of a site of this name.
pub(super) fn request(site: &str, spans: &[Span]) -> Vec<u8> {
    let resource = Resource {
        attributes: vec![
            text("service.name", "isonomy"),
            text("service.instance.id", site),
            text("service.version", env!("CARGO_PKG_VERSION")),
        ],
    };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let of_scope = ScopeSpans {
        scope: Some(Scope { name: "isonomy.models".to_owned(), version }),
        spans: spans.iter().map(message).collect(),
        schema_url: genai::SCHEMA_URL.to_owned(),
    };
    let of_resource = ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![of_scope],
        schema_url: genai::SCHEMA_URL.to_owned(),
    };
    Request { resource_spans: vec![of_resource] }.encode_to_vec()
}

fn message(span: &Span) -> SpanMessage {
    let place = span.place();
    let start = u64::try_from(span.at.as_millis()).unwrap_or(0).saturating_mul(1_000_000);
    let parent = span.parent.map(|it| it.span().to_be_bytes().to_vec());
    SpanMessage {
        trace_id: place.trace().to_be_bytes().to_vec(),
        span_id: place.span().to_be_bytes().to_vec(),
        parent_span_id: parent.unwrap_or_default(),
        name: span.name(),
        kind: KIND_CLIENT,
        start_nanos: start,
        end_nanos: start.saturating_add(span.observed.micros.saturating_mul(1_000)),
        attributes: attributes(span),
        status: span.observed.error.map(|_| Status { code: STATUS_ERROR }),
        flags: if span.parent.is_none_or(TraceParent::is_sampled) { FLAG_SAMPLED } else { 0 },
    }
}

fn attributes(span: &Span) -> Vec<Attribute> {
    let it = &span.observed;
    let mut all = vec![
        text(genai::OPERATION_NAME, it.operation),
        text(genai::PROVIDER_NAME, it.provider.as_str()),
        text(genai::REQUEST_MODEL, it.asked.as_str()),
        text(genai::CALL, &span.call.to_string()),
        text(genai::NAMESPACE, span.namespace.as_str()),
    ];
    let answered = it.answered.as_ref().map(|model| text(genai::RESPONSE_MODEL, model.as_str()));
    let error = it.error.map(|error| text(genai::ERROR_TYPE, &error.to_string()));
    let key = span.key.as_ref().map(|key| text(genai::KEY, key.as_str()));
    let workflow = span.workflow.as_ref().map(|workflow| text(genai::WORKFLOW, workflow));
    let run = span.run.map(|run| text(genai::RUN, &run.to_string()));
    all.extend([answered, error, key, workflow, run].into_iter().flatten());
    if span.streamed {
        all.push(attribute(genai::REQUEST_STREAM, Any::Flag(true)));
    }
    if let Some(first) = it.first_micros {
        let seconds = std::time::Duration::from_micros(first).as_secs_f64();
        all.push(attribute(genai::RESPONSE_TIME_TO_FIRST_CHUNK, Any::Float(seconds)));
    }
    if span.degraded {
        all.push(attribute(genai::DEGRADED, Any::Flag(true)));
    }
    if let Some(used) = &it.used {
        all.push(count(genai::USAGE_INPUT_TOKENS, used.input));
        all.push(count(genai::USAGE_OUTPUT_TOKENS, used.output));
        let of = [
            (genai::USAGE_CACHE_READ_INPUT_TOKENS, used.cached),
            (genai::USAGE_REASONING_OUTPUT_TOKENS, used.reasoning),
        ];
        all.extend(
            of.into_iter().filter(|(_, tokens)| *tokens > 0).map(|(name, n)| count(name, n)),
        );
    }
    all
}

fn text(key: &str, value: &str) -> Attribute {
    attribute(key, Any::Text(value.to_owned()))
}

fn count(key: &str, value: u64) -> Attribute {
    attribute(key, Any::Int(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn attribute(key: &str, value: Any) -> Attribute {
    Attribute { key: key.to_owned(), value: Some(AnyValue { any: Some(value) }) }
}
