//! The secrets of a site: where they come from, which version is which, and who may not see them.
//!
//! `file` keeps those that are set through the API, `command` asks a program, and the environment is
//! read by explicit names. What a workflow may do with a secret is in `engine::sealed` and `worker`;
//! nothing here logs, and no error holds a value.

mod command;
mod file;
mod vault;

pub use command::CommandError;
pub use file::FileError;
pub use vault::{
    Command, Config, Entry, Environment, Provider, ReadError, SetError, VERSIONS_KEPT, Vault,
};

/// The largest secret, as JSON. A key or a certificate chain is some kilobytes.
pub const SECRET_BYTES_MAX: usize = 64 * 1024;
