//! Timers: waits, timeouts, and the delay before another attempt.

use base::{Duration, ErrorType, Fault, Timestamp};

use super::node::{Body, GuardStage, Node, NodeId, Phase, Timeout};
use super::{Effect, Machine};
use crate::record::{Decided, NoteKind, TimerNo, TimerPurpose};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timer {
    pub node: NodeId,
    pub purpose: TimerPurpose,
    pub at: Timestamp,
}

impl Machine {
    pub(super) fn timer_set(
        &mut self,
        id: NodeId,
        node: &Node,
        purpose: TimerPurpose,
        at: Timestamp,
    ) -> TimerNo {
        self.timer_last.0 += 1;
        let timer = self.timer_last;
        self.timers.insert(timer, Timer { node: id, purpose, at });
        self.traced("timer", node.activation.as_str());
        self.trace.update(&at.as_millis().to_le_bytes());
        let activation = node.activation.clone();
        self.step.decided.push(Decided::TimerSet { timer, activation, at, purpose });
        self.step.effects.push(Effect::WakeAt(timer, at));
        if matches!(purpose, TimerPurpose::Wait) {
            self.note(node, NoteKind::Waiting { until: at });
        }
        timer
    }

    pub(super) fn timeout_set(
        &mut self,
        id: NodeId,
        node: &Node,
        purpose: TimerPurpose,
        after: Duration,
    ) -> Timeout {
        let at = self.now.plus(after);
        Timeout { timer: self.timer_set(id, node, purpose, at), after }
    }

    pub(super) fn timer_clear(&mut self, timer: TimerNo) {
        if self.timers.remove(&timer).is_some() {
            self.step.effects.push(Effect::Forget(timer));
        }
    }

    pub(super) fn timer_fired(&mut self, no: TimerNo) {
        let timer = self.timers.remove(&no).expect("checked by `fits`");
        let Some(mut node) = self.arena.take(timer.node) else { return };
        self.traced("fired", node.activation.as_str());
        match timer.purpose {
            TimerPurpose::Wait => {
                node.phase = Phase::Output { raw: node.input.clone(), flow: None };
                self.arena.put(timer.node, node);
                self.ready.push_back(timer.node);
            }
            TimerPurpose::RetryDelay => {
                if let Phase::Body(Body::Try(guard)) = &mut node.phase {
                    guard.stage = GuardStage::Next;
                }
                self.arena.put(timer.node, node);
                self.ready.push_back(timer.node);
            }
            TimerPurpose::Timeout => {
                let after = node.timeout.map_or(Duration::ZERO, |timeout| timeout.after);
                self.timed_out(timer.node, node, after);
            }
            TimerPurpose::AttemptTimeout => self.attempt_timed_out(timer.node, node),
        }
    }

    fn timed_out(&mut self, id: NodeId, node: Box<Node>, after: Duration) {
        let fault = Fault::new(ErrorType::Timeout, format!("not done within {after}"));
        self.halt_children(&node);
        self.release_waits(&node);
        self.fail(id, node, fault);
    }

    fn attempt_timed_out(&mut self, id: NodeId, mut node: Box<Node>) {
        let location = self.location(&node);
        let Phase::Body(Body::Try(guard)) = &mut node.phase else {
            self.arena.put(id, node);
            return;
        };
        let GuardStage::Body { seq, limit } = &guard.stage else {
            self.arena.put(id, node);
            return;
        };
        let after = limit.map_or(Duration::ZERO, |limit| limit.after);
        let fault = Fault::new(ErrorType::Timeout, format!("attempt not done within {after}"));
        let fault = fault.at(&location);
        guard.stage = GuardStage::Matching { seq: seq.clone(), fault };
        self.drop_children(&mut node);
        self.arena.put(id, node);
        self.ready.push_back(id);
    }
}
