//! Writing files that this program has into somebody's folder: all of them or none, and never over
//! what is there.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};

#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    pub name: &'static str,
    pub bytes: &'a [u8],
}

/// Gives the paths that were written.
pub fn write(folder: &Path, files: &[File<'_>]) -> Outcome<Vec<PathBuf>> {
    let paths: Vec<PathBuf> = files.iter().map(|file| folder.join(file.name)).collect();
    let there: Vec<String> = paths
        .iter()
        // A link that leads nowhere is something as well.
        .filter(|path| fs::symlink_metadata(path).is_ok())
        .map(|path| format!("`{}`", path.display()))
        .collect();
    if !there.is_empty() {
        let verb = if there.len() == 1 { "is" } else { "are" };
        let message = format!("{} {verb} there already; nothing was written", there.join(", "));
        return Err(Failure::usage(message).hint("name another folder"));
    }
    for (file, path) in files.iter().zip(&paths) {
        let within = path.parent().unwrap_or(folder);
        fs::create_dir_all(within).map_err(|cause| {
            Failure::usage(format!("cannot make the folder `{}`: {cause}", within.display()))
        })?;
        // Not over what came meanwhile either.
        let opened = OpenOptions::new().write(true).create_new(true).open(path);
        opened.and_then(|mut opened| opened.write_all(file.bytes)).map_err(|cause| {
            Failure::usage(format!("cannot write `{}`: {cause}", path.display()))
        })?;
    }
    Ok(paths)
}
