//! What is warned of, and what looks alike and is right.

use crate::read;

/// Reads a document with one task, and compares where it is warned with `expected`: codes and
/// pointers below the task.
fn check(task: &str, expected: &[&str]) {
    let head = "document: { dsl: 1.0.3, namespace: n, name: w, version: 0.1.0 }";
    let warnings = match read(&format!("{head}\ndo:\n  - t: {task}\n")) {
        Ok(read) => read.warnings,
        Err(wrong) => panic!("{task}: {wrong:?}"),
    };
    let found: Vec<String> = warnings
        .iter()
        .map(|found| format!("{} {}", found.code, found.pointer.trim_start_matches("/do/0/t/")))
        .collect();
    assert_eq!(found, expected, "{task}");
}

/// Mutation: warn of `after` in any task's metadata, or overlook a task within a branch.
#[test]
fn after_means_nothing_but_on_a_branch() {
    check("{ metadata: { after: [a] }, wait: PT1S }", &["WF-207 metadata/after"]);
    check("{ metadata: { owner: { after: a } }, wait: PT1S }", &[]);
    check(
        "{ fork: { branches: [ { a: { wait: PT1S } }, { b: { metadata: { after: [a] }, wait: PT1S } } ] } }",
        &[],
    );
    check(
        "{ fork: { branches: [ { a: { do: [ { b: { metadata: { after: [a] }, wait: PT1S } } ] } } ] } }",
        &["WF-207 fork/branches/0/a/do/0/b/metadata/after"],
    );
}

/// Mutation: warn in a program's arguments, of a variable that is not there, or of `set: .a`, which
/// is an expression by type.
#[test]
fn a_path_without_marks_is_warned_of_where_it_is_text() {
    check("{ set: { x: .a } }", &["WF-208 set/x"]);
    check("{ set: { x: '${ .a }', y: '${ \".a\" }', z: a.b } }", &[]);
    check("{ set: .a }", &[]);
    check("{ set: { x: $.a, y: $nothing } }", &["WF-208 set/x"]);
    check(
        "{ for: { each: it, in: .a }, do: [ { a: { set: { x: $it } } } ] }",
        &["WF-208 do/0/a/set/x"],
    );
    check("{ output: { as: { x: .a } }, wait: PT1S }", &["WF-208 output/as/x"]);
    check("{ call: csv:1.0.0@default, with: { file: $input.name } }", &["WF-208 with/file"]);
    check(
        "{ run: { shell: { command: jq, arguments: [ .a, $.a ], environment: { A: $HOME } } } }",
        &[],
    );
}

/// Mutation: look at one of the places only, or at any expression.
#[test]
fn a_condition_that_assigns_is_warned_of_wherever_it_stands() {
    check("{ if: .x = 3, wait: PT1S }", &["WF-209 if"]);
    check("{ if: .x == 3, wait: PT1S }", &[]);
    check("{ set: .x = 3 }", &[]);
    check("{ for: { in: .a }, while: .x = 3, do: [ { a: { wait: PT1S } } ] }", &["WF-209 while"]);
    check("{ switch: [ { a: { when: .x = 3, then: end } } ] }", &["WF-209 switch/0/a/when"]);
    let caught = "{ try: [ { a: { wait: PT1S } } ], catch: ";
    for place in ["when", "exceptWhen"] {
        check(&format!("{caught} {{ {place}: .x = 3 }} }}"), &[&format!("WF-209 catch/{place}")]);
        let retry = format!("{caught} {{ retry: {{ {place}: .x = 3 }} }} }}");
        check(&retry, &[&format!("WF-209 catch/retry/{place}")]);
    }
    check(
        "{ listen: { to: { any: [ { with: { type: a } } ], until: .x = 3 } } }",
        &["WF-209 listen/to/until"],
    );
}

/// Mutation: warn of any type that is no URI: it may be raised as it is filtered.
#[test]
fn a_word_for_all_errors_is_warned_of() {
    let check_type = |kind: &str, expected: &[&str]| {
        let errors = format!("{{ errors: {{ with: {{ type: '{kind}' }} }} }}");
        check(&format!("{{ try: [ {{ a: {{ wait: PT1S }} }} ], catch: {errors} }}"), expected);
    };
    for word in ["States.ALL", "States.TaskFailed", "*", "all"] {
        check_type(word, &["WF-210 catch/errors/with/type"]);
    }
    for kind in ["https://serverlessworkflow.io/spec/1.0.0/errors/timeout", "sold-out", "timeout"] {
        check_type(kind, &[]);
    }
}
