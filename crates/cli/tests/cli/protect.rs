//! What a model may not see, from the command that adds it to the bytes that leave.

use serde_json::{Value, json};

use crate::support::http::{Door, Reply, ask};
use crate::support::world::{Answer, World};
use crate::support::{Dev, Home};

const MAIL: &str = "ada.lovelace@example.com";

/// What a model was sent of a line that has an address in it, and what came back; its own words are what it was sent.
fn seen_of(dev: &Dev, key: &str, world: &World, model: &str) -> (Reply, Option<String>) {
    let door = Door { url: dev.url.clone(), key: Some(key.to_owned()) };
    let text = format!("Write to {MAIL}.");
    let body = json!({"model": model, "messages": [{"role": "user", "content": text}]});
    let reply = ask(&door, "POST", "/v1/chat/completions", &body).expect("an answer");
    let mut sent = world.requests();
    assert!(sent.len() <= 1, "one request at most");
    (reply, sent.pop().map(|request| request.body))
}

/// Mutation: lose `--protect` on its way to the desk, take one of its words for another, read a file of rules by half,
/// or add a model whose rules cannot be read.
#[test]
fn a_model_is_added_with_what_it_may_not_see() {
    let world = World::new(|request| {
        let asked: Value = serde_json::from_str(&request.body).expect("JSON");
        let message = json!({"role": "assistant", "content": asked["messages"][0]["content"]});
        let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
        let answer = json!({"object": "chat.completion", "choices": [choice], "usage": {}});
        Answer::Json(answer.to_string())
    });
    let home = Home::new();
    // A route of a name that is no loopback address, so that it counts as elsewhere.
    let config = format!(
        "spec:\n  egress:\n    - {{destination: 'http://api.example:80', to: '{}'}}\n    - {{destination: '{}', allow: true}}\n",
        world.url, world.url
    );
    home.write(".isonomy/site.yaml", &config);
    let dev = home.dev();
    let (here, far) = (format!("{}/v1", world.url), "http://api.example/v1");
    home.write("block.yaml", "classes: {email: block}\n");
    home.write("redact.yaml", "rules: none\nclasses:\n  email: redact\n");
    for (name, url, protect) in [
        ("far", far, None),
        ("far-none", far, Some("none")),
        ("here", &*here, None),
        ("here-standard", &here, Some("standard")),
        ("here-redact", &here, Some("redact.yaml")),
        ("far-block", far, Some("block.yaml")),
    ] {
        let more = protect.map_or(vec![], |it| vec!["--protect", it]);
        let args = ["models", "add", name, url, "-n", "sales", "--price", "free"];
        home.run(&[&args, &more[..]].concat()).ends_with(0);
    }
    let key = home.run(&["keys", "create", "bot", "--scope", "model", "-n", "sales"]).ends_with(0);
    let seen = |model: &str| seen_of(&dev, key.stdout.trim(), &world, model);
    let said = |reply: &Reply| reply.body["choices"][0]["message"]["content"].clone();
    let whole = json!(format!("Write to {MAIL}."));
    for model in ["far-none", "here"] {
        let (reply, sent) = seen(model);
        let sent = sent.expect("it was asked");
        assert!(sent.contains(MAIL) && said(&reply) == whole, "{model}: {sent}");
    }
    for model in ["far", "here-standard"] {
        let (reply, sent) = seen(model);
        let sent = sent.expect("it was asked");
        assert!(!sent.contains("ada.lovelace") && sent.contains("EMAIL-"), "{model}: {sent}");
        assert_eq!(said(&reply), whole, "{model}: it comes back");
    }
    let (reply, sent) = seen("here-redact");
    let sent = sent.expect("it was asked");
    assert!(!sent.contains("ada.lovelace") && !sent.contains("EMAIL-"), "{sent}");
    assert!(!said(&reply).to_string().contains("ada.lovelace"), "{}", reply.body);
    let (reply, sent) = seen("far-block");
    assert_eq!((reply.status, sent), (400, None), "{}", reply.body);
    assert_eq!(reply.body["error"]["code"], "content_blocked");

    home.write("wrong.yaml", "rules: standard\nclass: {email: block}\n");
    home.write("unknown.yaml", "classes: {colour: block}\n");
    for (file, wanted) in [
        ("wrong.yaml", "wrong.yaml:2:1: "),
        ("unknown.yaml", "`protect.classes`: "),
        ("nowhere.yaml", "cannot read `nowhere.yaml`"),
    ] {
        let args = ["models", "add", "bad", far, "-n", "sales", "--protect", file];
        let said = home.run(&args).ends_with(2).stderr;
        assert!(said.contains(wanted), "{said}");
    }
    home.run(&["models", "show", "bad", "-n", "sales"]).ends_with(2);
}
