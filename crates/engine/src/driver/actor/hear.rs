//! Events on their way from the store to the run's listeners.
//!
//! ```text
//! woken ─► read a page behind the cursors ─► offer each event to each listener ─► Received ─► commit
//!                                                    └► evaluate outside, offer again
//! ```
//!
//! The cursor of a listener that counts is in its journal. Those here only save looking at the same
//! events twice.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use base::{Fault, Value};
use store::{EventQuery, EventRow, StoreError};
use tokio::sync::{Notify, mpsc};

use super::Actor;
use crate::effect::Evaluate;
use crate::event::Incoming;
use crate::machine::Offered;
use crate::record::{Happened, ListenerNo};

/// Events read at once. One may have a megabyte.
const PAGE: u32 = 16;

/// Events taken in one commit.
const TAKEN_MAX: usize = 64;

/// How long to wait after the store could not be read.
const READ_RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// What the actor knows of events.
pub(super) struct Ear {
    pub(super) notify: Arc<Notify>,
    /// For each listener, up to where it has looked.
    looked: BTreeMap<ListenerNo, u64>,
    /// Events behind `base` that are not looked at by all.
    queue: VecDeque<Incoming>,
    base: u64,
    /// Everything up to here is in the queue, or was.
    covered: u64,
    /// Results of the evaluations that the first event of the queue has asked for.
    results: Vec<Result<Value, Fault>>,
    /// Who has asked.
    asked: Option<ListenerNo>,
    state: State,
    /// More may be in the store than was read.
    stale: bool,
    /// The listeners have changed: who wakes us must know, and what was read may not be enough.
    changed: bool,
    /// What was asked for before the last change is not of interest any more.
    generation: u64,
    sender: mpsc::UnboundedSender<(u64, Heard)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Reading,
    Evaluating,
}

/// What comes back.
pub(super) enum Heard {
    Page { upto: u64, rows: Result<Vec<EventRow>, StoreError> },
    Evaluated(Result<Value, Fault>),
}

impl Ear {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<(u64, Heard)>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let ear = Self {
            notify: Arc::default(),
            looked: BTreeMap::new(),
            queue: VecDeque::new(),
            base: 0,
            covered: 0,
            results: Vec::new(),
            asked: None,
            state: State::Idle,
            stale: false,
            changed: false,
            generation: 0,
            sender,
        };
        (ear, receiver)
    }

    /// The listener takes events behind `after`.
    pub(super) fn listen(&mut self, listener: ListenerNo, after: u64) {
        let is_new = !self.looked.contains_key(&listener);
        let looked = self.looked.entry(listener).or_insert(after);
        *looked = (*looked).max(after);
        // What it has missed while it was busy is not in the queue any more.
        self.changed |= is_new || *looked < self.base;
    }

    pub(super) fn unlisten(&mut self, listener: ListenerNo) {
        self.changed |= self.looked.remove(&listener).is_some();
    }

    pub(super) fn close(&mut self) {
        self.changed |= !self.looked.is_empty();
        self.looked.clear();
    }

    pub(super) fn is_listening(&self) -> bool {
        !self.looked.is_empty()
    }
}

impl Actor {
    /// After a commit: whoever listens anew is registered, and looks at what is there.
    pub(super) fn hear(&mut self) {
        if !std::mem::take(&mut self.ear.changed) {
            // Something came while nobody took events.
            if self.ear.stale {
                self.read_events();
            }
            return;
        }
        self.ear.generation += 1;
        self.ear.state = State::Idle;
        self.ear.queue.clear();
        self.ear.results.clear();
        if !self.ear.is_listening() {
            self.driver.0.ears.unlisten(self.run);
            return;
        }
        // Registered before the store is read, so that nothing falls between.
        let (namespace, interest) = (&self.row.key.namespace, self.machine.interest());
        self.driver.0.ears.listen(self.run, namespace, interest, &self.ear.notify);
        self.read_events();
    }

    /// Something has come that may be for us.
    pub(super) fn read_events(&mut self) {
        self.ear.stale = true;
        if self.ear.state != State::Idle || !self.ear.queue.is_empty() {
            return;
        }
        let accepting = self.ear.looked.iter().filter(|(no, _)| self.machine.accepts(**no));
        let Some(after) = accepting.map(|(_, looked)| *looked).min() else { return };
        self.ear.stale = false;
        self.ear.state = State::Reading;
        self.ear.base = after;
        let store = Arc::clone(&self.driver.0.parts.store);
        // What is committed later raises us again.
        let upto = store.event_last();
        let query = EventQuery {
            after,
            kinds: self.machine.interest().kinds(),
            ..EventQuery::of(self.row.key.namespace.clone(), PAGE)
        };
        let (sender, generation) = (self.ear.sender.clone(), self.ear.generation);
        tokio::spawn(async move {
            let rows = store.event_list(query).await;
            sender.send((generation, Heard::Page { upto, rows })).ok();
        });
    }

    pub(super) fn heard(&mut self, generation: u64, heard: Heard) {
        if generation != self.ear.generation {
            return;
        }
        self.ear.state = State::Idle;
        match heard {
            Heard::Evaluated(result) => self.ear.results.push(result),
            Heard::Page { upto, rows: Ok(rows) } => {
                let is_full = rows.len() >= PAGE as usize;
                self.ear.stale |= is_full;
                let last = rows.last().map_or(0, |row| row.position);
                self.ear.covered = if is_full { last } else { last.max(upto) };
                self.ear.queue = rows.iter().filter_map(|row| self.incoming(row)).collect();
            }
            Heard::Page { rows: Err(error), .. } => {
                tracing::error!(run = %self.run, %error, "cannot read events");
                let notify = Arc::clone(&self.ear.notify);
                tokio::spawn(async move {
                    tokio::time::sleep(READ_RETRY).await;
                    notify.notify_one();
                });
            }
        }
    }

    fn incoming(&self, row: &EventRow) -> Option<Incoming> {
        let incoming = Incoming::of_row(row);
        if let Err(error) = &incoming {
            tracing::error!(position = row.position, %error, "an event cannot be read");
        }
        incoming.ok()
    }

    /// Whether there is an event to be offered now.
    pub(super) fn has_events(&self) -> bool {
        self.ear.state == State::Idle && !self.ear.queue.is_empty()
    }

    /// Offers what was read, in order, and decides on what is taken.
    pub(super) fn offer_events(&mut self) {
        let mut taken = 0;
        while self.has_events() && taken < TAKEN_MAX && !self.machine.is_unfinished() {
            let Some(front) = self.ear.queue.front() else { break };
            let position = front.position;
            let Some(listener) = self.next_ear(position) else {
                self.ear.base = position;
                self.ear.queue.pop_front();
                self.ear.results.clear();
                continue;
            };
            match self.machine.offer(listener, front, &self.ear.results) {
                Offered::Ask(evaluate) => {
                    self.ask(listener, evaluate);
                    return;
                }
                Offered::Ignored => {
                    self.ear.results.clear();
                    self.ear.looked.insert(listener, position);
                }
                Offered::Taken(received) => {
                    self.ear.results.clear();
                    self.ear.looked.insert(listener, position);
                    taken += 1;
                    self.take(Happened::Received(received));
                }
            }
        }
        if self.ear.state == State::Idle && self.ear.queue.is_empty() {
            self.looked_through();
        }
    }

    /// Nothing that was read is left: who has seen it all need not look there again.
    fn looked_through(&mut self) {
        let (base, covered) = (self.ear.base, self.ear.covered);
        for (no, looked) in &mut self.ear.looked {
            if *looked >= base && self.machine.accepts(*no) {
                *looked = (*looked).max(covered);
            }
        }
        self.ear.base = base.max(covered);
        if self.ear.stale {
            self.read_events();
        }
    }

    /// The first listener that has not looked at the event. One that is behind the queue waits until
    /// what it has missed is read.
    fn next_ear(&self, position: u64) -> Option<ListenerNo> {
        let ear = &self.ear;
        let new = |no: &ListenerNo| {
            let behind = ear.looked.get(no).is_some_and(|&at| at >= ear.base && at < position);
            behind && self.machine.accepts(*no)
        };
        // The results that are there are those of the listener that asked.
        let asked = ear.asked.filter(|no| !ear.results.is_empty() && new(no));
        asked.or_else(|| ear.looked.keys().copied().find(new))
    }

    fn ask(&mut self, listener: ListenerNo, evaluate: Evaluate) {
        self.ear.asked = Some(listener);
        self.ear.state = State::Evaluating;
        let work = self.driver.0.parts.evaluator.evaluate(evaluate);
        let (sender, generation) = (self.ear.sender.clone(), self.ear.generation);
        tokio::spawn(async move {
            let result = work.await;
            sender.send((generation, Heard::Evaluated(result))).ok();
        });
    }
}
