//! A route where calls find it, and the models that it stands for in one call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base::Timestamp;
use models::{Accept, CacheSpec, Cached, Hedge, Resort, Retries, RouteSpec};

use super::shelf::Shelved;

#[derive(Debug)]
pub(super) struct Routed {
    pub spec: RouteSpec,
    pub revision: Revision,
    retries: Mutex<Retries>,
}

/// Another number for each definition that this process has seen: what was made of one is told from what was
/// made of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Revision(u64);

impl Revision {
    pub(super) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) const fn number(self) -> u64 {
        self.0
    }
}

impl Routed {
    /// One that is as it was stays as it is; one that was changed keeps its count of what was tried again.
    pub(super) fn of(spec: RouteSpec, before: Option<&Arc<Self>>) -> Arc<Self> {
        match before {
            Some(before) if before.spec == spec => Arc::clone(before),
            before => {
                let retries = before.map(|it| it.retries(|retries| *retries)).unwrap_or_default();
                Arc::new(Self { spec, revision: Revision::next(), retries: Mutex::new(retries) })
            }
        }
    }

    fn retries<T>(&self, change: impl FnOnce(&mut Retries) -> T) -> T {
        change(&mut self.retries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a call may be sent once more.
    pub(super) fn takes_retry(&self, now: Timestamp) -> bool {
        self.retries(|retries| retries.take(now))
    }
}

/// What a name stands for, for one call.
pub(super) struct Found {
    /// In the order in which they are tried.
    pub models: Vec<Candidate>,
    pub legs: usize,
    /// None where it is a model's own name.
    pub route: Option<Arc<Routed>>,
}

/// A model, and its place in the route.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub shelved: Arc<Shelved>,
    pub place: usize,
}

impl Found {
    pub(super) fn of_model(shelved: &Arc<Shelved>) -> Self {
        let candidate = Candidate { shelved: Arc::clone(shelved), place: 0 };
        Self { models: vec![candidate], legs: 1, route: None }
    }

    /// What its answer must be to be given.
    pub(super) fn accept(&self, candidate: &Candidate) -> Option<&Accept> {
        self.route.as_ref()?.spec.to[candidate.place].accept.as_ref()
    }

    pub(super) fn hedge(&self) -> Option<&Hedge> {
        self.route.as_ref()?.spec.hedge.as_ref()
    }

    pub(super) fn cache(&self) -> Option<&CacheSpec> {
        match (&self.route, &self.models[..]) {
            (Some(route), _) => route.spec.cache.as_ref(),
            (None, [only]) => only.shelved.model.spec.cache.as_ref(),
            (None, _) => None,
        }
    }

    pub(super) fn cached(&self) -> Option<&Cached> {
        self.route.as_ref()?.spec.cached()
    }

    pub(super) fn last(&self) -> &[Resort] {
        self.route.as_ref().map_or(&[], |route| &route.spec.last)
    }

    /// A call has come that may go to several.
    pub(super) fn count(&self, now: Timestamp) {
        if let (Some(route), true) = (&self.route, self.models.len() > 1) {
            route.retries(|retries| retries.call(now));
        }
    }
}
