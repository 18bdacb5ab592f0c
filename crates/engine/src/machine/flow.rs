//! A task has completed: where does the flow go?

use base::Value;
use base::value::array;
use spec::tree::{Flow, TaskKind, TaskList, TaskNo};
use store::RunState;

use super::Machine;
use super::body::Birth;
use super::evaluate::{Halt, weighed};
use super::listen::{event_variables, index_of, to_stage};
use super::node::{Body, Exit, Guard, GuardStage, ListenStage, Node, NodeId, Phase, Seq};
use crate::activation::Activation;
use crate::record::NoteKind;

impl Machine {
    pub(super) fn completed(
        &mut self,
        id: NodeId,
        node: Box<Node>,
        output: Value,
        exit: Option<Exit>,
    ) {
        if let Some(timeout) = node.timeout {
            self.timer_clear(timeout.timer);
        }
        if exit != Some(Exit::Skipped) {
            self.note(&node, NoteKind::Completed { output: output.clone() });
        }
        self.arena.release(id);
        let (Some(parent), Some(task)) = (node.parent, node.task) else {
            self.end(RunState::Completed, Some(output), None);
            return;
        };
        match self.flow(task, exit) {
            Flow::End => self.end_of_run(output),
            flow => self.child_done(parent, id, task, output, flow),
        }
    }

    fn flow(&self, task: TaskNo, exit: Option<Exit>) -> Flow {
        let task = self.workflow.task(task);
        match (exit, &task.kind) {
            (Some(Exit::Case(number)), TaskKind::Switch(cases)) => {
                cases[number as usize].then.clone()
            }
            (Some(Exit::Caught), TaskKind::Try(guard)) => {
                guard.catch.then.clone().unwrap_or_else(|| task.then.clone())
            }
            // A task that was not done has no say in what follows it.
            (Some(Exit::Skipped), _) => Flow::Continue,
            _ => task.then.clone(),
        }
    }

    /// `then: end`: whatever else goes on is cancelled, and this is the run's raw output.
    fn end_of_run(&mut self, output: Value) {
        let mut root = self.arena.take(NodeId::ROOT).expect("a run in progress has a root");
        self.drop_children(&mut root);
        root.phase = Phase::Output { raw: output, flow: None };
        self.arena.put(NodeId::ROOT, root);
        self.ready.push_back(NodeId::ROOT);
    }

    fn child_done(&mut self, id: NodeId, child: NodeId, task: TaskNo, output: Value, flow: Flow) {
        let mut node = self.arena.take(id).expect("a child's parent outlives it");
        node.children.retain(|other| *other != child);
        let workflow = self.workflow.clone();
        let kind = node.task.map(|no| &workflow.task(no).kind);
        match (&node.phase, kind) {
            _ if node.is_extending() => self.extension_goes_on(id, &mut node, output, &flow),
            // Advancing the fork will see whether that was all it waits for.
            (Phase::Body(Body::Fork(_)), Some(TaskKind::Fork(fork))) => {
                branch_done(&mut node, &fork.branches, task, output);
            }
            _ => self.list_goes_on(id, &mut node, output, &flow),
        }
        self.arena.put(id, node);
        self.ready.push_back(id);
    }

    fn list_goes_on(&mut self, id: NodeId, node: &mut Node, output: Value, flow: &Flow) {
        let workflow = self.workflow.clone();
        let Some((list, base)) = current_list(&workflow, node) else { return };
        let Some(seq) = current_seq(node) else { return };
        let Some((index, visit)) = seq.next(flow, list.0.len()) else {
            list_done(node, output);
            return;
        };
        let variables = self.child_variables(node);
        let task = list.0[index as usize];
        self.spawn(id, node, Birth { task, visit, base: &base, variables, input: output });
    }

    /// What the next task of the current list sees: what its predecessor saw.
    fn child_variables(&self, node: &Node) -> super::scope::Variables {
        let kind = node.task.map(|no| &self.workflow.task(no).kind);
        match (&node.phase, kind) {
            (Phase::Body(Body::For(state)), Some(TaskKind::For(task))) => {
                let item = state.items.get(state.index).cloned().unwrap_or_default();
                let index = base::value::int(i64::try_from(state.index).unwrap_or(i64::MAX));
                node.variables.with(&task.each, item).with(&task.at, index)
            }
            (Phase::Body(Body::Listen(listening)), Some(TaskKind::Listen(task))) => {
                match &listening.stage {
                    ListenStage::Iterating { item, .. } => event_variables(node, task, item),
                    _ => node.variables.clone(),
                }
            }
            _ => node.variables.clone(),
        }
    }

    /// Completes a fork that has all that it waits for. A branch that has faulted keeps it open:
    /// the fault decides.
    pub(super) fn fork_settle(&mut self, node: &mut Node, compete: bool) -> Result<(), Halt> {
        let Phase::Body(Body::Fork(state)) = &node.phase else { return Ok(()) };
        let faulted = |child: &NodeId| self.arena.get(*child).is_some_and(Node::is_faulted);
        if node.children.iter().any(faulted) {
            return Ok(());
        }
        let raw = if compete {
            state.outputs.iter().flatten().next().cloned()
        } else {
            let all: Option<Vec<Value>> = state.outputs.iter().cloned().collect();
            all.map(array)
        };
        let Some(raw) = raw else { return Ok(()) };
        let raw = weighed(raw)?;
        self.drop_children(node);
        node.phase = Phase::Output { raw, flow: None };
        Ok(())
    }
}

fn branch_done(node: &mut Node, branches: &TaskList, task: TaskNo, output: Value) {
    let at = branches.0.iter().position(|branch| *branch == task);
    if let (Phase::Body(Body::Fork(state)), Some(at)) = (&mut node.phase, at) {
        state.outputs[at] = Some(output);
    }
}

fn list_done(node: &mut Node, output: Value) {
    match &mut node.phase {
        Phase::Body(Body::For(state)) => {
            state.index += 1;
            state.data = output;
            state.seq = None;
        }
        Phase::Body(Body::Try(Guard { stage: GuardStage::Catching { .. }, .. })) => {
            node.phase = Phase::Output { raw: output, flow: Some(Exit::Caught) };
        }
        Phase::Body(Body::Listen(listening)) => {
            if let ListenStage::Iterating { item, .. } = listening.stage.clone() {
                to_stage(node, ListenStage::Shaping { item, raw: output });
            }
        }
        _ => node.phase = Phase::Output { raw: output, flow: None },
    }
}

/// The list that the node is in, and below which activation its tasks are.
fn current_list(workflow: &spec::tree::Workflow, node: &Node) -> Option<(TaskList, Activation)> {
    let Phase::Body(body) = &node.phase else { return None };
    let kind = node.task.map(|no| &workflow.task(no).kind);
    match (body, kind) {
        (Body::Sequence(_), None) => Some((workflow.body.clone(), node.activation.clone())),
        (Body::Sequence(_), Some(TaskKind::Do(list))) => {
            Some((list.clone(), node.activation.clone()))
        }
        (Body::Sequence(_), Some(TaskKind::Custom(call))) => {
            Some((TaskList(vec![call.body]), node.activation.clone()))
        }
        (Body::For(state), Some(TaskKind::For(task))) => {
            Some((task.body.clone(), node.activation.iteration(state.index)))
        }
        (Body::Try(guard), Some(TaskKind::Try(task))) => {
            let base = guard.base(&node.activation);
            match &guard.stage {
                GuardStage::Catching { .. } => Some((task.catch.body.clone()?, base)),
                _ => Some((task.body.clone(), base)),
            }
        }
        (Body::Listen(_), Some(TaskKind::Listen(task))) => {
            let body = task.each.as_ref()?.body.clone();
            Some((body, node.activation.iteration(index_of(node))))
        }
        _ => None,
    }
}

fn current_seq(node: &mut Node) -> Option<&mut Seq> {
    let Phase::Body(body) = &mut node.phase else { return None };
    match body {
        Body::Sequence(seq) => Some(seq),
        Body::For(state) => state.seq.as_mut(),
        Body::Try(guard) => match &mut guard.stage {
            GuardStage::Body { seq, .. }
            | GuardStage::Matching { seq, .. }
            | GuardStage::Catching { seq } => Some(seq),
            GuardStage::Next | GuardStage::Delaying { .. } => None,
        },
        Body::Listen(listening) => match &mut listening.stage {
            ListenStage::Iterating { seq, .. } => Some(seq),
            ListenStage::Listening
            | ListenStage::Taken { .. }
            | ListenStage::Shaping { .. }
            | ListenStage::Exporting { .. }
            | ListenStage::Checking => None,
        },
        Body::Begin | Body::Fork(_) | Body::Wait { .. } | Body::Effect { .. } => None,
    }
}

impl Seq {
    /// The next task and its visit, or `None` where the list is done.
    pub(super) fn next(&mut self, flow: &Flow, len: usize) -> Option<(u32, u32)> {
        let index = match flow {
            Flow::Continue => self.index + 1,
            Flow::Goto(index) => {
                if self.visits.is_empty() {
                    self.visits = (0..=self.index).map(|index| (index, 1)).collect();
                }
                *index
            }
            Flow::Exit | Flow::End => return None,
        };
        if index as usize >= len {
            return None;
        }
        self.index = index;
        if self.visits.is_empty() {
            return Some((index, 1));
        }
        let visit = self.visits.entry(index).or_insert(0);
        *visit += 1;
        Some((index, *visit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: count visits from the jump on, or only at jumps.
    #[test]
    fn every_visit_of_a_task_has_its_own_number() {
        let mut seq = Seq::default();
        let mut walk = |flow| seq.next(&flow, 4);
        assert_eq!(walk(Flow::Continue), Some((1, 1)));
        assert_eq!(walk(Flow::Continue), Some((2, 1)));
        assert_eq!(walk(Flow::Goto(0)), Some((0, 2)));
        assert_eq!(walk(Flow::Continue), Some((1, 2)));
        assert_eq!(walk(Flow::Goto(3)), Some((3, 1)));
        assert_eq!(walk(Flow::Goto(3)), Some((3, 2)));
        assert_eq!(walk(Flow::Continue), None);
    }
}
