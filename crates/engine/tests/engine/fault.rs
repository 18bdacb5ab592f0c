//! Errors: raised, caught, tried again, left to rise.

use base::{Duration, ErrorType};
use engine::record::{Decided, NoteKind};

use crate::walk::{START, Walk, check};

/// Mutation: forget the instance, or overwrite the author's own.
#[test]
fn an_error_says_where_it_was_raised() {
    let body = "do: [{outer: {do: [{bang: {raise: {error: {type: 'https://example.com/e', status: 418, title: '${ .t }', detail: d}}}}]}}]";
    let walk = Walk::run(body, r#"{"t":"teapot"}"#);
    let fault = walk.fault();
    assert_eq!(
        (fault.status, fault.title.as_deref(), fault.detail.as_deref()),
        (418, Some("teapot"), Some("d"))
    );
    assert_eq!(fault.instance.as_deref(), Some("/do/0/outer/do/0/bang"));
    let ended = walk.machine.ended().expect("ended");
    assert_eq!(ended.activation.as_ref().map(ToString::to_string).as_deref(), Some("/outer/bang"));
}

fn caught(catch: &str) -> bool {
    let body = format!(
        "do: [{{t: {{try: [{{bang: {{raise: {{error: {{type: 'https://serverlessworkflow.io/spec/1.0.0/errors/communication', status: 503, title: Away, detail: d}}}}}}}}], catch: {catch}}}}}]"
    );
    Walk::run(&body, "{}").machine.ended().expect("ended").state == store::RunState::Completed
}

/// Mutation: ignore one property of the filter, or `exceptWhen`.
#[test]
fn a_guard_catches_what_its_filter_and_conditions_say() {
    let handler = "do: [{ok: {set: {fine: true}}}]";
    for (catch, expected) in [
        (format!("{{{handler}}}"), true),
        (format!("{{errors: {{with: {{status: 503}}}}, {handler}}}"), true),
        (format!("{{errors: {{with: {{status: 404}}}}, {handler}}}"), false),
        (
            format!(
                "{{errors: {{with: {{type: 'https://open-workflow-specification.org/dsl/errors/types/communication'}}}}, {handler}}}"
            ),
            true,
        ),
        (
            format!(
                "{{errors: {{with: {{type: 'https://open-workflow-specification.org/spec/1.0.0/errors/timeout'}}}}, {handler}}}"
            ),
            false,
        ),
        (format!("{{errors: {{with: {{title: Away}}}}, {handler}}}"), true),
        (format!("{{errors: {{with: {{title: Home}}}}, {handler}}}"), false),
        (format!("{{errors: {{with: {{detail: other}}}}, {handler}}}"), false),
        (format!("{{errors: {{with: {{instance: /do/0/t/try/0/bang}}}}, {handler}}}"), true),
        (format!("{{errors: {{with: {{instance: /do/0}}}}, {handler}}}"), false),
        (format!("{{when: '$error.status > 500', {handler}}}"), true),
        (format!("{{when: '$error.status > 600', {handler}}}"), false),
        (format!("{{as: e, exceptWhen: '$e.status == 503', {handler}}}"), false),
    ] {
        assert_eq!(caught(&catch), expected, "{catch}");
    }
}

/// Mutation: run the handler on the failed task's input in place of the guard's.
#[test]
fn a_handler_sees_the_error_and_the_guards_input() {
    let body = "
do:
  - t:
      try: [{change: {set: {n: 2}}}, {bang: {raise: {error: {type: 'https://example.com/e', status: 400}}}}]
      catch: {as: e, do: [{note: {set: {n: '${ .n }', status: '${ $e.status }'}}}, {more: {set: {n: '${ .n }', again: '${ $e.status }'}}}]}
";
    check(body, r#"{"n":1}"#, r#"{"n":1,"again":400}"#);
}

fn delays(retry: &str, path: &str) -> (Vec<u64>, Walk) {
    let body = format!(
        "do: [{{t: {{try: [{{call: {{call: http, with: {{method: get, endpoint: 'http://world/{path}'}}}}}}], catch: {{retry: {retry}}}}}}}]"
    );
    let walk = Walk::run(&body, "{}");
    let mut last = START;
    let delays = walk.decided().filter_map(|decided| match decided {
        Decided::Retrying { at, .. } => {
            let delay = at.since(last).as_millis();
            last = *at;
            Some(delay)
        }
        _ => None,
    });
    (delays.collect(), walk)
}

/// Mutation: double one time too many, or count attempts in place of retries.
#[test]
fn retries_wait_as_their_backoff_says_and_end_at_the_limit() {
    let (constant, walk) = delays("{delay: PT1S, limit: {attempt: {count: 3}}}", "flaky/9");
    assert_eq!(constant, [1000, 1000, 1000]);
    assert_eq!(walk.fault().status, 503);
    let (linear, walk) =
        delays("{delay: PT1S, backoff: {linear: {}}, limit: {attempt: {count: 9}}}", "flaky/3");
    assert_eq!(linear, [1000, 2000, 3000]);
    assert_eq!(walk.output(), r#"{"after":4}"#);
    let (exponential, _) = delays(
        "{delay: PT1S, backoff: {exponential: {}}, limit: {attempt: {count: 9}}}",
        "flaky/4",
    );
    assert_eq!(exponential, [1000, 2000, 4000, 8000]);
    let (limited, walk) =
        delays("{delay: PT1S, backoff: {exponential: {}}, limit: {duration: PT5S}}", "flaky/9");
    assert_eq!(limited, [1000, 2000]);
    assert_eq!(walk.fault().status, 503);
    let (never, _) = delays("{when: '$error.status == 404', delay: PT1S}", "flaky/9");
    assert!(never.is_empty());
    let (except, _) = delays("{exceptWhen: '$error.status == 503', delay: PT1S}", "flaky/9");
    assert!(except.is_empty());
}

/// Mutation: take the jitter from outside the run's seed, or from another range.
#[test]
fn jitter_lies_in_its_range_and_is_the_same_at_every_replay() {
    let (delays, _) = delays(
        "{delay: PT1S, jitter: {from: PT0.1S, to: PT0.5S}, limit: {attempt: {count: 9}}}",
        "flaky/6",
    );
    assert!(delays.iter().all(|delay| (1100..=1500).contains(delay)), "{delays:?}");
    assert!(delays.iter().collect::<std::collections::BTreeSet<_>>().len() > 1, "{delays:?}");
}

/// Mutation: swallow the error where no handler is left.
#[test]
fn a_handler_runs_when_the_retries_are_used_up() {
    let body = "do: [{t: {try: [{call: {call: http, with: {method: get, endpoint: 'http://world/bad'}}}], catch: {retry: {delay: PT1S, limit: {attempt: {count: 1}}}, do: [{give: {set: {up: '${ $error.status }'}}}]}}}]";
    check(body, "{}", r#"{"up":400}"#);
}

/// Mutation: let the inner guard catch everything.
#[test]
fn what_an_inner_guard_leaves_an_outer_one_catches() {
    let body = "
do:
  - outer:
      try:
        - inner:
            try: [{bang: {raise: {error: {type: 'https://example.com/e', status: 500}}}}]
            catch: {errors: {with: {status: 404}}, do: [{no: {set: {by: inner}}}]}
      catch: {do: [{yes: {set: {by: outer}}}]}
";
    check(body, "{}", r#"{"by":"outer"}"#);
}

/// Mutation: catch an error of the handler with the same guard.
#[test]
fn an_error_in_a_handler_rises() {
    let body = "do: [{t: {try: [{a: {raise: {error: {type: 'https://example.com/a', status: 400}}}}], catch: {do: [{b: {raise: {error: {type: 'https://example.com/b', status: 409}}}}]}}}]";
    assert_eq!(Walk::run(body, "{}").fault().status, 409);
}

/// Mutation: let the timed-out call answer later, or do not clear the timer of a task that is done.
#[test]
fn a_timeout_cuts_a_task_off_and_can_be_caught() {
    let call =
        "{timeout: {after: PT3S}, call: http, with: {method: get, endpoint: 'http://world/hang'}}";
    let walk = Walk::run(&format!("do: [{{slow: {call}}}]"), "{}");
    assert_eq!(walk.fault().kind(), ErrorType::Timeout);
    assert_eq!(walk.now, START.plus(Duration::from_secs(3)));
    assert!(walk.performs.is_empty(), "the call was abandoned");
    let body = format!(
        "do: [{{t: {{try: [{{slow: {call}}}], catch: {{do: [{{late: {{set: {{late: true}}}}}}]}}}}}}]"
    );
    check(&body, "{}", r#"{"late":true}"#);
    let quick =
        Walk::run("timeout: {after: PT1H}\ndo: [{a: {timeout: {after: PT1M}, set: {x: 1}}}]", "{}");
    assert!(quick.timers.is_empty());
    let whole = Walk::run("timeout: {after: PT2S}\ndo: [{nap: {wait: PT1H}}]", "{}");
    assert_eq!(whole.fault().kind(), ErrorType::Timeout);
    let attempt = Walk::run(
        "do: [{t: {try: [{slow: {call: http, with: {method: get, endpoint: 'http://world/hang'}}}], catch: {retry: {delay: PT1S, limit: {attempt: {count: 1, duration: PT5S}}}}}}]",
        "{}",
    );
    assert_eq!(attempt.fault().kind(), ErrorType::Timeout);
    assert_eq!(attempt.now, START.plus(Duration::from_secs(11)));
}

/// Mutation: let the other branches go on after one has faulted.
#[test]
fn a_faulted_branch_stops_its_fork() {
    let body = "
do:
  - t:
      try:
        - both:
            fork:
              branches:
                - hangs: {call: http, with: {method: get, endpoint: 'http://world/hang'}}
                - bad: {call: http, with: {method: get, endpoint: 'http://world/bad'}}
      catch: {do: [{ok: {set: {status: '${ $error.status }'}}}]}
";
    let walk = Walk::run(body, "{}");
    assert_eq!(walk.output(), r#"{"status":400}"#);
    let cancelled = walk.notes.iter().filter(|note| note.what == NoteKind::Cancelled);
    assert_eq!(cancelled.map(|note| note.task.to_string()).collect::<Vec<_>>(), ["hangs"]);
}

/// Mutation: let what is below a timed-out container go on, or lose it before a retry.
#[test]
fn a_containers_timeout_halts_what_is_below_it() {
    let group = "{timeout: {after: PT2S}, do: [{first: {call: http, with: {method: post, endpoint: 'http://world/ok/first'}}}, {both: {fork: {branches: [{hangs: {call: http, with: {method: get, endpoint: 'http://world/hang'}}}, {naps: {wait: PT3S}}, {asks: {wait: PT1S}}]}}}]}";
    let mut walk = Walk::run(&format!("do: [{{group: {group}}}]"), "{}");
    assert_eq!(walk.fault().kind(), ErrorType::Timeout);
    assert!(walk.performs.is_empty() && walk.timers.is_empty());
    assert_eq!(walk.now, START.plus(Duration::from_secs(2)));
    walk.feed(engine::record::Happened::RetryRequested(crate::walk::by("operator")));
    let walk = walk.finish();
    assert_eq!(walk.fault().kind(), ErrorType::Timeout, "the call still hangs");
    let first = walk.world.books().effects.len();
    assert_eq!(first, 1, "what was done is not done again");
    let body = format!(
        "do: [{{t: {{try: [{{group: {group}}}], catch: {{do: [{{late: {{set: {{late: true}}}}}}, {{nap: {{wait: PT9S}}}}]}}}}}}]"
    );
    let caught = Walk::run(&body, "{}");
    assert_eq!(caught.output(), r#"{"late":true}"#);
    assert_eq!(caught.now, START.plus(Duration::from_secs(11)));
    assert!(caught.begun().contains(&"/t.catch/nap".to_owned()), "{:?}", caught.begun());
}

/// Mutation: leave a loser's timer set.
#[test]
fn a_loser_leaves_no_timer_behind() {
    let body = "do: [{race: {fork: {compete: true, branches: [{naps: {wait: PT5S}}, {tries: {try: [{slow: {wait: PT7S}}], catch: {retry: {limit: {attempt: {count: 1, duration: PT6S}}}}}}, {wins: {set: {w: 1}}}]}}}, {nap: {wait: PT1S}}]";
    let walk = Walk::start(body, "{}");
    assert_eq!(walk.timers.len(), 1, "{:?}", walk.timers);
    assert_eq!(walk.finish().output(), r#"{"w":1}"#);
}

/// Mutation: let a composed value grow past every limit.
#[test]
fn a_value_that_could_not_be_read_back_is_an_error_that_can_be_caught() {
    let body = "
do:
  - t:
      try:
        - grow: {for: {in: '${ [range(120)] }'}, do: [{wrap: {fork: {branches: [{a: {set: '${ . }'}}]}}}]}
      catch: {do: [{ok: {set: {title: '${ $error.title }', at: '${ $error.instance }'}}}]}
";
    check(body, r#"{"n":1}"#, r#"{"title":"Value too large","at":"/do/0/t/try/0/grow/do/0/wrap"}"#);
}

/// Mutation: let what is below a timed-out container go on while its guard makes up its mind.
#[test]
fn nothing_goes_on_below_a_container_that_was_cut_off() {
    let body = "
do:
  - t:
      try:
        - group:
            timeout: {after: PT2S}
            do: [{both: {fork: {branches: [{hangs: {call: http, with: {method: get, endpoint: 'http://world/hang'}}}, {naps: {wait: PT3S}}]}}}]
      catch: {when: 'limit(1; repeat(30))', do: [{ok: {set: {ok: true}}}]}
";
    let mut walk = Walk::start(body, "{}");
    while walk.evaluates.is_empty() {
        assert!(walk.turn());
    }
    assert!(walk.performs.is_empty() && walk.timers.is_empty());
    assert_eq!(walk.finish().output(), r#"{"ok":true}"#);
}
