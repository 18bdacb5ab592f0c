//! What a store does to itself, beside reading and writing: long jobs, while other work goes on.

use std::any::Any;
use std::path::PathBuf;

use base::{Digest, IncarnationId};

use crate::{Answer, BlobId, Finding, Pace};

/// What [`Upkeep::verify`] has looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verified {
    pub rows: u64,
    pub blobs: u64,
    pub events: u64,
}

/// A copy of the tables, as they were at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    pub bytes: u64,
    pub digest: Digest,
    pub incarnation: IncarnationId,
    pub epoch: u64,
    /// The version of the tables.
    pub schema: u32,
    /// Blobs that are files, with their sizes. They never change.
    pub blobs: Vec<(BlobId, u64)>,
}

/// Jobs of a store that lies on a disk. They read on a connection of their own, and end when nobody
/// waits for their answer any more.
pub trait Upkeep: Send + Sync + 'static {
    /// Looks at tables and files by themselves: what the bytes mean is the engine's business.
    /// `tell` is called on another thread, and ends the job where it gives `false`.
    fn verify(
        &self,
        pace: Pace,
        tell: Box<dyn FnMut(Finding) -> bool + Send>,
    ) -> Answer<'_, Verified>;

    /// Copies the tables into a new file, durably. Commits go on meanwhile and are not in it.
    fn copy(&self, to: PathBuf, pace: Pace) -> Answer<'_, Copied>;

    /// As long as this is held, no blob file goes, whatever is forgotten meanwhile. To be had before
    /// [`Upkeep::copy`], until the files that it names are read.
    fn hold_files(&self) -> Box<dyn Any + Send + Sync>;

    /// Where a blob lies that is a file.
    fn blob_file(&self, blob: BlobId) -> PathBuf;

    /// A folder beside the store for what is made in passing; emptied at each start.
    fn scratch(&self) -> PathBuf;
}
