//! A site that comes back.

use std::sync::Arc;

use base::{IncarnationId, SystemRandom, Timestamp};
use serde_json::json;
use store::Store;
use store::memory::MemoryStore;
use store_sqlite::{OpenOptions, SqliteStore};

use crate::documents::CALL;
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
    assert_eq!(detail["tasks"][0]["attempts"].as_array().map(Vec::len), Some(1), "one effect: {detail}");
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
    check(|| Arc::new(SqliteStore::open(folder.path(), OpenOptions::default()).expect("the store"))).await;
}
