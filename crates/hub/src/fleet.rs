//! What people are told of the sites. Everything is as old as it says, and nobody is called well who was
//! not heard.

use std::collections::BTreeMap;

use base::stream::{PerStream, Stream};
use base::{By, Digest, SiteName, Timestamp};
use link::hub::{SeatDoc, Suspicion};
use server::Refusal;
use store::{ENTRIES_BESIDE_MAX, Op, Preconditions, SiteRow};
use wire::edition::Content;
use wire::link::{Dataset, Failed};
use wire::{
    DesiredFailed, DesiredState, HubHealth, Page, ProblemCode, SiteCarried, SiteDataset,
    SiteDesired, SiteState, SiteTurnedAway, SiteView,
};

use crate::Hub;
use crate::change::{ChangeKind, change_op};
use crate::desk::DeskError;
use crate::site::SiteDoc;

/// How a site is, and since when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Presence {
    pub state: SiteState,
    pub since: Option<Timestamp>,
    /// What was taken before may be gone.
    pub set_back_at: Option<Timestamp>,
}

impl Hub {
    pub(crate) fn health(&self) -> HubHealth {
        HubHealth {
            status: "ok".to_owned(),
            incarnation: self.0.store.incarnation().to_string(),
            domain: self.authority().domain().to_string(),
            sites_online: self.desks().online() as u64,
            recovering: self.0.recovery.is_on(),
            now: self.now().to_string(),
        }
    }

    pub(crate) async fn site_list(
        &self,
        after: Option<SiteName>,
        limit: u32,
    ) -> Result<Page<SiteView>, Refusal> {
        let mut rows = self.0.store.site_list(after, limit + 1).await?;
        let has_more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| has_more).map(|last| last.site.to_string());
        let items: Result<_, DeskError> = rows.into_iter().map(|row| self.view(row)).collect();
        Ok(Page { items: items?, next })
    }

    /// What sites have told of their data, site by site: a page is one of sites.
    pub(crate) async fn dataset_list(
        &self,
        after: Option<SiteName>,
        limit: u32,
    ) -> Result<Page<SiteDataset>, Refusal> {
        let Page { items, next } = self.site_list(after, limit).await?;
        Ok(Page { items: items.into_iter().flat_map(|site| site.datasets).collect(), next })
    }

    /// Changes the marks of a site: those that are given, and those that go.
    pub(crate) async fn site_tag(
        &self,
        site: SiteName,
        set: BTreeMap<String, String>,
        remove: Vec<String>,
        by: &By,
    ) -> Result<SiteView, Refusal> {
        let _held = self.desks().hold(&site).await;
        let mut doc = self.doc(&site).await?;
        doc.tags.retain(|key, _| !remove.contains(key));
        doc.tag(set).map_err(|what| Refusal::parameter("set", what))?;
        self.change(ChangeKind::SiteTagged, &site, &doc, by).await?;
        self.site_show(site).await
    }

    /// From now on nobody is this site: lines end at once, and its key opens no door. Again is harmless.
    pub(crate) async fn site_revoke(&self, site: SiteName, by: &By) -> Result<SiteView, Refusal> {
        let held = self.desks().hold(&site).await;
        let mut doc = self.doc(&site).await?;
        if doc.revoked_at.is_none() {
            doc.hand_over(None, self.now());
            self.change(ChangeKind::SiteRevoked, &site, &doc, by).await?;
        }
        held.part();
        self.0.recovery.done_with(&site).await?;
        self.site_show(site).await
    }

    /// Leaves the site out of orders to several, or ends that. What should be there stays so.
    pub(crate) async fn site_cordon(
        &self,
        site: SiteName,
        cordoned: bool,
        by: &By,
    ) -> Result<SiteView, Refusal> {
        let _held = self.desks().hold(&site).await;
        let mut doc = self.doc(&site).await?;
        if doc.cordoned_at.is_some() != cordoned {
            doc.cordoned_at = cordoned.then(|| self.now());
            let kind = if cordoned { ChangeKind::SiteCordoned } else { ChangeKind::SiteUncordoned };
            self.change(kind, &site, &doc, by).await?;
        }
        self.site_show(site).await
    }

    pub(crate) async fn has_site(&self, site: &SiteName) -> bool {
        matches!(self.0.store.site_get(site.clone()).await, Ok(Some(_)))
    }

    pub(crate) async fn doc(&self, site: &SiteName) -> Result<SiteDoc, Refusal> {
        self.desks().site_doc(site).await?.ok_or_else(|| missing(site))
    }

    async fn change(
        &self,
        kind: ChangeKind,
        site: &SiteName,
        doc: &SiteDoc,
        by: &By,
    ) -> Result<(), Refusal> {
        let put = Op::SitePut { site: site.clone(), record: doc.encode().into() };
        let ops = vec![change_op(kind, site, by, self.now()), put];
        {
            let mut changes = self.0.ordering.lock().await;
            self.0.store.commit(ops, Preconditions::none()).await?;
            *changes += 1;
        }
        self.0.editions.publish().await;
        Ok(())
    }

    pub(crate) async fn site_show(&self, site: SiteName) -> Result<SiteView, Refusal> {
        let row = self.0.store.site_get(site.clone()).await?.ok_or_else(|| missing(&site))?;
        let beside = self.0.store.entry_beside(site, 0, ENTRIES_BESIDE_MAX).await?.len() as u64;
        Ok(SiteView { contradicted: (beside > 0).then_some(beside), ..self.view(row)? })
    }

    pub(crate) async fn presence(&self, site: &SiteName) -> Result<Presence, Refusal> {
        let row = self.0.store.site_get(site.clone()).await?.ok_or_else(|| missing(site))?;
        let doc = SiteDoc::read(site, &row.record).map_err(DeskError::from)?;
        let seat = SeatDoc::read(site, row.seat.as_deref()).map_err(DeskError::from)?;
        let online = self.desks().online_at(site).map(|online| online.since);
        let (state, since) = state(&doc, &seat, online);
        Ok(Presence { state, since, set_back_at: seat.set_back_at })
    }

    fn view(&self, row: SiteRow) -> Result<SiteView, DeskError> {
        let doc = SiteDoc::read(&row.site, &row.record)?;
        let seat = SeatDoc::read(&row.site, row.seat.as_deref())?;
        let online = self.desks().online_at(&row.site);
        let (state, since) = state(&doc, &seat, online.map(|online| online.since));
        let is_invited = state == SiteState::Invited;
        let since = since.or(doc.invited.filter(|_| is_invited).map(|invited| invited.at));
        // What was written down of one that is there is older than its last word.
        let heard_at = match state {
            SiteState::Online => online.map(|online| online.heard),
            _ => seat.heard_at,
        };
        let desired = self.0.editions.content(&row.site).filter(|_| doc.revoked_at.is_none());
        let desired = desired.and_then(|(number, content)| desired_of(number, &content, &seat));
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        let turned_away = self.turned().last(&row.site).map(|last| SiteTurnedAway {
            at: last.at.to_string(),
            from: last.from.to_string(),
            why: last.why,
            times: last.times,
        });
        Ok(SiteView {
            site: row.site.to_string(),
            state,
            since: time(since),
            tags: doc.tags.clone(),
            joined_at: time(doc.joined_at),
            invited_until: time(doc.invited.filter(|_| is_invited).map(|invited| invited.until)),
            heard_at: time(heard_at),
            cordoned_at: time(doc.cordoned_at),
            incarnation: seat.present.map(|present| present.incarnation.to_string()),
            taken: by_name(&row.taken),
            lost: by_name(&seat.lost),
            unread: by_name(&seat.unread),
            contradicted: None,
            desired,
            carried: seat.carried.map(|it| SiteCarried {
                at: it.at.to_string(),
                written_at: it.written_at.to_string(),
            }),
            trouble: trouble(&row.site, &doc, &seat),
            turned_away,
            datasets: datasets_of(&row.site, &seat, heard_at),
        })
    }
}

fn missing(site: &SiteName) -> Refusal {
    let detail = format!("there is no site {site}; `isonomy sites list` shows the fleet");
    Refusal::new(ProblemCode::SiteMissing, detail)
}

/// How a site is, and since when.
fn state(
    doc: &SiteDoc,
    seat: &SeatDoc,
    online: Option<Timestamp>,
) -> (SiteState, Option<Timestamp>) {
    if doc.left_at.is_some() {
        (SiteState::Left, doc.left_at)
    } else if !doc.is_member() && doc.adoptable.is_some() {
        (SiteState::ToBeAdopted, None)
    } else if doc.revoked_at.is_some() {
        (SiteState::Revoked, doc.revoked_at)
    } else if doc.key.is_none() {
        (SiteState::Invited, None)
    } else if seat.quarantine.is_some() {
        (SiteState::Quarantined, seat.heard_at)
    } else if online.is_some() {
        (SiteState::Online, online)
    } else {
        (SiteState::Silent, seat.heard_at.max(doc.joined_at))
    }
}

/// How far a site is; nothing where nothing should be there, and nothing was.
fn desired_of(edition: u64, content: &Content, seat: &SeatDoc) -> Option<SiteDesired> {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let workflows = count(content.workflows.len());
    let said = seat.health.as_ref();
    let is_of_it = |it: Digest| it == content.digest();
    if workflows == 0 && said.is_none_or(|said| said.content.is_none_or(is_of_it)) {
        return None;
    }
    let Some(said) = said.filter(|said| said.content == Some(content.digest())) else {
        let state = DesiredState::Converging;
        let (waiting, failed) = (workflows, Vec::new());
        return Some(SiteDesired { state, edition, workflows, waiting, failed });
    };
    let failed: Vec<DesiredFailed> = said.failed.iter().map(failed_view).collect();
    let state = DesiredState::of(said.waiting, !failed.is_empty());
    Some(SiteDesired { state, edition, workflows, waiting: said.waiting, failed })
}

/// What the site has told of its data, as old as it was last heard.
fn datasets_of(site: &SiteName, seat: &SeatDoc, heard_at: Option<Timestamp>) -> Vec<SiteDataset> {
    let view = |it: &Dataset| SiteDataset {
        site: site.to_string(),
        dataset: it.name.to_string(),
        labels: it.labels.iter().map(ToString::to_string).collect(),
        modified_at: it.modified_at.map(|at| at.to_string()),
        known_since: seat.datasets_since.get(&it.name).map(ToString::to_string).unwrap_or_default(),
        heard_at: heard_at.map(|at| at.to_string()),
    };
    seat.health.iter().flat_map(|health| &health.datasets).map(view).collect()
}

fn failed_view(failed: &Failed) -> DesiredFailed {
    DesiredFailed {
        namespace: failed.namespace.to_string(),
        workflow: failed.name.to_string(),
        code: failed.code.clone(),
    }
}

/// Those that are not zero.
fn by_name(counts: &PerStream<u64>) -> BTreeMap<String, u64> {
    let named = Stream::ALL.map(|stream| (stream.name().to_owned(), *counts.get(stream)));
    named.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn trouble(site: &SiteName, doc: &SiteDoc, seat: &SeatDoc) -> Option<String> {
    if doc.adoptable.is_some() {
        return Some(format!(
            "a machine has a certificate for this site of a time that this hub has lost by its restore: \
             `isonomy sites adopt {site}` takes it as the site, and whoever was the site is it no more"
        ));
    }
    match (seat.quarantine, seat.doubt) {
        _ if doc.revoked_at.is_some() => None,
        (Some(suspicion), _) => Some(suspected(suspicion)),
        (None, doubt) => doubt.map(|it| doubted(it.suspicion, it.at)),
    }
}

/// A file proves nothing but that it was written: what fits is still taken.
fn doubted(suspicion: Suspicion, at: Timestamp) -> String {
    format!("a file that was refused at {at}: {}", suspected(suspicion))
}

fn suspected(suspicion: Suspicion) -> String {
    let what = match suspicion {
        Suspicion::OldSession => "it came with a session that was over",
        Suspicion::SetBack => "it has fewer entries than it has sent",
        Suspicion::Unrelated => "it does not come from the store that was the site",
        Suspicion::ChainDiffers => "what it holds is not what it has sent",
    };
    format!(
        "{what}: there may be two copies of this site, or it was set back by other means than `isonomy site restore`. \
         Stop all of them but the one that shall be the site, and join that one anew with a token made by \
         `isonomy hub token create --replace`"
    )
}

#[cfg(test)]
mod tests {
    use identity::Key;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    /// Mutation: call a site online that has no line, or ready that nobody has heard; forget quarantine where
    /// there is a line; date silence from the joining where the site was heard later.
    #[test]
    fn a_site_is_what_was_heard_of_it() {
        let invited = SiteDoc::default();
        let key = Some(Key::generate().expect("a key").public().pin());
        let joined = SiteDoc { key, joined_at: Some(at(10)), ..SiteDoc::default() };
        let revoked = SiteDoc { revoked_at: Some(at(40)), ..joined.clone() };
        let unheard = SeatDoc::default();
        let heard = SeatDoc { heard_at: Some(at(20)), ..SeatDoc::default() };
        let copied = SeatDoc { quarantine: Some(Suspicion::SetBack), ..heard.clone() };
        let online = Some(at(30));
        for (doc, seat, online, expected) in [
            (&invited, &unheard, None, (SiteState::Invited, None)),
            (&joined, &unheard, None, (SiteState::Silent, Some(at(10)))),
            (&joined, &heard, None, (SiteState::Silent, Some(at(20)))),
            (&joined, &heard, online, (SiteState::Online, online)),
            (&joined, &copied, online, (SiteState::Quarantined, Some(at(20)))),
            (&revoked, &copied, online, (SiteState::Revoked, Some(at(40)))),
        ] {
            assert_eq!(state(doc, seat, online), expected, "{doc:?} {seat:?}");
        }
    }

    /// Mutation: show a count of zero.
    #[test]
    fn counts_are_shown_where_there_is_something() {
        let counts = PerStream { outcome: 3, receipt: 0 };
        assert_eq!(by_name(&counts), BTreeMap::from([("outcome".to_owned(), 3)]));
    }
}
