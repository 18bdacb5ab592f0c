//! Secrets over the API: written, listed, deleted, never read.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use isonomy_site::Config;
use serde_json::json;

use crate::place::{Place, config, memory, stores};

const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const VALUE: &str = "never-to-be-seen";

async fn put(place: &Place, name: &str, body: &serde_json::Value) -> crate::place::Reply {
    let headers = [("isonomy-actor", "ada")];
    place.send("PUT", &format!("{SECRETS}/{name}"), &headers, body.to_string().as_bytes()).await
}

/// Mutation: answer with the value, leave the reason out of the record, or put the value into it.
#[tokio::test]
async fn a_secret_is_written_listed_and_deleted_and_each_change_is_recorded() {
    for (kind, store, _folder) in stores() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = Some(folder.path().join("secrets"));
        let place = Place::keeping(Arc::clone(&store), Config::default(), kept).await;
        let first = put(&place, "key", &json!({"value": VALUE, "reason": "new"})).await;
        assert_eq!((first.status, &first.json()["version"]), (201, &json!(1)), "{kind}");
        let second = put(&place, "key", &json!({"value": {"a": [VALUE]}})).await;
        assert_eq!((second.status, &second.json()["version"]), (200, &json!(2)));
        put(&place, "other", &json!({"value": 1})).await;
        let listed = place.get(&format!("{SECRETS}?limit=1")).await;
        let page = listed.json();
        assert_eq!(page["items"][0]["secret"], "key");
        assert_eq!(page["items"][0]["versions"], json!([1, 2]));
        assert_eq!(page["next"], "key");
        let rest = place.get(&format!("{SECRETS}?cursor=key")).await.json();
        assert_eq!(
            (rest["items"].as_array().map(Vec::len), &rest["next"]),
            (Some(1), &json!(null))
        );
        let elsewhere = place.get("/api/v1/namespaces/lab/secrets").await.json();
        assert_eq!(elsewhere["items"], json!([]));
        let path = format!("{SECRETS}/key?reason=over");
        assert_eq!(place.send("DELETE", &path, &[], b"").await.status, 204);
        assert_eq!(place.send("DELETE", &path, &[], b"").await.problem(), "SEC-001");
        assert_eq!(put(&place, "key", &json!({"value": VALUE})).await.json()["version"], 3);
        for reply in [&first, &second, &listed] {
            assert!(!reply.text().contains(VALUE), "{}", reply.text());
        }
        let changes = store.change_list(0, 100).await.expect("changes");
        let told: Vec<String> = changes
            .iter()
            .map(|row| {
                let doc: serde_json::Value = serde_json::from_slice(&row.change).expect("JSON");
                let text = |name: &str| doc[name].as_str().unwrap_or("-").to_owned();
                format!(
                    "{} {} {} {} {}",
                    row.actor,
                    text("change"),
                    text("secret"),
                    doc["version"],
                    text("reason")
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "ada secret-set key 1 new",
                "ada secret-set key 2 -",
                "ada secret-set other 1 -",
                "anonymous secret-deleted key 2 over",
                "ada secret-set key 3 -",
            ]
        );
        assert!(changes.iter().all(|row| !String::from_utf8_lossy(&row.change).contains(VALUE)));
        place.stop().await;
    }
}

/// Mutation: show the value that is wrong, or take anything for a name.
#[tokio::test]
async fn what_cannot_be_set_is_refused_without_its_value() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "spec:\n  secrets:\n    environment: [{name: given, variable: GIVEN}]\n";
    let kept = folder.path().join("secrets");
    let place = Place::keeping(memory(), config(text), Some(kept.clone())).await;
    for (name, body, code) in [
        ("given", json!({"value": VALUE}), "SEC-002"),
        ("large", json!({"value": VALUE.repeat(5_000)}), "SEC-003"),
        (".hidden", json!({"value": VALUE}), "API-002"),
        ("key", json!({"valeu": VALUE}), "API-001"),
        ("key", json!({"value": VALUE, "reason": 7}), "API-001"),
        ("key", json!({"value": VALUE, "reason": "\u{1b}"}), "API-002"),
    ] {
        let reply = put(&place, name, &body).await;
        assert_eq!(reply.problem(), code, "{name}");
        assert!(!reply.text().contains(VALUE), "{}", reply.text());
    }
    put(&place, "key", &json!({"value": VALUE})).await;
    set_permissions(&kept, Permissions::from_mode(0o755)).expect("changed");
    assert_eq!(put(&place, "key", &json!({"value": VALUE})).await.problem(), "SEC-004");
    assert_eq!(place.get(SECRETS).await.problem(), "SEC-004");
    place.stop().await;
    let nowhere = Place::new().await;
    assert_eq!(put(&nowhere, "key", &json!({"value": VALUE})).await.problem(), "SEC-005");
    nowhere.stop().await;
}

/// Mutation: give a value to a GET, whatever it asks for.
#[tokio::test]
async fn there_is_no_way_to_read_a_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let place =
        Place::keeping(memory(), Config::default(), Some(folder.path().join("secrets"))).await;
    put(&place, "key", &json!({"value": VALUE})).await;
    assert_eq!(place.get(&format!("{SECRETS}/key")).await.problem(), "API-008");
    assert_eq!(place.get(&format!("{SECRETS}/key/1")).await.problem(), "API-003");
    for path in [SECRETS, "/api/v1/health", "/metrics"] {
        assert!(!place.get(path).await.text().contains(VALUE), "{path}");
    }
    place.stop().await;
}
