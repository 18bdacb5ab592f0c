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
}

/// The answer, and that of `POST /identity/v1/renew`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Granted {
    /// The site's SPIFFE id.
    pub name: String,
    /// Certificate in DER, as base64.
    pub certificate: String,
    pub now: Timestamp,
}

/// Any other answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RefusedJoin {
    pub why: String,
}
