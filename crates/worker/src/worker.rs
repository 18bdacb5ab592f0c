//! From an effect to the performer of its kind.

use std::fmt;
use std::sync::Arc;

use base::name::FunctionRef;
use base::{Clock, ErrorType, Fault, Random, RunId, Value};
use engine::effect::{
    Action, Certainty, Decision, Evaluator, Perform, Performed, Performer, ProcessRequest,
};
use engine::secret::Secrets;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use gateway::{Caller, Denial, Desk, Gate, Ruling};
use tokio::sync::Semaphore;

use crate::authentication::Tokens;
use crate::catalog::{Catalog, Found};
use crate::datasets::Datasets;
use crate::folders::Folders;
use crate::functions::dispatch::Sites;
use crate::functions::{Done, Reach, World};
use crate::process::{self, Given, Left, Logs, Place, Scripts};
use crate::{http, sealed};

/// What the site's configuration says about functions.
#[derive(Debug, Clone)]
pub struct Config {
    /// Below these, functions may read files.
    pub folders: Folders,
    /// What its owner lets functions read by name.
    pub datasets: Datasets,
    /// Files read at once. Each keeps a thread busy and its rows in memory; more wait.
    pub files_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { folders: Folders::default(), datasets: Datasets::default(), files_max: 4 }
    }
}

/// What the worker is handed from elsewhere.
#[derive(Clone)]
pub struct Ports {
    pub secrets: Arc<dyn Secrets>,
    /// For sealed expressions that this process cannot evaluate itself.
    pub evaluator: Arc<dyn Evaluator>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    /// Who keeps what processes write.
    pub logs: Arc<dyn Logs>,
    /// Who has other sites work; nobody where the site has joined no hub.
    pub sites: Option<Arc<dyn Sites>>,
    /// Where every call to a model is made; nowhere in a test of a workflow.
    pub models: Option<Desk>,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ports(…)")
    }
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Worker {
    gate: Arc<Gate>,
    catalog: Arc<Catalog>,
    world: Arc<World>,
    tokens: Arc<Tokens>,
    ports: Ports,
    processes: process::Site,
    left: Left,
}

impl Worker {
    #[must_use]
    pub fn new(
        gate: Arc<Gate>,
        catalog: Catalog,
        config: Config,
        ports: Ports,
        scripts: Scripts,
    ) -> Self {
        let files = Semaphore::new(config.files_max.clamp(1, Semaphore::MAX_PERMITS));
        let world = World {
            gate: Arc::clone(&gate),
            folders: Arc::new(config.folders),
            datasets: config.datasets,
            files: Arc::new(files),
            clock: Arc::clone(&ports.clock),
            random: Arc::clone(&ports.random),
            sites: ports.sites.clone(),
            models: ports.models.clone(),
        };
        let logs = Arc::clone(&ports.logs);
        let processes = process::Site { gate: Arc::clone(&gate), scripts: Arc::new(scripts), logs };
        Self {
            gate,
            catalog: Arc::new(catalog),
            world: Arc::new(world),
            tokens: Arc::default(),
            ports,
            processes,
            left: Left::default(),
        }
    }

    /// Comes when no process that nobody awaits is left of a run.
    pub async fn left_over(&self, run: RunId) {
        self.left.over(run).await;
    }

    /// Ends the processes that nobody awaits, and keeps what they have written.
    pub async fn stop(&self) {
        self.left.stop().await;
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(crate) fn ports(&self) -> &Ports {
        &self.ports
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    pub(crate) fn function(
        &self,
        effect: &Perform,
        function: &FunctionRef,
        input: &Value,
    ) -> BoxFuture<'static, Performed> {
        let Some(Found { implementation, granted, input: schema }) = self.catalog.find(function)
        else {
            let detail = format!(
                "the catalog has no function `{function}`; apply the workflow again to see which exist"
            );
            let fault = Fault::new(ErrorType::Configuration, detail);
            return ready(Performed::fault(fault, Certainty::Definite)).boxed();
        };
        let permit = match self.gate.function(caller(effect), function) {
            Ok(permit) => permit,
            Err(denial) => return ready(denied(&denial)).boxed(),
        };
        if let Err(wrong) = schema.map_or(Ok(()), |schema| schema.check(input)) {
            let fault =
                Fault::new(ErrorType::Validation, format!("arguments of `{function}`: {wrong}"));
            let done = Performed {
                decision: Some(decision(permit.into_ruling())),
                ..Performed::fault(fault, Certainty::Definite)
            };
            return ready(done).boxed();
        }
        let reach = Reach::new(Arc::clone(&self.world), granted, effect.clone());
        let labels = implementation.labels(input, &reach);
        let work = implementation.call(&permit, input, reach);
        async move { Performed { labels, ..finish(permit.into_ruling(), work.await) } }.boxed()
    }

    /// Whether the function hands its arguments to other sites.
    pub(crate) fn sends(&self, function: &FunctionRef) -> bool {
        self.catalog.find(function).is_some_and(|found| found.granted.may_dispatch())
    }

    pub(crate) async fn process(
        &self,
        effect: &Perform,
        request: &ProcessRequest,
        given: Given,
        place: Option<Place>,
    ) -> Performed {
        process::perform(&self.processes, effect, request, given, place).await
    }
}

impl Performer for Worker {
    fn perform(&self, effect: Perform) -> BoxFuture<'static, Performed> {
        if let Action::Function { function, input } = &*effect.action {
            return self.function(&effect, function, input);
        }
        let worker = self.clone();
        // Now, and not when the work is looked at first: whoever cancels the run after this finds it.
        let place = effect.action.is_left_alone().then(|| self.left.enter(effect.run));
        async move {
            match &*effect.action {
                Action::Http(request) => http::perform(&worker.gate, &effect, request).await,
                Action::Process(request) => {
                    worker.process(&effect, request, Given::default(), place).await
                }
                Action::Workflow(_) => not_here().await,
                Action::Sealed(sealed) => sealed::perform(&worker, &effect, sealed, place).await,
                Action::Function { function, input } => {
                    worker.function(&effect, function, input).await
                }
            }
        }
        .boxed()
    }

    fn only_waits(&self, action: &Action) -> bool {
        matches!(action, Action::Function { function, .. } if self.sends(function))
    }

    fn end_left(&self, run: RunId) {
        self.left.end(run);
    }
}

/// Child runs are the driver's own; one that comes here is a mistake of ours.
fn not_here() -> BoxFuture<'static, Performed> {
    let fault = Fault::new(ErrorType::Runtime, "a child run is started by the engine itself");
    ready(Performed::fault(fault, Certainty::Definite)).boxed()
}

pub(crate) fn caller(effect: &Perform) -> Caller<'_> {
    Caller {
        namespace: &effect.namespace,
        run: Some(effect.run),
        activation: effect.activation.as_str(),
        labels: &effect.labels,
    }
}

pub(crate) fn decision(ruling: Ruling) -> Decision {
    let Ruling { allowed, rule, destination } = ruling;
    Decision { allowed, rule, destination, crossings: Vec::new() }
}

/// A denial is no answer of the other side, so the next attempt is the same effect with the same key.
pub(crate) fn denied(denial: &Denial) -> Performed {
    let decision = Some(decision(denial.ruling.clone()));
    Performed { decision, ..Performed::fault(denial.fault(), Certainty::Unknown) }
}

fn finish(ruling: Ruling, done: Done) -> Performed {
    let said = decision(ruling);
    match done {
        Done::Ended { result, rule } => {
            let decision = Decision { rule: rule.unwrap_or(said.rule), ..said };
            Performed {
                result,
                certainty: Certainty::Definite,
                decision: Some(decision),
                lists: Vec::new(),
                labels: Vec::new(),
            }
        }
        Done::Denied { fault, rule } => {
            let decision = Decision { allowed: false, rule, ..said };
            Performed { decision: Some(decision), ..Performed::fault(fault, Certainty::Unknown) }
        }
        Done::Sent { result, certainty, ruling } => {
            let decision = Some(ruling.map_or(said, decision));
            Performed { result, certainty, decision, lists: Vec::new(), labels: Vec::new() }
        }
    }
}
