//! What a catalog of functions tells the reader. The functions themselves are in `worker`.

use std::sync::Arc;

use base::name::FunctionRef;
use base::{Digest, Value};

/// The name of the runtime's own catalog, which needs no declaration.
pub const DEFAULT: &str = "default";

/// Whoever knows which functions there are.
pub trait Catalog {
    fn function(&self, function: &FunctionRef) -> Option<Manifest>;

    /// All of them, for the message that says which exist.
    fn names(&self) -> Vec<FunctionRef>;
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
