//! From an effect to the performer of its kind.

use std::sync::Arc;

use base::name::FunctionRef;
use base::{ErrorType, Fault, Value};
use engine::effect::{Action, Certainty, Decision, Perform, Performed, Performer};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use gateway::{Caller, Denial, Gate, Ruling};
use tokio::sync::Semaphore;

use crate::catalog::{Catalog, Implementation};
use crate::folders::Folders;
use crate::functions::{Done, csv, echo};
use crate::http;

/// What the site's configuration says about functions.
#[derive(Debug, Clone)]
pub struct Config {
    /// Below these, functions may read files.
    pub folders: Folders,
    /// Files read at once. Each keeps a thread busy and its rows in memory; more wait.
    pub files_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { folders: Folders::default(), files_max: 4 }
    }
}

#[derive(Debug)]
pub struct Worker {
    gate: Arc<Gate>,
    catalog: Catalog,
    folders: Arc<Folders>,
    files: Arc<Semaphore>,
}

impl Worker {
    #[must_use]
    pub fn new(gate: Arc<Gate>, catalog: Catalog, config: Config) -> Self {
        let files = Semaphore::new(config.files_max.clamp(1, Semaphore::MAX_PERMITS));
        Self { gate, catalog, folders: Arc::new(config.folders), files: Arc::new(files) }
    }

    fn function(
        &self,
        effect: &Perform,
        function: &FunctionRef,
        input: &Value,
    ) -> BoxFuture<'static, Performed> {
        let Some((implementation, schema)) = self.catalog.find(function) else {
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
        match implementation {
            Implementation::Echo => {
                let done = echo::run(&permit, input);
                ready(finish(permit.into_ruling(), done)).boxed()
            }
            Implementation::Csv => {
                let (folders, files, input) =
                    (Arc::clone(&self.folders), Arc::clone(&self.files), input.clone());
                async move {
                    // Never closed; given back when the rows are read or nobody waits for them.
                    let _place = files.acquire().await;
                    let done = csv::run(&permit, folders, input).await;
                    finish(permit.into_ruling(), done)
                }
                .boxed()
            }
        }
    }
}

impl Performer for Worker {
    fn perform(&self, effect: Perform) -> BoxFuture<'static, Performed> {
        match &*effect.action {
            Action::Function { function, input } => self.function(&effect, function, input),
            Action::Workflow(_) => not_here(),
            Action::Http(_) => {
                let gate = Arc::clone(&self.gate);
                async move {
                    match &*effect.action {
                        Action::Http(request) => http::perform(&gate, &effect, request).await,
                        Action::Function { .. } | Action::Workflow(_) => {
                            unreachable!("an action does not change its kind")
                        }
                    }
                }
                .boxed()
            }
        }
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
        run: effect.run,
        activation: effect.activation.as_str(),
        labels: &effect.labels,
    }
}

pub(crate) fn decision(ruling: Ruling) -> Decision {
    Decision { allowed: ruling.allowed, rule: ruling.rule, destination: ruling.destination }
}

/// A denial is no answer of the other side, so the next attempt is the same effect with the same key.
fn denied(denial: &Denial) -> Performed {
    let decision = Some(decision(denial.ruling.clone()));
    Performed { decision, ..Performed::fault(denial.fault(), Certainty::Unknown) }
}

fn finish(ruling: Ruling, done: Done) -> Performed {
    let said = decision(ruling);
    match done {
        Done::Ended { result, rule } => {
            let decision = Decision { rule: rule.unwrap_or(said.rule), ..said };
            Performed { result, certainty: Certainty::Definite, decision: Some(decision) }
        }
        Done::Denied { fault, rule } => {
            let decision = Decision { allowed: false, rule, ..said };
            Performed { decision: Some(decision), ..Performed::fault(fault, Certainty::Unknown) }
        }
    }
}
