//! What may be spent: caps, what is held back for calls under way, and what was spent.
//!
//! A call is held in all budgets that it falls under, at the most that it may cost, or in none. Settled,
//! it gives back what it did not cost. So what is spent and what is held never exceed a cap together.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;

use base::name::WorkflowKey;
use base::{CallId, KeyName, Namespace, RunId, Timestamp, WorkflowName};
use pricing::{Amount, Budget, BudgetError, Currency, Money, MoneyError, Period};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::alarms::Alarms;
use crate::correction::Recharge;
use crate::purse::{Missing, Purses};
use crate::rates::{Exchange, ExchangeError};

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

/// One budget as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub budget: Budget,
    /// Of the window that `spent` and `held` are of.
    window: Option<(Timestamp, Timestamp)>,
    spent: Amount,
    held: Amount,
    alarms: Alarms,
    /// The highest of them that was told in this window.
    told: u8,
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

impl Books {
    /// Puts a budget in the place of the one of that holder and period. What was spent stays spent.
    pub fn set(&mut self, holder: Holder, budget: Budget) {
        let accounts = self.accounts.entry(holder).or_default();
        match accounts.iter_mut().find(|it| it.budget.period() == budget.period()) {
            Some(account) if account.currency() == budget.cap().currency => {
                account.budget = budget;
                account.told = 0;
            }
            Some(account) => *account = Account::new(budget),
            None => accounts.push(Account::new(budget)),
        }
    }

    /// At which shares a budget is told of, in place of the usual ones. Those below one that was told in its
    /// window are not told any more.
    pub fn alarms_set(&mut self, holder: &Holder, period: Period, alarms: Alarms) {
        let accounts = self.accounts.get_mut(holder).into_iter().flatten();
        for account in accounts.filter(|it| it.budget.period() == period) {
            account.alarms = alarms.clone();
        }
    }

    /// Puts a budget that its holder brings along, where there is none yet; with what was spent before, and
    /// what is held already.
    pub fn bring(&mut self, holder: &Holder, budget: Budget, spent: impl FnOnce() -> Option<Line>) {
        let accounts = self.accounts.get(holder).into_iter().flatten();
        if accounts.into_iter().any(|it| it.budget.period() == budget.period()) {
            return;
        }
        self.set(holder.clone(), budget);
        let held = self.held.values().flatten().filter(|line| line.holder == *holder);
        for line in held.cloned().collect::<Vec<_>>() {
            if let Some(account) = self.account_at(&line) {
                account.held = account.held.plus(line.amount.amount).unwrap_or(account.held);
            }
        }
        let spent = spent();
        if let Some((account, line)) =
            spent.as_ref().and_then(|line| Some((self.account_at(line)?, line)))
        {
            account.spent = line.amount.amount;
        }
    }

    pub fn remove(&mut self, holder: &Holder, period: Period) -> bool {
        let Some(accounts) = self.accounts.get_mut(holder) else { return false };
        let before = accounts.len();
        accounts.retain(|account| account.budget.period() != period);
        before != accounts.len()
    }

    /// Holds back what a call may cost at most, in all budgets of these holders, or in none. Gives what
    /// is held, for the record. `bound` says why where there is none.
    pub fn reserve(
        &mut self,
        call: CallId,
        holders: &[Holder],
        bound: Result<Money, String>,
        exchange: &Exchange,
        now: Timestamp,
    ) -> Result<Vec<Line>, Box<Refused>> {
        let mut lines = Vec::new();
        for holder in holders {
            for account in self.accounts.get_mut(holder).into_iter().flatten() {
                let rolled = account.roll(now);
                rolled.map_err(|why| Box::new(Refused::Time { holder: holder.clone(), why }))?;
                lines.push(account.line(holder, bound.clone(), exchange)?);
            }
            self.purses.lines(holder, &bound, exchange, now, &mut lines)?;
        }
        for line in &lines {
            self.hold_line(line);
        }
        if !lines.is_empty() {
            self.held.insert(call, lines.clone());
        }
        Ok(lines)
    }

    /// Holds back more for a call that holds something already: what it held so far may have to be paid,
    /// and it goes on. In all of its budgets, or in none.
    pub fn extend(
        &mut self,
        call: CallId,
        more: Result<Money, String>,
        exchange: &Exchange,
    ) -> Result<Vec<Line>, Box<Refused>> {
        let held = self.held.get(&call).cloned().unwrap_or_default();
        let mut lines = Vec::with_capacity(held.len());
        for line in &held {
            if matches!(line.holder, Holder::Fleet(_)) {
                lines.push(self.purses.line_more(line, &more, exchange)?);
            // One whose window is over since weighs on nobody any more.
            } else if let Some(account) = self.account(line) {
                lines.push(account.line(&line.holder, more.clone(), exchange)?);
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
        let alarms = self.charge(call, &charged);
        Ok((charged, alarms))
    }

    /// The same with all that was held: nobody knows what it has cost.
    pub fn settle_held(&mut self, call: CallId) -> (Vec<Line>, Vec<Alarm>) {
        let charged = self.held.get(&call).cloned().unwrap_or_default();
        let alarms = self.charge(call, &charged);
        (charged, alarms)
    }

    /// What the record says was held; for the start.
    pub fn hold(&mut self, call: CallId, lines: Vec<Line>) {
        for line in &lines {
            self.purses.hold(line);
            if let Some(account) = self.account_at(line) {
                account.held = account.held.plus(line.amount.amount).unwrap_or(account.held);
            }
        }
        self.held.insert(call, lines);
    }

    /// What the record says was charged; for the start, too. What was held for the call comes back.
    pub fn charge(&mut self, call: CallId, charged: &[Line]) -> Vec<Alarm> {
        for line in self.held.remove(&call).unwrap_or_default() {
            self.purses.release(&line);
            if let Some(account) = self.account(&line) {
                account.held = account.held.minus(line.amount.amount).unwrap_or_default();
            }
        }
        let mut alarms = Vec::new();
        for line in charged {
            self.purses.charge(line);
            if let Some(account) = self.account_at(line) {
                account.spent = account.spent.plus(line.amount.amount).unwrap_or(account.spent);
                alarms.extend(account.alarm(&line.holder));
            }
        }
        alarms
    }

    /// What was charged turns out to be less: the rest comes back, in the windows in which it was charged. Of
    /// one that is over nothing is left to come back to.
    pub fn correct(&mut self, charged: &[Recharge]) {
        for Recharge { line, was } in charged {
            let Ok(back) = was.amount.minus(line.amount.amount) else { continue };
            if let Some(account) = self.account(line) {
                account.spent = account.spent.minus(back).unwrap_or_default();
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
            account.held = account.held.plus(line.amount.amount).expect("it was reckoned");
        }
    }

    /// Calls that hold something.
    pub fn under_way(&self) -> impl Iterator<Item = CallId> {
        self.held.keys().copied()
    }

    /// How all budgets stand, by holder and period.
    #[must_use]
    pub fn standings(&self, now: Timestamp) -> Vec<Standing> {
        let mut all = BTreeMap::new();
        for (holder, accounts) in &self.accounts {
            for account in accounts {
                let mut account = account.clone();
                // A time outside of the calendar leaves it as it was.
                account.roll(now).ok();
                all.insert((holder.clone(), account.budget.period()), account);
            }
        }
        let standing = |((holder, _), account): (_, Account)| account.standing(holder);
        all.into_iter().map(standing).collect()
    }

    /// The account of a line, where it is still the same window.
    fn account(&mut self, line: &Line) -> Option<&mut Account> {
        let accounts = self.accounts.get_mut(&line.holder)?.iter_mut();
        let mut same = accounts.filter(|it| it.budget.period() == line.period);
        same.find(|it| it.starts() == line.window && it.currency() == line.amount.currency)
    }

    /// The same, where the line may be the first that is heard of a newer window.
    fn account_at(&mut self, line: &Line) -> Option<&mut Account> {
        let accounts = self.accounts.get_mut(&line.holder)?.iter_mut();
        let mut same = accounts.filter(|it| it.budget.period() == line.period);
        let account = same.find(|it| it.currency() == line.amount.currency)?;
        if line.window > account.starts() {
            account.roll(line.window?).ok()?;
        }
        (account.starts() == line.window).then_some(account)
    }
}

impl Line {
    /// Whether it is of the same budget and window.
    fn is_with(&self, other: &Self) -> bool {
        self.holder == other.holder && self.period == other.period && self.window == other.window
    }
}

impl Account {
    fn new(budget: Budget) -> Self {
        let (spent, held) = (Amount::ZERO, Amount::ZERO);
        Self { budget, window: None, spent, held, alarms: Alarms::default(), told: 0 }
    }

    fn currency(&self) -> Currency {
        self.budget.cap().currency
    }

    fn starts(&self) -> Option<Timestamp> {
        self.window.map(|(start, _)| start)
    }

    /// Begins anew where the window is over. What is held from before is of that one.
    fn roll(&mut self, now: Timestamp) -> Result<(), BudgetError> {
        if self.window.is_some_and(|(_, end)| now < end) {
            return Ok(());
        }
        let window = self.budget.period().window(now)?.map(|it| (it.start, it.end));
        if window != self.window {
            let alarms = std::mem::take(&mut self.alarms);
            *self = Self { window, alarms, ..Self::new(self.budget) };
        }
        Ok(())
    }

    fn line(
        &self,
        holder: &Holder,
        bound: Result<Money, String>,
        exchange: &Exchange,
    ) -> Result<Line, Box<Refused>> {
        let holder = holder.clone();
        let budget = self.budget;
        let asked = match bound {
            Ok(bound) => exchange.convert(bound, self.currency()),
            Err(why) => return Err(Box::new(Refused::Unbounded { holder, budget, why })),
        };
        let asked = match asked {
            Ok(asked) => asked,
            Err(why) => return Err(Box::new(Refused::Exchange { holder, why })),
        };
        let sum = self.spent.plus(self.held).and_then(|sum| sum.plus(asked.amount));
        match sum {
            Ok(sum) if sum <= budget.cap().amount => {
                let (period, window) = (budget.period(), self.starts());
                Ok(Line { holder, period, window, amount: asked })
            }
            Ok(_) => {
                let until = self.window.map(|(_, end)| end);
                let Standing { spent, held, .. } = self.clone().standing(holder.clone());
                let refused = Refused::Exhausted { holder, budget, spent, held, asked, until };
                Err(Box::new(refused))
            }
            Err(why) => Err(Box::new(Refused::Money { holder, why })),
        }
    }

    /// The highest share that is reached.
    fn reached(&self) -> Option<u8> {
        let cap = self.budget.cap().amount.pico();
        let reached = |percent: &u8| {
            let share = cap.saturating_mul(u128::from(*percent)) / 100;
            self.spent.pico() >= share
        };
        self.alarms.shares().iter().copied().rfind(reached)
    }

    /// The same, where it was not told.
    fn alarm(&mut self, holder: &Holder) -> Option<Alarm> {
        let percent = self.reached()?;
        if percent <= self.told {
            return None;
        }
        self.told = percent;
        let (holder, budget, window) = (holder.clone(), self.budget, self.starts());
        let spent = self.spent.of(self.currency());
        Some(Alarm { holder, budget, percent, spent, window })
    }

    fn standing(self, holder: Holder) -> Standing {
        let currency = self.currency();
        Standing {
            holder,
            budget: self.budget,
            spent: self.spent.of(currency),
            held: self.held.of(currency),
            since: self.starts(),
            until: self.window.map(|(_, end)| end),
            alarms: self.alarms,
        }
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
        books.reserve(call(n), &holders, Ok(money(bound)), &Exchange::default(), at(now))
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
        books.standings(at(now)).into_iter().map(line).collect()
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
        books.settle_held(call(2));
        assert_eq!(shown(&books, NEXT_DAY), ["key/bot 0.30 EUR/day: 0.30 spent, 0.00 held"]);
    }

    /// Mutation: let a call through whose cost nobody can bound, or one that cannot be converted.
    #[test]
    fn what_has_no_bound_is_refused_under_a_cap_and_only_there() {
        let mut books = books(&[("key/bot", "0.30EUR/day")]);
        let unbounded = |books: &mut Books, who: &str| {
            let bound = Err("no limit of output".to_owned());
            books.reserve(call(9), &[holder(who)], bound, &Exchange::default(), at(NOON))
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
        let bound = Ok(money("1USD"));
        let lines = books.reserve(call(1), &[holder("key/bot")], bound, &exchange, at(NOON));
        assert_eq!(lines.expect("held")[0].amount.exact(), "0.666666666667 EUR");
        let (charged, _) = books.settle(call(1), &[money("0.3USD")], &exchange).expect("settled");
        assert_eq!(charged[0].amount.exact(), "0.2 EUR");
    }

    /// Mutation: tell an alarm twice, or only the highest of a window and never again.
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
        again.charge(call(1), &charged);
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
        let (charged, _) = books.settle_held(call(1));
        reserve(&mut books, 2, &both, "0.30EUR", NEXT_DAY).expect("a new day");
        books.settle_held(call(2));
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
        let more = |books: &mut Books, more: &str| {
            books.extend(call(1), Ok(money(more)), &Exchange::default()).is_ok()
        };
        assert!(!more(&mut books, "0.31EUR"));
        assert_eq!(shown(&books, NOON)[0], "namespace/sales 1.00 EUR/day: 0.00 spent, 0.20 held");
        assert!(more(&mut books, "0.30EUR"));
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
