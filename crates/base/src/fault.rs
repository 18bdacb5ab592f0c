//! What goes wrong in a run: an error of the workflow language, an RFC 9457 problem.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Where the standard types live in what we write. What we read may use any known base.
pub const BASE: &str = "https://open-workflow-specification.org/spec/1.0.0/errors/";

/// Addresses under which documents in the wild name the standard error types. The project was
/// renamed, and its own conformance kit uses a third form.
pub const BASES: [&str; 6] = [
    BASE,
    "https://open-workflow-specification.org/dsl/errors/types/",
    "https://open-workflow-specification.org/errors/types/",
    "https://serverlessworkflow.io/spec/1.0.0/errors/",
    "https://serverlessworkflow.io/dsl/errors/types/",
    "https://serverlessworkflow.io/errors/types/",
];

/// The standard error types. Nothing else about an error may leave a site without permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorType {
    Configuration,
    Validation,
    Expression,
    Authentication,
    Authorization,
    Timeout,
    Communication,
    Runtime,
    /// Any type that is not standard: an author's own.
    Other,
}

impl ErrorType {
    pub const STANDARD: [Self; 8] = [
        Self::Configuration,
        Self::Validation,
        Self::Expression,
        Self::Authentication,
        Self::Authorization,
        Self::Timeout,
        Self::Communication,
        Self::Runtime,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Validation => "validation",
            Self::Expression => "expression",
            Self::Authentication => "authentication",
            Self::Authorization => "authorization",
            Self::Timeout => "timeout",
            Self::Communication => "communication",
            Self::Runtime => "runtime",
            Self::Other => "other",
        }
    }

    const fn status(self) -> u16 {
        match self {
            Self::Configuration | Self::Validation | Self::Expression => 400,
            Self::Authentication => 401,
            Self::Authorization => 403,
            Self::Timeout => 408,
            Self::Communication | Self::Runtime | Self::Other => 500,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Configuration => "Configuration error",
            Self::Validation => "Validation error",
            Self::Expression => "Expression error",
            Self::Authentication => "Authentication error",
            Self::Authorization => "Authorization error",
            Self::Timeout => "Timeout",
            Self::Communication => "Communication error",
            Self::Runtime => "Runtime error",
            Self::Other => "Error",
        }
    }

    /// Which standard type an address names, under whichever known base.
    #[must_use]
    pub fn of(uri: &str) -> Self {
        let name = BASES.iter().find_map(|base| uri.strip_prefix(base));
        let standard = |name| Self::STANDARD.into_iter().find(|kind| kind.name() == name);
        name.and_then(standard).unwrap_or(Self::Other)
    }
}

/// An error in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    #[serde(rename = "type")]
    pub uri: Cow<'static, str>,
    pub status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Cow<'static, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The location of the task that raised it; set by the engine where the raiser did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

impl Fault {
    #[must_use]
    pub fn new(kind: ErrorType, detail: impl Into<String>) -> Self {
        Self {
            uri: Cow::Owned(format!("{BASE}{}", kind.name())),
            status: kind.status(),
            title: Some(Cow::Borrowed(kind.title())),
            detail: Some(detail.into()),
            instance: None,
        }
    }

    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    #[must_use]
    pub fn with_title(self, title: impl Into<Cow<'static, str>>) -> Self {
        Self { title: Some(title.into()), ..self }
    }

    #[must_use]
    pub fn at(self, location: &str) -> Self {
        Self { instance: Some(self.instance.unwrap_or_else(|| location.to_owned())), ..self }
    }

    #[must_use]
    pub fn kind(&self) -> ErrorType {
        ErrorType::of(&self.uri)
    }

    /// Whether a filter's `type` names this error's type, under whichever known base either uses.
    #[must_use]
    pub fn has_type(&self, wanted: &str) -> bool {
        let kind = ErrorType::of(wanted);
        self.uri == wanted || (kind != ErrorType::Other && kind == self.kind())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = self.title.as_deref().unwrap_or(&self.uri);
        write!(f, "{title} ({})", self.status)?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: drop a base, or compare addresses literally in `has_type`.
    #[test]
    fn standard_types_match_under_every_known_base() {
        let fault = Fault::new(ErrorType::Communication, "no answer");
        for base in BASES {
            assert!(fault.has_type(&format!("{base}communication")), "{base}");
            assert!(!fault.has_type(&format!("{base}timeout")), "{base}");
        }
        assert!(!fault.has_type("https://example.com/communication"));
        let own = Fault { uri: "https://example.com/sold-out".into(), ..fault };
        assert!(own.has_type("https://example.com/sold-out"));
        assert!(!own.has_type("https://example.com/other"));
        assert_eq!(own.kind(), ErrorType::Other);
    }
}
