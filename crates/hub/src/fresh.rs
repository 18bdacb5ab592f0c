//! What the hub shows of itself, made again each day: whoever comes looks at the clock.

use std::sync::{Arc, Mutex, PoisonError};

use base::{Duration, Timestamp};
use identity::{IdentityError, ServerConfig};

use crate::Hub;

/// How old what is shown may be. A certificate is good for ninety days. One that is from the future, or from
/// 1970, was made by a clock that is set right now: nobody should wait a day for the next.
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);

type Make = fn(&Hub) -> Result<ServerConfig, IdentityError>;

/// A certificate over a key of its own, with all that TLS needs.
pub(crate) struct Fresh {
    hub: Hub,
    make: Make,
    last: Mutex<(Timestamp, Arc<ServerConfig>)>,
}

impl Fresh {
    pub(crate) fn new(hub: &Hub, make: Make) -> Result<Self, IdentityError> {
        let last = Mutex::new((hub.machine_now(), Arc::new(make(hub)?)));
        Ok(Self { hub: hub.clone(), make, last })
    }

    /// The one from before, where no other can be made.
    pub(crate) fn get(&self) -> Arc<ServerConfig> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.hub.machine_now();
        if now.as_millis().abs_diff(last.0.as_millis()) >= AGE_MAX.as_millis() {
            match (self.make)(&self.hub) {
                Ok(config) => *last = (now, Arc::new(config)),
                Err(error) => tracing::error!(%error, "cannot make a new certificate"),
            }
        }
        Arc::clone(&last.1)
    }
}
