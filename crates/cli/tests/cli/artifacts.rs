//! Models in files, as the site runs them: added, asked through the door by the protocol, killed, and kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::http::{Door, Reply, ask};
use crate::support::{HANG, Home};

const RISK: &str = "../../testing/models/tumour-risk";

/// A number differs by the order of additions alone.
const DIFFERENCE_MAX: f64 = 0.000_001;

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(in_repository(path)).expect(path)
}

fn risk_file() -> String {
    in_repository(&format!("{RISK}/tumour-risk.onnx")).display().to_string()
}

/// In the namespace `default`, which is that of the folder's own key.
fn add(home: &Home, name: &str, file: &str, more: &[&str]) {
    home.run(&[&["models", "add", name, file], more].concat()).ends_with(0);
}

fn infer(door: &Door, model: &str, rows: &[Vec<f64>]) -> Reply {
    let data: Vec<f64> = rows.iter().flatten().copied().collect();
    let shape = [rows.len(), rows.first().map_or(0, Vec::len)];
    let input = json!({"name": "features", "shape": shape, "datatype": "FP32", "data": data});
    post(door, model, &json!({ "inputs": [input] }))
}

fn post(door: &Door, model: &str, body: &Value) -> Reply {
    ask(door, "POST", &format!("/v2/models/{model}/infer"), body).expect("an answer")
}

/// The even-numbered cases, which the model was not fitted on.
fn cases() -> Vec<Vec<f64>> {
    let text = text("../../examples/tumour-screening/cases.csv");
    let rows = text.lines().skip(1).skip(1).step_by(2);
    let numbers = |row: &str| row.split(',').map(|it| it.parse().expect("a number")).collect();
    rows.map(|row| {
        let mut row: Vec<f64> = numbers(row);
        row.pop();
        row
    })
    .collect()
}

/// Mutation: send a row to another place, round numbers on their way, or lose a label.
#[test]
fn the_example_model_answers_as_its_reference_does() {
    let home = Home::new();
    let dev = home.dev();
    add(&home, "tumour-risk@1", &risk_file(), &["--price-second", "1", "--currency", "EUR"]);
    let reply = infer(&dev.door(), "tumour-risk/versions/1", &cases());
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.body["model_version"], "1");
    let [labels, chances] = [0, 1].map(|at| &reply.body["outputs"][at]);
    let expected = text(&format!("{RISK}/expected.csv"));
    let expected: Vec<Vec<&str>> =
        expected.lines().skip(1).map(|it| it.split(',').collect()).collect();
    assert_eq!(chances["shape"], json!([expected.len(), 2]));
    for (at, row) in expected.iter().enumerate() {
        assert_eq!(labels["data"][at], row[2], "case {}", row[0]);
        let chance = chances["data"][2 * at + 1].as_f64().expect("a number");
        for reference in &row[3..] {
            let reference: f64 = reference.parse().expect("a number");
            assert!((chance - reference).abs() < DIFFERENCE_MAX, "case {}: {chance}", row[0]);
        }
    }

    let listed = ask(&dev.door(), "GET", "/v1/models", &Value::Null).expect("a list").body;
    let ids: Vec<_> = (0..2).map(|at| &listed["data"][at]["id"]).collect();
    assert_eq!(ids, ["tumour-risk", "tumour-risk@1"]);
    let told = ask(&dev.door(), "GET", "/v2/models/tumour-risk", &Value::Null).expect("told").body;
    assert_eq!(
        (&told["inputs"][0]["shape"], &told["versions"]),
        (&json!([-1, 30]), &json!(["1"])),
        "{told}"
    );
    let ready = ask(&dev.door(), "GET", "/v2/models/tumour-risk/ready", &Value::Null);
    assert_eq!(ready.expect("ready").status, 200);
    let wrong = infer(&dev.door(), "tumour-risk", &[vec![1.0; 29]]);
    assert_eq!(wrong.status, 400);
    let said = wrong.body["error"].as_str().expect("a text");
    assert!(said.contains("`features` has the shape [1, 29], the model takes [-1, 30]"), "{said}");
    assert_eq!(infer(&dev.door(), "other", &[]).status, 404);

    let shown = home.run(&["models", "show", "tumour-risk@1"]).ends_with(0).stdout;
    for wanted in
        ["input features FP32 [-1, 30]", "ai.onnx 21", "loaded in 1 process", "digest: b3:"]
    {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
    let tried = home.run(&["models", "try", "tumour-risk@1"]).ends_with(0);
    assert!(tried.stdout.contains("[1,2] = ["), "{}", tried.stdout);
    assert!(tried.stderr.contains("ms of a device, 0.0"), "{}", tried.stderr);
    home.write("row.csv", &format!("{}\n", ["0.5"; 30].join(",")));
    let row = home.path("row.csv").display().to_string();
    let tried = home.run(&["models", "try", "tumour-risk", &row, "-o", "json"]).ends_with(0);
    assert_eq!(tried.json()["model"], "tumour-risk@1");
}

/// One row of a model of tensors, in a workflow.
const SCORING: &str = "document: {dsl: '1.0.3', namespace: default, name: scoring, version: 1.0.0}
do:
  - score: {call: 'infer:1.0.0@default', with: {model: tumour-risk, input: {features: '${ [[range(30)]] }'}}}
";

/// Mutation: tell a workflow nothing of what tensors have cost, show no model by the name that calls take, or
/// take an old version for the newest.
#[test]
fn a_workflow_sees_what_tensors_have_cost() {
    let home = Home::new();
    let _dev = home.dev();
    for version in ["tumour-risk@9", "tumour-risk@10"] {
        add(&home, version, &risk_file(), &["--price-second", "1", "--currency", "EUR"]);
    }
    home.write("scoring.yaml", SCORING);
    home.run(&["apply", "-f", "scoring.yaml", "--yes"]).ends_with(0);
    let output = home.run(&["run", "scoring", "-o", "json"]).ends_with(0).json();
    assert_eq!(output["model"], "tumour-risk@10");
    assert_eq!(output["outputs"]["probabilities"][0].as_array().map(Vec::len), Some(2));
    let millis = output["usage"]["milliseconds"].as_u64().expect("milliseconds");
    let cost: f64 = output["cost"]["amount"].as_str().expect("a cost").parse().expect("a number");
    assert!(millis > 0 && (cost * 1e3).round() == millis as f64, "{output}");
    assert!(output["usage"].get("inputTokens").is_none(), "{output}");
    let shown = home.run(&["models", "show", "tumour-risk"]).ends_with(0).stdout;
    assert!(shown.contains("tumour-risk@10"), "{shown}");
}

/// A route of the namespace `default` to the example's model.
fn route(regions: &[&str]) -> String {
    let metadata = json!({"namespace": "default", "name": format!("in-{}", regions[0])});
    let spec = json!({"to": [{"model": "tumour-risk"}], "regions": regions});
    json!({"apiVersion": "isonomy.dev/v1", "kind": "Route", "metadata": metadata, "spec": spec})
        .to_string()
}

/// Mutation: leave a file of the site out of the region `here`, say that a route answers no tensors where its regions
/// leave no model, keep from a run what does not fit, or look for a model's place after it is gone.
#[test]
fn a_file_is_at_the_site_for_routes_runs_and_reports() {
    let home = Home::new();
    let dev = home.dev();
    add(&home, "tumour-risk@1", &risk_file(), &[]);
    home.write("shop/here.yaml", &route(&["here", "eu"]));
    home.write("shop/mars.yaml", &route(&["mars"]));
    home.run(&["apply", "-f", "shop", "--yes"]).ends_with(0);
    let row = vec![vec![0.5; 30]];
    assert_eq!(infer(&dev.door(), "in-here", &row).status, 200);
    let refused = infer(&dev.door(), "in-mars", &row);
    let said = refused.body["error"].as_str().expect("why").to_owned();
    assert_eq!(refused.status, 400, "{said}");
    assert!(said.contains("`mars`") && said.contains("[no_model_in_region]"), "{said}");

    home.write("scoring.yaml", &SCORING.replace("features:", "feature:"));
    home.run(&["apply", "-f", "scoring.yaml", "--yes"]).ends_with(0);
    let run = home.run(&["run", "scoring"]);
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("the model has no input `feature`"), "{said}");

    home.run(&["models", "remove", "tumour-risk@1", "--yes"]).ends_with(0);
    let shares = crate::models::until(&home, &["calls", "local-share", "-o", "json"], |it| {
        it["total"]["atSite"] == 1
    });
    assert_eq!(shares["total"]["calls"], 0, "{shares}");
}

/// A field of a protocol buffer.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut length = content.len();
    let mut bytes = vec![number << 3 | 2];
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).expect("seven bits"));
    [&bytes, content].concat()
}

fn node(operator: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|it| field(1, it.as_bytes())).collect();
    [inputs, field(2, output.as_bytes()), field(4, operator.as_bytes())].concat()
}

/// Multiplies a square with itself a thousand times over: hours, where it is large.
fn endless(home: &Home) -> String {
    let name = |at: u32| if at == 0 { "features".to_owned() } else { format!("v{at}") };
    let nodes = (0..1_000).map(|at| node("MatMul", &[&name(at), "features"], &name(at + 1)));
    let mut graph: Vec<u8> = nodes.flat_map(|it| field(1, &it)).collect();
    let info = [vec![8, 1], field(2, &field(1, b"").repeat(2))].concat();
    let value = |name: &str| [field(1, name.as_bytes()), field(2, &field(1, &info))].concat();
    graph.extend([field(11, &value("features")), field(12, &value(&name(1_000)))].concat());
    let opset = [field(1, b""), vec![16, 17]].concat();
    let path = home.path("endless.onnx");
    fs::write(&path, [field(7, &graph), field(8, &opset)].concat()).expect("written");
    path.display().to_string()
}

/// The processes of models that a site has now.
fn processes(site: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").expect("Linux").flatten();
    let numbers = all.filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok());
    let is_model = |pid: &u32| {
        let read =
            |what: &str| fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap_or_default();
        let parent = read("stat")
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(1).and_then(|it| it.parse::<u32>().ok()));
        parent == Some(site) && read("cmdline").contains("__model")
    };
    numbers.filter(is_model).collect()
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("small")).expect("not 0");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is there");
}

/// Mutation: let one model's calls wait for another's, tell a client of a death that was nobody's fault, or ask
/// on and on what has hung three times.
#[test]
fn a_model_that_hangs_or_is_killed_hurts_no_other() {
    let home = Home::new();
    let dev = home.dev();
    add(&home, "risk", &risk_file(), &[]);
    add(&home, "hang", &endless(&home), &["--deadline", "1", "--concurrency", "1"]);
    let (door, row) = (dev.door(), vec![vec![1.0; 30]]);
    assert_eq!(infer(&dev.door(), "risk", &row).status, 200);
    let (first, others) = (processes(dev.process.id()), row.clone());
    assert_eq!(first.len(), 1, "`hang` has answered nothing yet");
    thread::scope(|scope| {
        let hangs = scope.spawn(|| infer(&door, "hang", &vec![vec![0.5; 1_000]; 1_000]));
        // While it does, another one answers, and is killed, and answers.
        let began = Instant::now();
        while processes(dev.process.id()).len() < 2 {
            assert!(began.elapsed() < HANG, "the one that hangs begins");
        }
        assert_eq!(infer(&dev.door(), "risk", &others).status, 200);
        kill(first[0]);
        assert_eq!(infer(&dev.door(), "risk", &others).status, 200);
        let late = hangs.join().expect("an answer");
        assert_eq!(late.status, 504, "{}", late.body);
    });
    let now = processes(dev.process.id());
    assert!(now.len() == 1 && now != first, "the hanging one is gone: {now:?}");
    let small = vec![vec![0.0; 2]; 2];
    assert_eq!(infer(&dev.door(), "hang", &small).status, 200, "it is not broken");
}

/// Mutation: keep the file with the run of a process alone, forget it with another model that has it, take what
/// is no model, or take the digest of another namespace's file.
#[test]
fn a_file_is_kept_as_long_as_a_model_names_it() {
    let home = Home::new();
    let dev = home.dev();
    let document = |namespace: &str, name: &str, artifact: &str| {
        format!(
            "apiVersion: isonomy.dev/v1\nkind: Model\nmetadata: {{namespace: {namespace}, name: {name}}}\nspec:\n  artifact: {{{artifact}}}\n"
        )
    };
    fs::create_dir_all(home.path("shop")).expect("made");
    fs::copy(risk_file(), home.path("shop/risk.onnx")).expect("copied");
    home.write("shop/a.yaml", &document("default", "risk@1", "file: risk.onnx"));
    home.write("shop/b.yaml", &document("default", "risk@2", "file: risk.onnx"));
    home.run(&["apply", "-f", "shop", "--yes"]).ends_with(0);
    let again = home.run(&["apply", "-f", "shop", "--yes"]).ends_with(0);
    assert!(again.stderr.contains("nothing to change"), "{}", again.stderr);
    home.run(&["models", "remove", "risk@2", "--yes"]).ends_with(0);
    dev.stop().ends_with(0);
    let dev = home.dev();
    assert_eq!(infer(&dev.door(), "risk", &[vec![1.0; 30]]).status, 200, "the newest is `risk@1`");

    let shown = home.run(&["models", "show", "risk@1", "-o", "json"]).ends_with(0).json();
    let digest = shown["artifact"]["digest"].as_str().expect("a digest");
    home.write("other.yaml", &document("other", "risk", &format!("digest: '{digest}'")));
    let said = home.run(&["apply", "-f", "other.yaml", "--yes"]).ends_with(2).stderr;
    assert!(said.contains("`other` has no such file"), "{said}");
    home.write("chat.gguf", "GGUF");
    let said = home.run(&["models", "add", "chat", "chat.gguf"]).ends_with(2).stderr;
    assert!(said.contains("the file ends in the middle"), "{said}");
    fs::write(home.path("chat.onnx"), b"PK\x03\x04").expect("written");
    let said = home.run(&["models", "add", "chat", "chat.onnx"]).ends_with(2).stderr;
    assert!(said.contains("a file of PyTorch") && said.contains("torch.onnx"), "{said}");

    home.run(&["models", "remove", "risk@1", "--yes"]).ends_with(0);
    home.write("gone.yaml", &document("default", "risk", &format!("digest: '{digest}'")));
    home.run(&["apply", "-f", "gone.yaml", "--yes"]).ends_with(2);
}
