//! The runs that a run's tasks have run. Their ids follow from the tasks, so they are found by asking.

use std::collections::{HashSet, VecDeque};

use base::RunId;
use engine::activation::Activation;
use engine::driver::child_run;
use engine::effect::Action;
use engine::machine::Effect;
use wire::ChildView;

use crate::refusal::Refusal;
use crate::run::Runs;

/// Children that a view shows: the newest. Each is one question to the store.
const CHILDREN_SHOWN_MAX: usize = 200;

/// Tasks that have runs run, in the order of their beginning; at most as many as are shown.
#[derive(Debug, Default)]
pub(crate) struct Places {
    order: VecDeque<Activation>,
    known: HashSet<Activation>,
}

impl Places {
    pub(crate) fn see(&mut self, effect: &Effect) {
        let Effect::Perform(perform) = effect else { return };
        if !matches!(&*perform.action, Action::Workflow(_)) {
            return;
        }
        let place = perform.activation.without_times();
        if !self.known.insert(place.clone()) {
            return;
        }
        self.order.push_back(place);
        if self.order.len() > CHILDREN_SHOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

impl Runs {
    pub(crate) async fn children(
        &self,
        parent: RunId,
        places: &Places,
    ) -> Result<Vec<ChildView>, Refusal> {
        let mut children = Vec::new();
        for place in &places.order {
            // Several where the parent was retried after one of them had been cancelled.
            for number in 0.. {
                if children.len() == CHILDREN_SHOWN_MAX {
                    return Ok(children);
                }
                let run = child_run(parent, place, number);
                let Some(row) = self.store.run_get(run).await? else { break };
                let view = crate::view::run_view(&row);
                children.push(ChildView {
                    run: view.run,
                    namespace: view.namespace,
                    workflow: view.workflow,
                    version: view.version,
                    state: view.state,
                    activation: place.to_string(),
                });
            }
        }
        Ok(children)
    }
}
