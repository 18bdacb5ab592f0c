//! `isonomy apply`: from files to stored revisions, with the plan first. All documents or none: one
//! that is not valid keeps the others from being applied.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use base::WorkflowName;
use gateway::operator::OperatorError;
use wire::{
    Page, Problem, ProblemCode, WorkflowApplied, WorkflowChange, WorkflowDocument, WorkflowSetApply,
};

use super::place;
use super::workflows::short;
use crate::address::Whom;
use crate::api::Api;
use crate::args::{ApplyArgs, Global};
use crate::confirm::confirmed;
use crate::document::{self, Document, Found};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, places_of, problem_of};
use crate::output;

pub async fn apply(global: &Global, args: ApplyArgs) -> Outcome {
    let mut found = collect(&args)?;
    refuse_doubles(&found.documents, global)?;
    let mut api = super::any_api(global)?;
    let who = api.whoami().await?;
    output::say(&format!("the plan is for {}", place(&who, &api.address())));
    if who.kind == Whom::Hub.name() {
        return super::desired::apply(&api, &found.documents, &args).await;
    }
    found.documents.retain(|document| {
        let is_for_a_hub = document.head == document::Head::Placement;
        if is_for_a_hub {
            output::say(&format!("skipped `{}`: a placement is for a hub", document.source));
        }
        !is_for_a_hub
    });
    refuse_none(&found)?;
    let plan = plan(&api, &found.documents).await?;
    if args.dry_run {
        output::show(args.output.output, &Page { items: plan.clone(), next: None }, || {
            plan_text(&plan)
        })?;
        return Ok(Exit::Ok);
    }
    output::say(&plan_text(&plan));
    let changes = plan.iter().filter(|applied| applied.change != WorkflowChange::Unchanged).count();
    if changes == 0 {
        output::say(&format!("nothing to change at {}", api.address()));
    } else if !args.yes && !is_wanted(&args, changes, &api.address())? {
        return Err(Failure::new(Exit::Cancelled, "nothing was applied"));
    }
    let items = if changes == 0 {
        // Nothing is sent, so that no record of a change appears.
        plan
    } else {
        send_all(&api, &found.documents, false, args.reason.clone())
            .await
            .map_err(|error| api.explain(error))?
    };
    let page = Page { items, next: None };
    output::show(args.output.output, &page, || applied_text(&page.items))?;
    for document in &found.documents {
        let (namespace, name) = document.target(&global.namespace);
        let is_new = |applied: &WorkflowApplied| {
            applied.change != WorkflowChange::Unchanged
                && applied.namespace == namespace.as_str()
                && applied.workflow == name.as_str()
        };
        if page.items.iter().any(is_new) {
            api.namespace = namespace;
            tell_schedule(&api, &name).await?;
        }
    }
    Ok(Exit::Ok)
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
        if !matches!(document.head, document::Head::Named { .. }) {
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

fn applied_text(items: &[WorkflowApplied]) -> String {
    let line = |applied: &WorkflowApplied| {
        format!(
            "{}/{} {} {}",
            applied.namespace,
            applied.workflow,
            word(applied.change),
            applied.revision
        )
    };
    items.iter().map(line).collect::<Vec<_>>().join("\n")
}
