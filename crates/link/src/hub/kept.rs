//! What a hub keeps of one site's line, in the words of the store.

use std::collections::BTreeMap;

use base::stream::{PerStream, Stream};
use base::{
    DatasetName, Digest, DocumentError, IncarnationId, OrderId, Outcome, RunId, SiteName,
    Timestamp, Unreadable, document,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use store::{EntryRow, Op, Store, StoreError};
use wire::dispatch;
use wire::lease;
use wire::link::{Dataset, Head, Health, Order};
use wire::order::Receipt;
use wire::usage;

use super::Write;
use crate::{ORDERS_READ_MAX, RETIRED_MAX};

/// What the hub has written down.
#[derive(Debug, Clone)]
pub struct Kept {
    /// This life of the hub, and those before it, the newest first.
    pub hub: IncarnationId,
    pub before: Vec<IncarnationId>,
    pub site: SiteName,
    /// Nothing before its first word.
    pub present: Option<Present>,
    /// Who may be the first to speak, where somebody has joined.
    pub expected: Option<IncarnationId>,
    /// The newest last; at most [`RETIRED_MAX`].
    pub retired: Vec<IncarnationId>,
    pub quarantine: Option<Suspicion>,
    /// The life of the hub in which the site has handed over all that it held when it came.
    pub settled: Option<IncarnationId>,
}

/// The incarnation that is the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    pub incarnation: IncarnationId,
    /// The newest session that was granted, and the newest that was used.
    pub granted: u64,
    pub confirmed: u64,
    /// The life of the hub that granted it.
    pub by: IncarnationId,
    /// What is durable of each stream.
    pub heads: PerStream<Option<Head>>,
    /// Up to where the hub has what the incarnations before this one have left; nothing where there
    /// were none.
    pub before: PerStream<Option<u64>>,
}

/// Why somebody may be a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suspicion {
    /// It comes with a session before one that was used.
    OldSession,
    /// It has fewer entries than it has sent.
    SetBack,
    /// It does not come from the present incarnation.
    Unrelated,
    /// Its chain is another.
    ChainDiffers,
}

/// What a site has said itself, and who speaks for it. Described in `docs/spec/link.md`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SeatDoc {
    pub present: Option<Present>,
    /// Who may be the first to speak, where somebody has joined.
    pub expected: Option<IncarnationId>,
    /// The newest last.
    pub retired: Vec<IncarnationId>,
    pub quarantine: Option<Suspicion>,
    /// Positions that are gone for good.
    pub lost: PerStream<u64>,
    /// Entries that this version could not read. They are kept as they came.
    pub unread: PerStream<u64>,
    /// How it said it is.
    #[serde(default)]
    pub health: Option<Health>,
    /// The life of the hub in which the site has handed over all that it held when it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<IncarnationId>,
    /// Since when the hub knows of each dataset that `health` names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub datasets_since: BTreeMap<DatasetName, Timestamp>,
    /// When the site last came with a store that had less than the one before, or another one: of the
    /// orders that were taken until then, nobody knows which it still has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_back_at: Option<Timestamp>,
    /// When something was last written for it, but by a file.
    pub heard_at: Option<Timestamp>,
    /// What was last taken from a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<CarriedDoc>,
    /// Files for it that were made in this life of the hub, or before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub exported: u64,
    /// A file did not fit what is known, and nothing since has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Doubt>,
}

/// The newest file of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedDoc {
    pub incarnation: IncarnationId,
    pub number: u64,
    /// By the site's clock.
    pub written_at: Timestamp,
    pub at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    pub suspicion: Suspicion,
    pub at: Timestamp,
}

/// Whether there were orders taken that this store knows nothing of.
fn is_set_back(before: &Present, present: &Present) -> bool {
    let had = before.heads.receipt.map(|head| head.position).or(before.before.receipt);
    before.incarnation != present.incarnation && had > present.before.receipt
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

const SEAT_TYPE: &str = "isonomy.seat";
const SEAT_VERSION: u32 = 1;

impl SeatDoc {
    /// A site that has not spoken yet has none.
    pub fn read(site: &SiteName, bytes: Option<&[u8]>) -> Result<Self, Unreadable> {
        let Some(bytes) = bytes else { return Ok(Self::default()) };
        let of = |error: DocumentError| error.of(format!("the line to {site}"));
        document::read(bytes, SEAT_TYPE, SEAT_VERSION).map_err(of)
    }

    /// What its seat begins with, in this life of the hub.
    #[must_use]
    pub fn kept(&self, site: SiteName, hub: IncarnationId, before: Vec<IncarnationId>) -> Kept {
        Kept {
            hub,
            before,
            site,
            present: self.present,
            expected: self.expected,
            retired: self.retired.clone(),
            quarantine: self.quarantine,
            settled: self.settled,
        }
    }

    /// What is to be committed where a machine has joined as the site: who it was is retired, and this
    /// incarnation is waited for.
    pub fn joined(&mut self, site: &SiteName, joined: IncarnationId, now: Timestamp) -> Op {
        self.vacate(Some(joined), now);
        self.op(site)
    }

    /// The same for a machine that has joined in a life of the hub that is lost: it is the site, whatever
    /// it comes with.
    pub fn adopted(&mut self, site: &SiteName, now: Timestamp) -> Op {
        self.vacate(None, now);
        self.op(site)
    }

    fn vacate(&mut self, expected: Option<IncarnationId>, now: Timestamp) {
        if let Some(present) = self.present.take() {
            self.retire(&[present.incarnation]);
            self.set_back_at = Some(now);
        }
        let before = std::mem::replace(&mut self.expected, expected);
        self.retire(before.filter(|before| Some(*before) != expected).as_slice());
        (self.quarantine, self.health) = (None, None);
        (self.doubt, self.settled) = (None, None);
        self.datasets_since.clear();
    }

    /// What is to be committed where the site was there until `now`.
    pub fn heard(&mut self, site: &SiteName, now: Timestamp) -> Op {
        self.heard_at = Some(now);
        self.op(site)
    }

    /// What is to be committed where a file for the site is made; its number.
    pub fn exported(&mut self, site: &SiteName) -> (u64, Op) {
        self.exported += 1;
        (self.exported, self.op(site))
    }

    fn retire(&mut self, retired: &[IncarnationId]) {
        self.retired.extend(retired);
        let surplus = self.retired.len().saturating_sub(RETIRED_MAX);
        self.retired.drain(..surplus);
    }

    fn op(&self, site: &SiteName) -> Op {
        let seat = document::write(SEAT_TYPE, SEAT_VERSION, self).into();
        Op::SeatPut { site: site.clone(), seat }
    }

    /// What is to be committed for a write of the seat, at `now`.
    pub fn ops(&mut self, site: &SiteName, write: &Write, now: Timestamp) -> Vec<Op> {
        let mut ops = Vec::new();
        if !matches!(write, Write::Carried(_)) {
            self.heard_at = Some(now);
        }
        self.write(site, write, now, &mut ops);
        ops.push(self.op(site));
        ops
    }

    fn write(&mut self, site: &SiteName, write: &Write, now: Timestamp, ops: &mut Vec<Op>) {
        match write {
            Write::Carried(write) => self.write(site, write, now, ops),
            Write::Present { present, retired } => {
                if self.present.is_some_and(|before| is_set_back(&before, present)) {
                    self.set_back_at = Some(now);
                }
                (self.present, self.expected) = (Some(*present), None);
                self.retire(retired);
            }
            Write::Confirm { session } => {
                if let Some(present) = &mut self.present {
                    present.confirmed = present.confirmed.max(*session);
                }
                self.doubt = None;
            }
            Write::Begin { stream, head, lost } => {
                if let Some(present) = &mut self.present {
                    *present.heads.get_mut(*stream) = Some(*head);
                }
                *self.lost.get_mut(*stream) += lost;
            }
            Write::Take { stream, entries, head } => {
                if let Some(present) = &mut self.present {
                    *present.heads.get_mut(*stream) = Some(*head);
                }
                for entry in entries {
                    let taken = Taken::read(*stream, entry);
                    *self.unread.get_mut(*stream) += u64::from(!taken.is_read);
                    ops.extend(taken.ops(site, *stream, entry, now));
                }
            }
            Write::Quarantine(suspicion) => self.quarantine = Some(*suspicion),
            Write::Health(health) => self.say(health, now),
            Write::Settled(hub) => self.settled = Some(*hub),
            Write::Doubt(suspicion) => {
                self.doubt = Some(Doubt { suspicion: *suspicion, at: now });
            }
            Write::CarriedEnd { number, at, health } => {
                self.carried_end(*number, *at, health.as_ref(), now);
            }
        }
    }

    fn say(&mut self, health: &Health, now: Timestamp) {
        let since = |it: &Dataset| {
            let known = self.datasets_since.get(&it.name).copied();
            (it.name.clone(), known.unwrap_or(now))
        };
        self.datasets_since = health.datasets.iter().map(since).collect();
        self.health = Some(health.clone());
    }

    /// Of an older file nothing counts that is only true of a moment.
    fn carried_end(
        &mut self,
        number: u64,
        written_at: Timestamp,
        health: Option<&Health>,
        at: Timestamp,
    ) {
        let Some(Present { incarnation, .. }) = self.present else { return };
        let is_newer = |it: &CarriedDoc| it.incarnation != incarnation || it.number < number;
        if self.carried.as_ref().is_none_or(is_newer) {
            self.carried = Some(CarriedDoc { incarnation, number, written_at, at });
            if let Some(health) = health {
                self.say(health, at);
            }
            self.doubt = None;
        }
    }
}

/// What an entry is.
struct Taken {
    key: Bytes,
    order: Option<OrderId>,
    is_read: bool,
}

impl Taken {
    /// One that cannot be read is known by its bytes: it must not hold up the rest.
    fn read(stream: Stream, entry: &Bytes) -> Self {
        let unread = || [b"unread".as_slice(), Digest::of(entry).as_bytes()].concat().into();
        match stream {
            Stream::Outcome => {
                let key = Outcome::decode(entry)
                    .ok()
                    .map(|outcome| outcome_key(outcome.run, outcome.number));
                Self { is_read: key.is_some(), key: key.unwrap_or_else(unread), order: None }
            }
            Stream::Receipt => match Receipt::decode(entry) {
                Ok(receipt) => {
                    let key = Bytes::copy_from_slice(receipt.order.as_uuid().as_bytes());
                    Self { key, order: Some(receipt.order), is_read: true }
                }
                Err(_) => match dispatch::Entry::decode(entry) {
                    Ok(said) => Self { key: said.key().into(), order: None, is_read: true },
                    Err(_) => match lease::SignedWord::decode(entry) {
                        Ok((_, word)) => {
                            Self { key: word.key().into(), order: None, is_read: true }
                        }
                        Err(_) => match usage::UsageWord::decode(entry) {
                            Ok(word) => Self { key: word.key().into(), order: None, is_read: true },
                            // A later version says more of an order, and that there is no more to do.
                            Err(_) => {
                                Self { key: unread(), order: order_of(entry), is_read: false }
                            }
                        },
                    },
                },
            },
        }
    }

    fn ops(
        self,
        site: &SiteName,
        stream: Stream,
        entry: &Bytes,
        at: Timestamp,
    ) -> impl Iterator<Item = Op> {
        let close = self.order.map(|order| Op::OrderClose { order, site: site.clone(), at });
        let (site, entry) = (site.clone(), entry.clone());
        let row = EntryRow { position: 0, site, stream, key: self.key, at, entry };
        [Some(Op::EntryTake(row)), close].into_iter().flatten()
    }
}

fn order_of(entry: &[u8]) -> Option<OrderId> {
    #[derive(Deserialize)]
    struct Order {
        order: OrderId,
    }
    serde_json::from_slice(entry).ok().map(|Order { order }| order)
}

/// By which an outcome is taken once at its site.
#[must_use]
pub fn outcome_key(run: RunId, number: u32) -> Bytes {
    let mut key = run.as_uuid().as_bytes().to_vec();
    key.extend(number.to_be_bytes());
    key.into()
}

/// The oldest orders of a site that have no receipt.
pub async fn orders(store: &dyn Store, site: &SiteName) -> Result<Vec<Order>, StoreError> {
    let rows = store.order_open(site.clone(), 0, ORDERS_READ_MAX).await?;
    let order = |row: store::OrderRow| {
        let text = String::from_utf8(row.body.to_vec()).ok()?;
        Some(Order { id: row.order, order: RawValue::from_string(text).ok()? })
    };
    Ok(rows.into_iter().filter_map(order).collect())
}

#[cfg(test)]
mod tests {
    use base::{DispatchId, Label};
    use wire::dispatch::{Answer, AnswerState, Entry, Say};

    use super::*;

    /// Mutation: begin anew with every word of a site, or keep since when of what is gone.
    #[test]
    fn a_dataset_is_known_since_it_was_told_first() {
        let site = SiteName::parse("clinic-1").expect("a name");
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let dataset = |name: &str| Dataset {
            name: DatasetName::parse(name).expect("a name"),
            labels: vec![Label::parse("health").expect("a label")],
            modified_at: None,
        };
        let mut doc = SeatDoc::default();
        let mut tell = |names: &[&str], seconds| {
            let datasets = names.iter().map(|name| dataset(name)).collect();
            doc.ops(&site, &Write::Health(Health { datasets, ..Health::default() }), at(seconds));
            let since = doc.datasets_since.iter();
            since.map(|(name, at)| (name.to_string(), at.as_millis() / 1000)).collect::<Vec<_>>()
        };
        assert_eq!(tell(&["a"], 10), [("a".to_owned(), 10)]);
        assert_eq!(tell(&["a", "b"], 20), [("a".to_owned(), 10), ("b".to_owned(), 20)]);
        assert_eq!(tell(&["b"], 30), [("b".to_owned(), 20)]);
        assert_eq!(tell(&["a"], 40), [("a".to_owned(), 40)]);
        let joined = IncarnationId::new(at(50), &base::SystemRandom);
        doc.joined(&site, joined, at(50));
        assert!(doc.datasets_since.is_empty() && doc.health.is_none());
    }

    /// Mutation: call a site set back whose store goes on, or one that has never been there; miss one that has
    /// less, or that is another one.
    #[test]
    fn a_site_that_comes_with_less_than_it_had_is_set_back() {
        let site = SiteName::parse("clinic-1").expect("a name");
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let life = |seconds| IncarnationId::new(at(seconds), &base::SystemRandom);
        let head = |position| Some(Head { position, digest: Digest::of(b"x") });
        let present = |incarnation, receipt, before| Present {
            incarnation,
            granted: 1,
            confirmed: 0,
            by: incarnation,
            heads: PerStream { outcome: None, receipt },
            before: PerStream { outcome: None, receipt: before },
        };
        let mut doc = SeatDoc::default();
        let mut come = |present: Present, seconds| {
            let write = Write::Present { present, retired: Vec::new() };
            doc.ops(&site, &write, at(seconds));
            doc.set_back_at.map(|at| at.as_millis() / 1000)
        };
        let (first, second, third) = (life(1), life(2), life(3));
        assert_eq!(come(present(first, head(5), None), 10), None);
        assert_eq!(come(present(first, head(5), None), 20), None);
        assert_eq!(come(present(second, None, Some(5)), 30), None);
        assert_eq!(come(present(third, None, Some(4)), 40), Some(40));
        doc.joined(&site, life(4), at(50));
        assert_eq!(doc.set_back_at, Some(at(50)));
        let mut new = SeatDoc::default();
        new.joined(&site, first, at(60));
        assert_eq!(new.set_back_at, None);
    }

    /// Mutation: know what a site says of a dispatch by its bytes, or count it as unread.
    #[test]
    fn what_a_site_says_of_a_dispatch_is_taken_by_what_it_is() {
        let dispatch = DispatchId::of(RunId::from_uuid(uuid::Uuid::from_u128(1)), "k");
        let of = SiteName::parse("desk").expect("a name");
        let said = |state| {
            let answer = Answer::new(state, None, Timestamp::from_millis(1));
            let entry = Entry { dispatch, say: Say::Answer { of: of.clone(), answer } };
            Taken::read(Stream::Receipt, &entry.encode().into())
        };
        let (ended, other) = (said(AnswerState::Completed), said(AnswerState::Faulted));
        assert!(ended.is_read && ended.order.is_none());
        assert_eq!(ended.key, other.key);
        assert_ne!(ended.key, said(AnswerState::Taken).key);
        let later = br#"{"type":"isonomy.dispatch","v":2,"dispatch":1}"#.as_slice();
        assert!(!Taken::read(Stream::Receipt, &later.into()).is_read);
    }
}
