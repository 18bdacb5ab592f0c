//! Weights of models of language: what a file says of itself, without the numbers in it.
//!
//! This is read in every build. Answering with them needs the feature `candle`
//! ([ADR 29](../../../../docs/adr/0029-language-models-on-the-sites-disk.md)).

pub mod folder;
pub mod gguf;
pub mod safetensors;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::LoadError;
use crate::words::Template;
use gguf::Gguf;

/// The longest text that a model can be given, whatever its file says: what it keeps of a token is some
/// 100 KiB in a model of a billion numbers.
pub const CONTEXT_TOKENS_MAX: u64 = 32_768;

/// What a file of weights is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Language {
    pub does: Does,
    /// `llama`, `qwen2`, `bert`.
    pub architecture: String,
    pub parameters: u64,
    /// Of the question and the answer together.
    pub context_tokens: u64,
    /// How most numbers are written: `Q4_K`, `F32`.
    pub quantization: String,
    /// The form of conversations, by its usual name. None where it has none that is known here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Numbers in a vector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector_length: Option<u64>,
}

/// What it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Does {
    /// Goes on with a text, or answers in a conversation.
    Text,
    /// Makes a vector of a text.
    Vectors,
}

/// What a file is, by how it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Onnx,
    Gguf,
    Folder,
}

impl Kind {
    #[must_use]
    pub fn of(file: &[u8]) -> Self {
        if file.starts_with(&gguf::MAGIC) {
            Self::Gguf
        } else if folder::is_archive(file) {
            Self::Folder
        } else {
            Self::Onnx
        }
    }
}

/// What the file says of itself, where it is one of weights.
pub fn describe(file: &[u8]) -> Result<Option<Language>, LoadError> {
    match Kind::of(file) {
        Kind::Onnx => Ok(None),
        Kind::Gguf => of_gguf(&Gguf::read(file)?).map(Some),
        Kind::Folder => of_folder(&Folder::read(file)?).map(Some),
    }
}

/// Of a model that goes on with texts.
pub(crate) fn of_gguf(file: &Gguf<'_>) -> Result<Language, LoadError> {
    let missing =
        |name: &str| LoadError::Weights { format: "GGUF", what: format!("it has no `{name}`") };
    let architecture = file.text("general.architecture");
    let architecture = architecture.ok_or_else(|| missing("general.architecture"))?;
    let context = format!("{architecture}.context_length");
    let template = file.text("tokenizer.chat_template").and_then(Template::named);
    Ok(Language {
        does: Does::Text,
        architecture: clip(architecture),
        parameters: file.parameters(),
        context_tokens: file
            .whole(&context)
            .ok_or_else(|| missing(&context))?
            .min(CONTEXT_TOKENS_MAX),
        quantization: file.kind().map_or("none", gguf::Kind::as_str).to_owned(),
        template: template.map(|it| it.as_str().to_owned()),
        vector_length: None,
    })
}

/// A folder whose parts are found.
#[cfg_attr(not(feature = "candle"), allow(dead_code))]
pub(crate) struct Folder<'f> {
    pub config: Config,
    pub tensors: BTreeMap<String, safetensors::Block<'f>>,
    pub tokenizer: &'f [u8],
    pub pooling: Pooling,
    pub normalizes: bool,
}

/// As `config.json` of the transformers library has it.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(not(feature = "candle"), allow(dead_code))]
pub(crate) struct Config {
    pub model_type: String,
    pub hidden_size: u64,
    pub num_hidden_layers: u64,
    pub num_attention_heads: u64,
    pub max_position_embeddings: u64,
    pub hidden_act: Option<String>,
    pub layer_norm_eps: Option<f64>,
    pub pad_token_id: Option<u64>,
    pub position_embedding_type: Option<String>,
}

/// How vectors of tokens become one of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooling {
    Mean,
    /// That of the first token.
    First,
    Max,
}

/// One step of the sentence-transformers library.
#[derive(Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
}

impl<'f> Folder<'f> {
    pub(crate) fn read(archive: &'f [u8]) -> Result<Self, LoadError> {
        let files = folder::unpack(archive)?;
        let get =
            |name: &str| files.iter().find(|(it, _)| *it == name).map(|(_, content)| *content);
        let need =
            |name: &'static str| get(name).ok_or(LoadError::Part { name, what: "it is missing" });
        let mut config: Config = json("config.json", need("config.json")?)?;
        let modules: Vec<Module> = match get("modules.json") {
            Some(text) => json("modules.json", text)?,
            None => Vec::new(),
        };
        let mut normalizes = false;
        for module in &modules {
            // `sentence_transformers.models.Pooling`, or wherever a version has put it.
            match module.kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" | "Pooling" => {}
                "Normalize" => normalizes = true,
                _ => {
                    let what = "it has a step beside `Transformer`, `Pooling` and `Normalize`";
                    return Err(LoadError::Part { name: "modules.json", what });
                }
            }
        }
        let pooling = match get("1_Pooling/config.json") {
            Some(text) => pooling(text)?,
            None => Pooling::Mean,
        };
        if let Some(most) = said_length(&get)? {
            let most = most.saturating_add(config.first_position());
            config.max_position_embeddings = config.max_position_embeddings.min(most);
        }
        let tensors = safetensors::read(need("model.safetensors")?)?;
        Ok(Self { config, tensors, tokenizer: need("tokenizer.json")?, pooling, normalizes })
    }
}

impl Config {
    /// RoBERTa's positions begin behind that of what fills texts up.
    pub(crate) fn first_position(&self) -> u64 {
        match self.model_type.as_str() {
            "roberta" | "xlm-roberta" | "camembert" => {
                self.pad_token_id.unwrap_or(1).saturating_add(1)
            }
            _ => 0,
        }
    }

    /// Of one text, with the marks around it.
    pub(crate) fn tokens_max(&self) -> u64 {
        let positions = self.max_position_embeddings.min(CONTEXT_TOKENS_MAX);
        positions.saturating_sub(self.first_position())
    }
}

/// The longest text that somebody has found good, by either of two files. Neither must say it.
fn said_length<'f>(get: &impl Fn(&str) -> Option<&'f [u8]>) -> Result<Option<u64>, LoadError> {
    let mut said = Vec::new();
    for (file, member) in [
        ("sentence_bert_config.json", "max_seq_length"),
        ("tokenizer_config.json", "model_max_length"),
    ] {
        let Some(text) = get(file) else { continue };
        let members: BTreeMap<String, serde_json::Value> = json(file, text)?;
        // Where there is no limit, some tools write a number of thirty digits.
        said.extend(members.get(member).and_then(serde_json::Value::as_u64).filter(|it| *it > 0));
    }
    Ok(said.into_iter().min())
}

fn pooling(text: &[u8]) -> Result<Pooling, LoadError> {
    const NAME: &str = "1_Pooling/config.json";
    const OTHER: &str = "it pools in another way than by the mean, the maximum or the first token";
    let other = LoadError::Part { name: NAME, what: OTHER };
    let said: BTreeMap<String, serde_json::Value> = json(NAME, text)?;
    // Since version 5 of the library one word says it.
    if let Some(mode) = said.get("pooling_mode") {
        return match mode.as_str() {
            Some("mean") => Ok(Pooling::Mean),
            Some("cls") => Ok(Pooling::First),
            Some("max") => Ok(Pooling::Max),
            _ => Err(other),
        };
    }
    let modes = said
        .iter()
        .filter(|(name, value)| name.starts_with("pooling_mode_") && value.as_bool() == Some(true));
    let modes: Vec<&str> = modes.map(|(name, _)| name.as_str()).collect();
    match modes.as_slice() {
        [] | ["pooling_mode_mean_tokens"] => Ok(Pooling::Mean),
        ["pooling_mode_cls_token"] => Ok(Pooling::First),
        ["pooling_mode_max_tokens"] => Ok(Pooling::Max),
        _ => Err(other),
    }
}

fn json<T: serde::de::DeserializeOwned>(name: &'static str, text: &[u8]) -> Result<T, LoadError> {
    let what = "it is no JSON of the expected form";
    serde_json::from_slice(text).map_err(|_| LoadError::Part { name, what })
}

/// Of a model that makes vectors.
pub(crate) fn of_folder(folder: &Folder<'_>) -> Result<Language, LoadError> {
    let mut bytes: BTreeMap<safetensors::Kind, usize> = BTreeMap::new();
    let mut parameters = 0_u64;
    for block in folder.tensors.values() {
        *bytes.entry(block.kind).or_default() += block.bytes.len();
        parameters += block.shape.iter().map(|it| *it as u64).product::<u64>();
    }
    let kind = bytes.into_iter().max_by_key(|(_, bytes)| *bytes).map(|(kind, _)| kind);
    Ok(Language {
        does: Does::Vectors,
        architecture: clip(&folder.config.model_type),
        parameters,
        context_tokens: folder.config.tokens_max(),
        quantization: kind.map_or("none", safetensors::Kind::as_str).to_owned(),
        template: None,
        vector_length: Some(folder.config.hidden_size),
    })
}

fn clip(name: &str) -> String {
    name.chars().filter(|it| !it.is_control()).take(60).collect()
}

impl std::fmt::Display for Language {
    /// `llama, 134515008 parameters, Q8_0, 2048 tokens of context`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { architecture, parameters, quantization, context_tokens, .. } = self;
        write!(
            f,
            "{architecture}, {parameters} parameters, {quantization}, {context_tokens} tokens of context"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: read the mean for whatever is not known, or one of the two ways of writing it alone.
    #[test]
    fn pooling_is_read_as_old_and_new_versions_of_the_library_write_it() {
        let both = r#"{"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":true}"#;
        for (text, expected) in [
            (
                r#"{"pooling_mode_mean_tokens":true,"pooling_mode_cls_token":false}"#,
                Some(Pooling::Mean),
            ),
            (r#"{"pooling_mode_cls_token":true}"#, Some(Pooling::First)),
            (r#"{"pooling_mode_max_tokens":true}"#, Some(Pooling::Max)),
            (both, None),
            (r#"{"pooling_mode_lasttoken":true}"#, None),
            (r#"{"pooling_mode":"mean"}"#, Some(Pooling::Mean)),
            (r#"{"pooling_mode":"cls"}"#, Some(Pooling::First)),
            (r#"{"pooling_mode":"weightedmean"}"#, None),
            (r#"{"pooling_mode":["mean","max"]}"#, None),
            ("[]", None),
        ] {
            assert_eq!(pooling(text.as_bytes()).ok(), expected, "{text}");
        }
    }

    /// Mutation: take the longer of the two, or a number of thirty digits.
    #[test]
    fn the_shorter_limit_of_a_text_counts() {
        let said = |bert: &'static str, tokenizer: &'static str| {
            said_length(&|name: &str| match name {
                "sentence_bert_config.json" => Some(bert.as_bytes()),
                _ => Some(tokenizer.as_bytes()),
            })
        };
        let most = |bert, tokenizer| said(bert, tokenizer).expect("JSON");
        assert_eq!(most(r#"{"max_seq_length":256}"#, r#"{"model_max_length":512}"#), Some(256));
        assert_eq!(most("{}", r#"{"model_max_length":1000000000000000019884624838656}"#), None);
        assert_eq!(most(r#"{"max_seq_length":null}"#, r#"{"model_max_length":48}"#), Some(48));
        assert!(said("x", "{}").is_err());
    }
}
