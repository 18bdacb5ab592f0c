//! The life of a run and of its tasks as events: which, in which order, and what they say.

use std::collections::BTreeSet;

use base::value::{as_str, get, to_json_string};
use engine::event::Event;
use engine::lifecycle::{Said, Subject, Tale, Telling, of_run};
use engine::machine::Machine;
use engine::record::Happened;
use engine::replay::replay;
use store::{RunState, Sequence};

use crate::walk::{START, Walk, by, started, value, workflow};

/// Everything that the journal of a run says, and what of it is stored with the run.
fn life(walk: &Walk, body: &str) -> (Vec<Event>, Vec<Event>) {
    let workflow = workflow(body);
    let started = started(&workflow, "{}");
    let subject = Subject { run: started.run, key: &started.key, version: &started.version };
    let mut machine = Machine::new(workflow.clone());
    let (mut all, mut stored) = (Vec::new(), Vec::new());
    for record in &walk.records {
        let before = machine.state();
        let after = Sequence(record.sequence.0 - 1);
        let step = replay(&mut machine, after, record).expect("a journal replays");
        let said = Said::of(record, &step.notes, machine.ended());
        let (emitted, after) = (&step.emitted[..], machine.state());
        let tale = Tale { subject, said, emitted, before, after };
        let mut telling = Telling::begin(&tale);
        all.extend(std::iter::from_fn(|| telling.next(&tale)));
        stored.extend(of_run(&subject, &said));
    }
    (all, stored)
}

fn text<'a>(event: &'a Event, name: &str) -> &'a str {
    event.attribute(name).and_then(as_str).expect("a text")
}

/// `workflow.started`, or `task.started /do/0/a`, and the status where it is about one.
fn line(event: &Event) -> String {
    let Some(kind) = event.kind().strip_prefix("io.serverlessworkflow.") else {
        return event.kind().to_owned();
    };
    let data = event.attribute("data").expect("all of them say something");
    let word = |name| get(data, name).and_then(as_str).map(|text| format!(" {text}"));
    let kind = kind.strip_suffix(".v1").expect("a version");
    let parts = [Some(kind.to_owned()), word("task"), word("status")];
    parts.into_iter().flatten().collect()
}

#[track_caller]
fn check(told: &[Event], expected: &[&str]) {
    let told: Vec<String> = told.iter().map(line).collect();
    assert_eq!(told, expected, "\n{}", told.join("\n"));
}

const TRIED: &str = "
do:
  - guard:
      try: [{fail: {call: http, with: {method: get, endpoint: 'http://world/flaky/1'}}}]
      catch: {errors: {with: {status: 503}}, retry: {delay: {seconds: 1}, limit: {attempt: {count: 3}}}}
  - tell: {emit: {event: {with: {type: told}}}}
  - hear: {listen: {to: {one: {with: {type: a}, correlate: {n: {from: .data}}}}}}
";

/// Mutation: leave a kind out, tell the end of a task before its begin, a run's end before that of its
/// tasks, or the begin of a task that goes on.
#[test]
fn a_journal_tells_the_life_of_a_run() {
    let mut walk = Walk::start(TRIED, "{}");
    while walk.machine.listeners().is_empty() {
        assert!(walk.turn());
    }
    walk.event(r#"{"type":"a","data":7}"#);
    let (all, stored) = life(&walk.finish(), TRIED);
    check(
        &all,
        &[
            "workflow.started",
            "task.created /do/0/guard",
            "task.started /do/0/guard",
            "task.status-changed /do/0/guard running",
            "task.created /do/0/guard/try/0/fail",
            "task.started /do/0/guard/try/0/fail",
            "task.status-changed /do/0/guard/try/0/fail running",
            "workflow.status-changed running",
            "task.faulted /do/0/guard/try/0/fail",
            "task.status-changed /do/0/guard/try/0/fail faulted",
            "task.retried /do/0/guard",
            "task.status-changed /do/0/guard waiting",
            "workflow.status-changed waiting",
            "task.created /do/0/guard/try/0/fail",
            "task.started /do/0/guard/try/0/fail",
            "task.status-changed /do/0/guard/try/0/fail running",
            "workflow.status-changed running",
            "task.completed /do/0/guard/try/0/fail",
            "task.status-changed /do/0/guard/try/0/fail completed",
            "task.completed /do/0/guard",
            "task.status-changed /do/0/guard completed",
            "task.created /do/1/tell",
            "task.started /do/1/tell",
            "task.status-changed /do/1/tell running",
            "told",
            "task.completed /do/1/tell",
            "task.status-changed /do/1/tell completed",
            "task.created /do/2/hear",
            "task.started /do/2/hear",
            "task.status-changed /do/2/hear running",
            "task.status-changed /do/2/hear waiting",
            "workflow.correlation-started",
            "workflow.status-changed waiting",
            "task.status-changed /do/2/hear running",
            "workflow.correlation-completed",
            "task.completed /do/2/hear",
            "task.status-changed /do/2/hear completed",
            "workflow.completed",
            "workflow.status-changed completed",
        ],
    );
    let begin_and_end = ["started", "correlation-started", "correlation-completed", "completed"];
    check(
        &stored,
        &begin_and_end.map(|kind| format!("workflow.{kind}")).each_ref().map(|it| &**it),
    );
    let ids: BTreeSet<&str> = all.iter().map(|event| text(event, "id")).collect();
    assert_eq!(ids.len(), all.len(), "an event is known by its id");
}

/// Mutation: leave a field out, or name it otherwise than the language does.
#[test]
fn an_event_says_whose_life_it_is_and_what_came_of_it() {
    let mut walk = Walk::start(TRIED, "{}");
    while walk.machine.listeners().is_empty() {
        assert!(walk.turn());
    }
    walk.event(r#"{"type":"a","data":7}"#);
    let (all, _) = life(&walk.finish(), TRIED);
    let whole = |kind: &str| {
        let is_it = |event: &&Event| line(event).starts_with(kind);
        to_json_string(all.iter().find(is_it).expect("it is told").envelope())
    };
    let run = "01900000-0000-7000-8000-000000000001";
    let name = format!("case-{run}.test");
    let subject = text(&all[0], "subject").to_owned();
    let event = |id: &str, kind: &str, time: &str, data: &str| {
        to_json_string(&value(&format!(
            r#"{{"specversion":"1.0","id":"{subject}-{id}","source":"/test/case/1.0.0",
            "type":"io.serverlessworkflow.{kind}.v1","time":"{time}","subject":"{subject}",
            "data":{data}}}"#
        )))
    };
    let begun = "2027-01-15T08:00:00.000Z";
    let definition = r#"{"name":"case","namespace":"test","version":"1.0.0"}"#;
    let data = format!(r#"{{"name":"{name}","startedAt":"{begun}","definition":{definition}}}"#);
    assert_eq!(whole("workflow.started"), event("1-1", "workflow.started", begun, &data));
    let data = format!(r#"{{"workflow":"{name}","task":"/do/0/guard","createdAt":"{begun}"}}"#);
    assert_eq!(whole("task.created"), event("1-t1", "task.created", begun, &data));
    let later = "2027-01-15T08:00:01.000Z";
    let uri = format!(r#""outputUri":"/api/v1/namespaces/test/runs/{subject}""#);
    let task = r#""task":"/do/0/guard/try/0/fail""#;
    let data = format!(r#"{{"workflow":"{name}",{task},"completedAt":"{later}",{uri}}}"#);
    assert_eq!(whole("task.completed"), event("4-t1", "task.completed", later, &data));
    let data = format!(r#"{{"name":"{name}","completedAt":"{later}",{uri}}}"#);
    assert_eq!(whole("workflow.completed"), event("5-2", "workflow.completed", later, &data));
    let data =
        format!(r#"{{"name":"{name}","completedAt":"{later}","correlationKeys":{{"n":7}}}}"#);
    let correlated = event("5-1", "workflow.correlation-completed", later, &data);
    assert_eq!(whole("workflow.correlation-completed"), correlated);
    assert!(whole("task.faulted").contains(r#""error":{"type":"#));
}

/// Mutation: tell of tasks that go on as if they began, or of a retry as of a start.
#[test]
fn a_retry_is_told_as_going_on() {
    const BODY: &str =
        "do: [{ask: {call: http, with: {method: get, endpoint: 'http://world/bad-then-ok'}}}]";
    let mut walk = Walk::run(BODY, "{}");
    assert_eq!(walk.machine.state(), RunState::Faulted);
    walk.feed(Happened::RetryRequested(by("ada")));
    let (all, stored) = life(&walk.finish(), BODY);
    check(
        &all,
        &[
            "workflow.started",
            "task.created /do/0/ask",
            "task.started /do/0/ask",
            "task.status-changed /do/0/ask running",
            "workflow.status-changed running",
            "task.faulted /do/0/ask",
            "task.status-changed /do/0/ask faulted",
            "workflow.faulted",
            "workflow.status-changed faulted",
            "workflow.resumed",
            "task.resumed /do/0/ask",
            "task.status-changed /do/0/ask running",
            "workflow.status-changed running",
            "task.completed /do/0/ask",
            "task.status-changed /do/0/ask completed",
            "workflow.completed",
            "workflow.status-changed completed",
        ],
    );
    check(
        &stored,
        &["workflow.started", "workflow.faulted", "workflow.resumed", "workflow.completed"],
    );
    let error = stored[1].attribute("data").and_then(|data| get(data, "error"));
    assert_eq!(error.and_then(|error| get(error, "status")), Some(&value("400")));
}

/// Mutation: end a cancelled run without a word, or call its tasks completed.
#[test]
fn a_cancel_is_told_of_the_run_and_its_tasks() {
    const BODY: &str = "do: [{skip: {if: 'false', set: {n: 1}}}, {sleep: {wait: {seconds: 5}}}]";
    let mut walk = Walk::start(BODY, "{}");
    walk.feed(Happened::CancelRequested(by("ada")));
    let (all, stored) = life(&walk, BODY);
    check(
        &all,
        &[
            "workflow.started",
            "task.created /do/1/sleep",
            "task.started /do/1/sleep",
            "task.status-changed /do/1/sleep running",
            "task.status-changed /do/1/sleep waiting",
            "workflow.status-changed waiting",
            "task.cancelled /do/1/sleep",
            "task.status-changed /do/1/sleep cancelled",
            "workflow.cancelled",
            "workflow.status-changed cancelled",
        ],
    );
    check(&stored, &["workflow.started", "workflow.cancelled"]);
}

/// Mutation: leave a task out, tell of one that contains others, or say that one that waits runs.
#[test]
fn a_run_that_stands_still_is_told_with_its_tasks() {
    const BODY: &str = "
do:
  - all:
      fork:
        branches:
          - nap: {wait: {seconds: 5}}
          - ask: {call: http, with: {method: get, endpoint: 'http://world/hang'}}
          - hear: {listen: {to: {one: {with: {type: a}}}}}
";
    let mut walk = Walk::start(BODY, "{}");
    let before = life(&walk, BODY).0.len();
    walk.feed(Happened::SuspendRequested(by("ada")));
    walk.feed(Happened::ResumeRequested(by("ada")));
    let (all, stored) = life(&walk, BODY);
    let (nap, ask, hear) = (
        "/do/0/all/fork/branches/0/nap",
        "/do/0/all/fork/branches/1/ask",
        "/do/0/all/fork/branches/2/hear",
    );
    let of = |task: &str, status: [&str; 2]| {
        let [kind, status] = status;
        [format!("task.{kind} {task}"), format!("task.status-changed {task} {status}")]
    };
    let mut expected: Vec<String> = Vec::new();
    for task in [nap, ask, hear] {
        expected.extend(of(task, ["suspended", "suspended"]));
    }
    expected.push("workflow.suspended".to_owned());
    expected.push("workflow.status-changed suspended".to_owned());
    expected.push("workflow.resumed".to_owned());
    for (task, status) in [(nap, "waiting"), (ask, "running"), (hear, "waiting")] {
        expected.extend(of(task, ["resumed", status]));
    }
    expected.push("workflow.status-changed running".to_owned());
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check(&all[before..], &expected);
    let kinds = ["workflow.started", "workflow.correlation-started"];
    let ends = ["workflow.suspended", "workflow.resumed"];
    check(&stored, &[kinds, ends].concat());
}

/// Mutation: call a run that stands still resumed, or give two times the same id.
#[test]
fn a_suspended_run_is_told_of_each_time() {
    let workflow = workflow("do: [{a: {set: {n: 1}}}]");
    let started = started(&workflow, "{}");
    let subject = Subject { run: started.run, key: &started.key, version: &started.version };
    let told = [(true, "1"), (false, "1"), (true, "2")]
        .map(|(suspended, n)| subject.suspended(suspended, n, START));
    check(&told, &["workflow.suspended", "workflow.resumed", "workflow.suspended"]);
    let ids: BTreeSet<&str> = told.iter().map(|event| text(event, "id")).collect();
    assert_eq!(ids.len(), told.len());
    let moment =
        |event: &Event, name| event.attribute("data").and_then(|data| get(data, name)).cloned();
    assert_eq!(moment(&told[0], "suspendedAt"), Some(value("\"2027-01-15T08:00:00.000Z\"")));
    assert_eq!(moment(&told[1], "resumedAt"), Some(value("\"2027-01-15T08:00:00.000Z\"")));
}
