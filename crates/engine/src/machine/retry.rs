//! A person has a faulted run go on: same run, same revision, from where it stood.
//!
//! The tree was kept as it was when the run faulted. A task that faulted begins anew; a container
//! goes on in the phase in which it faulted; what was in flight elsewhere is asked for again, with
//! the same key, since its result is unknown.

use spec::tree::TaskKind;

use super::Machine;
use super::node::{Body, GuardStage, Node, NodeId, Phase};
use crate::record::TimerPurpose;

impl Machine {
    pub(super) fn thaw(&mut self) {
        self.ended = None;
        self.retries += 1;
        self.traced("retry", "");
        for id in self.arena.ids() {
            let Some(mut node) = self.arena.take(id) else { continue };
            self.thaw_node(id, &mut node);
            self.arena.put(id, node);
            self.ready.push_back(id);
        }
    }

    fn thaw_node(&mut self, id: NodeId, node: &mut Node) {
        node.evaluated.clear();
        if let Phase::Faulted { was, .. } = &mut node.phase {
            let was = std::mem::replace(&mut **was, Phase::Condition);
            // Where its extensions were at work, they go on, as the children of any container do.
            let is_extending = matches!(was, Phase::Before { .. } | Phase::After { .. });
            if self.is_leaf(node) && !is_extending {
                node.time += 1;
                node.activation = node.activation.again(node.time);
                node.started_at = self.now;
                node.timeout = None;
                node.input = node.raw_input.clone();
                node.phase = Phase::Condition;
                return;
            }
            node.phase = was;
        }
        if let Some(timeout) = node.timeout {
            node.timeout = Some(self.timeout_set(id, node, TimerPurpose::Timeout, timeout.after));
        }
        self.thaw_body(id, node);
    }

    fn thaw_body(&mut self, id: NodeId, node: &mut Node) {
        let Phase::Body(body) = &node.phase else { return };
        match body.clone() {
            Body::Effect { key, action, .. } => self.schedule_as(id, node, action, key),
            Body::Wait { until, .. } => {
                let timer = self.timer_set(id, node, TimerPurpose::Wait, until);
                node.phase = Phase::Body(Body::Wait { timer, until });
            }
            Body::Try(mut guard) => {
                guard.stage = match guard.stage {
                    // The attempt was cut off, and its error was not caught: a new one begins.
                    GuardStage::Body { .. } if node.children.is_empty() => GuardStage::Next,
                    GuardStage::Body { seq, limit } => {
                        let again = |limit: super::node::Timeout| {
                            self.timeout_set(id, node, TimerPurpose::AttemptTimeout, limit.after)
                        };
                        GuardStage::Body { seq, limit: limit.map(again) }
                    }
                    GuardStage::Delaying { until, .. } => {
                        let timer = self.timer_set(id, node, TimerPurpose::RetryDelay, until);
                        GuardStage::Delaying { timer, until }
                    }
                    // Nothing is left of the attempts: a new one begins.
                    GuardStage::Matching { .. } if node.children.is_empty() => GuardStage::Next,
                    // The child that faulted begins anew, in this attempt.
                    GuardStage::Matching { seq, .. } => GuardStage::Body { seq, limit: None },
                    stage @ (GuardStage::Next | GuardStage::Catching { .. }) => stage,
                };
                node.phase = Phase::Body(Body::Try(guard));
            }
            Body::Listen(listening) => self.listen_as(id, node, *listening),
            Body::Begin | Body::Sequence(_) | Body::For(_) | Body::Fork(_) => {}
        }
    }

    fn is_leaf(&self, node: &Node) -> bool {
        match node.task.map(|no| &self.workflow.task(no).kind) {
            None
            | Some(
                TaskKind::Do(_)
                | TaskKind::For(_)
                | TaskKind::Fork(_)
                | TaskKind::Try(_)
                | TaskKind::Custom(_)
                | TaskKind::Listen(_),
            ) => false,
            Some(
                TaskKind::Set(_)
                | TaskKind::Switch(_)
                | TaskKind::Raise(_)
                | TaskKind::Wait(_)
                | TaskKind::Http(_)
                | TaskKind::Function(_)
                | TaskKind::OpenApi(_)
                | TaskKind::Emit(_)
                | TaskKind::Process(_)
                | TaskKind::Child(_),
            ) => true,
        }
    }
}
