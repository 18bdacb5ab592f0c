//! The site itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
