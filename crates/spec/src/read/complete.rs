//! Which lists of tasks can be left by completing: behind one that always ends the run or always
//! raises, nothing is reached. Looks through the tasks that hold others; every other task completes.

use crate::tree::{Flow, Task, TaskKind, TaskList};

use super::Reader;
use super::check::follow;

impl Reader<'_> {
    /// Whether the flow can leave a list towards what follows it. Where an error is in the list too
    /// little is known, and it can.
    pub(super) fn can_complete(&self, list: &TaskList) -> bool {
        let tasks: Option<Vec<&Task>> =
            list.0.iter().map(|no| self.tasks[no.0 as usize].as_ref()).collect();
        let Some(tasks) = tasks.filter(|tasks| !tasks.is_empty()) else { return true };
        let mut reached = vec![false; tasks.len()];
        let mut open = vec![0];
        while let Some(position) = open.pop() {
            let Some(is_new @ false) = reached.get_mut(position) else {
                // The flow has come behind the last task.
                if position >= tasks.len() {
                    return true;
                }
                continue;
            };
            *is_new = true;
            if self.is_dead_end(tasks[position]) {
                continue;
            }
            if leaves(tasks[position]) {
                return true;
            }
            follow(tasks[position], position, &mut open);
        }
        false
    }

    /// Whether a task that holds others never completes.
    pub(super) fn is_dead_end(&self, task: &Task) -> bool {
        if task.condition.is_some() {
            return false;
        }
        if let Some(known) = self.dead_ends.borrow().get(&task.no) {
            return *known;
        }
        let is_dead = match &task.kind {
            TaskKind::Do(list) => !self.can_complete(list),
            TaskKind::Fork(fork) => {
                let mut branches = fork.branches.0.iter().map(|no| {
                    let branch = self.tasks[no.0 as usize].as_ref();
                    branch.is_some_and(|task| {
                        matches!(task.kind, TaskKind::Raise(_)) && task.condition.is_none()
                            || self.is_dead_end(task)
                    })
                });
                match fork.compete {
                    true => !fork.branches.0.is_empty() && branches.all(|is_dead| is_dead),
                    false => branches.any(|is_dead| is_dead),
                }
            }
            TaskKind::Try(guard) => {
                let caught = guard.catch.body.as_ref();
                !self.can_complete(&guard.body)
                    && caught.is_some_and(|list| !self.can_complete(list))
            }
            // Everything else completes, or is known to `follow`.
            _ => false,
        };
        self.dead_ends.borrow_mut().insert(task.no, is_dead);
        is_dead
    }
}

/// Whether a task says `exit`.
fn leaves(task: &Task) -> bool {
    let is_exit = |flow: &Flow| *flow == Flow::Exit;
    match &task.kind {
        TaskKind::Switch(cases) => {
            cases.iter().any(|case| is_exit(&case.then))
                || (is_exit(&task.then) && cases.iter().all(|case| case.when.is_some()))
        }
        TaskKind::Raise(_) => false,
        _ => is_exit(&task.then),
    }
}
