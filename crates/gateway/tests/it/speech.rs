//! Calls in words of a model on the site's own disk: usage, money, streams, other dialects, and its failures.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{BoxFuture, ready};
use http::{HeaderMap, StatusCode};
use isonomy_gateway::desk::{
    Busy, Fresh, NotRun, Question, Ran, Runner, Spoke, Spoken, Tensors, Terms, Who, Words,
};
use models::{By, End, Model, Operation};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::desk::{Place, bot, name, sales, text};

const WHOLE: &str = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}"#;

const EVENTS: [&str; 2] = [
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n",
];

/// Says these pieces, each after a millisecond and a half of work.
#[derive(Default)]
struct Speaks {
    pieces: Mutex<Vec<Result<&'static str, String>>>,
    refuses: Mutex<Option<NotRun>>,
    asked: Mutex<Vec<Words>>,
}

impl Runner for Speaks {
    fn run(&self, _: &Model, _: Tensors, _: Duration) -> BoxFuture<'_, Ran> {
        unreachable!("nobody asks for tensors")
    }

    fn speak(&self, _: &Model, ask: Words, _: Duration) -> BoxFuture<'_, Spoke> {
        self.asked.lock().expect("no test panicked").push(ask);
        let worked = Duration::from_micros(1_500);
        if let Some(why) = self.refuses.lock().expect("no test panicked").take() {
            return Box::pin(ready(Spoke { busy: worked, end: Err(why) }));
        }
        let (said, pieces) = mpsc::channel(8);
        for piece in self.pieces.lock().expect("no test panicked").drain(..) {
            said.try_send(piece.map(|it| it.as_bytes().to_vec().into())).expect("there is room");
        }
        let busy = Busy::default();
        busy.set(worked);
        Box::pin(ready(Spoke { busy: worked, end: Ok(Spoken { pieces, busy }) }))
    }
}

/// At a EUR for a million tokens, and for a thousand seconds.
fn chat() -> Model {
    let digest = base::Digest::of(b"chat");
    let spec = json!({
        "artifact": {"digest": digest.to_string(), "format": "gguf"},
        "limits": {"deadlineSeconds": 2, "outputTokens": 50},
        "price": {"own": {"currency": "EUR", "rates": {"input": "1", "output": "1", "second": "0.001"}}},
    });
    let spec = serde_json::from_value(spec).expect("a definition");
    Model { namespace: sales(), name: name("chat"), spec }
}

fn question(operation: Operation, body: &Value) -> Question {
    let by = By { namespace: sales(), key: Some(bot()), workflow: None, run: None };
    Question {
        who: Who { by, terms: Arc::new(Terms::default()) },
        operation,
        model: None,
        body: body.to_string().into(),
        headers: HeaderMap::new(),
        of_run: None,
        trace: None,
        fresh: Fresh::default(),
    }
}

fn asked(more: &Value) -> Value {
    let mut body = json!({"model": "chat", "messages": [{"role": "user", "content": "Hello"}]});
    let members = more.as_object().into_iter().flatten();
    members.for_each(|(name, value)| body[name] = value.clone());
    body
}

fn place(speaks: &Arc<Speaks>, pieces: &[&'static str]) -> Place {
    *speaks.pieces.lock().expect("no test panicked") = pieces.iter().map(|it| Ok(*it)).collect();
    Place::running(speaks.clone(), vec![chat()], &[], "1EUR/day")
}

/// Mutation: leave out the time or the tokens, or send no limit of output.
#[tokio::test]
async fn an_answer_is_paid_by_its_tokens_and_by_the_time_of_the_device() {
    let speaks = Arc::new(Speaks::default());
    let mut place = place(&speaks, &[WHOLE]);
    let answer = place.desk.call(question(Operation::Chat, &asked(&json!({})))).await;
    assert_eq!((answer.status, text(answer).await), (StatusCode::OK, WHOLE.to_owned()));
    let settled = place.settled.recv().await.expect("settled");
    let used = settled.bills[0].usage.expect("known");
    assert_eq!((used.input, used.output, used.millis), (7, 3, 2));
    // Ten micro-EUR of tokens and two of time, in millionths.
    assert_eq!(place.standing(), (12_000_000, 0));
    let words = speaks.asked.lock().expect("no test panicked").remove(0);
    let body: Value = serde_json::from_slice(&words.body).expect("JSON");
    assert_eq!((words.is_streamed, &body["max_tokens"]), (false, &json!(50)));
}

/// Mutation: show the usage that nobody has asked for, or lose what the last piece says.
#[tokio::test]
async fn a_stream_is_passed_on_and_its_usage_is_read() {
    let speaks = Arc::new(Speaks::default());
    let mut place = place(&speaks, &EVENTS);
    let body = asked(&json!({"stream": true}));
    let answer = place.desk.call(question(Operation::Chat, &body)).await;
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    let mut shown = Vec::new();
    let mut body = http_body_util::BodyStream::new(answer.body);
    while let Some(frame) = futures::StreamExt::next(&mut body).await {
        shown.extend(frame.expect("a piece").into_data().expect("data"));
    }
    let shown = String::from_utf8(shown).expect("text");
    assert!(shown.contains("Hi") && shown.ends_with("[DONE]\n\n"), "{shown}");
    assert!(!shown.contains("usage"), "{shown}");
    let settled = place.settled.recv().await.expect("settled");
    let used = settled.bills[0].usage.expect("known");
    assert_eq!((settled.end, used.output, used.millis), (End::Answered, 3, 2));
}

/// Mutation: speak the client's dialect to the process.
#[tokio::test]
async fn clients_of_other_dialects_are_translated() {
    let speaks = Arc::new(Speaks::default());
    let place = place(&speaks, &[WHOLE]);
    let body = asked(&json!({"max_tokens": 9}));
    let answer = place.desk.call(question(Operation::Messages, &body)).await;
    let told: Value = serde_json::from_str(&text(answer).await).expect("JSON");
    assert_eq!(
        (&told["content"][0]["text"], &told["usage"]["output_tokens"]),
        (&json!("Hi"), &json!(3))
    );
    assert_eq!(speaks.asked.lock().expect("no test panicked")[0].operation, Operation::Chat);
}

/// Mutation: pay a failure at its bound, or answer a refusal in another dialect's words.
#[tokio::test]
async fn what_a_failure_has_worked_is_paid_and_a_refusal_is_told() {
    let speaks = Arc::new(Speaks::default());
    let mut place = place(&speaks, &[]);
    let refuse = |why| *speaks.refuses.lock().expect("no test panicked") = Some(why);
    refuse(NotRun::Refused("no `tools`".to_owned()));
    let body = asked(&json!({"max_tokens": 9}));
    let refused = place.desk.call(question(Operation::Messages, &body)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let told: Value = serde_json::from_str(&text(refused).await).expect("JSON");
    assert_eq!((&told["type"], &told["error"]["message"]), (&json!("error"), &json!("no `tools`")));
    assert_eq!(place.settled.recv().await.expect("settled").end, End::Refused);
    refuse(NotRun::Failed("not a number".to_owned()));
    let failed = place.desk.call(question(Operation::Chat, &asked(&json!({})))).await;
    assert!(failed.status.is_server_error());
    let told = text(failed).await;
    assert!(told.contains("gave no whole answer") && !told.contains("not a number"), "{told}");
    let settled = place.settled.recv().await.expect("settled");
    assert_eq!(settled.bills[0].usage.expect("known").millis, 2);
    // Twice two micro-EUR of time: nothing was said.
    assert_eq!(place.standing(), (4_000_000, 0));
}

/// Mutation: take half of an answer for a whole one.
#[tokio::test]
async fn an_answer_that_breaks_off_is_none() {
    let speaks = Arc::new(Speaks::default());
    let mut place = place(&speaks, &[WHOLE]);
    let broken = Err("the process has died".to_owned());
    speaks.pieces.lock().expect("no test panicked").push(broken);
    let failed = place.desk.call(question(Operation::Chat, &asked(&json!({})))).await;
    assert!(failed.status.is_server_error());
    let settled = place.settled.recv().await.expect("settled");
    assert_eq!((settled.end, settled.bills[0].is_bound), (End::Failed, false));
}
