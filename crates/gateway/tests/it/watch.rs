//! Calls that pass through a watch, over real sockets, whatever becomes of what is written down.

use std::sync::{Arc, Mutex};

use base::{Namespace, SystemClock, SystemRandom};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use isonomy_gateway::desk::{NotWritten, Record, Ticket};
use isonomy_gateway::watch::WatchesParts;
use isonomy_gateway::{EgressMap, Gate, Limits, Watches};
use models::{Alarm, End, Entry, ModelName};
use pricing::Catalogue;

use crate::gate::allow;
use crate::server::{Reply, Server, reply};

/// What becomes of what is to be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Kept,
    Refused,
    Panics,
}

struct Book {
    how: How,
    entries: Mutex<Vec<Entry>>,
}

impl Record for Book {
    fn write(&self, entry: Entry) -> Result<Ticket, NotWritten> {
        match self.how {
            How::Kept => {
                self.entries.lock().expect("no test panicked").push(entry);
                Ok(Ticket::done())
            }
            How::Refused => Err(NotWritten),
            How::Panics => panic!("a fault of the book"),
        }
    }

    fn alarm(&self, _: &Namespace, _: &[Alarm]) {}
}

fn watches(server: &Server, book: &Arc<Book>) -> Watches {
    let rules = EgressMap::parse(vec![allow(&server.address())]).expect("a rule");
    let watches = Watches::new(WatchesParts {
        gate: Arc::new(Gate::new(rules, Limits::default())),
        record: Arc::clone(book) as Arc<dyn Record>,
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        catalogue: Arc::new(Catalogue::shipped().expect("the shipped prices")),
        digest_key: b"of the site".to_vec(),
    });
    let spec = serde_json::json!({"url": format!("{}/v1", server.address())});
    let spec = serde_json::from_value(spec).expect("a watch");
    let namespace = Namespace::parse("sales").expect("a name");
    watches.put([(namespace, ModelName::parse("up").expect("a name"), spec)]);
    watches
}

fn question() -> Request<Full<Bytes>> {
    let body = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}]}"#;
    let request = Request::post("/watch/sales/up/chat/completions");
    request.body(Full::new(Bytes::from_static(body.as_bytes()))).expect("a request")
}

async fn ask(watches: &Watches) -> (StatusCode, Bytes) {
    let answer = watches.pass(question()).await;
    (answer.status(), answer.into_body().collect().await.expect("whole").to_bytes())
}

/// Mutation: let a call wait for the book, fail with it, or lose its place among those that are read when a
/// reader panics.
#[tokio::test]
async fn a_fault_of_the_tap_is_not_the_calls() {
    let said = r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
    let server = Server::start(move |_, _| reply("200 OK", &[], said)).await;
    for how in [How::Panics, How::Refused, How::Kept] {
        let book = Arc::new(Book { how, entries: Mutex::default() });
        let watches = watches(&server, &book);
        for _ in 0..3 {
            assert_eq!(ask(&watches).await, (StatusCode::OK, Bytes::from_static(said.as_bytes())));
        }
        // All places are given back, whatever became of the readers.
        watches.ended().await;
        let entries = book.entries.lock().expect("no test panicked");
        assert_eq!(entries.len(), if how == How::Kept { 6 } else { 0 }, "{how:?}");
    }
}

/// Mutation: take a client for gone who has all that the head has announced, and asks for no more.
#[tokio::test]
async fn a_call_is_over_with_its_last_byte() {
    let said = r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
    let server = Server::start(move |_, _| reply("200 OK", &[], said)).await;
    let book = Arc::new(Book { how: How::Kept, entries: Mutex::default() });
    let watches = watches(&server, &book);
    let mut answer = watches.pass(question()).await.into_body();
    let mut came = 0;
    while came < said.len() {
        let frame = answer.frame().await.expect("there is more").expect("a piece");
        came += frame.into_data().expect("bytes").len();
    }
    drop(answer);
    watches.ended().await;
    drop(watches.pass(question()).await);
    watches.ended().await;
    let entries = book.entries.lock().expect("no test panicked");
    let ends = entries.iter().filter_map(|entry| match entry {
        Entry::Settled(settled) => Some(settled.end),
        Entry::Admitted(_) | Entry::Corrected(_) => None,
    });
    assert_eq!(ends.collect::<Vec<_>>(), [End::Answered, End::Left]);
}

/// Mutation: take a client for gone who has read what ends a stream, and closes it before the server does.
#[tokio::test]
async fn a_stream_is_over_with_its_last_event() {
    for (last, end) in [("[DONE]", End::Answered), ("{\"choices\":[]}", End::Left)] {
        let events =
            format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {last}\n\n");
        let server = Server::start(move |_, _| Reply::Hang(events.clone().into_bytes())).await;
        let book = Arc::new(Book { how: How::Kept, entries: Mutex::default() });
        let watches = watches(&server, &book);
        let mut answer = watches.pass(question()).await.into_body();
        answer.frame().await.expect("an event").expect("a piece");
        drop(answer);
        watches.ended().await;
        let entries = book.entries.lock().expect("no test panicked");
        assert!(matches!(&entries[1], Entry::Settled(settled) if settled.end == end), "{last}");
    }
}

/// Mutation: pass on whatever key there is, or look for it only where providers have theirs.
#[tokio::test]
async fn a_key_of_the_site_goes_to_no_provider() {
    let server = Server::start(move |_, _| reply("200 OK", &[], "{}")).await;
    let book = Arc::new(Book { how: How::Kept, entries: Mutex::default() });
    let watches = watches(&server, &book);
    for (name, value) in [
        ("authorization", "Bearer isonomy-key-abc"),
        ("x-api-key", "isonomy-key-abc"),
        ("x-portkey-api-key", "isonomy-key-abc"),
        ("cookie", "a=b; k=isonomy-key-abc"),
        // `x:isonomy-key-abc`
        ("authorization", "Basic eDppc29ub215LWtleS1hYmM="),
    ] {
        let mut question = question();
        question.headers_mut().insert(name, value.parse().expect("a value"));
        let answer = watches.pass(question).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{name}");
    }
    let mut question = question();
    let target = format!("{}?key=isonomy-key-abc", question.uri());
    *question.uri_mut() = target.parse().expect("an address");
    assert_eq!(watches.pass(question).await.status(), StatusCode::UNAUTHORIZED);
    assert!(server.seen().is_empty());
}
