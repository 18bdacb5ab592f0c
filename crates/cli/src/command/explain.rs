//! `isonomy runs explain`: why a run or an order is there, where it waits, and what has left the site.

use base::{Clock as _, SystemClock, Timestamp};
use serde_json::Value;
use wire::{
    LeftOut, LeftOutView, LeftView, OrderExplained, RequestView, RunExplained, SiteState,
    StartedView, WaitView,
};

use super::order::{said, silent};
use super::{any_api, hub_api};
use crate::address::Whom;
use crate::args::{Explained, Global, RunsExplain};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output;
use crate::when;

pub async fn explain(global: &Global, args: RunsExplain) -> Outcome {
    let (api, run) = match args.id {
        Explained::Order(_) => (hub_api(global)?, None),
        Explained::Run(run) => {
            let api = any_api(global)?;
            let is_hub = api.whoami().await?.kind == Whom::Hub.name();
            (api, Some(run).filter(|_| !is_hub))
        }
    };
    let now = SystemClock.now();
    match run {
        Some(run) => {
            let explained = api.run_explain(run).await?;
            output::show(args.output.output, &explained, || run_text(&explained, now))?;
        }
        None => {
            let explained = api.order_explain(&args.id.to_string()).await?;
            output::show(args.output.output, &explained, || order_text(&explained, now))?;
        }
    }
    Ok(Exit::Ok)
}

/// Lines with a name before each.
#[derive(Default)]
pub(super) struct Lines(pub(super) String);

impl Lines {
    pub(super) fn add(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.0.push_str(&format!("{name:<12} {}\n", output::harmless(value)));
        }
    }

    pub(super) fn part(&mut self, name: &str, text: &str) {
        self.0.push_str(&format!("\n{name}\n"));
        text.lines().for_each(|line| self.0.push_str(&format!("  {line}\n")));
    }
}

fn order_text(explained: &OrderExplained, now: Timestamp) -> String {
    let OrderExplained { order, by, bytes, site_state, site_since, request, left, orders } =
        explained;
    let mut lines = Lines::default();
    lines.add("run", &order.run);
    lines.add("order", &order.order);
    lines.add("workflow", &format!("{}/{}", order.namespace, order.workflow));
    let by = by.as_ref().map(|by| by_text(by, &order.given_at, now));
    lines.add("asked", &by.unwrap_or_default());
    let state = match order.is_online || order.is_over || *site_state == SiteState::Revoked {
        true => said(order),
        false => format!("{}; the site is {}", said(order), silent(order, now)),
    };
    lines.add("state", &state);
    let since =
        site_since.as_deref().map(|since| format!(" since {since}, {}", when::age(since, now)));
    lines.add(
        "site",
        &format!("{}: {}{}", order.site, site_state.name(), since.unwrap_or_default()),
    );
    lines.add("given", &format!("{}, until {}; {bytes} bytes", order.given_at, order.until));
    lines.add("judged", order.judged_at.as_deref().unwrap_or_default());
    if let Some(request) = request {
        request_text(request, &mut lines);
    }
    let rows = orders.iter().map(|it| vec![it.site.clone(), it.run.clone(), said(it)]);
    lines.part("ordered", &output::table(&["site", "run", "what"], rows));
    if let Some(more) = request.as_ref().filter(|it| it.ordered as usize > orders.len()) {
        let hint = format!("`isonomy orders --request {} --all` shows all", more.request);
        lines.part("", &hint);
    }
    left_text(left, &mut lines);
    lines.0
}

fn request_text(request: &RequestView, lines: &mut Lines) {
    let RequestView { sites, ordered, left_out, .. } = request;
    let selection = if sites.all {
        "all sites".to_owned()
    } else if sites.names.is_empty() {
        let tags: Vec<String> =
            sites.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("sites with {}", tags.join(" "))
    } else {
        let more = if (*ordered as usize) > sites.names.len() { " …" } else { "" };
        format!("{}{more}", sites.names.join(" "))
    };
    let noun = if *ordered == 1 { "site" } else { "sites" };
    lines.add("request", &request.request);
    lines.add("meant", &format!("{selection}: {ordered} {noun}"));
    for group in left_out {
        lines.add("left out", &left_out_text(group));
    }
}

fn left_out_text(group: &LeftOutView) -> String {
    let LeftOutView { why, tag, count, first } = group;
    let tag = tag.as_deref().unwrap_or_default();
    let why = match why {
        LeftOut::TagMissing => format!("without the tag {tag}"),
        LeftOut::TagDiffers => format!("with another {tag}"),
        LeftOut::Revoked => "revoked".to_owned(),
        LeftOut::NotJoined => "not joined".to_owned(),
        LeftOut::Cordoned => "cordoned".to_owned(),
    };
    let named: Vec<String> = first
        .iter()
        .map(|it| match &it.value {
            Some(value) => format!("{} ({tag}={value})", it.site),
            None => it.site.clone(),
        })
        .collect();
    let more = if *count as usize > first.len() { " …" } else { "" };
    format!("{count} {why}: {}{more}", named.join(", "))
}

fn run_text(explained: &RunExplained, now: Timestamp) -> String {
    let RunExplained { run, started, waits, left } = explained;
    let mut lines = Lines::default();
    lines.add("run", &run.run);
    lines.add("workflow", &format!("{}/{} {}", run.namespace, run.workflow, run.version));
    lines.add("state", &run.state);
    let StartedView { how, by, order, ordered_at, order_until, parent } = started;
    lines.add("started", &format!("by {}: {}", how.name(), by_text(by, &run.created_at, now)));
    let order = order.as_ref().map(|order| {
        let (came, until) = (ordered_at.as_deref(), order_until.as_deref());
        format!("{order}, came {}, until {}", came.unwrap_or("?"), until.unwrap_or("?"))
    });
    lines.add("order", &order.unwrap_or_default());
    let parent = parent.as_ref().map(|it| format!("{} at {}", it.run, it.activation));
    lines.add("parent", &parent.unwrap_or_default());
    for wait in waits {
        lines.add("waits", &wait_text(wait, now));
    }
    left_text(left, &mut lines);
    lines.0
}

fn by_text(by: &wire::By, at: &str, now: Timestamp) -> String {
    let reason = by.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{} {} ago{reason}", by.actor, when::age(at, now))
}

fn wait_text(wait: &WaitView, now: Timestamp) -> String {
    let WaitView { what, task, location, since, until, detail } = wait;
    let mut text = format!("for {}", what.name());
    let mut add = |before: &str, part: Option<String>| {
        text.extend(part.iter().flat_map(|part| [before, part.as_str()]));
    };
    add(": ", detail.clone());
    add(", in ", task.clone());
    add(" at ", location.clone());
    add(", since ", since.as_ref().map(|since| when::age(since, now)));
    add(", until ", until.clone());
    text
}

fn left_text(left: &[LeftView], lines: &mut Lines) {
    if left.is_empty() {
        lines.part("left", "nothing has left the site about it");
    }
    for entry in left {
        let LeftView { stream, position, at, bytes, acknowledged, fields } = entry;
        let place = position.map(|position| format!(" at position {position}")).unwrap_or_default();
        let state = match acknowledged {
            Some(true) => ", the hub has it",
            Some(false) => ", waits for the hub",
            None => "",
        };
        let rows = fields.iter().map(|field| {
            let value = match &field.value {
                Value::String(text) => text.clone(),
                value => output::short(value),
            };
            vec![field.name.clone(), value, field.bytes.to_string()]
        });
        let table = output::table(&["field", "value", "bytes"], rows);
        lines.part(&format!("left: {stream}{place}, {bytes} bytes, {at}{state}"), &table);
    }
}
