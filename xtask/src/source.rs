//! A Rust file taken apart just far enough for the checks: code without comments and texts, the
//! texts, which lines are tests, where functions begin and end.
//!
//! This is a scanner, not a parser: it knows comments, strings and braces, and nothing of meaning.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use crate::tree;

#[derive(Debug)]
pub struct Source {
    /// From the root.
    pub path: PathBuf,
    pub text: String,
    /// The text with comments and the insides of strings blanked: as long, line by line.
    pub code: String,
    pub literals: Vec<Literal>,
    tests: Vec<RangeInclusive<usize>>,
    lines: Lines,
}

/// Where lines begin.
#[derive(Debug)]
struct Lines(Vec<usize>);

/// A string of the program.
#[derive(Debug, PartialEq, Eq)]
pub struct Literal {
    /// From 1.
    pub line: usize,
    pub text: String,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    /// From 1.
    pub line: usize,
    pub lines: usize,
}

/// All Rust files of the workspace.
#[must_use]
pub fn all() -> Vec<Source> {
    let files = tree::files(".", &[".rs"]);
    let read = |path: PathBuf| tree::text(&path).map(|text| Source::parse(&path, text));
    files.into_iter().filter_map(read).collect()
}

impl Source {
    #[must_use]
    pub fn parse(path: &Path, text: String) -> Self {
        let (code, literals) = Scanner::scan(&text);
        let lines = Lines::of(&code);
        let tests = test_modules(&code, &lines);
        Self { path: path.to_owned(), text, code, literals, tests, lines }
    }

    /// The room that the file belongs to, such as `engine`; `xtask` for the tools.
    #[must_use]
    pub fn room(&self) -> &str {
        let mut parts = self.path.iter().filter_map(|part| part.to_str());
        match parts.next() {
            Some("crates") => parts.next().unwrap_or_default(),
            Some(other) => other,
            None => "",
        }
    }

    /// Whether the line (from 1) only exists in tests, examples or benches.
    #[must_use]
    pub fn is_test(&self, line: usize) -> bool {
        self.is_test_file() || self.tests.iter().any(|range| range.contains(&line))
    }

    #[must_use]
    pub fn is_test_file(&self) -> bool {
        let folder = |name: &str| self.path.iter().any(|part| part == name);
        folder("tests")
            || folder("examples")
            || folder("benches")
            || self.path.ends_with("tests.rs")
    }

    /// Lines (from 1) whose code has `word`: a name or path that does not go on at either end.
    #[must_use]
    pub fn lines_with(&self, word: &str) -> Vec<usize> {
        let has = |line: &str| positions(line, word).next().is_some();
        let numbered = self.code.lines().enumerate();
        numbered.filter(|(_, line)| has(line)).map(|(index, _)| index + 1).collect()
    }

    /// Lines before the file's own tests.
    #[must_use]
    pub fn lines_before_tests(&self) -> usize {
        let tests = self.tests.iter().map(|range| range.start() - 1).min();
        tests.unwrap_or_else(|| self.text.lines().count())
    }

    #[must_use]
    pub fn functions(&self) -> Vec<Function> {
        positions(&self.code, "fn").filter_map(|at| self.function(at)).collect()
    }

    fn function(&self, at: usize) -> Option<Function> {
        let rest = self.code[at..].strip_prefix("fn")?;
        let name: String = rest.trim_start().chars().take_while(|c| is_word(*c)).collect();
        // `fn(…)` is a type.
        if name.is_empty() {
            return None;
        }
        // Up to the body only parentheses and brackets can hold a `;`: that of an array's length.
        let mut depth = 0_i32;
        let body = self.code[at..].char_indices().find_map(|(offset, c)| {
            match c {
                '(' | '[' => depth += 1,
                ')' | ']' => depth -= 1,
                '{' if depth == 0 => return Some(Some(at + offset)),
                ';' if depth == 0 => return Some(None),
                _ => {}
            }
            None
        })??;
        let end = closing(&self.code, body)?;
        let line = self.lines.number(at);
        Some(Function { name, line, lines: self.lines.number(end) - line + 1 })
    }
}

/// Lines of every module or item behind `#[cfg(test)]`.
fn test_modules(code: &str, lines: &Lines) -> Vec<RangeInclusive<usize>> {
    let mut found = Vec::new();
    for (at, attribute) in code.match_indices("#[cfg(test)]") {
        let rest = &code[at + attribute.len()..];
        let open = rest.find('{');
        let declared_only = rest.find(';').is_some_and(|end| open.is_none_or(|open| end < open));
        let Some(open) = open.filter(|_| !declared_only) else { continue };
        if let Some(end) = closing(code, at + attribute.len() + open) {
            found.push(lines.number(at)..=lines.number(end));
        }
    }
    found
}

/// Where `word` stands in `code`, whole.
fn positions<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let starts_as_word = word.starts_with(is_word);
    let ends_as_word = word.ends_with(is_word);
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = code[..*at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let goes_on = (starts_as_word && before.is_some_and(is_word))
            || (ends_as_word && after.is_some_and(is_word));
        !goes_on
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

impl Lines {
    fn of(code: &str) -> Self {
        Self(std::iter::once(0).chain(code.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    /// From 1.
    fn number(&self, at: usize) -> usize {
        self.0.partition_point(|start| *start <= at)
    }
}

/// The brace that closes the one at `open`.
fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, byte) in code[open..].bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(open + offset);
                }
            }
            _ => {}
        }
    }
    None
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// The line of `at`, from 1.
    line: usize,
    code: String,
    literals: Vec<Literal>,
}

impl<'a> Scanner<'a> {
    fn scan(text: &'a str) -> (String, Vec<Literal>) {
        let code = String::with_capacity(text.len());
        let mut scanner = Self { text, at: 0, line: 1, code, literals: Vec::new() };
        while scanner.at < text.len() {
            scanner.step();
        }
        (scanner.code, scanner.literals)
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn step(&mut self) {
        let rest = self.rest();
        if rest.starts_with("//") {
            self.blank(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.blank(block_comment(rest));
        } else if let Some(hashes) = self.raw_string() {
            let open = 'r'.len_utf8() + hashes + '"'.len_utf8();
            let close = format!("\"{}", "#".repeat(hashes));
            let inside = rest[open..].find(&close).unwrap_or(rest.len() - open);
            self.literal(open, inside, close.len());
        } else if let Some(inside) = rest.strip_prefix('"') {
            self.literal(1, string_inside(inside), 1);
        } else if rest.starts_with('\'') {
            let length = character(rest);
            self.blank(length);
        } else {
            let c = rest.chars().next().expect("the end was not reached");
            self.line += usize::from(c == '\n');
            self.code.push(c);
            self.at += c.len_utf8();
        }
    }

    /// The number of hashes if a raw string begins here.
    fn raw_string(&self) -> Option<usize> {
        let after = self.rest().strip_prefix('r')?;
        let hashes = after.bytes().take_while(|byte| *byte == b'#').count();
        // `r#type` is a name, and `for"` cannot be written.
        let before = self.code.trim_end_matches(['b', 'c']).chars().next_back();
        (after[hashes..].starts_with('"') && !before.is_some_and(is_word)).then_some(hashes)
    }

    fn literal(&mut self, open: usize, inside: usize, close: usize) {
        let start = self.at + open;
        self.literals
            .push(Literal { line: self.line, text: self.text[start..start + inside].to_owned() });
        self.code.push_str(&self.text[self.at..start]);
        self.at = start;
        self.blank(inside);
        let close = close.min(self.rest().len());
        self.code.push_str(&self.rest()[..close]);
        self.at += close;
    }

    fn blank(&mut self, length: usize) {
        let blanked = &self.rest()[..length];
        self.code.extend(blanked.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
        self.line += blanked.matches('\n').count();
        self.at += length;
    }
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// How long a string is, up to its closing quote.
fn string_inside(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !escaped => return at,
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// How long the character literal is that begins here; 1 for the quote of a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text[1..].char_indices();
    match chars.next() {
        Some((_, '\\')) => {
            // `'\''` and `'\\'`: the escaped character is never the closing quote.
            let escaped = chars.next().map_or(1, |(_, c)| 2 + c.len_utf8());
            text[escaped..].find('\'').map_or(text.len(), |end| escaped + end + 1)
        }
        Some((_, c)) if text[1 + c.len_utf8()..].starts_with('\'') => 2 + c.len_utf8(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r###"//! A "comment" with connect(
use std::net::TcpStream; /* nested /* TcpStream */ still */
fn raw() -> &'static str { r#"a " TcpStream"# }
fn chars<'a>(x: &'a str) -> [char; 3] {
    // fn inside() {}
    ['"', '\'', '{']
}
type Short = fn(u8) -> u8;
#[cfg(test)]
mod tests {
    fn text() { let _ = "TcpStream \" fn x() {}"; }
}
"###;

    fn sample() -> Source {
        Source::parse(Path::new("crates/base/src/sample.rs"), SAMPLE.to_owned())
    }

    /// Mutation: let `step` treat a lifetime as a character, or skip raw strings or nesting.
    #[test]
    fn words_are_found_in_code_and_not_in_comments_or_texts() {
        let source = sample();
        assert_eq!(source.lines_with("TcpStream"), [2]);
        assert_eq!(source.lines_with("Tcp"), [] as [usize; 0]);
        assert_eq!(source.lines_with("std::net"), [2]);
        assert_eq!(source.code.len(), SAMPLE.len());
        let texts: Vec<_> = source.literals.iter().map(|it| (it.line, it.text.as_str())).collect();
        assert_eq!(texts, [(3, "a \" TcpStream"), (11, "TcpStream \\\" fn x() {}")]);
    }

    /// Mutation: count `fn(…)` as a function, or stop at the `;` in an array's type.
    #[test]
    fn functions_have_their_lengths_and_tests_their_lines() {
        let source = sample();
        let function = |name: &str, line, lines| Function { name: name.to_owned(), line, lines };
        let expected = [function("raw", 3, 1), function("chars", 4, 4), function("text", 11, 1)];
        assert_eq!(source.functions(), expected);
        let tests: Vec<usize> = (1..=12).filter(|line| source.is_test(*line)).collect();
        assert_eq!(tests, [9, 10, 11, 12]);
        assert_eq!(source.lines_before_tests(), 8);
        assert_eq!(source.room(), "base");
    }
}
