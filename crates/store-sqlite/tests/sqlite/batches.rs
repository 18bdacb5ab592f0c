//! Many committers, one writer.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use sqlite::SqliteStore;
use store::suite::{append, row, run_id};
use store::{CommitError, Op, Preconditions, Sequence, Store};

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
    let db = rusqlite::Connection::open(folder.path().join("isonomy.db")).expect("opens");
    let behind = "SELECT count(*) FROM journal
        WHERE position > (SELECT value FROM meta WHERE key = 'folded')";
    let behind: i64 = db.query_row(behind, [], |row| row.get(0)).expect("counts");
    assert_eq!(behind, ROWS as i64, "those of the last commit");
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
