//! The site itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::fleet::SiteDesired;

/// `GET /api/v1/health`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// `ok`
    pub status: String,
    /// This life of the store.
    pub incarnation: String,
    pub runs_in_memory: u64,
    pub now: String,
}

/// How the site is, with its hub or without. `GET /api/v1/site`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteStatus {
    /// Its name: as the hub says, where it has joined one.
    pub site: String,
    /// This life of the store.
    pub incarnation: String,
    pub now: String,
    /// Absent where the site has joined no hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<HubLine>,
}

/// The line from a site to its hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HubLine {
    /// The life of the site as its hub knows it: it begins with a joining, and with a restore.
    pub incarnation: String,
    /// Where the hub is looked for.
    pub addresses: Vec<String>,
    /// `up` or `down`.
    pub state: String,
    pub since: String,
    /// Why it is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Entries that the hub has not confirmed, by stream. They wait as long as it takes.
    pub waiting: BTreeMap<String, u64>,
    /// How far the site is with what the hub wants to be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<SiteDesired>,
}

/// What became of the line of a site that has left its fleet. `POST /api/v1/site/leave`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteLeft {
    /// The line was up, and the hub was told.
    pub hub_told: bool,
    /// Entries that the hub had not confirmed, by stream: it does not get them any more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unsent: BTreeMap<String, u64>,
}

/// Ends that the site is a hub's. `POST /api/v1/site/leave`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteLeave {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What has left the site on a day. `GET /api/v1/site/left`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DayLeft {
    /// In UTC.
    pub day: String,
    pub items: Vec<LeftTo>,
}

/// What has left to one place by one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeftTo {
    /// Scheme, host and port; or the hub, with where it was.
    pub to: String,
    /// A rule of `egress` in `site.yaml`; `link/…` is a kind of frame to the hub, each a closed list.
    pub rule: String,
    pub times: u64,
    /// Of the requests with their heads, or of the frames, before encryption.
    pub bytes: u64,
}

/// `GET /api/v1/version`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    pub name: String,
    pub version: String,
    /// Versions of the workflow language that are understood.
    pub dsl: Vec<String>,
    /// The number of the engine's semantics.
    pub semantics: u32,
}
