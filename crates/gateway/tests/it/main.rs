//! The gate over real sockets.

mod desk;
mod disk;
mod door;
mod faults;
mod gate;
mod lanes;
mod limits;
mod operator;
mod protect;
mod routes;
mod server;
mod speech;
mod strange;
mod streams;
mod tls;
mod translate;
mod watch;
