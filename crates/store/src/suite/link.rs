//! The line between a site and its hub, at either end.

use base::stream::{Head, Stream};
use base::{Digest, OrderId, RequestId, SiteName};
use bytes::Bytes;
use uuid::Uuid;

use super::{at, commit, put, row, run_id};
use crate::{CommitError, Op, OrderRow, OrdersOf, OutboxRow, OutcomeRow, ReceiptRow, Store};

#[must_use]
pub fn head(position: u64) -> Head {
    Head { position, digest: Digest::of(&position.to_be_bytes()) }
}

#[must_use]
pub fn outbox(stream: Stream, base: u64, mark: u64) -> Op {
    Op::OutboxPut(OutboxRow { stream, base: head(base), mark: head(mark) })
}

#[must_use]
pub fn order_id(n: u64) -> OrderId {
    OrderId::from_uuid(Uuid::from_u64_pair(0x0190_0000_0000_7000, n))
}

#[must_use]
pub fn request_id(n: u64) -> RequestId {
    RequestId::from_uuid(Uuid::from_u64_pair(0x0190_0000_0000_7000, n))
}

/// # Panics
/// Where `text` is no name.
#[must_use]
pub fn site(text: &str) -> SiteName {
    SiteName::parse(text).expect("the name of a site")
}

/// To be judged by `until`.
#[must_use]
pub fn order(n: u64, to: &str, until: i64) -> OrderRow {
    OrderRow {
        position: 0,
        order: order_id(n),
        site: site(to),
        at: at(1),
        until: at(until),
        request: n.is_multiple_of(2).then(|| request_id(n / 4)),
        body: Bytes::from(format!("order {n}")),
        closed_at: None,
    }
}

#[must_use]
pub fn receipt(n: u64) -> ReceiptRow {
    let receipt = Bytes::from(format!("receipt of {n}"));
    ReceiptRow { position: 0, order: order_id(n), at: at(2), receipt }
}

fn outcome(number: u32) -> Op {
    let outcome = Bytes::from("done");
    Op::OutcomePut(OutcomeRow { position: 0, run: run_id(1), number, at: at(3), outcome })
}

/// Mutation: keep what was there first.
pub async fn what_is_known_of_the_hub_is_replaced(store: &dyn Store) {
    assert_eq!(store.link_get().await.expect("reads"), None);
    for link in ["one", "two"] {
        put(store, vec![Op::LinkPut { link: Bytes::from(link) }]).await;
        assert_eq!(store.link_get().await.expect("reads"), Some(Bytes::from(link)));
    }
    assert_eq!(store.outbox_get(Stream::Receipt).await.expect("reads"), None);
}

/// Mutation: count a position that was refused, or begin again behind what is left.
pub async fn positions_have_no_gaps_and_never_come_back(store: &dyn Store) {
    for stream in Stream::ALL {
        assert_eq!(store.outbox_last(stream).await.expect("reads"), 0);
    }
    put(store, vec![Op::RunCreate(row(1))]).await;
    for n in 1..=3 {
        put(store, vec![outcome(n), Op::ReceiptPut(receipt(n.into()))]).await;
        commit(store, vec![outcome(n)]).await.expect_err("it is there");
        commit(store, vec![outcome(n + 1), outcome(1)]).await.expect_err("the first is there");
        commit(store, vec![Op::ReceiptPut(receipt(1))]).await.expect_err("it is there");
    }
    let positions = store.outcome_list(0, 9).await.expect("reads");
    assert_eq!(positions.iter().map(|row| row.position).collect::<Vec<_>>(), [1, 2, 3]);
    let receipts = store.receipt_list(0, 9).await.expect("reads");
    assert_eq!(receipts.iter().map(|row| row.position).collect::<Vec<_>>(), [1, 2, 3]);
    // The newest are deleted, and nothing takes their places.
    for stream in Stream::ALL {
        let forget = Op::OutboxForget { stream, base: head(3) };
        put(store, vec![outbox(stream, 0, 3), forget]).await;
        assert_eq!(store.outbox_last(stream).await.expect("reads"), 3);
    }
    assert_eq!(store.receipt_list(0, 9).await.expect("reads"), []);
    put(store, vec![outcome(4), Op::ReceiptPut(receipt(4))]).await;
    for stream in Stream::ALL {
        assert_eq!(store.outbox_last(stream).await.expect("reads"), 4);
    }
}

/// Mutation: take a second one, list from the position on instead of behind it, or find another order's.
pub async fn a_receipt_is_unique_by_its_order(store: &dyn Store) {
    put(store, vec![Op::ReceiptPut(receipt(2)), Op::ReceiptPut(receipt(1))]).await;
    let exists = Err(CommitError::ReceiptExists(order_id(2)));
    assert_eq!(commit(store, vec![Op::ReceiptPut(receipt(2))]).await, exists);
    let twice = vec![Op::ReceiptPut(receipt(3)), Op::ReceiptPut(receipt(3))];
    let exists = Err(CommitError::ReceiptExists(order_id(3)));
    assert_eq!(commit(store, twice).await, exists);
    let found = store.receipt_list(0, 9).await.expect("reads");
    let of = |n, position| ReceiptRow { position, ..receipt(n) };
    assert_eq!(found, [of(2, 1), of(1, 2)]);
    assert_eq!(store.receipt_get(order_id(1)).await.expect("reads"), Some(of(1, 2)));
    assert_eq!(store.receipt_get(order_id(3)).await.expect("reads"), None);
    assert_eq!(store.receipt_list(1, 9).await.expect("reads"), found[1..]);
    assert_eq!(store.receipt_list(0, 1).await.expect("reads"), found[..1]);
}

/// Mutation: take the order that came later, open a closed one again, or judge one twice.
pub async fn an_order_is_kept_as_it_came_first_and_judged_once(store: &dyn Store) {
    let close = |n| Op::OrderJudge { order: order_id(n), at: at(7) };
    let closed = |n| Err(CommitError::OrderClosed(order_id(n)));
    assert_eq!(commit(store, vec![close(1)]).await, closed(1));
    put(store, vec![Op::OrderPut(order(1, "plant-1", 9))]).await;
    let other = OrderRow { body: Bytes::from("other"), ..order(1, "plant-1", 99) };
    put(store, vec![Op::OrderPut(other.clone())]).await;
    let found = store.order_get(order_id(1)).await.expect("reads").expect("it is there");
    assert_eq!(found, OrderRow { position: found.position, ..order(1, "plant-1", 9) });
    assert_eq!(commit(store, vec![close(1), close(1)]).await, closed(1));
    put(store, vec![close(1), Op::OrderPut(other)]).await;
    let found = store.order_get(order_id(1)).await.expect("reads").expect("it is there");
    assert_eq!((found.closed_at, found.until), (Some(at(7)), at(9)));
    assert_eq!(commit(store, vec![close(1)]).await, closed(1));
    // What belongs to it stands or falls with it.
    let late = vec![Op::ReceiptPut(receipt(1)), close(1)];
    assert_eq!(commit(store, late).await, closed(1));
    assert_eq!(store.receipt_list(0, 9).await.expect("reads"), []);
    put(store, vec![Op::OrderPut(order(2, "plant-1", 9)), close(2)]).await;
    assert_eq!(commit(store, vec![close(2)]).await, closed(2));
    let forget = Op::OrderForget { order: order_id(2) };
    put(store, vec![forget.clone(), forget]).await;
    assert_eq!(store.order_get(order_id(2)).await.expect("reads"), None);
}

/// Mutation: let one site close another's order, or close it a second time.
pub async fn an_order_is_closed_by_its_site_alone(store: &dyn Store) {
    let close = |n, by, to| Op::OrderClose { order: order_id(n), site: site(by), at: at(to) };
    put(store, vec![Op::OrderPut(order(1, "plant-1", 9)), close(1, "plant-2", 3)]).await;
    let closed =
        async || store.order_get(order_id(1)).await.expect("reads").expect("it is there").closed_at;
    assert_eq!(closed().await, None);
    put(store, vec![close(1, "plant-1", 4), close(1, "plant-1", 5), close(2, "plant-1", 5)]).await;
    assert_eq!(closed().await, Some(at(4)));
    assert_eq!(store.order_get(order_id(2)).await.expect("reads"), None);
}

/// Mutation: let a mark stand before its base, or leave it where it was when the hub has less.
pub async fn a_mark_moves_both_ways_and_not_before_its_base(store: &dyn Store) {
    let stream = Stream::Receipt;
    let mark = |position| Op::OutboxMark { stream, mark: head(position) };
    let kept = Err(CommitError::OutboxKept(stream));
    assert_eq!(commit(store, vec![mark(1)]).await, kept);
    put(store, vec![outbox(stream, 2, 2), mark(7), mark(4)]).await;
    assert_eq!(commit(store, vec![mark(1)]).await, kept);
    let row = OutboxRow { stream, base: head(2), mark: head(4) };
    assert_eq!(store.outbox_get(stream).await.expect("reads"), Some(row));
}

/// Mutation: list those of all sites, those that are closed, or from the position on.
pub async fn open_orders_are_those_of_a_site(store: &dyn Store) {
    for (n, to) in [(1, "plant-1"), (2, "plant-2"), (3, "plant-1"), (4, "plant-1")] {
        put(store, vec![Op::OrderPut(order(n, to, 9))]).await;
    }
    put(store, vec![Op::OrderJudge { order: order_id(3), at: at(7) }]).await;
    let open = async |to, after, limit| {
        let found = store.order_open(site(to), after, limit).await.expect("reads");
        found.into_iter().map(|row| (row.position, row.order)).collect::<Vec<_>>()
    };
    let all = open("plant-1", 0, 9).await;
    assert_eq!(all.iter().map(|row| row.1).collect::<Vec<_>>(), [order_id(1), order_id(4)]);
    assert_eq!(open("plant-1", all[0].0, 9).await, all[1..]);
    assert_eq!(open("plant-1", 0, 1).await, all[..1]);
    assert_eq!(open("plant-2", 0, 9).await.len(), 1);
    assert_eq!(open("plant-3", 0, 9).await, []);
}

/// Mutation: list the oldest first, those of another site or request, or one at the edge of a page twice.
pub async fn orders_are_listed_newest_first_by_site_and_request(store: &dyn Store) {
    for (n, to) in [(0, "plant-1"), (1, "plant-2"), (2, "plant-1"), (3, "plant-1"), (4, "plant-1")]
    {
        put(store, vec![Op::OrderPut(order(n, to, 9))]).await;
    }
    put(store, vec![Op::OrderJudge { order: order_id(2), at: at(7) }]).await;
    let list = async |of: OrdersOf, before, limit| {
        let found = store.order_list(of, before, limit).await.expect("reads");
        found.into_iter().map(|row| (row.position, row.order)).collect::<Vec<_>>()
    };
    let ids = |found: &[(u64, OrderId)]| found.iter().map(|row| row.1).collect::<Vec<_>>();
    let all = list(OrdersOf::All, None, 9).await;
    assert_eq!(ids(&all), [4, 3, 2, 1, 0].map(order_id));
    assert_eq!(list(OrdersOf::All, Some(all[1].0), 2).await, all[2..4]);
    let of_site = || OrdersOf::Site(site("plant-1"));
    let one = list(of_site(), None, 9).await;
    assert_eq!(ids(&one), [4, 3, 2, 0].map(order_id));
    assert_eq!(list(of_site(), Some(one[0].0), 2).await, one[1..3]);
    let of_request = || OrdersOf::Request(request_id(0));
    let one = list(of_request(), None, 9).await;
    assert_eq!(ids(&one), [2, 0].map(order_id));
    assert_eq!(list(of_request(), Some(one[0].0), 9).await, one[1..]);
    assert_eq!(list(OrdersOf::Request(request_id(9)), None, 9).await, []);
}

/// Mutation: let an order go that is open, whose time is not over, or whose receipt is kept.
pub async fn an_order_of_the_past_waits_for_its_receipt_to_go(store: &dyn Store) {
    for (n, until) in [(1, 9), (2, 5), (3, 5), (4, 20)] {
        put(store, vec![Op::OrderPut(order(n, "plant-1", until))]).await;
    }
    for n in [1, 2, 4] {
        let close = Op::OrderJudge { order: order_id(n), at: at(3) };
        put(store, vec![close, Op::ReceiptPut(receipt(n))]).await;
    }
    let past = async |until, limit| store.order_past(at(until), limit).await.expect("reads");
    assert_eq!(past(10, 9).await, []);
    let (base, mark) = (0, 3);
    put(store, vec![outbox(Stream::Receipt, base, mark)]).await;
    put(store, vec![Op::OutboxForget { stream: Stream::Receipt, base: head(2) }]).await;
    assert_eq!(past(10, 9).await, [order_id(2), order_id(1)]);
    assert_eq!(past(10, 1).await, [order_id(2)]);
    assert_eq!(past(9, 9).await.len(), 2);
    assert_eq!(past(8, 9).await, [order_id(2)]);
}

/// Mutation: list one that a request has given, one whose time is not over, or one at the edge of a page twice.
pub async fn orders_of_no_request_are_listed_by_their_time(store: &dyn Store) {
    for (n, until) in [(1, 9), (2, 5), (3, 5), (4, 20), (5, 5), (7, 21)] {
        put(store, vec![Op::OrderPut(order(n, "plant-1", until))]).await;
    }
    put(store, vec![Op::OrderJudge { order: order_id(5), at: at(3) }]).await;
    let unasked = async |until, after, limit| {
        let found = store.order_unasked(at(until), after, limit).await.expect("reads");
        found.into_iter().map(|row| (row.order, (row.until, row.position))).collect::<Vec<_>>()
    };
    let all = unasked(20, None, 9).await;
    assert_eq!(all.iter().map(|row| row.0).collect::<Vec<_>>(), [3, 5, 1].map(order_id));
    assert_eq!(unasked(21, None, 9).await.len(), 4);
    assert_eq!(unasked(8, None, 9).await, all[..2]);
    assert_eq!(unasked(20, Some(all[0].1), 9).await, all[1..]);
    assert_eq!(unasked(20, Some(all[0].1), 1).await, all[1..2]);
}
