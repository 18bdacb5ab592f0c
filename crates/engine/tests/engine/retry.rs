//! `runs retry` and cancel: what a person may do to a run.

use base::ErrorType;
use engine::machine::Misfit;
use engine::record::{Happened, NoteKind};
use store::RunState;

use crate::walk::{Walk, by};

/// Mutation: begin the whole run anew, or make a new key although the answer was unknown.
#[test]
fn a_retry_goes_on_from_the_task_that_faulted() {
    let body = "
do:
  - before: {call: http, with: {method: post, endpoint: 'http://world/ok/before'}}
  - breaks: {call: http, with: {method: post, endpoint: 'http://world/flaky/1'}}
  - after: {call: http, with: {method: post, endpoint: 'http://world/ok/after'}}
";
    let mut walk = Walk::run(body, "{}");
    assert_eq!(walk.fault().status, 503);
    walk.feed(Happened::RetryRequested(by("operator")));
    let walk = walk.finish();
    assert_eq!(walk.output(), r#"{"did":"after"}"#);
    assert_eq!(walk.machine.outcome_number(), 2);
    let books = walk.world.books();
    assert_eq!(books.effects.len(), 3);
    assert_eq!(books.requests.values().sum::<u32>(), 4, "only the broken one was asked twice");
    assert!(walk.begun().contains(&"/breaks*2".to_owned()));
}

/// Mutation: lose the count of definite responses when a task begins anew.
#[test]
fn a_retry_after_a_definite_answer_is_a_new_effect() {
    let body =
        "do: [{breaks: {call: http, with: {method: post, endpoint: 'http://world/bad-then-ok'}}}]";
    let mut walk = Walk::run(body, "{}");
    walk.feed(Happened::RetryRequested(by("operator")));
    assert_eq!(walk.finish().output(), r#"{"did":"later"}"#);
}

/// Mutation: drop the other branches of a fork when the run faults.
#[test]
fn a_retry_takes_up_what_was_in_flight_elsewhere() {
    let body = "
do:
  - both:
      fork:
        branches:
          - waits: {do: [{nap: {wait: PT1M}}, {say: {set: {waited: true}}}]}
          - hangs: {try: [{h: {timeout: {after: PT2M}, call: http, with: {method: get, endpoint: 'http://world/hang'}}}], catch: {do: [{gave: {set: {up: true}}}]}}
          - breaks: {call: http, with: {method: get, endpoint: 'http://world/flaky/1'}}
";
    let mut walk = Walk::run(body, "{}");
    assert_eq!(walk.fault().status, 503);
    assert!(walk.timers.is_empty() && walk.performs.is_empty(), "nothing goes on in a faulted run");
    walk.feed(Happened::RetryRequested(by("operator")));
    let walk = walk.finish();
    assert_eq!(walk.output(), r#"[{"waited":true},{"up":true},{"after":2}]"#);
}

/// Mutation: let a whole-run timeout lose the tree.
#[test]
fn a_retry_after_a_timeout_goes_on_where_the_run_stood() {
    let body = "
timeout: {after: PT1M}
do:
  - first: {call: http, with: {method: post, endpoint: 'http://world/ok/first'}}
  - group: {do: [{second: {wait: PT90S}}, {third: {set: {third: true}}}]}
";
    let mut walk = Walk::run(body, "{}");
    assert_eq!(walk.fault().status, 408);
    walk.feed(Happened::RetryRequested(by("operator")));
    let walk = walk.finish();
    assert_eq!(walk.output(), r#"{"third":true}"#);
    assert_eq!(walk.world.books().requests.values().sum::<u32>(), 1);
}

/// Mutation: let a cancelled run go on, or be retried.
#[test]
fn a_cancelled_run_is_over() {
    let body = "do: [{both: {fork: {branches: [{h: {call: http, with: {method: get, endpoint: 'http://world/hang'}}}, {w: {wait: PT1H}}]}}}]";
    let mut walk = Walk::start(body, "{}");
    let step = walk.feed(Happened::CancelRequested(by("operator")));
    assert_eq!(walk.machine.state(), RunState::Cancelled);
    assert!(walk.timers.is_empty() && walk.performs.is_empty());
    let cancelled: Vec<_> =
        step.notes.iter().filter(|note| note.what == NoteKind::Cancelled).collect();
    assert_eq!(cancelled.len(), 2);
    walk.replayed();
    let refused =
        |happened| walk.machine.clone().handle(walk.now, &happened).expect_err("the run is over");
    assert_eq!(refused(Happened::CancelRequested(by("x"))), Misfit::Ended(RunState::Cancelled));
    assert_eq!(refused(Happened::RetryRequested(by("x"))), Misfit::NotFaulted(RunState::Cancelled));
}

/// Mutation: change the machine before looking whether what happened fits.
#[test]
fn what_does_not_fit_changes_nothing() {
    let mut walk = Walk::start("do: [{w: {wait: PT1H}}]", "{}");
    let before = walk.machine.clone();
    let effect = engine::effect::EffectNo(9);
    let fault = base::Fault::new(ErrorType::Runtime, "late");
    let performed = engine::effect::Performed::fault(fault, engine::effect::Certainty::Unknown);
    let timer = engine::record::TimerNo(9);
    let again = walk.records[0].happened.clone();
    for (happened, misfit) in [
        (Happened::Performed { effect, performed }, Misfit::EffectUnknown(effect)),
        (Happened::TimerFired { timer }, Misfit::TimerUnknown(timer)),
        (again, Misfit::StartedAlready),
        (Happened::RetryRequested(by("ada")), Misfit::NotFaulted(RunState::Waiting)),
    ] {
        assert_eq!(walk.machine.handle(walk.now, &happened).err(), Some(misfit));
    }
    assert!(walk.machine == before);
    let mut new = engine::machine::Machine::new(walk.machine.workflow().clone());
    let early = new.handle(walk.now, &Happened::CancelRequested(by("ada"))).err();
    assert_eq!(early, Some(Misfit::NotStarted));
}

/// Mutation: keep the guard of an attempt that was cut off waiting for nobody.
#[test]
fn a_retry_after_an_uncaught_attempt_timeout_begins_a_new_attempt() {
    let body = "do: [{t: {try: [{nap: {wait: PT9S}}], catch: {errors: {with: {status: 503}}, retry: {limit: {attempt: {count: 1, duration: PT5S}}}}}}]";
    let mut walk = Walk::run(body, "{}");
    assert_eq!(walk.fault().status, 408);
    walk.feed(Happened::RetryRequested(by("operator")));
    let walk = walk.finish();
    assert_eq!(walk.fault().status, 408, "it was tried again, and took as long again");
    assert!(walk.begun().contains(&"/t!2/nap".to_owned()), "{:?}", walk.begun());
}

/// Mutation: let a wait beyond the last writable time keep its number.
#[test]
fn a_timer_beyond_all_times_replays() {
    let mut walk = Walk::start(
        "timeout: {after: {days: 9999999}}\ndo: [{nap: {wait: {days: 9999999}}}]",
        "{}",
    );
    walk.feed(Happened::CancelRequested(by("operator")));
    walk.replayed();
}

/// Mutation: begin the whole attempt again, or the run's first task; look at the error again where
/// the handler could not be asked.
#[test]
fn a_retry_within_a_try_goes_on_from_the_task_that_faulted() {
    let not_meant = "{errors: {with: {status: 503}}, retry: {limit: {attempt: {count: 2}}}}";
    let cannot_be_asked = "{when: '${ 1 + [] }', do: [{handled: {set: {n: 1}}}]}";
    for (catch, kind) in
        [(not_meant, ErrorType::Communication), (cannot_be_asked, ErrorType::Expression)]
    {
        let body = format!(
            "
do:
  - guard:
      try:
        - once: {{call: http, with: {{method: post, endpoint: 'http://world/ok/once'}}}}
        - ask: {{call: http, with: {{method: get, endpoint: 'http://world/bad-then-ok'}}}}
      catch: {catch}
"
        );
        let mut walk = Walk::run(&body, "{}");
        assert_eq!(walk.fault().kind(), kind, "{catch}");
        walk.feed(Happened::RetryRequested(by("operator")));
        let walk = walk.finish();
        assert_eq!(walk.output(), r#"{"did":"later"}"#, "{catch}");
        let asked = walk.world.books().requests;
        assert_eq!(asked.values().sum::<u32>(), 3, "one of them once: {catch}: {asked:?}");
    }
}

/// Mutation: end one attempt earlier or later than the limit says.
#[test]
fn the_limit_of_a_retry_includes_its_last_moment() {
    let body = "
do:
  - guard:
      try: [{ask: {call: http, with: {method: get, endpoint: 'http://world/attempt/9'}}}]
      catch: {retry: {delay: PT1S, limit: {duration: PT2S}}}
";
    let walk = Walk::run(body, "{}");
    assert_eq!(walk.fault().status, 503);
    assert_eq!(walk.world.books().requests.values().sum::<u32>(), 3);
}

/// Mutation: count nothing, or count an effect for a task.
#[test]
fn a_run_knows_what_it_has_used() {
    let walk = Walk::run(
        "do: [{a: {set: {n: 1}}}, {b: {call: http, with: {method: post, endpoint: 'http://world/ok/x'}}}]",
        "{}",
    );
    let usage = walk.machine.usage();
    assert_eq!((usage.records, usage.tasks, usage.effects, usage.retries), (2, 2, 1, 0));
    let ended = walk.machine.ended().expect("the run has ended");
    assert_eq!(ended.usage, usage);
}
