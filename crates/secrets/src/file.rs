//! Secrets in files of this site alone: `FOLDER/NAMESPACE/NAME/VERSION.json`. The form of a file is
//! in `docs/spec/secret.md`.
//!
//! Folders are 0700 and files 0600. Whatever others could read or replace is refused.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base::value::Json;
use base::{Namespace, SecretName, SecretVersion, Timestamp, Value};
use serde::{Deserialize, Serialize};

use crate::SECRET_BYTES_MAX;

const KIND: &str = "isonomy.secret";
const FORMAT: u32 = 1;

/// Secrets of one namespace. All are looked at for a list.
const SECRETS_MAX: usize = 1_000;

/// A file is the value, a time and a little around it.
const FILE_BYTES_MAX: u64 = SECRET_BYTES_MAX as u64 + 1_024;

/// What others may not do.
const OTHERS: u32 = 0o077;

/// Why a file cannot be used. No value is in it.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("others can reach `{}` (mode {mode:o}); `chmod {} '{}'` and look who did", path.display(), if *is_folder { "700" } else { "600" }, path.display())]
    Open { path: PathBuf, mode: u32, is_folder: bool },
    #[error("`{}` belongs to another user than the site runs as", path.display())]
    Foreign { path: PathBuf },
    #[error("cannot {what} `{}`: {}", path.display(), cause.kind())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("`{}` is not a secret that this version can read", path.display())]
    Form { path: PathBuf },
    #[error("a namespace holds at most {SECRETS_MAX} secrets")]
    TooMany,
    #[error("a secret has at most {SECRET_BYTES_MAX} bytes as JSON")]
    TooLarge,
}

#[derive(Serialize, Deserialize)]
struct Doc {
    #[serde(rename = "type")]
    kind: String,
    v: u32,
    at: Timestamp,
    value: Json,
}

/// What is known of a secret without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) name: SecretName,
    /// Ascending; never empty.
    pub(crate) versions: Vec<SecretVersion>,
    pub(crate) updated_at: Timestamp,
}

#[derive(Debug, Clone)]
pub(crate) struct Files {
    folder: PathBuf,
    kept: usize,
}

/// Numbers in a secret's folder.
#[derive(Default)]
struct Numbers {
    /// Those that can be read, ascending.
    there: Vec<u64>,
    /// The highest ever given, also to what was deleted: a number never means another value.
    last: u64,
}

impl Files {
    /// `kept` is how many versions stay, the newest included.
    pub(crate) fn new(folder: PathBuf, kept: usize) -> Self {
        Self { folder, kept: kept.max(1) }
    }

    fn of(&self, namespace: &Namespace, name: &SecretName) -> PathBuf {
        self.folder.join(namespace.as_str()).join(name.as_str())
    }

    pub(crate) fn newest(
        &self,
        namespace: &Namespace,
        name: &SecretName,
    ) -> Result<Option<SecretVersion>, FileError> {
        Ok(self.numbers(namespace, name)?.there.last().copied().map(SecretVersion))
    }

    /// The version that `set` would make.
    pub(crate) fn next(
        &self,
        namespace: &Namespace,
        name: &SecretName,
    ) -> Result<SecretVersion, FileError> {
        Ok(SecretVersion(self.numbers(namespace, name)?.last + 1))
    }

    pub(crate) fn read(
        &self,
        namespace: &Namespace,
        name: &SecretName,
        version: SecretVersion,
    ) -> Result<Option<Value>, FileError> {
        if !self.is_there(namespace, name)? {
            return Ok(None);
        }
        let path = self.of(namespace, name).join(format!("{version}.json"));
        match read(&path) {
            Ok(doc) => Ok(Some(doc.value.0)),
            Err(FileError::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a version durably, and lets the oldest go.
    pub(crate) fn set(
        &self,
        namespace: &Namespace,
        name: &SecretName,
        value: &Value,
        at: Timestamp,
    ) -> Result<SecretVersion, FileError> {
        if base::value::to_json(value).len() > SECRET_BYTES_MAX {
            return Err(FileError::TooLarge);
        }
        let numbers = self.numbers(namespace, name)?;
        if numbers.last == 0 && self.names(namespace)?.len() >= SECRETS_MAX {
            return Err(FileError::TooMany);
        }
        let folder = self.of(namespace, name);
        for path in [&self.folder, &self.folder.join(namespace.as_str()), &folder] {
            make(path)?;
        }
        let version = numbers.last + 1;
        let doc = Doc { kind: KIND.into(), v: FORMAT, at, value: Json(value.clone()) };
        let text = serde_json::to_vec(&doc).expect("our own types have JSON text");
        write(&folder, &format!("{version}.json"), &text)?;
        let old = numbers.there.len().saturating_sub(self.kept.saturating_sub(1));
        for number in &numbers.there[..old] {
            remove(&folder.join(format!("{number}.json")))?;
        }
        Ok(SecretVersion(version))
    }

    /// Whether there was anything to delete. The number of its last version stays taken.
    pub(crate) fn delete(
        &self,
        namespace: &Namespace,
        name: &SecretName,
    ) -> Result<bool, FileError> {
        let numbers = self.numbers(namespace, name)?;
        if numbers.there.is_empty() {
            return Ok(false);
        }
        let folder = self.of(namespace, name);
        write(&folder, &format!("{}.deleted", numbers.last), b"")?;
        for number in &numbers.there {
            remove(&folder.join(format!("{number}.json")))?;
        }
        sync(&folder)?;
        Ok(true)
    }

    /// By name.
    pub(crate) fn list(&self, namespace: &Namespace) -> Result<Vec<Found>, FileError> {
        let mut found = Vec::new();
        for name in self.names(namespace)? {
            let numbers = self.numbers(namespace, &name)?;
            let Some(last) = numbers.there.last() else { continue };
            let path = self.of(namespace, &name).join(format!("{last}.json"));
            let updated_at = read(&path)?.at;
            let versions = numbers.there.into_iter().map(SecretVersion).collect();
            found.push(Found { name, versions, updated_at });
        }
        Ok(found)
    }

    /// Sorted; also those that were deleted.
    fn names(&self, namespace: &Namespace) -> Result<Vec<SecretName>, FileError> {
        let folder = self.folder.join(namespace.as_str());
        if !exists(&self.folder)? || !exists(&folder)? {
            return Ok(Vec::new());
        }
        let mut names: Vec<SecretName> =
            entries(&folder)?.iter().filter_map(|name| SecretName::parse(name).ok()).collect();
        names.sort();
        Ok(names)
    }

    fn is_there(&self, namespace: &Namespace, name: &SecretName) -> Result<bool, FileError> {
        let below = self.folder.join(namespace.as_str());
        Ok(exists(&self.folder)? && exists(&below)? && exists(&self.of(namespace, name))?)
    }

    fn numbers(&self, namespace: &Namespace, name: &SecretName) -> Result<Numbers, FileError> {
        let mut numbers = Numbers::default();
        if !self.is_there(namespace, name)? {
            return Ok(numbers);
        }
        for entry in entries(&self.of(namespace, name))? {
            let Some((number, ending)) = entry.split_once('.') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match ending {
                "json" => numbers.there.push(number),
                "deleted" => {}
                // The rest of a write that a crash broke off.
                _ => continue,
            }
            numbers.last = numbers.last.max(number);
        }
        numbers.there.sort_unstable();
        Ok(numbers)
    }
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |cause| FileError::Io { what, path: path.to_owned(), cause }
}

fn entries(folder: &Path) -> Result<Vec<String>, FileError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(io("list", folder))? {
        let entry = entry.map_err(io("list", folder))?;
        names.extend(entry.file_name().into_string().ok());
    }
    Ok(names)
}

/// Whether a folder is there, and nobody else's.
fn exists(folder: &Path) -> Result<bool, FileError> {
    match fs::symlink_metadata(folder) {
        Ok(metadata) => checked(folder, &metadata, true).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io("look at", folder)(error)),
    }
}

fn checked(path: &Path, metadata: &fs::Metadata, is_folder: bool) -> Result<(), FileError> {
    let right_kind = if is_folder { metadata.is_dir() } else { metadata.is_file() };
    if !right_kind {
        return Err(FileError::Form { path: path.to_owned() });
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(FileError::Foreign { path: path.to_owned() });
    }
    let mode = metadata.mode() & 0o777;
    if mode & OTHERS != 0 {
        return Err(FileError::Open { path: path.to_owned(), mode, is_folder });
    }
    Ok(())
}

fn make(folder: &Path) -> Result<(), FileError> {
    if exists(folder)? {
        return Ok(());
    }
    DirBuilder::new().mode(0o700).create(folder).map_err(io("make", folder))?;
    folder.parent().map_or(Ok(()), sync)
}

fn read(path: &Path) -> Result<Doc, FileError> {
    let file = File::open(path).map_err(io("open", path))?;
    checked(path, &file.metadata().map_err(io("look at", path))?, false)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(io("read", path))?;
    let form = || FileError::Form { path: path.to_owned() };
    let doc: Doc = serde_json::from_slice(&bytes).map_err(|_| form())?;
    if doc.kind == KIND && doc.v <= FORMAT { Ok(doc) } else { Err(form()) }
}

/// Whole or not at all, and durable before it returns.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), FileError> {
    let path = folder.join(name);
    let draft = folder.join(format!("{name}.draft"));
    remove(&draft)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft);
    let mut file = file.map_err(io("make", &draft))?;
    file.write_all(bytes).map_err(io("write", &draft))?;
    file.sync_all().map_err(io("write", &draft))?;
    fs::rename(&draft, &path).map_err(io("make", &path))?;
    sync(folder)
}

fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io("remove", path)(error)),
        _ => Ok(()),
    }
}

fn sync(folder: &Path) -> Result<(), FileError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(io("write", folder))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use base::value::string;

    use super::*;

    struct Place {
        files: Files,
        folder: tempfile::TempDir,
        namespace: Namespace,
        name: SecretName,
    }

    fn place(kept: usize) -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        Place {
            files: Files::new(folder.path().join("secrets"), kept),
            folder,
            namespace: Namespace::parse("lab").expect("a name"),
            name: SecretName::parse("key").expect("a name"),
        }
    }

    impl Place {
        fn set(&self, text: &str) -> u64 {
            let at = Timestamp::from_millis(1);
            self.files.set(&self.namespace, &self.name, &string(text), at).expect("set").0
        }

        fn get(&self, version: u64) -> Option<Value> {
            self.files.read(&self.namespace, &self.name, SecretVersion(version)).expect("read")
        }

        fn path(&self, below: &str) -> PathBuf {
            self.folder.path().join("secrets").join(below)
        }

        fn mode(&self, below: &str) -> u32 {
            fs::metadata(self.path(below)).expect("there").permissions().mode() & 0o777
        }
    }

    /// Mutation: keep one version more or less, or give a number twice after a delete.
    #[test]
    fn a_number_never_means_another_value() {
        let place = place(3);
        assert_eq!([place.set("a"), place.set("b"), place.set("c"), place.set("d")], [1, 2, 3, 4]);
        assert_eq!(place.get(1), None);
        assert_eq!([2, 3, 4].map(|n| place.get(n)), ["b", "c", "d"].map(|it| Some(string(it))));
        let listed = place.files.list(&place.namespace).expect("a list");
        assert_eq!(listed[0].versions, [2, 3, 4].map(SecretVersion));
        assert!(place.files.delete(&place.namespace, &place.name).expect("deleted"));
        assert!(!place.files.delete(&place.namespace, &place.name).expect("gone already"));
        assert_eq!(place.files.list(&place.namespace).expect("a list"), []);
        assert_eq!((place.get(4), place.set("e")), (None, 5));
        assert_eq!(
            place.files.newest(&place.namespace, &place.name).expect("one"),
            Some(SecretVersion(5))
        );
    }

    /// Mutation: create a folder or a file with the modes of the system.
    #[test]
    fn folders_and_files_are_the_owners_alone() {
        let place = place(2);
        place.set("a");
        assert_eq!(["", "lab", "lab/key"].map(|it| place.mode(it)), [0o700; 3]);
        assert_eq!(place.mode("lab/key/1.json"), 0o600);
    }

    /// Mutation: look at the modes of files only, or of folders only.
    #[test]
    fn what_others_can_reach_is_refused() {
        for (below, mode) in
            [("", 0o750), ("lab", 0o701), ("lab/key", 0o770), ("lab/key/1.json", 0o640)]
        {
            let place = place(2);
            place.set("a");
            let path = place.path(below);
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
            let refused = place.files.read(&place.namespace, &place.name, SecretVersion(1));
            assert!(matches!(refused, Err(FileError::Open { .. })), "{below}: {refused:?}");
            assert!(refused.expect_err("refused").to_string().contains("chmod"));
        }
    }

    /// Mutation: read a link, or a file of a newer form.
    #[test]
    fn what_is_not_ours_is_refused() {
        let place = place(2);
        place.set("a");
        let path = place.path("lab/key/1.json");
        let text = fs::read_to_string(&path).expect("a file");
        fs::write(&path, text.replace("\"v\":1", "\"v\":2")).expect("written");
        let read = || place.files.read(&place.namespace, &place.name, SecretVersion(1));
        assert!(matches!(read(), Err(FileError::Form { .. })));
        fs::rename(place.path("lab"), place.path("other")).expect("moved");
        std::os::unix::fs::symlink(place.path("other"), place.path("lab")).expect("a link");
        assert!(matches!(read(), Err(FileError::Form { .. })));
        let large = string(&"x".repeat(SECRET_BYTES_MAX));
        let set = place.files.set(&place.namespace, &place.name, &large, Timestamp::from_millis(1));
        assert!(matches!(set, Err(FileError::TooLarge)));
    }
}
