//! The gate over real sockets.

mod desk;
mod disk;
mod door;
mod gate;
mod operator;
mod protect;
mod server;
mod tls;
mod translate;
