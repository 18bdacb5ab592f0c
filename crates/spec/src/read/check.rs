//! Warnings about a list that has been read: tasks that nothing leads to, branches that overwrite
//! each other's export.

use crate::code::Code;
use crate::diagnostic::Location;
use crate::problems::shown;
use crate::tree::{Flow, TaskKind, TaskList, TaskNo};

use super::expression::Around;
use super::{Named, Reader};

impl Reader<'_> {
    /// A task with an error leads where it says, and anywhere if that cannot be read.
    pub(super) fn warn_of_unreachable(&mut self, list: &TaskList) {
        let Some(reached) = self.reached(list) else { return };
        let lost: Vec<TaskNo> = (list.0.iter().zip(&reached.tasks))
            .filter(|(_, reached)| !**reached)
            .map(|(no, _)| *no)
            .collect();
        for no in lost {
            let Named { at, name, .. } = &self.names[no.0 as usize];
            let (at, message) = (*at, format!("the task `{}` is never reached", shown(name)));
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

/// Where the flow can go from a task of that kind; `None` where too little of it could be read.
pub(super) fn ways(
    name: &str,
    kind: Option<&TaskKind>,
    is_conditional: bool,
    then: Option<&Flow>,
) -> Option<Vec<Flow>> {
    let then = then?;
    let mut ways: Vec<Flow> = is_conditional.then_some(Flow::Continue).into_iter().collect();
    match kind {
        Some(TaskKind::Switch(cases)) => {
            ways.extend(cases.iter().map(|case| case.then.clone()));
            if cases.iter().all(|case| case.when.is_some()) {
                ways.push(then.clone());
            }
        }
        Some(TaskKind::Raise(_)) => {}
        Some(TaskKind::Try(guard)) => {
            ways.push(then.clone());
            ways.extend(guard.catch.then.clone());
        }
        Some(
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
            | TaskKind::Child(_),
        ) => ways.push(then.clone()),
        // Of a task with an error its kind is known: most lead where their `then` does.
        None => match name {
            "raise" => {}
            "switch" | "try" => return None,
            _ => ways.push(then.clone()),
        },
    }
    Some(ways)
}
