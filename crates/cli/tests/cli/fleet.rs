//! A hub and its sites by their commands: real processes, real TLS.

use std::fs;
use std::net::TcpListener;
use std::time::Instant;

use base::{Clock as _, SystemClock};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::parties::{HUB, hub, join, token, until};
use crate::support::{Dev, HANG, Home, document};

fn outcomes(count: u64) -> impl Fn(&Value) -> bool {
    move |shown| shown["taken"]["outcome"] == count
}

/// Mutation: show a site that is away as online, start a hub with another address in its tokens, or lose
/// what a site has done while the hub was killed.
#[test]
fn a_site_joins_works_without_its_hub_and_reports_later() {
    let home = Home::new();
    let file = home.write("a.yaml", &document("a", "  - x: { set: { y: 1 } }\n"));
    let file = file.to_str().expect("text");
    let governing = hub(&home);
    let clinic = token(&home, &["--site", "clinic-1", "--tag", "region=eu"]);
    let invited = home.run(&["sites", "list", "-o", "json"]).ends_with(0).json();
    assert_eq!(invited["items"][0]["state"], "invited", "{invited}");
    assert_eq!(invited["items"][0]["tags"]["region"], "eu", "{invited}");
    let joined = home.run_with_stdin(&["site", "join", "-"], &clinic).ends_with(0);
    assert_eq!(joined.stdout, "clinic-1\n");
    let again = home.run(&["hub", "token", "create", "--site", "clinic-1"]).ends_with(2);
    assert!(again.stderr.contains("--replace"), "{}", again.stderr);
    assert!(home.run(&["site", "status"]).ends_with(6).stderr.contains("isonomy"));

    let site = Dev::of(home.start(&["site", "serve", "--port", "0"]));
    until(&home, "clinic-1", |shown| shown["state"] == "online");
    home.run(&["run", file]).ends_with(0);
    until(&home, "clinic-1", outcomes(1));
    governing.kill();
    home.run(&["run", file]).ends_with(0);
    let status = home.run(&["site", "status", "-o", "json"]).ends_with(0).json();
    assert_eq!(status["site"], "clinic-1", "{status}");
    assert_eq!(status["hub"]["waiting"]["outcome"], 1, "{status}");
    home.run(&["sites", "list"]).ends_with(6);
    // At the address that the token has told.
    let address = status["hub"]["addresses"][0].as_str().expect("an address").to_owned();
    let governing = home.start(&["hub", "serve", "--listen", &address, "--port", "0"]);
    let governing = Dev::of(governing);
    until(&home, "clinic-1", outcomes(2));
    let joined = until(&home, "clinic-1", |shown| shown["state"] == "online");
    site.stop().ends_with(0);
    let silent = until(&home, "clinic-1", |shown| shown["state"] == "silent");
    assert!(silent["since"].as_str() >= joined["since"].as_str(), "{silent}");
    let list = home.run(&["sites"]).ends_with(0);
    assert!(list.stderr.contains("1 site: 1 silent"), "{}", list.stderr);
    governing.process.signal(Signal::TERM);
    governing.process.end().ends_with(0);
    assert!(!home.path(".isonomy-hub/address").exists());
    home.is_whole();
}

/// Mutation: dial outside the hours, say nothing of why there is no line, or take the spans for local time.
#[test]
fn a_site_holds_its_line_within_its_hours() {
    let home = Home::new();
    let _governing = hub(&home);
    let clinic = token(&home, &["--site", "clinic-1"]);
    home.run_with_stdin(&["site", "join", "-"], &clinic).ends_with(0);
    let hour = SystemClock.now().as_millis() / 3_600_000;
    let serve = |from: i64, until: i64| {
        let span = format!("{:02}:00-{:02}:00", (hour + from) % 24, (hour + until) % 24);
        let line = format!("spec: {{hub: {{line: {{kibPerSecond: 64, hours: ['{span}']}}}}}}\n");
        home.write(".isonomy/site.yaml", &line);
        Dev::of(home.start(&["site", "serve", "--port", "0"]))
    };
    let site = serve(2, 3);
    let began = Instant::now();
    let why = loop {
        let status = home.run(&["site", "status", "-o", "json"]).ends_with(0).json();
        let why = status["hub"]["why"].as_str().unwrap_or_default().to_owned();
        if why != "not tried yet" {
            break why;
        }
        assert!(began.elapsed() < HANG, "{status}");
    };
    assert!(why.contains("outside its hours") && why.ends_with(":00 UTC"), "{why}");
    let shown = home.run(&["sites", "show", "clinic-1", "-o", "json"]).ends_with(0).json();
    assert_ne!(shown["state"], "online", "{shown}");
    site.stop().ends_with(0);
    let site = serve(23, 2);
    until(&home, "clinic-1", |shown| shown["state"] == "online");
    site.stop().ends_with(0);
}

/// Mutation: make a hub over one that is there, say nothing of the root's key, or print no first key.
#[test]
fn a_hub_is_made_once_and_its_root_is_taken_away() {
    let home = Home::new();
    let missing = home.run(HUB).ends_with(2);
    assert!(missing.stderr.contains("isonomy hub init"), "{}", missing.stderr);
    let made = home.run(&["hub", "init", "--domain", "acme"]).ends_with(0);
    assert!(made.stdout.starts_with("isonomy-key-"), "{made:?}");
    let key = home.path(".isonomy-hub").join("root").join("root.key");
    assert!(key.is_file() && made.stderr.contains("root.key"), "{made:?}");
    home.run(&["hub", "init", "--domain", "other"]).ends_with(2);
    let mut first = home.start(HUB);
    first.stderr.until("the fleet's root still lies in");
    first.kill();
    fs::remove_file(key).expect("taken away");
    let second = Dev::of(home.start(HUB));
    token(&home, &["--site", "clinic-1"]);
    assert!(!second.stop().ends_with(0).stderr.contains("root"));
}

/// Mutation: keep the token among the arguments while the hub is asked.
#[test]
fn a_token_does_not_stand_in_the_list_of_processes() {
    let home = Home::new();
    let _governing = hub(&home);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("bound").to_string();
    let token = token(&home, &["--site", "clinic-1", "--hub", &address]);
    let joining = home.start(&["site", "join", &token]);
    let _connection = silent.accept().expect("it asks");
    let shown = fs::read_to_string(format!("/proc/{}/cmdline", joining.id())).expect("there");
    assert!(shown.contains("join\0-\0"), "{shown:?}");
    assert!(!shown.contains(&token), "{shown:?}");
    joining.kill();
}

/// Mutation: make the tokens of a table up to the line that is wrong, or up to that of a site that has joined.
#[test]
fn many_sites_come_from_a_table() {
    let home = Home::new();
    let _governing = hub(&home);
    home.write("wrong.csv", "site\nclinic-1\nClinic 2\n");
    let wrong = home.run(&["hub", "token", "create", "--from", "wrong.csv"]).ends_with(2);
    assert!(wrong.stderr.contains("line 3"), "{}", wrong.stderr);
    assert_eq!(wrong.stdout, "");
    let rows: String = (1..=50).map(|n| format!("clinic-{n:02},eu\n")).collect();
    home.write("sites.csv", &format!("site,region\n{rows}"));
    join(&home, "clinic-07", &[]);
    let args = ["hub", "token", "create", "--from", "sites.csv", "--ttl", "7d", "-o", "json"];
    let joined = home.run(&args).ends_with(2);
    assert!(joined.stderr.contains("line 8: clinic-07 is a site already"), "{}", joined.stderr);
    let listed = home.run(&["sites", "-o", "json"]).ends_with(0).json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "none of the others is invited");
    home.write("sites.csv", &format!("site,region\n{}", rows.replace("clinic-07,eu\n", "")));
    let made = home.run(&args).ends_with(0);
    assert_eq!(made.stdout.lines().count(), 49);
    let listed = home.run(&["sites", "--all", "-o", "json"]).ends_with(0).json();
    let items = listed["items"].as_array().expect("a list");
    assert_eq!((items.len(), &items[49]["site"]), (50, &Value::from("clinic-50")));
    let in_eu = items.iter().filter(|it| it["tags"]["region"] == "eu").count();
    assert_eq!(in_eu, 49);
}

/// Mutation: leave a revoked site its line, or its key the door, or count anew what it sends again.
#[test]
fn a_revoked_site_is_sent_away_and_comes_back_by_a_new_token() {
    let home = Home::new();
    let _governing = hub(&home);
    let first = token(&home, &["--site", "clinic-1"]);
    home.run_with_stdin(&["site", "join", "-"], &first).ends_with(0);
    let site = Dev::of(home.start(&["site", "serve", "--port", "0"]));
    until(&home, "clinic-1", |shown| shown["state"] == "online");
    let file = home.write("a.yaml", &document("a", "  - x: { set: { y: 1 } }\n"));
    let file = file.to_str().expect("text");
    home.run(&["apply", "-f", file, "--yes", "--server", ".isonomy"]).ends_with(0);
    let run = || home.run(&["run", "a", "--server", ".isonomy"]).ends_with(0);
    run();
    until(&home, "clinic-1", outcomes(1));
    home.run(&["sites", "tag", "clinic-1", "region=eu", "role=clinic"]).ends_with(0);
    let tagged = home.run(&["sites", "tag", "clinic-1", "role-"]).ends_with(0);
    assert!(tagged.stderr.contains("clinic-1: region=eu\n"), "{}", tagged.stderr);
    let asked = home.run(&["sites", "revoke", "clinic-1"]).ends_with(2);
    assert!(asked.stderr.contains("--yes"), "{}", asked.stderr);
    home.run(&["sites", "revoke", "clinic-1", "--yes", "--reason", "stolen"]).ends_with(0);
    let shown = home.run(&["sites", "show", "clinic-1", "-o", "json"]).ends_with(0).json();
    assert_eq!(shown["state"], "revoked", "{shown}");
    let began = Instant::now();
    loop {
        let status = home.run(&["site", "status", "-o", "json"]).ends_with(0).json();
        let why = status["hub"]["why"].as_str().unwrap_or_default();
        if why.contains("revoked") {
            break;
        }
        assert!(began.elapsed() < HANG, "{status}");
    }
    site.stop().ends_with(0);
    let second = token(&home, &["--site", "clinic-1", "--replace"]);
    home.run_with_stdin(&["site", "join", "-"], &first).ends_with(3);
    home.run_with_stdin(&["site", "join", "-"], &second).ends_with(0);
    let _site = Dev::of(home.start(&["site", "serve", "--port", "0"]));
    run();
    let more = |shown: &Value| shown["taken"]["outcome"].as_u64() > Some(1);
    let shown = until(&home, "clinic-1", more);
    assert_eq!(shown["taken"]["outcome"], 2, "{shown}");
}

/// Mutation: have every site do it, or a cordoned one, take a refusal for an end that is still to come, or
/// give up on a site
/// that is silent.
#[test]
fn a_hub_has_its_sites_run_a_workflow() {
    let home = Home::new();
    let file = home.write("a.yaml", &document("a", "  - x: { set: { y: 1 } }\n"));
    let file = file.to_str().expect("text");
    let _governing = hub(&home);
    let serve = |data: &str| Dev::of(home.start(&["site", "serve", "--port", "0", "--data", data]));
    let mut sites = Vec::new();
    for (name, region) in [("clinic-1", "eu"), ("clinic-2", "eu"), ("clinic-3", "us")] {
        let tag = format!("region={region}");
        let token = token(&home, &["--site", name, "--tag", &tag]);
        home.run_with_stdin(&["site", "join", "-", "--data", name], &token).ends_with(0);
        sites.push(serve(name));
        until(&home, name, |shown| shown["state"] == "online");
    }
    let apply = |site: &Dev| {
        home.run(&["apply", "-f", file, "--yes", "--server", site.data()]).ends_with(0);
    };
    apply(&sites[0]);
    let ended = home.run(&["run", "a", "--where", "region=eu", "-o", "json"]).ends_with(1).json();
    let items = ended["items"].as_array().expect("a list");
    assert_eq!(items.len(), 2, "{ended}");
    assert_eq!(items[0]["outcome"]["state"], "completed", "{ended}");
    assert_eq!(
        (&items[1]["state"], &items[1]["code"]),
        (&"refused".into(), &"workflow-missing".into())
    );
    apply(&sites[1]);
    apply(&sites[2]);
    let ended = home.run(&["run", "a", "--all"]).ends_with(0);
    assert!(ended.stdout.contains("clinic-3"), "{}", ended.stdout);
    // A site that is killed finds its order when it is back.
    sites.pop().expect("the third").kill();
    let away = home.run(&["run", "a", "--site", "clinic-3", "--detach", "-o", "json"]);
    let away = away.ends_with(0).json();
    assert_eq!(away["items"][0]["state"], "open", "{away}");
    sites.push(serve("clinic-3"));
    until(&home, "clinic-3", outcomes(2));
    let run = away["items"][0]["run"].as_str().expect("an id");
    home.run(&["runs", "show", run, "--server", sites[2].data()]).ends_with(0);
    home.run(&["sites", "cordon", "clinic-1", "--reason", "a new disk"]).ends_with(0);
    let left = home.run(&["run", "a", "--all"]).ends_with(0);
    assert!(!left.stdout.contains("clinic-1") && left.stdout.contains("clinic-2"), "{left:?}");
    let cordoned = home.run(&["run", "a", "--site", "clinic-1"]).ends_with(2);
    assert!(cordoned.stderr.contains("sites uncordon clinic-1"), "{}", cordoned.stderr);
    let list = home.run(&["sites"]).ends_with(0);
    assert!(list.stdout.contains("online, cordoned"), "{}", list.stdout);
    home.run(&["sites", "uncordon", "clinic-1"]).ends_with(0);
    home.run(&["run", "a", "--site", "clinic-1"]).ends_with(0);
    home.run(&["run", "a", "--site", "clinic-9"]).ends_with(2);
    home.run(&["run", "a", "--where", "region=mars"]).ends_with(2);
    home.run(&["run", file, "--site", "clinic-1"]).ends_with(2);
}

/// Mutation: join anew at each start, let a site that ends leave the others alone, or keep another store
/// than the one of the name.
#[test]
fn a_hub_and_its_sites_live_in_one_process() {
    let home = Home::new();
    home.write("a.yaml", &document("a", "  - x: { set: { y: 1 } }\n"));
    let place = "apiVersion: isonomy.dev/v1\nkind: Placement\nmetadata: {namespace: default, name: all}\nspec:\n  workflows: [a]\n  sites: {all: true}\n";
    home.write("all.yaml", place);
    // A port that was free a moment ago: sites keep where their hub is.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
    let listen = free.to_string();
    let dev = ["dev", "--sites", "3", "--port", "0", "--listen", &listen];
    for round in 0..2_u64 {
        let all = home.start(&dev);
        let mut all = Dev::of(all);
        all.process.stderr.until("site-3 is there");
        if round == 0 {
            let apply =
                ["apply", "-f", "a.yaml", "-f", "all.yaml", "--yes", "--server", ".isonomy-hub"];
            home.run(&apply).ends_with(0);
        }
        for n in 1..=3 {
            let site = format!("site-{n}");
            until(&home, &site, |it| {
                it["desired"]["state"] == "converged" && it["state"] == "online"
            });
        }
        let ended = home.run(&["run", "a", "--all", "-o", "json"]).ends_with(0).json();
        assert_eq!(ended["items"].as_array().map(Vec::len), Some(3), "{ended}");
        until(&home, "site-2", outcomes(round + 1));
        all.process.signal(Signal::TERM);
        all.process.end().ends_with(0);
    }
    let serve = ["hub", "serve", "--listen", &listen, "--port", "0", "--with-site", "centre"];
    let mut with = Dev::of(home.start(&serve));
    with.process.stderr.until("centre is there");
    until(&home, "centre", |shown| shown["state"] == "online");
    until(&home, "site-1", |shown| shown["state"] == "silent");
    with.process.signal(Signal::TERM);
    with.process.end().ends_with(0);
    home.run(&["store", "check", "--data", ".isonomy/site-1"]).ends_with(0);
}
