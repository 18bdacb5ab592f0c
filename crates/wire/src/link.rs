//! What site and hub say to each other. In prose: `docs/spec/link.md`.
//!
//! Here is the form of frames alone. What they lead to is decided in `link`, and what carries them
//! knows bytes.

pub use base::stream::{Head, PerStream, Stream};
use base::{
    DatasetName, Digest, IncarnationId, Label, Namespace, OrderId, SiteName, Timestamp,
    WorkflowName,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version of frames that this binary speaks best, and all that it speaks.
pub const VERSION: u32 = 1;
pub const VERSIONS: [u32; 1] = [VERSION];

/// Datasets that a site tells its hub of: with all that may fail, they fit into one frame.
pub const DATASETS_TOLD_MAX: usize = 64;

/// Labels of one dataset. More classes than this say nothing any more.
pub const DATASET_LABELS_MAX: usize = 8;

/// From the site.
#[derive(Debug, Clone)]
pub enum SiteFrame {
    Hello(Hello),
    Proof(Proof),
    Ready(Ready),
    Begin(Begin),
    Entries(Entries),
    Have(Have),
    Want(Want),
    Health(Health),
    Refuse(Refuse),
}

/// From the hub.
#[derive(Debug, Clone)]
pub enum HubFrame {
    Prove(Prove),
    Welcome(Welcome),
    Refused(Refused),
    Acknowledged(Acknowledged),
    Orders(Orders),
    Edition(Box<Edition>),
    Document(Document),
}

/// The first frame.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    pub versions: Vec<u32>,
    pub site: SiteName,
    pub incarnation: IncarnationId,
    /// From the one before this back to the last that was welcomed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<Ancestor>,
    /// The last that this incarnation has written down; 0 at first.
    pub session: u64,
    /// The newest position of each.
    pub last: PerStream<u64>,
    /// The edition that the site has: a hub that was set back goes on above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edition: Option<Signed>,
}

/// The head of an edition, as it was signed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Signed {
    pub head: Box<RawValue>,
    /// Ed25519, base64.
    pub signature: String,
    /// Certificates from whoever has signed to the root: DER, base64.
    pub chain: Vec<String>,
    /// Proof that the head stands in the hub's ledger; nothing yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Box<RawValue>>,
}

/// What should be at the site, and that all others are told the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Edition {
    pub signed: Signed,
    pub leaf: Box<RawValue>,
    /// Of the leaf among all.
    pub index: u64,
    /// From the leaf's neighbour up to the root.
    pub path: Vec<Digest>,
}

/// Asks for a piece of a text that the edition names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    pub text: Digest,
    /// What the site has of it, in bytes.
    pub offset: u64,
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    pub text: Digest,
    pub offset: u64,
    /// Bytes of the whole.
    pub total: u64,
    pub piece: String,
}

/// How the site is: only the newest means anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The edition that is there, or on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edition: Option<u64>,
    /// Digest of the part of its leaf that means something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Digest>,
    /// Workflows that are not there yet.
    pub waiting: u32,
    /// Workflows that cannot be there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Failed>,
    /// What the site's owner has declared and not kept from the hub.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub datasets: Vec<Dataset>,
}

/// That there is a dataset. Names and labels are what the owner chose to say; nothing of what it holds,
/// where it lies or how large it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    pub name: DatasetName,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
    /// A time and not an age, so that nothing is said where nothing has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<Timestamp>,
}

/// Why a workflow of the hub is not at the site. Names are the hub's own; the code is one of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    pub namespace: Namespace,
    pub name: WorkflowName,
    pub code: String,
}

/// An incarnation that another one was restored from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ancestor {
    pub incarnation: IncarnationId,
    /// The newest positions that the restored one has of it.
    pub last: PerStream<u64>,
}

/// Answers [`Prove`]: somebody is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    pub nonce: u64,
    pub session: u64,
}

/// The session's number is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    pub session: u64,
}

/// Where the chain goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    pub stream: Stream,
    pub after: Head,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entries {
    pub stream: Stream,
    /// The position before the first.
    pub after: u64,
    pub entries: Vec<Box<RawValue>>,
    /// Of the chain behind the last.
    pub digest: Digest,
}

/// What is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Have {
    pub orders: Vec<OrderId>,
}

/// The site closes, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refuse {
    pub code: RefuseCode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefuseCode {
    /// The hub has entries that this site does not have, or others in their place.
    ChainDiffers,
    /// The hub is one that was replaced: two have one name.
    HubRetired,
    BadFrame,
    /// Not signed by the hub that the site has joined, or not for this site.
    EditionUnsigned,
    /// Another one has the same number: two hubs.
    EditionForked,
    /// The site's owner has ended it.
    Left,
}

/// Answers a [`Hello`] that looks like a copy's: it may be one that waited while its site came again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prove {
    pub nonce: u64,
}

/// Answers [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    pub version: u32,
    pub incarnation: IncarnationId,
    /// Incarnations of the hub before this one, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<IncarnationId>,
    pub session: u64,
    pub now: Timestamp,
    /// What the hub has of each stream.
    pub heads: PerStream<Option<Head>>,
}

/// The hub closes, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub code: RefusedCode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusedCode {
    /// Two have come with this name, or one that was set back: a person decides.
    Quarantined,
    /// A copy that was restored later is the site now.
    RetiredIncarnation,
    Revoked,
    UnknownSite,
    NoCommonVersion,
    /// A newer session of the same site has come.
    Replaced,
    Overloaded,
    BadFrame,
    /// The chain of what was sent has another digest than it says.
    ChainDiffers,
}

/// Entries up to here are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    pub stream: Stream,
    pub head: Head,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Orders {
    pub orders: Vec<Order>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    pub id: OrderId,
    pub order: Box<RawValue>,
}

/// Why a frame cannot be read. Never with its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("not a frame: wrong at line {line}, column {column}")]
    Syntax { line: usize, column: usize },
    #[error("a frame of a type that is not known here")]
    Unknown,
}

#[derive(Deserialize)]
struct Typed {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize)]
struct Tagged<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    body: &'a T,
}

fn write<T: Serialize>(kind: &'static str, body: &T) -> Vec<u8> {
    serde_json::to_vec(&Tagged { kind, body }).expect("our own types have JSON text")
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(bytes)
        .map_err(|wrong| FrameError::Syntax { line: wrong.line(), column: wrong.column() })
}

impl SiteFrame {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Hello(it) => write("hello", it),
            Self::Proof(it) => write("proof", it),
            Self::Ready(it) => write("ready", it),
            Self::Begin(it) => write("begin", it),
            Self::Entries(it) => write("entries", it),
            Self::Have(it) => write("have", it),
            Self::Want(it) => write("want", it),
            Self::Health(it) => write("health", it),
            Self::Refuse(it) => write("refuse", it),
        }
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        Ok(match read::<Typed>(bytes)?.kind.as_str() {
            "hello" => Self::Hello(read(bytes)?),
            "proof" => Self::Proof(read(bytes)?),
            "ready" => Self::Ready(read(bytes)?),
            "begin" => Self::Begin(read(bytes)?),
            "entries" => Self::Entries(read(bytes)?),
            "have" => Self::Have(read(bytes)?),
            "want" => Self::Want(read(bytes)?),
            "health" => Self::Health(read(bytes)?),
            "refuse" => Self::Refuse(read(bytes)?),
            _ => return Err(FrameError::Unknown),
        })
    }
}

impl HubFrame {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Prove(it) => write("prove", it),
            Self::Welcome(it) => write("welcome", it),
            Self::Refused(it) => write("refused", it),
            Self::Acknowledged(it) => write("acknowledged", it),
            Self::Orders(it) => write("orders", it),
            Self::Edition(it) => write("edition", it),
            Self::Document(it) => write("document", it),
        }
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        Ok(match read::<Typed>(bytes)?.kind.as_str() {
            "prove" => Self::Prove(read(bytes)?),
            "welcome" => Self::Welcome(read(bytes)?),
            "refused" => Self::Refused(read(bytes)?),
            "acknowledged" => Self::Acknowledged(read(bytes)?),
            "orders" => Self::Orders(read(bytes)?),
            "edition" => Self::Edition(read(bytes)?),
            "document" => Self::Document(read(bytes)?),
            _ => return Err(FrameError::Unknown),
        })
    }
}
