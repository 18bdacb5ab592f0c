//! A site that nobody hears of for a month goes on, keeps all, and comes back by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::stream::Stream;
use base::{Clock as _, Timestamp};
use bytes::Bytes;
use identity::Certificate;
use serde_json::{Value, json};
use store::{OutcomeRow, RunState};
use tempfile::TempDir;

use crate::cable::Cable;
use crate::hub::{self, AtWork};
use crate::plant::Plant;
use crate::time::{DAY, HOUR, Moved, Time};
use crate::{folder, site};

/// A hub, a site of it, and the cable between them.
struct Fleet {
    time: Time,
    clock: Arc<Moved>,
    hub: AtWork,
    cable: Cable,
    folder: TempDir,
    _hub_folder: TempDir,
}

impl Fleet {
    async fn new() -> (Self, Plant) {
        let time = Time::new();
        let (clock, hub_folder, folder) = (Moved::of(&time), folder(), folder());
        hub::init_at(hub_folder.path(), clock.as_ref());
        let hub = AtWork::start_at(hub_folder.path(), None, clock.clone()).await;
        let cable = Cable::to(hub.address).await;
        let fleet = Self { time, clock, hub, cable, folder, _hub_folder: hub_folder };
        fleet.join(false).await;
        let plant = fleet.start().await;
        plant.is_up(&fleet.time).await;
        (fleet, plant)
    }

    async fn join(&self, replace: bool) {
        let hubs = vec![self.cable.address.to_string()];
        let order = ::hub::TokenOrder { hubs, replace, ..self.hub.order("plant-1") };
        let token = self.hub.hub.token_create(order).await.expect("a token");
        let joined = site::join_at(self.folder.path(), &token, self.clock.as_ref());
        self.time.flow(joined).await.expect("joins");
    }

    async fn start(&self) -> Plant {
        Plant::start(self.folder.path(), &self.clock).await
    }

    /// When the site is silent at the hub, and since when.
    async fn is_silent(&self) -> Timestamp {
        loop {
            let shown = self.hub.shows("plant-1").await;
            if shown["state"] == "silent" {
                return Timestamp::parse(shown["since"].as_str().expect("since when"))
                    .expect("a time");
            }
        }
    }

    /// So many seconds after `began`, and no later: what was waited for meanwhile took its time.
    async fn comes(&self, began: Timestamp, seconds: i64) {
        let passed = self.clock.now().since(began).as_millis() / 1000;
        self.time.pass(seconds - i64::try_from(passed).expect("a month")).await;
    }

    fn certificate(&self) -> Certificate {
        site::certificate(self.folder.path())
    }

    /// What the hub has taken, in the order in which it came, is what the site has held, in the order in which it was made.
    async fn has_all(&self, held: &[OutcomeRow]) {
        let taken = self.time.flow(self.hub.has(held.len())).await;
        assert!(taken.iter().all(|entry| entry.stream == Stream::Outcome));
        let taken: Vec<&Bytes> = taken.iter().map(|entry| &entry.entry).collect();
        let held: Vec<&Bytes> = held.iter().map(|row| &row.outcome).collect();
        assert!(taken == held, "{} taken, {} held", taken.len(), held.len());
    }
}

/// Runs that are due, as anybody would count them: each time of each schedule.
#[derive(Debug, Default)]
struct Due {
    hours: i64,
    by_workflow: BTreeMap<&'static str, u64>,
}

impl Due {
    fn add(&mut self, workflow: &'static str, count: i64) {
        *self.by_workflow.entry(workflow).or_default() += u64::try_from(count).expect("some");
    }

    fn total(&self) -> u64 {
        self.by_workflow.values().sum()
    }

    /// So many hours later. What was missed in them is made up as each schedule says.
    fn pass(&mut self, hours: i64, is_missed: bool) {
        let before = self.hours;
        self.hours += hours;
        let since = |every: i64, first: i64| {
            let count = |at: i64| if at < first { 0 } else { (at - first) / every + 1 };
            count(self.hours) - count(before)
        };
        let (beats, mornings, woken) = (since(6, 6), since(24, 19), since(100 * 24, 20 * 24));
        self.add("all", beats);
        self.add("once", if is_missed { 1 } else { beats });
        self.add("skip", if is_missed { 0 } else { beats });
        self.add("nightly", mornings);
        // Five hours after the end of the one before.
        self.add("after", 1);
        self.add("long", woken);
    }
}

/// A month without a hub, in steps of six hours; three days of it the machine sleeps, and in the end the site
/// is started anew.
///
/// Mutation: let `all` leave out what was missed, renew only what has not ended, or date the silence from
/// the joining.
#[tokio::test]
async fn a_month_without_a_hub_costs_nothing_and_ends_by_itself() {
    let (fleet, plant) = Fleet::new().await;
    let every = |missed: &str| format!("schedule: {{every: {{hours: 6}}, missed: {missed}}}");
    plant.apply("all", "- x: {set: {y: 1}}", &every("all")).await;
    plant.apply("once", "- x: {set: {y: 1}}", &every("once")).await;
    let raise = "- x: {raise: {error: {type: 'https://serverlessworkflow.io/spec/1.0.0/errors/validation', status: 400}}}";
    plant.apply("skip", raise, &every("skip")).await;
    plant
        .apply("nightly", "- x: {set: {y: 1}}", "schedule: {cron: '0 3 * * *', missed: all}")
        .await;
    plant.apply("after", "- x: {set: {y: 1}}", "schedule: {after: {hours: 5}}").await;
    plant.apply("long", "- x: {wait: {days: 20}}", "").await;
    plant.start_run("long").await;
    let pulled = fleet.clock.now();
    fleet.cable.pull();
    let silent = fleet.is_silent().await;
    assert!(silent >= pulled, "{silent}");
    let held_by = fleet.certificate();
    let (mut due, began) = (Due::default(), fleet.clock.now());
    for _ in 0..40 {
        due.pass(6, false);
        fleet.comes(began, due.hours * HOUR).await;
        plant.has_made(&fleet.time, due.total()).await;
    }
    // Asleep for three days, and half an hour past the last beat.
    due.pass(3 * 24, true);
    fleet.comes(began, due.hours * HOUR + HOUR / 2).await;
    plant.has_made(&fleet.time, due.total()).await;
    due.pass(6, false);
    fleet.comes(began, due.hours * HOUR).await;
    plant.has_made(&fleet.time, due.total()).await;
    assert_eq!(plant.held().await.len() as u64, due.total());
    plant.stop().await;
    let plant = fleet.start().await;
    while due.hours < 30 * 24 {
        due.pass(6, false);
        fleet.comes(began, due.hours * HOUR).await;
        plant.has_made(&fleet.time, due.total()).await;
    }
    let expected = due.by_workflow.iter().map(|(name, count)| {
        let end = if *name == "skip" { RunState::Faulted } else { RunState::Completed };
        (((*name).to_owned(), end), *count)
    });
    assert_eq!(plant.begun().await, expected.collect());
    let held = plant.held().await;
    assert_eq!(held.len() as u64, due.total());
    assert_eq!(plant.line().await["waiting"], json!({ "outcome": held.len(), "receipt": 0 }));

    let now = fleet.clock.now();
    assert!(held_by.not_after.plus(base::Duration::from_secs(28 * 24 * 3600)) < now);
    assert_eq!(fleet.is_silent().await, silent, "as long as nobody has heard of it");
    assert!(now.since(silent).as_millis() / 1000 >= 30 * DAY.unsigned_abs());
    fleet.cable.plug();
    plant.is_up(&fleet.time).await;
    fleet.has_all(&held).await;
    assert!(fleet.certificate().not_after > now, "it has renewed itself");
    let shown = fleet.hub.shows("plant-1").await;
    assert_eq!(shown["state"], "online", "{shown}");
    assert_eq!(shown["taken"]["outcome"], held.len(), "{shown}");
    assert_eq!(shown["lost"], Value::Null, "{shown}");
    let since = Timestamp::parse(shown["since"].as_str().expect("since when")).expect("a time");
    assert!(since >= now, "{shown}");
    plant.line_is(&fleet.time, |line| line["waiting"]["outcome"] == 0).await;
    plant.stop().await;
    fleet.hub.stop().await;
}

/// Mutation: renew whatever has ended.
#[tokio::test]
async fn a_site_that_was_away_for_longer_is_told_how_it_comes_back_and_keeps_all() {
    let (fleet, plant) = Fleet::new().await;
    plant.apply("flow", "- x: {set: {y: 1}}", "").await;
    plant.start_run("flow").await;
    plant.has_made(&fleet.time, 1).await;
    plant.line_is(&fleet.time, |line| line["waiting"]["outcome"] == 0).await;
    let mut made = plant.held().await;
    fleet.cable.pull();
    fleet.is_silent().await;
    for away in 1..=3_u64 {
        fleet.time.pass(16 * DAY).await;
        plant.start_run("flow").await;
        plant.has_made(&fleet.time, 1 + away).await;
    }
    fleet.cable.plug();
    let is_refused =
        |line: &Value| line["why"].as_str().is_some_and(|why| why.contains("--replace"));
    let line = plant.line_is(&fleet.time, is_refused).await;
    assert_eq!(
        line["why"],
        "the hub refused: this certificate ended too long ago, or its key is not this site's any more: ask for a token with `--replace`"
    );
    assert_eq!(fleet.hub.entries().await.len(), 1);
    assert_eq!(line["waiting"]["outcome"], 3, "{line}");
    plant.start_run("flow").await;
    plant.has_made(&fleet.time, 5).await;
    // The first one was the hub's, and is forgotten here.
    made.extend(plant.held().await.into_iter().filter(|row| row.position > 1));
    plant.stop().await;
    fleet.join(true).await;
    let plant = fleet.start().await;
    plant.is_up(&fleet.time).await;
    fleet.has_all(&made).await;
    assert_eq!(fleet.hub.shows("plant-1").await["state"], "online");
    plant.stop().await;
    fleet.hub.stop().await;
}
