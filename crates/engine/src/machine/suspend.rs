//! A run that a person has stand still, and go on again.
//!
//! Results of what is under way still come, and move nothing before the run goes on: no task begins,
//! no timer fires, no event is taken.

use base::Timestamp;

use super::{Machine, NodeId, NoteKind};
use crate::record::{Note, TimerPurpose};

impl Machine {
    pub(super) fn suspend(&mut self) {
        self.traced("suspend", "");
        self.suspended = true;
        self.note_tasks(|_, _| NoteKind::Suspended);
    }

    /// Asks again for everything that is outstanding. What is still in flight is not begun twice: the
    /// driver knows.
    pub(super) fn resume(&mut self) {
        self.traced("resume", "");
        self.suspended = false;
        self.note_tasks(|machine, id| NoteKind::Resumed { waits: machine.waits(id) });
        let outstanding = self.outstanding();
        self.step.effects.extend(outstanding);
    }

    /// A person has the run stand still.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    fn waits(&self, id: NodeId) -> bool {
        let is_wait = |purpose| matches!(purpose, TimerPurpose::Wait | TimerPurpose::RetryDelay);
        self.timers.values().any(|timer| timer.node == id && is_wait(timer.purpose))
            || self.listeners.values().any(|listener| *listener == id)
    }

    /// Tells something of every task in progress. One that has faulted said so.
    /// Every task in progress, as it was begun, the outer ones first.
    #[must_use]
    pub fn in_progress(&self) -> Vec<(Timestamp, Note)> {
        let nodes = self.arena.ids().into_iter().filter_map(|id| self.arena.get(id));
        let begun = nodes.filter_map(|node| {
            let task = self.workflow.task(node.task?);
            let what = NoteKind::Started { input: node.input.clone() };
            let (activation, task, location) =
                (node.activation.clone(), task.name.clone(), task.location.clone());
            Some((node.started_at, Note { activation, task, location, what }))
        });
        let mut begun: Vec<_> = begun.collect();
        begun.sort_by(|(a, one), (b, other)| {
            (a, one.activation.as_str().len()).cmp(&(b, other.activation.as_str().len()))
        });
        begun
    }

    pub(super) fn note_tasks(&mut self, what: impl Fn(&Self, NodeId) -> NoteKind) {
        let nodes: Vec<NodeId> = self.arena.ids();
        for id in nodes {
            let node = self.arena.get(id);
            let in_progress = node.filter(|it| it.children.is_empty() && !it.is_faulted());
            if let Some(node) = in_progress.cloned() {
                let what = what(self, id);
                self.note(&node, what);
            }
        }
    }
}
