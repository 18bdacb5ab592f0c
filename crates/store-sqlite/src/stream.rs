//! A blob that is written piece by piece, and never whole in memory.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use base::Digester;
use store::{BlobRef, BlobWrite, CommitError};

use crate::blob::{BlobFiles, refused};
use crate::folder;

/// Bytes after which what is written is sent to the disk. Otherwise the fsync at the end has all of it
/// to write, and every commit beside it waits for that.
const SYNC_BYTES: u64 = 16 * 1024 * 1024;

pub(crate) struct BlobFile {
    files: Arc<BlobFiles>,
    path: PathBuf,
    file: File,
    digester: Digester,
    bytes: u64,
    unsynced: u64,
}

impl BlobFile {
    pub(crate) fn begin(files: Arc<BlobFiles>) -> Result<Self, CommitError> {
        let path = files.unfinished();
        let file = folder::create(&path).map_err(refused)?;
        Ok(Self { files, path, file, digester: Digester::default(), bytes: 0, unsynced: 0 })
    }
}

impl BlobWrite for BlobFile {
    fn write(&mut self, bytes: &[u8]) -> Result<(), CommitError> {
        self.file.write_all(bytes).map_err(refused)?;
        self.digester.update(bytes);
        self.bytes += bytes.len() as u64;
        self.unsynced += bytes.len() as u64;
        if self.unsynced >= SYNC_BYTES {
            self.files.durable(self.file.sync_data());
            self.unsynced = 0;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<BlobRef, CommitError> {
        let reference = BlobRef { blob: self.digester.finish(), bytes: self.bytes };
        self.files.name(&self.path, &self.file, reference.blob).map_err(refused)?;
        Ok(reference)
    }
}

/// What was finished has another name by then.
impl Drop for BlobFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
