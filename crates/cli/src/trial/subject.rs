//! The workflow under test: read from its file, and asked which of its tasks a name means.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use base::Digest;
use base::name::{FunctionRef, WorkflowKey};
use engine::activation::Activation;
use serde_json::Value;
use spec::tree::schedule::{On, Trigger};
use spec::tree::{Task, TaskKind, Workflow};
use spec::{Catalog, Lookup, Manifest, ReferenceKind, Resolved, near};

use super::file::{Case, Which, place};
use super::resource::Resources;
use crate::document;
use crate::failure::{Failure, Outcome};
use crate::output;

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
    /// Stands for what it refers to: stubs answer for its children, files for what has an address.
    pub resolved: Resolved,
    /// The addresses that it refers to.
    addresses: BTreeSet<String>,
    /// How events begin its runs.
    on: Option<On>,
    listeners: Vec<Listener>,
    locations: HashMap<Vec<Step>, Arc<str>>,
    names: Vec<Arc<str>>,
}

/// A task that listens.
#[derive(Debug)]
struct Listener {
    name: Arc<str>,
    location: Arc<str>,
}

/// A task on the way from the document's `do` to another, and whether the way goes on in its handler.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Step {
    name: String,
    in_catch: bool,
}

impl Subject {
    pub fn read(file: &Path, resources: &Resources) -> Outcome<Self> {
        let document = document::read(file)?;
        Self::parse(document.source, document.text, resources)
    }

    pub fn parse(source: String, text: String, resources: &Resources) -> Outcome<Self> {
        let beside = Beside { catalog: worker::Catalog::shipped(), resources };
        let read = spec::read(&text, &beside).map_err(|wrong| {
            let places = wrong.iter().map(|found| found.render(&source, &text)).collect();
            Failure::usage(format!("`{source}` is not a workflow that can be run")).places(places)
        })?;
        let document = &read.workflow.document;
        let mut resolved = Resolved::default();
        let (workflows, missing): (Vec<_>, Vec<_>) =
            read.unresolved.iter().partition(|to| to.kind == ReferenceKind::Workflow);
        if !missing.is_empty() {
            return Err(unnamed(&source, missing.iter().map(|to| &*to.name)));
        }
        for to in workflows {
            resolved.workflows.insert(to.name.clone(), Digest::of(to.name.as_bytes()));
        }
        let mut addresses = BTreeSet::new();
        for reference in &read.references {
            let address = &reference.to.name;
            if let Some(resource) = resources.get(address) {
                resolved.resources.insert(address.clone(), resource.text.clone());
            }
            addresses.insert(address.clone());
        }
        let triggers = read.workflow.schedule.iter().flat_map(|schedule| &schedule.triggers);
        let mut on = triggers.filter_map(|trigger| match trigger {
            Trigger::On(on) => Some(on.clone()),
            Trigger::Every(_) | Trigger::Cron(_) | Trigger::After(_) => None,
        });
        let tasks = &read.workflow.tasks;
        let listens = tasks.iter().filter(|task| matches!(task.kind, TaskKind::Listen(_)));
        Ok(Self {
            resolved,
            addresses,
            on: on.next(),
            listeners: listens.map(listener).collect(),
            key: document.key.clone(),
            version: document.version.clone(),
            revision: read.revision,
            locations: locations(&read.workflow),
            names: tasks.iter().map(|task| task.name.clone()).collect(),
            source,
            text,
        })
    }

    /// Which events begin the runs of a case. `None` where it is begun as it stands.
    #[must_use]
    pub fn begins_by(&self, case: &Case) -> Option<&On> {
        self.on.as_ref().filter(|_| case.input.is_none() && !case.events.is_empty())
    }

    /// Whether it refers to that address.
    #[must_use]
    pub fn refers_to(&self, address: &str) -> bool {
        self.addresses.contains(address)
    }

    pub fn addresses(&self) -> impl Iterator<Item = &str> + Clone {
        self.addresses.iter().map(String::as_str)
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

    /// Refuses a case that speaks of what is not there: it would never find out. What all cases of a
    /// file share is looked at with the first.
    pub fn check(&self, file: &Path, case: &Case, is_first: bool) -> Vec<Failure> {
        let at = place(&file.display().to_string(), case.line);
        let mut wrong = Vec::new();
        let stubs = if is_first { case.stubs.len() } else { case.own_stubs };
        let stubs = || case.stubs.iter().take(stubs).map(|stub| &stub.which);
        let expect = &case.expect;
        let calls = expect.calls.iter().map(|call| &call.which);
        wrong.extend(stubs().chain(calls).filter_map(|which| self.check_which(which, &at).err()));
        wrong.extend(stubs().filter_map(|which| self.refuse_listener(which, &at).err()));
        let order = expect.order.iter().flatten();
        wrong.extend(order.chain(&expect.never).filter_map(|it| self.check_name(it, &at).err()));
        let whens = case.events.iter().filter_map(|event| event.when.as_ref());
        wrong.extend(whens.filter_map(|name| self.check_listener(name, &at).err()));
        if expect.runs.is_some() && self.begins_by(case).is_none() {
            let what = format!("`runs` is of a case whose events begin runs\n  --> {at}");
            wrong.push(Failure::usage(what).hint(
                "events begin the runs of a workflow with `schedule.on`, where the case has `events` and no `input`",
            ));
        }
        wrong
    }

    fn check_listener(&self, name: &str, at: &str) -> Outcome<()> {
        self.check_name(name, at)?;
        if self.listeners.iter().any(|known| *known.name == *name) {
            return Ok(());
        }
        let what = format!("task `{name}` does not listen\n  --> {at}");
        Err(Failure::usage(what).hint("`when` is the name of a `listen` task"))
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

    /// No effect is ever asked of a task that listens.
    fn refuse_listener(&self, which: &Which, at: &str) -> Outcome<()> {
        let is_meant = |listener: &&Listener| match (&which.location, &which.task) {
            (Some(location), _) => *listener.location == **location,
            (None, Some(name)) => *listener.name == **name,
            (None, None) => false,
        };
        let meant: Vec<&Listener> = self.listeners.iter().filter(is_meant).collect();
        let Some(Listener { name, .. }) = meant.first() else { return Ok(()) };
        // A name may stand in several lists, and another task of that name may have an effect.
        let all = self.names.iter().filter(|known| *known == name).count();
        if which.location.is_none() && all > meant.len() {
            return Ok(());
        }
        let what = format!("task `{name}` listens, and no stub can answer that\n  --> {at}");
        Err(Failure::usage(what).hint(format!(
            "what it waits for is sent by the case: `events: [{{type: …, when: {name}}}]`"
        )))
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

fn listener(task: &Task) -> Listener {
    Listener { name: task.name.clone(), location: task.location.clone() }
}

/// With the lines that would help, ready to be completed.
fn unnamed<'a>(source: &str, addresses: impl Iterator<Item = &'a str>) -> Failure {
    let addresses: BTreeSet<&str> = addresses.collect();
    let mut what = String::new();
    let mut lines =
        "name files that stand for them, from the test file's folder:\n  resources:".to_owned();
    for address in addresses {
        if what.is_empty() {
            what = format!("`{source}` refers to `{address}`, and a test fetches nothing");
        }
        let address = output::short(&Value::String(address.to_owned()));
        lines.push_str(&format!("\n    {address}: FILE"));
    }
    Failure::usage(what).hint(lines)
}

/// What stands around a workflow under test.
struct Beside<'a> {
    catalog: worker::Catalog,
    resources: &'a Resources,
}

impl Catalog for Beside<'_> {
    fn function(&self, function: &FunctionRef) -> Option<Manifest> {
        self.catalog.function(function)
    }

    fn names(&self) -> Vec<FunctionRef> {
        self.catalog.names()
    }

    fn resource(&self, uri: &str) -> Lookup<Arc<str>> {
        match self.resources.get(uri) {
            Some(resource) => Lookup::Found(resource.text.clone()),
            None => Lookup::NotAsked,
        }
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
        let subject = Subject::parse("x.yaml".to_owned(), TEXT.to_owned(), &Resources::new())
            .expect("a workflow");
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
