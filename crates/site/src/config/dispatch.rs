//! Who goes first, and how much at once: pools, and the weights of namespaces.

use std::collections::BTreeMap;

use base::name::Namespace;
use engine::dispatch::{WEIGHT_MAX, Weights};
use engine::driver::dispatch::{RUNS_ACTIVE_MAX, Settings};
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{ConfigError, Reader};

/// More runs at once than this need more memory than a site has.
const RUNS_MAX: u32 = 100_000;

/// More effects at once than a site performs have no use for a pool.
const SLOTS_MAX: u32 = 1_000;

/// Pools and namespaces are written by hand.
const ENTRIES_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PoolFile {
    name: Spanned<String>,
    slots: Spanned<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamespaceFile {
    name: Spanned<String>,
    weight: Spanned<u32>,
}

impl Reader<'_> {
    pub(super) fn dispatch(
        &self,
        runs: Option<&Spanned<u32>>,
        pools: &[Spanned<PoolFile>],
        namespaces: &[Spanned<NamespaceFile>],
    ) -> Result<Settings, ConfigError> {
        let runs_active_max = self.number(runs, 1..=RUNS_MAX, RUNS_ACTIVE_MAX)?;
        let mut slots = BTreeMap::new();
        for pool in self.not_many(pools)? {
            let name = self.entry(&pool.value.name, &slots)?;
            let number = self.number(Some(&pool.value.slots), 1..=SLOTS_MAX, 1)?;
            slots.insert(name, number);
        }
        let mut weights = BTreeMap::new();
        for namespace in self.not_many(namespaces)? {
            let name = self.entry(&namespace.value.name, &weights)?;
            self.number(Some(&namespace.value.weight), 1..=WEIGHT_MAX, 1)?;
            weights.insert(name, namespace.value.weight.value);
        }
        let weights = weights
            .into_iter()
            .filter_map(|(name, weight)| Some((Namespace::parse(&name).ok()?, weight)));
        let weights = Weights::new(weights);
        Ok(Settings { runs_active_max, pools: Some(slots), weights, ..Settings::default() })
    }

    fn not_many<'a, T>(&self, entries: &'a [Spanned<T>]) -> Result<&'a [Spanned<T>], ConfigError> {
        match entries.get(ENTRIES_MAX) {
            Some(one) => Err(self.wrong(one, format!("at most {ENTRIES_MAX} of them"))),
            None => Ok(entries),
        }
    }

    /// A name that stands there once.
    fn entry<T>(
        &self,
        name: &Spanned<String>,
        known: &BTreeMap<String, T>,
    ) -> Result<String, ConfigError> {
        if let Err(wrong) = Namespace::parse(&name.value) {
            return Err(self.wrong(name, wrong));
        }
        if known.contains_key(&name.value) {
            return Err(self.wrong(name, format!("`{}` stands here twice", name.value)));
        }
        Ok(name.value.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    use super::*;

    fn dispatch(spec: &str) -> Result<Settings, String> {
        let text = format!("spec: {spec}");
        let config = Config::parse(&text, "site.yaml", Path::new("/"));
        config.map(|config| config.dispatch).map_err(|error| error.to_string())
    }

    /// Mutation: take a name twice, a number out of its range, or lose one that is right.
    #[test]
    fn pools_and_weights_are_read_once_each() {
        assert_eq!(dispatch("{}"), Ok(Settings::default()));
        let read = dispatch(
            "{limits: {runs: 7}, pools: [{name: gpu, slots: 2}], namespaces: [{name: lab, weight: 3}]}",
        );
        let lab = Namespace::parse("lab").expect("a name");
        let expected = Settings {
            runs_active_max: 7,
            pools: Some(BTreeMap::from([("gpu".to_owned(), 2)])),
            weights: Weights::new([(lab, 3)]),
            ..Settings::default()
        };
        assert_eq!(read, Ok(expected));
        for (spec, part) in [
            ("{limits: {runs: 0}}", "1:23: write a number from 1 to 100000"),
            ("{pools: [{name: gpu, slots: 0}]}", "write a number from 1 to 1000"),
            ("{pools: [{name: gpu, slots: 1}, {name: gpu, slots: 2}]}", "`gpu` stands here twice"),
            ("{pools: [{name: 'the gpu', slots: 1}]}", "`the gpu` is not a valid"),
            ("{pools: [{name: gpu}]}", "slots"),
            ("{namespaces: [{name: lab, weight: 1001}]}", "write a number from 1 to 1000"),
        ] {
            let wrong = dispatch(spec).expect_err(spec);
            assert!(wrong.contains(part), "{spec}: {wrong}");
        }
    }
}
