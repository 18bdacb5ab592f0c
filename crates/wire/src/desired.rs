//! Desired state: what a hub wants to be at its sites.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::Finding;
use crate::workflow::{WorkflowChange, WorkflowDocument};

/// Applies workflows and placements, all or none. `POST /api/v1/apply`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DesiredApply {
    /// 1 to 1,000 documents; each says itself what it is.
    pub documents: Vec<WorkflowDocument>,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What has changed, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DesiredApplied {
    /// In the order of the documents.
    pub items: Vec<DesiredChange>,
    /// Sites for which something changes, by name.
    pub sites: Vec<SitePlan>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DesiredKind {
    Workflow,
    Placement,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DesiredChange {
    pub kind: DesiredKind,
    pub namespace: String,
    pub name: String,
    pub change: WorkflowChange,
    /// Of a workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Sites that have it, or will.
    pub sites: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Finding>,
}

/// What changes at one site. Workflows are written `namespace/name`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SitePlan {
    pub site: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gets: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loses: Vec<String>,
}

/// Which sites get which workflows of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlacementView {
    pub namespace: String,
    pub name: String,
    pub workflows: Vec<String>,
    pub sites: PlacementSites,
    pub updated_at: String,
}

/// One of the three.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlacementSites {
    /// Every site of the fleet, also those that join later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// Those with all of these tags.
    #[serde(default, rename = "where", skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Those of these names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}
