//! Workflows: applying a document, and finding what was applied.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::name::{Namespace, WorkflowKey, WorkflowName};
use base::{Clock, Digest};
use engine::record::By;
use spec::{Diagnostic, Read, Severity};
use store::{CommitError, Op, Preconditions, RevisionRow, Store, WorkflowRow};
use wire::{
    Finding, Page, ProblemCode, RevisionView, WorkflowApplied, WorkflowApply, WorkflowChange,
    WorkflowDetail, WorkflowView,
};

use crate::caller::Caller;
use crate::change::{ChangeKind, change_op};
use crate::evaluate::Evaluators;
use crate::expressions;
use crate::refusal::{Refusal, finished, internal};

/// Heads of workflows in memory. One is a hundred bytes, and a site has tens of workflows.
const HEADS_KEPT_MAX: usize = 1_024;

/// Revisions that are listed with a workflow.
const REVISIONS_SHOWN_MAX: u32 = 100;

/// A changed text under an unchanged `document.version`.
pub(crate) const SAME_VERSION: &str = "WFL-101";

/// What a document is called in findings when its sender has no name for it.
const SOURCE: &str = "document";

#[derive(Clone)]
pub(crate) struct Workflows(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    catalog: Arc<worker::Catalog>,
    evaluators: Evaluators,
    clock: Arc<dyn Clock>,
    heads: Mutex<Heads>,
    /// One change at a time, so that a plan is still true when it is carried out.
    changing: tokio::sync::Mutex<()>,
}

/// What a new run of a workflow takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub revision: Digest,
    pub version: String,
}

#[derive(Default)]
struct Heads {
    kept: HashMap<WorkflowKey, Head>,
    /// Raised by every change: an answer of the store from before it is not kept.
    changes: u64,
}

impl Workflows {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        catalog: Arc<worker::Catalog>,
        evaluators: Evaluators,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (heads, changing) = (Mutex::default(), tokio::sync::Mutex::default());
        Self(Arc::new(Inner { store, catalog, evaluators, clock, heads, changing }))
    }

    /// The current revision.
    pub(crate) async fn head(&self, key: &WorkflowKey) -> Result<Head, Refusal> {
        let changes = {
            let heads = self.heads();
            if let Some(head) = heads.kept.get(key) {
                return Ok(head.clone());
            }
            heads.changes
        };
        let row = self.row(key).await?;
        let head = Head { revision: row.revision, version: row.version };
        let mut heads = self.heads();
        if heads.changes == changes {
            if heads.kept.len() >= HEADS_KEPT_MAX {
                heads.kept.clear();
            }
            heads.kept.insert(key.clone(), head.clone());
        }
        Ok(head)
    }

    /// A stored revision, whether it is current or not.
    pub(crate) async fn revision(
        &self,
        key: &WorkflowKey,
        revision: Digest,
    ) -> Result<RevisionRow, Refusal> {
        let row = self.0.store.revision_get(key.clone(), revision).await?;
        row.ok_or_else(|| {
            let detail = format!(
                "workflow `{key}` has no revision {revision}; `isonomy workflows show` lists them"
            );
            Refusal::new(ProblemCode::RevisionMissing, detail)
        })
    }

    pub(crate) async fn list(
        &self,
        namespace: &Namespace,
        after: Option<WorkflowName>,
        limit: u32,
    ) -> Result<Page<WorkflowView>, Refusal> {
        let after = after.map(|name| WorkflowKey { namespace: namespace.clone(), name });
        let rows = self.0.store.workflow_list(Some(namespace.clone()), after, limit + 1).await?;
        let shown = &rows[..rows.len().min(limit as usize)];
        let has_more = rows.len() > shown.len();
        let last = shown.last().filter(|_| has_more);
        Ok(Page {
            next: last.map(|row| row.key.name.to_string()),
            items: shown.iter().map(workflow_view).collect(),
        })
    }

    /// A workflow with the text of one revision; the current one where none is named.
    pub(crate) async fn show(
        &self,
        key: &WorkflowKey,
        revision: Option<Digest>,
    ) -> Result<WorkflowDetail, Refusal> {
        let row = self.row(key).await?;
        let shown = self.revision(key, revision.unwrap_or(row.revision)).await?;
        let revisions = self.0.store.revision_list(key.clone(), REVISIONS_SHOWN_MAX).await?;
        let mut view = workflow_view(&row);
        if shown.revision != row.revision {
            view.revision = shown.revision.to_string();
            view.version = shown.version.clone();
            view.updated_at = shown.created_at.to_string();
        }
        let text = String::from_utf8_lossy(&shown.text).into_owned();
        Ok(WorkflowDetail { view, text, revisions: revisions.iter().map(revision_view).collect() })
    }

    /// Reads a document and makes it the workflow's current revision.
    pub(crate) async fn apply(
        &self,
        caller: &Caller,
        key: &WorkflowKey,
        apply: WorkflowApply,
    ) -> Result<WorkflowApplied, Refusal> {
        let WorkflowApply { text, dry_run, source, reason } = apply;
        let by = caller.because(reason)?;
        let source = source.unwrap_or_else(|| SOURCE.to_owned());
        let (text, read) = self.read(text, &source).await?;
        let found = &read.workflow.document.key;
        if found != key {
            let detail =
                format!("the document is `{found}`, and the path says `{key}`; make them equal");
            return Err(Refusal::new(ProblemCode::WorkflowMismatch, detail));
        }
        let wrong = expressions::check(&self.0.evaluators, &read.unparsed, &text, &source).await?;
        if !wrong.is_empty() {
            return Err(invalid(wrong));
        }
        let warnings = read.warnings.iter().map(|it| finding(it, &source, &text)).collect();
        let plan = Plan {
            key: key.clone(),
            revision: read.revision,
            version: read.workflow.document.version.clone(),
            text,
            source,
            warnings,
        };
        let workflows = self.clone();
        finished(async move { workflows.carry_out(plan, &by, dry_run).await }).await
    }

    /// Marks a workflow as deleted. Its revisions and runs stay.
    pub(crate) async fn delete(
        &self,
        caller: &Caller,
        key: &WorkflowKey,
        reason: Option<String>,
    ) -> Result<(), Refusal> {
        let by = caller.because(reason)?;
        let (workflows, key) = (self.clone(), key.clone());
        finished(async move {
            let _turn = workflows.0.changing.lock().await;
            let row = workflows.row(&key).await?;
            let at = workflows.0.clock.now();
            let change =
                change_op(ChangeKind::WorkflowDeleted, &key, None, Some(row.revision), &by, at);
            let result =
                workflows.commit(vec![Op::WorkflowDelete { key: key.clone(), at }, change]).await;
            workflows.heads_forget(&key);
            result
        })
        .await
    }

    async fn read(&self, text: String, source: &str) -> Result<(String, Read), Refusal> {
        let catalog = Arc::clone(&self.0.catalog);
        // A large document takes tens of milliseconds, in which other requests go on.
        let work = tokio::task::spawn_blocking(move || {
            let read = spec::read(&text, &*catalog);
            (text, read)
        });
        let (text, read) = work.await.map_err(|_| internal())?;
        match read {
            Ok(read) => Ok((text, read)),
            Err(found) => Err(invalid(found.iter().map(|it| finding(it, source, &text)).collect())),
        }
    }

    async fn carry_out(
        &self,
        plan: Plan,
        by: &By,
        dry_run: bool,
    ) -> Result<WorkflowApplied, Refusal> {
        let _turn = self.0.changing.lock().await;
        let stored = self.0.store.workflow_get(plan.key.clone()).await?;
        let current = stored.filter(|row| row.deleted_at.is_none());
        let (change, previous) = match &current {
            None => (WorkflowChange::New, None),
            Some(row) if row.revision == plan.revision => (WorkflowChange::Unchanged, None),
            Some(row) => (WorkflowChange::Changed, Some(row.revision)),
        };
        let mut warnings = plan.warnings.clone();
        let same = |row: &WorkflowRow| row.version == plan.version;
        if change == WorkflowChange::Changed && current.as_ref().is_some_and(same) {
            warnings.push(plan.same_version());
        }
        if !dry_run && change != WorkflowChange::Unchanged {
            let result = self.commit(plan.ops(previous, by, self.0.clock.now())).await;
            self.heads_forget(&plan.key);
            result?;
        }
        Ok(WorkflowApplied {
            namespace: plan.key.namespace.to_string(),
            workflow: plan.key.name.to_string(),
            version: plan.version,
            revision: plan.revision.to_string(),
            change,
            previous: previous.map(|revision| revision.to_string()),
            warnings,
        })
    }

    async fn commit(&self, ops: Vec<Op>) -> Result<(), Refusal> {
        let preconditions = Preconditions { run: None, epoch: Some(self.0.store.epoch()) };
        match self.0.store.commit(ops, preconditions).await {
            Err(CommitError::WorkflowMissing(key)) => Err(missing(&key)),
            result => Ok(result?),
        }
    }

    async fn row(&self, key: &WorkflowKey) -> Result<WorkflowRow, Refusal> {
        let row = self.0.store.workflow_get(key.clone()).await?;
        row.filter(|row| row.deleted_at.is_none()).ok_or_else(|| missing(key))
    }

    /// Whatever became of a commit, what was kept may not be true any more.
    fn heads_forget(&self, key: &WorkflowKey) {
        let mut heads = self.heads();
        heads.changes += 1;
        heads.kept.remove(key);
    }

    fn heads(&self) -> MutexGuard<'_, Heads> {
        self.0.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A document that is right, on its way into the store.
struct Plan {
    key: WorkflowKey,
    revision: Digest,
    version: String,
    text: String,
    source: String,
    warnings: Vec<Finding>,
}

impl Plan {
    fn ops(&self, previous: Option<Digest>, by: &By, at: base::Timestamp) -> Vec<Op> {
        let (key, revision) = (&self.key, self.revision);
        vec![
            Op::RevisionPut(RevisionRow {
                key: key.clone(),
                revision,
                version: self.version.clone(),
                created_at: at,
                text: self.text.clone().into(),
            }),
            Op::WorkflowPut(WorkflowRow {
                key: key.clone(),
                revision,
                version: self.version.clone(),
                updated_at: at,
                deleted_at: None,
            }),
            change_op(ChangeKind::WorkflowApplied, key, Some(revision), previous, by, at),
        ]
    }

    fn same_version(&self) -> Finding {
        let message =
            format!("the text has changed and `document.version` is still `{}`", self.version);
        let hint = "give a changed workflow a new version, so that people can tell its runs apart";
        Finding {
            code: SAME_VERSION.to_owned(),
            severity: Severity::Warning.to_string(),
            rendered: Some(format!(
                "warning[{SAME_VERSION}]: {message}\n  --> {}\nhint: {hint}\n",
                self.source
            )),
            message,
            line: 1,
            column: 1,
            pointer: "/document/version".to_owned(),
            hint: Some(hint.to_owned()),
        }
    }
}

fn missing(key: &WorkflowKey) -> Refusal {
    let detail = format!(
        "there is no workflow `{key}`; apply it first, or look with `isonomy workflows list`"
    );
    Refusal::new(ProblemCode::WorkflowMissing, detail)
}

fn invalid(findings: Vec<Finding>) -> Refusal {
    let errors = findings.iter().filter(|it| it.severity == Severity::Error.to_string()).count();
    let detail = match findings.iter().find(|it| it.severity == Severity::Error.to_string()) {
        Some(first) => format!(
            "{errors} {} in the document; the first is {} at {}:{}: {}",
            if errors == 1 { "error" } else { "errors" },
            first.code,
            first.line,
            first.column,
            first.message
        ),
        None => "the document is not a workflow".to_owned(),
    };
    Refusal::new(ProblemCode::WorkflowInvalid, detail).with_findings(findings)
}

pub(crate) fn finding(diagnostic: &Diagnostic, source: &str, text: &str) -> Finding {
    Finding {
        code: diagnostic.code.to_string(),
        severity: diagnostic.severity.to_string(),
        message: diagnostic.message.clone(),
        line: diagnostic.location.line,
        column: diagnostic.location.column,
        pointer: diagnostic.pointer.clone(),
        hint: diagnostic.hint.clone(),
        rendered: Some(diagnostic.render(source, text)),
    }
}

fn workflow_view(row: &WorkflowRow) -> WorkflowView {
    WorkflowView {
        namespace: row.key.namespace.to_string(),
        workflow: row.key.name.to_string(),
        version: row.version.clone(),
        revision: row.revision.to_string(),
        updated_at: row.updated_at.to_string(),
    }
}

fn revision_view(row: &RevisionRow) -> RevisionView {
    RevisionView {
        revision: row.revision.to_string(),
        version: row.version.clone(),
        created_at: row.created_at.to_string(),
    }
}
