//! What is kept of a stretch of a journal whose records are forgotten: when it was, and every decision
//! of the gate. Described in `docs/spec/journal.md`.

use std::collections::BTreeMap;

use base::Timestamp;
use memchr::memmem;
use serde::{Deserialize, Serialize};
use store::{BlobId, Sequence};

use super::{FormatError, RecordDoc, VERSION, read};
use crate::effect::Decision;

pub const STRETCH_TYPE: &str = "isonomy.stretch";

/// A stretch of forgotten records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    #[serde(rename = "type")]
    kind: String,
    v: u32,
    pub first: Sequence,
    pub last: Sequence,
    /// When the first and the last one were written.
    pub from: Timestamp,
    pub to: Timestamp,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decided>,
}

/// Equal decisions of a stretch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    pub allowed: bool,
    pub rule: String,
    pub destination: String,
    pub count: u64,
    /// The first and the last record that had it.
    pub first: Sequence,
    pub last: Sequence,
    pub from: Timestamp,
    pub to: Timestamp,
}

/// Puts a stretch together, record by record.
#[derive(Debug, Default)]
pub struct Gathering {
    span: Option<(Sequence, Timestamp, Sequence, Timestamp)>,
    decisions: BTreeMap<(bool, String, String), Decided>,
}

impl Gathering {
    /// Adds a record's bytes.
    pub fn add(&mut self, record: &[u8]) -> Result<(), FormatError> {
        let doc = RecordDoc::parse(record)?;
        let (sequence, at) = (doc.sequence(), doc.at());
        let (first, from) = self.span.map_or((sequence, at), |(first, from, ..)| (first, from));
        self.span = Some((first, from, sequence, at));
        // A crossing of a process is told when it is first asked for, and again with its count.
        if let Some(crossed) = doc.crossed() {
            self.decided(crossed.allowed, &crossed.rule, &crossed.destination, 0, sequence, at);
        }
        if let Some(Decision { allowed, rule, destination, crossings }) = doc.decision() {
            self.decided(*allowed, rule, destination, 1, sequence, at);
            for it in crossings {
                self.decided(it.allowed, &it.rule, &it.destination, it.count, sequence, at);
            }
        }
        Ok(())
    }

    fn decided(
        &mut self,
        allowed: bool,
        rule: &str,
        destination: &str,
        count: u64,
        sequence: Sequence,
        at: Timestamp,
    ) {
        let key = (allowed, rule.to_owned(), destination.to_owned());
        let decided = self.decisions.entry(key).or_insert_with(|| Decided {
            allowed,
            rule: rule.to_owned(),
            destination: destination.to_owned(),
            count: 0,
            first: sequence,
            last: sequence,
            from: at,
            to: at,
        });
        decided.count += count;
        (decided.last, decided.to) = (sequence, at);
    }

    /// `None` where there was no record.
    #[must_use]
    pub fn stretch(self) -> Option<Stretch> {
        let (first, from, last, to) = self.span?;
        let mut decisions: Vec<Decided> = self.decisions.into_values().collect();
        decisions.sort_by_key(|decided| decided.first);
        // Asked for at a door, and cut off before its count was told.
        decisions.iter_mut().for_each(|decided| decided.count = decided.count.max(1));
        let (kind, v) = (STRETCH_TYPE.to_owned(), VERSION);
        Some(Stretch { kind, v, first, last, from, to, decisions })
    }
}

impl Stretch {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("our own types have JSON text")
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        read(bytes, STRETCH_TYPE)
    }
}

/// How a reference to a blob begins in a document of ours.
const REFERENCE: &str = r#""blob":"b3:"#;

/// Hexadecimal digits of a digest.
const DIGITS: usize = 64;

/// Every blob that a document of ours may refer to. What only looks like a reference, in a value of
/// somebody's, is among them: such a blob is kept for nothing, or is not there.
#[must_use]
pub fn references(document: &[u8]) -> Vec<BlobId> {
    let mut found = Vec::new();
    for at in memmem::find_iter(document, REFERENCE) {
        let digits = document.get(at + REFERENCE.len()..).and_then(|rest| rest.get(..DIGITS));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let digest = digits.and_then(|digits| format!("b3:{digits}").parse::<BlobId>().ok());
        if let Some(digest) = digest.filter(|digest| !found.contains(digest)) {
            found.push(digest);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Digest;

    fn record(sequence: u64, happened: &str) -> Vec<u8> {
        format!(
            r#"{{"type":"isonomy.record","v":1,"seq":{sequence},"at":"2027-01-15T08:00:0{sequence}.000Z","happened":{happened},"control":"0000000000000000"}}"#
        )
        .into_bytes()
    }

    fn performed(allowed: bool, destination: &str, more: &str) -> String {
        format!(
            r#"{{"kind":"performed","effect":1,"result":{{"ok":{{"value":1}}}},"certainty":"definite","decision":{{"allowed":{allowed},"rule":"r","destination":"{destination}"{more}}}}}"#
        )
    }

    /// Mutation: count the first asking at a door twice, keep only what was allowed, or lose when it was.
    #[test]
    fn equal_decisions_of_a_stretch_are_one() {
        let mut gathering = Gathering::default();
        let door = r#","crossings":[{"allowed":true,"rule":"r","destination":"c","count":3}]"#;
        let crossed = r#"{"kind":"crossed","effect":1,"allowed":true,"rule":"r","destination":"c","count":1}"#;
        let cut = r#"{"kind":"crossed","effect":1,"allowed":false,"rule":"r","destination":"d","count":1}"#;
        for (sequence, happened) in [
            (2, performed(true, "a", "")),
            (3, performed(false, "a", "")),
            (4, crossed.to_owned()),
            (5, performed(true, "a", door)),
            (6, cut.to_owned()),
            (7, r#"{"kind":"continued"}"#.to_owned()),
        ] {
            gathering.add(&record(sequence, &happened)).expect("a record");
        }
        let stretch = gathering.stretch().expect("records were there");
        assert_eq!((stretch.first, stretch.last), (Sequence(2), Sequence(7)));
        assert_eq!(stretch.from.to_string(), "2027-01-15T08:00:02.000Z");
        assert_eq!(stretch.to.to_string(), "2027-01-15T08:00:07.000Z");
        let told: Vec<_> = stretch
            .decisions
            .iter()
            .map(|it| (it.allowed, it.destination.as_str(), it.count, it.first.0, it.last.0))
            .collect();
        let expected = [
            (true, "a", 2, 2, 5),
            (false, "a", 1, 3, 3),
            (true, "c", 3, 4, 5),
            (false, "d", 1, 6, 6),
        ];
        assert_eq!(told, expected);
        assert_eq!(Stretch::parse(&stretch.encode()), Ok(stretch));
    }

    /// Mutation: look for the first one only, or take what is cut off.
    #[test]
    fn references_are_found_wherever_they_stand() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let text = format!(
            r#"{{"x":{{"blob":{{"blob":"{a}","bytes":1}}}},"y":[{{"blob":"{b}"}},{{"blob":"{a}"}}],"z":{{"blob":"b3:12"}}}}"#
        );
        assert_eq!(references(text.as_bytes()), [a, b]);
        assert_eq!(references(b"{}"), []);
    }
}
