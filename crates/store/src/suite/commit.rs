//! The one door: all or nothing, in order, and only for its owner.

use bytes::Bytes;
use futures::future::join_all;

use super::{append, at, commit, key, put, row, run_id};
use crate::{CommitError, Op, OutcomeRow, Preconditions, Sequence, Store};

fn change(n: i64) -> Op {
    let change = Bytes::from(format!("change {n}"));
    Op::ChangeAppend { at: at(n), actor: "ada".to_owned(), change }
}

/// Mutation: keep the ops before the one that is refused, or the store's idea of the journal's end.
pub async fn a_refused_op_leaves_nothing_of_its_commit(store: &dyn Store) {
    put(store, vec![Op::RunCreate(row(1)), append(run_id(1), 1)]).await;
    let outcome =
        OutcomeRow { position: 0, run: run_id(1), number: 1, at: at(1), outcome: Bytes::new() };
    let ops = vec![
        Op::RunCreate(row(2)),
        append(run_id(1), 2),
        append(run_id(2), 1),
        Op::OutcomePut(outcome.clone()),
        change(1),
        Op::WorkflowDelete { key: key("lab/none"), at: at(1) },
    ];
    let refused = commit(store, ops).await;
    assert_eq!(refused, Err(CommitError::WorkflowMissing(key("lab/none"))));

    assert_eq!(store.run_get(run_id(2)).await.expect("reads"), None);
    let journal = store.journal_read(run_id(1), Sequence::ZERO, 9).await.expect("reads");
    assert_eq!(journal.len(), 1);
    assert_eq!(store.outcome_list(0, 9).await.expect("reads"), []);
    assert_eq!(store.change_list(0, 9).await.expect("reads"), []);
    // All of it is possible again, so nothing of it is remembered either.
    let again = vec![append(run_id(1), 2), Op::RunCreate(row(2)), append(run_id(2), 1)];
    put(store, again).await;
    put(store, vec![Op::OutcomePut(outcome), append(run_id(2), 2)]).await;
}

/// Mutation: judge an op by what was there before its commit.
pub async fn a_commit_sees_its_own_ops(store: &dyn Store) {
    let ops = vec![Op::RunCreate(row(1)), append(run_id(1), 1), append(run_id(1), 2)];
    let created = Preconditions { run: Some((run_id(1), Sequence::ZERO)), epoch: None };
    store.commit(ops, created).await.expect("a run may begin with its first entries");
    let twice = vec![Op::RunCreate(row(2)), Op::RunCreate(row(2))];
    assert_eq!(commit(store, twice).await, Err(CommitError::RunExists(run_id(2))));
}

/// Mutation: drop the comparison, or compare with the end after the commit's own ops.
pub async fn a_moved_sequence_is_refused(store: &dyn Store) {
    put(store, vec![Op::RunCreate(row(1)), append(run_id(1), 1)]).await;
    let if_at = |sequence| Preconditions { run: Some((run_id(1), sequence)), epoch: None };
    let (wanted, found) = (Sequence::ZERO, Sequence(1));
    let refused = store.commit(vec![append(run_id(1), 2)], if_at(wanted)).await;
    assert_eq!(refused, Err(CommitError::SequenceMoved { run: run_id(1), wanted, found }));
    let ahead = Sequence(5);
    let refused = store.commit(vec![append(run_id(1), 2)], if_at(ahead)).await;
    let moved = CommitError::SequenceMoved { run: run_id(1), wanted: ahead, found };
    assert_eq!(refused, Err(moved));
    // The precondition speaks first: its answer tells the owner that another one was here.
    let refused = store.commit(vec![append(run_id(1), 1)], if_at(wanted)).await;
    assert_eq!(refused, Err(CommitError::SequenceMoved { run: run_id(1), wanted, found }));
    store.commit(vec![append(run_id(1), 2)], if_at(found)).await.expect("the end is as wanted");

    let missing = Preconditions { run: Some((run_id(2), Sequence(1))), epoch: None };
    let refused = store.commit(vec![], missing).await;
    assert_eq!(refused, Err(CommitError::RunMissing(run_id(2))));
}

/// Mutation: accept a smaller epoch, or a larger one.
pub async fn a_moved_epoch_is_refused(store: &dyn Store) {
    let current = store.epoch();
    for got in [current - 1, current + 1] {
        let owner = Preconditions { run: None, epoch: Some(got) };
        let refused = store.commit(vec![Op::RunCreate(row(1))], owner).await;
        assert_eq!(refused, Err(CommitError::EpochMoved { current, got }));
    }
    assert_eq!(store.run_get(run_id(1)).await.expect("reads"), None);
    let owner = Preconditions { run: None, epoch: Some(current) };
    store.commit(vec![Op::RunCreate(row(1))], owner).await.expect("the owner commits");
}

/// Mutation: check the sequence outside the lock, or only once for a batch.
pub async fn of_concurrent_committers_exactly_one_wins(store: &dyn Store) {
    put(store, vec![Op::RunCreate(row(1))]).await;
    for sequence in 1..=20 {
        let at_end = Preconditions { run: Some((run_id(1), Sequence(sequence - 1))), epoch: None };
        let commits =
            (0..16).map(|_| store.commit(vec![append(run_id(1), sequence)], at_end.clone()));
        let answers = join_all(commits).await;
        let won = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(won, 1, "{answers:?}");
    }
    let journal = store.journal_read(run_id(1), Sequence::ZERO, 99).await.expect("reads");
    assert_eq!(journal.len(), 20);
}

/// Mutation: drop or double a command of a batch, answer the wrong one, or keep what a refused one
/// has written.
pub async fn concurrent_runs_lose_nothing(store: &dyn Store) {
    const RUNS: u64 = 64;
    let create = (1..=RUNS).map(|n| commit(store, vec![Op::RunCreate(row(n))]));
    join_all(create).await.into_iter().collect::<Result<Vec<_>, _>>().expect("all are created");
    // Every fourth run's commits are refused at their second op, in the midst of the others.
    let go = |n: u64| async move {
        for sequence in 1..=8 {
            let ops = if n.is_multiple_of(4) {
                vec![append(run_id(n), 1), append(run_id(n), 3)]
            } else {
                vec![append(run_id(n), sequence)]
            };
            let answer = commit(store, ops).await;
            assert_eq!(answer.is_err(), n.is_multiple_of(4), "{n} {sequence}: {answer:?}");
        }
    };
    join_all((1..=RUNS).map(go)).await;
    for n in 1..=RUNS {
        let journal = store.journal_read(run_id(n), Sequence::ZERO, 99).await.expect("reads");
        assert_eq!(journal.len(), if n.is_multiple_of(4) { 0 } else { 8 }, "run {n}");
    }
}

/// Mutation: treat a commit without ops as a mistake.
pub async fn an_empty_commit_succeeds(store: &dyn Store) {
    put(store, vec![]).await;
}

/// Mutation: drop the actor, or list newest first.
pub async fn changes_are_kept_in_order(store: &dyn Store) {
    put(store, vec![change(5), change(3)]).await;
    put(store, vec![change(4)]).await;
    let all = store.change_list(0, 9).await.expect("reads");
    let told: Vec<_> = all.iter().map(|row| (row.at, row.actor.as_str())).collect();
    assert_eq!(told, [(at(5), "ada"), (at(3), "ada"), (at(4), "ada")]);
    assert_eq!(all[2].change, "change 4");
    assert_eq!(store.change_list(all[0].position, 1).await.expect("reads"), all[1..2]);
    assert_eq!(store.change_list(u64::MAX, 1).await.expect("reads"), []);
}
