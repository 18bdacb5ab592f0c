//! The gate over real sockets.

mod door;
mod gate;
mod operator;
mod server;
mod tls;
