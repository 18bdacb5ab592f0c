//! A hub in memory for tests: they move its clock, and say which commits fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use base::{Clock, Digest, IncarnationId, SiteName, SystemRandom, Timestamp};
use futures::FutureExt as _;
use identity::{Authority, Domain, Key, Pin, Root, SealingKey};
use store::memory::MemoryStore;
use store::{CommitError, FleetStore as _, Op, Preconditions, Store};
use wire::ApiKey;
use wire::edition::Head;
use wire::link::Signed;

use crate::edition::raw;
use crate::site::SiteDoc;
use crate::{Hub, Kept, Parts};

pub(crate) struct Moved(pub AtomicI64);

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// What lives longer than one opening of the hub.
pub(crate) struct Stage {
    pub clock: Arc<Moved>,
    pub root: Root,
    pub authority: Authority,
    pub forgotten: Vec<Pin>,
    /// So many commits pass, and then none.
    pub passing: Arc<AtomicI64>,
    key: String,
}

pub(crate) fn site(name: &str) -> SiteName {
    SiteName::parse(name).expect("a name")
}

pub(crate) fn key() -> Key {
    Key::generate().expect("a key")
}

pub(crate) fn pin() -> Pin {
    key().public().pin()
}

pub(crate) fn domain() -> Domain {
    Domain::parse("acme").expect("a domain")
}

impl Stage {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(Moved(AtomicI64::new(1_800_000_000_000)));
        let root = Root::create(&domain(), key(), clock.now()).expect("a root");
        let signing = key();
        let pem = signing.to_pem();
        let authority = root.authority(&domain(), signing, clock.now()).expect("an authority");
        let passing = Arc::new(AtomicI64::new(i64::MAX));
        Self { clock, root, authority, forgotten: Vec::new(), passing, key: pem }
    }

    pub(crate) fn store(&self) -> MemoryStore {
        let passing = Arc::clone(&self.passing);
        MemoryStore::new(self.life()).behind(move || {
            let is_passed = passing.fetch_sub(1, Ordering::SeqCst) > 0;
            let failed = || CommitError::Write("the test says so".to_owned());
            futures::future::ready(is_passed.then_some(()).ok_or_else(failed)).boxed()
        })
    }

    pub(crate) fn life(&self) -> IncarnationId {
        IncarnationId::new(self.clock.now(), &SystemRandom)
    }

    /// Over this store; one that has lived `before` was brought back.
    pub(crate) async fn hub(&self, store: Arc<dyn Store>, before: Vec<IncarnationId>) -> Hub {
        let (key, root) = (Key::from_pem(&self.key).expect("a key"), self.authority.root_pem());
        let authority = Authority::read(domain(), self.authority.pem(), key, root);
        let parts = Parts {
            store,
            upkeep: None,
            sealing: SealingKey::generate().expect("a key"),
            authorities: Kept {
                authority: authority.expect("an authority"),
                former: Vec::new(),
                forgotten: self.forgotten.clone(),
                folder: None,
            },
            before,
            addresses: Vec::new(),
            own_key: ApiKey::new(&SystemRandom),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            random: Arc::new(SystemRandom),
            catalog: Arc::new(spec::catalog::Empty),
        };
        Hub::open(parts).await.expect("a hub")
    }

    /// An edition that says that nobody is any of these.
    pub(crate) fn head(&self, number: u64, revoked: &[Pin]) -> Head {
        let revoked = revoked.iter().map(|key| *key.digest()).collect();
        let (at, root) = (self.clock.now(), Digest::of(b"lost"));
        Head { number, root, leaves: 0, at, revoked }
    }
}

/// As this authority has signed it.
pub(crate) fn signed(authority: &Authority, head: &Head) -> Signed {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let head = head.encode();
    let signature = STANDARD.encode(authority.sign(&head).expect("signed"));
    let chain = authority.chain().iter().map(|it| STANDARD.encode(it)).collect();
    Signed { head: raw(head), signature, chain, ledger: None }
}

pub(crate) async fn put(store: &MemoryStore, ops: Vec<Op>) {
    store.commit(ops, Preconditions::none()).await.expect("committed");
}

/// A member with this key.
pub(crate) async fn member(store: &MemoryStore, name: &str, key: Pin) {
    let doc = SiteDoc { key: Some(key), ..SiteDoc::default() };
    put(store, vec![Op::SitePut { site: site(name), record: doc.encode().into() }]).await;
}

pub(crate) async fn site_doc(store: &MemoryStore, name: &str) -> SiteDoc {
    let row = store.site_get(site(name)).await.expect("reads").expect("a site");
    SiteDoc::read(&row.site, &row.record).expect("readable")
}
