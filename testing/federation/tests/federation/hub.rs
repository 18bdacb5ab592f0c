//! A hub that serves from a folder, and is stopped and started again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base::{By, Clock, Duration, SiteName, SystemClock, SystemRandom};
use futures::FutureExt as _;
use futures::future::pending;
use hub::{Door, Hub, HubFolder, Parts, TokenOrder, listen};
use identity::{Domain, JoinToken};
use serde_json::Value;
use server::Listening;
use store::{EntryRow, FleetStore as _, Store};
use store_sqlite::{OpenOptions, SqliteStore};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use wire::ApiKey;

use crate::plant::Api;

pub struct AtWork {
    pub hub: Hub,
    pub store: Arc<SqliteStore>,
    pub address: SocketAddr,
    api: Api,
    stop: oneshot::Sender<()>,
    /// The door, the API, and what it does by itself.
    served: JoinSet<()>,
}

pub fn init(folder: &Path) {
    init_at(folder, &SystemClock);
}

pub fn init_at(folder: &Path, clock: &dyn Clock) {
    let domain = Domain::parse("acme").expect("a domain");
    HubFolder::init(folder, domain, clock.now()).expect("a new hub");
}

impl AtWork {
    /// At this address, or at any free one.
    pub async fn start(folder: &Path, address: Option<SocketAddr>) -> Self {
        Self::start_at(folder, address, Arc::new(SystemClock)).await
    }

    pub async fn start_at(
        folder: &Path,
        address: Option<SocketAddr>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let store = SqliteStore::open(&folder.join("store"), OpenOptions::default());
        let store = Arc::new(store.expect("the store opens"));
        let mut folder = HubFolder::open(folder).expect("a hub's folder");
        let own_key = ApiKey::new(&SystemRandom);
        let parts = Parts {
            store: Arc::clone(&store) as Arc<dyn Store>,
            authorities: folder.authorities().expect("an authority"),
            sealing: folder.sealing().expect("a key"),
            before: folder.before(store.incarnation()).expect("written"),
            addresses: Vec::new(),
            upkeep: None,
            own_key: own_key.clone(),
            clock,
            random: Arc::new(SystemRandom),
            catalog: Arc::new(spec::catalog::Empty),
        };
        let hub = Hub::open(parts).await.expect("a root");
        let door = Arc::new(Door::new(hub.clone()));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = listen(address.unwrap_or(any)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let asked = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", asked.local_addr().expect("an address"));
        let api = Api { url, key: own_key.to_text() };
        let (stop, stopped) = oneshot::channel();
        let mut served = JoinSet::new();
        served.spawn(async move {
            door.serve(listener, stopped.map(drop).boxed()).await;
        });
        let (asking, keeping, forgetting) = (hub.clone(), hub.clone(), hub.clone());
        served.spawn(async move {
            let doors = vec![Listening { listener: asked, tls: None }];
            asking.serve(doors, pending().boxed()).await.expect("it serves");
        });
        served.spawn(async move { keeping.keep_editions().await });
        served.spawn(async move { forgetting.keep_orders().await });
        Self { hub, store, address, api, stop, served }
    }

    pub async fn stop(mut self) {
        self.stop.send(()).ok();
        // The door is the only one that ends by itself.
        self.served.join_next().await.expect("there is a door").expect("it ends");
        self.served.shutdown().await;
        self.store.close().await;
    }

    pub async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        self.api.ask(method, path, body).await
    }

    /// Where nothing is answered.
    pub async fn ask_empty(&self, method: &str, path: &str, body: &Value) {
        self.api.ask_empty(method, path, body).await;
    }

    /// The site, as the hub shows it.
    pub async fn shows(&self, site: &str) -> Value {
        self.ask("GET", &format!("/api/v1/sites/{site}"), &Value::Null).await
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

    /// Until it has taken so many outcomes of the first plant: counted, and not read.
    pub async fn has_heard(&self, count: u64) {
        let mut taken = self.hub.desks().taken();
        while self.shows("plant-1").await["taken"]["outcome"].as_u64().unwrap_or(0) < count {
            taken.changed().await.expect("the hub is there");
        }
    }
}
