//! Loops over lists that lie in blobs. That they survive crashes is in `crash`.

use std::fs;
use std::path::{Path, PathBuf};

use base::Digest;
use base::value::{array, int, string, to_json_string};
use engine::driver::CommandError;
use engine::effect::{Action, Certainty, Performed};
use engine::format::references;
use engine::list::{LIST_HELD_BYTES_MIN, List};
use engine::machine::{Effect, Machine};
use engine::record::{Decided, Happened};
use store::{RunState, Store};

use crate::site::{open, open_store, put_revision, start};
use crate::walk::{Walk, by, check, started, value, workflow};
use crate::world::World;

/// A loop over a list of forty texts of 20,000 bytes.
pub const HELD: &str = "do: [{make: {call: 'echo:1.0.0@default', with: {held: true}}}, {each: {for: {in: '${ .rows }'}, do: [{one: {set: {sum: '${ (.sum // 0) + ($item | length) + $index }'}}}]}}]";

/// Mutation: begin at the second item, lose the one at the end of a piece, or number items from the
/// beginning of their piece.
#[test]
fn a_loop_goes_over_every_item_of_a_held_list() {
    let walk = Walk::run(HELD, "{}");
    assert_eq!(walk.output(), format!(r#"{{"sum":{}}}"#, 40 * 20_000 + 39 * 40 / 2));
    let reads = walk.records.iter().filter(|it| matches!(it.happened, Happened::Read { .. }));
    // 13 texts fit into a piece.
    assert_eq!(reads.count(), 4);
}

pub fn computed(texts: usize) -> (String, String) {
    let body = "do: [{each: {for: {in: '${ .texts }'}, do: [{one: {set: {n: '${ $index }'}}}]}}]";
    let texts = array(vec![string(&"y".repeat(20_000)); texts]);
    (body.to_owned(), format!(r#"{{"texts":{}}}"#, to_json_string(&texts)))
}

/// Mutation: hold every list, or none that was computed inside.
#[test]
fn a_large_list_that_was_computed_inside_is_held() {
    for (texts, holds) in [(3, false), (4, true)] {
        let (body, input) = computed(texts);
        let walk = Walk::run(&body, &input);
        assert_eq!(walk.output(), format!(r#"{{"n":{}}}"#, texts - 1));
        let holding: Vec<&List> = walk
            .decided()
            .filter_map(|decided| match decided {
                Decided::Holding { list, .. } => Some(list),
                _ => None,
            })
            .collect();
        assert_eq!(!holding.is_empty(), holds, "{texts}");
        for list in holding {
            assert_eq!(list.items, texts as u64);
            assert!(list.bytes > LIST_HELD_BYTES_MIN as u64);
        }
    }
}

/// Mutation: hold whatever the run was started with.
#[test]
fn a_run_of_the_older_rules_holds_nothing() {
    let (body, input) = computed(4);
    let mut machine = Machine::new(workflow(&body));
    let mut started = started(&workflow(&body), &input);
    started.semantics = 1;
    let happened = Happened::Started(Box::new(started));
    let step = machine.handle(crate::walk::START, &happened).expect("it starts");
    assert!(!step.decided.iter().any(|it| matches!(it, Decided::Holding { .. })));
    assert_eq!(machine.state(), RunState::Completed);
}

/// Mutation: believe a reference that came with data.
#[test]
fn a_reference_that_the_run_was_not_told_of_is_none() {
    let list = List { blob: Digest::of(b"[1]"), bytes: 3, items: 1 };
    let body = "do: [{each: {for: {in: '${ .rows }'}, do: [{one: {set: {n: 1}}}]}}]";
    let input = format!(r#"{{"rows":{}}}"#, to_json_string(&list.reference()));
    let walk = Walk::run(body, &input);
    assert_eq!(
        walk.fault().detail.as_deref(),
        Some(
            "`for.in` gives a reference to a list that this run does not hold, and only an array can be looped over"
        )
    );
    assert_eq!(walk.fault().instance.as_deref(), Some("/do/0/each"));
}

/// Mutation: forget a list that the context still refers to, or keep all.
#[test]
fn of_many_lists_only_those_are_kept_that_something_refers_to() {
    let body = "
do:
  - first: {call: 'echo:1.0.0@default', with: {n: 0}, export: {as: '${ {first: .} }'}}
  - again: {call: 'echo:1.0.0@default', with: {n: 1}}
  - more: {switch: [{yes: {when: '.n < 200', then: again}}]}
  - use: {for: {in: '${ $context.first }'}, do: [{one: {set: {n: '${ $item }'}}}]}
";
    let mut walk = Walk::start(body, "{}");
    for number in 0..200_i64 {
        let perform = walk.performs.pop_front().expect("a call");
        let mut writing = walk.store.blob_begin().expect("begins");
        writing.write(format!("[{number}]").as_bytes()).expect("writes");
        let written = writing.finish().expect("is written");
        let list = List { blob: written.blob, bytes: written.bytes, items: 1 };
        let result = if number == 0 {
            list.reference()
        } else {
            base::value::object([("n", int(number + 1)), ("list", list.reference())])
        };
        let (certainty, decision, labels) = (Certainty::Definite, None, Vec::new());
        let lists = vec![list];
        let performed = Performed { result: Ok(result), certainty, decision, lists, labels };
        walk.feed(Happened::Performed { effect: perform.effect, performed });
        let bytes = walk.machine.freeze().bytes;
        let known = references(&bytes).len();
        assert!(known <= 70, "{known} lists are known after {number}");
    }
    assert_eq!(walk.finish().output(), r#"{"n":0}"#);
}

/// Mutation: keep waiting for the piece of a loop that was cut off, or for none after a retry.
#[test]
fn a_loop_that_is_cut_off_while_it_reads_waits_no_more() {
    let body = "
do:
  - both:
      fork:
        branches:
          - hold: {do: [{make: {call: 'echo:1.0.0@default', with: {held: true}}}, {each: {for: {in: '${ .rows }'}, do: [{one: {set: {n: '${ $index }'}}}]}}]}
          - bad: {call: http, with: {method: get, endpoint: 'http://world/bad-then-ok'}}
";
    let mut walk = Walk::start(body, "{}");
    // The list first.
    walk.performs.rotate_left(1);
    walk.answer();
    let [Effect::Read(read, ..)] = walk.machine.outstanding()[1..] else {
        panic!("{:?}", walk.machine.outstanding())
    };
    let piece = walk.reads.pop_front().expect("a piece was asked for");
    walk.answer();
    assert_eq!(walk.machine.state(), RunState::Faulted);
    walk.reads.push_back(piece);
    assert!(walk.machine.outstanding().is_empty());
    walk.reads.clear();
    walk.feed(Happened::RetryRequested(by("operator")));
    let again = walk.machine.outstanding();
    assert!(again.iter().any(|it| matches!(it, Effect::Read(no, ..) if *no > read)), "{again:?}");
    assert_eq!(walk.finish().output(), r#"[{"n":39},{"did":"later"}]"#);
}

/// Mutation: give the reference's fields in place of items where a loop asks for them.
#[test]
fn expressions_see_a_reference() {
    check(
        "do: [{make: {call: 'echo:1.0.0@default', with: {held: true}}}, {count: {set: {n: '${ .rows.items }'}}}]",
        "{}",
        r#"{"n":40}"#,
    );
}

fn blob_files(folder: &Path) -> Vec<PathBuf> {
    let read =
        |folder: &Path| fs::read_dir(folder).expect("a folder").map(|it| it.expect("it").path());
    let folders = read(&folder.join("blobs")).filter(|it| !it.ends_with("new"));
    folders.flat_map(|folder| read(&folder).collect::<Vec<_>>()).collect()
}

/// Mutation: fault the run, leave it running for ever, or go on without what is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_or_damaged_list_suspends_the_run_until_it_is_back() {
    // By the second call the list is written down.
    let ask = "{ask: {call: http, with: {method: get, endpoint: 'http://world/ok/x'}, output: {as: '${ $input }'}}}, {each:";
    let body = HELD.replace("{each:", ask);
    for damage in [true, false] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open_store(folder.path());
        put_revision(&*store, &body).await;
        let (world, order) = (World::default(), start(&body, "{}"));
        let run = order.run;
        let driver = open(
            store.clone(),
            Damaging { world: world.clone(), folder: folder.path().into(), damage },
        )
        .await;
        driver.start(order).await.expect("starts");
        let error = driver.ended(run).await.expect_err("it stands still");
        let CommandError::Suspended(_, why) = error else { panic!("{error}") };
        assert!(why.starts_with("blob-unreadable: "), "{why}");
        assert!(why.contains("backup"), "{why}");
        let row = store.run_get(run).await.expect("reads").expect("a run");
        assert_eq!(row.state, RunState::Suspended);
        bring_back(folder.path());
        // Whoever waited has taken it up as well, and may have found the blob as it was.
        let ended = loop {
            driver.resume(run, by("operator")).await.ok();
            if let Ok(ended) = driver.ended(run).await {
                break ended;
            }
        };
        assert_eq!(ended.output, Some(value(r#"{"sum":800780}"#)), "damage: {damage}");
        driver.stop().await;
    }
}

/// Answers like the world, and takes the list away before it is read.
struct Damaging {
    world: World,
    folder: PathBuf,
    damage: bool,
}

impl engine::effect::Performer for Damaging {
    fn perform(
        &self,
        effect: engine::effect::Perform,
    ) -> futures::future::BoxFuture<'static, Performed> {
        let performed = self.world.act(&effect).expect("it answers");
        let is_second = matches!(*effect.action, Action::Http(_));
        for file in blob_files(&self.folder).into_iter().filter(|_| is_second) {
            fs::copy(&file, file.with_extension("kept")).expect("a copy");
            if self.damage {
                let mut bytes = fs::read(&file).expect("a blob");
                bytes[100] ^= 1;
                fs::write(&file, bytes).expect("damages it");
            } else {
                fs::remove_file(&file).expect("removes it");
            }
        }
        Box::pin(std::future::ready(performed))
    }
}

fn bring_back(folder: &Path) {
    for kept in blob_files(folder).into_iter().filter(|it| it.extension().is_some()) {
        fs::rename(&kept, kept.with_extension("")).expect("brings it back");
    }
}
