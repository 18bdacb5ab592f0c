//! Memory and SQLite answer the same, whatever happens to them, and however often SQLite is opened
//! again in between.

use base::{Digest, IncarnationId, SystemRandom};
use bytes::Bytes;
use proptest::prelude::*;
use sqlite::SqliteStore;
use store::memory::MemoryStore;
use store::suite::{append, at, key, row, run_id};
use store::{
    EventQuery, EventRow, Op, OutcomeRow, Preconditions, RevisionRow, RunQuery, RunRow, RunState,
    ScheduleRow, Sequence, Store, WorkflowRow,
};

use crate::{folder, open, sqlite};

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Op>, Preconditions),
    Reopen,
}

const KEYS: [&str; 3] = ["lab/intake", "lab/press", "plant/intake"];

const TRIGGERS: [&str; 2] = ["every", "cron"];

fn schedule((name, trigger, next_at): (usize, usize, Option<i64>)) -> Op {
    Op::SchedulePut(ScheduleRow {
        key: key(KEYS[name]),
        trigger: TRIGGERS[trigger].to_owned(),
        definition: Bytes::from_static(b"definition"),
        since: at(1),
        next_at: next_at.map(at),
        fired_at: None,
        run: next_at.is_none().then(|| run_id(3)),
    })
}

fn run_row() -> impl Strategy<Value = RunRow> {
    (0..4_u64, 0..7_usize, 0..3_usize, prop::option::of(0..9_i64)).prop_map(
        |(n, state, name, wake_at)| RunRow {
            state: RunState::ALL[state],
            key: key(KEYS[name]),
            wake_at: wake_at.map(at),
            ..row(n)
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    let small = || (0..4_u64, 0..6_u64);
    prop_oneof![
        2 => run_row().prop_map(Op::RunCreate),
        2 => run_row().prop_map(Op::RunUpdate),
        6 => small().prop_map(|(n, sequence)| append(run_id(n), sequence)),
        1 => small().prop_map(|(n, sequence)| Op::SnapshotPut {
            run: run_id(n),
            sequence: Sequence(sequence),
            snapshot: Bytes::from(format!("{n} {sequence}")),
        }),
        1 => small().prop_map(|(n, number)| Op::OutcomePut(OutcomeRow {
            position: 0,
            run: run_id(n),
            number: number as u32,
            at: at(3),
            outcome: Bytes::from_static(b"out"),
        })),
        1 => (0..3_usize, 0..3_i64).prop_map(|(name, version)| Op::WorkflowPut(WorkflowRow {
            key: key(KEYS[name]),
            revision: Digest::of(&version.to_be_bytes()),
            version: version.to_string(),
            updated_at: at(version),
            deleted_at: None,
        })),
        1 => (0..3_usize, 0..3_i64).prop_map(|(name, version)| Op::RevisionPut(RevisionRow {
            key: key(KEYS[name]),
            revision: Digest::of(&version.to_be_bytes()),
            version: version.to_string(),
            created_at: at(version),
            text: Bytes::from_static(b"text"),
            resolved: Bytes::from_static(b"resolved"),
        })),
        2 => (0..4_u64).prop_map(|n| Op::EventAppend(store::suite::event::event(n))),
        1 => (0..3_usize).prop_map(|name| Op::WorkflowDelete { key: key(KEYS[name]), at: at(8) }),
        2 => (0..3_usize, 0..2_usize, prop::option::of(0..9_i64)).prop_map(schedule),
        1 => (0..3_usize, 0..2_usize).prop_map(|(name, trigger)| Op::ScheduleDelete {
            key: key(KEYS[name]),
            trigger: TRIGGERS[trigger].to_owned(),
        }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let wanted = prop::option::weighted(0.3, (0..4_u64, 0..4_u64));
    let commit = (prop::collection::vec(op(), 0..4), wanted).prop_map(|(ops, wanted)| {
        let run = wanted.map(|(n, sequence)| (run_id(n), Sequence(sequence)));
        Step::Commit(ops, Preconditions { run, epoch: None })
    });
    prop_oneof![30 => commit, 1 => Just(Step::Reopen)]
}

/// Everything that can be asked, as text. Positions of outcomes may have gaps, so they are left out.
async fn told(store: &dyn Store) -> String {
    let mut told = String::new();
    let mut say = |line: String| told.push_str(&(line + "\n"));
    for n in 0..4 {
        let run = run_id(n);
        say(format!("{:?}", store.run_get(run).await.expect("reads")));
        say(format!("{:?}", store.journal_read(run, Sequence(1), 3).await.expect("reads")));
        say(format!("{:?}", store.journal_read(run, Sequence::ZERO, 99).await.expect("reads")));
        say(format!("{:?}", store.snapshot_get(run).await.expect("reads")));
    }
    let query = RunQuery { limit: 9, ..RunQuery::default() };
    let filtered = RunQuery {
        namespace: Some(key("lab/x").namespace),
        states: vec![RunState::Waiting, RunState::Running, RunState::Faulted],
        ..query.clone()
    };
    say(format!("{:?}", store.run_list(query).await.expect("reads")));
    say(format!("{:?}", store.run_list(filtered).await.expect("reads")));
    say(format!("{:?}", store.run_unfinished(None, 9).await.expect("reads")));
    say(format!("{:?}", store.run_due(at(5), None, 9).await.expect("reads")));
    say(format!("{:?}", store.run_wake_next(None).await.expect("reads")));
    let mut counts = store.run_count().await.expect("reads");
    counts.sort_unstable();
    say(format!("{counts:?}"));
    say(format!("{:?}", store.workflow_list(None, None, 9).await.expect("reads")));
    for name in KEYS {
        say(format!("{:?}", store.workflow_get(key(name)).await.expect("reads")));
        say(format!("{:?}", store.revision_list(key(name), 9).await.expect("reads")));
    }
    say(format!("{:?}", store.schedule_list(None, 9).await.expect("reads")));
    say(format!("{:?}", store.schedule_due(at(5), 2).await.expect("reads")));
    say(format!("{:?}", store.schedule_next().await.expect("reads")));
    let events = EventQuery::of(key("lab/x").namespace, 99);
    for row in store.event_list(events).await.expect("reads") {
        say(format!("{:?}", EventRow { position: 0, ..row }));
    }
    for row in store.outcome_list(0, 99).await.expect("reads") {
        say(format!("{:?}", OutcomeRow { position: 0, ..row }));
    }
    told
}

async fn play(steps: Vec<Step>) {
    let folder = folder();
    let memory = MemoryStore::new(IncarnationId::new(at(0), &SystemRandom));
    let mut sqlite: SqliteStore = open(folder.path());
    for step in steps {
        match step {
            Step::Commit(ops, wanted) => {
                let one = memory.commit(ops.clone(), wanted.clone()).await;
                let other = sqlite.commit(ops, wanted).await;
                assert_eq!(one, other);
            }
            Step::Reopen => {
                drop(sqlite);
                sqlite = open(folder.path());
            }
        }
    }
    assert_eq!(told(&memory).await, told(&sqlite).await);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Mutation: change what any op does in one of the two stores only.
    #[test]
    fn both_stores_tell_the_same_story(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(play(steps));
    }
}
