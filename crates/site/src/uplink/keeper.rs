//! The line as a part of a site: opened with it, held while it is at work, ended before it is.

use std::sync::Arc;

use base::{Clock, Random};
use store::Store;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{LineError, Membership, Parts, Uplink, Watch};

pub(crate) struct LineKeeper {
    pub watch: Watch,
    grown: Arc<Notify>,
    /// Until it is held.
    uplink: Mutex<Option<Uplink>>,
    /// While it is.
    holding: Mutex<Option<JoinHandle<()>>>,
}

impl LineKeeper {
    /// Opens no connection yet.
    pub(crate) async fn open(
        membership: Membership,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, LineError> {
        let grown = Arc::new(Notify::new());
        let parts = Parts { store, membership, clock, random, grown: Arc::clone(&grown) };
        let uplink = Uplink::open(parts).await?;
        let (watch, holding) = (uplink.watch(), Mutex::default());
        Ok(Self { watch, grown, uplink: Mutex::new(Some(uplink)), holding })
    }

    /// What to tell when there is something new for the hub.
    pub(crate) fn grown(&self) -> Arc<Notify> {
        Arc::clone(&self.grown)
    }

    /// Holds it until `closing`, from the first call on.
    pub(crate) async fn hold(&self, closing: CancellationToken) {
        if let Some(uplink) = self.uplink.lock().await.take() {
            *self.holding.lock().await = Some(tokio::spawn(uplink.run(closing)));
        }
    }

    /// Until it is held no more.
    pub(crate) async fn ended(&self) {
        if let Some(holding) = self.holding.lock().await.take() {
            holding.await.ok();
        }
    }
}
