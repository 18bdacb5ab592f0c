//! Journals that are longer than what is kept in memory of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use store::suite::{append, row, run_id};
use store::{Op, Preconditions, Sequence, Store};

use crate::sqlite::{DATABASE_FILE, SqliteStore};
use crate::{folder, open};

const ROWS: u64 = 15_000;

async fn long(store: &SqliteStore) {
    let commit = |ops| store.commit(ops, Preconditions::none());
    commit(vec![Op::RunCreate(row(1)), Op::RunCreate(row(2))]).await.expect("they are new");
    commit(vec![append(run_id(2), 1)]).await.expect("its first entry");
    for from in (1..=ROWS).step_by(5000) {
        let ops = (from..from + 5000).map(|n| append(run_id(1), n)).collect();
        commit(ops).await.expect("it goes on where it ended");
    }
}

/// Mutation: give all of an extent, begin it at its start, or stop where one ends.
#[tokio::test]
async fn a_page_of_a_long_journal_has_its_size() {
    let folder = folder();
    let store = open(folder.path());
    long(&store).await;
    for (after, limit) in [(0, 1), (0, 3000), (1023, 2), (9_999, 2), (ROWS - 1, 9), (ROWS, 9)] {
        let page = store.journal_read(run_id(1), Sequence(after), limit).await.expect("reads");
        let page: Vec<u64> = page.iter().map(|entry| entry.sequence.0).collect();
        let expected: Vec<u64> = (after + 1..=ROWS).take(limit as usize).collect();
        assert_eq!(page, expected, "{limit} after {after}");
    }
}

/// Mutation: leave any of the comparisons out, or ask for two of them at once.
#[tokio::test]
async fn a_doctored_journal_is_an_error_and_not_an_answer() {
    let folder = folder();
    let store = open(folder.path());
    long(&store).await;
    let db = Connection::open(folder.path().join(DATABASE_FILE)).expect("opens");
    let positions = "SELECT positions FROM journal_extents WHERE last = 1024";
    let positions: Vec<u8> = db.query_row(positions, [], |row| row.get(0)).expect("an extent");
    let run = "SELECT run FROM journal WHERE sequence = 5";
    let run: i64 = db.query_row(run, [], |row| row.get(0)).expect("the fifth entry");
    let read = async || store.journal_read(run_id(1), Sequence::ZERO, 2000).await;
    let (index, entry) = ("the index of a journal is damaged", "a journal and its index differ");
    let cases = [
        (index, "UPDATE journal_extents SET last = 1025 WHERE last = 1024"),
        (index, "UPDATE journal_extents SET positions = x'' WHERE last = 1024"),
        (entry, "UPDATE journal SET run = run + 1 WHERE sequence = 5"),
        (entry, "UPDATE journal SET sequence = 99999 WHERE sequence = 5"),
        (entry, "DELETE FROM journal_extents WHERE last = 1024"),
    ];
    for (said, doctor) in cases {
        assert_eq!(db.execute(doctor, []).expect("changes"), 1, "{doctor}");
        let error = read().await.expect_err("it is doctored").to_string();
        assert!(error.contains(said), "{doctor}: {error}");
        let first = "DELETE FROM journal_extents WHERE run = ?1 AND first = 1";
        db.execute(first, [run]).expect("deletes");
        let extent = "INSERT INTO journal_extents (run, last, first, positions)
            VALUES (?1, 1024, 1, ?2)";
        db.execute(extent, rusqlite::params![run, positions]).expect("puts it back");
        let fifth = "UPDATE journal SET run = ?1, sequence = 5 WHERE sequence IN (5, 99999)";
        db.execute(fifth, [run]).expect("puts it back");
        assert_eq!(read().await.expect("it is whole again").len(), 2000, "{doctor}");
    }
}

/// A commit can be seen in the file a moment before the writer has told the readers of its records. The
/// moment is long where the writer does not get a core, so they are all busy here.
///
/// Mutation: read what the tail knows without waiting for what the file has.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn who_sees_a_run_finds_the_journal_that_its_row_speaks_of() {
    let folder = folder();
    let store = Arc::new(open(folder.path()));
    let is_over = Arc::new(AtomicBool::new(false));
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let busy: Vec<_> = (0..2 * cores)
        .map(|_| {
            let is_over = Arc::clone(&is_over);
            std::thread::spawn(move || while !is_over.load(Ordering::Relaxed) {})
        })
        .collect();
    for n in 1..=2_000 {
        let reader = Arc::clone(&store);
        let seen = tokio::spawn(async move {
            while reader.run_get(run_id(n)).await.expect("reads").is_none() {}
            reader.journal_read(run_id(n), Sequence::ZERO, 9).await.expect("reads").len()
        });
        let ops = vec![Op::RunCreate(row(n)), append(run_id(n), 1)];
        store.commit(ops, Preconditions::none()).await.expect("writes");
        assert_eq!(seen.await.expect("does not panic"), 1, "run {n}");
    }
    is_over.store(true, Ordering::Relaxed);
    busy.into_iter().for_each(|thread| thread.join().expect("does not panic"));
}
