//! Who is woken by which event. Nothing is read here: whoever is woken looks for himself.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use base::{Namespace, RunId};
use store::{CommitError, EventRow, Op};
use tokio::sync::{Notify, watch};

use super::Driver;
use crate::listen::Interest;

/// The runs that listen, and everyone else who waits for events.
pub(super) struct Ears {
    runs: Mutex<Runs>,
    raised: watch::Sender<u64>,
}

#[derive(Default)]
struct Runs {
    by_run: HashMap<RunId, Ear>,
    by_kind: HashMap<(Namespace, String), HashSet<RunId>>,
    /// Those that listen to more than some types.
    any: HashMap<Namespace, HashSet<RunId>>,
}

struct Ear {
    namespace: Namespace,
    interest: Interest,
    notify: Arc<Notify>,
}

impl Ears {
    pub(super) fn new() -> Self {
        Self { runs: Mutex::default(), raised: watch::Sender::new(0) }
    }

    fn runs(&self) -> std::sync::MutexGuard<'_, Runs> {
        // No change of the maps can panic half way.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on `notify` hears of every event that is of interest.
    pub(super) fn listen(
        &self,
        run: RunId,
        namespace: &Namespace,
        interest: Interest,
        notify: &Arc<Notify>,
    ) {
        let mut runs = self.runs();
        runs.remove(run);
        match &interest {
            Interest::Kinds(kinds) => {
                for kind in kinds {
                    let key = (namespace.clone(), kind.clone());
                    runs.by_kind.entry(key).or_default().insert(run);
                }
            }
            Interest::Any { .. } => {
                runs.any.entry(namespace.clone()).or_default().insert(run);
            }
        }
        let ear = Ear { namespace: namespace.clone(), interest, notify: Arc::clone(notify) };
        runs.by_run.insert(run, ear);
    }

    pub(super) fn unlisten(&self, run: RunId) {
        self.runs().remove(run);
    }

    /// Wakes whoever these events are of interest to. They are durable.
    pub(super) fn raise(&self, events: &[EventRow]) {
        if events.is_empty() {
            return;
        }
        let runs = self.runs();
        for event in events {
            let key = (event.namespace.clone(), event.kind.clone());
            let named = runs.by_kind.get(&key).into_iter().flatten();
            let any = runs.any.get(&event.namespace).into_iter().flatten();
            for ear in named.chain(any).filter_map(|run| runs.by_run.get(run)) {
                if ear.interest.covers(&event.kind) {
                    ear.notify.notify_one();
                }
            }
        }
        drop(runs);
        self.raised.send_modify(|times| *times += 1);
    }
}

impl Runs {
    fn remove(&mut self, run: RunId) {
        let Some(ear) = self.by_run.remove(&run) else { return };
        match ear.interest {
            Interest::Kinds(kinds) => {
                for kind in kinds {
                    let key = (ear.namespace.clone(), kind);
                    if let Some(of_kind) = self.by_kind.get_mut(&key) {
                        of_kind.remove(&run);
                        if of_kind.is_empty() {
                            self.by_kind.remove(&key);
                        }
                    }
                }
            }
            Interest::Any { .. } => {
                if let Some(of_namespace) = self.any.get_mut(&ear.namespace) {
                    of_namespace.remove(&run);
                    if of_namespace.is_empty() {
                        self.any.remove(&ear.namespace);
                    }
                }
            }
        }
    }
}

impl Driver {
    /// Takes events in: durably, then whoever listens is woken. One that is there already is left as
    /// it is.
    pub async fn event_append(&self, events: Vec<EventRow>) -> Result<(), CommitError> {
        let ops = events.iter().cloned().map(Op::EventAppend).collect();
        self.0.parts.store.commit(ops, self.owned()).await?;
        self.0.ears.raise(&events);
        Ok(())
    }

    /// Changes after every commit that holds an event. Look at the store after each change, and once
    /// at the beginning.
    #[must_use]
    pub fn events(&self) -> watch::Receiver<u64> {
        self.0.ears.raised.subscribe()
    }
}
