//! Events on a disk: how many are kept, and what a new version does to an old file.

use rusqlite::Connection;
use sqlite::{DATABASE_FILE, OpenOptions, SqliteStore};
use store::suite::event::event;
use store::{EventLimits, EventQuery, EventRow, Op, Preconditions, Store};

use crate::{folder, open, sqlite};

async fn append(store: &impl Store, row: EventRow) {
    let ops = vec![Op::EventAppend(row)];
    store.commit(ops, Preconditions::none()).await.expect("writes");
}

async fn kept(store: &impl Store) -> Vec<String> {
    let query = EventQuery::of(event(0).namespace, 999);
    let rows = store.event_list(query).await.expect("reads");
    rows.into_iter().map(|row| row.id).collect()
}

async fn fill(events: EventLimits, bytes: usize) -> Vec<String> {
    let folder = folder();
    let options = OpenOptions { events, ..OpenOptions::default() };
    let store = SqliteStore::open(folder.path(), options).expect("opens");
    for n in 1..=160 {
        append(&store, EventRow { event: vec![b'x'; bytes].into(), ..event(n) }).await;
    }
    assert_eq!(store.event_last(), 160);
    kept(&store).await
}

/// Mutation: never prune, take the newest away, or count only one of the two.
#[tokio::test]
async fn the_oldest_events_go_first() {
    let wide = EventLimits::default();
    let few = fill(EventLimits { events: 20, ..wide }, 10).await;
    assert_eq!((few.len(), few[0].as_str()), (20, "id-141"));
    let small = fill(EventLimits { bytes: 1_000, ..wide }, 100).await;
    assert_eq!((small.len(), small[0].as_str()), (10, "id-151"));
    assert_eq!(fill(wide, 10).await.len(), 160);
    // One that is larger than all that may be kept still reaches its listeners.
    assert_eq!(fill(EventLimits { bytes: 10, ..wide }, 100).await.last().expect("one"), "id-160");
}

/// Mutation: begin at 1 again when the file is opened.
#[tokio::test]
async fn positions_go_on_after_a_start() {
    let folder = folder();
    let store = open(folder.path());
    append(&store, event(1)).await;
    append(&store, event(2)).await;
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.event_last(), 2);
    append(&store, event(2)).await;
    append(&store, event(3)).await;
    assert!(store.event_last() > 2);
    assert_eq!(kept(&store).await, ["id-1", "id-2", "id-3"]);
}

/// Mutation: make the table only in new files.
#[tokio::test]
async fn a_store_from_before_events_gets_the_table() {
    let folder = folder();
    let db = Connection::open(folder.path().join(DATABASE_FILE)).expect("opens");
    for script in [
        include_str!("../../src/sql/schema_1.sql"),
        include_str!("../../src/sql/schema_resolved.sql"),
        include_str!("../../src/sql/schema_schedule.sql"),
        "INSERT INTO meta VALUES ('schema', 3), ('epoch', 4), ('folded', 0),
             ('incarnation', x'0190000000007000800000000000000a');",
    ] {
        db.execute_batch(script).expect("the tables of then");
    }
    drop(db);
    let store = open(folder.path());
    append(&store, event(1)).await;
    assert_eq!(kept(&store).await, ["id-1"]);
}

/// Mutation: make the new table without the rows of the old one, or count their bytes anew.
#[tokio::test]
async fn a_store_whose_events_counted_themselves_keeps_them() {
    let folder = folder();
    let db = Connection::open(folder.path().join(DATABASE_FILE)).expect("opens");
    for script in [
        include_str!("../../src/sql/schema_1.sql"),
        include_str!("../../src/sql/schema_resolved.sql"),
        include_str!("../../src/sql/schema_schedule.sql"),
        include_str!("../../src/sql/schema_event.sql"),
        include_str!("../../src/sql/schema_log.sql"),
        "INSERT INTO meta VALUES ('schema', 5), ('epoch', 4), ('folded', 0),
             ('incarnation', x'0190000000007000800000000000000a');
         INSERT INTO events (position, namespace, source, id, type, number, at, total, event)
             VALUES (7, 'default', '/old', 'a', 'old', 0, 1, 900, x'7b7d');",
    ] {
        db.execute_batch(script).expect(script);
    }
    drop(db);
    let limits = EventLimits { bytes: 500, ..EventLimits::default() };
    let options = OpenOptions { events: limits, ..OpenOptions::default() };
    let store = SqliteStore::open(folder.path(), options).expect("opens");
    let of_before = async || {
        let query = EventQuery::of("default".parse().expect("a name"), 99);
        let rows = store.event_list(query).await.expect("reads").into_iter();
        rows.filter(|row| row.source == "/old").count()
    };
    assert_eq!((store.event_last(), of_before().await), (7, 1));
    for n in 8..=16 {
        let row = EventRow { event: vec![b'x'; 100].into(), ..event(n) };
        append(&store, row).await;
    }
    // Of 1,800 bytes the first 1,300 have gone, and with them the 900 of before.
    assert_eq!((kept(&store).await.len(), of_before().await), (5, 0));
}
