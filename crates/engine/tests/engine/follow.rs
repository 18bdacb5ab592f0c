//! Following: what a run did and does, each record once and in order.

use base::{Fault, Value};
use engine::effect::{Evaluate, Evaluator};
use futures::FutureExt;
use futures::future::BoxFuture;
use store::{RunState, Sequence};

use crate::driver::{Gated, TWO_CALLS};
use crate::site::{open_store, open_with, put_revision, site, start};
use crate::world::{Outside, World};

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
        notes.extend(update.notes.clone());
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

/// Mutation: tell a follower only what is in the journal when he comes, or hold back what happens
/// until the run leaves memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_hears_of_each_step_while_the_run_goes_on() {
    let (gated, mut begins) = Gated::new();
    let (_store, driver, _folder) = site(TWO_CALLS, gated.clone()).await;
    let order = start(TWO_CALLS, "{}");
    let run = order.run;
    let _ended = driver.start(order).await.expect("starts");
    begins.recv().await.expect("the first call begins");
    let mut follower = driver.follow(run, Sequence::ZERO).await.expect("follows");
    let first = follower.recv().await.expect("what is written already");
    assert_eq!(first.sequence, Sequence(1));
    gated.open(1);
    let second = follower.recv().await.expect("while the second call is in flight");
    assert_eq!((second.sequence, second.state), (Sequence(2), RunState::Running));
    begins.recv().await.expect("the second call begins");
    gated.open(1);
    let third = follower.recv().await.expect("the end");
    assert_eq!((third.sequence, third.state), (Sequence(3), RunState::Completed));
    assert!(follower.recv().await.is_none());
}

/// Answers each expression when the test says so, and says when one is asked.
#[derive(Clone)]
pub struct GatedEvaluator(pub Gated);

impl Evaluator for GatedEvaluator {
    fn evaluate(&self, asked: Evaluate) -> BoxFuture<'static, Result<Value, Fault>> {
        let gated = self.0.clone();
        async move {
            gated.begun.send(()).ok();
            gated.gate.acquire().await.expect("never closed").forget();
            Outside::answer(&asked)
        }
        .boxed()
    }
}

/// Mutation: leave out what was decided before anybody listened and written after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_misses_no_result_that_waited_to_be_written() {
    const BODY: &str = "do: [{a: {set: {n: '${ limit(1; repeat(10)) }'}}}, {b: {set: {n: '${ limit(1; repeat(11)) }'}}}]";
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_store(folder.path());
    put_revision(&*store, BODY).await;
    let (gated, mut begins) = Gated::new();
    let evaluator = GatedEvaluator(gated.clone());
    let driver = open_with(store, World::default(), evaluator).await;
    let order = start(BODY, "{}");
    let run = order.run;
    let _ended = driver.start(order).await.expect("starts");
    begins.recv().await.expect("the first expression");
    gated.open(1);
    // The second one is asked before the first one's result is written: nothing outside came of it.
    begins.recv().await.expect("the second expression");
    let mut follower = driver.follow(run, Sequence::ZERO).await.expect("follows");
    assert_eq!(follower.recv().await.expect("the start").sequence, Sequence(1));
    gated.open(1);
    let mut seen = Vec::new();
    while let Some(update) = follower.recv().await {
        seen.push(update.sequence.0);
    }
    assert_eq!(seen, [2, 3]);
}
