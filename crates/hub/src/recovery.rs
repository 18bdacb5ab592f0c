//! After a restore: what this hub does not know any more, and what it leaves undone until it does.
//!
//! ```text
//!   restored, or a site has an edition that this hub has signed and does not know
//!      ▼
//!   recovering: takes what sites bring; gives no order, makes no token, publishes no edition
//!                 │   every member has handed over all that it held when it came, or is waived,
//!                 │   and none has shown an edition that this hub has lost
//!                 ▼
//!               over ◄─ or a person has ended it
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base::{By, Clock, Digest, DocumentError, IncarnationId, SiteName, Timestamp, document};
use link::hub::SeatDoc;
use serde::{Deserialize, Serialize};
use server::Refusal;
use store::{Op, Preconditions, ResourceKind, ResourceRow, Store};
use tokio::sync::{Mutex, Notify, watch};
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

/// After the store could not be read or written.
const RETRY: Duration = Duration::from_secs(5);

pub(crate) struct Recovery {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// This hub has lived before: it may have lost something.
    is_restored: bool,
    state: Mutex<State>,
    on: watch::Sender<bool>,
    /// One look at all sites at a time.
    sweeping: Mutex<()>,
    /// Something could not be done, and nobody comes to do it.
    undone: Notify,
}

struct State {
    doc: Doc,
    /// Members that have not handed over everything yet.
    waiting: BTreeSet<SiteName>,
    /// So many void keys were nobody's at any site when all were looked at. Keys are never taken away.
    swept: usize,
}

/// What is kept of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Doc {
    /// The life of the hub that it is of.
    life: IncarnationId,
    since: Timestamp,
    ended_at: Option<Timestamp>,
    /// A person has ended it, and answers for what nobody can tell this hub any more: what was leased to sites that
    /// joined, were revoked or were given up since the backup.
    #[serde(default)]
    is_answered_for: bool,
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
        let kept = kept.filter(|kept| kept.life == life);
        let has_lost = is_restored || kept.is_some();
        let doc = kept.unwrap_or_else(|| {
            let (since, ended_at) = (clock.now(), None);
            let (waived, is_answered_for) = (BTreeSet::new(), false);
            Doc { life, since, ended_at, is_answered_for, waived, edition: 0, void }
        });
        let is_on = has_lost && doc.ended_at.is_none();
        let waiting = match is_on {
            true => waiting(store.as_ref(), life, &doc.waived).await?,
            false => BTreeSet::new(),
        };
        if is_on {
            let sites = waiting.len();
            tracing::warn!(
                sites,
                "this hub has lost something: it was brought back from a backup, or set back by other means"
            );
        }
        let state = Mutex::new(State { doc, waiting, swept: 0 });
        let (on, sweeping, undone) = (watch::Sender::new(is_on), Mutex::default(), Notify::new());
        let recovery = Self { store, clock, is_restored, state, on, sweeping, undone };
        recovery.look().await?;
        Ok(recovery)
    }

    pub(crate) fn is_on(&self) -> bool {
        *self.on.borrow()
    }

    /// Until it is over.
    pub(crate) async fn over(&self) {
        self.is(false).await;
    }

    /// Until it is on, or not.
    pub(crate) async fn is(&self, wanted: bool) {
        // The sender is here.
        let _ = self.on.subscribe().wait_for(|on| *on == wanted).await;
    }

    /// Nobody waits for this site any more.
    pub(crate) async fn done_with(&self, site: &SiteName) -> Result<(), Refusal> {
        if !self.is_on() {
            return Ok(());
        }
        self.state.lock().await.waiting.remove(site);
        self.look().await
    }

    /// Does again what could not be done, until it is dropped. Who has come does not come again for that.
    pub(crate) async fn keep(&self, desks: &Desks) {
        loop {
            match self.turn(desks).await {
                Ok(()) => self.undone.notified().await,
                Err(refusal) => {
                    tracing::error!(%refusal, "cannot go on with the recovery");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn turn(&self, desks: &Desks) -> Result<(), Refusal> {
        if self.sweep(desks).await? {
            desks.editions().changed();
        }
        self.look().await
    }

    /// A site has an edition of this hub that it has lost: whoever that says is nobody any more, is nobody
    /// here either.
    pub(crate) async fn learn(&self, desks: &Desks, head: &Head) -> Result<(), Refusal> {
        self.note(head).await?;
        self.sweep(desks).await.inspect_err(|_| self.undone.notify_one())?;
        Ok(())
    }

    /// Whether there may be something that it does not know any more.
    pub(crate) async fn has_lost(&self) -> bool {
        self.is_restored || self.state.lock().await.doc.edition > 0
    }

    /// Keeps what an edition says, before anything is done about it.
    async fn note(&self, head: &Head) -> Result<(), Refusal> {
        let mut state = self.state.lock().await;
        let was_on = self.is_on();
        // One from before the end of a recovery was lost by the same restore, and a person has decided.
        let begins = !was_on && state.doc.ended_at.is_none_or(|ended| head.at > ended);
        let is_higher = was_on && head.number > state.doc.edition;
        let mut doc = state.doc.clone();
        doc.void.extend(head.revoked.iter().take(REVOKED_MAX));
        if begins || is_higher {
            doc.edition = head.number;
        }
        if begins {
            (doc.since, doc.ended_at, doc.waived) = (self.clock.now(), None, BTreeSet::new());
            doc.is_answered_for = false;
        }
        if begins || is_higher || doc.void.len() > state.doc.void.len() {
            self.write(&doc, Vec::new()).await?;
            state.doc = doc;
        }
        if begins {
            tracing::error!(
                number = head.number,
                "this hub was set back, or another one signs in its name: it gives no order and publishes nothing until `isonomy hub recovery end`"
            );
            self.on.send_replace(true);
        }
        Ok(())
    }

    /// Has nobody be a site by a void key, or wait to be one. Looks at all sites, and so only where there are
    /// keys for which nobody has. Gives whether somebody was one.
    pub(crate) async fn sweep(&self, desks: &Desks) -> Result<bool, Refusal> {
        let _alone = self.sweeping.lock().await;
        let void = {
            let state = self.state.lock().await;
            if state.doc.void.len() == state.swept {
                return Ok(false);
            }
            state.doc.void.clone()
        };
        let mut sites = Vec::new();
        let known = each_site(self.store.as_ref(), |row, doc| {
            if is_one(&doc, &void) || is_to_be_one(&doc, &void) {
                sites.push(row.site);
            }
            Ok(())
        });
        known.await?;
        let mut has_revoked = false;
        for site in sites {
            has_revoked |= self.sweep_site(desks, &site, &void).await?;
        }
        self.state.lock().await.swept = void.len();
        Ok(has_revoked)
    }

    async fn sweep_site(
        &self,
        desks: &Desks,
        site: &SiteName,
        void: &BTreeSet<Digest>,
    ) -> Result<bool, Refusal> {
        let held = desks.hold(site).await;
        let Some(mut doc) = desks.site_doc(site).await? else { return Ok(false) };
        let (is_one, now) = (is_one(&doc, void), self.clock.now());
        let mut ops = Vec::new();
        if is_one {
            doc.revoke_by_edition(void, now);
            let reason = "an edition from before the restore says so".to_owned();
            let by = By { actor: "hub".to_owned(), reason: Some(reason) };
            ops.push(change_op(ChangeKind::SiteRevoked, site, &by, now));
        } else if is_to_be_one(&doc, void) {
            doc.adoptable = None;
        } else {
            return Ok(false);
        }
        ops.push(Op::SitePut { site: site.clone(), record: doc.encode().into() });
        self.store.commit(ops, Preconditions::none()).await?;
        if is_one {
            held.part();
            tracing::warn!(%site, "revoked before the restore, and so again");
            self.done_with(site).await?;
        }
        Ok(is_one)
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

    /// Ends it, whoever has not come; or, where it is over, has a person answer for what nobody has told.
    pub(crate) async fn end(&self, by: &By) -> Result<(), Refusal> {
        let mut state = self.state.lock().await;
        let has_lost = self.is_restored || state.doc.edition > 0;
        if !has_lost || state.doc.is_answered_for {
            return Ok(());
        }
        let told = vec![hub_op(ChangeKind::RecoveryEnded, by, self.clock.now())];
        let doc = Doc { is_answered_for: true, ..state.doc.clone() };
        if self.is_on() {
            state.doc = doc;
            return self.finish(&mut state, told).await;
        }
        self.write(&doc, told).await?;
        state.doc = doc;
        Ok(())
    }

    /// Until when something may have been leased that nobody can tell this hub any more.
    pub(crate) async fn lost_until(&self) -> Option<Timestamp> {
        let state = self.state.lock().await;
        let has_lost = self.is_restored || state.doc.edition > 0;
        (has_lost && !state.doc.is_answered_for).then_some(state.doc.since)
    }

    pub(crate) async fn view(&self) -> RecoveryView {
        let state = self.state.lock().await;
        let Doc { life, since, ended_at, is_answered_for, waived, edition, .. } = &state.doc;
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
            leases_wait: (self.is_restored || *edition > 0) && !is_answered_for,
        }
    }

    /// Ends it where there is nothing more to wait for.
    async fn look(&self) -> Result<(), Refusal> {
        let mut state = self.state.lock().await;
        if self.is_on() && state.waiting.is_empty() && state.doc.edition == 0 {
            let finished = self.finish(&mut state, Vec::new()).await;
            return finished.inspect_err(|_| self.undone.notify_one());
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

/// Whether somebody waits to be it with one.
fn is_to_be_one(doc: &SiteDoc, keys: &BTreeSet<Digest>) -> bool {
    doc.adoptable.is_some_and(|key| keys.contains(key.digest()))
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

#[cfg(test)]
mod tests;
