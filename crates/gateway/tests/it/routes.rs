//! What a route does beside falling back: cascades, answers that are given again, last resorts, hedges, and how
//! much may be tried again. Over real sockets.

use base::Duration;
use http::StatusCode;
use isonomy_gateway::desk::{Fresh, Question, Reply as Answer};
use models::{End, Given, Missed, Model, Operation, RETRIES_FREE};
use pricing::Amount;
use serde_json::{Value, json};

use crate::desk::{Place, STREAM, model, question, text};
use crate::server::{Reply, Server, reply};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// An answer of so many tokens, whose every token has this logarithm.
fn said(words: &str, tokens: u64, logprob: Option<f64>) -> Value {
    let logprobs = logprob.map(|it| json!({"content": [{"token": words, "logprob": it}]}));
    json!({
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "logprobs": logprobs,
            "message": {"role": "assistant", "content": words}}],
        "usage": {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens},
    })
}

fn whole(answer: &Value) -> Reply {
    reply("200 OK", &JSON, &answer.to_string())
}

async fn answers(words: &'static str, tokens: u64, logprob: Option<f64>) -> Server {
    Server::start(move |_, _| whole(&said(words, tokens, logprob))).await
}

async fn fails() -> Server {
    Server::start(|_, _| reply("500 Internal Server Error", &[], "")).await
}

fn at(called: &str, server: &Server) -> Model {
    model(called, &server.address(), "1", &json!({}))
}

/// A place with one route, `r`.
fn place(models: Vec<Model>, route: Value, cap: &str) -> Place {
    let place = Place::with(Vec::new(), &[], cap);
    place.put(models, &[("r", route)]);
    place
}

fn cascade(accept: Value) -> Value {
    json!({"to": [{"model": "small", "accept": accept}, {"model": "big"}]})
}

/// The question, which is answered the same each time.
fn exact(model: &str, more: Value) -> Question {
    let mut asked = question(model, 100, false);
    let mut body: Value = serde_json::from_slice(&asked.body).expect("JSON");
    body["temperature"] = json!(0);
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    asked.body = body.to_string().into();
    asked
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).map(|it| it.to_str().expect("text"))
}

fn sent(server: &Server, at: usize) -> Value {
    let seen = server.seen();
    serde_json::from_str(seen[at].split_once("\r\n\r\n").expect("a request").1).expect("JSON")
}

/// Mutation: judge nothing, ask a second model though the first is sure, show what the client has not asked
/// for, or call an escalation degraded.
#[tokio::test]
async fn an_answer_that_is_not_sure_enough_is_asked_of_the_next_model() {
    let big = answers("big", 3, None).await;
    for (logprob, by) in [(-0.1, "small"), (-0.5, "big")] {
        let small = answers("small", 5, Some(logprob)).await;
        let models = vec![at("small", &small), at("big", &big)];
        let mut place = place(models, cascade(json!({"confidence": 0.8})), "1EUR/day");
        let before = big.seen().len();
        let answer = place.ask("r", 100, false).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(header(&answer, "x-isonomy-model"), Some(by));
        assert_eq!(header(&answer, "x-isonomy-degraded"), None);
        let escalated = (by == "big").then_some("1");
        assert_eq!(header(&answer, "x-isonomy-escalated"), escalated);
        assert_eq!(sent(&small, 0)["logprobs"], true);
        let said: Value = serde_json::from_str(&text(answer).await).expect("JSON");
        assert_eq!(said["choices"][0]["message"]["content"], by);
        assert!(said["choices"][0].get("logprobs").is_none_or(Value::is_null), "{said}");
        let settled = place.settled.recv().await.expect("settled");
        let whys: Vec<_> = settled.legs.iter().map(|leg| leg.why).collect();
        let (tokens, expected) = match by {
            "small" => (5, vec![None]),
            _ => (5 + 3, vec![Some(Missed::Unsure), None]),
        };
        assert_eq!(whys, expected);
        assert!(!settled.degraded && settled.end == End::Answered);
        assert_eq!(place.standing(), (tokens * 1_000_000, 0), "both are paid");
        assert_eq!(big.seen().len() - before, expected.len() - 1);
    }
    let small = answers("small", 5, Some(-0.1)).await;
    let models = vec![at("small", &small), at("big", &big)];
    let place = place(models, cascade(json!({"confidence": 0.8})), "1EUR/day");
    let asked = exact("r", json!({"logprobs": true}));
    let said: Value =
        serde_json::from_str(&text(place.desk.call(asked).await).await).expect("JSON");
    assert!(said["choices"][0]["logprobs"]["content"].is_array(), "it was asked for");
}

/// Mutation: hold the dearest of a cascade alone, or hold more again before its second model.
#[tokio::test]
async fn what_all_of_a_cascade_may_cost_is_held_before_its_first_model_is_asked() {
    let small = answers("maybe", 5, None).await;
    let big = answers("yes", 3, None).await;
    let models = || vec![at("small", &small), at("big", &big)];
    let route = cascade(json!({"pattern": "^(yes|no)$"}));
    let held = async |route: Value| {
        let probe = place(models(), route, "1EUR/day");
        assert_eq!(probe.ask("r", 100, false).await.status, StatusCode::OK);
        let entries = probe.kept.entries.lock().expect("no test panicked").clone();
        let held: Vec<u128> = entries
            .iter()
            .filter_map(|entry| match entry {
                models::Entry::Admitted(entry) => Some(entry.held[0].amount.amount.pico()),
                models::Entry::Settled(_) | models::Entry::Corrected(_) => None,
            })
            .collect();
        let [once] = held[..] else { panic!("held once: {held:?}") };
        once
    };
    let both = held(route.clone()).await;
    let one = held(json!({"to": [{"model": "small"}, {"model": "big"}]})).await;
    assert_eq!(both, 2 * one, "they cost the same");
    let cap = |pico: u128| format!("{}EUR/day", Amount::from_pico(pico).exact());
    let enough = place(models(), route.clone(), &cap(both));
    assert_eq!(enough.ask("r", 100, false).await.status, StatusCode::OK);
    let before = small.seen().len();
    let poor = place(models(), route, &cap(both - Amount::from_micros(1).pico()));
    assert_eq!(poor.ask("r", 100, false).await.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(small.seen().len(), before, "nothing is sent that could end beyond the cap");
}

/// Mutation: give nothing, or an answer that nobody marks.
#[tokio::test]
async fn an_unsure_answer_is_given_where_no_model_has_a_better_one() {
    let small = answers("maybe", 5, None).await;
    let big = fails().await;
    let models = vec![at("small", &small), at("big", &big)];
    let mut place = place(models, cascade(json!({"pattern": "^(yes|no)$"})), "1EUR/day");
    let answer = place.ask("r", 100, false).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(header(&answer, "x-isonomy-degraded"), Some("unsure"));
    assert_eq!(header(&answer, "x-isonomy-model"), Some("small"));
    assert!(text(answer).await.contains("maybe"));
    let settled = place.settled.recv().await.expect("settled");
    assert_eq!((settled.degraded, settled.resort), (true, Some(Given::Unsure)));
    assert_eq!(place.standing(), (5 * 1_000_000, 0), "it is paid once");
}

/// Mutation: give a stream before it is judged, lose an event of it, or show a client what it has not asked for.
#[tokio::test]
async fn a_stream_is_judged_before_its_first_event_is_given() {
    let events = |words: [&str; 2], logprob: f64| {
        let chunk = |word: &str| {
            json!({"id": "c", "choices": [{"index": 0, "delta": {"content": word},
                "logprobs": {"content": [{"token": word, "logprob": logprob}]}, "finish_reason": null}]})
        };
        let end =
            json!({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
        let usage = json!({"id": "c", "choices": [], "usage":
            {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}});
        let all = [chunk(words[0]), chunk(words[1]), end, usage];
        let all: String = all.iter().map(|event| format!("data: {event}\n\n")).collect();
        format!("{STREAM}{all}data: [DONE]\n\n").into_bytes()
    };
    let small = Server::start(move |_, number| {
        Reply::Send(events(["ye", "s"], if number == 1 { -0.01 } else { -2.0 }))
    });
    let small = small.await;
    let big = Server::start(move |_, _| Reply::Send(events(["n", "o"], -3.0))).await;
    let models = vec![at("small", &small), at("big", &big)];
    let place = place(models, cascade(json!({"confidence": 0.9})), "1EUR/day");
    for (by, words) in [("small", ["ye", "s"]), ("big", ["n", "o"])] {
        let answer = place.ask("r", 100, true).await;
        assert_eq!(header(&answer, "x-isonomy-model"), Some(by));
        assert_eq!(header(&answer, "content-type"), Some("text/event-stream"));
        let shown = text(answer).await;
        assert!(shown.contains(words[0]) && shown.contains(words[1]), "{shown}");
        assert!(shown.ends_with("data: [DONE]\n\n") && !shown.contains("usage"), "{shown}");
        // What was never asked for by us comes as it is.
        assert_eq!(shown.contains("logprob"), by == "big", "{shown}");
    }
    assert_eq!(place.standing(), (3 * 6 * 1_000_000, 0));
    // In other words as well.
    let mut asked = exact("r", json!({"stream": true}));
    asked.operation = Operation::Messages;
    let shown = text(place.desk.call(asked).await).await;
    assert!(shown.contains("\"text\":\"n\"") && shown.contains("message_stop"), "{shown}");
}

/// Mutation: send what nobody can judge.
#[tokio::test]
async fn what_could_not_be_judged_is_not_asked() {
    let small = answers("yes", 5, None).await;
    let big = answers("yes", 3, None).await;
    let models = vec![at("small", &small), at("big", &big)];
    let mut place = place(models, cascade(json!({"confidence": 0.8})), "1EUR/day");
    let mut asked = exact("r", json!({"prompt": "a"}));
    asked.operation = Operation::Completions;
    let answer = place.desk.call(asked).await;
    assert_eq!(header(&answer, "x-isonomy-model"), Some("big"));
    assert_eq!(header(&answer, "x-isonomy-degraded"), None);
    assert!(small.seen().is_empty());
    let settled = place.settled.recv().await.expect("settled");
    assert_eq!(settled.legs[0].why, Some(Missed::Unjudged));
}

fn cached() -> Value {
    json!({"to": [{"model": "small"}], "cache": {"ttl": "PT1M"}})
}

/// Mutation: give an answer of another question, of another namespace, or after its time; charge for it, or
/// write nothing down.
#[tokio::test]
async fn the_same_question_gets_the_same_answer_for_a_while() {
    let small = answers("an-answer", 5, None).await;
    let mut place = place(vec![at("small", &small)], cached(), "1EUR/day");
    let first = place.desk.call(exact("r", json!({}))).await;
    assert_eq!(header(&first, "x-isonomy-cache"), None);
    let call = header(&first, "x-isonomy-call").expect("a call").to_owned();
    let first = text(first).await;
    place.settled.recv().await.expect("settled");
    place.passes(Duration::from_secs(59));
    let again = place.desk.call(exact("r", json!({"user": "ada"}))).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(header(&again, "x-isonomy-cache"), Some("hit"));
    assert_eq!(header(&again, "age"), Some("59"));
    assert_eq!(header(&again, "x-isonomy-model"), Some("small"));
    assert_eq!(header(&again, "x-isonomy-degraded"), None);
    assert_eq!(text(again).await, first);
    let settled = place.settled.recv().await.expect("settled");
    assert_eq!(settled.cached_from.map(|it| it.to_string()), Some(call));
    assert!(settled.bills.is_empty() && settled.legs.is_empty());
    assert_eq!((settled.end, settled.degraded), (End::Answered, false));
    assert_eq!(place.standing(), (5 * 1_000_000, 0));
    assert_eq!(small.seen().len(), 1);
    place.passes(Duration::from_secs(1));
    let others = [
        exact("r", json!({})),
        exact("r", json!({"max_tokens": 99})),
        exact("small", json!({})),
        question("r", 100, false),
        question("r", 100, false),
        question("r", 100, true),
        Question { fresh: Fresh::New, ..exact("r", json!({})) },
        Question { fresh: Fresh::Alone, ..exact("r", json!({})) },
    ];
    for (number, other) in others.into_iter().enumerate() {
        let answer = place.desk.call(other).await;
        assert_eq!(header(&answer, "x-isonomy-cache"), None, "{number}");
        text(answer).await;
        assert_eq!(small.seen().len(), number + 2);
    }
}

/// Mutation: leave out the labels of a run, or the definition, from what makes a question another one.
#[tokio::test]
async fn an_answer_is_kept_for_whom_it_was_given_and_by_whom() {
    let small = answers("an-answer", 5, None).await;
    let place = place(vec![at("small", &small)], cached(), "1EUR/day");
    let labelled = |labels: &[&str]| {
        let mut asked = exact("r", json!({}));
        let labels: Vec<String> = labels.iter().map(|it| (*it).to_owned()).collect();
        asked.of_run = Some(isonomy_gateway::desk::OfRun {
            key: "k".into(),
            labels: labels.into(),
            cap: None,
        });
        asked
    };
    let asks = async |asked: Question, expected: usize, what: &str| {
        assert_eq!(place.desk.call(asked).await.status, StatusCode::OK, "{what}");
        assert_eq!(small.seen().len(), expected, "{what}");
    };
    asks(exact("r", json!({})), 1, "the first").await;
    asks(exact("r", json!({})), 1, "the same").await;
    asks(labelled(&["health"]), 2, "other labels").await;
    asks(labelled(&["health"]), 2, "the same labels").await;
    place.put(vec![at("small", &small)], &[("r", cached())]);
    asks(exact("r", json!({})), 2, "nothing has changed").await;
    let mut changed = at("small", &small);
    changed.spec.limits.output_tokens = Some(50);
    place.put(vec![changed], &[("r", cached())]);
    asks(exact("r", json!({})), 3, "another definition").await;
}

/// Mutation: keep the answer of a fallback, so that it outlives the outage.
#[tokio::test]
async fn an_answer_of_a_fallback_is_not_kept() {
    let first = Server::start(|_, number| match number {
        1 => reply("500 Internal Server Error", &[], ""),
        _ => whole(&said("first", 1, None)),
    });
    let (first, second) = (first.await, answers("second", 1, None).await);
    let route = json!({"to": [{"model": "a"}, {"model": "b"}], "cache": {"ttl": "PT1M"}});
    let place = place(vec![at("a", &first), at("b", &second)], route, "1EUR/day");
    for expected in ["second", "first"] {
        let answer = place.desk.call(exact("r", json!({}))).await;
        assert!(text(answer).await.contains(expected));
    }
}

/// Mutation: give an answer that is too old, none where there is one, or one that nobody marks.
#[tokio::test]
async fn where_no_model_answers_an_answer_from_before_may_do() {
    let small = Server::start(|_, number| match number {
        1 => whole(&said("an-answer", 5, None)),
        _ => reply("500 Internal Server Error", &[], ""),
    });
    let small = small.await;
    let route = json!({"to": [{"model": "small"}, {"cached": {"within": "PT1H"}}]});
    let mut place = place(vec![at("small", &small)], route, "1EUR/day");
    // It is no cache: a question that may have many answers is asked again each time.
    let asked = || question("r", 100, false);
    let first = place.desk.call(asked()).await;
    assert_eq!(header(&first, "x-isonomy-degraded"), None);
    let first = text(first).await;
    place.settled.recv().await.expect("settled");
    place.passes(Duration::from_secs(3_599));
    let again = place.desk.call(asked()).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(header(&again, "x-isonomy-degraded"), Some("cached"));
    assert_eq!(text(again).await, first);
    let settled = place.settled.recv().await.expect("settled");
    assert_eq!((settled.resort, settled.legs.len()), (Some(Given::Cached), 1));
    assert!(settled.degraded && settled.cached_from.is_some() && settled.bills.is_empty());
    let other = place.desk.call(question("r", 99, false)).await;
    assert_eq!(other.status, StatusCode::SERVICE_UNAVAILABLE, "it is another question");
    place.passes(Duration::from_secs(1));
    assert_eq!(place.desk.call(asked()).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

/// Mutation: answer by rule though a model has said that the request is wrong, or in one form for all clients.
#[tokio::test]
async fn where_no_model_answers_a_rule_may() {
    let small = Server::start(|request, _| match request.contains("wrong") {
        true => reply("400 Bad Request", &JSON, "{\"error\":{\"message\":\"too long\"}}"),
        false => reply("500 Internal Server Error", &[], ""),
    });
    let small = small.await;
    let rules = json!([{"when": {"pattern": "(?i)hours"}, "text": "9 to 5"}]);
    let route = json!({"to": [{"model": "small"}, {"answer": {"rules": rules, "text": "later"}}]});
    let limited = model("small", &small.address(), "1", &json!({"limits": {"outputTokens": 100}}));
    let mut place = place(vec![limited], route, "1EUR/day");
    let asks = |words: &str, operation: Operation, streamed: bool| {
        let turn = json!([{"role": "user", "content": words}]);
        let said = match operation {
            Operation::Completions => json!({"prompt": words}),
            Operation::Responses => json!({"input": turn}),
            _ => json!({"messages": turn, "max_tokens": 100}),
        };
        let mut body = json!({"model": "r", "stream": streamed});
        for (name, value) in said.as_object().expect("members") {
            body[name] = value.clone();
        }
        let body = body.to_string().into();
        Question { operation, body, ..question("r", 100, streamed) }
    };
    use Operation::{Chat, Completions, Messages, Responses};
    for (words, expected) in [("Your HOURS?", "9 to 5"), ("hello", "later")] {
        for operation in [Chat, Completions, Messages, Responses] {
            for streamed in [false, true] {
                let answer = place.desk.call(asks(words, operation, streamed)).await;
                assert_eq!(answer.status, StatusCode::OK);
                assert_eq!(header(&answer, "x-isonomy-degraded"), Some("rule"));
                let kind = if streamed { "text/event-stream" } else { "application/json" };
                assert_eq!(header(&answer, "content-type"), Some(kind));
                assert!(text(answer).await.contains(expected), "{words} {operation:?} {streamed}");
                let settled = place.settled.recv().await.expect("settled");
                assert_eq!((settled.resort, settled.degraded), (Some(Given::Rule), true));
                assert!(settled.bills.is_empty() && settled.end == End::Answered);
            }
        }
    }
    assert_eq!(place.standing(), (0, 0));
    place.passes(Duration::from_secs(600));
    let wrong = place.desk.call(asks("wrong", Chat, false)).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
}

/// Fails at each second call, so that its lane stays open.
async fn shaky() -> Server {
    Server::start(|_, number| match number % 2 {
        0 => whole(&said("an-answer", 1, None)),
        _ => reply("500 Internal Server Error", &[], ""),
    })
    .await
}

/// Mutation: count a leg to a server that does not fail among those that are tried again.
#[tokio::test]
async fn a_server_that_is_well_takes_over_each_call() {
    let (shaky, good) = (shaky().await, answers("an-answer", 1, None).await);
    let route = json!({"to": [{"model": "shaky"}, {"model": "good"}]});
    let place = place(vec![at("shaky", &shaky), at("good", &good)], route, "1EUR/day");
    for _ in 0..100 {
        assert_eq!(place.ask("r", 10, false).await.status, StatusCode::OK);
    }
    assert_eq!(good.seen().len(), 50);
}

/// Mutation: try again without end, count an escalation, or say nothing of why.
#[tokio::test]
async fn only_a_share_of_the_calls_of_a_route_is_tried_again() {
    let shaky = shaky().await;
    let route = json!({"to": [{"model": "one"}, {"model": "other"}]});
    let mut place = place(vec![at("one", &shaky), at("other", &shaky)], route, "1EUR/day");
    let (mut failed, mut retried) = (0, 0);
    for _ in 0..100 {
        let answer = place.ask("r", 10, false).await;
        let settled = place.settled.recv().await.expect("settled");
        if answer.status != StatusCode::OK {
            failed += 1;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(settled.legs[1].why, Some(Missed::Retries));
            assert!(text(answer).await.contains("tried again"));
        } else if settled.legs.len() == 2 {
            retried += 1;
        }
    }
    assert!((RETRIES_FREE + 18..=RETRIES_FREE + 20).contains(&retried), "{retried}");
    assert!(failed > 10, "{failed}");
    assert_eq!(place.standing().1, 0);
}

fn hedged() -> Value {
    json!({"to": [{"model": "slow"}, {"model": "fast"}], "hedge": {"after": "PT0.05S"}})
}

/// Mutation: ask both at once, pay only for the winner, or hold only the dearer one.
#[tokio::test]
async fn the_next_model_is_asked_beside_one_that_says_nothing() {
    let slow = Server::start(|_, _| Reply::Hang(Vec::new())).await;
    let fast = answers("fast", 3, None).await;
    let models = || vec![at("slow", &slow), at("fast", &fast)];
    let mut rich = place(models(), hedged(), "1EUR/day");
    let answer = rich.ask("r", 100, false).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(header(&answer, "x-isonomy-model"), Some("fast"));
    assert_eq!(header(&answer, "x-isonomy-degraded"), Some("fallback"));
    let settled = rich.settled.recv().await.expect("settled");
    let whys: Vec<_> = settled.legs.iter().map(|leg| (leg.model.as_str(), leg.why)).collect();
    assert_eq!(whys, [("slow", Some(Missed::Slower)), ("fast", None)]);
    let bounds: Vec<bool> = settled.bills.iter().map(|bill| bill.is_bound).collect();
    assert_eq!(bounds, [true, false]);
    let (spent, held) = rich.standing();
    assert!(spent > 3 * 1_000_000 && held == 0, "{spent}");
    // A first one that is in time is alone.
    let quick = place(vec![at("slow", &fast), at("fast", &slow)], hedged(), "1EUR/day");
    let before = slow.seen().len();
    assert_eq!(quick.ask("r", 100, false).await.status, StatusCode::OK);
    assert_eq!(slow.seen().len(), before);
}

/// Mutation: ask a second one that there is no room for.
#[tokio::test]
async fn without_room_for_both_nobody_is_asked_beside() {
    let mut slow = Server::start(|_, _| Reply::Hang(Vec::new())).await;
    let fast = answers("fast", 3, None).await;
    let slow_model =
        model("slow", &slow.address(), "1", &json!({"limits": {"firstByteSeconds": 1}}));
    let place = place(vec![slow_model, at("fast", &fast)], hedged(), "0.0007EUR/day");
    let asked = place.ask("r", 100, false);
    let answer = asked.await;
    slow.arrival().await;
    // Its end is not known, and there is no room for another one behind it either.
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(fast.seen().is_empty());
    let (spent, held) = place.standing();
    assert!(spent > 0 && spent <= Amount::from_micros(700).pico() && held == 0);
}

/// Mutation: give up where the one beside may still answer, or pay for a failure.
#[tokio::test]
async fn of_two_beside_each_other_one_that_fails_leaves_it_to_the_other() {
    let slow = Server::start(|_, _| Reply::Hang(Vec::new())).await;
    let broken = fails().await;
    let limited = model("slow", &slow.address(), "1", &json!({"limits": {"firstByteSeconds": 1}}));
    let mut place = place(vec![limited, at("fast", &broken)], hedged(), "1EUR/day");
    let answer = place.ask("r", 100, false).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let settled = place.settled.recv().await.expect("settled");
    let whys: Vec<_> = settled.legs.iter().map(|leg| (leg.model.as_str(), leg.why)).collect();
    assert_eq!(whys, [("fast", Some(Missed::Status)), ("slow", Some(Missed::Silent))]);
    let bills: Vec<&str> = settled.bills.iter().map(|bill| bill.model.as_str()).collect();
    assert_eq!(bills, ["slow"], "nobody bills an error");
    assert_eq!(broken.seen().len(), 1, "it is not asked again");
}

/// Mutation: take what the second one says of the request for what the first one would say, or forget it where nothing
/// good is behind the head of the first one.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_the_second_one_does_not_take_the_first_one_may() {
    let (good, none) = (whole(&said("good", 1, None)), reply("200 OK", &[], "{\"half\":"));
    for (answers, status, by) in
        [(good, StatusCode::OK, "slow"), (none, StatusCode::BAD_REQUEST, "fast")]
    {
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let gone = std::sync::Mutex::new(gone);
        let (Reply::Send(answers), Reply::Send(refusal)) =
            (answers, reply("400 Bad Request", &[], r#"{"error":{"message":"no"}}"#))
        else {
            panic!("it is sent")
        };
        let first = Server::start(move |_, _| {
            let told = || gone.lock().expect("no panic").recv();
            tokio::task::block_in_place(told).expect("it is told to go on");
            Reply::Send(answers.clone())
        });
        let second = Server::start(move |_, _| Reply::Hang(refusal.clone()));
        let (first, mut second) = (first.await, second.await);
        let place = place(vec![at("slow", &first), at("fast", &second)], hedged(), "1EUR/day");
        let (answer, ()) = tokio::join!(place.ask("r", 100, false), async {
            // Its answer was read.
            second.close().await;
            go.send(()).expect("somebody waits");
        });
        assert_eq!((answer.status, header(&answer, "x-isonomy-model")), (status, Some(by)));
    }
}

/// Mutation: leave the slower one where nothing good is behind the head of the faster one.
#[tokio::test]
async fn the_slower_one_is_asked_again_where_the_faster_one_has_no_answer() {
    let slow = Server::start(|_, number| match number {
        1 => Reply::Hang(Vec::new()),
        _ => whole(&said("late", 1, None)),
    });
    let (slow, broken) = (slow.await, Server::start(|_, _| reply("200 OK", &[], "<html>")).await);
    let mut place = place(vec![at("slow", &slow), at("fast", &broken)], hedged(), "1EUR/day");
    let answer = place.ask("r", 100, false).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(header(&answer, "x-isonomy-model"), Some("slow"));
    let settled = place.settled.recv().await.expect("settled");
    let bills: Vec<_> = settled.bills.iter().map(|it| (it.model.as_str(), it.is_bound)).collect();
    assert_eq!(bills, [("slow", true), ("fast", true), ("slow", false)]);
    assert_eq!((slow.seen().len(), broken.seen().len(), place.standing().1), (2, 1, 0));
}

/// Mutation: pay for one of two that are under way when nobody waits any more.
#[tokio::test]
async fn a_call_that_is_left_with_two_models_asked_pays_for_both() {
    let mut slow = Server::start(|_, _| Reply::Hang(Vec::new())).await;
    let mut other = Server::start(|_, _| Reply::Hang(Vec::new())).await;
    let mut place = place(vec![at("slow", &slow), at("fast", &other)], hedged(), "1EUR/day");
    let mut asked = place.desk.call(question("r", 100, false));
    tokio::select! {
        answer = &mut asked => panic!("nobody has answered: {answer:?}"),
        () = async { tokio::join!(slow.arrival(), other.arrival()); } => {}
    }
    drop(asked);
    // What goes on with it begins to wait; from then on the clock goes by itself.
    tokio::task::yield_now().await;
    tokio::time::pause();
    let settled = place.settled.recv().await.expect("settled");
    assert_eq!(settled.end, End::Left);
    let bounds: Vec<bool> = settled.bills.iter().map(|bill| bill.is_bound).collect();
    assert_eq!(bounds, [true, true]);
    assert_eq!(place.standing().1, 0);
}

/// Mutation: say that a request is wrong to whoever could have an answer, or pay for it twice.
#[tokio::test]
async fn a_later_model_that_refuses_leaves_the_unsure_answer() {
    let small = answers("maybe", 5, None).await;
    let big = Server::start(|_, _| reply("400 Bad Request", &JSON, "{}")).await;
    let models = vec![at("small", &small), at("big", &big)];
    let place = place(models, cascade(json!({"pattern": "^(yes|no)$"})), "1EUR/day");
    let answer = place.ask("r", 100, false).await;
    assert_eq!(header(&answer, "x-isonomy-degraded"), Some("unsure"));
    assert_eq!(place.standing(), (5 * 1_000_000, 0));
}
