//! Runs that run other runs: what a child inherits and gives back, who is cancelled and retried with
//! whom, and that a crash anywhere in either journal changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base::value::to_json_string;
use base::{ErrorType, RunId};
use engine::activation::Activation;
use engine::driver::{CHILD_DEPTH_MAX, Driver, Start, Summary, child_run, record};
use engine::effect::{Action, Certainty, Perform, Performed};
use engine::machine::{Effect, Machine};
use engine::record::{Decided, Happened, Record};
use engine::replay::replay;
use spec::tree::Workflow;
use store::{Op, OutcomeRow, Preconditions, RunQuery, RunRow, RunState, Sequence, Store};
use store_sqlite::SqliteStore;

use crate::check;
use crate::site::{open, open_store, put_document, put_revision, start};
use crate::walk::{Walk, by, revision_of, workflow};
use crate::world::{Books, Echo, World};

/// A workflow beside the one that a test is about.
struct Other {
    name: &'static str,
    body: &'static str,
}

impl Other {
    fn text(&self) -> String {
        let head = format!(
            "document: {{dsl: '1.0.3', namespace: test, name: {}, version: 2.0.0}}",
            self.name
        );
        format!("{head}\n{}", self.body)
    }

    fn workflow(&self) -> Arc<Workflow> {
        Arc::new(spec::read(&self.text(), &Echo).expect("a test's own document").workflow)
    }
}

const NAP_AND_ASK: Other = Other {
    name: "helper",
    body: "
do:
  - double: {set: {n: '${ .n * 2 }'}}
  - ask: {call: http, with: {method: post, endpoint: 'http://world/ok/x'}, output: {as: '${ $input }'}}
  - nap: {wait: PT0.002S}
",
};

const HANGS: Other = Other {
    name: "hangs",
    body: "do: [{h: {call: http, with: {method: get, endpoint: 'http://world/hang'}}}]",
};

const BREAKS_ONCE: Other = Other {
    name: "breaks-once",
    body: "do: [{h: {call: http, with: {method: get, endpoint: 'http://world/bad-then-ok'}}}]",
};

const RAISES: Other = Other {
    name: "raises",
    body: "do: [{r: {raise: {error: {type: 'https://example.com/sold-out', status: 418, title: Sold out, detail: no tea}}}}]",
};

const ASKS: &str = "
do:
  - before: {call: http, with: {method: post, endpoint: 'http://world/ok/before'}, output: {as: '${ $input }'}}
  - child: {run: {workflow: {namespace: test, name: helper, version: 2.0.0, input: {n: '${ .n }'}}}}
  - after: {call: http, with: {method: post, endpoint: 'http://world/ok/after'}, output: {as: '${ $input }'}}
";

fn runs(name: &str) -> String {
    format!("run: {{workflow: {{namespace: test, name: {name}, version: latest}}}}")
}

async fn family(
    body: &str,
    others: &[&Other],
    world: World,
) -> (Arc<SqliteStore>, Driver, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_store(folder.path());
    put_revision(&*store, body).await;
    for other in others {
        put_document(&*store, &other.text()).await;
    }
    let driver = open(store.clone(), world).await;
    (store, driver, folder)
}

/// All runs but the one that was started, in no order.
async fn children(store: &SqliteStore, run: RunId) -> Vec<(RunRow, Summary)> {
    let query = RunQuery { limit: 500, ..RunQuery::default() };
    let rows = store.run_list(query).await.expect("a list");
    let rows = rows.into_iter().filter(|row| row.run != run);
    let summary = |row: &RunRow| Summary::decode(&row.summary).expect("a summary");
    rows.map(|row| (row.clone(), summary(&row))).collect()
}

/// Longer than any of this takes on a busy machine.
pub const HANG: Duration = Duration::from_secs(60);

/// Waits until exactly so many children are in this state.
async fn until(store: &SqliteStore, run: RunId, state: RunState, count: usize) {
    let reached = async {
        loop {
            let found = children(store, run).await;
            if found.iter().filter(|(row, _)| row.state == state).count() == count {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let reached = tokio::time::timeout(HANG, reached).await;
    reached.unwrap_or_else(|_| panic!("never {count} children {state}"));
}

/// Mutation: forget any of what a child inherits, or give it the task's input instead of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_gets_its_input_and_inherits_the_rest() {
    let (store, driver, _folder) = family(ASKS, &[&NAP_AND_ASK], World::default()).await;
    let order = Start {
        labels: vec!["health".to_owned()],
        owner: "team".to_owned(),
        priority: 7,
        ..start(ASKS, r#"{"n":4,"more":1}"#)
    };
    let (run, traceparent) = (order.run, order.traceparent.clone());
    let ended = driver.start(order).await.expect("starts").await.expect("ends");
    assert_eq!(ended.output.as_ref().map(to_json_string).as_deref(), Some(r#"{"n":8}"#));
    let found = children(&store, run).await;
    let [(row, summary)] = &found[..] else { panic!("one child: {found:?}") };
    assert_eq!((row.state, row.key.name.as_str()), (RunState::Completed, "helper"));
    assert_eq!(row.revision, revision_of(&row.key));
    assert_eq!((summary.version.as_str(), summary.priority), ("2.0.0", 7));
    assert_eq!(summary.labels, ["health"]);
    assert_eq!((summary.owner.as_str(), summary.started_by.as_str()), ("team", "tester"));
    assert_eq!(summary.traceparent, traceparent);
    let parent = summary.parent.as_ref().expect("a parent");
    assert_eq!((parent.run, parent.activation.as_str(), parent.depth), (run, "/child", 1));
    assert_eq!(row.run, child_run(run, &parent.activation, 0));
    assert_eq!(row.run.as_uuid().get_version_num(), 8);
    let loaded = driver.load(row.run).await.expect("the child replays");
    assert_eq!(loaded.machine.state(), RunState::Completed);
}

/// Mutation: keep the child's place in the error, or make an error of the parent's own of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_childs_error_is_the_tasks_error() {
    let body = format!("do: [{{outer: {{do: [{{child: {{{}}}}}]}}}}]", runs("raises"));
    let (_store, driver, _folder) = family(&body, &[&RAISES], World::default()).await;
    let ended = driver.start(start(&body, "{}")).await.expect("starts").await.expect("ends");
    let fault = ended.fault.expect("a fault");
    assert_eq!((fault.uri.as_ref(), fault.status), ("https://example.com/sold-out", 418));
    assert_eq!(fault.title.as_deref(), Some("Sold out"));
    assert_eq!(fault.detail.as_deref(), Some("no tea"));
    assert_eq!(fault.instance.as_deref(), Some("/do/0/outer/do/0/child"));
}

/// Mutation: leave the attempt out of the child's id, so that a second attempt finds the first one's
/// end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attempt_of_a_try_has_a_child_of_its_own() {
    let body = format!(
        "do: [{{guard: {{try: [{{child: {{{}}}}}], catch: {{retry: {{delay: PT0.001S, limit: {{attempt: {{count: 2}}}}}}}}}}}}]",
        runs("raises")
    );
    let (store, driver, _folder) = family(&body, &[&RAISES], World::default()).await;
    let order = start(&body, "{}");
    let run = order.run;
    let ended = driver.start(order).await.expect("starts").await.expect("ends");
    assert_eq!(ended.state, RunState::Faulted);
    let found = children(&store, run).await;
    let places: BTreeSet<String> = found
        .iter()
        .map(|(_, summary)| summary.parent.as_ref().expect("a parent").activation.to_string())
        .collect();
    let expected = ["/guard/child", "/guard!2/child", "/guard!3/child"];
    assert_eq!(places, expected.map(str::to_owned).into());
}

/// Mutation: start another child where a person retries the parent, or give the old end of the child.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retrying_the_parent_retries_the_child() {
    let body = format!("do: [{{child: {{{}}}}}]", runs("breaks-once"));
    let (store, driver, _folder) = family(&body, &[&BREAKS_ONCE], World::default()).await;
    let order = start(&body, "{}");
    let run = order.run;
    let ended = driver.start(order).await.expect("starts").await.expect("ends");
    assert_eq!(ended.state, RunState::Faulted);
    driver.retry(run, by("operator")).await.expect("retried");
    let ended = driver.ended(run).await.expect("ends");
    assert_eq!(ended.output.as_ref().map(to_json_string).as_deref(), Some(r#"{"did":"later"}"#));
    let found = children(&store, run).await;
    let [(row, summary)] = &found[..] else { panic!("one child: {found:?}") };
    assert_eq!(row.state, RunState::Completed);
    assert_eq!(summary.parent.as_ref().map(|parent| parent.effect.0), Some(2));
    let outcomes = store.outcome_list(0, 10).await.expect("outcomes");
    let of_child = outcomes.iter().filter(|it| it.run == row.run).map(|it| it.number);
    assert_eq!(of_child.collect::<Vec<_>>(), [1, 2]);
}

/// A person mends the child first; the parent then takes what it gave.
///
/// Mutation: retry a child that has completed, or start another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_a_person_has_mended_is_taken_as_it_is() {
    let body = format!("do: [{{child: {{{}}}}}]", runs("breaks-once"));
    let (store, driver, _folder) = family(&body, &[&BREAKS_ONCE], World::default()).await;
    let order = start(&body, "{}");
    let run = order.run;
    driver.start(order).await.expect("starts").await.expect("ends");
    let child = children(&store, run).await.remove(0).0.run;
    driver.retry(child, by("operator")).await.expect("retried");
    assert_eq!(driver.ended(child).await.expect("ends").state, RunState::Completed);
    let found = children(&store, run).await;
    assert_eq!(found[0].1.parent.as_ref().map(|parent| parent.awaited), Some(false));
    driver.retry(run, by("operator")).await.expect("retried");
    assert_eq!(driver.ended(run).await.expect("ends").state, RunState::Completed);
    let outcomes = store.outcome_list(0, 10).await.expect("outcomes");
    assert_eq!(outcomes.iter().filter(|it| it.run == child).count(), 2);
}

/// Mutation: leave the children of a cancelled run alone, or those of its children.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_a_run_cancels_all_below_it() {
    const MIDDLE: Other = Other {
        name: "middle",
        body: "do: [{below: {run: {workflow: {namespace: test, name: hangs, version: latest}}}}]",
    };
    let body = format!("do: [{{child: {{{}}}}}]", runs("middle"));
    let (store, driver, _folder) = family(&body, &[&MIDDLE, &HANGS], World::default()).await;
    let order = start(&body, "{}");
    let run = order.run;
    let ended = driver.start(order).await.expect("starts");
    until(&store, run, RunState::Running, 2).await;
    driver.cancel(run, by("operator")).await.expect("cancelled");
    assert_eq!(ended.await.expect("ends").state, RunState::Cancelled);
    until(&store, run, RunState::Cancelled, 2).await;
}

/// Mutation: drop the task of a child that timed out without a word to the child; or let the next
/// attempt find the cancelled one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_takes_too_long_is_cancelled() {
    let body = format!(
        "do: [{{guard: {{try: [{{child: {{timeout: {{after: PT0.03S}}, {}}}}}], catch: {{errors: {{with: {{status: 408}}}}, retry: {{delay: PT0.001S, limit: {{attempt: {{count: 1}}}}}}}}}}}}]",
        runs("hangs")
    );
    let (store, driver, _folder) = family(&body, &[&HANGS], World::default()).await;
    let order = start(&body, "{}");
    let run = order.run;
    let ended = driver.start(order).await.expect("starts").await.expect("ends");
    assert_eq!(ended.fault.expect("a fault").kind(), ErrorType::Timeout);
    until(&store, run, RunState::Cancelled, 2).await;
}

/// Mutation: say that a cancelled child has faulted with nothing, or has completed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_child_faults_its_parent_and_a_retry_has_another() {
    let body = format!("do: [{{child: {{{}}}}}]", runs("hangs"));
    let (store, driver, _folder) = family(&body, &[&HANGS], World::default()).await;
    let order = start(&body, "{}");
    let run = order.run;
    let ended = driver.start(order).await.expect("starts");
    until(&store, run, RunState::Running, 1).await;
    let first = children(&store, run).await.remove(0).0.run;
    driver.cancel(first, by("operator")).await.expect("cancelled");
    let fault = ended.await.expect("ends").fault.expect("a fault");
    assert_eq!(fault.title.as_deref(), Some("Child run cancelled"));
    driver.retry(run, by("operator")).await.expect("retried");
    until(&store, run, RunState::Running, 1).await;
    let found = children(&store, run).await;
    assert_eq!(found.len(), 2);
    assert!(found.iter().any(|(row, _)| row.run == child_run(run, &place("/child"), 1)));
    driver.cancel(run, by("operator")).await.expect("cancelled");
    until(&store, run, RunState::Cancelled, 2).await;
}

/// Mutation: wait all the same, give the child's output, or cancel it with the parent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_nobody_waits_for_goes_its_own_way() {
    let body = "do: [{child: {input: {from: '${ {mine: .n} }'}, run: {await: false, workflow: {namespace: test, name: hangs, version: latest, input: {x: 1}}}}}]";
    let (store, driver, _folder) = family(body, &[&HANGS], World::default()).await;
    let order = start(body, r#"{"n":1}"#);
    let run = order.run;
    let ended = driver.start(order).await.expect("starts").await.expect("ends");
    assert_eq!(ended.output.as_ref().map(to_json_string).as_deref(), Some(r#"{"mine":1}"#));
    until(&store, run, RunState::Running, 1).await;
    driver.stop().await;
    // Neither does the start after a crash take it for forgotten.
    let again = open(store.clone() as Arc<dyn Store>, World::default()).await;
    let child = children(&store, run).await.remove(0).0;
    assert_eq!(child.state, RunState::Running);
    again.cancel(child.run, by("operator")).await.expect("it was still there");
}

/// Mutation: count the depth from the wrong end, or not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_may_run_itself_but_not_for_ever() {
    let body = "
do:
  - stop: {if: '.n <= 0', set: {sum: 0}, then: end}
  - deeper: {run: {workflow: {namespace: test, name: case, version: 1.0.0, input: {n: '${ .n - 1 }'}}}}
  - add: {set: {sum: '${ .sum + 1 }'}}
";
    for (n, expected) in [(32, Some(r#"{"sum":32}"#)), (33, None)] {
        let (store, driver, _folder) = family(body, &[], World::default()).await;
        let order = start(body, &format!("{{\"n\":{n}}}"));
        let run = order.run;
        let ended = driver.start(order).await.expect("starts").await.expect("ends");
        assert_eq!(ended.output.as_ref().map(to_json_string).as_deref(), expected);
        let found = children(&store, run).await;
        assert_eq!(found.len(), CHILD_DEPTH_MAX as usize);
        if expected.is_none() {
            let fault = ended.fault.expect("a fault");
            assert_eq!(fault.title.as_deref(), Some("Runs nested too deep"));
            assert_eq!(fault.instance.as_deref(), Some("/do/1/deeper"));
        }
    }
}

/// Mutation: run the child of whichever revision is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_whose_revision_is_gone_is_a_configuration_error() {
    let body = format!("do: [{{child: {{{}}}}}]", runs("helper"));
    let (_store, driver, _folder) = family(&body, &[], World::default()).await;
    let ended = driver.start(start(&body, "{}")).await.expect("starts").await.expect("ends");
    assert_eq!(ended.fault.expect("a fault").kind(), ErrorType::Configuration);
}

fn place(path: &str) -> Activation {
    serde_json::from_value(path.into()).expect("an activation")
}

/// One run of the two, with its whole journal.
struct Member {
    row: RunRow,
    workflow: Arc<Workflow>,
    records: Vec<Record>,
    outcomes: Vec<OutcomeRow>,
}

async fn member(store: &SqliteStore, row: RunRow, workflow: Arc<Workflow>) -> Member {
    let mut records = Vec::new();
    for entry in store.journal_read(row.run, Sequence::ZERO, 1_000).await.expect("a journal") {
        records.push(record(store, &entry).await.expect("a record"));
    }
    let outcomes = store.outcome_of(row.run, 0, 9).await.expect("outcomes");
    Member { row, workflow, records, outcomes }
}

impl Member {
    /// Writes a prefix as a crash has left it, and has the world see what it says was done.
    async fn put(&self, store: &SqliteStore, length: usize, world: &World, unrecorded: bool) {
        let mut machine = Machine::new(self.workflow.clone());
        let mut asked: Vec<Perform> = Vec::new();
        let mut ops = Vec::new();
        for record in &self.records[..length] {
            if let Happened::Performed { effect, .. } = &record.happened
                && let Some(at) = asked.iter().position(|it| it.effect == *effect)
            {
                world.act(&asked.remove(at));
            }
            let after = Sequence(record.sequence.0 - 1);
            let step = replay(&mut machine, after, record).expect("a prefix replays");
            asked.extend(step.effects.into_iter().filter_map(of_the_world));
            let (run, sequence) = (self.row.run, record.sequence);
            let bytes = record.encode().bytes.into();
            ops.push(Op::JournalAppend { run, sequence, record: bytes });
        }
        if unrecorded {
            let in_flight = machine.outstanding().into_iter().filter_map(of_the_world);
            in_flight.for_each(|perform| {
                world.act(&perform);
            });
        }
        let ended_at = machine.ended().map(|_| self.row.updated_at);
        let row = RunRow { state: machine.state(), ended_at, wake_at: None, ..self.row.clone() };
        let ended = row.state.has_ended();
        ops.insert(0, Op::RunCreate(row));
        ops.extend(self.outcomes.iter().filter(|_| ended).cloned().map(Op::OutcomePut));
        store.commit(ops, Preconditions::none()).await.expect("the prefix is written");
    }

    /// The first prefix after which this is true of its last record.
    fn first(&self, is_it: impl Fn(&Record) -> bool) -> usize {
        1 + self.records.iter().position(is_it).expect("such a record")
    }
}

fn of_the_world(effect: Effect) -> Option<Perform> {
    let Effect::Perform(perform) = effect else { return None };
    let is_child = matches!(*perform.action, Action::Workflow(_));
    (!is_child).then_some(perform)
}

async fn resumed(
    (parent, of_parent): (&Member, usize),
    (child, of_child): (&Member, usize),
    unrecorded: bool,
) -> (String, Books, usize) {
    let (folder, world) = (tempfile::tempdir().expect("a folder"), World::default());
    let store = open_store(folder.path());
    put_revision(&*store, ASKS).await;
    put_document(&*store, &NAP_AND_ASK.text()).await;
    parent.put(&store, of_parent, &world, unrecorded).await;
    if of_child > 0 {
        child.put(&store, of_child, &world, unrecorded).await;
    }
    let driver = open(store.clone(), world.clone()).await;
    let ended = driver.ended(parent.row.run).await.expect("the run ends");
    driver.stop().await;
    check::whole(&store, &format!("{of_parent} and {of_child} records")).await;
    let output = ended.output.unwrap_or_else(|| panic!("{:?}", ended.fault));
    let count = children(&store, parent.row.run).await.len();
    (to_json_string(&output), world.books(), count)
}

/// The kinds of task that the crash tests here cover.
pub fn kinds() -> BTreeSet<&'static str> {
    workflow(ASKS).tasks.iter().map(|task| task.kind.name()).collect()
}

/// Every pair of prefixes that can stand on the disk together.
///
/// Mutation: make the child's id from anything that a crash changes, report an end that came before
/// the crash twice or never, or start a child for a journal that has its end already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parent_and_child_go_on_from_every_pair_of_prefixes() {
    let world = World::default();
    let (store, driver, _folder) = family(ASKS, &[&NAP_AND_ASK], world.clone()).await;
    let order = start(ASKS, r#"{"n":4}"#);
    let run = order.run;
    let ended = driver.start(order).await.expect("starts").await.expect("ends");
    driver.stop().await;
    let (output, books) = (to_json_string(&ended.output.expect("an output")), world.books());
    let row = store.run_get(run).await.expect("read").expect("there");
    let parent = member(&store, row, workflow(ASKS)).await;
    let row = children(&store, run).await.remove(0).0;
    let child = member(&store, row, NAP_AND_ASK.workflow()).await;
    let asks = |decided: &Decided| matches!(decided, Decided::Scheduled { what, .. } if what.starts_with("workflow "));
    let asked = parent.first(|record| record.decided.iter().any(asks));
    let mut pairs = 0;
    for of_parent in 1..parent.records.len() {
        let of_child: Vec<usize> = match of_parent {
            early if early < asked => vec![0],
            exact if exact == asked => (0..=child.records.len()).collect(),
            _ => vec![child.records.len()],
        };
        for of_child in of_child {
            for unrecorded in [false, true] {
                let (again, seen, count) =
                    resumed((&parent, of_parent), (&child, of_child), unrecorded).await;
                let place = format!("{of_parent} and {of_child}, unrecorded: {unrecorded}");
                assert_eq!(again, output, "{place}");
                assert_eq!(seen.effects, books.effects, "{place}");
                assert_eq!(count, 1, "{place}");
                pairs += 1;
            }
        }
    }
    println!("run workflow: {pairs} pairs of prefixes");
    assert_eq!(pairs, 12);
}

/// The child has ended badly, and the site died before its parent wrote that down.
///
/// Mutation: take its end for that of an earlier effect, and have it again or start another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_became_of_a_child_before_the_crash_is_the_tasks_result() {
    for (other, state, title) in [
        (&HANGS, RunState::Cancelled, "Child run cancelled"),
        (&RAISES, RunState::Faulted, "Sold out"),
    ] {
        let body = format!("do: [{{child: {{{}}}}}]", runs(other.name));
        let (whole, driver, _folder) = family(&body, &[other], World::default()).await;
        let order = start(&body, "{}");
        let run = order.run;
        let ended = driver.start(order).await.expect("starts");
        until(&whole, run, if title == "Sold out" { state } else { RunState::Running }, 1).await;
        if state == RunState::Cancelled {
            let child = children(&whole, run).await.remove(0).0;
            driver.cancel(child.run, by("operator")).await.expect("a child is a run");
        }
        let fault = ended.await.expect("the run ends").fault.expect("a fault");
        assert_eq!(fault.title.as_deref(), Some(title));
        driver.stop().await;
        let row = whole.run_get(run).await.expect("read").expect("there");
        let parent = member(&whole, row, workflow(&body)).await;
        let child = children(&whole, run).await.remove(0).0;
        let child = member(&whole, child, other.workflow()).await;

        let folder = tempfile::tempdir().expect("a folder");
        let store = open_store(folder.path());
        put_revision(&*store, &body).await;
        put_document(&*store, &other.text()).await;
        let world = World::default();
        parent.put(&store, 1, &world, false).await;
        child.put(&store, child.records.len(), &world, false).await;
        let again = open(store.clone() as Arc<dyn Store>, world).await;
        let ended = tokio::time::timeout(HANG, again.ended(run)).await.expect("it ends");
        let fault = ended.expect("the run ends").fault.expect("a fault");
        assert_eq!(fault.title.as_deref(), Some(title));
        let found = children(&store, run).await;
        assert_eq!(found.len(), 1, "no other one was started");
        let records = member(&store, found[0].0.clone(), other.workflow()).await.records;
        assert_eq!(records.len(), child.records.len(), "nor was it had again");
        again.stop().await;
    }
}

/// The parent has turned away, and the site died before the child heard of it.
///
/// Mutation: look for forgotten children at no time, or take every child for forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_whose_parent_turned_away_before_the_crash_is_cancelled() {
    let body = format!("do: [{{child: {{{}}}}}]", runs("hangs"));
    for is_cancelled in [true, false] {
        let (store, driver, _folder) = family(&body, &[&HANGS], World::default()).await;
        let order = start(&body, "{}");
        let run = order.run;
        drop(driver.start(order).await.expect("starts"));
        until(&store, run, RunState::Running, 1).await;
        driver.stop().await;
        let mut parent = Vec::new();
        for entry in store.journal_read(run, Sequence::ZERO, 100).await.expect("a journal") {
            parent.push(record(&*store, &entry).await.expect("a record"));
        }
        if is_cancelled {
            let mut machine = Machine::new(workflow(&body));
            for one in &parent {
                replay(&mut machine, Sequence(one.sequence.0 - 1), one).expect("replays");
            }
            let happened = Happened::CancelRequested(by("operator"));
            let at = parent[0].at;
            let step = machine.handle(at, &happened).expect("it can be cancelled");
            let sequence = Sequence(parent.len() as u64 + 1);
            let (decided, control) = (step.decided, step.control);
            let bytes = Record { sequence, at, happened, decided, control }.encode().bytes;
            let row = store.run_get(run).await.expect("read").expect("there");
            let row = RunRow { state: RunState::Cancelled, ended_at: Some(at), ..row };
            let append = Op::JournalAppend { run, sequence, record: bytes.into() };
            let ops = vec![append, Op::RunUpdate(row)];
            store.commit(ops, Preconditions::none()).await.expect("written");
        }
        let again = open(store.clone() as Arc<dyn Store>, World::default()).await;
        if is_cancelled {
            until(&store, run, RunState::Cancelled, 1).await;
        } else {
            again.cancel(run, by("operator")).await.expect("the parent was still there");
            until(&store, run, RunState::Cancelled, 1).await;
        }
        again.stop().await;
    }
}

/// Mutation: leave any part of the child's order out of the snapshot or of the control digest.
#[test]
fn a_child_in_flight_stands_in_snapshots() {
    let body = "do: [{child: {run: {await: AWAIT, workflow: {namespace: test, name: helper, version: 2.0.0, input: {n: '${ .n }'}}}}}]";
    let mut controls = BTreeSet::new();
    for (wait, n) in [("true", 1), ("true", 2), ("false", 1)] {
        let body = body.replace("AWAIT", wait);
        // `Walk` takes the machine through its snapshot at every record.
        let mut walk = Walk::start(&body, &format!("{{\"n\":{n}}}"));
        let asked = walk.performs.pop_front().expect("a child is asked for");
        let Action::Workflow(child) = &*asked.action else { panic!("{asked:?}") };
        assert_eq!(
            (child.key.to_string().as_str(), child.version.as_str()),
            ("test/helper", "2.0.0")
        );
        assert_eq!(child.revision, revision_of(&child.key));
        assert_eq!(to_json_string(&child.input), format!("{{\"n\":{n}}}"));
        assert_eq!(child.wait.to_string(), wait);
        assert_eq!(walk.machine.awaits_child(&place("/child*3")), child.wait);
        assert!(!walk.machine.awaits_child(&place("/other")));
        controls.insert(walk.machine.control().0);
        let performed = Performed {
            result: Ok(base::value::int(7)),
            certainty: Certainty::Definite,
            decision: None,
            lists: Vec::new(),
            labels: Vec::new(),
        };
        walk.feed(Happened::Performed { effect: asked.effect, performed });
        let output = walk.machine.ended().and_then(|ended| ended.output.clone());
        let expected = if child.wait { "7".to_owned() } else { format!("{{\"n\":{n}}}") };
        assert_eq!(output.as_ref().map(to_json_string), Some(expected));
    }
    assert_eq!(controls.len(), 3);
}
