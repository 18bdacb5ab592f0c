//! When the owner of a site lets it hold its line, and how fast.

use std::fmt;
use std::time::Duration;

use base::Timestamp;
use gateway::Pace;

const DAY_MINUTES: u64 = 24 * 60;

/// Spans of one day. More is a timetable, which nobody can oversee.
pub(crate) const SPANS_MAX: usize = 24;

/// What the owner allows the line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    pub pace: Pace,
    pub hours: Hours,
}

/// Spans of the day, in UTC, at which there may be a line; the whole day where there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hours(Vec<Span>);

/// From a minute of the day up to another, which may be of the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: u64,
    until: u64,
}

impl Span {
    fn contains(self, minute: u64) -> bool {
        match self.from < self.until {
            true => (self.from..self.until).contains(&minute),
            false => minute >= self.from || minute < self.until,
        }
    }

    /// `22:00-06:00`.
    fn parse(text: &str) -> Option<Self> {
        let (from, until) = text.split_once('-')?;
        let span = Self { from: minute(from)?, until: minute(until)? % DAY_MINUTES };
        (span.from < DAY_MINUTES && span.from != span.until).then_some(span)
    }
}

/// `06:30`; `24:00` is the end of the day.
fn minute(text: &str) -> Option<u64> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |text: &str| {
        let is_two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_two.then(|| text.parse::<u64>().ok()).flatten()
    };
    let minute = two(hours)? * 60 + two(minutes).filter(|it| *it < 60)?;
    (minute <= DAY_MINUTES).then_some(minute)
}

impl Hours {
    /// Nothing where one of them is no span.
    pub(crate) fn parse<'a>(spans: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        spans.into_iter().map(Span::parse).collect::<Option<_>>().map(Self)
    }

    /// How long there is no line yet; nothing where there may be one now.
    #[must_use]
    pub(crate) fn closed_for(&self, now: Timestamp) -> Option<Duration> {
        let seconds = now.as_millis().div_euclid(1_000).rem_euclid(24 * 3_600).unsigned_abs();
        let minute = seconds / 60;
        if self.0.is_empty() || self.0.iter().any(|span| span.contains(minute)) {
            return None;
        }
        let until = self.0.iter().map(|span| (span.from + DAY_MINUTES - minute) % DAY_MINUTES);
        let minutes = until.min().unwrap_or(0);
        Some(Duration::from_secs(minutes * 60 - seconds % 60))
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = |minute: u64| format!("{:02}:{:02}", minute / 60, minute % 60);
        let span = |it: &Span| format!("{}-{}", clock(it.from), clock(it.until));
        f.write_str(&self.0.iter().map(span).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(clock: &str) -> Timestamp {
        Timestamp::parse(&format!("2026-03-01T{clock}Z")).expect("a time")
    }

    /// Mutation: end a span a minute late, forget one over midnight, or wait from the end of the minute.
    #[test]
    fn a_line_is_held_within_its_hours() {
        let hours = Hours::parse(["22:00-06:30", "12:00-12:05"]).expect("hours");
        for open in ["22:00:00", "23:59:59", "00:00:00", "06:29:59", "12:04:59"] {
            assert_eq!(hours.closed_for(at(open)), None, "{open}");
        }
        for (closed, seconds) in
            [("06:30:00", 19_800), ("11:59:59", 1), ("12:05:00", 35_700), ("21:59:30", 30)]
        {
            let wait = Some(Duration::from_secs(seconds));
            assert_eq!(hours.closed_for(at(closed)), wait, "{closed}");
        }
        assert_eq!(hours.to_string(), "22:00-06:30, 12:00-12:05");
        assert_eq!(Hours::default().closed_for(at("03:00:00")), None);
        let whole = Hours::parse(["18:00-24:00"]).expect("hours");
        assert_eq!(
            (whole.closed_for(at("23:59:59")), whole.closed_for(at("18:00:00"))),
            (None, None)
        );
        assert_eq!(whole.closed_for(at("00:00:00")), Some(Duration::from_secs(18 * 3_600)));
    }

    /// Mutation: take a time for another that it is not spelled as.
    #[test]
    fn a_span_has_one_spelling() {
        for wrong in [
            "",
            "22-06",
            "22:00",
            "24:01-06:00",
            "06:00-06:00",
            "6:00-7:00",
            "06:60-07:00",
            "24:00-06:00",
        ] {
            assert_eq!(Hours::parse([wrong]), None, "{wrong}");
        }
    }
}
