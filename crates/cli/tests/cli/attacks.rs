//! Whoever means harm at the hub's door: real processes, real TLS, keys that were stolen. Each is refused
//! or survived, the log and `sites show` say it, and honest sites do not notice.

use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use identity::Key;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::parties::{hub, join, online, token, until};
use crate::support::raw::{Stolen, Tls, connect, drip, message, plain, whole};
use crate::support::{Dev, HANG, Home, document};

/// How much more memory a hub may have taken at most while it was attacked. What it is asked for is more
/// than a thousand times as much.
const GROWN_KB_MAX: u64 = 128 * 1024;

/// Addresses of this machine that stand for others.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const NEARBY: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// How a first message begins that has half a kilobyte.
const FIRST_WORD: [u8; 11] = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads")
}

fn show(home: &Home, site: &str) -> Value {
    home.run(&["sites", "show", site, "-o", "json"]).ends_with(0).json()
}

/// The most memory that the process has had.
fn peak_kb(process: &Dev) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.process.id()));
    let status = status.expect("it is there");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|it| it.parse().ok()).expect("a number")
}

/// A message that is small, and much when it is unpacked.
fn bomb() -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(vec![1], Compression::best());
    let spaces = vec![b' '; 1024 * 1024];
    for _ in 0..150 {
        encoder.write_all(&spaces).expect("memory");
    }
    encoder.finish().expect("memory")
}

/// Until the hub has closed it. It may take what it is still sent, or not.
async fn is_cut(stream: &mut Tls) {
    let mut rest = [0; 4096];
    while matches!(stream.read(&mut rest).await, Ok(read) if read > 0) {}
}

/// Mutation: unpack without a limit, take messages of any size, take what is no WebSocket for a line that
/// broke, say nothing of whom the desk has sent away, or do not show it.
#[test]
fn whoever_breaks_the_rules_of_the_line_is_cut_and_told_of() {
    let home = Home::new();
    let mut governing = hub(&home);
    join(&home, "clinic-1", &[]);
    join(&home, "clinic-2", &[]);
    let _honest = online(&home, "clinic-2");
    let since = show(&home, "clinic-2")["since"].clone();
    let (stolen, runtime) = (Stolen::of(&home.path("clinic-1")), runtime());
    let gigabyte = message(1 << 30, &[0; 64 * 1024]);
    let entries = r#"{"type":"entries","stream":"outcome","after":7,"entries":[],"digest":"b3:0"}"#;
    let ready = plain(r#"{"type":"ready","session":1}"#);
    let attacks: [(&[&[u8]], &str); 8] = [
        (&[&gigabyte], "a message of more than 262145 bytes"),
        (&[&whole(&bomb())], "a frame of more than 262144 bytes"),
        (&[&[0xff; 4096]], "no WebSocket"),
        (&[&whole(b"\x00{\"type\":\"x\"}")], "a message that is no frame"),
        (&[&whole(b"\x07")], "a message of no known kind"),
        (&[&ready], "a frame that makes no sense where it came"),
        (&[&stolen.hello(), &[0x81, 0x80, 0, 0, 0, 0]], "text, where frames are binary"),
        (&[&stolen.hello(), &plain(entries)], "a message that is no frame"),
    ];
    let before = peak_kb(&governing);
    for (n, (said, why)) in attacks.into_iter().enumerate() {
        runtime.block_on(async {
            let mut line = stolen.line().await;
            for bytes in said {
                // Whoever is cut meanwhile is cut.
                let _ = line.write_all(bytes).await;
                let _ = line.flush().await;
            }
            is_cut(&mut line).await;
        });
        let times = n as u64 + 1;
        let shown = until(&home, "clinic-1", |shown| shown["turnedAway"]["times"] == times);
        let told = shown["turnedAway"]["why"].as_str().expect("text");
        assert!(told.contains(why), "{told}, not {why}");
        let from = shown["turnedAway"]["from"].as_str().expect("text");
        assert!(from.starts_with("127.0.0.1:"), "{from}");
        let line = governing.process.stderr.until("turned away");
        assert!(line.contains("clinic-1") && line.contains(why), "{line}");
    }
    let grown = peak_kb(&governing) - before;
    assert!(grown < GROWN_KB_MAX, "{grown} kB");
    let honest = show(&home, "clinic-2");
    assert_eq!((&honest["state"], &honest["since"]), (&Value::from("online"), &since), "{honest}");
    assert_eq!(honest["turnedAway"], Value::Null);
    let text = home.run(&["sites", "show", "clinic-1"]).ends_with(0);
    assert!(text.stdout.contains("turned away  "), "{}", text.stdout);
    assert!(text.stdout.contains("; 8 since the hub was started"), "{}", text.stdout);
    // The site itself comes as if nothing had been.
    let _site = online(&home, "clinic-1");
}

/// Mutation: let whoever dawdles keep his turn, take any number from one address, or wait for a request
/// for ever.
#[test]
fn thousands_who_dawdle_hold_up_nobody() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("fewer files");
    let home = Home::new();
    let mut governing = hub(&home);
    join(&home, "clinic-1", &[]);
    let _honest = online(&home, "clinic-1");
    let since = show(&home, "clinic-1")["since"].clone();
    let (stolen, runtime) = (Stolen::of(&home.path("clinic-1")), runtime());
    let before = peak_kb(&governing);
    let mut dawdling = JoinSet::new();
    runtime.block_on(async {
        // After TLS: a head, and a body, that never end.
        for n in 0..100 {
            let mut stream = stolen.dial(ELSEWHERE, false).await.expect("a handshake");
            let body =
                "POST /identity/v1/join HTTP/1.1\r\nhost: hub\r\ncontent-length: 4000\r\n\r\n";
            if n % 2 == 0 {
                stream.write_all(body.as_bytes()).await.expect("it listens");
            }
            dawdling.spawn(drip(stream, b"P"));
        }
        // Before: the beginning of a long first message, and more of them than may be there.
        for _ in 0..4_200 {
            let stream = connect(stolen.hub, ELSEWHERE).await.expect("it listens");
            dawdling.spawn(drip(stream, &FIRST_WORD));
        }
    });
    // Somebody joins meanwhile, and comes.
    join(&home, "clinic-2", &[]);
    let _second = online(&home, "clinic-2");
    let all_are_gone = async { while dawdling.join_next().await.is_some() {} };
    let all_are_gone = runtime.block_on(async { timeout(HANG, all_are_gone).await });
    all_are_gone.expect("the hub waits for nobody for so long");
    for site in ["clinic-1", "clinic-2"] {
        assert_eq!(show(&home, site)["state"], "online");
    }
    assert_eq!(show(&home, "clinic-1")["since"], since);
    let grown = peak_kb(&governing) - before;
    assert!(grown < GROWN_KB_MAX, "{grown} kB");
    let mut whys = vec![
        "too many connections from there at once",
        "nothing whole was said in time",
        "no whole request in time",
    ];
    while !whys.is_empty() {
        let line = governing.process.stderr.until("a connection was turned away");
        assert!(line.contains("127.0.0.2:"), "{line}");
        whys.retain(|why| !line.contains(why));
    }
}

/// Mutation: let any number of attempts fail, count good ones, let one address pay for another, or keep
/// out a good token since somebody nearby has failed.
#[test]
fn whoever_fails_to_join_again_and_again_has_to_wait_and_his_neighbours_do_not() {
    let home = Home::new();
    let mut governing = hub(&home);
    join(&home, "clinic-1", &[]);
    let rows: String = (1..=61).map(|n| format!("plant-{n}\n")).collect();
    home.write("sites.csv", &format!("site\n{rows}"));
    let made = home.run(&["hub", "token", "create", "--from", "sites.csv", "-o", "json"]);
    let made = made.ends_with(0);
    let tokens =
        made.stdout.lines().map(|line| -> Value { serde_json::from_str(line).expect("JSON") });
    let tokens: Vec<String> =
        tokens.map(|made| made["token"].as_str().expect("a token").to_owned()).collect();
    let (stolen, runtime) = (Stolen::of(&home.path("clinic-1")), runtime());
    let ask = |secret: &str| {
        let key = Key::generate().expect("a key").public();
        json!({
            "secret": secret,
            "key": STANDARD.encode(key.as_der()),
            "joined": "inc_01900000-0000-7000-8000-000000000001",
        })
    };
    let join_as = |from, secret: &str| {
        runtime.block_on(stolen.post(from, false, "/identity/v1/join", &ask(secret)))
    };
    let secret =
        |token: &str| identity::JoinToken::parse(token).expect("a token").secret().to_owned();
    // Many more from one address than may fail there.
    for token in &tokens[..60] {
        assert_eq!(join_as(NEARBY, &secret(token)).status, 200);
    }
    // One of them a second time, by somebody else.
    let replayed = secret(&tokens[0]);
    let answer = join_as(NEARBY, &replayed);
    assert_eq!(answer.status, 403, "{answer:?}");
    let shown = show(&home, "plant-1");
    let why = shown["turnedAway"]["why"].as_str().expect("text");
    assert!(why.contains("this token is not good here"), "{shown}");
    let line = governing.process.stderr.until("turned away");
    assert!(line.contains("plant-1") && !line.contains(&replayed), "{line}");
    let mut failed = 1;
    let answer = loop {
        let answer = join_as(NEARBY, "never given");
        if answer.status != 403 {
            break answer;
        }
        failed += 1;
        assert!(failed < 100, "{answer:?}");
    };
    assert!(failed >= 30, "{failed}");
    assert_eq!(answer.status, 429, "{answer:?}");
    assert!(answer.head.to_ascii_lowercase().contains("\r\nretry-after: "), "{}", answer.head);
    governing.process.stderr.until("too many attempts from here have failed");
    assert_eq!(join_as(ELSEWHERE, "never given").status, 403);
    let join = ["site", "join", "-", "--data", "plant"];
    let refused = home.run_with_stdin(&join, &tokens[1]).ends_with(6);
    assert!(refused.stderr.contains("can be tried again in "), "{}", refused.stderr);
    // Whoever has a good one is let in all the same.
    home.run_with_stdin(&join, &tokens[60]).ends_with(0);
}

/// As whoever can read the disk of one that is stopped does it.
fn copy(home: &Home, from: &str, to: &str) {
    let copied = Command::new("cp").arg("-r").arg(home.path(from)).arg(home.path(to)).status();
    assert!(copied.expect("it is there").success());
}

/// Which signs of a copy there are, is tried in `link`.
///
/// Mutation: say nothing of a copy that was sent away.
#[test]
fn two_clones_of_a_site_are_held_off_until_somebody_has_decided() {
    let home = Home::new();
    let file = home.write("a.yaml", &document("a", "  - x: { set: { y: 1 } }\n"));
    let mut governing = hub(&home);
    join(&home, "clinic-1", &[]);
    online(&home, "clinic-1").stop().ends_with(0);
    copy(&home, "clinic-1", "clone");
    let site = online(&home, "clinic-1");
    let run = ["run", file.to_str().expect("text"), "--server", site.data()];
    home.run(&run).ends_with(0);
    until(&home, "clinic-1", |shown| shown["taken"]["outcome"] == 1);
    let clone = Dev::of(home.start(&["site", "serve", "--port", "0", "--data", "clone"]));
    let shown = until(&home, "clinic-1", |shown| {
        shown["state"] == "quarantined" && shown["turnedAway"] != Value::Null
    });
    let trouble = shown["trouble"].as_str().expect("text");
    assert!(trouble.contains("two copies") && trouble.contains("--replace"), "{shown}");
    let why = shown["turnedAway"]["why"].as_str().expect("text");
    assert!(why.contains("in quarantine"), "{shown}");
    let line = governing.process.stderr.until("turned away");
    assert!(line.contains("clinic-1") && line.contains("in quarantine"), "{line}");
    clone.stop().ends_with(0);
    site.stop().ends_with(0);
    let token = token(&home, &["--site", "clinic-1", "--replace"]);
    home.run_with_stdin(&["site", "join", "-", "--data", "clinic-1"], &token).ends_with(0);
    let _site = online(&home, "clinic-1");
    // The other one is nobody now.
    let _clone = Dev::of(home.start(&["site", "serve", "--port", "0", "--data", "clone"]));
    let shown = until(&home, "clinic-1", |shown| {
        shown["turnedAway"]["why"]
            .as_str()
            .is_some_and(|why| why.contains("not this site's any more"))
    });
    assert_eq!(shown["state"], "online", "{shown}");
}

/// Mutation: have a site take any hub below its root, or say nothing of a site that refuses its hub.
#[test]
fn of_two_hubs_of_one_name_a_site_takes_the_later_one_and_both_say_so() {
    let home = Home::new();
    let governing = hub(&home);
    join(&home, "clinic-1", &[]);
    let site = online(&home, "clinic-1");
    home.run(&["hub", "backup", "yesterday.backup"]).ends_with(0);
    let address = Stolen::of(&home.path("clinic-1")).hub.to_string();
    governing.stop().ends_with(0);
    home.run(&["hub", "restore", "yesterday.backup", "--data", "later"]).ends_with(0);
    let at = |data: &str| {
        let args = ["hub", "serve", "--data", data, "--listen", &address, "--port", "0"];
        Dev::of(home.start(&args))
    };
    let show_at = |data: &str| {
        let args = ["sites", "show", "clinic-1", "-o", "json", "--server", data];
        home.run(&args).ends_with(0).json()
    };
    let until_at = |data: &str, is_so: &dyn Fn(&Value) -> bool| {
        let began = std::time::Instant::now();
        loop {
            let shown = show_at(data);
            if is_so(&shown) {
                return shown;
            }
            assert!(began.elapsed() < HANG, "{shown}");
        }
    };
    let later = at("later");
    until_at("later", &|shown| shown["state"] == "online");
    later.stop().ends_with(0);
    // The one that was stolen, or that nobody has switched off.
    let mut old = at(".isonomy-hub");
    let shown = until_at(".isonomy-hub", &|shown| shown["turnedAway"] != Value::Null);
    let why = shown["turnedAway"]["why"].as_str().expect("text");
    assert!(why.contains("refuses this hub") && shown["state"] == "silent", "{shown}");
    let line = old.process.stderr.until("turned away");
    assert!(line.contains("clinic-1") && line.contains("refuses this hub"), "{line}");
    let status = home.run(&["site", "status", "-o", "json", "--server", site.data()]);
    let status = status.ends_with(0).json();
    assert_eq!(status["hub"]["state"], "down", "{status}");
    assert!(
        status["hub"]["why"]
            .as_str()
            .is_some_and(|why| why.contains("brought back from a backup later")),
        "{status}"
    );
    old.stop().ends_with(0);
    let _later = at("later");
    until_at("later", &|shown| shown["state"] == "online");
}
