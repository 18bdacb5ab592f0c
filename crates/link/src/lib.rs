//! Both ends of the line between hub and site, as pure machines.
//!
//! A frame, an answer of the store or an event goes in, effects come out. No socket, no clock, no
//! thread: what carries frames and what keeps rows is elsewhere. Why it is so: ADR 12; what is said:
//! `docs/spec/link.md`.

mod chain;
pub mod hub;
pub mod site;

pub use chain::{begin, extend};

/// Entries of one stream that are under way without an answer. A line of a second's delay and ten
/// megabits a second is kept busy by four times as much, one of a tenth by less.
pub const WINDOW_BYTES: usize = 256 * 1024;

/// Entries of one frame together: a line that is cut every second gets some of them across, and one
/// digest and one commit serve all.
pub const ENTRIES_BYTES_MAX: usize = 48 * 1024;

/// The same, by number.
pub const ENTRIES_MAX: u32 = 256;

/// Orders of one frame together, in bytes; one that is larger has a frame of its own.
pub const ORDERS_BYTES_MAX: usize = 48 * 1024;

/// Ancestors of an incarnation that a site can name. A site that was restored more often while the
/// line was down needs a new token.
pub const ANCESTORS_MAX: usize = 16;

/// Positions and sessions stay below what JSON's numbers hold exactly.
pub const COUNT_MAX: u64 = 1 << 53;
