//! Following: lines, interrupts, and sites that go away and come back.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::http::{ask, follow};
use crate::support::world::{Answer, World};
use crate::support::{Home, document, find_run};

const WAIT: &str = "  - first:\n      set: { x: 1 }\n  - pause:\n      wait: PT1H\n";

/// Mutation: cancel the run on Ctrl-C, or do not say how to follow again.
#[test]
fn ctrl_c_leaves_the_run_alone() {
    let home = Home::new();
    home.write("wait.yaml", &document("wait", WAIT));
    let _dev = home.dev();
    let mut process = home.start(&["run", "wait.yaml", "--follow"]);
    process.stderr.until("waiting     pause");
    process.signal(Signal::INT);
    let ended = process.end().ends_with(130);
    let run = ended.run_id();
    assert!(
        ended.stderr.contains(&format!("follow it with `isonomy runs follow {run}`")),
        "{}",
        ended.stderr
    );
    assert!(ended.stdout.is_empty());

    let mut process = home.start(&["runs", "follow", &run]);
    process.stdout.until("waiting     pause");
    assert_eq!(home.run(&["runs", "show", &run, "-o", "json"]).json()["state"], "waiting");
    process.signal(Signal::INT);
    process.end().ends_with(130);
    home.run(&["runs", "cancel", &run]).ends_with(0);
}

/// Mutation: do not connect again, tell a record or a state twice, or forget the new address.
#[test]
fn a_follower_goes_on_when_a_killed_site_is_back() {
    let home = Home::new();
    let world = World::new(|request| match request.path.as_str() {
        "/hang" => Answer::Silence,
        _ => Answer::Json("{}".to_owned()),
    });
    home.allow(&world.url);
    let call = |name: &str, path: &str| {
        format!(
            "  - {name}:\n      call: http\n      with: {{ method: get, endpoint: {}{path} }}\n",
            world.url
        )
    };
    let tasks = [call("before", "/a"), call("hang", "/hang")].concat();
    home.write("hang.yaml", &document("hang", &tasks));
    let dev = home.dev();
    let mut follower = home.start(&["run", "hang.yaml", "--follow"]);
    let run = find_run(&follower.stderr.until("started run_")).expect("an id");
    world.request();
    let first = world.request();
    follower.stderr.until("scheduled   hang");
    dev.kill();
    follower.stderr.until("lost the site");

    let _dev = home.dev();
    let second = world.request();
    assert_eq!(
        (first.path.as_str(), &first.key),
        ("/hang", &second.key),
        "the effect is the same one"
    );
    home.run(&["runs", "cancel", &run]).ends_with(0);
    let ended = follower.end().ends_with(8);
    let told = |what: &str| ended.stderr.lines().filter(|line| line.contains(what)).count();
    assert_eq!(told("completed   before"), 1, "{}", ended.stderr);
    assert_eq!(told("scheduled   hang"), 1, "{}", ended.stderr);
    assert_eq!(told("state       running"), 1, "{}", ended.stderr);
}

/// Mutation: give up at the first try, or never.
#[test]
fn a_site_that_stays_away_is_given_up() {
    let home = Home::new();
    home.write("wait.yaml", &document("wait", WAIT));
    let dev = home.dev();
    let mut process = home.start(&["run", "wait.yaml", "--follow"]);
    process.stderr.until("waiting     pause");
    dev.kill();
    let ended = process.end().ends_with(6);
    assert!(ended.stderr.contains("(10 of 10)"), "{}", ended.stderr);
    assert!(ended.stderr.contains("the run goes on when the site is back"), "{}", ended.stderr);
}

/// Mutation: print another state than the run's, or one object over several lines.
#[test]
fn followed_as_json_there_is_one_object_a_line() {
    let home = Home::new();
    home.write(
        "two.yaml",
        &document("two", "  - a:\n      set: { x: 1 }\n  - b:\n      set: { y: 2 }\n"),
    );
    let _dev = home.dev();
    let run = home.run(&["run", "two.yaml"]).ends_with(0).run_id();
    let ended = home.run(&["runs", "follow", &run, "-o", "json"]).ends_with(0);
    let events: Vec<Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let kinds: Vec<&str> =
        events.iter().map(|event| event["kind"].as_str().expect("a kind")).collect();
    assert_eq!(kinds, ["started", "completed", "started", "completed", "state"]);
    assert_eq!(events[4]["state"], "completed");
}

/// Iterations of a run that only computes: some forty records of ten thousand steps each.
const ITERATIONS: u64 = 100_000;

/// Anonymous memory of the site while all that waits for somebody who does not read. It is 15 MiB
/// where nobody follows.
const HELD_KIB_MAX: u64 = 40 * 1024;

fn anonymous_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it is there");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Mutation: let everything wait for a follower who does not read, or tell him twice where the journal
/// and what waits for him meet.
#[test]
fn a_follower_who_does_not_read_costs_little_and_misses_nothing() {
    let home = Home::new();
    let each = format!(
        "  - each:\n      for: {{ each: i, in: '[range({ITERATIONS})]' }}\n      do:\n        - keep: {{ set: {{ n: '${{ $i }}' }} }}\n"
    );
    home.write("count.yaml", &document("count", &each));
    let dev = home.dev();
    home.run(&["apply", "-f", "count.yaml", "--yes"]).ends_with(0);
    let run = "run_01a1fb7b-d522-7414-8c47-aa7df2bebacf";
    let order = json!({ "workflow": "count", "run": run, "input": {} });
    let runs = "/api/v1/namespaces/default/runs";
    let begun = ask(&dev.door(), "POST", runs, &order).expect("an answer");
    assert_eq!(begun.status, 201, "{begun:?}");
    let told = follow(&dev.door(), &format!("{runs}/{run}/follow")).expect("an answer");
    let ended = loop {
        let reply =
            ask(&dev.door(), "POST", &format!("{runs}?wait=60"), &order).expect("an answer");
        if reply.body["state"] != "running" {
            break reply;
        }
    };
    assert_eq!(ended.body["state"], "completed", "{ended:?}");
    let held = anonymous_kib(dev.process.id());
    let mut next = 0;
    let mut last = Value::Null;
    for event in told {
        last = serde_json::from_str(&event).expect("an event");
        if last["kind"] == "iteration" {
            assert_eq!(last["index"].as_u64(), Some(next), "{last}");
            next += 1;
        }
    }
    assert_eq!((next, &last["state"]), (ITERATIONS, &json!("completed")));
    assert!(held < HELD_KIB_MAX, "{held} KiB");
    println!("{held} KiB held, {} KiB after", anonymous_kib(dev.process.id()));
    dev.stop().ends_with(0);
}
