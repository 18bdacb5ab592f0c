//! How fast background work goes: in small steps with a rest after each, so that nobody's commit waits
//! for more than one of them.

use std::time::{Duration, Instant};

/// The shortest rest between two steps: some fifty steps a second keep up with as many thousand
/// records.
const REST_MIN: Duration = Duration::from_millis(10);

/// A rest lasts this many times as long as the step before, so that at most a third of a slow disk's
/// time goes here.
const REST_TIMES: u32 = 2;

/// The pace of one piece of background work.
#[derive(Debug)]
pub struct Pacer {
    since: Instant,
    rests: bool,
}

impl Pacer {
    /// Beside work that must not wait.
    #[must_use]
    pub fn gentle() -> Self {
        Self { since: Instant::now(), rests: true }
    }

    /// For somebody who waits for the end. Even so, one step at a time.
    #[must_use]
    pub fn swift() -> Self {
        Self { since: Instant::now(), rests: false }
    }

    /// After each step.
    pub async fn rest(&mut self) {
        if self.rests {
            tokio::time::sleep((self.since.elapsed() * REST_TIMES).max(REST_MIN)).await;
            self.since = Instant::now();
        } else {
            tokio::task::yield_now().await;
        }
    }
}
