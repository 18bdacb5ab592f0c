//! The life of runs and tasks as events, in the language's own types and shapes.
//!
//! That of runs is written with the run's own commits ([`of_run`]); that of tasks follows from the
//! journal and is told from there ([`Telling`]), together with changes of the status.

use std::collections::VecDeque;

use base::value::{from_serialize, object, string};
use base::{RunId, Timestamp, Value, WorkflowKey};
use store::{RunState, Sequence};

use crate::event::{Event, SPECVERSION};
use crate::machine::Emitted;
use crate::record::{Ended, Happened, Note, NoteKind, Record};

/// Which events a site writes about the life of its runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lifecycle {
    #[default]
    Workflows,
    None,
}

/// Whose life it is.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub run: RunId,
    pub key: &'a WorkflowKey,
    pub version: &'a str,
}

/// What one record says.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    pub sequence: Sequence,
    pub at: Timestamp,
    pub turn: Turn,
    pub notes: &'a [Note],
    /// Where the run ended with this record.
    pub ended: Option<&'a Ended>,
}

impl<'a> Said<'a> {
    #[must_use]
    pub fn of(record: &'a Record, notes: &'a [Note], ended: Option<&'a Ended>) -> Self {
        let Record { sequence, at, happened, .. } = record;
        Self { sequence: *sequence, at: *at, turn: Turn::of(happened), notes, ended }
    }
}

/// What happened, as far as it turns the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Begun,
    Retried,
    Resumed,
    Suspended,
    /// What came of it is in the notes.
    None,
}

impl Turn {
    #[must_use]
    pub fn of(happened: &Happened) -> Self {
        match happened {
            Happened::Started(started) if started.queued => Self::None,
            Happened::Started(_) | Happened::Admitted => Self::Begun,
            Happened::RetryRequested(_) => Self::Retried,
            Happened::ResumeRequested(_) => Self::Resumed,
            Happened::SuspendRequested(_) => Self::Suspended,
            Happened::Performed { .. }
            | Happened::Crossed { .. }
            | Happened::Evaluated { .. }
            | Happened::Read { .. }
            | Happened::TimerFired { .. }
            | Happened::CancelRequested(_)
            | Happened::Continued
            | Happened::Received(_) => Self::None,
        }
    }
}

impl Subject<'_> {
    /// The language's name of a run: workflow, run and namespace in one.
    fn name(&self) -> String {
        format!("{}-{}.{}", self.key.name, self.run.as_uuid(), self.key.namespace)
    }

    fn event(&self, id: &str, kind: &str, at: Timestamp, data: Value) -> Event {
        let source = format!("/{}/{}/{}", self.key.namespace, self.key.name, self.version);
        Event::of_envelope(object([
            ("specversion", string(SPECVERSION)),
            ("id", string(id)),
            ("source", string(&source)),
            ("type", string(&format!("{}{kind}.v1", crate::event::LIFECYCLE))),
            ("time", string(&at.to_string())),
            ("subject", string(&self.run.to_string())),
            ("data", data),
        ]))
    }

    fn of_run(
        &self,
        id: &str,
        kind: &str,
        at: Timestamp,
        moment: &'static str,
        more: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Event {
        let name = string(&self.name());
        let fields = [("name", name), (moment, string(&at.to_string()))];
        let data = object(fields.into_iter().chain(more));
        self.event(id, &format!("workflow.{kind}"), at, data)
    }

    /// The run stands still, since its journal cannot be followed, or goes on again. The journal does
    /// not know of it; `n` tells one time from another.
    #[must_use]
    pub fn suspended(&self, suspended: bool, n: &str, at: Timestamp) -> Event {
        let (kind, moment) =
            if suspended { ("suspended", "suspendedAt") } else { ("resumed", "resumedAt") };
        self.of_run(&format!("{}-{kind}-{n}", self.run), kind, at, moment, [])
    }

    fn definition(&self) -> Value {
        object([
            ("name", string(self.key.name.as_str())),
            ("namespace", string(self.key.namespace.as_str())),
            ("version", string(self.version)),
        ])
    }

    /// Where the run, with its output, can be read: at the site itself.
    fn output_uri(&self) -> Value {
        string(&format!("/api/v1/namespaces/{}/runs/{}", self.key.namespace, self.run))
    }
}

/// What a record says of the life of its run.
#[must_use]
pub fn of_run(subject: &Subject<'_>, said: &Said<'_>) -> Vec<Event> {
    let mut told = Vec::new();
    let mut number = 0;
    let mut tell = |kind: &str, moment: &'static str, more: Vec<(&'static str, Value)>| {
        number += 1;
        let id = format!("{}-{}-{number}", subject.run, said.sequence);
        told.push(subject.of_run(&id, kind, said.at, moment, more));
    };
    match said.turn {
        Turn::Begun => tell("started", "startedAt", vec![("definition", subject.definition())]),
        Turn::Retried | Turn::Resumed => tell("resumed", "resumedAt", Vec::new()),
        Turn::Suspended => tell("suspended", "suspendedAt", Vec::new()),
        Turn::None => {}
    }
    for note in said.notes {
        match &note.what {
            NoteKind::Listening => tell("correlation-started", "startedAt", Vec::new()),
            NoteKind::Listened { keys } => {
                let keys = object(keys.iter().map(|(name, key)| (&**name, key.clone())));
                tell("correlation-completed", "completedAt", vec![("correlationKeys", keys)]);
            }
            _ => {}
        }
    }
    match said.ended {
        Some(Ended { state: RunState::Completed, .. }) => {
            tell("completed", "completedAt", vec![("outputUri", subject.output_uri())]);
        }
        Some(Ended { state: RunState::Faulted, fault, .. }) => {
            let error = fault.as_ref().map_or(Value::Null, from_serialize);
            tell("faulted", "faultedAt", vec![("error", error)]);
        }
        Some(Ended { state: RunState::Cancelled, .. }) => {
            tell("cancelled", "cancelledAt", Vec::new());
        }
        Some(_) | None => {}
    }
    told
}

/// Whether it comes before what the tasks did and the run emitted. The rest comes after.
#[must_use]
pub fn is_begin(event: &Event) -> bool {
    let kind = event.kind();
    kind.ends_with("workflow.started.v1") || kind.ends_with("workflow.resumed.v1")
}

/// All that one record says: of the run, its tasks, their status, and the events that it emitted.
#[derive(Debug, Clone, Copy)]
pub struct Tale<'a> {
    pub subject: Subject<'a>,
    pub said: Said<'a>,
    pub emitted: &'a [Emitted],
    /// The run's states around it.
    pub before: RunState,
    pub after: RunState,
}

/// Where one stands in telling it. Event by event, since a record may hold ten thousand steps and an
/// event has ten times the size of what it tells of.
#[derive(Debug)]
pub struct Telling {
    note: usize,
    emitted: usize,
    /// Of the last event of a task.
    number: u32,
    of_run: VecDeque<Event>,
    told: VecDeque<Event>,
    is_over: bool,
}

impl Telling {
    #[must_use]
    pub fn begin(tale: &Tale<'_>) -> Self {
        let (begins, of_run) = of_run(&tale.subject, &tale.said).into_iter().partition(is_begin);
        Self { note: 0, emitted: 0, number: 0, of_run, told: begins, is_over: false }
    }

    /// The next event of the same tale.
    pub fn next(&mut self, tale: &Tale<'_>) -> Option<Event> {
        while self.told.is_empty() && !self.is_over {
            match tale.said.notes.get(self.note) {
                Some(note) => {
                    self.note += 1;
                    self.of_note(tale, note);
                }
                None => {
                    self.is_over = true;
                    self.rest(tale);
                }
            }
        }
        self.told.pop_front()
    }

    fn of_note(&mut self, tale: &Tale<'_>, note: &Note) {
        Tasks { tale, telling: self }.note(note);
        match note.what {
            NoteKind::Emitted { .. } => {
                let emitted = tale.emitted.get(self.emitted);
                self.emitted += 1;
                self.told.extend(emitted.map(|it| it.event.clone()));
            }
            NoteKind::Listening | NoteKind::Listened { .. } => {
                self.told.extend(self.of_run.pop_front());
            }
            _ => {}
        }
    }

    /// What is said of the run's end, and of its status.
    fn rest(&mut self, tale: &Tale<'_>) {
        let Tale { subject, said, before, after, .. } = tale;
        self.told.append(&mut self.of_run);
        if before != after {
            let id = format!("{}-{}-t{}", subject.run, said.sequence, self.number + 1);
            let status = [("status", string(after.as_str()))];
            self.told.push_back(subject.of_run(
                &id,
                "status-changed",
                said.at,
                "updatedAt",
                status,
            ));
        }
    }
}

struct Tasks<'a> {
    tale: &'a Tale<'a>,
    telling: &'a mut Telling,
}

impl Tasks<'_> {
    fn note(&mut self, note: &Note) {
        match &note.what {
            NoteKind::Started { .. } if self.is_retry() => {
                self.tell(note, "resumed", "resumedAt", None);
                self.status(note, RunState::Running);
            }
            NoteKind::Started { .. } => {
                self.tell(note, "created", "createdAt", None);
                self.tell(note, "started", "startedAt", None);
                self.status(note, RunState::Running);
            }
            NoteKind::Completed { .. } => {
                let output = ("outputUri", self.tale.subject.output_uri());
                self.tell(note, "completed", "completedAt", Some(output));
                self.status(note, RunState::Completed);
            }
            NoteKind::Faulted { fault } => {
                let error = ("error", from_serialize(fault));
                self.tell(note, "faulted", "faultedAt", Some(error));
                self.status(note, RunState::Faulted);
            }
            NoteKind::Cancelled => {
                self.tell(note, "cancelled", "cancelledAt", None);
                self.status(note, RunState::Cancelled);
            }
            NoteKind::Retrying { .. } => {
                self.tell(note, "retried", "retriedAt", None);
                self.status(note, RunState::Waiting);
            }
            NoteKind::Suspended => {
                self.tell(note, "suspended", "suspendedAt", None);
                self.status(note, RunState::Suspended);
            }
            NoteKind::Resumed { waits } => {
                self.tell(note, "resumed", "resumedAt", None);
                self.status(note, if *waits { RunState::Waiting } else { RunState::Running });
            }
            // Suspended is what a person does; who waits is waiting.
            NoteKind::Waiting { .. } | NoteKind::Listening => {
                self.status(note, RunState::Waiting);
            }
            NoteKind::Received { .. } => {
                self.status(note, RunState::Running);
            }
            NoteKind::Iteration { .. }
            | NoteKind::Scheduled { .. }
            | NoteKind::Caught { .. }
            | NoteKind::Skipped
            | NoteKind::Emitted { .. }
            | NoteKind::Listened { .. } => {}
        }
    }

    /// A person has the run go on: the first tasks of the record go on, too.
    fn is_retry(&self) -> bool {
        self.tale.said.turn == Turn::Retried && self.telling.number == 0
    }

    fn status(&mut self, note: &Note, status: RunState) {
        let status = ("status", string(status.as_str()));
        self.tell(note, "status-changed", "updatedAt", Some(status));
    }

    fn tell(&mut self, note: &Note, kind: &str, moment: &str, more: Option<(&'static str, Value)>) {
        self.telling.number += 1;
        let Tale { subject, said, .. } = self.tale;
        let id = format!("{}-{}-t{}", subject.run, said.sequence, self.telling.number);
        let fields = [
            ("workflow", string(&subject.name())),
            ("task", string(&note.location)),
            (moment, string(&said.at.to_string())),
        ];
        let data = object(fields.into_iter().chain(more));
        let event = subject.event(&id, &format!("task.{kind}"), said.at, data);
        self.telling.told.push_back(event);
    }
}
