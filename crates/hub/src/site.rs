//! A site, as people have described it.

use std::collections::{BTreeMap, BTreeSet};

use base::{Digest, DocumentError, SiteName, Timestamp, Unreadable, document, tags_wrong};
use identity::{Pin, SealingWord};
use serde::{Deserialize, Serialize};
use store::{SiteRow, Store};

use crate::desk::DeskError;

const SITE_TYPE: &str = "isonomy.site";
const SITE_VERSION: u32 = 1;

/// Keys that were a site's once, kept for each site: one that nobody can use any more goes first.
const VOID_MAX: usize = 16;

/// A key that is nobody's any more, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Void {
    pub key: Pin,
    pub at: Timestamp,
}

/// Somebody may become the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invited {
    pub at: Timestamp,
    pub until: Timestamp,
}

/// Sites that are read at once.
const PAGE: u32 = 500;

/// Looks at every site of the fleet, by name: there may be ten thousand.
pub(crate) async fn each_site(
    store: &dyn Store,
    mut look: impl FnMut(SiteRow, SiteDoc) -> Result<(), DeskError>,
) -> Result<(), DeskError> {
    let mut after = None;
    loop {
        let page = store.site_list(after.take(), PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        after = page.last().map(|row| row.site.clone());
        for row in page {
            let doc = SiteDoc::read(&row.site, &row.record)?;
            look(row, doc)?;
        }
        if is_last {
            return Ok(());
        }
    }
}

/// What the hub's store has as a site's `record`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SiteDoc {
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The key that its certificates are over; none before it has joined.
    pub key: Option<Pin>,
    pub joined_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    /// That says an edition of a life of the hub that is lost, and this hub does not know what was decided
    /// of the site after it: a machine with a later key may have taken its place.
    #[serde(default, skip_serializing_if = "is_false")]
    pub revoked_in_lost_life: bool,
    /// It is left out where sites are meant by tags, or all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cordoned_at: Option<Timestamp>,
    /// The newest token for it, until somebody has joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invited: Option<Invited>,
    /// Its owner has ended it, and nobody has revoked it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_at: Option<Timestamp>,
    /// Keys that were its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub void: Vec<Void>,
    /// Of a machine that has a later certificate for this site than this hub has given: one that joined in
    /// a life that is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adoptable: Option<Pin>,
    /// What is sealed to this key, the site alone reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealing: Option<SealingWord>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl SiteDoc {
    /// Sets marks, where that leaves not too many.
    pub(crate) fn tag(&mut self, set: BTreeMap<String, String>) -> Result<(), String> {
        self.tags.extend(set);
        tags_wrong(&self.tags).map_or(Ok(()), Err)
    }

    /// Somebody is the site from now on, or nobody: whose key it was can do nothing any more.
    pub(crate) fn hand_over(&mut self, key: Option<Pin>, now: Timestamp) {
        if let Some(before) = self.key.filter(|before| Some(*before) != key)
            && self.void.iter().all(|void| void.key != before)
        {
            self.void.push(Void { key: before, at: now });
            let surplus = self.void.len().saturating_sub(VOID_MAX);
            self.void.drain(..surplus);
        }
        (self.adoptable, self.left_at, self.sealing) = (None, None, None);
        (self.invited, self.revoked_in_lost_life) = (None, false);
        match key {
            Some(key) => {
                self.key = Some(key);
                (self.joined_at, self.revoked_at) = (Some(now), None);
            }
            // Whose it was is still shown.
            None => self.revoked_at = Some(now),
        }
    }

    /// Somebody was revoked in a life of the hub that is lost. Whoever waits to be the site by another key
    /// goes on waiting.
    pub(crate) fn revoke_by_edition(&mut self, void: &BTreeSet<Digest>, now: Timestamp) {
        let waiting = self.adoptable.filter(|key| !void.contains(key.digest()));
        self.hand_over(None, now);
        (self.adoptable, self.revoked_in_lost_life) = (waiting, true);
    }

    /// When somebody has last decided in this life of the hub who is the site.
    pub(crate) fn decided_at(&self) -> Option<Timestamp> {
        let revoked = self.revoked_at.filter(|_| !self.revoked_in_lost_life);
        self.joined_at.max(revoked)
    }

    /// Whether nobody has been this site, and nobody has decided that none shall be.
    pub(crate) fn is_new(&self) -> bool {
        self.key.is_none() && self.revoked_at.is_none()
    }

    /// Whether somebody is this site.
    #[must_use]
    pub fn is_member(&self) -> bool {
        self.key.is_some() && self.revoked_at.is_none()
    }

    pub fn read(site: &SiteName, bytes: &[u8]) -> Result<Self, Unreadable> {
        let of = |error: DocumentError| error.of(format!("the site {site}"));
        document::read(bytes, SITE_TYPE, SITE_VERSION).map_err(of)
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        document::write(SITE_TYPE, SITE_VERSION, self)
    }
}
