//! `isonomy test`: the real binary on real files, without any site.

use std::path::Path;

use crate::support::{Home, document, golden};

const TASKS: &str = "
  - fetch:
      try:
        - get: { call: http, with: { method: get, endpoint: 'https://a.example/orders/{id}' } }
      catch:
        errors: { with: { status: 503 } }
        retry: { delay: PT10S, backoff: { exponential: {} }, limit: { attempt: { count: 5 } } }
  - nap: { wait: P30D }
  - post:
      call: http
      with: { method: post, endpoint: 'https://b.example/x', query: { k: v }, headers: { a: b }, body: { n: '${ .total }' } }
      output: { as: '${ {got: ., seven: (.id | test(\"7\"))} }' }
  - say: { call: 'echo:1.0.0@default', with: { all: '${ . }' } }
";

const TESTS: &str = "
stubs:
  - call: POST https://b.example/*
    output: { id: '7' }
cases:
  - name: an order comes through
    input: { id: 3 }
    stubs:
      - task: get
        answers:
          - error: { status: 503 }
          - error: { status: 503 }
            after: PT1S
          - output: { total: 12 }
    expect:
      output: { all: { seven: true, got: { id: '7' } } }
      includes: { all: { seven: true } }
      order: [get, get, get, nap, post, say]
      never: []
      calls:
        - { task: get, times: 3, with: { endpoint: 'https://a.example/orders/3' } }
        - { location: /do/2/post, with: { body: { n: 12.0 }, headers: { a: b }, query: { k: v } } }
        - { call: 'echo:*', times: 1 }
      takes: P30DT31S
  - name: a lasting refusal is an error
    input: { id: 4 }
    stubs: [{ location: /do/0/fetch/try/0/get, error: { status: 404, title: Not Found } }]
    expect:
      error: { type: 'https://serverlessworkflow.io/spec/1.0.0/errors/communication', status: 404, instance: /do/0/fetch/try/0/get }
";

const WRONG: &str = "
cases:
  - name: everything differs
    input: { id: 3 }
    stubs:
      - { task: get, output: { total: 13 } }
      - { task: post, output: { id: '7' } }
      - { task: nap, output: {} }
    expect:
      output: { all: { seven: true, got: { id: '8' } }, more: 2 }
      includes: { all: { seven: false } }
      order: [get, post, nap]
      never: [say]
      calls:
        - { task: post, with: { body: { n: 12 } } }
        - { task: get, times: 2 }
      takes: PT1S
  - name: a stub is missing
    input: { id: 3 }
  - name: a stub is asked too often
    input: { id: 3 }
    stubs: [{ task: get, answers: [{ error: { status: 503 } }] }]
  - name: another error
    input: { id: 3 }
    stubs: [{ task: get, error: { status: 404, detail: gone } }]
    expect: { error: { status: 500, detail: gone } }
  - name: no error
    stubs: [{ task: get, error: { status: 404 } }]
  - name: nothing comes
    input: { id: 3 }
    stubs: [{ task: get, never: true }]
";

fn home(tests: &str) -> Home {
    let home = Home::new();
    home.write("intake.yaml", &document("intake", TASKS).replace("do:\n\n", "do:\n"));
    home.write("intake.test.yaml", tests);
    home
}

/// Mutation: let time pass, answer by the wrong stub, or compare anything of `expect` loosely.
#[test]
fn what_is_as_expected_passes() {
    let home = home(TESTS);
    for target in ["intake.yaml", "intake.test.yaml", "."] {
        let ended = home.run(&["test", target]).ends_with(0);
        assert!(ended.stdout.ends_with("2 passed, 0 failed\n"), "{}", ended.stdout);
    }
    let one = home.run(&["test", ".", "--case", "order"]).ends_with(0);
    assert!(one.stdout.ends_with("1 passed, 0 failed\n"), "{}", one.stdout);
}

/// Mutation: leave out, or swap the sides of, any kind of finding.
#[test]
fn what_differs_is_shown_and_fails() {
    let home = home(WRONG);
    golden("test-failed.txt", &home.run(&["test", "intake.yaml"]).ends_with(1).stdout);
    golden(
        "test-failed.json",
        &home.run(&["test", "intake.yaml", "-o", "json"]).ends_with(1).stdout,
    );
}

/// Mutation: compare with the same workflow, or let the other one decide the exit code.
#[test]
fn two_revisions_are_shown_side_by_side() {
    let home = home(TESTS);
    let other = document("intake", TASKS).replace("do:\n\n", "do:\n");
    home.write("other.yaml", &other.replace("P30D", "P1D").replace("seven:", "eight:"));
    let order = ["test", "intake.yaml", "--case", "order", "--compare"];
    let by_file = home.run(&[&order[..], &["other.yaml"]].concat()).ends_with(0);
    golden("test-compared.txt", &by_file.stdout);
    let _dev = home.dev();
    let applied = home.run(&["apply", "-f", "other.yaml", "--yes", "-o", "json"]).ends_with(0);
    let revision = applied.json()["items"][0]["revision"].as_str().expect("a digest").to_owned();
    let stored = home.run(&[&order[..], &[&revision]].concat()).ends_with(0);
    assert_eq!(
        stored.stdout,
        by_file.stdout.replace("- other.yaml ", &format!("- default/intake {revision} "))
    );
    home.run(&["test", "other.yaml"]).ends_with(2);
    home.write("other.test.yaml", TESTS);
    let failed = home.run(&["test", "other.yaml", "--compare", "intake.yaml"]).ends_with(1);
    assert!(failed.stdout.contains("the other one passes"), "{}", failed.stdout);
}

/// Mutation: tell the first mistake only, or one of the file once for each case.
#[test]
fn all_that_is_wrong_with_test_files_is_told_at_once() {
    let tests = "
stubs:
  - { task: psot, output: {} }
cases:
  - name: a
    at: soon
    stubs: [{ task: get }, { output: 1 }]
    expect: { state: done, takes: later }
  - name: a
";
    let home = home(tests);
    let said = |command: &[&str]| home.run(command).ends_with(2).stderr;
    let wrong = said(&["test", "."]);
    for mistake in [
        "`at` of the case `a` is not a time",
        "an answer is exactly one of",
        "it is not said which effect is meant",
        "`state` is none in which a run ends",
        "`takes` is not a duration",
        "the case `a` stands at line 5 already",
    ] {
        assert_eq!(wrong.matches(mistake).count(), 1, "{mistake}\n{wrong}");
    }
    assert!(wrong.ends_with("\n\nerror: 6 mistakes\n"), "{wrong}");
    let unknown = tests.replace("    at: soon\n    stubs: [{ task: get }, { output: 1 }]\n", "");
    let unknown = unknown.replace("{ state: done, takes: later }", "{ never: [nobody] }");
    home.write("intake.test.yaml", &unknown.replacen("name: a", "name: b", 1));
    let wrong = said(&["test", "."]);
    assert!(wrong.contains("has no task `psot`") && wrong.contains("has no task `nobody`"));
    assert!(wrong.ends_with("\n\nerror: 2 mistakes\n"), "{wrong}");
    home.write("intake.test.yaml", TESTS);
    let digest = said(&["test", "intake.yaml", "--compare", "b3:0000"]);
    assert!(digest.starts_with("error: `b3:0000` is not a digest\n"), "{digest}");
}

/// Mutation: run what can be run of a wrong file, or give another exit code.
#[test]
fn a_wrong_file_is_refused_at_its_place_before_anything_runs() {
    let home = home(TESTS);
    for (tests, said) in [
        ("", "intake.test.yaml:1:1: "),
        ("a: [", "intake.test.yaml:1:"),
        ("cases: []", "there is no case in it\n  --> intake.test.yaml:1"),
        ("cases:\n  - name: a\n    expct: {}", "intake.test.yaml:3:5: unknown field `expct`"),
        (
            "cases:\n  - name: a\n  - name: a",
            "the case `a` stands at line 2 already\n  --> intake.test.yaml:3",
        ),
        ("cases:\n  - {name: a, at: soon}", "`at` of the case `a` is not a time"),
        ("cases:\n  - {name: a, stubs: [{output: 1}]}", "it is not said which effect is meant"),
        ("cases:\n  - {name: a, stubs: [{task: get}]}", "an answer is exactly one of"),
        (
            "cases:\n  - {name: a, stubs: [{task: get, output: 1, never: true}]}",
            "an answer is exactly one of",
        ),
        ("cases:\n  - {name: a, stubs: [{task: get, answers: []}]}", "`answers` is empty"),
        (
            "cases:\n  - {name: a, stubs: [{task: get, output: 1, answers: [{output: 1}]}]}",
            "either one answer or `answers`",
        ),
        (
            "cases:\n  - {name: a, stubs: [{task: get, output: 1, after: soon}]}",
            "`after` is not a duration",
        ),
        ("cases:\n  - {name: a, stubs: [{call: nonsense, output: 1}]}", "`call` names no call"),
        ("cases:\n  - {name: a, stubs: [{task: gett, output: 1}]}", "hint: did you mean `get`?"),
        (
            "cases:\n  - {name: a, stubs: [{location: /do/0/get, output: 1}]}",
            "has no task at `/do/0/get`",
        ),
        ("cases:\n  - {name: a, expect: {order: [fetsh]}}", "hint: did you mean `fetch`?"),
        ("cases:\n  - {name: a, expect: {never: [x]}}", "hint: its tasks are `fetch`, `get`"),
        ("cases:\n  - {name: a, expect: {calls: [{task: x}]}}", "has no task `x`"),
        ("cases:\n  - {name: a, expect: {state: done}}", "`state` is none in which a run ends"),
        ("workflow: none.yaml\ncases:\n  - {name: a}", "cannot read the document `none.yaml`"),
    ] {
        home.write("intake.test.yaml", tests);
        let ended = home.run(&["test", "intake.test.yaml"]).ends_with(2);
        assert!(ended.stderr.contains(said), "{tests}\n{}", ended.stderr);
        assert!(ended.stdout.is_empty(), "{}", ended.stdout);
    }
    home.write("intake.test.yaml", TESTS);
    home.write("empty/x.yaml", "a: 1");
    home.write("alone.test.yaml", TESTS);
    for (args, said) in [
        (&["test", "none.yaml"][..], "there is no file `none.yaml`"),
        (&["test", "empty"], "there is no test file in `empty`"),
        (&["test", "empty/x.yaml"], "there are no tests of `empty/x.yaml`"),
        (&["test", "alone.test.yaml"], "there is no workflow `alone.yaml` beside it"),
        (&["test", "intake.yaml", "--case", "zzz"], "no case has such a name"),
        (&["test"], "Usage:"),
    ] {
        let ended = home.run(args).ends_with(2);
        assert!(ended.stderr.contains(said), "{args:?}\n{}", ended.stderr);
    }
    home.write("intake.yaml", "document: {dsl: 1.0.3}\ndo: []\n");
    let ended = home.run(&["test", "intake.yaml"]).ends_with(2);
    assert!(ended.stderr.contains("error[WF-010]"), "{}", ended.stderr);
}

/// Mutation: propose `{}` for everything, or overlook what reads a secret.
#[test]
fn the_stub_that_is_missing_has_the_form_of_the_output() {
    let home = Home::new();
    home.write("work.test.yaml", "cases: [{name: a}]");
    for (task, output) in [
        ("run: { script: { language: python, code: 'print(1)' } }", "\"\""),
        ("run: { shell: { command: ls }, return: stderr }", "\"\""),
        ("run: { shell: { command: ls, environment: { A: '${ $secrets.a }' } } }", "\"\""),
        ("run: { shell: { command: ls }, return: code }", "0"),
        ("run: { shell: { command: ls }, return: all }", "{code: 0, stdout: \"\", stderr: \"\"}"),
        ("run: { shell: { command: ls }, return: none }", "null"),
        ("call: http\n      with: { method: get, endpoint: 'https://a.example' }", "{}"),
    ] {
        let text = document("work", &format!("  - it:\n      {task}\nuse: {{ secrets: [a] }}\n"));
        home.write("work.yaml", &text);
        let ended = home.run(&["test", "work.yaml"]).ends_with(1);
        let stub = format!("    - task: \"it\"\n              output: {output}\n");
        assert!(ended.stdout.contains(&stub), "{task}\n{}", ended.stdout);
    }
}

/// Mutation: take a stub for a task that listens, look at its name only, or refuse a stub that
/// another task of the name asks for.
#[test]
fn a_stub_of_a_task_that_listens_is_refused() {
    let home = Home::new();
    let listen = "{ listen: { to: { one: { with: { type: a } } } } }";
    let call = "{ call: http, with: { method: get, endpoint: 'https://a.example' } }";
    let tasks = format!(
        "  - hear: {listen}\n  - twice: {listen}\n  - more: {{ do: [ {{ twice: {call} }} ] }}\n"
    );
    home.write("ear.yaml", &document("ear", &tasks));
    let test = |which: &str, status: i32| {
        let case = format!(
            "{{name: a, stubs: [{{{which}, output: {{}}}}], events: [{{type: a, when: hear}}, {{type: a, when: twice}}]}}"
        );
        home.write("ear.test.yaml", &format!("cases:\n  - {case}\n"));
        home.run(&["test", "ear.yaml"]).ends_with(status)
    };
    let said = "task `hear` listens, and no stub can answer that\n  --> ear.test.yaml:2\nhint: what it waits for is sent by the case: `events: [{type: …, when: hear}]`";
    for which in ["task: hear", "location: /do/0/hear"] {
        let ended = test(which, 2);
        assert!(ended.stderr.contains(said), "{which}\n{}", ended.stderr);
    }
    assert!(test("location: /do/1/twice", 2).stderr.contains("task `twice` listens"));
    test("task: twice", 0);
}

/// Mutation: break a shipped example, or what its tests rely on.
#[test]
fn the_tests_of_the_examples_pass() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let home = Home::new();
    let path = examples.display().to_string();
    let report = home.run(&["test", &path, "-o", "json"]).ends_with(0).json();
    assert!(report["passed"].as_u64() >= Some(29), "{report}");
    let files = report["files"].as_array().expect("files");
    let has = |name: &str| {
        files.iter().any(|it| it["file"].as_str().is_some_and(|file| file.contains(name)))
    };
    assert!(has("plant/") && has("patient-monitor/") && files.len() >= 15, "{report}");
}
