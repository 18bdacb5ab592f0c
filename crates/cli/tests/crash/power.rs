//! The power goes under a whole site: what was acknowledged to a client is there, every run ends as it
//! would have, and the world outside sees each effect under one key.
//!
//! A site is recorded once, killed half way and started again. At moments of what it did to its files
//! the power goes; the folder is made anew from what the disk was sure of, a site starts on it, and the
//! clients send again what was never acknowledged to them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};

use power::{Disk, Entry, Image, Keep, Recorder};
use serde_json::{Value, json};

use crate::support::http::{Reply, ask, follow};
use crate::support::world::{Answer, World};
use crate::support::{Dev, Home, Process, document};

/// Moments that are tried, each with nothing and with some of what was not synced. More of them:
/// `ISONOMY_CASES=400`.
const MOMENTS: usize = 16;

/// Acts of the client before the first site is killed.
const FIRST_LIFE: usize = 17;

/// Sites that are judged at once.
const JUDGES: usize = 4;

const RUNS: &str = "/api/v1/namespaces/default/runs";
const EVENTS: &str = "/api/v1/namespaces/default/events";

/// Bytes of a value that becomes a row beside the journal, and of one that becomes a file.
const ROW_BYTES: usize = 20 * 1024;
const FILE_BYTES: usize = 1_100 * 1024;

/// Each says to the world where it is, at a path that no other run has.
const WORKFLOWS: [(&str, &str); 6] = [
    (
        "steps",
        "  - first: { call: http, with: { method: post, endpoint: 'WORLD/first-{n}' }, output: { as: $workflow.input } }
  - pause: { wait: PT0.02S }
  - again: { call: 'echo:1.0.0@default', with: { n: '${ .n }' } }
  - last: { call: http, with: { method: post, endpoint: 'WORLD/last-{n}' } }
",
    ),
    (
        "large",
        "  - say: { call: 'echo:1.0.0@default', with: { n: '${ .n }', text: '${ .text + \"!\" }' } }
  - tell: { call: http, with: { method: post, endpoint: 'WORLD/large-{n}' }, output: { as: '${ {answer: ., text: $input.text} }' } }
",
    ),
    (
        "listed",
        "  - read: { call: 'csv:1.0.0@default', with: { path: HOME/rows.csv, stream: true } }
  - each: { for: { each: row, in: .rows }, do: [ { keep: { set: { sum: '${ ($input.sum // 0) + $row.n }' } } } ] }
  - tell: { call: http, with: { method: post, endpoint: '${ \"WORLD/listed-\" + $workflow.input.n }' }, output: { as: $input } }
",
    ),
    (
        "process",
        "  - command: { run: { shell: { command: 'for i in 1 2 3 4 5 6 7 8 9; do echo line $i; done' }, return: all } }
  - tell: { call: http, with: { method: post, endpoint: 'WORLD/process' }, output: { as: $input } }
",
    ),
    (
        "parent",
        "  - child: { run: { workflow: { namespace: default, name: steps, version: latest, input: { n: child } } } }
",
    ),
    (
        "hear",
        "  - hear:
      listen:
        to:
          any: [ { with: { type: step } } ]
          until: { one: { with: { type: enough } } }
      foreach:
        item: step
        do:
          - heard: { call: http, with: { method: post, endpoint: '${ \"WORLD/heard-\" + ($step.n | tostring) }' } }
        output: { as: $step.n }
",
    ),
];

/// What the client asks for, one after another, until it is acknowledged.
#[derive(Debug, Clone)]
enum Act {
    Apply,
    Start {
        run: String,
        order: Value,
    },
    /// Waits until the run listens that the events are for.
    Listens,
    Send(Value),
    /// Asks for the run's end.
    Await(String),
}

impl Act {
    /// What is written down where it is acknowledged.
    fn name(&self) -> String {
        match self {
            Self::Apply => "> applied".to_owned(),
            Self::Start { run, .. } => format!("> started {run}"),
            Self::Listens => "> listens".to_owned(),
            Self::Send(event) => format!("> sent {}", event["id"]),
            Self::Await(run) => format!("> ended {run}"),
        }
    }
}

fn order(n: usize, workflow: &str, input: &Value) -> Act {
    let run = format!("run_01a1fb7b-d522-7414-8c47-aa7df2beba{n:02x}");
    let order = json!({ "workflow": workflow, "run": run, "input": input });
    Act::Start { run, order }
}

fn acts() -> Vec<Act> {
    let large =
        |n: usize, bytes: usize| json!({ "n": n, "text": format!("{n}-").repeat(bytes / 2) });
    let event = |kind: &str, n: u32| {
        Act::Send(json!({ "specversion": "1.0", "type": kind, "source": "/test",
            "id": format!("{kind}-{n}"), "data": { "n": n } }))
    };
    let mut acts = vec![Act::Apply, order(0, "hear", &json!({})), Act::Listens];
    acts.extend((1..=4).map(|n| order(n, "steps", &json!({ "n": n }))));
    acts.extend(
        [(5, ROW_BYTES), (6, FILE_BYTES)].map(|(n, size)| order(n, "large", &large(n, size))),
    );
    acts.push(order(7, "listed", &json!({ "n": "a" })));
    acts.extend((1..=3).map(|n| event("step", n)));
    acts.extend([order(8, "process", &json!({})), order(9, "parent", &json!({}))]);
    acts.extend(
        [(10, ROW_BYTES), (11, FILE_BYTES)].map(|(n, size)| order(n, "large", &large(n, size))),
    );
    acts.extend((4..=5).map(|n| event("step", n)));
    acts.extend((12..=15).map(|n| order(n, "steps", &json!({ "n": n }))));
    acts.push(order(16, "listed", &json!({ "n": "b" })));
    acts.push(event("enough", 6));
    let started = |act: &Act| match act {
        Act::Start { run, .. } => Some(Act::Await(run.clone())),
        _ => None,
    };
    let ends: Vec<Act> = acts.iter().filter_map(started).collect();
    acts.extend(ends);
    acts
}

/// A site that a client speaks with.
struct Site<'a> {
    place: &'a Place,
    dev: Dev,
}

impl Site<'_> {
    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Reply, String> {
        ask(&self.dev.door(), method, path, body).map_err(|error| error.to_string())
    }

    /// Does it, until it is acknowledged. Tells what a run has come to.
    fn act(&self, act: &Act) -> Result<Option<Value>, String> {
        match act {
            Act::Apply => {
                let args = ["--server", self.dev.data(), "apply", "-f", "all", "--yes"];
                let ended = self.place.home.run(&args);
                (ended.code == 0).then_some(None).ok_or_else(|| format!("{ended:?}"))
            }
            Act::Start { order, .. } => self.accepted("POST", RUNS, order).map(|_| None),
            Act::Send(event) => self.accepted("POST", EVENTS, event).map(|_| None),
            Act::Listens => {
                let kind = "io.serverlessworkflow.workflow.correlation-started.v1";
                let path = format!("{EVENTS}/follow?type={kind}&after=0");
                let mut told =
                    follow(&self.dev.door(), &path).map_err(|error| error.to_string())?;
                told.next().map(|_| None).ok_or_else(|| "it never listens".to_owned())
            }
            Act::Await(run) => {
                let start = self.place.acts.iter().find_map(|act| match act {
                    Act::Start { run: it, order } if it == run => Some(order),
                    _ => None,
                });
                let start = start.expect("only what is started is awaited");
                let body = self.accepted("POST", &format!("{RUNS}?wait=60"), start)?;
                ended(run, &body).map(Some)
            }
        }
    }

    fn accepted(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let reply = self.ask(method, path, body)?;
        match reply.status {
            200..=299 => Ok(reply.body),
            _ => Err(format!("{method} {path}: {reply:?}")),
        }
    }

    /// Whether what was acknowledged is there, without anybody's asking for it again.
    fn keeps(&self, act: &Act, outputs: &BTreeMap<String, Value>) -> Result<(), String> {
        match act {
            Act::Apply => {
                let path = "/api/v1/namespaces/default/workflows";
                let items = self.accepted("GET", path, &Value::Null)?;
                let count = items["items"].as_array().map_or(0, Vec::len);
                (count == WORKFLOWS.len()).then_some(()).ok_or_else(|| format!("{count} workflows"))
            }
            Act::Start { run, .. } => {
                self.accepted("GET", &format!("{RUNS}/{run}"), &Value::Null).map(drop)
            }
            Act::Listens => Ok(()),
            Act::Send(event) => {
                let path = format!("{EVENTS}?source=/test&limit=100");
                let list = self.accepted("GET", &path, &Value::Null)?;
                let items = list["items"].as_array().cloned().unwrap_or_default();
                let is_there = items.iter().any(|item| item["event"]["id"] == event["id"]);
                is_there.then_some(()).ok_or_else(|| format!("{} is lost", event["id"]))
            }
            Act::Await(run) => {
                let body = self.accepted("GET", &format!("{RUNS}/{run}"), &Value::Null)?;
                let output = ended(run, &body)?;
                (outputs.get(run) == Some(&output))
                    .then_some(())
                    .ok_or_else(|| format!("{run} has another output"))
            }
        }
    }
}

fn ended(run: &str, body: &Value) -> Result<Value, String> {
    match body["state"].as_str() {
        Some("completed") => Ok(body["output"].clone()),
        state => Err(format!("{run} is {state:?}: {}", body["error"])),
    }
}

/// One client, and as many sites as there are moments.
struct Place {
    home: Home,
    acts: Vec<Act>,
}

/// What was recorded.
struct Recorded {
    entries: Vec<Entry>,
    real: Image,
    outputs: BTreeMap<String, Value>,
}

impl Place {
    fn new(world: &World) -> Self {
        let home = Home::new();
        home.allow(&world.url);
        for (name, tasks) in WORKFLOWS {
            let tasks = tasks.replace("WORLD", &world.url);
            let tasks = tasks.replace("HOME/", &home.path("").display().to_string());
            home.write(&format!("all/{name}.yaml"), &document(name, &tasks));
        }
        let rows = (0..300).fold("n\n".to_owned(), |rows, n| format!("{rows}{n}\n"));
        home.write("rows.csv", &rows);
        Self { home, acts: acts() }
    }

    fn site(&self, data: &Path, recorder: Option<&Recorder>) -> Result<Site<'_>, String> {
        let data = data.to_str().expect("a folder of a test");
        let args = ["dev", "--port", "0", "--data", data, "--config", ".isonomy/site.yaml"];
        let mut command = self.home.command(&args);
        if let Some(recorder) = recorder {
            recorder.record(&mut command);
        }
        Dev::try_of(Process::spawn(command)).map(|dev| Site { place: self, dev })
    }

    /// Two lives of a site, both ended by SIGKILL.
    fn record(&self) -> Recorded {
        let (root, beside) = (self.home.path("root"), self.home.path("beside"));
        std::fs::create_dir(&root).expect("a folder for the test");
        std::fs::create_dir(&beside).expect("a folder for the test");
        let root = root.canonicalize().expect("it is there");
        let recorder =
            Recorder::new(&root, &beside).expect("the C compiler that SQLite is built with");
        let mut outputs = BTreeMap::new();
        let (first, second) = self.acts.split_at(FIRST_LIFE);
        for life in [first, second] {
            let site = self.site(&root.join("data"), Some(&recorder)).expect("starts");
            for act in life {
                let output = site.act(act).expect("nothing is in its way");
                recorder.heard(&format!("{}\n", act.name())).expect("a log");
                if let (Act::Await(run), Some(output)) = (act, output) {
                    outputs.insert(run.clone(), output);
                }
            }
            recorder.between(|| site.dev.kill()).expect("a log");
        }
        let entries = recorder.entries().expect("a log");
        Recorded { entries, real: Image::read(&root).expect("the folder"), outputs }
    }

    /// Whether a site on this folder has what was acknowledged, and brings all to its end.
    fn judge(
        &self,
        image: &Image,
        acked: &BTreeSet<String>,
        outputs: &BTreeMap<String, Value>,
    ) -> Result<(), String> {
        let folder = tempfile::tempdir().expect("a folder for the test");
        image.write(folder.path()).expect("there is room");
        let data = folder.path().join("data");
        let site = self.site(&data, None)?;
        for act in self.acts.iter().filter(|act| acked.contains(&act.name())) {
            site.keeps(act, outputs)?;
        }
        for act in &self.acts {
            let is_awaited = matches!(act, Act::Await(_) | Act::Listens);
            if !is_awaited && acked.contains(&act.name()) {
                continue;
            }
            let output = site.act(act)?;
            if let Act::Await(run) = act
                && outputs.get(run) != output.as_ref()
            {
                return Err(format!("{run} has another output"));
            }
        }
        site.dev.stop().ends_with(0);
        let data = data.to_str().expect("a folder of a test");
        let check = self.home.run(&["store", "check", "--data", data]);
        (check.code == 0).then_some(()).ok_or_else(|| format!("{check:?}"))
    }
}

/// What the store consists of. The address of a site is named past the recorder.
fn of_store(mut image: Image) -> Image {
    let parts = ["data/isonomy.db", "data/blobs/", "data/ballast"];
    image.files.retain(|path, _| parts.iter().any(|part| path.starts_with(part)));
    image
}

/// Those after which a client was told something, and some between.
fn moments(entries: &[Entry]) -> BTreeSet<usize> {
    let count = std::env::var("ISONOMY_CASES").map_or(MOMENTS, |n| n.parse().expect("a number"));
    let is_said = |(_, entry): &(usize, &Entry)| matches!(entry, Entry::Said { .. });
    let said: Vec<usize> = entries.iter().enumerate().filter(is_said).map(|(at, _)| at).collect();
    let of_said = said.iter().copied().step_by((said.len() / (count / 2)).max(1));
    of_said.chain((0..entries.len()).step_by((2 * entries.len() / count).max(1))).collect()
}

/// What the next judge judges; nothing where all is judged.
fn next<T>(cases: &Mutex<Receiver<T>>) -> Option<T> {
    cases.lock().expect("no judge panics").recv().ok()
}

/// Mutation: `synchronous=NORMAL`, blob files that are not synced, or blob files whose folder is not.
#[test]
fn the_loss_of_power_takes_nothing_that_a_client_was_told() {
    let world = World::new(|_| Answer::Json("{}".to_owned()));
    let place = Place::new(&world);
    let Recorded { entries, real, outputs } = place.record();
    let moments = moments(&entries);
    let (mut disk, mut liar) = (Disk::default(), Disk::lying());
    let mut acked = BTreeSet::new();
    // Few at a time: each is a folder in memory.
    let (sender, cases) = sync_channel(1);
    let (cases, lost) = (Mutex::new(cases), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..JUDGES {
            scope.spawn(|| {
                while let Some((what, image, acked)) = next(&cases) {
                    if let Err(why) = place.judge(&image, &acked, &outputs) {
                        lost.lock().expect("no judge panics").push(format!("{what}: {why}"));
                    }
                }
            });
        }
        for (moment, entry) in entries.iter().enumerate() {
            disk.apply(entry);
            liar.apply(entry);
            if let Entry::Said { text } = entry {
                acked.extend(String::from_utf8_lossy(text).lines().map(str::to_owned));
            }
            for keep in [Keep::Nothing, Keep::Some(moment as u64)] {
                if moments.contains(&moment) {
                    let what = format!("after entry {moment} of {}, {keep:?}", entries.len());
                    let case = (what, disk.after_power_loss(keep), acked.clone());
                    sender.send(case).expect("the judges are there");
                }
            }
        }
        drop(sender);
    });
    let lost = lost.into_inner().expect("no judge panics");
    assert!(lost.is_empty(), "{lost:#?}");

    // One effect at each path, whatever was lost and done again.
    let mut keys = BTreeMap::<String, BTreeSet<String>>::new();
    for effect in world.effects() {
        keys.entry(effect.path).or_default().insert(effect.key);
    }
    assert!(keys.len() > 20 && keys.values().all(|keys| keys.len() == 1), "{keys:#?}");
    // Nothing that the store did has escaped the recorder.
    let written = of_store(disk.after_power_loss(Keep::Everything));
    assert!(written == of_store(real), "the log and the folder differ");
    // And a disk that only says that it syncs does lose something.
    for seed in 0..3 {
        let image = liar.after_power_loss(Keep::Some(seed));
        assert!(place.judge(&image, &acked, &outputs).is_err(), "{seed}");
    }
}
