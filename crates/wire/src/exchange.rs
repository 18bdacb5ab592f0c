//! The exchange by file: what stands before the frames in one, and what came of it. In prose:
//! `docs/spec/exchange.md`.

use std::collections::BTreeMap;

use base::stream::{Head, PerStream};
use base::{DocumentError, IncarnationId, Timestamp, document};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::join::HubSealingSaid;
use crate::link::{Health, Hello};

const UP_TYPE: &str = "isonomy.exchange-up";
const DOWN_TYPE: &str = "isonomy.exchange-down";
const VERSION: u32 = 1;

/// The media type of a file.
pub const FILE_TYPE: &str = "application/x-isonomy-exchange";

/// Whether something waits for the next file: `none` or `more`.
pub const REST_HEADER: &str = "isonomy-rest";

/// The first message of a file from a site; `entries` frames follow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Up {
    /// What it would have said on the line.
    pub hello: Hello,
    /// Each file of this incarnation has a higher one.
    pub number: u64,
    /// By the site's clock, for people.
    pub at: Timestamp,
    pub streams: PerStream<Begins>,
    pub health: Health,
}

/// Where the entries of a file begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begins {
    /// Behind this.
    pub after: Head,
    /// The oldest that the site still holds are behind this position.
    pub base: u64,
}

/// The first message of a file from a hub; `edition`, `document` and `orders` frames follow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Down {
    /// The incarnation of the hub, and those before it, the newest first.
    pub incarnation: IncarnationId,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<IncarnationId>,
    /// Each file of this incarnation for this site has a higher one.
    pub number: u64,
    pub now: Timestamp,
    /// The incarnation of the site that the hub knows; none before its first word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<IncarnationId>,
    /// What the hub has of it.
    pub heads: PerStream<Option<Head>>,
    pub sealing: HubSealingSaid,
}

impl Up {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        document::write(UP_TYPE, VERSION, self)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DocumentError> {
        document::read(bytes, UP_TYPE, VERSION)
    }
}

impl Down {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        document::write(DOWN_TYPE, VERSION, self)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DocumentError> {
        document::read(bytes, DOWN_TYPE, VERSION)
    }
}

/// What a hub has taken from a site's file. `POST /api/v1/exchange`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExchangeUp {
    pub site: String,
    /// When it was written, by the site's clock.
    pub written_at: String,
    /// Entries that are new here, by stream. The others were here already.
    pub taken: BTreeMap<String, u64>,
}

/// What a site has taken from its hub's file. `POST /api/v1/exchange/import`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExchangeDown {
    pub site: String,
    /// When it was written, by the hub's clock.
    pub written_at: String,
    /// The same file, or a later one, was here before: nothing of it is new.
    pub is_old: bool,
    /// Entries that the hub has confirmed by it, by stream.
    pub confirmed: BTreeMap<String, u64>,
    /// The edition that was taken, where it was a newer one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edition: Option<u64>,
    /// Orders that were in it. Those that were here already stay as they are.
    pub orders: u64,
}

/// What was last taken from a site's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteCarried {
    pub at: String,
    /// By the site's clock.
    pub written_at: String,
}
