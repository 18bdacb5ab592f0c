//! A share of a budget is reached: a line in the record of changes.

use models::Alarm;
use serde::Serialize;

#[derive(Debug, Clone, Serialize)]
pub(super) struct AlarmDoc {
    change: &'static str,
    budget: String,
    cap: String,
    percent: u8,
    spent: String,
}

impl AlarmDoc {
    pub(super) fn of(alarm: &Alarm) -> Self {
        Self {
            change: "budget-reached",
            budget: alarm.holder.to_text(),
            cap: alarm.budget.to_string(),
            percent: alarm.percent,
            spent: alarm.spent.to_string(),
        }
    }
}
