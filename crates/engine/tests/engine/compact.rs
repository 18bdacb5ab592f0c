//! Long runs whose old records are forgotten while they go on.

use std::sync::Arc;

use base::value::int;
use engine::compact::step;
use engine::driver::Passed;
use engine::format::Stretch;
use engine::pace::Pacer;
use store::{RunState, Sequence, Store};

use crate::check;
use crate::site::{open, site, start};
use crate::world::World;

/// So that a test is short, and still longer than the store's index of the newest records.
const KEPT: u64 = 2_000;

/// Counts down by `then`, with one effect each time.
const COUNTDOWN: &str = "do: [
    {count: {call: http, with: {method: post, endpoint: 'http://world/ok/x', body: '${ .n }'}, output: {as: '${ {n: ($input.n - 1)} }'}}},
    {again: {switch: [{more: {when: '.n > 0', then: count}}, {over: {then: end}}]}}]";

/// Mutation: have the check not know that records are forgotten, forget what the run goes on from, begin a walk without the start, forget the decisions, or
/// the first record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_run_is_compacted_and_goes_on() {
    let (store, driver, _folder) = site(COUNTDOWN, World::default()).await;
    let many = 3 * KEPT;
    let order = start(COUNTDOWN, &format!(r#"{{"n":{many}}}"#));
    let run = order.run;
    let mut told = driver.start(order).await.expect("starts");
    let mut pace = Pacer::swift();
    let ended = loop {
        tokio::select! {
            ended = &mut told => break ended.expect("ends"),
            step = step(&*store, KEPT, &mut pace) => drop(step.expect("compacts")),
        }
    };
    assert_eq!(ended.state, RunState::Completed);
    assert_eq!(ended.output, Some(base::value::object([("n", int(0))])));
    while step(&*store, KEPT, &mut Pacer::swift()).await.expect("compacts").more {}

    let kept = store.journal_kept(run).await.expect("reads");
    assert!(kept.forgotten.0 >= KEPT, "{kept:?}");
    let all = store.journal_read(run, Sequence::ZERO, u32::MAX).await.expect("reads");
    assert_eq!(all[0].sequence, Sequence(1));
    assert_eq!(all[1].sequence, kept.forgotten.next());
    assert!(all.len() as u64 > KEPT);
    let stretches = store.stretch_list(run, Sequence::ZERO, u32::MAX).await.expect("reads");
    let mut last = Sequence(1);
    for row in &stretches {
        let stretch = Stretch::parse(&row.stretch).expect("a stretch");
        assert_eq!((stretch.first, stretch.last), (row.first, row.last));
        assert_eq!(row.first, last.next(), "without gaps");
        last = row.last;
    }
    assert_eq!(last, kept.forgotten);

    let loaded = driver.load(run).await.expect("loads");
    let row = store.run_get(run).await.expect("read").expect("there");
    let mut walk = driver.walk(&row).await.expect("walks");
    let (mut records, mut passed_over) = (0, Vec::new());
    while let Some(passed) = walk.next().await.expect("what is kept replays") {
        match passed {
            Passed::Record(_) => records += 1,
            Passed::Forgotten { last } => passed_over.push(last),
        }
    }
    assert_eq!(records, all.len());
    assert_eq!(passed_over, [kept.forgotten]);
    assert!(walk.machine == loaded.machine, "the walk leads to the same");
    let mut updates = driver.follow(run, Sequence::ZERO).await.expect("follows");
    let mut followed = 0;
    while updates.recv().await.is_some() {
        followed += 1;
    }
    assert_eq!(followed, records);

    driver.stop().await;
    check::whole(&store, "compacted").await;
    let again = open(store.clone() as Arc<dyn Store>, World::default()).await;
    assert_eq!(again.load(run).await.expect("loads").machine.ended(), Some(&ended));
}

/// Mutation: compact what is not long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_not_long_is_left_whole() {
    let (store, driver, _folder) = site(COUNTDOWN, World::default()).await;
    let order = start(COUNTDOWN, r#"{"n":1900}"#);
    let run = order.run;
    driver.start(order).await.expect("starts").await.expect("ends");
    while step(&*store, KEPT, &mut Pacer::swift()).await.expect("compacts").more {}
    let all = store.journal_read(run, Sequence::ZERO, u32::MAX).await.expect("reads");
    assert_eq!(all.len(), 1_901);
}
