//! `isonomy graph`: the picture of a workflow. A file needs no site; a stored workflow or a run does.

use std::collections::BTreeMap;
use std::path::Path;

use base::{RunId, WorkflowName};
use spec::graph::{self, States};
use wire::TaskView;

use super::api;
use crate::args::Global;
use crate::args::author::{GraphArgs, Picture};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::judge;
use crate::output;
use crate::runtime;

pub fn graph(global: &Global, args: &GraphArgs) -> Outcome {
    let (source, text, states) = match (&args.run, &args.target) {
        (Some(run), _) => of_run(global, *run)?,
        (None, Some(target)) => of_target(global, target)?,
        (None, None) => return Err(Failure::usage("nothing to draw was named")),
    };
    let graph = graph::read(&text).map_err(|found| {
        let places = found.iter().map(|found| found.render(&source, &text)).collect();
        Failure::usage("not a document, so there is nothing to draw").places(places)
    })?;
    let drawn = match args.output {
        Picture::Text => graph::text(&graph, &states),
        Picture::Mermaid => graph::mermaid(&graph, &states),
        Picture::Svg => graph::svg(&graph, &states),
    };
    output::write(&drawn)?;
    Ok(Exit::Ok)
}

fn of_target(global: &Global, target: &Path) -> Outcome<(String, String, States)> {
    let ending = target.extension().and_then(|extension| extension.to_str());
    let is_file = target == Path::new("-")
        || target.components().count() > 1
        || matches!(ending, Some("yaml" | "yml" | "json"))
        || target.is_file();
    if is_file {
        let source = judge::source(target)?;
        let text = spec::text(&source.bytes).map_err(|wrong| {
            let text = String::from_utf8_lossy(&source.bytes);
            let places = vec![wrong.render(&source.name, &text)];
            Failure::usage("not a text, so there is nothing to draw").places(places)
        })?;
        return Ok((source.name.clone(), text.to_owned(), States::new()));
    }
    let name = target.to_string_lossy();
    let name = WorkflowName::parse(&name).map_err(|why| {
        Failure::usage(format!("`{name}` is neither a file nor the name of a workflow: {why}"))
    })?;
    let detail = runtime::client(async { api(global)?.workflow_show(&name, None).await })?;
    Ok((name.to_string(), detail.text, States::new()))
}

fn of_run(global: &Global, run: RunId) -> Outcome<(String, String, States)> {
    runtime::client(async {
        let api = api(global)?;
        let detail = api.run_show(run).await?;
        let name = WorkflowName::parse(&detail.view.workflow)
            .map_err(|why| Failure::internal(format!("the site named no workflow: {why}")))?;
        let workflow = api.workflow_show(&name, Some(&detail.view.revision)).await?;
        if detail.tasks_omitted > 0 {
            output::say(&format!(
                "the run has {} earlier tasks, whose states are not shown",
                detail.tasks_omitted
            ));
        }
        Ok((name.to_string(), workflow.text, states(&detail.tasks)))
    })
}

/// What became of each task; of one that was executed several times the state that matters most.
fn states(tasks: &[TaskView]) -> States {
    let mut found: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for task in tasks {
        let (count, state) = found.entry(&task.location).or_insert((0, &task.state));
        *count += 1;
        if weight(&task.state) < weight(state) {
            *state = &task.state;
        }
    }
    let word = |(count, state): (usize, &str)| match count {
        1 => state.to_owned(),
        count => format!("{state} × {count}"),
    };
    found.into_iter().map(|(location, seen)| (location.to_owned(), word(seen))).collect()
}

fn weight(state: &str) -> usize {
    let order = ["faulted", "suspended", "running", "waiting", "cancelled", "completed"];
    order.iter().position(|known| *known == state).unwrap_or(order.len())
}
