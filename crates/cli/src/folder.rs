//! The files of a folder and of those below.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};

/// Folders within folders; a link that leads back ends here.
const DEPTH_MAX: usize = 20;

/// Hands over each file in the order of their names, hidden ones left out, until one is refused.
pub fn walk(folder: &Path, take: &mut impl FnMut(PathBuf) -> Outcome<()>) -> Outcome<()> {
    walk_at(folder, 0, take)
}

fn walk_at(
    folder: &Path,
    depth: usize,
    take: &mut impl FnMut(PathBuf) -> Outcome<()>,
) -> Outcome<()> {
    let wrong =
        |cause| Failure::usage(format!("cannot read the folder `{}`: {cause}", folder.display()));
    if depth > DEPTH_MAX {
        let what = format!("`{}` lies more than {DEPTH_MAX} folders deep", folder.display());
        return Err(Failure::usage(what));
    }
    let entries: Result<Vec<_>, _> = fs::read_dir(folder).map_err(wrong)?.collect();
    let mut paths: Vec<PathBuf> = entries.map_err(wrong)?.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    for path in paths {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden {
            continue;
        } else if path.is_dir() {
            walk_at(&path, depth + 1, take)?;
        } else {
            take(path)?;
        }
    }
    Ok(())
}
