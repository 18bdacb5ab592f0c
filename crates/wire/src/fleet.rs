//! The fleet, as its hub knows it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::RunStart;
use crate::dataset::SiteDataset;
use crate::exchange::SiteCarried;

/// How a site is, for its hub. A site that is not heard is never called ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SiteState {
    /// There is a token, and nobody has come with it.
    Invited,
    /// It holds a line.
    Online,
    /// It holds none.
    Silent,
    /// Somebody may be a copy of it; nothing is taken until a person decides.
    Quarantined,
    Revoked,
    /// A machine has a certificate of this hub, which does not know it: it joined in a life that is lost.
    ToBeAdopted,
    /// Its owner has ended it.
    Left,
}

impl SiteState {
    pub const ALL: [Self; 7] = [
        Self::Invited,
        Self::Online,
        Self::Silent,
        Self::Quarantined,
        Self::Revoked,
        Self::ToBeAdopted,
        Self::Left,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invited => "invited",
            Self::Online => "online",
            Self::Silent => "silent",
            Self::Quarantined => "quarantined",
            Self::Revoked => "revoked",
            Self::ToBeAdopted => "to be adopted",
            Self::Left => "left",
        }
    }
}

/// A site of the fleet. `GET /api/v1/sites/{site}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteView {
    pub site: String,
    pub state: SiteState,
    /// Since when it is so, as far as the hub knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined_at: Option<String>,
    /// Where nobody has joined yet: until when the newest token for it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invited_until: Option<String>,
    /// When anything was last heard of it. All that follows is as old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_at: Option<String>,
    /// Since when it is left out where sites are meant by tags, or all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cordoned_at: Option<String>,
    /// The life of the site's store that speaks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// Entries that the hub has, by stream.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub taken: BTreeMap<String, u64>,
    /// Entries that are gone for good, by stream: the site's store was lost before it could send them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lost: BTreeMap<String, u64>,
    /// Entries that this hub is too old to read, by stream. They are kept as they came.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unread: BTreeMap<String, u64>,
    /// Entries that say otherwise what another one of the site has said before, such as of a run that was
    /// done again by a site that was brought back. What came first counts; at most a hundred are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contradicted: Option<u64>,
    /// Whether what should be there is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<SiteDesired>,
    /// What was last taken from a file of it. Apart from `heard_at`: nobody was heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<SiteCarried>,
    /// What it has declared and told of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub datasets: Vec<SiteDataset>,
    /// What is wrong with it, and the way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// The last one who came in its name and was turned away, since the hub was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turned_away: Option<SiteTurnedAway>,
}

/// Somebody came in a site's name, by its certificate or a token for it, and broke the rules or had no
/// right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteTurnedAway {
    pub at: String,
    /// The address that it came from.
    pub from: String,
    pub why: String,
    /// How many there were since the hub was started.
    pub times: u64,
}

/// How far a site is with what the hub wants to be there, as it said itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteDesired {
    pub state: DesiredState,
    /// The edition that says so.
    pub edition: u64,
    /// Workflows that should be there.
    pub workflows: u32,
    /// Of those, how many are not there yet.
    pub waiting: u32,
    /// Workflows that cannot be there, each with why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<DesiredFailed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DesiredState {
    /// All of it is there.
    Converged,
    /// The site has not said so.
    Converging,
    /// Some of it cannot be there.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DesiredFailed {
    pub namespace: String,
    pub workflow: String,
    /// A word or a few; the site's own log and `isonomy site status` there say more.
    pub code: String,
}

impl DesiredState {
    /// While something is on its way, more may fail.
    #[must_use]
    pub const fn of(waiting: u32, has_failed: bool) -> Self {
        match (waiting, has_failed) {
            (0, false) => Self::Converged,
            (0, true) => Self::Failed,
            _ => Self::Converging,
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::Converging => "converging",
            Self::Failed => "failed",
        }
    }
}

/// Makes a token for a site, and the site where there is none yet. `POST /api/v1/tokens`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenCreate {
    pub site: String,
    /// Marks of the site.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// How long it is good for: from a minute to seven days; an hour by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    /// The site has joined already, and another machine takes its place.
    #[serde(default)]
    pub replace: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where the site finds the hub, as `host:port`; what the hub was started with by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hubs: Vec<String>,
}

/// Changes the marks of a site. `POST /api/v1/sites/{site}/tag`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteTag {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// Keys that go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `POST /api/v1/sites/{site}/cordon`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteCordon {
    /// Whether it is left out from now on.
    pub cordoned: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `POST /api/v1/sites/{site}/revoke`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteRevoke {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Takes the machine that shows a certificate for this site. `POST /api/v1/sites/{site}/adopt`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteAdopt {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A token. It is shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenCreated {
    pub site: String,
    pub until: String,
    pub token: String,
}

impl fmt::Debug for TokenCreated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCreated").field("site", &self.site).finish_non_exhaustive()
    }
}

/// Has sites start runs of a workflow that they have. `POST /api/v1/orders`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[serde(bound(deserialize = "I: Deserialize<'de> + Default"))]
pub struct OrderCreate<I = serde_json::Value> {
    /// The request's id, chosen by the caller, so that asking twice is harmless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// These sites; all of them must be there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<String>,
    /// Sites with all of these marks.
    #[serde(default, rename = "where", skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Every site.
    #[serde(default)]
    pub all: bool,
    pub namespace: String,
    /// `run` is given by the hub, to each site another one.
    pub start: RunStart<I>,
    /// How long a site has to begin: from a minute to 45 days; a day by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
}

/// What became of an order, as far as the hub knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OrderState {
    /// The site has not answered yet.
    Open,
    Taken,
    /// By the site, with a code.
    Refused,
    /// It came too late.
    Expired,
    /// Its time is over or its site was revoked, and nobody knows what became of it.
    Unknown,
}

impl OrderState {
    pub const ALL: [Self; 5] =
        [Self::Open, Self::Taken, Self::Refused, Self::Expired, Self::Unknown];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Taken => "taken",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
        }
    }
}

/// An order to one site. `GET /api/v1/orders/{order}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderView {
    pub order: String,
    /// What it was given for, together with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    pub site: String,
    pub run: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub workflow: String,
    pub state: OrderState,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    pub given_at: String,
    pub until: String,
    /// When the site has judged it, as it says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged_at: Option<String>,
    /// How the run has ended, where the hub has heard of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomeView>,
    /// Whether the site is online now. What is above may be older than what happened there.
    pub is_online: bool,
    /// Since when it is not, as far as the hub knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_since: Option<String>,
    /// Whether nothing more will come of it, unless a person changes it.
    #[serde(default)]
    pub is_over: bool,
}

/// What the hub knows of a run's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeView {
    /// `completed`, `faulted` or `cancelled`.
    pub state: String,
    pub started_at: String,
    pub ended_at: String,
    /// Type of the error, from the standard list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
