//! Logs of processes.

use bytes::Bytes;

use super::{at, commit, put, row, run_id};
use crate::{CommitError, LOG_PIECES_MAX, LogRow, LogStream, Op, Store};

fn piece(run: u64, start: u64, text: &str) -> LogRow {
    LogRow {
        position: 0,
        run: run_id(run),
        activation: "/work".to_owned(),
        effect: 1,
        life: 1,
        stream: if start.is_multiple_of(2) { LogStream::Stdout } else { LogStream::Stderr },
        start,
        at: at(7),
        bytes: Bytes::from(text.to_owned()),
    }
}

/// Mutation: mix runs, lose a column, or read from the piece that is known already.
pub async fn a_log_is_read_in_order_and_in_pages(store: &dyn Store) {
    put(store, vec![Op::RunCreate(row(1)), Op::RunCreate(row(2))]).await;
    let pieces = [piece(1, 0, "a"), piece(2, 0, "other"), piece(1, 1, "b"), piece(1, 2, "c")];
    put(store, pieces.iter().cloned().map(Op::LogAppend).collect()).await;
    let first = store.log_list(run_id(1), 0, 2).await.expect("a page");
    let bare = |row: &LogRow| LogRow { position: 0, ..row.clone() };
    assert_eq!(first.iter().map(bare).collect::<Vec<_>>(), [piece(1, 0, "a"), piece(1, 1, "b")]);
    let rest = store.log_list(run_id(1), first[1].position, 10).await.expect("a page");
    assert_eq!(rest.iter().map(bare).collect::<Vec<_>>(), [piece(1, 2, "c")]);
    assert!(store.log_list(run_id(3), 0, 10).await.expect("a page").is_empty());
    let missing = commit(store, vec![Op::LogAppend(piece(3, 0, "x"))]).await;
    assert_eq!(missing, Err(CommitError::RunMissing(run_id(3))));
}

/// Mutation: trim the end, another effect, or another life of the same effect.
pub async fn the_middle_of_a_log_is_trimmed(store: &dyn Store) {
    put(store, vec![Op::RunCreate(row(1))]).await;
    let mut all: Vec<LogRow> = (0..5).map(|start| piece(1, start * 10, "0123456789")).collect();
    all.push(LogRow { effect: 2, ..piece(1, 20, "other effect") });
    all.push(LogRow { life: 2, ..piece(1, 20, "later life") });
    put(store, all.into_iter().map(Op::LogAppend).collect()).await;
    put(store, vec![Op::LogTrim { run: run_id(1), effect: 1, life: 1, from: 10, to: 30 }]).await;
    let left = store.log_list(run_id(1), 0, 10).await.expect("a page");
    let left: Vec<_> = left.iter().map(|row| (row.effect, row.life, row.start)).collect();
    assert_eq!(left, [(1, 1, 0), (1, 1, 30), (1, 1, 40), (2, 1, 20), (1, 2, 20)]);
}

/// Mutation: keep one more or one less, take the newest away, or count another run's.
pub async fn the_oldest_pieces_go_first(store: &dyn Store) {
    let most = u64::from(LOG_PIECES_MAX);
    put(store, vec![Op::RunCreate(row(1)), Op::RunCreate(row(2))]).await;
    let pieces = |range: std::ops::Range<u64>| range.map(|n| Op::LogAppend(piece(1, n, "x")));
    put(store, vec![Op::LogAppend(piece(2, 0, "other"))]).await;
    put(store, pieces(0..most).collect()).await;
    let starts = async || {
        let rows = store.log_list(run_id(1), 0, LOG_PIECES_MAX + 9).await.expect("a page");
        (rows.first().map(|row| row.start), rows.last().map(|row| row.start), rows.len() as u64)
    };
    assert_eq!(starts().await, (Some(0), Some(most - 1), most));
    put(store, pieces(most..most + 2).collect()).await;
    assert_eq!(starts().await, (Some(2), Some(most + 1), most));
    assert_eq!(store.log_list(run_id(2), 0, 9).await.expect("a page").len(), 1);
}
