//! One cap under a thousand calls at once, and a site that is killed in the midst of them.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::support::http::{Door, Reply, ask};
use crate::support::world::{Answer, World};
use crate::support::{HANG, Home, micros};

/// Calls at once.
const CALLS: usize = 1_000;

/// Of them, those that the upstream answers; others are under way when the site is killed.
const ANSWERED: usize = 50;

/// The bounds of so many have room at once.
const ROOM: usize = 150;

/// What one call may cost: 100 tokens of output at 10 EUR for a million; what goes in is free.
const BOUND_MICROS: u64 = 1_000;

/// And what it costs: 5 of them.
const COST_MICROS: u64 = 50;

/// The cap, which is no whole number of bounds.
const CAP_MICROS: u64 = ROOM as u64 * BOUND_MICROS + BOUND_MICROS / 2;

/// What becomes of calls, as each side sees it.
enum Seen {
    /// The upstream has it, and says nothing.
    Sent,
    /// The client has an answer of this status.
    Heard(u16),
    /// The site was gone before it said anything.
    Lost(std::io::Error),
}

fn upstream(seen: Sender<Seen>) -> World {
    let asked = AtomicUsize::new(0);
    World::new(move |_| {
        if asked.fetch_add(1, Ordering::SeqCst) >= ANSWERED {
            // Whoever looks may have gone.
            let _ = seen.send(Seen::Sent);
            return Answer::Silence;
        }
        let message = json!({"role": "assistant", "content": "Hello."});
        let usage = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15});
        let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
        Answer::Json(json!({"choices": [choice], "usage": usage}).to_string())
    })
}

fn ask_one(door: &Door) -> std::io::Result<Reply> {
    let body = json!({"model": "chat", "messages": [{"role": "user", "content": "Hi"}]});
    ask(door, "POST", "/v1/chat/completions", &body)
}

/// More come at once than the system's queue of connections holds: what it turns away, asks again while the site
/// is there. The site has not heard of that one.
fn ask_all(door: &Arc<Door>, is_there: &Arc<AtomicBool>, seen: &Sender<Seen>) {
    for _ in 0..CALLS {
        let (door, seen, is_there) = (Arc::clone(door), seen.clone(), Arc::clone(is_there));
        thread::spawn(move || {
            let is_away = |reply: &std::io::Result<Reply>| matches!(reply, Err(error) if error.kind() == ErrorKind::ConnectionReset);
            let mut reply = ask_one(&door);
            while is_away(&reply) && is_there.load(Ordering::SeqCst) {
                reply = ask_one(&door);
            }
            seen.send(reply.map_or_else(Seen::Lost, |reply| Seen::Heard(reply.status)))
        });
    }
}

/// Of the one budget: spent, and held.
fn standing(home: &Home) -> (u64, u64) {
    let budgets = home.run(&["budgets", "-o", "json"]).ends_with(0).json();
    let of = |name: &str| micros(&budgets["items"][0][name]);
    (of("spent"), of("held"))
}

/// Mutation: hold back a call's bound after it was sent, forget at the start what was held, or let a call go that
/// has no room beside those under way.
#[test]
fn a_cap_holds_for_a_thousand_calls_over_the_death_of_the_site() {
    // A connection is a file on each side, and the site inherits how many there may be.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("fewer files");
    let (see, seen) = channel();
    let (home, world) = (Home::new(), upstream(see.clone()));
    home.allow(&world.url);
    let dev = home.dev();
    let url = format!("{}/v1", world.url);
    let price = ["--price-input", "0", "--price-output", "10", "--currency", "EUR"];
    let more = ["-n", "sales", "--output-tokens", "100", "--concurrency", "1000"];
    home.run(&[&["models", "add", "chat", &url][..], &price, &more].concat()).ends_with(0);
    let cap = format!("0.{CAP_MICROS:06}EUR/total");
    home.run(&["budgets", "set", "namespace/sales", &cap]).ends_with(0);
    let create = ["keys", "create", "bot", "--scope", "model", "-n", "sales"];
    let key = home.run(&create).ends_with(0).stdout.trim().to_owned();

    let door = Arc::new(Door { url: dev.url.clone(), key: Some(key) });
    let is_there = Arc::new(AtomicBool::new(true));
    ask_all(&door, &is_there, &see);
    let (mut sent, mut answered, mut refused) = (0, 0, 0);
    // Until nobody moves any more: each call is answered, refused, or under way.
    while sent + answered + refused < CALLS {
        match seen.recv_timeout(HANG).expect("in time") {
            Seen::Sent => sent += 1,
            Seen::Heard(200) => answered += 1,
            Seen::Heard(402) => refused += 1,
            Seen::Heard(status) => panic!("{status}"),
            Seen::Lost(error) => panic!("the site is there: {error}"),
        }
    }
    is_there.store(false, Ordering::SeqCst);
    dev.kill();
    assert_eq!(answered, ANSWERED);
    assert!(refused > 0, "the cap was never reached");
    assert!(sent >= ROOM - ANSWERED, "{sent} calls were under way");
    for _ in 0..sent {
        assert!(matches!(seen.recv_timeout(HANG), Ok(Seen::Lost(_))), "nobody answers any more");
    }

    // What the upstream may bill, call by call: its answers, and the bound of what nobody heard the end of.
    let may_be_billed = answered as u64 * COST_MICROS + sent as u64 * BOUND_MICROS;
    assert!(may_be_billed <= CAP_MICROS, "{may_be_billed}");
    for _ in 0..2 {
        let dev = home.dev();
        assert_eq!(standing(&home), (may_be_billed, 0));
        dev.kill();
    }
    assert_eq!(world.requests().len(), answered + sent, "more was sent than was admitted");
    home.is_whole();
}
