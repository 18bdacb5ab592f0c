//! From values to a process: the form in which a program gets what it is given.
//!
//! The values come from `machine::process`, or from sealed parts that the performer has opened.

use base::value::{as_object, as_str, get, kind, to_json_string};
use base::{ErrorType, Fault, Value};
use spec::tree::Returns;

use crate::effect::{Interpreter, ProcessRequest};

/// The names of a process's parts, where they travel as one value.
pub(crate) const CODE: &str = "code";
pub(crate) const STDIN: &str = "stdin";
pub(crate) const ARGUMENTS: &str = "arguments";
pub(crate) const ENVIRONMENT: &str = "environment";

/// A process of which all parts but its code may be missing.
pub(crate) fn request(
    interpreter: Interpreter,
    returns: Returns,
    wait: bool,
    parts: &Value,
) -> Result<ProcessRequest, Fault> {
    let code = get(parts, CODE).unwrap_or(&Value::Null);
    let Some(code) = as_str(code) else {
        return Err(configuration(&format!("the code is {}, not a string", kind(code))));
    };
    Ok(ProcessRequest {
        interpreter,
        code: code.to_owned(),
        stdin: get(parts, STDIN).map(text).unwrap_or_default(),
        arguments: get(parts, ARGUMENTS).map(arguments).transpose()?.unwrap_or_default(),
        environment: get(parts, ENVIRONMENT).map(environment).transpose()?.unwrap_or_default(),
        returns,
        wait,
    })
}

/// Text as it is, anything else as JSON; `null` is nothing.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        other => as_str(other).map_or_else(|| to_json_string(other), str::to_owned),
    }
}

pub(crate) fn arguments(value: &Value) -> Result<Vec<String>, Fault> {
    let Value::Arr(items) = value else {
        return Err(configuration(&format!("the arguments are {}, not a list", kind(value))));
    };
    let one = |(at, item): (usize, &Value)| single(item, || format!("argument {}", at + 1));
    items.iter().enumerate().map(one).collect()
}

/// A `null` leaves the name out.
pub(crate) fn environment(value: &Value) -> Result<Vec<(String, String)>, Fault> {
    let Some(map) = as_object(value) else {
        return Err(configuration(&format!("the environment is {}, not an object", kind(value))));
    };
    let mut all = Vec::with_capacity(map.len());
    for (name, value) in map {
        let name = as_str(name).unwrap_or_default();
        if *value == Value::Null {
            continue;
        }
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(configuration("the environment has a name that is empty or has `=` in it"));
        }
        let value = single(value, || format!("`{name}` in the environment"))?;
        all.push((name.to_owned(), value));
    }
    Ok(all)
}

fn single(value: &Value, what: impl Fn() -> String) -> Result<String, Fault> {
    let text = match value {
        Value::TStr(_) => as_str(value).map(str::to_owned),
        Value::Num(_) | Value::Bool(_) => Some(to_json_string(value)),
        Value::Null | Value::BStr(_) | Value::Arr(_) | Value::Obj(_) => None,
    };
    let text = text.ok_or_else(|| {
        configuration(&format!(
            "{} is {}, not a single value; `tojson` makes text of it",
            what(),
            kind(value)
        ))
    })?;
    if text.contains('\0') {
        return Err(configuration(&format!(
            "{} holds a zero byte, and no program can get one",
            what()
        )));
    }
    Ok(text)
}

fn configuration(what: &str) -> Fault {
    Fault::new(ErrorType::Configuration, what)
}
