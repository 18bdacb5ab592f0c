//! Models as a task asks them: the real desk, over real sockets.

use std::sync::{Arc, Mutex};

use base::value::{as_str, get};
use base::{Clock, ErrorType, Namespace, SecretName, SystemClock, SystemRandom};
use engine::effect::{Certainty, Performed};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use gateway::desk::{
    Credentials, DeskParts, NoPeople, NotRun, NotWritten, Ran, Record, Runner, ShelfParts, Tensors,
    Ticket,
};
use gateway::{Desk, EgressMap, EgressRule, Gate, Limits};
use models::{Alarm, Books, Entry, Exchange, Model, ModelName};

use crate::server::{Reply, Server, dead_port, reply};
use crate::site::{Site, json, said};

/// Keeps what is written down.
#[derive(Default)]
struct Kept(Mutex<Vec<Entry>>);

impl Record for Kept {
    fn write(&self, entry: Entry) -> Result<Ticket, NotWritten> {
        self.0.lock().expect("no test panicked").push(entry);
        Ok(Ticket::done())
    }

    fn alarm(&self, _: &Namespace, _: &[Alarm]) {}
}

struct NoSecrets;

impl Credentials for NoSecrets {
    fn open(&self, _: &Namespace, _: &SecretName) -> BoxFuture<'_, Result<String, String>> {
        ready(Err("there is none".to_owned())).boxed()
    }
}

/// What the site's owner has declared to be at the site.
const HERE: &str = "http://near.example";
/// There are no files of models.
struct NoFiles;

impl Runner for NoFiles {
    fn run(&self, _: &Model, _: Tensors, _: std::time::Duration) -> BoxFuture<'_, Ran> {
        let end = Err(NotRun::Unavailable("there is none".to_owned()));
        ready(Ran { busy: std::time::Duration::ZERO, end }).boxed()
    }
}

struct Place {
    site: Site,
    kept: Arc<Kept>,
}

/// One EUR for a million tokens.
fn model(name: &str, url: &str) -> Model {
    let spec = format!(
        r#"{{"upstream":{{"url":"{url}/v1","model":"gpt"}},"limits":{{"outputTokens":100}},
            "price":{{"own":{{"currency":"EUR","rates":{{"input":"1","output":"1"}}}}}}}}"#
    );
    Model {
        namespace: Namespace::parse("lab").expect("a name"),
        name: ModelName::parse(name).expect("a name"),
        spec: serde_json::from_str(&spec).expect("a definition"),
    }
}

impl Place {
    /// `http://far.example` and what is declared to be here lead to the server, too.
    fn new(models: Vec<Model>, far: &str) -> Self {
        let here = EgressRule {
            destination: "http://127.0.0.1:*".into(),
            allow: true,
            ..EgressRule::default()
        };
        let there = |name: &str| EgressRule {
            destination: name.to_owned(),
            to: Some(far.to_owned()),
            ..EgressRule::default()
        };
        let rules = vec![here, there("http://far.example"), there(HERE)];
        let map = EgressMap::parse(rules).expect("rules");
        let kept = Arc::new(Kept::default());
        let desk = Desk::new(DeskParts {
            gate: Arc::new(Gate::new(map, Limits::default())),
            books: Books::default(),
            exchange: Exchange::default(),
            record: Arc::clone(&kept) as Arc<dyn Record>,
            credentials: Arc::new(NoSecrets),
            runner: Arc::new(NoFiles),
            people: Arc::new(NoPeople),
            clock: Arc::new(SystemClock) as Arc<dyn Clock>,
            random: Arc::new(SystemRandom),
            digest_key: b"of the site".to_vec(),
        });
        desk.put(ShelfParts { models, here: [HERE.to_owned()].into(), ..ShelfParts::default() });
        Self { site: Site::asking(desk), kept }
    }

    async fn ask(&self, input: &str) -> Performed {
        self.site.function("infer:1.0.0@default", json(input)).await
    }

    fn entries(&self) -> usize {
        self.kept.0.lock().expect("no test panicked").len()
    }
}

fn head(request: &str, name: &str) -> String {
    let start = format!("{name}: ");
    let line = request.lines().find_map(|line| line.strip_prefix(start.as_str()));
    line.unwrap_or_default().to_owned()
}

fn body(request: &str) -> serde_json::Value {
    let body = request.split("\r\n\r\n").nth(1).unwrap_or_default();
    serde_json::from_str(body).expect("JSON")
}

const CHAT: &str = r#"{"choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":"Hi.",
    "tool_calls":[{"id":"t1","type":"function","function":{"name":"look","arguments":"{\"at\":1}"}},
                  {"id":"t2","type":"function","function":{"name":"look","arguments":"{broken"}}]}}],
    "usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":2}}}"#;

fn good(body: &str) -> Reply {
    reply("200 OK", &[("content-type", "application/json")], body)
}

/// Mutation: send another name than the upstream's, lose an option, ask each attempt under another key, or lose
/// usage, cost, tools or the call.
#[tokio::test]
async fn a_conversation_is_asked_and_its_answer_read() {
    let server = Server::start(|_, _| good(CHAT)).await;
    let place = Place::new(vec![model("chat-small", &server.address())], &server.address());
    let input = r#"{"model":"chat-small","messages":[{"role":"user","content":"Hello"}],"maxTokens":7,"temperature":0,
        "toolChoice":"auto","tools":[{"type":"function","function":{"name":"look"}}],"options":{"top_p":0.5}}"#;
    let performed = place.ask(input).await;
    assert_eq!(performed.certainty, Certainty::Definite);
    let decision = performed.decision.expect("the desk was asked");
    let answer = performed.result.expect("an answer");
    let call = get(&answer, "call").and_then(as_str).expect("a call").to_owned();
    assert!(
        call.starts_with("call_") && decision.rule == format!("models: {call}"),
        "{decision:?}"
    );
    assert_eq!(decision.destination, "model chat-small");
    let shown = base::value::to_json_string(&answer).replace(&call, "CALL");
    let read: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    let expected = serde_json::json!({
        "text": "Hi.", "finishReason": "tool_calls", "model": "chat-small", "degraded": false, "call": "CALL",
        "message": read["message"],
        "toolCalls": [{"id": "t1", "name": "look", "arguments": {"at": 1}}, {"id": "t2", "name": "look", "arguments": "{broken"}],
        "usage": {"inputTokens": 12, "outputTokens": 5, "cachedTokens": 2},
        "cost": {"amount": "0.000017", "currency": "EUR", "atBound": false},
    });
    assert_eq!(read, expected);
    assert_eq!(read["message"]["content"], "Hi.");
    place.ask(input).await.result.expect("an answer");
    let seen = server.seen();
    let expected = serde_json::json!({
        "model": "gpt", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 7, "temperature": 0,
        "tool_choice": "auto", "tools": [{"type": "function", "function": {"name": "look"}}], "top_p": 0.5,
    });
    assert_eq!(body(&seen[0]), expected);
    let key = head(&seen[0], "idempotency-key");
    assert!(key.starts_with("isonomy-") && !key.contains("fetch"), "{key}");
    assert_eq!(head(&seen[1], "idempotency-key"), key);
    let entries = place.kept.0.lock().expect("no test panicked").clone();
    let Entry::Admitted(admitted) = &entries[0] else { panic!("{entries:?}") };
    assert_eq!(admitted.who.workflow.as_deref(), Some("flow"));
    assert!(admitted.who.run.is_some() && admitted.who.key.is_none() && admitted.effect.is_none());
}

/// Mutation: take vectors in the order in which they came, or ask a chat.
#[tokio::test]
async fn texts_become_vectors_in_their_order() {
    let answer = r#"{"data":[{"index":1,"embedding":[0.5]},{"index":0,"embedding":[0.25,1]}],"usage":{"prompt_tokens":3,"total_tokens":3}}"#;
    let server = Server::start(move |_, _| good(answer)).await;
    let place = Place::new(vec![model("embed", &server.address())], &server.address());
    let input = r#"{"model":"embed","input":["a","b"],"options":{"dimensions":2}}"#;
    let answer = place.ask(input).await.result.expect("vectors");
    let vectors = get(&answer, "embeddings").map(base::value::to_json_string);
    assert_eq!(vectors.as_deref(), Some("[[0.25,1],[0.5]]"));
    assert!(server.seen()[0].starts_with("POST /v1/embeddings "));
    let sent = serde_json::json!({"model": "gpt", "input": ["a", "b"], "dimensions": 2});
    assert_eq!(body(&server.seen()[0]), sent);
}

/// Mutation: give any of them another kind or status, try in vain again under another key, or repeat what the
/// upstream says.
#[tokio::test]
async fn each_refusal_is_an_error_of_its_kind() {
    let server = Server::start(|request, _| {
        let error = r#"{"error":{"message":"you said Hello","code":"context_length_exceeded"}}"#;
        match body(request)["messages"][0]["content"].as_str() {
            Some("odd") => good(r#"{"choices":[]}"#),
            Some("nothing") => good("[]"),
            Some("sentence") => {
                reply("400 Bad Request", &[], r#"{"error":{"code":"you said so"}}"#)
            }
            _ => reply("400 Bad Request", &[], error),
        }
    });
    let server = server.await;
    let dead = format!("http://127.0.0.1:{}", dead_port().await);
    let models = vec![model("m", &server.address()), model("dead", &dead)];
    let mut place = Place::new(models, &server.address());
    let chat = |model: &str, text: &str| {
        format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"{text}"}}]}}"#)
    };
    for (input, kind, status, certainty, part) in [
        (
            chat("none", "Hello"),
            ErrorType::Configuration,
            404,
            Certainty::Unknown,
            "no model and no route `none`",
        ),
        (
            chat("m", "Hello"),
            ErrorType::Communication,
            400,
            Certainty::Definite,
            "400 Bad Request: `context_length_exceeded`",
        ),
        (
            chat("m", "sentence"),
            ErrorType::Communication,
            400,
            Certainty::Definite,
            "answered 400 Bad Request",
        ),
        (
            chat("m", "odd"),
            ErrorType::Communication,
            502,
            Certainty::Definite,
            "it has no `choices`",
        ),
        (
            chat("m", "nothing"),
            ErrorType::Communication,
            503,
            Certainty::Unknown,
            "`m` gave no whole answer (200)",
        ),
        (
            chat("dead", "Hello"),
            ErrorType::Communication,
            503,
            Certainty::Unknown,
            "`dead` cannot be reached",
        ),
        (
            r#"{"model":"m"}"#.to_owned(),
            ErrorType::Validation,
            400,
            Certainty::Definite,
            "arguments of `infer",
        ),
        (
            r#"{"model":"m","input":"x","tools":[]}"#.to_owned(),
            ErrorType::Validation,
            400,
            Certainty::Definite,
            "messages",
        ),
        (
            chat("m", "Hello").replace("]}", r#"],"options":{"stream":true}}"#),
            ErrorType::Validation,
            400,
            Certainty::Definite,
            "/options",
        ),
    ] {
        let performed = place.ask(&input).await;
        let shown = said(&performed);
        let fault = performed.result.expect_err(&input);
        assert_eq!(
            (fault.kind(), fault.status, performed.certainty),
            (kind, status, certainty),
            "{shown}"
        );
        assert!(
            shown.contains(part) && !shown.contains("you said") && !shown.contains("Hello"),
            "{shown}"
        );
    }
    place.site.budget = Some("0EUR".into());
    let fault = place.ask(&chat("m", "Hello")).await.result.expect_err("nothing may be spent");
    assert_eq!((fault.kind(), fault.status), (ErrorType::Authorization, 402));
}

/// Mutation: let a run spend what it wants, forget what it has spent, or count what another run has.
#[tokio::test]
async fn a_run_spends_what_its_workflow_allows() {
    let server = Server::start(|_, _| good(CHAT)).await;
    let mut place = Place::new(vec![model("m", &server.address())], &server.address());
    place.site.budget = Some("0.0005EUR".into());
    let input = r#"{"model":"m","messages":[{"role":"user","content":"Hello"}]}"#;
    let mut fault = None;
    for _ in 0..40 {
        match place.ask(input).await.result {
            Ok(_) => assert!(fault.is_none()),
            Err(refused) => fault = Some(refused),
        }
    }
    let fault = fault.expect("there is no more room");
    assert_eq!((fault.kind(), fault.status), (ErrorType::Authorization, 402));
    let detail = fault.detail.expect("a detail");
    assert!(
        detail.contains("the budget of the run `run_") && detail.contains("0.0005 EUR/total"),
        "{detail}"
    );
    let spent = server.seen().len() as u64 * 17;
    assert!((17..=500).contains(&spent), "{spent}");
}

/// Mutation: ask a model elsewhere for a run that has read labelled data, or none at all.
#[tokio::test]
async fn what_a_labelled_run_says_stays_here() {
    let server = Server::start(|_, _| good(CHAT)).await;
    let named = model("named", HERE);
    let models = vec![model("near", &server.address()), model("far", "http://far.example"), named];
    let mut place = Place::new(models, &server.address());
    let ask = |model: &str| {
        format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Hi"}}]}}"#)
    };
    for model in ["near", "far", "named"] {
        place.ask(&ask(model)).await.result.expect("a run without labels");
    }
    place.site.labels = Arc::new(["health".to_owned()]);
    for model in ["near", "named"] {
        place.ask(&ask(model)).await.result.expect("it is here");
    }
    let (sent, written) = (server.seen().len(), place.entries());
    let performed = place.ask(&ask("far")).await;
    let decision = performed.decision.expect("decided");
    assert!(!decision.allowed && decision.rule == "labels", "{decision:?}");
    let fault = performed.result.expect_err("it is elsewhere");
    assert_eq!((fault.kind(), fault.status), (ErrorType::Authorization, 403));
    assert_eq!((server.seen().len(), place.entries()), (sent, written));
}

/// Mutation: ask in a test of a workflow.
#[tokio::test]
async fn where_there_is_no_desk_nothing_is_asked() {
    let site = Site::new();
    let input = json(r#"{"model":"m","input":"x"}"#);
    let performed = site.function("infer:1.0.0@default", input).await;
    let fault = performed.result.expect_err("no desk");
    assert_eq!(fault.kind(), ErrorType::Configuration);
}

/// Mutation: say what nobody knows: that a model without a price costs nothing; or lose that a free one does.
#[tokio::test]
async fn what_costs_nothing_says_so_and_what_has_no_price_says_nothing() {
    let server = Server::start(|_, _| good(CHAT)).await;
    let priced = |name: &str, price: &str| {
        let spec = format!(r#"{{"upstream":{{"url":"{}/v1"}}{price}}}"#, server.address());
        let mut model = model(name, &server.address());
        model.spec = serde_json::from_str(&spec).expect("a definition");
        model
    };
    let models = vec![priced("free", r#","price":"free""#), priced("unpriced", "")];
    let place = Place::new(models, &server.address());
    let cost = async |name: &str| {
        let said = r#""messages":[{"role":"user","content":"Hello"}]"#;
        let input = format!(r#"{{"model":"{name}",{said}}}"#);
        let answer = place.ask(&input).await.result.expect("an answer");
        get(&answer, "cost").map(base::value::to_json_string)
    };
    assert_eq!(cost("free").await.as_deref(), Some(r#"{"amount":"0","atBound":false}"#));
    assert_eq!(cost("unpriced").await, None);
}

/// Mutation: ask tensors as a text, or lose their names or shapes.
#[tokio::test]
async fn columns_are_asked_as_tensors() {
    let answer = r#"{"model_name":"risk","outputs":[{"name":"probability","datatype":"FP32","shape":[2,2],"data":[0.25,0.75,1,0]}]}"#;
    let server = Server::start(move |_, _| good(answer)).await;
    let spec = format!(
        r#"{{"upstream":{{"url":"{}","dialect":"open-inference"}},"price":"free"}}"#,
        server.address()
    );
    let mut risk = model("tumour-risk@1", &server.address());
    risk.spec = serde_json::from_str(&spec).expect("a definition");
    let place = Place::new(vec![risk], &server.address());
    let input = r#"{"model":"tumour-risk","input":{"age":[61,40],"smokes":[true,false]}}"#;
    let answer = place.ask(input).await.result.expect("an answer");
    let outputs = get(&answer, "outputs").map(base::value::to_json_string);
    assert_eq!(outputs.as_deref(), Some(r#"{"probability":[[0.25,0.75],[1,0]]}"#));
    assert_eq!(get(&answer, "model").and_then(as_str), Some("tumour-risk@1"));
    let seen = server.seen().remove(0);
    assert!(seen.starts_with("POST /v2/models/tumour-risk/versions/1/infer "), "{seen}");
    let expected = serde_json::json!({"inputs": [
        {"name": "age", "datatype": "FP32", "shape": [2, 1], "data": [61, 40]},
        {"name": "smokes", "datatype": "BOOL", "shape": [2, 1], "data": [true, false]},
    ]});
    assert_eq!(body(&seen), expected);
    let ragged = r#"{"model":"tumour-risk","input":{"age":[[61],[40,1]]}}"#;
    let fault = place.ask(ragged).await.result.expect_err("ragged");
    assert_eq!(fault.kind(), ErrorType::Validation);
}
