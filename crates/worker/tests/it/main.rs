//! The worker over real sockets and real files.

mod authentication;
mod dataset;
mod file;
mod functions;
mod http;
mod infer;
mod sealed;
#[path = "../../../gateway/tests/it/server.rs"]
mod server;
mod site;
