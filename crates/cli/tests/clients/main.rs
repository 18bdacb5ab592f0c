//! The packages that programs have for models, unchanged, against the real binary: the programs lie in
//! `testing/clients`, and `cargo xtask clients` installs the packages. Where it has not, these are skipped.

mod anthropic;
mod openai;
#[path = "../support/mod.rs"]
mod support;
mod telemetry;
mod triton;
mod watched;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use support::world::World;
use support::{Dev, HANG, Home, Process};

const SECRET: &str = "sk-of-the-site";

/// Tokens of each answer.
const INPUT_TOKENS: u64 = 10;
const OUTPUT_TOKENS: u64 = 5;

/// With which each model calls the tool that it is offered.
const TOOL_ARGUMENTS: &str = r#"{"city":"Zürich"}"#;

/// Two EUR for a million tokens of output, and one of input.
const MODELS: &str = "apiVersion: isonomy.dev/v1
kind: Model
metadata: {namespace: sales, name: NAME}
spec:
  upstream: {url: 'URL', dialect: DIALECT, secret: upstream}
  limits: {outputTokens: 100, firstByteSeconds: SECONDS}
  price: {own: {currency: EUR, rates: {input: '1', output: '2'}}}
";

struct Upstream {
    world: World,
    dialect: &'static str,
    /// Below the world's address.
    path: &'static str,
    /// Model, where in the world it is, and how long it may think.
    models: &'static [(&'static str, &'static str, u32)],
}

/// Where the packages are: beside what cargo has built.
fn packages() -> PathBuf {
    let built = Path::new(env!("CARGO_TARGET_TMPDIR"));
    built.parent().expect("below the target folder").join("clients")
}

/// What runs a program with this ending, or `None` where its packages are not installed.
fn runner(program: &str) -> Option<PathBuf> {
    let (runner, folder) = if program.ends_with(".py") {
        (packages().join("venv/bin/python"), "venv")
    } else {
        (PathBuf::from("node"), "node_modules")
    };
    packages().join(folder).join("installed").is_file().then_some(runner)
}

/// Runs a program at a site with this upstream, and looks at what came of it on both sides.
fn check(program: &str, upstream: impl FnOnce() -> Upstream) {
    let Some(runner) = runner(program) else {
        eprintln!("skipped: the packages of `{program}` are missing; see `cargo xtask clients`");
        return;
    };
    let (home, upstream) = (Home::new(), upstream());
    home.allow(&upstream.world.url);
    let dev = home.dev();
    add_models(&home, &upstream);
    let ended = Process::spawn(command(&home, &dev, &runner, program)).end();
    ended.ends_with(0);

    let requests = upstream.world.requests();
    assert!(requests.len() > 5, "{}", requests.len());
    for request in &requests {
        let shown = [&request.authorization, &request.api_key];
        let is_ours = |text: &&String| text.ends_with(SECRET);
        assert!(shown.iter().any(is_ours), "{request:?}");
        assert!(shown.iter().all(|it| it.is_empty() || is_ours(it)), "{request:?}");
    }
    // What the upstream has sent bills for, to the micro-unit.
    let paid = requests.iter().filter(|it| is_paid(&it.path));
    let bill: u64 = paid.clone().map(|it| price(&it.path)).sum();
    let calls = paid.count() as u64;
    let mut all = until(&home, "chat", |usage| usage["calls"] == calls);
    assert_eq!(micros(&all["cost"][0].take()), bill, "{all}");
    dev.stop().ends_with(0);
    home.is_whole();
}

fn add_models(home: &Home, upstream: &Upstream) {
    let Upstream { world, dialect, path, models } = upstream;
    for (name, place, seconds) in *models {
        let model = MODELS
            .replace("NAME", name)
            .replace("URL", &format!("{}{place}{path}", world.url))
            .replace("DIALECT", dialect)
            .replace("SECONDS", &seconds.to_string());
        home.write(&format!("models/{}.yaml", name.replace('/', "-")), &model);
    }
    home.run_with_stdin(&["secrets", "set", "upstream", "-n", "sales"], SECRET).ends_with(0);
    home.run(&["apply", "-f", "models", "--yes"]).ends_with(0);
}

fn command(home: &Home, dev: &Dev, runner: &Path, program: &str) -> Command {
    let key = |name: &str, more: &[&str]| {
        let args = [&["keys", "create", name, "--scope", "model", "-n", "sales"], more].concat();
        home.run(&args).ends_with(0).stdout.trim().to_owned()
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/clients");
    // Node looks for packages above a program, and Python writes beside it.
    for name in [program, if program.ends_with(".py") { "place.py" } else { "place.mjs" }] {
        std::fs::copy(folder.join(name), home.path(name)).expect("a program of ours");
    }
    let modules = packages().join("node_modules");
    std::os::unix::fs::symlink(modules, home.path("node_modules")).expect("linked");
    let mut command = Command::new(runner);
    command
        .arg(program)
        .current_dir(home.path("."))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.path("."))
        .env("SITE_URL", &dev.url)
        .env("SITE_KEY", key("rich", &["--budget", "1EUR/day"]))
        .env("SITE_POOR_KEY", key("poor", &["--budget", "0.0001EUR/day", "--models", "chat"]))
        .env("SITE_SLOW_KEY", key("slow", &["--requests-per-minute", "1"]))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What the calls of a model have used and cost, once all is written down.
fn until(home: &Home, model: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let usage = home.run(&["usage", "--by", "model", "-o", "json"]).ends_with(0).json();
        let rows = usage["items"].as_array().cloned().unwrap_or_default();
        let found = rows.into_iter().find(|row| row["group"]["model"] == model);
        let found = found.unwrap_or_default();
        if is_it(&found) {
            return found;
        }
        assert!(began.elapsed() < HANG, "{usage}");
    }
}

/// Where something of the repository lies.
fn in_repository(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join(path).display().to_string()
}

/// Whether the model `chat` is asked, which answers.
fn is_paid(path: &str) -> bool {
    path.starts_with("/v1/")
}

fn price(path: &str) -> u64 {
    let output = if path.ends_with("/embeddings") { 0 } else { OUTPUT_TOKENS };
    INPUT_TOKENS + 2 * output
}

/// Of an amount in EUR.
fn micros(amount: &Value) -> u64 {
    let text = amount.as_str().and_then(|text| text.strip_suffix(" EUR")).expect("an amount");
    let (whole, part) = text.split_once('.').expect("a decimal");
    format!("{whole}{part:0<6}").parse().expect("digits")
}

/// Events without names, as OpenAI sends them.
fn events(pieces: impl IntoIterator<Item = Value>) -> String {
    pieces.into_iter().map(|piece| format!("data: {piece}\n\n")).collect()
}

/// Events that are named by their type.
fn named(pieces: impl IntoIterator<Item = Value>) -> String {
    let event = |piece: Value| {
        let name = piece["type"].as_str().expect("a type").to_owned();
        format!("event: {name}\ndata: {piece}\n\n")
    };
    pieces.into_iter().map(event).collect()
}

/// In two pieces, so that whoever reads must put them together.
fn halves(text: &str) -> [&str; 2] {
    let middle = (text.len() / 2..).find(|at| text.is_char_boundary(*at));
    let (one, other) = text.split_at(middle.unwrap_or(0));
    [one, other]
}
