//! Arithmetic, comparison and indexing on values: jaq's own operators behind a guard.
//!
//! The guard pays for what an operator will copy, and leaves to the whole interpreter what could
//! take memory out of proportion: repeated strings and numbers of any length.

use std::borrow::Cow;
use std::sync::Arc;

use base::Value;
use base::value::kind;
use jaq_core::ValT;
use jaq_core::ops::{Cmp, Math};
use jaq_json::Num;

use crate::fail::{Answer, Refused, What};
use crate::fuel::{Empty, Fuel};

pub(crate) fn calculate<'v>(
    fuel: &Fuel,
    left: Cow<'v, Value>,
    operator: Math,
    right: Cow<'v, Value>,
) -> Answer {
    if let (Value::Num(Num::Int(left)), Value::Num(Num::Int(right))) = (&*left, &*right) {
        let result = match operator {
            Math::Add => left.checked_add(*right),
            Math::Sub => left.checked_sub(*right),
            Math::Mul => left.checked_mul(*right),
            Math::Div | Math::Rem => None,
        };
        if let Some(result) = result {
            return Ok(Value::from(result));
        }
    }
    let alone = matches!(left, Cow::Owned(_));
    pay(fuel, &left, alone, operator, &right)?;
    let failure = What::Math(operator, kind(&left), kind(&right));
    let result: Result<Value, jaq_json::Error> =
        operator.run(left.into_owned(), right.into_owned());
    result.map_err(|_| Refused::What(failure))
}

/// `alone`: nobody else holds the left side itself; if its contents too, it grows in place.
fn pay(
    fuel: &Fuel,
    left: &Value,
    alone: bool,
    operator: Math,
    right: &Value,
) -> Result<(), Refused> {
    match (left, right) {
        // Squaring a number of many digits again and again doubles its memory each time.
        (Value::Num(Num::BigInt(_)), _) | (_, Value::Num(Num::BigInt(_))) => {
            return Err(Refused::Outside);
        }
        // `"x" * 9223372036854775807` aborts the process.
        (Value::TStr(_) | Value::BStr(_), Value::Num(_))
        | (Value::Num(_), Value::TStr(_) | Value::BStr(_))
            if operator == Math::Mul =>
        {
            return Err(Refused::Outside);
        }
        (Value::TStr(text), Value::TStr(right)) => {
            let copied = if alone && text.is_unique() { 0 } else { text.len() };
            fuel.spend_bytes(copied + right.len())?;
        }
        (Value::Arr(items), Value::Arr(right)) if operator == Math::Add => {
            let copied = if alone && Arc::strong_count(items) == 1 { 0 } else { items.len() };
            fuel.spend_items(copied + right.len())?;
        }
        // jaq sorts the right side.
        (Value::Arr(left), Value::Arr(right)) if operator == Math::Sub => {
            fuel.sort(right)?;
            left.iter().try_for_each(|item| fuel.weigh(item))?;
            fuel.spend_items(left.len() * 8)?;
        }
        (Value::Obj(map), Value::Obj(right)) if operator == Math::Add => {
            let copied = if alone && Arc::strong_count(map) == 1 { 0 } else { map.len() };
            fuel.spend_items(4 * (copied + right.len()))?;
        }
        (Value::Obj(_), Value::Obj(_)) => {
            fuel.weigh(left)?;
            fuel.weigh(right)?;
        }
        _ => {}
    }
    Ok(())
}

pub(crate) fn negate(value: Value) -> Answer {
    let failure = What::Negate(kind(&value));
    (-value).map_err(|_| Refused::What(failure))
}

pub(crate) fn compare(
    fuel: &Fuel,
    left: &Value,
    operator: Cmp,
    right: &Value,
) -> Result<bool, Empty> {
    fuel.weigh_both(left, right)?;
    Ok(operator.run(left, right))
}

/// `value[key]`.
pub(crate) fn index(fuel: &Fuel, value: &Value, key: &Value) -> Answer {
    match (value, key) {
        (Value::Null, _) => return Ok(Value::Null),
        (Value::Arr(items), Value::Num(Num::Int(at))) => return Ok(item(items, *at)),
        (Value::Arr(items), Value::Arr(wanted)) => {
            let before = fuel.left();
            fuel.weigh(key)?;
            let weight = before - fuel.left();
            fuel.weigh(value)?;
            fuel.spend(weight.saturating_mul(items.len() as u64))?;
            fuel.spend_items(wanted.len())?;
        }
        (Value::TStr(text), _) => fuel.spend_bytes(text.len())?,
        (Value::Arr(items), Value::Obj(_)) => fuel.spend_items(items.len())?,
        (Value::Obj(_), _) => fuel.weigh(key)?,
        _ => {}
    }
    let failure = What::Index(kind(value), kind(key));
    value.clone().index(key).map_err(|_| Refused::What(failure))
}

/// The item at a place counted from the front, or, if negative, from the end.
fn item(items: &[Value], at: isize) -> Value {
    let at = if at < 0 { items.len().checked_sub(at.unsigned_abs()) } else { Some(at as usize) };
    at.and_then(|at| items.get(at)).cloned().unwrap_or(Value::Null)
}

/// `value[from:upto]`.
pub(crate) fn slice(
    fuel: &Fuel,
    value: &Value,
    from: Option<&Value>,
    upto: Option<&Value>,
) -> Answer {
    match value {
        Value::TStr(text) => fuel.spend_bytes(text.len())?,
        Value::Arr(items) => fuel.spend_items(items.len())?,
        _ => {}
    }
    let failure = What::Slice(kind(value));
    value.clone().range(from..upto).map_err(|_| Refused::What(failure))
}

/// What `.[]` gives, or the kind that has none.
pub(crate) fn items<'v>(
    value: &'v Value,
) -> Result<Box<dyn Iterator<Item = &'v Value> + 'v>, &'static str> {
    match value {
        Value::Arr(items) => Ok(Box::new(items.iter())),
        Value::Obj(map) => Ok(Box::new(map.values())),
        other => Err(kind(other)),
    }
}
