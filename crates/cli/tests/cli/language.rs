//! Models of language in files, as the site runs them, where the program is built with `candle`; and what it
//! says of them where it is not.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::Home;
use crate::support::http::{Door, Reply, ask};

fn model(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/models");
    folder.join(name).display().to_string()
}

fn post(door: &Door, path: &str, body: &Value) -> Reply {
    ask(door, "POST", path, body).expect("an answer")
}

const QUESTION: &str = "What is the capital of France?";
const ANSWER: &str = "Paris. I know no other.";

/// Mutation: say of weights that they are a broken file, or keep them where nothing can answer with them.
#[cfg(not(feature = "candle"))]
#[test]
fn a_build_without_candle_refuses_weights_and_says_what_to_do() {
    let home = Home::new();
    let dev = home.dev();
    for (name, what) in
        [("tiny-chat.gguf", "llama, 27808 parameters, Q8_0"), ("tiny-bert", "bert, ")]
    {
        let said = home.run(&["models", "add", "chat", &model(name)]).ends_with(2).stderr;
        for wanted in [what, "`candle`", "cargo build --release --features candle", "llama.cpp"] {
            assert!(said.contains(wanted), "{wanted}: {said}");
        }
    }
    let listed = ask(&dev.door(), "GET", "/v1/models", &Value::Null).expect("a list").body;
    assert_eq!(listed["data"], json!([]));
    let asked = json!({"model": "chat", "messages": [{"role": "user", "content": QUESTION}]});
    assert_eq!(post(&dev.door(), "/v1/chat/completions", &asked).status, 404, "{ANSWER}");
}

/// Mutation: answer in another dialect's words, lose the usage of a stream, or charge no time of the device.
#[cfg(feature = "candle")]
#[test]
fn a_gguf_file_answers_in_every_dialect_and_is_paid_for() {
    let home = Home::new();
    let dev = home.dev();
    let file = model("tiny-chat.gguf");
    let price =
        "--price-input 1000000 --price-output 1000000 --price-second 0.000001 --currency EUR";
    let mut add = vec!["models", "add", "chat@1", &file, "--output-tokens", "40"];
    add.extend(price.split(' '));
    home.run(&add).ends_with(0);
    let shown = home.run(&["models", "show", "chat@1"]).ends_with(0).stdout;
    for wanted in [
        "llama of 27808 numbers as Q8_0, 512 tokens of context, conversations as chatml",
        "format: gguf",
    ] {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
    let messages = json!([{"role": "user", "content": QUESTION}]);
    let chat = json!({"model": "chat", "messages": messages, "temperature": 0});
    let door = dev.door();
    let whole = post(&door, "/v1/chat/completions", &chat);
    assert_eq!(whole.status, 200, "{}", whole.body);
    let choice = &whole.body["choices"][0];
    assert_eq!(
        (&choice["message"]["content"], &choice["finish_reason"]),
        (&json!(ANSWER), &json!("stop"))
    );
    let used = &whole.body["usage"];
    let count = |name: &str| used[name].as_u64().expect("a count");
    assert_eq!(count("total_tokens"), count("prompt_tokens") + count("completion_tokens"));

    let said = json!({"model": "chat", "max_tokens": 40, "temperature": 0, "messages": messages});
    let said = post(&door, "/v1/messages", &said);
    assert_eq!(said.body["content"][0]["text"], ANSWER, "{}", said.body);
    let responded = json!({"model": "chat", "input": QUESTION, "temperature": 0});
    let responded = post(&door, "/v1/responses", &responded);
    assert_eq!(responded.body["output"][0]["content"][0]["text"], ANSWER, "{}", responded.body);
    let more = json!({"model": "chat", "prompt": "Hello,", "max_tokens": 2, "temperature": 0});
    let more = post(&door, "/v1/completions", &more);
    assert_eq!(
        (more.status, &more.body["usage"]["completion_tokens"]),
        (200, &json!(2)),
        "{}",
        more.body
    );
    let tools = json!({"model": "chat", "messages": messages, "tools": [{"type": "function"}]});
    let refused = post(&door, "/v1/chat/completions", &tools);
    assert_eq!(refused.status, 400);
    assert!(
        refused.body["error"]["message"].as_str().expect("a text").contains("no `tools`"),
        "{}",
        refused.body
    );

    let tried = home.run(&["models", "try", "chat@1", QUESTION, "-o", "json"]).ends_with(0).json();
    let bill = &tried["settled"]["bills"][0]["usage"];
    assert!(bill["input"].as_u64() > Some(10) && bill["output"].as_u64() > Some(2), "{tried}");
    assert!(bill["millis"].as_u64() > Some(0), "{tried}");
    let tried = home.run(&["models", "try", "chat@1", QUESTION, "--stream"]).ends_with(0);
    assert!(!tried.stdout.trim().is_empty(), "{}", tried.stderr);
}

/// Mutation: write vectors as texts, or ask a model of vectors for words.
#[cfg(feature = "candle")]
#[test]
fn a_folder_of_weights_makes_vectors() {
    let home = Home::new();
    let dev = home.dev();
    home.run(&["models", "add", "vectors@1", &model("tiny-bert")]).ends_with(0);
    let cases = std::fs::read(model("tiny-bert.json")).expect("the reference");
    let cases: Vec<Value> = serde_json::from_slice(&cases).expect("JSON");
    let texts: Vec<&Value> = cases.iter().map(|it| &it["text"]).collect();
    let made = post(&dev.door(), "/v1/embeddings", &json!({"model": "vectors", "input": texts}));
    assert_eq!(made.status, 200, "{}", made.body);
    for (at, case) in cases.iter().enumerate() {
        let pairs = [&made.body["data"][at]["embedding"], &case["vector"]];
        let [ours, theirs] = pairs.map(|it| it.as_array().expect("numbers").clone());
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let apart = ours.as_f64().expect("a number") - theirs.as_f64().expect("a number");
            assert!(apart.abs() < 0.000_01, "text {at}");
        }
    }
    let asked = json!({"model": "vectors", "input": "x", "encoding_format": "base64"});
    let packed = post(&dev.door(), "/v1/embeddings", &asked).body;
    assert_eq!(packed["data"][0]["embedding"].as_str().map(str::len), Some(88), "{packed}");
    let chat = json!({"model": "vectors", "messages": [{"role": "user", "content": "x"}]});
    assert_eq!(post(&dev.door(), "/v1/chat/completions", &chat).status, 400);
    let tried = home.run(&["models", "try", "vectors@1", "a text"]).ends_with(0);
    assert!(tried.stdout.starts_with('['), "{}", tried.stdout);
}
