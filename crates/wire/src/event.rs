//! Events as they cross the API: CloudEvents, with where they stand at this site.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// An event, and where it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    /// Where a list or a stream goes on behind it: the event's position at the site, or, among the
    /// events of one run, record and place in it.
    pub cursor: String,
    /// When it came.
    pub at: String,
    /// The run that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The CloudEvent in its JSON form.
    pub event: Value,
}

/// Events that were taken in, durably. One that was there already is among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventsAccepted {
    pub events: Vec<EventAccepted>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventAccepted {
    pub id: String,
    pub source: String,
    #[serde(rename = "type")]
    pub kind: String,
}
