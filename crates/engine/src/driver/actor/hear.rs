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

/// Events in the queue below which more are read, so that a listener with much to do finds the next one
/// when it is done with one.
const QUEUE_LOW: usize = PAGE as usize / 2;

/// Events taken in one commit.
const TAKEN_MAX: usize = 64;

/// How long to wait after the store could not be read.
const READ_RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// What the actor knows of events.
pub(super) struct Ear {
    pub(super) notify: Arc<Notify>,
    /// For each listener, up to where it has looked.
    looked: BTreeMap<ListenerNo, u64>,
    /// Events behind `base` that are not looked at by all: also those for a listener that is busy, so
    /// that the store is not asked again for each that it takes.
    queue: VecDeque<Incoming>,
    base: u64,
    /// Everything from `base` up to here is in the queue, or was, if it is whole.
    covered: u64,
    is_whole: bool,
    /// Results of the evaluations that the event has asked for which is to be offered next.
    results: Vec<Result<Value, Fault>>,
    /// Who has asked.
    asked: Option<ListenerNo>,
    is_evaluating: bool,
    is_reading: bool,
    /// More may be in the store than was read.
    stale: bool,
    /// The listeners have changed: who wakes us must know, and what was read may not be enough.
    changed: bool,
    /// Whether the driver knows if the run listens.
    is_known: bool,
    /// What was asked for before the last change is not of interest any more.
    generation: u64,
    sender: mpsc::UnboundedSender<(u64, Heard)>,
}

/// What comes back.
pub(super) enum Heard {
    Page { after: u64, upto: u64, rows: Result<Vec<EventRow>, StoreError> },
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
            is_whole: false,
            results: Vec::new(),
            asked: None,
            is_evaluating: false,
            is_reading: false,
            stale: false,
            changed: false,
            is_known: false,
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

    /// Up to here all have looked.
    pub(super) fn looked(&self) -> Option<u64> {
        self.looked.values().copied().min()
    }
}

impl Actor {
    /// After a commit: whoever listens anew is registered, and looks at what is there.
    pub(super) fn hear(&mut self) {
        let is_first = !std::mem::replace(&mut self.ear.is_known, true);
        if !std::mem::take(&mut self.ear.changed) && !is_first {
            if let Some(looked) = self.ear.looked() {
                self.driver.0.ears.has_looked(self.run, looked);
            }
            // Something came while nobody took events.
            if self.ear.stale {
                self.read_events();
            }
            return;
        }
        self.ear.generation += 1;
        (self.ear.is_evaluating, self.ear.is_reading) = (false, false);
        self.ear.queue.clear();
        self.ear.is_whole = false;
        self.ear.results.clear();
        let Some(looked) = self.ear.looked() else {
            self.driver.0.ears.unlisten(self.run);
            return;
        };
        // Registered before the store is read, so that nothing falls between.
        let (namespace, interest) = (&self.row.key.namespace, self.machine.interest());
        self.driver.0.ears.listen(self.run, namespace, interest, &self.ear.notify, looked);
        self.read_events();
    }

    /// Something has come that may be for us.
    pub(super) fn read_events(&mut self) {
        self.ear.stale = true;
        if self.ear.is_reading {
            return;
        }
        if !self.goes_on() {
            let Some(after) = self.begins_behind() else { return };
            (self.ear.base, self.ear.covered) = (after, after);
            self.ear.is_whole = true;
            self.ear.queue.clear();
            self.ear.results.clear();
        }
        self.ear.stale = false;
        self.ear.is_reading = true;
        let after = self.ear.covered;
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
            sender.send((generation, Heard::Page { after, upto, rows })).ok();
        });
    }

    /// Whether the queue goes on where it ends, as it does while it is short.
    fn goes_on(&self) -> bool {
        let ear = &self.ear;
        let is_short = ear.queue.len() <= QUEUE_LOW;
        ear.is_whole && is_short && ear.looked.values().any(|at| *at >= ear.base)
    }

    /// Behind which event it begins anew. A long queue waits for somebody who is busy: where another has
    /// looked at all of it, it gives way to what that one has not seen.
    fn begins_behind(&self) -> Option<u64> {
        let ear = &self.ear;
        if ear.is_evaluating || self.next_ear().is_some() {
            return None;
        }
        let accepting = ear.looked.iter().filter(|(no, _)| self.machine.accepts(**no));
        accepting.map(|(_, looked)| *looked).min()
    }

    pub(super) fn heard(&mut self, generation: u64, heard: Heard) {
        if generation != self.ear.generation {
            return;
        }
        match heard {
            Heard::Evaluated(result) => {
                self.ear.is_evaluating = false;
                self.ear.results.push(result);
            }
            Heard::Page { after, upto, rows: Ok(rows) } => {
                self.ear.is_reading = false;
                let is_full = rows.len() >= PAGE as usize;
                self.ear.stale |= is_full;
                let last = rows.last().map_or(after, |row| row.position);
                self.ear.covered = if is_full { last } else { last.max(upto) };
                let queue = rows.iter().filter_map(|row| self.incoming(row));
                self.ear.queue.extend(queue.collect::<Vec<_>>());
            }
            Heard::Page { rows: Err(error), .. } => {
                self.ear.is_reading = false;
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
        !self.ear.is_evaluating && self.next_ear().is_some()
    }

    /// Offers what was read, in order, and decides on what is taken.
    pub(super) fn offer_events(&mut self) {
        let mut taken = 0;
        while !self.ear.is_evaluating && taken < TAKEN_MAX {
            let Some((listener, at)) = self.next_ear() else { break };
            if self.ear.asked != Some(listener) {
                self.ear.results.clear();
            }
            let event = &self.ear.queue[at];
            let position = event.position;
            let offered = self.machine.offer(listener, event, &self.ear.results);
            if let Offered::Ask(evaluate) = offered {
                self.ask(listener, evaluate);
                return;
            }
            self.ear.results.clear();
            self.ear.looked.insert(listener, position);
            if let Offered::Taken(received) = offered {
                taken += 1;
                self.take(Happened::Received(received));
            }
        }
        self.let_go();
    }

    /// What all have looked at is not kept, and who has seen it all need not look there again.
    fn let_go(&mut self) {
        let ear = &mut self.ear;
        let (base, covered) = (ear.base, ear.covered);
        if ear.is_whole {
            let last = ear.queue.back().map_or(0, |event| event.position);
            let seen = ear.looked.values_mut().filter(|at| **at >= base.max(last));
            seen.for_each(|at| *at = (*at).max(covered));
        }
        // Whoever is behind the queue has missed what was in it, and reads it anew.
        let least = ear.looked.values().filter(|at| **at >= base).min();
        let least = least.copied().unwrap_or(u64::MAX);
        while ear.queue.front().is_some_and(|event| event.position <= least) {
            ear.queue.pop_front();
        }
        if ear.stale {
            self.read_events();
        }
    }

    /// Who is offered which event of the queue next: the first one that a listener has not looked at
    /// which takes events now. One that is behind the queue waits until what it has missed is read.
    fn next_ear(&self) -> Option<(ListenerNo, usize)> {
        let ear = &self.ear;
        let unseen = |no: ListenerNo| {
            let looked = *ear.looked.get(&no).filter(|at| **at >= ear.base)?;
            let at = ear.queue.partition_point(|event| event.position <= looked);
            (at < ear.queue.len() && self.machine.accepts(no)).then_some((no, at))
        };
        // The results that are there are those of the listener that asked.
        let asked = ear.asked.filter(|_| !ear.results.is_empty()).and_then(unseen);
        asked.or_else(|| ear.looked.keys().filter_map(|no| unseen(*no)).min_by_key(|(_, at)| *at))
    }

    fn ask(&mut self, listener: ListenerNo, evaluate: Evaluate) {
        self.ear.asked = Some(listener);
        self.ear.is_evaluating = true;
        let work = self.driver.0.parts.evaluator.evaluate(evaluate);
        let (sender, generation) = (self.ear.sender.clone(), self.ear.generation);
        tokio::spawn(async move {
            let result = work.await;
            sender.send((generation, Heard::Evaluated(result))).ok();
        });
    }
}
