//! Takes up waiting runs when their time has come. Sleeps exactly until then; a commit with an
//! earlier time nudges it.

use store::Store;

use super::{Command, Driver};

/// Runs taken up at once; the next ones follow immediately.
const DUE_PAGE: u32 = 500;

/// The longest sleep. A machine that was suspended, or whose clock was set, is noticed after this.
const SLEEP_MAX: std::time::Duration = std::time::Duration::from_secs(600);

/// If no taken-up run says that it has moved on.
const DUE_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

/// After a failed look at the store.
const STORE_RETRY: std::time::Duration = std::time::Duration::from_secs(5);

pub(super) async fn run(driver: Driver) {
    loop {
        let sleep = match wake_due(&driver).await {
            Ok(sleep) => sleep,
            Err(error) => {
                tracing::error!(%error, "cannot look for waiting runs");
                STORE_RETRY
            }
        };
        tokio::select! {
            () = driver.0.stopping.cancelled() => return,
            () = driver.0.rewake.notified() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

async fn wake_due(driver: &Driver) -> Result<std::time::Duration, store::StoreError> {
    let store: &dyn Store = &*driver.0.parts.store;
    let now = driver.now();
    let due = store.run_due(now, DUE_PAGE).await?;
    for row in &due {
        driver.0.send(driver, row.run, Command::Wake).ok();
    }
    if !due.is_empty() {
        // They leave the list when their actors have written what the timers led to, and each such
        // commit nudges; until then the same ones are due.
        return Ok(DUE_AGAIN);
    }
    let next = store.run_wake_next().await?;
    Ok(next.map_or(SLEEP_MAX, |next| next.since(now).as_std().min(SLEEP_MAX)))
}
