//! Whole hubs and sites in one file, and brought back from it: real processes, real TLS.

use std::fs;
use std::time::Instant;

use serde_json::Value;

use crate::support::parties::{hub_of, join, serve};
use crate::support::world::{Answer, World};
use crate::support::{Ended, HANG, Home, document};

/// Asks the hub in this folder.
fn ask(home: &Home, data: &str, args: &[&str]) -> Ended {
    home.run(&[args, &["--server", data]].concat())
}

/// What is printed, when it is so.
fn until(home: &Home, data: &str, args: &[&str], is_so: impl Fn(&Value) -> bool) -> Value {
    let (began, args) = (Instant::now(), [args, &["-o", "json"]].concat());
    loop {
        let shown = ask(home, data, &args).ends_with(0).json();
        if is_so(&shown) {
            return shown;
        }
        assert!(began.elapsed() < HANG, "{args:?}: {shown}");
    }
}

fn apply(home: &Home, data: &str) {
    ask(home, data, &["apply", "--yes", "-f", "law"]).ends_with(0);
}

fn is_converged(shown: &Value) -> bool {
    shown["desired"]["state"] == "converged"
}

const EVERYWHERE: &str = "apiVersion: isonomy.dev/v1\nkind: Placement\nmetadata: {namespace: default, name: all}\nspec:\n  workflows: [a, b]\n  sites: {all: true}\n";

/// Mutation: let the recovery end while a site has not come, or while one has an edition that is lost;
/// give an order, make a token or publish meanwhile; forget who was revoked; adopt nobody, or somebody
/// unasked; take the backup without the authority's key; lose an outcome.
#[test]
fn a_hub_that_was_brought_back_learns_from_its_sites_what_it_has_lost() {
    let home = Home::new();
    home.write("law/a.yaml", &document("a", "  - x: { set: { y: 1 } }\n"));
    home.write("law/all.yaml", &EVERYWHERE.replace("[a, b]", "[a]"));
    home.run(&["hub", "init", "--domain", "acme", "--data", "old"]).ends_with(0);
    let governing = hub_of(&home, "old", "127.0.0.1:0");
    for site in ["clinic-1", "clinic-2", "clinic-4"] {
        join(&home, site, &["--server", "old"]);
    }
    let one = serve(&home, "clinic-1");
    let two = serve(&home, "clinic-2");
    apply(&home, "old");
    until(&home, "old", &["sites", "show", "clinic-1"], is_converged);
    let backed = home.run(&["hub", "backup", "hub.backup", "--data", "old"]).ends_with(0);
    assert!(backed.stderr.contains("authority"), "{}", backed.stderr);
    let again = home.run(&["hub", "backup", "hub.backup", "--data", "old"]).ends_with(2);
    assert!(again.stderr.contains("there already"), "{}", again.stderr);

    // All of this is lost.
    home.write("law/b.yaml", &document("b", "  - x: { set: { y: 2 } }\n"));
    home.write("law/all.yaml", EVERYWHERE);
    apply(&home, "old");
    join(&home, "clinic-3", &["--server", "old"]);
    let three = serve(&home, "clinic-3");
    ask(&home, "old", &["sites", "revoke", "clinic-2", "--yes"]).ends_with(0);
    ask(&home, "old", &["run", "b", "--site", "clinic-1"]).ends_with(0);
    let edition = until(&home, "old", &["sites", "show", "clinic-3"], is_converged);
    let edition = edition["desired"]["edition"].as_u64().expect("a number");
    // The newest, in which somebody is revoked, is there.
    until(&home, "clinic-1", &["site", "status"], |it| it["hub"]["desired"]["edition"] == edition);
    let status = home.run(&["site", "status", "--server", "clinic-1", "-o", "json"]);
    let status = status.ends_with(0).json();
    let listen = status["hub"]["addresses"][0].as_str().expect("an address").to_owned();
    governing.kill();

    let restored = home.run(&["hub", "restore", "hub.backup", "--data", "new"]).ends_with(0);
    assert!(restored.stderr.contains("keys are as they were"), "{}", restored.stderr);
    home.run(&["hub", "restore", "hub.backup", "--data", "new"]).ends_with(2);
    let governing = hub_of(&home, "new", &listen);
    let recovery = ["hub", "recovery"];
    let lost = |it: &Value| it["lostEdition"].as_u64().is_some();
    let shown = until(&home, "new", &recovery, |it| lost(it) && it["waiting"] == 1);
    assert_eq!(shown["sites"], serde_json::json!(["clinic-4"]), "{shown}");
    assert_eq!(shown["on"], true, "{shown}");
    until(&home, "new", &["sites", "show", "clinic-2"], |it| it["state"] == "revoked");
    until(&home, "new", &["sites", "show", "clinic-1"], |it| it["taken"]["outcome"] == 1);

    // Nothing is said to sites that may know better.
    let refused = ask(&home, "new", &["hub", "token", "create", "--site", "clinic-5"]);
    assert!(refused.ends_with(2).stderr.contains("FLT-006"));
    let order = ["run", "a", "--site", "clinic-1", "--detach", "-o", "json"];
    let order = ask(&home, "new", &order).ends_with(0);
    assert!(order.stderr.contains("hub recovery"), "{}", order.stderr);
    let kept = home.run(&["workflows", "--server", "clinic-1", "-o", "json"]).ends_with(0).json();
    assert_eq!(kept["items"].as_array().map(Vec::len), Some(2), "{kept}");
    let is_there = |it: &Value| it["items"].as_array().is_some_and(|sites| sites.len() == 4);
    until(&home, "new", &["sites", "list"], is_there);
    let waits = ask(&home, "new", &["sites", "show", "clinic-3", "-o", "json"]).ends_with(0).json();
    assert_eq!(waits["state"], "to-be-adopted", "{waits}");
    assert!(waits["trouble"].as_str().is_some_and(|it| it.contains("sites adopt")), "{waits}");

    // A person decides.
    ask(&home, "new", &["sites", "adopt", "clinic-2", "--yes"]).ends_with(2);
    ask(&home, "new", &["sites", "adopt", "clinic-3", "--yes"]).ends_with(0);
    ask(&home, "new", &["hub", "recovery", "waive", "clinic-1"]).ends_with(2);
    ask(&home, "new", &["hub", "recovery", "waive", "clinic-4"]).ends_with(0);
    apply(&home, "new");
    let open = ask(&home, "new", &recovery).ends_with(0);
    assert!(open.stderr.contains("apply again"), "{}", open.stderr);
    ask(&home, "new", &["hub", "recovery", "end", "--yes"]).ends_with(0);
    let mended = until(&home, "new", &["sites", "show", "clinic-1"], is_converged);
    assert!(mended["desired"]["edition"].as_u64() > Some(edition), "{mended}");
    until(&home, "new", &["sites", "show", "clinic-1"], |it| it["taken"]["outcome"] == 2);
    until(&home, "new", &["sites", "show", "clinic-3"], is_converged);
    assert_eq!(
        ask(&home, "new", &["hub", "recovery", "-o", "json"]).ends_with(0).json()["on"],
        false
    );
    join(&home, "clinic-5", &["--server", "new"]);
    for site in [one, two, three] {
        site.stop().ends_with(0);
    }
    governing.stop().ends_with(0);
}

/// Mutation: leave a site's key in a backup that should not have it, or out of one that should; bring a
/// site back in the life in which it was; end the recovery never where nothing was lost; hide that it says
/// otherwise what it has said before.
#[test]
fn a_site_that_was_brought_back_is_the_site() {
    let home = Home::new();
    let file = home.write("a.yaml", &document("a", "  - x: { set: { y: 1 } }\n"));
    let file = file.to_str().expect("text");
    home.run(&["hub", "init", "--domain", "acme", "--data", "old"]).ends_with(0);
    let governing = hub_of(&home, "old", "127.0.0.1:0");
    join(&home, "clinic-1", &["--server", "old"]);
    let site = serve(&home, "clinic-1");
    home.run(&["run", file, "--server", "clinic-1"]).ends_with(0);
    let shown =
        until(&home, "old", &["sites", "show", "clinic-1"], |it| it["taken"]["outcome"] == 1);
    let waits = "  - x: { listen: { to: { one: { with: { type: go } } } } }\n";
    let waits = home.write("waits.yaml", &document("waits", waits));
    let waits = waits.to_str().expect("text");
    home.run(&["run", waits, "--detach", "--server", "clinic-1"]).ends_with(0);
    home.run(&["site", "backup", "running", "--data", "clinic-1"]).ends_with(0);
    home.run(&["emit", "go", "--server", "clinic-1"]).ends_with(0);
    let shown_now =
        |is_so: fn(&Value) -> bool| until(&home, "old", &["sites", "show", "clinic-1"], is_so);
    let told = shown_now(|it| it["taken"]["outcome"] == 2);
    assert!(told.get("contradicted").is_none(), "{told}");
    site.stop().ends_with(0);
    let without = ["site", "backup", "bare", "--data", "clinic-1", "--without-identity"];
    home.run(&without).ends_with(0);
    let has_key = |file: &str| {
        let bytes = fs::read(home.path(file)).expect("a backup");
        bytes.windows(11).any(|window| window == b"PRIVATE KEY")
    };
    assert!(has_key("running") && !has_key("bare"));
    let other = home.run(&["hub", "restore", "bare", "--data", "x"]).ends_with(2);
    assert!(other.stderr.contains("isonomy site restore"), "{}", other.stderr);

    home.run(&["site", "restore", "running", "--data", "back"]).ends_with(0);
    let site = serve(&home, "back");
    let before = shown["incarnation"].clone();
    let back = until(&home, "old", &["sites", "show", "clinic-1"], |it| {
        it["state"] == "online" && it["incarnation"] != before
    });
    assert!(back.get("trouble").is_none(), "{back}");
    // What it has done since, it does again; what it said first counts.
    home.run(&["emit", "go", "--server", "back"]).ends_with(0);
    let told = shown_now(|it| it["contradicted"] == 1);
    assert_eq!(told["taken"]["outcome"], 2, "{told}");
    home.run(&["run", file, "--server", "back"]).ends_with(0);
    site.stop().ends_with(0);

    home.run(&["site", "restore", "bare", "--data", "anew"]).ends_with(0);
    let alone = serve(&home, "anew");
    let status = home.run(&["site", "status", "--server", "anew", "-o", "json"]).ends_with(0);
    assert!(status.json().get("hub").is_none());
    alone.stop().ends_with(0);

    // A hub that has lost nothing needs nobody to say so.
    home.run(&["hub", "backup", "hub.backup", "--data", "old"]).ends_with(0);
    let address = fs::read_to_string(home.path("back/identity/membership.json")).expect("there");
    let listen = serde_json::from_str::<Value>(&address).expect("JSON")["hubs"][0].clone();
    governing.stop().ends_with(0);
    home.run(&["hub", "restore", "hub.backup", "--data", "new"]).ends_with(0);
    let governing = hub_of(&home, "new", listen.as_str().expect("an address"));
    let site = serve(&home, "back");
    until(&home, "new", &["hub", "recovery"], |it| it["on"] == false);
    until(&home, "new", &["sites", "show", "clinic-1"], |it| it["state"] == "online");
    site.stop().ends_with(0);
    governing.stop().ends_with(0);
}

/// Mutation: count less than has left, or only one of the gate and the line; show what was sent; begin the day
/// anew at a start.
#[test]
fn a_site_says_what_has_left_it_to_whom_and_by_which_rule() {
    let home = Home::new();
    let world = World::new(|_| Answer::Json("{}".to_owned()));
    home.allow(&world.url);
    let call = format!(
        "  - x: {{ call: http, with: {{ method: post, endpoint: '{}/p', body: {{ secret: canary-0815 }} }} }}\n",
        world.url
    );
    let file = home.write("a.yaml", &document("a", &call));
    let file = file.to_str().expect("text");
    home.run(&["hub", "init", "--domain", "acme", "--data", "old"]).ends_with(0);
    let governing = hub_of(&home, "old", "127.0.0.1:0");
    join(&home, "clinic-1", &["--server", "old"]);
    fs::copy(home.path(".isonomy/site.yaml"), home.path("clinic-1/site.yaml")).expect("copied");
    let site = serve(&home, "clinic-1");
    for _ in 0..2 {
        home.run(&["run", file, "--server", "clinic-1"]).ends_with(0);
    }
    until(&home, "old", &["sites", "show", "clinic-1"], |it| it["taken"]["outcome"] == 2);
    site.stop().ends_with(0);
    let site = serve(&home, "clinic-1");
    let left = ["site", "left-today", "--server", "clinic-1"];
    let shown = home.run(&[&left[..], &["-o", "json"]].concat()).ends_with(0);
    assert!(!shown.stdout.contains("canary"), "{}", shown.stdout);
    let shown = shown.json();
    let of = |rule: &str| {
        let items = shown["items"].as_array().expect("a list").iter();
        let mut of = items.filter(|it| it["rule"].as_str().is_some_and(|it| it.contains(rule)));
        let found = of.next().unwrap_or_else(|| panic!("{rule}: {shown}"));
        (found["to"].clone(), found["times"].clone(), found["bytes"].as_u64().expect("a number"))
    };
    let (to, times, bytes) = of("link/outcome");
    assert!(to.as_str().is_some_and(|to| to.starts_with("hub 127.0.0.1:")), "{shown}");
    assert!(times.as_u64() >= Some(1) && bytes > 100, "{shown}");
    let (to, times, bytes) = of("egress");
    let sent = "POST /p HTTP/1.1".len() + r#"{"secret":"canary-0815"}"#.len();
    assert!(to == world.url.as_str() && times == 2 && bytes > 2 * sent as u64, "{shown}");
    let other = home.run(&[&left[..], &["--day", "1999-12-31", "-o", "json"]].concat());
    assert_eq!(other.ends_with(0).json()["items"], serde_json::json!([]));
    home.run(&[&left[..], &["--day", "yesterday"]].concat()).ends_with(2);
    site.stop().ends_with(0);
    governing.stop().ends_with(0);
}

/// Mutation: keep what a hub has ordered and nobody has begun for the next one.
#[test]
fn what_a_hub_has_ordered_is_not_done_for_the_next() {
    let home = Home::new();
    // Over a slow line it comes for a minute and more; an order comes at once.
    let noise: String = (0..40)
        .map(|n| {
            let line = (0..800).map(|m| base::Digest::of(format!("{n} {m}").as_bytes()));
            format!(
                "  - step{n}: {{ set: {{ noise: '{}' }} }}\n",
                line.map(|it| it.to_string()).collect::<String>()
            )
        })
        .collect();
    home.write("law/a.yaml", &document("a", &noise));
    home.write("law/all.yaml", &EVERYWHERE.replace("[a, b]", "[a]"));
    home.run(&["hub", "init", "--domain", "acme", "--data", "old"]).ends_with(0);
    let governing = hub_of(&home, "old", "127.0.0.1:0");
    join(&home, "clinic-1", &["--server", "old"]);
    home.write("clinic-1/site.yaml", "spec:\n  hub:\n    line: { kibPerSecond: 16 }\n");
    let mut site = serve(&home, "clinic-1");
    apply(&home, "old");
    home.run(&["run", "a", "--site", "clinic-1", "--detach", "--server", "old"]).ends_with(0);
    site.process.stderr.until("an order waits for the text");
    site.stop().ends_with(0);
    home.run(&["site", "leave", "--data", "clinic-1", "--yes"]).ends_with(0);
    governing.stop().ends_with(0);

    home.run(&["hub", "init", "--domain", "other", "--data", "other"]).ends_with(0);
    let other = hub_of(&home, "other", "127.0.0.1:0");
    join(&home, "clinic-1", &["--server", "other"]);
    let site = serve(&home, "clinic-1");
    for name in ["a", "b"] {
        let file = home.write("own.yaml", &document(name, "  - x: { set: { y: 1 } }\n"));
        let file = file.to_str().expect("text");
        home.run(&["apply", "-f", file, "--yes", "--server", "clinic-1"]).ends_with(0);
    }
    // Orders are judged in their order: this one would be behind it.
    home.run(&["run", "b", "--site", "clinic-1", "--server", "other"]).ends_with(0);
    let runs = home.run(&["runs", "--server", "clinic-1", "-o", "json"]).ends_with(0).json();
    let runs = runs["items"].as_array().expect("a list");
    let names: Vec<_> = runs.iter().map(|it| it["workflow"].as_str().expect("a name")).collect();
    assert_eq!(names, ["b"]);
    site.stop().ends_with(0);
    other.stop().ends_with(0);
}

/// Mutation: leave the key behind, advise to revoke whoever has taken the place, tell the hub nothing, send it what it had not taken when the site joins
/// another fleet, or take its workflows away.
#[test]
fn a_site_that_leaves_is_nobodys_site() {
    let home = Home::new();
    let file = home.write("own.yaml", &document("own", "  - x: { set: { y: 1 } }\n"));
    let file = file.to_str().expect("text");
    home.write("law/a.yaml", &document("a", "  - x: { set: { y: 1 } }\n"));
    home.write("law/all.yaml", &EVERYWHERE.replace("[a, b]", "[a]"));
    home.run(&["hub", "init", "--domain", "acme", "--data", "old"]).ends_with(0);
    let governing = hub_of(&home, "old", "127.0.0.1:0");
    for site in ["clinic-1", "clinic-2"] {
        join(&home, site, &["--server", "old"]);
    }
    let one = serve(&home, "clinic-1");
    apply(&home, "old");
    until(&home, "old", &["sites", "show", "clinic-1"], is_converged);
    let leave = ["site", "leave", "--data", "clinic-1"];
    assert!(home.run(&leave).ends_with(2).stderr.contains("--yes"));
    let left = home.run(&[&leave[..], &["--yes"]].concat()).ends_with(0);
    assert!(left.stderr.contains("the hub was told"), "{}", left.stderr);
    let shown = until(&home, "old", &["sites", "show", "clinic-1"], |it| it["state"] == "left");
    assert!(shown.get("desired").is_none(), "{shown}");
    let status = home.run(&["site", "status", "--server", "clinic-1", "-o", "json"]).ends_with(0);
    assert!(status.json().get("hub").is_none());
    assert!(!home.path("clinic-1/identity/membership.json").exists());
    // What is there stays, and goes on.
    home.run(&["run", "a", "--server", "clinic-1"]).ends_with(0);
    home.run(&["run", file, "--server", "clinic-1"]).ends_with(0);
    one.stop().ends_with(0);

    // The other one leaves without a hub, and joins another fleet with an empty outbox.
    governing.stop().ends_with(0);
    let two = serve(&home, "clinic-2");
    home.run(&["run", file, "--server", "clinic-2"]).ends_with(0);
    two.stop().ends_with(0);
    let left = home.run(&["site", "leave", "--data", "clinic-2", "--yes"]).ends_with(0);
    assert!(left.stderr.contains("1 of outcome were not handed over"), "{}", left.stderr);
    assert!(left.stderr.contains("could not be told"), "{}", left.stderr);
    assert!(left.stderr.contains("only if no other machine"), "{}", left.stderr);
    home.run(&["hub", "init", "--domain", "other", "--data", "other"]).ends_with(0);
    let other = hub_of(&home, "other", "127.0.0.1:0");
    join(&home, "clinic-2", &["--server", "other"]);
    let two = serve(&home, "clinic-2");
    home.run(&["run", file, "--server", "clinic-2"]).ends_with(0);
    let shown = until(&home, "other", &["sites", "show", "clinic-2"], |it| {
        it["taken"]["outcome"].as_u64() >= Some(1)
    });
    assert_eq!(shown["taken"]["outcome"], 1, "{shown}");
    two.stop().ends_with(0);
    other.stop().ends_with(0);
}
