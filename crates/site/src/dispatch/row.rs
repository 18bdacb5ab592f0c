//! What is kept of dispatches, in the words of the store.

use std::collections::BTreeSet;

use base::value::Json;
use base::{DispatchId, Namespace, RunId, SiteName, Timestamp, WorkflowName, document};
use identity::SealingPublic;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::{Op, ResourceKind, ResourceRow, Store, StoreError};
use wire::dispatch::{Answer, AnswerState, Meant};

const HEAD_TYPE: &str = "isonomy.dispatch-head";
const AT_TYPE: &str = "isonomy.dispatch-site";
const OPEN_TYPE: &str = "isonomy.dispatch-open";

/// Of all three.
const VERSION: u32 = 1;

/// Rows that are read, or forgotten, at once: with what they hold some megabytes, and nobody waits for long.
const PAGE: u32 = 200;

/// One dispatch of this site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    pub run: RunId,
    pub namespace: Namespace,
    pub workflow: WorkflowName,
    /// Until everybody is asked.
    pub input: Option<Json>,
    pub meant: Meant,
    pub quorum: Option<Quorum>,
    /// By the site's own time.
    pub until: Timestamp,
    /// How many pages of sites the hub has said there are, and which are here.
    pub pages: Option<u32>,
    pub seen: BTreeSet<u32>,
    /// Members that were not meant, and those that were and are cordoned.
    pub unmatched: u32,
    pub cordoned: u32,
    /// Why the hub asks nobody.
    pub refused: Option<String>,
    /// Since then it is over, and what comes is late.
    pub over_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Quorum {
    Count(u32),
    Majority,
    All,
}

/// One site of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct At {
    pub site: SiteName,
    /// Why it was not asked.
    pub unasked: Option<String>,
    /// Its newest word, without what is sealed.
    pub answer: Option<Answer>,
    pub output: Option<Json>,
    /// What it has said when it was over.
    pub late: Option<Answer>,
}

/// How the sites of a dispatch stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub sites: usize,
    pub completed: usize,
    /// Those that may still complete.
    pub open: usize,
}

impl Tally {
    pub(super) fn count(&mut self, at: &At) {
        self.sites += 1;
        self.completed += usize::from(at.has_completed());
        self.open += usize::from(!at.has_ended());
    }
}

/// A run that another site has asked for and waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Open {
    pub dispatch: DispatchId,
    pub of: SiteName,
    pub namespace: Namespace,
    pub workflow: WorkflowName,
    /// What is given back is sealed to this.
    pub to: SealingPublic,
}

impl Head {
    /// Whether the hub has named all sites.
    pub(super) fn is_listed(&self) -> bool {
        self.pages.is_some_and(|pages| self.seen.len() >= pages as usize)
    }

    pub(super) fn op(&self, dispatch: DispatchId) -> Op {
        put(head_name(dispatch), HEAD_TYPE, self)
    }
}

impl At {
    pub(super) fn new(site: SiteName) -> Self {
        Self { site, unasked: None, answer: None, output: None, late: None }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.unasked.is_some() || self.answer.as_ref().is_some_and(|it| it.state.is_end())
    }

    pub(super) fn has_completed(&self) -> bool {
        self.answer.as_ref().is_some_and(|it| it.state == AnswerState::Completed)
    }

    /// Why it was refused, or the kind of its error.
    pub(super) fn code(&self) -> Option<&str> {
        let of_answer = self.answer.as_ref().and_then(|answer| answer.code.as_deref());
        self.unasked.as_deref().or(of_answer)
    }

    pub(super) fn op(&self, dispatch: DispatchId) -> Op {
        put(at_name(dispatch, &self.site), AT_TYPE, self)
    }
}

impl Open {
    pub(super) fn op(&self, run: RunId) -> Op {
        put(open_name(run), OPEN_TYPE, self)
    }
}

/// Nobody waits for this run any more.
pub(super) fn closed_op(run: RunId) -> Op {
    Op::ResourceDelete { kind: ResourceKind::Dispatch, name: open_name(run) }
}

const OUT: &str = "out ";
const IN: &str = "in ";

fn head_name(dispatch: DispatchId) -> String {
    format!("{OUT}{dispatch}")
}

fn at_name(dispatch: DispatchId, site: &SiteName) -> String {
    format!("{OUT}{dispatch} {site}")
}

fn open_name(run: RunId) -> String {
    format!("{IN}{run}")
}

fn put(name: String, kind: &'static str, doc: &impl Serialize) -> Op {
    let record = document::write(kind, VERSION, doc).into();
    Op::ResourcePut(ResourceRow { kind: ResourceKind::Dispatch, name, record })
}

fn read<T: DeserializeOwned>(row: &ResourceRow, kind: &'static str) -> Result<T, StoreError> {
    let damaged = |error: base::DocumentError| {
        let cause = error.of(format!("`{}`", row.name)).to_string();
        StoreError { what: "read a dispatch", cause }
    };
    document::read(&row.record, kind, VERSION).map_err(damaged)
}

pub(super) async fn head(
    store: &dyn Store,
    dispatch: DispatchId,
) -> Result<Option<Head>, StoreError> {
    let row = store.resource_get(ResourceKind::Dispatch, head_name(dispatch)).await?;
    row.as_ref().map(|row| read(row, HEAD_TYPE)).transpose()
}

pub(super) async fn at(
    store: &dyn Store,
    dispatch: DispatchId,
    site: &SiteName,
) -> Result<Option<At>, StoreError> {
    let row = store.resource_get(ResourceKind::Dispatch, at_name(dispatch, site)).await?;
    row.as_ref().map(|row| read(row, AT_TYPE)).transpose()
}

/// The sites of a dispatch, by name.
pub(super) async fn sites(store: &dyn Store, dispatch: DispatchId) -> Result<Vec<At>, StoreError> {
    let mut sites = Vec::new();
    each_site(store, dispatch, |at| sites.push(at)).await?;
    Ok(sites)
}

/// How its sites stand, without what they have given.
pub(super) async fn tally(store: &dyn Store, dispatch: DispatchId) -> Result<Tally, StoreError> {
    let mut tally = Tally::default();
    each_site(store, dispatch, |at| tally.count(&at)).await?;
    Ok(tally)
}

async fn each_site(
    store: &dyn Store,
    dispatch: DispatchId,
    mut look: impl FnMut(At),
) -> Result<(), StoreError> {
    let mut pages = Pages::of(format!("{} ", head_name(dispatch)));
    while let Some(page) = pages.next(store).await? {
        for row in page {
            look(read(&row, AT_TYPE)?);
        }
    }
    Ok(())
}

/// The dispatches of one run.
pub(super) async fn of_run(
    store: &dyn Store,
    run: RunId,
) -> Result<Vec<(DispatchId, Head)>, StoreError> {
    // They begin like their run.
    let text = run.to_string().replace(RunId::PREFIX, DispatchId::PREFIX);
    let begins = &text[..text.len() - "-7000-8000-000000000000".len()];
    let mut found = Vec::new();
    let mut from = format!("{OUT}{begins}");
    while let Some((dispatch, head)) = next_from(store, from).await? {
        if !dispatch.to_string().starts_with(begins) {
            break;
        }
        from = behind(dispatch);
        if head.run == run {
            found.push((dispatch, head));
        }
    }
    Ok(found)
}

/// The dispatch behind this one, or the first.
pub(super) async fn next(
    store: &dyn Store,
    after: Option<DispatchId>,
) -> Result<Option<(DispatchId, Head)>, StoreError> {
    next_from(store, after.map_or_else(|| OUT.to_owned(), behind)).await
}

async fn next_from(
    store: &dyn Store,
    from: String,
) -> Result<Option<(DispatchId, Head)>, StoreError> {
    let mut from = from;
    loop {
        let page = store.resource_list(ResourceKind::Dispatch, Some(from), 1).await?;
        let Some(row) = page.first() else { return Ok(None) };
        let Some(name) = row.name.strip_prefix(OUT) else { return Ok(None) };
        match name.parse() {
            Ok(dispatch) => return Ok(Some((dispatch, read(row, HEAD_TYPE)?))),
            Err(_) => from = row.name.clone(),
        }
    }
}

/// Behind its head and all its sites, whose names have letters, digits and hyphens.
fn behind(dispatch: DispatchId) -> String {
    format!("{} ~", head_name(dispatch))
}

/// Some of a dispatch's sites, to be forgotten; nothing where there are none.
pub(super) async fn gone(
    store: &dyn Store,
    dispatch: DispatchId,
) -> Result<Option<Vec<Op>>, StoreError> {
    let page = Pages::of(format!("{} ", head_name(dispatch))).next(store).await?;
    let gone =
        |row: ResourceRow| Op::ResourceDelete { kind: ResourceKind::Dispatch, name: row.name };
    Ok(page.map(|page| page.into_iter().map(gone).collect()))
}

pub(super) fn head_gone(dispatch: DispatchId) -> Op {
    Op::ResourceDelete { kind: ResourceKind::Dispatch, name: head_name(dispatch) }
}

/// Runs that others wait for.
pub(super) async fn open(store: &dyn Store) -> Result<Vec<(RunId, Open)>, StoreError> {
    let mut open = Vec::new();
    let mut pages = Pages::of(IN.to_owned());
    while let Some(page) = pages.next(store).await? {
        for row in page {
            if let Some(run) = row.name.strip_prefix(IN).and_then(|run| run.parse().ok()) {
                open.push((run, read(&row, OPEN_TYPE)?));
            }
        }
    }
    Ok(open)
}

/// Whether others wait for this one.
pub(super) async fn is_open(store: &dyn Store, run: RunId) -> Result<bool, StoreError> {
    Ok(store.resource_get(ResourceKind::Dispatch, open_name(run)).await?.is_some())
}

/// Rows whose names begin alike, a page at a time: a year of a busy coordinator does not fit in memory.
struct Pages {
    with: String,
    after: Option<String>,
}

impl Pages {
    fn of(with: String) -> Self {
        Self { after: Some(with.clone()), with }
    }

    /// Never an empty one.
    async fn next(&mut self, store: &dyn Store) -> Result<Option<Vec<ResourceRow>>, StoreError> {
        let Some(after) = self.after.take() else { return Ok(None) };
        let mut page = store.resource_list(ResourceKind::Dispatch, Some(after), PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        let last = page.last().map(|row| row.name.clone());
        page.retain(|row| row.name.starts_with(&self.with));
        self.after = last.filter(|last| !is_last && last.starts_with(&self.with));
        Ok(Some(page).filter(|page| !page.is_empty()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use base::{IncarnationId, SystemRandom};
    use store::Preconditions;
    use store::memory::MemoryStore;

    use super::*;

    /// Of all sites, and none is known yet.
    pub fn head(run: RunId) -> Head {
        Head {
            run,
            namespace: Namespace::parse("default").expect("a name"),
            workflow: WorkflowName::parse("screen").expect("a name"),
            input: None,
            meant: Meant::All,
            quorum: None,
            until: Timestamp::from_millis(1),
            pages: Some(1),
            seen: BTreeSet::from([0]),
            unmatched: 0,
            cordoned: 0,
            refused: None,
            over_at: None,
        }
    }

    /// Mutation: read all sites to find the next dispatch, step over a dispatch with its neighbour's sites, or
    /// forget all sites of one in one commit.
    #[tokio::test]
    async fn dispatches_are_found_without_their_sites_which_go_a_page_at_a_time() {
        let at = Timestamp::from_millis(0);
        let store = MemoryStore::new(IncarnationId::new(at, &SystemRandom));
        let run = |n: u128| RunId::from_uuid(uuid::Uuid::from_u128(n << 80));
        let (one, two) = (run(1), run(2));
        let mut all: Vec<DispatchId> = ["a", "b"].map(|key| DispatchId::of(one, key)).into();
        all.push(DispatchId::of(two, "a"));
        all.sort_by_key(ToString::to_string);
        let count = PAGE as usize + 1;
        for dispatch in &all {
            let of = if *dispatch == DispatchId::of(two, "a") { two } else { one };
            let site = |n: usize| At::new(SiteName::parse(&format!("s{n}")).expect("a name"));
            let mut ops: Vec<Op> = (0..count).map(|n| site(n).op(*dispatch)).collect();
            ops.push(head(of).op(*dispatch));
            ops.push(
                Open {
                    dispatch: *dispatch,
                    of: SiteName::parse("desk").expect("a name"),
                    namespace: head(of).namespace,
                    workflow: head(of).workflow,
                    to: identity::SealingKey::generate().expect("a key").public(),
                }
                .op(of),
            );
            store.commit(ops, Preconditions::none()).await.expect("writes");
        }
        let (mut found, mut after) = (Vec::new(), None);
        while let Some((dispatch, _)) = next(&store, after).await.expect("reads") {
            found.push(dispatch);
            after = Some(dispatch);
        }
        assert_eq!(found, all);
        assert_eq!(of_run(&store, one).await.expect("reads").len(), 2);
        assert_eq!(open(&store).await.expect("reads").len(), 2);
        let first = all[0];
        assert_eq!(sites(&store, first).await.expect("reads").len(), count);
        let tally = tally(&store, first).await.expect("reads");
        assert_eq!(tally, Tally { sites: count, completed: 0, open: count });
        for expected in [PAGE as usize, 1] {
            let ops = gone(&store, first).await.expect("reads").expect("there are some");
            assert_eq!(ops.len(), expected);
            store.commit(ops, Preconditions::none()).await.expect("writes");
        }
        assert!(gone(&store, first).await.expect("reads").is_none());
        assert_eq!(sites(&store, all[1]).await.expect("reads").len(), count);
    }
}
