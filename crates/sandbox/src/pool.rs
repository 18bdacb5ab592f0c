//! The pool: a few evaluator processes, one expression at a time in each, a deadline for each.
//!
//! Whatever an expression does to its process, it does to itself alone: the process is killed and
//! replaced when it is needed again. Requests are served in the order in which they came.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::Value;
use base::value::Json;
use bytes::Bytes;
use expr::SyntaxError;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::child::EVALUATE;
use crate::process::{End, Process, Silence};
use crate::protocol::{ANSWER_BYTES_MAX, Answer, REQUEST_BYTES_MAX};

/// What a child may use of memory: an expression over a 64 MiB input needs several times as much
/// as values. More children than cores make no sense, so a site lends a few gigabytes at worst.
pub const MEMORY_BYTES: u64 = 512 * 1024 * 1024;

/// Room for ordinary recursion some ten thousand levels deep.
pub const STACK_BYTES: u64 = 64 * 1024 * 1024;

/// Long for an expression, short for whoever waits for it.
pub const DEADLINE: Duration = Duration::from_secs(2);

/// Expressions that one process evaluates before it is replaced, should it lose memory slowly.
pub const RECYCLE_AFTER: u32 = 1_000;

/// Expressions that wait for a process. With four processes and the longest deadline the last of
/// them waits more than an hour; nobody is helped by a longer queue.
pub const QUEUE_MAX: usize = 10_000;

/// A process that is not ready after this long will not be.
const START_MAX: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// The program to start: our own binary.
    pub program: PathBuf,
    /// Its arguments up to and with [`EVALUATE`].
    pub args: Vec<String>,
    /// Processes at most. They are started when they are needed.
    pub children: usize,
    pub memory_bytes: u64,
    pub stack_bytes: u64,
    pub deadline: Duration,
    pub recycle_after: u32,
    pub queue_max: usize,
}

impl PoolConfig {
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            program: program.into(),
            args: vec![EVALUATE.to_owned()],
            // Two at least, so that one bad expression never stops all others.
            children: cores.clamp(2, 8),
            memory_bytes: MEMORY_BYTES,
            stack_bytes: STACK_BYTES,
            deadline: DEADLINE,
            recycle_after: RECYCLE_AFTER,
            queue_max: QUEUE_MAX,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The expression's own failure. Holds no value.
    #[error("{0}")]
    Failed(String),
    #[error(transparent)]
    Syntax(SyntaxError),
    #[error("too many expressions wait for an evaluator process; try again later")]
    Overloaded,
    #[error("cannot evaluate expressions in a process of their own: {0}")]
    Unavailable(String),
}

/// What came of one request, and where.
#[derive(Debug)]
pub struct Evaluation {
    pub result: Result<Value, PoolError>,
    /// The process that worked on it, if any did.
    pub pid: Option<u32>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Processes started so far.
    pub spawned: u64,
    /// Processes that ended by an expression: killed at the deadline, or by their limits.
    pub killed: u64,
    /// Processes at work just now.
    pub busy: BTreeSet<u32>,
}

/// Cheap to clone. The processes end with the last clone.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: PoolConfig,
    /// One permit for each process that may run. Fair: who came first is served first.
    slots: Semaphore,
    idle: Mutex<Vec<Process>>,
    busy: Mutex<BTreeSet<u32>>,
    waiting: AtomicUsize,
    spawned: AtomicU64,
    killed: AtomicU64,
}

/// The bytes of an answer, and the process that gave it, if any did.
type Asked = (Result<Vec<u8>, PoolError>, Option<u32>);

#[derive(Serialize)]
struct RequestRef<'r> {
    text: &'r str,
    variables: Vec<(&'r str, Json)>,
    input: Json,
    check: bool,
}

impl Pool {
    /// Starts nothing yet.
    #[must_use]
    pub fn new(config: PoolConfig) -> Self {
        let slots = Semaphore::new(config.children.max(1));
        Self(Arc::new(Inner {
            config,
            slots,
            idle: Mutex::default(),
            busy: Mutex::default(),
            waiting: AtomicUsize::new(0),
            spawned: AtomicU64::new(0),
            killed: AtomicU64::new(0),
        }))
    }

    /// One value, or why not. Dropping the future kills the process that works on it.
    pub async fn evaluate(
        &self,
        text: &str,
        input: &Value,
        variables: &[(Arc<str>, Value)],
    ) -> Result<Value, PoolError> {
        self.evaluate_traced(text, input, variables).await.result
    }

    /// Like [`Pool::evaluate`], and says in which process.
    pub async fn evaluate_traced(
        &self,
        text: &str,
        input: &Value,
        variables: &[(Arc<str>, Value)],
    ) -> Evaluation {
        let (result, pid) = self.answer(text, input, variables).await;
        Evaluation { result: result.and_then(|answer| read(&answer)), pid }
    }

    /// Like [`Pool::evaluate`], for whoever wants the result as its text: a large one is not read.
    pub async fn evaluate_text(
        &self,
        text: &str,
        input: &Value,
        variables: &[(Arc<str>, Value)],
    ) -> Result<Bytes, PoolError> {
        self.answer(text, input, variables).await.0.and_then(read_text)
    }

    async fn answer(&self, text: &str, input: &Value, variables: &[(Arc<str>, Value)]) -> Asked {
        let variables =
            variables.iter().map(|(name, value)| (&**name, Json(value.clone()))).collect();
        let input = Json(input.clone());
        self.ask(&RequestRef { text, variables, input, check: false }).await
    }

    /// Whether a text is an expression, for one that is too large to be parsed in this process.
    pub async fn check(&self, text: &str, variables: &[Arc<str>]) -> Result<(), PoolError> {
        let variables = variables.iter().map(|name| (&**name, Json(Value::Null))).collect();
        let input = Json(Value::Null);
        let (answer, _) = self.ask(&RequestRef { text, variables, input, check: true }).await;
        read(&answer?).map(|_| ())
    }

    #[must_use]
    pub fn stats(&self) -> PoolStats {
        PoolStats {
            spawned: self.0.spawned.load(Ordering::Relaxed),
            killed: self.0.killed.load(Ordering::Relaxed),
            busy: lock(&self.0.busy).clone(),
        }
    }

    async fn ask(&self, request: &RequestRef<'_>) -> Asked {
        let request = match serde_json::to_vec(request) {
            Ok(bytes) if bytes.len() <= REQUEST_BYTES_MAX => bytes,
            Ok(_) | Err(_) => {
                let what = format!(
                    "the expression and what it reads are larger than {} MiB",
                    REQUEST_BYTES_MAX >> 20
                );
                return (Err(PoolError::Failed(what)), None);
            }
        };
        let Some(_waiting) = Waiting::enter(&self.0) else {
            return (Err(PoolError::Overloaded), None);
        };
        let _slot = self.0.slots.acquire().await.expect("the semaphore is never closed");
        self.serve(&request).await
    }

    async fn serve(&self, request: &[u8]) -> Asked {
        // A process may have been killed by somebody else, idle or at work. Once is chance; the
        // second is new.
        let mut again = false;
        loop {
            let mut evaluator = match self.evaluator(again).await {
                Ok(evaluator) => evaluator,
                Err(error) => return (Err(error), None),
            };
            let pid = evaluator.pid;
            let busy = Busy::enter(&self.0, pid);
            let answer =
                timeout(self.0.config.deadline, evaluator.exchange(request, ANSWER_BYTES_MAX))
                    .await;
            drop(busy);
            let result = match answer {
                Ok(Ok(answer)) => {
                    if evaluator.served < self.0.config.recycle_after {
                        lock(&self.0.idle).push(evaluator);
                    } else {
                        evaluator.kill().await;
                    }
                    Ok(answer)
                }
                Ok(Err(Silence::NotSent)) if !again => {
                    again = true;
                    continue;
                }
                Ok(Err(Silence::NotSent | Silence::Died)) => match evaluator.post_mortem().await {
                    End::FromOutside if !again => {
                        again = true;
                        continue;
                    }
                    End::FromOutside => Err(PoolError::Unavailable(
                        "its processes are killed by somebody else".to_owned(),
                    )),
                    end @ (End::Panicked | End::Exceeded) => {
                        self.0.killed.fetch_add(1, Ordering::Relaxed);
                        Err(PoolError::Failed(blame(end).to_owned()))
                    }
                },
                Ok(Err(Silence::TooMuch)) => {
                    self.0.killed.fetch_add(1, Ordering::Relaxed);
                    evaluator.kill().await;
                    Err(PoolError::Failed("the result is too large".to_owned()))
                }
                Err(_) => {
                    self.0.killed.fetch_add(1, Ordering::Relaxed);
                    evaluator.kill().await;
                    let deadline = self.0.config.deadline;
                    Err(PoolError::Failed(format!("the expression ran longer than {deadline:?}")))
                }
            };
            return (result, Some(pid));
        }
    }

    fn idle(&self) -> Option<Process> {
        loop {
            let mut evaluator = lock(&self.0.idle).pop()?;
            if evaluator.is_alive() {
                return Some(evaluator);
            }
        }
    }

    /// An idle process, or a new one.
    async fn evaluator(&self, new: bool) -> Result<Process, PoolError> {
        if !new && let Some(idle) = self.idle() {
            return Ok(idle);
        }
        let unavailable = |what: String| PoolError::Unavailable(what);
        let program = self.0.config.program.display();
        let PoolConfig { args, memory_bytes, stack_bytes, .. } = &self.0.config;
        let mut evaluator =
            Process::spawn(&self.0.config.program, args, *memory_bytes, *stack_bytes)
                .map_err(|error| unavailable(format!("cannot start `{program}`: {error}")))?;
        self.0.spawned.fetch_add(1, Ordering::Relaxed);
        match timeout(START_MAX, evaluator.ready()).await {
            Ok(Ok(())) => Ok(evaluator),
            Ok(Err(error)) => Err(unavailable(format!("`{program}` did not start: {error}"))),
            Err(_) => Err(unavailable(format!("`{program}` was not ready after {START_MAX:?}"))),
        }
    }
}

fn blame(end: End) -> &'static str {
    match end {
        End::Panicked => "the expression asked for more than an evaluator can hold",
        End::FromOutside | End::Exceeded => {
            "the expression needed more memory or stack than an expression may use"
        }
    }
}

fn read(answer: &[u8]) -> Result<Value, PoolError> {
    told(serde_json::from_slice(answer)).map(|Json(value)| value)
}

fn read_text(answer: Vec<u8>) -> Result<Bytes, PoolError> {
    let answer = Bytes::from(answer);
    let text: &RawValue = told(serde_json::from_slice(&answer))?;
    Ok(answer.slice_ref(text.get().as_bytes()))
}

fn told<T>(answer: Result<Answer<T>, serde_json::Error>) -> Result<T, PoolError> {
    match answer {
        Ok(Answer::Value(value)) => Ok(value),
        Ok(Answer::Failed(what)) => Err(PoolError::Failed(what)),
        Ok(Answer::Syntax { what, offset }) => Err(PoolError::Syntax(SyntaxError { what, offset })),
        // Only a child that an expression took over could say this.
        Err(_) => Err(PoolError::Failed("the evaluator's answer is not one".to_owned())),
    }
}

/// A panic while one of these is held leaves the list as it was.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place in the queue, from asking to the answer.
struct Waiting<'p>(&'p Inner);

impl<'p> Waiting<'p> {
    fn enter(inner: &'p Inner) -> Option<Self> {
        let limit = inner.config.queue_max + inner.config.children;
        if inner.waiting.fetch_add(1, Ordering::Relaxed) >= limit {
            inner.waiting.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self(inner))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A process at work, also when the future is dropped meanwhile.
struct Busy<'p>(&'p Inner, u32);

impl<'p> Busy<'p> {
    fn enter(inner: &'p Inner, pid: u32) -> Self {
        lock(&inner.busy).insert(pid);
        Self(inner, pid)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        lock(&self.0.busy).remove(&self.1);
    }
}
