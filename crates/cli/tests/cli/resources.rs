//! What a document refers to, where the other side wants to know who asks: at a site, in a local run,
//! and what a person reads when it does not work.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::secrets::holding;
use crate::support::Home;
use crate::support::world::{Answer, Request, World};

const TOKEN: &str = "t0ken-of-the-shop";
const PASSWORD: &str = "p4ss-of-the-shop";
const ISSUED: &str = "t0ken-that-was-issued";

/// `ada.lovelace:p4ss-of-the-shop`.
const BASIC: &str = "Basic YWRhLmxvdmVsYWNlOnA0c3Mtb2YtdGhlLXNob3A=";

const FLOW: &str = "
document: { dsl: '1.0.3', namespace: default, name: flow, version: '1.0.0' }
use:
  secrets: [login, token, client]
  authentications:
    shop: { bearer: { token: '${ $secrets.token }' } }
  catalogs:
    ours: { endpoint: { uri: WORLD/ours, authentication: { oauth2: { use: client } } } }
input:
  schema:
    resource: { endpoint: { uri: WORLD/order.json, authentication: { basic: { use: login } } } }
do:
  - ask:
      call: openapi
      with:
        document: { endpoint: { uri: WORLD/openapi.json, authentication: { use: shop } } }
        operationId: getStock
        parameters: { item: '${ .item }' }
  - double: { call: 'double:1.0.0@ours', with: { n: '${ .left }' } }
  - print:
      if: .n == 0
      run:
        script:
          language: python
          source:
            endpoint:
              uri: WORLD/print.py
              authentication: { digest: { username: ada, password: '${ $secrets.login | fromjson | .password }' } }
";

const OPENAPI: &str = r#"{
  "openapi": "3.0.3", "info": {"title": "shop", "version": "1"}, "servers": [{"url": "https://shop.example"}],
  "paths": {"/stock/{item}": {"get": {"operationId": "getStock", "parameters":
    [{"name": "item", "in": "path", "required": true, "schema": {"type": "string"}}],
    "responses": {"200": {"description": "what is left"}}}}}
}"#;

fn answer(request: &Request) -> Answer {
    let json = |text: &str| Answer::Json(text.to_owned());
    match (&*request.path, &*request.authorization) {
        ("/order.json", BASIC) => {
            json(r#"{"type": "object", "required": ["item"], "title": "by ada.lovelace"}"#)
        }
        ("/openapi.json", said) if said == format!("Bearer {TOKEN}") => json(OPENAPI),
        ("/print.py", "") => Answer::Ask(r#"Digest realm="shop", nonce="n0nce", qop="auth""#),
        ("/print.py", said) if said.starts_with("Digest username=\"ada\"") => json("print(1)"),
        ("/ours/functions/double/1.0.0/function.yaml", said)
            if said == format!("Bearer {ISSUED}") =>
        {
            json(r#"{"set": {"n": "${ .n * 2 }"}}"#)
        }
        ("/realm/oauth2/token", _) => {
            Answer::Json(format!(r#"{{"access_token": "{ISSUED}", "expires_in": 300}}"#))
        }
        ("/echo.json", said) => Answer::Json(format!(r#"{{"title": "{said}"}}"#)),
        ("/password.json", BASIC) => Answer::Json(format!(r#"{{"title": "{PASSWORD}"}}"#)),
        ("/stock/lamp", "") => json(r#"{"left": 4}"#),
        _ => Answer::Status(401),
    }
}

/// The site's owner allows the world, and has three secrets that commands give.
fn prepare(home: &Home, world: &World) {
    let url = &world.url;
    home.write("vault/token", TOKEN);
    home.write(
        "vault/login",
        &format!(r#"{{"username": "ada.lovelace", "password": "{PASSWORD}"}}"#),
    );
    home.write("vault/client", &format!(r#"{{"authority": "{url}/realm", "grant": "client_credentials", "client": {{"id": "me", "secret": "{PASSWORD}"}}}}"#));
    let command = |name: &str| {
        let file = home.path("vault").join(name);
        format!("    - {{name: {name}, argv: [cat, '{}']}}\n", file.display())
    };
    home.write(
        ".isonomy/site.yaml",
        &format!(
            "spec:\n  egress:\n    - {{destination: '{url}', allow: true}}\n    - {{destination: 'https://shop.example', to: '{url}'}}\n  secrets:\n    commands:\n{}{}{}",
            command("token"),
            command("login"),
            command("client")
        ),
    );
}

fn flow(world: &World) -> String {
    FLOW.replace("WORLD", &world.url)
}

/// Mutation: fetch without who asks, take one address's authentication for another's, keep what was
/// said, or fetch again in a run.
#[test]
fn what_a_document_refers_to_is_fetched_by_whom_it_says() {
    let is_open = Arc::new(AtomicBool::new(true));
    let open = Arc::clone(&is_open);
    let world = World::new(move |request| {
        let is_call = request.path.starts_with("/stock/");
        if is_call || open.load(Ordering::Acquire) { answer(request) } else { Answer::Status(401) }
    });
    let home = Home::new();
    prepare(&home, &world);
    home.write("flow.yaml", &flow(&world));
    let dev = home.dev_with(&["--log", "trace"], &[]);
    let mut said =
        vec![home.run(&["apply", "-f", "flow.yaml", "--yes", "-o", "json"]).ends_with(0)];
    is_open.store(false, Ordering::Release);
    said.push(home.run(&["workflows", "show", "flow", "-o", "json"]).ends_with(0));
    said.push(home.run(&["run", "flow", "-i", "item=lamp"]).ends_with(0));
    said.push(dev.stop());
    let texts: String = said.iter().map(|it| format!("{}\n{}\n", it.stdout, it.stderr)).collect();
    let secrets = [TOKEN, PASSWORD, ISSUED, &BASIC[6..]];
    for secret in secrets {
        assert!(!texts.contains(secret), "{secret} in what was said");
    }
    assert_eq!(holding(&home.path(".isonomy"), &secrets), Vec::<PathBuf>::new());
    assert!(texts.contains("\"n\": 8"), "{texts}");
}

/// Mutation: resolve without the secrets of a local site, or fetch in `validate`.
#[test]
fn a_local_run_says_who_asks_and_validate_asks_nobody() {
    let world = World::new(answer);
    let home = Home::new();
    prepare(&home, &world);
    home.write("flow.yaml", &flow(&world));
    home.run(&["validate", "flow.yaml"]).ends_with(0);
    assert!(world.effects().is_empty());
    let config = ["--local", "--config", ".isonomy/site.yaml"];
    let run = home.run(&[&["run", "flow.yaml", "-i", "item=lamp"], &config[..]].concat());
    assert_eq!(run.ends_with(0).json(), serde_json::json!({"n": 8}));
}

/// Mutation: leave the name of the authentication out, show what it holds, say it at another line,
/// or write down an answer that repeats it.
#[test]
fn what_cannot_be_had_is_told_where_it_is_referred_to() {
    let world = World::new(answer);
    let home = Home::new();
    prepare(&home, &world);
    let dev = home.dev();
    let check = |flow: &str, at: &str, said: &str| {
        home.write("flow.yaml", flow);
        let refused = home.run(&["apply", "-f", "flow.yaml", "--yes"]).ends_with(2);
        assert!(refused.stderr.contains(said), "{said}\n{}", refused.stderr);
        let line = flow.lines().position(|line| line.contains(at)).expect(at) + 1;
        let place = format!("--> flow.yaml:{line}:");
        assert!(refused.stderr.contains(&place), "{place}\n{}", refused.stderr);
        for secret in [TOKEN, PASSWORD, ISSUED, &BASIC[6..]] {
            assert!(!refused.stderr.contains(secret), "{}", refused.stderr);
        }
    };
    let flow = flow(&world);
    check(
        &flow.replace("$secrets.token", "$secrets.login"),
        "/openapi.json",
        "the server answered 401 Unauthorized to the authentication `shop`",
    );
    check(
        &flow.replace("{ basic: { use: login } }", "{ basic: { username: a, password: b } }"),
        "/order.json",
        "the server answered 401 Unauthorized to the authentication `basic`",
    );
    check(
        &flow.replace("token, client]", "none, client]").replace("$secrets.token", "$secrets.none"),
        "/openapi.json",
        "the authentication `shop`: namespace `default` has no secret `none`; set it with `isonomy secrets set none -n default`",
    );
    check(
        &flow.replace("| .password", "| .pasword"),
        "/print.py",
        "cannot be had: the authentication `digest`: `password` is missing",
    );
    check(
        &flow.replace(
            "order.json, authentication: { basic: { use: login } }",
            "echo.json, authentication: { use: shop }",
        ),
        "/echo.json",
        "it repeats what is secret in the authentication `shop`, which must not be written down",
    );
    check(
        &flow.replace("order.json", "password.json"),
        "/password.json",
        "it repeats what is secret in the authentication `basic`",
    );
    let client = std::fs::read_to_string(home.path("vault/client")).expect("a secret");
    home.write("vault/client", &client.replace("/realm", "/none"));
    check(&flow, "double:1.0.0@ours", "the authentication `oauth2`: ");
    dev.stop();
}
