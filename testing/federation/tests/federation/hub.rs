//! A hub that serves from a folder, and is stopped and started again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base::{By, Clock, Duration, SiteName, SystemClock, SystemRandom};
use hub::{Door, Hub, HubFolder, Parts, TokenOrder, listen};
use identity::{Domain, JoinToken};
use store::{EntryRow, FleetStore as _, Store};
use store_sqlite::{OpenOptions, SqliteStore};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wire::ApiKey;

pub struct AtWork {
    pub hub: Hub,
    pub store: Arc<SqliteStore>,
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

pub fn init(folder: &Path) {
    let domain = Domain::parse("acme").expect("a domain");
    HubFolder::init(folder, domain, SystemClock.now()).expect("a new hub");
}

impl AtWork {
    /// At this address, or at any free one.
    pub async fn start(folder: &Path, address: Option<SocketAddr>) -> Self {
        let store = SqliteStore::open(&folder.join("store"), OpenOptions::default());
        let store = Arc::new(store.expect("the store opens"));
        let mut folder = HubFolder::open(folder).expect("a hub's folder");
        let parts = Parts {
            store: Arc::clone(&store) as Arc<dyn Store>,
            authority: folder.authority().expect("an authority"),
            sealing: folder.sealing().expect("a key"),
            former: Vec::new(),
            before: folder.before(store.incarnation()).expect("written"),
            addresses: Vec::new(),
            upkeep: None,
            own_key: ApiKey::new(&SystemRandom),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            catalog: Arc::new(spec::catalog::Empty),
        };
        let hub = Hub::open(parts).await.expect("a root");
        let door = Arc::new(Door::new(hub.clone()).expect("a certificate"));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = listen(address.unwrap_or(any)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(async move {
            door.serve(listener, async { stopped.await.unwrap_or(()) }).await;
        });
        Self { hub, store, address, stop, served }
    }

    pub async fn stop(self) {
        self.stop.send(()).ok();
        self.served.await.expect("it ends");
        self.store.close().await;
    }

    pub fn order(&self, site: &str) -> TokenOrder {
        TokenOrder {
            site: SiteName::parse(site).expect("a name"),
            tags: BTreeMap::new(),
            life: Duration::from_secs(600),
            replace: false,
            by: By { actor: "test".to_owned(), reason: None },
            hubs: vec![self.address.to_string()],
        }
    }

    pub async fn token(&self, site: &str) -> JoinToken {
        self.hub.token_create(self.order(site)).await.expect("a token")
    }

    pub async fn entries(&self) -> Vec<EntryRow> {
        self.store.entry_list(0, u32::MAX).await.expect("reads")
    }

    /// Until the hub has so many entries.
    pub async fn has(&self, count: usize) -> Vec<EntryRow> {
        let mut taken = self.hub.desks().taken();
        loop {
            let entries = self.entries().await;
            if entries.len() >= count {
                return entries;
            }
            taken.changed().await.expect("the hub is there");
        }
    }
}
