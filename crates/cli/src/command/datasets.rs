//! `isonomy datasets`: the data that workflows may read by name. At a hub: what sites have told of theirs.

use base::{Clock as _, SystemClock, Timestamp};
use wire::{DatasetView, SiteDataset};

use super::{any_api, pages, say_next};
use crate::address::Whom;
use crate::args::Global;
use crate::args::dataset::{DatasetsArgs, DatasetsCommand, DatasetsList};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output;
use crate::when;

pub async fn datasets(global: &Global, args: DatasetsArgs) -> Outcome {
    let DatasetsCommand::List(args) = args.command.unwrap_or(DatasetsCommand::List(args.list));
    let DatasetsList { page, output } = args;
    let api = any_api(global)?;
    let now = SystemClock.now();
    let next = if api.whoami().await?.kind == Whom::Hub.name() {
        let page = pages(&page, async |part| api.site_dataset_list(&part).await).await?;
        output::show(output.output, &page, || fleet_text(&page.items, now))?;
        page.next
    } else {
        let page = pages(&page, async |part| api.dataset_list(&part).await).await?;
        output::show(output.output, &page, || site_text(&page.items, now))?;
        page.next
    };
    say_next(next.as_deref());
    Ok(Exit::Ok)
}

fn age(at: Option<&str>, now: Timestamp) -> String {
    at.map_or_else(String::new, |at| when::age(at, now))
}

fn site_text(views: &[DatasetView], now: Timestamp) -> String {
    let rows = views.iter().map(|it| {
        let state = match &it.why {
            Some(why) => format!("{}: {why}", it.state.name()),
            None => it.state.name().to_owned(),
        };
        vec![
            it.dataset.clone(),
            it.format.clone(),
            state,
            age(it.modified_at.as_deref(), now),
            it.bytes.map_or_else(String::new, |bytes| bytes.to_string()),
            it.labels.join(" "),
            it.owner.clone().unwrap_or_default(),
            it.namespaces.join(" "),
        ]
    });
    let columns = ["dataset", "format", "state", "age", "bytes", "labels", "owner", "namespaces"];
    output::table(&columns, rows)
}

fn fleet_text(views: &[SiteDataset], now: Timestamp) -> String {
    let rows = views.iter().map(|it| {
        vec![
            it.site.clone(),
            it.dataset.clone(),
            it.labels.join(" "),
            age(it.modified_at.as_deref(), now),
            age(Some(&it.known_since), now),
            age(it.heard_at.as_deref(), now),
        ]
    });
    output::table(&["site", "dataset", "labels", "age", "known for", "heard"], rows)
}

#[cfg(test)]
mod tests {
    use wire::DatasetState;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::parse("2027-01-15T08:00:00.000Z").expect("a time")
    }

    /// Mutation: show what is missing as there, or without its reason.
    #[test]
    fn a_site_shows_what_is_there_and_why_something_is_not() {
        let patients = DatasetView {
            dataset: "patients".to_owned(),
            format: "csv".to_owned(),
            labels: vec!["health".to_owned()],
            owner: Some("ward 3".to_owned()),
            namespaces: vec!["default".to_owned()],
            state: DatasetState::There,
            why: None,
            modified_at: Some("2027-01-15T07:00:00.000Z".to_owned()),
            bytes: Some(1234),
            is_told: true,
        };
        let gone = DatasetView {
            dataset: "gone".to_owned(),
            state: DatasetState::Missing,
            why: Some("there is no such file".to_owned()),
            modified_at: None,
            bytes: None,
            owner: None,
            ..patients.clone()
        };
        let text = site_text(&[patients, gone], now());
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|it| !it.is_empty()).collect())
            .collect();
        assert_eq!(
            lines[1],
            ["patients", "csv", "there", "60m", "1234", "health", "ward 3", "default"]
        );
        assert_eq!(
            lines[2],
            ["gone", "csv", "missing: there is no such file", "health", "default"]
        );
    }

    /// Mutation: leave out since when the hub knows, or when the site was heard.
    #[test]
    fn a_hub_shows_each_value_with_its_age() {
        let told = SiteDataset {
            site: "clinic-1".to_owned(),
            dataset: "patients".to_owned(),
            labels: vec!["eu".to_owned(), "health".to_owned()],
            modified_at: Some("2027-01-15T07:00:00.000Z".to_owned()),
            known_since: "2027-01-13T08:00:00.000Z".to_owned(),
            heard_at: Some("2027-01-15T07:58:00.000Z".to_owned()),
        };
        let text = fleet_text(&[told], now());
        let line: Vec<&str> = text.lines().nth(1).expect("a row").split_whitespace().collect();
        assert_eq!(line, ["clinic-1", "patients", "eu", "health", "60m", "2d", "2m"]);
    }
}
