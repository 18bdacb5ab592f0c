//! A site, as people have described it.

use std::collections::BTreeMap;

use base::{SiteName, Timestamp};
use identity::Pin;
use serde::{Deserialize, Serialize};

const SITE_TYPE: &str = "isonomy.site";
const SITE_VERSION: u32 = 1;

/// What the hub's store has as a site's `record`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteDoc {
    #[serde(rename = "type")]
    kind: String,
    v: u32,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The key that its certificates are over; none before it has joined.
    pub key: Option<Pin>,
    pub joined_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SiteUnreadable {
    #[error("what is kept of the site {0} cannot be read: restore a backup")]
    Syntax(SiteName),
    #[error(
        "what is kept of the site {site} was written by a newer version ({found}): use that program or a later one"
    )]
    Newer { site: SiteName, found: u32 },
}

impl Default for SiteDoc {
    fn default() -> Self {
        Self {
            kind: SITE_TYPE.to_owned(),
            v: SITE_VERSION,
            tags: BTreeMap::new(),
            key: None,
            joined_at: None,
            revoked_at: None,
        }
    }
}

impl SiteDoc {
    pub fn read(site: &SiteName, bytes: &[u8]) -> Result<Self, SiteUnreadable> {
        let syntax = || SiteUnreadable::Syntax(site.clone());
        let doc: Self = serde_json::from_slice(bytes).map_err(|_| syntax())?;
        if doc.v > SITE_VERSION {
            return Err(SiteUnreadable::Newer { site: site.clone(), found: doc.v });
        }
        if doc.kind == SITE_TYPE { Ok(doc) } else { Err(syntax()) }
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("our own types have JSON text")
    }
}
