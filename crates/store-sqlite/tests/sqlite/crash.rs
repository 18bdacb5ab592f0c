//! SIGKILL: what was acknowledged is there, and nothing is there by half.
//!
//! The child is this test binary again, in `the_child_of_the_other_tests`.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base::limits::BLOB_ROW_BYTES_MAX;
use base::{Digest, RunId};
use bytes::Bytes;
use futures::future::join_all;
use sqlite::{OpenOptions, SqliteStore};
use store::suite::{at, row, run_id};
use store::{CommitError, Op, OutcomeRow, Preconditions, RunRow, Sequence, Store};

use crate::{folder, open, sqlite};

const CHILD: &str = "ISONOMY_STORE_TEST_CHILD";
const FOLDER: &str = "ISONOMY_STORE_TEST_FOLDER";
const RUNS: u64 = 8;
const KILLS: u64 = 24;
/// Every so many entries a run keeps a blob that is a file.
const BLOB_EVERY: u64 = 40;

pub fn child(role: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this test binary"));
    command.args(["crash::the_child_of_the_other_tests", "--exact", "--nocapture"]);
    command.env(CHILD, role).env(FOLDER, folder).stdout(Stdio::piped());
    command
}

/// Not a test by itself: does what the others ask for by the environment.
#[test]
fn the_child_of_the_other_tests() {
    let (Ok(role), Some(folder)) = (std::env::var(CHILD), std::env::var_os(FOLDER)) else { return };
    let folder = Path::new(&folder);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
    let runtime = runtime.expect("a runtime");
    match role.as_str() {
        "commit" => runtime.block_on(async {
            let store = open(folder);
            join_all((1..=RUNS).map(|n| commit_for_ever(&store, n))).await;
        }),
        "fill" => runtime.block_on(fill(&open(folder))),
        "open" => match SqliteStore::open(folder, OpenOptions::default()) {
            Ok(_) => say("open"),
            Err(error) => say(&error.to_string()),
        },
        other => panic!("unknown role {other}"),
    }
}

/// One line to the parent, at once.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "> {line}").expect("the parent reads");
    out.flush().expect("the parent reads");
}

fn blob(run: RunId, sequence: u64) -> Bytes {
    let text = format!("{run} {sequence} ");
    text.repeat(BLOB_ROW_BYTES_MAX / text.len() + 1).into()
}

/// Each commit writes four things that must stay together.
fn step(n: u64, sequence: u64) -> Vec<Op> {
    let run = run_id(n);
    let time = at(sequence as i64);
    let mut ops = vec![
        Op::RunUpdate(RunRow { updated_at: time, ..row(n) }),
        Op::JournalAppend { run, sequence: Sequence(sequence), record: Bytes::from(vec![7; 300]) },
        Op::OutcomePut(OutcomeRow {
            position: 0,
            run,
            number: u32::try_from(sequence).expect("few"),
            at: time,
            outcome: Bytes::new(),
        }),
    ];
    if sequence.is_multiple_of(BLOB_EVERY) {
        let bytes = blob(run, sequence);
        ops.push(Op::BlobPut { blob: Digest::of(&bytes), bytes });
    }
    ops
}

async fn commit_for_ever(store: &SqliteStore, n: u64) {
    let journal = store.journal_read(run_id(n), Sequence::ZERO, u32::MAX).await.expect("reads");
    let mut last = journal.len() as u64;
    if last == 0 {
        match store.commit(vec![Op::RunCreate(row(n))], Preconditions::none()).await {
            Ok(()) | Err(CommitError::RunExists(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    loop {
        last += 1;
        store.commit(step(n, last), Preconditions::none()).await.expect("nobody else is here");
        say(&format!("{n} {last}"));
    }
}

/// Reads acknowledgements into `acked` until there were `count`, or all that are left.
pub fn listen(child: &mut Child, count: u64, acked: &mut HashMap<u64, u64>) {
    let out = child.stdout.as_mut().expect("piped");
    let mut lines = BufReader::with_capacity(1, out).lines();
    let mut heard = 0;
    while heard < count {
        let Some(Ok(line)) = lines.next() else { return };
        // A line that the kill has cut is not an acknowledgement that anyone has seen.
        if let Some((n, last)) = acknowledged(&line) {
            acked.insert(n, last);
            heard += 1;
        }
    }
}

/// The run and the sequence that a line acknowledges.
pub fn acknowledged(line: &str) -> Option<(u64, u64)> {
    let (n, last) = line.strip_prefix("> ")?.split_once(' ')?;
    Some((n.parse().ok()?, last.parse().ok()?))
}

/// Mutation: answer before COMMIT, or commit the outcome apart from the journal.
#[tokio::test]
async fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let folder = folder();
    let mut acked = HashMap::new();
    // Where to kill, counted in acknowledgements: an event, not a time.
    let mut seed = 0x1505_2026_u64;
    for kill in 0..KILLS {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let count = 1 + (seed >> 33) % 400;
        let mut child = child("commit", folder.path()).spawn().expect("starts");
        listen(&mut child, count, &mut acked);
        child.kill().expect("SIGKILL");
        child.wait().expect("ends");
        check(folder.path(), &acked, kill).await;
    }
    assert_eq!(acked.len() as u64, RUNS, "every run went on at some time");
}

async fn check(folder: &Path, acked: &HashMap<u64, u64>, kill: u64) {
    let store = open(folder);
    if let Err(lost) = examine(&store, acked).await {
        panic!("kill {kill}: {lost}");
    }
}

/// Whether all that was acknowledged is there, and nothing by half.
pub async fn examine(store: &SqliteStore, acked: &HashMap<u64, u64>) -> Result<(), String> {
    let outcomes = store.outcome_list(0, u32::MAX).await.map_err(|error| error.to_string())?;
    for n in 1..=RUNS {
        let run = run_id(n);
        let journal = store.journal_read(run, Sequence::ZERO, u32::MAX).await;
        let last = journal.map_err(|error| error.to_string())?.len() as u64;
        let acked = acked.get(&n).copied().unwrap_or(0);
        if last < acked {
            return Err(format!("run {n} ends at {last}, acknowledged was {acked}"));
        }
        let found = store.run_get(run).await.map_err(|error| error.to_string())?;
        let updated = found.map_or(0, |row| row.updated_at.as_millis().unsigned_abs());
        // A run that has just been created says when.
        if last != 0 && updated != last {
            return Err(format!("row and journal of run {n} differ: {updated}, {last}"));
        }
        let numbers = outcomes.iter().filter(|row| row.run == run).map(|row| u64::from(row.number));
        if !numbers.eq(1..=last) {
            return Err(format!("outcomes and journal of run {n} differ"));
        }
        for sequence in (BLOB_EVERY..=last).step_by(BLOB_EVERY as usize) {
            let bytes = blob(run, sequence);
            match store.blob_get(Digest::of(&bytes)).await {
                Ok(found) if found.as_ref() == Some(&bytes) => {}
                found => {
                    let found = found.map(|bytes| bytes.map(|bytes| bytes.len()));
                    return Err(format!("blob of run {n} at {sequence}: {found:?}"));
                }
            }
        }
    }
    Ok(())
}

/// Appends large records until somebody stops it, and says which are durable.
async fn fill(store: &SqliteStore) {
    store.commit(vec![Op::RunCreate(row(1))], Preconditions::none()).await.expect("it is new");
    let record = Bytes::from(vec![7; 16 * 1024]);
    for sequence in 1.. {
        let (run, sequence) = (run_id(1), Sequence(sequence));
        let append = Op::JournalAppend { run, sequence, record: record.clone() };
        store.commit(vec![append], Preconditions::none()).await.expect("the process ends first");
        say(&format!("1 {sequence}"));
    }
}

/// Mutation: answer with an error and go on after a failed write.
#[tokio::test]
async fn a_failed_write_ends_the_process_and_loses_nothing() {
    use std::os::unix::process::ExitStatusExt as _;

    let folder = folder();
    let inner = child("fill", folder.path());
    // The system refuses every file above 5 MiB, as a broken disk would: neither "full" nor "ok".
    let mut limited = Command::new("bash");
    limited.arg("-c").arg("trap '' XFSZ; ulimit -c 0 -f 5120; exec \"$0\" \"$@\"");
    limited.arg(inner.get_program()).args(inner.get_args());
    limited.envs(inner.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let mut child =
        limited.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("bash is there");
    let mut acked = HashMap::new();
    listen(&mut child, u64::MAX, &mut acked);
    let output = child.wait_with_output().expect("ends");
    let told = String::from_utf8_lossy(&output.stderr);
    const SIGABRT: i32 = 6;
    assert_eq!(output.status.signal(), Some(SIGABRT), "{told}");
    assert!(told.contains("error: cannot write the store: disk I/O error"), "{told}");
    let store = open(folder.path());
    let journal = store.journal_read(run_id(1), Sequence::ZERO, u32::MAX).await.expect("reads");
    assert!(acked[&1] > 100 && journal.len() as u64 >= acked[&1], "{acked:?}, {}", journal.len());
}
