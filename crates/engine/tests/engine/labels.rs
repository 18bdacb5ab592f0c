//! Labels of what a run reads: its own from then on, over restarts, and its parent's.

use std::sync::{Arc, Mutex};

use base::Value;
use engine::driver::Summary;
use engine::effect::{Certainty, Perform, Performed, Performer};
use engine::record::Happened;
use futures::FutureExt;
use futures::future::BoxFuture;
use store::Store;

use crate::site::{open, open_store, put_document, put_revision, start};
use crate::walk::Walk;

fn read(labels: &[&str]) -> Performed {
    Performed {
        result: Ok(Value::Null),
        certainty: Certainty::Definite,
        decision: None,
        lists: Vec::new(),
        labels: labels.iter().map(|it| (*it).to_owned()).collect(),
    }
}

const THREE: &str = "
do:
  - one: {call: 'echo:1.0.0@default', with: {}}
  - two: {call: 'echo:1.0.0@default', with: {}}
  - three: {call: 'echo:1.0.0@default', with: {}}
";

/// Mutation: lose labels in a record or a snapshot, replace those that were there, or forget them where an
/// effect has failed.
#[test]
fn what_a_run_has_read_marks_all_that_it_does_later() {
    let mut walk = Walk::start(THREE, "{}");
    let mut seen = Vec::new();
    for labels in [&["study", "health"][..], &["health"], &[]] {
        let perform = walk.performs.pop_front().expect("an effect");
        seen.push(perform.labels.to_vec());
        walk.feed(Happened::Performed { effect: perform.effect, performed: read(labels) });
    }
    walk.replayed();
    let both = vec!["health".to_owned(), "study".to_owned()];
    assert_eq!(seen, [Vec::new(), both.clone(), both]);
    let mut walk = Walk::start(
        "do: [{t: {try: [{one: {call: 'echo:1.0.0@default', with: {}}}], catch: {do: [{two: {call: 'echo:1.0.0@default', with: {}}}]}}}]",
        "{}",
    );
    let perform = walk.performs.pop_front().expect("an effect");
    let fault = base::Fault::new(base::ErrorType::Validation, "bad rows");
    let performed = Performed { result: Err(fault), ..read(&["health"]) };
    walk.feed(Happened::Performed { effect: perform.effect, performed });
    assert_eq!(walk.performs[0].labels.to_vec(), ["health"]);
}

/// Reads labelled data where a task is called so, and keeps the labels that each was done with.
#[derive(Clone, Default)]
struct Reads(Arc<Mutex<Vec<Vec<String>>>>);

impl Performer for Reads {
    fn perform(&self, perform: Perform) -> BoxFuture<'static, Performed> {
        let is_labelled = perform.activation.as_str().contains("reads");
        let labels: &[&str] = if is_labelled { &["health"] } else { &[] };
        self.0.lock().expect("no test panics here").push(perform.labels.to_vec());
        std::future::ready(read(labels)).boxed()
    }
}

/// Mutation: let a child launder what it has read, or leave the labels out of the run's row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_child_has_read_its_parent_has() {
    const PARENT: &str = "do: [{child: {run: {workflow: {namespace: test, name: helper, version: 2.0.0}}}}, {tells: {call: 'echo:1.0.0@default', with: {}}}]";
    const CHILD: &str = "document: {dsl: '1.0.3', namespace: test, name: helper, version: 2.0.0}\ndo: [{reads: {call: 'echo:1.0.0@default', with: {}}}]";
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_store(folder.path());
    put_document(&*store, CHILD).await;
    put_revision(&*store, PARENT).await;
    let reads = Reads::default();
    let driver = open(store.clone() as Arc<dyn Store>, reads.clone()).await;
    let order = start(PARENT, "{}");
    let run = order.run;
    driver.start(order).await.expect("starts").await.expect("ends");
    let seen = reads.0.lock().expect("no test panics here").clone();
    assert_eq!(seen, [Vec::new(), vec!["health".to_owned()]]);
    let row = store.run_get(run).await.expect("reads").expect("there");
    assert_eq!(Summary::decode(&row.summary).expect("a summary").labels, ["health"]);
}
