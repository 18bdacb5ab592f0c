//! The look at an expression's text before any parser sees it.
//!
//! jaq's lexer and parser recurse on brackets, on `\( )` in strings and on chains of operators. So
//! text that could exhaust a stack is found here, by a scan that itself never recurses. It follows
//! jaq's lexer to the letter in where strings and comments begin and end; where it can no longer
//! follow (a bracket that does not match, a character that no token has), the text is wrong anyway.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::SyntaxError;

/// Longer texts are data rather than conditions, and are parsed where it cannot hurt.
pub(crate) const INSIDE_BYTES_MAX: usize = 16 * 1024;

/// Every token may cost the parser a few stack frames (`- - - 1`, `. | . | .`).
pub(crate) const INSIDE_TOKENS_MAX: usize = 1_000;

/// Open brackets at a time. People nest up to ten.
pub(crate) const INSIDE_NESTING_MAX: usize = 40;

/// Open brackets at a time, for the whole interpreter: its stack holds several times as many.
pub(crate) const NESTING_MAX: usize = 500;

/// What the scan found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Shape {
    /// At least the number of tokens, but never less than half of it.
    pub tokens: usize,
    /// The most brackets and strings open at once.
    pub nesting: usize,
}

impl Shape {
    /// Whether parsing in this process is safe.
    pub(crate) fn is_modest(self, text: &str) -> bool {
        text.len() <= INSIDE_BYTES_MAX
            && self.tokens <= INSIDE_TOKENS_MAX
            && self.nesting <= INSIDE_NESTING_MAX
    }
}

pub(crate) fn scan(text: &str) -> Result<Shape, SyntaxError> {
    let mut scan = Scan { text, at: 0, open: Vec::new(), shape: Shape::default(), in_word: false };
    while scan.at < text.len() {
        match scan.open.last() {
            Some(&(_, b'"')) => scan.string(),
            _ => scan.code()?,
        }
        scan.shape.nesting = scan.shape.nesting.max(scan.open.len());
    }
    match scan.open.last() {
        None => Ok(scan.shape),
        Some(&(at, b'"')) => Err(SyntaxError { what: "this string has no end".into(), offset: at }),
        Some(&(at, opener)) => {
            let what = format!("`{}` is never closed", char::from(opener));
            Err(SyntaxError { what, offset: at })
        }
    }
}

/// Every name that follows a `$`, sorted: at least the variables that the text reads.
pub(crate) fn variables(text: &str) -> Box<[Arc<str>]> {
    let names = text.split('$').skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        &rest[..end.unwrap_or(rest.len())]
    });
    let names: BTreeSet<&str> =
        names.filter(|name| name.starts_with(|c: char| !c.is_ascii_digit())).collect();
    names.into_iter().map(Arc::from).collect()
}

struct Scan<'t> {
    text: &'t str,
    at: usize,
    /// Offsets and kinds of what is open: `(`, `[`, `{`, or `"`.
    open: Vec<(usize, u8)>,
    shape: Shape,
    in_word: bool,
}

impl Scan<'_> {
    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    /// One step within a string. Bytes of longer characters never look like `"` or `\`.
    fn string(&mut self) {
        match (self.byte(0), self.byte(1)) {
            (Some(b'"'), _) => {
                self.open.pop();
                self.at += 1;
            }
            (Some(b'\\'), Some(b'(')) => {
                self.open.push((self.at + 1, b'('));
                self.shape.tokens += 2;
                self.at += 2;
            }
            (Some(b'\\'), Some(next)) if next.is_ascii() => {
                self.shape.tokens += 1;
                self.at += 2;
            }
            _ => self.at += 1,
        }
    }

    /// One step within code.
    fn code(&mut self) -> Result<(), SyntaxError> {
        let Some(char) = self.text[self.at..].chars().next() else { return Ok(()) };
        let was_in_word = std::mem::take(&mut self.in_word);
        match char {
            '"' | '(' | '[' | '{' => {
                self.open.push((self.at, char as u8));
                self.shape.tokens += 2;
            }
            ')' | ']' | '}' => self.close(char)?,
            '#' => {
                self.comment();
                return Ok(());
            }
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => {
                self.in_word = true;
                self.shape.tokens += usize::from(!was_in_word);
            }
            '.' | ',' | ':' | ';' | '?' | '|' | '=' | '!' | '<' | '>' | '+' | '-' | '*' | '/'
            | '%' | '$' | '@' => self.shape.tokens += 1,
            _ if char.is_whitespace() => {}
            _ => {
                let what = format!("`{}` has no meaning here", char.escape_debug());
                return Err(SyntaxError { what, offset: self.at });
            }
        }
        self.at += char.len_utf8();
        Ok(())
    }

    fn close(&mut self, char: char) -> Result<(), SyntaxError> {
        let opener = match char {
            ')' => b'(',
            ']' => b'[',
            _ => b'{',
        };
        match self.open.last() {
            Some(&(_, open)) if open == opener => {
                self.open.pop();
                Ok(())
            }
            Some(&(at, open)) => {
                let open = char::from(open);
                let what = format!("`{char}` does not close the `{open}` at offset {at}");
                Err(SyntaxError { what, offset: self.at })
            }
            None => {
                let what = format!("`{char}` closes nothing");
                Err(SyntaxError { what, offset: self.at })
            }
        }
    }

    /// A comment ends with its line, unless the line ends with an odd number of backslashes.
    fn comment(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let (line, length) = match rest.split_once('\n') {
                Some((line, _)) => (line, line.len() + 1),
                None => (rest, rest.len()),
            };
            self.at += length;
            let line = line.strip_suffix('\r').unwrap_or(line);
            let backslashes = line.len() - line.trim_end_matches('\\').len();
            if backslashes % 2 == 0 || self.at >= self.text.len() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let found = match scan(text) {
            Ok(shape) => format!("nesting {}", shape.nesting),
            Err(error) => format!("{} at {}", error.what, error.offset),
        };
        assert_eq!(found, expected, "{text}");
    }

    /// Mutation: count brackets within strings, or end a comment at its first line always.
    #[test]
    fn brackets_are_counted_where_they_are_brackets() {
        check(".a", "nesting 0");
        check("[{a: (1)}] | [2]", "nesting 3");
        check(r#""((((" + "\"[[[""#, "nesting 1");
        check(r#""a\(["\(.)"])b""#, "nesting 5");
        check("1 # ((( \\\n ((( \n + [2]", "nesting 1");
        check("1 # ((( \\\\\n + (2)", "nesting 1");
    }

    /// Mutation: ignore a bracket that does not match.
    #[test]
    fn what_does_not_match_is_named() {
        check("[1", "`[` is never closed at 0");
        check("1 + \"abc", "this string has no end at 4");
        check("(1]", "`]` does not close the `(` at offset 0 at 2");
        check("1)", "`)` closes nothing at 1");
        check(". ~ 1", "`~` has no meaning here at 2");
        check(r#""\(]" (((("#, "`]` does not close the `(` at offset 2 at 3");
    }
}
