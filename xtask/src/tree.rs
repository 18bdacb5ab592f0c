//! The files of the repository, as a fresh clone would have them.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that are made by building, running or version control.
const NOT_OURS: [&str; 5] = ["target", ".git", ".isonomy", "node_modules", ".mutants.out"];

/// Where the workspace's `Cargo.toml` lies.
#[must_use]
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("xtask is a folder of the workspace").to_owned()
}

/// All files below `folder` whose names end in one of `endings` (all files for none), as paths
/// from the root, sorted.
#[must_use]
pub fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let root = root();
    let mut found = Vec::new();
    walk(&root.join(folder), &mut found);
    let mut found: Vec<PathBuf> = found
        .into_iter()
        .filter_map(|path| path.strip_prefix(&root).map(Path::to_owned).ok())
        .filter(|path| {
            let name = path.to_string_lossy();
            endings.is_empty() || endings.iter().any(|ending| name.ends_with(ending))
        })
        .collect();
    found.sort();
    found
}

/// The text of a file of [`files`]. What is not UTF-8 is nothing to read for a check of texts.
#[must_use]
pub fn text(path: &Path) -> Option<String> {
    fs::read(root().join(path)).ok().and_then(|bytes| String::from_utf8(bytes).ok())
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let name = entry.file_name();
        if kind.is_dir() {
            if !NOT_OURS.iter().any(|folder| name == *folder) {
                walk(&entry.path(), found);
            }
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
}
