//! Events gathered for those who start runs by them.

use std::sync::Arc;

use base::value::{array, to_json_string};
use base::{ErrorType, Fault};
use engine::event::Incoming;
use engine::listen::{Consumer, Interest, Offer};
use spec::tree::schedule::Trigger;
use spec::tree::{ReadAs, Strategy};

use crate::walk::{incoming, workflow};
use crate::world::Outside;

fn strategy(on: &str) -> Arc<Strategy> {
    let workflow = workflow(&format!("schedule: {{on: {on}}}\ndo: [{{a: {{set: {{n: 1}}}}}}]"));
    let triggers = &workflow.schedule.as_ref().expect("a schedule").triggers;
    match triggers.as_slice() {
        [Trigger::On(on)] => Arc::clone(&on.to),
        other => panic!("{other:?}"),
    }
}

fn consumer(on: &str) -> Consumer {
    Consumer::new(strategy(on))
}

/// What is taken, as the data of a set that is complete or as one word.
fn offer(consumer: &mut Consumer, incoming: &Incoming) -> String {
    let mut results = Vec::new();
    loop {
        return match consumer.offer(incoming, &results) {
            Offer::Ask(evaluate) => {
                results.push(Outside::answer(&evaluate));
                continue;
            }
            Offer::Ignored => "ignored".to_owned(),
            Offer::Taken => "taken".to_owned(),
            Offer::Overflow => "overflow".to_owned(),
            Offer::Complete(set) => {
                let data = set.iter().map(|taken| taken.event.read(ReadAs::Data)).collect();
                to_json_string(&array(data))
            }
        };
    }
}

#[track_caller]
fn check(on: &str, events: &[(&str, &str)]) {
    let mut consumer = consumer(on);
    for (at, (event, expected)) in (1..).zip(events) {
        let told = offer(&mut consumer, &incoming(at, event));
        assert_eq!(told, *expected, "{on}: event {at}, {event}");
    }
}

const A: &str = r#"{"type":"a","data":{"k":1,"n":1}}"#;
const B: &str = r#"{"type":"b","data":{"k":1,"n":2}}"#;
const OTHER_A: &str = r#"{"type":"a","data":{"k":2,"n":3}}"#;
const OTHER_B: &str = r#"{"type":"b","data":{"k":2,"n":4}}"#;
const LIFE: &str = r#"{"type":"io.serverlessworkflow.workflow.started.v1","data":{}}"#;

/// Mutation: keep an event of a set that is complete, or correlations of the one before.
#[test]
fn one_set_is_gathered_after_another() {
    check("{one: {with: {type: a}}}", &[(B, "ignored"), (A, r#"[{"k":1,"n":1}]"#)]);
    let both = "{all: [{with: {type: a}}, {with: {type: b}}]}";
    let set = r#"[{"k":1,"n":1},{"k":1,"n":2}]"#;
    check(both, &[(A, "taken"), (A, "ignored"), (B, set), (A, "taken"), (B, set)]);
    let keyed = "{all: [{with: {type: a}, correlate: {k: {from: .data.k}}}, \
         {with: {type: b}, correlate: {k: {from: .data.k}}}]}";
    let other = r#"[{"k":2,"n":3},{"k":2,"n":4}]"#;
    check(
        keyed,
        &[(A, "taken"), (OTHER_B, "ignored"), (B, set), (OTHER_A, "taken"), (OTHER_B, other)],
    );
}

/// Mutation: mix up what each correlation expects, or expect nothing.
#[test]
fn what_a_correlation_expects_is_its_own() {
    let expects = "{all: [{with: {type: a}, correlate: {x: {from: .data.k, expect: 1}}}, \
         {with: {type: b}, correlate: {y: {from: .data.k, expect: 2}}}]}";
    let set = r#"[{"k":1,"n":1},{"k":2,"n":4}]"#;
    check(expects, &[(OTHER_A, "ignored"), (B, "ignored"), (A, "taken"), (OTHER_B, set)]);
    check(expects, &[(OTHER_B, "taken"), (A, r#"[{"k":2,"n":4},{"k":1,"n":1}]"#)]);
}

/// Mutation: leave an event out of the condition, count those of `until` in, or ask a condition that
/// needs another process in this one.
#[test]
fn until_says_when_a_set_is_complete() {
    let counted = "{any: [{with: {type: a}}], until: '(. | length) == 2'}";
    let set = r#"[{"k":1,"n":1},{"k":2,"n":3}]"#;
    check(counted, &[(A, "taken"), (OTHER_A, set), (A, "taken")]);
    let outside = "{any: [{with: {type: a}}], until: '(map(.k) | add) == 3'}";
    check(outside, &[(A, "taken"), (B, "ignored"), (OTHER_A, set)]);
    let consumed = "{any: [{with: {type: a}}], until: {one: {with: {type: b}}}}";
    check(consumed, &[(A, "taken"), (B, r#"[{"k":1,"n":1}]"#), (B, "[]")]);
    let wrong = "{any: [{with: {type: a}}], until: '.[0].k.x'}";
    check(wrong, &[(A, "taken"), (A, "taken")]);
}

/// Mutation: keep a set without bound, or drop one that is only long.
#[test]
fn a_set_that_never_completes_is_dropped_when_it_is_long() {
    let mut consumer = consumer("{any: [{with: {type: a}}], until: '.[0].n == 0'}");
    for at in 1..=999 {
        assert_eq!(offer(&mut consumer, &incoming(at, A)), "taken");
        assert_eq!(consumer.taken().len() as u64, at);
    }
    assert_eq!(offer(&mut consumer, &incoming(1000, A)), "overflow");
    assert!(consumer.taken().is_empty());
    assert_eq!(offer(&mut consumer, &incoming(1001, A)), "taken");
}

/// Mutation: take a filter that fails outside for one that matches.
#[test]
fn a_filter_that_fails_matches_nothing() {
    // Whatever the expression, the outside says "outside", so it matches a subject that is that.
    let mut consumer = consumer("{one: {with: {subject: '${ limit(1; repeat(1)) }'}}}");
    let event = incoming(1, r#"{"type":"a","subject":"outside","data":1}"#);
    let Offer::Ask(_) = consumer.offer(&event, &[]) else { panic!("it goes outside") };
    let failed = Err(Fault::new(ErrorType::Expression, "it failed"));
    assert!(matches!(consumer.offer(&event, &[failed]), Offer::Ignored));
    assert_eq!(offer(&mut consumer, &event), "[1]");
}

/// Mutation: take a condition that must be asked outside for one that is never true, or never ask.
#[test]
fn a_condition_may_be_evaluated_outside() {
    let on = "{any: [{with: {type: a}}], until: 'limit(1; repeat(1))'}";
    let mut consumer = consumer(on);
    let Offer::Ask(asked) = consumer.offer(&incoming(1, A), &[]) else { panic!("it goes outside") };
    assert_eq!(to_json_string(&asked.input), r#"[{"k":1,"n":1}]"#);
    let no = [Ok(base::Value::Bool(false))];
    assert!(matches!(consumer.offer(&incoming(1, A), &no), Offer::Taken));
    let yes = [Ok(base::Value::Bool(true))];
    let Offer::Complete(set) = consumer.offer(&incoming(2, A), &yes) else { panic!("it is true") };
    assert_eq!(set.len(), 2);
}

fn interest(on: &str) -> (Vec<String>, [bool; 3]) {
    let interest = Interest::of(&strategy(on));
    let life = "io.serverlessworkflow.workflow.started.v1";
    (interest.kinds(), ["a", "c", life].map(|kind| interest.covers(kind)))
}

/// Mutation: ask a store for too few types, or wake everyone for the life of every run.
#[test]
fn whoever_names_types_is_told_of_no_others() {
    let kinds = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>();
    let life = "io.serverlessworkflow.workflow.started.v1";
    let cases = [
        ("{one: {with: {type: a}}}", kinds(&["a"]), [true, false, false]),
        ("{any: [{with: {type: c}}, {with: {type: a}}]}", kinds(&["a", "c"]), [true, true, false]),
        (
            "{any: [{with: {type: a}}], until: {one: {with: {type: c}}}}",
            kinds(&["a", "c"]),
            [true, true, false],
        ),
        ("{any: []}", kinds(&[]), [true, true, false]),
        ("{one: {with: {source: /x}}}", kinds(&[]), [true, true, false]),
        ("{one: {with: {source: /x, type: a}}}", kinds(&["a"]), [true, false, false]),
        ("{one: {with: {type: 'a.*'}}}", kinds(&[]), [true, true, true]),
        ("{any: [{with: {type: a}}, {with: {source: /x}}]}", kinds(&[]), [true, true, false]),
        ("{any: [{with: {source: /x}}, {with: {type: 'a.*'}}]}", kinds(&[]), [true, true, true]),
        ("{any: [{with: {type: 'a.*'}}, {with: {source: /x}}]}", kinds(&[]), [true, true, true]),
        ("{any: [{with: {type: 'a.*'}}, {with: {type: a}}]}", kinds(&[]), [true, true, true]),
    ];
    for (on, expected, covers) in cases {
        assert_eq!(interest(on), (expected, covers), "{on}");
    }
    let named = format!("{{one: {{with: {{type: {life}}}}}}}");
    assert_eq!(interest(&named), (kinds(&[life]), [false, false, true]));
    let beside = format!("{{any: [{{with: {{source: /x}}}}, {{with: {{type: {life}}}}}]}}");
    assert_eq!(interest(&beside), (kinds(&[]), [true, true, true]));
}

/// Mutation: give the life of runs to those who ask for everything.
#[test]
fn the_life_of_runs_starts_only_those_who_name_it() {
    check("{any: []}", &[(LIFE, "ignored"), (A, r#"[{"k":1,"n":1}]"#)]);
    check("{one: {with: {source: /outside}}}", &[(LIFE, "ignored")]);
    check("{one: {with: {type: 'io.*'}}}", &[(LIFE, "[{}]")]);
}
