//! A hub that was brought back from a backup.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How far it is. `GET /api/v1/recovery`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryView {
    /// While it is, no order is given, no token made, and no edition published.
    pub on: bool,
    /// The life of the hub's store.
    pub incarnation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// How many sites have not handed over what they held when they came.
    pub waiting: u64,
    /// The first hundred of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<String>,
    /// Sites that nobody waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waived: Vec<String>,
    /// The highest edition of this hub that sites have and it has lost: a person applies again what was
    /// applied since the backup, and ends the recovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_edition: Option<u64>,
    /// Of budgets over sites nothing is leased in windows that began before: who joined, was revoked or was given up
    /// since the backup may hold what nobody tells. A person ends that with the recovery, also when it is over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leases_wait: bool,
}

/// Nobody waits for these. `POST /api/v1/recovery/waive`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecoveryWaive {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<String>,
    /// All that are waited for now.
    #[serde(default)]
    pub all: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Ends it. `POST /api/v1/recovery/end`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecoveryEnd {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
