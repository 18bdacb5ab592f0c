//! One task: the properties that all have, and the kinds that have no file of their own.

use std::sync::Arc;

use crate::code::Code;
use crate::diagnostic::Location;
use crate::near;
use crate::node::{Entry, Kind};
use crate::problems::shown;
use crate::tree::{Case, Flow, For, Fork, Task, TaskKind, TaskNo, Template};

use super::check::ways;
use super::expression::{Around, Position};
use super::fields::{Fields, Item, quoted};
use super::list::{ListKind, Siblings};
use super::{Named, Reader};

/// What every task may have.
const BASE: [&str; 7] = ["if", "input", "output", "export", "timeout", "then", "metadata"];

/// The property that says what a task does, and what it may have with it. `for` comes before `do`,
/// which both have.
const KINDS: [(&str, &[&str]); 12] = [
    ("call", &["with"]),
    ("emit", &[]),
    ("for", &["while", "do"]),
    ("fork", &[]),
    ("listen", &["foreach"]),
    ("raise", &[]),
    ("run", &[]),
    ("set", &[]),
    ("switch", &[]),
    ("try", &["catch"]),
    ("wait", &[]),
    ("do", &[]),
];

/// What the readers of all kinds are given.
pub(super) struct Within<'w> {
    pub(super) location: &'w Arc<str>,
    pub(super) siblings: &'w Siblings,
    pub(super) around: &'w Around,
}

impl<'a> Reader<'a> {
    pub(super) fn task(
        &mut self,
        entry: &'a Entry,
        location: Arc<str>,
        siblings: &Siblings,
        around: &Around,
    ) -> TaskNo {
        let number = self.tasks.len();
        let no = TaskNo(u32::try_from(number).expect("a document has fewer values"));
        self.tasks.push(None);
        self.names.push(Named {
            at: entry.key_at,
            name: entry.key.clone(),
            location: location.clone(),
        });
        self.exports.push(None);
        self.ways.push(None);
        let outer = std::mem::take(&mut self.is_flow_unread);
        let within = Within { location: &location, siblings, around };
        if let Some(task) = self.task_of(no, entry, &within) {
            self.tasks[number] = Some(task);
        }
        if std::mem::replace(&mut self.is_flow_unread, outer) {
            self.ways[number] = None;
        }
        no
    }

    fn task_of(&mut self, no: TaskNo, entry: &'a Entry, within: &Within<'_>) -> Option<Task> {
        let entries = self.entries(entry.into())?;
        let (kind, also) = self.kind(entry, entries)?;
        let known: Vec<&str> = BASE.iter().chain(also).copied().chain([kind]).collect();
        let fields = self.fields(entry.into(), &known)?;
        let around = within.around;
        let condition = self.condition_of(fields.get("if"), Position::BeforeTask, around);
        self.is_flow_unread |= fields.has_unknown(&known);
        self.is_flow_unread |= fields.get("if").is_some() && condition.is_none();
        let input = self.input(fields.get("input"), Position::BeforeTask, around);
        let output = self.output(fields.get("output"), Position::Task, around);
        let export = self.output(fields.get("export"), Position::Export, around);
        self.exports[no.0 as usize] = fields.get("export").map(|item| item.at);
        let timeout = self.timeout(fields.get("timeout"), Position::Task, around);
        let metadata = self.object_or_empty(fields.get("metadata"));
        if !within.siblings.are_branches() {
            self.warn_of_useless_after(entry);
        }
        let then = match fields.get("then") {
            Some(item) => self.flow(item, within.siblings),
            None => Some(Flow::Continue),
        };
        let name = kind;
        let kind = self.task_kind(name, &fields, within);
        let pool = self.pool(fields.get("metadata"));
        if kind.as_ref().is_some_and(|kind| !kind.takes_turns()) {
            self.warn_of_useless_pool(fields.get("metadata"), entry);
        }
        self.ways[no.0 as usize] = ways(name, kind.as_ref(), condition.is_some(), then.as_ref());
        Some(Task {
            no,
            name: entry.key.as_ref().into(),
            location: within.location.clone(),
            condition,
            input: input?,
            output: output?,
            export: export?,
            timeout,
            then: then?,
            metadata: metadata?,
            pool,
            definition: entry.value.value(),
            is_extension: self.is_extension,
            kind: kind?,
        })
    }

    /// The one property that says what the task does.
    fn kind(
        &mut self,
        entry: &'a Entry,
        entries: &[Entry],
    ) -> Option<(&'static str, &'static [&'static str])> {
        let has = |name: &str| entries.iter().find(|entry| &*entry.key == name);
        let mut found: Vec<(&'static str, &'static [&'static str])> =
            KINDS.into_iter().filter(|(name, _)| has(name).is_some()).collect();
        if found.iter().any(|(name, _)| *name == "for") {
            found.retain(|(name, _)| *name != "do");
        }
        let name = shown(&entry.key);
        match found[..] {
            [one] => return Some(one),
            [] => {
                let all = KINDS.map(|(name, _)| name);
                let unknown = entries.iter().filter(|entry| !BASE.contains(&&*entry.key));
                let mistyped = unknown.filter_map(|entry| near::nearest(&entry.key, all)).next();
                let hint = match mistyped {
                    _ if all.contains(&&*entry.key) => {
                        format!("give the task a name: `- NAME:`, and `{name}:` indented below it")
                    }
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("give it one of {}", quoted(&all)),
                };
                let message = format!("the task `{name}` does not say what to do");
                self.report(Code::TaskKind, entry.key_at, message, Some(hint));
            }
            [(first, _), (second, _), ..] => {
                let at = has(second).map_or(entry.key_at, |second| second.key_at);
                let message =
                    format!("the task `{name}` does two things, `{first}` and `{second}`");
                self.report(Code::TaskKind, at, message, Some("make two tasks of it".into()));
            }
        }
        None
    }

    fn task_kind(
        &mut self,
        kind: &str,
        fields: &Fields<'a>,
        within: &Within<'_>,
    ) -> Option<TaskKind> {
        let item = fields.get(kind)?;
        match kind {
            "call" => self.call(item, fields.get("with"), within),
            "for" => self.for_each(item, fields, within),
            "fork" => self.fork(item, within),
            "raise" => self.raise(item, within.around).map(TaskKind::Raise),
            "set" => self.set(item, within.around).map(TaskKind::Set),
            "switch" => self.switch(item, within).map(TaskKind::Switch),
            "try" => self.attempt(item, fields, within),
            "run" => self.run(item, within),
            "wait" => self.duration(item, Position::Task, within.around).map(TaskKind::Wait),
            "do" => {
                let prefix = format!("{}/do", within.location);
                Some(TaskKind::Do(self.task_list(item, &prefix, within.around, ListKind::Steps)))
            }
            "emit" => self.emit(item, within.around).map(TaskKind::Emit),
            "listen" => self.listen(item, fields.get("foreach"), within).map(TaskKind::Listen),
            other => unreachable!("`{other}` is no kind of task"),
        }
    }

    fn set(&mut self, item: Item<'a>, around: &Around) -> Option<Template> {
        match &item.node.kind {
            Kind::Map(entries) if entries.is_empty() => {
                self.wrong_value(item, "`set` sets nothing", None)
            }
            _ => self.shape(item, Position::Task, around),
        }
    }

    fn switch(&mut self, item: Item<'a>, within: &Within<'_>) -> Option<Vec<Case>> {
        let Kind::Seq(items) = &item.node.kind else {
            return self.wrong_type(item, "a list of named cases");
        };
        if items.is_empty() {
            return self.wrong_value(item, "a switch needs a case", None);
        }
        let mut cases = Vec::new();
        let mut default: Option<Location> = None;
        for node in items.iter() {
            let Some(entry) = self.single_entry(node, "a case") else {
                self.is_flow_unread = true;
                continue;
            };
            let known = ["when", "then"];
            let Some(fields) = self.fields(entry.into(), &known) else {
                self.is_flow_unread = true;
                continue;
            };
            self.is_flow_unread |= fields.has_unknown(&known);
            let when = fields.get("when");
            if when.is_none() {
                let first = *default.get_or_insert(entry.key_at);
                if first != entry.key_at {
                    let message = format!(
                        "a second case without `when`; the first is in line {}",
                        first.line
                    );
                    self.report(
                        Code::SeveralDefaults,
                        entry.key_at,
                        message,
                        Some("only one case can be the default".into()),
                    );
                }
            }
            let has_condition = when.is_some();
            let when = self.condition_of(when, Position::Task, within.around);
            let then =
                self.require(&fields, "then").and_then(|item| self.flow(item, within.siblings));
            self.is_flow_unread |= then.is_none() || when.is_some() != has_condition;
            if let Some(then) = then {
                cases.push(Case { name: entry.key.as_ref().into(), when, then });
            }
        }
        Some(cases)
    }

    fn for_each(
        &mut self,
        item: Item<'a>,
        task: &Fields<'a>,
        within: &Within<'_>,
    ) -> Option<TaskKind> {
        let fields = self.fields(item, &["each", "in", "at"])?;
        let each = self.variable_name(fields.get("each"), "item");
        let at = self.variable_name(fields.get("at"), "index");
        if let (Some(each), Some(at)) = (&each, &at)
            && each == at
        {
            let place =
                fields.get("at").or(fields.get("each")).map_or(item.at, |item| item.node.at);
            let message = format!("item and index cannot both be `{each}`");
            self.report(Code::VariableName, place, message, None);
        }
        if let Some(name) = &each {
            let place = fields.get("each").map_or(item.at, |item| item.node.at);
            self.warn_of_shadowing(place, name, within.around);
        }
        // The index has its usual name in most loops, and few read it.
        if let (Some(place), Some(name)) = (fields.get("at"), &at) {
            self.warn_of_shadowing(place.node.at, name, within.around);
        }
        let names: Vec<Arc<str>> = each.iter().chain(&at).cloned().collect();
        let inner = if names.len() == 2 { within.around.with(&names) } else { Around::anything() };
        let items = self.require(&fields, "in").and_then(|item| match &item.node.kind {
            Kind::Seq(_) => self.template(item, Position::Task, within.around),
            Kind::Str(_) => {
                self.expression(item, Position::Task, within.around).map(Template::Expr)
            }
            _ => self.wrong_type(item, "an expression or a list"),
        });
        let condition = self.condition_of(task.get("while"), Position::Task, &inner);
        let prefix = format!("{}/do", within.location);
        let body = self
            .require(task, "do")
            .map(|item| self.task_list(item, &prefix, &inner, ListKind::Steps));
        Some(TaskKind::For(For { each: each?, at: at?, items: items?, condition, body: body? }))
    }

    fn fork(&mut self, item: Item<'a>, within: &Within<'_>) -> Option<TaskKind> {
        let fields = self.fields(item, &["branches", "compete"])?;
        let compete = match fields.get("compete") {
            Some(item) => self.boolean(item),
            None => Some(false),
        };
        let prefix = format!("{}/fork/branches", within.location);
        let item = self.require(&fields, "branches")?;
        let branches = self.task_list(item, &prefix, within.around, ListKind::Branches);
        let graph = self.graph(item, compete == Some(true))?;
        self.warn_of_racing_exports(&branches, &graph);
        Some(TaskKind::Fork(Fork { branches, compete: compete?, after: graph.sound()? }))
    }
}
