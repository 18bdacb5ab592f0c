//! What a store does to itself, beside reading and writing: long jobs, while other work goes on.

use crate::{Answer, Finding, Pace};

/// What [`Upkeep::verify`] has looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verified {
    pub rows: u64,
    pub blobs: u64,
    pub events: u64,
}

/// Jobs of a store that lies on a disk. They read on a connection of their own.
pub trait Upkeep: Send + Sync + 'static {
    /// Looks at tables and files by themselves: what the bytes mean is the engine's business.
    /// `tell` is called on another thread, and ends the job where it gives `false`.
    fn verify(
        &self,
        pace: Pace,
        tell: Box<dyn FnMut(Finding) -> bool + Send>,
    ) -> Answer<'_, Verified>;
}
