//! Becoming a site: tokens, and the certificates that they are good for.

use std::collections::BTreeMap;

use base::{By, Duration, IncarnationId, SiteName, Timestamp};
use identity::{
    Certificate, CertificateDer, GRACE, HubSealing, IdentityError, JoinToken, Name, PublicKey,
    SITE_CERTIFICATE_LIFE, SealingWord, SiteSealing, TokenSecret,
};
use serde::{Deserialize, Serialize};
use server::Refusal;
use store::{CommitError, Op, Preconditions, StoreError, TokenRow};
use wire::{ProblemCode, SiteView};

use crate::Hub;
use crate::change::{ChangeKind, change_op};
use crate::desk::DeskError;
use crate::site::{Invited, SiteDoc};

/// How long a token is good for at most: whoever finds it later finds nothing.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// And at least: somebody has to carry it.
const TOKEN_LIFE_MIN: Duration = Duration::from_secs(60);

/// A token that shall be made.
#[derive(Debug, Clone)]
pub struct TokenOrder {
    pub site: SiteName,
    pub tags: BTreeMap<String, String>,
    pub life: Duration,
    /// The site has joined already, and this takes its place.
    pub replace: bool,
    pub by: By,
    /// Where the site finds the hub: as the hub itself says, where this is empty.
    pub hubs: Vec<String>,
}

/// The rest of what is kept of a token.
#[derive(Debug, Serialize, Deserialize)]
struct TokenDoc {
    replace: bool,
    /// The life of the hub that made it. Another one may not know who has used it.
    hub: IncarnationId,
    made_at: Timestamp,
    /// What had been decided of the site before. Compared and not ordered: a clock may have been ahead then.
    #[serde(default)]
    decided: Decided,
}

/// When a site was last joined and revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Decided {
    joined_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

impl Decided {
    fn of(doc: &SiteDoc) -> Self {
        Self { joined_at: doc.joined_at, revoked_at: doc.revoked_at }
    }
}

impl TokenDoc {
    /// Before its beginning the clock was set back, and nobody knows how long it has been good for.
    fn is_good_at(&self, now: Timestamp, until: Timestamp) -> bool {
        (self.made_at..until).contains(&now)
    }
}

/// What a site gets.
#[derive(Debug, Clone)]
pub struct Joined {
    pub name: Name,
    pub certificate: CertificateDer<'static>,
    pub now: Timestamp,
    /// The hub's.
    pub sealing: HubSealing,
}

#[derive(Debug, thiserror::Error)]
pub enum JoinRefusal {
    #[error("a token is good for a minute at least and seven days at most")]
    Life,
    #[error(
        "the site {0} has joined already, or was revoked: to put another machine in its place, make a token with `--replace`"
    )]
    Exists(SiteName),
    #[error(
        "this token is not good here: it was used, its time is over, or this hub never gave it; ask for a new one"
    )]
    Token,
    #[error("too many attempts from here have failed: try again in {} seconds", seconds(*.0))]
    Later(std::time::Duration),
    #[error("the request has more than {0} bytes")]
    Size(usize),
    #[error("the site's tags: {0}")]
    Tags(String),
    #[error("this is not a key that a site can have")]
    Key,
    #[error("the site {0} was revoked")]
    Revoked(SiteName),
    #[error(
        "this hub was brought back from a backup and does not know this machine as {0}: it waits there until somebody adopts it"
    )]
    Adopt(SiteName),
    #[error(
        "this hub was brought back from a backup, and its sites have not all told what they hold: `isonomy hub recovery show` says who is waited for"
    )]
    Recovering,
    #[error(
        "this certificate ended too long ago, or its key is not this site's any more: ask for a token with `--replace`"
    )]
    Certificate,
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Desk(#[from] DeskError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// As it is told: none of it is over when they are.
pub(crate) fn seconds(wait: std::time::Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl JoinRefusal {
    /// Whether it follows from what was asked, and not from how the hub is.
    pub(crate) fn is_his_own(&self) -> bool {
        match self {
            Self::Life
            | Self::Exists(_)
            | Self::Token
            | Self::Later(_)
            | Self::Size(_)
            | Self::Tags(_)
            | Self::Key
            | Self::Revoked(_)
            | Self::Adopt(_)
            | Self::Certificate => true,
            Self::Recovering
            | Self::Identity(_)
            | Self::Desk(_)
            | Self::Store(_)
            | Self::Commit(_) => false,
        }
    }
}

impl Hub {
    /// Makes a token, and the site that it is for, where there is none yet.
    pub async fn token_create(&self, order: TokenOrder) -> Result<JoinToken, JoinRefusal> {
        let TokenOrder { site, tags, life, replace, by, hubs } = order;
        if !(TOKEN_LIFE_MIN..=TOKEN_LIFE_MAX).contains(&life) {
            return Err(JoinRefusal::Life);
        }
        if self.0.recovery.is_on() {
            return Err(JoinRefusal::Recovering);
        }
        let _held = self.0.desks.hold(&site).await;
        let mut doc = self.0.desks.site_doc(&site).await?.unwrap_or_default();
        if !doc.is_new() && !replace {
            return Err(JoinRefusal::Exists(site));
        }
        doc.tag(tags).map_err(JoinRefusal::Tags)?;
        let now = self.now();
        let random = self.0.random.as_ref();
        let hubs = if hubs.is_empty() { self.0.addresses.clone() } else { hubs };
        let token = JoinToken::new(hubs, self.0.root, site.clone(), now.plus(life), random);
        let decided = Decided::of(&doc);
        doc.invited = Some(Invited { at: now, until: token.until });
        let kept = TokenDoc { replace, hub: self.0.store.incarnation(), made_at: now, decided };
        let kept = serde_json::to_vec(&kept).expect("our own types have JSON text");
        let row = TokenRow {
            secret: *TokenSecret::of(token.secret()).digest(),
            site: site.clone(),
            until: token.until,
            record: kept.into(),
            used_by: None,
        };
        let ops = vec![
            Op::TokenForget { until: now },
            change_op(ChangeKind::TokenCreated, &site, &by, now),
            Op::SitePut { site, record: doc.encode().into() },
            Op::TokenPut(row),
        ];
        self.0.store.commit(ops, Preconditions::none()).await?;
        self.0.editions.changed();
        Ok(token)
    }

    /// For whom there is a token with this secret, and whether nobody has used it yet.
    pub(crate) async fn token_site(
        &self,
        secret: &str,
    ) -> Result<Option<(SiteName, bool)>, JoinRefusal> {
        let secret = *TokenSecret::of(secret).digest();
        let token = self.0.store.token_get(secret).await?;
        Ok(token.map(|it| (it.site, it.used_by.is_none() && self.now() < it.until)))
    }

    /// A machine with a token becomes the site that the token is for. Whoever has become it by this
    /// token with this key gets the same answer again: his first may have been lost.
    pub async fn join(
        &self,
        secret: &str,
        key: &[u8],
        joined: IncarnationId,
        sealing: Option<SealingWord>,
    ) -> Result<Joined, JoinRefusal> {
        let key = PublicKey::from_der(key).map_err(|_| JoinRefusal::Key)?;
        let secret = *TokenSecret::of(secret).digest();
        let token = self.0.store.token_get(secret).await?.ok_or(JoinRefusal::Token)?;
        let kept: TokenDoc =
            serde_json::from_slice(&token.record).map_err(|_| JoinRefusal::Token)?;
        let site = token.site;
        self.is_word_of(&site, &key, sealing.as_ref())?;
        // What has begun is not broken off, whoever goes.
        let hub = self.clone();
        let task =
            tokio::spawn(
                async move { hub.join_held(site, secret, &kept, key, joined, sealing).await },
            );
        task.await.unwrap_or(Err(JoinRefusal::Desk(DeskError::Stopping)))
    }

    async fn join_held(
        &self,
        site: SiteName,
        secret: base::Digest,
        kept: &TokenDoc,
        key: PublicKey,
        joined: IncarnationId,
        sealing: Option<SealingWord>,
    ) -> Result<Joined, JoinRefusal> {
        let held = self.0.desks.hold(&site).await;
        let token = self.0.store.token_get(secret).await?.ok_or(JoinRefusal::Token)?;
        let mut doc = self.0.desks.site_doc(&site).await?.ok_or(JoinRefusal::Token)?;
        let (by, now) = (*key.pin().digest(), self.now());
        if token.used_by == Some(by) && doc.key == Some(key.pin()) && doc.revoked_at.is_none() {
            return match kept.is_good_at(now, token.until) {
                true => self.certificate(site, &key),
                false => Err(JoinRefusal::Token),
            };
        }
        // Whatever was decided of the site after the token was made counts more.
        let is_overtaken = Decided::of(&doc) != kept.decided;
        let is_of_before = kept.hub != self.0.store.incarnation();
        if token.used_by.is_some()
            || !kept.is_good_at(now, token.until)
            || is_overtaken
            || is_of_before
            || (!doc.is_new() && !kept.replace)
        {
            return Err(JoinRefusal::Token);
        }
        doc.hand_over(Some(key.pin()), now);
        doc.sealing = sealing;
        let machine = By { actor: "site".to_owned(), reason: None };
        let ops = vec![
            change_op(ChangeKind::SiteJoined, &site, &machine, now),
            Op::TokenUse { secret, by, now },
            Op::SitePut { site: site.clone(), record: doc.encode().into() },
            self.0.desks.joined(&site, joined).await?,
        ];
        match self.0.store.commit(ops, Preconditions::none()).await {
            Ok(()) => {}
            Err(CommitError::TokenSpent) => return Err(JoinRefusal::Token),
            Err(error) => return Err(error.into()),
        }
        held.part();
        self.0.editions.changed();
        self.certificate(site, &key)
    }

    /// Another certificate for whoever has shown this one, in a handshake that proved its key. Who has
    /// joined before there were sealing keys says its own here.
    pub async fn renew(
        &self,
        shown: &Certificate,
        sealing: Option<SealingWord>,
    ) -> Result<Joined, JoinRefusal> {
        let site = self.holder(shown).await?;
        self.is_word_of(&site, &shown.key, sealing.as_ref())?;
        if self.machine_now() > shown.not_after.plus(GRACE) {
            return Err(JoinRefusal::Certificate);
        }
        if sealing.is_some() {
            let _held = self.0.desks.hold(&site).await;
            // Looked at again where nobody joins meanwhile.
            self.holder(shown).await?;
            let mut doc = self.0.desks.site_doc(&site).await?.ok_or(JoinRefusal::Certificate)?;
            if doc.sealing != sealing {
                doc.sealing = sealing;
                let put = Op::SitePut { site: site.clone(), record: doc.encode().into() };
                self.0.store.commit(vec![put], Preconditions::none()).await?;
            }
        }
        self.certificate(site, &shown.key)
    }

    /// What others need to seal to this site; nothing where it has said no key, or is none any more.
    pub async fn sealing_of(&self, site: &SiteName) -> Result<Option<SiteSealing>, JoinRefusal> {
        let doc = self.0.desks.site_doc(site).await?.filter(crate::SiteDoc::is_member);
        let Some(word) = doc.and_then(|doc| doc.sealing) else { return Ok(None) };
        Ok(Some(SiteSealing::of(&self.authority(), site, word, self.machine_now())?))
    }

    fn is_word_of(
        &self,
        site: &SiteName,
        key: &PublicKey,
        sealing: Option<&SealingWord>,
    ) -> Result<(), JoinRefusal> {
        let Some(word) = sealing else { return Ok(()) };
        let signer = word.verify(self.0.root, site).map_err(|_| JoinRefusal::Key)?;
        if signer == *key { Ok(()) } else { Err(JoinRefusal::Key) }
    }

    /// Whether the holder of this certificate may have a line now; whose it is. One that is still to begin
    /// was made while the clock was ahead, and would be good for longer than it was meant to be.
    pub(crate) async fn admit(&self, shown: &Certificate) -> Result<SiteName, JoinRefusal> {
        let site = self.holder(shown).await?;
        let Certificate { not_before, not_after, .. } = &shown;
        let is_valid = (*not_before..=*not_after).contains(&self.machine_now());
        if is_valid { Ok(site) } else { Err(JoinRefusal::Certificate) }
    }

    async fn holder(&self, shown: &Certificate) -> Result<SiteName, JoinRefusal> {
        let Name::Site(domain, site) = &shown.name else { return Err(JoinRefusal::Certificate) };
        if domain != self.authority().domain() {
            return Err(JoinRefusal::Certificate);
        }
        let doc = self.0.desks.site_doc(site).await?.unwrap_or_default();
        if doc.key == Some(shown.key.pin()) {
            return match doc.revoked_at {
                None => Ok(site.clone()),
                Some(_) => Err(JoinRefusal::Revoked(site.clone())),
            };
        }
        if self.is_of_lost_life(shown, &doc).await {
            self.show_adoptable(site, shown).await?;
            return Err(JoinRefusal::Adopt(site.clone()));
        }
        match doc.revoked_at {
            None => Err(JoinRefusal::Certificate),
            Some(_) => Err(JoinRefusal::Revoked(site.clone())),
        }
    }

    /// Whether this hub has given the certificate in a life that it knows nothing of: TLS has found that it
    /// is signed.
    async fn is_of_lost_life(&self, shown: &Certificate, doc: &SiteDoc) -> bool {
        let is_later =
            doc.decided_at().is_none_or(|at| shown.not_after > at.plus(SITE_CERTIFICATE_LIFE));
        is_later
            && doc.void.iter().all(|void| void.key != shown.key.pin())
            && self.0.recovery.has_lost().await
            && !self.0.recovery.is_void(shown.key.pin().digest()).await
    }

    async fn show_adoptable(
        &self,
        site: &SiteName,
        shown: &Certificate,
    ) -> Result<(), JoinRefusal> {
        let _held = self.0.desks.hold(site).await;
        let mut doc = self.0.desks.site_doc(site).await?.unwrap_or_default();
        let key = Some(shown.key.pin());
        if doc.adoptable != key && doc.key != key {
            doc.adoptable = key;
            let put = Op::SitePut { site: site.clone(), record: doc.encode().into() };
            self.0.store.commit(vec![put], Preconditions::none()).await?;
            tracing::warn!(%site, "a machine joined as this site in a life of the hub that is lost");
        }
        Ok(())
    }

    /// Takes the machine that has shown itself as this site.
    pub(crate) async fn site_adopt(&self, site: SiteName, by: &By) -> Result<SiteView, Refusal> {
        let held = self.0.desks.hold(&site).await;
        let mut doc = self.doc(&site).await?;
        let Some(key) = doc.adoptable else {
            let detail = format!("no machine waits to be adopted as {site}");
            return Err(Refusal::new(ProblemCode::SiteMissing, detail));
        };
        if self.0.recovery.is_void(key.digest()).await {
            let detail = format!(
                "the machine that waits to be adopted as {site} was revoked before the restore, as an edition \
                 of then says: where it shall be the site, make a token with `--replace`"
            );
            return Err(Refusal::new(ProblemCode::SiteMissing, detail));
        }
        let now = self.now();
        doc.hand_over(Some(key), now);
        let ops = vec![
            change_op(ChangeKind::SiteAdopted, &site, by, now),
            Op::SitePut { site: site.clone(), record: doc.encode().into() },
            self.0.desks.adopted(&site).await?,
        ];
        self.0.store.commit(ops, Preconditions::none()).await?;
        held.part();
        self.0.editions.publish().await;
        self.site_show(site).await
    }

    fn certificate(&self, site: SiteName, key: &PublicKey) -> Result<Joined, JoinRefusal> {
        let now = self.machine_now();
        let signing = self.signing();
        let certificate = signing.authority.site(&site, key, now)?;
        let name = Name::Site(signing.authority.domain().clone(), site);
        Ok(Joined { name, certificate, now, sealing: signing.sealing.clone() })
    }
}
