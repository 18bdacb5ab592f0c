//! `isonomy sites`: the fleet, as its hub knows it. Nobody is called ready: a site is online, or silent
//! since when.

use std::collections::BTreeMap;

use base::{Clock as _, SystemClock, Timestamp};
use wire::{
    SiteAdopt, SiteCarried, SiteCordon, SiteDataset, SiteDesired, SiteRevoke, SiteState, SiteTag,
    SiteTurnedAway, SiteView,
};

use super::{drain, hub_api, pages, say_next};
use crate::args::Global;
use crate::args::site::{
    SitesArgs, SitesCommand, SitesCordon, SitesList, SitesRevoke, SitesShow, SitesTag,
};
use crate::confirm::agreed;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::{output, when};

pub async fn sites(global: &Global, args: SitesArgs) -> Outcome {
    match args.command.unwrap_or(SitesCommand::List(args.list)) {
        SitesCommand::List(args) => list(global, args).await,
        SitesCommand::Show(args) => show(global, args).await,
        SitesCommand::Tag(args) => tag(global, args).await,
        SitesCommand::Cordon(args) => cordon(global, args, true).await,
        SitesCommand::Uncordon(args) => cordon(global, args, false).await,
        SitesCommand::Drain(args) => drain::drain(global, args).await,
        SitesCommand::Revoke(args) => revoke(global, args).await,
        SitesCommand::Adopt(args) => adopt(global, args).await,
    }
}

async fn list(global: &Global, args: SitesList) -> Outcome {
    let api = hub_api(global)?;
    let page = pages(&args.page, async |part| api.fleet_list(&part).await).await?;
    output::show(args.output.output, &page, || list_text(&page.items, SystemClock.now()))?;
    if !page.items.is_empty() {
        output::say(&counts(&page.items, page.next.is_some()));
    }
    say_next(page.next.as_deref());
    super::recovery::say_if_on(&api).await?;
    Ok(Exit::Ok)
}

fn list_text(sites: &[SiteView], now: Timestamp) -> String {
    let age = |at: &Option<String>| at.as_deref().map_or_else(String::new, |at| when::age(at, now));
    let rows = sites.iter().map(|it| {
        let cordoned = if it.cordoned_at.is_some() { ", cordoned" } else { "" };
        let state = format!("{}{cordoned}", it.state.name());
        vec![
            it.site.clone(),
            state,
            age(&it.since),
            heard(it, now),
            it.desired.as_ref().map_or_else(String::new, |it| it.state.name().to_owned()),
            numbers(&it.taken),
            tags(it),
        ]
    });
    output::table(&["site", "state", "for", "heard", "desired", "taken", "tags"], rows)
}

/// How long ago something was heard of a site, and whether a file said it.
fn heard(site: &SiteView, now: Timestamp) -> String {
    let by_line = site.heard_at.as_deref();
    let by_file = site.carried.as_ref().map(|it| it.at.as_str());
    match by_file.filter(|at| by_line.is_none_or(|by_line| by_line < *at)) {
        Some(at) => format!("{}, by file", when::age(at, now)),
        None => by_line.map_or_else(String::new, |at| when::age(at, now)),
    }
}

/// Those that are away apart from those that are there.
fn counts(sites: &[SiteView], has_more: bool) -> String {
    let of = |state: SiteState| sites.iter().filter(|it| it.state == state).count();
    let counted = SiteState::ALL.into_iter().map(|state| (of(state), state.name()));
    let parts: Vec<String> = counted
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    let noun = if sites.len() == 1 { "site" } else { "sites" };
    let of_more = if has_more { "of more, these " } else { "" };
    format!("{of_more}{} {noun}: {}", sites.len(), parts.join(", "))
}

/// How far a site is with what should be there.
pub fn desired_text(desired: &SiteDesired) -> String {
    let SiteDesired { state, edition, workflows, waiting, failed } = desired;
    let noun = if *workflows == 1 { "workflow" } else { "workflows" };
    let mut text = format!("{}, edition {edition}: {workflows} {noun}", state.name());
    if *waiting > 0 {
        text.push_str(&format!(", {waiting} on their way"));
    }
    if !failed.is_empty() {
        text.push_str(&format!(", {} failed", failed.len()));
    }
    text
}

pub fn failed_lines(desired: &SiteDesired) -> impl Iterator<Item = String> + '_ {
    desired.failed.iter().map(|it| format!("{}/{}: {}", it.namespace, it.workflow, it.code))
}

fn dataset_text(dataset: &SiteDataset, now: Timestamp) -> String {
    let SiteDataset { dataset, labels, modified_at, .. } = dataset;
    let labels = if labels.is_empty() { String::new() } else { format!(" [{}]", labels.join(" ")) };
    let at = modified_at.as_deref().map(|at| format!(", changed {} ago", when::age(at, now)));
    format!("{dataset}{labels}{}", at.unwrap_or_default())
}

fn numbers(counts: &BTreeMap<String, u64>) -> String {
    let parts: Vec<String> =
        counts.iter().map(|(stream, count)| format!("{stream} {count}")).collect();
    parts.join(", ")
}

fn tags(site: &SiteView) -> String {
    let parts: Vec<String> =
        site.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    parts.join(" ")
}

async fn show(global: &Global, args: SitesShow) -> Outcome {
    let view = hub_api(global)?.fleet_show(&args.site).await?;
    output::show(args.output.output, &view, || show_text(&view, SystemClock.now()))?;
    Ok(Exit::Ok)
}

async fn tag(global: &Global, args: SitesTag) -> Outcome {
    let SitesTag { site, change, reason } = args;
    let (set, remove) = changes(&change)?;
    let view = hub_api(global)?.site_tag(&site, &SiteTag { set, remove, reason }).await?;
    output::say(&format!("{site}: {}", tags(&view)));
    Ok(Exit::Ok)
}

async fn cordon(global: &Global, args: SitesCordon, cordoned: bool) -> Outcome {
    let SitesCordon { site, reason } = args;
    hub_api(global)?.site_cordon(&site, &SiteCordon { cordoned, reason }).await?;
    output::say(&match cordoned {
        true => format!("{site} is cordoned: `run --where` and `--all` leave it out"),
        false => format!("{site} is not cordoned any more"),
    });
    Ok(Exit::Ok)
}

type Changes = (BTreeMap<String, String>, Vec<String>);

fn changes(texts: &[String]) -> Outcome<Changes> {
    let (mut set, mut remove) = (BTreeMap::new(), Vec::new());
    for text in texts {
        match (text.split_once('='), text.strip_suffix('-')) {
            (Some((key, value)), _) if !key.is_empty() => {
                set.insert(key.to_owned(), value.to_owned());
            }
            (None, Some(key)) if !key.is_empty() => remove.push(key.to_owned()),
            _ => {
                return Err(Failure::usage(format!("`{text}` is no change of a tag"))
                    .hint("`KEY=VALUE` sets a tag, `KEY-` takes it away"));
            }
        }
    }
    Ok((set, remove))
}

async fn revoke(global: &Global, args: SitesRevoke) -> Outcome {
    let SitesRevoke { site, yes, reason } = args;
    let api = hub_api(global)?;
    let question = format!("revoke the site {site} at {}", api.address());
    if !agreed(yes, &question, &format!("{site} is revoked"))? {
        return Ok(Exit::Cancelled);
    }
    api.site_revoke(&site, &SiteRevoke { reason }).await?;
    output::say(&format!(
        "revoked {site}: it goes on alone, and the hub takes nothing from it; a token made with `--replace` brings it back"
    ));
    Ok(Exit::Ok)
}

async fn adopt(global: &Global, args: SitesRevoke) -> Outcome {
    let SitesRevoke { site, yes, reason } = args;
    let api = hub_api(global)?;
    let question =
        format!("take the machine that says it is {site} as that site at {}", api.address());
    if !agreed(yes, &question, &format!("a machine becomes {site}"))? {
        return Ok(Exit::Cancelled);
    }
    api.site_adopt(&site, &SiteAdopt { reason }).await?;
    output::say(&format!("{site} is that machine now; it comes within a minute"));
    Ok(Exit::Ok)
}

fn show_text(view: &SiteView, now: Timestamp) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{name:<12} {}\n", output::harmless(value)));
        }
    };
    let since = |at: &Option<String>| {
        at.as_deref().map_or_else(String::new, |at| format!("{at}, {} ago", when::age(at, now)))
    };
    line("trouble", view.trouble.as_deref().unwrap_or_default());
    if let Some(SiteTurnedAway { at, from, why, times }) = &view.turned_away {
        let at = since(&Some(at.clone()));
        line(
            "turned away",
            &format!("{at}, from {from}: {why}; {times} since the hub was started"),
        );
    }
    line("site", &view.site);
    line("state", view.state.name());
    line("since", &since(&view.since));
    line("cordoned", &since(&view.cordoned_at));
    if let Some(until) = &view.invited_until {
        line("token", &format!("ends {until}, {}", when::until(until, now)));
    }
    line("tags", &tags(view));
    line("joined", &since(&view.joined_at));
    line("heard", &since(&view.heard_at));
    if let Some(SiteCarried { at, written_at }) = &view.carried {
        let taken = since(&Some(at.clone()));
        line("by file", &format!("{taken}; written {written_at} by its own clock"));
    }
    line("incarnation", view.incarnation.as_deref().unwrap_or_default());
    line("taken", &numbers(&view.taken));
    line("lost", &numbers(&view.lost));
    line("unread", &numbers(&view.unread));
    if let Some(count) = view.contradicted {
        line(
            "contradicted",
            &format!("{count}: the site has said otherwise before, and that counts"),
        );
    }
    if let Some(desired) = &view.desired {
        line("desired", &desired_text(desired));
        failed_lines(desired).for_each(|failed| line("", &failed));
    }
    for (at, dataset) in view.datasets.iter().enumerate() {
        line(if at == 0 { "datasets" } else { "" }, &dataset_text(dataset, now));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(name: &str, state: SiteState) -> SiteView {
        SiteView {
            site: name.to_owned(),
            state,
            since: Some("2027-01-15T07:58:00.000Z".to_owned()),
            tags: BTreeMap::from([("region".to_owned(), "eu".to_owned())]),
            joined_at: None,
            heard_at: None,
            invited_until: None,
            cordoned_at: None,
            incarnation: None,
            taken: BTreeMap::from([("outcome".to_owned(), 7)]),
            lost: BTreeMap::new(),
            unread: BTreeMap::new(),
            contradicted: None,
            desired: None,
            carried: None,
            datasets: Vec::new(),
            trouble: None,
            turned_away: None,
        }
    }

    /// Mutation: show what a file has said as heard on the line, or an older one in place of what the line
    /// said later.
    #[test]
    fn what_a_file_has_said_is_told_apart_from_the_line() {
        let now = Timestamp::parse("2027-01-15T08:00:00.000Z").expect("a time");
        let at = |minute: u32| format!("2027-01-15T07:{minute:02}:00.000Z");
        let silent = |line: Option<u32>, file: Option<u32>| SiteView {
            heard_at: line.map(at),
            carried: file.map(|minute| SiteCarried { at: at(minute), written_at: at(1) }),
            ..site("a", SiteState::Silent)
        };
        for (line, file, expected) in [
            (None, None, ""),
            (Some(50), None, "10m"),
            (None, Some(55), "5m, by file"),
            (Some(50), Some(55), "5m, by file"),
            (Some(57), Some(55), "3m"),
        ] {
            assert_eq!(heard(&silent(line, file), now), expected);
        }
        let shown = show_text(&silent(Some(50), Some(55)), now);
        let expected =
            format!("by file      {}, 5m ago; written {} by its own clock\n", at(55), at(1));
        assert!(shown.contains(&expected), "{shown}");
    }

    /// Mutation: take a tag away where it should be set, or let a change without a key pass.
    #[test]
    fn tags_are_set_and_taken_away() {
        let change = |text: &str| changes(&[text.to_owned()]);
        let set = BTreeMap::from([("a".to_owned(), "b=c-".to_owned())]);
        assert_eq!(change("a=b=c-"), Ok((set, vec![])));
        assert_eq!(change("a-"), Ok((BTreeMap::new(), vec!["a".to_owned()])));
        for wrong in ["a", "=b", "-", ""] {
            assert!(change(wrong).is_err(), "{wrong}");
        }
    }

    /// Mutation: count silent sites with those online, or show a time without its age.
    #[test]
    fn every_value_has_its_age_and_those_away_are_counted_apart() {
        let now = Timestamp::parse("2027-01-15T08:00:00.000Z").expect("a time");
        let sites = [
            site("a", SiteState::Online),
            site("b", SiteState::Silent),
            site("c", SiteState::Silent),
        ];
        assert_eq!(counts(&sites, false), "3 sites: 1 online, 2 silent");
        assert_eq!(counts(&sites[..1], true), "of more, these 1 site: 1 online");
        let cordoned = Some("2027-01-15T07:30:00.000Z".to_owned());
        let shown = show_text(&SiteView { cordoned_at: cordoned, ..sites[0].clone() }, now);
        assert!(shown.contains("cordoned     2027-01-15T07:30:00.000Z, 30m ago\n"), "{shown}");
        let text = list_text(&sites[1..2], now);
        assert_eq!(
            text,
            "SITE  STATE   FOR  HEARD  DESIRED  TAKEN      TAGS\nb     silent  2m                   outcome 7  region=eu"
        );
        let trouble = Some("two copies".to_owned());
        let shown = show_text(&SiteView { trouble, ..site("a", SiteState::Quarantined) }, now);
        assert!(shown.starts_with("trouble      two copies\nsite         a\n"), "{shown}");
        assert!(shown.contains("2027-01-15T07:58:00.000Z, 2m ago"), "{shown}");
    }
}
