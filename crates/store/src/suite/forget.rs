//! Forgetting: old records, runs whose time is over, and blobs that nobody needs any more.

use base::stream::Stream;
use base::{Digest, RunId};
use bytes::Bytes;

use super::link::{head, outbox};
use super::{append, at, commit, put, row, run_id};
use crate::{
    CommitError, EndedQuery, JOURNAL_FORGET_MAX, JournalKept, LongRow, Op, OutboxRow, OutcomeRow,
    RunRow, RunState, Sequence, Snapshot, Store, StretchRow,
};

/// Long enough for a store that writes the index of its journal in bulk to have written that of the
/// beginning.
const LONG: u64 = 12_000;

fn snapshot(n: u64, sequence: u64) -> Op {
    let text = Bytes::from(format!("after {sequence}"));
    Op::SnapshotPut { run: run_id(n), sequence: Sequence(sequence), snapshot: text }
}

fn forget(n: u64, through: u64) -> Op {
    let stretch = Bytes::from(format!("to {through}"));
    Op::JournalForget { run: run_id(n), through: Sequence(through), stretch }
}

fn run_forget(n: u64) -> Op {
    Op::RunForget { run: run_id(n) }
}

fn ended(n: u64, end: i64) -> RunRow {
    RunRow { state: RunState::Completed, ended_at: Some(at(end)), ..row(n) }
}

async fn long_run(store: &dyn Store, n: u64) {
    put(store, vec![Op::RunCreate(row(n))]).await;
    for page in 0..LONG / 500 {
        put(store, (1..=500).map(|i| append(run_id(n), page * 500 + i)).collect()).await;
    }
}

async fn sequences(store: &dyn Store, n: u64, after: u64, limit: u32) -> Vec<u64> {
    let entries = store.journal_read(run_id(n), Sequence(after), limit).await.expect("reads");
    entries.iter().map(|entry| entry.sequence.0).collect()
}

/// Mutation: forget the first record too, one too few or too many, or what lies beside in another run.
pub async fn old_records_are_forgotten_and_the_first_stays(store: &dyn Store) {
    long_run(store, 1).await;
    put(store, vec![Op::RunCreate(row(2)), append(run_id(2), 1)]).await;
    put(store, vec![snapshot(1, 2_000), Op::JournalStart { run: run_id(1) }]).await;
    assert_eq!(store.journal_kept(run_id(1)).await.expect("reads"), JournalKept::default());
    put(store, vec![forget(1, 900)]).await;
    assert_eq!(sequences(store, 1, 0, 3).await, [1, 901, 902]);
    assert_eq!(sequences(store, 1, 500, 2).await, [901, 902]);
    put(store, vec![forget(1, 1_800)]).await;
    put(store, vec![forget(1, 2_000)]).await;
    let all: Vec<u64> = std::iter::once(1).chain(2_001..=LONG).collect();
    assert_eq!(sequences(store, 1, 0, u32::MAX).await, all);
    // Again is harmless.
    put(store, vec![forget(1, 1_800)]).await;
    put(store, vec![append(run_id(1), LONG + 1)]).await;
    assert_eq!(sequences(store, 1, LONG, 9).await, [LONG + 1]);
    assert_eq!(sequences(store, 2, 0, 9).await, [1]);
    let start = Snapshot { sequence: Sequence(2_000), snapshot: Bytes::from("after 2000") };
    let kept = JournalKept { forgotten: Sequence(2_000), start: Some(start) };
    assert_eq!(store.journal_kept(run_id(1)).await.expect("reads"), kept);
    let stretch = |first, last: u64| StretchRow {
        first: Sequence(first),
        last: Sequence(last),
        stretch: Bytes::from(format!("to {last}")),
    };
    let stretches = [stretch(2, 900), stretch(901, 1_800), stretch(1_801, 2_000)];
    assert_eq!(store.stretch_list(run_id(1), Sequence::ZERO, 9).await.expect("reads"), stretches);
    let rest = store.stretch_list(run_id(1), Sequence(900), 1).await.expect("reads");
    assert_eq!(rest, stretches[1..2]);
}

/// Mutation: forget without a place to go on from, behind it, or everything at once.
pub async fn records_that_are_needed_are_not_forgotten(store: &dyn Store) {
    long_run(store, 1).await;
    let kept =
        |through| Err(CommitError::JournalKept { run: run_id(1), through: Sequence(through) });
    assert_eq!(commit(store, vec![forget(1, 10)]).await, kept(10));
    put(store, vec![snapshot(1, 2_000)]).await;
    assert_eq!(commit(store, vec![forget(1, 10)]).await, kept(10), "the snapshot moves on");
    put(store, vec![Op::JournalStart { run: run_id(1) }, snapshot(1, 3_000)]).await;
    let much = 2 + JOURNAL_FORGET_MAX;
    assert_eq!(commit(store, vec![forget(1, much)]).await, kept(much));
    put(store, vec![forget(1, much - 1)]).await;
    put(store, vec![forget(1, 2_000)]).await;
    assert_eq!(commit(store, vec![forget(1, 2_001)]).await, kept(2_001));
    let missing = Err(CommitError::RunMissing(run_id(9)));
    assert_eq!(commit(store, vec![forget(9, 1)]).await, missing);
}

/// Mutation: count from the beginning where the journal can be followed from later, or list all.
pub async fn long_runs_are_those_far_behind_their_start(store: &dyn Store) {
    put(store, vec![Op::RunCreate(row(1)), Op::RunCreate(row(2)), Op::RunCreate(row(3))]).await;
    put(store, vec![snapshot(1, 99), snapshot(2, 100)]).await;
    let long = |start, snapshot| LongRow {
        run: run_id(2),
        snapshot: Sequence(snapshot),
        start: Sequence(start),
        forgotten: Sequence::ZERO,
    };
    assert_eq!(store.journal_long(100, 9).await.expect("reads"), [long(0, 100)]);
    put(store, vec![Op::JournalStart { run: run_id(2) }]).await;
    assert_eq!(store.journal_long(100, 9).await.expect("reads"), []);
    put(store, vec![snapshot(2, 199)]).await;
    assert_eq!(store.journal_long(100, 9).await.expect("reads"), []);
    put(store, vec![snapshot(2, 200)]).await;
    assert_eq!(store.journal_long(100, 9).await.expect("reads"), [long(100, 200)]);
}

/// Mutation: forget a pinned blob with the last run that refers to it, or keep one that is unpinned.
pub async fn a_blob_that_is_pinned_outlives_the_runs_that_refer_to_it(store: &dyn Store) {
    let bytes = Bytes::from_static(b"a model's file");
    let blob = Digest::of(&bytes);
    let refer = Op::BlobRefer { run: run_id(1), sequence: Sequence(1), blob };
    put(store, vec![Op::RunCreate(row(1)), Op::BlobPut { blob, bytes: bytes.clone() }, refer])
        .await;
    put(store, vec![Op::BlobPin { blob }, Op::BlobPin { blob }]).await;
    put(store, vec![Op::RunUpdate(ended(1, 5)), run_forget(1), Op::Clear { rows: 100 }]).await;
    assert_eq!(store.blob_get(blob).await.expect("reads"), Some(bytes));
    put(store, vec![Op::BlobUnpin { blob }, Op::BlobUnpin { blob }]).await;
    assert_eq!(store.blob_get(blob).await.expect("reads"), None);
}

/// Mutation: keep a blob that only forgotten records refer to, or drop one that is referred to still:
/// by the first record, by the place to go on from, or by another run.
pub async fn blobs_go_with_the_last_that_refers_to_them(store: &dyn Store) {
    long_run(store, 1).await;
    put(store, vec![Op::RunCreate(row(2))]).await;
    let names = ["first", "old", "old and start", "old and another run", "new"];
    let blob = |name: &str| Digest::of(name.as_bytes());
    let refer = |n, sequence, name: &str| Op::BlobRefer {
        run: run_id(n),
        sequence: Sequence(sequence),
        blob: blob(name),
    };
    for name in names {
        put(store, vec![Op::BlobPut { blob: blob(name), bytes: Bytes::from(name) }]).await;
    }
    put(store, vec![refer(1, 1, "first"), refer(1, 7, "first"), refer(1, 7, "old")]).await;
    put(store, vec![refer(1, 7, "old and start"), refer(1, 500, "old and start")]).await;
    put(store, vec![refer(1, 8, "old and another run"), refer(2, 1, "old and another run")]).await;
    put(store, vec![refer(1, 900, "new"), refer(1, 900, "new")]).await;
    put(store, vec![snapshot(1, 500), Op::JournalStart { run: run_id(1) }]).await;
    put(store, vec![forget(1, 500)]).await;
    let kept = async || {
        let mut kept = Vec::new();
        for name in names {
            if store.blob_get(blob(name)).await.expect("reads").is_some() {
                kept.push(name);
            }
        }
        kept
    };
    assert_eq!(kept().await, ["first", "old and start", "old and another run", "new"]);
    put(store, vec![Op::RunUpdate(ended(1, 5)), run_forget(1)]).await;
    clear(store).await;
    assert_eq!(kept().await, ["old and another run"]);
    put(store, vec![Op::RunUpdate(ended(2, 5)), run_forget(2)]).await;
    clear(store).await;
    assert_eq!(kept().await, [""; 0]);
}

async fn clear(store: &dyn Store) {
    while store.clear_is_due().await.expect("reads") {
        put(store, vec![Op::Clear { rows: 1_000 }]).await;
    }
}

fn outcome(n: u64) -> OutcomeRow {
    OutcomeRow { position: 0, run: run_id(n), number: 1, at: at(3), outcome: Bytes::from("done") }
}

async fn outcomes(store: &dyn Store) -> Vec<RunId> {
    let outcomes = store.outcome_list(0, 9).await.expect("reads");
    outcomes.into_iter().map(|outcome| outcome.run).collect()
}

/// Mutation: forget a run that goes on, or leave something of it behind.
pub async fn a_run_is_forgotten_with_all_that_is_its_own(store: &dyn Store) {
    put(store, vec![Op::RunCreate(row(1)), append(run_id(1), 1), snapshot(1, 1)]).await;
    put(store, vec![Op::RunCreate(row(2)), append(run_id(2), 1)]).await;
    put(store, vec![Op::OutcomePut(outcome(1)), Op::OutcomePut(outcome(2))]).await;
    let goes_on = Err(CommitError::RunGoesOn(run_id(1)));
    assert_eq!(commit(store, vec![run_forget(1)]).await, goes_on);
    put(store, vec![Op::RunUpdate(ended(1, 5)), append(run_id(1), 2)]).await;
    put(store, vec![run_forget(1)]).await;
    let missing = Err(CommitError::RunMissing(run_id(1)));
    assert_eq!(commit(store, vec![append(run_id(1), 3)]).await, missing);
    clear(store).await;
    assert_eq!(store.run_get(run_id(1)).await.expect("reads"), None);
    assert_eq!(store.snapshot_get(run_id(1)).await.expect("reads"), None);
    assert_eq!(sequences(store, 1, 0, 9).await, [0; 0]);
    assert_eq!(outcomes(store).await, [run_id(2)]);
    put(store, vec![Op::RunUpdate(ended(2, 5)), run_forget(2)]).await;
    clear(store).await;
    assert_eq!(outcomes(store).await, []);
    // Another one begins where nothing is left, even under the same id.
    put(store, vec![Op::RunCreate(row(1)), append(run_id(1), 1)]).await;
    assert_eq!(sequences(store, 1, 0, 9).await, [1]);
    assert_eq!(sequences(store, 2, 0, 9).await, [0; 0]);
}

/// Mutation: take an outcome away that the hub does not have, or that its run still has; or leave one
/// behind that nobody needs.
pub async fn an_outcome_stays_until_hub_and_run_let_it_go(store: &dyn Store) {
    for n in 1..=4 {
        let all =
            vec![Op::RunCreate(ended(n, 5)), append(run_id(n), 1), Op::OutcomePut(outcome(n))];
        put(store, all).await;
    }
    put(store, vec![outbox(Stream::Outcome, 0, 0)]).await;
    put(store, vec![run_forget(1), run_forget(2)]).await;
    clear(store).await;
    assert_eq!(outcomes(store).await, [1, 2, 3, 4].map(run_id));
    let base = |position| Op::OutboxForget { stream: Stream::Outcome, base: head(position) };
    let kept = Err(CommitError::OutboxKept(Stream::Outcome));
    assert_eq!(commit(store, vec![base(1)]).await, kept);
    put(store, vec![outbox(Stream::Outcome, 0, 3)]).await;
    assert_eq!(commit(store, vec![base(4)]).await, kept);
    put(store, vec![base(1)]).await;
    assert_eq!(outcomes(store).await, [2, 3, 4].map(run_id));
    // The third run is there: its outcome stays with it.
    put(store, vec![base(3), base(2)]).await;
    assert_eq!(outcomes(store).await, [3, 4].map(run_id));
    let row = OutboxRow { stream: Stream::Outcome, base: head(3), mark: head(3) };
    assert_eq!(store.outbox_get(Stream::Outcome).await.expect("reads"), Some(row));
    put(store, vec![run_forget(3), run_forget(4)]).await;
    clear(store).await;
    assert_eq!(outcomes(store).await, [run_id(4)]);
}

/// Mutation: forget and go on in one commit as if nothing were.
pub async fn a_run_is_gone_within_the_commit_that_forgets_it(store: &dyn Store) {
    put(store, vec![Op::RunCreate(ended(1, 5)), append(run_id(1), 1)]).await;
    let both = vec![run_forget(1), append(run_id(1), 2)];
    assert_eq!(commit(store, both).await, Err(CommitError::RunMissing(run_id(1))));
    assert_eq!(sequences(store, 1, 0, 9).await, [1]);
    put(store, vec![append(run_id(1), 2), run_forget(1), Op::RunCreate(row(1))]).await;
    assert_eq!(sequences(store, 1, 0, 9).await, [0; 0]);
    put(store, vec![append(run_id(1), 1), append(run_id(1), 2)]).await;
    clear(store).await;
    assert_eq!(sequences(store, 1, 0, 9).await, [1, 2]);
}

/// Mutation: list runs that go on, of another workflow, or that ended later; begin at the cursor.
pub async fn ended_runs_come_earliest_first(store: &dyn Store) {
    let other = RunRow { key: super::key("lab/other"), ..ended(4, 1) };
    let rows = [ended(1, 30), ended(2, 20), ended(3, 20), other, row(5), ended(6, 40)];
    put(store, rows.into_iter().map(Op::RunCreate).collect()).await;
    let ask = async |until, after, limit| {
        let key = super::key("lab/intake");
        let query = EndedQuery { key, until: at(until), after, limit };
        let rows = store.run_ended(query).await.expect("reads");
        rows.iter().map(|row| row.run).collect::<Vec<_>>()
    };
    assert_eq!(ask(30, None, 9).await, [2, 3, 1].map(run_id));
    assert_eq!(ask(29, None, 9).await, [2, 3].map(run_id));
    assert_eq!(ask(99, None, 1).await, [run_id(2)]);
    assert_eq!(ask(99, Some((at(20), run_id(2))), 9).await, [3, 1, 6].map(run_id));
    let first = store.run_ended_key(None).await.expect("reads");
    assert_eq!(first, Some(super::key("lab/intake")));
    let second = store.run_ended_key(first).await.expect("reads");
    assert_eq!(second, Some(super::key("lab/other")));
    assert_eq!(store.run_ended_key(second).await.expect("reads"), None);
}
