//! Extensions: tasks before and after the one that they extend.
//!
//! ```text
//! Input → Extend → Before 0 → Before 1 → Body → Output → After 1 → Output → After 0 → Output → …
//! ```
//!
//! The node of the extended task is the parent of both lists. Those only look on: the task gets its
//! own input, and its output is its own. An exception is `then: exit` in a list before: the task is
//! not done, and what the exiting task gave is its raw output; then only those lists after are done
//! whose extensions had let the task pass.

use base::Value;
use spec::tree::{Flow, TaskList, TaskNo};

use super::Machine;
use super::advance::Next;
use super::body::Birth;
use super::counts::Counts;
use super::evaluate::Halt;
use super::node::{Body, Extended, Node, NodeId, Phase, Seq};
use super::scope::Variables;
use crate::activation::Activation;

impl Machine {
    /// Whether the task has extensions by its kind; whether they apply is asked in [`Phase::Extend`].
    pub(super) fn is_extended(&self, task: Option<TaskNo>) -> bool {
        let Some(task) = task.map(|no| self.workflow.task(no)) else { return false };
        let mut all = self.workflow.extensions.iter();
        !task.is_extension && all.any(|extension| extension.extend.matches(&task.kind))
    }

    /// Which extensions apply? All are asked before any begins.
    pub(super) fn extend(&mut self, node: &mut Node) -> Result<Next, Halt> {
        let workflow = self.workflow.clone();
        let Some(task) = node.task.map(|no| workflow.task(no)) else {
            unreachable!("only a task is extended")
        };
        let mut expressions = self.expressions(node).of_extended(node);
        let mut applied = Vec::new();
        for (number, extension) in (0..).zip(&workflow.extensions) {
            if !extension.extend.matches(&task.kind) {
                continue;
            }
            let applies = match &extension.when {
                Some(when) => expressions.truth(when, &node.input)?,
                None => true,
            };
            if applies {
                self.traced("extension", &extension.name);
                applied.push(number);
            }
        }
        if applied.is_empty() {
            node.phase = Phase::Body(Body::Begin);
            return Ok(Next::Again);
        }
        // What a time before this one counted goes on counting.
        let definite = node.extended.take().map(|extended| extended.definite).unwrap_or_default();
        node.extended = Some(Box::new(Extended { applied, definite }));
        node.phase = Phase::Before { at: 0, seq: None };
        Ok(Next::Again)
    }

    pub(super) fn before(&mut self, id: NodeId, node: &mut Node) -> Result<Next, Halt> {
        let Phase::Before { at, seq } = &node.phase else { unreachable!("chosen by `phase`") };
        if seq.is_some() {
            return Ok(Next::Block);
        }
        let at = *at;
        let applied = node.extended.as_ref().and_then(|it| it.applied.get(at as usize).copied());
        let Some(number) = applied else {
            node.phase = Phase::Body(Body::Begin);
            return Ok(Next::Again);
        };
        let workflow = self.workflow.clone();
        let Some(first) = workflow.extensions[number as usize].before.0.first() else {
            node.phase = Phase::Before { at: at + 1, seq: None };
            return Ok(Next::Again);
        };
        node.phase = Phase::Before { at, seq: Some(Seq::default()) };
        let (base, input) = (node.activation.before(number), node.input.clone());
        let variables = Variables::default();
        self.spawn(id, node, Birth { task: *first, visit: 1, base: &base, variables, input });
        Ok(Next::Block)
    }

    /// The last extension that has not looked at the output does so now.
    pub(super) fn after(&mut self, id: NodeId, node: &mut Node) -> Result<Next, Halt> {
        let Phase::After { extension, raw, flow, seq } = &node.phase else {
            unreachable!("chosen by `phase`")
        };
        if seq.is_some() {
            return Ok(Next::Block);
        }
        let (extension, raw, flow) = (*extension, raw.clone(), *flow);
        let workflow = self.workflow.clone();
        let Some(first) = workflow.extensions[extension as usize].after.0.first() else {
            node.phase = Phase::Output { raw, flow };
            return Ok(Next::Again);
        };
        let (base, input) = (node.activation.after(extension), raw.clone());
        node.phase = Phase::After { extension, raw, flow, seq: Some(Seq::default()) };
        let variables = Variables::default();
        self.spawn(id, node, Birth { task: *first, visit: 1, base: &base, variables, input });
        Ok(Next::Block)
    }

    /// A task of a list before or after is done.
    pub(super) fn extension_goes_on(
        &mut self,
        id: NodeId,
        node: &mut Node,
        output: Value,
        flow: &Flow,
    ) {
        let Some((list, base)) = self.extension_list(node) else { return };
        let next = match &mut node.phase {
            Phase::Before { seq: Some(seq), .. } | Phase::After { seq: Some(seq), .. } => {
                seq.next(flow, list.0.len())
            }
            _ => None,
        };
        if let Some((index, visit)) = next {
            let (task, variables) = (list.0[index as usize], Variables::default());
            self.spawn(id, node, Birth { task, visit, base: &base, variables, input: output });
            return;
        }
        match &node.phase {
            Phase::Before { at, .. } if *flow == Flow::Exit => {
                self.traced("not done", node.activation.as_str());
                let let_pass = *at as usize;
                if let Some(extended) = &mut node.extended {
                    extended.applied.truncate(let_pass);
                }
                node.phase = Phase::Output { raw: output, flow: None };
            }
            Phase::Before { at, .. } => node.phase = Phase::Before { at: at + 1, seq: None },
            Phase::After { raw, flow, .. } => {
                node.phase = Phase::Output { raw: raw.clone(), flow: *flow };
            }
            _ => {}
        }
    }

    /// The list that an extended node is in, and below which activation its tasks are.
    fn extension_list(&self, node: &Node) -> Option<(TaskList, Activation)> {
        match &node.phase {
            Phase::Before { at, .. } => {
                let number = *node.extended.as_ref()?.applied.get(*at as usize)?;
                let list = self.workflow.extensions[number as usize].before.clone();
                Some((list, node.activation.before(number)))
            }
            Phase::After { extension, .. } => {
                let list = self.workflow.extensions[*extension as usize].after.clone();
                Some((list, node.activation.after(*extension)))
            }
            _ => None,
        }
    }

    /// The extended node whose lists this one belongs to.
    pub(super) fn extended_by(&self, node: &Node) -> Option<&Node> {
        let mut next = node.parent;
        while let Some(above) = next.and_then(|id| self.arena.get(id)) {
            if above.is_extending() {
                return Some(above);
            }
            next = above.parent;
        }
        None
    }
}

impl Node {
    /// Takes the next extension whose list after is to be done.
    pub(super) fn next_after(&mut self) -> Option<u32> {
        self.extended.as_mut().and_then(|extended| extended.applied.pop())
    }

    /// Whether what is below it belongs to extensions.
    pub(super) fn is_extending(&self) -> bool {
        matches!(self.phase, Phase::Before { .. } | Phase::After { .. })
    }

    /// Definite responses to effects of extensions, where they are counted here.
    pub(super) fn extension_counts(&mut self) -> Option<&mut Counts> {
        let is_extending = self.is_extending();
        self.extended.as_mut().filter(|_| is_extending).map(|extended| &mut extended.definite)
    }
}
