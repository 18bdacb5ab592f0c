//! Reading a document: hand-written readers, one per construct, that find everything wrong in one
//! pass. A reader that cannot go on reports why and gives `None`; the others go on.
//!
//! From here on the document is a tree with places (`node`); what comes out is the typed tree.

mod authentication;
mod call;
mod check;
mod child;
mod document;
mod duration;
mod error;
mod event;
mod expression;
mod extension;
mod fields;
mod function;
mod graph;
mod list;
mod openapi;
mod process;
mod resource;
mod retry;
mod reusable;
mod schedule;
mod secret;
mod shape;
mod task;

pub use child::LATEST;
pub use document::DSL_VERSIONS;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use base::Digest;

use crate::catalog::Catalog;
use crate::code::{Code, Severity};
use crate::diagnostic::{Diagnostic, Location};
use crate::problems::Problems;
use crate::revision::{Reference, ReferenceTo, revision};
use crate::tree::{Task, Workflow};
use crate::yaml;

use self::fields::Item;
use self::function::Functions;
use self::list::Astray;
use self::reusable::Reusables;
use self::secret::Secrets;

/// A document that can be run.
#[derive(Debug)]
pub struct Read {
    pub workflow: Workflow,
    pub revision: Digest,
    pub warnings: Vec<Diagnostic>,
    /// All that it refers to, sorted, each once.
    pub references: Vec<Reference>,
    /// What nobody has looked up yet. A document that has some can be judged, and not run.
    pub unresolved: Vec<ReferenceTo>,
}

/// Reads a workflow. On failure everything that is wrong comes back, in the order of the document,
/// with the warnings among it.
pub fn read(text: &str, catalog: &dyn Catalog) -> Result<Read, Vec<Diagnostic>> {
    let mut problems = Problems::default();
    let Some(root) = yaml::parse(text, &mut problems) else {
        return Err(problems.into_list(None));
    };
    let mut reader = Reader {
        catalog,
        problems,
        reusables: Reusables::default(),
        functions: Functions::default(),
        secrets: Secrets::default(),
        tasks: Vec::new(),
        names: Vec::new(),
        exports: Vec::new(),
        astray: Vec::new(),
        references: BTreeSet::new(),
        unresolved: BTreeSet::new(),
        is_extension: false,
        is_loose: false,
        patterns: 0,
    };
    let workflow = reader.workflow(&root);
    let Reader { problems, references, unresolved, .. } = reader;
    let has_errors = problems.has_errors();
    let list = problems.into_list(Some(&root));
    let Some(workflow) = workflow.filter(|_| !has_errors) else {
        debug_assert!(list.iter().any(|found| found.severity == Severity::Error));
        return Err(list);
    };
    let references: Vec<Reference> = references.into_iter().collect();
    let revision = revision(text, &references);
    let unresolved = unresolved.into_iter().collect();
    Ok(Read { workflow, revision, warnings: list, references, unresolved })
}

struct Reader<'a> {
    catalog: &'a dyn Catalog,
    problems: Problems,
    reusables: Reusables<'a>,
    functions: Functions,
    secrets: Secrets<'a>,
    /// By number; `None` while it is being read, or where it has an error.
    tasks: Vec<Option<Task>>,
    /// By task number.
    names: Vec<Named>,
    /// By task number: where it exports.
    exports: Vec<Option<Location>>,
    /// Flows to tasks that are not in the list; reported when all tasks are known.
    astray: Vec<Astray>,
    references: BTreeSet<Reference>,
    unresolved: BTreeSet<ReferenceTo>,
    /// The tasks that are read now belong to an extension.
    is_extension: bool,
    /// `evaluate.mode`: whatever can be read as an expression is one.
    is_loose: bool,
    /// Regular expressions that were compiled.
    patterns: u32,
}

/// What is known of a task even if it has an error.
struct Named {
    at: Location,
    name: Rc<str>,
    location: Arc<str>,
}

impl Reader<'_> {
    fn report(
        &mut self,
        code: Code,
        at: Location,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.problems.report(code, at, message, hint);
    }

    /// Something that the language has and this version does not.
    fn not_yet(&mut self, code: Code, at: Location, what: &str) {
        let hint = "the ROADMAP says what comes next; until then leave it out";
        self.report(code, at, format!("{what} is not there yet"), Some(hint.into()));
    }

    /// The value of something that must be an object, such as `metadata`.
    fn object_value(&mut self, item: Item<'_>) -> Option<base::Value> {
        self.entries(item)?;
        Some(item.node.value())
    }
}
