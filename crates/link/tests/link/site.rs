//! A site: its disk, which survives, and its end of a connection, which does not.

use std::collections::{BTreeMap, VecDeque};

use base::{IncarnationId, OrderId, SiteName};
use bytes::Bytes;
use link::site::{Effect, Input, Kept, Outbox, Session, Write};
use link::{ENTRIES_BYTES_MAX, ENTRIES_MAX};
use wire::link::{Ancestor, Head, HubFrame, PerStream, Stream};

use crate::check::Entry;

#[derive(Debug, Clone)]
pub struct Disk {
    pub incarnation: IncarnationId,
    pub ancestors: Vec<Ancestor>,
    pub session: u64,
    pub hub: Option<IncarnationId>,
    pub streams: PerStream<Rows>,
    /// Orders, and whether they were judged.
    pub orders: BTreeMap<OrderId, bool>,
}

#[derive(Debug, Clone)]
pub struct Rows {
    pub base: Head,
    pub mark: Head,
    /// Behind the base.
    pub entries: VecDeque<Bytes>,
}

impl Rows {
    pub fn last(&self) -> u64 {
        self.base.position + self.entries.len() as u64
    }
}

pub struct Site {
    pub name: SiteName,
    pub disk: Disk,
    /// The connection, by number.
    pub session: Option<(usize, Session)>,
    /// What is asked of the disk, in order.
    pub asked: VecDeque<Asked>,
    /// What was made, ever.
    pub made: PerStream<Vec<Entry>>,
    /// Runs that were begun, by order.
    pub begun: Vec<OrderId>,
    next: u64,
}

pub enum Asked {
    Write(Write),
    Read { stream: Stream, after: u64 },
}

impl Disk {
    pub fn new(incarnation: IncarnationId) -> Self {
        let rows = |stream| {
            let base = link::begin(incarnation, stream, 0);
            Rows { base, mark: base, entries: VecDeque::new() }
        };
        Self {
            incarnation,
            ancestors: Vec::new(),
            session: 0,
            hub: None,
            streams: PerStream::of(rows),
            orders: BTreeMap::new(),
        }
    }
}

impl Disk {
    /// A new incarnation of what is there. Its streams begin with the oldest that is held.
    pub fn renewed(&self, incarnation: IncarnationId) -> Self {
        let mut renewed = self.clone();
        let last = PerStream::of(|stream| self.streams.get(stream).last());
        renewed.ancestors.insert(0, Ancestor { incarnation: self.incarnation, last });
        (renewed.incarnation, renewed.session) = (incarnation, 0);
        for stream in Stream::ALL {
            let rows = renewed.streams.get_mut(stream);
            rows.base = link::begin(incarnation, stream, rows.base.position);
            rows.mark = rows.base;
        }
        renewed
    }
}

impl Site {
    pub fn new(name: SiteName, incarnation: IncarnationId) -> Self {
        Self {
            name,
            disk: Disk::new(incarnation),
            session: None,
            asked: VecDeque::new(),
            made: PerStream::default(),
            begun: Vec::new(),
            next: 0,
        }
    }

    pub fn kept(&self) -> Kept {
        let disk = &self.disk;
        Kept {
            site: self.name.clone(),
            incarnation: disk.incarnation,
            ancestors: disk.ancestors.clone(),
            session: disk.session,
            hub: disk.hub,
            outboxes: PerStream::of(|stream| {
                let rows = disk.streams.get(stream);
                Outbox { base: rows.base, mark: rows.mark, last: rows.last() }
            }),
        }
    }

    /// Something happens that the hub shall know.
    pub fn make(&mut self, stream: Stream, key: String) -> Vec<Effect> {
        let text = format!("{{\"key\":\"{key}\",\"in\":\"{}\"}}", self.disk.incarnation);
        let rows = self.disk.streams.get_mut(stream);
        rows.entries.push_back(Bytes::from(text.clone()));
        let last = rows.last();
        self.made.get_mut(stream).push((key, text.into_bytes()));
        self.give(Input::Grown { stream, last })
    }

    pub fn outcome(&mut self) -> Vec<Effect> {
        self.next += 1;
        let key = format!("{}/{}", self.name, self.next);
        self.make(Stream::Outcome, key)
    }

    /// Judges an order: its run, its receipt, and the judgement are one commit.
    pub fn judge(&mut self) -> Vec<Effect> {
        let Some(order) = self.disk.orders.iter().find(|(_, judged)| !**judged).map(|it| *it.0)
        else {
            return Vec::new();
        };
        self.disk.orders.insert(order, true);
        self.begun.push(order);
        self.make(Stream::Receipt, order.to_string())
    }

    /// Deletes entries that the hub has.
    pub fn prune(&mut self, stream: Stream) {
        let rows = self.disk.streams.get_mut(stream);
        while rows.base.position < rows.mark.position {
            let Some(entry) = rows.entries.pop_front() else { return };
            rows.base = link::extend(rows.base, &entry);
        }
    }

    pub fn give(&mut self, input: Input) -> Vec<Effect> {
        self.session.as_mut().map_or_else(Vec::new, |(_, session)| session.handle(input))
    }

    pub fn hear(&mut self, frame: HubFrame) -> Vec<Effect> {
        self.give(Input::Frame(frame))
    }

    /// The disk does the next thing that was asked of it.
    pub fn serve(&mut self) -> Vec<Effect> {
        match self.asked.pop_front() {
            None => Vec::new(),
            Some(Asked::Write(write)) => {
                self.apply(&write);
                self.give(Input::Written(write))
            }
            Some(Asked::Read { stream, after }) => {
                let entries = self.entries(stream, after);
                self.give(Input::Read { stream, after, entries })
            }
        }
    }

    fn entries(&self, stream: Stream, after: u64) -> Vec<Bytes> {
        let rows = self.disk.streams.get(stream);
        let behind = usize::try_from(after - rows.base.position).expect("few");
        let mut bytes = 0;
        rows.entries
            .iter()
            .skip(behind)
            .take(ENTRIES_MAX as usize)
            .enumerate()
            .take_while(|(n, entry)| {
                bytes += entry.len();
                *n == 0 || bytes <= ENTRIES_BYTES_MAX
            })
            .map(|(_, entry)| entry.clone())
            .collect()
    }

    fn apply(&mut self, write: &Write) {
        match write {
            Write::Session { session, hub } => {
                (self.disk.session, self.disk.hub) = (*session, Some(*hub));
            }
            Write::Mark { stream, head } => self.disk.streams.get_mut(*stream).mark = *head,
            Write::Orders(orders) => {
                for order in orders {
                    self.disk.orders.entry(order.id).or_insert(false);
                }
            }
        }
    }

    /// Everything but the disk is gone. Of what was asked of it, the first `done` were done.
    pub fn crash(&mut self, done: usize) {
        self.session = None;
        for asked in std::mem::take(&mut self.asked).into_iter().take(done) {
            if let Asked::Write(write) = asked {
                self.apply(&write);
            }
        }
    }
}
