//! `listen`: a listener's way from event to event.
//!
//! ```text
//! Listening ─event─► Taken ─► Iterating (foreach.do) ─► Shaping ─► Exporting ─► Checking ─► done
//!     ▲                                                                            │
//!     └────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Which events are taken is decided in [`crate::listen`], and written down; here follows what it
//! leads to.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::value::{int, is_true, to_json};
use base::{ErrorType, Fault, Value};
use spec::tree::{Each, Listen, Strategy, TaskKind, Until};

use super::advance::{Next, invalid};
use super::body::{Birth, to_output};
use super::evaluate::{Expressions, Halt};
use super::node::{Body, ListenStage, Listening, Node, NodeId, Phase, Seq};
use super::scope::Variables;
use super::{Effect, Machine};
use crate::effect::Evaluate;
use crate::event::{Event, Incoming};
use crate::listen::{Interest, Judge, Met, Progress, Unjudged, expectations, offer};
use crate::record::{Decided, ListenerNo, NoteKind, Received};

/// Events that one listener may consume: they are its output, and a list that nobody bounds would
/// grow until the site has no memory. A listener that never ends keeps none and has no limit.
pub const LISTENER_EVENTS_MAX: u64 = 10_000;

/// The same, for what they hold.
pub const LISTENER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What a listener makes of an event.
#[derive(Debug)]
pub enum Offered {
    /// Not one of its own, or not now.
    Ignored,
    /// Write this down.
    Taken(Box<Received>),
    /// Evaluate this outside, and offer the event again with all results so far.
    Ask(Evaluate),
}

impl Machine {
    /// The site's newest event. A listener that begins now starts behind it.
    pub fn knows(&mut self, event_last: u64) {
        self.event_last = event_last;
    }

    /// Whether any event can move the run.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.ended.is_none() && !self.listeners.is_empty()
    }

    /// Whether the listener takes events now, rather than dealing with one.
    #[must_use]
    pub fn accepts(&self, listener: ListenerNo) -> bool {
        self.accepting(listener).is_some()
    }

    fn accepting(&self, listener: ListenerNo) -> Option<(&Node, &Listening, &Listen)> {
        let is_free = |it: &Listening| it.stage == ListenStage::Listening && !self.suspended;
        self.listening(listener).filter(|(_, listening, _)| is_free(listening))
    }

    /// Listeners of the run, in the order of their beginning.
    #[must_use]
    pub fn listeners(&self) -> Vec<ListenerNo> {
        self.listeners.keys().copied().collect()
    }

    /// Which events can matter to the run's listeners.
    #[must_use]
    pub fn interest(&self) -> Interest {
        let listeners = self.listeners.keys().filter_map(|no| self.listening(*no));
        let nothing = Interest::Kinds(BTreeSet::new());
        listeners.fold(nothing, |all, (_, _, task)| all.and(Interest::of(&task.to)))
    }

    /// Asks a listener whether it takes an event. Changes nothing: what it takes is to be fed as
    /// [`crate::record::Happened::Received`]. `results` are those of the evaluations that this event
    /// has asked for so far, in order.
    #[must_use]
    pub fn offer(
        &self,
        listener: ListenerNo,
        incoming: &Incoming,
        results: &[Result<Value, Fault>],
    ) -> Offered {
        let Some((node, listening, task)) = self.accepting(listener) else {
            return Offered::Ignored;
        };
        if incoming.position <= listening.after {
            return Offered::Ignored;
        }
        // What the run itself has sent before it began to listen was not sent to it, and of its own
        // life it need not be told.
        let own = incoming.run == Some(self.header().run);
        if own && (incoming.is_lifecycle() || incoming.number <= listening.emitted) {
            return Offered::Ignored;
        }
        let mut judge = self.expressions(node).with_results(results.to_vec());
        match offer(&task.to, &listening.progress, incoming, &mut judge) {
            Ok(None) => Offered::Ignored,
            Err(evaluate) => Offered::Ask(evaluate),
            Ok(Some(Met { until, filter, keys })) => Offered::Taken(Box::new(Received {
                listener,
                until,
                filter,
                keys,
                position: incoming.position,
                event: incoming.event.envelope().clone(),
            })),
        }
    }

    fn listening(&self, listener: ListenerNo) -> Option<(&Node, &Listening, &Listen)> {
        let node = self.arena.get(*self.listeners.get(&listener)?)?;
        let Phase::Body(Body::Listen(listening)) = &node.phase else { return None };
        match node.task.map(|no| &self.workflow.task(no).kind) {
            Some(TaskKind::Listen(task)) => Some((node, listening, task)),
            _ => None,
        }
    }

    pub(super) fn listen_begin(
        &mut self,
        id: NodeId,
        node: &mut Node,
        task: &Listen,
    ) -> Result<Next, Halt> {
        let mut expressions = self.expressions(node);
        let mut expected = Vec::new();
        for correlation in expectations(&task.to) {
            let value = correlation.expect.as_ref();
            let value = value.map(|value| expressions.template(value, &node.input)).transpose()?;
            expected.push(value);
        }
        let listening = Listening {
            listener: ListenerNo::default(),
            emitted: self.emitted,
            after: self.event_last,
            progress: Progress { expected, ..Progress::default() },
            outputs: Arc::default(),
            consumed: 0,
            bytes: 0,
            stage: ListenStage::Listening,
        };
        self.listen_as(id, node, listening);
        self.note(node, NoteKind::Listening);
        Ok(Next::Block)
    }

    /// Registers a listener, new or taken up again by a person's retry.
    pub(super) fn listen_as(&mut self, id: NodeId, node: &mut Node, mut listening: Listening) {
        self.listener_last.0 += 1;
        let listener = self.listener_last;
        listening.listener = listener;
        self.traced("listen", node.activation.as_str());
        let (activation, after) = (node.activation.clone(), listening.after);
        self.step.decided.push(Decided::Listening { listener, activation, after });
        if listening.stage == ListenStage::Listening {
            self.step.effects.push(Effect::Listen(listener, after));
        }
        self.listeners.insert(listener, id);
        node.phase = Phase::Body(Body::Listen(Box::new(listening)));
    }

    pub(super) fn unlisten(&mut self, listener: ListenerNo) {
        if self.listeners.remove(&listener).is_some() {
            self.step.effects.push(Effect::Unlisten(listener));
        }
    }

    pub(super) fn received(&mut self, received: &Received) {
        let id = self.listeners[&received.listener];
        let Some(mut node) = self.arena.take(id) else { return };
        let workflow = self.workflow.clone();
        self.traced("received", node.activation.as_str());
        self.trace.update(&received.position.to_le_bytes());
        self.trace.update(&received.filter.to_le_bytes());
        let kind = node.task.map(|no| &workflow.task(no).kind);
        if let (Phase::Body(Body::Listen(listening)), Some(TaskKind::Listen(task))) =
            (&mut node.phase, kind)
        {
            let event = Event::of_envelope(received.event.clone());
            listening.after = received.position;
            listening.progress.take(&Met {
                until: received.until,
                filter: received.filter,
                keys: received.keys.clone(),
            });
            listening.stage = if received.until {
                ListenStage::Checking
            } else {
                listening.consumed += 1;
                ListenStage::Taken { item: event.read(task.read) }
            };
            let kind = event.kind().to_owned();
            self.note(&node, NoteKind::Received { kind });
        }
        self.arena.put(id, node);
        self.ready.push_back(id);
    }

    /// Goes on with an event that was taken.
    pub(super) fn listen_next(
        &mut self,
        id: NodeId,
        node: &mut Node,
        task: &Listen,
    ) -> Result<Next, Halt> {
        let Phase::Body(Body::Listen(listening)) = &node.phase else {
            unreachable!("chosen by `body`")
        };
        match listening.stage.clone() {
            ListenStage::Listening | ListenStage::Iterating { .. } => Ok(Next::Block),
            ListenStage::Taken { item } => Ok(self.event_begin(id, node, task, item)),
            ListenStage::Shaping { item, raw } => self.event_shape(node, task, item, raw),
            ListenStage::Exporting { item, output } => self.event_export(node, task, &item, output),
            ListenStage::Checking => self.listen_check(node, task),
        }
    }

    fn event_begin(&mut self, id: NodeId, node: &mut Node, task: &Listen, item: Value) -> Next {
        let first = task.each.as_ref().and_then(|each| each.body.0.first());
        let Some(first) = first else {
            to_stage(node, ListenStage::Shaping { raw: item.clone(), item });
            return Next::Again;
        };
        let index = index_of(node);
        let variables = event_variables(node, task, &item);
        to_stage(node, ListenStage::Iterating { item, seq: Seq::default() });
        let base = node.activation.iteration(index);
        let input = node.input.clone();
        self.spawn(id, node, Birth { task: *first, visit: 1, base: &base, variables, input });
        Next::Block
    }

    fn event_shape(
        &mut self,
        node: &mut Node,
        task: &Listen,
        item: Value,
        raw: Value,
    ) -> Result<Next, Halt> {
        let Some(Each { output: shape, .. }) = &task.each else {
            return self.event_keep(node, task, raw);
        };
        let output = match &shape.shape {
            Some(template) => self.event_expressions(node, task, &item).template(template, &raw)?,
            None => raw,
        };
        if let Some(schema) = &shape.schema {
            schema.check(&output).map_err(|wrong| invalid("output of the iteration", &wrong))?;
        }
        to_stage(node, ListenStage::Exporting { item, output });
        Ok(Next::Again)
    }

    fn event_export(
        &mut self,
        node: &mut Node,
        task: &Listen,
        item: &Value,
        output: Value,
    ) -> Result<Next, Halt> {
        if let Some(Each { export, .. }) = &task.each
            && let Some(template) = &export.shape
        {
            let expressions = self.event_expressions(node, task, item);
            let context = expressions.with_output(&output).template(template, &output)?;
            if let Some(schema) = &export.schema {
                schema.check(&context).map_err(|wrong| invalid("exported context", &wrong))?;
            }
            self.context = context;
        }
        self.event_keep(node, task, output)
    }

    /// Adds to the output, within bounds.
    fn event_keep(&mut self, node: &mut Node, task: &Listen, output: Value) -> Result<Next, Halt> {
        let never = matches!(&*task.to, Strategy::Any { until: Until::Never, .. });
        let Phase::Body(Body::Listen(listening)) = &mut node.phase else {
            unreachable!("chosen by `body`")
        };
        if !never {
            let bytes = listening.bytes + to_json(&output).len() as u64;
            if listening.outputs.len() as u64 >= LISTENER_EVENTS_MAX || bytes > LISTENER_BYTES_MAX {
                let what = format!(
                    "more than {LISTENER_EVENTS_MAX} events, or {LISTENER_BYTES_MAX} bytes of them, \
                     are too many for one `listen`: end it earlier with `until`, or write \
                     `until: ${{ false }}` where nobody needs its output"
                );
                let fault = Fault::new(ErrorType::Runtime, what);
                return Err(fault.with_title("Too many events").into());
            }
            listening.bytes = bytes;
            Arc::make_mut(&mut listening.outputs).push(output);
        }
        to_stage(node, ListenStage::Checking);
        Ok(Next::Again)
    }

    /// Is that all, or does the next event come?
    fn listen_check(&mut self, node: &mut Node, task: &Listen) -> Result<Next, Halt> {
        let Phase::Body(Body::Listen(listening)) = &node.phase else {
            unreachable!("chosen by `body`")
        };
        let outputs = Value::Arr(listening.outputs.clone());
        let complete = match &*task.to {
            Strategy::Any { until: Until::Condition(condition), .. } => {
                is_true(&self.expressions(node).value(condition, &outputs)?)
            }
            strategy => listening.progress.is_complete(strategy),
        };
        if !complete {
            let (listener, after) = (listening.listener, listening.after);
            to_stage(node, ListenStage::Listening);
            self.step.effects.push(Effect::Listen(listener, after));
            return Ok(Next::Block);
        }
        let (listener, keys) = (listening.listener, listening.progress.keys.clone());
        self.traced("listened", node.activation.as_str());
        self.unlisten(listener);
        self.note(node, NoteKind::Listened { keys });
        Ok(to_output(node, outputs, None))
    }

    fn event_expressions(&self, node: &Node, task: &Listen, item: &Value) -> Expressions {
        let variables = event_variables(node, task, item);
        self.expressions(node).in_loop(&variables, &node.input)
    }
}

/// The place of the event that is dealt with, from 0.
pub(super) fn index_of(node: &Node) -> u64 {
    match &node.phase {
        Phase::Body(Body::Listen(listening)) => listening.consumed.saturating_sub(1),
        _ => 0,
    }
}

/// What the tasks of an iteration see.
pub(super) fn event_variables(node: &Node, task: &Listen, item: &Value) -> Variables {
    let Some(each) = &task.each else { return node.variables.clone() };
    let index = int(i64::try_from(index_of(node)).unwrap_or(i64::MAX));
    node.variables.with(&each.item, item.clone()).with(&each.at, index)
}

pub(super) fn to_stage(node: &mut Node, stage: ListenStage) {
    if let Phase::Body(Body::Listen(listening)) = &mut node.phase {
        listening.stage = stage;
    }
}

impl Judge for Expressions {
    fn value(&mut self, expr: &expr::Expr, input: &Value) -> Result<Value, Unjudged> {
        Self::value(self, expr, input).map_err(|halt| match halt {
            Halt::Outside(evaluate) => Unjudged::Outside(evaluate),
            Halt::Fault(_) => Unjudged::Failed,
        })
    }
}
