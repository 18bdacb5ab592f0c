//! A driver on a real SQLite file, with the scripted world around it.

use std::path::Path;
use std::sync::Arc;

use base::{Clock, SystemClock, SystemRandom};
use engine::driver::dispatch::Settings;
use engine::driver::{Driver, Parts, Start};
use engine::effect::{Evaluator, Performer};
use engine::lifecycle::Lifecycle;
use store::{Op, Preconditions, RevisionRow, Store};
use store_sqlite::SqliteStore;

use crate::walk::{by, document, revision_of, started, value, workflow};
use crate::world::{Echo, Outside, RESOURCES};

pub fn open_store(folder: &Path) -> Arc<SqliteStore> {
    Arc::new(
        SqliteStore::open(folder, store_sqlite::OpenOptions::default()).expect("the store opens"),
    )
}

pub async fn open(store: Arc<dyn Store>, performer: impl Performer) -> Driver {
    open_with(store, performer, Outside).await
}

pub async fn open_with(
    store: Arc<dyn Store>,
    performer: impl Performer,
    evaluator: impl Evaluator,
) -> Driver {
    let clock = Arc::new(SystemClock);
    open_parts(store, performer, evaluator, clock, Settings::default()).await
}

/// One with limits and a clock of the test.
pub async fn open_dispatched(
    store: Arc<dyn Store>,
    performer: impl Performer,
    clock: Arc<dyn Clock>,
    dispatch: Settings,
) -> Driver {
    open_parts(store, performer, Outside, clock, dispatch).await
}

async fn open_parts(
    store: Arc<dyn Store>,
    performer: impl Performer,
    evaluator: impl Evaluator,
    clock: Arc<dyn Clock>,
    dispatch: Settings,
) -> Driver {
    let parts = Parts {
        store,
        performer: Arc::new(performer),
        evaluator: Arc::new(evaluator),
        catalog: Arc::new(Echo),
        secrets: Arc::new(engine::secret::NoSecrets),
        clock,
        random: Arc::new(SystemRandom),
        runtime: value(r#"{"name":"isonomy","version":"test","metadata":{}}"#),
        lifecycle: Lifecycle::default(),
        dispatch,
    };
    Driver::open(parts).await.expect("the driver opens")
}

/// Stores the revision that [`start`] names.
pub async fn put_revision(store: &dyn Store, body: &str) {
    put_document(store, &document(body)).await;
}

/// Stores a document under the digest that other documents find it by.
pub async fn put_document(store: &dyn Store, text: &str) {
    let read = spec::read(text, &Echo).expect("a test's own document");
    let of_workflows = |it: &&spec::Reference| it.to.kind == spec::ReferenceKind::Workflow;
    let references = read.references.iter().filter(of_workflows);
    let workflows = references.map(|it| (it.to.name.clone(), it.digest)).collect();
    let resolved = spec::Resolved { workflows, resources: resources() };
    let document = read.workflow.document;
    let row = RevisionRow {
        revision: revision_of(&document.key),
        key: document.key,
        version: document.version,
        created_at: crate::walk::START,
        text: text.to_owned().into(),
        resolved: resolved.encode().into(),
    };
    store
        .commit(vec![Op::RevisionPut(row)], Preconditions::none())
        .await
        .expect("the store writes");
}

fn resources() -> std::collections::BTreeMap<String, Arc<str>> {
    RESOURCES.into_iter().map(|(uri, text)| (uri.to_owned(), text.into())).collect()
}

/// A driver on a store of its own that knows the workflow. The folder goes with what is returned.
pub async fn site(
    body: &str,
    performer: impl Performer,
) -> (Arc<SqliteStore>, Driver, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_store(folder.path());
    put_revision(&*store, body).await;
    let driver = open(store.clone(), performer).await;
    (store, driver, folder)
}

/// The same run each time: same id, so that keys can be compared.
pub fn start(body: &str, input: &str) -> Start {
    let started = started(&workflow(body), input);
    Start {
        run: started.run,
        key: started.key,
        revision: started.revision,
        version: started.version,
        input: started.input,
        by: by("tester"),
        owner: "tester".to_owned(),
        labels: Vec::new(),
        tags: Vec::new(),
        priority: 0,
        traceparent: started.traceparent,
    }
}
