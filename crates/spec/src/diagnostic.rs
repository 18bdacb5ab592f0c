//! One thing that is wrong with a document: code, place, message, way out, and how it reads.

use std::fmt::Write;

use crate::code::{Code, Severity};

/// A place in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// Byte offset.
    pub offset: usize,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// In characters; may reach over the end of the line.
    pub length: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub code: Code,
    pub severity: Severity,
    pub message: String,
    pub location: Location,
    /// JSON pointer of the property or value; empty for the whole document.
    pub pointer: String,
    pub hint: Option<String>,
}

/// Characters of a source line that are shown. A document may be one line of a megabyte.
const LINE_CHARS_MAX: usize = 120;

/// Characters shown before the marked place when a line is clipped.
const LINE_CHARS_BEFORE: usize = 40;

impl Diagnostic {
    /// As a person reads it, with the line of `source` that it is about.
    #[must_use]
    pub fn render(&self, file: &str, source: &str) -> String {
        let Location { line, column, .. } = self.location;
        let mut out = String::new();
        // Writing into a string cannot fail.
        let _ = writeln!(out, "{}[{}]: {}", self.severity, self.code, printable(&self.message));
        let _ = writeln!(out, "  --> {}:{line}:{column}", printable(file));
        if let Some(text) = self.line_of(source) {
            let number = line.to_string();
            let margin = " ".repeat(number.len());
            let (shown, marks) = self.excerpt(text);
            let _ = writeln!(out, "{margin} |\n{number} | {shown}\n{margin} | {marks}");
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(out, "hint: {}", printable(hint));
        }
        out
    }

    /// The line of the place. Found by its byte, since counting lines for each of many places in a
    /// large document takes long.
    fn line_of<'s>(&self, source: &'s str) -> Option<&'s str> {
        let before = source.get(..self.location.offset)?;
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        source.get(start..)?.lines().next()
    }

    /// The source line, clipped around the place, and the carets below it.
    fn excerpt(&self, text: &str) -> (String, String) {
        let column = self.location.column.saturating_sub(1) as usize;
        // A line may have megabytes, and a hundred things may be wrong in it.
        let is_long = text.chars().nth(LINE_CHARS_MAX).is_some();
        let from = if is_long { column.saturating_sub(LINE_CHARS_BEFORE) } else { 0 };
        let mut rest = text.chars().skip(from).map(printable_char);
        let shown: String = rest.by_ref().take(LINE_CHARS_MAX).collect();
        let (to, has_more) = (from + shown.chars().count(), rest.next().is_some());
        let start = column.min(to);
        let left = if from > 0 { "…" } else { "" };
        let right = if has_more { "…" } else { "" };
        let length = (self.location.length as usize).min(to - start).max(1);
        let marks = " ".repeat(start - from + left.chars().count()) + &"^".repeat(length);
        (format!("{left}{}{right}", shown.trim_end()), marks)
    }
}

/// Control characters of a document must not reach a terminal.
fn printable(text: &str) -> String {
    text.chars().map(printable_char).collect()
}

fn printable_char(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: usize, line: u32, column: u32, length: u32) -> Diagnostic {
        Diagnostic {
            code: Code::UnknownTask,
            severity: Severity::Error,
            message: "no task `a\u{1b}[2J`".into(),
            location: Location { offset, line, column, length },
            pointer: String::new(),
            hint: Some("look".into()),
        }
    }

    /// Mutation: print control characters as they are, or count columns in bytes.
    #[test]
    fn a_diagnostic_shows_its_line_and_no_control_characters() {
        let text = at(10, 2, 4, 3).render("a.yaml", "first\nä: öfetch\n");
        assert_eq!(
            text,
            "error[WF-012]: no task `a\u{fffd}[2J`\n  --> a.yaml:2:4\n  |\n2 | ä: öfetch\n  |    ^^^\nhint: look\n"
        );
    }

    /// Mutation: show a long line whole, or let a length reach over what is shown.
    #[test]
    fn a_long_line_is_clipped_around_the_place() {
        let source = format!("{}X{}", "a".repeat(1000), "b".repeat(1000));
        let text = at(1000, 1, 1001, 5000).render("a.yaml", &source);
        assert!(text.lines().all(|line| line.chars().count() < 140), "{text}");
        let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
        let caret = lines[4].iter().position(|c| *c == '^');
        assert_eq!(caret.map(|at| lines[3][at]), Some('X'));
    }

    /// Mutation: index the source without looking whether the line is there.
    #[test]
    fn a_place_outside_of_the_source_is_no_panic() {
        assert!(at(9, 99, 99, 1).render("a", "x").contains("a:99:99"));
        assert!(at(9, 1, 99, 1).render("a", "x").contains("a:1:99"));
    }
}
