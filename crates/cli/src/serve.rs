//! A site in this process: store, configuration, port, and a clean end. `dev` keeps one, and
//! `run --local` has one for a moment.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use base::{SystemClock, SystemRandom};
use site::{Config, Parts, Site, StoreFigures};
use store::{Store, Upkeep};
use store_sqlite::{OpenOptions, SqliteStore, StoreStats};
use tokio::net::TcpListener;

use crate::failure::{Failure, Outcome};
use crate::{memory, output};

/// In the data folder: the secrets that are set here, and nobody else's to read.
const SECRETS: &str = "secrets";

/// Everything is open, and nobody is answered yet.
#[derive(Debug)]
pub struct Serving {
    site: Site,
    store: Arc<SqliteStore>,
    listener: TcpListener,
    address: SocketAddr,
}

impl Serving {
    pub async fn open(data: &Path, config: Option<&Path>, port: u16) -> Outcome<Self> {
        let config = read(config)?;
        // First of all, since a folder in use is the better message than a port in use.
        let options = OpenOptions { on_rest: memory::give_back, ..OpenOptions::default() };
        let store = SqliteStore::open(data, options).map_err(|error| internal(&error))?;
        let store = Arc::new(store);
        let listener = listen(port).await?;
        let address = listener.local_addr().map_err(|cause| {
            Failure::internal(format!("cannot tell which port is listened on: {cause}"))
        })?;
        let program = std::env::current_exe().map_err(|cause| {
            Failure::internal(format!("cannot find this program's own file: {cause}"))
        })?;
        let counting = Arc::clone(&store);
        let parts = Parts {
            store: Arc::clone(&store) as Arc<dyn Store>,
            upkeep: Some(Arc::clone(&store) as Arc<dyn Upkeep>),
            config,
            program,
            secrets: Some(data.join(SECRETS)),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            store_figures: Some(Arc::new(move || figures(counting.stats()))),
        };
        let site = Site::open(parts).await.map_err(|error| internal(&error))?;
        Ok(Self { site, store, listener, address })
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Runs that had not ended, and go on now.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        self.site.resumed()
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
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Outcome<()> {
        let served = self.site.serve(self.listener, stop).await;
        self.site.stop().await;
        self.store.close().await;
        served.map_err(|error| internal(&error))
    }
}

pub fn read(config: Option<&Path>) -> Outcome<Config> {
    let Some(file) = config else { return Ok(Config::default()) };
    Config::read(file).map_err(|error| Failure::usage(with_causes(&error)))
}

async fn listen(port: u16) -> Outcome<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|cause| {
        let failure = Failure::internal(format!("cannot listen on 127.0.0.1:{port}: {cause}"));
        match cause.kind() {
            io::ErrorKind::AddrInUse => failure
                .hint("is another `isonomy dev` running? stop it, or take another port with `--port N`; `--port 0` takes any free one"),
            _ => failure.hint("take another port with `--port N`"),
        }
    })
}

fn figures(stats: StoreStats) -> StoreFigures {
    let StoreStats { commits, refused, batches, fsyncs, checkpoints, payload_bytes, queue_depth } =
        stats;
    StoreFigures { commits, refused, batches, fsyncs, checkpoints, payload_bytes, queue_depth }
}

fn internal(error: &dyn std::error::Error) -> Failure {
    Failure::internal(with_causes(error))
}

/// The error and what is below it, since a message does not repeat its cause.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(below) = cause {
        text.push_str(": ");
        text.push_str(&below.to_string());
        cause = below.source();
    }
    output::harmless(&text)
}
