//! `models`: what all models of a site have in common.

use models::Exchange;
use pricing::Rate;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{ConfigError, Reader};

/// Currencies of the world, there and back.
const RATES_MAX: usize = 400;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ModelsFile {
    rates: Vec<Spanned<String>>,
}

/// What the site's owner has said of models.
#[derive(Debug, Clone, Default)]
pub struct ModelsConfig {
    /// What budgets in other currencies than prices are reckoned by.
    pub exchange: Exchange,
}

impl Reader<'_> {
    pub(super) fn models(&self, models: &ModelsFile) -> Result<ModelsConfig, ConfigError> {
        let mut exchange = Exchange::default();
        for (at, found) in models.rates.iter().enumerate() {
            if at == RATES_MAX {
                return Err(self.wrong(found, format!("`rates` has at most {RATES_MAX}")));
            }
            let rate: Rate = found.value.parse().map_err(|why| self.wrong(found, why))?;
            if !exchange.put(rate) {
                return Err(self.wrong(found, "there is a rate between these two already"));
            }
        }
        Ok(ModelsConfig { exchange })
    }
}
