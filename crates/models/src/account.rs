//! One budget in one of its windows: what was spent and what is held, in which currencies.
//!
//! A budget may be set in another currency while calls are under way. What was charged and held before stays in
//! its own currency and is reckoned when it is asked for: so each line comes back as it was taken, a start finds
//! the same as there was before it, and nothing is rounded by setting a budget to and fro.

use base::Timestamp;
use pricing::{Amount, Budget, BudgetError, Currency, Money};

use crate::alarms::Alarms;
use crate::budget::{Alarm, Holder, Line, Refused, SettleError, Standing};
use crate::lease::{less, more};
use crate::rates::Exchange;
use crate::worst::Worst;

/// One budget as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    budget: Budget,
    /// It caps. One that was taken away is kept for what was spent: it may be set again.
    is_on: bool,
    /// Of the window that `sums` are of.
    window: Option<(Timestamp, Timestamp)>,
    /// One for each currency; nearly always one.
    sums: Vec<Sum>,
    alarms: Alarms,
    /// The highest of them that was told in this window.
    told: u8,
}

/// What was charged and is held in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sum {
    currency: Currency,
    spent: Amount,
    held: Amount,
}

impl Account {
    pub(crate) fn new(budget: Budget) -> Self {
        let (alarms, sums) = (Alarms::default(), Vec::new());
        Self { budget, is_on: true, window: None, sums, alarms, told: 0 }
    }

    /// Of a budget that was taken away before: for what was charged to it.
    pub(crate) fn off(line: &Line) -> Self {
        let nothing = Budget::new(Amount::ZERO.of(line.amount.currency), line.period);
        Self { is_on: false, ..Self::new(nothing.expect("nothing is whole")) }
    }

    pub(crate) const fn budget(&self) -> Budget {
        self.budget
    }

    pub(crate) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// Another cap. What was spent and what is held stays.
    pub(crate) fn set(&mut self, budget: Budget) {
        if !self.is_on {
            self.alarms = Alarms::default();
        }
        if budget != self.budget {
            self.told = 0;
        }
        (self.budget, self.is_on) = (budget, true);
    }

    /// Whether something is left that a budget set again has to know.
    pub(crate) fn remove(&mut self) -> bool {
        self.is_on = false;
        self.sums.iter().any(|sum| !sum.is_nothing())
    }

    pub(crate) fn alarms_set(&mut self, alarms: Alarms) {
        self.alarms = alarms;
    }

    pub(crate) fn starts(&self) -> Option<Timestamp> {
        self.window.map(|(start, _)| start)
    }

    /// Begins anew where the window is over. What is held from before is of that one.
    pub(crate) fn roll(&mut self, now: Timestamp) -> Result<(), BudgetError> {
        if self.window.is_some_and(|(_, end)| now < end) {
            return Ok(());
        }
        let window = self.budget.period().window(now)?.map(|it| (it.start, it.end));
        if window != self.window {
            (self.window, self.told) = (window, 0);
            self.sums.clear();
        }
        Ok(())
    }

    pub(crate) fn hold(&mut self, amount: Money) {
        let sum = self.sum(amount.currency);
        sum.held = more(sum.held, amount.amount);
    }

    pub(crate) fn release(&mut self, amount: Money) {
        let sum = self.sum(amount.currency);
        sum.held = less(sum.held, amount.amount);
    }

    pub(crate) fn charge(&mut self, amount: Money) {
        let sum = self.sum(amount.currency);
        sum.spent = more(sum.spent, amount.amount);
    }

    pub(crate) fn give_back(&mut self, amount: Money) {
        let sum = self.sum(amount.currency);
        sum.spent = less(sum.spent, amount.amount);
    }

    /// What a call would hold, in the cap's currency.
    pub(crate) fn line(
        &self,
        holder: &Holder,
        bound: &Result<Worst, String>,
        exchange: &Exchange,
    ) -> Result<Line, Box<Refused>> {
        self.line_in(self.currency(), holder, bound, exchange)
    }

    /// The same in the currency of what it holds already.
    pub(crate) fn line_in(
        &self,
        currency: Currency,
        holder: &Holder,
        bound: &Result<Worst, String>,
        exchange: &Exchange,
    ) -> Result<Line, Box<Refused>> {
        let (holder, budget) = (holder.clone(), self.budget);
        let bound = match bound {
            Ok(bound) => bound,
            Err(why) => {
                let why = why.clone();
                return Err(Box::new(Refused::Unbounded { holder, budget, why }));
            }
        };
        let reckoned = || -> Result<(Money, Money, Amount), SettleError> {
            let amount = bound.in_currency(currency, exchange)?;
            let asked = exchange.convert(amount, self.currency())?;
            let sum = self.spent(exchange)?.plus(self.held(exchange)?)?;
            Ok((amount, asked, sum.plus(asked.amount)?))
        };
        match reckoned() {
            Ok((amount, _, sum)) if !self.is_on || sum <= budget.cap().amount => {
                Ok(Line { holder, period: budget.period(), window: self.starts(), amount })
            }
            Ok((_, asked, _)) => {
                let Standing { spent, held, until, .. } = self.standing(holder.clone(), exchange);
                let refused = Refused::Exhausted { holder, budget, spent, held, asked, until };
                Err(Box::new(refused))
            }
            Err(why) => Err(Box::new(Refused::unreckoned(holder, why))),
        }
    }

    /// A share that is reached and was not told.
    pub(crate) fn alarm(&mut self, holder: &Holder, exchange: &Exchange) -> Option<Alarm> {
        if !self.is_on {
            return None;
        }
        // Where nobody can reckon it, calls are refused, and say why.
        let spent = self.spent(exchange).ok()?;
        let percent = self.reached(spent)?;
        if percent <= self.told {
            return None;
        }
        self.told = percent;
        let (holder, budget, window) = (holder.clone(), self.budget, self.starts());
        Some(Alarm { holder, budget, percent, spent: spent.of(self.currency()), window })
    }

    pub(crate) fn standing(&self, holder: Holder, exchange: &Exchange) -> Standing {
        let currency = self.currency();
        let own = self.sums.iter().find(|sum| sum.currency == currency);
        // Without a rate, what is in the cap's own currency.
        let or_own = |all: Result<Amount, SettleError>, own: Option<Amount>| {
            all.unwrap_or_else(|_| own.unwrap_or_default()).of(currency)
        };
        Standing {
            holder,
            budget: self.budget,
            spent: or_own(self.spent(exchange), own.map(|sum| sum.spent)),
            held: or_own(self.held(exchange), own.map(|sum| sum.held)),
            since: self.starts(),
            until: self.window.map(|(_, end)| end),
            alarms: self.alarms.clone(),
        }
    }

    /// In the cap's currency, rounded up.
    pub(crate) fn spent(&self, exchange: &Exchange) -> Result<Amount, SettleError> {
        self.reckoned(exchange, |sum| sum.spent)
    }

    pub(crate) fn held(&self, exchange: &Exchange) -> Result<Amount, SettleError> {
        self.reckoned(exchange, |sum| sum.held)
    }

    fn reckoned(
        &self,
        exchange: &Exchange,
        of: impl Fn(&Sum) -> Amount,
    ) -> Result<Amount, SettleError> {
        let mut all = Amount::ZERO;
        for sum in self.sums.iter().filter(|sum| of(sum) > Amount::ZERO) {
            let part = exchange.convert(of(sum).of(sum.currency), self.currency())?;
            all = all.plus(part.amount)?;
        }
        Ok(all)
    }

    /// The highest share that is reached.
    fn reached(&self, spent: Amount) -> Option<u8> {
        let cap = self.budget.cap().amount.pico();
        let reached = |percent: &u8| {
            let share = cap.saturating_mul(u128::from(*percent)) / 100;
            spent.pico() >= share
        };
        self.alarms.shares().iter().copied().rfind(reached)
    }

    fn sum(&mut self, currency: Currency) -> &mut Sum {
        let at = self.sums.iter().position(|sum| sum.currency == currency);
        let at = at.unwrap_or_else(|| {
            self.sums.push(Sum { currency, spent: Amount::ZERO, held: Amount::ZERO });
            self.sums.len() - 1
        });
        &mut self.sums[at]
    }

    fn currency(&self) -> Currency {
        self.budget.cap().currency
    }
}

impl Sum {
    fn is_nothing(&self) -> bool {
        self.spent == Amount::ZERO && self.held == Amount::ZERO
    }
}
