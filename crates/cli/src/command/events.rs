//! `isonomy emit` and `isonomy events`: sending events, and looking at them.

use base::{Clock as _, SystemClock};
use futures::StreamExt as _;
use serde_json::{Map, Value};
use wire::EventView;

use super::{api, pages, say_next};
use crate::api::{Api, EventQuery, Part};
use crate::args::Global;
use crate::args::events::{
    EmitArgs, EventFilter, EventsArgs, EventsCommand, EventsFollow, EventsList,
};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::follow::{Tries, is_passing, reason};
use crate::input;
use crate::interrupt::Interrupt;
use crate::output;
use crate::when;

/// Attributes that have an option of their own, or none at all.
const TAKEN: [&str; 7] = ["specversion", "id", "source", "type", "subject", "data", "data_base64"];

pub async fn emit(global: &Global, args: EmitArgs) -> Outcome {
    let mut event = Map::new();
    event.insert("specversion".to_owned(), "1.0".into());
    event.insert("type".to_owned(), args.kind.into());
    event.insert("source".to_owned(), args.source.into());
    for (name, value) in [("id", args.id), ("subject", args.subject)] {
        event.extend(value.map(|value| (name.to_owned(), Value::String(value))));
    }
    for (name, value) in args.attribute {
        if TAKEN.contains(&&*name) {
            return Err(Failure::usage(format!("`--attribute {name}=…` is not possible"))
                .hint("`--id`, `--source`, `--subject` and `-d` say these"));
        }
        event.insert(name, Value::String(value));
    }
    if let Some(data) = args.data {
        event.insert("data".to_owned(), input::data(&data)?);
    }
    let accepted = api(global)?.event_send(&Value::Object(event)).await?;
    output::show(args.output.output, &accepted, || {
        let ids: Vec<&str> = accepted.events.iter().map(|event| event.id.as_str()).collect();
        ids.join("\n")
    })?;
    Ok(Exit::Ok)
}

pub async fn events(global: &Global, args: EventsArgs) -> Outcome {
    match args.command.unwrap_or(EventsCommand::List(args.list)) {
        EventsCommand::List(args) => list(global, args).await,
        EventsCommand::Follow(args) => follow(global, args).await,
    }
}

async fn list(global: &Global, args: EventsList) -> Outcome {
    let since = args.since.map(|since| when::since(&since, SystemClock.now())).transpose()?;
    let mut query = query(args.filter);
    query.since = since;
    query.oldest = args.oldest;
    let api = api(global)?;
    let page = pages(&args.page, async |part| api.event_list(&query, &part).await).await?;
    output::show(args.output.output, &page, || list_text(&page.items))?;
    say_next(page.next.as_deref());
    Ok(Exit::Ok)
}

fn query(filter: EventFilter) -> EventQuery {
    EventQuery {
        kind: filter.kind,
        source: filter.source,
        subject: filter.subject,
        run: filter.run,
        ..EventQuery::default()
    }
}

fn list_text(events: &[EventView]) -> String {
    let rows = events.iter().map(|view| {
        vec![
            view.cursor.clone(),
            when::clock(&view.at).to_owned(),
            text(view, "type"),
            text(view, "source"),
            text(view, "subject"),
            view.event.get("data").map(output::short).unwrap_or_default(),
        ]
    });
    output::table(&["cursor", "at", "type", "source", "subject", "data"], rows)
}

fn text(view: &EventView, name: &str) -> String {
    view.event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn line(view: &EventView) -> String {
    let data = view.event.get("data").map(output::short).unwrap_or_default();
    let line = format!("{} {} {data}", when::clock(&view.at), text(view, "type"));
    output::harmless(&line).replace('\n', " ")
}

async fn follow(global: &Global, args: EventsFollow) -> Outcome {
    let mut api = api(global)?;
    let mut interrupt = Interrupt::typed()?;
    let format = args.output.output;
    let query = query(args.filter);
    let mut after = match (args.after, query.run) {
        (Some(after), _) => Some(after),
        // A run is told from its beginning.
        (None, Some(_)) => None,
        (None, None) => Some(newest(&api).await?),
    };
    let mut tries = Tries::default();
    loop {
        let why = match part(&api, &query, &mut after, &mut interrupt, &mut tries, |view| {
            output::show_next(format, view, || line(view))
        })
        .await?
        {
            Came::Stop(exit) => return Ok(exit),
            Came::Lost(why) => why,
        };
        if !tries.again(&mut api, &mut interrupt, &why, None).await? {
            return Ok(Exit::Interrupted);
        }
    }
}

/// Where the events stand now, so that nothing is missed while a connection is made again.
async fn newest(api: &Api) -> Outcome<String> {
    let part = Part { limit: Some(1), cursor: None };
    let page = api.event_list(&EventQuery::default(), &part).await?;
    Ok(page.items.first().map_or_else(|| "0".to_owned(), |view| view.cursor.clone()))
}

/// What came of one connection.
enum Came {
    Stop(Exit),
    Lost(String),
}

async fn part(
    api: &Api,
    query: &EventQuery,
    after: &mut Option<String>,
    interrupt: &mut Interrupt,
    tries: &mut Tries,
    mut tell: impl FnMut(&EventView) -> Outcome<()>,
) -> Outcome<Came> {
    let events = tokio::select! {
        events = api.event_follow(query, after.as_deref()) => events,
        () = interrupt.wait() => return Ok(Came::Stop(Exit::Interrupted)),
    };
    let mut events = match events {
        Ok(events) => events,
        Err(error) if is_passing(&error) && after.is_some() => {
            return Ok(Came::Lost(reason(error)));
        }
        Err(error) => return Err(api.explain(error)),
    };
    loop {
        let next = tokio::select! {
            next = events.next() => next,
            () = interrupt.wait() => return Ok(Came::Stop(Exit::Interrupted)),
        };
        match next {
            Some(Ok(event)) => {
                let view: EventView = serde_json::from_str(&event.data).map_err(|cause| {
                    Failure::from(gateway::operator::OperatorError::Json(cause))
                })?;
                tell(&view)?;
                *tries = Tries::default();
                *after = Some(view.cursor);
            }
            Some(Err(error)) if is_passing(&error) => return Ok(Came::Lost(reason(error))),
            Some(Err(error)) => return Err(api.explain(error)),
            None => return ended(api, query).await,
        }
    }
}

/// The stream of a run ends with the run; that of a namespace only when the site goes.
async fn ended(api: &Api, query: &EventQuery) -> Outcome<Came> {
    let lost = || Ok(Came::Lost("it ended the stream".to_owned()));
    let Some(run) = query.run else { return lost() };
    let Ok(detail) = api.run_show(run).await else { return lost() };
    let state: Result<store::RunState, _> = detail.view.state.parse();
    let stands = state.is_ok_and(|state| state.has_ended() || state == store::RunState::Suspended);
    if stands { Ok(Came::Stop(Exit::Ok)) } else { lost() }
}
