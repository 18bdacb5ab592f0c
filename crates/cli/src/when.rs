//! Times as people read and write them.

use base::{Duration, Timestamp};
use jiff::Span;
use jiff::tz::TimeZone;

use crate::failure::{Failure, Outcome};

/// How long ago, in one unit: `42s`, `3m`, `5h`, `12d`.
#[must_use]
pub fn age(text: &str, now: Timestamp) -> String {
    let Some(at) = Timestamp::parse(text) else { return text.to_owned() };
    let secs = now.since(at).as_millis() / 1000;
    match secs {
        0..120 => format!("{secs}s"),
        120..7_200 => format!("{}m", secs / 60),
        7_200..172_800 => format!("{}h", secs / 3600),
        _ => format!("{}d", secs / 86_400),
    }
}

/// How long from now, in one unit.
#[must_use]
pub fn until(text: &str, now: Timestamp) -> String {
    match Timestamp::parse(text) {
        Some(at) => age(&now.to_string(), at),
        None => text.to_owned(),
    }
}

/// From one time to another; nothing while it goes on.
#[must_use]
pub fn took(from: &str, to: Option<&str>) -> String {
    let times = to.and_then(|to| Some((Timestamp::parse(from)?, Timestamp::parse(to)?)));
    times.map(|(from, to)| to.since(from)).as_ref().map(Duration::to_string).unwrap_or_default()
}

/// The time of day, for lines that follow each other.
#[must_use]
pub fn clock(text: &str) -> &str {
    // `2027-01-15T08:00:00.120Z`
    text.get(11..23).unwrap_or(text)
}

/// A length of time, such as `90m`, `7d` or `PT1H`.
pub fn length(text: &str) -> Outcome<Duration> {
    let start = jiff::Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    let span = text.parse::<Span>().ok().filter(|span| span.is_positive());
    let end = span.and_then(|span| start.checked_add(span).ok());
    let millis = end.and_then(|end| u64::try_from(end.timestamp().as_millisecond()).ok());
    millis.map(Duration::from_millis).ok_or_else(|| {
        Failure::usage(format!(
            "`{}` is not a length of time",
            text.chars().take(80).collect::<String>()
        ))
        .hint("write such as `90m`, `7d` or `PT1H`")
    })
}

/// A time, or how long before `now`, as a time.
pub fn since(text: &str, now: Timestamp) -> Outcome<String> {
    if let Some(at) = Timestamp::parse(text) {
        return Ok(at.to_string());
    }
    let before = text.parse::<Span>().ok().filter(|span| span.is_positive()).and_then(|span| {
        let now = jiff::Timestamp::from_millisecond(now.as_millis()).ok()?.to_zoned(TimeZone::UTC);
        now.checked_sub(span).ok()
    });
    let before = before.ok_or_else(|| {
        Failure::usage(format!("`{}` is not a time", text.chars().take(80).collect::<String>()))
            .hint("write how long ago, such as `2h` or `PT2H`, or a time such as `2027-01-15T08:00:00Z`")
    })?;
    Ok(Timestamp::from_millis(before.timestamp().as_millisecond()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2027-01-15T08:00:00.120Z";

    fn now() -> Timestamp {
        Timestamp::parse(NOW).expect("a time")
    }

    /// Mutation: switch the units one step too early.
    #[test]
    fn an_age_has_one_unit() {
        for (at, expected) in [
            ("2027-01-15T07:58:01.000Z", "119s"),
            ("2027-01-15T07:58:00.000Z", "2m"),
            ("2027-01-15T06:00:01.000Z", "119m"),
            ("2027-01-13T08:00:01.000Z", "47h"),
            ("2027-01-13T08:00:00.000Z", "2d"),
            ("2027-01-16T08:00:00.000Z", "0s"),
            ("never", "never"),
        ] {
            assert_eq!(age(at, now()), expected, "{at}");
        }
        assert_eq!(took("2027-01-15T08:00:00.000Z", Some(NOW)), "120ms");
        assert_eq!(took(NOW, None), "");
        assert_eq!(clock(NOW), "08:00:00.120");
    }

    /// Mutation: take a length below zero, or a day for something else than 24 hours.
    #[test]
    fn a_length_of_time_is_written_as_people_do() {
        for (text, seconds) in [("90m", 5_400), ("PT1H", 3_600), ("7d", 604_800), ("1h 30m", 5_400)]
        {
            assert_eq!(length(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "soon", "-1h", "5", "0s", "99999999999y"] {
            assert!(length(wrong).is_err(), "{wrong}");
        }
    }

    /// Mutation: read `2h` as two hours from now, or let `-2h` pass.
    #[test]
    fn since_takes_a_time_or_how_long_ago() {
        for (text, expected) in [
            (NOW, NOW),
            ("2h", "2027-01-15T06:00:00.120Z"),
            ("PT90M", "2027-01-15T06:30:00.120Z"),
            ("P1D", "2027-01-14T08:00:00.120Z"),
            ("3 days", "2027-01-12T08:00:00.120Z"),
        ] {
            assert_eq!(since(text, now()), Ok(expected.to_owned()), "{text}");
        }
        for wrong in ["", "yesterday", "-2h", "2", "2h; drop", "99999999999999y"] {
            assert!(since(wrong, now()).is_err(), "{wrong}");
        }
    }
}
