//! Following a run: its past from the journal, then its present from the actor.
//!
//! A follower may be slower than his run. What waits for him has a limit in bytes; who is beyond it
//! hears the rest from the journal, and nothing is left out.

use std::sync::Arc;

use store::{RunRow, RunState, Sequence};
use tokio::sync::{mpsc, oneshot};

use super::load::{LoadError, Passed, Walk};
use super::update::{Heard, Room, Update};
use super::{Command, Driver};

/// Updates that wait for one follower, as they happened; and as many again that he is brought from
/// the journal. Some thousand of a step each: who is slower than that for a moment need not have them
/// read and replayed. One that is larger waits alone.
const UPDATES_BYTES_MAX: usize = 256 * 1024;

/// What a follower hears of a run, in order, until it ends.
#[derive(Debug)]
pub struct Updates(mpsc::UnboundedReceiver<Heard>);

impl Updates {
    /// The next one; `None` when there is no more to come. May be dropped and called again.
    pub async fn recv(&mut self) -> Option<Heard> {
        self.0.recv().await
    }
}

/// A subscription to a run in memory.
pub(super) struct Live {
    /// Everything up to here is in the journal already.
    pub after: Sequence,
    /// Ends where the follower has fallen behind.
    pub updates: mpsc::UnboundedReceiver<Heard>,
}

/// Those who follow one run in memory.
#[derive(Default)]
pub(super) struct Followers {
    queues: Vec<Queue>,
    /// Decided and not durable. Nobody is told before it is.
    undurable: Vec<Arc<Update>>,
    undurable_bytes: usize,
}

struct Queue {
    sender: mpsc::UnboundedSender<Heard>,
    room: Room,
}

impl Followers {
    /// One more, who has this room.
    pub fn add(&mut self, room: Room) -> mpsc::UnboundedReceiver<Heard> {
        let (sender, updates) = mpsc::unbounded_channel();
        self.queues.push(Queue { sender, room });
        updates
    }

    pub fn are_there(&self) -> bool {
        self.queues.iter().any(|queue| !queue.sender.is_closed())
    }

    /// Keeps what was decided until it is durable. Where that is too much, all have fallen behind.
    pub fn decided(&mut self, update: Update) {
        self.undurable_bytes += update.bytes;
        if self.undurable_bytes > UPDATES_BYTES_MAX && !self.undurable.is_empty() {
            *self = Self::default();
            return;
        }
        self.undurable.push(Arc::new(update));
    }

    /// What was decided is durable. Who has no room for it has fallen behind.
    pub fn tell(&mut self) {
        self.undurable_bytes = 0;
        for update in self.undurable.drain(..) {
            self.queues.retain(|Queue { sender, room }| {
                room.try_put(&update).is_some_and(|heard| sender.send(heard).is_ok())
            });
        }
    }
}

pub(super) fn follow(driver: Driver, row: RunRow, after: Sequence) -> Updates {
    let (sender, receiver) = mpsc::unbounded_channel();
    let tasks = driver.0.tasks.clone();
    tasks.spawn(async move {
        let stopping = driver.0.stopping.clone();
        let left = sender.clone();
        let (live_room, past_room) = (Room::of(UPDATES_BYTES_MAX), Room::of(UPDATES_BYTES_MAX));
        let mut feed =
            Feed { driver: &driver, row: &row, after, sender, live_room, past_room, walk: None };
        tokio::select! {
            () = stopping.cancelled() => {}
            // A run may say nothing for days; who has left must not keep it in memory so long.
            () = left.closed() => {}
            told = feed.tell() => if let Err(error) = told {
                tracing::error!(run = %row.run, %error, "cannot follow the run");
            },
        }
    });
    Updates(receiver)
}

/// What one follower is fed from.
struct Feed<'a> {
    driver: &'a Driver,
    row: &'a RunRow,
    /// Told up to here.
    after: Sequence,
    sender: mpsc::UnboundedSender<Heard>,
    live_room: Room,
    past_room: Room,
    /// Where a follower stands who has fallen behind once, and may do so again: from here his run is
    /// replayed on, and not from its beginning each time.
    walk: Option<Walk<'a>>,
}

/// Why there is no more to hear from the run in memory.
enum Silence {
    /// The run has ended, or nobody listens any more.
    Over,
    /// Something was decided before anybody listened; it is in the journal by now.
    Gap,
    /// The follower has fallen behind, or the run has left memory.
    Behind,
}

impl Feed<'_> {
    /// Alternates between journal and actor until the run has ended or nobody listens.
    async fn tell(&mut self) -> Result<(), LoadError> {
        let mut was_behind = false;
        loop {
            // Subscribed before the journal is read, so that nothing falls between.
            let live = self.subscribe().await;
            let is_over = self.tell_past().await?;
            if is_over {
                return Ok(());
            }
            if !was_behind {
                // Most never fall behind, and need not hold a second copy of their run.
                self.walk = None;
            }
            let Some(live) = live else { return Ok(()) };
            match self.tell_live(live).await {
                Silence::Over => return Ok(()),
                Silence::Gap => {}
                Silence::Behind => was_behind = true,
            }
        }
    }

    async fn subscribe(&self) -> Option<Live> {
        let now = self.driver.0.parts.store.run_get(self.row.run).await.ok()??;
        if now.state.has_ended() || now.state == RunState::Suspended {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let command = Command::Follow(self.live_room.clone(), sender);
        self.driver.0.send(self.driver, self.row.run, command).ok()?;
        receiver.await.ok()
    }

    /// Tells what the journal holds and was not told yet; true where that is all there will be.
    async fn tell_past(&mut self) -> Result<bool, LoadError> {
        let mut walk = match self.walk.take() {
            Some(walk) => walk,
            None => Walk::open(&self.driver.0.parts, &self.driver.0.revisions, self.row).await?,
        };
        let mut before = walk.machine.state();
        while let Some(passed) = walk.next().await? {
            let walked = match passed {
                Passed::Record(walked) => walked,
                Passed::Forgotten { .. } => {
                    before = walk.machine.state();
                    continue;
                }
            };
            let state = walked.state;
            if walked.record.sequence > self.after {
                let update = Update::of_walked(self.row, &walk.machine, *walked, before);
                if self.sender.send(self.past_room.put(update).await).is_err() {
                    return Ok(true);
                }
            }
            before = state;
        }
        self.after = self.after.max(walk.last);
        let has_ended = walk.machine.state().has_ended();
        self.walk = Some(walk);
        Ok(has_ended)
    }

    async fn tell_live(&mut self, mut live: Live) -> Silence {
        self.after = self.after.max(live.after);
        while let Some(update) = live.updates.recv().await {
            if update.sequence <= self.after {
                continue;
            }
            if update.sequence > self.after.next() {
                return Silence::Gap;
            }
            self.after = update.sequence;
            let has_ended = update.state.has_ended();
            if self.sender.send(update).is_err() || has_ended {
                return Silence::Over;
            }
        }
        Silence::Behind
    }
}

#[cfg(test)]
mod tests {
    use base::{Namespace, RunId, SystemRandom, Timestamp, WorkflowKey};

    use super::*;
    use crate::activation::Activation;
    use crate::lifecycle::{Said, Subject, Turn};
    use crate::record::{Note, NoteKind};

    const AT: Timestamp = Timestamp::from_millis(0);

    fn update(sequence: u64, notes: usize) -> Update {
        let key = WorkflowKey {
            namespace: Namespace::parse("default").expect("a name"),
            name: base::WorkflowName::parse("loop").expect("a name"),
        };
        let run = RunId::new(AT, &SystemRandom);
        let subject = Subject { run, key: &key, version: "1.0.0" };
        let sequence = Sequence(sequence);
        let said = Said { sequence, at: AT, turn: Turn::None, notes: &[], ended: None };
        let activation = Activation::root().task("step", 1);
        let (task, location) = ("step".into(), "/do/0/step".into());
        let note = Note { activation, task, location, what: NoteKind::Skipped };
        let states = (RunState::Running, RunState::Running);
        Update::new(&subject, &said, states, vec![note; notes], Vec::new())
    }

    /// What waits for a follower who takes nothing: updates and bytes. Then he has fallen behind.
    fn waiting(notes: usize) -> (usize, usize) {
        let mut followers = Followers::default();
        let mut updates = followers.add(Room::of(UPDATES_BYTES_MAX));
        let mut told = 0;
        while followers.are_there() {
            told += 1;
            followers.decided(update(told, notes));
            followers.tell();
            assert!(told < 100_000, "there is no end of it");
        }
        let mut held = Vec::new();
        while let Ok(heard) = updates.try_recv() {
            held.push(heard);
        }
        (held.len(), held.iter().map(|heard| heard.bytes).sum())
    }

    /// Mutation: count updates and not their bytes, take nothing from the room for one, or leave no
    /// room for a single large one.
    #[test]
    fn what_waits_for_a_follower_is_bounded_by_bytes() {
        let (count, bytes) = waiting(1);
        assert!(count > 200 && bytes <= UPDATES_BYTES_MAX, "{count}, {bytes}");
        let (count, bytes) = waiting(100);
        assert!(count > 2 && bytes <= UPDATES_BYTES_MAX, "{count}, {bytes}");
        let (count, bytes) = waiting(10_000);
        assert!(count == 1 && bytes > UPDATES_BYTES_MAX, "{count}, {bytes}");
    }

    /// Mutation: keep whatever is decided until it is durable.
    #[test]
    fn what_is_not_durable_yet_is_bounded_as_well() {
        let mut followers = Followers::default();
        let _updates = followers.add(Room::of(UPDATES_BYTES_MAX));
        let all = (1..100_000).take_while(|sequence| {
            followers.decided(update(*sequence, 100));
            followers.are_there()
        });
        assert!((2..100).contains(&all.count()));
        assert!(followers.undurable.is_empty());
    }

    /// Mutation: give the room back when an update is sent, and not when it is let go.
    #[test]
    fn a_follower_who_takes_an_update_has_room_again() {
        let mut followers = Followers::default();
        let mut updates = followers.add(Room::of(UPDATES_BYTES_MAX));
        for sequence in 1..100 {
            followers.decided(update(sequence, 10_000));
            followers.tell();
            let heard = updates.try_recv().expect("there was room");
            assert_eq!(heard.sequence, Sequence(sequence));
        }
        followers.decided(update(100, 10_000));
        followers.tell();
        let held = updates.try_recv().expect("there was room");
        followers.decided(update(101, 10_000));
        followers.tell();
        assert!(!followers.are_there() && held.sequence == Sequence(100));
    }
}
