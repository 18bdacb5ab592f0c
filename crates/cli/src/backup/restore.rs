//! A store from a backup: a life of its own, with an incarnation of its own.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use base::{Digest, IncarnationId};
use store_sqlite::DATABASE_FILE;
use wire::BackupFile;

use super::{Manifest, create, failed, make_folder, place, sync_names};
use crate::failure::{Failure, Outcome};

/// What was made.
#[derive(Debug)]
pub struct Restored {
    pub manifest: Manifest,
    pub incarnation: IncarnationId,
}

/// Makes the store. The database gets its name last, so that a folder has a whole store or none.
pub fn restore(backup: &Path, data: &Path) -> Outcome<Restored> {
    let manifest = Manifest::read(backup)?;
    if data.join(DATABASE_FILE).exists() {
        let what = format!("there is a store in `{}` already", data.display());
        return Err(
            Failure::usage(what).hint("name another folder with `--data DIR`, or move it away")
        );
    }
    let databases = manifest.files.iter().filter(|about| about.file == DATABASE_FILE);
    if databases.count() != 1 {
        return Err(Failure::usage(format!(
            "the manifest of `{}` names no store",
            backup.display()
        )));
    }
    make_folder(data).map_err(|cause| failed(data, &cause))?;
    let unnamed = data.join(format!("{DATABASE_FILE}.new"));
    let mut places = Vec::new();
    for about in &manifest.files {
        let (from, to) = (place(backup, about)?, place(data, about)?);
        let to = if about.file == DATABASE_FILE { unnamed.clone() } else { to };
        copy(&from, &to, about)?;
        places.push(to);
    }
    let renewed = store_sqlite::renew(&unnamed);
    let incarnation = renewed.map_err(|error| Failure::internal(error.to_string()))?;
    let file = data.join(DATABASE_FILE);
    let name = || {
        sync_names(data, places.iter())?;
        fs::rename(&unnamed, &file)?;
        sync_names(data, [file.clone()].iter())
    };
    name().map_err(|cause| failed(&file, &cause))?;
    Ok(Restored { manifest, incarnation })
}

/// Copies a file and makes sure that the copy is what the manifest says.
fn copy(from: &Path, to: &PathBuf, about: &BackupFile) -> Outcome<()> {
    // Left over from a restore that was broken off: nothing refers to it.
    match fs::remove_file(to) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(failed(to, &cause)),
        _ => {}
    }
    let mut source = File::open(from)
        .map_err(|cause| Failure::usage(format!("cannot read `{}`: {cause}", from.display())))?;
    let mut copied = create(to).map_err(|cause| failed(to, &cause))?;
    io::copy(&mut source, &mut copied).map_err(|cause| failed(to, &cause))?;
    copied.sync_all().map_err(|cause| failed(to, &cause))?;
    let found = File::open(to).and_then(Digest::of_reader).map_err(|cause| failed(to, &cause))?;
    if (found.0.to_string(), found.1) != (about.digest.clone(), about.bytes) {
        let what = format!("`{}` is not what the manifest says", from.display());
        return Err(Failure::usage(what).hint("the backup is damaged; take another one"));
    }
    Ok(())
}
