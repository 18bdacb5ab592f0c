//! Keeps the journals of long runs short while they go on; what that is stands in `compact`. Runs when
//! a long run has a new snapshot.

use std::time::Duration;

use super::Driver;
use crate::compact::{self, RECORDS_KEPT_MIN};
use crate::pace::Pacer;

/// The longest sleep. A step that failed is tried again after this.
const SLEEP_MAX: Duration = Duration::from_secs(600);

impl Driver {
    /// Has journals compacted from now on. A driver that lives for one run does not.
    pub fn keep_journals_short(&self) {
        self.0.tasks.spawn(run(self.clone()));
    }

    /// A run has a new snapshot after so many records.
    pub(super) fn has_grown(&self, records: u64) {
        if records >= RECORDS_KEPT_MIN {
            self.0.long.notify_one();
        }
    }
}

async fn run(driver: Driver) {
    loop {
        tokio::select! {
            () = driver.0.stopping.cancelled() => return,
            () = work(&driver) => {}
        }
        tokio::select! {
            () = driver.0.stopping.cancelled() => return,
            () = driver.0.long.notified() => {}
            () = tokio::time::sleep(SLEEP_MAX) => {}
        }
    }
}

async fn work(driver: &Driver) {
    let mut pace = Pacer::gentle();
    loop {
        match compact::step(&*driver.0.parts.store, RECORDS_KEPT_MIN, &mut pace).await {
            Ok(done) if done.more => {}
            Ok(_) => return,
            Err(error) => {
                tracing::error!(%error, "cannot compact the journals of long runs");
                return;
            }
        }
    }
}
