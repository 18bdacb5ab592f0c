//! What leaves a site without permission: nothing that is planted there is on the line before it is packed and
//! encrypted, or with the hub.

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;

use crate::search::Search;
use crate::secrets::set;
use crate::support::parties;
use crate::support::world::{Answer, World};
use crate::support::{Dev, Ended, HANG, Home, document};
use crate::tap::Tap;

/// Planted at a site, each where its name says.
const PLANTED: &[&str] = &[
    "canary-of-a-row-7301",
    "canary-of-a-file-7302",
    "canary-of-a-key-7303",
    "canary-of-a-detail-7304",
    "canary-of-a-type-7305",
    "canary-of-a-title-7306",
    "canary-of-a-path-7307",
    "canary-of-an-input-7308",
    "canary-of-an-output-7309",
    "canary-of-a-task-7310",
    "canary-of-a-flow-7311",
    "canary-of-a-reason-7312",
    "canary-of-a-tag-7313",
    "canary-of-a-log-7314",
    "canary-of-an-event-7315",
    "canary-of-an-owner-7316",
    "canary-of-an-answer-7317",
    "canary-of-a-call-7318",
    "canary-of-an-argument-7320",
];

/// Of a secret: nowhere but with its provider.
const SECRET: &str = "canary-of-a-secret-7319";

/// What the hub says itself, and may have.
const ORDERED: &str = "permitted-in-an-order-8801";

/// What one site gives to another, with its workflow's permission: the hub carries what it cannot read.
const ASKED: &str = "permitted-to-a-site-8802";
const GIVEN: &str = "permitted-by-a-flow-8803";

const SITE: &str = "
spec:
  egress: [{destination: 'WORLD', allow: true}]
  files: [{path: 'HOME/data'}]
  datasets:
    - name: patients
      path: HOME/data/canary-of-a-file-7302.csv
      labels: [health]
      namespaces: [default]
      owner: canary-of-an-owner-7316
";

const READS: &str = "
  - canary-of-a-task-7310:
      call: 'csv:1.0.0@default'
      with: { path: HOME/data/canary-of-a-file-7302.csv }
      export: { as: '${ {rows: .} }' }
  - named:
      call: 'dataset:1.0.0@default'
      with: { name: patients }
  - said: { run: { shell: { command: 'echo canary-of-a-log-7314' } } }
  - told: { emit: { event: { with: { source: 'https://a.example', type: com.example.told, data: { x: canary-of-an-event-7315 } } } } }
  - made: { set: { canary-of-a-key-7303: canary-of-an-output-7309, rows: '${ $context.rows }' } }
";

const RAISES: &str = "
  - canary-of-a-task-7310:
      raise: { error: { type: 'https://a.example/canary-of-a-type-7305', status: 418, title: canary-of-a-title-7306, detail: canary-of-a-detail-7304 } }
";

const CALLS: &str = "
  - canary-of-a-task-7310:
      call: http
      with: { method: get, endpoint: 'WORLD/canary-of-a-path-7307', headers: { x-key: '${ $secrets.key }' } }
";

/// A hub, and two sites of it, each with somebody who listens.
struct Fleet {
    home: Home,
    world: World,
    hub: Dev,
    taps: Vec<Tap>,
    sites: Vec<Dev>,
}

impl Fleet {
    fn new() -> Self {
        let home = Home::new();
        let world = World::new(|_| Answer::Json(r#"{"x":"canary-of-an-answer-7317"}"#.to_owned()));
        home.write("data/canary-of-a-file-7302.csv", "name,age\ncanary-of-a-row-7301,36\n");
        home.run(&["hub", "init", "--domain", "acme"]).ends_with(0);
        let mut command = home.command(parties::HUB);
        command.args(["--log", "trace"]);
        let hub = Dev::of(crate::support::Process::spawn(command));
        let mut all = Self { home, world, hub, taps: Vec::new(), sites: Vec::new() };
        all.join("clinic-1", &[]);
        all.join("desk", &["--tag", "dispatch=coordinator"]);
        all
    }

    fn join(&mut self, site: &str, tags: &[&str]) {
        let made = parties::token(&self.home, &[&["--site", site], tags].concat());
        let door = identity::JoinToken::parse(&made).expect("a token").hubs[0].parse();
        let (hub, folder) = (self.home.path(".isonomy-hub"), self.home.path(site));
        let tap = Tap::new(&hub, &folder, door.expect("an address"));
        let heard = [&["--site", site, "--hub", &tap.address], tags].concat();
        let token = parties::token(&self.home, &heard);
        self.home.run_with_stdin(&["site", "join", "-", "--data", site], &token).ends_with(0);
        self.home.write(&format!("{site}/site.yaml"), &self.filled(SITE));
        let serve = ["site", "serve", "--port", "0", "--data", site];
        self.sites.push(Dev::of(self.home.start(&serve)));
        self.taps.push(tap);
        parties::until(&self.home, site, |shown| shown["state"] == "online");
    }

    fn filled(&self, text: &str) -> String {
        let home = self.home.path("");
        let home = home.to_str().expect("text").trim_end_matches('/');
        text.replace("HOME", home).replace("WORLD", &self.world.url)
    }

    /// Runs a workflow at the clinic.
    fn run(&self, name: &str, tasks: &str, args: &[&str]) -> Ended {
        let text = document(name, &self.filled(tasks)).replace("do:\n\n", "do:\n");
        let text = text.replace("do:\n", "use: { secrets: [key] }\ndo:\n");
        let file = self.home.write(&format!("{name}.yaml"), &text);
        let file = file.to_str().expect("text");
        self.home.run(&[&["run", file, "--server", "clinic-1"], args].concat())
    }
}

/// Policies and labels that would permit more do not exist yet: without a word of the hub's or of a workflow's
/// author, what leaves is the closed list in `docs/spec/link.md`.
///
/// Mutation: put the name of its workflow into a run's outcome.
#[test]
fn nothing_that_is_planted_at_a_site_leaves_it_without_permission() {
    let mut fleet = Fleet::new();
    let home = &fleet.home;
    set(home, &["key", "--server", "clinic-1"], SECRET).ends_with(0);
    let input = ["-i", "patient=canary-of-an-input-7308", "--tag", "who=canary-of-a-tag-7313"];
    fleet.run("canary-of-a-flow-7311", READS, &input).ends_with(0);
    let failed = fleet.run("raises", RAISES, &[]).ends_with(1);
    assert!(failed.stderr.contains("canary-of-a-detail-7304"), "{failed:?}");
    fleet.run("calls", CALLS, &["-i", "x=canary-of-a-call-7318"]).ends_with(0);
    let waits = fleet.run("waits", "  - x: { wait: PT1H }\n", &["--detach"]).ends_with(0);
    let reason = ["--reason", "canary-of-a-reason-7312", "--server", "clinic-1"];
    home.run(&[&["runs", "cancel", &waits.run_id()], &reason[..]].concat()).ends_with(0);
    parties::until(home, "clinic-1", |shown| shown["taken"]["outcome"] == 4);

    // What is permitted: an order of the hub's own, and what two sites say to each other by it.
    let gives =
        "  - x: { set: { found: '${ \"permitted-by-\" + \"a-flow-8803\" }', got: '${ . }' } }\n";
    let version = "  version: 1.0.0\n";
    let gives = document("gives", gives)
        .replace(version, &format!("{version}  metadata: {{ dispatch: {{ output: true }} }}\n"));
    home.write("gives.yaml", &gives);
    home.run(&["apply", "-f", "gives.yaml", "--yes", "--server", "clinic-1"]).ends_with(0);
    let ordered = format!("note={ORDERED}");
    home.run(&["run", "gives", "--site", "clinic-1", "-i", &ordered]).ends_with(0);
    let with =
        json!({ "workflow": "gives", "sites": { "names": ["clinic-1"] }, "input": { "x": ASKED } });
    let asks = json!({ "call": "dispatch:1.0.0@default", "with": with });
    home.write("asks.yaml", &document("asks", &format!("  - all: {asks}\n")));
    // What a run has read is no word for the hub: not even where nobody may ask.
    for (sites, timeout) in [
        (json!({ "where": { "patient": "${ .who }" } }), "PT1M"),
        (json!({ "names": ["${ .who }"] }), "PT1M"),
        (json!({ "dataset": "${ .who }" }), "PT1M"),
        (json!({ "all": true }), "${ .who }"),
    ] {
        let with = json!({ "workflow": "gives", "sites": sites, "timeout": timeout });
        let asks = json!({ "call": "dispatch:1.0.0@default", "with": with });
        let asks = format!("  - all: {asks}\n");
        let who = ["-i", "who=canary-of-an-argument-7320"];
        let refused = fleet.run("clear", &asks, &who).ends_with(2);
        assert!(refused.stderr.contains("WF-033"), "{refused:?}");
    }
    let sealed = json!({ "workflow": "gives", "sites": { "all": true }, "input": { "x": "${ $secrets.key }" } });
    let sealed = json!({ "call": "dispatch:1.0.0@default", "with": sealed });
    let refused = fleet.run("sealed", &format!("  - all: {sealed}\n"), &[]).ends_with(2);
    assert!(refused.stderr.contains("WF-055"), "{refused:?}");
    // The argument is at the site all the same.
    fleet
        .run("kept", "  - x: { set: { y: 1 } }\n", &["-i", "who=canary-of-an-argument-7320"])
        .ends_with(0);
    let result = home.run(&["run", "asks.yaml", "--server", "desk"]).ends_with(0).json();
    assert_eq!(result["sites"][0]["output"]["found"], GIVEN, "{result}");
    parties::until(home, "clinic-1", |shown| shown["taken"]["outcome"] == 7);
    parties::until(home, "desk", |shown| shown["taken"]["outcome"] == 1);

    // All that anybody sees who may look at the hub, and at the figures of the site.
    let mut said = String::new();
    for args in [
        vec!["sites", "show", "clinic-1", "-o", "json"],
        vec!["sites", "list", "-o", "json"],
        vec!["datasets", "--server", ".isonomy-hub", "-o", "json"],
        vec!["runs", "explain", &waits.run_id(), "--server", ".isonomy-hub", "-o", "json"],
    ] {
        let Ended { stdout, stderr, .. } = home.run(&args);
        said.extend([stdout, stderr]);
    }
    home.run(&["hub", "backup", "hub.backup"]).ends_with(0);
    let metrics = metrics(&fleet.sites[0]);
    assert!(metrics.contains("isonomy_"), "{metrics}");
    for site in fleet.sites.drain(..) {
        site.stop().ends_with(0);
    }
    let Fleet { home, hub, taps, .. } = fleet;
    let stopped = hub.stop().ends_with(0);
    assert!(stopped.stderr.contains("DEBUG"), "no log was searched: {}", stopped.stderr);
    said.push_str(&stopped.stderr);

    let all: Vec<&str> = PLANTED.iter().copied().chain([SECRET, ORDERED, ASKED, GIVEN]).collect();
    let search = Search::new(&all);
    let none = BTreeSet::new();
    let ordered = BTreeSet::from([ORDERED]);
    let overheard: Vec<_> = taps.iter().map(Tap::overheard).collect();
    for heard in &overheard {
        for part in &heard.up {
            let text = String::from_utf8_lossy(part);
            assert_eq!(search.within(part), none, "it goes up: {text}");
        }
    }
    let down = |n: usize| -> BTreeSet<&str> {
        overheard[n].down.iter().flat_map(|part| search.within(part)).collect()
    };
    assert_eq!((down(0), down(1)), (ordered.clone(), none.clone()));
    assert_eq!(search.below(&home.path(".isonomy-hub")), ordered);
    let backup = fs::read(home.path("hub.backup")).expect("a backup");
    assert_eq!(search.within(&backup), ordered);
    assert_eq!(search.within(metrics.as_bytes()), none);
    assert_eq!(search.within(said.as_bytes()), none, "{said}");

    // The same search finds everything where it may be, and the line was heard.
    let everything: BTreeSet<&str> = all.iter().copied().collect();
    let mut at_the_clinic = search.below(&home.path("clinic-1"));
    at_the_clinic.extend(search.below(&home.path("data")));
    assert_eq!(at_the_clinic, everything);
    let at_the_desk = search.below(&home.path("desk"));
    assert!(at_the_desk.is_superset(&BTreeSet::from([ASKED, GIVEN])), "{at_the_desk:?}");
    for kind in ["hello", "ready", "entries", "health", "have"] {
        assert!(overheard[0].kinds().iter().any(|it| it == kind), "no `{kind}` was heard");
    }
    for path in ["/identity/v1/join", "/link/v1"] {
        let is_head = |part: &Vec<u8>| String::from_utf8_lossy(part).contains(path);
        assert!(overheard[0].up.iter().any(is_head), "no `{path}` was heard");
    }
}

fn metrics(site: &Dev) -> String {
    use std::io::{Read as _, Write as _};
    let door = site.door();
    let host = door.url.strip_prefix("http://").expect("an address");
    let mut stream = std::net::TcpStream::connect(host).expect("it is there");
    let key = door.key.expect("a key");
    let request = format!(
        "GET /metrics HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("asked");
    let mut text = String::new();
    stream.set_read_timeout(Some(HANG)).expect("a socket");
    stream.read_to_string(&mut text).expect("answered");
    text
}
