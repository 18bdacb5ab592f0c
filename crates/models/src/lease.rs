//! Leases at the hub: how much of one fleet budget, in one of its windows, every site holds (ADR 26).
//!
//! All that is said are totals since the beginning, and whoever hears takes the larger one. So what is lost,
//! repeated or late does no harm, and the sum of what is out never exceeds the cap by a grant.

use std::collections::BTreeMap;

use base::Duration;
use pricing::Amount;

/// The next window is asked for so long before it begins, or a tenth of one.
pub const LEASE_AHEAD_MAX: Duration = Duration::from_secs(3600);

/// The least that is granted is the cap divided by this: the end of a budget is not asked for in crumbs.
const LEAST_PART: u128 = 1_000;

/// What a site says of one purse, of all its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Word {
    /// Of the words of one purse, the larger is the later.
    pub number: u64,
    /// As far as the site has heard.
    pub granted: Amount,
    pub spent: Amount,
    /// For good.
    pub returned: Amount,
    /// It wants more: this at least, for a call that waits.
    pub asks: Option<Amount>,
}

/// One purse, as the hub knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    pub number: u64,
    pub granted: Amount,
    pub spent: Amount,
    pub returned: Amount,
    /// Not met yet.
    pub asks: Option<Amount>,
    /// The site has been told that there is nothing for it now.
    pub is_short: bool,
}

/// One fleet budget in one window. `K` says whose purse it is: a site in one of its lives.
#[derive(Debug, Clone)]
pub struct Ledger<K> {
    cap: Amount,
    shares: BTreeMap<K, Share>,
}

/// What follows for somebody who has asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant<K> {
    pub to: K,
    /// The new total.
    pub granted: Amount,
    /// There is not what was asked for; it is granted when others give back.
    pub is_short: bool,
}

impl Share {
    /// What it takes of the cap.
    #[must_use]
    pub fn weight(&self) -> Amount {
        less(self.granted, self.returned).max(self.spent)
    }

    fn hear(&mut self, word: &Word) {
        // More than was granted: by a life of the hub that is lost.
        self.granted = self.granted.max(word.granted);
        self.spent = self.spent.max(word.spent);
        self.returned = self.returned.max(word.returned);
        if word.number > self.number {
            self.number = word.number;
            (self.asks, self.is_short) = (word.asks, false);
        }
    }
}

impl<K: Ord + Clone> Ledger<K> {
    #[must_use]
    pub const fn new(cap: Amount) -> Self {
        Self { cap, shares: BTreeMap::new() }
    }

    pub const fn cap_set(&mut self, cap: Amount) {
        self.cap = cap;
    }

    /// What is kept of a purse; for the start.
    pub fn put(&mut self, whose: K, share: Share) {
        self.shares.insert(whose, share);
    }

    #[must_use]
    pub fn share(&self, whose: &K) -> Option<&Share> {
        self.shares.get(whose)
    }

    pub fn shares(&self) -> impl Iterator<Item = (&K, &Share)> {
        self.shares.iter()
    }

    /// What all purses take of the cap.
    #[must_use]
    pub fn out(&self) -> Amount {
        self.shares.values().fold(Amount::ZERO, |sum, share| more(sum, share.weight()))
    }

    #[must_use]
    pub fn left(&self) -> Amount {
        less(self.cap, self.out())
    }

    pub fn hear(&mut self, whose: K, word: &Word) {
        self.shares.entry(whose).or_default().hear(word);
    }

    /// Meets what is asked for, as far as there is something, for those who may have it. `sites` is how many
    /// there are to share with.
    pub fn grant(&mut self, sites: usize, may: impl Fn(&K) -> bool) -> Vec<Grant<K>> {
        let mut grants = Vec::new();
        let mut left = self.left();
        for (whose, share) in &mut self.shares {
            let Some(need) = share.asks.filter(|_| may(whose)) else { continue };
            let given = portion(self.cap, left, need, sites);
            let is_short = given == Amount::ZERO;
            if is_short && share.is_short {
                continue;
            }
            if is_short {
                share.is_short = true;
            } else {
                // A purse in debt pays that first.
                let debt = less(share.spent, less(share.granted, share.returned));
                share.granted = more(share.granted, more(given, debt));
                (share.asks, share.is_short) = (None, false);
                left = less(left, given);
            }
            grants.push(Grant { to: whose.clone(), granted: share.granted, is_short });
        }
        grants
    }
}

/// Half of an equal part of what is left, and what a call needs, where that is there: of a call that asks for
/// more than there is, others must not suffer.
fn portion(cap: Amount, left: Amount, need: Amount, sites: usize) -> Amount {
    let sites = u128::try_from(sites.max(1)).unwrap_or(u128::MAX);
    let part = (left.pico() / sites / 2).max(cap.pico() / LEAST_PART);
    let need = need.micros_up().saturating_mul(PICO_PER_MICRO);
    if need > left.pico() {
        return Amount::ZERO;
    }
    whole(Amount::from_pico(part.max(need).min(left.pico())))
}

const PICO_PER_MICRO: u128 = 1_000_000;

/// Without parts of a micro-unit.
pub(crate) fn whole(amount: Amount) -> Amount {
    Amount::from_pico(amount.pico() - amount.pico() % PICO_PER_MICRO)
}

/// The sum, or the largest that there is.
pub(crate) fn more(one: Amount, other: Amount) -> Amount {
    Amount::from_pico(one.pico().saturating_add(other.pico()))
}

/// What is left of it, if anything.
pub(crate) fn less(one: Amount, other: Amount) -> Amount {
    Amount::from_pico(one.pico().saturating_sub(other.pico()))
}
