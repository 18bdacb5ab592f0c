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
/// Less has no room for one process.
const MEMORY_MIB_MIN: u64 = 16;

/// More than the memory of any machine that a site runs on is a slip of the pen.
const MEMORY_MIB_MAX: u64 = 1_048_576;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ModelsFile {
    rates: Vec<Spanned<String>>,
    protect: Option<Spanned<ProtectSpec>>,
    here: Vec<Spanned<String>>,
    #[serde(rename = "memoryMiB")]
    memory_mib: Option<Spanned<u64>>,
}

/// What the site's owner has said of models.
#[derive(Debug, Clone)]
pub struct ModelsConfig {
    /// What budgets in other currencies than prices are reckoned by.
    pub exchange: Exchange,
    /// What every model that computes elsewhere is protected by at least.
    pub protect: Option<ProtectSpec>,
    /// Servers of models that are at the site, beside those of the machine itself.
    pub here: BTreeSet<String>,
    /// What all models that the site runs itself may hold together.
    pub memory_bytes: u64,
}

impl Default for ModelsConfig {
    fn default() -> Self {
        Self {
            exchange: Exchange::default(),
            protect: None,
            here: BTreeSet::new(),
            memory_bytes: sandbox::models::BUDGET_BYTES,
        }
    }
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
        let memory_bytes = match &models.memory_mib {
            None => sandbox::models::BUDGET_BYTES,
            Some(found) if (MEMORY_MIB_MIN..=MEMORY_MIB_MAX).contains(&found.value) => {
                found.value * 1024 * 1024
            }
            Some(found) => {
                let what = format!("write a number from {MEMORY_MIB_MIN} to {MEMORY_MIB_MAX}");
                return Err(self.wrong(found, what));
            }
        };
        Ok(ModelsConfig { exchange, protect, here: self.here(&models.here)?, memory_bytes })
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    fn parse(text: &str) -> Result<u64, String> {
        let config = Config::parse(text, "site.yaml", Path::new("/nowhere"));
        config.map(|it| it.models.memory_bytes).map_err(|wrong| wrong.to_string())
    }

    /// Mutation: take any number, or megabytes for bytes.
    #[test]
    fn the_memory_of_models_is_what_the_owner_says() {
        assert_eq!(parse(""), Ok(sandbox::models::BUDGET_BYTES));
        assert_eq!(parse("spec:\n  models: {memoryMiB: 64}"), Ok(64 * 1024 * 1024));
        let wrong = parse("spec:\n  models: {memoryMiB: 1}").expect_err("too little");
        assert!(wrong.starts_with("site.yaml:2:23: write a number from 16"), "{wrong}");
    }
}
