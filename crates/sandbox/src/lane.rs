//! Processes of models: who works, who waits, who goes for whom, and how long one that died is left alone.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use inference::FILE_BYTES_MAX;
use inference::frame::{self, Answer, FRAME_BYTES_MAX};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::models::{
    Loaded, ModelError, ModelFile, ModelsConfig, REST_FIRST, REST_MAX, STACK_BYTES, Share,
};
use crate::process::Process;

/// A file of 256 MiB is read and understood long before.
pub(crate) const START_MAX: Duration = Duration::from_secs(30);

/// A process without a model.
const PROCESS_BYTES: u64 = 8 * 1024 * 1024;

/// How many times its file a model holds, roughly: as bytes, as numbers, and while it calculates.
const FILE_TIMES: u64 = 4;

#[derive(Debug)]
pub(crate) struct Inner {
    config: ModelsConfig,
    pub(crate) models: Mutex<HashMap<String, Arc<Entry>>>,
    pub(crate) memory: Arc<Memory>,
    /// Who is next to get a part of the budget. Fair: who came first is first.
    turn: tokio::sync::Mutex<()>,
    next: Mutex<Option<Next>>,
    /// Counts calls, so that the one asked longest ago is known.
    calls: AtomicU64,
    pub(crate) started: AtomicU64,
    pub(crate) died: AtomicU64,
    pub(crate) evicted: AtomicU64,
}

/// The budget's part that is held.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) held_bytes: AtomicU64,
    /// Told whenever there may be room: a process has gone, or rests.
    room: Notify,
}

/// A place among the calls of a model that are worked on.
#[derive(Debug)]
pub(crate) struct Slot {
    _permit: OwnedSemaphorePermit,
    /// Which call it is for, in the order in which they came.
    call: u64,
}

pub(crate) struct Entry {
    name: String,
    file: Box<dyn ModelFile>,
    queue: usize,
    processes: usize,
    /// One permit for each process. Fair: who came first is served first.
    slots: Arc<Semaphore>,
    /// Calls that wait for a slot.
    waiting: Mutex<BTreeSet<u64>>,
    memory: Arc<Memory>,
    pub(crate) idle: Mutex<Vec<Lane>>,
    last_call: AtomicU64,
    deaths: Mutex<Deaths>,
}

/// Deaths in a row, and when the next attempt may be.
#[derive(Debug, Default)]
struct Deaths {
    count: u32,
    rest_until: Option<Instant>,
}

/// A process with its model in it.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) process: Process,
    pub(crate) loaded: Loaded,
    _charge: Charge,
}

/// A part of the budget, until it is dropped.
#[derive(Debug)]
struct Charge {
    memory: Arc<Memory>,
    bytes: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.held_bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        self.memory.room.notify_one();
    }
}

/// The call that is next to get memory.
#[derive(Debug, Clone, Copy)]
struct Next {
    call: u64,
    /// Where the entry of its model is.
    entry: usize,
}

/// Whoever has the turn, until this is dropped.
struct Turn<'i>(&'i Mutex<Option<Next>>);

impl<'i> Turn<'i> {
    fn of(next: &'i Mutex<Option<Next>>, call: u64, entry: &Entry) -> Self {
        *lock(next) = Some(Next { call, entry: entry.place() });
        Self(next)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(self.0) = None;
    }
}

/// What a call gets that needs a process.
enum Room {
    /// One of its model that rests by now.
    Lane(Box<Lane>),
    /// Memory for a new one.
    Charge(Charge),
}

impl Inner {
    pub(crate) fn new(config: ModelsConfig) -> Self {
        Self {
            config,
            models: Mutex::default(),
            memory: Arc::default(),
            turn: tokio::sync::Mutex::default(),
            next: Mutex::default(),
            calls: AtomicU64::new(0),
            started: AtomicU64::new(0),
            died: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// A place among the calls of a model that are worked on.
    pub(crate) async fn slot(&self, entry: &Arc<Entry>) -> Result<Slot, ModelError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        entry.last_call.store(call, Ordering::Relaxed);
        let slots = Arc::clone(&entry.slots);
        if let Ok(permit) = Arc::clone(&slots).try_acquire_owned() {
            return Ok(Slot { _permit: permit, call });
        }
        let _waiting = Waiting::enter(entry, call)?;
        let permit = slots.acquire_owned().await.expect("the semaphore is never closed");
        Ok(Slot { _permit: permit, call })
    }

    /// An idle process of the model, or a new one. A start goes on where nobody waits for it any more, so
    /// that a model whose start takes longer than a call may is there for a later one.
    pub(crate) async fn lane(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        slot: Slot,
        end: Instant,
    ) -> Result<(Slot, Lane), Late> {
        if let Some(lane) = entry.idle() {
            return Ok((slot, lane));
        }
        entry.rest(Instant::now())?;
        let bytes = entry.file.bytes().await.map_err(|cause| entry.unread(cause))?;
        if bytes > FILE_BYTES_MAX as u64 {
            let why = inference::LoadError::TooLarge.to_string();
            return Err(ModelError::NoModel(why).into());
        }
        let bytes = PROCESS_BYTES + FILE_TIMES * bytes;
        let charge = timeout_at(end, self.charge(entry, bytes, slot.call)).await;
        let charge = match charge.unwrap_or_else(|_| Err(self.no_memory(entry, bytes)))? {
            Room::Lane(lane) => return Ok((slot, *lane)),
            Room::Charge(charge) => charge,
        };
        let (inner, starts) = (Arc::clone(self), Arc::clone(entry));
        let (told, hears) = oneshot::channel();
        tokio::spawn(async move {
            let lane = inner.fresh(&starts, charge).await;
            if let Err(Ok((slot, lane))) = told.send(lane.map(|lane| (slot, lane))) {
                starts.rests(&inner, lane);
                drop(slot);
            }
        });
        match timeout_at(end, hears).await {
            Ok(Ok(started)) => Ok(started?),
            Ok(Err(_)) => Err(ModelError::Unavailable("its start ended early".to_owned()).into()),
            Err(_) => Err(Late::Start),
        }
    }

    async fn fresh(&self, entry: &Entry, charge: Charge) -> Result<Lane, ModelError> {
        let file = entry.file.read().await.map_err(|cause| entry.unread(cause))?;
        let started = timeout(START_MAX, self.start(entry, &file, charge)).await;
        started.unwrap_or_else(|_| {
            self.note_death(entry);
            Err(ModelError::Deadline { name: entry.name.clone(), deadline: START_MAX })
        })
    }

    async fn start(&self, entry: &Entry, file: &[u8], charge: Charge) -> Result<Lane, ModelError> {
        let config = &self.config;
        let program = config.program.display();
        let unavailable = |error| ModelError::Unavailable(format!("`{program}`: {error}"));
        let spawned =
            Process::spawn(&config.program, &config.args, config.memory_bytes, STACK_BYTES);
        let mut process = spawned.map_err(unavailable)?;
        self.started.fetch_add(1, Ordering::Relaxed);
        process.ready().await.map_err(unavailable)?;
        let answer = process.exchange(&frame::load(file), FRAME_BYTES_MAX).await;
        match answer.ok().and_then(|it| Answer::decode(&it)) {
            Some(Answer::Loaded { metadata, memory_bytes }) => {
                let loaded = Loaded { metadata, memory_bytes };
                Ok(Lane { process, loaded, _charge: charge })
            }
            Some(Answer::Refused(why)) => Err(ModelError::NoModel(why)),
            Some(
                Answer::Failed(_)
                | Answer::Outputs(_)
                | Answer::Piece(_)
                | Answer::Said(_)
                | Answer::Vectors(_),
            )
            | None => {
                self.note_death(entry);
                Err(ModelError::Died(entry.name.clone()))
            }
        }
    }

    /// A part of the budget. Idle processes go for it, of the model asked longest ago first. Where all work,
    /// calls wait in the order in which they came.
    async fn charge(&self, entry: &Entry, bytes: u64, call: u64) -> Result<Room, ModelError> {
        if bytes > self.config.budget_bytes {
            return Err(self.no_memory(entry, bytes));
        }
        let _alone = self.turn.lock().await;
        let _turn = Turn::of(&self.next, call, entry);
        loop {
            if let Some(lane) = entry.idle() {
                return Ok(Room::Lane(Box::new(lane)));
            }
            if let Some(charge) = self.charge_now(bytes, call) {
                return Ok(Room::Charge(charge));
            }
            // One that is told before this waits is kept for it.
            self.memory.room.notified().await;
        }
    }

    fn charge_now(&self, bytes: u64, call: u64) -> Option<Charge> {
        let (budget, held) = (self.config.budget_bytes, &self.memory.held_bytes);
        loop {
            let now = held.load(Ordering::Acquire);
            let then = now.saturating_add(bytes);
            if then > budget {
                if self.evict(call) {
                    continue;
                }
                return None;
            }
            if held.compare_exchange(now, then, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return Some(Charge { memory: Arc::clone(&self.memory), bytes });
            }
        }
    }

    fn no_memory(&self, entry: &Entry, bytes: u64) -> ModelError {
        let (needed, budget) = (bytes >> 20, self.config.budget_bytes >> 20);
        ModelError::Memory { name: entry.name.clone(), needed, budget }
    }

    /// Ends an idle process for a call, but none that an earlier call is about to take.
    fn evict(&self, call: u64) -> bool {
        let models = lock(&self.models);
        let idle = models.values().filter(|it| !lock(&it.idle).is_empty() && !it.is_awaited(call));
        let oldest = idle.min_by_key(|entry| entry.last_call.load(Ordering::Relaxed));
        let lane = oldest.and_then(|entry| lock(&entry.idle).pop());
        let found = lane.is_some();
        if found {
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    pub(crate) fn note_death(&self, entry: &Entry) {
        self.died.fetch_add(1, Ordering::Relaxed);
        let mut deaths = lock(&entry.deaths);
        deaths.count = deaths.count.saturating_add(1);
        deaths.rest_until = rest_after(deaths.count).map(|rest| Instant::now() + rest);
    }
}

/// How long a model is left alone after so many deaths in a row. One may be the fault of its input.
fn rest_after(deaths: u32) -> Option<Duration> {
    let doublings = deaths.checked_sub(2)?;
    Some(REST_FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(REST_MAX))
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Entry {
    pub(crate) fn new(
        name: &str,
        file: impl ModelFile,
        share: Share,
        memory: &Arc<Memory>,
    ) -> Self {
        let processes = share.processes.max(1);
        Self {
            name: name.to_owned(),
            file: Box::new(file),
            queue: share.queue,
            processes,
            slots: Arc::new(Semaphore::new(processes)),
            waiting: Mutex::default(),
            memory: Arc::clone(memory),
            idle: Mutex::default(),
            last_call: AtomicU64::new(0),
            deaths: Mutex::default(),
        }
    }

    /// How many processes have the model in them.
    pub(crate) fn alive(&self) -> usize {
        let busy = self.processes.saturating_sub(self.slots.available_permits());
        busy + lock(&self.idle).len()
    }

    /// It answers: what was before is over.
    pub(crate) fn is_well(&self) {
        *lock(&self.deaths) = Deaths::default();
    }

    /// Its next call is answered by this one, unless a call of another model, that came before, waits for the
    /// memory.
    pub(crate) fn rests(&self, inner: &Inner, lane: Lane) {
        let next = *lock(&inner.next);
        if next.is_some_and(|next| next.entry != self.place() && !self.is_awaited(next.call)) {
            inner.evicted.fetch_add(1, Ordering::Relaxed);
            return;
        }
        lock(&self.idle).push(lane);
        self.memory.room.notify_one();
    }

    /// A process that waits for a call.
    fn idle(&self) -> Option<Lane> {
        loop {
            let mut lane = lock(&self.idle).pop()?;
            if lane.process.is_alive() {
                return Some(lane);
            }
        }
    }

    fn place(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Whether somebody has waited for it for longer than this call.
    fn is_awaited(&self, call: u64) -> bool {
        lock(&self.waiting).first().is_some_and(|first| *first < call)
    }

    fn unread(&self, cause: io::Error) -> ModelError {
        ModelError::File { name: self.name.clone(), cause }
    }

    fn rest(&self, now: Instant) -> Result<(), ModelError> {
        let deaths = lock(&self.deaths);
        match deaths.rest_until {
            Some(until) if until > now => Err(ModelError::Resting {
                name: self.name.clone(),
                deaths: deaths.count,
                after: until - now,
            }),
            _ => Ok(()),
        }
    }
}

/// A place in the queue of a model.
struct Waiting<'e>(&'e Entry, u64);

impl<'e> Waiting<'e> {
    fn enter(entry: &'e Entry, call: u64) -> Result<Self, ModelError> {
        let mut waiting = lock(&entry.waiting);
        if waiting.len() >= entry.queue {
            return Err(ModelError::Overloaded(entry.name.clone()));
        }
        waiting.insert(call);
        Ok(Self(entry, call))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.0.waiting).remove(&self.1);
        // A process was perhaps kept for it.
        self.0.memory.room.notify_one();
    }
}

/// Why there is no process.
pub(crate) enum Late {
    /// It has not started in time.
    Start,
    Error(ModelError),
}

impl Late {
    pub(crate) fn of(self, name: &str, deadline: Duration) -> ModelError {
        match self {
            Self::Start => ModelError::Deadline { name: name.to_owned(), deadline },
            Self::Error(error) => error,
        }
    }
}

impl From<ModelError> for Late {
    fn from(error: ModelError) -> Self {
        Self::Error(error)
    }
}

/// A panic while one of these is held leaves what it guards as it was.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: rest after the first death, or without an upper bound.
    #[test]
    fn a_model_rests_from_its_second_death_on_twice_as_long_each_time() {
        let rests = [0, 1, 2, 3, 4, 40, u32::MAX].map(rest_after);
        let [none, one, two, three, four, many, all] = rests;
        assert_eq!((none, one), (None, None));
        assert_eq!(
            (two, three, four),
            (Some(REST_FIRST), Some(2 * REST_FIRST), Some(4 * REST_FIRST))
        );
        assert_eq!((many, all), (Some(REST_MAX), Some(REST_MAX)));
    }
}
