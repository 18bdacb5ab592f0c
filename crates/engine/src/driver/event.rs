//! Who is woken by which event, and which events somebody has still to hear. Whoever is woken looks for
//! himself.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use base::{Namespace, RunId};
use store::{CommitError, EventQuery, EventRow, Op, RunQuery, RunState, StoreError};
use tokio::sync::{Notify, watch};

use super::{Driver, Summary};
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
    /// Runs that went on when the site was opened, as long as nobody knows whether they listen.
    unknown: HashSet<RunId>,
}

struct Ear {
    namespace: Namespace,
    interest: Interest,
    notify: Arc<Notify>,
    /// Its listeners have looked at all events up to here, and that is durable.
    looked: u64,
}

/// Suspended runs that are read at once.
const SUSPENDED_PAGE: u32 = 200;

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
        looked: u64,
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
        let ear =
            Ear { namespace: namespace.clone(), interest, notify: Arc::clone(notify), looked };
        runs.unknown.remove(&run);
        runs.by_run.insert(run, ear);
    }

    pub(super) fn unlisten(&self, run: RunId) {
        let mut runs = self.runs();
        runs.unknown.remove(&run);
        runs.remove(run);
    }

    /// What the run's listeners had still to hear up to here is done with, durably.
    pub(super) fn has_looked(&self, run: RunId, upto: u64) {
        if let Some(ear) = self.runs().by_run.get_mut(&run) {
            ear.looked = upto;
        }
    }

    /// The run goes on, and may listen.
    pub(super) fn may_listen(&self, run: RunId) {
        self.runs().unknown.insert(run);
    }

    /// Up to where each has looked, with what it asks for next; `None` where that is not known of all.
    fn waiting(&self) -> Option<Vec<EventQuery>> {
        let runs = self.runs();
        let waiting = || {
            let query = |ear: &Ear| EventQuery {
                after: ear.looked,
                kinds: ear.interest.kinds(),
                ..EventQuery::of(ear.namespace.clone(), 1)
            };
            runs.by_run.values().map(query).collect()
        };
        runs.unknown.is_empty().then(waiting)
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

    /// Wakes whoever listens to events that are durable already, written by somebody else. It does not keep the
    /// driver.
    pub fn event_raiser(&self) -> impl Fn(&[EventRow]) + Send + Sync + 'static {
        let driver = std::sync::Arc::downgrade(&self.0);
        move |events| {
            if let Some(driver) = driver.upgrade() {
                driver.ears.raise(events);
            }
        }
    }

    /// The position of the first event that a listener of a run has still to hear, if there is one;
    /// those before it are history. That is in doubt as long as a run is not taken up that may listen.
    pub async fn events_needed(&self) -> Result<Option<u64>, StoreError> {
        let Some(mut waiting) = self.0.ears.waiting() else { return Ok(Some(0)) };
        let mut needed = self.suspended_needs().await?;
        waiting.sort_by_key(|query| query.after);
        for query in waiting {
            if needed.is_some_and(|needed| needed <= query.after) {
                break;
            }
            let next = self.0.parts.store.event_list(query).await?;
            needed = needed.into_iter().chain(next.first().map(|row| row.position)).min();
        }
        Ok(needed)
    }

    /// The same for runs that somebody has stand still: they are not in memory.
    async fn suspended_needs(&self) -> Result<Option<u64>, StoreError> {
        let mut query = RunQuery {
            states: vec![RunState::Suspended],
            limit: SUSPENDED_PAGE,
            ..RunQuery::default()
        };
        let mut needed = None;
        loop {
            let page = self.0.parts.store.run_list(query.clone()).await?;
            let summaries = page.iter().filter_map(|row| Summary::decode(&row.summary).ok());
            let looked = summaries.filter_map(|summary| Some(summary.looked? + 1));
            needed = looked.chain(needed).min();
            match page.last() {
                Some(last) if page.len() == SUSPENDED_PAGE as usize => {
                    query.after = Some(last.run);
                }
                _ => return Ok(needed),
            }
        }
    }

    /// Changes after every commit that holds an event. Look at the store after each change, and once
    /// at the beginning.
    #[must_use]
    pub fn events(&self) -> watch::Receiver<u64> {
        self.0.ears.raised.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: leave those out that nobody has taken up yet, or never strike them off.
    #[test]
    fn as_long_as_a_run_may_listen_nothing_is_history() {
        let run = |n| RunId::from_uuid(uuid::Uuid::from_u128(n));
        let (ears, notify) = (Ears::new(), Arc::new(Notify::new()));
        (1..=2).for_each(|n| ears.may_listen(run(n)));
        assert!(ears.waiting().is_none());
        let interest = Interest::Kinds(["step".to_owned()].into());
        let namespace = Namespace::parse("lab").expect("a name");
        ears.listen(run(1), &namespace, interest, &notify, 7);
        assert!(ears.waiting().is_none());
        ears.unlisten(run(2));
        let after = || ears.waiting().expect("all are known").into_iter().map(|it| it.after);
        assert_eq!(after().collect::<Vec<_>>(), [7]);
        ears.has_looked(run(1), 9);
        assert_eq!(after().collect::<Vec<_>>(), [9]);
        ears.unlisten(run(1));
        assert_eq!(after().count(), 0);
    }
}
