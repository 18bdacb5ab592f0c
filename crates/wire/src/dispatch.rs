//! What sites say to each other through the hub, to have each other work. In prose: `docs/spec/link.md`;
//! why it is so: ADR 17.
//!
//! The hub reads who asks whom for which workflow, when, and how it ended. What is sealed it hands on.

use std::collections::BTreeMap;

use base::{
    DatasetName, DispatchId, Namespace, OrderId, RunId, SiteName, Timestamp, WorkflowName,
    document, tags_wrong,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::order::is_code;

const ENTRY_TYPE: &str = "isonomy.dispatch";
const ENTRY_VERSION: u32 = 1;

/// Sites of one dispatch. Each is an order and an answer or two, and a row where it is waited for.
pub const SITES_MAX: usize = 1_000;

/// What one site gives to another, as JSON text: sealed, it has room in an order. Names of data go over the
/// hub, and not the data.
pub const SEALED_BYTES_MAX: usize = 16 * 1024;

/// The tag by which an admin lets a site ask others, at the hub.
pub const COORDINATOR_TAG: (&str, &str) = ("dispatch", "coordinator");

/// What was sealed, as `identity` writes it. Whoever carries it reads nothing.
pub type Sealed = Value;

/// An entry that goes up beside receipts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub dispatch: DispatchId,
    pub say: Say,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Say {
    /// Which sites are meant, and how does one seal to them?
    Find { namespace: Namespace, workflow: WorkflowName, sites: Meant },
    /// Have this site run the workflow.
    Ask {
        to: SiteName,
        namespace: Namespace,
        workflow: WorkflowName,
        /// The run is to begin by then, by the hub's time.
        until: Timestamp,
        sealed: Sealed,
    },
    /// What became of what another site has asked for.
    Answer { of: SiteName, answer: Answer },
}

/// Which sites are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Meant {
    Names(Vec<SiteName>),
    /// Those that have all of these tags.
    Where(BTreeMap<String, String>),
    /// Those that have declared it.
    Dataset(DatasetName),
    All,
}

/// What became of a run at another site: a closed struct, but for what its workflow gives out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answer {
    pub state: AnswerState,
    /// Lower-case words and hyphens, never free text: why it was refused, or the kind of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// To whoever has asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Sealed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerState {
    /// The run has begun.
    Taken,
    Completed,
    Faulted,
    Cancelled,
    Refused,
    /// Its time was over before it began.
    Expired,
}

/// How one seals to a site, with what makes it believed below the root of the fleet (ADR 13). All base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteKey {
    pub key: String,
    pub signature: String,
    pub certificate: String,
}

/// A site that is meant, and its key; or why it cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    pub site: SiteName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<SiteKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// Answers [`Say::Find`]: one of so many pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sites {
    pub dispatch: DispatchId,
    /// From 0.
    pub page: u32,
    pub pages: u32,
    /// From whoever has signed the certificates to the root; of all sites of the page.
    pub chain: Vec<String>,
    pub sites: Vec<Found>,
    /// Members that were not meant, and those that were and are cordoned.
    pub unmatched: u32,
    pub cordoned: u32,
    /// Why nobody is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A run that another site asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dispatched {
    pub dispatch: DispatchId,
    pub from: SiteName,
    /// What is given back is sealed to this.
    pub key: SiteKey,
    pub chain: Vec<String>,
    pub namespace: Namespace,
    pub workflow: WorkflowName,
    pub sealed: Sealed,
}

/// What a site has answered to this one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct News {
    pub dispatch: DispatchId,
    pub site: SiteName,
    pub answer: Answer,
}

/// What a run has asked of other sites, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DispatchView {
    pub dispatch: String,
    pub workflow: String,
    /// Until then sites are waited for.
    pub until: String,
    /// Since then it is over, and what comes is late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_at: Option<String>,
    /// By name; at most the first 200.
    pub sites: Vec<DispatchSiteView>,
    /// Sites that are not in `sites`.
    pub sites_omitted: u64,
    /// Members of the fleet that were not meant, and those that were and are cordoned.
    pub unmatched: u32,
    pub cordoned: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DispatchSiteView {
    pub site: String,
    /// As in the result of the function.
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What it has said when it was over: it is not in the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_at: Option<String>,
}

/// What is sealed belongs to this: it opens for nothing else.
#[derive(Debug, Clone, Copy)]
pub struct Bond<'a> {
    pub dispatch: DispatchId,
    pub from: &'a SiteName,
    pub to: &'a SiteName,
    pub namespace: &'a Namespace,
    pub workflow: &'a WorkflowName,
}

/// Why an entry cannot be read. Never with its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an entry of a dispatch that this version reads")]
pub struct EntryUnreadable;

impl Entry {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        document::write(ENTRY_TYPE, ENTRY_VERSION, self)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, EntryUnreadable> {
        let entry: Self =
            document::read_closed(bytes, ENTRY_TYPE, ENTRY_VERSION).map_err(|_| EntryUnreadable)?;
        let is_read = match &entry.say {
            Say::Find { sites: Meant::Names(names), .. } => names.len() <= SITES_MAX,
            Say::Find { sites: Meant::Where(tags), .. } => {
                !tags.is_empty() && tags_wrong(tags).is_none()
            }
            Say::Find { sites: Meant::Dataset(_) | Meant::All, .. } | Say::Ask { .. } => true,
            Say::Answer { answer, .. } => answer.code.as_deref().is_none_or(is_code),
        };
        is_read.then_some(entry).ok_or(EntryUnreadable)
    }

    /// What it is: by this it is taken once of its site.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        match &self.say {
            Say::Find { .. } => key("find", self.dispatch, ""),
            Say::Ask { to, .. } => ask_key(self.dispatch, to),
            Say::Answer { of, answer } if answer.state.is_end() => {
                key("ended", self.dispatch, of.as_str())
            }
            Say::Answer { of, .. } => key("taken", self.dispatch, of.as_str()),
        }
    }

    /// In whose place it lies among a site's receipts: there is one for each key.
    #[must_use]
    pub fn place(&self) -> OrderId {
        self.dispatch.order(&[b"entry", &self.key()])
    }
}

/// By which an ask is taken once of whoever has asked.
#[must_use]
pub fn ask_key(dispatch: DispatchId, to: &SiteName) -> Vec<u8> {
    key("ask", dispatch, to.as_str())
}

fn key(what: &str, dispatch: DispatchId, whom: &str) -> Vec<u8> {
    [what.as_bytes(), b" ", dispatch.as_uuid().as_bytes(), whom.as_bytes()].concat()
}

/// Whether an entry of the stream says something of a dispatch: for counts, so by its beginning alone.
#[must_use]
pub fn is_entry(text: &str) -> bool {
    text.starts_with(r#"{"type":"isonomy.dispatch","#)
}

impl AnswerState {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Completed => "completed",
            Self::Faulted => "faulted",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
            Self::Expired => "expired",
        }
    }

    /// Whether nothing more is to be expected.
    #[must_use]
    pub const fn is_end(self) -> bool {
        !matches!(self, Self::Taken)
    }
}

impl Answer {
    /// Without times and output.
    #[must_use]
    pub fn new(state: AnswerState, code: Option<&str>, at: Timestamp) -> Self {
        let code = code.map(str::to_owned);
        Self { state, code, at, started_at: None, ended_at: None, output: None }
    }
}

impl Bond<'_> {
    /// The run at the receiver.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.dispatch.run(self.from.as_str(), self.to.as_str())
    }

    /// What both ends hand to whoever seals or opens, beside what is sealed.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        let Self { dispatch, from, to, namespace, workflow } = self;
        let run = self.run();
        format!("{dispatch}\nfrom {from}\nto {to}\nrun {run}\nworkflow {namespace}/{workflow}\n")
            .into_bytes()
    }
}

impl Dispatched {
    /// Where it goes to this site.
    #[must_use]
    pub fn bond<'a>(&'a self, to: &'a SiteName) -> Bond<'a> {
        let Self { dispatch, from, namespace, workflow, .. } = self;
        Bond { dispatch: *dispatch, from, to, namespace, workflow }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(name: &str) -> SiteName {
        SiteName::parse(name).expect("a name")
    }

    fn dispatch() -> DispatchId {
        DispatchId::of(RunId::from_uuid(uuid::Uuid::from_u128(7)), "key-0")
    }

    fn answer(state: AnswerState, code: Option<&str>) -> Entry {
        let answer = Answer::new(state, code, Timestamp::from_millis(1_800_000_000_000));
        Entry { dispatch: dispatch(), say: Say::Answer { of: site("plant-1"), answer } }
    }

    /// Mutation: take a field that is not on the list, free text as a code or a tag, or names without end.
    #[test]
    fn an_entry_is_a_closed_struct() {
        let refused = answer(AnswerState::Refused, Some("refused-by-owner"));
        let text = String::from_utf8(refused.encode()).expect("text");
        assert!(is_entry(&text));
        assert_eq!(Entry::decode(text.as_bytes()), Ok(refused));
        for wrong in [
            text.replacen('{', r#"{"later":1,"#, 1),
            text.replace(r#""state""#, r#""detail":"Ada","state""#),
            text.replace("refused-by-owner", "Ada Lovelace"),
            text.replace(r#""v":1"#, r#""v":2"#),
            text.replace("isonomy.dispatch", "isonomy.receipt"),
        ] {
            assert_ne!(wrong, text);
            assert_eq!(Entry::decode(wrong.as_bytes()), Err(EntryUnreadable), "{wrong}");
        }
        let is_read = |sites| {
            let namespace = Namespace::parse("default").expect("a name");
            let workflow = WorkflowName::parse("screen").expect("a name");
            let say = Say::Find { namespace, workflow, sites };
            Entry::decode(&Entry { dispatch: dispatch(), say }.encode()).is_ok()
        };
        let names = |count| Meant::Names((0..count).map(|n| site(&format!("s{n}"))).collect());
        assert!(is_read(names(SITES_MAX)));
        assert!(!is_read(names(SITES_MAX + 1)));
        let tagged = |value: &str| Meant::Where([("region".to_owned(), value.to_owned())].into());
        assert!(is_read(tagged("eu")));
        for wrong in [tagged("Ada Lovelace"), tagged(&"x".repeat(64)), Meant::Where([].into())] {
            assert!(!is_read(wrong.clone()), "{wrong:?}");
        }
    }

    /// Mutation: give two entries one key, or one entry two.
    #[test]
    fn what_begins_and_what_ends_are_two_entries_and_every_end_is_one() {
        let taken = answer(AnswerState::Taken, None);
        let ended = answer(AnswerState::Completed, None);
        assert_ne!((taken.key(), taken.place()), (ended.key(), ended.place()));
        let other = answer(AnswerState::Faulted, Some("timeout"));
        assert_eq!((other.key(), other.place()), (ended.key(), ended.place()));
        assert_ne!(ask_key(dispatch(), &site("plant-1")), ask_key(dispatch(), &site("plant-2")));
    }
}
