//! The data folder: made for its owner alone, and used by one process at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::OpenError;

/// Nobody but the owner: journals hold what workflows were given.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Makes the folder and those above it, durably.
pub(crate) fn make(folder: &Path) -> io::Result<()> {
    let missing = |folder: &&Path| *folder != Path::new("") && !folder.is_dir();
    let new: Vec<&Path> = folder.ancestors().take_while(missing).collect();
    if new.is_empty() {
        // An earlier life may have made it and ended before its name was durable. Whose folder it
        // stands in, and whether we may open that one, is not for us to say.
        let _ = folder.parent().map(sync);
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
    for parent in new.into_iter().filter_map(Path::parent) {
        sync(if parent == Path::new("") { Path::new(".") } else { parent })?;
    }
    Ok(())
}

/// Makes the names in a folder durable.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A new or emptied file.
pub(crate) fn create(file: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(file)
}

/// Makes the file where there is none, so that it never has another mode.
pub(crate) fn touch(file: &Path) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(file).map(drop)
}

/// Held as long as the store is open; the system frees it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn take(folder: &Path) -> Result<Self, OpenError> {
        let path = folder.join("lock");
        let io = |cause| OpenError::Folder { path: path.clone(), cause };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        let mut file = options.open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // A number that cannot be read is no reason to hide who is locked out of what.
                let _ = file.take(20).read_to_string(&mut text);
                let holder = match text.trim().parse::<u32>() {
                    Ok(pid) => format!("process {pid}"),
                    Err(_) => "another process".to_owned(),
                };
                return Err(OpenError::Locked { folder: folder.to_owned(), holder });
            }
            Err(TryLockError::Error(cause)) => return Err(io(cause)),
        }
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        // On a full disk the lock holds all the same; only its message is poorer.
        let _ = writeln!(file, "{}", std::process::id());
        Ok(Self { _file: file })
    }
}

/// Removes what a crash may have left in a folder of unfinished files.
pub(crate) fn clear(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

/// Removes a folder of things made in passing, if it is there.
pub(crate) fn forget(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}
