//! Who signs for a hub, below the root of its fleet.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whose word counts. `GET /api/v1/authority`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthoritiesView {
    /// The fleet's name.
    pub domain: String,
    /// The key of the fleet's root: by it sites know their hub.
    pub root: String,
    /// PEM.
    pub root_certificate: String,
    /// The one that signs first.
    pub items: Vec<AuthorityView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityView {
    pub state: AuthorityState,
    /// Names its key.
    pub key: String,
    pub not_before: String,
    pub not_after: String,
    /// Until when sites may come with what it has signed, where it has been replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AuthorityState {
    /// It signs what sites get.
    Signs,
    /// It was replaced, and what it has signed still counts.
    Former,
}

impl AuthorityState {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signs => "signs",
            Self::Former => "former",
        }
    }
}

/// What whoever has the root's key signs. `POST /api/v1/authority/next`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityNext {
    /// A new public key: SubjectPublicKeyInfo in DER, base64. Its other half stays at the hub, in memory
    /// until its certificate comes.
    pub key: String,
    /// The hub's time.
    pub now: String,
    /// Until when the present authority would still be believed.
    pub until: String,
}

/// Replaces the authority. `POST /api/v1/authority/rotate`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorityRotate {
    /// Over the key that was asked for, signed by the root: PEM.
    pub certificate: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Ends that former authorities are believed. `POST /api/v1/authority/forget`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorityForget {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
