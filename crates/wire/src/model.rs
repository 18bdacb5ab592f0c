//! Models at a site: definitions, routes, budgets, what calls have used, and the calls themselves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::desired::PlacementSites;

/// A model or a route as it is to be. `PUT /api/v1/namespaces/{namespace}/models/{name}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelPut {
    /// As `spec` of the kind `Model`, or `Route`, in `docs/reference/models.md`.
    #[schema(value_type = Object)]
    pub spec: serde_json::Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelView {
    pub namespace: String,
    pub name: String,
    #[schema(value_type = Object)]
    pub spec: serde_json::Value,
    pub updated_at: String,
    pub updated_by: String,
    pub state: ModelState,
    /// Why it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What is in its file, where the site runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<ArtifactView>,
    /// The secret that opens its server, where its namespace has none of that name: calls to it fail until it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent_secret: Option<String>,
}

/// A model's file, as it was when it was loaded. `POST /api/v1/namespaces/{namespace}/artifacts`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactView {
    /// Of its bytes, for `spec.artifact.digest` of a model.
    pub digest: String,
    pub bytes: u64,
    /// What one process of it holds while nobody asks it.
    pub memory_bytes: u64,
    /// Versions of the operators that it is made of.
    pub opsets: BTreeMap<String, i64>,
    pub inputs: Vec<ModelTensor>,
    pub outputs: Vec<ModelTensor>,
    /// Of weights of a model of language, which has no tensors to ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<LanguageView>,
    /// Processes that have it loaded now.
    pub processes: u64,
}

/// What weights of a model of language say of themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LanguageView {
    /// `text` goes on with a text, `vectors` makes a vector of one.
    pub does: String,
    /// `llama`, `qwen2`, `bert`.
    pub architecture: String,
    pub parameters: u64,
    /// Tokens of the question and the answer together.
    pub context_tokens: u64,
    /// How most of its numbers are written: `Q4_K`, `F32`.
    pub quantization: String,
    /// The form of conversations, by its usual name; none where it has none that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Numbers in a vector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector_length: Option<u64>,
}

/// A model's file at an address. `POST /api/v1/namespaces/{namespace}/artifacts/fetch`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArtifactFetch {
    pub url: String,
    /// Of the file that is meant: `sha256:` and 64 hexadecimal digits, or `b3:` and as many.
    pub digest: String,
}

/// As version 2 of the Open Inference Protocol describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelTensor {
    pub name: String,
    pub datatype: String,
    /// An axis of -1 is as long as the caller likes.
    pub shape: Vec<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteView {
    pub namespace: String,
    pub name: String,
    #[schema(value_type = Object)]
    pub spec: serde_json::Value,
    pub updated_at: String,
    pub updated_by: String,
    /// How it stands, where its `limits` say something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<RouteStandingView>,
    /// Models that it names and that are not there: calls go past them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<String>,
}

/// What is counted of a route with limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteStandingView {
    /// Of this minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_left: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_left: Option<u64>,
    /// Calls under way now.
    pub under_way: u32,
    /// Calls that had no room, since the site began.
    pub refused: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ModelState {
    Ready,
    /// Its upstream has failed, or has asked to be left alone for a while.
    Resting,
    /// No rule of the site lets calls out to it.
    Denied,
}

/// A cap. `PUT /api/v1/budgets`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BudgetSet {
    /// `namespace/NAME`, `key/NAME` or `workflow/NAMESPACE/NAME`.
    pub holder: String,
    /// Such as `50EUR/month`.
    pub budget: String,
    /// In percent, 1 to 10 of them: who listens is told when they are reached. `[50, 80, 100]`, where there
    /// are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarms: Option<Vec<u8>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetView {
    pub holder: String,
    pub budget: String,
    /// Calls that have ended.
    pub spent: String,
    /// The most that calls under way may cost.
    pub held: String,
    pub left: String,
    /// Of `spent` and `held`.
    pub percent: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// What will be spent at the end, if it goes on as since the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<String>,
    /// When it will be spent, if it goes on so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exhausted_at: Option<String>,
    /// Shares in percent that are told when they are reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BudgetList {
    pub items: Vec<BudgetView>,
    /// What is leased to this site of its hub's budgets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leases: Vec<LeaseView>,
}

/// A cap over several sites. `PUT /api/v1/budgets` of a hub
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FleetBudgetSet {
    /// `namespace/NAME` or `workflow/NAMESPACE/NAME`.
    pub holder: String,
    /// Such as `50EUR/month`, for all sites together.
    pub budget: String,
    pub sites: PlacementSites,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `GET /api/v1/budgets` of a hub
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FleetBudgetList {
    pub items: Vec<FleetBudgetView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FleetBudgetView {
    pub holder: String,
    pub budget: String,
    pub sites: PlacementSites,
    /// What sites have said that they have spent.
    pub spent: String,
    /// Leased to sites and not said to be spent.
    pub leased: String,
    /// Leased to nobody.
    pub left: String,
    /// Of `spent` and `leased`.
    pub percent: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// What sites will have spent at the end, if they go on as since the window began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<String>,
    /// When nothing is left, if that is before the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exhausted_at: Option<String>,
    /// Nothing is leased of this window: the hub was set back, and nobody has answered for what it has lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_waiting: bool,
    pub leases: Vec<FleetLeaseView>,
}

/// What one site holds of a fleet budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FleetLeaseView {
    pub site: String,
    pub spent: String,
    /// What it may still spend, as far as the hub knows.
    pub leased: String,
    /// When the hub heard of it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_at: Option<String>,
    /// It asks for more than there is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_waiting: bool,
    /// Nobody will ever say what became of it: it counts as spent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_gone: bool,
}

/// What a site holds of its hub's budgets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeaseView {
    pub holder: String,
    /// Over all its sites.
    pub budget: String,
    /// To this site, in this window.
    pub leased: String,
    pub spent: String,
    /// The most that calls under way may cost.
    pub held: String,
    pub left: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The hub was asked for more, and has none now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_short: bool,
}

/// What calls have used and cost. `GET /api/v1/usage`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageList {
    pub items: Vec<UsageRow>,
    /// All of them as one. Amounts are rounded once, so that it may differ from what the rows sum up to.
    pub total: UsageRow,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageRow {
    /// What was asked to be told apart.
    pub group: BTreeMap<String, String>,
    pub calls: u64,
    pub failed: u64,
    pub degraded: u64,
    pub input_tokens: u64,
    pub cached_tokens: u64,
    pub output_tokens: u64,
    pub reasoning_tokens: u64,
    pub images: u64,
    /// In each currency, to the micro-unit.
    pub cost: Vec<String>,
    /// Of which booked at the most that it may have been.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at_bound: Vec<String>,
    /// Answers of models without a price.
    pub unpriced: u64,
}

/// A call, as it was written down: `docs/spec/call.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallView {
    #[schema(value_type = Object)]
    pub admitted: serde_json::Value,
    /// Not there while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub settled: Option<serde_json::Value>,
    /// It was booked at its bound, and somebody has known later what it has cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub corrected: Option<serde_json::Value>,
}

/// What a call has cost that was booked at its bound: `cost`, or that it was `free`.
/// `POST /api/v1/namespaces/{namespace}/calls/{call}/settle`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CallSettle {
    /// Such as `0.12EUR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub free: bool,
    /// How one knows.
    pub reason: String,
}
