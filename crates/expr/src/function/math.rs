//! Mathematics. Integers and floating-point numbers are told apart as jaq does.

use base::Value;
use jaq_core::ValT as _;
use jaq_json::Num;
use jaq_std::ValT as _;

use super::calculate::negate;
use super::value::zero;
use crate::fail::{Answer, Refused};
use crate::fuel::Fuel;

fn real(name: &'static str, input: &Value, function: fn(f64) -> f64) -> Answer {
    match input.as_f64() {
        Some(number) => Ok(Value::from(function(number))),
        None => Err(Refused::input(name, input)),
    }
}

pub(crate) fn exp(_: &Fuel, input: &Value) -> Answer {
    real("exp", input, libm::exp)
}

pub(crate) fn exp2(_: &Fuel, input: &Value) -> Answer {
    real("exp2", input, libm::exp2)
}

pub(crate) fn exp10(_: &Fuel, input: &Value) -> Answer {
    real("exp10", input, libm::exp10)
}

pub(crate) fn log(_: &Fuel, input: &Value) -> Answer {
    real("log", input, libm::log)
}

pub(crate) fn log2(_: &Fuel, input: &Value) -> Answer {
    real("log2", input, libm::log2)
}

pub(crate) fn log10(_: &Fuel, input: &Value) -> Answer {
    real("log10", input, libm::log10)
}

pub(crate) fn sqrt(_: &Fuel, input: &Value) -> Answer {
    real("sqrt", input, libm::sqrt)
}

pub(crate) fn fabs(_: &Fuel, input: &Value) -> Answer {
    real("fabs", input, libm::fabs)
}

pub(crate) fn trunc(_: &Fuel, input: &Value) -> Answer {
    real("trunc", input, libm::trunc)
}

/// `pow(base; exponent)`.
pub(crate) fn pow(base: &Value, exponent: &Value) -> Answer {
    match (base.as_f64(), exponent.as_f64()) {
        (Some(base), Some(exponent)) => Ok(Value::from(libm::pow(base, exponent))),
        _ => Err(Refused::argument("pow", base, exponent)),
    }
}

pub(crate) fn floor(_: &Fuel, input: &Value) -> Answer {
    whole("floor", input, f64::floor)
}

pub(crate) fn ceil(_: &Fuel, input: &Value) -> Answer {
    whole("ceil", input, f64::ceil)
}

pub(crate) fn round(_: &Fuel, input: &Value) -> Answer {
    whole("round", input, f64::round)
}

/// An integer where one fits, else a number that is written without a fraction.
fn whole(name: &'static str, input: &Value, function: fn(f64) -> f64) -> Answer {
    if let Value::Num(Num::Int(_) | Num::BigInt(_)) = input {
        return Ok(input.clone());
    }
    let number = function(input.as_f64().ok_or_else(|| Refused::input(name, input))?);
    if !number.is_finite() {
        return Ok(Value::from(number));
    }
    if isize::MIN as f64 <= number && number <= isize::MAX as f64 {
        return Ok(Value::from(number as isize));
    }
    Value::from_num(&format!("{number:.0}")).map_err(|_| Refused::input(name, input))
}

pub(crate) fn abs(fuel: &Fuel, input: &Value) -> Answer {
    fuel.spend(1)?;
    if *input < zero() { negate(input.clone()) } else { Ok(input.clone()) }
}

pub(crate) fn nan(_: &Fuel, _: &Value) -> Answer {
    Ok(Value::from(f64::NAN))
}

pub(crate) fn infinite(_: &Fuel, _: &Value) -> Answer {
    Ok(Value::from(f64::INFINITY))
}

pub(crate) fn is_nan(_: &Fuel, input: &Value) -> Answer {
    Ok(Value::Bool(nan_like(input)))
}

pub(crate) fn is_infinite(_: &Fuel, input: &Value) -> Answer {
    Ok(Value::Bool(infinite_like(input)))
}

pub(crate) fn is_finite(_: &Fuel, input: &Value) -> Answer {
    Ok(Value::Bool(matches!(input, Value::Num(_)) && !infinite_like(input)))
}

pub(crate) fn is_normal(_: &Fuel, input: &Value) -> Answer {
    let odd = *input == zero() || nan_like(input) || infinite_like(input);
    Ok(Value::Bool(matches!(input, Value::Num(_)) && !odd))
}

fn nan_like(value: &Value) -> bool {
    matches!(value, Value::Num(_)) && value.as_f64().is_some_and(f64::is_nan)
}

fn infinite_like(value: &Value) -> bool {
    match value {
        // A whole number is never infinite, however many digits it has.
        Value::Num(Num::Float(_) | Num::Dec(_)) => value.as_f64().is_some_and(f64::is_infinite),
        _ => false,
    }
}
