//! Sites that have each other work, through a hub that reads nothing: real processes, real TLS.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::parties::{self, hub_of, serve};
use crate::support::world::{Answer, World};
use crate::support::{Dev, Ended, HANG, Home, document};

/// A hub, and sites that have joined it: `desk` may ask the others.
struct Fleet {
    home: Home,
    hub: Option<Dev>,
    /// Where the hub is found again.
    listen: String,
    sites: Vec<(&'static str, Dev)>,
}

const PLACED: &str = "apiVersion: isonomy.dev/v1\nkind: Placement\nmetadata: {namespace: default, name: all}\nspec:\n  workflows: [screen]\n  sites: {where: {role: clinic}}\n";

impl Fleet {
    /// `screen` is what the clinics have; where it calls out, they may.
    fn new(screen: &str, world: Option<&World>) -> Self {
        let home = Home::new();
        home.write("law/screen.yaml", screen);
        home.write("law/all.yaml", PLACED);
        home.run(&["hub", "init", "--domain", "acme", "--data", "hub"]).ends_with(0);
        let hub = hub_of(&home, "hub", "127.0.0.1:0");
        join(&home, "desk", &["--tag", "dispatch=coordinator"]);
        let mut sites = vec![("desk", serve(&home, "desk"))];
        for clinic in ["clinic-1", "clinic-2"] {
            join(&home, clinic, &["--tag", "role=clinic"]);
            if let Some(world) = world {
                home.allow(&world.url);
                let config = home.path(&format!("{clinic}/site.yaml"));
                fs::copy(home.path(".isonomy/site.yaml"), config).expect("copied");
            }
            sites.push((clinic, serve(&home, clinic)));
        }
        let status = home.run(&["site", "status", "--server", "desk", "-o", "json"]).ends_with(0);
        let listen = status.json()["hub"]["addresses"][0].as_str().expect("an address").to_owned();
        let fleet = Self { home, hub: Some(hub), listen, sites };
        fleet.apply();
        fleet
    }

    /// Asks the hub.
    fn ask(&self, args: &[&str]) -> Ended {
        self.home.run(&[args, &["--server", "hub"]].concat())
    }

    /// What is printed, when it is so.
    fn until(&self, args: &[&str], data: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let (began, args) = (Instant::now(), [args, &["--server", data, "-o", "json"]].concat());
        loop {
            let shown = self.home.run(&args).ends_with(0).json();
            if is_so(&shown) {
                return shown;
            }
            assert!(began.elapsed() < HANG, "{args:?}: {shown}");
        }
    }

    /// A workflow at `desk` that has others work.
    fn dispatching(&self, name: &str, with: &Value) -> String {
        let call = json!({ "call": "dispatch:1.0.0@default", "with": with });
        let file = self
            .home
            .write(&format!("{name}.yaml"), &document(name, &format!("  - all: {call}\n")));
        file.to_str().expect("text").to_owned()
    }

    /// What comes of it.
    fn dispatch(&self, with: &Value) -> Value {
        let file = self.dispatching("ask", with);
        self.home.run(&["run", &file, "--server", "desk", "-o", "json"]).ends_with(0).json()
    }

    /// A run that asks, and goes on by itself.
    fn begin(&self, with: &Value) -> String {
        let file = self.dispatching("ask", with);
        self.home.run(&["run", &file, "--server", "desk", "--detach"]).ends_with(0).run_id()
    }

    /// What came of that.
    fn end(&self, run: &str) -> Value {
        let shown = self.until(&["runs", "show", run], "desk", |it| {
            ["completed", "faulted"].contains(&it["state"].as_str().expect("a state"))
        });
        assert_eq!(shown["state"], "completed", "{shown}");
        shown["output"].clone()
    }

    /// The sites of a run's one dispatch, when it is so.
    fn asked(&self, run: &str, is_so: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let sites =
            |shown: &Value| shown["dispatches"][0]["sites"].as_array().cloned().unwrap_or_default();
        sites(&self.until(&["runs", "show", run], "desk", |it| is_so(&sites(it))))
    }

    fn runs(&self, site: &str) -> Vec<Value> {
        let shown = self.home.run(&["runs", "--server", site, "-o", "json"]).ends_with(0).json();
        shown["items"].as_array().expect("a list").clone()
    }

    /// A site is killed, and comes again.
    fn restart(&mut self, site: &'static str) {
        let at = self.sites.iter().position(|(name, _)| *name == site).expect("it is there");
        self.sites.remove(at).1.kill();
        self.sites.push((site, serve(&self.home, site)));
    }

    /// What is in `law`, at the clinics.
    fn apply(&self) {
        self.ask(&["apply", "--yes", "-f", "law"]).ends_with(0);
        for clinic in ["clinic-1", "clinic-2"] {
            self.until(&["sites", "show", clinic], "hub", |it| {
                it["desired"]["state"] == "converged"
            });
        }
    }

    fn kill_hub(&mut self) {
        self.hub.take().expect("it is there").kill();
    }

    fn start_hub(&mut self) {
        self.hub = Some(hub_of(&self.home, "hub", &self.listen));
    }

    fn stop(mut self) {
        for (_, site) in self.sites.drain(..) {
            site.stop().ends_with(0);
        }
        if let Some(hub) = self.hub.take() {
            hub.stop().ends_with(0);
        }
    }
}

fn join(home: &Home, site: &str, tags: &[&str]) {
    parties::join(home, site, &[&["--server", "hub"], tags].concat());
}

fn by_site(result: &Value) -> Vec<(&str, &str)> {
    let sites = result["sites"].as_array().expect("a list").iter();
    sites
        .map(|it| (it["site"].as_str().expect("a name"), it["status"].as_str().expect("a word")))
        .collect()
}

/// A workflow that gives its output out.
fn giving(tasks: &str) -> String {
    let version = "  version: 1.0.0\n";
    let gives = format!("{version}  metadata: {{ dispatch: {{ output: true }} }}\n");
    document("screen", tasks).replace(version, &gives)
}

/// A task that waits for the world outside.
fn calling(world: &World) -> String {
    let url = &world.url;
    format!("  - x: {{ call: http, with: {{ method: get, endpoint: '{url}/x' }} }}\n")
}

fn clinics() -> Value {
    json!({ "where": { "role": "clinic" } })
}

/// Answers when it is let.
struct Gate {
    world: World,
    came: Receiver<()>,
    open: Sender<()>,
}

impl Gate {
    /// The first `free` requests are answered at once.
    fn new(free: usize) -> Self {
        let ((open, opened), (coming, came)) = (channel(), channel());
        let (coming, opened) = (Mutex::new((coming, 0)), Mutex::new(opened));
        let world = World::new(move |_| {
            let number = {
                let mut coming = coming.lock().expect("no thread panicked");
                coming.1 += 1;
                coming.0.send(()).ok();
                coming.1
            };
            if number > free {
                // Gone with the test.
                opened.lock().expect("no thread panicked").recv_timeout(HANG).ok();
            }
            Answer::Json("{}".to_owned())
        });
        Self { world, came, open }
    }

    /// Somebody asks.
    fn request(&self) {
        self.came.recv_timeout(HANG).expect("a request in time");
    }

    fn let_one(&self) {
        self.open.send(()).expect("it listens");
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|it| it.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// How one may write it down: as it is, in hexadecimal, in base64 at each of three places.
fn spellings(text: &str) -> Vec<Vec<u8>> {
    let bytes = text.as_bytes();
    let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut all = vec![bytes.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    for skipped in 0..3 {
        // What stands before moves the letters; those that mix with it are left out.
        let padded = [&vec![0; skipped], bytes].concat();
        let whole = &padded[..padded.len() / 3 * 3];
        let letters = STANDARD.encode(whole);
        all.push(letters.as_bytes()[if skipped == 0 { 0 } else { 4 }..].to_vec());
    }
    all
}

/// Files below a folder that have it in one of its spellings.
fn holding(folder: &Path, text: &str) -> Vec<PathBuf> {
    let spellings = spellings(text);
    let has = |path: &PathBuf| {
        let bytes = fs::read(path).expect("a file");
        spellings.iter().any(|it| bytes.windows(it.len()).any(|window| window == it))
    };
    files(folder).into_iter().filter(has).collect()
}

const CANARY: &str = "canary-4711-patient-Ada";
const RESULT: &str = "canary-0815-finding-Eve";

/// The workflow, which is the hub's, has it in two halves.
const HALVES: (&str, &str) = RESULT.split_at(12);

/// Mutation: ask sites that are not meant, leave the input or the output unsealed, or count what leaves for
/// other sites as receipts.
#[test]
fn sites_work_for_another_and_the_hub_reads_nothing() {
    let (before, behind) = HALVES;
    let screen = giving(&format!(
        "  - x: {{ set: {{ got: '${{ .patient }}', found: '${{ \"{before}\" + \"{behind}\" }}', by: '${{ $runtime.metadata.site }}' }} }}\n"
    ));
    let fleet = Fleet::new(&screen, None);
    let input = json!({ "patient": CANARY });
    let with = json!({ "workflow": "screen", "sites": clinics(), "input": input });
    let result = fleet.dispatch(&with);
    assert_eq!(by_site(&result), [("clinic-1", "completed"), ("clinic-2", "completed")]);
    assert_eq!(
        (&result["complete"], &result["counted"]),
        (&json!(true), &json!({ "completed": 2 }))
    );
    let first = json!({ "got": CANARY, "found": RESULT, "by": "clinic-1" });
    assert_eq!(result["sites"][0]["output"], first, "{result}");
    assert!(result["sites"][1]["endedAt"].is_string(), "{result}");
    for clinic in ["clinic-1", "clinic-2"] {
        let runs = fleet.runs(clinic);
        assert_eq!(runs.len(), 1, "{runs:?}");
        assert_eq!(runs[0]["startedBy"], "site:desk", "{runs:?}");
    }
    // The same dispatch by a person's eyes.
    let run = fleet.runs("desk")[0]["run"].as_str().expect("an id").to_owned();
    let shown = fleet.home.run(&["runs", "show", &run, "--server", "desk"]).ends_with(0);
    assert!(shown.stdout.contains("clinic-2  completed"), "{}", shown.stdout);
    let left = ["site", "left-today", "--server"];
    for site in ["desk", "clinic-1"] {
        let left = fleet.home.run(&[&left[..], &[site]].concat()).ends_with(0);
        assert!(left.stdout.contains("link/dispatch"), "{}", left.stdout);
    }
    let Fleet { home, hub, sites, .. } = fleet;
    for (_, site) in sites {
        site.stop().ends_with(0);
    }
    hub.expect("it is there").stop().ends_with(0);
    let folder = |name| home.path(name);
    for canary in [CANARY, RESULT] {
        // The search finds it where it may be.
        assert!(!holding(&folder("desk"), canary).is_empty());
        assert!(!holding(&folder("clinic-1"), canary).is_empty());
        assert_eq!(holding(&folder("hub"), canary), Vec::<PathBuf>::new(), "{canary}");
    }
}

/// Mutation: give out what a workflow does not give; let a site ask without the tag, or a run with labels; start
/// what the owner refuses.
#[test]
fn nothing_is_asked_or_given_without_permission() {
    let fleet = Fleet::new(&document("screen", "  - x: { set: { got: '${ . }' } }\n"), None);
    let names = json!({ "names": ["clinic-1", "nobody"] });
    let result = fleet.dispatch(&json!({ "workflow": "screen", "sites": names }));
    assert_eq!(by_site(&result), [("clinic-1", "completed"), ("nobody", "refused")]);
    assert!(result["sites"][0].get("output").is_none(), "{result}");
    assert_eq!(result["sites"][1]["code"], "unknown-site", "{result}");
    let missing = fleet.dispatch(&json!({ "workflow": "other", "sites": clinics() }));
    assert_eq!(missing["sites"][0]["code"], "workflow-missing", "{missing}");
    // Its workflow would fault, and says only of which kind the error is.
    let raise = "  - x: { raise: { error: { type: https://open-workflow-specification.org/spec/1.0.0/errors/timeout, status: 408, detail: secret-reason } } }\n";
    fleet.home.write(
        "law/screen.yaml",
        &document("screen", raise).replace("version: 1.0.0", "version: 1.0.1"),
    );
    fleet.apply();
    let faulted = fleet.dispatch(&json!({ "workflow": "screen", "sites": clinics() }));
    assert_eq!(by_site(&faulted), [("clinic-1", "faulted"), ("clinic-2", "faulted")]);
    assert_eq!(faulted["sites"][0]["code"], "timeout", "{faulted}");
    assert!(!faulted.to_string().contains("secret-reason"), "{faulted}");

    // A site without the tag.
    let all = json!({ "workflow": "screen", "sites": { "all": true } });
    let file = fleet.dispatching("ask", &all);
    let refused = fleet.home.run(&["run", &file, "--server", "clinic-1"]).ends_with(1);
    assert!(refused.stderr.contains("not-a-coordinator"), "{}", refused.stderr);
    assert!(refused.stderr.contains("sites tag"), "{}", refused.stderr);
    // One that reads labelled data.
    let labelled = ["run", &file, "--server", "desk", "--label", "health"];
    let labelled = fleet.home.run(&labelled).ends_with(1);
    assert!(labelled.stderr.contains("labelled"), "{}", labelled.stderr);
    // One that is nobody's.
    let alone = fleet.home.dev();
    let alone_run = fleet.home.run(&["run", &file, "--server", ".isonomy"]).ends_with(1);
    assert!(alone_run.stderr.contains("joined no hub"), "{}", alone_run.stderr);
    alone.stop().ends_with(0);

    // An owner who refuses.
    let mut fleet = fleet;
    let at = fleet.sites.iter().position(|(name, _)| *name == "clinic-2").expect("there");
    fleet.sites.remove(at).1.stop().ends_with(0);
    let refuse = "spec:\n  hub:\n    refuse:\n      workflows: [default/screen]\n";
    fleet.home.write("clinic-2/site.yaml", refuse);
    fleet.sites.push(("clinic-2", serve(&fleet.home, "clinic-2")));
    let result = fleet.dispatch(&json!({ "workflow": "screen", "sites": clinics() }));
    assert_eq!(by_site(&result), [("clinic-1", "faulted"), ("clinic-2", "refused")]);
    assert_eq!(result["sites"][1]["code"], "refused-by-owner", "{result}");
    fleet.stop();
}

/// Mutation: look only at the labels that a run was started with, or give out what was made of labelled data.
#[test]
fn what_is_made_of_labelled_data_neither_goes_out_nor_comes_back() {
    let reads = "  - read: { call: 'dataset:1.0.0@default', with: { name: cases } }\n";
    let screen = giving(&format!("{reads}  - x: {{ set: {{ n: 1 }} }}\n"));
    let mut fleet = Fleet::new(&screen, None);
    let file = fleet.home.write("cases.csv", "n\n1\n");
    let file = file.to_str().expect("text").to_owned();
    let config = |labels: &str| {
        format!(
            "spec:\n  datasets:\n    - {{ name: cases, path: '{file}', labels: {labels}, namespaces: [default] }}\n"
        )
    };
    for (site, labels) in [("desk", "[health]"), ("clinic-1", "[health]"), ("clinic-2", "[]")] {
        fleet.home.write(&format!("{site}/site.yaml"), &config(labels));
        fleet.restart(site);
    }
    let with = json!({ "workflow": "screen", "sites": clinics(), "timeout": "PT2M" });
    let result = fleet.dispatch(&with);
    assert_eq!(by_site(&result), [("clinic-1", "completed"), ("clinic-2", "completed")]);
    assert_eq!(result["sites"][0]["code"], "output-labelled", "{result}");
    assert!(result["sites"][0].get("output").is_none(), "{result}");
    assert_eq!(result["sites"][1]["output"]["n"], 1, "{result}");

    let call = json!({ "call": "dispatch:1.0.0@default", "with": with });
    let text = document("asks", &format!("{reads}  - all: {call}\n"));
    let asks = fleet.home.write("asks.yaml", &text);
    let asks = asks.to_str().expect("text");
    let refused = fleet.home.run(&["run", asks, "--server", "desk"]).ends_with(1);
    assert!(refused.stderr.contains("labelled"), "{}", refused.stderr);
    assert_eq!(fleet.runs("clinic-2").len(), 1);
    fleet.stop();
}

/// Mutation: have another site do the text that is there while the hub wants another.
#[test]
fn a_dispatched_run_is_of_the_text_that_the_hub_wants() {
    let fleet = Fleet::new(&giving("  - x: { set: { y: 1 } }\n"), None);
    let steps: String = (0..30)
        .map(|n| format!("  - step{n}: {{ set: {{ filler: '{}' }} }}\n", "x".repeat(15_000)))
        .collect();
    fleet.home.write("law/screen.yaml", &giving(&format!("{steps}  - x: {{ set: {{ y: 2 }} }}\n")));
    fleet.ask(&["apply", "--yes", "-f", "law"]).ends_with(0);
    let result = fleet.dispatch(&json!({ "workflow": "screen", "sites": clinics() }));
    for site in result["sites"].as_array().expect("a list") {
        assert_eq!(site["output"]["y"], 2, "{result}");
    }
    fleet.stop();
}

/// Mutation: wait for all although the quorum is there, count what comes after, or take a quorum that is not
/// there for a result.
#[test]
fn a_quorum_ends_it_and_what_comes_later_is_late() {
    let gate = Gate::new(1);
    let fleet = Fleet::new(&document("screen", &calling(&gate.world)), Some(&gate.world));
    let with = json!({ "workflow": "screen", "sites": clinics(), "quorum": 1 });
    let run = fleet.begin(&with);
    let result = fleet.end(&run);
    assert_eq!(result["complete"], false, "{result}");
    assert_eq!(result["counted"]["completed"], 1, "{result}");
    gate.let_one();
    let is_late = |sites: &[Value]| sites.iter().any(|it| it["late"] == "completed");
    let sites = fleet.asked(&run, is_late);
    let late = sites.iter().find(|it| it["late"] == "completed").expect("there");
    assert_ne!(late["status"], "completed", "{sites:?}");
    // The result is what it was.
    assert_eq!(fleet.end(&run), result);

    // Two must, one cannot within its time.
    let with = json!({
        "workflow": "screen", "sites": clinics(), "quorum": "all", "timeout": "PT2S",
    });
    let file = fleet.dispatching("ask", &with);
    let failed = fleet.home.run(&["run", &file, "--server", "desk"]).ends_with(1);
    assert!(failed.stderr.contains("2 of 2 sites had to complete: 2 pending"), "{}", failed.stderr);
    for _ in 0..2 {
        gate.let_one();
    }
    fleet.stop();
}

/// Mutation: begin anew at the coordinator what was begun before it was killed; wait only in memory for the
/// end of a run that another site waits for.
#[test]
fn both_ends_and_the_hub_survive_each_others_end() {
    let gate = Gate::new(0);
    let mut fleet = Fleet::new(&document("screen", &calling(&gate.world)), Some(&gate.world));
    // The hub ends between what is asked and what is told: somewhere on the way.
    let run = fleet.begin(&json!({ "workflow": "screen", "sites": clinics() }));
    fleet.kill_hub();
    fleet.start_hub();
    for _ in 0..2 {
        gate.request();
    }
    // All know of it, and end while others go on.
    fleet.asked(&run, |sites| sites.iter().all(|it| it["status"] == "pending") && sites.len() == 2);
    fleet.kill_hub();
    fleet.restart("desk");
    fleet.restart("clinic-1");
    // It asks the world again, as its run stands.
    gate.request();
    for _ in 0..3 {
        gate.let_one();
    }
    fleet.until(&["runs"], "clinic-1", |it| it["items"][0]["state"] == "completed");
    fleet.until(&["runs"], "clinic-2", |it| it["items"][0]["state"] == "completed");
    fleet.start_hub();
    let result = fleet.end(&run);
    assert_eq!(by_site(&result), [("clinic-1", "completed"), ("clinic-2", "completed")]);
    for clinic in ["clinic-1", "clinic-2"] {
        assert_eq!(fleet.runs(clinic).len(), 1, "{clinic}");
    }
    assert_eq!(fleet.runs("desk").len(), 1);
    let shown = fleet.until(&["runs", "show", &run], "desk", |_| true);
    assert_eq!(shown["dispatches"].as_array().map(Vec::len), Some(1), "{shown}");
    fleet.stop();
}

/// Mutation: wait for the hub beyond the time, or ask sites when it is over.
#[test]
fn without_the_hub_a_dispatch_ends_by_its_time_and_nothing_begins_later() {
    let mut fleet = Fleet::new(&document("screen", "  - x: { set: { y: 1 } }\n"), None);
    fleet.kill_hub();
    let names = json!({ "names": ["clinic-1", "clinic-2"] });
    let with = json!({ "workflow": "screen", "sites": names, "timeout": "PT1S" });
    let first = fleet.begin(&with);
    let result = fleet.end(&first);
    assert_eq!(by_site(&result), [("clinic-1", "unreachable"), ("clinic-2", "unreachable")]);
    assert_eq!(result["complete"], false, "{result}");
    let result_of_first = result;
    let all = json!({ "workflow": "screen", "sites": { "all": true }, "timeout": "PT1S" });
    let file = fleet.dispatching("ask", &all);
    let failed = fleet.home.run(&["run", &file, "--server", "desk"]).ends_with(1);
    assert!(failed.stderr.contains("which sites are meant"), "{}", failed.stderr);
    fleet.start_hub();
    // What was asked without it has come, and what is asked with it works.
    let result = fleet.dispatch(&json!({ "workflow": "screen", "sites": clinics() }));
    assert_eq!(result["complete"], true, "{result}");
    for clinic in ["clinic-1", "clinic-2"] {
        assert_eq!(fleet.runs(clinic).len(), 1, "{clinic}");
    }
    // Whom the hub has named since then was not asked.
    assert!(fleet.asked(&first, |_| true).is_empty());
    assert_eq!(fleet.end(&first), result_of_first);
    let waiting = |it: &Value| it["hub"]["waiting"]["receipt"] == 0;
    fleet.until(&["site", "status"], "desk", waiting);
    fleet.stop();
}
