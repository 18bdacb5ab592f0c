//! Identifiers. Each kind of id is a type; on the wire it carries its kind as a prefix.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::clock::Random;
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {wanted}: expected `{prefix}` and a lower-case UUID")]
pub struct IdError {
    pub text: String,
    pub wanted: &'static str,
    pub prefix: &'static str,
}

fn parse(text: &str, prefix: &'static str, wanted: &'static str) -> Result<Uuid, IdError> {
    let wrong = || IdError { text: text.chars().take(80).collect(), wanted, prefix };
    let rest = text.strip_prefix(prefix).ok_or_else(wrong)?;
    let uuid = Uuid::try_parse(rest).map_err(|_| wrong())?;
    // One id, one spelling: braces, upper case and missing hyphens are refused.
    if uuid.hyphenated().to_string() != rest {
        return Err(wrong());
    }
    Ok(uuid)
}

/// A version 7 UUID: ordered by time, the rest random.
fn ordered(now: Timestamp, random: &dyn Random) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&random.u64().to_be_bytes());
    bytes[8..].copy_from_slice(&random.u64().to_be_bytes());
    let tail: &[u8; 10] = bytes[..10].try_into().expect("ten of sixteen bytes");
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, tail).into_uuid()
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $wanted:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            #[must_use]
            pub fn new(now: Timestamp, random: &dyn Random) -> Self {
                Self(ordered(now, random))
            }

            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            #[must_use]
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, self.0.hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse(text, $prefix, $wanted).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// A run of a workflow. Made by whoever starts it, so that starting twice is harmless.
    RunId, "run_", "a run id"
);
id!(
    /// One life of a store: new at `init` and at every restore, so that a copy is recognised.
    IncarnationId, "inc_", "an incarnation id"
);
id!(
    /// An entry of the site's own record of changes.
    EventId, "evt_", "an event id"
);

id!(
    /// An order of the hub to a site. Made by whoever gives it, so that giving it twice is harmless.
    OrderId, "ord_", "an order id"
);

id!(
    /// A request for orders, one for each site that is meant. Made by whoever asks, so that asking twice is
    /// harmless.
    RequestId, "req_", "a request id"
);

id!(
    /// One question to a model, as a client or a run has asked it. It says when.
    CallId, "call_", "a call id"
);

id!(
    /// What one effect of a run asks of other sites. It follows from the effect, so that asking twice is
    /// harmless.
    DispatchId, "dsp_", "a dispatch id"
);

/// Sixteen bytes that follow from these parts alone. They begin like `like`, so that lists show things of
/// one time near each other.
fn derived(context: &'static str, like: &Uuid, parts: &[&[u8]]) -> Uuid {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    bytes[..6].copy_from_slice(&like.as_bytes()[..6]);
    Uuid::new_v8(bytes)
}

impl IncarnationId {
    /// An order, or an entry, that is of this life: the same for the same parts.
    #[must_use]
    pub fn order(self, parts: &[&[u8]]) -> OrderId {
        let parts = [&[self.0.as_bytes().as_slice()], parts].concat();
        OrderId(derived("isonomy life order v1", &self.0, &parts))
    }
}

impl DispatchId {
    /// Of the effect with this key, in this run.
    #[must_use]
    pub fn of(run: RunId, key: &str) -> Self {
        Self(derived("isonomy dispatch v1", &run.0, &[run.0.as_bytes(), key.as_bytes()]))
    }

    /// The run that one site has begun for another in this dispatch. Each of the two, and the hub between
    /// them, works it out for itself.
    #[must_use]
    pub fn run(self, from: &str, to: &str) -> RunId {
        let parts = [self.0.as_bytes(), from.as_bytes(), to.as_bytes()];
        RunId(derived("isonomy dispatched run v1", &self.0, &parts))
    }

    /// An order, or an entry, that belongs to this dispatch: the same for the same parts.
    #[must_use]
    pub fn order(self, parts: &[&[u8]]) -> OrderId {
        let parts = [&[self.0.as_bytes().as_slice()], parts].concat();
        OrderId(derived("isonomy dispatch order v1", &self.0, &parts))
    }
}

impl RunId {
    /// The smallest id of this time: no id of an earlier one reaches it.
    #[must_use]
    pub fn first_at(at: Timestamp) -> Self {
        let millis = u64::try_from(at.as_millis()).unwrap_or(0);
        Self(Uuid::from_u64_pair(millis << 16, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    /// Mutation: drop the spelling check in `parse`.
    #[test]
    fn an_id_has_one_spelling() {
        let id = RunId::new(Timestamp::from_millis(1_800_000_000_000), &SystemRandom);
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in [
            id.to_string().to_uppercase(),
            id.to_string().replace('-', ""),
            id.to_string().replace("run_", "inc_"),
            id.as_uuid().to_string(),
        ] {
            assert!(wrong.parse::<RunId>().is_err(), "{wrong}");
        }
    }

    /// Mutation: take the random bytes first in `ordered`.
    #[test]
    fn ids_are_ordered_by_time() {
        let early = RunId::new(Timestamp::from_millis(1_000), &SystemRandom);
        let late = RunId::new(Timestamp::from_millis(2_000), &SystemRandom);
        assert!(early < late);
    }

    /// Mutation: leave one of the two sites, the key or the run out of what an id follows from, or run parts
    /// together.
    #[test]
    fn what_follows_from_a_dispatch_is_the_same_for_the_same_and_no_other() {
        let run = |n: u128| RunId::from_uuid(Uuid::from_u128(n << 80));
        let dispatch = DispatchId::of(run(1), "a");
        assert_eq!(dispatch, DispatchId::of(run(1), "a"));
        assert_ne!(dispatch, DispatchId::of(run(1), "b"));
        assert_ne!(dispatch, DispatchId::of(run(2), "a"));
        let begun = dispatch.run("ab", "c");
        assert_eq!(begun, dispatch.run("ab", "c"));
        assert_eq!(begun.as_uuid().as_bytes()[..6], run(1).as_uuid().as_bytes()[..6]);
        for (from, to) in [("a", "bc"), ("c", "ab"), ("ab", "d"), ("b", "c")] {
            assert_ne!(begun, dispatch.run(from, to), "{from} {to}");
        }
        assert_ne!(dispatch.order(&[b"ab", b"c"]), dispatch.order(&[b"a", b"bc"]));
        assert_ne!(dispatch.order(&[]), DispatchId::of(run(1), "b").order(&[]));
    }

    /// Mutation: leave the random bits of a new id in the smallest.
    #[test]
    fn the_smallest_id_of_a_time_is_between_those_of_two_times() {
        let (before, at) = (Timestamp::from_millis(1_999), Timestamp::from_millis(2_000));
        let first = RunId::first_at(at);
        assert!(RunId::new(before, &SystemRandom) < first);
        assert!(first <= RunId::new(at, &SystemRandom));
        assert_eq!(RunId::first_at(Timestamp::from_millis(-1)), RunId::from_uuid(Uuid::nil()));
    }
}
