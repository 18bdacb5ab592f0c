//! Names that models must not see: read from datasets of the site, and read again when these change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use base::Namespace;
use gateway::desk::NameLists;
use models::{Model, NamesOf, ProtectSpec};
use privacy::{NAMES_MAX, Names};
use tokio::task::spawn_blocking;
use worker::{Dataset, Datasets, Look};

/// Whose model, and from which columns.
type Key = (Namespace, BTreeSet<NamesOf>);

/// What is known of one list, and what its files were like when it was read.
#[derive(Clone)]
struct Known {
    looks: Vec<Look>,
    names: Result<Arc<Names>, String>,
}

/// The lists that models of this site are protected by.
pub(super) struct NameBook {
    datasets: Datasets,
    /// Which every model may use that computes elsewhere.
    common: BTreeSet<NamesOf>,
    known: Arc<Mutex<BTreeMap<Key, Known>>>,
}

impl NameBook {
    pub(super) fn new(datasets: Datasets, least: Option<&ProtectSpec>) -> Self {
        let common = least.map(|least| least.names.clone()).unwrap_or_default();
        Self { datasets, common, known: Arc::default() }
    }

    /// The lists that these models need, read where they are new or have changed.
    pub(super) async fn of(&self, keys: BTreeSet<Key>) -> NameLists {
        if keys.is_empty() {
            return NameLists::new();
        }
        let (datasets, common) = (self.datasets.clone(), self.common.clone());
        let known = Arc::clone(&self.known);
        let reading = spawn_blocking(move || {
            let before = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let read = |key: Key| {
                let found = sources(&datasets, &common, &key);
                let now = read(found, before.get(&key));
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

/// What the lists of a model are known by; nothing where it has none.
pub(super) fn key(
    model: &Model,
    least: Option<&ProtectSpec>,
    here: &BTreeSet<String>,
) -> Option<Key> {
    let names = model.protection(least, here).names;
    (!names.is_empty()).then(|| (model.namespace.clone(), names))
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
