//! Starting, finding, cancelling, retrying.

use base::{RunId, SystemClock, SystemRandom};
use serde_json::{Value, json};

use crate::documents::{CALL, EVERYTHING, GREET, SLEEP};
use crate::place::{Place, config, document, memory, stores};
use crate::server::{Event, Server};

const RUNS: &str = "/api/v1/namespaces/default/runs";

fn new_run() -> String {
    use base::Clock;
    RunId::new(SystemClock.now(), &SystemRandom).to_string()
}

/// Mutation: break any kind of task, or lose the output on its way.
#[tokio::test]
async fn every_kind_of_task_runs_and_is_shown() {
    for (kind, store, _folder) in stores() {
        let place = Place::with(store, isonomy_site::Config::default()).await;
        place.given("everything", EVERYTHING).await;
        let result = place.run("everything", json!({})).await;
        assert_eq!(result["state"], "completed", "{kind}: {result}");
        let output = json!({"said": 409, "sums": [{"left": 6}, {"right": 12}]});
        assert_eq!(result["output"], output, "{kind}");

        let run = result["run"].as_str().expect("an id");
        let detail = place.get(&format!("{RUNS}/{run}")).await.json();
        assert_eq!((&detail["output"], &detail["state"]), (&output, &json!("completed")));
        assert_eq!((&detail["by"]["actor"], detail.get("faulted")), (&json!("ada"), None));
        let tasks = detail["tasks"].as_array().expect("tasks");
        let state = |activation: &str| {
            let task = tasks.iter().find(|task| task["activation"] == activation);
            task.unwrap_or_else(|| panic!("no {activation} in {detail}"))["state"].clone()
        };
        for activation in
            ["/first", "/each[2]/add", "/both/left", "/guard", "/guard.catch/note", "/rest", "/say"]
        {
            assert_eq!(state(activation), "completed", "{activation}");
        }
        assert_eq!(state("/guard/wrong"), "faulted");
        assert!(tasks.iter().all(|task| task["task"] != "never"), "{detail}");
        let say = tasks.iter().find(|task| task["task"] == "say").expect("the call");
        assert_eq!(say["attempts"][0]["certainty"], "definite", "{say}");
        assert_eq!(say["attempts"][0]["what"], "echo:1.0.0@default");
        place.stop().await;
    }
}

/// Mutation: call a task cancelled through which an error has gone, or a task faulted that was ended
/// beside one, or whose own error somebody had caught within it, or leave its end open.
#[tokio::test]
async fn a_task_that_an_error_goes_through_has_faulted() {
    let place = Place::with(memory(), isonomy_site::Config::default()).await;
    let raises = "{ raise: { error: { type: https://a.example/e, status: STATUS } } }";
    let (right, wrong) = (raises.replace("STATUS", "418"), raises.replace("STATUS", "500"));
    let tasks = format!(
        "
  - outer:
      try:
        - inner:
            try: [ {{ exc: {right} }} ]
            catch: {{ errors: {{ with: {{ status: 404 }} }} }}
      catch: {{ as: e }}
  - both:
      try:
        - fork:
            fork:
              branches:
                - caught:
                    do:
                      - within: {{ try: [ {{ own: {right} }} ], catch: {{ as: e }} }}
                      - long: {{ wait: PT1H }}
                - wrong: {{ do: [ {{ pause: {{ wait: PT0.01S }} }}, {{ one: {wrong} }} ] }}
      catch: {{ as: e }}
"
    );
    place.given("through", &tasks).await;
    let result = place.run("through", json!({})).await;
    assert_eq!(result["state"], "completed", "{result}");
    let run = result["run"].as_str().expect("an id");
    let detail = place.get(&format!("{RUNS}/{run}")).await.json();
    for (name, state) in [
        ("outer", "completed"),
        ("inner", "faulted"),
        ("exc", "faulted"),
        ("fork", "faulted"),
        ("wrong", "faulted"),
        ("within", "completed"),
        ("caught", "cancelled"),
        ("long", "cancelled"),
    ] {
        let task = detail["tasks"].as_array().expect("tasks").iter().find(|it| it["task"] == name);
        let task = task.unwrap_or_else(|| panic!("no {name} in {detail}"));
        assert_eq!((name, &task["state"]), (name, &json!(state)), "{detail}");
        assert!(task["endedAt"].is_string(), "{task}");
    }
    // Nobody catches it: what it went through has ended with the run.
    place.given("uncaught", &format!("  - outer: {{ do: [ {{ exc: {right} }} ] }}\n")).await;
    let result = place.run("uncaught", json!({})).await;
    let run = result["run"].as_str().expect("an id");
    let detail = place.get(&format!("{RUNS}/{run}")).await.json();
    let outer = &detail["tasks"][0];
    assert_eq!((&outer["task"], &outer["state"]), (&json!("outer"), &json!("faulted")));
    assert_eq!(outer["endedAt"], detail["endedAt"], "{detail}");
    place.stop().await;
}

/// Mutation: start a second run for the same id, or take another workflow's run for it.
#[tokio::test]
async fn starting_twice_with_one_id_is_one_run() {
    for (kind, store, _folder) in stores() {
        let place = Place::with(store, isonomy_site::Config::default()).await;
        place.given("greet", GREET).await;
        place.given("other", GREET).await;
        let run = new_run();
        let body =
            json!({"workflow": "greet", "run": run, "input": {"name": "ada"}, "reason": "asked"});
        let first = place.post(&format!("{RUNS}?wait=60"), &body).await;
        assert_eq!(
            (first.status, &first.json()["run"]),
            (201, &json!(run)),
            "{kind}: {}",
            first.text()
        );
        let second = place.post(&format!("{RUNS}?wait=60"), &body).await;
        assert_eq!((second.status, second.json()), (200, first.json()), "{kind}");
        let other = json!({"workflow": "other", "run": run, "input": {}});
        assert_eq!(place.post(RUNS, &other).await.problem(), "RUN-002");
        let foreign = document("foreign", "greet", "1.0.0", GREET);
        assert_eq!(place.apply("foreign", "greet", &foreign).await.status, 201);
        let elsewhere = place.post("/api/v1/namespaces/foreign/runs", &body).await;
        assert_eq!(elsewhere.problem(), "RUN-002");

        // The workflow may be gone by the time that somebody asks again.
        place.send("DELETE", "/api/v1/namespaces/default/workflows/greet", &[], b"").await;
        let third = place.post(&format!("{RUNS}?wait=60"), &body).await;
        assert_eq!((third.status, third.json()), (200, first.json()), "{kind}");
        let detail = place.get(&format!("{RUNS}/{run}")).await.json();
        assert_eq!(
            (&detail["by"]["actor"], &detail["by"]["reason"]),
            (&json!("ada"), &json!("asked"))
        );
        place.stop().await;
    }
}

/// Mutation: answer for a run of another namespace in any operation.
#[tokio::test]
async fn two_namespaces_do_not_see_each_other() {
    let place = Place::new().await;
    place.given("greet", GREET).await;
    let run =
        place.run("greet", json!({"name": "ada"})).await["run"].as_str().expect("an id").to_owned();
    let theirs = "/api/v1/namespaces/theirs";
    assert_eq!(place.get(&format!("{theirs}/runs")).await.json()["items"], json!([]));
    assert_eq!(place.get(&format!("{theirs}/workflows")).await.json()["items"], json!([]));
    for path in ["", "/events", "/follow"] {
        let reply = place.get(&format!("{theirs}/runs/{run}{path}")).await;
        assert_eq!(reply.problem(), "RUN-001", "{path}");
    }
    for path in ["/cancel", "/retry"] {
        let reply = place.post(&format!("{theirs}/runs/{run}{path}"), &json!({})).await;
        assert_eq!(reply.problem(), "RUN-001", "{path}");
    }
    assert_eq!(place.get(&format!("{theirs}/workflows/greet")).await.problem(), "WFL-002");
    place.stop().await;
}

/// Mutation: ignore a filter, or skip or repeat a run between pages.
#[tokio::test]
async fn runs_are_listed_newest_first_by_filter_and_page() {
    for (kind, store, _folder) in stores() {
        let place = Place::with(store, isonomy_site::Config::default()).await;
        place.given("greet", GREET).await;
        place
            .given(
                "fail",
                "  - wrong: {raise: {error: {type: https://example.com/x, status: 418}}}",
            )
            .await;
        let mut started = Vec::new();
        for name in ["a", "b", "c"] {
            started.push(place.run("greet", json!({"name": name})).await["run"].clone());
        }
        let failed = place.run("fail", json!({})).await;
        assert_eq!(
            (&failed["state"], &failed["error"]["status"]),
            (&json!("faulted"), &json!(418))
        );
        let ids = |page: &Value| -> Vec<Value> {
            page["items"]
                .as_array()
                .expect("items")
                .iter()
                .map(|item| item["run"].clone())
                .collect()
        };
        started.reverse();
        let completed =
            place.get(&format!("{RUNS}?workflow=greet&state=completed,running")).await.json();
        assert_eq!(ids(&completed), started, "{kind}");
        let faulted = place.get(&format!("{RUNS}?state=faulted&since=PT1H")).await.json();
        assert_eq!(ids(&faulted), [failed["run"].clone()]);
        assert_eq!(
            ids(&place.get(&format!("{RUNS}?since=2999-01-01T00:00:00Z")).await.json()).len(),
            0
        );
        let first = place.get(&format!("{RUNS}?workflow=greet&limit=2")).await.json();
        let next = first["next"].as_str().expect("another page");
        let second =
            place.get(&format!("{RUNS}?workflow=greet&limit=2&cursor={next}")).await.json();
        assert_eq!([ids(&first), ids(&second)].concat(), started);
        assert_eq!(second.get("next"), None);
        place.stop().await;
    }
}

/// Mutation: wait for in-flight work before cancelling, or leave the connection open.
#[tokio::test]
async fn cancel_breaks_off_a_call_in_flight_at_once() {
    let mut server = Server::new().await;
    let place = Place::with(memory(), config(&server.config())).await;
    place.given("call", CALL).await;
    let run = place.start("call", json!({"url": format!("{}/hang", server.url)})).await;
    assert_eq!(server.next().await, Event::Asked("/hang".into()));
    let cancelled = place.post(&format!("{RUNS}/{run}/cancel"), &json!({"reason": "enough"})).await;
    assert_eq!((cancelled.status, &cancelled.json()["state"]), (200, &json!("cancelled")));
    assert_eq!(server.next().await, Event::HungUp);
    let again = place.post(&format!("{RUNS}/{run}/cancel"), &json!({})).await;
    assert_eq!((again.status, again.problem().as_str()), (409, "RUN-003"));
    let detail = place.get(&format!("{RUNS}/{run}")).await.json();
    assert_eq!(detail["tasks"][0]["state"], "cancelled", "{detail}");
    let events = place.get(&format!("{RUNS}/{run}/events?limit=500")).await.json();
    let asked = events["items"]
        .as_array()
        .expect("items")
        .iter()
        .find(|it| it["kind"] == "cancel-requested");
    assert_eq!(asked.expect("a record")["record"]["happened"]["reason"], "enough");
    place.stop().await;
}

/// Mutation: retry what has not faulted, start a new run, or hide the attempts of the faulted task.
#[tokio::test]
async fn a_faulted_run_shows_why_and_goes_on_by_retry() {
    let server = Server::new().await;
    let place = Place::with(memory(), config(&server.config())).await;
    place.given("call", CALL).await;
    let result = place.run("call", json!({"url": format!("{}/flaky", server.url)})).await;
    assert_eq!(
        (&result["state"], &result["error"]["status"]),
        (&json!("faulted"), &json!(503)),
        "{result}"
    );
    let path = format!("{RUNS}/{}", result["run"].as_str().expect("an id"));
    let detail = place.get(&path).await.json();
    let faulted = &detail["faulted"];
    assert_eq!(
        (&faulted["task"], &faulted["location"]),
        (&json!("call"), &json!("/do/0/call")),
        "{detail}"
    );
    assert_eq!(faulted["input"]["url"], format!("{}/flaky", server.url));
    assert_eq!(faulted["attempts"][0]["certainty"], "unknown");
    assert_eq!(faulted["attempts"][0]["error"]["status"], 503);
    assert!(
        faulted["attempts"][0]["rule"].as_str().expect("a rule").contains("egress rule 1"),
        "{faulted}"
    );

    assert_eq!(place.post(&format!("{path}/retry"), &json!({})).await.status, 200);
    // It faults once more, and its third attempt succeeds.
    let second = settled(&place, &path, "faulted").await;
    assert_eq!(second["faulted"]["attempts"].as_array().map(Vec::len), Some(2), "{second}");
    let keys = |detail: &Value| -> Vec<Value> {
        detail["faulted"]["attempts"]
            .as_array()
            .expect("attempts")
            .iter()
            .map(|it| it["idempotencyKey"].clone())
            .collect()
    };
    let asked = keys(&second);
    assert_eq!(asked[0], asked[1], "an unknown result keeps its key");
    assert_eq!(place.post(&format!("{path}/retry"), &json!({})).await.status, 200);
    let third = settled(&place, &path, "completed").await;
    assert_eq!(third["output"], json!({"pong": true}));
    let again = place.post(&format!("{path}/retry"), &json!({})).await;
    assert_eq!((again.status, again.problem().as_str()), (409, "RUN-004"));
    place.stop().await;
}

/// Follows the run to its end and shows it.
async fn settled(place: &Place, path: &str, state: &str) -> Value {
    place.lines(&format!("{path}/follow"), &[]).await.rest().await;
    let detail = place.get(path).await.json();
    assert_eq!(detail["state"], state, "{detail}");
    detail
}

/// Mutation: send what no rule allows, or hide which rule is missing.
#[tokio::test]
async fn what_no_rule_allows_is_an_authorization_error_with_the_line_to_add() {
    let mut server = Server::new().await;
    let place = Place::new().await;
    place.given("call", CALL).await;
    let result = place.run("call", json!({"url": format!("{}/ok?token=s3cret", server.url)})).await;
    assert_eq!(
        (&result["state"], &result["error"]["status"]),
        (&json!("faulted"), &json!(403)),
        "{result}"
    );
    let detail = result["error"]["detail"].as_str().expect("a text");
    assert!(
        detail.contains(&format!("destination: {}", server.url)) && !detail.contains("s3cret"),
        "{detail}"
    );
    assert!(server.events.try_recv().is_err(), "nobody was asked");
    place.stop().await;
}

/// Mutation: read files anywhere, or count rows differently.
#[tokio::test]
async fn a_file_below_a_folder_of_the_configuration_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("in.csv"), "name,age\nada,36\nbob\n").expect("a file");
    let text =
        format!("spec:\n  files:\n    - name: data\n      path: {}\n", folder.path().display());
    let place = Place::with(memory(), config(&text)).await;
    place.given("read", "  - read: {call: 'csv:1.0.0@default', with: {path: '${ .path }'}}").await;
    let read = place.run("read", json!({"path": "data/in.csv"})).await;
    assert_eq!(read["output"]["rows"], json!([{"name": "ada", "age": 36}]), "{read}");
    assert_eq!(read["output"]["bad"].as_array().map(Vec::len), Some(1));
    let outside = place.run("read", json!({"path": "/etc/hostname"})).await;
    assert_eq!(
        (&outside["state"], &outside["error"]["status"]),
        (&json!("faulted"), &json!(403)),
        "{outside}"
    );
    place.stop().await;
}

/// Mutation: show the seed, or lose the order of records.
#[tokio::test]
async fn events_are_the_journal_in_pages_without_the_seed() {
    let place = Place::new().await;
    place.given("everything", EVERYTHING).await;
    let run = place.run("everything", json!({})).await["run"].as_str().expect("an id").to_owned();
    let mut sequences = Vec::new();
    let mut path = format!("{RUNS}/{run}/events?limit=2");
    loop {
        let reply = place.get(&path).await;
        assert!(!reply.text().contains("seed"), "{}", reply.text());
        let page = reply.json();
        let items = page["items"].as_array().expect("items");
        sequences.extend(items.iter().map(|item| item["sequence"].as_u64().expect("a number")));
        match page["next"].as_str() {
            Some(next) => path = format!("{RUNS}/{run}/events?limit=2&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<u64> = (1..=sequences.len() as u64).collect();
    assert!(sequences.len() > 2);
    assert_eq!(sequences, expected);
    place.stop().await;
}

/// Mutation: start from the current revision whatever was asked.
#[tokio::test]
async fn a_run_may_ask_for_an_older_revision() {
    let place = Place::new().await;
    place.given("greet", GREET).await;
    let path = "/api/v1/namespaces/default/workflows/greet";
    let old = place.get(path).await.json()["revision"].clone();
    place.given("greet", &GREET.replace("hello", "goodbye")).await;
    let ask = |revision: Value| json!({"workflow": "greet", "revision": revision, "input": {"name": "ada"}});
    let first = place.post(&format!("{RUNS}?wait=60"), &ask(old)).await.json();
    assert_eq!(first["output"]["greeting"], "hello ada");
    assert_eq!(
        place.run("greet", json!({"name": "ada"})).await["output"]["greeting"],
        "goodbye ada"
    );
    let unknown = ask(json!(format!("b3:{}", "0".repeat(64))));
    assert_eq!(place.post(RUNS, &unknown).await.problem(), "WFL-003");
    place.stop().await;
}

/// Mutation: hold the answer back until the run ends, or longer than was asked.
#[tokio::test]
async fn who_does_not_wait_gets_the_run_as_it_is() {
    let place = Place::new().await;
    place.given("sleep", SLEEP).await;
    let reply = place.post(RUNS, &json!({"workflow": "sleep"})).await;
    assert_eq!((reply.status, reply.json().get("output")), (201, None), "{}", reply.text());
    assert_ne!(reply.json()["state"], "completed");
    let waited = place.post(&format!("{RUNS}?wait=0"), &json!({"workflow": "sleep"})).await;
    assert_eq!(waited.status, 201);
    place.stop().await;
}
