//! A budget's text and its calendar: `50EUR/month`. How it is spent is the gate's.

use std::fmt;
use std::str::FromStr;

use base::{Duration, Timestamp};
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan as _};

use crate::money::{Amount, Money, MoneyError};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    #[error("a budget is an amount and a period, like `50EUR/month`; periods are {}", names())]
    Syntax,
    #[error(transparent)]
    Amount(#[from] MoneyError),
    #[error("a budget is whole micro-units: at most six decimal places")]
    TooFine,
    #[error("the time is outside of the calendar")]
    Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("one of {}", names())]
pub struct PeriodError;

/// How often a budget begins anew. All in UTC, so that every site of a fleet begins at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    Hour,
    Day,
    /// From Monday.
    Week,
    Month,
    Year,
    /// Never anew.
    Total,
}

/// A cap, in whole micro-units, and how long it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    cap: Money,
    period: Period,
}

/// From `start` until before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    pub start: Timestamp,
    pub end: Timestamp,
}

impl Period {
    pub const ALL: [Self; 6] =
        [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year, Self::Total];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
            Self::Total => "total",
        }
    }

    /// The window that a time lies in; none where the budget never begins anew.
    pub fn window(self, at: Timestamp) -> Result<Option<Window>, BudgetError> {
        self.civil(at).map_err(|_| BudgetError::Time)
    }

    fn civil(self, at: Timestamp) -> Result<Option<Window>, jiff::Error> {
        let now = jiff::Timestamp::from_millisecond(at.as_millis())?.to_zoned(TimeZone::UTC);
        let day = now.date();
        let (from, to) = match self {
            Self::Hour => return hour(&now).map(Some),
            Self::Day => (day, day.tomorrow()?),
            Self::Week => {
                let monday = day.checked_sub(day.weekday().since(Weekday::Monday).days())?;
                (monday, monday.checked_add(1.week())?)
            }
            Self::Month => (day.first_of_month(), day.last_of_month().tomorrow()?),
            Self::Year => (day.first_of_year(), day.last_of_year().tomorrow()?),
            Self::Total => return Ok(None),
        };
        Ok(Some(Window { start: midnight(from)?, end: midnight(to)? }))
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        Self::ALL.into_iter().find(|period| period.name() == text).ok_or(PeriodError)
    }
}

fn hour(now: &jiff::Zoned) -> Result<Window, jiff::Error> {
    let start = now.date().at(now.hour(), 0, 0, 0).to_zoned(TimeZone::UTC)?.timestamp();
    let end = start.checked_add(SignedDuration::from_hours(1))?;
    Ok(Window { start: timestamp(start), end: timestamp(end) })
}

pub(crate) fn midnight(day: Date) -> Result<Timestamp, jiff::Error> {
    Ok(timestamp(day.to_zoned(TimeZone::UTC)?.timestamp()))
}

fn timestamp(at: jiff::Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_millisecond())
}

fn names() -> String {
    Period::ALL.map(|period| format!("`{}`", period.name())).join(", ")
}

impl Budget {
    pub fn new(cap: Money, period: Period) -> Result<Self, BudgetError> {
        let is_whole = cap.amount.is_whole_micros();
        if is_whole { Ok(Self { cap, period }) } else { Err(BudgetError::TooFine) }
    }

    #[must_use]
    pub const fn cap(&self) -> Money {
        self.cap
    }

    #[must_use]
    pub const fn period(&self) -> Period {
        self.period
    }

    /// What comes of it where it goes on as since its window began. Nothing, where nothing was spent yet or the
    /// window has no end.
    #[must_use]
    pub fn forecast(
        &self,
        spent: Amount,
        window: Option<Window>,
        now: Timestamp,
    ) -> Option<Forecast> {
        let Window { start, end } = window?;
        let passed = u128::from(now.since(start).as_millis());
        let whole = u128::from(end.since(start).as_millis());
        if passed == 0 || spent == Amount::ZERO {
            return None;
        }
        let at_end = scaled(spent.pico(), whole, passed);
        let after = scaled(self.cap.amount.pico(), passed, spent.pico());
        let after = Duration::from_millis(u64::try_from(after).unwrap_or(u64::MAX));
        let at = start.plus(after);
        Some(Forecast {
            at_end: Amount::from_pico(at_end).of(self.cap.currency),
            exhausted_at: (at < end).then_some(at),
        })
    }
}

/// What a window will have cost at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    pub at_end: Money,
    /// When nothing is left, if that is before the end.
    pub exhausted_at: Option<Timestamp>,
}

/// Whole parts first, so that large sums do not overflow.
fn scaled(part: u128, by: u128, of: u128) -> u128 {
    let (times, rest) = (part / of, part % of);
    times.saturating_mul(by).saturating_add(rest.saturating_mul(by) / of)
}

impl FromStr for Budget {
    type Err = BudgetError;

    fn from_str(text: &str) -> Result<Self, BudgetError> {
        let (cap, period) = text.split_once('/').ok_or(BudgetError::Syntax)?;
        Self::new(cap.parse()?, period.parse().map_err(|PeriodError| BudgetError::Syntax)?)
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cap, self.period.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect(text)
    }

    /// Mutation: take parts of a micro-unit, or an unknown period.
    #[test]
    fn a_budget_is_an_amount_and_a_period() {
        let budget: Budget = "50EUR/month".parse().expect("a budget");
        assert_eq!(budget.to_string(), "50.00 EUR/month");
        assert_eq!(budget.to_string().parse(), Ok(budget));
        let read = |text: &str| text.parse::<Budget>();
        assert_eq!(read("0.0000001EUR/day"), Err(BudgetError::TooFine));
        assert_eq!(read("50EUR"), Err(BudgetError::Syntax));
        assert_eq!(read("50EUR/fortnight"), Err(BudgetError::Syntax));
        assert!(matches!(read("50/day"), Err(BudgetError::Amount(_))));
        for period in Period::ALL {
            assert_eq!(read(&format!("1EUR/{}", period.name())).map(|it| it.period()), Ok(period));
        }
    }

    /// Mutation: forecast from what the cap is, or say that it ends when it does not.
    #[test]
    fn a_forecast_goes_on_as_it_began() {
        let budget: Budget = "10EUR/day".parse().expect("a budget");
        let now = at("2026-11-22T12:00:00Z");
        let day = budget.period().window(now).expect("a time");
        let at_noon = |spent: &str| {
            let spent = spent.parse::<Money>().expect("money").amount;
            let forecast = budget.forecast(spent, day, now)?;
            Some((forecast.at_end.to_string(), forecast.exhausted_at))
        };
        assert_eq!(at_noon("0EUR"), None);
        assert_eq!(at_noon("4EUR"), Some(("8.00 EUR".to_owned(), None)));
        let exhausted = Some(at("2026-11-22T20:00:00Z"));
        assert_eq!(at_noon("6EUR"), Some(("12.00 EUR".to_owned(), exhausted)));
        let spent = budget.cap().amount;
        assert_eq!(budget.forecast(spent, None, now), None, "it never ends");
    }

    /// Mutation: begin weeks on Sunday, months with 30 days, or let a window hold its own end.
    #[test]
    fn a_window_follows_the_calendar() {
        let check = |period: Period, now, start, end| {
            let window = period.window(at(now)).expect("a time").expect("a window");
            assert_eq!(window, Window { start: at(start), end: at(end) }, "{}", period.name());
        };
        let now = "2028-02-29T23:59:59.999Z";
        check(Period::Hour, now, "2028-02-29T23:00:00Z", "2028-03-01T00:00:00Z");
        check(Period::Day, now, "2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z");
        check(Period::Week, now, "2028-02-28T00:00:00Z", "2028-03-06T00:00:00Z");
        check(Period::Month, now, "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z");
        check(Period::Year, now, "2028-01-01T00:00:00Z", "2029-01-01T00:00:00Z");
        let sunday = "2026-11-22T12:00:00Z";
        check(Period::Week, sunday, "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z");
        let first = "2026-12-01T00:00:00Z";
        check(Period::Month, first, first, "2027-01-01T00:00:00Z");
        assert_eq!(Period::Total.window(at(now)), Ok(None));
        let never = Timestamp::from_millis(i64::MAX);
        assert_eq!(Period::Year.window(never), Err(BudgetError::Time));
    }
}
