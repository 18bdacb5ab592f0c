//! Sends the events of a case, each at its moment, and knows who listens to them.
//!
//! Who listens is read from the journals of the runs whenever the case is at rest. Following the runs
//! would be simpler, and keep those in memory that sleep: each would be looked at every second of a
//! year of skipped time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::RunId;
use base::value::as_str;
use engine::activation::Activation;
use engine::driver::Passed;
use engine::event::Event;
use engine::record::{Note, NoteKind};
use store::{RunRow, Sequence};

use super::play::{Stage, broken};
use crate::failure::{Failure, Outcome};

/// What an event is known by: its source and its id.
type Name = (String, String);

/// What has become of the events of a case. Cheap to clone.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    sent: Vec<Name>,
    taken: BTreeSet<Name>,
}

impl Told {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // No change can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody has use for the event.
    pub fn take(&self, event: &Event) {
        self.kept().taken.insert(name(event));
    }

    /// How many were sent.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.kept().sent.len()
    }

    /// Of those that were sent, in their order, whether anybody had use for each.
    #[must_use]
    pub fn taken(&self) -> Vec<bool> {
        let kept = self.kept();
        kept.sent.iter().map(|name| kept.taken.contains(name)).collect()
    }
}

fn name(event: &Event) -> Name {
    let text = |attribute| event.attribute(attribute).and_then(as_str).unwrap_or_default();
    (text("source").to_owned(), event.id().to_owned())
}

/// Tasks of runs that listen, as far as the journals were read.
#[derive(Default)]
pub struct Listeners(HashMap<RunId, (Sequence, BTreeSet<String>)>);

impl Stage<'_> {
    /// Sends one event after another, and ends when all are sent.
    pub(super) async fn send_all(&self) -> Outcome<()> {
        let mut listeners = Listeners::default();
        for send in &self.case.events {
            if let Some(task) = &send.when {
                self.hears(task, &mut listeners).await?;
            }
            if send.after > base::Duration::ZERO {
                tokio::time::sleep(send.after.as_std()).await;
            }
            let now = self.clock.now();
            let event = send.event(now).map_err(|cause| {
                Failure::internal(format!("an event that was checked is none: {cause}"))
            })?;
            self.told.kept().sent.push(name(&event));
            let row = event.row(&self.subject.key.namespace, None, 0, now);
            self.driver.event_append(vec![row]).await.map_err(broken)?;
        }
        Ok(())
    }

    /// Comes when that task listens, and nothing that was sent before is left to be heard.
    async fn hears(&self, task: &str, listeners: &mut Listeners) -> Outcome<()> {
        let rest = &self.aside.rest;
        rest.settled().await;
        while !self.listening(listeners).await?.contains(task) {
            rest.moved().await;
        }
        Ok(())
    }

    /// Names of the tasks that listen now.
    pub(super) async fn listening(&self, known: &mut Listeners) -> Outcome<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for run in self.runs() {
            let last = known.0.get(&run).map_or(Sequence::ZERO, |(last, _)| *last);
            let is_new = !self.store.journal_read(run, last, 1).await.map_err(broken)?.is_empty();
            if is_new && let Some(row) = self.row(run).await? {
                known.0.insert(run, self.listening_of(&row).await?);
            }
            names.extend(known.0.get(&run).into_iter().flat_map(|(_, here)| here.iter().cloned()));
        }
        Ok(names)
    }

    async fn listening_of(&self, row: &RunRow) -> Outcome<(Sequence, BTreeSet<String>)> {
        let mut open = BTreeMap::new();
        let mut walk = self.driver.walk(row).await.map_err(broken)?;
        while let Some(passed) = walk.next().await.map_err(broken)? {
            // The run of a trial is never compacted.
            let Passed::Record(walked) = passed else { continue };
            for note in walked.step.notes {
                see(note, &mut open);
            }
        }
        let has_ended = row.state.has_ended();
        Ok((walk.last, open.into_values().filter(|_| !has_ended).collect()))
    }
}

fn see(note: Note, open: &mut BTreeMap<Activation, String>) {
    match note.what {
        NoteKind::Listening => {
            open.insert(note.activation, note.task.to_string());
        }
        NoteKind::Listened { .. }
        | NoteKind::Completed { .. }
        | NoteKind::Skipped
        | NoteKind::Faulted { .. }
        | NoteKind::Cancelled => {
            open.remove(&note.activation);
        }
        NoteKind::Started { .. }
        | NoteKind::Iteration { .. }
        | NoteKind::Scheduled { .. }
        | NoteKind::Waiting { .. }
        | NoteKind::Retrying { .. }
        | NoteKind::Caught { .. }
        | NoteKind::Emitted { .. }
        | NoteKind::Suspended
        | NoteKind::Resumed { .. }
        | NoteKind::Received { .. } => {}
    }
}
