//! A budget over two sites, and the hub that leased it set back to a backup from before: real processes, real TLS.

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::http::{Door, ask_with};
use crate::support::parties::{hub, hub_of, join, online, serve};
use crate::support::world::{Answer, World};
use crate::support::{Dev, HANG, Home, micros};

/// Calls that the budget has room for.
const ROOM: u64 = 40;

/// What each may cost, and costs: 100 tokens of output at 10 EUR for a million.
const COST_MICROS: u64 = 1_000;

const PRICE: [&str; 8] =
    ["--price-input", "0", "--price-output", "10", "--currency", "EUR", "--output-tokens", "100"];

fn upstream() -> World {
    World::new(|_| {
        let message = json!({"role": "assistant", "content": "Hello."});
        let usage = json!({"prompt_tokens": 10, "completion_tokens": 100, "total_tokens": 110});
        let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
        Answer::Json(json!({"choices": [choice], "usage": usage}).to_string())
    })
}

/// What the server in this folder says.
fn told(home: &Home, data: &str, args: &[&str]) -> Value {
    home.run(&[args, &["--server", data, "-o", "json"]].concat()).ends_with(0).json()
}

/// It knows a model and may reach it, and has joined.
fn site(home: &Home, name: &str, world: &World) {
    let config = format!("spec:\n  egress:\n    - destination: {}\n      allow: true\n", world.url);
    home.write(&format!("{name}/site.yaml"), &config);
    let alone = serve(home, name);
    let add = ["models", "add", "chat", &format!("{}/v1", world.url), "-n", "sales"];
    home.run(&[&add[..], &PRICE, &["--server", name]].concat()).ends_with(0);
    alone.stop().ends_with(0);
    join(home, name, &[]);
}

/// Its line is up, and it has heard of the budget.
fn governed(home: &Home, name: &str) -> Dev {
    let (at_work, began) = (online(home, name), Instant::now());
    while told(home, name, &["site", "status"])["hub"]["desired"]["edition"].is_null() {
        assert!(began.elapsed() < HANG, "{name} never heard of the budget");
    }
    at_work
}

/// The answer's text where the call was refused.
fn call(door: &Door) -> Result<(), String> {
    let body = json!({"model": "chat", "messages": [{"role": "user", "content": "Hi"}]});
    let namespace = "x-isonomy-namespace: sales\r\n";
    let reply = ask_with(door, namespace, "POST", "/v1/chat/completions", &body);
    let reply = reply.expect("the site is there");
    match reply.status {
        200 => Ok(()),
        402 => Err(reply.body.to_string()),
        status => panic!("{status}: {}", reply.body),
    }
}

/// Calls until the refusal says this.
fn call_until(door: &Door, why: &str) {
    let began = Instant::now();
    while call(door).err().is_none_or(|said| !said.contains(why)) {
        assert!(began.elapsed() < HANG, "never: {why}");
    }
}

/// Mutation: take no word of what a site was granted by the life of the hub that is lost, or lease again before anybody
/// has said that there were no others.
#[test]
fn a_hub_that_was_set_back_leases_nothing_twice() {
    let (home, world) = (Home::new(), upstream());
    let governing = hub(&home);
    for name in ["plant-1", "plant-2"] {
        site(&home, name, &world);
    }
    let cap = format!("0.{:06}EUR/total", ROOM * COST_MICROS);
    let hub_folder = ".isonomy-hub";
    let set = ["budgets", "set", "namespace/sales", &cap, "--sites", "all"];
    home.run(&[&set[..], &["--server", hub_folder]].concat()).ends_with(0);
    home.run(&["hub", "backup", "hub.backup"]).ends_with(0);

    // None of these leases is in the backup.
    let first = governed(&home, "plant-1");
    let spending = first.door();
    let began = Instant::now();
    for _ in 0..ROOM / 4 {
        // Until its first lease has come.
        while let Err(why) = call(&spending) {
            assert!(began.elapsed() < HANG, "{why}");
        }
    }
    let listen = told(&home, "plant-1", &["site", "status"])["hub"]["addresses"][0].clone();
    governing.kill();
    first.kill();
    fs::remove_dir_all(home.path(hub_folder)).expect("the hub's disk is lost");
    home.run(&["hub", "restore", "hub.backup"]).ends_with(0);
    let governing = hub_of(&home, hub_folder, listen.as_str().expect("an address"));

    // Who has come gets nothing while the other may hold whatever there was.
    let second = governed(&home, "plant-2");
    let waits = |at: &Value| at["sites"] == json!(["plant-1"]);
    let began = Instant::now();
    while !waits(&told(&home, hub_folder, &["hub", "recovery"])) {
        assert!(began.elapsed() < HANG, "the second site never came");
    }
    let waiting = second.door();
    call_until(&waiting, "lease_exhausted");
    // It has waited for a lease.
    call(&waiting).expect_err("it holds nothing");

    let first = online(&home, "plant-1");
    let began = Instant::now();
    while told(&home, hub_folder, &["hub", "recovery"])["on"] == json!(true) {
        assert!(began.elapsed() < HANG, "it waits for nobody");
    }
    // Only a person knows that nobody else held anything.
    assert_eq!(told(&home, hub_folder, &["budgets"])["items"][0]["isWaiting"], true);
    call_until(&waiting, "lease_exhausted");
    home.run(&["hub", "recovery", "end", "--yes", "--server", hub_folder]).ends_with(0);
    for door in [&waiting, &first.door(), &waiting] {
        call_until(door, "the hub has no more");
    }
    let answered = world.requests().len() as u64;
    assert!((ROOM / 2..=ROOM).contains(&answered), "{answered}");
    spent_is(&home, hub_folder, answered * COST_MICROS);
    for at_work in [first, second, governing] {
        at_work.stop().ends_with(0);
    }
}

/// At the hub, by the sites' words.
fn spent_is(home: &Home, hub: &str, wanted: u64) {
    let began = Instant::now();
    loop {
        let shown = told(home, hub, &["budgets"]);
        if micros(&shown["items"][0]["spent"]) == wanted {
            return;
        }
        assert!(began.elapsed() < HANG, "{wanted} {shown}");
    }
}
