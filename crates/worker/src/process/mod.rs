//! Scripts and shell commands: what a site runs them with, and what comes of one.
//!
//! The walls are in `sandbox`; the way out is the gate's. Here the two are put together: the gate is
//! asked, the job is started, its door is served while it runs, and what it writes is taken in.

mod capture;
mod logs;
mod redact;
mod result;
mod scripts;

pub use logs::{LogOf, LogPiece, Logs, NoLogs, Stream};
pub use scripts::{Confinement, Interpreters, ProcessLimits, Scripts};

use std::sync::Arc;

use base::{ErrorType, Fault};
use engine::effect::{Certainty, Crossed, Decision, Perform, Performed, ProcessRequest};
use gateway::{Asker, Crossings, Gate, Permit, Process};
use sandbox::{Ending, Jail, LaunchError};
use tokio::time::timeout;

use crate::worker::{caller, decision};
use capture::{Capture, Captured};
use logs::Recorder;

/// Title of what a site cannot run.
const OFF: &str = "Scripts are off";

/// What of a process is a secret.
#[derive(Clone, Copy, Default)]
pub(crate) struct Given<'a> {
    /// Values that it was given, which its log does not show.
    pub secrets: &'a [String],
    /// Whether one may stand in its code.
    pub code: bool,
}

pub(crate) async fn perform(
    gate: &Arc<Gate>,
    scripts: &Scripts,
    logs: Arc<dyn Logs>,
    effect: &Perform,
    request: &ProcessRequest,
    given: Given<'_>,
) -> Performed {
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
    // Never closed; given back when the process has ended.
    let _place = scripts.places().acquire().await;
    let crossings = Arc::new(Crossings::default());
    let recorder = Recorder::new(logs, effect, given.secrets);
    let (result, certainty) =
        run(gate, &permit, jail, scripts, recorder, &crossings, effect, request).await;
    let mut decision = decision(permit.into_ruling());
    decision.crossings = crossed(&crossings);
    Performed { result, certainty, decision: Some(decision) }
}

type Came = (Result<base::Value, Fault>, Certainty);

#[expect(clippy::too_many_arguments, reason = "one call, which only names what is put together")]
async fn run(
    gate: &Arc<Gate>,
    permit: &Permit<Process>,
    jail: &Jail,
    scripts: &Scripts,
    recorder: Recorder,
    crossings: &Arc<Crossings>,
    effect: &Perform,
    request: &ProcessRequest,
) -> Came {
    let unknown = |fault: Fault| (Err(fault), Certainty::Unknown);
    let job = match scripts.job(request, effect) {
        Ok(job) => job,
        Err(fault) => return unknown(fault),
    };
    let mut running = match jail.start(job).await {
        Ok(running) => running,
        Err(error) => return unknown(not_started(&error)),
    };
    let limits = *scripts.limits();
    let mut capture = Capture::new(request.returns, limits.output_bytes, recorder);
    let door = running.door.take();
    let captured = {
        let (stdout, stderr) = (&mut running.stdout, &mut running.stderr);
        let reading = timeout(limits.time, capture.read(stdout, stderr));
        match door {
            None => reading.await,
            Some(door) => {
                let asker = asker(effect);
                let open = Arc::clone(gate).door(permit, asker, door, Arc::clone(crossings));
                tokio::select! {
                    read = reading => read,
                    () = open => unreachable!("a door is served until nobody needs it"),
                }
            }
        }
    };
    let ended = match captured {
        Ok(Captured::Whole) => running.ended().await,
        Ok(Captured::TooMuch) | Err(_) => {
            running.kill().await;
            None
        }
    };
    let wrote = capture.finish().await;
    match (captured, ended) {
        (Err(_), _) => unknown(result::too_slow(limits.time)),
        (Ok(Captured::TooMuch), _) => unknown(result::too_much(limits.output_bytes)),
        (Ok(Captured::Whole), None) => unknown(result::broken_off()),
        (Ok(Captured::Whole), Some(Ending::Failed(failure))) => {
            unknown(runtime(&failure.to_string(), "Cannot start"))
        }
        (Ok(Captured::Whole), Some(ending)) => {
            (result::of(request, &ending, wrote), Certainty::Definite)
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

fn crossed(crossings: &Crossings) -> Vec<Crossed> {
    let all = crossings.take().into_iter();
    let one = |(ruling, count): (gateway::Ruling, u64)| {
        let Decision { allowed, rule, destination, .. } = decision(ruling);
        Crossed { allowed, rule, destination, count }
    };
    all.map(one).collect()
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
