//! `isonomy runs`: looking at runs, and changing their course.

use base::{Clock as _, SystemClock};
use wire::{RunEventView, RunView};

use super::{api, explain, pages, run, say_next};
use crate::api::RunFilter;
use crate::args::logs::RunsLogs;
use crate::args::{
    Global, RunsArgs, RunsChange, RunsCommand, RunsEvents, RunsFollow, RunsList, RunsShow,
};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::fault;
use crate::follow::{self, Follower, Stop};
use crate::interrupt::Interrupt;
use crate::logs::{self, Printer};
use crate::output;
use crate::show;
use crate::when;

/// Records of a run on one page of `--all`: the most that a site gives.
const EVENTS_PAGE: u32 = 500;

pub async fn runs(global: &Global, args: RunsArgs) -> Outcome {
    match args.command.unwrap_or(RunsCommand::List(args.list)) {
        RunsCommand::List(args) => list(global, args).await,
        RunsCommand::Show(args) => show(global, args).await,
        RunsCommand::Explain(args) => explain::explain(global, args).await,
        RunsCommand::Follow(args) => follow(global, args).await,
        RunsCommand::Cancel(args) => cancel(global, args).await,
        RunsCommand::Retry(args) => retry(global, args).await,
        RunsCommand::Suspend(args) => suspend(global, args).await,
        RunsCommand::Resume(args) => resume(global, args).await,
        RunsCommand::Events(args) => events(global, args).await,
        RunsCommand::Logs(args) => logs(global, args).await,
    }
}

async fn list(global: &Global, args: RunsList) -> Outcome {
    let since = args.since.map(|since| when::since(&since, SystemClock.now())).transpose()?;
    let filter = RunFilter {
        workflow: args.workflow.map(|name| name.to_string()),
        states: args.state,
        since,
    };
    let api = api(global)?;
    let page = pages(&args.page, async |part| api.run_list(&filter, &part).await).await?;
    output::show(args.output.output, &page, || list_text(&page.items))?;
    say_next(page.next.as_deref());
    Ok(Exit::Ok)
}

fn list_text(views: &[RunView]) -> String {
    let now = SystemClock.now();
    let rows = views.iter().map(|view| {
        let end = view.ended_at.clone().unwrap_or_else(|| now.to_string());
        vec![
            view.run.clone(),
            view.workflow.clone(),
            view.state.clone(),
            when::age(&view.created_at, now),
            when::took(&view.created_at, Some(&end)),
            view.error
                .as_ref()
                .map(fault::title)
                .or_else(|| view.suspended.clone())
                .or_else(|| view.queued.as_ref().map(|why| format!("waits for {why}")))
                .unwrap_or_default(),
        ]
    });
    output::table(&["run", "workflow", "state", "age", "took", "error"], rows)
}

async fn show(global: &Global, args: RunsShow) -> Outcome {
    let detail = api(global)?.run_show(args.run).await?;
    output::show(args.output.output, &detail, || show::text(&detail, SystemClock.now()))?;
    Ok(Exit::Ok)
}

async fn follow(global: &Global, args: RunsFollow) -> Outcome {
    let mut api = api(global)?;
    let mut interrupt = Interrupt::typed()?;
    let format = args.output.output;
    let mut follower = Follower::new(args.run, false);
    let tell = |event: &wire::FollowEvent| output::show_next(format, event, || follow::line(event));
    match follower.follow(&mut api, &mut interrupt, tell).await? {
        Stop::Interrupted => {
            output::say(&format!("follow it again with {}", follow::again(&api, args.run)));
            Ok(Exit::Interrupted)
        }
        Stop::Stands(_) => {
            let detail = api.run_show(args.run).await?;
            run::verdict(&detail, &format!("see {}", follow::command(&api, "show", args.run)))
        }
    }
}

async fn cancel(global: &Global, args: RunsChange) -> Outcome {
    api(global)?.run_cancel(args.run, args.reason).await?;
    output::say(&format!("cancelled {}", args.run));
    Ok(Exit::Ok)
}

async fn retry(global: &Global, args: RunsChange) -> Outcome {
    let api = api(global)?;
    api.run_retry(args.run, args.reason).await?;
    let again = follow::again(&api, args.run);
    output::say(&format!(
        "{} goes on from the task that faulted; follow it with {again}",
        args.run
    ));
    Ok(Exit::Ok)
}

async fn suspend(global: &Global, args: RunsChange) -> Outcome {
    let api = api(global)?;
    api.run_suspend(args.run, args.reason).await?;
    output::say(&format!(
        "{} is suspended; it goes on with {}",
        args.run,
        follow::command(&api, "resume", args.run)
    ));
    Ok(Exit::Ok)
}

async fn resume(global: &Global, args: RunsChange) -> Outcome {
    let api = api(global)?;
    api.run_resume(args.run, args.reason).await?;
    output::say(&format!("{} goes on; follow it with {}", args.run, follow::again(&api, args.run)));
    Ok(Exit::Ok)
}

async fn events(global: &Global, args: RunsEvents) -> Outcome {
    let api = api(global)?;
    let mut page = api.run_events(args.run, args.after, page_size(&args)).await?;
    while let (true, Some(last)) = (args.all && page.next.is_some(), page.items.last()) {
        let more = api.run_events(args.run, last.sequence, page_size(&args)).await?;
        page.items.extend(more.items);
        page.next = more.next;
    }
    output::show(args.output.output, &page, || events_text(&page.items))?;
    if let (Some(_), Some(last)) = (&page.next, page.items.last()) {
        output::say(&format!(
            "there are more: add `--after {}` for the next page, or `--all`",
            last.sequence
        ));
    }
    Ok(Exit::Ok)
}

async fn logs(global: &Global, args: RunsLogs) -> Outcome {
    let mut api = api(global)?;
    let mut printer = Printer::new(args.output.output, args.of.task.is_none());
    if args.follow {
        let mut interrupt = Interrupt::typed()?;
        return logs::follow(&mut api, &args.of, &mut interrupt, &mut printer).await;
    }
    logs::list(&api, &args.of, &mut printer).await?;
    Ok(Exit::Ok)
}

fn page_size(args: &RunsEvents) -> Option<u32> {
    args.limit.or(args.all.then_some(EVENTS_PAGE))
}

fn events_text(events: &[RunEventView]) -> String {
    let rows = events.iter().map(|event| {
        let at = when::clock(&event.at).to_owned();
        vec![event.sequence.to_string(), at, event.kind.clone(), output::short(&event.record)]
    });
    output::table(&["sequence", "at", "kind", "record"], rows)
}
