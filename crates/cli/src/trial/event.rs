//! Events that a case sends, read from its file. When each is sent follows in `tell`.

use base::value::from_serde;
use base::{Duration, Timestamp};
use engine::event::{Defaults, Event, EventError};
use serde_json::Value;
use serde_saphyr::Spanned;

use super::file::{Mistake, duration, line_of};

/// What an event comes from that does not say.
const SOURCE: &str = "/test";

/// Events of one case. A longer flood is made by a workflow of its own.
const EVENTS_MAX: usize = 10_000;

/// An event on its way to the workflow under test.
#[derive(Debug, Clone)]
pub struct Send {
    /// Where it stands in its list, from 1.
    pub number: usize,
    pub kind: String,
    /// The task that must listen before it is sent.
    pub when: Option<String>,
    /// Skipped time after the event before it, or after that task listens.
    pub after: Duration,
    /// Attributes and data. That it is an event was checked; what is left out is filled in when it
    /// is sent.
    given: base::Value,
}

impl Send {
    /// As messages name it.
    #[must_use]
    pub fn said(&self) -> String {
        format!("event {} (`{}`)", self.number, self.kind)
    }

    /// The event, as it comes at that time.
    pub fn event(&self, now: Timestamp) -> Result<Event, EventError> {
        event(&self.given, self.number, now)
    }
}

pub fn read(found: Vec<Spanned<Value>>, at: Timestamp, wrong: &mut Vec<Mistake>) -> Vec<Send> {
    if let Some(over) = found.get(EVENTS_MAX) {
        let what = format!("a case has at most {EVENTS_MAX} events");
        wrong.push(Mistake { line: line_of(over), what, hint: None });
        return Vec::new();
    }
    let read = (1..).zip(found).map(|(number, found)| send(found, number, at));
    read.filter_map(|send| send.map_err(|mistake| wrong.push(mistake)).ok()).collect()
}

fn send(found: Spanned<Value>, number: usize, at: Timestamp) -> Result<Send, Mistake> {
    let line = line_of(&found);
    let wrong = |what: String, hint| Err(Mistake { line, what, hint });
    let Value::Object(mut given) = found.value else {
        let hint = Some("write for instance `{type: com.example.placed, data: {order: 7}}`");
        return wrong("an event is an object".to_owned(), hint);
    };
    let when = match given.remove("when") {
        None => None,
        Some(Value::String(task)) => Some(task),
        Some(_) => return wrong("`when` is the name of a task".to_owned(), None),
    };
    let after = duration(given.remove("after"), "after", line)?.unwrap_or(Duration::ZERO);
    let given = from_serde(&Value::Object(given));
    match event(&given, number, at) {
        Ok(event) => Ok(Send { number, kind: event.kind().to_owned(), when, after, given }),
        Err(cause) => wrong(format!("this is no event: {cause}"), None),
    }
}

fn event(given: &base::Value, number: usize, time: Timestamp) -> Result<Event, EventError> {
    let defaults = Defaults { id: &|| format!("event-{number}"), source: Some(SOURCE), time };
    Event::parse(given, &defaults)
}
