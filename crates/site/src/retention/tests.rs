//! Whose time is over, with a store in memory and a clock that the test moves.

use std::sync::atomic::{AtomicI64, Ordering};

use base::{IncarnationId, SystemRandom};
use bytes::Bytes;
use engine::activation::Activation;
use engine::effect::EffectNo;
use engine::record::{Parent, Usage};
use store::memory::MemoryStore;
use store::suite::{at, key, row, run_id};
use store::{OutcomeRow, ResourceKind, RevisionRow, RunQuery, Sequence, WorkflowRow};

use super::*;

const DAY: i64 = 24 * 3600 * 1000;

struct Moved(AtomicI64);

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

struct Place {
    store: Arc<MemoryStore>,
    clock: Arc<Moved>,
}

impl Place {
    fn new() -> Self {
        let incarnation = IncarnationId::new(at(0), &SystemRandom);
        Self {
            store: Arc::new(MemoryStore::new(incarnation)),
            clock: Arc::new(Moved(AtomicI64::new(0))),
        }
    }

    fn tidying(&self, keep: Keep) -> Tidying {
        let config = Config { keep, ..Config::default() };
        Tidying::new(self.store.clone(), &config, self.clock.clone())
    }

    async fn put(&self, ops: Vec<Op>) {
        self.store.commit(ops, Preconditions::none()).await.expect("writes");
    }

    /// Runs a look at this day, and says which runs are there after it.
    async fn kept_on(&self, tidying: &Tidying, day: i64) -> Vec<RunId> {
        self.clock.0.store(day * DAY, Ordering::Relaxed);
        tidying.tidy(Duration::from_secs(60), None).await.expect("tidies");
        let query = RunQuery { limit: 99, ..RunQuery::default() };
        let rows = self.store.run_list(query).await.expect("reads");
        rows.iter().rev().map(|row| row.run).collect()
    }
}

fn summary(parent: Option<(u64, bool)>) -> Bytes {
    let parent = parent.map(|(n, awaited)| Parent {
        run: run_id(n),
        activation: serde_json::from_str::<Activation>(r#""/a""#).expect("an activation"),
        effect: EffectNo(1),
        depth: 1,
        awaited,
    });
    let summary = Summary {
        version: "1.0.0".to_owned(),
        tags: Vec::new(),
        labels: Vec::new(),
        priority: 0,
        traceparent: String::new(),
        started_by: "ada".to_owned(),
        owner: "ada".to_owned(),
        fault: None,
        usage: Usage::default(),
        suspended: None,
        looked: None,
        parent,
        queued: None,
        runs_at_once: None,
    };
    serde_json::to_vec(&summary).expect("JSON").into()
}

/// A run that ended on this day.
fn over(n: u64, state: RunState, day: i64, parent: Option<(u64, bool)>) -> Op {
    let ended_at = state.has_ended().then(|| at(day * DAY));
    Op::RunCreate(RunRow { state, ended_at, summary: summary(parent), ..row(n) })
}

const DAYS_10: Keep = Keep::For(base::Duration::from_secs(10 * 24 * 3600));

/// Mutation: count from the beginning of a run, forget one that goes on, or leave its outcome behind.
#[tokio::test]
async fn a_run_is_kept_for_its_time() {
    let place = Place::new();
    let outcome = OutcomeRow {
        position: 0,
        run: run_id(1),
        number: 1,
        at: at(0),
        outcome: Bytes::from("done"),
    };
    place
        .put(vec![
            over(1, RunState::Completed, 1, None),
            over(2, RunState::Faulted, 2, None),
            over(3, RunState::Running, 0, None),
            Op::JournalAppend { run: run_id(1), sequence: Sequence(1), record: Bytes::from("r") },
            Op::OutcomePut(outcome),
        ])
        .await;
    let tidying = place.tidying(DAYS_10);
    assert_eq!(place.kept_on(&tidying, 10).await, [1, 2, 3].map(run_id));
    assert_eq!(place.kept_on(&tidying, 11).await, [2, 3].map(run_id));
    assert_eq!(place.kept_on(&tidying, 99).await, [run_id(3)]);
    assert_eq!(place.store.outcome_list(0, 9).await.expect("reads"), []);
    let forever = Place::new();
    forever.put(vec![over(1, RunState::Completed, 1, None)]).await;
    let tidying = forever.tidying(Keep::Forever);
    assert_eq!(forever.kept_on(&tidying, 99_999).await, [run_id(1)]);
}

/// Mutation: forget a run although another site is still to be told of its end, or keep it after that.
#[tokio::test]
async fn a_run_of_another_site_is_kept_until_that_one_is_told() {
    let place = Place::new();
    let mut asked: Summary = Summary::decode(&summary(None)).expect("a summary");
    asked.started_by = "site:desk".to_owned();
    let asked = serde_json::to_vec(&asked).expect("JSON");
    let (state, ended_at) = (RunState::Completed, Some(at(DAY)));
    let ended = RunRow { state, ended_at, summary: asked.into(), ..row(1) };
    let (kind, name) = (ResourceKind::Dispatch, format!("in {}", run_id(1)));
    let open = store::ResourceRow { kind, name: name.clone(), record: Bytes::from("{}") };
    place.put(vec![Op::RunCreate(ended), Op::ResourcePut(open)]).await;
    let tidying = place.tidying(DAYS_10);
    assert_eq!(place.kept_on(&tidying, 99).await, [run_id(1)]);
    place.put(vec![Op::ResourceDelete { kind, name }]).await;
    assert_eq!(place.kept_on(&tidying, 99).await, []);
}

/// Mutation: begin with the first workflow each time, or never with the first again.
#[tokio::test]
async fn each_workflow_has_its_turn() {
    let place = Place::new();
    let runs = |name: &str, from: u64| {
        let of = key(&format!("lab/{name}"));
        let run = move |n| {
            let end = at(i64::try_from(n).expect("few"));
            let state = RunState::Completed;
            let ended = RunRow { state, ended_at: Some(end), summary: summary(None), ..row(n) };
            Op::RunCreate(RunRow { key: of.clone(), ..ended })
        };
        (from..from + u64::from(RUNS_PAGE) + 1).map(run).collect::<Vec<Op>>()
    };
    place.put(runs("a", 1)).await;
    place.put(runs("b", 1_001)).await;
    place.clock.0.store(99 * DAY, Ordering::Relaxed);
    let tidying = place.tidying(DAYS_10);
    let kept = async || {
        let query = RunQuery { limit: 999, ..RunQuery::default() };
        let rows = place.store.run_list(query).await.expect("reads");
        ["lab/a", "lab/b"].map(|name| rows.iter().filter(|row| row.key == key(name)).count())
    };
    let page = RUNS_PAGE as usize;
    let mut seen = Vec::new();
    for _ in 0..5 {
        tidying.tidy(Duration::ZERO, None).await.expect("tidies");
        seen.push(kept().await);
    }
    assert_eq!(seen[..2], [[1, page + 1], [1, 1]]);
    assert_eq!(seen.last(), Some(&[0, 0]), "{seen:?}");
}

/// Mutation: forget a child whose parent would begin it anew, or keep one for ever.
#[tokio::test]
async fn a_child_stays_as_long_as_its_parent_may_ask_for_it() {
    let place = Place::new();
    place
        .put(vec![
            over(1, RunState::Running, 0, None),
            over(2, RunState::Faulted, 20, None),
            over(3, RunState::Completed, 20, None),
            over(4, RunState::Completed, 1, Some((1, true))),
            over(5, RunState::Completed, 1, Some((2, true))),
            over(6, RunState::Completed, 1, Some((3, true))),
            over(7, RunState::Completed, 1, Some((1, false))),
            over(8, RunState::Completed, 1, Some((9, true))),
        ])
        .await;
    let tidying = place.tidying(DAYS_10);
    assert_eq!(place.kept_on(&tidying, 25).await, [1, 2, 3, 4, 5].map(run_id));
    // The faulted parent goes, and its child at the next look at the latest.
    place.kept_on(&tidying, 40).await;
    assert_eq!(place.kept_on(&tidying, 40).await, [1, 4].map(run_id));
}

/// Mutation: listen to the site alone, or go by a revision that is not the newest.
#[tokio::test]
async fn a_workflow_says_how_long_its_runs_are_kept() {
    let place = Place::new();
    let apply = |keep: &str| {
        let text = format!(
            "document: {{dsl: 1.0.3, namespace: lab, name: intake, version: 1.0.0, metadata: {{keep: {keep}}}}}\ndo: []\n"
        );
        let revision = Digest::of(text.as_bytes());
        let (key, version) = (key("lab/intake"), "1.0.0".to_owned());
        vec![
            Op::RevisionPut(RevisionRow {
                key: key.clone(),
                revision,
                version: version.clone(),
                created_at: at(0),
                text: text.into(),
                resolved: spec::Resolved::default().encode().into(),
            }),
            Op::WorkflowPut(WorkflowRow {
                key,
                revision,
                version,
                updated_at: at(0),
                deleted_at: None,
            }),
        ]
    };
    place
        .put(vec![over(1, RunState::Completed, 1, None), over(2, RunState::Completed, 5, None)])
        .await;
    place.put(apply("P100D")).await;
    let tidying = place.tidying(DAYS_10);
    assert_eq!(place.kept_on(&tidying, 20).await, [1, 2].map(run_id));
    place.put(apply("P17D")).await;
    assert_eq!(place.kept_on(&tidying, 20).await, [run_id(2)]);
    place.put(apply("forever")).await;
    assert_eq!(place.kept_on(&tidying, 9_999).await, [run_id(2)]);
}

/// Mutation: forget what is needed, stop after one step, or go on and on where nothing may go.
#[tokio::test]
async fn old_events_go_in_steps_up_to_what_is_needed() {
    let place = Place::new();
    for page in 0..3 {
        let events = (page * 500..(page + 1) * 500).map(store::suite::event::event);
        place.put(events.map(Op::EventAppend).collect()).await;
    }
    let config = Config {
        events: EventLimits { events: 10, ..EventLimits::history() },
        ..Config::default()
    };
    let tidying = Tidying::new(place.store.clone(), &config, place.clock.clone());
    let left = async |needed| {
        let mut pace = Pacer::swift();
        tidying.forget_events_before(&mut pace, needed, None).await.expect("forgets");
        let kept = place.store.event_kept().await.expect("reads");
        kept.newest - kept.oldest + 1
    };
    assert_eq!(left(1_101).await, 400);
    assert_eq!(left(1_101).await, 400);
    assert_eq!(left(1_500).await, 10);
}
