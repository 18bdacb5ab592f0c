//! What calls have used and cost, put together as somebody asks; and how budgets stand.

use std::collections::BTreeMap;

use base::{Namespace, Timestamp};
use models::{Group, Standing, Sum, Tally};
use pricing::{Amount, Money};
use wire::{BudgetView, UsageRow};

/// By what usage can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum By {
    Namespace,
    Key,
    Workflow,
    Model,
    Operation,
    Day,
    Hour,
}

impl By {
    const ALL: [Self; 7] = [
        Self::Namespace,
        Self::Key,
        Self::Workflow,
        Self::Model,
        Self::Operation,
        Self::Day,
        Self::Hour,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Key => "key",
            Self::Workflow => "workflow",
            Self::Model => "model",
            Self::Operation => "operation",
            Self::Day => "day",
            Self::Hour => "hour",
        }
    }

    /// Names with commas between them.
    pub(crate) fn read(text: &str) -> Result<Vec<Self>, String> {
        let one = |name: &str| {
            let found = Self::ALL.into_iter().find(|it| it.name() == name.trim());
            found.ok_or_else(|| format!("one or more of {}", Self::ALL.map(Self::name).join(", ")))
        };
        text.split(',').map(one).collect()
    }

    /// What it is for these calls; nothing, where they have none.
    fn of(self, group: &Group) -> String {
        let text = |it: Option<String>| it.unwrap_or_default();
        match self {
            Self::Namespace => group.namespace.to_string(),
            Self::Key => text(group.key.as_ref().map(ToString::to_string)),
            Self::Workflow => text(group.workflow.clone()),
            Self::Model => text(group.model.as_ref().map(ToString::to_string)),
            Self::Operation => group.operation.as_str().to_owned(),
            Self::Day => group.hour.to_string().chars().take(10).collect(),
            Self::Hour => group.hour.to_string().chars().take(13).collect(),
        }
    }
}

/// Rows by what they are told apart by, in that order. Only of namespaces that `may_see` lets through.
pub(crate) fn rows(
    tally: &Tally,
    by: &[By],
    since: Timestamp,
    may_see: impl Fn(&Namespace) -> bool,
) -> Vec<UsageRow> {
    let mut sums: BTreeMap<Vec<String>, Sum> = BTreeMap::new();
    for (group, sum) in tally.sums(since).filter(|(group, _)| may_see(&group.namespace)) {
        let key = by.iter().map(|by| by.of(group)).collect();
        sums.entry(key).or_default().add(sum);
    }
    sums.into_iter().map(|(key, sum)| row(by, key, &sum)).collect()
}

fn row(by: &[By], key: Vec<String>, sum: &Sum) -> UsageRow {
    let shown = |all: &[Money]| all.iter().map(ToString::to_string).collect();
    UsageRow {
        group: by.iter().map(|by| by.name().to_owned()).zip(key).collect(),
        calls: sum.calls,
        failed: sum.failed,
        degraded: sum.degraded,
        input_tokens: sum.used.input,
        cached_tokens: sum.used.cached,
        output_tokens: sum.used.output,
        reasoning_tokens: sum.used.reasoning,
        images: sum.used.images,
        cost: shown(&sum.cost),
        at_bound: shown(&sum.at_bound),
        unpriced: sum.unpriced,
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

    /// Mutation: take an unknown name for none.
    #[test]
    fn usage_is_told_apart_by_names() {
        assert_eq!(By::read("namespace, model"), Ok(vec![By::Namespace, By::Model]));
        assert!(By::read("colour").is_err_and(|why| why.contains("namespace, key")));
    }
}
