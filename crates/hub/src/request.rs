//! Requests: what somebody has asked the sites for, and which of them were meant at that time.
//!
//! A request is made once, by its id: asked for again, also after the hub was killed in between, it is
//! answered with the orders that it has given. It is written down in the same commit as they are, and
//! kept as long.

use std::collections::BTreeMap;

use base::value::Json;
use base::{By, Digest, Namespace, RequestId, SiteName, Timestamp, document};
use serde::{Deserialize, Serialize};
use server::{Refusal, Roles};
use store::{Op, ResourceKind, ResourceRow, Store};
use wire::{LeftOut, LeftOutSite, LeftOutView, OrderCreate, ProblemCode, RequestView, Role};

use crate::placement::Sites;
use crate::site::SiteDoc;

const REQUEST_TYPE: &str = "isonomy.request";
const REQUEST_VERSION: u32 = 1;

/// Names that are kept of sites that were named, or were left out for one reason. Counts say the rest.
const NAMES_KEPT: usize = 10;

/// What was asked for, in the hub's store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Of all that was asked for.
    pub asked: Digest,
    pub namespace: Namespace,
    pub workflow: String,
    pub by: By,
    pub at: Timestamp,
    pub sites: Sites,
    pub ordered: u32,
    pub left_out: LeftOuts,
}

/// Sites that were not meant, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeftOuts(Vec<Group>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Group {
    why: LeftOut,
    tag: Option<String>,
    count: u32,
    first: Vec<(SiteName, Option<String>)>,
}

/// Why a site is not meant: the first thing that is in the way.
#[derive(Debug, PartialEq, Eq)]
struct Why<'a> {
    why: LeftOut,
    tag: Option<&'a str>,
    value: Option<&'a str>,
}

fn why<'a>(to: &'a Sites, doc: &'a SiteDoc) -> Option<Why<'a>> {
    let of = |why| Some(Why { why, tag: None, value: None });
    if let Sites::Where(tags) = to {
        // Before all else: who asks for one region does not ask how the sites of another are.
        for (key, wanted) in tags {
            match doc.tags.get(key) {
                Some(value) if value == wanted => {}
                Some(value) => {
                    let (tag, value) = (Some(key.as_str()), Some(value.as_str()));
                    return Some(Why { why: LeftOut::TagDiffers, tag, value });
                }
                None => return Some(Why { tag: Some(key), ..of(LeftOut::TagMissing)? }),
            }
        }
    }
    if doc.revoked_at.is_some() {
        return of(LeftOut::Revoked);
    }
    if !doc.is_member() {
        return of(LeftOut::NotJoined);
    }
    if doc.cordoned_at.is_some() {
        return of(LeftOut::Cordoned);
    }
    None
}

impl LeftOuts {
    /// Whether the site is meant. Where it is not, that is counted.
    pub(crate) fn pass(&mut self, to: &Sites, site: &SiteName, doc: &SiteDoc) -> bool {
        let Some(Why { why, tag, value }) = why(to, doc) else { return true };
        let same = |group: &Group| (group.why, group.tag.as_deref()) == (why, tag);
        let at = self.0.iter().position(same).unwrap_or_else(|| {
            let tag = tag.map(str::to_owned);
            self.0.push(Group { why, tag, count: 0, first: Vec::new() });
            self.0.len() - 1
        });
        let group = &mut self.0[at];
        group.count += 1;
        if group.first.len() < NAMES_KEPT {
            group.first.push((site.clone(), value.map(str::to_owned)));
        }
        false
    }

    /// In a few words: `2 without the tag region, 1 cordoned`.
    pub(crate) fn words(&self) -> String {
        let words = self.0.iter().map(|Group { why, tag, count, .. }| {
            let tag = tag.as_deref().unwrap_or_default();
            match why {
                LeftOut::TagMissing => format!("{count} without the tag {tag}"),
                LeftOut::TagDiffers => format!("{count} with another {tag}"),
                LeftOut::Revoked => format!("{count} revoked"),
                LeftOut::NotJoined => format!("{count} not joined"),
                LeftOut::Cordoned => format!("{count} cordoned"),
            }
        });
        words.collect::<Vec<_>>().join(", ")
    }

    fn view(&self) -> Vec<LeftOutView> {
        let view = |Group { why, tag, count, first }: &Group| LeftOutView {
            why: *why,
            tag: tag.clone(),
            count: *count,
            first: first
                .iter()
                .map(|(site, value)| LeftOutSite { site: site.to_string(), value: value.clone() })
                .collect(),
        };
        self.0.iter().map(view).collect()
    }
}

/// Two requests with the same one are the same.
pub(crate) fn asked(ask: &OrderCreate<Json>) -> Digest {
    let ask = OrderCreate { request: None, ..ask.clone() };
    Digest::of(&serde_json::to_vec(&ask).expect("our own types have JSON text"))
}

impl Request {
    pub(crate) fn put(&self, request: RequestId) -> Op {
        let sites = match &self.sites {
            Sites::Names(names) => Sites::Names(names.iter().take(NAMES_KEPT).cloned().collect()),
            sites => sites.clone(),
        };
        let doc = Self { sites, ..self.clone() };
        let record = document::write(REQUEST_TYPE, REQUEST_VERSION, &doc).into();
        Op::ResourcePut(ResourceRow {
            kind: ResourceKind::Request,
            name: request.to_string(),
            record,
        })
    }

    pub(crate) fn delete(request: RequestId) -> Op {
        Op::ResourceDelete { kind: ResourceKind::Request, name: request.to_string() }
    }

    pub(crate) fn read(row: &ResourceRow) -> Result<Self, Refusal> {
        document::read(&row.record, REQUEST_TYPE, REQUEST_VERSION).map_err(|_| {
            let detail = format!("the request {} is damaged, or of a newer version", row.name);
            Refusal::new(ProblemCode::StoreFailed, detail)
        })
    }

    pub(crate) async fn find(
        store: &dyn Store,
        request: RequestId,
    ) -> Result<Option<Self>, Refusal> {
        let row = store.resource_get(ResourceKind::Request, request.to_string()).await?;
        row.map(|row| Self::read(&row)).transpose()
    }

    /// Another team's request is not there.
    pub(crate) async fn seen(
        store: &dyn Store,
        request: RequestId,
        roles: &Roles,
    ) -> Result<Self, Refusal> {
        let found = Self::find(store, request).await?;
        let found = found.filter(|found| roles.need(Role::Viewer, &found.namespace).is_ok());
        found.ok_or_else(|| {
            let detail = format!("there is no request {request}");
            Refusal::new(ProblemCode::OrderMissing, detail)
        })
    }

    pub(crate) fn view(&self, request: RequestId) -> RequestView {
        let By { actor, reason } = self.by.clone();
        RequestView {
            request: request.to_string(),
            at: self.at.to_string(),
            by: wire::By { actor, reason },
            namespace: self.namespace.to_string(),
            workflow: self.workflow.clone(),
            sites: self.sites.view(),
            ordered: self.ordered,
            left_out: self.left_out.view(),
        }
    }
}

/// The sites that are meant. Only one of the three may be there.
pub(crate) fn sites(
    names: &[String],
    tags: BTreeMap<String, String>,
    all: bool,
) -> Result<Sites, Refusal> {
    match (names.is_empty(), tags.is_empty(), all) {
        (true, true, true) => Ok(Sites::All),
        (true, false, false) => match base::tags_wrong(&tags) {
            Some(what) => Err(Refusal::parameter("where", what)),
            None => Ok(Sites::Where(tags)),
        },
        (false, true, false) => {
            let names = names.iter().map(|name| SiteName::parse(name));
            let names: Result<Vec<_>, _> = names.collect();
            let mut names = names.map_err(|wrong| Refusal::parameter("sites", wrong))?;
            names.sort();
            names.dedup();
            Ok(Sites::Names(names))
        }
        _ => Err(Refusal::parameter("sites", "name `sites`, or `where`, or `all`: one of them")),
    }
}

#[cfg(test)]
mod tests {
    use identity::Key;

    use super::*;

    fn doc(tags: &[(&str, &str)]) -> SiteDoc {
        let key = Some(Key::generate().expect("a key").public().pin());
        let tags = tags.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        SiteDoc { tags, key, ..SiteDoc::default() }
    }

    /// Mutation: mean a site that has some of the tags, one that is revoked, cordoned or has not joined; say of
    /// one in another region that it is cordoned; count only those that are named.
    #[test]
    fn who_is_left_out_is_counted_with_why() {
        let at = Some(Timestamp::from_millis(1));
        let eu = [("region", "eu"), ("role", "clinic")];
        let cordoned = SiteDoc { cordoned_at: at, ..doc(&eu) };
        let fleet = [
            (doc(&eu), None),
            (doc(&[("region", "eu")]), Some((LeftOut::TagMissing, Some("role")))),
            (
                SiteDoc { cordoned_at: at, ..doc(&[("region", "us"), ("role", "clinic")]) },
                Some((LeftOut::TagDiffers, Some("region"))),
            ),
            (cordoned.clone(), Some((LeftOut::Cordoned, None))),
            (SiteDoc { revoked_at: at, ..cordoned.clone() }, Some((LeftOut::Revoked, None))),
            (SiteDoc { key: None, ..cordoned }, Some((LeftOut::NotJoined, None))),
        ];
        let tags = eu.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let to = sites(&[], tags.into(), false).expect("tags");
        let mut left_out = LeftOuts::default();
        let name = |n: usize| SiteName::parse(&format!("site-{n}")).expect("a name");
        for (n, (doc, expected)) in fleet.iter().enumerate() {
            let found = why(&to, doc).map(|why| (why.why, why.tag));
            assert_eq!(found, *expected, "{doc:?}");
            assert_eq!(left_out.pass(&to, &name(n), doc), expected.is_none());
        }
        for n in 6..26 {
            left_out.pass(&to, &name(n), &fleet[2].0);
        }
        let views = left_out.view();
        let another = views.iter().find(|it| it.why == LeftOut::TagDiffers).expect("there");
        assert_eq!((another.count, another.first.len()), (21, NAMES_KEPT));
        assert_eq!(another.first[0].value.as_deref(), Some("us"));
        assert!(
            left_out.words().starts_with("1 without the tag role, 21 with another region, 1 c")
        );
        assert!(LeftOuts::default().pass(&Sites::All, &name(0), &fleet[1].0));
        assert!(!LeftOuts::default().pass(&Sites::All, &name(0), &fleet[5].0));
    }

    /// Mutation: take two ways to mean sites, or none.
    #[test]
    fn sites_are_meant_in_one_way() {
        let names = ["b".to_owned(), "a".to_owned(), "b".to_owned()];
        let tags = BTreeMap::from([("region".to_owned(), "eu".to_owned())]);
        let named = sites(&names, BTreeMap::new(), false).expect("names");
        let two = ["a", "b"].map(|name| SiteName::parse(name).expect("a name"));
        assert_eq!(named, Sites::Names(two.to_vec()));
        assert!(sites(&[], BTreeMap::new(), false).is_err());
        assert!(sites(&names, tags.clone(), false).is_err());
        assert!(sites(&[], tags, true).is_err());
        assert!(sites(&["a b".to_owned()], BTreeMap::new(), false).is_err());
    }
}
