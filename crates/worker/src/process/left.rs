//! Processes that nobody awaits: begun by a task that is done, and attended by the site until they
//! have ended, their run is cancelled, or the site stops.
//!
//! None outlives the site: what runs is known to this process alone, and ends with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::RunId;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Attended, Process, crossed, result};

/// What is left in the pipes of an ended process is there at once.
const REST_MAX: Duration = Duration::from_secs(5);

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Left(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    runs: Mutex<HashMap<RunId, OfRun>>,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

/// The processes of one run.
#[derive(Debug, Default)]
struct OfRun {
    cancelled: CancellationToken,
    /// None of them goes on any more.
    over: CancellationToken,
    count: usize,
}

/// Where one process is attended. Taken before it is begun, so that a cancel that comes meanwhile
/// finds it.
#[derive(Debug)]
pub(crate) struct Place {
    left: Left,
    run: RunId,
    cancelled: CancellationToken,
}

/// Why a process is ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Cancelled,
    Stopping,
}

impl Left {
    pub(crate) fn enter(&self, run: RunId) -> Place {
        let mut runs = self.runs();
        let of_run = runs.entry(run).or_default();
        of_run.count += 1;
        Place { left: self.clone(), run, cancelled: of_run.cancelled.clone() }
    }

    /// The run was cancelled.
    pub(crate) fn end(&self, run: RunId) {
        if let Some(of_run) = self.runs().get(&run) {
            of_run.cancelled.cancel();
        }
    }

    /// Comes when those of the run that go on now have ended and their logs are kept.
    pub(crate) fn over(&self, run: RunId) -> impl Future<Output = ()> + use<> {
        let over = self.runs().get(&run).map(|of_run| of_run.over.clone());
        async move {
            if let Some(over) = over {
                over.cancelled().await;
            }
        }
    }

    /// Ends all of them, and waits until their logs are kept.
    pub(crate) async fn stop(&self) {
        self.0.stopping.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<RunId, OfRun>> {
        // A panic elsewhere cannot leave the map half changed: every change is one call.
        self.0.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut runs = self.left.runs();
        if let Some(of_run) = runs.get_mut(&self.run) {
            of_run.count -= 1;
            if of_run.count == 0 {
                of_run.over.cancel();
                runs.remove(&self.run);
            }
        }
    }
}

impl Place {
    /// The process goes on from here by itself.
    pub(super) fn leave(self, process: Process) {
        let tasks = self.left.0.tasks.clone();
        tasks.spawn(attend(process, self));
    }

    async fn end(&self) -> End {
        tokio::select! {
            () = self.cancelled.cancelled() => End::Cancelled,
            () = self.left.0.stopping.cancelled() => End::Stopping,
        }
    }
}

/// What comes of it is told in its log, since its task is done.
async fn attend(mut process: Process, place: Place) {
    let attended = process.attend(place.end()).await;
    let Process { mut capture, crossings, mask, mut running, time, turn, .. } = process;
    if let Attended::Stopped(_) = attended {
        // What it has written until now is still in the pipes, and nobody writes any more.
        let rest = capture.read(&mut running.stdout, &mut running.stderr);
        let _ = timeout(REST_MAX, rest).await;
    }
    for it in crossed(&crossings) {
        let said = if it.allowed { "allowed" } else { "denied" };
        let times = if it.count == 1 { "once" } else { &format!("{} times", it.count) };
        let line = format!("it asked for {} {times}: {said} ({})", it.destination, it.rule);
        capture.say(&mask.text(&line));
    }
    if let Some(line) = told(&attended, time) {
        capture.say(&line);
    }
    capture.finish().await;
    drop(turn);
}

/// Nothing of one that has ended well.
fn told(attended: &Attended, time: Duration) -> Option<String> {
    match attended {
        Attended::Ended(ending) => result::told(ending),
        Attended::BrokenOff => result::broken_off().detail,
        Attended::TooLong => result::too_slow(time).detail,
        Attended::TooMuch => unreachable!("nothing of it is returned, so nothing is too much"),
        Attended::Stopped(End::Cancelled) => {
            Some("the process was ended, since its run was cancelled".to_owned())
        }
        Attended::Stopped(End::Stopping) => {
            Some("the process was ended, since the site stops".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// Mutation: forget a run while one of its processes is there, or keep it for ever.
    #[tokio::test]
    async fn a_cancel_finds_a_process_from_when_it_has_its_place() {
        let run = |number| RunId::from_uuid(uuid::Uuid::from_u128(number));
        let left = Left::default();
        let (one, two, other) = (left.enter(run(1)), left.enter(run(1)), left.enter(run(2)));
        drop(two);
        left.end(run(1));
        assert!(matches!(one.end().now_or_never(), Some(End::Cancelled)));
        assert!(other.end().now_or_never().is_none());
        drop(one);
        left.end(run(1));
        assert!(left.enter(run(1)).end().now_or_never().is_none());
        left.stop().await;
        assert!(matches!(other.end().now_or_never(), Some(End::Stopping)));
        drop(other);
        assert!(left.runs().is_empty());
    }
}
