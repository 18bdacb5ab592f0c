//! Models and routes as they are shown: as they were written down, and how they stand now.

use std::sync::Arc;

use base::Timestamp;
use gateway::desk::Shelved;
use models::{ModelName, ModelSpec, RouteSpec, Way, Why};
use wire::{ModelState, ModelView, RouteStandingView, RouteView};

use super::shelf::{Doc, Models};

impl Models {
    pub(super) fn route_view(&self, doc: Doc<RouteSpec>) -> RouteView {
        let now = self.0.clock.now();
        let shelf = self.0.desk.shelf();
        let standing = shelf.standing(&doc.namespace, &doc.name, now);
        let standing = standing.map(|it| RouteStandingView {
            requests_left: it.left.requests,
            tokens_left: it.left.tokens,
            under_way: it.under_way,
            refused: it.refused,
        });
        let absent = shelf.absent(&doc.namespace, &doc.spec);
        RouteView {
            namespace: doc.namespace.to_string(),
            name: doc.name.to_string(),
            spec: serde_json::to_value(&doc.spec).expect("our own types have JSON text"),
            updated_at: doc.updated_at.to_string(),
            updated_by: doc.updated_by,
            standing,
            absent: absent.map(ModelName::to_string).collect(),
        }
    }

    pub(super) fn model_view(&self, doc: Doc<ModelSpec>) -> ModelView {
        let shelf = self.0.desk.shelf();
        let is_it =
            |it: &&Arc<Shelved>| it.model.namespace == doc.namespace && it.model.name == doc.name;
        let (state, why) = match shelf.models().find(is_it) {
            Some(shelved) => state(shelved, self.0.clock.now()),
            None => (ModelState::Denied, None),
        };
        let artifact = doc.spec.source.artifact().and_then(|artifact| {
            let processes = self.0.processes.count(&doc.namespace, &doc.name);
            let key = (doc.namespace.clone(), artifact.digest);
            Some(self.kept().artifacts.get(&key)?.view(processes))
        });
        ModelView {
            namespace: doc.namespace.to_string(),
            name: doc.name.to_string(),
            spec: serde_json::to_value(&doc.spec).expect("our own types have JSON text"),
            updated_at: doc.updated_at.to_string(),
            updated_by: doc.updated_by,
            state,
            why,
            artifact,
            absent_secret: None,
        }
    }
}

fn state(shelved: &Shelved, now: Timestamp) -> (ModelState, Option<String>) {
    if let Some(why) = shelved.denied() {
        return (ModelState::Denied, Some(why.to_owned()));
    }
    match shelved.way(now) {
        Way::Free | Way::Probe => (ModelState::Ready, None),
        Way::Shut { until, why } => {
            let why = match why {
                Why::Outage => "it has failed several times",
                Why::Overload | Why::RateLimit => "it has asked to be left alone",
                Why::Credentials => "the secret for it is missing, or it does not take it",
                Why::Payment => "it is not paid",
            };
            (ModelState::Resting, Some(format!("{why}; it is tried again at {until}")))
        }
    }
}
