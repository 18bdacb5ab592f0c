//! Events: what has come, in its order.

use base::Namespace;
use bytes::Bytes;

use super::{append, at, commit, key, put, row, run_id};
use crate::{EventLimits, EventQuery, EventRow, EventsKept, Op, Store};

fn namespace(name: &str) -> Namespace {
    Namespace::parse(name).expect("a namespace")
}

/// An event of `lab` with this id, of the type `order.placed`, come at `n`.
#[must_use]
pub fn event(n: u64) -> EventRow {
    EventRow {
        position: 0,
        namespace: namespace("lab"),
        source: "/press".to_owned(),
        id: format!("id-{n}"),
        kind: "order.placed".to_owned(),
        subject: None,
        run: None,
        number: 0,
        at: at(i64::try_from(n).expect("a small number")),
        event: Bytes::from(format!("event {n}")),
    }
}

fn appended(row: EventRow) -> Op {
    Op::EventAppend(row)
}

async fn ids(store: &dyn Store, query: EventQuery) -> Vec<String> {
    let rows = store.event_list(query).await.expect("reads");
    rows.into_iter().map(|row| row.id.trim_start_matches("id-").to_owned()).collect()
}

fn all() -> EventQuery {
    EventQuery::of(namespace("lab"), 99)
}

/// Mutation: replace the row, refuse the second one, or compare the id alone.
pub async fn an_event_is_kept_once(store: &dyn Store) {
    assert_eq!(store.event_last(), 0);
    put(store, vec![appended(event(1)), appended(event(1))]).await;
    let last = store.event_last();
    assert!(last > 0, "whoever has committed finds it covered");
    let again = EventRow { kind: "other".to_owned(), at: at(9), ..event(1) };
    put(store, vec![appended(again)]).await;
    let elsewhere = EventRow { source: "/mill".to_owned(), ..event(1) };
    let others = EventRow { namespace: namespace("plant"), ..event(1) };
    put(store, vec![appended(elsewhere.clone()), appended(others)]).await;
    let kept = store.event_list(all()).await.expect("reads");
    let kept: Vec<_> = kept.into_iter().map(|row| EventRow { position: 0, ..row }).collect();
    assert_eq!(kept, [event(1), elsewhere]);
    let whole =
        EventRow { subject: Some("ada".to_owned()), run: Some(run_id(3)), number: 7, ..event(2) };
    put(store, vec![appended(whole.clone())]).await;
    let kept = store.event_list(EventQuery { after: last, ..all() }).await.expect("reads");
    let found = kept.into_iter().next_back().expect("it is there");
    assert_eq!(found.position, store.event_last());
    assert_eq!(EventRow { position: 0, ..found }, whole);
}

/// Mutation: order by id or time, start at the position instead of behind it, or ignore the limit.
pub async fn events_are_listed_in_the_order_of_their_commits(store: &dyn Store) {
    assert_eq!(ids(store, all()).await, Vec::<String>::new());
    for n in [3, 1, 2] {
        put(store, vec![appended(event(n))]).await;
    }
    assert_eq!(ids(store, all()).await, ["3", "1", "2"]);
    let rows = store.event_list(all()).await.expect("reads");
    assert!(rows.is_sorted_by(|a, b| a.position < b.position));
    assert_eq!(rows[2].position, store.event_last());
    let (first, last) = (rows[0].position, rows[2].position);
    assert_eq!(ids(store, EventQuery { after: first, ..all() }).await, ["1", "2"]);
    assert_eq!(ids(store, EventQuery { limit: 2, ..all() }).await, ["3", "1"]);
    let newest = EventQuery { newest_first: true, ..all() };
    assert_eq!(ids(store, newest.clone()).await, ["2", "1", "3"]);
    assert_eq!(ids(store, EventQuery { limit: 1, ..newest.clone() }).await, ["2"]);
    assert_eq!(ids(store, EventQuery { before: Some(last), ..newest.clone() }).await, ["1", "3"]);
    assert_eq!(ids(store, EventQuery { after: first, ..newest }).await, ["2", "1"]);
    assert_eq!(ids(store, EventQuery { after: u64::MAX, ..all() }).await, Vec::<String>::new());
}

/// Mutation: ignore any of the filters, take a prefix for a pattern, or mix up the order of several
/// types.
pub async fn a_list_of_events_is_filtered(store: &dyn Store) {
    let kind = |n, kind: &str| EventRow { kind: kind.to_owned(), ..event(n) };
    let rows = vec![
        kind(1, "order.placed"),
        kind(2, "order.paid"),
        EventRow { source: "/mill".to_owned(), ..kind(3, "order.placed") },
        EventRow { subject: Some("ada".to_owned()), ..kind(4, "order_placed") },
        EventRow { run: Some(run_id(1)), number: 1, ..kind(5, "%") },
        EventRow { namespace: namespace("plant"), ..kind(6, "order.placed") },
    ];
    put(store, rows.into_iter().map(appended).collect()).await;
    let text = |text: &str| Some(text.to_owned());
    let kinds = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect();
    let cases: [(EventQuery, &[&str]); 13] = [
        (all(), &["1", "2", "3", "4", "5"]),
        (EventQuery { kinds: kinds(&["order.placed"]), ..all() }, &["1", "3"]),
        (EventQuery { kinds: kinds(&["%", "order.placed", "%"]), ..all() }, &["1", "3", "5"]),
        (
            EventQuery { kinds: kinds(&["order.placed", "order.paid"]), limit: 2, ..all() },
            &["1", "2"],
        ),
        (
            EventQuery {
                kinds: kinds(&["order.placed", "order.paid"]),
                newest_first: true,
                ..all()
            },
            &["3", "2", "1"],
        ),
        (EventQuery { kind_prefix: text("order."), ..all() }, &["1", "2", "3"]),
        (EventQuery { kind_prefix: text("%"), ..all() }, &["5"]),
        (EventQuery { source: text("/mill"), ..all() }, &["3"]),
        (EventQuery { subject: text("ada"), ..all() }, &["4"]),
        (EventQuery { run: Some(run_id(1)), ..all() }, &["5"]),
        (EventQuery { since: Some(at(4)), ..all() }, &["4", "5"]),
        (EventQuery { kinds: kinds(&["order.placed"]), source: text("/press"), ..all() }, &["1"]),
        (EventQuery::of(key("plant/x").namespace, 9), &["6"]),
    ];
    for (query, expected) in cases {
        let told = format!("{query:?}");
        assert_eq!(ids(store, query).await, expected, "{told}");
    }
}

/// Mutation: leave the event of a refused commit, or its position.
pub async fn a_refused_commit_leaves_no_event(store: &dyn Store) {
    put(store, vec![Op::RunCreate(row(1)), appended(event(1))]).await;
    let last = store.event_last();
    let gap = commit(store, vec![appended(event(2)), append(run_id(1), 7)]).await;
    assert!(gap.is_err());
    assert_eq!(store.event_last(), last);
    assert_eq!(ids(store, all()).await, ["1"]);
    put(store, vec![appended(event(3))]).await;
    assert_eq!(ids(store, EventQuery { after: last, ..all() }).await, ["3"]);
}

/// Mutation: take what is told of a run's life for something that it has emitted, or compare the id
/// alone.
pub async fn what_a_run_has_emitted_is_found_by_number_and_name(store: &dyn Store) {
    let of_run = |n, number| EventRow { run: Some(run_id(7)), number, ..event(n) };
    let rows = [of_run(1, 0), of_run(2, 2), of_run(3, 1), event(4), of_run(5, 3)];
    put(store, rows.into_iter().map(appended).collect()).await;
    let numbers = async |run, after, limit| {
        let rows = store.event_emitted(run_id(run), after, limit).await.expect("reads");
        rows.into_iter().map(|row| row.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(7, 0, 9).await, [1, 2, 3]);
    assert_eq!(numbers(7, 1, 1).await, [2]);
    assert_eq!(numbers(8, 0, 9).await, Vec::<u64>::new());
    let named = async |place: &str, source: &str, id: &str| {
        let (source, id) = (source.to_owned(), id.to_owned());
        let row = store.event_named(namespace(place), source, id).await.expect("reads");
        row.map(|row| row.number)
    };
    assert_eq!(named("lab", "/press", "id-2").await, Some(2));
    assert_eq!(named("lab", "/press", "id-4").await, Some(0));
    assert_eq!(named("lab", "/press", "id-1").await, None, "it tells of the run's life");
    assert_eq!(named("lab", "/other", "id-2").await, None);
    assert_eq!(named("ward", "/press", "id-2").await, None);
}

/// Mutation: forget what is needed, the newest, more rows than were asked for, or only by one of the
/// two limits; or count other bytes than those of the events that are kept.
pub async fn old_events_are_forgotten_up_to_what_is_needed(store: &dyn Store) {
    let kept = async || store.event_kept().await.expect("reads");
    assert_eq!(kept().await, EventsKept::default());
    let of_ten = |n| EventRow { event: Bytes::from(format!("event {n:04}")), ..event(n) };
    put(store, (1..=9).map(of_ten).map(appended).collect()).await;
    let there = kept().await;
    assert_eq!((there.newest - there.oldest, there.bytes), (8, 90));
    let last = there.newest;
    let forget = async |events, bytes, needed, rows| {
        let kept = EventLimits { events, bytes };
        put(store, vec![Op::EventForget { needed, kept, rows }]).await;
        ids(store, all()).await.len()
    };
    assert_eq!(forget(9, 90, last, 99).await, 9, "all of it may be kept");
    assert_eq!(forget(5, 90, there.oldest + 1, 99).await, 8, "what is needed stays");
    assert_eq!(forget(5, 90, last, 2).await, 6, "so many rows at once");
    assert_eq!(forget(5, 90, last, 99).await, 5);
    assert_eq!(forget(5, 41, last, 99).await, 4);
    assert_eq!(kept().await, EventsKept { oldest: last - 3, newest: last, bytes: 40 });
    assert!(kept().await.exceeds(EventLimits { events: 3, bytes: 40 }));
    assert!(kept().await.exceeds(EventLimits { events: 4, bytes: 39 }));
    assert!(!kept().await.exceeds(EventLimits { events: 4, bytes: 40 }));
    assert_eq!(forget(0, 0, u64::MAX, 99).await, 1, "the newest stays, and its position with it");
    assert!(!kept().await.exceeds(EventLimits { events: 0, bytes: 0 }));
    put(store, vec![appended(event(1))]).await;
    assert_eq!(ids(store, all()).await.len(), 2, "one that was forgotten can come again");
    assert_eq!(store.event_last(), last + 1);
}
