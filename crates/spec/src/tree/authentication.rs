//! Who a request says it is. What a scheme does with its properties is the performer's business.

use super::Template;

/// One of the language's schemes, with its properties.
#[derive(Debug, Clone)]
pub struct Authentication {
    pub scheme: Scheme,
    /// An object as the language's schema has it for this scheme, checked as far as it is written
    /// down; or an expression that gives one (`$secrets["name"]`, for `use: name`).
    pub properties: Template,
}

/// Who asks for what lies behind an address when the document is applied.
#[derive(Debug, Clone)]
pub struct Access {
    /// As the document calls it: its name in `use.authentications`, or else the scheme.
    pub name: String,
    /// Its expressions read `$secrets` and nothing else, since no run is there.
    pub authentication: Authentication,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    Basic,
    Bearer,
    Digest,
    OAuth2,
    Oidc,
}

impl Scheme {
    pub const ALL: [Self; 5] = [Self::Basic, Self::Bearer, Self::Digest, Self::OAuth2, Self::Oidc];

    /// As documents write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Bearer => "bearer",
            Self::Digest => "digest",
            Self::OAuth2 => "oauth2",
            Self::Oidc => "oidc",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.name() == name)
    }
}
