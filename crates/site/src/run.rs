//! Runs: starting, finding, stopping, going on. What a run does is in `engine`.

use std::sync::Arc;

use base::name::{Namespace, WorkflowName};
use base::value::Json;
use base::{Clock, Digest, Duration, Random, RunId};
use engine::driver::{CommandError, Driver, Start, Told};
use engine::machine::Misfit;
use server::Caller;
use store::{RunQuery, RunRow, RunState, Store};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wire::{Page, ProblemCode, RunResult, RunView};

use crate::log::Writers;
use crate::refusal::{Refusal, finished};
use crate::start::{Beside, RunOrder, traceparent};
use crate::view::run_view;
use crate::workflow::{Head, Workflows};

/// Journals walked at once for a detailed view. Each keeps a processor busy.
const WALKS_MAX: usize = 4;

/// Followers at once, well below the number of connections, so that they cannot take all.
pub(crate) const FOLLOWERS_MAX: usize = 128;

/// Starts that wait for the store at once. Beyond that the store is slower than those who ask, and
/// some connections are kept for those who want to know.
pub(crate) const STARTS_MAX: usize = 256;

#[derive(Clone)]
pub(crate) struct Runs(Arc<Inner>);

pub(crate) struct Inner {
    pub driver: Driver,
    pub store: Arc<dyn Store>,
    pub workflows: Workflows,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    /// The site has begun to stop: nobody waits any longer.
    pub closing: CancellationToken,
    pub starts: Semaphore,
    pub walks: Semaphore,
    pub followers: Arc<Semaphore>,
    pub writers: Writers,
}

/// A run that was asked for, and whether it was there already.
pub(crate) struct Begun {
    pub run: RunId,
    pub is_new: bool,
    /// Of one that is new: its end, when it comes.
    told: Option<Told>,
}

impl std::ops::Deref for Runs {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Runs {
    pub(crate) fn new(
        driver: Driver,
        store: Arc<dyn Store>,
        workflows: Workflows,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        closing: CancellationToken,
        writers: Writers,
    ) -> Self {
        let (walks, followers) =
            (Semaphore::new(WALKS_MAX), Arc::new(Semaphore::new(FOLLOWERS_MAX)));
        Self(Arc::new(Inner {
            driver,
            store,
            workflows,
            clock,
            random,
            closing,
            starts: Semaphore::new(STARTS_MAX),
            walks,
            followers,
            writers,
        }))
    }

    /// Starts a run, or finds the one that an equal order has started before.
    pub(crate) async fn start(&self, caller: &Caller, order: RunOrder) -> Result<Begun, Refusal> {
        let Ok(_turn) = self.starts.try_acquire() else {
            let detail = format!(
                "{STARTS_MAX} runs are being written down, and the store takes its time; ask again"
            );
            return Err(Refusal::new(ProblemCode::Overloaded, detail));
        };
        let named = order.run.map(|run| (run, order.key.clone(), order.revision));
        let refusal = match self.start_new(caller, order).await {
            Ok(begun) => return Ok(begun),
            Err(refusal) => refusal,
        };
        // Its first start may have been by a revision, or a workflow, that is gone by now.
        let may_exist = matches!(
            refusal.code(),
            ProblemCode::RunExists | ProblemCode::WorkflowMissing | ProblemCode::RevisionMissing
        );
        let Some((run, key, revision)) = named.filter(|_| may_exist) else { return Err(refusal) };
        let Some(row) = self.store.run_get(run).await? else {
            return Err(match refusal.code() {
                ProblemCode::RunExists => being_started(run),
                _ => refusal,
            });
        };
        if row.key != key || revision.is_some_and(|revision| revision != row.revision) {
            let detail = format!(
                "run {run} exists and is one of another workflow, namespace or revision; choose a new id"
            );
            return Err(Refusal::new(ProblemCode::RunExists, detail));
        }
        Ok(Begun { run, is_new: false, told: None })
    }

    async fn start_new(&self, caller: &Caller, order: RunOrder) -> Result<Begun, Refusal> {
        let head = self.workflows.head(&order.key).await?;
        let head = match order.revision {
            Some(revision) if revision != head.revision => self.older(&order, revision).await?,
            _ => head,
        };
        let random = &*self.random;
        let run = order.run.unwrap_or_else(|| RunId::new(self.clock.now(), random));
        let by = caller.because(order.reason)?;
        let start = Start {
            run,
            key: order.key,
            revision: head.revision,
            version: head.version,
            input: order.input,
            owner: by.actor.clone(),
            by,
            labels: order.labels,
            tags: order.tags,
            priority: order.priority,
            traceparent: order.traceparent.unwrap_or_else(|| traceparent(random)),
        };
        let (driver, beside) = (self.driver.clone(), order.beside);
        let told = finished(async move {
            let told = match beside {
                Beside::End => driver.start(start).await.map(Some),
                Beside::Nothing => driver.start_alone(start).await.map(|()| None),
                Beside::Ops(ops) => driver.start_beside(start, ops).await.map(|()| None),
            };
            told.map_err(Refusal::from)
        });
        Ok(Begun { run, is_new: true, told: told.await? })
    }

    async fn older(&self, order: &RunOrder, revision: Digest) -> Result<Head, Refusal> {
        let row = self.workflows.revision(&order.key, revision).await?;
        Ok(Head { revision, version: row.version })
    }

    /// The run as it is when it has ended, or when `wait` is over.
    pub(crate) async fn result(
        &self,
        namespace: &Namespace,
        begun: Begun,
        wait: Duration,
    ) -> Result<RunResult<Json>, Refusal> {
        let Begun { run, told, .. } = begun;
        let end = async {
            match told {
                Some(told) => told.with_row().await.map(|end| (end.row, end.ended)),
                None => {
                    let ended = self.driver.ended(run).await.ok()?;
                    Some((self.row(namespace, run).await.ok()?, ended))
                }
            }
        };
        let end = if wait == Duration::ZERO {
            None
        } else {
            tokio::select! {
                end = end => end,
                () = tokio::time::sleep(wait.as_std()) => None,
                () = self.closing.cancelled() => None,
            }
        };
        let (row, output) = match end {
            Some((row, ended)) if row.state.has_ended() => (row, ended.output),
            // It may have ended since, or long ago, or was taken up again.
            _ => {
                let row = self.row(namespace, run).await?;
                let has_ended = row.state.has_ended();
                let output = if has_ended { self.driver.ended(run).await?.output } else { None };
                (row, output)
            }
        };
        Ok(RunResult { view: run_view(&row), output: output.map(Json) })
    }

    /// A run of this namespace. One of another namespace is as good as missing.
    pub(crate) async fn row(&self, namespace: &Namespace, run: RunId) -> Result<RunRow, Refusal> {
        let row = self.store.run_get(run).await?;
        row.filter(|row| row.key.namespace == *namespace).ok_or_else(|| {
            let detail =
                format!("namespace `{namespace}` has no run {run}; look with `isonomy runs list`");
            Refusal::new(ProblemCode::RunMissing, detail)
        })
    }

    pub(crate) async fn list(&self, query: RunQuery) -> Result<Page<RunView>, Refusal> {
        let limit = query.limit as usize;
        let rows = self.store.run_list(RunQuery { limit: query.limit + 1, ..query }).await?;
        let shown = &rows[..rows.len().min(limit)];
        let last = shown.last().filter(|_| rows.len() > limit);
        Ok(Page {
            next: last.map(|row| row.run.to_string()),
            items: shown.iter().map(run_view).collect(),
        })
    }

    pub(crate) async fn cancel(
        &self,
        caller: &Caller,
        namespace: &Namespace,
        run: RunId,
        reason: Option<String>,
    ) -> Result<RunView, Refusal> {
        let by = caller.because(reason)?;
        self.row(namespace, run).await?;
        self.driver.cancel(run, by).await?;
        Ok(run_view(&self.row(namespace, run).await?))
    }

    pub(crate) async fn retry(
        &self,
        caller: &Caller,
        namespace: &Namespace,
        run: RunId,
        reason: Option<String>,
    ) -> Result<RunView, Refusal> {
        let by = caller.because(reason)?;
        let row = self.row(namespace, run).await?;
        // A run in progress would be asked through its actor only to hear the same.
        if !row.state.has_ended() && row.state != RunState::Suspended {
            let detail = format!("run {run} is {}; only a faulted run can be retried", row.state);
            return Err(Refusal::new(ProblemCode::RunNotFaulted, detail));
        }
        match self.driver.retry(run, by).await {
            Err(CommandError::Misfit(Misfit::NotFaulted(RunState::Suspended))) => {
                let detail =
                    format!("run {run} is suspended; `isonomy runs resume {run}` has it go on");
                return Err(Refusal::new(ProblemCode::RunNotFaulted, detail));
            }
            Err(CommandError::Misfit(Misfit::NotFaulted(now))) if goes_on(&row, now) => {}
            result => result?,
        }
        Ok(run_view(&self.row(namespace, run).await?))
    }

    /// Has a run stand still. One that does already is left as it is.
    pub(crate) async fn suspend(
        &self,
        caller: &Caller,
        namespace: &Namespace,
        run: RunId,
        reason: Option<String>,
    ) -> Result<RunView, Refusal> {
        let by = caller.because(reason)?;
        self.row(namespace, run).await?;
        match self.driver.suspend(run, by).await {
            Err(CommandError::Misfit(Misfit::Suspended)) => {}
            result => result?,
        }
        Ok(run_view(&self.row(namespace, run).await?))
    }

    pub(crate) async fn resume(
        &self,
        caller: &Caller,
        namespace: &Namespace,
        run: RunId,
        reason: Option<String>,
    ) -> Result<RunView, Refusal> {
        let by = caller.because(reason)?;
        let row = self.row(namespace, run).await?;
        match self.driver.resume(run, by).await {
            Err(CommandError::Misfit(Misfit::NotSuspended(now))) if goes_on(&row, now) => {}
            result => result?,
        }
        Ok(run_view(&self.row(namespace, run).await?))
    }
}

/// A run that could not be followed stood still, and was taken up after all by a binary that can.
fn goes_on(row: &RunRow, now: RunState) -> bool {
    row.state == RunState::Suspended && now != RunState::Suspended
}

/// What a list of runs is narrowed by; the rest of a query is paging.
pub(crate) fn query(namespace: Namespace, workflow: Option<WorkflowName>, limit: u32) -> RunQuery {
    RunQuery { namespace: Some(namespace), workflow, limit, ..RunQuery::default() }
}

fn being_started(run: RunId) -> Refusal {
    let detail = format!("another request is starting run {run} at this moment; ask again");
    Refusal::new(ProblemCode::RunBusy, detail)
}
