//! Expressions and templates, evaluated where a node stands.
//!
//! What the process cannot evaluate itself halts the phase. When the result has come, the phase is
//! walked again from its beginning with that result at hand: phases are pure, so the second walk
//! asks the same questions in the same order.

use std::sync::Arc;

use base::value::{array, as_object, as_str, is_true, kind, normal, object, string};
use base::{Duration, Fault, Value};
use expr::{Expr, Scope, Stop};
use spec::tree::{DurationOf, For, Task, TaskKind, Template, Text, Workflow};

use super::node::{Body, Node, NodeId, Phase};
use super::scope::moment;
use super::{Effect, Header, Machine};
use crate::effect::{Evaluate, too_large};
use crate::record::{Decided, EvaluationNo};
use crate::sealed::failed;

/// Why a phase did not get to its end.
pub(super) enum Halt {
    Outside(Evaluate),
    Fault(Fault),
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// One walk through a phase.
pub(super) struct Expressions {
    seen: Seen,
    results: std::vec::IntoIter<Result<Value, Fault>>,
}

/// What an expression can see. Descriptors are built only when asked for.
struct Seen {
    workflow: Arc<Workflow>,
    header: Arc<Header>,
    context: Value,
    task: Option<spec::tree::TaskNo>,
    variables: super::scope::Variables,
    raw_input: Value,
    input: Option<Value>,
    output: Option<Value>,
    raw_output: Option<Value>,
    started_at: base::Timestamp,
    extra: Option<(Arc<str>, Value)>,
    /// The task whose extension asks, where one does.
    extended: Option<Descriptor>,
}

/// What the descriptor of a task is made of.
struct Descriptor {
    task: spec::tree::TaskNo,
    raw_input: Value,
    raw_output: Option<Value>,
    started_at: base::Timestamp,
}

impl Descriptor {
    fn of_extended(node: &Node) -> Option<Self> {
        let raw_output = match &node.phase {
            Phase::After { raw, .. } => Some(raw.clone()),
            _ => None,
        };
        let (raw_input, started_at) = (node.raw_input.clone(), node.started_at);
        Some(Self { task: node.task?, raw_input, raw_output, started_at })
    }
}

impl Machine {
    pub(super) fn expressions(&self, node: &Node) -> Expressions {
        let seen = Seen {
            workflow: self.workflow.clone(),
            header: self.header().clone(),
            context: self.context.clone(),
            task: node.task,
            variables: node.variables.clone(),
            raw_input: node.raw_input.clone(),
            input: Some(node.input.clone()),
            output: None,
            raw_output: None,
            started_at: node.started_at,
            extra: None,
            extended: self.extended_of(node),
        };
        Expressions { seen, results: node.evaluated.clone().into_iter() }
    }

    /// Only tasks of extensions look for whom they extend.
    fn extended_of(&self, node: &Node) -> Option<Descriptor> {
        let task = self.workflow.task(node.task?);
        let extended = task.is_extension.then(|| self.extended_by(node)).flatten()?;
        Descriptor::of_extended(extended)
    }

    pub(super) fn evaluation_request(&mut self, id: NodeId, node: &mut Node, evaluate: Evaluate) {
        self.evaluation_last.0 += 1;
        let evaluation = self.evaluation_last;
        self.traced("evaluate", node.activation.as_str());
        self.traced("text", &evaluate.text);
        let activation = node.activation.clone();
        self.step.decided.push(Decided::Evaluating { evaluation, activation });
        let effect = effect_of(self.wants_list(node), evaluation, evaluate.clone());
        self.step.effects.push(effect);
        self.evaluations.insert(evaluation, (id, evaluate));
        node.evaluating = Some(evaluation);
    }

    /// What is asked for again after a crash.
    pub(super) fn evaluation_effect(
        &self,
        evaluation: EvaluationNo,
        id: NodeId,
        evaluate: Evaluate,
    ) -> Effect {
        let wants_list = self.arena.get(id).is_some_and(|node| self.wants_list(node));
        effect_of(wants_list, evaluation, evaluate)
    }

    /// Whether what the node evaluates is the list that it will go over, and nothing else.
    fn wants_list(&self, node: &Node) -> bool {
        let kind = node.task.map(|no| &self.workflow.task(no).kind);
        let is_begin = matches!(node.phase, Phase::Body(Body::Begin));
        let is_list = |task: &For| matches!(task.items, Template::Expr(_));
        is_begin && matches!(kind, Some(TaskKind::For(task)) if is_list(task))
    }

    pub(super) fn evaluated(&mut self, evaluation: EvaluationNo, result: &Result<Value, Fault>) {
        let (id, _) = self.evaluations.remove(&evaluation).expect("checked by `fits`");
        let Some(node) = self.arena.get_mut(id) else { return };
        if node.evaluating == Some(evaluation) {
            node.evaluating = None;
            node.evaluated.push(result.clone());
            self.ready.push_back(id);
        }
    }
}

fn effect_of(wants_list: bool, evaluation: EvaluationNo, evaluate: Evaluate) -> Effect {
    match wants_list {
        true => Effect::EvaluateList(evaluation, evaluate),
        false => Effect::Evaluate(evaluation, evaluate),
    }
}

impl Expressions {
    pub(super) fn with_output(mut self, output: &Value) -> Self {
        self.seen.output = Some(output.clone());
        self
    }

    pub(super) fn with_raw_output(mut self, raw: &Value) -> Self {
        self.seen.raw_output = Some(raw.clone());
        self
    }

    /// From here on `$input` is this.
    pub(super) fn on_input(&mut self, input: &Value) -> &mut Self {
        self.seen.input = Some(input.clone());
        self
    }

    /// `while` sees the loop's variables and what the last iteration left.
    pub(super) fn in_loop(mut self, variables: &super::scope::Variables, data: &Value) -> Self {
        self.seen.variables = variables.clone();
        self.seen.input = Some(data.clone());
        self
    }

    /// `when` of an extension sees the task as the extension's tasks will.
    pub(super) fn of_extended(mut self, node: &Node) -> Self {
        self.seen.extended = Descriptor::of_extended(node);
        self
    }

    /// With results that are at hand instead of the node's.
    pub(super) fn with_results(mut self, results: Vec<Result<Value, Fault>>) -> Self {
        self.results = results.into_iter();
        self
    }

    pub(super) fn with_variable(mut self, name: &Arc<str>, value: Value) -> Self {
        self.seen.extra = Some((name.clone(), value));
        self
    }

    pub(super) fn value(&mut self, expr: &Expr, input: &Value) -> Result<Value, Halt> {
        match self.evaluate(expr, input) {
            Err(Halt::Fault(_)) if expr.is_loose() => Ok(string(expr.text())),
            result => result,
        }
    }

    fn evaluate(&mut self, expr: &Expr, input: &Value) -> Result<Value, Halt> {
        match expr.evaluate(input, &self.seen) {
            Ok(value) => normal(value).map_err(|wrong| failed(expr, &wrong.to_string()).into()),
            Err(Stop::Failed(what)) => Err(failed(expr, &what).into()),
            Err(Stop::Outside) => match self.results.next() {
                Some(result) => result.map_err(Halt::Fault),
                None => Err(Halt::Outside(self.seen.request(expr, input))),
            },
        }
    }

    /// An expression with all that it reads, for whoever evaluates it.
    pub(super) fn request(&self, expr: &Expr, input: &Value) -> Evaluate {
        self.seen.request(expr, input)
    }

    pub(super) fn truth(&mut self, expr: &Expr, input: &Value) -> Result<bool, Halt> {
        self.value(expr, input).map(|value| is_true(&value))
    }

    /// What a template composes is weighed: each part may be small, and the whole endless.
    pub(super) fn template(&mut self, template: &Template, input: &Value) -> Result<Value, Halt> {
        let value = self.compose(template, input)?;
        match template {
            Template::Array(_) | Template::Object(_) => weighed(value),
            Template::Constant(_) | Template::Expr(_) => Ok(value),
        }
    }

    fn compose(&mut self, template: &Template, input: &Value) -> Result<Value, Halt> {
        match template {
            Template::Constant(value) => Ok(value.clone()),
            Template::Expr(expr) => self.value(expr, input),
            Template::Array(items) => {
                let items: Result<Vec<Value>, Halt> =
                    items.iter().map(|item| self.compose(item, input)).collect();
                items.map(array)
            }
            Template::Object(fields) => {
                let mut values = Vec::with_capacity(fields.len());
                for (name, field) in fields {
                    values.push((&**name, self.compose(field, input)?));
                }
                Ok(object(values))
            }
        }
    }

    pub(super) fn text(&mut self, text: &Text, input: &Value) -> Result<String, Halt> {
        match text {
            Text::Fixed(text) => Ok(text.to_string()),
            Text::Expr(expr) => {
                let value = self.value(expr, input)?;
                match as_str(&value) {
                    Some(text) => Ok(text.to_owned()),
                    None if expr.is_loose() => Ok(expr.text().to_owned()),
                    None => {
                        Err(failed(expr, &format!("gives {}, not a string", kind(&value))).into())
                    }
                }
            }
        }
    }

    pub(super) fn duration(&mut self, of: &DurationOf, input: &Value) -> Result<Duration, Halt> {
        match of {
            DurationOf::Fixed(duration) => Ok(*duration),
            DurationOf::Expr(expr) => {
                let value = self.value(expr, input)?;
                let duration = spec::duration::duration_from_value(&value);
                duration
                    .map_err(|wrong| failed(expr, &format!("gives no duration: {wrong}")).into())
            }
        }
    }
}

pub(super) fn weighed(value: Value) -> Result<Value, Halt> {
    too_large(&value).map_or(Ok(value), |fault| Err(fault.into()))
}

impl Seen {
    fn request(&self, expr: &Expr, input: &Value) -> Evaluate {
        let value = |name: &Arc<str>| self.get(name).map(|value| (name.clone(), value));
        Evaluate {
            text: expr.text().into(),
            input: input.clone(),
            variables: expr.variables().iter().filter_map(value).collect(),
        }
    }

    fn task(&self) -> Option<Value> {
        let Some(extended) = &self.extended else {
            let (task, output) = (self.workflow.task(self.task?), self.raw_output.as_ref());
            let input = &self.raw_input;
            return Some(object(descriptor(task, input, output, self.started_at)));
        };
        let Descriptor { task, raw_input, raw_output, started_at } = extended;
        let task = self.workflow.task(*task);
        // Beside its descriptor, an extended task shows what it is: `$task.call`, `$task.with`.
        let mut fields: Vec<(&str, Value)> = as_object(&task.definition)
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((as_str(name)?, value.clone())))
            .collect();
        fields.extend(descriptor(task, raw_input, raw_output.as_ref(), *started_at));
        Some(object(fields))
    }

    fn workflow(&self) -> Value {
        object([
            ("id", string(&self.header.run.to_string())),
            ("definition", self.workflow.definition.clone()),
            ("input", self.header.input.clone()),
            ("startedAt", moment(self.header.started_at)),
        ])
    }
}

fn descriptor(
    task: &Task,
    input: &Value,
    output: Option<&Value>,
    started_at: base::Timestamp,
) -> Vec<(&'static str, Value)> {
    let mut fields = vec![
        ("name", string(&task.name)),
        ("reference", string(&task.location)),
        ("definition", task.definition.clone()),
        ("input", input.clone()),
        ("startedAt", moment(started_at)),
    ];
    if let Some(output) = output {
        fields.push(("output", output.clone()));
    }
    fields
}

impl Scope for Seen {
    fn get(&self, name: &str) -> Option<Value> {
        if let Some((_, value)) = self.extra.as_ref().filter(|(extra, _)| &**extra == name) {
            return Some(value.clone());
        }
        if let Some(value) = self.variables.get(name) {
            return Some(value.clone());
        }
        match name {
            "context" => Some(self.context.clone()),
            "input" => self.input.clone(),
            "output" => self.output.clone(),
            "task" => self.task(),
            "workflow" => Some(self.workflow()),
            "runtime" => Some(self.header.runtime.clone()),
            _ => None,
        }
    }
}
