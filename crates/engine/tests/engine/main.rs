//! The engine from outside: workflows in, decisions out, with a scripted world and a clock that the
//! test moves.
//!
//! Every case runs in `walk`, which takes each machine through its own snapshot and each record
//! through its own bytes, and replays the whole journal at the end: live and replayed are equal for
//! every journal that these tests make.

mod activation;
mod arguments;
mod check;
mod compact;
mod consume;
mod crash;
mod dispatch;
mod driver;
mod error_type;
mod event;
mod extension;
mod family;
mod fault;
mod flow;
mod follow;
mod golden;
mod graph;
mod labels;
mod left;
mod lifecycle;
mod list;
mod listen;
mod loose;
mod outside;
mod process;
mod queued;
mod replay;
mod retry;
mod sealed;
mod service;
mod site;
mod snapshot;
mod suspend;
mod walk;
mod world;
