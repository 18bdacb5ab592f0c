//! What a machine asks a hub for before it has a line to it. In prose: `docs/spec/link.md`.

use base::{IncarnationId, Timestamp};
use serde::{Deserialize, Serialize};

/// `POST /identity/v1/join`. Nothing prints its secret.
#[derive(Clone, Serialize, Deserialize)]
pub struct JoinAsk {
    pub secret: String,
    /// Public key: SubjectPublicKeyInfo in DER, as base64.
    pub key: String,
    /// This joining: the first incarnation of its line.
    pub joined: IncarnationId,
    /// None from a program before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealing: Option<SealingSaid>,
}

/// What a site says of its sealing key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealingSaid {
    /// 32 bytes, base64.
    pub key: String,
    /// By the key that it joins with, over the fleet's root, the site's name and this key; base64.
    pub signature: String,
}

/// `POST /identity/v1/renew`, with the certificate that there is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RenewAsk {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealing: Option<SealingSaid>,
}

/// The answer, and that of `POST /identity/v1/renew`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Granted {
    /// The site's SPIFFE id.
    pub name: String,
    /// Certificate in DER, as base64.
    pub certificate: String,
    pub now: Timestamp,
    /// None from a hub before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealing: Option<HubSealingSaid>,
}

/// What a hub says of its own sealing key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubSealingSaid {
    pub key: String,
    pub at: Timestamp,
    /// By the hub's authority, over the fleet's root, this key and the time; base64.
    pub signature: String,
    /// Certificates from whoever has signed to the root: DER, base64.
    pub chain: Vec<String>,
}

/// Any other answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RefusedJoin {
    pub why: String,
}
