//! The sites of a hub, and what they have sent.

use base::stream::{PerStream, Stream};
use base::{Digest, SiteName, Timestamp};
use bytes::Bytes;

use crate::Answer;

/// Entries that are kept beside others of the same key, for each site: enough to see what happens.
pub const ENTRIES_BESIDE_MAX: u32 = 100;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteRow {
    pub site: SiteName,
    /// What people have said of it.
    pub record: Bytes,
    /// What it has said itself, and who speaks for it.
    pub seat: Option<Bytes>,
    /// How many of its entries are there. Given by the store.
    pub taken: PerStream<u64>,
}

/// One entry of a stream, as it came. It is taken once by site, stream and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRow {
    /// In the order in which entries came, of all sites; given by the store, ignored in a put.
    pub position: u64,
    pub site: SiteName,
    pub stream: Stream,
    /// What it is, in the hub's words.
    pub key: Bytes,
    pub at: Timestamp,
    pub entry: Bytes,
}

/// The right to become a site, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Digest of what its holder knows.
    pub secret: Digest,
    pub site: SiteName,
    pub until: Timestamp,
    pub record: Bytes,
    /// Who has used it; ignored in a put.
    pub used_by: Option<Digest>,
}

pub trait FleetStore {
    fn site_get(&self, site: SiteName) -> Answer<'_, Option<SiteRow>>;
    /// By name, after `after`.
    fn site_list(&self, after: Option<SiteName>, limit: u32) -> Answer<'_, Vec<SiteRow>>;

    fn token_get(&self, secret: Digest) -> Answer<'_, Option<TokenRow>>;

    fn entry_get(&self, site: SiteName, stream: Stream, key: Bytes)
    -> Answer<'_, Option<EntryRow>>;
    /// Of all sites, by position, after `after`.
    fn entry_list(&self, after: u64, limit: u32) -> Answer<'_, Vec<EntryRow>>;
    /// Those of a site that could not be taken since another one was there under their key. By position,
    /// after `after`.
    fn entry_beside(&self, site: SiteName, after: u64, limit: u32) -> Answer<'_, Vec<EntryRow>>;
}
