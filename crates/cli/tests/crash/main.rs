//! Real SIGKILL at named places: before a commit, after it, and after an act whose result is not
//! recorded; each at every pass, for workflows that cover every kind of task. What comes out must be
//! what comes out undisturbed, and a world outside must see the same effects, each once.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, channel};

use engine::failpoint::{AFTER_ACT, AFTER_COMMIT, BEFORE_COMMIT};
use spec::tree::TaskKind;

mod events;
mod power;
mod schedule;
#[path = "../support/mod.rs"]
mod support;
mod turns;

use support::world::{Answer, Effect, Request, World};
use support::{Ended, HANG, Home, Lines, Process, document};

/// Named by the test, so that the idempotency keys of all attempts can be compared.
const RUN: &str = "run_01a1fb7b-d522-7414-8c47-aa7df2bebacf";

/// More passes than any of the workflows has: beyond it something goes round and round.
const PASSES_MAX: u32 = 60;

struct Case {
    name: &'static str,
    /// With `WORLD` for the address of the world, and `HOME` for the folder.
    tasks: &'static str,
    /// Whether effects have one order. Branches of a fork have none.
    is_ordered: bool,
}

const STEPS: Case = Case {
    name: "steps",
    is_ordered: true,
    tasks: "
  - begin:
      set: { n: '${ .n }' }
  - choose:
      switch:
        - many: { when: .n > 2, then: loop }
        - few: { then: end }
  - never:
      set: { wrong: true }
  - loop:
      for: { each: i, in: '[10, 20]' }
      do:
        - post:
            call: http
            with: { method: post, endpoint: WORLD/post, body: { i: '${ $i }' } }
        - say:
            call: echo:1.0.0@default
            with: { i: '${ $i }', answer: '${ . }' }
  - group:
      do:
        - pause:
            wait: PT0.02S
        - last:
            set: { end: '${ . }' }
",
};

const TRIES: Case = Case {
    name: "tries",
    is_ordered: true,
    tasks: "
  - attempt:
      try:
        - first:
            call: http
            with: { method: post, endpoint: WORLD/first }
        - flaky:
            call: http
            with: { method: post, endpoint: WORLD/flaky }
      catch:
        errors: { with: { status: 503 } }
        retry: { delay: PT0.02S, limit: { attempt: { count: 5 } } }
  - careful:
      try:
        - complain:
            raise: { error: { type: https://example.com/errors/own, status: 418, title: Own } }
      catch:
        as: problem
        do:
          - note:
              set: { caught: '${ $problem.status }' }
  - after:
      call: http
      with: { method: post, endpoint: WORLD/after, body: '${ . }' }
      output: { as: '${ { answer: ., caught: $input.caught } }' }
",
};

const BRANCHES: Case = Case {
    name: "branches",
    is_ordered: false,
    tasks: "
  - all:
      fork:
        branches:
          - left:
              call: http
              with: { method: post, endpoint: WORLD/left }
          - right:
              do:
                - pause:
                    wait: PT0.01S
                - call:
                    call: http
                    with: { method: post, endpoint: WORLD/right }
          - middle:
              for: { each: i, in: '[1, 2]' }
              do:
                - each:
                    call: http
                    with: { method: post, endpoint: WORLD/middle }
  - race:
      fork:
        compete: true
        branches:
          - slow:
              wait: PT1H
          - fast:
              call: http
              with: { method: post, endpoint: WORLD/fast }
",
};

const FILES: Case = Case {
    name: "files",
    is_ordered: true,
    tasks: "
  - read:
      call: csv:1.0.0@default
      with: { path: HOME/rows.csv }
  - outside:
      set: { rows: '${ def keep: map(select(.n > 1)); .rows | keep }' }
  - each:
      for: { each: row, in: .rows }
      do:
        - post:
            call: http
            with: { method: post, endpoint: WORLD/row, body: '${ $row }' }
            timeout: { after: PT1M }
  - finish:
      set: { last: '${ . }' }
",
};

const EXTENDED: Case = Case {
    name: "extended",
    is_ordered: true,
    tasks: "
  - ask:
      call: http
      with: { method: post, endpoint: WORLD/ask }
  - mocked:
      call: http
      with: { method: post, endpoint: WORLD/mocked }
  - careful:
      try:
        - complain:
            raise: { error: { type: https://example.com/errors/own, status: 418 } }
      catch:
        do:
          - note:
              set: { noted: '${ . }' }
        then: last
  - never:
      set: { wrong: true }
  - last:
      call: http
      with: { method: post, endpoint: WORLD/last, body: '${ . }' }
use:
  extensions:
    - log:
        extend: call
        before:
          - log:
              call: http
              with: { method: post, endpoint: WORLD/before, body: '${ $task.name }' }
        after:
          - log:
              call: http
              with: { method: post, endpoint: WORLD/after, body: '${ $task.output }' }
    - mock:
        extend: call
        when: $task.name == \"mocked\"
        before:
          - answer:
              call: http
              with: { method: post, endpoint: WORLD/answer }
              then: exit
",
};

const GRAPH: Case = Case {
    name: "graph",
    is_ordered: false,
    tasks: "
  - all:
      fork:
        branches:
          - a:
              call: http
              with: { method: post, endpoint: WORLD/a }
          - b:
              do:
                - pause:
                    wait: PT0.01S
                - call:
                    call: http
                    with: { method: post, endpoint: WORLD/b }
          - c:
              metadata: { after: [a] }
              call: http
              with: { method: post, endpoint: WORLD/c, body: '${ . }' }
          - d:
              metadata: { after: [a, b] }
              call: http
              with: { method: post, endpoint: WORLD/d, body: '${ . }' }
",
};

const SENDING: Case = Case {
    name: "sending",
    is_ordered: false,
    tasks: "
  - both:
      fork:
        branches:
          - hear:
              listen:
                to: { any: [ { with: { type: step } } ], until: '${ length == 2 }' }
              foreach:
                do:
                  - heard:
                      call: http
                      with: { method: post, endpoint: WORLD/heard, body: '${ $item }' }
                output: { as: '${ $item }' }
          - tell:
              for: { each: i, in: '[1, 2]' }
              do:
                - tell:
                    call: http
                    with: { method: post, endpoint: WORLD/tell }
                - send:
                    emit: { event: { with: { type: step, data: { i: '${ $i }' } } } }
                    output: { as: '${ .data }' }
",
};

const PROCESSES: Case = Case {
    name: "processes",
    is_ordered: true,
    tasks: "
  - command:
      run:
        shell: { command: 'echo \"$1 of $N\"; echo nothing >&2', arguments: [one], environment: { N: '${ .n }' } }
        return: all
  - script:
      run:
        script:
          language: python
          stdin: '${ . }'
          arguments: [WORLD/script]
          code: |
            import json, os, sys, urllib.request
            key = os.environ['ISONOMY_IDEMPOTENCY_KEY']
            request = urllib.request.Request(sys.argv[1], data=b'{}', headers={'idempotency-key': key})
            answer = json.load(urllib.request.urlopen(request))
            print(json.dumps([json.load(sys.stdin), answer]))
  - after:
      call: http
      with: { method: post, endpoint: WORLD/after, body: '${ . }' }
      output: { as: '${ [$input, .] }' }
",
};

const CHILDREN: Case = Case {
    name: "children",
    is_ordered: true,
    tasks: "
  - before:
      call: http
      with: { method: post, endpoint: WORLD/before }
  - child:
      run:
        workflow:
          namespace: default
          name: child
          version: latest
          input: { world: WORLD, before: '${ . }' }
  - after:
      call: http
      with: { method: post, endpoint: WORLD/after, body: '${ . }' }
      output: { as: '${ { answer: ., child: $input } }' }
",
};

/// What [`CHILDREN`] runs.
const CHILD: &str = "
  - ask:
      call: http
      with: { method: post, endpoint: '${ .world + \"/in-child\" }' }
      output: { as: '${ . + {before: $input.before} }' }
  - pause:
      wait: PT0.02S
";

/// What [`SERVICES`] calls an operation of.
const OPENAPI: &str = r#"{"openapi": "3.0.3", "servers": [{"url": "/"}], "paths": {"/orders/{item}": {"post": {
    "operationId": "order", "requestBody": {"content": {"application/json": {}}},
    "parameters": [{"name": "item", "in": "path", "required": true}]}}}}"#;

const SERVICES: Case = Case {
    name: "services",
    is_ordered: true,
    tasks: "
  - first:
      call: ask
      with: { n: '${ .n }' }
  - order:
      call: openapi
      with:
        document: { endpoint: WORLD/openapi.json }
        operationId: order
        parameters: { item: lamp, pieces: 3 }
  - again:
      call: ask
      with: { n: 2 }
      output: { as: '${ [$input, .] }' }
use:
  functions:
    ask:
      do:
        - post:
            call: http
            with: { method: post, endpoint: WORLD/ask, body: '${ . }' }
",
};

const CASES: [Case; 10] =
    [STEPS, TRIES, BRANCHES, FILES, EXTENDED, GRAPH, SENDING, PROCESSES, CHILDREN, SERVICES];

impl Case {
    fn text(&self, world: &str, home: &str) -> String {
        document(self.name, &self.tasks.replace("WORLD", world).replace("HOME", home))
            .replace("do:\n\n", "do:\n")
    }

    fn kinds(&self) -> BTreeSet<&'static str> {
        let text = self.text("http://127.0.0.1:1", "/data");
        let read = spec::read(&text, &worker::Catalog::shipped());
        let read = read.unwrap_or_else(|wrong| panic!("{}: {wrong:?}", self.name));
        read.workflow.tasks.iter().map(|task| task.kind.name()).collect()
    }
}

/// Refuses until the task before it was done twice, so that what it answers does not depend on how
/// often it is asked.
fn answer(request: &Request, effects: &[Effect]) -> Answer {
    let firsts = effects.iter().filter(|effect| effect.path == "/first").count();
    if request.path == "/flaky" && firsts < 2 {
        return Answer::Status(503);
    }
    if request.path == "/openapi.json" {
        return Answer::Json(OPENAPI.to_owned());
    }
    Answer::Json(format!("{{\"path\": \"{}\"}}", request.path))
}

/// A place of its own for one attempt.
struct Place {
    home: Home,
    world: World,
    file: String,
}

/// What must be the same however often the site dies.
#[derive(Debug, PartialEq)]
struct Seen {
    output: serde_json::Value,
    effects: Vec<(String, String)>,
}

impl Place {
    fn new(case: &Case) -> Self {
        let (home, world) = (Home::new(), World::remembering(answer));
        home.allow(&world.url);
        home.write("rows.csv", "n,name\n1,a\n2,b\nbad\n3,c\n");
        let file = format!("{}.yaml", case.name);
        home.write("child.yaml", &document("child", CHILD).replace("do:\n\n", "do:\n"));
        home.write(&file, &case.text(&world.url, &home.path("").display().to_string()));
        Self { home, world, file }
    }

    fn start(&self) -> Process {
        self.home.start(&self.arguments())
    }

    fn arguments(&self) -> [&str; 8] {
        ["run", &self.file, "--with", "child.yaml", "--id", RUN, "-i", "n=3"]
    }

    /// The run's end as a site tells it, and what the world has seen of it.
    fn finish(&self, case: &Case) -> Seen {
        let output = self.home.run(&self.arguments()).ends_with(0).json();
        let mut effects: Vec<_> =
            self.world.effects().into_iter().map(|effect| (effect.path, effect.key)).collect();
        if !case.is_ordered {
            effects.sort();
        }
        Seen { output, effects }
    }
}

enum News {
    Reached,
    Ended(Ended),
}

/// Kills the site at this pass of this failpoint, and lets it go on. Nothing where the run has ended
/// before the failpoint was passed so often.
fn disturbed(case: &Case, failpoint: &str, pass: u32) -> Option<Seen> {
    let place = Place::new(case);
    let mut dev =
        place.home.dev_with(&[], &[("ISONOMY_FAILPOINT", &format!("{failpoint}:{pass}"))]);
    let news = race(dev.process.stderr.take(), place.start(), failpoint);
    let first = news.recv_timeout(HANG).expect("news in time");
    dev.kill();
    place.home.is_whole();
    // With the site its lines end, and with them the last chance of this failpoint.
    let mut told = vec![first];
    let again = place.home.dev();
    told.extend(news);
    let is_reached = told.iter().any(|news| matches!(news, News::Reached));
    let ended = told.into_iter().find_map(|news| match news {
        News::Ended(ended) => Some(ended),
        News::Reached => None,
    });
    let ended = ended.expect("the first client ends by itself");
    let seen = place.finish(case);
    // The client that was there all the time saw the same, unless its start was never answered.
    match ended.code {
        0 => assert_eq!(ended.json(), seen.output, "{ended:?}"),
        code => assert!(code == 6 && !ended.stderr.contains("started run_"), "{ended:?}"),
    }
    again.stop().ends_with(0);
    place.home.is_whole();
    is_reached.then_some(seen)
}

/// Who is first: the failpoint, or the end of the run. Closed when both are known.
fn race(mut lines: Lines, client: Process, failpoint: &str) -> Receiver<News> {
    let (sender, news) = channel();
    let marker = format!("failpoint {failpoint} reached");
    let reached = sender.clone();
    std::thread::spawn(move || {
        while let Some(line) = lines.next() {
            if line == marker {
                let _ = reached.send(News::Reached);
            }
        }
    });
    std::thread::spawn(move || sender.send(News::Ended(client.end())));
    news
}

/// Mutation: let the key of an effect depend on the process, or leave effects without a recorded
/// result alone when a run is taken up again.
fn survives_every_kill(case: &Case) {
    let place = Place::new(case);
    let dev = place.home.dev();
    let undisturbed = place.finish(case);
    dev.stop().ends_with(0);
    assert!(!undisturbed.effects.is_empty());
    let mut passes = Vec::new();
    for failpoint in [BEFORE_COMMIT, AFTER_COMMIT, AFTER_ACT] {
        let mut pass = 1;
        while let Some(seen) = disturbed(case, failpoint, pass) {
            assert_eq!(seen, undisturbed, "{}: killed at {failpoint}:{pass}", case.name);
            pass += 1;
            assert!(pass <= PASSES_MAX, "{}: {failpoint} is passed without end", case.name);
        }
        assert!(pass > 1, "{}: {failpoint} is never passed", case.name);
        passes.push(format!("{failpoint} × {}", pass - 1));
    }
    let kinds: Vec<_> = case.kinds().into_iter().collect();
    println!("{}: {} | killed at {}", case.name, kinds.join(", "), passes.join(", "));
}

/// Mutation: as at [`survives_every_kill`].
#[test]
fn steps_and_loops_survive_every_kill() {
    survives_every_kill(&STEPS);
}

/// Mutation: as at [`survives_every_kill`].
#[test]
fn retries_and_caught_errors_survive_every_kill() {
    survives_every_kill(&TRIES);
}

/// Mutation: as at [`survives_every_kill`].
#[test]
fn forks_and_races_survive_every_kill() {
    survives_every_kill(&BRANCHES);
}

/// Mutation: as at [`survives_every_kill`].
#[test]
fn files_and_foreign_expressions_survive_every_kill() {
    survives_every_kill(&FILES);
}

/// Mutation: as at [`survives_every_kill`].
#[test]
fn extensions_and_handlers_survive_every_kill() {
    survives_every_kill(&EXTENDED);
}

/// Mutation: as at [`survives_every_kill`].
#[test]
fn graphs_survive_every_kill() {
    survives_every_kill(&GRAPH);
}

/// Mutation: as at [`survives_every_kill`]; or give an emitted event another id after a crash.
#[test]
fn emitting_and_listening_survive_every_kill() {
    survives_every_kill(&SENDING);
}

/// Mutation: as at [`survives_every_kill`]; or give the process a key of its own.
#[test]
fn scripts_and_commands_survive_every_kill() {
    survives_every_kill(&PROCESSES);
}

/// Mutation: as at [`survives_every_kill`]; or give two calls of one function one key.
#[test]
fn functions_and_operations_survive_every_kill() {
    survives_every_kill(&SERVICES);
}

/// Mutation: as at [`survives_every_kill`]; or make the child's id from anything that a kill changes.
#[test]
fn children_survive_every_kill() {
    survives_every_kill(&CHILDREN);
}

/// Mutation: add a kind of task and no case for it.
#[test]
fn every_kind_of_task_is_killed() {
    let covered: BTreeSet<_> = CASES.iter().flat_map(Case::kinds).collect();
    assert_eq!(covered, TaskKind::NAMES.iter().copied().collect());
}
