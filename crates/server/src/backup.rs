//! A backup as a stream: the tables as they were at one moment, and the blob files that they name.
//!
//! The tables are copied into a file first, so that a reader who is slow does not hold the log of the
//! store. Secrets and configuration are not in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Clock;
use bytes::Bytes;
use store::{Pace, Upkeep};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use wire::{BackupDone, BackupFile, BackupLine, BackupStore, StoreFailure};

use crate::pieces::{Out, Unread};

/// What [`backup`] answers with.
pub const BACKUP_MEDIA_TYPE: &str = "application/x-isonomy-backup";

/// One piece of a file.
const PIECE_BYTES: usize = 256 * 1024;

/// The tables, in the backup and in the data folder.
const DATABASE: &str = "isonomy.db";

enum Halt {
    Failed(String),
    Unread,
}

impl From<Unread> for Halt {
    fn from(_: Unread) -> Self {
        Self::Unread
    }
}

/// A store of which a copy is made.
pub struct Source {
    pub upkeep: Arc<dyn Upkeep>,
    /// Where the tables are copied to first.
    pub scratch: PathBuf,
    pub clock: Arc<dyn Clock>,
    pub pace: Pace,
}

/// Says everything that is in it: [`BackupLine`]s, with the bytes of files between them.
pub async fn backup(source: Option<Source>, out: Out) {
    let Some(source) = source else {
        return failed(&out, "the store is kept in memory".to_owned()).await;
    };
    let copy = source.scratch.join(DATABASE);
    let done = parts(&source, &copy, &out).await;
    if let Err(cause) = tokio::fs::remove_file(&copy).await {
        tracing::debug!(%cause, "no copy of the store to remove");
    }
    match done {
        Ok(()) | Err(Halt::Unread) => {}
        Err(Halt::Failed(detail)) => failed(&out, detail).await,
    }
}

async fn failed(out: &Out, detail: String) {
    tracing::warn!(detail, "the backup could not be made");
    let (Ok(()) | Err(Unread)) = out.line(&BackupLine::Failed(StoreFailure { detail })).await;
}

async fn parts(source: &Source, copy: &Path, out: &Out) -> Result<(), Halt> {
    let wrong = |wrong: store::StoreError| Halt::Failed(wrong.to_string());
    let upkeep = &source.upkeep;
    let at = source.clock.now();
    let _held = upkeep.hold_files();
    // Ends when nobody reads any more, since this task does then.
    let copying = upkeep.copy(copy.to_owned(), source.pace);
    let copied = tokio::select! {
        copied = copying => copied.map_err(wrong)?,
        () = out.unread() => return Err(Halt::Unread),
    };
    let head = BackupStore {
        at: at.to_string(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        incarnation: copied.incarnation.to_string(),
        epoch: copied.epoch,
        schema: copied.schema,
    };
    out.line(&BackupLine::Store(head)).await?;
    let database = BackupFile {
        file: DATABASE.to_owned(),
        bytes: copied.bytes,
        digest: copied.digest.to_string(),
    };
    file(copy, database, out).await?;
    for (blob, bytes) in &copied.blobs {
        let (place, name) = (upkeep.blob_file(*blob), blob.to_string());
        let hex = name.trim_start_matches("b3:");
        let path = format!("blobs/{}/{hex}", &hex[..2]);
        file(&place, BackupFile { file: path, bytes: *bytes, digest: name.clone() }, out).await?;
    }
    let files = 1 + copied.blobs.len() as u64;
    Ok(out.line(&BackupLine::Done(BackupDone { files })).await?)
}

/// Exactly as many bytes as were announced, or none behind a failure.
async fn file(from: &Path, about: BackupFile, out: &Out) -> Result<(), Halt> {
    let failed = |cause: std::io::Error| {
        Halt::Failed(format!("cannot read `{}`: {cause}; try again", from.display()))
    };
    let mut opened = File::open(from).await.map_err(failed)?;
    let size = opened.metadata().await.map_err(failed)?.len();
    if size != about.bytes {
        let what = format!("`{}` has {size} bytes, and should have {}", about.file, about.bytes);
        return Err(Halt::Failed(format!("{what}; `isonomy store check` says more")));
    }
    let mut left = about.bytes;
    out.line(&BackupLine::File(about)).await?;
    while left > 0 {
        let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES))];
        opened.read_exact(&mut piece).await.map_err(failed)?;
        left -= piece.len() as u64;
        out.bytes(Bytes::from(piece)).await?;
    }
    Ok(())
}
