//! Editions: everything that should be at the sites, numbered and signed. In prose: `docs/spec/edition.md`.

use base::{Digest, DocumentError, Namespace, SiteName, Timestamp, WorkflowName, document};
use serde::{Deserialize, Serialize};

const HEAD_TYPE: &str = "isonomy.edition";
const HEAD_VERSION: u32 = 1;

const LEAF_TYPE: &str = "isonomy.leaf";
const LEAF_VERSION: u32 = 1;

/// What the hub signs: one number, one root. The proof that it stands in the hub's ledger will be a field
/// beside the signature, which it cannot be part of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub number: u64,
    /// Of the tree over all leaves.
    pub root: Digest,
    pub leaves: u64,
    pub at: Timestamp,
    /// Keys of sites that are nobody's any more, by their pins: a hub that was brought back from a backup
    /// learns from its sites whom it had sent away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<Digest>,
}

/// What should be at one site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    pub site: SiteName,
    /// Random: the path of one site tells nothing of another's leaf.
    pub salt: Digest,
    #[serde(flatten)]
    pub content: Content,
}

/// The part of a leaf that means something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// By namespace and name.
    pub workflows: Vec<Placed>,
    /// Budgets over several sites that this one falls under: it spends no more than it is leased.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<Capped>,
}

/// A fleet budget.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Capped {
    /// `namespace/NAME` or `workflow/NAMESPACE/NAME`.
    pub holder: String,
    /// Such as `50.00 EUR/month`, for all sites together.
    pub budget: String,
}

/// A workflow that should be there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Placed {
    pub namespace: Namespace,
    pub name: WorkflowName,
    /// Of its text.
    pub text: Digest,
}

impl Head {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        document::write(HEAD_TYPE, HEAD_VERSION, self)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DocumentError> {
        document::read(bytes, HEAD_TYPE, HEAD_VERSION)
    }
}

impl Leaf {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        document::write(LEAF_TYPE, LEAF_VERSION, self)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DocumentError> {
        document::read(bytes, LEAF_TYPE, LEAF_VERSION)
    }
}

impl Content {
    /// Names what should be there, whatever number and salt it comes with.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).expect("our own types have JSON text"))
    }
}
