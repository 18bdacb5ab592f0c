//! Lengths of time as documents write them: `PT2S`, `PT1H30M`, `P1D`. No months and years, which have no length.

use std::fmt;

use base::Duration;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest that a document may ask for: a year is more than anything here is kept.
const DAYS_MAX: u64 = 366;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// A length of time in ISO 8601, of whole milliseconds, and more than nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct IsoDuration(Duration);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a length of time is written as `PT2S`, `PT1H30M` or `P1D`, and is {DAYS_MAX} days at most"
)]
pub struct NoIsoDuration;

impl IsoDuration {
    pub fn parse(text: &str) -> Result<Self, NoIsoDuration> {
        let rest = text.strip_prefix('P').ok_or(NoIsoDuration)?;
        let (days, time) = match rest.split_once('T') {
            Some((_, "")) => return Err(NoIsoDuration),
            Some((days, time)) => (days, time),
            None => (rest, ""),
        };
        let units = [('W', 7 * DAY_MS), ('D', DAY_MS)];
        let millis = read(days, &units)?;
        let units = [('H', 3_600_000), ('M', 60_000), ('S', 1_000)];
        let millis = millis.checked_add(read(time, &units)?).ok_or(NoIsoDuration)?;
        if millis == 0 || millis > DAYS_MAX * DAY_MS {
            return Err(NoIsoDuration);
        }
        Ok(Self(Duration::from_millis(millis)))
    }

    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }
}

/// Numbers, each with its unit, in this order.
fn read(mut text: &str, units: &[(char, u64)]) -> Result<u64, NoIsoDuration> {
    let mut sum: u64 = 0;
    for (unit, millis) in units {
        let Some((number, rest)) = text.split_once(*unit) else { continue };
        let (whole, part) = match number.split_once('.') {
            Some((whole, part)) if *unit == 'S' => (whole, part),
            Some(_) => return Err(NoIsoDuration),
            None => (number, "0"),
        };
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(part) || part.len() > 3 {
            return Err(NoIsoDuration);
        }
        let whole: u64 = whole.parse().map_err(|_| NoIsoDuration)?;
        let part: u64 = format!("{part:0<3}").parse().map_err(|_| NoIsoDuration)?;
        let more = whole.checked_mul(*millis).and_then(|it| it.checked_add(part));
        sum = more.and_then(|more| sum.checked_add(more)).ok_or(NoIsoDuration)?;
        text = rest;
    }
    if text.is_empty() { Ok(sum) } else { Err(NoIsoDuration) }
}

impl fmt::Display for IsoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.as_millis();
        let (days, rest) = (all / DAY_MS, all % DAY_MS);
        let (hours, minutes) = (rest / 3_600_000, rest / 60_000 % 60);
        let (seconds, millis) = (rest / 1_000 % 60, rest % 1_000);
        f.write_str("P")?;
        if days > 0 {
            write!(f, "{days}D")?;
        }
        if rest > 0 {
            f.write_str("T")?;
        }
        if hours > 0 {
            write!(f, "{hours}H")?;
        }
        if minutes > 0 {
            write!(f, "{minutes}M")?;
        }
        match (seconds, millis) {
            (0, 0) => Ok(()),
            (seconds, 0) => write!(f, "{seconds}S"),
            (seconds, millis) => write!(f, "{seconds}.{millis:03}S"),
        }
    }
}

impl Serialize for IsoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IsoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take minutes for months, a part for milliseconds, or anything behind the last unit.
    #[test]
    fn a_length_of_time_is_read_and_written_again() {
        for (text, millis, again) in [
            ("PT2S", 2_000, "PT2S"),
            ("PT0.25S", 250, "PT0.250S"),
            ("PT1H30M", 5_400_000, "PT1H30M"),
            ("P1D", DAY_MS, "P1D"),
            ("P1W", 7 * DAY_MS, "P7D"),
            ("P1DT12H", 3 * DAY_MS / 2, "P1DT12H"),
            ("PT90M", 5_400_000, "PT1H30M"),
        ] {
            let read = IsoDuration::parse(text).expect(text);
            assert_eq!(read.duration().as_millis(), millis, "{text}");
            assert_eq!(read.to_string(), again);
            assert_eq!(IsoDuration::parse(again), Ok(read));
        }
        for wrong in [
            "",
            "P",
            "PT",
            "1H",
            "P1M",
            "P1Y",
            "PT1D",
            "PT-1S",
            "PT1",
            "PT1S1M",
            "PT1.5H",
            "PT0S",
            "P400D",
            "PT1.2345S",
            "P1DT",
            "PT99999999999999999999S",
            "PT1S ",
        ] {
            assert_eq!(IsoDuration::parse(wrong), Err(NoIsoDuration), "{wrong}");
        }
    }
}
