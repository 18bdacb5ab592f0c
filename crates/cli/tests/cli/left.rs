//! Processes that nobody awaits, with the real binary: they go on behind their task and their run,
//! and end with a cancel or with the site.

use std::fs;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::secrets::set;
use crate::support::world::{Answer, World};
use crate::support::{Home, Process, document};

/// As in the world: only turns a hang into a failure.
const HANG: Duration = Duration::from_secs(120);

/// A host is asked for in lower case.
const SECRET: &str = "V4lue-of-what-is-left";

/// A command cannot ask the world by itself, so the script is in Python.
const LEFT: &str = "
  - left:
      run:
        await: false
        script:
          language: python
          arguments: [WORLD]
          environment: { KEY: '${ .key }' }
          code: |
            import os, sys, urllib.error, urllib.request
            def ask(address):
                try:
                    return urllib.request.urlopen(address).status
                except urllib.error.HTTPError as error:
                    return error.code
            print('begun', flush=True)
            assert ask(sys.argv[1] + '/begun') == 200
            key = os.environ.get('KEY', 'none')
            assert ask('http://' + key + '.test/') == 403
            sys.stdout.write('going on with ' + key + '\\n')
            sys.exit(3)
";

fn write(home: &Home, world: &World, name: &str, tasks: &str) -> String {
    let text = document(name, &tasks.replace("WORLD", &world.url)).replace("do:\n\n", "do:\n");
    home.write(&format!("{name}.yaml"), &text);
    format!("{name}.yaml")
}

/// A world that says when `/begun` comes, and answers it when it is told to.
struct HoldingBack {
    world: World,
    begun: Receiver<()>,
    go: Sender<()>,
}

fn holding_back() -> HoldingBack {
    let ((came, begun), (go, wait)) = (channel(), channel());
    let held = Mutex::new((came, wait));
    let world = World::new(move |request| {
        if request.path == "/begun" {
            let (came, wait) = &*held.lock().expect("no thread panicked");
            came.send(()).expect("the test listens");
            wait.recv().expect("the test goes on");
        }
        Answer::Json("{}".to_owned())
    });
    HoldingBack { world, begun, go }
}

/// One that never answers `/begun`, and tells when nobody waits for it any more.
fn silent() -> World {
    World::new(|request| match &*request.path {
        "/begun" => Answer::Silence,
        _ => Answer::Json("{}".to_owned()),
    })
}

/// The log of a run when a process of it has told its end.
fn log_with(home: &Home, run: &str, end: &str) -> String {
    let until = Instant::now() + HANG;
    loop {
        let log = home.run(&["runs", "logs", run]).ends_with(0).stdout;
        if log.contains(end) {
            return log;
        }
        assert!(Instant::now() < until, "no `{end}` in the log: {log}");
    }
}

/// Mutation: await it, hand on what it writes, take its exit code for a fault, end it with its run, or
/// have who follows its log leave with the run.
#[test]
fn a_process_that_nobody_awaits_goes_on_behind_its_run() {
    let (HoldingBack { world, begun, go }, home) = (holding_back(), Home::new());
    home.allow(&world.url);
    let dev = home.dev();
    set(&home, &["key"], SECRET).ends_with(0);
    let file = write(&home, &world, "left", &LEFT.replace(".key", "$secrets.key"));
    let text = fs::read_to_string(home.path(&file)).expect("written");
    home.write(&file, &text.replace("do:\n", "use: {secrets: [key]}\ndo:\n"));
    let ended = home.run(&["run", &file, "-i", "key=value"]).ends_with(0);
    assert_eq!(ended.json(), json!({"key": "value"}));
    let run = ended.run_id();
    begun.recv_timeout(HANG).expect("it begins");
    let mut follow = Process::spawn(home.command(&["runs", "logs", &run, "--follow"]));
    follow.stdout.until("begun");
    go.send(()).expect("the world waits");
    let followed = follow.end().ends_with(0).stdout;
    let log = log_with(&home, &run, "exit code 3");
    assert!(log.ends_with(&followed) && followed.ends_with("exit code 3\n"), "{followed}");
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines.contains(&"begun") && lines.contains(&"going on with ***"), "{log}");
    assert!(log.contains("isonomy: it asked for http://***.test once: denied"), "{log}");
    assert!(!log.to_lowercase().contains(&SECRET.to_lowercase()), "{log}");
    assert_eq!(lines.last(), Some(&"isonomy: the process ended with exit code 3"), "{log}");
    let shown = home.run(&["runs", "show", &run, "-o", "json"]).ends_with(0).json();
    assert_eq!(
        (&shown["state"], &shown["tasks"][0]["state"]),
        (&json!("completed"), &json!("completed"))
    );
    dev.stop().ends_with(0);
}

/// Mutation: forget at a cancel what the run has left, or what it left before it slept.
#[test]
fn a_cancel_ends_what_a_run_has_left() {
    let (world, home) = (silent(), Home::new());
    home.allow(&world.url);
    let dev = home.dev();
    let file = write(&home, &world, "left", &format!("{LEFT}  - long: {{ wait: PT1H }}\n"));
    let run = home.run(&["run", &file, "--detach", "-i", "key=1"]).ends_with(0).run_id();
    let other = home.run(&["run", &file, "--detach", "-i", "key=2"]).ends_with(0).run_id();
    assert_eq!([world.request().path, world.request().path], ["/begun", "/begun"]);
    home.run(&["runs", "cancel", &run]).ends_with(0);
    assert_eq!(world.closed().path, "/begun");
    let log = log_with(&home, &run, "ended, since");
    let said = "isonomy: the process was ended, since its run was cancelled\n";
    assert!(log.ends_with(&format!("begun\n{said}")), "{log}");
    let log = home.run(&["runs", "logs", &other]).ends_with(0).stdout;
    assert!(!log.contains("isonomy:"), "the other run's goes on: {log}");
    dev.stop().ends_with(0);
    assert_eq!(world.closed().path, "/begun");
}

/// Mutation: let it outlive its site, say nothing of its end, or start again what was recorded.
#[test]
fn a_site_that_stops_or_dies_ends_it_and_does_not_begin_it_again() {
    let (world, home) = (silent(), Home::new());
    home.allow(&world.url);
    let dev = home.dev();
    let file = write(&home, &world, "left", &format!("{LEFT}  - long: {{ wait: PT1H }}\n"));
    let stopped = home.run(&["run", &file, "--detach"]).ends_with(0).run_id();
    assert_eq!(world.request().path, "/begun");
    recorded(&home, &stopped);
    dev.stop().ends_with(0);
    assert_eq!(world.closed().path, "/begun");
    let dev = home.dev();
    let log = home.run(&["runs", "logs", &stopped]).ends_with(0).stdout;
    assert!(log.ends_with("isonomy: the process was ended, since the site stops\n"), "{log}");
    let killed = home.run(&["run", &file, "--detach"]).ends_with(0).run_id();
    assert_eq!(world.request().path, "/begun");
    recorded(&home, &killed);
    dev.kill();
    assert_eq!(world.closed().path, "/begun");
    let dev = home.dev();
    for run in [stopped, killed] {
        let shown = home.run(&["runs", "show", &run, "-o", "json"]).ends_with(0).json();
        assert_eq!(shown["state"], "waiting", "{shown}");
    }
    dev.stop().ends_with(0);
    let effects = world.effects();
    assert_eq!(effects.iter().map(|it| it.requests).sum::<u32>(), 2, "{effects:?}");
}

/// Comes when the run knows that its process has begun.
fn recorded(home: &Home, run: &str) {
    let until = Instant::now() + HANG;
    while home.run(&["runs", "show", run, "-o", "json"]).ends_with(0).json()["state"] != "waiting" {
        assert!(Instant::now() < until, "the run does not go on");
    }
}

/// Mutation: count only those that are awaited, or keep the place of one that has ended.
#[test]
fn one_that_nobody_awaits_takes_its_place_until_it_has_ended() {
    let (HoldingBack { world, begun, go }, home) = (holding_back(), Home::new());
    let config = format!(
        "spec:\n  egress: [{{destination: '{}', allow: true}}]\n  scripts: {{limits: {{atOnce: 1}}}}\n",
        world.url
    );
    home.write(".isonomy/site.yaml", &config);
    let dev = home.dev();
    let behind = "  - behind: { run: { shell: { command: 'cat', stdin: done } } }\n";
    let file = write(&home, &world, "left", &format!("{LEFT}{behind}"));
    let run = home.run(&["run", &file, "--detach"]).ends_with(0).run_id();
    begun.recv_timeout(HANG).expect("it begins");
    let shown = home.run(&["runs", "show", &run, "-o", "json"]).ends_with(0).json();
    assert_eq!(shown["state"], "running", "{shown}");
    go.send(()).expect("the world waits");
    home.run(&["runs", "follow", &run]).ends_with(0);
    let log = home.run(&["runs", "logs", &run]).ends_with(0).stdout;
    let (left, behind) = (log.find("exit code 3"), log.find("done"));
    assert!(left.is_some() && left < behind, "{log}");
    dev.stop().ends_with(0);
}
