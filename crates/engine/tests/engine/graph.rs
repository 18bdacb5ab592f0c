//! Forks whose branches wait for each other.

use engine::record::Happened;

use crate::walk::{Walk, by, check};

/// Mutation: begin every branch at once, hand on the fork's input, or give the outputs in the order
/// in which they came.
#[test]
fn a_branch_begins_with_the_outputs_of_those_it_waits_for() {
    let body = "
do:
  - all:
      fork:
        branches:
          - last: {metadata: {after: [slow, quick]}, set: {last: '${ . }'}}
          - slow: {do: [{nap: {wait: PT1S}}, {say: {set: {slow: '${ .n }'}}}]}
          - quick: {set: {quick: '${ .n }'}}
          - then: {metadata: {after: [quick]}, set: {then: '${ .quick.quick }'}}
";
    let output =
        r#"[{"last":{"slow":{"slow":7},"quick":{"quick":7}}},{"slow":7},{"quick":7},{"then":7}]"#;
    let walk = Walk::run(body, r#"{"n":7}"#);
    assert_eq!(walk.output(), output);
    assert_eq!(walk.completed(), ["quick", "then", "nap", "say", "slow", "last", "all"]);
}

/// Mutation: begin a branch once for each of those it waits for, or wait for one of them only.
#[test]
fn a_diamond_meets_once() {
    let body = "
do:
  - all:
      fork:
        branches:
          - a: {set: {v: 1}}
          - b: {metadata: {after: [a]}, wait: PT1S}
          - c: {metadata: {after: [a, a]}, wait: PT2S}
          - d: {metadata: {after: [b, c]}, call: 'echo:1.0.0@default', with: {in: '${ . }'}}
output: {as: '${ .[3] }'}
";
    let walk = Walk::run(body, "{}");
    assert_eq!(walk.output(), r#"{"in":{"b":{"a":{"v":1}},"c":{"a":{"v":1}}}}"#);
    assert_eq!(walk.begun().iter().filter(|it| *it == "/all/d").count(), 1);
}

/// Mutation: begin a branch whose forerunner faulted, or whose fork is about to fault.
#[test]
fn nothing_begins_behind_a_fault_until_it_is_mended() {
    let body = "
do:
  - all:
      fork:
        branches:
          - bad: {call: http, with: {method: post, endpoint: 'http://world/bad-then-ok'}}
          - good: {call: 'echo:1.0.0@default', with: {good: true}}
          - behind: {metadata: {after: [bad, good]}, set: {got: '${ . }'}}
output: {as: '${ .[2] }'}
";
    let mut walk = Walk::run(body, "{}");
    assert_eq!(walk.fault().instance.as_deref(), Some("/do/0/all/fork/branches/0/bad"));
    assert!(!walk.begun().contains(&"/all/behind".to_owned()));
    walk.feed(Happened::RetryRequested(by("operator")));
    let walk = walk.finish();
    assert_eq!(walk.output(), r#"{"got":{"bad":{"did":"later"},"good":{"good":true}}}"#);
}

/// Mutation: count a skipped branch as never completed.
#[test]
fn a_skipped_branch_gives_what_it_was_given() {
    let body = "
do:
  - all:
      fork:
        branches:
          - a: {if: 'false', set: {a: 1}}
          - b: {metadata: {after: [a]}, set: {b: '${ . }'}}
";
    check(body, r#"{"n":1}"#, r#"[{"n":1},{"b":{"a":{"n":1}}}]"#);
}

/// Mutation: let a branch begin while an error of another one is looked at.
#[test]
fn nothing_begins_while_an_error_is_looked_at() {
    let body = "
do:
  - guard:
      try:
        - all:
            fork:
              branches:
                - bad: {call: http, with: {method: post, endpoint: 'http://world/bad'}}
                - good: {call: http, with: {method: post, endpoint: 'http://world/ok/good'}}
                - behind: {metadata: {after: [good]}, call: http, with: {method: post, endpoint: 'http://world/ok/behind'}}
      catch: {when: 'limit(1; repeat(1)) == 1', do: [{note: {set: {caught: true}}}]}
";
    let mut walk = Walk::start(body, "{}");
    // Both answers are there before it is known whether the error is caught.
    while let Some(perform) = walk.performs.pop_front() {
        let performed = walk.world.act(&perform).expect("the world answers");
        walk.feed(Happened::Performed { effect: perform.effect, performed });
    }
    assert_eq!(walk.evaluates.len(), 1);
    let walk = walk.finish();
    assert_eq!(walk.output(), r#"{"caught":true}"#);
    assert!(!walk.begun().contains(&"/guard/all/behind".to_owned()), "{:?}", walk.begun());
}
