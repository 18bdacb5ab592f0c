//! The words in which models are asked, and where a server hears them.

use dialects::Dialect;
use serde::{Deserialize, Serialize};

/// In which words a call is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// `POST /v1/chat/completions`
    Chat,
    /// `POST /v1/completions`
    Completions,
    /// `POST /v1/embeddings`
    Embeddings,
    /// `POST /v1/responses`
    Responses,
    /// `POST /v1/messages`, Anthropic's.
    Messages,
    /// `POST /v2/models/{name}/infer`, of tensors. Its model stands in the path.
    Infer,
}

impl Operation {
    pub const ALL: [Self; 6] = [
        Self::Chat,
        Self::Completions,
        Self::Embeddings,
        Self::Responses,
        Self::Messages,
        Self::Infer,
    ];

    /// Below the address of an API, for people and for what has no model in its path.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
            Self::Infer => "/v2/models/{name}/infer",
        }
    }

    /// Of those that have a path of their own.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| *it != Self::Infer && it.path() == path)
    }

    /// Below the address that ends with the version: that of most upstreams.
    #[must_use]
    pub fn short_path(self) -> &'static str {
        self.path().trim_start_matches("/v1")
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::Infer => "infer",
        }
    }

    /// Whose words these are, where there are others for the same.
    #[must_use]
    pub const fn dialect(self) -> Option<Dialect> {
        match self {
            Self::Chat => Some(Dialect::Chat),
            Self::Responses => Some(Dialect::Responses),
            Self::Messages => Some(Dialect::Messages),
            Self::Completions | Self::Embeddings | Self::Infer => None,
        }
    }

    /// What limits the output in these words. What limits it in others does nothing here.
    pub(crate) const fn output_names(self) -> &'static [&'static str] {
        match self {
            Self::Chat => &["max_completion_tokens", "max_tokens"],
            Self::Completions | Self::Messages => &["max_tokens"],
            Self::Responses => &["max_output_tokens"],
            Self::Embeddings | Self::Infer => &[],
        }
    }

    /// What the question is in.
    pub(crate) const fn question(self) -> &'static str {
        match self {
            Self::Chat | Self::Messages => "messages",
            Self::Completions => "prompt",
            Self::Embeddings | Self::Responses => "input",
            Self::Infer => "inputs",
        }
    }
}
