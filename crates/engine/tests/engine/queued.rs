//! A run that waits for its turn: nothing has begun, and its times count from where it begins.

use base::Duration;
use engine::machine::Misfit;
use engine::record::Happened;
use store::RunState;

use crate::crash::CASES;
use crate::walk::{START, Walk, by};

/// Mutation: begin with the start, or leave the input behind.
#[test]
fn a_run_ends_the_same_whether_it_waited_or_not() {
    for case in &CASES {
        let expected = Walk::run(case.body, case.input).output();
        let mut walk = Walk::queued(case.body, case.input);
        assert_eq!(walk.machine.state(), RunState::Pending, "{}", case.name);
        assert!(walk.performs.is_empty() && walk.notes.is_empty(), "{}", case.name);
        walk.feed(Happened::Admitted);
        assert!(!walk.machine.is_queued());
        assert_eq!(walk.finish().output(), expected, "{}", case.name);
    }
}

/// Mutation: count a timeout, or what a task sees as the start, from the time of the order.
#[test]
fn times_count_from_the_beginning() {
    let body = "timeout: {after: PT1M}\ndo: [{now: {set: {at: '${ $workflow.startedAt.epoch.milliseconds }'}}}, {nap: {wait: PT1H}}]";
    let mut walk = Walk::queued(body, "{}");
    walk.now = START.plus(Duration::from_secs(3_600));
    walk.feed(Happened::Admitted);
    let timeout = START.plus(Duration::from_secs(3_660));
    assert_eq!(walk.machine.wake_at(), Some(timeout));
    let mut walk = Walk::queued(
        "do: [{now: {set: {at: '${ $workflow.startedAt.epoch.milliseconds }'}}}]",
        "{}",
    );
    walk.now = timeout;
    walk.feed(Happened::Admitted);
    let expected = format!(r#"{{"at":{}}}"#, timeout.as_millis());
    assert_eq!(walk.finish().output(), expected);
}

/// Mutation: let a run begin that stands still, twice, or after its end.
#[test]
fn a_turn_that_comes_at_the_wrong_time_changes_nothing() {
    let body = "do: [{nap: {wait: PT1H}}]";
    let mut walk = Walk::queued(body, "{}");
    let refuses = |walk: &mut Walk| walk.machine.handle(START, &Happened::Admitted).err();
    walk.feed(Happened::SuspendRequested(by("ada")));
    assert_eq!(walk.machine.state(), RunState::Suspended);
    assert_eq!(refuses(&mut walk), Some(Misfit::Suspended));
    walk.feed(Happened::ResumeRequested(by("ada")));
    assert_eq!(walk.machine.state(), RunState::Pending);
    walk.feed(Happened::Admitted);
    assert_eq!(refuses(&mut walk), Some(Misfit::NotQueued));
    let mut walk = Walk::queued(body, "{}");
    walk.feed(Happened::CancelRequested(by("ada")));
    assert_eq!(walk.machine.state(), RunState::Cancelled);
    assert_eq!(refuses(&mut walk), Some(Misfit::Ended(RunState::Cancelled)));
}
