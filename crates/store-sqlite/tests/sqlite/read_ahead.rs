//! The writer finds in memory what a reader has looked at.

use std::path::Path;

use bytes::Bytes;
use rustix::fs::Advice;
use sqlite::DATABASE_FILE;
use store::suite::{at, row, run_id};
use store::{Op, OutcomeRow, Preconditions, RunRow, RunState, Sequence, Store};

use crate::{folder, open, sqlite};

const RUNS: u64 = 300;
const RECORDS: u64 = 10;

/// Mutation: read nothing ahead, or the rows of runs and not their records.
#[tokio::test]
async fn the_writer_does_not_wait_for_the_disk_where_a_reader_has_looked() {
    let without = read_by_writer(false).await;
    let Some(without) = without.filter(|bytes| *bytes > 0) else {
        eprintln!(
            "skipped: the system does not say what a thread reads from the disk, or the folder for tests lies in memory"
        );
        return;
    };
    let with = read_by_writer(true).await.expect("it was said before");
    assert!(with * 8 <= without, "{with} bytes after a look, {without} without");
}

/// Bytes that the writer read from the disk to forget half of the runs of a cold store.
async fn read_by_writer(reads_ahead: bool) -> Option<u64> {
    let folder = folder();
    fill(folder.path()).await;
    cool(folder.path());
    let store = open(folder.path());
    let ops: Vec<Op> = (1..=RUNS / 2).map(|n| Op::RunForget { run: run_id(n) }).collect();
    if reads_ahead {
        store.read_ahead(ops.clone()).await.expect("reads");
    }
    let before = read_bytes()?;
    store.commit(ops, Preconditions::none()).await.expect("all have ended");
    Some(read_bytes()? - before)
}

async fn fill(folder: &Path) {
    let store = open(folder);
    let bytes = Bytes::from(vec![b'x'; 400]);
    for n in 1..=RUNS {
        let run = run_id(n);
        let ended = RunRow { state: RunState::Completed, ended_at: Some(at(9)), ..row(n) };
        let mut ops = vec![Op::RunCreate(ended)];
        ops.extend((1..=RECORDS).map(|sequence| {
            let sequence = Sequence(sequence);
            Op::JournalAppend { run, sequence, record: bytes.clone() }
        }));
        let outcome = bytes.clone();
        ops.push(Op::OutcomePut(OutcomeRow { position: 0, run, number: 1, at: at(9), outcome }));
        store.commit(ops, Preconditions::none()).await.expect("the run is new");
    }
    store.close().await;
}

/// Has the system forget what it holds of the file.
fn cool(folder: &Path) {
    let file = std::fs::File::open(folder.join(DATABASE_FILE)).expect("it is there");
    file.sync_all().expect("syncs");
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).expect("takes advice");
}

/// By the writer's thread, as the system counts it.
fn read_bytes() -> Option<u64> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let of = |name| {
        tasks.filter_map(Result::ok).find_map(|task| {
            let is_it = std::fs::read_to_string(task.path().join("comm")).ok()?.trim() == name;
            is_it.then(|| std::fs::read_to_string(task.path().join("io")).ok()).flatten()
        })
    };
    let text = of("store-writer")?;
    let line = text.lines().find_map(|line| line.strip_prefix("read_bytes: "))?;
    line.parse().ok()
}
