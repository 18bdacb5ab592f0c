//! Wiring: the rooms below, put together into one site.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use base::value::{array, object, string};
use base::{By, Clock, IncarnationId, Random, Timestamp};
use bytes::Bytes;
use engine::driver::Driver;
use engine::pace::Pacer;
use engine::record::SEMANTICS;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use gateway::{Gate, Left};
use secrets::Vault;
use server::{KeyParts, Keys, KeysError, Listening, Onward, PROGRAM_SINCE, ServeError};
use spec::Keep;
use store::{Preconditions, RunState, Store, StoreError};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::{
    ApiKey, ExchangeDown, Health, ProblemCode, SiteLeft, SiteStatus, StoreCompacted, Version,
};
use worker::{Catalog, Datasets, Worker};

use crate::api::router;
use crate::change;
use crate::config::{Config, Journals, Refused, Scripts};
use crate::evaluate::Evaluators;
use crate::left::Departures;
use crate::log::{LogKeeper, Writers};
use crate::metrics::{Figures, Requests, StoreFigures, render, resident_bytes};
use crate::model::lease::Leases;
use crate::model::{self, BookError, ModelDoor, ModelParts, Models};
use crate::refusal::Refusal;
use crate::resolve::Pooled;
use crate::retention::Tidying;
use crate::run::Runs;
use crate::schedule::Schedules;
use crate::secret::{Keeper, Opened};
use crate::upkeep::Custodian;
use crate::uplink::{Errand, LineError, LineKeeper, Membership, Terms};
use crate::workflow::Workflows;

/// The product, as it names itself.
const NAME: &str = "isonomy";

/// One request that compacts; below the time after which those between two machines lose patience.
const COMPACT_TIME: std::time::Duration = std::time::Duration::from_secs(5);

/// What a site is made of.
pub struct Parts {
    pub store: Arc<dyn Store>,
    /// The same store, where it lies on a disk.
    pub upkeep: Option<Arc<dyn store::Upkeep>>,
    pub config: Config,
    /// This binary itself, as a file: evaluator processes are started from it.
    pub program: PathBuf,
    /// Where the site keeps secrets; nowhere, without one.
    pub secrets: Option<PathBuf>,
    /// Where calls to models are written down before they are in the store; in a site that is nowhere but in
    /// memory, nowhere.
    pub tail: Option<PathBuf>,
    /// Whose site this is; nobody's, where it has joined no hub.
    pub membership: Option<Membership>,
    /// The key of whoever may read the site's folder.
    pub own_key: ApiKey,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    /// What the store counts of itself, for metrics.
    pub store_figures: Option<Arc<dyn Fn() -> StoreFigures + Send + Sync>>,
}

/// A site at work. Cheap to clone.
#[derive(Clone)]
pub struct Site(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub workflows: Workflows,
    pub runs: Runs,
    pub secrets: Keeper,
    pub datasets: Datasets,
    pub custodian: Custodian,
    pub requests: Requests,
    pub keys: Keys,
    pub models: Models,
    /// Of its hub's budgets, where it has one.
    pub leases: Option<Leases>,
    /// What keys are good by.
    time: Arc<Onward>,
    pub closing: CancellationToken,
    schedules: Schedules,
    /// While schedules are kept.
    scheduling: Mutex<Option<JoinHandle<()>>>,
    line: Option<LineKeeper>,
    pub departures: Departures,
    tidying: Tidying,
    keep_calls: Keep,
    journals: Journals,
    refused: Refused,
    driver: Driver,
    worker: Worker,
    store: Arc<dyn Store>,
    pub(crate) gate: Arc<Gate>,
    evaluators: Evaluators,
    clock: Arc<dyn Clock>,
    store_figures: Option<Arc<dyn Fn() -> StoreFigures + Send + Sync>>,
    name: String,
    resumed: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    #[error("cannot take up the runs in the store")]
    Resume(#[source] StoreError),
    #[error("cannot take up the line to the hub")]
    Line(#[from] LineError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error("cannot take up the calls to models")]
    Calls(#[from] BookError),
}

impl Site {
    /// Puts a site together and takes up every run that has not ended.
    pub fn open(parts: Parts) -> BoxFuture<'static, Result<Self, SiteError>> {
        Self::opened(parts).boxed()
    }

    async fn opened(parts: Parts) -> Result<Self, SiteError> {
        let Parts {
            store,
            upkeep,
            config,
            program,
            secrets,
            tail,
            membership,
            own_key,
            clock,
            random,
            store_figures,
        } = parts;
        // A site that has joined is called what its hub calls it.
        let name = membership.as_ref().map(|it| it.site().to_string());
        let name = name.unwrap_or_else(|| config.name.clone());
        let (left, terms) = (Left::default(), config.terms.clone());
        let line = line(membership, &store, &clock, &random, left.clone(), terms).await?;
        let departures = Departures::new(left.clone(), Arc::clone(&store), Arc::clone(&clock));
        let (keys, time) = keys(&store, &clock, &random, &name, own_key).await?;
        let catalog = Arc::new(Catalog::shipped());
        let (journals, refused) = (config.journals, config.refused.clone());
        let tidying = Tidying::new(Arc::clone(&store), &config, Arc::clone(&clock));
        let (files, datasets) = (config.worker(), config.datasets.clone());
        let gate = Arc::new(Gate::new(config.egress, config.gate).counting(left));
        let scripts = scripts(program.clone(), config.scripts);
        let logs = LogKeeper::new(Arc::clone(&store), Arc::clone(&clock));
        let evaluators = Evaluators::new(program.clone(), config.expressions);
        let vault = Vault::new(secrets::Config { folder: secrets, ..config.secrets });
        let opened: Arc<dyn engine::secret::Secrets> = Arc::new(Opened(vault.clone()));
        let keeper = Keeper::new(vault, Arc::clone(&store), Arc::clone(&clock));
        let models = model::open(ModelParts {
            gate: Arc::clone(&gate),
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            secrets: Arc::clone(&opened),
            keys: keys.clone(),
            config: config.models,
            collector: config.telemetry,
            site: name.clone(),
            program,
            datasets: datasets.clone(),
            tail,
        });
        let models = models.await?;
        let leases = leases(&models, line.as_ref()).await?;
        let ports = worker::Ports {
            secrets: Arc::clone(&opened),
            evaluator: Arc::new(evaluators.clone()),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            logs: Arc::new(logs.clone()),
            models: Some(models.desk().clone()),
            sites: line.as_ref().map(|line| Arc::new(line.dispatches().clone()) as _),
        };
        let (gate_too, catalog_too) = (Arc::clone(&gate), Catalog::clone(&catalog));
        let worker = Worker::new(gate_too, catalog_too, files, ports, scripts);
        let counted = store.run_count().await.map_err(SiteError::Resume)?;
        let driver = Driver::open(engine::driver::Parts {
            store: Arc::clone(&store),
            performer: Arc::new(worker.clone()),
            evaluator: Arc::new(evaluators.clone()),
            secrets: opened,
            catalog: Arc::clone(&catalog) as Arc<dyn spec::Catalog + Send + Sync>,
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            runtime: runtime(&name),
            lifecycle: config.lifecycle,
            dispatch: config.dispatch.clone(),
        })
        .await
        .map_err(SiteError::Resume)?;
        model::follow_runs(&models, &driver, store.as_ref()).await?;
        line.iter().for_each(|line| told_of_ends(line, &driver));
        let custodian = Custodian::at_work(
            Arc::clone(&store),
            upkeep,
            Arc::clone(&catalog),
            driver.clone(),
            Arc::clone(&clock),
        );
        let closing = CancellationToken::new();
        let pools = config.dispatch.pools.iter().flat_map(|pools| pools.keys()).cloned().collect();
        let workflows = Workflows::new(
            Arc::clone(&store),
            Pooled { catalog, pools },
            worker.clone(),
            evaluators.clone(),
            Arc::clone(&clock),
        );
        let runs = Runs::new(
            driver.clone(),
            Arc::clone(&store),
            workflows.clone(),
            Arc::clone(&clock),
            random,
            closing.clone(),
            Writers { keeper: logs, worker: worker.clone() },
        );
        let schedules = Schedules::new(
            Arc::clone(&store),
            workflows.clone(),
            runs.clone(),
            evaluators.clone(),
            Arc::clone(&clock),
        );
        Ok(Self(Arc::new(Inner {
            workflows,
            runs,
            secrets: keeper,
            datasets,
            custodian,
            requests: Requests::default(),
            keys,
            models,
            leases,
            time,
            closing,
            schedules,
            scheduling: Mutex::default(),
            line,
            departures,
            tidying,
            keep_calls: config.keep_calls,
            journals,
            refused,
            driver,
            worker,
            store,
            gate,
            evaluators,
            clock,
            store_figures,
            name,
            resumed: counted.iter().filter(|(state, _)| goes_on(*state)).map(|it| it.1).sum(),
        })))
    }

    /// Runs that had not ended when the site was opened, and go on.
    #[must_use]
    pub fn resumed(&self) -> u64 {
        self.0.resumed
    }

    /// Begins runs by schedule from now on. A site of one command does not: who tries a workflow out
    /// does not want it to go on by itself.
    pub fn keep_schedules(&self) -> BoxFuture<'_, ()> {
        let keep = async {
            let mut scheduling = self.0.scheduling.lock().await;
            if scheduling.is_none() {
                let kept = self.0.schedules.clone().run(self.0.closing.clone());
                *scheduling = Some(tokio::spawn(kept));
            }
        };
        keep.boxed()
    }

    /// Holds the line to the hub from now on, where there is one.
    pub fn hold_line(&self) -> BoxFuture<'_, ()> {
        let hold = async {
            let (Some(line), Some(leases)) = (&self.0.line, self.0.leases.clone()) else { return };
            let (workflows, refused) = (self.0.workflows.clone(), self.0.refused.clone());
            let (runs, datasets) = (self.0.runs.clone(), self.0.datasets.clone());
            line.hold(runs, leases, workflows, refused, datasets, self.0.closing.clone()).await;
        };
        hold.boxed()
    }

    fn joined(&self) -> Result<&LineKeeper, Refusal> {
        let what = "this site has joined no hub: `isonomy site join TOKEN` joins one";
        self.0.line.as_ref().ok_or_else(|| Refusal::new(ProblemCode::ExchangeRefused, what))
    }

    pub(crate) async fn exchange_export(&self) -> Result<(Vec<u8>, bool), Refusal> {
        self.joined()?.errand(Errand::Export).await
    }

    pub(crate) async fn exchange_import(&self, file: Bytes) -> Result<ExchangeDown, Refusal> {
        self.joined()?.errand(|answer| Errand::Import(file, answer)).await
    }

    /// Keeps the store small from now on: forgets runs whose time is over, and old records of long ones.
    pub fn keep_tidy(&self) {
        let tidying = self.0.tidying.clone();
        tokio::spawn(tidying.run(self.0.driver.clone(), self.0.closing.clone()));
        let keeping = self.0.models.clone().keep_calls(self.0.keep_calls, self.0.closing.clone());
        tokio::spawn(keeping);
        tokio::spawn(self.0.departures.clone().keep(self.0.closing.clone()));
        let (time, store) = (Arc::clone(&self.0.time), Arc::clone(&self.0.store));
        let keeping = async move { time.keep(store.as_ref()).await };
        tokio::spawn(self.0.closing.clone().run_until_cancelled_owned(keeping));
        if self.0.journals == Journals::Compact {
            self.0.driver.keep_journals_short();
        }
    }

    pub(crate) async fn compact(&self) -> Result<StoreCompacted, Refusal> {
        if let Keep::For(keep) = self.0.keep_calls {
            let until = Instant::now() + COMPACT_TIME / 2;
            self.0.models.forget_calls(keep, &mut Pacer::swift(), until).await?;
        }
        Ok(self.0.tidying.tidy(COMPACT_TIME, Some(&self.0.driver)).await?.into())
    }

    /// Answers requests until `shutdown`, and then those that have come already.
    ///
    /// Whoever waits for a run or follows one is let go at once; their runs are not affected.
    pub fn serve(
        &self,
        doors: Vec<Listening>,
        shutdown: BoxFuture<'static, ()>,
    ) -> BoxFuture<'static, Result<(), ServeError>> {
        let models = Arc::new(ModelDoor::new(self.0.models.clone(), self.0.keys.clone()));
        let closing = self.0.closing.clone();
        server::serve(doors, router(self.clone()), Some(models), closing, shutdown)
    }

    /// Lets what is in flight end for a moment, writes it down, and stops. What is not done then is
    /// done by the next start.
    pub fn stop(&self) -> BoxFuture<'_, ()> {
        self.stopped().boxed()
    }

    async fn stopped(&self) {
        self.0.closing.cancel();
        // Nothing new begins once the runs are asked to stop.
        if let Some(scheduling) = self.0.scheduling.lock().await.take() {
            scheduling.await.ok();
        }
        if let Some(line) = &self.0.line {
            line.ended().await;
        }
        self.0.driver.stop().await;
        // Last, so that what was begun meanwhile is ended as well.
        self.0.worker.stop().await;
        self.0.models.ended().await;
        if let Err(refusal) = self.0.departures.write().await {
            tracing::error!(?refusal, "cannot write down what has left");
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub(crate) fn health(&self) -> Health {
        let incarnation: IncarnationId = self.0.store.incarnation();
        Health {
            status: "ok".to_owned(),
            incarnation: incarnation.to_string(),
            runs_in_memory: self.0.driver.active() as u64,
            now: self.now().to_string(),
        }
    }

    pub(crate) async fn status(&self) -> Result<SiteStatus, Refusal> {
        let hub = match &self.0.line {
            Some(line) if !line.has_left() => Some(line.view().await?),
            _ => None,
        };
        let (site, incarnation) = (self.0.name.clone(), self.0.store.incarnation().to_string());
        Ok(SiteStatus { site, incarnation, now: self.now().to_string(), hub })
    }

    /// Ends that the site is a hub's.
    pub(crate) async fn leave(&self, by: &By) -> Result<SiteLeft, Refusal> {
        let line =
            self.0.line.as_ref().filter(|line| !line.has_left()).ok_or_else(|| {
                Refusal::new(ProblemCode::SiteMissing, "this site has joined no hub")
            })?;
        let left = line.leave().await?;
        // Nobody leases it anything any more, and nobody caps it.
        self.0.models.desk().budgets(|books| books.purses().set(&[]));
        let ops = vec![change::left_op(by, self.now())];
        self.0.store.commit(ops, Preconditions::none()).await?;
        Ok(left)
    }

    pub(crate) async fn metrics(&self) -> Result<String, Refusal> {
        let (evaluators_started, evaluators_killed) = self.0.evaluators.counts();
        let figures = Figures {
            runs: self.0.store.run_count().await?,
            runs_in_memory: self.0.driver.active() as u64,
            gate: self.0.gate.counts(),
            evaluators_started,
            evaluators_killed,
            store: self.0.store_figures.as_ref().map(|ask| ask()),
            resident_bytes: resident_bytes(),
            calls: self.0.models.seen(),
        };
        Ok(render(&self.0.requests, &figures))
    }
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").field("name", &self.0.name).finish_non_exhaustive()
    }
}

/// Whether a run in this state is taken up at the start. A suspended one waits for a person.
const fn goes_on(state: RunState) -> bool {
    match state {
        RunState::Pending | RunState::Running | RunState::Waiting => true,
        RunState::Suspended | RunState::Cancelled | RunState::Faulted | RunState::Completed => {
            false
        }
    }
}

/// The line to the hub, where there is one; it is held later.
async fn line(
    membership: Option<Membership>,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
    left: Left,
    terms: Terms,
) -> Result<Option<LineKeeper>, LineError> {
    let Some(membership) = membership else { return Ok(None) };
    let (store, clock, random) = (Arc::clone(store), Arc::clone(clock), Arc::clone(random));
    Ok(Some(LineKeeper::open(membership, store, clock, random, left, terms).await?))
}

/// The line hears of each run that ends.
fn told_of_ends(line: &LineKeeper, driver: &Driver) {
    let (grown, dispatches) = (line.grown(), line.dispatches().clone());
    driver.on_end(move |run| {
        grown.notify_one();
        dispatches.has_ended(run);
    });
}

/// Of a site that has a hub.
async fn leases(models: &Models, line: Option<&LineKeeper>) -> Result<Option<Leases>, SiteError> {
    match line.and_then(LineKeeper::lease_parts) {
        Some(parts) => Ok(Some(models.lease(parts).await?)),
        None => Ok(None),
    }
}

fn scripts(program: PathBuf, config: Scripts) -> worker::Scripts {
    worker::Scripts::new(program, config.confinement, config.interpreters, config.limits)
}

/// Who may ask, and the time by which that ends.
async fn keys(
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
    name: &str,
    own: ApiKey,
) -> Result<(Keys, Arc<Onward>), KeysError> {
    let time = Onward::open(store.as_ref(), Arc::clone(clock), PROGRAM_SINCE).await?;
    let time = Arc::new(time);
    let keys = KeyParts::of(store, &time, random).open("site", name, own).await?;
    Ok((keys, time))
}

/// `$runtime`, as the language describes it.
fn runtime(site: &str) -> base::Value {
    let features = spec::DSL_VERSIONS.iter().map(|version| string(version)).collect();
    object([
        ("name", string(NAME)),
        ("version", string(env!("CARGO_PKG_VERSION"))),
        ("metadata", object([("site", string(site)), ("dsl", array(features))])),
    ])
}

pub(crate) fn version() -> Version {
    Version {
        name: NAME.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        dsl: spec::DSL_VERSIONS.map(str::to_owned).to_vec(),
        semantics: SEMANTICS,
    }
}
