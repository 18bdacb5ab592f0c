//! What goes up from a site: streams of entries with positions.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// A kind of entries that go up, each with positions of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    Outcome,
    Receipt,
}

/// One of a thing for each stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PerStream<T> {
    pub outcome: T,
    pub receipt: T,
}

/// A position in a stream, and the digest of its chain up to there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Head {
    pub position: u64,
    pub digest: Digest,
}

impl Stream {
    pub const ALL: [Self; 2] = [Self::Outcome, Self::Receipt];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outcome => "outcome",
            Self::Receipt => "receipt",
        }
    }
}

impl<T> PerStream<T> {
    pub fn of(mut make: impl FnMut(Stream) -> T) -> Self {
        Self { outcome: make(Stream::Outcome), receipt: make(Stream::Receipt) }
    }

    #[must_use]
    pub const fn get(&self, stream: Stream) -> &T {
        match stream {
            Stream::Outcome => &self.outcome,
            Stream::Receipt => &self.receipt,
        }
    }

    pub const fn get_mut(&mut self, stream: Stream) -> &mut T {
        match stream {
            Stream::Outcome => &mut self.outcome,
            Stream::Receipt => &mut self.receipt,
        }
    }
}
