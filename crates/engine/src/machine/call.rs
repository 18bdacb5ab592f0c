//! Requests: a call's definition with everything evaluated, and what comes back.

use std::sync::Arc;

use base::value::{kind, object};
use base::{ErrorType, Fault, Value};
use spec::tree::{Endpoint, FunctionCall, HttpCall, TaskNo, Template, UriPart};

use super::evaluate::{Expressions, Halt};
use super::node::{Body, Node, NodeId, Phase};
use super::seal::http_is_sealed;
use super::{Effect, Machine};
use crate::activation::{Activation, IdempotencyKey};
use crate::effect::{Action, Certainty, EffectNo, HttpRequest, Perform, Performed, Witness};
use crate::list::Lists;
use crate::operation::encode;
use crate::record::{Decided, NoteKind};
use crate::sealed::{self, SealedCall, has_sealed};

impl Machine {
    pub(super) fn http_action(&mut self, node: &Node, call: &HttpCall) -> Result<Action, Halt> {
        if http_is_sealed(call) {
            return self.http_sealed(node, call);
        }
        let mut expressions = self.expressions(node);
        let input = &node.input;
        let uri = match &call.endpoint {
            Endpoint::Template(parts) => fill(parts, input)?,
            Endpoint::Expr(expr) => sealed::uri(&expressions.value(expr, input)?)?,
        };
        let headers = pairs(&mut expressions, call.headers.as_ref(), input, "headers")?;
        let query = pairs(&mut expressions, call.query.as_ref(), input, "query")?;
        let body = call.body.as_ref().map(|body| expressions.template(body, input)).transpose()?;
        Ok(Action::Http(HttpRequest {
            method: call.method.clone(),
            uri,
            headers,
            query,
            body,
            output: call.output,
            redirect: call.redirect,
        }))
    }

    pub(super) fn function_action(
        &mut self,
        node: &Node,
        call: &FunctionCall,
    ) -> Result<Action, Halt> {
        let input = match &call.with {
            Some(with) if has_sealed(with) => return self.function_sealed(node, call, with),
            Some(with) => self.expressions(node).template(with, &node.input)?,
            None => object([]),
        };
        Ok(Action::Function { function: call.function.clone(), input })
    }

    pub(super) fn schedule(&mut self, id: NodeId, node: &mut Node, action: Action) {
        let definite = self.ask(node);
        let key = IdempotencyKey::new(self.header().run, &node.activation, definite);
        self.schedule_as(id, node, Arc::new(action), key);
    }

    pub(super) fn schedule_as(
        &mut self,
        id: NodeId,
        node: &mut Node,
        action: Arc<Action>,
        key: IdempotencyKey,
    ) {
        self.effect_last.0 += 1;
        self.usage.effects += 1;
        let effect = self.effect_last;
        self.traced("effect", key.as_str());
        action.trace(&mut self.trace);
        let what = action.summary();
        let activation = node.activation.clone();
        let perform = self.perform(effect, &activation, &key, &action, node.task);
        self.step.effects.push(Effect::Perform(perform));
        self.note(node, NoteKind::Scheduled { effect, key: key.clone(), what: what.clone() });
        self.step.decided.push(Decided::Scheduled { effect, activation, key: key.clone(), what });
        self.effects.insert(effect, id);
        node.phase = Phase::Body(Body::Effect { effect, key, action });
    }

    pub(super) fn perform(
        &self,
        effect: EffectNo,
        activation: &Activation,
        key: &IdempotencyKey,
        action: &Arc<Action>,
        task: Option<TaskNo>,
    ) -> Perform {
        let header = self.header();
        Perform {
            witness: Witness::default(),
            lists: Lists::default(),
            run: header.run,
            namespace: header.key.namespace.clone(),
            workflow: header.key.name.clone(),
            budget: self.workflow.document.budget.clone(),
            effect,
            activation: activation.clone(),
            key: key.clone(),
            labels: header.labels.clone(),
            secrets: header.secrets.clone(),
            traceparent: header.traceparent.clone(),
            action: action.clone(),
            pool: task.and_then(|task| self.workflow.task(task).pool.clone()),
        }
    }

    pub(super) fn performed(&mut self, effect: EffectNo, performed: &Performed) {
        let id = self.effects.remove(&effect).expect("checked by `fits`");
        let mut node = self.arena.take(id).expect("an effect belongs to a node");
        self.traced("performed", if performed.result.is_ok() { "ok" } else { "fault" });
        if performed.certainty == Certainty::Definite {
            self.count_definite(&mut node);
        }
        self.told_of(&performed.lists);
        self.has_read(&performed.labels);
        match &performed.result {
            Ok(value) => {
                let raw = if is_left_alone(&node) { node.input.clone() } else { value.clone() };
                node.phase = Phase::Output { raw, flow: None };
                self.arena.put(id, node);
                self.ready.push_back(id);
            }
            Err(fault) => self.fail(id, node, fault.clone()),
        }
    }
}

impl Action {
    /// Whether the effect is done when it has begun.
    #[must_use]
    pub fn is_left_alone(&self) -> bool {
        match self {
            Self::Workflow(child) => !child.wait,
            Self::Process(request) => !request.wait,
            Self::Sealed(sealed) => match sealed.call {
                SealedCall::Process { wait, .. } => !wait,
                SealedCall::Http { .. }
                | SealedCall::Function { .. }
                | SealedCall::OpenApi { .. } => false,
            },
            Self::Http(_) | Self::Function { .. } => false,
        }
    }

    /// For people: what is asked, without a query, a body or credentials.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::Http(request) => sealed::summary_http(&request.method, &request.uri),
            Self::Function { function, .. } => function.to_string(),
            Self::Sealed(sealed) => sealed.summary(),
            Self::Process(request) => request.interpreter.to_string(),
            Self::Workflow(child) => format!("workflow {}:{}", child.key, child.version),
        }
    }

    /// Into the digest of the control state, so that a replay that asks something else is noticed.
    fn trace(&self, hasher: &mut blake3::Hasher) {
        let mut add = |part: &[u8]| {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        };
        match self {
            Self::Http(request) => {
                add(request.method.as_bytes());
                add(request.uri.as_bytes());
                for (name, value) in request.headers.iter().chain(&request.query) {
                    add(name.as_bytes());
                    add(value.as_bytes());
                }
                add(&request.body.as_ref().map(base::value::to_json).unwrap_or_default());
                add(&[u8::from(request.redirect)]);
            }
            Self::Process(request) => request.trace(&mut add),
            Self::Function { function, input } => {
                add(function.to_string().as_bytes());
                add(&base::value::to_json(input));
            }
            Self::Sealed(sealed) => sealed.trace(&mut add),
            Self::Workflow(child) => {
                add(child.key.to_string().as_bytes());
                add(child.revision.as_bytes());
                add(&base::value::to_json(&child.input));
                add(&[u8::from(child.wait)]);
            }
        }
    }
}

/// Whether the node's effect is only begun, and not waited for: its output is its own input.
fn is_left_alone(node: &Node) -> bool {
    let Phase::Body(Body::Effect { action, .. }) = &node.phase else { return false };
    action.is_left_alone()
}

pub(super) fn configuration(what: &str) -> Halt {
    Halt::Fault(Fault::new(ErrorType::Configuration, what))
}

/// Fills `{name}` places from the input's top-level fields.
pub(super) fn fill(parts: &[UriPart], input: &Value) -> Result<String, Halt> {
    let mut uri = String::new();
    for part in parts {
        match part {
            UriPart::Text(text) => uri.push_str(text),
            UriPart::Variable(name) => {
                let value = base::value::get(input, name);
                let text = value.and_then(sealed::scalar).ok_or_else(|| {
                    let found = value.map_or("nothing", kind);
                    configuration(&format!(
                        "the endpoint needs `{{{name}}}` from the task's input, and finds {found}"
                    ))
                })?;
                encode(&text, &mut uri);
            }
        }
    }
    Ok(uri)
}

/// Headers or query parameters.
fn pairs(
    expressions: &mut Expressions,
    template: Option<&Template>,
    input: &Value,
    what: &str,
) -> Result<Vec<(String, String)>, Halt> {
    let value = template.map(|template| expressions.template(template, input)).transpose()?;
    Ok(sealed::pairs(value.as_ref(), what)?)
}
