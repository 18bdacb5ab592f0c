//! Pages of calls.

use base::Timestamp;
use bytes::Bytes;

use super::{append, at, commit, put, row, run_id};
use crate::{CallPage, CommitError, Op, Store};

/// Of the entries `first..=last`, at `first`.
#[must_use]
pub fn page(first: u64, last: u64) -> CallPage {
    let time = at(i64::try_from(first).expect("a small number"));
    CallPage { first, last, at: time, record: Bytes::from(format!("calls {first} to {last}")) }
}

/// Pages of 1, 2, 3, … entries, which begin with 1, 2, 4, 7, 11.
fn pages(count: u64) -> Vec<CallPage> {
    let first = |n: u64| 1 + n * (n + 1) / 2;
    (0..count).map(|n| page(first(n), first(n + 1) - 1)).collect()
}

fn appended(pages: &[CallPage]) -> Vec<Op> {
    pages.iter().cloned().map(Op::CallAppend).collect()
}

async fn forget(store: &dyn Store, before: u64, rows: u32) -> Vec<u64> {
    put(store, vec![Op::CallForget { before, rows }]).await;
    let left = store.call_page_list(0, 99).await.expect("reads");
    left.iter().map(|page| page.first).collect()
}

/// Mutation: lose a column, order the other way round, begin with the page behind instead of the one
/// in whose midst `after` is, or end with the one in which `before` is.
pub async fn pages_are_listed_in_their_order_and_in_pages(store: &dyn Store) {
    let all = pages(5);
    put(store, appended(&all[..2])).await;
    put(store, appended(&all[2..])).await;
    let list = async |after, limit| store.call_page_list(after, limit).await.expect("reads");
    assert_eq!(list(0, 9).await, all);
    assert_eq!(list(0, 2).await, all[..2]);
    assert_eq!(list(3, 9).await, all[2..], "4 to 6 come next");
    assert_eq!(list(4, 9).await, all[2..], "5 and 6 are still to come");
    assert_eq!(list(6, 1).await, all[3..4]);
    assert_eq!(list(15, 9).await, []);
    assert_eq!(list(u64::MAX, 9).await, []);
    let newest = async |before, limit| {
        let pages = store.call_page_newest(before, limit).await.expect("reads");
        pages.iter().map(|page| page.first).collect::<Vec<_>>()
    };
    assert_eq!(newest(None, 9).await, [11, 7, 4, 2, 1]);
    assert_eq!(newest(None, 2).await, [11, 7]);
    assert_eq!(newest(Some(11), 9).await, [7, 4, 2, 1]);
    assert_eq!(newest(Some(8), 1).await, [7]);
    assert_eq!(newest(Some(1), 9).await, [0; 0]);
    assert_eq!(store.call_page_newest(None, 1).await.expect("reads"), all[4..]);
}

/// Mutation: begin with 0, take any page that is behind the newest or has no entry, judge it by what
/// was there before its commit, or remember one of a commit that was refused.
pub async fn a_page_that_does_not_follow_is_refused(store: &dyn Store) {
    let refused = async |first, last, expected, found| {
        let answer = commit(store, vec![Op::CallAppend(page(first, last))]).await;
        assert_eq!(answer, Err(CommitError::CallGap { expected, found }));
    };
    assert_eq!(store.call_last().await.expect("reads"), 0);
    refused(0, 3, 1, 0).await;
    refused(2, 3, 1, 2).await;
    put(store, vec![Op::CallAppend(page(1, 3)), Op::CallAppend(page(4, 4))]).await;
    refused(4, 9, 5, 4).await;
    refused(6, 9, 5, 6).await;
    refused(5, 4, 5, 4).await;
    put(store, vec![Op::RunCreate(row(1))]).await;
    let gap = vec![Op::CallAppend(page(5, 6)), append(run_id(1), 7)];
    commit(store, gap).await.expect_err("the journal has a gap");
    assert_eq!(store.call_last().await.expect("reads"), 4);
    put(store, vec![Op::CallAppend(page(5, 5))]).await;
    assert_eq!(store.call_last().await.expect("reads"), 5);
}

/// Mutation: forget the newest page, one that ends at `before`, or more than were asked for; or count
/// on from what is left.
pub async fn old_pages_are_forgotten_and_their_numbers_never_come_back(store: &dyn Store) {
    assert_eq!(forget(store, 9, 9).await, [0; 0]);
    put(store, appended(&pages(5))).await;
    assert_eq!(forget(store, 1, 9).await, [1, 2, 4, 7, 11], "it ends with 1");
    assert_eq!(forget(store, 6, 0).await, [1, 2, 4, 7, 11]);
    assert_eq!(forget(store, 6, 1).await, [2, 4, 7, 11]);
    assert_eq!(forget(store, 6, 9).await, [4, 7, 11], "6 is the last of its page");
    let left = store.call_page_list(2, 1).await.expect("reads");
    assert_eq!(left, pages(5)[2..3], "2 and 3 are gone");
    assert_eq!(forget(store, u64::MAX, 9).await, [11], "the newest stays");
    assert_eq!(store.call_last().await.expect("reads"), 15);
    let again = commit(store, vec![Op::CallAppend(page(1, 1))]).await;
    assert_eq!(again, Err(CommitError::CallGap { expected: 16, found: 1 }));
    let ops = vec![Op::CallAppend(page(16, 20)), Op::CallForget { before: u64::MAX, rows: 9 }];
    put(store, ops).await;
    let left = store.call_page_list(0, 9).await.expect("reads");
    assert_eq!(left, [page(16, 20)], "a commit sees its own pages");
    assert_eq!(store.call_last().await.expect("reads"), 20);
}

/// Mutation: give the page behind, the oldest of several at one time, or one that is forgotten; or keep
/// a time that went back, behind which older pages are not found any more.
pub async fn a_page_is_found_by_its_time(store: &dyn Store) {
    let found = async |millis| store.call_page_at(at(millis)).await.expect("reads");
    assert_eq!(found(5).await, None);
    let times: [i64; 7] = [10, 20, 20, 30, 5, 25, 40];
    let put_at = |(page, time)| Op::CallAppend(CallPage { at: at(time), ..page });
    put(store, pages(7).into_iter().zip(times).map(put_at).collect()).await;
    let kept = store.call_page_list(0, 9).await.expect("reads");
    let kept: Vec<Timestamp> = kept.iter().map(|page| page.at).collect();
    assert_eq!(kept, [10, 20, 20, 30, 30, 30, 40].map(at), "a clock was set back");
    let cases = [
        (9, None),
        (10, Some(1)),
        (19, Some(1)),
        (20, Some(4)),
        (29, Some(4)),
        (30, Some(16)),
        (39, Some(16)),
        (40, Some(22)),
        (i64::MAX, Some(22)),
        (i64::MIN, None),
    ];
    for (time, first) in cases {
        assert_eq!(found(time).await, first, "at {time}");
    }
    assert_eq!(forget(store, 7, 9).await, [7, 11, 16, 22]);
    for (time, first) in [(29, None), (30, Some(16)), (40, Some(22))] {
        assert_eq!(found(time).await, first, "at {time}, after some are forgotten");
    }
    let single = (29..=60).map(|n| Op::CallAppend(page(n, n)));
    put(store, single.collect()).await;
    for n in 40..=60 {
        assert_eq!(found(n).await, u64::try_from(n).ok(), "each by itself");
    }
}
