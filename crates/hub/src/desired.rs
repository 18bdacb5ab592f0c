//! Desired state: the workflows and placements that people have applied, and what follows for each site.

use std::collections::BTreeMap;

use base::name::WorkflowKey;
use base::{By, Digest, Namespace, SiteName, WorkflowName};
use server::{
    Caller, Refusal, Roles, finding, finished, invalid, remark, revision_view, same_version,
    workflow_view,
};
use spec::Diagnostic;
use store::{Op, Preconditions, ResourceKind, RevisionRow, Store, WorkflowRow, resource_all};
use wire::edition::{Content, Placed};
use wire::{
    DesiredApplied, DesiredApply, DesiredChange, DesiredKind, Finding, Page, PlacementView,
    ProblemCode, Role, SitePlan, WorkflowChange, WorkflowDetail, WorkflowView,
};

use crate::Hub;
use crate::budget::FleetBudget;
use crate::change::{ChangeKind, desired_op};
use crate::placement::Placement;
use crate::site::{SiteDoc, Void, each_site};

/// Documents that are applied together. Nobody can look at a longer plan.
const DOCUMENTS_MAX: usize = 1_000;

/// Workflows of one site: as many as its leaf, in one frame, holds.
pub(crate) const WORKFLOWS_MAX: usize = link::FAILED_MAX;

/// Revisions that are listed with a workflow.
const REVISIONS_SHOWN_MAX: u32 = 100;

/// Rows that are read at once.
const PAGE: u32 = 500;

/// A placement names what nobody knows.
const UNKNOWN: &str = "PLC-002";

/// So many unknown names of one placement are said.
const UNKNOWN_MAX: usize = 20;

/// What a document is called in findings when its sender has no name for it.
const SOURCE: &str = "document";

/// Everything that decides what should be where.
#[derive(Debug, Clone, Default)]
pub(crate) struct Desired {
    sites: BTreeMap<SiteName, SiteDoc>,
    /// Keys that are nobody's any more.
    void: Vec<Void>,
    /// By namespace and name.
    placements: BTreeMap<String, Placement>,
    workflows: BTreeMap<WorkflowKey, WorkflowRow>,
    budgets: Vec<FleetBudget>,
}

/// A document, read.
enum Wanted {
    Workflow { row: WorkflowRow, text: String, warnings: Vec<Finding> },
    Placement(Placement),
}

impl Desired {
    pub(crate) async fn load(store: &dyn Store) -> Result<Self, Refusal> {
        let mut desired = Self::default();
        let looked = each_site(store, |row, doc| {
            desired.void.extend(&doc.void);
            if doc.revoked_at.is_none() {
                desired.sites.insert(row.site, doc);
            }
            Ok(())
        });
        looked.await?;
        for row in resource_all(store, ResourceKind::Placement).await? {
            let placement = Placement::read(&row)?;
            desired.placements.insert(row.name, placement);
        }
        desired.budgets = FleetBudget::all(store).await?;
        let mut after = None;
        loop {
            let rows = store.workflow_list(None, after.take(), PAGE).await?;
            let last = rows.last().map(|row| row.key.clone());
            let is_whole = rows.len() == PAGE as usize;
            desired.workflows.extend(rows.into_iter().map(|row| (row.key.clone(), row)));
            match last {
                Some(last) if is_whole => after = Some(last),
                _ => return Ok(desired),
            }
        }
    }

    pub(crate) fn void(&self) -> &[Void] {
        &self.void
    }

    /// What should be at each site.
    pub(crate) fn contents(&self) -> BTreeMap<SiteName, Content> {
        self.sites.iter().map(|(site, doc)| (site.clone(), self.content(site, doc))).collect()
    }

    fn content(&self, site: &SiteName, doc: &SiteDoc) -> Content {
        let placements = self.placements.values().filter(|it| it.sites.contain(site, doc));
        let mut workflows: Vec<Placed> = placements
            .flat_map(|it| it.workflows.iter().map(|name| (it.namespace.clone(), name.clone())))
            .filter_map(|(namespace, name)| {
                let row = self.workflows.get(&WorkflowKey { namespace, name })?;
                let WorkflowKey { namespace, name } = row.key.clone();
                Some(Placed { namespace, name, text: row.revision })
            })
            .collect();
        workflows.sort();
        workflows.dedup();
        let budgets = self.budgets.iter().filter_map(|it| it.capped(site, doc)).collect();
        Content { workflows, budgets }
    }

    /// Puts what is wanted in its place. Gives what changes, and whether that is under the same version.
    fn take(&mut self, wanted: &Wanted) -> (WorkflowChange, bool) {
        match wanted {
            Wanted::Workflow { row, .. } => {
                let before = self.workflows.insert(row.key.clone(), row.clone());
                let is_same_version = before.as_ref().is_some_and(|it| it.version == row.version);
                let change = change(before.map(|before| before.revision == row.revision));
                (change, change == WorkflowChange::Changed && is_same_version)
            }
            Wanted::Placement(placement) => {
                let name = Placement::row_name(&placement.namespace, &placement.name);
                let before = self.placements.insert(name, placement.clone());
                (change(before.map(|before| before.says_the_same(placement))), false)
            }
        }
    }

    /// What a placement names and nobody knows. It may still come.
    fn unknown_in(&self, placement: &Placement, source: &str) -> Vec<Finding> {
        let missing = |name: &&WorkflowName| {
            let key = WorkflowKey { namespace: placement.namespace.clone(), name: (*name).clone() };
            !self.workflows.contains_key(&key)
        };
        let workflows = placement.workflows.iter().filter(missing).map(|name| {
            (format!("this hub has no workflow `{}/{name}`", placement.namespace), "workflows")
        });
        let sites = placement.sites.names().iter().filter(|name| !self.sites.contains_key(*name));
        let sites = sites.map(|name| (format!("the fleet has no site `{name}`"), "sites"));
        let hint = "nothing is sent for it until it is there";
        let remark =
            |(message, part)| remark(UNKNOWN, message, hint, &format!("/spec/{part}"), source);
        workflows.chain(sites).take(UNKNOWN_MAX).map(remark).collect()
    }
}

/// `is_same` as what was there; nothing where there was none.
const fn change(is_same: Option<bool>) -> WorkflowChange {
    match is_same {
        None => WorkflowChange::New,
        Some(true) => WorkflowChange::Unchanged,
        Some(false) => WorkflowChange::Changed,
    }
}

impl Wanted {
    fn namespace(&self) -> &Namespace {
        match self {
            Self::Workflow { row, .. } => &row.key.namespace,
            Self::Placement(placement) => &placement.namespace,
        }
    }

    fn name(&self) -> &WorkflowName {
        match self {
            Self::Workflow { row, .. } => &row.key.name,
            Self::Placement(placement) => &placement.name,
        }
    }

    const fn kind(&self) -> DesiredKind {
        match self {
            Self::Workflow { .. } => DesiredKind::Workflow,
            Self::Placement(_) => DesiredKind::Placement,
        }
    }

    fn ops(&self, by: &By) -> Vec<Op> {
        let (namespace, name) = (self.namespace(), self.name());
        match self {
            Self::Workflow { row, text, .. } => {
                let revision = RevisionRow {
                    key: row.key.clone(),
                    revision: row.revision,
                    version: row.version.clone(),
                    created_at: row.updated_at,
                    text: text.clone().into(),
                    resolved: Vec::new().into(),
                };
                let kind = ChangeKind::WorkflowApplied;
                vec![
                    Op::RevisionPut(revision),
                    Op::WorkflowPut(row.clone()),
                    desired_op(kind, namespace, name, by, row.updated_at),
                ]
            }
            Self::Placement(placement) => {
                let kind = ChangeKind::PlacementApplied;
                let change = desired_op(kind, namespace, name, by, placement.updated_at);
                vec![Op::ResourcePut(placement.row()), change]
            }
        }
    }

    /// How many sites have it.
    fn sites(&self, contents: &BTreeMap<SiteName, Content>, desired: &Desired) -> u32 {
        let count = match self {
            Self::Workflow { row, .. } => {
                let is_it = |placed: &Placed| {
                    placed.namespace == row.key.namespace && placed.name == row.key.name
                };
                contents.values().filter(|content| content.workflows.iter().any(is_it)).count()
            }
            Self::Placement(it) => {
                desired.sites.iter().filter(|(site, doc)| it.sites.contain(site, doc)).count()
            }
        };
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

impl Hub {
    /// Applies documents, all or none; what follows for the sites is the next edition.
    pub(crate) async fn desired_apply(
        &self,
        caller: &Caller,
        ask: DesiredApply,
    ) -> Result<DesiredApplied, Refusal> {
        let DesiredApply { documents, dry_run, reason } = ask;
        let by = caller.because(reason)?;
        if documents.is_empty() || documents.len() > DOCUMENTS_MAX {
            let detail = format!("`documents` holds 1 to {DOCUMENTS_MAX} documents");
            return Err(Refusal::new(ProblemCode::BodyInvalid, detail));
        }
        let hub = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let read = |it: wire::WorkflowDocument| {
                let source = it.source.unwrap_or_else(|| SOURCE.to_owned());
                let read = hub.read(it.text, &source);
                (source, read)
            };
            documents.into_iter().map(read).collect::<Vec<_>>()
        });
        let (mut wanted, mut wrong) = (Vec::new(), Vec::new());
        for (source, read) in reading.await.map_err(|_| server::internal())? {
            match read {
                Ok(read) => wanted.push((source, read)),
                Err(findings) => wrong.extend(findings),
            }
        }
        if !wrong.is_empty() {
            return Err(invalid(wrong));
        }
        wanted.iter().try_for_each(|(_, it)| caller.roles().need(Role::Admin, it.namespace()))?;
        let hub = self.clone();
        finished(async move { hub.desired_carry_out(wanted, &by, dry_run).await }).await
    }

    async fn desired_carry_out(
        &self,
        wanted: Vec<(String, Wanted)>,
        by: &By,
        dry_run: bool,
    ) -> Result<DesiredApplied, Refusal> {
        let _alone = self.0.changing.lock().await;
        let mut desired = Desired::load(self.0.store.as_ref()).await?;
        let before = desired.contents();
        let mut seen = BTreeMap::new();
        let (mut ops, mut changes) = (Vec::new(), Vec::new());
        for (_, it) in &wanted {
            let key = (it.kind() == DesiredKind::Workflow, it.namespace(), it.name());
            if seen.insert(key, ()).is_some() {
                let detail =
                    format!("two documents are `{}/{}`; send one", it.namespace(), it.name());
                return Err(Refusal::new(ProblemCode::BodyInvalid, detail));
            }
            let (change, is_same_version) = desired.take(it);
            if change != WorkflowChange::Unchanged {
                ops.extend(it.ops(by));
            }
            changes.push((change, is_same_version));
        }
        let after = desired.contents();
        // Another team's is not in the way of what mends it.
        let had = |site: &SiteName| before.get(site).map_or(0, |content| content.workflows.len());
        let is_too_many = |(site, content): &(&SiteName, &Content)| {
            content.workflows.len() > WORKFLOWS_MAX.max(had(site))
        };
        if let Some((site, content)) = after.iter().find(is_too_many) {
            let detail = format!(
                "the site {site} would get {} workflows, and {WORKFLOWS_MAX} are the most",
                content.workflows.len()
            );
            return Err(Refusal::new(ProblemCode::TooLarge, detail));
        }
        if !dry_run && !ops.is_empty() {
            self.0.store.commit(ops, Preconditions::none()).await?;
            self.0.editions.publish().await;
        }
        let items = wanted.iter().zip(changes).map(|((source, it), (change, is_same_version))| {
            let (version, warnings) = match it {
                Wanted::Workflow { row, warnings, .. } => {
                    let more = is_same_version.then(|| same_version(&row.version, source));
                    (Some(row.version.clone()), warnings.iter().cloned().chain(more).collect())
                }
                Wanted::Placement(placement) => (None, desired.unknown_in(placement, source)),
            };
            DesiredChange {
                kind: it.kind(),
                namespace: it.namespace().to_string(),
                name: it.name().to_string(),
                change,
                version,
                sites: it.sites(&after, &desired),
                warnings,
            }
        });
        Ok(DesiredApplied { items: items.collect(), sites: plans(&before, &after) })
    }

    fn read(&self, text: String, source: &str) -> Result<Wanted, Vec<Finding>> {
        let now = self.now();
        if Placement::is_meant(&text) {
            let read = Placement::parse(&text, source, now);
            return read.map(Wanted::Placement).map_err(|found| vec![*found]);
        }
        let finding = |it: &Diagnostic| finding(it, source, &text);
        match spec::read(&text, self.0.catalog.as_ref()) {
            Err(found) => Err(found.iter().map(finding).collect()),
            Ok(read) => {
                let warnings = read.warnings.iter().map(finding).collect();
                let document = read.workflow.document;
                let row = WorkflowRow {
                    key: document.key,
                    revision: Digest::of(text.as_bytes()),
                    version: document.version,
                    updated_at: now,
                    deleted_at: None,
                };
                Ok(Wanted::Workflow { row, text, warnings })
            }
        }
    }

    pub(crate) async fn workflow_list(
        &self,
        namespace: Namespace,
        after: Option<WorkflowName>,
        limit: u32,
    ) -> Result<Page<WorkflowView>, Refusal> {
        let after = after.map(|name| WorkflowKey { namespace: namespace.clone(), name });
        let mut rows = self.0.store.workflow_list(Some(namespace), after, limit + 1).await?;
        let has_more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| has_more).map(|last| last.key.name.to_string());
        Ok(Page { items: rows.iter().map(workflow_view).collect(), next })
    }

    pub(crate) async fn workflow_show(&self, key: WorkflowKey) -> Result<WorkflowDetail, Refusal> {
        let store = self.0.store.as_ref();
        let missing = || {
            let detail = format!("there is no workflow `{key}`; `isonomy workflows` shows them");
            Refusal::new(ProblemCode::WorkflowMissing, detail)
        };
        let row = store.workflow_get(key.clone()).await?.filter(|row| row.deleted_at.is_none());
        let row = row.ok_or_else(missing)?;
        let shown = store.revision_get(key.clone(), row.revision).await?.ok_or_else(missing)?;
        let revisions = store.revision_list(key.clone(), REVISIONS_SHOWN_MAX).await?;
        Ok(WorkflowDetail {
            view: workflow_view(&row),
            text: String::from_utf8_lossy(&shown.text).into_owned(),
            revisions: revisions.iter().map(revision_view).collect(),
            schedule: Vec::new(),
        })
    }

    /// No site shall have it any more.
    pub(crate) async fn workflow_delete(&self, key: WorkflowKey, by: &By) -> Result<(), Refusal> {
        let _alone = self.0.changing.lock().await;
        let at = self.now();
        let kind = ChangeKind::WorkflowDeleted;
        let change = desired_op(kind, &key.namespace, &key.name, by, at);
        let ops = vec![Op::WorkflowDelete { key, at }, change];
        self.0.store.commit(ops, Preconditions::none()).await?;
        self.0.editions.publish().await;
        Ok(())
    }

    /// Those of namespaces in which the caller may look.
    pub(crate) async fn placement_list(
        &self,
        roles: &Roles,
    ) -> Result<Vec<PlacementView>, Refusal> {
        let desired = Desired::load(self.0.store.as_ref()).await?;
        let seen = |it: &&Placement| roles.need(Role::Viewer, &it.namespace).is_ok();
        Ok(desired.placements.values().filter(seen).map(Placement::view).collect())
    }

    pub(crate) async fn placement_delete(
        &self,
        namespace: Namespace,
        name: WorkflowName,
        by: &By,
    ) -> Result<(), Refusal> {
        let _alone = self.0.changing.lock().await;
        let row_name = Placement::row_name(&namespace, &name);
        let kind = ResourceKind::Placement;
        if self.0.store.resource_get(kind, row_name.clone()).await?.is_none() {
            let detail =
                format!("there is no placement `{row_name}`; `isonomy placements` shows them");
            return Err(Refusal::new(ProblemCode::PlacementMissing, detail));
        }
        let change = desired_op(ChangeKind::PlacementDeleted, &namespace, &name, by, self.now());
        let ops = vec![Op::ResourceDelete { kind, name: row_name }, change];
        self.0.store.commit(ops, Preconditions::none()).await?;
        self.0.editions.publish().await;
        Ok(())
    }
}

/// What changes for each site for which something does.
fn plans(
    before: &BTreeMap<SiteName, Content>,
    after: &BTreeMap<SiteName, Content>,
) -> Vec<SitePlan> {
    let none = Content::default();
    let plan = |(site, content): (&SiteName, &Content)| {
        let had = before.get(site).unwrap_or(&none);
        let text_in = |content: &Content, it: &Placed| {
            let is_it =
                |other: &&Placed| (&other.namespace, &other.name) == (&it.namespace, &it.name);
            content.workflows.iter().find(is_it).map(|it| it.text)
        };
        let mut plan = SitePlan { site: site.to_string(), ..SitePlan::default() };
        for it in &content.workflows {
            let shown = format!("{}/{}", it.namespace, it.name);
            match text_in(had, it) {
                None => plan.gets.push(shown),
                Some(text) if text != it.text => plan.changes.push(shown),
                Some(_) => {}
            }
        }
        let lost = had.workflows.iter().filter(|it| text_in(content, it).is_none());
        plan.loses = lost.map(|it| format!("{}/{}", it.namespace, it.name)).collect();
        plan
    };
    let is_some = |plan: &SitePlan| {
        !plan.gets.is_empty() || !plan.changes.is_empty() || !plan.loses.is_empty()
    };
    after.iter().map(plan).filter(is_some).collect()
}
