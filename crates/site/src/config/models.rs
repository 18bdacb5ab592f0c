//! `models`: what all models of a site have in common.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use models::{Exchange, ProtectSpec, address};
use pricing::{Catalogue, Rate, TABLE_BYTES_MAX};
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

/// The tables of a folder of prices.
const MODELS: &str = "models.csv";
const PRICES: &str = "prices.csv";

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ModelsFile {
    rates: Vec<Spanned<String>>,
    protect: Option<Spanned<ProtectSpec>>,
    here: Vec<Spanned<String>>,
    #[serde(rename = "memoryMiB")]
    memory_mib: Option<Spanned<u64>>,
    prices: Option<Spanned<String>>,
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
    /// The shipped models and prices, with the owner's laid over them; where there are none, only those.
    pub catalogue: Option<Catalogue>,
}

impl Default for ModelsConfig {
    fn default() -> Self {
        Self {
            exchange: Exchange::default(),
            protect: None,
            here: BTreeSet::new(),
            memory_bytes: sandbox::models::BUDGET_BYTES,
            catalogue: None,
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
        let catalogue = models.prices.as_ref().map(|found| self.prices(found)).transpose()?;
        let here = self.here(&models.here)?;
        Ok(ModelsConfig { exchange, protect, here, memory_bytes, catalogue })
    }

    /// Lays the tables of a folder over the shipped ones.
    fn prices(&self, found: &Spanned<String>) -> Result<Catalogue, ConfigError> {
        let folder = super::clean(&self.folder.join(&found.value));
        let table = |name: &str| {
            let file = folder.join(name);
            read_table(&file)
                .map_err(|why| self.wrong(found, format!("`{}`: {why}", file.display())))
        };
        let (models, prices) = (table(MODELS)?, table(PRICES)?);
        if models.is_none() && prices.is_none() {
            let what = format!(
                "there is neither `{MODELS}` nor `{PRICES}` in `{}`; `isonomy prices import` writes both",
                folder.display()
            );
            return Err(self.wrong(found, what));
        }
        let shipped = Catalogue::shipped().expect("the shipped prices are read: tested");
        shipped.with(models.as_deref(), prices.as_deref()).map_err(|error| {
            let file = folder.join(format!("{}.csv", error.table));
            let what = format!(
                "`{}:{}`: {}; see docs/reference/prices.md",
                file.display(),
                error.line,
                error.problem
            );
            self.wrong(found, what)
        })
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

/// A table's text; none where it is not there.
fn read_table(file: &Path) -> Result<Option<String>, String> {
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(format!("it cannot be read: {cause}")),
    };
    let (mut bytes, most) = (Vec::new(), TABLE_BYTES_MAX as u64);
    let read = opened.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|cause| format!("it cannot be read: {cause}"))?;
    if bytes.len() > TABLE_BYTES_MAX {
        return Err(format!("a table has at most {TABLE_BYTES_MAX} bytes"));
    }
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|_| "it is not UTF-8; save it as such".to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use pricing::Catalogue;

    use crate::config::Config;

    const HEAD: &str = "provider,model,region,service,above,span,currency,cache_read,cache_write_5m,cache_write_1h,input,audio_in,image_in,output,reasoning,audio_out,image_out,image,search,request,second,from,to,source,via,dated\n";

    /// What a configuration says that names `prices` beside it, with these files in there.
    fn with_tables(files: &[(&str, &[u8])]) -> Result<Catalogue, String> {
        let beside = tempfile::tempdir().expect("a folder");
        fs::create_dir(beside.path().join("prices")).expect("a folder");
        for (name, bytes) in files {
            fs::write(beside.path().join("prices").join(name), bytes).expect("written");
        }
        let text = "spec:\n  models: {prices: ./prices}";
        let config = Config::parse(text, "site.yaml", beside.path());
        let config = config.map_err(|wrong| {
            wrong.to_string().replace(&beside.path().display().to_string(), "DIR")
        });
        Ok(config?.models.catalogue.expect("a catalogue"))
    }

    fn priced(input: &str) -> Vec<u8> {
        let row = format!(
            "openai,gpt-4o-mini,,,0,,USD,,,,{input},,,2,,,,,,,,,,https://p.example,,2026-11-22\n"
        );
        format!("{HEAD}{row}").into_bytes()
    }

    /// Mutation: take the tables for all there is, or look for them in the process's folder.
    #[test]
    fn the_owners_prices_lie_over_the_shipped_ones() {
        let shipped = Catalogue::shipped().expect("a catalogue");
        let both = with_tables(&[("prices.csv", &priced("1"))]).expect("a table");
        assert_eq!(both.models().count(), shipped.models().count());
        assert_eq!(both.prices().count(), shipped.prices().count());
        assert_ne!(both.version(), shipped.version());
    }

    /// Mutation: start without a table that is wrong, read one of any size, or name no place.
    #[test]
    fn tables_that_are_wrong_are_named_with_their_place() {
        let large = vec![b'#'; 16 * 1024 * 1024 + 1];
        for (files, expected) in [
            (
                vec![],
                "there is neither `models.csv` nor `prices.csv` in `DIR/prices`; `isonomy prices import` writes both",
            ),
            (
                vec![("prices.csv", priced("1,5"))],
                "`DIR/prices/prices.csv:2`: not a row of this table",
            ),
            (
                vec![("prices.csv", priced("cheap"))],
                "`DIR/prices/prices.csv:2`: `input` is not a number: expected digits like `12` or `0.25`; see docs/reference/prices.md",
            ),
            (
                vec![("models.csv", b"provider;model\n".to_vec())],
                "`DIR/prices/models.csv:1`: there is no column `provider;model`",
            ),
            (vec![("prices.csv", large)], "`DIR/prices/prices.csv`: a table has at most 16777216"),
            (
                vec![("models.csv", vec![0xff])],
                "`DIR/prices/models.csv`: it is not UTF-8; save it as such",
            ),
        ] {
            let files: Vec<_> = files.iter().map(|(name, it)| (*name, it.as_slice())).collect();
            let wrong = with_tables(&files).expect_err(expected);
            let expected = format!("site.yaml:2:20: {expected}");
            assert!(wrong.starts_with(&expected), "{wrong}");
            assert_eq!(wrong.lines().count(), 1, "{wrong}");
        }
    }

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
