//! Applying, listing, showing, deleting.

use serde_json::json;

use crate::documents::GREET;
use crate::place::{Place, document, stores};

const WORKFLOWS: &str = "/api/v1/namespaces/default/workflows";

/// Mutation: write on a dry run, compare texts instead of digests, or forget the warning.
#[tokio::test]
async fn applying_says_what_has_changed() {
    for (kind, store, _folder) in stores() {
        let place = Place::with(store, isonomy_site::Config::default()).await;
        let path = format!("{WORKFLOWS}/greet");
        let text = document("default", "greet", "1.0.0", GREET);
        let plan = json!({"text": text, "dryRun": true}).to_string();
        let planned = place.send("PUT", &path, &[], plan.as_bytes()).await;
        assert_eq!(
            (planned.status, planned.json()["change"].as_str()),
            (200, Some("new")),
            "{kind}"
        );
        assert_eq!(place.get(&path).await.problem(), "WFL-002");

        let new = place.apply("default", "greet", &text).await;
        assert_eq!(
            (new.status, new.json()["change"].as_str()),
            (201, Some("new")),
            "{}",
            new.text()
        );
        let again = place.apply("default", "greet", &text).await;
        assert_eq!((again.status, again.json()["change"].as_str()), (200, Some("unchanged")));

        let louder = text.replace("hello", "HELLO");
        let changed = place.apply("default", "greet", &louder).await.json();
        assert_eq!(changed["change"], "changed");
        assert_eq!(changed["previous"], new.json()["revision"]);
        assert_eq!(changed["warnings"][0]["code"], "WFL-101", "{changed}");
        let newer = louder.replace("version: 1.0.0", "version: 1.1.0").replace("HELLO", "Hello");
        let changed = place.apply("default", "greet", &newer).await.json();
        assert_eq!(
            (changed["change"].as_str(), changed.get("warnings")),
            (Some("changed"), None),
            "{changed}"
        );

        let shown = place.get(&path).await.json();
        assert_eq!((&shown["text"], &shown["version"]), (&json!(newer), &json!("1.1.0")));
        assert_eq!(shown["revisions"].as_array().map(Vec::len), Some(3));
        let first = new.json()["revision"].as_str().expect("a digest").to_owned();
        let old = place.get(&format!("{path}?revision={first}")).await.json();
        assert_eq!((&old["text"], &old["revision"]), (&json!(text), &json!(first)));
        let unknown = format!("{path}?revision=b3:{}", "0".repeat(64));
        assert_eq!(place.get(&unknown).await.problem(), "WFL-003");
        place.stop().await;
    }
}

/// Mutation: keep the head of a deleted workflow, or let a tombstone stand when it is applied again.
#[tokio::test]
async fn a_deleted_workflow_takes_no_runs_until_it_is_applied_again() {
    for (kind, store, _folder) in stores() {
        let place = Place::with(store.clone(), isonomy_site::Config::default()).await;
        place.given("greet", GREET).await;
        let run = place.run("greet", json!({"name": "ada"})).await;
        let path = format!("{WORKFLOWS}/greet");
        let deleted = place
            .send("DELETE", &format!("{path}?reason=obsolete"), &[("isonomy-actor", "bob")], b"")
            .await;
        assert_eq!((deleted.status, deleted.body.len()), (204, 0), "{kind}");
        assert_eq!(place.send("DELETE", &path, &[], b"").await.problem(), "WFL-002");
        assert_eq!(place.get(&path).await.problem(), "WFL-002");
        let start = json!({"workflow": "greet", "input": {"name": "bob"}});
        assert_eq!(
            place.post("/api/v1/namespaces/default/runs", &start).await.problem(),
            "WFL-002"
        );
        let kept = place
            .get(&format!(
                "/api/v1/namespaces/default/runs/{}",
                run["run"].as_str().expect("an id")
            ))
            .await;
        assert_eq!(kept.json()["output"]["greeting"], "hello ada");

        let revived =
            place.apply("default", "greet", &document("default", "greet", "1.0.0", GREET)).await;
        assert_eq!((revived.status, revived.json()["change"].as_str()), (201, Some("new")));
        assert_eq!(
            place.run("greet", json!({"name": "bob"})).await["output"]["greeting"],
            "hello bob"
        );

        let changes = store.change_list(0, 10).await.expect("the record of changes");
        let said: Vec<(String, serde_json::Value)> = changes
            .iter()
            .map(|row| (row.actor.clone(), serde_json::from_slice(&row.change).expect("JSON")))
            .collect();
        let kinds: Vec<_> = said
            .iter()
            .map(|(actor, it)| (actor.as_str(), it["change"].as_str().unwrap_or("?")))
            .collect();
        assert_eq!(
            kinds,
            [("ada", "workflow-applied"), ("bob", "workflow-deleted"), ("ada", "workflow-applied")]
        );
        assert_eq!(said[1].1["reason"], "obsolete");
        place.stop().await;
    }
}

/// Mutation: leave the page's last item out of the next, or list another namespace.
#[tokio::test]
async fn workflows_come_in_pages_by_name() {
    let place = Place::new().await;
    for name in ["c", "a", "e", "b", "d"] {
        place.given(name, GREET).await;
    }
    let other = place.apply("other", "z", &document("other", "z", "1.0.0", GREET)).await;
    assert_eq!(other.status, 201);
    let mut names = Vec::new();
    let mut path = format!("{WORKFLOWS}?limit=2");
    loop {
        let page = place.get(&path).await.json();
        let items = page["items"].as_array().expect("items");
        names
            .extend(items.iter().map(|item| item["workflow"].as_str().expect("a name").to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("{WORKFLOWS}?limit=2&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    place.stop().await;
}

/// Mutation: apply what has errors, or lose a finding on the way.
#[tokio::test]
async fn a_wrong_document_is_refused_with_every_place() {
    let place = Place::new().await;
    let wrong = document(
        "default",
        "greet",
        "1.0.0",
        "  - a: {set: {x: 1}, then: nowhere}\n  - b: {call: grpc, with: {}}",
    );
    let refused = place.apply("default", "greet", &wrong).await;
    assert_eq!((refused.status, refused.problem().as_str()), (422, "WFL-001"));
    let problem = refused.json();
    let findings = problem["findings"].as_array().expect("findings");
    let codes: Vec<_> = findings.iter().map(|it| it["code"].as_str().expect("a code")).collect();
    assert!(codes.contains(&"WF-012") && codes.contains(&"WF-105"), "{problem}");
    assert!(
        findings[0]["rendered"].as_str().expect("a text").contains("--> document:3:"),
        "{problem}"
    );
    assert_eq!(place.get(&format!("{WORKFLOWS}/greet")).await.problem(), "WFL-002");

    let elsewhere =
        place.apply("default", "greet", &document("other", "greet", "1.0.0", GREET)).await;
    assert_eq!(elsewhere.problem(), "WFL-004");
    let renamed =
        place.apply("default", "greet", &document("default", "great", "1.0.0", GREET)).await;
    assert_eq!(renamed.problem(), "WFL-004");
    place.stop().await;
}

/// Mutation: accept an expression that nobody has looked at.
#[tokio::test]
async fn an_expression_that_nobody_can_look_at_is_not_accepted() {
    let place = Place::new().await;
    let long = format!("[{}1]", "1, ".repeat(2_000));
    let text =
        document("default", "long", "1.0.0", &format!("  - a: {{set: {{x: '${{ {long} }}'}}}}"));
    // The evaluator of this site does not exist.
    let refused = place.apply("default", "long", &text).await;
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (500, "INT-001"),
        "{}",
        refused.text()
    );
    assert_eq!(place.get(&format!("{WORKFLOWS}/long")).await.problem(), "WFL-002");
    place.stop().await;
}
