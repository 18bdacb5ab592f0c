//! One trigger of a schedule, as it is kept: described in `docs/spec/schedule.md`.

use base::Duration;
use serde::{Deserialize, Serialize};
use spec::cron::Cron;
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
    missed: String,
}

/// The triggers of a schedule that are about time, each with its name.
pub(crate) fn timed(schedule: &Schedule) -> Vec<(&'static str, Definition)> {
    let missed = schedule.missed;
    let timed = schedule.triggers.iter().filter_map(|trigger| {
        let beat = match trigger {
            Trigger::Every(interval) => Beat::Every(*interval),
            Trigger::Cron(cron) => Beat::Cron(cron.clone()),
            Trigger::After(delay) => Beat::After(*delay),
            // Kept by whoever matches events.
            Trigger::On(_) => return None,
        };
        Some((trigger.name(), Definition { beat, missed }))
    });
    timed.collect()
}

impl Definition {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut doc = Doc {
            document: TYPE.to_owned(),
            v: VERSION,
            every: None,
            cron: None,
            after: None,
            missed: self.missed.name().to_owned(),
        };
        match &self.beat {
            Beat::Every(interval) => doc.every = Some(*interval),
            Beat::Cron(cron) => doc.cron = Some(cron.to_string()),
            Beat::After(delay) => doc.after = Some(*delay),
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
        let beat = match (doc.every, doc.cron, doc.after) {
            (Some(interval), None, None) if interval > Duration::ZERO => Beat::Every(interval),
            (None, Some(text), None) => {
                Beat::Cron(Cron::parse(&text).map_err(|error| wrong(error.what))?)
            }
            (None, None, Some(delay)) => Beat::After(delay),
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

    const SAMPLES: [&str; 3] = [
        include_str!("../../../../docs/spec/samples/v1/schedule-every.json"),
        include_str!("../../../../docs/spec/samples/v1/schedule-cron.json"),
        include_str!("../../../../docs/spec/samples/v1/schedule-after.json"),
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
        ] {
            assert!(good.contains(from), "{from}");
            assert!(Definition::decode(good.replace(from, to).as_bytes()).is_err(), "{to}");
        }
        assert!(
            Definition::decode(good.replace("every", "unknown\":1,\"every").as_bytes()).is_ok()
        );
    }
}
