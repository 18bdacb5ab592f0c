//! Runs of other workflows as tasks of this one. Here a child is only asked for; the driver starts it
//! and waits for it.

use base::value::object;
use spec::tree::ChildRun;

use super::Machine;
use super::call::configuration;
use super::evaluate::Halt;
use super::node::{Body, Node, Phase};
use crate::activation::Activation;
use crate::effect::{Action, ChildStart};

impl Machine {
    pub(super) fn child_action(&mut self, node: &Node, child: &ChildRun) -> Result<Action, Halt> {
        let Some(revision) = child.revision else {
            return Err(configuration(&format!(
                "the workflow `{}:{}` was not looked up when this one was applied; apply it again",
                child.key, child.version
            )));
        };
        let input = match &child.input {
            Some(input) => self.expressions(node).template(input, &node.input)?,
            None => object([]),
        };
        let (key, version, wait) = (child.key.clone(), child.version.clone(), child.wait);
        Ok(Action::Workflow(ChildStart { key, version, revision, input, wait }))
    }

    /// Whether a task at this place, however often it was retried by a person, waits for a child.
    #[must_use]
    pub fn awaits_child(&self, activation: &Activation) -> bool {
        let place = activation.without_times();
        self.effects.values().filter_map(|id| self.arena.get(*id)).any(|node| {
            let is_child = matches!(&node.phase, Phase::Body(Body::Effect { action, .. })
                if matches!(&**action, Action::Workflow(child) if child.wait));
            is_child && node.activation.without_times() == place
        })
    }
}
