//! `emit` and `listen` in the core: which events are taken, and what follows.

use base::value::to_json_string;
use engine::machine::{LISTENER_BYTES_MAX, LISTENER_EVENTS_MAX, Machine, Misfit, Step};
use engine::record::{Decided, Happened, NoteKind, Record, SEMANTICS, Started};
use store::RunState;

use crate::walk::{START, Walk, by, started, value, workflow};

/// A run that listens, the data of events that come, and what the run gives.
#[track_caller]
fn check(listen: &str, events: &[&str], output: &str) {
    let mut walk = Walk::start(&format!("do: [{{hear: {listen}}}]"), r#"{"order":7}"#);
    for event in events {
        walk.event(event);
    }
    assert_eq!(walk.finish().output(), to_json_string(&value(output)), "{listen}");
}

/// The same, for events after which the run still waits.
#[track_caller]
fn waits(listen: &str, events: &[&str]) {
    let mut walk = Walk::start(&format!("do: [{{hear: {listen}}}]"), r#"{"order":7}"#);
    for event in events {
        walk.event(event);
    }
    assert_eq!(walk.machine.state(), RunState::Waiting, "{listen}");
    walk.replayed();
}

const A: &str = r#"{"type":"a","data":1}"#;
const B: &str = r#"{"type":"b","data":2}"#;
const C: &str = r#"{"type":"c","data":3}"#;

/// Mutation: complete `all` with the first event, or give one event to two of its filters.
#[test]
fn one_any_and_all_take_what_they_say() {
    check("{listen: {to: {one: {with: {type: a}}}}}", &[B, A, C], "[1]");
    check("{listen: {to: {any: [{with: {type: a}}, {with: {type: b}}]}}}", &[C, B, A], "[2]");
    check("{listen: {to: {any: []}}}", &[C, A], "[3]");
    check("{listen: {to: {all: [{with: {type: a}}, {with: {type: b}}]}}}", &[B, B, C, A], "[2,1]");
    let same = "{listen: {to: {all: [{with: {type: a}}, {with: {data: 1}}]}}}";
    waits(same, &[A]);
    check(same, &[A, r#"{"type":"x","data":1}"#], "[1,1]");
    waits("{listen: {to: {one: {with: {type: a}}}}}", &[B, r#"{"type":"aa"}"#]);
}

/// Mutation: put events of `until` into the output, evaluate the condition before the event, or
/// forget what was met between two events.
#[test]
fn until_says_when_it_is_enough() {
    check("{listen: {to: {any: [], until: '( . | length ) > 2'}}}", &[A, B, C, A], "[1,2,3]");
    let consumed = "{listen: {to: {any: [{with: {type: a}}], until: {one: {with: {type: c}}}}}}";
    check(consumed, &[A, B, A, C], "[1,1]");
    check(consumed, &[C], "[]");
    let both = "{listen: {to: {any: [], until: {all: [{with: {type: a}}, {with: {type: b}}]}}}}";
    check(both, &[C, A, C, A, B], "[3,3,1]");
    waits("{listen: {to: {any: [], until: '${ false }'}}}", &[A, B, C]);
}

/// Mutation: take a part of a text for the whole, take a failed expression for a match, or match an
/// attribute that is not there.
#[test]
fn a_filter_is_text_a_pattern_an_expression_or_a_part_of_the_data() {
    let one = |with: &str| format!("{{listen: {{to: {{one: {{with: {with}}}}}}}}}");
    let event =
        r#"{"type":"com.acme.order","subject":"s","ext":true,"data":{"n":5,"t":"x","in":{"a":1}}}"#;
    let data = r#"[{"n":5,"t":"x","in":{"a":1}}]"#;
    for with in [
        "{type: com.acme.order}",
        r"{type: 'com\.acme\..*'}",
        "{data: '${ .n > 4 }'}",
        "{data: {n: 5}}",
        "{data: {n: '${ . == 5 }', in: {a: 1}}}",
        "{subject: '${ \"s\" }'}",
        "{ext: true}",
        "{source: '${ . | startswith(\"/out\") }'}",
    ] {
        check(&one(with), &[event], data);
    }
    for with in [
        "{type: acme}",
        r"{type: 'com\.acme'}",
        "{type: comXacmeXorder}",
        "{data: '${ .n > 5 }'}",
        "{data: '${ .n.x.y }'}",
        "{data: {n: 6}}",
        "{data: {missing: '${ true }'}}",
        "{missing: '${ true }'}",
        "{data: {in: {a: 1, b: 2}}}",
    ] {
        waits(&one(with), &[event]);
    }
}

/// Mutation: look at an evaluation outside in the replay, or offer with the results of another event.
#[test]
fn a_filter_may_be_evaluated_outside() {
    // Whatever the expression, the outside says "outside", so it matches an attribute that is that.
    let listen = "{listen: {to: {one: {with: {subject: '${ limit(1; repeat(1)) }'}}}}}";
    waits(listen, &[r#"{"type":"a","subject":"inside"}"#]);
    let event = r#"{"type":"a","subject":"outside","data":9}"#;
    check(listen, &[r#"{"type":"a","subject":"inside"}"#, event], "[9]");
}

/// Mutation: correlate by the newest value, ignore `expect`, or take a missing value for a match.
#[test]
fn correlated_events_belong_together() {
    let order =
        |kind: &str, order: &str| format!(r#"{{"type":"{kind}","data":{{"order":{order}}}}}"#);
    let expected = "{listen: {to: {one: {with: {type: a}, correlate: {order: {from: '${ .data.order }', expect: '${ .order }'}}}}}}";
    check(expected, &[&order("a", "6"), r#"{"type":"a"}"#, &order("a", "7")], r#"[{"order":7}]"#);
    let linked = "{listen: {to: {all: [{with: {type: a}, correlate: {order: {from: .data.order}}}, {with: {type: b}, correlate: {order: {from: .data.order}}}]}}}";
    let events = [&order("a", "1"), &order("b", "2"), &order("a", "2"), &order("b", "1")];
    check(linked, &events.map(String::as_str), r#"[{"order":1},{"order":1}]"#);
    let constant =
        "{listen: {to: {one: {with: {type: a}, correlate: {kind: {from: .subject, expect: x}}}}}}";
    check(constant, &[r#"{"type":"a","subject":"y"}"#, r#"{"type":"a","subject":"x"}"#], "[null]");
}

/// Mutation: give the data where the envelope is asked for, or the other way round.
#[test]
fn an_event_is_read_as_data_envelope_or_text() {
    let listen = |read: &str| format!("{{listen: {{to: {{any: []}}, read: {read}}}}}");
    let event =
        r#"{"type":"a","id":"1","source":"/s","time":"2026-07-01T00:00:00Z","data":{"x":1}}"#;
    check(&listen("data"), &[event], r#"[{"x":1}]"#);
    check(&listen("raw"), &[event], r#"["{\"x\":1}"]"#);
    let whole = r#"[{"specversion":"1.0","id":"1","source":"/s","type":"a","time":"2026-07-01T00:00:00Z","data":{"x":1}}]"#;
    check(&listen("envelope"), &[event], whole);
}

const EACH: &str = "
do:
  - hear:
      listen: {to: {any: [{with: {type: a}}], until: '${ length >= 3 }'}}
      foreach:
        item: it
        at: i
        do:
          - first: {call: http, with: {method: post, endpoint: 'http://world/ok/x'}}
          - second: {set: {it: '${ $it }', i: '${ $i }', before: '${ $context.sum // 0 }'}}
        output: {as: '${ [.it, .i, .before] }'}
        export: {as: '${ {sum: (($context.sum // 0) + $it)} }'}
  - after: {set: {all: '${ . }', sum: '${ $context.sum }'}}
";

/// Mutation: take the next event while an iteration runs, lose one that came meanwhile, or export
/// before the output is shaped.
#[test]
fn events_are_dealt_with_one_after_another() {
    let mut walk = Walk::start(EACH, "{}");
    for number in 1..=4 {
        walk.comes(&format!(r#"{{"type":"a","data":{number}}}"#));
        walk.comes(r#"{"type":"b"}"#);
    }
    assert!(walk.event_turn(), "the first one is taken");
    assert!(!walk.event_turn(), "and no other while it is dealt with");
    assert_eq!(walk.machine.state(), RunState::Running);
    let walk = walk.finish();
    assert_eq!(walk.output(), r#"{"all":[[1,0,0],[2,1,1],[3,2,3]],"sum":6}"#);
    let begun = walk.begun();
    assert!(begun.contains(&"/hear[2]/second".to_owned()), "{begun:?}");
}

/// Mutation: begin at the newest event of the replay, or behind an event that came later.
#[test]
fn a_listener_begins_behind_what_its_site_knew() {
    let body = "do: [{nap: {wait: PT1S}}, {hear: {listen: {to: {any: []}}}}]";
    let mut walk = Walk::start(body, "{}");
    walk.event(A);
    walk.event(B);
    assert!(walk.turn(), "the wait is over");
    let after = walk.decided().find_map(|decided| match decided {
        Decided::Listening { after, .. } => Some(*after),
        _ => None,
    });
    assert_eq!(after, Some(2));
    assert!(!walk.event_turn(), "what came before is not for it");
    walk.event(C);
    assert_eq!(walk.finish().output(), "[3]");
}

/// Mutation: hand a run what it sent before it began to listen, or keep from it what it sent after.
#[test]
fn a_run_hears_what_it_sends_while_it_listens() {
    let before =
        "do: [{tell: {emit: {event: {with: {type: a}}}}}, {hear: {listen: {to: {any: []}}}}]";
    let mut walk = Walk::start(before, "{}");
    assert!(!walk.event_turn());
    walk.event(B);
    assert_eq!(walk.finish().output(), "[2]");
    let beside = "
do:
  - both:
      fork:
        branches:
          - hear: {listen: {to: {any: []}}, output: {as: '${ .[0] }'}}
          - tell: {emit: {event: {with: {type: a, data: {n: '${ .order }'}}}}, output: {as: .type}}
";
    assert_eq!(Walk::run(beside, r#"{"order":7}"#).output(), r#"[{"n":7},"a"]"#);
}

/// Mutation: wake one listener only, or share their cursors.
#[test]
fn every_listener_sees_every_event() {
    let body = "
do:
  - both:
      fork:
        branches:
          - one: {listen: {to: {any: [], until: '${ length == 2 }'}}}
          - two: {listen: {to: {all: [{with: {type: b}}]}}}
          - three: {listen: {to: {one: {with: {type: c}}}}}
";
    let mut walk = Walk::start(body, "{}");
    for event in [A, B, C] {
        walk.event(event);
    }
    assert_eq!(walk.finish().output(), "[[1,2],[2],[3]]");
}

/// Mutation: let a run hear of its own life, or an unnamed filter of that of others.
#[test]
fn the_life_of_runs_is_told_to_those_who_ask_for_it() {
    let life = r#"{"type":"io.serverlessworkflow.workflow.completed.v1","data":{"name":"x"}}"#;
    waits("{listen: {to: {any: []}}}", &[life]);
    waits("{listen: {to: {one: {with: {data: '${ true }'}}}}}", &[life]);
    let asks = "{listen: {to: {one: {with: {type: io.serverlessworkflow.workflow.completed.v1}}}}}";
    check(asks, &[life], r#"[{"name":"x"}]"#);
}

/// Mutation: leave a default out, let the event of a second visit have the id of the first, or write
/// it without the data.
#[test]
fn an_emitted_event_has_all_that_it_must_have() {
    let body = "
do:
  - tell: {emit: {event: {with: {type: com.acme.done, prio: 3, data: {n: '${ .n }'}}}}}
  - again: {switch: [{more: {when: '$context.n == null', then: mark}}], then: end}
  - mark: {set: {n: 2}, export: {as: '${ {n: 2} }'}, then: tell}
";
    let walk = Walk::run(body, r#"{"n":1}"#);
    let told: Vec<String> =
        walk.events.iter().map(|event| to_json_string(event.event.envelope())).collect();
    assert_eq!(told.len(), 2);
    assert!(told[0].contains(r#""source":"/test/case/1.0.0","type":"com.acme.done""#), "{told:?}");
    assert!(told[0].ends_with(r#""prio":3,"data":{"n":1}}"#), "{told:?}");
    assert!(told[1].ends_with(r#""data":{"n":2}}"#), "{told:?}");
    let run = "run_01900000-0000-7000-8000-000000000001";
    let ids: Vec<&str> = walk.events.iter().map(|event| event.event.id()).collect();
    assert_eq!(ids, [format!("{run}-1"), format!("{run}-2")]);
    assert_eq!(walk.output(), told[1]);
}

/// What one record leads to of `body`, in a run of these rules.
fn first_record(body: &str, semantics: u32) -> Step {
    let workflow = workflow(body);
    let started = Started { semantics, ..started(&workflow, "{}") };
    let happened = Happened::Started(Box::new(started));
    Machine::new(workflow).handle(START, &happened).expect("it starts")
}

/// Mutation: let a record emit on and on, or yield before it must.
#[test]
fn a_run_that_only_emits_yields() {
    let body = "do: [{tell: {emit: {event: {with: {type: a}}}, then: tell}}]";
    let step = first_record(body, SEMANTICS);
    assert!(step.unfinished && step.steps < 2_000, "{}", step.steps);
    assert_eq!(step.emitted.len(), 100);
    let walk = Walk::run(
        "do: [{each: {for: {in: '${ [range(250)] }'}, do: [{tell: {emit: {event: {with: {type: a}}}}}]}}]",
        "{}",
    );
    let emitted = |record: &Record| {
        record.decided.iter().filter(|it| matches!(it, Decided::Emitted { .. })).count()
    };
    let each: Vec<usize> = walk.records.iter().map(emitted).filter(|many| *many > 0).collect();
    assert_eq!(each, [100, 100, 50]);
}

/// Mutation: name its events by number, or make it yield.
#[test]
fn a_run_of_the_older_rules_emits_as_it_did() {
    let body = "do: [{tell: {emit: {event: {with: {type: a}}}, then: tell}}]";
    let step = first_record(body, 2);
    assert!(step.unfinished && step.emitted.len() > 500, "{}", step.emitted.len());
    let id = step.emitted[0].event.id();
    assert_eq!(id.parse::<uuid::Uuid>().expect("a UUID").get_version_num(), 8);
}

/// Mutation: send it anyhow, or tell the value.
#[test]
fn an_event_that_is_none_faults_the_task() {
    let fault = |with: &str| {
        let walk = Walk::run(
            &format!("do: [{{tell: {{emit: {{event: {{with: {with}}}}}}}}}]"),
            &format!(r#"{{"secret":"s3cret key","big":"{}"}}"#, "x".repeat(1_100_000)),
        );
        assert!(walk.events.is_empty());
        let fault = walk.fault();
        assert!(fault.uri.ends_with("/validation"), "{fault:?}");
        let detail = fault.detail.clone().unwrap_or_default();
        assert!(!detail.contains("s3cret"), "{detail}");
        detail
    };
    assert!(fault("{type: '${ .secret | length }'}").contains("`type` is a number"));
    assert!(fault("{type: a, source: '${ .secret }'}").contains("not a URI"));
    assert!(fault("{type: a, time: '${ .secret }'}").contains("not a time"));
    assert!(fault("{type: a, data: '${ .big }'}").contains("bytes"));
}

/// Mutation: leave the listener where it was when its task has timed out, or was cancelled.
#[test]
fn a_timeout_and_a_cancel_end_the_listening() {
    let body = "
do:
  - guard:
      try: [{hear: {timeout: {after: PT5S}, listen: {to: {any: [], until: '${ false }'}}}}]
      catch: {as: e, do: [{tell: {set: {status: '${ $e.status }'}}}]}
";
    let mut walk = Walk::start(body, "{}");
    walk.event(A);
    assert_eq!(walk.machine.state(), RunState::Waiting);
    let walk = walk.finish();
    assert_eq!(walk.output(), r#"{"status":408}"#);
    assert!(walk.machine.listeners().is_empty());

    let mut walk = Walk::start("do: [{hear: {listen: {to: {any: []}}}}]", "{}");
    let listener = walk.machine.listeners()[0];
    walk.feed(Happened::CancelRequested(by("ada")));
    assert!(walk.machine.listeners().is_empty() && !walk.machine.is_listening());
    walk.comes(A);
    assert!(!walk.event_turn());
    assert!(!walk.machine.accepts(listener));
    walk.replayed();
}

/// Mutation: begin anew behind the newest event, or forget what was taken before the fault.
#[test]
fn a_retry_goes_on_listening_where_it_was() {
    let body = "
do:
  - hear:
      listen: {to: {any: [], until: '${ length == 3 }'}}
      foreach:
        do: [{call: {call: http, with: {method: post, endpoint: '${ if $item == 2 then \"http://world/bad-then-ok\" else \"http://world/ok/x\" end }'}}}]
        output: {as: '${ [$item, .did] }'}
";
    let mut walk = Walk::start(body, "{}");
    for event in [A, B] {
        walk.event(event);
        while walk.machine.ended().is_none() && walk.turn() {}
    }
    assert_eq!(walk.machine.state(), RunState::Faulted);
    walk.comes(C);
    walk.feed(Happened::RetryRequested(by("ada")));
    assert_eq!(walk.finish().output(), r#"[[1,"x"],[2,"later"],[3,"x"]]"#);
}

/// Mutation: take an event for a listener that has gone, or is busy.
#[test]
fn an_event_for_nobody_is_refused() {
    let mut walk = Walk::start(EACH, "{}");
    walk.comes(A);
    assert!(walk.event_turn());
    let happened = walk.records.last().expect("a record").happened.clone();
    let refused = walk.machine.clone().handle(walk.now, &happened);
    assert!(matches!(refused, Err(Misfit::ListenerUnknown(_))), "{refused:?}");
}

/// Mutation: drop the limit, or apply it where nothing is kept.
#[test]
fn a_listener_has_a_limit_unless_it_keeps_nothing() {
    let run = |until: &str| {
        let body = format!("do: [{{hear: {{listen: {{to: {{any: [], until: '{until}'}}}}}}}}]");
        let mut walk = Walk::start(&body, "{}");
        let machine = &mut walk.machine;
        for number in 1..=LISTENER_EVENTS_MAX + 1 {
            let event = crate::walk::incoming(number, r#"{"type":"a"}"#);
            let listener = machine.listeners()[0];
            let engine::machine::Offered::Taken(received) = machine.offer(listener, &event, &[])
            else {
                panic!("every event is taken")
            };
            machine.handle(walk.now, &Happened::Received(received)).expect("it listens");
            if machine.ended().is_some() {
                break;
            }
        }
        (machine.state(), machine.ended().and_then(|ended| ended.fault.clone()))
    };
    assert_eq!(run("${ false }"), (RunState::Waiting, None));
    let (state, fault) = run("${ . == 0 }");
    assert_eq!(state, RunState::Faulted);
    let detail = fault.and_then(|fault| fault.detail).expect("a word about it");
    assert!(detail.contains("`until: ${ false }`"), "{detail}");
}

/// Mutation: count no bytes, or those of the last event alone.
#[test]
fn a_listener_keeps_no_more_bytes_than_its_limit() {
    let mut walk =
        Walk::start("do: [{hear: {listen: {to: {any: [], until: '${ . == 0 }'}}}}]", "{}");
    let machine = &mut walk.machine;
    let data = "x".repeat(1_000_000);
    let mut taken = 0;
    while machine.ended().is_none() {
        taken += 1;
        let json = format!(r#"{{"type":"a","data":"{data}"}}"#);
        let event = crate::walk::incoming(taken, &json);
        let listener = machine.listeners()[0];
        let engine::machine::Offered::Taken(received) = machine.offer(listener, &event, &[]) else {
            panic!("every event is taken")
        };
        machine.handle(walk.now, &Happened::Received(received)).expect("it listens");
    }
    // Each has its quotes.
    assert_eq!(taken, LISTENER_BYTES_MAX / 1_000_002 + 1);
}

/// Mutation: leave a note out. Whoever follows a run reads these.
#[test]
fn a_person_sees_what_a_run_listens_to_and_hears() {
    let body = "do: [{hear: {listen: {to: {all: [{with: {type: a}, correlate: {k: {from: .data}}}]}}}}, {tell: {emit: {event: {with: {type: t, id: x}}}}}]";
    let mut walk = Walk::start(body, "{}");
    walk.event(A);
    let told: Vec<String> = walk
        .notes
        .iter()
        .filter_map(|note| match &note.what {
            NoteKind::Listening => Some("listening".to_owned()),
            NoteKind::Received { kind } => Some(format!("received {kind}")),
            NoteKind::Listened { keys } => Some(format!("listened {keys:?}")),
            NoteKind::Emitted { id, kind } => Some(format!("emitted {id} {kind}")),
            _ => None,
        })
        .collect();
    assert_eq!(told, ["listening", "received a", "listened [(\"k\", Num(Int(1)))]", "emitted x t"]);
}

/// Mutation: leave a listener that has lost a race registered.
#[test]
fn a_listener_that_loses_a_race_hears_no_more() {
    let body = "
do:
  - race:
      fork:
        compete: true
        branches:
          - hear: {listen: {to: {any: []}}}
          - nap: {wait: PT1S}
  - rest: {wait: PT1S}
";
    let mut walk = Walk::start(body, "{}");
    assert_eq!(walk.machine.listeners().len(), 1);
    assert!(walk.turn(), "the nap is over");
    assert!(walk.machine.listeners().is_empty() && !walk.machine.is_listening());
    walk.event(A);
    assert_eq!(walk.finish().output(), r#"{"order":7}"#.replace(r#""order":7"#, ""));
}
