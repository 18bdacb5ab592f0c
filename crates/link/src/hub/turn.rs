//! What goes into a seat, and what comes out.

use base::{IncarnationId, Timestamp};
use bytes::Bytes;
use wire::exchange::Up;
use wire::link::{
    Document, Edition, Entries, Head, Health, HubFrame, Order, SiteFrame, Stream, Want,
};

use super::carry::{Carried, NotCarried};
use super::kept::{Present, Suspicion};

/// One connection, as its driver numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Connection(pub u64);

#[derive(Debug)]
pub enum Input {
    Frame {
        connection: Connection,
        frame: SiteFrame,
    },
    Closed(Connection),
    /// It is durable. Answers come in the order of what was asked for.
    Written(Write),
    /// What was asked for by [`Effect::ReadOrders`]: all of the site that have no receipt.
    Orders(Vec<Order>),
    /// There is a new order.
    Ordered,
    /// Another edition says something else of this site.
    Published,
    /// What was asked for by [`Effect::ReadEdition`].
    Edition(Option<Box<Edition>>),
    /// What was asked for by [`Effect::ReadPiece`]; nothing where the site is not to have it.
    Piece(Option<Document>),
    /// Somebody has brought a file of the site. The one before it is not waited for any more.
    Carried(Box<Up>),
    CarriedEntries(Entries),
    CarriedEnd,
}

#[derive(Debug)]
pub enum Effect {
    Send(Connection, HubFrame),
    Close(Connection),
    Write(Write),
    ReadOrders,
    /// What this site is told.
    ReadEdition,
    ReadPiece(Want),
    /// The file is at its end and durable, or was refused.
    Carried(Result<Carried, NotCarried>),
}

#[derive(Debug, Clone)]
pub enum Write {
    /// Who is the site from now on; those that are no more.
    Present {
        present: Present,
        retired: Vec<IncarnationId>,
    },
    Confirm {
        session: u64,
    },
    Begin {
        stream: Stream,
        head: Head,
        /// Positions that are gone for good.
        lost: u64,
    },
    /// Entries behind the head that was there before; none where all were there already.
    Take {
        stream: Stream,
        entries: Vec<Bytes>,
        head: Head,
    },
    Quarantine(Suspicion),
    Health(Health),
    /// In this life of the hub the site has handed over all that it held when it came.
    Settled(IncarnationId),
    /// The same, by a file: that nobody was heard.
    Carried(Box<Self>),
    /// A file does not fit what is known. Nobody is sent away.
    Doubt(Suspicion),
    /// A file is at its end. Its health is nothing where somebody has said it since.
    CarriedEnd {
        number: u64,
        at: Timestamp,
        health: Option<Health>,
    },
}

/// When, and a number that nobody can guess.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub now: Timestamp,
    pub nonce: u64,
}
