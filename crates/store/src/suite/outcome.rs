//! Outcomes: the outbox of a site.

use bytes::Bytes;

use super::{at, commit, put, row, run_id};
use crate::{CommitError, Op, OutcomeRow, Store};

fn outcome(n: u64, number: u32) -> OutcomeRow {
    let outcome = Bytes::from(format!("outcome {number} of run {n}"));
    OutcomeRow { position: 0, run: run_id(n), number, at: at(7), outcome }
}

/// Mutation: drop the check by (run, number), or check by the number alone.
pub async fn an_outcome_is_unique_by_run_and_number(store: &dyn Store) {
    put(store, vec![Op::RunCreate(row(1)), Op::RunCreate(row(2))]).await;
    put(store, vec![Op::OutcomePut(outcome(1, 1))]).await;
    let exists = Err(CommitError::OutcomeExists { run: run_id(1), number: 1 });
    assert_eq!(commit(store, vec![Op::OutcomePut(outcome(1, 1))]).await, exists);
    let twice = vec![Op::OutcomePut(outcome(1, 2)), Op::OutcomePut(outcome(1, 2))];
    let exists = Err(CommitError::OutcomeExists { run: run_id(1), number: 2 });
    assert_eq!(commit(store, twice).await, exists);
    put(store, vec![Op::OutcomePut(outcome(1, 2)), Op::OutcomePut(outcome(2, 1))]).await;
    let missing = Err(CommitError::RunMissing(run_id(3)));
    assert_eq!(commit(store, vec![Op::OutcomePut(outcome(3, 1))]).await, missing);
    assert_eq!(store.outcome_list(0, 9).await.expect("reads").len(), 3);
}

/// Mutation: order by run, or start at the position instead of behind it.
pub async fn outcomes_are_listed_in_the_order_of_their_commits(store: &dyn Store) {
    put(store, vec![Op::RunCreate(row(1)), Op::RunCreate(row(2))]).await;
    assert_eq!(store.outcome_list(0, 9).await.expect("reads"), []);
    for (n, number) in [(2, 1), (1, 1), (2, 2)] {
        put(store, vec![Op::OutcomePut(outcome(n, number))]).await;
    }
    let all = store.outcome_list(0, 9).await.expect("reads");
    let told: Vec<_> = all.iter().map(|row| OutcomeRow { position: 0, ..row.clone() }).collect();
    assert_eq!(told, [outcome(2, 1), outcome(1, 1), outcome(2, 2)]);
    assert!(all.is_sorted_by(|a, b| a.position < b.position));
    assert_eq!(store.outcome_list(0, 2).await.expect("reads"), all[..2]);
    assert_eq!(store.outcome_list(all[0].position, 9).await.expect("reads"), all[1..]);
    assert_eq!(store.outcome_list(u64::MAX, 9).await.expect("reads"), []);
}

/// Mutation: list those of all runs, start at the number instead of behind it, or order by position.
pub async fn outcomes_of_a_run_are_listed_by_number(store: &dyn Store) {
    put(store, vec![Op::RunCreate(row(1)), Op::RunCreate(row(2))]).await;
    for (n, number) in [(1, 2), (2, 1), (1, 1), (1, 3)] {
        put(store, vec![Op::OutcomePut(outcome(n, number))]).await;
    }
    let numbers = async |n, after, limit| {
        let rows = store.outcome_of(run_id(n), after, limit).await.expect("reads");
        assert!(rows.iter().all(|row| row.run == run_id(n) && row.position > 0));
        rows.into_iter().map(|row| row.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(1, 0, 9).await, [1, 2, 3]);
    assert_eq!(numbers(1, 1, 1).await, [2]);
    assert_eq!(numbers(2, 1, 9).await, Vec::<u32>::new());
    assert_eq!(numbers(3, 0, 9).await, Vec::<u32>::new());
}
