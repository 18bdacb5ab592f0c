//! What calls have used and cost, put together as somebody asks; and how budgets stand.

use base::{Namespace, Timestamp};
use models::{Group, Standing, Tally};
use pricing::{Amount, Money};
use server::{Facet, usage_rows};
use wire::{BudgetView, UsageRow};

/// By what usage can be told apart at a site.
pub(crate) const FACETS: [Facet; 7] = [
    Facet::Namespace,
    Facet::Key,
    Facet::Workflow,
    Facet::Model,
    Facet::Operation,
    Facet::Day,
    Facet::Hour,
];

/// Rows by what they are told apart by, in that order. Only of namespaces that `may_see` lets through.
pub(crate) fn rows(
    tally: &Tally,
    by: &[Facet],
    since: Timestamp,
    may_see: impl Fn(&Namespace) -> bool,
) -> Vec<UsageRow> {
    let sums = tally.sums(since).filter(|(group, _)| may_see(&group.namespace));
    usage_rows(by, sums, |facet, group| of(facet, group))
}

/// What it is for these calls; nothing, where they have none.
fn of(facet: Facet, group: &Group) -> String {
    match facet {
        Facet::Namespace => group.namespace.to_string(),
        Facet::Key => group.key.as_ref().map(ToString::to_string).unwrap_or_default(),
        Facet::Workflow => group.workflow.clone().unwrap_or_default(),
        Facet::Model => group.model.as_ref().map(ToString::to_string).unwrap_or_default(),
        Facet::Operation => group.operation.as_str().to_owned(),
        Facet::Day | Facet::Hour => facet.of_hour(group.hour),
        // All of them are this one's.
        Facet::Site => String::new(),
    }
}

pub(crate) fn standing(it: &Standing, now: Timestamp) -> BudgetView {
    let cap = it.budget.cap();
    let out = it.spent.amount.plus(it.held.amount).unwrap_or(cap.amount);
    let left = cap.amount.minus(out).unwrap_or(Amount::ZERO);
    let percent = out.pico().saturating_mul(100).checked_div(cap.amount.pico()).unwrap_or(100);
    let (forecast, exhausted_at) = forecast(it, now);
    BudgetView {
        holder: it.holder.to_text(),
        budget: it.budget.to_string(),
        spent: it.spent.to_string(),
        held: it.held.to_string(),
        left: left.of(cap.currency).to_string(),
        percent: u32::try_from(percent).unwrap_or(u32::MAX),
        since: it.since.map(|at| at.to_string()),
        until: it.until.map(|at| at.to_string()),
        forecast: forecast.map(|it| it.to_string()),
        exhausted_at: exhausted_at.map(|at| at.to_string()),
        alarms: it.alarms.shares().to_vec(),
    }
}

/// If it goes on as since the window began: what it will be at its end, and when nothing will be left.
fn forecast(it: &Standing, now: Timestamp) -> (Option<Money>, Option<Timestamp>) {
    let (Some(since), Some(until)) = (it.since, it.until) else { return (None, None) };
    let passed = u128::from(now.since(since).as_millis());
    let whole = u128::from(until.since(since).as_millis());
    let spent = it.spent.amount.pico();
    if passed == 0 || spent == 0 {
        return (None, None);
    }
    let cap = it.budget.cap();
    let scaled = |part: u128, by: u128, of: u128| {
        // Whole first, so that large sums do not overflow.
        let (times, rest) = (part / of, part % of);
        times.saturating_mul(by).saturating_add(rest.saturating_mul(by) / of)
    };
    let end = Amount::from_pico(scaled(spent, whole, passed)).of(cap.currency);
    let after = scaled(cap.amount.pico(), passed, spent);
    let after = base::Duration::from_millis(u64::try_from(after).unwrap_or(u64::MAX));
    let at = since.plus(after);
    (Some(end), (at < until).then_some(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect(text)
    }

    fn shown(spent: &str, now: &str) -> (Option<String>, Option<String>) {
        let standing = Standing {
            holder: "key/bot".parse().expect("a holder"),
            budget: "10EUR/day".parse().expect("a budget"),
            spent: spent.parse().expect("money"),
            held: "0EUR".parse().expect("money"),
            since: Some(at("2026-11-22T00:00:00Z")),
            until: Some(at("2026-11-23T00:00:00Z")),
            alarms: models::Alarms::default(),
        };
        let view = super::standing(&standing, at(now));
        (view.forecast, view.exhausted_at)
    }

    /// Mutation: forecast from what the cap is, or say that it ends when it does not.
    #[test]
    fn a_forecast_goes_on_as_it_began() {
        assert_eq!(shown("0EUR", "2026-11-22T12:00:00Z"), (None, None));
        assert_eq!(shown("4EUR", "2026-11-22T12:00:00Z"), (Some("8.00 EUR".to_owned()), None));
        let (end, exhausted) = shown("6EUR", "2026-11-22T12:00:00Z");
        assert_eq!(end.as_deref(), Some("12.00 EUR"));
        assert_eq!(exhausted.as_deref(), Some("2026-11-22T20:00:00.000Z"));
    }
}
