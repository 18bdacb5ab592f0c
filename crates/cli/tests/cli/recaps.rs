//! Budgets that are changed while calls are under way, keys that go with theirs, and what an upstream says that
//! nobody has planned with.

use std::fs;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use crate::models::until;
use crate::support::http::{Door, Reply, ask};
use crate::support::world::{Answer, World};
use crate::support::{Dev, HANG, Home, micros};

/// 100 tokens of output at 1000 EUR for a million: each call may cost 0.10 EUR, and does.
const PRICE: [&str; 8] =
    ["--price-input", "0", "--price-output", "1000", "--currency", "EUR", "--output-tokens", "100"];

/// The upstream, and when its slow answers come.
struct Slow {
    world: World,
    asked: Receiver<()>,
    go: Sender<()>,
}

fn upstream() -> Slow {
    let ((ask, asked), (go, gone)) = (channel(), channel());
    let gone = Mutex::new(gone);
    let world = World::new(move |request| {
        let usage = match request.path.as_str() {
            "/slow/v1/chat/completions" => {
                // Whoever looks may have gone, with the test.
                let _ = ask.send(());
                let _ = gone.lock().expect("no thread panicked").recv_timeout(HANG);
                json!({"prompt_tokens": 10, "completion_tokens": 100})
            }
            "/v1/chat/completions" => json!({"prompt_tokens": 10, "completion_tokens": 100}),
            "/cut/v1/chat/completions" => return Answer::Json("{".to_owned()),
            "/nonsense/v1/chat/completions" => {
                json!({"prompt_tokens": 999_999_999, "completion_tokens": 5})
            }
            _ => return Answer::Status(404),
        };
        let message = json!({"role": "assistant", "content": "Hello."});
        let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
        Answer::Json(json!({"choices": [choice], "usage": usage}).to_string())
    });
    Slow { world, asked, go }
}

/// A site with rates between EUR and USD, and the models `chat` and `slow`.
fn site(home: &Home, world: &World) -> Dev {
    home.allow(&world.url);
    let config = home.path(".isonomy/site.yaml");
    let spec = fs::read_to_string(&config).expect("it is there");
    let rates = "  models:\n    rates: [2 EUR = 3 USD, 3 USD = 2 EUR]\n";
    home.write(".isonomy/site.yaml", &format!("{spec}{rates}"));
    let dev = home.dev();
    for (name, path) in [("chat", ""), ("slow", "/slow")] {
        let url = format!("{}{path}/v1", world.url);
        add(home, name, &url, &PRICE);
    }
    dev
}

fn add(home: &Home, name: &str, url: &str, more: &[&str]) {
    home.run(&[&["models", "add", name, url, "-n", "sales"], more].concat()).ends_with(0);
}

fn key(home: &Home, more: &[&str]) -> String {
    let create = ["keys", "create", "bot", "--scope", "model", "-n", "sales"];
    home.run(&[&create, more].concat()).ends_with(0).stdout.trim().to_owned()
}

fn chat(dev: &Dev, key: &str, model: &str) -> Reply {
    let door = Door { url: dev.url.clone(), key: Some(key.to_owned()) };
    let body = json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]});
    ask(&door, "POST", "/v1/chat/completions", &body).expect("an answer")
}

/// A call that is under way when this returns.
fn begun(slow: &Slow, dev: &Dev, key: &str) -> JoinHandle<Option<u16>> {
    let door = Door { url: dev.url.clone(), key: Some(key.to_owned()) };
    let asking = thread::spawn(move || {
        let body = json!({"model": "slow", "messages": [{"role": "user", "content": "Hi"}]});
        Some(ask(&door, "POST", "/v1/chat/completions", &body).ok()?.status)
    });
    slow.asked.recv_timeout(HANG).expect("it is sent");
    asking
}

/// `HOLDER BUDGET: SPENT spent, HELD held`, of each.
fn standings(said: &Value) -> String {
    let line = |it: &Value| {
        let text = |name: &str| it[name].as_str().expect("a text").to_owned();
        let (holder, budget) = (text("holder"), text("budget"));
        format!("{holder} {budget}: {} spent, {} held", text("spent"), text("held"))
    };
    said["items"].as_array().expect("a list").iter().map(line).collect::<Vec<_>>().join("; ")
}

#[track_caller]
fn stands(home: &Home, wanted: &str) {
    let budgets = ["budgets", "-o", "json"];
    let said = standings(&home.run(&budgets).ends_with(0).json());
    assert_eq!(said, wanted);
}

/// Mutation: charge what a start has settled as silently as what was charged before it, or look at shares only when
/// something is charged.
#[test]
fn shares_that_a_start_or_a_lower_cap_reaches_are_told() {
    let (home, slow) = (Home::new(), upstream());
    let dev = site(&home, &slow.world);
    let bot = key(&home, &[]);
    let set = |budget: &str, alarms: &str| {
        home.run(&["budgets", "set", "namespace/sales", budget, "--alarm", alarms]).ends_with(0);
    };
    set("0.25EUR/total", "30,70");
    let calls = [(); 2].map(|()| begun(&slow, &dev, &bot));
    dev.kill();
    calls.into_iter().for_each(|call| assert_eq!(call.join().expect("no panic"), None));
    let dev = home.dev();
    stands(&home, "namespace/sales 0.25 EUR/total: 0.20 EUR spent, 0.00 EUR held");
    let events =
        ["events", "list", "-n", "sales", "--type", "dev.isonomy.budget.reached", "-o", "json"];
    let is_told = |said: &Value, wanted: &[u8]| {
        let percents = said["items"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|it| &it["event"]["data"]["percent"]);
        percents.eq(wanted.iter().map(|it| json!(it)).collect::<Vec<_>>().iter())
    };
    until(&home, &events, |said| is_told(said, &[70, 30]));
    set("0.2EUR/total", "100");
    until(&home, &events, |said| is_told(said, &[100, 70, 30]));
    dev.stop().ends_with(0);
    // What was told is not told again.
    let _dev = home.dev();
    set("0.2EUR/total", "100");
    assert!(is_told(&home.run(&events).ends_with(0).json(), &[100, 70, 30]));
}

/// Mutation: take the ends that a start finds in the tail for told.
#[test]
fn a_share_that_the_last_answer_of_a_life_reached_is_told_by_the_next_one() {
    let (home, slow) = (Home::new(), upstream());
    let mut dev = site(&home, &slow.world);
    for turn in 1..=4 {
        let name = format!("bot{turn}");
        let create = ["keys", "create", &name, "--scope", "model", "-n", "sales"];
        let budget = ["--budget", "0.11EUR/total"];
        let bot = home.run(&[&create[..], &budget].concat()).ends_with(0).stdout;
        assert_eq!(chat(&dev, bot.trim(), "chat").status, 200);
        dev.kill();
        dev = home.dev();
        let events = ["events", "list", "-n", "sales", "-o", "json"];
        let is_told =
            |said: &Value| said.to_string().contains(&format!("key/{name}:0.11 EUR/total"));
        until(&home, &events, is_told);
    }
    drop(dev);
}

/// Mutation: leave the bound of a call as it was when another leg may have to be paid, or write it down anew only
/// where a budget holds it.
#[test]
fn killed_in_the_second_leg_a_call_is_booked_at_the_bound_of_both() {
    for budget in [true, false] {
        let (home, slow) = (Home::new(), upstream());
        let dev = site(&home, &slow.world);
        add(&home, "lost", &format!("{}/cut/v1", slow.world.url), &PRICE);
        home.write(
            "slow.yaml",
            "apiVersion: isonomy.dev/v1\nkind: Route\nmetadata: {namespace: sales, name: both}\nspec: {to: [{model: lost}, {model: slow}]}\n",
        );
        home.run(&["apply", "-f", "slow.yaml", "--yes"]).ends_with(0);
        let budget = if budget { &["--budget", "9EUR/total"][..] } else { &[] };
        let bot = key(&home, budget);
        let door = Door { url: dev.url.clone(), key: Some(bot) };
        let asking = thread::spawn(move || {
            let body = json!({"model": "both", "messages": [{"role": "user", "content": "Hi"}]});
            ask(&door, "POST", "/v1/chat/completions", &body).is_err()
        });
        slow.asked.recv_timeout(HANG).expect("it is sent");
        dev.kill();
        assert!(asking.join().expect("no panic"));
        let _dev = home.dev();
        let calls = home.run(&["calls", "-n", "sales", "-o", "json"]).ends_with(0).json();
        let settled = &calls["items"][0]["settled"];
        assert_eq!(settled["bills"][0]["cost"], "0.2 EUR", "{calls}");
        if !budget.is_empty() {
            assert_eq!(settled["charged"][0]["amount"], "0.2 EUR", "{calls}");
        }
        // What both have billed in truth can be said.
        let call = calls["items"][0]["admitted"]["call"].as_str().expect("an id");
        let settle =
            ["calls", "settle", call, "-n", "sales", "--cost", "0.15EUR", "--reason", "bill"];
        home.run(&settle).ends_with(0);
    }
}

/// Mutation: in `Keys::without_budget`, leave the key as it was made.
#[test]
fn a_budget_that_came_with_a_key_does_not_come_back() {
    let (home, slow) = (Home::new(), upstream());
    let dev = site(&home, &slow.world);
    let bot = key(&home, &["--budget", "0.1EUR/day", "--budget", "5EUR/month"]);
    assert_eq!(chat(&dev, &bot, "chat").status, 200);
    assert_eq!(chat(&dev, &bot, "chat").status, 402);
    home.run(&["budgets", "remove", "key/bot", "day", "-y"]).ends_with(0);
    assert_eq!(chat(&dev, &bot, "chat").status, 200);
    drop(dev);
    let dev = home.dev();
    stands(&home, "key/bot 5.00 EUR/month: 0.20 EUR spent, 0.00 EUR held");
    assert_eq!(chat(&dev, &bot, "chat").status, 200);
    let listed = home.run(&["keys", "list", "-o", "json"]).ends_with(0).json();
    assert_eq!(listed["items"][0]["model"]["budgets"], json!(["5EUR/month"]));
}

/// Mutation: forget with a budget what calls under way hold, in its currency or in another one; let what ends while
/// there is none be lost; or forget at a start what was spent of one that is set again.
#[test]
fn a_budget_that_is_changed_under_way_holds() {
    let (home, slow) = (Home::new(), upstream());
    let dev = site(&home, &slow.world);
    let bot = key(&home, &[]);
    let set = |budget: &str| home.run(&["budgets", "set", "namespace/sales", budget]);
    let remove = || home.run(&["budgets", "remove", "namespace/sales", "total", "-y"]).ends_with(0);
    set("0.2EUR/total").ends_with(0);
    let calls = [(); 2].map(|()| begun(&slow, &dev, &bot));
    stands(&home, "namespace/sales 0.20 EUR/total: 0.00 EUR spent, 0.20 EUR held");
    set("0.3USD/total").ends_with(0);
    stands(&home, "namespace/sales 0.30 USD/total: 0.00 USD spent, 0.30 USD held");
    assert_eq!(chat(&dev, &bot, "chat").status, 402);
    let refused = set("0.2CHF/total").ends_with(2).stderr;
    assert!(refused.contains("no rate from EUR to CHF"), "{refused}");
    remove();
    stands(&home, "");
    set("0.2EUR/total").ends_with(0);
    stands(&home, "namespace/sales 0.20 EUR/total: 0.00 EUR spent, 0.20 EUR held");
    assert_eq!(chat(&dev, &bot, "chat").status, 402);
    remove();
    for call in calls {
        slow.go.send(()).expect("it waits");
        assert_eq!(call.join().expect("no panic"), Some(200));
    }
    let usage = ["usage", "-o", "json"];
    until(&home, &usage, |it| it["total"]["calls"] == 2);
    set("0.4EUR/total").ends_with(0);
    stands(&home, "namespace/sales 0.40 EUR/total: 0.20 EUR spent, 0.00 EUR held");

    let lost = begun(&slow, &dev, &bot);
    remove();
    dev.kill();
    lost.join().expect("no panic");
    let dev = home.dev();
    set("0.3USD/total").ends_with(0);
    stands(&home, "namespace/sales 0.30 USD/total: 0.45 USD spent, 0.00 USD held");
    assert_eq!(chat(&dev, &bot, "chat").status, 402);
    set("0.4EUR/total").ends_with(0);
    stands(&home, "namespace/sales 0.40 EUR/total: 0.30 EUR spent, 0.00 EUR held");
    assert_eq!(chat(&dev, &bot, "chat").status, 200);
    assert_eq!(chat(&dev, &bot, "chat").status, 402);
    drop(slow.go);
    dev.stop().ends_with(0);
    home.is_whole();
}

/// Mutation: leave a key's budgets behind, in the list or in the store; forget what was spent under its name; or let
/// a budget be set for one that is over.
#[test]
fn the_budgets_of_a_key_go_with_it_and_what_was_spent_stays() {
    let (home, slow) = (Home::new(), upstream());
    let dev = site(&home, &slow.world);
    let bot = key(&home, &["--budget", "0.2EUR/total", "--budget", "1EUR/month"]);
    home.run(&["budgets", "set", "key/bot", "5EUR/year"]).ends_with(0);
    assert_eq!(chat(&dev, &bot, "chat").status, 200);
    let spent = |it: &Value| {
        it["items"]
            .as_array()
            .is_some_and(|all| all.iter().all(|it| micros(&it["spent"]) == 100_000))
    };
    let all = until(&home, &["budgets", "-o", "json"], spent);
    assert_eq!(all["items"].as_array().map(Vec::len), Some(3));
    home.run(&["keys", "revoke", "bot", "--yes"]).ends_with(0);
    stands(&home, "");
    let refused = home.run(&["budgets", "set", "key/bot", "1EUR/day"]).ends_with(2).stderr;
    assert!(refused.contains("the key `bot` is over"), "{refused}");
    let bot = key(&home, &["--budget", "0.2EUR/total"]);
    let stays = "key/bot 0.20 EUR/total: 0.10 EUR spent, 0.00 EUR held";
    stands(&home, stays);
    dev.stop().ends_with(0);
    let dev = home.dev();
    stands(&home, stays);
    assert_eq!(chat(&dev, &bot, "chat").status, 200);
    assert_eq!(chat(&dev, &bot, "chat").status, 402);
    drop(slow.go);
}

/// Mutation: leave the minute of a key or a route as it was before a call that has used more, or let nobody say what
/// a call has cost that is billed beyond its bound.
#[test]
fn what_an_upstream_reports_beyond_the_bound_is_counted_and_may_be_corrected() {
    let (home, slow) = (Home::new(), upstream());
    let dev = site(&home, &slow.world);
    let url = format!("{}/nonsense/v1", slow.world.url);
    let price = ["--price-input", "1", "--price-output", "0", "--currency", "EUR"];
    add(&home, "big", &url, &[&price[..], &["--output-tokens", "100"]].concat());
    home.run(&["budgets", "set", "namespace/sales", "2000EUR/total"]).ends_with(0);
    let bot = key(&home, &["--tokens-per-minute", "5000"]);
    assert_eq!(chat(&dev, &bot, "big").status, 200);
    let calls = ["calls", "-n", "sales", "-o", "json"];
    let calls = until(&home, &calls, |it| it["items"][0]["settled"].is_object());
    assert_eq!(chat(&dev, &bot, "big").status, 429, "the minute of the key is used up");
    home.write("route.yaml", "apiVersion: isonomy.dev/v1\nkind: Route\nmetadata: {namespace: sales, name: way}\nspec:\n  to: [{model: big}]\n  limits: {tokensPerMinute: 5000}\n");
    home.run(&["apply", "-f", "route.yaml", "--yes"]).ends_with(0);
    home.run(&["models", "try", "way", "-n", "sales"]).ends_with(0);
    let show = ["routes", "show", "way", "-n", "sales", "-o", "json"];
    until(&home, &show, |it| it["standing"]["tokensLeft"] == 0);
    home.run(&["models", "try", "way", "-n", "sales"]).ends_with(6);

    let call = calls["items"][0]["admitted"]["call"].as_str().expect("an id");
    stands(&home, "namespace/sales 2000.00 EUR/total: 1999.999998 EUR spent, 0.00 EUR held");
    let settle = |cost: &str| {
        let said = ["--cost", cost, "--reason", "the bill of May"];
        home.run(&[&["calls", "settle", call, "-n", "sales"], &said[..]].concat())
    };
    let refused = settle("1000EUR").ends_with(2).stderr;
    assert!(refused.contains("is more"), "{refused}");
    let said = settle("0.0001EUR").ends_with(0).stdout;
    assert!(said.contains("it has cost 0.0001 EUR"), "{said}");
    settle("0.0001EUR").ends_with(2);
    let stays = "namespace/sales 2000.00 EUR/total: 1000.000099 EUR spent, 0.00 EUR held";
    stands(&home, stays);
    let of_list = home.run(&["calls", "-n", "sales"]).ends_with(0).stdout;
    assert!(of_list.lines().any(|it| it.contains(call) && it.contains("0.0001 EUR")), "{of_list}");
    let check = || {
        let focus = ["usage", "--format", "focus", "--since", "1d"];
        let table = home.run(&focus).ends_with(0).stdout;
        let mut reader = csv::Reader::from_reader(table.as_bytes());
        let rows: Vec<std::collections::BTreeMap<String, String>> =
            reader.deserialize().collect::<Result<_, _>>().expect("rows");
        let costs = rows.iter().map(|row| row["BilledCost"].clone());
        let costs =
            costs.filter(|cost| cost != "0").map(|cost| micros(&json!(format!("{cost} EUR"))));
        assert_eq!(costs.sum::<u64>(), 1_000_000_099, "{table}");
        let tokens = rows.iter().filter(|row| row["SkuMeter"].contains("Input Tokens"));
        let tokens = tokens.map(|row| row["ConsumedQuantity"].parse::<u64>().expect("a number"));
        assert_eq!(tokens.sum::<u64>(), 999_999_999, "those of the call that was not corrected");
        stands(&home, stays);
    };
    check();
    dev.kill();
    let dev = home.dev();
    check();
    dev.stop().ends_with(0);
    home.is_whole();
    drop(slow.go);
}
