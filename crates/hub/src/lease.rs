//! Leases: what each site may spend of the fleet's budgets, and what it says of them (ADR 26).
//!
//! A reconciler over what has been taken, like `dispatch`: it hears all words that have come, and then grants
//! what is asked for. Ledger, orders and how far it has looked are one commit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::stream::Stream;
use base::{By, IncarnationId, SiteName, Timestamp, document};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use identity::PublicKey;
use link::ORDER_LIFE_MAX;
use link::hub::SeatDoc;
use models::{Grant, Holder, LEASE_AHEAD_MAX, Ledger, PurseId, Share};
use pricing::{Amount, Budget, Currency, Money, Period};
use serde::{Deserialize, Serialize};
use server::Refusal;
use store::{
    EntryRow, Op, OrderRow, Preconditions, ResourceKind, ResourceRow, Store, resource_all,
};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard, Notify};
use wire::ProblemCode;
use wire::lease::{Lease, PurseName, SignedLease, SignedWord, Word};
use wire::order::{Act, Order};

use crate::Hub;
use crate::budget::FleetBudget;
use crate::site::{SiteDoc, each_site};

/// Entries that are read at once.
const PAGE: u32 = 500;

/// After the store could not be read or written.
const RETRY: Duration = Duration::from_secs(5);

/// What is asked for may be met when a window begins, though nobody says anything.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How long a window is remembered when it is over: a quarter, for whoever reckons up.
const KEPT: base::Duration = base::Duration::from_secs(92 * 24 * 3600);

/// Purses of all sites and windows: each is some 300 bytes, here and in the store. Beyond, a site that has
/// none gets none.
const PURSES_MAX: usize = 200_000;

const PURSE_TYPE: &str = "isonomy.purse";
const CURSOR_TYPE: &str = "isonomy.lease-cursor";
const VERSION: u32 = 1;

/// There is one. No holder is called so.
const CURSOR: &str = "cursor";

/// A site in one of its lives.
type Whose = (SiteName, IncarnationId);

/// What the hub knows of one purse.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub site: SiteName,
    pub share: Share,
    pub heard_at: Timestamp,
    /// The site has another life now, or is nobody's: what it held counts as spent.
    pub is_gone: bool,
}

impl Held {
    pub(crate) fn spent(&self) -> Amount {
        if self.is_gone { self.share.weight() } else { self.share.spent }
    }

    /// What it may still spend.
    pub(crate) fn leased(&self) -> Amount {
        self.share.weight().minus(self.spent()).unwrap_or_default()
    }
}

#[derive(Default)]
pub(crate) struct Leases {
    state: Mutex<Option<State>>,
    changed: Notify,
}

impl Leases {
    /// Budgets have changed.
    pub(crate) fn changed(&self) {
        self.changed.notify_one();
    }
}

struct State {
    looked: u64,
    /// A budget that was set in another currency has books in both: a site that was away speaks of the old one.
    ledgers: BTreeMap<BookId, Book>,
    purses: usize,
}

pub(crate) type BookId = (PurseId, Currency);

struct Book {
    ledger: Ledger<Whose>,
    heard: BTreeMap<Whose, Heard>,
}

/// When, and as which life of the hub, a site last spoke of a purse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Heard {
    at: Timestamp,
    hub: Option<IncarnationId>,
}

#[derive(Serialize, Deserialize)]
struct Cursor {
    entry: u64,
}

#[derive(Serialize, Deserialize)]
struct Doc {
    purse: PurseName,
    number: u64,
    granted: Money,
    spent: Money,
    returned: Money,
    asks: Option<Money>,
    is_short: bool,
    heard: Heard,
}

/// Looks at what comes, until it is dropped.
pub(crate) async fn keep(hub: &Hub) {
    let mut taken = hub.desks().taken();
    loop {
        hub.0.recovery.over().await;
        taken.borrow_and_update();
        let rest = match hub.leases_turn().await {
            Ok(()) => LOOK_EVERY,
            Err(refusal) => {
                tracing::error!(%refusal, "cannot grant leases");
                // What was heard and not written is read again.
                *hub.0.leases.state.lock().await = None;
                RETRY
            }
        };
        tokio::select! {
            changed = taken.changed() => if changed.is_err() { return },
            () = hub.0.leases.changed.notified() => {}
            () = tokio::time::sleep(rest) => {}
        }
    }
}

impl State {
    async fn load(store: &dyn Store, now: Timestamp) -> Result<(Self, Vec<Op>), Refusal> {
        let mut state = Self { looked: 0, ledgers: BTreeMap::new(), purses: 0 };
        let mut ops = Vec::new();
        for row in resource_all(store, ResourceKind::Lease).await? {
            let damaged = |_| {
                let what = format!("the purse `{}` is damaged, or of a newer version", row.name);
                Refusal::new(ProblemCode::StoreFailed, what)
            };
            if row.name == CURSOR {
                let cursor: Cursor =
                    document::read(&row.record, CURSOR_TYPE, VERSION).map_err(|_| damaged(()))?;
                state.looked = cursor.entry;
                continue;
            }
            let doc: Doc =
                document::read(&row.record, PURSE_TYPE, VERSION).map_err(|_| damaged(()))?;
            let id = id_of(&doc.purse).ok_or(()).map_err(damaged)?;
            if ends(&id).is_some_and(|end| end.plus(KEPT) < now) {
                let (kind, name) = (ResourceKind::Lease, row.name);
                ops.push(Op::ResourceDelete { kind, name });
                continue;
            }
            let whose = (doc.purse.site, doc.purse.life);
            let share = Share {
                number: doc.number,
                granted: doc.granted.amount,
                spent: doc.spent.amount,
                returned: doc.returned.amount,
                asks: doc.asks.map(|it| it.amount),
                is_short: doc.is_short,
            };
            let book = state.book(&(id, doc.granted.currency));
            book.ledger.put(whose.clone(), share);
            book.heard.insert(whose, doc.heard);
            state.purses += 1;
        }
        Ok((state, ops))
    }

    fn book(&mut self, id: &BookId) -> &mut Book {
        self.ledgers
            .entry(id.clone())
            .or_insert_with(|| Book { ledger: Ledger::new(Amount::ZERO), heard: BTreeMap::new() })
    }

    /// What a site has said. Gives the purse, where it is one.
    fn hear(&mut self, word: &Word, at: Timestamp) -> Option<(BookId, Whose)> {
        let said = Said::read(word)?;
        let id = (id_of(&word.purse)?, said.currency);
        let whose = (word.purse.site.clone(), word.purse.life);
        let is_new = self.ledgers.get(&id).is_none_or(|book| !book.heard.contains_key(&whose));
        if is_new && self.purses >= PURSES_MAX {
            tracing::error!(site = %whose.0, "too many purses: one is not kept");
            return None;
        }
        self.purses += usize::from(is_new);
        let book = self.book(&id);
        book.ledger.hear(whose.clone(), &said.word);
        book.heard.insert(whose.clone(), Heard { at, hub: word.hub });
        Some((id, whose))
    }
}

impl Book {
    fn op(&self, (id, currency): &BookId, whose: &Whose) -> Option<Op> {
        let (share, heard) = (self.ledger.share(whose)?, self.heard.get(whose)?);
        let money = |amount: Amount| amount.of(*currency);
        let purse = name_of(id, whose);
        let name = format!(
            "{}:{}:{}:{}:{}:{currency}",
            purse.holder,
            purse.period,
            purse.window.map_or(0, Timestamp::as_millis),
            purse.site,
            purse.life
        );
        let doc = Doc {
            purse,
            number: share.number,
            granted: money(share.granted),
            spent: money(share.spent),
            returned: money(share.returned),
            asks: share.asks.map(money),
            is_short: share.is_short,
            heard: *heard,
        };
        let record = document::write(PURSE_TYPE, VERSION, &doc).into();
        Some(Op::ResourcePut(ResourceRow { kind: ResourceKind::Lease, name, record }))
    }
}

/// A word, in amounts.
struct Said {
    currency: Currency,
    word: models::Word,
}

impl Said {
    fn read(word: &Word) -> Option<Self> {
        let money = |text: &str| text.parse::<Money>().ok();
        let granted = money(&word.granted)?;
        let currency = granted.currency;
        let amount = |text: &str| {
            let money = money(text)?;
            (money.currency == currency).then_some(money.amount)
        };
        let asks = match &word.asks {
            Some(asks) => Some(amount(asks)?),
            None => None,
        };
        let word = models::Word {
            number: word.number,
            granted: granted.amount,
            spent: amount(&word.spent)?,
            returned: amount(&word.returned)?,
            asks,
        };
        Some(Self { currency, word })
    }
}

fn id_of(purse: &PurseName) -> Option<PurseId> {
    let holder: Holder = purse.holder.parse().ok()?;
    let period: Period = purse.period.parse().ok()?;
    let id = PurseId { holder, period, window: purse.window };
    let begins = match id.window {
        Some(at) => period.window(at).ok()?.map(|it| it.start),
        None => None,
    };
    (begins == id.window && (period == Period::Total) == id.window.is_none()).then_some(id)
}

fn name_of(id: &PurseId, (site, life): &Whose) -> PurseName {
    PurseName {
        site: site.clone(),
        life: *life,
        holder: id.holder.to_text(),
        period: id.period.name().to_owned(),
        window: id.window,
    }
}

/// When the window ends, if it does.
fn ends(id: &PurseId) -> Option<Timestamp> {
    id.period.window(id.window?).ok().flatten().map(|it| it.end)
}

/// Whether it can be spent from now, or is the one after that and near.
fn is_due(id: &PurseId, now: Timestamp) -> bool {
    let Some(begins) = id.window else { return true };
    let window = id.period.window(now).ok().flatten();
    window.is_some_and(|it| {
        it.start == begins || it.end == begins && begins <= now.plus(LEASE_AHEAD_MAX)
    })
}

/// Whether something of it may have been leased that the hub has lost.
pub(crate) fn is_lost(id: &PurseId, lost_until: Option<Timestamp>) -> bool {
    let is_near = |until: Timestamp| id.window.is_none_or(|it| it <= until.plus(LEASE_AHEAD_MAX));
    lost_until.is_some_and(is_near)
}

impl Hub {
    /// Hears everything that has come since the last turn, and grants what is asked for.
    async fn leases_turn(&self) -> Result<(), Refusal> {
        let mut place = self.0.leases.state.lock().await;
        let store = self.0.store.as_ref();
        if place.is_none() {
            let (state, forget) = State::load(store, self.now()).await?;
            if !forget.is_empty() {
                store.commit(forget, Preconditions::none()).await?;
            }
            *place = Some(state);
        }
        let state = place.as_mut().expect("it was loaded");
        let (looked, mut changed) = (state.looked, BTreeSet::new());
        loop {
            let page = store.entry_list(state.looked, PAGE).await?;
            let Some(last) = page.last() else { break };
            state.looked = last.position;
            for row in page.iter().filter(|row| row.stream == Stream::Receipt) {
                if let Some(word) = self.word(row).await? {
                    changed.extend(state.hear(&word, row.at));
                }
            }
        }
        let mut orders = Vec::new();
        for budget in FleetBudget::all(store).await? {
            for order in self.grant(state, &budget, &mut changed).await? {
                orders.push(order);
            }
        }
        // A crash has it look at those again of which nothing followed.
        if changed.is_empty() && orders.is_empty() && state.looked < looked + u64::from(PAGE) {
            return Ok(());
        }
        let mut ops: Vec<Op> =
            changed.iter().filter_map(|(id, whose)| state.ledgers[id].op(id, whose)).collect();
        let record = document::write(CURSOR_TYPE, VERSION, &Cursor { entry: state.looked }).into();
        let (kind, name) = (ResourceKind::Lease, CURSOR.to_owned());
        ops.push(Op::ResourcePut(ResourceRow { kind, name, record }));
        let told: BTreeSet<SiteName> = orders.iter().map(|it: &OrderRow| it.site.clone()).collect();
        ops.extend(orders.into_iter().map(Op::OrderPut));
        store.commit(ops, Preconditions::none()).await?;
        for site in told {
            if let Err(error) = self.desks().ordered(&site).await {
                // It is given in the next session.
                tracing::warn!(%site, %error, "cannot tell a site of its lease");
            }
        }
        Ok(())
    }

    /// A site's word, where it is its own.
    async fn word(&self, row: &EntryRow) -> Result<Option<Word>, Refusal> {
        let Ok((signed, word)) = SignedWord::decode(&row.entry) else { return Ok(None) };
        let doc = self.desks().site_doc(&row.site).await?.unwrap_or_default();
        if word.purse.site != row.site || !is_signed(&signed, &doc) {
            tracing::warn!(site = %row.site, "what is said of a lease is not signed by that site");
            return Ok(None);
        }
        Ok(Some(word))
    }

    /// What is granted of one budget, in all windows that are due.
    async fn grant(
        &self,
        state: &mut State,
        budget: &FleetBudget,
        changed: &mut BTreeSet<(BookId, Whose)>,
    ) -> Result<Vec<OrderRow>, Refusal> {
        let (now, currency) = (self.now(), budget.budget.cap().currency);
        let is_it = |(id, of): &BookId| budget.is_of(&id.holder, id.period) && *of == currency;
        let books = state.ledgers.iter_mut().filter(|(id, _)| is_it(id));
        let books: Vec<_> = books.map(|((id, _), book)| (id.clone(), book)).collect();
        let lost_until = self.0.recovery.lost_until().await;
        let may = |id: &PurseId| is_due(id, now) && !is_lost(id, lost_until);
        let asks = |(id, book): &(PurseId, &mut Book)| {
            may(id) && book.ledger.shares().any(|(_, share)| share.asks.is_some())
        };
        if !books.iter().any(asks) {
            return Ok(Vec::new());
        }
        let Some(sites) = self.sharing(budget, &books).await? else { return Ok(Vec::new()) };
        let mut orders = Vec::new();
        for (id, book) in books.into_iter().filter(|(id, _)| may(id)) {
            book.ledger.cap_set(budget.budget.cap().amount);
            let is_it = |whose: &Whose| sites.get(&whose.0) == Some(&Some(whose.1));
            for grant in book.ledger.grant(sites.len(), is_it) {
                orders.push(self.lease(&id, book, &budget.budget, &grant)?);
                changed.insert(((id.clone(), currency), grant.to));
            }
        }
        Ok(orders)
    }

    /// The sites that fall under it, each with its present life; nothing as long as this hub, which was set
    /// back, has not heard from those of them that have come how much they hold.
    async fn sharing(
        &self,
        budget: &FleetBudget,
        books: &[(PurseId, &mut Book)],
    ) -> Result<Option<BTreeMap<SiteName, Option<IncarnationId>>>, Refusal> {
        let life = self.0.store.incarnation();
        let is_set_back = !self.desks().before().is_empty();
        let heard = |whose: &Whose| {
            let mut last = books.iter().filter_map(|(_, book)| book.heard.get(whose));
            last.any(|it| it.hub == Some(life))
        };
        let known = |whose: &Whose| books.iter().any(|(_, book)| book.heard.contains_key(whose));
        let (mut sites, mut is_open) = (BTreeMap::new(), true);
        let looked = each_site(self.0.store.as_ref(), |row, doc| {
            if doc.is_member() && budget.sites.contain(&row.site, &doc) {
                let seat = SeatDoc::read(&row.site, row.seat.as_deref())?;
                let present = seat.present.map(|it| it.incarnation);
                if let Some(present) = present.filter(|_| is_set_back) {
                    let whose = (row.site.clone(), present);
                    let has_come = seat.settled == Some(life);
                    is_open &= !has_come || !known(&whose) || heard(&whose);
                }
                sites.insert(row.site, present);
            }
            Ok(())
        });
        looked.await?;
        Ok(is_open.then_some(sites))
    }

    /// The order that a lease goes down in.
    fn lease(
        &self,
        id: &PurseId,
        book: &Book,
        budget: &Budget,
        grant: &Grant<Whose>,
    ) -> Result<OrderRow, Refusal> {
        let now = self.now();
        let share = book.ledger.share(&grant.to).expect("it has asked");
        let lease = Lease {
            purse: name_of(id, &grant.to),
            hub: self.0.store.incarnation(),
            granted: grant.granted.of(budget.cap().currency).exact(),
            answers: share.number,
            is_short: grant.is_short,
            at: now,
        };
        let (order, text) = (lease.order(), lease.encode());
        let authority = self.authority();
        let signature = authority.sign(&Lease::signed_bytes(&text));
        let failed = |error: identity::IdentityError| {
            Refusal::new(ProblemCode::Internal, format!("cannot sign a lease: {error}"))
        };
        let signature = STANDARD.encode(signature.map_err(failed)?);
        let chain = authority.chain().iter().map(|it| STANDARD.encode(it)).collect();
        let act = Act::Lease(Box::new(SignedLease { lease: text, signature, chain }));
        let until = now.plus(ORDER_LIFE_MAX);
        let by = By { actor: "hub".to_owned(), reason: None };
        let body = Order { until, by, act }.encode().into();
        let site = grant.to.0.clone();
        let (position, request, closed_at) = (0, None, None);
        Ok(OrderRow { position, order, site, at: now, until, request, body, closed_at })
    }

    async fn lease_state(&self) -> Result<MappedMutexGuard<'_, State>, Refusal> {
        let mut place = self.0.leases.state.lock().await;
        if place.is_none() {
            let (state, _) = State::load(self.0.store.as_ref(), self.now()).await?;
            *place = Some(state);
        }
        Ok(MutexGuard::map(place, |place| place.as_mut().expect("it was loaded")))
    }

    /// Whether something was leased of this budget in a window that is not over, and in another currency.
    pub(crate) async fn is_leased_otherwise(&self, budget: &FleetBudget) -> Result<bool, Refusal> {
        let (now, currency) = (self.now(), budget.budget.cap().currency);
        let state = self.lease_state().await?;
        let mut books = state.ledgers.iter().filter(|((id, _), _)| is_due(id, now));
        Ok(books.any(|((id, of), book)| {
            budget.is_of(&id.holder, id.period)
                && *of != currency
                && book.ledger.shares().any(|(_, share)| share.weight() > Amount::ZERO)
        }))
    }

    /// Who holds what of a budget in this window.
    pub(crate) async fn leases_of(&self, id: &BookId) -> Result<Vec<Held>, Refusal> {
        let rows: Vec<_> = {
            let state = self.lease_state().await?;
            let book = state.ledgers.get(id);
            let shares = book.into_iter().flat_map(|book| {
                let heard = |whose: &Whose| book.heard.get(whose).map(|it| it.at);
                book.ledger
                    .shares()
                    .filter_map(move |(whose, share)| Some((whose.clone(), *share, heard(whose)?)))
            });
            shares.collect()
        };
        let mut held = Vec::with_capacity(rows.len());
        for ((site, life), share, heard_at) in rows {
            let row = self.0.store.site_get(site.clone()).await?;
            let doc = row.as_ref().map(|row| SiteDoc::read(&site, &row.record)).transpose();
            let doc = doc.map_err(crate::DeskError::from)?;
            let seat = SeatDoc::read(&site, row.as_ref().and_then(|row| row.seat.as_deref()));
            let present = seat.map_err(crate::DeskError::from)?.present;
            let is_it = present.is_some_and(|it| it.incarnation == life);
            let is_gone = !is_it || !doc.is_some_and(|doc| doc.is_member());
            held.push(Held { site, share, heard_at, is_gone });
        }
        Ok(held)
    }
}

/// By a key that is, or was, the site's: a word of a life before still counts.
fn is_signed(signed: &SignedWord, doc: &SiteDoc) -> bool {
    let decode = |text: &str| STANDARD.decode(text).ok();
    let key = decode(&signed.signer).and_then(|der| PublicKey::from_der(&der).ok());
    let (Some(key), Some(signature)) = (key, decode(&signed.signature)) else { return false };
    let pin = key.pin();
    let is_his = doc.key == Some(pin) || doc.void.iter().any(|void| void.key == pin);
    is_his && key.verify(&Word::signed_bytes(&signed.word), &signature).is_ok()
}

#[cfg(test)]
mod tests;
