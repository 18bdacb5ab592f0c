//! Work that sites have each other do, by way of the hub (ADR 17): what this one has asked, and what it was
//! asked.
//!
//! ```text
//!   asked by a run:  find ─► sites ─► asks ─► news … ─► over       rows `out D`, `out D SITE`
//!   asked by others: order ─► run ─► its end ─► answer             rows `in RUN`
//! ```
//!
//! What is written here is in the store before anybody hears of it: whoever is killed goes on from there.

mod asked;
mod asking;
mod result;
mod row;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use base::{Clock, DispatchId, RunId, SiteName, Timestamp};
use identity::{Pin, SealError, SealingKey, SealingPublic, SiteSealing};
use link::ENTRY_BYTES_MAX;
use store::{CommitError, Op, ReceiptRow, Store, StoreError};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use wire::dispatch::{Bond, Entry, Say, Sealed, SiteKey};
use wire::{DispatchView, ProblemCode};

use crate::refusal::Refusal;
use crate::uplink::HubClock;

pub(crate) use asked::{Bench, Judged};

/// What is sealed for one end opens for no other.
const INPUT: &[u8] = b"dispatch input v1";
const OUTPUT: &[u8] = b"dispatch output v1";

/// Dispatches that are waited for at once: each is a future and a word to wake it, some kilobytes.
pub const DISPATCHES_MAX: usize = 10_000;

/// What it is made of.
pub(crate) struct Parts {
    pub site: SiteName,
    pub store: Arc<dyn Store>,
    pub root: Pin,
    pub sealing: Arc<SealingKey>,
    pub own_clock: Arc<dyn Clock>,
    /// The hub's time, as far as the site knows.
    pub clock: Arc<HubClock>,
    /// To tell when there is something for the hub.
    pub grown: Arc<Notify>,
    /// The owner ends that the site is a hub's.
    pub leaving: CancellationToken,
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Dispatches(Arc<Inner>);

struct Inner {
    parts: Parts,
    /// One change of what was asked at a time: what is over stays as it was then.
    writing: tokio::sync::Mutex<()>,
    /// Whoever waits for a dispatch.
    waiting: Mutex<HashMap<DispatchId, Weak<Notify>>>,
    /// Runs that others wait for.
    open: Mutex<HashSet<RunId>>,
    /// Told when one of them has ended.
    ended: Notify,
    /// For each that is waited for.
    places: Semaphore,
}

impl Dispatches {
    pub(crate) async fn open(parts: Parts) -> Result<Self, StoreError> {
        let open = row::open(parts.store.as_ref()).await?.into_iter().map(|(run, _)| run);
        let open = Mutex::new(open.collect());
        let (writing, waiting) = (tokio::sync::Mutex::default(), Mutex::default());
        // What has ended while nobody looked.
        let ended = Notify::new();
        ended.notify_one();
        let places = Semaphore::new(DISPATCHES_MAX);
        Ok(Self(Arc::new(Inner { parts, writing, waiting, open, ended, places })))
    }

    fn now(&self) -> Timestamp {
        self.0.parts.own_clock.now()
    }

    fn store(&self) -> &dyn Store {
        self.0.parts.store.as_ref()
    }

    fn site(&self) -> &SiteName {
        &self.0.parts.site
    }

    /// A site's sealing key, where it is below the root and the site's own word.
    fn believed(&self, site: &SiteName, key: &SiteKey, chain: &[String]) -> Option<SealingPublic> {
        let SiteKey { key, signature, certificate } = key.clone();
        let key = key.parse().ok()?;
        let said = SiteSealing { key, signature, certificate, chain: chain.to_vec() };
        said.verify(self.0.parts.root, site, self.0.parts.clock.now()).ok()
    }

    /// Tells whoever waits for it.
    fn changed(&self, dispatch: DispatchId) {
        let waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = waiting.get(&dispatch).and_then(Weak::upgrade) {
            told.notify_one();
        }
    }

    fn wait_for(&self, dispatch: DispatchId) -> Arc<Notify> {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, told| told.strong_count() > 0);
        let told = Arc::new(Notify::new());
        waiting.insert(dispatch, Arc::downgrade(&told));
        told
    }
}

/// Dispatches of one run that its view shows: the last ones.
const SHOWN_MAX: usize = 20;

/// What a run of this site has asked of others, for its view: also where the site is no hub's any more.
pub(crate) async fn of_run(store: &dyn Store, run: RunId) -> Result<Vec<DispatchView>, StoreError> {
    let mut views = Vec::new();
    let mut heads = row::of_run(store, run).await?;
    heads.sort_by_key(|(dispatch, head)| (head.until, *dispatch));
    let surplus = heads.len().saturating_sub(SHOWN_MAX);
    for (dispatch, head) in heads.split_off(surplus) {
        let sites = row::sites(store, dispatch).await?;
        views.push(result::view(&result::Known { dispatch, head: &head, sites: &sites }));
    }
    Ok(views)
}

/// Whether another site is still to be told how this run has ended.
pub(crate) async fn is_awaited(store: &dyn Store, run: RunId) -> Result<bool, StoreError> {
    row::is_open(store, run).await
}

/// What is to be committed where the site is its hub's no more: nobody is answered.
pub(crate) async fn left(store: &dyn Store) -> Result<Vec<Op>, StoreError> {
    Ok(row::open(store).await?.into_iter().map(|(run, _)| row::closed_op(run)).collect())
}

/// For the hub: one entry among the receipts, which must get across.
fn entry_op(dispatch: DispatchId, say: Say, at: Timestamp) -> Result<Op, DispatchError> {
    let entry = Entry { dispatch, say };
    let receipt = entry.encode();
    if receipt.len() > ENTRY_BYTES_MAX {
        return Err(DispatchError::TooLarge { bytes: receipt.len() });
    }
    let (order, receipt) = (entry.place(), receipt.into());
    Ok(Op::ReceiptPut(ReceiptRow { position: 0, order, at, receipt }))
}

fn seal(
    to: &SealingPublic,
    what: &[u8],
    bond: &Bond<'_>,
    plain: &[u8],
) -> Result<Sealed, SealError> {
    let sealed = to.seal(what, &bond.text(), plain)?;
    Ok(serde_json::from_slice(&sealed.encode()).expect("a document is JSON"))
}

fn unseal(
    key: &SealingKey,
    what: &[u8],
    bond: &Bond<'_>,
    sealed: &Sealed,
) -> Result<Vec<u8>, SealError> {
    let text = serde_json::to_vec(sealed).expect("JSON has a text");
    key.open(what, &bond.text(), &identity::Sealed::decode(&text)?)
}

/// Why something of a dispatch cannot be done now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DispatchError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error("{bytes} bytes for the hub at once, and {ENTRY_BYTES_MAX} are the most")]
    TooLarge { bytes: usize },
}

impl From<DispatchError> for Refusal {
    fn from(error: DispatchError) -> Self {
        match error {
            DispatchError::Store(error) => error.into(),
            DispatchError::Commit(error) => error.into(),
            DispatchError::TooLarge { .. } => {
                Refusal::new(ProblemCode::TooLarge, error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use base::{Namespace, WorkflowName};
    use wire::dispatch::Meant;

    use super::*;

    /// Mutation: write down what has no room in a frame.
    #[test]
    fn what_would_never_get_across_is_not_written() {
        let tagged = |bytes: usize| {
            let sites = Meant::Where([("x".to_owned(), "x".repeat(bytes))].into());
            let namespace = Namespace::parse("default").expect("a name");
            let workflow = WorkflowName::parse("screen").expect("a name");
            let dispatch = DispatchId::of(RunId::from_uuid(uuid::Uuid::from_u128(1)), "a");
            let find = Say::Find { namespace, workflow, sites };
            entry_op(dispatch, find, Timestamp::from_millis(0))
        };
        assert!(tagged(ENTRY_BYTES_MAX / 2).is_ok());
        let refused = tagged(ENTRY_BYTES_MAX);
        assert!(matches!(refused, Err(DispatchError::TooLarge { .. })), "{refused:?}");
    }

    /// Mutation: leave one of what it belongs to out of what binds it, or seal both ways alike.
    #[test]
    fn what_is_sealed_opens_for_its_run_at_its_site_alone() {
        let site = |name: &str| SiteName::parse(name).expect("a name");
        let (one, two, three) = (site("one"), site("two"), site("three"));
        let namespace = Namespace::parse("default").expect("a name");
        let name = |name: &str| WorkflowName::parse(name).expect("a name");
        let (screen, other) = (name("screen"), name("other"));
        let of = |key: &str| DispatchId::of(RunId::from_uuid(uuid::Uuid::from_u128(1)), key);
        let bond = Bond {
            dispatch: of("a"),
            from: &one,
            to: &two,
            namespace: &namespace,
            workflow: &screen,
        };
        let key = SealingKey::generate().expect("a key");
        let sealed = seal(&key.public(), INPUT, &bond, b"secret").expect("sealed");
        assert!(!sealed.to_string().contains("secret"));
        assert_eq!(unseal(&key, INPUT, &bond, &sealed), Ok(b"secret".to_vec()));
        assert!(unseal(&key, OUTPUT, &bond, &sealed).is_err());
        for wrong in [
            Bond { dispatch: of("b"), ..bond },
            Bond { from: &three, ..bond },
            Bond { to: &three, ..bond },
            Bond { workflow: &other, ..bond },
        ] {
            assert_eq!(unseal(&key, INPUT, &wrong, &sealed), Err(SealError::Changed), "{wrong:?}");
        }
    }
}
