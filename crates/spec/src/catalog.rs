//! What a catalog of functions tells the reader. The functions themselves are in `worker`.

use std::sync::Arc;

use base::name::{FunctionRef, WorkflowKey};
use base::{Digest, Value};

/// The name of the runtime's own catalog, which needs no declaration.
pub const DEFAULT: &str = "default";

/// Whoever knows what stands around a document: the functions of the site, the texts behind
/// addresses, and the workflows that are applied already.
pub trait Catalog {
    fn function(&self, function: &FunctionRef) -> Option<Manifest>;

    /// All of them, for the message that says which exist.
    fn names(&self) -> Vec<FunctionRef>;

    /// The text behind an address: a schema, an OpenAPI document, a function, a script.
    fn resource(&self, _uri: &str) -> Lookup<Arc<str>> {
        Lookup::NotAsked
    }

    /// The pools of the site; `None` where nobody knows, as offline.
    fn pools(&self) -> Option<Vec<String>> {
        None
    }

    /// The revision that a workflow and version lead to; `latest` is a version.
    fn workflow(&self, _key: &WorkflowKey, _version: &str) -> Lookup<Digest> {
        Lookup::NotAsked
    }
}

/// What came of looking something up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<T> {
    Found(T),
    /// Looked for and not there, for this reason.
    Missing(String),
    /// Nobody has looked: the document is read offline, or what it asks for is being gathered. It
    /// may be right, and cannot be run yet.
    NotAsked,
}

/// What a function says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    pub name: Arc<str>,
    pub version: Arc<str>,
    /// Names the function's behaviour: part of the digest of every revision that calls it.
    pub digest: Digest,
    /// JSON Schema of `with`.
    pub input: Option<Value>,
    /// JSON Schema of the result.
    pub output: Option<Value>,
    /// Arguments that leave the site in clear: they stand in the document as they are. Where there are any,
    /// the function takes no secrets.
    pub fixed: Arc<[Arc<str>]>,
    pub summary: String,
}

/// A catalog without functions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Empty;

impl Catalog for Empty {
    fn function(&self, _function: &FunctionRef) -> Option<Manifest> {
        None
    }

    fn names(&self) -> Vec<FunctionRef> {
        Vec::new()
    }
}
