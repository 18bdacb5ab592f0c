//! Everything readable in a store, as lines of JSON for other programs. Described in
//! `docs/spec/export.md`. Secrets are not in a store; the seeds of runs, which key what leaves a site,
//! are left out.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::{Namespace, RunId, Timestamp};
use engine::format::RecordDoc;
use serde::Serialize;
use serde_json::{Value, json};
use server::{Out, Unread};
use store::{BlobId, EventQuery, RunQuery, RunRow, Sequence, StoreError};

use super::Inner;

const EXPORT_TYPE: &str = "isonomy.export";
const EXPORT_VERSION: u32 = 1;

/// Rows that are read at once.
const PAGE: u32 = 200;

/// What is wanted; all of it where nothing is said.
#[derive(Debug, Clone, Default)]
pub struct ExportFilter {
    pub run: Option<RunId>,
    pub namespace: Option<Namespace>,
    /// Runs and events since then.
    pub since: Option<Timestamp>,
}

enum Halt {
    Store(StoreError),
    Unread,
}

impl From<StoreError> for Halt {
    fn from(wrong: StoreError) -> Self {
        Self::Store(wrong)
    }
}

impl From<Unread> for Halt {
    fn from(_: Unread) -> Self {
        Self::Unread
    }
}

type Done = Result<(), Halt>;

struct Export<'a> {
    inner: &'a Inner,
    filter: ExportFilter,
    out: Out,
    lines: u64,
    namespaces: BTreeSet<Namespace>,
}

pub(super) async fn export(inner: Arc<Inner>, filter: ExportFilter, out: Out) {
    let namespaces = filter.namespace.iter().cloned().collect();
    let mut export = Export { inner: &inner, filter, out, lines: 0, namespaces };
    let last = match export.all().await {
        Ok(()) => json!({"kind": "end", "lines": export.lines}),
        Err(Halt::Store(wrong)) => json!({"kind": "failed", "detail": wrong.to_string()}),
        Err(Halt::Unread) => return,
    };
    let (Ok(()) | Err(Unread)) = export.out.line(&last).await;
}

impl Export<'_> {
    async fn all(&mut self) -> Done {
        let store = &self.inner.store;
        let head = json!({
            "kind": "store", "type": EXPORT_TYPE, "v": EXPORT_VERSION,
            "at": self.inner.clock.now(), "incarnation": store.incarnation().to_string(),
        });
        self.line(&head).await?;
        if let Some(run) = self.filter.run {
            return match store.run_get(run).await? {
                Some(row) if self.wants(&row) => self.run(&row).await,
                _ => Ok(()),
            };
        }
        self.workflows().await?;
        self.runs().await?;
        self.events().await?;
        if self.filter.namespace.is_none() { self.changes().await } else { Ok(()) }
    }

    async fn line(&mut self, line: &(impl Serialize + Sync)) -> Done {
        self.lines += 1;
        Ok(self.out.line(line).await?)
    }

    fn wants(&self, row: &RunRow) -> bool {
        self.filter.namespace.as_ref().is_none_or(|wanted| *wanted == row.key.namespace)
    }

    async fn workflows(&mut self) -> Done {
        let mut after = None;
        loop {
            let namespace = self.filter.namespace.clone();
            let page = self.inner.store.workflow_list(namespace, after, PAGE).await?;
            for row in &page {
                self.namespaces.insert(row.key.namespace.clone());
                let line = json!({
                    "kind": "workflow", "namespace": row.key.namespace, "workflow": row.key.name,
                    "revision": row.revision, "version": row.version, "updatedAt": row.updated_at,
                });
                self.line(&line).await?;
                for row in self.inner.store.revision_list(row.key.clone(), PAGE).await? {
                    let line = json!({
                        "kind": "revision", "namespace": row.key.namespace,
                        "workflow": row.key.name, "revision": row.revision,
                        "version": row.version, "createdAt": row.created_at,
                        "text": String::from_utf8_lossy(&row.text),
                    });
                    self.line(&line).await?;
                }
            }
            match page.last() {
                Some(last) => after = Some(last.key.clone()),
                None => return Ok(()),
            }
        }
    }

    async fn runs(&mut self) -> Done {
        let mut after = None;
        loop {
            let query = RunQuery {
                namespace: self.filter.namespace.clone(),
                after,
                limit: PAGE,
                ..RunQuery::default()
            };
            let page = self.inner.store.run_list(query).await?;
            // By the time at which it began: the id of a child has that of its parent.
            let since = self.filter.since;
            for row in page.iter().filter(|row| since.is_none_or(|since| row.created_at >= since)) {
                self.namespaces.insert(row.key.namespace.clone());
                self.run(row).await?;
            }
            match page.last() {
                Some(last) => after = Some(last.run),
                None => return Ok(()),
            }
        }
    }

    async fn run(&mut self, row: &RunRow) -> Done {
        let line = json!({
            "kind": "run", "run": row.run, "namespace": row.key.namespace,
            "workflow": row.key.name, "revision": row.revision, "state": row.state,
            "createdAt": row.created_at, "updatedAt": row.updated_at, "endedAt": row.ended_at,
            "wakeAt": row.wake_at, "summary": readable(&row.summary),
        });
        self.line(&line).await?;
        self.stretches(row.run).await?;
        self.journal(row.run).await?;
        let mut after = 0;
        loop {
            let page = self.inner.store.outcome_of(row.run, after, PAGE).await?;
            for row in &page {
                let line = json!({
                    "kind": "outcome", "run": row.run, "number": row.number, "at": row.at,
                    "outcome": readable(&row.outcome),
                });
                self.line(&line).await?;
            }
            match page.last() {
                Some(last) => after = last.number,
                None => break,
            }
        }
        self.logs(row.run).await
    }

    /// What is kept of records that are forgotten: the decisions in them.
    async fn stretches(&mut self, run: RunId) -> Done {
        let mut after = Sequence::ZERO;
        loop {
            let page = self.inner.store.stretch_list(run, after, PAGE).await?;
            for row in &page {
                let stretch = readable(&row.stretch);
                self.line(&json!({"kind": "stretch", "run": run, "stretch": stretch})).await?;
            }
            match page.last() {
                Some(last) => after = last.last,
                None => return Ok(()),
            }
        }
    }

    async fn journal(&mut self, run: RunId) -> Done {
        let mut after = Sequence::ZERO;
        loop {
            let page = self.inner.store.journal_read(run, after, PAGE).await?;
            for entry in &page {
                let blobs = RecordDoc::parse(&entry.record).map(|doc| doc.blobs());
                for blob in blobs.unwrap_or_default() {
                    self.blob(blob).await?;
                }
                let mut record = readable(&entry.record);
                if let Some(happened) = record.get_mut("happened").and_then(Value::as_object_mut) {
                    happened.remove("seed");
                }
                let line = json!({"kind": "record", "run": run, "record": record});
                self.line(&line).await?;
            }
            match page.last() {
                Some(last) => after = last.sequence,
                None => return Ok(()),
            }
        }
    }

    async fn blob(&mut self, blob: BlobId) -> Done {
        let Some(bytes) = self.inner.store.blob_get(blob).await? else { return Ok(()) };
        self.line(&json!({"kind": "blob", "blob": blob, "content": readable(&bytes)})).await
    }

    async fn logs(&mut self, run: RunId) -> Done {
        let mut after = 0;
        loop {
            let page = self.inner.store.log_list(run, after, PAGE).await?;
            for row in &page {
                let line = json!({
                    "kind": "log", "run": run, "position": row.position,
                    "activation": row.activation, "effect": row.effect, "life": row.life,
                    "stream": row.stream.as_str(), "start": row.start, "at": row.at,
                    "text": String::from_utf8_lossy(&row.bytes),
                });
                self.line(&line).await?;
            }
            match page.last() {
                Some(last) => after = last.position,
                None => return Ok(()),
            }
        }
    }

    async fn events(&mut self) -> Done {
        for namespace in std::mem::take(&mut self.namespaces) {
            let mut query = EventQuery::of(namespace, PAGE);
            query.since = self.filter.since;
            loop {
                let page = self.inner.store.event_list(query.clone()).await?;
                for row in &page {
                    let line = json!({
                        "kind": "event", "namespace": row.namespace, "position": row.position,
                        "at": row.at, "run": row.run, "number": row.number,
                        "event": readable(&row.event),
                    });
                    self.line(&line).await?;
                }
                match page.last() {
                    Some(last) => query.after = last.position,
                    None => break,
                }
            }
        }
        Ok(())
    }

    async fn changes(&mut self) -> Done {
        let mut after = 0;
        loop {
            let page = self.inner.store.change_list(after, PAGE).await?;
            for row in &page {
                let line = json!({
                    "kind": "change", "position": row.position, "at": row.at,
                    "actor": row.actor, "change": readable(&row.change),
                });
                self.line(&line).await?;
            }
            match page.last() {
                Some(last) => after = last.position,
                None => return Ok(()),
            }
        }
    }
}

/// All that a store keeps is JSON. What is not, is damaged, and is told as nothing.
fn readable(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or(Value::Null)
}
