//! The canonical layout of a document. What it means never changes, and neither do its comments, the
//! order of its keys, its blocks of text, anchors and aliases.
//!
//! Two spaces a level; tasks in block style; other collections as the author wrote them if they stand
//! in one line, else in block style; quotes only where they are needed; at most one blank line. JSON
//! stays JSON. The result is read again before it is given out: where it would not be the same
//! document, the layout is refused rather than changed.

mod json;
mod piece;
mod scalar;
mod write;

use crate::code::{Code, Severity};
use crate::diagnostic::{Diagnostic, Location};
use crate::problems::Problems;
use crate::yaml;

use self::piece::Layout;

/// A document in the canonical layout, or what keeps it from having one.
pub fn format(text: &str) -> Result<String, Vec<Diagnostic>> {
    let value = value(text)?;
    let first = once(text)?;
    let is_same = self::value(&first.text).is_ok_and(|again| again == value)
        && once(&first.text).is_ok_and(|second| second == first);
    if is_same { Ok(first.text) } else { Err(vec![refused(START)]) }
}

const START: Location = Location { offset: 0, line: 1, column: 1, length: 1 };

/// A text that was laid out once, and the comments that were in it before.
#[derive(PartialEq, Eq)]
struct Written {
    text: String,
    comments: Vec<String>,
}

fn once(text: &str) -> Result<Written, Vec<Diagnostic>> {
    if is_json(text) {
        return Ok(Written { text: json::write(text), comments: Vec::new() });
    }
    let layout = Layout::read(text).map_err(|at| vec![refused(at)])?;
    let written = write::write(&layout, text).map_err(|at| vec![refused(at)])?;
    let comments = layout.comments.iter().map(|comment| comment.text.to_owned()).collect();
    Ok(Written { text: written, comments })
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && base::value::parse(text.trim().as_bytes()).is_ok()
}

fn value(text: &str) -> Result<base::Value, Vec<Diagnostic>> {
    let mut problems = Problems::default();
    let root = yaml::parse(text, &mut problems);
    let found = problems.into_list(root.as_ref());
    match root {
        Some(root) if found.is_empty() => Ok(root.value()),
        _ => Err(found),
    }
}

fn refused(location: Location) -> Diagnostic {
    Diagnostic {
        code: Code::Layout,
        severity: Severity::Error,
        message: "the layout of this document cannot be changed without risk".to_owned(),
        location,
        pointer: String::new(),
        hint: Some("write this place more simply, or leave the layout as it is".to_owned()),
    }
}

#[cfg(test)]
mod tests;
