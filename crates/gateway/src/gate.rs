//! The gate itself: asks the rules, makes permits, counts, and does what was permitted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::name::FunctionRef;
use tokio::sync::Semaphore;

use crate::client::{Clients, SendError};
use crate::decide::{Caller, Crossing, Denial, Ruling, What, decide};
use crate::egress::EgressMap;
use crate::left::{Amount, Left};

use crate::incoming::Incoming;
use crate::out::{Answer, OutError, OutRequest};
use crate::permit::{Egress, Function, Permit};
use crate::process::Process;
use crate::redirect::{Next, REDIRECTS_MAX, next};

/// Bounds of what the gate does.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest body of an answer. It is held in memory until the task that asked has it.
    pub body_bytes_max: usize,
    /// How long a server may say nothing. A task's own timeout is usually shorter; this one is for
    /// tasks without, and longer than any model takes for its first word.
    pub idle_timeout: Duration,
    /// Requests at once. Each is a socket, and a process has 1,024 by default. More wait.
    pub requests_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 64 * 1024 * 1024,
            idle_timeout: Duration::from_secs(300),
            requests_max: 512,
        }
    }
}

#[derive(Debug)]
pub struct Gate {
    egress: EgressMap,
    limits: Limits,
    clients: Clients,
    places: Semaphore,
    counters: Counters,
    left: Left,
}

#[derive(Debug, Default)]
struct Counters {
    allowed: AtomicU64,
    denied: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    functions: AtomicU64,
}

/// What has passed since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Requests and redirects that a rule allowed.
    pub allowed: u64,
    pub denied: u64,
    /// Requests with a full answer, whatever its status.
    pub answered: u64,
    /// Requests without.
    pub failed: u64,
    /// Functions of the catalog.
    pub functions: u64,
}

impl Gate {
    #[must_use]
    pub fn new(egress: EgressMap, limits: Limits) -> Self {
        Self {
            egress,
            limits,
            clients: Clients::new(limits.idle_timeout),
            places: Semaphore::new(limits.requests_max.min(Semaphore::MAX_PERMITS)),
            counters: Counters::default(),
            left: Left::default(),
        }
    }

    /// Counts here what leaves.
    #[must_use]
    pub fn counting(self, left: Left) -> Self {
        Self { left, ..self }
    }

    pub(crate) fn left(&self) -> &Left {
        &self.left
    }

    /// Asks whether a function of the catalog may run.
    pub fn function(
        &self,
        caller: Caller<'_>,
        function: &FunctionRef,
    ) -> Result<Permit<Function>, Denial> {
        let grant = decide(&self.egress, &Crossing { caller, what: What::Function(function) });
        let grant = grant.inspect_err(|_| count(&self.counters.denied))?;
        count(&self.counters.functions);
        Ok(Permit::new(Function::new(function.clone(), grant.ruling)))
    }

    /// Asks whether a foreign process may run. Where the sandbox is `confined`, what it can do is
    /// decided at its door; where it is not, whatever the run has read can leave with it.
    pub fn process(
        &self,
        caller: Caller<'_>,
        what: &str,
        confined: bool,
    ) -> Result<Permit<Process>, Denial> {
        let crossing = Crossing { caller, what: What::Process { what, confined } };
        let grant = decide(&self.egress, &crossing);
        let grant = grant.inspect_err(|_| count(&self.counters.denied))?;
        Ok(Permit::new(Process::new(grant.ruling)))
    }

    pub(crate) fn egress(&self) -> &EgressMap {
        &self.egress
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A place among the requests at once. Given back when it is dropped.
    pub(crate) async fn place(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        // Never closed.
        self.places.acquire().await.ok()
    }

    pub(crate) fn count_allowed(&self) {
        count(&self.counters.allowed);
    }

    pub(crate) fn count_denied(&self) {
        count(&self.counters.denied);
    }

    /// Sends a request where the rules allow it, and each redirect where they allow that.
    ///
    /// Dropping the future closes the connection.
    pub async fn request(&self, caller: Caller<'_>, request: OutRequest) -> Answer {
        let (opened, ruling) = self.open(caller, request).await;
        let result = match opened {
            Ok(incoming) => incoming.whole().await,
            Err(error) => Err(error),
        };
        Answer { result, ruling: Some(ruling) }
    }

    /// The same up to the head of the answer, for whoever reads its body as it comes. Says what the
    /// rules said last.
    pub async fn open(
        &self,
        caller: Caller<'_>,
        request: OutRequest,
    ) -> (Result<Incoming<'_>, OutError>, Ruling) {
        // Never closed.
        let place = self.places.acquire().await.ok();
        let mut request = request;
        let mut redirects = 0;
        let (error, ruling) = loop {
            let (hop, ruling) = self.hop(caller, &request).await;
            let response = match hop {
                Ok(response) => response,
                Err(error) => break (error, ruling),
            };
            let destination = || request.destination.to_string();
            match next(&request, response.status(), response.headers()) {
                Next::Answer => {
                    return (Ok(Incoming { gate: self, request, response, _place: place }), ruling);
                }
                Next::Lost => {
                    break (OutError::BadRedirect { destination: destination() }, ruling);
                }
                Next::Follow(followed) => {
                    count(&self.counters.answered);
                    request = *followed;
                    if redirects == REDIRECTS_MAX {
                        let (destination, limit) = (request.destination.to_string(), redirects);
                        break (OutError::TooManyRedirects { destination, limit }, ruling);
                    }
                    redirects += 1;
                }
            }
        };
        count(&self.counters.failed);
        (Err(error), ruling)
    }

    pub(crate) fn count_answered(&self) {
        count(&self.counters.answered);
    }

    pub(crate) fn count_failed(&self) {
        count(&self.counters.failed);
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            allowed: read(&self.counters.allowed),
            denied: read(&self.counters.denied),
            answered: read(&self.counters.answered),
            failed: read(&self.counters.failed),
            functions: read(&self.counters.functions),
        }
    }

    /// One request without what it may redirect to.
    pub(crate) async fn hop(
        &self,
        caller: Caller<'_>,
        request: &OutRequest,
    ) -> (Result<reqwest::Response, OutError>, Ruling) {
        let crossing = Crossing { caller, what: What::Egress(&request.destination) };
        let grant = match decide(&self.egress, &crossing) {
            Ok(grant) => grant,
            Err(denial) => {
                count(&self.counters.denied);
                let ruling = denial.ruling.clone();
                return (Err(denial.into()), ruling);
            }
        };
        count(&self.counters.allowed);
        let permit =
            Permit::new(Egress { destination: request.destination.clone(), grant: grant.clone() });
        let destination = || request.destination.to_string();
        let sent = self.clients.send(permit, request).await;
        if matches!(sent, Ok(_) | Err(SendError::NoAnswer(_))) {
            let amount = Amount { times: 1, bytes: request.bytes() };
            self.left.note(&grant.ruling.destination, &grant.ruling.rule, amount);
        }
        let error = match sent {
            Ok(response) => return (Ok(response), grant.ruling),
            Err(SendError::Guarded(address)) => {
                count(&self.counters.denied);
                let denial = Denial::guarded(&grant, address);
                let ruling = denial.ruling.clone();
                return (Err(denial.into()), ruling);
            }
            Err(SendError::Invalid(what)) => OutError::Invalid(what),
            Err(SendError::NotSent(why)) => OutError::NotSent { destination: destination(), why },
            Err(SendError::NoAnswer(why)) => OutError::NoAnswer { destination: destination(), why },
        };
        (Err(error), grant.ruling)
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
