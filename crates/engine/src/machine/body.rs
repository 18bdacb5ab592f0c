//! How each kind of task begins, and how loops and guards go on.

use base::{Fault, Value};
use spec::tree::{Case, For, Fork, Raise, TaskKind, TaskNo};

use super::Machine;
use super::advance::Next;
use super::counts::Counts;
use super::evaluate::Halt;
use super::node::{Body, Branches, Exit, Guard, GuardStage, Loop, Node, NodeId, Phase, Seq};
use crate::activation::Activation;
use crate::record::{NoteKind, TimerPurpose};

impl Machine {
    pub(super) fn body(&mut self, id: NodeId, node: &mut Node) -> Result<Next, Halt> {
        let workflow = self.workflow.clone();
        let Phase::Body(body) = &node.phase else { unreachable!("chosen by `phase`") };
        match (body, node.task.map(|no| &workflow.task(no).kind)) {
            (Body::Begin, None) => self.sequence_begin(id, node, &workflow.body.0),
            (Body::Begin, Some(task)) => self.body_begin(id, node, task),
            (Body::For(_), Some(TaskKind::For(task))) => self.loop_next(id, node, task),
            (Body::Try(_), Some(TaskKind::Try(task))) => self.guard_next(id, node, task),
            (Body::Fork(_), Some(TaskKind::Fork(fork))) => {
                self.fork_settle(node, fork.compete)?;
                if !matches!(node.phase, Phase::Body(_)) {
                    return Ok(Next::Again);
                }
                if fork.after.iter().any(|after| !after.is_empty()) {
                    self.fork_go_on(id, node, fork)?;
                }
                Ok(Next::Block)
            }
            (Body::Listen(_), Some(TaskKind::Listen(task))) => self.listen_next(id, node, task),
            // These go on when a child, a timer or an effect is done.
            _ => Ok(Next::Block),
        }
    }

    fn body_begin(&mut self, id: NodeId, node: &mut Node, task: &TaskKind) -> Result<Next, Halt> {
        match task {
            TaskKind::Do(list) => self.sequence_begin(id, node, &list.0),
            TaskKind::Set(template) => {
                let output = self.expressions(node).template(template, &node.input)?;
                Ok(to_output(node, output, None))
            }
            TaskKind::Switch(cases) => self.switch(node, cases),
            TaskKind::For(task) => self.loop_begin(node, task),
            TaskKind::Fork(fork) => self.fork_begin(id, node, fork),
            TaskKind::Try(_) => {
                let (stage, definite) = (GuardStage::Next, Counts::default());
                let guard = Guard { attempt: 0, started_at: self.now, stage, definite };
                node.phase = Phase::Body(Body::Try(guard));
                Ok(Next::Again)
            }
            TaskKind::Raise(raise) => self.raise(node, raise),
            TaskKind::Wait(duration) => {
                let after = self.expressions(node).duration(duration, &node.input)?;
                let until = self.now.plus(after);
                let timer = self.timer_set(id, node, TimerPurpose::Wait, until);
                node.phase = Phase::Body(Body::Wait { timer, until });
                Ok(Next::Block)
            }
            TaskKind::Http(call) => {
                let action = self.http_action(node, call)?;
                self.schedule(id, node, action);
                Ok(Next::Block)
            }
            TaskKind::Process(process) => {
                let action = self.process_action(node, process)?;
                self.schedule(id, node, action);
                Ok(Next::Block)
            }
            TaskKind::Function(call) => {
                let action = self.function_action(node, call)?;
                self.schedule(id, node, action);
                Ok(Next::Block)
            }
            TaskKind::OpenApi(call) => {
                let action = self.openapi_action(node, call)?;
                self.schedule(id, node, action);
                Ok(Next::Block)
            }
            TaskKind::Custom(call) => self.custom_begin(id, node, call),
            TaskKind::Emit(emit) => self.emit(node, emit),
            TaskKind::Listen(task) => self.listen_begin(id, node, task),
            TaskKind::Child(child) => {
                let action = self.child_action(node, child)?;
                self.schedule(id, node, action);
                Ok(Next::Block)
            }
        }
    }

    fn sequence_begin(
        &mut self,
        id: NodeId,
        node: &mut Node,
        list: &[TaskNo],
    ) -> Result<Next, Halt> {
        let Some(first) = list.first() else {
            let output = node.input.clone();
            return Ok(to_output(node, output, None));
        };
        node.phase = Phase::Body(Body::Sequence(Seq::default()));
        let (base, input) = (node.activation.clone(), node.input.clone());
        let variables = node.variables.clone();
        self.spawn(id, node, Birth { task: *first, visit: 1, base: &base, variables, input });
        Ok(Next::Block)
    }

    fn switch(&mut self, node: &mut Node, cases: &[Case]) -> Result<Next, Halt> {
        let mut expressions = self.expressions(node);
        for (number, case) in cases.iter().enumerate() {
            let matches = match &case.when {
                Some(when) => expressions.truth(when, &node.input)?,
                None => true,
            };
            if matches {
                self.traced("case", &case.name);
                let number = u32::try_from(number).expect("a document has fewer cases");
                let output = node.input.clone();
                return Ok(to_output(node, output, Some(Exit::Case(number))));
            }
        }
        let output = node.input.clone();
        Ok(to_output(node, output, None))
    }

    fn raise(&mut self, node: &Node, raise: &Raise) -> Result<Next, Halt> {
        let mut expressions = self.expressions(node);
        let mut text = |text: &Option<_>| {
            text.as_ref().map(|text| expressions.text(text, &node.input)).transpose()
        };
        let (title, detail) = (text(&raise.title)?, text(&raise.detail)?);
        let instance = text(&raise.instance)?;
        let uri = expressions.text(&raise.uri, &node.input)?.into();
        let title = title.map(Into::into);
        Err(Fault { uri, status: raise.status, title, detail, instance }.into())
    }

    fn fork_begin(&mut self, id: NodeId, node: &mut Node, fork: &Fork) -> Result<Next, Halt> {
        let branches = &fork.branches.0;
        if branches.is_empty() {
            return Ok(to_output(node, base::value::array(Vec::new()), None));
        }
        let outputs = vec![None; branches.len()];
        node.phase = Phase::Body(Body::Fork(Branches { outputs }));
        self.fork_go_on(id, node, fork)?;
        Ok(Next::Block)
    }

    fn loop_begin(&mut self, node: &mut Node, task: &For) -> Result<Next, Halt> {
        let items = self.expressions(node).template(&task.items, &node.input)?;
        let items = self.items(node, items)?;
        let data = node.input.clone();
        node.phase = Phase::Body(Body::For(Loop { items, index: 0, data, seq: None }));
        Ok(Next::Again)
    }

    /// Between two iterations: is there another one?
    fn loop_next(&mut self, id: NodeId, node: &mut Node, task: &For) -> Result<Next, Halt> {
        let Phase::Body(Body::For(state)) = &node.phase else { unreachable!("chosen by `body`") };
        if state.seq.is_some() {
            return Ok(Next::Block);
        }
        let (index, data) = (state.index, state.data.clone());
        let (count, item) = (state.items.count(), state.items.get(index));
        if item.is_none() && index < count {
            return Ok(self.read_on(id, node));
        }
        let (Some(item), Some(first)) = (item.cloned(), task.body.0.first()) else {
            return Ok(to_output(node, data, None));
        };
        let index_value = base::value::int(i64::try_from(index).unwrap_or(i64::MAX));
        let variables = node.variables.with(&task.each, item).with(&task.at, index_value);
        if let Some(condition) = &task.condition {
            let mut expressions = self.expressions(node).in_loop(&variables, &data);
            if !expressions.truth(condition, &data)? {
                return Ok(to_output(node, data, None));
            }
        }
        self.note(node, NoteKind::Iteration { index, count });
        if let Phase::Body(Body::For(state)) = &mut node.phase {
            state.seq = Some(Seq::default());
        }
        let base = node.activation.iteration(index);
        self.spawn(id, node, Birth { task: *first, visit: 1, base: &base, variables, input: data });
        Ok(Next::Block)
    }

    /// Makes a child of `node`, ready to run.
    pub(super) fn spawn(&mut self, id: NodeId, node: &mut Node, birth: Birth<'_>) {
        let workflow = self.workflow.clone();
        let activation = birth.base.task(&workflow.task(birth.task).name, birth.visit);
        self.traced("begin", activation.as_str());
        let (variables, input) = (birth.variables, birth.input);
        let child = Node::new(Some(id), Some(birth.task), activation, variables, input, self.now);
        let place = self.arena.reserve();
        self.arena.put(place, Box::new(child));
        node.children.push(place);
        self.ready.push_back(place);
    }
}

/// What a new node begins with.
pub(super) struct Birth<'a> {
    pub task: TaskNo,
    pub visit: u32,
    pub base: &'a Activation,
    pub variables: super::scope::Variables,
    pub input: Value,
}

/// The body is done; `output` and `export` follow.
pub(super) fn to_output(node: &mut Node, raw: Value, flow: Option<Exit>) -> Next {
    node.phase = Phase::Output { raw, flow };
    Next::Again
}
