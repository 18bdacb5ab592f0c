//! What an expression calls and reads: unknown functions, functions that it may not have, and the
//! variables that it expects from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::path::{Part, Path};

use crate::SyntaxError;
use crate::syntax::offset;

/// Functions of jq that read more than their input, or that end the program. Results must be the
/// same on every replay, and no expression sees the machine it runs on.
const REFUSED: &[(&str, &str)] = &[
    ("debug", "expressions write no log"),
    ("debug_empty", "expressions write no log"),
    ("env", "expressions cannot read the environment"),
    ("halt", "expressions cannot end the program; use `error`"),
    ("halt_error", "expressions cannot end the program; use `error`"),
    ("input", "there is one input: `.`"),
    ("input_filename", "there is one input: `.`"),
    ("input_line_number", "there is one input: `.`"),
    ("inputs", "there is one input: `.`"),
    ("localtime", "the result depends on the machine; use `gmtime`"),
    ("now", "the clock would differ on replay; a task's start is in `$task.startedAt`"),
    ("repl", "expressions have no terminal"),
    ("stderr", "expressions write no log"),
    ("stderr_empty", "expressions write no log"),
    ("strflocaltime", "the result depends on the machine; use `strftime`"),
];

/// Variables that jq itself defines.
const VARIABLES_REFUSED: &[(&str, &str)] = &[
    ("$ENV", "expressions cannot read the environment"),
    ("$__loc__", "expressions have no file"),
    ("$__prog_args", "expressions have no arguments"),
];

pub(crate) fn is_refused(name: &str) -> bool {
    REFUSED.iter().any(|(refused, _)| *refused == name)
}

/// What a term reads from outside.
pub(crate) struct Free {
    /// Names of the variables that it reads but does not bind, without `$`, sorted.
    pub variables: Box<[Arc<str>]>,
    pub fields: Box<[FieldRead]>,
}

/// A variable and, where only one field of it is read (`$name.field`), that field.
pub(crate) type FieldRead = (Arc<str>, Option<Arc<str>>);

pub(crate) fn resolve(text: &str, term: &Term<&str>) -> Result<Free, SyntaxError> {
    let (free, fields) = (BTreeSet::new(), BTreeSet::new());
    let mut resolver = Resolver { text, locals: Vec::new(), free, fields, error: None };
    resolver.term(term);
    if let Some(error) = resolver.error {
        return Err(error);
    }
    let fields = resolver.fields.into_iter();
    Ok(Free {
        variables: resolver.free.into_iter().map(Arc::from).collect(),
        fields: fields.map(|(name, field)| (name.into(), field.map(Arc::from))).collect(),
    })
}

enum Local<'s> {
    Variable(&'s str),
    Label(&'s str),
    Function(&'s str, usize),
}

struct Resolver<'s> {
    text: &'s str,
    locals: Vec<Local<'s>>,
    free: BTreeSet<&'s str>,
    fields: BTreeSet<(&'s str, Option<String>)>,
    error: Option<SyntaxError>,
}

impl<'s> Resolver<'s> {
    fn fail(&mut self, place: &str, what: String) {
        let offset = offset(self.text, place);
        if self.error.as_ref().is_none_or(|error| offset < error.offset) {
            self.error = Some(SyntaxError { what, offset });
        }
    }

    fn within(&mut self, locals: Vec<Local<'s>>, run: impl FnOnce(&mut Self)) {
        let before = self.locals.len();
        self.locals.extend(locals);
        run(self);
        self.locals.truncate(before);
    }

    fn term(&mut self, term: &Term<&'s str>) {
        match term {
            Term::Id | Term::Recurse | Term::Num(_) | Term::Arr(None) => {}
            Term::Str(format, parts) => {
                if let Some(format) = format {
                    self.call(format, 0);
                }
                for part in parts {
                    if let StrPart::Term(term) = part {
                        self.term(term);
                    }
                }
            }
            Term::Arr(Some(term)) | Term::Neg(term) => self.term(term),
            Term::Obj(entries) => {
                for (key, value) in entries {
                    self.term(key);
                    if let Some(value) = value {
                        self.term(value);
                    }
                }
            }
            Term::BinOp(left, operator, right) => {
                self.term(left);
                let pattern = match operator {
                    BinaryOp::Pipe(Some(pattern)) => Some(pattern),
                    _ => None,
                };
                let bound = pattern.map_or_else(Vec::new, |pattern| self.pattern(pattern));
                self.within(bound, |this| this.term(right));
            }
            Term::Label(name, term) => {
                self.within(vec![Local::Label(name)], |this| this.term(term));
            }
            Term::Break(name) => {
                let known =
                    |local: &Local<'_>| matches!(local, Local::Label(label) if label == name);
                if !self.locals.iter().any(known) {
                    self.fail(name, format!("no `label {name}` is around this `break`"));
                }
            }
            Term::Fold(name, source, pattern, arguments) => {
                self.fold(name, source, pattern, arguments);
            }
            Term::TryCatch(body, handler) => {
                self.term(body);
                if let Some(handler) = handler {
                    self.term(handler);
                }
            }
            Term::IfThenElse(branches, otherwise) => {
                for (condition, then) in branches {
                    self.term(condition);
                    self.term(then);
                }
                if let Some(otherwise) = otherwise {
                    self.term(otherwise);
                }
            }
            Term::Def(definitions, term) => self.definitions(definitions, term),
            Term::Call(name, arguments) => {
                self.call(name, arguments.len());
                arguments.iter().for_each(|argument| self.term(argument));
            }
            Term::Var(name) => self.variable(name, None),
            Term::Path(term, path) => {
                match &**term {
                    Term::Var(name) => self.variable(name, first_field(path)),
                    _ => self.term(term),
                }
                self.path(path);
            }
        }
    }

    fn path(&mut self, Path(parts): &Path<Term<&'s str>>) {
        for (part, _) in parts {
            match part {
                Part::Index(index) => self.term(index),
                Part::Range(from, upto) => {
                    from.iter().chain(upto).for_each(|bound| self.term(bound));
                }
            }
        }
    }

    fn fold(
        &mut self,
        name: &'s str,
        source: &Term<&'s str>,
        pattern: &Pattern<&'s str>,
        arguments: &[Term<&'s str>],
    ) {
        let expected = if name == "reduce" { "(start; update)" } else { "(start; update; output)" };
        let fits = arguments.len() == 2 || (arguments.len() == 3 && name == "foreach");
        if !fits {
            self.fail(name, format!("`{name}` is followed by `{expected}`"));
        }
        self.term(source);
        let bound = self.pattern(pattern);
        let Some((start, rest)) = arguments.split_first() else { return };
        self.term(start);
        self.within(bound, |this| rest.iter().for_each(|argument| this.term(argument)));
    }

    fn definitions(&mut self, definitions: &[Def<&'s str>], term: &Term<&'s str>) {
        let before = self.locals.len();
        for definition in definitions {
            let itself = Local::Function(definition.name, definition.args.len());
            let mut inner = vec![Local::Function(definition.name, definition.args.len())];
            inner.extend(definition.args.iter().map(|argument| {
                if argument.starts_with('$') {
                    Local::Variable(argument)
                } else {
                    Local::Function(argument, 0)
                }
            }));
            self.within(inner, |this| this.term(&definition.body));
            self.locals.push(itself);
        }
        self.term(term);
        self.locals.truncate(before);
    }

    /// Resolves the keys of a pattern, and says what it binds.
    fn pattern(&mut self, pattern: &Pattern<&'s str>) -> Vec<Local<'s>> {
        match pattern {
            Pattern::Var(name) => vec![Local::Variable(name)],
            Pattern::Arr(patterns) => {
                patterns.iter().flat_map(|pattern| self.pattern(pattern)).collect()
            }
            Pattern::Obj(entries) => {
                let mut bound = Vec::new();
                for (key, pattern) in entries {
                    self.term(key);
                    bound.extend(self.pattern(pattern));
                }
                bound
            }
        }
    }

    fn variable(&mut self, name: &'s str, field: Option<String>) {
        let known = |local: &Local<'_>| matches!(local, Local::Variable(known) if *known == name);
        if self.locals.iter().any(known) {
            return;
        }
        if let Some((_, why)) = VARIABLES_REFUSED.iter().find(|(refused, _)| *refused == name) {
            return self.fail(name, format!("`{name}` is not available: {why}"));
        }
        if name.contains("::") {
            return self.fail(name, format!("`{name}`: expressions have no modules"));
        }
        self.free.insert(&name[1..]);
        self.fields.insert((&name[1..], field));
    }

    fn call(&mut self, name: &'s str, arguments: usize) {
        let known = |local: &Local<'_>| matches!(local, Local::Function(known, arity) if *known == name && *arity == arguments);
        if self.locals.iter().any(known) || is_known(name, arguments) {
            return;
        }
        self.fail(name, unknown(name, arguments));
    }
}

/// The field that a path begins with, where it is written down.
fn first_field(Path(parts): &Path<Term<&str>>) -> Option<String> {
    let Some((Part::Index(Term::Str(None, text)), _)) = parts.first() else { return None };
    match text.as_slice() {
        [] => Some(String::new()),
        [StrPart::Str(field)] => Some((*field).to_string()),
        _ => None,
    }
}

/// Functions of the whole interpreter, with their numbers of arguments.
fn known() -> &'static BTreeMap<String, BTreeSet<usize>> {
    static KNOWN: OnceLock<BTreeMap<String, BTreeSet<usize>>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let mut known: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for (name, arguments) in crate::whole::signatures() {
            known.entry(name).or_default().insert(arguments);
        }
        known
    })
}

fn is_known(name: &str, arguments: usize) -> bool {
    crate::closed::function(name, arguments).is_some()
        || known().get(name).is_some_and(|arities| arities.contains(&arguments))
}

fn unknown(name: &str, arguments: usize) -> String {
    if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return format!("`{name}` is not available: {why}");
    }
    if name.contains("::") {
        return format!("`{name}`: expressions have no modules");
    }
    if let Some(arities) = known().get(name) {
        let arities: Vec<String> = arities.iter().map(usize::to_string).collect();
        let noun = if arities == ["1"] { "argument" } else { "arguments" };
        return format!("`{name}` takes {} {noun}, not {arguments}", arities.join(" or "));
    }
    match nearest(name) {
        Some(near) => format!("no function is called `{name}`; did you mean `{near}`?"),
        None => format!("no function is called `{name}`"),
    }
}

/// The function with the most similar name, if it is similar enough to be meant.
fn nearest(name: &str) -> Option<&'static str> {
    let tolerance = if name.len() <= 3 { 1 } else { 2 };
    let names = known().keys().filter(|known| !known.starts_with('!'));
    let (distance, near) = names.map(|known| (distance(name, known), known.as_str())).min()?;
    (distance <= tolerance).then_some(near)
}

/// Letters to insert, drop or exchange to get from one name to the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, left) in from.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (place, right) in to.bytes().enumerate() {
            let exchanged = diagonal + usize::from(left != right);
            diagonal = row[place + 1];
            row[place + 1] = exchanged.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row[to.len()]
}
