//! The line as a part of a site: opened with it, held while it is at work, ended before it is.

use std::sync::Arc;

use base::{Clock, Random, SiteName};
use store::Store;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{HubClock, LineError, Membership, Parts, Uplink, Watch};
use crate::order::Orders;
use crate::run::Runs;

pub(crate) struct LineKeeper {
    pub watch: Watch,
    site: SiteName,
    store: Arc<dyn Store>,
    clock: Arc<HubClock>,
    grown: Arc<Notify>,
    came: Arc<Notify>,
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
        let (grown, came) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let site = membership.site().clone();
        let parts = Parts {
            store: Arc::clone(&store),
            membership,
            clock,
            random,
            grown: Arc::clone(&grown),
            came: Arc::clone(&came),
        };
        let uplink = Uplink::open(parts).await?;
        let (watch, clock) = (uplink.watch(), uplink.clock());
        let (uplink, holding) = (Mutex::new(Some(uplink)), Mutex::default());
        Ok(Self { watch, site, store, clock, grown, came, uplink, holding })
    }

    /// What to tell when there is something new for the hub.
    pub(crate) fn grown(&self) -> Arc<Notify> {
        Arc::clone(&self.grown)
    }

    /// Holds it and does what the hub orders, from the first call on until `closing`.
    pub(crate) async fn hold(&self, runs: Runs, closing: CancellationToken) {
        let Some(uplink) = self.uplink.lock().await.take() else { return };
        let orders = Orders {
            site: self.site.clone(),
            store: Arc::clone(&self.store),
            runs,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            came: Arc::clone(&self.came),
            grown: Arc::clone(&self.grown),
        };
        let held = async move {
            tokio::join!(uplink.run(closing.clone()), orders.run(closing));
        };
        *self.holding.lock().await = Some(tokio::spawn(held));
    }

    /// Until it is held no more.
    pub(crate) async fn ended(&self) {
        if let Some(holding) = self.holding.lock().await.take() {
            holding.await.ok();
        }
    }
}
