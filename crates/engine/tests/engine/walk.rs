//! Walks a workflow through the core with a clock that the test owns.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use base::name::WorkflowKey;
use base::value::{parse, to_json_string};
use base::{By, Digest, Fault, IncarnationId, RunId, SystemRandom, Timestamp, Value};
use engine::effect::Perform;
use engine::event::{Defaults, Event, Incoming};
use engine::format::{Blobs, RecordDoc, blob_value, references};
use engine::list::{List, Lists, Piece, ReadNo, read_again, read_next};
use engine::machine::{Effect, Machine, Offered, Step};
use engine::record::{
    Decided, Happened, Note, NoteKind, Record, SEMANTICS, Seed, Started, TimerNo,
};
use engine::replay::replay;
use futures::FutureExt;
use spec::tree::Workflow;
use store::memory::MemoryStore;
use store::{BlobId, Op, Preconditions, RunState, Sequence, Store};

use crate::world::{Echo, Outside, World};

pub const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Puts a body below a document's head.
pub fn document(body: &str) -> String {
    let head = "document: {dsl: '1.0.3', namespace: test, name: case, version: '1.0.0'}";
    format!("{head}\n{body}")
}

pub fn workflow(body: &str) -> Arc<Workflow> {
    let text = document(body);
    match spec::read(&text, &Echo) {
        Ok(read) => Arc::new(read.workflow),
        Err(wrong) => {
            let all: Vec<String> = wrong.iter().map(|one| one.render("case.yaml", &text)).collect();
            panic!("{}", all.join("\n"))
        }
    }
}

/// The digest under which the tests store a workflow.
pub fn revision_of(key: &WorkflowKey) -> Digest {
    Digest::of(if key.name.as_str() == "case" { b"revision" } else { key.name.as_str().as_bytes() })
}

pub fn value(json: &str) -> Value {
    parse(json.as_bytes()).expect("a test's own JSON")
}

pub fn by(actor: &str) -> By {
    By { actor: actor.to_owned(), reason: None }
}

pub fn started(workflow: &Workflow, input: &str) -> Started {
    Started {
        run: RunId::from_uuid(uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)),
        key: workflow.document.key.clone(),
        revision: Digest::of(b"revision"),
        version: workflow.document.version.clone(),
        input: value(input),
        by: by("tester"),
        owner: "tester".to_owned(),
        semantics: SEMANTICS,
        runtime: value(r#"{"name":"isonomy","version":"test","metadata":{}}"#),
        seed: Seed::from_bytes([7; 32]),
        labels: Vec::new(),
        tags: Vec::new(),
        priority: 0,
        traceparent: "00-00000000000000000000000000000001-0000000000000001-01".to_owned(),
        secrets: Vec::new(),
        parent: None,
        queued: false,
    }
}

/// A run in the hands of a test.
pub struct Walk {
    pub machine: Machine,
    pub world: World,
    pub now: Timestamp,
    pub records: Vec<Record>,
    pub notes: Vec<Note>,
    pub performs: VecDeque<Perform>,
    pub evaluates: VecDeque<(engine::record::EvaluationNo, engine::effect::Evaluate)>,
    pub timers: BTreeSet<(Timestamp, TimerNo)>,
    /// Everything that has come, in its order.
    pub events: Vec<Incoming>,
    /// Pieces of lists that were asked for: where they begin.
    pub reads: VecDeque<(ReadNo, BlobId, u64)>,
    /// What lies in blobs.
    pub store: Arc<MemoryStore>,
    workflow: Arc<Workflow>,
}

impl Walk {
    pub fn start(body: &str, input: &str) -> Self {
        Self::start_as(body, input, false)
    }

    /// A run that waits for its turn.
    pub fn queued(body: &str, input: &str) -> Self {
        Self::start_as(body, input, true)
    }

    fn start_as(body: &str, input: &str, queued: bool) -> Self {
        let workflow = workflow(body);
        let mut walk = Self {
            machine: Machine::new(workflow.clone()),
            world: World::default(),
            now: START,
            records: Vec::new(),
            notes: Vec::new(),
            performs: VecDeque::new(),
            evaluates: VecDeque::new(),
            timers: BTreeSet::new(),
            events: Vec::new(),
            reads: VecDeque::new(),
            store: Arc::new(MemoryStore::new(IncarnationId::new(START, &SystemRandom))),
            workflow: workflow.clone(),
        };
        let started = Started { queued, ..started(&workflow, input) };
        walk.feed(Happened::Started(Box::new(started)));
        walk
    }

    /// Feeds one thing, and takes record and machine through their bytes.
    pub fn feed(&mut self, happened: Happened) -> Step {
        self.machine.knows(self.events.len() as u64);
        let step = self.machine.handle(self.now, &happened).expect("what happens fits");
        for emitted in &step.emitted {
            let run = Some(started(&self.workflow, "{}").run);
            self.arrived(emitted.event.clone(), run, emitted.number);
        }
        let sequence = Sequence(self.records.len() as u64 + 1);
        let (decided, control) = (step.decided.clone(), step.control);
        let record = Record { sequence, at: self.now, happened, decided, control };
        let put =
            |(blob, bytes): &(BlobId, _)| Op::BlobPut { blob: *blob, bytes: Clone::clone(bytes) };
        self.commit(step.held.iter().map(put).collect());
        let keep = |list: &List| Op::BlobKeep { blob: list.blob, size: list.bytes };
        self.commit(record.lists().iter().map(keep).collect());
        assert_eq!(self.through_bytes(&record), record);
        self.records.push(record);
        self.through_snapshot();
        self.notes.extend(step.notes.clone());
        for effect in step.effects.clone() {
            self.take(effect);
        }
        if step.unfinished {
            return self.feed(Happened::Continued);
        }
        step
    }

    fn commit(&self, ops: Vec<Op>) {
        let done = self.store.commit(ops, Preconditions::none()).now_or_never();
        done.expect("memory does not wait").expect("the blobs are there");
    }

    fn again(&self, piece: Piece) -> Arc<Vec<Value>> {
        let items = read_again(&*self.store, piece).now_or_never();
        items.expect("memory does not wait").expect("the piece is there")
    }

    fn take(&mut self, effect: Effect) {
        match effect {
            // A run that goes on asks again for what is still in flight.
            Effect::Perform(perform) => {
                self.performs.retain(|other| other.effect != perform.effect);
                self.performs.push_back(perform);
            }
            Effect::Read(no, blob, offset) => {
                self.reads.retain(|(other, ..)| *other != no);
                self.reads.push_back((no, blob, offset));
            }
            Effect::Evaluate(no, evaluate) | Effect::EvaluateList(no, evaluate) => {
                self.evaluates.retain(|(other, _)| *other != no);
                self.evaluates.push_back((no, evaluate));
            }
            Effect::WakeAt(timer, at) => {
                self.timers.insert((at, timer));
            }
            Effect::Forget(timer) => self.timers.retain(|(_, other)| *other != timer),
            Effect::Abandon(effect) => self.performs.retain(|perform| perform.effect != effect),
            // Listeners are asked one by one, see `event_turn`.
            Effect::Listen(..) | Effect::Unlisten(_) | Effect::EndLeft | Effect::End => {}
        }
    }

    fn arrived(&mut self, event: Event, run: Option<RunId>, number: u64) {
        let position = self.events.len() as u64 + 1;
        let kind = event.kind().into();
        self.events.push(Incoming { position, kind, run, number, event });
    }

    /// An event comes, and nobody looks at it yet.
    pub fn comes(&mut self, json: &str) {
        let id = (self.events.len() + 1).to_string();
        let defaults = Defaults { id: &|| id.clone(), source: Some("/outside"), time: self.now };
        let event = Event::parse(&value(json), &defaults).expect("a test's own event");
        self.arrived(event, None, 0);
    }

    /// An event comes, and whoever listens deals with it.
    pub fn event(&mut self, json: &str) {
        self.comes(json);
        while self.event_turn() {}
    }

    /// Has the first listener that takes an event take it.
    pub fn event_turn(&mut self) -> bool {
        for listener in self.machine.listeners() {
            for incoming in &self.events {
                let mut results = Vec::new();
                let received = loop {
                    match self.machine.offer(listener, incoming, &results) {
                        Offered::Ignored => break None,
                        Offered::Taken(received) => break Some(received),
                        Offered::Ask(evaluate) => results.push(Outside::answer(&evaluate)),
                    }
                };
                if let Some(received) = received {
                    self.feed(Happened::Received(received));
                    return true;
                }
            }
        }
        false
    }

    fn through_snapshot(&mut self) {
        let frozen = self.machine.freeze();
        let wanted = Machine::snapshot_blobs(&frozen.bytes).expect("a snapshot");
        let wanted: BTreeSet<_> = wanted.into_iter().collect();
        assert_eq!(wanted, frozen.blobs.iter().map(|(blob, _)| *blob).collect());
        let mut blobs = Blobs::new();
        for (blob, bytes) in &frozen.blobs {
            blobs.insert(*blob, blob_value(*blob, bytes).expect("a blob that was just written"));
        }
        for piece in Machine::snapshot_pieces(&frozen.bytes).expect("a snapshot") {
            blobs.insert_piece(piece, self.again(piece));
        }
        let thawed = Machine::from_snapshot(self.workflow.clone(), &frozen.bytes, &blobs)
            .expect("a snapshot that was just written");
        assert!(
            thawed == self.machine,
            "a snapshot changed the machine:\n{thawed:#?}\n{:#?}",
            self.machine
        );
        self.machine = thawed;
    }

    fn through_bytes(&self, record: &Record) -> Record {
        let encoded = record.encode();
        let doc = RecordDoc::parse(&encoded.bytes).expect("a record that was just written");
        let (wanted, references) = (doc.blobs(), references(&encoded.bytes));
        let mut blobs = Blobs::new();
        for (blob, bytes) in &encoded.blobs {
            assert!(wanted.contains(blob) && references.contains(blob));
            blobs.insert(*blob, blob_value(*blob, bytes).expect("a blob that was just written"));
        }
        if let Some(piece) = doc.piece() {
            assert!(references.contains(&piece.blob));
            blobs.insert_piece(piece, self.again(piece));
        }
        doc.into_record(&blobs).expect("a record that was just written")
    }

    /// One thing that can happen next: an answer, else the earliest timer. `false` where nothing can.
    pub fn turn(&mut self) -> bool {
        if self.event_turn() || self.answer() {
            return true;
        }
        let Some((at, timer)) = self.timers.pop_first() else { return false };
        self.now = self.now.max(at);
        self.feed(Happened::TimerFired { timer });
        true
    }

    /// The answer to something that is in flight.
    pub fn answer(&mut self) -> bool {
        if let Some((evaluation, evaluate)) = self.evaluates.pop_front() {
            let result = Outside::answer(&evaluate);
            self.feed(Happened::Evaluated { evaluation, result, lists: Vec::new() });
            return true;
        }
        if let Some((read, blob, offset)) = self.reads.pop_front() {
            let next = read_next(&*self.store, blob, offset).now_or_never();
            let (piece, items) = next.expect("memory does not wait").expect("a piece");
            self.feed(Happened::Read { read, piece, items });
            return true;
        }
        for _ in 0..self.performs.len() {
            let perform = self.performs.pop_front().expect("counted above");
            let lists = Lists::new(self.store.clone());
            let perform = Perform { lists: lists.clone(), ..perform };
            if let Some(performed) = self.world.act(&perform) {
                let performed = performed.with_lists(&lists);
                self.feed(Happened::Performed { effect: perform.effect, performed });
                return true;
            }
            self.performs.push_back(perform);
        }
        false
    }

    /// Goes on until nothing more can happen, and checks that a replay leads to the same.
    pub fn finish(mut self) -> Self {
        while self.machine.ended().is_none() && self.turn() {}
        self.replayed();
        self
    }

    pub fn replayed(&self) {
        let mut machine = Machine::new(self.workflow.clone());
        let mut notes = Vec::new();
        for record in &self.records {
            let after = Sequence(record.sequence.0 - 1);
            let step = replay(&mut machine, after, record).expect("a journal replays");
            notes.extend(step.notes);
        }
        assert!(machine == self.machine, "a replay led elsewhere");
        assert_eq!(notes, self.notes);
    }

    pub fn run(body: &str, input: &str) -> Self {
        Self::start(body, input).finish()
    }

    pub fn output(&self) -> String {
        let ended = self.machine.ended().expect("the run has ended");
        assert_eq!(ended.state, RunState::Completed, "{:?}", ended.fault);
        to_json_string(ended.output.as_ref().expect("a completed run has an output"))
    }

    pub fn fault(&self) -> &Fault {
        let ended = self.machine.ended().expect("the run has ended");
        assert_eq!(
            ended.state,
            RunState::Faulted,
            "{:?}",
            ended.output.as_ref().map(to_json_string)
        );
        ended.fault.as_ref().expect("a faulted run has an error")
    }

    /// Names of tasks in the order of their completion.
    pub fn completed(&self) -> Vec<String> {
        let done = |note: &&Note| matches!(note.what, NoteKind::Completed { .. });
        self.notes.iter().filter(done).map(|note| note.task.to_string()).collect()
    }

    /// Every activation that was begun, in order.
    pub fn begun(&self) -> Vec<String> {
        let begun = |note: &&Note| matches!(note.what, NoteKind::Started { .. });
        self.notes.iter().filter(begun).map(|note| note.activation.to_string()).collect()
    }

    pub fn decided(&self) -> impl Iterator<Item = &Decided> {
        self.records.iter().flat_map(|record| &record.decided)
    }
}

/// Output of a workflow, beside what is expected of it.
#[track_caller]
pub fn check(body: &str, input: &str, output: &str) {
    assert_eq!(Walk::run(body, input).output(), to_json_string(&value(output)));
}

/// An event from outside at this position.
pub fn incoming(position: u64, json: &str) -> Incoming {
    let id = position.to_string();
    let defaults = Defaults { id: &|| id.clone(), source: Some("/outside"), time: START };
    let event = Event::parse(&value(json), &defaults).expect("a test's own event");
    Incoming { position, kind: event.kind().into(), run: None, number: 0, event }
}
