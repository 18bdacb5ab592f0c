//! The real binary as people and scripts meet it: every command, every exit code that can be
//! reached, against a real `isonomy dev` on a store of its own.

mod apply;
mod contract;
mod dev;
mod follow;
mod local;
mod promise;
mod run;
mod runs;
mod sets;
#[path = "../support/mod.rs"]
mod support;
mod usage;
