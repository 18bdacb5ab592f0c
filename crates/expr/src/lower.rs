//! From jaq's syntax tree to the tree that is evaluated here, if all of it is on the closed list.
//!
//! What is left out is left out for a reason: definitions can recurse, `catch` can read the text of
//! an error (which has values in it), formats and regular expressions can take their time. `None`
//! therefore is no error: such an expression is evaluated outside.

use std::sync::Arc;

use base::Value;
use base::value::string;
use jaq_core::ValT;
use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{self, BinaryOp};
use jaq_core::ops::Math;
use jaq_core::path::{Opt, Part as JaqPart, Path};
use jaq_json::Num;
use jaq_std::ValT as _;

use crate::closed::{self, Function};
use crate::syntax::offset;
use crate::term::{Assign, Fold, Form, How, Kind, Part, Pattern, Piece, Step, Term, Writing};

/// Terms that are evaluated within each other at once. Each takes a few stack frames.
pub(crate) const DEPTH_MAX: u32 = 150;

/// Digits of a number in an expression. Longer ones are data.
const NUMBER_BYTES_MAX: usize = 40;

type Source<'s> = parse::Term<&'s str>;

pub(crate) fn lower<'s>(text: &'s str, term: &Source<'s>, globals: &[Arc<str>]) -> Option<Term> {
    let mut lowering = Lowering { text, globals, locals: Vec::new(), cursor: 0 };
    lowering.term(term).filter(|term| term.depth <= DEPTH_MAX)
}

struct Lowering<'s, 'g> {
    text: &'s str,
    globals: &'g [Arc<str>],
    /// Variables in scope, without `$`, the innermost last.
    locals: Vec<&'s str>,
    /// End of the last piece of text seen. The tree is walked in the order of its text, so an
    /// operator, which jaq keeps no place of, is the next of its kind from here.
    cursor: usize,
}

impl<'s> Lowering<'s, '_> {
    fn at(&mut self, part: &str) -> u32 {
        let at = offset(self.text, part);
        self.cursor = at + part.len();
        at as u32
    }

    fn operator(&mut self, symbol: &str) -> u32 {
        let from = self.cursor.min(self.text.len());
        match self.text.get(from..).and_then(|rest| rest.find(symbol)) {
            Some(ahead) => {
                self.cursor = from + ahead + symbol.len();
                (from + ahead) as u32
            }
            None => from as u32,
        }
    }

    fn boxed(&mut self, term: &Source<'s>) -> Option<Box<Term>> {
        self.term(term).map(Box::new)
    }

    fn term(&mut self, term: &Source<'s>) -> Option<Term> {
        Some(match term {
            parse::Term::Id => Kind::Input.into(),
            parse::Term::Recurse => Kind::Recurse.into(),
            parse::Term::Num(number) => self.number(number)?,
            parse::Term::Str(format, parts) => self.format(format.as_deref(), parts)?,
            parse::Term::Arr(None) => Kind::Array(None).into(),
            parse::Term::Arr(Some(items)) => Kind::Array(Some(self.boxed(items)?)).into(),
            parse::Term::Obj(entries) => self.object(entries)?,
            parse::Term::Neg(term) => {
                let at = self.operator("-");
                match self.term(term)? {
                    Term { kind: Kind::Const(value @ Value::Num(_)), .. } => {
                        Kind::Const((-value).ok()?).into()
                    }
                    term => Kind::Negate(Box::new(term), at).into(),
                }
            }
            parse::Term::BinOp(left, operator, right) => self.binary(left, operator, right)?,
            parse::Term::Fold(name, source, pattern, arguments) => {
                self.fold(name, source, pattern, arguments)?
            }
            parse::Term::TryCatch(body, handler) => {
                let body = self.boxed(body)?;
                let handler = match handler {
                    None => None,
                    Some(handler) if reads_no_input(handler) => Some(self.boxed(handler)?),
                    Some(_) => return None,
                };
                Kind::Try(body, handler).into()
            }
            parse::Term::IfThenElse(branches, otherwise) => {
                self.branches(branches, otherwise.as_deref())?
            }
            parse::Term::Call(name, arguments) => self.call(name, arguments)?,
            parse::Term::Var(name) => self.variable(name)?,
            parse::Term::Path(base, path) => {
                let base = self.boxed(base)?;
                Kind::Path(base, self.parts(path)?).into()
            }
            parse::Term::Label(..) | parse::Term::Break(_) | parse::Term::Def(..) => return None,
        })
    }

    fn number(&mut self, number: &str) -> Option<Term> {
        self.at(number);
        if number.len() > NUMBER_BYTES_MAX {
            return None;
        }
        let value = match number.parse() {
            Ok(integer) => Value::Num(Num::Int(integer)),
            Err(_) => Value::from_num(number).ok()?,
        };
        Some(Kind::Const(value).into())
    }

    fn format(
        &mut self,
        format: Option<&str>,
        parts: &[StrPart<&'s str, Source<'s>>],
    ) -> Option<Term> {
        let writing = match format {
            None | Some("@text") => Writing::Text,
            Some("@json") => Writing::Json,
            Some(_) => return None,
        };
        let mut pieces: Vec<Piece> = Vec::new();
        let mut text = String::new();
        for part in parts {
            match part {
                StrPart::Str(part) => {
                    self.at(part);
                    text.push_str(part);
                }
                StrPart::Char(char) => text.push(*char),
                StrPart::Term(term) => {
                    if !text.is_empty() {
                        pieces.push(Piece::Text(string(&std::mem::take(&mut text))));
                    }
                    pieces.push(Piece::Value(self.term(term)?, writing));
                }
            }
        }
        if pieces.is_empty() {
            return Some(Kind::Const(string(&text)).into());
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(string(&text)));
        }
        Some(Kind::Format(pieces.into()).into())
    }

    fn object(&mut self, entries: &[(Source<'s>, Option<Source<'s>>)]) -> Option<Term> {
        let mut lowered = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            lowered.push(match (key, value) {
                (parse::Term::Var(name), None) => {
                    let value = self.variable(name)?;
                    (Kind::Const(string(&name[1..])).into(), value)
                }
                // `{a}` is `{a: .a}`.
                (key, None) => {
                    let key = self.term(key)?;
                    let Kind::Const(constant) = &key.kind else { return None };
                    let at = self.cursor as u32;
                    let part = Part { step: Step::Key(constant.clone()), optional: false, at };
                    let value = Kind::Path(Box::new(Kind::Input.into()), [part].into());
                    (key, value.into())
                }
                (key, Some(value)) => (self.term(key)?, self.term(value)?),
            });
        }
        Some(Kind::Object(lowered.into()).into())
    }

    fn binary(
        &mut self,
        left: &Source<'s>,
        operator: &BinaryOp<&'s str>,
        right: &Source<'s>,
    ) -> Option<Term> {
        let assigned = match operator {
            BinaryOp::Assign => Some(("=", How::Set)),
            BinaryOp::Update => Some(("|=", How::Update)),
            BinaryOp::UpdateMath(math) => Some((math.as_str(), How::Math(*math))),
            BinaryOp::UpdateAlt => Some(("//=", How::Alternative)),
            _ => None,
        };
        if let Some((symbol, how)) = assigned {
            let places = self.places(left)?;
            let at = self.operator(symbol);
            let right = self.term(right)?;
            return Some(Kind::Assign(Box::new(Assign { places, how, right, at })).into());
        }
        let left = self.boxed(left)?;
        Some(match operator {
            BinaryOp::Pipe(None) => Kind::Pipe(left, self.boxed(right)?).into(),
            BinaryOp::Pipe(Some(pattern)) => {
                let before = self.locals.len();
                let pattern = self.pattern(pattern)?;
                let right = self.boxed(right);
                self.locals.truncate(before);
                Kind::Bind(left, pattern, right?).into()
            }
            BinaryOp::Comma => Kind::Comma(left, self.boxed(right)?).into(),
            BinaryOp::Alt => Kind::Alternative(left, self.boxed(right)?).into(),
            BinaryOp::Or => Kind::Logic(left, true, self.boxed(right)?).into(),
            BinaryOp::And => Kind::Logic(left, false, self.boxed(right)?).into(),
            BinaryOp::Math(math) => {
                let at = self.operator(math.as_str());
                let right = self.boxed(right)?;
                Kind::Math(exact(left), *math, exact(right), at).into()
            }
            BinaryOp::Cmp(compare) => {
                let right = self.boxed(right)?;
                Kind::Compare(exact(left), *compare, exact(right)).into()
            }
            BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt => {
                return None;
            }
        })
    }

    /// The left side of an assignment: paths from the input, step by step.
    fn places(&mut self, term: &Source<'s>) -> Option<Box<[Box<[Part]>]>> {
        match term {
            parse::Term::BinOp(left, BinaryOp::Comma, right) => {
                let mut places = self.places(left)?.into_vec();
                places.extend(self.places(right)?);
                Some(places.into())
            }
            parse::Term::Path(base, path) if matches!(**base, parse::Term::Id) => {
                Some([self.parts(path)?].into())
            }
            _ => None,
        }
    }

    fn parts(&mut self, Path(parts): &Path<Source<'s>>) -> Option<Box<[Part]>> {
        parts.iter().map(|(part, optional)| self.part(part, *optional)).collect()
    }

    fn part(&mut self, part: &JaqPart<Source<'s>>, optional: Opt) -> Option<Part> {
        let before = self.cursor;
        let step = match part {
            JaqPart::Index(index) => {
                let index = self.term(index)?;
                match index.kind {
                    Kind::Const(key @ Value::TStr(_)) => Step::Key(key),
                    _ if index.single => Step::Index(index),
                    _ => return None,
                }
            }
            JaqPart::Range(None, None) => Step::All,
            JaqPart::Range(from, upto) => {
                let from = from
                    .as_ref()
                    .map(|from| self.term(from))
                    .map_or(Some(None), |t| t.map(Some))?;
                let upto = upto
                    .as_ref()
                    .map(|upto| self.term(upto))
                    .map_or(Some(None), |t| t.map(Some))?;
                if from.iter().chain(&upto).any(|bound| !bound.single) {
                    return None;
                }
                Step::Slice(from, upto)
            }
        };
        let after = self.text.get(before..).unwrap_or_default();
        let at = before + after.find(['.', '[']).unwrap_or(0);
        if let Step::All = step {
            self.operator("]");
        }
        Some(Part { step, optional: matches!(optional, Opt::Optional), at: at as u32 })
    }

    fn pattern(&mut self, pattern: &parse::Pattern<&'s str>) -> Option<Pattern> {
        Some(match pattern {
            parse::Pattern::Var(name) => {
                self.at(name);
                self.locals.push(&name[1..]);
                Pattern::Variable
            }
            parse::Pattern::Arr(patterns) => {
                let mut parts = Vec::new();
                for (place, pattern) in patterns.iter().enumerate() {
                    let at = self.cursor as u32;
                    let key = Kind::Const(Value::from(place)).into();
                    parts.push((key, self.pattern(pattern)?, at));
                }
                Pattern::Parts(parts.into())
            }
            parse::Pattern::Obj(entries) => {
                let mut parts = Vec::new();
                for (key, pattern) in entries {
                    // A key that reads variables would see those of the pattern itself here.
                    let key = self.term(key).filter(|key| matches!(key.kind, Kind::Const(_)))?;
                    let at = self.cursor as u32;
                    parts.push((key, self.pattern(pattern)?, at));
                }
                Pattern::Parts(parts.into())
            }
        })
    }

    fn fold(
        &mut self,
        name: &'s str,
        source: &Source<'s>,
        pattern: &parse::Pattern<&'s str>,
        arguments: &[Source<'s>],
    ) -> Option<Term> {
        self.at(name);
        let (start, update, output) = match arguments {
            [start, update] => (start, update, None),
            [start, update, output] => (start, update, Some(output)),
            _ => return None,
        };
        let source = self.term(source)?;
        let before = self.locals.len();
        let pattern = self.pattern(pattern)?;
        let bound = self.locals.split_off(before);
        let start = self.term(start)?;
        self.locals.extend(bound);
        let update = self.term(update)?;
        let output = output.map(|output| self.term(output)).map_or(Some(None), |t| t.map(Some))?;
        self.locals.truncate(before);
        let each = (name == "foreach").then_some(output);
        let growth = growth(&update);
        Some(Kind::Fold(Box::new(Fold { source, pattern, start, update, each, growth })).into())
    }

    fn branches(
        &mut self,
        branches: &[(Source<'s>, Source<'s>)],
        otherwise: Option<&Source<'s>>,
    ) -> Option<Term> {
        let mut lowered = Vec::with_capacity(branches.len());
        for (condition, then) in branches {
            lowered.push((self.boxed(condition)?, self.boxed(then)?));
        }
        let otherwise = match otherwise {
            Some(otherwise) => self.term(otherwise)?,
            None => Kind::Input.into(),
        };
        Some(lowered.into_iter().rev().fold(otherwise, |otherwise, (condition, then)| {
            Kind::If(condition, then, Box::new(otherwise)).into()
        }))
    }

    fn variable(&mut self, name: &'s str) -> Option<Term> {
        self.at(name);
        let name = &name[1..];
        if let Some(outward) = self.locals.iter().rev().position(|local| *local == name) {
            return Some(Kind::Local(outward).into());
        }
        let global = self.globals.binary_search_by(|global| (**global).cmp(name)).ok()?;
        Some(Kind::Global(global).into())
    }

    fn call(&mut self, name: &'s str, arguments: &[Source<'s>]) -> Option<Term> {
        let at = self.at(name);
        match (name, arguments) {
            ("@text", []) => return self.call_plain("tostring", at),
            ("@json", []) => return self.call_plain("tojson", at),
            ("true", []) => return Some(Kind::Const(Value::Bool(true)).into()),
            ("false", []) => return Some(Kind::Const(Value::Bool(false)).into()),
            ("null", []) => return Some(Kind::Const(Value::Null).into()),
            _ => {}
        }
        let function = closed::function(name, arguments.len())?;
        if let Function::Delete = function {
            let [place] = arguments else { return None };
            let places = self.places(place)?;
            let right = Kind::Form(Form::Empty, [].into(), at).into();
            let assign = Assign { places, how: How::Update, right, at };
            return Some(Kind::Assign(Box::new(assign)).into());
        }
        let mut arguments: Vec<Term> =
            arguments.iter().map(|argument| self.term(argument)).collect::<Option<_>>()?;
        Some(match function {
            Function::Plain(function) => Kind::Plain(function, at).into(),
            Function::Unary(function) => {
                Kind::Unary(function, Box::new(arguments.pop()?), at).into()
            }
            Function::Power => {
                let (exponent, base) = (arguments.pop()?, arguments.pop()?);
                Kind::Power(Box::new(base), Box::new(exponent), at).into()
            }
            Function::Recurse => Kind::Recurse.into(),
            Function::Form(form) => Kind::Form(form, arguments.into(), at).into(),
            Function::MapValues => {
                let part = Part { step: Step::All, optional: false, at };
                let places = [[part].into()].into();
                let right = arguments.pop()?;
                Kind::Assign(Box::new(Assign { places, how: How::Update, right, at })).into()
            }
            Function::Delete => return None,
        })
    }

    fn call_plain(&mut self, name: &str, at: u32) -> Option<Term> {
        match closed::function(name, 0)? {
            Function::Plain(function) => Some(Kind::Plain(function, at).into()),
            _ => None,
        }
    }
}

/// Numbers with a fraction are kept as text by jaq, and read again for each calculation. As the
/// operand of one, the number itself does the same.
fn exact(term: Box<Term>) -> Box<Term> {
    match &term.kind {
        Kind::Const(number @ Value::Num(Num::Dec(_))) => match number.as_f64() {
            Some(float) => Box::new(Kind::Const(Value::from(float)).into()),
            None => term,
        },
        _ => term,
    }
}

/// Whether a handler of `catch` leaves the text of the error alone.
fn reads_no_input(term: &Source<'_>) -> bool {
    match term {
        parse::Term::Num(_) | parse::Term::Var(_) | parse::Term::Arr(None) => true,
        parse::Term::Str(None, parts) => parts.iter().all(|part| match part {
            StrPart::Term(term) => reads_no_input(term),
            StrPart::Str(_) | StrPart::Char(_) => true,
        }),
        parse::Term::Arr(Some(term)) | parse::Term::Neg(term) => reads_no_input(term),
        parse::Term::Obj(entries) => entries.iter().all(|(key, value)| {
            reads_no_input(key)
                && match value {
                    Some(value) => reads_no_input(value),
                    None => matches!(key, parse::Term::Var(_)),
                }
        }),
        parse::Term::Call(name, arguments) => {
            arguments.is_empty() && matches!(*name, "null" | "true" | "false" | "empty")
        }
        parse::Term::BinOp(left, BinaryOp::Math(_) | BinaryOp::Comma, right) => {
            reads_no_input(left) && reads_no_input(right)
        }
        _ => false,
    }
}

/// How many levels one evaluation may add to the nesting of what it reads: at most one for each
/// place that builds something. Loops inside count as one, since they check their own state.
fn growth(term: &Term) -> u32 {
    let below = |terms: &mut dyn Iterator<Item = &Term>| terms.map(growth).sum::<u32>();
    match &term.kind {
        Kind::Input | Kind::Const(_) | Kind::Local(_) | Kind::Global(_) | Kind::Recurse => 0,
        Kind::Path(base, parts) => {
            let inner = parts.iter().map(|part| match &part.step {
                Step::Key(_) | Step::All => 0,
                Step::Index(index) => growth(index),
                Step::Slice(from, upto) => from.iter().chain(upto).map(growth).sum(),
            });
            growth(base) + inner.sum::<u32>() + 1
        }
        Kind::Array(items) => 1 + items.as_ref().map_or(0, |items| growth(items)),
        Kind::Object(entries) => {
            1 + entries.iter().map(|(key, value)| growth(key) + growth(value)).sum::<u32>()
        }
        Kind::Format(pieces) => pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(_) => 0,
                Piece::Value(term, _) => growth(term),
            })
            .sum(),
        Kind::Negate(term, _) => growth(term),
        Kind::Math(left, Math::Add | Math::Sub, right, _)
        | Kind::Comma(left, right)
        | Kind::Alternative(left, right)
        | Kind::Pipe(left, right)
        | Kind::Bind(left, _, right) => growth(left) + growth(right),
        // Merging objects, splitting text.
        Kind::Math(left, _, right, _) => 1 + growth(left) + growth(right),
        Kind::Compare(left, _, right)
        | Kind::Logic(left, _, right)
        | Kind::Power(left, right, _) => growth(left) + growth(right),
        Kind::If(condition, then, otherwise) => {
            growth(condition) + growth(then) + growth(otherwise)
        }
        Kind::Try(body, handler) => growth(body) + handler.as_ref().map_or(0, |term| growth(term)),
        Kind::Fold(fold) => 1 + growth(&fold.source) + growth(&fold.start) + growth(&fold.update),
        // A key that was not there brings its own objects.
        Kind::Assign(assign) => {
            assign.places.iter().map(|place| place.len() as u32).sum::<u32>()
                + 1
                + growth(&assign.right)
        }
        // `to_entries` adds two levels; nothing adds more.
        Kind::Plain(..) => 2,
        Kind::Unary(_, argument, _) => 2 + growth(argument),
        Kind::Form(_, arguments, _) => 2 + below(&mut arguments.iter()),
    }
}
