//! The store in memory under the suite, and what only it can do.

use base::{IncarnationId, SystemRandom};
use isonomy_store::memory::MemoryStore;
use isonomy_store::suite::event::event;
use isonomy_store::suite::{append, at, row, run_id};
use isonomy_store::{
    CommitError, EventLimits, EventQuery, EventRow, Op, Preconditions, Sequence, Store,
};

fn open() -> MemoryStore {
    MemoryStore::new(IncarnationId::new(at(0), &SystemRandom))
}

macro_rules! tests {
    ($($noun:ident::$case:ident),* $(,)?) => {
        mod suite {
            $(
                #[tokio::test]
                async fn $case() {
                    isonomy_store::suite::$noun::$case(&super::open()).await;
                }
            )*
        }

        /// Every case that the list holds.
        const CASES: &[&str] = &[$(concat!(stringify!($noun), "::", stringify!($case))),*];
    };
}

isonomy_store::suite_cases!(tests);

/// Mutation: leave a case out of the list.
#[test]
fn every_case_of_the_suite_is_in_the_list() {
    let nouns = [
        ("blob", include_str!("../src/suite/blob.rs")),
        ("call", include_str!("../src/suite/call.rs")),
        ("commit", include_str!("../src/suite/commit.rs")),
        ("event", include_str!("../src/suite/event.rs")),
        ("fleet", include_str!("../src/suite/fleet.rs")),
        ("forget", include_str!("../src/suite/forget.rs")),
        ("journal", include_str!("../src/suite/journal.rs")),
        ("link", include_str!("../src/suite/link.rs")),
        ("log", include_str!("../src/suite/log.rs")),
        ("outcome", include_str!("../src/suite/outcome.rs")),
        ("resource", include_str!("../src/suite/resource.rs")),
        ("run", include_str!("../src/suite/run.rs")),
        ("schedule", include_str!("../src/suite/schedule.rs")),
        ("workflow", include_str!("../src/suite/workflow.rs")),
    ];
    let mut written = Vec::new();
    for (noun, text) in nouns {
        let names = text.lines().filter_map(|line| line.strip_prefix("pub async fn "));
        let names = names.filter_map(|rest| rest.split('(').next());
        written.extend(names.map(|name| format!("{noun}::{name}")));
    }
    let mut listed = CASES.to_vec();
    listed.sort_unstable();
    written.sort_unstable();
    assert_eq!(listed, written);
}

/// Mutation: leave the epoch as it is in `reopen`, or forget the content.
#[tokio::test]
async fn an_earlier_opening_commits_no_more() {
    let first = open();
    let create = vec![Op::RunCreate(row(1)), append(run_id(1), 1)];
    first.commit(create, Preconditions::none()).await.expect("the only owner commits");
    let second = first.reopen();
    assert_eq!((first.epoch(), second.epoch()), (1, 2));
    assert_eq!(first.incarnation(), second.incarnation());
    let refused = first.commit(vec![append(run_id(1), 2)], Preconditions::none()).await;
    assert_eq!(refused, Err(CommitError::EpochMoved { current: 2, got: 1 }));
    let next = second.commit(vec![append(run_id(1), 2)], Preconditions::none()).await;
    assert_eq!(next, Ok(()));
    let journal = second.journal_read(run_id(1), Sequence::ZERO, 9).await.expect("reads");
    assert_eq!(journal.len(), 2);
}

async fn kept(limits: EventLimits, bytes: usize, events: &[u64]) -> Vec<String> {
    let store = open().with_event_limits(limits);
    for n in events {
        let row = EventRow { event: vec![b'x'; bytes].into(), ..event(*n) };
        store.commit(vec![Op::EventAppend(row)], Preconditions::none()).await.expect("commits");
    }
    let query = EventQuery::of(event(0).namespace, 99);
    let rows = store.event_list(query).await.expect("reads");
    rows.into_iter().map(|row| row.id).collect()
}

/// Mutation: keep one more or one less, count only one of the two, take the newest away, or
/// remember an event that is gone.
#[tokio::test]
async fn the_oldest_events_go_first() {
    let wide = EventLimits::default();
    let few = EventLimits { events: 3, ..wide };
    assert_eq!(kept(few, 10, &[1, 2, 3]).await, ["id-1", "id-2", "id-3"]);
    assert_eq!(kept(few, 10, &[1, 2, 3, 4, 1]).await, ["id-3", "id-4", "id-1"]);
    let small = EventLimits { bytes: 20, ..wide };
    assert_eq!(kept(small, 10, &[1, 2]).await, ["id-1", "id-2"]);
    assert_eq!(kept(small, 10, &[1, 2, 3, 4, 5]).await, ["id-4", "id-5"]);
    assert_eq!(kept(EventLimits { bytes: 5, ..wide }, 10, &[1, 2]).await, ["id-2"]);
}
