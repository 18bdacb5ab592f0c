//! A site: a store, a membership, and a line. Runs end when the test says so.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Clock, SystemClock, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use identity::{Certificate, JoinToken};
use site::uplink::{LineState, Membership, MembershipError, Parts, Uplink};
use store::{Op, Preconditions, Store};
use store_sqlite::{OpenOptions, SqliteStore};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::ended::{ended, run};

pub struct AtWork {
    pub store: Arc<SqliteStore>,
    pub line: watch::Receiver<LineState>,
    grown: Arc<Notify>,
    closing: CancellationToken,
    holding: JoinHandle<()>,
}

fn identity(folder: &Path) -> PathBuf {
    folder.join("identity")
}

pub async fn join(folder: &Path, token: &JoinToken) -> Result<Membership, MembershipError> {
    join_at(folder, token, &SystemClock).await
}

pub async fn join_at(
    folder: &Path,
    token: &JoinToken,
    clock: &dyn Clock,
) -> Result<Membership, MembershipError> {
    Membership::join(&identity(folder), token, clock.now(), &SystemRandom).await
}

pub fn membership(folder: &Path) -> Membership {
    Membership::open(&identity(folder)).expect("reads").expect("it has joined")
}

impl AtWork {
    /// Of a site that has joined.
    pub async fn start(folder: &Path) -> Self {
        let store = SqliteStore::open(&folder.join("store"), OpenOptions::default());
        let store = Arc::new(store.expect("the store opens"));
        let membership =
            Membership::open(&identity(folder)).expect("reads").expect("it has joined");
        let (grown, closing) = (Arc::new(Notify::new()), CancellationToken::new());
        // Nobody here says anything apart from the streams.
        let (say, hear) = watch::channel(Default::default());
        let until = closing.clone();
        tokio::spawn(async move {
            until.cancelled().await;
            drop(say);
        });
        let parts = Parts {
            store: Arc::clone(&store) as Arc<dyn Store>,
            membership,
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            grown: Arc::clone(&grown),
            came: Arc::new(Notify::new()),
            edited: Arc::new(Notify::new()),
            saying: hear,
            leaving: CancellationToken::new(),
            left: gateway::Left::default(),
            terms: site::uplink::Terms::default(),
        };
        let uplink = Uplink::open(parts).await.expect("the line is kept");
        let line = uplink.state();
        let holding = tokio::spawn(uplink.run(closing.clone()));
        Self { store, line, grown, closing, holding }
    }

    pub async fn stop(self) {
        self.closing.cancel();
        self.holding.await.expect("it ends");
        self.store.close().await;
    }

    pub async fn is_up(&mut self) {
        let up = self.line.wait_for(|state| matches!(state, LineState::Up { .. })).await;
        up.expect("the site is there");
    }

    /// Until the line is down, and why.
    pub async fn is_down(&mut self) -> String {
        let is_told = |state: &LineState| match state {
            LineState::Down { why, .. } => why != "not tried yet",
            LineState::Up { .. } => false,
        };
        match &*self.line.wait_for(is_told).await.expect("the site is there") {
            LineState::Down { why, .. } => why.clone(),
            LineState::Up { .. } => unreachable!("waited for"),
        }
    }

    /// A run ends.
    pub async fn outcome(&self, site: u64, number: u64) {
        self.store.commit(ended(site, number), Preconditions::none()).await.expect("commits");
        self.grown.notify_one();
    }

    /// Many runs of the first site end at once, and nobody looks at them any more.
    pub async fn outcomes(&self, numbers: RangeInclusive<u64>) {
        let of_one = |number| {
            let forget = Op::RunForget { run: run(1, number) };
            ended(1, number).into_iter().chain([forget])
        };
        let ops = numbers.flat_map(of_one).collect();
        self.store.commit(ops, Preconditions::none()).await.expect("commits");
        self.grown.notify_one();
    }
}

/// The one that it shows to its hub.
pub fn certificate(folder: &Path) -> Certificate {
    let path = identity(folder).join("membership.json");
    let text = std::fs::read_to_string(path).expect("it has joined");
    let doc: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let der = STANDARD.decode(doc["certificate"].as_str().expect("text")).expect("base64");
    Certificate::read(&der.into()).expect("a certificate")
}
