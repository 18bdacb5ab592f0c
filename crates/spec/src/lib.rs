//! The workflow language: from text to a typed tree, with everything wrong named at its place.
//!
//! Pure: reads no file, opens no connection. Running a tree is in `engine`.

pub mod catalog;
pub mod code;
pub mod cron;
pub mod diagnostic;
pub mod duration;
pub mod fmt;
pub mod graph;
pub mod keep;
pub mod near;
mod node;
mod openapi;
mod problems;
pub mod read;
pub mod resolved;
pub mod revision;
pub mod schema;
mod text;
pub mod tree;
mod typed;
mod yaml;

pub use catalog::{Catalog, Lookup, Manifest};
pub use code::{Code, Severity};
pub use diagnostic::{Diagnostic, Location};
pub use keep::Keep;
pub use read::{DSL_VERSIONS, Read, Unparsed, Validated, read, validate};
pub use resolved::{Resolved, ResolvedError};
pub use revision::{Reference, ReferenceKind, ReferenceTo};
pub use text::text;
pub use typed::YamlWrong;
