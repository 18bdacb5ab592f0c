//! A share of a budget is reached: a line in the record of changes, and an event that workflows can listen to.

use base::value::{int, object, string};
use base::{By, Namespace, Timestamp, Value};
use engine::event::{Defaults, Event};
use models::{Alarm, Holder};
use serde::Serialize;
use server::change_op;
use store::{EventRow, Op};

/// The event's type.
pub(crate) const REACHED: &str = "dev.isonomy.budget.reached";

/// Whose word it is. There is one book of calls at a site, and its id tells the rest.
const SOURCE: &str = "/isonomy/budgets";

#[derive(Debug, Clone, Serialize)]
struct ChangeDoc<'a> {
    change: &'static str,
    budget: &'a str,
    cap: &'a str,
    percent: u8,
    spent: &'a str,
}

/// A share that was reached, by a call of this namespace.
#[derive(Debug, Clone)]
pub(super) struct Reached {
    namespace: Namespace,
    alarm: Alarm,
}

impl Reached {
    pub(super) fn new(namespace: &Namespace, alarm: &Alarm) -> Self {
        // Who has a budget of its own in a namespace hears of it there, whoever has spent it.
        let namespace = match &alarm.holder {
            Holder::Namespace(own) => own,
            Holder::Workflow(key) => &key.namespace,
            Holder::Key(_) | Holder::Run(_) | Holder::Fleet(_) => namespace,
        };
        Self { namespace: namespace.clone(), alarm: alarm.clone() }
    }

    pub(super) fn change(&self, by: &By, at: Timestamp) -> Op {
        let Alarm { holder, budget, percent, spent, .. } = &self.alarm;
        let doc = ChangeDoc {
            change: "budget-reached",
            budget: &holder.to_text(),
            cap: &budget.to_string(),
            percent: *percent,
            spent: &spent.to_string(),
        };
        change_op(&doc, by, at)
    }

    /// Its id is of the budget, its window and the share: what is told again after a crash is there already.
    pub(super) fn event(&self, at: Timestamp) -> Option<EventRow> {
        let Alarm { holder, budget, percent, spent, window } = &self.alarm;
        let (holder, cap) = (holder.to_text(), budget.to_string());
        let window = window.map(|it| it.to_string());
        let since = window.as_deref().unwrap_or("total");
        let data = object([
            ("budget", string(&holder)),
            ("cap", string(&cap)),
            ("percent", int(i64::from(*percent))),
            ("spent", string(&spent.to_string())),
            ("since", window.as_deref().map_or(Value::Null, string)),
        ]);
        let event = object([
            ("id", string(&format!("{holder}:{cap}:{since}:{percent}"))),
            ("source", string(SOURCE)),
            ("type", string(REACHED)),
            ("subject", string(&holder)),
            ("datacontenttype", string("application/json")),
            ("data", data),
        ]);
        let defaults = Defaults { id: &String::new, source: None, time: at };
        match Event::parse(&event, &defaults) {
            Ok(event) => Some(event.row(&self.namespace, None, 0, at)),
            Err(error) => {
                tracing::error!(%error, "cannot tell of a budget that is reached");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(holder: &str, percent: u8, window: Option<&str>) -> EventRow {
        let alarm = Alarm {
            holder: holder.parse().expect("a holder"),
            budget: "1EUR/day".parse().expect("a budget"),
            percent,
            spent: "0.5EUR".parse().expect("money"),
            window: window.map(|text| Timestamp::parse(text).expect("a time")),
        };
        let namespace = Namespace::parse("sales").expect("a name");
        let at = Timestamp::parse("2026-11-22T12:00:00Z").expect("a time");
        Reached::new(&namespace, &alarm).event(at).expect("an event")
    }

    /// Mutation: give an event of another window, share or holder the same id, or tell it where nobody listens who
    /// has that budget.
    #[test]
    fn an_event_is_of_one_budget_window_and_share() {
        let day = Some("2026-11-22T00:00:00Z");
        let first = told("key/bot", 50, day);
        assert_eq!(first.id, told("key/bot", 50, day).id);
        for other in [
            told("key/bot", 80, day),
            told("key/bot", 50, Some("2026-11-23T00:00:00Z")),
            told("key/other", 50, day),
            told("key/bot", 50, None),
        ] {
            assert_ne!(first.id, other.id);
        }
        assert_eq!((first.kind.as_str(), first.namespace.as_str()), (REACHED, "sales"));
        assert_eq!(first.subject.as_deref(), Some("key/bot"));
        assert_eq!(told("namespace/lab", 50, day).namespace.as_str(), "lab");
        assert_eq!(told("workflow/lab/intake", 50, day).namespace.as_str(), "lab");
        let event = Event::of_bytes(&first.event).expect("an event");
        let data = event.attribute("data").expect("data");
        assert_eq!(
            base::value::to_json_string(data),
            r#"{"budget":"key/bot","cap":"1.00 EUR/day","percent":50,"spent":"0.50 EUR","since":"2026-11-22T00:00:00.000Z"}"#
        );
    }
}
