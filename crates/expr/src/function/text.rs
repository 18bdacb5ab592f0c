//! Functions on strings.

use std::borrow::Cow;

use base::Value;
use base::value::as_str;
use jaq_core::ops::Math;
use jaq_json::{read, write};

use super::calculate::calculate;
use crate::fail::{Answer, Refused};
use crate::fuel::Fuel;

/// A number's text is shorter; anything else that `tonumber` takes is rare enough to go outside.
const NUMBER_BYTES_MAX: usize = 64;

fn of(name: &'static str, fuel: &Fuel, input: &Value, function: fn(&str) -> String) -> Answer {
    let text = string(name, input)?;
    fuel.spend_bytes(text.len())?;
    Ok(Value::utf8_str(function(text).into_bytes()))
}

/// Text of a string. A value may hold text that is not UTF-8, which the whole interpreter can tell.
fn string<'v>(name: &'static str, input: &'v Value) -> Result<&'v str, Refused> {
    match input {
        Value::TStr(_) => as_str(input).ok_or(Refused::Outside),
        Value::BStr(_) => Err(Refused::Outside),
        _ => Err(Refused::input(name, input)),
    }
}

fn pair<'v>(
    name: &'static str,
    fuel: &Fuel,
    input: &'v Value,
    argument: &'v Value,
) -> Result<(&'v str, &'v str), Refused> {
    match (input, argument) {
        (Value::TStr(_), Value::TStr(_)) => {
            let (text, part) = (string(name, input)?, string(name, argument)?);
            fuel.spend_bytes(text.len() + part.len())?;
            Ok((text, part))
        }
        (Value::BStr(_), _) | (_, Value::BStr(_)) => Err(Refused::Outside),
        _ => Err(Refused::argument(name, input, argument)),
    }
}

pub(crate) fn ascii_downcase(fuel: &Fuel, input: &Value) -> Answer {
    of("ascii_downcase", fuel, input, str::to_ascii_lowercase)
}

pub(crate) fn ascii_upcase(fuel: &Fuel, input: &Value) -> Answer {
    of("ascii_upcase", fuel, input, str::to_ascii_uppercase)
}

pub(crate) fn trim(fuel: &Fuel, input: &Value) -> Answer {
    of("trim", fuel, input, |text| text.trim().to_owned())
}

pub(crate) fn ltrim(fuel: &Fuel, input: &Value) -> Answer {
    of("ltrim", fuel, input, |text| text.trim_start().to_owned())
}

pub(crate) fn rtrim(fuel: &Fuel, input: &Value) -> Answer {
    of("rtrim", fuel, input, |text| text.trim_end().to_owned())
}

pub(crate) fn startswith(fuel: &Fuel, input: &Value, argument: &Value) -> Answer {
    let (text, part) = pair("startswith", fuel, input, argument)?;
    Ok(Value::Bool(text.starts_with(part)))
}

pub(crate) fn endswith(fuel: &Fuel, input: &Value, argument: &Value) -> Answer {
    let (text, part) = pair("endswith", fuel, input, argument)?;
    Ok(Value::Bool(text.ends_with(part)))
}

pub(crate) fn ltrimstr(fuel: &Fuel, input: &Value, argument: &Value) -> Answer {
    let (text, part) = pair("ltrimstr", fuel, input, argument)?;
    Ok(base::value::string(text.strip_prefix(part).unwrap_or(text)))
}

pub(crate) fn rtrimstr(fuel: &Fuel, input: &Value, argument: &Value) -> Answer {
    let (text, part) = pair("rtrimstr", fuel, input, argument)?;
    Ok(base::value::string(text.strip_suffix(part).unwrap_or(text)))
}

pub(crate) fn split(fuel: &Fuel, input: &Value, argument: &Value) -> Answer {
    let (text, _) = pair("split", fuel, input, argument)?;
    fuel.spend_items(text.len())?;
    calculate(fuel, Cow::Borrowed(input), Math::Div, Cow::Borrowed(argument))
}

/// Texts of all items with the separator between them. Only arrays; a separator may be `null`.
pub(crate) fn join(fuel: &Fuel, input: &Value, separator: &Value) -> Answer {
    let wrong = || Refused::argument("join", input, separator);
    let Value::Arr(items) = input else { return Err(wrong()) };
    let between = match separator {
        Value::TStr(text) => text,
        Value::Null => &Box::default(),
        Value::BStr(_) => return Err(Refused::Outside),
        _ if items.len() < 2 => &Box::default(),
        _ => return Err(wrong()),
    };
    let mut joined = Vec::new();
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            fuel.spend_bytes(between.len())?;
            joined.extend_from_slice(between);
        }
        append(fuel, &mut joined, item)?;
    }
    Ok(Value::utf8_str(joined))
}

pub(crate) fn tostring(fuel: &Fuel, input: &Value) -> Answer {
    match input {
        Value::TStr(_) => Ok(input.clone()),
        _ => tojson(fuel, input),
    }
}

pub(crate) fn tojson(fuel: &Fuel, input: &Value) -> Answer {
    let mut text = Vec::new();
    append_json(fuel, &mut text, input)?;
    Ok(Value::utf8_str(text))
}

/// Appends what `tostring` gives.
pub(crate) fn append(fuel: &Fuel, out: &mut Vec<u8>, value: &Value) -> Result<(), Refused> {
    match value {
        Value::TStr(text) => {
            fuel.spend_bytes(text.len())?;
            out.extend_from_slice(text);
            Ok(())
        }
        _ => append_json(fuel, out, value),
    }
}

pub(crate) fn append_json(fuel: &Fuel, out: &mut Vec<u8>, value: &Value) -> Result<(), Refused> {
    // Its text is at most some twenty bytes for each part; a character may take six to escape.
    fuel.weigh(value)?;
    fuel.weigh(value)?;
    if let Value::BStr(_) = value {
        return Err(Refused::Outside);
    }
    write::write(out, &write::Pp::<String>::default(), 0, value)
        .expect("writing to memory does not fail");
    Ok(())
}

pub(crate) fn tonumber(fuel: &Fuel, input: &Value) -> Answer {
    fuel.spend(1)?;
    match input {
        Value::Num(_) => Ok(input.clone()),
        Value::TStr(text) => {
            let plain = text.len() <= NUMBER_BYTES_MAX
                && text.iter().all(|b| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
            if !plain {
                return Err(Refused::Outside);
            }
            match read::parse_single(text) {
                Ok(number @ Value::Num(_)) => Ok(number),
                _ => Err(Refused::Outside),
            }
        }
        Value::BStr(_) => Err(Refused::Outside),
        _ => Err(Refused::input("tonumber", input)),
    }
}
