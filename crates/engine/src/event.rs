//! Events: CloudEvents 1.0 in their JSON form, checked once, at the edge.
//!
//! Where they are kept is in `store`, which of them a listener takes in `listen`.

use std::sync::Arc;

use base::limits::EVENT_BYTES_MAX;
use base::value::{Map, as_i64, as_object, as_str, get, kind, object, string, to_json};
use base::{Namespace, RunId, Timestamp, Value};
use base64::Engine as _;
use bytes::Bytes;
use spec::tree::ReadAs;
use store::EventRow;

use crate::activation::Activation;

/// The version of CloudEvents that is spoken.
pub const SPECVERSION: &str = "1.0";

pub use spec::tree::LIFECYCLE;

/// An event with everything that it must have.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    envelope: Value,
}

/// An event as it came to a site.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    pub position: u64,
    pub kind: Arc<str>,
    /// The run that it came from, and its number among the events that the run has emitted.
    pub run: Option<RunId>,
    pub number: u64,
    pub event: Event,
}

/// Why something is not an event. Names attributes, never their values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    #[error("an event is a JSON object, not {0}")]
    NotObject(&'static str),
    #[error("the attribute `{0}` is missing")]
    Missing(&'static str),
    #[error("`{0}` cannot be the name of an attribute: use small letters and digits only")]
    Name(String),
    #[error("the attribute `{0}` is {1}, and must be a string, a whole number or a boolean")]
    Type(String, &'static str),
    #[error("the attribute `{0}` {1}")]
    Value(String, &'static str),
    #[error(
        "events whose type begins with `{LIFECYCLE}` tell of the life of runs and tasks, and only the engine sends them: choose another type"
    )]
    Reserved,
    #[error("`data` and `data_base64` exclude each other")]
    TwoData,
    #[error(
        "the event has more than {EVENT_BYTES_MAX} bytes: put the data elsewhere and send where it is"
    )]
    TooLarge,
    #[error("the event cannot be kept: {0}")]
    Odd(String),
}

/// Characters of somebody else's name in a message.
const NAME_SHOWN_MAX: usize = 40;

/// What an event gets where its sender left it out.
pub struct Defaults<'a> {
    pub id: &'a dyn Fn() -> String,
    pub source: Option<&'a str>,
    pub time: Timestamp,
}

impl Event {
    /// Takes an event in its JSON form. Without defaults for them, `id` and `source` are required;
    /// `type` always is.
    pub fn parse(value: &Value, defaults: &Defaults<'_>) -> Result<Self, EventError> {
        let given = as_object(value).ok_or(EventError::NotObject(kind(value)))?;
        let named = |name: &str| get(value, name).filter(|value| !matches!(value, Value::Null));
        let mut fields: Vec<(&str, Value)> = vec![("specversion", string(SPECVERSION))];
        if named("specversion").is_some_and(|version| as_str(version) != Some(SPECVERSION)) {
            return Err(EventError::Value("specversion".into(), "must be `1.0`"));
        }
        let id = named("id").cloned().unwrap_or_else(|| string(&(defaults.id)()));
        fields.push(("id", id));
        let source = named("source").cloned().or_else(|| defaults.source.map(string));
        fields.push(("source", source.ok_or(EventError::Missing("source"))?));
        fields.push(("type", named("type").cloned().ok_or(EventError::Missing("type"))?));
        let time = named("time").cloned().unwrap_or_else(|| string(&defaults.time.to_string()));
        fields.push(("time", time));
        for (name, value) in rest(given)? {
            fields.push((name, value.clone()));
        }
        for (name, value) in &fields {
            attribute(name, value)?;
        }
        let content = named("datacontenttype").and_then(as_str);
        if let Some(data) = data(value, content)? {
            fields.push(data);
        }
        let envelope = object(fields);
        if to_json(&envelope).len() > EVENT_BYTES_MAX {
            return Err(EventError::TooLarge);
        }
        base::value::check(&envelope).map_err(|wrong| EventError::Odd(wrong.to_string()))?;
        Ok(Self { envelope })
    }

    /// An event that somebody sends, who must not speak for the engine.
    pub fn sent(value: &Value, defaults: &Defaults<'_>) -> Result<Self, EventError> {
        let event = Self::parse(value, defaults)?;
        if event.kind().starts_with(LIFECYCLE) { Err(EventError::Reserved) } else { Ok(event) }
    }

    /// The whole event.
    #[must_use]
    pub fn envelope(&self) -> &Value {
        &self.envelope
    }

    /// An attribute, or `data`.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        get(&self.envelope, name)
    }

    fn text(&self, name: &str) -> &str {
        self.attribute(name).and_then(as_str).unwrap_or_default()
    }

    #[must_use]
    pub fn kind(&self) -> &str {
        self.text("type")
    }

    #[must_use]
    pub fn id(&self) -> &str {
        self.text("id")
    }

    /// As a workflow sees it.
    #[must_use]
    pub fn read(&self, read: ReadAs) -> Value {
        let data = || self.attribute("data").or_else(|| self.attribute("data_base64"));
        match read {
            ReadAs::Envelope => self.envelope.clone(),
            ReadAs::Data => data().cloned().unwrap_or_default(),
            ReadAs::Raw => match data() {
                None => string(""),
                Some(text @ Value::TStr(_)) => text.clone(),
                Some(value) => string(&base::value::to_json_string(value)),
            },
        }
    }

    /// The row to append. `number` counts the events that `run` has emitted.
    #[must_use]
    pub fn row(
        &self,
        namespace: &Namespace,
        run: Option<RunId>,
        number: u64,
        at: Timestamp,
    ) -> EventRow {
        EventRow {
            position: 0,
            namespace: namespace.clone(),
            source: self.text("source").to_owned(),
            id: self.id().to_owned(),
            kind: self.kind().to_owned(),
            subject: self.attribute("subject").and_then(as_str).map(str::to_owned),
            run,
            number,
            at,
            event: Bytes::from(to_json(&self.envelope)),
        }
    }

    /// One that was checked before it was written down.
    pub fn of_bytes(bytes: &[u8]) -> Result<Self, base::value::ValueError> {
        Ok(Self { envelope: base::value::parse(bytes)? })
    }

    /// One that was checked before it was written down.
    pub(crate) fn of_envelope(envelope: Value) -> Self {
        Self { envelope }
    }
}

impl Incoming {
    pub fn of_row(row: &EventRow) -> Result<Self, base::value::ValueError> {
        Ok(Self {
            position: row.position,
            kind: row.kind.as_str().into(),
            run: row.run,
            number: row.number,
            event: Event::of_bytes(&row.event)?,
        })
    }

    /// Whether it tells of the life of a run or task.
    #[must_use]
    pub fn is_lifecycle(&self) -> bool {
        self.kind.starts_with(LIFECYCLE)
    }
}

/// The id of the event of that number that a run emits: it follows from where, so that a crash cannot
/// double it. Those of one run lie side by side in the store's index of ids, and not each on a page of
/// its own.
#[must_use]
pub fn emitted_id(run: RunId, number: u64) -> String {
    format!("{run}-{number}")
}

/// The same in runs of older semantics.
#[must_use]
pub fn emitted_id_scattered(run: RunId, activation: &Activation) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"event");
    hasher.update(run.as_uuid().as_bytes());
    hasher.update(activation.as_str().as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

/// Attributes that have no place of their own.
fn rest(given: &Map) -> Result<Vec<(&str, &Value)>, EventError> {
    const PLACED: [&str; 7] =
        ["specversion", "id", "source", "type", "time", "data", "data_base64"];
    let mut rest = Vec::new();
    for (name, value) in given.iter() {
        let name = as_str(name).unwrap_or_default();
        if PLACED.contains(&name) || matches!(value, Value::Null) {
            continue;
        }
        let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(EventError::Name(name.chars().take(NAME_SHOWN_MAX).collect()));
        }
        rest.push((name, value));
    }
    Ok(rest)
}

fn attribute(name: &str, value: &Value) -> Result<(), EventError> {
    let text = match value {
        Value::TStr(_) => as_str(value).unwrap_or_default(),
        Value::Bool(_) if is_extension(name) => return Ok(()),
        Value::Num(_) if is_extension(name) => {
            let fits = as_i64(value).is_some_and(|number| i32::try_from(number).is_ok());
            return if fits {
                Ok(())
            } else {
                Err(EventError::Value(
                    name.into(),
                    "is a number beyond 32 bits, or not a whole one",
                ))
            };
        }
        _ => return Err(EventError::Type(name.into(), kind(value))),
    };
    let is_uri = || !text.is_empty() && !text.contains(char::is_whitespace);
    let wrong = match name {
        "id" | "type" | "subject" if text.is_empty() => "is empty",
        "source" | "dataschema" if !is_uri() => "is not a URI",
        "time" if Timestamp::parse(text).is_none() => "is not a time as RFC 3339 has it",
        _ if text.chars().any(char::is_control) => "has a control character",
        _ => return Ok(()),
    };
    Err(EventError::Value(name.into(), wrong))
}

fn is_extension(name: &str) -> bool {
    !["specversion", "id", "source", "type", "time", "subject", "datacontenttype", "dataschema"]
        .contains(&name)
}

/// The data, out of base64 where it is JSON or text.
fn data(value: &Value, content: Option<&str>) -> Result<Option<(&'static str, Value)>, EventError> {
    let encoded = match (get(value, "data"), get(value, "data_base64")) {
        (Some(_), Some(_)) => return Err(EventError::TwoData),
        (Some(data), None) => return Ok(Some(("data", data.clone()))),
        (None, Some(encoded)) => encoded,
        (None, None) => return Ok(None),
    };
    let wrong = EventError::Value("data_base64".into(), "is not base64");
    let text = as_str(encoded).ok_or(wrong.clone())?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| wrong)?;
    Ok(Some(of_content(bytes, content, encoded)))
}

fn of_content(bytes: Vec<u8>, content: Option<&str>, encoded: &Value) -> (&'static str, Value) {
    if content.is_none_or(is_json)
        && let Ok(data) = base::value::parse(&bytes)
    {
        return ("data", data);
    }
    match String::from_utf8(bytes) {
        Ok(text) if content.is_some_and(is_text) => ("data", string(&text)),
        _ => ("data_base64", encoded.clone()),
    }
}

/// Bytes of a media type as `data` where they can be read, else as `data_base64`.
pub fn of_bytes(
    bytes: &[u8],
    content: Option<&str>,
) -> Result<(&'static str, Value), base::value::ValueError> {
    if content.is_none_or(is_json) {
        return Ok(("data", base::value::parse(bytes)?));
    }
    let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
    Ok(of_content(bytes.to_vec(), content, &string(&encoded)))
}

/// Whether a media type is JSON.
#[must_use]
pub fn is_json(content: &str) -> bool {
    let essence = content.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}

/// Whether a media type is text.
#[must_use]
pub fn is_text(content: &str) -> bool {
    let essence = content.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.starts_with("text/") || essence == "application/xml" || essence.ends_with("+xml")
}

#[cfg(test)]
mod tests {
    use base::value::{parse, to_json_string};

    use super::*;

    fn read(json: &str) -> Result<String, String> {
        let value = parse(json.as_bytes()).expect("a test's own JSON");
        let defaults = Defaults {
            id: &|| "new".to_owned(),
            source: Some("/site"),
            time: Timestamp::from_millis(0),
        };
        let event = Event::parse(&value, &defaults).map_err(|wrong| wrong.to_string())?;
        Ok(to_json_string(event.envelope()))
    }

    /// Mutation: let anybody send what only the engine tells.
    #[test]
    fn nobody_else_tells_of_the_life_of_runs() {
        let defaults = Defaults {
            id: &|| "new".to_owned(),
            source: Some("/site"),
            time: Timestamp::from_millis(0),
        };
        let sent = |kind: &str| Event::sent(&object([("type", string(kind))]), &defaults);
        let forged = sent("io.serverlessworkflow.workflow.faulted.v1");
        assert_eq!(forged, Err(EventError::Reserved));
        assert!(sent("io.serverless").is_ok());
    }

    /// Mutation: keep a null attribute, drop an extension, or take the defaults over what is given.
    #[test]
    fn what_is_left_out_is_filled_in() {
        assert_eq!(
            read(r#"{"type":"a","subject":null}"#).expect("an event"),
            r#"{"specversion":"1.0","id":"new","source":"/site","type":"a","time":"1970-01-01T00:00:00.000Z"}"#
        );
        assert_eq!(
            read(r#"{"data":{"x":1},"type":"a","id":"7","source":"b:c","time":"2026-07-01T00:00:00+02:00","prio":3,"ok":true}"#)
                .expect("an event"),
            r#"{"specversion":"1.0","id":"7","source":"b:c","type":"a","time":"2026-07-01T00:00:00+02:00","prio":3,"ok":true,"data":{"x":1}}"#
        );
    }

    /// Mutation: leave any of the rules out.
    #[test]
    fn what_is_no_event_is_refused_with_the_reason() {
        let check = |json: &str, expected: &str| {
            let wrong = read(json).expect_err(json);
            assert!(wrong.contains(expected), "{json}: {wrong}");
        };
        check("[]", "a JSON object, not an array");
        check("{}", "`type` is missing");
        check(r#"{"type":""}"#, "`type` is empty");
        check(r#"{"type":7}"#, "`type` is a number");
        check(r#"{"type":"a","specversion":"0.3"}"#, "must be `1.0`");
        check(r#"{"type":"a","source":"a b"}"#, "not a URI");
        check(r#"{"type":"a","time":"noon"}"#, "not a time");
        check(r#"{"type":"a","Ext":"x"}"#, "small letters");
        check(r#"{"type":"a","ext":{}}"#, "an object");
        check(r#"{"type":"a","ext":1.5}"#, "32 bits");
        check(r#"{"type":"a","ext":"\u001b"}"#, "control character");
        check(r#"{"type":"a","data":1,"data_base64":"MQ=="}"#, "exclude");
        check(r#"{"type":"a","data_base64":"%"}"#, "not base64");
        let large = format!(r#"{{"type":"a","data":"{}"}}"#, "x".repeat(EVENT_BYTES_MAX));
        check(&large, "bytes");
        check(r#"{"type":"a","subject":true}"#, "`subject` is a");
        let around = read(r#"{"type":"a","data":""}"#).expect("an event").len();
        let sized = |bytes: usize| {
            read(&format!(r#"{{"type":"a","data":"{}"}}"#, "x".repeat(bytes - around)))
        };
        assert_eq!(sized(EVENT_BYTES_MAX).expect("just small enough").len(), EVENT_BYTES_MAX);
        sized(EVENT_BYTES_MAX + 1).expect_err("one more");
    }

    /// Mutation: hand on base64 where a workflow could read the data, or guess that bytes are text.
    #[test]
    fn data_in_base64_is_read_where_it_can_be() {
        let data = |content: &str, encoded: &str| {
            let json = format!(r#"{{"type":"a",{content}"data_base64":"{encoded}"}}"#);
            let value = parse(read(&json).expect("an event").as_bytes()).expect("JSON");
            let event = Event::of_envelope(value);
            to_json_string(&event.read(ReadAs::Data))
        };
        assert_eq!(data("", "eyJhIjoxfQ=="), r#"{"a":1}"#);
        assert_eq!(data(r#""datacontenttype":"text/plain","#, "aGk="), r#""hi""#);
        assert_eq!(data(r#""datacontenttype":"image/png","#, "aGk="), r#""aGk=""#);
        assert_eq!(data("", "/w=="), r#""/w==""#);
    }

    /// Mutation: take a type that only begins like JSON for it, or text for bytes.
    #[test]
    fn bytes_are_read_by_their_media_type() {
        let read = |content: Option<&str>, bytes: &[u8]| {
            let (name, data) = of_bytes(bytes, content).expect("they can be read");
            format!("{name} {}", to_json_string(&data))
        };
        for json in ["application/json", "text/json", "application/vnd.acme+JSON; charset=utf-8"] {
            assert!(is_json(json));
            assert_eq!(read(Some(json), br#"{"a":1}"#), r#"data {"a":1}"#, "{json}");
            assert!(of_bytes(b"{", Some(json)).is_err(), "{json}");
        }
        assert_eq!(read(None, b"[1]"), "data [1]");
        for text in ["text/plain", "application/xml", "image/svg+xml"] {
            assert!(!is_json(text));
            assert_eq!(read(Some(text), b"[1]"), r#"data "[1]""#, "{text}");
        }
        assert_eq!(read(Some("application/jsonl"), b"[1]"), r#"data_base64 "WzFd""#);
        assert_eq!(read(Some("text/plain"), b"\xff"), r#"data_base64 "/w==""#);
    }

    /// Mutation: give the text of a string its quotes, or an absent one `null`.
    #[test]
    fn raw_data_is_text() {
        let raw = |json: &str| {
            let value = parse(json.as_bytes()).expect("JSON");
            as_str(&Event::of_envelope(value).read(ReadAs::Raw)).expect("text").to_owned()
        };
        assert_eq!(raw(r#"{"data":{"a":1}}"#), r#"{"a":1}"#);
        assert_eq!(raw(r#"{"data":"x"}"#), "x");
        assert_eq!(raw("{}"), "");
    }
}
