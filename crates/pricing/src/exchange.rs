//! Rates between currencies: ratios of whole numbers. What is converted is rounded up.

use std::fmt;
use std::str::FromStr;

use crate::money::{Currency, Money, MoneyError};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    #[error("a rate is two amounts, like `1 EUR = 1.0832 USD`")]
    Syntax,
    #[error("a rate says what one currency is in another one, and neither is nothing")]
    Nothing,
    #[error(transparent)]
    Money(#[from] MoneyError),
    #[error("the rate is from {from} to {to}, and the amount is in {found}")]
    Other { from: Currency, to: Currency, found: Currency },
}

/// `numerator` of `to` are `denominator` of `from`. Neither is zero, and both are as small as they can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    from: Currency,
    to: Currency,
    numerator: u128,
    denominator: u128,
}

impl Rate {
    #[must_use]
    pub const fn from(&self) -> Currency {
        self.from
    }

    #[must_use]
    pub const fn to(&self) -> Currency {
        self.to
    }

    /// What an amount is worth. Rounded up to the pico-unit: what is held back for a bill in another
    /// currency is never less than the bill.
    pub fn convert(&self, money: Money) -> Result<Money, RateError> {
        if money.currency != self.from {
            let (from, to) = (self.from, self.to);
            return Err(RateError::Other { from, to, found: money.currency });
        }
        let product = money.amount.pico().checked_mul(self.numerator);
        let pico = product.ok_or(MoneyError::Overflow)?.div_ceil(self.denominator);
        Ok(crate::Amount::from_pico(pico).of(self.to))
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let (from, to) = text.split_once('=').ok_or(RateError::Syntax)?;
        let (from, to): (Money, Money) = (from.trim().parse()?, to.trim().parse()?);
        let (numerator, denominator) = (to.amount.pico(), from.amount.pico());
        if numerator == 0 || denominator == 0 || from.currency == to.currency {
            return Err(RateError::Nothing);
        }
        let common = common_divisor(numerator, denominator);
        let (numerator, denominator) = (numerator / common, denominator / common);
        Ok(Self { from: from.currency, to: to.currency, numerator, denominator })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, numerator, denominator } = self;
        write!(f, "{denominator} {from} = {numerator} {to}")
    }
}

fn common_divisor(mut left: u128, mut right: u128) -> u128 {
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        text.parse().expect(text)
    }

    /// Mutation: round down, swap the two sides, or keep the ratio as a float.
    #[test]
    fn what_is_converted_is_rounded_up() {
        let rate: Rate = "1 EUR = 1.0832 USD".parse().expect("a rate");
        assert_eq!(rate.convert(money("100EUR")), Ok(money("108.32USD")));
        let back: Rate = "1.0832 USD = 1 EUR".parse().expect("a rate");
        assert_eq!(back.convert(money("108.32USD")), Ok(money("100EUR")));
        assert_eq!(back.convert(money("1USD")), Ok(money("0.923190546529EUR")));
        assert_eq!(rate.to_string().parse(), Ok(rate));
    }

    /// Mutation: drop a check of `from_str` or of `convert`.
    #[test]
    fn a_rate_that_is_none_is_refused() {
        let read = |text: &str| text.parse::<Rate>();
        assert_eq!(read("1 EUR : 2 USD"), Err(RateError::Syntax));
        assert_eq!(read("1 EUR = 0 USD"), Err(RateError::Nothing));
        assert_eq!(read("0 EUR = 1 USD"), Err(RateError::Nothing));
        assert_eq!(read("1 EUR = 2 EUR"), Err(RateError::Nothing));
        assert!(matches!(read("1 EUR = 2"), Err(RateError::Money(_))));
        let rate: Rate = "1 EUR = 1.0832 USD".parse().expect("a rate");
        assert!(matches!(rate.convert(money("1USD")), Err(RateError::Other { .. })));
        let all = crate::Amount::from_pico(u128::MAX).of(Currency::EUR);
        assert_eq!(rate.convert(all), Err(RateError::Money(MoneyError::Overflow)));
    }
}
