//! Lists of named tasks, and flows between the tasks of one list.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::code::Code;
use crate::diagnostic::Location;
use crate::node::{Entry, Kind, Node, escape};
use crate::problems::shown;
use crate::tree::{Flow, TaskList};

use super::Reader;
use super::expression::{Around, is_expression};
use super::fields::{Item, quoted};

/// Longer names make locations unreadable, and every journal record of a task carries one.
const TASK_NAME_CHARS_MAX: usize = 128;

/// Words that say where the flow goes, so that no task can be meant by them.
pub(super) const DIRECTIVES: [&str; 3] = ["continue", "exit", "end"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListKind {
    /// One after another.
    Steps,
    /// At the same time: no flow leads from one to another.
    Branches,
}

/// What a task knows of the list that it stands in.
pub(super) struct Siblings {
    positions: Rc<HashMap<Rc<str>, u32>>,
    /// Names that several tasks have, so that none of them is meant for certain.
    doubled: HashSet<Rc<str>>,
    kind: ListKind,
}

impl Siblings {
    /// Of a task that stands in no list: a function's body.
    pub(super) fn alone() -> Self {
        Self { positions: Rc::default(), doubled: HashSet::new(), kind: ListKind::Steps }
    }

    pub(super) fn are_branches(&self) -> bool {
        self.kind == ListKind::Branches
    }
}

/// A flow to a name that is not in its list.
#[derive(Debug)]
pub(super) struct Astray {
    pub(super) at: Location,
    pub(super) target: Rc<str>,
    /// Shared, so that many flows astray in one large list cost one list of names.
    pub(super) siblings: Rc<HashMap<Rc<str>, u32>>,
}

impl<'a> Reader<'a> {
    /// Reads the tasks of a list whose location is `prefix`.
    pub(super) fn task_list(
        &mut self,
        item: Item<'a>,
        prefix: &str,
        around: &Around,
        kind: ListKind,
    ) -> TaskList {
        let Kind::Seq(items) = &item.node.kind else {
            let message = format!("expected a list of named tasks, found {}", item.node.what());
            self.report(
                Code::WrongType,
                item.at,
                message,
                Some("begin each task with `- name:`".into()),
            );
            self.is_flow_unread = true;
            return TaskList::default();
        };
        if items.is_empty() {
            let hint = "add a task such as `- name: { set: { a: 1 } }`, or remove the list";
            self.report(
                Code::EmptyList,
                item.at,
                "a list without tasks: nothing is done here",
                Some(hint.into()),
            );
        }
        let entries: Vec<(usize, &'a Entry)> = items
            .iter()
            .enumerate()
            .filter_map(|(index, node)| Some((index, self.single_entry(node, "a task")?)))
            .collect();
        let siblings = self.siblings(&entries, kind);
        let is_whole = entries.len() == items.len();
        let mut list = TaskList::default();
        for (index, entry) in entries {
            let location = format!("{prefix}/{index}/{}", escape(&entry.key));
            list.0.push(self.task(entry, location.into(), &siblings, around));
        }
        match is_whole {
            true if kind == ListKind::Steps => self.warn_of_unreachable(&list),
            true => {}
            // What could not be read may lead anywhere, and out of the list.
            false => self.is_flow_unread = true,
        }
        list
    }

    /// The only entry of `- name: …`.
    pub(super) fn single_entry(&mut self, node: &'a Node, what: &str) -> Option<&'a Entry> {
        let entries = self.entries(Item::of(node))?;
        if let [entry] = entries {
            return Some(entry);
        }
        let hint = format!("write `- name:` and indent the properties of {what} below it");
        let at = entries.get(1).map_or(node.used_at(), |second| second.key_at);
        let message = format!("{what} must have exactly one name, found {}", entries.len());
        self.report(Code::TaskName, at, message, Some(hint));
        None
    }

    fn siblings(&mut self, entries: &[(usize, &'a Entry)], kind: ListKind) -> Siblings {
        let mut positions: HashMap<Rc<str>, u32> = HashMap::new();
        let mut doubled = HashSet::new();
        for (position, (_, entry)) in entries.iter().enumerate() {
            let name = &*entry.key;
            let position = u32::try_from(position).expect("a document has fewer values");
            if let Some(first) = positions.insert(entry.key.clone(), position) {
                doubled.insert(entry.key.clone());
                let line = entries[first as usize].1.key_at.line;
                let message = format!(
                    "a second task is named `{}`; the first is in line {line}",
                    shown(name)
                );
                self.report(
                    Code::DuplicateTask,
                    entry.key_at,
                    message,
                    Some("names are unique within a list".into()),
                );
            }
            let wrong = if DIRECTIVES.contains(&name) {
                format!("`{name}` says where the flow goes and cannot be the name of a task")
            } else if name.trim().is_empty() {
                "the name of a task cannot be empty".into()
            } else if name.chars().count() > TASK_NAME_CHARS_MAX {
                format!("the name of a task has at most {TASK_NAME_CHARS_MAX} characters")
            } else {
                continue;
            };
            self.report(Code::TaskName, entry.key_at, wrong, None);
        }
        Siblings { positions: Rc::new(positions), doubled, kind }
    }

    /// `then`.
    pub(super) fn flow(&mut self, item: Item<'a>, siblings: &Siblings) -> Option<Flow> {
        let flow = self.flow_to(item, siblings);
        self.is_flow_unread |= flow.is_none();
        flow
    }

    fn flow_to(&mut self, item: Item<'a>, siblings: &Siblings) -> Option<Flow> {
        let target = self.text(item)?;
        let at = item.node.at;
        match target {
            "continue" => return Some(Flow::Continue),
            "exit" => return Some(Flow::Exit),
            "end" => return Some(Flow::End),
            _ => {}
        }
        if is_expression(target) {
            let hint = "branch with `switch`";
            self.report(
                Code::ComputedReference,
                at,
                "where the flow goes cannot be an expression",
                Some(hint.into()),
            );
            return None;
        }
        if siblings.kind == ListKind::Branches {
            let message = format!("a branch of a fork cannot go to `{}`", shown(target));
            self.report(
                Code::UnknownTask,
                at,
                message,
                Some(format!("write one of {}", quoted(&DIRECTIVES))),
            );
            return None;
        }
        self.is_flow_unread |= siblings.doubled.contains(target);
        let position = siblings.positions.get(target).copied();
        if position.is_none() {
            let names = Rc::clone(&siblings.positions);
            self.astray.push(Astray { at, target: target.into(), siblings: names });
        }
        position.map(Flow::Goto)
    }
}
