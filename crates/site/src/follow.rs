//! Following a run: what each record meant, as server-sent events.

use base::name::Namespace;
use base::{Fault, RunId};
use engine::driver::{Heard, Update, Updates};
use engine::record::{Note, NoteKind};
use store::{RunRow, RunState, Sequence};
use tokio::sync::OwnedSemaphorePermit;
use wire::{FollowEvent, ProblemCode};

use crate::refusal::Refusal;
use crate::run::{FOLLOWERS_MAX, Runs};
use crate::view::{fault_view, run_view};

/// Events that are put into words at once: a record may have thousands.
const BATCH_EVENTS_MAX: usize = 256;

/// One follower of one run.
pub(crate) struct Following {
    runs: Runs,
    namespace: Namespace,
    run: RunId,
    updates: Updates,
    /// What is told now, and how many of its notes were.
    telling: Option<(Heard, usize)>,
    /// The state that was told last.
    told: Option<RunState>,
    last: Sequence,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

/// Events that belong to one record.
#[derive(Debug, PartialEq)]
pub(crate) struct Batch {
    pub sequence: Sequence,
    pub events: Vec<FollowEvent>,
    /// No more of this record comes. Who has not heard its last event asks for all of them again.
    pub is_last: bool,
}

impl Runs {
    /// Follows a run from behind `after` until it ends.
    pub(crate) async fn follow(
        &self,
        namespace: &Namespace,
        run: RunId,
        after: Sequence,
    ) -> Result<Following, Refusal> {
        self.row(namespace, run).await?;
        let place = self.followers.clone().try_acquire_owned().map_err(|_| {
            let detail = format!("{FOLLOWERS_MAX} followers are connected already; try again, or look at the run instead");
            Refusal::new(ProblemCode::Overloaded, detail)
        })?;
        let updates = self.driver.follow(run, after).await?;
        Ok(Following {
            runs: self.clone(),
            namespace: namespace.clone(),
            run,
            updates,
            telling: None,
            told: None,
            last: after,
            is_over: false,
            _place: place,
        })
    }
}

impl Following {
    /// What happened next; nothing when there is no more to come. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Option<Batch> {
        if self.is_over {
            return None;
        }
        let closing = self.runs.closing.clone();
        let telling = match self.telling.take().filter(|_| !closing.is_cancelled()) {
            Some(telling) => Some(telling),
            None => tokio::select! {
                update = self.updates.recv() => update.map(|update| (update, 0)),
                () = closing.cancelled() => {
                    self.is_over = true;
                    return None;
                }
            },
        };
        match telling {
            Some((update, from)) => {
                self.last = update.sequence;
                let batch = batch(&update, from, self.told);
                if batch.is_last {
                    self.told = Some(update.state);
                } else {
                    self.telling = Some((update, from + BATCH_EVENTS_MAX));
                }
                Some(batch)
            }
            None => {
                let row = self.runs.row(&self.namespace, self.run).await.ok();
                self.is_over = true;
                self.farewell(&row?)
            }
        }
    }

    /// A follower that comes late, or to a run that stands still, hears at least the run's state.
    fn farewell(&self, row: &RunRow) -> Option<Batch> {
        let stands = row.state.has_ended() || row.state == RunState::Suspended;
        if !stands || self.told == Some(row.state) {
            return None;
        }
        let view = run_view(row);
        let mut event = state_event(self.last, &row.updated_at.to_string(), row.state);
        event.error = view.error;
        event.what = view.suspended;
        Some(Batch { sequence: self.last, events: vec![event], is_last: true })
    }
}

/// Notes first, then the run's state where it is another than before.
fn batch(update: &Update, from: usize, told: Option<RunState>) -> Batch {
    let (sequence, at) = (update.sequence, update.at.to_string());
    let state = update.state;
    let (notes, to) = (&update.notes, from + BATCH_EVENTS_MAX);
    let is_last = to >= notes.len();
    let told_now = notes[from..].iter().take(BATCH_EVENTS_MAX);
    let mut events: Vec<FollowEvent> =
        told_now.map(|note| note_event(sequence, &at, state, note)).collect();
    if is_last && told != Some(state) {
        let mut event = state_event(sequence, &at, state);
        if state == RunState::Faulted {
            event.error = notes.iter().rev().find_map(|note| fault(&note.what)).map(fault_view);
        }
        events.push(event);
    }
    Batch { sequence, events, is_last }
}

fn fault(what: &NoteKind) -> Option<&Fault> {
    match what {
        NoteKind::Retrying { fault, .. }
        | NoteKind::Caught { fault }
        | NoteKind::Faulted { fault } => Some(fault),
        _ => None,
    }
}

pub(crate) fn state_event(sequence: Sequence, at: &str, state: RunState) -> FollowEvent {
    FollowEvent {
        sequence: sequence.0,
        at: at.to_owned(),
        state: state.to_string(),
        activation: None,
        task: None,
        location: None,
        kind: "state".to_owned(),
        index: None,
        count: None,
        attempt: None,
        until: None,
        what: None,
        error: None,
    }
}

fn note_event(sequence: Sequence, at: &str, state: RunState, note: &Note) -> FollowEvent {
    let mut event = state_event(sequence, at, state);
    event.activation = Some(note.activation.to_string());
    event.task = Some(note.task.to_string());
    event.location = Some(note.location.to_string());
    event.kind = kind(&note.what).to_owned();
    match &note.what {
        NoteKind::Iteration { index, count } => {
            event.index = Some(*index);
            event.count = Some(*count);
        }
        NoteKind::Scheduled { what, .. } => event.what = Some(what.clone()),
        NoteKind::Waiting { until } => event.until = Some(until.to_string()),
        NoteKind::Retrying { attempt, until, fault } => {
            event.attempt = Some(*attempt);
            event.until = Some(until.to_string());
            event.error = Some(fault_view(fault));
        }
        NoteKind::Caught { fault } | NoteKind::Faulted { fault } => {
            event.error = Some(fault_view(fault))
        }
        NoteKind::Emitted { kind, .. } | NoteKind::Received { kind } => {
            event.what = Some(kind.clone());
        }
        NoteKind::Started { .. }
        | NoteKind::Listening
        | NoteKind::Listened { .. }
        | NoteKind::Completed { .. }
        | NoteKind::Skipped
        | NoteKind::Suspended
        | NoteKind::Resumed { .. }
        | NoteKind::Cancelled => {}
    }
    event
}

fn kind(what: &NoteKind) -> &'static str {
    match what {
        NoteKind::Started { .. } => "started",
        NoteKind::Iteration { .. } => "iteration",
        NoteKind::Scheduled { .. } => "scheduled",
        NoteKind::Waiting { .. } => "waiting",
        NoteKind::Retrying { .. } => "retrying",
        NoteKind::Caught { .. } => "caught",
        NoteKind::Completed { .. } => "completed",
        NoteKind::Skipped => "skipped",
        NoteKind::Faulted { .. } => "faulted",
        NoteKind::Cancelled => "cancelled",
        NoteKind::Suspended => "suspended",
        NoteKind::Resumed { .. } => "resumed",
        NoteKind::Emitted { .. } => "emitted",
        NoteKind::Listening => "listening",
        NoteKind::Received { .. } => "received",
        NoteKind::Listened { .. } => "listened",
    }
}
