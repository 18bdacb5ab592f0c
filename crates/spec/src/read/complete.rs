//! Which lists of tasks can be left by completing: behind one that always ends the run or always
//! raises, nothing is reached. Looks through the tasks that hold others; every other task completes.

use crate::tree::{Flow, TaskKind, TaskList, TaskNo};

use super::Reader;

/// What the flow comes to in a list.
pub(super) struct Reached {
    /// By place.
    pub(super) tasks: Vec<bool>,
    /// What follows the list.
    is_left: bool,
}

impl Reader<'_> {
    /// What the flow comes to from the beginning of a list; `None` where it comes to a task whose
    /// ways could not be read, which may lead anywhere.
    pub(super) fn reached(&self, list: &TaskList) -> Option<Reached> {
        let mut reached = Reached { tasks: vec![false; list.0.len()], is_left: list.0.is_empty() };
        let mut open = vec![0];
        while let Some(position) = open.pop() {
            let Some(is_new @ false) = reached.tasks.get_mut(position) else {
                // The flow has come behind the last task.
                reached.is_left |= position >= list.0.len();
                continue;
            };
            *is_new = true;
            let no = list.0[position];
            let ways = self.ways[no.0 as usize].as_ref()?;
            if self.is_dead_end(no) {
                continue;
            }
            for way in ways {
                match way {
                    Flow::Continue => open.push(position + 1),
                    Flow::Goto(target) => open.push(*target as usize),
                    Flow::Exit => reached.is_left = true,
                    Flow::End => {}
                }
            }
        }
        Some(reached)
    }

    /// Whether the flow can leave a list towards what follows it.
    fn can_complete(&self, list: &TaskList) -> bool {
        self.reached(list).is_none_or(|reached| reached.is_left)
    }

    /// Whether a task that holds others never completes.
    fn is_dead_end(&self, no: TaskNo) -> bool {
        // Of a task with an error too little is known: it completes.
        let number = no.0 as usize;
        let (Some(task), Some(_)) = (&self.tasks[number], &self.ways[number]) else {
            return false;
        };
        if task.condition.is_some() {
            return false;
        }
        if let Some(known) = self.dead_ends.borrow().get(&no) {
            return *known;
        }
        let is_dead = match &task.kind {
            TaskKind::Do(list) => !self.can_complete(list),
            TaskKind::Fork(fork) => {
                let mut branches = fork.branches.0.iter().map(|no| {
                    let branch = self.tasks[no.0 as usize].as_ref();
                    let raises = branch.is_some_and(|task| {
                        matches!(task.kind, TaskKind::Raise(_)) && task.condition.is_none()
                    });
                    raises || self.is_dead_end(*no)
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
            // Everything else completes, or its ways say so.
            _ => false,
        };
        self.dead_ends.borrow_mut().insert(no, is_dead);
        is_dead
    }
}
