//! Data and control flow, as the specification and its conformance kit have them.

use crate::walk::{Walk, check, value};
use base::value::to_json_string;

/// Mutation: let `set` merge into its input in place of replacing it.
#[test]
fn set_replaces_the_data() {
    check(
        "do: [{a: {set: {b: '${ .x }', c: [1, '${ .x + 1 }']}}}]",
        r#"{"x":1}"#,
        r#"{"b":1,"c":[1,2]}"#,
    );
}

/// Mutation: swap the order of input, body, output.
#[test]
fn data_flows_through_from_body_as_and_export() {
    let body = "
input: {from: '${ .wrapped }'}
do:
  - first:
      input: {from: .user}
      set: {name: '${ .name }', whole: '${ $input.name }'}
      output: {as: '${ {n: .name, raw: $task.output.whole} }'}
      export: {as: '${ {seen: .n} }'}
  - second:
      set: {n: '${ .n }', raw: '${ .raw }', context: '${ $context.seen }'}
output: {as: '${ {result: .} }'}
";
    let input = r#"{"wrapped":{"user":{"name":"ada"}}}"#;
    check(body, input, r#"{"result":{"n":"ada","raw":"ada","context":"ada"}}"#);
}

/// Mutation: evaluate `in` anew in each iteration, or do not hand on the iteration's output.
#[test]
fn a_loop_hands_its_data_on() {
    let body = "
do:
  - each:
      for: {each: color, in: .colors}
      do:
        - mark:
            set:
              processed: '${ {colors: (.processed.colors + [$color]), indexes: (.processed.indexes + [$index])} }'
";
    let output = r#"{"processed":{"colors":["red","green"],"indexes":[0,1]}}"#;
    check(body, r#"{"colors":["red","green"]}"#, output);
}

/// Mutation: check `while` after the iteration.
#[test]
fn while_ends_a_loop_before_the_iteration() {
    let body = "
do:
  - each: {for: {in: '${ [1,2,3,4] }'}, while: '$item < 3', do: [{add: {set: {n: '${ .n + $item }'}}}]}
";
    check(body, r#"{"n":0}"#, r#"{"n":3}"#);
    check("do: [{none: {for: {in: .}, do: [{a: {set: {x: 1}}}]}}]", "[]", "[]");
}

/// Mutation: take the first case without looking at `when`.
#[test]
fn switch_goes_where_the_first_true_case_says() {
    let body = "
do:
  - choose:
      switch:
        - red: {when: '.color == \"red\"', then: paint}
        - green: {when: '${ .color == \"green\" }', then: end}
      then: other
  - paint: {set: {painted: true}, then: end}
  - other: {set: {painted: false}}
";
    check(body, r#"{"color":"red"}"#, r#"{"painted":true}"#);
    check(body, r#"{"color":"green"}"#, r#"{"color":"green"}"#);
    check(body, r#"{"color":"blue"}"#, r#"{"painted":false}"#);
}

/// Mutation: let a skipped task's `then` be followed.
#[test]
fn a_task_whose_condition_is_false_is_skipped() {
    let body = "
do:
  - never: {if: '.x > 5', set: {y: 1}, then: end}
  - always: {set: {y: '${ .x }'}}
";
    let walk = Walk::run(body, r#"{"x":2}"#);
    assert_eq!(walk.output(), r#"{"y":2}"#);
    assert_eq!(walk.completed(), ["always"]);
}

/// Mutation: let `exit` end the run, or `end` only leave the list.
#[test]
fn exit_leaves_the_list_and_end_the_run() {
    let body = |then: &str| {
        format!(
            "
do:
  - outer:
      do:
        - one: {{set: {{at: one}}, then: {then}}}
        - two: {{set: {{at: two}}}}
  - after: {{set: {{at: '${{ .at + \" after\" }}'}}}}
"
        )
    };
    check(&body("continue"), "{}", r#"{"at":"two after"}"#);
    check(&body("exit"), "{}", r#"{"at":"one after"}"#);
    check(&body("end"), "{}", r#"{"at":"one"}"#);
}

/// Mutation: collect outputs in the order of completion.
#[test]
fn fork_returns_outputs_in_the_order_of_its_branches() {
    let body = "
do:
  - both:
      fork:
        branches:
          - slow: {do: [{wait: {wait: PT1S}}, {done: {set: {who: slow}}}]}
          - quick: {set: {who: quick}}
";
    let walk = Walk::run(body, "{}");
    assert_eq!(walk.output(), r#"[{"who":"slow"},{"who":"quick"}]"#);
    assert_eq!(walk.completed(), ["quick", "wait", "done", "slow", "both"]);
}

/// Mutation: let losers go on, or do not abandon their effects.
#[test]
fn a_race_is_won_once_and_the_losers_are_abandoned() {
    let body = "
do:
  - race:
      fork:
        compete: true
        branches:
          - hangs: {call: http, with: {method: get, endpoint: 'http://world/hang'}}
          - wins: {call: http, with: {method: get, endpoint: 'http://world/ok/me'}}
          - waits: {wait: PT1H}
";
    let walk = Walk::run(body, "{}");
    assert_eq!(walk.output(), r#"{"did":"me"}"#);
    let abandoned = walk
        .decided()
        .filter(|decided| matches!(decided, engine::record::Decided::Abandoned { .. }));
    assert_eq!(abandoned.count(), 1);
    assert!(walk.timers.is_empty() && walk.performs.is_empty());
}

/// Mutation: take the time of the wait from somewhere else than the record.
#[test]
fn a_wait_lasts_as_long_as_it_says() {
    let walk = Walk::run(
        "do: [{nap: {wait: {minutes: 1, seconds: 5}}}, {then: {set: {at: '${ $task.startedAt.epoch.milliseconds }'}}}]",
        "{}",
    );
    let at = crate::walk::START.plus(base::Duration::from_secs(65)).as_millis();
    assert_eq!(walk.output(), format!(r#"{{"at":{at}}}"#));
    let expressed = Walk::run("do: [{nap: {wait: '${ .for }'}}]", r#"{"for":"PT2S"}"#);
    assert_eq!(expressed.now, crate::walk::START.plus(base::Duration::from_secs(2)));
}

/// Mutation: do not run the branches' tasks against the fork's input.
#[test]
fn a_call_gets_its_arguments_evaluated() {
    let body =
        "do: [{ask: {call: 'echo:1.0.0@default', with: {n: '${ .n }', list: [1, '${ .n * 2 }']}}}]";
    check(body, r#"{"n":4}"#, r#"{"n":4,"list":[1,8]}"#);
}

/// Mutation: fill places from the context, or do not encode them.
#[test]
fn an_endpoint_is_filled_from_the_input() {
    let body = "do: [{ask: {call: http, with: {method: get, endpoint: 'http://world/ok/{id}'}}}]";
    check(body, r#"{"id":"a b"}"#, r#"{"did":"a%20b"}"#);
    let walk = Walk::run(body, r#"{"id":[1]}"#);
    assert_eq!(walk.fault().kind(), base::ErrorType::Configuration);
}

/// Mutation: pass a value where the schema says otherwise, or name the value in the message.
#[test]
fn schemas_are_checked_at_every_position() {
    let schema =
        "{schema: {document: {type: object, required: [n], properties: {n: {type: integer}}}}}";
    for body in [
        format!("input: {schema}\ndo: [{{a: {{set: {{n: 1}}}}}}]"),
        format!("do: [{{a: {{input: {schema}, set: {{n: 1}}}}}}]"),
        format!("do: [{{a: {{output: {schema}, set: '${{ . }}'}}}}]"),
        format!("do: [{{a: {{export: {schema}, set: '${{ . }}'}}}}]"),
        format!("output: {schema}\ndo: [{{a: {{set: '${{ . }}'}}}}]"),
    ] {
        let walk = Walk::run(&body, r#"{"n":"tumour"}"#);
        let fault = walk.fault();
        assert_eq!(fault.kind(), base::ErrorType::Validation, "{body}: {fault}");
        assert!(!fault.to_string().contains("tumour"), "{fault}");
    }
}

/// Mutation: stop at the budget of steps, or commit nothing there.
#[test]
fn a_long_loop_without_effects_yields_and_goes_on() {
    let body = "
do:
  - count: {set: {n: '${ .n + 1 }'}}
  - again: {switch: [{more: {when: '.n < 5000', then: count}}], then: end}
";
    let walk = Walk::run(body, r#"{"n":0}"#);
    assert_eq!(walk.output(), r#"{"n":5000}"#);
    let yields =
        walk.records.iter().filter(|record| record.happened == engine::record::Happened::Continued);
    assert!(yields.count() >= 2);
}

/// Mutation: build the descriptors from the transformed input.
#[test]
fn descriptors_say_who_and_where() {
    let body = "do: [{look: {input: {from: .inner}, set: {name: '${ $task.name }', at: '${ $task.reference }', raw: '${ $task.input }', run: '${ $workflow.id }', first: '${ $workflow.input }', who: '${ $runtime.name }', kind: '${ $task.definition.set.name }'}}}]";
    let walk = Walk::run(body, r#"{"inner":1}"#);
    let output = value(&walk.output());
    let get = |key| to_json_string(base::value::get(&output, key).expect(key));
    assert_eq!(get("name"), r#""look""#);
    assert_eq!(get("at"), r#""/do/0/look""#);
    assert_eq!(get("raw"), r#"{"inner":1}"#);
    assert_eq!(get("first"), r#"{"inner":1}"#);
    assert_eq!(get("who"), r#""isonomy""#);
    assert_eq!(get("kind"), r#""${ $task.name }""#);
    assert!(get("run").starts_with(r#""run_"#));
}

/// Mutation: give a loop's variables to the first task of an iteration only.
#[test]
fn every_task_of_an_iteration_sees_its_variables() {
    let body = "
do:
  - each:
      for: {each: x, at: i, in: '${ [7, 8] }'}
      do: [{one: {set: {n: '${ $x }'}}}, {two: {set: {n: '${ .n }', x: '${ $x }', i: '${ $i }'}}}]
";
    check(body, "{}", r#"{"n":8,"x":8,"i":1}"#);
}

/// Mutation: forget what is ready elsewhere when a race is over.
#[test]
fn the_end_of_a_race_touches_nothing_beside_it() {
    let body = "
do:
  - both:
      fork:
        branches:
          - race: {fork: {compete: true, branches: [{a: {set: {a: 1}}}, {b: {do: [{c: {set: {c: 1}}}, {d: {set: {d: 1}}}]}}]}}
          - beside: {do: [{e: {set: {e: 1}}}, {f: {do: [{g: {set: {g: 1}}}]}}, {h: {set: {h: 1}}}]}
";
    check(body, "{}", r#"[{"a":1},{"h":1}]"#);
}
