//! Sources of data: as their site shows them, and as a hub knows of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A dataset of a site. `GET /api/v1/namespaces/{namespace}/datasets`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatasetView {
    pub dataset: String,
    /// `csv`, `jsonl`, `json` or `parquet`.
    pub format: String,
    /// Classes of data.
    pub labels: Vec<String>,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Whose runs may read it, as far as the caller may look: `*` is every namespace.
    pub namespaces: Vec<String>,
    pub state: DatasetState,
    /// Why it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When it was changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Whether a hub is told its name, labels and age.
    pub is_told: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DatasetState {
    There,
    /// It is not there, or cannot be read.
    Missing,
    /// Behind an address, which is asked only when somebody reads it.
    Remote,
}

impl DatasetState {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::There => "there",
            Self::Missing => "missing",
            Self::Remote => "remote",
        }
    }
}

/// A dataset of a site, as far as its hub knows: all that a site tells of it. `GET /api/v1/datasets`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteDataset {
    pub site: String,
    pub dataset: String,
    pub labels: Vec<String>,
    /// When it was changed last, by the site's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<String>,
    /// Since when the hub knows of it.
    pub known_since: String,
    /// When the site was last heard, where it is away: all of this is as old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_at: Option<String>,
}
