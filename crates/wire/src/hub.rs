//! The hub itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /api/v1/health`, at a hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HubHealth {
    /// `ok`
    pub status: String,
    /// This life of the store.
    pub incarnation: String,
    /// What sites trust: the name of the fleet.
    pub domain: String,
    /// Sites that hold a line now.
    pub sites_online: u64,
    /// It was brought back from a backup, and waits for its sites: `isonomy hub recovery show`.
    #[serde(default)]
    pub recovering: bool,
    pub now: String,
}

/// `GET /api/v1/version`, at a hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HubVersion {
    /// `isonomy hub`
    pub name: String,
    pub version: String,
}
