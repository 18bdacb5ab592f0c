//! The hub's authority is replaced while everything goes on: real processes, real TLS.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use base::{Clock as _, Duration, SiteName, SystemClock, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use identity::{Authority, Domain, Key, PublicKey, Root};
use serde_json::{Value, json};

use crate::support::http::ask;
use crate::support::parties::{hub, join, serve, token, until};
use crate::support::{Dev, HANG, Home, document};

const DAY: u64 = 24 * 3600;

fn is_online(shown: &Value) -> bool {
    shown["state"] == "online"
}

/// Takes the root's key away, as `hub init` asks for.
fn put_away(home: &Home) {
    let key = home.path(".isonomy-hub").join("root").join("root.key");
    fs::rename(key, home.path("safe.key")).expect("it lies there");
}

fn identity(home: &Home, name: &str) -> std::path::PathBuf {
    home.path(".isonomy-hub/identity").join(name)
}

/// The authority that the hub has now, as a thief would have it.
fn authority(home: &Home) -> Authority {
    let read = |name: &str| fs::read_to_string(identity(home, name)).expect("it is there");
    let key = Key::from_pem(&read("authority.key")).expect("a key");
    let domain = Domain::parse("acme").expect("a name");
    Authority::read(domain, &read("authority.crt"), key, &read("root.crt")).expect("an authority")
}

/// As if the site had been away since its certificate ended, so many days ago.
fn away(data: &Path, site: &str, authority: &Authority, days: u64) {
    let path = data.join("identity/membership.json");
    let mut doc: Value =
        serde_json::from_str(&fs::read_to_string(&path).expect("joined")).expect("JSON");
    let key = Key::from_pem(doc["key"].as_str().expect("text")).expect("a key");
    let ago = Duration::from_secs((days + 1) * DAY);
    let then = SystemClock.now().as_millis() - i64::try_from(ago.as_millis()).expect("it fits");
    let site = SiteName::parse(site).expect("a name");
    let then = Timestamp::from_millis(then);
    let old = authority.site(&site, &key.public(), then).expect("a certificate");
    doc["certificate"] = STANDARD.encode(old).into();
    doc["seen_at"] = then.to_string().into();
    fs::write(path, doc.to_string()).expect("written");
}

fn items(home: &Home) -> Vec<Value> {
    let shown = home.run(&["hub", "authority", "-o", "json"]).ends_with(0).json();
    shown["items"].as_array().expect("a list").clone()
}

fn rotate(home: &Home) -> [&'static str; 6] {
    assert!(home.path("safe.key").is_file());
    ["hub", "authority", "rotate", "--root-key", "safe.key", "--yes"]
}

/// At the address where its sites look for it.
fn again(home: &Home, data: &str) -> Dev {
    let text = fs::read_to_string(home.path(data).join("identity/membership.json"));
    let doc: Value = serde_json::from_str(&text.expect("joined")).expect("JSON");
    let address = doc["hubs"][0].as_str().expect("an address");
    Dev::of(home.start(&["hub", "serve", "--listen", address, "--port", "0"]))
}

/// Mutation: forget the one before at once or at the next start, let it count for no longer than a site's
/// certificate, leave its key where it was, cut the lines, sign on with it, or replace it twice.
#[test]
fn another_authority_signs_and_no_site_notices() {
    let home = Home::new();
    let governing = hub(&home);
    put_away(&home);
    for site in ["clinic-1", "clinic-2", "clinic-3", "clinic-4", "clinic-5"] {
        join(&home, site, &[]);
    }
    let up = ["clinic-1", "clinic-2"].map(|site| serve(&home, site));
    let since = ["clinic-1", "clinic-2"].map(|site| until(&home, site, is_online)["since"].clone());
    let file = home.write("a.yaml", &document("a", "  - x: { set: { y: 1 } }\n"));
    for site in &up {
        let file = file.to_str().expect("text");
        home.run(&["apply", "-f", file, "--yes", "--server", site.data()]).ends_with(0);
    }
    let before = authority(&home);
    let first = items(&home);
    assert_eq!((first.len(), &first[0]["state"]), (1, &Value::from("signs")));

    let foreign = home.path("foreign.key");
    fs::write(&foreign, Key::generate().expect("a key").to_pem()).expect("written");
    let foreign = foreign.to_str().expect("text");
    let wrong = ["hub", "authority", "rotate", "--yes", "--root-key"];
    let refused = home.run(&[&wrong[..], &[foreign]].concat()).ends_with(2);
    assert!(refused.stderr.contains("not the key of this fleet's root"), "{}", refused.stderr);
    home.run(&[&wrong[..], &["nowhere.key"]].concat()).ends_with(2);
    let unasked = home.run(&rotate(&home)[..5]).ends_with(2);
    assert!(unasked.stderr.contains("--yes"), "{}", unasked.stderr);

    // Orders are given and answered all the while.
    let is_over = AtomicBool::new(false);
    let given = std::thread::scope(|scope| {
        let orders = scope.spawn(|| {
            let mut given = 0;
            loop {
                let is_last = is_over.load(Ordering::SeqCst);
                home.run(&["run", "a", "--site", "clinic-1", "--site", "clinic-2"]).ends_with(0);
                given += 1;
                if is_last {
                    return given;
                }
            }
        });
        let rotated = home.run(&rotate(&home)).ends_with(0);
        assert!(rotated.stderr.contains("make a new backup"), "{}", rotated.stderr);
        is_over.store(true, Ordering::SeqCst);
        orders.join().expect("all were answered")
    });
    let now = items(&home);
    assert_eq!((&now[0]["state"], &now[1]["state"]), (&"signs".into(), &"former".into()));
    assert_eq!((now.len(), &now[1]["key"]), (2, &first[0]["key"]));
    let counts_until = Timestamp::parse(now[1]["until"].as_str().expect("text")).expect("a time");
    // A day that the last certificate is good for, and the grace.
    let least = SystemClock.now().plus(Duration::from_secs(46 * DAY));
    assert!(counts_until > least, "{counts_until}");
    for name in ["authority.key", "authority.crt"] {
        assert!(!identity(&home, name).exists(), "{name}");
    }
    let second = home.run(&rotate(&home)).ends_with(2);
    assert!(second.stderr.contains("FLT-008"), "{}", second.stderr);
    assert!(second.stderr.contains("isonomy hub authority forget"), "{}", second.stderr);
    for (site, since) in ["clinic-1", "clinic-2"].into_iter().zip(since) {
        let shown = until(&home, site, |shown| shown["taken"]["outcome"] == given);
        assert_eq!((&shown["state"], &shown["since"]), (&"online".into(), &since), "{shown}");
    }

    // Somebody was away for forty days, somebody for too long.
    away(&home.path("clinic-3"), "clinic-3", &before, 40);
    away(&home.path("clinic-4"), "clinic-4", &before, 46);
    let third = serve(&home, "clinic-3");
    until(&home, "clinic-3", is_online);
    third.stop().ends_with(0);
    let fourth = serve(&home, "clinic-4");
    let shown = until(&home, "clinic-4", |shown| shown["turnedAway"] != Value::Null);
    let why = shown["turnedAway"]["why"].as_str().expect("text");
    assert!(why.contains("ended too long ago") && shown["state"] == "silent", "{shown}");
    fourth.stop().ends_with(0);

    // The next start finds the same, and knows both.
    governing.stop().ends_with(0);
    let mut governing = again(&home, "clinic-1");
    assert_eq!(items(&home), now);
    for site in ["clinic-1", "clinic-2"] {
        until(&home, site, is_online);
    }
    // What the new one has signed outlives the old one; who has not been here since does not.
    home.run(&["hub", "authority", "forget", "--yes"]).ends_with(0);
    assert_eq!(items(&home), now[..1]);
    let _third = serve(&home, "clinic-3");
    until(&home, "clinic-3", is_online);
    let fifth = serve(&home, "clinic-5");
    governing.process.stderr.until("no handshake");
    assert_eq!(until(&home, "clinic-5", |_| true)["state"], "silent");
    fifth.stop().ends_with(0);
    let anew = token(&home, &["--site", "clinic-5", "--replace"]);
    home.run_with_stdin(&["site", "join", "-", "--data", "clinic-5"], &anew).ends_with(0);
    let _fifth = serve(&home, "clinic-5");
    until(&home, "clinic-5", is_online);
    // Nothing overlaps any more.
    home.run(&rotate(&home)).ends_with(0);
}

/// When the hub is killed, as far as its folder shows it.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Drafted,
    Written,
    Removed,
}

/// Mutation: remove the old one before the new one is written, take up one that was left behind, or take a
/// certificate for a key that is gone.
#[test]
fn a_hub_that_is_killed_meanwhile_has_the_old_one_or_the_new_one() {
    for moment in [Moment::Drafted, Moment::Written, Moment::Removed] {
        let home = Home::new();
        let governing = hub(&home);
        put_away(&home);
        join(&home, "clinic-1", &[]);
        let site = serve(&home, "clinic-1");
        until(&home, "clinic-1", is_online);
        let old = ["authority.key", "authority.crt"]
            .map(|name| (name, fs::read(identity(&home, name)).expect("it is there")));
        let before = items(&home);

        // A key that was asked for is gone with the hub that has made it.
        let empty = json!({});
        let next =
            ask(&governing.door(), "POST", "/api/v1/authority/next", &empty).expect("answers");
        assert_eq!(next.status, 200, "{next:?}");
        let key = STANDARD.decode(next.body["key"].as_str().expect("text")).expect("base64");
        let root = fs::read_to_string(home.path("safe.key")).expect("a key");
        let certificate = fs::read_to_string(identity(&home, "root.crt")).expect("a root");
        let root = Root::read(&certificate, Key::from_pem(&root).expect("a key")).expect("a root");
        let domain = Domain::parse("acme").expect("a name");
        let key = PublicKey::from_der(&key).expect("a key");
        let certificate = root.certify(&domain, &key, SystemClock.now()).expect("signed");
        governing.kill();
        let governing = again(&home, "clinic-1");
        let body = json!({"certificate": certificate});
        let late = ask(&governing.door(), "POST", "/api/v1/authority/rotate", &body);
        let late = late.expect("answers");
        assert_eq!((late.status, &late.body["code"]), (409, &"FLT-008".into()), "{late:?}");

        let rotating = home.start(&rotate(&home));
        let began = Instant::now();
        let is_there = || match moment {
            Moment::Drafted => ["authority.json.new", "authority.json"]
                .iter()
                .any(|it| identity(&home, it).exists()),
            Moment::Written => identity(&home, "authority.json").exists(),
            Moment::Removed => !identity(&home, "authority.crt").exists(),
        };
        while !is_there() {
            assert!(began.elapsed() < HANG, "{moment:?}");
            std::thread::yield_now();
        }
        governing.kill();
        // Whether it was told, is chance.
        rotating.end();
        let is_new = identity(&home, "authority.json").exists();
        if is_new {
            // As if it had been killed before it could remove them.
            for (name, bytes) in &old {
                fs::write(identity(&home, name), bytes).expect("written");
            }
        }
        let _governing = again(&home, "clinic-1");
        let now = items(&home);
        if is_new {
            assert_eq!((now.len(), &now[1]["key"]), (2, &before[0]["key"]), "{moment:?}");
            assert!(old.iter().all(|(name, _)| !identity(&home, name).exists()), "{moment:?}");
        } else {
            assert_eq!(now, before, "{moment:?}");
            home.run(&rotate(&home)).ends_with(0);
        }
        until(&home, "clinic-1", is_online);
        site.stop().ends_with(0);
        join(&home, "clinic-2", &[]);
        let _second = serve(&home, "clinic-2");
        until(&home, "clinic-2", is_online);
    }
}

/// Mutation: say nothing before the authority has ended, or say it of one that has just begun.
#[test]
fn whoever_starts_a_hub_is_told_that_its_authority_ends_soon() {
    let home = Home::new();
    let fresh = hub(&home).stop().ends_with(0);
    assert!(!fresh.stderr.contains("ends at"), "{}", fresh.stderr);
    put_away(&home);
    let read = |path: std::path::PathBuf| fs::read_to_string(path).expect("it is there");
    let root_key = Key::from_pem(&read(home.path("safe.key"))).expect("a key");
    let root = Root::read(&read(identity(&home, "root.crt")), root_key).expect("a root");
    let (domain, key) = (Domain::parse("acme").expect("a name"), Key::generate().expect("a key"));
    let made = SystemClock.now().as_millis() - 700 * i64::try_from(DAY).expect("it fits") * 1000;
    let made = Timestamp::from_millis(made);
    let certificate = root.certify(&domain, &key.public(), made).expect("signed");
    let doc = json!({
        "type": "isonomy.authority", "v": 1,
        "key": key.to_pem(), "certificate": certificate, "former": [],
    });
    fs::write(identity(&home, "authority.json"), doc.to_string()).expect("written");
    let args = ["hub", "serve", "--listen", "127.0.0.1:0", "--port", "0"];
    let mut governing = Dev::of(home.start(&args));
    let line = governing.process.stderr.until("ends at");
    assert!(line.contains("isonomy hub authority rotate"), "{line}");
    home.run(&rotate(&home)).ends_with(0);
    governing.stop().ends_with(0);
    let again = Dev::of(home.start(&args)).stop().ends_with(0);
    assert!(!again.stderr.contains("ends at"), "{}", again.stderr);
}
