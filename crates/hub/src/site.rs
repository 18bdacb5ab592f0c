//! A site, as people have described it.

use std::collections::BTreeMap;

use base::{DocumentError, SiteName, Timestamp, Unreadable, document};
use identity::Pin;
use serde::{Deserialize, Serialize};

const SITE_TYPE: &str = "isonomy.site";
const SITE_VERSION: u32 = 1;

/// What the hub's store has as a site's `record`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SiteDoc {
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The key that its certificates are over; none before it has joined.
    pub key: Option<Pin>,
    pub joined_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

impl SiteDoc {
    pub fn read(site: &SiteName, bytes: &[u8]) -> Result<Self, Unreadable> {
        let of = |error: DocumentError| error.of(format!("the site {site}"));
        document::read(bytes, SITE_TYPE, SITE_VERSION).map_err(of)
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        document::write(SITE_TYPE, SITE_VERSION, self)
    }
}
