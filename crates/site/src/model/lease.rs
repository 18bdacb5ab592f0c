//! Leases of the hub's budgets: taken, asked for ahead, and accounted for (ADR 26).
//!
//! What may be spent is decided in `models::purse`, under the lock of all budgets. Here it is written down and
//! said: a reconciler that looks at every purse, and can be run again at any time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use base::{CallId, Clock, IncarnationId, SiteName, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway::Desk;
use identity::{Key, Pin, is_signed_text};
use link::site::Saying;
use models::{
    Books, Facts, Holder, LEASE_AHEAD_MAX, Line, Purse, PurseId, PurseStanding, Tally, Word,
};
use pricing::{Amount, Budget, Money};
use store::{CommitError, Op, Preconditions, ReceiptRow, ResourceKind, Store, resource_all};
use tokio::sync::{Mutex, Notify, watch};
use tokio_util::sync::CancellationToken;
use wire::lease::{Lease, PurseName, SignedLease, SignedWord};
use wire::{LeaseView, ProblemCode};

use super::book::{Book, BookError};
use super::purse_row::{Row, id_of, line_of, name_of, row_name};
use super::report::{ReportError, Reports};
use crate::edition;
use crate::refusal::Refusal;
use crate::uplink::LineState;

/// What was spent is told at least so often: the hub's picture is this old.
const TELL_EVERY: base::Duration = base::Duration::from_secs(60);

/// Between two looks: windows begin, and what was spent is told.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// After something that could not be done now.
const RETRY: Duration = Duration::from_secs(5);

/// An ask that nobody has answered, though the line is up, is said again.
const ASK_AGAIN: base::Duration = base::Duration::from_secs(600);

/// A purse whose window has ended so long ago is forgotten: no lease of it can still be under way.
const KEPT: base::Duration = base::Duration::from_secs(46 * 24 * 3600);

/// What leases are made of.
pub(crate) struct LeaseParts {
    pub site: SiteName,
    /// In which the site speaks.
    pub life: IncarnationId,
    pub root: Pin,
    pub key: Arc<Key>,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    /// To tell when there is something for the hub.
    pub grown: Arc<Notify>,
    pub line: watch::Receiver<LineState>,
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Leases(Arc<Inner>);

struct Inner {
    parts: LeaseParts,
    desk: Desk,
    book: Book,
    /// One change at a time: what is said is what is written down.
    rows: Mutex<BTreeMap<PurseId, Row>>,
}

/// What becomes of the order that a lease came in.
pub(crate) enum Taking {
    Taken,
    /// For good, in a word.
    Refused(&'static str),
    /// The line is down: nobody knows whether the hub that gave it is still the hub.
    NotNow,
}

/// What is to be said of a purse, and written down with it.
struct Due {
    id: PurseId,
    row: Row,
    purse: Purse,
    word: Word,
}

impl Leases {
    /// Takes up what there is. Calls that nobody has settled are settled already.
    pub(crate) async fn open(parts: LeaseParts, desk: Desk, book: Book) -> Result<Self, BookError> {
        let mut rows = BTreeMap::new();
        let mut ops = Vec::new();
        for kept in resource_all(parts.store.as_ref(), ResourceKind::Lease).await? {
            let (id, life, mut row, mut purse) = Row::read(&kept)?;
            if life != parts.life {
                // Of a life that is over: at the hub it counts whole.
                ops.push(Op::ResourceDelete { kind: kept.kind, name: kept.name });
                continue;
            }
            let line = line_of(&id, row.budget.cap().currency);
            let recorded = book.tally(|tally| tally.spent_of(&line));
            let spent = recorded.map_or(purse.granted, |it| row.spent(it));
            let lost = purse.told.minus(spent).unwrap_or_default();
            row.extra = row.extra.plus(lost).unwrap_or(row.extra);
            purse.spent = spent.max(purse.told);
            desk.budgets(|books| books.purses().put(&id, row.budget, purse));
            rows.insert(id, row);
        }
        if !ops.is_empty() {
            parts.store.commit(ops, Preconditions::none()).await?;
        }
        let leases = Self(Arc::new(Inner { parts, desk, book, rows: Mutex::new(rows) }));
        match leases.capped().await {
            Ok(capped) => leases.0.desk.budgets(|books| books.purses().set(&capped)),
            Err(error) => tracing::error!(?error, "cannot read which budgets are the hub's"),
        }
        leases.look_at_line();
        Ok(leases)
    }

    /// Asks, tells and gives back, until `closing`.
    pub(crate) async fn run(self, saying: watch::Receiver<Saying>, closing: CancellationToken) {
        let (mut saying, mut line) = (saying, self.0.parts.line.clone());
        loop {
            let rest = tokio::select! {
                () = closing.cancelled() => return,
                turned = self.turn() => match turned {
                    Ok(()) => LOOK_EVERY,
                    Err(refusal) => {
                        tracing::error!(?refusal, "cannot say what was spent of the hub's budgets");
                        RETRY
                    }
                },
            };
            tokio::select! {
                () = closing.cancelled() => return,
                () = self.0.desk.is_low() => {}
                // Which budgets there are may have changed.
                Ok(()) = saying.changed() => {}
                Ok(()) = line.changed() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    /// What tells the hub of all that calls have cost, of its budgets or not.
    pub(crate) async fn reports(&self) -> Result<Reports, ReportError> {
        let LeaseParts { store, clock, life, grown, .. } = &self.0.parts;
        let (store, clock, book) = (Arc::clone(store), Arc::clone(clock), self.0.book.clone());
        Reports::open(store, clock, book, *life, Arc::clone(grown)).await
    }

    fn now(&self) -> Timestamp {
        self.0.parts.clock.now()
    }

    /// The fleet budgets that this site falls under, as its edition says.
    async fn capped(&self) -> Result<Vec<(Holder, Budget)>, Refusal> {
        let Some((_, leaf)) = edition::wanted(self.0.parts.store.as_ref()).await? else {
            return Ok(Vec::new());
        };
        let read = |it: &wire::edition::Capped| {
            let read = it.holder.parse().ok().zip(it.budget.parse().ok());
            if read.is_none() {
                tracing::error!(holder = %it.holder, "a budget of the hub cannot be read: use a newer program");
            }
            read
        };
        Ok(leaf.content.budgets.iter().filter_map(read).collect())
    }

    /// The life of the hub that the line is up to. Calls are told where it is down.
    fn look_at_line(&self) -> Option<IncarnationId> {
        let (away, hub) = match &*self.0.parts.line.borrow() {
            LineState::Up { hub, .. } => (None, *hub),
            LineState::Down { since, .. } => (Some(*since), None),
        };
        self.0.desk.budgets(|books| books.purses().away_set(away));
        hub
    }

    async fn turn(&self) -> Result<(), Refusal> {
        let mut rows = self.0.rows.lock().await;
        let (now, hub, capped) = (self.now(), self.look_at_line(), self.capped().await?);
        let standings = self.0.desk.budgets(|books| {
            books.purses().set(&capped);
            begin(books, &capped, now);
            books.purses().standings()
        });
        let mut due = Vec::new();
        let mut forgotten = Vec::new();
        for standing in standings {
            if is_past(&standing.id, now) {
                forgotten.push(standing.id);
                continue;
            }
            due.extend(self.due(&mut rows, standing, now, hub));
        }
        for id in &forgotten {
            rows.remove(id);
            self.0.desk.budgets(|books| books.purses().forget(id));
        }
        let mut ops: Vec<Op> = forgotten.iter().map(|id| self.forget(id)).collect();
        if due.is_empty() && ops.is_empty() {
            return Ok(());
        }
        // What is given back must not be found to be spent after a crash.
        self.0.book.durable().await;
        for it in &due {
            ops.extend(self.ops(it)?);
        }
        if let Err(error) = self.0.parts.store.commit(ops, Preconditions::none()).await {
            // Said anew, whatever has become of it.
            for it in &due {
                rows.entry(it.id.clone()).and_modify(|row| row.hub = None);
            }
            return Err(error.into());
        }
        for Due { id, row, .. } in due {
            rows.insert(id, row);
        }
        self.0.parts.grown.notify_one();
        Ok(())
    }

    /// What is to be said of one purse now.
    fn due(
        &self,
        rows: &mut BTreeMap<PurseId, Row>,
        standing: PurseStanding,
        now: Timestamp,
        hub: Option<IncarnationId>,
    ) -> Option<Due> {
        let PurseStanding { id, budget, is_on, .. } = standing;
        let line = line_of(&id, budget.cap().currency);
        let row = rows.entry(id.clone()).or_insert_with(|| {
            let recorded = self.0.book.tally(|tally| tally.spent_of(&line));
            Row::new(budget, recorded.unwrap_or_default())
        });
        let mut row = row.clone();
        let is_old =
            |at: Option<Timestamp>, after| at.is_none_or(|at: Timestamp| at.plus(after) <= now);
        let facts = Facts {
            is_over: !is_on || ends(&id).is_some_and(|end| end <= now),
            is_away: hub.is_none(),
            gives_back: row.budget != budget,
            // A hub in a new life may know less.
            must: hub.is_some() && row.hub != hub,
            is_late: hub.is_some() && is_old(row.asked_at, ASK_AGAIN),
            tells: is_old(row.told_at, TELL_EVERY),
            ..Facts::default()
        };
        row.budget = budget;
        let (purse, word) = self.say(&id, &line, &row, facts)?;
        if word.asks.is_some() {
            row.asked_at = Some(now);
        }
        (row.told_at, row.hub) = (Some(now), hub.or(row.hub));
        Some(Due { id, row, purse, word })
    }

    /// Lets the purse decide, with the record of calls and all calls under way at one moment.
    fn say(&self, id: &PurseId, line: &Line, row: &Row, facts: Facts) -> Option<(Purse, Word)> {
        self.0.desk.budgets(|books| {
            let (spent, under_way) = self.0.book.tally(|tally| reckon(books, tally, line));
            let purse = books.purses().purse(id)?;
            let spent = spent.map_or(purse.granted, |it| row.spent(it));
            let word = purse.say(Facts { spent, under_way, ..facts })?;
            Some((*purse, word))
        })
    }

    /// Takes a lease that has come in an order: the purse, what `taking` says of the order, and the word that it
    /// was taken are one commit.
    pub(crate) async fn take(
        &self,
        signed: &SignedLease,
        taking: &[Op],
    ) -> Result<Result<Taking, CommitError>, Refusal> {
        let (lease, id, granted) = match self.believed(signed) {
            Ok(believed) => believed,
            Err(code) => return Ok(Ok(Taking::Refused(code))),
        };
        let mut rows = self.0.rows.lock().await;
        match self.look_at_line() {
            None => return Ok(Ok(Taking::NotNow)),
            Some(hub) if hub != lease.hub => return Ok(Ok(Taking::Refused("another-hub"))),
            Some(_) => {}
        }
        let line = line_of(&id, granted.currency);
        let budget = Budget::new(granted, id.period);
        let Ok(budget) = budget else { return Ok(Ok(Taking::Refused("invalid"))) };
        let mut row = rows.get(&id).cloned().unwrap_or_else(|| {
            let recorded = self.0.book.tally(|tally| tally.spent_of(&line));
            Row::new(budget, recorded.unwrap_or_default())
        });
        if row.budget.cap().currency != granted.currency {
            return Ok(Ok(Taking::Refused("another-currency")));
        }
        let (before, after, word) = self.0.desk.budgets(|books| {
            let (spent, under_way) = self.0.book.tally(|tally| reckon(books, tally, &line));
            let before = books.purses().purse(&id).copied().unwrap_or_default();
            let mut after = before;
            after.take(granted.amount, lease.answers, lease.is_short);
            let spent = spent.map_or(after.granted, |it| row.spent(it));
            let word = after.say(Facts { spent, under_way, must: true, ..Facts::default() });
            (before, after, word.expect("it must"))
        });
        (row.told_at, row.hub, row.lease) =
            (Some(self.now()), Some(lease.hub), Some(signed.clone()));
        let due = Due { id: id.clone(), row, purse: after, word };
        let ops = [taking, &self.ops(&due)?].concat();
        if let Err(error) = self.0.parts.store.commit(ops, Preconditions::none()).await {
            return Ok(Err(error));
        }
        // Only now: what is not written down must not be spent.
        self.0.desk.budgets(|books| {
            let row = &due.row;
            if books.purses().purse(&id).is_none() {
                books.purses().put(&id, row.budget, before);
            }
            let purse = books.purses().purse(&id).expect("it was put there");
            purse.take(granted.amount, lease.answers, lease.is_short);
            (purse.number, purse.told, purse.asked) = (after.number, after.told, after.asked);
        });
        rows.insert(id, due.row);
        self.0.desk.has_leased();
        self.0.parts.grown.notify_one();
        Ok(Ok(Taking::Taken))
    }

    /// A lease for this site in this life of it, signed below the fleet's root.
    fn believed(&self, signed: &SignedLease) -> Result<(Lease, PurseId, Money), &'static str> {
        let parts = &self.0.parts;
        let bytes = Lease::signed_bytes(&signed.lease);
        is_signed_text(parts.root, &signed.chain, &bytes, &signed.signature)
            .map_err(|_| "unsigned")?;
        let lease = Lease::decode(&signed.lease).map_err(|_| "unreadable")?;
        if lease.purse.site != parts.site || lease.purse.life != parts.life {
            return Err("another-life");
        }
        let id = id_of(&lease.purse).ok_or("invalid")?;
        let granted = lease.granted.parse().map_err(|_| "invalid")?;
        Ok((lease, id, granted))
    }

    /// The purse as it is now, and the word of it, signed.
    fn ops(&self, due: &Due) -> Result<[Op; 2], Refusal> {
        let parts = &self.0.parts;
        let currency = due.row.budget.cap().currency;
        let exact = |amount: Amount| amount.of(currency).exact();
        let Word { number, granted, spent, returned, asks } = due.word;
        let word = wire::lease::Word {
            purse: self.name(&due.id),
            hub: due.row.hub,
            number,
            granted: exact(granted),
            spent: exact(spent),
            returned: exact(returned),
            asks: asks.map(exact),
            at: self.now(),
        };
        let text = word.encode();
        let signature = parts.key.sign(&wire::lease::Word::signed_bytes(&text));
        let signature = signature.map_err(|error| {
            Refusal::new(ProblemCode::Internal, format!("cannot sign what was spent: {error}"))
        })?;
        let signed = SignedWord {
            word: text,
            signer: STANDARD.encode(parts.key.public().as_der()),
            signature: STANDARD.encode(signature),
        };
        let receipt = ReceiptRow {
            position: 0,
            order: word.place(),
            at: word.at,
            receipt: signed.encode().into(),
        };
        Ok([due.row.op(self.name(&due.id), &due.purse), Op::ReceiptPut(receipt)])
    }

    fn name(&self, id: &PurseId) -> PurseName {
        name_of(id, &self.0.parts.site, self.0.parts.life)
    }

    fn forget(&self, id: &PurseId) -> Op {
        Op::ResourceDelete { kind: ResourceKind::Lease, name: row_name(&self.name(id)) }
    }

    /// What this site holds of the hub's budgets, in windows that are not over.
    pub(crate) fn views(&self, may_see: impl Fn(&Holder) -> bool) -> Vec<LeaseView> {
        let now = self.now();
        let standings = self.0.desk.budgets(|books| books.purses().standings());
        let is_shown = |it: &&PurseStanding| {
            it.is_on && may_see(&it.id.holder) && ends(&it.id).is_none_or(|end| end > now)
        };
        standings.iter().filter(is_shown).map(view).collect()
    }

    /// What is to be committed where the site is its hub's no more.
    pub(crate) async fn left(store: &dyn Store) -> Result<Vec<Op>, store::StoreError> {
        let rows = resource_all(store, ResourceKind::Lease).await?;
        let delete =
            |row: store::ResourceRow| Op::ResourceDelete { kind: row.kind, name: row.name };
        Ok(rows.into_iter().map(delete).collect())
    }
}

/// Purses of the present windows, and of the next where it is near: it may begin while the line is down.
fn begin(books: &mut Books, capped: &[(Holder, Budget)], now: Timestamp) {
    for (holder, budget) in capped {
        let period = budget.period();
        let Ok(window) = period.window(now) else { continue };
        let mut begins = vec![window.map(|it| it.start)];
        if let Some(window) = window {
            let tenth = window.end.since(window.start).as_millis() / 10;
            let ahead = base::Duration::from_millis(tenth.min(LEASE_AHEAD_MAX.as_millis()));
            if now.plus(ahead) >= window.end {
                begins.push(Some(window.end));
            }
        }
        for window in begins {
            let id = PurseId { holder: holder.clone(), period, window };
            if books.purses().purse(&id).is_none() {
                books.purses().put(&id, *budget, Purse::default());
            }
        }
    }
}

/// What the record of calls has in this purse, and what calls under way may still cost: those that are in the
/// record and those that hold something, each once.
fn reckon(books: &Books, tally: &Tally, line: &Line) -> (Option<Amount>, Amount) {
    let is_it =
        |it: &Line| (&it.holder, it.period, it.window) == (&line.holder, line.period, line.window);
    let mut bounds: HashMap<CallId, Amount> = HashMap::new();
    let recorded = tally.open().flat_map(|it| it.held.iter().map(|held| (it.call, held)));
    for (call, held) in books.holding().chain(recorded).filter(|(_, held)| is_it(held)) {
        let bound = bounds.entry(call).or_default();
        *bound = (*bound).max(held.amount.amount);
    }
    let sum = |sum: Amount, it: &Amount| sum.plus(*it).unwrap_or(sum);
    (tally.spent_of(line), bounds.values().fold(Amount::ZERO, sum))
}

/// When the window of a purse ends, if it does.
fn ends(id: &PurseId) -> Option<Timestamp> {
    id.period.window(id.window?).ok().flatten().map(|it| it.end)
}

fn is_past(id: &PurseId, now: Timestamp) -> bool {
    ends(id).is_some_and(|end| end.plus(KEPT) < now)
}

fn view(it: &PurseStanding) -> LeaseView {
    let currency = it.budget.cap().currency;
    let money = |amount: Amount| amount.of(currency).to_string();
    LeaseView {
        holder: it.id.holder.to_text(),
        budget: it.budget.to_string(),
        leased: money(it.purse.allowed()),
        spent: money(it.purse.spent),
        held: money(it.purse.held),
        left: money(it.purse.free()),
        since: it.id.window.map(|at| at.to_string()),
        until: ends(&it.id).map(|at| at.to_string()),
        is_short: it.purse.is_short,
    }
}
