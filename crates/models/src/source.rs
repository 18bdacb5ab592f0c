//! What answers for a model: a server that speaks a dialect, or a file on the site's disk.

use base::{Digest, SecretName};
use serde::{Deserialize, Serialize};

use crate::definition::SpecError;
use crate::operation::Operation;

/// What answers for a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Upstream(Upstream),
    Artifact(Artifact),
}

/// A server that answers in a dialect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Upstream {
    /// The address below which the dialect's paths are: `https://api.openai.com/v1`.
    pub url: String,
    #[serde(default)]
    pub dialect: Dialect,
    /// What the upstream calls it; the model's own name by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The secret of the model's namespace that opens it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
    /// The name by which it takes a limit of output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_parameter: Option<String>,
    /// Whether it answers a repetition under the same `Idempotency-Key` as it did before, and bills it once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idempotent: bool,
}

/// A file that the site keeps, and runs in processes of its own (ADR 20).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Artifact {
    /// Of the file's bytes, which are a blob of the site's store.
    pub digest: Digest,
    #[serde(default)]
    pub format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    #[default]
    Onnx,
    /// Weights that go on with texts.
    Gguf,
    /// A folder of weights that makes vectors of texts, packed.
    Safetensors,
}

impl Format {
    /// As it stands in a document.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Onnx => "onnx",
            Self::Gguf => "gguf",
            Self::Safetensors => "safetensors",
        }
    }

    /// What a model of it is asked.
    #[must_use]
    pub const fn operations(self) -> &'static [Operation] {
        match self {
            Self::Onnx => &[Operation::Infer],
            Self::Gguf => &[Operation::Chat, Operation::Completions],
            Self::Safetensors => &[Operation::Embeddings],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    #[default]
    OpenAi,
    Anthropic,
    /// Version 2 of the protocol that Triton, `KServe` and `MLServer` speak.
    OpenInference,
}

impl Dialect {
    /// What is spoken in it.
    #[must_use]
    pub const fn operations(self) -> &'static [Operation] {
        match self {
            Self::OpenAi => &[
                Operation::Chat,
                Operation::Completions,
                Operation::Embeddings,
                Operation::Responses,
            ],
            Self::Anthropic => &[Operation::Messages],
            Self::OpenInference => &[Operation::Infer],
        }
    }
}

impl Source {
    /// What can be asked of it.
    #[must_use]
    pub const fn operations(&self) -> &'static [Operation] {
        match self {
            Self::Upstream(upstream) => upstream.dialect.operations(),
            Self::Artifact(artifact) => artifact.format.operations(),
        }
    }

    #[must_use]
    pub const fn upstream(&self) -> Option<&Upstream> {
        match self {
            Self::Upstream(upstream) => Some(upstream),
            Self::Artifact(_) => None,
        }
    }

    #[must_use]
    pub const fn artifact(&self) -> Option<&Artifact> {
        match self {
            Self::Upstream(_) => None,
            Self::Artifact(artifact) => Some(artifact),
        }
    }

    pub(crate) fn check(&self) -> Result<(), SpecError> {
        let Some(upstream) = self.upstream() else { return Ok(()) };
        address(&upstream.url)?;
        let is_text = |text: &String| {
            (1..=200).contains(&text.len()) && text.chars().all(|c| !c.is_control())
        };
        let texts = [&upstream.model, &upstream.output_parameter];
        if texts.into_iter().flatten().all(is_text) { Ok(()) } else { Err(SpecError::Text) }
    }
}

/// Where it is, and the path before those of the dialect.
pub fn address(url: &str) -> Result<(&str, &str), SpecError> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let rest = rest.ok_or(SpecError::Url("it begins with `https://` or `http://`"))?;
    if url.len() > 2_000 || url.bytes().any(|b| b.is_ascii_control() || b == b' ') {
        return Err(SpecError::Url("it has a blank or a control character, or is too long"));
    }
    if rest.contains(['?', '#', '@']) {
        return Err(SpecError::Url("it has a query, or somebody's name in it"));
    }
    let host_end = rest.find('/').unwrap_or(rest.len());
    if host_end == 0 {
        return Err(SpecError::Url("there is no host in it"));
    }
    let split = url.len() - rest.len() + host_end;
    let (origin, path) = url.split_at(split);
    Ok((origin, path.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: keep the end of the path, or cut the host.
    #[test]
    fn an_address_has_an_origin_and_a_path() {
        assert_eq!(address("http://h:1/v1/"), Ok(("http://h:1", "/v1")));
        assert_eq!(address("https://h"), Ok(("https://h", "")));
    }
}
