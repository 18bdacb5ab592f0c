//! A journal that was tampered with, or that this binary cannot read, suspends its run; it never
//! goes on with a guess.

use std::sync::Arc;

use base::value::int;
use engine::driver::{CommandError, Summary, record};
use engine::machine::Machine;
use engine::record::{Control, Decided, Happened, Record};
use engine::replay::{Diverged, replay};
use store::{Op, Preconditions, RunRow, RunState, Sequence, Store};

use crate::site::{open, open_store, put_revision};
use crate::walk::{Walk, by, started, workflow};
use crate::world::World;

const BODY: &str = "
do:
  - first: {call: http, with: {method: post, endpoint: 'http://world/ok/first', body: '${ .n }'}}
  - choose: {switch: [{yes: {when: '.did == \"first\"', then: second}}], then: end}
  - second: {call: http, with: {method: post, endpoint: 'http://world/ok/second'}}
";

fn journal() -> Vec<Record> {
    Walk::run(BODY, r#"{"n":1}"#).records
}

fn diverges(records: &[Record]) -> Option<Diverged> {
    let mut machine = Machine::new(workflow(BODY));
    records.iter().find_map(|one| replay(&mut machine, Sequence(one.sequence.0 - 1), one).err())
}

/// Mutation: compare only decisions, or only the digest, or only the sequence.
#[test]
fn every_kind_of_doctoring_is_noticed() {
    assert_eq!(diverges(&journal()), None);
    let doctored = |change: &dyn Fn(&mut Vec<Record>)| {
        let mut records = journal();
        change(&mut records);
        diverges(&records).expect("doctoring is noticed")
    };
    let sequence = Sequence;
    // Another answer leads another way.
    let other = doctored(&|records| {
        if let Happened::Performed { performed, .. } = &mut records[1].happened {
            performed.result = Ok(int(7));
        }
    });
    assert_eq!(other, Diverged::Decided { sequence: sequence(2) });
    // Another input makes another request, although the decision looks the same.
    let input = doctored(&|records| {
        if let Happened::Started(started) = &mut records[0].happened {
            started.input = crate::walk::value(r#"{"n":2}"#);
        }
    });
    assert_eq!(input, Diverged::Control { sequence: sequence(1) });
    let dropped = doctored(&|records| records[1].decided.clear());
    assert_eq!(dropped, Diverged::Decided { sequence: sequence(2) });
    let control = doctored(&|records| records[1].control = Control(1));
    assert_eq!(control, Diverged::Control { sequence: sequence(2) });
    let missing = doctored(&|records| {
        records.remove(1);
    });
    assert!(matches!(missing, Diverged::Misfit { .. }), "{missing}");
    let ended = doctored(&|records| {
        for decided in &mut records[2].decided {
            if let Decided::Ended(ended) = decided {
                ended.output = Some(int(1));
            }
        }
    });
    assert_eq!(ended, Diverged::Decided { sequence: sequence(3) });
}

async fn suspended(
    bytes: Vec<Vec<u8>>,
) -> (Arc<store_sqlite::SqliteStore>, String, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_store(folder.path());
    put_revision(&*store, BODY).await;
    let started = started(&workflow(BODY), "{}");
    let at = crate::walk::START;
    let summary = r#"{"version":"1.0.0","priority":0,"traceparent":"","started_by":"tester"}"#;
    let mut ops = vec![Op::RunCreate(RunRow {
        run: started.run,
        key: started.key,
        revision: started.revision,
        state: RunState::Running,
        created_at: at,
        updated_at: at,
        ended_at: None,
        wake_at: None,
        summary: summary.into(),
    })];
    for (number, record) in bytes.into_iter().enumerate() {
        let sequence = Sequence(number as u64 + 1);
        ops.push(Op::JournalAppend { run: started.run, sequence, record: record.into() });
    }
    store.commit(ops, Preconditions::none()).await.expect("written");
    let world = World::default();
    let driver = open(store.clone(), world.clone()).await;
    let refused =
        driver.cancel(started.run, by("operator")).await.expect_err("the run stands still");
    assert!(matches!(refused, CommandError::Suspended(..)), "{refused}");
    driver.stop().await;
    let row = store.run_get(started.run).await.expect("read").expect("there");
    assert_eq!(row.state, RunState::Suspended);
    assert!(world.books().requests.is_empty(), "nothing was done on a guess");
    let summary = Summary::decode(&row.summary).expect("a summary");
    (store, summary.suspended.expect("a reason"), folder)
}

/// Mutation: log the divergence and go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doctored_journal_suspends_the_run_and_is_left_alone() {
    let mut records = journal();
    records.truncate(2);
    records[1].control = Control(1);
    let bytes: Vec<Vec<u8>> = records.iter().map(|record| record.encode().bytes).collect();
    let (store, reason, _folder) = suspended(bytes).await;
    assert!(reason.starts_with("replay-diverged: "), "{reason}");
    let started = started(&workflow(BODY), "{}");
    let entries = store.journal_read(started.run, Sequence::ZERO, 10).await.expect("read");
    assert_eq!(entries.len(), 2);
    assert_eq!(record(&*store, &entries[1]).await.expect("a record").control, Control(1));
}

/// Mutation: read a newer version as if it were ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_record_suspends_the_run() {
    let bytes = journal()[0].encode().bytes;
    let text = String::from_utf8(bytes).expect("text").replace(r#""v":1,"#, r#""v":2,"#);
    let (_, reason, _folder) = suspended(vec![text.into_bytes()]).await;
    assert!(
        reason.starts_with("journal-unreadable: ") && reason.contains("newer version"),
        "{reason}"
    );
    let (_, garbage, _folder) = suspended(vec![b"\x00\xffnonsense".to_vec()]).await;
    assert!(garbage.starts_with("journal-unreadable: "), "{garbage}");
}

/// Mutation: leave the output of a run out of the blobs that its last record needs.
#[test]
fn a_large_output_stands_beside_the_record_of_the_end() {
    let input = format!(r#"{{"t":"{}"}}"#, "x".repeat(100_000));
    // `Walk` takes every record through its bytes, and asks them which blobs they need.
    let walk = Walk::run("do: [{a: {set: {twice: '${ [.t, .t] }'}}}]", &input);
    assert!(walk.output().len() > 200_000);
    assert!(walk.records.iter().all(|record| record.encode().bytes.len() < 5_000));
}
