//! Names that models must not see: read from datasets of the site, and read again when these change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::Namespace;
use gateway::desk::NameLists;
use models::{Model, NamesOf, ProtectSpec};
use privacy::{NAMES_MAX, Names};
use tokio::task::spawn_blocking;
use worker::{Dataset, Datasets, Look};

/// How often files of names are looked at: a new patient is protected within so long.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Whose model, and from which columns.
type Key = (Namespace, BTreeSet<NamesOf>);

/// What is known of one list, and what its files were like when it was read.
#[derive(Clone)]
struct Known {
    looks: Vec<Look>,
    names: Result<Arc<Names>, String>,
}

/// What all models of the site are protected by, and the lists of names for it.
pub(crate) struct Guarding {
    pub least: Option<ProtectSpec>,
    pub here: BTreeSet<String>,
    datasets: Datasets,
    known: Arc<Mutex<BTreeMap<Key, Known>>>,
}

impl Guarding {
    pub(super) fn new(
        least: Option<ProtectSpec>,
        here: BTreeSet<String>,
        datasets: Datasets,
    ) -> Self {
        Self { least, here, datasets, known: Arc::default() }
    }

    pub(super) fn has_names(&self) -> bool {
        !self.known.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The lists that these models need, read where they are new or have changed.
    pub(super) async fn names(&self, models: &[Model]) -> NameLists {
        let key = |model: &Model| {
            let names = model.protection(self.least.as_ref(), &self.here).names;
            (!names.is_empty()).then(|| (model.namespace.clone(), names))
        };
        let keys: BTreeSet<Key> = models.iter().filter_map(key).collect();
        if keys.is_empty() {
            return NameLists::new();
        }
        let common = self.least.as_ref().map(|least| least.names.clone()).unwrap_or_default();
        let (datasets, known) = (self.datasets.clone(), Arc::clone(&self.known));
        let reading = spawn_blocking(move || {
            let before = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let read = |key: Key| {
                let now = read(sources(&datasets, &common, &key), before.get(&key));
                (key, now)
            };
            let now: BTreeMap<Key, Known> = keys.into_iter().map(read).collect();
            known.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&now);
            now.into_iter().map(|(key, it)| (key, it.names)).collect()
        });
        // Without lists the models that need them are denied.
        reading.await.unwrap_or_default()
    }
}

type Sources = Result<Vec<(Arc<Dataset>, String)>, String>;

/// What the model's namespace may not read is not there, unless the site's owner has named it for all.
fn sources(datasets: &Datasets, common: &BTreeSet<NamesOf>, (namespace, names): &Key) -> Sources {
    let one = |it: &NamesOf| {
        let mut all = datasets.all();
        let found = all.find(|dataset| {
            dataset.name == it.dataset
                && (common.contains(it) || dataset.readers.contain(namespace))
        });
        let missing = || format!("namespace `{namespace}` has no dataset `{}`", it.dataset);
        Ok((Arc::clone(found.ok_or_else(missing)?), it.column.clone()))
    };
    names.iter().map(one).collect()
}

/// Blocks.
fn read(sources: Sources, before: Option<&Known>) -> Known {
    let sources = match sources {
        Ok(sources) => sources,
        Err(why) => return Known { looks: Vec::new(), names: Err(why) },
    };
    let looks: Vec<Look> = sources.iter().map(|(dataset, _)| dataset.look()).collect();
    if let Some(same) = before.filter(|it| it.looks == looks && !looks.is_empty()) {
        return same.clone();
    }
    let mut names = Vec::new();
    for (dataset, column) in &sources {
        match worker::functions::dataset::texts_of(dataset, column, NAMES_MAX) {
            Ok(more) => names.extend(more),
            Err(why) => return Known { looks, names: Err(why) },
        }
    }
    // A single letter is a part of any text.
    let names = names.iter().map(String::as_str).filter(|it| it.trim().chars().count() > 1);
    let names = Names::new(names).map(Arc::new).map_err(|wrong| wrong.to_string());
    Known { looks, names }
}
