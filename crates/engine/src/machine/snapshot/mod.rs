//! A machine put away and taken up again.
//!
//! Only the translation between the machine's own types and the document's is here; the document
//! is in `format::snapshot`.

mod action;
mod body;
mod operation;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use base::Value;
use base::name::WorkflowKey;
use spec::tree::{TaskNo, Workflow};
use store::BlobId;

use self::body::{body_doc, seq, seq_doc, timeout, timeout_doc};
use super::arena::Arena;
use super::counts::Counts;
use super::node::{Exit, Extended, Node, NodeId, Phase};
use super::scope::Variables;
use super::timer::Timer;
use super::{Header, Machine, Step};
use crate::effect::Evaluate;
use crate::format::snapshot_doc::{
    EndedDoc, EvaluationDoc, ExitDoc, ExtendedDoc, HeaderDoc, NodeDoc, PhaseDoc, ResultRef,
    TimerDoc, ValueRef, Values, VariableDoc,
};
use crate::format::{Blobs, Encoded, FormatError, SnapshotDoc};
use crate::list::Piece;
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
        let (doc, values) = self.document();
        doc.encode(values)
    }

    /// Every value that the run still has.
    pub(super) fn values(&self) -> Values {
        self.document().1
    }

    fn document(&self) -> (SnapshotDoc, Values) {
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
            semantics: header.semantics,
        };
        let (nodes, free) = self.arena.parts();
        let nodes = nodes.into_iter().map(|node| node.map(|node| node_doc(node, &mut values)));
        let nodes = nodes.collect();
        let evaluations = self.evaluations.iter().map(|(no, (node, evaluate))| EvaluationDoc {
            evaluation: *no,
            node: node.0,
            text: evaluate.text.to_string(),
            input: values.put(&evaluate.input),
            variables: variable_docs(&evaluate.variables, &mut values),
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
        let doc = SnapshotDoc {
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
            suspended: self.suspended,
            reads: self.reads.iter().map(|(no, id)| (*no, id.0)).collect(),
            read_last: self.read_last,
            lists: self.lists.values().copied().collect(),
        };
        (doc, values)
    }

    /// Blobs that [`from_snapshot`](Self::from_snapshot) needs.
    pub fn snapshot_blobs(bytes: &[u8]) -> Result<Vec<BlobId>, SnapshotError> {
        Ok(SnapshotDoc::parse(bytes)?.blobs())
    }

    /// Pieces of lists that [`from_snapshot`](Self::from_snapshot) needs.
    pub fn snapshot_pieces(bytes: &[u8]) -> Result<Vec<Piece>, SnapshotError> {
        Ok(SnapshotDoc::parse(bytes)?.pieces())
    }

    pub fn from_snapshot(
        workflow: Arc<Workflow>,
        bytes: &[u8],
        blobs: &Blobs,
    ) -> Result<Self, SnapshotError> {
        let (doc, values) = SnapshotDoc::parse(bytes)?.open(blobs)?;
        let (tasks, extensions) = (workflow.tasks.len(), workflow.extensions.len());
        let take = Taken { values: &values, blobs, tasks, extensions, workflow: &workflow };
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
        machine.suspended = doc.suspended;
        machine.reads = doc.reads.into_iter().map(|(no, id)| (no, NodeId(id))).collect();
        machine.read_last = doc.read_last;
        machine.lists = doc.lists.into_iter().map(|list| (list.blob, list)).collect();
        machine.step = Step::default();
        Ok(machine)
    }
}

fn variable_docs(variables: &[(Arc<str>, Value)], values: &mut Values) -> Vec<VariableDoc> {
    variables
        .iter()
        .map(|(name, value)| VariableDoc { name: name.to_string(), value: values.put(value) })
        .collect()
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
            definite: extended.definite.answered.clone().into_iter().collect(),
            asked: extended.definite.asked.clone().into_iter().collect(),
            floor: extended.definite.floor,
        }),
    }
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

/// Turns a document's parts back, with its values at hand.
struct Taken<'a> {
    values: &'a [Value],
    blobs: &'a Blobs,
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
            semantics: doc.semantics,
        })
    }

    fn variables(&self, docs: Vec<VariableDoc>) -> Back<Variables> {
        // Written innermost first.
        docs.into_iter().rev().try_fold(Variables::default(), |outer, doc| {
            Ok(outer.with(&doc.name.into(), self.value(doc.value)?))
        })
    }

    fn evaluation(&self, doc: EvaluationDoc) -> Back<(EvaluationNo, (NodeId, Evaluate))> {
        let evaluate = self.evaluate(doc.text, doc.input, doc.variables)?;
        Ok((doc.evaluation, (NodeId(doc.node), evaluate)))
    }

    fn evaluate(
        &self,
        text: String,
        input: ValueRef,
        variables: Vec<VariableDoc>,
    ) -> Back<Evaluate> {
        let variables = self.named(variables)?;
        Ok(Evaluate { text: text.into(), input: self.value(input)?, variables })
    }

    fn named(&self, docs: Vec<VariableDoc>) -> Back<Vec<(Arc<str>, Value)>> {
        docs.into_iter().map(|doc| Ok((doc.name.into(), self.value(doc.value)?))).collect()
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
        Ok(Box::new(Extended {
            applied: applied?,
            definite: Counts {
                floor: doc.floor,
                answered: doc.definite.into_iter().collect(),
                asked: doc.asked.into_iter().collect(),
            },
        }))
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
}

fn exit(doc: Option<ExitDoc>) -> Option<Exit> {
    doc.map(|doc| match doc {
        ExitDoc::Case(number) => Exit::Case(number),
        ExitDoc::Skipped => Exit::Skipped,
        ExitDoc::Caught => Exit::Caught,
    })
}
