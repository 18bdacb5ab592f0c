//! Calls of tensors: a model of the site's own disk goes the way that all calls go.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use http::{HeaderMap, HeaderValue, StatusCode};
use isonomy_gateway::desk::{
    Fresh, HEAD, NotRun, Question, Ran, Reply as Answer, Runner, Tensors, Terms, Who,
};
use models::{By, End, FAULTS_MAX, Missed, Model, Operation};
use serde_json::{Value, json};

use crate::desk::{Place, bot, name, sales, text};
use crate::server::{Server, reply};

const INPUTS: &str = r#"{"id":"7","inputs":[]}"#;

/// Says what it is told to say, and keeps what it was asked.
#[derive(Default)]
struct Told {
    says: Mutex<Vec<(u64, Result<Tensors, NotRun>)>>,
    asked: Mutex<Vec<(String, Tensors)>>,
}

impl Told {
    fn say(&self, micros: u64, end: Result<&str, NotRun>) {
        let end = end.map(|body| Tensors { body: body.to_owned().into(), head: None });
        self.says.lock().expect("no test panicked").push((micros, end));
    }

    fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().expect("no test panicked");
        asked.iter().map(|(model, _)| model.clone()).collect()
    }
}

impl Runner for Told {
    fn run(&self, model: &Model, ask: Tensors, _: Duration) -> BoxFuture<'_, Ran> {
        self.asked.lock().expect("no test panicked").push((model.name.to_string(), ask));
        let (micros, end) = self.says.lock().expect("no test panicked").remove(0);
        ready(Ran { busy: Duration::from_micros(micros), end }).boxed()
    }
}

/// A file, at so many EUR for a second of its work, of which a call may take two.
fn file(called: &str, second: &str) -> Model {
    let digest = base::Digest::of(called.as_bytes());
    let mut spec = json!({
        "artifact": {"digest": digest.to_string()}, "limits": {"deadlineSeconds": 2},
    });
    if !second.is_empty() {
        spec["price"] = json!({"own": {"currency": "EUR", "rates": {"second": second}}});
    }
    made(called, spec)
}

fn made(called: &str, spec: Value) -> Model {
    let spec = serde_json::from_value(spec).expect("a definition");
    Model { namespace: sales(), name: name(called), spec }
}

fn question(model: &str) -> Question {
    let by = By { namespace: sales(), key: Some(bot()), workflow: None, run: None };
    Question {
        who: Who { by, terms: Arc::new(Terms::default()) },
        operation: Operation::Infer,
        model: Some(name(model)),
        body: INPUTS.into(),
        headers: HeaderMap::new(),
        of_run: None,
        trace: None,
        fresh: Fresh::default(),
    }
}

async fn ask(place: &Place, model: &str) -> Answer {
    place.desk.call(question(model)).await
}

/// Mutation: hold nothing for a model without tokens, settle at what was held, or pay for the time that a
/// call has waited.
#[tokio::test]
async fn time_of_a_device_is_held_for_the_deadline_and_paid_as_measured() {
    let told = Arc::new(Told::default());
    let models = vec![file("risk", "0.5")];
    let mut place = Place::running(told.clone(), models.clone(), &[], "1EUR/day");
    told.say(1_200, Ok("{}"));
    let answer = ask(&place, "risk").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["x-isonomy-model"], "risk");
    assert_eq!(text(answer).await, "{}");
    // Two milliseconds at half a EUR for a second.
    assert_eq!(place.standing(), (1_000_000_000, 0));
    let settled = place.settled.recv().await.expect("settled");
    assert_eq!((settled.end, settled.bills[0].is_bound), (End::Answered, false));
    assert_eq!(settled.bills[0].usage.expect("known").millis, 2);
    // A whole EUR may be needed, and is not there any more.
    let refused = ask(&place, "risk").await;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED);
    let said: Value = serde_json::from_str(&text(refused).await).expect("JSON");
    assert!(said["error"].as_str().is_some_and(|it| it.contains("[budget_exhausted]")), "{said}");
    assert_eq!(told.asked().len(), 1);
    // Without a price there is nothing to hold.
    let free = Place::running(told.clone(), vec![file("risk", "")], &[], "0.000001EUR/day");
    told.say(1_200, Ok("{}"));
    assert_eq!(ask(&free, "risk").await.status, StatusCode::OK);
    assert_eq!(free.standing(), (0, 0));
}

/// Mutation: give up after a death, ask another server in our own words, pay a death at its bound, or ask a
/// model again and again that dies each time.
#[tokio::test]
async fn a_model_that_dies_is_left_for_a_server_of_the_same_protocol() {
    let server = Server::start(|_, _| {
        let json = [("content-type", "application/json")];
        reply("200 OK", &json, r#"{"outputs":[]}"#)
    });
    let server = server.await;
    let there = made(
        "risk@2",
        json!({
            "upstream": {"url": format!("{}/v2", server.address()), "dialect": "open-inference", "secret": "key"},
            "price": {"own": {"currency": "EUR", "rates": {"request": "0.001"}}},
        }),
    );
    let told = Arc::new(Told::default());
    let models = vec![file("risk@1", "0.5"), there];
    let mut place = Place::running(told.clone(), models, &["risk@1", "risk@2"], "2EUR/day");
    for _ in 0..FAULTS_MAX {
        told.say(1_000, Err(NotRun::Died));
    }
    for time in 0..=FAULTS_MAX {
        let answer = ask(&place, "assistant").await;
        assert_eq!(answer.status, StatusCode::OK, "{time}");
        assert_eq!(answer.headers["x-isonomy-model"], "risk@2");
        assert_eq!(answer.headers["x-isonomy-degraded"], "fallback");
        let settled = place.settled.recv().await.expect("settled");
        let expected = if time < FAULTS_MAX { Missed::Broken } else { Missed::Outage };
        assert_eq!(settled.legs[0].why, Some(expected));
        assert!(settled.bills.iter().all(|bill| !bill.is_bound), "{settled:?}");
    }
    assert_eq!(told.asked().len(), FAULTS_MAX as usize, "its breaker is open");
    let (deaths, requests) = (u128::from(FAULTS_MAX) * 500_000_000, 4 * 1_000_000_000);
    assert_eq!(place.standing(), (deaths + requests, 0));
    let seen = server.seen().remove(0);
    assert!(seen.starts_with("POST /v2/models/risk/versions/2/infer HTTP/1.1"), "{seen}");
    assert!(seen.contains("authorization: Bearer upstream-secret") && seen.ends_with(INPUTS));
}

/// Mutation: try a wrong request elsewhere, or count it as the model's fault.
#[tokio::test]
async fn inputs_that_a_model_does_not_take_are_the_callers_fault() {
    let told = Arc::new(Told::default());
    let models = vec![file("a", ""), file("b", "")];
    let place = Place::running(told.clone(), models, &["a", "b"], "1EUR/day");
    for _ in 0..=FAULTS_MAX {
        told.say(10, Err(NotRun::Refused("the input `x` is missing".to_owned())));
        let answer = ask(&place, "assistant").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(text(answer).await.contains("the input `x` is missing"));
    }
    assert_eq!(told.asked(), ["a"; FAULTS_MAX as usize + 1]);
    let mut chat = question("a");
    chat.operation = Operation::Chat;
    chat.body = r#"{"model":"a","messages":[]}"#.into();
    assert_eq!(place.desk.call(chat).await.status, StatusCode::BAD_REQUEST);
}

/// Mutation: compare versions as texts, take the one that was added last, or pass over a version's own name.
#[tokio::test]
async fn a_name_without_a_version_is_the_highest_one() {
    let told = Arc::new(Told::default());
    let names = ["risk@1.10", "risk@1.9", "risk@rc1", "risky@7"];
    let models = names.map(|name| file(name, "")).to_vec();
    let place = Place::running(told.clone(), models, &[], "1EUR/day");
    for asked in ["risk", "risk@1.9", "risk@rc1"] {
        told.say(10, Ok("{}"));
        assert_eq!(ask(&place, asked).await.status, StatusCode::OK, "{asked}");
    }
    assert_eq!(told.asked(), ["risk@1.10", "risk@1.9", "risk@rc1"]);
    for none in ["risk@1", "ris", "risk@2"] {
        assert_eq!(ask(&place, none).await.status, StatusCode::NOT_FOUND, "{none}");
    }
}

/// Mutation: take the bytes of tensors for JSON, or a length beyond the body.
#[tokio::test]
async fn the_bytes_behind_the_json_are_passed_on() {
    let told = Arc::new(Told::default());
    let place = Place::running(told.clone(), vec![file("risk", "")], &[], "1EUR/day");
    let mut binary = question("risk");
    binary.body = [INPUTS.as_bytes(), &[0, 255, 1]].concat().into();
    assert_eq!(place.desk.call(binary.clone()).await.status, StatusCode::BAD_REQUEST);
    binary.headers.insert(HEAD, HeaderValue::from(INPUTS.len() + 4));
    assert_eq!(place.desk.call(binary.clone()).await.status, StatusCode::BAD_REQUEST);
    binary.headers.insert(HEAD, HeaderValue::from(INPUTS.len()));
    told.say(10, Ok("{}"));
    assert_eq!(place.desk.call(binary.clone()).await.status, StatusCode::OK);
    let asked = told.asked.lock().expect("no test panicked");
    assert_eq!(asked[0].1, Tensors { body: binary.body, head: Some(INPUTS.len()) });
}

/// Says again what it was asked.
#[derive(Default)]
struct Echo(Mutex<Vec<Tensors>>);

impl Runner for Echo {
    fn run(&self, _: &Model, ask: Tensors, _: Duration) -> BoxFuture<'_, Ran> {
        self.0.lock().expect("no test panicked").push(ask.clone());
        ready(Ran { busy: Duration::from_micros(10), end: Ok(ask) }).boxed()
    }
}

/// Mutation: show a model of the site's own what its rules hide, lose the value on its way back, or pass on
/// bytes that nobody has looked through.
#[tokio::test]
async fn rules_of_a_model_hold_for_its_tensors() {
    let echo = Arc::new(Echo::default());
    let mut spec = serde_json::to_value(file("risk", "").spec).expect("JSON");
    spec["protect"] = json!({"rules": "standard"});
    let place = Place::running(echo.clone(), vec![made("risk", spec)], &[], "1EUR/day");
    let mail = "ada.lovelace@example.com";
    let input = json!({"name": "x", "shape": [1], "datatype": "BYTES", "data": [mail]});
    let asked = json!({ "inputs": [input] }).to_string();
    let mut question = question("risk");
    question.body = asked.clone().into();
    let answer = place.desk.call(question.clone()).await;
    assert_eq!((answer.status, text(answer).await), (StatusCode::OK, asked.clone()));
    let seen = echo.0.lock().expect("no test panicked").remove(0);
    let seen = String::from_utf8_lossy(&seen.body).into_owned();
    assert!(!seen.contains(mail) && seen.contains(r#""datatype":"BYTES""#), "{seen}");
    question.body = [asked.as_bytes(), &[0xff]].concat().into();
    question.headers.insert(HEAD, HeaderValue::from(asked.len()));
    assert_eq!(place.desk.call(question).await.status, StatusCode::BAD_REQUEST);
    assert!(echo.0.lock().expect("no test panicked").is_empty());
}

/// Mutation: judge by another output, by the row of which a model is surest, or pay for one of the two alone.
#[tokio::test]
async fn tensors_that_are_not_sure_enough_are_asked_of_the_next_model() {
    let told = Arc::new(Told::default());
    let models = vec![file("small", "0.0005"), file("big", "0.0005")];
    let mut place = Place::running(told.clone(), Vec::new(), &[], "1EUR/day");
    let accept = json!({"confidence": 0.8, "output": "p"});
    let route = json!({"to": [{"model": "small", "accept": accept}, {"model": "big"}]});
    place.put(models, &[("risk", route)]);
    let says = |rows: Value| {
        let p = json!({"name": "p", "datatype": "FP32", "shape": [2, 2], "data": rows});
        json!({ "outputs": [p] }).to_string()
    };
    let sure = says(json!([0.9, 0.1, 0.2, 0.8]));
    let unsure = says(json!([1.0, 0.0, 0.4, 0.6]));
    told.say(1_000, Ok(&sure));
    let answer = ask(&place, "risk").await;
    assert_eq!(answer.headers["x-isonomy-model"], "small");
    assert_eq!(text(answer).await, sure);
    place.settled.recv().await.expect("settled");
    told.say(1_000, Ok(&unsure));
    told.say(1_000, Ok("{}"));
    let answer = ask(&place, "risk").await;
    assert_eq!(answer.headers["x-isonomy-model"], "big");
    assert_eq!(answer.headers["x-isonomy-escalated"], "1");
    let settled = place.settled.recv().await.expect("settled");
    assert_eq!((settled.bills.len(), settled.degraded), (2, false));
    assert_eq!(told.asked(), ["small", "small", "big"]);
}
