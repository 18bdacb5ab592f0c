//! Secrets: setting, listing, deleting. No answer holds a value.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Sets a secret. `PUT /api/v1/namespaces/{namespace}/secrets/{name}`
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretSet<V = serde_json::Value> {
    /// A string, as a rule; an object where several things belong together.
    #[schema(value_type = serde_json::Value)]
    pub value: V,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl<V> fmt::Debug for SecretSet<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretSet").field("reason", &self.reason).finish_non_exhaustive()
    }
}

/// What may be known of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretView {
    pub namespace: String,
    pub secret: String,
    /// `file`, `environment` or `command`.
    pub provider: String,
    /// Those that can still be read, ascending. Only the provider `file` has versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<u64>,
    /// When the newest version was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
}

/// A secret that was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretChanged {
    pub namespace: String,
    pub secret: String,
    pub version: u64,
}
