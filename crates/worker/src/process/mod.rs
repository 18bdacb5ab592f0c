//! Scripts and shell commands: what a site runs them with, and what comes of one.
//!
//! The walls are in `sandbox`; the way out is the gate's. Here the two are put together: the gate is
//! asked, the job is started, its door is served while it runs, and what it writes is taken in.

mod capture;
mod left;
mod logs;
mod redact;
mod result;
mod scripts;

pub use logs::{LogOf, LogPiece, Logs, NoLogs, Stream};
pub use scripts::{Confinement, Interpreters, ProcessLimits, Scripts};

use left::End;
pub(crate) use left::{Left, Place};

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use base::{ErrorType, Fault, Value};
use engine::effect::{Certainty, Crossed, Perform, Performed, ProcessRequest, Witness};
use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::{Asker, Crossings, Gate, Permit, Ruling};
use sandbox::{Ending, LaunchError, Running};
use spec::tree::Returns;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::mask::Mask;
use crate::worker::{caller, decision};
use capture::{Capture, Captured, Wrote};
use logs::Recorder;

/// Title of what a site cannot run.
const OFF: &str = "Scripts are off";

/// What of a process is a secret.
#[derive(Default)]
pub(crate) struct Given {
    /// Of the values that it was given, which its log does not show.
    pub mask: Mask,
    /// Whether one may stand in its code.
    pub code: bool,
}

/// What processes of a site are run with. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub gate: Arc<Gate>,
    pub scripts: Arc<Scripts>,
    pub logs: Arc<dyn Logs>,
}

/// Runs a process. With a `place` among those that nobody awaits, it is only begun.
pub(crate) async fn perform(
    site: &Site,
    effect: &Perform,
    request: &ProcessRequest,
    given: Given,
    place: Option<Place>,
) -> Performed {
    let Site { gate, scripts, logs } = site;
    let what = request.interpreter.to_string();
    let jail = match scripts.jail().await {
        Ok(jail) => jail,
        // Nothing was done, so the next attempt is the same effect.
        Err(why) => return not_begun(off(&what, why)),
    };
    if given.code && !jail.is_confined() {
        return not_begun(written_down(&what));
    }
    let permit = match gate.process(caller(effect), &what, jail.is_confined()) {
        Ok(permit) => permit,
        Err(denial) => return crate::worker::denied(&denial),
    };
    let turn = scripts.turn().await;
    let job = match scripts.job(request, effect) {
        Ok(job) => job,
        Err(fault) => return done((Err(fault), Certainty::Unknown), permit.into_ruling()),
    };
    let running = match jail.start(job).await {
        Ok(running) => running,
        Err(error) => {
            return done((Err(not_started(&error)), Certainty::Unknown), permit.into_ruling());
        }
    };
    let limits = *scripts.limits();
    let returns = if request.wait { request.returns } else { Returns::None };
    let recorder = Recorder::new(Arc::clone(logs), effect, given.mask.spellings());
    let witness = witness(effect, request, &given.mask);
    let mut process = Process {
        asker: asker(effect),
        gate: Arc::clone(gate),
        permit,
        running,
        capture: Capture::new(returns, limits.output_bytes, recorder),
        crossings: Arc::new(Crossings::new(witness)),
        mask: given.mask,
        time: limits.time,
        turn,
    };
    if let Some(place) = place {
        let ruling = process.permit.ruling();
        place.leave(process);
        return done((Ok(Value::Null), Certainty::Definite), ruling);
    }
    let attended = process.attend(std::future::pending()).await;
    let Process { permit, capture, crossings, turn, .. } = process;
    let wrote = capture.finish().await;
    drop(turn);
    let mut performed = done(came(request, &limits, attended, wrote), permit.into_ruling());
    if let Some(decision) = &mut performed.decision {
        decision.crossings = crossed(&crossings);
    }
    performed
}

fn done((result, certainty): Came, ruling: Ruling) -> Performed {
    Performed {
        result,
        certainty,
        decision: Some(decision(ruling)),
        lists: Vec::new(),
        labels: Vec::new(),
    }
}

type Came = (Result<Value, Fault>, Certainty);

fn came(
    request: &ProcessRequest,
    limits: &ProcessLimits,
    attended: Attended,
    wrote: Wrote,
) -> Came {
    let unknown = |fault: Fault| (Err(fault), Certainty::Unknown);
    match attended {
        Attended::TooLong => unknown(result::too_slow(limits.time)),
        Attended::TooMuch => unknown(result::too_much(limits.output_bytes)),
        Attended::BrokenOff => unknown(result::broken_off()),
        Attended::Ended(Ending::Failed(failure)) => {
            unknown(runtime(&failure.to_string(), "Cannot start"))
        }
        Attended::Ended(ending) => (result::of(request, &ending, wrote), Certainty::Definite),
        Attended::Stopped(_) => unreachable!("who awaits a process drops it"),
    }
}

/// A process at work, with all that it needs to go on. Dropping it ends it.
struct Process {
    gate: Arc<Gate>,
    permit: Permit<gateway::Process>,
    asker: Asker,
    running: Running,
    capture: Capture,
    crossings: Arc<Crossings>,
    mask: Mask,
    time: Duration,
    /// Its place among those that may run at once. Given back when it has ended.
    turn: OwnedSemaphorePermit,
}

/// How attending a process came to its end. All that it has started is ended by then.
enum Attended {
    Ended(Ending),
    /// By somebody else.
    BrokenOff,
    TooLong,
    TooMuch,
    Stopped(End),
}

impl Process {
    /// Serves it until it has ended, has to be ended, or `stop` says so.
    async fn attend(&mut self, stop: impl Future<Output = End>) -> Attended {
        // Open until the process has ended: what is killed shall not see its door close before.
        let mut open =
            pin!(door(&self.gate, &self.permit, &self.asker, &self.crossings, &mut self.running));
        let stopped = {
            let (stdout, stderr) = (&mut self.running.stdout, &mut self.running.stderr);
            tokio::select! {
                read = timeout(self.time, self.capture.read(stdout, stderr)) => match read {
                    Ok(Captured::Whole) => None,
                    Ok(Captured::TooMuch) => Some(Attended::TooMuch),
                    Err(_) => Some(Attended::TooLong),
                },
                () = &mut open => unreachable!("a door is served until nobody needs it"),
                end = stop => Some(Attended::Stopped(end)),
            }
        };
        match stopped {
            None => self.running.ended().await.map_or(Attended::BrokenOff, Attended::Ended),
            Some(stopped) => {
                self.running.kill().await;
                stopped
            }
        }
    }
}

/// Serves a process's door, if it has one.
fn door<'a>(
    gate: &Arc<Gate>,
    permit: &'a Permit<gateway::Process>,
    asker: &Asker,
    crossings: &Arc<Crossings>,
    running: &mut Running,
) -> impl Future<Output = ()> + use<'a> {
    let door = running.door.take();
    let (gate, asker, crossings) = (Arc::clone(gate), asker.clone(), Arc::clone(crossings));
    async move {
        match door {
            Some(door) => gate.door(permit, asker, door, crossings).await,
            None => std::future::pending().await,
        }
    }
}

fn asker(effect: &Perform) -> Asker {
    Asker {
        namespace: effect.namespace.clone(),
        run: effect.run,
        activation: effect.activation.to_string(),
        labels: Arc::clone(&effect.labels),
    }
}

/// What a process is let out for is in the journal before it goes, so that it is there whatever
/// becomes of the process. One that nobody awaits has no task in progress: its log says it.
fn witness(
    effect: &Perform,
    request: &ProcessRequest,
    mask: &Mask,
) -> impl Fn(Ruling) -> BoxFuture<'static, bool> + Send + Sync + use<> {
    let witness = if request.wait { effect.witness.clone() } else { Witness::default() };
    let mask = mask.clone();
    move |ruling| {
        let (witness, crossed) = (witness.clone(), mask.crossed(crossed_of(ruling, 1)));
        async move { witness.write(crossed).await }.boxed()
    }
}

fn crossed(crossings: &Crossings) -> Vec<Crossed> {
    crossings.take().into_iter().map(|(ruling, count)| crossed_of(ruling, count)).collect()
}

fn crossed_of(ruling: Ruling, count: u64) -> Crossed {
    let Ruling { allowed, rule, destination } = ruling;
    Crossed { allowed, rule, destination, count }
}

fn off(what: &str, why: &str) -> Fault {
    let detail = format!(
        "`{what}` cannot be run: {why}. A site's owner who trusts all workflows can do without a sandbox: \
         `spec: {{scripts: unconfined}}` in its configuration"
    );
    Fault::new(ErrorType::Configuration, detail).with_title(OFF)
}

/// Outside of a sandbox the code lies in a file of the machine.
fn written_down(what: &str) -> Fault {
    let detail = format!(
        "the code of `{what}` has a secret in it, and without a sandbox (`scripts: unconfined`) it would be \
         written into a file of this machine; pass the secret by `environment` or `stdin`"
    );
    Fault::new(ErrorType::Configuration, detail).with_title("Secret in code")
}

fn not_begun(fault: Fault) -> Performed {
    Performed::fault(fault, Certainty::Unknown)
}

fn not_started(error: &LaunchError) -> Fault {
    runtime(&error.to_string(), "Cannot start")
}

fn runtime(detail: &str, title: &'static str) -> Fault {
    Fault::new(ErrorType::Runtime, detail).with_title(title)
}
