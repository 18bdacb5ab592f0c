//! A hub: one disk, and a seat for each site.

use std::collections::VecDeque;

use base::{Digest, IncarnationId, OrderId, SiteName, Timestamp};
use bytes::Bytes;
use link::hub::{Connection, Effect, Input, Moment, Seat, SeatDoc, Write, orders};
use serde_json::value::RawValue;
use store::memory::MemoryStore;
use store::{FleetStore as _, Op, OrderRow};
use wire::link::{Edition, Signed, SiteFrame, Stream};

use crate::check::Entry;
use crate::disk::{self, NOW, commit, later, now};

pub struct Desk {
    pub site: SiteName,
    pub doc: SeatDoc,
    pub seat: Seat,
    pub asked: VecDeque<Asked>,
}

pub enum Asked {
    Write(Write),
    ReadOrders,
    ReadEdition,
}

pub struct Hub {
    pub store: MemoryStore,
    pub incarnation: IncarnationId,
    pub before: Vec<IncarnationId>,
    /// The number of its edition. A hub that is restored goes on above what its sites have.
    pub published: u64,
    pub desks: Vec<Desk>,
}

impl Hub {
    pub fn new(incarnation: IncarnationId, sites: Vec<SiteName>) -> Self {
        let store = disk::empty(incarnation);
        let record = |site: &SiteName| Op::SitePut { site: site.clone(), record: Bytes::new() };
        commit(&store, sites.iter().map(record).collect());
        let mut hub =
            Self { store, incarnation, before: Vec::new(), published: 0, desks: Vec::new() };
        hub.desks = sites.into_iter().map(|site| hub.desk(site)).collect();
        hub
    }

    fn desk(&self, site: SiteName) -> Desk {
        let row = now(self.store.site_get(site.clone())).expect("reads").expect("it is there");
        let doc = SeatDoc::read(&site, row.seat.as_deref()).expect("a seat");
        let seat = Seat::new(doc.kept(site.clone(), self.incarnation, self.before.clone()));
        Desk { site, doc, seat, asked: VecDeque::new() }
    }

    /// Everything but the disk is gone. Of what was asked of it for each site, the first `done` were
    /// done.
    pub fn crash(&mut self, mut done: impl FnMut(usize) -> usize) {
        for desk in &mut self.desks {
            let asked = std::mem::take(&mut desk.asked);
            let done = done(asked.len() + 1);
            for asked in asked.into_iter().take(done) {
                if let Asked::Write(write) = asked {
                    desk.write(&self.store, &write);
                }
            }
        }
        self.rise();
    }

    fn rise(&mut self) {
        let sites: Vec<_> = self.desks.iter().map(|desk| desk.site.clone()).collect();
        self.desks = sites.into_iter().map(|site| self.desk(site)).collect();
    }

    /// It begins again from this disk, in a new life.
    pub fn restore(&mut self, store: MemoryStore, incarnation: IncarnationId) {
        self.before.insert(0, std::mem::replace(&mut self.incarnation, incarnation));
        self.before.truncate(16);
        self.store = store;
        self.rise();
    }

    pub fn order(&self, site: usize, order: OrderId) {
        let body = Bytes::from_static(br#"{"type":"isonomy.order","v":1}"#);
        let site = self.desks[site].site.clone();
        let (at, until) = (NOW, later());
        let (request, closed_at) = (None, None);
        let row = OrderRow { position: 0, order, site, at, until, request, body, closed_at };
        commit(&self.store, vec![Op::OrderPut(row)]);
    }

    /// What is on the disk of a site's seat.
    pub fn doc(&self, site: usize) -> &SeatDoc {
        &self.desks[site].doc
    }

    /// What came from a site, in the order in which it came.
    pub fn taken(&self, site: usize, stream: Stream) -> Vec<Entry> {
        let entries = now(self.store.entry_list(0, u32::MAX)).expect("reads");
        let of_site = entries
            .into_iter()
            .filter(|entry| entry.site == self.desks[site].site && entry.stream == stream);
        of_site
            .map(|entry| (crate::site::key(stream, &entry.entry), entry.entry.to_vec()))
            .collect()
    }

    /// The disk does the next thing that was asked of it for a site.
    pub fn serve(&mut self, site: usize, nonce: u64) -> Vec<Effect> {
        let desk = &mut self.desks[site];
        match desk.asked.pop_front() {
            None => Vec::new(),
            Some(Asked::Write(write)) => {
                desk.write(&self.store, &write);
                desk.give(Input::Written(write), nonce)
            }
            Some(Asked::ReadOrders) => {
                let orders = now(orders(&self.store, &desk.site)).expect("reads");
                desk.give(Input::Orders(orders), nonce)
            }
            Some(Asked::ReadEdition) => {
                let edition =
                    (self.published > 0).then(|| Box::new(edition(self.published, b"root")));
                desk.give(Input::Edition(edition), nonce)
            }
        }
    }
}

/// Nobody looks at more of it than its number: the rest is judged by whoever carries frames.
pub fn edition(number: u64, root: &[u8]) -> Edition {
    let root = Digest::of(root);
    let head = wire::edition::Head { number, root, leaves: 1, at: NOW, revoked: Vec::new() };
    let raw = |bytes| RawValue::from_string(String::from_utf8(bytes).expect("text")).expect("JSON");
    let (signature, chain) = (String::new(), Vec::new());
    let signed = Signed { head: raw(head.encode()), signature, chain, ledger: None };
    Edition { signed, leaf: raw(b"{}".to_vec()), index: 0, path: Vec::new() }
}

impl Desk {
    pub fn give(&mut self, input: Input, nonce: u64) -> Vec<Effect> {
        self.seat.handle(input, Moment { now: Timestamp::from_millis(0), nonce })
    }

    pub fn hear(&mut self, connection: usize, frame: SiteFrame, nonce: u64) -> Vec<Effect> {
        self.give(Input::Frame { connection: Connection(connection as u64), frame }, nonce)
    }

    fn write(&mut self, store: &MemoryStore, write: &Write) {
        let before = |doc: &SeatDoc, stream| {
            doc.present.and_then(|present| *present.heads.get(stream)).map(|head| head.position)
        };
        if let Write::Take { stream, entries, head } = write {
            let before = before(&self.doc, *stream).expect("a chain begins somewhere");
            assert_eq!(before + entries.len() as u64, head.position, "{stream:?} has a gap");
        }
        let ops = self.doc.ops(&self.site, write, NOW);
        commit(store, ops);
    }
}
