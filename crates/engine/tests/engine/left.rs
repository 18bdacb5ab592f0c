//! Processes that nobody awaits: their task is done when they have begun.

use base::RunId;
use engine::effect::{Perform, Performed, Performer};
use futures::future::BoxFuture;
use store::RunState;
use tokio::sync::mpsc;

use crate::site::{site, start};
use crate::walk::{Walk, by, check};
use crate::world::World;

const LEFT: &str = "
use: {secrets: [key]}
do:
  - one: {run: {shell: {command: 'echo 1'}, await: false}, output: {as: '${ {was: .n, n: $input.n} }'}}
  - two: {run: {script: {language: python, code: 'print(2)', environment: {KEY: '${ $secrets.key }'}}, await: false, return: all}}
";

/// Mutation: hand on what the process returns, or lose in a snapshot that nobody awaits it.
#[test]
fn what_nobody_awaits_gives_its_input() {
    // The walk takes the machine through a snapshot after each record.
    check(LEFT, r#"{"n":3}"#, r#"{"was":3,"n":3}"#);
}

/// Mutation: leave it out of the digest of the control state whether a process is awaited.
#[test]
fn a_replay_that_awaits_something_else_is_noticed() {
    let control = |body: &str| Walk::start(body, r#"{"n":3}"#).machine.control();
    let task = |name: &str| {
        let (head, tasks) = LEFT.split_once("do:").expect("it has tasks");
        let task = tasks.lines().find(|line| line.contains(name)).expect("it is there");
        format!("{head}do:\n{task}\n")
    };
    for body in [task("one"), task("two")] {
        let awaited = body.replace("await: false", "await: true");
        assert_eq!(control(&body), control(&body));
        assert_ne!(control(&body), control(&awaited), "{body}");
    }
}

/// Tells when it is asked to end what was left.
struct Ends(World, mpsc::UnboundedSender<RunId>);

impl Performer for Ends {
    fn perform(&self, effect: Perform) -> BoxFuture<'static, Performed> {
        self.0.perform(effect)
    }

    fn end_left(&self, run: RunId) {
        self.1.send(run).expect("the test listens");
    }
}

/// Mutation: leave alone what a cancelled run has begun, or end it with a run that has completed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_ends_what_was_left_and_an_end_does_not() {
    let waits =
        "do: [{one: {run: {shell: {command: 'echo 1'}, await: false}}}, {long: {wait: PT1H}}]";
    for (body, cancelled) in [(LEFT, false), (waits, true)] {
        let (sender, mut ends) = mpsc::unbounded_channel();
        let (_store, driver, _folder) = site(body, Ends(World::default(), sender)).await;
        let order = start(body, r#"{"n":3}"#);
        let run = order.run;
        let ended = driver.start(order).await.expect("it starts");
        if cancelled {
            driver.cancel(run, by("operator")).await.expect("it is not over");
        }
        let expected = if cancelled { RunState::Cancelled } else { RunState::Completed };
        assert_eq!(ended.await.expect("it ends").state, expected);
        driver.stop().await;
        drop(driver);
        assert_eq!(ends.try_recv().ok(), cancelled.then_some(run));
        assert!(ends.try_recv().is_err());
    }
}
