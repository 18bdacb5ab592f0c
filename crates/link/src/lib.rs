//! Both ends of the line between hub and site, as pure machines, and what they keep.
//!
//! A frame, an answer of the store or an event goes in, effects come out. No socket, no clock, no
//! thread: what carries frames is elsewhere, and so is whoever calls the store. Why it is so: ADR 12;
//! what is said: `docs/spec/link.md`.

mod chain;
pub mod hub;
mod pack;
pub mod site;
mod tree;

pub use chain::{begin, extend};
pub use pack::{FRAME_BYTES_MAX, MESSAGE_BYTES_MAX, PackError, pack, unpack};
pub use tree::{Tree, is_in};

use base::Duration;

/// Entries of one stream that are under way without an answer. A line of a second's delay and ten
/// megabits a second is kept busy by four times as much, one of a tenth by less.
pub const WINDOW_BYTES: usize = 256 * 1024;

/// Entries of one frame together: a line that is cut every second gets some of them across, and one
/// digest and one commit serve all.
pub const ENTRIES_BYTES_MAX: usize = 48 * 1024;

/// One entry: with what is around it, it has room in a frame of its own. A larger one would never get
/// across, and everything behind it would wait for ever; so none is written.
pub const ENTRY_BYTES_MAX: usize = 128 * 1024;

/// The same, by number.
pub const ENTRIES_MAX: u32 = 256;

/// Orders of one frame together, in bytes; one that is larger has a frame of its own.
pub const ORDERS_BYTES_MAX: usize = 48 * 1024;

/// A piece of a text: with what JSON adds it is far below a frame.
pub const PIECE_BYTES_MAX: usize = 48 * 1024;

/// Workflows of which a site says why they are not there: as many as an edition names.
pub const FAILED_MAX: usize = 1_000;

/// The longest code: a few words.
const CODE_BYTES_MAX: usize = 64;

/// Open orders of a site that are under way: more are given when these have their receipts.
pub const ORDERS_READ_MAX: u32 = 256;

/// Incarnations of a site that are remembered as retired. A copy of an older one would be taken for a
/// stranger.
pub const RETIRED_MAX: usize = 64;

/// How long an order is good for at most: as long as a site may be away.
pub const ORDER_LIFE_MAX: Duration = Duration::from_secs(45 * 24 * 3600);

/// Ancestors of an incarnation that a site can name. A site that was restored more often while the
/// line was down needs a new token.
pub const ANCESTORS_MAX: usize = 16;

/// Positions and sessions stay below what JSON's numbers hold exactly.
pub const COUNT_MAX: u64 = 1 << 53;
