//! Durable execution: a run is an interpreter over the typed tree of its revision, fed by its
//! journal.
//!
//! The core ([`machine`]) is sans I/O: it reads no clock, no disk, no network and no random number.
//! Beside it stands a small driver that decides, records and acts, in this order.

pub mod activation;
pub mod check;
pub mod compact;
pub mod dispatch;
pub mod driver;
pub mod effect;
pub mod event;
pub mod failpoint;
pub mod format;
pub mod lifecycle;
pub mod list;
pub mod listen;
pub mod machine;
mod operation;
pub mod pace;
mod process;
pub mod record;
pub mod replay;
pub mod sealed;
pub mod secret;
