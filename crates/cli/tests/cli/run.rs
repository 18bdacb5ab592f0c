//! `isonomy run` on a site.

use serde_json::json;

use crate::support::world::{Answer, World};
use crate::support::{Home, document, find_run};

const ECHO: &str = "  - say:\n      set: '${ . }'\n";

/// Mutation: print talk on stdout, quote text, or drop a part of the input.
#[test]
fn the_output_alone_is_on_stdout_in_the_form_asked_for() {
    let home = Home::new();
    home.write("echo.yaml", &document("echo", ECHO));
    home.write(
        "text.yaml",
        &document("text", "  - a:\n      set: { t: \"two\\nlines\" }\n      output: { as: .t }\n"),
    );
    home.write("input.json", "{\"a\": {\"b\": 1}, \"list\": [1, 2]}");
    let _dev = home.dev();
    let check = |args: &[&str], stdout: &str| {
        let ended = home.run(args).ends_with(0);
        assert_eq!(ended.stdout, stdout, "{args:?}");
    };
    check(
        &["run", "echo.yaml", "-i", "name=Ada", "-i", "n=3"],
        "{\n  \"name\": \"Ada\",\n  \"n\": 3\n}\n",
    );
    check(
        &["run", "echo", "-i", "@input.json", "-i", "a.c=x", "-o", "yaml"],
        "a:\n  b: 1\n  c: x\nlist:\n- 1\n- 2\n",
    );
    check(&["run", "echo"], "{}\n");
    check(&["run", "text.yaml"], "\"two\\nlines\"\n");
    check(&["run", "text", "-o", "text"], "two\nlines\n");
    let ended = home.run_with_stdin(&["run", "echo", "-i", "-"], "[true, null]").ends_with(0);
    assert_eq!(ended.json(), json!([true, null]));
    let ended =
        home.run_with_stdin(&["run", "-", "-i", "x=1"], &document("piped", ECHO)).ends_with(0);
    assert_eq!(ended.json(), json!({"x": 1}));
    assert!(ended.stderr.contains("applied default/piped 1.0.0: new, b3:"), "{}", ended.stderr);
}

/// Mutation: say nothing of what begins by itself, or say it of every workflow.
#[test]
fn a_file_with_a_schedule_says_that_it_begins_by_itself() {
    let home = Home::new();
    let scheduled = document("tick", ECHO) + "schedule: { every: { hours: 6 } }\n";
    home.write("tick.yaml", &scheduled);
    let _dev = home.dev();
    let ended = home.run(&["run", "tick.yaml"]).ends_with(0);
    assert!(ended.stderr.contains("begins by itself from now on: every 6h"), "{}", ended.stderr);
    let ended = home.run_with_stdin(&["run", "-"], &document("once", ECHO)).ends_with(0);
    assert!(!ended.stderr.contains("begins by itself"), "{}", ended.stderr);
}

/// Mutation: apply in the namespace of the command line instead of the file's.
#[test]
fn a_files_own_namespace_wins() {
    let home = Home::new();
    home.write(
        "own.yaml",
        &document("own", ECHO).replace("namespace: default", "namespace: clinic"),
    );
    let _dev = home.dev();
    let run = home.run(&["run", "own.yaml", "-n", "other"]).ends_with(0).run_id();
    home.run(&["-n", "clinic", "runs", "show", &run]).ends_with(0);
    home.run(&["runs", "show", &run]).ends_with(2);
    home.run(&["run", "own"]).ends_with(2);
    home.run(&["run", "own", "-n", "clinic"]).ends_with(0);
}

/// Mutation: print more than the id, or wait for the end.
#[test]
fn detached_it_prints_the_id_and_leaves() {
    let home = Home::new();
    home.write("wait.yaml", &document("wait", "  - pause:\n      wait: PT1H\n"));
    let _dev = home.dev();
    let ended = home.run(&["run", "wait.yaml", "--detach"]).ends_with(0);
    let run = find_run(&ended.stdout).expect("an id");
    assert_eq!(ended.stdout, format!("{run}\n"));
    let again = home.run(&["run", "wait", "--detach", "--id", &run]).ends_with(0);
    assert_eq!(again.stdout, ended.stdout, "starting twice is harmless");
    home.write("other.yaml", &document("other", ECHO));
    let other = home.run(&["run", "other.yaml", "--detach", "--id", &run]).ends_with(2);
    assert!(other.stderr.contains("[RUN-002]"), "{}", other.stderr);
    assert_eq!(
        home.run(&["runs", "-o", "json"]).json()["items"].as_array().expect("a list").len(),
        1
    );
    home.run(&["runs", "cancel", &run, "--reason", "enough"]).ends_with(0);
}

/// Mutation: end with 0 for a fault, or leave out task, place or hint.
#[test]
fn a_fault_is_told_with_task_place_and_hint() {
    let home = Home::new();
    let raise = "  - complain:\n      raise:\n        error: { type: https://example.com/errors/sold-out, status: 410, title: Sold out, detail: nothing is left }\n";
    home.write("raise.yaml", &document("raise", raise));
    let _dev = home.dev();
    let ended = home.run(&["run", "raise.yaml"]).ends_with(1);
    let run = ended.run_id();
    assert!(ended.stdout.is_empty());
    assert!(
        ended.stderr.contains(&format!("error: {run} faulted: Sold out (410): nothing is left\n")),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains("--> task `complain` at /do/0/complain of default/raise 1.0.0"),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.ends_with(&format!("hint: see `isonomy runs show {run}`\n")),
        "{}",
        ended.stderr
    );
}

/// Mutation: let a denial of the gate end like any fault, or one of the other side like a denial.
#[test]
fn a_denial_of_the_gate_ends_with_three_and_a_servers_with_one() {
    let home = Home::new();
    let world = World::new(|_| Answer::Status(403));
    let call = |name: &str, path: &str| {
        let tasks = format!(
            "  - fetch:\n      call: http\n      with: {{ method: get, endpoint: {}{path} }}\n",
            world.url
        );
        home.write(&format!("{name}.yaml"), &document(name, &tasks));
    };
    call("fetch", "/x");
    let dev = home.dev();
    let ended = home.run(&["run", "fetch.yaml"]).ends_with(3);
    assert!(ended.stderr.contains("Denied by policy (403)"), "{}", ended.stderr);
    assert!(
        ended.stderr.contains(&format!("destination: {}", world.url)),
        "the line to add: {}",
        ended.stderr
    );
    dev.stop();
    home.allow(&world.url);
    let _dev = home.dev();
    home.run(&["run", "fetch"]).ends_with(1);
}

/// Mutation: start what is not there, or tell it as an internal error.
#[test]
fn what_is_not_there_or_not_valid_is_wrong_usage() {
    let home = Home::new();
    home.write("bad.yaml", &document("bad", "  - a:\n      sett: {}\n"));
    home.write("nameless.yaml", "document: {}\ndo: []\n");
    home.write("broken.yaml", "document: [\n");
    let _dev = home.dev();
    let missing = home.run(&["run", "missing"]).ends_with(2);
    assert!(missing.stderr.contains("[WFL-002]"), "{}", missing.stderr);
    home.run(&["run", "missing.yaml"]).ends_with(2);
    home.run(&["run", "not a name"]).ends_with(2);
    home.run(&["run", "missing", "-i", "nothing"]).ends_with(2);
    let bad = home.run(&["run", "bad.yaml"]).ends_with(2);
    assert!(
        bad.stderr.starts_with("error[WF-") && bad.stderr.contains("--> bad.yaml:7:5"),
        "{}",
        bad.stderr
    );
    for file in ["nameless.yaml", "broken.yaml"] {
        let refused = home.run(&["run", file]).ends_with(2);
        assert!(refused.stderr.contains(&format!("--> {file}:")), "{}", refused.stderr);
    }
    assert_eq!(home.run(&["workflows", "-o", "json"]).json(), json!({"items": []}));
}

/// Mutation: read the view of a value instead of the value.
#[test]
fn a_large_output_comes_whole() {
    let home = Home::new();
    let rows: Vec<String> = (0..40_000).map(|row| format!("{row:05}")).collect();
    home.write("large.json", &json!({"rows": rows}).to_string());
    home.write("echo.yaml", &document("echo", ECHO));
    let _dev = home.dev();
    let ended = home.run(&["run", "echo.yaml", "-i", "@large.json"]).ends_with(0);
    assert_eq!(ended.json()["rows"][39_999], json!("39999"));
}
