//! Journals and snapshots.

use bytes::Bytes;

use super::{append, commit, put, row, run_id};
use crate::{CommitError, Op, Sequence, Snapshot, Store};

const NONE: [u64; 0] = [];

async fn read(store: &dyn Store, n: u64, after: u64, limit: u32) -> Vec<u64> {
    let entries = store.journal_read(run_id(n), Sequence(after), limit).await.expect("reads");
    for entry in &entries {
        assert_eq!(entry.record, format!("{} {}", run_id(n), entry.sequence));
    }
    entries.iter().map(|entry| entry.sequence.0).collect()
}

/// Mutation: accept any sequence that is larger, or one that is there already.
pub async fn a_gap_is_refused(store: &dyn Store) {
    put(store, vec![Op::RunCreate(row(1))]).await;
    let gap = |expected, got| {
        Err(CommitError::Gap { run: run_id(1), expected: Sequence(expected), got: Sequence(got) })
    };
    assert_eq!(commit(store, vec![append(run_id(1), 2)]).await, gap(1, 2));
    assert_eq!(commit(store, vec![append(run_id(1), 0)]).await, gap(1, 0));
    put(store, vec![append(run_id(1), 1)]).await;
    assert_eq!(commit(store, vec![append(run_id(1), 1)]).await, gap(2, 1));
    assert_eq!(commit(store, vec![append(run_id(1), 3)]).await, gap(2, 3));
    assert_eq!(commit(store, vec![append(run_id(1), u64::MAX)]).await, gap(2, u64::MAX));
    // Within one commit as well.
    let ops = vec![append(run_id(1), 2), append(run_id(1), 4)];
    assert_eq!(commit(store, ops).await, gap(3, 4));
    assert_eq!(read(store, 1, 0, 9).await, [1]);
}

/// Mutation: let an append make its run.
pub async fn a_journal_of_a_missing_run_is_refused(store: &dyn Store) {
    let missing = Err(CommitError::RunMissing(run_id(1)));
    assert_eq!(commit(store, vec![append(run_id(1), 1)]).await, missing);
    let snapshot =
        Op::SnapshotPut { run: run_id(1), sequence: Sequence(1), snapshot: Bytes::new() };
    assert_eq!(commit(store, vec![snapshot]).await, missing);
    assert_eq!(store.snapshot_get(run_id(1)).await.expect("reads"), None);
    assert_eq!(read(store, 1, 0, 9).await, NONE);
}

/// Mutation: start at `after` instead of behind it, ignore the limit, or lose the order.
pub async fn a_journal_is_read_in_order_and_in_pages(store: &dyn Store) {
    put(store, vec![Op::RunCreate(row(1))]).await;
    for first in (1..=40).step_by(4) {
        put(store, (first..first + 4).map(|n| append(run_id(1), n)).collect()).await;
    }
    let all: Vec<u64> = (1..=40).collect();
    assert_eq!(read(store, 1, 0, 99).await, all);
    assert_eq!(read(store, 1, 0, 40).await, all);
    assert_eq!(read(store, 1, 0, 7).await, all[..7]);
    assert_eq!(read(store, 1, 7, 7).await, all[7..14]);
    assert_eq!(read(store, 1, 38, 7).await, all[38..]);
    assert_eq!(read(store, 1, 40, 7).await, NONE);
    assert_eq!(read(store, 1, u64::MAX, 7).await, NONE);
    assert_eq!(read(store, 1, 0, 0).await, NONE);
}

/// Mutation: read by position alone, or fold one run's positions into another's. Long enough for
/// stores that write their index in bulk to do it several times.
pub async fn journals_of_many_runs_do_not_mix(store: &dyn Store) {
    const RUNS: u64 = 7;
    put(store, (1..=RUNS).map(|n| Op::RunCreate(row(n))).collect()).await;
    let mut next = [1_u64; RUNS as usize + 1];
    for turn in 0..60_u64 {
        // Runs go on at different paces, and the last one only at the very start.
        let mut ops = Vec::new();
        for n in 1..=RUNS {
            let entries = if n == RUNS { u64::from(turn == 0) } else { n * (turn % 3) * 8 };
            for _ in 0..entries {
                let at = &mut next[n as usize];
                ops.push(append(run_id(n), *at));
                *at += 1;
            }
        }
        put(store, ops).await;
    }
    for n in 1..=RUNS {
        let last = next[n as usize] - 1;
        let all: Vec<u64> = (1..=last).collect();
        assert_eq!(read(store, n, 0, u32::MAX).await, all, "run {n}");
        let mut paged = Vec::new();
        loop {
            let page = read(store, n, paged.len() as u64, 113).await;
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, all, "run {n} in pages");
        put(store, vec![append(run_id(n), last + 1)]).await;
        assert_eq!(read(store, n, last, 9).await, [last + 1], "run {n} goes on");
    }
}

/// Mutation: keep the first snapshot, or the one that was put last.
pub async fn the_newest_snapshot_is_kept(store: &dyn Store) {
    let snapshot = |n: u64| Bytes::from(format!("after {n}"));
    let taken =
        |n| Op::SnapshotPut { run: run_id(1), sequence: Sequence(n), snapshot: snapshot(n) };
    put(store, vec![Op::RunCreate(row(1)), Op::RunCreate(row(2)), append(run_id(1), 1)]).await;
    assert_eq!(store.snapshot_get(run_id(1)).await.expect("reads"), None);
    for (put_now, kept) in [(1, 1), (5, 5), (3, 5)] {
        put(store, vec![taken(put_now)]).await;
        let kept = Snapshot { sequence: Sequence(kept), snapshot: snapshot(kept) };
        assert_eq!(store.snapshot_get(run_id(1)).await.expect("reads"), Some(kept));
    }
    assert_eq!(store.snapshot_get(run_id(2)).await.expect("reads"), None);
}
