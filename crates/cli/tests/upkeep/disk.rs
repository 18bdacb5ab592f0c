//! A disk that is full under a site at work. Needs the right to mount a small one; says so where it
//! has not.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};

use crate::support::http::{Door, ask};
use crate::support::parties;
use crate::support::world::{Answer, World};
use crate::support::{HANG, Home, document};

const DISK: &str = "size=96m";

const LOOPS: &str = "  - each:
      for: { each: i, in: '[range(0; 3000)]' }
      do:
        - say:
            call: echo:1.0.0@default
            with: { n: '${ $i }', text: '${ $input.text }' }
            output: { as: '${ $input }' }
";

struct Disk(PathBuf);

impl Disk {
    fn mount(folder: &Path) -> Option<Self> {
        fs::create_dir_all(folder).expect("a folder");
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(folder);
        let done = mount.output().is_ok_and(|output| output.status.success());
        done.then(|| Self(folder.to_owned()))
    }

    /// Leaves no room at all.
    fn fill(&self) {
        let filler = self.0.join("filler");
        let mut file = fs::File::create(&filler).expect("made");
        let chunk = [7_u8; 4096];
        while std::io::Write::write_all(&mut file, &chunk).is_ok() {}
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).expect("it is there");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Tries until the site says that its disk is full; the log has some room of its own.
fn until_full(home: &Home) {
    for _ in 0..2_000 {
        let refused = home.run(&["run", "short", "-i", "n=1"]);
        if refused.code == 7 && refused.stderr.contains("STO-001") {
            assert!(refused.stderr.contains("free some space"), "{refused:?}");
            return;
        }
        assert!(refused.code == 0 || refused.stderr.contains("STO-001"), "{refused:?}");
    }
    panic!("the disk is never full");
}

/// Mutation: end a run that cannot be written, refuse to cancel on a full disk, leave a half copy of
/// the store there, or wait for a restart when there is room again.
#[test]
fn a_full_disk_refuses_new_work_and_goes_on_when_there_is_room() {
    let home = Home::new();
    let Some(disk) = Disk::mount(&home.path(".isonomy")) else {
        eprintln!("skipped: a tmpfs cannot be mounted here");
        return;
    };
    home.write("all/loops.yaml", &document("loops", LOOPS));
    home.write(
        "all/short.yaml",
        &document(
            "short",
            "  - say:\n      call: echo:1.0.0@default\n      with: { n: '${ .n }' }\n",
        ),
    );
    home.write("all/sleeps.yaml", &document("sleeps", "  - nap:\n      wait: PT1H\n"));
    home.write("text.json", &format!("{{\"text\": \"{}\"}}", "x".repeat(500)));
    let dev = home.dev();
    home.run(&["apply", "-f", "all", "--yes"]).ends_with(0);
    let asleep = home.run(&["run", "sleeps", "--detach"]).ends_with(0).run_id();
    let loops: Vec<String> = (0..3)
        .map(|_| home.run(&["run", "loops", "-i", "@text.json", "--detach"]).ends_with(0).run_id())
        .collect();
    disk.fill();
    until_full(&home);
    home.run(&["runs", "show", &asleep]).ends_with(0);
    let refused = home.run(&["store", "backup", "copy"]).ends_with(7);
    assert!(refused.stderr.contains("cannot copy the store"), "{refused:?}");
    assert!(!home.path("copy/manifest.json").exists());
    assert!(!home.path(".isonomy/scratch/isonomy.db").exists());
    home.run(&["runs", "cancel", &asleep]).ends_with(0);
    home.run(&["store", "check"]).ends_with(0);

    disk.make_room();
    home.run(&["run", "short", "-i", "n=1"]).ends_with(0);
    for run in &loops[..2] {
        home.run(&["runs", "follow", run]).ends_with(0);
    }
    home.run(&["store", "check"]).ends_with(0);

    // Killed on a full disk and started there.
    let more = home.run(&["run", "loops", "-i", "@text.json", "--detach"]).ends_with(0).run_id();
    disk.fill();
    until_full(&home);
    dev.kill();
    let dev = home.dev();
    until_full(&home);
    home.run(&["store", "check"]).ends_with(0);
    disk.make_room();
    for run in [&loops[2], &more] {
        home.run(&["runs", "follow", run]).ends_with(0);
    }
    let list =
        home.run(&["runs", "--all", "--state", "running,pending,waiting,suspended", "-o", "json"]);
    let left = list.ends_with(0).json();
    assert_eq!(left["items"], serde_json::json!([]), "no run is stuck");
    dev.stop().ends_with(0);
    home.run(&["store", "check", "--data", ".isonomy"]).ends_with(0);
}

/// Runs of each kind that stand before their large writes when the disk becomes full.
const EACH: usize = 3;

/// Clients that ask at once, and what each asks for.
const CLIENTS: usize = 8;
const ASKED: usize = 6;

const RUNS: &str = "/api/v1/namespaces/default/runs";

/// Each waits at the world's gate, then writes what is large.
const LARGE: [(&str, &str); 3] = [
    // A file that came in, and another one that goes out.
    (
        "file",
        "  - gate: { call: http, with: { method: post, endpoint: 'WORLD/gate-file-{n}' }, output: { as: $workflow.input } }
  - say: { call: 'echo:1.0.0@default', with: { n: '${ .n }', text: '${ .text + \"!\" }' } }
  - tell: { call: http, with: { method: post, endpoint: 'WORLD/file-{n}' }, output: { as: '${ $input.text | length }' } }
",
    ),
    // A row beside the journal in every pass, and a list that is evaluated outside and held.
    (
        "rows",
        "  - gate: { call: http, with: { method: post, endpoint: 'WORLD/gate-rows-{n}' }, output: { as: $workflow.input } }
  - each:
      for: { each: i, at: k, in: '[limit(40000; repeat(7))]' }
      while: $k < 3
      do:
        - grow: { call: 'echo:1.0.0@default', with: { n: '${ .n }', text: '${ .text + \"rows\" }' } }
  - tell: { call: http, with: { method: post, endpoint: 'WORLD/rows-{n}' }, output: { as: '${ $input.text | length }' } }
",
    ),
    // A process that has much to say.
    (
        "process",
        "  - gate: { call: http, with: { method: post, endpoint: 'WORLD/gate-process-{n}' }, output: { as: $workflow.input } }
  - command:
      run: { shell: { command: 'i=0; while [ $i -lt 400 ]; do echo \"line $i of what a process has to say\"; i=$((i+1)); done' }, return: all }
      output: { as: '${ { n: $workflow.input.n, length: (.stdout | length) } }' }
  - tell: { call: http, with: { method: post, endpoint: 'WORLD/process-{n}' }, output: { as: $input.length } }
",
    ),
];

const SHORT: &str = "  - tell: { call: http, with: { method: post, endpoint: 'WORLD/short-{n}' }, output: { as: $workflow.input.n } }
";

/// Holds back the answers of a world.
#[derive(Default)]
struct Gate {
    /// Those who stand before it, and whether it is open.
    stand: Mutex<(usize, bool)>,
    moved: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut stand = self.stand.lock().expect("nobody panics");
        stand.0 += 1;
        self.moved.notify_all();
        drop(self.moved.wait_while(stand, |(_, open)| !*open).expect("nobody panics"));
    }

    fn wait_for(&self, count: usize) {
        let stand = self.stand.lock().expect("nobody panics");
        let waited = self.moved.wait_timeout_while(stand, HANG, |(came, _)| *came < count);
        assert!(!waited.expect("nobody panics").1.timed_out(), "they never come");
    }

    fn open(&self) {
        self.stand.lock().expect("nobody panics").1 = true;
        self.moved.notify_all();
    }
}

/// A run that a client wants to have, whatever it takes.
struct Wanted {
    order: Value,
    output: Value,
}

fn wanted(number: usize, workflow: &str, n: usize, text: &str, output: impl Into<Value>) -> Wanted {
    let run = format!("run_01a1fb7b-d522-7414-8c47-aa7df2be{number:04x}");
    let input = json!({ "n": n, "text": text });
    Wanted {
        order: json!({ "workflow": workflow, "run": run, "input": input }),
        output: output.into(),
    }
}

/// Asks for it once; whether it was taken. A refusal says why, and what to do.
fn start(door: &Door, wanted: &Wanted) -> bool {
    let reply = ask(door, "POST", RUNS, &wanted.order).expect("an answer");
    let is_clear = reply.body["code"] == "STO-001" && reply.status == 507;
    assert!(is_clear || matches!(reply.status, 200 | 201), "{reply:?}");
    !is_clear
}

/// All clients at once. Those that were taken.
fn crowd(door: &Door, wanted: &[Wanted]) -> usize {
    std::thread::scope(|scope| {
        let asking =
            |part| scope.spawn(move || <[Wanted]>::iter(part).filter(|it| start(door, it)).count());
        let clients: Vec<_> = wanted.chunks(ASKED).map(asking).collect();
        clients.into_iter().map(|client| client.join().expect("no client panics")).sum()
    })
}

fn has_ended(door: &Door, wanted: &Wanted) {
    let reply = ask(door, "POST", &format!("{RUNS}?wait=60"), &wanted.order).expect("an answer");
    let order = (&wanted.order["workflow"], &wanted.order["run"]);
    assert_eq!(reply.body["state"], "completed", "{order:?}: {}", reply.body["error"]);
    assert_eq!(reply.body["output"], wanted.output, "{order:?}");
}

/// What a process has written stands in its log once, and what could not be kept is a gap.
fn log_is_sound(door: &Door, run: &Value) {
    let path = format!("{RUNS}/{}/logs?limit=500", run.as_str().expect("an id"));
    let page = ask(door, "GET", &path, &Value::Null).expect("an answer").body;
    let mut ends = std::collections::BTreeMap::<(u64, u64), u64>::new();
    for piece in page["items"].as_array().expect("a list") {
        let number = |name: &str| piece[name].as_u64().expect("a number");
        let end = ends.entry((number("effect"), number("life"))).or_insert(0);
        assert!(number("start") >= *end, "{piece} after {end}");
        *end = number("start") + number("bytes");
    }
}

/// Mutation: confirm what could not be written, end the hub, say nothing of why the line was cut, or have
/// the site give up.
#[test]
fn a_hub_whose_disk_is_full_loses_nothing_and_takes_it_when_there_is_room() {
    let home = Home::new();
    let Some(disk) = Disk::mount(&home.path(".isonomy-hub")) else {
        eprintln!("skipped: a tmpfs cannot be mounted here");
        return;
    };
    home.run(&["hub", "init", "--domain", "acme"]).ends_with(0);
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let listen = free.expect("a port").to_string();
    let serve = || parties::hub_of(&home, ".isonomy-hub", &listen);
    let mut governing = serve();
    parties::join(&home, "clinic-1", &[]);
    let site = parties::online(&home, "clinic-1");
    home.write("a.yaml", &document("a", "  - x: { set: { y: 1 } }\n"));
    let at_site =
        |args: &[&str]| home.run(&[args, &["--server", site.data()]].concat()).ends_with(0);
    at_site(&["apply", "-f", "a.yaml", "--yes"]);
    disk.fill();
    let refused = (0..2_000)
        .map(|n| home.run(&["hub", "token", "create", "--site", &format!("s-{n}")]))
        .find(|ended| ended.code != 0)
        .expect("it is full some time");
    assert!(refused.code == 7 && refused.stderr.contains("STO-001"), "{refused:?}");
    for _ in 0..3 {
        at_site(&["run", "a"]);
    }
    governing.process.stderr.until("the disk is full");
    let waiting = at_site(&["site", "status", "-o", "json"]).json();
    assert_eq!(waiting["hub"]["waiting"]["outcome"], 3, "{waiting}");
    // Killed on a full disk and started there.
    governing.kill();
    let mut governing = serve();
    governing.process.stderr.until("the disk is full");
    let shown = home.run(&["sites", "show", "clinic-1", "-o", "json"]).ends_with(0).json();
    assert!(shown.get("taken").is_none(), "{shown}");

    disk.make_room();
    parties::until(&home, "clinic-1", |shown| shown["taken"]["outcome"] == 3);
    home.run(&["hub", "token", "create", "--site", "clinic-2"]).ends_with(0);
    site.stop().ends_with(0);
    governing.stop().ends_with(0);
    home.run(&["store", "check", "--data", ".isonomy-hub"]).ends_with(0);
}

/// Mutation: give up a commit that finds no room.
#[test]
fn what_is_large_waits_for_room_and_a_crowd_is_refused_clearly() {
    let home = Home::new();
    let Some(disk) = Disk::mount(&home.path(".isonomy")) else {
        eprintln!("skipped: a tmpfs cannot be mounted here");
        return;
    };
    let gate = Arc::new(Gate::default());
    let held = Arc::clone(&gate);
    let world = World::new(move |request| {
        if request.path.starts_with("/gate") {
            held.pass();
        }
        Answer::Json("{}".to_owned())
    });
    home.allow(&world.url);
    for (name, tasks) in LARGE.into_iter().chain([("short", SHORT)]) {
        let tasks = tasks.replace("WORLD", &world.url);
        home.write(&format!("all/{name}.yaml"), &document(name, &tasks));
    }
    let (file, row) = ("f".repeat(1_100 * 1024), "r".repeat(20 * 1024));
    let mut large = Vec::new();
    let lines = (0..400).map(|i| format!("line {i} of what a process has to say\n").len());
    // Without its last line end.
    let said = lines.sum::<usize>() - 1;
    for n in 0..EACH {
        large.push(wanted(3 * n, "file", n, &file[n..], file.len() - n + 1));
        large.push(wanted(3 * n + 1, "rows", n, &row, row.len() + 12));
        large.push(wanted(3 * n + 2, "process", n, "", said));
    }
    let short = |from: usize| -> Vec<Wanted> {
        let numbers = from..from + CLIENTS * ASKED;
        numbers.map(|n| wanted(n, "short", n, "", n)).collect()
    };
    let (before, during) = (short(1_000), short(2_000));

    let mut dev = home.dev();
    let door = dev.door();
    home.run(&["apply", "-f", "all", "--yes"]).ends_with(0);
    assert_eq!(crowd(&door, &large) + crowd(&door, &before), large.len() + before.len());
    gate.wait_for(large.len());
    disk.fill();
    while crowd(&door, &during) == during.len() {}
    gate.open();
    dev.process.stderr.until("the run waits until it can be written");
    home.run(&["store", "check"]).ends_with(0);

    dev.kill();
    let dev = home.dev();
    let door = dev.door();
    crowd(&door, &during);
    home.run(&["store", "check"]).ends_with(0);
    disk.make_room();
    let all = || large.iter().chain(&before).chain(&during);
    while all().filter(|it| !start(&door, it)).count() > 0 {}
    all().for_each(|it| has_ended(&door, it));
    large.iter().for_each(|it| log_is_sound(&door, &it.order["run"]));
    home.run(&["store", "check"]).ends_with(0);
    dev.stop().ends_with(0);
    home.is_whole();

    // Each effect under one key, however often it was asked for.
    let mut paths: Vec<String> = world.effects().into_iter().map(|effect| effect.path).collect();
    let count = paths.len();
    paths.sort();
    paths.dedup();
    assert_eq!((paths.len(), count), (count, 2 * large.len() + before.len() + during.len()));
}
