//! The project's own tools: test everything, check the repository, measure the engine.
//!
//! The checks themselves are tests, in `tests/repository`; what they read the tree with is here.

pub mod bench;
pub mod clients;
pub mod conformance;
pub mod fit;
pub mod length;
pub mod licence;
pub mod metadata;
pub mod source;
pub mod test;
pub mod tree;
