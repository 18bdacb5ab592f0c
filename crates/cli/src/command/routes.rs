//! `isonomy routes`: names that stand for several models. They are written as documents, and applied.

use base::{Clock as _, SystemClock};
use serde_json::Value;
use wire::RouteView;

use super::shelf::{list, models_absent, remove, show};
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
        let to: Vec<String> = targets.map(|it| target(it, &view.absent)).collect();
        vec![view.name.clone(), to.join(", "), when::age(&view.updated_at, now)]
    });
    output::table(&["route", "to", "age"], rows)
}

fn target(target: &Value, absent: &[String]) -> String {
    let Some(model) = target["model"].as_str() else {
        // What is given where no model answers is told by its kind.
        let kinds = target.as_object().into_iter().flatten();
        return kinds.map(|(kind, _)| format!("<{kind}>")).collect();
    };
    let weight = target["weight"].as_u64().map(|weight| weight.to_string());
    let is_absent = absent.iter().any(|it| it == model);
    let said = [weight, is_absent.then(|| "not there".to_owned())];
    let said: Vec<String> = said.into_iter().flatten().collect();
    if said.is_empty() { model.to_owned() } else { format!("{model} ({})", said.join(", ")) }
}

async fn show_route(global: &Global, args: ResourceShow) -> Outcome {
    let view = api(global)?.route_show(&args.name).await?;
    let age = when::age(&view.updated_at, SystemClock.now());
    let standing = standing(&view).unwrap_or_default();
    let names: Vec<&str> = view.absent.iter().map(String::as_str).collect();
    let absent =
        if names.is_empty() { String::new() } else { format!("\n{}", models_absent(&names)) };
    let head = format!("changed {age} ago by {}{standing}{absent}", view.updated_by);
    show(args.output.output, &view, &head, Kind::Route, (&view.namespace, &view.name, &view.spec))
}

/// What is left of its limits.
fn standing(view: &RouteView) -> Option<String> {
    let (standing, limits) = (view.standing.as_ref()?, &view.spec["limits"]);
    let of = |left: Option<u64>, name: &str, what: &str| {
        left.map(|left| format!("{left} of {} {what} left of this minute", limits[name]))
    };
    let most = limits["concurrency"].as_u64().map(|most| format!(" of {most}"));
    let at_once = format!("{}{} calls under way", standing.under_way, most.unwrap_or_default());
    let refused = Some(standing.refused).filter(|it| *it > 0);
    let all = [
        of(standing.requests_left, "requestsPerMinute", "requests"),
        of(standing.tokens_left, "tokensPerMinute", "tokens"),
        Some(at_once),
        refused.map(|count| format!("{count} had no room since the site began")),
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    Some(format!("; {}", all.join(", ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Mutation: leave out what is left, or say something of a route without limits.
    #[test]
    fn a_route_with_limits_says_what_is_left() {
        let mut view: RouteView = serde_json::from_value(json!({
            "namespace": "sales", "name": "best", "updatedAt": "", "updatedBy": "",
            "spec": {"to": [], "limits": {"requestsPerMinute": 60, "concurrency": 8}},
            "standing": {"requestsLeft": 12, "underWay": 3, "refused": 2},
        }))
        .expect("a view");
        let said = "; 12 of 60 requests left of this minute, 3 of 8 calls under way, 2 had no room since the site began";
        assert_eq!(standing(&view).as_deref(), Some(said));
        view.standing = None;
        assert_eq!(standing(&view), None);
    }
}
