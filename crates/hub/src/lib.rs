//! The hub: who its sites are, what they have sent, what they are told.
//!
//! It governs and runs no workflow. The line to each site is in `link`, who is who in `identity`;
//! here both meet the store.

mod api;
mod attempts;
mod authority;
mod budget;
mod change;
mod desired;
mod desk;
mod dispatch;
mod door;
mod edition;
mod exchange;
mod explain;
mod fleet;
mod folder;
mod forget;
mod join;
mod lease;
mod line;
mod order;
mod placement;
mod recovery;
mod request;
mod site;
mod source;
#[cfg(test)]
mod stage;
mod turned;
mod usage;

pub use api::{addresses_wrong, openapi_json};
pub use authority::{AUTHORITY_OVERLAP, Former, Kept};
pub use desk::{DeskError, Desks, Down, Line};
pub use door::{Door, listen};
pub use folder::{FOLDER_FILES, HubFolder, HubFolderError};
pub use join::{JoinRefusal, Joined, TokenOrder};
pub use server::{KeysError, Refusal, ServeError};
pub use site::SiteDoc;

use std::sync::Arc;

use base::{Clock, IncarnationId, Random, Timestamp};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use identity::{Authority, IdentityError, Pin, SealingKey};
use server::{BackupSource, KeyParts, Keys, Listening, Onward, Pieces, Shown, backup, pieces};
use spec::Catalog;
use store::{Pace, Store, Upkeep};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wire::{ApiKey, KeyCreated, ProblemCode, RecoveryView};

use authority::{At, Authorities, Signing};
use edition::Editions;
use exchange::Exchange;
use recovery::Recovery;
use turned::Turned;

/// What a hub is made of.
pub struct Parts {
    pub store: Arc<dyn Store>,
    /// The same, where it lies on a disk.
    pub upkeep: Option<Arc<dyn Upkeep>>,
    /// Who signs for it, and whose word counts besides.
    pub authorities: Kept,
    /// What is sealed to the hub is opened with it.
    pub sealing: SealingKey,
    /// Incarnations of this hub before the present one, the newest first.
    pub before: Vec<IncarnationId>,
    /// Where sites find it, as `host:port`.
    pub addresses: Vec<String>,
    /// The key of whoever may read the hub's folder.
    pub own_key: ApiKey,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    /// Functions that workflows may call.
    pub catalog: Arc<dyn Catalog + Send + Sync>,
}

/// A hub at work. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    upkeep: Option<Arc<dyn Upkeep>>,
    /// A backup reads the whole store; two would only make both slow.
    backing_up: Arc<Semaphore>,
    authorities: Arc<Authorities>,
    exchange: Exchange,
    root: Pin,
    addresses: Vec<String>,
    clock: Arc<Onward>,
    random: Arc<dyn Random>,
    desks: Desks,
    keys: Keys,
    catalog: Arc<dyn Catalog + Send + Sync>,
    editions: Arc<Editions>,
    recovery: Arc<Recovery>,
    turned: Turned,
    leases: lease::Leases,
    usages: usage::Usages,
    /// One change of what should be at a time, so that a plan is still true when it is carried out.
    changing: tokio::sync::Mutex<()>,
    /// One request for orders at a time, so that one that is made twice at once is made once. And none while a
    /// site is changed: counts such changes, so that nobody is meant by what was so before.
    ordering: tokio::sync::Mutex<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the hub's authority has no root with it")]
    RootMissing,
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("cannot say what should be at the sites: {0}")]
    Edition(Refusal),
    #[error("cannot say what was lost by the restore: {0}")]
    Recovery(Refusal),
}

impl Hub {
    pub fn open(parts: Parts) -> BoxFuture<'static, Result<Self, OpenError>> {
        Self::opened(parts).boxed()
    }

    async fn opened(parts: Parts) -> Result<Self, OpenError> {
        let Parts {
            store,
            upkeep,
            authorities,
            sealing,
            before,
            addresses,
            own_key,
            clock: machine,
            random,
            catalog,
        } = parts;
        let root = authorities.authority.root_pin().ok_or(OpenError::RootMissing)?;
        let name = authorities.authority.domain().to_string();
        let floor = authorities.authority.not_before()?;
        let onward = Onward::open(store.as_ref(), machine, floor).await;
        let onward = Arc::new(onward.map_err(KeysError::from)?);
        let clock = Arc::clone(&onward) as Arc<dyn Clock>;
        let exchange = Exchange::new(sealing);
        let sealing = exchange.key.public();
        let at = At { now: onward.now(), machine: onward.of_machine() };
        let authorities = Authorities::open(authorities, root, sealing, at)?;
        let keys = KeyParts::of(&store, &onward, &random).open("hub", &name, own_key).await?;
        let authorities = Arc::new(authorities);
        let is_restored = !before.is_empty();
        let recovery = Recovery::open(Arc::clone(&store), Arc::clone(&clock), is_restored);
        let recovery = Arc::new(recovery.await.map_err(OpenError::Recovery)?);
        let editions = Arc::new(Editions::new(
            Arc::clone(&store),
            Arc::clone(&authorities),
            root,
            Arc::clone(&clock),
            Arc::clone(&random),
            Arc::clone(&recovery),
        ));
        let desks = Desks::new(
            Arc::clone(&store),
            before,
            Arc::clone(&clock),
            Arc::clone(&random),
            Arc::clone(&editions),
            Arc::clone(&recovery),
        );
        // What was known to be revoked, and not done about when this hub was last at work.
        recovery.sweep(&desks).await.map_err(OpenError::Recovery)?;
        // Before anybody comes: whoever is the first is told the same as the last.
        editions.turn().await.map_err(OpenError::Edition)?;
        let inner = Inner {
            store,
            upkeep,
            backing_up: Arc::new(Semaphore::new(1)),
            authorities,
            exchange,
            root,
            addresses,
            clock: onward,
            random,
            desks,
            keys,
            catalog,
            editions,
            recovery,
            turned: Turned::default(),
            leases: lease::Leases::default(),
            usages: usage::Usages::default(),
            changing: tokio::sync::Mutex::default(),
            ordering: tokio::sync::Mutex::default(),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Makes the first key of a new hub: for whoever runs it.
    pub async fn first_key(&self) -> Result<KeyCreated, Refusal> {
        self.0.keys.first().await
    }

    /// Answers people and their tools until `shutdown`.
    pub fn serve(
        &self,
        doors: Vec<Listening>,
        shutdown: BoxFuture<'static, ()>,
    ) -> BoxFuture<'static, Result<(), ServeError>> {
        let closing = CancellationToken::new();
        server::serve(doors, api::router(self.clone()), None, closing, shutdown)
    }

    /// What the API shows where it has no other certificate: the hub's own, below the fleet's root.
    #[must_use]
    pub fn shown(&self) -> Shown {
        let hub = self.clone();
        Arc::new(move || Arc::clone(&hub.signing().api))
    }

    /// The key of the fleet's root: by it a client knows the hub.
    #[must_use]
    pub fn root(&self) -> Pin {
        self.0.root
    }

    /// Publishes what should be at the sites, whenever that has changed, hands on what they say to each
    /// other, grants leases, brings the recovery to its end, and gives orders that had to wait for it, until it is dropped.
    pub fn keep_editions(&self) -> BoxFuture<'_, ()> {
        self.editions_kept().boxed()
    }

    async fn editions_kept(&self) {
        let recovered = async {
            loop {
                self.0.recovery.over().await;
                self.0.editions.changed();
                self.desks().ordered_all().await;
                self.0.recovery.is(true).await;
            }
        };
        let (editions, relay) =
            (edition::keep(&self.0.editions, self.desks()), dispatch::keep(self));
        let (recovering, time) =
            (self.0.recovery.keep(self.desks()), self.0.clock.keep(self.0.store.as_ref()));
        let said = usage::keep(self);
        tokio::join!(editions, relay, lease::keep(self), said, recovering, recovered, time);
    }

    /// The store as it is at this moment. Other work goes on.
    pub(crate) fn backup(&self) -> Result<Pieces, Refusal> {
        let turn = Arc::clone(&self.0.backing_up).try_acquire_owned().map_err(|_| {
            Refusal::new(ProblemCode::Overloaded, "a backup is under way; wait for its end")
        })?;
        let source = self.0.upkeep.as_ref().map(|upkeep| BackupSource {
            upkeep: Arc::clone(upkeep),
            scratch: upkeep.scratch(),
            clock: Arc::clone(&self.0.clock) as Arc<dyn Clock>,
            pace: Pace::Half,
        });
        let (out, pieces) = pieces();
        tokio::spawn(async move {
            backup(source, out).await;
            drop(turn);
        });
        Ok(pieces)
    }

    /// How far the recovery is. Where it is over, what was held back is published before this returns.
    pub(crate) async fn recovered(&self) -> Result<RecoveryView, Refusal> {
        if !self.0.recovery.is_on() {
            self.0.editions.publish().await;
        }
        Ok(self.0.recovery.view().await)
    }

    /// Forgets orders that are long over, until it is dropped.
    pub fn keep_orders(&self) -> BoxFuture<'_, ()> {
        forget::keep(self).boxed()
    }

    /// Who speaks for each site.
    #[must_use]
    pub fn desks(&self) -> &Desks {
        &self.0.desks
    }

    /// Who signs now, and all that follows from it.
    pub(crate) fn signing(&self) -> Arc<Signing> {
        self.0.authorities.fresh(self.at())
    }

    /// Who signs now.
    pub(crate) fn authority(&self) -> Arc<Authority> {
        Arc::clone(&self.signing().authority)
    }

    /// When the certificate of the authority that signs ends.
    #[must_use]
    pub fn authority_ends(&self) -> Option<Timestamp> {
        let read = identity::authority_read(self.authority().pem()).ok();
        read.map(|it| it.not_after)
    }

    /// Who was turned away at the door, and off a line.
    pub(crate) fn turned(&self) -> &Turned {
        &self.0.turned
    }

    /// For what ends. It does not go back, whoever sets the machine's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// For certificates.
    pub(crate) fn machine_now(&self) -> Timestamp {
        self.0.clock.of_machine()
    }
}
