//! Functions that take filters, and those with any number of outputs.

use std::borrow::Cow;
use std::cmp::Ordering;

use base::Value;
use base::value::{array, is_true, kind};
use jaq_core::ops::Math;

use crate::eval::{Flow, Machine, Reader, Scope};
use crate::fail::{Halt, Refused, What};
use crate::function::calculate::{calculate, items};
use crate::function::value::{Sum, from_entries, to_entries, zero};
use crate::term::{Form, Keep, Term};

impl Machine<'_> {
    pub(crate) fn form_one(
        &self,
        form: Form,
        arguments: &[Term],
        at: u32,
        scope: Scope<'_>,
        input: &Value,
    ) -> Result<Value, Halt> {
        match (form, arguments) {
            (Form::Add, [filter]) => {
                let mut sum = Sum::Nothing;
                self.each(filter, scope, input, &mut |value| {
                    sum.add(&self.fuel, &value).map_err(|refused| refused.at(at))
                })?;
                Ok(sum.finish())
            }
            (Form::Any | Form::All, [condition]) => {
                let wanted = form == Form::Any;
                for item in self.items(input, at)? {
                    self.fuel.spend(1)?;
                    if self.finds(condition, scope, item, wanted)? {
                        return Ok(Value::Bool(wanted));
                    }
                }
                Ok(Value::Bool(!wanted))
            }
            (Form::AnyOf | Form::AllOf, [source, condition]) => {
                let wanted = form == Form::AnyOf;
                let found = self.until(source, scope, input, &mut |item| {
                    self.finds(condition, scope, &item, wanted)
                })?;
                Ok(Value::Bool(found == wanted))
            }
            (Form::IsEmpty, [filter]) => {
                let found = self.until(filter, scope, input, &mut |_| Ok(true))?;
                Ok(Value::Bool(!found))
            }
            (Form::Map, [filter]) => self.map(filter, at, scope, input),
            (Form::WithEntries, [filter]) => {
                let entries = to_entries(&self.fuel, input).map_err(|refused| refused.at(at))?;
                let changed = self.map(filter, at, scope, &entries)?;
                from_entries(&self.fuel, &changed).map_err(|refused| refused.at(at))
            }
            (Form::Error, []) => Err(Halt::fail(at, What::Raised)),
            (_, [filter]) => self.form_keyed(form, filter, at, scope, input),
            _ => unreachable!("`Form::is_single` and the closed list name no other form"),
        }
    }

    /// Forms that order the items of an array by a key.
    fn form_keyed(
        &self,
        form: Form,
        filter: &Term,
        at: u32,
        scope: Scope<'_>,
        input: &Value,
    ) -> Result<Value, Halt> {
        match form {
            Form::SortBy => {
                let entries = self.entries("sort_by", input, at)?;
                // jaq asks for no key where there is nothing to compare.
                if entries.len() < 2 {
                    return Ok(input.clone());
                }
                let sorted = self.sorted(entries, filter, scope)?;
                Ok(sorted.into_iter().map(|(_, item)| item.clone()).collect())
            }
            Form::GroupBy | Form::UniqueBy => {
                let name = if form == Form::GroupBy { "group_by" } else { "unique_by" };
                let sorted = self.sorted(self.entries(name, input, at)?, filter, scope)?;
                let groups = sorted.chunk_by(|(left, _), (right, _)| left == right);
                Ok(array(match form {
                    Form::GroupBy => groups
                        .map(|group| group.iter().map(|(_, item)| (*item).clone()).collect())
                        .collect(),
                    _ => groups.filter_map(|group| Some(group.first()?.1.clone())).collect(),
                }))
            }
            Form::MinBy | Form::MaxBy => {
                let name = if form == Form::MinBy { "min_by" } else { "max_by" };
                let keyed = self.keyed(self.entries(name, input, at)?, filter, scope)?;
                // Of equal ones the first is the least, and the last the greatest.
                let best = keyed.into_iter().reduce(|best, next| {
                    let better = match form {
                        Form::MinBy => next.0 < best.0,
                        _ => next.0 >= best.0,
                    };
                    if better { next } else { best }
                });
                Ok(best.map_or(Value::Null, |(_, item)| item.clone()))
            }
            _ => unreachable!("`Form::is_single` and the closed list name no other form"),
        }
    }

    pub(crate) fn form_each(
        &self,
        form: Form,
        arguments: &[Term],
        at: u32,
        scope: Scope<'_>,
        input: &Value,
        out: Reader<'_>,
    ) -> Flow {
        match (form, arguments) {
            (Form::Empty, []) => Ok(()),
            (Form::ErrorOf, [message]) => {
                self.each(message, scope, input, &mut |_| Err(Halt::fail(at, What::Raised)))
            }
            (Form::Select, [condition]) => self.each(condition, scope, input, &mut |truth| {
                if is_true(&truth) { out(input.clone()) } else { Ok(()) }
            }),
            (Form::Keep(kept), []) => {
                if keeps(kept, input) {
                    out(input.clone())
                } else {
                    Ok(())
                }
            }
            (Form::First, [filter]) => {
                let mut first = None;
                self.until(filter, scope, input, &mut |value| {
                    first = Some(value);
                    Ok(true)
                })?;
                first.map_or(Ok(()), out)
            }
            (Form::Last, [filter]) => {
                let mut last = None;
                self.each(filter, scope, input, &mut |value| {
                    last = Some(value);
                    Ok(())
                })?;
                last.map_or(Ok(()), out)
            }
            (Form::Limit, [count, filter]) => self.each(count, scope, input, &mut |count| {
                self.limit(count, filter, at, scope, input, out)
            }),
            (Form::Skip, [count, filter]) => self.each(count, scope, input, &mut |count| {
                self.skip(count, filter, at, scope, input, out)
            }),
            (Form::NthOf, [count, filter]) => {
                let mut nth = None;
                let flow = self.each(count, scope, input, &mut |count| {
                    self.skip(count, filter, at, scope, input, &mut |value| {
                        nth = Some(value);
                        Err(Halt::Enough)
                    })
                });
                enough(flow)?;
                nth.map_or(Ok(()), out)
            }
            (Form::Range1 | Form::Range2 | Form::Range3, _) => {
                self.ranges(arguments, at, scope, input, out)
            }
            _ => unreachable!("`Form::is_single` and the closed list name no other form"),
        }
    }

    /// One range for each combination of its bounds.
    fn ranges(
        &self,
        bounds: &[Term],
        at: u32,
        scope: Scope<'_>,
        input: &Value,
        out: Reader<'_>,
    ) -> Flow {
        match bounds {
            [upto] => self.each(upto, scope, input, &mut |upto| {
                self.range(zero(), &upto, &Value::from(1_isize), at, out)
            }),
            [from, upto] => self.each(from, scope, input, &mut |from| {
                self.each(upto, scope, input, &mut |upto| {
                    self.range(from.clone(), &upto, &Value::from(1_isize), at, out)
                })
            }),
            [from, upto, by] => self.each(from, scope, input, &mut |from| {
                self.each(upto, scope, input, &mut |upto| {
                    self.each(by, scope, input, &mut |by| {
                        self.range(from.clone(), &upto, &by, at, out)
                    })
                })
            }),
            _ => unreachable!("the closed list has ranges of one to three bounds"),
        }
    }

    /// Reads outputs until one is what the reader wanted. Whether there was one.
    fn until(
        &self,
        term: &Term,
        scope: Scope<'_>,
        input: &Value,
        wants: &mut dyn FnMut(Value) -> Result<bool, Halt>,
    ) -> Result<bool, Halt> {
        let mut found = false;
        enough(self.each(term, scope, input, &mut |value| {
            found = wants(value)?;
            if found { Err(Halt::Enough) } else { Ok(()) }
        }))?;
        Ok(found)
    }

    /// Whether any output is as true as wanted.
    fn finds(
        &self,
        condition: &Term,
        scope: Scope<'_>,
        input: &Value,
        wanted: bool,
    ) -> Result<bool, Halt> {
        if condition.single {
            return Ok(is_true(&*self.look(condition, scope, input)?) == wanted);
        }
        self.until(condition, scope, input, &mut |truth| Ok(is_true(&truth) == wanted))
    }

    fn items<'v>(
        &self,
        value: &'v Value,
        at: u32,
    ) -> Result<Box<dyn Iterator<Item = &'v Value> + 'v>, Halt> {
        items(value).map_err(|kind| Halt::fail(at, What::Iterate(kind)))
    }

    fn map(&self, filter: &Term, at: u32, scope: Scope<'_>, input: &Value) -> Result<Value, Halt> {
        let mut mapped = Vec::new();
        for item in self.items(input, at)? {
            self.fuel.spend(1)?;
            if filter.single {
                mapped.push(self.one(filter, scope, item)?);
                continue;
            }
            self.each(filter, scope, item, &mut |value| {
                self.fuel.spend(1)?;
                mapped.push(value);
                Ok(())
            })?;
        }
        Ok(array(mapped))
    }

    fn entries<'v>(
        &self,
        name: &'static str,
        input: &'v Value,
        at: u32,
    ) -> Result<&'v [Value], Halt> {
        match input {
            Value::Arr(items) => Ok(items),
            _ => Err(Halt::fail(at, What::Input(name, kind(input)))),
        }
    }

    /// Each item with all outputs of the filter as its key. Keys are safe to compare.
    fn keyed<'v>(
        &self,
        items: &'v [Value],
        filter: &Term,
        scope: Scope<'_>,
    ) -> Result<Vec<(Value, &'v Value)>, Halt> {
        let mut keys = Vec::with_capacity(items.len());
        for item in items {
            self.fuel.spend(1)?;
            let mut key = Vec::new();
            self.each(filter, scope, item, &mut |value| {
                self.fuel.spend(1)?;
                key.push(value);
                Ok(())
            })?;
            keys.push(array(key));
        }
        self.fuel.sort(&keys)?;
        Ok(keys.into_iter().zip(items).collect())
    }

    fn sorted<'v>(
        &self,
        items: &'v [Value],
        filter: &Term,
        scope: Scope<'_>,
    ) -> Result<Vec<(Value, &'v Value)>, Halt> {
        let mut keyed = self.keyed(items, filter, scope)?;
        keyed.sort_by(|(left, _), (right, _)| left.cmp(right));
        Ok(keyed)
    }

    /// One less, for a count that may be any number.
    fn less_one(&self, count: Value, at: u32) -> Result<Value, Halt> {
        let one = Cow::Owned(Value::from(1_isize));
        calculate(&self.fuel, Cow::Owned(count), Math::Sub, one).map_err(|refused| refused.at(at))
    }

    fn limit(
        &self,
        count: Value,
        filter: &Term,
        at: u32,
        scope: Scope<'_>,
        input: &Value,
        out: Reader<'_>,
    ) -> Flow {
        if count <= zero() {
            return Ok(());
        }
        let mut left = self.less_one(count, at)?;
        let mut said = None;
        let flow = self.each(filter, scope, input, &mut |value| {
            if let Err(halt) = out(value) {
                said = Some(halt);
                return Err(Halt::Enough);
            }
            if left <= zero() {
                return Err(Halt::Enough);
            }
            left = self.less_one(std::mem::take(&mut left), at)?;
            Ok(())
        });
        match said {
            Some(halt) => Err(halt),
            None => enough(flow),
        }
    }

    fn skip(
        &self,
        count: Value,
        filter: &Term,
        at: u32,
        scope: Scope<'_>,
        input: &Value,
        out: Reader<'_>,
    ) -> Flow {
        if count <= zero() {
            return self.each(filter, scope, input, out);
        }
        let mut left = Some(self.less_one(count, at)?);
        self.each(filter, scope, input, &mut |value| match left.take() {
            None => out(value),
            Some(more) if more > zero() => {
                left = Some(self.less_one(more, at)?);
                Ok(())
            }
            Some(_) => Ok(()),
        })
    }

    fn range(&self, from: Value, upto: &Value, by: &Value, at: u32, out: Reader<'_>) -> Flow {
        let direction = by.cmp(&zero());
        let mut next = from;
        loop {
            self.fuel.spend(1)?;
            self.fuel.weigh_both(&next, upto)?;
            let goes_on = match direction {
                Ordering::Greater => next < *upto,
                Ordering::Less => next > *upto,
                Ordering::Equal => next != *upto,
            };
            if !goes_on {
                return Ok(());
            }
            out(next.clone())?;
            let sum = calculate(&self.fuel, Cow::Owned(next), Math::Add, Cow::Borrowed(by));
            next = sum.map_err(|refused: Refused| refused.at(at))?;
        }
    }
}

/// Our own reader had enough, and that is no failure.
fn enough(flow: Flow) -> Flow {
    match flow {
        Err(Halt::Enough) => Ok(()),
        flow => flow,
    }
}

fn keeps(kept: Keep, value: &Value) -> bool {
    match kept {
        Keep::Values => !matches!(value, Value::Null),
        Keep::Nulls => matches!(value, Value::Null),
        Keep::Booleans => matches!(value, Value::Bool(_)),
        Keep::Numbers => matches!(value, Value::Num(_)),
        Keep::Strings => matches!(value, Value::TStr(_) | Value::BStr(_)),
        Keep::Arrays => matches!(value, Value::Arr(_)),
        Keep::Objects => matches!(value, Value::Obj(_)),
        Keep::Iterables => matches!(value, Value::Arr(_) | Value::Obj(_)),
        Keep::Scalars => !matches!(value, Value::Arr(_) | Value::Obj(_)),
    }
}
