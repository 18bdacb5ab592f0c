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

/// Rows that are read at once.
const PAGE: u32 = 500;

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
    let rows = below(store, format!("{} ", head_name(dispatch))).await?;
    rows.iter().map(|row| read(row, AT_TYPE)).collect()
}

/// The dispatches of one run.
pub(super) async fn of_run(
    store: &dyn Store,
    run: RunId,
) -> Result<Vec<(DispatchId, Head)>, StoreError> {
    let mut found = Vec::new();
    // They begin like their run.
    let text = run.to_string().replace(RunId::PREFIX, DispatchId::PREFIX);
    let begins = text.len() - "-7000-8000-000000000000".len();
    for row in below(store, format!("{OUT}{}", &text[..begins])).await? {
        let name = row.name.strip_prefix(OUT).and_then(|name| name.parse().ok());
        let Some(dispatch) = name else { continue };
        let head: Head = read(&row, HEAD_TYPE)?;
        if head.run == run {
            found.push((dispatch, head));
        }
    }
    Ok(found)
}

/// Runs that others wait for.
pub(super) async fn open(store: &dyn Store) -> Result<Vec<(RunId, Open)>, StoreError> {
    let mut open = Vec::new();
    for row in below(store, IN.to_owned()).await? {
        if let Some(run) = row.name.strip_prefix(IN).and_then(|run| run.parse().ok()) {
            open.push((run, read(&row, OPEN_TYPE)?));
        }
    }
    Ok(open)
}

/// What is to be forgotten of dispatches that were to be over by `until`: nobody asks for them again.
pub(super) async fn past(store: &dyn Store, until: Timestamp) -> Result<Vec<Op>, StoreError> {
    let mut ops = Vec::new();
    let mut is_past = false;
    for row in below(store, OUT.to_owned()).await? {
        // A head comes before its sites.
        if row.name.matches(' ').count() == 1 {
            is_past = read::<Head>(&row, HEAD_TYPE)?.until < until;
        }
        if is_past {
            ops.push(Op::ResourceDelete { kind: ResourceKind::Dispatch, name: row.name });
        }
    }
    Ok(ops)
}

/// Rows whose names begin so.
async fn below(store: &dyn Store, with: String) -> Result<Vec<ResourceRow>, StoreError> {
    let (mut rows, mut after) = (Vec::new(), with.clone());
    loop {
        let page = store.resource_list(ResourceKind::Dispatch, Some(after), PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        let Some(last) = page.last().map(|row| row.name.clone()) else { return Ok(rows) };
        let count = page.len();
        let before = rows.len();
        rows.extend(page.into_iter().filter(|row| row.name.starts_with(&with)));
        if is_last || rows.len() - before < count {
            return Ok(rows);
        }
        after = last;
    }
}
