//! `run` with a script or a command: what the process is asked to be.

use std::collections::BTreeSet;

use engine::effect::{Action, Interpreter, ProcessRequest};
use spec::tree::{Language, Returns};

use crate::walk::Walk;

fn asked(run: &str) -> (Walk, ProcessRequest) {
    let walk =
        Walk::start(&format!("do: [{{p: {{run: {run}}}}}]"), r#"{"n":3,"t":"x y","o":{"a":1}}"#);
    let action = walk.performs.front().expect("a process is asked for").action.clone();
    match &*action {
        Action::Process(request) => (walk, request.clone()),
        other => panic!("{other:?}"),
    }
}

/// Mutation: leave a part out, take its text for its value, or name what is `null`.
#[test]
fn a_process_gets_what_the_task_says() {
    let (_, all) = asked(
        "{script: {language: python, code: '${ \"print(\\(.n))\" }', stdin: '${ .o }', \
         arguments: ['a b', '${ .n }', '${ .t }', true], \
         environment: {N: '${ .n }', T: '${ .t }', GONE: '${ null }'}}, return: all}",
    );
    let text = |text: &[&str]| text.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
    let environment = [("N", "3"), ("T", "x y")].map(|(name, value)| (name.into(), value.into()));
    assert_eq!(
        all,
        ProcessRequest {
            interpreter: Interpreter::Script(Language::Python),
            code: "print(3)".to_owned(),
            stdin: r#"{"a":1}"#.to_owned(),
            arguments: text(&["a b", "3", "x y", "true"]),
            environment: environment.into(),
            returns: Returns::All,
            wait: true,
        }
    );
    let (_, least) = asked("{shell: {command: 'echo 1'}}");
    assert_eq!(
        least,
        ProcessRequest {
            interpreter: Interpreter::Shell,
            code: "echo 1".to_owned(),
            stdin: String::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            returns: Returns::Stdout,
            wait: true,
        }
    );
    let (_, plain) = asked("{shell: {command: cat, stdin: '${ .t }'}}");
    assert_eq!(plain.stdin, "x y");
    let (_, nothing) = asked("{shell: {command: cat, stdin: '${ null }'}}");
    assert_eq!(nothing.stdin, "");
}

/// Mutation: leave any part out of the control digest.
#[test]
fn every_part_of_a_process_is_a_decision() {
    let runs = [
        "{shell: {command: cat}}",
        "{shell: {command: cut}}",
        "{script: {language: python, code: cat}}",
        "{script: {language: javascript, code: cat}}",
        "{shell: {command: cat, stdin: a}}",
        "{shell: {command: cat, arguments: [a]}}",
        "{shell: {command: cat, arguments: [a, b]}}",
        "{shell: {command: cat, arguments: [ab]}}",
        "{shell: {command: cat, environment: {A: b}}}",
        "{shell: {command: cat, environment: {A: c}}}",
        "{shell: {command: cat, environment: {B: b}}}",
        "{shell: {command: cat}, return: all}",
    ];
    let controls: BTreeSet<u64> = runs.iter().map(|run| asked(run).0.machine.control().0).collect();
    assert_eq!(controls.len(), runs.len());
}

/// Mutation: hand on what no process can get, or say nothing of where it is.
#[test]
fn what_no_process_can_get_is_a_configuration_error() {
    for (shell, said) in [
        ("arguments: '${ .o }'", "the arguments are an object, not a list"),
        ("arguments: [a, '${ .o }']", "argument 2 is an object, not a single value"),
        ("arguments: ['${ null }']", "argument 1 is null"),
        ("arguments: ['${ \"a\\u0000b\" }']", "argument 1 holds a zero byte"),
        ("environment: '${ [1] }'", "the environment is an array, not an object"),
        ("environment: '${ {\"a=b\": 1} }'", "empty or has `=` in it"),
        ("environment: '${ {\"\": 1} }'", "empty or has `=` in it"),
        ("environment: '${ {\"a\\u0000\": 1} }'", "empty or has `=` in it"),
        ("environment: {A: '${ .o }'}", "`A` in the environment is an object"),
    ] {
        let body = format!("do: [{{p: {{run: {{shell: {{command: cat, {shell}}}}}}}}}]");
        let walk = Walk::run(&body, r#"{"o":{"a":1}}"#);
        assert_eq!(walk.fault().kind(), base::ErrorType::Configuration, "{shell}");
        let detail = walk.fault().detail.as_deref().expect("a detail");
        assert!(detail.contains(said), "{shell}: {detail}");
    }
}
