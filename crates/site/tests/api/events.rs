//! Events over the API.

use serde_json::{Value, json};

use crate::place::{Place, config, stores};

const EVENTS: &str = "/api/v1/namespaces/default/events";

const SINGLE: (&str, &str) = ("content-type", "application/cloudevents+json");
const BATCH: (&str, &str) = ("content-type", "application/cloudevents-batch+json");

impl Place {
    async fn event(&self, event: &Value) -> u16 {
        self.send("POST", EVENTS, &[SINGLE], event.to_string().as_bytes()).await.status
    }

    async fn types(&self, query: &str) -> Vec<String> {
        let page = self.get(&format!("{EVENTS}?{query}")).await.json();
        let items = page["items"].as_array().expect("items").clone();
        items.iter().map(|it| it["event"]["type"].as_str().expect("a type").to_owned()).collect()
    }
}

fn event(kind: &str, id: &str) -> Value {
    json!({"specversion": "1.0", "type": kind, "source": "/test", "id": id, "data": {"n": 1}})
}

/// Mutation: lose a form, take half of a batch, or take an event twice.
#[tokio::test]
async fn events_come_in_in_every_form() {
    for (kind, store, _folder) in stores() {
        let place = Place::with(store, isonomy_site::Config::default()).await;
        let single = event("a.single", "1").to_string();
        let reply = place.send("POST", EVENTS, &[SINGLE], single.as_bytes()).await;
        assert_eq!(reply.status, 201, "{kind}: {}", reply.text());
        assert_eq!(reply.json()["events"][0]["id"], "1");
        let batch = json!([event("a.batch", "2"), event("a.batch", "3"), event("a.single", "1")]);
        assert_eq!(
            place.send("POST", EVENTS, &[BATCH], batch.to_string().as_bytes()).await.status,
            201
        );
        let half = json!([event("a.half", "4"), {"type": "a.half"}]);
        let refused = place.send("POST", EVENTS, &[BATCH], half.to_string().as_bytes()).await;
        assert_eq!((refused.status, refused.problem().as_str()), (400, "EVT-001"));
        assert!(refused.text().contains("event 1: "), "{}", refused.text());
        let headers = [
            ("content-type", "text/plain"),
            ("ce-type", "a.binary"),
            ("ce-source", "/test"),
            ("ce-id", "5"),
            ("ce-subject", "caf%C3%A9"),
        ];
        assert_eq!(place.send("POST", EVENTS, &headers, b"hello").await.status, 201);
        let all = place.types("order=oldest").await;
        assert_eq!(all, ["a.single", "a.batch", "a.batch", "a.binary"], "{kind}");
        let binary = place.get(&format!("{EVENTS}?limit=1")).await.json();
        let binary = &binary["items"][0]["event"];
        assert_eq!((&binary["data"], &binary["subject"]), (&json!("hello"), &json!("café")));
        assert_eq!(binary["datacontenttype"], "text/plain");
        place.stop().await;
    }
}

/// Mutation: answer with another code, or repeat the value.
#[tokio::test]
async fn what_is_no_event_is_refused() {
    let place = Place::new().await;
    let check = async |header: (&str, &str), body: &str, code: &str| {
        let reply = place.send("POST", EVENTS, &[header], body.as_bytes()).await;
        assert_eq!(reply.problem(), code, "{body}: {}", reply.text());
        assert!(!reply.text().contains("s3cret"), "{}", reply.text());
    };
    check(SINGLE, "{", "EVT-001").await;
    check(SINGLE, r#"{"type":"a"}"#, "EVT-001").await;
    check(SINGLE, r#"{"type":"a","source":"s3cret key"}"#, "EVT-001").await;
    check(SINGLE, r#"{"type":["s3cret"],"source":"/x"}"#, "EVT-001").await;
    let forged =
        r#"{"type":"io.serverlessworkflow.workflow.faulted.v1","source":"/default/a/1.0.0"}"#;
    check(SINGLE, forged, "EVT-001").await;
    check(BATCH, "{}", "EVT-001").await;
    check(("content-type", "text/plain"), "{}", "EVT-002").await;
    check(("content-type", "application/xml"), "<a/>", "EVT-002").await;
    check(SINGLE, &event("a", "1").to_string().replace("1.0", "0.3"), "EVT-001").await;
    let large = json!({"type": "a", "source": "/x", "data": "x".repeat(1_100_000)});
    check(SINGLE, &large.to_string(), "EVT-001").await;
    let many = Value::Array(vec![event("a", "1"); 1_001]);
    check(BATCH, &many.to_string(), "API-004").await;
    for query in
        ["limit=0", "order=x", "cursor=x", "cursor=99999999999999999999", "run=x", "nope=1"]
    {
        assert_eq!(place.get(&format!("{EVENTS}?{query}")).await.problem(), "API-002", "{query}");
    }
    assert!(place.types("").await.is_empty());
    place.stop().await;
}

/// Mutation: ignore a filter, or repeat the last event of the page before.
#[tokio::test]
async fn events_are_listed_in_pages_and_filtered() {
    let place = Place::new().await;
    for n in 0..40 {
        let kind = if n % 4 == 0 { "order.placed" } else { "order.paid" };
        assert_eq!(place.event(&event(kind, &n.to_string())).await, 201);
    }
    let mut seen = Vec::new();
    let mut query = "limit=7&type=order.placed".to_owned();
    loop {
        let page = place.get(&format!("{EVENTS}?{query}")).await.json();
        for item in page["items"].as_array().expect("items") {
            seen.push(item["event"]["id"].as_str().expect("an id").to_owned());
        }
        match page["next"].as_str() {
            Some(next) => query = format!("limit=7&type=order.placed&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["36", "32", "28", "24", "20", "16", "12", "8", "4", "0"]);
    assert_eq!(place.types("type=order.*&limit=500").await.len(), 40);
    assert_eq!(place.types("type=paid.*").await.len(), 0);
    assert_eq!(place.types("source=/other").await.len(), 0);
    place.stop().await;
}

/// Mutation: begin at the beginning, miss what comes between the look and the wait, or tell others.
#[tokio::test]
async fn events_are_followed_as_they_come() {
    let place = Place::new().await;
    place.event(&event("a.before", "1")).await;
    let mut all = place.lines(&format!("{EVENTS}/follow?after=0"), &[]).await;
    let (id, first) = all.event().await.expect("an event");
    assert_eq!((id, &first["event"]["type"]), (Some(1), &json!("a.before")));
    let mut some =
        place.lines(&format!("{EVENTS}/follow?type=b.*"), &[("last-event-id", "1")]).await;
    for (kind, id) in [("a.x", "2"), ("b.x", "3"), ("a.y", "4"), ("b.y", "5")] {
        place.event(&event(kind, id)).await;
    }
    let mut kinds = Vec::new();
    for _ in 0..4 {
        let (_, event) = all.event().await.expect("an event");
        kinds.push(event["event"]["type"].as_str().expect("a type").to_owned());
    }
    assert_eq!(kinds, ["a.x", "b.x", "a.y", "b.y"]);
    for expected in ["b.x", "b.y"] {
        let (_, event) = some.event().await.expect("an event");
        assert_eq!(event["event"]["type"], expected);
    }
    place.stop().await;
}

const LISTENS: &str = "  - hear: {listen: {to: {one: {with: {type: go}}}}}\n  - nap: {wait: PT0.01S}\n  - tell: {emit: {event: {with: {type: gone}}}}";

/// Mutation: leave a kind of event out, tell it in another order later, or never end.
#[tokio::test]
async fn a_run_tells_its_life_and_that_of_its_tasks() {
    let place = Place::new().await;
    place.given("listens", LISTENS).await;
    let mut waits = place
        .lines(
            &format!("{EVENTS}/follow?type=io.serverlessworkflow.workflow.correlation*&after=0"),
            &[],
        )
        .await;
    let run = place.start("listens", json!({})).await;
    let (_, listening) = waits.event().await.expect("the run listens");
    assert_eq!(listening["run"], json!(run));
    assert_eq!(place.event(&event("go", "1")).await, 201);
    let told = place.lines(&format!("{EVENTS}/follow?run={run}"), &[]).await.rest().await;
    let short = |event: &Value| {
        let kind = event["event"]["type"].as_str().expect("a type");
        kind.trim_start_matches("io.serverlessworkflow.").trim_end_matches(".v1").to_owned()
    };
    let told: Vec<String> = told.iter().map(|(_, event)| short(event)).collect();
    let page = place.get(&format!("{EVENTS}?run={run}&limit=500")).await.json();
    let listed: Vec<String> = page["items"].as_array().expect("items").iter().map(short).collect();
    assert_eq!(told, listed);
    for expected in [
        "workflow.started",
        "workflow.correlation-started",
        "workflow.correlation-completed",
        "workflow.status-changed",
        "workflow.completed",
        "task.created",
        "task.started",
        "task.completed",
        "task.status-changed",
        "gone",
    ] {
        assert!(listed.iter().any(|kind| kind == expected), "no {expected} in {listed:?}");
    }
    let mut paged = Vec::new();
    let mut cursor = "0.0".to_owned();
    loop {
        let page = place.get(&format!("{EVENTS}?run={run}&limit=3&cursor={cursor}")).await.json();
        paged.extend(page["items"].as_array().expect("items").iter().map(short));
        match page["next"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(paged, listed);
    // What is stored has the same ids.
    let stored = place.get(&format!("{EVENTS}?type=io.*&limit=500&order=oldest")).await.json();
    let id = |event: &Value| event["event"]["id"].as_str().expect("an id").to_owned();
    let ids: Vec<String> = page["items"].as_array().expect("items").iter().map(id).collect();
    for event in stored["items"].as_array().expect("items") {
        assert!(ids.contains(&id(event)), "{event}");
    }
    place.stop().await;
}

/// Mutation: write what the owner does not want.
#[tokio::test]
async fn the_owner_may_want_no_lifecycle_events() {
    let config = crate::place::config("spec: {events: {lifecycle: none}}\n");
    let place = Place::with(crate::place::memory(), config).await;
    place.given("set", "  - a: {set: {x: 1}}").await;
    place.run("set", json!({})).await;
    assert!(place.types("").await.is_empty());
    place.stop().await;
    let wrong = isonomy_site::Config::parse(
        "spec: {events: {lifecycle: all}}",
        "site.yaml",
        std::path::Path::new("/"),
    );
    let wrong = wrong.expect_err("no such word").to_string();
    assert!(wrong.contains("`workflows` or `none`"), "{wrong}");
}

/// Mutation: forget what a run that stands still has to hear, keep what nobody has, or count what is
/// kept by another number than the configuration's.
#[tokio::test]
async fn a_site_keeps_so_many_events_and_those_that_somebody_has_to_hear() {
    let hears = "  - hear: {listen: {to: {any: [{with: {type: a.step}}], until: '${ length == 300 }'}}, output: {as: '${ length }'}}";
    for (kind, store, _folder) in stores() {
        let few = "apiVersion: isonomy.dev/v1\nkind: Site\nspec: {retention: {events: 100}, events: {lifecycle: none}}\n";
        let place = Place::with(store, config(few)).await;
        place.given("hears", hears).await;
        let run = place.start("hears", json!({})).await;
        let path = format!("/api/v1/namespaces/default/runs/{run}");
        while place.get(&path).await.json()["state"] != "waiting" {
            tokio::task::yield_now().await;
        }
        assert_eq!(place.post(&format!("{path}/suspend"), &json!({})).await.status, 200);
        let events: Vec<Value> = (0..300).map(|n| event("a.step", &n.to_string())).collect();
        let batch = Value::Array(events).to_string();
        assert_eq!(place.send("POST", EVENTS, &[BATCH], batch.as_bytes()).await.status, 201);
        let kept = async || {
            let compacted = place.post("/api/v1/store/compact", &json!({})).await;
            assert_eq!(compacted.status, 200, "{}", compacted.text());
            place.types("limit=500").await.len()
        };
        assert_eq!(kept().await, 300, "{kind}");
        assert_eq!(place.post(&format!("{path}/resume"), &json!({})).await.status, 200);
        let mut ended = json!({"state": "suspended"});
        while ended["state"] != "completed" {
            assert_ne!(ended["state"], "faulted", "{ended}");
            tokio::task::yield_now().await;
            ended = place.get(&path).await.json();
        }
        assert_eq!(ended["output"], 300, "{ended}");
        assert_eq!(kept().await, 100, "{kind}");
        place.stop().await;
    }
}
