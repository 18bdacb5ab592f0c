//! The hub's end: what it knows of one site, and who speaks for it.
//!
//! One of these lives as long as somebody connects with that site's name. It says who is the site and
//! who looks like a copy, takes entries once the chain fits, and gives orders again and again until
//! their receipts are there.

mod carry;
mod health;
mod judge;
mod kept;
mod turn;

use std::collections::{HashSet, VecDeque};

use base::OrderId;
use bytes::Bytes;
use wire::link::{
    Acknowledged, Begin, Entries, Head, Health, Hello, HubFrame, Order, Orders, PerStream, Proof,
    Prove, Ready, RefuseCode, Refused, RefusedCode, SiteFrame, Stream, VERSION, Welcome,
};

use self::carry::Carrier;
pub use self::carry::{Carried, NotCarried};
use self::health::is_closed;
use self::judge::{Verdict, judge};
pub use self::kept::{CarriedDoc, Doubt, Kept, Present, SeatDoc, Suspicion, orders, outcome_key};
pub use self::turn::{Connection, Effect, Input, Moment, Write};
use crate::{ANCESTORS_MAX, COUNT_MAX, ENTRIES_MAX, RETIRED_MAX, extend};

/// One site, at the hub.
#[derive(Debug)]
pub struct Seat {
    kept: Kept,
    /// Heads with what is being written.
    pending: PerStream<Option<Head>>,
    /// Answers that are waited for, in order.
    writing: VecDeque<Awaited>,
    guest: Option<Guest>,
    host: Option<Host>,
    carrier: Option<Carrier>,
}

/// Whoever comes in.
#[derive(Debug)]
struct Guest {
    connection: Connection,
    hello: Hello,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Something is being written that its hello is judged by.
    Waiting,
    /// It looks like a copy.
    Proving {
        nonce: u64,
    },
    Granting,
    Welcomed {
        session: u64,
        heads: PerStream<Option<Head>>,
    },
}

/// Whoever is the site.
#[derive(Debug)]
struct Host {
    connection: Connection,
    last: PerStream<u64>,
    /// Where each stream of this session is: another one may have brought more.
    lanes: PerStream<Option<Head>>,
    /// Orders are being read; more have come since.
    is_reading: bool,
    is_ordered: bool,
    /// Orders that were given in this session.
    given: HashSet<OrderId>,
    /// It is being written that all is there that it came with.
    is_settling: bool,
}

/// Whom an answer is for.
#[derive(Debug, Clone, Copy)]
enum Awaited {
    Guest(Connection),
    Taken {
        connection: Connection,
        stream: Stream,
        head: Head,
    },
    Nobody,
    /// For a file.
    Granted,
    Carried,
}

/// The connection has said what it must not.
struct Bad(RefusedCode);

impl Seat {
    #[must_use]
    pub fn new(kept: Kept) -> Self {
        let pending = kept.present.map_or_else(PerStream::default, |present| present.heads);
        Self { kept, pending, writing: VecDeque::new(), guest: None, host: None, carrier: None }
    }

    /// Who is the site now, if somebody is there.
    #[must_use]
    pub fn host(&self) -> Option<Connection> {
        self.host.as_ref().map(|host| host.connection)
    }

    #[must_use]
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    pub fn handle(&mut self, input: Input, moment: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Frame { connection, frame } => {
                if let Err(Bad(code)) = self.frame(connection, frame, &mut effects) {
                    self.part(connection, code, &mut effects);
                }
            }
            Input::Closed(connection) => self.forget(connection),
            Input::Written(write) => self.written(write, moment, &mut effects),
            Input::Orders(orders) => self.orders(orders, &mut effects),
            Input::Ordered => self.ordered(&mut effects),
            Input::Published => {
                if self.host.is_some() {
                    effects.push(Effect::ReadEdition);
                }
            }
            Input::Edition(edition) => {
                self.give(edition.map(HubFrame::Edition), &mut effects);
            }
            Input::Piece(piece) => self.give(piece.map(HubFrame::Document), &mut effects),
            Input::Carried(up) => self.carrier = Some(Carrier::new(up)),
            Input::CarriedEntries(entries) => self.carried_entries(&entries, &mut effects),
            Input::CarriedEnd => self.carried_end(&mut effects),
        }
        self.settle(&mut effects);
        self.consider(moment, &mut effects);
        self.consider_carrier(&mut effects);
        effects
    }

    /// Writes down, once in a life of the hub, that all is durable here that the site came with.
    fn settle(&mut self, effects: &mut Vec<Effect>) {
        let Some(host) = self.host.as_mut().filter(|host| !host.is_settling) else { return };
        let Some(present) = self.kept.present else { return };
        let have = |stream| present.heads.get(stream).map_or(0, |head| head.position);
        let is_all = Stream::ALL.into_iter().all(|stream| have(stream) >= *host.last.get(stream));
        if is_all && self.kept.settled != Some(self.kept.hub) {
            host.is_settling = true;
            self.writing.push_back(Awaited::Nobody);
            effects.push(Effect::Write(Write::Settled(self.kept.hub)));
        }
    }

    fn frame(
        &mut self,
        connection: Connection,
        frame: SiteFrame,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Bad> {
        let is_host = self.host() == Some(connection);
        let is_guest = self.guest.as_ref().is_some_and(|guest| guest.connection == connection);
        match frame {
            SiteFrame::Hello(hello) if !is_host && !is_guest => {
                self.hello(connection, hello, effects)
            }
            SiteFrame::Proof(proof) if is_guest => self.proof(proof, effects),
            SiteFrame::Ready(ready) if is_guest => self.ready(ready, effects),
            SiteFrame::Begin(begin) if is_host => self.begin(begin, effects),
            SiteFrame::Entries(entries) if is_host => self.entries(&entries, effects),
            SiteFrame::Have(_) if is_host => Ok(()),
            SiteFrame::Want(want) if is_host => {
                effects.push(Effect::ReadPiece(want));
                Ok(())
            }
            SiteFrame::Health(health) if is_host => self.health(health, effects),
            SiteFrame::Refuse(refuse) => {
                // It has compared, so it is alive, and it is not what the hub knows.
                if is_host && refuse.code == RefuseCode::ChainDiffers {
                    self.quarantine(Suspicion::ChainDiffers, effects);
                }
                Ok(())
            }
            SiteFrame::Hello(_)
            | SiteFrame::Proof(_)
            | SiteFrame::Ready(_)
            | SiteFrame::Begin(_)
            | SiteFrame::Entries(_)
            | SiteFrame::Have(_)
            | SiteFrame::Want(_)
            | SiteFrame::Health(_) => Err(Bad(RefusedCode::BadFrame)),
        }
    }

    fn hello(
        &mut self,
        connection: Connection,
        hello: Hello,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Bad> {
        if hello.site != self.kept.site
            || hello.ancestors.len() > ANCESTORS_MAX
            || hello.session >= COUNT_MAX
            || Stream::ALL.iter().any(|stream| *hello.last.get(*stream) >= COUNT_MAX)
        {
            return Err(Bad(RefusedCode::BadFrame));
        }
        if !hello.versions.contains(&VERSION) {
            return Err(Bad(RefusedCode::NoCommonVersion));
        }
        if let Some(guest) = &self.guest {
            self.part(guest.connection, RefusedCode::Replaced, effects);
        }
        self.guest = Some(Guest { connection, hello, stage: Stage::Waiting });
        Ok(())
    }

    /// Judges a guest, once nothing is being written that it is judged by.
    fn consider(&mut self, moment: Moment, effects: &mut Vec<Effect>) {
        let Some(guest) = &mut self.guest else { return };
        if !matches!(guest.stage, Stage::Waiting) || !self.writing.is_empty() {
            return;
        }
        let connection = guest.connection;
        match judge(&self.kept, &guest.hello) {
            Verdict::Refuse(code) => self.part(connection, code, effects),
            Verdict::Suspect(_) => {
                guest.stage = Stage::Proving { nonce: moment.nonce };
                let prove = Prove { nonce: moment.nonce };
                effects.push(Effect::Send(connection, HubFrame::Prove(prove)));
            }
            Verdict::Grant { present, retired } => {
                guest.stage = Stage::Granting;
                if self.kept.present.is_none_or(|it| it.incarnation != present.incarnation) {
                    self.carrier_overtaken(effects);
                }
                if self.kept.present.is_some_and(|it| it.incarnation != present.incarnation)
                    && let Some(host) = self.host()
                {
                    // What it would still send belongs to a chain that is no more.
                    self.part(host, RefusedCode::Replaced, effects);
                }
                self.writing.push_back(Awaited::Guest(connection));
                effects.push(Effect::Write(Write::Present { present, retired }));
            }
        }
    }

    /// Somebody is there who looks like a copy. What was found may have been mended since.
    fn proof(&mut self, proof: Proof, effects: &mut Vec<Effect>) -> Result<(), Bad> {
        let bad = Bad(RefusedCode::BadFrame);
        let Some(guest) = &mut self.guest else { return Err(bad) };
        let Stage::Proving { nonce } = guest.stage else { return Err(bad) };
        if proof.nonce != nonce || proof.session != guest.hello.session {
            return Err(bad);
        }
        match judge(&self.kept, &guest.hello) {
            Verdict::Suspect(suspicion) => self.quarantine(suspicion, effects),
            Verdict::Refuse(_) | Verdict::Grant { .. } => guest.stage = Stage::Waiting,
        }
        Ok(())
    }

    fn quarantine(&mut self, suspicion: Suspicion, effects: &mut Vec<Effect>) {
        self.kept.quarantine = Some(suspicion);
        self.writing.push_back(Awaited::Nobody);
        effects.push(Effect::Write(Write::Quarantine(suspicion)));
        let guest = self.guest.as_ref().map(|guest| guest.connection);
        for connection in [guest, self.host()].into_iter().flatten() {
            self.part(connection, RefusedCode::Quarantined, effects);
        }
    }

    fn ready(&mut self, ready: Ready, effects: &mut Vec<Effect>) -> Result<(), Bad> {
        let bad = || Bad(RefusedCode::BadFrame);
        let Some(Guest { stage: Stage::Welcomed { session, heads }, connection, hello }) =
            self.guest.take_if(|guest| matches!(guest.stage, Stage::Welcomed { .. }))
        else {
            return Err(bad());
        };
        if ready.session != session {
            return Err(bad());
        }
        if let Some(host) = self.host() {
            self.part(host, RefusedCode::Replaced, effects);
        }
        self.host = Some(Host {
            connection,
            last: hello.last,
            lanes: heads,
            is_reading: true,
            is_ordered: false,
            given: HashSet::new(),
            is_settling: false,
        });
        self.writing.push_back(Awaited::Nobody);
        effects.push(Effect::Write(Write::Confirm { session }));
        // The edition first: an order may be for what it brings.
        effects.push(Effect::ReadEdition);
        effects.push(Effect::ReadOrders);
        Ok(())
    }

    fn health(&mut self, health: Health, effects: &mut Vec<Effect>) -> Result<(), Bad> {
        if !is_closed(&health) {
            return Err(Bad(RefusedCode::BadFrame));
        }
        self.writing.push_back(Awaited::Nobody);
        effects.push(Effect::Write(Write::Health(health)));
        Ok(())
    }

    /// To whoever is the site.
    fn give(&self, frame: Option<HubFrame>, effects: &mut Vec<Effect>) {
        if let (Some(host), Some(frame)) = (self.host(), frame) {
            effects.push(Effect::Send(host, frame));
        }
    }

    fn begin(&mut self, begin: Begin, effects: &mut Vec<Effect>) -> Result<(), Bad> {
        let Begin { stream, after } = begin;
        let Some(host) = &mut self.host else { return Ok(()) };
        let lane = host.lanes.get_mut(stream);
        let is_older = lane.is_none_or(|lane| lane.position < after.position);
        if !is_older || after.position > *host.last.get(stream) {
            return Err(Bad(RefusedCode::BadFrame));
        }
        *lane = Some(after);
        let have = self.pending.get_mut(stream);
        if have.is_some_and(|have| have.position >= after.position) {
            // A session before this one has brought more since this one was welcomed.
            return Ok(());
        }
        let before = self.kept.present.and_then(|present| *present.before.get(stream));
        let had = have.map(|have| have.position).or(before);
        let lost = after.position.saturating_sub(had.unwrap_or(after.position));
        *have = Some(after);
        self.writing.push_back(Awaited::Nobody);
        effects.push(Effect::Write(Write::Begin { stream, head: after, lost }));
        Ok(())
    }

    fn entries(&mut self, frame: &Entries, effects: &mut Vec<Effect>) -> Result<(), Bad> {
        let stream = frame.stream;
        let Some(host) = &mut self.host else { return Ok(()) };
        let connection = host.connection;
        let lane = host.lanes.get_mut(stream);
        let Some(mut at) = *lane else { return Err(Bad(RefusedCode::BadFrame)) };
        let is_empty = frame.entries.is_empty() || frame.entries.len() > ENTRIES_MAX as usize;
        if at.position != frame.after || is_empty {
            return Err(Bad(RefusedCode::BadFrame));
        }
        let have = self.pending.get_mut(stream);
        let (new, differs) = follow(&mut at, *have, frame);
        if differs {
            self.quarantine(Suspicion::ChainDiffers, effects);
            return Ok(());
        }
        if at.digest != frame.digest {
            return Err(Bad(RefusedCode::ChainDiffers));
        }
        *lane = Some(at);
        let head = have.filter(|have| have.position > at.position).unwrap_or(at);
        *have = Some(head);
        self.writing.push_back(Awaited::Taken { connection, stream, head: at });
        effects.push(Effect::Write(Write::Take { stream, entries: new, head }));
        Ok(())
    }

    fn written(&mut self, write: Write, moment: Moment, effects: &mut Vec<Effect>) {
        let awaited = self.writing.pop_front().unwrap_or(Awaited::Nobody);
        self.keep(write);
        match awaited {
            Awaited::Nobody => {}
            Awaited::Taken { connection, stream, head } => {
                if self.host() == Some(connection) {
                    let acknowledged = HubFrame::Acknowledged(Acknowledged { stream, head });
                    effects.push(Effect::Send(connection, acknowledged));
                }
                if stream == Stream::Receipt {
                    // There is room for more.
                    self.ordered(effects);
                }
            }
            Awaited::Guest(connection) => self.granted(connection, moment, effects),
            Awaited::Granted => self.carrier_granted(effects),
            Awaited::Carried => self.carried(effects),
        }
    }

    fn granted(&mut self, connection: Connection, moment: Moment, effects: &mut Vec<Effect>) {
        let Some(present) = self.kept.present else { return };
        let Some(guest) = self.guest.as_mut().filter(|guest| guest.connection == connection) else {
            return;
        };
        let (session, heads) = (present.granted, present.heads);
        guest.stage = Stage::Welcomed { session, heads };
        let welcome = Welcome {
            version: VERSION,
            incarnation: self.kept.hub,
            before: self.kept.before.clone(),
            session,
            now: moment.now,
            heads,
        };
        effects.push(Effect::Send(connection, HubFrame::Welcome(welcome)));
    }

    /// What is durable now.
    fn keep(&mut self, write: Write) {
        let present = self.kept.present.as_mut();
        match write {
            Write::Present { present, retired } => {
                if self.kept.present.is_none_or(|it| it.incarnation != present.incarnation) {
                    self.pending = present.heads;
                }
                (self.kept.present, self.kept.expected) = (Some(present), None);
                self.kept.retired.extend(retired);
                let surplus = self.kept.retired.len().saturating_sub(RETIRED_MAX);
                self.kept.retired.drain(..surplus);
            }
            Write::Confirm { session } => {
                if let Some(present) = present {
                    present.confirmed = present.confirmed.max(session);
                }
            }
            Write::Begin { stream, head, .. } | Write::Take { stream, head, .. } => {
                if let Some(present) = present {
                    *present.heads.get_mut(stream) = Some(head);
                }
            }
            Write::Quarantine(suspicion) => self.kept.quarantine = Some(suspicion),
            Write::Settled(hub) => self.kept.settled = Some(hub),
            Write::Carried(write) => self.keep(*write),
            Write::Health(_) | Write::Doubt(_) | Write::CarriedEnd { .. } => {}
        }
    }

    fn ordered(&mut self, effects: &mut Vec<Effect>) {
        let Some(host) = &mut self.host else { return };
        if host.is_reading {
            host.is_ordered = true;
        } else {
            host.is_reading = true;
            effects.push(Effect::ReadOrders);
        }
    }

    fn orders(&mut self, orders: Vec<Order>, effects: &mut Vec<Effect>) {
        let Some(host) = &mut self.host else { return };
        let connection = host.connection;
        host.is_reading = std::mem::take(&mut host.is_ordered);
        if host.is_reading {
            effects.push(Effect::ReadOrders);
        }
        let new = orders.into_iter().filter(|order| host.given.insert(order.id)).collect();
        for orders in pages(new) {
            effects.push(Effect::Send(connection, HubFrame::Orders(Orders { orders })));
        }
    }

    fn part(&mut self, connection: Connection, code: RefusedCode, effects: &mut Vec<Effect>) {
        let refused = Refused { code, retry_after_ms: None };
        effects.push(Effect::Send(connection, HubFrame::Refused(refused)));
        effects.push(Effect::Close(connection));
        self.forget(connection);
    }

    fn forget(&mut self, connection: Connection) {
        self.guest.take_if(|guest| guest.connection == connection);
        self.host.take_if(|host| host.connection == connection);
    }
}

/// Follows a chain over these entries. Gives those that are new, and whether the others are not what the
/// hub has.
fn follow(at: &mut Head, have: Option<Head>, frame: &Entries) -> (Vec<Bytes>, bool) {
    let (mut new, mut differs) = (Vec::new(), false);
    for entry in &frame.entries {
        let entry = entry.get().as_bytes();
        *at = extend(*at, entry);
        match have {
            // A session before this one has brought it.
            Some(have) if at.position <= have.position => {
                differs |= at.position == have.position && *at != have;
            }
            _ => new.push(Bytes::copy_from_slice(entry)),
        }
    }
    (new, differs)
}

/// Orders, as many to a frame as it holds.
#[must_use]
pub fn pages(orders: Vec<Order>) -> Vec<Vec<Order>> {
    let mut pages: Vec<Vec<Order>> = Vec::new();
    let mut room = 0;
    for order in orders {
        let bytes = order.order.get().len() + size_of::<OrderId>();
        match pages.last_mut() {
            Some(page) if bytes <= room => {
                room -= bytes;
                page.push(order);
            }
            _ => {
                room = crate::ORDERS_BYTES_MAX.saturating_sub(bytes);
                pages.push(vec![order]);
            }
        }
    }
    pages
}
