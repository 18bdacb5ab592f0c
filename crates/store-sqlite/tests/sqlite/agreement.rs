//! Memory and SQLite answer the same, whatever happens to them, and however often SQLite is opened
//! again in between.

use base::stream::Stream;
use base::{Digest, IncarnationId, SystemRandom};
use bytes::Bytes;
use proptest::prelude::*;
use sqlite::SqliteStore;
use store::memory::MemoryStore;
use store::suite::call;
use store::suite::link::{self, head, order_id, outbox, receipt, request_id, site};
use store::suite::{append, at, key, row, run_id};
use store::{
    CallPage, EntryRow, EventQuery, EventRow, Op, OrderRow, OrdersOf, OutcomeRow, Preconditions,
    ResourceKind, ResourceRow, RevisionRow, RunQuery, RunRow, RunState, ScheduleRow, Sequence,
    Store, WorkflowRow,
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
        6 => link_op(),
        4 => fleet_op(),
        1 => resource_op(),
        3 => call_op(),
    ]
}

fn stream() -> impl Strategy<Value = Stream> {
    prop::sample::select(Stream::ALL.to_vec())
}

fn link_op() -> impl Strategy<Value = Op> {
    let order = || 0..4_u64;
    prop_oneof![
        Just(Op::LinkPut { link: Bytes::from_static(b"link") }),
        (stream(), 0..3_u64, 0..4_u64).prop_map(|(stream, base, mark)| outbox(stream, base, mark)),
        (stream(), 0..4_u64).prop_map(|(stream, mark)| Op::OutboxMark { stream, mark: head(mark) }),
        (stream(), 0..5_u64)
            .prop_map(|(stream, base)| Op::OutboxForget { stream, base: head(base) }),
        order().prop_map(|n| Op::ReceiptPut(receipt(n))),
        (order(), 0..2_usize, 0..9_i64).prop_map(|(n, site, until)| Op::OrderPut(link::order(
            n,
            SITES[site],
            until
        ))),
        order().prop_map(|n| Op::OrderJudge { order: order_id(n), at: at(4) }),
        (order(), 0..2_usize).prop_map(|(n, by)| Op::OrderClose {
            order: order_id(n),
            site: site(SITES[by]),
            at: at(5),
        }),
        order().prop_map(|n| Op::OrderForget { order: order_id(n) }),
    ]
}

const SITES: [&str; 2] = ["plant-1", "plant-2"];

fn fleet_op() -> impl Strategy<Value = Op> {
    let bytes = |n: u8| Bytes::from(vec![n]);
    let of = || (0..2_usize).prop_map(|n| site(SITES[n]));
    let entry = (of(), stream(), 0..3_u8, 0..2_u8);
    prop_oneof![
        1 => (of(), 0..3_u8).prop_map(move |(site, n)| Op::SitePut { site, record: bytes(n) }),
        1 => (of(), 0..3_u8).prop_map(move |(site, n)| Op::SeatPut { site, seat: bytes(n) }),
        3 => entry.prop_map(move |(site, stream, key, entry)| Op::EntryTake(EntryRow {
            position: 0,
            site,
            stream,
            key: bytes(key),
            at: at(6),
            entry: bytes(entry),
        })),
    ]
}

fn resource_op() -> impl Strategy<Value = Op> {
    let kind = || prop::sample::select(ResourceKind::ALL.to_vec());
    let name = || (0..2_u8).prop_map(|n| format!("r{n}"));
    prop_oneof![
        2 => (kind(), name(), 0..3_u8).prop_map(|(kind, name, n)| {
            Op::ResourcePut(ResourceRow { kind, name, record: Bytes::from(vec![n]) })
        }),
        1 => (kind(), name()).prop_map(|(kind, name)| Op::ResourceDelete { kind, name }),
    ]
}

fn call_op() -> impl Strategy<Value = Op> {
    let page = (1..6_u64, 0..3_u64, 0..9_i64);
    prop_oneof![
        4 => page.prop_map(|(first, more, time)| {
            Op::CallAppend(CallPage { at: at(time), ..call::page(first, first + more) })
        }),
        1 => (0..6_u64, 0..3_u32).prop_map(|(before, rows)| Op::CallForget { before, rows }),
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

/// Everything that can be asked, as text. Positions that may have gaps are left out.
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
    for kind in ResourceKind::ALL {
        say(format!("{:?}", store.resource_list(kind, None, 9).await.expect("reads")));
    }
    say(format!("{:?}", store.call_page_list(0, 99).await.expect("reads")));
    for n in 0..9 {
        say(format!("{:?}", store.call_page_list(n, 2).await.expect("reads")));
        say(format!("{:?}", store.call_page_newest(Some(n), 2).await.expect("reads")));
        say(format!("{:?}", store.call_page_at(at(n as i64)).await.expect("reads")));
    }
    say(format!("{:?}", store.call_last().await.expect("reads")));
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
    say(format!("{:?}", store.outcome_list(0, 99).await.expect("reads")));
    say(format!("{:?}", store.link_get().await.expect("reads")));
    for stream in Stream::ALL {
        say(format!("{:?}", store.outbox_get(stream).await.expect("reads")));
        say(format!("{:?}", store.outbox_last(stream).await.expect("reads")));
    }
    say(format!("{:?}", store.receipt_list(0, 99).await.expect("reads")));
    say(format!("{:?}", store.order_past(at(6), 9).await.expect("reads")));
    say(format!("{:?}", store.order_unasked(at(6), None, 9).await.expect("reads")));
    for of in [OrdersOf::All, OrdersOf::Site(site(SITES[0])), OrdersOf::Request(request_id(0))] {
        let found = store.order_list(of, None, 9).await.expect("reads");
        say(format!("{:?}", found.iter().map(|row| row.order).collect::<Vec<_>>()));
    }
    for n in 0..4 {
        let row = store.order_get(order_id(n)).await.expect("reads");
        say(format!("{:?}", row.map(|row| OrderRow { position: 0, ..row })));
    }
    say(format!("{:?}", store.site_list(None, 9).await.expect("reads")));
    let mut entries = store.entry_list(0, 99).await.expect("reads");
    for name in SITES {
        for row in store.order_open(site(name), 0, 9).await.expect("reads") {
            say(format!("{:?}", row.order));
        }
        entries.extend(store.entry_beside(site(name), 0, 99).await.expect("reads"));
    }
    for row in entries {
        say(format!("{:?}", EntryRow { position: 0, ..row }));
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
