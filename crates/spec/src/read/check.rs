//! Warnings about a list that has been read: tasks that nothing leads to, branches that overwrite
//! each other's export.

use crate::code::Code;
use crate::diagnostic::Location;
use crate::tree::{Flow, Task, TaskKind, TaskList};

use super::Reader;
use super::expression::Around;

impl Reader<'_> {
    /// Says nothing about a list with an error in it: too little is known of its flow.
    pub(super) fn warn_of_unreachable(&mut self, list: &TaskList) {
        let tasks: Option<Vec<&Task>> =
            list.0.iter().map(|no| self.tasks[no.0 as usize].as_ref()).collect();
        let Some(tasks) = tasks else { return };
        let mut reached = vec![false; tasks.len()];
        let mut open = vec![0];
        while let Some(position) = open.pop() {
            let Some(is_new @ false) = reached.get_mut(position) else {
                continue;
            };
            *is_new = true;
            if !self.is_dead_end(tasks[position]) {
                follow(tasks[position], position, &mut open);
            }
        }
        let lost: Vec<_> = tasks
            .iter()
            .zip(&reached)
            .filter(|(_, reached)| !**reached)
            .map(|(task, _)| (task.no, task.name.clone()))
            .collect();
        for (no, name) in lost {
            let at = self.names[no.0 as usize].at;
            let message = format!("the task `{name}` is never reached");
            self.report(
                Code::Unreachable,
                at,
                message,
                Some("let a `then` lead to it, or remove it".into()),
            );
        }
    }

    /// What stands around a loop or a catch under the same name cannot be read within it.
    pub(super) fn warn_of_shadowing(&mut self, at: Location, name: &str, around: &Around) {
        if around.has(name) {
            let message = format!("`${name}` hides the variable of the same name around it");
            let hint = "give one of the two another name";
            self.report(Code::Shadowed, at, message, Some(hint.into()));
        }
    }

    pub(super) fn warn_of_concurrent_exports(&mut self, branches: &TaskList) {
        let exports: Vec<_> =
            (0..branches.0.len()).filter_map(|at| self.export_in(branches, at)).collect();
        let [first, others @ ..] = &exports[..] else {
            return;
        };
        for at in others {
            self.warn_of_racing_export(*first, *at);
        }
    }

    /// Where a branch exports first, if it does.
    pub(super) fn export_in(&self, branches: &TaskList, at: usize) -> Option<Location> {
        // A branch's tasks have the numbers from its own up to the next branch's.
        let start = branches.0[at].0 as usize;
        let end = branches.0.get(at + 1).map_or(self.exports.len(), |next| next.0 as usize);
        self.exports[start..end].iter().flatten().next().copied()
    }

    pub(super) fn warn_of_racing_export(&mut self, first: Location, second: Location) {
        let message = format!(
            "another branch of this fork exports as well, in line {}; whichever ends last wins",
            first.line
        );
        let hint = "export once, after the fork, from its output";
        self.report(Code::ConcurrentExport, second, message, Some(hint.into()));
    }
}

/// Where the flow can go from a task.
pub(super) fn follow(task: &Task, position: usize, open: &mut Vec<usize>) {
    let mut go = |flow: &Flow| match flow {
        Flow::Continue => open.push(position + 1),
        Flow::Goto(target) => open.push(*target as usize),
        Flow::Exit | Flow::End => {}
    };
    if task.condition.is_some() {
        go(&Flow::Continue);
    }
    match &task.kind {
        TaskKind::Switch(cases) => {
            cases.iter().for_each(|case| go(&case.then));
            if cases.iter().all(|case| case.when.is_some()) {
                go(&task.then);
            }
        }
        TaskKind::Raise(_) => {}
        TaskKind::Try(guard) => {
            go(&task.then);
            guard.catch.then.iter().for_each(go);
        }
        TaskKind::Do(_)
        | TaskKind::Set(_)
        | TaskKind::For(_)
        | TaskKind::Fork(_)
        | TaskKind::Wait(_)
        | TaskKind::Http(_)
        | TaskKind::Function(_)
        | TaskKind::OpenApi(_)
        | TaskKind::Custom(_)
        | TaskKind::Emit(_)
        | TaskKind::Listen(_)
        | TaskKind::Process(_)
        | TaskKind::Child(_) => go(&task.then),
    }
}
