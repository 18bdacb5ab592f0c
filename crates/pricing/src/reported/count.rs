//! A count in a report: absent, a number, or something that is none.

use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::usage::{UsageError, within};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Count {
    #[default]
    Absent,
    Is(u64),
    Nonsense,
}

impl Count {
    pub(super) fn read(self, field: &'static str) -> Result<Option<u64>, UsageError> {
        match self {
            Self::Absent => Ok(None),
            Self::Is(count) => within(field, count).map(Some),
            Self::Nonsense => Err(UsageError::NotACount { field }),
        }
    }

    pub(super) fn or_zero(self, field: &'static str) -> Result<u64, UsageError> {
        self.read(field).map(Option::unwrap_or_default)
    }

    pub(super) fn plus(self, more: Self) -> Self {
        match (self, more) {
            (Self::Is(one), Self::Is(other)) => Self::Is(one.saturating_add(other)),
            (Self::Nonsense, _) | (_, Self::Nonsense) => Self::Nonsense,
            (Self::Absent, known) | (known, Self::Absent) => known,
        }
    }

    /// Counts of a stream only grow. Some servers say zero in the first event and the truth in the
    /// last, some the other way round.
    pub(super) fn grown(self, later: Self) -> Self {
        match (self, later) {
            (Self::Nonsense, _) | (_, Self::Nonsense) => Self::Nonsense,
            (Self::Is(before), Self::Is(after)) => Self::Is(before.max(after)),
            (Self::Absent, known) | (known, Self::Absent) => known,
        }
    }
}

struct CountRead;

impl<'de> Visitor<'de> for CountRead {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a count")
    }

    fn visit_u64<E: Error>(self, count: u64) -> Result<Count, E> {
        Ok(Count::Is(count))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Count, E> {
        Ok(Count::Nonsense)
    }

    /// Some servers write `12.0`.
    fn visit_f64<E: Error>(self, count: f64) -> Result<Count, E> {
        let is_whole = count.fract() == 0.0 && (0.0..=9e15).contains(&count);
        Ok(if is_whole { Count::Is(count as u64) } else { Count::Nonsense })
    }

    fn visit_unit<E: Error>(self) -> Result<Count, E> {
        Ok(Count::Absent)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Count, E> {
        Ok(Count::Nonsense)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Count, E> {
        Ok(Count::Nonsense)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Count, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Count::Nonsense)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Count, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Count::Nonsense)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountRead)
    }
}
