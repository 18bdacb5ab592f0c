//! What is written down of calls, and what people get out of it: tables, corrections, alarms, retention.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::parties::{hub, join, online, serve};
use crate::support::world::{Answer, World};
use crate::support::{Ended, HANG, Home, document};

const PRICE: [&str; 8] =
    ["--price-input", "1", "--price-output", "2", "--currency", "EUR", "--output-tokens", "100"];

/// It says what was used, but not below `/mute`.
fn upstream() -> World {
    World::new(|request| {
        let choices = json!([{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}]);
        let usage = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4}});
        match request.path.as_str() {
            "/v1/chat/completions" => {
                Answer::Json(json!({"choices": choices, "usage": usage}).to_string())
            }
            "/mute/v1/chat/completions" => Answer::Json(json!({"choices": choices}).to_string()),
            _ => Answer::Status(404),
        }
    })
}

fn add(home: &Home, name: &str, url: &str, more: &[&str]) {
    home.run(&[&["models", "add", name, url, "-n", "sales"], more].concat()).ends_with(0);
}

/// Asks a model, until that is written down. Gives the call.
fn ask(home: &Home, name: &str) -> String {
    let said = home.run(&["models", "try", name, "-n", "sales", "-o", "json"]).ends_with(0).json();
    assert!(said["settled"].is_object(), "{said}");
    said["call"].as_str().expect("an id").to_owned()
}

fn explained(home: &Home, call: &str) -> Ended {
    home.run(&["calls", "explain", call, "-n", "sales"])
}

fn total(home: &Home) -> Value {
    home.run(&["usage", "-o", "json"]).ends_with(0).json()["total"].clone()
}

fn rows(table: &str) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    reader.deserialize().collect::<Result<_, _>>().expect("rows")
}

/// In millionths of a EUR.
fn micros(amount: &str) -> u64 {
    let (whole, part) = amount.split_once('.').unwrap_or((amount, ""));
    format!("{whole}{part:0<6}").parse().expect("an amount of whole millionths")
}

/// Mutation: leave a class, the calls at their bounds or those without a price out of the table; or leave a file
/// behind that is not whole.
#[test]
fn costs_are_a_table_for_other_tools() {
    let (home, world) = (Home::new(), upstream());
    home.allow(&world.url);
    let dev = home.dev();
    let (url, mute) = (format!("{}/v1", world.url), format!("{}/mute/v1", world.url));
    add(&home, "chat", &url, &PRICE);
    add(&home, "own", &url, &["--price", "free"]);
    add(&home, "mute", &mute, &PRICE);
    for name in ["chat", "chat", "own", "mute"] {
        ask(&home, name);
    }
    let table = home.run(&["usage", "--format", "focus", "--since", "1d"]).ends_with(0).stdout;
    let all = rows(&table);
    let of = |model: &str, meter: &str| {
        let mut rows =
            all.iter().filter(|row| row["ResourceName"] == model && row["SkuMeter"] == meter);
        let row = rows.next().unwrap_or_else(|| panic!("{model} {meter}: {table}"));
        (row["ConsumedQuantity"].as_str(), row["BilledCost"].as_str())
    };
    assert_eq!(of("chat", "Input Tokens"), ("12", "0.000012"));
    assert_eq!(of("chat", "Input Tokens, Cache Read"), ("8", "0.000008"));
    assert_eq!(of("chat", "Output Tokens"), ("10", "0.00002"));
    assert_eq!(of("own", "Output Tokens"), ("5", "0"));
    let bound = of("mute", "Calls at Their Bound, Usage Unknown").1;
    let sum: u64 = all.iter().map(|row| micros(&row["BilledCost"])).sum();
    let said = total(&home);
    let cost = said["cost"][0].as_str().and_then(|it| it.strip_suffix(" EUR")).expect("a cost");
    assert_eq!((sum, sum - 40), (micros(cost), micros(bound)), "{table}");
    assert!(all.iter().all(|row| row["SubAccountId"] == "sales" && row["Tags"].contains("chat")));

    let to_file = ["usage", "--format", "focus", "--since", "1d", "--out", "costs.csv"];
    let said = home.run(&to_file).ends_with(0);
    assert!(said.stdout.is_empty() && said.stderr.contains("in `costs.csv`"), "{}", said.stderr);
    assert_eq!(fs::read_to_string(home.path("costs.csv")).expect("a file"), table);
    let none = ["usage", "--format", "focus", "--until", "2020-01-01T00:00:00Z"];
    let none = home.run(&none).ends_with(0).stdout;
    assert!(none.starts_with("BilledCost,") && none.lines().count() == 1, "{none}");
    for wrong in [
        &["usage", "--format", "focus", "--by", "model"][..],
        &["usage", "--format", "excel"],
        &["usage", "--out", "costs.csv"],
        &["usage", "--format", "focus", "--out", "no/such/folder/costs.csv"],
    ] {
        home.run(wrong).ends_with(2);
    }
    dev.stop().ends_with(0);
    let _dev = home.dev();
    let again = home.run(&["usage", "--format", "focus", "--since", "1d"]).ends_with(0).stdout;
    assert_eq!(again, table, "after a start");
}

/// Mutation: keep what was charged, let it be said twice, of a call whose cost is known, or that it was dearer; or
/// forget it at a start.
#[test]
fn a_call_at_its_bound_is_settled_by_whoever_knows() {
    let (home, world) = (Home::new(), upstream());
    home.allow(&world.url);
    let dev = home.dev();
    add(&home, "mute", &format!("{}/mute/v1", world.url), &PRICE);
    add(&home, "chat", &format!("{}/v1", world.url), &PRICE);
    home.run(&["budgets", "set", "namespace/sales", "1EUR/month"]).ends_with(0);
    let (lost, known) = (ask(&home, "mute"), ask(&home, "chat"));
    let spent = |home: &Home| {
        let said = home.run(&["budgets", "-o", "json"]).ends_with(0).json();
        said["items"][0]["spent"].as_str().expect("an amount").to_owned()
    };
    let before = spent(&home);
    let settle = |call: &str, more: &[&str]| {
        home.run(
            &[&["calls", "settle", call, "-n", "sales", "--reason", "the bill of May"], more]
                .concat(),
        )
    };
    let refused = settle(&lost, &["--cost", "1EUR"]).ends_with(2).stderr;
    assert!(refused.contains("the most that it may have cost"), "{refused}");
    let refused = settle(&known, &["--free"]).ends_with(2).stderr;
    assert!(refused.contains("is known") && refused.contains("MDL-005"), "{refused}");
    settle(&lost, &["--cost", "many"]).ends_with(2);
    settle(&lost, &["--cost", "0.00001EUR", "--free"]).ends_with(2);
    settle("call_01a1fb7b-d522-7414-8c47-aa7df2bebacf", &["--free"]).ends_with(2);
    assert_eq!(spent(&home), before);

    let said = settle(&lost, &["--cost", "0.00001EUR"]).ends_with(0).stdout;
    assert!(said.contains("it has cost 0.00001 EUR") && said.contains("the bill of May"), "{said}");
    let refused = settle(&lost, &["--free"]).ends_with(2).stderr;
    assert!(refused.contains("has said already"), "{refused}");
    let check = |home: &Home| {
        assert_eq!(spent(home), "0.00003 EUR", "10 and 20 millionths");
        let total = total(home);
        assert_eq!((&total["cost"], &total["atBound"]), (&json!(["0.00003 EUR"]), &Value::Null));
        let said = explained(home, &lost).ends_with(0).stdout;
        assert!(said.contains("it has cost 0.00001 EUR"), "{said}");
        let list = home.run(&["calls", "-n", "sales"]).ends_with(0).stdout;
        let line = list.lines().find(|line| line.contains(&lost)).expect("it is listed");
        assert!(line.contains("0.00001 EUR"), "{line}");
    };
    check(&home);
    // Nothing is left of it but what is written down.
    dev.kill();
    let dev = home.dev();
    check(&home);
    dev.stop().ends_with(0);
    home.is_whole();
    let db = rusqlite::Connection::open(home.path(".isonomy/isonomy.db")).expect("opens");
    let mut changes =
        db.prepare("SELECT actor, CAST(change AS TEXT) FROM changes").expect("a table");
    let changes = changes.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    let changes: Vec<(String, String)> = changes.collect::<Result<_, _>>().expect("rows");
    let said: Vec<_> = changes.iter().filter(|it| it.1.contains("call-settled")).collect();
    assert!(said.len() == 1 && said[0].0 == "tester", "{said:?}");
    assert!(said[0].1.contains("the bill of May") && said[0].1.contains(&lost), "{said:?}");
}

/// Mutation: tell no event, one at another share, or wake nobody who listens.
#[test]
fn a_workflow_listens_to_a_budget_that_is_reached() {
    let (home, world) = (Home::new(), upstream());
    home.allow(&world.url);
    let _dev = home.dev();
    add(&home, "chat", &format!("{}/v1", world.url), &PRICE);
    // Each call costs 2 of 100 of it.
    let set = ["budgets", "set", "namespace/sales", "0.001EUR/total", "--alarm", "5,3"];
    let said = home.run(&set).ends_with(0).stderr;
    assert!(said.contains("events tell when"), "{said}");
    home.run(&["budgets", "set", "namespace/sales", "1EUR/day", "--alarm", "0"]).ends_with(2);
    home.run(&["budgets", "set", "namespace/sales", "1EUR/day", "--alarm", "5,5"]).ends_with(2);
    let tasks = "  - hear:\n      listen:\n        to:\n          one:\n            with:\n              type: dev.isonomy.budget.reached\n              subject: namespace/sales\n";
    home.write(
        "hear.yaml",
        &document("hear", tasks).replace("namespace: default", "namespace: sales"),
    );
    let run = home.run(&["run", "hear.yaml", "--detach"]).ends_with(0).run_id();
    let state =
        || home.run(&["runs", "show", &run, "-n", "sales", "-o", "json"]).ends_with(0).json();
    until(|| state()["state"] == "waiting");
    ask(&home, "chat");
    let events =
        ["events", "list", "-n", "sales", "--type", "dev.isonomy.budget.reached", "-o", "json"];
    assert_eq!(home.run(&events).ends_with(0).json()["items"], json!([]), "2 of 100");
    ask(&home, "chat");
    until(|| state()["state"] == "completed");
    let heard = state()["output"][0].clone();
    assert_eq!(
        (&heard["percent"], &heard["budget"]),
        (&3.into(), &"namespace/sales".into()),
        "{heard}"
    );
    ask(&home, "chat");
    until(|| {
        home.run(&events).ends_with(0).json()["items"].as_array().is_some_and(|it| it.len() == 2)
    });
}

fn until(mut is_it: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_it() {
        assert!(began.elapsed() < HANG, "it never is");
    }
}

/// Mutation: forget the sums with the pages, what a budget has spent, a call that is kept, or nothing at all.
#[test]
fn old_calls_are_forgotten_and_what_they_cost_is_not() {
    let (home, world) = (Home::new(), upstream());
    home.allow(&world.url);
    let config = fs::read_to_string(home.path(".isonomy/site.yaml")).expect("a configuration");
    home.write(".isonomy/site.yaml", &format!("{config}  retention: {{calls: PT1S}}\n"));
    let dev = home.dev();
    add(&home, "chat", &format!("{}/v1", world.url), &PRICE);
    home.run(&["budgets", "set", "namespace/sales", "1EUR/total"]).ends_with(0);
    let first = ask(&home, "chat");
    explained(&home, &first).ends_with(0);
    let mut calls = 1;
    let mut last = first.clone();
    until(|| {
        last = ask(&home, "chat");
        calls += 1;
        home.run(&["store", "compact"]).ends_with(0);
        explained(&home, &first).code != 0
    });
    let said = explained(&home, &first).ends_with(2).stderr;
    assert!(said.contains("is no longer kept") && said.contains("spec.retention.calls"), "{said}");
    let check = |home: &Home| {
        assert_eq!(total(home)["calls"], calls);
        let cost = format!("{}.{:06}", calls * 20 / 1_000_000, calls * 20 % 1_000_000);
        let spent = home.run(&["budgets", "-o", "json"]).ends_with(0).json();
        let spent = spent["items"][0]["spent"].as_str().expect("an amount").to_owned();
        assert_eq!(micros(spent.strip_suffix(" EUR").expect("EUR")), micros(&cost));
    };
    check(&home);
    explained(&home, &last).ends_with(0);
    dev.kill();
    let dev = home.dev();
    check(&home);
    explained(&home, &last).ends_with(0);
    dev.stop().ends_with(0);
    home.is_whole();
}

/// Mutation: count an hour twice that is told twice, forget it when the site or the hub starts again, tell of calls
/// from before the site was the hub's, or show it to whoever may not see the namespace.
#[test]
fn a_hub_knows_what_calls_at_its_sites_have_cost() {
    let (home, world) = (Home::new(), upstream());
    let governing = hub(&home);
    let at = |site: &str, args: &[&str]| {
        let site = home.path(site);
        home.run(&[&["--server", site.to_str().expect("text")], args].concat()).ends_with(0)
    };
    let call = |site: &str| {
        at(site, &["models", "try", "chat", "-n", "sales", "-o", "json"]);
    };
    let sites = ["plant-1", "plant-2"].map(|site| {
        let config =
            format!("spec:\n  egress:\n    - destination: {}\n      allow: true\n", world.url);
        home.write(&format!("{site}/site.yaml"), &config);
        let alone = serve(&home, site);
        let add = ["models", "add", "chat", &format!("{}/v1", world.url), "-n", "sales"];
        at(site, &[&add[..], &PRICE].concat());
        call(site);
        alone.stop().ends_with(0);
        join(&home, site, &[]);
        (site, online(&home, site))
    });
    call("plant-1");
    call("plant-2");
    call("plant-2");
    let data = home.path(".isonomy-hub");
    let known = |by: &str| {
        let usage = ["--server", data.to_str().expect("text"), "usage", "--by", by, "-o", "json"];
        home.run(&usage).ends_with(0).json()
    };
    let by_site = |known: Value| {
        let rows = known["items"].as_array().expect("a list").clone();
        let row =
            |it: &Value| (it["group"]["site"].clone(), it["calls"].clone(), it["cost"].clone());
        rows.iter().map(row).collect::<Vec<_>>()
    };
    let cost = |amount: &str| json!([format!("{amount} EUR")]);
    let wanted = [
        (json!("plant-1"), json!(1), cost("0.00002")),
        (json!("plant-2"), json!(2), cost("0.00004")),
    ];
    until(|| by_site(known("site")) == wanted);
    let by_model = known("site,model,namespace");
    assert_eq!(
        by_model["items"][0]["group"],
        json!({"site": "plant-1", "model": "chat", "namespace": "sales"})
    );
    assert_eq!(
        (&by_model["total"]["calls"], &by_model["total"]["cost"]),
        (&json!(3), &cost("0.00006"))
    );
    let refused = home.run(&["--server", data.to_str().expect("text"), "usage", "--by", "key"]);
    assert!(refused.ends_with(2).stderr.contains("stay at the sites"));

    // A site that is killed and comes again says it no second time; the hub has it after a start.
    let [(_, first), (_, _second)] = sites;
    first.kill();
    let _first = online(&home, "plant-1");
    governing.kill();
    let governing =
        home.run(&["--server", "plant-2", "site", "status", "-o", "json"]).ends_with(0).json();
    let address = governing["hub"]["addresses"][0].as_str().expect("an address").to_owned();
    let again = ["hub", "serve", "--listen", &address, "--port", "0"];
    let _governing = crate::support::Dev::of(home.start(&again));
    assert_eq!(by_site(known("site")), wanted);
    call("plant-1");
    until(|| known("site")["total"]["calls"] == 4);
    let left = at("plant-1", &["site", "left-today", "-o", "json"]).stdout;
    assert!(left.contains("link/usage"), "{left}");
}
