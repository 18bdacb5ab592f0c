//! Whose site this is: its key, its certificate, and where its hub is. Files beside the store and not
//! in its backups: whoever steals a backup is not the site.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{Digest, DocumentError, IncarnationId, Random, SiteName, Timestamp, document};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway::uplink::{HubAnswer, Uplink, UplinkError};
use identity::{
    Certificate, CertificateDer, ClientConfig, FileError, GRACE, HubSealing, IdentityError,
    JoinToken, Key, ParcelError, ParcelWriter, Pin, SealingKey, SealingPublic, SealingWord,
    file_read, file_remove, file_write, is_signed_text, site_config,
};
use link::is_in;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use wire::edition::{Head, Leaf};
use wire::join::{Granted, HubSealingSaid, JoinAsk, RefusedJoin, RenewAsk, SealingSaid};
use wire::link::{Edition, Signed};

/// Who the site is.
const MEMBERSHIP_FILE: &str = "membership.json";

/// What a backup of a site has beside its store, as it lies in the data folder: whoever has it can be the
/// site.
pub const IDENTITY_FILE: &str = "identity/membership.json";

/// Who it will be, when the hub has said so.
const JOINING_FILE: &str = "joining.json";

const MEMBERSHIP_TYPE: &str = "isonomy.membership";
const JOINING_TYPE: &str = "isonomy.joining";

/// A certificate that came so lately is not asked for again, whatever the clocks say: one that disagrees with
/// the hub's would have it make one after the other. A quarter of a certificate's life.
const RENEWED_FOR: std::time::Duration = std::time::Duration::from_secs(6 * 3600);

/// Of both.
const VERSION: u32 = 1;

/// Why an edition is not believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BeliefError {
    #[error("it is not in a form that this version reads")]
    Form,
    #[error(transparent)]
    Signature(#[from] IdentityError),
    #[error("it is for the site {0}")]
    Site(SiteName),
    #[error("its leaf is not part of what was signed")]
    Path,
}

#[derive(Debug)]
pub struct Membership {
    folder: PathBuf,
    doc: Doc,
    key: Arc<Key>,
    sealing: Arc<SealingKey>,
    certificate: Certificate,
    /// The hub has been asked for its sealing key in this life of the process. One of before has none.
    has_asked: bool,
    /// When the certificate came, in this life of the process.
    renewed_at: Option<Instant>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Doc {
    site: SiteName,
    /// This joining: the first incarnation of the line.
    joined: IncarnationId,
    /// A store has begun the line of this joining. One that knows nothing of it is another one.
    has_begun: bool,
    hubs: Vec<String>,
    root: Pin,
    /// PEM. Each joining has a key of its own, so that a copy of this disk does not keep it.
    key: String,
    /// DER, as base64.
    certificate: String,
    /// The newest time that a hub has told.
    seen_at: Timestamp,
    /// What is sealed to this site is opened with it. Made beside `key`, by this version or later.
    #[serde(default)]
    sealing: Option<String>,
    /// What the hub has said of its own.
    #[serde(default)]
    hub_sealing: Option<HubSealing>,
}

impl std::fmt::Debug for Doc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Doc({}, {})", self.site, self.joined)
    }
}

/// What a joining has begun with: after a lost answer, the same token is good for it once more.
#[derive(Serialize, Deserialize)]
struct Joining {
    token: Digest,
    joined: IncarnationId,
    key: String,
    #[serde(default)]
    sealing: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("`{path}` is damaged: join again with a token that was made with `--replace`")]
    Damaged { path: PathBuf },
    #[error("`{path}` was written by a newer version: use that program or a later one")]
    Newer { path: PathBuf },
    #[error("this is the site {0} already, and the token is for another")]
    Another(SiteName),
    #[error("this is the site {0} of another fleet: what it has not sent yet is for its hub alone")]
    AnotherFleet(SiteName),
    #[error("the hub cannot answer now ({0})")]
    Busy(u16),
    #[error("the hub refused: {0}")]
    Refused(String),
    #[error("the hub does not answer now: {why}")]
    Later { why: String, after: Duration },
    #[error("the hub's answer is not what this version expects")]
    Answer,
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("no hub could be reached; the last: {0}")]
    Uplink(#[from] UplinkError),
}

impl Membership {
    /// Nothing where this site has joined no hub.
    pub fn open(folder: &Path) -> Result<Option<Self>, MembershipError> {
        let path = folder.join(MEMBERSHIP_FILE);
        let Some(doc) = read::<Doc>(&path, MEMBERSHIP_TYPE)? else { return Ok(None) };
        let damaged = || MembershipError::Damaged { path: path.clone() };
        let certificate = certificate(&doc.certificate).ok_or_else(damaged)?;
        let key = Arc::new(Key::from_pem(&doc.key).map_err(|_| damaged())?);
        if key.public() != certificate.key {
            return Err(damaged());
        }
        let (sealing, is_new) = match &doc.sealing {
            Some(text) => (SealingKey::from_text(text).map_err(|_| damaged())?, false),
            None => (SealingKey::generate()?, true),
        };
        let (folder, sealing) = (folder.to_owned(), Arc::new(sealing));
        let mut it =
            Self { folder, doc, key, sealing, certificate, has_asked: false, renewed_at: None };
        if is_new {
            // Joined before there were any: the hub hears of it with the next certificate.
            it.doc.sealing = Some(it.sealing.to_text());
            it.write()?;
        }
        Ok(Some(it))
    }

    /// Becomes the site that the token is for, with a key that nobody has seen. It is on the disk before
    /// it is shown to anybody.
    pub async fn join(
        folder: &Path,
        token: &JoinToken,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Self, MembershipError> {
        if let Some(before) = Self::open(folder)? {
            if before.doc.site != token.site {
                return Err(MembershipError::Another(before.doc.site));
            }
            // What it holds was for somebody else.
            if before.doc.root != token.root {
                return Err(MembershipError::AnotherFleet(before.doc.site));
            }
        }
        let Joining { joined, key, sealing, .. } = Joining::begin(folder, token, now, random)?;
        let key_text = key;
        let key = Arc::new(Key::from_pem(&key_text)?);
        let sealing = match sealing {
            Some(text) => SealingKey::from_text(&text)?,
            None => SealingKey::generate()?,
        };
        let ask = JoinAsk {
            secret: token.secret().to_owned(),
            key: STANDARD.encode(key.public().as_der()),
            joined,
            sealing: Some(said(token.root, &token.site, &sealing, &key)?),
        };
        let ask = serde_json::to_vec(&ask).expect("our own types have JSON text");
        let tls = || Ok(site_config(token.root, None, now)?);
        let granted = ask_any(&token.hubs, "/identity/v1/join", &ask, tls).await?;
        let certificate = certificate(&granted.certificate).ok_or(MembershipError::Answer)?;
        if certificate.key != key.public() {
            return Err(MembershipError::Answer);
        }
        let doc = Doc {
            site: token.site.clone(),
            joined,
            has_begun: false,
            hubs: token.hubs.clone(),
            root: token.root,
            key: key_text,
            certificate: granted.certificate,
            seen_at: granted.now,
            sealing: Some(sealing.to_text()),
            hub_sealing: None,
        };
        let (folder, sealing) = (folder.to_owned(), Arc::new(sealing));
        let has_asked = granted.sealing.is_some();
        let renewed_at = Some(Instant::now());
        let mut membership = Self { folder, doc, key, sealing, certificate, has_asked, renewed_at };
        membership.learn(granted.sealing)?;
        membership.write()?;
        Ok(membership)
    }

    #[must_use]
    pub fn site(&self) -> &SiteName {
        &self.doc.site
    }

    #[must_use]
    pub fn joined(&self) -> IncarnationId {
        self.doc.joined
    }

    /// What is sealed to this site.
    #[must_use]
    pub fn sealing(&self) -> SealingPublic {
        self.sealing.public()
    }

    pub(crate) fn sealing_key(&self) -> Arc<SealingKey> {
        Arc::clone(&self.sealing)
    }

    /// What the site signs with.
    pub(crate) fn signing_key(&self) -> Arc<Key> {
        Arc::clone(&self.key)
    }

    /// The key of its fleet's root.
    pub(crate) fn root(&self) -> Pin {
        self.doc.root
    }

    /// A file as this site's own.
    pub(crate) fn sign(&self, writer: ParcelWriter) -> Result<Vec<u8>, ParcelError> {
        writer.sign_by_key(&self.key)
    }

    /// What the hub has said of its own.
    #[must_use]
    pub fn hub_sealing(&self) -> Option<&HubSealing> {
        self.doc.hub_sealing.as_ref()
    }

    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.doc.has_begun
    }

    /// The line of this joining is in a store now.
    pub fn begun(&mut self) -> Result<(), MembershipError> {
        if std::mem::replace(&mut self.doc.has_begun, true) {
            return Ok(());
        }
        self.write()
    }

    /// The newest time that a hub has told.
    #[must_use]
    pub fn seen_at(&self) -> Timestamp {
        self.doc.seen_at
    }

    /// Whether this edition is for this site, signed below the root of its fleet.
    pub(crate) fn believes(&self, edition: &Edition) -> Result<(), BeliefError> {
        let Signed { head, signature, chain, .. } = &edition.signed;
        let (head, leaf) = (head.get().as_bytes(), edition.leaf.get().as_bytes());
        is_signed_text(self.doc.root, chain, head, signature)?;
        let head = Head::decode(head).map_err(|_| BeliefError::Form)?;
        let Leaf { site, .. } = Leaf::decode(leaf).map_err(|_| BeliefError::Form)?;
        if site != self.doc.site {
            return Err(BeliefError::Site(site));
        }
        let is_there = is_in(head.root, head.leaves, leaf, edition.index, &edition.path);
        if is_there { Ok(()) } else { Err(BeliefError::Path) }
    }

    #[must_use]
    pub fn hubs(&self) -> &[String] {
        &self.doc.hubs
    }

    /// What TLS to the hub is made with, where the clock says `now`.
    pub fn tls(&self, now: Timestamp) -> Result<ClientConfig, MembershipError> {
        let der = decode(&self.doc.certificate).ok_or(MembershipError::Answer)?;
        Ok(site_config(self.doc.root, Some((der, &self.key)), now.max(self.doc.seen_at))?)
    }

    /// The hub has told its time. It is believed up to the end of the certificate that it has shown: a
    /// hub whose clock has run ahead must not lock the site out for good.
    pub fn saw(&mut self, told: Timestamp, shown: &Certificate) -> Result<(), MembershipError> {
        let told = told.min(shown.not_after);
        if told <= self.doc.seen_at {
            return Ok(());
        }
        self.doc.seen_at = told;
        self.write()
    }

    /// Whether half of the certificate's time is over, by the later of the clock and what the hub has
    /// told.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        if self.doc.hub_sealing.is_none() && !self.has_asked {
            return true;
        }
        if self.renewed_at.is_some_and(|at| at.elapsed() < RENEWED_FOR) {
            return false;
        }
        let now = now.max(self.doc.seen_at);
        let Certificate { not_before, not_after, .. } = &self.certificate;
        now.since(*not_before).as_millis() * 2 > not_after.since(*not_before).as_millis()
    }

    /// Nobody can be the site by what is here any more. Again is harmless.
    pub fn forget(folder: &Path) -> Result<(), MembershipError> {
        file_remove(folder, JOINING_FILE)?;
        Ok(file_remove(folder, MEMBERSHIP_FILE)?)
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Another certificate, for the one that there is.
    pub async fn renew(&mut self, now: Timestamp) -> Result<(), MembershipError> {
        let tls = || self.tls(now);
        let word = said(self.doc.root, &self.doc.site, &self.sealing, &self.key)?;
        let ask = serde_json::to_vec(&RenewAsk { sealing: Some(word) });
        let ask = ask.expect("our own types have JSON text");
        let granted = ask_any(&self.doc.hubs, "/identity/v1/renew", &ask, tls).await?;
        let certificate = certificate(&granted.certificate).ok_or(MembershipError::Answer)?;
        // A hub whose clock was set back must not take away what there is.
        let is_old = certificate.not_after.plus(GRACE) < self.doc.seen_at;
        if certificate.key != self.key.public() || is_old {
            return Err(MembershipError::Answer);
        }
        self.certificate = certificate;
        self.doc.certificate = granted.certificate;
        self.has_asked = true;
        self.renewed_at = Some(Instant::now());
        self.learn(granted.sealing)?;
        self.write()
    }

    /// What a file says of the hub's sealing key: an old one must not bring an old key back.
    pub(crate) fn learn_later(&mut self, said: HubSealingSaid) -> Result<(), MembershipError> {
        if self.doc.hub_sealing.as_ref().is_some_and(|known| known.at >= said.at) {
            return Ok(());
        }
        self.learn(Some(said))?;
        self.write()
    }

    /// What the hub has said of its sealing key where its certificate was seen: there, it is the newest.
    fn learn(&mut self, said: Option<HubSealingSaid>) -> Result<(), MembershipError> {
        let Some(HubSealingSaid { key, at, signature, chain }) = said else { return Ok(()) };
        let key = key.parse().map_err(|_| MembershipError::Answer)?;
        let sealing = HubSealing { key, at, signature, chain };
        sealing.verify(self.doc.root)?;
        self.doc.hub_sealing = Some(sealing);
        Ok(())
    }

    fn write(&self) -> Result<(), MembershipError> {
        write(&self.folder, MEMBERSHIP_FILE, MEMBERSHIP_TYPE, &self.doc)
    }
}

impl Joining {
    fn begin(
        folder: &Path,
        token: &JoinToken,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Self, MembershipError> {
        let of = Digest::of(token.secret().as_bytes());
        let before: Option<Self> = read(&folder.join(JOINING_FILE), JOINING_TYPE)?;
        if let Some(before) = before.filter(|it| it.token == of) {
            return Ok(before);
        }
        let joined = IncarnationId::new(now, random);
        let sealing = Some(SealingKey::generate()?.to_text());
        let joining = Self { token: of, joined, key: Key::generate()?.to_pem(), sealing };
        write(folder, JOINING_FILE, JOINING_TYPE, &joining)?;
        Ok(joining)
    }
}

/// What the hub is told of a sealing key.
fn said(
    root: Pin,
    site: &SiteName,
    sealing: &SealingKey,
    by: &Key,
) -> Result<SealingSaid, IdentityError> {
    let SealingWord { key, signature, .. } = SealingWord::new(root, site, sealing.public(), by)?;
    Ok(SealingSaid { key: key.to_string(), signature })
}

/// Asks one hub after the other, until one answers.
async fn ask_any(
    hubs: &[String],
    path: &'static str,
    ask: &[u8],
    tls: impl Fn() -> Result<ClientConfig, MembershipError>,
) -> Result<Granted, MembershipError> {
    let mut last = MembershipError::Answer;
    for hub in hubs {
        let answer = match Uplink::to(hub) {
            Ok(uplink) => uplink.post(tls()?, path, ask.to_vec()).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(HubAnswer { status: 200, body, .. }) => {
                return serde_json::from_slice(&body).map_err(|_| MembershipError::Answer);
            }
            Ok(HubAnswer { status, .. }) if status >= 500 => last = MembershipError::Busy(status),
            Ok(HubAnswer { retry_after, body, .. }) => {
                let refused: RefusedJoin =
                    serde_json::from_slice(&body).map_err(|_| MembershipError::Answer)?;
                let why = refused.why.chars().take(500).collect();
                return Err(match retry_after {
                    Some(after) => MembershipError::Later { why, after },
                    None => MembershipError::Refused(why),
                });
            }
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

fn decode(certificate: &str) -> Option<CertificateDer<'static>> {
    STANDARD.decode(certificate).ok().map(CertificateDer::from)
}

fn certificate(text: &str) -> Option<Certificate> {
    Certificate::read(&decode(text)?).ok()
}

fn read<T: DeserializeOwned>(
    path: &Path,
    kind: &'static str,
) -> Result<Option<T>, MembershipError> {
    let Some(text) = file_read(path)? else { return Ok(None) };
    // What is wrong with it is not told: it may quote the key.
    let unreadable = |error| match error {
        DocumentError::Newer { .. } => MembershipError::Newer { path: path.to_owned() },
        DocumentError::Syntax(_) | DocumentError::Type { .. } => {
            MembershipError::Damaged { path: path.to_owned() }
        }
    };
    document::read(text.as_bytes(), kind, VERSION).map(Some).map_err(unreadable)
}

fn write<T: Serialize>(
    folder: &Path,
    name: &str,
    kind: &'static str,
    doc: &T,
) -> Result<(), MembershipError> {
    Ok(file_write(folder, name, &document::write(kind, VERSION, doc))?)
}
