//! The models of a site, each in processes of its own.
//!
//! Whatever a model does, to memory, time or its process, it does to itself alone. A process starts
//! when its model is first asked, goes when others need the memory (the model asked longest ago
//! first), and is replaced after its death: at once the first time, later and later after that.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use inference::frame::{self, Answer, FRAME_BYTES_MAX};
use inference::{FILE_BYTES_MAX, Metadata, Tensor};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout, timeout_at};

use crate::child::MODEL;
use crate::process::{End, Process, Silence};

/// What all models of a site may hold together. A site of 4 GiB keeps half for the rest.
pub const BUDGET_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// The limit of one process: the largest file as bytes and as numbers, and what calculating needs.
pub const MEMORY_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Models do not recurse.
pub const STACK_BYTES: u64 = 8 * 1024 * 1024;

/// Models that a site knows. Names are small; a site with more is none that people look after.
pub const MODELS_MAX: usize = 1_000;

/// The longest time until a model that always dies is tried again.
pub const REST_MAX: Duration = Duration::from_mins(1);

/// The time after its second death.
pub const REST_FIRST: Duration = Duration::from_millis(100);

/// A file of 256 MiB is read and understood long before.
const START_MAX: Duration = Duration::from_secs(30);

/// A process without a model.
const PROCESS_BYTES: u64 = 8 * 1024 * 1024;

/// How many times its file a model holds, roughly: as bytes, as numbers, and while it calculates.
const FILE_TIMES: u64 = 4;

#[derive(Debug, Clone)]
pub struct ModelsConfig {
    /// The program to start: our own binary.
    pub program: PathBuf,
    /// Its arguments up to and with [`MODEL`].
    pub args: Vec<String>,
    pub budget_bytes: u64,
    /// Of one process.
    pub memory_bytes: u64,
}

/// What one model may have of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Each works on one call.
    pub processes: usize,
    /// Calls that wait.
    pub queue: usize,
}

/// Where a model's file comes from, each time that a process of it starts.
pub trait ModelFile: Send + Sync + 'static {
    /// How large it is, before it is read.
    fn bytes(&self) -> Answered<'_, u64>;

    fn read(&self) -> Answered<'_, Bytes>;
}

pub type Answered<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

impl ModelFile for PathBuf {
    fn bytes(&self) -> Answered<'_, u64> {
        Box::pin(async move { Ok(tokio::fs::metadata(self).await?.len()) })
    }

    fn read(&self) -> Answered<'_, Bytes> {
        Box::pin(async move { Ok(tokio::fs::read(self).await?.into()) })
    }
}

/// One that is at hand.
impl ModelFile for Bytes {
    fn bytes(&self) -> Answered<'_, u64> {
        Box::pin(std::future::ready(Ok(self.len() as u64)))
    }

    fn read(&self) -> Answered<'_, Bytes> {
        Box::pin(std::future::ready(Ok(self.clone())))
    }
}

/// A model as it was loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub metadata: Metadata,
    /// What it holds while nobody asks it.
    pub memory_bytes: u64,
}

/// What came of a call.
#[derive(Debug)]
pub struct Inferred {
    /// How long processes have worked on it, whatever came of that.
    pub busy: Duration,
    pub outputs: Result<Vec<Tensor>, ModelError>,
}

impl ModelsConfig {
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: vec![MODEL.to_owned()],
            budget_bytes: BUDGET_BYTES,
            memory_bytes: MEMORY_BYTES,
        }
    }
}

/// Why a model has not answered. Holds no values.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("there is no model `{0}`")]
    Unknown(String),
    #[error("a site has at most {MODELS_MAX} models; remove one")]
    TooMany,
    /// The file is no model for us.
    #[error("{0}")]
    NoModel(String),
    /// The model does not take the inputs.
    #[error("{0}")]
    Refused(String),
    #[error("the answer is larger than {} MiB", FRAME_BYTES_MAX >> 20)]
    TooLarge,
    #[error("cannot read the file of the model `{name}`")]
    File {
        name: String,
        #[source]
        cause: io::Error,
    },
    #[error("too many calls wait for the model `{0}`; try again later")]
    Overloaded(String),
    #[error(
        "the model `{name}` needs {needed} MiB, and others at work hold the {budget} MiB that \
             models may have; try again later"
    )]
    Memory { name: String, needed: u64, budget: u64 },
    #[error("the model `{name}` did not answer within {deadline:?}")]
    Deadline { name: String, deadline: Duration },
    #[error("the model `{0}` needed more memory than a model may use")]
    Died(String),
    #[error("the model `{name}` has died {deaths} times in a row; it is tried again in {after:?}")]
    Resting { name: String, deaths: u32, after: Duration },
    #[error("cannot start a process for a model: {0}")]
    Unavailable(String),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelsStats {
    /// Processes started so far, and those that died or were killed while they worked.
    pub started: u64,
    pub died: u64,
    /// Processes that went because others needed the memory.
    pub evicted: u64,
    /// What those that are there count for.
    pub held_bytes: u64,
}

/// Cheap to clone. The processes end with the last clone.
#[derive(Debug, Clone)]
pub struct Models(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: ModelsConfig,
    models: Mutex<HashMap<String, Arc<Entry>>>,
    held_bytes: Arc<AtomicU64>,
    /// Counts calls, so that the one asked longest ago is known.
    calls: AtomicU64,
    started: AtomicU64,
    died: AtomicU64,
    evicted: AtomicU64,
}

struct Entry {
    name: String,
    file: Box<dyn ModelFile>,
    queue: usize,
    processes: usize,
    /// One permit for each process. Fair: who came first is served first.
    slots: Semaphore,
    waiting: AtomicUsize,
    idle: Mutex<Vec<Lane>>,
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
struct Lane {
    process: Process,
    loaded: Loaded,
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

impl Models {
    /// Starts nothing yet.
    #[must_use]
    pub fn new(config: ModelsConfig) -> Self {
        Self(Arc::new(Inner {
            config,
            models: Mutex::default(),
            held_bytes: Arc::default(),
            calls: AtomicU64::new(0),
            started: AtomicU64::new(0),
            died: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }))
    }

    /// Makes a file known, in place of what had the name before. Calls under way end as they began.
    pub fn add(&self, name: &str, file: impl ModelFile, share: Share) -> Result<(), ModelError> {
        let mut models = lock(&self.0.models);
        if models.len() >= MODELS_MAX && !models.contains_key(name) {
            return Err(ModelError::TooMany);
        }
        let entry = Entry {
            name: name.to_owned(),
            file: Box::new(file),
            queue: share.queue,
            processes: share.processes.max(1),
            slots: Semaphore::new(share.processes.max(1)),
            waiting: AtomicUsize::new(0),
            idle: Mutex::default(),
            last_call: AtomicU64::new(0),
            deaths: Mutex::default(),
        };
        models.insert(name.to_owned(), Arc::new(entry));
        Ok(())
    }

    /// Forgets a model; its processes end when their calls have.
    pub fn remove(&self, name: &str) -> bool {
        lock(&self.0.models).remove(name).is_some()
    }

    /// Ends the processes of a model that nobody asks just now.
    pub fn unload(&self, name: &str) -> Result<(), ModelError> {
        lock(&self.entry(name)?.idle).clear();
        Ok(())
    }

    /// Starts a process for a model, if none is there, and says what the model takes and gives.
    pub async fn load(&self, name: &str) -> Result<Loaded, ModelError> {
        let entry = self.entry(name)?;
        let _slot = self.0.slot(&entry).await?;
        let lane = self.0.lane(&entry).await?;
        let loaded = lane.loaded.clone();
        lock(&entry.idle).push(lane);
        Ok(loaded)
    }

    /// How many processes have the model in them.
    #[must_use]
    pub fn processes(&self, name: &str) -> usize {
        self.entry(name).map_or(0, |entry| {
            let busy = entry.processes.saturating_sub(entry.slots.available_permits());
            busy + lock(&entry.idle).len()
        })
    }

    /// Asks a model. Dropping the future kills the process that works on it. The deadline counts
    /// waiting and working, not the start of a process.
    pub async fn infer(&self, name: &str, inputs: &[Tensor], deadline: Duration) -> Inferred {
        let mut busy = Duration::ZERO;
        let outputs = self.work(name, inputs, deadline, &mut busy).await;
        Inferred { busy, outputs }
    }

    async fn work(
        &self,
        name: &str,
        inputs: &[Tensor],
        deadline: Duration,
        busy: &mut Duration,
    ) -> Result<Vec<Tensor>, ModelError> {
        let entry = self.entry(name)?;
        let late = || ModelError::Deadline { name: name.to_owned(), deadline };
        let asked = Instant::now();
        let slot = timeout(deadline, self.0.slot(&entry)).await.map_err(|_| late())??;
        let waited = asked.elapsed();
        let request = frame::infer(inputs);
        if request.len() > FRAME_BYTES_MAX {
            let most = FRAME_BYTES_MAX >> 20;
            return Err(ModelError::Refused(format!("the inputs are larger than {most} MiB")));
        }
        let mut again = false;
        let answer = loop {
            let mut lane = self.0.lane(&entry).await?;
            let began = Instant::now();
            let end = began + deadline.saturating_sub(waited + *busy);
            let answer = timeout_at(end, lane.process.exchange(&request, FRAME_BYTES_MAX)).await;
            *busy += began.elapsed();
            match answer {
                Ok(Ok(answer)) => {
                    *lock(&entry.deaths) = Deaths::default();
                    lock(&entry.idle).push(lane);
                    break answer;
                }
                // It was killed by somebody else while it was idle. Once is chance.
                Ok(Err(Silence::NotSent)) if !again => again = true,
                Ok(Err(Silence::NotSent | Silence::Died)) => {
                    let end = lane.process.post_mortem().await;
                    if end == End::FromOutside && !again {
                        again = true;
                        continue;
                    }
                    self.0.note_death(&entry);
                    return Err(ModelError::Died(name.to_owned()));
                }
                Ok(Err(Silence::TooMuch)) => {
                    self.0.note_death(&entry);
                    return Err(ModelError::TooLarge);
                }
                Err(_) => {
                    lane.process.kill().await;
                    self.0.note_death(&entry);
                    return Err(late());
                }
            }
        };
        drop(slot);
        match Answer::decode(&answer) {
            Some(Answer::Outputs(tensors)) => Ok(tensors),
            Some(Answer::Refused(why)) => Err(ModelError::Refused(why)),
            _ => Err(ModelError::Unavailable("its answer is none".to_owned())),
        }
    }

    #[must_use]
    pub fn stats(&self) -> ModelsStats {
        ModelsStats {
            started: self.0.started.load(Ordering::Relaxed),
            died: self.0.died.load(Ordering::Relaxed),
            evicted: self.0.evicted.load(Ordering::Relaxed),
            held_bytes: self.0.held_bytes.load(Ordering::Acquire),
        }
    }

    fn entry(&self, name: &str) -> Result<Arc<Entry>, ModelError> {
        let entry = lock(&self.0.models).get(name).cloned();
        entry.ok_or_else(|| ModelError::Unknown(name.to_owned()))
    }
}

impl Inner {
    /// A place among the calls of a model that are worked on.
    async fn slot<'e>(&self, entry: &'e Entry) -> Result<SemaphorePermit<'e>, ModelError> {
        entry.last_call.store(self.calls.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        if let Ok(slot) = entry.slots.try_acquire() {
            return Ok(slot);
        }
        let _waiting = Waiting::enter(entry)?;
        Ok(entry.slots.acquire().await.expect("the semaphore is never closed"))
    }

    /// An idle process of the model, or a new one.
    async fn lane(&self, entry: &Entry) -> Result<Lane, ModelError> {
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
            Some(Answer::Outputs(_)) | None => {
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

    fn note_death(&self, entry: &Entry) {
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
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
