//! Extensions: tasks before and after other tasks of the same document.

use std::sync::Arc;

use expr::Expr;

use super::{TaskKind, TaskList};

/// One entry of `use.extensions`.
#[derive(Debug)]
pub struct Extension {
    pub name: Arc<str>,
    pub extend: Extends,
    /// Whether it applies; asked of the extended task once, before it begins.
    pub when: Option<Expr>,
    pub before: TaskList,
    pub after: TaskList,
}

/// Which kinds of task an extension extends: one of [`Extends::NAMES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extends(pub(crate) &'static str);

impl Extends {
    pub const NAMES: [&'static str; 12] = [
        "call",
        "composite",
        "emit",
        "for",
        "listen",
        "raise",
        "run",
        "set",
        "switch",
        "try",
        "wait",
        "all",
    ];

    #[must_use]
    pub fn matches(self, kind: &TaskKind) -> bool {
        let kind = kind.name();
        match self.0 {
            "all" => true,
            "composite" => ["do", "fork"].contains(&kind),
            // The name of a kind says first what it is, and then which: `call http`.
            wanted => kind.split(' ').next() == Some(wanted),
        }
    }
}
