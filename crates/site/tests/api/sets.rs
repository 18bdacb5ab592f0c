//! Documents that refer to each other: applied together, found in the store, and run.

use serde_json::{Value, json};

use crate::documents::GREET;
use crate::place::{Place, Reply, document, stores};

const SET: &str = "/api/v1/workflows:apply";
const WORKFLOWS: &str = "/api/v1/namespaces/default/workflows";

/// A member of a circle: it counts down and hands over to the next.
fn link(name: &str, next: &str) -> String {
    let tasks = format!(
        "  - stop: {{if: '${{ .n <= 0 }}', set: {{end: {name}}}, then: end}}
  - next: {{run: {{workflow: {{namespace: default, name: {next}, version: 1.0.0, input: {{n: '${{ .n - 1 }}'}}}}}}}}"
    );
    document("default", name, "1.0.0", &tasks)
}

fn caller(version: &str) -> String {
    let tasks = format!(
        "  - ask: {{run: {{workflow: {{namespace: default, name: greet, version: {version}, input: {{name: '${{ .name }}'}}}}}}}}"
    );
    document("default", "caller", "1.0.0", &tasks)
}

fn set(texts: &[&str]) -> Value {
    let documents = texts.iter().enumerate();
    let documents: Vec<Value> = documents
        .map(|(number, text)| json!({"text": text, "source": format!("{number}.yaml")}))
        .collect();
    json!({"documents": documents, "reason": "together"})
}

fn changes(reply: &Reply) -> Vec<(String, String)> {
    let json = reply.json();
    let items = json["items"].as_array().unwrap_or_else(|| panic!("{}", reply.text()));
    let text = |item: &Value, field: &str| item[field].as_str().expect("text").to_owned();
    items.iter().map(|item| (text(item, "change"), text(item, "revision"))).collect()
}

/// Mutation: name the members of a circle one by one, let the order count, or write on a dry run.
#[tokio::test]
async fn a_circle_of_three_is_applied_and_runs_round() {
    for (kind, store, _folder) in stores() {
        let place = Place::with(store, isonomy_site::Config::default()).await;
        let (a, b, c) = (link("a", "b"), link("b", "c"), link("c", "a"));
        let mut plan = set(&[&a, &b, &c]);
        plan["dryRun"] = json!(true);
        let planned = place.post(SET, &plan).await;
        assert_eq!(planned.status, 200, "{kind}: {}", planned.text());
        assert_eq!(place.get(&format!("{WORKFLOWS}/a")).await.problem(), "WFL-002");
        let applied = changes(&place.post(SET, &set(&[&a, &b, &c])).await);
        assert_eq!(applied, changes(&planned));
        assert!(applied.iter().all(|(change, _)| change == "new"), "{applied:?}");
        let mut again = changes(&place.post(SET, &set(&[&c, &a, &b])).await);
        assert!(again.iter().all(|(change, _)| change == "unchanged"), "{again:?}");
        again.rotate_left(1);
        let revisions = |list: &[(String, String)]| -> Vec<String> {
            list.iter().map(|(_, revision)| revision.clone()).collect()
        };
        assert_eq!(revisions(&again), revisions(&applied));
        let run = place.run("a", json!({"n": 5})).await;
        assert_eq!(run["output"], json!({"end": "c"}), "{run}");
        // One that changes changes the names of all.
        let louder = c.replace("set:", "set: ");
        let changed = changes(&place.post(SET, &set(&[&a, &b, &louder])).await);
        assert!(changed.iter().all(|(change, _)| change == "changed"), "{changed:?}");
        place.stop().await;
    }
}

/// Mutation: apply what is right and leave out what is not, or name no source.
#[tokio::test]
async fn a_set_is_applied_wholly_or_not_at_all() {
    let place = Place::new().await;
    let good = document("default", "greet", "1.0.0", GREET);
    let lost = link("a", "nowhere");
    let broken = document("default", "broken", "1.0.0", "  - x: {sett: {}}");
    let refused = place.post(SET, &set(&[&good, &lost])).await;
    assert_eq!(refused.problem(), "WFL-001");
    let finding = &refused.json()["findings"][0];
    assert_eq!((&finding["code"], &finding["source"]), (&json!("WF-040"), &json!("1.yaml")));
    let message = finding["message"].as_str().expect("a message");
    assert!(message.contains("`default/nowhere:1.0.0`"), "{message}");
    let refused = place.post(SET, &set(&[&broken, &good, &lost])).await;
    assert_eq!(refused.json()["findings"][0]["source"], "0.yaml", "{}", refused.text());
    let twice = place.post(SET, &set(&[&good, &good])).await;
    assert_eq!(twice.problem(), "API-001");
    assert_eq!(place.post(SET, &json!({"documents": []})).await.problem(), "API-001");
    assert_eq!(place.get(&format!("{WORKFLOWS}/greet")).await.problem(), "WFL-002");
    place.stop().await;
}

/// Mutation: look a child up when it is run, take `latest` for any version, or find deleted ones.
#[tokio::test]
async fn a_child_is_looked_up_when_its_parent_is_applied() {
    for (kind, store, _folder) in stores() {
        let place = Place::with(store, isonomy_site::Config::default()).await;
        let missing = place.apply("default", "caller", &caller("latest")).await;
        assert_eq!(missing.problem(), "WFL-001", "{kind}");
        place.given("greet", GREET).await;
        let first = place.apply("default", "caller", &caller("latest")).await.json();
        let said = place.run("caller", json!({"name": "ada"})).await;
        assert_eq!(said["output"]["greeting"], "hello ada", "{said}");

        let newer = document("default", "greet", "2.0.0", &GREET.replace("hello", "ahoy"));
        assert!(place.apply("default", "greet", &newer).await.status < 300);
        let said = place.run("caller", json!({"name": "ada"})).await;
        assert_eq!(said["output"]["greeting"], "hello ada", "{said}");
        let second = place.apply("default", "caller", &caller("latest")).await.json();
        assert_eq!(second["change"], "changed");
        assert_ne!(second["revision"], first["revision"]);
        let said = place.run("caller", json!({"name": "ada"})).await;
        assert_eq!(said["output"]["greeting"], "ahoy ada", "{said}");

        let old = place.apply("default", "caller", &caller("1.0.0")).await;
        assert!(old.status < 300, "{}", old.text());
        let said = place.run("caller", json!({"name": "ada"})).await;
        assert_eq!(said["output"]["greeting"], "hello ada", "{said}");
        let unknown = place.apply("default", "caller", &caller("3.0.0")).await;
        let message = unknown.json()["findings"][0]["message"].as_str().expect("one").to_owned();
        assert!(message.ends_with("its versions are `1.0.0`, `2.0.0`"), "{message}");
        place.send("DELETE", &format!("{WORKFLOWS}/greet"), &[], b"").await;
        let deleted = place.apply("default", "caller", &caller("latest")).await;
        assert!(deleted.text().contains("it was deleted"), "{}", deleted.text());
        // Who was applied before goes on.
        let said = place.run("caller", json!({"name": "ada"})).await;
        assert_eq!(said["state"], "completed");
        place.stop().await;
    }
}

/// Mutation: show the child without its parent, or the parent without its children.
#[tokio::test]
async fn a_run_shows_its_parent_and_its_children() {
    let place = Place::new().await;
    place.given("greet", GREET).await;
    place.apply("default", "caller", &caller("latest")).await;
    let run = place.run("caller", json!({"name": "ada"})).await;
    let id = run["run"].as_str().expect("an id");
    let shown = place.get(&format!("/api/v1/namespaces/default/runs/{id}")).await.json();
    assert_eq!(shown.get("parent"), None);
    let child = &shown["children"][0];
    assert_eq!(shown["children"].as_array().map(Vec::len), Some(1), "{shown}");
    assert_eq!((&child["workflow"], &child["state"]), (&json!("greet"), &json!("completed")));
    assert_eq!(child["activation"], "/ask");
    let path = format!("/api/v1/namespaces/default/runs/{}", child["run"].as_str().expect("an id"));
    let shown = place.get(&path).await.json();
    assert_eq!(shown["parent"], json!({"run": id, "activation": "/ask", "depth": 1}));
    assert_eq!(shown["startedBy"], "ada");
    let listed = place.get("/api/v1/namespaces/default/runs?workflow=greet").await.json();
    assert_eq!(listed["items"][0]["parent"]["run"], id, "{listed}");
    place.stop().await;
}
