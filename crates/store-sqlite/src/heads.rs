//! Where each run's journal ends, for the writer: kept in memory, so that an append costs no query.

use std::collections::HashMap;

use base::RunId;

/// Runs remembered in each of the two halves. 64 bytes each: 2 MiB in all, far more runs than make
/// progress at once.
const HALF_RUNS_MAX: usize = 16_384;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// The run's number in the tables.
    pub(crate) id: i64,
    /// The last sequence of its journal.
    pub(crate) last: u64,
}

/// A cache in two halves: what is used moves to the young one, and when that is full it becomes
/// the old one and the old one is forgotten. No list to keep in order, and never more than both.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    young: HashMap<RunId, Head>,
    old: HashMap<RunId, Head>,
    /// What the current command has overwritten, to put it back where the command is refused.
    undo: Vec<(RunId, Option<Head>)>,
    /// Runs that this batch ends. Hardly anybody appends to them again.
    ended: Vec<RunId>,
}

impl Heads {
    pub(crate) fn get(&mut self, run: RunId) -> Option<Head> {
        if let Some(head) = self.young.get(&run) {
            return Some(*head);
        }
        let head = self.old.remove(&run)?;
        self.young.insert(run, head);
        Some(head)
    }

    /// Remembers what was read; no part of any command.
    pub(crate) fn found(&mut self, run: RunId, head: Head) {
        self.young.insert(run, head);
    }

    /// Changes what is known, until [`Heads::keep`] or [`Heads::put_back`].
    pub(crate) fn set(&mut self, run: RunId, head: Head) {
        let before = self.young.insert(run, head);
        self.undo.push((run, before));
    }

    /// Forgets a run, until [`Heads::put_back`].
    pub(crate) fn remove(&mut self, run: RunId) {
        if let Some(before) = self.get(run) {
            self.young.remove(&run);
            self.undo.push((run, Some(before)));
        }
    }

    /// The run has ended, and need not be remembered after this batch.
    pub(crate) fn end(&mut self, run: RunId) {
        self.ended.push(run);
    }

    /// The command was accepted.
    pub(crate) fn keep(&mut self) {
        self.undo.clear();
    }

    /// The command was refused.
    pub(crate) fn put_back(&mut self) {
        for (run, before) in self.undo.drain(..).rev() {
            match before {
                Some(head) => self.young.insert(run, head),
                None => self.young.remove(&run),
            };
        }
    }

    /// Between batches only: within one, what is not written yet stands nowhere else.
    pub(crate) fn shrink(&mut self) {
        for run in self.ended.drain(..) {
            self.young.remove(&run);
        }
        if self.young.len() >= HALF_RUNS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
    }

    /// The batch failed: nothing of what is remembered may be true.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use store::suite::run_id;

    use super::*;

    fn head(last: u64) -> Head {
        Head { id: 1, last }
    }

    /// Mutation: undo in the order of the changes, or keep what is new.
    #[test]
    fn a_refused_command_leaves_no_trace() {
        let mut heads = Heads::default();
        heads.set(run_id(1), head(1));
        heads.keep();
        heads.set(run_id(1), head(2));
        heads.set(run_id(1), head(3));
        heads.set(run_id(2), head(1));
        heads.put_back();
        assert_eq!(heads.get(run_id(1)), Some(head(1)));
        assert_eq!(heads.get(run_id(2)), None);
    }

    /// Mutation: forget it within the batch, where the file does not know its end yet; or never.
    #[test]
    fn a_run_that_has_ended_is_remembered_until_its_batch_is_written() {
        let mut heads = Heads::default();
        heads.set(run_id(1), head(7));
        heads.end(run_id(1));
        heads.keep();
        assert_eq!(heads.get(run_id(1)), Some(head(7)));
        heads.shrink();
        assert_eq!(heads.get(run_id(1)), None);
    }

    /// Mutation: never shrink, or forget what was used last.
    #[test]
    fn what_is_used_is_remembered_and_the_rest_is_bounded() {
        let mut heads = Heads::default();
        heads.found(run_id(0), head(0));
        for _ in 0..3 {
            heads.shrink();
        }
        assert_eq!(heads.young.len(), 1, "few are all kept");
        let many = 5 * HALF_RUNS_MAX as u64;
        for n in 0..many {
            heads.found(run_id(n), head(n));
            assert_eq!(heads.get(run_id(0)), Some(head(0)), "used all the time");
            heads.shrink();
        }
        assert!(heads.young.len() + heads.old.len() <= 2 * HALF_RUNS_MAX);
        assert_eq!(heads.get(run_id(1)), None);
        assert_eq!(heads.get(run_id(many - 1)), Some(head(many - 1)));
    }
}
