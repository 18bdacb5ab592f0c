//! Files of models that the site has: blobs of its store, each pinned as long as a model names it.
//!
//! A file is taken first, loaded once to see that it is a model, and named by a definition after that. One
//! that nobody names goes at the next start, or when too many others have come.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Digest, Namespace, document};
use bytes::Bytes;
use inference::Metadata;
use inference::protocol::describe;
use inference::weights::{Does, Language};
use models::Format;
use sandbox::Loaded;
use serde::{Deserialize, Serialize};
use store::{Op, ResourceKind, ResourceRow, Store, resource_all};
use wire::{ArtifactView, LanguageView, ModelTensor};

use super::book::BookError;

const ARTIFACT_TYPE: &str = "isonomy.artifact";
const VERSION: u32 = 1;

/// Files that no model names yet: whoever adds one needs it for a moment.
pub(super) const UNNAMED_MAX: usize = 16;

/// Whose it is, since what one namespace has brought is not another's to name.
pub(super) type Key = (Namespace, Digest);

/// What is in a file, as it was when it was loaded.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ArtifactDoc {
    pub namespace: Namespace,
    pub digest: Digest,
    pub bytes: u64,
    memory_bytes: u64,
    opsets: Vec<(String, i64)>,
    pub inputs: Vec<ModelTensor>,
    pub outputs: Vec<ModelTensor>,
    /// Of weights of a model of language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    language: Option<Language>,
}

impl ArtifactDoc {
    pub(super) fn new(namespace: Namespace, file: &Bytes, loaded: Loaded) -> Self {
        let Loaded { metadata, memory_bytes } = loaded;
        let (inputs, outputs) = tensors(&metadata);
        let (digest, bytes) = (Digest::of(file), file.len() as u64);
        let Metadata { opsets, language, .. } = metadata;
        Self { namespace, digest, bytes, memory_bytes, opsets, inputs, outputs, language }
    }

    /// What a definition that names it says it is.
    pub(super) fn format(&self) -> Format {
        match self.language.as_ref().map(|it| it.does) {
            None => Format::Onnx,
            Some(Does::Text) => Format::Gguf,
            Some(Does::Vectors) => Format::Safetensors,
        }
    }

    pub(super) fn key(&self) -> Key {
        (self.namespace.clone(), self.digest)
    }

    /// The file is kept, and what is in it.
    pub(super) fn put(&self, file: Bytes) -> Vec<Op> {
        let blob = self.digest;
        let record = document::write(ARTIFACT_TYPE, VERSION, self).into();
        let row = ResourceRow { kind: ResourceKind::Artifact, name: row_name(&self.key()), record };
        vec![Op::BlobPut { blob, bytes: file }, Op::BlobPin { blob }, Op::ResourcePut(row)]
    }

    pub(super) fn view(&self, processes: usize) -> ArtifactView {
        ArtifactView {
            digest: self.digest.to_string(),
            bytes: self.bytes,
            memory_bytes: self.memory_bytes,
            opsets: self.opsets.iter().cloned().collect(),
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
            language: self.language.as_ref().map(language),
            processes: u64::try_from(processes).unwrap_or(u64::MAX),
        }
    }
}

fn language(of: &Language) -> LanguageView {
    let does = match of.does {
        Does::Text => "text",
        Does::Vectors => "vectors",
    };
    LanguageView {
        does: does.to_owned(),
        architecture: of.architecture.clone(),
        parameters: of.parameters,
        context_tokens: of.context_tokens,
        quantization: of.quantization.clone(),
        template: of.template.clone(),
        vector_length: of.vector_length,
    }
}

/// Forgets these, and their files unless another namespace has them too.
pub(super) fn forget(all: &BTreeMap<Key, ArtifactDoc>, gone: &[Key]) -> Vec<Op> {
    let mut ops = Vec::new();
    for key in gone {
        ops.push(Op::ResourceDelete { kind: ResourceKind::Artifact, name: row_name(key) });
        let mut others = all.keys().filter(|other| !gone.contains(other));
        if !others.any(|other| other.1 == key.1) {
            ops.push(Op::BlobUnpin { blob: key.1 });
        }
    }
    ops
}

pub(super) async fn read_all(
    store: &Arc<dyn Store>,
) -> Result<BTreeMap<Key, ArtifactDoc>, BookError> {
    let rows = resource_all(store.as_ref(), ResourceKind::Artifact).await?;
    let read = rows.into_iter().map(|row| {
        let doc: Result<ArtifactDoc, _> = document::read(&row.record, ARTIFACT_TYPE, VERSION);
        let doc = doc.map_err(|_| BookError::Resource(row.name))?;
        Ok((doc.key(), doc))
    });
    read.collect()
}

fn row_name((namespace, digest): &Key) -> String {
    format!("{namespace}/{digest}")
}

fn tensors(metadata: &Metadata) -> (Vec<ModelTensor>, Vec<ModelTensor>) {
    let (inputs, outputs) = describe(metadata);
    let read = |described| serde_json::from_value(described).expect("as the protocol says it");
    (read(inputs), read(outputs))
}
