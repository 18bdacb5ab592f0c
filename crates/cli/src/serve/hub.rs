//! A hub in this process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{SystemClock, SystemRandom};
use futures::FutureExt as _;
use hub::{Door, Hub, HubFolder, Parts};
use identity::Pin;
use server::Listening;
use store::{Store, Upkeep};
use store_sqlite::{OpenOptions, SqliteStore};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use wire::{ApiKey, KeyCreated};

use super::{doors, internal, listen, listen_afar};
use crate::args::ApiArgs;
use crate::failure::{Failure, Outcome};
use crate::memory;

/// Everything is open, and nobody is answered yet.
pub struct HubServing {
    hub: Hub,
    door: Arc<Door>,
    store: Arc<SqliteStore>,
    /// Where sites come.
    sites: TcpListener,
    api: TcpListener,
    /// Where people ask beyond this machine.
    afar: Option<Listening>,
    afar_address: Option<SocketAddr>,
    url: String,
    own_key: ApiKey,
    addresses: Vec<String>,
    /// Of the root, where it still lies here.
    root_key: Option<PathBuf>,
}

impl HubServing {
    /// `addresses` are what sites are told; where there are none, it is the one that is listened on.
    pub async fn open(
        data: &Path,
        sites: SocketAddr,
        addresses: Vec<String>,
        port: u16,
        api_args: &ApiArgs,
    ) -> Outcome<Self> {
        let folder = HubFolder::open(data).map_err(|error| Failure::usage(error.to_string()))?;
        let store = open_store(data)?;
        let (api, address) = listen(port, "isonomy hub serve").await?;
        let sites = hub::listen(sites).await.map_err(|cause| {
            Failure::internal(format!("cannot listen on {sites} for sites: {cause}"))
                .hint("take another address with `--listen ADDRESS:PORT`")
        })?;
        let listened = sites.local_addr().map_err(|cause| internal(&cause))?;
        let addresses = if addresses.is_empty() { vec![local(listened)] } else { addresses };
        let own_key = ApiKey::new(&SystemRandom);
        let (url, root_key) = (format!("http://{address}"), folder.root_key());
        let hub = open(folder, &store, addresses.clone(), own_key.clone()).await?;
        let shown = || Ok(hub.shown());
        let (afar, afar_address) = listen_afar(api_args, shown).await?.unzip();
        let door = Arc::new(Door::new(hub.clone()));
        Ok(Self {
            hub,
            door,
            store,
            sites,
            api,
            afar,
            afar_address,
            url,
            own_key,
            addresses,
            root_key,
        })
    }

    #[must_use]
    pub fn hub(&self) -> Hub {
        self.hub.clone()
    }

    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it is asked beyond this machine.
    #[must_use]
    pub fn afar(&self) -> Option<SocketAddr> {
        self.afar_address
    }

    /// By it a client knows the hub.
    #[must_use]
    pub fn root(&self) -> Pin {
        self.hub.root()
    }

    /// For whoever may read the folder.
    #[must_use]
    pub fn own_key(&self) -> &ApiKey {
        &self.own_key
    }

    /// What tokens say, unless somebody asks for something else.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Where the key of the fleet's root lies, as long as nobody has taken it away.
    #[must_use]
    pub fn root_key(&self) -> Option<&Path> {
        self.root_key.as_deref()
    }

    /// Answers until `stop`; then sends sites away, who come again, and closes the store.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> Outcome<()> {
        let (close, closed) = oneshot::channel::<()>();
        // Dropped when somebody panicked: also a reason to stop.
        let closing = closed.map(drop).boxed();
        let door = tokio::spawn(self.door.serve(self.sites, closing));
        let hub = self.hub.clone();
        let editions = tokio::spawn(async move { hub.keep_editions().await });
        let hub = self.hub.clone();
        let orders = tokio::spawn(async move { hub.keep_orders().await });
        let served = self.hub.serve(doors(self.api, self.afar), stop.boxed()).await;
        let _ = close.send(());
        let ended = door.await;
        editions.abort();
        orders.abort();
        self.store.close().await;
        ended.map_err(|cause| internal(&cause))?;
        served.map_err(|error| internal(&error))
    }
}

/// Makes the key of whoever has just made this hub.
pub async fn first_key(data: &Path) -> Outcome<KeyCreated> {
    let folder = HubFolder::open(data).map_err(|error| Failure::usage(error.to_string()))?;
    let store = open_store(data)?;
    let hub = open(folder, &store, Vec::new(), ApiKey::new(&SystemRandom)).await?;
    let made = hub.first_key().await;
    store.close().await;
    made.map_err(|refusal| Failure::internal(refusal.to_string()))
}

fn open_store(data: &Path) -> Outcome<Arc<SqliteStore>> {
    let options = OpenOptions { on_rest: memory::give_back, ..OpenOptions::default() };
    SqliteStore::open(data, options).map(Arc::new).map_err(|error| internal(&error))
}

async fn open(
    mut folder: HubFolder,
    store: &Arc<SqliteStore>,
    addresses: Vec<String>,
    own_key: ApiKey,
) -> Outcome<Hub> {
    let parts = Parts {
        store: Arc::clone(store) as Arc<dyn Store>,
        upkeep: Some(Arc::clone(store) as Arc<dyn Upkeep>),
        authorities: folder.authorities().map_err(|error| internal(&error))?,
        sealing: folder.sealing().map_err(|error| internal(&error))?,
        before: folder.before(store.incarnation()).map_err(|error| internal(&error))?,
        addresses,
        own_key,
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        catalog: Arc::new(worker::Catalog::shipped()),
    };
    Hub::open(parts).await.map_err(|error| internal(&error))
}

/// How a site on this machine comes to a door that may be open to all.
fn local(listened: SocketAddr) -> String {
    let port = listened.port();
    if listened.ip().is_unspecified() { format!("127.0.0.1:{port}") } else { listened.to_string() }
}
