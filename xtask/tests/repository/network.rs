//! One door: outgoing connections and names are in `gateway` only; only hub and site listen.
//!
//! Two nets, since each has holes: words in the code, and direct dependencies on crates that open
//! sockets. Test code may play the other side of a connection where the list says so.

use xtask::metadata::Metadata;
use xtask::source::{self, Source};

use crate::none;

/// Words that go out, or look a name up.
const OUTGOING: [&str; 18] = [
    "TcpStream::connect",
    "UnixStream::connect",
    "TcpSocket",
    "UdpSocket",
    "UnixDatagram",
    "ToSocketAddrs",
    "to_socket_addrs",
    "lookup_host",
    "getaddrinfo",
    "reqwest",
    "rustls",
    "socket2",
    "hyper::client",
    "client::conn",
    "hyper_util::client",
    "libc::socket",
    "libc::connect",
    "rustix::net",
];

/// Words that whoever listens needs too, for what was accepted.
const STREAMS: [&str; 2] = ["TcpStream", "UnixStream"];

const LISTENING: [&str; 3] = ["TcpListener", "UnixListener", "axum::serve"];

/// A place that may use the words, and why.
type Place = (&'static str, &'static str);

const MAY_CONNECT: &[Place] = &[
    ("crates/gateway/src/", "the one door"),
    ("crates/identity/src/", "what each end of TLS asks of the other; opens nothing"),
    ("crates/hub/src/door.rs", "the inner end of TLS, for sites that have come"),
    ("crates/sandbox/src/jail/door.rs", "hands out the inner end of a sandbox's door"),
    ("crates/sandbox/src/jail/probe.rs", "tries from inside whether there is a way out"),
];

const MAY_LISTEN: &[Place] = &[
    ("crates/server/src/serve.rs", "the APIs of hub and site"),
    ("crates/site/src/site.rs", "hands the listener of its API on"),
    ("crates/hub/src/lib.rs", "hands the listener of its API on"),
    ("crates/hub/src/door.rs", "where sites come"),
    ("crates/cli/src/serve/", "binds the addresses of the site or hub that it starts"),
    (
        "crates/sandbox/src/jail/",
        "the inner end of a sandbox's door, and the pair that holds its life",
    ),
    ("crates/gateway/src/door.rs", "the outer end of a sandbox's door"),
    ("crates/cli/src/demo/", "plays the clinic's referral service, outside of the site"),
];

/// Tests that talk to the room over a real socket, from the other side.
const TESTS: &[Place] = &[
    ("crates/gateway/", "servers that misbehave"),
    ("crates/worker/", "servers that misbehave"),
    ("crates/site/", "clients that misbehave"),
    ("crates/identity/", "both ends of a handshake, in memory"),
    ("crates/hub/", "sites, and others who come to the door"),
    ("crates/cli/", "counting servers that survive a crash"),
    ("crates/sandbox/", "foreign code that tries to get out"),
    ("testing/federation/", "the cable between hub and site, and whoever asks their APIs"),
];

/// Tools outside of the product.
const TOOLS: &[Place] = &[
    ("xtask/src/bench/", "the load generator is a client of the site"),
    ("testing/gateway/", "what stands around a gateway that is measured"),
];

fn is_in(source: &Source, places: &[Place]) -> bool {
    let path = source.path.to_string_lossy().replace('\\', "/");
    places.iter().any(|(start, _)| path.starts_with(start))
}

fn offences(sources: &[Source], words: &[&str], places: &[Place]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|it| !is_in(it, places) && !is_in(it, TOOLS)) {
        for word in words {
            for line in source.lines_with(word) {
                if !(source.is_test(line) && is_in(source, TESTS)) {
                    found.push(format!("{}:{line}: `{word}`", source.path.display()));
                }
            }
        }
    }
    found
}

/// Mutation: `use std::net::TcpStream;` in any file of `worker/src`.
#[test]
fn nothing_but_the_gateway_can_connect_or_look_a_name_up() {
    none(
        &offences(&source::all(), &OUTGOING, MAY_CONNECT),
        "ask the gate for the connection (`gateway::Gate`, `gateway::operator`)",
    );
}

/// Mutation: `use tokio::net::TcpListener;` in `engine`.
#[test]
fn nothing_but_the_site_listens_or_holds_a_stream() {
    let sources = source::all();
    none(&offences(&sources, &LISTENING, MAY_LISTEN), "only a site listens");
    let both = [MAY_CONNECT, MAY_LISTEN].concat();
    none(&offences(&sources, &STREAMS, &both), "what is connected comes from the gate");
}

/// Mutation: let `offences` look past the own tests of any room, or past comments.
#[test]
fn a_forbidden_word_is_found_in_code_and_in_the_wrong_tests() {
    let parse = |path: &str, text: &str| Source::parse(path.as_ref(), text.to_owned());
    let own_test = "// TcpStream\n#[cfg(test)]\nmod tests {\n use std::net::TcpStream;\n}\n";
    let sources = [
        parse("crates/engine/src/a.rs", own_test),
        parse("crates/worker/src/a.rs", own_test),
        parse("crates/worker/src/b.rs", "fn f() { reqwest::get(\"TcpStream\") }"),
        parse("crates/gateway/src/b.rs", "use reqwest::Client;"),
    ];
    let words = ["TcpStream", "reqwest"];
    assert_eq!(
        offences(&sources, &words, MAY_CONNECT),
        ["crates/engine/src/a.rs:4: `TcpStream`", "crates/worker/src/b.rs:1: `reqwest`"]
    );
}

/// Crates that open sockets, and the rooms that may name them. `tokio` is not here: its `net` is
/// found by the words.
const CRATES: [(&str, &[&str]); 17] = [
    ("reqwest", &["gateway"]),
    ("rustls", &["gateway", "identity", "hub"]),
    // In `cli` these serve the demo's referral service; their clients are found by the words.
    // `model-bench` is no part of the product.
    ("hyper", &["gateway", "server", "hub", "cli", "model-bench"]),
    ("hyper-util", &["gateway", "server", "hub", "cli", "model-bench"]),
    ("axum", &["server", "site", "hub", "cli"]),
    ("socket2", &[]),
    ("mio", &[]),
    ("h2", &[]),
    ("ureq", &[]),
    ("curl", &[]),
    ("isahc", &[]),
    ("tonic", &[]),
    ("hickory-resolver", &[]),
    // Over streams that the hub's door has accepted and the gate has dialled.
    ("tokio-tungstenite", &["hub", "site"]),
    ("tungstenite", &[]),
    // The gate dials the hub with it, and the hub's door takes it. In `cli` tests play whoever has stolen
    // a site's key, or listen between the two; other clients there are found by the words.
    ("tokio-rustls", &["gateway", "server", "hub", "cli"]),
    ("async-std", &[]),
];

/// Mutation: add `reqwest.workspace = true` to `worker`, as a dependency of its tests even.
#[test]
fn crates_that_open_sockets_are_named_only_where_they_may_be_used() {
    let metadata = Metadata::read().expect("the workspace can be read");
    let mut found = Vec::new();
    for package in metadata.ours() {
        let room = package.name.strip_prefix("isonomy-").unwrap_or(&package.name);
        for (asked, kind) in &package.asks {
            let rooms = CRATES.iter().find(|row| row.0 == asked).map(|row| row.1);
            if rooms.is_some_and(|rooms| !rooms.contains(&room)) {
                found.push(format!("`{room}` names `{asked}` ({kind:?})"));
            }
        }
    }
    none(&found, "ask the gate for the connection (`gateway::Gate`, `gateway::operator`)");
}
