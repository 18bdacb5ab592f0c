//! Extensions: what is done around a task, when, and what that changes.

use std::collections::BTreeSet;

use engine::record::{Decided, Happened};

use crate::walk::{Walk, by, check};

/// A log of names, kept in the context.
const LOG: &str = "
    - log:
        extend: all
        before: [{in: {set: {x: 1}, export: {as: '${ {log: ($context.log + [\"> \" + $task.name])} }'}}}]
        after: [{out: {set: {x: 1}, export: {as: '${ {log: ($context.log + [\"< \" + $task.name])} }'}}}]
";

/// Mutation: hand a list's output to the task or on to the next one, begin the body before the lists
/// are done, or extend the tasks of extensions.
#[test]
fn lists_before_and_after_look_on() {
    let body = format!(
        "
use:
  extensions:{LOG}
do:
  - one: {{set: {{n: '${{ .n + 1 }}'}}}}
  - group: {{do: [{{two: {{set: {{n: '${{ .n + 1 }}'}}}}}}]}}
output: {{as: '${{ {{n: .n, log: ($context.log | join(\" \"))}} }}'}}
"
    );
    check(&body, r#"{"n":1}"#, r#"{"n":3,"log":"> one < one > group > two < two < group"}"#);
}

/// Mutation: extend every task, or compare the kind's whole name.
#[test]
fn an_extension_extends_its_kind_of_task_only() {
    let kinds = [
        ("set", "set"),
        ("call", "call fn"),
        ("composite", "do fork"),
        ("for", "for"),
        ("switch", "switch"),
        ("try", "try"),
        ("wait", "wait"),
    ];
    for (extend, expected) in kinds {
        let body = format!(
            "
use:
  extensions:
    - log:
        extend: {extend}
        before: [{{in: {{set: {{x: 1}}, export: {{as: '${{ {{log: ($context.log + [$task.name])}} }}'}}}}}}]
do:
  - set: {{set: {{n: 1}}}}
  - call: {{call: http, with: {{method: get, endpoint: 'http://world/ok/x'}}}}
  - fn: {{call: 'echo:1.0.0@default'}}
  - do: {{do: []}}
  - fork: {{fork: {{branches: []}}}}
  - for: {{for: {{in: '${{ [] }}'}}, do: []}}
  - switch: {{switch: [{{a: {{then: continue}}}}]}}
  - try: {{try: [], catch: {{}}}}
  - wait: {{wait: PT1S}}
output: {{as: '${{ $context.log | join(\" \") }}'}}
"
        );
        check(&body, "{}", &format!("\"{expected}\""));
    }
}

/// Mutation: do the task in spite of `exit`, give its own input as output, skip its `output.as`, or
/// do the lists after of extensions that never let it pass.
#[test]
fn exit_before_a_task_takes_its_place() {
    let body = format!(
        "
use:
  extensions:{LOG}
    - mock:
        extend: call
        when: $task.with.endpoint == \"http://world/mocked\" and . == $task.input
        before:
          - answer: {{set: {{mocked: true}}, then: exit}}
          - never: {{raise: {{error: {{type: a, status: 500}}}}}}
        after: [{{never: {{raise: {{error: {{type: b, status: 500}}}}}}}}]
    - late:
        extend: call
        when: $task.name == \"ask\"
        before: [{{never: {{raise: {{error: {{type: c, status: 500}}}}}}}}]
do:
  - ask: {{call: http, with: {{method: get, endpoint: 'http://world/mocked'}}, output: {{as: '${{ {{got: ., raw: $task.output}} }}'}}}}
  - real: {{call: 'echo:1.0.0@default', with: {{got: '${{ .got }}'}}}}
output: {{as: '${{ {{out: ., log: ($context.log | join(\" \"))}} }}'}}
"
    );
    let walk = Walk::run(&body, "{}");
    // What is asked of `real` by `mock`: its definition has no endpoint, and `null` is not equal.
    assert_eq!(
        walk.output(),
        r#"{"out":{"got":{"mocked":true}},"log":"> ask < ask > real < real"}"#
    );
    assert!(walk.world.books().keys.iter().all(|(activation, _)| activation.contains("real")));
}

/// Mutation: evaluate `when` of each extension just before its list, or take an error in it for no.
#[test]
fn when_is_asked_once_and_its_error_is_the_tasks() {
    let body = "
use:
  extensions:
    - first: {extend: set, before: [{a: {set: {x: 1}, export: {as: '${ {seen: true} }'}}}]}
    - second: {extend: set, when: '$context.seen == true', before: [{b: {raise: {error: {type: b, status: 500}}}}]}
do:
  - one: {set: {n: '${ $context.seen }'}}
";
    check(body, "{}", r#"{"n":true}"#);
    let walk = Walk::run(&body.replace("$context.seen == true", "1 | keys"), "{}");
    assert_eq!(walk.fault().instance.as_deref(), Some("/do/0/one"));
    assert_eq!(walk.begun(), ["/one"]);
}

/// Mutation: leave the extension, or its phase, out of the activation.
#[test]
fn every_task_of_an_extension_has_its_own_activation_and_key() {
    let call = "call: http, with: {method: post, endpoint: 'http://world/ok/log'}";
    let body = format!(
        "
use:
  extensions:
    - one: {{extend: set, before: [{{log: {{{call}}}}}], after: [{{log: {{{call}}}}}]}}
    - two: {{extend: set, before: [{{log: {{{call}}}}}], after: [{{log: {{{call}}}}}]}}
do:
  - a: {{for: {{in: '${{ [1,2] }}'}}, do: [{{s: {{set: {{n: 1}}}}}}]}}
"
    );
    let walk = Walk::run(&body, "{}");
    let books = walk.world.books();
    let asked: Vec<&str> = books.keys.iter().map(|(activation, _)| activation.as_str()).collect();
    let expected = [
        "/a[0]/s.before0/log",
        "/a[0]/s.before1/log",
        "/a[0]/s.after1/log",
        "/a[0]/s.after0/log",
        "/a[1]/s.before0/log",
        "/a[1]/s.before1/log",
        "/a[1]/s.after1/log",
        "/a[1]/s.after0/log",
    ];
    assert_eq!(asked, expected);
    let keys: BTreeSet<&String> = books.keys.iter().map(|(_, key)| key).collect();
    assert_eq!(keys.len(), expected.len());
}

const AROUND_A_CALL: &str = "
use:
  extensions:
    - log:
        extend: call
        before: [{log: {call: http, with: {method: post, endpoint: 'http://world/ok/before'}}}]
        after: [{log: {call: http, with: {method: post, endpoint: 'http://world/bad-then-ok'}}}]
do:
";

/// Mutation: count a definite answer to an extension's effect on a node that a retry throws away.
#[test]
fn a_task_that_a_person_has_done_again_logs_again_under_new_keys() {
    let body = format!(
        "{AROUND_A_CALL}  - ask: {{call: http, with: {{method: post, endpoint: 'http://world/bad-then-ok'}}}}\n"
    );
    let mut walk = Walk::run(&body, "{}");
    assert_eq!(walk.fault().instance.as_deref(), Some("/do/0/ask"));
    // The call is refused once, then what logs after it.
    for instance in ["/use/extensions/0/log/after/0/log", ""] {
        walk.feed(Happened::RetryRequested(by("operator")));
        walk = walk.finish();
        let ended = walk.machine.ended().expect("it ended");
        let fault = ended.fault.as_ref().and_then(|fault| fault.instance.as_deref());
        assert_eq!(fault.unwrap_or_default(), instance);
    }
    assert_eq!(walk.output(), r#"{"did":"later"}"#);
    let asked: Vec<(String, String)> = walk
        .world
        .books()
        .keys
        .into_iter()
        .map(|(activation, key)| (activation, key[key.len() - 2..].to_owned()))
        .collect();
    let expected = [
        ("/ask.before0/log", "-0"),
        ("/ask", "-0"),
        ("/ask*2.before0/log", "-1"),
        ("/ask*2", "-1"),
        ("/ask*2.after0/log", "-0"),
        ("/ask*2.after0/log*2", "-1"),
    ];
    assert_eq!(asked, expected.map(|(activation, end)| (activation.to_owned(), end.to_owned())));
}

/// Mutation: let the timer go by while an extension is at work, or begin the task anew although its
/// extension had begun.
#[test]
fn a_timeout_cuts_an_extension_off_and_a_retry_takes_it_up_again() {
    let body = "
use:
  extensions:
    - slow: {extend: set, before: [{hang: {call: http, with: {method: get, endpoint: 'http://world/hang'}}}]}
do:
  - one: {timeout: {after: PT1S}, set: {n: 1}}
";
    let mut walk = Walk::run(body, "{}");
    assert_eq!((walk.fault().status, walk.fault().instance.as_deref()), (408, Some("/do/0/one")));
    walk.feed(Happened::RetryRequested(by("operator")));
    let walk = walk.finish();
    assert_eq!(walk.fault().status, 408);
    let books = walk.world.books();
    assert!(
        books.keys.iter().all(|(activation, _)| activation == "/one.before0/hang"),
        "{books:?}"
    );
    let keys: BTreeSet<&String> = books.keys.iter().map(|(_, key)| key).collect();
    assert_eq!(keys.len(), 1, "no answer came, so the key stays");
}

/// Mutation: let a try task catch what its own extension raises.
#[test]
fn an_error_before_a_try_task_is_not_caught_by_it() {
    let body = "
use:
  extensions:
    - bad: {extend: try, before: [{boom: {raise: {error: {type: 'https://example.com/e', status: 418}}}}]}
do:
  - guard: {try: [{fine: {set: {a: 1}}}], catch: {do: [{wrong: {set: {a: 2}}}]}}
";
    let walk = Walk::run(body, "{}");
    assert_eq!(walk.fault().instance.as_deref(), Some("/use/extensions/0/bad/before/0/boom"));
}

/// Mutation: let `end` in an extension only leave its list, or run an extension of a skipped task.
#[test]
fn end_in_an_extension_ends_the_run_and_a_skipped_task_has_none() {
    let body = "
use:
  extensions:
    - stop: {extend: set, before: [{last: {do: [{x: {set: {stopped: '${ $task.name }'}}}], then: end}}]}
do:
  - skipped: {if: 'false', set: {n: 0}}
  - one: {set: {n: 1}}
  - two: {set: {n: 2}}
";
    let walk = Walk::run(body, "{}");
    assert_eq!(walk.output(), r#"{"stopped":"one"}"#);
}

/// Mutation: lose the way that a switch chose while an extension looks at its output, or follow it
/// where the switch was not done.
#[test]
fn a_switch_goes_where_its_case_says_unless_it_is_replaced() {
    let body = "
use:
  extensions:
    - look: {extend: switch, after: [{x: {set: {seen: '${ . }'}}}]}
    - replace: {extend: switch, when: .replace, before: [{x: {set: {replaced: true}, then: exit}}]}
do:
  - choose: {switch: [{a: {then: chosen}}], then: other}
  - never: {set: {wrong: true}}
  - chosen: {set: {chosen: true}, then: end}
  - other: {set: {other: '${ . }'}, then: end}
";
    check(body, r#"{"replace":false}"#, r#"{"chosen":true}"#);
    check(body, r#"{"replace":true}"#, r#"{"other":{"replaced":true}}"#);
}

/// Mutation: leave what an extension of a cancelled branch asked for in flight.
#[test]
fn a_loser_of_a_race_takes_its_extensions_with_it() {
    let body = "
use:
  extensions:
    - slow: {extend: call, before: [{hang: {call: http, with: {method: get, endpoint: 'http://world/hang'}}}]}
do:
  - race:
      fork:
        compete: true
        branches:
          - loses: {call: 'echo:1.0.0@default', with: {never: true}}
          - wins: {wait: PT1S}
  - after: {set: {n: 1}}
";
    let walk = Walk::run(body, "{}");
    assert_eq!(walk.output(), r#"{"n":1}"#);
    let abandoned = walk.decided().filter(|it| matches!(it, Decided::Abandoned { .. })).count();
    assert_eq!(abandoned, 1);
}

/// Mutation: forget the results of expressions that were evaluated outside, or whom an extension
/// extends, while one is.
#[test]
fn an_extension_may_ask_outside() {
    let body = "
use:
  extensions:
    - slow:
        extend: set
        when: limit(1; repeat(10)) == 10
        before: [{x: {set: {at: '${ limit(1; repeat(11)) }', of: '${ $task.name }'}, export: {as: {was: '${ . }', n: '${ limit(1; repeat(12)) }'}}}}]
do:
  - one: {set: {n: '${ limit(1; repeat(13)) }'}, output: {as: {was: '${ . }', n: '${ limit(1; repeat(14)) }'}}}
output: {as: '${ [., $context] }'}
";
    let output = r#"[{"was":{"n":13},"n":14},{"was":{"at":11,"of":"one"},"n":12}]"#;
    check(body, "{}", output);
}

/// Mutation: show tasks after another one what it was given instead of what it gave, or nothing.
#[test]
fn what_comes_after_a_task_sees_its_output() {
    let body = "
use:
  extensions:
    - looks:
        extend: set
        after: [{see: {set: {input: '${ $task.input }', output: '${ $task.output }'}, export: {as: '${ . }'}}}]
do:
  - one: {set: {n: '${ .n + 1 }'}}
output: {as: '${ $context }'}
";
    check(body, r#"{"n":1}"#, r#"{"input":{"n":1},"output":{"n":2}}"#);
}

/// Mutation: forget the extended task's visits, loops or gotos within a list.
#[test]
fn lists_of_extensions_are_lists_like_any_other() {
    let body = "
use:
  extensions:
    - count:
        extend: call
        before:
          - more: {set: {n: '${ (.n // 0) + 1 }'}}
          - again: {switch: [{yes: {when: '.n < 3', then: more}}]}
          - note: {set: {n: '${ .n }'}, export: {as: '${ {n: .n, of: $task.name, at: $task.reference, raw: $task.input} }'}}
do:
  - ask: {call: 'echo:1.0.0@default', with: {own: '${ . }'}}
output: {as: '${ [., $context] }'}
";
    let output = r#"[{"own":{"z":1}},{"n":3,"of":"ask","at":"/do/0/ask","raw":{"z":1}}]"#;
    let walk = Walk::run(body, r#"{"z":1}"#);
    assert_eq!(walk.output(), output);
    assert!(walk.begun().contains(&"/ask.before0/more#3".to_owned()), "{:?}", walk.begun());
}
