//! A call that was booked at its bound, since nobody knew its end, or beyond what was held for it, since its
//! upstream has said so; and somebody who does know, later.
//!
//! What was charged is replaced, in the windows in which it was charged. It never becomes more: a bound is
//! the most that a call may cost, and what caps hold back stands on that.
//!
//! A lease stays charged as it was: its hub has heard that this is spent, and has a sum that only grows (ADR 26).

use base::{CallId, Timestamp};
use pricing::{Amount, Money};
use serde::{Deserialize, Serialize};

use crate::budget::{Holder, Line};
use crate::entry::{Admitted, Bill, By, ENTRY_VERSION, End, Settled};
use crate::name::ModelName;
use crate::operation::Operation;
use crate::rates::{Exchange, ExchangeError};

/// What was charged at a bound, or beyond it, is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Corrected {
    pub v: u32,
    pub call: CallId,
    pub at: Timestamp,
    /// Who says so.
    pub by: String,
    pub reason: String,
    /// When the call was admitted: that hour's sums change.
    pub admitted: Timestamp,
    #[serde(flatten)]
    pub who: By,
    pub operation: Operation,
    /// By model, what was booked and what it has cost.
    pub bills: Vec<Rebill>,
    pub charged: Vec<Recharge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rebill {
    pub model: ModelName,
    /// None where the sums have nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Money>,
    pub cost: Money,
    /// As its upstream has said, where it was not at a bound: what was used, and what the cost was made of, goes
    /// out of the sums with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<Bill>,
}

/// What is charged to a budget, in place of what was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recharge {
    #[serde(flatten)]
    pub line: Line,
    pub was: Money,
}

/// What somebody knows.
#[derive(Debug, Clone)]
pub struct Known {
    /// None where it was free.
    pub cost: Option<Money>,
    pub by: String,
    pub reason: String,
    pub at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CorrectionError {
    #[error("the call goes on: what it costs is known at its end")]
    UnderWay,
    #[error(
        "nothing of the call is booked at a bound, or beyond what was held for it: what it has cost is known"
    )]
    Known,
    #[error("it was booked at {was}, the most that it may have cost: {cost} is more")]
    Dearer { was: Money, cost: Money },
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
}

impl Corrected {
    /// Whether somebody may say what the call has cost.
    #[must_use]
    pub fn may_be(admitted: &Admitted, settled: &Settled) -> bool {
        !bounds(admitted, settled).is_empty()
    }

    /// Replaces what was booked at bounds, or beyond them, by what it has cost together.
    pub fn of(
        admitted: &Admitted,
        settled: Option<&Settled>,
        known: Known,
        exchange: &Exchange,
    ) -> Result<Self, CorrectionError> {
        let settled = settled.ok_or(CorrectionError::UnderWay)?;
        let bounds = bounds(admitted, settled);
        if bounds.is_empty() {
            return Err(CorrectionError::Known);
        }
        let bills = bills(&bounds, known.cost, exchange)?;
        let is_beyond = is_beyond(admitted, settled);
        let is_all = is_beyond || settled.bills.iter().all(|bill| bill.is_bound);
        let recharge = |line: &Line| -> Result<Recharge, CorrectionError> {
            let (was, currency) = (line.amount, line.amount.currency);
            let cost = known.cost.unwrap_or(Amount::ZERO.of(currency));
            let cost = exchange.convert(cost, currency)?;
            let mut amount = cost.amount;
            if !is_all {
                // Legs whose cost is known stay as they are.
                let bound = sum(&bounds, currency, exchange)?;
                let known = was.amount.minus(bound.amount).unwrap_or_default();
                amount = known.plus(amount).unwrap_or(was.amount);
            }
            if amount > was.amount {
                return Err(CorrectionError::Dearer { was, cost });
            }
            if let Holder::Fleet(_) = line.holder {
                amount = was.amount;
            }
            Ok(Recharge { line: Line { amount: amount.of(currency), ..line.clone() }, was })
        };
        Ok(Self {
            v: ENTRY_VERSION,
            call: admitted.call,
            at: known.at,
            by: known.by,
            reason: known.reason,
            admitted: admitted.at,
            who: admitted.who.clone(),
            operation: admitted.operation,
            bills,
            charged: settled.charged.iter().map(recharge).collect::<Result<_, _>>()?,
        })
    }
}

/// A bill at a bound, or of a call that is beyond it: what was booked, and whether the sums have it.
struct AtBound<'a> {
    model: &'a ModelName,
    was: Money,
    is_summed: bool,
    reported: Option<&'a Bill>,
}

/// More was charged than was held for it. All of the call's bills are open then: nobody says which is wrong.
fn is_beyond(admitted: &Admitted, settled: &Settled) -> bool {
    settled.charged.iter().any(|line| {
        let held = admitted.held.iter().find(|held| held.is_with(line));
        let held = held.filter(|held| held.amount.currency == line.amount.currency);
        held.is_some_and(|held| line.amount.amount > held.amount.amount)
    })
}

fn bounds<'a>(admitted: &'a Admitted, settled: &'a Settled) -> Vec<AtBound<'a>> {
    let is_beyond = is_beyond(admitted, settled);
    let at_bound = |bill: &'a Bill| {
        let was = bill.cost.filter(|_| bill.is_bound || is_beyond)?;
        let reported = (!bill.is_bound).then_some(bill);
        Some(AtBound { model: &bill.model, was, is_summed: true, reported })
    };
    let bounds: Vec<_> = settled.bills.iter().filter_map(at_bound).collect();
    if !bounds.is_empty() || settled.end != End::Unknown || !settled.bills.is_empty() {
        return bounds;
    }
    // As older binaries wrote it: charged, and no bill.
    let (line, model) = (settled.charged.first(), admitted.plan.first());
    let old = line.zip(model);
    old.map(|(line, model)| AtBound { model, was: line.amount, is_summed: false, reported: None })
        .into_iter()
        .collect()
}

/// The last of them has cost all of it, the others nothing: nobody says which.
fn bills(
    bounds: &[AtBound<'_>],
    cost: Option<Money>,
    exchange: &Exchange,
) -> Result<Vec<Rebill>, CorrectionError> {
    if let Some(cost) = cost {
        let was = sum(bounds, cost.currency, exchange)?;
        if cost.amount > was.amount {
            return Err(CorrectionError::Dearer { was, cost });
        }
    }
    let last = bounds.len() - 1;
    let bill = |(at, bound): (usize, &AtBound<'_>)| Rebill {
        model: bound.model.clone(),
        was: Some(bound.was).filter(|_| bound.is_summed),
        cost: cost.filter(|_| at == last).unwrap_or(Amount::ZERO.of(bound.was.currency)),
        reported: bound.reported.cloned(),
    };
    Ok(bounds.iter().enumerate().map(bill).collect())
}

fn sum(
    bounds: &[AtBound<'_>],
    currency: pricing::Currency,
    exchange: &Exchange,
) -> Result<Money, CorrectionError> {
    let mut sum = Amount::ZERO;
    for bound in bounds {
        let more = exchange.convert(bound.was, currency)?.amount;
        sum = sum.plus(more).unwrap_or(sum);
    }
    Ok(sum.of(currency))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const CALL: &str = "call_01a1fb7b-d522-7414-8c47-aa7df2bebacf";

    fn line(holder: &str, amount: &str) -> Value {
        json!({"holder": holder, "period": "month", "window": "2027-01-01T00:00:00.000Z", "amount": amount})
    }

    fn admitted() -> Admitted {
        serde_json::from_value(json!({
            "v": 1, "call": CALL, "at": "2027-01-15T07:59:00.000Z", "namespace": "sales",
            "operation": "chat", "asked": "best", "plan": ["large", "small"], "streamed": false,
            "held": [line("namespace/sales", "0.5 EUR")],
        }))
        .expect("an entry")
    }

    fn lost_bill() -> Value {
        json!([{"model": "large", "cost": "0.5 EUR", "isBound": true}])
    }

    fn settled(end: &str, bills: Value, charged: &[(&str, &str)]) -> Settled {
        let charged: Vec<Value> = charged.iter().map(|(who, amount)| line(who, amount)).collect();
        serde_json::from_value(json!({
            "v": 1, "call": CALL, "at": "2027-01-15T07:59:01.000Z", "end": end, "legs": [],
            "bills": bills, "charged": charged, "micros": 1, "ownMicros": 1,
        }))
        .expect("an entry")
    }

    fn corrected(settled: &Settled, cost: Option<&str>) -> Result<String, String> {
        let known = Known {
            cost: cost.map(|text| text.parse().expect("money")),
            by: "ann".to_owned(),
            reason: "the bill says so".to_owned(),
            at: admitted().at,
        };
        let mut exchange = Exchange::default();
        exchange.put("2 USD = 1 EUR".parse().expect("a rate"));
        let found = Corrected::of(&admitted(), Some(settled), known, &exchange);
        let found = found.map_err(|why| why.to_string())?;
        let exact = |money: &Money| money.exact();
        let bills = found.bills.iter().map(|it| {
            let was = it.was.as_ref().map_or_else(|| "none".to_owned(), exact);
            format!("{} {was} -> {}", it.model, it.cost.exact())
        });
        let lines = found.charged.iter().map(|it| {
            format!("{} {} -> {}", it.line.holder.to_text(), it.was.exact(), it.line.amount.exact())
        });
        Ok(bills.chain(lines).collect::<Vec<_>>().join("; "))
    }

    /// Mutation: charge more than the bound, take a leg whose cost is known for one at its bound, leave one budget
    /// as it was, or give a lease back.
    #[test]
    fn what_was_booked_at_a_bound_is_replaced_and_nothing_else() {
        let lost =
            settled("left", lost_bill(), &[("namespace/sales", "0.5 EUR"), ("key/bot", "0.5 EUR")]);
        let leased = settled("left", lost_bill(), &[("fleet/namespace/sales", "0.5 EUR")]);
        let stays = "large 0.5 EUR -> 0 EUR; fleet/namespace/sales 0.5 EUR -> 0.5 EUR";
        assert_eq!(corrected(&leased, None), Ok(stays.to_owned()));
        let both = "large 0.5 EUR -> 0.12 EUR; namespace/sales 0.5 EUR -> 0.12 EUR; key/bot 0.5 EUR -> 0.12 EUR";
        assert_eq!(corrected(&lost, Some("0.12EUR")), Ok(both.to_owned()));
        let free =
            "large 0.5 EUR -> 0 EUR; namespace/sales 0.5 EUR -> 0 EUR; key/bot 0.5 EUR -> 0 EUR";
        assert_eq!(corrected(&lost, None), Ok(free.to_owned()));
        assert!(corrected(&lost, Some("0.500001EUR")).is_err_and(|it| it.contains("0.50 EUR")));
        assert_eq!(
            corrected(&lost, Some("0.3GBP")).expect_err("no rate"),
            "there is no rate from EUR to GBP; write one into `rates` of `models` in the site's configuration"
        );

        let two = json!([
            {"model": "large", "cost": "0.3 EUR", "isBound": true},
            {"model": "small", "cost": "0.1 EUR"},
        ]);
        let mixed = settled("answered", two, &[("key/bot", "0.4 EUR")]);
        let kept = "large 0.3 EUR -> 0.05 EUR; key/bot 0.4 EUR -> 0.15 EUR";
        assert_eq!(corrected(&mixed, Some("0.05EUR")), Ok(kept.to_owned()));
    }

    /// Mutation: let nobody correct what is beyond what was held, take it for one at its bound, leave a bill of it as
    /// it was, let it become dearer, or take for one what was held for exactly.
    #[test]
    fn what_was_reported_beyond_what_was_held_is_replaced() {
        let nonsense = json!([
            {"model": "large", "cost": "0.1 EUR", "isBound": true},
            {"model": "small", "cost": "1000 EUR", "usage": {"input": 999_999_999, "output": 5}},
        ]);
        let beyond = settled("answered", nonsense, &[("namespace/sales", "1000.1 EUR")]);
        let said = "large 0.1 EUR -> 0 EUR; small 1000 EUR -> 0.02 EUR; namespace/sales 1000.1 EUR -> 0.02 EUR";
        assert_eq!(corrected(&beyond, Some("0.02EUR")), Ok(said.to_owned()));
        assert!(corrected(&beyond, Some("1000.2EUR")).is_err_and(|it| it.contains("is more")));
        let known =
            || Known { cost: None, by: String::new(), reason: String::new(), at: admitted().at };
        let found = Corrected::of(&admitted(), Some(&beyond), known(), &Exchange::default());
        let reported: Vec<_> =
            found.expect("free").bills.into_iter().map(|it| it.reported).collect();
        assert_eq!(reported, [None, Some(beyond.bills[1].clone())]);
        assert!(Corrected::may_be(&admitted(), &beyond));
        let paid = json!([{"model": "small", "cost": "0.5 EUR"}]);
        let exact =
            settled("answered", paid, &[("namespace/sales", "0.5 EUR"), ("key/bot", "9 EUR")]);
        assert!(corrected(&exact, None).is_err_and(|it| it.contains("is known")));
        assert!(!Corrected::may_be(&admitted(), &exact));
    }

    /// Mutation: take the amount as it stands though the budget is in another currency.
    #[test]
    fn a_cost_in_another_currency_is_converted_for_each_budget() {
        let bound = json!([{"model": "large", "cost": "1 USD", "isBound": true}]);
        let lost = settled("left", bound, &[("key/bot", "0.5 EUR")]);
        let said = "large 1 USD -> 0.4 USD; key/bot 0.5 EUR -> 0.2 EUR";
        assert_eq!(corrected(&lost, Some("0.4USD")), Ok(said.to_owned()));
    }

    /// Mutation: let a call be corrected whose cost is known, or refuse one that an older binary has left behind.
    #[test]
    fn only_calls_at_a_bound_are_corrected() {
        let paid = json!([{"model": "small", "cost": "0.1 EUR"}]);
        let known = settled("answered", paid, &[("key/bot", "0.1 EUR")]);
        assert!(corrected(&known, None).is_err_and(|it| it.contains("is known")));
        let nothing = settled("failed", json!([]), &[]);
        assert!(corrected(&nothing, None).is_err_and(|it| it.contains("is known")));
        let old = settled("unknown", json!([]), &[("key/bot", "0.5 EUR")]);
        let said = "large none -> 0.2 EUR; key/bot 0.5 EUR -> 0.2 EUR";
        assert_eq!(corrected(&old, Some("0.2EUR")), Ok(said.to_owned()));
        let known =
            Known { cost: None, by: String::new(), reason: String::new(), at: admitted().at };
        let open = Corrected::of(&admitted(), None, known, &Exchange::default());
        assert_eq!(open, Err(CorrectionError::UnderWay));
    }
}
