//! Sites that have others work (ADR 17): what they say goes through here, and cannot be read here.
//!
//! A reconciler over what has been taken: it looks at entries in their order, writes the orders that follow
//! from each together with how far it is, and can be run again at any time. Ids of orders follow from the
//! entry, so that what is done twice is the same.

use std::time::Duration;

use base::stream::Stream;
use base::{By, DispatchId, DocumentError, OrderId, SiteName, Timestamp, document};
use bytes::Bytes;
use identity::{Authority, SiteSealing};
use link::ORDER_LIFE_MAX;
use link::hub::SeatDoc;
use serde::{Deserialize, Serialize};
use server::Refusal;
use store::{EntryRow, Op, OrderRow, Preconditions, ResourceKind, ResourceRow, SiteRow};
use wire::ProblemCode;
use wire::dispatch::{
    Answer, AnswerState, COORDINATOR_TAG, Dispatched, Entry, Found, Meant, News, SITES_MAX, Say,
    SiteKey, Sites, ask_key,
};
use wire::order::{Act, Order};

use crate::Hub;
use crate::desk::DeskError;
use crate::order::ORDER_BYTES_MAX;
use crate::site::{SiteDoc, each_site};

/// Entries that are looked at between two commits: what a crash has it look at again.
const PAGE: u32 = 500;

/// Of one page of sites: with what is around them they fit in an order.
const PAGE_BYTES_MAX: usize = ORDER_BYTES_MAX - 8 * 1024;

/// Entries of which nothing follows, until it is written down that they were looked at: reading them again
/// after a crash takes a moment, and writing each down would be a commit for every outcome.
const UNWRITTEN_MAX: u64 = 5_000;

/// After the store could not be read or written.
const RETRY: Duration = Duration::from_secs(5);

/// There is one.
const CURSOR: &str = "cursor";

const CURSOR_TYPE: &str = "isonomy.dispatch-cursor";
const CURSOR_VERSION: u32 = 1;

/// How far it has looked.
#[derive(Serialize, Deserialize)]
struct Cursor {
    entry: u64,
}

/// An order that follows from what a site has said.
struct Following {
    to: SiteName,
    order: OrderId,
    until: Timestamp,
    by: By,
    act: Act,
}

/// Which sites are meant, by name; and how many members are not.
#[derive(Default)]
struct Chosen {
    sites: Vec<Found>,
    unmatched: u32,
    cordoned: u32,
}

/// Looks at what comes, until it is dropped.
pub(crate) async fn keep(hub: &Hub) {
    // Until then nobody is given an order.
    hub.0.recovery.over().await;
    let mut taken = hub.desks().taken();
    let mut place = None;
    loop {
        taken.borrow_and_update();
        if let Err(refusal) = turn(hub, &mut place).await {
            tracing::error!(%refusal, "cannot hand on what sites say to each other");
            tokio::time::sleep(RETRY).await;
            continue;
        }
        if taken.changed().await.is_err() {
            return;
        }
    }
}

/// Where it is: what is looked at, and how much of it is written down.
#[derive(Clone, Copy)]
struct Place {
    looked: u64,
    written: u64,
}

/// Everything that has come since the last turn.
async fn turn(hub: &Hub, place: &mut Option<Place>) -> Result<(), Refusal> {
    let store = hub.0.store.as_ref();
    loop {
        let at = match *place {
            Some(at) => at,
            None => {
                let written = cursor(hub).await?;
                Place { looked: written, written }
            }
        };
        let page = store.entry_list(at.looked, PAGE).await?;
        let Some(last) = page.last().map(|row| row.position) else { return Ok(()) };
        let mut following = Vec::new();
        for row in page.iter().filter(|row| row.stream == Stream::Receipt) {
            if let Ok(entry) = Entry::decode(&row.entry) {
                following.extend(follow(hub, row, entry).await?);
            }
        }
        if following.is_empty() && last - at.written < UNWRITTEN_MAX {
            *place = Some(Place { looked: last, ..at });
            continue;
        }
        let mut ops: Vec<Op> = following.iter().map(|it| it.op(hub.now())).collect();
        let record = document::write(CURSOR_TYPE, CURSOR_VERSION, &Cursor { entry: last });
        let (kind, name) = (ResourceKind::Dispatch, CURSOR.to_owned());
        ops.push(Op::ResourcePut(ResourceRow { kind, name, record: record.into() }));
        store.commit(ops, Preconditions::none()).await?;
        *place = Some(Place { looked: last, written: last });
        let mut told: Vec<SiteName> = following.into_iter().map(|it| it.to).collect();
        told.sort();
        told.dedup();
        for site in told {
            if let Err(error) = hub.desks().ordered(&site).await {
                // It is given in the next session.
                tracing::warn!(%site, %error, "cannot tell a site of its order");
            }
        }
    }
}

async fn cursor(hub: &Hub) -> Result<u64, Refusal> {
    let row = hub.0.store.resource_get(ResourceKind::Dispatch, CURSOR.to_owned()).await?;
    let Some(row) = row else { return Ok(0) };
    let read: Result<Cursor, DocumentError> =
        document::read(&row.record, CURSOR_TYPE, CURSOR_VERSION);
    let damaged = |error| Refusal::new(ProblemCode::StoreFailed, format!("the cursor: {error}"));
    Ok(read.map_err(damaged)?.entry)
}

/// What follows from one entry.
async fn follow(hub: &Hub, row: &EntryRow, entry: Entry) -> Result<Vec<Following>, Refusal> {
    let (by, dispatch) = (&row.site, entry.dispatch);
    let key = entry.key();
    match entry.say {
        Say::Find { sites, .. } => find(hub, by, dispatch, &sites).await,
        Say::Ask { to, namespace, workflow, until, sealed } => {
            let (sealing, chain) = match asking(hub, by, &to, until).await? {
                Ok(proof) => proof,
                Err((state, code)) => {
                    let answer = Answer::new(state, code, hub.now());
                    return Ok(vec![news(hub, by, &to, dispatch, answer, &key)]);
                }
            };
            let from = by.clone();
            let it =
                Dispatched { dispatch, from, key: sealing, chain, namespace, workflow, sealed };
            let ordered = Following {
                order: dispatch.order(&[b"run", by.as_str().as_bytes(), to.as_str().as_bytes()]),
                to,
                until: until.min(hub.now().plus(ORDER_LIFE_MAX)),
                by: By { actor: format!("site:{by}"), reason: None },
                act: Act::Dispatched(Box::new(it)),
            };
            if ordered.body().len() > ORDER_BYTES_MAX {
                let answer = Answer::new(AnswerState::Refused, Some("too-large"), hub.now());
                return Ok(vec![news(hub, by, &ordered.to, dispatch, answer, &key)]);
            }
            Ok(vec![ordered])
        }
        Say::Answer { of, answer } => {
            // Nobody is told what he has not asked for.
            let asked = Bytes::from(ask_key(dispatch, by));
            let asked = hub.0.store.entry_get(of.clone(), Stream::Receipt, asked).await?;
            let is_one = asked.and_then(|row| Entry::decode(&row.entry).ok()).is_some();
            Ok(match is_one {
                true => vec![news(hub, &of, by, dispatch, answer, &key)],
                false => Vec::new(),
            })
        }
    }
}

/// Word for `to` of what `site` has answered.
fn news(
    hub: &Hub,
    to: &SiteName,
    site: &SiteName,
    dispatch: DispatchId,
    answer: Answer,
    key: &[u8],
) -> Following {
    let order = dispatch.order(&[b"news", to.as_str().as_bytes(), site.as_str().as_bytes(), key]);
    let (to, until) = (to.clone(), hub.now().plus(ORDER_LIFE_MAX));
    let of = |answer| {
        let news = News { dispatch, site: site.clone(), answer };
        let act = Act::News(Box::new(news));
        Following { to: to.clone(), order, until, by: of_the_hub(), act }
    };
    fitting(answer, of)
}

/// What follows from an answer, as far as an order holds it: a site of ours gives out less, and one that was
/// taken over would break the line of whoever has asked.
fn fitting(answer: Answer, of: impl Fn(Answer) -> Following) -> Following {
    let whole = of(answer.clone());
    if whole.body().len() <= ORDER_BYTES_MAX {
        return whole;
    }
    of(Answer { output: None, code: Some("output-too-large".to_owned()), ..answer })
}

type Proof = (SiteKey, Vec<String>);
type Denied = (AnswerState, Option<&'static str>);

/// Whether this site may ask that one: how one seals to whoever asks, or why not.
async fn asking(
    hub: &Hub,
    from: &SiteName,
    to: &SiteName,
    until: Timestamp,
) -> Result<Result<Proof, Denied>, Refusal> {
    let refused = |code| Ok(Err((AnswerState::Refused, Some(code))));
    let Some(doc) = hub.desks().site_doc(from).await? else { return refused("unknown-site") };
    if !is_coordinator(&doc) {
        return refused("not-a-coordinator");
    }
    if let Some(code) = unasked(hub.desks().site_doc(to).await?.as_ref()) {
        return refused(code);
    }
    if until <= hub.now() {
        return Ok(Err((AnswerState::Expired, None)));
    }
    match proof(hub, &hub.authority(), from, &doc)? {
        Some(proof) => Ok(Ok(proof)),
        None => refused("no-sealing-key"),
    }
}

fn is_coordinator(doc: &SiteDoc) -> bool {
    let (key, value) = COORDINATOR_TAG;
    doc.is_member() && doc.tags.get(key).is_some_and(|is| is == value)
}

/// Why a site cannot be asked.
fn unasked(doc: Option<&SiteDoc>) -> Option<&'static str> {
    let Some(doc) = doc else { return Some("unknown-site") };
    match doc {
        _ if doc.revoked_at.is_some() => Some("revoked"),
        _ if !doc.is_member() => Some("not-joined"),
        _ if doc.cordoned_at.is_some() => Some("cordoned"),
        _ if doc.sealing.is_none() => Some("no-sealing-key"),
        _ => None,
    }
}

fn proof(
    hub: &Hub,
    authority: &Authority,
    site: &SiteName,
    doc: &SiteDoc,
) -> Result<Option<Proof>, Refusal> {
    let Some(word) = doc.sealing.clone() else { return Ok(None) };
    let sealing = SiteSealing::of(authority, site, word, hub.machine_now());
    let SiteSealing { key, signature, certificate, chain } =
        sealing.map_err(|error| Refusal::new(ProblemCode::Internal, error.to_string()))?;
    Ok(Some((SiteKey { key: key.to_string(), signature, certificate }, chain)))
}

async fn find(
    hub: &Hub,
    by: &SiteName,
    dispatch: DispatchId,
    meant: &Meant,
) -> Result<Vec<Following>, Refusal> {
    let doc = hub.desks().site_doc(by).await?.unwrap_or_default();
    let mut chain = Vec::new();
    let chosen = match is_coordinator(&doc) {
        true => choose(hub, meant, &mut chain).await?,
        false => Err("not-a-coordinator"),
    };
    let (refused, chosen) = match chosen {
        Ok(chosen) => (None, chosen),
        Err(code) => (Some(code.to_owned()), Chosen::default()),
    };
    let Chosen { sites, unmatched, cordoned } = chosen;
    let pages = pages(sites);
    let count = u32::try_from(pages.len()).unwrap_or(u32::MAX);
    let page = |(page, sites)| {
        let chain = chain.clone();
        let refused = refused.clone();
        let said =
            Sites { dispatch, page, pages: count, chain, sites, unmatched, cordoned, refused };
        Following {
            to: by.clone(),
            order: dispatch.order(&[b"sites", by.as_str().as_bytes(), &page.to_be_bytes()]),
            until: hub.now().plus(ORDER_LIFE_MAX),
            by: of_the_hub(),
            act: Act::Sites(Box::new(said)),
        }
    };
    Ok((0..).zip(pages).map(page).collect())
}

/// As many to a page as an order holds; one page at least.
fn pages(sites: Vec<Found>) -> Vec<Vec<Found>> {
    let mut pages = vec![Vec::new()];
    let mut room = PAGE_BYTES_MAX;
    for site in sites {
        let bytes = serde_json::to_vec(&site).map_or(PAGE_BYTES_MAX, |text| text.len());
        if bytes > room && pages.last().is_some_and(|page: &Vec<Found>| !page.is_empty()) {
            pages.push(Vec::new());
            room = PAGE_BYTES_MAX;
        }
        room = room.saturating_sub(bytes);
        pages.last_mut().expect("one at least").push(site);
    }
    pages
}

async fn choose(
    hub: &Hub,
    meant: &Meant,
    chain: &mut Vec<String>,
) -> Result<Result<Chosen, &'static str>, Refusal> {
    let mut chosen = Chosen::default();
    // The same for all, since they are told with one chain.
    let authority = hub.authority();
    let mut found = |site: &SiteName, doc: Option<&SiteDoc>| -> Result<Found, Refusal> {
        let code = unasked(doc).map(str::to_owned);
        let proof = match doc.filter(|_| code.is_none()) {
            Some(doc) => proof(hub, &authority, site, doc)?,
            None => None,
        };
        let key = proof.map(|(key, of)| {
            *chain = of;
            key
        });
        Ok(Found { site: site.clone(), key, code })
    };
    if let Meant::Names(names) = meant {
        for name in names {
            let doc = hub.desks().site_doc(name).await?;
            chosen.sites.push(found(name, doc.as_ref())?);
        }
        chosen.sites.sort_by(|one, other| one.site.cmp(&other.site));
        chosen.sites.dedup_by(|one, other| one.site == other.site);
        return Ok(Ok(chosen));
    }
    let mut sites = Vec::new();
    let looked = each_site(hub.0.store.as_ref(), |row, doc| {
        if !doc.is_member() {
            return Ok(());
        }
        match is_meant(meant, &row, &doc)? {
            false => chosen.unmatched += 1,
            true if doc.cordoned_at.is_some() => chosen.cordoned += 1,
            true if sites.len() > SITES_MAX => {}
            true => sites.push((row.site, doc)),
        }
        Ok(())
    });
    looked.await?;
    if sites.len() > SITES_MAX {
        return Ok(Err("too-many-sites"));
    }
    for (site, doc) in &sites {
        chosen.sites.push(found(site, Some(doc))?);
    }
    Ok(if chosen.sites.is_empty() { Err("no-site") } else { Ok(chosen) })
}

fn is_meant(meant: &Meant, row: &SiteRow, doc: &SiteDoc) -> Result<bool, DeskError> {
    Ok(match meant {
        Meant::Names(_) => false,
        Meant::Where(tags) => tags.iter().all(|(key, value)| doc.tags.get(key) == Some(value)),
        Meant::Dataset(name) => {
            let health = SeatDoc::read(&row.site, row.seat.as_deref())?.health;
            health.is_some_and(|it| it.datasets.iter().any(|it| it.name == *name))
        }
        Meant::All => true,
    })
}

fn of_the_hub() -> By {
    By { actor: "hub".to_owned(), reason: None }
}

impl Following {
    fn body(&self) -> Vec<u8> {
        Order { until: self.until, by: self.by.clone(), act: self.act.clone() }.encode()
    }

    fn op(&self, at: Timestamp) -> Op {
        let (order, site) = (self.order, self.to.clone());
        let (until, body) = (self.until, self.body().into());
        Op::OrderPut(OrderRow {
            position: 0,
            order,
            site,
            at,
            until,
            request: None,
            body,
            closed_at: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, bytes: usize) -> Found {
        let site = SiteName::parse(name).expect("a name");
        Found { site, key: None, code: Some("x".repeat(bytes)) }
    }

    /// Mutation: begin a page for each site, or none where an order is full; lose one at the edge.
    #[test]
    fn sites_come_in_pages_that_an_order_holds() {
        let sizes = |sites: Vec<Found>| pages(sites).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(Vec::new()), [0]);
        let large = |n: usize| (0..n).map(|it| found(&format!("s{it}"), 10 * 1024)).collect();
        assert_eq!(sizes(large(1)), [1]);
        assert_eq!(sizes(large(5)), [2, 2, 1]);
        assert_eq!(sizes(vec![found("a", ORDER_BYTES_MAX), found("b", 1)]), [1, 1]);
    }

    /// Mutation: hand on whatever a site has answered, or nothing of it.
    #[test]
    fn an_answer_that_no_order_holds_comes_without_its_output() {
        let at = Timestamp::from_millis(1);
        let site = SiteName::parse("plant-1").expect("a name");
        let dispatch = DispatchId::of(base::RunId::from_uuid(uuid::Uuid::from_u128(7)), "key-0");
        let news = |bytes: usize| {
            let output = Some(serde_json::Value::from("x".repeat(bytes)));
            let answer = Answer { output, ..Answer::new(AnswerState::Completed, None, at) };
            let following = fitting(answer, |answer| Following {
                to: site.clone(),
                order: dispatch.order(&[]),
                until: at,
                by: of_the_hub(),
                act: Act::News(Box::new(News { dispatch, site: site.clone(), answer })),
            });
            assert!(following.body().len() <= ORDER_BYTES_MAX);
            let Act::News(news) = following.act else { panic!("news") };
            (news.answer.state, news.answer.code, news.answer.output.is_some())
        };
        assert_eq!(news(24 * 1024), (AnswerState::Completed, None, true));
        let code = Some("output-too-large".to_owned());
        assert_eq!(news(ORDER_BYTES_MAX), (AnswerState::Completed, code, false));
    }

    /// Mutation: let somebody ask who has no tag, another value of it, or is no member any more.
    #[test]
    fn a_site_asks_others_by_its_tag_alone() {
        let at = Timestamp::from_millis(1);
        let key = identity::Key::generate().expect("a key").public().pin();
        let tagged = |value: &str| SiteDoc {
            tags: [("dispatch".to_owned(), value.to_owned())].into(),
            key: Some(key),
            ..SiteDoc::default()
        };
        assert!(is_coordinator(&tagged("coordinator")));
        assert!(!is_coordinator(&tagged("worker")));
        assert!(!is_coordinator(&SiteDoc { key: Some(key), ..SiteDoc::default() }));
        let revoked = SiteDoc { revoked_at: Some(at), ..tagged("coordinator") };
        assert!(!is_coordinator(&revoked));
        for (doc, code) in [
            (None, "unknown-site"),
            (Some(revoked), "revoked"),
            (Some(SiteDoc::default()), "not-joined"),
            (Some(SiteDoc { cordoned_at: Some(at), ..tagged("x") }), "cordoned"),
            (Some(tagged("x")), "no-sealing-key"),
        ] {
            assert_eq!(unasked(doc.as_ref()), Some(code));
        }
    }
}
