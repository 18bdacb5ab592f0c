//! What a site tells a collector of its calls, with OpenTelemetry's own packages as judges of its words.

use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::http::{Door, ask_with, text};
use crate::support::world::{Answer, Request, World};
use crate::support::{HANG, Home};
use crate::{Process, SECRET, in_repository, runner};

const PROGRAM: &str = "read_spans.py";

const METRICS: &str = "gen_ai.client.token.usage,gen_ai.client.operation.duration,gen_ai.client.operation.time_to_first_chunk";

/// What the collector asks for.
const TOKEN: &str = "Basic canary-of-a-collector";

const MODEL: &str = "apiVersion: isonomy.dev/v1
kind: Model
metadata: {namespace: sales, name: NAME}
spec:
  upstream: {url: 'URL/v1', dialect: open-ai, secret: upstream}
  limits: {outputTokens: 100}
  price: free
";

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What nobody may find anywhere.
const ASKED: &str = "canary-of-a-question";

fn answer(request: &Request) -> Answer {
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 5});
    let asked: Value = serde_json::from_str(&request.body).expect("JSON");
    let message = json!({"role": "assistant", "content": "canary-of-an-answer"});
    if asked["model"] == "broken" {
        return Answer::Status(500);
    }
    if asked["stream"] == true {
        let chunk = json!({"choices": [{"index": 0, "delta": message, "finish_reason": "stop"}]});
        let end = json!({"choices": [], "usage": usage});
        return Answer::Events(format!("data: {chunk}\n\ndata: {end}\n\ndata: [DONE]\n\n"));
    }
    let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
    Answer::Json(json!({"choices": [choice], "usage": usage}).to_string())
}

struct Place {
    home: Home,
    collector: World,
    _upstream: World,
}

impl Place {
    /// A site with two models, and a collector that answers so.
    fn new(collect: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let (home, upstream, collector) = (Home::new(), World::new(answer), World::new(collect));
        let rule = |world: &World| format!("    - {{destination: '{}', allow: true}}\n", world.url);
        let config = format!(
            "spec:\n  egress:\n{}{}  telemetry:\n    otlp: {}\n    headers: {{authorization: collector}}\n    namespace: ops\n",
            rule(&upstream),
            rule(&collector),
            collector.url,
        );
        home.write(".isonomy/site.yaml", &config);
        for name in ["chat", "broken"] {
            let model = MODEL.replace("NAME", name).replace("URL", &upstream.url);
            home.write(&format!("models/{name}.yaml"), &model);
        }
        Self { home, collector, _upstream: upstream }
    }

    fn stock(&self) {
        let set = |name, of, value| {
            self.home.run_with_stdin(&["secrets", "set", name, "-n", of], value).ends_with(0);
        };
        set("upstream", "sales", SECRET);
        set("collector", "ops", TOKEN);
        self.home.run(&["apply", "-f", "models", "--yes"]).ends_with(0);
    }

    fn key(&self) -> String {
        let args = ["keys", "create", "bot", "--scope", "model", "-n", "sales"];
        self.home.run(&args).ends_with(0).stdout.trim().to_owned()
    }
}

/// With this `traceparent`, where there is one.
fn chat(door: &Door, trace: &str, model: &str, more: &Value) -> u16 {
    let messages = json!([{"role": "user", "content": ASKED}]);
    let mut body = json!({ "model": model, "messages": messages });
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let trace = if trace.is_empty() { String::new() } else { format!("traceparent: {trace}\r\n") };
    let reply = ask_with(door, &trace, "POST", "/v1/chat/completions", &body);
    reply.expect("an answer").status
}

/// The spans of these requests, as the packages read them.
fn judged(home: &Home, requests: &[Request]) -> Option<Vec<Value>> {
    let runner = runner(PROGRAM).or_else(|| {
        eprintln!("skipped: the packages of `{PROGRAM}` are missing; see `cargo xtask clients`");
        None
    })?;
    let mut command = Command::new(runner);
    command.arg(in_repository(&format!("testing/clients/{PROGRAM}"))).arg(METRICS);
    for (at, request) in requests.iter().enumerate() {
        let file = home.path(&format!("spans-{at}.bin"));
        std::fs::write(&file, &request.bytes).expect("written");
        command.arg(file);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Some(serde_json::from_value(Process::spawn(command).end().ends_with(0).json()).expect("spans"))
}

/// Mutation: name an attribute otherwise, forget the trace of whoever asks, tell one that is not recorded, show
/// what was asked or answered, or mix up seconds and their parts.
#[test]
fn a_collector_is_told_of_calls_in_the_names_of_opentelemetry() {
    let place = Place::new(|_| Answer::Said(200, String::new()));
    let dev = place.home.dev();
    place.stock();
    let door = Door { key: Some(place.key()), ..dev.door() };
    assert_eq!(chat(&door, PARENT, "chat", &json!({})), 200);
    assert_eq!(chat(&door, "", "chat", &json!({"stream": true})), 200);
    assert_eq!(chat(&door, &PARENT.replace("-01", "-00"), "chat", &json!({})), 200);
    assert_eq!(chat(&door, "no trace", "broken", &json!({})), 503);

    let text = place.home.run(&["calls", "-n", "sales"]).ends_with(0).stdout;
    assert!(!text.contains("canary"), "{text}");
    dev.stop().ends_with(0);
    let requests = place.collector.requests();
    for request in &requests {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/traces"));
        assert_eq!(request.authorization, TOKEN);
        assert!(!String::from_utf8_lossy(&request.bytes).contains("canary"), "{request:?}");
    }
    let Some(mut spans) = judged(&place.home, &requests) else { return };
    spans.sort_by_key(|span| span["start"].as_u64());
    assert_eq!(spans.len(), 3, "{spans:?}");
    let [traced, streamed, broken] = [0, 1, 2].map(|at| &spans[at]);
    assert_eq!(
        (&traced["name"], &traced["kind"], &traced["trace"], &traced["parent"], &traced["status"]),
        (
            &json!("chat chat"),
            &json!("SPAN_KIND_CLIENT"),
            &json!("4bf92f3577b34da6a3ce929d0e0e4736"),
            &json!("00f067aa0ba902b7"),
            &json!("STATUS_CODE_UNSET"),
        )
    );
    let told = &traced["attributes"];
    for (name, value) in [
        ("gen_ai.request.model", json!("chat")),
        ("gen_ai.response.model", json!("chat")),
        ("gen_ai.provider.name", json!("openai")),
        ("gen_ai.usage.input_tokens", json!(10)),
        ("gen_ai.usage.output_tokens", json!(5)),
        ("isonomy.namespace", json!("sales")),
        ("isonomy.key", json!("bot")),
    ] {
        assert_eq!(told[name], value, "{name}: {told}");
    }
    assert_eq!(traced["resource"]["service.name"], "isonomy");
    assert_eq!(traced["schema"], "https://opentelemetry.io/schemas/1.41.1");
    let (nanos, first) = (
        streamed["nanos"].as_f64().expect("a number"),
        streamed["attributes"]["gen_ai.response.time_to_first_chunk"].as_f64().expect("seconds"),
    );
    assert!(0.0 < first && first <= nanos / 1e9, "{streamed}");
    assert_eq!(
        (&streamed["parent"], &streamed["attributes"]["gen_ai.request.stream"]),
        (&json!(""), &json!(true))
    );
    assert!(told["gen_ai.response.time_to_first_chunk"].is_null());
    assert_eq!(
        (&broken["status"], &broken["attributes"]["error.type"]),
        (&json!("STATUS_CODE_ERROR"), &json!("500"))
    );
    place.home.is_whole();
}

/// Mutation: wait for the collector with a call or with the site's end, send again what was taken, lose what was
/// not, or ask a collector that the site's rules do not let out.
#[test]
fn a_collector_that_fails_holds_nobody_up() {
    let tries = std::sync::atomic::AtomicU32::new(0);
    let place =
        Place::new(move |_| match tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Answer::Status(503),
            1 => Answer::Said(200, String::new()),
            _ => Answer::Silence,
        });
    let dev = place.home.dev();
    place.stock();
    let door = Door { key: Some(place.key()), ..dev.door() };
    assert_eq!(chat(&door, "", "chat", &json!({})), 200);
    let [failed, taken] = [place.collector.request(), place.collector.request()];
    assert_eq!(failed.bytes, taken.bytes, "the same spans come again");
    let sent = |text: &str| text.contains("isonomy_telemetry_spans_total{end=\"sent\"} 1");
    let metrics = metrics_until(&dev.door(), sent);
    let of = "gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"openai\",gen_ai_request_model=\"chat\",gen_ai_response_model=\"chat\"";
    for line in [
        format!("gen_ai_client_operation_duration_seconds_count{{{of}}} 1"),
        format!("gen_ai_client_token_usage_sum{{{of},gen_ai_token_type=\"input\"}} 10"),
        format!("gen_ai_client_token_usage_sum{{{of},gen_ai_token_type=\"output\"}} 5"),
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line}: {metrics}");
    }
    assert!(!metrics.contains("canary") && !metrics.contains("bot"), "{metrics}");
    assert_eq!(chat(&door, "", "chat", &json!({})), 200);
    // It is taken and never answered.
    let next = place.collector.request();
    assert_ne!(next.bytes, taken.bytes);
    assert_eq!(chat(&door, "", "chat", &json!({})), 200);
    let began = Instant::now();
    dev.stop().ends_with(0);
    assert!(began.elapsed() < HANG / 4, "{:?}", began.elapsed());
    place.home.is_whole();
}

/// The text of `/metrics`, once it says so.
fn metrics_until(door: &Door, is_it: impl Fn(&str) -> bool) -> String {
    let began = Instant::now();
    loop {
        let said = text(door, "/metrics").expect("metrics");
        if is_it(&said) {
            return said;
        }
        assert!(began.elapsed() < HANG, "{said}");
    }
}
