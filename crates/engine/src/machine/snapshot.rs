//! A machine put away and taken up again.
//!
//! Only the translation between the machine's own types and the document's is here; the document
//! is in `format::snapshot`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use base::Value;
use base::name::WorkflowKey;
use spec::tree::{Returns, TaskNo, Workflow};
use store::BlobId;

use super::arena::Arena;
use super::late;
use super::node::{
    Body, Branches, Exit, Extended, Guard, GuardStage, ListenStage, Listening, Loop, Node, NodeId,
    Phase, Seq, Timeout,
};
use super::scope::Variables;
use super::timer::Timer;
use super::{Header, Machine, Step};
use crate::effect::{Action, ChildStart, Evaluate, HttpRequest, Interpreter, ProcessRequest};
use crate::format::snapshot_doc::{
    ActionDoc, BodyDoc, EndedDoc, EvaluationDoc, ExitDoc, ExtendedDoc, GuardDoc, HeaderDoc,
    ListenStageDoc, ListeningDoc, NodeDoc, PhaseDoc, ResultRef, SeqDoc, StageDoc, TimeoutDoc,
    TimerDoc, ValueRef, Values, VariableDoc,
};
use crate::format::{Blobs, Encoded, FormatError, SnapshotDoc};
use crate::listen::Progress;
use crate::record::{Control, Ended, EvaluationNo, TimerNo};

/// Why a snapshot cannot be taken up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("the snapshot does not belong to this revision: {0}")]
    Revision(&'static str),
}

impl Machine {
    /// The whole state, as bytes and blobs. Only between records, and only of a started run.
    #[must_use]
    pub fn freeze(&self) -> Encoded {
        let mut values = Values::default();
        let header = self.header();
        let header = HeaderDoc {
            run: header.run,
            namespace: header.key.namespace.clone(),
            workflow: header.key.name.clone(),
            labels: header.labels.to_vec(),
            secrets: header
                .secrets
                .iter()
                .filter_map(|(name, version)| Some((name.clone(), (*version)?)))
                .collect(),
            traceparent: header.traceparent.to_string(),
            seed: (&header.seed).into(),
            input: values.put(&header.input),
            runtime: values.put(&header.runtime),
            started_at: header.started_at,
        };
        let (nodes, free) = self.arena.parts();
        let nodes = nodes.into_iter().map(|node| node.map(|node| node_doc(node, &mut values)));
        let nodes = nodes.collect();
        let evaluations = self.evaluations.iter().map(|(no, (node, evaluate))| EvaluationDoc {
            evaluation: *no,
            node: node.0,
            text: evaluate.text.to_string(),
            input: values.put(&evaluate.input),
            variables: evaluate
                .variables
                .iter()
                .map(|(name, value)| VariableDoc {
                    name: name.to_string(),
                    value: values.put(value),
                })
                .collect(),
        });
        let evaluations = evaluations.collect();
        let ended = self.ended.as_ref().map(|ended| EndedDoc {
            state: ended.state,
            output: ended.output.as_ref().map(|output| values.put(output)),
            fault: ended.fault.clone(),
            activation: ended.activation.clone(),
            usage: ended.usage,
        });
        let context = values.put(&self.context);
        let timers = self.timers.iter().map(|(no, timer)| TimerDoc {
            timer: *no,
            node: timer.node.0,
            purpose: timer.purpose,
            at: timer.at,
        });
        SnapshotDoc {
            header,
            context,
            nodes,
            free: free.to_vec(),
            ready: self.ready.iter().map(|id| id.0).collect(),
            timers: timers.collect(),
            effects: self.effects.iter().map(|(no, id)| (*no, id.0)).collect(),
            evaluations,
            effect_last: self.effect_last,
            timer_last: self.timer_last,
            evaluation_last: self.evaluation_last,
            ended,
            usage: self.usage,
            retries: self.retries,
            control: self.control.0,
            now: self.now,
            listeners: self.listeners.iter().map(|(no, id)| (*no, id.0)).collect(),
            listener_last: self.listener_last,
            emitted: self.emitted,
        }
        .encode(values)
    }

    /// Blobs that [`thaw_snapshot`](Self::from_snapshot) needs.
    pub fn snapshot_blobs(bytes: &[u8]) -> Result<Vec<BlobId>, SnapshotError> {
        Ok(SnapshotDoc::parse(bytes)?.blobs())
    }

    pub fn from_snapshot(
        workflow: Arc<Workflow>,
        bytes: &[u8],
        blobs: &Blobs,
    ) -> Result<Self, SnapshotError> {
        let (doc, values) = SnapshotDoc::parse(bytes)?.open(blobs)?;
        let (tasks, extensions) = (workflow.tasks.len(), workflow.extensions.len());
        let take = Taken { values: &values, tasks, extensions, workflow: &workflow };
        let mut machine = Self::new(workflow.clone());
        machine.header = Some(Arc::new(take.header(doc.header)?));
        machine.context = take.value(doc.context)?;
        let nodes: Result<Vec<Option<Node>>, SnapshotError> = doc
            .nodes
            .into_iter()
            .map(|node| node.map(|node| take.node(node)).transpose())
            .collect();
        machine.arena = Arena::from_parts(nodes?, doc.free);
        machine.ready = doc.ready.into_iter().map(NodeId).collect::<VecDeque<_>>();
        machine.timers = doc.timers.into_iter().map(timer).collect();
        machine.effects = doc.effects.into_iter().map(|(no, id)| (no, NodeId(id))).collect();
        let evaluations: Result<BTreeMap<_, _>, SnapshotError> =
            doc.evaluations.into_iter().map(|doc| take.evaluation(doc)).collect();
        machine.evaluations = evaluations?;
        for (no, (id, _)) in &machine.evaluations {
            if let Some(node) = machine.arena.get_mut(*id) {
                node.evaluating = Some(*no);
            }
        }
        machine.effect_last = doc.effect_last;
        machine.timer_last = doc.timer_last;
        machine.evaluation_last = doc.evaluation_last;
        machine.ended = doc.ended.map(|ended| take.ended(ended)).transpose()?;
        machine.usage = doc.usage;
        machine.retries = doc.retries;
        machine.control = Control(doc.control);
        machine.now = doc.now;
        machine.listeners = doc.listeners.into_iter().map(|(no, id)| (no, NodeId(id))).collect();
        machine.listener_last = doc.listener_last;
        machine.emitted = doc.emitted;
        machine.step = Step::default();
        Ok(machine)
    }
}

fn timer(doc: TimerDoc) -> (TimerNo, Timer) {
    (doc.timer, Timer { node: NodeId(doc.node), purpose: doc.purpose, at: doc.at })
}

fn node_doc(node: &Node, values: &mut Values) -> NodeDoc {
    NodeDoc {
        parent: node.parent.map(|id| id.0),
        task: node.task.map(|no| no.0),
        activation: node.activation.clone(),
        variables: node
            .variables
            .iter()
            .map(|(name, value)| VariableDoc { name: name.to_string(), value: values.put(value) })
            .collect(),
        raw_input: values.put(&node.raw_input),
        input: values.put(&node.input),
        started_at: node.started_at,
        timeout: node.timeout.map(timeout_doc),
        phase: phase_doc(&node.phase, values),
        evaluated: node
            .evaluated
            .iter()
            .map(|result| match result {
                Ok(value) => ResultRef::Ok(values.put(value)),
                Err(fault) => ResultRef::Fault(fault.clone()),
            })
            .collect(),
        children: node.children.iter().map(|id| id.0).collect(),
        time: node.time,
        definite: node.definite,
        extended: node.extended.as_ref().map(|extended| ExtendedDoc {
            applied: extended.applied.clone(),
            definite: extended.definite.clone().into_iter().collect(),
        }),
    }
}

fn timeout_doc(timeout: Timeout) -> TimeoutDoc {
    TimeoutDoc { timer: timeout.timer, after: timeout.after }
}

fn exit_doc(exit: Option<Exit>) -> Option<ExitDoc> {
    exit.map(|exit| match exit {
        Exit::Case(number) => ExitDoc::Case(number),
        Exit::Skipped => ExitDoc::Skipped,
        Exit::Caught => ExitDoc::Caught,
    })
}

fn phase_doc(phase: &Phase, values: &mut Values) -> PhaseDoc {
    match phase {
        Phase::Condition => PhaseDoc::Condition,
        Phase::Input => PhaseDoc::Input,
        Phase::Extend => PhaseDoc::Extend,
        Phase::Before { at, seq } => PhaseDoc::Before { at: *at, seq: seq.as_ref().map(seq_doc) },
        Phase::Body(body) => PhaseDoc::Body(body_doc(body, values)),
        Phase::After { extension, raw, flow, seq } => PhaseDoc::After {
            extension: *extension,
            value: values.put(raw),
            exit: exit_doc(*flow),
            seq: seq.as_ref().map(seq_doc),
        },
        Phase::Output { raw, flow } => {
            PhaseDoc::Output { value: values.put(raw), exit: exit_doc(*flow) }
        }
        Phase::Export { raw, output, flow } => PhaseDoc::Export {
            raw: Some(values.put(raw)),
            value: values.put(output),
            exit: exit_doc(*flow),
        },
        Phase::Faulted { fault, was } => {
            PhaseDoc::Faulted { fault: fault.clone(), was: Box::new(phase_doc(was, values)) }
        }
    }
}

fn seq_doc(seq: &Seq) -> SeqDoc {
    SeqDoc { index: seq.index, visits: seq.visits.clone().into_iter().collect() }
}

fn body_doc(body: &Body, values: &mut Values) -> BodyDoc {
    match body {
        Body::Begin => BodyDoc::Begin,
        Body::Sequence(seq) => BodyDoc::Sequence(seq_doc(seq)),
        Body::For(state) => BodyDoc::For {
            items: values.put(&Value::Arr(state.items.clone())),
            index: state.index,
            data: values.put(&state.data),
            seq: state.seq.as_ref().map(seq_doc),
        },
        Body::Try(guard) => BodyDoc::Try(GuardDoc {
            attempt: guard.attempt,
            started_at: guard.started_at,
            stage: stage_doc(&guard.stage),
            // Hexadecimal would only be needed above 2^53; these numbers are read by nobody else.
            definite: guard.definite.clone().into_iter().collect(),
        }),
        Body::Fork(state) => BodyDoc::Fork {
            outputs: state
                .outputs
                .iter()
                .map(|one| one.as_ref().map(|one| values.put(one)))
                .collect(),
        },
        Body::Wait { timer, until } => BodyDoc::Wait { timer: *timer, until: *until },
        Body::Effect { effect, key, action } => BodyDoc::Effect {
            effect: *effect,
            key: key.clone(),
            action: action_doc(action, values),
        },
        Body::Listen(listening) => BodyDoc::Listen(listening_doc(listening, values)),
    }
}

fn listening_doc(listening: &Listening, values: &mut Values) -> ListeningDoc {
    let progress = &listening.progress;
    ListeningDoc {
        listener: listening.listener,
        emitted: listening.emitted,
        after: listening.after,
        met: progress.met.iter().copied().collect(),
        until: progress.until.iter().copied().collect(),
        keys: progress
            .keys
            .iter()
            .map(|(name, value)| VariableDoc { name: name.to_string(), value: values.put(value) })
            .collect(),
        expected: progress
            .expected
            .iter()
            .map(|value| value.as_ref().map(|value| values.put(value)))
            .collect(),
        outputs: values.put(&Value::Arr(listening.outputs.clone())),
        consumed: listening.consumed,
        bytes: listening.bytes,
        stage: listen_stage_doc(&listening.stage, values),
    }
}

fn listen_stage_doc(stage: &ListenStage, values: &mut Values) -> ListenStageDoc {
    match stage {
        ListenStage::Listening => ListenStageDoc::Listening,
        ListenStage::Taken { item } => ListenStageDoc::Taken { item: values.put(item) },
        ListenStage::Iterating { item, seq } => {
            ListenStageDoc::Iterating { item: values.put(item), seq: seq_doc(seq) }
        }
        ListenStage::Shaping { item, raw } => {
            ListenStageDoc::Shaping { item: values.put(item), raw: values.put(raw) }
        }
        ListenStage::Exporting { item, output } => {
            ListenStageDoc::Exporting { item: values.put(item), output: values.put(output) }
        }
        ListenStage::Checking => ListenStageDoc::Checking,
    }
}

fn stage_doc(stage: &GuardStage) -> StageDoc {
    match stage {
        GuardStage::Next => StageDoc::Next,
        GuardStage::Body { seq, limit } => {
            StageDoc::Body { seq: seq_doc(seq), limit: limit.map(timeout_doc) }
        }
        GuardStage::Matching { seq, fault } => {
            StageDoc::Matching { seq: seq_doc(seq), fault: fault.clone() }
        }
        GuardStage::Delaying { timer, until } => {
            StageDoc::Delaying { timer: *timer, until: *until }
        }
        GuardStage::Catching { seq } => StageDoc::Catching { seq: seq_doc(seq) },
    }
}

fn action_doc(action: &Action, values: &mut Values) -> ActionDoc {
    match action {
        Action::Http(request) => ActionDoc::Http {
            method: request.method.clone(),
            uri: request.uri.clone(),
            headers: request.headers.clone(),
            query: request.query.clone(),
            body: request.body.as_ref().map(|body| values.put(body)),
            output: request.output.into(),
            redirect: request.redirect,
        },
        Action::Process(request) => ActionDoc::Process {
            interpreter: request.interpreter.as_str().to_owned(),
            code: values.put(&base::value::string(&request.code)),
            stdin: values.put(&base::value::string(&request.stdin)),
            arguments: request.arguments.clone(),
            environment: request.environment.clone(),
            returns: request.returns.as_str().to_owned(),
        },
        Action::Function { function, input } => {
            ActionDoc::Function { function: function.to_string(), input: values.put(input) }
        }
        Action::Sealed(sealed) => late::sealed_doc(sealed, values),
        Action::Workflow(child) => ActionDoc::Workflow {
            namespace: child.key.namespace.clone(),
            workflow: child.key.name.clone(),
            version: child.version.clone(),
            revision: child.revision,
            input: values.put(&child.input),
            wait: child.wait,
        },
    }
}

/// Turns a document's parts back, with its values at hand.
struct Taken<'a> {
    values: &'a [Value],
    tasks: usize,
    extensions: usize,
    workflow: &'a Workflow,
}

type Back<T> = Result<T, SnapshotError>;

impl Taken<'_> {
    fn value(&self, at: ValueRef) -> Back<Value> {
        let value = self.values.get(at.0 as usize).cloned();
        value.ok_or(SnapshotError::Revision("it refers to a value that it does not hold"))
    }

    fn text(&self, at: ValueRef) -> Back<String> {
        let value = self.value(at)?;
        let text = base::value::as_str(&value).map(str::to_owned);
        text.ok_or(SnapshotError::Revision("a text is none"))
    }

    fn header(&self, doc: HeaderDoc) -> Back<Header> {
        Ok(Header {
            run: doc.run,
            key: WorkflowKey { namespace: doc.namespace, name: doc.workflow },
            labels: doc.labels.into(),
            secrets: super::secret_uses(self.workflow, &doc.secrets),
            traceparent: doc.traceparent.into(),
            seed: doc.seed.into_seed()?,
            input: self.value(doc.input)?,
            runtime: self.value(doc.runtime)?,
            started_at: doc.started_at,
        })
    }

    fn variables(&self, docs: Vec<VariableDoc>) -> Back<Variables> {
        // Written innermost first.
        docs.into_iter().rev().try_fold(Variables::default(), |outer, doc| {
            Ok(outer.with(&doc.name.into(), self.value(doc.value)?))
        })
    }

    fn evaluation(&self, doc: EvaluationDoc) -> Back<(EvaluationNo, (NodeId, Evaluate))> {
        let variables: Back<Vec<_>> = doc
            .variables
            .into_iter()
            .map(|variable| Ok((variable.name.into(), self.value(variable.value)?)))
            .collect();
        let input = self.value(doc.input)?;
        let evaluate = Evaluate { text: doc.text.into(), input, variables: variables? };
        Ok((doc.evaluation, (NodeId(doc.node), evaluate)))
    }

    fn ended(&self, doc: EndedDoc) -> Back<Ended> {
        Ok(Ended {
            state: doc.state,
            output: doc.output.map(|output| self.value(output)).transpose()?,
            fault: doc.fault,
            activation: doc.activation,
            usage: doc.usage,
        })
    }

    fn node(&self, doc: NodeDoc) -> Back<Node> {
        let task = doc.task.map(TaskNo);
        if task.is_some_and(|no| no.0 as usize >= self.tasks) {
            return Err(SnapshotError::Revision("it names a task that the revision does not have"));
        }
        let evaluated: Back<Vec<_>> = doc
            .evaluated
            .into_iter()
            .map(|result| match result {
                ResultRef::Ok(value) => self.value(value).map(Ok),
                ResultRef::Fault(fault) => Ok(Err(fault)),
            })
            .collect();
        Ok(Node {
            parent: doc.parent.map(NodeId),
            task,
            activation: doc.activation,
            variables: self.variables(doc.variables)?,
            raw_input: self.value(doc.raw_input)?,
            input: self.value(doc.input)?,
            started_at: doc.started_at,
            timeout: doc.timeout.map(timeout),
            phase: self.phase(doc.phase)?,
            evaluated: evaluated?,
            // Set from the list of evaluations.
            evaluating: None,
            children: doc.children.into_iter().map(NodeId).collect(),
            time: doc.time,
            definite: doc.definite,
            extended: doc.extended.map(|extended| self.extended(extended)).transpose()?,
        })
    }

    fn extended(&self, doc: ExtendedDoc) -> Back<Box<Extended>> {
        let applied: Back<Vec<u32>> =
            doc.applied.into_iter().map(|number| self.extension(number)).collect();
        Ok(Box::new(Extended { applied: applied?, definite: doc.definite.into_iter().collect() }))
    }

    fn extension(&self, number: u32) -> Back<u32> {
        if number as usize >= self.extensions {
            let what = "it names an extension that the revision does not have";
            return Err(SnapshotError::Revision(what));
        }
        Ok(number)
    }

    fn phase(&self, doc: PhaseDoc) -> Back<Phase> {
        Ok(match doc {
            PhaseDoc::Condition => Phase::Condition,
            PhaseDoc::Input => Phase::Input,
            PhaseDoc::Extend => Phase::Extend,
            PhaseDoc::Before { at, seq: place } => Phase::Before { at, seq: place.map(seq) },
            PhaseDoc::Body(body) => Phase::Body(self.body(body)?),
            PhaseDoc::After { extension, value, exit: flow, seq: place } => Phase::After {
                extension: self.extension(extension)?,
                raw: self.value(value)?,
                flow: exit(flow),
                seq: place.map(seq),
            },
            PhaseDoc::Output { value, exit: flow } => {
                Phase::Output { raw: self.value(value)?, flow: exit(flow) }
            }
            PhaseDoc::Export { raw, value, exit: flow } => Phase::Export {
                raw: self.value(raw.unwrap_or(value))?,
                output: self.value(value)?,
                flow: exit(flow),
            },
            PhaseDoc::Faulted { fault, was } => {
                Phase::Faulted { fault, was: Box::new(self.phase(*was)?) }
            }
        })
    }

    fn body(&self, doc: BodyDoc) -> Back<Body> {
        Ok(match doc {
            BodyDoc::Begin => Body::Begin,
            BodyDoc::Sequence(doc) => Body::Sequence(seq(doc)),
            BodyDoc::For { items, index, data, seq: at } => {
                let Value::Arr(items) = self.value(items)? else {
                    return Err(SnapshotError::Revision("a loop's items are no array"));
                };
                Body::For(Loop { items, index, data: self.value(data)?, seq: at.map(seq) })
            }
            BodyDoc::Try(doc) => Body::Try(Guard {
                attempt: doc.attempt,
                started_at: doc.started_at,
                stage: stage(doc.stage),
                definite: doc.definite.into_iter().collect(),
            }),
            BodyDoc::Fork { outputs } => {
                let outputs: Back<Vec<_>> = outputs
                    .into_iter()
                    .map(|one| one.map(|one| self.value(one)).transpose())
                    .collect();
                Body::Fork(Branches { outputs: outputs? })
            }
            BodyDoc::Wait { timer, until } => Body::Wait { timer, until },
            BodyDoc::Effect { effect, key, action } => {
                Body::Effect { effect, key, action: Arc::new(self.action(action)?) }
            }
            BodyDoc::Listen(doc) => Body::Listen(Box::new(self.listening(doc)?)),
        })
    }

    fn listening(&self, doc: ListeningDoc) -> Back<Listening> {
        let Value::Arr(outputs) = self.value(doc.outputs)? else {
            return Err(SnapshotError::Revision("a listener's output is no array"));
        };
        let keys: Back<Vec<_>> =
            doc.keys.into_iter().map(|key| Ok((key.name.into(), self.value(key.value)?))).collect();
        let expected: Back<Vec<_>> = doc
            .expected
            .into_iter()
            .map(|value| value.map(|value| self.value(value)).transpose())
            .collect();
        Ok(Listening {
            listener: doc.listener,
            emitted: doc.emitted,
            after: doc.after,
            progress: Progress {
                met: doc.met.into_iter().collect(),
                until: doc.until.into_iter().collect(),
                keys: keys?,
                expected: expected?,
            },
            outputs,
            consumed: doc.consumed,
            bytes: doc.bytes,
            stage: self.listen_stage(doc.stage)?,
        })
    }

    fn listen_stage(&self, doc: ListenStageDoc) -> Back<ListenStage> {
        Ok(match doc {
            ListenStageDoc::Listening => ListenStage::Listening,
            ListenStageDoc::Taken { item } => ListenStage::Taken { item: self.value(item)? },
            ListenStageDoc::Iterating { item, seq: at } => {
                ListenStage::Iterating { item: self.value(item)?, seq: seq(at) }
            }
            ListenStageDoc::Shaping { item, raw } => {
                ListenStage::Shaping { item: self.value(item)?, raw: self.value(raw)? }
            }
            ListenStageDoc::Exporting { item, output } => {
                ListenStage::Exporting { item: self.value(item)?, output: self.value(output)? }
            }
            ListenStageDoc::Checking => ListenStage::Checking,
        })
    }

    fn action(&self, doc: ActionDoc) -> Back<Action> {
        Ok(match doc {
            ActionDoc::Http { method, uri, headers, query, body, output, redirect } => {
                let body = body.map(|body| self.value(body)).transpose()?;
                let output = output.into();
                Action::Http(HttpRequest { method, uri, headers, query, body, output, redirect })
            }
            ActionDoc::Process { interpreter, code, stdin, arguments, environment, returns } => {
                let interpreter = Interpreter::ALL
                    .into_iter()
                    .find(|one| one.as_str() == interpreter)
                    .ok_or(SnapshotError::Revision("a process has an unknown interpreter"))?;
                let returns = Returns::parse(&returns)
                    .ok_or(SnapshotError::Revision("a process returns something unknown"))?;
                let (code, stdin) = (self.text(code)?, self.text(stdin)?);
                Action::Process(ProcessRequest {
                    interpreter,
                    code,
                    stdin,
                    arguments,
                    environment,
                    returns,
                })
            }
            ActionDoc::Function { function, input } => {
                let function = base::FunctionRef::parse(&function)
                    .ok_or(SnapshotError::Revision("a function has no valid name"))?;
                Action::Function { function, input: self.value(input)? }
            }
            ActionDoc::Sealed { call, parts, authentication } => {
                let look = |at| self.value(at);
                Action::Sealed(Box::new(late::sealed(call, parts, authentication, &look)?))
            }
            ActionDoc::Workflow { namespace, workflow, version, revision, input, wait } => {
                let key = WorkflowKey { namespace, name: workflow };
                let input = self.value(input)?;
                Action::Workflow(ChildStart { key, version, revision, input, wait })
            }
        })
    }
}

fn timeout(doc: TimeoutDoc) -> Timeout {
    Timeout { timer: doc.timer, after: doc.after }
}

fn exit(doc: Option<ExitDoc>) -> Option<Exit> {
    doc.map(|doc| match doc {
        ExitDoc::Case(number) => Exit::Case(number),
        ExitDoc::Skipped => Exit::Skipped,
        ExitDoc::Caught => Exit::Caught,
    })
}

fn seq(doc: SeqDoc) -> Seq {
    Seq { index: doc.index, visits: doc.visits.into_iter().collect() }
}

fn stage(doc: StageDoc) -> GuardStage {
    match doc {
        StageDoc::Next => GuardStage::Next,
        StageDoc::Body { seq: at, limit } => {
            GuardStage::Body { seq: seq(at), limit: limit.map(timeout) }
        }
        StageDoc::Matching { seq: at, fault } => GuardStage::Matching { seq: seq(at), fault },
        StageDoc::Delaying { timer, until } => GuardStage::Delaying { timer, until },
        StageDoc::Catching { seq: at } => GuardStage::Catching { seq: seq(at) },
    }
}
