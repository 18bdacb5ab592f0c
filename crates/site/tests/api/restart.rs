//! A site that comes back.

use std::sync::Arc;

use base::{IncarnationId, SystemRandom, Timestamp};
use serde_json::json;
use store::memory::MemoryStore;
use store::{Op, Preconditions, Sequence, Store};
use store_sqlite::{OpenOptions, SqliteStore};

use crate::documents::{CALL, SLEEP};
use crate::place::{Place, config};
use crate::server::{Event, Server};

const RUNS: &str = "/api/v1/namespaces/default/runs";

async fn check(open: impl Fn() -> Arc<dyn Store>) {
    let mut server = Server::new().await;
    // The first life may not be answered, the second is.
    let hanging = config(&server.config());
    let place = Place::with(open(), hanging.clone()).await;
    place.given("call", CALL).await;
    let run = place.start("call", json!({"url": format!("{}/hang", server.url)})).await;
    assert_eq!(server.next().await, Event::Asked("/hang".into()));
    place.stop().await;
    assert_eq!(server.next().await, Event::HungUp);

    let place = Place::with(open(), hanging).await;
    assert_eq!(place.site.resumed(), 1);
    assert_eq!(server.next().await, Event::Asked("/hang".into()), "the call is made again");
    let cancelled = place.post(&format!("{RUNS}/{run}/cancel"), &json!({})).await;
    assert_eq!(cancelled.json()["state"], "cancelled");
    assert_eq!(server.next().await, Event::HungUp);
    place.stop().await;

    let place = Place::with(open(), isonomy_site::Config::default()).await;
    assert_eq!(place.site.resumed(), 0);
    let detail = place.get(&format!("{RUNS}/{run}")).await.json();
    assert_eq!(detail["state"], "cancelled");
    assert_eq!(
        detail["tasks"][0]["attempts"].as_array().map(Vec::len),
        Some(1),
        "one effect: {detail}"
    );
    place.stop().await;
}

/// Mutation: do not take up runs at the start, or record the effect a second time.
#[tokio::test]
async fn a_site_goes_on_with_its_runs_after_a_restart_on_memory() {
    let store = MemoryStore::new(IncarnationId::new(Timestamp::from_millis(0), &SystemRandom));
    check(|| Arc::new(store.reopen())).await;
}

/// Mutation: as above.
#[tokio::test]
async fn a_site_goes_on_with_its_runs_after_a_restart_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    check(|| {
        Arc::new(SqliteStore::open(folder.path(), OpenOptions::default()).expect("the store"))
    })
    .await;
}

/// Mutation: answer 500 for a run that cannot be followed, hide why, or let it go on.
#[tokio::test]
async fn a_run_with_a_damaged_journal_stands_still_and_says_why() {
    let store = MemoryStore::new(IncarnationId::new(Timestamp::from_millis(0), &SystemRandom));
    let place = Place::with(Arc::new(store.reopen()), isonomy_site::Config::default()).await;
    place.given("sleep", SLEEP).await;
    let text = place.start("sleep", json!({"night": "long"})).await;
    place.stop().await;
    let run = text.parse().expect("an id");
    let last = store.journal_read(run, Sequence::ZERO, 500).await.expect("a journal").len() as u64;
    let record = b"junk".to_vec().into();
    let junk = Op::JournalAppend { run, sequence: Sequence(last + 1), record };
    let owner = store.reopen();
    owner.commit(vec![junk], Preconditions::none()).await.expect("damaged");

    let place = Place::with(Arc::new(store.reopen()), isonomy_site::Config::default()).await;
    let path = format!("{RUNS}/{text}");
    let told = place.lines(&format!("{path}/follow"), &[]).await.rest().await;
    assert_eq!(told.last().expect("its state").1["state"], "suspended", "{told:?}");
    let detail = place.get(&path).await;
    assert_eq!(detail.status, 200, "{}", detail.text());
    let detail = detail.json();
    assert_eq!(detail["state"], "suspended");
    assert!(
        detail["suspended"].as_str().expect("why").starts_with("journal-unreadable"),
        "{detail}"
    );
    for command in ["cancel", "retry"] {
        let reply = place.post(&format!("{path}/{command}"), &json!({})).await;
        assert_eq!(reply.problem(), "RUN-005", "{command}: {}", reply.text());
    }
    let events = place.get(&format!("{path}/events")).await;
    assert_eq!(events.problem(), "RUN-005");
    assert_eq!(place.get(&format!("{path}/events?limit={last}")).await.status, 200);
    place.stop().await;
}
