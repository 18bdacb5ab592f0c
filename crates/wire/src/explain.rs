//! Why: of an order, as its hub knows it, and of a run, as its site does.

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::run::{By, ParentView};
use crate::{OrderView, PlacementSites, RunView, SiteState};

/// Why a hub has given an order, and what it knows of it. `GET /api/v1/orders/{order}/explain`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderExplained {
    pub order: OrderView,
    /// Who asked for it, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// Bytes of the order, as it goes to the site.
    pub bytes: u64,
    /// How the site is now, and since when.
    pub site_state: SiteState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_since: Option<String>,
    /// What it was given for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestView>,
    /// What the site has sent of it: its receipt, and how the run has ended; at most the newest 20 ends.
    pub left: Vec<LeftView>,
    /// The orders that were given for the same, this one too, by site; at most 100.
    pub orders: Vec<OrderView>,
}

/// What somebody has asked the sites of a hub for, and which of them were meant at that time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestView {
    pub request: String,
    pub at: String,
    pub by: By,
    pub namespace: String,
    pub workflow: String,
    /// Of many names, the first ten.
    pub sites: PlacementSites,
    /// How many sites have got an order.
    pub ordered: u32,
    /// Those that have not, reason by reason. Where sites were named, there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOutView>,
}

/// Sites that were left out for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeftOutView {
    pub why: LeftOut,
    /// The tag that they do not have, or have with another value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    pub count: u32,
    /// The first ten by name.
    pub first: Vec<LeftOutSite>,
}

/// Why a site was not meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LeftOut {
    TagMissing,
    TagDiffers,
    Revoked,
    NotJoined,
    Cordoned,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeftOutSite {
    pub site: String,
    /// What it has in the place of the value that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// An entry that has left a site about a run, or waits there for its hub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeftView {
    /// `outcome` or `receipt`
    pub stream: String,
    /// At the site: its place in the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// At the site when it was written, at the hub when it came.
    pub at: String,
    /// As they stand in the entry.
    pub bytes: u64,
    /// At the site: whether the hub has it durably; nothing where there is no hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<bool>,
    /// All that is in it.
    pub fields: Vec<LeftField>,
}

/// One field of an entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeftField {
    pub name: String,
    pub value: Value,
    /// With its name and the colon between.
    pub bytes: u64,
}

/// Why a run is here, where it waits and what has left the site about it.
/// `GET /api/v1/namespaces/{namespace}/runs/{run}/explain`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunExplained {
    pub run: RunView,
    pub started: StartedView,
    /// What it waits for; nothing where it has ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<WaitView>,
    /// What was written down for the hub about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<LeftView>,
}

/// Who started a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartedView {
    pub how: StartedHow,
    pub by: By,
    /// The hub's order, as long as it is kept here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// When it came, and by when it was to be judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_until: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ParentView>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StartedHow {
    /// By an order of the hub.
    Order,
    /// Over the API, with a key that has a name.
    Key,
    /// Over the API, by whoever may read the site's folder.
    Folder,
    /// By the workflow's schedule, a time or an event.
    Schedule,
    /// By a task of another run.
    Run,
}

impl StartedHow {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Key => "key",
            Self::Folder => "folder",
            Self::Schedule => "schedule",
            Self::Run => "run",
        }
    }
}

/// One thing that a run waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitView {
    pub what: WaitsFor,
    /// The task that waits, and its JSON pointer in the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Which turn, why it stands still, or what is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WaitsFor {
    /// Its turn in the queue.
    Turn,
    /// A person who has it go on.
    Person,
    Timer,
    Event,
    /// An answer to what a task has asked.
    Effect,
}

impl WaitsFor {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Turn => "turn",
            Self::Person => "person",
            Self::Timer => "timer",
            Self::Event => "event",
            Self::Effect => "effect",
        }
    }
}

impl LeftOut {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TagMissing => "tag-missing",
            Self::TagDiffers => "tag-differs",
            Self::Revoked => "revoked",
            Self::NotJoined => "not-joined",
            Self::Cordoned => "cordoned",
        }
    }
}

impl LeftField {
    /// The fields of an entry, in its order. None of one that is no object.
    #[must_use]
    pub fn all_of(entry: &[u8]) -> Vec<Self> {
        struct Fields(Vec<LeftField>);
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Fields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, raw)) = map.next_entry::<String, Box<RawValue>>()? {
                    // Two quotes and a colon.
                    let bytes = (name.len() + 3 + raw.get().len()) as u64;
                    let value = serde_json::from_str(raw.get()).unwrap_or_default();
                    fields.push(LeftField { name, value, bytes });
                }
                Ok(Fields(fields))
            }
        }
        impl<'de> Deserialize<'de> for Fields {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_map(Reader)
            }
        }
        serde_json::from_slice(entry).map_or_else(|_| Vec::new(), |Fields(fields)| fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: leave a field out, sort them, or count the bytes of a value alone.
    #[test]
    fn an_entry_is_shown_field_by_field_with_its_bytes() {
        let entry = br#"{"type":"isonomy.x","v":1,"counts":{"tasks":2}}"#;
        let fields = LeftField::all_of(entry);
        let told: Vec<_> = fields.iter().map(|it| (it.name.as_str(), it.bytes)).collect();
        assert_eq!(told, [("type", 18), ("v", 5), ("counts", 20)]);
        // With the braces, and a comma between two.
        let total: u64 = fields.iter().map(|it| it.bytes + 1).sum();
        assert_eq!(total + 1, entry.len() as u64);
        assert_eq!(fields[2].value, serde_json::json!({"tasks": 2}));
        assert_eq!(LeftField::all_of(b"[1]"), []);
    }
}
