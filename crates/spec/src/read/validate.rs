//! Judging a document without running it: what the language has and this version does not run is a
//! warning here.

use base::name::WorkflowKey;

use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, Location};

use super::{Purpose, Seen, Unparsed, look};

/// What is to be said about a document.
#[derive(Debug)]
pub struct Validated {
    /// Errors and warnings in the order of the document.
    pub found: Vec<Diagnostic>,
    /// Expressions that only an evaluator process can look at.
    pub unparsed: Vec<Unparsed>,
    /// What the workflow is called, and where it says so.
    pub key: Option<(WorkflowKey, Location)>,
}

/// Everything that is wrong with a document, in one pass.
#[must_use]
pub fn validate(text: &str, catalog: &dyn Catalog) -> Validated {
    let Seen { found, unparsed, key, .. } = look(text, catalog, Purpose::Validate);
    Validated { found, unparsed, key }
}
