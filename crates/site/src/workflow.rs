//! Workflows: applying a document, and finding what was applied.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::name::{Namespace, WorkflowKey, WorkflowName};
use base::{By, Clock, Digest};
use server::{Caller, finding, invalid, revision_view, same_version, workflow_view};
use spec::Resolved;
use spec::tree::schedule::Schedule;
use store::{CommitError, Op, Preconditions, RevisionRow, ScheduleRow, Store, WorkflowRow};
use tokio::sync::Notify;
use wire::{
    Finding, Page, ProblemCode, WorkflowApplied, WorkflowApply, WorkflowChange, WorkflowDetail,
    WorkflowSetApply, WorkflowView,
};
use worker::Worker;

use crate::change::{ChangeKind, change_op};
use crate::evaluate::Evaluators;
use crate::expressions;
use crate::refusal::{Refusal, finished, internal};
use crate::resolve::{Named, Pooled, Resolution, Resolver, Sent};
use crate::schedule;

/// Heads of workflows in memory. One is a hundred bytes, and a site has tens of workflows.
const HEADS_KEPT_MAX: usize = 1_024;

/// Revisions that are listed with a workflow.
const REVISIONS_SHOWN_MAX: u32 = 100;

/// What a document is called in findings when its sender has no name for it.
const SOURCE: &str = "document";

/// Documents that are applied together. Nobody can look at a longer plan.
const DOCUMENTS_MAX: usize = 1_000;

#[derive(Clone)]
pub(crate) struct Workflows(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    resolver: Resolver,
    evaluators: Evaluators,
    clock: Arc<dyn Clock>,
    heads: Mutex<Heads>,
    /// One change at a time, so that a plan is still true when it is carried out.
    changing: tokio::sync::Mutex<()>,
    /// Told whenever a schedule has changed: whoever keeps times, and whoever hears events.
    schedules_changed: Arc<Notify>,
    listeners_changed: Arc<Notify>,
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
        catalog: Pooled,
        worker: Worker,
        evaluators: Evaluators,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (heads, changing) = (Mutex::default(), tokio::sync::Mutex::default());
        let (schedules_changed, listeners_changed) = (Arc::default(), Arc::default());
        let resolver = Resolver { store: Arc::clone(&store), catalog, worker };
        Self(Arc::new(Inner {
            store,
            resolver,
            evaluators,
            clock,
            heads,
            changing,
            schedules_changed,
            listeners_changed,
        }))
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
        let schedule = self.0.store.schedule_get(key.clone()).await?;
        Ok(WorkflowDetail {
            view,
            text,
            revisions: revisions.iter().map(revision_view).collect(),
            schedule: schedule.iter().map(schedule::view).collect(),
        })
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
        let plans = self.plans(vec![Sent { text, source }], caller).await?;
        let found = plans.iter().map(|plan| &plan.key).find(|found| *found != key);
        if let Some(found) = found {
            let detail =
                format!("the document is `{found}`, and the path says `{key}`; make them equal");
            return Err(Refusal::new(ProblemCode::WorkflowMismatch, detail));
        }
        let workflows = self.clone();
        let applied = finished(async move { workflows.carry_out(plans, &by, dry_run).await });
        applied.await?.into_iter().next().ok_or_else(internal)
    }

    /// Applies documents that may refer to each other: all or none, in one commit.
    pub(crate) async fn apply_set(
        &self,
        caller: &Caller,
        set: WorkflowSetApply,
    ) -> Result<Vec<WorkflowApplied>, Refusal> {
        let by = caller.because(set.reason)?;
        if set.documents.is_empty() || set.documents.len() > DOCUMENTS_MAX {
            let detail = format!("`documents` holds 1 to {DOCUMENTS_MAX} documents");
            return Err(Refusal::new(ProblemCode::BodyInvalid, detail));
        }
        let sent = set.documents.into_iter().map(|document| Sent {
            text: document.text,
            source: document.source.unwrap_or_else(|| SOURCE.to_owned()),
        });
        let plans = self.plans(sent.collect(), caller).await?;
        let (workflows, dry_run) = (self.clone(), set.dry_run);
        finished(async move { workflows.carry_out(plans, &by, dry_run).await }).await
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
            let kept = workflows.0.store.schedule_get(key.clone()).await?;
            let mut ops = vec![Op::WorkflowDelete { key: key.clone(), at }, change];
            ops.extend(schedule::ops(&key, None, &kept, at, 0));
            let result = workflows.commit(ops).await;
            workflows.heads_forget(&key);
            workflows.tell_schedules();
            result
        })
        .await
    }

    /// Reads documents that are applied together.
    async fn plans(&self, sent: Vec<Sent>, caller: &Caller) -> Result<Vec<Plan>, Refusal> {
        let (mut plans, mut wrong) = (Vec::new(), Vec::new());
        for Named { resolution, revision } in
            self.0.resolver.resolve_all(sent, caller.roles()).await?
        {
            let Resolution { sent: Sent { text, source }, read, resolved } = resolution;
            let unparsed = &read.unparsed;
            let found = expressions::check(&self.0.evaluators, unparsed, &text, &source).await?;
            wrong.extend(found);
            let warnings = read.warnings.iter().map(|it| finding(it, &source, &text)).collect();
            let spec::tree::Workflow { document, schedule, .. } = read.workflow;
            let (key, version) = (document.key, document.version);
            plans.push(Plan { key, revision, version, text, resolved, source, warnings, schedule });
        }
        if wrong.is_empty() { Ok(plans) } else { Err(invalid(wrong).into()) }
    }

    async fn carry_out(
        &self,
        plans: Vec<Plan>,
        by: &By,
        dry_run: bool,
    ) -> Result<Vec<WorkflowApplied>, Refusal> {
        let _turn = self.0.changing.lock().await;
        let (mut ops, mut applied) = (Vec::new(), Vec::new());
        for plan in &plans {
            let stored = self.0.store.workflow_get(plan.key.clone()).await?;
            let current = stored.filter(|row| row.deleted_at.is_none());
            let (change, previous) = match &current {
                None => (WorkflowChange::New, None),
                Some(row) if row.revision == plan.revision => (WorkflowChange::Unchanged, None),
                Some(row) => (WorkflowChange::Changed, Some(row.revision)),
            };
            if change != WorkflowChange::Unchanged {
                let now = self.0.clock.now();
                let kept = self.0.store.schedule_get(plan.key.clone()).await?;
                ops.extend(plan.ops(previous, by, now));
                let (schedule, newest) = (plan.schedule.as_ref(), self.0.store.event_last());
                ops.extend(schedule::ops(&plan.key, schedule, &kept, now, newest));
            }
            applied.push(plan.applied(change, current.as_ref()));
        }
        if !dry_run && !ops.is_empty() {
            let result = self.commit(ops).await;
            plans.iter().for_each(|plan| self.heads_forget(&plan.key));
            result?;
            self.tell_schedules();
        }
        Ok(applied)
    }

    /// Told whenever a schedule has changed.
    pub(crate) fn schedules_changed(&self) -> Arc<Notify> {
        Arc::clone(&self.0.schedules_changed)
    }

    /// The same for whoever hears events.
    pub(crate) fn listeners_changed(&self) -> Arc<Notify> {
        Arc::clone(&self.0.listeners_changed)
    }

    fn tell_schedules(&self) {
        self.0.schedules_changed.notify_one();
        self.0.listeners_changed.notify_one();
    }

    /// Replaces a trigger's row, unless it is another one by now. Says whether it did.
    pub(crate) async fn schedule_advance(
        &self,
        before: &ScheduleRow,
        after: ScheduleRow,
    ) -> Result<bool, Refusal> {
        let _turn = self.0.changing.lock().await;
        let kept = self.0.store.schedule_get(before.key.clone()).await?;
        if !kept.contains(before) {
            return Ok(false);
        }
        self.commit(vec![Op::SchedulePut(after)]).await?;
        Ok(true)
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
    resolved: Resolved,
    source: String,
    warnings: Vec<Finding>,
    schedule: Option<Schedule>,
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
                resolved: self.resolved.encode().into(),
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

    fn applied(&self, change: WorkflowChange, current: Option<&WorkflowRow>) -> WorkflowApplied {
        let previous = current.filter(|_| change == WorkflowChange::Changed);
        let mut warnings = self.warnings.clone();
        if previous.is_some_and(|row| row.version == self.version) {
            warnings.push(same_version(&self.version, &self.source));
        }
        WorkflowApplied {
            namespace: self.key.namespace.to_string(),
            workflow: self.key.name.to_string(),
            version: self.version.clone(),
            revision: self.revision.to_string(),
            change,
            previous: previous.map(|row| row.revision.to_string()),
            warnings,
        }
    }
}

fn missing(key: &WorkflowKey) -> Refusal {
    let detail = format!(
        "there is no workflow `{key}`; apply it first, or look with `isonomy workflows list`"
    );
    Refusal::new(ProblemCode::WorkflowMissing, detail)
}
