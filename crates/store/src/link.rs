//! The line between a site and its hub, as either end keeps it (ADR 12).
//!
//! What goes up are streams: outcomes, which come with their runs, and receipts. The store numbers
//! entries without gaps and keeps what the hub may still ask for; chains are the business of `link`.

use base::stream::{Head, Stream};
use base::{OrderId, RequestId, SiteName, Timestamp};
use bytes::Bytes;

use crate::Answer;

/// Where a stream stands. Without one, nobody waits for its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxRow {
    pub stream: Stream,
    /// Behind the newest entry that the hub will not be given again.
    pub base: Head,
    /// What the hub has. Entries beyond it are never deleted.
    pub mark: Head,
}

/// What became of an order: the entry that the hub gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptRow {
    /// Given by the store, ignored in a put.
    pub position: u64,
    pub order: OrderId,
    pub at: Timestamp,
    pub receipt: Bytes,
}

/// At the hub an order is open until its receipt is there, at its site until it is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRow {
    /// Given by the store, ignored in a put.
    pub position: u64,
    pub order: OrderId,
    pub site: SiteName,
    /// When it was given, or when it came.
    pub at: Timestamp,
    /// It is to be judged by then.
    pub until: Timestamp,
    /// At the hub: what it was given for, with others.
    pub request: Option<RequestId>,
    pub body: Bytes,
    /// Ignored in a put.
    pub closed_at: Option<Timestamp>,
}

/// Which orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrdersOf {
    All,
    Site(SiteName),
    Request(RequestId),
}

impl OrdersOf {
    #[must_use]
    pub fn contain(&self, row: &OrderRow) -> bool {
        match self {
            Self::All => true,
            Self::Site(site) => row.site == *site,
            Self::Request(request) => row.request == Some(*request),
        }
    }
}

pub trait LinkStore {
    /// What the site has put down of its hub.
    fn link_get(&self) -> Answer<'_, Option<Bytes>>;
    fn outbox_get(&self, stream: Stream) -> Answer<'_, Option<OutboxRow>>;
    /// The newest position of a stream, also where its entry is gone; 0 where there never was one.
    fn outbox_last(&self, stream: Stream) -> Answer<'_, u64>;
    /// By position, after `after`.
    fn receipt_list(&self, after: u64, limit: u32) -> Answer<'_, Vec<ReceiptRow>>;

    fn receipt_get(&self, order: OrderId) -> Answer<'_, Option<ReceiptRow>>;

    fn order_get(&self, order: OrderId) -> Answer<'_, Option<OrderRow>>;
    /// Newest first, before `before`; all of them are before nothing.
    fn order_list(
        &self,
        of: OrdersOf,
        before: Option<u64>,
        limit: u32,
    ) -> Answer<'_, Vec<OrderRow>>;
    /// Those of a site that are open, by position, after `after`.
    fn order_open(&self, site: SiteName, after: u64, limit: u32) -> Answer<'_, Vec<OrderRow>>;
    /// Those whose time is over by `until`, that are closed and of which no receipt is kept here.
    fn order_past(&self, until: Timestamp, limit: u32) -> Answer<'_, Vec<OrderId>>;
    /// Those of no request whose time is over by `until`, by that time and position, after `after`.
    fn order_unasked(
        &self,
        until: Timestamp,
        after: Option<(Timestamp, u64)>,
        limit: u32,
    ) -> Answer<'_, Vec<OrderRow>>;
}
