//! From text to jaq's syntax tree, with errors that say where and what to do.

use jaq_core::load::lex::{self, Lexer, Token};
use jaq_core::load::parse::{BinaryOp, Parser, TError, Term};

use crate::SyntaxError;

/// How much of an unexpected token an error repeats.
const TOKEN_CHARS_MAX: usize = 24;

/// Parses a text that [`crate::guard::scan`] found modest; a larger one may exhaust the stack.
pub(crate) fn parse(text: &str) -> Result<Term<&str>, SyntaxError> {
    let tokens = Lexer::new(text)
        .lex()
        .map_err(|errors| first(errors.into_iter().map(|error| of_lexer(text, &error))))?;
    if tokens.is_empty() {
        let what = "an empty expression has no value; `.` is the input itself".to_owned();
        return Err(SyntaxError { what, offset: 0 });
    }
    Parser::new(&tokens)
        .parse(|parser| parser.term())
        .map_err(|errors| first(errors.into_iter().map(|error| of_parser(text, &error))))
}

/// Whether the result is what an assignment makes of its input.
pub(crate) fn is_assignment(term: &Term<&str>) -> bool {
    match term {
        Term::BinOp(_, BinaryOp::Pipe(_), right) => is_assignment(right),
        Term::BinOp(_, operator, _) => matches!(
            operator,
            BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt
        ),
        Term::Def(_, term) | Term::Label(_, term) => is_assignment(term),
        _ => false,
    }
}

/// Later errors are mostly consequences of the first in the text.
fn first(errors: impl Iterator<Item = SyntaxError>) -> SyntaxError {
    errors
        .min_by_key(|error| error.offset)
        .unwrap_or_else(|| SyntaxError { what: "not an expression".into(), offset: 0 })
}

fn of_lexer(text: &str, (expected, rest): &lex::Error<&str>) -> SyntaxError {
    SyntaxError { what: format!("expected {}", expected.as_str()), offset: offset(text, rest) }
}

fn of_parser(text: &str, (expected, found): &TError<'_, &str>) -> SyntaxError {
    let expected = match expected.as_str() {
        "" => "an operator or the end",
        expected => expected,
    };
    match found {
        Some(Token(found, _)) => {
            let shown: String = found.chars().take(TOKEN_CHARS_MAX).collect();
            let what = format!("expected {}, found `{shown}`", article(expected));
            SyntaxError { what, offset: offset(text, found) }
        }
        None => {
            let what = format!("expected {}, but the expression ends here", article(expected));
            SyntaxError { what, offset: text.trim_end().len() }
        }
    }
}

fn article(expected: &str) -> String {
    match expected {
        "nothing" => "an operator or the end".into(),
        "variable"
        | "pattern"
        | "comma or right bracket"
        | "comma or right brace"
        | "semicolon or right parenthesis"
        | "term"
        | "key"
        | "string" => format!("a {expected}"),
        "identifier" | "argument" => format!("an {expected}"),
        "else or end" => "`else` or `end`".into(),
        "an operator or the end" => expected.into(),
        symbol => format!("`{symbol}`"),
    }
}

/// Where a part of the text lies in it. Every piece of jaq's tree is a slice of its source.
pub(crate) fn offset(text: &str, part: &str) -> usize {
    (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize).map_or(0, |at| at.min(text.len()))
}
