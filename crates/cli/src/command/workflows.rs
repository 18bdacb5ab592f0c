//! `isonomy workflows`: what is stored.

use base::{Clock as _, SystemClock};
use wire::{ScheduleView, WorkflowDetail, WorkflowView};

use super::{any_api, pages, place, placements, say_next};
use crate::address::Whom;
use crate::args::{
    Global, WorkflowsArgs, WorkflowsCommand, WorkflowsDelete, WorkflowsList, WorkflowsShow,
};
use crate::confirm::agreed;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output;
use crate::when;

pub async fn workflows(global: &Global, args: WorkflowsArgs) -> Outcome {
    match args.command.unwrap_or(WorkflowsCommand::List(args.list)) {
        WorkflowsCommand::List(args) => list(global, args).await,
        WorkflowsCommand::Show(args) => show(global, args).await,
        WorkflowsCommand::Delete(args) => delete(global, args).await,
    }
}

async fn list(global: &Global, args: WorkflowsList) -> Outcome {
    let api = any_api(global)?;
    let page = pages(&args.page, async |part| api.workflow_list(&part).await).await?;
    output::show(args.output.output, &page, || list_text(&page.items))?;
    say_next(page.next.as_deref());
    Ok(Exit::Ok)
}

fn list_text(views: &[WorkflowView]) -> String {
    let now = SystemClock.now();
    let rows = views.iter().map(|view| {
        let age = when::age(&view.updated_at, now);
        vec![view.workflow.clone(), view.version.clone(), short(&view.revision), age]
    });
    output::table(&["workflow", "version", "revision", "age"], rows)
}

async fn show(global: &Global, args: WorkflowsShow) -> Outcome {
    let detail = any_api(global)?.workflow_show(&args.name, args.revision.as_deref()).await?;
    output::show(args.output.output, &detail, || show_text(&detail))?;
    Ok(Exit::Ok)
}

fn show_text(detail: &WorkflowDetail) -> String {
    let now = SystemClock.now();
    let rows = detail.revisions.iter().map(|revision| {
        let current = if revision.revision == detail.view.revision { "shown" } else { "" };
        let age = when::age(&revision.created_at, now);
        vec![revision.revision.clone(), revision.version.clone(), age, current.to_owned()]
    });
    let schedule = detail.schedule.iter().map(|it| format!("schedule  {}\n", schedule_text(it)));
    format!(
        "workflow  {}/{}\nversion   {}\nrevision  {}\n{}\n{}\n\n{}",
        detail.view.namespace,
        detail.view.workflow,
        output::harmless(&detail.view.version),
        detail.view.revision,
        output::harmless(&schedule.collect::<String>()),
        output::table(&["revision", "version", "age", ""], rows),
        output::harmless(&detail.text),
    )
}

pub fn schedule_text(schedule: &ScheduleView) -> String {
    let ScheduleView { trigger, when, missed, next_at, last_at, last_run } = schedule;
    let mut text = format!("{trigger} {when}");
    match (next_at, last_run) {
        (Some(next), _) => text.push_str(&format!(", next {next}")),
        (None, Some(run)) if trigger == "on" => text.push_str(&format!(", last run {run}")),
        (None, Some(run)) => text.push_str(&format!(", next after the end of {run}")),
        (None, None) => {}
    }
    text.extend(last_at.as_ref().map(|last| format!(", last {last}")));
    if !matches!(trigger.as_str(), "after" | "on") {
        text.push_str(&format!(", missed: {missed}"));
    }
    text
}

async fn delete(global: &Global, args: WorkflowsDelete) -> Outcome {
    let WorkflowsDelete { name, yes, reason } = args;
    let api = any_api(global)?;
    let (who, what) = (api.whoami().await?, format!("{}/{name}", api.namespace));
    let place = place(&who, &api.address());
    let mut losers = String::new();
    // At a site runs go on and nothing is lost; from a hub it is taken away elsewhere.
    if who.kind == Whom::Hub.name() {
        let count = placements::losers(&api, |_, workflow| workflow == name.as_str()).await?;
        losers = count.map(placements::losing).unwrap_or_default();
        let question = format!("delete {what} at {place}{losers}");
        if !agreed(yes, &question, &format!("{what} is deleted at {place}{losers}"))? {
            return Ok(Exit::Cancelled);
        }
    }
    api.workflow_delete(&name, reason.as_deref()).await?;
    output::say(&format!("deleted {what} at {place}{losers}; applying it again brings it back"));
    Ok(Exit::Ok)
}

/// Enough of a digest to tell revisions apart by eye.
pub fn short(digest: &str) -> String {
    const CHARS: usize = 15;
    digest.chars().take(CHARS).collect()
}
