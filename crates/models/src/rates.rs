//! Exchange: what an amount is in another currency, by rates that the site's owner has written down.

use std::collections::BTreeMap;

use pricing::{Currency, Money, Rate, RateError};

#[derive(Debug, Clone, Default)]
pub struct Exchange(BTreeMap<(Currency, Currency), Rate>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    #[error(
        "there is no rate from {from} to {to}; write one into `rates` of `models` in the site's configuration"
    )]
    NoRate { from: Currency, to: Currency },
    #[error(transparent)]
    Rate(#[from] RateError),
}

impl Exchange {
    /// False where there is one between these two already.
    pub fn put(&mut self, rate: Rate) -> bool {
        self.0.insert((rate.from(), rate.to()), rate).is_none()
    }

    /// Never less than it is worth.
    pub fn convert(&self, money: Money, to: Currency) -> Result<Money, ExchangeError> {
        if money.currency == to {
            return Ok(money);
        }
        let from = money.currency;
        let rate = self.0.get(&(from, to)).ok_or(ExchangeError::NoRate { from, to })?;
        Ok(rate.convert(money)?)
    }
}
