//! Backups on the disk: what a folder holds, and how one is made from what a site tells and read
//! again. Described in `docs/spec/backup.md`.
//!
//! The manifest is written last: a folder without one is a backup that was broken off.

mod bundle;
mod receive;
mod restore;

pub use bundle::{Kind, is_free, pack, unpack};
pub use receive::receive;
pub use restore::restore;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base::Digest;
use serde::{Deserialize, Serialize};
use wire::{BackupFile, BackupStore};

use crate::failure::{Failure, Outcome};

pub const MANIFEST: &str = "manifest.json";

const MANIFEST_TYPE: &str = "isonomy.backup";
const MANIFEST_VERSION: u32 = 1;

/// Nobody but the owner, as in the data folder.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    #[serde(rename = "type")]
    kind: String,
    v: u32,
    #[serde(flatten)]
    pub store: BackupStore,
    pub files: Vec<BackupFile>,
}

impl Manifest {
    fn new(store: BackupStore, files: Vec<BackupFile>) -> Self {
        Self { kind: MANIFEST_TYPE.to_owned(), v: MANIFEST_VERSION, store, files }
    }

    fn read(folder: &Path) -> Outcome<Self> {
        let file = folder.join(MANIFEST);
        let text = std::fs::read(&file).map_err(|cause| {
            let missing = cause.kind() == io::ErrorKind::NotFound;
            let failure = Failure::usage(format!("cannot read `{}`: {cause}", file.display()));
            if missing {
                failure.hint("a folder without a manifest is no backup, or one that was broken off")
            } else {
                failure
            }
        })?;
        let wrong = |what: String| Failure::usage(format!("`{}` {what}", file.display()));
        let manifest: Self = serde_json::from_slice(&text)
            .map_err(|cause| wrong(format!("is not a manifest: {cause}")))?;
        if manifest.kind != MANIFEST_TYPE {
            return Err(wrong("is not the manifest of a backup".to_owned()));
        }
        if manifest.v > MANIFEST_VERSION {
            let what =
                format!("has version {}, and this program reads {MANIFEST_VERSION}", manifest.v);
            return Err(wrong(what).hint("use a newer program"));
        }
        Ok(manifest)
    }
}

/// Where a file of a backup may lie. Whatever a manifest says, nothing is read or written elsewhere.
fn place(folder: &Path, about: &BackupFile) -> Outcome<PathBuf> {
    place_among(folder, about, &[])
}

/// The same, with these beside what is in every backup.
fn place_among(folder: &Path, about: &BackupFile, others: &[&str]) -> Outcome<PathBuf> {
    let name = about.file.as_str();
    let is_blob = about.digest.strip_prefix("b3:").is_some_and(|hex| {
        about.digest.parse::<Digest>().is_ok() && name == format!("blobs/{}/{hex}", &hex[..2])
    });
    if is_blob || name == store_sqlite::DATABASE_FILE || others.contains(&name) {
        Ok(folder.join(name))
    } else {
        Err(Failure::usage(format!("a backup has no file `{}`", crate::output::clip(name, 80))))
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)
}

/// A new file, in a folder that is made where it is missing.
fn create(file: &Path) -> io::Result<File> {
    if let Some(folder) = file.parent() {
        make_folder(folder)?;
    }
    OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(file)
}

/// Makes the names of these files durable, up to `folder`.
fn sync_names<'a>(folder: &Path, files: impl Iterator<Item = &'a PathBuf>) -> io::Result<()> {
    let mut folders: Vec<&Path> = files
        .flat_map(|file| file.ancestors().skip(1).take_while(|at| at.starts_with(folder)))
        .collect();
    folders.sort_unstable();
    folders.dedup();
    // The deepest first: a name is durable when all above it are.
    folders.iter().rev().try_for_each(|folder| File::open(folder)?.sync_all())
}

fn failed(file: &Path, cause: &io::Error) -> Failure {
    let failure = Failure::internal(format!("cannot write `{}`: {cause}", file.display()));
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            failure.hint("free some space, remove what was written, and try again")
        }
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: rename a field, or take any kind or version.
    #[test]
    fn a_manifest_is_read_and_written_as_its_sample() {
        let text = include_str!("../../../../docs/spec/samples/v1/backup-manifest.json");
        let folder = tempfile::tempdir().expect("a folder");
        let read = |text: &str| {
            std::fs::write(folder.path().join(MANIFEST), text).expect("written");
            Manifest::read(folder.path()).map_err(|failure| failure.render())
        };
        let manifest = read(text).expect("the sample");
        assert_eq!(serde_json::to_string_pretty(&manifest).expect("JSON") + "\n", text);
        let newer = read(&text.replace("\"v\": 1", "\"v\": 2")).expect_err("newer");
        assert!(newer.contains("use a newer program"), "{newer}");
        let other = read(&text.replace("isonomy.backup", "other")).expect_err("another kind");
        assert!(other.contains("is not the manifest"), "{other}");
    }

    /// Mutation: join whatever name comes.
    #[test]
    fn no_file_of_a_backup_lies_elsewhere() {
        let digest = "b3:35d6c4ea88c6f3e5df065d9c23526e3ece0e22a396496935e6f5b3a6f496a38a";
        let place = |file: &str, digest: &str| {
            let about = BackupFile { file: file.to_owned(), bytes: 1, digest: digest.to_owned() };
            place(Path::new("/backup"), &about).is_ok()
        };
        assert!(place("isonomy.db", digest));
        assert!(place(&format!("blobs/35/{}", &digest[3..]), digest));
        for file in [
            "../isonomy.db",
            "/etc/passwd",
            "isonomy.db-wal",
            "blobs/35/../../x",
            "blobs/36/35d6",
            "",
        ] {
            assert!(!place(file, digest), "{file}");
        }
        assert!(!place("blobs/..//../x", "b3:../x"));
    }
}
