//! The evaluator: one tree, walked with fuel.
//!
//! Two ways through a term. [`Machine::look`] is for terms with exactly one output and gives it
//! back, borrowed where it is a part of something that exists. [`Machine::each`] is for all others
//! and hands each output to a reader, which may stop the walk by [`Halt::Enough`].
//!
//! Outputs and their order are jaq's. One of its habits needs care: an operator whose left side
//! fails and whose right side has no output fails nothing ([`Machine::is_empty_product`]).

use std::borrow::Cow;

use base::Value;
use base::value::{array, is_true, kind};

use crate::fail::{Halt, Refused, What};
use crate::fuel::Fuel;
use crate::function::calculate::{calculate, compare, index, items, negate, slice};
use crate::function::{math, text, value};
use crate::term::{Kind, Part, Pattern, Piece, Step, Term, Writing};

pub(crate) type Flow = Result<(), Halt>;
pub(crate) type Reader<'r> = &'r mut dyn FnMut(Value) -> Flow;

static NULL: Value = Value::Null;

pub(crate) struct Machine<'m> {
    pub fuel: Fuel,
    pub globals: &'m [Value],
}

/// Variables bound so far, the innermost first.
pub(crate) type Scope<'e> = Option<&'e Bound<'e>>;

pub(crate) struct Bound<'e> {
    value: Value,
    outer: Scope<'e>,
}

impl Machine<'_> {
    pub(crate) fn one(&self, term: &Term, scope: Scope<'_>, input: &Value) -> Result<Value, Halt> {
        self.look(term, scope, input).map(Cow::into_owned)
    }

    /// The output of a term that has exactly one.
    pub(crate) fn look<'v>(
        &'v self,
        term: &'v Term,
        scope: Scope<'v>,
        input: &'v Value,
    ) -> Result<Cow<'v, Value>, Halt> {
        self.fuel.spend(1)?;
        match &term.kind {
            Kind::Input => Ok(Cow::Borrowed(input)),
            Kind::Const(value) => Ok(Cow::Borrowed(value)),
            Kind::Local(outward) => Ok(Cow::Borrowed(local(scope, *outward))),
            Kind::Global(place) => Ok(Cow::Borrowed(&self.globals[*place])),
            Kind::Path(base, parts) => self.look_path(base, parts, scope, input),
            Kind::Pipe(left, right) => match self.look(left, scope, input)? {
                Cow::Borrowed(middle) => self.look(right, scope, middle),
                Cow::Owned(middle) => self.one(right, scope, &middle).map(Cow::Owned),
            },
            Kind::If(condition, then, otherwise) => {
                let branch = if self.holds(condition, scope, input)? { then } else { otherwise };
                self.look(branch, scope, input)
            }
            Kind::Alternative(left, right) => {
                let left = self.look(left, scope, input)?;
                if is_true(&left) { Ok(left) } else { self.look(right, scope, input) }
            }
            Kind::Compare(left, operator, right) => {
                let (left, right) = self.both(left, right, scope, input)?;
                Ok(Cow::Owned(Value::Bool(compare(&self.fuel, &left, *operator, &right)?)))
            }
            Kind::Math(left, operator, right, at) => {
                let (left, right) = self.both(left, right, scope, input)?;
                owned(calculate(&self.fuel, left, *operator, right), *at)
            }
            Kind::Logic(left, stop, right) => {
                let left = self.holds(left, scope, input)?;
                let truth = if left == *stop { left } else { self.holds(right, scope, input)? };
                Ok(Cow::Owned(Value::Bool(truth)))
            }
            Kind::Plain(function, at) => owned(function(&self.fuel, input), *at),
            Kind::Unary(function, argument, at) => {
                let argument = self.look(argument, scope, input)?;
                owned(function(&self.fuel, input, &argument), *at)
            }
            Kind::Object(entries) => self.object(entries, scope, input).map(Cow::Owned),
            Kind::Array(items) => self.array(items.as_deref(), scope, input).map(Cow::Owned),
            _ => self.one_rare(term, scope, input).map(Cow::Owned),
        }
    }

    /// Both sides of an operator.
    fn both<'v>(
        &'v self,
        left: &'v Term,
        right: &'v Term,
        scope: Scope<'v>,
        input: &'v Value,
    ) -> Result<(Cow<'v, Value>, Cow<'v, Value>), Halt> {
        let left = self.look_before(left, [right], scope, input)?;
        Ok((left, self.look(right, scope, input)?))
    }

    /// The output of one side of a product, `rest` being the sides after it. A side that fails has not
    /// failed the whole where a later one must be asked outside: that one may turn out to have no
    /// output, such as `tonumber` of an empty text.
    fn look_before<'v, 't>(
        &'v self,
        side: &'v Term,
        rest: impl IntoIterator<Item = &'t Term>,
        scope: Scope<'v>,
        input: &'v Value,
    ) -> Result<Cow<'v, Value>, Halt> {
        self.look(side, scope, input).map_err(|halt| {
            let is_outside = |later| matches!(self.look(later, scope, input), Err(Halt::Outside));
            match halt {
                Halt::Fail(_) if rest.into_iter().any(is_outside) => Halt::Outside,
                other => other,
            }
        })
    }

    fn one_rare(&self, term: &Term, scope: Scope<'_>, input: &Value) -> Result<Value, Halt> {
        match &term.kind {
            Kind::Format(pieces) => self.format(pieces, scope, input),
            Kind::Negate(operand, at) => {
                negate(self.one(operand, scope, input)?).map_err(|refused| refused.at(*at))
            }
            Kind::Power(base, exponent, at) => {
                let (base, exponent) = self.both(base, exponent, scope, input)?;
                math::pow(&base, &exponent).map_err(|refused| refused.at(*at))
            }
            Kind::Bind(left, pattern, right) => {
                let left = self.one(left, scope, input)?;
                let mut output = None;
                self.bind(pattern, left, scope, &mut |scope| {
                    output = Some(self.one(right, scope, input)?);
                    Ok(())
                })?;
                Ok(output.expect("a pattern of constant keys binds exactly once"))
            }
            Kind::Form(form, arguments, at) => self.form_one(*form, arguments, *at, scope, input),
            Kind::Assign(assign) => {
                let mut output = None;
                self.assign(assign, scope, input, &mut |value| {
                    output = Some(value);
                    Ok(())
                })?;
                Ok(output.expect("an assignment of one value has one output"))
            }
            _ => unreachable!("`Kind::is_single` names no other kind"),
        }
    }

    fn holds(&self, term: &Term, scope: Scope<'_>, input: &Value) -> Result<bool, Halt> {
        self.look(term, scope, input).map(|value| is_true(&value))
    }

    /// Hands every output to the reader, in order.
    pub(crate) fn each(
        &self,
        term: &Term,
        scope: Scope<'_>,
        input: &Value,
        out: Reader<'_>,
    ) -> Flow {
        if term.single {
            return out(self.one(term, scope, input)?);
        }
        self.fuel.spend(1)?;
        match &term.kind {
            Kind::Comma(left, right) => {
                self.each(left, scope, input, out)?;
                self.each(right, scope, input, out)
            }
            Kind::Pipe(left, right) => {
                self.each(left, scope, input, &mut |middle| self.each(right, scope, &middle, out))
            }
            Kind::Bind(left, pattern, right) => self.each(left, scope, input, &mut |bound| {
                self.bind(pattern, bound, scope, &mut |scope| self.each(right, scope, input, out))
            }),
            Kind::If(condition, then, otherwise) => {
                self.each(condition, scope, input, &mut |truth| {
                    let branch = if is_true(&truth) { then } else { otherwise };
                    self.each(branch, scope, input, out)
                })
            }
            Kind::Path(base, parts) => self.each_path(base, parts, scope, input, out),
            Kind::Recurse => self.recurse(input, out),
            Kind::Try(body, handler) => self.attempt(body, handler.as_deref(), scope, input, out),
            Kind::Form(form, arguments, at) => {
                self.form_each(*form, arguments, *at, scope, input, out)
            }
            Kind::Fold(fold) => self.fold(fold, scope, input, out),
            Kind::Assign(assign) => self.assign(assign, scope, input, out),
            _ => self.each_operator(term, scope, input, out),
        }
    }

    fn each_operator(&self, term: &Term, scope: Scope<'_>, input: &Value, out: Reader<'_>) -> Flow {
        match &term.kind {
            Kind::Alternative(left, right) => {
                let mut any = false;
                self.each(left, scope, input, &mut |value| {
                    if !is_true(&value) {
                        return Ok(());
                    }
                    any = true;
                    out(value)
                })?;
                if any { Ok(()) } else { self.each(right, scope, input, out) }
            }
            Kind::Logic(left, stop, right) => self.each(left, scope, input, &mut |left| {
                if is_true(&left) == *stop {
                    return out(Value::Bool(*stop));
                }
                self.each(right, scope, input, &mut |right| out(Value::Bool(is_true(&right))))
            }),
            Kind::Compare(left, operator, right) => {
                self.product(&[&**left, &**right], scope, input, &mut |sides| {
                    let truth = compare(&self.fuel, &sides[0], *operator, &sides[1])?;
                    out(Value::Bool(truth))
                })
            }
            Kind::Math(left, operator, right, at) => {
                self.product(&[&**left, &**right], scope, input, &mut |sides| {
                    let [left, right] = [0, 1].map(|side| Cow::Owned(sides[side].clone()));
                    let result = calculate(&self.fuel, left, *operator, right);
                    out(result.map_err(|refused| refused.at(*at))?)
                })
            }
            Kind::Power(base, exponent, at) => self.each(base, scope, input, &mut |base| {
                self.each(exponent, scope, input, &mut |exponent| {
                    out(math::pow(&base, &exponent).map_err(|refused| refused.at(*at))?)
                })
            }),
            _ => self.each_made(term, scope, input, out),
        }
    }

    /// Objects, strings, and functions of one argument.
    fn each_made(&self, term: &Term, scope: Scope<'_>, input: &Value, out: Reader<'_>) -> Flow {
        match &term.kind {
            Kind::Object(entries) => {
                let sides: Vec<&Term> =
                    entries.iter().flat_map(|(key, value)| [key, value]).collect();
                self.product(&sides, scope, input, &mut |sides| {
                    let mut map = jaq_json::Map::default();
                    for pair in sides.chunks(2) {
                        self.fuel.spend(1)?;
                        value::insert(&self.fuel, &mut map, pair[0].clone(), pair[1].clone())
                            .map_err(|refused| refused.at(0))?;
                    }
                    out(Value::obj(map))
                })
            }
            Kind::Format(pieces) => {
                let sides: Vec<&Term> = terms(pieces).collect();
                self.product(&sides, scope, input, &mut |sides| {
                    out(self.join(pieces, &mut sides.iter().map(Cow::Borrowed))?)
                })
            }
            Kind::Negate(operand, at) => self.each(operand, scope, input, &mut |value| {
                out(negate(value).map_err(|refused| refused.at(*at))?)
            }),
            Kind::Unary(function, argument, at) => {
                self.each(argument, scope, input, &mut |argument| {
                    let answer = function(&self.fuel, input, &argument);
                    out(answer.map_err(|refused| refused.at(*at))?)
                })
            }
            _ => unreachable!("`Machine::each` handles all other kinds"),
        }
    }

    /// Every combination of the outputs of several terms, the first changing slowest.
    fn product(
        &self,
        sides: &[&Term],
        scope: Scope<'_>,
        input: &Value,
        out: &mut dyn FnMut(&[Value]) -> Flow,
    ) -> Flow {
        let mut found = Vec::with_capacity(sides.len());
        self.product_from(sides, &mut found, scope, input, out)
    }

    fn product_from(
        &self,
        sides: &[&Term],
        found: &mut Vec<Value>,
        scope: Scope<'_>,
        input: &Value,
        out: &mut dyn FnMut(&[Value]) -> Flow,
    ) -> Flow {
        let Some((first, rest)) = sides.split_first() else { return out(found) };
        // What the reader said is not for us to judge.
        let mut said = None;
        let flow = self.each(first, scope, input, &mut |value| {
            found.push(value);
            let flow = self.product_from(rest, found, scope, input, out);
            found.pop();
            flow.map_err(|halt| {
                said = Some(halt);
                Halt::Enough
            })
        });
        match (said, flow) {
            (Some(halt), _) => Err(halt),
            (None, Err(halt @ Halt::Fail(_))) => {
                if self.is_empty_product(rest, scope, input)? {
                    Ok(())
                } else {
                    Err(halt)
                }
            }
            (None, flow) => flow,
        }
    }

    /// Whether any side has no output at all. One that fails has one.
    fn is_empty_product(
        &self,
        sides: &[&Term],
        scope: Scope<'_>,
        input: &Value,
    ) -> Result<bool, Halt> {
        for side in sides {
            // A side that usually has one output may have to be asked outside (`tonumber` of an empty
            // text has none), so it is tried like any other.
            match self.each(side, scope, input, &mut |_| Err(Halt::Enough)) {
                Ok(()) => return Ok(true),
                Err(Halt::Outside) => return Err(Halt::Outside),
                Err(Halt::Enough | Halt::Fail(_)) => {}
            }
        }
        Ok(false)
    }

    fn attempt(
        &self,
        body: &Term,
        handler: Option<&Term>,
        scope: Scope<'_>,
        input: &Value,
        out: Reader<'_>,
    ) -> Flow {
        let mut said = None;
        let flow = self.each(body, scope, input, &mut |value| {
            out(value).map_err(|halt| {
                said = Some(halt);
                Halt::Enough
            })
        });
        match (said, flow) {
            (Some(halt), _) => Err(halt),
            (None, Err(Halt::Fail(_))) => match handler {
                Some(handler) => self.each(handler, scope, &NULL, out),
                None => Ok(()),
            },
            (None, flow) => flow,
        }
    }

    fn array(&self, items: Option<&Term>, scope: Scope<'_>, input: &Value) -> Result<Value, Halt> {
        let mut collected = Vec::new();
        if let Some(items) = items {
            self.each(items, scope, input, &mut |value| {
                self.fuel.spend(1)?;
                collected.push(value);
                Ok(())
            })?;
        }
        Ok(array(collected))
    }

    fn object(
        &self,
        entries: &[(Term, Term)],
        scope: Scope<'_>,
        input: &Value,
    ) -> Result<Value, Halt> {
        let mut map = jaq_json::Map::with_capacity_and_hasher(entries.len(), Default::default());
        for (place, (key, value)) in entries.iter().enumerate() {
            let later = || entries[place + 1..].iter().flat_map(|(key, value)| [key, value]);
            let rest = std::iter::once(value).chain(later());
            let key = self.look_before(key, rest, scope, input)?.into_owned();
            let value = self.look_before(value, later(), scope, input)?.into_owned();
            value::insert(&self.fuel, &mut map, key, value).map_err(|refused| refused.at(0))?;
        }
        Ok(Value::obj(map))
    }

    fn format(&self, pieces: &[Piece], scope: Scope<'_>, input: &Value) -> Result<Value, Halt> {
        let mut values = Vec::with_capacity(pieces.len());
        let mut sides = terms(pieces);
        while let Some(side) = sides.next() {
            values.push(self.look_before(side, sides.clone(), scope, input)?);
        }
        self.join(pieces, &mut values.into_iter())
    }

    fn join<'v>(
        &self,
        pieces: &[Piece],
        values: &mut dyn Iterator<Item = Cow<'v, Value>>,
    ) -> Result<Value, Halt> {
        let mut joined = Vec::new();
        for piece in pieces {
            let appended = match piece {
                Piece::Text(part) => text::append(&self.fuel, &mut joined, part),
                Piece::Value(_, writing) => {
                    let value = values.next().expect("one value for each place");
                    match writing {
                        Writing::Text => text::append(&self.fuel, &mut joined, &value),
                        Writing::Json => text::append_json(&self.fuel, &mut joined, &value),
                    }
                }
            };
            appended.map_err(|refused| refused.at(0))?;
        }
        Ok(Value::utf8_str(joined))
    }

    fn look_path<'v>(
        &'v self,
        base: &'v Term,
        parts: &'v [Part],
        scope: Scope<'v>,
        input: &'v Value,
    ) -> Result<Cow<'v, Value>, Halt> {
        match self.look(base, scope, input)? {
            Cow::Borrowed(value) => self.walk(value, parts, scope, input),
            Cow::Owned(value) => {
                let found = self.walk(&value, parts, scope, input)?;
                Ok(Cow::Owned(found.into_owned()))
            }
        }
    }

    /// Follows a path whose steps all have one output.
    fn walk<'v>(
        &'v self,
        mut value: &'v Value,
        parts: &'v [Part],
        scope: Scope<'_>,
        input: &Value,
    ) -> Result<Cow<'v, Value>, Halt> {
        for (place, part) in parts.iter().enumerate() {
            self.fuel.spend(1)?;
            value = match (&part.step, value) {
                (Step::Key(key), Value::Obj(map)) => map.get(key).unwrap_or(&NULL),
                (Step::Key(_), Value::Null) => &NULL,
                _ => {
                    let keys = self.keys(part, scope, input)?;
                    let next = self.step(part, value, &keys)?;
                    let found = self.walk(&next, &parts[place + 1..], scope, input)?;
                    return Ok(Cow::Owned(found.into_owned()));
                }
            };
        }
        Ok(Cow::Borrowed(value))
    }

    /// What is between the brackets, evaluated on the whole expression's input.
    pub(crate) fn keys(&self, part: &Part, scope: Scope<'_>, input: &Value) -> Result<Keys, Halt> {
        let bound = |term: &Option<Term>| match term {
            Some(term) => self.one(term, scope, input).map(Some),
            None => Ok(None),
        };
        Ok(match &part.step {
            Step::Key(_) | Step::All => Keys::None,
            Step::Index(index) => Keys::Index(self.one(index, scope, input)?),
            Step::Slice(from, upto) => Keys::Slice(bound(from)?, bound(upto)?),
        })
    }

    fn step(&self, part: &Part, value: &Value, keys: &Keys) -> Result<Value, Halt> {
        let answer = match (&part.step, keys) {
            (Step::Key(key), _) | (_, Keys::Index(key)) => index(&self.fuel, value, key),
            (_, Keys::Slice(from, upto)) => slice(&self.fuel, value, from.as_ref(), upto.as_ref()),
            (_, Keys::None) => Err(Refused::What(What::Iterate(kind(value)))),
        };
        answer.map_err(|refused| refused.at(part.at))
    }

    fn each_path(
        &self,
        base: &Term,
        parts: &[Part],
        scope: Scope<'_>,
        input: &Value,
        out: Reader<'_>,
    ) -> Flow {
        // Keys are the same for every value of the base, and count only if there is one.
        let mut keys: Option<Vec<Keys>> = None;
        self.each(base, scope, input, &mut |value| {
            if keys.is_none() {
                let found = parts.iter().map(|part| self.keys(part, scope, input));
                keys = Some(found.collect::<Result<_, _>>()?);
            }
            self.walk_each(&value, parts, keys.as_deref().unwrap_or_default(), out)
        })
    }

    fn walk_each(&self, value: &Value, parts: &[Part], keys: &[Keys], out: Reader<'_>) -> Flow {
        let (Some((part, parts)), Some((key, keys))) = (parts.split_first(), keys.split_first())
        else {
            return out(value.clone());
        };
        self.fuel.spend(1)?;
        if let Step::All = part.step {
            return match items(value) {
                Ok(items) => {
                    for item in items {
                        self.fuel.spend(1)?;
                        self.walk_each(item, parts, keys, out)?;
                    }
                    Ok(())
                }
                Err(_) if part.optional => Ok(()),
                Err(kind) => Err(Halt::fail(part.at, What::Iterate(kind))),
            };
        }
        match self.step(part, value, key) {
            Ok(next) => self.walk_each(&next, parts, keys, out),
            Err(Halt::Fail(_)) if part.optional => Ok(()),
            Err(halt) => Err(halt),
        }
    }

    fn recurse(&self, value: &Value, out: Reader<'_>) -> Flow {
        self.fuel.spend(1)?;
        out(value.clone())?;
        match items(value) {
            Ok(mut items) => items.try_for_each(|item| self.recurse(item, out)),
            Err(_) => Ok(()),
        }
    }

    /// Binds what a pattern names, and goes on with the larger scope.
    pub(crate) fn bind(
        &self,
        pattern: &Pattern,
        value: Value,
        scope: Scope<'_>,
        then: &mut dyn FnMut(Scope<'_>) -> Flow,
    ) -> Flow {
        match pattern {
            Pattern::Variable => then(Some(&Bound { value, outer: scope })),
            Pattern::Parts(parts) => self.bind_parts(parts, &value, scope, then),
        }
    }

    fn bind_parts(
        &self,
        parts: &[(Term, Pattern, u32)],
        value: &Value,
        scope: Scope<'_>,
        then: &mut dyn FnMut(Scope<'_>) -> Flow,
    ) -> Flow {
        let Some(((key, pattern, at), rest)) = parts.split_first() else { return then(scope) };
        self.fuel.spend(1)?;
        let key = self.one(key, None, value)?;
        let part = index(&self.fuel, value, &key).map_err(|refused| refused.at(*at))?;
        self.bind(pattern, part, scope, &mut |scope| self.bind_parts(rest, value, scope, then))
    }
}

/// What the brackets of one part hold.
pub(crate) enum Keys {
    None,
    Index(Value),
    Slice(Option<Value>, Option<Value>),
}

fn owned<'v>(answer: crate::fail::Answer, at: u32) -> Result<Cow<'v, Value>, Halt> {
    answer.map(Cow::Owned).map_err(|refused| refused.at(at))
}

/// What a string has between its texts.
fn terms(pieces: &[Piece]) -> impl Iterator<Item = &Term> + Clone {
    pieces.iter().filter_map(|piece| match piece {
        Piece::Text(_) => None,
        Piece::Value(term, _) => Some(term),
    })
}

fn local<'e>(scope: Scope<'e>, outward: usize) -> &'e Value {
    let mut bound = scope.expect("lowering counts the bound variables");
    for _ in 0..outward {
        bound = bound.outer.expect("lowering counts the bound variables");
    }
    &bound.value
}
