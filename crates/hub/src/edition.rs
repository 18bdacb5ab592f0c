//! Editions: what should be at all sites, numbered and signed, made anew whenever that has changed.
//!
//! A reconciler: it looks at what people have applied and at the fleet, and publishes where the newest
//! edition says something else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use base::{Clock, Digest, Random, SiteName, Timestamp, document};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use identity::{GRACE, Pin, SITE_CERTIFICATE_LIFE, is_signed_text, keys_of_text};
use link::{COUNT_MAX, PIECE_BYTES_MAX, Tree};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use server::Refusal;
use store::{Op, Preconditions, ResourceKind, ResourceRow, Store};
use tokio::sync::Notify;
use wire::ProblemCode;
use wire::edition::{Content, Head, Leaf};
use wire::link::{Document, Edition, Signed, Want};

use crate::authority::Authorities;
use crate::desired::{Desired, WORKFLOWS_MAX};
use crate::recovery::Recovery;
use crate::site::Void;

const EDITION_TYPE: &str = "isonomy.published";
const EDITION_VERSION: u32 = 1;

/// There is one.
const NAME: &str = "edition";

/// Keys that an edition names as revoked, the newest: it is said in every `hello`, and has some seventy
/// bytes for each.
pub(crate) const REVOKED_MAX: usize = 500;

/// After something that could not be done.
const RETRY: std::time::Duration = std::time::Duration::from_secs(5);

pub(crate) struct Editions {
    store: Arc<dyn Store>,
    authorities: Arc<Authorities>,
    root: Pin,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    recovery: Arc<Recovery>,
    current: RwLock<Option<Arc<Published>>>,
    /// The highest number of an edition of this hub that is not known here any more: the next is above.
    shown: std::sync::Mutex<u64>,
    changed: Notify,
    /// One turn at a time, so that no number is given twice.
    turning: tokio::sync::Mutex<()>,
    /// Sites that have to be told of the newest.
    untold: std::sync::Mutex<BTreeSet<SiteName>>,
}

/// The newest edition, with all that its leaves are made of.
struct Published {
    doc: Doc,
    signed: Signed,
    leaves: BTreeMap<SiteName, (usize, Leaf)>,
    tree: Tree,
}

/// What is kept: with it and what should be, the same edition is made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Doc {
    number: u64,
    root: Digest,
    /// The salt of each leaf follows from it.
    seed: Digest,
    at: Timestamp,
    #[serde(default)]
    revoked: Vec<Digest>,
}

/// Of which an edition is made.
struct Contents {
    leaves: BTreeMap<SiteName, Content>,
    revoked: Vec<Digest>,
}

impl Editions {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        authorities: Arc<Authorities>,
        root: Pin,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        recovery: Arc<Recovery>,
    ) -> Self {
        let (current, shown) = (RwLock::default(), std::sync::Mutex::default());
        let (changed, turning) = (Notify::new(), tokio::sync::Mutex::default());
        let untold = std::sync::Mutex::default();
        Self {
            store,
            authorities,
            root,
            clock,
            random,
            recovery,
            current,
            shown,
            changed,
            turning,
            untold,
        }
    }

    /// Something that decides what should be where is another one.
    pub(crate) fn changed(&self) {
        self.changed.notify_one();
    }

    /// Until something has changed.
    pub(crate) async fn wait(&self) {
        self.changed.notified().await;
    }

    /// Publishes what has just been written, so that whoever asks next is told by the newest.
    pub(crate) async fn publish(&self) {
        if let Err(refusal) = self.turn().await {
            tracing::error!(%refusal, "cannot make an edition");
        }
        self.changed();
    }

    /// Publishes, where the newest edition says something else than it should.
    pub(crate) async fn turn(&self) -> Result<(), Refusal> {
        let _alone = self.turning.lock().await;
        let contents = self.contents().await?;
        let before = self.current();
        let kept = match &before {
            Some(before) => Some(before.doc.clone()),
            None => self.kept().await?,
        };
        let shown = *self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.as_ref().filter(|kept| kept.number > shown) {
            let again = self.make(&contents, kept.number, kept.seed, kept.at)?;
            if again.doc == *kept {
                // Where another authority signs now, whoever asks next is told the same by that.
                if before.is_none_or(|before| before.signed.chain != again.signed.chain) {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) =
                        Some(Arc::new(again));
                }
                return Ok(());
            }
        }
        if self.recovery.is_on() {
            // What sites have may be newer than all that is known here.
            return Ok(());
        }
        let number = kept.map_or(0, |kept| kept.number).max(shown) + 1;
        let seed = (0..4).flat_map(|_| self.random.u64().to_be_bytes()).collect::<Vec<u8>>();
        let new = self.make(&contents, number, Digest::of(&seed), self.clock.now())?;
        let record = document::write(EDITION_TYPE, EDITION_VERSION, &new.doc).into();
        let row = ResourceRow { kind: ResourceKind::Edition, name: NAME.to_owned(), record };
        self.store.commit(vec![Op::ResourcePut(row)], Preconditions::none()).await?;
        tracing::info!(number, sites = contents.leaves.len(), "a new edition");
        let had =
            |site: &SiteName| before.as_ref()?.leaves.get(site).map(|(_, leaf)| &leaf.content);
        // All of them where nobody knows what they were told, or that they have taken it; and to keep in
        // mind who was revoked.
        let is_for_all = before.as_ref().is_none_or(|before| {
            let knows = |key| before.doc.revoked.contains(key);
            before.doc.number <= shown || !contents.revoked.iter().all(knows)
        });
        let told = contents.leaves.iter();
        let told = told.filter(|(site, content)| is_for_all || had(site) != Some(*content));
        let told: Vec<SiteName> = told.map(|(site, _)| site.clone()).collect();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(new));
        self.untold.lock().unwrap_or_else(PoisonError::into_inner).extend(told);
        Ok(())
    }

    async fn contents(&self) -> Result<Contents, Refusal> {
        let desired = Desired::load(self.store.as_ref()).await?;
        let mut leaves = desired.contents();
        for (site, content) in &mut leaves {
            if content.workflows.len() > WORKFLOWS_MAX {
                // Tags have brought it there. More would break the site's line.
                tracing::error!(%site, count = content.workflows.len(), "too many workflows");
                content.workflows.truncate(WORKFLOWS_MAX);
            }
        }
        // As long as somebody may still have a certificate over the key, or get one.
        let now = self.clock.now();
        let is_of_use = |void: &&Void| void.at.plus(SITE_CERTIFICATE_LIFE).plus(GRACE) > now;
        let void = desired.void().iter().filter(is_of_use);
        let mut void: Vec<_> = void.map(|void| (void.at, *void.key.digest())).collect();
        void.sort();
        let surplus = void.len().saturating_sub(REVOKED_MAX);
        let mut revoked: Vec<Digest> = void[surplus..].iter().map(|(_, key)| *key).collect();
        revoked.sort();
        Ok(Contents { leaves, revoked })
    }

    fn untold(&self) -> BTreeSet<SiteName> {
        std::mem::take(&mut *self.untold.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn kept(&self) -> Result<Option<Doc>, Refusal> {
        let row = self.store.resource_get(ResourceKind::Edition, NAME.to_owned()).await?;
        let Some(row) = row else { return Ok(None) };
        let doc = document::read(&row.record, EDITION_TYPE, EDITION_VERSION).map_err(|_| {
            let detail = "the record of the edition is damaged, or of a newer version";
            Refusal::new(ProblemCode::StoreFailed, detail)
        })?;
        Ok(Some(doc))
    }

    fn make(
        &self,
        contents: &Contents,
        number: u64,
        seed: Digest,
        at: Timestamp,
    ) -> Result<Published, Refusal> {
        let leaves = contents.leaves.iter().map(|(site, content)| {
            let salt = Digest::of(&[seed.as_bytes(), site.as_str().as_bytes()].concat());
            Leaf { site: site.clone(), salt, content: content.clone() }
        });
        let leaves: Vec<Leaf> = leaves.collect();
        let tree = Tree::of(leaves.iter().map(Leaf::encode));
        let (root, revoked) = (tree.root(), contents.revoked.clone());
        let doc = Doc { number, root, seed, at, revoked: revoked.clone() };
        let head = Head { number, root, leaves: leaves.len() as u64, at, revoked };
        let head = head.encode();
        let authority = &self.authorities.now().authority;
        let signature = authority.sign(&head).map_err(|error| {
            Refusal::new(ProblemCode::Internal, format!("cannot sign the edition: {error}"))
        })?;
        let chain = authority.chain().iter().map(|it| STANDARD.encode(it)).collect();
        let signed =
            Signed { head: raw(head), signature: STANDARD.encode(signature), chain, ledger: None };
        let leaves = leaves.into_iter().enumerate();
        let leaves = leaves.map(|(n, leaf)| (leaf.site.clone(), (n, leaf))).collect();
        Ok(Published { doc, signed, leaves, tree })
    }

    fn current(&self) -> Option<Arc<Published>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What this site is told; nothing while sites have what this hub has lost.
    pub(crate) fn of(&self, site: &SiteName) -> Option<Box<Edition>> {
        let shown = *self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current().filter(|current| current.doc.number > shown)?;
        let (index, leaf) = current.leaves.get(site)?;
        Some(Box::new(Edition {
            signed: current.signed.clone(),
            leaf: raw(leaf.encode()),
            index: *index as u64,
            path: current.tree.path(*index),
        }))
    }

    /// What should be at this site, and the number of the edition that says so.
    pub(crate) fn content(&self, site: &SiteName) -> Option<(u64, Content)> {
        let current = self.current()?;
        Some((current.doc.number, current.leaves.get(site)?.1.content.clone()))
    }

    /// A piece of a text that this site should have.
    pub(crate) async fn piece(
        &self,
        site: &SiteName,
        want: Want,
    ) -> Result<Option<Document>, store::StoreError> {
        let Some((_, content)) = self.content(site) else { return Ok(None) };
        let placed = content.workflows.into_iter().find(|placed| placed.text == want.text);
        let Some(placed) = placed else { return Ok(None) };
        let key = base::name::WorkflowKey { namespace: placed.namespace, name: placed.name };
        let Some(row) = self.store.revision_get(key, want.text).await? else { return Ok(None) };
        let Ok(text) = std::str::from_utf8(&row.text) else { return Ok(None) };
        let start = usize::try_from(want.offset).unwrap_or(usize::MAX);
        let Some(rest) = text.get(start..) else { return Ok(None) };
        let piece = rest.get(..rest.floor_char_boundary(PIECE_BYTES_MAX)).unwrap_or(rest);
        Ok(Some(Document {
            text: want.text,
            offset: want.offset,
            total: text.len() as u64,
            piece: piece.to_owned(),
        }))
    }

    /// A site has this edition. Gives what it says where it is one that this hub has lost.
    #[must_use]
    pub(crate) fn show(&self, signed: &Signed) -> Option<Head> {
        let head = Head::decode(signed.head.get().as_bytes()).ok()?;
        // Another one of the same number is of a life that this hub has lost.
        let is_unknown = self.current().is_none_or(|current| {
            let Doc { number, root, .. } = &current.doc;
            head.number > *number || (head.number == *number && head.root != *root)
        });
        let Signed { head: text, signature, chain, .. } = signed;
        let is_ours = || is_signed_text(self.root, chain, text.get().as_bytes(), signature).is_ok();
        let is_believed = || {
            let forgotten = &self.authorities.now().forgotten;
            !keys_of_text(chain).iter().any(|key| forgotten.contains(key))
        };
        // There must be a number above it.
        if !is_unknown || head.number >= COUNT_MAX - 1 || !is_ours() || !is_believed() {
            return None;
        }
        tracing::warn!(number = head.number, "a site has an edition that this hub has lost");
        Some(head)
    }

    /// What is published from now on is above this one: sites take nothing below.
    pub(crate) fn go_above(&self, number: u64) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = (*shown).max(number);
        self.changed();
    }
}

pub(crate) fn raw(json: Vec<u8>) -> Box<RawValue> {
    let text = String::from_utf8(json).expect("JSON is text");
    RawValue::from_string(text).expect("our own types have JSON text")
}

/// Publishes whenever something has changed, until it is dropped.
pub(crate) async fn keep(editions: &Editions, desks: &crate::Desks) {
    loop {
        match editions.turn().await {
            Ok(()) => {
                for site in editions.untold() {
                    if let Err(error) = desks.published(&site).await {
                        // It is told in the next session.
                        tracing::warn!(%site, %error, "cannot tell a site of its edition");
                    }
                }
                editions.wait().await;
            }
            Err(refusal) => {
                tracing::error!(%refusal, "cannot make an edition");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
