//! The specification's 68 examples, run. What each is given and must give stands in [`RUNS`]; what
//! cannot run is pinned with its reason.

use serde_json::Value;

use crate::site::{Seen, Site, files, pinned};
use crate::support::Ended;

/// Examples there are.
const EXAMPLES: usize = 68;

/// Of these at least so many run.
const RUNS_MIN: usize = 41;

struct Run {
    file: &'static str,
    /// JSON.
    input: &'static str,
    expect: Expect,
    /// Commands before it, each with its stdin.
    before: &'static [(&'static [&'static str], &'static str)],
}

enum Expect {
    /// Completes, and its output has at least this (JSON).
    Output(&'static str),
    /// Faults, and its error has at least this (JSON).
    Error(&'static str),
}

const fn run(file: &'static str, input: &'static str, output: &'static str) -> Run {
    Run { file, input, expect: Expect::Output(output), before: &[] }
}

const fn fails(file: &'static str, input: &'static str, error: &'static str) -> Run {
    Run { file, input, expect: Expect::Error(error), before: &[] }
}

const PET: &str = r#"{"id": 1, "name": "pet 1"}"#;
const PET_ID: &str = r#"{"petId": 1}"#;
const NO_PET: &str = r#"{"petId": "unknown"}"#;
const TOKEN: &str = r#"{"petId": 1, "token": "a-token"}"#;
const SEARCH: &str = r#"{"searchQuery": "luke"}"#;
const LUKE: &str = r#"{"results": [{"name": "Luke Skywalker"}]}"#;
const NOT_IMPLEMENTED: &str = r#"{"status": 500, "title": "Not Implemented",
    "detail": "The workflow 'raise-not-implemented:0.1.0' is a work in progress and cannot be run yet"}"#;
const PATIENT: &str = r#"[{"data": {"timestamp": "now",
    "patient": {"id": "p", "name": "n", "room": {"number": 1}, "vitals": {"bpm": 30}}}}]"#;

const SECRET: &[(&[&str], &str)] = &[(
    &["-n", "examples", "secrets", "set", "mySecret"],
    r#"{"authority": "http://keycloak/realms/fake-authority", "grant": "client_credentials",
        "client": {"id": "an-id", "secret": "a-secret"}}"#,
)];

const CHILD: &[(&[&str], &str)] = &[(
    &["apply", "-y", "-f", "-"],
    "document: {dsl: '1.0.3', namespace: test, name: register-customer, version: 0.1.0}\ndo: [{done: {set: {registered: true}}}]\n",
)];

const RUNS: [Run; 41] = [
    run("authentication-bearer-uri-format.yaml", TOKEN, PET),
    run("authentication-bearer.yaml", TOKEN, PET),
    Run { before: SECRET, ..run("authentication-oauth2-secret.yaml", PET_ID, PET) },
    run("authentication-oauth2.yaml", PET_ID, PET),
    Run { before: SECRET, ..run("authentication-oidc-secret.yaml", PET_ID, PET) },
    run("authentication-oidc.yaml", PET_ID, PET),
    run("authentication-reusable.yaml", TOKEN, PET),
    run("call-custom-function-cataloged.yaml", "{}", r#"{"logged": "Hello, world!"}"#),
    run("call-custom-function-inline.yaml", "{}", r#"{"id": 69}"#),
    run("call-http-endpoint-interpolation-shorthand.yaml", PET_ID, PET),
    run("call-http-endpoint-interpolation.yaml", PET_ID, PET),
    run("call-http-query-headers-expressions.yaml", SEARCH, LUKE),
    run("call-http-query-parameters.yaml", SEARCH, LUKE),
    run("call-http-redirect.yaml", SEARCH, LUKE),
    run("call-openapi-redirect.yaml", "{}", "[]"),
    run("call-openapi.yaml", "{}", "[]"),
    run(
        "conditional-task.yaml",
        r#"{"customer": {"age": 30}, "bet": 1}"#,
        r#"{"path": "/api/bet/on/football"}"#,
    ),
    run("do-multiple.yaml", PET_ID, PET),
    run("do-single.yaml", PET_ID, PET),
    run("emit.yaml", "{}", r#"{"type": "com.petstore.order.placed.v1"}"#),
    run(
        "for-inline-array.yaml",
        "{}",
        r##"{"processed": [{"name": "red", "hex": "#FF0000"}, {"name": "green"}, {"name": "blue"}]}"##,
    ),
    run("for.yaml", r#"{"pets": [{"id": 1}]}"#, r#"{"pets": [{"id": 1}]}"#),
    run(
        "fork.yaml",
        r#"{"patient": {"fullName": "n"}, "room": {"number": 1}}"#,
        r#"{"host": "fake-hospital.com"}"#,
    ),
    fails("raise-inline.yaml", "{}", NOT_IMPLEMENTED),
    fails("raise-reusable.yaml", "{}", NOT_IMPLEMENTED),
    run("run-script-with-stdin-and-arguments.yaml", "{}", "null"),
    run("run-shell-stdin-and-arguments.yaml", "{}", "null"),
    Run { before: CHILD, ..run("run-subflow.yaml", r#"{"user": {}}"#, r#"{"registered": true}"#) },
    run("schedule-cron.yaml", "{}", r#"{"path": "/api/v1/backup/start"}"#),
    run("schedule-event-driven.yaml", PATIENT, r#"{"path": "/api/v1/notify"}"#),
    run("set-expression.yaml", r#"[{"a": 1}]"#, r#"{"a": 1}"#),
    run("set.yaml", r#"[{"a": 1}]"#, r#"{"startEvent": {"a": 1}}"#),
    run("star-wars-homeworld.yaml", r#"{"id": 1}"#, r#"{"name": "Tatooine"}"#),
    run("switch-then-string.yaml", r#"{"orderType": "electronic"}"#, r#"{"status": "fulfilled"}"#),
    run("try-catch-retry-inline.yaml", PET_ID, PET),
    run("try-catch-retry-reusable.yaml", PET_ID, PET),
    run("try-catch-then-directive.yaml", "{}", r#"{"status": "failed"}"#),
    run("try-catch-then.yaml", NO_PET, r#"{"error": "$error"}"#),
    run("try-catch.yaml", NO_PET, NO_PET),
    run("wait-duration-inline.yaml", r#"{"n": 1}"#, r#"{"n": 1}"#),
    run("wait-duration-iso8601.yaml", r#"{"n": 2}"#, r#"{"n": 2}"#),
];

/// Mutation: get a construct wrong, list an example twice, or take one off the list of what cannot
/// run.
#[test]
fn the_examples_run_but_for_what_is_pinned() {
    let site = Site::new();
    let texts = files("open-workflow/examples", "yaml");
    assert_eq!(texts.len(), EXAMPLES);
    let unknown = RUNS.iter().find(|run| texts.iter().all(|(file, _)| file != run.file));
    assert!(unknown.is_none(), "{:?} is no example", unknown.map(|run| run.file));
    // These take half a minute each: they wait while the others run.
    let waits = |file: &str| file.starts_with("wait-");
    let mut started = Vec::new();
    for run in RUNS.iter().filter(|run| waits(run.file)) {
        let text = text_of(&texts, run.file);
        site.home.write(run.file, text);
        let input = site.home.write(&format!("{}.json", run.file), run.input);
        let input = format!("@{}", input.display());
        started.push((run, site.home.start(&["run", run.file, "-i", &input])));
    }
    let mut failed: Vec<(String, String)> = Vec::new();
    for (file, text) in &texts {
        let wrong = match RUNS.iter().find(|run| run.file == file) {
            Some(run) if waits(run.file) => continue,
            Some(run) => outcome(&site, run, text),
            None => Some("nothing says how to run it".to_owned()),
        };
        failed.extend(wrong.map(|wrong| (file.clone(), wrong)));
    }
    for (run, process) in started {
        let wrong = check(run, &seen(process.end()));
        failed.extend(wrong.map(|wrong| (run.file.to_owned(), wrong)));
    }
    site.close();
    failed.sort();
    let names: Vec<&String> = failed.iter().map(|(name, _)| name).collect();
    let mut expected = pinned("run");
    expected.sort();
    assert_eq!(
        names,
        expected.iter().collect::<Vec<_>>(),
        "pinned.txt says otherwise: {failed:#?}"
    );
    let runs = EXAMPLES - names.len();
    assert!(runs >= RUNS_MIN, "only {runs} examples run");
    println!("{runs} of {EXAMPLES} examples run");
}

fn text_of<'t>(texts: &'t [(String, String)], file: &str) -> &'t str {
    let found = texts.iter().find(|(name, _)| name == file);
    found.map(|(_, text)| text.as_str()).expect("looked for above")
}

fn outcome(site: &Site, run: &Run, text: &str) -> Option<String> {
    for (words, stdin) in run.before {
        let ended = site.home.run_with_stdin(words, stdin);
        if ended.code != 0 {
            return Some(format!("`{}`: {}", words.join(" "), ended.stderr.trim()));
        }
    }
    let input: Value = serde_json::from_str(run.input).expect("JSON");
    check(run, &site.run(run.file, text, Some(&input)))
}

fn seen(ended: Ended) -> Seen {
    let output = serde_json::from_str(&ended.stdout).ok();
    Seen { code: ended.code, output, said: ended.stderr, ..Seen::default() }
}

fn check(run: &Run, seen: &Seen) -> Option<String> {
    let (code, found, wanted) = match run.expect {
        Expect::Output(wanted) => (0, &seen.output, wanted),
        Expect::Error(wanted) => (1, &seen.error, wanted),
    };
    let wanted: Value = serde_json::from_str(wanted).expect("JSON");
    let found = found.as_ref().unwrap_or(&Value::Null);
    let holds = seen.code == code && has(found, &wanted);
    (!holds).then(|| format!("code {}, {found}; {}", seen.code, seen.said.trim()))
}

/// Whether all that is wanted is there; `null` wants nothing.
fn has(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (_, Value::Null) => true,
        (Value::Object(found), Value::Object(wanted)) => wanted
            .iter()
            .all(|(name, wanted)| found.get(name).is_some_and(|found| has(found, wanted))),
        (Value::Array(found), Value::Array(wanted)) => {
            wanted.len() <= found.len()
                && found.iter().zip(wanted).all(|(found, wanted)| has(found, wanted))
        }
        (found, wanted) => found == wanted,
    }
}
