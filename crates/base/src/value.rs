//! The one value type: JSON, immutable and shared, the same in engine, expressions and journal.
//!
//! It is jaq's value, so that no step converts anything; conversion happens only at the edges, and
//! an edge is also where whatever is not JSON (byte strings, keys that are not text) is refused.

use std::fmt;

pub use jaq_json::{Map, Num, Val as Value};
use serde::de::DeserializeOwned;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::VALUE_DEPTH_MAX;

/// Why some bytes or some computed value are not a value of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("not valid JSON at line {line}, column {column}: {what}")]
    Syntax { line: usize, column: usize, what: String },
    #[error("an object key is {0}, and JSON allows only strings")]
    Key(&'static str),
    #[error("byte strings are not JSON")]
    Bytes,
    #[error("nested deeper than {VALUE_DEPTH_MAX} levels")]
    Depth,
    #[error("larger than {0} bytes")]
    TooLarge(usize),
    #[error("a number is not finite, and JSON cannot say that")]
    NotFinite,
}

/// Reads JSON text. Depth is limited, so that no value can exhaust a stack later.
pub fn parse(bytes: &[u8]) -> Result<Value, ValueError> {
    from_json(bytes)
}

fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ValueError> {
    serde_json::from_slice(bytes).map_err(|error| ValueError::Syntax {
        line: error.line(),
        column: error.column(),
        // The position is said above; the library's text would repeat it.
        what: error.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
    })
}

/// JSON text of a value that is JSON (see [`check`]). Numbers without a JSON form become `null`.
#[must_use]
pub fn to_json(value: &Value) -> Vec<u8> {
    serde_json::to_vec(&Ref(value)).expect("a value that is JSON has JSON text")
}

/// The same into bytes that are there already.
pub fn write_json(value: &Value, into: &mut Vec<u8>) {
    serde_json::to_writer(into, &Ref(value)).expect("a value that is JSON has JSON text");
}

#[must_use]
pub fn to_json_string(value: &Value) -> String {
    String::from_utf8(to_json(value)).expect("JSON text is UTF-8")
}

/// Refuses what an expression can compute but JSON cannot say.
pub fn check(value: &Value) -> Result<(), ValueError> {
    check_to(value, VALUE_DEPTH_MAX)
}

/// Refuses what is nested too deep or whose JSON text would be longer than `bytes_max`. Values share
/// their parts, so a small one in memory can have an endless text; this stops as soon as it knows.
pub fn fits(value: &Value, bytes_max: usize) -> Result<(), ValueError> {
    let mut left = bytes_max;
    weigh(value, VALUE_DEPTH_MAX, &mut left, bytes_max)
}

/// The same for one of many that have room together: what its text weighs is taken off `left`.
pub fn weigh_off(value: &Value, left: &mut usize, bytes_max: usize) -> Result<(), ValueError> {
    weigh(value, VALUE_DEPTH_MAX, left, bytes_max)
}

fn weigh(value: &Value, depth_left: usize, left: &mut usize, max: usize) -> Result<(), ValueError> {
    // A number or a separator is a few bytes; text is at least as long as its bytes.
    let own = match value {
        Value::BStr(bytes) | Value::TStr(bytes) => bytes.len() + 2,
        Value::Null | Value::Bool(_) | Value::Num(_) | Value::Arr(_) | Value::Obj(_) => 2,
    };
    *left = left.checked_sub(own).ok_or(ValueError::TooLarge(max))?;
    let below = || depth_left.checked_sub(1).ok_or(ValueError::Depth);
    match value {
        Value::Arr(items) => {
            let below = below()?;
            items.iter().try_for_each(|item| weigh(item, below, left, max))
        }
        Value::Obj(map) => {
            let below = below()?;
            map.iter().try_for_each(|(key, item)| {
                weigh(key, below, left, max)?;
                weigh(item, below, left, max)
            })
        }
        Value::Null | Value::Bool(_) | Value::Num(_) | Value::BStr(_) | Value::TStr(_) => Ok(()),
    }
}

/// The same value in the form that reading its JSON text would give, so that a recorded value equals
/// the one that was computed: decimals and integers beyond 64 bits become floating-point numbers.
pub fn normal(value: Value) -> Result<Value, ValueError> {
    check(&value)?;
    Ok(if is_normal(&value) { value } else { normalised(&value) })
}

fn is_normal(value: &Value) -> bool {
    match value {
        Value::Num(Num::Int(_) | Num::Float(_)) | Value::Null | Value::Bool(_) => true,
        Value::Num(Num::BigInt(_) | Num::Dec(_)) | Value::BStr(_) => false,
        Value::TStr(_) => true,
        Value::Arr(items) => items.iter().all(is_normal),
        Value::Obj(map) => map.values().all(is_normal),
    }
}

fn normalised(value: &Value) -> Value {
    match value {
        Value::Num(number) => Value::Num(normal_number(number)),
        Value::Arr(items) => array(items.iter().map(normalised).collect()),
        Value::Obj(map) => {
            Value::obj(map.iter().map(|(key, item)| (key.clone(), normalised(item))).collect())
        }
        Value::Null | Value::Bool(_) | Value::BStr(_) | Value::TStr(_) => value.clone(),
    }
}

fn normal_number(number: &Num) -> Num {
    match number {
        Num::Int(_) | Num::Float(_) => number.clone(),
        Num::BigInt(big) => match u64::try_from(&**big) {
            Ok(_) => number.clone(),
            Err(_) => Num::Float(float(number)),
        },
        Num::Dec(_) => Num::Float(float(number)),
    }
}

fn float(number: &Num) -> f64 {
    match number {
        Num::Int(int) => *int as f64,
        Num::Float(float) => *float,
        Num::BigInt(big) => big.to_string().parse().unwrap_or(f64::NAN),
        Num::Dec(text) => text.parse().unwrap_or(f64::NAN),
    }
}

fn check_to(value: &Value, depth_left: usize) -> Result<(), ValueError> {
    let below = depth_left.checked_sub(1).ok_or(ValueError::Depth);
    match value {
        Value::Num(number) if !float(number).is_finite() => Err(ValueError::NotFinite),
        Value::Null | Value::Bool(_) | Value::Num(_) | Value::TStr(_) => Ok(()),
        Value::BStr(_) => Err(ValueError::Bytes),
        Value::Arr(items) => {
            let below = below?;
            items.iter().try_for_each(|item| check_to(item, below))
        }
        Value::Obj(map) => {
            let below = below?;
            map.iter().try_for_each(|(key, item)| match key {
                Value::TStr(_) => check_to(item, below),
                other => Err(ValueError::Key(kind(other))),
            })
        }
    }
}

#[must_use]
pub fn string(text: &str) -> Value {
    Value::utf8_str(text.as_bytes().to_vec())
}

#[must_use]
pub fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::obj(fields.into_iter().map(|(key, value)| (string(key), value)).collect())
}

#[must_use]
pub fn array(items: Vec<Value>) -> Value {
    Value::Arr(items.into())
}

#[must_use]
pub fn int(number: i64) -> Value {
    Value::Num(Num::from_integral(number))
}

/// The text of a string value.
#[must_use]
pub fn as_str(value: &Value) -> Option<&str> {
    match value {
        Value::TStr(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

#[must_use]
pub fn as_i64(value: &Value) -> Option<i64> {
    match value {
        Value::Num(number) => number.as_isize().and_then(|n| i64::try_from(n).ok()),
        _ => None,
    }
}

#[must_use]
pub fn as_array(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Arr(items) => Some(items),
        _ => None,
    }
}

#[must_use]
pub fn as_object(value: &Value) -> Option<&Map> {
    match value {
        Value::Obj(map) => Some(map),
        _ => None,
    }
}

#[must_use]
pub fn get<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    as_object(value)?.get(&string(key))
}

/// Truth as jq has it: everything but `false` and `null`.
#[must_use]
pub fn is_true(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

/// The type's name, for messages. Never the value itself: it may be somebody's secret.
#[must_use]
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Num(_) => "a number",
        Value::BStr(_) => "a byte string",
        Value::TStr(_) => "a string",
        Value::Arr(_) => "an array",
        Value::Obj(_) => "an object",
    }
}

/// From any type that says itself in JSON.
pub fn from_serialize<T: Serialize>(thing: &T) -> Value {
    let json = serde_json::to_vec(thing).expect("our own types have JSON text");
    parse(&json).expect("JSON text that was just written")
}

#[must_use]
pub fn from_serde(json: &serde_json::Value) -> Value {
    Value::deserialize(json).expect("JSON in memory is a value")
}

#[must_use]
pub fn to_serde(value: &Value) -> serde_json::Value {
    serde_json::to_value(Ref(value)).expect("a value that is JSON has a JSON tree")
}

/// A value inside a type that derives `Serialize` and `Deserialize`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Json(pub Value);

struct Ref<'a>(&'a Value);

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Ref(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_json_string(&self.0))
    }
}

impl Serialize for Ref<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(truth) => serializer.serialize_bool(*truth),
            Value::Num(number) => serialize_number(number, serializer),
            // Looked at as a whole first, which is much faster than in parts.
            Value::BStr(bytes) | Value::TStr(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => serializer.serialize_str(text),
                Err(_) => serializer.serialize_str(&String::from_utf8_lossy(bytes)),
            },
            Value::Arr(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| seq.serialize_element(&Ref(item)))?;
                seq.end()
            }
            Value::Obj(map) => {
                let mut out = serializer.serialize_map(Some(map.len()))?;
                map.iter()
                    .try_for_each(|(key, item)| out.serialize_entry(&Ref(key), &Ref(item)))?;
                out.end()
            }
        }
    }
}

fn serialize_number<S: Serializer>(number: &Num, serializer: S) -> Result<S::Ok, S::Error> {
    match number {
        Num::Int(int) => serializer.serialize_i64(*int as i64),
        Num::Float(float) => serializer.serialize_f64(*float),
        Num::BigInt(big) => match u64::try_from(&**big) {
            Ok(small) => serializer.serialize_u64(small),
            Err(_) => serializer.serialize_f64(float(number)),
        },
        Num::Dec(_) => serializer.serialize_f64(float(number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(text: &str) -> String {
        to_json_string(&parse(text.as_bytes()).expect(text))
    }

    /// Mutation: serialise integers as floats, or sort keys.
    #[test]
    fn json_survives_reading_and_writing() {
        for text in [
            "null",
            "true",
            "-7",
            "1.5",
            "0.1",
            "1e+300",
            "18446744073709551615",
            "\"ä\\n\"",
            "[]",
            "{}",
            r#"{"b":[1,2,{"a":null}],"a":"x"}"#,
        ] {
            assert_eq!(round(text), text);
        }
    }

    /// Mutation: raise the depth limit above the parser's, or skip the check of keys.
    #[test]
    fn what_is_not_json_is_refused() {
        let deep = "[".repeat(5_000) + &"]".repeat(5_000);
        assert!(matches!(parse(deep.as_bytes()), Err(ValueError::Syntax { .. })));
        assert!(matches!(parse(b"{\"a\":1"), Err(ValueError::Syntax { .. })));
        let keyed = Value::obj([(int(1), int(2))].into_iter().collect());
        assert_eq!(check(&keyed), Err(ValueError::Key("a number")));
        assert_eq!(check(&array(vec![Value::byte_str(vec![255])])), Err(ValueError::Bytes));
        let nested = (0..200).fold(Value::Null, |inner, _| array(vec![inner]));
        assert_eq!(check(&nested), Err(ValueError::Depth));
        assert_eq!(check(&Value::Num(Num::Float(f64::INFINITY))), Err(ValueError::NotFinite));
    }

    /// Mutation: count a shared part once, or walk to the end before saying no.
    #[test]
    fn a_small_value_with_an_endless_text_is_refused_at_once() {
        let doubled = (0..90).fold(int(1), |inner, _| array(vec![inner.clone(), inner]));
        assert_eq!(fits(&doubled, 1_000_000), Err(ValueError::TooLarge(1_000_000)));
        let deep = (0..101).fold(int(1), |inner, _| array(vec![inner]));
        assert_eq!(fits(&deep, 1_000_000), Err(ValueError::Depth));
        assert_eq!(fits(&object([("a", string("xyz"))]), 12), Ok(()));
        assert_eq!(fits(&object([("a", string("xyz"))]), 9), Err(ValueError::TooLarge(9)));
    }

    /// Mutation: leave decimals or large integers as they are.
    #[test]
    fn a_normal_value_equals_what_its_text_says() {
        let decimal = Value::Num(Num::Dec("0.10".to_owned().into()));
        let large = Value::Num(Num::from_str_radix(&"9".repeat(30), 10).expect("an integer"));
        let mixed = array(vec![decimal, large, int(7), object([("a", string("x"))])]);
        let normal = normal(mixed).expect("is JSON");
        let again = parse(&to_json(&normal)).expect("was just written");
        assert_eq!(format!("{again:?}"), format!("{normal:?}"));
    }

    /// Mutation: let NaN through as text.
    #[test]
    fn a_number_without_json_form_is_null() {
        assert_eq!(to_json(&Value::Num(Num::Float(f64::NAN))), b"null");
    }
}
