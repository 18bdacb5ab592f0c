//! Takes up waiting runs when their time has come, in the order of their times. Sleeps exactly until
//! then; a commit with an earlier time nudges it.
//!
//! Those that are due wait for a slot with all others, so that a hundred thousand that are due at
//! once are taken up as fast as they are done with, and no faster.

use std::sync::atomic::{AtomicI64, Ordering};

use base::{RunId, Timestamp};
use store::{Store, StoreError, WakeCursor};
use tokio::sync::Notify;

use super::{Driver, Summary};
use crate::dispatch::Waiter;

/// Rows read at once; the next ones follow immediately.
const DUE_PAGE: u32 = 500;

/// Runs that wait for a slot before more of those that are due are read. Enough for the dispatcher to
/// be fair between namespaces; some 10 MB.
const DUE_QUEUED_MAX: usize = 100_000;

/// The longest sleep. A machine that was suspended, or whose clock was set, is noticed after this.
const SLEEP_MAX: std::time::Duration = std::time::Duration::from_secs(600);

/// After a failed look at the store.
const STORE_RETRY: std::time::Duration = std::time::Duration::from_secs(5);

/// When the waker looks next, and how it is woken before.
pub(super) struct Alarm {
    /// When the waker looks, in milliseconds since 1970.
    next: AtomicI64,
    /// Up to when it has looked.
    looked: AtomicI64,
    /// The earliest time that became durable after that.
    missed: AtomicI64,
    nudge: Notify,
}

impl Alarm {
    pub(super) fn new() -> Self {
        // Before the first look, every time is news.
        Self {
            next: AtomicI64::new(i64::MAX),
            looked: AtomicI64::new(i64::MIN),
            missed: AtomicI64::new(i64::MAX),
            nudge: Notify::new(),
        }
    }

    /// A run that sleeps until then is durable.
    pub(super) fn set(&self, at: Timestamp) {
        let at = at.as_millis();
        // A slow store may have taken longer than the run wanted to sleep.
        if at <= self.looked.load(Ordering::SeqCst) {
            self.missed.fetch_min(at, Ordering::SeqCst);
            self.nudge.notify_one();
        } else if at < self.next.load(Ordering::SeqCst) {
            self.nudge.notify_one();
        }
    }
}

/// Behind all runs of its time.
const LAST_RUN: RunId = RunId::from_uuid(uuid::Uuid::max());

pub(super) async fn run(driver: Driver) {
    let alarm = &driver.0.alarm;
    let mut waker = Waker { driver: &driver, seen: None };
    loop {
        // Whatever becomes durable during the look nudges.
        alarm.next.store(i64::MAX, Ordering::SeqCst);
        let next = match waker.queue_due().await {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(%error, "cannot look for waiting runs");
                Next::In(STORE_RETRY)
            }
        };
        let sleep = match next {
            Next::At(at) => {
                alarm.next.store(at.as_millis(), Ordering::SeqCst);
                at.since(driver.now()).as_std().min(SLEEP_MAX)
            }
            Next::In(sleep) => sleep,
            Next::Room => SLEEP_MAX,
        };
        let crowded = matches!(next, Next::Room);
        tokio::select! {
            () = driver.0.stopping.cancelled() => return,
            () = driver.0.room.notified(), if crowded => {}
            () = alarm.nudge.notified(), if !crowded => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// When there is something to do again.
enum Next {
    At(Timestamp),
    In(std::time::Duration),
    /// As soon as fewer wait for a slot.
    Room,
}

struct Waker<'a> {
    driver: &'a Driver,
    /// Up to here all are queued, or were.
    seen: Option<WakeCursor>,
}

impl Waker<'_> {
    /// Queues everything that is due and was not seen before.
    async fn queue_due(&mut self) -> Result<Next, StoreError> {
        let inner = &self.driver.0;
        let store: &dyn Store = &*inner.parts.store;
        let now = self.driver.now();
        // Said before the store is asked, so that nothing falls between.
        let looked = inner.alarm.looked.swap(now.as_millis(), Ordering::SeqCst);
        let missed = inner.alarm.missed.swap(i64::MAX, Ordering::SeqCst);
        // Who is queued already stays so. Where the clock was set back, all may come again.
        if looked > now.as_millis() {
            self.seen = None;
        } else if self.seen.is_some_and(|(at, _)| at.as_millis() >= missed) {
            self.seen = Some((Timestamp::from_millis(missed - 1), LAST_RUN));
        }
        loop {
            if inner.dispatch.queued() >= DUE_QUEUED_MAX {
                return Ok(Next::Room);
            }
            let due = store.run_due(now, self.seen, DUE_PAGE).await?;
            let Some(last) = due.last() else { break };
            self.seen = last.wake_at.map(|at| (at, last.run)).or(self.seen);
            for row in &due {
                let summary = Summary::decode(&row.summary).ok();
                inner.dispatch.queue(Waiter::of_row(row, summary.as_ref()));
            }
        }
        let next = store.run_wake_next(self.seen).await?;
        Ok(next.map_or(Next::In(SLEEP_MAX), Next::At))
    }
}
