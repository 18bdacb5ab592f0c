//! What a hub has beside its store: its domain, its authority, and, until somebody takes it away, the
//! key of the root.

use std::path::{Path, PathBuf};

use base::{DocumentError, IncarnationId, Timestamp, document};
use identity::{
    Authority, Domain, FileError, IdentityError, Key, Pin, Root, SealingKey, file_read,
    file_remove, file_write,
};
use serde::{Deserialize, Serialize};

use crate::authority::{Former, Kept};

const HUB_FILE: &str = "hub.json";
const IDENTITY: &str = "identity";
const AUTHORITY_KEY: &str = "authority.key";
const AUTHORITY: &str = "authority.crt";
const ROOT: &str = "root.crt";
/// Who signs, and who did before: once the authority has been replaced, in place of the two above.
const AUTHORITIES: &str = "authority.json";
const SEALING_KEY: &str = "sealing.key";
const ROOT_FOLDER: &str = "root";
const ROOT_KEY: &str = "root.key";

const HUB_TYPE: &str = "isonomy.hub";
const HUB_VERSION: u32 = 1;

const AUTHORITIES_TYPE: &str = "isonomy.authority";
const AUTHORITIES_VERSION: u32 = 1;

/// Lives of a hub that its sites are told of: one that was away for longer than that many restores
/// takes it for another.
const BEFORE_MAX: usize = 16;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct HubDoc {
    domain: Domain,
    /// The life of the store in which this was written.
    incarnation: Option<IncarnationId>,
    /// Those before it, the newest first.
    before: Vec<IncarnationId>,
}

/// What a backup of a hub has beside its store. `authority.json` is read last: where it is written while
/// the backup is, all of it is there or none. The root's key is not among it: it lies elsewhere.
pub const FOLDER_FILES: [&str; 6] = [
    "hub.json",
    "identity/authority.key",
    "identity/authority.crt",
    "identity/root.crt",
    "identity/sealing.key",
    "identity/authority.json",
];

/// One file, so that a crash leaves the old ones or the new ones.
#[derive(Serialize, Deserialize)]
struct AuthoritiesDoc {
    /// PEM.
    key: String,
    certificate: String,
    former: Vec<FormerDoc>,
    /// Absent in what was written before it was known.
    #[serde(default)]
    forgotten: Vec<Pin>,
}

#[derive(Serialize, Deserialize)]
struct FormerDoc {
    certificate: String,
    until: Timestamp,
}

/// Writes who signs from now on; without a key, the one that does now. `identity` is the folder.
pub(crate) fn authority_write(
    identity: &Path,
    key: Option<String>,
    certificate: &str,
    former: &[Former],
    forgotten: &[Pin],
) -> Result<(), HubFolderError> {
    let key = match key {
        Some(key) => key,
        None => match authorities_read(identity)? {
            Some(doc) => doc.key,
            None => text(identity, AUTHORITY_KEY)?,
        },
    };
    let former = former.iter();
    let former =
        former.map(|it| FormerDoc { certificate: it.certificate.clone(), until: it.until });
    let (certificate, forgotten) = (certificate.to_owned(), forgotten.to_vec());
    let doc = AuthoritiesDoc { key, certificate, former: former.collect(), forgotten };
    let written = document::write(AUTHORITIES_TYPE, AUTHORITIES_VERSION, &doc);
    file_write(identity, AUTHORITIES, &written)?;
    forget_first(identity)
}

/// The key of an authority that signs no more is of use to nobody but thieves.
fn forget_first(identity: &Path) -> Result<(), HubFolderError> {
    file_remove(identity, AUTHORITY_KEY)?;
    Ok(file_remove(identity, AUTHORITY)?)
}

fn authorities_read(identity: &Path) -> Result<Option<AuthoritiesDoc>, HubFolderError> {
    let path = identity.join(AUTHORITIES);
    let Some(text) = file_read(&path)? else { return Ok(None) };
    let doc = document::read(text.as_bytes(), AUTHORITIES_TYPE, AUTHORITIES_VERSION);
    doc.map(Some).map_err(|error| unreadable(&error, path))
}

/// What is wrong with it is not told: it may quote a key.
fn unreadable(error: &DocumentError, path: PathBuf) -> HubFolderError {
    match error {
        DocumentError::Newer { .. } => HubFolderError::Newer { path },
        DocumentError::Syntax(_) | DocumentError::Type { .. } => HubFolderError::Damaged(path),
    }
}

fn text(identity: &Path, name: &str) -> Result<String, HubFolderError> {
    let path = identity.join(name);
    file_read(&path)?.ok_or(HubFolderError::Damaged(path))
}

/// A hub's folder, read.
#[derive(Debug)]
pub struct HubFolder {
    folder: PathBuf,
    doc: HubDoc,
}

#[derive(Debug, thiserror::Error)]
pub enum HubFolderError {
    #[error("`{0}` is a hub's folder already")]
    Exists(PathBuf),
    #[error("`{0}` is no hub's folder: make one with `isonomy hub init`")]
    Missing(PathBuf),
    #[error("`{0}` is damaged: bring it back from a backup")]
    Damaged(PathBuf),
    #[error("`{path}` was written by a newer version: use that program or a later one")]
    Newer { path: PathBuf },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl HubFolder {
    /// Makes a hub: its root, and its authority below that. Gives where the root's key is, for somebody
    /// to take it away.
    pub fn init(folder: &Path, domain: Domain, now: Timestamp) -> Result<PathBuf, HubFolderError> {
        if file_read(&folder.join(HUB_FILE))?.is_some() {
            return Err(HubFolderError::Exists(folder.to_owned()));
        }
        let root_key = Key::generate()?;
        let root_key_text = root_key.to_pem();
        let root = Root::create(&domain, root_key, now)?;
        let key = Key::generate()?;
        let key_text = key.to_pem();
        let authority = root.authority(&domain, key, now)?;
        let (identity, apart) = (folder.join(IDENTITY), folder.join(ROOT_FOLDER));
        file_write(&apart, ROOT_KEY, root_key_text.as_bytes())?;
        file_write(&apart, ROOT, root.pem().as_bytes())?;
        file_write(&identity, AUTHORITY_KEY, key_text.as_bytes())?;
        file_write(&identity, AUTHORITY, authority.pem().as_bytes())?;
        file_write(&identity, ROOT, root.pem().as_bytes())?;
        file_write(&identity, SEALING_KEY, SealingKey::generate()?.to_text().as_bytes())?;
        let doc = HubDoc { domain, incarnation: None, before: Vec::new() };
        // Last: without it this is no hub's folder, and `init` begins anew.
        Self { folder: folder.to_owned(), doc }.write()?;
        Ok(apart.join(ROOT_KEY))
    }

    pub fn open(folder: &Path) -> Result<Self, HubFolderError> {
        let path = folder.join(HUB_FILE);
        let text = file_read(&path)?.ok_or_else(|| HubFolderError::Missing(folder.to_owned()))?;
        let doc = document::read(text.as_bytes(), HUB_TYPE, HUB_VERSION);
        let doc = doc.map_err(|error| unreadable(&error, path))?;
        Ok(Self { folder: folder.to_owned(), doc })
    }

    /// Lives of this hub before the one that its store is in now.
    pub fn before(&mut self, now: IncarnationId) -> Result<Vec<IncarnationId>, HubFolderError> {
        if self.doc.incarnation != Some(now) {
            if let Some(before) = self.doc.incarnation.replace(now) {
                self.doc.before.insert(0, before);
                self.doc.before.truncate(BEFORE_MAX);
            }
            self.write()?;
        }
        Ok(self.doc.before.clone())
    }

    /// Who signs for the hub, and who did before.
    pub fn authorities(&self) -> Result<Kept, HubFolderError> {
        let identity = self.folder.join(IDENTITY);
        let doc = match authorities_read(&identity)? {
            Some(doc) => {
                // What a crash has left behind.
                forget_first(&identity)?;
                doc
            }
            None => AuthoritiesDoc {
                key: text(&identity, AUTHORITY_KEY)?,
                certificate: text(&identity, AUTHORITY)?,
                former: Vec::new(),
                forgotten: Vec::new(),
            },
        };
        let AuthoritiesDoc { key, certificate, former, forgotten } = doc;
        let (domain, root) = (self.doc.domain.clone(), text(&identity, ROOT)?);
        let authority = Authority::read(domain, &certificate, Key::from_pem(&key)?, &root)?;
        let former = former.into_iter();
        let former = former.map(|it| Former { certificate: it.certificate, until: it.until });
        Ok(Kept { authority, former: former.collect(), forgotten, folder: Some(identity) })
    }

    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.doc.domain
    }

    /// What is sealed to the hub is opened with this. It is made where there is none: sites learn of it
    /// when they come.
    pub fn sealing(&self) -> Result<SealingKey, HubFolderError> {
        let identity = self.folder.join(IDENTITY);
        let path = identity.join(SEALING_KEY);
        if let Some(text) = file_read(&path)? {
            return SealingKey::from_text(&text).map_err(|_| HubFolderError::Damaged(path));
        }
        let key = SealingKey::generate()?;
        file_write(&identity, SEALING_KEY, key.to_text().as_bytes())?;
        Ok(key)
    }

    /// Whether the root's key still lies beside what runs every day.
    #[must_use]
    pub fn root_key(&self) -> Option<PathBuf> {
        Some(self.folder.join(ROOT_FOLDER).join(ROOT_KEY)).filter(|path| path.exists())
    }

    fn write(&self) -> Result<(), HubFolderError> {
        let text = document::write(HUB_TYPE, HUB_VERSION, &self.doc);
        Ok(file_write(&self.folder, HUB_FILE, &text)?)
    }
}

#[cfg(test)]
mod tests {
    use base::{Clock as _, SystemClock};
    use uuid::Uuid;

    use super::*;

    fn life(n: u128) -> IncarnationId {
        IncarnationId::from_uuid(Uuid::from_u128(n))
    }

    /// Mutation: make a hub over one that is there, lose its authority, forget a life of it, or make
    /// another sealing key at each start.
    #[test]
    fn a_hubs_folder_comes_back_and_remembers_its_lives() {
        let place = tempfile::tempdir().expect("a folder");
        let domain = Domain::parse("acme").expect("a domain");
        let missing = HubFolder::open(place.path());
        assert!(matches!(missing, Err(HubFolderError::Missing(_))), "{missing:?}");
        let now = SystemClock.now();
        let root = HubFolder::init(place.path(), domain.clone(), now).expect("a new hub");
        let again = HubFolder::init(place.path(), domain.clone(), now);
        assert!(matches!(again, Err(HubFolderError::Exists(_))), "{again:?}");
        let open = || HubFolder::open(place.path()).expect("it is there");
        let authority = || open().authorities().expect("an authority").authority;
        assert_eq!(authority().domain(), &domain);
        assert_eq!(open().root_key(), Some(root.clone()));
        std::fs::remove_file(root).expect("taken away");
        assert_eq!(open().root_key(), None);
        // Nobody needs the root's key every day.
        authority();
        let sealing = || open().sealing().expect("a key").public();
        let first = sealing();
        assert_eq!(sealing(), first);
        let path = place.path().join(IDENTITY).join(SEALING_KEY);
        std::fs::write(&path, "what nobody can open anything with").expect("written");
        let damaged = open().sealing().expect_err("no key");
        assert!(matches!(damaged, HubFolderError::Damaged(_)), "{damaged}");
        std::fs::remove_file(path).expect("taken away");
        let second = sealing();
        assert_ne!(second, first);
        assert_eq!(sealing(), second);
        for (life, before) in [
            (life(1), vec![]),
            (life(1), vec![]),
            (life(2), vec![life(1)]),
            (life(3), vec![life(2), life(1)]),
        ] {
            assert_eq!(open().before(life).expect("written"), before);
        }
    }
}
