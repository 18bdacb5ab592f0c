//! Blobs: rows up to a size, files above it.
//!
//! A file is complete and durable, name and all, before any commit refers to it: it is written
//! under another name, fsynced, renamed, and its folder is fsynced. Its row is part of the commit.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::Digest;
use base::limits::VALUE_BYTES_MAX;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _};
use store::{BlobId, CommitError};

use crate::convert::uint;
use crate::folder;
use crate::stats::Counters;

#[derive(Debug)]
pub(crate) struct BlobFiles {
    folder: PathBuf,
    unfinished: PathBuf,
    next: AtomicU64,
    /// Blobs of commits that are under way, and how many of them.
    under_way: Mutex<HashMap<BlobId, usize>>,
    counters: Arc<Counters>,
    on_fatal: fn(String) -> !,
}

/// A commit is under way that brings this blob.
#[derive(Debug)]
pub(crate) struct Held {
    files: Arc<BlobFiles>,
    blob: BlobId,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut under_way = self.files.under_way();
        if let Some(times) = under_way.get_mut(&self.blob) {
            *times -= 1;
            if *times == 0 {
                under_way.remove(&self.blob);
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    #[error("the file of blob {blob}: {cause}; bring the file back from a backup")]
    File { blob: BlobId, cause: io::Error },
    #[error("blob {0} was changed outside the store; bring it back from a backup")]
    Changed(BlobId),
}

impl BlobFiles {
    /// Makes the folders and removes what a crash left half written.
    pub(crate) fn open(
        data: &Path,
        counters: Arc<Counters>,
        on_fatal: fn(String) -> !,
    ) -> io::Result<Self> {
        let folder = data.join("blobs");
        let unfinished = folder.join("new");
        folder::make(&unfinished)?;
        folder::clear(&unfinished)?;
        let (next, under_way) = (AtomicU64::new(0), Mutex::default());
        Ok(Self { folder, unfinished, next, under_way, counters, on_fatal })
    }

    /// As long as this is held, the blob's file is not deleted.
    pub(crate) fn hold(self: &Arc<Self>, blob: BlobId) -> Held {
        *self.under_way().entry(blob).or_insert(0) += 1;
        Held { files: Arc::clone(self), blob }
    }

    /// Deletes the files of blobs that have no row any more. Those that a commit under way brings
    /// again stay: it may have seen them already. A file that cannot be deleted is harmless.
    pub(crate) fn discard(&self, blobs: impl Iterator<Item = BlobId>) {
        for blob in blobs {
            // Held while deleting, so that whoever keeps the blob anew finds it there or not there.
            let under_way = self.under_way();
            if !under_way.contains_key(&blob)
                && let Err(cause) = fs::remove_file(self.place(blob).1)
            {
                tracing::warn!(%blob, %cause, "cannot delete the file of a forgotten blob");
            }
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<BlobId, usize>> {
        // No change of the map can panic half way.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the content as a file.
    pub(crate) fn keep(
        &self,
        db: &Connection,
        blob: BlobId,
        bytes: &[u8],
    ) -> Result<(), CommitError> {
        if Digest::of(bytes) != blob {
            return Err(CommitError::BlobDiffers(blob));
        }
        let (folder, file) = self.place(blob);
        let size = fs::metadata(&file).map(|found| found.len()).ok();
        let is_whole = size == Some(bytes.len() as u64);
        if is_whole && blob_size(db, blob).ok().flatten() == size {
            return Ok(());
        }
        if !is_whole {
            if !folder.is_dir() {
                folder::make(&folder).map_err(refused)?;
                Counters::add(&self.counters.fsyncs, 1);
            }
            self.write(&file, bytes)?;
        }
        // Also where the file is there already: a crash may have come before its name was durable.
        self.durable(folder::sync(&folder));
        Ok(())
    }

    fn write(&self, file: &Path, bytes: &[u8]) -> Result<(), CommitError> {
        let unfinished = self.unfinished.join(self.next.fetch_add(1, Relaxed).to_string());
        let written = folder::create(&unfinished).and_then(|mut new| {
            new.write_all(bytes)?;
            Ok(new)
        });
        let renamed = written.and_then(|new| {
            self.durable(new.sync_all());
            fs::rename(&unfinished, file)
        });
        renamed.map_err(|cause| {
            let _ = fs::remove_file(&unfinished);
            refused(cause)
        })
    }

    /// After a failed fsync nobody knows what the disk holds.
    fn durable(&self, synced: io::Result<()>) {
        Counters::add(&self.counters.fsyncs, 1);
        if let Err(cause) = synced {
            (self.on_fatal)(format!("cannot make a blob file durable: {cause}"));
        }
    }

    /// Reads a blob, row or file, and checks that it is what its name says.
    pub(crate) fn read(&self, db: &Connection, blob: BlobId) -> Result<Option<Bytes>, ReadError> {
        let mut query = db.prepare_cached(include_str!("sql/blob_get.sql"))?;
        let found = query.query_row([blob.as_bytes()], |row| {
            let bytes: Option<Vec<u8>> = row.get(1)?;
            Ok((uint(row, 0)?, bytes))
        });
        let Some((size, row)) = found.optional()? else { return Ok(None) };
        let bytes = match row {
            Some(bytes) => bytes,
            None => self.read_file(blob, size)?,
        };
        if Digest::of(&bytes) != blob {
            return Err(ReadError::Changed(blob));
        }
        Ok(Some(bytes.into()))
    }

    fn read_file(&self, blob: BlobId, size: u64) -> Result<Vec<u8>, ReadError> {
        let (_, file) = self.place(blob);
        let failed = |cause| ReadError::File { blob, cause };
        let found = fs::metadata(&file).map_err(failed)?.len();
        // Before it is read: a file that was swapped for a huge one must not fill the memory.
        if found != size || size > VALUE_BYTES_MAX as u64 {
            return Err(ReadError::Changed(blob));
        }
        fs::read(&file).map_err(failed)
    }

    /// The folder and the file of a blob: 256 folders, so that none grows too long.
    fn place(&self, blob: BlobId) -> (PathBuf, PathBuf) {
        let text = blob.to_string();
        let hex = text.trim_start_matches("b3:");
        let folder = self.folder.join(&hex[..2]);
        let file = folder.join(hex);
        (folder, file)
    }
}

fn refused(cause: io::Error) -> CommitError {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => CommitError::Full,
        _ => CommitError::Write(format!("cannot write a blob file: {cause}")),
    }
}

fn blob_size(db: &Connection, blob: BlobId) -> rusqlite::Result<Option<u64>> {
    let mut query = db.prepare_cached(include_str!("sql/blob_size.sql"))?;
    query.query_row([blob.as_bytes()], |row| uint(row, 0)).optional()
}
