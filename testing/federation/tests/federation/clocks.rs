//! Clocks that jump: nobody is locked out for good by them, and nothing is good for longer.

use std::sync::Arc;

use base::Clock as _;
use hub::TokenOrder;
use identity::{JoinToken, SITE_CERTIFICATE_LIFE};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cable::Cable;
use crate::hub::{self as at_hub, AtWork};
use crate::plant::Plant;
use crate::time::{DAY, HOUR, Moved, Time};
use crate::{folder, site};

const KEYS: &str = "/api/v1/keys";
const ORDERS: &str = "/api/v1/orders";

/// A hub and a site, each with a clock of its own.
struct Fleet {
    time: Time,
    hub: AtWork,
    hub_clock: Arc<Moved>,
    hub_folder: TempDir,
    clock: Arc<Moved>,
    folder: TempDir,
    cable: Cable,
}

impl Fleet {
    async fn new() -> (Self, Plant) {
        let time = Time::new();
        let (hub_clock, clock) = (Moved::of(&time), Moved::of(&time));
        let (hub_folder, folder) = (folder(), folder());
        at_hub::init_at(hub_folder.path(), hub_clock.as_ref());
        // It was made some time ago.
        time.pass(200 * DAY).await;
        let hub = AtWork::start_at(hub_folder.path(), None, hub_clock.clone()).await;
        let cable = Cable::to(hub.address).await;
        let fleet = Self { time, hub, hub_clock, hub_folder, clock, folder, cable };
        let token = fleet.token("plant-1", false).await;
        fleet.join(&fleet.folder, &token).await.expect("joins");
        let plant = fleet.start().await;
        plant.is_up(&fleet.time).await;
        plant.apply("flow", "- x: {set: {y: 1}}", "").await;
        (fleet, plant)
    }

    /// Good for ten minutes.
    async fn token(&self, site: &str, replace: bool) -> JoinToken {
        let hubs = vec![self.cable.address.to_string()];
        let order = TokenOrder { hubs, replace, ..self.hub.order(site) };
        self.hub.hub.token_create(order).await.expect("a token")
    }

    async fn join(&self, folder: &TempDir, token: &JoinToken) -> Result<(), String> {
        let joined = site::join_at(folder.path(), token, self.clock.as_ref());
        self.time.flow(joined).await.map(drop).map_err(|error| error.to_string())
    }

    async fn start(&self) -> Plant {
        Plant::start(self.folder.path(), &self.clock).await
    }

    /// The hub is started anew, with whatever its clock says.
    async fn restart_hub(mut self) -> Self {
        let address = self.hub.address;
        self.hub.stop().await;
        let (folder, clock) = (self.hub_folder.path(), self.hub_clock.clone());
        self.hub = AtWork::start_at(folder, Some(address), clock).await;
        self
    }

    /// The line is made anew, and what the site does comes to the hub.
    async fn works(&self, plant: &Plant) {
        self.cable.pull();
        plant.line_is(&self.time, |line| line["state"] == "down").await;
        self.cable.plug();
        plant.is_up(&self.time).await;
        let before = self.hub.entries().await.len();
        plant.start_run("flow").await;
        self.time.flow(self.hub.has(before + 1)).await;
    }

    async fn stop(self, plant: Plant) {
        plant.stop().await;
        self.hub.stop().await;
    }
}

/// Of the site.
///
/// Mutation: judge a key or an order by the machine's clock alone, or the hub's certificate by a clock from
/// before the newest time that was told.
#[tokio::test]
async fn a_sites_clock_that_jumps_locks_nobody_out_and_gives_nothing_more_time() {
    let (fleet, plant) = Fleet::new().await;
    let ask = json!({ "name": "guest", "roles": { "*": "viewer" }, "ttlSeconds": 3600 });
    let key = plant.ask("POST", KEYS, &ask).await["key"].as_str().expect("a key").to_owned();
    plant.shows_itself_to(&key).await.expect("it is good");
    fleet.cable.pull();
    plant.line_is(&fleet.time, |line| line["state"] == "down").await;
    let ask = json!({
        "sites": ["plant-1"], "namespace": "default", "start": { "workflow": "flow" }, "ttlSeconds": 3600
    });
    let given = fleet.hub.ask("POST", ORDERS, &ask).await;
    fleet.time.pass(2 * HOUR).await;
    fleet.clock.falls_to_1970();
    plant.shows_itself_to(&key).await.expect_err("its hour is over");
    fleet.works(&plant).await;
    let order = format!("{ORDERS}/{}", given["items"][0]["order"].as_str().expect("an id"));
    let shown = fleet.time.flow(async {
        loop {
            let shown = fleet.hub.ask("GET", &order, &Value::Null).await;
            if shown["state"] != "open" && shown["state"] != "unknown" {
                return shown;
            }
        }
    });
    assert_eq!(shown.await["state"], "expired");
    for wrong in [-2 * HOUR, DAY, 0, -2 * HOUR] {
        fleet.clock.off_by(wrong);
        fleet.works(&plant).await;
        plant.shows_itself_to(&key).await.expect_err("it stays over");
    }
    // It knows what the hub has told, also when it is started anew.
    fleet.clock.falls_to_1970();
    plant.stop().await;
    let plant = fleet.start().await;
    fleet.works(&plant).await;
    fleet.stop(plant).await;
}

/// Of the hub, while it is at work.
///
/// Mutation: let tokens and orders go by the machine's clock, take a certificate that is still to begin,
/// have a clock of 1970 judge anybody, or a site renew what has just come.
#[tokio::test]
async fn a_hubs_clock_that_jumps_locks_no_site_out_and_gives_nothing_more_time() {
    let (fleet, plant) = Fleet::new().await;
    let other = folder();
    for wrong in [-2 * HOUR, -56 * 365 * DAY] {
        let token = fleet.token("plant-2", false).await;
        fleet.time.pass(HOUR / 4).await;
        fleet.hub_clock.off_by(wrong);
        let refused = fleet.join(&other, &token).await.expect_err("its ten minutes are over");
        assert!(refused.contains("its time is over"), "{refused}");
        fleet.works(&plant).await;
        let ask = json!({
            "sites": ["plant-1"], "namespace": "default", "start": { "workflow": "flow" }, "ttlSeconds": 60
        });
        let until = fleet.hub.ask("POST", ORDERS, &ask).await["items"][0]["until"].clone();
        let until = base::Timestamp::parse(until.as_str().expect("a time")).expect("a time");
        assert!(until > fleet.clock.now(), "the site has a minute, whatever the hub's clock says");
        fleet.hub_clock.off_by(0);
        fleet.works(&plant).await;
    }
    let token = fleet.token("plant-2", false).await;
    fleet.hub_clock.off_by(DAY);
    fleet.works(&plant).await;
    fleet.join(&other, &token).await.expect_err("cut short, and never drawn out");
    fleet.hub_clock.off_by(0);
    fleet.join(&other, &token).await.expect_err("what is over stays over");
    fleet.works(&plant).await;
    let ahead = site::certificate(fleet.folder.path()).not_after.since(fleet.clock.now());
    assert!(ahead <= SITE_CERTIFICATE_LIFE, "{ahead} is left of a certificate of a day");
    let token = fleet.token("plant-2", false).await;
    fleet.join(&other, &token).await.expect("a new one is good");
    fleet.stop(plant).await;
}

/// Of the hub, while it starts.
///
/// Mutation: show what was made at the start for a day, forget over a restart what time it has been, or order what
/// was decided of a site by its times.
#[tokio::test]
async fn a_hub_that_starts_with_a_wrong_clock_takes_its_sites_when_it_is_right() {
    let (fleet, plant) = Fleet::new().await;
    fleet.cable.pull();
    plant.line_is(&fleet.time, |line| line["state"] == "down").await;
    fleet.hub_clock.off_by(30 * DAY);
    let fleet = fleet.restart_hub().await;
    fleet.cable.plug();
    plant
        .line_is(&fleet.time, |line| {
            line["why"].as_str().is_some_and(|why| why.contains("certificate"))
        })
        .await;
    fleet.hub_clock.off_by(0);
    fleet.works(&plant).await;
    // A machine without a battery: the time that was written down is near enough.
    let fleet = fleet.restart_hub().await;
    fleet.works(&plant).await;
    fleet.hub_clock.falls_to_1970();
    let fleet = fleet.restart_hub().await;
    fleet.works(&plant).await;
    // A month ahead: whoever joins now has joined later than all that comes after.
    fleet.hub_clock.off_by(30 * DAY);
    let fleet = fleet.restart_hub().await;
    let other = folder();
    let token = fleet.token("plant-2", false).await;
    fleet.join(&other, &token).await.expect("joins");
    fleet.hub_clock.off_by(0);
    let fleet = fleet.restart_hub().await;
    let token = fleet.token("plant-2", true).await;
    fleet.join(&other, &token).await.expect("another takes its place");
    fleet.join(&folder(), &token).await.expect_err("once");
    fleet.works(&plant).await;
    fleet.stop(plant).await;
}
