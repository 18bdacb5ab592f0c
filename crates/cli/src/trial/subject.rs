//! The workflow under test: read from its file, and asked which of its tasks a name means.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use base::Digest;
use base::name::WorkflowKey;
use engine::activation::Activation;
use spec::tree::Workflow;
use spec::{ReferenceKind, Resolved, near};

use super::file::{TestFile, Which, place};
use crate::document;
use crate::failure::{Failure, Outcome};

/// Tasks that a message names. More would hide what it is about.
const NAMES_SHOWN_MAX: usize = 12;

#[derive(Debug)]
pub struct Subject {
    /// The file, or the revision.
    pub source: String,
    pub text: String,
    pub key: WorkflowKey,
    pub version: String,
    pub revision: Digest,
    /// Stands for what it refers to: stubs answer for its children.
    pub resolved: Resolved,
    locations: HashMap<Vec<Step>, Arc<str>>,
    names: Vec<Arc<str>>,
}

/// A task on the way from the document's `do` to another, and whether the way goes on in its handler.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Step {
    name: String,
    in_catch: bool,
}

impl Subject {
    pub fn read(file: &Path) -> Outcome<Self> {
        let document = document::read(file)?;
        Self::parse(document.source, document.text)
    }

    pub fn parse(source: String, text: String) -> Outcome<Self> {
        let read = spec::read(&text, &worker::Catalog::shipped()).map_err(|wrong| {
            let places = wrong.iter().map(|found| found.render(&source, &text)).collect();
            Failure::usage(format!("`{source}` is not a workflow that can be run")).places(places)
        })?;
        let document = &read.workflow.document;
        let mut resolved = Resolved::default();
        for to in &read.unresolved {
            if to.kind != ReferenceKind::Workflow {
                let what = format!(
                    "`{source}` refers to `{}`, and a test fetches nothing; test it at a site",
                    to.name
                );
                return Err(Failure::usage(what));
            }
            resolved.workflows.insert(to.name.clone(), Digest::of(to.name.as_bytes()));
        }
        Ok(Self {
            resolved,
            key: document.key.clone(),
            version: document.version.clone(),
            revision: read.revision,
            locations: locations(&read.workflow),
            names: read.workflow.tasks.iter().map(|task| task.name.clone()).collect(),
            source,
            text,
        })
    }

    /// Name and location of the task that an activation is one of. The location is empty where the
    /// task does not stand in the document by itself.
    #[must_use]
    pub fn task(&self, activation: &Activation) -> (String, String) {
        let steps = steps_of(activation);
        let name = steps.last().map(|step| step.name.clone()).unwrap_or_default();
        let location = self.locations.get(&steps).map(|found| found.to_string());
        (name, location.unwrap_or_default())
    }

    /// Refuses tests that speak of tasks which are not there: they would never find out.
    pub fn check(&self, file: &TestFile) -> Outcome<()> {
        for case in &file.cases {
            let at = place(&file.path.display().to_string(), case.line);
            let expect = &case.expect;
            let calls = expect.calls.iter().map(|call| &call.which);
            for which in case.stubs.iter().map(|stub| &stub.which).chain(calls) {
                self.check_which(which, &at)?;
            }
            let order = expect.order.iter().flatten();
            for name in order.chain(&expect.never) {
                self.check_name(name, &at)?;
            }
        }
        Ok(())
    }

    fn check_which(&self, which: &Which, at: &str) -> Outcome<()> {
        if let Some(name) = &which.task {
            self.check_name(name, at)?;
        }
        let Some(location) = &which.location else { return Ok(()) };
        if self.locations.values().any(|known| **known == **location) {
            return Ok(());
        }
        let known = self.locations.values().map(|known| &**known);
        let hint = near::hint(location, known).unwrap_or_else(|| {
            "a location is the JSON pointer of the task, such as `/do/0/fetch`".to_owned()
        });
        let what = format!("`{}` has no task at `{location}`\n  --> {at}", self.source);
        Err(Failure::usage(what).hint(hint))
    }

    fn check_name(&self, name: &str, at: &str) -> Outcome<()> {
        if self.names.iter().any(|known| **known == *name) {
            return Ok(());
        }
        let names = self.names.iter().map(|known| &**known);
        let hint = near::hint(name, names.clone()).unwrap_or_else(|| {
            let shown: Vec<String> =
                names.take(NAMES_SHOWN_MAX).map(|name| format!("`{name}`")).collect();
            format!("its tasks are {}", shown.join(", "))
        });
        let what = format!("`{}` has no task `{name}`\n  --> {at}", self.source);
        Err(Failure::usage(what).hint(hint))
    }
}

/// Every task by the way that leads to it: a way is what an activation and a location share.
fn locations(workflow: &Workflow) -> HashMap<Vec<Step>, Arc<str>> {
    let mut found = HashMap::new();
    // Parents come before children, so the last ones on the way are always known.
    let mut open: Vec<(&str, &str)> = Vec::new();
    for task in &workflow.tasks {
        let is_inside = |outer: &str| {
            task.location.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
        };
        while open.last().is_some_and(|(_, outer)| !is_inside(outer)) {
            open.pop();
        }
        let mut steps = Vec::with_capacity(open.len() + 1);
        for (name, location) in &open {
            let in_catch = task.location[location.len()..].starts_with("/catch/");
            steps.push(Step { name: (*name).to_owned(), in_catch });
        }
        steps.push(Step { name: task.name.to_string(), in_catch: false });
        found.insert(steps, task.location.clone());
        open.push((&task.name, &task.location));
    }
    found
}

/// `/screen/each[17]/guard!2.catch/undo#3` as names: an escaped name holds none of the marks.
fn steps_of(activation: &Activation) -> Vec<Step> {
    let parts = activation.as_str().split('/').skip(1);
    parts
        .map(|part| {
            let end = part.find(['[', '!', '*', '#', '.']).unwrap_or(part.len());
            Step { name: unescaped(&part[..end]), in_catch: part.ends_with(".catch") }
        })
        .collect()
}

fn unescaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(code.map_or('%', char::from));
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
document: {dsl: 1.0.3, namespace: default, name: nested, version: 1.0.0}
do:
  - each:
      for: {in: '${ [1] }'}
      do:
        - 'a/b.c':
            try: [{same: {set: {a: 1}}}]
            catch: {do: [{same: {set: {a: 1}}}]}
  - fan: {fork: {branches: [{same: {set: {a: 1}}}]}}
";

    /// Mutation: forget the mark of the handler, or do not undo the escapes of a name.
    #[test]
    fn an_activation_leads_to_the_location_of_its_task() {
        let subject = Subject::parse("x.yaml".to_owned(), TEXT.to_owned()).expect("a workflow");
        let outer = Activation::root().task("each", 2).iteration(3).task("a/b.c", 1);
        let inner = outer.attempt(2).task("same", 1);
        let location = |activation: &Activation| subject.task(activation).1;
        assert_eq!(location(&inner), "/do/0/each/do/0/a~1b.c/try/0/same");
        let undo = outer.attempt(2).catch().task("same", 4);
        assert_eq!(location(&undo), "/do/0/each/do/0/a~1b.c/catch/do/0/same");
        let branch = Activation::root().task("fan", 1).task("same", 1);
        assert_eq!(location(&branch), "/do/1/fan/fork/branches/0/same");
        assert_eq!(subject.task(&Activation::root().task("no", 1)), ("no".into(), String::new()));
    }
}
