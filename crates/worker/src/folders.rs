//! The folders below which functions may read files: those that the site's configuration names.
//!
//! A path is looked at twice: before opening, so that nothing outside is touched, and after, so that
//! nobody can exchange a folder for a link in between. Either look alone refuses a link that leads
//! out, so no test of the result can tell whether one of them is missing.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Component, Path, PathBuf};

use gateway::Code;
use serde::{Deserialize, Serialize};

/// One entry of `files` in the site's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folder {
    /// Lets a workflow write `NAME/rest`, so that it does not depend on where the site keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Absolute.
    pub path: PathBuf,
}

/// Entries that cannot be wrong any more.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<Folder>", into = "Vec<Folder>")]
pub struct Folders {
    list: Vec<Folder>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {number} of `files` (`{path}`): {what}")]
pub struct FolderError {
    /// The first entry is 1.
    pub number: usize,
    pub path: String,
    pub what: FolderMistake,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FolderMistake {
    #[error("write an absolute path without `..`")]
    Relative,
    #[error("a name is one part of a path: without `/`, and not `.` or `..`")]
    Name,
    #[error("the name is taken by entry {0}")]
    Taken(usize),
}

/// A file below a folder, open, and the entry that allows it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) rule: String,
}

/// Why a file below a folder is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// By a link.
    LeadsOut,
    NotAFile,
    Missing,
    Unreadable(io::ErrorKind),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("{}", outside(path))]
    Outside { path: String },
    #[error("`{path}` leads out of its folder by a link; {way}", way = outside(path))]
    LeadsOut { path: String },
    #[error("a path with `..` is not followed; write it without")]
    Up,
    #[error("`{path}` does not exist")]
    Missing { path: String },
    #[error("`{path}` is not a file")]
    NotAFile { path: String },
    #[error("cannot open `{path}`: {why}")]
    Unreadable { path: String, why: io::ErrorKind },
}

impl OpenError {
    /// The code of a denial. `None` where the configuration allows it and the file is the trouble.
    pub(crate) fn denial(&self) -> Option<Code> {
        match self {
            Self::Outside { .. } => Some(Code::OutsideFolders),
            Self::LeadsOut { .. } => Some(Code::LeadsOut),
            Self::Up => Some(Code::ParentFolder),
            Self::Missing { .. } | Self::NotAFile { .. } | Self::Unreadable { .. } => None,
        }
    }
}

impl FolderError {
    #[must_use]
    pub fn code(&self) -> Code {
        Code::FolderEntry
    }
}

impl Folders {
    pub fn new(list: Vec<Folder>) -> Result<Self, FolderError> {
        for (at, folder) in list.iter().enumerate() {
            check(&list, at, folder).map_err(|what| FolderError {
                number: at + 1,
                path: folder.path.display().to_string(),
                what,
            })?;
        }
        Ok(Self { list })
    }

    /// Opens a file for reading. `path` is absolute, or `NAME/rest` with the name of an entry.
    pub(crate) fn open(&self, path: &str) -> Result<Opened, OpenError> {
        let shown = || path.to_owned();
        if Path::new(path).components().any(|part| part == Component::ParentDir) {
            return Err(OpenError::Up);
        }
        let (number, folder, rest) =
            self.find(path).ok_or_else(|| OpenError::Outside { path: shown() })?;
        let file = open_below(&folder.path, &rest).map_err(|closed| match closed {
            Closed::LeadsOut => OpenError::LeadsOut { path: shown() },
            Closed::NotAFile => OpenError::NotAFile { path: shown() },
            Closed::Missing => OpenError::Missing { path: shown() },
            Closed::Unreadable(why) => OpenError::Unreadable { path: shown(), why },
        })?;
        let name = folder.name.as_deref();
        let rule = format!(
            "files entry {number}: {}",
            name.map_or(folder.path.display().to_string(), Into::into)
        );
        Ok(Opened { file, rule })
    }

    /// The entry that a path is written below, its number, and the rest of the path.
    fn find(&self, path: &str) -> Option<(usize, &Folder, PathBuf)> {
        let path = Path::new(path);
        self.list.iter().enumerate().find_map(|(at, folder)| {
            let root = if path.is_absolute() {
                folder.path.as_path()
            } else {
                Path::new(folder.name.as_ref()?)
            };
            Some((at + 1, folder, path.strip_prefix(root).ok()?.to_owned()))
        })
    }
}

/// Opens a file that lies below a folder, links and all.
pub(crate) fn open_below(folder: &Path, rest: &Path) -> Result<File, Closed> {
    let root = folder.canonicalize()?;
    let real = root.join(rest).canonicalize()?;
    if !real.starts_with(&root) {
        return Err(Closed::LeadsOut);
    }
    let file = open_itself(&real)?;
    if !where_it_is(&file, &real)?.starts_with(&root) {
        return Err(Closed::LeadsOut);
    }
    if !file.metadata()?.is_file() {
        return Err(Closed::NotAFile);
    }
    Ok(file)
}

impl From<io::Error> for Closed {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            why => Self::Unreadable(why),
        }
    }
}

fn check(list: &[Folder], at: usize, folder: &Folder) -> Result<(), FolderMistake> {
    let up = folder.path.components().any(|part| part == Component::ParentDir);
    if !folder.path.is_absolute() || up {
        return Err(FolderMistake::Relative);
    }
    let Some(name) = &folder.name else { return Ok(()) };
    if name.is_empty() || name.contains(['/', '\\', '\0']) || matches!(name.as_str(), "." | "..") {
        return Err(FolderMistake::Name);
    }
    match list[..at].iter().position(|earlier| earlier.name.as_ref() == Some(name)) {
        Some(earlier) => Err(FolderMistake::Taken(earlier + 1)),
        None => Ok(()),
    }
}

/// Not through a link that has appeared since, and without waiting for a pipe's other end.
fn open_itself(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    }
    options.open(path)
}

/// Where an open file really is, whatever its path leads to by now.
#[cfg(target_os = "linux")]
fn where_it_is(file: &File, _path: &Path) -> io::Result<PathBuf> {
    use std::os::fd::AsRawFd;
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(not(target_os = "linux"))]
fn where_it_is(_file: &File, path: &Path) -> io::Result<PathBuf> {
    path.canonicalize()
}

/// What to add so that a path is allowed.
fn outside(path: &str) -> String {
    let (folder, named) = match Path::new(path) {
        absolute if absolute.is_absolute() => {
            (absolute.parent().unwrap_or(absolute).display().to_string(), None)
        }
        relative => ("/path/to/folder".to_owned(), relative.components().next()),
    };
    let entry = match named {
        Some(name) => format!("    - name: {}\n      path: {folder}", name.as_os_str().display()),
        None => format!("    - path: {folder}"),
    };
    format!(
        "no folder of the site's configuration allows `{path}`; to allow it, add:\nspec:\n  files:\n{entry}"
    )
}

impl TryFrom<Vec<Folder>> for Folders {
    type Error = FolderError;

    fn try_from(list: Vec<Folder>) -> Result<Self, FolderError> {
        Self::new(list)
    }
}

impl From<Folders> for Vec<Folder> {
    fn from(folders: Folders) -> Self {
        folders.list
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;

    use super::*;

    /// `data/in.csv` below an allowed folder `data`, and `secret.csv` beside it.
    struct Place {
        dir: tempfile::TempDir,
        folders: Folders,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a folder");
            let data = dir.path().join("data");
            fs::create_dir_all(data.join("sub")).expect("a folder");
            fs::write(data.join("in.csv"), "inside").expect("a file");
            fs::write(dir.path().join("secret.csv"), "outside").expect("a file");
            let folders = Folders::new(vec![Folder { name: Some("data".into()), path: data }]);
            Self { dir, folders: folders.expect("a good entry") }
        }

        fn path(&self, rest: &str) -> String {
            self.dir.path().join(rest).display().to_string()
        }

        fn check(&self, path: &str, expected: &str) {
            let said = match self.folders.open(path) {
                Ok(mut opened) => {
                    let mut text = String::new();
                    opened.file.read_to_string(&mut text).expect("a text");
                    format!("{text} by {}", opened.rule)
                }
                Err(error) => format!("{} {error}", error.denial().map_or("failed:", Code::as_str)),
            };
            assert_eq!(said, expected, "{path}");
        }
    }

    /// Mutation: look for the name anywhere, or take a path relative to the process's folder.
    #[test]
    fn a_file_is_found_by_the_name_of_its_folder_or_by_its_path() {
        let place = Place::new();
        place.check("data/in.csv", "inside by files entry 1: data");
        place.check("data//./in.csv", "inside by files entry 1: data");
        place.check(&place.path("data/in.csv"), "inside by files entry 1: data");
        place.check("data/none.csv", "failed: `data/none.csv` does not exist");
        place.check("data/sub", "failed: `data/sub` is not a file");
        place.check("data", "failed: `data` is not a file");
        place.check(
            "in.csv",
            "GATE-004 no folder of the site's configuration allows `in.csv`; to allow it, add:\n\
             spec:\n  files:\n    - name: in.csv\n      path: /path/to/folder",
        );
    }

    /// Mutation: compare paths as text (`data-2`), follow `..`, or skip the look at the real path.
    #[test]
    fn no_path_leads_out_of_the_folders() {
        let place = Place::new();
        place.check(
            "data/../secret.csv",
            "GATE-006 a path with `..` is not followed; write it without",
        );
        place.check(
            &place.path("data/../secret.csv"),
            "GATE-006 a path with `..` is not followed; write it without",
        );
        let beside = place.path("data-2/x.csv");
        place.check(
            &beside,
            &format!(
                "GATE-004 no folder of the site's configuration allows `{beside}`; to allow it, add:\nspec:\n  files:\n    - path: {}",
                place.path("data-2")
            ),
        );
    }

    /// Mutation: take out both looks at the real path, or follow no link at all.
    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_inside_its_folder_only() {
        use std::os::unix::fs::symlink;
        let place = Place::new();
        symlink(place.path("secret.csv"), place.path("data/out.csv")).expect("a link");
        symlink(place.path(""), place.path("data/up")).expect("a link");
        symlink(place.path("data/in.csv"), place.path("data/in-link.csv")).expect("a link");
        symlink("nowhere", place.path("data/dangling.csv")).expect("a link");
        for path in ["data/out.csv", "data/up/secret.csv"] {
            let error = place.folders.open(path).expect_err("leads out");
            assert!(matches!(error, OpenError::LeadsOut { .. }), "{path}: {error}");
        }
        place.check("data/in-link.csv", "inside by files entry 1: data");
        place.check("data/up/data/in.csv", "inside by files entry 1: data");
        place.check("data/dangling.csv", "failed: `data/dangling.csv` does not exist");
    }

    /// Mutation: open what follows a link, or trust the path instead of the open file.
    #[cfg(target_os = "linux")]
    #[test]
    fn an_exchange_after_the_first_look_is_seen() {
        use std::os::unix::fs::symlink;
        let place = Place::new();
        let link = PathBuf::from(place.path("data/late.csv"));
        symlink(place.path("secret.csv"), &link).expect("a link");
        assert!(open_itself(&link).is_err());
        let outside = File::open(&link).expect("followed on purpose");
        let real = where_it_is(&outside, &link).expect("a place");
        assert!(!real.starts_with(place.path("data")), "{}", real.display());
    }

    /// Mutation: open without `O_NONBLOCK`, and this test waits for ever.
    #[cfg(unix)]
    #[test]
    fn a_pipe_is_not_a_file() {
        let place = Place::new();
        let pipe = std::ffi::CString::new(place.path("data/pipe")).expect("no zero byte");
        let made = std::process::Command::new("mkfifo").arg(pipe.to_str().expect("text")).status();
        assert!(made.expect("mkfifo runs").success());
        place.check("data/pipe", "failed: `data/pipe` is not a file");
    }

    /// Mutation: drop any check of an entry.
    #[test]
    fn a_wrong_entry_is_named_with_what_to_write() {
        let entry = |name: Option<&str>, path: &str| Folder {
            name: name.map(Into::into),
            path: path.into(),
        };
        for (wrong, what) in [
            (entry(None, "data"), FolderMistake::Relative),
            (entry(None, "/a/../b"), FolderMistake::Relative),
            (entry(Some("a/b"), "/a"), FolderMistake::Name),
            (entry(Some(".."), "/a"), FolderMistake::Name),
            (entry(Some(""), "/a"), FolderMistake::Name),
            (entry(Some("x"), "/a"), FolderMistake::Taken(1)),
        ] {
            let error =
                Folders::new(vec![entry(Some("x"), "/x"), wrong.clone()]).expect_err("wrong");
            assert_eq!((error.number, &error.what), (2, &what), "{wrong:?}");
        }
        let text = r#"[{"name":"data","path":"/srv/data"},{"path":"/srv/more"}]"#;
        let folders: Folders = serde_json::from_str(text).expect("good entries");
        assert_eq!(serde_json::to_string(&folders).expect("text"), text);
    }
}
