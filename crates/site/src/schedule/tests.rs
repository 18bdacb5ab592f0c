//! Schedules of a whole site, under a clock that the test moves.

use std::path::PathBuf;
use std::sync::Arc;

use base::name::WorkflowKey;
use base::{Clock, IncarnationId, SystemRandom, Timestamp};
use server::Caller;
use store::memory::MemoryStore;
use store::suite::key;
use store::{Op, Preconditions, RunQuery, RunState, ScheduleRow, Store};
use tokio::time::{Duration, Instant, sleep};
use wire::{ApiKey, WorkflowApply};

use crate::config::Config;
use crate::site::{Parts, Site};

pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// When every test begins.
const START: &str = "2027-01-15T08:00:00Z";

/// The time of the paused runtime.
struct Moved(Instant);

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        let start = Timestamp::parse(START).expect("a time");
        let passed = u64::try_from(self.0.elapsed().as_millis()).expect("a short test");
        start.plus(base::Duration::from_millis(passed))
    }
}

pub(super) struct Place {
    pub(super) store: MemoryStore,
    clock: Arc<Moved>,
}

impl Place {
    pub(super) fn new() -> Self {
        let incarnation = IncarnationId::new(Timestamp::from_millis(0), &SystemRandom);
        Self { store: MemoryStore::new(incarnation), clock: Arc::new(Moved(Instant::now())) }
    }

    pub(super) async fn open(&self) -> Site {
        let site = self.closed().await;
        site.keep_schedules().await;
        site
    }

    /// A site that keeps no schedules.
    pub(super) async fn closed(&self) -> Site {
        let parts = Parts {
            store: Arc::new(self.store.reopen()),
            config: Config::default(),
            program: PathBuf::from("/nonexistent"),
            secrets: None,
            tail: None,
            membership: None,
            own_key: ApiKey::new(&SystemRandom),
            clock: self.clock.clone(),
            random: Arc::new(SystemRandom),
            store_figures: None,
            upkeep: None,
        };
        Site::open(parts).await.expect("a site")
    }

    /// Minutes since the start for which runs were begun, in order.
    async fn begun(&self) -> Vec<u64> {
        let start = Timestamp::parse(START).expect("a time").as_millis();
        let query = RunQuery { limit: 10_000, ..RunQuery::default() };
        let rows = self.store.run_list(query).await.expect("reads");
        let minute = |millis: i64| u64::try_from(millis / 60_000).expect("after the start");
        let mut begun: Vec<u64> = rows
            .iter()
            .map(|row| {
                let bytes = row.run.as_uuid().as_bytes();
                let due = bytes[..6].iter().fold(0, |sum, byte| sum << 8 | i64::from(*byte));
                minute(due - start)
            })
            .collect();
        begun.sort_unstable();
        begun
    }

    pub(super) async fn row(&self) -> ScheduleRow {
        let rows = self.store.schedule_get(tick()).await.expect("reads");
        rows.into_iter().next().expect("one trigger")
    }
}

pub(super) fn tick() -> WorkflowKey {
    key("default/tick")
}

pub(super) async fn apply(site: &Site, version: &str, schedule: &str, tasks: &str) {
    let text = format!(
        "document: {{dsl: 1.0.3, namespace: default, name: tick, version: {version}}}\nschedule: {schedule}\ndo: [{tasks}]\n"
    );
    let apply = WorkflowApply { text, dry_run: false, source: None, reason: None };
    site.0.workflows.apply(&Caller::named("ada"), &tick(), apply).await.expect("a workflow");
}

pub(super) const QUICK: &str = "{a: {set: {b: 1}}}";

/// Mutation: wait for the run before, begin the first run at once, or count from the last start.
#[tokio::test(start_paused = true)]
async fn every_and_cron_begin_runs_whether_the_one_before_has_ended_or_not() {
    for schedule in ["{every: PT10M}", "{cron: '*/10 * * * *'}"] {
        let place = Place::new();
        let site = place.open().await;
        apply(&site, "1.0.0", schedule, "{a: {wait: P1D}}").await;
        sleep(9 * MINUTE).await;
        assert!(place.begun().await.is_empty(), "{schedule}");
        sleep(32 * MINUTE).await;
        assert_eq!(place.begun().await, [10, 20, 30, 40], "{schedule}");
        let query = RunQuery { states: vec![RunState::Waiting], limit: 9, ..RunQuery::default() };
        assert_eq!(place.store.run_list(query).await.expect("reads").len(), 4, "{schedule}");
        site.stop().await;
    }
}

/// Mutation: count the delay from the begin of the run, do not listen for its end, or forget after
/// a restart whose end is waited for.
#[tokio::test(start_paused = true)]
async fn after_waits_for_the_end_of_the_run_before() {
    let place = Place::new();
    let site = place.open().await;
    apply(&site, "1.0.0", "{after: PT10M}", "{a: {wait: PT5M}}").await;
    sleep(41 * MINUTE).await;
    assert_eq!(place.begun().await, [10, 25, 40]);
    let shown = site.0.workflows.show(&tick(), None).await.expect("it is there");
    assert_eq!(shown.schedule[0].next_at, None, "its run has not ended");
    site.stop().await;
    // The run ends at 45, by the first look of a site that comes back later.
    sleep(20 * MINUTE).await;
    let site = place.open().await;
    sleep(11 * MINUTE).await;
    assert_eq!(place.begun().await, [10, 25, 40, 71]);
    site.stop().await;
}

/// Mutation: do not tell of a run's end, so that it is only found by the next look.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_run_is_heard_at_once() {
    let place = Place::new();
    let site = place.open().await;
    apply(&site, "1.0.0", "{after: PT1S}", "{a: {wait: PT2S}}").await;
    // Begun after 1, 4, 7 and 10 seconds.
    sleep(Duration::from_secs(11)).await;
    assert_eq!(place.begun().await.len(), 4);
    site.stop().await;
}

/// Mutation: take one way of `missed` for another, or forget over a restart how far it had come.
#[tokio::test(start_paused = true)]
async fn times_at_which_the_site_was_down_are_skipped_or_caught_up() {
    for (missed, expected) in
        [("skip", vec![10, 60]), ("once", vec![10, 50, 60]), ("all", vec![10, 20, 30, 40, 50, 60])]
    {
        let place = Place::new();
        let site = place.open().await;
        apply(&site, "1.0.0", &format!("{{every: PT10M, missed: {missed}}}"), QUICK).await;
        sleep(15 * MINUTE).await;
        site.stop().await;
        sleep(40 * MINUTE).await;
        let site = place.open().await;
        sleep(6 * MINUTE).await;
        assert_eq!(place.begun().await, expected, "{missed}");
        site.stop().await;
    }
}

/// Mutation: make the id of a scheduled run at random.
#[tokio::test(start_paused = true)]
async fn a_crash_between_the_run_and_its_row_begins_the_run_once() {
    let place = Place::new();
    let site = place.open().await;
    apply(&site, "1.0.0", "{every: PT10M, missed: all}", QUICK).await;
    let before = place.row().await;
    sleep(11 * MINUTE).await;
    site.stop().await;
    let after = place.row().await;
    assert_ne!(before, after);
    // As if the row had not been written.
    let owner = place.store.reopen();
    owner.commit(vec![Op::SchedulePut(before)], Preconditions::none()).await.expect("written");
    let site = place.open().await;
    sleep(MINUTE).await;
    assert_eq!(place.begun().await, [10]);
    assert_eq!(place.row().await, after, "it goes on where it was");
    site.stop().await;
}

/// Mutation: begin anew with every revision, keep the rows of a deleted workflow, or leave a trigger
/// that the document has lost.
#[tokio::test(start_paused = true)]
async fn a_schedule_is_what_the_current_revision_says() {
    let place = Place::new();
    let site = place.open().await;
    apply(&site, "1.0.0", "{every: PT10M}", QUICK).await;
    sleep(6 * MINUTE).await;
    apply(&site, "1.0.1", "{every: PT10M}", "{a: {set: {b: 2}}}").await;
    sleep(5 * MINUTE).await;
    assert_eq!(place.begun().await, [10], "an unchanged trigger keeps its beat");
    apply(&site, "1.1.0", "{cron: '15 * * * *'}", QUICK).await;
    sleep(15 * MINUTE).await;
    assert_eq!(place.begun().await, [10, 15], "the beat of before is gone");
    let shown = site.0.workflows.show(&tick(), None).await.expect("it is there");
    let [only] = &shown.schedule[..] else { panic!("{:?}", shown.schedule) };
    assert_eq!(
        (only.trigger.as_str(), only.when.as_str(), only.next_at.as_deref()),
        ("cron", "15 * * * *", Some("2027-01-15T09:15:00.000Z"))
    );
    site.0.workflows.delete(&Caller::named("ada"), &tick(), None).await.expect("deleted");
    sleep(180 * MINUTE).await;
    assert_eq!(place.begun().await, [10, 15]);
    assert_eq!(place.store.schedule_list(None, 9).await.expect("reads"), []);
    apply(&site, "1.1.0", "{cron: '15 * * * *'}", QUICK).await;
    sleep(60 * MINUTE).await;
    assert_eq!(place.begun().await, [10, 15, 255], "applied again it begins again");
    site.stop().await;
}

/// Mutation: start the runs of one time one after another by hand, or stop after a page of them.
#[tokio::test(start_paused = true)]
async fn many_schedules_of_one_time_are_all_kept() {
    let place = Place::new();
    let site = place.open().await;
    apply(&site, "1.0.0", "{cron: '30 8 * * *'}", QUICK).await;
    let row = place.row().await;
    let at = row.next_at.expect("a time");
    let revision = place.store.workflow_get(tick()).await.expect("reads").expect("it is there");
    let text = place.store.revision_get(tick(), revision.revision).await.expect("reads");
    let text = text.expect("its text");
    site.stop().await;
    let mut ops = Vec::new();
    for n in 0..1_200 {
        let key = key(&format!("default/tick-{n}"));
        ops.push(Op::RevisionPut(store::RevisionRow { key: key.clone(), ..text.clone() }));
        ops.push(Op::WorkflowPut(store::WorkflowRow { key: key.clone(), ..revision.clone() }));
        ops.push(Op::SchedulePut(ScheduleRow { key, ..row.clone() }));
    }
    let owner = place.store.reopen();
    owner.commit(ops, Preconditions::none()).await.expect("written");
    let site = place.open().await;
    sleep(31 * MINUTE).await;
    assert_eq!(place.begun().await.len(), 1_201);
    let rows = place.store.schedule_list(None, 2_000).await.expect("reads");
    assert!(rows.iter().all(|row| row.fired_at == Some(at) && row.next_at > Some(at)));
    site.stop().await;
}

/// Mutation: keep schedules without being asked to, or try an unreadable one for ever.
#[tokio::test(start_paused = true)]
async fn nothing_begins_where_schedules_are_not_kept_or_cannot_be_read() {
    let place = Place::new();
    let parts = Parts {
        store: Arc::new(place.store.reopen()),
        config: Config::default(),
        program: PathBuf::from("/nonexistent"),
        secrets: None,
        tail: None,
        membership: None,
        own_key: ApiKey::new(&SystemRandom),
        clock: place.clock.clone(),
        random: Arc::new(SystemRandom),
        store_figures: None,
        upkeep: None,
    };
    let site = Site::open(parts).await.expect("a site");
    apply(&site, "1.0.0", "{every: PT10M}", QUICK).await;
    sleep(31 * MINUTE).await;
    assert!(place.begun().await.is_empty());
    site.stop().await;

    let row = ScheduleRow { definition: b"junk".to_vec().into(), ..place.row().await };
    let owner = place.store.reopen();
    owner.commit(vec![Op::SchedulePut(row)], Preconditions::none()).await.expect("written");
    let site = place.open().await;
    sleep(MINUTE).await;
    assert_eq!(place.row().await.next_at, None, "it stands still");
    apply(&site, "1.0.1", "{every: PT10M}", "{a: {set: {b: 2}}}").await;
    sleep(11 * MINUTE).await;
    assert_eq!(place.begun().await, [42], "applied again it begins again");
    site.stop().await;
}
