//! Many committers, one writer.

use std::path::Path;
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use futures::future::join_all;
use sqlite::SqliteStore;
use store::suite::{append, row, run_id};
use store::{CommitError, Op, Preconditions, Sequence, Store};

use crate::sqlite::DATABASE_FILE;
use crate::{folder, open, sqlite};

const RUNS: u64 = 64;
const STEPS: u64 = 50;

async fn steps(store: Arc<SqliteStore>, n: u64) {
    for sequence in 1..=STEPS {
        let last = Sequence(sequence - 1);
        let owner = Preconditions { run: Some((run_id(n), last)), epoch: Some(store.epoch()) };
        store.commit(vec![append(run_id(n), sequence)], owner).await.expect("nobody else is here");
        let newest = store.journal_read(run_id(n), last, 9).await.expect("reads");
        assert_eq!(newest.len(), 1, "who has committed reads it at once");
    }
}

/// Mutation: commit each command by itself (batches = commits), or answer before the commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_committers_share_fsyncs_and_lose_nothing() {
    let folder = folder();
    let store = Arc::new(open(folder.path()));
    let create = (1..=RUNS).map(|n| Op::RunCreate(row(n))).collect();
    store.commit(create, Preconditions::none()).await.expect("the runs are new");
    let before = store.stats();
    let tasks = (1..=RUNS).map(|n| tokio::spawn(steps(Arc::clone(&store), n)));
    for task in join_all(tasks).await {
        task.expect("no step panics");
    }
    let after = store.stats();
    let (commits, batches) = (after.commits - before.commits, after.batches - before.batches);
    assert_eq!(commits, RUNS * STEPS);
    assert!(batches < commits, "{batches} batches for {commits} commits");
    assert!(after.fsyncs - before.fsyncs >= batches, "every batch is durable");
    assert_eq!((after.refused, after.queue_depth), (0, 0));
    let payload: u64 = (1..=RUNS)
        .flat_map(|n| (1..=STEPS).map(move |at| format!("{} {at}", run_id(n)).len() as u64))
        .sum();
    assert_eq!(after.payload_bytes - before.payload_bytes, payload);
}

/// Mutation: count a page of calls as nothing, so that a batch of them has no end.
#[tokio::test]
async fn the_entries_of_a_page_of_calls_count_for_its_batch() {
    let folder = folder();
    let store = open(folder.path());
    let page = store::suite::call::page(1, 3);
    let bytes = page.record.len() as u64;
    store.commit(vec![Op::CallAppend(page)], Preconditions::none()).await.expect("it is the first");
    assert_eq!(store.stats().payload_bytes, bytes);
}

/// Mutation: drop what waits when the store is closed, or accept commits after it.
#[tokio::test]
async fn closing_finishes_what_waits_and_refuses_what_comes_later() {
    let folder = folder();
    let store = open(folder.path());
    let many = (1..=200).map(|n| store.commit(vec![Op::RunCreate(row(n))], Preconditions::none()));
    let (answers, ()) = futures::join!(join_all(many), store.close());
    for answer in answers {
        assert_eq!(answer, Ok(()));
    }
    let late = store.commit(vec![Op::RunCreate(row(999))], Preconditions::none()).await;
    assert_eq!(late, Err(CommitError::Closed));
    store.close().await;
    assert!(store.run_get(run_id(200)).await.expect("reads go on").is_some());
    let log = std::fs::metadata(folder.path().join("isonomy.db-wal")).map_or(0, |log| log.len());
    assert_eq!(log, 0, "nothing is left for the next start to do");
}

fn behind(folder: &Path) -> i64 {
    let db = rusqlite::Connection::open(folder.join(DATABASE_FILE)).expect("opens");
    let behind = "SELECT count(*) FROM journal
        WHERE position > coalesce((SELECT value FROM meta WHERE key = 'folded'), 0)";
    db.query_row(behind, [], |row| row.get(0)).expect("counts")
}

/// Mutation: leave the index of the journal for the next start.
#[tokio::test]
async fn closing_folds_what_is_left() {
    let folder = folder();
    let store = open(folder.path());
    let ops = vec![Op::RunCreate(row(1)), append(run_id(1), 1), append(run_id(1), 2)];
    store.commit(ops, Preconditions::none()).await.expect("the run is new");
    assert_eq!(behind(folder.path()), 2);
    store.close().await;
    assert_eq!(behind(folder.path()), 0);
}

/// Mutation: write a transaction in which nothing was accepted.
#[tokio::test]
async fn a_refused_commit_costs_no_fsync() {
    let folder = folder();
    let store = open(folder.path());
    let before = store.stats();
    let refused = store.commit(vec![append(run_id(1), 1)], Preconditions::none()).await;
    assert_eq!(refused, Err(CommitError::RunMissing(run_id(1))));
    let after = store.stats();
    assert_eq!((after.batches, after.fsyncs), (before.batches, before.fsyncs));
    assert_eq!(after.refused, before.refused + 1);
}

/// Mutation: keep the rows of the attempt in which one was refused, or what the writer learned in it.
#[tokio::test]
async fn a_refused_commit_leaves_its_neighbours_as_if_it_had_not_come() {
    const MANY: u64 = 5000;
    let folder = folder();
    let store = open(folder.path());
    let create = (1..=RUNS).map(|n| Op::RunCreate(row(n))).collect();
    store.commit(create, Preconditions::none()).await.expect("the runs are new");
    // Keeps the writer busy, so that the others wait together.
    let long = (1..=MANY).map(|at| append(run_id(1), at)).collect();
    let short = (2..=RUNS).map(|n| vec![append(run_id(n), 1 + u64::from(n == RUNS / 2))]);
    let commits = std::iter::once(long).chain(short);
    let commits = commits.map(|ops| store.commit(ops, Preconditions::none()));
    let answers = join_all(commits).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.is_err()).collect();
    let (run, expected, got) = (run_id(RUNS / 2), Sequence(1), Sequence(2));
    assert_eq!(refused, [&Err(CommitError::Gap { run, expected, got })]);
    for n in (2..=RUNS).filter(|n| *n != RUNS / 2) {
        let next = store.commit(vec![append(run_id(n), 2)], Preconditions::none()).await;
        assert_eq!(next, Ok(()), "run {n} goes on where it was");
        let journal = store.journal_read(run_id(n), Sequence::ZERO, 9).await.expect("reads");
        assert_eq!(journal.len(), 2, "run {n}");
    }
    assert_eq!(store.stats().refused, 1);
}

/// Mutation: copy at each look, or never; or copy when it is short and not when it is long.
#[tokio::test]
async fn the_log_is_shortened_when_it_is_long_and_only_then() {
    const MIB: usize = 1024 * 1024;
    let folder = folder();
    let store = open(folder.path());
    let put = async |n: u64, bytes: usize| {
        let (run, sequence) = (run_id(1), Sequence(n));
        let op = Op::JournalAppend { run, sequence, record: Bytes::from(vec![7; bytes]) };
        store.commit(vec![op], Preconditions::none()).await.expect("it goes on");
    };
    store.commit(vec![Op::RunCreate(row(1))], Preconditions::none()).await.expect("it is new");
    for n in 1..=100 {
        put(n, 10).await;
    }
    assert_eq!(store.stats().checkpoints, 0, "there is little to copy");
    for n in 101..=180 {
        put(n, MIB).await;
    }
    assert!(store.stats().checkpoints > 0);
    let log = std::fs::metadata(folder.path().join("isonomy.db-wal")).expect("the log").len();
    assert!(log < 40 * MIB as u64, "{log} bytes after 80 MiB");
}

/// Tells of the first event that is logged from now on.
struct Warned(mpsc::Sender<()>);

impl tracing::Subscriber for Warned {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        // Whoever waited may have gone.
        let _ = self.0.send(());
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// Mutation: give up at once while a foreign process holds the file, such as a backup.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_lock_is_waited_for_and_told_of() {
    let folder = folder();
    let store = open(folder.path());
    let (warned, told) = mpsc::channel();
    tracing::subscriber::set_global_default(Warned(warned)).expect("the only one in the process");
    let foreign = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).expect("opens");
    foreign.execute_batch("BEGIN IMMEDIATE").expect("it is free");
    let commit = store.commit(vec![Op::RunCreate(row(1))], Preconditions::none());
    let release = tokio::task::spawn_blocking(move || {
        told.recv().expect("the store says what it waits for");
        foreign.execute_batch("ROLLBACK").expect("it is ours");
    });
    let (committed, released) = futures::join!(commit, release);
    released.expect("the lock was let go");
    assert_eq!(committed, Ok(()));
}

/// Mutation: never fold. All rows would be read at the next start and kept in memory until then.
#[tokio::test]
async fn the_index_of_the_journal_is_written_before_it_grows_long() {
    const ROWS: u64 = 5000;
    let folder = folder();
    let store = open(folder.path());
    let create = vec![Op::RunCreate(row(1))];
    store.commit(create, Preconditions::none()).await.expect("the run is new");
    for turn in 0..3 {
        let ops = (turn * ROWS + 1..=(turn + 1) * ROWS).map(|n| append(run_id(1), n)).collect();
        store.commit(ops, Preconditions::none()).await.expect("it goes on where it ended");
    }
    assert_eq!(behind(folder.path()), ROWS as i64, "those of the last commit");
}

/// Mutation: let one command's SQL error roll back or fail its neighbours.
#[tokio::test]
async fn what_one_command_cannot_write_does_not_touch_the_others() {
    let folder = folder();
    let store = open(folder.path());
    // More than SQLite takes in one value.
    let huge = Op::ChangeAppend {
        at: base::Timestamp::from_millis(0),
        actor: "ada".to_owned(),
        change: Bytes::from(vec![0; 1_000_000_001]),
    };
    let create = |n| vec![Op::RunCreate(row(n))];
    let commit = |ops| store.commit(ops, Preconditions::none());
    let answers = futures::join!(
        commit(create(1)),
        commit(vec![Op::RunCreate(row(2)), huge]),
        commit(create(3)),
    );
    assert!(matches!(answers, (Ok(()), Err(CommitError::Write(_)), Ok(()))), "{answers:?}");
    for (n, there) in [(1, true), (2, false), (3, true)] {
        let found = store.run_get(run_id(n)).await.expect("reads");
        assert_eq!(found.is_some(), there, "run {n}");
    }
}
