//! `isonomy run`: start a run, watch it, and print what it gives.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use base::{Clock as _, Namespace, RunId, SystemClock, SystemRandom, WorkflowName};
use gateway::operator::OperatorError;
use serde_json::Value;
use store::RunState;
use wire::{RunDetail, RunStart, RunView};

use super::{apply, shelf};
use crate::api::Api;
use crate::args::{Global, RunArgs};
use crate::document::{self, Document};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::fault;
use crate::follow::{self, Follower, Stop};
use crate::input;
use crate::interrupt::Interrupt;
use crate::local::Local;
use crate::output::{self, Format};
use crate::progress::{Live, Watch};
use crate::when;

/// Times that starting is tried when the answer is lost. The run's id makes the second harmless.
const START_TRIES_MAX: u32 = 3;

/// What to run.
pub(super) enum Target {
    File(PathBuf),
    Name(WorkflowName),
}

impl Target {
    pub(super) fn parse(target: &Path) -> Outcome<Self> {
        let text = target.to_string_lossy();
        let looks_like_file = text == "-"
            || text.contains(std::path::MAIN_SEPARATOR)
            || matches!(
                target.extension().and_then(|extension| extension.to_str()),
                Some("yaml" | "yml" | "json")
            );
        if looks_like_file || target.is_file() {
            return Ok(Self::File(target.to_owned()));
        }
        WorkflowName::parse(&text).map(Self::Name).map_err(|wrong| {
            Failure::usage(format!("there is no file `{text}`, and {wrong}"))
                .hint("name a workflow that `isonomy workflows` lists, or a file")
        })
    }
}

pub async fn run(global: &Global, args: RunArgs) -> Outcome {
    let start = Start::prepare(&args)?;
    let mut api = super::api(global)?;
    let view = start.send(&mut api, &args).await?;
    let run = start.run;
    if args.detach {
        output::show(args.output.unwrap_or(Format::Text), &view, || run.to_string())?;
        return Ok(Exit::Ok);
    }
    let mut interrupt = Interrupt::typed()?;
    output::say(&format!("started {run}"));
    let stop = watch(&mut api, run, &mut interrupt, args.follow).await?;
    match stop {
        Stop::Interrupted => {
            output::say(&format!("the run goes on; follow it with {}", follow::again(&api, run)));
            Ok(Exit::Interrupted)
        }
        Stop::Stands(_) => {
            let hint = format!("see {}", follow::command(&api, "show", run));
            end(&api, run, args.output, &hint).await
        }
    }
}

/// The same over a site in this process, which is gone afterwards; so an interrupt cancels the run.
pub async fn run_local(global: &Global, args: RunArgs) -> Outcome {
    let start = Start::prepare(&args)?;
    let mut interrupt = Interrupt::any()?;
    let local = Local::open(args.config.as_deref()).await?;
    let outcome = async {
        let mut api = Api::new(local.address(), global.namespace.clone())?;
        start.send(&mut api, &args).await?;
        let mut stop = watch(&mut api, start.run, &mut interrupt, args.follow).await?;
        if stop == Stop::Interrupted {
            output::say("cancelling; once more to leave at once");
            api.run_cancel(start.run, Some("interrupted".to_owned())).await?;
            stop = watch(&mut api, start.run, &mut interrupt, args.follow).await?;
        }
        match stop {
            Stop::Interrupted => Ok(Exit::Cancelled),
            Stop::Stands(_) => {
                let hint =
                    "the journal of a local run is not kept; run it on a site to look into it";
                end(&api, start.run, args.output, hint).await
            }
        }
    };
    let outcome = outcome.await;
    local.close().await;
    outcome
}

/// Everything that can be wrong before anybody is asked.
struct Start {
    run: RunId,
    target: Target,
    input: Value,
}

impl Start {
    fn prepare(args: &RunArgs) -> Outcome<Self> {
        let target = Target::parse(&args.target)?;
        if args.request.is_some() {
            return Err(Failure::usage(
                "`--request` is for orders to sites: name them with `--site`, `--where` or `--all`, or the run with `--id`",
            ));
        }
        let from_stdin = matches!(&target, Target::File(file) if file == Path::new("-"));
        if from_stdin && args.input.iter().any(|input| input == "-") {
            return Err(Failure::usage("stdin can be the document or the input, not both"));
        }
        let run = args.id.unwrap_or_else(|| RunId::new(SystemClock.now(), &SystemRandom));
        Ok(Self { run, target, input: input::read(&args.input)? })
    }

    /// Applies the file, if it is one, and starts the run. From then on the namespace is the run's.
    async fn send(&self, api: &mut Api, args: &RunArgs) -> Outcome<RunView> {
        let (namespace, name, revision) = match &self.target {
            Target::Name(_) if !args.with.is_empty() => {
                return Err(Failure::usage(
                    "`--with` is for a file, and a stored workflow has found what it refers to",
                ));
            }
            Target::Name(name) => (api.namespace.clone(), name.clone(), args.revision.clone()),
            Target::File(_) if args.revision.is_some() => {
                return Err(Failure::usage(
                    "`--revision` is for a stored workflow, and a file is its own revision",
                ));
            }
            Target::File(file) => apply_file(api, file, args).await?,
        };
        api.namespace = namespace.clone();
        if matches!(self.target, Target::File(_)) && !args.local {
            apply::tell_schedule(api, &name).await?;
        }
        let start = RunStart {
            workflow: name.to_string(),
            revision,
            run: Some(self.run.to_string()),
            input: self.input.clone(),
            tags: args.tag.clone(),
            labels: args.label.clone(),
            priority: args.priority,
            reason: args.reason.clone(),
        };
        let mut tries = 1;
        loop {
            match api.run_start(&namespace, &start).await {
                Ok(view) => return Ok(view),
                Err(OperatorError::Broken { .. }) if tries < START_TRIES_MAX => {
                    tries += 1;
                    api.renew()?;
                }
                Err(error) => return Err(api.explain(error)),
            }
        }
    }
}

async fn apply_file(
    api: &Api,
    file: &Path,
    args: &RunArgs,
) -> Outcome<(Namespace, WorkflowName, Option<String>)> {
    let document = document::read(file)?;
    let mut others = beside(&document, args)?;
    shelf::apply(api, &mut others, args.reason.as_deref()).await?;
    let applied = apply::send_with(api, &document, &others, args.reason.clone()).await?;
    let (namespace, name) = document.target(&api.namespace);
    if !args.local {
        let (change, revision) =
            (apply::word(applied.change), super::workflows::short(&applied.revision));
        output::say(&format!(
            "applied {namespace}/{name} {}: {change}, {revision}",
            applied.version
        ));
    }
    Ok((namespace, name, Some(applied.revision)))
}

/// The documents to apply together with the one to run, which itself may lie among them.
fn beside(document: &Document, args: &RunArgs) -> Outcome<Vec<Document>> {
    let mut others = Vec::new();
    for path in &args.with {
        others.extend(document::find(path)?.documents);
    }
    others.retain(|other| other.head != document.head || !other.is_named());
    Ok(others)
}

async fn watch(api: &mut Api, run: RunId, interrupt: &mut Interrupt, lines: bool) -> Outcome<Stop> {
    let mut watch = if lines {
        Watch::Lines
    } else if std::io::stderr().is_terminal() {
        Watch::Live(Live::new())
    } else {
        Watch::Quiet
    };
    let mut follower = Follower::new(run, true);
    let stop = follower.follow(api, interrupt, |event| {
        watch.tell(event);
        Ok(())
    });
    let stop = stop.await;
    watch.close();
    stop
}

/// Prints what the run gave, or tells what became of it.
async fn end(api: &Api, run: RunId, format: Option<Format>, hint: &str) -> Outcome {
    let format = format.unwrap_or(Format::Json);
    let detail = api.run_show(run).await?;
    if detail.view.state == RunState::Completed.as_str() {
        let output = detail.output.as_ref().unwrap_or(&Value::Null);
        output::show(format, output, || value_text(output))?;
    }
    verdict(&detail, hint)
}

/// A string as it is, anything else as JSON.
pub fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => output::json(other).unwrap_or_else(|_| other.to_string()),
    }
}

/// What a run's state means for a script; what is not well is told as a failure.
pub fn verdict(detail: &RunDetail, hint: &str) -> Outcome {
    let run = &detail.view.run;
    let state: RunState = detail.view.state.parse().map_err(|_| {
        Failure::internal("the site named a state that this version does not know")
            .hint("are site and command line of the same version?")
    })?;
    match state {
        // Somebody has retried it meanwhile.
        RunState::Pending | RunState::Running | RunState::Waiting => Ok(Exit::Ok),
        RunState::Completed => Ok(Exit::Ok),
        RunState::Cancelled => {
            Err(Failure::new(Exit::Cancelled, format!("{run} was cancelled")).hint(hint))
        }
        RunState::Suspended => {
            let why = detail.view.suspended.as_deref().unwrap_or("nobody said why");
            Err(Failure::internal(format!("{run} is suspended: {why}")).hint(hint))
        }
        RunState::Faulted => {
            let error = detail.view.error.as_ref();
            let what = error.map_or_else(|| "no error was recorded".to_owned(), fault::line);
            let mut message = format!("{run} faulted: {what}");
            if let Some(place) = place(detail) {
                message.push_str(&format!("\n  --> {place}"));
            }
            Err(Failure::new(fault::exit(error), message).hint(hint))
        }
    }
}

fn place(detail: &RunDetail) -> Option<String> {
    let view = &detail.view;
    let of = format!("of {}/{} {}", view.namespace, view.workflow, view.version);
    if let Some(task) = &detail.faulted {
        let took = when::took(&task.started_at, task.ended_at.as_deref());
        let tries = match task.attempts.len() {
            0 | 1 => String::new(),
            many => format!(", {many} attempts"),
        };
        let after = if took.is_empty() { String::new() } else { format!(" after {took}{tries}") };
        // An error of the run itself (its input, its output, its time) belongs to no task.
        if task.task.is_empty() {
            return Some(format!("the run itself {of}{after}"));
        }
        return Some(format!("task `{}` at {} {of}{after}", task.task, task.location));
    }
    let location = fault::instance(view.error.as_ref()?)?;
    Some(format!("{location} {of}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take every word for a file, or look for a file of every name.
    #[test]
    fn a_target_is_a_file_where_it_looks_like_one() {
        for (text, is_file) in [
            ("hello", false),
            ("hello.yaml", true),
            ("./hello", true),
            ("a/b", true),
            ("-", true),
            ("x.json", true),
        ] {
            let target = Target::parse(Path::new(text)).expect("a target");
            assert_eq!(matches!(target, Target::File(_)), is_file, "{text}");
        }
        assert!(Target::parse(Path::new("not a name")).is_err());
    }
}
