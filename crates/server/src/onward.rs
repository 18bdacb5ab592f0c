//! Time for what ends by it: keys, tokens, orders. A clock that is set back gives nothing a second life.

use std::sync::{Arc, Mutex, PoisonError};

use base::{Clock, Duration, Timestamp};
use tokio::time::Instant;

/// Does not go back while its server is at work: it is carried on by a clock that nobody can set.
pub struct Onward {
    machine: Arc<dyn Clock>,
    /// It is no earlier than this: an earlier time says that the machine does not know it.
    floor: Timestamp,
    /// How far ahead of the machine it may be; without it, as far as it has been.
    lead_max: Option<Duration>,
    /// The newest time, and when that was.
    newest: Mutex<Option<(Timestamp, Instant)>>,
}

impl Onward {
    #[must_use]
    pub fn new(machine: Arc<dyn Clock>, floor: Timestamp) -> Self {
        Self { machine, floor, lead_max: None, newest: Mutex::default() }
    }

    /// A machine that is set back by more than this was ahead before, and is believed.
    #[must_use]
    pub fn led_by_at_most(self, lead_max: Duration) -> Self {
        Self { lead_max: Some(lead_max), ..self }
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
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let carried = newest.map_or(self.floor, |(seen, then)| {
            let since = at.saturating_duration_since(then).as_millis();
            seen.plus(Duration::from_millis(u64::try_from(since).unwrap_or(u64::MAX)))
        });
        let was_ahead = self.lead_max.is_some_and(|most| carried.since(machine) > most);
        let now = match was_ahead && machine >= self.floor {
            true => {
                tracing::warn!(%machine, before = %carried, "the clock was far ahead, and is believed now");
                machine
            }
            false => machine.max(carried),
        };
        *newest = Some((now, at));
        now
    }
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

    /// Mutation: follow a clock that is set back, stand still while it is behind, never follow one that
    /// was far ahead, or follow it to a time before the floor.
    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumps_moves_it_forward_alone() {
        let (machine, week) = (Arc::new(Set::default()), Duration::from_secs(7 * 24 * 3600));
        let floor = Timestamp::from_millis(FLOOR * 1000);
        let new = || Onward::new(Arc::clone(&machine) as Arc<dyn Clock>, floor);
        let (led, free) = (new().led_by_at_most(week), new());
        let at = |seconds| {
            machine.0.store(FLOOR + seconds, Ordering::Relaxed);
            [&led, &free].map(|it| it.now().as_millis() / 1000 - FLOOR)
        };
        assert_eq!(at(-FLOOR), [0, 0]);
        assert_eq!(at(DAY), [DAY, DAY]);
        assert_eq!(at(DAY - 2 * HOUR), [DAY, DAY]);
        tokio::time::advance(std::time::Duration::from_secs(60)).await;
        assert_eq!(at(DAY - 2 * HOUR), [DAY + 60, DAY + 60]);
        assert_eq!(led.of_machine().as_millis() / 1000 - FLOOR, DAY - 2 * HOUR);
        assert_eq!(at(-FLOOR), [DAY + 60, DAY + 60]);
        assert_eq!(led.of_machine().as_millis() / 1000 - FLOOR, DAY + 60);
        assert_eq!(at(300 * DAY), [300 * DAY, 300 * DAY]);
        assert_eq!(at(2 * DAY), [2 * DAY, 300 * DAY]);
    }
}
