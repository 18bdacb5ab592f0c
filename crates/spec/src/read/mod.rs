//! Reading a document: hand-written readers, one per construct, that find everything wrong in one
//! pass. A reader that cannot go on reports why and gives `None`; the others go on.
//!
//! From here on the document is a tree with places (`node`); what comes out is the typed tree.

mod authentication;
mod call;
mod check;
mod child;
mod complete;
mod document;
mod duration;
mod error;
mod event;
mod expression;
mod extension;
mod fields;
mod foreign;
mod function;
mod graph;
mod list;
mod lookalike;
mod metadata;
mod openapi;
mod process;
mod resource;
mod retry;
mod reusable;
mod schedule;
mod secret;
mod shape;
mod task;
mod unparsed;
mod validate;

pub use child::LATEST;
pub use document::DSL_VERSIONS;
pub use unparsed::Unparsed;
pub use validate::{Validated, validate};

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use base::name::WorkflowKey;

use crate::catalog::Catalog;
use crate::code::{Code, Severity};
use crate::diagnostic::{Diagnostic, Location};
use crate::problems::Problems;
use crate::revision::{Reference, ReferenceTo, revision};
use crate::tree::{Access, Flow, Task, TaskNo, Workflow};
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
    pub revision: base::Digest,
    pub warnings: Vec<Diagnostic>,
    /// All that it refers to, sorted, each once.
    pub references: Vec<Reference>,
    /// What nobody has looked up yet. A document that has some can be judged, and not run.
    pub unresolved: Vec<ReferenceTo>,
    /// Who asks for what lies behind an address, where the document says so.
    pub access: BTreeMap<String, Access>,
    /// Expressions that only an evaluator process can look at.
    pub unparsed: Vec<Unparsed>,
}

/// What a document is read for. It decides what becomes of a construct that the language has and
/// this version does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Such a construct is an error.
    Run,
    /// It is a warning: the document is right.
    Validate,
}

/// Reads a workflow. On failure everything that is wrong comes back, in the order of the document,
/// with the warnings among it.
pub fn read(text: &str, catalog: &dyn Catalog) -> Result<Read, Vec<Diagnostic>> {
    let Seen { workflow, found, references, unresolved, access, unparsed, .. } =
        look(text, catalog, Purpose::Run);
    let has_errors = found.iter().any(|found| found.severity == Severity::Error);
    let Some(workflow) = workflow.filter(|_| !has_errors) else {
        debug_assert!(has_errors);
        return Err(found);
    };
    let revision = revision(text, &references);
    Ok(Read { workflow, revision, warnings: found, references, unresolved, access, unparsed })
}

/// What one look at a document gives.
struct Seen {
    workflow: Option<Workflow>,
    /// Errors and warnings in the order of the document.
    found: Vec<Diagnostic>,
    references: Vec<Reference>,
    unresolved: Vec<ReferenceTo>,
    access: BTreeMap<String, Access>,
    unparsed: Vec<Unparsed>,
    key: Option<(WorkflowKey, Location)>,
}

fn look(text: &str, catalog: &dyn Catalog, purpose: Purpose) -> Seen {
    let mut problems = Problems::default();
    let Some(root) = yaml::parse(text, &mut problems) else {
        let found = problems.into_list(None);
        return Seen {
            workflow: None,
            found,
            references: vec![],
            unresolved: vec![],
            access: BTreeMap::new(),
            unparsed: vec![],
            key: None,
        };
    };
    let mut reader = Reader {
        catalog,
        source: text,
        purpose,
        unparsed: Vec::new(),
        key: None,
        dead_ends: RefCell::default(),
        problems,
        reusables: Reusables::default(),
        functions: Functions::default(),
        secrets: Secrets::default(),
        tasks: Vec::new(),
        names: Vec::new(),
        exports: Vec::new(),
        ways: Vec::new(),
        is_flow_unread: false,
        astray: Vec::new(),
        references: BTreeSet::new(),
        unresolved: BTreeSet::new(),
        access: BTreeMap::new(),
        is_extension: false,
        is_loose: false,
        patterns: 0,
    };
    let workflow = reader.workflow(&root);
    let Reader { problems, references, unresolved, access, mut unparsed, key, .. } = reader;
    // A reusable that is used twice is read twice.
    unparsed.sort_by_key(|expression| expression.at.offset);
    unparsed.dedup_by(|one, other| {
        one.at == other.at && one.expression.text() == other.expression.text()
    });
    for expression in &mut unparsed {
        expression.pointer = root.pointer(expression.at.offset);
    }
    let references = references.into_iter().collect();
    let unresolved = unresolved.into_iter().collect();
    let found = problems.into_list(Some(&root));
    Seen { workflow, found, references, unresolved, access, unparsed, key }
}

struct Reader<'a> {
    catalog: &'a dyn Catalog,
    /// The document's text, for places within blocks of text.
    source: &'a str,
    purpose: Purpose,
    unparsed: Vec<Unparsed>,
    /// What the workflow is called, and where it says so.
    key: Option<(WorkflowKey, Location)>,
    /// What is known of the tasks that hold others: whether they never complete.
    dead_ends: RefCell<HashMap<TaskNo, bool>>,
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
    /// By task number: where the flow can go from it; `None` where that could not be read, so that
    /// it may go anywhere.
    ways: Vec<Option<Vec<Flow>>>,
    /// Of the task that is read now, something that says where the flow goes has an error.
    is_flow_unread: bool,
    /// Flows to tasks that are not in the list; reported when all tasks are known.
    astray: Vec<Astray>,
    references: BTreeSet<Reference>,
    unresolved: BTreeSet<ReferenceTo>,
    /// By address.
    access: BTreeMap<String, Access>,
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
        let (severity, message, hint) = match self.purpose {
            Purpose::Run => (
                Severity::Error,
                format!("{what} is not there yet"),
                "the ROADMAP says what comes next; until then leave it out",
            ),
            Purpose::Validate => (
                Severity::Warning,
                format!("{what} is not yet run here"),
                "it is valid, but `apply` and `run` of this version refuse it",
            ),
        };
        self.problems.report_as(severity, code, at, message, Some(hint.into()));
    }

    /// The value of something that must be an object, such as `metadata`.
    fn object_value(&mut self, item: Item<'_>) -> Option<base::Value> {
        self.entries(item)?;
        Some(item.node.value())
    }
}
