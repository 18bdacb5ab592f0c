//! What a hub wants to be at its sites: real processes, real TLS.

use std::fs;
use std::time::Instant;

use serde_json::Value;

use crate::support::parties::{self, hub, join, serve};
use crate::support::{Dev, HANG, Home, document};

fn placement(name: &str, workflows: &str, sites: &str) -> String {
    format!(
        "apiVersion: isonomy.dev/v1\nkind: Placement\nmetadata: {{namespace: default, name: {name}}}\nspec:\n  workflows: {workflows}\n  sites: {sites}\n"
    )
}

fn apply(home: &Home, args: &[&str]) -> Value {
    let args = [&["apply", "--server", ".isonomy-hub", "--yes", "-o", "json"], args].concat();
    home.run(&args).ends_with(0).json()
}

/// What the hub shows of a site's desired state, when it is so.
fn until(home: &Home, site: &str, state: &str) -> Value {
    parties::until(home, site, |shown| shown["desired"]["state"] == state)["desired"].clone()
}

/// Mutation: delete a placement unasked, send a site what is another's, keep what is not wanted any more, call a site converged that has
/// not said so, answer an apply before its edition is there, or give what was applied while a site was away
/// to nobody.
#[test]
fn sites_get_what_the_hub_wants_and_lose_what_it_wants_no_more() {
    let home = Home::new();
    home.write("law/a.yaml", &document("a", "  - x: { set: { y: 1 } }\n"));
    home.write("law/b.yaml", &document("b", "  - x: { set: { y: 2 } }\n"));
    home.write("law/eu.yaml", &placement("eu", "[a, b]", "{where: {region: eu}}"));
    home.write("law/all.yaml", &placement("all", "[a]", "{all: true}"));
    let _governing = hub(&home);
    join(&home, "clinic-1", &["--tag", "region=eu"]);
    join(&home, "clinic-2", &["--tag", "region=us"]);
    let one = serve(&home, "clinic-1");
    let applied = apply(&home, &["-f", "law"]);
    let plan = applied["sites"].to_string();
    let expected = r#"[{"site":"clinic-1","gets":["default/a","default/b"]},{"site":"clinic-2","gets":["default/a"]}]"#;
    assert_eq!(plan, expected);
    until(&home, "clinic-1", "converged");
    let names = |site: &Dev| {
        let list = home.run(&["workflows", "--server", site.data(), "-o", "json"]).ends_with(0);
        let list = list.json();
        let items = list["items"].as_array().expect("a list").iter();
        items.map(|it| it["workflow"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&one), ["a", "b"]);
    // One that was away is not called anything else than on its way, and gets the newest.
    let away = home.run(&["sites", "show", "clinic-2", "-o", "json"]).ends_with(0).json();
    assert_eq!(away["desired"]["state"], "converging", "{away}");
    let two = serve(&home, "clinic-2");
    until(&home, "clinic-2", "converged");
    assert_eq!(names(&two), ["a"]);
    let ended = home.run(&["run", "a", "--all"]).ends_with(0);
    assert!(ended.stdout.contains("clinic-2"), "{}", ended.stdout);
    // Nothing is sent where nothing changes.
    let again = apply(&home, &["-f", "law"]);
    assert_eq!(again["sites"], Value::Array(Vec::new()), "{again}");
    two.kill();
    home.write("law/b.yaml", &document("b", "  - x: { set: { y: 3 } }\n"));
    // Whoever asks right after an apply is not told of what was wanted before.
    let before = until(&home, "clinic-1", "converged")["edition"].as_u64();
    let changed = apply(&home, &["-f", "law"]);
    let asked = home.run(&["sites", "show", "clinic-1", "-o", "json"]).ends_with(0).json();
    assert!(asked["desired"]["edition"].as_u64() > before, "{asked}");
    assert_eq!(changed["sites"].to_string(), r#"[{"site":"clinic-1","changes":["default/b"]}]"#);
    let delete = ["placements", "delete", "all"];
    let asked = home.run(&delete).ends_with(2).stderr;
    assert!(
        asked.contains("the placement default/all is deleted at the hub acme, http"),
        "{asked}"
    );
    assert!(asked.contains(": 1 site loses something by it") && asked.contains("--yes"), "{asked}");
    let listed = home.run(&["placements"]).ends_with(0).stdout;
    assert!(listed.contains("default/all"), "{listed}");
    let done = home.run(&[&delete[..], &["--yes"]].concat()).ends_with(0).stderr;
    assert!(done.contains("deleted the placement default/all at the hub acme"), "{done}");
    let asked = home.run(&["workflows", "delete", "b", "--server", ".isonomy-hub"]).ends_with(2);
    assert!(asked.stderr.contains("1 site loses something"), "{}", asked.stderr);
    let two = serve(&home, "clinic-2");
    let began = Instant::now();
    while !names(&two).is_empty() {
        assert!(began.elapsed() < HANG, "what is not wanted stays");
    }
    until(&home, "clinic-1", "converged");
    let out = home.run(&["run", "b", "--server", one.data()]).ends_with(0).json();
    assert_eq!(out["y"], 3, "{out}");
    home.run(&["sites", "tag", "clinic-2", "region=eu"]).ends_with(0);
    until(&home, "clinic-2", "converged");
    assert_eq!(names(&two), ["a", "b"]);
    let status = home.run(&["site", "status", "--server", two.data()]).ends_with(0);
    assert!(status.stdout.contains("converged, edition "), "{}", status.stdout);
}

/// Mutation: refuse an order for what the hub has just sent as missing, have it wait for what nobody sends, or
/// tell a site that comes of its orders before what should be there.
#[test]
fn an_order_waits_for_the_workflow_that_comes_before_it() {
    let home = Home::new();
    let _governing = hub(&home);
    join(&home, "clinic-1", &["--tag", "role=clinic"]);
    let want = |name: &str| {
        home.write("law/a.yaml", &document(name, "  - x: { set: { y: 1 } }\n"));
        home.write("law/all.yaml", &placement("all", &format!("[{name}]"), "{all: true}"));
        apply(&home, &["-f", "law"]);
    };
    want("away");
    let mut away = home.start(&["run", "away", "--all", "--server", ".isonomy-hub"]);
    away.stderr.until("clinic-1");
    let _site = serve(&home, "clinic-1");
    away.end().ends_with(0);
    for name in ["first", "second", "third"] {
        want(name);
        let run = ["run", name, "--site", "clinic-1", "--server", ".isonomy-hub"];
        home.run(&run).ends_with(0);
    }
    let nowhere = ["run", "fourth", "--site", "clinic-1", "--server", ".isonomy-hub", "-o", "json"];
    let refused = home.run(&nowhere).ends_with(1).json();
    assert_eq!(refused["items"][0]["code"], "workflow-missing", "{refused}");
}

/// So that it comes in many pieces.
fn large(name: &str, y: u8) -> String {
    let filler: String = (0..30)
        .map(|n| format!("  - step{n}: {{ set: {{ filler: '{}' }} }}\n", "x".repeat(15_000)))
        .collect();
    document(name, &format!("{filler}  - x: {{ set: {{ y: {y} }} }}\n"))
}

/// Mutation: start the text that is there while another is wanted, or wait for one that cannot be here.
#[test]
fn an_order_waits_for_the_text_that_comes_before_it() {
    let home = Home::new();
    let _governing = hub(&home);
    join(&home, "clinic-1", &["--tag", "role=clinic"]);
    let site = serve(&home, "clinic-1");
    home.write("law/all.yaml", &placement("all", "[a]", "{all: true}"));
    let run = || {
        home.run(&["run", "a", "--site", "clinic-1", "--server", ".isonomy-hub"]).ends_with(0);
        let runs = home.run(&["runs", "--server", site.data(), "-o", "json"]).ends_with(0).json();
        let run = runs["items"][0]["run"].as_str().expect("an id").to_owned();
        let shown = home.run(&["runs", "show", &run, "--server", site.data(), "-o", "json"]);
        shown.ends_with(0).json()["output"]["y"].clone()
    };
    for y in [1, 2, 3] {
        home.write("law/a.yaml", &large("a", y));
        apply(&home, &["-f", "law"]);
        assert_eq!(run(), y);
    }
    // One that cannot be here: what is there goes on.
    let nobody =
        "  - x: { run: { workflow: { namespace: default, name: nobody, version: '1.0.0' } } }\n";
    home.write("law/a.yaml", &document("a", nobody));
    apply(&home, &["-f", "law"]);
    until(&home, "clinic-1", "failed");
    assert_eq!(run(), 3);
    // What somebody has changed here is put back before it is done.
    home.write("law/a.yaml", &document("a", "  - x: { set: { y: 4 } }\n"));
    apply(&home, &["-f", "law"]);
    until(&home, "clinic-1", "converged");
    home.write("own.yaml", &document("a", "  - x: { set: { y: 5 } }\n"));
    home.run(&["apply", "-f", "own.yaml", "--yes", "--server", site.data()]).ends_with(0);
    assert_eq!(run(), 4);
    site.stop().ends_with(0);
}

/// Mutation: let one that is wrong keep the others away, hide why, or do what the owner refuses.
#[test]
fn what_cannot_be_at_a_site_is_told_with_its_reason() {
    let home = Home::new();
    home.write("law/good.yaml", &document("good", "  - x: { set: { y: 1 } }\n"));
    // Right by itself, and nobody at the site is called so.
    let child =
        "  - x: { run: { workflow: { namespace: default, name: nobody, version: '1.0.0' } } }\n";
    home.write("law/child.yaml", &document("child", child));
    home.write("law/secret.yaml", &document("secret", "  - x: { set: { y: 1 } }\n"));
    home.write("law/all.yaml", &placement("all", "[good, child, secret]", "{all: true}"));
    home.write(
        "clinic-1/site.yaml",
        "spec:\n  hub:\n    refuse:\n      workflows: [default/secret]\n",
    );
    let _governing = hub(&home);
    join(&home, "clinic-1", &["--tag", "region=eu"]);
    let site = serve(&home, "clinic-1");
    apply(&home, &["-f", "law"]);
    home.write("typo.yaml", &placement("typo", "[godo]", "{names: [nowhere]}"));
    home.write("changed/good.yaml", &document("good", "  - x: { set: { y: 2 } }\n"));
    let plan =
        ["apply", "--server", ".isonomy-hub", "--dry-run", "-f", "typo.yaml", "-f", "changed"];
    let warned = home.run(&plan).ends_with(0).stderr;
    for warning in ["`default/godo`", "`nowhere`", "PLC-002", "WFL-101"] {
        assert!(warned.contains(warning), "{warning}: {warned}");
    }
    let desired = until(&home, "clinic-1", "failed");
    let failed = desired["failed"].as_array().expect("a list");
    let code = |name: &str| {
        let found = failed.iter().find(|it| it["workflow"] == name);
        found.map(|it| it["code"].as_str().expect("text").to_owned())
    };
    assert_eq!(code("child").as_deref(), Some("workflow-invalid"), "{desired}");
    assert_eq!(code("secret").as_deref(), Some("refused-by-owner"), "{desired}");
    assert_eq!(code("good"), None, "{desired}");
    home.run(&["run", "good", "--server", site.data()]).ends_with(0);
    let refused = home.run(&["run", "secret", "--site", "clinic-1", "-o", "json"]).ends_with(1);
    assert_eq!(refused.json()["items"][0]["code"], "refused-by-owner");
    // A document that nobody can read is refused before anybody is told.
    home.write("wrong.yaml", &document("wrong", "  - x: { sett: {} }\n"));
    home.write("none.yaml", &placement("none", "[]", "{all: true}"));
    let args =
        ["apply", "--server", ".isonomy-hub", "--yes", "-f", "wrong.yaml", "-f", "none.yaml"];
    let wrong = home.run(&args).ends_with(2);
    assert!(wrong.stderr.contains("wrong.yaml:7"), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("PLC-001"), "{}", wrong.stderr);
    let kept = home.run(&["workflows", "--server", ".isonomy-hub"]).ends_with(0);
    assert!(!kept.stdout.contains("wrong"), "{}", kept.stdout);
}

/// A text of half a megabyte comes in pieces, while the site is killed again and again.
///
/// Mutation: begin from the first piece in each session, or apply what is not whole.
#[test]
fn a_large_text_comes_in_pieces_over_every_kill() {
    let home = Home::new();
    let steps: String = (0..6_000)
        .map(|n| {
            format!("  - step{n}: {{ set: {{ number: {n}, filler: '{}' }} }}\n", "x".repeat(40))
        })
        .collect();
    home.write("large.yaml", &document("large", &steps));
    home.write("all.yaml", &placement("all", "[large]", "{all: true}"));
    assert!(fs::metadata(home.path("large.yaml")).expect("written").len() > 500_000);
    let _governing = hub(&home);
    join(&home, "clinic-1", &["--tag", "region=eu"]);
    let site = serve(&home, "clinic-1");
    apply(&home, &["-f", "large.yaml", "-f", "all.yaml"]);
    site.kill();
    for _ in 0..3 {
        let mut site = serve(&home, "clinic-1");
        site.process.stderr.until("this is the site");
        site.kill();
    }
    let site = serve(&home, "clinic-1");
    until(&home, "clinic-1", "converged");
    let shown = ["workflows", "show", "large", "--server", site.data(), "-o", "json"];
    let shown = home.run(&shown).ends_with(0).json();
    assert_eq!(shown["text"], fs::read_to_string(home.path("large.yaml")).expect("written"));
    site.stop().ends_with(0);
    home.run(&["store", "check", "--data", "clinic-1"]).ends_with(0);
}

/// Mutation: keep running what the owner refuses since, pin a workflow to the child that was there first, try
/// documents one by one where one of them is wrong, or leave a machine that joins anew without its edition.
#[test]
fn what_sites_have_is_the_same_however_they_got_there() {
    let home = Home::new();
    let child = "  - x: { run: { workflow: { namespace: default, name: b, version: latest } } }\n";
    home.write("law/a.yaml", &document("a", child));
    home.write("law/b.yaml", &document("b", "  - x: { set: { y: 1 } }\n"));
    let nobody =
        "  - x: { run: { workflow: { namespace: default, name: nobody, version: '1.0.0' } } }\n";
    home.write("law/c.yaml", &document("c", nobody));
    home.write("law/all.yaml", &placement("all", "[a, b, c]", "{all: true}"));
    let _governing = hub(&home);
    join(&home, "clinic-1", &["--tag", "region=eu"]);
    let site = serve(&home, "clinic-1");
    apply(&home, &["-f", "law"]);
    // `a` refers to `b`, and `c` is wrong: the two come all the same.
    let desired = until(&home, "clinic-1", "failed");
    assert_eq!(desired["failed"].as_array().map(Vec::len), Some(1), "{desired}");
    let run = |site: &Dev| home.run(&["run", "a", "--server", site.data()]).ends_with(0).json();
    assert_eq!(run(&site)["y"], 1);
    home.write("law/b.yaml", &document("b", "  - x: { set: { y: 2 } }\n"));
    home.write("law/c.yaml", &document("c", "  - x: { set: { y: 3 } }\n"));
    apply(&home, &["-f", "law"]);
    until(&home, "clinic-1", "converged");
    assert_eq!(run(&site)["y"], 2, "it goes with the child that is wanted now");
    // What the owner refuses from now on goes.
    site.stop().ends_with(0);
    home.write("clinic-1/site.yaml", "spec:\n  hub:\n    refuse:\n      workflows: [default/c]\n");
    let site = serve(&home, "clinic-1");
    until(&home, "clinic-1", "failed");
    home.run(&["run", "c", "--server", site.data()]).ends_with(2);
    site.stop().ends_with(0);
    // Another machine takes the place of one that was revoked, and begins with nothing.
    home.run(&["sites", "revoke", "clinic-1", "--yes"]).ends_with(0);
    let args = ["hub", "token", "create", "-o", "json", "--site", "clinic-1", "--replace"];
    let made = home.run(&args).ends_with(0).json();
    let token = made["token"].as_str().expect("a token").to_owned();
    home.run_with_stdin(&["site", "join", "-", "--data", "new"], &token).ends_with(0);
    let joined = home.run(&["sites", "show", "clinic-1", "-o", "json"]).ends_with(0).json();
    assert_ne!(joined["desired"]["state"], "converged", "{joined}");
    let new = serve(&home, "new");
    until(&home, "clinic-1", "converged");
    assert_eq!(run(&new)["y"], 2);
}

/// Mutation: let what one hub has said stand in the way of the next.
#[test]
fn a_site_that_joins_another_fleet_does_what_that_one_wants() {
    let home = Home::new();
    home.write("one.yaml", &document("one", "  - x: { set: { y: 1 } }\n"));
    home.write("two.yaml", &document("two", "  - x: { set: { y: 2 } }\n"));
    home.write("all-one.yaml", &placement("all", "[one]", "{all: true}"));
    home.write("all-two.yaml", &placement("all", "[two]", "{all: true}"));
    let first = hub(&home);
    join(&home, "clinic-1", &["--tag", "region=eu"]);
    for tag in ["a=1", "a=2", "a=3"] {
        home.run(&["sites", "tag", "clinic-1", tag]).ends_with(0);
    }
    let site = serve(&home, "clinic-1");
    apply(&home, &["-f", "one.yaml", "-f", "all-one.yaml"]);
    until(&home, "clinic-1", "converged");
    site.stop().ends_with(0);
    first.stop().ends_with(0);
    fs::rename(home.path(".isonomy-hub"), home.path("old-hub")).expect("moved");
    fs::remove_dir_all(home.path("clinic-1/identity")).expect("removed by hand");
    let _second = hub(&home);
    join(&home, "clinic-1", &["--tag", "region=eu"]);
    apply(&home, &["-f", "two.yaml", "-f", "all-two.yaml"]);
    let site = serve(&home, "clinic-1");
    until(&home, "clinic-1", "converged");
    let list = home.run(&["workflows", "--server", site.data()]).ends_with(0);
    assert!(list.stdout.contains("two") && !list.stdout.contains("one"), "{}", list.stdout);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}

/// Mutation: give a number a second time, publish before a person has decided, or tell a site of an edition that
/// is not above its own.
#[test]
fn a_hub_that_was_set_back_goes_on_above_what_its_sites_have() {
    let home = Home::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let listen = free.expect("a port").to_string();
    let serve_hub = || Dev::of(home.start(&["hub", "serve", "--listen", &listen, "--port", "0"]));
    home.run(&["hub", "init", "--domain", "acme"]).ends_with(0);
    let governing = serve_hub();
    join(&home, "clinic-1", &["--tag", "region=eu"]);
    let site = serve(&home, "clinic-1");
    home.write("a.yaml", &document("a", "  - x: { set: { y: 1 } }\n"));
    home.write("all.yaml", &placement("all", "[a]", "{all: true}"));
    apply(&home, &["-f", "a.yaml", "-f", "all.yaml"]);
    until(&home, "clinic-1", "converged");
    governing.stop().ends_with(0);
    copy(&home.path(".isonomy-hub"), &home.path("yesterday"));
    let governing = serve_hub();
    let change = |y: u8| {
        let tasks = format!("  - x: {{ set: {{ y: {y} }} }}\n");
        home.write("a.yaml", &document("a", &tasks));
        apply(&home, &["-f", "a.yaml"]);
    };
    change(2);
    let lost = until(&home, "clinic-1", "converged")["edition"].as_u64().expect("a number");
    governing.stop().ends_with(0);
    fs::remove_dir_all(home.path(".isonomy-hub")).expect("lost");
    fs::rename(home.path("yesterday"), home.path(".isonomy-hub")).expect("brought back");
    let _governing = serve_hub();
    // The number that the site has, for something else.
    change(3);
    let recovering = || home.run(&["hub", "recovery", "-o", "json"]).ends_with(0).json();
    let began = std::time::Instant::now();
    while recovering()["on"] != true {
        assert!(began.elapsed() < HANG, "{}", recovering());
    }
    let run = home.run(&["run", "a", "--server", site.data()]).ends_with(0).json();
    assert_eq!(run["y"], 2, "{run}");
    home.run(&["hub", "recovery", "end", "--yes"]).ends_with(0);
    let desired = until(&home, "clinic-1", "converged");
    assert!(desired["edition"].as_u64() > Some(lost), "{desired}, after {lost}");
    let run = home.run(&["run", "a", "--server", site.data()]).ends_with(0).json();
    assert_eq!(run["y"], 3, "{run}");
}
