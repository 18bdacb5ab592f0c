//! The book of calls: keeps entries in the tail at once and in the store page by page, and the tally of all.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use base::{By, Clock, Namespace, Timestamp, document};
use bytes::Bytes;
use gateway::desk::{NotWritten, Page, Record, Ticket};
use models::{
    Admitted, Alarm, Books, Checkpoint, Corrected, Entry, Exchange, Holder, Line, Settled, Tally,
};
use pricing::Budget;
use store::{CallPage, EventRow, Op, Preconditions, ResourceKind, ResourceRow, Store, StoreError};
use tokio::sync::{Notify, watch};
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;

use super::alarm::Reached;
use super::correction;
use super::tail::{ROOM, Tail};
use super::telemetry::Observing;

const CHECKPOINT_TYPE: &str = "isonomy.calls";
const CHECKPOINT_VERSION: u32 = 1;
const CHECKPOINT: &str = "checkpoint";

/// Entries after which the tally is written down anew: a start reads no more than these.
const CHECKPOINT_EVERY: u64 = 20_000;

/// Bytes of one page. The store takes 1 MiB in one piece.
const PAGE_BYTES_MAX: usize = 512 * 1024;

/// Pages that wait for the store. Beyond, calls are refused: it does not answer.
const WAITING_PAGES_MAX: usize = 64;

/// An end waits so long for a page that somebody else waits for: each page of its own is a sync more. A power
/// cut books calls that ended since then at their bounds.
const SETTLED_WITHIN: Duration = Duration::from_millis(50);

/// Pages that are read at once.
const PAGES_READ: u32 = 64;

/// After a write in vain.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Writes in vain, at the end, before the rest is left to the tail.
const LAST_TRIES: u32 = 3;

#[derive(Clone)]
pub(crate) struct Book(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Somebody waits for a page.
    grown: Notify,
    /// The last entry that the store has.
    written: watch::Sender<u64>,
    /// Something is to be written, and nobody waits for it.
    left: Notify,
    /// The last entry that is in the checkpoint of the store.
    kept: watch::Sender<u64>,
    /// Wakes who listens to events that are durable.
    told: OnceLock<Box<Told>>,
}

type Told = dyn Fn(&[EventRow]) + Send + Sync;

struct State {
    tail: Option<Tail>,
    tally: Tally,
    /// What is told of calls that end from now on.
    observing: Observing,
    next: u64,
    /// What the store has.
    durable: u64,
    /// The last of them is not full.
    waiting: Vec<Waiting>,
    alarms: Vec<Reached>,
    /// Each is found by its call, as long as that is kept.
    corrections: Vec<Corrected>,
    /// The store has refused the last page, and it is tried again.
    is_failing: bool,
    /// What the store had not, until the budgets are charged with it.
    late: Option<Late>,
    /// The last entry that the tail could not take. Until the store has it, those behind it are of no use there.
    untailed: u64,
    checkpoint_at: u64,
    /// A checkpoint is waited for.
    wants_checkpoint: bool,
}

/// Calls of the life before that the store had no end of: it is in the tail, or they are settled at their bounds.
/// Whoever is told of shares of budgets is told of them, too.
struct Late {
    /// What was charged before.
    before: Vec<Line>,
    charged: Vec<(Namespace, Vec<Line>)>,
}

impl Late {
    fn of(tally: &Tally, charged: Vec<(Namespace, Vec<Line>)>) -> Self {
        let mut before: Vec<Line> = tally.spent().cloned().collect();
        for late in charged.iter().flat_map(|(_, lines)| lines) {
            let is_it = |it: &&mut Line| {
                let of = |line: &Line| (line.period, line.window, line.amount.currency);
                it.holder == late.holder && of(it) == of(late)
            };
            if let Some(line) = before.iter_mut().find(is_it) {
                let amount = &mut line.amount.amount;
                *amount = amount.minus(late.amount.amount).unwrap_or_default();
            }
        }
        Self { before, charged }
    }
}

/// A page to be.
struct Waiting {
    record: Vec<u8>,
    first: u64,
    last: u64,
    page: watch::Sender<Page>,
}

#[derive(Debug, thiserror::Error)]
pub enum BookError {
    #[error("cannot read the record of calls")]
    Store(#[from] StoreError),
    #[error("cannot write the record of calls")]
    Commit(#[from] store::CommitError),
    #[error("cannot open the tail of the record of calls")]
    Tail(#[source] std::io::Error),
    #[error("the record of calls is damaged at entry {0}: restore a backup")]
    Damaged(u64),
    #[error("what is kept of `{0}` is damaged, or of a newer version")]
    Resource(String),
}

/// What is written at once.
struct Taken {
    ops: Vec<Op>,
    waiting: Vec<Waiting>,
    last: u64,
    has_checkpoint: bool,
    events: Vec<EventRow>,
}

impl Waiting {
    fn new(first: u64) -> Self {
        Self { record: Vec::new(), first, last: first - 1, page: watch::Sender::default() }
    }
}

impl Book {
    /// Reads what there is. Calls that nobody has settled are settled now, at their bounds: whoever made
    /// them is gone, and they may have to be paid. Those that a run may take up are left open. `folder` is where the tail lies; a store in memory
    /// has none.
    pub(crate) async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        folder: Option<&Path>,
    ) -> Result<Self, BookError> {
        let mut tally = checkpoint(store.as_ref()).await?;
        let known = tally.through();
        read(store.as_ref(), &mut tally).await?;
        let durable = store.call_last().await?;
        let opened = folder.map(Tail::open).transpose().map_err(BookError::Tail)?;
        let (mut tail, left) = match opened {
            Some((tail, left)) => (Some(tail), left),
            None => (None, Vec::new()),
        };
        let (mut record, mut ops) = (Vec::new(), Vec::new());
        let (mut next, mut torn) = (durable + 1, None);
        let newest = left.last().map_or(0, |(number, _)| *number);
        let mut late = Vec::new();
        for (number, line) in left {
            // What the store has already, or what is behind a gap: nothing has followed from it.
            if number == next {
                // Half of one that could not be written; it may have been written again.
                let Ok(entry) = read_entry(number, &line) else {
                    torn = Some(number);
                    continue;
                };
                match &entry {
                    Entry::Admitted(_) => {}
                    // Its alarms would have come into the store with it.
                    Entry::Settled(settled) => {
                        late.extend(
                            tally
                                .opened(settled.call)
                                .map(|it| (it.who.namespace.clone(), settled.charged.clone())),
                        );
                    }
                    Entry::Corrected(entry) => ops.extend(correction::ops(entry)),
                }
                tally.apply(number, entry);
                record.extend_from_slice(&line);
                next += 1;
            }
        }
        if torn == Some(next) && newest > next {
            return Err(BookError::Damaged(next));
        }
        let now = clock.now();
        for (namespace, settled) in unknown(&tally, now) {
            late.push((namespace, settled.charged.clone()));
            let entry = Entry::Settled(settled);
            record.extend_from_slice(&entry.line());
            tally.apply(next, entry);
            next += 1;
        }
        if next > durable + 1 {
            let page =
                CallPage { first: durable + 1, last: next - 1, at: now, record: record.into() };
            ops.push(Op::CallAppend(page));
            store.commit(ops, Preconditions::none()).await?;
        }
        if let Some(tail) = &mut tail {
            tail.clear().map_err(BookError::Tail)?;
        }
        let late = Some(Late::of(&tally, late));
        let state = State {
            tail,
            tally,
            observing: Observing::default(),
            next,
            durable: next - 1,
            waiting: Vec::new(),
            alarms: Vec::new(),
            corrections: Vec::new(),
            is_failing: false,
            late,
            untailed: 0,
            checkpoint_at: known + CHECKPOINT_EVERY,
            wants_checkpoint: false,
        };
        let (grown, left) = (Notify::new(), Notify::new());
        let (state, written) = (Mutex::new(state), watch::Sender::new(next - 1));
        let kept = watch::Sender::new(known);
        let told = OnceLock::new();
        Ok(Self(Arc::new(Inner { store, clock, state, grown, written, left, kept, told })))
    }

    /// What was charged goes into the books of budgets, once. What of it was charged just now may reach a share that
    /// somebody is to be told of.
    pub(crate) fn charge(&self, books: &mut Books, exchange: &Exchange) {
        let Some(late) = self.state().late.take() else { return };
        let nobody = base::CallId::from_uuid(uuid::Uuid::nil());
        books.charge(nobody, &late.before, exchange);
        for (namespace, charged) in &late.charged {
            let alarms = books.charge(nobody, charged, exchange);
            self.alarm(namespace, &alarms);
        }
    }

    /// Calls of runs that the life before has not ended.
    pub(crate) fn left(&self) -> Vec<Admitted> {
        self.state().tally.open().cloned().collect()
    }

    /// Whom events are told to from now on, once they are durable. Those before are found in the store.
    pub(crate) fn on_events(&self, told: impl Fn(&[EventRow]) + Send + Sync + 'static) {
        // Once, when a site is put together.
        let _ = self.0.told.set(Box::new(told));
    }

    /// Until the store has all that was written up to now.
    pub(crate) async fn durable(&self) {
        let last = self.state().next - 1;
        self.0.grown.notify_one();
        // The sender is here.
        let _ = self.0.written.subscribe().wait_for(|written| *written >= last).await;
    }

    /// Until the checkpoint of the store has the entries up to this one.
    pub(crate) async fn checkpoint(&self, through: u64) {
        if *self.0.kept.borrow() < through {
            self.state().wants_checkpoint = true;
            self.0.grown.notify_one();
        }
        // The sender is here.
        let _ = self.0.kept.subscribe().wait_for(|kept| *kept >= through).await;
    }

    /// What the entries come to.
    pub(crate) fn tally<T>(&self, ask: impl FnOnce(&Tally) -> T) -> T {
        ask(&self.state().tally)
    }

    /// What is told of calls.
    pub(super) fn observing<T>(&self, with: impl FnOnce(&mut Observing) -> T) -> T {
        with(&mut self.state().observing)
    }

    /// Writes page after page until `closing`, and then what is left.
    pub(crate) async fn keep(self, closing: CancellationToken) {
        loop {
            let is_last = self.wait(&closing).await;
            // Calls that are ready have their turn first, and come into the same page.
            yield_now().await;
            if is_last {
                if self.write_rest(&closing).await {
                    self.write_checkpoint().await;
                }
                return;
            }
            // An end that came meanwhile is none that somebody waits for: it has its own time.
            if self.write_page(&closing).await == Written::InVain {
                return;
            }
        }
    }

    /// Until a page is due. Whether it is the last one.
    async fn wait(&self, closing: &CancellationToken) -> bool {
        tokio::select! {
            () = self.0.grown.notified() => return false,
            () = self.0.left.notified() => {}
            () = closing.cancelled() => return true,
        }
        tokio::select! {
            () = self.0.grown.notified() => false,
            () = tokio::time::sleep(SETTLED_WITHIN) => false,
            () = closing.cancelled() => true,
        }
    }

    /// Whether the store has everything.
    async fn write_rest(&self, closing: &CancellationToken) -> bool {
        loop {
            match self.write_page(closing).await {
                Written::Page => {}
                Written::Nothing => return true,
                Written::InVain => return false,
            }
        }
    }

    async fn write_page(&self, closing: &CancellationToken) -> Written {
        let Some(Taken { mut ops, waiting, last, has_checkpoint, events }) = self.take() else {
            return Written::Nothing;
        };
        let (mut is_told, mut last_tries) = (false, 0);
        // The store keeps what it is given, so that each try needs its own.
        while let Err(error) = self.0.store.commit(ops.clone(), Preconditions::none()).await {
            tracing::error!(%error, "cannot write down calls");
            if !std::mem::replace(&mut is_told, true) {
                let mut state = self.state();
                state.is_failing = true;
                tell(&waiting, Page::Lost);
                tell(&state.waiting, Page::Lost);
            }
            if closing.is_cancelled() {
                last_tries += 1;
                if last_tries == LAST_TRIES {
                    tracing::error!(
                        "the last calls are in the tail alone, and come into the store at the next start"
                    );
                    return Written::InVain;
                }
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
        ops.clear();
        {
            let mut state = self.state();
            state.durable = last;
            state.is_failing = false;
        }
        self.0.written.send_replace(last);
        if has_checkpoint {
            self.0.kept.send_replace(last);
        }
        if let Some(told) = self.0.told.get().filter(|_| !events.is_empty()) {
            told(&events);
        }
        if !is_told {
            tell(&waiting, Page::Durable);
        }
        Written::Page
    }

    /// What waits, and the tally with it now and then.
    fn take(&self) -> Option<Taken> {
        let mut state = self.state();
        if state.waiting.is_empty() && state.alarms.is_empty() && !state.wants_checkpoint {
            return None;
        }
        let mut waiting = std::mem::take(&mut state.waiting);
        let (at, last) = (self.0.clock.now(), state.next - 1);
        let by = By { actor: "site".to_owned(), reason: None };
        let alarms = std::mem::take(&mut state.alarms);
        let mut ops: Vec<Op> = alarms.iter().map(|it| it.change(&by, at)).collect();
        let events: Vec<EventRow> = alarms.iter().filter_map(|it| it.event(at)).collect();
        ops.extend(events.iter().cloned().map(Op::EventAppend));
        let corrections = std::mem::take(&mut state.corrections);
        ops.extend(corrections.iter().flat_map(correction::ops));
        ops.extend(waiting.iter_mut().map(|it| {
            let record = std::mem::take(&mut it.record).into();
            Op::CallAppend(CallPage { first: it.first, last: it.last, at, record })
        }));
        let has_checkpoint = last >= state.checkpoint_at || state.wants_checkpoint;
        if has_checkpoint {
            state.checkpoint_at = last + CHECKPOINT_EVERY;
            state.wants_checkpoint = false;
            ops.push(checkpoint_op(&state.tally));
        }
        Some(Taken { ops, waiting, last, has_checkpoint, events })
    }

    /// So that the next start reads little. Where it cannot be written, that reads more.
    async fn write_checkpoint(&self) {
        let op = checkpoint_op(&self.state().tally);
        if let Err(error) = self.0.store.commit(vec![op], Preconditions::none()).await {
            tracing::error!(%error, "cannot write down what calls come to");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }
}

/// What has become of what was to be written.
#[derive(PartialEq, Eq)]
enum Written {
    Page,
    Nothing,
    InVain,
}

impl Record for Book {
    fn write(&self, entry: Entry) -> Result<Ticket, NotWritten> {
        let mut line = entry.line_behind(ROOM);
        let mut state = self.state();
        let is_full = state.waiting.len() > WAITING_PAGES_MAX;
        let (is_new, is_awaited) = match &entry {
            // Nothing follows from what was only watched.
            Entry::Admitted(entry) => (true, entry.watched.is_none()),
            Entry::Corrected(_) => (true, true),
            Entry::Settled(_) => (false, false),
        };
        // What has been admitted must be settled; nothing new begins.
        let (number, durable) = (state.next, state.durable);
        let has_gap = state.untailed > durable;
        if is_new && (state.is_failing || is_full || has_gap) {
            return Err(NotWritten);
        }
        if let Some(tail) = &mut state.tail {
            let pushed = if has_gap {
                Err(None)
            } else {
                tail.push(number, &mut line, durable).map_err(Some)
            };
            if let Err(error) = pushed {
                if let Some(error) = error {
                    tracing::error!(%error, "cannot write to the tail of calls");
                }
                if is_new {
                    return Err(NotWritten);
                }
                // What was paid is kept all the same, and goes into the store with the next page.
                state.untailed = number;
            }
        }
        state.next += 1;
        let State { tally, observing, corrections, .. } = &mut *state;
        match &entry {
            Entry::Admitted(_) => {}
            Entry::Settled(settled) => {
                if let Some(admitted) = tally.opened(settled.call) {
                    observing.note(admitted, settled);
                }
            }
            Entry::Corrected(entry) => corrections.push(entry.clone()),
        }
        tally.apply(number, entry);
        if state.waiting.last().is_none_or(|it| it.record.len() >= PAGE_BYTES_MAX) {
            state.waiting.push(Waiting::new(number));
        }
        let waiting = state.waiting.last_mut().expect("one is there");
        waiting.record.extend_from_slice(&line[ROOM..]);
        waiting.last = number;
        let ticket = Ticket::of(waiting.page.subscribe());
        drop(state);
        let due = if is_awaited { &self.0.grown } else { &self.0.left };
        due.notify_one();
        Ok(ticket)
    }

    fn spent(&self, holder: &Holder, budget: Budget) -> Option<Line> {
        let state = self.state();
        state.tally.spent_by(holder, budget.period(), budget.cap().currency).cloned()
    }

    fn alarm(&self, namespace: &Namespace, alarms: &[Alarm]) {
        if alarms.is_empty() {
            return;
        }
        let reached = alarms.iter().map(|alarm| Reached::new(namespace, alarm));
        self.state().alarms.extend(reached);
        self.0.grown.notify_one();
    }
}

fn tell(waiting: &[Waiting], how: Page) {
    for page in waiting {
        page.page.send_replace(how);
    }
}

fn checkpoint_op(tally: &Tally) -> Op {
    let checkpoint = tally.checkpoint();
    Op::ResourcePut(ResourceRow {
        kind: ResourceKind::Calls,
        name: CHECKPOINT.to_owned(),
        record: document::write(CHECKPOINT_TYPE, CHECKPOINT_VERSION, &checkpoint).into(),
    })
}

async fn checkpoint(store: &dyn Store) -> Result<Tally, BookError> {
    let row = store.resource_get(ResourceKind::Calls, CHECKPOINT.to_owned()).await?;
    let Some(row) = row else { return Ok(Tally::default()) };
    let read: Result<Checkpoint, _> =
        document::read(&row.record, CHECKPOINT_TYPE, CHECKPOINT_VERSION);
    Ok(Tally::of(read.map_err(|_| BookError::Damaged(0))?))
}

/// The pages behind the checkpoint.
async fn read(store: &dyn Store, tally: &mut Tally) -> Result<(), BookError> {
    loop {
        let pages = store.call_page_list(tally.through(), PAGES_READ).await?;
        let Some(last) = pages.last().map(|page| page.last) else { return Ok(()) };
        for page in &pages {
            apply_page(tally, page)?;
        }
        tally.pass(last);
    }
}

fn apply_page(tally: &mut Tally, page: &CallPage) -> Result<(), BookError> {
    let lines = page.record.split_inclusive(|byte| *byte == b'\n');
    for (number, line) in (page.first..).zip(lines) {
        apply(tally, number, line)?;
    }
    Ok(())
}

fn apply(tally: &mut Tally, number: u64, line: &[u8]) -> Result<(), BookError> {
    tally.apply(number, read_entry(number, line)?);
    Ok(())
}

fn read_entry(number: u64, line: &[u8]) -> Result<Entry, BookError> {
    serde_json::from_slice(line).map_err(|_| BookError::Damaged(number))
}

/// What ends the calls of a life that is over.
fn unknown(tally: &Tally, now: Timestamp) -> Vec<(Namespace, Settled)> {
    let mut open: Vec<_> = tally.open().collect();
    open.sort_by_key(|entry| entry.call);
    // What a run may ask again is held until it does, or ends.
    open.retain(|entry| entry.effect.is_none());
    let settled = open.into_iter().map(|it| (it.who.namespace.clone(), Settled::unknown(it, now)));
    settled.collect()
}

/// A page as entries with their numbers, for lists.
pub(crate) fn entries(page: &CallPage) -> impl DoubleEndedIterator<Item = (u64, Bytes)> {
    let mut rest = page.record.clone();
    let mut lines = Vec::new();
    let mut number = page.first;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', &rest).map_or(rest.len(), |at| at + 1);
        lines.push((number, rest.split_to(end)));
        number += 1;
    }
    lines.into_iter()
}
