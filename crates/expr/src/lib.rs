//! Runtime expressions (jq): parsing, the closed list, and in-process evaluation of what is on it.
//!
//! jaq can abort the whole process and cannot be stopped from inside. So only filters that a static
//! check proves to be of a closed list are evaluated here; all others go to the process pool in
//! `sandbox`, and the caller learns that from [`Stop::Outside`].
//!
//! jaq parses (after a look that the text cannot exhaust its stack), and its values bring their own
//! operators; the evaluator between the two is ours. A property test compares it with jaq's.

mod assign;
mod closed;
mod eval;
mod fail;
mod fold;
mod form;
mod fuel;
mod function;
mod guard;
mod lower;
mod names;
mod settle;
mod syntax;
mod term;
pub mod whole;

use std::fmt;
use std::sync::Arc;

use base::Value;

use crate::eval::Machine;
use crate::fail::{Fail, Halt, Refused};
use crate::fuel::{FUEL, Fuel};
use crate::term::{Kind, Part, Step, Term};

/// An expression with several results where one is asked for.
pub(crate) const SEVERAL: &str =
    "the expression yields more than one value; wrap it in [ ] to get an array";

/// Expressions with more tokens than this are parsed on a stack of their own.
const TOKENS_ON_STACK_MAX: usize = 60;

/// The stack for parsing the largest text that is parsed in this process. It is touched only as
/// far as it is needed.
const PARSER_STACK_BYTES: usize = 32 * 1024 * 1024;

/// A parsed expression. Cheap to clone.
#[derive(Clone)]
pub struct Expr(Arc<Parsed>);

struct Parsed {
    text: Arc<str>,
    variables: Box<[Arc<str>]>,
    /// Which fields of them, where that is known.
    fields: Box<[names::FieldRead]>,
    /// Nothing if it is not on the closed list.
    term: Option<Term>,
    /// Its result is a part of what it reads, and so needs no check.
    is_part: bool,
    /// Its result is what an assignment makes of its input.
    is_assignment: bool,
    is_parsed: bool,
    is_loose: bool,
}

/// Why an expression is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct SyntaxError {
    pub what: String,
    /// Byte offset in the expression's text.
    pub offset: usize,
}

/// Why evaluation gave no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Not on the closed list, or too much work for it: evaluate it outside the process.
    Outside,
    /// The expression failed. The message names what and where, never a value.
    Failed(String),
}

/// Where an expression's variables come from. Names are without `$`.
pub trait Scope {
    fn get(&self, name: &str) -> Option<Value>;
}

/// The expression within `${ }`, if the whole text is one.
#[must_use]
pub fn unwrap_marker(text: &str) -> Option<&str> {
    text.trim().strip_prefix("${")?.strip_suffix('}').map(str::trim)
}

impl Expr {
    /// Parses an expression without `${ }` around it.
    ///
    /// A text too large to be parsed in this process is taken as it is ([`Expr::is_parsed`]); the
    /// evaluator process finds its errors.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let shape = guard::scan(text)?;
        if !shape.is_modest(text) {
            return Ok(Self::unparsed(text));
        }
        if shape.tokens <= TOKENS_ON_STACK_MAX {
            return Self::parse_here(text);
        }
        std::thread::scope(|scope| {
            let parser = std::thread::Builder::new()
                .name("expression".into())
                .stack_size(PARSER_STACK_BYTES)
                .spawn_scoped(scope, || Self::parse_here(text));
            match parser.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(parsed)) => parsed,
                // No thread to be had, or a panic in the parser: the evaluator process can tell.
                Ok(Err(_)) | Err(_) => Ok(Self::unparsed(text)),
            }
        })
    }

    fn parse_here(text: &str) -> Result<Self, SyntaxError> {
        let parsed = syntax::parse(text)?;
        let names::Free { variables, fields } = names::resolve(text, &parsed)?;
        let term = lower::lower(text, &parsed, &variables);
        let is_part = term.as_ref().is_some_and(is_part);
        let is_assignment = syntax::is_assignment(&parsed);
        Ok(Self(Arc::new(Parsed {
            text: text.into(),
            variables,
            fields,
            term,
            is_part,
            is_assignment,
            is_parsed: true,
            is_loose: false,
        })))
    }

    fn unparsed(text: &str) -> Self {
        let variables = guard::variables(text);
        Self(Arc::new(Parsed {
            text: text.into(),
            fields: variables.iter().map(|name| (name.clone(), None)).collect(),
            variables,
            term: None,
            is_part: false,
            is_assignment: false,
            is_parsed: false,
            is_loose: false,
        }))
    }

    /// The same, as text that may be an expression: whoever evaluates it takes the text itself
    /// where it fails ([`Expr::is_loose`]).
    #[must_use]
    pub fn or_its_text(self) -> Self {
        match Arc::try_unwrap(self.0) {
            Ok(parsed) => Self(Arc::new(Parsed { is_loose: true, ..parsed })),
            // Shared already; what is shared stays as it is.
            Err(shared) => Self(shared),
        }
    }

    /// Whether its text is the value where it fails.
    #[must_use]
    pub fn is_loose(&self) -> bool {
        self.0.is_loose
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Names of the variables that it reads, without `$`, each once, sorted.
    #[must_use]
    pub fn variables(&self) -> &[Arc<str>] {
        &self.0.variables
    }

    /// The only fields of a variable that it reads; nothing where it may read all of it.
    #[must_use]
    pub fn fields_of(&self, variable: &str) -> Option<Vec<&str>> {
        let fields = self.0.fields.iter().filter(|(name, _)| &**name == variable);
        fields.map(|(_, field)| field.as_deref()).collect()
    }

    /// Whether it is known to be an expression. One that is not was too large to be parsed here.
    #[must_use]
    pub fn is_parsed(&self) -> bool {
        self.0.is_parsed
    }

    /// Whether its result is what `=`, `|=`, `+=` or their like make of its input.
    #[must_use]
    pub fn is_assignment(&self) -> bool {
        self.0.is_assignment
    }

    /// Whether it is on the closed list.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.0.term.is_some()
    }

    /// Evaluates on the closed list. Exactly one result: none is `null`, several are a failure.
    pub fn evaluate(&self, input: &Value, scope: &dyn Scope) -> Result<Value, Stop> {
        let Some(term) = &self.0.term else { return Err(Stop::Outside) };
        let mut globals = Vec::with_capacity(self.0.variables.len());
        for name in &self.0.variables {
            globals.push(
                scope
                    .get(name)
                    .ok_or_else(|| Stop::Failed(format!("`${name}` is not defined here")))?,
            );
        }
        let machine = Machine { fuel: Fuel::new(FUEL), globals: &globals };
        let result = self.result(&machine, term, input);
        result.map_err(|halt| match halt {
            Ended::Halt(Halt::Fail(fail)) => Stop::Failed(fail.to_string()),
            Ended::Halt(Halt::Outside | Halt::Enough) => Stop::Outside,
            Ended::NotJson(what) => Stop::Failed(what),
        })
    }

    fn result(&self, machine: &Machine<'_>, term: &Term, input: &Value) -> Result<Value, Ended> {
        let value = if term.single {
            machine.one(term, None, input)?
        } else {
            let mut first = None;
            let mut several = false;
            let flow = machine.each(term, None, input, &mut |value| {
                several = first.is_some();
                if several {
                    return Err(Halt::Enough);
                }
                first = Some(value);
                Ok(())
            });
            match flow {
                Err(Halt::Enough) if several => return Err(Ended::NotJson(SEVERAL.into())),
                flow => flow?,
            }
            match first {
                Some(value) => value,
                None => return Ok(Value::Null),
            }
        };
        if self.0.is_part || matches!(value, Value::Null | Value::Bool(_)) {
            return Ok(value);
        }
        match settle::settle_paid(&machine.fuel, value) {
            Ok(settled) => {
                settled.map_err(|error| Ended::NotJson(format!("the result is not JSON: {error}")))
            }
            Err(Refused::Outside) => Err(Ended::Halt(Halt::Outside)),
            Err(Refused::What(what)) => Err(Ended::Halt(Halt::Fail(Fail { at: 0, what }))),
        }
    }
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expr").field(&self.0.text).finish()
    }
}

enum Ended {
    Halt(Halt),
    NotJson(String),
}

impl From<Halt> for Ended {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

/// Whether a result is always some part of the input or of a variable, and so JSON like these.
fn is_part(term: &Term) -> bool {
    match &term.kind {
        Kind::Input | Kind::Global(_) => true,
        Kind::Path(base, parts) => is_part(base) && parts.iter().all(Part::is_part),
        Kind::Pipe(left, right) => is_part(left) && is_part(right),
        _ => false,
    }
}

impl Part {
    fn is_part(&self) -> bool {
        matches!(self.step, Step::Key(_) | Step::All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&[&str]>) {
        let expr = Expr::parse(text).expect(text);
        assert_eq!(expr.fields_of("secrets").as_deref(), expected, "{text}");
    }

    /// Mutation: take the field of another variable, of a shadowed one, or of a computed key.
    #[test]
    fn the_fields_that_are_read_are_known_where_they_are_written_down() {
        check(".a", Some(&[]));
        check("$secrets.a + $secrets.b.c", Some(&["a", "b"]));
        check(r#"$secrets["a-b"]? // $secrets."c d""#, Some(&["a-b", "c d"]));
        check(r#""x \($secrets.a)""#, Some(&["a"]));
        check(r#""$secrets.a""#, Some(&[]));
        check("$secrets", None);
        check("$secrets | .a", None);
        check("$secrets.a, $secrets[.name]", None);
        check(r#"$secrets["a\(.x)"]"#, None);
        check("$secrets.a as $secrets | $secrets.b", Some(&["a"]));
        check("$context.a", Some(&[]));
    }

    /// Mutation: look at the first operator only, or take a comparison for an assignment.
    #[test]
    fn an_assignment_is_known_where_it_makes_the_result() {
        for text in
            [".x = 3", ".x |= 3", ".x += 1", ".x //= 1", ".a | .x = 3", "(.x = 3)", ".a and .x = 3"]
        {
            assert!(Expr::parse(text).expect(text).is_assignment(), "{text}");
        }
        for text in [".x == 3", ".x = 3 | .x", "(.x = 3) == .", "[.x = 3]", ".", ".x"] {
            assert!(!Expr::parse(text).expect(text).is_assignment(), "{text}");
        }
    }

    /// Mutation: call a text that was not parsed free of variables.
    #[test]
    fn a_text_that_is_not_parsed_may_read_all() {
        let long = format!("$secrets.a + \"{}\"", "x".repeat(20_000));
        check(&long, None);
    }
}
