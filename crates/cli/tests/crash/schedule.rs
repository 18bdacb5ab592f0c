//! Real SIGKILL while a schedule begins runs: each of its times gets one run, and each run has its
//! effect once.

use std::collections::BTreeSet;

use engine::failpoint::{AFTER_COMMIT, AFTER_SCHEDULED, BEFORE_COMMIT};

use crate::support::Home;
use crate::support::world::{Answer, World};

/// Short, so that a test is; long enough for several starts of a site to fall between two beats.
const BEAT_MS: i64 = 200;

/// Runs that are waited for after the crash.
const RUNS: usize = 6;

const PASSES: u32 = 3;

fn survives(failpoint: &str, pass: u32) {
    let home = Home::new();
    let world = World::new(|_| Answer::Json("{}".to_owned()));
    home.allow(&world.url);
    let text = format!(
        "document: {{ dsl: 1.0.3, namespace: default, name: tick, version: 1.0.0 }}\nschedule: {{ every: {{ milliseconds: {BEAT_MS} }}, missed: all }}\ndo:\n  - post:\n      call: http\n      with: {{ method: post, endpoint: {}/tick }}\n",
        world.url
    );
    home.write("tick.yaml", &text);
    let mut dev = home.dev_with(&[], &[("ISONOMY_FAILPOINT", &format!("{failpoint}:{pass}"))]);
    home.run(&["apply", "-f", "tick.yaml", "--yes"]).ends_with(0);
    dev.process.stderr.until(&format!("failpoint {failpoint} reached"));
    dev.kill();
    let dev = home.dev();
    for _ in 0..RUNS {
        world.request();
    }
    home.run(&["workflows", "delete", "tick"]).ends_with(0);
    let list = home.run(&["runs", "--all", "-o", "json"]).ends_with(0).json();
    let runs = list["items"].as_array().expect("a list").iter();
    let runs: BTreeSet<&str> = runs.map(|run| run["run"].as_str().expect("an id")).collect();
    for run in &runs {
        home.run(&["runs", "follow", run]).ends_with(0);
    }
    // The time stands in the first 48 bits of an id.
    let time = |run: &str| i64::from_str_radix(&run[4..].replace('-', "")[..12], 16);
    let times: Vec<i64> = runs.iter().map(|run| time(run).expect("hexadecimal")).collect();
    let where_killed = format!("killed at {failpoint}:{pass}");
    for two in times.windows(2) {
        assert_eq!(two[1] - two[0], BEAT_MS, "{where_killed}: {times:?}");
    }
    assert_eq!(world.effects().len(), runs.len(), "{where_killed}");
    dev.stop().ends_with(0);
    home.is_whole();
}

/// Mutation: make the id of a scheduled run at random, or write the next time before the run is
/// started.
#[test]
fn every_time_of_a_schedule_survives_every_kill_with_one_run() {
    for failpoint in [AFTER_SCHEDULED, BEFORE_COMMIT, AFTER_COMMIT] {
        for pass in 1..=PASSES {
            survives(failpoint, pass);
        }
    }
}

/// Events that begin a run each.
const EVENTS: usize = 4;

/// How often one event is sent before the test gives up: the site is back within a second.
const TRIES_MAX: u32 = 2_000;

fn emit(home: &Home, id: usize) {
    let (id, data) = (format!("tick-{id}"), format!("{{\"n\": {id}}}"));
    for _ in 0..TRIES_MAX {
        if home.run(&["emit", "tick", "--id", &id, "-d", &data]).code == 0 {
            return;
        }
    }
    panic!("the event {id} was never taken in");
}

fn survives_with_events(failpoint: &str, pass: u32) {
    let home = Home::new();
    let world = World::remembering(|_, _| Answer::Json("{}".to_owned()));
    home.allow(&world.url);
    let text = format!(
        "document: {{ dsl: 1.0.3, namespace: default, name: tick, version: 1.0.0 }}\nschedule: {{ on: {{ one: {{ with: {{ type: tick }} }} }} }}\ndo:\n  - post:\n      call: http\n      with: {{ method: post, endpoint: '{}/tick', body: '${{ $workflow.input[0] }}' }}\n",
        world.url
    );
    home.write("tick.yaml", &text);
    let mut dev = home.dev_with(&[], &[("ISONOMY_FAILPOINT", &format!("{failpoint}:{pass}"))]);
    home.run(&["apply", "-f", "tick.yaml", "--yes"]).ends_with(0);
    let dev = std::thread::scope(|scope| {
        let home = &home;
        scope.spawn(move || (0..EVENTS).for_each(|id| emit(home, id)));
        dev.process.stderr.until(&format!("failpoint {failpoint} reached"));
        dev.kill();
        home.dev()
    });
    let where_killed = format!("killed at {failpoint}:{pass}");
    let mut keys = BTreeSet::new();
    while keys.len() < EVENTS {
        keys.insert(world.request().key);
    }
    home.run(&["workflows", "delete", "tick"]).ends_with(0);
    let list = home.run(&["runs", "--all", "-o", "json"]).ends_with(0).json();
    let runs = list["items"].as_array().expect("a list");
    for run in runs {
        home.run(&["runs", "follow", run["run"].as_str().expect("an id")]).ends_with(0);
    }
    assert_eq!(runs.len(), EVENTS, "{where_killed}");
    assert_eq!(world.effects().len(), EVENTS, "{where_killed}");
    dev.stop().ends_with(0);
    home.is_whole();
}

/// Mutation: make the id of a run by events at random, or move on before the run is started.
#[test]
fn every_event_of_a_schedule_survives_every_kill_with_one_run() {
    for failpoint in [AFTER_SCHEDULED, BEFORE_COMMIT, AFTER_COMMIT] {
        for pass in 1..=PASSES {
            survives_with_events(failpoint, pass);
        }
    }
}
