//! Amounts of money: whole numbers of 10⁻¹² of a unit, so that even one token's price is exact.
//!
//! Nothing is rounded before it is shown. Caps are whole micro-units ([`crate::Budget`]).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::decimal::{self, DecimalError, Exponent};

/// Decimal places that are kept. The cheapest models cost 10⁻⁹ of a unit a token, half of it in batches.
const PLACES: u32 = 12;

/// Pico-units in a micro-unit.
const PICO_PER_MICRO: u128 = 1_000_000;

/// Places in which amounts are shown: micro-units.
const SHOWN_PLACES: u32 = 6;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("an amount is a number and a currency, like `50EUR` or `0.01 USD`")]
    Syntax,
    #[error("a currency has three capital letters, like `EUR` (ISO 4217)")]
    Currency,
    #[error("the amount is {0}")]
    Number(#[from] DecimalError),
    #[error("{left} and {right} cannot be reckoned together: convert one of them first")]
    Mixed { left: Currency, right: Currency },
    #[error("the sum is larger than any amount that is kept")]
    Overflow,
    #[error("less than nothing would be left")]
    Below,
}

/// Three capital letters of ISO 4217. Whether there is such a currency is not looked up: one that
/// nobody prices in meets no price and no rate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// How much, in pico-units of a currency that is known from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(u128);

/// How much of which currency. Its text is rounded to the micro-unit; [`Money::exact`] is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    pub amount: Amount,
    pub currency: Currency,
}

impl Currency {
    pub const EUR: Self = Self(*b"EUR");
    pub const USD: Self = Self(*b"USD");

    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("capital letters are ASCII")
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let letters: [u8; 3] = text.as_bytes().try_into().map_err(|_| MoneyError::Currency)?;
        let is_code = letters.iter().all(u8::is_ascii_uppercase);
        if is_code { Ok(Self(letters)) } else { Err(MoneyError::Currency) }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Amount {
    pub const ZERO: Self = Self(0);

    #[must_use]
    pub const fn from_pico(pico: u128) -> Self {
        Self(pico)
    }

    #[must_use]
    pub const fn pico(self) -> u128 {
        self.0
    }

    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros as u128 * PICO_PER_MICRO)
    }

    /// A price as price lists write it, `1.5e-7` included.
    pub fn parse(text: &str) -> Result<Self, DecimalError> {
        decimal::read(text, PLACES, Exponent::Allowed).map(Self)
    }

    /// For showing: to the nearest micro-unit, from the middle to the even one, so that many amounts
    /// are not shown too high together.
    #[must_use]
    pub const fn micros(self) -> u128 {
        let (whole, rest) = (self.0 / PICO_PER_MICRO, self.0 % PICO_PER_MICRO);
        let half = PICO_PER_MICRO / 2;
        let is_up = rest > half || (rest == half && whole % 2 == 1);
        if is_up { whole + 1 } else { whole }
    }

    /// For holding back: no less than this in whole micro-units.
    #[must_use]
    pub const fn micros_up(self) -> u128 {
        self.0.div_ceil(PICO_PER_MICRO)
    }

    #[must_use]
    pub const fn is_whole_micros(self) -> bool {
        self.0.is_multiple_of(PICO_PER_MICRO)
    }

    pub const fn plus(self, other: Self) -> Result<Self, MoneyError> {
        match self.0.checked_add(other.0) {
            Some(sum) => Ok(Self(sum)),
            None => Err(MoneyError::Overflow),
        }
    }

    pub const fn minus(self, other: Self) -> Result<Self, MoneyError> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Ok(Self(rest)),
            None => Err(MoneyError::Below),
        }
    }

    #[must_use]
    pub const fn of(self, currency: Currency) -> Money {
        Money { amount: self, currency }
    }

    /// Every digit of it.
    #[must_use]
    pub fn exact(self) -> String {
        decimal::write(self.0, PLACES, 0)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal::write(self.micros(), SHOWN_PLACES, 2))
    }
}

impl Money {
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        let amount = self.amount.plus(self.alike(other)?)?;
        Ok(Self { amount, ..self })
    }

    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        let amount = self.amount.minus(self.alike(other)?)?;
        Ok(Self { amount, ..self })
    }

    fn alike(self, other: Self) -> Result<Amount, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::Mixed { left: self.currency, right: other.currency });
        }
        Ok(other.amount)
    }

    /// For records: it is read back as the same amount.
    #[must_use]
    pub fn exact(self) -> String {
        [&self.amount.exact(), " ", self.currency.as_str()].concat()
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

impl FromStr for Money {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let end = text.find(|c: char| c.is_ascii_alphabetic()).ok_or(MoneyError::Syntax)?;
        let (number, currency) = text.split_at(end);
        let number = number.strip_suffix(' ').unwrap_or(number);
        if number.is_empty() {
            return Err(MoneyError::Syntax);
        }
        let amount = Amount(decimal::read(number, PLACES, Exponent::Refused)?);
        Ok(amount.of(currency.parse()?))
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.exact())
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        text.parse().expect(text)
    }

    /// Mutation: take lower case, an exponent, or a currency before its number.
    #[test]
    fn an_amount_is_a_number_and_a_currency() {
        assert_eq!(money("50EUR"), Amount::from_micros(50_000_000).of(Currency::EUR));
        assert_eq!(money("0.01 USD").amount.pico(), 10_000_000_000);
        let check =
            |text: &str, expected| assert_eq!(text.parse::<Money>(), Err(expected), "{text}");
        check("50", MoneyError::Syntax);
        check("EUR 50", MoneyError::Syntax);
        check("50eur", MoneyError::Currency);
        check("50EURO", MoneyError::Currency);
        check("1e2EUR", MoneyError::Currency);
        check("-1EUR", MoneyError::Number(DecimalError::Negative));
        check("0.0000000000001EUR", MoneyError::Number(DecimalError::TooFine { places: 12 }));
        check("1  EUR", MoneyError::Number(DecimalError::Syntax));
        check("ÄEUR", MoneyError::Number(DecimalError::Syntax));
    }

    /// Mutation: round half up, or cut.
    #[test]
    fn what_is_shown_is_rounded_to_the_even_micro_unit() {
        let check = |pico: u128, shown: &str, up: u128| {
            let amount = Amount::from_pico(pico);
            assert_eq!((amount.to_string().as_str(), amount.micros_up()), (shown, up), "{pico}");
        };
        check(0, "0.00", 0);
        check(1, "0.00", 1);
        check(500_000, "0.00", 1);
        check(500_001, "0.000001", 1);
        check(1_500_000, "0.000002", 2);
        check(2_500_000, "0.000002", 3);
        check(1_234_500_000_000, "1.2345", 1_234_500);
    }

    /// Mutation: keep fewer digits in `exact`.
    #[test]
    fn the_exact_text_is_read_back_as_the_same_amount() {
        let odd = Amount::from_pico(1_000_000_000_001).of(Currency::USD);
        assert_eq!(odd.exact(), "1.000000000001 USD");
        assert_eq!(money(&odd.exact()), odd);
        let text = serde_json::to_string(&odd).expect("JSON");
        assert_eq!(serde_json::from_str::<Money>(&text).expect("JSON"), odd);
    }

    /// Mutation: wrap, saturate, or add different currencies.
    #[test]
    fn sums_are_exact_or_refused() {
        let (all, one) = (Amount::from_pico(u128::MAX), Amount::from_pico(1));
        assert_eq!(all.plus(one), Err(MoneyError::Overflow));
        assert_eq!(one.minus(all), Err(MoneyError::Below));
        assert_eq!(money("3EUR").minus(money("1EUR")), Ok(money("2EUR")));
        let mixed = MoneyError::Mixed { left: Currency::EUR, right: Currency::USD };
        assert_eq!(money("1EUR").plus(money("1USD")), Err(mixed));
    }
}
