//! Processes: a script's or command's definition with everything evaluated.

use base::value::{as_object, as_str, kind, to_json_string};
use base::{ErrorType, Fault, Value};
use spec::tree::{Process, Program, Template};

use super::Machine;
use super::evaluate::{Expressions, Halt};
use super::node::Node;
use crate::effect::{Action, Interpreter, ProcessRequest};

impl Machine {
    pub(super) fn process_action(&self, node: &Node, process: &Process) -> Result<Action, Halt> {
        let mut expressions = self.expressions(node);
        let input = &node.input;
        let (interpreter, code) = match &process.program {
            Program::Script { language, code } => (Interpreter::Script(*language), code),
            Program::Shell { command } => (Interpreter::Shell, command),
        };
        let code = expressions.text(code, input)?;
        let stdin = match &process.stdin {
            Some(stdin) => text(&expressions.template(stdin, input)?),
            None => String::new(),
        };
        let arguments = arguments(&mut expressions, process.arguments.as_ref(), input)?;
        let environment = environment(&mut expressions, process.environment.as_ref(), input)?;
        let returns = process.returns;
        Ok(Action::Process(ProcessRequest {
            interpreter,
            code,
            stdin,
            arguments,
            environment,
            returns,
        }))
    }
}

impl ProcessRequest {
    /// Into the digest of the control state. Every part has its length and its number before it.
    pub(super) fn trace(&self, add: &mut impl FnMut(&[u8])) {
        add(self.interpreter.as_str().as_bytes());
        add(self.code.as_bytes());
        add(self.stdin.as_bytes());
        add(&(self.arguments.len() as u64).to_le_bytes());
        self.arguments.iter().for_each(|one| add(one.as_bytes()));
        for (name, value) in &self.environment {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        add(self.returns.as_str().as_bytes());
    }
}

/// Text as it is, anything else as JSON; `null` is nothing.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        other => as_str(other).map_or_else(|| to_json_string(other), str::to_owned),
    }
}

fn arguments(
    expressions: &mut Expressions,
    template: Option<&Template>,
    input: &Value,
) -> Result<Vec<String>, Halt> {
    let Some(template) = template else { return Ok(Vec::new()) };
    let value = expressions.template(template, input)?;
    let Value::Arr(items) = &value else {
        return Err(configuration(&format!("the arguments are {}, not a list", kind(&value))));
    };
    let one = |(at, item): (usize, &Value)| single(item, || format!("argument {}", at + 1));
    items.iter().enumerate().map(one).collect()
}

/// A `null` leaves the name out.
fn environment(
    expressions: &mut Expressions,
    template: Option<&Template>,
    input: &Value,
) -> Result<Vec<(String, String)>, Halt> {
    let Some(template) = template else { return Ok(Vec::new()) };
    let value = expressions.template(template, input)?;
    let Some(map) = as_object(&value) else {
        return Err(configuration(&format!("the environment is {}, not an object", kind(&value))));
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

fn single(value: &Value, what: impl Fn() -> String) -> Result<String, Halt> {
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

fn configuration(what: &str) -> Halt {
    Halt::Fault(Fault::new(ErrorType::Configuration, what))
}
