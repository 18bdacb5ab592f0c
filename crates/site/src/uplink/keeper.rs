//! The line as a part of a site: opened with it, held while it is at work, ended before it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Random, SiteName};
use gateway::Left;
use link::site::{KeepError, Saying, left};
use store::{CommitError, Preconditions, Store, StoreError};
use tokio::sync::{Mutex, Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use worker::Datasets;

use super::view::waiting;
use super::{
    Errand, HubClock, LineError, Membership, MembershipError, Parts, Terms, Uplink, Watch,
};
use wire::{HubLine, ProblemCode, SiteLeft};

use crate::config::Refused;
use crate::dataset;
use crate::dispatch::{self, Dispatches};
use crate::edition::{self, Reconciler};
use crate::model::lease::{LeaseParts, Leases};
use crate::model::report;
use crate::order::Orders;
use crate::refusal::Refusal;
use crate::run::Runs;
use crate::workflow::Workflows;

/// How long a hub is given to hear that its site leaves.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct LineKeeper {
    watch: Watch,
    site: SiteName,
    store: Arc<dyn Store>,
    clock: Arc<HubClock>,
    grown: Arc<Notify>,
    came: Arc<Notify>,
    edited: Arc<Notify>,
    saying: watch::Sender<Saying>,
    dispatches: Dispatches,
    /// Until somebody takes leases.
    lease_parts: std::sync::Mutex<Option<LeaseParts>>,
    /// The owner ends it.
    leaving: CancellationToken,
    /// Where it says who it is.
    identity: PathBuf,
    errands: mpsc::Sender<Errand>,
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
        left: Left,
        terms: Terms,
    ) -> Result<Self, LineError> {
        let (grown, came) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (edited, saying) = (Arc::new(Notify::new()), watch::Sender::default());
        let (site, identity) = (membership.site().clone(), membership.folder().to_owned());
        let leaving = CancellationToken::new();
        let (root, sealing, key) =
            (membership.root(), membership.sealing_key(), membership.signing_key());
        let (own, own_clock) = (Arc::clone(&clock), Arc::clone(&clock));
        let parts = Parts {
            store: Arc::clone(&store),
            membership,
            clock,
            random,
            grown: Arc::clone(&grown),
            came: Arc::clone(&came),
            edited: Arc::clone(&edited),
            saying: saying.subscribe(),
            leaving: leaving.clone(),
            left,
            terms,
        };
        let uplink = Uplink::open(parts).await?;
        let (watch, clock, errands) = (uplink.watch(), uplink.clock(), uplink.errands());
        let dispatches = Dispatches::open(dispatch::Parts {
            site: site.clone(),
            store: Arc::clone(&store),
            root,
            sealing,
            own_clock,
            clock: Arc::clone(&clock),
            grown: Arc::clone(&grown),
            leaving: leaving.clone(),
        })
        .await?;
        let (life, line) = (uplink.life(), uplink.state());
        let lease_parts = LeaseParts {
            site: site.clone(),
            life,
            root,
            key,
            store: Arc::clone(&store),
            clock: own,
            grown: Arc::clone(&grown),
            line,
        };
        let lease_parts = std::sync::Mutex::new(Some(lease_parts));
        let (uplink, holding) = (Mutex::new(Some(uplink)), Mutex::default());
        Ok(Self {
            watch,
            site,
            store,
            clock,
            grown,
            came,
            edited,
            saying,
            dispatches,
            lease_parts,
            leaving,
            identity,
            errands,
            uplink,
            holding,
        })
    }

    /// What to tell when there is something new for the hub.
    pub(crate) fn grown(&self) -> Arc<Notify> {
        Arc::clone(&self.grown)
    }

    /// What this site has others do, and does for them.
    pub(crate) fn dispatches(&self) -> &Dispatches {
        &self.dispatches
    }

    /// What leases are made of. Once.
    pub(crate) fn lease_parts(&self) -> Option<LeaseParts> {
        self.lease_parts.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }

    /// Holds it and does what the hub orders, from the first call on until `closing`.
    pub(crate) async fn hold(
        &self,
        runs: Runs,
        leases: Leases,
        workflows: Workflows,
        refused: Refused,
        datasets: Datasets,
        closing: CancellationToken,
    ) {
        let Some(uplink) = self.uplink.lock().await.take() else { return };
        let orders = Orders {
            site: self.site.clone(),
            store: Arc::clone(&self.store),
            runs: runs.clone(),
            refused: refused.clone(),
            dispatches: self.dispatches.clone(),
            leases: leases.clone(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            came: Arc::clone(&self.came),
            saying: self.saying.subscribe(),
            grown: Arc::clone(&self.grown),
            edited: Arc::clone(&self.edited),
        };
        let (watching, told) = dataset::Watching::begin(datasets).await;
        let reconciler = Reconciler {
            store: Arc::clone(&self.store),
            workflows,
            refused,
            came: Arc::clone(&self.edited),
            datasets: told,
            saying: self.saying.clone(),
        };
        // Whoever leaves ends the line first, since it says so, and then what hangs on it.
        let (ending, saying) = (closing.child_token(), self.saying.subscribe());
        let dispatches = self.dispatches.clone();
        let held = async move {
            let line = async {
                uplink.run(closing).await;
                ending.cancel();
            };
            tokio::join!(
                line,
                orders.run(ending.clone()),
                watching.run(ending.clone()),
                reconciler.run(ending.clone()),
                dispatches.answer(runs, ending.clone()),
                leases.clone().run(saying, ending.clone()),
                reports(leases, ending.clone())
            );
        };
        *self.holding.lock().await = Some(tokio::spawn(held));
    }

    /// Has whoever holds the line do something while it is down.
    pub(crate) async fn errand<T>(
        &self,
        errand: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Errand,
    ) -> Result<T, Refusal> {
        let stopping = || Refusal::from(server::Refusal::stopping());
        let (answer, answered) = oneshot::channel();
        self.errands.send(errand(answer)).await.map_err(|_| stopping())?;
        answered.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// How the line is, and how far the site is with what the hub wants.
    pub(crate) async fn view(&self) -> Result<HubLine, Refusal> {
        let line = self.watch.view(self.store.as_ref()).await?;
        let said = self.saying.borrow().clone();
        Ok(HubLine { desired: edition::view(self.store.as_ref(), &said).await?, ..line })
    }

    /// Ends it for good: nobody here is the fleet's site any more. Again is harmless. Gives whether the hub
    /// was there to be told, and what it will never be told.
    pub(crate) async fn leave(&self) -> Result<SiteLeft, Refusal> {
        let HubLine { state, .. } = self.watch.view(self.store.as_ref()).await?;
        self.leaving.cancel();
        if let Some(mut holding) = self.holding.lock().await.take()
            && timeout(LEAVE_TIMEOUT, &mut holding).await.is_err()
        {
            // It is connecting: nothing is said.
            holding.abort();
        }
        let unsent = leave(self.store.as_ref(), &self.identity).await?;
        Ok(SiteLeft { hub_told: state == "up", unsent })
    }

    pub(crate) fn has_left(&self) -> bool {
        self.leaving.is_cancelled()
    }

    /// Until it is held no more.
    pub(crate) async fn ended(&self) {
        if let Some(holding) = self.holding.lock().await.take() {
            holding.await.ok();
        }
    }
}

/// Tells the hub what calls have cost, until `closing`.
async fn reports(leases: Leases, closing: CancellationToken) {
    match leases.reports().await {
        Ok(reports) => reports.run(closing).await,
        Err(error) => tracing::error!(%error, "cannot tell the hub what calls of models have cost"),
    }
}

/// What makes this somebody's site goes, the key first: nobody can be it by what is left. What was the hub's
/// is the owner's from now on. What the hub has not taken is for nobody else: gives how much, by stream.
pub async fn leave(
    store: &dyn Store,
    identity: &Path,
) -> Result<BTreeMap<String, u64>, LeaveError> {
    let mut unsent = waiting(store).await?;
    unsent.retain(|_, count| *count > 0);
    Membership::forget(identity)?;
    let mut ops = left(store).await?;
    ops.extend(dispatch::left(store).await?);
    ops.extend(Leases::left(store).await?);
    ops.extend(report::left(store).await?);
    store.commit(ops, Preconditions::none()).await?;
    Ok(unsent)
}

#[derive(Debug, thiserror::Error)]
pub enum LeaveError {
    #[error(transparent)]
    Membership(#[from] MembershipError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Keep(#[from] KeepError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl From<LeaveError> for Refusal {
    fn from(error: LeaveError) -> Self {
        Self::new(ProblemCode::StoreFailed, error.to_string())
    }
}
