//! Events: taking them in, finding them, following them. Who is woken by them is in `engine`.

use std::ops::Deref;

use base::name::Namespace;
use base::value::to_serde;
use base::{Clock, EventId, Random, RunId, Timestamp, Value};
use engine::driver::{LoadError, Passed, Update, Updates, life};
use engine::event::{Defaults, Event};
use store::{EventQuery, EventRow, RunRow, RunState, Sequence};
use tokio::sync::{OwnedSemaphorePermit, watch};
use wire::{EventAccepted, EventView, EventsAccepted, Page, ProblemCode};

use crate::refusal::{Refusal, finished, internal};
use crate::run::{FOLLOWERS_MAX, Runs};

/// Events that a follower is sent at once. One may have a megabyte.
const FOLLOW_PAGE: u32 = 16;

/// Events of a run's life that are put into words at once: small ones, of which a record may have
/// thousands.
const LIFE_BATCH: usize = 256;

/// Events that a list reads at once.
const LIST_CHUNK: u32 = 16;

/// A page ends early where its events have more.
const LIST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Events of one request.
pub(crate) const BATCH_EVENTS_MAX: usize = 1_000;

/// What events are narrowed by.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// A type, or what types begin with.
    pub kind: Option<Kind>,
    pub source: Option<String>,
    pub subject: Option<String>,
    pub since: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Exact(String),
    Prefix(String),
}

impl Kind {
    /// `order.placed`, or `order.*`.
    pub(crate) fn parse(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix.to_owned()),
            None => Self::Exact(text.to_owned()),
        }
    }

    fn matches(&self, kind: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == kind,
            Self::Prefix(prefix) => kind.starts_with(prefix),
        }
    }
}

impl Filter {
    fn query(&self, namespace: &Namespace, limit: u32) -> EventQuery {
        let (kinds, kind_prefix) = match &self.kind {
            None => (Vec::new(), None),
            Some(Kind::Exact(kind)) => (vec![kind.clone()], None),
            Some(Kind::Prefix(prefix)) => (Vec::new(), Some(prefix.clone())),
        };
        EventQuery {
            kinds,
            kind_prefix,
            source: self.source.clone(),
            subject: self.subject.clone(),
            since: self.since,
            ..EventQuery::of(namespace.clone(), limit)
        }
    }

    fn matches(&self, event: &Event, at: Timestamp) -> bool {
        let same = |wanted: &Option<String>, name: &str| {
            let found = event.attribute(name).and_then(base::value::as_str);
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        self.kind.as_ref().is_none_or(|kind| kind.matches(event.kind()))
            && same(&self.source, "source")
            && same(&self.subject, "subject")
            && self.since.is_none_or(|since| at >= since)
    }
}

/// Where among a run's events: behind the event of that number of that record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct RunCursor {
    pub sequence: Sequence,
    pub number: u32,
}

impl std::fmt::Display for RunCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.sequence, self.number)
    }
}

impl std::str::FromStr for RunCursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (sequence, number) = text.split_once('.').ok_or(())?;
        let sequence = Sequence(sequence.parse().map_err(|_| ())?);
        Ok(Self { sequence, number: number.parse().map_err(|_| ())? })
    }
}

impl Runs {
    /// Takes events in: all of them or none.
    pub(crate) async fn event_accept(
        &self,
        namespace: &Namespace,
        values: &[Value],
    ) -> Result<EventsAccepted, Refusal> {
        let rows = self.event_rows(namespace, values)?;
        let accepted = rows.iter().map(|row| EventAccepted {
            id: row.id.clone(),
            source: row.source.clone(),
            kind: row.kind.clone(),
        });
        let accepted = EventsAccepted { events: accepted.collect() };
        let driver = self.driver.clone();
        finished(async move { Ok(driver.event_append(rows).await?) }).await?;
        Ok(accepted)
    }

    fn event_rows(
        &self,
        namespace: &Namespace,
        values: &[Value],
    ) -> Result<Vec<EventRow>, Refusal> {
        let now = self.clock.now();
        let (clock, random): (&dyn Clock, &dyn Random) = (&*self.clock, &*self.random);
        let defaults = Defaults {
            id: &|| EventId::new(clock.now(), random).as_uuid().to_string(),
            source: None,
            time: now,
        };
        let mut rows = Vec::with_capacity(values.len());
        for (number, value) in values.iter().enumerate() {
            let event = Event::sent(value, &defaults).map_err(|wrong| {
                let which =
                    if values.len() > 1 { format!("event {number}: ") } else { String::new() };
                Refusal::new(ProblemCode::EventInvalid, format!("{which}{wrong}"))
            })?;
            rows.push(event.row(namespace, None, 0, now));
        }
        Ok(rows)
    }

    /// Events of a namespace. `cursor` is the last one of the page before.
    pub(crate) async fn event_list(
        &self,
        namespace: &Namespace,
        filter: &Filter,
        newest_first: bool,
        cursor: Option<u64>,
        limit: u32,
    ) -> Result<Page<EventView>, Refusal> {
        let mut query = EventQuery { newest_first, ..filter.query(namespace, LIST_CHUNK) };
        if newest_first {
            query.before = cursor;
        } else {
            query.after = cursor.unwrap_or(0);
        }
        let (mut items, mut bytes) = (Vec::new(), 0);
        let mut last = None;
        loop {
            let rows = self.store.event_list(query.clone()).await?;
            let is_end = rows.len() < LIST_CHUNK as usize;
            for row in rows {
                if items.len() >= limit as usize || bytes >= LIST_BYTES_MAX {
                    return Ok(Page { items, next: last.map(|last: u64| last.to_string()) });
                }
                bytes += row.event.len();
                last = Some(row.position);
                items.extend(view(&row));
            }
            if is_end {
                return Ok(Page { items, next: None });
            }
            if newest_first {
                query.before = last;
            } else {
                query.after = last.unwrap_or(query.after);
            }
        }
    }

    /// Events of one run, from its journal: its life and that of its tasks, and what it has emitted.
    pub(crate) async fn event_list_of_run(
        &self,
        namespace: &Namespace,
        run: RunId,
        filter: &Filter,
        cursor: RunCursor,
        limit: u32,
    ) -> Result<Page<EventView>, Refusal> {
        let row = self.row(namespace, run).await?;
        let _turn = self.walks.acquire().await.map_err(|_| internal())?;
        let mut items = Vec::new();
        let wrong = self.life(&row, filter, cursor, limit as usize + 1, &mut items).await.err();
        if let Some(error @ LoadError::Store(_)) = wrong {
            return Err(error.into());
        }
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = items.last().filter(|_| more).map(|last| last.cursor.clone());
        Ok(Page { items, next })
    }

    async fn life(
        &self,
        row: &RunRow,
        filter: &Filter,
        cursor: RunCursor,
        most: usize,
        items: &mut Vec<EventView>,
    ) -> Result<(), LoadError> {
        let mut walk = self.driver.walk(row).await?;
        let mut state = RunState::Pending;
        while items.len() < most
            && let Some(passed) = walk.next().await?
        {
            let Passed::Record(walked) = passed else {
                state = walk.machine.state();
                continue;
            };
            let update = Update::of_walked(row, &walk.machine, *walked, state);
            state = update.state;
            let left = most - items.len();
            items.extend(life_views(row.run, &update, filter.clone(), cursor).take(left));
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Follows the events of a namespace, from behind `after` or from now on.
    pub(crate) fn event_follow(
        &self,
        namespace: Namespace,
        filter: Filter,
        after: Option<u64>,
    ) -> Result<EventStream, Refusal> {
        let place = self.follower_place()?;
        // Subscribed before the store is asked, so that nothing falls between.
        let raised = self.driver.events();
        let after = after.unwrap_or_else(|| self.store.event_last());
        let first = true;
        let source = Source::Namespace { namespace, raised, after, first };
        Ok(EventStream { runs: self.clone(), filter, source, _place: place })
    }

    /// Follows the events of one run until it ends.
    pub(crate) async fn event_follow_run(
        &self,
        namespace: &Namespace,
        run: RunId,
        filter: Filter,
        after: RunCursor,
    ) -> Result<EventStream, Refusal> {
        self.row(namespace, run).await?;
        let place = self.follower_place()?;
        // The record of the cursor is asked for again: not all of its events may have been told.
        let behind = Sequence(after.sequence.0.saturating_sub(1));
        let updates = self.driver.follow(run, behind).await?;
        let source = Source::Run { run, updates, after, telling: None };
        Ok(EventStream { runs: self.clone(), filter, source, _place: place })
    }

    fn follower_place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        self.followers.clone().try_acquire_owned().map_err(|_| {
            let detail = format!(
                "{FOLLOWERS_MAX} followers are connected already; try again, or list instead"
            );
            Refusal::new(ProblemCode::Overloaded, detail)
        })
    }
}

/// Events on their way to one follower.
pub(crate) struct EventStream {
    runs: Runs,
    filter: Filter,
    source: Source,
    _place: OwnedSemaphorePermit,
}

enum Source {
    Namespace {
        namespace: Namespace,
        raised: watch::Receiver<u64>,
        after: u64,
        /// Whether the store has not been asked yet.
        first: bool,
    },
    Run {
        run: RunId,
        updates: Updates,
        after: RunCursor,
        /// What is left to tell of one record.
        telling: Option<Box<dyn Iterator<Item = EventView> + Send>>,
    },
}

impl EventStream {
    /// The next events; `None` when there are no more to come.
    pub(crate) async fn next(&mut self) -> Option<Vec<EventView>> {
        let closing = self.runs.closing.clone();
        tokio::select! {
            () = closing.cancelled() => None,
            next = self.next_of_source() => next,
        }
    }

    async fn next_of_source(&mut self) -> Option<Vec<EventView>> {
        match &mut self.source {
            Source::Namespace { namespace, raised, after, first } => loop {
                if !std::mem::take(first) {
                    raised.changed().await.ok()?;
                }
                let upto = self.runs.store.event_last();
                let mut query = self.filter.query(namespace, FOLLOW_PAGE);
                query.after = *after;
                let rows = match self.runs.store.event_list(query).await {
                    Ok(rows) => rows,
                    Err(error) => {
                        tracing::error!(%error, "cannot read events");
                        return None;
                    }
                };
                let is_full = rows.len() >= FOLLOW_PAGE as usize;
                // A full page is followed by another one at once.
                *first = is_full;
                let last = rows.last().map_or(*after, |row| row.position);
                *after = if is_full { last } else { last.max(upto) };
                let views: Vec<EventView> = rows.iter().filter_map(view).collect();
                if !views.is_empty() {
                    return Some(views);
                }
            },
            Source::Run { run, updates, after, telling } => loop {
                let mut told = match telling.take() {
                    Some(told) => told,
                    None => {
                        let update = updates.recv().await?;
                        Box::new(life_views(*run, update, self.filter.clone(), *after))
                    }
                };
                let views: Vec<EventView> = told.by_ref().take(LIFE_BATCH).collect();
                if views.len() == LIFE_BATCH {
                    *telling = Some(told);
                }
                if !views.is_empty() {
                    return Some(views);
                }
            },
        }
    }
}

/// `None` for one that a damaged store holds; a list must not fail for it.
fn view(row: &EventRow) -> Option<EventView> {
    let event = Event::of_bytes(&row.event).ok()?;
    Some(EventView {
        cursor: row.position.to_string(),
        at: row.at.to_string(),
        run: row.run.map(|run| run.to_string()),
        event: to_serde(event.envelope()),
    })
}

fn life_views(
    run: RunId,
    update: impl Deref<Target = Update>,
    filter: Filter,
    after: RunCursor,
) -> impl Iterator<Item = EventView> {
    let (sequence, at) = (update.sequence, update.at);
    let told = (1_u32..).zip(life(update));
    let told = told.map(move |(number, event)| (RunCursor { sequence, number }, event));
    told.filter(move |(cursor, event)| *cursor > after && filter.matches(event, at)).map(
        move |(cursor, event)| EventView {
            cursor: cursor.to_string(),
            at: at.to_string(),
            run: Some(run.to_string()),
            event: to_serde(event.envelope()),
        },
    )
}
