//! Who is who: activations are distinct, keys repeat exactly where an earlier result is unknown.

use std::collections::BTreeSet;

use crate::walk::Walk;

/// Mutation: leave the visit, the iteration or the attempt out of the activation.
#[test]
fn every_execution_has_its_own_activation() {
    let body = "
do:
  - spread:
      for: {each: x, in: '${ [1,2] }'}
      do:
        - both:
            fork:
              branches:
                - left:
                    for: {each: y, in: '${ [1,2] }'}
                    do: [{call: {call: 'echo:1.0.0@default', with: {x: '${ $x }', y: '${ $y }'}}}]
                - right: {call: 'echo:1.0.0@default', with: {x: '${ $x }'}}
  - guard:
      try:
        - one: {call: http, with: {method: post, endpoint: 'http://world/ok/one'}}
        - two: {call: http, with: {method: post, endpoint: 'http://world/flaky/2'}}
      catch: {retry: {delay: PT1S, limit: {attempt: {count: 5}}}}
  - count: {set: {n: '${ (.n // 0) + 1 }'}}
  - poll: {call: 'echo:1.0.0@default', with: {n: '${ .n }'}}
  - again: {switch: [{more: {when: '.n < 3', then: count}}], then: end}
";
    let walk = Walk::run(body, "{}");
    let begun = walk.begun();
    let distinct: BTreeSet<_> = begun.iter().collect();
    assert_eq!(distinct.len(), begun.len(), "{begun:#?}");
    for wanted in [
        "/spread[1]/both/left[0]/call",
        "/spread[0]/both/right",
        "/guard!2/one",
        "/guard!3/two",
        "/count#2",
        "/poll#3",
    ] {
        assert!(begun.iter().any(|one| one == wanted), "{wanted} in {begun:#?}");
    }
}

fn keys(body: &str, task: &str) -> Vec<String> {
    let walk = Walk::run(body, "{}");
    let books = walk.world.books();
    let of_task = books.keys.iter().filter(|(activation, _)| activation.ends_with(task));
    of_task.map(|(_, key)| key.clone()).collect()
}

/// Mutation: count unknown results as responses, or do not count definite ones.
#[test]
fn a_key_repeats_exactly_while_the_result_is_unknown() {
    let guard = |path: &str| {
        format!(
            "
do:
  - guard:
      try:
        - first: {{call: http, with: {{method: post, endpoint: 'http://world/ok/first'}}}}
        - second: {{call: http, with: {{method: post, endpoint: 'http://world/{path}'}}}}
      catch: {{retry: {{delay: PT1S, limit: {{attempt: {{count: 3}}}}}}}}
"
        )
    };
    let unknown = keys(&guard("flaky/2"), "second");
    assert_eq!(unknown.len(), 3);
    assert!(unknown.iter().all(|key| *key == unknown[0] && key.ends_with("-0")), "{unknown:?}");

    let definite = keys(&guard("bad-then-ok"), "second");
    assert_eq!(definite.len(), 2);
    assert!(definite[0].ends_with("-0") && definite[1].ends_with("-1"), "{definite:?}");

    // The first call was answered in each attempt, so each is a new effect.
    let answered = keys(&guard("flaky/2"), "first");
    let ends: Vec<&str> = answered.iter().map(|key| &key[key.len() - 2..]).collect();
    assert_eq!(ends, ["-0", "-1", "-2"]);
}

/// Mutation: take the visit or the iteration out of the key.
#[test]
fn other_executions_have_other_keys() {
    let body = "
do:
  - each: {for: {in: '${ [1,2,3] }'}, do: [{call: {call: 'echo:1.0.0@default', with: {}}}]}
  - count: {set: {n: '${ (.n // 0) + 1 }'}}
  - call: {call: 'echo:1.0.0@default', with: {n: '${ .n }'}}
  - again: {switch: [{more: {when: '.n < 3', then: count}}], then: end}
";
    let keys: Vec<String> = keys(body, "");
    assert_eq!(keys.len(), 6);
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 6);
}
