//! One case on one workflow: the real driver on a store in memory, effects by stubs, time skipped.
//!
//! Time is tokio's own with its clock paused: it stands still while anything is left to do, and
//! jumps to the next timer when nothing is. An expression that needs a process of its own is waited
//! for in real time meanwhile.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;

use base::value::{from_serde, object, string, to_serde};
use base::{Clock, Duration, ErrorType, Fault, IncarnationId, Random, RunId, Timestamp};
use engine::driver::{Driver, Parts, Start, Summary};
use engine::effect::{Evaluate, Evaluator};
use engine::lifecycle::Lifecycle;
use engine::record::{By, NoteKind};
use engine::secret::{NoSecrets, Secrets};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use gateway::{EgressMap, Gate, Limits};
use serde_json::Value;
use site::Evaluators;
use store::memory::MemoryStore;
use store::{Op, Preconditions, RevisionRow, RunRow, RunState, Store};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use worker::Worker;

use super::file::Case;
use super::stub::{Asked, Call, Stubs};
use super::subject::Subject;
use crate::failure::{Failure, Outcome};
use crate::runtime;

/// Skipped time after which a run that has not ended never will. A year, and a leap day.
const SKIPPED_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

const NEVER_DONE: &str =
    "not done after a year of skipped time: something is waited for that never comes";

/// Real time for one case. What takes longer goes round and round.
const REAL_MAX: std::time::Duration = std::time::Duration::from_secs(20);

/// Skipped time between two looks at a run that goes on: short at first, long for one that sleeps.
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK_LAST: Duration = Duration::from_secs(3600);

/// Tasks of one run whose order is kept.
const STARTED_KEPT_MAX: usize = 100_000;

/// The seed of every run's random choices, so that a case gives the same each time.
const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// What became of a case on one workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Played {
    pub state: String,
    pub output: Option<Value>,
    pub error: Option<Fault>,
    /// Names of tasks in the order in which they began.
    pub started: Vec<String>,
    pub calls: Vec<Call>,
    pub calls_omitted: usize,
    /// How often each stub of the case was asked.
    pub asked: Vec<usize>,
    pub took: Duration,
    /// Why the case says nothing about the workflow.
    pub problem: Option<String>,
}

/// Plays cases. Keeps what takes time to start.
pub struct Player {
    evaluators: Evaluators,
    /// Where time is real.
    real: Runtime,
}

impl Player {
    pub fn new() -> Outcome<Self> {
        let program: PathBuf = std::env::current_exe().map_err(|cause| {
            Failure::internal(format!("cannot find this program's own file: {cause}"))
        })?;
        Ok(Self { evaluators: Evaluators::usual(program), real: runtime::site()? })
    }

    pub fn play(&self, subject: &Arc<Subject>, case: &Case) -> Outcome<Played> {
        let skipping = Builder::new_current_thread().enable_time().start_paused(true).build();
        let skipping = skipping
            .map_err(|cause| Failure::internal(format!("cannot start the runtime: {cause}")))?;
        let aside = Aside { evaluators: self.evaluators.clone(), real: self.real.handle().clone() };
        skipping.block_on(stage(subject, case, aside))
    }
}

async fn stage(subject: &Arc<Subject>, case: &Case, aside: Aside) -> Outcome<Played> {
    let clock: Arc<dyn Clock> =
        Arc::new(Skipped { start: case.at, from: tokio::time::Instant::now() });
    let random: Arc<dyn Random> = Arc::new(Fixed(AtomicU64::new(SEED)));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(IncarnationId::new(case.at, &*random)));
    let catalog = worker::Catalog::shipped();
    let closed = Arc::new(Gate::new(EgressMap::default(), Limits::default()));
    let secrets: Arc<dyn Secrets> = Arc::new(NoSecrets);
    let ports = worker::Ports {
        secrets: Arc::clone(&secrets),
        evaluator: Arc::new(aside.clone()),
        clock: Arc::clone(&clock),
        random: Arc::clone(&random),
        logs: Arc::new(worker::NoLogs),
    };
    // Nothing is started in a test: processes are answered by stubs.
    let scripts = worker::Scripts::new(
        PathBuf::from("/"),
        worker::process::Confinement::Required,
        worker::process::Interpreters::default(),
        worker::process::ProcessLimits::default(),
    );
    let worker = Worker::new(closed, catalog.clone(), worker::Config::default(), ports, scripts);
    let stubs = Stubs::new(Arc::clone(subject), case.stubs.clone(), worker, Arc::clone(&clock));
    let driver = Driver::open(Parts {
        store: Arc::clone(&store),
        performer: Arc::new(stubs.clone()),
        evaluator: Arc::new(aside),
        catalog: Arc::new(catalog),
        secrets,
        clock: Arc::clone(&clock),
        random: Arc::clone(&random),
        runtime: object([
            ("name", string("isonomy")),
            ("version", string(env!("CARGO_PKG_VERSION"))),
            ("metadata", object([("site", string("test"))])),
        ]),
        lifecycle: Lifecycle::default(),
    });
    let driver = driver.await.map_err(broken)?;
    let run = RunId::new(clock.now(), &*random);
    begin(&*store, &driver, subject, case, run).await?;
    let problem = tokio::select! {
        biased;
        () = stubs.stopped() => None,
        problem = ended(&*store, &*clock, run) => problem?,
        () = too_long() => Some(format!(
            "not done after {} s of real time: it goes round and round",
            REAL_MAX.as_secs()
        )),
    };
    gather(&*store, &driver, run, stubs.asked(), problem, clock.now()).await
}

async fn begin(
    store: &dyn Store,
    driver: &Driver,
    subject: &Subject,
    case: &Case,
    run: RunId,
) -> Outcome<()> {
    let row = RevisionRow {
        key: subject.key.clone(),
        revision: subject.revision,
        version: subject.version.clone(),
        created_at: case.at,
        text: subject.text.clone().into(),
        resolved: subject.resolved.encode().into(),
    };
    store.commit(vec![Op::RevisionPut(row)], Preconditions::none()).await.map_err(broken)?;
    let actor = "test".to_owned();
    let start = Start {
        run,
        key: subject.key.clone(),
        revision: subject.revision,
        version: subject.version.clone(),
        input: from_serde(&case.input),
        by: By { actor: actor.clone(), reason: None },
        owner: actor,
        labels: Vec::new(),
        tags: Vec::new(),
        priority: 0,
        traceparent: String::new(),
    };
    // Whoever waits for a run keeps it in memory; a sleeping one would be looked at every second.
    drop(driver.start(start).await.map_err(broken)?);
    Ok(())
}

/// Comes when the run has ended, or says why it will not.
async fn ended(store: &dyn Store, clock: &dyn Clock, run: RunId) -> Outcome<Option<String>> {
    let began = clock.now();
    let mut look = LOOK_FIRST;
    loop {
        let row = row(store, run).await?;
        if row.state.has_ended() || row.state == RunState::Suspended {
            return Ok(None);
        }
        if clock.now().since(began) >= SKIPPED_MAX {
            return Ok(Some(NEVER_DONE.to_owned()));
        }
        tokio::time::sleep(look.as_std()).await;
        look = look.saturating_mul(2).min(LOOK_LAST);
    }
}

/// Comes when the real time of a case is over, whatever the skipped time is.
async fn too_long() {
    let (over, is_over) = oneshot::channel();
    // Dropped with this future, so that the thread ends with the case.
    let (_case, case_ended) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        if case_ended.recv_timeout(REAL_MAX) == Err(RecvTimeoutError::Timeout) {
            let _ = over.send(());
        }
    });
    if is_over.await.is_err() {
        // The thread went without a word: nobody is told that time is over.
        std::future::pending::<()>().await;
    }
}

async fn row(store: &dyn Store, run: RunId) -> Outcome<RunRow> {
    let row = store.run_get(run).await.map_err(broken)?;
    row.ok_or_else(|| Failure::internal("a run that was started is not there"))
}

async fn gather(
    store: &dyn Store,
    driver: &Driver,
    run: RunId,
    asked: Asked,
    problem: Option<String>,
    now: Timestamp,
) -> Outcome<Played> {
    let row = row(store, run).await?;
    let mut started = Vec::new();
    let mut walk = driver.walk(&row).await.map_err(broken)?;
    while started.len() < STARTED_KEPT_MAX
        && let Some(walked) = walk.next().await.map_err(broken)?
    {
        for note in walked.step.notes {
            if matches!(note.what, NoteKind::Started { .. }) && !note.task.is_empty() {
                started.push(note.task.to_string());
            }
        }
    }
    let mut problem = problem.or(asked.problem);
    // The last thing that was asked is mostly what was not answered.
    if let (Some(problem), Some(last)) = (&mut problem, asked.calls.last())
        && problem == NEVER_DONE
    {
        problem.push_str(&format!("\nthe last call: task `{}`, `{}`", last.task, last.call));
    }
    let ended = match row.state {
        RunState::Suspended => {
            let why = Summary::decode(&row.summary).ok().and_then(|summary| summary.suspended);
            problem.get_or_insert(format!("the run is suspended: {}", why.unwrap_or_default()));
            None
        }
        state if state.has_ended() => Some(driver.ended(run).await.map_err(broken)?),
        _ => None,
    };
    Ok(Played {
        state: row.state.to_string(),
        output: ended.as_ref().and_then(|ended| ended.output.as_ref()).map(to_serde),
        error: ended.and_then(|ended| ended.fault),
        started,
        calls: asked.calls,
        calls_omitted: asked.calls_omitted,
        asked: asked.asked,
        took: row.ended_at.unwrap_or(now).since(row.created_at),
        problem,
    })
}

fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::internal(format!("the test cannot be run: {error}"))
}

/// The time of a runtime whose clock is paused.
struct Skipped {
    start: Timestamp,
    from: tokio::time::Instant,
}

impl Clock for Skipped {
    fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.from.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.start.plus(Duration::from_millis(passed))
    }
}

/// Numbers that look random and are the same each time (SplitMix64).
struct Fixed(AtomicU64);

impl Random for Fixed {
    fn u64(&self) -> u64 {
        let state = self.0.fetch_add(SEED, Ordering::Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// Evaluates in real time. While a blocking task is at work, skipped time stands still.
#[derive(Clone)]
struct Aside {
    evaluators: Evaluators,
    real: Handle,
}

impl Evaluator for Aside {
    fn evaluate(&self, expression: Evaluate) -> BoxFuture<'static, Result<base::Value, Fault>> {
        let (evaluators, real) = (self.evaluators.clone(), self.real.clone());
        async move {
            let work = move || {
                let work = real.spawn(evaluators.evaluate(expression));
                real.block_on(work)
            };
            match tokio::task::spawn_blocking(work).await {
                Ok(Ok(result)) => result,
                Ok(Err(cause)) | Err(cause) => {
                    Err(Fault::new(ErrorType::Runtime, format!("not evaluated: {cause}")))
                }
            }
        }
        .boxed()
    }
}
