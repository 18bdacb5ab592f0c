//! Cron expressions: five fields, in UTC. Reading one, and the times it stands for.
//!
//! UTC has no hour that is missing or comes twice, so every time of an expression comes exactly
//! once.

use std::fmt;

use base::Timestamp;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// Days that are looked at for the next time. The 29th of February is at most eight years away.
const DAYS_MAX: i64 = 366 * 9;

/// Characters of an expression. Every minute of a day by name is shorter.
const CHARS_MAX: usize = 1_000;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// When something happens, to the minute. Comes at least once every nine years.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Where both are restricted, either of them is enough.
    either_day: bool,
}

/// Why a text is no cron expression: what is wrong, and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronError {
    pub what: String,
    pub hint: String,
}

struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, names: &[] },
    Field { name: "hour", least: 0, most: 23, names: &[] },
    Field { name: "day of the month", least: 1, most: 31, names: &[] },
    Field { name: "month", least: 1, most: 12, names: &MONTHS },
    // Both 0 and 7 are Sunday.
    Field { name: "day of the week", least: 0, most: 7, names: &WEEKDAYS },
];

impl Cron {
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let wrong = |what: String, hint: &str| Err(CronError { what, hint: hint.to_owned() });
        const FORM: &str = "write minute, hour, day of the month, month and day of the week, such as `30 6 * * mon-fri`, or a nickname such as `@daily`; times are UTC";
        if text.len() > CHARS_MAX {
            return wrong(format!("it is longer than {CHARS_MAX} characters"), FORM);
        }
        let plain = match text.trim().to_lowercase() {
            nickname if nickname.starts_with('@') => {
                let known = NICKNAMES.iter().find(|(name, _)| *name == nickname);
                let Some((_, plain)) = known else {
                    return wrong(
                        "no such nickname".to_owned(),
                        "the nicknames are `@yearly`, `@monthly`, `@weekly`, `@daily` and `@hourly`",
                    );
                };
                (*plain).to_owned()
            }
            plain => plain,
        };
        if plain.contains("tz=") {
            return wrong("a time zone cannot be named".to_owned(), "cron times are UTC");
        }
        let parts: Vec<&str> = plain.split_ascii_whitespace().collect();
        if parts.len() != FIELDS.len() {
            let hint = match parts.len() {
                6 | 7 => "there are no seconds and no years; for less than a minute use `every`",
                _ => FORM,
            };
            return wrong(format!("it has {} fields, not 5", parts.len()), hint);
        }
        let mut bits = [0_u64; 5];
        for ((part, field), bits) in parts.iter().zip(&FIELDS).zip(&mut bits) {
            *bits = field.read(part)?;
        }
        let [minutes, hours, days, months, mut weekdays] = bits;
        // Sunday is known by its 0 only.
        weekdays = (weekdays | (weekdays >> 7 & 1)) & 0b111_1111;
        let is_free = |part: &str| part.starts_with('*');
        let either_day = !is_free(parts[2]) && !is_free(parts[4]);
        let text = text.trim().to_owned();
        let cron = Self { text, minutes, hours, days, months, weekdays, either_day };
        if cron.next(Timestamp::from_millis(0)).is_none() {
            return wrong("such a day never comes".to_owned(), "look at the day and the month");
        }
        Ok(cron)
    }

    /// The first time after `after`. `None` only near the end of time.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let from = after.as_millis().div_euclid(MINUTE_MS).checked_add(1)? * MINUTE_MS;
        let (day, minute) = (from.div_euclid(DAY_MS), from.rem_euclid(DAY_MS) / MINUTE_MS);
        for ahead in 0..DAYS_MAX {
            if !self.has_day(day + ahead) {
                continue;
            }
            let first = if ahead == 0 { minute } else { 0 };
            if let Some(found) = (first..24 * 60).find(|minute| self.has_minute(*minute)) {
                return time(day + ahead, found);
            }
        }
        None
    }

    /// The last time that is not after `until`.
    #[must_use]
    pub fn last(&self, until: Timestamp) -> Option<Timestamp> {
        let at = until.as_millis();
        let (day, minute) = (at.div_euclid(DAY_MS), at.rem_euclid(DAY_MS) / MINUTE_MS);
        for ago in 0..DAYS_MAX {
            if !self.has_day(day - ago) {
                continue;
            }
            let last = if ago == 0 { minute } else { 24 * 60 - 1 };
            if let Some(found) = (0..=last).rev().find(|minute| self.has_minute(*minute)) {
                return time(day - ago, found);
            }
        }
        None
    }

    fn has_minute(&self, minute: i64) -> bool {
        self.hours >> (minute / 60) & 1 == 1 && self.minutes >> (minute % 60) & 1 == 1
    }

    fn has_day(&self, day: i64) -> bool {
        let (month, date) = civil(day);
        // The first of January 1970 was a Thursday.
        let weekday = (day + 4).rem_euclid(7);
        let has_date = self.days >> date & 1 == 1;
        let has_weekday = self.weekdays >> weekday & 1 == 1;
        let is_day =
            if self.either_day { has_date || has_weekday } else { has_date && has_weekday };
        is_day && self.months >> month & 1 == 1
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Field {
    /// Lists of `*`, `a`, `a-b`, each with a step.
    fn read(&self, text: &str) -> Result<u64, CronError> {
        let mut bits = 0;
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                None => (part, None),
                Some((range, step)) => {
                    let step = step.parse().ok().filter(|step| (1..=self.most).contains(step));
                    (range, Some(step.ok_or_else(|| self.wrong(part))?))
                }
            };
            let (from, to) = match range.split_once('-') {
                _ if range == "*" => (self.least, self.most),
                Some((from, to)) => (self.number(from, part)?, self.number(to, part)?),
                None => {
                    let one = self.number(range, part)?;
                    // `5/15` goes on to the end.
                    (one, if step.is_some() { self.most } else { one })
                }
            };
            // `fri-sun`: the week goes round.
            let to = if self.most == 7 && to == 0 && from > 0 { 7 } else { to };
            if from > to {
                return Err(self.wrong(part));
            }
            for value in (from..=to).step_by(step.unwrap_or(1) as usize) {
                bits |= 1 << value;
            }
        }
        Ok(bits)
    }

    fn number(&self, text: &str, part: &str) -> Result<u32, CronError> {
        if let Some(at) = self.names.iter().position(|name| *name == text) {
            return Ok(u32::try_from(at).unwrap_or(0) + u32::from(self.least == 1));
        }
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| is_number);
        number
            .filter(|number| (self.least..=self.most).contains(number))
            .ok_or_else(|| self.wrong(part))
    }

    fn wrong(&self, part: &str) -> CronError {
        let Self { name, least, most, names } = self;
        let named = match names.first().zip(names.last()) {
            Some((first, last)) => format!(" or from `{first}` to `{last}`"),
            None => String::new(),
        };
        let shown: String = part.chars().take(20).collect();
        CronError {
            what: format!("`{shown}` is no {name}"),
            hint: format!(
                "a {name} is `*`, a number from {least} to {most}{named}, a range `a-b`, a step `*/n`, or a list of them"
            ),
        }
    }
}

fn time(day: i64, minute: i64) -> Option<Timestamp> {
    let millis = day.checked_mul(DAY_MS)?.checked_add(minute * MINUTE_MS)?;
    Some(Timestamp::from_millis(millis))
}

/// Month and day of the month of a day since 1970, in the Gregorian calendar (Hinnant's
/// `civil_from_days`).
fn civil(day: i64) -> (u32, u32) {
    let shifted = day + 719_468;
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (u32::try_from(month).unwrap_or(1), u32::try_from(date).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect(text)
    }

    fn cron(text: &str) -> Cron {
        Cron::parse(text).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"))
    }

    /// Mutation: take both days where either is enough, count weekdays from Monday, forget leap
    /// years, or let the time itself be its next.
    #[test]
    fn the_next_time_is_the_first_one_after() {
        let check = |text: &str, after: &str, next: &str| {
            assert_eq!(cron(text).next(at(after)), Some(at(next)), "{text} after {after}");
        };
        check("0 0 * * *", "2027-01-15T08:00:00Z", "2027-01-16T00:00:00Z");
        check("0 0 * * *", "2027-01-16T00:00:00Z", "2027-01-17T00:00:00Z");
        check("0 0 * * *", "2027-01-15T23:59:59.999Z", "2027-01-16T00:00:00Z");
        check("*/15 * * * *", "2027-01-15T08:14:59Z", "2027-01-15T08:15:00Z");
        check("5/20 6-8 * * *", "2027-01-15T08:46:00Z", "2027-01-16T06:05:00Z");
        check("0 12 * * mon-fri", "2027-01-15T12:00:00Z", "2027-01-18T12:00:00Z");
        check("0 12 * * fri-sun", "2027-01-15T12:00:00Z", "2027-01-16T12:00:00Z");
        check("0 12 * * 7", "2027-01-15T12:00:00Z", "2027-01-17T12:00:00Z");
        check("0 12 * * 0", "2027-01-15T12:00:00Z", "2027-01-17T12:00:00Z");
        check("0 0 29 feb *", "2027-01-15T12:00:00Z", "2028-02-29T00:00:00Z");
        check("0 0 29 2 *", "2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z");
        check("0 0 13 * fri", "2027-01-15T12:00:00Z", "2027-01-22T00:00:00Z");
        check("0 0 13 * fri", "2027-02-12T00:00:00Z", "2027-02-13T00:00:00Z");
        check("0 0 */2 * fri", "2027-01-16T00:00:00Z", "2027-01-29T00:00:00Z");
        check("@monthly", "2027-12-31T23:59:00Z", "2028-01-01T00:00:00Z");
        check("0,30 0 1 JAN,Jul *", "2027-01-01T00:00:00Z", "2027-01-01T00:30:00Z");
        check("0 0 1 1 *", "1969-12-31T23:00:00Z", "1970-01-01T00:00:00Z");
    }

    /// Mutation: let `last` skip the minute itself, or `next` and `last` disagree.
    #[test]
    fn last_and_next_see_the_same_times() {
        for text in ["*/7 3-5 * * *", "0 0 29 2 *", "30 6 1,15 * mon", "59 23 31 12 *"] {
            let cron = cron(text);
            let mut now = at("2026-11-20T10:10:10Z");
            for _ in 0..50 {
                let next = cron.next(now).expect("there is always one");
                assert_eq!(cron.last(next), Some(next), "{text}");
                let before = cron.last(Timestamp::from_millis(next.as_millis() - 1));
                let before = before.expect("there is always one");
                assert!(before <= now && cron.next(before) == Some(next), "{text}: {before}");
                now = next;
            }
        }
    }

    /// Mutation: accept a field that is out of range, a sixth field, or a day that never comes.
    #[test]
    fn what_is_no_cron_expression_is_refused_with_a_way_out() {
        for (text, what) in [
            ("", "it has 0 fields, not 5"),
            ("* * * *", "it has 4 fields, not 5"),
            ("0 * * * * *", "it has 6 fields, not 5"),
            ("60 * * * *", "`60` is no minute"),
            ("* 24 * * *", "`24` is no hour"),
            ("* * 0 * *", "`0` is no day of the month"),
            ("* * * 13 *", "`13` is no month"),
            ("* * * * 8", "`8` is no day of the week"),
            ("* * * * mo", "`mo` is no day of the week"),
            ("5-1 * * * *", "`5-1` is no minute"),
            ("*/0 * * * *", "`*/0` is no minute"),
            ("*/ * * * *", "`*/` is no minute"),
            ("1, * * * *", "`` is no minute"),
            ("-1 * * * *", "`-1` is no minute"),
            ("+1 * * * *", "`+1` is no minute"),
            ("? * * * *", "`?` is no minute"),
            ("0 0 30 2 *", "such a day never comes"),
            ("@often", "no such nickname"),
            ("CRON_TZ=Europe/Berlin 0 0 * * *", "a time zone cannot be named"),
        ] {
            let wrong = Cron::parse(text).expect_err(text);
            assert_eq!(wrong.what, what, "{text}");
            assert!(!wrong.hint.is_empty(), "{text}");
        }
        assert!(Cron::parse(&"1,".repeat(1_000)).is_err());
    }
}
