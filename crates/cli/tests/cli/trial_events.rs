//! `isonomy test` with events: sent to the workflow under test, and emitted by it.

use crate::support::{Home, document, golden};

/// Offers a ticket to one after another, and tells how it ended.
const TASKS: &str = "
  - each-person:
      for: { each: person, in: .line }
      while: .taken | not
      do:
        - hear:
            try:
              - wait-for:
                  listen: { to: { one: { with: { type: ticket.taken, subject: '${ . == $person }' } } } }
                  timeout: { after: PT15M }
                  output: { as: '${ $input + {taken: $person} }' }
            catch: { errors: { with: { status: 408 } }, do: [ { next: { set: '${ . }' } } ] }
  - told:
      emit: { event: { with: { source: /desk, type: ticket.closed, subject: '${ .taken // \"nobody\" }', data: { of: 3 } } } }
";

const TESTS: &str = "
cases:
  - name: the first takes it at once
    input: { line: [ada, grace] }
    events: [{ type: ticket.taken, subject: ada, when: wait-for }]
    expect:
      events: [{ type: ticket.closed, source: /desk, subject: ada, data: { of: 3.0 } }]
      takes: PT0S
  - name: what comes for another is not taken, and what comes later is
    input: { line: [ada, grace] }
    events:
      - { type: ticket.taken, subject: grace, when: wait-for }
      - { type: ticket.taken, subject: grace, after: PT16M, data: 1, urgent: true }
    expect:
      order: [wait-for, wait-for]
      events: [{ subject: grace }]
      takes: PT16M
  - name: each listens after the one before it was told
    input: { line: [ada, ada, ada] }
    events:
      - { type: ticket.taken, subject: bob, when: wait-for, after: PT15M0.001S }
      - { type: ticket.taken, subject: ada, when: wait-for }
    expect: { order: [wait-for, wait-for], takes: PT15M0.001S }
";

const WRONG: &str = "
cases:
  - name: other events
    input: { line: [] }
    expect:
      events:
        - { type: ticket.opened }
        - { type: ticket.closed, subject: ada, data: { of: 3 } }
  - name: none are expected
    input: { line: [] }
    expect: { events: [] }
  - name: nobody listens any more
    input: { line: [ada] }
    events:
      - { type: ticket.taken, subject: ada, when: wait-for }
      - { type: ticket.taken, subject: ada, after: PT1H }
  - name: nobody takes it
    input: { line: [ada] }
    events:
      - { type: ticket.taken, subject: grace, when: wait-for }
      - { type: other }
    expect: { events: [{ subject: ada }] }
";

fn home(tests: &str) -> Home {
    let home = Home::new();
    home.write("desk.yaml", &document("desk", TASKS).replace("do:\n\n", "do:\n"));
    home.write("desk.test.yaml", tests);
    home
}

/// Mutation: send without waiting for the task, or before all that was sent is heard; count `after`
/// from the begin; let the wait for rest take time.
#[test]
fn events_are_sent_at_their_moment() {
    let home = home(TESTS);
    let ended = home.run(&["test", "."]).ends_with(0);
    assert!(ended.stdout.ends_with("3 passed, 0 failed\n"), "{}", ended.stdout);
}

/// Mutation: take a task that has heard what it waited for, and has not said so, for one that listens.
#[test]
fn a_task_that_listens_again_is_waited_for() {
    let home = Home::new();
    let tasks = "
  - each:
      for: { each: number, in: '[1, 2, 3]' }
      do:
        - hear: { listen: { to: { one: { with: { type: x, data: '${ tostring | test(\"[0-9]\") }' } } } } }
        - keep: { set: { heard: '${ .[0] }' } }
";
    home.write("twice.yaml", &document("twice", tasks).replace("do:\n\n", "do:\n"));
    home.write(
        "twice.test.yaml",
        "
cases:
  - name: a
    events:
      - { type: x, data: 1, when: hear }
      - { type: x, data: 2, when: hear }
      - { type: x, data: 3, when: hear }
    expect: { output: { heard: 3 }, order: [hear, hear, hear], takes: PT0S }
",
    );
    let ended = home.run(&["test", "."]).ends_with(0);
    assert!(ended.stdout.ends_with("1 passed, 0 failed\n"), "{}", ended.stdout);
}

/// Mutation: let one event more or less pass, compare without the order, show more of an event than
/// was asked, or say nothing of what was not sent.
#[test]
fn what_is_emitted_otherwise_is_shown() {
    let home = home(WRONG);
    golden("test-events-failed.txt", &home.run(&["test", "desk.yaml"]).ends_with(1).stdout);
    let report = home.run(&["test", "desk.yaml", "-o", "json"]).ends_with(1).json();
    let cases = report["files"][0]["cases"].as_array().expect("cases");
    assert_eq!(cases[0]["emitted"][0]["type"], "ticket.closed", "{report}");
    assert_eq!(cases[3]["untakenEvents"].as_array().map(Vec::len), Some(2), "{report}");
}

/// Begins by an order and its payment, and hears of the shipment.
const SHIP: &str = "
document: { dsl: '1.0.3', namespace: default, name: ship, version: '1.0.0' }
schedule:
  on:
    all:
      - with: { type: order.placed }
        correlate: { order: { from: '${ .data.order }' } }
      - with: { type: order.paid, data: '${ .order | tostring | test(\"^[0-9]\") }' }
        correlate: { order: { from: '${ .data.order }' } }
do:
  - pack: { emit: { event: { with: { source: /ship, type: order.packed, data: '${ .[0] }' } } } }
  - sent: { listen: { to: { one: { with: { type: order.sent } } } } }
  - done: { set: { order: '${ $workflow.input[0].order }' } }
";

const SHIP_TESTS: &str = "
cases:
  - name: an order is shipped when it is paid
    events:
      - { type: order.placed, data: { order: 1 } }
      - { type: order.placed, data: { order: 2 }, after: PT1H }
      - { type: order.paid, data: { order: 2 }, after: PT1H }
      - { type: order.sent, when: sent, after: PT1M }
    expect:
      output: { order: 2 }
      events: [{ type: order.packed, data: { order: 2 } }]
      takes: PT1M
  - name: each order has a run of its own
    events:
      - { type: order.placed, data: { order: 1 } }
      - { type: order.placed, data: { order: 2 } }
      - { type: order.paid, data: { order: 2 } }
      - { type: order.paid, data: { order: 1 } }
      - { type: order.sent, when: sent }
    expect:
      runs: 2
      output: [{ order: 2 }, { order: 1 }]
      order: [done, done]
      takes: PT0S
  - name: what is not paid is not shipped
    events: [{ type: order.placed, data: { order: 1 } }]
    expect: { runs: 0, events: [] }
  - name: with an input it is begun as it stands
    input: [{ order: 9 }]
    events: [{ type: order.sent, when: sent }]
    expect: { output: { order: 9 } }
";

/// Mutation: begin a run for each event, mix the orders, begin none for the second set, or let an
/// evaluation in another process count as rest.
#[test]
fn events_begin_the_runs_of_a_workflow_that_asks_for_them() {
    let home = Home::new();
    home.write("ship.yaml", SHIP);
    home.write("ship.test.yaml", SHIP_TESTS);
    let ended = home.run(&["test", "."]).ends_with(0);
    assert!(ended.stdout.ends_with("4 passed, 0 failed\n"), "{}", ended.stdout);
    home.write(
        "ship.test.yaml",
        &SHIP_TESTS.replace("runs: 2", "runs: 3").replace("runs: 0, ", ""),
    );
    let failed = home.run(&["test", "."]).ends_with(1);
    for said in [
        "expected the events to begin 3 runs, and they began 2 runs",
        "expected the events to begin one run, and they began no run",
    ] {
        assert!(failed.stdout.contains(said), "{}", failed.stdout);
    }
}

/// Mutation: begin runs by what their own runs emit without an end.
#[test]
fn a_workflow_that_begins_itself_for_ever_is_told() {
    let home = Home::new();
    home.write(
        "echo.yaml",
        "
document: { dsl: '1.0.3', namespace: default, name: echo, version: '1.0.0' }
schedule: { on: { one: { with: { type: echo } } } }
do:
  - again: { emit: { event: { with: { source: /echo, type: echo } } } }
",
    );
    home.write("echo.test.yaml", "cases: [{ name: a, events: [{ type: echo }] }]");
    let failed = home.run(&["test", "."]).ends_with(1);
    assert!(failed.stdout.contains("the events have begun 1000 runs"), "{}", failed.stdout);
}

/// Mutation: run what can be run of a wrong file.
#[test]
fn an_event_that_cannot_be_meant_is_refused_at_its_place() {
    let home = home(TESTS);
    for (tests, said) in [
        (
            "cases:\n  - name: a\n    events:\n      - {data: 1}",
            "`type` is missing\n  --> ./desk.test.yaml:4",
        ),
        ("cases:\n  - {name: a, events: [a]}", "an event is an object"),
        (
            "cases:\n  - {name: a, events: [{type: a, when: wait}]}",
            "hint: did you mean `wait-for`?",
        ),
        ("cases:\n  - {name: a, events: [{type: a, when: told}]}", "task `told` does not listen"),
        ("cases:\n  - {name: a, events: [{type: a, after: soon}]}", "`after` is not a duration"),
        (
            "cases:\n  - {name: a, events: [{type: a}], expect: {runs: 1}}",
            "whose events begin runs",
        ),
    ] {
        home.write("desk.test.yaml", tests);
        let ended = home.run(&["test", "."]).ends_with(2);
        assert!(ended.stderr.contains(said), "{tests}\n{}", ended.stderr);
    }
}
