//! A store with nothing to do.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use sqlite::{OpenOptions, SqliteStore};
use store::suite::{append, row, run_id};
use store::{Op, Preconditions, Sequence, Store};

use crate::{folder, sqlite};

/// Who hears of a rest: a plain function cannot bring it along.
static RESTS: OnceLock<Mutex<Sender<()>>> = OnceLock::new();

fn tell() {
    let rests = RESTS.get().expect("set before the store is opened");
    rests.lock().expect("nobody panics with it").send(()).expect("the test listens");
}

fn heard() -> Receiver<()> {
    let (rests, heard) = channel();
    assert!(RESTS.set(Mutex::new(rests)).is_ok(), "one test of this process listens");
    heard
}

/// Mutation: never rest, or believe after a rest that a run has no records.
#[tokio::test]
async fn a_store_rests_after_its_work_and_goes_on_where_it_was() {
    let folder = folder();
    let heard = heard();
    let rest_after = Duration::from_millis(1);
    let options = OpenOptions { rest_after, on_rest: tell, ..OpenOptions::default() };
    let store = SqliteStore::open(folder.path(), options).expect("the folder is ours");
    let commit = |ops| store.commit(ops, Preconditions::none());
    commit(vec![Op::RunCreate(row(1))]).await.expect("the run is new");
    // The first rest may be that after the opening; the third is certainly behind a record.
    for sequence in 1..=4 {
        commit(vec![append(run_id(1), sequence)]).await.expect("the record before is known");
        heard.recv().expect("the store tells of its rest");
    }
    let journal = store.journal_read(run_id(1), Sequence::ZERO, 9).await.expect("reads");
    assert_eq!(journal.len(), 4);
}
