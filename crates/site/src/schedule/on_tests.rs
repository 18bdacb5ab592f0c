//! Schedules by events, of a whole site.

use base::RunId;
use base::name::WorkflowKey;
use base::value::to_json_string;
use server::Caller;
use store::suite::key;
use store::{Op, Preconditions, RunQuery, ScheduleRow, Store as _};
use tokio::time::sleep;
use wire::WorkflowApply;

use crate::site::Site;

use super::definition::{Beat, Definition, Listening};
use super::tests::{MINUTE, Place, QUICK, apply, tick};

/// Its output is its input.
const SAY: &str = "{a: {set: '${ $workflow.input }'}}";

const PAIR: &str = "{on: {all: [
    {with: {type: placed}, correlate: {order: {from: '${ .data.order }'}}},
    {with: {type: paid}, correlate: {order: {from: '${ .data.order }'}}}]}}";

async fn send(site: &Site, events: &[&str]) {
    let namespace = &tick().namespace;
    for event in events {
        let text = format!("{{\"source\":\"/test\",{event}}}");
        let event = base::value::parse(text.as_bytes()).expect(&text);
        site.0.runs.event_accept(namespace, &[event]).await.expect("an event");
    }
    // Everything that follows is done before the clock of a paused runtime moves.
    sleep(MINUTE).await;
}

async fn runs(place: &Place) -> Vec<RunId> {
    let query = RunQuery { limit: 1_000, ..RunQuery::default() };
    let rows = place.store.run_list(query).await.expect("reads");
    let mut runs: Vec<RunId> = rows.iter().map(|row| row.run).collect();
    runs.sort_unstable();
    runs
}

/// What the runs have given, in the order of their events.
async fn outputs(site: &Site, place: &Place) -> Vec<String> {
    let mut outputs = Vec::new();
    for run in runs(place).await {
        let ended = site.0.runs.driver.ended(run).await.expect("it ends");
        outputs.push(to_json_string(&ended.output.expect("it has completed")));
    }
    outputs
}

fn kept(row: &ScheduleRow) -> Listening {
    match Definition::decode(&row.definition).expect("a definition").beat {
        Beat::On(kept) => kept,
        other => panic!("{other:?}"),
    }
}

fn order(kind: &str, order: u32) -> String {
    format!("\"type\":\"{kind}\",\"data\":{{\"order\":{order}}}")
}

/// Mutation: take events from before the schedule, of another type, or give the event without an
/// array around it; read `envelope` as `data`.
#[tokio::test(start_paused = true)]
async fn one_event_begins_one_run_with_an_array_of_it() {
    let place = Place::new();
    let site = place.open().await;
    send(&site, &["\"type\":\"a\",\"data\":0"]).await;
    apply(&site, "1.0.0", "{on: {one: {with: {type: a}}}}", SAY).await;
    send(&site, &["\"type\":\"a\",\"data\":1", "\"type\":\"b\",\"data\":2"]).await;
    send(&site, &["\"type\":\"a\",\"data\":3"]).await;
    assert_eq!(outputs(&site, &place).await, ["[1]", "[3]"]);
    let shown = site.0.workflows.show(&tick(), None).await.expect("it is there");
    let [only] = &shown.schedule[..] else { panic!("{:?}", shown.schedule) };
    assert_eq!(
        (only.trigger.as_str(), only.when.as_str(), &only.next_at),
        ("on", r#"{"one":{"with":{"type":"a"}}}"#, &None)
    );
    assert_eq!(only.last_run, runs(&place).await.last().map(ToString::to_string));
    let envelope = "{on: {one: {with: {type: a}}}, read: envelope}";
    apply(&site, "1.1.0", envelope, "{a: {set: '${ $workflow.input[0].type }'}}").await;
    send(&site, &["\"type\":\"a\",\"data\":4"]).await;
    assert_eq!(outputs(&site, &place).await, ["[1]", "[3]", "\"a\""]);
    site.stop().await;
}

/// Mutation: wait for all of `any`, evaluate no filter, or end a set without its `until`.
#[tokio::test(start_paused = true)]
async fn any_takes_each_event_or_all_until_the_last() {
    let place = Place::new();
    let site = place.open().await;
    let filters = "[{with: {type: a}}, {with: {type: b, data: '${ . > 10 }'}}]";
    apply(&site, "1.0.0", &format!("{{on: {{any: {filters}}}}}"), SAY).await;
    let events = ["\"type\":\"b\",\"data\":11", "\"type\":\"b\",\"data\":9"];
    send(&site, &events).await;
    send(&site, &["\"type\":\"a\",\"data\":1"]).await;
    assert_eq!(outputs(&site, &place).await, ["[11]", "[1]"]);
    let until = "until: {one: {with: {type: end}}}";
    apply(&site, "1.1.0", &format!("{{on: {{any: {filters}, {until}}}}}"), SAY).await;
    // The first ends nothing: an input has one event at least.
    send(&site, &["\"type\":\"end\"", "\"type\":\"a\",\"data\":5", "\"type\":\"a\",\"data\":6"])
        .await;
    assert_eq!(outputs(&site, &place).await.len(), 2, "not ended yet");
    send(&site, &["\"type\":\"end\""]).await;
    assert_eq!(outputs(&site, &place).await, ["[11]", "[1]", "[5,6]"]);
    site.stop().await;
}

/// Mutation: keep one open set only, forget the open ones over a restart, or match orders to others.
#[tokio::test(start_paused = true)]
async fn all_gathers_what_belongs_together_over_a_restart() {
    let place = Place::new();
    let site = place.open().await;
    apply(&site, "1.0.0", PAIR, SAY).await;
    let (first, second) = (order("placed", 1), order("placed", 2));
    send(&site, &[&first, &second, &order("paid", 3), &order("paid", 2)]).await;
    let pair = |number| format!(r#"[{{"order":{number}}},{{"order":{number}}}]"#);
    assert_eq!(outputs(&site, &place).await, [pair(2)]);
    assert_eq!(kept(&place.row().await).pending, [[1], [3]]);
    site.stop().await;
    let site = place.open().await;
    send(&site, &[&order("placed", 3), &order("paid", 1)]).await;
    assert_eq!(outputs(&site, &place).await, [pair(2), pair(3), pair(1)]);
    assert!(kept(&place.row().await).pending.is_empty());
    site.stop().await;
}

/// Mutation: make the run's id at random, move on before the run is started, or begin at the newest
/// event after a restart.
#[tokio::test(start_paused = true)]
async fn a_crash_between_run_and_row_begins_a_run_once_and_what_came_meanwhile_begins_one() {
    let place = Place::new();
    let site = place.open().await;
    apply(&site, "1.0.0", PAIR, SAY).await;
    send(&site, &[&order("placed", 1)]).await;
    let before = place.row().await;
    send(&site, &[&order("paid", 1), &order("placed", 2)]).await;
    let begun = runs(&place).await;
    assert_eq!(begun.len(), 1);
    let after = place.row().await;
    site.stop().await;
    // As if the row had not been written.
    let owner = place.store.reopen();
    owner.commit(vec![Op::SchedulePut(before)], Preconditions::none()).await.expect("written");
    let site = place.open().await;
    sleep(MINUTE).await;
    assert_eq!(runs(&place).await, begun);
    assert_eq!(place.row().await, after, "it goes on where it was");
    site.stop().await;
    // No schedule is kept, and events come.
    let other = place.closed().await;
    send(&other, &[&order("paid", 2)]).await;
    assert_eq!(runs(&place).await, begun);
    other.stop().await;
    let site = place.open().await;
    sleep(MINUTE).await;
    assert_eq!(runs(&place).await.len(), 2);
    site.stop().await;
}

/// Mutation: tell nobody of a change, begin anew with every revision, or take events from before
/// the workflow came back.
#[tokio::test(start_paused = true)]
async fn a_changed_or_deleted_workflow_begins_no_run_by_what_it_was() {
    let place = Place::new();
    let site = place.open().await;
    apply(&site, "1.0.0", PAIR, QUICK).await;
    send(&site, &[&order("placed", 1)]).await;
    apply(&site, "1.0.1", PAIR, "{a: {set: {b: 2}}}").await;
    send(&site, &[&order("paid", 1)]).await;
    assert_eq!(runs(&place).await.len(), 1, "the same events: it goes on where it was");
    apply(&site, "1.1.0", "{on: {one: {with: {type: paid}}}}", QUICK).await;
    send(&site, &[&order("placed", 2), &order("paid", 2)]).await;
    assert_eq!(runs(&place).await.len(), 2);
    site.0.workflows.delete(&Caller::named("ada"), &tick(), None).await.expect("deleted");
    send(&site, &[&order("paid", 3)]).await;
    assert_eq!(runs(&place).await.len(), 2);
    apply(&site, "1.1.0", "{on: {one: {with: {type: paid}}}}", QUICK).await;
    send(&site, &[&order("paid", 4)]).await;
    assert_eq!(runs(&place).await.len(), 3);
    site.stop().await;
}

async fn begin(site: &Site, key: WorkflowKey) {
    let order = crate::start::RunOrder {
        run: None,
        key,
        revision: None,
        input: base::value::object([]),
        labels: Vec::new(),
        tags: Vec::new(),
        priority: 0,
        beside: crate::start::Beside::Nothing,
        reason: None,
        traceparent: None,
    };
    site.0.runs.start(&Caller::named("ada"), order).await.expect("begins");
}

/// Mutation: let a workflow hear of its own runs' life, or take lifecycle events without a type.
#[tokio::test(start_paused = true)]
async fn the_life_of_its_own_runs_begins_no_run() {
    let place = Place::new();
    let site = place.open().await;
    apply(&site, "1.0.0", "{on: {any: []}}", QUICK).await;
    send(&site, &["\"type\":\"a\""]).await;
    assert_eq!(runs(&place).await.len(), 1, "its life has no part in `any: []`");
    let ends = "{on: {one: {with: {type: io.serverlessworkflow.workflow.completed.v1}}}}";
    apply(&site, "1.1.0", ends, QUICK).await;
    begin(&site, tick()).await;
    sleep(MINUTE).await;
    assert_eq!(runs(&place).await.len(), 2);
    let other = "document: {dsl: 1.0.3, namespace: default, name: other, version: 1.0.0}\ndo: [{a: {set: {b: 1}}}]\n";
    let text = other.to_owned();
    let other = WorkflowApply { text, dry_run: false, source: None, reason: None };
    let caller = Caller::named("ada");
    site.0.workflows.apply(&caller, &key("default/other"), other).await.expect("a workflow");
    begin(&site, key("default/other")).await;
    sleep(MINUTE).await;
    assert_eq!(runs(&place).await.len(), 4, "that of others does");
    site.stop().await;
}

/// Mutation: stop after a page of events, or begin the runs of a page in another order than theirs.
#[tokio::test(start_paused = true)]
async fn a_flood_of_events_begins_a_run_for_each() {
    let place = Place::new();
    let site = place.open().await;
    apply(&site, "1.0.0", "{on: {one: {with: {type: a}}}}", SAY).await;
    let event = |n| {
        base::value::parse(
            format!("{{\"source\":\"/test\",\"type\":\"a\",\"data\":{n}}}").as_bytes(),
        )
        .expect("JSON")
    };
    let events: Vec<_> = (0..300).map(event).collect();
    site.0.runs.event_accept(&tick().namespace, &events).await.expect("events");
    sleep(MINUTE).await;
    let mut numbers: Vec<u32> = Vec::new();
    for output in outputs(&site, &place).await {
        numbers.push(output.trim_matches(['[', ']']).parse().expect("a number"));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..300).collect::<Vec<_>>());
    site.stop().await;
}
