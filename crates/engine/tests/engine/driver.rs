//! The driver: durable starts, cancel that reaches what is in flight, sleeping runs, following.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::limits::VALUE_DEPTH_MAX;
use base::value::{array, string};
use base::{RunId, Value};
use engine::driver::{CommandError, Start, StartError, Summary, record};
use engine::effect::{Certainty, Perform, Performed, Performer};
use engine::record::{Control, Record};
use futures::FutureExt;
use futures::future::BoxFuture;
use store::memory::MemoryStore;
use store::{
    CommitError, EventQuery, Op, Preconditions, RunQuery, RunRow, RunState, Sequence, Store,
};
use tokio::sync::mpsc;

use crate::family::HANG;
use crate::site::{open, open_store, put_revision, site, start};
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
    assert_eq!(driver.active(), 1);
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
    let (sender, mut ends) = mpsc::unbounded_channel();
    driver.on_end(move |run| {
        sender.send(run).ok();
    });
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
    // Nobody asks for it either: to ask would take it up.
    assert_eq!(ends.recv().await, Some(run));
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
    assert_eq!(driver.active(), 0, "nobody is left behind");
    let stopped = driver.start(start(body, "{}")).await;
    assert!(matches!(stopped, Err(StartError::Stopping)));
    let world = World::default();
    let again = open(store.clone() as Arc<dyn Store>, world.clone()).await;
    assert_eq!(again.ended(run).await.expect("ends").state, RunState::Completed);
    assert_eq!(world.books().requests.len(), 1);
}

/// Answers each call when the test says so, and says when one begins.
#[derive(Clone)]
pub struct Gated {
    pub begun: mpsc::UnboundedSender<()>,
    pub gate: Arc<tokio::sync::Semaphore>,
    calls: Arc<AtomicU64>,
}

impl Gated {
    pub fn new() -> (Self, mpsc::UnboundedReceiver<()>) {
        let (begun, begins) = mpsc::unbounded_channel();
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        (Self { begun, gate, calls: Arc::default() }, begins)
    }

    pub fn open(&self, calls: usize) {
        self.gate.add_permits(calls);
    }
}

impl Performer for Gated {
    fn perform(&self, _: Perform) -> BoxFuture<'static, Performed> {
        let gated = self.clone();
        async move {
            gated.calls.fetch_add(1, Ordering::SeqCst);
            gated.begun.send(()).ok();
            gated.gate.acquire().await.expect("never closed").forget();
            let result = Ok(Value::Null);
            Performed {
                result,
                certainty: Certainty::Definite,
                decision: None,
                lists: Vec::new(),
                labels: Vec::new(),
            }
        }
        .boxed()
    }
}

pub const TWO_CALLS: &str = "
do:
  - one: {call: 'echo:1.0.0@default', with: {}}
  - two: {call: 'echo:1.0.0@default', with: {}}
";

/// Mutation: drop the result of a call that ends while the driver stops, and do it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_writes_down_what_still_comes_in() {
    let (gated, mut begins) = Gated::new();
    let (store, driver, _folder) = site(TWO_CALLS, gated.clone()).await;
    let order = start(TWO_CALLS, "{}");
    let run = order.run;
    let _ended = driver.start(order).await.expect("starts");
    begins.recv().await.expect("the first call begins");
    // The stop is asked for before the answer comes: `join!` looks at its parts in turn.
    futures::join!(driver.stop(), async { gated.open(1) });
    assert_eq!(gated.calls.load(Ordering::SeqCst), 1, "nothing new is begun");
    let again = open(store.clone() as Arc<dyn Store>, gated.clone()).await;
    gated.open(1);
    assert_eq!(again.ended(run).await.expect("ends").state, RunState::Completed);
    assert_eq!(gated.calls.load(Ordering::SeqCst), 2, "each call once");
}

/// Mutation: take up one page of runs only, or the same page again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_takes_up_every_unfinished_run() {
    const RUNS: u128 = 501;
    let (gated, mut begins) = Gated::new();
    let (store, driver, _folder) = site(TWO_CALLS, gated.clone()).await;
    let run = |n: u128| RunId::from_uuid(uuid::Uuid::from_u128((0x0190_0000_0000_7000 << 64) + n));
    for n in 0..RUNS {
        driver.start(Start { run: run(n), ..start(TWO_CALLS, "{}") }).await.expect("starts");
        begins.recv().await.expect("its first call begins");
    }
    driver.stop().await;
    let (gated, _begins) = Gated::new();
    gated.open(2 * RUNS as usize);
    let (sender, mut ends) = mpsc::unbounded_channel();
    let again = open(store.clone() as Arc<dyn Store>, gated).await;
    again.on_end(move |run| {
        sender.send(run).ok();
    });
    let unfinished = async {
        let query = RunQuery { states: vec![RunState::Running], limit: 1, ..RunQuery::default() };
        while !store.run_list(query.clone()).await.expect("a list").is_empty() {
            ends.recv().await.expect("another one ends");
        }
    };
    let done = tokio::time::timeout(HANG, unfinished).await;
    done.expect("all of them go on without being asked for");
}

/// Mutation: take a suspended run up at the start, wait for its end for ever, or act for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_journal_was_doctored_is_left_to_a_person() {
    let (gated, mut begins) = Gated::new();
    let (whole, driver, _folder) = site(TWO_CALLS, gated).await;
    let order = start(TWO_CALLS, "{}");
    let run = order.run;
    drop(driver.start(order).await.expect("starts"));
    begins.recv().await.expect("the first call begins");
    driver.stop().await;
    let row = whole.run_get(run).await.expect("read").expect("there");
    let entry = whole.journal_read(run, Sequence::ZERO, 1).await.expect("read").remove(0);
    let first = record(&*whole, &entry).await.expect("a record");
    let doctored = Record { control: Control(first.control.0 ^ 1), ..first };

    let folder = tempfile::tempdir().expect("a folder");
    let store = open_store(folder.path());
    put_revision(&*store, TWO_CALLS).await;
    let record = doctored.encode().bytes.into();
    let append = Op::JournalAppend { run, sequence: Sequence(1), record };
    let ops = vec![Op::RunCreate(row), append];
    store.commit(ops, Preconditions::none()).await.expect("the store writes");
    for _ in 0..2 {
        let world = World::default();
        let again = open(store.clone() as Arc<dyn Store>, world.clone()).await;
        let state = async || store.run_get(run).await.expect("read").expect("there").state;
        let noticed = async {
            while state().await != RunState::Suspended {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(HANG, noticed).await.expect("it is noticed without being asked for");
        let ended = tokio::time::timeout(HANG, again.ended(run)).await.expect("an answer");
        assert!(matches!(ended, Err(CommandError::Suspended(..))), "{ended:?}");
        let mut follower = again.follow(run, Sequence(1)).await.expect("follows");
        let told = tokio::time::timeout(HANG, follower.recv()).await.expect("an answer");
        assert!(told.is_none(), "{told:?}");
        again.stop().await;
        assert_eq!(world.books().requests.len(), 0);
    }
    let ended_at = Some(crate::walk::START);
    let row = store.run_get(run).await.expect("read").expect("there");
    let row = RunRow { state: RunState::Completed, ended_at, ..row };
    store.commit(vec![Op::RunUpdate(row)], Preconditions::none()).await.expect("writes");
    let again = open(store.clone() as Arc<dyn Store>, World::default()).await;
    again.cancel(run, by("operator")).await.expect_err("its journal cannot be followed");
    let row = store.run_get(run).await.expect("read").expect("there");
    assert_eq!(row.state, RunState::Completed, "what has ended stands still already");
    let kinds = lifecycle(&*store).await;
    assert_eq!(kinds, ["suspended"], "told once, however often it is looked at");
}

pub async fn lifecycle(store: &dyn Store) -> Vec<String> {
    let namespace = start(TWO_CALLS, "{}").key.namespace;
    let rows = store.event_list(EventQuery::of(namespace, 99)).await.expect("reads");
    let word = |kind: &str| kind.rsplit('.').nth(1).map(str::to_owned);
    rows.iter().filter_map(|row| word(&row.kind)).collect()
}

/// Mutation: tell nobody that a run goes on again, or keep in its row why it stood still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_run_that_can_be_followed_again_goes_on() {
    let (gated, mut begins) = Gated::new();
    let (store, driver, _folder) = site(TWO_CALLS, gated.clone()).await;
    let order = start(TWO_CALLS, "{}");
    let run = order.run;
    drop(driver.start(order).await.expect("starts"));
    begins.recv().await.expect("the first call begins");
    driver.stop().await;
    // As a program that could not follow the journal has left it.
    let row = store.run_get(run).await.expect("read").expect("there");
    let row = RunRow { state: RunState::Suspended, ..row };
    store.commit(vec![Op::RunUpdate(row)], Preconditions::none()).await.expect("writes");
    let again = open(store.clone() as Arc<dyn Store>, gated.clone()).await;
    again.cancel(run, by("operator")).await.expect("it can be followed");
    assert_eq!(again.ended(run).await.expect("ends").state, RunState::Cancelled);
    assert_eq!(lifecycle(&*store).await, ["started", "resumed", "cancelled"]);
}

/// Mutation: leave the error in the row of a run that goes on, or show none in that of one that
/// faulted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_row_of_a_run_shows_its_error_until_it_goes_on() {
    let body = "
do:
  - ask: {call: http, with: {method: get, endpoint: 'http://world/bad-then-ok'}}
  - hear: {listen: {to: {one: {with: {type: a}}}}}
";
    let (store, driver, _folder) = site(body, World::default()).await;
    let order = start(body, "{}");
    let run = order.run;
    driver.start(order).await.expect("starts").await.expect("ends");
    let summary = async || {
        let row = store.run_get(run).await.expect("read").expect("there");
        Summary::decode(&row.summary).expect("a summary")
    };
    let faulted = summary().await;
    assert_eq!(faulted.fault.expect("an error").status, 400);
    assert_eq!((faulted.usage.tasks, faulted.usage.effects), (1, 1));
    driver.retry(run, by("operator")).await.expect("a faulted run can be retried");
    let mut follower = driver.follow(run, Sequence::ZERO).await.expect("follows");
    while follower.recv().await.expect("it goes on").state != RunState::Waiting {}
    let going = summary().await;
    assert_eq!((going.fault, going.usage.effects), (None, 2));
    driver.cancel(run, by("operator")).await.expect("a waiting run can be cancelled");
    let row = store.run_get(run).await.expect("read").expect("there");
    let first = engine::driver::started(&*store, &row).await.expect("its first record");
    assert_eq!(first.owner, "tester");
}

/// Gives what no journal could give back.
struct Deep;

impl Performer for Deep {
    fn perform(&self, _: Perform) -> BoxFuture<'static, Performed> {
        let deep = (0..=VALUE_DEPTH_MAX).fold(Value::Null, |inner, _| array(vec![inner]));
        let performed = Performed {
            result: Ok(deep),
            certainty: Certainty::Definite,
            decision: None,
            lists: Vec::new(),
            labels: Vec::new(),
        };
        std::future::ready(performed).boxed()
    }
}

/// Mutation: record what cannot be read again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_cannot_be_read_back_is_an_error() {
    for call in [
        "call: 'echo:1.0.0@default', with: {}",
        "call: http, with: {method: get, endpoint: 'http://world/ok/x'}",
    ] {
        let body = format!("do: [{{a: {{{call}}}}}]");
        let (_store, driver, _folder) = site(&body, Deep).await;
        let ended = driver.start(start(&body, "{}")).await.expect("starts").await.expect("ends");
        assert_eq!(ended.fault.expect("a fault").title.as_deref(), Some("Value too large"));
    }
}

/// Mutation: write whatever the store's owner is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_lost_the_store_writes_no_more() {
    let incarnation = base::IncarnationId::new(crate::walk::START, &base::SystemRandom);
    let store = Arc::new(MemoryStore::new(incarnation));
    put_revision(&*store, TWO_CALLS).await;
    let driver = open(store.clone() as Arc<dyn Store>, World::default()).await;
    let _next = store.reopen();
    let refused = driver.start(start(TWO_CALLS, "{}")).await.expect_err("it is another's now");
    let moved = StartError::Commit(CommitError::EpochMoved { current: 2, got: 1 });
    assert_eq!(refused.to_string(), moved.to_string());
}

/// Mutation: forget at the start that a run had more to compute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_computes_goes_on_computing_after_a_start() {
    let body =
        "do: [{count: {set: {n: '${ (.n // 0) + 1 }'}}}, {again: {set: '${ . }', then: count}}]";
    let (store, driver, _folder) = site(body, World::default()).await;
    let order = start(body, "{}");
    let run = order.run;
    drop(driver.start(order).await.expect("starts"));
    driver.stop().await;
    let last = async || {
        let entries = store.journal_read(run, Sequence::ZERO, u32::MAX).await.expect("reads");
        entries.last().expect("it was started").sequence
    };
    let before = last().await;
    let again = open(store.clone() as Arc<dyn Store>, World::default()).await;
    let mut follower = again.follow(run, before).await.expect("follows");
    let next = tokio::time::timeout(HANG, follower.recv()).await.expect("it goes on");
    assert_eq!(next.expect("another record").sequence, before.next());
    again.cancel(run, by("operator")).await.expect("it hears the command");
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
    let body = "do: [{each: {for: {in: .items}, do: [{call: {call: http, with: {method: post, endpoint: 'http://world/ok/x', body: '${ $item }'}}}]}}]";
    let (store, driver, _folder) = site(body, World::default()).await;
    let items: Vec<_> = (0..2_100).map(base::value::int).collect();
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
    let outcome = base::Outcome::decode(text.as_bytes()).expect("an outcome");
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

/// Its results are there at once, so that it never waits for one.
const QUICK_FOR_EVER: &str =
    "do: [{quick: {call: 'echo:1.0.0@default', with: {}}}, {again: {set: '${ . }', then: quick}}]";

/// Mutation: look for commands only when no result is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_quick_functions_can_be_cancelled() {
    let (_store, driver, _folder) = site(QUICK_FOR_EVER, World::default()).await;
    let order = start(QUICK_FOR_EVER, "{}");
    let run = order.run;
    let ended = driver.start(order).await.expect("starts");
    driver.cancel(run, by("operator")).await.expect("it hears the command");
    assert_eq!(ended.await.expect("ends").state, RunState::Cancelled);
}

/// Mutation: look for timers only when no result is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_quick_functions_is_cut_off_by_its_timeout() {
    let body = format!("timeout: {{after: PT0.05S}}\n{QUICK_FOR_EVER}");
    let (_store, driver, _folder) = site(&body, World::default()).await;
    let ended = driver.start(start(&body, "{}")).await.expect("starts").await.expect("ends");
    assert_eq!(ended.fault.expect("a fault").kind(), base::ErrorType::Timeout);
}

/// Mutation: look for timers only when nothing is left to compute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_computes_for_ever_is_cut_off_by_its_timeout() {
    let body = "timeout: {after: PT0.05S}\ndo: [{count: {set: {n: '${ (.n // 0) + 1 }'}}}, {again: {set: '${ . }', then: count}}]";
    let (_store, driver, _folder) = site(body, World::default()).await;
    let ended = driver.start(start(body, "{}")).await.expect("starts").await.expect("ends");
    assert_eq!(ended.fault.expect("a fault").kind(), base::ErrorType::Timeout);
}
