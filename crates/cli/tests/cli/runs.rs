//! `isonomy runs`: finding, looking, and changing the course.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::support::world::{Answer, World};
use crate::support::{Home, document};

/// Mutation: drop a filter on its way, or the hint to the next page.
#[test]
fn lists_are_filtered_and_paged() {
    let home = Home::new();
    home.write("a.yaml", &document("a", "  - a:\n      set: { x: 1 }\n"));
    home.write("b.yaml", &document("b", "  - a:\n      raise: { error: { type: https://example.com/e, status: 400, title: Broken } }\n"));
    let _dev = home.dev();
    for _ in 0..3 {
        home.run(&["run", "a.yaml"]).ends_with(0);
    }
    home.run(&["run", "b.yaml"]).ends_with(1);
    let count = |args: &[&str]| {
        let ended = home.run(&[&["runs", "list", "-o", "json"], args].concat()).ends_with(0);
        ended.json()["items"].as_array().expect("a list").len()
    };
    assert_eq!(count(&[]), 4);
    assert_eq!(count(&["--workflow", "a"]), 3);
    assert_eq!(count(&["--state", "faulted"]), 1);
    assert_eq!(count(&["--state", "faulted,completed"]), 4);
    assert_eq!(count(&["--since", "1h"]), 4);
    assert_eq!(count(&["--since", "2999-01-01T00:00:00Z"]), 0);
    assert_eq!(count(&["--limit", "1", "--all"]), 4);
    home.run(&["runs", "--state", "lost"]).ends_with(2);
    home.run(&["runs", "--since", "yesterday"]).ends_with(2);
    home.run(&["runs", "--limit", "0"]).ends_with(2);

    let page = home.run(&["runs", "--limit", "3"]).ends_with(0);
    assert_eq!(page.stdout.lines().count(), 4, "{}", page.stdout);
    let cursor =
        page.stderr.split('`').nth(1).expect("a command").split(' ').nth(1).expect("a cursor");
    let rest = home.run(&["runs", "--limit", "3", "--cursor", cursor]).ends_with(0);
    assert_eq!((rest.stdout.lines().count(), rest.stderr.as_str()), (2, ""), "{}", rest.stdout);
    assert!(page.stdout.contains("Broken (400)"), "newest first: {}", page.stdout);
}

/// Mutation: start a new run instead, or repeat what was done.
#[test]
fn retry_goes_on_from_the_task_that_faulted() {
    let home = Home::new();
    let is_well = Arc::new(AtomicBool::new(false));
    let well = Arc::clone(&is_well);
    let world = World::new(move |request| {
        let refuses = request.path == "/b" && !well.load(Ordering::SeqCst);
        if refuses { Answer::Status(404) } else { Answer::Json("{\"done\": true}".to_owned()) }
    });
    home.allow(&world.url);
    let call = |name: &str| {
        format!(
            "  - {name}:\n      call: http\n      with: {{ method: post, endpoint: {}/{name} }}\n",
            world.url
        )
    };
    home.write("two.yaml", &document("two", &[call("a"), call("b")].concat()));
    let _dev = home.dev();
    let ended = home.run(&["run", "two.yaml"]).ends_with(1);
    let run = ended.run_id();
    let shown = home.run(&["runs", "show", &run]).ends_with(0).stdout;
    assert!(
        shown.find("faulted task `b` at /do/1/b").expect("the fault")
            < shown.find("\ntasks\n").expect("the tasks"),
        "{shown}"
    );

    is_well.store(true, Ordering::SeqCst);
    let said = home.run(&["runs", "retry", &run, "--reason", "it is well again"]).ends_with(0);
    assert!(said.stderr.contains(&format!("isonomy runs follow {run}")), "{}", said.stderr);
    home.run(&["runs", "follow", &run]).ends_with(0);
    let paths: Vec<String> = (0..3).map(|_| world.request().path).collect();
    assert_eq!(paths, ["/a", "/b", "/b"]);
    let refused = home.run(&["runs", "retry", &run]).ends_with(2);
    assert!(refused.stderr.contains("[RUN-0"), "{}", refused.stderr);
    let events = home.run(&["runs", "events", &run, "-o", "json"]).ends_with(0).json();
    let kinds: Vec<&str> = events["items"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|event| event["kind"].as_str())
        .collect();
    assert!(kinds.contains(&"retried"), "{kinds:?}");
}

/// Mutation: cancel at the end only, or answer 0 for a run that has ended.
#[test]
fn cancel_cuts_off_a_call_in_flight() {
    let home = Home::new();
    let world = World::new(|_| Answer::Silence);
    home.allow(&world.url);
    let tasks = format!(
        "  - fetch:\n      call: http\n      with: {{ method: get, endpoint: {}/x }}\n",
        world.url
    );
    home.write("fetch.yaml", &document("fetch", &tasks));
    let _dev = home.dev();
    let run = home.run(&["run", "fetch.yaml", "--detach"]).ends_with(0).run_id();
    world.request();
    home.run(&["runs", "cancel", &run, "--reason", "enough"]).ends_with(0);
    world.closed();
    home.run(&["runs", "follow", &run]).ends_with(8);
    home.run(&["runs", "cancel", &run]).ends_with(2);
    home.run(&["runs", "cancel", "run_01a1fb7b-d522-7414-8c47-aa7df2bebacf"]).ends_with(2);
    let shown = home.run(&["runs", "show", &run, "-o", "json"]).json();
    assert_eq!((&shown["state"], &shown["startedBy"]), (&json!("cancelled"), &json!("tester")));
}

/// Mutation: begin the next task of a run that stands still, show it as running, or let one go on that
/// does not stand still.
#[test]
fn a_run_stands_still_until_somebody_resumes_it() {
    let home = Home::new();
    let world = World::new(|_| Answer::Json("{\"done\": true}".to_owned()));
    home.allow(&world.url);
    let tasks = format!(
        "  - nap:\n      listen: {{ to: {{ one: {{ with: {{ type: go }} }} }} }}\n  - tell:\n      call: http\n      with: {{ method: post, endpoint: {}/tell }}\n",
        world.url
    );
    home.write("nap.yaml", &document("nap", &tasks));
    let dev = home.dev();
    let run = home.run(&["run", "nap.yaml", "--detach"]).ends_with(0).run_id();
    let said = home.run(&["runs", "suspend", &run, "--reason", "the line is down"]).ends_with(0);
    assert!(said.stderr.contains(&format!("isonomy runs resume {run}")), "{}", said.stderr);
    home.run(&["runs", "suspend", &run]).ends_with(0);
    home.run(&["emit", "go"]).ends_with(0);
    drop(dev);

    let _dev = home.dev();
    let shown = home.run(&["runs", "show", &run, "-o", "json"]).ends_with(0).json();
    assert_eq!(
        (&shown["state"], &shown["tasks"][0]["state"]),
        (&json!("suspended"), &json!("suspended"))
    );
    assert_eq!(shown["suspended"], json!("by tester: the line is down"));
    let followed = home.run(&["runs", "follow", &run]).ends_with(7);
    assert!(followed.stderr.contains("the line is down"), "{}", followed.stderr);
    let refused = home.run(&["runs", "retry", &run]).ends_with(2);
    assert!(refused.stderr.contains("RUN-004"), "{}", refused.stderr);
    assert!(refused.stderr.contains("isonomy runs resume"), "{}", refused.stderr);
    home.run(&["runs", "resume", &run]).ends_with(0);
    home.run(&["runs", "follow", &run]).ends_with(0);
    assert_eq!(world.request().path, "/tell");
    assert!(home.run(&["runs", "resume", &run]).ends_with(2).stderr.contains("RUN-003"));
    assert!(home.run(&["runs", "suspend", &run]).ends_with(2).stderr.contains("RUN-003"));
    let other = home.run(&["run", "nap.yaml", "--detach"]).ends_with(0).run_id();
    assert!(home.run(&["runs", "resume", &other]).ends_with(2).stderr.contains("RUN-007"));
    let told =
        home.run(&["events", "list", "--run", &run, "--all", "-o", "json"]).ends_with(0).stdout;
    for kind in ["task.suspended.v1", "task.resumed.v1", "workflow.suspended.v1"] {
        assert!(told.contains(kind), "{kind}: {told}");
    }
}

/// Mutation: begin at the first record always, or stop after the first page.
#[test]
fn events_come_in_pages() {
    let home = Home::new();
    home.write(
        "e.yaml",
        &document("e", &"  - NAME:\n      call: echo:1.0.0@default\n".replace("NAME", "a")),
    );
    let _dev = home.dev();
    let run = home.run(&["run", "e.yaml"]).ends_with(0).run_id();
    let sequences = |args: &[&str]| {
        let ended =
            home.run(&[&["runs", "events", &run, "-o", "json"], args].concat()).ends_with(0);
        let items = ended.json()["items"].as_array().expect("a list").clone();
        items.iter().map(|event| event["sequence"].as_u64().expect("a number")).collect::<Vec<_>>()
    };
    let all = sequences(&[]);
    assert!(all.len() >= 2, "{all:?}");
    assert_eq!(sequences(&["--limit", "1", "--all"]), all);
    assert_eq!(sequences(&["--after", "1"]), all[1..]);
    let page = home.run(&["runs", "events", &run, "--limit", "1"]).ends_with(0);
    assert!(page.stderr.contains("`--after 1`"), "{}", page.stderr);
}
