//! Answers that are given again to the same question: which is the same, and which are kept.
//!
//! What is kept lies in memory alone, and is lost with the process.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use base::{Digest, Timestamp};
use serde_json::Value;

/// Of all answers that a site keeps. At a kilobyte each they are sixty thousand.
pub const CACHE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Of one of them, with what it takes beside its bytes. A longer one would drive out too many.
pub const CACHED_BYTES_MAX: usize = 1024 * 1024;

/// What each takes beside its bytes: its key in two places, and its numbers.
const SLOT_BYTES: usize = 256;

/// Members of a request that change nothing about its answer: who asks, and in which form it comes.
const LEFT_OUT: [&str; 6] =
    ["model", "user", "safety_identifier", "prompt_cache_key", "stream", "stream_options"];

/// The least recently used ones go first.
#[derive(Debug)]
pub struct Cache<T> {
    slots: HashMap<Digest, Slot<T>>,
    /// By when they were used last.
    order: BTreeMap<u64, Digest>,
    uses: u64,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Slot<T> {
    kept: T,
    at: Timestamp,
    bytes: usize,
    used: u64,
}

impl<T: Clone> Cache<T> {
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { slots: HashMap::new(), order: BTreeMap::new(), uses: 0, bytes: 0, bytes_max }
    }

    /// What is kept, and since when.
    pub fn get(&mut self, key: &Digest) -> Option<(T, Timestamp)> {
        let slot = self.slots.get_mut(key)?;
        self.order.remove(&slot.used);
        self.uses += 1;
        slot.used = self.uses;
        self.order.insert(self.uses, *key);
        Some((slot.kept.clone(), slot.at))
    }

    /// Keeps an answer of so many bytes, and lets go of those that it needs the room of.
    pub fn put(&mut self, key: Digest, kept: T, bytes: usize, now: Timestamp) {
        self.remove(&key);
        let bytes = bytes.saturating_add(SLOT_BYTES);
        if bytes > CACHED_BYTES_MAX.min(self.bytes_max) {
            return;
        }
        while self.bytes + bytes > self.bytes_max {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.remove(&oldest);
        }
        self.uses += 1;
        self.order.insert(self.uses, key);
        self.bytes += bytes;
        self.slots.insert(key, Slot { kept, at: now, bytes, used: self.uses });
    }

    pub fn remove(&mut self, key: &Digest) {
        if let Some(slot) = self.slots.remove(key) {
            self.order.remove(&slot.used);
            self.bytes -= slot.bytes;
        }
    }
}

/// What tells one question from another: of JSON only what it says counts, and not how it is written. None
/// where it is no JSON object.
#[must_use]
pub fn same_question(json: &[u8], rest: &[u8], about: &[&str]) -> Option<Digest> {
    let Value::Object(mut members) = serde_json::from_slice(json).ok()? else { return None };
    for name in LEFT_OUT {
        members.remove(name);
    }
    let mut text = String::with_capacity(json.len() + 128);
    for part in about {
        // With its length, so that no two lists of texts are one text.
        write!(text, "{}:{part},", part.len()).expect("a text takes all");
    }
    canonical(&Value::Object(members), &mut text);
    let mut bytes = text.into_bytes();
    // Nothing of JSON has this byte.
    bytes.push(0);
    bytes.extend_from_slice(rest);
    Some(Digest::of(&bytes))
}

/// Members in the order of their names, and no blanks.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (name, value) in members {
                write!(out, "{}:", Value::from(name.as_str())).expect("a text takes all");
                canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            write!(out, "{value}").expect("a text takes all");
        }
    }
}

#[cfg(test)]
mod tests {
    use base::Duration;

    use super::*;

    fn key(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(0).plus(Duration::from_secs(seconds))
    }

    /// Mutation: let go of the one that came first though it was used, or forget what was let go of.
    #[test]
    fn the_least_recently_used_answer_makes_room() {
        let mut cache = Cache::new(2 * (1_000 + SLOT_BYTES));
        cache.put(key("a"), "a", 1_000, at(1));
        cache.put(key("b"), "b", 1_000, at(2));
        assert_eq!(cache.get(&key("a")), Some(("a", at(1))));
        cache.put(key("c"), "c", 1_000, at(3));
        assert_eq!(cache.get(&key("b")), None);
        assert_eq!(cache.get(&key("a")), Some(("a", at(1))));
        cache.put(key("a"), "a again", 1_000, at(4));
        assert_eq!(cache.get(&key("a")), Some(("a again", at(4))));
        assert_eq!(cache.get(&key("c")), Some(("c", at(3))), "the same one takes no more room");
        cache.put(key("d"), "d", 3_000, at(5));
        assert_eq!(cache.get(&key("d")), None, "it is larger than all");
        for n in 0..100 {
            cache.put(key(&n.to_string()), "n", 900, at(6));
        }
        assert!(cache.bytes <= cache.bytes_max);
        assert_eq!((cache.slots.len(), cache.order.len()), (2, 2));
    }

    /// Mutation: keep what is larger than one may be.
    #[test]
    fn one_answer_does_not_drive_out_all() {
        let mut cache = Cache::new(CACHE_BYTES_MAX);
        cache.put(key("a"), (), CACHED_BYTES_MAX - SLOT_BYTES + 1, at(0));
        assert_eq!(cache.get(&key("a")), None);
        cache.put(key("a"), (), CACHED_BYTES_MAX - SLOT_BYTES, at(0));
        assert_eq!(cache.get(&key("a")), Some(((), at(0))));
    }

    /// Mutation: let the order of members count, or leave out one that changes the answer.
    #[test]
    fn the_same_question_is_known_however_it_is_written() {
        let of = |json: &str| same_question(json.as_bytes(), b"", &["sales", "chat"]);
        let one =
            of(r#"{"model":"a","messages":[{"role":"user","content":"hi"}],"temperature":0}"#);
        assert!(one.is_some());
        let same = r#"{ "temperature":0, "messages":[{"content":"hi","role":"user"}],
            "model":"b", "user":"ada", "stream":false, "stream_options":null }"#;
        assert_eq!(of(same), one);
        for other in [
            r#"{"messages":[{"role":"user","content":"hi "}],"temperature":0}"#,
            r#"{"messages":[{"role":"user","content":"hi"}],"temperature":1}"#,
            r#"{"messages":[{"role":"user","content":"hi"}],"temperature":0,"n":2}"#,
            r#"{"messages":[{"role":"user","content":"hi","user":"ada"}],"temperature":0}"#,
        ] {
            assert_ne!(of(other), one, "{other}");
        }
        assert_eq!(of("[]"), None);
        let json = br#"{"inputs":[]}"#;
        assert_ne!(same_question(json, b"a", &[]), same_question(json, b"b", &[]));
        assert_ne!(same_question(json, b"", &["ab", "c"]), same_question(json, b"", &["a", "bc"]));
    }
}
