//! How often a request was tried again, and how long the run waited before.

use std::collections::BTreeMap;

use jiff::Timestamp;
use wire::FollowEvent;

/// By the number of the attempt that followed.
#[derive(Debug, Default)]
pub struct Waits(BTreeMap<u32, Wait>);

#[derive(Debug)]
struct Wait {
    times: u64,
    delay_ms: i64,
}

impl Waits {
    pub fn tell(&mut self, event: &FollowEvent) {
        let (Some(attempt), Some(until), "retrying") =
            (event.attempt, &event.until, event.kind.as_str())
        else {
            return;
        };
        let (Ok(at), Ok(until)) = (event.at.parse::<Timestamp>(), until.parse::<Timestamp>())
        else {
            return;
        };
        let delay_ms = until.as_millisecond() - at.as_millisecond();
        self.0.entry(attempt).or_insert(Wait { times: 0, delay_ms }).times += 1;
    }

    /// Such as `51 after 20 ms, 7 after 40 ms`.
    #[must_use]
    pub fn words(&self) -> String {
        let words =
            self.0.values().map(|wait| format!("{} after {} ms", wait.times, wait.delay_ms));
        words.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Mutation: count other events, or mix the attempts.
    #[test]
    fn waits_are_told_by_their_length() {
        let mut waits = Waits::default();
        for (kind, attempt, until) in [
            ("retrying", 2, "08:00:00.020"),
            ("retrying", 3, "08:00:00.040"),
            ("retrying", 2, "08:00:00.020"),
            ("waiting", 2, "09:00:00"),
        ] {
            let event = json!({
                "sequence": 1, "at": "2027-01-15T08:00:00Z", "state": "running", "kind": kind,
                "attempt": attempt, "until": format!("2027-01-15T{until}Z"),
            });
            waits.tell(&serde_json::from_value(event).expect("an event"));
        }
        assert_eq!(waits.words(), "2 after 20 ms, 1 after 40 ms");
    }
}
