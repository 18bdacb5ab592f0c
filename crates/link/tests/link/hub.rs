//! A hub: a disk for each site, and a seat for each.

use std::collections::{BTreeMap, VecDeque};

use base::{IncarnationId, OrderId, SiteName, Timestamp};
use bytes::Bytes;
use link::hub::{Connection, Effect, Input, Kept, Moment, Present, Seat, Suspicion, Write};
use wire::link::{Order, PerStream, SiteFrame, Stream};

use crate::check::Entry;

#[derive(Debug, Clone, Default)]
pub struct Disk {
    pub present: Option<Present>,
    pub retired: Vec<IncarnationId>,
    pub quarantine: Option<Suspicion>,
    pub taken: PerStream<Vec<Entry>>,
    pub known: BTreeMap<String, Vec<u8>>,
    pub orders: Vec<OrderId>,
    pub lost: u64,
}

pub struct Desk {
    pub site: SiteName,
    pub disk: Disk,
    pub seat: Seat,
    pub asked: VecDeque<Asked>,
}

pub enum Asked {
    Write(Write),
    ReadOrders,
}

pub struct Hub {
    pub incarnation: IncarnationId,
    pub before: Vec<IncarnationId>,
    pub desks: Vec<Desk>,
}

impl Hub {
    pub fn new(incarnation: IncarnationId, sites: impl Iterator<Item = SiteName>) -> Self {
        let mut hub = Self { incarnation, before: Vec::new(), desks: Vec::new() };
        for site in sites {
            let disk = Disk::default();
            let seat = Seat::new(hub.kept(&site, &disk));
            hub.desks.push(Desk { site, disk, seat, asked: VecDeque::new() });
        }
        hub
    }

    fn kept(&self, site: &SiteName, disk: &Disk) -> Kept {
        Kept {
            hub: self.incarnation,
            before: self.before.clone(),
            site: site.clone(),
            present: disk.present,
            retired: disk.retired.clone(),
            quarantine: disk.quarantine,
        }
    }

    /// Everything but the disks is gone. Of what was asked of each, the first `done` were done.
    pub fn crash(&mut self, mut done: impl FnMut(usize) -> usize) {
        for desk in &mut self.desks {
            let asked = std::mem::take(&mut desk.asked);
            let done = done(asked.len() + 1);
            for asked in asked.into_iter().take(done) {
                if let Asked::Write(write) = asked {
                    desk.disk.apply(&write);
                }
            }
        }
        self.rise();
    }

    pub fn rise(&mut self) {
        for at in 0..self.desks.len() {
            let kept = self.kept(&self.desks[at].site, &self.desks[at].disk);
            self.desks[at].seat = Seat::new(kept);
        }
    }
}

impl Desk {
    pub fn give(&mut self, input: Input, nonce: u64) -> Vec<Effect> {
        self.seat.handle(input, Moment { now: Timestamp::from_millis(0), nonce })
    }

    pub fn hear(&mut self, connection: usize, frame: SiteFrame, nonce: u64) -> Vec<Effect> {
        self.give(Input::Frame { connection: Connection(connection as u64), frame }, nonce)
    }

    pub fn serve(&mut self, nonce: u64) -> Vec<Effect> {
        match self.asked.pop_front() {
            None => Vec::new(),
            Some(Asked::Write(write)) => {
                self.disk.apply(&write);
                self.give(Input::Written(write), nonce)
            }
            Some(Asked::ReadOrders) => {
                let open = self.disk.orders.iter();
                let open = open.filter(|id| !self.disk.known.contains_key(&id.to_string()));
                let text = || serde_json::value::RawValue::from_string("{}".to_owned());
                let orders =
                    open.map(|id| Order { id: *id, order: text().expect("JSON") }).collect();
                self.give(Input::Orders(orders), nonce)
            }
        }
    }
}

impl Disk {
    pub fn apply(&mut self, write: &Write) {
        let present = self.present.as_mut();
        match write {
            Write::Present { present, retired } => {
                self.present = Some(*present);
                self.retired.extend(retired);
            }
            Write::Confirm { session } => {
                let present = present.expect("a session is of an incarnation");
                present.confirmed = present.confirmed.max(*session);
            }
            Write::Begin { stream, head, lost } => {
                let present = present.expect("a stream is of an incarnation");
                *present.heads.get_mut(*stream) = Some(*head);
                self.lost += lost;
            }
            Write::Take { stream, entries, head } => {
                let present = present.expect("a stream is of an incarnation");
                let before = present.heads.get_mut(*stream).replace(*head);
                let before = before.expect("a chain begins somewhere").position;
                assert_eq!(before + entries.len() as u64, head.position, "{stream:?} has a gap");
                for entry in entries {
                    self.take(*stream, entry);
                }
            }
            Write::Quarantine(suspicion) => self.quarantine = Some(*suspicion),
        }
    }

    /// Once, by what it is.
    fn take(&mut self, stream: Stream, entry: &Bytes) {
        let text = std::str::from_utf8(entry).expect("JSON is UTF-8");
        let key = text.split('"').nth(3).expect("a key").to_owned();
        if self.known.insert(key.clone(), entry.to_vec()).is_none() {
            self.taken.get_mut(stream).push((key, entry.to_vec()));
        }
    }
}
