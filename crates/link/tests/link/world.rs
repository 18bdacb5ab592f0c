//! Sites, a hub, and the lines between them, from one seed.

use std::collections::VecDeque;

use base::{IncarnationId, OrderId, SiteName};
use link::hub::NotCarried;
use link::site::NotTaken;
use link::{hub, site};
use store::memory::MemoryStore;
use uuid::Uuid;
use wire::exchange::Up;
use wire::link::{Entries, HubFrame, SiteFrame, Stream};

use crate::chance::Chance;
use crate::check::{Account, check};
use crate::disk;
use crate::hub::{Asked as HubAsked, Hub};
use crate::site::{Asked, Site};
use crate::stick::Stick;

/// What goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    pub cuts: bool,
    pub crashes: bool,
    pub hub_restores: bool,
    /// Somebody carries files.
    pub files: bool,
    /// There is no line at all.
    pub no_line: bool,
}

/// A connection. Either end may have gone while the other does not know it.
struct Line {
    site: usize,
    up: VecDeque<Vec<u8>>,
    down: VecDeque<Vec<u8>>,
    is_open_at_site: bool,
    is_open_at_hub: bool,
}

pub struct World {
    chance: Chance,
    faults: Faults,
    pub hub: Hub,
    pub sites: Vec<Site>,
    lines: Vec<Line>,
    /// An older state of the hub's disk.
    backup: Option<MemoryStore>,
    /// Orders that were given, by site.
    given: Vec<Vec<OrderId>>,
    lives: u128,
    /// Files that were written and are not thrown away, each with its site.
    sticks: Vec<(usize, Stick)>,
    /// Entries that came by file.
    pub carried: u64,
    /// What came of the one that is being taken.
    told: Option<Result<hub::Carried, NotCarried>>,
}

impl World {
    pub fn new(seed: u64, sites: usize, faults: Faults) -> Self {
        let mut lives = 0;
        let mut life = || {
            lives += 1;
            IncarnationId::from_uuid(Uuid::from_u128(lives))
        };
        let name = |n| SiteName::parse(&format!("site-{n}")).expect("a name");
        let hub = Hub::new(life(), (0..sites).map(name).collect());
        let given = vec![Vec::new(); sites];
        let sites = (0..sites).map(|n| Site::new(n as u64 + 1, name(n), life())).collect();
        Self {
            chance: Chance::new(seed),
            faults,
            hub,
            sites,
            lines: Vec::new(),
            backup: None,
            given,
            lives,
            sticks: Vec::new(),
            carried: 0,
            told: None,
        }
    }

    /// So many things happen.
    pub fn live(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
    }

    fn step(&mut self) {
        let site = self.chance.below(self.sites.len());
        match self.chance.below(20) {
            0..3 => {
                self.outcome(site);
            }
            3 if self.chance.once_in(4) => self.publish(),
            3 => self.order(site),
            4 => {
                let effects = self.sites[site].judge();
                self.at_site(site, effects);
            }
            5 => self.connect(site),
            6..9 => self.serve_site(site),
            9..12 => self.serve_hub(site),
            12..18 => {
                if !self.lines.is_empty() {
                    let line = self.chance.below(self.lines.len());
                    if self.chance.once_in(2) { self.up(line) } else { self.down(line) }
                }
            }
            18 if self.chance.once_in(4) => {
                let stream = Stream::ALL[self.chance.below(2)];
                // What a hub that is restored may need again is kept for it.
                if !self.faults.hub_restores {
                    self.sites[site].prune(stream);
                }
            }
            _ => self.fault(site),
        }
    }

    fn fault(&mut self, site: usize) {
        match self.chance.below(40) {
            0..8 if self.faults.cuts && !self.lines.is_empty() => {
                let line = self.chance.below(self.lines.len());
                self.cut(line);
            }
            8 | 9 if self.faults.crashes => {
                let done = self.chance.below(self.sites[site].asked.len() + 1);
                self.lines_of_site_close(site);
                let is_full = self.chance.once_in(3);
                if is_full { self.sites[site].part(done) } else { self.sites[site].crash(done) }
            }
            10 if self.faults.crashes => {
                let chance = &mut self.chance;
                self.hub.crash(|end| chance.below(end));
                self.lines_at_hub_close();
            }
            11 if self.faults.hub_restores => self.hub_restore(),
            12 if self.faults.hub_restores && self.chance.once_in(2) => self.back_up_hub(),
            13..16 if self.faults.files => self.write_stick(site),
            16..20 if self.faults.files => self.take_any_stick(),
            _ => {}
        }
    }

    /// Another edition, of which every site is told.
    fn publish(&mut self) {
        self.hub.published += 1;
        for site in 0..self.sites.len() {
            let nonce = self.chance.number();
            let effects = self.hub.desks[site].give(hub::Input::Published, nonce);
            self.at_hub(site, effects);
        }
    }

    fn order(&mut self, site: usize) {
        let number = (self.given[site].len() + 1) as u64;
        let order = OrderId::from_uuid(Uuid::from_u64_pair(site as u64, number));
        let nonce = self.chance.number();
        self.given[site].push(order);
        self.hub.order(site, order);
        let effects = self.hub.desks[site].give(hub::Input::Ordered, nonce);
        self.at_hub(site, effects);
    }

    /// The hub begins again from its backup. Orders that were given since are lost with it, and given
    /// again by whoever gave them.
    pub fn hub_restore(&mut self) {
        let Some(backup) = &self.backup else { return };
        self.lives += 1;
        let life = IncarnationId::from_uuid(Uuid::from_u128(self.lives << 64));
        let store = backup.copy(life);
        self.hub.restore(store, life);
        for (site, given) in self.given.iter().enumerate() {
            given.iter().for_each(|order| self.hub.order(site, *order));
        }
        self.lines_at_hub_close();
    }

    /// Either end writes a file.
    fn write_stick(&mut self, site: usize) {
        let stick = if self.chance.once_in(2) {
            self.put_down(site);
            self.sites[site].export()
        } else {
            self.hub.export(site)
        };
        self.sticks.push((site, stick));
    }

    /// Any file, whoever has had it in a drawer since when, comes to where it should be.
    fn take_any_stick(&mut self) {
        if self.sticks.is_empty() {
            return;
        }
        let n = self.chance.below(self.sticks.len());
        let (site, stick) = self.sticks[n].clone();
        let is_broken_off = self.chance.once_in(4);
        let frames = if is_broken_off { self.chance.below(4) } else { usize::MAX };
        self.take_stick(site, &stick, frames);
        // Most are thrown away then.
        if self.chance.once_in(2) {
            self.sticks.swap_remove(n);
        }
    }

    fn take_stick(&mut self, site: usize, stick: &Stick, frames: usize) {
        match stick {
            Stick::Up(up, entries) => {
                let restores = self.faults.hub_restores;
                match self.import_at_hub(site, up, entries, frames) {
                    Some(Ok(new)) => self.carried += new,
                    Some(Err(NotCarried::Gap(_))) if restores => {}
                    Some(Err(why)) => panic!("a file of {site} is refused: {why:?}"),
                    None => {}
                }
            }
            Stick::Down(down, edition, orders) => {
                self.put_down(site);
                match self.sites[site].import(down, edition.as_deref(), orders) {
                    Ok(_) => {}
                    Err(NotTaken::Hub) if self.faults.hub_restores => {}
                    Err(why) => panic!("a file for {site} is refused: {why:?}"),
                }
            }
        }
    }

    /// As many of its frames as `frames` says: whoever had the stick has pulled it out. Gives how many
    /// entries were new, where it came to its end.
    pub fn import_at_hub(
        &mut self,
        site: usize,
        up: &Up,
        entries: &[Entries],
        frames: usize,
    ) -> Option<Result<u64, NotCarried>> {
        let end = (frames > entries.len()).then_some(hub::Input::CarriedEnd);
        let entries = entries.iter().cloned().map(hub::Input::CarriedEntries).take(frames);
        let inputs = std::iter::once(hub::Input::Carried(Box::new(up.clone())));
        inputs.chain(entries).chain(end).find_map(|input| {
            self.told = None;
            let nonce = self.chance.number();
            let effects = self.hub.desks[site].give(input, nonce);
            self.at_hub(site, effects);
            // All that follows is done before the next.
            while !self.hub.desks[site].asked.is_empty() {
                self.serve_hub(site);
            }
            let told = self.told.take()?;
            Some(told.map(|it| it.taken.outcome + it.taken.receipt))
        })
    }

    /// The line is put down for a file.
    fn put_down(&mut self, site: usize) {
        self.lines_of_site_close(site);
        let done = self.chance.below(self.sites[site].asked.len() + 1);
        self.sites[site].crash(done);
    }

    /// Somebody goes to and fro with a stick until nothing is left to tell.
    pub fn settle_by_files(&mut self) {
        for site in 0..self.sites.len() {
            for _ in 0..4 {
                let up = self.sites[site].export();
                self.take_stick(site, &up, usize::MAX);
                let down = self.hub.export(site);
                self.take_stick(site, &down, usize::MAX);
                while self.sites[site].has_orders() {
                    self.sites[site].judge();
                }
            }
        }
    }

    fn connect(&mut self, site: usize) {
        if self.faults.no_line || self.sites[site].session.is_some() {
            return;
        }
        let line = self.lines.len();
        self.lines.push(Line {
            site,
            up: VecDeque::new(),
            down: VecDeque::new(),
            is_open_at_site: true,
            is_open_at_hub: true,
        });
        // Nothing of an earlier connection is answered to this one.
        self.finish(site);
        let session = site::Session::new(self.sites[site].kept());
        self.sites[site].session = Some((line, session));
        let effects = self.sites[site].give(site::Input::Opened);
        self.at_site(site, effects);
    }

    /// Writes that an earlier connection has asked for are done before the next begins.
    fn finish(&mut self, site: usize) {
        let asked = self.sites[site].asked.len();
        let session = self.sites[site].session.take();
        self.sites[site].part(asked);
        self.sites[site].session = session;
    }

    fn cut(&mut self, line: usize) {
        let site = self.lines[line].site;
        if self.lines[line].is_open_at_site {
            self.lines[line].is_open_at_site = false;
            self.sites[site].session.take_if(|(of, _)| *of == line);
        } else {
            self.close_at_hub(line);
        }
    }

    fn close_at_hub(&mut self, line: usize) {
        if std::mem::take(&mut self.lines[line].is_open_at_hub) {
            let (site, nonce) = (self.lines[line].site, self.chance.number());
            let closed = hub::Input::Closed(hub::Connection(line as u64));
            let effects = self.hub.desks[site].give(closed, nonce);
            self.at_hub(site, effects);
        }
    }

    fn lines_of_site_close(&mut self, site: usize) {
        for line in self.lines.iter_mut().filter(|line| line.site == site) {
            line.is_open_at_site = false;
        }
    }

    fn lines_at_hub_close(&mut self) {
        for line in &mut self.lines {
            line.is_open_at_hub = false;
        }
    }

    /// A frame arrives at the hub, or word that nobody is there any more.
    fn up(&mut self, line: usize) {
        if !self.lines[line].is_open_at_hub {
            return;
        }
        let (site, nonce) = (self.lines[line].site, self.chance.number());
        match self.lines[line].up.pop_front() {
            Some(bytes) => {
                let frame = SiteFrame::decode(&bytes).expect("frames are whole");
                let effects = self.hub.desks[site].hear(line, frame, nonce);
                self.at_hub(site, effects);
            }
            None if !self.lines[line].is_open_at_site => self.close_at_hub(line),
            None => {}
        }
    }

    fn down(&mut self, line: usize) {
        if !self.lines[line].is_open_at_site {
            return;
        }
        let site = self.lines[line].site;
        match self.lines[line].down.pop_front() {
            Some(bytes) => {
                let frame = HubFrame::decode(&bytes).expect("frames are whole");
                let effects = self.sites[site].hear(frame);
                self.at_site(site, effects);
            }
            None if !self.lines[line].is_open_at_hub => self.cut(line),
            None => {}
        }
    }

    fn serve_site(&mut self, site: usize) {
        let effects = self.sites[site].serve();
        self.at_site(site, effects);
    }

    fn serve_hub(&mut self, site: usize) {
        let nonce = self.chance.number();
        let effects = self.hub.serve(site, nonce);
        self.at_hub(site, effects);
    }

    fn at_site(&mut self, site: usize, effects: Vec<site::Effect>) {
        for effect in effects {
            let Some((line, _)) = self.sites[site].session else { return };
            match effect {
                site::Effect::Send(frame) => self.lines[line].up.push_back(frame.encode()),
                site::Effect::Read { stream, after } => {
                    self.sites[site].asked.push_back(Asked::Read { stream, after });
                }
                site::Effect::Write(write) => {
                    self.sites[site].asked.push_back(Asked::Write(write));
                }
                site::Effect::Close(_) => self.cut(line),
            }
        }
    }

    fn at_hub(&mut self, site: usize, effects: Vec<hub::Effect>) {
        for effect in effects {
            match effect {
                hub::Effect::Send(connection, frame) => {
                    let line = &mut self.lines[usize::try_from(connection.0).expect("few")];
                    if line.is_open_at_hub {
                        line.down.push_back(frame.encode());
                    }
                }
                hub::Effect::Close(connection) => {
                    let line = usize::try_from(connection.0).expect("few");
                    self.lines[line].is_open_at_hub = false;
                }
                hub::Effect::Write(write) => {
                    self.hub.desks[site].asked.push_back(HubAsked::Write(write));
                }
                hub::Effect::ReadOrders => {
                    self.hub.desks[site].asked.push_back(HubAsked::ReadOrders);
                }
                hub::Effect::ReadEdition => {
                    self.hub.desks[site].asked.push_back(HubAsked::ReadEdition);
                }
                hub::Effect::ReadPiece(_) => unreachable!("no site asks for a text here"),
                hub::Effect::Carried(carried) => self.told = Some(carried),
            }
        }
    }

    /// The line breaks with all that is on it, and the site comes again.
    pub fn reconnect(&mut self, site: usize) {
        if let Some((line, _)) = self.sites[site].session {
            self.lines[line].up.clear();
            self.cut(line);
        }
        self.settle();
    }

    pub fn outcome(&mut self, site: usize) {
        let effects = self.sites[site].outcome();
        self.at_site(site, effects);
    }

    pub fn back_up_hub(&mut self) {
        self.backup = Some(disk::copy(&self.hub.store));
    }

    /// The site comes and is welcomed; what it sends after that is on its way.
    pub fn greet(&mut self, site: usize) {
        while self.sites[site].session.is_some() {
            let line = self.lines.iter().rposition(|line| line.site == site);
            self.cut(line.expect("a line of the session"));
        }
        self.connect(site);
        let line = self.lines.len() - 1;
        self.up(line);
        self.serve_hub(site);
        self.down(line);
        while !self.sites[site].asked.is_empty() {
            self.serve_site(site);
        }
    }

    /// The site's machine is gone, and this disk is put into another.
    pub fn replace(&mut self, site: usize, disk: MemoryStore) {
        self.lines_of_site_close(site);
        self.sites[site].start(disk);
    }

    /// The disk as a restored one: a life of its own, that knows where it comes from.
    pub fn renewed(&mut self, disk: &MemoryStore) -> MemoryStore {
        self.lives += 1;
        disk.copy(IncarnationId::from_uuid(Uuid::from_u128(self.lives << 64)))
    }

    /// Nothing goes wrong any more, until nothing is left to happen.
    pub fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 10_000, "it does not come to rest");
            let mut moved = false;
            for site in 0..self.sites.len() {
                if self.hub.doc(site).quarantine.is_none() {
                    moved |= self.sites[site].session.is_none();
                    self.connect(site);
                }
                while self.sites[site].has_orders() {
                    let effects = self.sites[site].judge();
                    self.at_site(site, effects);
                }
                moved |= !self.sites[site].asked.is_empty();
                self.serve_site(site);
                moved |= !self.hub.desks[site].asked.is_empty();
                self.serve_hub(site);
            }
            for line in 0..self.lines.len() {
                let it = &self.lines[line];
                let is_half = it.is_open_at_site != it.is_open_at_hub;
                let up = it.is_open_at_hub && !it.up.is_empty();
                let down = it.is_open_at_site && !it.down.is_empty();
                moved |= is_half || up || down;
                self.up(line);
                self.down(line);
            }
            if !moved {
                return;
            }
        }
    }

    /// Everything that is wrong.
    pub fn judge(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (number, site) in self.sites.iter().enumerate() {
            let (doc, kept) = (self.hub.doc(number), site.kept());
            for stream in Stream::ALL {
                let name = format!("{} {}", site.name, stream.name());
                let outbox = kept.outboxes.get(stream);
                if outbox.mark.position != outbox.last {
                    let (has, knows) = (outbox.last, outbox.mark.position);
                    found.push(format!("{name}: has {has}, and knows of {knows} at the hub"));
                }
                let (made, taken) = (site.made.get(stream), self.hub.taken(number, stream));
                found.extend(check(&Account { site: name, made: made.clone(), taken }));
                if *doc.lost.get(stream) > 0 {
                    found.push(format!(
                        "{}: {} positions are lost",
                        site.name,
                        doc.lost.get(stream)
                    ));
                }
            }
            let has = kept.edition.map_or(0, |signed| {
                let head = wire::edition::Head::decode(signed.head.get().as_bytes());
                head.expect("a head").number
            });
            if has != self.hub.published {
                found.push(format!("{}: has edition {has}, not the newest", site.name));
            }
            let mut begun = site.begun.clone();
            begun.sort_unstable();
            if begun != self.given[number] {
                found.push(format!("{}: begun are not the orders, once each", site.name));
            }
            if let Some(doubt) = doc.doubt {
                found.push(format!("{}: doubted, {doubt:?}", site.name));
            }
            if let Some(why) = doc.quarantine {
                found.push(format!("{}: in quarantine, {why:?}", site.name));
            }
        }
        found
    }
}
