//! Expressions that are evaluated outside the process: at every position, and recorded.

use engine::record::Happened;

use crate::walk::Walk;

/// Not on the closed list, and the test's evaluator answers `"outside"`.
const OUT: &str = "limit(1; repeat(1))";

fn evaluations(walk: &Walk) -> usize {
    walk.records
        .iter()
        .filter(|record| matches!(record.happened, Happened::Evaluated { .. }))
        .count()
}

/// Mutation: forget the results of a phase between two evaluations, or keep them for the next one.
#[test]
fn an_expression_may_go_outside_at_every_position() {
    let body = format!(
        "
input: {{from: '{OUT}'}}
do:
  - all:
      if: '{OUT}'
      input: {{from: '{OUT}'}}
      set: {{a: '${{ {OUT} }}', b: '${{ {OUT} }}', c: '${{ . }}'}}
      output: {{as: '${{ [., ({OUT})] }}'}}
      export: {{as: '{OUT}'}}
  - choose: {{switch: [{{yes: {{when: '{OUT}', then: next}}}}]}}
  - never: {{set: {{no: 1}}}}
  - next: {{set: {{context: '${{ $context }}', data: '${{ {OUT} }}'}}}}
output: {{as: '${{ {OUT} }}'}}
"
    );
    let walk = Walk::run(&body, "{}");
    assert_eq!(walk.output(), r#""outside""#);
    assert_eq!(evaluations(&walk), 10);
    assert!(!walk.completed().contains(&"never".to_owned()));
}

/// Mutation: let a failed evaluation fault the run past its guard.
#[test]
fn a_failed_evaluation_is_a_catchable_expression_error() {
    let body = "do: [{t: {try: [{bad: {set: {a: '${ [limit(1; repeat(1))] | error }'}}}], catch: {do: [{ok: {set: {type: '${ $error.type }', at: '${ $error.instance }'}}}]}}}]";
    let walk = Walk::run(body, "{}");
    assert!(walk.output().contains("/errors/expression"), "{}", walk.output());
    assert!(walk.output().contains("/do/0/t/try/0/bad"));
    assert_eq!(evaluations(&walk), 1);
}

/// Mutation: leave a guard's conditions out of the evaluation outside.
#[test]
fn guards_and_loops_evaluate_outside_too() {
    let body = format!(
        "
do:
  - t:
      try: [{{bad: {{raise: {{error: {{type: 'https://example.com/e', status: 500}}}}}}}}]
      catch: {{when: '{OUT}', do: [{{ok: {{set: {{caught: true}}}}}}]}}
  - each: {{for: {{in: '${{ [1, 2] }}'}}, while: '{OUT}', do: [{{a: {{set: {{n: '${{ $item }}'}}}}}}]}}
"
    );
    let walk = Walk::run(&body, "{}");
    assert_eq!(walk.output(), r#"{"n":2}"#);
    assert_eq!(evaluations(&walk), 3);
}

/// Mutation: advance a node that waits for a result, or take a result for another expression's.
#[test]
fn every_result_belongs_to_the_expression_that_asked_for_it() {
    let body = "
do:
  - a: {set: {n: 1}}
  - b: {set: {n: 2}}
  - each:
      for: {in: '${ [1, 2] }'}
      while: 'limit(1; repeat(30))'
      do: [{one: {set: {n: '${ $item }'}}}, {two: {set: {n: '${ .n }'}}}]
output: {as: {x: '${ limit(1; repeat(11)) }', y: '${ limit(1; repeat(12)) }', z: '${ limit(1; repeat(13)) }'}}
";
    let walk = Walk::run(body, "{}");
    assert_eq!(walk.output(), r#"{"x":11,"y":12,"z":13}"#);
    assert_eq!(evaluations(&walk), 5);
}

/// Mutation: keep the evaluation of a branch that has lost, or of a task that was cut off.
#[test]
fn what_is_evaluated_for_somebody_who_has_gone_is_dropped() {
    let body = "
do:
  - race:
      fork:
        compete: true
        branches:
          - asks: {set: {a: '${ limit(1; repeat(11)) }'}}
          - wins: {set: {b: 1}}
  - then: {set: {c: '${ limit(1; repeat(12)) }'}}
";
    let mut walk = Walk::start(body, "{}");
    let late = walk.evaluates.pop_front().expect("the loser has asked");
    let refused = walk.machine.clone().handle(
        walk.now,
        &Happened::Evaluated {
            evaluation: late.0,
            result: Ok(base::value::int(11)),
            lists: Vec::new(),
        },
    );
    assert_eq!(refused.err(), Some(engine::machine::Misfit::EvaluationUnknown(late.0)));
    assert_eq!(walk.finish().output(), r#"{"c":12}"#);
}
