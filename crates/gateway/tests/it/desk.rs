//! Calls to models over real sockets: what is spent, what is tried, and what is written down.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use base::{
    CallId, Clock, Duration, KeyName, Namespace, RunId, SecretName, SystemRandom, Timestamp,
};
use bytes::Bytes;
use futures::future::{BoxFuture, join_all, ready};
use futures::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, BodyStream};
use isonomy_gateway::desk::{
    Credentials, DeskParts, Fresh, NoPeople, NotRun, NotWritten, OfRun, Question, Ran, Record,
    Reply as Answer, Runner, ShelfParts, Tensors, Terms, Ticket, Who,
};
use isonomy_gateway::{Desk, EgressMap, Gate, Limits};
use models::{
    Admitted, Alarm, Books, By, COOL_DOWN, End, Entry, Exchange, FAULTS_MAX, Holder, Model,
    ModelName, Operation, RouteSpec, Settled,
};
use pricing::Amount;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};

use crate::gate::allow;
use crate::server::{Reply, Server, reply};

/// One EUR for a million tokens, in and out.
const PRICE: &str = "1";

/// A clock that the test moves.
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Keeps what is written down.
pub struct Kept {
    pub entries: Mutex<Vec<Entry>>,
    settled: mpsc::UnboundedSender<Settled>,
}

impl Record for Kept {
    fn write(&self, entry: Entry) -> Result<Ticket, NotWritten> {
        if let Entry::Settled(entry) = &entry {
            let _ = self.settled.send(entry.clone());
        }
        self.entries.lock().expect("no test panicked").push(entry);
        Ok(Ticket::done())
    }

    fn alarm(&self, _: &Namespace, _: &[Alarm]) {}
}

struct Secrets;

impl Credentials for Secrets {
    fn open(&self, _: &Namespace, _: &SecretName) -> BoxFuture<'_, Result<String, String>> {
        ready(Ok("upstream-secret".to_owned())).boxed()
    }
}

/// A site without files of models.
struct Nothing;

impl Runner for Nothing {
    fn run(&self, _: &Model, _: Tensors, _: std::time::Duration) -> BoxFuture<'_, Ran> {
        let end = Err(NotRun::Unavailable("there are none".to_owned()));
        ready(Ran { busy: std::time::Duration::ZERO, end }).boxed()
    }
}

pub struct Place {
    pub desk: Desk,
    clock: Arc<Hand>,
    pub kept: Arc<Kept>,
    pub settled: mpsc::UnboundedReceiver<Settled>,
}

pub fn name(text: &str) -> ModelName {
    ModelName::parse(text).expect(text)
}

pub fn sales() -> Namespace {
    Namespace::parse("sales").expect("a name")
}

pub fn bot() -> KeyName {
    KeyName::parse("bot").expect("a name")
}

/// A model at this address, at so many EUR for a million tokens.
pub fn model(called: &str, url: &str, price: &str, more: &Value) -> Model {
    let mut spec = json!({
        "upstream": {"url": format!("{url}/v1"), "secret": "key"},
        "price": {"own": {"currency": "EUR", "rates": {"input": price, "output": price}}},
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    Model {
        namespace: sales(),
        name: name(called),
        spec: serde_json::from_value(spec).expect("a definition"),
    }
}

impl Place {
    pub fn with(models: Vec<Model>, route: &[&str], cap: &str) -> Self {
        Self::running(Arc::new(Nothing), models, route, cap)
    }

    pub fn running(runner: Arc<dyn Runner>, models: Vec<Model>, route: &[&str], cap: &str) -> Self {
        let (told, settled) = mpsc::unbounded_channel();
        let kept = Arc::new(Kept { entries: Mutex::default(), settled: told });
        let clock = Arc::new(Hand(AtomicI64::new(1_800_000_000_000)));
        let mut books = Books::default();
        books.set(Holder::Key(bot()), cap.parse().expect("a budget"));
        let rules = vec![allow("http://127.0.0.1:*")];
        let gate = Gate::new(EgressMap::parse(rules).expect("rules"), Limits::default());
        let desk = Desk::new(DeskParts {
            gate: Arc::new(gate),
            books,
            exchange: Exchange::default(),
            record: Arc::clone(&kept) as Arc<dyn Record>,
            credentials: Arc::new(Secrets),
            runner,
            people: Arc::new(NoPeople),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            random: Arc::new(SystemRandom),
            digest_key: b"of the site".to_vec(),
        });
        let to: Vec<Value> = route.iter().map(|model| json!({ "model": model })).collect();
        let routes = if to.is_empty() {
            Vec::new()
        } else {
            let spec: RouteSpec = serde_json::from_value(json!({ "to": to })).expect("a route");
            vec![(sales(), name("assistant"), spec)]
        };
        desk.put(ShelfParts { models, routes, ..ShelfParts::default() });
        Self { desk, clock, kept, settled }
    }

    pub async fn ask(&self, model: &str, max_tokens: u64, streamed: bool) -> Answer {
        self.desk.call(question(model, max_tokens, streamed)).await
    }

    /// Moves the clock.
    pub fn passes(&self, time: Duration) {
        self.hand()(time);
    }

    /// What moves the clock, for whoever lives longer.
    pub fn hand(&self) -> impl Fn(Duration) + Send + Sync + use<> {
        let clock = Arc::clone(&self.clock);
        move |time| {
            let millis = i64::try_from(time.as_millis()).expect("short");
            clock.0.fetch_add(millis, Ordering::Relaxed);
        }
    }

    /// Puts these models on the desk, and routes as they are written.
    pub fn put(&self, models: Vec<Model>, routes: &[(&str, Value)]) {
        let route = |(called, spec): &(&str, Value)| {
            let spec: RouteSpec = serde_json::from_value(spec.clone()).expect("a route");
            spec.check().expect("a good route");
            (sales(), name(called), spec)
        };
        let routes = routes.iter().map(route).collect();
        self.desk.put(ShelfParts { models, routes, ..ShelfParts::default() });
    }

    /// What is spent, and what is held for calls under way, in pico-units.
    pub fn standing(&self) -> (u128, u128) {
        let standing = self.desk.standings().remove(0);
        (standing.spent.amount.pico(), standing.held.amount.pico())
    }
}

pub fn question(model: &str, max_tokens: u64, streamed: bool) -> Question {
    let body = json!({
        "model": model, "max_tokens": max_tokens, "stream": streamed,
        "messages": [{"role": "user", "content": "a-prompt-of-somebody"}],
    });
    let by = By { namespace: sales(), key: Some(bot()), workflow: None, run: None };
    Question {
        who: Who { by, terms: Arc::new(Terms::default()) },
        operation: Operation::Chat,
        model: None,
        body: body.to_string().into(),
        headers: HeaderMap::new(),
        of_run: None,
        trace: None,
        fresh: Fresh::default(),
    }
}

fn used(input: u64, output: u64) -> String {
    json!({
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "an-answer"}}],
        "usage": {"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output},
    })
    .to_string()
}

pub fn answer(input: u64, output: u64) -> Reply {
    reply("200 OK", &[("content-type", "application/json")], &used(input, output))
}

pub const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

pub async fn text(answer: Answer) -> String {
    let whole = answer.body.collect().await.expect("a whole answer").to_bytes();
    String::from_utf8_lossy(&whole).into_owned()
}

/// Mutation: reserve after the call instead of before it, or compare the cap with what is spent alone.
#[tokio::test]
async fn a_thousand_calls_at_once_never_exceed_a_cap() {
    // Each costs as much as it may: what the provider bills is what was held.
    let server = Server::start(|request, _| {
        let body = request.split("\r\n\r\n").nth(1).unwrap_or_default();
        // A byte of the request is a token at most; the rest is what templates are allowed.
        answer(body.len() as u64 + 256, 100)
    });
    let server = server.await;
    let place =
        Place::with(vec![model("m", &server.address(), PRICE, &json!({}))], &[], "0.1EUR/day");
    let asked = (0..1_000).map(|_| place.ask("m", 100, false));
    let answers = join_all(asked).await;
    let good = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
    let refused = answers.iter().filter(|it| it.status == StatusCode::PAYMENT_REQUIRED).count();
    assert_eq!(good + refused, 1_000);
    assert!(refused > 0 && good > 0, "{good} and {refused}");
    let billed = server.seen().into_iter().map(|request| {
        let body = request.split("\r\n\r\n").nth(1).unwrap_or_default();
        (body.len() as u128 + 256 + 100) * 1_000_000
    });
    let billed: u128 = billed.sum();
    let cap = Amount::from_micros(100_000).pico();
    assert!(billed <= cap, "{billed} of {cap}");
    assert_eq!(place.standing(), (billed, 0));
    // The next one would be beyond it.
    assert_eq!(place.ask("m", 100, false).await.status, StatusCode::PAYMENT_REQUIRED);
}

/// Mutation: hold the bound of the first model only.
#[tokio::test]
async fn a_fallback_to_a_dearer_model_is_held_before_the_call() {
    let broken = Server::start(|_, _| reply("500 Internal Server Error", &[], "")).await;
    let dear = Server::start(|_, _| answer(10, 10)).await;
    let models = || {
        vec![
            model("cheap", &broken.address(), PRICE, &json!({})),
            model("dear", &dear.address(), "1000", &json!({})),
        ]
    };
    let poor = Place::with(models(), &["cheap", "dear"], "0.1EUR/day");
    let refused = poor.ask("assistant", 100, false).await;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED);
    assert!(broken.seen().is_empty(), "nothing is sent that could end beyond the cap");
    let rich = Place::with(models(), &["cheap", "dear"], "1EUR/day");
    let degraded = rich.ask("assistant", 100, false).await;
    assert_eq!(degraded.status, StatusCode::OK);
    assert_eq!(degraded.headers["x-isonomy-degraded"], "fallback");
    assert_eq!(degraded.headers["x-isonomy-model"], "dear");
    assert_eq!(rich.standing(), (20 * 1_000_000_000, 0));
}

/// Mutation: forget what a leg may cost that has not answered, go on without holding more, or write down the first alone.
#[tokio::test]
async fn a_leg_that_nobody_knows_the_end_of_is_paid_at_its_bound() {
    let silent = Server::start(|_, _| Reply::Hang(Vec::new())).await;
    let good = Server::start(|_, _| answer(10, 10)).await;
    let models = || {
        vec![
            model("silent", &silent.address(), PRICE, &json!({"limits": {"firstByteSeconds": 1}})),
            model("good", &good.address(), PRICE, &json!({})),
        ]
    };
    let mut place = Place::with(models(), &["silent", "good"], "1EUR/day");
    assert_eq!(place.ask("assistant", 100, false).await.status, StatusCode::OK);
    let settled = place.settled.recv().await.expect("settled");
    let bounds: Vec<bool> = settled.bills.iter().map(|bill| bill.is_bound).collect();
    assert_eq!(bounds, [true, false]);
    let (spent, held) = place.standing();
    assert_eq!(held, 0);
    assert!(spent > 20 * 1_000_000, "the silent one is in it: {spent}");
    let held = held_of(&place);
    assert!(matches!(held[..], [one, both] if both == 2 * one), "both are written down: {held:?}");
    // There is room for one of them, and not for a second bill.
    let tight = Place::with(models(), &["silent", "good"], "0.0007EUR/day");
    assert_eq!(tight.ask("assistant", 100, false).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let (spent, held) = tight.standing();
    assert!(spent <= Amount::from_micros(700).pico() && held == 0, "{spent} {held}");
    assert_eq!(good.seen().len(), 1);
}

/// Mutation: hold the dearer one's bound once more, or nothing for the first one.
#[tokio::test]
async fn a_dearer_leg_after_one_of_unknown_end_is_held_beside_it() {
    let silent = Server::start(|_, _| Reply::Hang(Vec::new())).await;
    let good = Server::start(|_, _| answer(10, 10)).await;
    let limits = json!({"limits": {"firstByteSeconds": 1}});
    let models = vec![
        model("silent", &silent.address(), PRICE, &limits),
        model("good", &good.address(), "10", &json!({})),
    ];
    // Room for both, and not for the dearer one twice.
    let place = Place::with(models, &["silent", "good"], "0.0072EUR/day");
    assert_eq!(place.ask("assistant", 100, false).await.status, StatusCode::OK);
    let held = held_of(&place);
    assert!(matches!(held[..], [dear, both] if both == dear + dear / 10), "{held:?}");
}

/// What is held, as often as that was written down.
fn held_of(place: &Place) -> Vec<u128> {
    let entries = place.kept.entries.lock().expect("no test panicked").clone();
    let held = |entry: &Entry| match entry {
        Entry::Admitted(entry) => Some(entry.held[0].amount.amount.pico()),
        Entry::Settled(_) | Entry::Corrected(_) => None,
    };
    entries.iter().filter_map(held).collect()
}

/// A server whose first answer waits in the middle, and whose next ones end there.
async fn in_two(first: String, go: Arc<Notify>, rest: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut is_first = true;
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                stream.read_buf(&mut request).await.expect("a request");
            }
            stream.write_all(first.as_bytes()).await.expect("the client is there");
            go.notified().await;
            if std::mem::take(&mut is_first) {
                stream.write_all(rest.as_bytes()).await.expect("somebody reads on");
            }
        }
    });
    format!("http://{address}")
}

/// Mutation: settle at nothing when the client goes, or stop reading at once.
#[tokio::test]
async fn a_client_that_leaves_a_stream_pays_what_it_used() {
    let go = Arc::new(Notify::new());
    let first = format!("{STREAM}data: {{\"choices\":[{{\"delta\":{{\"content\":\"a\"}}}}]}}\n\n");
    let last = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3,\"total_tokens\":10}}\n\ndata: [DONE]\n\n";
    let url = in_two(first, Arc::clone(&go), last).await;
    let mut place = Place::with(vec![model("m", &url, PRICE, &json!({}))], &[], "1EUR/day");
    for (is_known, expected) in [(true, 10 * 1_000_000), (false, 0)] {
        let before = place.standing().0;
        let answer = place.ask("m", 100, true).await;
        assert_eq!(answer.status, StatusCode::OK);
        let mut body = BodyStream::new(answer.body);
        body.next().await.expect("a piece").expect("good");
        assert!(place.standing().1 > 0, "it is held while it runs");
        drop(body);
        go.notify_one();
        let settled = place.settled.recv().await.expect("settled");
        assert_eq!(settled.end, End::Left);
        let (after, held) = place.standing();
        assert_eq!(held, 0);
        if is_known {
            assert_eq!(after - before, expected);
        } else {
            assert!(settled.bills[0].is_bound && after > before);
        }
    }
}

/// Mutation: show usage to whoever has not asked for it, hide it from whoever has, or lose an event.
#[tokio::test]
async fn a_stream_comes_as_it_was_but_for_what_was_not_asked_for() {
    let events = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"b \\\"usage\\\"\"}}]}\n\n";
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3,\"total_tokens\":10}}\n\n";
    let whole = format!("{STREAM}{events}{usage}data: [DONE]\n\n");
    let server = Server::start(move |_, _| Reply::Send(whole.clone().into())).await;
    let place =
        Place::with(vec![model("m", &server.address(), PRICE, &json!({}))], &[], "1EUR/day");
    let plain = text(place.ask("m", 100, true).await).await;
    assert_eq!(plain, format!("{events}data: [DONE]\n\n"));
    let mut asked = question("m", 100, true);
    let body = String::from_utf8_lossy(&asked.body).into_owned();
    asked.body =
        Bytes::from(body.replacen('{', "{\"stream_options\":{\"include_usage\":true},", 1));
    assert_eq!(
        text(place.desk.call(asked).await).await,
        format!("{events}{usage}data: [DONE]\n\n")
    );
    assert_eq!(place.standing(), (2 * 10 * 1_000_000, 0));
    assert!(server.seen().iter().all(|request| request.contains("\"include_usage\":true")));
}

/// Mutation: count from the second fault on, let every call probe, or never look again.
#[tokio::test]
async fn an_outage_costs_the_upstream_few_calls_and_the_clients_none() {
    let broken = Server::start(|_, _| reply("503 Service Unavailable", &[], "")).await;
    let good = Server::start(|_, _| answer(1, 1)).await;
    let models = vec![
        model("first", &broken.address(), PRICE, &json!({})),
        model("second", &good.address(), PRICE, &json!({})),
    ];
    let place = Place::with(models, &["first", "second"], "1EUR/day");
    let many = async || {
        for _ in 0..20 {
            assert_eq!(place.ask("assistant", 10, false).await.status, StatusCode::OK);
        }
    };
    many().await;
    assert_eq!(broken.seen().len(), FAULTS_MAX as usize);
    let mut rest = COOL_DOWN.as_millis();
    for probes in 1..=3 {
        place.clock.0.fetch_add(i64::try_from(rest).expect("short"), Ordering::Relaxed);
        many().await;
        assert_eq!(broken.seen().len(), FAULTS_MAX as usize + probes);
        rest *= 2;
    }
    assert_eq!(good.seen().len(), 80);
}

/// Mutation: try the next model where the request is at fault, or pass on what an upstream says of our secret.
#[tokio::test]
async fn whose_fault_it_is_decides_what_the_client_sees() {
    let upstream = Server::start(|_, number| match number {
        1 => reply(
            "400 Bad Request",
            &[("content-type", "application/json")],
            "{\"error\":{\"message\":\"too long\"}}",
        ),
        _ => reply("401 Unauthorized", &[], "Incorrect API key provided: upstream-secret"),
    });
    let upstream = upstream.await;
    let other = Server::start(|_, _| answer(1, 1)).await;
    let models = vec![
        model("first", &upstream.address(), PRICE, &json!({})),
        model("second", &other.address(), PRICE, &json!({})),
    ];
    let place = Place::with(models, &["first", "second"], "1EUR/day");
    let wrong = place.ask("assistant", 10, false).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert_eq!(text(wrong).await, "{\"error\":{\"message\":\"too long\"}}");
    assert!(other.seen().is_empty());
    assert_eq!(place.standing(), (0, 0));
    assert_eq!(place.ask("assistant", 10, false).await.status, StatusCode::OK);
    let alone = place.ask("first", 10, false).await;
    assert_eq!(alone.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!text(alone).await.contains("upstream-secret"));
    assert_eq!(upstream.seen().len(), 2, "the secret rests");
}

/// Mutation: write a message, an answer or a secret into an entry.
#[tokio::test]
async fn what_is_written_down_has_neither_prompt_nor_answer_nor_secret() {
    let server = Server::start(|_, _| answer(10, 10)).await;
    let place =
        Place::with(vec![model("m", &server.address(), PRICE, &json!({}))], &[], "1EUR/day");
    let shown = text(place.ask("m", 10, false).await).await;
    assert!(shown.contains("an-answer"));
    let sent = server.seen().join("\n");
    assert!(sent.contains("a-prompt-of-somebody") && sent.contains("Bearer upstream-secret"));
    let kept = place.kept.entries.lock().expect("no test panicked").clone();
    let written: String =
        kept.iter().map(|it| String::from_utf8_lossy(&it.line()).into_owned()).collect();
    assert!(written.contains("\"key\":\"bot\"") && written.contains("EUR"));
    for secret in ["a-prompt-of-somebody", "an-answer", "upstream-secret"] {
        assert!(!written.contains(secret), "{secret}: {written}");
    }
    assert!(!format!("{place:?}", place = place.desk).contains("upstream-secret"));
}

/// Mutation: let a key go on beyond its minute, or hold a refused call's money.
#[tokio::test]
async fn a_key_has_so_many_requests_a_minute() {
    let server = Server::start(|_, _| answer(1, 1)).await;
    let place =
        Place::with(vec![model("m", &server.address(), PRICE, &json!({}))], &[], "1EUR/day");
    let limited = Arc::new(Terms { requests_per_minute: Some(2), ..Terms::default() });
    let ask = async || {
        let mut question = question("m", 10, false);
        question.who.terms = Arc::clone(&limited);
        place.desk.call(question).await
    };
    assert_eq!(ask().await.status, StatusCode::OK);
    assert_eq!(ask().await.status, StatusCode::OK);
    let refused = ask().await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["retry-after"], "30");
    assert_eq!(place.standing().1, 0);
    let half = Duration::from_secs(30).as_millis();
    place.clock.0.fetch_add(i64::try_from(half).expect("short"), Ordering::Relaxed);
    assert_eq!(ask().await.status, StatusCode::OK);
    assert_eq!(server.seen().len(), 3);
}

/// A call that a run has left behind, which held so many micro-units of its namespace's budget.
fn left(effect: &Question, model: &str, held: u64) -> Admitted {
    let bound = Amount::from_micros(held).of("EUR".parse().expect("a currency"));
    let line = json!({
        "holder": "namespace/sales", "period": "total", "window": null, "amount": bound,
    });
    Admitted {
        v: 1,
        call: CallId::new(Timestamp::from_millis(1_700_000_000_000), &SystemRandom),
        at: Timestamp::from_millis(1_700_000_000_000),
        who: effect.who.by.clone(),
        operation: Operation::Chat,
        asked: name(model),
        plan: vec![name(model)],
        streamed: false,
        held: vec![serde_json::from_value(line).expect("a line")],
        bound: Some(bound),
        effect: Some(effect.of_run.as_ref().expect("of a run").effect()),
        trace: None,
        needs: models::Needs::default(),
        watched: None,
    }
}

/// The question of a run, under this key.
fn of_run(model: &str, key: &str) -> Question {
    let mut asked = question(model, 100, false);
    let flow = base::WorkflowKey {
        namespace: sales(),
        name: base::WorkflowName::parse("flow").expect("a name"),
    };
    asked.who.by = By::run(&flow, RunId::from_uuid(uuid::Uuid::from_u128(7)));
    asked.of_run = Some(OfRun { key: key.into(), labels: Arc::new([]), cap: None });
    asked
}

/// Mutation: hold a second reservation beside the first, give the first one back where nobody bills it once, to
/// another effect, or at no end of the run; lose it where there is no room for the repetition, or where that is not
/// answered.
#[tokio::test]
async fn a_repetition_takes_over_what_was_held_where_it_is_billed_once() {
    let server = Server::start(|_, _| answer(10, 10)).await;
    let url = format!("{}/v1", server.address());
    let once = json!({"upstream": {"url": url, "idempotent": true}});
    let models = || {
        vec![
            model("once", &server.address(), PRICE, &once),
            model("twice", &server.address(), PRICE, &json!({})),
        ]
    };
    // There is room for one call, and not for two.
    let place = || {
        let place = Place::with(models(), &[], "1EUR/day");
        let budget = "0.0007EUR/total".parse().expect("a budget");
        place.desk.budgets(|books| books.set(Holder::Namespace(sales()), budget));
        place
    };
    let standing = |place: &Place| {
        let all = place.desk.standings();
        let of = all.into_iter().find(|it| it.holder == Holder::Namespace(sales()));
        let it = of.expect("a budget");
        (it.spent.amount.pico() / 1_000_000, it.held.amount.pico() / 1_000_000)
    };
    let asked = of_run("once", "a");
    let mut one = place();
    let before = left(&asked, "once", 500);
    one.desk.take_up(vec![before.clone()]);
    assert_eq!(standing(&one), (0, 500));
    let other = one.desk.call(of_run("once", "b")).await;
    assert_eq!(other.status, StatusCode::PAYMENT_REQUIRED, "it is another effect");
    assert_eq!(one.desk.call(asked.clone()).await.status, StatusCode::OK);
    assert_eq!(standing(&one), (20, 0));
    let first = one.settled.recv().await.expect("settled");
    let second = one.settled.recv().await.expect("settled");
    assert_eq!((first.call, first.end), (before.call, End::Unknown));
    assert_eq!((first.repeated_by, first.charged.len()), (Some(second.call), 0));
    assert!(one.desk.runs_left().is_empty());

    // Without an answer to the repetition, nobody knows what became of the first.
    for (status, spent) in [("503 Busy", 500), ("409 Conflict", 500), ("400 Bad Request", 0)] {
        let server = Server::start(move |_, _| reply(status, &[], "{}")).await;
        let url =
            json!({"upstream": {"url": format!("{}/v1", server.address()), "idempotent": true}});
        let place =
            Place::with(vec![model("once", &server.address(), PRICE, &url)], &[], "1EUR/day");
        let budget = "0.0007EUR/total".parse().expect("a budget");
        place.desk.budgets(|books| books.set(Holder::Namespace(sales()), budget));
        place.desk.take_up(vec![left(&asked, "once", 500)]);
        assert_ne!(place.desk.call(asked.clone()).await.status, StatusCode::OK);
        assert_eq!(standing(&place), (spent, 0), "{status}");
    }

    let twice = of_run("twice", "a");
    let mut two = place();
    two.desk.take_up(vec![left(&twice, "twice", 500)]);
    assert_eq!(two.desk.call(twice).await.status, StatusCode::PAYMENT_REQUIRED);
    let first = two.settled.recv().await.expect("settled");
    assert_eq!((first.repeated_by, first.charged.len()), (None, 1));
    assert_eq!(standing(&two), (500, 0));

    let mut three = place();
    three.desk.take_up(vec![left(&asked, "once", 500)]);
    let tight = "0.0003EUR/total".parse().expect("a budget");
    three.desk.budgets(|books| books.set(Holder::Namespace(sales()), tight));
    assert_eq!(three.desk.call(asked.clone()).await.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(standing(&three), (0, 500));
    let run = asked.who.by.run.expect("a run");
    assert_eq!(three.desk.runs_left(), [run]);
    three.desk.run_ended(run);
    let first = three.settled.recv().await.expect("settled");
    assert_eq!((first.repeated_by, first.charged.len()), (None, 1));
    assert_eq!(standing(&three), (500, 0));
}
