//! The models of a site, each in processes of its own.
//!
//! Whatever a model does, to memory, time or its process, it does to itself alone. A process starts
//! when its model is first asked, goes when others need the memory (the model asked longest ago
//! first), and is replaced after its death: at once the first time, later and later after that.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use inference::frame::{self, Answer, FRAME_BYTES_MAX};
use inference::words::{Embed, Generate};
use inference::{Metadata, Tensor};
use tokio::time::{Instant, timeout_at};

use crate::child::MODEL;
use crate::lane::{Entry, Inner, START_MAX, Slot, lock};
use crate::process::{End, Silence};
use crate::speech::{Embedded, Generated, Speech, Working, decoded, no_answer};

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
    /// It answers with what is no answer, whatever it is asked.
    #[error("the model `{name}`: {why}")]
    Failed { name: String, why: String },
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

impl Models {
    /// Starts nothing yet.
    #[must_use]
    pub fn new(config: ModelsConfig) -> Self {
        Self(Arc::new(Inner::new(config)))
    }

    /// Makes a file known, in place of what had the name before. Calls under way end as they began.
    pub fn add(&self, name: &str, file: impl ModelFile, share: Share) -> Result<(), ModelError> {
        let mut models = lock(&self.0.models);
        if models.len() >= MODELS_MAX && !models.contains_key(name) {
            return Err(ModelError::TooMany);
        }
        models.insert(name.to_owned(), Arc::new(Entry::new(name, file, share, &self.0.memory)));
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
        let slot = self.0.slot(&entry).await?;
        let deadline = 2 * START_MAX;
        let started = self.0.lane(&entry, slot, Instant::now() + deadline).await;
        let (_slot, lane) = started.map_err(|late| late.of(name, deadline))?;
        let loaded = lane.loaded.clone();
        entry.rests(&self.0, lane);
        Ok(loaded)
    }

    /// How many processes have the model in them.
    #[must_use]
    pub fn processes(&self, name: &str) -> usize {
        self.entry(name).map_or(0, |entry| entry.alive())
    }

    /// Asks a model. Dropping the future kills the process that works on it. The deadline counts
    /// waiting, the start of a process and working.
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
        match self.asked(name, &frame::infer(inputs), deadline, busy).await? {
            Answer::Outputs(tensors) => Ok(tensors),
            other => Err(no_answer(name, other)),
        }
    }

    /// Makes vectors of texts. As [`Self::infer`].
    pub async fn embed(&self, name: &str, ask: &Embed, deadline: Duration) -> Embedded {
        let mut busy = Duration::ZERO;
        let vectors = match self.asked(name, &frame::embed(ask), deadline, &mut busy).await {
            Ok(Answer::Vectors(vectors)) => Ok(vectors),
            Ok(other) => Err(no_answer(name, other)),
            Err(error) => Err(error),
        };
        Embedded { busy, vectors }
    }

    /// A question with one answer.
    async fn asked(
        &self,
        name: &str,
        request: &[u8],
        deadline: Duration,
        busy: &mut Duration,
    ) -> Result<Answer, ModelError> {
        let (_slot, lane, answer) = self.first(name, request, deadline, busy).await?;
        lane.rests();
        decoded(&answer)
    }

    /// Asks a model of language; its answer comes piece by piece. This ends with the first of them, so that
    /// whoever cannot answer at all is known before anything is said.
    pub async fn generate(&self, name: &str, ask: &Generate, deadline: Duration) -> Generated {
        let mut busy = Duration::ZERO;
        let request = frame::generate(ask);
        let began = Instant::now();
        let first = self.first(name, &request, deadline, &mut busy).await;
        let speech = first.and_then(|(slot, lane, answer)| {
            let first = match decoded(&answer)? {
                first @ (Answer::Piece(_) | Answer::Said(_)) => first,
                other => {
                    lane.rests();
                    return Err(no_answer(name, other));
                }
            };
            let (first, lane) = (Some(first), Some(lane));
            Ok(Speech {
                name: name.to_owned(),
                deadline,
                end: began + deadline,
                busy,
                first,
                lane,
                _slot: slot,
            })
        });
        Generated { busy, speech }
    }

    /// Up to the first frame that a process says to this.
    async fn first(
        &self,
        name: &str,
        request: &[u8],
        deadline: Duration,
        busy: &mut Duration,
    ) -> Result<(Slot, Working, Vec<u8>), ModelError> {
        let entry = self.entry(name)?;
        let late = || ModelError::Deadline { name: name.to_owned(), deadline };
        let end = Instant::now() + deadline;
        let mut slot = timeout_at(end, self.0.slot(&entry)).await.map_err(|_| late())??;
        if request.len() > FRAME_BYTES_MAX {
            let most = FRAME_BYTES_MAX >> 20;
            return Err(ModelError::Refused(format!("the inputs are larger than {most} MiB")));
        }
        let mut again = false;
        loop {
            let started = self.0.lane(&entry, slot, end).await;
            let (kept, mut lane) = started.map_err(|late| late.of(name, deadline))?;
            slot = kept;
            let began = Instant::now();
            let answer = timeout_at(end, lane.process.exchange(request, FRAME_BYTES_MAX)).await;
            *busy += began.elapsed();
            match answer {
                Ok(Ok(answer)) => {
                    entry.is_well();
                    let working = Working { lane, entry, inner: Arc::clone(&self.0) };
                    return Ok((slot, working, answer));
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
        }
    }

    #[must_use]
    pub fn stats(&self) -> ModelsStats {
        ModelsStats {
            started: self.0.started.load(Ordering::Relaxed),
            died: self.0.died.load(Ordering::Relaxed),
            evicted: self.0.evicted.load(Ordering::Relaxed),
            held_bytes: self.0.memory.held_bytes.load(Ordering::Acquire),
        }
    }

    fn entry(&self, name: &str) -> Result<Arc<Entry>, ModelError> {
        let entry = lock(&self.0.models).get(name).cloned();
        entry.ok_or_else(|| ModelError::Unknown(name.to_owned()))
    }
}
