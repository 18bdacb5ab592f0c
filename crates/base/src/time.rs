//! Points in time and lengths of time, in whole milliseconds.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since 1970-01-01 UTC. Written as RFC 3339 with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A length of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(u64);

/// The last millisecond that has a text: late in the year 9999. Later times would not survive being
/// written down.
const MILLIS_MAX: i64 = 253_402_207_200_999;

const HOUR_MS: i64 = 3_600_000;

impl Timestamp {
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let sum = self.0.saturating_add(i64::try_from(duration.0).unwrap_or(i64::MAX));
        Self(sum.min(MILLIS_MAX))
    }

    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.0).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier`; zero if it is not after.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// When its hour began.
    #[must_use]
    pub const fn hour(self) -> Self {
        Self(self.0 - self.0.rem_euclid(HOUR_MS))
    }

    /// When its day began, in UTC.
    #[must_use]
    pub const fn day(self) -> Self {
        Self(self.0 - self.0.rem_euclid(24 * HOUR_MS))
    }

    fn civil(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }

    /// As HTTP and mail say a time: `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn parse_http(text: &str) -> Option<Self> {
        let at = jiff::fmt::rfc2822::parse(text).ok()?;
        Some(Self(at.timestamp().as_millisecond()))
    }

    pub fn parse(text: &str) -> Option<Self> {
        let at: jiff::Timestamp = text.parse().ok()?;
        Some(Self(at.as_millisecond()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.civil())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not an RFC 3339 time"))
    }
}

impl Duration {
    pub const ZERO: Self = Self(0);

    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    #[must_use]
    pub const fn saturating_mul(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }

    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    #[must_use]
    pub const fn as_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secs, millis) = (self.0 / 1000, self.0 % 1000);
        let (hours, minutes, seconds) = (secs / 3600, secs / 60 % 60, secs % 60);
        if hours > 0 {
            write!(f, "{hours}h {minutes:02}m {seconds:02}s")
        } else if minutes > 0 {
            write!(f, "{minutes}m {seconds:02}s")
        } else if secs > 0 {
            write!(f, "{seconds}.{millis:03}s")
        } else {
            write!(f, "{millis}ms")
        }
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: print without milliseconds, or wrap on overflow.
    #[test]
    fn a_time_survives_its_own_text_and_never_wraps() {
        for (millis, text) in [
            (1_800_000_000_120, "2027-01-15T08:00:00.120Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
            (-62_198_755_200_000, "-000001-01-01T00:00:00.000Z"),
        ] {
            let at = Timestamp::from_millis(millis);
            assert_eq!((at.to_string(), Timestamp::parse(text)), (text.to_owned(), Some(at)));
            let written = serde_json::to_string(&at).expect("a text");
            assert_eq!(written, format!("\"{text}\""));
        }
        let at = Timestamp::from_millis(1_800_000_000_120);
        assert_eq!(Timestamp::parse(&at.to_string()), Some(at));
        let last = at.plus(Duration::from_millis(u64::MAX));
        assert_eq!(last.as_millis(), MILLIS_MAX);
        assert_eq!(Timestamp::parse(&last.to_string()), Some(last));
        assert_eq!(at.since(at.plus(Duration::from_secs(1))), Duration::ZERO);
        assert_eq!(at.plus(Duration::from_secs(1)).minus(Duration::from_secs(1)), at);
        let first = Timestamp::from_millis(i64::MIN).minus(Duration::from_millis(u64::MAX));
        assert_eq!(first.as_millis(), i64::MIN);
    }
}
