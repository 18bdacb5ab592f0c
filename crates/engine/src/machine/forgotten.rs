//! Which task nothing would ever move: there must be none. For those who check a store.

use std::collections::BTreeSet;

use super::Machine;
use super::node::{Node, NodeId, Phase};
use crate::activation::Activation;

impl Machine {
    /// A task in progress that is not ready, awaits nothing and has no task below it that would wake
    /// it. What a fault or a timeout has halted stays for a retry, and is not meant.
    #[must_use]
    pub fn forgotten(&self) -> Option<&Activation> {
        if self.ended.is_some() {
            return None;
        }
        let effects = self.effects.values().copied();
        let timers = self.timers.values().map(|timer| timer.node);
        let evaluations = self.evaluations.values().map(|(node, _)| *node);
        let listeners = self.listeners.values().copied();
        let ready = self.ready.iter().copied();
        let moved: BTreeSet<NodeId> =
            effects.chain(timers).chain(evaluations).chain(listeners).chain(ready).collect();
        let is_forgotten =
            |(id, node): &(NodeId, &Node)| node.children.is_empty() && !moved.contains(id);
        let mut leaves = self.arena.iter().filter(is_forgotten);
        leaves.find(|(_, node)| !self.is_halted(node)).map(|(_, node)| &node.activation)
    }

    fn is_halted(&self, node: &Node) -> bool {
        let above = |node: &Node| node.parent.and_then(|id| self.arena.get(id));
        std::iter::successors(Some(node), |node| above(node))
            .any(|node| matches!(node.phase, Phase::Faulted { .. }))
    }
}
