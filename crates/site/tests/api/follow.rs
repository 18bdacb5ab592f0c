//! Following a run.

use serde_json::{Value, json};

use crate::documents::{EVERYTHING, SLEEP};
use crate::place::{Place, stores};

const RUNS: &str = "/api/v1/namespaces/default/runs";

fn kinds(events: &[(Option<u64>, Value)]) -> Vec<(String, String)> {
    let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    events.iter().map(|(_, event)| (text(event, "activation"), text(event, "kind"))).collect()
}

/// Mutation: begin at the present, leave out the last state, or never end.
#[tokio::test]
async fn following_tells_everything_from_the_beginning_and_ends_with_the_run() {
    for (kind, store, _folder) in stores() {
        let place = Place::with(store, isonomy_site::Config::default()).await;
        place.given("everything", EVERYTHING).await;
        let run = place.start("everything", json!({})).await;
        let live = place.lines(&format!("{RUNS}/{run}/follow"), &[]).await.rest().await;
        let (_, last) = live.last().expect("events");
        assert_eq!(
            (&last["kind"], &last["state"]),
            (&json!("state"), &json!("completed")),
            "{kind}"
        );
        for expected in [
            ("/each", "iteration"),
            ("/guard", "caught"),
            ("/rest", "waiting"),
            ("/say", "scheduled"),
        ] {
            let expected = (expected.0.to_owned(), expected.1.to_owned());
            assert!(kinds(&live).contains(&expected), "{kind}: no {expected:?} in {live:?}");
        }
        let later = place.lines(&format!("{RUNS}/{run}/follow"), &[]).await.rest().await;
        assert_eq!(kinds(&later), kinds(&live), "{kind}: what is told later is what was told then");
        place.stop().await;
    }
}

/// Mutation: repeat what was seen, or skip what was not.
#[tokio::test]
async fn following_goes_on_behind_the_last_id() {
    let place = Place::new().await;
    place.given("everything", EVERYTHING).await;
    let run = place.run("everything", json!({})).await["run"].as_str().expect("an id").to_owned();
    let path = format!("{RUNS}/{run}/follow");
    let all = place.lines(&path, &[]).await.rest().await;
    let ids: Vec<u64> = all.iter().filter_map(|(id, _)| *id).collect();
    assert!(ids.len() > 2 && ids.is_sorted(), "{ids:?}");
    for id in &ids {
        let told = |events: &[(Option<u64>, Value)]| -> Vec<Value> {
            let tasks = events.iter().filter(|(_, event)| event["kind"] != "state");
            tasks.map(|(_, event)| event.clone()).collect()
        };
        let behind: Vec<_> = all
            .iter()
            .filter(|(_, event)| event["sequence"].as_u64() > Some(*id))
            .cloned()
            .collect();
        let by_header =
            place.lines(&path, &[("last-event-id", &id.to_string())]).await.rest().await;
        assert_eq!(told(&by_header), told(&behind), "after {id}");
        let by_query = place.lines(&format!("{path}?after={id}"), &[]).await.rest().await;
        assert_eq!(by_query, by_header, "after {id}");
        assert_eq!(by_header.last().expect("the run's state").1["state"], "completed");
    }
    place.stop().await;
}

/// Mutation: let a follower hold up the end of the site.
#[tokio::test]
async fn a_site_that_stops_lets_its_followers_go() {
    let place = Place::new().await;
    place.given("sleep", SLEEP).await;
    let run = place.start("sleep", json!({})).await;
    let mut lines = place.lines(&format!("{RUNS}/{run}/follow"), &[]).await;
    let first = lines.event().await.expect("the run has begun");
    assert_eq!(first.1["activation"], "/sleep");
    place.stop().await;
    let rest = lines.rest().await;
    assert!(rest.iter().all(|(_, event)| event["state"] == "waiting"), "{rest:?}");
}
