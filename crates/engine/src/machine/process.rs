//! Processes: a script's or command's definition with everything evaluated.

use spec::tree::{Process, Program};

use super::Machine;
use super::evaluate::Halt;
use super::node::Node;
use super::seal::process_is_sealed;
use crate::effect::{Action, Interpreter, ProcessRequest};
use crate::process;

impl Machine {
    pub(super) fn process_action(&self, node: &Node, process: &Process) -> Result<Action, Halt> {
        let (interpreter, code) = match &process.program {
            Program::Script { language, code } => (Interpreter::Script(*language), code),
            Program::Shell { command } => (Interpreter::Shell, command),
        };
        if process_is_sealed(process, code) {
            return self.process_sealed(node, process, interpreter, code);
        }
        let mut expressions = self.expressions(node);
        let input = &node.input;
        let code = expressions.text(code, input)?;
        let stdin = match &process.stdin {
            Some(stdin) => process::text(&expressions.template(stdin, input)?),
            None => String::new(),
        };
        let arguments = match &process.arguments {
            Some(arguments) => process::arguments(&expressions.template(arguments, input)?)?,
            None => Vec::new(),
        };
        let environment = match &process.environment {
            Some(environment) => process::environment(&expressions.template(environment, input)?)?,
            None => Vec::new(),
        };
        let (returns, wait) = (process.returns, process.wait);
        Ok(Action::Process(ProcessRequest {
            interpreter,
            code,
            stdin,
            arguments,
            environment,
            returns,
            wait,
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
        // Only where it differs from what all were before there was a choice.
        if !self.wait {
            add(b"left alone");
        }
    }
}
