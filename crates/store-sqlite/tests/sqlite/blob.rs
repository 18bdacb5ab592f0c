//! Blobs as rows and files.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base::Digest;
use base::limits::BLOB_ROW_BYTES_MAX;
use bytes::Bytes;
use store::suite::{append, at, row, run_id};
use store::{BlobRef, Op, Preconditions, RunRow, RunState, Sequence, Store};

use crate::{folder, open};

fn file(folder: &Path, blob: Digest) -> PathBuf {
    let hex = blob.to_string().trim_start_matches("b3:").to_owned();
    folder.join("blobs").join(&hex[..2]).join(hex)
}

fn large() -> Bytes {
    Bytes::from(vec![7; BLOB_ROW_BYTES_MAX + 1])
}

async fn put(store: &impl Store, bytes: &Bytes) -> Digest {
    let blob = Digest::of(bytes);
    let op = Op::BlobPut { blob, bytes: bytes.clone() };
    store.commit(vec![op], Preconditions::none()).await.expect("the blob is what it says");
    blob
}

/// Mutation: move the border between rows and files by one.
#[tokio::test]
async fn a_blob_is_a_row_up_to_its_limit_and_a_file_above() {
    let folder = folder();
    let store = open(folder.path());
    let row = put(&store, &large().slice(1..)).await;
    let large = put(&store, &large()).await;
    assert!(!file(folder.path(), row).exists());
    assert!(file(folder.path(), large).exists());
    assert_eq!(file(folder.path(), large).metadata().expect("it is there").mode() & 0o777, 0o600);
}

/// Mutation: write the file again, or fsync it again, when it is there.
#[tokio::test]
async fn the_same_large_blob_twice_is_cheap() {
    let folder = folder();
    let store = open(folder.path());
    let before = store.stats().fsyncs;
    let blob = put(&store, &large()).await;
    assert!(store.stats().fsyncs - before >= 3, "the file, its folder, and the commit");
    let first = file(folder.path(), blob).metadata().expect("it is there").ino();
    let before = store.stats().fsyncs;
    put(&store, &large()).await;
    assert_eq!(file(folder.path(), blob).metadata().expect("it is there").ino(), first);
    assert_eq!(store.stats().fsyncs - before, 1, "only the commit itself");
}

/// Mutation: make the name of a blob's folder durable only where the folder is not there yet.
#[tokio::test]
async fn a_folder_that_somebody_else_has_made_is_made_durable_all_the_same() {
    let folder = folder();
    let store = open(folder.path());
    let file = file(folder.path(), Digest::of(&large()));
    // By a life that ended before it could sync the folder above.
    std::fs::create_dir(file.parent().expect("a folder")).expect("made");
    let before = store.stats().fsyncs;
    put(&store, &large()).await;
    let syncs = store.stats().fsyncs - before;
    assert!(syncs >= 4, "{syncs}: the folder's name, the file, its name, and the commit");
}

/// Mutation: return bytes without checking them, or check their length only.
#[tokio::test]
async fn a_blob_that_was_tampered_with_is_an_error_and_not_an_answer() {
    let folder = folder();
    let store = open(folder.path());
    let large = put(&store, &large()).await;
    let small = put(&store, &Bytes::from_static(b"law")).await;
    let db = rusqlite::Connection::open(folder.path().join("isonomy.db")).expect("opens");
    db.execute("UPDATE blobs SET bytes = x'00' WHERE size = 3", []).expect("changes the row");
    let cases = [vec![8; BLOB_ROW_BYTES_MAX + 1], vec![7; BLOB_ROW_BYTES_MAX], vec![]];
    for tampered in cases {
        std::fs::write(file(folder.path(), large), tampered).expect("changes the file");
        let error = store.blob_get(large).await.expect_err("it is not the content any more");
        assert!(error.to_string().contains("changed outside the store"), "{error}");
    }
    let error = store.blob_get(small).await.expect_err("it is not the content any more");
    assert!(error.to_string().contains("changed outside the store"), "{error}");
    // More than the memory holds: noticed before it is read, whatever the row says.
    const HUGE: u64 = 1 << 42;
    let swapped = std::fs::File::create(file(folder.path(), large)).expect("opens");
    swapped.set_len(HUGE).expect("takes no room");
    for row in [HUGE, BLOB_ROW_BYTES_MAX as u64 + 1] {
        let doctor = "UPDATE blobs SET size = ?1 WHERE bytes IS NULL";
        db.execute(doctor, [row as i64]).expect("changes the row");
        let error = store.blob_get(large).await.expect_err("it is not the content any more");
        assert!(error.to_string().contains("changed outside the store"), "{error}");
    }
    std::fs::remove_file(file(folder.path(), large)).expect("removes the file");
    let error = store.blob_get(large).await.expect_err("a missing file is not a missing blob");
    assert!(error.to_string().contains("backup"), "{error}");
}

/// Mutation: trust the row alone when a blob is put again.
#[tokio::test]
async fn putting_a_lost_file_again_brings_it_back() {
    let folder = folder();
    let store = open(folder.path());
    let blob = put(&store, &large()).await;
    std::fs::remove_file(file(folder.path(), blob)).expect("removes the file");
    put(&store, &large()).await;
    assert_eq!(store.blob_get(blob).await.expect("reads"), Some(large()));
}

async fn stream(store: &impl Store, pieces: &[&[u8]]) -> Digest {
    let mut writing = store.blob_begin().expect("begins");
    pieces.iter().for_each(|piece| writing.write(piece).expect("writes"));
    let written = writing.finish().expect("is written");
    let keep = Op::BlobKeep { blob: written.blob, size: written.bytes };
    store.commit(vec![keep], Preconditions::none()).await.expect("it is there");
    written.blob
}

/// Mutation: leave the unfinished file where nobody finishes it, or skip the fsync of the file.
#[tokio::test]
async fn what_is_streamed_is_a_durable_file_or_nothing() {
    let folder = folder();
    let store = open(folder.path());
    let unfinished =
        || std::fs::read_dir(folder.path().join("blobs/new")).expect("a folder").count();
    let mut writing = store.blob_begin().expect("begins");
    writing.write(b"lost").expect("writes");
    assert_eq!(unfinished(), 1);
    drop(writing);
    assert_eq!(unfinished(), 0);
    let before = store.stats().fsyncs;
    let blob = stream(&store, &[b"a ", b"law"]).await;
    assert!(store.stats().fsyncs - before >= 3, "the file, its folder, and the commit");
    assert!(file(folder.path(), blob).exists());
    assert_eq!(unfinished(), 0);
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.blob_get(blob).await.expect("reads"), Some(Bytes::from_static(b"a law")));
}

/// Until the store has looked at all of its files.
async fn sweep(store: &impl Store) {
    while store.reclaim(0).await.expect("looks").files_left {}
}

async fn finish(store: &impl Store, bytes: &[u8]) -> BlobRef {
    let mut writing = store.blob_begin().expect("begins");
    writing.write(bytes).expect("writes");
    writing.finish().expect("is written")
}

/// Mutation: never sweep, sweep some folders only, or delete what has a row or is not a blob.
#[tokio::test]
async fn a_file_that_a_crash_has_left_without_a_row_is_deleted() {
    let folder = folder();
    let store = open(folder.path());
    let kept = put(&store, &large()).await;
    let mut left = Vec::new();
    for n in 0..20 {
        left.push(file(folder.path(), finish(&store, &[n]).await.blob));
    }
    let foreign = left[0].with_file_name("notes.txt");
    std::fs::write(&foreign, "not ours").expect("writes");
    drop(store);
    let store = open(folder.path());
    assert!(left.iter().all(|file| file.exists()));
    sweep(&store).await;
    assert!(!left.iter().any(|file| file.exists()));
    assert!(foreign.exists());
    assert_eq!(store.blob_get(kept).await.expect("reads"), Some(large()));
}

/// Mutation: sweep what is finished and not committed yet, or keep it from then on for ever.
#[tokio::test]
async fn a_file_waits_for_the_commit_that_wants_it() {
    let folder = folder();
    let store = open(folder.path());
    let BlobRef { blob, bytes } = finish(&store, b"a law").await;
    sweep(&store).await;
    let run = run_id(1);
    let ops = vec![
        Op::RunCreate(RunRow { state: RunState::Completed, ended_at: Some(at(1)), ..row(1) }),
        Op::BlobKeep { blob, size: bytes },
        append(run, 1),
        Op::BlobRefer { run, sequence: Sequence(1), blob },
    ];
    store.commit(ops, Preconditions::none()).await.expect("it is there");
    assert!(file(folder.path(), blob).exists());
    let ops = vec![Op::RunForget { run }, Op::Clear { rows: 100 }];
    store.commit(ops, Preconditions::none()).await.expect("forgets");
    assert!(!file(folder.path(), blob).exists());
}

/// Mutation: read a part of a file that nobody has compared with its name, or trust what was compared
/// once whatever happens to the file.
#[tokio::test]
async fn a_part_of_a_file_that_was_tampered_with_is_an_error() {
    let folder = folder();
    let store = open(folder.path());
    let blob = stream(&store, &[&vec![7; BLOB_ROW_BYTES_MAX + 1]]).await;
    assert!(store.blob_read(blob, 5, 5).await.expect("reads").is_some());
    let path = file(folder.path(), blob);
    // The part that is read is as it was; another is not.
    let mut tampered = vec![7; BLOB_ROW_BYTES_MAX + 1];
    tampered[BLOB_ROW_BYTES_MAX] = 8;
    std::fs::write(&path, &tampered).expect("changes the file");
    let error = store.blob_read(blob, 5, 5).await.expect_err("it is not the content any more");
    assert!(error.to_string().contains("changed outside the store"), "{error}");
    drop(store);
    let store = open(folder.path());
    store.blob_read(blob, 5, 5).await.expect_err("nor after a start");
    std::fs::write(&path, vec![7; BLOB_ROW_BYTES_MAX + 1]).expect("brings it back");
    assert!(store.blob_read(blob, 5, 5).await.expect("reads").is_some());
    std::fs::remove_file(&path).expect("removes the file");
    let error = store.blob_read(blob, 5, 5).await.expect_err("a missing file is no answer");
    assert!(error.to_string().contains("backup"), "{error}");
}
