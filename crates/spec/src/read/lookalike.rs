//! Text that looks like an expression, and lacks its `${ }`.
//!
//! Only paths are taken for such: fields and indices behind `.`, behind a variable that exists at
//! the place, or behind the `$` of JSONPath. Whatever else could be jq is as well something else.

use crate::code::Code;
use crate::problems::shown;

use super::Reader;
use super::expression::{Around, Position};
use super::fields::Item;

impl<'a> Reader<'a> {
    pub(super) fn warn_of_lookalike(
        &mut self,
        item: Item<'a>,
        text: &str,
        position: Position,
        around: &Around,
    ) {
        // A program's arguments are its own: names of files, and paths for a jq that it calls.
        if position == Position::Arguments {
            return;
        }
        let is_known = |name: &str| around.knows(name, position);
        let Some(meant) = meant(text, is_known) else { return };
        let hint = format!(
            "write `${{ {} }}`, or `${{ \"{}\" }}` if the text itself is meant",
            shown(meant),
            shown(text).replace('"', "\\\"")
        );
        let message = "this is text: an expression stands in `${ }`";
        self.report(Code::Lookalike, item.node.at, message, Some(hint));
    }
}

/// The expression that a text seems to be.
fn meant(text: &str, is_known: impl Fn(&str) -> bool) -> Option<&str> {
    let Some(rest) = text.strip_prefix('$') else {
        return is_path(text).then_some(text);
    };
    match name(rest) {
        Some(name) => (is_known(name) && are_steps(&rest[name.len()..])).then_some(text),
        None => is_path(rest).then_some(rest),
    }
}

fn is_path(text: &str) -> bool {
    match text.strip_prefix('.') {
        Some(rest) if rest.starts_with('[') => are_steps(rest),
        Some(_) => are_steps(text),
        None => false,
    }
}

/// Whether a text is nothing but `.name` and `[…]`, one behind the other.
fn are_steps(mut rest: &str) -> bool {
    while !rest.is_empty() {
        let field = rest.strip_prefix('.').and_then(|rest| Some(&rest[name(rest)?.len()..]));
        let Some(after) = field.or_else(|| index(rest)) else { return false };
        rest = after;
    }
    true
}

/// What stands behind `[]`, `[0]` or `["name"]`.
fn index(text: &str) -> Option<&str> {
    let (inner, after) = text.strip_prefix('[')?.split_once(']')?;
    let quoted = inner.strip_prefix('"').and_then(|inner| inner.strip_suffix('"'));
    let is_index = match quoted {
        Some(name) => !name.contains(['"', '\\']),
        None => inner.bytes().all(|b| b.is_ascii_digit()),
    };
    is_index.then_some(after)
}

/// The identifier that a text begins with.
fn name(text: &str) -> Option<&str> {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = text.find(|c| !is_inner(c)).unwrap_or(text.len());
    (end > 0 && !text.starts_with(|c: char| c.is_ascii_digit())).then_some(&text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take any text that begins with a dot or a dollar for an expression.
    #[test]
    fn paths_look_like_expressions_and_other_text_does_not() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(meant(text, |name| name == "input"), expected, "{text}");
        };
        for path in [".a", ".a.b_1", ".a[0].b", ".[0]", ".items[]", r#".["a-b"]"#] {
            check(path, Some(path));
        }
        for path in ["$input", "$input.a", "$input[0]"] {
            check(path, Some(path));
        }
        check("$.a", Some(".a"));
        check("$.a[0].b", Some(".a[0].b"));
        for text in [
            "",
            ".",
            "..",
            "...",
            ".5",
            ".a.",
            ".a-b",
            ".a/b",
            "./a",
            "../a",
            ".a b",
            ".*",
            ".[a-z]",
            "[0]",
            "[]",
            "$",
            "$5",
            "$5.00",
            "$HOME",
            "$HOME.a",
            "$input/x",
            "$[0",
            "a.b",
            ".a ",
            r#".["a\"]"#,
        ] {
            check(text, None);
        }
    }
}
