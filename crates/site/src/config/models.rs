//! `models`: what all models of a site have in common.

use std::collections::BTreeSet;

use models::{Exchange, ProtectSpec, address};
use pricing::Rate;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{ConfigError, Reader};

/// Currencies of the world, there and back.
const RATES_MAX: usize = 400;

/// Servers of models that one site has.
const HERE_MAX: usize = 1_000;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ModelsFile {
    rates: Vec<Spanned<String>>,
    protect: Option<Spanned<ProtectSpec>>,
    here: Vec<Spanned<String>>,
}

/// What the site's owner has said of models.
#[derive(Debug, Clone, Default)]
pub struct ModelsConfig {
    /// What budgets in other currencies than prices are reckoned by.
    pub exchange: Exchange,
    /// What every model that computes elsewhere is protected by at least.
    pub protect: Option<ProtectSpec>,
    /// Servers of models that are at the site, beside those of the machine itself.
    pub here: BTreeSet<String>,
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
        if let Some(found) = &models.protect {
            found.value.check().map_err(|why| self.wrong(found, why))?;
        }
        let protect = models.protect.as_ref().map(|found| found.value.clone());
        Ok(ModelsConfig { exchange, protect, here: self.here(&models.here)? })
    }

    fn here(&self, here: &[Spanned<String>]) -> Result<BTreeSet<String>, ConfigError> {
        let mut origins = BTreeSet::new();
        for found in here {
            match address(&found.value) {
                Ok((origin, "")) if origins.len() < HERE_MAX => origins.insert(origin.to_owned()),
                Ok((_, "")) => {
                    return Err(self.wrong(found, format!("`here` has at most {HERE_MAX}")));
                }
                _ => {
                    let what = "write a server without a path, such as `http://gpu.plant:8000`";
                    return Err(self.wrong(found, what));
                }
            };
        }
        Ok(origins)
    }
}
