//! Several models at one upstream: what is known of it all of them know, and what is known of a secret those
//! that use it.

use base::Duration;
use http::StatusCode;
use models::{FAULTS_MAX, Model};
use serde_json::{Value, json};

use crate::desk::{Place, answer, model};
use crate::server::{Server, reply};

fn at(server: &Server, called: &str, secret: &str) -> Model {
    let upstream = json!({"url": format!("{}/v1", server.address()), "secret": secret});
    model(called, "", "1", &json!({"upstream": upstream}))
}

fn behind(first: &str) -> Value {
    json!({"to": [{"model": first}, {"model": "local"}]})
}

/// Mutation: keep a breaker for each model, or forget what is known when the shelf is put anew.
#[tokio::test]
async fn an_outage_of_a_minute_costs_an_upstream_one_probe_in_each_cool_down() {
    let broken = Server::start(|_, _| reply("503 Service Unavailable", &[], "")).await;
    let local = Server::start(|_, _| answer(1, 1)).await;
    let models = || {
        vec![
            at(&broken, "small", "key"),
            at(&broken, "large", "key"),
            at(&broken, "theirs", "other"),
            at(&local, "local", "key"),
        ]
    };
    let routes = [("a", behind("small")), ("b", behind("large")), ("c", behind("theirs"))];
    let place = Place::with(Vec::new(), &[], "1EUR/day");
    place.put(models(), &routes);
    let mut probes = Vec::new();
    for second in 0..60 {
        for (route, _) in &routes {
            assert_eq!(place.ask(route, 10, false).await.status, StatusCode::OK, "{second}");
            if broken.seen().len() > FAULTS_MAX as usize + probes.len() {
                probes.push(second);
            }
        }
        assert_eq!(place.ask("local", 10, false).await.status, StatusCode::OK);
        if second == 15 {
            let mut models = models();
            models[0].spec.limits.concurrency = Some(7);
            models.push(at(&broken, "new", "key"));
            place.put(models, &routes);
            assert_eq!(place.ask("new", 10, false).await.status, StatusCode::SERVICE_UNAVAILABLE);
        }
        place.passes(Duration::from_secs(1));
    }
    assert_eq!(probes, [10, 30], "the rest doubles");
    assert_eq!(local.seen().len(), 4 * 60);
}

/// Mutation: let a secret that rests shut the others' way, or each model find out about it by itself.
#[tokio::test]
async fn a_secret_rests_for_all_models_that_use_it_and_for_no_other() {
    let picky = Server::start(|_, number| match number {
        1 => reply("429 Too Many Requests", &[("retry-after", "30")], ""),
        _ => answer(1, 1),
    });
    let picky = picky.await;
    let local = Server::start(|_, _| answer(1, 1)).await;
    let models = vec![
        at(&picky, "small", "key"),
        at(&picky, "large", "key"),
        at(&picky, "theirs", "other"),
        at(&local, "local", "key"),
    ];
    let place = Place::with(Vec::new(), &[], "1EUR/day");
    place.put(models, &[]);
    assert_eq!(place.ask("small", 10, false).await.status, StatusCode::TOO_MANY_REQUESTS);
    let refused = place.ask("large", 10, false).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["retry-after"], "30");
    assert_eq!(picky.seen().len(), 1, "nobody asks with this secret");
    for other in ["theirs", "local"] {
        assert_eq!(place.ask(other, 10, false).await.status, StatusCode::OK, "{other}");
    }
    place.passes(Duration::from_secs(30));
    for again in ["large", "small"] {
        assert_eq!(place.ask(again, 10, false).await.status, StatusCode::OK, "{again}");
    }
}
