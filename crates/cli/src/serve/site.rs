//! A site in this process. `dev` and `site serve` keep one, and `run --local` has one for a moment.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base::{SiteName, SystemClock, SystemRandom};
use futures::FutureExt as _;
use server::Listening;
use site::uplink::Membership;
use site::{Config, Parts, Site, StoreFigures};
use store::{Store, Upkeep};
use store_sqlite::{OpenOptions, SqliteStore, StoreStats};
use tokio::net::TcpListener;
use wire::ApiKey;

use super::{doors, internal, listen, listen_afar, refuse_hub, with_causes};
use crate::args::ApiArgs;
use crate::failure::{Failure, Outcome};
use crate::memory;

/// In the data folder: the secrets that are set here, and nobody else's to read.
const SECRETS: &str = "secrets";

/// In the data folder: whose site it is, and by which key.
pub const IDENTITY: &str = "identity";

/// Everything is open, and nobody is answered yet.
pub struct Serving {
    site: Site,
    store: Arc<SqliteStore>,
    listener: TcpListener,
    address: SocketAddr,
    /// Beyond this machine.
    afar: Option<Listening>,
    afar_address: Option<SocketAddr>,
    own_key: ApiKey,
    /// Its name in the fleet, where it has joined one.
    joined: Option<SiteName>,
}

impl Serving {
    pub async fn open(
        data: &Path,
        config: Option<&Path>,
        port: u16,
        api: &ApiArgs,
    ) -> Outcome<Self> {
        refuse_hub(data)?;
        let config = read(config)?;
        // First of all, since a folder in use is the better message than a port in use.
        let options = OpenOptions { on_rest: memory::give_back, ..OpenOptions::default() };
        let store = SqliteStore::open(data, options).map_err(|error| internal(&error))?;
        let store = Arc::new(store);
        let (listener, address) = listen(port, "isonomy dev").await?;
        let afar = listen_afar(api, || {
            Err(Failure::usage("beyond this machine the API speaks TLS only")
                .hint("name a certificate and its key with `--tls-cert FILE --tls-key FILE`"))
        });
        let (afar, afar_address) = afar.await?.unzip();
        let membership = Membership::open(&data.join(IDENTITY));
        let membership = membership.map_err(|error| Failure::usage(with_causes(&error)))?;
        let joined = membership.as_ref().map(|it| it.site().clone());
        let program = std::env::current_exe().map_err(|cause| {
            Failure::internal(format!("cannot find this program's own file: {cause}"))
        })?;
        let counting = Arc::clone(&store);
        let own_key = ApiKey::new(&SystemRandom);
        let parts = Parts {
            store: Arc::clone(&store) as Arc<dyn Store>,
            upkeep: Some(Arc::clone(&store) as Arc<dyn Upkeep>),
            config,
            program,
            secrets: Some(data.join(SECRETS)),
            tail: Some(data.to_owned()),
            membership,
            own_key: own_key.clone(),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            store_figures: Some(Arc::new(move || figures(counting.stats()))),
        };
        let site = Site::open(parts).await.map_err(|error| internal(&error))?;
        Ok(Self { site, store, listener, address, afar, afar_address, own_key, joined })
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it is asked beyond this machine.
    #[must_use]
    pub fn afar(&self) -> Option<SocketAddr> {
        self.afar_address
    }

    /// For whoever may read the folder.
    #[must_use]
    pub fn own_key(&self) -> &ApiKey {
        &self.own_key
    }

    /// Runs that had not ended, and go on now.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        self.site.resumed()
    }

    #[must_use]
    pub fn joined(&self) -> Option<&SiteName> {
        self.joined.as_ref()
    }

    /// Holds the line to its hub while it serves, where it has joined one.
    pub async fn hold_line(&self) {
        self.site.hold_line().await;
    }

    /// Begins runs by schedule while it serves.
    pub async fn keep_schedules(&self) {
        self.site.keep_schedules().await;
    }

    /// Forgets what is due while it serves.
    pub fn keep_tidy(&self) {
        self.site.keep_tidy();
    }

    /// Answers until `stop`; then lets what is in flight end for a moment, writes it down, and
    /// closes the store.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> Outcome<()> {
        let served = self.site.serve(doors(self.listener, self.afar), stop.boxed()).await;
        self.site.stop().await;
        self.store.close().await;
        served.map_err(|error| internal(&error))
    }
}

pub fn read(config: Option<&Path>) -> Outcome<Config> {
    let Some(file) = config else { return Ok(Config::default()) };
    Config::read(file).map_err(|error| Failure::usage(with_causes(&error)))
}

fn figures(stats: StoreStats) -> StoreFigures {
    let StoreStats { commits, refused, batches, fsyncs, checkpoints, payload_bytes, queue_depth } =
        stats;
    StoreFigures { commits, refused, batches, fsyncs, checkpoints, payload_bytes, queue_depth }
}
