//! A whole hub or site in one file: its store, and what lies beside it. Described in
//! `docs/spec/backup.md`.
//!
//! ```text
//!   a line that says whose it is │ the stream of a backup, with the other files before its end
//! ```

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use base::{Digest, Digester, IncarnationId, Random as _, SystemRandom};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use store_sqlite::DATABASE_FILE;
use wire::{BackupDone, BackupFile, BackupLine, BackupStore};

use super::receive::{Incoming, not_made, unexpected};
use super::{create, failed, make_folder, place_among, sync_names};
use crate::failure::{Failure, Outcome};

const BUNDLE_TYPE: &str = "isonomy.bundle";
const BUNDLE_VERSION: u32 = 1;

/// What is read of the file at once.
const PIECE_BYTES: usize = 256 * 1024;

/// In the data folder, until all is there.
const UNPACKING: &str = ".restore";

/// Whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Hub,
    Site,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Site => "site",
        }
    }

    /// What may lie in it beside a store. The first says that the folder is one of these, and gets its
    /// name last.
    const fn files(self) -> &'static [&'static str] {
        match self {
            Self::Hub => &hub::FOLDER_FILES,
            Self::Site => &["site.yaml", site::uplink::IDENTITY_FILE],
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
    v: u32,
    of: Kind,
}

/// What was written or read.
#[derive(Debug)]
pub struct Bundle {
    pub store: BackupStore,
    pub files: usize,
    pub bytes: u64,
}

/// Nothing is begun where the file is there.
pub fn is_free(to: &Path) -> Outcome<()> {
    if to.exists() {
        let what = format!("`{}` is there already", to.display());
        return Err(Failure::usage(what).hint("name a new file: a backup replaces nothing"));
    }
    Ok(())
}

/// Writes the file: what comes, and from the folder what else there is of it. It gets its name when it is
/// whole.
pub async fn pack(
    to: &Path,
    of: Kind,
    data: &Path,
    without: &[&str],
    next: &mut impl AsyncFnMut() -> Outcome<Option<Bytes>>,
) -> Outcome<Bundle> {
    // What an attempt that was killed has left stands in nobody's way.
    let unnamed = format!("{}.{:016x}.new", to.display(), SystemRandom.u64());
    let unnamed = PathBuf::from(unnamed);
    let written = async {
        let file = create(&unnamed).map_err(|cause| failed(&unnamed, &cause))?;
        let mut out = Writing { file, to };
        let written = parts(&mut out, of, data, without, next).await?;
        let name = || {
            out.file.sync_all()?;
            fs::rename(&unnamed, to)?;
            let folder = to.parent().filter(|at| !at.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        };
        name().map_err(|cause| failed(to, &cause))?;
        Ok(written)
    };
    let written = written.await;
    if written.is_err() {
        fs::remove_file(&unnamed).ok();
    }
    written
}

struct Writing<'a> {
    file: File,
    to: &'a Path,
}

impl Writing<'_> {
    fn line(&mut self, line: &impl Serialize) -> Outcome<()> {
        let mut text = serde_json::to_vec(line).expect("our own types have JSON text");
        text.push(b'\n');
        self.bytes(&text)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.file.write_all(bytes).map_err(|cause| failed(self.to, &cause))
    }
}

async fn parts<N: AsyncFnMut() -> Outcome<Option<Bytes>>>(
    out: &mut Writing<'_>,
    of: Kind,
    data: &Path,
    without: &[&str],
    next: &mut N,
) -> Outcome<Bundle> {
    out.line(&Head { kind: BUNDLE_TYPE.to_owned(), v: BUNDLE_VERSION, of })?;
    let mut pieces = Incoming::new(next);
    let (mut store, mut files, mut bytes) = (None, 0, 0);
    loop {
        let line: BackupLine = pieces.line().await?;
        match &line {
            BackupLine::Done(_) => break,
            BackupLine::Failed(failure) => return Err(not_made(failure)),
            BackupLine::Store(head) => {
                store = Some(head.clone());
                out.line(&line)?;
            }
            BackupLine::File(about) => {
                let (mut left, mut digester) = (about.bytes, Digester::default());
                out.line(&line)?;
                while left > 0 {
                    let piece = pieces.some(left).await?;
                    left -= piece.len() as u64;
                    digester.update(&piece);
                    out.bytes(&piece)?;
                }
                whole(about, digester.finish())?;
                (files, bytes) = (files + 1, bytes + about.bytes);
            }
        }
    }
    for name in of.files().iter().filter(|name| !without.contains(name)) {
        let path = data.join(name);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
            Err(cause) => {
                let what = format!("cannot read `{}`: {cause}", path.display());
                return Err(Failure::internal(what));
            }
        };
        let (size, digest) = (text.len() as u64, Digest::of(&text).to_string());
        let about = BackupFile { file: (*name).to_owned(), bytes: size, digest };
        out.line(&BackupLine::File(about))?;
        out.bytes(&text)?;
        (files, bytes) = (files + 1, bytes + size);
    }
    out.line(&BackupLine::Done(BackupDone { files }))?;
    let store = store.ok_or_else(unexpected)?;
    Ok(Bundle { store, files: usize::try_from(files).unwrap_or(usize::MAX), bytes })
}

/// A file that is damaged where it comes from would be found out when the backup is needed.
fn whole(about: &BackupFile, found: Digest) -> Outcome<()> {
    if found.to_string() == about.digest {
        return Ok(());
    }
    let what = format!("the backup was not made: `{}` is damaged", about.file);
    Err(Failure::internal(what).hint("`isonomy store check` says whose it is"))
}

/// Makes a folder of what the file holds: all of it or nothing. Its store begins a new life.
pub async fn unpack(from: &Path, of: Kind, data: &Path) -> Outcome<(Bundle, IncarnationId)> {
    let mut file = File::open(from)
        .map_err(|cause| Failure::usage(format!("cannot read `{}`: {cause}", from.display())))?;
    let mut next = async || -> Outcome<Option<Bytes>> {
        let mut piece = vec![0; PIECE_BYTES];
        let read = file.read(&mut piece).map_err(|cause| {
            Failure::internal(format!("cannot read `{}`: {cause}", from.display()))
        })?;
        piece.truncate(read);
        Ok(Some(Bytes::from(piece)).filter(|piece| !piece.is_empty()))
    };
    let mut pieces = Incoming::new(&mut next);
    let wrong = |what: &str| Failure::usage(format!("`{}` {what}", from.display()));
    let head: Head = pieces.line().await.map_err(|_| wrong("is no backup of a hub or a site"))?;
    if head.kind != BUNDLE_TYPE {
        return Err(wrong("is no backup of a hub or a site"));
    }
    if head.v > BUNDLE_VERSION {
        return Err(wrong("was written by a newer version").hint("use a newer program"));
    }
    if head.of != of {
        let other = head.of.name();
        let what = format!("is the backup of a {other}");
        return Err(wrong(&what).hint(format!("bring it back with `isonomy {other} restore`")));
    }
    let unpacking = prepare(data)?;
    let received =
        super::receive::unpack(&mut pieces, |about| place_among(&unpacking, about, of.files()));
    let received = received.await?;
    let of_store = received.files.iter().filter(|about| about.file == DATABASE_FILE);
    if of_store.count() != 1 {
        return Err(wrong("holds no store"));
    }
    let renewed = store_sqlite::renew(&unpacking.join(DATABASE_FILE));
    let incarnation = renewed.map_err(|error| Failure::internal(error.to_string()))?;
    sync_names(&unpacking, received.places.iter())
        .and_then(|()| name_all(&unpacking, data, of))
        .map_err(|cause| failed(data, &cause))?;
    let bytes = received.files.iter().map(|about| about.bytes).sum();
    Ok((Bundle { store: received.store, files: received.files.len(), bytes }, incarnation))
}

/// Nothing else may lie there but what an attempt before this one has left.
fn prepare(data: &Path) -> Outcome<PathBuf> {
    let unpacking = data.join(UNPACKING);
    let found = match fs::read_dir(data) {
        Ok(entries) => entries.flatten().find(|entry| entry.file_name() != UNPACKING),
        Err(_) => None,
    };
    if found.is_some() {
        let what = format!("`{}` is there already, and is not an empty folder", data.display());
        return Err(Failure::usage(what)
            .hint("name another folder with `--data DIR`, or move what is there away"));
    }
    match fs::remove_dir_all(&unpacking) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            return Err(failed(&unpacking, &cause));
        }
        _ => {}
    }
    make_folder(&unpacking).map_err(|cause| failed(data, &cause))?;
    Ok(unpacking)
}

/// What makes the folder a hub's or a site's gets its name last.
fn name_all(unpacking: &Path, data: &Path, of: Kind) -> io::Result<()> {
    let last = match of {
        Kind::Hub => of.files()[0],
        Kind::Site => DATABASE_FILE,
    };
    let mut names: Vec<_> = fs::read_dir(unpacking)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<_>>()?;
    names.sort_by_key(|name| name.to_str() == Some(last));
    for name in names {
        fs::rename(unpacking.join(&name), data.join(&name))?;
    }
    fs::remove_dir(unpacking)?;
    File::open(data)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: &str = r#"{"kind":"store","at":"2027-01-15T08:00:00.000Z","program":"0.1.0","incarnation":"inc_0190","epoch":1,"schema":11}"#;

    async fn packed(folder: &Path, lines: &[u8]) -> (PathBuf, Outcome<Bundle>) {
        let (to, data) = (folder.join("b"), folder.join("data"));
        let mut left = Some(Bytes::copy_from_slice(lines));
        let mut next = async || Ok(left.take());
        let bundle = pack(&to, Kind::Hub, &data, &[], &mut next).await;
        (to, bundle)
    }

    /// Mutation: give the file its name before it is whole, or leave the half of one.
    #[tokio::test]
    async fn a_backup_that_breaks_off_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let (to, bundle) = packed(folder.path(), b"{\"kind\":\"failed\",\"detail\":\"x\"}\n").await;
        let failure = bundle.expect_err("not made").render();
        assert!(failure.contains("the backup was not made: x"), "{failure}");
        assert!(!to.exists() && fs::read_dir(folder.path()).expect("there").next().is_none());
    }

    /// Mutation: take a file as it comes, whatever its digest says.
    #[tokio::test]
    async fn what_is_damaged_at_its_source_is_found_when_it_is_backed_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let digest = Digest::of(b"x");
        let lines = |byte| {
            format!(
                "{STORE}\n{{\"kind\":\"file\",\"file\":\"isonomy.db\",\"bytes\":1,\"digest\":\"{digest}\"}}\n{byte}{{\"kind\":\"done\",\"files\":1}}\n"
            )
        };
        let (_, bundle) = packed(folder.path(), lines('y').as_bytes()).await;
        let failure = bundle.expect_err("damaged").render();
        assert!(failure.contains("`isonomy.db` is damaged"), "{failure}");
        packed(folder.path(), lines('x').as_bytes()).await.1.expect("whole");
    }

    /// Mutation: take any name of a file, a file of another kind, or a later version.
    #[tokio::test]
    async fn only_what_belongs_there_is_unpacked() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, data) = (folder.path().join("b"), folder.path().join("data"));
        let other = |name: &str| {
            let digest = Digest::of(b"x");
            format!(
                "{{\"kind\":\"file\",\"file\":\"{name}\",\"bytes\":1,\"digest\":\"{digest}\"}}\nx"
            )
        };
        for (head, body, why) in [
            (r#"{"type":"isonomy.bundle","v":1,"of":"site"}"#, String::new(), "backup of a site"),
            (r#"{"type":"isonomy.bundle","v":2,"of":"hub"}"#, String::new(), "newer"),
            (r#"{"type":"isonomy.other","v":1,"of":"hub"}"#, String::new(), "no backup"),
            (r#"{"type":"isonomy.bundle","v":1,"of":"hub"}"#, other("../x"), "has no file"),
            (
                r#"{"type":"isonomy.bundle","v":1,"of":"hub"}"#,
                other("root/root.key"),
                "has no file",
            ),
            (r#"{"type":"isonomy.bundle","v":1,"of":"hub"}"#, other("hub.json"), "broken off"),
        ] {
            fs::write(&file, format!("{head}\n{STORE}\n{body}")).expect("written");
            let failure = unpack(&file, Kind::Hub, &data).await.expect_err(why).render();
            assert!(failure.contains(why), "{why}: {failure}");
            assert!(!data.join("hub.json").exists() && !folder.path().join("x").exists());
        }
    }
}
