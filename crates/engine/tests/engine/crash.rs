//! Every prefix of every journal, on a SQLite file, with the effect not done and with the effect
//! done but unrecorded: the run that goes on from there ends like the undisturbed one, and the
//! world has seen each effect once.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::Digest;
use base::value::to_json_string;
use bytes::Bytes;
use engine::driver::record;
use engine::event::Event;
use engine::format::references;
use engine::lifecycle::{self, Said, Subject};
use engine::machine::{Effect, Machine};
use engine::record::{Decided, Happened, Record};
use engine::replay::replay;
use spec::tree::TaskKind;
use store::{Op, Preconditions, RunRow, RunState, Sequence, Store};

use crate::check;
use crate::site::{open, open_store, put_revision, site, start};
use crate::walk::{by, started, workflow};
use crate::world::{Books, World};

pub struct Case {
    pub name: &'static str,
    pub body: &'static str,
    pub input: &'static str,
}

pub const CASES: [Case; 15] = [
    Case {
        name: "pure",
        input: r#"{"n":3}"#,
        body: "
do:
  - group: {do: [{one: {set: {n: '${ .n + 1 }'}}, }]}
  - choose: {switch: [{big: {when: '.n > 3', then: call}}, {small: {then: end}}]}
  - never: {set: {no: 1}}
  - call: {call: 'echo:1.0.0@default', with: {n: '${ .n }'}}
",
    },
    Case {
        name: "loop of calls",
        input: r#"{"sum":0}"#,
        body: "
do:
  - each:
      for: {in: '${ [1,2,3] }'}
      do:
        - call: {call: http, with: {method: post, endpoint: 'http://world/ok/x', body: {item: '${ $item }'}}, output: {as: '${ {sum: $input.sum} }'}}
        - add: {set: {sum: '${ .sum + $item }'}}
",
    },
    Case {
        name: "backward then",
        input: "{}",
        body: "
do:
  - count: {set: {n: '${ (.n // 0) + 1 }'}}
  - poll: {call: http, with: {method: get, endpoint: 'http://world/ok/poll'}, output: {as: '${ $input }'}}
  - again: {switch: [{more: {when: '.n < 3', then: count}}], then: end}
",
    },
    Case {
        name: "retry around two effects",
        input: "{}",
        body: "
do:
  - guard:
      try:
        - first: {call: http, with: {method: post, endpoint: 'http://world/ok/first'}}
        - second: {call: http, with: {method: post, endpoint: 'http://world/attempt/2'}}
      catch: {retry: {delay: PT0.001S, backoff: {exponential: {}}, limit: {attempt: {count: 5}}}}
  - after: {call: 'echo:1.0.0@default', with: {after: '${ .after }'}}
",
    },
    Case {
        name: "functions and operations",
        input: r#"{"n":1}"#,
        body: "
use: {functions: {both: {do: [{one: {call: 'http://docs/function.yaml', with: {n: '${ .n }'}}}, {two: {call: http, with: {method: post, endpoint: 'http://world/ok/two'}}}]}}}
do:
  - first: {call: both, with: {n: '${ .n }'}}
  - order: {call: openapi, with: {document: {endpoint: 'http://docs/openapi.yaml'}, operationId: order, parameters: {item: lamp, tag: x}}}
  - again: {call: both, with: {n: 2}}
",
    },
    Case {
        name: "raise and catch",
        input: "{}",
        body: "
do:
  - guard:
      try:
        - call: {call: http, with: {method: post, endpoint: 'http://world/bad'}}
      catch:
        do:
          - undo: {call: http, with: {method: post, endpoint: 'http://world/ok/undo'}}
          - bang: {try: [{b: {raise: {error: {type: 'https://example.com/e', status: 409}}}}], catch: {as: e, do: [{note: {set: {status: '${ $e.status }'}}}]}}
",
    },
    Case {
        name: "fork in for in fork",
        input: "{}",
        body: "
do:
  - outer:
      fork:
        branches:
          - left:
              for: {in: '${ [1,2] }'}
              do:
                - inner:
                    fork:
                      branches:
                        - a: {call: http, with: {method: post, endpoint: 'http://world/ok/a'}}
                        - b: {call: 'echo:1.0.0@default', with: {item: '${ $item }'}}
          - right: {call: http, with: {method: post, endpoint: 'http://world/ok/right'}}
",
    },
    Case {
        name: "race, waits and timeouts",
        input: "{}",
        body: "
do:
  - nap: {wait: PT0.002S}
  - race:
      fork:
        compete: true
        branches:
          - hangs: {call: http, with: {method: get, endpoint: 'http://world/hang'}}
          - wins: {call: http, with: {method: get, endpoint: 'http://world/ok/me'}}
  - late:
      try: [{slow: {timeout: {after: PT0.005S}, call: http, with: {method: get, endpoint: 'http://world/hang'}}}]
      catch: {do: [{gave: {set: {up: '${ $error.status }'}}}]}
",
    },
    Case {
        name: "extensions",
        input: "{}",
        body: "
use:
  extensions:
    - log:
        extend: call
        when: '$task.name | startswith(\"ask\")'
        before: [{log: {call: http, with: {method: post, endpoint: 'http://world/ok/before', body: {at: '${ $task.reference }'}}}}]
        after: [{log: {call: http, with: {method: post, endpoint: 'http://world/ok/after', body: {got: '${ $task.output }'}}}}]
    - mock:
        extend: call
        when: $task.name == \"askMocked\"
        before: [{one: {set: {n: 1}}}, {answer: {call: 'echo:1.0.0@default', with: {mocked: '${ .n }'}, then: exit}}]
do:
  - ask: {call: http, with: {method: post, endpoint: 'http://world/ok/asked'}}
  - askMocked: {call: http, with: {method: post, endpoint: 'http://world/hang'}}
  - guard:
      try: [{askBad: {call: http, with: {method: post, endpoint: 'http://world/attempt/1'}}}]
      catch: {retry: {delay: PT0.001S, limit: {attempt: {count: 2}}}}
  - careful:
      try: [{bad: {raise: {error: {type: 'https://example.com/e', status: 409}}}}]
      catch: {do: [{note: {set: {noted: true}}}], then: last}
  - never: {set: {wrong: true}}
  - last: {call: 'echo:1.0.0@default', with: {last: '${ . }'}}
",
    },
    Case {
        name: "graph",
        input: "{}",
        body: "
do:
  - all:
      fork:
        branches:
          - a: {call: http, with: {method: post, endpoint: 'http://world/ok/a'}}
          - b: {do: [{nap: {wait: PT0.001S}}, {call: {call: http, with: {method: post, endpoint: 'http://world/ok/b'}}}]}
          - c: {metadata: {after: [a]}, call: http, with: {method: post, endpoint: 'http://world/ok/c', body: '${ . }'}}
          - d: {metadata: {after: [a, b]}, call: 'echo:1.0.0@default', with: {in: '${ . }'}}
",
    },
    Case {
        name: "sealed",
        input: r#"{"n":1}"#,
        body: "
use: {secrets: [key, login]}
do:
  - post: {call: http, with: {method: post, endpoint: {uri: 'http://world/ok/x', authentication: {basic: {use: login}}}, headers: {x: '${ $secrets.key }'}, body: {n: '${ .n }', out: '${ limit(1; repeat(1)) }', deep: ['${ [$secrets.key, .n] }']}}}
  - computed: {call: http, with: {method: get, endpoint: '${ \"http://world/ok/\" + ($secrets.key | ltrimstr(\"sealed-\")) }'}}
  - say: {call: 'echo:1.0.0@default', with: {length: '${ $secrets.key | length }', did: '${ .did }'}}
  - script: {run: {shell: {command: '${ \"echo \" + $secrets.key }', stdin: '${ . }', environment: {KEY: '${ $secrets.key }', LENGTH: '${ .length }'}}}}
  - order: {call: openapi, with: {document: {endpoint: 'http://docs/openapi.yaml'}, operationId: order, parameters: {item: lamp, tag: '${ $secrets.key }', pieces: '${ $secrets.login }'}}}
",
    },
    Case {
        name: "processes",
        input: r#"{"n":3}"#,
        body: "
do:
  - shell: {run: {shell: {command: 'echo $1', arguments: ['${ .n }', two], environment: {N: '${ .n }'}}}}
  - script: {run: {script: {language: python, code: 'print(1)', stdin: '${ . }'}, return: all}}
  - left: {run: {shell: {command: 'echo $N', environment: {N: '${ length }'}}, await: false}}
  - behind: {run: {shell: {command: cat, stdin: '${ . }'}}}
  - each:
      for: {in: '[1, 2]'}
      do:
        - late: {run: {script: {language: javascript, code: '${ \"console.log(\\($item))\" }'}}}
",
    },
    Case {
        name: "expressions outside",
        input: "{}",
        body: "
do:
  - one: {set: {a: '${ limit(1; repeat(1)) }', b: '${ limit(1; repeat(2)) }'}}
  - call: {call: 'echo:1.0.0@default', with: {a: '${ .a }', c: '${ limit(1; repeat(3)) }'}}
  - two: {if: 'limit(1; repeat(4))', set: {done: '${ .c }'}}
",
    },
    Case {
        name: "large lists",
        input: r#"{"n":0}"#,
        body: "
do:
  - make: {call: 'echo:1.0.0@default', with: {held: true}}
  - streamed: {for: {in: '${ .rows }'}, do: [{one: {set: {text: '${ .text }', sum: '${ .sum + ($item | length) }'}}}], while: '$index < 30'}
  - computed: {for: {in: '${ [.text, .text, .text, .text, 1] }'}, do: [{two: {call: http, with: {method: post, endpoint: 'http://world/ok/x', body: '${ $index }'}, output: {as: '${ $input }'}}}]}
  - outside: {for: {in: '${ limit(1; repeat(40)) }'}, do: [{three: {set: {sum: '${ .sum + ($item | length) }'}}}]}
  - call: {call: http, with: {method: post, endpoint: 'http://world/ok/x', body: '${ . }'}}
",
    },
    Case {
        name: "listening while sending",
        input: "{}",
        body: "
do:
  - both:
      fork:
        branches:
          - hear:
              listen: {to: {any: [{with: {type: step}}], until: '${ length == 3 }'}}
              foreach:
                item: it
                do: [{call: {call: http, with: {method: post, endpoint: 'http://world/ok/heard', body: '${ $it }'}}}]
                output: {as: '${ $it.n }'}
          - tell:
              for: {in: '${ [1,2,3] }'}
              do:
                - call: {call: http, with: {method: post, endpoint: 'http://world/ok/told'}}
                - send: {emit: {event: {with: {type: step, data: {n: '${ $item }'}}}}, output: {as: '${ $input }'}}
",
    },
];

/// The events that were committed with the prefix, in their order.
fn events_of(case: &Case, prefix: &[Record]) -> Vec<Op> {
    let started = started(&workflow(case.body), case.input);
    let (run, key, version) = (started.run, &started.key, &*started.version);
    let subject = Subject { run, key, version };
    let mut machine = Machine::new(workflow(case.body));
    let mut events = Vec::new();
    for one in prefix {
        let step =
            replay(&mut machine, Sequence(one.sequence.0 - 1), one).expect("a prefix replays");
        let row = |event: &Event, number| event.row(&key.namespace, Some(run), number, one.at);
        events.extend(step.emitted.iter().map(|emitted| row(&emitted.event, emitted.number)));
        let said = Said::of(one, &step.notes, machine.ended());
        events.extend(lifecycle::of_run(&subject, &said).iter().map(|event| row(event, 0)));
    }
    events.into_iter().map(Op::EventAppend).collect()
}

/// A journal that was written undisturbed, and what it led to.
struct Undisturbed {
    records: Vec<Record>,
    output: String,
    books: Books,
    /// What its records refer to.
    blobs: Vec<Bytes>,
}

async fn undisturbed(case: &Case) -> Undisturbed {
    let world = World::default();
    let (store, driver, _folder) = site(case.body, world.clone()).await;
    let order = start(case.body, case.input);
    let run = order.run;
    let ended = driver.start(order).await.expect("the run starts").await.expect("the run ends");
    driver.stop().await;
    check::whole(&store, case.name).await;
    let (mut records, mut blobs) = (Vec::new(), Vec::new());
    for entry in store.journal_read(run, Sequence::ZERO, 10_000).await.expect("a journal") {
        records.push(record(&*store, &entry).await.expect("a record"));
        for blob in references(&entry.record) {
            blobs.push(store.blob_get(blob).await.expect("reads").expect("a record's own blob"));
        }
    }
    let output = ended.output.unwrap_or_else(|| panic!("{}: {:?}", case.name, ended.fault));
    Undisturbed { records, output: to_json_string(&output), books: world.books(), blobs }
}

/// The world as it was when the prefix had been written: whatever has a result there was asked.
/// With `unrecorded`, what was in flight was asked too, and the crash came before its record.
fn world_after(case: &Case, prefix: &[Record], unrecorded: bool) -> World {
    let world = World::default();
    let mut machine = Machine::new(workflow(case.body));
    let mut asked = Vec::new();
    for one in prefix {
        if let Happened::Performed { effect, .. } = &one.happened {
            let at = asked.iter().position(|p: &engine::effect::Perform| p.effect == *effect);
            world.act(&asked.remove(at.expect("an answer follows a question")));
        }
        let step =
            replay(&mut machine, Sequence(one.sequence.0 - 1), one).expect("a prefix replays");
        asked.extend(step.effects.into_iter().filter_map(|effect| match effect {
            Effect::Perform(perform) => Some(perform),
            _ => None,
        }));
    }
    if unrecorded {
        let in_flight = machine.outstanding();
        for effect in in_flight {
            if let Effect::Perform(perform) = effect {
                world.act(&perform);
            }
        }
    }
    world
}

async fn resumed(case: &Case, prefix: &[Record], blobs: &[Bytes], world: World) -> (String, Books) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_store(folder.path());
    put_revision(&*store, case.body).await;
    let started = started(&workflow(case.body), case.input);
    let first = prefix[0].at;
    let summary = r#"{"version":"1.0.0","priority":0,"traceparent":"","started_by":"tester"}"#;
    let mut ops = vec![Op::RunCreate(RunRow {
        run: started.run,
        key: started.key,
        revision: started.revision,
        state: RunState::Running,
        created_at: first,
        updated_at: first,
        ended_at: None,
        wake_at: None,
        summary: summary.into(),
    })];
    ops.extend(
        blobs.iter().map(|bytes| Op::BlobPut { blob: Digest::of(bytes), bytes: bytes.clone() }),
    );
    for record in prefix {
        let encoded = record.encode();
        let (run, sequence) = (started.run, record.sequence);
        ops.push(Op::JournalAppend { run, sequence, record: encoded.bytes.into() });
    }
    ops.extend(events_of(case, prefix));
    store.commit(ops, Preconditions::none()).await.expect("the prefix is written");
    let driver = open(store.clone(), world.clone()).await;
    let ended = driver.ended(started.run).await.expect("the run ends");
    driver.stop().await;
    check::whole(&store, &format!("{}, {} records", case.name, prefix.len())).await;
    let output = ended.output.unwrap_or_else(|| panic!("{}: {:?}", case.name, ended.fault));
    (to_json_string(&output), world.books())
}

fn kinds(case: &Case) -> BTreeSet<&'static str> {
    workflow(case.body).tasks.iter().map(|task| task.kind.name()).collect()
}

/// Mutation: commit an effect's result without what it leads to, perform before the commit, or make
/// the key from anything that a crash changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_goes_on_from_every_prefix_as_if_nothing_had_happened() {
    let mut covered = BTreeSet::new();
    for case in &CASES {
        let whole = undisturbed(case).await;
        let last = whole.records.len();
        for length in 1..last {
            let prefix = &whole.records[..length];
            for unrecorded in [false, true] {
                let world = world_after(case, prefix, unrecorded);
                let (output, books) = resumed(case, prefix, &whole.blobs, world).await;
                let place =
                    format!("{}, {length} of {last} records, unrecorded: {unrecorded}", case.name);
                assert_eq!(output, whole.output, "{place}");
                assert_eq!(books.effects, whole.books.effects, "{place}");
            }
        }
        println!("{}: {:?} × {} prefixes × 2", case.name, kinds(case), last - 1);
        covered.extend(kinds(case));
    }
    covered.extend(crate::family::kinds());
    assert_eq!(covered, TaskKind::NAMES.iter().copied().collect(), "a kind of task is not covered");
}

/// Mutation: replay with the clock of now, or leave the digest of the control state unchecked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_journal_replays_to_what_it_said() {
    for case in &CASES {
        let whole = undisturbed(case).await;
        let mut machine = Machine::new(workflow(case.body));
        for record in &whole.records {
            let after = Sequence(record.sequence.0 - 1);
            replay(&mut machine, after, record).expect("a journal replays");
        }
        let decided: Vec<&Decided> =
            whole.records.iter().flat_map(|record| &record.decided).collect();
        let Some(Decided::Ended(ended)) = decided.last() else {
            panic!("a journal ends with the end")
        };
        assert_eq!(machine.ended(), Some(ended));
    }
}

/// Retries by a person survive crashes as well.
///
/// Mutation: keep the retry in memory only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_survives_a_crash() {
    let body = "do: [{breaks: {call: http, with: {method: post, endpoint: 'http://world/bad-then-ok'}}}, {nap: {wait: PT0.01S}}]";
    let world = World::default();
    let (store, driver, _folder) = site(body, world.clone()).await;
    let order = start(body, "{}");
    let run = order.run;
    let ended = driver.start(order).await.expect("starts").await.expect("ends");
    assert_eq!(ended.state, RunState::Faulted);
    driver.retry(run, by("operator")).await.expect("a faulted run can be retried");
    driver.stop().await;
    let again = open(Arc::clone(&store) as Arc<dyn Store>, world).await;
    let ended = again.ended(run).await.expect("ends");
    assert_eq!(ended.state, RunState::Completed);
    let outcomes = store.outcome_list(0, 10).await.expect("outcomes");
    assert_eq!(outcomes.iter().map(|row| row.number).collect::<Vec<_>>(), [1, 2]);
    again.stop().await;
    check::whole(&store, "after a retry").await;
}
