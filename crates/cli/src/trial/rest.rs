//! Knows when nothing is left to do before time must move.
//!
//! A runtime of one thread goes to sleep when no task can go on. With its clock paused it would now
//! jump to the next timer; whoever has waited for rest comes first, at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::time::Instant;

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Rest(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    rested: Notify,
    moved: Notify,
    /// How far whoever waits for `moved` is.
    moving: AtomicU8,
    /// What is being done on other threads, in real time.
    busy: AtomicUsize,
}

/// Nobody waits.
const NOBODY: u8 = 0;
/// Somebody waits, and time must move first.
const ASKED: u8 = 1;
/// Time was let go on.
const LET_GO: u8 = 2;

/// While it lives, something is being done on another thread.
pub struct Busy(Rest);

impl Rest {
    /// For [`tokio::runtime::Builder::on_thread_park`].
    pub fn parking(&self) {
        if self.0.busy.load(Ordering::Acquire) > 0 {
            return;
        }
        self.0.rested.notify_waiters();
        match self.0.moving.load(Ordering::Acquire) {
            ASKED => self.0.moving.store(LET_GO, Ordering::Release),
            LET_GO => {
                self.0.moving.store(NOBODY, Ordering::Release);
                self.0.moved.notify_one();
            }
            _ => {}
        }
    }

    #[must_use]
    pub fn busy(&self) -> Busy {
        self.0.busy.fetch_add(1, Ordering::AcqRel);
        Busy(self.clone())
    }

    /// Comes when time has moved, and everything has been done that follows. One waits at a time.
    pub async fn moved(&self) {
        let before = Instant::now();
        // The thread also goes to sleep to be woken at once, without a step of time.
        while Instant::now() == before {
            self.0.moving.store(ASKED, Ordering::Release);
            self.0.moved.notified().await;
        }
    }

    /// Comes when everything has been done that can be done at this time.
    pub async fn settled(&self) {
        self.0.rested.notified().await;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.busy.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::runtime::{Builder, Runtime};
    use tokio::time::{advance, interval_at};

    use super::*;

    fn at_rest() -> (Rest, Runtime) {
        let rest = Rest::default();
        let parking = rest.clone();
        let mut runtime = Builder::new_current_thread();
        runtime.enable_time().start_paused(true).on_thread_park(move || parking.parking());
        (rest, runtime.build().expect("a runtime"))
    }

    /// Mutation: come before time has moved, or once more than it moves.
    #[test]
    fn what_moves_is_waited_for_step_by_step() {
        let (rest, runtime) = at_rest();
        runtime.block_on(async {
            let began = Instant::now();
            let step = Duration::from_millis(7);
            let mut steps = interval_at(began + step, step);
            tokio::spawn(async move {
                for _ in 0..3 {
                    steps.tick().await;
                }
            });
            let mut seen = Vec::new();
            for _ in 0..3 {
                rest.moved().await;
                seen.push(began.elapsed().as_millis());
            }
            assert_eq!(seen, [7, 14, 21]);
        });
    }

    /// Mutation: notify with `notify_one`, so that a rest from before counts, or do not look at
    /// `busy`.
    #[test]
    fn rest_comes_after_all_work_and_takes_no_time() {
        let (rest, runtime) = at_rest();
        runtime.block_on(async {
            let began = Instant::now();
            advance(Duration::from_millis(5)).await;
            let (sender, mut steps) = tokio::sync::mpsc::unbounded_channel();
            let working = rest.clone();
            tokio::spawn(async move {
                for step in 1..=100 {
                    tokio::task::yield_now().await;
                    sender.send(step).expect("somebody listens");
                }
                let busy = working.busy();
                let (gate, opened) = std::sync::mpsc::channel::<()>();
                let work = tokio::task::spawn_blocking(move || opened.recv().is_ok());
                std::thread::spawn(move || gate.send(()));
                work.await.expect("it ends");
                sender.send(101).expect("somebody listens");
                drop(busy);
            });
            rest.settled().await;
            let mut last = 0;
            while let Ok(step) = steps.try_recv() {
                last = step;
            }
            assert_eq!(last, 101);
            assert_eq!(began.elapsed(), Duration::from_millis(5));
        });
    }
}
