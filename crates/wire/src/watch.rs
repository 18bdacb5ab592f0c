//! Watches, and what share of calls a model at the site could have answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::ModelState;

/// `GET /api/v1/namespaces/{namespace}/watches/{name}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WatchView {
    pub namespace: String,
    pub name: String,
    /// As `spec` of the kind `Watch` in `docs/reference/watching.md`.
    #[schema(value_type = Object)]
    pub spec: serde_json::Value,
    /// Below the site's own address: what programs are given in place of `spec.url`.
    pub path: String,
    pub updated_at: String,
    pub updated_by: String,
    pub state: ModelState,
    /// Why it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Requests since the site's start that have passed and are not written down: lists of models, files, images.
    pub others: u64,
}

/// What share of calls could have been answered at the site. `GET /api/v1/calls/local-share`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalShare {
    /// Of the first call that was looked at, or what was asked for.
    pub since: String,
    /// False where there are more calls since then than one question looks at: these are the newest.
    pub is_whole: bool,
    /// Models at the site that calls were judged by, with their namespaces.
    pub models: Vec<String>,
    pub items: Vec<LocalShareRow>,
    /// All of them as one.
    pub total: LocalShareRow,
}

/// Calls that went elsewhere and were answered, but where another word says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalShareRow {
    /// What was asked to be told apart.
    pub group: BTreeMap<String, String>,
    pub calls: u64,
    /// Of question and answer.
    pub tokens: u64,
    /// In each currency, to the micro-unit.
    pub cost: Vec<String>,
    /// Of these, what a model at the site could have answered.
    pub local: LocalPart,
    /// By reason, how many could not be. A call may have several.
    pub why: BTreeMap<String, u64>,
    /// By class of personal data, how often it was in requests that were watched.
    pub found: BTreeMap<String, u64>,
    /// Calls whose use is estimated.
    pub estimated: u64,
    /// Calls without a price.
    pub unpriced: u64,
    /// Calls that were not looked at, in whole or in part.
    pub unseen: u64,
    /// Calls without an answer, which are in no other number.
    pub failed: u64,
    /// Calls that a model at the site has answered, or no model at all, which are in no other number.
    pub at_site: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalPart {
    pub calls: u64,
    pub tokens: u64,
    /// What they have cost elsewhere.
    pub cost: Vec<String>,
    /// What they would have cost by the prices of the models at the site; those without one are free.
    pub cost_here: Vec<String>,
    /// Of all calls, whole percents.
    pub percent_of_calls: u32,
    pub percent_of_tokens: u32,
    /// Missing where there are several currencies, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent_of_cost: Option<u32>,
}
