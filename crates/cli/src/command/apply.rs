//! `isonomy apply`: from files to stored revisions, with the plan first. All documents or none: one
//! that is not valid keeps the others from being applied.

use std::collections::HashMap;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;

use wire::{Page, ProblemCode, WorkflowApplied, WorkflowChange};

use super::workflows::short;
use crate::api::Api;
use crate::args::{ApplyArgs, Global};
use crate::document::{self, Document, Found};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, places_of, problem_of};
use crate::output;

pub async fn apply(global: &Global, args: ApplyArgs) -> Outcome {
    let found = collect(&args)?;
    refuse_doubles(&found.documents, global)?;
    let api = super::api(global)?;
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
    } else if !args.yes && !confirmed(&args, changes, &api.address())? {
        return Err(Failure::new(Exit::Cancelled, "nothing was applied"));
    }
    let mut items = Vec::new();
    for (document, planned) in found.documents.iter().zip(plan) {
        // Where nothing changes nothing is sent, so that no record of a change appears.
        items.push(match planned.change {
            WorkflowChange::Unchanged => planned,
            WorkflowChange::New | WorkflowChange::Changed => {
                send(&api, document, false, args.reason.clone()).await?
            }
        });
    }
    let page = Page { items, next: None };
    output::show(args.output.output, &page, || applied_text(&page.items))?;
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
    if found.documents.is_empty() {
        return Err(Failure::usage("there is no workflow to apply")
            .hint("a workflow is a `.yaml`, `.yml` or `.json` file with a `document` at its top"));
    }
    Ok(found)
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
    let mut plan = Vec::new();
    let mut places = Vec::new();
    let mut invalid = 0;
    for document in documents {
        let (namespace, name) = document.target(&api.namespace);
        match api.workflow_apply(&namespace, &name, &document.apply(true, None)).await {
            Ok(applied) => {
                say_warnings(&applied);
                plan.push(applied);
            }
            Err(error) => match problem_of(&error) {
                Some(problem) if problem.code == ProblemCode::WorkflowInvalid => {
                    invalid += 1;
                    places.extend(places_of(&problem));
                    if problem.findings.is_empty() {
                        places.push(format!("{}: {}", document.source, problem.detail));
                    }
                }
                _ => return Err(api.explain(error)),
            },
        }
    }
    if invalid == 0 {
        return Ok(plan);
    }
    let all = counted(documents.len(), "document");
    let message = format!("not valid: {invalid} of {all}; nothing was applied");
    Err(Failure::usage(message).places(places))
}

/// Applies one document, or only asks what it would change.
pub async fn send(
    api: &Api,
    document: &Document,
    dry_run: bool,
    reason: Option<String>,
) -> Outcome<WorkflowApplied> {
    let (namespace, name) = document.target(&api.namespace);
    let answer = api.workflow_apply(&namespace, &name, &document.apply(dry_run, reason)).await;
    answer.map_err(|error| api.explain(error))
}

pub fn say_warnings(applied: &WorkflowApplied) {
    for warning in &applied.warnings {
        output::say(&output::finding(warning));
    }
}

fn confirmed(args: &ApplyArgs, changes: usize, address: &str) -> Outcome<bool> {
    let from_stdin = args.file.iter().any(|file| file == Path::new("-"));
    if from_stdin || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        let changes = counted(changes, "change");
        return Err(Failure::usage(format!("nobody is there to confirm {changes} at {address}"))
            .hint(
                "pass `--yes` to apply them without being asked, or `--dry-run` to only see them",
            ));
    }
    let mut stderr = io::stderr().lock();
    let asked = write!(stderr, "apply {} to {address}? [y/N] ", counted(changes, "change"))
        .and_then(|()| stderr.flush());
    asked.map_err(|cause| Failure::internal(format!("cannot ask: {cause}")))?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|cause| Failure::internal(format!("cannot read the answer: {cause}")))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn counted(count: usize, noun: &str) -> String {
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
