//! The picture of a workflow: its tasks, and where the flow goes between them.
//!
//! It is drawn from the document itself, whatever constructs are in it, so that a document that cannot
//! be run yet has a picture too. How it looks is in `text`, `mermaid` and `svg`.

mod draw;
mod mermaid;
mod read;
mod svg;
mod text;

use std::collections::BTreeMap;

use crate::diagnostic::Diagnostic;

pub use mermaid::mermaid;
pub use svg::svg;
pub use text::text;

#[derive(Debug, PartialEq, Eq)]
pub struct Graph {
    pub title: String,
    pub body: Region,
}

/// A list of tasks.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// What it is of its task: `catch`, `each item`; empty for the only one.
    pub label: String,
    pub is_concurrent: bool,
    pub steps: Vec<Step>,
    /// Tasks that are left out of the picture at its end.
    pub omitted: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    pub name: String,
    /// `call http`, `switch`, …
    pub kind: String,
    /// What it is about, in a few words.
    pub detail: String,
    /// Whether an `if` may leave it out.
    pub is_conditional: bool,
    /// JSON pointer in the document.
    pub location: String,
    pub edges: Vec<Edge>,
    /// Branches that must have completed before this one, by their place.
    pub after: Vec<usize>,
    pub regions: Vec<Region>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    pub label: String,
    pub to: Target,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The step at this place of the same list.
    Step(usize),
    /// Out of this list.
    Exit,
    /// The end of the run.
    End,
    /// A name that leads nowhere, or to a task that is left out.
    Lost(String),
}

/// Words for tasks, by their location: what became of them in a run.
pub type States = BTreeMap<String, String>;

/// The graph of a document, if the text is one at all.
pub fn read(text: &str) -> Result<Graph, Vec<Diagnostic>> {
    read::graph(text)
}

#[cfg(test)]
mod tests;
