//! Many runs, started as fast as the site takes them, without waiting for any.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::CROWD;
use super::server::Server;
use super::workflow::Workflow;

/// Too many runs are active: the site says so and takes more as soon as some have ended.
const TOO_MANY: u16 = 429;

const TRY_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// Between two looks whether all have ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Far beyond what anything here takes.
const TIME_MAX: Duration = Duration::from_secs(30 * 60);

/// Starts so many runs, over as many connections as there are in a crowd.
pub fn start(server: &Server, workflow: &Workflow, runs: u64) -> anyhow::Result<()> {
    let started = AtomicU64::new(0);
    let one = || -> anyhow::Result<()> {
        let mut connection = server.connect()?;
        let request = server.detach_request(&connection, workflow);
        while started.fetch_add(1, Ordering::Relaxed) < runs {
            loop {
                let answer = connection.send(&request)?;
                if answer.status != TOO_MANY {
                    answer.success("cannot start a run")?;
                    break;
                }
                std::thread::sleep(TRY_AGAIN_AFTER);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CROWD).map(|_| scope.spawn(one)).collect();
        threads.into_iter().try_for_each(|it| it.join().expect("a connection does not panic"))
    })
}

/// Until so many runs of the site have completed; `look` is called again and again meanwhile.
pub fn wait(server: &Server, runs: u64, mut look: impl FnMut()) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        look();
        let completed = server.runs_in("completed")?;
        ensure!(completed <= runs, "{completed} runs have completed, and {runs} were started");
        if completed == runs {
            return Ok(());
        }
        ensure!(begun.elapsed() < TIME_MAX, "{completed} of {runs} runs have completed");
        std::thread::sleep(LOOK_EVERY);
    }
}
