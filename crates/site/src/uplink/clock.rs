//! The hub's time at the site, for what the hub has said is good until then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Clock, Duration, Timestamp};
use tokio::time::Instant;

/// What the hub has told, carried on by a clock that nobody can set. Before it has told anything, the
/// site's own clock. Never a time before one that a hub has told by a file since.
pub(crate) struct HubClock {
    own: Arc<dyn Clock>,
    told: Mutex<Told>,
}

struct Told {
    /// On the line, and when that was.
    now: Option<(Timestamp, Instant)>,
    past: Timestamp,
}

impl HubClock {
    pub(crate) fn new(own: Arc<dyn Clock>, seen_at: Timestamp) -> Self {
        Self { own, told: Mutex::new(Told { now: None, past: seen_at }) }
    }

    /// It is no earlier than this.
    pub(crate) fn is_past(&self, at: Timestamp) {
        let mut told = self.told();
        told.past = at.max(told.past);
    }

    /// Whatever was told before: that hub may have been ahead.
    pub(crate) fn tell(&self, now: Timestamp) {
        *self.told() = Told { now: Some((now, Instant::now())), past: Timestamp::from_millis(0) };
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for HubClock {
    fn now(&self) -> Timestamp {
        let told = self.told();
        let now = told.now.map(|(now, at)| {
            let since = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
            now.plus(Duration::from_millis(since))
        });
        now.unwrap_or_else(|| self.own.now()).max(told.past)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stopped(Timestamp);

    impl Clock for Stopped {
        fn now(&self) -> Timestamp {
            self.0
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    /// Mutation: believe the site's clock where the hub has spoken, one that was set back, an older file
    /// after a newer one, or no file once there was a line.
    #[tokio::test(start_paused = true)]
    async fn the_hubs_time_goes_on_without_the_hub() {
        let clock = HubClock::new(Arc::new(Stopped(at(5))), at(100));
        assert_eq!(clock.now(), at(100));
        clock.is_past(at(120));
        clock.is_past(at(110));
        assert_eq!(clock.now(), at(120));
        clock.tell(at(50));
        tokio::time::advance(std::time::Duration::from_secs(7)).await;
        assert_eq!(clock.now(), at(57));
        clock.is_past(at(90));
        assert_eq!(clock.now(), at(90));
    }
}
