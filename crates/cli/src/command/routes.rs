//! `isonomy routes`: names that stand for several models. They are written as documents, and applied.

use base::{Clock as _, SystemClock};
use serde_json::Value;
use wire::RouteView;

use super::shelf::{list, remove, show};
use super::{api, pages};
use crate::args::Global;
use crate::args::model::{ResourceList, ResourceShow, RoutesArgs, RoutesCommand};
use crate::failure::Outcome;
use crate::output;
use crate::resource::Kind;
use crate::when;

pub async fn routes(global: &Global, args: RoutesArgs) -> Outcome {
    match args.command.unwrap_or(RoutesCommand::List(args.list)) {
        RoutesCommand::List(args) => list_routes(global, args).await,
        RoutesCommand::Show(args) => show_route(global, args).await,
        RoutesCommand::Remove(args) => remove(global, Kind::Route, args).await,
    }
}

async fn list_routes(global: &Global, args: ResourceList) -> Outcome {
    let api = api(global)?;
    let page = pages(&args.page, async |part| api.route_list(&part).await).await?;
    list(&args, &page, list_text(&page.items))
}

fn list_text(views: &[RouteView]) -> String {
    let now = SystemClock.now();
    let rows = views.iter().map(|view| {
        let targets = view.spec["to"].as_array().into_iter().flatten();
        let to: Vec<String> = targets.map(target).collect();
        vec![view.name.clone(), to.join(", "), when::age(&view.updated_at, now)]
    });
    output::table(&["route", "to", "age"], rows)
}

fn target(target: &Value) -> String {
    let model = target["model"].as_str().unwrap_or_default();
    match target["weight"].as_u64() {
        Some(weight) => format!("{model} ({weight})"),
        None => model.to_owned(),
    }
}

async fn show_route(global: &Global, args: ResourceShow) -> Outcome {
    let view = api(global)?.route_show(&args.name).await?;
    let age = when::age(&view.updated_at, SystemClock.now());
    let head = format!("changed {age} ago by {}", view.updated_by);
    show(args.output.output, &view, &head, Kind::Route, (&view.namespace, &view.name, &view.spec))
}
