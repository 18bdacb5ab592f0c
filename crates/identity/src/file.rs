//! Files with keys and what belongs to them: for the owner alone, and whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The largest of these files: they have a few hundred bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug, thiserror::Error)]
#[error("cannot {what} `{path}`: {cause}")]
pub struct FileError {
    what: &'static str,
    path: PathBuf,
    cause: io::Error,
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FileError + 'a {
    move |cause| FileError { what, path: path.to_owned(), cause }
}

/// Nothing where there is no such file.
pub fn file_read(path: &Path) -> Result<Option<String>, FileError> {
    let found = match fs::metadata(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(failed("read", path))?,
    };
    if found.len() > FILE_BYTES_MAX {
        let cause = io::Error::new(io::ErrorKind::InvalidData, "it is too large");
        return Err(failed("read", path)(cause));
    }
    fs::read_to_string(path).map(Some).map_err(failed("read", path))
}

/// Makes the folder where there is none.
pub fn file_write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), FileError> {
    if !folder.is_dir() {
        let make = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        make.map_err(failed("make", folder))?;
    }
    let (path, draft) = (folder.join(name), folder.join(format!("{name}.new")));
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(failed("write", &path))
}

/// Again is harmless.
pub fn file_remove(folder: &Path, name: &str) -> Result<(), FileError> {
    let path = folder.join(name);
    match fs::remove_file(&path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        removed => removed.map_err(failed("remove", &path))?,
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("remove", &path))
}
