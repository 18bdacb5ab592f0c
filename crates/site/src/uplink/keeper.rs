//! The line as a part of a site: opened with it, held while it is at work, ended before it is.

use std::sync::Arc;

use base::{Clock, Random, SiteName};
use link::site::Saying;
use store::Store;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{HubClock, LineError, Membership, Parts, Uplink, Watch};
use wire::HubLine;

use crate::config::Refused;
use crate::edition::{self, Reconciler};
use crate::order::Orders;
use crate::refusal::Refusal;
use crate::run::Runs;
use crate::workflow::Workflows;

pub(crate) struct LineKeeper {
    watch: Watch,
    site: SiteName,
    store: Arc<dyn Store>,
    clock: Arc<HubClock>,
    grown: Arc<Notify>,
    came: Arc<Notify>,
    edited: Arc<Notify>,
    saying: watch::Sender<Saying>,
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
        let (edited, saying) = (Arc::new(Notify::new()), watch::Sender::default());
        let site = membership.site().clone();
        let parts = Parts {
            store: Arc::clone(&store),
            membership,
            clock,
            random,
            grown: Arc::clone(&grown),
            came: Arc::clone(&came),
            edited: Arc::clone(&edited),
            saying: saying.subscribe(),
        };
        let uplink = Uplink::open(parts).await?;
        let (watch, clock) = (uplink.watch(), uplink.clock());
        let (uplink, holding) = (Mutex::new(Some(uplink)), Mutex::default());
        Ok(Self { watch, site, store, clock, grown, came, edited, saying, uplink, holding })
    }

    /// What to tell when there is something new for the hub.
    pub(crate) fn grown(&self) -> Arc<Notify> {
        Arc::clone(&self.grown)
    }

    /// Holds it and does what the hub orders, from the first call on until `closing`.
    pub(crate) async fn hold(
        &self,
        runs: Runs,
        workflows: Workflows,
        refused: Refused,
        closing: CancellationToken,
    ) {
        let Some(uplink) = self.uplink.lock().await.take() else { return };
        let orders = Orders {
            site: self.site.clone(),
            store: Arc::clone(&self.store),
            runs,
            refused: refused.clone(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            came: Arc::clone(&self.came),
            grown: Arc::clone(&self.grown),
        };
        let reconciler = Reconciler {
            store: Arc::clone(&self.store),
            workflows,
            refused,
            came: Arc::clone(&self.edited),
            saying: self.saying.clone(),
        };
        let held = async move {
            tokio::join!(
                uplink.run(closing.clone()),
                orders.run(closing.clone()),
                reconciler.run(closing)
            );
        };
        *self.holding.lock().await = Some(tokio::spawn(held));
    }

    /// How the line is, and how far the site is with what the hub wants.
    pub(crate) async fn view(&self) -> Result<HubLine, Refusal> {
        let line = self.watch.view(self.store.as_ref()).await?;
        let said = self.saying.borrow().clone();
        Ok(HubLine { desired: edition::view(self.store.as_ref(), &said).await?, ..line })
    }

    /// Until it is held no more.
    pub(crate) async fn ended(&self) {
        if let Some(holding) = self.holding.lock().await.take() {
            holding.await.ok();
        }
    }
}
