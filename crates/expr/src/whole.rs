//! The whole interpreter, jaq itself. Only for a process that may die.
//!
//! It can exhaust memory and stack and cannot be stopped, so nothing in the engine's process calls
//! [`Program`]: the evaluator processes of `sandbox` do, and tests that compare with it.

use std::fmt::{self, Write};
use std::sync::Arc;

use base::Value;
use jaq_core::data::JustLut;
use jaq_core::load::parse::Def;
use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Filter, Vars};

use crate::settle::settle;
use crate::{SyntaxError, guard, names, syntax};

type Data = JustLut<Value>;

/// Functions that jaq implements natively and that see nothing but their arguments. A list of what
/// is allowed rather than of what is not: a new version of jaq brings nothing in by itself.
const NATIVE: &[&str] = &[
    "acos",
    "acosh",
    "ascii_downcase",
    "ascii_upcase",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bsearch",
    "cbrt",
    "ceil",
    "contains",
    "copysign",
    "cos",
    "cosh",
    "decode_base64",
    "decode_uri",
    "encode_base64",
    "encode_uri",
    "endswith",
    "erf",
    "erfc",
    "error_empty",
    "escape_html",
    "escape_sh",
    "exp",
    "exp10",
    "exp2",
    "explode",
    "expm1",
    "fabs",
    "fdim",
    "first",
    "floor",
    "fma",
    "fmax",
    "fmin",
    "fmod",
    "frexp",
    "fromdateiso8601",
    "fromjson",
    "gmtime",
    "group_by",
    "has",
    "hypot",
    "ilogb",
    "implode",
    "indices",
    "j0",
    "j1",
    "jn",
    "key_values",
    "keys_unsorted",
    "last",
    "ldexp",
    "length",
    "lgamma",
    "limit",
    "log",
    "log10",
    "log1p",
    "log2",
    "ltrim",
    "ltrimstr",
    "matches",
    "max_by_or_empty",
    "min_by_or_empty",
    "mktime",
    "modf",
    "nearbyint",
    "nextafter",
    "path",
    "path_value",
    "pow",
    "range",
    "remainder",
    "reverse",
    "rint",
    "round",
    "rtrim",
    "rtrimstr",
    "scalbln",
    "sin",
    "sinh",
    "skip",
    "sort",
    "sort_by",
    "split_",
    "split_matches",
    "sqrt",
    "startswith",
    "strftime",
    "strptime",
    "tan",
    "tanh",
    "tgamma",
    "tobytes",
    "todateiso8601",
    "tojson",
    "trim",
    "trunc",
    "unescape_html",
    "utf8bytelength",
    "y0",
    "y1",
    "yn",
];

/// A compiled expression.
pub struct Program(Filter<Data>);

fn definitions() -> impl Iterator<Item = Def<&'static str>> {
    jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs())
        .filter(|definition| !names::is_refused(definition.name))
}

fn natives() -> impl Iterator<Item = jaq_core::native::Fun<Data>> {
    jaq_core::funs::<Data>()
        .chain(jaq_std::funs::<Data>())
        .chain(jaq_json::funs::<Data>())
        .filter(|(name, ..)| NATIVE.contains(name))
}

/// Every function that an expression may call, with its number of arguments.
pub(crate) fn signatures() -> impl Iterator<Item = (String, usize)> {
    let defined = definitions().map(|definition| (definition.name.into(), definition.args.len()));
    defined.chain(natives().map(|(name, arguments, _)| (name.into(), arguments.len())))
}

impl Program {
    /// Compiles any expression. `variables` are the names that values will be given for.
    pub fn compile(text: &str, variables: &[Arc<str>]) -> Result<Self, SyntaxError> {
        let shape = guard::scan(text)?;
        if shape.nesting > guard::NESTING_MAX {
            let what = format!("nested deeper than {} levels", guard::NESTING_MAX);
            return Err(SyntaxError { what, offset: 0 });
        }
        let term = syntax::parse(text)?;
        let free = names::resolve(text, &term)?.variables;
        if let Some(missing) = free.iter().find(|name| !variables.contains(name)) {
            let what = format!("`${missing}` is not defined here");
            return Err(SyntaxError {
                what,
                offset: text.find(&format!("${missing}")).unwrap_or(0),
            });
        }
        let wrong = || SyntaxError { what: "not an expression".into(), offset: 0 };
        let arena = Arena::default();
        let file = File { code: text, path: () };
        let modules = Loader::new(definitions()).load(&arena, file).map_err(|_| wrong())?;
        let variables: Vec<String> = variables.iter().map(|name| format!("${name}")).collect();
        Compiler::default()
            .with_funs(natives())
            .with_global_vars(variables.iter().map(String::as_str))
            .compile(modules)
            .map(Self)
            .map_err(|_| wrong())
    }

    /// Exactly one result: none is `null`, several are a failure. `values` are those of the
    /// variables, in the order of their names.
    pub fn run(&self, input: Value, values: Vec<Value>) -> Result<Value, String> {
        let context = Ctx::<Data>::new(&self.0.lut, Vars::new(values));
        let mut outputs = self.0.id.run((context, input));
        let value = match outputs.next() {
            None => return Ok(Value::Null),
            Some(Ok(value)) => value,
            Some(Err(error)) => return Err(failure(error)),
        };
        match outputs.next() {
            None => settle(value).map_err(|error| error.to_string()),
            Some(Ok(_)) => Err(crate::SEVERAL.to_owned()),
            Some(Err(error)) => Err(failure(error)),
        }
    }
}

/// What failed, in general terms: jaq's own text holds values.
fn failure(error: jaq_core::Exn<'_, Value>) -> String {
    let Ok(error) = error.get_err() else {
        return "the expression ended without a result".into();
    };
    let mut beginning = Beginning(String::new());
    // The writer stops the printing as soon as it has enough; so this `Err` is no error.
    let _ = write!(beginning, "{error}");
    const KINDS: &[(&str, &str)] = &[
        ("cannot calculate ", "cannot calculate with values of these kinds"),
        ("cannot index ", "cannot index a value of this kind with such a key"),
        ("cannot use ", "a function was given a value of a kind that it cannot take"),
        ("cannot parse ", "a text could not be parsed"),
        ("invalid path expression", "what is to be changed is not a part of the input"),
        ("invalid regex", "a regular expression is invalid"),
    ];
    let kind = KINDS.iter().find(|(begin, _)| beginning.0.starts_with(begin));
    kind.map_or("the expression called `error`, or a function refused its input", |(_, what)| what)
        .to_owned()
}

/// Keeps the first few bytes of what is written to it.
struct Beginning(String);

impl Write for Beginning {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        const BYTES: usize = 32;
        self.0.push_str(text.get(..BYTES).unwrap_or(text));
        if self.0.len() < BYTES { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Natives that a new version of jaq brings are in neither list and make this red.
    ///
    /// Mutation: add `env` to the allowed ones.
    #[test]
    fn every_native_function_is_either_allowed_or_refused() {
        let all =
            jaq_core::funs::<Data>().chain(jaq_std::funs::<Data>()).chain(jaq_json::funs::<Data>());
        for (name, ..) in all {
            assert!(NATIVE.contains(&name) != names::is_refused(name), "{name}");
        }
        assert!(NATIVE.is_sorted());
    }
}
