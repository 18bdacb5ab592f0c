//! Limits, pools and priorities, as a caller meets them.

use isonomy_site::Config;
use serde_json::json;

use crate::place::{Place, config, memory};

fn document(metadata: &str, tasks: &str) -> String {
    format!(
        "document: {{dsl: '1.0.3', namespace: default, name: work, version: '1.0.0', metadata: {metadata}}}\ndo: {tasks}"
    )
}

/// Mutation: let a workflow begin above its limit, or say nothing of what a run waits for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_above_the_limit_is_pending_and_says_why() {
    let place = Place::with(memory(), Config::default()).await;
    let text = document("{concurrency: {limit: 1}}", "[{nap: {wait: PT1H}}]");
    let applied = place.apply("default", "work", &text).await;
    assert_eq!(applied.status, 201, "{}", applied.text());
    let (first, second) =
        (place.start("work", json!({})).await, place.start("work", json!({})).await);
    let show =
        async |run: &str| place.get(&format!("/api/v1/namespaces/default/runs/{run}")).await.json();
    assert_eq!(show(&first).await["state"], "waiting", "asleep, it keeps its place");
    let waits = show(&second).await;
    assert_eq!(waits["state"], "pending");
    assert_eq!(waits["queued"], "the limit of its workflow (runs at once: 1)");
    assert_eq!(waits["tasks"], json!([]));
    let listed = place.get("/api/v1/namespaces/default/runs?state=pending").await.json();
    assert_eq!(listed["items"][0]["run"], second.as_str());
    assert_eq!(listed["items"][0]["queued"], waits["queued"]);
    let mut following =
        place.lines(&format!("/api/v1/namespaces/default/runs/{second}/follow"), &[]).await;
    let cancelled =
        place.post(&format!("/api/v1/namespaces/default/runs/{first}/cancel"), &json!({})).await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
    while let Some((_, event)) = following.event().await {
        if event["state"] == "waiting" {
            break;
        }
    }
    assert_eq!(show(&second).await["queued"], json!(null));
    place.stop().await;
}

/// Mutation: take a pool that the site does not have, or refuse one that it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_must_be_one_of_the_site() {
    let config =
        config("spec: {pools: [{name: gpu, slots: 2}], namespaces: [{name: lab, weight: 3}]}");
    let place = Place::with(memory(), config).await;
    let task = |pool: &str| {
        format!(
            "[{{train: {{call: 'echo:1.0.0@default', metadata: {{pool: {pool}}}, with: {{x: 1}}}}}}]"
        )
    };
    let refused = place.apply("default", "work", &document("{}", &task("gpus"))).await;
    assert_eq!(refused.problem(), "WFL-001");
    let finding = &refused.json()["findings"][0];
    assert_eq!(finding["code"], "WF-085");
    assert_eq!(finding["hint"], "did you mean `gpu`?");
    let applied = place.apply("default", "work", &document("{}", &task("gpu"))).await;
    assert_eq!(applied.status, 201, "{}", applied.text());
    let ended = place.run("work", json!({})).await;
    assert_eq!(ended["output"], json!({"x": 1}));
    place.stop().await;
}
