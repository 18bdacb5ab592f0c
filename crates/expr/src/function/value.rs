//! Functions on arrays, objects and values of any kind.

use std::borrow::Cow;
use std::sync::LazyLock;

use base::Value;
use base::value::{array, is_true, kind, string};
use jaq_core::ops::Math;
use jaq_json::{Map, Num};

use super::calculate::{calculate, index, items};
use crate::fail::{Answer, Refused, What};
use crate::fuel::Fuel;

static KEY: LazyLock<Value> = LazyLock::new(|| string("key"));
static VALUE: LazyLock<Value> = LazyLock::new(|| string("value"));

pub(crate) const fn zero() -> Value {
    Value::Num(Num::Int(0))
}

const fn one() -> Value {
    Value::Num(Num::Int(1))
}

pub(crate) fn null(_: &Fuel, _: &Value) -> Answer {
    Ok(Value::Null)
}

pub(crate) fn r#true(_: &Fuel, _: &Value) -> Answer {
    Ok(Value::Bool(true))
}

pub(crate) fn r#false(_: &Fuel, _: &Value) -> Answer {
    Ok(Value::Bool(false))
}

pub(crate) fn not(_: &Fuel, input: &Value) -> Answer {
    Ok(Value::Bool(!is_true(input)))
}

pub(crate) fn is_array(_: &Fuel, input: &Value) -> Answer {
    Ok(Value::Bool(matches!(input, Value::Arr(_))))
}

pub(crate) fn is_boolean(_: &Fuel, input: &Value) -> Answer {
    Ok(Value::Bool(matches!(input, Value::Bool(_))))
}

pub(crate) fn is_number(_: &Fuel, input: &Value) -> Answer {
    Ok(Value::Bool(matches!(input, Value::Num(_))))
}

pub(crate) fn is_object(_: &Fuel, input: &Value) -> Answer {
    Ok(Value::Bool(matches!(input, Value::Obj(_))))
}

pub(crate) fn is_string(_: &Fuel, input: &Value) -> Answer {
    Ok(Value::Bool(matches!(input, Value::TStr(_) | Value::BStr(_))))
}

pub(crate) fn type_name(_: &Fuel, input: &Value) -> Answer {
    Ok(string(match input {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Num(_) => "number",
        Value::TStr(_) | Value::BStr(_) => "string",
        Value::Arr(_) => "array",
        Value::Obj(_) => "object",
    }))
}

pub(crate) fn length(fuel: &Fuel, input: &Value) -> Answer {
    let length = match input {
        Value::Null => 0,
        Value::Num(Num::Int(number)) => {
            return number.checked_abs().map(Value::from).ok_or(Refused::Outside);
        }
        Value::Num(Num::Float(number)) => return Ok(Value::from(number.abs())),
        Value::Num(Num::BigInt(_) | Num::Dec(_)) | Value::BStr(_) => return Err(Refused::Outside),
        Value::TStr(text) => {
            fuel.spend_bytes(text.len())?;
            let text = std::str::from_utf8(text).map_err(|_| Refused::Outside)?;
            text.chars().count()
        }
        Value::Arr(items) => items.len(),
        Value::Obj(map) => map.len(),
        Value::Bool(_) => return Err(Refused::input("length", input)),
    };
    Ok(Value::from(length))
}

pub(crate) fn first(fuel: &Fuel, input: &Value) -> Answer {
    index(fuel, input, &zero())
}

pub(crate) fn last(fuel: &Fuel, input: &Value) -> Answer {
    index(fuel, input, &Value::Num(Num::Int(-1)))
}

pub(crate) fn nth(fuel: &Fuel, input: &Value, place: &Value) -> Answer {
    index(fuel, input, place)
}

fn each<'v>(input: &'v Value) -> Result<Box<dyn Iterator<Item = &'v Value> + 'v>, Refused> {
    items(input).map_err(|kind| Refused::What(What::Iterate(kind)))
}

pub(crate) fn all(fuel: &Fuel, input: &Value) -> Answer {
    for item in each(input)? {
        fuel.spend(1)?;
        if !is_true(item) {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

pub(crate) fn any(fuel: &Fuel, input: &Value) -> Answer {
    for item in each(input)? {
        fuel.spend(1)?;
        if is_true(item) {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

pub(crate) fn add(fuel: &Fuel, input: &Value) -> Answer {
    let mut sum = Sum::default();
    for item in each(input)? {
        sum.add(fuel, item)?;
    }
    Ok(sum.finish())
}

/// A sum that grows in place, where `a + b + c` would copy the left side each time.
#[derive(Default)]
pub(crate) enum Sum {
    #[default]
    Nothing,
    Text(Vec<u8>),
    Items(Vec<Value>),
    Fields(Map),
    Other(Value),
}

impl Sum {
    pub(crate) fn add(&mut self, fuel: &Fuel, item: &Value) -> Result<(), Refused> {
        fuel.spend(1)?;
        match (&mut *self, item) {
            (_, Value::Null) => {}
            (Self::Nothing, Value::TStr(text)) => {
                fuel.spend_bytes(text.len())?;
                *self = Self::Text(text.to_vec());
            }
            (Self::Nothing, Value::Arr(items)) => {
                fuel.spend_items(items.len())?;
                *self = Self::Items(items.to_vec());
            }
            (Self::Nothing, Value::Obj(map)) => {
                fuel.spend_items(map.len())?;
                *self = Self::Fields((**map).clone());
            }
            (Self::Nothing, other) => *self = Self::Other(other.clone()),
            (Self::Text(sum), Value::TStr(text)) => {
                fuel.spend_bytes(text.len())?;
                sum.extend_from_slice(text);
            }
            (Self::Items(sum), Value::Arr(items)) => {
                fuel.spend_items(items.len())?;
                sum.extend(items.iter().cloned());
            }
            (Self::Fields(sum), Value::Obj(map)) => {
                fuel.spend_items(4 * map.len())?;
                sum.extend(map.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
            (_, other) => {
                let sum = Cow::Owned(std::mem::take(self).finish());
                *self = Self::Other(calculate(fuel, sum, Math::Add, Cow::Borrowed(other))?);
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Value {
        match self {
            Self::Nothing => Value::Null,
            Self::Text(text) => Value::utf8_str(text),
            Self::Items(items) => array(items),
            Self::Fields(map) => Value::obj(map),
            Self::Other(value) => value,
        }
    }
}

pub(crate) fn keys_unsorted(fuel: &Fuel, input: &Value) -> Answer {
    match input {
        Value::Arr(items) => {
            fuel.spend_items(items.len())?;
            Ok((0..items.len()).map(Value::from).collect())
        }
        Value::Obj(map) => {
            fuel.spend_items(map.len())?;
            Ok(map.keys().cloned().collect())
        }
        _ => Err(Refused::input("keys", input)),
    }
}

pub(crate) fn keys(fuel: &Fuel, input: &Value) -> Answer {
    let keys = keys_unsorted(fuel, input)?;
    sort(fuel, &keys)
}

fn entries<'v>(name: &'static str, input: &'v Value) -> Result<&'v [Value], Refused> {
    match input {
        Value::Arr(items) => Ok(items),
        _ => Err(Refused::input(name, input)),
    }
}

pub(crate) fn sort(fuel: &Fuel, input: &Value) -> Answer {
    let items = entries("sort", input)?;
    fuel.sort(items)?;
    let mut items = items.to_vec();
    items.sort();
    Ok(array(items))
}

pub(crate) fn unique(fuel: &Fuel, input: &Value) -> Answer {
    let items = entries("unique", input)?;
    fuel.sort(items)?;
    let mut items = items.to_vec();
    items.sort();
    items.dedup();
    Ok(array(items))
}

pub(crate) fn min(fuel: &Fuel, input: &Value) -> Answer {
    let items = entries("min", input)?;
    fuel.sort(items)?;
    // Of equal items the first, as `y < my` says.
    let least = items.iter().reduce(|least, item| if item < least { item } else { least });
    Ok(least.cloned().unwrap_or(Value::Null))
}

pub(crate) fn max(fuel: &Fuel, input: &Value) -> Answer {
    let items = entries("max", input)?;
    fuel.sort(items)?;
    // Of equal items the last.
    let most = items.iter().reduce(|most, item| if item >= most { item } else { most });
    Ok(most.cloned().unwrap_or(Value::Null))
}

pub(crate) fn reverse(fuel: &Fuel, input: &Value) -> Answer {
    let items = entries("reverse", input)?;
    fuel.spend_items(items.len())?;
    Ok(items.iter().rev().cloned().collect())
}

pub(crate) fn flatten(fuel: &Fuel, input: &Value) -> Answer {
    fn collect(fuel: &Fuel, value: &Value, out: &mut Vec<Value>) -> Result<(), Refused> {
        fuel.spend(1)?;
        match value {
            Value::Arr(items) => items.iter().try_for_each(|item| collect(fuel, item, out)),
            other => {
                out.push(other.clone());
                Ok(())
            }
        }
    }
    let mut flat = Vec::new();
    collect(fuel, input, &mut flat)?;
    Ok(array(flat))
}

/// `flatten($depth)`, which gives `null` where nothing is left to add up.
pub(crate) fn flatten_to(fuel: &Fuel, input: &Value, depth: &Value) -> Answer {
    fuel.spend(1)?;
    if *depth <= zero() {
        return Ok(input.clone());
    }
    let mut flat = Sum::Nothing;
    for item in each(input)? {
        if let Value::Arr(_) = item {
            let below = calculate(fuel, Cow::Borrowed(depth), Math::Sub, Cow::Owned(one()))?;
            flat.add(fuel, &flatten_to(fuel, item, &below)?)?;
        } else {
            flat.add(fuel, &array(vec![item.clone()]))?;
        }
    }
    Ok(flat.finish())
}

pub(crate) fn to_entries(fuel: &Fuel, input: &Value) -> Answer {
    let entry = |key: Value, value: &Value| {
        Value::obj([(KEY.clone(), key), (VALUE.clone(), value.clone())].into_iter().collect())
    };
    match input {
        Value::Arr(items) => {
            fuel.spend_items(16 * items.len())?;
            Ok(items.iter().enumerate().map(|(at, item)| entry(Value::from(at), item)).collect())
        }
        Value::Obj(map) => {
            fuel.spend_items(16 * map.len())?;
            Ok(map.iter().map(|(key, item)| entry(key.clone(), item)).collect())
        }
        _ => Err(Refused::input("to_entries", input)),
    }
}

pub(crate) fn from_entries(fuel: &Fuel, input: &Value) -> Answer {
    let mut map = Map::default();
    for entry in each(input)? {
        fuel.spend(8)?;
        let key = index(fuel, entry, &KEY)?;
        let value = index(fuel, entry, &VALUE)?;
        insert(fuel, &mut map, key, value)?;
    }
    Ok(Value::obj(map))
}

/// Objects made here have only strings as keys, so that looking one up costs no more than its
/// text. Others exist only in the whole interpreter, and end there as a failure.
pub(crate) fn insert(fuel: &Fuel, map: &mut Map, key: Value, value: Value) -> Result<(), Refused> {
    match &key {
        Value::TStr(text) => fuel.spend_bytes(text.len())?,
        _ => return Err(Refused::Outside),
    }
    map.insert(key, value);
    Ok(())
}

pub(crate) fn getpath(fuel: &Fuel, input: &Value, path: &Value) -> Answer {
    let mut at = input.clone();
    for key in each(path)? {
        fuel.spend(1)?;
        at = index(fuel, &at, key)?;
    }
    Ok(at)
}

pub(crate) fn r#in(fuel: &Fuel, input: &Value, argument: &Value) -> Answer {
    has(fuel, argument, input)
}

pub(crate) fn has(fuel: &Fuel, input: &Value, key: &Value) -> Answer {
    let has = match (input, key) {
        (Value::Null, _) => false,
        (Value::Arr(items), Value::Num(Num::Int(at))) => {
            let place = if *at < 0 { at.unsigned_abs() } else { at.unsigned_abs() + 1 };
            place <= items.len()
        }
        (Value::Arr(_), Value::Num(Num::BigInt(_))) => return Err(Refused::Outside),
        (Value::Obj(map), key) => {
            fuel.weigh(key)?;
            map.contains_key(key)
        }
        _ => index(fuel, input, key).map(|_| true)?,
    };
    Ok(Value::Bool(has))
}

pub(crate) fn inside(fuel: &Fuel, input: &Value, argument: &Value) -> Answer {
    contains(fuel, argument, input)
}

pub(crate) fn contains(fuel: &Fuel, input: &Value, argument: &Value) -> Answer {
    Ok(Value::Bool(holds(fuel, input, argument)?))
}

fn holds(fuel: &Fuel, left: &Value, right: &Value) -> Result<bool, Refused> {
    fuel.spend(1)?;
    match (left, right) {
        (Value::TStr(left), Value::TStr(right)) => {
            fuel.spend_bytes(left.len() + right.len())?;
            let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Refused::Outside);
            Ok(text(left)?.contains(text(right)?))
        }
        (Value::Arr(left), Value::Arr(right)) => {
            for wanted in right.iter() {
                let mut found = false;
                for item in left.iter() {
                    found = holds(fuel, item, wanted)?;
                    if found {
                        break;
                    }
                }
                if !found {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Value::Obj(left), Value::Obj(right)) => {
            for (key, wanted) in right.iter() {
                fuel.weigh(key)?;
                let Some(item) = left.get(key) else { return Ok(false) };
                if !holds(fuel, item, wanted)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ => {
            fuel.weigh_both(left, right)?;
            Ok(left == right)
        }
    }
}

pub(crate) fn index_of(fuel: &Fuel, input: &Value, wanted: &Value) -> Answer {
    let places = places(fuel, "index", input, wanted)?;
    Ok(places.first().copied().map_or(Value::Null, Value::from))
}

pub(crate) fn rindex_of(fuel: &Fuel, input: &Value, wanted: &Value) -> Answer {
    let places = places(fuel, "rindex", input, wanted)?;
    Ok(places.last().copied().map_or(Value::Null, Value::from))
}

pub(crate) fn indices(fuel: &Fuel, input: &Value, wanted: &Value) -> Answer {
    let places = places(fuel, "indices", input, wanted)?;
    Ok(places.into_iter().map(Value::from).collect())
}

/// Where something occurs, in characters or items; occurrences may overlap.
fn places(
    fuel: &Fuel,
    name: &'static str,
    input: &Value,
    wanted: &Value,
) -> Result<Vec<usize>, Refused> {
    match (input, wanted) {
        (Value::TStr(text), Value::TStr(part)) => {
            let text = std::str::from_utf8(text).map_err(|_| Refused::Outside)?;
            fuel.spend_items(text.len())?;
            fuel.spend_bytes(text.len().saturating_mul(part.len()))?;
            if part.is_empty() {
                return Ok(Vec::new());
            }
            let starts = text.char_indices().enumerate();
            let found = starts.filter(|(_, (at, _))| text.as_bytes()[*at..].starts_with(part));
            Ok(found.map(|(place, _)| place).collect())
        }
        (Value::Arr(_), Value::Arr(part)) if part.is_empty() => Ok(Vec::new()),
        (Value::Arr(items), _) => {
            fuel.weigh(input)?;
            let before = fuel.left();
            fuel.weigh(wanted)?;
            fuel.spend((before - fuel.left()).saturating_mul(items.len() as u64))?;
            let part = match wanted {
                Value::Arr(part) => part.as_slice(),
                single => std::slice::from_ref(single),
            };
            let windows = items.windows(part.len()).enumerate();
            Ok(windows.filter(|(_, window)| *window == part).map(|(place, _)| place).collect())
        }
        (Value::BStr(_), _) => Err(Refused::Outside),
        _ => Err(Refused::What(What::Argument(name, kind(input), kind(wanted)))),
    }
}
