//! Events of a namespace, in the order in which they came.

use base::{Namespace, RunId, Timestamp};
use bytes::Bytes;

/// One event. `(namespace, source, id)` is unique: whoever puts one again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Given by the store, ascending in the order of commits; ignored in an append.
    pub position: u64,
    pub namespace: Namespace,
    pub source: String,
    pub id: String,
    /// The event's `type`.
    pub kind: String,
    pub subject: Option<String>,
    /// The run that it came from.
    pub run: Option<RunId>,
    /// Its number among the events that the run has emitted, from 1; 0 for all others.
    pub number: u64,
    /// When it came.
    pub at: Timestamp,
    /// The whole event, in the engine's format.
    pub event: Bytes,
}

/// Which events are asked for. They come oldest first, unless `newest_first`.
#[derive(Debug, Clone)]
pub struct EventQuery {
    pub namespace: Namespace,
    /// Only behind this position.
    pub after: u64,
    /// Only before this position.
    pub before: Option<u64>,
    /// Exactly one of these types; empty is all.
    pub kinds: Vec<String>,
    /// Types that begin so.
    pub kind_prefix: Option<String>,
    pub source: Option<String>,
    pub subject: Option<String>,
    pub run: Option<RunId>,
    /// Come at this time or later.
    pub since: Option<Timestamp>,
    pub newest_first: bool,
    pub limit: u32,
}

impl EventQuery {
    /// The first `limit` events of a namespace.
    #[must_use]
    pub const fn of(namespace: Namespace, limit: u32) -> Self {
        Self {
            namespace,
            after: 0,
            before: None,
            kinds: Vec::new(),
            kind_prefix: None,
            source: None,
            subject: None,
            run: None,
            since: None,
            newest_first: false,
            limit,
        }
    }
}

/// How much is kept before the oldest events go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventLimits {
    pub events: u64,
    pub bytes: u64,
}

/// Which events a store holds, of all namespaces together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventsKept {
    /// Positions; 0 where there has never been one.
    pub oldest: u64,
    pub newest: u64,
    pub bytes: u64,
}

impl EventsKept {
    /// Whether the oldest one is beyond what `kept` allows.
    #[must_use]
    pub const fn exceeds(&self, kept: EventLimits) -> bool {
        self.oldest < self.newest
            && (self.newest - self.oldest >= kept.events || self.bytes > kept.bytes)
    }
}

/// The most that a store holds, also of what somebody has still to hear: the oldest go with each that
/// comes. A listener that is a million behind does not catch up.
const EVENTS_KEPT_MAX: u64 = 1_000_000;

/// 4 GiB, so that large events cannot fill a disk that small ones would not.
const EVENTS_KEPT_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Events that are kept as history, to be listed and followed, when nobody has still to hear them: at
/// two events a run, the last 25,000 runs. Some 25 MB of the store.
const EVENTS_HISTORY_MAX: u64 = 50_000;

/// 16 MB, so that the history of large events takes no more room than that of small ones.
const EVENTS_HISTORY_BYTES_MAX: u64 = 16_000_000;

impl EventLimits {
    /// What is kept though nobody has still to hear it.
    #[must_use]
    pub const fn history() -> Self {
        Self { events: EVENTS_HISTORY_MAX, bytes: EVENTS_HISTORY_BYTES_MAX }
    }
}

impl Default for EventLimits {
    fn default() -> Self {
        Self { events: EVENTS_KEPT_MAX, bytes: EVENTS_KEPT_BYTES_MAX }
    }
}
