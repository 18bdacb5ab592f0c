//! Time that the test moves, for hub and site alike: clocks that people see, and those that nobody can set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use base::{Clock, Timestamp};
use tokio::time::Instant;

pub const HOUR: i64 = 3600;
pub const DAY: i64 = 24 * HOUR;

/// When everything begins: in January 2027.
const BEGAN: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// A machine's clock: it goes with the others, and may be wrong.
pub struct Moved {
    from: Instant,
    off_ms: AtomicI64,
}

impl Moved {
    pub fn of(time: &Time) -> Arc<Self> {
        Arc::new(Self { from: time.from, off_ms: AtomicI64::new(0) })
    }

    /// Somebody sets it: it is wrong by so much from now on.
    pub fn off_by(&self, seconds: i64) {
        self.off_ms.store(seconds * 1000, Ordering::Relaxed);
    }

    /// The battery was empty.
    pub fn falls_to_1970(&self) {
        self.off_by(0);
        self.off_by(-(self.now().as_millis() / 1000));
    }
}

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.from.elapsed().as_millis()).expect("not so long");
        let right = BEGAN.as_millis() + passed;
        Timestamp::from_millis(right + self.off_ms.load(Ordering::Relaxed))
    }
}

/// Nothing but [`pass`](Self::pass) moves it while it stands still. While [a line is made](Self::flow), it
/// goes on as outside: pauses between two attempts are seconds, and what is waited for comes by itself.
pub struct Time {
    from: Instant,
    /// A runtime whose time stands still lets it pass when it has nothing to do, though a disk or another
    /// thread has. While somebody blocks, it does not.
    _still: mpsc::Sender<()>,
}

impl Time {
    pub fn new() -> Self {
        tokio::time::pause();
        let (still, until) = mpsc::channel();
        tokio::task::spawn_blocking(move || until.recv().ok());
        Self { from: Instant::now(), _still: still }
    }

    pub async fn pass(&self, seconds: i64) {
        let seconds = Duration::from_secs(u64::try_from(seconds).expect("forward"));
        // Sleepers wake at whole milliseconds.
        tokio::time::advance(seconds + Duration::from_millis(2)).await;
    }

    /// Time goes on by itself until this is done.
    pub async fn flow<T>(&self, what: impl Future<Output = T>) -> T {
        tokio::time::resume();
        let done = what.await;
        tokio::time::pause();
        done
    }
}
