//! Licences: everything that we link in, or need to build or test, may be passed on with our own.
//!
//! The texts of the licences are with the packages; here only their names are judged.

use anyhow::bail;

use crate::metadata::Metadata;

/// What may be combined with Apache-2.0 and passed on as one binary. A licence comes into this list
/// by a decision of people, not to make a check pass.
const ALLOWED: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
    // Data, not code: the list of certificate authorities.
    "CDLA-Permissive-2.0",
];

/// Parentheses in parentheses. Real expressions have two levels.
const NESTING_MAX: usize = 16;

/// Prints what may not be passed on, and fails if there is such a thing.
pub fn run() -> anyhow::Result<()> {
    let metadata = Metadata::read()?;
    let mut wrong = Vec::new();
    let mut count = 0;
    for package in metadata.packages() {
        count += 1;
        let refused = match &package.licence {
            None => Some("says no licence".to_owned()),
            Some(text) => refusal(text),
        };
        if let Some(why) = refused {
            wrong.push(format!("{} {}: {why}", package.name, package.version));
        }
    }
    if wrong.is_empty() {
        eprintln!("{count} packages, all with a licence of the list in xtask/src/licence.rs");
        return Ok(());
    }
    bail!(
        "{} of {count} packages may not be passed on:\n  {}\nhint: take another package, or let people decide to add the licence to `ALLOWED` in xtask/src/licence.rs",
        wrong.len(),
        wrong.join("\n  "),
    )
}

/// Why a licence expression is not acceptable.
fn refusal(text: &str) -> Option<String> {
    match parse(text) {
        None => Some(format!("`{text}` is not an SPDX expression")),
        Some(expression) if expression.is_allowed() => None,
        Some(_) => Some(format!("`{text}` is not on the list")),
    }
}

#[derive(Debug)]
enum Expression {
    One(String),
    All(Vec<Expression>),
    Any(Vec<Expression>),
}

impl Expression {
    fn is_allowed(&self) -> bool {
        match self {
            Self::One(name) => ALLOWED.contains(&name.as_str()),
            Self::All(parts) => parts.iter().all(Self::is_allowed),
            Self::Any(parts) => parts.iter().any(Self::is_allowed),
        }
    }
}

fn parse(text: &str) -> Option<Expression> {
    // Old packages write `MIT/Apache-2.0` and mean `OR`.
    let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let expression = any(&mut words, 0)?;
    words.next().is_none().then_some(expression)
}

type Words<'a, 'b> = &'a mut std::iter::Peekable<std::str::SplitWhitespace<'b>>;

fn any(words: Words, depth: usize) -> Option<Expression> {
    let mut parts = vec![all(words, depth)?];
    while words.next_if_eq(&"OR").is_some() {
        parts.push(all(words, depth)?);
    }
    Some(Expression::Any(parts))
}

fn all(words: Words, depth: usize) -> Option<Expression> {
    let mut parts = vec![one(words, depth)?];
    while words.next_if_eq(&"AND").is_some() {
        parts.push(one(words, depth)?);
    }
    Some(Expression::All(parts))
}

fn one(words: Words, depth: usize) -> Option<Expression> {
    match words.next()? {
        "(" if depth < NESTING_MAX => {
            let inside = any(words, depth + 1)?;
            words.next_if_eq(&")").map(|_| inside)
        }
        "(" | ")" | "AND" | "OR" | "WITH" => None,
        name if words.next_if_eq(&"WITH").is_some() => {
            Some(Expression::One(format!("{name} WITH {}", words.next()?)))
        }
        name => Some(Expression::One(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(refusal(text).as_deref(), expected, "{text}");
    }

    /// Mutation: let `AND` be satisfied by one part, or bind looser than `OR`.
    #[test]
    fn an_expression_is_allowed_if_some_choice_is_allowed_whole() {
        check("MIT", None);
        check("MIT/Apache-2.0", None);
        check("Unlicense OR MIT", None);
        check("(MIT OR GPL-3.0-only) AND Unicode-3.0", None);
        check("Apache-2.0 WITH LLVM-exception", None);
        check("GPL-3.0-only AND MIT OR ISC", None);
        check("GPL-3.0-only", Some("`GPL-3.0-only` is not on the list"));
        check("MIT AND GPL-3.0-only", Some("`MIT AND GPL-3.0-only` is not on the list"));
        check("MIT WITH GPL-exception", Some("`MIT WITH GPL-exception` is not on the list"));
    }

    /// Mutation: accept what is left over, or nest without a limit.
    #[test]
    fn what_is_no_expression_is_refused() {
        for text in ["", "MIT OR", "(MIT", "MIT)", "MIT MIT", "AND", "MIT WITH"] {
            check(text, Some(&format!("`{text}` is not an SPDX expression")));
        }
        assert!(parse(&"(".repeat(100_000)).is_none());
    }
}
