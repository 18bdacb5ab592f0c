//! The most that a call can cost, over models whose prices are in whatever currencies. Each budget reckons it in its
//! own, straight from those of the prices, as it will be charged: by way of another currency it would be less, or
//! nothing that anybody could say.

use pricing::{Amount, Currency, Money};

use crate::budget::SettleError;
use crate::rates::Exchange;

/// What may have to be paid for one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worst {
    /// One of these, whose answer is given as it is.
    last: Vec<Money>,
    /// Of these each, whose answer may be paid and not be good enough.
    unsure: Vec<Money>,
    /// How many in all.
    legs: usize,
}

impl Worst {
    /// Nothing so far, of as many legs.
    #[must_use]
    pub const fn of_legs(legs: usize) -> Self {
        Self { last: Vec::new(), unsure: Vec::new(), legs }
    }

    /// All of it.
    #[must_use]
    pub const fn sum(all: Vec<Money>) -> Self {
        Self { last: Vec::new(), legs: all.len(), unsure: all }
    }

    /// A leg whose answer would be the last.
    pub fn may_end(&mut self, bound: Money) {
        self.last.push(bound);
    }

    /// A leg whose answer may be paid, and another one beside it.
    pub fn may_go_on(&mut self, bound: Money) {
        self.unsure.push(bound);
    }

    #[must_use]
    pub const fn is_free(&self) -> bool {
        self.last.is_empty() && self.unsure.is_empty()
    }

    /// As a budget in this currency is charged for it.
    pub fn in_currency(&self, to: Currency, exchange: &Exchange) -> Result<Money, SettleError> {
        let said = |all: &[Money]| -> Result<Vec<Amount>, SettleError> {
            all.iter().map(|it| Ok(exchange.convert(*it, to)?.amount)).collect()
        };
        let (mut unsure, mut last) = (said(&self.unsure)?, said(&self.last)?.into_iter().max());
        unsure.sort_unstable_by_key(|bound| std::cmp::Reverse(*bound));
        if last.is_some() {
            // One that is good enough may take the place of the last.
            last = last.max(unsure.get(self.legs.max(1) - 1).copied());
        }
        unsure.truncate(self.legs.max(1) - usize::from(last.is_some()));
        let mut sum = Amount::ZERO;
        for bound in unsure.into_iter().chain(last) {
            sum = sum.plus(bound)?;
        }
        Ok(sum.of(to))
    }

    /// In the first of its currencies that all of it can be said in.
    #[must_use]
    pub fn in_any(&self, exchange: &Exchange) -> Option<Money> {
        let mut all = self.last.iter().chain(&self.unsure);
        all.find_map(|it| self.in_currency(it.currency, exchange).ok())
    }
}

impl From<Money> for Worst {
    fn from(bound: Money) -> Self {
        Self::sum(vec![bound])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        text.parse().expect("money")
    }

    /// Mutation: take the legs' bounds as they are for one currency, the dearest for the cheapest, or all where fewer
    /// are asked.
    #[test]
    fn the_dearest_legs_are_reckoned_in_the_currency_that_is_charged() {
        let mut exchange = Exchange::default();
        for rate in ["1 USD = 0.92 EUR", "1 EUR = 1.05 USD"] {
            exchange.put(rate.parse().expect("a rate"));
        }
        let said = |worst: &Worst, to: &str| {
            let said = worst.in_currency(to.parse().expect("a currency"), &exchange);
            said.map(|it| it.to_string()).map_err(|why| why.to_string())
        };
        let mut either = Worst::of_legs(2);
        either.may_end(money("1USD"));
        either.may_end(money("1EUR"));
        assert_eq!(said(&either, "EUR").as_deref(), Ok("1.00 EUR"));
        assert_eq!(said(&either, "USD").as_deref(), Ok("1.05 USD"));
        assert!(said(&either, "CHF").is_err_and(|why| why.contains("no rate")));
        let mut cascade = Worst::of_legs(2);
        for bound in ["1EUR", "3EUR", "2EUR"] {
            cascade.may_go_on(money(bound));
        }
        assert_eq!(said(&cascade, "EUR").as_deref(), Ok("5.00 EUR"));
        cascade.may_end(money("1EUR"));
        assert_eq!(said(&cascade, "EUR").as_deref(), Ok("5.00 EUR"), "two of them");
        cascade.may_end(money("4EUR"));
        assert_eq!(said(&cascade, "EUR").as_deref(), Ok("7.00 EUR"));
        let sum = Worst::sum(vec![money("1USD"), money("1EUR")]);
        assert_eq!(said(&sum, "EUR").as_deref(), Ok("1.92 EUR"));
        assert_eq!(sum.in_any(&exchange), Some(money("2.05USD")));
        assert!(Worst::of_legs(1).is_free() && !sum.is_free());
    }
}
