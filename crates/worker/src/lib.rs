//! The worker: does what the engine decided. A registry of performers, one file per kind.
//!
//! Every action asks the gate first. What may pass is decided there, what happens next in `engine`;
//! nothing here keeps anything.

pub mod catalog;
pub mod datasets;
pub mod folders;
pub mod functions;

mod authentication;
mod content;
mod fetch;
mod http;
mod mask;
pub mod process;
mod sealed;
mod worker;

pub use catalog::{Capabilities, Catalog, FunctionManifest};
pub use datasets::{Dataset, Datasets, Look};
pub use fetch::Wanted;
pub use folders::{Folder, FolderError, Folders};
pub use process::{Logs, NoLogs, Scripts};
pub use worker::{Config, Ports, Worker};
