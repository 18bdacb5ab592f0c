//! The gate over real sockets.

mod gate;
mod operator;
mod server;
mod tls;
