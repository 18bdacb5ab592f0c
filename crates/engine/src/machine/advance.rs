//! A node's way through its phases.

use base::{ErrorType, Fault, Value};

use super::Machine;
use super::evaluate::Halt;
use super::node::{Body, Exit, Node, NodeId, Phase};
use crate::record::{NoteKind, TimerPurpose};

/// What a phase leads to.
pub(super) enum Next {
    /// The node's phase has changed: go on at once.
    Again,
    /// Nothing more until something happens, or until a child is done.
    Block,
    Done {
        output: Value,
        exit: Option<Exit>,
    },
    /// An error from below that this node does not catch goes on upwards.
    Rise(Fault),
}

impl Machine {
    /// Moves a node on until it blocks, is done, or faults.
    pub(super) fn advance(&mut self, id: NodeId, budget: &mut u32) {
        let Some(mut node) = self.arena.take(id) else { return };
        if node.evaluating.is_some() {
            self.arena.put(id, node);
            return;
        }
        loop {
            if *budget == 0 {
                self.arena.put(id, node);
                self.ready.push_front(id);
                return;
            }
            *budget -= 1;
            match self.phase(id, &mut node) {
                Ok(Next::Again) => node.evaluated.clear(),
                Ok(Next::Block) => {
                    node.evaluated.clear();
                    self.arena.put(id, node);
                    return;
                }
                Ok(Next::Done { output, exit }) => {
                    self.completed(id, node, output, exit);
                    return;
                }
                Ok(Next::Rise(fault)) => {
                    node.evaluated.clear();
                    self.arena.put(id, node);
                    self.rise(id, fault);
                    return;
                }
                Err(Halt::Outside(evaluate)) => {
                    self.evaluation_request(id, &mut node, evaluate);
                    self.arena.put(id, node);
                    return;
                }
                Err(Halt::Fault(fault)) => {
                    self.fail(id, node, fault);
                    return;
                }
            }
        }
    }

    fn phase(&mut self, id: NodeId, node: &mut Node) -> Result<Next, Halt> {
        match &node.phase {
            Phase::Condition => self.condition(id, node),
            Phase::Input => self.input(id, node),
            Phase::Extend => self.extend(node),
            Phase::Before { .. } => self.before(id, node),
            Phase::Body(_) => self.body(id, node),
            Phase::After { .. } => self.after(id, node),
            Phase::Output { .. } => self.output(node),
            Phase::Export { .. } => self.export(node),
            Phase::Faulted { .. } => Ok(Next::Block),
        }
    }

    fn condition(&mut self, id: NodeId, node: &mut Node) -> Result<Next, Halt> {
        let workflow = self.workflow.clone();
        let task = node.task.map(|no| workflow.task(no));
        let condition = task.and_then(|task| task.condition.as_ref());
        // A task's own timeout may read its input, and waits for that.
        let timeout = if task.is_none() { workflow.timeout.as_ref() } else { None };
        let mut expressions = self.expressions(node);
        if let Some(condition) = condition
            && !expressions.truth(condition, &node.raw_input)?
        {
            self.traced("skip", node.activation.as_str());
            self.note(node, NoteKind::Skipped);
            return Ok(Next::Done { output: node.raw_input.clone(), exit: Some(Exit::Skipped) });
        }
        if let Some(timeout) = timeout {
            let after = expressions.duration(timeout, &node.raw_input)?;
            node.timeout = Some(self.timeout_set(id, node, TimerPurpose::Timeout, after));
        }
        node.phase = Phase::Input;
        Ok(Next::Again)
    }

    fn input(&mut self, id: NodeId, node: &mut Node) -> Result<Next, Halt> {
        let workflow = self.workflow.clone();
        let task = node.task.map(|no| workflow.task(no));
        let input = task.map_or(&workflow.input, |task| &task.input);
        if let Some(schema) = &input.schema {
            schema.check(&node.raw_input).map_err(|wrong| invalid("input", &wrong))?;
        }
        let timeout = task.and_then(|task| task.timeout.as_ref());
        if input.from.is_some() || timeout.is_some() {
            let mut expressions = self.expressions(node);
            if let Some(from) = &input.from {
                node.input = expressions.template(from, &node.raw_input)?;
            }
            if let Some(timeout) = timeout {
                let after = expressions.on_input(&node.input).duration(timeout, &node.input)?;
                node.timeout = Some(self.timeout_set(id, node, TimerPurpose::Timeout, after));
            }
        }
        self.usage.tasks += u64::from(task.is_some());
        self.note(node, NoteKind::Started { input: node.input.clone() });
        let is_extended = self.is_extended(node.task);
        node.phase = if is_extended { Phase::Extend } else { Phase::Body(Body::Begin) };
        Ok(Next::Again)
    }

    fn output(&mut self, node: &mut Node) -> Result<Next, Halt> {
        let Phase::Output { raw, flow } = &node.phase else { unreachable!("chosen by `phase`") };
        let (raw, flow) = (raw.clone(), *flow);
        if let Some(extension) = node.next_after() {
            node.phase = Phase::After { extension, raw, flow, seq: None };
            return Ok(Next::Again);
        }
        let workflow = self.workflow.clone();
        let shape = node.task.map_or(&workflow.output, |no| &workflow.task(no).output);
        let output = match &shape.shape {
            Some(template) => {
                self.expressions(node).with_raw_output(&raw).template(template, &raw)?
            }
            None => raw.clone(),
        };
        if let Some(schema) = &shape.schema {
            schema.check(&output).map_err(|wrong| invalid("output", &wrong))?;
        }
        node.phase = Phase::Export { raw, output, flow };
        Ok(Next::Again)
    }

    fn export(&mut self, node: &mut Node) -> Result<Next, Halt> {
        let Phase::Export { raw, output, flow } = &node.phase else {
            unreachable!("chosen by `phase`")
        };
        let (raw, output, exit) = (raw.clone(), output.clone(), *flow);
        let workflow = self.workflow.clone();
        if let Some(export) = node.task.map(|no| &workflow.task(no).export) {
            if let Some(template) = &export.shape {
                let expressions = self.expressions(node).with_raw_output(&raw);
                let context = expressions.with_output(&output).template(template, &output)?;
                if let Some(schema) = &export.schema {
                    schema.check(&context).map_err(|wrong| invalid("exported context", &wrong))?;
                }
                self.context = context;
            } else if let Some(schema) = &export.schema {
                schema.check(&self.context).map_err(|wrong| invalid("context", &wrong))?;
            }
        }
        Ok(Next::Done { output, exit })
    }

    /// JSON pointer of a node's task; the run's own is the document.
    pub(super) fn location(&self, node: &Node) -> String {
        node.task.map_or_else(|| "/".to_owned(), |no| self.workflow.task(no).location.to_string())
    }
}

pub(super) fn invalid(what: &str, wrong: &str) -> Halt {
    Halt::Fault(Fault::new(
        ErrorType::Validation,
        format!("the {what} does not fit its schema: {wrong}"),
    ))
}
