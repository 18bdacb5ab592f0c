//! What a route does beside falling back, from its document to what is said of each call.

use serde_json::{Value, json};

use crate::support::http::{Door, Reply, ask};
use crate::support::world::{Answer, World};
use crate::support::{Dev, Home};

/// A small model that is half sure, a large one, and one that is down.
fn upstream() -> World {
    World::new(|request| {
        let said = |words: &str, logprob: f64| {
            let tokens = json!({"content": [{"token": words, "logprob": logprob}]});
            let message = json!({"role": "assistant", "content": words});
            let choice = json!({"index": 0, "message": message, "logprobs": tokens, "finish_reason": "stop"});
            let usage = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15});
            Answer::Json(
                json!({"object": "chat.completion", "model": "m", "choices": [choice], "usage": usage})
                    .to_string(),
            )
        };
        match request.path.as_str() {
            "/small/v1/chat/completions" => said("perhaps", -0.7),
            "/large/v1/chat/completions" => said("certainly", -0.01),
            "/dead/v1/chat/completions" => Answer::Status(503),
            _ => Answer::Status(404),
        }
    })
}

fn document(kind: &str, name: &str, spec: &Value) -> String {
    let metadata = json!({"namespace": "sales", "name": name});
    json!({"apiVersion": "isonomy.dev/v1", "kind": kind, "metadata": metadata, "spec": spec})
        .to_string()
}

fn chat(dev: &Dev, key: &str, model: &str, words: &str) -> Reply {
    let door = Door { url: dev.url.clone(), key: Some(key.to_owned()) };
    let messages = json!([{"role": "user", "content": words}]);
    let body = json!({"model": model, "temperature": 0, "messages": messages});
    ask(&door, "POST", "/v1/chat/completions", &body).expect("an answer")
}

/// The newest call, in words, once its end is written down.
fn explained(home: &Home, count: usize) -> String {
    let calls = ["calls", "-n", "sales", "-o", "json"];
    let calls = crate::models::until(home, &calls, |it| {
        it["items"].as_array().is_some_and(|items| items.len() == count)
    });
    let call = calls["items"][0]["admitted"]["call"].as_str().expect("an id").to_owned();
    home.run(&["calls", "explain", &call, "-n", "sales"]).ends_with(0).stdout
}

/// Mutation: lose what a route says on its way to the store, or say nothing of what became of a call.
#[test]
fn a_route_escalates_remembers_and_answers_by_itself() {
    let (home, world) = (Home::new(), upstream());
    home.allow(&world.url);
    let dev = home.dev();
    for name in ["small", "large", "dead"] {
        let upstream = json!({"url": format!("{}/{name}/v1", world.url)});
        let spec = json!({"upstream": upstream, "price": "free"});
        home.write(&format!("shop/{name}.yaml"), &document("Model", name, &spec));
    }
    let rules = json!([{"when": {"pattern": "(?i)hours"}, "text": "9 to 5"}]);
    let routes = [
        (
            "best",
            json!({
                "to": [{"model": "small", "accept": {"confidence": 0.8}}, {"model": "large"}],
                "cache": {"ttl": "PT1H"},
            }),
        ),
        ("desk", json!({"to": [{"model": "dead"}, {"answer": {"rules": rules}}]})),
    ];
    for (name, spec) in &routes {
        home.write(&format!("shop/{name}.yaml"), &document("Route", name, spec));
    }
    home.run(&["apply", "-f", "shop", "--yes"]).ends_with(0);
    let again = home.run(&["apply", "-f", "shop"]).ends_with(0).stderr;
    assert!(again.contains("nothing to change"), "{again}");
    let key = ["keys", "create", "bot", "--scope", "model", "-n", "sales"];
    let key = home.run(&key).ends_with(0).stdout.trim().to_owned();

    let reply = chat(&dev, &key, "best", "Hi");
    assert_eq!(reply.body["choices"][0]["message"]["content"], "certainly", "{}", reply.body);
    let said = explained(&home, 1);
    for wanted in [
        "1 small: left, its answer is not good enough, by its route (200 after ",
        "2 large: answered",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert!(!said.contains("degraded"), "{said}");

    assert_eq!(world.requests().len(), 2);
    let same = chat(&dev, &key, "best", "Hi");
    assert_eq!(same.body, reply.body);
    assert!(world.requests().is_empty(), "nobody is asked");
    let said = explained(&home, 2);
    assert!(
        said.contains("from         the answer of call_") && said.contains("answered"),
        "{said}"
    );

    let reply = chat(&dev, &key, "desk", "Your hours?");
    assert_eq!(reply.body["choices"][0]["message"]["content"], "9 to 5", "{}", reply.body);
    let said = explained(&home, 3);
    let wanted = "degraded     no model has answered: a text of the route was given";
    assert!(said.contains(wanted) && said.contains("1 dead: left"), "{said}");
    let none = chat(&dev, &key, "desk", "Hi");
    assert_eq!(none.status, 503, "{}", none.body);
}

/// Mutation: lose the limits on their way to the desk, forget on `apply` what was counted, or show nothing of it.
#[test]
fn a_route_has_limits_for_all_that_call_it() {
    let (home, world) = (Home::new(), upstream());
    home.allow(&world.url);
    let dev = home.dev();
    let upstream = json!({"url": format!("{}/large/v1", world.url)});
    home.write(
        "m.yaml",
        &document("Model", "large", &json!({"upstream": upstream, "price": "free"})),
    );
    home.run(&["apply", "-f", "m.yaml", "--yes"]).ends_with(0);
    let limit = |most: u32| {
        let spec = json!({"to": [{"model": "large"}], "limits": {"requestsPerMinute": most, "concurrency": 4}});
        home.write("r.yaml", &document("Route", "best", &spec));
        home.run(&["apply", "-f", "r.yaml", "--yes"]).ends_with(0);
    };
    let key = |name: &str| {
        let made = ["keys", "create", name, "--scope", "model", "-n", "sales"];
        home.run(&made).ends_with(0).stdout.trim().to_owned()
    };
    let (one, other) = (key("one"), key("other"));
    limit(1);
    assert_eq!(chat(&dev, &one, "best", "Hi").status, 200);
    let refused = chat(&dev, &other, "best", "Hi");
    assert_eq!(
        (refused.status, &refused.body["error"]["code"]),
        (429, &json!("rate_limit_exceeded"))
    );
    limit(2);
    assert_eq!(chat(&dev, &other, "best", "Hi").status, 200);
    assert_eq!(chat(&dev, &one, "best", "Hi").status, 429);
    assert_eq!(world.requests().len(), 2);
    let said = home.run(&["routes", "show", "best", "-n", "sales"]).ends_with(0);
    let said = said.stdout + &said.stderr;
    let wanted = "; 0 of 2 requests left of this minute, 0 of 4 calls under way, 2 had no room since the site began";
    assert!(said.contains(wanted) && said.contains("requestsPerMinute: 2"), "{said}");
}

/// Mutation: find every model there, or none; go on missing one that was added since; miss a version that stands for
/// its name.
#[test]
fn a_route_says_which_of_its_models_are_not_there() {
    let (home, world) = (Home::new(), upstream());
    home.allow(&world.url);
    let _dev = home.dev();
    let add = |name: &str| {
        let url = format!("{}/large/v1", world.url);
        home.run(&["models", "add", name, &url, "-n", "sales", "--price", "free"]).ends_with(0);
    };
    add("large@2");
    let to = json!([{"model": "small", "weight": 3}, {"model": "large"}, {"model": "other"}]);
    home.write("r.yaml", &document("Route", "best", &json!({"to": to})));
    let said = home.run(&["apply", "-f", "r.yaml", "--yes"]).ends_with(0).stderr;
    let wanted = "there are no models `small`, `other` here, and calls go past them; `isonomy models add` adds them";
    assert!(said.contains(&format!("warning: sales/best: {wanted}\n")), "{said}");
    let (list, show) = (["routes", "-n", "sales"], ["routes", "show", "best", "-n", "sales"]);
    let said = home.run(&list).ends_with(0).stdout;
    assert!(said.contains("small (3, not there), large, other (not there) "), "{said}");
    assert!(home.run(&show).ends_with(0).stdout.contains(&format!("# {wanted}\n")));

    add("small");
    let said = home.run(&list).ends_with(0).stdout;
    assert!(said.contains("small (3), large, other (not there) "), "{said}");
    let wanted =
        "# there is no model `other` here, and calls go past it; `isonomy models add` adds it\n";
    assert!(home.run(&show).ends_with(0).stdout.contains(wanted));
    add("other");
    assert!(!home.run(&show).ends_with(0).stdout.contains("there is no model"));
}

/// Mutation: take what is no condition, or name no place of it.
#[test]
fn what_is_wrong_in_a_route_is_said_with_its_place() {
    let home = Home::new();
    for (spec, wanted) in [
        (json!({"to": [{"model": "a", "accept": {"pattern": "("}}]}), "the pattern is none"),
        (json!({"to": [{"answer": {"text": "b"}}, {"model": "a"}]}), "`to[1]` is a model behind"),
        (json!({"to": [{"model": "a"}], "cache": {"ttl": "1h"}}), "`PT1H30M`"),
    ] {
        home.write("route.yaml", &document("Route", "r", &spec));
        let said = home.run(&["validate", "route.yaml"]).ends_with(2).stdout;
        assert!(said.contains(wanted) && said.contains("route.yaml:1:"), "{said}");
    }
}
