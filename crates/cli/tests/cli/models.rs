//! Models as a person gives them names, hands out keys for them, and looks at what calls have cost.

use std::fs;
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::http::{Door, Reply, ask};
use crate::support::world::{Answer, Request, World};
use crate::support::{Dev, Ended, HANG, Home, document};

const SECRET: &str = "sk-0f-the-upstream";

/// Ten tokens in and five out: at 1 and 2 EUR for a million, 20 micro-units.
const COST: &str = "0.00002 EUR";

const PRICE: [&str; 8] =
    ["--price-input", "1", "--price-output", "2", "--currency", "EUR", "--output-tokens", "100"];

/// A server that speaks the dialect of OpenAI.
fn upstream() -> World {
    World::new(|request| {
        match request.path.as_str() {
        "/v1/chat/completions" if request.body.contains(r#""stream":true"#) => Answer::Events(
            [
                json!({"choices": [{"index": 0, "delta": {"content": "Hel"}}]}),
                json!({"choices": [{"index": 0, "delta": {"content": "lo."}, "finish_reason": "stop"}]}),
                json!({"choices": [], "usage": usage()}),
            ]
            .iter()
            .map(|piece| format!("data: {piece}\n\n"))
            .chain(["data: [DONE]\n\n".to_owned()])
            .collect(),
        ),
        "/v1/chat/completions" => Answer::Json(
            json!({
                "object": "chat.completion", "model": "gpt", "usage": usage(),
                "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
            })
            .to_string(),
        ),
        "/dead/v1/chat/completions" => Answer::Status(503),
        _ => Answer::Status(404),
    }
    })
}

fn usage() -> Value {
    json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15})
}

/// Adds it below this path of the world, in the namespace `sales`.
fn add(home: &Home, name: &str, url: &str, more: &[&str]) -> Ended {
    let args = [&["models", "add", name, url, "-n", "sales"], more].concat();
    home.run(&args).ends_with(0)
}

fn chat(dev: &Dev, key: &str, model: &str) -> Reply {
    let door = Door { url: dev.url.clone(), key: Some(key.to_owned()) };
    let body = json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]});
    ask(&door, "POST", "/v1/chat/completions", &body).expect("an answer")
}

fn sent(world: &World) -> Request {
    world.request()
}

/// What a command says in JSON, once what calls have left behind is written down.
pub fn until(home: &Home, args: &[&str], is_it: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let said = home.run(args).ends_with(0).json();
        if is_it(&said) {
            return said;
        }
        assert!(began.elapsed() < HANG, "{said}");
    }
}

/// Mutation: send a name with its slash as a path, lose the price, charge another budget, say the key twice, or
/// let a call go that its budget has no room for.
#[test]
fn a_model_is_added_called_with_a_key_paid_and_capped() {
    let (home, world) = (Home::new(), upstream());
    home.allow(&world.url);
    let dev = home.dev();
    home.run_with_stdin(&["secrets", "set", "upstream", "-n", "sales"], SECRET).ends_with(0);
    let url = format!("{}/v1", world.url);
    let more = [&["--model", "gpt", "--secret", "upstream", "-o", "json"][..], &PRICE].concat();
    let added = add(&home, "meta/chat:1", &url, &more).json();
    assert_eq!((&added["state"], &added["name"]), (&"ready".into(), &"meta/chat:1".into()));
    let create = [
        "keys",
        "create",
        "bot",
        "--scope",
        "model",
        "-n",
        "sales",
        "--budget",
        "0.001EUR/day",
        "--models",
        "other,meta/*",
        "--requests-per-minute",
        "100",
    ];
    let made = home.run(&create).ends_with(0);
    let key = made.stdout.trim().to_owned();
    assert!(made.stderr.contains(&format!("OPENAI_BASE_URL={}/v1", dev.url)), "{}", made.stderr);
    assert!(key.starts_with("isonomy-key-") && !made.stderr.contains(&key), "{}", made.stderr);

    let reply = chat(&dev, &key, "meta/chat:1");
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.body["choices"][0]["message"]["content"], "Hello.");
    let sent = sent(&world);
    assert_eq!(sent.authorization, format!("Bearer {SECRET}"));
    assert!(sent.body.contains(r#""model":"gpt""#), "{}", sent.body);

    let by = ["usage", "--by", "namespace,model,key", "--since", "1d", "-o", "json"];
    let usage = until(&home, &by, |it| it["total"]["calls"] == 1);
    let group = json!({"namespace": "sales", "model": "meta/chat:1", "key": "bot"});
    assert_eq!((&usage["items"][0]["group"], &usage["total"]["cost"]), (&group, &json!([COST])));
    let text = home.run(&["usage"]).ends_with(0).stdout;
    assert!(text.lines().last().is_some_and(|line| line.contains(COST)), "{text}");
    home.run(&["usage", "-n", "sales"]).ends_with(2);
    home.run(&["usage", "--by", "colour"]).ends_with(2);

    let calls = ["calls", "-n", "sales", "-o", "json"];
    let calls = until(&home, &calls, |it| it["items"][0]["settled"].is_object());
    let call = calls["items"][0]["admitted"]["call"].as_str().expect("an id");
    let said = home.run(&["calls", "explain", call, "-n", "sales"]).ends_with(0).stdout;
    for wanted in [
        "by the key `bot`, in `sales`",
        "chat of `meta/chat:1`",
        "state        answered",
        &format!("charged      {COST} of key/bot by the day"),
        "10 tokens in, 5 out",
        "1 meta/chat:1: answered, 200",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    home.run(&["calls", "explain", call, "-n", "other"]).ends_with(2);

    home.run(&["budgets", "set", "key/bot", "0.0001EUR/day"]).ends_with(0);
    let refused = chat(&dev, &key, "meta/chat:1");
    assert_eq!(
        (refused.status, refused.body["error"]["code"].as_str()),
        (402, Some("budget_exhausted")),
        "{}",
        refused.body
    );
    let said = refused.body["error"]["message"].as_str().expect("a message");
    assert!(said.contains("the key `bot`"), "{said}");
    assert_eq!(chat(&dev, &key, "mine").status, 404, "a name that the key may not ask for");
    let list = home.run(&["keys"]).ends_with(0).stdout;
    let terms = "sales: other meta/*, at most 0.001EUR/day, 100 requests a minute";
    assert!(list.contains(terms) && !list.contains(&key), "{list}");
    dev.stop().ends_with(0);
    home.is_whole();
}

/// Mutation: ask for another namespace's secret, or for none; say it of one that is there, or go on saying it; say it
/// of `add` alone and not of `apply`.
#[test]
fn a_secret_that_is_not_there_is_missed_when_a_model_names_it() {
    let (home, world) = (Home::new(), upstream());
    home.allow(&world.url);
    let _dev = home.dev();
    let url = format!("{}/v1", world.url);
    home.run_with_stdin(&["secrets", "set", "late", "-n", "other"], SECRET).ends_with(0);
    let wanted = "`sales` has no secret `late`, and calls to the model fail without it; set it with `isonomy secrets set late -n sales`";
    let said = add(&home, "chat", &url, &["--secret", "late", "--model", "gpt"]);
    assert_eq!(said.stdout, "sales/chat ready\n", "it is added all the same");
    assert!(said.stderr.contains(&format!("warning: {wanted}\n")), "{}", said.stderr);
    assert!(!add(&home, "open", &url, &[]).stderr.contains("warning"), "it names none");
    home.write("model.yaml", &model("again", &format!("{url}\n    secret: late")));
    let said = home.run(&["apply", "-f", "model.yaml", "--yes"]).ends_with(0).stderr;
    assert!(said.contains(&format!("warning: sales/again: {wanted}\n")), "{said}");
    let show = ["models", "show", "chat", "-n", "sales"];
    assert!(home.run(&show).ends_with(0).stdout.contains(&format!("# {wanted}\n")));

    home.run_with_stdin(&["secrets", "set", "late", "-n", "sales"], SECRET).ends_with(0);
    assert!(!home.run(&show).ends_with(0).stdout.contains("has no secret"));
    let list = home.run(&["models", "-n", "sales", "-o", "json"]).ends_with(0).stdout;
    assert!(!list.contains("absentSecret"), "{list}");
    let said = add(&home, "chat", &url, &["--secret", "late", "--model", "gpt"]).stderr;
    assert!(!said.contains("warning") && said.contains("models try chat"), "{said}");
}

/// Mutation: give a refusal of a budget another exit code, keep a cap that was taken away, or take one away
/// without being asked to.
#[test]
fn budgets_stand_are_foretold_and_taken_away() {
    let (home, world) = (Home::new(), upstream());
    home.allow(&world.url);
    let _dev = home.dev();
    add(&home, "chat", &format!("{}/v1", world.url), &PRICE);
    home.run(&["budgets", "set", "namespace/sales", "1EUR/day", "--reason", "try"]).ends_with(0);
    let tried = ["models", "try", "chat", "-n", "sales", "-o", "json"];
    let answer = home.run(&tried).ends_with(0).json();
    assert_eq!((&answer["answer"], &answer["model"]), (&"Hello.".into(), &"chat".into()));
    assert_eq!(answer["settled"]["bills"][0]["cost"], COST, "{answer}");
    let budgets = home.run(&["budgets", "-o", "json"]).ends_with(0).json();
    let budget = &budgets["items"][0];
    assert_eq!(
        (&budget["holder"], &budget["budget"], &budget["spent"]),
        (&"namespace/sales".into(), &"1.00 EUR/day".into(), &COST.into())
    );
    let said = home.run(&["budgets", "forecast"]).ends_with(0).stdout;
    assert!(said.contains("namespace/sales") && said.contains("AT THE END"), "{said}");
    home.run(&["budgets", "set", "namespace/sales", "0.0001EUR/day"]).ends_with(0);
    let refused = home.run(&tried).ends_with(4).stderr;
    assert!(refused.contains("the namespace `sales`"), "{refused}");
    assert!(refused.contains("[budget_exhausted]"), "{refused}");
    for wrong in [
        &["budgets", "set", "namespace/sales", "many"][..],
        &["budgets", "set", "sales", "1EUR/day"],
        &["budgets", "remove", "namespace/sales", "day"],
        &["budgets", "remove", "namespace/sales", "fortnight", "-y"],
        &["budgets", "remove", "namespace/sales", "month", "-y"],
    ] {
        home.run(wrong).ends_with(2);
    }
    home.run(&["budgets", "remove", "namespace/sales", "day", "-y"]).ends_with(0);
    home.run(&tried).ends_with(0);
}

/// Mutation: take a budget of any key, or of one that calls no models; want a namespace or a workflow to be there
/// before its budget; change what there is when a budget is refused.
#[test]
fn a_budget_is_for_a_key_that_is_there() {
    let home = Home::new();
    let _dev = home.dev();
    let set = |holder: &str| home.run(&["budgets", "set", holder, "1EUR/day"]);
    let said = set("key/bto").ends_with(2).stderr;
    let wanted = "`holder`: there is no key `bto`; `isonomy keys` lists those that there are, and `isonomy keys create bto --scope model` makes it";
    assert!(said.contains(wanted), "{said}");
    let model = ["keys", "create", "bot", "--scope", "model", "-n", "sales"];
    let watch = ["keys", "create", "eye", "--role", "viewer", "-n", "sales"];
    for made in [model, watch] {
        home.run(&made).ends_with(0);
    }
    let said = set("key/eye").ends_with(2).stderr;
    assert!(said.contains("the key `eye` is not for models"), "{said}");
    for there in ["key/bot", "namespace/later", "workflow/later/flow"] {
        set(there).ends_with(0);
    }
    let budgets = home.run(&["budgets", "-o", "json"]).ends_with(0).json();
    let holders = budgets["items"].as_array().expect("a list").iter().map(|it| &it["holder"]);
    let mut holders: Vec<&str> = holders.filter_map(Value::as_str).collect();
    holders.sort_unstable();
    assert_eq!(holders, ["key/bot", "namespace/later", "workflow/later/flow"]);
}

/// Mutation: leave out a piece of a stream, mix talk into the answer, or end well where there is no such
/// model.
#[test]
fn a_model_is_tried_as_a_stream_and_as_a_whole() {
    let (home, world) = (Home::new(), upstream());
    home.allow(&world.url);
    let _dev = home.dev();
    add(&home, "chat", &format!("{}/v1", world.url), &PRICE);
    let whole = home.run(&["models", "try", "chat", "Hi", "-n", "sales"]).ends_with(0);
    assert_eq!(whole.stdout, "Hello.\n");
    let wanted = format!("chat, answered, 10 tokens in, 5 out, {COST}, ");
    assert!(whole.stderr.starts_with(&wanted), "{}", whole.stderr);
    assert!(whole.stderr.contains("`isonomy -n sales calls explain call_"), "{}", whole.stderr);
    assert!(sent(&world).body.contains(r#""content":"Hi""#));
    let streamed = home.run(&["models", "try", "chat", "--stream", "-n", "sales"]).ends_with(0);
    assert_eq!(streamed.stdout, "Hello.\n");
    assert!(streamed.stderr.starts_with(&wanted), "{}", streamed.stderr);
    home.run(&["models", "try", "chat", "--stream", "-o", "json", "-n", "sales"]).ends_with(2);
    let missing = home.run(&["models", "try", "chat"]).ends_with(2).stderr;
    assert!(missing.contains("[model_not_found]"), "{missing}");
}

/// Mutation: send a file's path as an address, hide what keeps a model from its server, take a price that is
/// nowhere, or remove without being told to.
#[test]
fn a_model_without_a_way_says_what_to_add() {
    let (home, world) = (Home::new(), upstream());
    let _dev = home.dev();
    let url = format!("{}/v1", world.url);
    let denied = add(&home, "chat", &url, &[]);
    assert!(denied.stdout.contains("sales/chat denied"), "{}", denied.stdout);
    let lines = format!("spec:\n  egress:\n    - destination: {}\n      allow: true", world.url);
    assert!(denied.stderr.contains(&lines), "{}", denied.stderr);
    let listed = home.run(&["models", "-n", "sales"]).ends_with(0).stdout;
    assert!(listed.contains("denied") && listed.contains(&url), "{listed}");
    let shown = home.run(&["models", "show", "chat", "-n", "sales"]).ends_with(0).stdout;
    assert!(shown.contains(&format!("#     - destination: {}", world.url)), "{shown}");
    home.write("risk.onnx", "");
    let file = home.run(&["models", "add", "risk", "risk.onnx"]).ends_with(2).stderr;
    assert!(file.contains("this is no ONNX file"), "{file}");
    home.run(&["models", "add", "risk", "ftp://host"]).ends_with(2);
    let unpriced = ["models", "add", "gpt", &url, "--price", "openai/no-such-model"];
    let unpriced = home.run(&unpriced).ends_with(2).stderr;
    assert!(unpriced.contains("there is no `openai/no-such-model`"), "{unpriced}");
    home.run(&["models", "remove", "chat", "-n", "sales"]).ends_with(2);
    home.run(&["models", "remove", "chat", "-n", "sales", "--yes"]).ends_with(0);
    home.run(&["models", "show", "chat", "-n", "sales"]).ends_with(2);
}

const ROUTE: &str = "apiVersion: isonomy.dev/v1\nkind: Route\nmetadata: {namespace: sales, name: best}\nspec:\n  to:\n    - model: far/large\n    - model: near\n";

fn model(name: &str, url: &str) -> String {
    format!(
        "apiVersion: isonomy.dev/v1\nkind: Model\nmetadata: {{namespace: sales, name: {name}}}\nspec:\n  upstream:\n    url: {url}\n  price: free\n"
    )
}

/// Mutation: apply workflows before the plan is whole, send what has not changed, go on with the first model
/// though it has failed, or take a model beside a workflow for another workflow.
#[test]
fn models_and_routes_are_applied_from_documents() {
    let (home, world) = (Home::new(), upstream());
    home.allow(&world.url);
    let _dev = home.dev();
    home.write("shop/flow.yaml", &document("flow", "  - a:\n      set: { x: 1 }\n"));
    home.write("shop/best.yaml", ROUTE);
    home.write("shop/large.yaml", &model("far/large", &format!("{}/dead/v1", world.url)));
    home.write("shop/near.yaml", &model("near", &format!("{}/v1", world.url)));
    let plan = home.run(&["apply", "-f", "shop", "--dry-run", "-o", "json"]).ends_with(0).json();
    let kinds: Vec<_> =
        plan["resources"].as_array().expect("a list").iter().map(|it| &it["kind"]).collect();
    assert_eq!(kinds, ["model", "model", "route"]);
    assert_eq!(plan["items"][0]["workflow"], "flow");
    home.run(&["routes", "show", "best", "-n", "sales"]).ends_with(2);
    let applied = home.run(&["apply", "-f", "shop", "--yes"]).ends_with(0);
    assert!(applied.stdout.contains("route sales/best new"), "{}", applied.stdout);
    assert!(applied.stderr.contains("new     model  sales/far/large"), "{}", applied.stderr);
    let again = home.run(&["apply", "-f", "shop"]).ends_with(0);
    assert!(again.stderr.contains("nothing to change"), "{}", again.stderr);

    let tried =
        home.run(&["models", "try", "best", "-n", "sales", "-o", "json"]).ends_with(0).json();
    assert_eq!((&tried["model"], &tried["degraded"]), (&"near".into(), &true.into()), "{tried}");
    let call = tried["call"].as_str().expect("an id");
    let said = home.run(&["calls", "explain", call, "-n", "sales"]).ends_with(0).stdout;
    for wanted in [
        "planned      far/large, then near",
        "degraded     the answer is not from the model that was to be first",
        "1 far/large: left, it failed, by the status of its answer (503 after ",
        "2 near: answered, 200 after ",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }

    let shown = home.run(&["routes", "show", "best", "-n", "sales"]).ends_with(0).stdout;
    home.write("shop/best.yaml", &shown);
    let same = home.run(&["apply", "-f", "shop/best.yaml"]).ends_with(0);
    assert!(same.stderr.contains("nothing to change"), "{}{shown}", same.stderr);
    home.write("shop/best.yaml", &ROUTE.replace("    - model: far/large\n", ""));
    let changed = home.run(&["apply", "-f", "shop", "--yes"]).ends_with(0).stdout;
    assert!(changed.contains("route sales/best changed"), "{changed}");
    assert!(changed.contains("model sales/near unchanged"), "{changed}");
    home.run(&["routes", "remove", "best", "-n", "sales", "--yes"]).ends_with(0);
    assert_eq!(home.run(&["routes", "-n", "sales", "-o", "json"]).json(), json!({"items": []}));
    home.run(&["run", "shop/flow.yaml", "--with", "shop"]).ends_with(0);
    home.run(&["routes", "show", "best", "-n", "sales"]).ends_with(0);
}

/// Mutation: find one mistake at a time, name no file, take a route for a model's name, or let `validate` pass
/// what `apply` refuses.
#[test]
fn documents_of_models_that_are_wrong_name_their_files() {
    let home = Home::new();
    let wrong = model("chat", "ftp://host/v1");
    home.write("shop/wrong.yaml", &wrong);
    home.write("shop/typo.yaml", &ROUTE.replace("    - model: near", "    - modell: near"));
    let said = home.run(&["validate", "shop"]).ends_with(2).stdout;
    assert!(said.contains("shop/wrong.yaml:5:3") && said.contains("`upstream.url`"), "{said}");
    assert!(said.contains("shop/typo.yaml:7:"), "{said}");
    let _dev = home.dev();
    let said = home.run(&["apply", "-f", "shop", "--yes"]).ends_with(2).stderr;
    assert!(said.contains("--> shop/wrong.yaml:5:3"), "{said}");
    assert!(said.contains("--> shop/typo.yaml:7:") && said.contains("2 mistakes"), "{said}");
    fs::remove_file(home.path("shop/typo.yaml")).expect("removed");
    home.write("shop/wrong.yaml", &model("chat", "http://127.0.0.1:9/v1"));
    home.write("shop/twice.yaml", &model("chat", "http://127.0.0.1:9/v2"));
    let said = home.run(&["apply", "-f", "shop", "--yes"]).ends_with(2).stderr;
    assert!(said.contains("both say what `chat` is"), "{said}");
    home.run(&["validate", "shop"]).ends_with(0);
    home.run(&["apply", "-f", "shop/twice.yaml", "--yes"]).ends_with(0);
    home.write("route.yaml", &ROUTE.replace("name: best", "name: chat"));
    let said = home.run(&["apply", "-f", "route.yaml", "--yes"]).ends_with(2).stderr;
    assert!(said.contains("there is a model `chat` in `sales`"), "{said}");
}

/// Mutation: make a key without a role for the API, or let terms of models go unheard.
#[test]
fn a_key_for_models_has_terms_and_others_have_none() {
    let home = Home::new();
    let _dev = home.dev();
    let create = |more: &[&str]| home.run(&[&["keys", "create", "x"], more].concat());
    let said = create(&[]).ends_with(2).stderr;
    assert!(said.contains("`--role`"), "{said}");
    let said = create(&["--role", "viewer", "--budget", "1EUR/day"]).ends_with(2).stderr;
    assert!(said.contains("`--scope model`"), "{said}");
    create(&["--scope", "model", "--role", "viewer"]).ends_with(2);
    create(&["--scope", "model", "--budget", "many"]).ends_with(2);
    let both = ["--scope", "model", "--scope", "api", "--role", "viewer", "-o", "json"];
    let both = create(&both).ends_with(0).json();
    assert_eq!(both["model"], json!({"namespace": "default"}));
    assert_eq!(both["roles"], json!({"default": "viewer"}));
}

/// Mutation: write a call down after it was sent, bring its reservation back by itself at the start, or leave it held
/// for ever.
#[test]
fn a_site_that_is_killed_in_a_call_books_the_most_that_it_may_have_cost() {
    let (home, world) = (Home::new(), World::new(|_| Answer::Silence));
    home.allow(&world.url);
    let dev = home.dev();
    add(&home, "chat", &format!("{}/v1", world.url), &PRICE);
    home.run(&["budgets", "set", "namespace/sales", "1EUR/day"]).ends_with(0);
    let create = ["keys", "create", "bot", "--scope", "model", "-n", "sales"];
    let key = home.run(&create).ends_with(0).stdout.trim().to_owned();
    let door = Door { url: dev.url.clone(), key: Some(key) };
    let body = json!({"model": "chat", "messages": [{"role": "user", "content": "Hi"}]});
    let asking = thread::spawn(move || ask(&door, "POST", "/v1/chat/completions", &body));
    sent(&world);
    let held = home.run(&["budgets", "-o", "json"]).ends_with(0).json()["items"][0].clone();
    assert_eq!(held["spent"], "0.00 EUR");
    assert_ne!(held["held"], "0.00 EUR", "{held}");
    dev.kill();
    assert!(asking.join().expect("asked").is_err(), "nobody answers any more");
    for _ in 0..2 {
        let dev = home.dev();
        let after = home.run(&["budgets", "-o", "json"]).ends_with(0).json()["items"][0].clone();
        assert_eq!((&after["spent"], &after["held"]), (&held["held"], &"0.00 EUR".into()));
        let calls = home.run(&["calls", "-n", "sales", "-o", "json"]).ends_with(0).json();
        assert_eq!(calls["items"].as_array().map(Vec::len), Some(1), "{calls}");
        assert_eq!(calls["items"][0]["settled"]["end"], "unknown");
        dev.kill();
    }
    home.is_whole();
}

/// The most that one call of a workflow here may cost fits into it, and twice that does not.
const ROOM: &str = "0.0007EUR/day";

/// Asks twice, one after the other.
const ASKING: &str = "document: {dsl: '1.0.3', namespace: sales, name: asking, version: 1.0.0}
do:
  - first: {call: 'infer:1.0.0@default', with: {model: chat, messages: [{role: user, content: one}], maxTokens: 50}}
  - second: {call: 'infer:1.0.0@default', with: {model: chat, messages: [{role: user, content: two}], maxTokens: 50}}
";

/// Mutation: ask a model by another way than everybody, or show nothing of it in the run.
#[test]
fn a_workflow_asks_a_model_and_shows_what_it_cost() {
    let (home, world) = (Home::new(), upstream());
    home.allow(&world.url);
    let _dev = home.dev();
    add(&home, "chat", &format!("{}/v1", world.url), &PRICE);
    home.write("asking.yaml", ASKING);
    home.run(&["apply", "-f", "asking.yaml", "--yes"]).ends_with(0);
    let run = home.run(&["run", "asking", "-n", "sales", "-o", "json"]).ends_with(0);
    let (output, id) = (run.json(), run.run_id());
    assert_eq!((&output["text"], &output["model"]), (&"Hello.".into(), &"chat".into()), "{output}");
    assert_eq!(output["usage"], json!({"inputTokens": 10, "outputTokens": 5}));
    assert_eq!(output["cost"], json!({"amount": "0.00002", "currency": "EUR", "atBound": false}));
    let call = output["call"].as_str().expect("an id");
    let said = home.run(&["calls", "explain", call, "-n", "sales"]).ends_with(0).stdout;
    assert!(said.contains(&format!("by {id} of `sales/asking`")), "{said}");
    let shown = home.run(&["runs", "show", &id, "-n", "sales", "-o", "json"]).ends_with(0).stdout;
    assert!(shown.contains(&format!("models: {call}")), "{shown}");
    let by = ["usage", "--by", "workflow", "-o", "json"];
    let usage = until(&home, &by, |it| it["total"]["calls"] == 2);
    assert_eq!(usage["items"][0]["group"], json!({"workflow": "asking"}));

    home.write(
        "asking.yaml",
        &ASKING
            .replace("version: 1.0.0}", "version: 1.0.1, metadata: {models: {budget: 0.0004EUR}}}"),
    );
    home.run(&["apply", "-f", "asking.yaml", "--yes"]).ends_with(0);
    let refused = home.run(&["run", "asking", "-n", "sales"]).ends_with(1).stderr;
    assert!(refused.contains("the budget of the run `run_"), "{refused}");
    home.write("wrong.yaml", &ASKING.replace("maxTokens: 50", "maxToken: '${ .n }'"));
    let said = home.run(&["validate", "wrong.yaml"]).ends_with(2).stdout;
    assert!(said.contains("[WF-032]: the function has no argument `maxToken`"), "{said}");
    assert!(said.contains("did you mean `maxTokens`?"), "{said}");
}

/// A site is killed while the second question of a run is at its model, which then answers. How the run ends, what
/// was spent, and how the calls have ended, oldest first.
fn killed_in_a_call(idempotent: bool) -> (i32, Value, Vec<Value>, World) {
    let home = Home::new();
    let world = World::remembering(|request, effects| {
        let times = effects.iter().find(|it| it.key == request.key).map_or(0, |it| it.requests);
        match request.body.contains("two") && times == 1 {
            true => Answer::Silence,
            false => Answer::Json(json!({
                "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}}], "usage": usage(),
            }).to_string()),
        }
    });
    home.allow(&world.url);
    let dev = home.dev();
    let own = "price:\n    own:\n      currency: EUR\n      rates: {input: '1', output: '2'}";
    let model = model("chat", &format!("{}/v1\n    idempotent: {idempotent}", world.url));
    home.write("model.yaml", &model.replace("price: free", own));
    home.write("asking.yaml", ASKING);
    home.run(&["apply", "-f", "model.yaml", "-f", "asking.yaml", "--yes"]).ends_with(0);
    home.run(&["budgets", "set", "namespace/sales", ROOM]).ends_with(0);
    let run = home.run(&["run", "asking", "-n", "sales", "--detach"]).ends_with(0).run_id();
    sent(&world);
    sent(&world);
    dev.kill();
    let dev = home.dev();
    let ended = home.run(&["runs", "follow", &run, "-n", "sales"]);
    let calls = ["calls", "-n", "sales", "-o", "json"];
    let wanted = if idempotent { 3 } else { 2 };
    let calls = until(&home, &calls, |it| {
        let items = it["items"].as_array().expect("a list");
        items.len() == wanted && items.iter().all(|it| it["settled"].is_object())
    });
    let mut calls = calls["items"].as_array().expect("a list").clone();
    calls.sort_by_key(|it| it["admitted"]["call"].to_string());
    let budget = home.run(&["budgets", "-o", "json"]).ends_with(0).json()["items"][0].clone();
    dev.kill();
    home.is_whole();
    (ended.code, budget, calls, world)
}

/// Mutation: ask again what was answered, ask under another key, hold a second reservation beside that of the call
/// which was killed, or leave it held.
#[test]
fn a_run_that_is_killed_in_a_call_takes_it_up_where_it_is_billed_once() {
    let (code, budget, calls, world) = killed_in_a_call(true);
    assert_eq!(code, 0);
    let requests: Vec<u32> = world.effects().iter().map(|effect| effect.requests).collect();
    assert_eq!(requests, [1, 2], "what was answered is not asked again, and the rest by its name");
    assert_eq!((&budget["spent"], &budget["held"]), (&"0.00004 EUR".into(), &"0.00 EUR".into()));
    let ends: Vec<&Value> = calls.iter().map(|call| &call["settled"]["end"]).collect();
    assert_eq!(ends, ["answered", "unknown", "answered"]);
    assert_eq!(calls[1]["settled"]["repeatedBy"], calls[2]["admitted"]["call"]);
    assert_eq!(calls[1]["settled"]["charged"], Value::Null);
}

/// Mutation: give back what a call held that its provider may bill, since its run asks again.
#[test]
fn a_run_that_is_killed_in_a_call_pays_for_both_where_both_may_be_billed() {
    let (code, budget, calls, world) = killed_in_a_call(false);
    assert_eq!(code, 1, "there is no room for a second one beside the first");
    assert_eq!(world.effects().len(), 2);
    let ends: Vec<&Value> = calls.iter().map(|call| &call["settled"]["end"]).collect();
    assert_eq!(ends, ["answered", "unknown"]);
    let (charged, spent) = (&calls[1]["settled"]["charged"][0]["amount"], &budget["spent"]);
    assert!(charged.is_string() && spent != "0.00004 EUR", "{charged} {spent}");
    assert_eq!(budget["held"], "0.00 EUR");
}
