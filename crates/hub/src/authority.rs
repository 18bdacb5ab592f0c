//! Who signs for the hub, and whose word counts: its authority, and those before it as long as sites may
//! still come with what they have signed.
//!
//! One value, replaced as a whole: nobody gets a certificate of an authority that the door does not know.
//! Where it lies is in `folder`, why it is so in ADR 13.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use base::{By, Duration, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use identity::{
    Authority, CertificateDer, GRACE, HubSealing, IdentityError, Key, Pin, PublicKey,
    SITE_CERTIFICATE_LIFE, SealingPublic, ServerConfig, api_config, hub_config,
};
use server::Refusal;
use store::Preconditions;
use wire::{AuthoritiesView, AuthorityNext, AuthorityState, AuthorityView, ProblemCode};

use crate::Hub;
use crate::change::{ChangeKind, hub_op};
use crate::folder::{HubFolderError, authority_write};

/// How long certificates of an authority are believed that has been replaced. The last that it has signed
/// is good for a day and renews a site for 45 days more; the rest is for a hub that was down meanwhile.
pub const AUTHORITY_OVERLAP: Duration = Duration::from_secs(60 * 24 * 3600);

/// How old what is shown may be. A certificate is good for ninety days. One that is from the future, or from
/// 1970, was made by a clock that is set right now: nobody should wait a day for the next.
const SHOWN_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

const _: () = assert!(
    AUTHORITY_OVERLAP.as_millis() > GRACE.as_millis() + SITE_CERTIFICATE_LIFE.as_millis(),
    "a site that comes back within the grace finds its authority known"
);

/// An authority that was replaced.
#[derive(Debug, Clone)]
pub struct Former {
    /// PEM.
    pub certificate: String,
    /// Until then sites may come with what it has signed.
    pub until: Timestamp,
}

/// What a hub's folder has of them.
#[derive(Debug)]
pub struct Kept {
    pub authority: Authority,
    pub former: Vec<Former>,
    /// Keys of those that a person has ended. One more at most each time that the root's key was fetched.
    pub forgotten: Vec<Pin>,
    /// Where a new one is written; nothing for a hub that lies nowhere.
    pub folder: Option<PathBuf>,
}

/// All that follows from who signs now.
pub(crate) struct Signing {
    pub authority: Arc<Authority>,
    pub former: Vec<Former>,
    /// Whoever has the key of one of these is a thief.
    pub forgotten: Vec<Pin>,
    /// What sites are told of the hub's sealing key.
    pub sealing: HubSealing,
    /// What the door for sites shows, and whom it lets in.
    pub door: Arc<ServerConfig>,
    /// What the API shows where it has no other certificate.
    pub api: Arc<ServerConfig>,
    /// When the certificates of both were made.
    shown_at: Timestamp,
}

/// Two times: for what ends, which does not go back, and the machine's, for certificates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    pub now: Timestamp,
    pub machine: Timestamp,
}

pub(crate) struct Authorities {
    folder: Option<PathBuf>,
    root: Pin,
    sealing: SealingPublic,
    signing: RwLock<Arc<Signing>>,
    /// The key of the next one, until its certificate comes.
    next: Mutex<Option<Key>>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
}

impl Signing {
    fn new(
        authority: Arc<Authority>,
        (former, forgotten): (Vec<Former>, Vec<Pin>),
        sealing: HubSealing,
        at: At,
    ) -> Result<Self, IdentityError> {
        let known = known(&authority, &former, at.now)?;
        // Over a new key: it lives as long as this is shown.
        let key = Key::generate()?;
        let chain = authority.hub_chain(&key.public(), at.machine)?;
        let door = Arc::new(hub_config(chain.clone(), &key, &known)?);
        let api = Arc::new(api_config(chain, &key)?);
        Ok(Self { authority, former, forgotten, sealing, door, api, shown_at: at.machine })
    }
}

/// Whose certificates are taken.
fn known(
    authority: &Authority,
    former: &[Former],
    now: Timestamp,
) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let mut known = vec![authority.certificate().clone()];
    for former in former.iter().filter(|it| now < it.until) {
        known.push(identity::certificate_of(&former.certificate)?);
    }
    Ok(known)
}

impl Authorities {
    pub(crate) fn open(
        kept: Kept,
        root: Pin,
        sealing: SealingPublic,
        at: At,
    ) -> Result<Self, IdentityError> {
        let Kept { authority, former, forgotten, folder } = kept;
        let said = HubSealing::new(&authority, root, sealing, at.machine)?;
        let signing = Signing::new(Arc::new(authority), (former, forgotten), said, at)?;
        Ok(Self {
            folder,
            root,
            sealing,
            signing: RwLock::new(Arc::new(signing)),
            next: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        })
    }

    pub(crate) fn now(&self) -> Arc<Signing> {
        Arc::clone(&self.signing.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same, with certificates that are of today; those of before, where no others can be made.
    pub(crate) fn fresh(&self, at: At) -> Arc<Signing> {
        let is_old = |shown: Timestamp| {
            at.machine.as_millis().abs_diff(shown.as_millis()) >= SHOWN_AGE_MAX.as_millis()
        };
        let signing = self.now();
        if !is_old(signing.shown_at) {
            return signing;
        }
        let mut signing = self.signing.write().unwrap_or_else(PoisonError::into_inner);
        if is_old(signing.shown_at) {
            let Signing { authority, former, forgotten, sealing, .. } = signing.as_ref();
            let before = (former.clone(), forgotten.clone());
            match Signing::new(Arc::clone(authority), before, sealing.clone(), at) {
                Ok(new) => *signing = Arc::new(new),
                Err(error) => tracing::error!(%error, "cannot make a new certificate"),
            }
        }
        Arc::clone(&signing)
    }

    /// Durable before it is so.
    async fn put(
        &self,
        authority: Arc<Authority>,
        key: Option<String>,
        (former, forgotten): (Vec<Former>, Vec<Pin>),
        at: At,
    ) -> Result<(), Refusal> {
        let failed = |error: IdentityError| Refusal::new(ProblemCode::Internal, error.to_string());
        let sealing = match key {
            Some(_) => {
                HubSealing::new(&authority, self.root, self.sealing, at.machine).map_err(failed)?
            }
            None => self.now().sealing.clone(),
        };
        let pem = authority.pem().to_owned();
        let before = (former.clone(), forgotten.clone());
        let new = Signing::new(authority, before, sealing, at).map_err(failed)?;
        let folder = self.folder.clone().ok_or_else(|| {
            Refusal::new(ProblemCode::AuthorityOverlap, "this hub lies in no folder")
        })?;
        let write = move || authority_write(&folder, key, &pem, &former, &forgotten);
        let written = tokio::task::spawn_blocking(write).await.map_err(|_| server::internal())?;
        written.map_err(|error: HubFolderError| {
            Refusal::new(ProblemCode::StoreFailed, error.to_string())
        })?;
        *self.signing.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(())
    }
}

fn overlapping(former: &[Former], now: Timestamp) -> Option<Refusal> {
    let until = former.iter().map(|it| it.until).filter(|until| now < *until).max()?;
    let detail = format!(
        "the authority was replaced already, and sites may come with certificates of the one before \
         until {until}: wait until then, or end that with `isonomy hub authority forget`, after which \
         sites that have not been here since need a new token"
    );
    Some(Refusal::new(ProblemCode::AuthorityOverlap, detail))
}

impl Hub {
    pub(crate) fn authority_show(&self) -> AuthoritiesView {
        let (signing, now) = (self.0.authorities.now(), self.now());
        let view = |certificate: &str, state, until: Option<Timestamp>| {
            let read = identity::authority_read(certificate).ok();
            AuthorityView {
                state,
                key: read.as_ref().map(|it| it.key.pin().to_string()).unwrap_or_default(),
                not_before: read.as_ref().map(|it| it.not_before.to_string()).unwrap_or_default(),
                not_after: read.as_ref().map(|it| it.not_after.to_string()).unwrap_or_default(),
                until: until.map(|until| until.to_string()),
            }
        };
        let former = signing.former.iter().filter(|it| now < it.until);
        let former = former.map(|it| view(&it.certificate, AuthorityState::Former, Some(it.until)));
        let mut items = vec![view(signing.authority.pem(), AuthorityState::Signs, None)];
        items.extend(former);
        AuthoritiesView {
            domain: signing.authority.domain().to_string(),
            root: self.0.root.to_string(),
            root_certificate: signing.authority.root_pem().to_owned(),
            items,
        }
    }

    /// Makes the key of the next authority, for whoever has the root's key to sign it.
    pub(crate) fn authority_next(&self) -> Result<AuthorityNext, Refusal> {
        let now = self.now();
        if let Some(refusal) = overlapping(&self.0.authorities.now().former, now) {
            return Err(refusal);
        }
        let key = Key::generate()
            .map_err(|error| Refusal::new(ProblemCode::Internal, error.to_string()))?;
        let next = AuthorityNext {
            key: STANDARD.encode(key.public().as_der()),
            now: self.machine_now().to_string(),
            until: now.plus(AUTHORITY_OVERLAP).to_string(),
        };
        *self.0.authorities.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
        Ok(next)
    }

    /// From now on the one signs that this certificate is for. The one before is still believed.
    pub(crate) async fn authority_rotate(
        &self,
        certificate: &str,
        by: &By,
    ) -> Result<AuthoritiesView, Refusal> {
        let authorities = &self.0.authorities;
        let _alone = authorities.changing.lock().await;
        let (before, now) = (authorities.now(), self.now());
        if let Some(refusal) = overlapping(&before.former, now) {
            return Err(refusal);
        }
        let wrong = |what: String| Refusal::parameter("certificate", what);
        let read = identity::authority_read(certificate).map_err(|it| wrong(it.to_string()))?;
        if !(read.not_before..=read.not_after).contains(&self.machine_now()) {
            return Err(wrong("it is not good now, by the hub's clock".to_owned()));
        }
        let key = self.authority_key(&read.key)?;
        let key_text = key.to_pem();
        let (domain, root) = (before.authority.domain().clone(), before.authority.root_pem());
        let new = Authority::read(domain, certificate, key, root);
        let new = new.and_then(|new| new.is_below_its_root().map(|()| new));
        let new = new.map_err(|error| wrong(error.to_string()))?;
        let former = Former {
            certificate: before.authority.pem().to_owned(),
            until: now.plus(AUTHORITY_OVERLAP),
        };
        let past = (vec![former], before.forgotten.clone());
        authorities.put(Arc::new(new), Some(key_text), past, self.at()).await?;
        *authorities.next.lock().unwrap_or_else(PoisonError::into_inner) = None;
        tracing::warn!(key = %read.key.pin(), "a new authority signs for this hub");
        self.record(ChangeKind::AuthorityRotated, by).await?;
        // What is told from now on is signed by it.
        self.0.editions.publish().await;
        Ok(self.authority_show())
    }

    /// Nobody comes any more with what former authorities have signed. Again is harmless.
    pub(crate) async fn authority_forget(&self, by: &By) -> Result<AuthoritiesView, Refusal> {
        let authorities = &self.0.authorities;
        let _alone = authorities.changing.lock().await;
        let (before, now) = (authorities.now(), self.now());
        if before.former.iter().any(|it| now < it.until) {
            let mut forgotten = before.forgotten.clone();
            for former in &before.former {
                let read = identity::authority_read(&former.certificate);
                forgotten.extend(read.ok().map(|it| it.key.pin()));
            }
            let past = (Vec::new(), forgotten);
            authorities.put(Arc::clone(&before.authority), None, past, self.at()).await?;
            tracing::warn!("certificates of former authorities are not taken any more");
            self.record(ChangeKind::AuthoritiesForgotten, by).await?;
        }
        Ok(self.authority_show())
    }

    /// The key that was made for this one.
    fn authority_key(&self, public: &PublicKey) -> Result<Key, Refusal> {
        let next = self.0.authorities.next.lock().unwrap_or_else(PoisonError::into_inner);
        let key = next.as_ref().filter(|key| key.public() == *public);
        let key = key.and_then(|key| Key::from_pem(&key.to_pem()).ok());
        key.ok_or_else(|| {
            let detail = "the hub has not asked for this certificate, or was started anew since: \
                          begin again with `isonomy hub authority rotate`";
            Refusal::new(ProblemCode::AuthorityOverlap, detail)
        })
    }

    pub(crate) fn at(&self) -> At {
        At { now: self.now(), machine: self.machine_now() }
    }

    async fn record(&self, kind: ChangeKind, by: &By) -> Result<(), Refusal> {
        let op = hub_op(kind, by, self.now());
        Ok(self.0.store.commit(vec![op], Preconditions::none()).await?)
    }
}

#[cfg(test)]
mod tests {
    use base::{Clock as _, SystemClock};
    use identity::{Domain, Root};

    use super::*;

    /// Mutation: let a former one count for ever, or for no longer than a site's certificate.
    #[test]
    fn a_former_authority_counts_until_its_time_is_over() {
        let (now, domain) = (SystemClock.now(), Domain::parse("acme").expect("a name"));
        let key = || Key::generate().expect("a key");
        let root = Root::create(&domain, key(), now).expect("a root");
        let [old, new] =
            [(), ()].map(|()| root.authority(&domain, key(), now).expect("an authority"));
        let until = now.plus(AUTHORITY_OVERLAP);
        let former = [Former { certificate: old.pem().to_owned(), until }];
        let known = |days: u64| {
            let at = now.plus(Duration::from_secs(days * 24 * 3600));
            assert_eq!(overlapping(&former, at).is_some(), at < until);
            super::known(&new, &former, at).expect("certificates").len()
        };
        assert_eq!([0, 46, 59].map(known), [2, 2, 2]);
        assert_eq!([60, 700].map(known), [1, 1]);
    }
}
