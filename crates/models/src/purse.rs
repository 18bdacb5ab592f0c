//! Purses at a site: what it may spend of fleet budgets, without asking anybody (ADR 26).
//!
//! A call is held in its purse as in any budget. What is granted, spent and given back are totals of all the
//! purse's time, as in `lease`.

use std::collections::BTreeMap;

use base::Timestamp;
use pricing::{Amount, Budget, Money, Period};

use crate::budget::{Holder, Line, Refused};
use crate::lease::{Word, less, more, whole};
use crate::rates::Exchange;
use crate::worst::Worst;

/// A part of the last grant that is told when it is spent: the hub's picture is no older than this.
const TELL_PART: u128 = 10;

/// Which purse: one fleet budget in one of its windows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PurseId {
    /// Whose budget it is at the hub.
    pub holder: Holder,
    pub period: Period,
    /// When the window begins; none where it never ends.
    pub window: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purse {
    pub granted: Amount,
    pub returned: Amount,
    pub spent: Amount,
    /// By calls under way.
    pub held: Amount,
    /// The newest grant alone.
    pub last: Amount,
    /// Of the newest word.
    pub number: u64,
    /// What the hub was told.
    pub told: Amount,
    pub asked: Option<Amount>,
    /// The hub had nothing when it was asked.
    pub is_short: bool,
    /// Everything was given back.
    pub is_closed: bool,
    /// What was missing for a call.
    pub need: Amount,
}

/// What a purse cannot know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// What the record of calls says, and this purse has to show for it.
    pub spent: Amount,
    /// The most that calls under way may cost, as the record says.
    pub under_way: Amount,
    /// Its window has ended, or the site falls under the budget no more.
    pub is_over: bool,
    /// The hub cannot be asked now.
    pub is_away: bool,
    /// What no call needs goes back.
    pub gives_back: bool,
    /// Something is to be said in any case.
    pub must: bool,
    /// What was asked for may be asked for again.
    pub is_late: bool,
    /// It is time to tell what was spent.
    pub tells: bool,
}

impl Purse {
    #[must_use]
    pub fn allowed(&self) -> Amount {
        less(self.granted, self.returned)
    }

    #[must_use]
    pub fn free(&self) -> Amount {
        less(self.allowed(), more(self.spent, self.held))
    }

    /// A lease has come, in answer to this word. Gives whether it says something new.
    pub fn take(&mut self, granted: Amount, answers: u64, is_short: bool) -> bool {
        let is_more = granted > self.granted;
        if is_more {
            self.last = less(granted, self.granted);
            self.granted = granted;
            self.is_closed = false;
        }
        if answers >= self.number {
            (self.is_short, self.asked) = (is_short, self.asked.filter(|_| is_short));
        }
        if is_more {
            (self.asked, self.is_short, self.need) = (None, false, Amount::ZERO);
        }
        is_more
    }

    /// Whether the next call may find too little.
    #[must_use]
    pub fn is_low(&self) -> bool {
        let free = self.free();
        self.granted == Amount::ZERO
            || self.need > free
            || free.pico().saturating_mul(2) < self.last.pico()
    }

    /// What is to be said now, and is true as soon as it is written down.
    pub fn say(&mut self, facts: Facts) -> Option<Word> {
        let (told, returned) = (self.told, self.returned);
        let busy = more(facts.spent, facts.under_way).max(more(self.spent, self.held));
        let is_idle = facts.under_way == Amount::ZERO && self.held == Amount::ZERO;
        let closes = facts.is_over && is_idle && !self.is_closed;
        if closes || (facts.gives_back && !self.is_closed) {
            self.returned = self.returned.max(whole(less(self.granted, busy)));
        }
        self.is_closed |= closes;
        let asks = self.asks(&facts);
        let due = self.last.pico() / TELL_PART;
        let news = less(facts.spent, told);
        let tells = news.pico() > due || (facts.tells && news > Amount::ZERO);
        if !(facts.must || closes || asks.is_some() || tells || self.returned > returned) {
            return None;
        }
        self.told = self.told.max(facts.spent);
        self.number += 1;
        if asks.is_some() {
            (self.asked, self.is_short) = (asks, false);
        } else if facts.is_over {
            self.asked = None;
        }
        let Self { number, granted, returned, told: spent, asked: asks, .. } = *self;
        Some(Word { number, granted, spent, returned, asks })
    }

    /// What is to be asked for, where it was not.
    fn asks(&self, facts: &Facts) -> Option<Amount> {
        if facts.is_over || facts.is_away || !self.is_low() {
            return None;
        }
        let need = less(self.need, self.free());
        (self.may_ask() || facts.is_late).then_some(need)
    }

    /// Whether nothing was asked for, or so much that there is not, and less would do.
    fn may_ask(&self) -> bool {
        let need = less(self.need, self.free());
        self.asked.is_none_or(|asked| self.is_short && need < asked)
    }
}

/// Why a purse has not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The hub is asked for more.
    Asked,
    /// The hub has said that there is no more.
    Short,
    /// The line is down since then.
    Away(Timestamp),
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Asked => f.write_str("the hub was asked for more"),
            Self::Short => f.write_str("the hub has no more of it now: other sites hold the rest"),
            Self::Away(since) => write!(
                f,
                "the hub is away since {since}, and this site spends no more than it was leased"
            ),
        }
    }
}

/// One fleet budget, with its purses.
#[derive(Debug)]
struct Fleet {
    budget: Budget,
    /// The site falls under it. Otherwise its purses are there to be closed.
    is_on: bool,
    purses: BTreeMap<Option<Timestamp>, Purse>,
}

/// A purse for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurseStanding {
    pub id: PurseId,
    pub budget: Budget,
    pub purse: Purse,
    pub is_on: bool,
}

/// All purses of a site.
#[derive(Debug, Default)]
pub struct Purses {
    fleets: BTreeMap<Holder, Vec<Fleet>>,
    away: Option<Timestamp>,
    is_low: bool,
}

impl Purses {
    /// The site falls under these fleet budgets, and no other.
    pub fn set(&mut self, budgets: &[(Holder, Budget)]) {
        for fleet in self.fleets.values_mut().flatten() {
            fleet.is_on = false;
        }
        for (holder, budget) in budgets {
            let fleet = self.fleet(holder, *budget);
            (fleet.budget, fleet.is_on) = (*budget, true);
        }
    }

    /// Puts a purse where it belongs; for the start.
    pub fn put(&mut self, id: &PurseId, budget: Budget, purse: Purse) {
        self.fleet(&id.holder, budget).purses.insert(id.window, purse);
    }

    pub fn forget(&mut self, id: &PurseId) {
        for fleet in self.fleets.get_mut(&id.holder).into_iter().flatten() {
            if fleet.budget.period() == id.period {
                fleet.purses.remove(&id.window);
            }
        }
    }

    pub fn purse(&mut self, id: &PurseId) -> Option<&mut Purse> {
        let fleets = self.fleets.get_mut(&id.holder)?.iter_mut();
        let mut same = fleets.filter(|it| it.budget.period() == id.period);
        same.next()?.purses.get_mut(&id.window)
    }

    /// Whether the hub can be asked.
    pub const fn away_set(&mut self, since: Option<Timestamp>) {
        self.away = since;
    }

    /// Whether a purse has become low since this was asked last.
    pub const fn takes_low(&mut self) -> bool {
        std::mem::replace(&mut self.is_low, false)
    }

    #[must_use]
    pub fn standings(&self) -> Vec<PurseStanding> {
        let mut all = Vec::new();
        for (holder, fleets) in &self.fleets {
            for fleet in fleets {
                let (period, budget, is_on) = (fleet.budget.period(), fleet.budget, fleet.is_on);
                all.extend(fleet.purses.iter().map(|(window, purse)| {
                    let id = PurseId { holder: holder.clone(), period, window: *window };
                    PurseStanding { id, budget, purse: *purse, is_on }
                }));
            }
        }
        all
    }

    fn fleet(&mut self, holder: &Holder, budget: Budget) -> &mut Fleet {
        let fleets = self.fleets.entry(holder.clone()).or_default();
        let at = fleets.iter().position(|it| it.budget.period() == budget.period());
        let at = at.unwrap_or_else(|| {
            fleets.push(Fleet { budget, is_on: false, purses: BTreeMap::new() });
            fleets.len() - 1
        });
        &mut fleets[at]
    }

    /// What a call would hold in the purses of this holder, or why it may not be made.
    pub(crate) fn lines(
        &mut self,
        holder: &Holder,
        bound: &Result<Worst, String>,
        exchange: &Exchange,
        now: Timestamp,
        lines: &mut Vec<Line>,
    ) -> Result<(), Box<Refused>> {
        if self.fleets.is_empty() {
            return Ok(());
        }
        let away = self.away;
        for fleet in self.fleets.get_mut(holder).into_iter().flatten().filter(|it| it.is_on) {
            let named = Holder::Fleet(Box::new(holder.clone()));
            let (period, budget) = (fleet.budget.period(), fleet.budget);
            let window = match period.window(now) {
                Ok(window) => window,
                Err(why) => return Err(Box::new(Refused::Time { holder: named, why })),
            };
            let (window, until) = (window.map(|it| it.start), window.map(|it| it.end));
            let asked = asked(&named, budget, bound, exchange)?;
            let purse = fleet.purses.entry(window).or_default();
            if asked.amount > purse.free() {
                purse.need = asked.amount;
                self.is_low |= away.is_none() && purse.may_ask();
                let missing = match (away, purse.is_short) {
                    (Some(since), _) => Missing::Away(since),
                    (None, true) => Missing::Short,
                    (None, false) => Missing::Asked,
                };
                return Err(Box::new(refused(named, budget, purse, asked, until, missing)));
            }
            lines.push(Line { holder: named, period, window, amount: asked });
        }
        Ok(())
    }

    /// What a call would hold beside what it holds already, in the window that it began in.
    pub(crate) fn line_more(
        &mut self,
        line: &Line,
        bound: &Result<Worst, String>,
        exchange: &Exchange,
    ) -> Result<Line, Box<Refused>> {
        let budget = self.budget_of(line);
        let Some((purse, budget)) = self.of(line).map(|it| *it).zip(budget) else {
            // Nothing is left of it that anybody could spend.
            let (holder, none) = (line.holder.clone(), Purse::default());
            let budget = Budget::new(Amount::ZERO.of(line.amount.currency), line.period);
            let budget = budget.expect("nothing is whole");
            let asked = asked(&holder, budget, bound, exchange)?;
            return Err(Box::new(refused(holder, budget, &none, asked, None, Missing::Short)));
        };
        let asked = asked(&line.holder, budget, bound, exchange)?;
        if asked.amount > purse.free() {
            let holder = line.holder.clone();
            return Err(Box::new(refused(holder, budget, &purse, asked, None, Missing::Asked)));
        }
        Ok(Line { amount: asked, ..line.clone() })
    }

    pub(crate) fn hold(&mut self, line: &Line) {
        let may_be = self.away.is_none();
        let Some(purse) = self.of(line) else { return };
        purse.held = more(purse.held, line.amount.amount);
        let is_low = may_be && purse.is_low() && purse.may_ask();
        self.is_low |= is_low;
    }

    pub(crate) fn release(&mut self, line: &Line) {
        if let Some(purse) = self.of(line) {
            purse.held = less(purse.held, line.amount.amount);
        }
    }

    pub(crate) fn charge(&mut self, line: &Line) {
        if let Some(purse) = self.of(line) {
            purse.spent = more(purse.spent, line.amount.amount);
        }
    }

    fn of(&mut self, line: &Line) -> Option<&mut Purse> {
        let Holder::Fleet(holder) = &line.holder else { return None };
        let fleets = self.fleets.get_mut(holder.as_ref())?.iter_mut();
        let mut same = fleets.filter(|it| {
            it.budget.period() == line.period && it.budget.cap().currency == line.amount.currency
        });
        same.next()?.purses.get_mut(&line.window)
    }

    fn budget_of(&self, line: &Line) -> Option<Budget> {
        let Holder::Fleet(holder) = &line.holder else { return None };
        let mut fleets = self.fleets.get(holder.as_ref())?.iter();
        fleets.find(|it| it.budget.period() == line.period).map(|it| it.budget)
    }
}

fn asked(
    holder: &Holder,
    budget: Budget,
    bound: &Result<Worst, String>,
    exchange: &Exchange,
) -> Result<Money, Box<Refused>> {
    let holder = || holder.clone();
    match bound {
        Err(why) => {
            Err(Box::new(Refused::Unbounded { holder: holder(), budget, why: why.clone() }))
        }
        Ok(bound) => bound
            .in_currency(budget.cap().currency, exchange)
            .map_err(|why| Box::new(Refused::unreckoned(holder(), why))),
    }
}

fn refused(
    holder: Holder,
    budget: Budget,
    purse: &Purse,
    asked: Money,
    until: Option<Timestamp>,
    missing: Missing,
) -> Refused {
    let currency = budget.cap().currency;
    Refused::Leased {
        holder,
        budget,
        leased: purse.allowed().of(currency),
        spent: purse.spent.of(currency),
        held: purse.held.of(currency),
        asked,
        until,
        missing,
    }
}
