//! Who speaks for a site: its seat, brought together with the store and with the lines that are open.
//!
//! One thing at a time happens at a desk, and what it decides is durable before anything else does.
//! Desks of different sites do not wait for each other; the store makes one transaction of what they
//! write at the same time. What has begun at a desk is not broken off, whoever goes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use base::{By, Clock, IncarnationId, Random, SiteName, Timestamp, Unreadable};
use identity::{Certificate, Pin};
use link::hub::{
    Carried, Connection, Effect, Input, Moment, NotCarried, Seat, SeatDoc, Write, orders,
};
use store::{CommitError, Op, Preconditions, Store, StoreError};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use wire::link::{HubFrame, RefuseCode, Signed, SiteFrame};

use crate::change::{ChangeKind, change_op};
use crate::edition::Editions;
use crate::recovery::Recovery;
use crate::site::SiteDoc;

/// Lines of one site at once. One is enough; others are dead and not known to be, or are copies. The
/// oldest goes.
const LINES_MAX: usize = 4;

/// Pieces of texts that are on their way to one line, or are just through. An honest site asks for the
/// next when one has come.
const PIECES_MAX: usize = 2;

/// What goes to whoever holds a line. How much that can be is bounded by what is under way: a window of
/// acknowledgements, orders without a receipt, and pieces until they are sent.
#[derive(Debug)]
pub enum Down {
    /// With what is given back when it is sent.
    Frame(Box<HubFrame>, Option<OwnedSemaphorePermit>),
    Close,
}

/// One line, from the desk.
struct Out {
    sender: mpsc::UnboundedSender<Down>,
    pieces: Arc<Semaphore>,
    /// For the piece that is being read.
    taken: Option<OwnedSemaphorePermit>,
}

#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    #[error("there is no site {0}")]
    Unknown(SiteName),
    #[error("the site {0} was revoked")]
    Revoked(SiteName),
    #[error("the certificate is of a key that is not this site's any more")]
    Replaced,
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error("the hub is shutting down")]
    Stopping,
}

/// The desks of all sites that somebody speaks for.
#[derive(Clone)]
pub struct Desks(Arc<Shared>);

struct Shared {
    store: Arc<dyn Store>,
    before: Vec<IncarnationId>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    editions: Arc<Editions>,
    recovery: Arc<Recovery>,
    lines: AtomicU64,
    desks: std::sync::Mutex<HashMap<SiteName, Desk>>,
    /// Counts commits that may have brought entries.
    taken: watch::Sender<u64>,
}

#[derive(Clone)]
struct Desk {
    /// Nothing while nobody speaks, and after something could not be written.
    at_work: Arc<Mutex<Option<AtWork>>>,
    online: Arc<std::sync::Mutex<Option<Online>>>,
}

/// Somebody is the site here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Online {
    pub since: Timestamp,
    /// When anything at all came from it.
    pub heard: Timestamp,
}

struct AtWork {
    doc: SeatDoc,
    seat: Seat,
    /// The oldest first.
    lines: BTreeMap<Connection, Out>,
    /// What came of a file, for whoever has brought it.
    carried: Option<Result<Carried, NotCarried>>,
}

/// A desk at which nothing happens but by whoever holds it.
pub(crate) struct Held(Desk, OwnedMutexGuard<Option<AtWork>>);

/// One line, as its desk sees it. To be [closed](Line::close) when it breaks.
pub struct Line {
    desks: Desks,
    desk: Desk,
    site: SiteName,
    connection: Connection,
}

impl Desks {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        before: Vec<IncarnationId>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        editions: Arc<Editions>,
        recovery: Arc<Recovery>,
    ) -> Self {
        let (lines, desks) = (AtomicU64::new(0), std::sync::Mutex::default());
        let taken = watch::Sender::new(0);
        Self(Arc::new(Shared {
            store,
            before,
            clock,
            random,
            editions,
            recovery,
            lines,
            desks,
            taken,
        }))
    }

    /// Somebody has come with this certificate, which TLS has found to be his. What is sent to him comes
    /// out of the receiver.
    pub async fn open(
        &self,
        site: &SiteName,
        shown: &Certificate,
    ) -> Result<(Line, mpsc::UnboundedReceiver<Down>), DeskError> {
        let (mut place, mut at_work) = self.admit(site, shown.key.pin()).await?;
        let oldest = at_work.lines.first_key_value().map(|(connection, _)| *connection);
        let oldest = oldest.filter(|_| at_work.lines.len() >= LINES_MAX);
        let (sender, receiver) = mpsc::unbounded_channel();
        let connection = Connection(self.0.lines.fetch_add(1, Ordering::Relaxed));
        let pieces = Arc::new(Semaphore::new(PIECES_MAX));
        at_work.lines.insert(connection, Out { sender, pieces, taken: None });
        *place = Some(at_work);
        drop(place);
        if let Some(oldest) = oldest {
            self.handle(site, Some(oldest), Input::Closed(oldest)).await?;
        }
        let (desk, site) = (self.desk(site), site.clone());
        Ok((Line { desks: self.clone(), desk, site, connection }, receiver))
    }

    /// A part of a file that the holder of this key has written for the site, and what came of the file
    /// where that is known now.
    pub(crate) async fn carry(
        &self,
        site: &SiteName,
        key: Pin,
        input: Input,
    ) -> Result<Option<Result<Carried, NotCarried>>, DeskError> {
        let (mut place, mut at_work) = self.admit(site, key).await?;
        at_work.carried = None;
        *place = Some(at_work);
        drop(place);
        self.handle(site, None, input).await?;
        let place = self.desk(site).at_work.lock_owned().await;
        Ok(place.as_ref().and_then(|at_work| at_work.carried))
    }

    /// A file is made for this site: its number, and what the hub has of the site.
    pub(crate) async fn export(&self, site: &SiteName) -> Result<(u64, SeatDoc), DeskError> {
        let mut place = self.desk(site).at_work.lock_owned().await;
        let mut at_work = match place.take() {
            Some(at_work) => at_work,
            None => self.load(site).await?,
        };
        let (number, op) = at_work.doc.exported(site);
        let doc = at_work.doc.clone();
        *place = Some(at_work);
        self.0.store.commit(vec![op], Preconditions::none()).await?;
        Ok((number, doc))
    }

    /// The desk of whoever has this key, where he is the site. Looked at here, where nobody can be
    /// replaced or revoked meanwhile.
    async fn admit(
        &self,
        site: &SiteName,
        key: Pin,
    ) -> Result<(OwnedMutexGuard<Option<AtWork>>, AtWork), DeskError> {
        let desk = self.desk(site);
        let mut place = desk.at_work.lock_owned().await;
        let doc = self.site_doc(site).await?.ok_or_else(|| DeskError::Unknown(site.clone()))?;
        if doc.revoked_at.is_some() {
            return Err(DeskError::Revoked(site.clone()));
        }
        if doc.key != Some(key) {
            return Err(DeskError::Replaced);
        }
        let at_work = match place.take() {
            Some(at_work) => at_work,
            None => self.load(site).await?,
        };
        Ok((place, at_work))
    }

    /// There is a new order for this site.
    pub async fn ordered(&self, site: &SiteName) -> Result<(), DeskError> {
        self.handle(site, None, Input::Ordered).await
    }

    /// There may be orders for everybody who is there.
    pub(crate) async fn ordered_all(&self) {
        let sites: Vec<SiteName> = {
            let desks = self.0.desks.lock().unwrap_or_else(PoisonError::into_inner);
            let online = desks.iter().filter(|(_, desk)| desk.online().is_some());
            online.map(|(site, _)| site.clone()).collect()
        };
        for site in sites {
            if let Err(error) = self.ordered(&site).await {
                // It is given in the next session.
                tracing::warn!(%site, %error, "cannot tell a site of its orders");
            }
        }
    }

    /// There is an edition that says something else of this site.
    pub(crate) async fn published(&self, site: &SiteName) -> Result<(), DeskError> {
        self.handle(site, None, Input::Published).await
    }

    /// Changes after every commit that may have brought entries. Look at the store after each change, and
    /// once at the beginning.
    #[must_use]
    pub fn taken(&self) -> watch::Receiver<u64> {
        self.0.taken.subscribe()
    }

    /// How many sites somebody is.
    #[must_use]
    pub fn online(&self) -> usize {
        let desks = self.0.desks.lock().unwrap_or_else(PoisonError::into_inner);
        desks.values().filter(|desk| desk.online().is_some()).count()
    }

    /// Whether somebody is this site.
    #[must_use]
    pub fn online_at(&self, site: &SiteName) -> Option<Online> {
        self.existing(site)?.online()
    }

    /// Nothing happens for this site until what is given is dropped.
    pub(crate) async fn hold(&self, site: &SiteName) -> Held {
        let desk = self.desk(site);
        let place = Arc::clone(&desk.at_work).lock_owned().await;
        Held(desk, place)
    }

    /// What is written where a machine joins as this site.
    pub(crate) async fn joined(
        &self,
        site: &SiteName,
        joined: IncarnationId,
    ) -> Result<Op, DeskError> {
        let row = self.0.store.site_get(site.clone()).await?;
        let seat = row.and_then(|row| row.seat);
        Ok(SeatDoc::read(site, seat.as_deref())?.joined(site, joined, self.0.clock.now()))
    }

    /// A site has shown which edition it has: what this hub has lost, it learns from that.
    pub(crate) async fn shown(&self, site: &SiteName, edition: &Signed) -> Result<(), DeskError> {
        let Some(head) = self.0.editions.show(edition) else { return Ok(()) };
        let (desks, site) = (self.clone(), site.clone());
        whole(async move {
            match desks.0.recovery.learn(&desks, &head).await {
                // Not before it is known whether anything may be published.
                Ok(()) => desks.0.editions.go_above(head.number),
                Err(refusal) => {
                    tracing::error!(%site, %refusal, "cannot learn from a lost edition");
                }
            }
            Ok(())
        })
        .await
    }

    /// Whoever speaks for the site here has ended it.
    async fn left(&self, site: &SiteName, from: Connection) -> Result<(), DeskError> {
        let (desks, site) = (self.clone(), site.clone());
        whole(async move { desks.let_go(&site, from).await }).await
    }

    async fn let_go(&self, site: &SiteName, from: Connection) -> Result<(), DeskError> {
        let held = self.hold(site).await;
        let is_host = held.1.as_ref().is_some_and(|at_work| at_work.seat.host() == Some(from));
        let Some(mut doc) = self.site_doc(site).await?.filter(|doc| is_host && doc.is_member())
        else {
            return Ok(());
        };
        let now = self.0.clock.now();
        doc.hand_over(None, now);
        doc.left_at = Some(now);
        let owner = By { actor: "site".to_owned(), reason: None };
        let ops = vec![
            change_op(ChangeKind::SiteLeft, site, &owner, now),
            Op::SitePut { site: site.clone(), record: doc.encode().into() },
        ];
        self.0.store.commit(ops, Preconditions::none()).await?;
        held.part();
        self.0.editions.changed();
        if let Err(refusal) = self.0.recovery.done_with(site).await {
            tracing::error!(%site, %refusal, "cannot write down who is waited for");
        }
        Ok(())
    }

    /// What is written where somebody takes a machine that has joined in a life that is lost.
    pub(crate) async fn adopted(&self, site: &SiteName) -> Result<Op, DeskError> {
        let row = self.0.store.site_get(site.clone()).await?;
        let seat = row.and_then(|row| row.seat);
        Ok(SeatDoc::read(site, seat.as_deref())?.adopted(site, self.0.clock.now()))
    }

    pub(crate) fn editions(&self) -> &Editions {
        &self.0.editions
    }

    /// Lives of the hub before this one.
    pub(crate) fn before(&self) -> &[IncarnationId] {
        &self.0.before
    }

    fn desk(&self, site: &SiteName) -> Desk {
        let mut desks = self.0.desks.lock().unwrap_or_else(PoisonError::into_inner);
        let desk = desks
            .entry(site.clone())
            .or_insert_with(|| Desk { at_work: Arc::default(), online: Arc::default() });
        desk.clone()
    }

    fn existing(&self, site: &SiteName) -> Option<Desk> {
        let desks = self.0.desks.lock().unwrap_or_else(PoisonError::into_inner);
        desks.get(site).cloned()
    }

    pub(crate) async fn site_doc(&self, site: &SiteName) -> Result<Option<SiteDoc>, DeskError> {
        let Some(row) = self.0.store.site_get(site.clone()).await? else { return Ok(None) };
        Ok(Some(SiteDoc::read(site, &row.record)?))
    }

    async fn load(&self, site: &SiteName) -> Result<AtWork, DeskError> {
        let row = self.0.store.site_get(site.clone()).await?;
        let row = row.ok_or_else(|| DeskError::Unknown(site.clone()))?;
        let doc = SeatDoc::read(site, row.seat.as_deref())?;
        let kept = doc.kept(site.clone(), self.0.store.incarnation(), self.0.before.clone());
        Ok(AtWork { doc, seat: Seat::new(kept), lines: BTreeMap::new(), carried: None })
    }

    /// One input, and all that follows from it. Nothing comes from a line that was sent away.
    async fn handle(
        &self,
        site: &SiteName,
        from: Option<Connection>,
        input: Input,
    ) -> Result<(), DeskError> {
        self.handle_of(site, from, input, self.0.clock.now()).await
    }

    /// The same, from somebody who was last heard at that time.
    async fn handle_of(
        &self,
        site: &SiteName,
        from: Option<Connection>,
        input: Input,
        heard_at: Timestamp,
    ) -> Result<(), DeskError> {
        let Some(desk) = self.existing(site) else { return Ok(()) };
        let (desks, site) = (self.clone(), site.clone());
        whole(async move { desks.step(&site, &desk, from, input, heard_at).await }).await
    }

    async fn step(
        &self,
        site: &SiteName,
        desk: &Desk,
        from: Option<Connection>,
        input: Input,
        heard_at: Timestamp,
    ) -> Result<(), DeskError> {
        let mut place = desk.at_work.lock().await;
        let is_here = |at_work: &mut AtWork| {
            from.is_none_or(|connection| at_work.lines.contains_key(&connection))
        };
        // After an error it is read again.
        let Some(mut at_work) = place.take_if(is_here) else { return Ok(()) };
        let was_here = at_work.seat.host().is_some();
        let gone = match &input {
            Input::Closed(connection) => Some(*connection),
            _ => None,
        };
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in at_work.seat.handle(input, self.moment()) {
                match self.perform(site, &mut at_work, effect).await {
                    Ok(next) => inputs.extend(next),
                    Err(error) => {
                        desk.tell(None);
                        part(Some(at_work));
                        return Err(error);
                    }
                }
            }
        }
        if let Some(gone) = gone {
            at_work.lines.remove(&gone);
        }
        let is_here = at_work.seat.host().is_some();
        let online = desk.online().map(|online| online.since);
        desk.tell(is_here.then(|| self.0.clock.now()));
        if was_here && !is_here {
            // For whoever asks, after the next start too, since when the site is silent. What made it
            // the site was heard a moment before it was.
            let op = at_work.doc.heard(site, online.map_or(heard_at, |since| since.max(heard_at)));
            if let Err(error) = self.0.store.commit(vec![op], Preconditions::none()).await {
                tracing::warn!(%site, %error, "cannot write down when a site was last heard");
            }
        }
        *place = Some(at_work);
        Ok(())
    }

    async fn perform(
        &self,
        site: &SiteName,
        at_work: &mut AtWork,
        effect: Effect,
    ) -> Result<Option<Input>, DeskError> {
        match effect {
            Effect::Send(connection, frame) => {
                if let Some(line) = at_work.lines.get_mut(&connection) {
                    let permit = match &frame {
                        HubFrame::Document(_) => line.taken.take(),
                        _ => None,
                    };
                    // Whoever has gone is told by his own line.
                    line.sender.send(Down::Frame(Box::new(frame), permit)).ok();
                }
                Ok(None)
            }
            Effect::Close(connection) => {
                if let Some(line) = at_work.lines.remove(&connection) {
                    line.sender.send(Down::Close).ok();
                }
                Ok(None)
            }
            Effect::Write(write) => {
                let ops = at_work.doc.ops(site, &write, self.0.clock.now());
                self.0.store.commit(ops, Preconditions::none()).await?;
                let plain = match &write {
                    Write::Carried(write) => write.as_ref(),
                    write => write,
                };
                match plain {
                    Write::Take { .. } => self.0.taken.send_modify(|count| *count += 1),
                    Write::Settled(_) => {
                        if let Err(refusal) = self.0.recovery.done_with(site).await {
                            tracing::error!(%site, %refusal, "cannot write down who is waited for");
                        }
                    }
                    _ => {}
                }
                Ok(Some(Input::Written(write)))
            }
            Effect::Carried(carried) => {
                at_work.carried = Some(carried);
                Ok(None)
            }
            // When that is over, everybody is told.
            Effect::ReadOrders if self.0.recovery.is_on() => Ok(Some(Input::Orders(Vec::new()))),
            Effect::ReadOrders => {
                Ok(Some(Input::Orders(orders(self.0.store.as_ref(), site).await?)))
            }
            Effect::ReadEdition => Ok(Some(Input::Edition(self.0.editions.of(site)))),
            Effect::ReadPiece(want) => {
                let host = at_work.seat.host();
                let line = host.and_then(|host| at_work.lines.get_mut(&host));
                let permit = line.as_ref().map(|line| Arc::clone(&line.pieces).try_acquire_owned());
                let (Some(line), Some(Ok(permit))) = (line, permit) else {
                    tracing::info!(%site, "a site asks for more than it takes");
                    return Ok(None);
                };
                line.taken = Some(permit);
                Ok(Some(Input::Piece(self.0.editions.piece(site, want).await?)))
            }
        }
    }

    fn moment(&self) -> Moment {
        // Numbers in frames are exact up to here.
        let nonce = self.0.random.u64() % link::COUNT_MAX;
        Moment { now: self.0.clock.now(), nonce }
    }
}

impl Desk {
    fn online(&self) -> Option<Online> {
        *self.online.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody is the site, where that has changed.
    fn tell(&self, since: Option<Timestamp>) {
        let mut online = self.online.lock().unwrap_or_else(PoisonError::into_inner);
        if online.is_some() != since.is_some() {
            *online = since.map(|since| Online { since, heard: since });
        }
    }

    fn heard(&self, now: Timestamp) {
        if let Some(online) = &mut *self.online.lock().unwrap_or_else(PoisonError::into_inner) {
            online.heard = now;
        }
    }
}

impl Held {
    /// Everybody who speaks for the site is sent away, and what is known of it is read again.
    pub(crate) fn part(mut self) {
        self.0.tell(None);
        part(self.1.take());
    }
}

/// Is not broken off in the middle where nobody waits for it any more, as when a line ends.
async fn whole(
    work: impl Future<Output = Result<(), DeskError>> + Send + 'static,
) -> Result<(), DeskError> {
    tokio::spawn(work).await.unwrap_or(Err(DeskError::Stopping))
}

fn part(gone: Option<AtWork>) {
    for line in gone.into_iter().flat_map(|at_work| at_work.lines.into_values()) {
        line.sender.send(Down::Close).ok();
    }
}

impl Line {
    /// Anything has come, if only word that the other end is there.
    pub fn heard(&self) {
        self.desk.heard(self.desks.0.clock.now());
    }

    /// A frame has come.
    pub async fn hear(&self, frame: SiteFrame) -> Result<(), DeskError> {
        if let SiteFrame::Hello(hello) = &frame
            && let Some(edition) = &hello.edition
        {
            self.desks.shown(&self.site, edition).await?;
        }
        if let SiteFrame::Refuse(refuse) = &frame {
            tracing::warn!(site = %self.site, code = ?refuse.code, "a site refuses its hub");
            if refuse.code == RefuseCode::Left {
                return self.desks.left(&self.site, self.connection).await;
            }
        }
        let input = Input::Frame { connection: self.connection, frame };
        self.desks.handle(&self.site, Some(self.connection), input).await
    }

    /// Nothing more comes, and nothing has for so long.
    pub async fn close(self, silent_for: std::time::Duration) -> Result<(), DeskError> {
        let ago = i64::try_from(silent_for.as_millis()).unwrap_or(i64::MAX);
        let heard = self.desks.0.clock.now().as_millis().saturating_sub(ago);
        let (heard_at, connection) = (Timestamp::from_millis(heard), self.connection);
        let closed = Input::Closed(connection);
        self.desks.handle_of(&self.site, Some(connection), closed, heard_at).await
    }
}

#[cfg(test)]
mod tests;
