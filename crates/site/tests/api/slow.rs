//! A store that is slow: starts slow down, nobody else is held up, and nothing is lost.

use std::sync::Arc;

use base::{IncarnationId, SystemRandom, Timestamp};
use futures::FutureExt;
use futures::future::join_all;
use isonomy_site::Config;
use serde_json::json;
use store::Store;
use store::memory::MemoryStore;
use tokio::sync::{Semaphore, watch};

use crate::place::Place;

const RUNS: &str = "/api/v1/namespaces/default/runs";

/// Mutation: let any number of starts wait for the store, or take connections from those who only
/// read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_store_slows_starts_and_nothing_else() {
    /// As the site has it.
    const STARTS: usize = 256;
    // A commit passes when the test lets it.
    let gate = Arc::new(Semaphore::new(0));
    let (waiting, mut waits) = watch::channel(0_usize);
    let store = MemoryStore::new(IncarnationId::new(Timestamp::from_millis(0), &SystemRandom));
    let passes = Arc::clone(&gate);
    let slow = store.behind(move || {
        let (passes, waiting) = (Arc::clone(&passes), waiting.clone());
        async move {
            waiting.send_modify(|commits| *commits += 1);
            passes.acquire().await.expect("never closed").forget();
            waiting.send_modify(|commits| *commits -= 1);
            Ok(())
        }
        .boxed()
    });
    let place = Place::with(Arc::new(slow) as Arc<dyn Store>, Config::default()).await;
    gate.add_permits(1);
    place.given("greet", "  - a: {set: {x: 1}}").await;
    let body = json!({"workflow": "greet"});
    let (starting, judged) =
        tokio::join!(join_all((0..STARTS).map(|_| place.post(RUNS, &body))), async {
            waits.wait_for(|commits| *commits >= STARTS).await.expect("the store is there");
            let refused = place.post(RUNS, &body).await;
            let listed = place.get(RUNS).await;
            gate.add_permits(10 * STARTS);
            (refused, listed)
        });
    let (refused, listed) = judged;
    assert_eq!((refused.status, refused.problem().as_str()), (429, "API-006"));
    assert!(refused.head.contains("retry-after: 1"), "{}", refused.head);
    assert_eq!(listed.status, 200, "who only reads is answered meanwhile");
    assert!(starting.iter().all(|reply| reply.status == 201), "everybody else is served");
    assert_eq!(place.post(RUNS, &body).await.status, 201);
    place.stop().await;
}
