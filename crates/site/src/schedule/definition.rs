//! One trigger of a schedule, as it is kept: described in `docs/spec/schedule.md`.

use base::value::Json;
use base::{Duration, Value};
use serde::{Deserialize, Serialize};
use spec::cron::Cron;
use spec::tree::ReadAs;
use spec::tree::schedule::{Missed, Schedule, Trigger};

const TYPE: &str = "isonomy.schedule";

/// The version that this binary writes, and the highest that it reads.
const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Definition {
    pub beat: Beat,
    pub missed: Missed,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Beat {
    Every(Duration),
    Cron(Cron),
    After(Duration),
    On(Listening),
}

/// Events that begin runs, and how far they were looked at.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Listening {
    /// As the document has it.
    pub events: Value,
    pub read: ReadAs,
    /// Every event up to this position is done: it has begun a run, is pending, or is not meant.
    pub upto: u64,
    /// Sets of events that are not complete yet, oldest first: the positions of what they hold.
    pub pending: Vec<Vec<u64>>,
}

impl Listening {
    /// Whether it listens to the same, however far either has come.
    pub(crate) fn is_to(&self, events: &Value, read: ReadAs) -> bool {
        self.events == *events && self.read == read
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a stored schedule cannot be read: {0}")]
pub(crate) struct DefinitionError(String);

#[derive(Serialize, Deserialize)]
struct Doc {
    #[serde(rename = "type")]
    document: String,
    v: u32,
    /// Milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    every: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cron: Option<String>,
    /// Milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    read: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upto: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pending: Vec<Vec<u64>>,
    missed: String,
}

/// The triggers of a schedule, each with its name. One by events begins behind `newest`.
pub(crate) fn definitions(schedule: &Schedule, newest: u64) -> Vec<(&'static str, Definition)> {
    let definition = |trigger: &Trigger| {
        let mut missed = schedule.missed;
        let beat = match trigger {
            Trigger::Every(interval) => Beat::Every(*interval),
            Trigger::Cron(cron) => Beat::Cron(cron.clone()),
            Trigger::After(delay) => Beat::After(*delay),
            Trigger::On(on) => {
                // An event is not missed: it is there when the site comes back.
                missed = Missed::default();
                let (events, pending) = (on.events.clone(), Vec::new());
                Beat::On(Listening { events, read: on.read, upto: newest, pending })
            }
        };
        (trigger.name(), Definition { beat, missed })
    };
    schedule.triggers.iter().map(definition).collect()
}

impl Definition {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut doc = Doc {
            document: TYPE.to_owned(),
            v: VERSION,
            every: None,
            cron: None,
            after: None,
            on: None,
            read: None,
            upto: None,
            pending: Vec::new(),
            missed: self.missed.name().to_owned(),
        };
        match &self.beat {
            Beat::Every(interval) => doc.every = Some(*interval),
            Beat::Cron(cron) => doc.cron = Some(cron.to_string()),
            Beat::After(delay) => doc.after = Some(*delay),
            Beat::On(Listening { events, read, upto, pending }) => {
                doc.on = Some(Json(events.clone()));
                doc.read = Some(read.name().to_owned());
                doc.upto = Some(*upto);
                doc.pending.clone_from(pending);
            }
        }
        serde_json::to_vec(&doc).expect("our own types have JSON text")
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DefinitionError> {
        let wrong = |what: String| DefinitionError(what);
        let doc: Doc = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        if doc.document != TYPE || doc.v > VERSION {
            let what =
                format!("it is `{}` of version {}, and known is {VERSION}", doc.document, doc.v);
            return Err(wrong(what));
        }
        let beat = match (doc.every, doc.cron, doc.after, doc.on) {
            (Some(interval), None, None, None) if interval > Duration::ZERO => {
                Beat::Every(interval)
            }
            (None, Some(text), None, None) => {
                Beat::Cron(Cron::parse(&text).map_err(|error| wrong(error.what))?)
            }
            (None, None, Some(delay), None) => Beat::After(delay),
            (None, None, None, Some(Json(events))) => {
                let read = doc.read.as_deref().and_then(ReadAs::parse);
                let (Some(read), Some(upto)) = (read, doc.upto) else {
                    return Err(wrong(
                        "it does not say how events are read, or up to where".into(),
                    ));
                };
                Beat::On(Listening { events, read, upto, pending: doc.pending })
            }
            _ => return Err(wrong("it does not say one time".to_owned())),
        };
        let missed = Missed::parse(&doc.missed);
        let missed = missed.ok_or_else(|| wrong("`missed` has an unknown value".to_owned()))?;
        Ok(Self { beat, missed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLES: [&str; 4] = [
        include_str!("../../../../docs/spec/samples/v1/schedule-every.json"),
        include_str!("../../../../docs/spec/samples/v1/schedule-cron.json"),
        include_str!("../../../../docs/spec/samples/v1/schedule-after.json"),
        include_str!("../../../../docs/spec/samples/v1/schedule-on.json"),
    ];

    /// Mutation: rename a field, or write milliseconds as seconds.
    #[test]
    fn the_samples_are_read_and_written_as_they_are() {
        for sample in SAMPLES {
            let read = Definition::decode(sample.as_bytes()).expect(sample);
            assert_eq!(String::from_utf8(read.encode()).expect("text"), sample.trim_end());
        }
    }

    /// Mutation: take the first of two times, or read a newer version.
    #[test]
    fn what_says_no_one_time_is_refused() {
        let good = SAMPLES[0];
        for (from, to) in [
            ("\"v\":1", "\"v\":2"),
            ("isonomy.schedule", "isonomy.record"),
            ("\"missed\":\"skip\"", "\"missed\":\"never\""),
            ("\"every\":", "\"after\":1,\"every\":"),
            ("\"every\":", "\"other\":"),
            ("\"every\":3600000", "\"every\":0"),
            ("\"every\":", "\"on\":{},\"read\":\"data\",\"upto\":1,\"every\":"),
            ("\"every\":3600000", "\"on\":{},\"upto\":1"),
            ("\"every\":3600000", "\"on\":{},\"read\":\"data\""),
        ] {
            assert!(good.contains(from), "{from}");
            assert!(Definition::decode(good.replace(from, to).as_bytes()).is_err(), "{to}");
        }
        assert!(
            Definition::decode(good.replace("every", "unknown\":1,\"every").as_bytes()).is_ok()
        );
    }
}
