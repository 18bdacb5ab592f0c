//! Upstreams: what all models of a namespace that are at one share, its connections and what is known of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base::Namespace;
use models::{Health, Model, Source, Upstream, address};

use super::shelf::{Outlet, Outside};
use crate::gate::Gate;
use crate::lane::Lane;

/// By namespace and address: each namespace has rules of its own, and may go other ways.
pub(super) type Origins = HashMap<(Namespace, String), Arc<Origin>>;

#[derive(Debug)]
pub(super) struct Origin {
    lane: Arc<Lane>,
    health: Arc<Mutex<Health>>,
}

/// Upstreams of a shelf that is made up.
pub(super) struct Reach<'a> {
    pub gate: &'a Arc<Gate>,
    /// They keep their connections and what is known of them, whatever changes about their models.
    pub before: &'a Origins,
    pub now: Origins,
}

impl Reach<'_> {
    /// How a model is reached, and what is known of that.
    pub(super) fn of(&mut self, model: &Model) -> (Outlet, Arc<Mutex<Health>>) {
        let Source::Upstream(upstream) = &model.spec.source else {
            return (Outlet::Disk, Arc::default());
        };
        match self.origin(&model.namespace, upstream) {
            Ok(origin) => {
                let outside = Outside::new(upstream, Arc::clone(&origin.lane));
                (Outlet::Lane(Box::new(outside)), Arc::clone(&origin.health))
            }
            Err(why) => (Outlet::Denied(why), Arc::default()),
        }
    }

    /// A model that is as it was holds on to its upstream.
    pub(super) fn keep(&mut self, model: &Model, outlet: &Outlet) {
        if let (Outlet::Lane(_), Some(upstream)) = (outlet, model.spec.source.upstream()) {
            self.origin(&model.namespace, upstream).ok();
        }
    }

    fn origin(
        &mut self,
        namespace: &Namespace,
        upstream: &Upstream,
    ) -> Result<Arc<Origin>, String> {
        let (origin, _) = address(&upstream.url).unwrap_or_default();
        let key = (namespace.clone(), origin.to_owned());
        let known = self.now.get(&key).or_else(|| self.before.get(&key)).cloned();
        let known = match known {
            Some(known) => known,
            None => {
                let lane = Lane::new(self.gate, namespace, origin, None);
                let lane = Arc::new(lane.map_err(|why| why.to_string())?);
                Arc::new(Origin { lane, health: Arc::default() })
            }
        };
        self.now.insert(key, Arc::clone(&known));
        Ok(known)
    }
}
