//! Sets of events on their way to the runs that they begin: which set an event goes to, and when one
//! is whole.
//!
//! Several sets may be open at once: with `correlate` there is one for each order, patient or
//! whatever the events have in common. An event goes to the oldest set that takes it. Where events
//! come from and what is written down is in `on`; `isonomy test` gathers by the same.

use std::collections::VecDeque;
use std::sync::Arc;

use base::name::WorkflowKey;
use base::{ErrorType, Fault, Timestamp, Value};
use engine::effect::Evaluator;
use engine::event::Incoming;
use engine::listen::{Consumer, Interest, Offer};
use spec::tree::schedule::On;
use spec::tree::{ReadAs, Strategy};
use store::EventRow;

/// Sets of one workflow that are not complete yet. Beyond it the oldest is given up: whoever gathers
/// more waits for events that do not come.
const SETS_MAX: usize = 1_000;

/// What the open sets of one workflow may hold in memory, and so what the input of its run may have.
const SETS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The open sets of one workflow.
#[derive(Debug)]
pub struct Sets {
    /// For messages.
    key: WorkflowKey,
    strategy: Arc<Strategy>,
    read: ReadAs,
    interest: Interest,
    open: VecDeque<Set>,
}

/// Events on their way to one run.
#[derive(Debug)]
struct Set {
    consumer: Consumer,
    /// Of all that it took, those that only end it too.
    positions: Vec<u64>,
    bytes: usize,
}

/// An event as it came.
#[derive(Debug)]
pub struct Heard {
    pub incoming: Incoming,
    pub at: Timestamp,
    bytes: usize,
}

/// What an event led to.
#[derive(Debug)]
pub enum Taken {
    /// It is none of those that are asked for.
    No,
    /// It is part of a set that waits for others, or was given up with one that held too much.
    Kept,
    /// A set is complete.
    Whole(Whole),
}

/// A complete set.
#[derive(Debug)]
pub struct Whole {
    /// Of the run that begins: the array of the events. `None` where no run begins, since the set
    /// ended before it held anything, or cannot be an input.
    pub input: Option<Value>,
    /// Of all that the set took, those that only ended it too.
    pub positions: Vec<u64>,
    /// Of the events in the input.
    pub held: Vec<u64>,
    /// When the last of them has come.
    pub at: Timestamp,
}

impl Sets {
    #[must_use]
    pub fn new(key: WorkflowKey, on: &On) -> Self {
        let (strategy, interest) = (Arc::clone(&on.to), Interest::of(&on.to));
        Self { key, strategy, read: on.read, interest, open: VecDeque::new() }
    }

    /// Which events can matter.
    #[must_use]
    pub const fn interest(&self) -> &Interest {
        &self.interest
    }

    /// The positions of what each open set holds, the oldest set first.
    pub(super) fn pending(&self) -> Vec<Vec<u64>> {
        self.open.iter().map(|set| set.positions.clone()).collect()
    }

    /// Gives the event to the oldest set that takes it, or to a new one. An error is the
    /// evaluator's own, and says nothing about the event; the sets are to be made anew.
    pub async fn take(&mut self, heard: &Heard, evaluator: &dyn Evaluator) -> Result<Taken, Fault> {
        let open = self.open.len();
        self.open.push_back(Set::new(&self.strategy));
        for at in 0..=open {
            let set = &mut self.open[at];
            let taken = match offer(&mut set.consumer, &heard.incoming, evaluator).await? {
                // `Ask` was answered.
                Offer::Ignored | Offer::Ask(_) => continue,
                Offer::Taken => {
                    set.take(heard);
                    Taken::Kept
                }
                Offer::Complete(events) => {
                    set.take(heard);
                    let set = self.open.remove(at);
                    let positions = set.map(|set| set.positions).unwrap_or_default();
                    Taken::Whole(self.whole(&events, positions, heard.at))
                }
                Offer::Overflow => {
                    tracing::warn!(workflow = %self.key, "a set of events has too many, and is given up");
                    self.open.remove(at);
                    Taken::Kept
                }
            };
            if at < open {
                self.open.pop_back();
            }
            self.shed();
            return Ok(taken);
        }
        self.open.pop_back();
        Ok(Taken::No)
    }

    /// Opens a set again as it was, from all that it held. Says whether it could: its events may be
    /// gone.
    pub(super) async fn open_again(
        &mut self,
        held: &[Heard],
        evaluator: &dyn Evaluator,
    ) -> Result<bool, Fault> {
        let mut set = Set::new(&self.strategy);
        for heard in held {
            match offer(&mut set.consumer, &heard.incoming, evaluator).await? {
                Offer::Taken => set.take(heard),
                Offer::Ignored | Offer::Ask(_) | Offer::Complete(_) | Offer::Overflow => {
                    return Ok(false);
                }
            }
        }
        let holds = !set.positions.is_empty();
        if holds {
            self.open.push_back(set);
        }
        Ok(holds)
    }

    fn whole(&self, events: &[Incoming], positions: Vec<u64>, at: Timestamp) -> Whole {
        let input = events.iter().map(|incoming| incoming.event.read(self.read)).collect();
        let input = base::value::array(input);
        let held: Vec<u64> = events.iter().map(|incoming| incoming.position).collect();
        // An event may be nested as deep as a value can be, and here is an array around it.
        let fits = base::value::check(&input).is_ok();
        if !fits {
            let position = held.last();
            tracing::error!(workflow = %self.key, position, "an event is nested too deep to be a run's input");
        }
        let input = Some(input).filter(|_| fits && !events.is_empty());
        Whole { input, positions, held, at }
    }

    /// Gives up the oldest sets, where all hold too much.
    fn shed(&mut self) {
        let mut bytes: usize = self.open.iter().map(|set| set.bytes).sum();
        while self.open.len() > SETS_MAX || bytes > SETS_BYTES_MAX {
            let Some(oldest) = self.open.pop_front() else { return };
            bytes -= oldest.bytes;
            tracing::warn!(workflow = %self.key, "too many events wait for others; the oldest set is given up");
        }
    }
}

async fn offer(
    consumer: &mut Consumer,
    incoming: &Incoming,
    evaluator: &dyn Evaluator,
) -> Result<Offer, Fault> {
    let mut results = Vec::new();
    loop {
        // Each round answers one expression of the document more.
        let evaluate = match consumer.offer(incoming, &results) {
            Offer::Ask(evaluate) => evaluate,
            answer => return Ok(answer),
        };
        let result = evaluator.evaluate(evaluate).await;
        match result {
            Err(fault) if fault.kind() == ErrorType::Runtime => return Err(fault),
            result => results.push(result),
        }
    }
}

impl Set {
    fn new(strategy: &Arc<Strategy>) -> Self {
        Self { consumer: Consumer::new(Arc::clone(strategy)), positions: Vec::new(), bytes: 0 }
    }

    fn take(&mut self, heard: &Heard) {
        self.positions.push(heard.incoming.position);
        self.bytes += heard.bytes;
    }
}

impl Heard {
    /// `None` for one that a damaged store holds.
    #[must_use]
    pub fn of_row(row: &EventRow) -> Option<Self> {
        let incoming = Incoming::of_row(row).ok()?;
        Some(Self { incoming, at: row.at, bytes: row.event.len() })
    }
}
