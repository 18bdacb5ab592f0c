//! The collector of diagnostics: everything wrong in one pass, each thing once, with a limit.

use std::collections::HashSet;

use crate::code::{Code, Severity};
use crate::diagnostic::{Diagnostic, Location};
use crate::node::Node;

/// Errors, and as many warnings, that are kept. Nobody reads more, and a hostile document must not
/// make megabytes of them.
const PROBLEMS_MAX: usize = 100;

#[derive(Debug, Default)]
pub(crate) struct Problems {
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    /// A reusable that is used twice is read twice, and must not complain twice.
    seen: HashSet<(Code, usize, String)>,
    errors_left_out: usize,
}

impl Problems {
    pub(crate) fn report(
        &mut self,
        code: Code,
        location: Location,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.report_as(code.severity(), code, location, message, hint);
    }

    /// As something else than the code usually is.
    pub(crate) fn report_as(
        &mut self,
        severity: Severity,
        code: Code,
        location: Location,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let message = message.into();
        let list = match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        if list.len() >= PROBLEMS_MAX {
            self.errors_left_out += usize::from(severity == Severity::Error);
            return;
        }
        if self.seen.insert((code, location.offset, message.clone())) {
            list.push(Diagnostic {
                code,
                severity,
                message,
                location,
                pointer: String::new(),
                hint,
            });
        }
    }

    pub(crate) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Whether no further error is shown, so that no hint is worth its time.
    pub(crate) fn is_full(&self) -> bool {
        self.errors.len() >= PROBLEMS_MAX
    }

    /// Errors and warnings in the order of the document, each with its pointer.
    pub(crate) fn into_list(self, root: Option<&Node>) -> Vec<Diagnostic> {
        let mut list = self.errors;
        list.extend(self.warnings);
        list.sort_by_key(|found| (found.location.offset, found.code));
        for found in &mut list {
            // The document itself begins where its first key does.
            let inner = root.filter(|root| root.at != found.location);
            found.pointer =
                inner.map(|root| root.pointer(found.location.offset)).unwrap_or_default();
        }
        if let Some(last) = list.last().filter(|_| self.errors_left_out > 0) {
            list.push(Diagnostic {
                code: Code::TooMany,
                severity: Severity::Error,
                message: format!("{} more errors are not shown", self.errors_left_out),
                location: last.location,
                pointer: last.pointer.clone(),
                hint: Some("mend these first".into()),
            });
        }
        list
    }
}

/// A name from the document for a message: short enough to read.
pub(crate) fn shown(name: &str) -> String {
    /// A line of a terminal.
    const CHARS_MAX: usize = 80;
    let mut chars = name.chars();
    let short: String = chars.by_ref().take(CHARS_MAX).collect();
    if chars.next().is_some() { short + "…" } else { short }
}
