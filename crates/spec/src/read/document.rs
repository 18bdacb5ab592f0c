//! The top of a document: what it is, and its parts in the order in which they need each other.

use std::collections::HashMap;
use std::rc::Rc;

use base::name::{Namespace, WorkflowKey, WorkflowName};
use base::{Value, value};

use crate::code::Code;
use crate::keep::Keep;
use crate::near;
use crate::node::{Kind, Node};
use crate::problems::shown;
use crate::tree::{Document, Workflow};

use super::Reader;
use super::expression::{Around, Position};
use super::fields::{Item, quoted};
use super::list::{DIRECTIVES, ListKind};

/// Versions of the language that are read. They differ in what they add, not in what it means.
pub const DSL_VERSIONS: [&str; 4] = ["1.0.0", "1.0.1", "1.0.2", "1.0.3"];

/// Flows that lead nowhere whose names are compared with all others.
const HINTS_MAX: usize = 100;

const KNOWN: [&str; 8] =
    ["document", "input", "use", "do", "timeout", "output", "schedule", "evaluate"];

impl<'a> Reader<'a> {
    pub(super) fn workflow(&mut self, root: &'a Node) -> Option<Workflow> {
        let top = self.fields(Item::of(root), &KNOWN)?;
        let around = Around::default();
        self.evaluate(top.get("evaluate"));
        self.shelve(top.get("use"));
        if top.get("document").is_none() {
            let hint = "a workflow says what it is; `isonomy init` writes one to begin with";
            let message = "the property `document` is missing";
            self.report(Code::MissingProperty, top.at(), message, Some(hint.into()));
        }
        let document = top.get("document").and_then(|item| self.document(item));
        let input = self.input(top.get("input"), Position::WorkflowInput, &around);
        let output = self.output(top.get("output"), Position::WorkflowOutput, &around);
        let timeout = self.timeout(top.get("timeout"), Position::WorkflowInput, &around);
        let schedule = self.schedule(top.get("schedule"), input.as_ref());
        let body = self
            .require(&top, "do")
            .map(|item| self.task_list(item, "/do", &around, ListKind::Steps));
        let extensions = top.get("use").and_then(|item| self.extensions_of(item));
        let extensions = self.extensions(extensions);
        self.report_astray();
        self.read_unused();
        self.report_unused_secrets();
        let tasks: Option<Vec<_>> = std::mem::take(&mut self.tasks).into_iter().collect();
        let document = document?;
        let mut tasks = tasks?;
        let pooled = tasks.iter_mut().filter(|task| task.pool.is_none() && task.kind.takes_turns());
        pooled.for_each(|task| task.pool.clone_from(&document.pool));
        Some(Workflow {
            document,
            input: input?,
            output: output?,
            timeout,
            schedule: schedule?,
            body: body?,
            tasks,
            extensions: extensions?,
            secrets: self.secret_names(),
            definition: root.value(),
        })
    }

    fn document(&mut self, item: Item<'a>) -> Option<Document> {
        let known = ["dsl", "namespace", "name", "version", "title", "summary", "tags", "metadata"];
        let fields = self.fields(item, &known)?;
        let dsl = self.require(&fields, "dsl").and_then(|item| self.dsl(item));
        let namespace = self.require(&fields, "namespace").and_then(|item| {
            let text = self.text(item)?;
            Namespace::parse(text)
                .map_err(|why| self.report(Code::Name, item.node.at, why.to_string(), None))
                .ok()
        });
        let name = self.require(&fields, "name").and_then(|item| {
            let text = self.text(item)?;
            WorkflowName::parse(text)
                .map_err(|why| self.report(Code::Name, item.node.at, why.to_string(), None))
                .ok()
        });
        let version = self.require(&fields, "version").and_then(|item| self.version(item));
        let title = fields.get("title").and_then(|item| self.text(item));
        let summary = fields.get("summary").and_then(|item| self.text(item));
        let tags = self.object_or_empty(fields.get("tags"));
        let metadata = self.object_or_empty(fields.get("metadata"));
        let keep = fields.get("metadata").and_then(|item| self.keep(item));
        let concurrency = self.concurrency(fields.get("metadata"));
        let budget = self.budget(fields.get("metadata"));
        let pool = self.pool(fields.get("metadata"));
        let key = WorkflowKey { namespace: namespace?, name: name? };
        self.key = fields.get("name").map(|item| (key.clone(), item.node.used_at()));
        Some(Document {
            key,
            dsl: dsl?.to_owned(),
            version: version?.to_owned(),
            title: title.map(str::to_owned),
            summary: summary.map(str::to_owned),
            tags: tags?,
            metadata: metadata?,
            keep,
            concurrency,
            budget,
            pool,
        })
    }

    /// `keep` in the metadata, which takes anything else.
    fn keep(&mut self, metadata: Item<'a>) -> Option<Keep> {
        let Kind::Map(entries) = &metadata.node.kind else { return None };
        let entry = entries.iter().find(|entry| &*entry.key == "keep")?;
        let text = self.text(Item::from(entry))?;
        let wrong = |why| format!("`keep` says how long runs are kept after their end: {why}");
        Keep::parse(text)
            .map_err(|why| self.report(Code::Duration, entry.value.at, wrong(why), None))
            .ok()
    }

    pub(super) fn object_or_empty(&mut self, item: Option<Item<'a>>) -> Option<Value> {
        match item {
            Some(item) => self.object_value(item),
            None => Some(value::object([])),
        }
    }

    fn dsl(&mut self, item: Item<'a>) -> Option<&'a str> {
        let text = self.text(item)?;
        if DSL_VERSIONS.contains(&text) {
            return Some(text);
        }
        let message = format!("version `{}` of the language is not supported", shown(text));
        let hint = format!("supported are {}", quoted(&DSL_VERSIONS));
        self.report(Code::DslVersion, item.node.at, message, Some(hint));
        None
    }

    fn version(&mut self, item: Item<'a>) -> Option<&'a str> {
        let text = self.text(item)?;
        if is_semantic_version(text) {
            return Some(text);
        }
        let message = format!("`{}` is not a semantic version", shown(text));
        self.report(
            Code::Version,
            item.node.at,
            message,
            Some("write three numbers, such as `1.0.0`".into()),
        );
        None
    }

    fn evaluate(&mut self, item: Option<Item<'a>>) {
        let Some(fields) = item.and_then(|item| self.fields(item, &["language", "mode"])) else {
            return;
        };
        if let Some(item) = fields.get("language")
            && let Some(language) = self.text(item).filter(|text| *text != "jq")
        {
            let message = format!("expressions in `{}` cannot be evaluated", shown(language));
            let hint = "write them in jq, and leave `language` out";
            self.report(Code::EvaluationLanguage, item.node.at, message, Some(hint.into()));
        }
        if let Some(item) = fields.get("mode") {
            self.is_loose = self.one_of(item, &["strict", "loose"]) == Some("loose");
        }
    }

    pub(super) fn report_astray(&mut self) {
        for (number, astray) in std::mem::take(&mut self.astray).into_iter().enumerate() {
            // What is behind the limit of problems is counted, and nobody sees its hint.
            let has_hint = number < HINTS_MAX;
            let mut names = self.names.iter().filter(|_| has_hint);
            let elsewhere = names.find(|task| task.name == astray.target);
            let hint = match elsewhere {
                Some(task) => Some(format!(
                    "`{}` is in another list, and a flow stays in its own",
                    task.location
                )),
                None if has_hint => {
                    near::hint(&astray.target, sorted(&astray.siblings).chain(DIRECTIVES))
                }
                None => None,
            };
            let hint = hint.or_else(|| {
                Some(
                    "write `continue`, `exit`, `end` or the name of a task of the same list".into(),
                )
            });
            let message = format!(
                "the flow goes to `{}`, but no task of this list has that name",
                shown(&astray.target)
            );
            self.report(Code::UnknownTask, astray.at, message, hint);
        }
    }
}

/// In the order of the list, so that of two names equally near always the same is meant.
fn sorted(siblings: &HashMap<Rc<str>, u32>) -> impl Iterator<Item = &str> {
    let mut names: Vec<(&u32, &str)> =
        siblings.iter().map(|(name, position)| (position, &**name)).collect();
    names.sort_unstable();
    names.into_iter().map(|(_, name)| name)
}

/// As in semver.org, section 2, 9 and 10.
pub(super) fn is_semantic_version(text: &str) -> bool {
    let (text, build) =
        text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (core, pre) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let no_zero_first = |part: &str| part.len() == 1 || !part.starts_with('0');
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    core.split('.').count() == 3
        && core.split('.').all(|part| digits(part) && no_zero_first(part))
        && pre.is_none_or(|pre| {
            pre.split('.').all(|part| word(part) && (!digits(part) || no_zero_first(part)))
        })
        && build.is_none_or(|build| build.split('.').all(word))
}

#[cfg(test)]
mod tests {
    use super::is_semantic_version;

    /// Mutation: accept a leading zero, two numbers, or an empty pre-release.
    #[test]
    fn a_semantic_version_is_the_one_of_the_standard() {
        for good in
            ["0.1.0", "10.20.30", "1.0.0-rc.1", "1.0.0-0a.x-y", "1.0.0+build.007", "1.0.0-a+b"]
        {
            assert!(is_semantic_version(good), "{good}");
        }
        for bad in [
            "",
            "1",
            "1.0",
            "1.0.0.0",
            "01.0.0",
            "1.0.0-",
            "1.0.0-01",
            "1.0.0-a..b",
            "1.0.0+",
            "v1.0.0",
            "1.0.x",
        ] {
            assert!(!is_semantic_version(bad), "{bad}");
        }
    }
}
