//! The real binary as people and scripts meet it: every command, every exit code that can be
//! reached, against a real `isonomy dev` on a store of its own.

mod apply;
mod artifacts;
mod attacks;
mod author;
mod authority;
mod books;
mod caps;
mod contract;
mod datasets;
mod desired;
mod dev;
mod dispatch;
mod exchange;
mod fleet;
mod follow;
mod gallery;
mod graph;
mod guide;
mod keys;
mod leak;
mod left;
mod local;
mod models;
mod orders;
mod promise;
mod recovery;
mod resources;
mod routes;
mod run;
mod runs;
mod scripts;
mod sealed;
mod search;
mod secrets;
mod sets;
#[path = "../support/mod.rs"]
mod support;
mod tap;
mod trial;
mod trial_events;
mod trial_resources;
mod usage;
mod watch;
mod wrong_place;
