//! Workflows, as the APIs of hub and site show them: what is stored, and what is wrong with a document.

use spec::{Diagnostic, Severity};
use store::{RevisionRow, WorkflowRow};
use wire::{Finding, ProblemCode, RevisionView, WorkflowView};

use crate::refusal::Refusal;

/// A changed text under an unchanged `document.version`.
const SAME_VERSION: &str = "WFL-101";

/// Why documents are refused: all that was found, and in words the first.
#[must_use]
pub fn invalid(findings: Vec<Finding>) -> Refusal {
    let errors = findings.iter().filter(|it| it.severity == Severity::Error.to_string()).count();
    let detail = match findings.iter().find(|it| it.severity == Severity::Error.to_string()) {
        Some(first) => format!(
            "{errors} {} in the document; the first is {} at {}:{}: {}",
            if errors == 1 { "error" } else { "errors" },
            first.code,
            first.line,
            first.column,
            first.message
        ),
        None => "the document is not a workflow".to_owned(),
    };
    Refusal::new(ProblemCode::WorkflowInvalid, detail).with_findings(findings)
}

#[must_use]
pub fn finding(diagnostic: &Diagnostic, source: &str, text: &str) -> Finding {
    Finding {
        code: diagnostic.code.to_string(),
        severity: diagnostic.severity.to_string(),
        message: diagnostic.message.clone(),
        line: diagnostic.location.line,
        column: diagnostic.location.column,
        pointer: diagnostic.pointer.clone(),
        source: Some(source.to_owned()),
        hint: diagnostic.hint.clone(),
        rendered: Some(diagnostic.render(source, text)),
    }
}

/// What is said of a document, and stops nobody.
#[must_use]
pub fn remark(code: &str, message: String, hint: &str, pointer: &str, source: &str) -> Finding {
    Finding {
        code: code.to_owned(),
        severity: Severity::Warning.to_string(),
        rendered: Some(format!("warning[{code}]: {message}\n  --> {source}\nhint: {hint}\n")),
        message,
        line: 1,
        column: 1,
        pointer: pointer.to_owned(),
        source: Some(source.to_owned()),
        hint: Some(hint.to_owned()),
    }
}

#[must_use]
pub fn same_version(version: &str, source: &str) -> Finding {
    let message = format!("the text has changed and `document.version` is still `{version}`");
    let hint = "give a changed workflow a new version, so that people can tell its runs apart";
    remark(SAME_VERSION, message, hint, "/document/version", source)
}

#[must_use]
pub fn workflow_view(row: &WorkflowRow) -> WorkflowView {
    WorkflowView {
        namespace: row.key.namespace.to_string(),
        workflow: row.key.name.to_string(),
        version: row.version.clone(),
        revision: row.revision.to_string(),
        updated_at: row.updated_at.to_string(),
    }
}

#[must_use]
pub fn revision_view(row: &RevisionRow) -> RevisionView {
    RevisionView {
        revision: row.revision.to_string(),
        version: row.version.clone(),
        created_at: row.created_at.to_string(),
    }
}
