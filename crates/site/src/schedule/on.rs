//! Schedules by events: begins a run when the events have come that its workflow asks for.
//!
//! Woken by every commit that holds an event, and by every change of a schedule. What is in memory
//! follows from the rows alone, so after a mistake it is thrown away and made again. Whether an event
//! is meant is decided in `engine::listen`, and which events belong together in `sets`.

use std::collections::{BTreeMap, BTreeSet};

use base::name::{Namespace, WorkflowKey};
use base::{Fault, RunId, Timestamp, Value};
use engine::event::Incoming;
use engine::failpoint;
use engine::listen::Interest;
use futures::StreamExt as _;
use server::Caller;
use spec::tree::schedule::Trigger;
use store::{EventQuery, ScheduleRow};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use wire::ProblemCode;

use crate::refusal::Refusal;
use crate::start::{Beside, RunOrder};

use super::definition::{Beat, Definition, Listening};
use super::sets::{Heard, Sets, Taken, Whole};
use super::{ACTOR, PAGE, RETRY, STARTING_MAX, Schedules, due};

/// Events that are looked at before it is written down how far that went. One may have a megabyte.
const EVENTS_AT_ONCE: u32 = 32;

/// Positions that may be looked at again after a start, where nothing has come of them: it is not
/// worth a commit to say so.
const LOOKED_AGAIN_MAX: u64 = 1_000;

/// Types that a store is asked for by name; where more are meant, it gives all.
const KINDS_MAX: usize = 100;

/// Why a listener is thrown away, and made again from its row.
#[derive(Debug)]
enum Stop {
    /// Its row is not what it was: somebody has applied or deleted the workflow.
    Changed,
    Refused(Refusal),
    /// An expression could not be evaluated, for a reason that is not the event's.
    Unevaluated(String),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<store::StoreError> for Stop {
    fn from(error: store::StoreError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Unevaluated(fault.to_string())
    }
}

type Listeners = BTreeMap<WorkflowKey, Listener>;

/// One workflow that begins by events.
struct Listener {
    /// As it is in the store.
    row: ScheduleRow,
    kept: Listening,
    /// Every event up to here was looked at; the row may say less.
    upto: u64,
    sets: Sets,
}

/// A run that is to begin.
struct Fire {
    run: RunId,
    input: Value,
    at: Timestamp,
    reason: String,
}

impl Schedules {
    /// Until the site closes.
    pub(super) async fn hear_events(self, closing: CancellationToken) {
        // Subscribed before the store is asked, so that nothing falls between.
        let mut raised = self.0.runs.driver.events();
        let changed = self.0.workflows.listeners_changed();
        let mut listeners = Listeners::new();
        let mut is_stale = true;
        let mut retry_at = None;
        loop {
            raised.borrow_and_update();
            let step = self.step(&mut listeners, is_stale);
            let is_well = tokio::select! {
                () = closing.cancelled() => return,
                is_well = step => is_well,
            };
            if !is_well && retry_at.is_none() {
                retry_at = Some(Instant::now() + RETRY);
            }
            let retry = retry_at;
            is_stale = tokio::select! {
                () = closing.cancelled() => return,
                () = changed.notified() => true,
                () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => {
                    retry_at = None;
                    true
                }
                event = raised.changed() => {
                    // The driver goes with the site.
                    if event.is_err() {
                        return;
                    }
                    false
                }
            };
        }
    }

    /// Says whether everything went well.
    async fn step(&self, listeners: &mut Listeners, is_stale: bool) -> bool {
        let step = async {
            let is_whole = !is_stale || self.reload(listeners).await?;
            Ok(self.hear(listeners).await? && is_whole)
        };
        step.await.unwrap_or_else(|refusal: Refusal| {
            tracing::error!(?refusal, "cannot hear the events that schedules wait for");
            false
        })
    }

    /// Makes the listeners what the rows say. Those whose row is as it was stay. Says whether all
    /// could be made.
    async fn reload(&self, listeners: &mut Listeners) -> Result<bool, Refusal> {
        let mut before = std::mem::take(listeners);
        let (mut after, mut is_whole) = (None, true);
        loop {
            let page = self.0.store.schedule_list(after, PAGE).await?;
            for row in page.iter().filter(|row| row.trigger == "on") {
                if let Some(same) = before.remove(&row.key).filter(|it| it.row == *row) {
                    listeners.insert(row.key.clone(), same);
                    continue;
                }
                match self.listener(row).await {
                    Ok(listener) => drop(listeners.insert(row.key.clone(), listener)),
                    Err(stop) => {
                        say(&row.key, &stop);
                        is_whole &= matches!(stop, Stop::Changed);
                    }
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE as usize => {
                    after = Some((last.key.clone(), last.trigger.clone()));
                }
                _ => return Ok(is_whole),
            }
        }
    }

    async fn listener(&self, row: &ScheduleRow) -> Result<Listener, Stop> {
        let kept = match Definition::decode(&row.definition) {
            Ok(Definition { beat: Beat::On(kept), .. }) => kept,
            Ok(_) => return Err(Stop::Changed),
            Err(error) => {
                // It stands still until somebody applies the workflow again.
                tracing::error!(workflow = %row.key, %error, "cannot keep a schedule");
                return Err(Stop::Changed);
            }
        };
        let found = self.0.store.workflow_get(row.key.clone()).await?;
        let found = found.filter(|found| found.deleted_at.is_none()).ok_or(Stop::Changed)?;
        let workflow = self.0.runs.driver.revision(&row.key, found.revision).await;
        let workflow = workflow.map_err(Refusal::from)?;
        let triggers = workflow.schedule.iter().flat_map(|schedule| &schedule.triggers);
        let on = triggers.filter_map(|trigger| match trigger {
            Trigger::On(on) => Some(on),
            Trigger::Every(_) | Trigger::Cron(_) | Trigger::After(_) => None,
        });
        // The row and the revision were not read at the same moment.
        let mut on = on.filter(|on| kept.is_to(&on.events, on.read));
        let sets = Sets::new(row.key.clone(), on.next().ok_or(Stop::Changed)?);
        let mut listener = Listener { row: row.clone(), upto: kept.upto, sets, kept };
        for positions in listener.kept.pending.clone() {
            if !self.open_again(&mut listener, &positions).await? {
                tracing::warn!(workflow = %row.key, "events of a schedule are gone; their set is given up");
            }
        }
        Ok(listener)
    }

    /// Opens a set as it was. Says whether its events are still kept.
    async fn open_again(&self, listener: &mut Listener, positions: &[u64]) -> Result<bool, Stop> {
        let mut held = Vec::with_capacity(positions.len());
        for position in positions {
            let namespace = listener.row.key.namespace.clone();
            let query = EventQuery {
                after: position.saturating_sub(1),
                before: position.checked_add(1),
                ..EventQuery::of(namespace, 1)
            };
            let rows = self.0.store.event_list(query).await?;
            let Some(heard) = rows.first().and_then(Heard::of_row) else { return Ok(false) };
            held.push(heard);
        }
        Ok(listener.sets.open_again(&held, &self.0.evaluators).await?)
    }

    /// Looks at every event that nobody has looked at. Says whether all listeners could.
    async fn hear(&self, listeners: &mut Listeners) -> Result<bool, Refusal> {
        let namespaces: BTreeSet<Namespace> =
            listeners.keys().map(|key| key.namespace.clone()).collect();
        let mut is_well = true;
        // What comes meanwhile has its own turn, so that a flood does not keep a change away.
        let newest = self.0.store.event_last();
        for namespace in namespaces {
            while let Some((events, end)) = self.page(&namespace, listeners, newest).await? {
                let here = listeners.iter_mut().filter(|(key, _)| key.namespace == namespace);
                let steps: Vec<_> = here
                    .map(|(key, listener)| {
                        let events = &events;
                        async move { (key.clone(), self.listen(listener, events, end).await) }
                    })
                    .collect();
                let steps = futures::stream::iter(steps).buffer_unordered(STARTING_MAX);
                let stopped: Vec<_> = steps
                    .filter_map(|(key, step)| async move { Some((key, step.err()?)) })
                    .collect()
                    .await;
                for (key, stop) in stopped {
                    say(&key, &stop);
                    is_well = false;
                    listeners.remove(&key);
                }
            }
        }
        Ok(is_well)
    }

    /// The next events that may be meant, and up to where there are no others.
    async fn page(
        &self,
        namespace: &Namespace,
        listeners: &Listeners,
        newest: u64,
    ) -> Result<Option<(Vec<Heard>, u64)>, Refusal> {
        let behind = listeners
            .iter()
            .filter(|(key, listener)| key.namespace == *namespace && listener.upto < newest);
        let behind: Vec<&Listener> = behind.map(|(_, listener)| listener).collect();
        let Some(after) = behind.iter().map(|listener| listener.upto).min() else {
            return Ok(None);
        };
        let interests = behind.iter().map(|listener| listener.sets.interest().clone());
        let kinds = interests.reduce(Interest::and).map(|all| all.kinds()).unwrap_or_default();
        let kinds = if kinds.len() > KINDS_MAX { Vec::new() } else { kinds };
        let query =
            EventQuery { after, kinds, ..EventQuery::of(namespace.clone(), EVENTS_AT_ONCE) };
        let rows = self.0.store.event_list(query).await?;
        let last = rows.last().map_or(after, |row| row.position);
        let is_full = rows.len() >= EVENTS_AT_ONCE as usize;
        let end = if is_full { last } else { last.max(newest) };
        Ok(Some((rows.iter().filter_map(Heard::of_row).collect(), end)))
    }

    /// Offers events to one workflow, begins its runs, and writes down how far that went.
    async fn listen(
        &self,
        listener: &mut Listener,
        events: &[Heard],
        end: u64,
    ) -> Result<(), Stop> {
        let mut fires = Vec::new();
        let mut has_taken = false;
        for heard in events {
            let position = heard.incoming.position;
            let is_new =
                position > listener.upto && listener.sets.interest().covers(&heard.incoming.kind);
            if is_new && !self.is_own_life(listener, &heard.incoming).await? {
                match listener.sets.take(heard, &self.0.evaluators).await? {
                    Taken::No => continue,
                    Taken::Kept => {}
                    Taken::Whole(whole) => fires.extend(listener.fire(whole)),
                }
                has_taken = true;
            }
        }
        listener.upto = listener.upto.max(end);
        let has_moved = listener.upto - listener.kept.upto >= LOOKED_AGAIN_MAX;
        if !has_taken && !has_moved {
            return Ok(());
        }
        let last = fires.iter().max_by_key(|fire| fire.at).map(|fire| (fire.run, fire.at));
        if last.is_some() {
            self.fire(&listener.row, fires).await?;
            failpoint::pass(failpoint::AFTER_SCHEDULED);
        }
        let (row, kept) = listener.written(last);
        if !self.0.workflows.schedule_advance(&listener.row, row.clone()).await? {
            return Err(Stop::Changed);
        }
        (listener.row, listener.kept) = (row, kept);
        Ok(())
    }

    /// A workflow that asks for the ends of runs does not begin by the end of its own: it would
    /// never stop.
    async fn is_own_life(&self, listener: &Listener, incoming: &Incoming) -> Result<bool, Stop> {
        let Some(run) = incoming.run.filter(|_| incoming.is_lifecycle()) else { return Ok(false) };
        let run = self.0.store.run_get(run).await?;
        Ok(run.is_some_and(|run| run.key == listener.row.key))
    }

    /// Begins the runs, or finds them.
    async fn fire(&self, row: &ScheduleRow, fires: Vec<Fire>) -> Result<(), Stop> {
        let kept = self.0.store.schedule_get(row.key.clone()).await?;
        if !kept.contains(row) {
            return Err(Stop::Changed);
        }
        let starts = fires.into_iter().map(|Fire { run, input, at: _, reason }| {
            let order = RunOrder {
                run: Some(run),
                key: row.key.clone(),
                revision: None,
                input,
                labels: Vec::new(),
                tags: Vec::new(),
                priority: 0,
                beside: Beside::Nothing,
                reason: Some(reason),
                traceparent: None,
            };
            async move { self.0.runs.start(&Caller::named(ACTOR), order).await.map(drop) }
        });
        let starts: Vec<_> = starts.collect();
        let mut begun = futures::stream::iter(starts).buffer_unordered(STARTING_MAX);
        while let Some(result) = begun.next().await {
            result.map_err(|refusal| match refusal.code() {
                ProblemCode::WorkflowMissing => Stop::Changed,
                _ => Stop::Refused(refusal),
            })?;
        }
        Ok(())
    }
}

impl Listener {
    /// The run of a set. `None` where the set ended before it held anything.
    fn fire(&self, whole: Whole) -> Option<Fire> {
        let Whole { input, positions, held, at } = whole;
        let input = input?;
        let reason = match &held[..] {
            [] => return None,
            [one] => format!("`on` of the schedule, by the event at position {one}"),
            [.., last] => {
                let many = held.len();
                format!("`on` of the schedule, by {many} events, the last at position {last}")
            }
        };
        let run = due::run_id_of_events(&self.row, at, &positions);
        Some(Fire { run, input, at, reason })
    }

    /// The row as it is to be from now on.
    fn written(&self, last: Option<(RunId, Timestamp)>) -> (ScheduleRow, Listening) {
        let kept = Listening { upto: self.upto, pending: self.sets.pending(), ..self.kept.clone() };
        let definition = Definition { beat: Beat::On(kept.clone()), missed: Default::default() };
        let mut row = ScheduleRow { definition: definition.encode().into(), ..self.row.clone() };
        if let Some((run, at)) = last {
            row.run = Some(run);
            row.fired_at = Some(at);
        }
        (row, kept)
    }
}

fn say(key: &WorkflowKey, stop: &Stop) {
    match stop {
        // Whoever has changed it tells.
        Stop::Changed => {}
        Stop::Refused(refusal) => {
            tracing::error!(workflow = %key, ?refusal, "cannot begin runs by events");
        }
        Stop::Unevaluated(error) => {
            tracing::error!(workflow = %key, error, "cannot say whether an event begins a run");
        }
    }
}
