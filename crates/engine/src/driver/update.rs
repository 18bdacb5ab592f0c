//! What one record meant, as it is told to those who follow its run: small enough to wait for them, and
//! counted while it does.

use std::iter::from_fn;
use std::mem::size_of;
use std::ops::Deref;
use std::sync::Arc;

use base::value::to_json;
use base::{Fault, RunId, Timestamp, Value, WorkflowKey};
use store::{RunRow, RunState, Sequence};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::load::Walked;
use crate::event::Event;
use crate::lifecycle::{Said, Subject, Tale, Telling, Turn};
use crate::machine::{Emitted, Machine};
use crate::record::{Ended, Note, NoteKind};

/// What one record meant, for people. It holds no inputs and outputs of tasks, which nobody is told
/// here, so that a slow follower does not keep them in memory.
#[derive(Debug)]
pub struct Update {
    pub sequence: Sequence,
    pub at: Timestamp,
    /// The run's state after it.
    pub state: RunState,
    pub notes: Vec<Note>,
    before: RunState,
    run: RunId,
    key: WorkflowKey,
    version: String,
    turn: Turn,
    ended: Option<Ended>,
    emitted: Vec<Emitted>,
    /// Memory that it takes, as far as it depends on what happened.
    pub(super) bytes: usize,
}

impl Update {
    /// `states` are the run's, before and after. The notes of `said` are not looked at.
    pub(super) fn new(
        subject: &Subject<'_>,
        said: &Said<'_>,
        states: (RunState, RunState),
        notes: Vec<Note>,
        emitted: Vec<Emitted>,
    ) -> Self {
        let Said { sequence, at, turn, .. } = *said;
        let ended = said.ended.map(|ended| Ended { output: None, ..ended.clone() });
        let (run, key) = (subject.run, subject.key.clone());
        let version = subject.version.to_owned();
        let notes: Vec<Note> = notes.into_iter().map(without_value).collect();
        let noted: usize = notes.iter().map(note_bytes).sum();
        let sent: usize = emitted.iter().map(|it| value_bytes(it.event.envelope())).sum();
        let bytes = size_of::<Self>() + noted + sent;
        let (before, state) = states;
        Self { sequence, at, state, notes, before, run, key, version, turn, ended, emitted, bytes }
    }

    /// What a record says that was walked to. `before` is the run's state before it.
    #[must_use]
    pub fn of_walked(row: &RunRow, machine: &Machine, walked: Walked, before: RunState) -> Self {
        let Walked { record, step, state } = walked;
        let version = &*machine.workflow().document.version;
        let subject = Subject { run: row.run, key: &row.key, version };
        let said = Said::of(&record, &[], machine.ended());
        Self::new(&subject, &said, (before, state), step.notes, step.emitted)
    }

    fn tale(&self) -> Tale<'_> {
        let Self { sequence, at, turn, before, state, .. } = *self;
        let subject = Subject { run: self.run, key: &self.key, version: &self.version };
        let ended = self.ended.as_ref();
        let said = Said { sequence, at, turn, notes: &self.notes, ended };
        Tale { subject, said, emitted: &self.emitted, before, after: state }
    }
}

/// The same as events, in the language's own shapes; each is made when it is asked for.
pub fn life<U: Deref<Target = Update>>(update: U) -> impl Iterator<Item = Event> {
    let mut telling = Telling::begin(&update.tale());
    from_fn(move || telling.next(&update.tale()))
}

fn without_value(note: Note) -> Note {
    let what = match note.what {
        NoteKind::Started { .. } => NoteKind::Started { input: Value::Null },
        NoteKind::Completed { .. } => NoteKind::Completed { output: Value::Null },
        what => what,
    };
    Note { what, ..note }
}

fn note_bytes(note: &Note) -> usize {
    let what = match &note.what {
        NoteKind::Scheduled { key, what, .. } => key.as_str().len() + what.len(),
        NoteKind::Retrying { fault, .. }
        | NoteKind::Caught { fault }
        | NoteKind::Faulted { fault } => fault_bytes(fault),
        NoteKind::Emitted { id, kind } => id.len() + kind.len(),
        NoteKind::Received { kind } => kind.len(),
        NoteKind::Listened { keys } => {
            keys.iter().map(|(name, key)| name.len() + value_bytes(key)).sum()
        }
        NoteKind::Started { .. }
        | NoteKind::Iteration { .. }
        | NoteKind::Waiting { .. }
        | NoteKind::Completed { .. }
        | NoteKind::Skipped
        | NoteKind::Cancelled
        | NoteKind::Suspended
        | NoteKind::Resumed { .. }
        | NoteKind::Listening => 0,
    };
    size_of::<Note>() + note.activation.as_str().len() + what
}

fn fault_bytes(fault: &Fault) -> usize {
    let texts = [fault.title.as_deref(), fault.detail.as_deref(), fault.instance.as_deref()];
    fault.uri.len() + texts.into_iter().flatten().map(str::len).sum::<usize>()
}

fn value_bytes(value: &Value) -> usize {
    to_json(value).len()
}

/// Room for updates that wait for one follower. One that is larger than all of it takes all.
#[derive(Debug, Clone)]
pub(super) struct Room {
    free: Arc<Semaphore>,
    bytes: usize,
}

impl Room {
    pub fn of(bytes: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(bytes)), bytes }
    }

    fn share(&self, update: &Update) -> u32 {
        u32::try_from(update.bytes.min(self.bytes)).expect("a room is smaller than 4 GiB")
    }

    /// Waits until there is room for it.
    pub async fn put(&self, update: Update) -> Heard {
        let room = Arc::clone(&self.free).acquire_many_owned(self.share(&update)).await;
        let room = room.expect("a room is never closed");
        Heard { update: Arc::new(update), _room: room }
    }

    /// `None` where there is no room for it now.
    pub fn try_put(&self, update: &Arc<Update>) -> Option<Heard> {
        let room = Arc::clone(&self.free).try_acquire_many_owned(self.share(update)).ok()?;
        Some(Heard { update: Arc::clone(update), _room: room })
    }
}

/// An update on its way to a follower, or in his hands: until he lets go of it, it takes his room.
#[derive(Debug)]
pub struct Heard {
    update: Arc<Update>,
    _room: OwnedSemaphorePermit,
}

impl Deref for Heard {
    type Target = Update;

    fn deref(&self) -> &Update {
        &self.update
    }
}
