//! Errors rise from the task that raised them, through its parents, to whoever catches them.

use std::collections::HashSet;

use base::Fault;
use store::RunState;

use super::node::{Body, GuardStage, Node, NodeId, Phase};
use super::{Effect, Machine};
use crate::activation::Activation;
use crate::record::{Decided, NoteKind};

impl Machine {
    /// The node faults. It stays where it is until somebody catches the error, so that a run that
    /// nobody saved can be retried from there.
    pub(super) fn fail(&mut self, id: NodeId, mut node: Box<Node>, fault: Fault) {
        let fault = fault.at(&self.location(&node));
        self.traced("fault", node.activation.as_str());
        self.traced("type", &fault.uri);
        if let Some(timeout) = node.timeout {
            self.timer_clear(timeout.timer);
        }
        if let Phase::Body(Body::Listen(listening)) = &node.phase {
            self.unlisten(listening.listener);
        }
        self.note(&node, NoteKind::Faulted { fault: fault.clone() });
        let was = Box::new(std::mem::replace(&mut node.phase, Phase::Condition));
        node.phase = Phase::Faulted { fault: fault.clone(), was };
        node.evaluated.clear();
        if let Some(evaluation) = node.evaluating.take() {
            self.evaluations.remove(&evaluation);
        }
        self.unread(&mut node);
        self.arena.put(id, node);
        self.rise(id, fault);
    }

    /// Looks for a guard above `from`.
    pub(super) fn rise(&mut self, from: NodeId, fault: Fault) {
        let mut below = from;
        while let Some(above) = self.arena.get(below).and_then(|node| node.parent) {
            if self.guard_takes(above, &fault) {
                return;
            }
            below = above;
        }
        self.end(RunState::Faulted, None, Some(fault));
    }

    /// Whether `id` is a guard whose body this came from; it then looks at the error. A guard that
    /// looks at another one already (from a parallel branch) takes this one with it.
    fn guard_takes(&mut self, id: NodeId, fault: &Fault) -> bool {
        let Some(node) = self.arena.get_mut(id) else { return false };
        let Phase::Body(Body::Try(guard)) = &mut node.phase else { return false };
        let (seq, limit) = match &guard.stage {
            GuardStage::Body { seq, limit } => (seq.clone(), *limit),
            GuardStage::Matching { .. } => return true,
            GuardStage::Next | GuardStage::Delaying { .. } | GuardStage::Catching { .. } => {
                return false;
            }
        };
        guard.stage = GuardStage::Matching { seq, fault: fault.clone() };
        if let Some(limit) = limit {
            self.timer_clear(limit.timer);
        }
        self.ready.push_back(id);
        true
    }

    pub(super) fn faulted_activation(&self, fault: &Fault) -> Option<Activation> {
        let is_it = |node: &&Node| matches!(&node.phase, Phase::Faulted { fault: found, .. } if found == fault);
        self.arena.iter().map(|(_, node)| node).find(is_it).map(|node| node.activation.clone())
    }

    /// Removes all that is below `node` and abandons what it was doing.
    pub(super) fn drop_children(&mut self, node: &mut Node) {
        let below = self.below(std::mem::take(&mut node.children));
        for id in &below {
            let Some(child) = self.arena.take(*id) else { continue };
            self.release_waits(&child);
            if child.children.is_empty() && !child.is_faulted() {
                self.note(&child, NoteKind::Cancelled);
            }
            self.arena.release(*id);
        }
        self.forget(&below);
    }

    /// Stops all that goes on below `node`, and keeps it: a retry may go on from there.
    pub(super) fn halt_children(&mut self, node: &Node) {
        let below = self.below(node.children.clone());
        for id in &below {
            let Some(child) = self.arena.take(*id) else { continue };
            self.release_waits(&child);
            self.arena.put(*id, child);
        }
        self.forget(&below);
    }

    /// These nodes and all their descendants.
    fn below(&self, children: Vec<NodeId>) -> Vec<NodeId> {
        let mut all = children;
        let mut next = 0;
        while let Some(id) = all.get(next).copied() {
            if let Some(node) = self.arena.get(id) {
                all.extend(&node.children);
            }
            next += 1;
        }
        all
    }

    /// Nothing of these nodes is ready or evaluated any more.
    fn forget(&mut self, nodes: &[NodeId]) {
        if nodes.is_empty() {
            return;
        }
        let gone: HashSet<NodeId> = nodes.iter().copied().collect();
        self.ready.retain(|ready| !gone.contains(ready));
        self.evaluations.retain(|_, (waiting, _)| !gone.contains(waiting));
        self.reads.retain(|_, waiting| !gone.contains(waiting));
        for id in nodes {
            if let Some(node) = self.arena.get_mut(*id) {
                node.evaluating = None;
                node.stops_reading();
            }
        }
    }

    /// Abandons the effect and clears the timers that a node itself waits for.
    pub(super) fn release_waits(&mut self, node: &Node) {
        if let Some(timeout) = node.timeout {
            self.timer_clear(timeout.timer);
        }
        match &node.phase {
            Phase::Body(Body::Wait { timer, .. }) => self.timer_clear(*timer),
            Phase::Body(Body::Effect { effect, .. }) => self.abandon(*effect),
            Phase::Body(Body::Listen(listening)) => self.unlisten(listening.listener),
            Phase::Body(Body::Try(guard)) => match &guard.stage {
                GuardStage::Body { limit: Some(limit), .. } => self.timer_clear(limit.timer),
                GuardStage::Delaying { timer, .. } => self.timer_clear(*timer),
                GuardStage::Next
                | GuardStage::Body { .. }
                | GuardStage::Matching { .. }
                | GuardStage::Catching { .. } => {}
            },
            _ => {}
        }
    }

    fn abandon(&mut self, effect: crate::effect::EffectNo) {
        if self.effects.remove(&effect).is_some() {
            self.step.decided.push(Decided::Abandoned { effect });
            self.step.effects.push(Effect::Abandon(effect));
        }
    }

    /// The run has ended: nothing is awaited any more. The tree stays as it is.
    pub(super) fn abandon_all(&mut self) {
        let effects: Vec<_> = self.effects.keys().copied().collect();
        effects.into_iter().for_each(|effect| self.abandon(effect));
        let timers: Vec<_> = self.timers.keys().copied().collect();
        timers.into_iter().for_each(|timer| self.timer_clear(timer));
        let listeners: Vec<_> = self.listeners.keys().copied().collect();
        listeners.into_iter().for_each(|listener| self.unlisten(listener));
        for (id, _) in std::mem::take(&mut self.evaluations).into_values() {
            if let Some(node) = self.arena.get_mut(id) {
                node.evaluating = None;
            }
        }
        for id in std::mem::take(&mut self.reads).into_values() {
            if let Some(node) = self.arena.get_mut(id) {
                node.stops_reading();
            }
        }
        self.ready.clear();
    }
}
