//! A person as the last resort of a route: asked over HTTP and by a run, over a site that is killed.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;

use serde_json::{Value, json};

use crate::models::until;
use crate::support::world::{Answer, World};
use crate::support::{Home, document};

const SECRET: &str = "may-i-take-both-pills";
const ANSWER: &str = "no-take-one-and-call-us";

/// What came: the status, the head in small letters, and the body.
struct Said {
    status: u16,
    head: String,
    body: String,
}

impl Said {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(it, _)| *it == name).map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

fn post(url: &str, key: &str, path: &str, body: &Value) -> Said {
    let host = url.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(host).expect("it listens");
    let body = body.to_string();
    write!(
        stream,
        "POST {path} HTTP/1.0\r\nhost: {host}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    Said { status, head: head.replace("\r\n", "\n").to_lowercase(), body: body.to_owned() }
}

fn ask(url: &str, key: &str, words: &str, streamed: bool) -> Said {
    let messages = json!([{"role": "user", "content": words}]);
    let body = json!({"model": "desk", "stream": streamed, "messages": messages});
    post(url, key, "/v1/chat/completions", &body)
}

/// One model that is down, one that is not sure, and routes that end in a person.
fn place(home: &Home, world: &World, wait: &str) -> String {
    let write = |kind: &str, name: &str, spec: Value| {
        let metadata = json!({"namespace": "clinic", "name": name});
        let document = json!({"apiVersion": "isonomy.dev/v1", "kind": kind, "metadata": metadata, "spec": spec});
        home.write(&format!("shop/{name}.yaml"), &document.to_string());
    };
    for name in ["dead", "half"] {
        let upstream = json!({"url": format!("{}/{name}/v1", world.url)});
        write("Model", name, json!({"upstream": upstream, "price": "free"}));
    }
    let person = json!({"person": {"within": "PT1H", "wait": wait}});
    write("Route", "desk", json!({"to": [{"model": "dead"}, person]}));
    let unsure = json!({"model": "half", "accept": {"pattern": "^sure"}});
    write("Route", "sure", json!({"to": [unsure, person]}));
    home.run(&["apply", "-f", "shop", "--yes"]).ends_with(0);
    let key = ["keys", "create", "bot", "--scope", "model", "-n", "clinic"];
    home.run(&key).ends_with(0).stdout.trim().to_owned()
}

fn world() -> World {
    World::new(|request| match request.path.as_str() {
        "/half/v1/chat/completions" => {
            let message = json!({"role": "assistant", "content": "perhaps"});
            let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
            let usage = json!({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2});
            Answer::Json(
                json!({"object": "chat.completion", "choices": [choice], "usage": usage})
                    .to_string(),
            )
        }
        _ => Answer::Status(503),
    })
}

fn answer(home: &Home, question: &str, more: &[&str]) -> crate::support::Ended {
    home.run(&[&["calls", "answer", question, "-n", "clinic"], more].concat())
}

/// The questions that wait, once there are so many.
fn waiting(home: &Home, count: usize) -> Vec<String> {
    let inbox = ["calls", "inbox", "-n", "clinic", "-o", "json"];
    let waits = |said: &Value| -> Vec<String> {
        let items = said["items"].as_array().expect("items").iter();
        let items = items.filter(|it| it["state"] == "waiting");
        items.map(|it| it["call"].as_str().expect("an id").to_owned()).collect()
    };
    waits(&until(home, &inbox, |said| waits(said).len() == count))
}

/// Mutation: keep the question in memory, tell the one who has asked nothing of it, ask the model again, or lose
/// the answer; give it in one form to all, or write what was said where it does not belong.
#[test]
fn a_question_and_its_answer_outlive_a_site_that_is_killed() {
    let (home, world) = (Home::new(), world());
    home.allow(&world.url);
    let dev = home.dev();
    let key = place(&home, &world, "PT0.2S");
    let first = ask(&dev.url, &key, SECRET, false);
    assert_eq!((first.status, first.header("retry-after")), (503, Some("30")), "{}", first.head);
    assert_eq!(first.json()["error"]["code"], "person_asked");
    let question = first.header("x-isonomy-asked").expect("a question").to_owned();
    assert_eq!(world.requests().len(), 1);
    dev.kill();
    let dev = home.dev();
    let again = ask(&dev.url, &key, SECRET, true);
    assert_eq!((again.status, again.header("x-isonomy-asked")), (503, Some(&*question)));
    assert!(world.requests().is_empty(), "no model is asked for a question that waits");
    assert_eq!(waiting(&home, 1), std::slice::from_ref(&question));
    let listed = home.run(&["calls", "inbox", "-n", "clinic"]).ends_with(0).stdout;
    assert!(listed.contains("key:bot") && listed.contains("waits"), "{listed}");
    assert!(!listed.contains(SECRET), "{listed}");
    let shown = home.run(&["calls", "inbox", "show", &question, "-n", "clinic"]).ends_with(0);
    assert!(
        shown.stdout.contains(&format!("the user's last words\n  {SECRET}")),
        "{}",
        shown.stdout
    );

    answer(&home, &question, &["--text", " "]).ends_with(2);
    answer(&home, &question, &["--text", ANSWER]).ends_with(0);
    let refused = answer(&home, &question, &["--text", "other"]).ends_with(2).stderr;
    assert!(refused.contains("MDL-006") && refused.contains("tester has said"), "{refused}");
    dev.kill();
    let dev = home.dev();
    let told = ask(&dev.url, &key, SECRET, false);
    assert_eq!((told.status, told.header("x-isonomy-degraded")), (200, Some("person")));
    assert_eq!(told.json()["choices"][0]["message"]["content"], ANSWER);
    let stream = ask(&dev.url, &key, SECRET, true);
    assert_eq!(stream.header("content-type"), Some("text/event-stream"));
    assert!(
        stream.body.contains(ANSWER) && stream.body.ends_with("data: [DONE]\n\n"),
        "{}",
        stream.body
    );
    assert!(world.requests().is_empty(), "no model is asked again");
    let call = told.header("x-isonomy-call").expect("a call").to_owned();
    let explain = ["calls", "explain", &call, "-n", "clinic"];
    let said = home.run(&explain).ends_with(0).stdout;
    assert!(
        said.contains("a person has")
            && said.contains(&format!("tester has answered or declined: {question}")),
        "{said}"
    );

    // Another question, which is declined.
    let other = ask(&dev.url, &key, "another", false);
    let other = other.header("x-isonomy-asked").expect("a question").to_owned();
    answer(&home, &other, &["--decline", "--reason", "ask your doctor"]).ends_with(0);
    let declined = ask(&dev.url, &key, "another", false);
    assert_eq!(
        (declined.status, &declined.json()["error"]["code"]),
        (422, &json!("person_declined"))
    );
    assert!(declined.body.contains("ask your doctor"), "{}", declined.body);
    // Only who may act in the namespace sees and answers.
    let missing = home.run(&["calls", "inbox", "show", &question, "-n", "other"]).ends_with(2);
    assert!(missing.stderr.contains("MDL-004"), "{}", missing.stderr);
    let viewer = ["keys", "create", "looker", "--role", "viewer", "-n", "clinic"];
    let viewer = home.run(&viewer).ends_with(0).stdout.trim().to_owned();
    let path = format!("/api/v1/namespaces/clinic/questions/{question}/answer");
    assert_eq!(post(&dev.url, &viewer, &path, &json!({"text": "a"})).status, 403);

    let ended = dev.stop().ends_with(0);
    assert!(!(ended.stdout + &ended.stderr).contains(SECRET));
    home.is_whole();
    let db = rusqlite::Connection::open(home.path(".isonomy/isonomy.db")).expect("opens");
    let all = |sql: &str| -> String {
        let mut rows = db.prepare(sql).expect("a table");
        let rows = rows.query_map([], |row| row.get::<_, String>(0)).expect("rows");
        rows.collect::<Result<Vec<_>, _>>().expect("rows").join("\n")
    };
    let changes = all("SELECT actor || CAST(change AS TEXT) FROM changes");
    assert!(changes.contains("question-answered") && changes.contains(&question), "{changes}");
    for written in [changes, all("SELECT CAST(record AS TEXT) FROM call_pages")] {
        assert!(!written.contains(SECRET) && !written.contains(ANSWER));
    }
}

/// Mutation: answer whoever waits only when he asks again; give what no model was sure of though a person is
/// asked; or wake another question.
#[test]
fn whoever_waits_is_answered_at_once() {
    let (home, world) = (Home::new(), world());
    home.allow(&world.url);
    let dev = home.dev();
    let key = place(&home, &world, "PT1M");
    let url = &dev.url;
    thread::scope(|scope| {
        let unsure = scope.spawn(|| {
            let messages = json!([{"role": "user", "content": SECRET}]);
            let body = json!({"model": "sure", "max_tokens": 9, "messages": messages});
            post(url, &key, "/v1/messages", &body)
        });
        let question = waiting(&home, 1);
        let other = scope.spawn(|| ask(url, &key, "another", false));
        let both = waiting(&home, 2);
        home.write("answer.txt", ANSWER);
        answer(&home, &question[0], &["answer.txt"]).ends_with(0);
        let said = unsure.join().expect("no panic");
        assert_eq!(
            (said.status, said.header("x-isonomy-degraded")),
            (200, Some("person")),
            "{}",
            said.body
        );
        assert_eq!(said.json()["content"][0]["text"], ANSWER);
        assert_eq!(waiting(&home, 1), both[1..]);
        answer(&home, &both[1], &["--text", "other"]).ends_with(0);
        assert_eq!(
            other.join().expect("no panic").json()["choices"][0]["message"]["content"],
            "other"
        );
    });
    let asked = world.requests();
    assert!(asked.iter().any(|it| it.path.starts_with("/half/")), "{asked:?}");
}

/// Mutation: count nothing of whoever asks the same again, take a question for an answer, or ask somebody what is larger
/// than an inbox keeps.
#[test]
fn whoever_asks_a_person_keeps_to_what_he_may() {
    let (home, world) = (Home::new(), world());
    home.allow(&world.url);
    let dev = home.dev();
    let key = place(&home, &world, "PT0.2S");
    let make = ["keys", "create", "slow", "--scope", "model", "-n", "clinic"];
    let slow = home.run(&[&make[..], &["--requests-per-minute", "2"]].concat()).ends_with(0);
    let told = [(); 3].map(|()| ask(&dev.url, slow.stdout.trim(), SECRET, false));
    let question = told[0].header("x-isonomy-asked").expect("a question");
    let asked = told.iter().map(|it| (it.status, it.header("x-isonomy-asked"))).collect::<Vec<_>>();
    assert_eq!(asked, [(503, Some(question)), (503, Some(question)), (429, None)]);
    let calls = ["calls", "-n", "clinic", "-o", "json"];
    let calls = until(&home, &calls, |it| {
        let items = it["items"].as_array().expect("a list");
        items.len() == 2 && items.iter().all(|it| it["settled"].is_object())
    });
    for call in calls["items"].as_array().expect("a list") {
        assert_eq!(call["settled"]["end"], "failed", "{call}");
        assert_eq!(call["settled"]["person"]["question"], *question, "{call}");
    }
    let large = ask(&dev.url, &key, &"ä".repeat(128 * 1024), false);
    assert_eq!((large.status, large.header("x-isonomy-asked")), (503, None), "{}", large.head);
    let error = large.json()["error"].clone();
    assert_eq!(error["code"], "no_model_answers", "{error}");
    assert!(error["message"].to_string().contains("the request has more than 262144 bytes"));
    assert_eq!(waiting(&home, 1), [question]);
}

/// Mutation: end a run whose model has no answer yet, hold its call until there is one, or forget after a restart that
/// somebody was asked.
#[test]
fn a_run_waits_for_a_person_over_a_restart() {
    let (home, world) = (Home::new(), world());
    home.allow(&world.url);
    let dev = home.dev();
    place(&home, &world, "PT1M");
    let tasks = format!(
        "  - ask: {{call: 'infer:1.0.0@default', with: {{model: desk, messages: [{{role: user, content: {SECRET}}}]}}}}\n"
    );
    home.write(
        "ask.yaml",
        &document("ask", &tasks).replace("namespace: default", "namespace: clinic"),
    );
    let run = home.run(&["run", "ask.yaml", "--detach"]).ends_with(0).run_id();
    let question = waiting(&home, 1);
    let calls = ["calls", "-n", "clinic", "-o", "json"];
    let calls = until(&home, &calls, |it| it["items"][0]["settled"].is_object());
    // It would hold its place and its budget as long as the route lets clients wait.
    let took = calls["items"][0]["settled"]["micros"].as_u64().expect("a number");
    assert!(took < 30_000_000, "{calls}");
    dev.kill();
    let _dev = home.dev();
    assert_eq!(waiting(&home, 1), question);
    let show = ["runs", "show", &run, "-n", "clinic", "-o", "json"];
    assert_eq!(home.run(&show).ends_with(0).json()["state"], "running");
    answer(&home, &question[0], &["--text", ANSWER]).ends_with(0);
    let ended = until(&home, &show, |it| it["state"] != "running");
    assert_eq!(
        (&ended["state"], &ended["output"]["degraded"]),
        (&json!("completed"), &json!(true)),
        "{ended}"
    );
    assert!(ended["output"].to_string().contains(ANSWER), "{ended}");
    assert_eq!(world.requests().len(), 1, "the model was asked once");
}
