//! Blobs: rows up to a size, files above it.
//!
//! A file is complete and durable, name and all, before any commit refers to it: it is written
//! under another name, fsynced, renamed, and its folder is fsynced. Its row is part of the commit.
//! Content that comes piece by piece is written in `stream`, and is a file whatever its size.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::limits::VALUE_BYTES_MAX;
use base::{Digest, Digester};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _};
use store::{BlobId, CommitError};

use crate::convert::uint;
use crate::folder;
use crate::stats::Counters;

/// Files that are known to be what their names say. Beyond this all are looked at again.
const WHOLE_FILES_MAX: usize = 4_096;

/// One for each first byte of a digest.
const FOLDERS: usize = 256;

/// Folders that are swept in one step: the writer does nothing else meanwhile.
const FOLDERS_AT_ONCE: usize = 8;

/// Bytes that are hashed at once.
const HASH_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct BlobFiles {
    folder: PathBuf,
    unfinished: PathBuf,
    next: AtomicU64,
    /// Blobs of commits that are under way, and how many of them.
    under_way: Mutex<HashMap<BlobId, usize>>,
    /// Files that are complete, of which no commit has said yet that it wants them.
    finished: Mutex<HashMap<BlobId, usize>>,
    /// Folders of blobs that were swept since this was opened.
    swept: AtomicUsize,
    /// Copies of the store that are under way: all files stay as long.
    copies: AtomicUsize,
    /// Blobs whose rows went during a copy. Their files go after it; what a crash forgets of them is
    /// harmless.
    later: Mutex<Vec<BlobId>>,
    /// What was compared with its name, or written, since this was opened.
    whole: Mutex<HashMap<BlobId, Stamp>>,
    /// Folders of blobs whose own names are durable.
    named: Mutex<HashSet<PathBuf>>,
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
        count_down(&mut self.files.under_way(), self.blob);
    }
}

/// A copy of the store is under way.
#[derive(Debug)]
pub(crate) struct AllHeld(Arc<BlobFiles>);

impl Drop for AllHeld {
    fn drop(&mut self) {
        self.0.copies.fetch_sub(1, AcqRel);
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
        Ok(Self::of(folder, unfinished, counters, on_fatal))
    }

    /// As long as this is held, the blob's file is not deleted.
    pub(crate) fn hold(self: &Arc<Self>, blob: BlobId) -> Held {
        *self.under_way().entry(blob).or_insert(0) += 1;
        Held { files: Arc::clone(self), blob }
    }

    /// As long as this is held, no file is deleted.
    pub(crate) fn hold_all(self: &Arc<Self>) -> AllHeld {
        self.copies.fetch_add(1, AcqRel);
        AllHeld(Arc::clone(self))
    }

    /// Deletes the files of blobs that have no row any more. Those that a commit under way brings
    /// again stay: it may have seen them already. A file that cannot be deleted is harmless.
    pub(crate) fn discard(&self, db: &Connection, blobs: impl Iterator<Item = BlobId>) {
        let mut later = self.later.lock().unwrap_or_else(PoisonError::into_inner);
        later.extend(blobs);
        if self.copies.load(Acquire) > 0 {
            return;
        }
        for blob in later.drain(..) {
            // Held while deleting, so that whoever keeps the blob anew finds it there or not there.
            let under_way = self.under_way();
            // It may have come back while it was kept for a copy.
            self.delete(db, blob, &under_way);
        }
    }

    /// Deletes the files that a crash has left without a row: some folders at a time, and all of them
    /// once, since such a file is of an earlier life. Whether there are more to look at now.
    pub(crate) fn sweep(&self, db: &Connection) -> bool {
        let first = self.swept.load(Relaxed);
        if first >= FOLDERS || self.copies.load(Acquire) > 0 {
            return false;
        }
        let next = FOLDERS.min(first + FOLDERS_AT_ONCE);
        for number in first..next {
            let Ok(files) = fs::read_dir(self.folder.join(format!("{number:02x}"))) else {
                continue;
            };
            for file in files.flatten() {
                let name = file.file_name();
                // What is not ours stays; a check tells of it.
                if let Ok(blob) = format!("b3:{}", name.to_string_lossy()).parse::<BlobId>() {
                    self.delete(db, blob, &self.under_way());
                }
            }
        }
        self.swept.store(next, Relaxed);
        next < FOLDERS
    }

    /// Deletes a file that has no row, and that nobody is about to commit.
    fn delete(&self, db: &Connection, blob: BlobId, under_way: &HashMap<BlobId, usize>) {
        let is_wanted = under_way.contains_key(&blob) || self.finished().contains_key(&blob);
        if is_wanted || !matches!(blob_size(db, blob), Ok(None)) {
            return;
        }
        if let Err(cause) = fs::remove_file(self.place(blob).1) {
            tracing::warn!(%blob, %cause, "cannot delete the file of a forgotten blob");
        }
    }

    fn finished(&self) -> MutexGuard<'_, HashMap<BlobId, usize>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit with this blob is durable: its row keeps its file from here on.
    pub(crate) fn claim(&self, blob: BlobId) {
        count_down(&mut self.finished(), blob);
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<BlobId, usize>> {
        // No change of the map can panic half way.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files as they are, only to be read.
    pub(crate) fn look(data: &Path, counters: Arc<Counters>) -> Self {
        let folder = data.join("blobs");
        let unfinished = folder.join("new");
        let never = |_| unreachable!("a store that is only read writes no file");
        Self::of(folder, unfinished, counters, never)
    }

    fn of(
        folder: PathBuf,
        unfinished: PathBuf,
        counters: Arc<Counters>,
        on_fatal: fn(String) -> !,
    ) -> Self {
        Self {
            folder,
            unfinished,
            next: AtomicU64::new(0),
            under_way: Mutex::default(),
            finished: Mutex::default(),
            swept: AtomicUsize::new(0),
            copies: AtomicUsize::new(0),
            later: Mutex::default(),
            whole: Mutex::default(),
            named: Mutex::default(),
            counters,
            on_fatal,
        }
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
            self.make(&folder).map_err(refused)?;
            self.write(&file, bytes)?;
        }
        // Also where the file is there already: a crash may have come before its name was durable.
        self.durable(folder::sync(&folder));
        Ok(())
    }

    /// Whether content that a commit refers to is here.
    pub(crate) fn is_kept(
        &self,
        db: &Connection,
        blob: BlobId,
        size: u64,
    ) -> Result<(), CommitError> {
        let (_, file) = self.place(blob);
        let is_file = fs::metadata(&file).is_ok_and(|found| found.len() == size);
        if is_file || blob_size(db, blob).ok().flatten() == Some(size) {
            return Ok(());
        }
        Err(CommitError::BlobMissing(blob))
    }

    /// A name for a file that is being written.
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.unfinished.join(self.next.fetch_add(1, Relaxed).to_string())
    }

    /// Gives a file that is complete its name, durably.
    pub(crate) fn name(&self, unfinished: &Path, new: &File, blob: BlobId) -> io::Result<()> {
        let (folder, file) = self.place(blob);
        self.make(&folder)?;
        self.durable(new.sync_all());
        // Before it has its name: from then on a sweep sees it.
        *self.finished().entry(blob).or_insert(0) += 1;
        fs::rename(unfinished, &file).inspect_err(|_| self.claim(blob))?;
        self.durable(folder::sync(&folder));
        self.is_whole(blob, &new.metadata()?);
        Ok(())
    }

    /// Makes a folder of blobs, durably. One that is there may be the work of a life that ended before
    /// its name was durable, or of another commit that is about to make it so.
    fn make(&self, folder: &Path) -> io::Result<()> {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if !named.contains(folder) {
            folder::make(folder)?;
            self.durable(folder::sync(&self.folder));
            named.insert(folder.to_owned());
        }
        Ok(())
    }

    fn write(&self, file: &Path, bytes: &[u8]) -> Result<(), CommitError> {
        let unfinished = self.unfinished();
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
    pub(crate) fn durable(&self, synced: io::Result<()>) {
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

    /// A part of a blob. A file is compared with its name when a part of it is read first.
    pub(crate) fn read_part(
        &self,
        db: &Connection,
        blob: BlobId,
        offset: u64,
        bytes: u64,
    ) -> Result<Option<Bytes>, ReadError> {
        let mut query = db.prepare_cached(include_str!("sql/blob_size.sql"))?;
        let found = query.query_row([blob.as_bytes()], |row| uint(row, 0)).optional()?;
        let Some(size) = found else { return Ok(None) };
        let part = offset.min(size)..offset.saturating_add(bytes).min(size);
        if self.is_row(db, blob)? {
            let whole = self.read(db, blob)?;
            let place = |at: u64| usize::try_from(at).expect("a row is a megabyte at most");
            return Ok(whole.map(|whole| whole.slice(place(part.start)..place(part.end))));
        }
        let (_, path) = self.place(blob);
        let failed = |cause| ReadError::File { blob, cause };
        let file = File::open(&path).map_err(failed)?;
        self.compare(blob, &file, size)?;
        let length = usize::try_from(part.end - part.start)
            .map_err(|_| failed(io::ErrorKind::FileTooLarge.into()))?;
        let mut into = vec![0; length];
        file.read_exact_at(&mut into, part.start).map_err(failed)?;
        Ok(Some(into.into()))
    }

    fn is_row(&self, db: &Connection, blob: BlobId) -> rusqlite::Result<bool> {
        let mut query = db.prepare_cached(include_str!("sql/blob_is_row.sql"))?;
        query.exists([blob.as_bytes()])
    }

    /// All of a file against its name, once; afterwards only whether it is that file still.
    fn compare(&self, blob: BlobId, file: &File, size: u64) -> Result<(), ReadError> {
        let failed = |cause| ReadError::File { blob, cause };
        let found = file.metadata().map_err(failed)?;
        if found.len() != size {
            return Err(ReadError::Changed(blob));
        }
        let known = self.whole.lock().unwrap_or_else(PoisonError::into_inner).get(&blob).copied();
        if known == Some(Stamp::of(&found)) {
            return Ok(());
        }
        let mut digester = Digester::default();
        let (mut from, mut piece) = (file, vec![0; HASH_BYTES]);
        loop {
            match from.read(&mut piece).map_err(failed)? {
                0 => break,
                read => digester.update(&piece[..read]),
            }
        }
        if digester.finish() != blob {
            return Err(ReadError::Changed(blob));
        }
        self.is_whole(blob, &found);
        Ok(())
    }

    fn is_whole(&self, blob: BlobId, file: &Metadata) {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if whole.len() >= WHOLE_FILES_MAX {
            whole.clear();
        }
        whole.insert(blob, Stamp::of(file));
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

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn file(&self, blob: BlobId) -> PathBuf {
        self.place(blob).1
    }

    /// The folder and the file of a blob: many folders, so that none grows too long.
    fn place(&self, blob: BlobId) -> (PathBuf, PathBuf) {
        let text = blob.to_string();
        let hex = text.trim_start_matches("b3:");
        let folder = self.folder.join(&hex[..2]);
        let file = folder.join(hex);
        (folder, file)
    }
}

fn count_down(counts: &mut HashMap<BlobId, usize>, blob: BlobId) {
    if let Some(times) = counts.get_mut(&blob) {
        *times -= 1;
        if *times == 0 {
            counts.remove(&blob);
        }
    }
}

/// What tells a file from one that was written over or put in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self { inode: file.ino(), changed: (file.ctime(), file.ctime_nsec()) }
    }
}

pub(crate) fn refused(cause: io::Error) -> CommitError {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => CommitError::Full,
        _ => CommitError::Write(format!("cannot write a blob file: {cause}")),
    }
}

fn blob_size(db: &Connection, blob: BlobId) -> rusqlite::Result<Option<u64>> {
    let mut query = db.prepare_cached(include_str!("sql/blob_size.sql"))?;
    query.query_row([blob.as_bytes()], |row| uint(row, 0)).optional()
}
