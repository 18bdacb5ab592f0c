//! A blob that is written piece by piece, and never whole in memory.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use base::Digester;
use store::{BlobRef, BlobWrite, StoreError};

use crate::blob::BlobFiles;
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
    pub(crate) fn begin(files: Arc<BlobFiles>) -> Result<Self, StoreError> {
        let path = files.unfinished();
        let file = folder::create(&path).map_err(failed)?;
        Ok(Self { files, path, file, digester: Digester::default(), bytes: 0, unsynced: 0 })
    }
}

impl BlobWrite for BlobFile {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(failed)?;
        self.digester.update(bytes);
        self.bytes += bytes.len() as u64;
        self.unsynced += bytes.len() as u64;
        if self.unsynced >= SYNC_BYTES {
            self.files.durable(self.file.sync_data());
            self.unsynced = 0;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<BlobRef, StoreError> {
        let reference = BlobRef { blob: self.digester.finish(), bytes: self.bytes };
        self.files.name(&self.path, &self.file, reference.blob).map_err(failed)?;
        Ok(reference)
    }
}

/// What was finished has another name by then.
impl Drop for BlobFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn failed(cause: io::Error) -> StoreError {
    let cause = match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full; free some space and try again".to_owned()
        }
        _ => cause.to_string(),
    };
    StoreError { what: "write a blob file", cause }
}
