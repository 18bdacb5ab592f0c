//! A hub and its sites, each on a host of its own, with a bad line between them, while both are killed:
//! every outcome is at the hub once, and in its order.
//!
//! `ISONOMY_WAN=20x5000` has twenty sites with five thousand outcomes each, `ISONOMY_WAN_SEED` another
//! history.

#[path = "../../../link/tests/link/chance.rs"]
mod chance;
#[path = "../../../link/tests/link/check.rs"]
mod check;
#[path = "../support/mod.rs"]
mod support;
mod wire;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use base::{Outcome, SiteName};
use rustix::process::Signal;
use serde_json::{Value, json};
use store::{FleetStore as _, Store as _};
use store_sqlite::SqliteStore;

use chance::Chance;
use check::{Account, Entry, check};
use support::http::ask;
use support::{Dev, Ended, HANG, Home, Process, document};
use wire::{Host, Wire};

/// Events in one request. Each begins a run, which ends.
const BATCH: u64 = 50;

/// Of so many requests, one is the last that its site gets to see in this life.
const KILLED: usize = 4;

/// How often the hub is killed while there is work; it is away for half as long as it was there.
const HUB_KILLS: u64 = 4;

/// How often somebody is killed while the last outcomes are handed over.
const LATE_KILLS: u64 = 8;

/// How much happens.
#[derive(Clone, Copy)]
struct Plan {
    sites: usize,
    outcomes: u64,
    seed: u64,
}

impl Plan {
    fn of_environment() -> Self {
        let wanted = std::env::var("ISONOMY_WAN").unwrap_or_else(|_| "3x400".to_owned());
        let (sites, outcomes) = wanted.split_once('x').expect("SITESxOUTCOMES");
        let seed = std::env::var("ISONOMY_WAN_SEED").unwrap_or_else(|_| "1".to_owned());
        Self {
            sites: sites.parse().expect("a number of sites"),
            outcomes: outcomes
                .parse::<u64>()
                .expect("a number of outcomes")
                .next_multiple_of(BATCH),
            seed: seed.parse().expect("a number"),
        }
    }
}

/// A fleet whose hosts are apart.
struct Fleet {
    home: Home,
    wire: Wire,
}

impl Fleet {
    fn start(&self, host: &Host, args: &[&str]) -> Process {
        Process::spawn_for(host.on(&self.home.command(args)), args)
    }

    fn run(&self, host: &Host, args: &[&str]) -> Ended {
        self.start(host, args).end()
    }

    fn hub(&self) -> Dev {
        let host = &self.wire.hosts[0];
        let listen = format!("{}:7473", host.address);
        let args = ["hub", "serve", "--listen", &listen, "--port", "0", "--data", "hub"];
        Dev::of(self.start(host, &args))
    }

    fn site(&self, number: usize) -> Dev {
        let args = ["site", "serve", "--port", "0", "--data", &name(number)];
        Dev::of(self.start(&self.wire.hosts[number], &args))
    }

    fn join(&self, number: usize) {
        let (hub, name) = (&self.wire.hosts[0], name(number));
        let create = ["hub", "token", "create", "--site", &name, "-o", "json", "--server", "hub"];
        let made = self.run(hub, &create).ends_with(0).json();
        let token = made["token"].as_str().expect("a token").to_owned();
        let args = ["site", "join", "-", "--data", &name];
        let command = self.wire.hosts[number].on(&self.home.command(&args));
        Process::with_stdin(command, &token).end().ends_with(0);
    }

    /// What a site does: it takes events, each of which begins a run, and is killed now and then.
    fn work(&self, number: usize, plan: Plan, done: &Sender<()>) -> (Dev, u64) {
        let host = &self.wire.hosts[number];
        host.enter();
        let mut chance = Chance::new(plan.seed.wrapping_mul(1_000) + number as u64);
        let (mut site, mut killed) = (self.site(number), 0);
        for batch in 0..plan.outcomes / BATCH {
            let event = |n: u64| {
                let id = format!("{batch}-{n}");
                json!({ "specversion": "1.0", "id": id, "source": "/wan", "type": "go" })
            };
            let events: Vec<Value> = (0..BATCH).map(event).collect();
            let sent =
                ask(&site.door(), "POST", "/api/v1/namespaces/default/events", &events.into());
            let sent = sent.expect("an answer");
            assert!(sent.status < 300, "{sent:?}");
            done.send(()).expect("somebody counts");
            if chance.once_in(KILLED) {
                site.kill();
                killed += 1;
                site = self.site(number);
            }
        }
        (site, killed)
    }

    /// All sites work, and the hub is killed meanwhile.
    fn while_there_is_work(&self, plan: Plan, mut hub: Dev) -> Lives {
        let (done, told) = channel();
        let life = plan.outcomes / BATCH * plan.sites as u64 * 2 / (HUB_KILLS * 3 + 1);
        std::thread::scope(|scope| {
            let begin = |number| {
                let done = done.clone();
                scope.spawn(move || self.work(number, plan, &done))
            };
            let working: Vec<_> = (1..=plan.sites).map(begin).collect();
            drop(done);
            let wait = |requests: u64| (0..requests).all(|_| told.recv().is_ok());
            let mut hub_killed = 0;
            while wait(life) {
                hub.kill();
                hub_killed += 1;
                wait(life / 2);
                hub = self.hub();
            }
            let worked = working.into_iter().map(|site| site.join().expect("it works"));
            let (sites, killed): (Vec<_>, Vec<_>) = worked.unzip();
            Lives { hub, sites, hub_killed, sites_killed: killed.into_iter().sum() }
        })
    }

    /// Until the hub has all, and somebody is killed each time that it has some more.
    fn until_all_is_taken(&self, plan: Plan, lives: &mut Lives) {
        let all = plan.outcomes * plan.sites as u64;
        let mut chance = Chance::new(plan.seed);
        let (mut last, mut moved) = (0, Instant::now());
        while last < all {
            let taken = self.taken();
            assert!(moved.elapsed() < HANG, "the hub has {taken} of {all}");
            if taken == last {
                continue;
            }
            moved = Instant::now();
            if taken * LATE_KILLS / all > last * LATE_KILLS / all {
                match chance.below(plan.sites + 2) {
                    number @ 1.. if number <= plan.sites => {
                        replace(&mut lives.sites[number - 1], || self.site(number));
                        lives.sites_killed += 1;
                    }
                    _ => {
                        replace(&mut lives.hub, || self.hub());
                        lives.hub_killed += 1;
                    }
                }
            }
            last = taken;
        }
    }

    /// How many outcomes the hub has of all sites.
    fn taken(&self) -> u64 {
        let hub = &self.wire.hosts[0];
        let shown = self.run(hub, &["sites", "list", "-o", "json", "--server", "hub"]);
        let items = shown.ends_with(0).json()["items"].clone();
        let taken = |it: &Value| it["taken"]["outcome"].as_u64().unwrap_or(0);
        items.as_array().expect("a list").iter().map(taken).sum()
    }
}

/// Whoever is at work, and how often somebody was killed before.
struct Lives {
    hub: Dev,
    sites: Vec<Dev>,
    hub_killed: u64,
    sites_killed: u64,
}

/// Killed first: of two on one folder the second does not start.
fn replace(dev: &mut Dev, start: impl FnOnce() -> Dev) {
    dev.process.signal(Signal::KILL);
    dev.process.wait();
    *dev = start();
}

fn name(number: usize) -> String {
    format!("site-{number:02}")
}

fn entry(bytes: &[u8]) -> Entry {
    let outcome = Outcome::decode(bytes).expect("an outcome");
    (format!("{}/{}", outcome.run, outcome.number), bytes.to_vec())
}

/// What each site has made, and what the hub has of it, as it lies on their disks.
fn accounts(home: &Home, plan: Plan) -> Vec<Account> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let open = |data: &str| SqliteStore::look(&home.path(data)).expect("a store");
    runtime.block_on(async {
        let entries = open("hub").entry_list(0, u32::MAX).await.expect("readable");
        let mut accounts = Vec::new();
        for number in 1..=plan.sites {
            let site = SiteName::parse(&name(number)).expect("a name");
            let made = open(site.as_str()).outcome_list(0, u32::MAX).await.expect("readable");
            let of_site = entries.iter().filter(|row| row.site == site);
            accounts.push(Account {
                site: site.to_string(),
                made: made.iter().map(|row| entry(&row.outcome)).collect(),
                taken: of_site.map(|row| entry(&row.entry)).collect(),
            });
        }
        accounts
    })
}

/// Mutation: have the hub write down all but the first entry of a frame, or the last of them first.
#[test]
fn every_outcome_of_sites_that_are_killed_and_cut_off_arrives_once() {
    if let Some(why) = wire::is_missing() {
        eprintln!("skipped: {why}");
        return;
    }
    let (plan, began) = (Plan::of_environment(), Instant::now());
    let fleet = Fleet { home: Home::new(), wire: Wire::new(plan.sites, plan.seed) };
    let text = document("go", "  - x: { set: { y: 1 } }\n");
    let text = text.replace("do:\n", "schedule: { on: { one: { with: { type: go } } } }\ndo:\n");
    fleet.home.write("go.yaml", &text);
    fleet
        .run(&fleet.wire.hosts[0], &["hub", "init", "--domain", "acme", "--data", "hub"])
        .ends_with(0);
    let hub = fleet.hub();
    for number in 1..=plan.sites {
        fleet.join(number);
        let site = fleet.site(number);
        let apply = ["apply", "--yes", "-f", "go.yaml", "--server", &name(number)];
        fleet.run(&fleet.wire.hosts[number], &apply).ends_with(0);
        site.kill();
    }
    fleet.wire.set_bad(true);
    let mut lives = fleet.while_there_is_work(plan, hub);
    fleet.until_all_is_taken(plan, &mut lives);
    let seconds = began.elapsed().as_secs();
    for site in lives.sites {
        site.stop().ends_with(0);
    }
    lives.hub.stop().ends_with(0);
    let accounts = accounts(&fleet.home, plan);
    let found: Vec<String> = accounts.iter().flat_map(check).collect();
    let shown = &found[..found.len().min(20)];
    assert!(found.is_empty(), "seed {}: {} wrong, such as {shown:#?}", plan.seed, found.len());
    let made: usize = accounts.iter().map(|account| account.made.len()).sum();
    assert_eq!(made as u64, plan.outcomes * plan.sites as u64);
    let seen = &fleet.wire.seen;
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (lost, cuts, killed, hub_killed) =
        (of(&seen.lost), of(&seen.cuts), lives.sites_killed, lives.hub_killed);
    assert!(lost > 0 && cuts > 0 && killed > 0 && hub_killed > 0, "too little happened");
    println!(
        "{made} outcomes of {} sites in {seconds} s: 0 lost, 0 doubled, in order; {} packets, {lost} lost, \
         {cuts} cuts, sites were killed {killed} times and the hub {hub_killed}",
        plan.sites,
        of(&seen.packets)
    );
}
