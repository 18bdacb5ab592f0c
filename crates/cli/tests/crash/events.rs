//! Events from outside, while the site dies: each that was acknowledged is dealt with once, in its
//! order, whenever the site is killed.

use std::sync::mpsc::channel;

use engine::failpoint::{AFTER_ACT, AFTER_COMMIT, BEFORE_COMMIT};

use crate::support::world::{Answer, World};
use crate::support::{Ended, HANG, Home, Lines, Process, document};

const RUN: &str = "run_01a1fb7b-d522-7414-8c47-aa7df2bebacf";

/// Events that are sent, one after another.
const EVENTS: u32 = 4;

/// How often one event is sent before the test gives up. While the site is away a try takes a few
/// milliseconds; it is back within a second.
const TRIES_MAX: u32 = 2_000;

/// More passes than the workflow has: beyond it something goes round and round.
const PASSES_MAX: u32 = 60;

const TASKS: &str = "
  - hear:
      listen:
        to:
          any: [ { with: { type: step, data: '${ .n > 0 }' } } ]
          until: { one: { with: { type: enough } } }
      foreach:
        item: step
        do:
          - heard:
              call: http
              with: { method: post, endpoint: WORLD/heard, body: '${ $step }' }
        output: { as: '${ $step.n }' }
";

struct Place {
    home: Home,
    world: World,
}

#[derive(Debug, PartialEq)]
struct Seen {
    output: serde_json::Value,
    /// Bodies and keys of what the world was asked.
    effects: Vec<(String, String)>,
}

impl Place {
    fn new() -> Self {
        let home = Home::new();
        let world = World::remembering(|_, _| Answer::Json("{}".to_owned()));
        home.allow(&world.url);
        home.write(
            "hear.yaml",
            &document("hear", &TASKS.replace("WORLD", &world.url)).replace("do:\n\n", "do:\n"),
        );
        Self { home, world }
    }

    fn run(&self) -> Process {
        self.home.start(&["run", "hear.yaml", "--id", RUN])
    }

    fn seen(&self, ended: &Ended) -> Seen {
        let effects = self.world.effects();
        let effects = effects.into_iter().map(|effect| (effect.path, effect.key)).collect();
        Seen { output: ended.json(), effects }
    }
}

/// Waits until the run listens, then sends its events; each until the site has it.
fn send(home: &Home) {
    let kind = "io.serverlessworkflow.workflow.correlation-started.v1";
    let follow = ["events", "follow", "--type", kind, "--after", "0", "-o", "json"];
    for _ in 0..TRIES_MAX {
        let mut follower = home.start(&follow);
        if follower.stdout.next().is_some() {
            break;
        }
    }
    for n in 1..=EVENTS {
        emit(home, "step", n, 0);
        emit(home, "step", n, i64::from(n));
    }
    emit(home, "enough", 1, 1);
}

fn emit(home: &Home, kind: &str, id: u32, n: i64) {
    let (id, data) = (format!("{kind}-{id}-{n}"), format!("{{\"n\": {n}}}"));
    for _ in 0..TRIES_MAX {
        if home.run(&["emit", kind, "--id", &id, "-d", &data]).code == 0 {
            return;
        }
    }
    panic!("the event {id} was never taken in");
}

fn undisturbed() -> Seen {
    let place = Place::new();
    let dev = place.home.dev();
    let run = place.run();
    send(&place.home);
    let ended = run.end().ends_with(0);
    let seen = place.seen(&ended);
    dev.stop().ends_with(0);
    seen
}

/// Kills the site at this pass of this failpoint while events come. Nothing where it was not passed
/// so often.
fn disturbed(failpoint: &str, pass: u32) -> Option<Seen> {
    let place = Place::new();
    let variables = [("ISONOMY_FAILPOINT", format!("{failpoint}:{pass}"))];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut dev = place.home.dev_with(&[], &variables);
    let lines = dev.process.stderr.take();
    let mut first = place.run();
    let output = first.stdout.take();
    let (ended, is_reached) = std::thread::scope(|scope| {
        let (tell, news) = channel();
        let reached = tell.clone();
        scope.spawn(move || reached.send(is_told(lines, failpoint)));
        let home = &place.home;
        scope.spawn(move || send(home));
        scope.spawn(move || {
            drain(output);
            // The site goes on to live, and its lines would never end.
            tell.send(false)
        });
        let is_reached = news.recv_timeout(HANG).expect("news in time");
        dev.kill();
        let again = place.home.dev();
        let ended = place.run().end().ends_with(0);
        again.stop().ends_with(0);
        place.home.is_whole();
        // It may have lost the site, and would look for it for a while.
        first.kill();
        (ended, is_reached)
    });
    is_reached.then(|| place.seen(&ended))
}

fn is_told(mut lines: Lines, failpoint: &str) -> bool {
    let marker = format!("failpoint {failpoint} reached");
    while let Some(line) = lines.next() {
        if line == marker {
            return true;
        }
    }
    false
}

fn drain(mut lines: Lines) {
    while lines.next().is_some() {}
}

fn no_event_is_lost(failpoint: &str) {
    let undisturbed = undisturbed();
    assert_eq!(undisturbed.output, serde_json::json!([1, 2, 3, 4]));
    assert_eq!(undisturbed.effects.len(), EVENTS as usize);
    let mut pass = 1;
    while let Some(seen) = disturbed(failpoint, pass) {
        assert_eq!(seen, undisturbed, "killed at {failpoint}:{pass}");
        pass += 1;
        assert!(pass <= PASSES_MAX, "{failpoint} is passed without end");
    }
    assert!(pass > 1, "{failpoint} is never passed");
    println!("events from outside | killed at {failpoint} × {}", pass - 1);
}

/// Mutation: acknowledge an event before it is durable, or move a listener's cursor in memory only.
#[test]
fn no_event_is_lost_or_seen_twice_when_the_site_dies_before_a_commit() {
    no_event_is_lost(BEFORE_COMMIT);
}

/// Mutation: write an event and the cursor in two commits.
#[test]
fn no_event_is_lost_or_seen_twice_when_the_site_dies_after_a_commit() {
    no_event_is_lost(AFTER_COMMIT);
}

/// Mutation: deal with an event again because its task was not done.
#[test]
fn no_event_is_lost_or_seen_twice_when_the_site_dies_after_an_act() {
    no_event_is_lost(AFTER_ACT);
}
