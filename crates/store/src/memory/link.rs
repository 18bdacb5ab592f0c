//! The line between site and hub, in memory.

use std::collections::btree_map::Entry as Place;
use std::collections::{BTreeMap, HashMap, HashSet};

use base::stream::Stream;
use base::{Digest, OrderId, SiteName, Timestamp};
use bytes::Bytes;

use super::{Kept, MemoryStore, page};
use crate::{
    Answer, CommitError, ENTRIES_BESIDE_MAX, EntryRow, FleetStore, LinkStore, Op, OrderRow,
    OrdersOf, OutboxRow, ReceiptRow, SiteRow, TokenRow,
};

/// What the ops of one commit have changed so far, as far as later ops of it are judged by it.
#[derive(Default)]
pub(super) struct Staged {
    outboxes: BTreeMap<Stream, OutboxRow>,
    receipts: HashSet<OrderId>,
    /// Nothing where there is none any more.
    orders: HashMap<OrderId, Option<OrderRow>>,
    sites: HashSet<SiteName>,
    /// Nothing where there is none any more.
    tokens: HashMap<Digest, Option<TokenRow>>,
}

impl Staged {
    fn outbox(&mut self, kept: &Kept, stream: Stream) -> Result<&mut OutboxRow, CommitError> {
        match self.outboxes.entry(stream) {
            Place::Occupied(row) => Ok(row.into_mut()),
            Place::Vacant(place) => {
                let row = kept.outboxes.get(&stream).ok_or(CommitError::OutboxKept(stream))?;
                Ok(place.insert(*row))
            }
        }
    }

    fn order(&mut self, kept: &Kept, order: OrderId) -> &mut Option<OrderRow> {
        self.orders.entry(order).or_insert_with(|| kept.order(order).cloned())
    }
}

impl Kept {
    pub(super) fn admit_line(&self, op: &Op, staged: &mut Staged) -> Result<(), CommitError> {
        match op {
            Op::OutboxPut(row) => {
                staged.outboxes.insert(row.stream, *row);
            }
            Op::OutboxMark { stream, mark } => {
                let row = staged.outbox(self, *stream)?;
                if mark.position < row.base.position {
                    return Err(CommitError::OutboxKept(*stream));
                }
                row.mark = *mark;
            }
            Op::OutboxForget { stream, base } => {
                let row = staged.outbox(self, *stream)?;
                if base.position > row.mark.position {
                    return Err(CommitError::OutboxKept(*stream));
                }
                if base.position > row.base.position {
                    row.base = *base;
                }
            }
            Op::ReceiptPut(row) => {
                let kept = self.receipts.iter().any(|kept| kept.order == row.order);
                if kept || !staged.receipts.insert(row.order) {
                    return Err(CommitError::ReceiptExists(row.order));
                }
            }
            Op::OrderPut(row) => {
                let order = staged.order(self, row.order);
                order.get_or_insert_with(|| OrderRow { closed_at: None, ..row.clone() });
            }
            Op::OrderJudge { order, at } => match staged.order(self, *order) {
                Some(row) if row.closed_at.is_none() => row.closed_at = Some(*at),
                _ => return Err(CommitError::OrderClosed(*order)),
            },
            Op::OrderClose { order, site, at } => {
                if let Some(row) =
                    staged.order(self, *order).as_mut().filter(|row| row.site == *site)
                {
                    row.closed_at.get_or_insert(*at);
                }
            }
            Op::OrderForget { order } => *staged.order(self, *order) = None,
            Op::SitePut { site, .. } => {
                staged.sites.insert(site.clone());
            }
            Op::SeatPut { site, .. } | Op::EntryTake(EntryRow { site, .. }) => {
                let is_there = staged.sites.contains(site) || self.sites.contains_key(site);
                return is_there
                    .then_some(())
                    .ok_or_else(|| CommitError::SiteMissing(site.clone()));
            }
            Op::TokenPut(row) => {
                staged.tokens.insert(row.secret, Some(TokenRow { used_by: None, ..row.clone() }));
            }
            Op::TokenUse { secret, by, now } => {
                let token = staged.tokens.entry(*secret);
                let token = token.or_insert_with(|| self.tokens.get(secret).cloned());
                let is_good = |token: &&mut TokenRow| {
                    token.until > *now && token.used_by.is_none_or(|used_by| used_by == *by)
                };
                match token.as_mut().filter(is_good) {
                    Some(token) => token.used_by = Some(*by),
                    None => return Err(CommitError::TokenSpent),
                }
            }
            Op::TokenForget { until } => {
                for secret in self.tokens.keys() {
                    staged
                        .tokens
                        .entry(*secret)
                        .or_insert_with(|| self.tokens.get(secret).cloned());
                }
                for token in staged.tokens.values_mut() {
                    token.take_if(|token| token.until <= *until);
                }
            }
            // Of the line and the fleet these are all.
            _ => {}
        }
        Ok(())
    }

    pub(super) fn order(&self, order: OrderId) -> Option<&OrderRow> {
        self.orders.iter().find(|row| row.order == order)
    }

    pub(super) fn order_close(&mut self, is_it: impl Fn(&OrderRow) -> bool, at: Timestamp) {
        if let Some(row) = self.orders.iter_mut().find(|row| is_it(row)) {
            row.closed_at.get_or_insert(at);
        }
    }

    pub(super) fn entry_take(&mut self, row: EntryRow) {
        let key = (row.site.clone(), row.stream, row.key.clone());
        match self.entry_places.get(&key) {
            Some(place) if self.entries[*place].entry == row.entry => {}
            Some(_) => self.entry_put_beside(row),
            None => {
                self.entry_places.insert(key, self.entries.len());
                let position = self.entries.len() as u64 + 1;
                if let Some(site) = self.sites.get_mut(&row.site) {
                    *site.taken.get_mut(row.stream) += 1;
                }
                self.entries.push(EntryRow { position, ..row });
            }
        }
    }

    fn entry_put_beside(&mut self, row: EntryRow) {
        let same = |kept: &EntryRow| {
            let of = |row: &EntryRow| (row.site.clone(), row.stream, row.key.clone());
            of(kept) == of(&row) && kept.entry == row.entry
        };
        let of_site = self.entries_beside.iter().filter(|kept| kept.site == row.site);
        let is_full = of_site.count() >= ENTRIES_BESIDE_MAX as usize;
        if !is_full && !self.entries_beside.iter().any(same) {
            let position = self.entries_beside.len() as u64 + 1;
            self.entries_beside.push(EntryRow { position, ..row });
        }
    }
}

impl LinkStore for MemoryStore {
    fn link_get(&self) -> Answer<'_, Option<Bytes>> {
        self.ask(|kept| kept.link.clone())
    }

    fn outbox_get(&self, stream: Stream) -> Answer<'_, Option<OutboxRow>> {
        self.ask(|kept| kept.outboxes.get(&stream).copied())
    }

    fn outbox_last(&self, stream: Stream) -> Answer<'_, u64> {
        self.ask(|kept| *kept.last.get(stream))
    }

    fn receipt_list(&self, after: u64, limit: u32) -> Answer<'_, Vec<ReceiptRow>> {
        self.ask(|kept| {
            let from = kept.receipts.partition_point(|row| row.position <= after);
            page(kept.receipts[from..].iter().cloned(), limit)
        })
    }

    fn receipt_get(&self, order: OrderId) -> Answer<'_, Option<ReceiptRow>> {
        self.ask(|kept| kept.receipts.iter().find(|row| row.order == order).cloned())
    }

    fn order_get(&self, order: OrderId) -> Answer<'_, Option<OrderRow>> {
        self.ask(|kept| kept.order(order).cloned())
    }

    fn order_list(
        &self,
        of: OrdersOf,
        before: Option<u64>,
        limit: u32,
    ) -> Answer<'_, Vec<OrderRow>> {
        self.ask(|kept| {
            let newest = kept.orders.iter().rev().filter(|row| of.contain(row));
            let newest = newest.filter(|row| before.is_none_or(|before| row.position < before));
            page(newest.cloned(), limit)
        })
    }

    fn order_open(&self, site: SiteName, after: u64, limit: u32) -> Answer<'_, Vec<OrderRow>> {
        self.ask(|kept| {
            let open = kept.orders.iter().filter(|row| row.closed_at.is_none());
            let open = open.filter(|row| row.site == site && row.position > after);
            page(open.cloned(), limit)
        })
    }

    fn order_past(&self, until: Timestamp, limit: u32) -> Answer<'_, Vec<OrderId>> {
        self.ask(|kept| {
            let mut past: Vec<&OrderRow> = kept
                .orders
                .iter()
                .filter(|row| row.closed_at.is_some() && row.until <= until)
                .filter(|row| kept.receipts.iter().all(|receipt| receipt.order != row.order))
                .collect();
            past.sort_by_key(|row| (row.until, row.position));
            page(past.into_iter().map(|row| row.order), limit)
        })
    }

    fn order_unasked(
        &self,
        until: Timestamp,
        after: Option<(Timestamp, u64)>,
        limit: u32,
    ) -> Answer<'_, Vec<OrderRow>> {
        self.ask(|kept| {
            let place = |row: &OrderRow| (row.until, row.position);
            let unasked = kept.orders.iter().filter(|row| row.request.is_none());
            let unasked = unasked.filter(|row| row.until <= until);
            let mut unasked: Vec<_> = unasked.filter(|row| Some(place(row)) > after).collect();
            unasked.sort_by_key(|row| place(row));
            page(unasked.into_iter().cloned(), limit)
        })
    }
}

impl FleetStore for MemoryStore {
    fn site_get(&self, site: SiteName) -> Answer<'_, Option<SiteRow>> {
        self.ask(|kept| kept.sites.get(&site).cloned())
    }

    fn site_list(&self, after: Option<SiteName>, limit: u32) -> Answer<'_, Vec<SiteRow>> {
        self.ask(|kept| {
            let rows = kept.sites.values();
            let rows = rows.filter(|row| after.as_ref().is_none_or(|after| row.site > *after));
            page(rows.cloned(), limit)
        })
    }

    fn token_get(&self, secret: Digest) -> Answer<'_, Option<TokenRow>> {
        self.ask(|kept| kept.tokens.get(&secret).cloned())
    }

    fn entry_get(
        &self,
        site: SiteName,
        stream: Stream,
        key: Bytes,
    ) -> Answer<'_, Option<EntryRow>> {
        self.ask(|kept| {
            let place = kept.entry_places.get(&(site, stream, key));
            place.map(|place| kept.entries[*place].clone())
        })
    }

    fn entry_list(&self, after: u64, limit: u32) -> Answer<'_, Vec<EntryRow>> {
        self.ask(|kept| {
            let from = kept.entries.partition_point(|row| row.position <= after);
            page(kept.entries[from..].iter().cloned(), limit)
        })
    }

    fn entry_beside(&self, site: SiteName, after: u64, limit: u32) -> Answer<'_, Vec<EntryRow>> {
        self.ask(|kept| {
            let of_site = kept.entries_beside.iter().filter(|row| row.site == site);
            page(of_site.filter(|row| row.position > after).cloned(), limit)
        })
    }
}
