//! The hub's time at the site, for what the hub has said is good until then.

use std::sync::{Arc, Mutex, PoisonError};

use base::{Clock, Duration, Timestamp};
use tokio::time::Instant;

/// What the hub has told, carried on by a clock that nobody can set. Before it has told anything, the
/// site's own clock, but never a time before one that a hub has told.
pub(crate) struct HubClock {
    own: Arc<dyn Clock>,
    seen_at: Mutex<Timestamp>,
    told: Mutex<Option<(Timestamp, Instant)>>,
}

impl HubClock {
    pub(crate) fn new(own: Arc<dyn Clock>, seen_at: Timestamp) -> Self {
        Self { own, seen_at: Mutex::new(seen_at), told: Mutex::default() }
    }

    /// It is no earlier than this.
    pub(crate) fn is_past(&self, at: Timestamp) {
        let mut seen_at = self.seen_at.lock().unwrap_or_else(PoisonError::into_inner);
        *seen_at = at.max(*seen_at);
    }

    pub(crate) fn tell(&self, now: Timestamp) {
        let told = Some((now, Instant::now()));
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = told;
    }
}

impl Clock for HubClock {
    fn now(&self) -> Timestamp {
        let told = *self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((told, at)) = told else {
            let seen_at = *self.seen_at.lock().unwrap_or_else(PoisonError::into_inner);
            return self.own.now().max(seen_at);
        };
        let since = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
        told.plus(Duration::from_millis(since))
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

    /// Mutation: believe the site's clock where the hub has spoken, one that was set back, or an older
    /// file after a newer one.
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
    }
}
