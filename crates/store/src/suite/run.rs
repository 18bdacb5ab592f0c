//! Runs: creation, change, lists.

use base::Digest;
use base::name::{Namespace, WorkflowName};
use bytes::Bytes;

use super::{append, at, commit, key, put, row, run_id};
use crate::{CommitError, Op, RunQuery, RunRow, RunState, Sequence, Store};

const NONE: [u64; 0] = [];

/// Numbers of the runs, as in [`row`].
fn numbers(rows: &[RunRow]) -> Vec<u64> {
    rows.iter().map(|row| row.run.as_uuid().as_u64_pair().1).collect()
}

async fn list(store: &dyn Store, query: RunQuery) -> Vec<u64> {
    numbers(&store.run_list(query).await.expect("reads"))
}

fn query(limit: u32) -> RunQuery {
    RunQuery { limit, ..RunQuery::default() }
}

/// Mutation: replace the row of a run that exists.
pub async fn a_run_is_created_once(store: &dyn Store) {
    put(store, vec![Op::RunCreate(row(1))]).await;
    let other = RunRow { key: key("lab/other"), ..row(1) };
    let refused = commit(store, vec![Op::RunCreate(other)]).await;
    assert_eq!(refused, Err(CommitError::RunExists(run_id(1))));
    assert_eq!(store.run_get(run_id(1)).await.expect("reads"), Some(row(1)));
}

/// Mutation: let an update make its run, or answer with an error where there is no run.
pub async fn a_missing_run_is_refused(store: &dyn Store) {
    let refused = commit(store, vec![Op::RunUpdate(row(1))]).await;
    assert_eq!(refused, Err(CommitError::RunMissing(run_id(1))));
    assert_eq!(store.run_get(run_id(1)).await.expect("reads"), None);
}

/// Mutation: leave any one column as it was, or change another run.
pub async fn an_update_replaces_the_whole_row(store: &dyn Store) {
    put(store, vec![Op::RunCreate(row(1)), Op::RunCreate(row(2)), append(run_id(1), 1)]).await;
    // One column at a time, since a store may have a shorter way for some of them.
    let mut now = row(1);
    let columns: [fn(&mut RunRow); 11] = [
        |row| row.summary = Bytes::from_static(b"new"),
        |row| row.updated_at = at(50),
        |row| row.wake_at = Some(at(70)),
        |row| row.wake_at = Some(at(80)),
        |row| row.state = RunState::Completed,
        |row| row.wake_at = None,
        |row| row.ended_at = Some(at(90)),
        |row| row.key = key("lab/press"),
        |row| row.key = key("plant/press"),
        |row| row.created_at = at(3),
        |row| row.revision = Digest::of(b"press"),
    ];
    for change in columns {
        change(&mut now);
        put(store, vec![Op::RunUpdate(now.clone())]).await;
        assert_eq!(store.run_get(run_id(1)).await.expect("reads"), Some(now.clone()));
    }
    assert_eq!(store.run_get(run_id(2)).await.expect("reads"), Some(row(2)));
    let journal = store.journal_read(run_id(1), Sequence::ZERO, 9).await.expect("reads");
    assert_eq!(journal.len(), 1, "an update leaves the journal alone");
}

/// Mutation: order by creation time or by insertion, or repeat the cursor's run on the next page.
pub async fn runs_are_listed_newest_first_and_in_pages(store: &dyn Store) {
    for n in [3, 1, 5, 2, 4] {
        put(store, vec![Op::RunCreate(row(n))]).await;
    }
    assert_eq!(list(store, query(9)).await, [5, 4, 3, 2, 1]);
    assert_eq!(list(store, query(2)).await, [5, 4]);
    assert_eq!(list(store, RunQuery { after: Some(run_id(4)), ..query(2) }).await, [3, 2]);
    assert_eq!(list(store, RunQuery { after: Some(run_id(2)), ..query(2) }).await, [1]);
    assert_eq!(list(store, RunQuery { after: Some(run_id(1)), ..query(2) }).await, NONE);
    assert_eq!(list(store, query(0)).await, NONE);
}

/// Mutation: ignore any one filter, or combine them by "or".
pub async fn a_list_of_runs_is_filtered(store: &dyn Store) {
    let states = [RunState::Running, RunState::Faulted, RunState::Completed];
    let keys = ["lab/intake", "lab/press", "plant/press", "plant/intake"];
    for n in 0..12_usize {
        let state = states[n % 3];
        let new = RunRow { key: key(keys[n % 4]), state, ..row(n as u64) };
        put(store, vec![Op::RunCreate(new)]).await;
    }
    let lab = Some(Namespace::parse("lab").expect("a namespace"));
    let press = Some(WorkflowName::parse("press").expect("a name"));
    let faulted = vec![RunState::Faulted];
    let ended = vec![RunState::Completed, RunState::Faulted, RunState::Faulted];
    let cases = [
        (RunQuery { namespace: lab.clone(), ..query(9) }, vec![9, 8, 5, 4, 1, 0]),
        (RunQuery { workflow: press.clone(), ..query(9) }, vec![10, 9, 6, 5, 2, 1]),
        (RunQuery { states: faulted.clone(), ..query(9) }, vec![10, 7, 4, 1]),
        (RunQuery { states: ended.clone(), ..query(9) }, vec![11, 10, 8, 7, 5, 4, 2, 1]),
        (RunQuery { states: ended.clone(), ..query(3) }, vec![11, 10, 8]),
        (RunQuery { states: ended, after: Some(run_id(8)), ..query(3) }, vec![7, 5, 4]),
        (RunQuery { oldest: Some(run_id(9)), ..query(9) }, vec![11, 10, 9]),
        (RunQuery { namespace: lab.clone(), states: faulted.clone(), ..query(9) }, vec![4, 1]),
        (RunQuery { namespace: lab.clone(), workflow: press.clone(), ..query(2) }, vec![9, 5]),
        (
            RunQuery {
                namespace: lab,
                workflow: press,
                states: faulted,
                oldest: Some(run_id(1)),
                after: Some(run_id(9)),
                limit: 9,
            },
            vec![1],
        ),
    ];
    for (query, expected) in cases {
        assert_eq!(list(store, query.clone()).await, expected, "{query:?}");
    }
}

/// Mutation: list ended runs, lose a state that has not ended, or start at the cursor's run.
pub async fn unfinished_runs_are_listed_in_pages(store: &dyn Store) {
    for n in (0..14_usize).rev() {
        let state = RunState::ALL[n % 7];
        put(store, vec![Op::RunCreate(RunRow { state, ..row(n as u64) })]).await;
    }
    let unfinished = |after, limit| async move {
        numbers(&store.run_unfinished(after, limit).await.expect("reads"))
    };
    assert_eq!(unfinished(None, 99).await, [0, 1, 2, 3, 7, 8, 9, 10]);
    assert_eq!(unfinished(None, 3).await, [0, 1, 2]);
    assert_eq!(unfinished(Some(run_id(2)), 3).await, [3, 7, 8]);
    assert_eq!(unfinished(Some(run_id(10)), 3).await, NONE);
    let ended = RunRow { state: RunState::Cancelled, ended_at: Some(at(99)), ..row(8) };
    put(store, vec![Op::RunUpdate(ended)]).await;
    assert_eq!(unfinished(Some(run_id(2)), 3).await, [3, 7, 9]);
}

fn waiting(n: u64, wake_at: i64) -> RunRow {
    RunRow { state: RunState::Waiting, wake_at: Some(at(wake_at)), ..row(n) }
}

/// Mutation: order by id, leave out a wake-up at exactly `now`, ignore the limit, or compare only the
/// times of a cursor.
pub async fn due_runs_come_earliest_first(store: &dyn Store) {
    let due = |now, limit| async move {
        numbers(&store.run_due(at(now), None, limit).await.expect("reads"))
    };
    assert_eq!(store.run_wake_next(None).await.expect("reads"), None);
    for new in [waiting(1, 300), waiting(4, 200), waiting(2, 200), waiting(3, 100)] {
        put(store, vec![Op::RunCreate(new)]).await;
    }
    assert_eq!(store.run_wake_next(None).await.expect("reads"), Some(at(100)));
    assert_eq!(due(99, 9).await, NONE);
    assert_eq!(due(100, 9).await, [3]);
    assert_eq!(due(250, 9).await, [3, 2, 4]);
    assert_eq!(due(999, 9).await, [3, 2, 4, 1]);
    assert_eq!(due(999, 2).await, [3, 2]);
    let behind = |after: (i64, u64)| async move {
        let after = Some((at(after.0), run_id(after.1)));
        let due = store.run_due(at(250), after, 9).await.expect("reads");
        (numbers(&due), store.run_wake_next(after).await.expect("reads"))
    };
    assert_eq!(behind((100, 3)).await, (vec![2, 4], Some(at(200))));
    assert_eq!(behind((200, 2)).await, (vec![4], Some(at(200))));
    assert_eq!(behind((200, 4)).await, (vec![], Some(at(300))));
    assert_eq!(behind((300, 1)).await, (vec![], None));
    put(store, vec![Op::RunUpdate(waiting(3, 400))]).await;
    assert_eq!(due(999, 9).await, [2, 4, 1, 3]);
    assert_eq!(store.run_wake_next(None).await.expect("reads"), Some(at(200)));
}

/// Mutation: wake ended or suspended runs, or only those whose state is `waiting`.
pub async fn only_runs_that_may_be_woken_are_due(store: &dyn Store) {
    for (n, state) in (0..).zip(RunState::ALL) {
        put(store, vec![Op::RunCreate(RunRow { state, ..waiting(n, 50 - n as i64) })]).await;
    }
    let due = store.run_due(at(60), None, 9).await.expect("reads");
    assert_eq!(numbers(&due), [2, 1, 0]);
    assert_eq!(store.run_wake_next(None).await.expect("reads"), Some(at(48)));
    for n in 0..3 {
        let awake = RunRow { wake_at: None, state: RunState::Running, ..row(n) };
        put(store, vec![Op::RunUpdate(awake)]).await;
    }
    assert_eq!(store.run_due(at(60), None, 9).await.expect("reads"), []);
    assert_eq!(store.run_wake_next(None).await.expect("reads"), None);
}

/// Mutation: count a run under the state that it had before.
pub async fn runs_are_counted_by_state(store: &dyn Store) {
    assert_eq!(store.run_count().await.expect("reads"), []);
    for n in 1..=3 {
        put(store, vec![Op::RunCreate(row(n))]).await;
    }
    let completed = RunRow { state: RunState::Completed, ended_at: Some(at(9)), ..row(2) };
    put(store, vec![Op::RunUpdate(completed)]).await;
    let mut counts = store.run_count().await.expect("reads");
    counts.sort_unstable();
    assert_eq!(counts, [(RunState::Running, 2), (RunState::Completed, 1)]);
}
