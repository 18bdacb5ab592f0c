//! Events through a driver and a store: waking, crashing, listening on.

use std::sync::Arc;

use base::value::to_json_string;
use engine::driver::{Driver, record};
use engine::event::{Defaults, Event};
use engine::record::{Happened, NoteKind, Record};
use store::{EventQuery, EventRow, Op, Preconditions, RunRow, RunState, Sequence, Store};
use store_sqlite::SqliteStore;

use crate::family::HANG;
use crate::site::{open, open_store, put_revision, site, start};
use crate::walk::{START, by, started, value, workflow};
use crate::world::World;

fn row(n: u64) -> EventRow {
    of_kind("step", n)
}

fn of_kind(kind: &str, n: u64) -> EventRow {
    let json = format!(r#"{{"type":"{kind}","id":"{kind}-{n}","source":"/outside","data":{n}}}"#);
    let defaults = Defaults { id: &String::new, source: None, time: START };
    let event = Event::parse(&value(&json), &defaults).expect("a test's own event");
    event.row(&started(&workflow("do: []"), "{}").key.namespace, None, 0, START)
}

/// Waits until the run has noted this.
async fn noted(driver: &Driver, run: base::RunId, wanted: impl Fn(&NoteKind) -> bool) {
    let mut updates = driver.follow(run, Sequence::ZERO).await.expect("a run to follow");
    while let Some(update) = updates.recv().await {
        if update.notes.iter().any(|note| wanted(&note.what)) {
            return;
        }
    }
    panic!("the run has ended without it");
}

async fn journal(store: &SqliteStore, run: base::RunId) -> Vec<Record> {
    let mut records = Vec::new();
    for entry in store.journal_read(run, Sequence::ZERO, 10_000).await.expect("a journal") {
        records.push(record(store, &entry).await.expect("a record"));
    }
    records
}

const BODY: &str = "
do:
  - hear:
      listen: {to: {any: [{with: {type: step, data: '${ . > 0 }'}}], until: '${ length == 5 }'}}
      foreach:
        do: [{call: {call: http, with: {method: post, endpoint: 'http://world/ok/x', body: '${ $item }'}}}]
        output: {as: '${ $item }'}
";

const OUTPUT: &str = "[1,2,3,4,5]";

/// The events that come: those wanted, in order, among others.
fn events() -> Vec<EventRow> {
    let all = [
        row(1),
        of_kind("other", 1),
        row(2),
        row(0),
        row(3),
        row(4),
        of_kind("x", 9),
        row(5),
        row(6),
    ];
    all.to_vec()
}

/// Mutation: raise nobody after a commit from outside, or read the store before registering.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listening_run_is_woken_by_its_events() {
    let (store, driver, _folder) = site(BODY, World::default()).await;
    let order = start(BODY, "{}");
    let run = order.run;
    driver.event_append(vec![row(7)]).await.expect("an event from before the run");
    let ended = driver.start(order).await.expect("the run starts");
    noted(&driver, run, |note| *note == NoteKind::Listening).await;
    let waiting = store.run_get(run).await.expect("reads").expect("there");
    assert_eq!((waiting.state, waiting.wake_at), (RunState::Waiting, None));
    for event in events() {
        driver.event_append(vec![event]).await.expect("an event is taken in");
    }
    let ended = ended.await.expect("the run ends");
    assert_eq!(to_json_string(&ended.output.expect("an output")), OUTPUT);
    driver.stop().await;
}

/// Whatever was written when the site died, and whether the events came before, during or after:
/// each is dealt with once, in order.
///
/// Mutation: write the event without the cursor, take the cursor from memory, or begin at the newest
/// event after a start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_is_lost_or_seen_twice_over_a_crash() {
    let (store, driver, _folder) = site(BODY, World::default()).await;
    let order = start(BODY, "{}");
    let run = order.run;
    let ended = driver.start(order).await.expect("the run starts");
    noted(&driver, run, |note| *note == NoteKind::Listening).await;
    driver.event_append(events()).await.expect("events are taken in");
    ended.await.expect("the run ends");
    driver.stop().await;
    let records = journal(&store, run).await;
    let of_run = store.event_list(EventQuery::of(row(0).namespace, 500)).await.expect("reads");
    for length in 1..records.len() {
        for late in [false, true] {
            let prefix = &records[..length];
            let is_first = |one: &Record| !matches!(one.happened, Happened::Received(_));
            if late && !prefix.iter().all(is_first) {
                continue;
            }
            let place = format!("{length} of {}, late: {late}", records.len());
            let (output, heard) = resumed(prefix, &of_run, late).await;
            assert_eq!(output, OUTPUT, "{place}");
            assert_eq!(heard, ["step-1", "step-2", "step-3", "step-4", "step-5"], "{place}");
        }
    }
}

/// Goes on from a prefix. Gives the output, and the ids of what was heard, from the journal.
async fn resumed(prefix: &[Record], stored: &[EventRow], late: bool) -> (String, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_store(folder.path());
    put_revision(&*store, BODY).await;
    let started = started(&workflow(BODY), "{}");
    let summary = r#"{"version":"1.0.0","priority":0,"traceparent":"","started_by":"tester"}"#;
    let mut ops = vec![Op::RunCreate(RunRow {
        run: started.run,
        key: started.key,
        revision: started.revision,
        state: RunState::Running,
        created_at: START,
        updated_at: START,
        ended_at: None,
        wake_at: None,
        summary: summary.into(),
    })];
    for record in prefix {
        let (run, sequence) = (started.run, record.sequence);
        ops.push(Op::JournalAppend { run, sequence, record: record.encode().bytes.into() });
    }
    // What the run had written by then lies before all events from outside.
    let first = stored.iter().take_while(|row| row.run.is_some());
    ops.extend(first.cloned().map(Op::EventAppend));
    if !late {
        ops.extend(events().into_iter().map(Op::EventAppend));
    }
    store.commit(ops, Preconditions::none()).await.expect("the prefix is written");
    let driver = open(store.clone(), World::default()).await;
    if late {
        driver.event_append(events()).await.expect("events are taken in");
    }
    let ended = driver.ended(started.run).await.expect("the run ends");
    driver.stop().await;
    let heard =
        journal(&store, started.run).await.into_iter().filter_map(|one| match one.happened {
            Happened::Received(received) => base::value::get(&received.event, "id")
                .and_then(base::value::as_str)
                .map(str::to_owned),
            _ => None,
        });
    (to_json_string(&ended.output.expect("an output")), heard.collect())
}

/// Mutation: keep what a slow evaluation gave for the next event, or stop reading after one page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_events_and_a_filter_outside_the_process() {
    let body = "
do:
  - both:
      fork:
        branches:
          - all: {listen: {to: {any: [{with: {type: step}}], until: '${ length == 100 }'}}, output: {as: '${ [.[0], .[99], length] }'}}
          - odd: {listen: {to: {any: [{with: {type: step, subject: '${ limit(1; repeat(1)) }'}}], until: '${ length == 10 }'}}}
";
    let (_store, driver, _folder) = site(body, World::default()).await;
    let order = start(body, "{}");
    let run = order.run;
    let ended = driver.start(order).await.expect("the run starts");
    noted(&driver, run, |note| *note == NoteKind::Listening).await;
    for chunk in (1..=100_u64).collect::<Vec<_>>().chunks(7) {
        let rows = chunk.iter().map(|n| {
            let subject = if n % 10 == 0 { "outside" } else { "inside" };
            let json = format!(
                r#"{{"type":"step","id":"{n}","source":"/outside","subject":"{subject}","data":{n}}}"#
            );
            let defaults = Defaults { id: &String::new, source: None, time: START };
            let event = Event::parse(&value(&json), &defaults).expect("a test's own event");
            event.row(&row(0).namespace, None, 0, START)
        });
        driver.event_append(rows.collect()).await.expect("events are taken in");
    }
    let ended = ended.await.expect("the run ends");
    assert_eq!(
        to_json_string(&ended.output.expect("an output")),
        "[[1,100,100],[10,20,30,40,50,60,70,80,90,100]]"
    );
    driver.stop().await;
}

/// Mutation: put a listening run away until its timeout, where no event finds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listening_run_that_nobody_watches_hears() {
    let body = "do: [{hear: {timeout: {after: PT1H}, listen: {to: {one: {with: {type: step}}}}}}]";
    let (store, driver, _folder) = site(body, World::default()).await;
    let (sender, mut ends) = tokio::sync::mpsc::unbounded_channel();
    driver.on_end(move |run| {
        sender.send(run).ok();
    });
    let order = start(body, "{}");
    let run = order.run;
    drop(driver.start(order).await.expect("starts"));
    let waits = async {
        while store.run_get(run).await.expect("reads").expect("there").state != RunState::Waiting {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(HANG, waits).await.expect("it listens");
    assert_eq!(driver.active(), 1, "it stays where events find it");
    driver.event_append(vec![row(1)]).await.expect("an event is taken in");
    let ended = tokio::time::timeout(HANG, ends.recv()).await.expect("it hears");
    assert_eq!(ended, Some(run));
    driver.stop().await;
}

/// Mutation: read one page of events, none of which is taken, and wait for the next one to come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_nobody_takes_hide_none_that_somebody_does() {
    let body = "do: [{hear: {listen: {to: {one: {with: {data: '${ . == 1000 }'}}}}}}]";
    let (_store, driver, _folder) = site(body, World::default()).await;
    let order = start(body, "{}");
    let run = order.run;
    let ended = driver.start(order).await.expect("the run starts");
    noted(&driver, run, |note| *note == NoteKind::Listening).await;
    driver.event_append((901..=1000).map(row).collect()).await.expect("events are taken in");
    let ended = tokio::time::timeout(HANG, ended).await.expect("it hears the last one");
    assert_eq!(ended.expect("ends").output.as_ref().map(to_json_string).as_deref(), Some("[1000]"));
    driver.stop().await;
}

/// Mutation: take results that are there before looking for events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_of_quick_functions_keeps_no_event_from_another() {
    let body = "do:
- both:
    fork:
      compete: true
      branches:
        - hear: {listen: {to: {any: [{with: {type: step}}]}}}
        - busy: {do: [{quick: {call: 'echo:1.0.0@default', with: {}}}, {again: {set: '${ . }', then: quick}}]}";
    let (_store, driver, _folder) = site(body, World::default()).await;
    let order = start(body, "{}");
    let run = order.run;
    let ended = driver.start(order).await.expect("the run starts");
    noted(&driver, run, |note| *note == NoteKind::Listening).await;
    driver.event_append(vec![row(1)]).await.expect("an event is taken in");
    let ended = tokio::time::timeout(HANG, ended).await.expect("it hears the event");
    assert_eq!(ended.expect("ends").state, RunState::Completed);
    driver.stop().await;
}

/// Mutation: put a listening run away at its timeout's distance, or keep it from timing out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listening_run_times_out_and_can_be_cancelled() {
    let body = "do: [{hear: {timeout: {after: PT0.05S}, listen: {to: {any: []}}}}]";
    let (_store, driver, _folder) = site(body, World::default()).await;
    let ended = driver.start(start(body, "{}")).await.expect("starts").await.expect("ends");
    assert_eq!(ended.fault.expect("a fault").status, 408);
    driver.stop().await;
    let body = "do: [{hear: {timeout: {after: PT1H}, listen: {to: {any: []}}}}]";
    let (store, driver, _folder) = site(body, World::default()).await;
    let order = start(body, "{}");
    let run = order.run;
    let ended = driver.start(order).await.expect("starts");
    noted(&driver, run, |note| *note == NoteKind::Listening).await;
    assert_eq!(store.run_get(run).await.expect("reads").expect("there").wake_at, None);
    driver.cancel(run, by("ada")).await.expect("a listening run can be cancelled");
    assert_eq!(ended.await.expect("ends").state, RunState::Cancelled);
    driver.stop().await;
}

/// Mutation: leave a kind out, tell an end twice, or write what the site does not want.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_life_of_a_run_is_written_with_it() {
    let body = "do: [{hear: {listen: {to: {any: [{with: {type: step}}]}}}}, {bad: {call: http, with: {method: get, endpoint: 'http://world/bad-then-ok'}}}]";
    let (store, driver, _folder) = site(body, World::default()).await;
    let order = start(body, "{}");
    let run = order.run;
    let ended = driver.start(order).await.expect("starts");
    noted(&driver, run, |note| *note == NoteKind::Listening).await;
    driver.event_append(vec![row(1)]).await.expect("an event is taken in");
    ended.await.expect("it faults");
    driver.retry(run, by("ada")).await.expect("a faulted run can be retried");
    driver.ended(run).await.expect("it ends");
    driver.stop().await;
    let rows = store.event_list(EventQuery::of(row(0).namespace, 99)).await.expect("reads");
    let kinds: Vec<&str> = rows
        .iter()
        .filter_map(|row| row.kind.strip_prefix("io.serverlessworkflow.workflow."))
        .collect();
    assert_eq!(
        kinds,
        [
            "started.v1",
            "correlation-started.v1",
            "correlation-completed.v1",
            "faulted.v1",
            "resumed.v1",
            "completed.v1"
        ]
    );
    assert!(rows.iter().filter(|row| row.run.is_some()).all(|row| row.number == 0));
    let store: Arc<dyn Store> = store;
    assert_eq!(store.event_last(), rows.last().expect("events").position);
}

/// Mutation: offer a listener that was busy the next event of the queue, whatever it has missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_listener_misses_nothing_that_another_has_taken() {
    let body = "
do:
  - both:
      fork:
        branches:
          - busy:
              listen: {to: {any: [{with: {type: step}}], until: '${ length == 20 }'}}
              foreach:
                do: [{call: {call: http, with: {method: post, endpoint: 'http://world/ok/x'}}}, {nap: {wait: PT0.001S}}]
                output: {as: '${ $item }'}
          - quick: {listen: {to: {any: [{with: {type: step}}], until: '${ length == 20 }'}}}
";
    let (_store, driver, _folder) = site(body, World::default()).await;
    let order = start(body, "{}");
    let run = order.run;
    let ended = driver.start(order).await.expect("the run starts");
    noted(&driver, run, |note| *note == NoteKind::Listening).await;
    driver.event_append((1..=20).map(row).collect()).await.expect("events are taken in");
    let ended = ended.await.expect("the run ends");
    let all: Vec<String> = (1..=20).map(|n| n.to_string()).collect();
    let all = all.join(",");
    let output = to_json_string(&ended.output.expect("an output"));
    assert_eq!(output, format!("[[{all}],[{all}]]"));
    driver.stop().await;
}

/// A listener deals with each of many events by a step of its own: the commit that says it is done with
/// one takes the next.
///
/// Mutation: let go of what was read while a listener is busy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_listener_takes_the_next_event_with_the_result_of_the_last() {
    let body = "
do:
  - hear:
      listen: {to: {any: [{with: {type: step}}], until: '${ length == 200 }'}}
      foreach:
        do: [{call: {call: http, with: {method: post, endpoint: 'http://world/ok/x'}}}]
        output: {as: '${ $item }'}
  - count: {set: {n: '${ length }'}}
";
    let (store, driver, _folder) = site(body, World::default()).await;
    let order = start(body, "{}");
    let run = order.run;
    let ended = driver.start(order).await.expect("the run starts");
    noted(&driver, run, |note| *note == NoteKind::Listening).await;
    driver.event_append((1..=200).map(row).collect()).await.expect("events are taken in");
    let before = store.stats().commits;
    let ended = ended.await.expect("the run ends");
    assert_eq!(to_json_string(&ended.output.expect("an output")), r#"{"n":200}"#);
    // A page may come too late now and then; two commits for each event would be 400.
    let commits = store.stats().commits - before;
    assert!((200..300).contains(&commits), "{commits}");
    driver.stop().await;
}

/// Mutation: say that what a listener has not looked at is history, that all is needed since it began, or
/// forget of a run that stands still what it has to hear.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_has_still_to_hear_is_known() {
    let body = "do: [{hear: {listen: {to: {all: [{with: {type: step}}, {with: {type: last}}]}}}}]";
    let (store, driver, _folder) = site(body, World::default()).await;
    let order = start(body, "{}");
    let run = order.run;
    let ended = driver.start(order).await.expect("the run starts");
    noted(&driver, run, |note| *note == NoteKind::Listening).await;
    driver.event_append(vec![of_kind("other", 1), row(1)]).await.expect("events are taken in");
    noted(&driver, run, |note| matches!(note, NoteKind::Received { .. })).await;
    driver.event_append(vec![of_kind("other", 2)]).await.expect("events are taken in");
    let needed = async |wanted: Option<u64>| {
        let same = async {
            while driver.events_needed().await.expect("reads") != wanted {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(HANG, same).await.expect("it is known");
    };
    needed(None).await;
    driver.suspend(run, by("ada")).await.expect("it stands still");
    driver.event_append(vec![of_kind("other", 3), of_kind("last", 4)]).await.expect("written");
    let last = store.event_last();
    // All behind what it has looked at: what it would make of that is not asked while it stands still.
    let of_suspended = async |driver: &engine::driver::Driver| {
        driver.events_needed().await.expect("reads").is_some_and(|at| at > 1 && at < last)
    };
    let kept = async {
        while !of_suspended(&driver).await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(HANG, kept).await.expect("it is kept");
    drop(ended);
    driver.resume(run, by("ada")).await.expect("it goes on");
    assert_eq!(driver.ended(run).await.expect("it ends").state, RunState::Completed);
    needed(None).await;
    driver.stop().await;
}
