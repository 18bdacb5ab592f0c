//! The form that a result is given before it leaves: what reading its own JSON text would give.
//!
//! A run goes on with a value while it lives, and with the journal's text of it after a crash. Both
//! must be the same. JSON has no `nan` and no infinity, and of numbers only what a double or a
//! 64-bit integer holds; jaq knows more.

use base::Value;
use base::limits::VALUE_DEPTH_MAX;
use base::value::{ValueError, kind};
use jaq_json::Num;

use crate::fail::Refused;
use crate::fuel::Fuel;

/// The result as JSON reads it.
pub(crate) fn settle(value: Value) -> Result<Value, ValueError> {
    if is_settled(&value, VALUE_DEPTH_MAX)? { Ok(value) } else { Ok(rewritten(&value)) }
}

/// Like [`settle`], but pays for the walk first.
pub(crate) fn settle_paid(fuel: &Fuel, value: Value) -> Result<Result<Value, ValueError>, Refused> {
    fuel.weigh(&value)?;
    Ok(settle(value))
}

fn is_settled(value: &Value, depth_left: usize) -> Result<bool, ValueError> {
    let below = depth_left.checked_sub(1).ok_or(ValueError::Depth);
    match value {
        Value::Null | Value::Bool(_) => Ok(true),
        Value::TStr(text) => Ok(std::str::from_utf8(text).is_ok()),
        Value::Num(number) => Ok(match number {
            Num::Int(_) => true,
            Num::Float(float) => float.is_finite(),
            Num::BigInt(big) => {
                u64::try_from(&**big).is_ok_and(|small| i64::try_from(small).is_err())
            }
            Num::Dec(_) => false,
        }),
        Value::BStr(_) => Err(ValueError::Bytes),
        Value::Arr(items) => {
            let below = below?;
            items.iter().try_fold(true, |settled, item| Ok(is_settled(item, below)? && settled))
        }
        Value::Obj(map) => {
            let below = below?;
            map.iter().try_fold(true, |settled, (key, item)| match key {
                Value::TStr(_) => {
                    Ok(is_settled(key, below)? && is_settled(item, below)? && settled)
                }
                other => Err(ValueError::Key(kind(other))),
            })
        }
    }
}

fn rewritten(value: &Value) -> Value {
    match value {
        Value::Num(number) => number_of(number),
        Value::TStr(text) => base::value::string(&String::from_utf8_lossy(text)),
        Value::Arr(items) => items.iter().map(rewritten).collect(),
        Value::Obj(map) => {
            Value::obj(map.iter().map(|(key, item)| (rewritten(key), rewritten(item))).collect())
        }
        Value::Null | Value::Bool(_) | Value::BStr(_) => value.clone(),
    }
}

fn number_of(number: &Num) -> Value {
    let float = match number {
        Num::Int(_) => return Value::Num(number.clone()),
        Num::Float(float) => *float,
        Num::BigInt(big) => match u64::try_from(&**big) {
            Ok(small) => return Value::Num(Num::from_integral(small)),
            Err(_) => big.to_string().parse().unwrap_or(f64::NAN),
        },
        Num::Dec(text) => text.parse().unwrap_or(f64::NAN),
    };
    if float.is_finite() { Value::from(float) } else { Value::Null }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::value::{array, parse, to_json};

    /// Mutation: leave decimals or `nan` as they are.
    #[test]
    fn a_result_is_what_its_own_text_reads_as() {
        let numbers =
            ["1.50", "1e3", "18446744073709551615", "18446744073709551616", "-0.0", "1e999"];
        let mut values: Vec<Value> =
            numbers.iter().map(|text| jaq_core::ValT::from_num(text).expect(text)).collect();
        values.push(Value::from(f64::NAN));
        values.push(Value::from(f64::INFINITY));
        let settled = settle(array(values)).expect("numbers only");
        let reread = parse(&to_json(&settled)).expect("written by us");
        assert_eq!(format!("{settled:?}"), format!("{reread:?}"));
    }
}
