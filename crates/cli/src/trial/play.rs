//! One case on one workflow: the real driver on a store in memory, effects by stubs, time skipped.
//!
//! Time is tokio's own with its clock paused: it stands still while anything is left to do, and
//! jumps to the next timer when nothing is. An expression that needs a process of its own is waited
//! for in real time meanwhile. When events are sent is in `tell`, what became of it all in `gather`.

use std::path::PathBuf;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError};

use base::value::{from_serde, object, string};
use base::{By, Clock, Duration, IncarnationId, Random, RunId};
use engine::driver::dispatch::Settings;
use engine::driver::{Driver, Parts, Start};
use engine::lifecycle::Lifecycle;
use engine::secret::{NoSecrets, Secrets};
use gateway::{EgressMap, Gate};
use site::{Evaluators, Heard, Sets, Taken};
use spec::tree::schedule::On;
use store::memory::MemoryStore;
use store::{EventQuery, Op, Preconditions, RevisionRow, RunRow, RunState, Store};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use worker::Worker;

use super::aside::{Aside, Fixed, Skipped};
use super::file::Case;
use super::gather::Played;
use super::rest::Rest;
use super::stub::Stubs;
use super::subject::Subject;
use super::tell::Told;
use crate::failure::{Failure, Outcome};
use crate::runtime;

/// Skipped time after which a run that has not ended never will. A year, and a leap day.
const SKIPPED_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

pub(super) const NEVER_DONE: &str =
    "not done after a year of skipped time: something is waited for that never comes";

/// Real time for one case. What takes longer goes round and round.
const REAL_MAX: std::time::Duration = std::time::Duration::from_secs(20);

/// Skipped time between two looks at a run that goes on: short at first, long for one that sleeps.
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK_LAST: Duration = Duration::from_secs(3600);

/// Runs that the events of one case may begin. More begin each other.
const RUNS_MAX: usize = 1_000;

/// Events that are read at once.
const EVENTS_PAGE: u32 = 100;

/// What a case that goes round and round may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    real: std::time::Duration,
    /// Records of a case without an end that are looked at; the rest says the same again.
    pub(super) records: usize,
}

const USUAL: Limits = Limits { real: REAL_MAX, records: 10_000 };

/// Plays cases. Keeps what takes time to start.
pub struct Player {
    evaluators: Evaluators,
    limits: Limits,
    /// Where time is real.
    real: Runtime,
}

impl Player {
    pub fn new() -> Outcome<Self> {
        let program: PathBuf = std::env::current_exe().map_err(|cause| {
            Failure::internal(format!("cannot find this program's own file: {cause}"))
        })?;
        let evaluators = Evaluators::usual(program);
        Ok(Self { evaluators, limits: USUAL, real: runtime::threads()? })
    }

    pub fn play(&self, subject: &Arc<Subject>, case: &Case) -> Outcome<Played> {
        let rest = Rest::default();
        let parking = rest.clone();
        let mut skipping = Builder::new_current_thread();
        skipping.enable_time().start_paused(true).on_thread_park(move || parking.parking());
        let skipping = skipping
            .build()
            .map_err(|cause| Failure::internal(format!("cannot start the runtime: {cause}")))?;
        let (evaluators, real) = (self.evaluators.clone(), self.real.handle().clone());
        let aside = Aside { evaluators, real, rest };
        skipping.block_on(stage(subject, case, aside, self.limits))
    }
}

/// One case in progress.
pub struct Stage<'a> {
    pub(super) subject: &'a Arc<Subject>,
    pub(super) case: &'a Case,
    pub(super) store: Arc<dyn Store>,
    pub(super) driver: Driver,
    pub(super) clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    pub(super) aside: Aside,
    pub(super) stubs: Stubs,
    pub(super) told: Told,
    /// In the order in which they began.
    runs: Mutex<Vec<RunId>>,
}

async fn stage(
    subject: &Arc<Subject>,
    case: &Case,
    aside: Aside,
    limits: Limits,
) -> Outcome<Played> {
    let stage = open(subject, case, aside).await?;
    stage.put_revision().await?;
    let problem = tokio::select! {
        biased;
        () = stage.stubs.stopped() => None,
        problem = stage.act() => problem?,
        () = too_long(limits.real) => Some(format!(
            "not done after {} s of real time: it goes round and round",
            limits.real.as_secs()
        )),
    };
    stage.gather(problem, limits).await
}

async fn open<'a>(subject: &'a Arc<Subject>, case: &'a Case, aside: Aside) -> Outcome<Stage<'a>> {
    let clock: Arc<dyn Clock> =
        Arc::new(Skipped { start: case.at, from: tokio::time::Instant::now() });
    let random: Arc<dyn Random> = Arc::new(Fixed::default());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(IncarnationId::new(case.at, &*random)));
    let catalog = worker::Catalog::shipped();
    let closed = Arc::new(Gate::new(EgressMap::default(), gateway::Limits::default()));
    let secrets: Arc<dyn Secrets> = Arc::new(NoSecrets);
    let ports = worker::Ports {
        secrets: Arc::clone(&secrets),
        evaluator: Arc::new(aside.clone()),
        clock: Arc::clone(&clock),
        random: Arc::clone(&random),
        logs: Arc::new(worker::NoLogs),
        sites: None,
        models: None,
    };
    // Nothing is started in a test: processes are answered by stubs.
    let scripts = worker::Scripts::new(
        PathBuf::from("/"),
        worker::process::Confinement::Required,
        worker::process::Interpreters::default(),
        worker::process::ProcessLimits::default(),
    );
    let worker = Worker::new(closed, catalog.clone(), worker::Config::default(), ports, scripts);
    let (stubs, rest) = (case.stubs.clone(), aside.rest.clone());
    let stubs = Stubs::new(Arc::clone(subject), stubs, worker, Arc::clone(&clock), rest);
    let driver = Driver::open(Parts {
        dispatch: Settings { pools: None, ..Settings::default() },
        store: Arc::clone(&store),
        performer: Arc::new(stubs.clone()),
        evaluator: Arc::new(aside.clone()),
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
    let (told, runs) = (Told::default(), Mutex::default());
    Ok(Stage { subject, case, store, driver, clock, random, aside, stubs, told, runs })
}

impl Stage<'_> {
    async fn put_revision(&self) -> Outcome<()> {
        let row = RevisionRow {
            key: self.subject.key.clone(),
            revision: self.subject.revision,
            version: self.subject.version.clone(),
            created_at: self.case.at,
            text: self.subject.text.clone().into(),
            resolved: self.subject.resolved.encode().into(),
        };
        let put = self.store.commit(vec![Op::RevisionPut(row)], Preconditions::none());
        put.await.map(drop).map_err(broken)
    }

    /// Comes when everything has ended, or says why it will not.
    async fn act(&self) -> Outcome<Option<String>> {
        match self.subject.begins_by(self.case) {
            None => {
                let empty = || object([]);
                let run = self.start(self.case.input.as_ref().map_or_else(empty, from_serde));
                let run = run.await?;
                tokio::select! {
                    biased;
                    Err(failure) = self.send_all() => Err(failure),
                    problem = self.ended(run) => problem,
                }
            }
            Some(on) => tokio::select! {
                biased;
                problem = self.begin_runs(on) => problem.map(Some),
                problem = self.all_ended() => problem,
            },
        }
    }

    pub(super) fn runs(&self) -> Vec<RunId> {
        // No change can panic half way.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn start(&self, input: base::Value) -> Outcome<RunId> {
        let run = RunId::new(self.clock.now(), &*self.random);
        // Before it begins: its first call may end the case.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).push(run);
        let actor = "test".to_owned();
        let start = Start {
            run,
            key: self.subject.key.clone(),
            revision: self.subject.revision,
            version: self.subject.version.clone(),
            input,
            by: By { actor: actor.clone(), reason: None },
            owner: actor,
            labels: Vec::new(),
            tags: Vec::new(),
            priority: 0,
            traceparent: String::new(),
        };
        // Whoever waits for a run keeps it in memory; a sleeping one would be looked at every second.
        drop(self.driver.start(start).await.map_err(broken)?);
        Ok(run)
    }

    /// Begins a run for each set of events, as a site does. Ends only with a problem.
    async fn begin_runs(&self, on: &On) -> Outcome<String> {
        let key = &self.subject.key;
        let mut sets = Sets::new(key.clone(), on);
        let mut raised = self.driver.events();
        let mut after = 0;
        loop {
            raised.borrow_and_update();
            let query = EventQuery { after, ..EventQuery::of(key.namespace.clone(), EVENTS_PAGE) };
            for row in self.store.event_list(query).await.map_err(broken)? {
                after = row.position;
                let heard = Heard::of_row(&row).ok_or_else(|| broken("an event is unreadable"))?;
                let incoming = &heard.incoming;
                // All runs are of this workflow, and none begins by the life of its own.
                let is_own_life = incoming.run.is_some() && incoming.is_lifecycle();
                if is_own_life || !sets.interest().covers(&incoming.kind) {
                    continue;
                }
                let input = match sets.take(&heard, &self.aside).await {
                    Err(fault) => return Ok(format!("cannot say whether a run begins: {fault}")),
                    Ok(Taken::No) => continue,
                    Ok(Taken::Kept) => None,
                    Ok(Taken::Whole(whole)) => whole.input,
                };
                self.told.take(&incoming.event);
                if let Some(input) = input {
                    if self.runs().len() == RUNS_MAX {
                        return Ok(format!("the events have begun {RUNS_MAX} runs, and go on"));
                    }
                    self.start(input).await?;
                }
            }
            if self.store.event_last() == after {
                raised.changed().await.map_err(broken)?;
            }
        }
    }

    /// Comes when all events are sent and every run that they have begun has ended.
    async fn all_ended(&self) -> Outcome<Option<String>> {
        tokio::select! {
            biased;
            sent = self.send_all() => sent?,
            () = tokio::time::sleep(SKIPPED_MAX.as_std()) => {
                return Ok(Some(NEVER_DONE.to_owned()));
            }
        }
        self.aside.rest.settled().await;
        let mut ended = 0;
        while let Some(run) = self.runs().get(ended).copied() {
            if let Some(problem) = self.ended(run).await? {
                return Ok(Some(problem));
            }
            ended += 1;
            // Its last events may begin others.
            self.aside.rest.settled().await;
        }
        Ok(None)
    }

    /// Comes when the run has ended, or says why it will not.
    async fn ended(&self, run: RunId) -> Outcome<Option<String>> {
        let began = self.clock.now();
        let mut look = LOOK_FIRST;
        loop {
            let row = self.row(run).await?;
            let is_over = |row: RunRow| row.state.has_ended() || row.state == RunState::Suspended;
            if row.is_some_and(is_over) {
                return Ok(None);
            }
            if self.clock.now().since(began) >= SKIPPED_MAX {
                return Ok(Some(NEVER_DONE.to_owned()));
            }
            tokio::time::sleep(look.as_std()).await;
            look = look.saturating_mul(2).min(LOOK_LAST);
        }
    }

    /// `None` for a run that is about to begin.
    pub(super) async fn row(&self, run: RunId) -> Outcome<Option<RunRow>> {
        self.store.run_get(run).await.map_err(broken)
    }
}

/// Comes when the real time of a case is over, whatever the skipped time is.
async fn too_long(real: std::time::Duration) {
    let (over, is_over) = oneshot::channel();
    // Dropped with this future, so that the thread ends with the case.
    let (_case, case_ended) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        if case_ended.recv_timeout(real) == Err(RecvTimeoutError::Timeout) {
            let _ = over.send(());
        }
    });
    if is_over.await.is_err() {
        // The thread went without a word: nobody is told that time is over.
        std::future::pending::<()>().await;
    }
}

pub(super) fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::internal(format!("the test cannot be run: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::file;

    /// Mutation: walk through all that an endless run has recorded, which takes as long again.
    #[test]
    fn what_goes_round_and_round_is_looked_at_in_part() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let head = "document: {dsl: 1.0.3, namespace: default, name: round, version: 1.0.0}";
        let tasks = "do: [{a: {set: {x: 1}}}, {b: {set: {x: 2}, then: a}}]";
        let workflow = write("round.yaml", &format!("{head}\n{tasks}\n"));
        let tests = file::read(&write("round.test.yaml", "cases: [{name: a}]\n"));
        let case = &tests.expect("a test file").cases[0];
        let subject = Arc::new(Subject::read(&workflow, &case.resources).expect("a workflow"));
        let limits = Limits { real: std::time::Duration::from_millis(200), records: 1 };
        let player = Player { limits, ..Player::new().expect("a player") };
        let played = player.play(&subject, case).expect("played");
        let problem = played.problem.expect("it has no end");
        assert!(problem.contains("it goes round and round"), "{problem}");
        let whole = Player { limits: Limits { records: 1_000, ..limits }, ..player };
        let more = whole.play(&subject, case).expect("played").started.len();
        assert!(played.started.len() < more, "{} of {more}", played.started.len());
    }
}
