//! After a restore: what this hub does not know any more, and what it leaves undone until it does.
//!
//! ```text
//!   restored ─► recovering: takes what sites bring; gives no order, makes no token, publishes no edition
//!                 │   every member has handed over all that it held when it came, or is waived,
//!                 │   and none has shown an edition that this hub has lost
//!                 ▼
//!               over ◄─ or a person has ended it
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use base::{By, Clock, Digest, DocumentError, IncarnationId, SiteName, Timestamp, document};
use link::hub::SeatDoc;
use serde::{Deserialize, Serialize};
use server::Refusal;
use store::{Op, Preconditions, ResourceKind, ResourceRow, Store};
use tokio::sync::{Mutex, watch};
use wire::edition::Head;
use wire::{ProblemCode, RecoveryView};

use crate::change::{ChangeKind, change_op, hub_op};
use crate::desk::Desks;
use crate::edition::REVOKED_MAX;
use crate::site::{SiteDoc, each_site};

const RECOVERY_TYPE: &str = "isonomy.recovery";
const RECOVERY_VERSION: u32 = 1;

/// There is one.
const NAME: &str = "recovery";

/// Names that are shown. There may be ten thousand.
const NAMES_SHOWN_MAX: usize = 100;

pub(crate) struct Recovery {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    on: watch::Sender<bool>,
}

struct State {
    doc: Doc,
    /// Members that have not handed over everything yet.
    waiting: BTreeSet<SiteName>,
}

/// What is kept of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Doc {
    /// The life of the hub that it is of.
    life: IncarnationId,
    since: Timestamp,
    ended_at: Option<Timestamp>,
    /// Sites that nobody waits for.
    waived: BTreeSet<SiteName>,
    /// The highest number of an edition that this hub has lost.
    edition: u64,
    /// Keys that editions have named as revoked.
    void: BTreeSet<Digest>,
}

impl Recovery {
    /// `is_restored`: this hub has lived before.
    pub(crate) async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        is_restored: bool,
    ) -> Result<Self, Refusal> {
        let life = store.incarnation();
        let row = store.resource_get(ResourceKind::Recovery, NAME.to_owned()).await?;
        let kept =
            row.map(|row| document::read::<Doc>(&row.record, RECOVERY_TYPE, RECOVERY_VERSION));
        let kept = kept.transpose().map_err(|error: DocumentError| {
            Refusal::new(ProblemCode::StoreFailed, format!("the record of the recovery: {error}"))
        })?;
        let void = kept.as_ref().map(|kept| kept.void.clone()).unwrap_or_default();
        let doc = kept.filter(|kept| kept.life == life).unwrap_or_else(|| {
            let (since, ended_at) = (clock.now(), None);
            Doc { life, since, ended_at, waived: BTreeSet::new(), edition: 0, void }
        });
        let is_on = is_restored && doc.ended_at.is_none();
        let waiting = match is_on {
            true => waiting(store.as_ref(), life, &doc.waived).await?,
            false => BTreeSet::new(),
        };
        if is_on {
            let sites = waiting.len();
            tracing::warn!(
                sites,
                "this hub was brought back from a backup and waits for its sites"
            );
        }
        let (state, on) = (Mutex::new(State { doc, waiting }), watch::Sender::new(is_on));
        let recovery = Self { store, clock, state, on };
        recovery.look().await?;
        Ok(recovery)
    }

    pub(crate) fn is_on(&self) -> bool {
        *self.on.borrow()
    }

    /// Until it is over.
    pub(crate) async fn over(&self) {
        // The sender is here.
        let _ = self.on.subscribe().wait_for(|on| !on).await;
    }

    /// Nobody waits for this site any more.
    pub(crate) async fn done_with(&self, site: &SiteName) -> Result<(), Refusal> {
        if !self.is_on() {
            return Ok(());
        }
        self.state.lock().await.waiting.remove(site);
        self.look().await
    }

    /// A site has an edition of this hub that it has lost: whoever that says is nobody any more, is nobody
    /// here either. Gives whether somebody was, until now.
    pub(crate) async fn learn(&self, desks: &Desks, head: &Head) -> Result<bool, Refusal> {
        let void = self.keep(head).await?;
        let mut sites = Vec::new();
        if !void.is_empty() {
            let known = each_site(self.store.as_ref(), |row, doc| {
                if is_one(&doc, &void) {
                    sites.push(row.site);
                }
                Ok(())
            });
            known.await?;
        }
        let mut has_revoked = false;
        for site in sites {
            has_revoked |= self.revoke(desks, &site, &void).await?;
        }
        Ok(has_revoked)
    }

    /// Gives the keys of which nobody here knew that they are nobody's.
    async fn keep(&self, head: &Head) -> Result<BTreeSet<Digest>, Refusal> {
        let mut state = self.state.lock().await;
        let revoked = head.revoked.iter().take(REVOKED_MAX).copied();
        let new: BTreeSet<Digest> = revoked.filter(|key| !state.doc.void.contains(key)).collect();
        let is_higher = self.is_on() && head.number > state.doc.edition;
        if !new.is_empty() || is_higher {
            let mut doc = state.doc.clone();
            doc.void.extend(&new);
            if is_higher {
                doc.edition = head.number;
            }
            self.write(&doc, Vec::new()).await?;
            state.doc = doc;
        }
        Ok(new)
    }

    async fn revoke(
        &self,
        desks: &Desks,
        site: &SiteName,
        void: &BTreeSet<Digest>,
    ) -> Result<bool, Refusal> {
        let held = desks.hold(site).await;
        let Some(mut doc) = desks.site_doc(site).await?.filter(|doc| is_one(doc, void)) else {
            return Ok(false);
        };
        let now = self.clock.now();
        doc.hand_over(None, now);
        let reason = "an edition from before the restore says so".to_owned();
        let by = By { actor: "hub".to_owned(), reason: Some(reason) };
        let ops = vec![
            change_op(ChangeKind::SiteRevoked, site, &by, now),
            Op::SitePut { site: site.clone(), record: doc.encode().into() },
        ];
        self.store.commit(ops, Preconditions::none()).await?;
        held.part();
        tracing::warn!(%site, "revoked before the restore, and so again");
        self.done_with(site).await?;
        Ok(true)
    }

    /// Whether this key was revoked in a life of the hub that is lost.
    pub(crate) async fn is_void(&self, key: &Digest) -> bool {
        self.state.lock().await.doc.void.contains(key)
    }

    /// Nobody waits for these sites, or for any.
    pub(crate) async fn waive(
        &self,
        sites: &[SiteName],
        all: bool,
        by: &By,
    ) -> Result<(), Refusal> {
        let mut state = self.state.lock().await;
        let waived: BTreeSet<SiteName> = match all {
            true => state.waiting.clone(),
            false => sites.iter().cloned().collect(),
        };
        if let Some(other) = waived.iter().find(|site| !state.waiting.contains(*site)) {
            let detail =
                format!("nobody waits for {other}: `isonomy hub recovery show` says for whom");
            return Err(Refusal::new(ProblemCode::SiteMissing, detail));
        }
        let mut doc = state.doc.clone();
        doc.waived.extend(waived.iter().cloned());
        let now = self.clock.now();
        let told = waived.iter().map(|site| change_op(ChangeKind::SiteWaived, site, by, now));
        self.write(&doc, told.collect()).await?;
        state.doc = doc;
        state.waiting.retain(|site| !waived.contains(site));
        drop(state);
        self.look().await
    }

    /// Ends it, whoever has not come.
    pub(crate) async fn end(&self, by: &By) -> Result<(), Refusal> {
        let mut state = self.state.lock().await;
        if self.is_on() {
            let told = hub_op(ChangeKind::RecoveryEnded, by, self.clock.now());
            self.finish(&mut state, vec![told]).await?;
        }
        Ok(())
    }

    pub(crate) async fn view(&self) -> RecoveryView {
        let state = self.state.lock().await;
        let Doc { life, since, ended_at, waived, edition, .. } = &state.doc;
        let names = |sites: &BTreeSet<SiteName>| {
            sites.iter().take(NAMES_SHOWN_MAX).map(SiteName::to_string).collect()
        };
        let is_on = self.is_on();
        RecoveryView {
            on: is_on,
            incarnation: life.to_string(),
            since: is_on.then(|| since.to_string()),
            ended_at: ended_at.map(|at| at.to_string()),
            waiting: state.waiting.len() as u64,
            sites: names(&state.waiting),
            waived: names(waived),
            lost_edition: Some(*edition).filter(|number| *number > 0),
        }
    }

    /// Ends it where there is nothing more to wait for.
    async fn look(&self) -> Result<(), Refusal> {
        let mut state = self.state.lock().await;
        if self.is_on() && state.waiting.is_empty() && state.doc.edition == 0 {
            self.finish(&mut state, Vec::new()).await?;
        }
        Ok(())
    }

    async fn finish(&self, state: &mut State, told: Vec<Op>) -> Result<(), Refusal> {
        let doc = Doc { ended_at: Some(self.clock.now()), ..state.doc.clone() };
        self.write(&doc, told).await?;
        state.doc = doc;
        state.waiting.clear();
        tracing::info!("the recovery is over: sites get orders and editions again");
        self.on.send_replace(false);
        Ok(())
    }

    async fn write(&self, doc: &Doc, mut ops: Vec<Op>) -> Result<(), Refusal> {
        let record = document::write(RECOVERY_TYPE, RECOVERY_VERSION, doc).into();
        let row = ResourceRow { kind: ResourceKind::Recovery, name: NAME.to_owned(), record };
        ops.push(Op::ResourcePut(row));
        Ok(self.store.commit(ops, Preconditions::none()).await?)
    }
}

/// Whether somebody is this site by one of these keys.
fn is_one(doc: &SiteDoc, keys: &BTreeSet<Digest>) -> bool {
    doc.is_member() && doc.key.is_some_and(|key| keys.contains(key.digest()))
}

/// Members that have not handed over what they hold in this life of the hub.
async fn waiting(
    store: &dyn Store,
    life: IncarnationId,
    waived: &BTreeSet<SiteName>,
) -> Result<BTreeSet<SiteName>, Refusal> {
    let mut waiting = BTreeSet::new();
    let looked = each_site(store, |row, doc| {
        let seat = SeatDoc::read(&row.site, row.seat.as_deref())?;
        if doc.is_member() && seat.settled != Some(life) && !waived.contains(&row.site) {
            waiting.insert(row.site);
        }
        Ok(())
    });
    looked.await?;
    Ok(waiting)
}
