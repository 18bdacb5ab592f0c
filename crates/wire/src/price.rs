//! What a site has of models of providers, and what they cost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A model of a provider, as the site's catalogue has it. `GET /api/v1/prices/{provider}/{model}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PricedModelView {
    /// `PROVIDER/MODEL`, as a model's definition names it.
    pub name: String,
    pub provider: String,
    pub model: String,
    /// Other names of the same model of this provider.
    pub aliases: Vec<String>,
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens_max: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_tokens_max: Option<u64>,
    pub capabilities: Vec<String>,
    /// The day on which its provider ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retires: Option<String>,
    pub source: PriceSourceView,
    /// By region and in order of time; none, where only the model is known.
    pub prices: Vec<PriceView>,
    /// Which catalogue this is; stands in what is written down of each call.
    pub version: String,
}

/// What it costs in one region, over one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PriceView {
    /// Everywhere, where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    pub currency: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// From here on no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Whether calls are billed by it now.
    pub holds: bool,
    pub source: PriceSourceView,
    pub sheets: Vec<PriceSheetView>,
}

/// One row of a price: for a service, above so many tokens of input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PriceSheetView {
    pub service: String,
    pub above: u64,
    /// `whole`, or `part`: for those tokens of input alone that are above.
    pub span: String,
    /// By column of `prices.csv`, each for as many as there.
    pub rates: BTreeMap<String, String>,
}

/// Where it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PriceSourceView {
    pub url: String,
    /// The list that repeated it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// On which day.
    pub dated: String,
}
