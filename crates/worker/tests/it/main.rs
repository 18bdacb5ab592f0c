//! The worker over real sockets and real files.

mod file;
mod http;
#[path = "../../../gateway/tests/it/server.rs"]
mod server;
mod site;
