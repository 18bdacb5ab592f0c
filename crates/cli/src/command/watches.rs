//! `isonomy watches`: addresses elsewhere that calls are seen on their way to. They are written as documents,
//! and applied.

use base::{Clock as _, SystemClock};
use wire::{ModelState, WatchView};

use super::shelf::{list, remove, show};
use super::{api, pages};
use crate::args::Global;
use crate::args::model::{ResourceList, ResourceShow, WatchesArgs, WatchesCommand};
use crate::failure::Outcome;
use crate::output;
use crate::resource::Kind;
use crate::when;

pub async fn watches(global: &Global, args: WatchesArgs) -> Outcome {
    match args.command.unwrap_or(WatchesCommand::List(args.list)) {
        WatchesCommand::List(args) => list_watches(global, args).await,
        WatchesCommand::Show(args) => show_watch(global, args).await,
        WatchesCommand::Remove(args) => remove(global, Kind::Watch, args).await,
    }
}

async fn list_watches(global: &Global, args: ResourceList) -> Outcome {
    let api = api(global)?;
    let page = pages(&args.page, async |part| api.watch_list(&part).await).await?;
    list(&args, &page, list_text(&page.items))
}

fn list_text(views: &[WatchView]) -> String {
    let now = SystemClock.now();
    let rows = views.iter().map(|view| {
        let url = view.spec["url"].as_str().unwrap_or_default().to_owned();
        let state = state(view).to_owned();
        vec![view.name.clone(), view.path.clone(), url, state, when::age(&view.updated_at, now)]
    });
    output::table(&["watch", "programs ask", "for", "state", "age"], rows)
}

const fn state(view: &WatchView) -> &'static str {
    match view.state {
        ModelState::Ready => "ready",
        ModelState::Resting => "resting",
        ModelState::Denied => "denied",
    }
}

async fn show_watch(global: &Global, args: ResourceShow) -> Outcome {
    let api = api(global)?;
    let view = api.watch_show(&args.name).await?;
    let age = when::age(&view.updated_at, SystemClock.now());
    let mut head = format!(
        "changed {age} ago by {}\n{}\nprograms ask {}{} in place of its address",
        view.updated_by,
        state(&view),
        api.address(),
        view.path
    );
    if let Some(why) = &view.why {
        head.push_str(&format!("\n{why}"));
    }
    if view.others > 0 {
        let others = format!("\n{} requests have passed that are none of models", view.others);
        head.push_str(&others);
    }
    show(args.output.output, &view, &head, Kind::Watch, (&view.namespace, &view.name, &view.spec))
}
