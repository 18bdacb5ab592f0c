//! What calls have used and cost, put together as somebody asks; and how budgets stand.

use base::{Namespace, Timestamp};
use models::{Group, Standing, Tally};
use pricing::{Amount, Window};
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
    let window = it.since.zip(it.until).map(|(start, end)| Window { start, end });
    let forecast = it.budget.forecast(it.spent.amount, window, now);
    BudgetView {
        holder: it.holder.to_text(),
        budget: it.budget.to_string(),
        spent: it.spent.to_string(),
        held: it.held.to_string(),
        left: left.of(cap.currency).to_string(),
        percent: u32::try_from(percent).unwrap_or(u32::MAX),
        since: it.since.map(|at| at.to_string()),
        until: it.until.map(|at| at.to_string()),
        forecast: forecast.map(|it| it.at_end.to_string()),
        exhausted_at: forecast.and_then(|it| it.exhausted_at).map(|at| at.to_string()),
        alarms: it.alarms.shares().to_vec(),
    }
}
