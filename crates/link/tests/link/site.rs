//! A site: its disk, which survives, and its end of a connection, which does not.

use std::collections::VecDeque;

use base::outcome::Counts;
use base::{IncarnationId, OrderId, Outcome, RunId, RunState, SiteName};
use bytes::Bytes;
use link::site::{Effect, Input, Kept, Line, Session, Write, prune, read};
use store::memory::MemoryStore;
use store::suite::row;
use store::{LinkStore as _, Op, OrderRow, OutcomeRow, ReceiptRow, RunRow};
use uuid::Uuid;
use wire::link::{HubFrame, PerStream, Stream};
use wire::order::{Receipt, ReceiptState};

use crate::check::Entry;
use crate::disk::{self, NOW, commit, later, now};

pub struct Site {
    pub name: SiteName,
    pub joined: IncarnationId,
    pub store: MemoryStore,
    line: Line,
    /// The connection, by number.
    pub session: Option<(usize, Session)>,
    /// What is asked of the disk, in order.
    pub asked: VecDeque<Asked>,
    /// What was made, ever.
    pub made: PerStream<Vec<Entry>>,
    /// Orders that were judged.
    pub begun: Vec<OrderId>,
    number: u64,
    next: u64,
    /// Files that it has made, and the newest that it has taken.
    pub exported: u64,
    pub imported: Option<(IncarnationId, u64)>,
}

pub enum Asked {
    Write(Write),
    Read { stream: Stream, after: u64 },
}

impl Site {
    /// Site `number` joins.
    pub fn new(number: u64, name: SiteName, incarnation: IncarnationId) -> Self {
        let store = disk::empty(incarnation);
        let line = now(Line::open(&store, &name, incarnation, false)).expect("joins");
        Self {
            name,
            joined: incarnation,
            store,
            line,
            session: None,
            asked: VecDeque::new(),
            made: PerStream::default(),
            begun: Vec::new(),
            number,
            next: 0,
            exported: 0,
            imported: None,
        }
    }

    /// It starts with what is on this disk.
    pub fn start(&mut self, store: MemoryStore) {
        self.part(0);
        self.store = store;
        self.crash(0);
    }

    /// So many runs are another's.
    pub fn skip(&mut self, runs: u64) {
        self.next += runs;
    }

    pub fn kept(&self) -> Kept {
        now(self.line.kept(&self.store)).expect("reads")
    }

    pub fn last(&self, stream: Stream) -> u64 {
        now(self.store.outbox_last(stream)).expect("reads")
    }

    fn grown(&mut self, stream: Stream, key: String, bytes: Vec<u8>) -> Vec<Effect> {
        self.made.get_mut(stream).push((key, bytes));
        let last = self.last(stream);
        self.give(Input::Grown { stream, last })
    }

    /// A run ends.
    pub fn outcome(&mut self) -> Vec<Effect> {
        self.next += 1;
        let run = RunId::from_uuid(Uuid::from_u64_pair(self.number, self.next));
        let outcome = Outcome {
            run,
            number: 1,
            // Two lives of one site never write the same bytes.
            revision: self.line.incarnation.to_string(),
            state: RunState::Completed,
            started_at: NOW,
            ended_at: NOW,
            error: None,
            counts: Counts::default(),
        };
        let bytes = outcome.encode();
        let row = RunRow { run, state: RunState::Completed, ended_at: Some(NOW), ..row(1) };
        let outcome = Bytes::from(bytes.clone());
        let put = OutcomeRow { position: 0, run, number: 1, at: NOW, outcome };
        // Nobody looks at the run any more.
        let ops = vec![Op::RunCreate(row), Op::OutcomePut(put), Op::RunForget { run }];
        commit(&self.store, ops);
        self.grown(Stream::Outcome, run.to_string(), bytes)
    }

    fn open_orders(&self, limit: u32) -> Vec<OrderRow> {
        now(self.store.order_open(self.name.clone(), 0, limit)).expect("reads")
    }

    pub fn has_orders(&self) -> bool {
        !self.open_orders(1).is_empty()
    }

    /// Judges an order: its run, its receipt, and the judgement are one commit.
    pub fn judge(&mut self) -> Vec<Effect> {
        let Some(OrderRow { order, .. }) = self.open_orders(1).pop() else { return Vec::new() };
        let bytes = Receipt::new(order, ReceiptState::Taken, None, NOW).encode();
        let receipt = Bytes::from(bytes.clone());
        let receipt = ReceiptRow { position: 0, order, at: NOW, receipt };
        let judge = Op::OrderJudge { order, at: NOW };
        commit(&self.store, vec![judge, Op::ReceiptPut(receipt)]);
        self.begun.push(order);
        self.grown(Stream::Receipt, order.to_string(), bytes)
    }

    /// Deletes entries that the hub has.
    pub fn prune(&mut self, stream: Stream) {
        while now(prune(&self.store, stream, later())).expect("prunes") {}
    }

    pub fn give(&mut self, input: Input) -> Vec<Effect> {
        self.session.as_mut().map_or_else(Vec::new, |(_, session)| session.handle(input))
    }

    pub fn hear(&mut self, frame: HubFrame) -> Vec<Effect> {
        self.give(Input::Frame(frame))
    }

    /// The disk does the next thing that was asked of it.
    pub fn serve(&mut self) -> Vec<Effect> {
        match self.asked.pop_front() {
            None => Vec::new(),
            Some(Asked::Write(write)) => {
                self.write(&write);
                self.give(Input::Written(write))
            }
            Some(Asked::Read { stream, after }) => {
                let entries = now(read(&self.store, stream, after)).expect("reads");
                self.give(Input::Read { stream, after, entries })
            }
        }
    }

    fn write(&mut self, write: &Write) {
        let ops = self.line.ops(write, NOW);
        commit(&self.store, ops);
        self.line.wrote(write);
    }

    /// The connection is gone. Of what was asked of the disk, the first `done` were done, and it refused
    /// the rest: it is full.
    pub fn part(&mut self, done: usize) {
        self.session = None;
        for (n, asked) in std::mem::take(&mut self.asked).into_iter().enumerate() {
            match asked {
                Asked::Write(write) if n < done => self.write(&write),
                Asked::Write(write) => drop(self.line.ops(&write, NOW)),
                Asked::Read { .. } => {}
            }
        }
    }

    /// Everything but the disk is gone. Of what was asked of it, the first `done` were done.
    pub fn crash(&mut self, done: usize) {
        self.part(done);
        let line = Line::open(&self.store, &self.name, self.joined, true);
        self.line = now(line).expect("reads");
    }
}

/// What an entry is, for people.
pub fn key(stream: Stream, entry: &[u8]) -> String {
    match stream {
        Stream::Outcome => Outcome::decode(entry).expect("an outcome").run.to_string(),
        Stream::Receipt => Receipt::decode(entry).expect("a receipt").order.to_string(),
    }
}
