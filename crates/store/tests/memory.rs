//! The store in memory under the suite, and what only it can do.

use base::{IncarnationId, SystemRandom};
use isonomy_store::memory::MemoryStore;
use isonomy_store::suite::{append, at, row, run_id};
use isonomy_store::{CommitError, Op, Preconditions, Sequence, Store};

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
        ("commit", include_str!("../src/suite/commit.rs")),
        ("event", include_str!("../src/suite/event.rs")),
        ("journal", include_str!("../src/suite/journal.rs")),
        ("log", include_str!("../src/suite/log.rs")),
        ("outcome", include_str!("../src/suite/outcome.rs")),
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
