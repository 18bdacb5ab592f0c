//! `isonomy apply` at a hub: what should be at the sites, with the plan first, site by site.

use wire::{
    DesiredApplied, DesiredApply, DesiredKind, ProblemCode, SitePlan, WorkflowChange,
    WorkflowDocument,
};

use super::apply::{counted, is_wanted, not_valid, word};
use crate::api::Api;
use crate::args::ApplyArgs;
use crate::document::Document;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, problem_of};
use crate::output;

/// Sites that a plan names one by one. A longer one says how many there are.
const SITES_SHOWN_MAX: usize = 20;

pub async fn apply(api: &Api, documents: &[Document], args: &ApplyArgs) -> Outcome {
    let plan = send(api, documents, true, None).await?;
    if args.dry_run {
        output::show(args.output.output, &plan, || text(&plan))?;
        return Ok(Exit::Ok);
    }
    output::say(&text(&plan));
    let changes = plan.items.iter().filter(|it| it.change != WorkflowChange::Unchanged).count();
    if changes == 0 {
        output::say(&format!("nothing to change at the hub, {}", api.address()));
        output::show(args.output.output, &plan, String::new)?;
        return Ok(Exit::Ok);
    }
    let place = format!("the hub, {}", api.address());
    if !args.yes && !is_wanted(args, changes, &place)? {
        return Err(Failure::new(Exit::Cancelled, "nothing was applied"));
    }
    let done = send(api, documents, false, args.reason.clone()).await?;
    output::show(args.output.output, &done, || items(&done))?;
    output::say(&format!(
        "{} will be told; `isonomy sites` shows how far they are",
        counted(done.sites.len(), "site")
    ));
    super::recovery::say_if_on(api).await?;
    Ok(Exit::Ok)
}

async fn send(
    api: &Api,
    documents: &[Document],
    dry_run: bool,
    reason: Option<String>,
) -> Outcome<DesiredApplied> {
    let texts = documents.iter().map(|document| WorkflowDocument {
        text: document.text.clone(),
        source: Some(document.source.clone()),
    });
    let ask = DesiredApply { documents: texts.collect(), dry_run, reason };
    let sent = api.desired_apply(&ask).await;
    let applied = sent.map_err(|error| match problem_of(&error) {
        Some(problem) if problem.code == ProblemCode::WorkflowInvalid => {
            not_valid(documents, &problem)
        }
        _ => api.explain(error),
    })?;
    for warning in applied.items.iter().flat_map(|it| &it.warnings) {
        output::say(&output::finding(warning));
    }
    Ok(applied)
}

fn text(plan: &DesiredApplied) -> String {
    let mut text = items(plan);
    let shown = plan.sites.iter().take(SITES_SHOWN_MAX);
    let rows: Vec<Vec<String>> = shown
        .map(|SitePlan { site, gets, changes, loses }| {
            vec![site.clone(), gets.join(" "), changes.join(" "), loses.join(" ")]
        })
        .collect();
    if rows.is_empty() {
        text.push_str("\n\nno site gets anything else than it has");
    } else {
        text.push_str("\n\n");
        text.push_str(&output::table(&["site", "gets", "changes", "loses"], rows));
    }
    if let Some(more) = plan.sites.len().checked_sub(SITES_SHOWN_MAX).filter(|more| *more > 0) {
        text.push_str(&format!("\nand {}", counted(more, "more site")));
    }
    let unplaced = plan.items.iter().filter(|it| it.kind == DesiredKind::Workflow && it.sites == 0);
    for it in unplaced {
        text.push_str(&format!(
            "\n{}/{} is for no site: a document of `kind: Placement` says which get it",
            it.namespace, it.name
        ));
    }
    text
}

fn items(plan: &DesiredApplied) -> String {
    let rows = plan.items.iter().map(|it| {
        let kind = match it.kind {
            DesiredKind::Workflow => "workflow",
            DesiredKind::Placement => "placement",
        };
        vec![
            word(it.change).to_owned(),
            kind.to_owned(),
            format!("{}/{}", it.namespace, it.name),
            it.version.clone().unwrap_or_default(),
            it.sites.to_string(),
        ]
    });
    output::table(&["change", "kind", "name", "version", "sites"], rows)
}
