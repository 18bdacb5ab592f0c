//! The sites of a hub, and what they have sent.

use base::Digest;
use base::stream::{PerStream, Stream};
use bytes::Bytes;

use super::link::site;
use super::{at, commit, put};
use crate::{CommitError, ENTRIES_BESIDE_MAX, EntryRow, Op, SiteRow, Store, TokenRow};

fn record(name: &str, text: &'static str) -> Op {
    Op::SitePut { site: site(name), record: Bytes::from_static(text.as_bytes()) }
}

fn seat(name: &str, text: &'static str) -> Op {
    Op::SeatPut { site: site(name), seat: Bytes::from_static(text.as_bytes()) }
}

fn entry(from: &str, key: &'static str, text: &str) -> EntryRow {
    EntryRow {
        position: 0,
        site: site(from),
        stream: Stream::Outcome,
        key: Bytes::from_static(key.as_bytes()),
        at: at(4),
        entry: Bytes::from(text.to_owned()),
    }
}

/// Mutation: let one take the place of the other, or seat somebody who is no site.
pub async fn a_site_and_its_seat_are_put_apart(store: &dyn Store) {
    let missing = Err(CommitError::SiteMissing(site("plant-1")));
    assert_eq!(commit(store, vec![seat("plant-1", "me")]).await, missing);
    assert_eq!(store.site_get(site("plant-1")).await.expect("reads"), None);
    let one = Bytes::from_static(b"one");
    let row =
        SiteRow { site: site("plant-1"), record: one, seat: None, taken: PerStream::default() };
    put(store, vec![record("plant-1", "one")]).await;
    assert_eq!(store.site_get(site("plant-1")).await.expect("reads"), Some(row.clone()));
    put(store, vec![seat("plant-1", "me")]).await;
    let me = SiteRow { seat: Some(Bytes::from_static(b"me")), ..row };
    assert_eq!(store.site_get(site("plant-1")).await.expect("reads"), Some(me.clone()));
    put(store, vec![record("plant-1", "two"), record("plant-2", "new"), seat("plant-2", "you")])
        .await;
    let two = SiteRow { record: Bytes::from_static(b"two"), ..me };
    assert_eq!(store.site_get(site("plant-1")).await.expect("reads"), Some(two));
    let other = store.site_get(site("plant-2")).await.expect("reads").expect("it is there");
    assert_eq!(other.seat, Some(Bytes::from_static(b"you")));
}

/// Mutation: list in the order of arrival, or from the name on instead of behind it.
pub async fn sites_are_listed_by_name_and_in_pages(store: &dyn Store) {
    put(store, ["b", "c", "a"].map(|name| record(name, "x")).to_vec()).await;
    let names = async |after: Option<&str>, limit| {
        let found = store.site_list(after.map(site), limit).await.expect("reads");
        found.into_iter().map(|row| row.site.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(None, 9).await, ["a", "b", "c"]);
    assert_eq!(names(None, 2).await, ["a", "b"]);
    assert_eq!(names(Some("a"), 9).await, ["b", "c"]);
    assert_eq!(names(Some("c"), 9).await, [""; 0]);
}

/// Mutation: leave the site, the stream or the key out of what an entry is known by, or take or count it twice.
pub async fn an_entry_is_taken_once_by_what_it_is(store: &dyn Store) {
    let missing = Err(CommitError::SiteMissing(site("a")));
    assert_eq!(commit(store, vec![Op::EntryTake(entry("a", "1", "one"))]).await, missing);
    put(store, vec![record("a", "x"), record("b", "x")]).await;
    let rows = [
        entry("a", "1", "one"),
        entry("b", "1", "one"),
        EntryRow { stream: Stream::Receipt, ..entry("a", "1", "one") },
        entry("a", "2", "two"),
    ];
    for row in rows.iter().chain(&rows) {
        put(store, vec![Op::EntryTake(row.clone()), Op::EntryTake(row.clone())]).await;
    }
    let found = store.entry_list(0, 9).await.expect("reads");
    let told: Vec<_> = found.iter().map(|row| EntryRow { position: 0, ..row.clone() }).collect();
    assert_eq!(told, rows);
    assert!(found.is_sorted_by(|a, b| a.position < b.position));
    let counted = store.site_list(None, 9).await.expect("reads").into_iter().map(|row| row.taken);
    let of = |outcome, receipt| PerStream { outcome, receipt };
    assert_eq!(counted.collect::<Vec<_>>(), [of(2, 1), of(1, 0)]);
    assert_eq!(store.entry_list(found[1].position, 1).await.expect("reads"), found[2..3]);
    let get = async |from, stream, key: &'static str| {
        let key = Bytes::from_static(key.as_bytes());
        store.entry_get(site(from), stream, key).await.expect("reads")
    };
    assert_eq!(get("a", Stream::Receipt, "1").await, Some(found[2].clone()));
    assert_eq!(get("a", Stream::Outcome, "2").await, Some(found[3].clone()));
    assert_eq!(get("b", Stream::Outcome, "2").await, None);
    for name in ["a", "b"] {
        assert_eq!(store.entry_beside(site(name), 0, 9).await.expect("reads"), []);
    }
}

/// Mutation: overwrite what was there, lose what comes later, keep it twice, or keep any number.
pub async fn what_has_other_bytes_is_kept_beside(store: &dyn Store) {
    put(store, vec![record("a", "x"), record("b", "x")]).await;
    let first = entry("a", "1", "one");
    let other = entry("a", "1", "other");
    for row in [&first, &other, &other, &first] {
        put(store, vec![Op::EntryTake(row.clone())]).await;
    }
    let taken = store.entry_list(0, 9).await.expect("reads");
    assert_eq!(taken.iter().map(|row| row.entry.clone()).collect::<Vec<_>>(), [first.entry]);
    let beside = store.entry_beside(site("a"), 0, 9).await.expect("reads");
    let told: Vec<_> = beside.iter().map(|row| EntryRow { position: 0, ..row.clone() }).collect();
    assert_eq!(told, [other]);
    let site_a = store.site_get(site("a")).await.expect("reads").expect("it is there");
    assert_eq!(site_a.taken.outcome, 1);
    let behind = store.entry_beside(site("a"), beside[0].position, 9).await.expect("reads");
    assert_eq!(behind, []);
    let many = (0..ENTRIES_BESIDE_MAX + 5).map(|n| Op::EntryTake(entry("a", "1", &n.to_string())));
    put(store, many.collect()).await;
    put(store, ["one", "other"].map(|text| Op::EntryTake(entry("b", "1", text))).to_vec()).await;
    let count =
        async |name| store.entry_beside(site(name), 0, 999).await.expect("reads").len() as u32;
    assert_eq!((count("a").await, count("b").await), (ENTRIES_BESIDE_MAX, 1));
}

/// Good until 9.
fn token(n: u8) -> TokenRow {
    TokenRow {
        secret: Digest::of(&[n]),
        site: site("a"),
        until: at(9),
        record: Bytes::from_static(b"token"),
        used_by: None,
    }
}

/// Mutation: let a second one use it, let it be used late, or keep what goes with a use that was refused.
pub async fn a_token_is_used_by_one(store: &dyn Store) {
    let (ours, theirs) = (Digest::of(b"ours"), Digest::of(b"theirs"));
    let spend = |n, by, now| Op::TokenUse { secret: Digest::of(&[n]), by, now: at(now) };
    let spent = Err(CommitError::TokenSpent);
    assert_eq!(commit(store, vec![spend(1, ours, 1)]).await, spent);
    put(store, vec![Op::TokenPut(token(1)), Op::TokenPut(token(2))]).await;
    assert_eq!(store.token_get(Digest::of(&[1])).await.expect("reads"), Some(token(1)));
    assert_eq!(commit(store, vec![record("a", "late"), spend(1, ours, 9)]).await, spent);
    assert_eq!(store.site_get(site("a")).await.expect("reads"), None);
    put(store, vec![spend(1, ours, 8), spend(1, ours, 8)]).await;
    assert_eq!(commit(store, vec![spend(1, theirs, 8)]).await, spent);
    let both = vec![spend(2, ours, 8), spend(2, theirs, 8)];
    assert_eq!(commit(store, both).await, spent);
    let used = TokenRow { used_by: Some(ours), ..token(1) };
    assert_eq!(store.token_get(Digest::of(&[1])).await.expect("reads"), Some(used));
    assert_eq!(store.token_get(Digest::of(&[2])).await.expect("reads"), Some(token(2)));
}

/// Mutation: forget one that is good, or keep one that is not.
pub async fn tokens_are_forgotten_when_their_time_is_over(store: &dyn Store) {
    put(store, vec![Op::TokenPut(token(1))]).await;
    put(store, vec![Op::TokenPut(TokenRow { until: at(10), ..token(2) })]).await;
    put(store, vec![Op::TokenForget { until: at(9) }]).await;
    assert_eq!(store.token_get(Digest::of(&[1])).await.expect("reads"), None);
    assert!(store.token_get(Digest::of(&[2])).await.expect("reads").is_some());
}
