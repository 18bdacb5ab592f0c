//! `isonomy apply`: from files to stored revisions, with the plan first. All documents or none: one
//! that is not valid keeps the others from being applied.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use base::WorkflowName;
use gateway::operator::OperatorError;
use serde::Serialize;
use wire::{
    Page, Problem, ProblemCode, WorkflowApplied, WorkflowChange, WorkflowDocument, WorkflowSetApply,
};

use super::place;
use super::shelf::{self, ResourceApplied};
use super::workflows::short;
use crate::address::Whom;
use crate::api::Api;
use crate::args::{ApplyArgs, Global};
use crate::confirm::confirmed;
use crate::document::{self, Document, Found, Head};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, places_of, problem_of};
use crate::output;
use crate::resource::Kind;

/// What programs read of a plan and of what was done. A stable contract.
#[derive(Serialize)]
struct Applied {
    #[serde(flatten)]
    workflows: Page<WorkflowApplied>,
    /// Models and routes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resources: Vec<ResourceApplied>,
}

pub async fn apply(global: &Global, args: ApplyArgs) -> Outcome {
    let mut found = collect(&args)?;
    refuse_doubles(&found.documents, global)?;
    let mut api = super::any_api(global)?;
    let who = api.whoami().await?;
    output::say(&format!("the plan is for {}", place(&who, &api.address())));
    let is_hub = who.kind == Whom::Hub.name();
    skip_foreign(&mut found, is_hub)?;
    if is_hub {
        return super::desired::apply(&api, &found.documents, &args).await;
    }
    let resources = shelf::read(&found.documents, &global.namespace)?;
    found.documents.retain(|document| !matches!(document.head, Head::Resource(_)));
    let workflows = plan(&api, &found.documents).await?;
    let plan = Applied::of(workflows, shelf::plan(&api, resources).await?);
    if args.dry_run {
        output::show(args.output.output, &plan, || plan.plan_text())?;
        return Ok(Exit::Ok);
    }
    output::say(&plan.plan_text());
    let changes = plan.changes();
    if changes == 0 {
        output::say(&format!("nothing to change at {}", api.address()));
    } else if !args.yes && !is_wanted(&args, changes, &api.address())? {
        return Err(Failure::new(Exit::Cancelled, "nothing was applied"));
    }
    let done = send_planned(&api, plan, &found.documents, args.reason).await?;
    output::show(args.output.output, &done, || done.text())?;
    for document in &found.documents {
        let (namespace, name) = document.target(&global.namespace);
        let is_new = |applied: &WorkflowApplied| {
            applied.change != WorkflowChange::Unchanged
                && applied.namespace == namespace.as_str()
                && applied.workflow == name.as_str()
        };
        if done.workflows.items.iter().any(is_new) {
            api.namespace = namespace;
            tell_schedule(&api, &name).await?;
        }
    }
    Ok(Exit::Ok)
}

/// Leaves out, and names, what is for the other one of hub and site.
fn skip_foreign(found: &mut Found, is_hub: bool) -> Outcome<()> {
    found.documents.retain(|Document { head, source, .. }| {
        let why = match (head, is_hub) {
            (Head::Placement, false) => "a placement is for a hub",
            (Head::Resource(Kind::Model), true) => "a model is for a site",
            (Head::Resource(Kind::Route), true) => "a route is for a site",
            (Head::Resource(Kind::Watch), true) => "a watch is for a site",
            _ => return true,
        };
        output::say(&format!("skipped `{source}`: {why}"));
        false
    });
    refuse_none(found)
}

/// Models and routes go first, so that what begins by itself finds them. What does not change is not sent, so
/// that no record of a change appears.
async fn send_planned(
    api: &Api,
    plan: Applied,
    documents: &[Document],
    reason: Option<String>,
) -> Outcome<Applied> {
    let Applied { workflows, resources } = plan;
    shelf::put(api, &resources, reason.as_deref()).await?;
    let mut items = workflows.items;
    if items.iter().any(|it| it.change != WorkflowChange::Unchanged) {
        let sent = send_all(api, documents, false, reason).await;
        items = sent.map_err(|error| api.explain(error))?;
    }
    Ok(Applied::of(items, resources))
}

impl Applied {
    const fn of(items: Vec<WorkflowApplied>, resources: Vec<ResourceApplied>) -> Self {
        Self { workflows: Page { items, next: None }, resources }
    }

    fn changes(&self) -> usize {
        let workflows = self.workflows.items.iter().map(|it| it.change);
        let changes = workflows.chain(self.resources.iter().map(|it| it.change));
        changes.filter(|change| *change != WorkflowChange::Unchanged).count()
    }

    fn plan_text(&self) -> String {
        let mut parts = Vec::new();
        if !self.workflows.items.is_empty() {
            parts.push(plan_text(&self.workflows.items));
        }
        if !self.resources.is_empty() {
            parts.push(shelf::plan_text(&self.resources));
        }
        parts.join("\n\n")
    }

    fn text(&self) -> String {
        let mut lines = applied_text(&self.workflows.items);
        lines.extend(shelf::applied_text(&self.resources));
        lines.join("\n")
    }
}

fn collect(args: &ApplyArgs) -> Outcome<Found> {
    let mut found = Found::default();
    for path in &args.file {
        let more = document::find(path)?;
        found.documents.extend(more.documents);
        found.skipped.extend(more.skipped);
    }
    for skipped in &found.skipped {
        output::say(&format!(
            "skipped `{}`: it has no `document`, so it is no workflow",
            skipped.display()
        ));
    }
    refuse_none(&found)?;
    Ok(found)
}

fn refuse_none(found: &Found) -> Outcome<()> {
    if found.documents.is_empty() {
        return Err(Failure::usage("there is no workflow to apply")
            .hint("a workflow is a `.yaml`, `.yml` or `.json` file with a `document` at its top"));
    }
    Ok(())
}

/// Which of two texts of one name would stay is nobody's to guess.
fn refuse_doubles(documents: &[Document], global: &Global) -> Outcome<()> {
    let mut sources = HashMap::new();
    for document in documents {
        if !matches!(document.head, Head::Named { .. }) {
            continue;
        }
        let (namespace, name) = document.target(&global.namespace);
        if let Some(first) = sources.insert((namespace.clone(), name.clone()), &document.source) {
            return Err(Failure::usage(format!(
                "`{first}` and `{}` are both the workflow `{namespace}/{name}`",
                document.source
            ))
            .hint("apply one of them, or give one another name"));
        }
    }
    Ok(())
}

/// What would change. Finds everything that is wrong with all documents before anything is applied.
async fn plan(api: &Api, documents: &[Document]) -> Outcome<Vec<WorkflowApplied>> {
    if documents.is_empty() {
        return Ok(Vec::new());
    }
    let plan =
        send_all(api, documents, true, None).await.map_err(|error| match problem_of(&error) {
            Some(problem) if problem.code == ProblemCode::WorkflowInvalid => {
                not_valid(documents, &problem)
            }
            _ => api.explain(error),
        })?;
    plan.iter().for_each(say_warnings);
    Ok(plan)
}

pub fn not_valid(documents: &[Document], problem: &Problem) -> Failure {
    let all = counted(documents.len(), "document");
    let sources: HashSet<&str> =
        problem.findings.iter().filter_map(|found| found.source.as_deref()).collect();
    let mut places = places_of(problem);
    let invalid = match documents {
        [one] if places.is_empty() => {
            places.push(format!("{}: {}", one.source, problem.detail));
            1
        }
        [_] => 1,
        _ if places.is_empty() => {
            places.push(problem.detail.clone());
            1
        }
        _ => sources.len(),
    };
    Failure::usage(format!("not valid: {invalid} of {all}; nothing was applied")).places(places)
}

/// Applies documents together: all or none, or only asks what that would change. Several may refer to
/// each other.
async fn send_all(
    api: &Api,
    documents: &[Document],
    dry_run: bool,
    reason: Option<String>,
) -> Result<Vec<WorkflowApplied>, OperatorError> {
    if let [document] = documents {
        let (namespace, name) = document.target(&api.namespace);
        let apply = document.apply(dry_run, reason);
        return Ok(vec![api.workflow_apply(&namespace, &name, &apply).await?]);
    }
    let documents = documents.iter().map(|document| WorkflowDocument {
        text: document.text.clone(),
        source: Some(document.source.clone()),
    });
    api.workflow_apply_set(&WorkflowSetApply { documents: documents.collect(), dry_run, reason })
        .await
}

/// Applies the first document together with others that it may refer to.
pub async fn send_with(
    api: &Api,
    document: &Document,
    others: &[Document],
    reason: Option<String>,
) -> Outcome<WorkflowApplied> {
    let mut documents = vec![document.clone()];
    documents.extend_from_slice(others);
    let applied = send_all(api, &documents, false, reason).await;
    let applied = applied.map_err(|error| api.explain(error))?;
    applied.iter().for_each(say_warnings);
    let first = applied.into_iter().next();
    first.ok_or_else(|| Failure::internal("the site answered for none of the documents"))
}

/// What is applied with a schedule begins by itself, whether it is run by hand or not.
pub async fn tell_schedule(api: &Api, name: &WorkflowName) -> Outcome<()> {
    for schedule in api.workflow_show(name, None).await?.schedule {
        let text = super::workflows::schedule_text(&schedule);
        let said = format!("{}/{name} begins by itself from now on: {text}", api.namespace);
        output::say(&output::harmless(&said));
    }
    Ok(())
}

pub fn say_warnings(applied: &WorkflowApplied) {
    for warning in &applied.warnings {
        output::say(&output::finding(warning));
    }
}

pub fn is_wanted(args: &ApplyArgs, changes: usize, address: &str) -> Outcome<bool> {
    let from_stdin = args.file.iter().any(|file| file == Path::new("-"));
    let question = format!("apply {} to {address}", counted(changes, "change"));
    let answer = if from_stdin { None } else { confirmed(&question)? };
    answer.ok_or_else(|| {
        let changes = counted(changes, "change");
        Failure::usage(format!("nobody is there to confirm {changes} at {address}"))
            .hint("pass `--yes` to apply them without being asked, or `--dry-run` to only see them")
    })
}

pub fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[must_use]
pub const fn word(change: WorkflowChange) -> &'static str {
    match change {
        WorkflowChange::New => "new",
        WorkflowChange::Changed => "changed",
        WorkflowChange::Unchanged => "unchanged",
    }
}

fn plan_text(plan: &[WorkflowApplied]) -> String {
    let rows = plan.iter().map(|applied| {
        let before = applied.previous.as_deref().map(short).unwrap_or_default();
        let workflow = format!("{}/{}", applied.namespace, applied.workflow);
        vec![
            word(applied.change).to_owned(),
            workflow,
            applied.version.clone(),
            before,
            short(&applied.revision),
        ]
    });
    output::table(&["change", "workflow", "version", "from", "to"], rows)
}

fn applied_text(items: &[WorkflowApplied]) -> Vec<String> {
    let line = |applied: &WorkflowApplied| {
        format!(
            "{}/{} {} {}",
            applied.namespace,
            applied.workflow,
            word(applied.change),
            applied.revision
        )
    };
    items.iter().map(line).collect()
}
