//! A copy of the tables at one moment, and what makes a copy a store of its own.
//!
//! The copy is made page by page inside one read transaction, so that commits go on and none of them
//! is in it by half. Described in `docs/spec/backup.md`.

use std::fs::File;
use std::path::{Path, PathBuf};

use base::{Clock as _, Digest, IncarnationId, SystemClock, SystemRandom};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, params};
use store::{BlobId, Copied};

use crate::ballast::{FREE_BYTES_MIN, free_bytes};
use crate::convert::{digest, uint};
use crate::folder;
use crate::open::{self, OpenError, identity, meta};
use crate::upkeep::Pacer;

/// Pages of one piece: 1 MiB, some milliseconds of reading and writing.
const PAGES: i32 = 256;

/// Makes the copy. The text of an error completes "cannot copy the store: …".
pub(crate) fn copy(db: &Connection, to: &Path, mut pacer: Pacer) -> Result<Copied, String> {
    let sql = |cause: rusqlite::Error| cause.to_string();
    let io = |cause: std::io::Error| format!("`{}`: {cause}", to.display());
    let above = to.parent().ok_or("it needs a folder")?;
    folder::make(above).map_err(io)?;
    folder::create(to).map_err(io)?;
    room(db, above)?;
    let mut copy =
        Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(sql)?;
    // What fails is thrown away, and what is done is made durable below.
    copy.pragma_update(None, "journal_mode", "OFF").map_err(sql)?;
    copy.pragma_update(None, "synchronous", "OFF").map_err(sql)?;
    let file = File::open(to).map_err(io)?;
    // What is read first decides which moment the copy is of.
    let moment = db.unchecked_transaction().map_err(sql)?;
    let (incarnation, epoch) = identity(&moment).map_err(sql)?;
    let schema = meta(&moment, "schema").map_err(sql)?.unwrap_or(0);
    let blobs = blobs(&moment).map_err(sql)?;
    {
        let backup = Backup::new(&moment, &mut copy).map_err(sql)?;
        loop {
            match backup.step(PAGES).map_err(sql)? {
                StepResult::Done => break,
                // A piece at a time: the fsync of a whole copy would have every commit wait for it.
                StepResult::More => file.sync_data().map_err(io)?,
                StepResult::Busy | StepResult::Locked => {}
                other => return Err(format!("SQLite says {other:?}")),
            }
            if !pacer.rest() {
                return Err("nobody waits for it any more".to_owned());
            }
        }
    }
    drop(moment);
    copy.close().map_err(|(_, cause)| cause.to_string())?;
    file.sync_all().map_err(io)?;
    folder::sync(above).map_err(io)?;
    let (digest, bytes) = Digest::of_reader(file).map_err(io)?;
    Ok(Copied { bytes, digest, incarnation, epoch, schema, blobs })
}

/// The last room of a disk is for runs that end, not for copies.
fn room(db: &Connection, folder: &Path) -> Result<(), String> {
    let number = |pragma| db.pragma_query_value(None, pragma, |row| uint(row, 0));
    let pages = number("page_count").and_then(|pages| Ok(pages * number("page_size")?));
    let needed = pages.map_err(|cause| cause.to_string())?.saturating_add(FREE_BYTES_MIN);
    let free = free_bytes(folder);
    if free < needed {
        let folder = folder.display();
        return Err(format!(
            "the disk of `{folder}` has {free} bytes left and {needed} are needed: free some space"
        ));
    }
    Ok(())
}

/// Blobs that are files.
fn blobs(db: &Connection) -> rusqlite::Result<Vec<(BlobId, u64)>> {
    let mut query = db.prepare("SELECT blob, size FROM blobs WHERE bytes IS NULL ORDER BY id")?;
    query.query_map([], |row| Ok((digest(row, 0)?, uint(row, 1)?)))?.collect()
}

#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("cannot make `{file}` durable")]
    Sync {
        file: PathBuf,
        #[source]
        cause: std::io::Error,
    },
}

/// Gives a copied database file an incarnation of its own, so that nobody takes the two for one.
/// The epoch goes on where it was.
pub fn renew(file: &Path) -> Result<IncarnationId, RenewError> {
    let incarnation = IncarnationId::new(SystemClock.now(), &SystemRandom);
    let write = || -> rusqlite::Result<()> {
        let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // Whatever it is, it holds what every store holds.
        identity(&db)?;
        // Without a log beside it: the file is whole by itself when this returns.
        db.pragma_update(None, "journal_mode", "DELETE")?;
        let put = include_str!("sql/meta_put.sql");
        db.execute(put, params!["incarnation", incarnation.as_uuid().as_bytes()])?;
        db.close().map_err(|(_, cause)| cause)
    };
    write().map_err(|cause| open::of_sql(file, &cause))?;
    let synced = File::open(file).and_then(|file| file.sync_all());
    synced.map_err(|cause| RenewError::Sync { file: file.to_owned(), cause })?;
    Ok(incarnation)
}
