//! `use.extensions`: read once, after the tasks that they may extend.

use crate::code::Code;
use crate::node::{Entry, Kind, escape};
use crate::problems::shown;
use crate::tree::{Extends, Extension, TaskList};

use super::Reader;
use super::expression::{Around, Position};
use super::fields::{Fields, Item};
use super::list::ListKind;

/// Extensions of one document. All that extend a task's kind are asked in one step of its run.
const EXTENSIONS_MAX: usize = 100;

impl<'a> Reader<'a> {
    /// The extensions within `use`, which itself was read before the tasks.
    pub(super) fn extensions_of(&self, item: Item<'a>) -> Option<Item<'a>> {
        let Kind::Map(entries) = &item.node.kind else { return None };
        entries.iter().find(|entry| &*entry.key == "extensions").map(Item::from)
    }

    pub(super) fn extensions(&mut self, item: Option<Item<'a>>) -> Option<Vec<Extension>> {
        let Some(item) = item else {
            return Some(Vec::new());
        };
        let Kind::Seq(items) = &item.node.kind else {
            return self.wrong_type(item, "a list of named extensions");
        };
        if items.len() > EXTENSIONS_MAX {
            let message = format!("more than {EXTENSIONS_MAX} extensions");
            let hint = "one extension can do the work of several that extend the same tasks";
            self.report(Code::ManyExtensions, item.at, message, Some(hint.into()));
            return None;
        }
        let mut read = Vec::new();
        self.is_extension = true;
        for (index, node) in items.iter().enumerate() {
            let entry = self.single_entry(node, "an extension");
            read.push(entry.and_then(|entry| self.extension(index, entry)));
        }
        self.is_extension = false;
        // Every extension is read before the first failure counts, so that all are reported.
        read.into_iter().collect()
    }

    fn extension(&mut self, index: usize, entry: &'a Entry) -> Option<Extension> {
        let fields = self.fields(entry.into(), &["extend", "when", "before", "after"])?;
        let extend =
            self.require(&fields, "extend").and_then(|item| self.one_of(item, &Extends::NAMES));
        let when = self.condition_of(fields.get("when"), Position::Task, &Around::default());
        let prefix = format!("/use/extensions/{index}/{}", escape(&entry.key));
        let before = self.extension_list(&fields, "before", &prefix);
        let after = self.extension_list(&fields, "after", &prefix);
        let extend = Extends(extend?);
        let tasks = self.tasks.iter().flatten();
        let mut own = tasks.filter(|task| !task.is_extension);
        // A task with an error in it may be the one that is extended.
        let is_known = self.tasks.iter().all(Option::is_some);
        if is_known && !own.any(|task| extend.matches(&task.kind)) {
            let message = format!("no task is extended by `{}`", shown(&entry.key));
            let hint = "`extend` names a kind of task that this document does not have";
            self.report(Code::UselessExtension, entry.key_at, message, Some(hint.into()));
        } else if is_empty(fields.get("before")) && is_empty(fields.get("after")) {
            let message = format!("the extension `{}` does nothing", shown(&entry.key));
            let hint = "give it tasks under `before` or `after`";
            self.report(Code::UselessExtension, entry.key_at, message, Some(hint.into()));
        }
        Some(Extension { name: entry.key.as_ref().into(), extend, when, before, after })
    }

    fn extension_list(&mut self, fields: &Fields<'a>, key: &str, prefix: &str) -> TaskList {
        let Some(item) = fields.get(key) else {
            return TaskList::default();
        };
        self.task_list(item, &format!("{prefix}/{key}"), &Around::default(), ListKind::Steps)
    }
}

fn is_empty(list: Option<Item<'_>>) -> bool {
    list.is_none_or(|list| matches!(&list.node.kind, Kind::Seq(items) if items.is_empty()))
}
