//! What calls have used and cost is told to the hub, hour by hour: sums, and nothing of any call.
//!
//! A reconciler: it compares what an hour comes to with what was told of it last, and says it anew where that
//! is something else. In a life of the line it begins with what comes from then on: what was before, the hub
//! knows of the life before, or it was not the hub's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Digest, IncarnationId, Timestamp, document};
use models::{Group, Sum, Tally};
use pricing::Money;
use serde::{Deserialize, Serialize};
use store::{
    CommitError, Op, Preconditions, ReceiptRow, ResourceKind, ResourceRow, Store, StoreError,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wire::usage::{USAGE_PAGES_MAX, USAGE_SUMS_MAX, UsageSum, UsageWord};

use super::book::Book;

const BEGUN_TYPE: &str = "isonomy.usage-begun";
const TOLD_TYPE: &str = "isonomy.usage-told";
const VERSION: u32 = 1;

/// Before the life and the hour, in the names of rows.
const ROWS: &str = "told/";

/// Rows that are read at once.
const PAGE: u32 = 200;

/// Between two looks at the hours that calls are in now.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// An hour that is under way is told so often at most: each word is an entry that the hub keeps.
const TELL_EVERY: base::Duration = base::Duration::from_secs(30);

/// Hours that are looked at each time: a call ends soon after it began.
const HOURS_LOOKED: base::Duration = base::Duration::from_secs(2 * 3600);

/// And now and then, since what a call has cost may be said later.
const HOURS_KEPT: base::Duration = base::Duration::from_secs(35 * 24 * 3600);

/// So often.
const WIDE_EVERY: base::Duration = base::Duration::from_secs(3600);

/// What is told by.
pub(crate) struct Reports {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    book: Book,
    life: IncarnationId,
    /// To tell that there is something for the hub.
    grown: Arc<Notify>,
    begun: Begun,
    told: BTreeMap<Timestamp, Told>,
    widely: Option<Timestamp>,
}

/// With what a life began: what its first hour had already.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Begun {
    hour: Timestamp,
    had: Vec<(Group, Sum)>,
}

/// What was told of an hour last.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Told {
    hour: Timestamp,
    number: u64,
    digest: Digest,
    at: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error("what is kept of `{0}` is damaged, or of a newer version")]
    Damaged(String),
}

/// By what a hub is told sums apart.
type Of = (String, Option<String>, Option<String>, &'static str);

impl Reports {
    /// Takes up what was told in this life.
    pub(crate) async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        book: Book,
        life: IncarnationId,
        grown: Arc<Notify>,
    ) -> Result<Self, ReportError> {
        let own = format!("{ROWS}{life}/");
        let (mut begun, mut told, mut forget) = (None, BTreeMap::new(), Vec::new());
        for row in rows(store.as_ref()).await? {
            let damaged = |_| ReportError::Damaged(row.name.clone());
            if !row.name.starts_with(&own) {
                forget.push(Op::ResourceDelete { kind: row.kind, name: row.name });
            } else if row.name == begun_name(life) {
                begun = Some(document::read(&row.record, BEGUN_TYPE, VERSION).map_err(damaged)?);
            } else {
                let read: Told =
                    document::read(&row.record, TOLD_TYPE, VERSION).map_err(damaged)?;
                told.insert(read.hour, read);
            }
        }
        let begun = match begun {
            Some(begun) => begun,
            None => {
                let hour = clock.now().hour();
                let had = book.tally(|tally| sums(tally, hour, hour));
                let begun = Begun { hour, had: had.into_iter().collect() };
                let record = document::write(BEGUN_TYPE, VERSION, &begun).into();
                forget.push(put(begun_name(life), record));
                begun
            }
        };
        if !forget.is_empty() {
            store.commit(forget, Preconditions::none()).await?;
        }
        Ok(Self { store, clock, book, life, grown, begun, told, widely: None })
    }

    pub(crate) async fn run(mut self, closing: CancellationToken) {
        loop {
            if let Err(error) = self.turn().await {
                tracing::error!(%error, "cannot say what calls of models have cost");
            }
            tokio::select! {
                () = closing.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn turn(&mut self) -> Result<(), ReportError> {
        let now = self.clock.now();
        let is_wide = self.widely.is_none_or(|at| at.plus(WIDE_EVERY) <= now);
        let back = if is_wide { HOURS_KEPT } else { HOURS_LOOKED };
        let since = now.minus(back).hour().max(self.begun.hour);
        let all = self.book.tally(|tally| sums(tally, since, Timestamp::from_millis(i64::MAX)));
        let mut ops = Vec::new();
        let mut told = Vec::new();
        for (hour, of) in by_hour(all, &self.begun) {
            let Some((next, words)) = self.due(hour, &of, now) else { continue };
            for word in words {
                let (position, order, at) = (0, word.place(), word.at);
                let receipt = word.encode().into();
                ops.push(Op::ReceiptPut(ReceiptRow { position, order, at, receipt }));
            }
            let record = document::write(TOLD_TYPE, VERSION, &next).into();
            ops.push(put(told_name(self.life, hour), record));
            told.push(next);
        }
        let over = now.minus(HOURS_KEPT).hour();
        let past: Vec<Timestamp> = self.told.range(..over).map(|(hour, _)| *hour).collect();
        ops.extend(past.iter().map(|hour| Op::ResourceDelete {
            kind: ResourceKind::Calls,
            name: told_name(self.life, *hour),
        }));
        if !ops.is_empty() {
            // What was told and lost again would be told as less.
            self.book.durable().await;
            self.store.commit(ops, Preconditions::none()).await?;
        }
        self.told.retain(|hour, _| *hour >= over);
        if !told.is_empty() {
            self.told.extend(told.into_iter().map(|it| (it.hour, it)));
            self.grown.notify_one();
        }
        if is_wide {
            self.widely = Some(now);
        }
        Ok(())
    }

    /// What is to be said of an hour now.
    fn due(
        &self,
        hour: Timestamp,
        of: &BTreeMap<Of, Sum>,
        now: Timestamp,
    ) -> Option<(Told, Vec<UsageWord>)> {
        let mut sums: Vec<UsageSum> = of.iter().map(|(of, sum)| told_sum(of, sum)).collect();
        let most = USAGE_SUMS_MAX * USAGE_PAGES_MAX as usize;
        if sums.len() > most {
            tracing::error!(%hour, "more kinds of calls than are told of one hour");
            sums.truncate(most);
        }
        let digest = Digest::of(&serde_json::to_vec(&sums).expect("our own types have JSON text"));
        let before = self.told.get(&hour);
        let is_news = before.is_none_or(|it| it.digest != digest);
        let is_late = before.is_none_or(|it| it.at.plus(TELL_EVERY) <= now || it.at > now);
        if sums.is_empty() || !is_news || !is_late {
            return None;
        }
        let number = before.map_or(1, |it| it.number + 1);
        let pages = u32::try_from(sums.len().div_ceil(USAGE_SUMS_MAX)).unwrap_or(USAGE_PAGES_MAX);
        let chunks = sums.chunks(USAGE_SUMS_MAX).map(<[_]>::to_vec);
        let word = |(page, sums): (u32, Vec<UsageSum>)| UsageWord {
            life: self.life,
            hour,
            number,
            page,
            pages,
            at: now,
            sums,
        };
        let words = (0..).zip(chunks).map(word).collect();
        Some((Told { hour, number, digest, at: now }, words))
    }
}

/// Of these hours, but for those that are kept by the day: they are long over.
fn sums(tally: &Tally, since: Timestamp, until: Timestamp) -> BTreeMap<Group, Sum> {
    let sums = tally.sums(since).take_while(|(group, _)| group.hour <= until);
    let sums = sums.filter(|(_, sum)| !sum.is_day);
    // What a cost is made of stays here.
    let bare = |sum: &Sum| Sum { parts: Vec::new(), ..sum.clone() };
    sums.map(|(group, sum)| (group.clone(), bare(sum))).collect()
}

/// Without what the first hour of this life had already, and without names of keys.
fn by_hour(all: BTreeMap<Group, Sum>, begun: &Begun) -> BTreeMap<Timestamp, BTreeMap<Of, Sum>> {
    let had: BTreeMap<&Group, &Sum> = begun.had.iter().map(|(group, sum)| (group, sum)).collect();
    let mut hours: BTreeMap<Timestamp, BTreeMap<Of, Sum>> = BTreeMap::new();
    for (group, sum) in all {
        let sum = had.get(&group).map_or_else(|| sum.clone(), |had| sum.less(had));
        if sum == Sum::default() {
            continue;
        }
        let Group { hour, namespace, workflow, model, operation, .. } = group;
        let model = model.map(|it| it.to_string());
        let of = (namespace.to_string(), workflow, model, operation.as_str());
        hours.entry(hour).or_default().entry(of).or_default().add(&sum);
    }
    hours
}

fn told_sum((namespace, workflow, model, operation): &Of, sum: &Sum) -> UsageSum {
    let exact = |all: &[Money]| all.iter().map(|it| it.exact()).collect();
    UsageSum {
        namespace: namespace.clone(),
        workflow: workflow.clone(),
        model: model.clone(),
        operation: (*operation).to_owned(),
        calls: sum.calls,
        failed: sum.failed,
        degraded: sum.degraded,
        input: sum.used.input,
        cached: sum.used.cached,
        output: sum.used.output,
        reasoning: sum.used.reasoning,
        images: sum.used.images,
        millis: sum.used.millis,
        unpriced: sum.unpriced,
        cost: exact(&sum.cost),
        at_bound: exact(&sum.at_bound),
    }
}

async fn rows(store: &dyn Store) -> Result<Vec<ResourceRow>, StoreError> {
    let (mut all, mut after) = (Vec::new(), Some(ROWS.to_owned()));
    loop {
        let page = store.resource_list(ResourceKind::Calls, after, PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        after = page.last().map(|row| row.name.clone());
        let before = all.len() + page.len();
        all.extend(page.into_iter().filter(|row| row.name.starts_with(ROWS)));
        if is_last || all.len() < before {
            return Ok(all);
        }
    }
}

/// What goes where the site is its hub's no more.
pub(crate) async fn left(store: &dyn Store) -> Result<Vec<Op>, StoreError> {
    let delete = |row: ResourceRow| Op::ResourceDelete { kind: row.kind, name: row.name };
    Ok(rows(store).await?.into_iter().map(delete).collect())
}

fn put(name: String, record: bytes::Bytes) -> Op {
    Op::ResourcePut(ResourceRow { kind: ResourceKind::Calls, name, record })
}

fn begun_name(life: IncarnationId) -> String {
    format!("{ROWS}{life}/begun")
}

fn told_name(life: IncarnationId, hour: Timestamp) -> String {
    format!("{ROWS}{life}/{:015}", hour.as_millis())
}
