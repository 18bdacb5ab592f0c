//! The data folder: who may use it, and what may be in it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rusqlite::Connection;
use sqlite::{DATABASE_FILE, OpenError, OpenOptions, SqliteStore};
use store::suite::{append, row, run_id};
use store::{CommitError, Op, Preconditions, Sequence, Store};

use crate::crash::child;
use crate::{folder, open, sqlite};

fn refused(folder: &Path) -> OpenError {
    SqliteStore::open(folder, OpenOptions::default()).expect_err("this must not open")
}

/// Mutation: keep the epoch, renew the incarnation, or lose the index of what was folded.
#[tokio::test]
async fn a_store_that_is_opened_again_has_everything() {
    let folder = folder();
    let mut last = 0;
    let mut incarnation = None;
    for epoch in 1..=4 {
        let store = open(folder.path());
        assert_eq!(store.epoch(), epoch);
        assert_eq!(*incarnation.get_or_insert(store.incarnation()), store.incarnation());
        if epoch == 1 {
            let create = vec![Op::RunCreate(row(1))];
            store.commit(create, Preconditions::none()).await.expect("it is new");
        }
        let earlier = Preconditions { run: None, epoch: Some(epoch - 1) };
        let refused = store.commit(vec![append(run_id(1), last + 1)], earlier).await;
        assert_eq!(refused, Err(CommitError::EpochMoved { current: epoch, got: epoch - 1 }));
        // Past one fold in the first life, and a little in every other.
        let more = if epoch == 1 { 5000 } else { 3 };
        let journal = store.journal_read(run_id(1), Sequence::ZERO, u32::MAX).await.expect("reads");
        assert_eq!(journal.len() as u64, last);
        let ops = (last + 1..=last + more).map(|n| append(run_id(1), n)).collect();
        store.commit(ops, Preconditions::none()).await.expect("it goes on where it ended");
        last += more;
    }
}

/// Mutation: do not lock, or lock after the file is opened.
#[test]
fn a_second_opener_is_refused_and_told_who_has_it() {
    let folder = folder();
    let store = open(folder.path());
    let by = format!("in use by process {}", std::process::id());
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(&by), "{error}");
    let other = child("open", folder.path()).output().expect("runs");
    let told = String::from_utf8_lossy(&other.stdout);
    assert!(told.contains(&by), "{told}");
    drop(store);
    let other = child("open", folder.path()).output().expect("runs");
    assert!(String::from_utf8_lossy(&other.stdout).contains("> open"));
}

/// Mutation: leave the modes to the umask.
#[test]
fn nobody_but_the_owner_reads_the_folder() {
    let parent = folder();
    let data = parent.path().join("a/b");
    let _store = open(&data);
    let mode =
        |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for file in ["lock", "ballast", DATABASE_FILE, "isonomy.db-wal", "isonomy.db-shm"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
}

/// Mutation: open whatever is there and migrate it down.
#[test]
fn a_newer_store_is_refused_and_left_alone() {
    let folder = folder();
    drop(open(folder.path()));
    let file = folder.path().join(DATABASE_FILE);
    let db = Connection::open(&file).expect("opens");
    db.execute("UPDATE meta SET value = 7 WHERE key = 'schema'", []).expect("changes");
    drop(db);
    let before = std::fs::read(&file).expect("reads");
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Newer { found: 7, known: 2, .. }), "{error}");
    assert!(error.to_string().contains("use a newer program"), "{error}");
    assert!(std::fs::read(&file).expect("reads") == before, "the file is untouched");
}

/// Mutation: `expect` anything of what the file says.
#[tokio::test]
async fn a_damaged_file_is_an_error_with_a_way_out() {
    let whole = folder();
    let store = open(whole.path());
    let mut ops = vec![Op::RunCreate(row(1))];
    ops.extend((1..=500).map(|n| append(run_id(1), n)));
    store.commit(ops, Preconditions::none()).await.expect("writes");
    drop(store);
    let bytes = std::fs::read(whole.path().join(DATABASE_FILE)).expect("reads");

    let mut cases: Vec<(String, Vec<u8>)> = vec![
        ("text".to_owned(), b"dear diary, ".repeat(100)),
        ("header only".to_owned(), bytes[..100].to_vec()),
        ("half".to_owned(), bytes[..bytes.len() / 2].to_vec()),
    ];
    for page in 0..bytes.len() / 4096 {
        let mut damaged = bytes.clone();
        damaged[page * 4096..][..4096].fill(0x5a);
        cases.push((format!("page {page}"), damaged));
    }
    let mut refused = 0;
    for (name, damaged) in cases {
        let folder = folder();
        std::fs::write(folder.path().join(DATABASE_FILE), damaged).expect("writes");
        match SqliteStore::open(folder.path(), OpenOptions::default()) {
            Err(error @ OpenError::Corrupt { .. }) => {
                assert!(error.to_string().contains("bring back a backup"), "{error}");
                refused += 1;
            }
            Err(error) => panic!("{name}: {error}"),
            // What is not read at the start is found when it is asked for: an error or the truth.
            Ok(store) => {
                if let Ok(journal) = store.journal_read(run_id(1), Sequence::ZERO, 999).await {
                    assert!(journal.is_empty() || journal.len() == 500, "{name}");
                }
                let _ = store.run_get(run_id(1)).await;
                let _ = store.commit(vec![append(run_id(1), 501)], Preconditions::none()).await;
            }
        }
    }
    assert!(refused >= 4, "{refused} of the damaged files were refused at once");
}

/// Mutation: take any database for a store.
#[test]
fn a_foreign_database_is_refused_and_left_alone() {
    let folder = folder();
    let file = folder.path().join(DATABASE_FILE);
    let db = Connection::open(&file).expect("opens");
    db.execute_batch("CREATE TABLE diary (day TEXT); INSERT INTO diary VALUES ('monday')")
        .expect("writes");
    drop(db);
    let before = std::fs::read(&file).expect("reads");
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    assert!(std::fs::read(&file).expect("reads") == before, "the file is untouched");
}

/// Mutation: prepare the writer later than the opening, so that every commit is refused instead.
#[test]
fn a_store_that_lacks_a_table_is_refused_at_once() {
    let folder = folder();
    drop(open(folder.path()));
    let db = Connection::open(folder.path().join(DATABASE_FILE)).expect("opens");
    db.execute_batch("DROP TABLE changes").expect("changes");
    drop(db);
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
}

/// Mutation: keep what was half written, or fall over it.
#[test]
fn unfinished_blob_files_are_removed_at_the_start() {
    let folder = folder();
    drop(open(folder.path()));
    let unfinished = folder.path().join("blobs/new/0");
    std::fs::write(&unfinished, b"half of").expect("writes");
    drop(open(folder.path()));
    assert!(!unfinished.exists());
}

/// Mutation: print the operating system's words alone, or panic.
#[test]
fn a_folder_that_cannot_be_used_is_an_error_that_names_it() {
    let folder = folder();
    let file = folder.path().join("file");
    std::fs::write(&file, b"").expect("writes");
    let error = refused(&file.join("data"));
    assert!(matches!(error, OpenError::Folder { .. }), "{error}");
    assert!(error.to_string().contains("file/data"), "{error}");
}

/// Mutation: take an emptied file for a new store.
#[tokio::test]
async fn an_emptied_file_beside_its_log_is_refused() {
    let folder = folder();
    let store = open(folder.path());
    let create = vec![Op::RunCreate(row(1))];
    store.commit(create, Preconditions::none()).await.expect("it is new");
    let log = std::fs::read(folder.path().join("isonomy.db-wal")).expect("a log");
    drop(store);
    // As a kill leaves it: the log is still there.
    std::fs::write(folder.path().join(DATABASE_FILE), b"").expect("emptied");
    std::fs::write(folder.path().join("isonomy.db-wal"), log).expect("put back");
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
}
