//! Processes of models: who works, who waits, who goes for whom, and how long one that died is left alone.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use inference::FILE_BYTES_MAX;
use inference::frame::{self, Answer, FRAME_BYTES_MAX};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::models::{
    Loaded, ModelError, ModelFile, ModelsConfig, REST_FIRST, REST_MAX, STACK_BYTES, Share,
};
use crate::process::Process;

/// A file of 256 MiB is read and understood long before.
const START_MAX: Duration = Duration::from_secs(30);

/// A process without a model.
const PROCESS_BYTES: u64 = 8 * 1024 * 1024;

/// How many times its file a model holds, roughly: as bytes, as numbers, and while it calculates.
const FILE_TIMES: u64 = 4;

#[derive(Debug)]
pub(crate) struct Inner {
    config: ModelsConfig,
    pub(crate) models: Mutex<HashMap<String, Arc<Entry>>>,
    pub(crate) held_bytes: Arc<AtomicU64>,
    /// Counts calls, so that the one asked longest ago is known.
    calls: AtomicU64,
    pub(crate) started: AtomicU64,
    pub(crate) died: AtomicU64,
    pub(crate) evicted: AtomicU64,
}

pub(crate) struct Entry {
    name: String,
    file: Box<dyn ModelFile>,
    queue: usize,
    processes: usize,
    /// One permit for each process. Fair: who came first is served first.
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
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
    held_bytes: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.held_bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

impl Inner {
    pub(crate) fn new(config: ModelsConfig) -> Self {
        Self {
            config,
            models: Mutex::default(),
            held_bytes: Arc::default(),
            calls: AtomicU64::new(0),
            started: AtomicU64::new(0),
            died: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// A place among the calls of a model that are worked on.
    pub(crate) async fn slot(
        &self,
        entry: &Arc<Entry>,
    ) -> Result<OwnedSemaphorePermit, ModelError> {
        entry.last_call.store(self.calls.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        if let Ok(slot) = Arc::clone(&entry.slots).try_acquire_owned() {
            return Ok(slot);
        }
        let _waiting = Waiting::enter(entry)?;
        Ok(Arc::clone(&entry.slots).acquire_owned().await.expect("the semaphore is never closed"))
    }

    /// An idle process of the model, or a new one.
    pub(crate) async fn lane(&self, entry: &Entry) -> Result<Lane, ModelError> {
        while let Some(mut lane) = { lock(&entry.idle).pop() } {
            if lane.process.is_alive() {
                return Ok(lane);
            }
        }
        entry.rest(Instant::now())?;
        let unread = |cause| ModelError::File { name: entry.name.clone(), cause };
        let bytes = entry.file.bytes().await.map_err(unread)?;
        if bytes > FILE_BYTES_MAX as u64 {
            return Err(ModelError::NoModel(inference::LoadError::TooLarge.to_string()));
        }
        let charge = self.charge(entry, PROCESS_BYTES + FILE_TIMES * bytes)?;
        let file = entry.file.read().await.map_err(unread)?;
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

    /// A part of the budget. Idle processes go for it, of the model asked longest ago first.
    fn charge(&self, entry: &Entry, bytes: u64) -> Result<Charge, ModelError> {
        let budget = self.config.budget_bytes;
        loop {
            let held = self.held_bytes.load(Ordering::Acquire);
            let then = held.saturating_add(bytes);
            if then > budget {
                if self.evict() {
                    continue;
                }
                let (name, needed, budget) = (entry.name.clone(), bytes >> 20, budget >> 20);
                return Err(ModelError::Memory { name, needed, budget });
            }
            let swapped =
                self.held_bytes.compare_exchange(held, then, Ordering::AcqRel, Ordering::Acquire);
            if swapped.is_ok() {
                return Ok(Charge { held_bytes: self.held_bytes.clone(), bytes });
            }
        }
    }

    fn evict(&self) -> bool {
        let models = lock(&self.models);
        let idle = models.values().filter(|entry| !lock(&entry.idle).is_empty());
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
    pub(crate) fn new(name: &str, file: impl ModelFile, share: Share) -> Self {
        let processes = share.processes.max(1);
        Self {
            name: name.to_owned(),
            file: Box::new(file),
            queue: share.queue,
            processes,
            slots: Arc::new(Semaphore::new(processes)),
            waiting: AtomicUsize::new(0),
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

    /// Its next call is answered by this one.
    pub(crate) fn rests(&self, lane: Lane) {
        lock(&self.idle).push(lane);
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
struct Waiting<'e>(&'e Entry);

impl<'e> Waiting<'e> {
    fn enter(entry: &'e Entry) -> Result<Self, ModelError> {
        if entry.waiting.fetch_add(1, Ordering::Relaxed) >= entry.queue {
            entry.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(ModelError::Overloaded(entry.name.clone()));
        }
        Ok(Self(entry))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
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
