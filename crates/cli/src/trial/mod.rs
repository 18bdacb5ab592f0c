//! An author's tests: a workflow is run on the real driver, with effects answered by stubs and with
//! time that is skipped, and what came of it is compared with what was expected.
//!
//! ```text
//!  file ──► cases ──► play (driver, memory store, stubs, events, skipped time) ──► judge ──► report
//! ```
//!
//! The form of a test file is described in `docs/reference/test-files.md`; the command is in
//! `command::test`.

mod aside;
pub mod diff;
mod doc;
mod event;
pub mod file;
pub mod gather;
pub mod judge;
pub mod play;
pub mod report;
mod resource;
mod rest;
pub mod stub;
pub mod subject;
mod tell;
