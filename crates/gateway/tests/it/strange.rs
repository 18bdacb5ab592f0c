//! What servers and clients do that few of them do: nothing gets by, and nothing is lost.

use std::sync::Arc;

use base::SecretName;
use http::StatusCode;
use isonomy_gateway::desk::ShelfParts;
use models::{End, Missed, Operation};
use pricing::Catalogue;
use serde_json::{Value, json};

use crate::desk::{Place, STREAM, answer, model, question, sales, text};
use crate::protect::{CARD, MAIL, asked, got, place, protect};
use crate::server::{Reply, Server, reply};

/// A stream of chunks with these pieces.
fn stream(pieces: impl IntoIterator<Item = Value>, behind: &str) -> Reply {
    let chunk = |delta: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": null});
        format!("data: {}\n\n", json!({"id": "c", "choices": [choice]}))
    };
    let events: String = pieces.into_iter().map(chunk).collect();
    Reply::Send(format!("{STREAM}{events}{behind}data: [DONE]\n\n").into())
}

/// All texts that stand at this place in the pieces of a stream.
fn joined(stream: &str, place: &str) -> String {
    let events = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = events.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    let piece = |event: Value| event.pointer(&format!("/choices/0/delta{place}")).cloned();
    events.filter_map(piece).filter_map(|it| it.as_str().map(str::to_owned)).collect()
}

/// A piece with a text, and where it has it.
type Piece = (&'static str, fn(&str) -> Value);

/// Where interfaces have had texts, and one where none has yet.
fn places() -> [Piece; 7] {
    [
        ("/function_call/arguments", |it| json!({"function_call": {"arguments": it}})),
        (
            "/tool_calls/0/custom/input",
            |it| json!({"tool_calls": [{"index": 0, "type": "custom", "custom": {"name": "f", "input": it}}]}),
        ),
        ("/audio/transcript", |it| json!({"audio": {"id": "a", "transcript": it}})),
        (
            "/reasoning_details/0/text",
            |it| json!({"reasoning_details": [{"type": "reasoning.text", "text": it, "index": 0}]}),
        ),
        ("/content/0/text", |it| json!({"content": [{"type": "text", "text": it}]})),
        ("/lines/0", |it| json!({"lines": [it]})),
        ("/new/deeper/words", |it| json!({"new": {"deeper": {"words": it}}})),
    ]
}

/// Mutation: follow only texts whose members are known, send what is held back to another place, or take
/// pieces of two places for one text.
#[tokio::test]
async fn texts_of_a_stream_are_followed_wherever_they_stand() {
    for (at, piece) in places() {
        // What it was asked, letter by letter: the stand-ins among it.
        let server = Server::start(move |request, _| {
            let said = json!({ "t": got(request) }).to_string();
            stream(said.chars().map(|letter| piece(&letter.to_string())), "")
        });
        let server = server.await;
        let of = |more: &Value| vec![model("m", &server.address(), "1", more)];
        let veiled = place(of(&json!({"protect": protect()})), "1EUR/day");
        let told = text(veiled.desk.call(asked(Operation::Chat, true)).await).await;
        let said: Value = serde_json::from_str(&joined(&told, at)).expect(&told);
        let said = said["t"].as_str().expect("a text");
        assert!(said.contains(MAIL) && said.ends_with('.'), "{at}: {said}");
        let server = Server::start(move |_, _| {
            let said = format!("Pay with {CARD} now, or write to {MAIL}");
            stream(said.chars().map(|letter| piece(&letter.to_string())), "")
        });
        let server = server.await;
        let rules =
            json!({"protect": {"rules": "none", "answers": {"card": "redact", "email": "redact"}}});
        let mut place = place(vec![model("m", &server.address(), "1", &rules)], "1EUR/day");
        let told = text(place.desk.call(asked(Operation::Chat, true)).await).await;
        assert_eq!(joined(&told, at), "Pay with [CARD] now, or write to [EMAIL]", "{at}");
        let hidden = place.settled.recv().await.expect("settled").hidden;
        assert_eq!((hidden.get("card"), hidden.get("email")), (Some(&1), Some(&1)), "{at}");
    }
}

/// Mutation: take texts for one that come by turns and have their own numbers.
#[tokio::test]
async fn texts_that_come_by_turns_are_several() {
    let said = [format!("Write to {MAIL}, please"), format!("Pay with {CARD} now")];
    let server = Server::start(move |_, _| {
        let letters = said.each_ref().map(|it| it.chars().map(String::from).collect::<Vec<_>>());
        let turns = (0..60).flat_map(|at| [(0, at), (1, at)]);
        let piece = |(number, at): (usize, usize)| {
            let call = json!({"index": number, "custom": {"input": letters[number].get(at)?}});
            Some(json!({"tool_calls": [call]}))
        };
        stream(turns.filter_map(piece), "")
    });
    let server = server.await;
    let rules =
        json!({"protect": {"rules": "none", "answers": {"card": "redact", "email": "redact"}}});
    let place = place(vec![model("m", &server.address(), "1", &rules)], "1EUR/day");
    let told = text(place.desk.call(asked(Operation::Chat, true)).await).await;
    let of = |number: u64| {
        let is_it = |line: &&str| line.contains(&format!("_calls\":[{{\"index\":{number},"));
        let lines = told.lines().filter(is_it).collect::<Vec<_>>().join("\n");
        joined(&lines, "/tool_calls/0/custom/input")
    };
    assert_eq!(
        (of(0).as_str(), of(1).as_str()),
        ("Write to [EMAIL], please", "Pay with [CARD] now")
    );
}

/// Mutation: pass an error in a stream as it is, let it overtake what is held back, or leave the words one by
/// one beside the text that they are of.
#[tokio::test]
async fn what_stands_beside_the_text_is_looked_through() {
    let error = json!({"error": {"message": format!("cannot reach {MAIL}")}});
    let server = Server::start(move |_, _| {
        let held = json!({"content": "Write to ada.love"});
        stream([held], &format!("data: {error}\n\n"))
    });
    let server = server.await;
    let rules = json!({"protect": {"rules": "none", "answers": {"email": "redact"}}});
    let of = |server: &Server| vec![model("m", &server.address(), "1", &rules)];
    let told = text(place(of(&server), "1EUR/day").desk.call(asked(Operation::Chat, true)).await);
    let told = told.await;
    assert!(told.contains("cannot reach [EMAIL]") && !told.contains(MAIL), "{told}");
    assert!(told.find("ada.love") < told.find("cannot reach"), "{told}");

    // What is left out may stand in what is looked through, and half of a letter waits for the other.
    let more = json!({"choices": [], "more": {"note": MAIL, "logprobs": {"content": []}}});
    let half = r#"{"choices":[{"index":0,"delta":{"content":"\ud83d"}}]}"#;
    let clean = r#"{"choices":[],"more":{"note":"[EMAIL]","logprobs":null}}"#;
    for (event, expected) in [(more.to_string(), clean), (half.to_owned(), r#""content":"""#)] {
        let server = Server::start(move |_, _| stream([], &format!("data: {event}\n\n"))).await;
        let place = place(of(&server), "1EUR/day");
        let told = text(place.desk.call(asked(Operation::Chat, true)).await).await;
        assert!(told.contains(expected) && !told.contains("ud83d"), "{told}");
    }

    let words = json!({"content": [{"token": "ada@", "logprob": -0.1}]});
    let whole = json!({"choices": [{"message": {"content": "ada@"}, "logprobs": words}], "usage": {"prompt_tokens": 7, "completion_tokens": 3}});
    for streamed in [false, true] {
        let (whole, words) = (whole.to_string(), words.clone());
        let server = Server::start(move |_, _| {
            if !streamed {
                return reply("200 OK", &[("content-type", "application/json")], &whole);
            }
            let choice = json!({"index": 0, "delta": {"content": "ada@"}, "logprobs": words});
            stream([], &format!("data: {}\n\n", json!({"choices": [choice]})))
        });
        let server = server.await;
        let place = place(of(&server), "1EUR/day");
        let told = text(place.desk.call(asked(Operation::Chat, streamed)).await).await;
        assert!(told.contains("\"logprobs\":null") && !told.contains("token\""), "{told}");
    }
}

/// Mutation: take events of several lines by their first one.
#[tokio::test]
async fn an_event_may_have_several_lines() {
    let server = Server::start(|request, _| {
        let said = json!(got(request)).to_string();
        let event = format!(
            "data: {{\"choices\":[{{\"index\":0,\ndata: \"delta\":{{\"content\":{said}}}}}]}}\n\n"
        );
        stream([], &event)
    });
    let server = server.await;
    let of = vec![model("m", &server.address(), "1", &json!({"protect": protect()}))];
    let told = text(place(of, "1EUR/day").desk.call(asked(Operation::Chat, true)).await).await;
    assert!(joined(&told, "/content").contains(MAIL), "{told}");
}

/// Mutation: pass JSON on to a client that reads events, forget the end of them, tell what was used to whoever has not
/// asked; neither look through it nor put names back, or book it at its bound.
#[tokio::test]
async fn a_whole_answer_is_a_stream_for_whoever_has_asked_for_one() {
    const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
    let server = Server::start(|request, _| {
        let said = format!("{} {CARD}", got(request));
        let answer = if request.starts_with("POST /v1/responses ") {
            let part = json!({"type": "output_text", "text": said, "annotations": []});
            let message =
                json!({"type": "message", "id": "msg", "role": "assistant", "content": [part]});
            let usage = json!({"input_tokens": 7, "output_tokens": 3, "total_tokens": 10});
            json!({"id": "r", "object": "response", "status": "completed", "output": [message], "usage": usage})
        } else {
            let message = json!({"role": "assistant", "content": said});
            let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
            let usage = json!({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10});
            json!({"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage})
        };
        reply("200 OK", &JSON, &answer.to_string())
    });
    let server = server.await;
    let mut rules = protect();
    rules["answers"] = json!({"card": "redact"});
    let of = || vec![model("m", &server.address(), "1", &json!({"protect": rules}))];
    for (operation, end) in [
        (Operation::Chat, "data: [DONE]\n\n"),
        (Operation::Messages, "data: {\"type\":\"message_stop\"}\n\n"),
        (Operation::Responses, "\n\n"),
    ] {
        let mut place = place(of(), "1EUR/day");
        let answered = place.desk.call(asked(operation, true)).await;
        assert_eq!(answered.headers["content-type"], "text/event-stream");
        let told = text(answered).await;
        assert!(told.ends_with(end) && told.starts_with(['d', 'e']), "{told}");
        assert!(told.contains(MAIL) && told.contains("[CARD]"), "{told}");
        assert!(!told.contains("EMAIL-") && !told.contains(CARD), "{told}");
        let is_told = told.contains("total_tokens") && operation == Operation::Chat;
        assert!(!is_told, "nobody has asked for it: {told}");
        let settled = place.settled.recv().await.expect("settled");
        let used = settled.bills[0].usage.expect("it says so");
        assert_eq!((used.input, used.output, settled.bills[0].is_bound), (7, 3, false));
        let whole = text(place.desk.call(asked(operation, false)).await).await;
        assert!(serde_json::from_str::<Value>(&whole).is_ok(), "{whole}");
    }
}

/// Mutation: wait for another end of a line than a CR, which the standard has too, or look for the end of an event in
/// another way where answers are judged.
#[tokio::test]
async fn lines_of_a_stream_end_in_any_way() {
    for end in ["\r", "\n", "\r\n"] {
        let server = Server::start(move |request, _| {
            let said = json!({"content": got(request)});
            let Reply::Send(bytes) = stream([said], "") else { panic!("a stream") };
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let (head, events) = text.split_once("\r\n\r\n").expect("a head");
            Reply::Send(format!("{head}\r\n\r\n{}", events.replace('\n', end)).into())
        });
        let server = server.await;
        let of = vec![model("m", &server.address(), "1", &json!({"protect": protect()}))];
        let told = text(place(of, "1EUR/day").desk.call(asked(Operation::Chat, true)).await).await;
        assert!(joined(&told, "/content").contains(MAIL), "{end:?}: {told}");
        assert!(told.ends_with("data: [DONE]\n\n") && !told.contains('\r'), "{end:?}: {told}");
    }
}

/// Mutation: take for an answer what is none, or pass on what nobody could read.
#[tokio::test]
async fn what_cannot_be_read_is_no_answer() {
    const JSON: (&str, &str) = ("content-type", "application/json");
    const PACKED: [(&str, &str); 2] = [JSON, ("content-encoding", "gzip")];
    const EVENTS: [(&str, &str); 2] =
        [("content-type", "text/event-stream"), ("content-encoding", "gzip")];
    for (headers, body, streamed) in [
        (&[("content-type", "text/html")][..], "<html>busy</html>", false),
        (&[JSON], "", false),
        (&[JSON], "{\"choices\":[{\"message\"", false),
        (&PACKED, "{}", false),
        (&EVENTS, "data: {}\n\n", true),
    ] {
        let broken = Server::start(move |_, _| reply("200 OK", headers, body)).await;
        let good = Server::start(|_, _| answer(10, 10)).await;
        let models = vec![
            model("cloud", &broken.address(), "1", &json!({})),
            model("local", &good.address(), "1", &json!({})),
        ];
        let mut place = Place::with(models, &["cloud", "local"], "1EUR/day");
        let answered = place.ask("assistant", 100, streamed).await;
        assert_eq!(answered.status, StatusCode::OK, "{body}");
        assert_eq!(answered.headers["x-isonomy-model"], "local", "{body}");
        assert_eq!(answered.headers["x-isonomy-degraded"], "fallback");
        text(answered).await;
        let settled = place.settled.recv().await.expect("settled");
        assert_eq!(settled.legs.len(), 2, "{body}");
        assert_eq!((settled.legs[0].why, settled.end), (Some(Missed::Broken), End::Answered));
        // Whoever has sent it may want to be paid.
        assert!(settled.bills[0].is_bound, "{body}");
    }
}

/// Mutation: say of a free model that it has no price, where it answers or where nobody knows how it ended; or of one
/// without a price that it is free.
#[tokio::test]
async fn a_free_model_costs_nothing_whatever_it_does() {
    let broken = Server::start(|_, _| reply("200 OK", &[], "")).await;
    let good = Server::start(|_, _| answer(10, 10)).await;
    let (free, none) = (json!({"price": "free"}), json!({"price": null}));
    let of = |more: &Value| {
        vec![
            model("cloud", &broken.address(), "1", more),
            model("local", &good.address(), "1", more),
        ]
    };
    let mut place = Place::with(of(&free), &["cloud", "local"], "0.000001EUR/day");
    for streamed in [false, true] {
        text(place.ask("assistant", 100, streamed).await).await;
        let settled = place.settled.recv().await.expect("settled");
        let bills: Vec<_> = settled.bills.iter().map(|it| (it.is_free, it.cost)).collect();
        assert_eq!(bills, [(true, None), (true, None)]);
        assert!(settled.bills[1].usage.is_some_and(|used| used.output == 10));
    }
    // Without a budget, it is asked.
    let mut place = Place::with(of(&none), &[], "1EUR/day");
    let mut asked = question("local", 100, false);
    asked.who.by.key = None;
    assert_eq!(place.desk.call(asked).await.status, StatusCode::OK);
    let settled = place.settled.recv().await.expect("settled");
    assert_eq!((settled.bills[0].is_free, settled.bills[0].cost), (false, None));
}

/// Mutation: go on to the next model of a route without a word, or name one that was not missed.
#[tokio::test]
async fn a_model_that_is_not_there_is_missed() {
    let server = Server::start(|_, _| answer(10, 10)).await;
    let models = || vec![model("local", &server.address(), "1", &json!({}))];
    let mut place = Place::with(models(), &["gone", "local", "gone-too"], "1EUR/day");
    let answered = place.ask("assistant", 100, false).await;
    assert_eq!(answered.headers["x-isonomy-degraded"], "fallback");
    let settled = place.settled.recv().await.expect("settled");
    let legs: Vec<_> = settled.legs.iter().map(|it| (it.model.as_str(), it.why)).collect();
    assert_eq!(legs, [("gone", Some(Missed::Absent)), ("local", None)]);
    let mut place = Place::with(models(), &["local", "gone"], "1EUR/day");
    let answered = place.ask("assistant", 100, false).await;
    assert!(!answered.headers.contains_key("x-isonomy-degraded"));
    assert_eq!(place.settled.recv().await.expect("settled").legs.len(), 1);
    let place = Place::with(models(), &["gone"], "1EUR/day");
    assert_eq!(place.ask("assistant", 100, false).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

/// Mutation: go on resting for a secret that was replaced, send the old one, or forget those of others.
#[tokio::test]
async fn a_secret_that_was_replaced_is_tried_at_once() {
    let server = Server::start(|_, n| match n {
        1 | 2 => reply("401 Unauthorized", &[], "{}"),
        _ => answer(10, 10),
    });
    let server = server.await;
    let place = Place::with(vec![model("m", &server.address(), "1", &json!({}))], &[], "1EUR/day");
    let refused = || async { place.ask("m", 100, false).await.status };
    assert_eq!(refused().await, StatusCode::SERVICE_UNAVAILABLE);
    let (key, other) = ["key", "other"].map(|it| SecretName::parse(it).expect("a name")).into();
    place.desk.secret_changed(&sales(), &other);
    assert_eq!(refused().await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(server.seen().len(), 1);
    place.desk.secret_changed(&sales(), &key);
    assert_eq!(refused().await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(server.seen().len(), 2);
    place.desk.secret_changed(&sales(), &key);
    assert_eq!(place.ask("m", 100, false).await.status, StatusCode::OK);
}

/// Mutation: read a date as no time, or ask again before it.
#[tokio::test]
async fn whoever_names_a_date_is_not_asked_before_it() {
    // 20 seconds behind what the clock of the place says.
    let headers = [("retry-after", "Fri, 15 Jan 2027 08:00:20 GMT")];
    let server = Server::start(move |_, _| reply("429 Too Many Requests", &headers, "{}")).await;
    let place = Place::with(vec![model("m", &server.address(), "1", &json!({}))], &[], "1EUR/day");
    for _ in 0..2 {
        let refused = place.ask("m", 100, false).await;
        assert_eq!(refused.headers["retry-after"], "20");
    }
    place.passes(base::Duration::from_secs(19));
    place.ask("m", 100, false).await;
    assert_eq!(server.seen().len(), 1);
    place.passes(base::Duration::from_secs(1));
    place.ask("m", 100, false).await;
    assert_eq!(server.seen().len(), 2);
}

/// Mutation: bound a call by the standard service where the provider may choose a dearer one, or by any price
/// where the request asks for something that has none.
#[tokio::test]
async fn a_call_is_bounded_by_the_dearest_service_that_it_may_get() {
    let server = Server::start(|_, _| answer(10, 10)).await;
    let price = json!({"price": {"catalogue": "google/gemini-2.5-flash"}, "limits": {"contextTokens": 1_000_000}});
    let shelved = || ShelfParts {
        models: vec![model("m", &server.address(), "1", &price)],
        catalogue: Some(Arc::new(Catalogue::shipped().expect("a catalogue"))),
        ..ShelfParts::default()
    };
    // 60,000 tokens out: 0.15 USD by the standard service, 0.27 USD by the dear one.
    let body =
        |more: &str| format!("{{\"model\":\"m\",\"max_tokens\":60000,\"messages\":[]{more}}}");
    for (more, cap, expected) in [
        (",\"service_tier\":\"default\"", "0.2USD/day", StatusCode::OK),
        ("", "0.2USD/day", StatusCode::PAYMENT_REQUIRED),
        ("", "0.3USD/day", StatusCode::OK),
        (",\"service_tier\":\"auto\"", "0.2USD/day", StatusCode::PAYMENT_REQUIRED),
        (",\"service_tier\":\"priority\"", "0.3USD/day", StatusCode::OK),
        (",\"speed\":\"fast\"", "1000USD/day", StatusCode::PAYMENT_REQUIRED),
    ] {
        let place = Place::with(Vec::new(), &[], cap);
        place.desk.put(shelved());
        let mut question = question("m", 100, false);
        question.body = body(more).into();
        assert_eq!(place.desk.call(question).await.status, expected, "{more} {cap}");
    }
}

/// Mutation: bill by the prices of the moment in which the answer has come.
#[tokio::test]
async fn a_call_is_billed_by_the_prices_that_it_was_bounded_with() {
    let mut place = Place::with(Vec::new(), &[], "1EUR/total");
    let days = place.hand();
    let server = Server::start(move |_, _| {
        days(base::Duration::from_secs(3 * 24 * 3600));
        answer(0, 100)
    });
    let server = server.await;
    let row = |price: &str, from: &str, to: &str| {
        format!(
            "acme,m,,,,,EUR,,,,0,,,{price},,,,,,,,{from},{to},https://acme.example/p,,2026-11-01\n"
        )
    };
    let head = "provider,model,region,service,above,span,currency,cache_read,cache_write_5m,cache_write_1h,input,audio_in,image_in,output,reasoning,audio_out,image_out,image,search,request,second,from,to,source,via,dated\n";
    let prices = [head, &row("1000", "", "2027-01-16"), &row("5000", "2027-01-16", "")].concat();
    let models = "provider,model,aliases,kind,context_tokens,output_tokens_max,image_tokens_max,capabilities,retires,source,via,dated\n\
        acme,m,,chat,8000,100,,,,https://acme.example/p,,2026-11-01\n";
    let price = json!({"price": {"catalogue": "acme/m"}});
    place.desk.put(ShelfParts {
        models: vec![model("m", &server.address(), "1", &price)],
        catalogue: Some(Arc::new(Catalogue::read(models, &prices).expect("a catalogue"))),
        ..ShelfParts::default()
    });
    assert_eq!(place.ask("m", 100, false).await.status, StatusCode::OK);
    let charged = place.settled.recv().await.expect("settled").charged;
    assert_eq!(charged[0].amount.to_string(), "0.10 EUR");
}
