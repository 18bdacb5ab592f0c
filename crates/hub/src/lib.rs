//! The hub: who its sites are, what they have sent, what they are told.
//!
//! It governs and runs no workflow. The line to each site is in `link`, who is who in `identity`;
//! here both meet the store.

mod api;
mod change;
mod desk;
mod door;
mod fleet;
mod folder;
mod join;
mod line;
mod order;
mod site;

pub use api::{addresses_wrong, openapi_json};
pub use desk::{DeskError, Desks, Down, Line};
pub use door::{Door, listen};
pub use folder::{HubFolder, HubFolderError};
pub use join::{JoinRefusal, Joined, TokenOrder};
pub use server::ServeError;
pub use site::{SiteDoc, tags_wrong};

use std::sync::Arc;

use base::{Clock, IncarnationId, Random, Timestamp};
use identity::{Authority, CertificateDer, Pin};
use store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What a hub is made of.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub authority: Authority,
    /// Authorities before it, whose certificates are still taken.
    pub former: Vec<CertificateDer<'static>>,
    /// Incarnations of this hub before the present one, the newest first.
    pub before: Vec<IncarnationId>,
    /// Where sites find it, as `host:port`.
    pub addresses: Vec<String>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
}

/// A hub at work. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    authority: Authority,
    former: Vec<CertificateDer<'static>>,
    root: Pin,
    addresses: Vec<String>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    desks: Desks,
}

#[derive(Debug, thiserror::Error)]
#[error("the hub's authority has no root with it")]
pub struct RootMissing;

impl Hub {
    pub fn open(parts: Parts) -> Result<Self, RootMissing> {
        let Parts { store, authority, former, before, addresses, clock, random } = parts;
        let root = authority.root_pin().ok_or(RootMissing)?;
        let desks = Desks::new(Arc::clone(&store), before, Arc::clone(&clock), Arc::clone(&random));
        let inner = Inner { store, authority, former, root, addresses, clock, random, desks };
        Ok(Self(Arc::new(inner)))
    }

    /// Answers people and their tools until `shutdown`.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        server::serve(listener, api::router(self.clone()), CancellationToken::new(), shutdown).await
    }

    /// Who speaks for each site.
    #[must_use]
    pub fn desks(&self) -> &Desks {
        &self.0.desks
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.0.authority
    }

    pub(crate) fn former(&self) -> &[CertificateDer<'static>] {
        &self.0.former
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}
