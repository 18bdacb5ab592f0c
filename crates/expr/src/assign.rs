//! Assignments to simple paths: `.a.b = 1`, `.list[] |= f`, `del(.a)`.
//!
//! What an assignment does to an array or object is jaq's own code for its values; here is only
//! the way down the path.

use std::borrow::Cow;
use std::cell::RefCell;

use base::Value;
use base::value::{is_true, kind};
use jaq_core::path::Opt;
use jaq_core::{Error, Exn, ValT};

use crate::eval::{Flow, Keys, Machine, Reader, Scope};
use crate::fail::{Halt, What};
use crate::function::calculate::calculate;
use crate::term::{Assign, How, Part, Step, Term};

/// What becomes of what is there: the first output takes its place, and none deletes it. Only
/// `.[]` on an array takes the others too.
type Change<'c> = &'c dyn Fn(Value, Wanted) -> Result<Outputs, Halt>;

type Outputs = (Option<Value>, Vec<Value>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    First,
    All,
}

impl Machine<'_> {
    pub(crate) fn assign(
        &self,
        assign: &Assign,
        scope: Scope<'_>,
        input: &Value,
        out: Reader<'_>,
    ) -> Flow {
        if assign.how == How::Update {
            let change = |old: Value, wanted| self.outputs(&assign.right, scope, &old, wanted);
            return out(self.changed(assign, scope, input, &change)?);
        }
        self.each(&assign.right, scope, input, &mut |right| {
            let change = |old: Value, _| {
                let new = match assign.how {
                    How::Math(operator) => {
                        let (old, right) = (Cow::Owned(old), Cow::Borrowed(&right));
                        calculate(&self.fuel, old, operator, right)
                            .map_err(|refused| refused.at(assign.at))?
                    }
                    How::Alternative if is_true(&old) => old,
                    How::Alternative | How::Set | How::Update => right.clone(),
                };
                Ok((Some(new), Vec::new()))
            };
            out(self.changed(assign, scope, input, &change)?)
        })
    }

    fn outputs(
        &self,
        term: &Term,
        scope: Scope<'_>,
        input: &Value,
        wanted: Wanted,
    ) -> Result<Outputs, Halt> {
        if term.single {
            return Ok((Some(self.one(term, scope, input)?), Vec::new()));
        }
        let (mut first, mut others) = (None, Vec::new());
        let flow = self.each(term, scope, input, &mut |value| {
            self.fuel.spend(1)?;
            match first {
                None => first = Some(value),
                Some(_) => others.push(value),
            }
            if wanted == Wanted::First { Err(Halt::Enough) } else { Ok(()) }
        });
        match flow {
            Ok(()) | Err(Halt::Enough) => Ok((first, others)),
            Err(halt) => Err(halt),
        }
    }

    fn changed(
        &self,
        assign: &Assign,
        scope: Scope<'_>,
        input: &Value,
        change: Change<'_>,
    ) -> Result<Value, Halt> {
        let mut value = input.clone();
        for parts in &assign.places {
            let keys = parts.iter().map(|part| self.keys(part, scope, &value));
            let keys: Vec<Keys> = keys.collect::<Result<_, _>>()?;
            value = self.change(value, parts, &keys, change)?;
        }
        Ok(value)
    }

    fn change(
        &self,
        value: Value,
        parts: &[Part],
        keys: &[Keys],
        change: Change<'_>,
    ) -> Result<Value, Halt> {
        let (Some((part, parts)), Some((key, keys))) = (parts.split_first(), keys.split_first())
        else {
            return change(value, Wanted::First).map(|(first, _)| first.unwrap_or_default());
        };
        self.pay_for_change(&value, part, key)?;
        let halted = RefCell::new(None);
        let wanted = match (&part.step, &value) {
            (Step::All, Value::Arr(_)) => Wanted::All,
            _ => Wanted::First,
        };
        let below = |old: Value| {
            let new = if parts.is_empty() {
                change(old, wanted)
            } else {
                self.change(old, parts, keys, change).map(|new| (Some(new), Vec::new()))
            };
            // jaq carries only errors of its own through; ours waits beside it.
            let (first, others) = match new {
                Ok((first, others)) => (first.map(Ok), others),
                Err(halt) => {
                    halted.replace(Some(halt));
                    (Some(Err(Exn::from(Error::new(Value::Null)))), Vec::new())
                }
            };
            first.into_iter().chain(others.into_iter().map(Ok))
        };
        let optional = if part.optional { Opt::Optional } else { Opt::Essential };
        let failure = match &part.step {
            Step::All => What::Iterate(kind(&value)),
            Step::Slice(..) => What::Slice(kind(&value)),
            Step::Key(key) => What::Index(kind(&value), kind(key)),
            Step::Index(_) => What::Index(kind(&value), "this key"),
        };
        let result = match (&part.step, key) {
            (Step::Key(key), _) | (_, Keys::Index(key)) => value.map_index(key, optional, below),
            (_, Keys::Slice(from, upto)) => {
                value.map_range(from.as_ref()..upto.as_ref(), optional, below)
            }
            (_, Keys::None) => value.map_values(optional, below),
        };
        result.map_err(|_| halted.take().unwrap_or(Halt::fail(part.at, failure)))
    }

    /// A value that others hold too is copied before it is changed.
    fn pay_for_change(&self, value: &Value, part: &Part, key: &Keys) -> Flow {
        self.fuel.spend(1)?;
        match value {
            Value::Arr(items) => self.fuel.spend_items(items.len())?,
            Value::Obj(map) => self.fuel.spend_items(4 * map.len())?,
            Value::TStr(text) => self.fuel.spend_bytes(text.len())?,
            _ => {}
        }
        match (value, key) {
            // Only strings are keys here; see `function::value::insert`.
            (Value::Obj(_), Keys::Index(key)) if !matches!(key, Value::TStr(_)) => {
                Err(Halt::Outside)
            }
            (_, Keys::Index(key)) => Ok(self.fuel.weigh(key)?),
            (_, Keys::Slice(..) | Keys::None) => {
                debug_assert!(!matches!(part.step, Step::Index(_)));
                Ok(())
            }
        }
    }
}
