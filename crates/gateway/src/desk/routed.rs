//! A route where calls find it, and the models that it stands for in one call.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::Timestamp;
use models::{
    Accept, CacheSpec, Cached, CallRefusal, Hedge, ModelName, PerMinute, Rates, Resort, Retries,
    RouteSpec, Spent,
};

use super::shelf::Shelved;

#[derive(Debug)]
pub(super) struct Routed {
    pub name: ModelName,
    pub spec: RouteSpec,
    pub revision: Revision,
    counts: Arc<Counts>,
}

/// What is counted of a route, whatever its definition says by now.
#[derive(Debug, Default)]
struct Counts {
    retries: Mutex<Retries>,
    rates: Mutex<Rates>,
    under_way: AtomicU32,
    refused: AtomicU64,
}

/// How a route with limits stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteStanding {
    /// Of this minute.
    pub left: PerMinute,
    pub under_way: u32,
    /// Calls that had no room, since the site began.
    pub refused: u64,
}

/// A call of a route that has its place in it. Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Counts>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
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
    /// One that is as it was stays as it is; of one that was changed what is counted stays.
    pub(super) fn of(
        name: &ModelName,
        spec: RouteSpec,
        before: Option<&Arc<Self>>,
        now: Timestamp,
    ) -> Arc<Self> {
        let counts = match before {
            Some(before) if before.spec == spec => return Arc::clone(before),
            Some(before) => Arc::clone(&before.counts),
            None => Arc::default(),
        };
        locked(&counts.rates).fit(spec.limits.per_minute(), now);
        Arc::new(Self { name: name.clone(), spec, revision: Revision::next(), counts })
    }

    fn retries<T>(&self, change: impl FnOnce(&mut Retries) -> T) -> T {
        change(&mut locked(&self.counts.retries))
    }

    /// A place for one call with so many tokens, where the limits have room.
    pub(super) fn enter(&self, tokens: u64, now: Timestamp) -> Result<Place, CallRefusal> {
        let entered = self.entered(tokens, now);
        if entered.is_err() {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
        }
        entered
    }

    fn entered(&self, tokens: u64, now: Timestamp) -> Result<Place, CallRefusal> {
        let limit = self.spec.limits.concurrency.unwrap_or(u32::MAX);
        let more = |count: u32| (count < limit).then_some(count + 1);
        let counted =
            self.counts.under_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        if counted.is_err() {
            return Err(CallRefusal::RouteBusy { route: self.name.clone(), limit });
        }
        let place = Place(Arc::clone(&self.counts));
        locked(&self.counts.rates).take(tokens, now).map_err(|spent| {
            let Spent { what, limit, after } = spent;
            CallRefusal::RouteRate { route: self.name.clone(), what, limit, after }
        })?;
        Ok(place)
    }

    /// What a call has taken out of the minute and does not need.
    pub(super) fn give_back(&self, requests: u64, tokens: u64) {
        locked(&self.counts.rates).give_back(requests, tokens);
    }

    /// What a call has used of the minute's tokens.
    pub(super) fn correct(&self, taken: u64, used: u64, now: Timestamp) {
        locked(&self.counts.rates).correct(taken, used, now);
    }

    pub(super) fn standing(&self, now: Timestamp) -> RouteStanding {
        RouteStanding {
            left: locked(&self.counts.rates).left(now),
            under_way: self.counts.under_way.load(Ordering::Relaxed),
            refused: self.counts.refused.load(Ordering::Relaxed),
        }
    }

    /// Whether a call may be sent once more.
    pub(super) fn takes_retry(&self, now: Timestamp) -> bool {
        self.retries(|retries| retries.take(now))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a name stands for, for one call.
pub(super) struct Found {
    /// In the order in which they are tried.
    pub models: Vec<Candidate>,
    pub legs: usize,
    /// None where it is a model's own name.
    pub route: Option<Arc<Routed>>,
    /// Named before the first of them, and not there.
    pub absent: Vec<ModelName>,
}

/// A model, and its place in the route.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub shelved: Arc<Shelved>,
    pub place: usize,
}

/// The region of what computes at this site, whether its definition says so or not.
const HERE: &str = "here";

impl Candidate {
    /// Whether it computes in one of these regions; in any where there are none.
    pub(super) fn is_in(&self, regions: &BTreeSet<String>, is_here: bool) -> bool {
        let named = self.shelved.model.spec.region.as_ref();
        regions.is_empty()
            || named.is_some_and(|it| regions.contains(it))
            || is_here && regions.contains(HERE)
    }
}

impl Found {
    pub(super) fn of_model(shelved: &Arc<Shelved>) -> Self {
        let candidate = Candidate { shelved: Arc::clone(shelved), place: 0 };
        Self { models: vec![candidate], legs: 1, route: None, absent: Vec::new() }
    }

    /// Those of the route, where they have left out every model that there is.
    pub(super) fn regions(&self) -> Option<String> {
        let spec = &self.route.as_ref()?.spec;
        let is_left_out = self.models.is_empty() && self.absent.len() < spec.to.len();
        let names = spec.regions.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>();
        (is_left_out && !names.is_empty()).then(|| names.join(" or "))
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
