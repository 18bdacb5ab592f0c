//! Files as a second path between the machines: written at one moment, taken at any later one, in any
//! order, once or often, or never.

use base::{IncarnationId, SiteName};
use link::site::{Line, NotTaken, Write, down, up, up_entries};
use store::FleetStore as _;
use wire::exchange::{Down, Up};
use wire::link::{Edition, Entries, Health, Order, Stream};

use crate::disk::{NOW, commit, now};
use crate::hub::{Hub, edition};
use crate::site::Site;

/// One file.
#[derive(Clone)]
pub enum Stick {
    Up(Box<Up>, Vec<Entries>),
    Down(Box<Down>, Option<Box<Edition>>, Vec<Order>),
}

impl Site {
    /// The line is down, and what is kept is what the disk has.
    fn file_begin(&mut self) -> Line {
        let line = Line::open(&self.store, &self.name, self.joined, true);
        now(line).expect("reads")
    }

    pub fn export(&mut self) -> Stick {
        let line = self.file_begin();
        let kept = now(line.kept(&self.store)).expect("reads");
        self.exported += 1;
        let up = up(&kept, self.exported, NOW, Health::default());
        let mut frames = Vec::new();
        for stream in Stream::ALL {
            let mut at = up.streams.get(stream).after;
            let until = *up.hello.last.get(stream);
            while let Some((entries, head)) =
                now(up_entries(&self.store, stream, at, until)).expect("reads")
            {
                frames.push(entries);
                at = head;
            }
        }
        Stick::Up(Box::new(up), frames)
    }

    /// Gives whether something of it was new.
    pub fn import(
        &mut self,
        down_file: &Down,
        edition: Option<&Edition>,
        orders: &[Order],
    ) -> Result<bool, NotTaken> {
        let mut line = self.file_begin();
        let kept = now(line.kept(&self.store)).expect("reads");
        let mut writes = now(down(&self.store, &kept, down_file))?;
        let number = (down_file.incarnation, down_file.number);
        if self.imported.is_some_and(|(hub, last)| hub == number.0 && last >= number.1) {
            return Ok(false);
        }
        if let Some(edition) = edition
            && kept.is_later(&edition.signed).expect("one hub")
        {
            writes.push(Write::Edition(Box::new(edition.clone())));
        }
        writes.push(Write::Orders(orders.to_vec()));
        for write in &writes {
            commit(&self.store, line.ops(write, NOW));
            line.wrote(write);
        }
        self.imported = Some(number);
        self.crash(0);
        Ok(true)
    }
}

impl Hub {
    pub fn export(&mut self, site: usize) -> Stick {
        let (incarnation, before) = self.lives();
        let published = self.published;
        let desk = &mut self.desks[site];
        let (number, op) = desk.doc.exported(&desk.site);
        commit(&self.store, vec![op]);
        let present = desk.doc.present;
        let orders = now(link::hub::orders(&self.store, &desk.site)).expect("reads");
        let down = Down {
            incarnation,
            before,
            number,
            now: NOW,
            site: present.map(|present| present.incarnation),
            heads: present.map(|present| present.heads).unwrap_or_default(),
            sealing: wire::join::HubSealingSaid {
                key: String::new(),
                at: NOW,
                signature: String::new(),
                chain: Vec::new(),
            },
        };
        let edition = (published > 0).then(|| Box::new(edition(published, b"root")));
        Stick::Down(Box::new(down), edition, orders)
    }

    fn lives(&self) -> (IncarnationId, Vec<IncarnationId>) {
        (self.incarnation, self.before.clone())
    }

    /// Entries of all sites.
    pub fn count(&self) -> usize {
        now(self.store.entry_list(0, u32::MAX)).expect("reads").len()
    }
}

/// Mutation: take what came meanwhile, or leave out the page that has some of it.
#[test]
fn a_file_has_all_that_was_there_when_it_was_begun_and_no_more() {
    let name = SiteName::parse("clinic-1").expect("a name");
    let mut site = Site::new(1, name, IncarnationId::from_uuid(uuid::Uuid::from_u128(1)));
    (0..3).for_each(|_| drop(site.outcome()));
    let at = site.kept().outboxes.outcome.mark;
    let page = |until| {
        let page = now(up_entries(&site.store, Stream::Outcome, at, until)).expect("reads");
        page.map(|(entries, head)| (entries.entries.len(), head.position))
    };
    assert_eq!(page(2), Some((2, 2)));
    assert_eq!(page(9), Some((3, 3)));
    assert_eq!(page(0), None);
}
