//! The driver: durable starts, cancel that reaches what is in flight, sleeping runs, following.

use std::sync::Arc;

use base::RunId;
use base::value::{array, string};
use engine::driver::{CommandError, Start, StartError};
use engine::effect::{Perform, Performed, Performer};
use futures::FutureExt;
use futures::future::BoxFuture;
use store::{RunState, Sequence, Store};
use tokio::sync::mpsc;

use crate::site::{open, site, start};
use crate::walk::by;
use crate::world::World;

/// Says when a call begins and when it is dropped; never answers.
struct Watched(mpsc::UnboundedSender<&'static str>);

struct OnDrop(mpsc::UnboundedSender<&'static str>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.send("dropped").ok();
    }
}

impl Performer for Watched {
    fn perform(&self, _: Perform) -> BoxFuture<'static, Performed> {
        let sender = self.0.clone();
        async move {
            let _on_drop = OnDrop(sender.clone());
            sender.send("begun").ok();
            std::future::pending().await
        }
        .boxed()
    }
}

const HANGS: &str = "do: [{h: {call: http, with: {method: get, endpoint: 'http://world/hang'}}}]";

/// Mutation: let the task of an abandoned effect go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_reaches_a_call_in_flight() {
    let (sender, mut events) = mpsc::unbounded_channel();
    let (_store, driver, _folder) = site(HANGS, Watched(sender)).await;
    let order = start(HANGS, "{}");
    let run = order.run;
    let ended = driver.start(order).await.expect("starts");
    assert_eq!(events.recv().await, Some("begun"));
    driver.cancel(run, by("operator")).await.expect("cancelled");
    assert_eq!(events.recv().await, Some("dropped"));
    assert_eq!(ended.await.expect("ends").state, RunState::Cancelled);
    let again = driver.cancel(run, by("operator")).await.expect_err("it is over");
    assert!(matches!(again, CommandError::Misfit(_)), "{again}");
    let missing = RunId::from_uuid(uuid::Uuid::from_u128(1));
    assert!(matches!(driver.cancel(missing, by("x")).await, Err(CommandError::Missing(_))));
}

/// Mutation: let a second start with the same id make a second run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starting_twice_starts_once() {
    let body = "do: [{a: {call: 'echo:1.0.0@default', with: {}}}]";
    let world = World::default();
    let (_store, driver, _folder) = site(body, world.clone()).await;
    driver.start(start(body, "{}")).await.expect("starts").await.expect("ends");
    let second = driver.start(start(body, "{}")).await;
    assert!(matches!(second, Err(StartError::Exists(_))));
    assert_eq!(world.books().requests.len(), 1);
    let unknown = Start { revision: base::Digest::of(b"other"), ..start(body, "{}") };
    assert!(matches!(driver.start(unknown).await, Err(StartError::Load(_))));
}

/// Mutation: keep sleeping runs in memory, or forget to wake one that was put away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleeping_run_costs_no_memory_and_wakes() {
    let body = "do: [{nap: {wait: PT3S}}, {done: {set: {awake: true}}}]";
    let (store, driver, _folder) = site(body, World::default()).await;
    let order = start(body, "{}");
    let run = order.run;
    // Nobody waits for its end, so it may be put away.
    drop(driver.start(order).await.expect("starts"));
    let mut row = store.run_get(run).await.expect("read").expect("there");
    while row.wake_at.is_none() && row.state != RunState::Completed {
        tokio::task::yield_now().await;
        row = store.run_get(run).await.expect("read").expect("there");
    }
    assert_eq!(row.state, RunState::Waiting);
    assert!(row.wake_at.is_some());
    while driver.active() > 0 {
        tokio::task::yield_now().await;
    }
    let ended = driver.ended(run).await.expect("ends");
    assert_eq!(ended.state, RunState::Completed);
}

/// Mutation: leave out what was in flight at the stop, or do it under another key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_leaves_the_rest_to_the_next_start() {
    let body = "do: [{h: {timeout: {after: PT1H}, call: http, with: {method: get, endpoint: 'http://world/ok/x'}}}]";
    let (sender, mut events) = mpsc::unbounded_channel();
    let (store, driver, _folder) = site(body, Watched(sender)).await;
    let order = start(body, "{}");
    let run = order.run;
    let _ended = driver.start(order).await.expect("starts");
    assert_eq!(events.recv().await, Some("begun"));
    driver.stop().await;
    assert_eq!(events.recv().await, Some("dropped"));
    let stopped = driver.start(start(body, "{}")).await;
    assert!(matches!(stopped, Err(StartError::Stopping)));
    let world = World::default();
    let again = open(store.clone() as Arc<dyn Store>, world.clone()).await;
    assert_eq!(again.ended(run).await.expect("ends").state, RunState::Completed);
    assert_eq!(world.books().requests.len(), 1);
}

/// Mutation: send live updates before they are durable, or drop those between journal and actor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_sees_every_record_once_and_in_order() {
    let body = "
do:
  - each: {for: {in: '${ [1,2,3,4,5] }'}, do: [{call: {call: 'echo:1.0.0@default', with: {n: '${ $item }'}}}, {nap: {wait: PT0.005S}}]}
";
    let (_store, driver, _folder) = site(body, World::default()).await;
    let order = start(body, "{}");
    let run = order.run;
    let ended = driver.start(order).await.expect("starts");
    let mut early = driver.follow(run, Sequence::ZERO).await.expect("follows");
    let mut seen = Vec::new();
    let mut notes = Vec::new();
    while let Some(update) = early.recv().await {
        seen.push(update.sequence.0);
        notes.extend(update.notes);
    }
    ended.await.expect("ends");
    let last = *seen.last().expect("something was seen");
    assert_eq!(seen, (1..=last).collect::<Vec<u64>>());
    let mut late = driver.follow(run, Sequence(3)).await.expect("follows");
    let mut again = Vec::new();
    while let Some(update) = late.recv().await {
        again.push(update.sequence.0);
    }
    assert_eq!(again, (4..=last).collect::<Vec<u64>>());
    let completed =
        notes.iter().filter(|note| matches!(note.what, engine::record::NoteKind::Completed { .. }));
    assert_eq!(completed.count(), 11);
}

/// Mutation: keep large values in the record, or write the record before its blob.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_values_stand_beside_the_journal_and_come_back() {
    let body = "do: [{a: {call: 'echo:1.0.0@default', with: {big: '${ .big }'}}}, {nap: {wait: PT0.01S}}, {b: {set: {n: '${ .big | length }'}}}]";
    let (store, driver, _folder) = site(body, World::default()).await;
    let big = array(vec![string(&"x".repeat(1000)); 3_000]);
    let order = Start { input: base::value::object([("big", big)]), ..start(body, "{}") };
    let run = order.run;
    let ended = driver.start(order).await.expect("starts").await.expect("ends");
    assert_eq!(ended.output, Some(base::value::object([("n", base::value::int(3_000))])));
    let entries = store.journal_read(run, Sequence::ZERO, 100).await.expect("read");
    assert!(entries.iter().all(|entry| entry.record.len() < 20_000));
    driver.stop().await;
    let again = open(store.clone() as Arc<dyn Store>, World::default()).await;
    assert_eq!(again.load(run).await.expect("replays").machine.ended(), Some(&ended));
}

/// Mutation: take snapshots without resetting the count, or load from the first record always.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_run_is_taken_up_from_its_snapshot() {
    let body = "do: [{each: {for: {in: .items}, do: [{call: {call: 'echo:1.0.0@default', with: {n: '${ $item }'}}}]}}]";
    let (store, driver, _folder) = site(body, World::default()).await;
    let items: Vec<_> = (0..2_500).map(base::value::int).collect();
    let order =
        Start { input: base::value::object([("items", array(items))]), ..start(body, "{}") };
    let run = order.run;
    let ended = driver.start(order).await.expect("starts").await.expect("ends");
    assert_eq!(ended.state, RunState::Completed);
    let snapshot = store.snapshot_get(run).await.expect("read").expect("there is one");
    assert!(snapshot.sequence.0 >= 2_000, "{}", snapshot.sequence);
    let loaded = driver.load(run).await.expect("loads");
    assert!(loaded.since_snapshot < 1_000);
    assert_eq!(loaded.machine.ended(), Some(&ended));
    let row = store.run_get(run).await.expect("read").expect("there");
    let mut walk = driver.walk(&row).await.expect("walks");
    while walk.next().await.expect("the whole journal replays").is_some() {}
    assert!(walk.machine == loaded.machine, "snapshot and journal lead to the same");
}

/// Mutation: put the fault's title or the plain digest of the revision into the outcome.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_says_nothing_but_the_closed_list() {
    let body = "do: [{secret-task: {raise: {error: {type: 'https://example.com/hidden', status: 400, title: hidden, detail: hidden}}}}]";
    let (store, driver, _folder) = site(body, World::default()).await;
    let order = start(body, r#"{"patient":"hidden"}"#);
    let revision = order.revision.to_string();
    driver.start(order).await.expect("starts").await.expect("ends");
    let outcomes = store.outcome_list(0, 10).await.expect("read");
    let text = std::str::from_utf8(&outcomes[0].outcome).expect("text");
    let outcome = engine::format::Outcome::decode(text.as_bytes()).expect("an outcome");
    assert_eq!(outcome.state, RunState::Faulted);
    let error = outcome.error.expect("an error");
    assert_eq!((error.kind, error.path), (base::ErrorType::Other, vec![0]));
    for secret in ["hidden", "secret", "patient", "tester", &revision[3..]] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

/// Mutation: write an outcome only where the row had not ended before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_end_has_its_outcome() {
    let body = "do: [{bang: {raise: {error: {type: 'https://example.com/e', status: 400}}}}]";
    let (store, driver, _folder) = site(body, World::default()).await;
    let order = start(body, "{}");
    let run = order.run;
    driver.start(order).await.expect("starts").await.expect("ends");
    for _ in 0..2 {
        driver.retry(run, by("operator")).await.expect("a faulted run can be retried");
    }
    let outcomes = store.outcome_list(0, 10).await.expect("read");
    assert_eq!(outcomes.iter().map(|row| row.number).collect::<Vec<_>>(), [1, 2, 3]);
}

/// Mutation: look for commands only when nothing is left to compute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_computes_for_ever_can_be_cancelled() {
    let body =
        "do: [{count: {set: {n: '${ (.n // 0) + 1 }'}}, }, {again: {set: '${ . }', then: count}}]";
    let (_store, driver, _folder) = site(body, World::default()).await;
    let order = start(body, "{}");
    let run = order.run;
    let ended = driver.start(order).await.expect("starts");
    driver.cancel(run, by("operator")).await.expect("it hears the command");
    assert_eq!(ended.await.expect("ends").state, RunState::Cancelled);
}

/// Mutation: look for timers only when nothing is left to compute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_computes_for_ever_is_cut_off_by_its_timeout() {
    let body = "timeout: {after: PT0.05S}\ndo: [{count: {set: {n: '${ (.n // 0) + 1 }'}}}, {again: {set: '${ . }', then: count}}]";
    let (_store, driver, _folder) = site(body, World::default()).await;
    let ended = driver.start(start(body, "{}")).await.expect("starts").await.expect("ends");
    assert_eq!(ended.fault.expect("a fault").kind(), base::ErrorType::Timeout);
}
