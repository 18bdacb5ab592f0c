//! A backup as it comes from a site: lines, and the bytes of files between them.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use base::Digest;
use bytes::{Buf as _, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use wire::{BackupFile, BackupLine, BackupStore, StoreFailure};

use super::{MANIFEST, Manifest, create, failed, make_folder, place, sync_names};
use crate::failure::{Failure, Outcome};

/// The longest line. Longer is no line of ours.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Writes what comes into `folder`, which is new or empty.
pub async fn receive(
    folder: &Path,
    next: &mut impl AsyncFnMut() -> Outcome<Option<Bytes>>,
) -> Outcome<Manifest> {
    prepare(folder)?;
    let received = unpack(&mut Incoming::new(next), |about| place(folder, about)).await?;
    sync_names(folder, received.places.iter()).map_err(|cause| failed(folder, &cause))?;
    let manifest = Manifest::new(received.store, received.files);
    finish(folder, &manifest)?;
    Ok(manifest)
}

/// What has come, and lies where it should.
pub(super) struct Received {
    pub store: BackupStore,
    pub files: Vec<BackupFile>,
    pub places: Vec<PathBuf>,
}

/// Writes each file to its place, durably but for its name.
pub(super) async fn unpack<N: AsyncFnMut() -> Outcome<Option<Bytes>>>(
    pieces: &mut Incoming<'_, N>,
    place: impl Fn(&BackupFile) -> Outcome<PathBuf>,
) -> Outcome<Received> {
    let store = match pieces.line().await? {
        BackupLine::Store(store) => store,
        BackupLine::Failed(failure) => return Err(not_made(&failure)),
        BackupLine::File(_) | BackupLine::Done(_) => return Err(unexpected()),
    };
    let (mut files, mut places) = (Vec::new(), Vec::new());
    loop {
        match pieces.line().await? {
            BackupLine::File(about) => {
                let at = place(&about)?;
                file(&at, &about, pieces).await?;
                files.push(about);
                places.push(at);
            }
            BackupLine::Done(done) if done.files == files.len() as u64 => break,
            BackupLine::Failed(failure) => return Err(not_made(&failure)),
            BackupLine::Done(_) | BackupLine::Store(_) => return Err(unexpected()),
        }
    }
    Ok(Received { store, files, places })
}

fn prepare(folder: &Path) -> Outcome<()> {
    let is_free = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) => !folder.exists(),
    };
    if !is_free {
        let what = format!("`{}` is there already, and is not an empty folder", folder.display());
        return Err(Failure::usage(what).hint("name a new folder: a backup replaces nothing"));
    }
    make_folder(folder).map_err(|cause| failed(folder, &cause))
}

async fn file<N: AsyncFnMut() -> Outcome<Option<Bytes>>>(
    at: &Path,
    about: &BackupFile,
    pieces: &mut Incoming<'_, N>,
) -> Outcome<()> {
    let wrong = |cause| failed(at, &cause);
    let mut file = create(at).map_err(wrong)?;
    let mut left = about.bytes;
    while left > 0 {
        let piece = pieces.some(left).await?;
        left -= piece.len() as u64;
        file.write_all(&piece).map_err(wrong)?;
    }
    file.sync_all().map_err(wrong)?;
    // Read again from the disk: what is there counts, not what came.
    let found = File::open(at).and_then(Digest::of_reader).map_err(wrong)?;
    if (found.0.to_string(), found.1) != (about.digest.clone(), about.bytes) {
        let what = format!("`{}` did not arrive as it was sent", at.display());
        return Err(Failure::internal(what).hint("try again into a new folder"));
    }
    Ok(())
}

/// The manifest says that nothing is missing, so it comes last and whole.
fn finish(folder: &Path, manifest: &Manifest) -> Outcome<()> {
    let (new, file) = (folder.join(format!("{MANIFEST}.new")), folder.join(MANIFEST));
    let mut text = serde_json::to_vec_pretty(manifest).expect("our own types have JSON text");
    text.push(b'\n');
    let write = || {
        let mut opened = create(&new)?;
        opened.write_all(&text)?;
        opened.sync_all()?;
        fs::rename(&new, &file)?;
        let folder: PathBuf = folder.to_owned();
        sync_names(&folder, [file.clone()].iter())
    };
    write().map_err(|cause| failed(&file, &cause))
}

/// Lines, and bytes between them.
pub(super) struct Incoming<'a, N> {
    next: &'a mut N,
    read: BytesMut,
}

impl<'a, N: AsyncFnMut() -> Outcome<Option<Bytes>>> Incoming<'a, N> {
    pub(super) fn new(next: &'a mut N) -> Self {
        Self { next, read: BytesMut::new() }
    }

    async fn more(&mut self) -> Outcome<()> {
        match (self.next)().await? {
            Some(piece) => {
                self.read.extend_from_slice(&piece);
                Ok(())
            }
            None => Err(Failure::internal("the backup was broken off")
                .hint("remove what was written, and try again")),
        }
    }

    pub(super) async fn line<T: DeserializeOwned>(&mut self) -> Outcome<T> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(end);
                self.read.advance(1);
                return serde_json::from_slice(&line).map_err(|_| unexpected());
            }
            if self.read.len() > LINE_BYTES_MAX {
                return Err(unexpected());
            }
            self.more().await?;
        }
    }

    /// At most so many bytes, and at least one.
    pub(super) async fn some(&mut self, most: u64) -> Outcome<BytesMut> {
        if self.read.is_empty() {
            self.more().await?;
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Ok(self.read.split_to(most.min(self.read.len())))
    }
}

pub(super) fn not_made(failure: &StoreFailure) -> Failure {
    Failure::internal(format!("the backup was not made: {}", failure.detail))
}

pub(super) fn unexpected() -> Failure {
    Failure::internal("the backup is not what this version expects")
        .hint("use the version of the program that the site has")
}
