//! The loss of power, for tests.
//!
//! ```text
//!  program ──► record.c ──► libc ──► the real files
//!                 │
//!                 └──► log: created, written, synced, renamed, said, in the order of the world
//!                        │
//!                        ▼
//!               Disk::apply … ──► Disk::after_power_loss ──► a folder, and the program starts on it
//! ```
//!
//! A real program runs on real files, once, and every point of its log is a moment at which the power
//! may go. What was synced is there then. What was not may be there, or not, or by halves.
//!
//! Names are taken as POSIX promises them, not as a kind file system has them: a file or folder has its
//! name for sure only when the folder that it stands in was synced. What is pending when the power goes
//! keeps its order in the journal of the file system, so some of the first of it may be there. Data is
//! kept or lost by sectors, in no order.

mod disk;
mod log;
mod recorder;

pub use disk::{Disk, Image, Keep};
pub use log::{Entry, LogError};
pub use recorder::Recorder;
