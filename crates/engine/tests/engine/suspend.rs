//! A run that a person has stand still, and go on again.

use std::sync::Arc;

use base::{By, RunId, Value};
use engine::driver::{CommandError, Driver, Summary, Told};
use engine::machine::Misfit;
use engine::record::Happened;
use store::{Op, Preconditions, RunRow, RunState, Sequence, Store};
use store_sqlite::SqliteStore;
use tokio::sync::mpsc;

use crate::crash::{CASES, Case};
use crate::driver::{Gated, TWO_CALLS, lifecycle};
use crate::family::HANG;
use crate::follow::GatedEvaluator;
use crate::site::{open, open_store, open_with, put_revision, site, start};
use crate::walk::{Walk, by};
use crate::world::World;

/// The run, suspended after so many turns, with everything answered meanwhile, and resumed. `None`
/// where it ends before.
fn suspended_after(case: &Case, turns: usize) -> Option<Walk> {
    let mut walk = Walk::start(case.body, case.input);
    for _ in 0..turns {
        if !walk.turn() {
            break;
        }
    }
    walk.machine.ended().is_none().then_some(())?;
    walk.feed(Happened::SuspendRequested(by("operator")));
    let begun = walk.begun();
    assert!(walk.machine.outstanding().is_empty(), "{}", case.name);
    assert!(!walk.event_turn(), "{}: an event is taken", case.name);
    while walk.machine.ended().is_none() && walk.answer() {}
    assert_eq!(walk.begun(), begun, "{}: a task begins", case.name);
    if walk.machine.ended().is_none() {
        assert_eq!(walk.machine.state(), RunState::Suspended);
        assert!(!walk.machine.is_unfinished());
        walk.feed(Happened::ResumeRequested(by("operator")));
    }
    Some(walk.finish())
}

/// Mutation: let a result move a run that stands still, forget it, or ask for nothing again.
#[test]
fn a_run_ends_the_same_wherever_it_stood_still() {
    for case in &CASES {
        let expected = Walk::run(case.body, case.input).output();
        let mut turns = 0;
        while let Some(walk) = suspended_after(case, turns) {
            assert_eq!(walk.output(), expected, "{}, after {turns} turns", case.name);
            turns += 1;
        }
        assert!(turns > 0, "{}: {turns}", case.name);
    }
}

/// Mutation: fire a timer of a run that stands still, suspend it twice, resume one that goes on, or
/// retry it.
#[test]
fn what_a_suspended_run_refuses() {
    let mut walk = Walk::start("do: [{nap: {wait: {seconds: 5}}}]", "{}");
    let refused = |walk: &mut Walk, happened| {
        walk.machine.handle(walk.now, &happened).expect_err("it does not fit")
    };
    let resume = Happened::ResumeRequested(by("operator"));
    assert_eq!(refused(&mut walk, resume.clone()), Misfit::NotSuspended(RunState::Waiting));
    walk.feed(Happened::SuspendRequested(by("operator")));
    let (_, timer) = *walk.timers.first().expect("a timer");
    for happened in [
        Happened::TimerFired { timer },
        Happened::Continued,
        Happened::SuspendRequested(by("operator")),
    ] {
        assert_eq!(refused(&mut walk, happened), Misfit::Suspended);
    }
    let retry = Happened::RetryRequested(by("operator"));
    assert_eq!(refused(&mut walk, retry), Misfit::NotFaulted(RunState::Suspended));
    walk.feed(Happened::CancelRequested(by("operator")));
    assert_eq!(walk.machine.state(), RunState::Cancelled);
    assert_eq!(refused(&mut walk, resume), Misfit::Ended(RunState::Cancelled));
}

/// A run whose first call has begun and waits at its gate.
struct UnderWay {
    store: Arc<SqliteStore>,
    driver: Driver,
    run: RunId,
    gated: Gated,
    begins: mpsc::UnboundedReceiver<()>,
    ended: Told,
    _folder: tempfile::TempDir,
}

async fn under_way() -> UnderWay {
    let (gated, mut begins) = Gated::new();
    let (store, driver, _folder) = site(TWO_CALLS, gated.clone()).await;
    let order = start(TWO_CALLS, "{}");
    let run = order.run;
    let ended = driver.start(order).await.expect("starts");
    begins.recv().await.expect("the first call begins");
    UnderWay { store, driver, run, gated, begins, ended, _folder }
}

async fn row(store: &SqliteStore) -> (RunRow, Summary) {
    let run = start(TWO_CALLS, "{}").run;
    let row = store.run_get(run).await.expect("read").expect("there");
    let summary = Summary::decode(&row.summary).expect("a summary");
    (row, summary)
}

/// Until nothing of any run is in memory.
async fn put_away(driver: &Driver) {
    let away = async {
        while driver.active() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(HANG, away).await.expect("it is put away");
}

/// Mutation: begin the second call while the run stands still, take it up at the next start, or lose
/// the first one's result.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_run_begins_nothing_before_it_is_resumed() {
    let UnderWay { store, driver, run, gated, mut begins, _folder, .. } = under_way().await;
    let reason = Some("the line is down".to_owned());
    driver.suspend(run, By { reason, ..by("ada") }).await.expect("suspended");
    let (suspended, summary) = row(&store).await;
    assert_eq!((suspended.state, suspended.wake_at), (RunState::Suspended, None));
    assert_eq!(summary.suspended.as_deref(), Some("by ada: the line is down"));
    let again = driver.suspend(run, by("ada")).await;
    assert!(matches!(again, Err(CommandError::Misfit(Misfit::Suspended))), "{again:?}");
    // What is under way may end.
    gated.open(1);
    put_away(&driver).await;
    assert_eq!(driver.load(run).await.expect("loads").last, Sequence(3));
    let ended = driver.ended(run).await;
    assert!(matches!(&ended, Err(CommandError::Suspended(_, why)) if why.contains("by ada")));
    driver.stop().await;
    drop(driver);

    let next = open(store.clone() as Arc<dyn Store>, gated.clone()).await;
    assert_eq!(next.active(), 0);
    assert!(begins.try_recv().is_err(), "the second call has begun");
    next.resume(run, by("ada")).await.expect("resumed");
    begins.recv().await.expect("the second call begins");
    assert_eq!(row(&store).await.1.suspended, None);
    gated.open(1);
    assert_eq!(next.ended(run).await.expect("ends").state, RunState::Completed);
    assert!(begins.try_recv().is_err(), "a call was done twice");
    let told = lifecycle(&*store).await;
    assert_eq!(told, ["started", "suspended", "resumed", "completed"]);
}

/// Mutation: begin a call again that goes on since before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_in_flight_is_not_begun_twice() {
    let UnderWay { driver, run, gated, mut begins, ended, _folder, .. } = under_way().await;
    driver.suspend(run, by("ada")).await.expect("suspended");
    driver.resume(run, by("ada")).await.expect("resumed");
    gated.open(2);
    let ended = tokio::time::timeout(HANG, ended).await.expect("in time").expect("ends");
    assert_eq!(ended.output, Some(Value::Null));
    begins.recv().await.expect("the second call");
    assert!(begins.try_recv().is_err(), "a call was begun twice");
}

/// Mutation: leave a timer of a run that stands still set, or unset after it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_run_sleeps_over_its_time_and_wakes_when_it_is_resumed() {
    const BODY: &str = "do: [{nap: {wait: {seconds: 3600}}}]";
    let (store, driver, _folder) = site(BODY, World::default()).await;
    let order = start(BODY, "{}");
    let run = order.run;
    drop(driver.start(order).await.expect("starts"));
    put_away(&driver).await;
    assert!(row(&store).await.0.wake_at.is_some());
    driver.suspend(run, by("ada")).await.expect("suspended");
    put_away(&driver).await;
    assert_eq!(row(&store).await.0.wake_at, None);
    driver.resume(run, by("ada")).await.expect("resumed");
    put_away(&driver).await;
    let (row, _) = row(&store).await;
    assert_eq!(row.state, RunState::Waiting);
    assert!(row.wake_at.is_some());
}

/// Mutation: keep the result of an expression for the next commit, which does not come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_comes_while_the_run_stands_still_is_written() {
    const BODY: &str = "do: [{a: {set: {n: '${ limit(1; repeat(10)) }'}}}]";
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_store(folder.path());
    put_revision(&*store, BODY).await;
    let (gated, mut begins) = Gated::new();
    let evaluator = GatedEvaluator(gated.clone());
    let driver = open_with(store.clone(), World::default(), evaluator).await;
    let order = start(BODY, "{}");
    let run = order.run;
    let ended = driver.start(order).await.expect("starts");
    begins.recv().await.expect("the expression");
    driver.suspend(run, by("ada")).await.expect("suspended");
    gated.open(1);
    put_away(&driver).await;
    assert_eq!(driver.load(run).await.expect("loads").last, Sequence(3));
    assert!(ended.await.is_err(), "whoever waits hears that it does not come");
    driver.resume(run, by("ada")).await.expect("resumed");
    assert_eq!(driver.ended(run).await.expect("ends").state, RunState::Completed);
}

/// Mutation: leave the row of a run as it was, which a new program can follow again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_can_be_followed_again_says_so_at_once() {
    let UnderWay { store, driver, run, gated, mut begins, _folder, .. } = under_way().await;
    driver.stop().await;
    let standing = RunRow { state: RunState::Suspended, ..row(&store).await.0 };
    store.commit(vec![Op::RunUpdate(standing)], Preconditions::none()).await.expect("writes");
    let again = open(store.clone() as Arc<dyn Store>, gated.clone()).await;
    again.resume(run, by("ada")).await.expect("it goes on");
    begins.recv().await.expect("it goes on");
    assert_eq!(row(&store).await.0.state, RunState::Running);
    assert_eq!(lifecycle(&*store).await, ["started", "resumed"]);
    again.suspend(run, by("ada")).await.expect("it can be suspended");
    assert_eq!(row(&store).await.0.state, RunState::Suspended);
}

/// Mutation: ask for nothing again when it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_restart_broke_off_is_begun_again_when_the_run_goes_on() {
    let UnderWay { store, driver, run, gated, _folder, .. } = under_way().await;
    driver.suspend(run, by("ada")).await.expect("suspended");
    driver.stop().await;
    let next = open(store as Arc<dyn Store>, gated.clone()).await;
    next.resume(run, by("ada")).await.expect("resumed");
    gated.open(2);
    let ended = tokio::time::timeout(HANG, next.ended(run)).await.expect("in time").expect("ends");
    assert_eq!(ended.state, RunState::Completed);
}
