//! A site that has no line: files go to and fro between it and its hub. Real processes, real files.

use std::fs::{self, File};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::support::http::ask;
use crate::support::parties::{self, hub_of, serve};
use crate::support::{Dev, Ended, HANG, Home, document};

/// In the input of an order, and nowhere else.
const CANARY: &str = "canary-c0ffee-of-mrs-miller";

/// A hub, and a site whose line is cut after it has joined.
struct Apart {
    home: Home,
    /// Beside `home`, so that no file of one is a file of the other.
    hub: Dev,
    site: Dev,
}

fn hub(home: &Home, data: &str) -> Dev {
    home.run(&["hub", "init", "--domain", "acme", "--data", data]).ends_with(0);
    hub_of(home, data, "127.0.0.1:0")
}

/// The token tells an address at which the hub is while the site joins, and never again.
fn join(home: &Home, hub: &Dev, site: &str, more: &[&str]) {
    parties::join(home, site, &[&["--server", hub.data()], more].concat());
    // As if a cable had been pulled: nobody is at that address.
    let file = home.path(site).join("identity").join("membership.json");
    let text = fs::read_to_string(&file).expect("it has joined");
    let mut doc: Value = serde_json::from_str(&text).expect("JSON");
    doc["hubs"] = serde_json::json!(["127.0.0.1:1"]);
    fs::write(file, doc.to_string()).expect("written");
}

impl Apart {
    fn new() -> Self {
        let home = Home::new();
        let hub = hub(&home, "hub");
        join(&home, &hub, "ship", &[]);
        let site = serve(&home, "ship");
        Self { home, hub, site }
    }

    fn at_hub(&self, args: &[&str]) -> Ended {
        self.home.run(&[args, &["--server", self.hub.data()]].concat())
    }

    fn at_site(&self, args: &[&str]) -> Ended {
        self.home.run(&[args, &["--server", self.site.data()]].concat())
    }

    fn up(&self, file: &str) {
        self.at_site(&["site", "export", file]).ends_with(0);
    }

    fn down(&self, file: &str) {
        self.at_hub(&["hub", "export", "--site", "ship", file]).ends_with(0);
    }

    /// What the hub has taken.
    fn up_taken(&self, file: &str) -> Value {
        self.at_hub(&["hub", "import", file, "-o", "json"]).ends_with(0).json()
    }

    fn down_taken(&self, file: &str) -> Value {
        self.at_site(&["site", "import", file, "-o", "json"]).ends_with(0).json()
    }

    fn shown(&self) -> Value {
        self.at_hub(&["sites", "show", "ship", "-o", "json"]).ends_with(0).json()
    }

    /// The site's own word, when it is so.
    fn until(&self, is_so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let status = self.at_site(&["site", "status", "-o", "json"]).ends_with(0).json();
            if is_so(&status["hub"]) {
                return status["hub"].clone();
            }
            assert!(began.elapsed() < HANG, "{status}");
        }
    }

    /// Runs end at the site, by themselves.
    fn outcomes(&self, count: u64) {
        let file = self.home.write("own.yaml", &document("own", "  - x: { set: { y: 1 } }\n"));
        let file = file.to_str().expect("text");
        let before = self.until(|_| true)["waiting"]["outcome"].as_u64().expect("a number");
        for _ in 0..count {
            self.at_site(&["run", file]).ends_with(0);
        }
        self.until(|hub| hub["waiting"]["outcome"] == before + count);
    }
}

fn placement() -> String {
    "apiVersion: isonomy.dev/v1\nkind: Placement\nmetadata: {namespace: default, name: ships}\nspec:\n  workflows: [screening]\n  sites: {all: true}\n".to_owned()
}

/// Mutation: look at the number of a file's edition only, and not at what it says.
#[test]
fn a_hub_that_was_brought_back_learns_by_file_what_it_has_lost() {
    let Apart { home, hub, site } = Apart::new();
    join(&home, &hub, "barge", &[]);
    home.run(&["hub", "backup", "hub.backup", "--data", "hub"]).ends_with(0);
    // All of this is lost.
    let apart = Apart { home, hub, site };
    apart.at_hub(&["sites", "revoke", "barge", "--yes"]).ends_with(0);
    apart.home.write("law/a.yaml", &document("screening", "  - x: { set: { y: 1 } }\n"));
    apart.home.write("law/all.yaml", &placement());
    apart.at_hub(&["apply", "--yes", "-f", "law"]).ends_with(0);
    apart.down("1.down");
    let edition = apart.down_taken("1.down")["edition"].clone();
    assert!(edition.is_u64(), "{edition}");
    let Apart { home, hub, site } = apart;
    hub.kill();
    home.run(&["hub", "restore", "hub.backup", "--data", "new"]).ends_with(0);
    let apart = Apart { hub: hub_of(&home, "new", "127.0.0.1:0"), site, home };
    let of_barge = ["sites", "show", "barge", "-o", "json"];
    assert_ne!(apart.at_hub(&of_barge).ends_with(0).json()["state"], "revoked");
    apart.up("1.up");
    apart.up_taken("1.up");
    let recovery = apart.at_hub(&["hub", "recovery", "-o", "json"]).ends_with(0).json();
    assert_eq!((&recovery["on"], &recovery["lostEdition"]), (&true.into(), &edition), "{recovery}");
    assert_eq!(apart.at_hub(&of_barge).ends_with(0).json()["state"], "revoked");
}

/// Mutation: leave the texts, the orders or the heads out of a file, move no mark, or show a site that was
/// heard by file as heard on the line.
#[test]
fn a_site_without_a_line_gets_a_workflow_runs_it_and_is_heard_by_files() {
    let apart = Apart::new();
    let home = &apart.home;
    home.write("law/a.yaml", &document("screening", "  - x: { set: { y: '${ .who }' } }\n"));
    home.write("law/all.yaml", &placement());
    apart.at_hub(&["apply", "--yes", "-f", "law"]).ends_with(0);
    let input = format!("who={CANARY}");
    let args = ["run", "screening", "--site", "ship", "--ttl", "7d", "--detach", "-o", "json"];
    let ordered = apart.at_hub(&[&args[..], &["-i", &input]].concat()).ends_with(0).json();
    let run = ordered["items"][0]["run"].as_str().expect("an id").to_owned();
    apart.down("1.down");
    let taken = apart.down_taken("1.down");
    assert_eq!((&taken["orders"], &taken["isOld"]), (&1.into(), &false.into()), "{taken}");
    assert!(taken["edition"].as_u64() > Some(0), "{taken}");
    // The same reconcilers as with a line.
    apart.until(|hub| hub["desired"]["state"] == "converged");
    apart.until(|hub| hub["waiting"]["outcome"] == 1 && hub["waiting"]["receipt"] == 1);
    let ended = apart.at_site(&["runs", "show", &run, "-o", "json"]).ends_with(0);
    assert!(ended.stdout.contains(CANARY), "{ended:?}");
    apart.up("1.up");
    let told = apart.up_taken("1.up");
    assert_eq!(told["taken"], serde_json::json!({"outcome": 1, "receipt": 1}), "{told}");
    // The file is among what has left.
    let left = apart.at_site(&["site", "left-today", "-o", "json"]).ends_with(0).json();
    let bytes = fs::metadata(home.path("1.up")).expect("written").len();
    let is_file = |it: &&Value| it["rule"] == "link/file" && it["bytes"] == bytes;
    assert!(left["items"].as_array().is_some_and(|it| it.iter().any(|it| is_file(&it))), "{left}");
    let order = ordered["items"][0]["order"].as_str().expect("an id");
    let asked = ask(&apart.hub.door(), "GET", &format!("/api/v1/orders/{order}"), &Value::Null);
    let order = asked.expect("an answer").body;
    assert_eq!(
        (&order["state"], &order["outcome"]["state"]),
        (&"taken".into(), &"completed".into()),
        "{order}"
    );
    let shown = apart.shown();
    assert_eq!(shown["taken"]["outcome"], 1, "{shown}");
    assert_eq!(shown["desired"]["state"], "converged", "{shown}");
    // Nobody was heard: a file was.
    assert_eq!((&shown["state"], &shown["heardAt"]), (&"silent".into(), &Value::Null), "{shown}");
    assert!(shown["carried"]["at"].is_string(), "{shown}");
    let text = apart.at_hub(&["sites", "show", "ship"]).ends_with(0).stdout;
    assert!(text.contains("\nby file "), "{text}");
    // The answer lets the site forget what it was keeping for the hub.
    apart.down("2.down");
    let answered = apart.down_taken("2.down");
    assert_eq!(answered["confirmed"], serde_json::json!({"outcome": 1, "receipt": 1}));
    assert_eq!((&answered["orders"], &answered["edition"]), (&0.into(), &Value::Null));
    apart.until(|hub| hub["waiting"]["outcome"] == 0 && hub["waiting"]["receipt"] == 0);
    // Neither in clear nor as text of it, wherever a group of base64 begins.
    let base64 = (0..3).map(|from| STANDARD.encode(&CANARY[from..from + 21]));
    let hex = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let readable = [CANARY.to_owned(), hex, "screening".to_owned(), run];
    for name in ["1.down", "1.up", "2.down"] {
        let file = fs::read(home.path(name)).expect("written");
        for readable in readable.iter().cloned().chain(base64.clone()) {
            let is_in = file.windows(readable.len()).any(|it| it == readable.as_bytes());
            assert!(!is_in, "{readable} in {name}");
        }
    }
}

/// Mutation: take entries twice, take what is only true of a moment from an older file, or send again what
/// was confirmed.
#[test]
fn files_that_are_lost_swapped_or_repeated_do_no_harm() {
    let apart = Apart::new();
    apart.outcomes(2);
    apart.up("1.up");
    apart.outcomes(1);
    apart.up("2.up");
    apart.outcomes(1);
    apart.up("3.up");
    // The second is lost. The third comes before the first, and twice.
    assert_eq!(apart.up_taken("3.up")["taken"]["outcome"], 4);
    let newest = apart.shown()["carried"].clone();
    for file in ["1.up", "3.up", "2.up"] {
        assert_eq!(apart.up_taken(file)["taken"]["outcome"], 0, "{file}");
    }
    let shown = apart.shown();
    assert_eq!((&shown["taken"]["outcome"], &shown["carried"]), (&4.into(), &newest), "{shown}");
    assert_eq!(shown["trouble"], Value::Null);
    apart.down("1.down");
    apart.outcomes(1);
    apart.down("2.down");
    assert_eq!(apart.down_taken("2.down")["confirmed"]["outcome"], 4);
    for file in ["1.down", "2.down"] {
        let again = apart.down_taken(file);
        assert_eq!((&again["isOld"], &again["confirmed"]), (&true.into(), &serde_json::json!({})));
    }
    apart.up("4.up");
    assert_eq!(apart.up_taken("4.up")["taken"]["outcome"], 1);
    // After a kill at either end it goes on.
    let Apart { home, hub, site } = apart;
    hub.kill();
    site.kill();
    let apart =
        Apart { hub: hub_of(&home, "hub", "127.0.0.1:0"), site: serve(&home, "ship"), home };
    apart.outcomes(1);
    apart.up("5.up");
    assert_eq!(apart.up_taken("5.up")["taken"]["outcome"], 1);
    assert_eq!(apart.shown()["taken"]["outcome"], 6);
}

/// Mutation: take a file for another site, of another fleet, the wrong way, of a machine that was replaced,
/// or one that was changed; read all of whatever is named.
#[test]
fn a_file_that_is_not_for_this_end_is_refused_with_the_way_out() {
    let apart = Apart::new();
    let home = &apart.home;
    apart.outcomes(1);
    apart.up("ship.up");
    apart.down("ship.down");
    let refused = |ended: Ended, why: &str| {
        let ended = ended.ends_with(2);
        assert!(ended.stderr.contains(why), "{why}: {}", ended.stderr);
    };
    let into_hub = |file: &str, why: &str| refused(apart.at_hub(&["hub", "import", file]), why);
    let into_site = |file: &str, why: &str| refused(apart.at_site(&["site", "import", file]), why);
    // Another site of the same fleet, and another fleet.
    join(home, &apart.hub, "barge", &[]);
    apart.at_hub(&["hub", "export", "--site", "barge", "barge.down"]).ends_with(0);
    into_site("barge.down", "it is for the site barge, and this is ship");
    let other = hub(home, "other");
    refused(home.run(&["hub", "import", "ship.up", "--server", other.data()]), "of another fleet");
    into_hub("ship.down", "`isonomy site import` takes it there");
    into_site("ship.up", "`isonomy hub import` takes it there");
    // Cut off, changed, and something else altogether.
    let whole = fs::read(home.path("ship.up")).expect("written");
    fs::write(home.path("cut.up"), &whole[..whole.len() - 1]).expect("written");
    into_hub("cut.up", "cut off: copy it again");
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    fs::write(home.path("changed.up"), changed).expect("written");
    into_hub("changed.up", "was changed on its way");
    let zeros = File::create(home.path("zeros")).expect("made");
    zeros.set_len(10 << 30).expect("a file of holes");
    into_hub("zeros", "not a file of an exchange");
    let label = whole.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    fs::write(home.path("long"), &whole[..label]).expect("written");
    let long = File::options().write(true).open(home.path("long")).expect("there");
    long.set_len(10 << 30).expect("a file of holes");
    into_hub("long", "no such file has");
    into_hub("nothing", "cannot read");
    refused(apart.at_site(&["site", "export", "ship.up"]), "is there already");
    refused(
        apart.at_hub(&["hub", "export", "--site", "raft", "raft.down"]),
        "there is no site raft",
    );
    assert_eq!(apart.shown()["taken"], Value::Null);
    // A site that is not at work is asked to be started.
    let away = home.run(&["site", "export", "barge.up", "--server", "barge"]).code;
    assert_ne!(away, 0);
    // Another machine takes the site's place: what the old one has written is not believed any more.
    fs::rename(home.path("ship"), home.path("old-ship")).expect("moved");
    join(home, &apart.hub, "ship", &["--replace"]);
    into_hub("ship.up", "not the site ship any more");
    let new = home.start(&["site", "serve", "--port", "0", "--data", "ship"]);
    let new = Dev::of(new);
    refused(home.run(&["site", "import", "ship.down", "--server", new.data()]), "export again");
    apart.at_hub(&["sites", "revoke", "ship", "--yes"]).ends_with(0);
    into_hub("ship.up", "was revoked");
    refused(apart.at_hub(&["hub", "export", "--site", "ship", "late.down"]), "was revoked");
}
