//! Keys: who may ask an API, and for what.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use base::{Digest, Random};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// In the place of a namespace: all of them, and what belongs to none.
pub const EVERYWHERE: &str = "*";

/// What every key begins with, so that people and scanners for secrets recognise one.
const PREFIX: &str = "isonomy-key-";

/// As many as nobody guesses.
const SECRET_BYTES: usize = 32;

/// What somebody may do, each with all that stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Look.
    Viewer,
    /// Start, stop and repeat runs; send events.
    Operator,
    /// Change workflows, secrets and keys.
    Admin,
}

/// At which doors a key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyScope {
    /// This API.
    Api,
    /// Calls to models, as clients of OpenAI and Anthropic make them; at a site.
    Model,
}

/// What a key may do with models.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelTerms {
    /// In which namespace its calls are.
    pub namespace: String,
    /// Names of models and routes that it may ask for, one at least, `*` at the end for any rest; any by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// What its calls may cost, such as `50EUR/month`; at most one for each period.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Of input and output together. Counted at the most that a call may use, and corrected after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
}

/// A key as its holder has it. Nothing prints it but [`ApiKey::to_text`].
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey([u8; SECRET_BYTES]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a key: it begins with `{PREFIX}` and comes from `isonomy keys create`")]
pub struct ApiKeyError;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a role is `viewer`, `operator` or `admin`")]
pub struct RoleError;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a scope is `api` or `model`")]
pub struct KeyScopeError;

/// Makes a key. `POST /api/v1/keys`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyCreate {
    /// Who or what holds it; it stands in the record of what is done with it.
    pub name: String,
    /// Roles by namespace; `*` is every namespace, and what belongs to none. None where it is for models alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, Role>,
    /// At which doors it is taken: `api` by default.
    #[serde(default = "KeyScope::api", skip_serializing_if = "KeyScope::is_api")]
    pub scopes: BTreeSet<KeyScope>,
    /// With the scope `model`: for what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelTerms>,
    /// How long it is good for: from a minute to ten years; until it is revoked by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A key, which is shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyCreated {
    pub key: String,
    #[serde(flatten)]
    pub view: KeyView,
}

/// What is known of a key: never the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyView {
    pub name: String,
    pub state: KeyState,
    pub roles: BTreeMap<String, Role>,
    #[serde(default = "KeyScope::api")]
    pub scopes: BTreeSet<KeyScope>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelTerms>,
    pub created_at: String,
    /// Who has made it.
    pub created_by: String,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    Good,
    /// Its time is over.
    Expired,
    Revoked,
}

/// `POST /api/v1/keys/{name}/revoke`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyRevoke {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Who asks, as the API sees it. `GET /api/v1/whoami`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Whoami {
    /// As records of what is done will name it.
    pub actor: String,
    pub roles: BTreeMap<String, Role>,
    /// `hub` or `site`.
    pub kind: String,
    /// Which hub or site that is.
    pub name: String,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or(RoleError)
    }
}

impl KeyScope {
    pub const ALL: [Self; 2] = [Self::Api, Self::Model];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Model => "model",
        }
    }

    /// What a key is for that says nothing else, such as one that is older than scopes.
    #[must_use]
    pub fn api() -> BTreeSet<Self> {
        BTreeSet::from([Self::Api])
    }

    fn is_api(scopes: &BTreeSet<Self>) -> bool {
        *scopes == Self::api()
    }
}

impl fmt::Display for KeyScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KeyScope {
    type Err = KeyScopeError;

    fn from_str(text: &str) -> Result<Self, KeyScopeError> {
        Self::ALL.into_iter().find(|scope| scope.name() == text).ok_or(KeyScopeError)
    }
}

impl KeyState {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl ApiKey {
    #[must_use]
    pub fn new(random: &dyn Random) -> Self {
        let mut secret = [0; SECRET_BYTES];
        for part in secret.chunks_mut(8) {
            part.copy_from_slice(&random.u64().to_be_bytes());
        }
        Self(secret)
    }

    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.0))
    }

    /// Of random bytes that nobody guesses, so a plain digest tells nothing.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

impl FromStr for ApiKey {
    type Err = ApiKeyError;

    fn from_str(text: &str) -> Result<Self, ApiKeyError> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(ApiKeyError)?;
        let mut secret = [0; SECRET_BYTES];
        match URL_SAFE_NO_PAD.decode_slice(body, &mut secret) {
            Ok(SECRET_BYTES) => Ok(Self(secret)),
            _ => Err(ApiKeyError),
        }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey")
    }
}

impl fmt::Debug for KeyCreated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyCreated({})", self.view.name)
    }
}

#[cfg(test)]
mod tests {
    use base::SystemRandom;

    use super::*;

    /// Mutation: print the key, make the same one twice, or take any text.
    #[test]
    fn a_key_comes_back_from_its_text_and_does_not_show_itself() {
        let (key, other) = (ApiKey::new(&SystemRandom), ApiKey::new(&SystemRandom));
        let text = key.to_text();
        assert_eq!(format!(" {text}\n").parse(), Ok(key.clone()));
        assert_ne!(key.digest(), other.digest());
        assert_eq!(format!("{key:?}"), "ApiKey");
        for wrong in ["", "isonomy-key-", &text[1..], &text[..text.len() - 1], &format!("{text}A")]
        {
            assert_eq!(wrong.parse::<ApiKey>(), Err(ApiKeyError), "{wrong}");
        }
    }

    /// Mutation: let an operator do what a viewer may not.
    #[test]
    fn each_role_has_those_before_it() {
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
        }
        assert_eq!("owner".parse::<Role>(), Err(RoleError));
    }
}
