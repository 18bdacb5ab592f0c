//! Time for what ends by it: keys, tokens, orders. A clock that is set back gives nothing a second life.

use std::sync::{Arc, Mutex, PoisonError};

use base::{Clock, Duration, Timestamp, document};
use serde::{Deserialize, Serialize};
use store::{CommitError, Op, Preconditions, ResourceKind, ResourceRow, Store, StoreError};
use tokio::time::{Instant, sleep};

/// How far the machine may fall back without this time. Nothing is promised by a token for longer, and a site
/// believes a hub that is a month ahead; a longer way back says that the clock was wrong before.
const LEAD_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// No machine that runs this program knows an earlier time: 2026-11-01.
pub const PROGRAM_SINCE: Timestamp = Timestamp::from_millis(1_793_491_200_000);

/// So much of the time may be forgotten over a restart.
const WRITE_EVERY: std::time::Duration = std::time::Duration::from_secs(3600);

const TIME_TYPE: &str = "isonomy.time";
const TIME_VERSION: u32 = 1;

/// There is one.
const NAME: &str = "time";

/// Does not go back while its server is at work: it is carried on by a clock that nobody can set. Nor over
/// a restart, but for what was not written down.
pub struct Onward {
    machine: Arc<dyn Clock>,
    /// It is no earlier than this: an earlier time says that the machine does not know it.
    floor: Timestamp,
    /// When the time was last taken from somewhere, and what it was.
    anchor: Mutex<(Timestamp, Instant)>,
}

/// The newest time that was written down.
#[derive(Serialize, Deserialize)]
struct Doc {
    at: Timestamp,
}

impl Onward {
    #[must_use]
    pub fn new(machine: Arc<dyn Clock>, floor: Timestamp) -> Self {
        Self { machine, floor, anchor: Mutex::new((floor, Instant::now())) }
    }

    /// Where it was when it was last written down in this store, or later.
    pub async fn open(
        store: &dyn Store,
        machine: Arc<dyn Clock>,
        floor: Timestamp,
    ) -> Result<Self, StoreError> {
        let this = Self::new(machine, floor);
        let row = store.resource_get(ResourceKind::Time, NAME.to_owned()).await?;
        let doc = row.map(|row| document::read::<Doc>(&row.record, TIME_TYPE, TIME_VERSION));
        match doc {
            Some(Ok(doc)) => this.has_been(doc.at),
            // What is lost with it is small, and a start matters more.
            Some(Err(error)) => tracing::error!(%error, "cannot read what time it has been"),
            None => {}
        }
        Ok(this)
    }

    /// Writes it down now and then, until it is dropped.
    pub async fn keep(&self, store: &dyn Store) {
        loop {
            if let Err(error) = self.write(store).await {
                tracing::warn!(%error, "cannot write down what time it is");
            }
            sleep(WRITE_EVERY).await;
        }
    }

    async fn write(&self, store: &dyn Store) -> Result<(), CommitError> {
        let record = document::write(TIME_TYPE, TIME_VERSION, &Doc { at: self.now() }).into();
        let row = ResourceRow { kind: ResourceKind::Time, name: NAME.to_owned(), record };
        store.commit(vec![Op::ResourcePut(row)], Preconditions::none()).await.map(|_| ())
    }

    /// Somebody has written down that it was so late.
    pub fn has_been(&self, at: Timestamp) {
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if at > carried(*anchor, now) {
            *anchor = (at, now);
        }
    }

    /// What the machine says, if only it is late enough to be the time. For certificates: both ends of
    /// a line have to live with a clock that is set right.
    pub fn of_machine(&self) -> Timestamp {
        let now = self.machine.now();
        if now >= self.floor { now } else { self.now() }
    }
}

impl Clock for Onward {
    fn now(&self) -> Timestamp {
        let (machine, at) = (self.machine.now(), Instant::now());
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        let carried = carried(*anchor, at);
        let was_ahead = machine >= self.floor && carried.since(machine) > LEAD_MAX;
        if was_ahead {
            tracing::warn!(%machine, before = %carried, "the clock was far ahead, and is believed now");
        } else if machine < carried {
            // From the same place as before: what is rounded away each time would add up.
            return carried;
        }
        *anchor = (machine, at);
        machine
    }
}

fn carried((from, then): (Timestamp, Instant), at: Instant) -> Timestamp {
    let since = at.saturating_duration_since(then).as_millis();
    from.plus(Duration::from_millis(u64::try_from(since).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    const FLOOR: i64 = 1_800_000_000;

    #[derive(Default)]
    struct Set(AtomicI64);

    impl Clock for Set {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::Relaxed) * 1000)
        }
    }

    fn clock(machine: &Arc<Set>) -> Onward {
        let floor = Timestamp::from_millis(FLOOR * 1000);
        Onward::new(Arc::clone(machine) as Arc<dyn Clock>, floor)
    }

    /// Mutation: follow a clock that is set back, stand still while it is behind, never follow one that
    /// was far ahead, or follow it to a time before the floor.
    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumps_moves_it_forward_alone() {
        let machine = Arc::new(Set::default());
        let onward = clock(&machine);
        let at = |seconds| {
            machine.0.store(FLOOR + seconds, Ordering::Relaxed);
            onward.now().as_millis() / 1000 - FLOOR
        };
        assert_eq!(at(-FLOOR), 0);
        assert_eq!(at(DAY), DAY);
        assert_eq!(at(DAY - 2 * HOUR), DAY);
        tokio::time::advance(std::time::Duration::from_secs(60)).await;
        assert_eq!(at(DAY - 2 * HOUR), DAY + 60);
        assert_eq!(onward.of_machine().as_millis() / 1000 - FLOOR, DAY - 2 * HOUR);
        assert_eq!(at(-FLOOR), DAY + 60);
        assert_eq!(onward.of_machine().as_millis() / 1000 - FLOOR, DAY + 60);
        assert_eq!(at(300 * DAY), 300 * DAY);
        assert_eq!(at(2 * DAY), 2 * DAY);
    }

    /// Mutation: begin anew with what is rounded to milliseconds at each call.
    #[tokio::test(start_paused = true)]
    async fn it_goes_on_however_often_it_is_asked() {
        let machine = Arc::new(Set::default());
        let onward = clock(&machine);
        for _ in 0..10_000 {
            onward.now();
            tokio::time::advance(std::time::Duration::from_micros(300)).await;
        }
        assert_eq!(onward.now().as_millis() - FLOOR * 1000, 3_000);
    }

    /// Mutation: write nothing down, begin anew at a start, or believe for ever what was written while the
    /// clock was far ahead.
    #[tokio::test(start_paused = true)]
    async fn it_does_not_go_back_over_a_restart() {
        let machine = Arc::new(Set::default());
        let store = store::memory::MemoryStore::new(base::IncarnationId::new(
            machine.now(),
            &base::SystemRandom,
        ));
        let set = |seconds| machine.0.store(FLOOR + seconds, Ordering::Relaxed);
        let shown = async || {
            let floor = Timestamp::from_millis(FLOOR * 1000);
            let machine = Arc::clone(&machine) as Arc<dyn Clock>;
            let onward = Onward::open(&store, machine, floor).await.expect("reads");
            let keeping = tokio::time::timeout(WRITE_EVERY * 3 / 2, onward.keep(&store));
            let now = onward.now().as_millis() / 1000 - FLOOR;
            keeping.await.expect_err("it ends never");
            now
        };
        set(5 * HOUR);
        assert_eq!(shown().await, 5 * HOUR);
        set(HOUR);
        assert_eq!(shown().await, 6 * HOUR);
        set(-FLOOR);
        assert_eq!(shown().await, 7 * HOUR);
        set(300 * DAY);
        assert_eq!(shown().await, 300 * DAY);
        set(DAY);
        assert_eq!(shown().await, DAY);
    }
}
