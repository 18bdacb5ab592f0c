//! `isonomy placements`: which sites get which workflows.

use wire::{Page, PlacementSites, PlacementView};

use super::hub_api;
use crate::args::placement::{PlacementsArgs, PlacementsCommand};
use crate::args::{Global, OutputArgs};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output;

pub async fn placements(global: &Global, args: PlacementsArgs) -> Outcome {
    match args.command.unwrap_or(PlacementsCommand::List(args.list)) {
        PlacementsCommand::List(args) => list(global, args).await,
        PlacementsCommand::Delete(args) => {
            let api = hub_api(global)?;
            api.placement_delete(&args.name, args.reason.as_deref()).await?;
            Ok(Exit::Ok)
        }
    }
}

async fn list(global: &Global, args: OutputArgs) -> Outcome {
    let page: Page<PlacementView> = hub_api(global)?.placement_list().await?;
    output::show(args.output, &page, || {
        let rows = page.items.iter().map(|it| {
            vec![format!("{}/{}", it.namespace, it.name), it.workflows.join(" "), sites(&it.sites)]
        });
        output::table(&["placement", "workflows", "sites"], rows)
    })?;
    Ok(Exit::Ok)
}

fn sites(sites: &PlacementSites) -> String {
    let PlacementSites { all, tags, names } = sites;
    if *all {
        return "all".to_owned();
    }
    let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if tags.is_empty() { names.join(" ") } else { tags.join(",") }
}
