//! A disk that is full. Needs the right to mount a small one; says so where it has not.

use std::path::Path;
use std::process::Command;

use base::Digest;
use bytes::Bytes;
use store::suite::{append, at, row, run_id};
use store::{CommitError, Op, Preconditions, RunRow, RunState, Sequence, Store};

use crate::{folder, open};

const DISK: &str = "size=40m";
const FILLER_BYTES: usize = 16 * 1024 * 1024;
const BALLAST_BYTES: usize = 4 * 1024 * 1024;

struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(folder: &'a Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(folder);
        let done = mount.output().is_ok_and(|output| output.status.success());
        done.then_some(Self(folder))
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

fn files(folder: &Path) -> usize {
    let below =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("one").path());
    below.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

/// Mutation: end the process, lose an acknowledged commit, keep the ballast, or never leave the
/// narrow state again.
#[tokio::test]
async fn on_a_full_disk_runs_can_still_end_and_room_heals_it() {
    let folder = folder();
    let Some(disk) = Disk::mount(folder.path()) else {
        eprintln!("skipped: a tmpfs cannot be mounted here");
        return;
    };
    let (filler, ballast) = (disk.0.join("filler"), disk.0.join("data/ballast"));
    std::fs::write(&filler, vec![0; FILLER_BYTES]).expect("there is room");
    let store = open(&disk.0.join("data"));
    let commit = |ops| store.commit(ops, Preconditions::none());
    commit(vec![Op::RunCreate(row(1)), Op::RunCreate(row(2))]).await.expect("there is room");
    assert!(ballast.exists());

    let record = Bytes::from(vec![7; 16 * 1024]);
    let entry = |sequence| {
        let (run, sequence) = (run_id(1), Sequence(sequence));
        vec![Op::JournalAppend { run, sequence, record: record.clone() }]
    };
    let mut last = 0;
    let refused = loop {
        match commit(entry(last + 1)).await {
            Ok(()) => last += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, CommitError::Full);
    assert!(last > 200, "{last} entries");
    assert!(!ballast.exists(), "its room is free now");
    assert_eq!(commit(entry(last + 1)).await, Err(CommitError::Full));
    let large = Bytes::from(vec![7; FILLER_BYTES]);
    let blob = Op::BlobPut { blob: Digest::of(&large), bytes: large };
    assert_eq!(commit(vec![blob]).await, Err(CommitError::Full));
    assert_eq!(files(&disk.0.join("data/blobs")), 0, "what was half written is gone");
    // Room for the ballast alone is not room to go on with.
    let shrunk = FILLER_BYTES - BALLAST_BYTES - BALLAST_BYTES / 2;
    std::fs::write(&filler, vec![0; shrunk]).expect("makes some room");
    assert_eq!(commit(entry(last + 1)).await, Err(CommitError::Full));
    assert!(!ballast.exists(), "it waits until there is room for more");
    std::fs::write(&filler, vec![0; FILLER_BYTES]).expect("there is room");

    let ended =
        RunRow { state: RunState::Faulted, ended_at: Some(at(9)), updated_at: at(9), ..row(1) };
    let end = vec![append(run_id(1), last + 1), Op::RunUpdate(ended.clone())];
    commit(end).await.expect("the ballast was kept for this");
    assert_eq!(commit(vec![append(run_id(2), 1)]).await, Err(CommitError::Full));
    assert_eq!(store.run_get(run_id(1)).await.expect("reads"), Some(ended));

    std::fs::remove_file(&filler).expect("makes room");
    commit(vec![append(run_id(2), 1)]).await.expect("there is room again");
    assert!(ballast.exists(), "it is there for the next time");
    drop(store);

    // No room at all: the next start takes the ballast's.
    let fill = |name: &str| {
        let free = rustix::fs::statvfs(disk.0).expect("says").f_bavail as usize * 4096;
        std::fs::write(disk.0.join(name), vec![0; free]).expect("there is room");
    };
    fill("filler");
    let store = open(&disk.0.join("data"));
    // The index of a long log may have been cut at the start; what was the ballast's stays free.
    if ballast.exists() {
        fill("rest");
    }
    let journal = store.journal_read(run_id(1), Sequence::ZERO, u32::MAX).await.expect("reads");
    assert_eq!(journal.len() as u64, last + 1, "nothing that was acknowledged is lost");
    let again = store.commit(vec![append(run_id(2), 2)], Preconditions::none()).await;
    assert_eq!(again, Err(CommitError::Full));
    let ended = RunRow { state: RunState::Cancelled, ..row(2) };
    let end = vec![append(run_id(2), 2), Op::RunUpdate(ended)];
    store.commit(end, Preconditions::none()).await.expect("the ballast was kept for this");

    let too_much = Op::ChangeAppend {
        at: at(1),
        actor: "ada".to_owned(),
        change: Bytes::from(vec![7; 10 * BALLAST_BYTES]),
    };
    let end = Op::RunUpdate(RunRow { state: RunState::Faulted, ..row(2) });
    let refused = store.commit(vec![end, too_much], Preconditions::none()).await;
    assert_eq!(refused, Err(CommitError::Full), "no more than there is room for");
}

/// Mutation: never copy the log on a full disk, so that its room is not had again.
#[tokio::test]
async fn a_full_disk_copies_a_log_that_has_room() {
    let folder = folder();
    let Some(disk) = Disk::mount(folder.path()) else {
        eprintln!("skipped: a tmpfs cannot be mounted here");
        return;
    };
    let store = open(&disk.0.join("data"));
    let commit = |ops| store.commit(ops, Preconditions::none());
    commit(vec![Op::RunCreate(row(1))]).await.expect("there is room");
    let free = rustix::fs::statvfs(disk.0).expect("says").f_bavail as usize * 4096;
    std::fs::write(disk.0.join("filler"), vec![0; free - BALLAST_BYTES / 4]).expect("fits");
    let record = Bytes::from(vec![7; BALLAST_BYTES / 2]);
    let large = Op::JournalAppend { run: run_id(1), sequence: Sequence(1), record };
    assert_eq!(commit(vec![large]).await, Err(CommitError::Full));
    assert_eq!(store.stats().checkpoints, 1);
    let log = std::fs::metadata(disk.0.join("data/isonomy.db-wal")).expect("the log").len();
    assert_eq!(log, 0, "all of it is in the database");
}
