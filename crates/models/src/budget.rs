//! What may be spent: caps, what is held back for calls under way, and what was spent.
//!
//! A call is held in all budgets that it falls under, at the most that it may cost, or in none. Settled,
//! it gives back what it did not cost. So what is spent and what is held never exceed a cap together.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;

use base::name::WorkflowKey;
use base::{CallId, KeyName, Namespace, RunId, Timestamp, WorkflowName};
use pricing::{Amount, Budget, BudgetError, Money, MoneyError, Period};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::account::Account;
use crate::alarms::Alarms;
use crate::correction::Recharge;
use crate::purse::{Missing, Purses};
use crate::rates::{Exchange, ExchangeError};
use crate::worst::Worst;

/// Whose spending is capped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    Namespace(Namespace),
    Key(KeyName),
    Workflow(WorkflowKey),
    Run(RunId),
    /// The same, over all sites of a fleet: what this site may spend of it is leased to it (ADR 26).
    Fleet(Box<Holder>),
}

/// A part of what a call holds: so much of this budget, in this window of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub holder: Holder,
    #[serde(with = "period")]
    pub period: Period,
    /// When the window begins; none where it never ends.
    pub window: Option<Timestamp>,
    pub amount: Money,
}

/// All budgets of a site, and what is held in them.
#[derive(Debug, Default)]
pub struct Books {
    accounts: HashMap<Holder, Vec<Account>>,
    purses: Purses,
    held: HashMap<CallId, Vec<Line>>,
}

/// Why a cost cannot be charged. What was held is charged in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// A share of a cap is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    pub holder: Holder,
    pub budget: Budget,
    pub percent: u8,
    pub spent: Money,
    /// When the window began; none where it never ends.
    pub window: Option<Timestamp>,
}

/// One budget for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub holder: Holder,
    pub budget: Budget,
    pub spent: Money,
    pub held: Money,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub alarms: Alarms,
}

/// Why a call may not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(
        "the budget of {holder} is {budget}: {} is spent and {} is held for calls under way, and this call may cost {asked}{}",
        spent, held, until.map(|at| format!("; it begins anew at {at}")).unwrap_or_default()
    )]
    Exhausted {
        holder: Holder,
        budget: Budget,
        spent: Money,
        held: Money,
        asked: Money,
        until: Option<Timestamp>,
    },
    #[error(
        "{holder} has a budget of {budget}, and nobody can say what this call may cost at most: {why}"
    )]
    Unbounded { holder: Holder, budget: Budget, why: String },
    #[error(
        "{holder} has a budget of {budget} over several sites: {leased} of it are leased to this one, {spent} are spent and {held} are held for calls under way, and this call may cost {asked}; {missing}{}",
        until.map(|at| format!("; it begins anew at {at}")).unwrap_or_default()
    )]
    Leased {
        holder: Holder,
        budget: Budget,
        leased: Money,
        spent: Money,
        held: Money,
        asked: Money,
        until: Option<Timestamp>,
        missing: Missing,
    },
    #[error("the budget of {holder} cannot be reckoned: {why}")]
    Exchange { holder: Holder, why: ExchangeError },
    #[error("the budget of {holder} cannot be reckoned: {why}")]
    Money { holder: Holder, why: MoneyError },
    #[error("the budget of {holder} cannot be reckoned: {why}")]
    Time { holder: Holder, why: BudgetError },
}

impl Refused {
    pub(crate) fn unreckoned(holder: Holder, why: SettleError) -> Self {
        match why {
            SettleError::Exchange(why) => Self::Exchange { holder, why },
            SettleError::Money(why) => Self::Money { holder, why },
        }
    }
}

impl Books {
    /// Puts a budget in the place of the one of that holder and period. What was spent stays spent and what is
    /// held stays held, also where it was taken away meanwhile, or was in another currency.
    pub fn set(&mut self, holder: Holder, budget: Budget) {
        let accounts = self.accounts.entry(holder).or_default();
        match accounts.iter_mut().find(|it| it.budget().period() == budget.period()) {
            Some(account) => account.set(budget),
            None => accounts.push(Account::new(budget)),
        }
    }

    /// Whether what such a budget would begin with can be said in its currency: without a rate, all calls under it
    /// would be refused.
    pub fn may_set(
        &self,
        holder: &Holder,
        budget: Budget,
        exchange: &Exchange,
        now: Timestamp,
    ) -> Result<(), SettleError> {
        let accounts = self.accounts.get(holder).into_iter().flatten();
        for account in accounts.filter(|it| it.budget().period() == budget.period()) {
            let mut account = account.clone();
            account.set(budget);
            // A time outside of the calendar leaves it as it was.
            account.roll(now).ok();
            account.spent(exchange)?;
            account.held(exchange)?;
        }
        Ok(())
    }

    /// At which shares a budget is told of, in place of the usual ones. Those below one that was told in its
    /// window are not told any more.
    pub fn alarms_set(&mut self, holder: &Holder, period: Period, alarms: Alarms) {
        let accounts = self.accounts.get_mut(holder).into_iter().flatten();
        for account in accounts.filter(|it| it.budget().period() == period) {
            account.alarms_set(alarms.clone());
        }
    }

    /// Puts a budget that its holder brings along, where there is none yet; with what was spent before, and
    /// what is held already.
    pub fn bring(&mut self, holder: &Holder, budget: Budget, spent: impl FnOnce() -> Option<Line>) {
        let accounts = self.accounts.get(holder).into_iter().flatten();
        if accounts.into_iter().any(|it| it.budget().period() == budget.period()) {
            return;
        }
        self.set(holder.clone(), budget);
        let held = self.held.values().flatten().filter(|line| line.holder == *holder);
        for line in held.cloned().collect::<Vec<_>>() {
            if let Some(account) = self.account_at(&line) {
                account.hold(line.amount);
            }
        }
        let spent = spent();
        if let Some((account, line)) =
            spent.as_ref().and_then(|line| Some((self.account_at(line)?, line)))
        {
            account.charge(line.amount);
        }
    }

    /// Takes a cap away. What was spent and is held is kept for who sets it again; a run's is over.
    pub fn remove(&mut self, holder: &Holder, period: Period) -> bool {
        let Some(accounts) = self.accounts.get_mut(holder) else { return false };
        let mut was_on = false;
        accounts.retain_mut(|account| {
            if account.budget().period() != period {
                return true;
            }
            was_on |= account.is_on();
            account.remove() && outlives_its_budget(holder)
        });
        if accounts.is_empty() {
            self.accounts.remove(holder);
        }
        was_on
    }

    /// Holds back what a call may cost at most, in all budgets of these holders, or in none. Gives what
    /// is held, for the record. `bound` says why where there is none.
    pub fn reserve(
        &mut self,
        call: CallId,
        holders: &[Holder],
        bound: &Result<Worst, String>,
        exchange: &Exchange,
        now: Timestamp,
    ) -> Result<Vec<Line>, Box<Refused>> {
        let mut lines = Vec::new();
        for holder in holders {
            let accounts = self.accounts.get_mut(holder).into_iter().flatten();
            for account in accounts.filter(|it| it.is_on()) {
                let rolled = account.roll(now);
                rolled.map_err(|why| Box::new(Refused::Time { holder: holder.clone(), why }))?;
                lines.push(account.line(holder, bound, exchange)?);
            }
            self.purses.lines(holder, bound, exchange, now, &mut lines)?;
        }
        for line in &lines {
            self.hold_line(line);
        }
        if !lines.is_empty() {
            self.held.insert(call, lines.clone());
        }
        Ok(lines)
    }

    /// Sees to it that a call that holds something already holds all of this: what it held so far may have to be paid,
    /// and it goes on. In all of its budgets, or in none.
    pub fn extend(
        &mut self,
        call: CallId,
        needed: &Worst,
        exchange: &Exchange,
    ) -> Result<Vec<Line>, Box<Refused>> {
        let held = self.held.get(&call).cloned().unwrap_or_default();
        let mut lines = Vec::with_capacity(held.len());
        for line in &held {
            let (currency, holder) = (line.amount.currency, &line.holder);
            let needed = needed.in_currency(currency, exchange);
            let needed =
                needed.map_err(|why| Box::new(Refused::unreckoned(holder.clone(), why)))?;
            let more = match needed.amount.minus(line.amount.amount) {
                Ok(more) if more > Amount::ZERO => Ok(Worst::from(more.of(currency))),
                Ok(_) | Err(_) => continue,
            };
            if matches!(holder, Holder::Fleet(_)) {
                lines.push(self.purses.line_more(line, &more, exchange)?);
            // One whose window is over since weighs on nobody any more.
            } else if let Some(account) = self.account(line) {
                match account.line_in(currency, holder, &more, exchange) {
                    Ok(line) => lines.push(line),
                    // A cap that was taken away refuses nobody.
                    Err(_) if !account.is_on() => {}
                    Err(refused) => return Err(refused),
                }
            }
        }
        for line in &lines {
            self.hold_line(line);
            let held = self.held.entry(call).or_default().iter_mut();
            for held in held.filter(|it| it.is_with(line)) {
                held.amount = held.amount.plus(line.amount).expect("it was reckoned");
            }
        }
        Ok(lines)
    }

    /// What a call has cost, leg by leg. Gives what is charged to which budget, for the record.
    pub fn settle(
        &mut self,
        call: CallId,
        costs: &[Money],
        exchange: &Exchange,
    ) -> Result<(Vec<Line>, Vec<Alarm>), SettleError> {
        let held = self.held.get(&call).map_or(&[][..], Vec::as_slice);
        let charge = |line: &Line| -> Result<Line, SettleError> {
            let mut amount = Amount::ZERO.of(line.amount.currency);
            for cost in costs {
                amount = amount.plus(exchange.convert(*cost, line.amount.currency)?)?;
            }
            Ok(Line { amount, ..line.clone() })
        };
        let charged = held.iter().map(charge).collect::<Result<Vec<_>, _>>()?;
        let alarms = self.charge(call, &charged, exchange);
        Ok((charged, alarms))
    }

    /// The same with all that was held: nobody knows what it has cost.
    pub fn settle_held(&mut self, call: CallId, exchange: &Exchange) -> (Vec<Line>, Vec<Alarm>) {
        let charged = self.held.get(&call).cloned().unwrap_or_default();
        let alarms = self.charge(call, &charged, exchange);
        (charged, alarms)
    }

    /// What the record says was held; for the start.
    pub fn hold(&mut self, call: CallId, lines: Vec<Line>) {
        for line in &lines {
            self.purses.hold(line);
            if let Some(account) = self.account_at(line) {
                account.hold(line.amount);
            }
        }
        self.held.insert(call, lines);
    }

    /// Gives back what a call holds.
    pub fn release(&mut self, call: CallId) {
        for line in self.held.remove(&call).unwrap_or_default() {
            self.purses.release(&line);
            if let Some(account) = self.account(&line) {
                account.release(line.amount);
            }
        }
    }

    /// What the record says was charged; for the start, too. What was held for the call comes back.
    pub fn charge(&mut self, call: CallId, charged: &[Line], exchange: &Exchange) -> Vec<Alarm> {
        self.release(call);
        let mut alarms = Vec::new();
        for line in charged {
            self.purses.charge(line);
            if let Some(account) = self.account_at(line) {
                account.charge(line.amount);
                alarms.extend(account.alarm(&line.holder, exchange));
            }
        }
        alarms
    }

    /// A share that is reached already, where a cap was set lower or its shares are others.
    pub fn reached(
        &mut self,
        holder: &Holder,
        period: Period,
        exchange: &Exchange,
    ) -> Option<Alarm> {
        let accounts = self.accounts.get_mut(holder)?;
        accounts.iter_mut().find(|it| it.budget().period() == period)?.alarm(holder, exchange)
    }

    /// What was charged turns out to be less: the rest comes back, in the windows in which it was charged. Of
    /// one that is over nothing is left to come back to.
    pub fn correct(&mut self, charged: &[Recharge]) {
        for Recharge { line, was } in charged {
            let Ok(back) = was.minus(line.amount) else { continue };
            if let Some(account) = self.account(line) {
                account.give_back(back);
            }
        }
    }

    /// What a call holds.
    #[must_use]
    pub fn held(&self, call: CallId) -> Vec<Line> {
        self.held.get(&call).cloned().unwrap_or_default()
    }

    /// What this site may spend of fleet budgets.
    pub const fn purses(&mut self) -> &mut Purses {
        &mut self.purses
    }

    /// What calls under way hold, call by call.
    pub fn holding(&self) -> impl Iterator<Item = (CallId, &Line)> {
        self.held.iter().flat_map(|(call, lines)| lines.iter().map(move |line| (*call, line)))
    }

    fn hold_line(&mut self, line: &Line) {
        self.purses.hold(line);
        if let Some(account) = self.account(line) {
            account.hold(line.amount);
        }
    }

    /// Calls that hold something.
    pub fn under_way(&self) -> impl Iterator<Item = CallId> {
        self.held.keys().copied()
    }

    /// How all budgets stand, by holder and period.
    #[must_use]
    pub fn standings(&self, exchange: &Exchange, now: Timestamp) -> Vec<Standing> {
        let mut all = BTreeMap::new();
        for (holder, accounts) in &self.accounts {
            for account in accounts.iter().filter(|it| it.is_on()) {
                let mut account = account.clone();
                // A time outside of the calendar leaves it as it was.
                account.roll(now).ok();
                all.insert((holder.clone(), account.budget().period()), account);
            }
        }
        let standing = |((holder, _), account): (_, Account)| account.standing(holder, exchange);
        all.into_iter().map(standing).collect()
    }

    /// The account of a line, where it is still the same window.
    fn account(&mut self, line: &Line) -> Option<&mut Account> {
        let accounts = self.accounts.get_mut(&line.holder)?.iter_mut();
        let mut same = accounts.filter(|it| it.budget().period() == line.period);
        same.find(|it| it.starts() == line.window)
    }

    /// The same, where the line may be the first that is heard of a newer window, or of a budget that was taken
    /// away in a life before.
    fn account_at(&mut self, line: &Line) -> Option<&mut Account> {
        if outlives_its_budget(&line.holder) {
            let accounts = self.accounts.entry(line.holder.clone()).or_default();
            if accounts.iter().all(|it| it.budget().period() != line.period) {
                accounts.push(Account::off(line));
            }
        }
        let mut accounts = self.accounts.get_mut(&line.holder)?.iter_mut();
        let account = accounts.find(|it| it.budget().period() == line.period)?;
        if line.window > account.starts() {
            account.roll(line.window?).ok()?;
        }
        (account.starts() == line.window).then_some(account)
    }
}

/// Whether a budget may be set again by name. A run's is of its workflow and ends with it, and what is spent of a
/// lease is in its purse.
const fn outlives_its_budget(holder: &Holder) -> bool {
    match holder {
        Holder::Namespace(_) | Holder::Key(_) | Holder::Workflow(_) => true,
        Holder::Run(_) | Holder::Fleet(_) => false,
    }
}

impl Line {
    /// Whether it is of the same budget and window.
    pub(crate) fn is_with(&self, other: &Self) -> bool {
        self.holder == other.holder && self.period == other.period && self.window == other.window
    }
}

/// As it is written: `namespace/sales`, `key/bot`, `workflow/sales/intake`, `run/run_…`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is nobody who can have a budget: write `namespace/NAME`, `key/NAME`, `workflow/NAMESPACE/NAME` or `run/ID`"
)]
pub struct HolderError(String);

impl Holder {
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Namespace(name) => format!("namespace/{name}"),
            Self::Key(name) => format!("key/{name}"),
            Self::Workflow(key) => format!("workflow/{}/{}", key.namespace, key.name),
            Self::Run(run) => format!("run/{run}"),
            Self::Fleet(holder) => format!("fleet/{}", holder.to_text()),
        }
    }

    fn read(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once('/')?;
        match kind {
            "namespace" => Namespace::parse(name).ok().map(Self::Namespace),
            "key" => KeyName::parse(name).ok().map(Self::Key),
            "run" => name.parse().ok().map(Self::Run),
            "fleet" => match Self::read(name)? {
                Self::Fleet(_) => None,
                holder => Some(Self::Fleet(Box::new(holder))),
            },
            "workflow" => {
                let (namespace, name) = name.split_once('/')?;
                let namespace = Namespace::parse(namespace).ok()?;
                let name = WorkflowName::parse(name).ok()?;
                Some(Self::Workflow(WorkflowKey { namespace, name }))
            }
            _ => None,
        }
    }
}

impl FromStr for Holder {
    type Err = HolderError;

    fn from_str(text: &str) -> Result<Self, HolderError> {
        Self::read(text).ok_or_else(|| HolderError(text.chars().take(80).collect()))
    }
}

impl Serialize for Holder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for Holder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A period by its name.
mod period {
    use pricing::Period;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(period: &Period, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(period.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Period, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(name) => write!(f, "the namespace `{name}`"),
            Self::Key(name) => write!(f, "the key `{name}`"),
            Self::Workflow(key) => write!(f, "the workflow `{key}`"),
            Self::Run(run) => write!(f, "the run `{run}`"),
            Self::Fleet(holder) => holder.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use base::Duration;
    use pricing::Rate;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect(text)
    }

    fn money(text: &str) -> Money {
        text.parse().expect(text)
    }

    fn call(n: u128) -> CallId {
        CallId::from_uuid(uuid::Uuid::from_u128(n))
    }

    fn holder(text: &str) -> Holder {
        text.parse().expect(text)
    }

    fn books(budgets: &[(&str, &str)]) -> Books {
        let mut books = Books::default();
        for (who, budget) in budgets {
            books.set(holder(who), budget.parse().expect(budget));
        }
        books
    }

    fn reserve(
        books: &mut Books,
        n: u128,
        whose: &[&str],
        bound: &str,
        now: &str,
    ) -> Result<Vec<Line>, Box<Refused>> {
        let holders: Vec<_> = whose.iter().map(|text| holder(text)).collect();
        books.reserve(call(n), &holders, &Ok(money(bound).into()), &Exchange::default(), at(now))
    }

    fn shown(books: &Books, now: &str) -> Vec<String> {
        let line = |it: Standing| {
            format!(
                "{} {}: {} spent, {} held",
                it.holder.to_text(),
                it.budget,
                it.spent.amount,
                it.held.amount
            )
        };
        books.standings(&Exchange::default(), at(now)).into_iter().map(line).collect()
    }

    const NOON: &str = "2026-11-22T12:00:00Z";
    const NEXT_DAY: &str = "2026-11-23T00:00:00Z";

    /// Mutation: hold in the first budget before the second was asked, compare without what is held, or leave out what
    /// was spent.
    #[test]
    fn a_call_is_held_in_all_its_budgets_or_in_none() {
        let mut books = books(&[("namespace/sales", "1EUR/month"), ("key/bot", "0.30EUR/day")]);
        let both = ["namespace/sales", "key/bot"];
        reserve(&mut books, 1, &both, "0.20EUR", NOON).expect("it fits");
        let refused = reserve(&mut books, 2, &both, "0.11EUR", NOON).expect_err("too much");
        assert_eq!(
            refused.to_string(),
            "the budget of the key `bot` is 0.30 EUR/day: 0.00 EUR is spent and 0.20 EUR is held for calls under way, and this call may cost 0.11 EUR; it begins anew at 2026-11-23T00:00:00.000Z"
        );
        let held = [
            "namespace/sales 1.00 EUR/month: 0.00 spent, 0.20 held",
            "key/bot 0.30 EUR/day: 0.00 spent, 0.20 held",
        ];
        assert_eq!(shown(&books, NOON), held);
        books.settle(call(1), &[money("0.05EUR")], &Exchange::default()).expect("settled");
        reserve(&mut books, 3, &both, "0.25EUR", NOON).expect("what it did not cost is back");
        assert!(reserve(&mut books, 4, &both, "0.000001EUR", NOON).is_err());
        let after = [
            "namespace/sales 1.00 EUR/month: 0.05 spent, 0.25 held",
            "key/bot 0.30 EUR/day: 0.05 spent, 0.25 held",
        ];
        assert_eq!(shown(&books, NOON), after);
    }

    /// Mutation: let what was held yesterday weigh today, or charge it to today.
    #[test]
    fn a_window_begins_anew_and_what_was_held_before_it_is_of_the_one_before() {
        let mut books = books(&[("key/bot", "0.30EUR/day")]);
        reserve(&mut books, 1, &["key/bot"], "0.30EUR", NOON).expect("it fits");
        reserve(&mut books, 2, &["key/bot"], "0.30EUR", NEXT_DAY).expect("a new day");
        books.settle(call(1), &[money("0.30EUR")], &Exchange::default()).expect("settled");
        assert_eq!(shown(&books, NEXT_DAY), ["key/bot 0.30 EUR/day: 0.00 spent, 0.30 held"]);
        books.settle_held(call(2), &Exchange::default());
        assert_eq!(shown(&books, NEXT_DAY), ["key/bot 0.30 EUR/day: 0.30 spent, 0.00 held"]);
    }

    /// Mutation: let a call through whose cost nobody can bound, or one that cannot be converted.
    #[test]
    fn what_has_no_bound_is_refused_under_a_cap_and_only_there() {
        let mut books = books(&[("key/bot", "0.30EUR/day")]);
        let unbounded = |books: &mut Books, who: &str| {
            let bound = Err("no limit of output".to_owned());
            books.reserve(call(9), &[holder(who)], &bound, &Exchange::default(), at(NOON))
        };
        let refused = unbounded(&mut books, "key/bot").expect_err("unbounded");
        assert!(matches!(*refused, Refused::Unbounded { .. }));
        assert_eq!(unbounded(&mut books, "key/other"), Ok(Vec::new()));
        let foreign = reserve(&mut books, 1, &["key/bot"], "0.01USD", NOON);
        let foreign = foreign.expect_err("no rate");
        assert!(matches!(*foreign, Refused::Exchange { .. }), "{foreign:?}");
    }

    /// Mutation: convert down, or keep what another currency's cap was charged.
    #[test]
    fn other_currencies_are_converted_upwards() {
        let mut exchange = Exchange::default();
        let rate: Rate = "3 USD = 2 EUR".parse().expect("a rate");
        exchange.put(rate);
        let mut books = books(&[("key/bot", "1EUR/total")]);
        let bound = Ok(money("1USD").into());
        let lines = books.reserve(call(1), &[holder("key/bot")], &bound, &exchange, at(NOON));
        assert_eq!(lines.expect("held")[0].amount.exact(), "0.666666666667 EUR");
        let (charged, _) = books.settle(call(1), &[money("0.3USD")], &exchange).expect("settled");
        assert_eq!(charged[0].amount.exact(), "0.2 EUR");
    }

    /// Mutation: tell an alarm twice, also where the same budget is set again, or only the highest of a window and
    /// never again.
    #[test]
    fn each_share_is_told_once_in_a_window() {
        let mut books = books(&[("key/bot", "1EUR/day")]);
        let mut spend = |n: u128, amount: &str, now: &str| {
            reserve(&mut books, n, &["key/bot"], amount, now).expect("it fits");
            books.settle(call(n), &[money(amount)], &Exchange::default()).expect("settled").1
        };
        let percents = |alarms: Vec<Alarm>| alarms.iter().map(|it| it.percent).collect::<Vec<_>>();
        assert_eq!(percents(spend(1, "0.49EUR", NOON)), [0_u8; 0]);
        assert_eq!(percents(spend(2, "0.01EUR", NOON)), [50]);
        assert_eq!(percents(spend(3, "0.10EUR", NOON)), [0_u8; 0]);
        assert_eq!(percents(spend(4, "0.40EUR", NOON)), [100]);
        assert_eq!(percents(spend(5, "0.80EUR", NEXT_DAY)), [80]);
        let again = |books: &mut Books, budget: &str| {
            books.set(holder("key/bot"), budget.parse().expect("a budget"));
            let alarm = books.reached(&holder("key/bot"), Period::Day, &Exchange::default());
            alarm.map(|it| it.percent)
        };
        assert_eq!(again(&mut books, "1EUR/day"), None, "it is the same");
        assert_eq!(again(&mut books, "0.90EUR/day"), Some(80));
    }

    /// Mutation: tell at the usual shares as well, forget them with the window, or tell again what was told.
    #[test]
    fn a_budget_is_told_at_the_shares_that_were_asked_for() {
        let mut books = books(&[("key/bot", "1EUR/day")]);
        let alarms = |shares: &[u8]| Alarms::try_from(shares.to_vec());
        books.alarms_set(&holder("key/bot"), Period::Day, alarms(&[95, 20]).expect("shares"));
        let spend = |books: &mut Books, n: u128, amount: &str, now: &str| {
            reserve(books, n, &["key/bot"], amount, now).expect("it fits");
            let told = books.settle(call(n), &[money(amount)], &Exchange::default());
            told.expect("settled").1.iter().map(|it| it.percent).collect::<Vec<_>>()
        };
        assert_eq!(spend(&mut books, 1, "0.60EUR", NOON), [20]);
        books.alarms_set(&holder("key/bot"), Period::Day, alarms(&[10, 60, 70]).expect("shares"));
        assert_eq!(spend(&mut books, 2, "0.05EUR", NOON), [60]);
        assert_eq!(spend(&mut books, 3, "0.05EUR", NOON), [70]);
        assert_eq!(spend(&mut books, 4, "0.10EUR", NEXT_DAY), [10]);
    }

    fn in_eur_and_usd() -> Exchange {
        let mut exchange = Exchange::default();
        for rate in ["3 USD = 2 EUR", "2 EUR = 3 USD"] {
            exchange.put(rate.parse().expect("a rate"));
        }
        exchange
    }

    fn told(books: &Books, exchange: &Exchange) -> String {
        let line = |it: Standing| {
            let (spent, held) = (it.spent.amount.exact(), it.held.amount.exact());
            format!("{}: {spent} spent, {held} held", it.budget)
        };
        books.standings(exchange, at(NOON)).into_iter().map(line).collect::<Vec<_>>().join("; ")
    }

    /// Mutation: forget with a cap what was spent or is held, forget what ends while there is none, show one that was
    /// taken away, or let it refuse somebody.
    #[test]
    fn what_was_spent_and_held_outlives_its_budget() {
        let mut books = books(&[("key/bot", "0.20EUR/day"), ("key/idle", "1EUR/day")]);
        let (bot, day, none) = (holder("key/bot"), Period::Day, Exchange::default());
        for n in [1, 2] {
            reserve(&mut books, n, &["key/bot"], "0.10EUR", NOON).expect("it fits");
        }
        assert!(books.remove(&bot, day) && !books.remove(&bot, day));
        assert!(books.remove(&holder("key/idle"), day) && books.accounts.len() == 1);
        assert_eq!(told(&books, &none), "");
        assert_eq!(reserve(&mut books, 3, &["key/bot"], "9EUR", NOON), Ok(Vec::new()));
        books.extend(call(1), &money("0.40EUR").into(), &none).expect("nothing caps it");
        books.settle(call(2), &[money("0.05EUR")], &none).expect("settled");
        books.set(bot.clone(), "0.50EUR/day".parse().expect("a budget"));
        assert_eq!(told(&books, &none), "0.50 EUR/day: 0.05 spent, 0.4 held");
        assert!(reserve(&mut books, 4, &["key/bot"], "0.06EUR", NOON).is_err());
        books.settle(call(1), &[money("0.10EUR")], &none).expect("settled");
        assert_eq!(told(&books, &none), "0.50 EUR/day: 0.15 spent, 0 held");
        reserve(&mut books, 5, &["key/bot"], "0.50EUR", NEXT_DAY).expect("a new day");
    }

    /// Mutation: bring back at a start only what has a budget there, or charge it to a window that is there since.
    #[test]
    fn a_start_knows_what_was_spent_of_a_budget_that_was_taken_away() {
        let mut live = books(&[("namespace/sales", "1EUR/month")]);
        let held = reserve(&mut live, 1, &["namespace/sales"], "0.40EUR", NOON).expect("held");
        let more = reserve(&mut live, 2, &["namespace/sales"], "0.30EUR", NOON).expect("held");
        let none = Exchange::default();
        let (charged, _) = live.settle_held(call(1), &none);
        assert_eq!(charged, held);
        let mut again = books(&[]);
        again.charge(call(9), &charged, &none);
        again.hold(call(2), more);
        assert_eq!(told(&again, &none), "");
        again.set(holder("namespace/sales"), "1EUR/month".parse().expect("a budget"));
        assert_eq!(told(&again, &none), "1.00 EUR/month: 0.4 spent, 0.3 held");
        assert!(reserve(&mut again, 3, &["namespace/sales"], "0.31EUR", NOON).is_err());
        reserve(&mut again, 4, &["namespace/sales"], "1EUR", "2026-12-01T00:00:00Z").expect("new");
    }

    /// Mutation: forget what was spent or is held in the other currency, take it as it stands, round it with each
    /// change, or hold more of a call in a currency that it does not hold.
    #[test]
    fn another_currency_keeps_what_was_spent_and_held() {
        let exchange = in_eur_and_usd();
        let mut books = books(&[("key/bot", "0.20EUR/day")]);
        let set = |books: &mut Books, budget: &str| {
            let (bot, budget) = (holder("key/bot"), budget.parse().expect(budget));
            assert_eq!(books.may_set(&bot, budget, &exchange, at(NOON)), Ok(()));
            books.set(bot, budget);
        };
        let reserve = |books: &mut Books, n: u128, bound: &str| {
            let whose = [holder("key/bot")];
            books.reserve(call(n), &whose, &Ok(money(bound).into()), &exchange, at(NOON)).is_ok()
        };
        for n in [1, 2] {
            assert!(reserve(&mut books, n, "0.10EUR"));
        }
        let (first, _) = books.settle(call(1), &[money("0.08EUR")], &exchange).expect("settled");
        for _ in 0..3 {
            set(&mut books, "0.30USD/day");
            assert_eq!(told(&books, &exchange), "0.30 USD/day: 0.12 spent, 0.15 held");
            set(&mut books, "0.20EUR/day");
        }
        assert_eq!(told(&books, &exchange), "0.20 EUR/day: 0.08 spent, 0.1 held");
        set(&mut books, "0.30USD/day");
        assert!(!reserve(&mut books, 3, "0.040001USD") && reserve(&mut books, 3, "0.02USD"));
        let more = |books: &mut Books, more: &str| {
            let needed = Worst::sum(vec![money("0.10EUR"), money(more)]);
            books.extend(call(2), &needed, &exchange).map(|lines| lines[0].amount)
        };
        assert!(more(&mut books, "0.01000001EUR").is_err());
        assert_eq!(more(&mut books, "0.006USD"), Ok(money("0.004EUR")));
        assert_eq!(books.held(call(2))[0].amount, money("0.104EUR"));
        let (second, _) = books.settle(call(2), &[money("0.09USD")], &exchange).expect("settled");
        let (third, _) = books.settle(call(3), &[money("0.01USD")], &exchange).expect("settled");
        assert_eq!((second[0].amount, third[0].amount), (money("0.06EUR"), money("0.01USD")));
        assert_eq!(told(&books, &exchange), "0.30 USD/day: 0.22 spent, 0 held");
        let mut again = self::books(&[("key/bot", "0.30USD/day")]);
        for line in [first, second.clone(), third].concat() {
            again.charge(call(9), &[line], &exchange);
        }
        assert_eq!(told(&again, &exchange), told(&books, &exchange));
        let less = Line { amount: money("0.02EUR"), ..second[0].clone() };
        books.correct(&[Recharge { line: less, was: second[0].amount }]);
        assert_eq!(told(&books, &exchange), "0.30 USD/day: 0.16 spent, 0 held");
    }

    /// Mutation: take a budget whose beginning nobody can reckon, or let calls pass under one.
    #[test]
    fn without_a_rate_a_budget_in_another_currency_is_refused() {
        let mut books = books(&[("key/bot", "0.20EUR/day")]);
        let (bot, none) = (holder("key/bot"), Exchange::default());
        let usd: Budget = "0.30USD/day".parse().expect("a budget");
        assert_eq!(books.may_set(&bot, usd, &none, at(NOON)), Ok(()), "nothing is in it");
        reserve(&mut books, 1, &["key/bot"], "0.10EUR", NOON).expect("it fits");
        let refused = |books: &Books| {
            let refused = books.may_set(&bot, usd, &none, at(NOON)).expect_err("no rate");
            assert!(refused.to_string().contains("no rate from EUR to USD"), "{refused}");
        };
        refused(&books);
        books.settle_held(call(1), &none);
        refused(&books);
        assert_eq!(books.may_set(&bot, usd, &none, at(NEXT_DAY)), Ok(()));
        books.set(bot.clone(), usd);
        let refused = reserve(&mut books, 2, &["key/bot"], "0.01USD", NOON).expect_err("no rate");
        assert!(matches!(*refused, Refused::Exchange { .. }), "{refused}");
        reserve(&mut books, 3, &["key/bot"], "0.01USD", NEXT_DAY).expect("a new day");
    }

    /// Mutation: forget what was held or charged, or count it twice.
    #[test]
    fn the_record_brings_the_books_back() {
        let budgets = [("namespace/sales", "1EUR/day"), ("key/bot", "9EUR/total")];
        let mut live = books(&budgets);
        let both = ["namespace/sales", "key/bot"];
        let first = reserve(&mut live, 1, &both, "0.40EUR", NOON).expect("held");
        let second = reserve(&mut live, 2, &both, "0.20EUR", NOON).expect("held");
        let (charged, _) =
            live.settle(call(1), &[money("0.10EUR")], &Exchange::default()).expect("settled");
        let mut again = books(&budgets);
        again.hold(call(1), first);
        again.hold(call(2), second);
        again.charge(call(1), &charged, &Exchange::default());
        assert_eq!(shown(&again, NOON), shown(&live, NOON));
        assert_eq!(again.under_way().collect::<Vec<_>>(), [call(2)]);
        let tomorrow = at(NEXT_DAY).plus(Duration::from_secs(1)).to_string();
        assert_eq!(
            shown(&again, &tomorrow)[0],
            "namespace/sales 1.00 EUR/day: 0.00 spent, 0.00 held"
        );
    }

    /// Mutation: give back to the window that is there now, or to none.
    #[test]
    fn what_was_charged_too_much_comes_back_where_it_was_charged() {
        let mut books = books(&[("namespace/sales", "1EUR/month"), ("key/bot", "0.50EUR/day")]);
        let both = ["namespace/sales", "key/bot"];
        reserve(&mut books, 1, &both, "0.40EUR", NOON).expect("held");
        let (charged, _) = books.settle_held(call(1), &Exchange::default());
        reserve(&mut books, 2, &both, "0.30EUR", NEXT_DAY).expect("a new day");
        books.settle_held(call(2), &Exchange::default());
        let less = |line: &Line| Recharge {
            line: Line { amount: money("0.10EUR"), ..line.clone() },
            was: line.amount,
        };
        books.correct(&charged.iter().map(less).collect::<Vec<_>>());
        let after = [
            "namespace/sales 1.00 EUR/month: 0.40 spent, 0.00 held",
            "key/bot 0.50 EUR/day: 0.30 spent, 0.00 held",
        ];
        assert_eq!(shown(&books, NEXT_DAY), after);
    }

    /// Mutation: hold more in one budget alone, or check it without what is held already.
    #[test]
    fn a_call_that_goes_on_holds_more_or_stays_as_it_was() {
        let mut books = books(&[("namespace/sales", "1EUR/day"), ("key/bot", "0.50EUR/day")]);
        let both = ["namespace/sales", "key/bot"];
        reserve(&mut books, 1, &both, "0.20EUR", NOON).expect("held");
        let needs = |books: &mut Books, needed: &str| {
            books.extend(call(1), &money(needed).into(), &Exchange::default()).is_ok()
        };
        assert!(!needs(&mut books, "0.51EUR"));
        assert_eq!(shown(&books, NOON)[0], "namespace/sales 1.00 EUR/day: 0.00 spent, 0.20 held");
        assert!(needs(&mut books, "0.50EUR") && needs(&mut books, "0.30EUR"));
        assert_eq!(shown(&books, NOON)[0], "namespace/sales 1.00 EUR/day: 0.00 spent, 0.50 held");
        let costs = [money("0.20EUR"), money("0.01EUR")];
        books.settle(call(1), &costs, &Exchange::default()).expect("settled");
        assert_eq!(shown(&books, NOON)[1], "key/bot 0.50 EUR/day: 0.21 spent, 0.00 held");
    }

    /// Mutation: read another kind's name, or write one that is not read back.
    #[test]
    fn a_holder_is_read_as_it_is_written() {
        for text in [
            "namespace/sales",
            "key/bot",
            "workflow/sales/intake",
            "run/run_01234567-89ab-7cde-8f01-23456789abcd",
        ] {
            assert_eq!(holder(text).to_text(), text);
        }
        for text in ["sales", "team/sales", "workflow/sales", "run/7", "key/a b", "namespace/"] {
            assert!(text.parse::<Holder>().is_err(), "{text}");
        }
    }
}
