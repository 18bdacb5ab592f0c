//! `isonomy placements`: which sites get which workflows.

use wire::{Page, PlacementSites, PlacementView, SiteState, SiteView, WorkflowView};

use super::{hub_api, pages, place};
use crate::api::Api;
use crate::args::placement::{PlacementsArgs, PlacementsCommand, PlacementsDelete};
use crate::args::{Global, OutputArgs, PageArgs};
use crate::confirm::agreed;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output;

pub async fn placements(global: &Global, args: PlacementsArgs) -> Outcome {
    match args.command.unwrap_or(PlacementsCommand::List(args.list)) {
        PlacementsCommand::List(args) => list(global, args).await,
        PlacementsCommand::Delete(args) => delete(global, args).await,
    }
}

async fn delete(global: &Global, args: PlacementsDelete) -> Outcome {
    let PlacementsDelete { name, yes, reason } = args;
    let api = hub_api(global)?;
    let place = place(&api.whoami().await?, &api.address());
    let what = format!("the placement {}/{name}", api.namespace);
    let losers = losers(&api, |placement, _| placement.name == name.as_str()).await?;
    let losers = losers.map(losing).unwrap_or_default();
    let question = format!("delete {what} at {place}{losers}");
    if !agreed(yes, &question, &format!("{what} is deleted at {place}{losers}"))? {
        return Ok(Exit::Cancelled);
    }
    api.placement_delete(&name, reason.as_deref()).await?;
    output::say(&format!("deleted {what} at {place}{losers}"));
    Ok(Exit::Ok)
}

/// What a question and an answer say of the sites that lose something.
pub fn losing(count: usize) -> String {
    match count {
        0 => ": no site loses anything by it".to_owned(),
        1 => ": 1 site loses something by it".to_owned(),
        many => format!(": {many} sites lose something by it"),
    }
}

/// How many sites lose a workflow of the namespace where `goes` takes it out of placements. Nothing where
/// one may not see the fleet.
pub async fn losers(
    api: &Api,
    goes: impl Fn(&PlacementView, &str) -> bool,
) -> Outcome<Option<usize>> {
    let all = PageArgs { limit: None, cursor: None, all: true };
    let sites = match pages(&all, async |part| api.fleet_list(&part).await).await {
        Ok(page) => page.items,
        Err(denied) if denied.exit == Exit::Denied => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let workflows = pages(&all, async |part| api.workflow_list(&part).await).await?.items;
    let mut placements = api.placement_list().await?.items;
    placements.retain(|it| it.namespace == api.namespace.as_str());
    Ok(Some(count_losers(&placements, &workflows, &sites, goes)))
}

fn count_losers(
    placements: &[PlacementView],
    workflows: &[WorkflowView],
    sites: &[SiteView],
    goes: impl Fn(&PlacementView, &str) -> bool,
) -> usize {
    let loses = |site: &SiteView| {
        let meant: Vec<_> = placements.iter().filter(|it| means(&it.sites, site)).collect();
        workflows.iter().any(|WorkflowView { workflow, .. }| {
            let mut placed = meant.iter().filter(|it| it.workflows.contains(workflow)).peekable();
            placed.peek().is_some() && placed.all(|it| goes(it, workflow))
        })
    };
    let is_there = |site: &&SiteView| !matches!(site.state, SiteState::Revoked | SiteState::Left);
    sites.iter().filter(is_there).filter(|site| loses(site)).count()
}

fn means(sites: &PlacementSites, site: &SiteView) -> bool {
    let PlacementSites { all, tags, names } = sites;
    let is_tagged =
        !tags.is_empty() && tags.iter().all(|(key, value)| site.tags.get(key) == Some(value));
    *all || is_tagged || names.contains(&site.site)
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

pub(super) fn sites(sites: &PlacementSites) -> String {
    let PlacementSites { all, tags, names } = sites;
    if *all {
        return "all".to_owned();
    }
    let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if tags.is_empty() { names.join(" ") } else { tags.join(",") }
}

#[cfg(test)]
mod tests {
    use base::Timestamp;

    use super::*;

    fn site(name: &str, state: SiteState) -> SiteView {
        let view =
            serde_json::json!({"site": name, "state": state, "tags": {"role": name}, "taken": {}});
        serde_json::from_value(view).expect("a site")
    }

    fn placement(name: &str, workflows: &[&str], sites: PlacementSites) -> PlacementView {
        PlacementView {
            namespace: "lab".to_owned(),
            name: name.to_owned(),
            workflows: workflows.iter().map(|&it| it.to_owned()).collect(),
            sites,
            updated_at: Timestamp::from_millis(0).to_string(),
        }
    }

    fn workflow(name: &str) -> WorkflowView {
        let view = serde_json::json!({"namespace": "lab", "workflow": name, "version": "1", "revision": "b3:", "createdAt": "", "updatedAt": ""});
        serde_json::from_value(view).expect("a workflow")
    }

    /// Mutation: count a site that has the workflow by another placement, one that is revoked, or what no
    /// text is there for.
    #[test]
    fn those_who_lose_something_have_it_by_nothing_else() {
        let all = PlacementSites { all: true, ..PlacementSites::default() };
        let tags = [("role".to_owned(), "b".to_owned())].into();
        let tagged = PlacementSites { tags, ..PlacementSites::default() };
        let placements =
            [placement("all", &["x", "none"], all), placement("some", &["x", "y"], tagged)];
        let (workflows, gone) = ([workflow("x"), workflow("y")], site("d", SiteState::Revoked));
        let sites = [site("a", SiteState::Online), site("b", SiteState::Silent), gone];
        let count = |goes: &dyn Fn(&PlacementView, &str) -> bool| {
            count_losers(&placements, &workflows, &sites, goes)
        };
        assert_eq!(count(&|it, _| it.name == "all"), 1, "b has x by the other one");
        assert_eq!(count(&|it, _| it.name == "some"), 1, "b loses y");
        assert_eq!(count(&|_, workflow| workflow == "x"), 2);
        assert_eq!(count(&|_, workflow| workflow == "none"), 0);
    }
}
